//! A connection with an engine that will do.
//!
//! Sentinels and clusters are asked here, and anew for each connection, instead of by the
//! crate's own clients: these wait without a limit for a Sentinel that hangs, and go on
//! asking a dead member of a cluster. All keys are in one slot, so there is one member
//! to talk to, and any other one names it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, ConnectionLike, ErrorKind,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates, Value,
    cmd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::error::EngineError;
use super::url::{Place, Server};
use super::{EngineSettings, TIMEOUT};

/// A connection with an engine that will do.
pub(super) struct Engine {
    connection: Connection,
    /// Which run of which process it is.
    pub(super) run_id: String,
    clock: fn() -> u64,
    /// What has to be added to our clock to get the engine's.
    ahead: i64,
}

/// Connects on a thread of its own, because looking up a name can take long and cannot be
/// interrupted.
#[derive(Default)]
pub(super) struct Connector(Option<Receiver<Result<Engine, EngineError>>>);

impl Connector {
    /// The connection that is being made, or a new one; `None` if it is not there yet
    /// after so much time.
    pub(super) fn connect(
        &mut self,
        settings: &EngineSettings,
        time: Duration,
    ) -> Option<Result<Engine, EngineError>> {
        let receiver = self.0.get_or_insert_with(|| {
            let (sender, receiver) = channel();
            let settings = settings.clone();
            let thread = thread::Builder::new().name("cluster-connect".into());
            // Without a thread, the sender is dropped, and nothing will come.
            let _ = thread.spawn(move || {
                // Nobody waits for it any more: the link was stopped.
                let _ = sender.send(Engine::connect(&settings));
            });
            receiver
        });
        let result = match receiver.recv_timeout(time) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Err(EngineError::Away(
                "cannot start a thread that connects".into(),
            )),
        };
        self.0 = None;
        Some(result)
    }
}

impl Engine {
    /// Connects with the engine, and looks whether it will do. Takes a few seconds at
    /// most, and what it takes to look up a name.
    pub(super) fn connect(settings: &EngineSettings) -> Result<Self, EngineError> {
        let connection = match &settings.url.place {
            Place::Server(server) => open(settings, &address(settings, server), true)?,
            Place::Socket(path) => open(settings, &ConnectionAddr::Unix(path.clone()), true)?,
            Place::Sentinels { servers, name } => by_sentinels(settings, servers, name)?,
            Place::Cluster(servers) => by_cluster(settings, servers)?,
        };
        let mut engine = Self {
            connection,
            run_id: String::new(),
            clock: settings.clock,
            ahead: 0,
        };
        engine.check(settings)?;
        engine.read_clock()?;
        Ok(engine)
    }

    /// The time on the engine's clock, in milliseconds.
    pub(super) fn now(&self) -> u64 {
        self.on_its_clock((self.clock)())
    }

    /// What the engine's clock says when ours says this.
    pub(super) fn on_its_clock(&self, milliseconds: u64) -> u64 {
        milliseconds.saturating_add_signed(self.ahead)
    }

    /// Compares the clocks. They drift, and somebody may set the engine's.
    pub(super) fn read_clock(&mut self) -> Result<(), EngineError> {
        let before = (self.clock)();
        let (seconds, microseconds): (u64, u64) = cmd("TIME").query(&mut self.connection)?;
        let after = (self.clock)();
        let time = seconds
            .saturating_mul(1000)
            .saturating_add(microseconds / 1000);
        let ours = before.midpoint(after);
        self.ahead = i64::try_from(i128::from(time) - i128::from(ours)).unwrap_or(0);
        Ok(())
    }

    /// Sends a command, and waits for its reply.
    pub(super) fn query(&mut self, command: &redis::Cmd) -> Result<Value, EngineError> {
        Ok(command.query(&mut self.connection)?)
    }

    /// Sends commands at once. The replies may be errors.
    pub(super) fn query_all(
        &mut self,
        commands: &[u8],
        count: usize,
    ) -> Result<Vec<Value>, EngineError> {
        Ok(self.connection.req_packed_commands(commands, 0, count)?)
    }

    fn check(&mut self, settings: &EngineSettings) -> Result<(), EngineError> {
        let info: Vec<u8> = cmd("INFO").query(&mut self.connection)?;
        let info = String::from_utf8_lossy(&info);
        let find = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        self.run_id = find("run_id").unwrap_or_default().to_owned();
        if find("role") == Some("slave") {
            let text = "the engine is a replica, to which nobody can write";
            return Err(match settings.url.place {
                Place::Server(_) | Place::Socket(_) => {
                    EngineError::Refused(format!("{text}: cluster.url has to name its primary"))
                }
                // Those who were asked will soon know better.
                _ => EngineError::Away(text.into()),
            });
        }
        let policy = find("maxmemory_policy").unwrap_or_default();
        if policy.starts_with("allkeys-") {
            return Err(EngineError::Refused(format!(
                "the engine's maxmemory-policy is {policy}, with which it would delete the \
                 swarm: set it to noeviction"
            )));
        }
        // Removes nothing: what is tried is whether the engine knows it. Version numbers
        // would not do, because Valkey gives that of the Redis it comes from.
        for kind in &settings.kinds {
            let mut trim = cmd("XTRIM");
            trim.arg(settings.stream(*kind)).arg("MINID").arg("0");
            trim.exec(&mut self.connection).map_err(|error| {
                let is_error = error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError);
                match is_error && error.to_string().contains("syntax error") {
                    true => EngineError::Refused(
                        "the engine is too old: Redis 6.2 or later is needed, or Valkey".into(),
                    ),
                    false => error.into(),
                }
            })?;
        }
        Ok(())
    }
}

