//! The link of a daemon with the others of a cluster, through Redis or Valkey.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use aquatic_cluster::engine::{
    self, Appended, EngineError, EngineHandle, EngineLink, EngineSettings, EngineUrl, Numbered,
    Place, Position, check, check_authorities,
};
use aquatic_cluster::{Kind, NodeId, SharedSwarms, SignalBatch, SignalOutbox};
use aquatic_service::clock;
use aquatic_service::config::{Checks, Diagnostic, EngineConfig};
use aquatic_service::destination::{self, Destination};
use aquatic_service::metrics::Metrics;
use aquatic_service::workers::Workers;
use aquatic_service::{files, host_name};

use super::link::{Membership, RecordStreamError, Shared, drop_once};
use super::link_metrics::{self, add_counts};

/// Maximum size in bytes of a file with a password, and of one with certificates.
const MAX_PASSWORD_BYTES: u64 = 4_096;
const MAX_CA_BYTES: u64 = 1 << 20;

/// Maximum length of the name of a cluster or a node, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// What an engine is called as a service, by the packages of distributions.
const SERVICES: &[&str] = &[
    "redis.service",
    "redis-server.service",
    "valkey.service",
    "valkey-server.service",
];

/// Access to a running link.
pub(super) struct Handle {
    link: EngineHandle,
    /// What to say besides if the engine cannot be reached.
    hint: Option<String>,
    has_signals: bool,
}

/// A stream of numbered records in the engine, for other programs.
pub(crate) struct RecordStream(engine::RecordStream);

/// Checks what can be checked without a connection to the engine.
pub fn check_config(config: &EngineConfig, checks: &mut Checks) {
    if config.is_enabled()
        && let Err(error) = config.url.parse::<EngineUrl>()
    {
        checks.fail("cluster.url", error);
    }
    let is_name = |name: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        name.len() <= MAX_NAME_BYTES && name.bytes().all(is_allowed)
    };
    let rule = "letters, digits, `-`, `_` and `.`, at most 128";
    if config.namespace.is_empty() || !is_name(&config.namespace) {
        checks.fail("cluster.namespace", format!("expected {rule}"));
    }
    if !is_name(&config.node) {
        checks.fail("cluster.node", format!("expected {rule}, or nothing"));
    }
    let given = [
        ("cluster.username", !config.username.is_empty()),
        ("cluster.password_file", is_given(&config.password_file)),
        ("cluster.tls_ca_path", is_given(&config.tls_ca_path)),
    ];
    for (key, _) in given.iter().filter(|(_, is_given)| *is_given) {
        if !config.is_enabled() {
            checks.advise(*key, "it has no effect without cluster.url");
        }
    }
    if config.is_enabled() && !config.username.is_empty() && !is_given(&config.password_file) {
        checks.advise(
            "cluster.username",
            "it has no effect without cluster.password_file",
        );
    }
    if config.url.starts_with("redis:") && is_given(&config.tls_ca_path) {
        checks.advise(
            "cluster.tls_ca_path",
            "it has no effect with a URL without TLS, which begins with redis",
        );
    }
}

/// Checks the files that [`check_config`] does not read. `path_now` returns the current
/// path of a file, as in [`Daemon::check`](aquatic_service::Daemon::check).
///
/// # Errors
///
/// If a file cannot be read, or its contents cannot be used.
pub fn check_files(
    config: &EngineConfig,
    path_now: &dyn Fn(&Path) -> PathBuf,
) -> Result<(), Diagnostic> {
    if !config.is_enabled() {
        return Ok(());
    }
    let existing = |path: &Path| {
        let path = path_now(path);
        // A credential of systemd exists only while its service runs, and only that can
        // read it: not even a command that reloads the service.
        match path.starts_with("/run/credentials") && File::open(&path).is_err() {
            true => PathBuf::new(),
            false => path,
        }
    };
    Credentials::read(config, &existing).map(drop)
}

/// Where a daemon connects to.
pub fn destination(config: &EngineConfig) -> Option<Destination> {
    let url: EngineUrl = config.url.parse().ok()?;
    let place = match url.place() {
        Place::Server(server) => destination::Place::Host(server.host.clone()),
        Place::Socket(path) => destination::Place::Socket(path.clone()),
        // Those who are asked name others.
        Place::Sentinels { .. } | Place::Cluster(_) => destination::Place::AnyHost,
    };
    Some(Destination {
        url: config.url.clone(),
        place,
        services: SERVICES,
    })
}

