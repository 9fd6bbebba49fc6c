//! Invariants for a connection with TLS whose client's bytes are split, damaged, reordered,
//! and forged with the right keys, while the network blocks and time passes.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use aquatic_policy::AddressRange;
use aquatic_service::tls::{Files, Handle};
use aquatic_stream::simulation::{LoopAction, Setup, Simulation, Transport};
use aquatic_stream::{
    ConnectionId, ConnectionLimits, EventLoop, Exchange, Interruption, Next, Peer, Progress,
    Protocol, Settings, tls_config,
};
use aquatic_test_harness::certificates::{AUTHORITY, EC_CERTIFICATE, EC_KEY_SEC1};
use aquatic_test_harness::records::Records;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ContentType, RootCertStore, ServerConfig};

/// Maximum length of a line.
const MAX_LINE_BYTES: usize = 300;

/// More than a connection may keep: twice the sum of one read, a handshake message, and the
/// replies to both.
const MAX_KEPT: usize = 1 << 20;

/// Longer than all deadlines together.
const LIFE: Duration = Duration::from_secs(120);

const PROXY: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.9 7000 443\r\n";

/// Maximum number of bytes up to which sent bytes are repeated: each repetition can double
/// them.
const MAX_SENT: usize = 1 << 17;

/// Maximum number of key updates of a client: rustls closes connections with more than 32
/// in a row.
const MAX_ROTATIONS: usize = 30;

/// Maximum number of steps in a script.
const MAX_STEPS: usize = 300;

/// Panics if an invariant does not hold.
pub(crate) fn check(script: &[u8]) {
    let mut script = script.iter().copied();
    let mut world = World::new(script.next().unwrap_or(0));
    for _ in 0..MAX_STEPS {
        let (Some(step), Some(argument)) = (script.next(), script.next()) else {
            break;
        };
        world.step(step, usize::from(argument), &mut script);
        world.must_hold();
    }
    world.end();
}

/// Length in bytes from which on a line is echoed in parts.
const LONG_LINE: usize = 120;

/// Bytes of such a part.
const PART: usize = 16;

/// A server that echoes each line, long ones in parts, and records all of them.
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Protocol for Lines {
    /// The rest of an echo.
    type Connection = Vec<u8>;

    fn max_input_bytes(&self) -> usize {
        MAX_LINE_BYTES
    }

    fn open(&mut self, _: &Peer, _: ConnectionId) -> Vec<u8> {
        Vec::new()
    }

    fn has_more(rest: &Vec<u8>) -> bool {
        !rest.is_empty()
    }

    fn resume(&mut self, rest: &mut Vec<u8>, exchange: &mut Exchange<'_>) -> Next {
        assert!(exchange.input.is_empty());
        exchange.output.extend(rest.drain(..PART.min(rest.len())));
        Next::Continue
    }

    fn receive(&mut self, rest: &mut Vec<u8>, exchange: &mut Exchange<'_>) -> Progress {
        assert!(rest.is_empty(), "the echo is not complete");
        let Some(end) = exchange.input.iter().position(|byte| *byte == b'\n') else {
            return Progress::INCOMPLETE;
        };
        let line = &exchange.input[..=end];
        if line.len() < LONG_LINE {
            exchange.output.extend_from_slice(line);
        } else {
            rest.extend_from_slice(line);
        }
        self.0.lock().unwrap().extend_from_slice(line);
        Progress {
            consumed: end + 1,
            next: Next::Continue,
        }
    }

    fn interrupt(
        &mut self,
        rest: &mut Vec<u8>,
        exchange: &mut Exchange<'_>,
        _: Interruption,
    ) -> Next {
        assert!(rest.is_empty(), "the echo is not complete");
        exchange.output.extend_from_slice(b"bye\n");
        Next::Close
    }
}

/// The network between client and server.
struct Network {
    arriving: VecDeque<u8>,
    is_ended: bool,
    left: Vec<u8>,
    /// How many bytes it accepts from the server.
    room: usize,
    read: u64,
    written: u64,
}

