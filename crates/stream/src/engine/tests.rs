//! Connections whose input and output is split arbitrarily, without sockets.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use aquatic_policy::AddressRange;
use aquatic_service::tls::{Files, Handle};
use aquatic_test_harness::certificates::{AUTHORITY, EC_CERTIFICATE, EC_KEY_SEC1};
use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::*;
use crate::{ConnectionLimits, EventLoop, Exchange, Next, Progress, tls_config};

mod dripping;
mod hostile_tls;
mod slow_readers;

const PROXY: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.9 7000 80\r\n";

/// Answers each line with itself; closes after an empty one.
struct Lines;

impl Protocol for Lines {
    type Connection = ();

    fn max_input_bytes(&self) -> usize {
        300
    }

    fn open(&mut self, peer: &Peer, _: ConnectionId) {
        assert_eq!(peer.transport, source());
    }

    fn receive(&mut self, (): &mut (), exchange: &mut Exchange<'_>) -> Progress {
        let Some(end) = exchange.input.iter().position(|byte| *byte == b'\n') else {
            return Progress::INCOMPLETE;
        };
        exchange.output.extend_from_slice(&exchange.input[..=end]);
        Progress {
            consumed: end + 1,
            next: if end == 0 {
                Next::Close
            } else {
                Next::Continue
            },
        }
    }
}

/// A network that lets the next of `sizes` through at a time, and blocks once in between.
struct Pieces {
    arriving: VecDeque<u8>,
    /// Whether the client has closed its side.
    is_ended: bool,
    left: Vec<u8>,
    writes: usize,
    sizes: Vec<usize>,
    next: usize,
    is_blocking: bool,
}

impl Pieces {
    fn new(arriving: &[u8], sizes: Vec<usize>) -> Self {
        Self {
            arriving: arriving.iter().copied().collect(),
            is_ended: false,
            left: Vec::new(),
            writes: 0,
            sizes,
            next: 0,
            is_blocking: false,
        }
    }

    /// How many bytes go through now.
    fn size(&mut self, wanted: usize) -> io::Result<usize> {
        self.is_blocking = !self.is_blocking;
        if self.is_blocking {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.next += 1;
        Ok(self.sizes[self.next % self.sizes.len()].min(wanted))
    }
}

impl Transport for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.arriving.is_empty() {
            return if self.is_ended {
                Ok(0)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
        }
        let size = self.size(into.len().min(self.arriving.len()))?;
        for (byte, to) in self.arriving.drain(..size).zip(into) {
            *to = byte;
        }
        Ok(size)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let size = self.size(from.len())?;
        self.writes += 1;
        self.left.extend_from_slice(&from[..size]);
        Ok(size)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn source() -> SocketAddr {
    "127.0.0.1:5".parse().unwrap()
}

fn engine(tls: Option<Arc<ServerConfig>>, is_proxied: bool) -> Engine<Lines> {
    engine_of(Lines, tls, is_proxied)
}

fn engine_of<P: Protocol>(
    protocol: P,
    tls: Option<Arc<ServerConfig>>,
    is_proxied: bool,
) -> Engine<P> {
    let loopback: AddressRange = "127.0.0.0/8".parse().unwrap();
    let limits = ConnectionLimits {
        max_connections_per_ip: NonZeroUsize::new(1),
        ..ConnectionLimits::default()
    };
    let shared = Shared {
        admission: Admission::new(&limits, [1; 16]),
        settings: Replaceable::new(Settings {
            event_loop: EventLoop::Mio,
            limits,
            proxy_protocol: is_proxied.then(|| [loopback].into_iter().collect()),
            reverse_proxy: None,
        }),
        tls,
        rotation: None,
        counters: [Counters::default()].into(),
    };
    Engine::new(protocol, Arc::new(shared), 0, Instant::now())
}

/// Drives a connection until no more data is transferred; returns the last action.
fn drive(engine: &mut Engine<Lines>, id: ConnectionId, pieces: &mut Pieces) -> LoopAction {
    loop {
        let before = (pieces.arriving.len(), pieces.left.len());
        let first = engine.drive(id, pieces);
        if first == LoopAction::Close {
            return first;
        }
        // The transport may have been about to block.
        let second = engine.drive(id, pieces);
        let after = (pieces.arriving.len(), pieces.left.len());
        if second == LoopAction::Close || before == after {
            return second;
        }
    }
}

fn lines() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-z]{1,200}\n", 1..40).prop_map(|lines| lines.concat())
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..4usize, 1..400usize, 1..100_000usize], 1..8)
}

fn tls() -> (Arc<ServerConfig>, ClientConnection) {
    tls_of(rustls::ALL_VERSIONS)
}

/// A TLS configuration with only this version.
fn tls_with(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, ClientConnection) {
    tls_of(&[version])
}

