//! A simulated day of a worker with TLS: connections are opened, used, idle, update their
//! keys, stop reading, are closed in every way, and the certificate is rotated again and
//! again. The random numbers have a fixed seed.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_service::tls::{Files, Handle};
use aquatic_stream::simulation::{LoopAction, Setup, Simulation, Transport};
use aquatic_stream::{
    ConnectionId, ConnectionLimits, EventLoop, Exchange, Interruption, Next, Peer, Progress,
    Protocol, Settings, tls_config,
};
use aquatic_test_harness::certificates::{
    AUTHORITY, EC_CERTIFICATE, EC_KEY_SEC1, RSA_CERTIFICATE, RSA_KEY_PKCS1,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;

const DAY_SECONDS: usize = 86_400;

/// Connections at the same time, at most.
const CLIENTS: usize = 40;

/// How many seconds pass between the actions of clients, on average.
const PAUSE_SECONDS: usize = 4;

/// How often the certificate is exchanged, and how long connections may stay open then.
const EXCHANGE_SECONDS: usize = 7_200;
const GRACE: Duration = Duration::from_secs(600);

/// Seconds until all connections with an old certificate are gone: those that are within
/// a message have the time limit of a message in addition.
const GRACE_SECONDS: usize = 630;

/// What the server sends last. Clients send nothing but lines of `a`.
const BYE: &[u8] = b"bye\n";

/// Memory that a worker may keep for all connections, shared buffers included.
const MAX_KEPT: usize = 1 << 20;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % end as u64) as usize
    }
}

/// Answers each line with itself.
struct Lines;

impl Protocol for Lines {
    type Connection = ();

    fn max_input_bytes(&self) -> usize {
        300
    }

    fn open(&mut self, _: &Peer, _: ConnectionId) {}

    fn receive(&mut self, (): &mut (), exchange: &mut Exchange<'_>) -> Progress {
        let Some(end) = exchange.input.iter().position(|byte| *byte == b'\n') else {
            return Progress::INCOMPLETE;
        };
        exchange.output.extend_from_slice(&exchange.input[..=end]);
        Progress {
            consumed: end + 1,
            next: Next::Continue,
        }
    }

    fn interrupt(&mut self, (): &mut (), exchange: &mut Exchange<'_>, _: Interruption) -> Next {
        exchange.output.extend_from_slice(BYE);
        Next::Close
    }
}

/// The network of one connection.
#[derive(Default)]
struct Network {
    arriving: VecDeque<u8>,
    is_ended: bool,
    is_blocked: bool,
    left: Vec<u8>,
}

impl Transport for Network {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.arriving.is_empty() && !self.is_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.arriving.read(into)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if self.is_blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.left.extend_from_slice(from);
        Ok(from.len())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Client {
    id: ConnectionId,
    tls: ClientConnection,
    network: Network,
    /// What the client has to send and the network has not transferred yet.
    unsent: Vec<u8>,
    said: Vec<u8>,
    told: Vec<u8>,
    /// How often the certificate had been exchanged when the client connected.
    exchanges: usize,
    /// Whether the client has closed the connection or violated the protocol, so that the
    /// server need not answer it any more.
    is_odd: bool,
}

struct Day {
    simulation: Simulation<Lines>,
    handle: Arc<Handle>,
    files: Files,
    _directory: TempDir,
    configs: [Arc<ClientConfig>; 2],
    clients: Vec<Client>,
    random: Random,
    start: Instant,
    second: usize,
    exchanges: usize,
    /// The second in which the certificate was last exchanged.
    exchanged: usize,
    /// Lines that were answered.
    lines: usize,
    opened: usize,
}

impl Day {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let files = Files {
            certificate: directory.path().join("certificate.pem"),
            key: directory.path().join("key.pem"),
        };
        fs::write(&files.certificate, EC_CERTIFICATE).unwrap();
        fs::write(&files.key, EC_KEY_SEC1).unwrap();
        let handle = Arc::new(Handle::new(files.clone()).unwrap());
        let start = Instant::now();
        let settings = Settings {
            event_loop: EventLoop::Mio,
            limits: ConnectionLimits {
                idle_timeout: Duration::from_secs(900),
                certificate_grace: GRACE,
                ..ConnectionLimits::default()
            },
            proxy_protocol: None,
            reverse_proxy: None,
        };
        let setup = Setup {
            settings,
            tls: Some(tls_config(Arc::clone(&handle)).unwrap()),
            rotation: Some(Arc::clone(&handle)),
        };
        Self {
            simulation: Simulation::new(Lines, setup, start),
            handle,
            files,
            _directory: directory,
            configs: configs(),
            clients: Vec::new(),
            random: Random(11),
            start,
            second: 0,
            exchanges: 0,
            exchanged: 0,
            lines: 0,
            opened: 0,
        }
    }