impl Transport for Network {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.arriving.is_empty() {
            return if self.is_ended {
                Ok(0)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
        }
        let count = self.arriving.read(into)?;
        self.read += count as u64;
        Ok(count)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let count = self.room.min(from.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.left.extend_from_slice(&from[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The writer of the client's records.
enum Client {
    Library(Box<ClientConnection>),
    Forger(Records),
    /// The library has closed the connection.
    Dead,
}

struct World {
    simulation: Simulation<Lines>,
    id: Option<ConnectionId>,
    network: Network,
    client: Client,
    /// What the client has sent and the network has not delivered.
    sent: Vec<u8>,
    /// Data that was sent with the right keys, and the part that the server has received.
    said: Vec<u8>,
    heard: Arc<Mutex<Vec<u8>>>,
    /// The data that the client has received.
    told: Vec<u8>,
    /// Whether nothing has prevented the data from being received.
    is_clean: bool,
    /// Number of key updates of the client.
    rotations: usize,
    now: Instant,
}

impl World {
    fn new(kind: u8) -> Self {
        let is_proxied = kind & 2 != 0;
        let now = Instant::now();
        let heard = Arc::default();
        let (server, clients) = configurations();
        let loopback: AddressRange = "127.0.0.0/8".parse().unwrap();
        let settings = Settings {
            event_loop: EventLoop::Mio,
            limits: ConnectionLimits {
                max_connections_per_ip: NonZeroUsize::new(1),
                idle_timeout: Duration::from_secs(20),
                ..ConnectionLimits::default()
            },
            proxy_protocol: is_proxied.then(|| [loopback].into_iter().collect()),
            reverse_proxy: None,
        };
        let setup = Setup {
            settings,
            tls: Some(Arc::clone(server)),
            rotation: None,
        };
        let mut simulation = Simulation::new(Lines(Arc::clone(&heard)), setup, now);
        let id = simulation.open("127.0.0.1:5".parse().unwrap());
        assert!(id.is_some());
        let client = Arc::clone(&clients[usize::from(kind & 1)]);
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(client, name).unwrap();
        let mut world = Self {
            simulation,
            id,
            network: Network {
                arriving: VecDeque::new(),
                is_ended: false,
                left: Vec::new(),
                room: usize::MAX,
                read: 0,
                written: 0,
            },
            client: Client::Library(Box::new(client)),
            sent: if is_proxied {
                PROXY.to_vec()
            } else {
                Vec::new()
            },
            said: Vec::new(),
            heard,
            told: Vec::new(),
            is_clean: true,
            rotations: 0,
            now,
        };
        world.drive();
        world.exchange();
        world
    }

    fn step(&mut self, step: u8, argument: usize, script: &mut impl Iterator<Item = u8>) {
        let length = self.sent.len();
        // A position in the sent bytes, as often near the end as at the start.
        let place = argument * (length + 1) / 256;
        match step % 16 {
            0 | 1 => self.say(argument),
            2 => self.deliver(length),
            3 => self.deliver(place),
            4 => self.deliver(1.min(length)),
            5 if place < length => self.sent[place] ^= 1 << (argument % 8),
            6 => drop(self.sent.drain(place..length.min(place + 1 + argument % 7))),
            7 if length < MAX_SENT => self.sent.extend_from_within(place..),
            8 => self.sent.rotate_left(place),
            9 => self.sent.extend(script.take(argument % 32)),
            10 | 11 => {
                let kind = [20, 21, 22, 22, 23, 24][argument % 6];
                let payload: Vec<u8> = script.take(argument / 6 % 24).collect();
                self.forge(ContentType::from(kind), &payload);
            }
            12 => {
                self.is_clean = false;
                self.pass(Duration::from_millis(100 * argument as u64));
            }
            13 => {
                self.network.room = argument * 16;
                self.drive();
            }
            14 => self.renew_keys(),
            15 if argument < 64 => {
                self.is_clean = false;
                self.simulation.drain();
                self.drive();
            }
            15 => self.finish(argument.is_multiple_of(2)),
            _ => {}
        }
        self.is_clean &= !matches!(step % 16, 5..=11);
        self.exchange();
    }

    fn say(&mut self, length: usize) {
        let mut line = vec![b'a' + (length % 26) as u8; length % 200];
        line.push(b'\n');
        match &mut self.client {
            Client::Library(client) => {
                // No data is sent before the end of the handshake.
                let is_said = !client.is_handshaking() && client.writer().write_all(&line).is_ok();
                if is_said {
                    self.said.extend_from_slice(&line);
                }
            }
            Client::Forger(records) => {
                self.sent
                    .extend(records.seal(ContentType::ApplicationData, &line));
                self.said.extend_from_slice(&line);
            }
            Client::Dead => {}
        }
    }

    /// A record of any type, with the right keys if there are any yet.
    fn forge(&mut self, kind: ContentType, payload: &[u8]) {
        self.exchange();
        self.client = match std::mem::replace(&mut self.client, Client::Dead) {
            Client::Library(client) if !client.is_handshaking() && !client.wants_write() => {
                Client::Forger(Records::of(*client))
            }
            other => other,
        };
        let Client::Forger(records) = &mut self.client else {
            return;
        };
        self.sent.extend(records.seal(kind, payload));
        if kind == ContentType::ApplicationData {
            self.said.extend_from_slice(payload);
        }
    }

    fn renew_keys(&mut self) {
        if let Client::Library(client) = &mut self.client
            && !client.is_handshaking()
            && self.rotations < MAX_ROTATIONS
        {
            // TLS 1.2 has no key update.
            let _ = client.refresh_traffic_keys();
            self.rotations += 1;
        }
    }

    fn finish(&mut self, is_told: bool) {
        self.is_clean = false;
        if is_told {
            if let Client::Library(client) = &mut self.client {
                client.send_close_notify();
                if client.is_handshaking() {
                    // The library gets no more input then: it asserts that it sends no
                    // alert after closing, and a damaged hello would make it send one.
                    while client.wants_write() {
                        client.write_tls(&mut self.sent).unwrap();
                    }
                    self.client = Client::Dead;
                }
            }
        } else {
            self.network.is_ended = true;
            self.drive();
        }
    }

    /// Delivers bytes of the client to the server.
    fn deliver(&mut self, count: usize) {
        if !self.network.is_ended {
            self.network.arriving.extend(self.sent.drain(..count));
        }
        self.drive();
    }

    fn drive(&mut self) {
        let Some(id) = self.id else {
            return;
        };
        for _ in 0..10_000 {
            match self.simulation.drive(id, &mut self.network) {
                LoopAction::Again => {}
                LoopAction::Close => {
                    self.id = None;
                    return;
                }
                LoopAction::Wait | LoopAction::WaitToWrite => return,
            }
        }
        panic!("there is always more to do");
    }

    /// Lets the client read what has arrived, and write its replies.
    fn exchange(&mut self) {
        let mut left = std::mem::take(&mut self.network.left);
        let is_dead = match &mut self.client {
            Client::Library(client) => {
                let mut left = left.as_slice();
                let mut is_dead = false;
                while !left.is_empty() && !is_dead {
                    is_dead = !matches!(client.read_tls(&mut left), Ok(1..))
                        || client.process_new_packets().is_err();
                    let mut plain = Vec::new();
                    // It fails at the end of the data, which is visible in the received data.
                    let _ = client.reader().read_to_end(&mut plain);
                    self.told.extend(plain);
                }
                while client.wants_write() {
                    client.write_tls(&mut self.sent).unwrap();
                }
                is_dead
            }
            Client::Forger(records) => {
                while records.open(&mut left, &mut self.told).is_ok() {}
                false
            }
            Client::Dead => false,
        };
        if is_dead {
            self.client = Client::Dead;
            self.is_clean = false;
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.simulation.advance(self.now);
        while let Some(late) = self.simulation.next_late() {
            assert_eq!(Some(late), self.id);
            self.drive();
        }
    }

    fn must_hold(&self) {
        let counts = self.simulation.counts();
        assert_eq!(counts.library_faults, 0);
        assert_eq!(
            counts.accepted - counts.closed,
            self.simulation.len() as u64
        );
        assert!(counts.cut <= 1);
        assert_eq!(counts.received_bytes, self.network.read);
        assert_eq!(counts.sent_bytes, self.network.written);
        assert!(self.simulation.kept_bytes() < MAX_KEPT);
        let heard = self.heard.lock().unwrap();
        assert!(
            self.said.starts_with(&heard),
            "it has heard what was not said"
        );
    }

    fn end(&mut self) {
        if self.is_clean && self.id.is_some() {
            self.network.room = usize::MAX;
            // A handshake has at most this number of flights.
            for _ in 0..6 {
                self.deliver(self.sent.len());
                self.exchange();
            }
            assert!(self.id.is_some(), "nothing was wrong");
            assert_eq!(*self.heard.lock().unwrap(), self.said);
            assert_eq!(self.told, self.said);
        }
        let end = self.now + LIFE;
        while self.now < end && !self.simulation.is_empty() {
            self.pass(Duration::from_secs(1));
            self.must_hold();
        }
        assert!(
            self.simulation.is_empty(),
            "the connection outlives its deadlines"
        );
        assert_eq!(self.simulation.counts().closed, 1);
        // Another connection from its address may be opened.
        assert!(
            self.simulation
                .open("127.0.0.1:6".parse().unwrap())
                .is_some()
        );
    }
}

/// The configuration of the server, and those of clients with TLS 1.2 and 1.3.
fn configurations() -> &'static (Arc<ServerConfig>, [Arc<ClientConfig>; 2]) {
    static CONFIGURATIONS: OnceLock<(Arc<ServerConfig>, [Arc<ClientConfig>; 2])> = OnceLock::new();

    CONFIGURATIONS.get_or_init(|| {
        let directory = tempfile::TempDir::new().unwrap();
        let files = Files {
            certificate: directory.path().join("certificate.pem"),
            key: directory.path().join("key.pem"),
        };
        std::fs::write(&files.certificate, EC_CERTIFICATE).unwrap();
        std::fs::write(&files.key, EC_KEY_SEC1).unwrap();
        let server = tls_config(Arc::new(Handle::new(files).unwrap())).unwrap();
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let clients = [&TLS12, &TLS13].map(|version| {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.enable_secret_extraction = true;
            Arc::new(config)
        });
        (server, clients)
    })
}