fn tls_of(versions: &[&'static SupportedProtocolVersion]) -> (Arc<ServerConfig>, ClientConnection) {
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
    let mut config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_protocol_versions(versions)
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    config.enable_secret_extraction = true;
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    (server, client)
}

proptest! {
    #[test]
    fn pieces_make_no_difference(text in lines(), sizes in sizes(), is_proxied: bool) {
        let mut engine = engine(None, is_proxied);
        let id = engine.open(source()).unwrap();
        let header = if is_proxied { PROXY } else { b"" };
        let mut pieces = Pieces::new(&[header, text.as_bytes()].concat(), sizes);
        prop_assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Wait);
        prop_assert_eq!(std::str::from_utf8(&pieces.left).unwrap(), &text);
        // No connection keeps memory that it does not need.
        let connection = engine.connections.get_mut(id).unwrap();
        prop_assert!(connection.unread.is_empty());
        prop_assert!(connection.unsent.is_empty());

        pieces.is_ended = true;
        prop_assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Close);
        prop_assert_eq!(engine.len(), 0);
    }

    #[test]
    fn pieces_of_records_make_no_difference(text in lines(), sizes in sizes()) {
        let (server, mut client) = tls();
        let mut engine = engine(Some(server), false);
        let id = engine.open(source()).unwrap();
        let mut pieces = Pieces::new(&[], sizes);
        let mut answer = Vec::new();
        let mut is_sent = false;
        while answer.len() < text.len() {
            if !client.is_handshaking() && !is_sent {
                io::Write::write_all(&mut client.writer(), text.as_bytes()).unwrap();
                is_sent = true;
            }
            let mut records = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut records).unwrap();
            }
            pieces.arriving.extend(records);
            prop_assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Wait);
            prop_assert!(!pieces.left.is_empty(), "nothing moves");
            let mut left = pieces.left.as_slice();
            while !left.is_empty() {
                client.read_tls(&mut left).unwrap();
                let state = client.process_new_packets().unwrap();
                let length = answer.len();
                answer.resize(length + state.plaintext_bytes_to_read(), 0);
                io::Read::read_exact(&mut client.reader(), &mut answer[length..]).unwrap();
            }
            pieces.left.clear();
        }
        prop_assert_eq!(String::from_utf8(answer).unwrap(), text);
    }

    #[test]
    fn no_bytes_do_harm(bytes: Vec<u8>, sizes in sizes(), is_tls: bool, is_proxied: bool) {
        let tls = is_tls.then(|| tls().0);
        let mut engine = engine(tls, is_proxied);
        let id = engine.open(source()).unwrap();
        let mut pieces = Pieces::new(&bytes, sizes);
        pieces.is_ended = true;
        prop_assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Close);
        prop_assert_eq!(engine.len(), 0);
        // The client's address may have another connection.
        prop_assert!(engine.open(source()).is_ok());
    }
}

#[test]
fn what_is_written_for_one_is_never_sent_to_another() {
    let (server, mut client) = tls();
    let mut engine = engine(Some(server), true);
    let id = engine.open(source()).unwrap();
    let mut records = PROXY.to_vec();
    client.write_tls(&mut records).unwrap();
    let mut gone = Pieces::new(&records, vec![100_000]);
    gone.is_ended = true;
    assert_eq!(drive(&mut engine, id, &mut gone), LoopAction::Close);

    let other = engine.open(source()).unwrap();
    let mut pieces = Pieces::new(b"no header", vec![100]);
    assert_eq!(drive(&mut engine, other, &mut pieces), LoopAction::Close);
    assert!(pieces.left.is_empty());
}

#[test]
fn deadlines_come_up_and_are_told() {
    let start = Instant::now();
    let mut engine = engine(None, false);
    let id = engine.open(source()).unwrap();
    let mut pieces = Pieces::new(b"one\ntw", vec![100]);
    assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Wait);

    let message_timeout = ConnectionLimits::default().message_timeout;
    engine.advance(start + message_timeout - Duration::from_secs(1));
    assert_eq!(engine.next_late(), None);
    engine.advance(start + message_timeout + Duration::from_secs(1));
    assert_eq!(engine.next_late(), Some(id));
    assert_eq!(engine.next_late(), None);
    // The incomplete message is discarded; the client is expected to close.
    assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Wait);
    pieces.is_ended = true;
    assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Close);
    let counters = engine.worker.counters();
    assert_eq!(counters.closed_for(CloseReason::SlowMessage), 1);
}

/// Sends each line to all connections.
#[derive(Default)]
struct Crowd(Vec<ConnectionId>);

impl Protocol for Crowd {
    type Connection = ();

    const COLLECTS_OUTPUT: bool = true;

    fn max_input_bytes(&self) -> usize {
        300
    }

    fn open(&mut self, _: &Peer, id: ConnectionId) {
        self.0.push(id);
    }

    fn receive(&mut self, (): &mut (), exchange: &mut Exchange<'_>) -> Progress {
        let Some(end) = exchange.input.iter().position(|byte| *byte == b'\n') else {
            return Progress::INCOMPLETE;
        };
        for id in &self.0 {
            if let Ok(output) = exchange.others.of(*id) {
                output.extend_from_slice(&exchange.input[..=end]);
            }
        }
        exchange.output.extend_from_slice(b"ok\n");
        Progress {
            consumed: end + 1,
            next: Next::Continue,
        }
    }
}