fn is_given(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

pub(super) fn start<S: SharedSwarms<Walk: Send> + Send + Sync + 'static>(
    membership: Membership<'_>,
    shared: Shared<S>,
    workers: &mut Workers,
) -> anyhow::Result<Handle> {
    let settings = settings(&membership, shared.node, shared.kinds)?;
    match check(&settings) {
        Ok(()) => log::info!("the swarm is shared through {}", membership.engine.url),
        Err(EngineError::Refused(reason)) => {
            return Err(Diagnostic::error("cluster.url", reason).into());
        }
        Err(error) => log::warn!(
            "peers are not shared with other nodes until {} can be used: {error}",
            membership.engine.url
        ),
    }
    let position = membership
        .position
        .and_then(|bytes| Position::parse(&bytes));
    let restoring = membership.restoring;
    let EngineLink {
        mut publisher,
        mut reader,
        stopper,
        handle,
    } = EngineLink::new(settings, shared.outbox, Arc::new(shared.swarms), position);
    // It stops both threads.
    workers.spawn_background("cluster-out", drop_once(stopper), move |context| {
        publisher.run(|| context.beat());
        Ok(())
    })?;
    workers.spawn_background(
        "cluster-in",
        || (),
        move |context| {
            restoring.wait_and(|| context.beat());
            reader.run(|| context.beat());
            Ok(())
        },
    )?;
    Ok(Handle {
        link: handle,
        hint: destination::hint(membership.name, &membership.engine.url),
        has_signals: false,
    })
}

fn settings(
    membership: &Membership<'_>,
    node: NodeId,
    kinds: Vec<Kind>,
) -> anyhow::Result<EngineSettings> {
    let config = membership.engine;
    let url: EngineUrl = config
        .url
        .parse()
        .map_err(|error| Diagnostic::error("cluster.url", error))?;
    let Credentials { password, tls_ca } = Credentials::read(config, &Path::to_owned)?;
    Ok(EngineSettings {
        url,
        username: (!config.username.is_empty()).then(|| config.username.clone()),
        password,
        tls_ca,
        namespace: config.namespace.clone(),
        name: if config.node.is_empty() {
            format!("{}@{}", membership.name, host_name())
        } else {
            config.node.clone()
        },
        node,
        max_peer_age: membership.max_peer_age.clone(),
        max_stream_bytes: config.max_stream_bytes.as_u64(),
        kinds,
        connection_id_key: membership.connection_id_key,
        clock: clock::boot_milliseconds,
    })
}

/// What is read from files.
struct Credentials {
    password: Option<String>,
    /// Certificates of authorities, in PEM.
    tls_ca: Option<Vec<u8>>,
}

impl Credentials {
    fn read(
        config: &EngineConfig,
        path_now: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Self, Diagnostic> {
        const PASSWORD: &str = "cluster.password_file";
        const CA: &str = "cluster.tls_ca_path";
        let bytes = read(
            PASSWORD,
            &path_now(&config.password_file),
            MAX_PASSWORD_BYTES,
        )?;
        let password = bytes.map(password);
        let tls_ca = read(CA, &path_now(&config.tls_ca_path), MAX_CA_BYTES)?;
        if let Some(pem) = &tls_ca {
            let checked = check_authorities(pem);
            checked.map_err(|error| Diagnostic::error(CA, error))?;
        }
        Ok(Self {
            password: password
                .transpose()
                .map_err(|reason| Diagnostic::error(PASSWORD, reason))?,
            tls_ca,
        })
    }
}

/// The password in a file, which may end with a line break.
fn password(bytes: Vec<u8>) -> Result<String, &'static str> {
    let text = String::from_utf8(bytes).map_err(|_| "the password is not UTF-8")?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("the file is empty");
    }
    if password.contains(char::is_control) {
        return Err("expected one line with the password, without control characters");
    }
    Ok(password.to_owned())
}