    fn pass_a_second(&mut self) {
        self.second += 1;
        let now = self.start + Duration::from_secs(self.second as u64);
        self.simulation.advance(now);
        while let Some(id) = self.simulation.next_late() {
            let place = self.clients.iter().position(|client| client.id == id);
            self.drive(place.expect("a connection of a client"));
        }
        if self.second.is_multiple_of(EXCHANGE_SECONDS) {
            self.exchange_certificate();
        }
    }

    fn exchange_certificate(&mut self) {
        let (certificate, key) = if self.exchanges.is_multiple_of(2) {
            (RSA_CERTIFICATE, RSA_KEY_PKCS1)
        } else {
            (EC_CERTIFICATE, EC_KEY_SEC1)
        };
        fs::write(&self.files.certificate, certificate).unwrap();
        fs::write(&self.files.key, key).unwrap();
        self.handle.reload().unwrap();
        self.exchanges += 1;
        self.exchanged = self.second;
    }

    fn act(&mut self) {
        let place = self.random.below(CLIENTS);
        if place >= self.clients.len() {
            return self.connect();
        }
        match self.random.below(40) {
            0..24 => self.say(place),
            24..27 => return self.say_in_part(place),
            27..31 => drop(self.clients[place].tls.refresh_traffic_keys()),
            31 => self.clients[place].network.is_blocked ^= true,
            32 | 33 => self.clients[place].say_last_word(),
            34 => {
                self.clients[place].is_odd = true;
                self.clients[place].network.is_ended = true;
            }
            35 => {
                let garbage = vec![self.random.below(256) as u8; self.random.below(600)];
                self.clients[place].is_odd = true;
                self.clients[place].unsent.extend(garbage);
            }
            // Otherwise, the client does nothing.
            _ => return,
        }
        self.talk(place);
    }

    /// A client connects; one of 16 stops within the handshake.
    fn connect(&mut self) {
        let source = SocketAddr::from(([127, 0, 0, 1], self.random.below(60_000) as u16));
        let id = self.simulation.open(source).expect("a connection");
        let config = Arc::clone(&self.configs[self.random.below(2)]);
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(config, name).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        let is_odd = self.random.below(16) == 0;
        if is_odd {
            hello.truncate(self.random.below(hello.len()));
        }
        self.opened += 1;
        self.clients.push(Client {
            id,
            tls,
            network: Network::default(),
            unsent: hello,
            said: Vec::new(),
            told: Vec::new(),
            exchanges: self.exchanges,
            is_odd,
        });
        self.talk(self.clients.len() - 1);
    }

    fn say(&mut self, place: usize) {
        let count = 1 + self.random.below(5);
        for _ in 0..count {
            let line = [vec![b'a'; self.random.below(299)], vec![b'\n']].concat();
            let client = &mut self.clients[place];
            if !client.tls.is_handshaking() && client.tls.writer().write_all(&line).is_ok() {
                client.said.extend(line);
            }
        }
    }

    /// A part of a record arrives, and its rest together with whatever is sent next.
    fn say_in_part(&mut self, place: usize) {
        self.say(place);
        let part = self.random.below(50);
        let client = &mut self.clients[place];
        while client.tls.wants_write() {
            client.tls.write_tls(&mut client.unsent).unwrap();
        }
        let part = part.min(client.unsent.len());
        client.network.arriving.extend(client.unsent.drain(..part));
        self.drive(place);
    }