/// The first Sentinel that knows says where the primary is.
fn by_sentinels(
    settings: &EngineSettings,
    sentinels: &[Server],
    name: &str,
) -> Result<Connection, EngineError> {
    let mut errors = Vec::new();
    for sentinel in sentinels {
        match ask_sentinel(settings, sentinel, name) {
            Ok(server) => return open(settings, &address(settings, &server), true),
            Err(error) => errors.push(format!("{sentinel}: {error}")),
        }
    }
    let errors = errors.join("; ");
    Err(EngineError::Away(format!(
        "no Sentinel says where {name} is: {errors}"
    )))
}

fn ask_sentinel(
    settings: &EngineSettings,
    sentinel: &Server,
    name: &str,
) -> Result<Server, EngineError> {
    let mut ask = cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let address = address(settings, sentinel);
    // Most Sentinels have no password, even if the engines have one.
    let answer: Result<Option<(String, u16)>, RedisError> =
        ask.query(&mut open(settings, &address, false)?);
    let answer = match answer {
        Err(error) if error.code() == Some("NOAUTH") => {
            ask.query(&mut open(settings, &address, true)?)
        }
        answer => answer,
    };
    match answer? {
        Some((host, port)) => Ok(Server { host, port }),
        None => Err(EngineError::Away("it does not know that name".into())),
    }
}

/// The first member that answers says which one has our keys.
fn by_cluster(settings: &EngineSettings, members: &[Server]) -> Result<Connection, EngineError> {
    let mut errors = Vec::new();
    for member in members {
        match ask_member(settings, member) {
            Ok(connection) => return Ok(connection),
            Err(error) => errors.push(format!("{member}: {error}")),
        }
    }
    Err(EngineError::Away(errors.join("; ")))
}

fn ask_member(settings: &EngineSettings, member: &Server) -> Result<Connection, EngineError> {
    let mut connection = open(settings, &address(settings, member), true)?;
    let mut ask = cmd("XLEN");
    let answer: Result<u64, RedisError> = ask.arg(settings.key("")).query(&mut connection);
    let Err(error) = answer else {
        return Ok(connection);
    };
    let moved = error.redirect_node().and_then(|(text, _)| {
        // An address of IPv6 stands there without brackets.
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = match host {
            // It is the one that was asked, under the name that we know.
            "" => member.host.clone(),
            host => host.to_owned(),
        };
        Some(Server { host, port })
    });
    match moved {
        Some(server) => open(settings, &address(settings, &server), true),
        None => Err(error.into()),
    }
}

fn address(settings: &EngineSettings, server: &Server) -> ConnectionAddr {
    let Server { host, port } = server.clone();
    match settings.url.is_encrypted {
        false => ConnectionAddr::Tcp(host, port),
        true => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
    }
}

fn open(
    settings: &EngineSettings,
    address: &ConnectionAddr,
    with_password: bool,
) -> Result<Connection, EngineError> {
    let mut engine = RedisConnectionInfo::default().set_skip_set_lib_name();
    if with_password {
        engine = engine.set_db(settings.url.database.into());
        if let Some(username) = &settings.username {
            engine = engine.set_username(username);
        }
        if let Some(password) = &settings.password {
            engine = engine.set_password(&**password);
        }
    }
    if settings.url.is_encrypted {
        // The crate takes that of the process, and panics without. Another one is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let info: ConnectionInfo = address.clone().into_connection_info()?;
    let info = info.set_redis_settings(engine);
    let client = match &settings.tls_ca {
        Some(pem) if settings.url.is_encrypted => {
            if CertificateDer::pem_slice_iter(pem)
                .flatten()
                .next()
                .is_none()
            {
                return Err(EngineError::Refused(
                    "the file of cluster.tls_ca_path contains no certificate; expected a PEM \
                     section CERTIFICATE"
                        .into(),
                ));
            }
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(pem.clone()),
            };
            Client::build_with_tls(info, certificates)?
        }
        _ => Client::open(info)?,
    };
    let mut connection = client
        .get_connection_with_timeout(TIMEOUT)
        .map_err(|error| in_words(settings, error))?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    // Without a password, nothing was sent yet. An answer may say that one is needed; that
    // comes again.
    match cmd("PING").exec(&mut connection) {
        Err(error) if error.is_io_error() => Err(in_words(settings, error)),
        _ => Ok(connection),
    }
}

/// Says what it may mean that a connection fails at once.
fn in_words(settings: &EngineSettings, error: RedisError) -> EngineError {
    let is_reset = error.to_string().to_lowercase().contains("reset by peer");
    match (settings.url.is_encrypted, error.is_timeout(), is_reset) {
        // Who expects something else waits for more of it.
        (true, true, _) => EngineError::Away(
            "no answer within a second; if it speaks no TLS, the URL has to begin with redis \
             instead of rediss"
                .into(),
        ),
        (false, _, true) => EngineError::Away(
            "it ends the connection; if it speaks TLS, the URL has to begin with rediss instead \
             of redis"
                .into(),
        ),
        _ => error.into(),
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Server { host, port } = self;
        write!(formatter, "{host}:{port}")
    }
}