/// Reads a file, if one is configured.
fn read(key: &str, path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, Diagnostic> {
    if !is_given(path) {
        return Ok(None);
    }
    let read = files::read_regular(path, max_bytes);
    read.map(Some)
        .map_err(|error| Diagnostic::error(key, format!("cannot read {}: {error}", path.display())))
}

impl Handle {
    /// Starts the threads for offers and answers.
    pub(super) fn start_signals(
        &mut self,
        outbox: Arc<SignalOutbox>,
        deliver: impl FnMut(&SignalBatch<'_>, u64) + Send + 'static,
        workers: &mut Workers,
    ) -> anyhow::Result<()> {
        self.has_signals = true;
        let (mut sender, mut receiver) = self.link.signals(outbox, deliver);
        workers.spawn_background(
            "signals-out",
            || (),
            move |context| {
                sender.run(|| context.beat());
                Ok(())
            },
        )?;
        workers.spawn_background(
            "signals-in",
            || (),
            move |context| {
                receiver.run(|| context.beat());
                Ok(())
            },
        )
    }

    pub(super) fn record_stream(&self, name: &str) -> RecordStream {
        RecordStream(self.link.record_stream(name))
    }

    pub(super) fn status_text(&self) -> String {
        self.error().unwrap_or_else(|| self.link.status().text())
    }

    pub(super) fn error(&self) -> Option<String> {
        let error = self.link.status().error()?;
        let said = [Some(&error), self.hint.as_ref()];
        let said: Vec<_> = said.into_iter().flatten().map(String::as_str).collect();
        Some(format!("cut off from other nodes: {}", said.join("; ")))
    }

    pub(super) fn connection_id_key(&self) -> Option<[u8; 16]> {
        self.link.connection_id_key()
    }

    pub(super) fn position(&self) -> Option<Vec<u8>> {
        self.link.position().map(|it| it.to_bytes())
    }

    pub(super) fn add_metrics(&self, metrics: &mut Metrics) {
        let status = self.link.status();
        let is_connected = u64::from(status.is_connected());
        metrics.add(&link_metrics::CONNECTED, &[], is_connected);
        metrics.add(&link_metrics::NODES, &[], status.nodes());
        let has_duplicate_name = u64::from(status.has_duplicate_name());
        metrics.add(&link_metrics::DUPLICATE_NAMES, &[], has_duplicate_name);
        metrics.add(&link_metrics::STREAM_BYTES, &[], status.stream_bytes());
        metrics.add(&link_metrics::LAG, &[], status.lag() as f64 / 1e3);
        metrics.add(&link_metrics::LOST_STREAMS, &[], status.lost_streams());
        if self.has_signals {
            link_metrics::add_signals(status.signals_sent(), status.signals_lost(), metrics);
        }
        add_counts(status.counts(), metrics);
    }
}

impl RecordStream {
    /// The number of this writer, which identifies this run of the process.
    pub(crate) fn writer(&self) -> u64 {
        self.0.writer()
    }

    /// Appends records, of which the first has the number `first`; returns whether they are
    /// in the stream. While there is no connection, they are not. To be called with the same
    /// records again, and perhaps more of them, until they are.
    ///
    /// # Errors
    /// Why they cannot be appended at present.
    pub(crate) fn append(
        &mut self,
        first: u64,
        records: &[&[u8]],
        max_records: u64,
    ) -> Result<bool, RecordStreamError> {
        let appended = self.0.append(Numbered { first, records }, max_records);
        let error = match appended {
            Ok(appended) => return Ok(appended == Appended::All),
            Err(error) => error,
        };
        Err(RecordStreamError {
            is_lasting: matches!(error, EngineError::Refused(_)),
            text: match error {
                EngineError::Full => "the engine's memory is full: raise its maxmemory, or lower \
                                      accounting.max_stream_records"
                    .to_owned(),
                error => error.to_string(),
            },
        })
    }

    /// Lets all calls end at this time.
    pub(crate) fn end_at(&mut self, end: Instant) {
        self.0.end_at(end);
    }

    /// A function after which a call that is under way ends within two seconds.
    pub(crate) fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        drop_once(self.0.stopper())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(config: &EngineConfig) -> Vec<String> {
        let mut checks = Checks::new();
        check_config(config, &mut checks);
        match checks.finish(()) {
            Ok(()) => Vec::new(),
            Err(found) => found.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn errors_are_reported_under_their_keys() {
        assert_eq!(errors(&EngineConfig::default()), [""; 0]);
        let with_url = |url: &str| EngineConfig {
            url: url.to_owned(),
            ..EngineConfig::default()
        };
        for url in [
            "redis://engine:6379/1",
            "rediss://engine",
            "redis+unix:///run/valkey.sock",
            "redis+sentinel://one:26379,two:26379/name",
            "redis+cluster://one:6379,two:6379",
        ] {
            assert_eq!(errors(&with_url(url)), [""; 0], "{url}");
        }
        for url in ["engine:6379", "http://engine", "redis://user:secret@engine"] {
            let found = errors(&with_url(url));
            assert!(found[0].starts_with("cluster.url: "), "{found:?}");
            assert!(!found[0].contains("secret"), "{found:?}");
        }
        let found = errors(&EngineConfig {
            namespace: "two words".to_owned(),
            node: "a/b".to_owned(),
            ..EngineConfig::default()
        });
        assert!(found[0].starts_with("cluster.namespace: "), "{found:?}");
        assert!(found[1].starts_with("cluster.node: "), "{found:?}");
    }

    #[test]
    fn passwords_are_one_line() {
        let read = |text: &[u8]| password(text.to_vec());
        for file in ["secret word", "secret word\n", "secret word\r\n"] {
            assert_eq!(read(file.as_bytes()).as_deref(), Ok("secret word"));
        }
        for file in [&b""[..], b"\n", b"one\ntwo\n", b"a\0b", b"\xff"] {
            assert!(read(file).is_err(), "{file:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_reported_under_their_keys() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "\n").unwrap();
        let with = |password_file: &Path, tls_ca_path: &Path| EngineConfig {
            url: "rediss://engine".to_owned(),
            password_file: password_file.to_owned(),
            tls_ca_path: tls_ca_path.to_owned(),
            ..EngineConfig::default()
        };
        let none = Path::new("");
        let error = |config: &EngineConfig| {
            let checked = check_files(config, &Path::to_owned);
            checked.unwrap_err().to_string()
        };
        for path in [&*file, directory.path(), Path::new("/nonexistent")] {
            let found = error(&with(path, none));
            assert!(found.starts_with("cluster.password_file: "), "{found}");
            let found = error(&with(none, path));
            assert!(found.starts_with("cluster.tls_ca_path: "), "{found}");
        }
        let credential = Path::new("/run/credentials/nonexistent.service/password");
        for path in [none, credential] {
            assert!(check_files(&with(path, path), &Path::to_owned).is_ok());
        }
    }

    #[test]
    fn keys_without_effect_are_reported() {
        let advice = |config: &EngineConfig| {
            let mut checks = Checks::new();
            check_config(config, &mut checks);
            let advice = checks.take_advice();
            advice.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let found = advice(&EngineConfig {
            username: "aquatic".to_owned(),
            password_file: "/etc/password".into(),
            ..EngineConfig::default()
        });
        assert!(found[0].starts_with("cluster.username: "), "{found:?}");
        assert!(found[1].starts_with("cluster.password_file: "), "{found:?}");
        let found = advice(&EngineConfig {
            url: "redis://engine".to_owned(),
            username: "aquatic".to_owned(),
            tls_ca_path: "/etc/ca".into(),
            ..EngineConfig::default()
        });
        assert!(found[0].starts_with("cluster.username: "), "{found:?}");
        assert!(found[1].starts_with("cluster.tls_ca_path: "), "{found:?}");
        let found = advice(&EngineConfig {
            url: "rediss://engine".to_owned(),
            username: "aquatic".to_owned(),
            password_file: "/etc/password".into(),
            tls_ca_path: "/etc/ca".into(),
            ..EngineConfig::default()
        });
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_daemon_connects_where_the_url_says() {
        use destination::Place::*;
        let place_of = |url: &str| {
            let config = EngineConfig {
                url: url.to_owned(),
                ..EngineConfig::default()
            };
            destination(&config).map(|it| it.place)
        };
        for (url, expected) in [
            ("", None),
            ("engine:6379", None),
            ("redis://10.0.0.1:6379/1", Some(Host("10.0.0.1".into()))),
            ("rediss://[fd00::7]", Some(Host("fd00::7".into()))),
            (
                "redis+unix:///run/valkey/valkey.sock?db=1",
                Some(Socket("/run/valkey/valkey.sock".into())),
            ),
            ("redis+sentinel://10.0.0.1,10.0.0.2/name", Some(AnyHost)),
            ("rediss+cluster://10.0.0.1", Some(AnyHost)),
        ] {
            assert_eq!(place_of(url), expected, "{url}");
        }
    }
}