    /// Transfers what client and server have to send to each other.
    fn talk(&mut self, place: usize) {
        let id = self.clients[place].id;
        // Enough rounds for all flights of a handshake and for an answer.
        for _ in 0..8 {
            let Some(client) = self.clients.get_mut(place).filter(|it| it.id == id) else {
                return;
            };
            while client.tls.wants_write() {
                client.tls.write_tls(&mut client.unsent).unwrap();
            }
            if !client.network.is_ended {
                client.network.arriving.extend(client.unsent.drain(..));
            }
            self.drive(place);
        }
        let Some(client) = self.clients.get(place).filter(|it| it.id == id) else {
            return;
        };
        let is_over = client.is_odd || client.told.ends_with(BYE);
        if !is_over && !client.network.is_blocked {
            assert!(client.told == client.said, "not all was answered");
        }
    }

    fn drive(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let mut drives = 0;
        let action = loop {
            drives += 1;
            assert!(drives < 1_000, "there is always more to do");
            match self.simulation.drive(client.id, &mut client.network) {
                LoopAction::Again => {}
                action => break action,
            }
        };
        client.hear();
        if action == LoopAction::Close {
            let client = self.clients.swap_remove(place);
            let told = client.told.strip_suffix(BYE).unwrap_or(&client.told);
            assert!(client.said.starts_with(told));
            self.lines += told.iter().filter(|byte| **byte == b'\n').count();
        }
    }

    fn must_hold(&self) {
        let counts = self.simulation.counts();
        assert_eq!(counts.library_faults, 0);
        assert_eq!(counts.accepted, self.opened as u64);
        assert_eq!(counts.accepted - counts.closed, self.clients.len() as u64);
        assert_eq!(self.simulation.len(), self.clients.len());
        assert!(self.simulation.kept_bytes() < MAX_KEPT);
        if self.second > self.exchanged + GRACE_SECONDS {
            for client in &self.clients {
                assert_eq!(
                    client.exchanges, self.exchanges,
                    "it has an old certificate"
                );
            }
        }
    }
}

impl Client {
    fn say_last_word(&mut self) {
        // Within a handshake, the library must still be able to report what is wrong.
        if !self.tls.is_handshaking() {
            self.is_odd = true;
            self.tls.send_close_notify();
        }
    }

    /// Reads what has arrived.
    fn hear(&mut self) {
        let left = std::mem::take(&mut self.network.left);
        let mut left = left.as_slice();
        while !left.is_empty() {
            let is_fine = matches!(self.tls.read_tls(&mut left), Ok(1..))
                && self.tls.process_new_packets().is_ok();
            // Reading fails at the end of the data, which is expected.
            let _ = self.tls.reader().read_to_end(&mut self.told);
            if !is_fine {
                self.is_odd = true;
                return;
            }
        }
    }
}

/// The configurations of clients of TLS 1.2 and 1.3, which resume their sessions.
fn configs() -> [Arc<ClientConfig>; 2] {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    [&TLS12, &TLS13].map(|version| {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        Arc::new(config)
    })
}

#[test]
fn a_day_leaves_nothing_behind() {
    let mut day = Day::new();
    let before = day.simulation.kept_bytes();
    for _ in 0..DAY_SECONDS {
        day.pass_a_second();
        if day.random.below(PAUSE_SECONDS) == 0 {
            day.act();
        }
        day.must_hold();
    }
    // An hour in which no client does anything.
    for _ in 0..3_600 {
        day.pass_a_second();
        day.must_hold();
    }
    assert!(
        day.clients.is_empty(),
        "a connection outlives its deadlines"
    );
    let counts = day.simulation.counts();
    assert_eq!(counts.closed, day.opened as u64);
    assert!(day.opened > 1_000, "{}", day.opened);
    assert!(counts.handshakes > 1_000, "{counts:?}");
    assert!(day.lines > 5_000, "{}", day.lines);
    // Only the shared buffers are left, as large as the most that was written at once.
    let kept = day.simulation.kept_bytes() - before;
    assert!(kept < 64 << 10, "{kept}");
}