#[test]
fn a_connection_is_written_to_once_a_turn() {
    let mut engine = engine_of(Crowd::default(), None, true);
    let mut connections: Vec<(ConnectionId, Pieces)> = Vec::new();
    for host in 1..4 {
        let header = format!("PROXY TCP4 192.0.2.{host} 192.0.2.9 7000 80\r\n");
        let mut pieces = Pieces::new(header.as_bytes(), vec![1_000]);
        let id = engine.open(source()).unwrap();
        // All connections have to be open before one of them sends a line.
        for _ in 0..2 {
            assert_eq!(engine.drive(id, &mut pieces), LoopAction::Wait);
        }
        pieces.arriving.extend(b"one\ntwo\n");
        connections.push((id, pieces));
    }
    for (id, pieces) in &mut connections {
        for _ in 0..2 {
            assert_eq!(engine.drive(*id, pieces), LoopAction::Wait);
        }
        assert_eq!(pieces.writes, 0);
    }
    let mut waiting = 0;
    while let Some(id) = engine.next_collected() {
        let found = connections.iter_mut().find(|(other, _)| *other == id);
        let (_, pieces) = found.unwrap();
        // The next write blocks, the one after that does not.
        pieces.is_blocking = true;
        assert_eq!(engine.send_collected(id, pieces), LoopAction::Wait);
        waiting += 1;
    }
    assert_eq!(waiting, 3);
    for (_, pieces) in &connections {
        assert_eq!(pieces.writes, 1);
        // Six lines for all connections, and two answers.
        let text = std::str::from_utf8(&pieces.left).unwrap();
        assert_eq!(text.lines().count(), 8, "{text}");
    }
}

#[test]
fn who_ends_behind_a_message_gets_what_waits_for_it() {
    let mut engine = engine_of(Crowd::default(), None, false);
    let id = engine.open(source()).unwrap();
    let mut pieces = Pieces::new(b"one\n", vec![1_000]);
    pieces.is_ended = true;
    // The client's message and the end of its input come in one turn.
    assert_eq!(engine.drive(id, &mut pieces), LoopAction::Wait);
    assert_eq!(engine.drive(id, &mut pieces), LoopAction::Close);
    assert_eq!(pieces.left, b"one\nok\n");
    assert_eq!(engine.len(), 0);
}

#[test]
fn what_comes_behind_the_last_message_is_not_kept() {
    let (server, mut client) = tls();
    for tls in [None, Some(server)] {
        let is_tls = tls.is_some();
        let mut engine = engine(tls, false);
        let id = engine.open(source()).unwrap();
        let mut pieces = Pieces::new(&[], vec![100_000]);
        let last = [b"\n".to_vec(), vec![b'x'; 50_000]].concat();
        if is_tls {
            while client.is_handshaking() {
                exchange(&mut engine, id, &mut pieces, &mut client);
            }
            io::Write::write_all(&mut client.writer(), &last).unwrap();
            exchange(&mut engine, id, &mut pieces, &mut client);
        } else {
            pieces.arriving.extend(last);
            assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Wait);
        }
        let connection = engine.connections.get_mut(id).unwrap();
        assert!(matches!(connection.stage, Stage::Lingering));
        assert_eq!(connection.kept_bytes(), 0);
        pieces.arriving.extend([b'x'; 1_000]);
        assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Wait);
        pieces.is_ended = true;
        assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Close);
    }
}

/// Exchanges data between the TLS client and the engine.
fn exchange(
    engine: &mut Engine<Lines>,
    id: ConnectionId,
    pieces: &mut Pieces,
    client: &mut ClientConnection,
) {
    let mut records = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut records).unwrap();
    }
    pieces.arriving.extend(records);
    assert_eq!(drive(engine, id, pieces), LoopAction::Wait);
    let left = std::mem::take(&mut pieces.left);
    let mut left = left.as_slice();
    while !left.is_empty() {
        client.read_tls(&mut left).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// A network that takes one byte at a time, and never blocks.
struct Sips {
    arriving: VecDeque<u8>,
    left: Vec<u8>,
}

impl Transport for Sips {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.arriving.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::Read::read(&mut self.arriving, into)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.left.push(from[0]);
        Ok(1)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn others_are_driven_while_much_is_written() {
    const LENGTH: usize = 250;
    let mut engine = engine(None, false);
    let id = engine.open(source()).unwrap();
    let mut text = vec![b'x'; LENGTH - 1];
    text.push(b'\n');
    let mut sips = Sips {
        arriving: text.iter().copied().collect(),
        left: Vec::new(),
    };
    let mut drives = 1;
    while engine.drive(id, &mut sips) == LoopAction::Again {
        drives += 1;
        assert!(sips.left.len() <= drives * 65, "{}", sips.left.len());
    }
    assert_eq!(sips.left, text);
    assert!(drives >= 4, "{drives}");
}
