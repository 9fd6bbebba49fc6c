//! Malformed and unexpected input where TLS is expected. Each of these ended a daemon
//! once, or could have.

use aquatic_test_harness::records::Records;
use rustls::version::{TLS12, TLS13};
use rustls::{ContentType, ProtocolVersion, SupportedProtocolVersion};

use super::*;

/// The handshake message that asks for new keys (RFC 8446, section 4.6.3).
const KEY_UPDATE: &[u8] = b"\x18\0\0\x01\x01";

/// A record that is not encrypted.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 1], &length[..], payload].concat()
}

/// The first flight of a client, without its record's header.
fn hello() -> Vec<u8> {
    let mut hello = Vec::new();
    tls().1.write_tls(&mut hello).unwrap();
    hello.split_off(5)
}

/// Everything that is known to have ended a process, and similar input.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let hello = hello();
    let (start, rest) = hello.split_at(hello.len() / 2);
    let half = record(22, start);
    let whole = record(22, &hello);
    let with = |more: Vec<u8>| [half.clone(), more].concat();
    vec![
        ("ten bytes", b"\x16\x03\x01\x00\x05\0\0\0\0\0".to_vec()),
        ("half a hello, an alert", with(record(21, b"\x02\x28"))),
        ("half a hello, a warning", with(record(21, b"\x01\0"))),
        ("half a hello, data", with(record(23, b"data"))),
        (
            "half a hello, a change of ciphers",
            with(record(20, b"\x01")),
        ),
        ("half a hello, another", with(whole.clone())),
        ("half a hello, half another", with(half.clone())),
        ("half a hello, an empty record", with(record(22, b""))),
        (
            "half a hello, no record",
            with(b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ),
        ("zeros", record(22, &[0; 500]).repeat(20)),
        ("zeros, four at a time", record(22, &[0; 4]).repeat(500)),
        ("zeros, one at a time", record(22, &[0]).repeat(500)),
        (
            "too large a message",
            record(22, b"\x01\xff\xff\xff\x03\x03").repeat(30),
        ),
        (
            "a little too large",
            record(22, &[&b"\x01\x01\0\0"[..], &[3; 9_000]].concat()).repeat(8),
        ),
        (
            "too large a record",
            [b"\x16\x03\x01\xff\xff".to_vec(), vec![0; 70_000]].concat(),
        ),
        (
            "a hello with a tail",
            record(22, &[&hello[..], b"tail"].concat()),
        ),
        ("a hello with another", record(22, &hello.repeat(2))),
        (
            "a hello and an alert",
            [whole.clone(), record(21, b"\x02\0")].concat(),
        ),
        (
            "a hello and data",
            [whole.clone(), record(23, &[7; 90])].concat(),
        ),
        ("two hellos", whole.repeat(2)),
        ("a hello with a half", [whole, half.clone()].concat()),
        (
            "a hello byte by byte, and its tail",
            [
                hello.iter().flat_map(|byte| record(22, &[*byte])).collect(),
                record(22, rest),
            ]
            .concat(),
        ),
    ]
}

/// Lets deadlines pass until the connection is gone.
fn outlive(engine: &mut Engine<Lines>, id: ConnectionId, pieces: &mut Pieces, mut now: Instant) {
    for _ in 0..600 {
        if engine.len() == 0 {
            return;
        }
        now += Duration::from_secs(1);
        engine.advance(now);
        while let Some(late) = engine.next_late() {
            assert_eq!(late, id);
            drive(engine, id, pieces);
        }
    }
    panic!("the connection outlives its deadlines");
}

#[test]
fn strangers_harm_nobody_but_themselves() {
    let now = Instant::now();
    for (what, bytes) in inputs() {
        for sizes in [vec![1], vec![5, 1], vec![100_000]] {
            for ends in [false, true] {
                let (server, _) = tls();
                let mut engine = engine(Some(server), false);
                let id = engine.open(source()).unwrap();
                let mut pieces = Pieces::new(&bytes, sizes.clone());
                pieces.is_ended = ends;
                drive(&mut engine, id, &mut pieces);
                outlive(&mut engine, id, &mut pieces, now);
                let counters = engine.worker.counters();
                assert_eq!(
                    counters.closed_for(CloseReason::TlsLibrary),
                    0,
                    "{what}, {sizes:?}"
                );
                // The reply is an alert, or a handshake message after a valid hello.
                if let Some(kind) = pieces.left.first() {
                    assert!([21, 22].contains(kind), "{what}: {:?}", pieces.left);
                }
            }
        }
    }
}

/// A connection whose handshake is done, and the keys of its client.
struct Established {
    engine: Engine<Lines>,
    id: ConnectionId,
    pieces: Pieces,
    records: Records,
    now: Instant,
}

impl Established {
    fn new(version: &'static SupportedProtocolVersion, sizes: Vec<usize>) -> Self {
        let now = Instant::now();
        let (server, mut client) = tls_with(version);
        let mut engine = engine(Some(server), false);
        let id = engine.open(source()).unwrap();
        let mut pieces = Pieces::new(&[], sizes);
        for _ in 0..3 {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            pieces.arriving.extend(flight);
            assert_eq!(drive(&mut engine, id, &mut pieces), LoopAction::Wait);
            let mut left = pieces.left.as_slice();
            while !left.is_empty() {
                client.read_tls(&mut left).unwrap();
                client.process_new_packets().unwrap();
            }
            pieces.left.clear();
        }
        assert!(!client.is_handshaking());
        Self {
            engine,
            id,
            pieces,
            records: Records::of(client),
            now,
        }
    }

    fn send(&mut self, kind: ContentType, payload: &[u8]) -> LoopAction {
        let record = self.records.seal(kind, payload);
        self.pieces.arriving.extend(record);
        drive(&mut self.engine, self.id, &mut self.pieces)
    }

    /// What the server has sent, decrypted.
    fn answer(&mut self) -> String {
        let mut plain = Vec::new();
        while self.records.open(&mut self.pieces.left, &mut plain).is_ok() {}
        String::from_utf8(plain).unwrap()
    }

    fn outlive(&mut self) {
        outlive(&mut self.engine, self.id, &mut self.pieces, self.now);
        let counters = self.engine.worker.counters();
        assert_eq!(counters.closed_for(CloseReason::TlsLibrary), 0);
    }
}

#[test]
fn a_part_of_a_handshake_message_after_the_handshake_is_kept() {
    for version in [&TLS12, &TLS13] {
        for sizes in [vec![1], vec![5, 1], vec![100_000]] {
            for part in 1..KEY_UPDATE.len() {
                let part = &KEY_UPDATE[..part];
                // Alone, until the deadline.
                let mut alone = Established::new(version, sizes.clone());
                assert_eq!(alone.send(ContentType::Handshake, part), LoopAction::Wait);
                alone.outlive();

                // Behind a request, which is answered.
                let mut behind = Established::new(version, sizes.clone());
                let mut records = behind.records.seal(ContentType::ApplicationData, b"one\n");
                records.extend(behind.records.seal(ContentType::Handshake, part));
                behind.pieces.arriving.extend(records);
                assert_eq!(
                    drive(&mut behind.engine, behind.id, &mut behind.pieces),
                    LoopAction::Wait
                );
                assert_eq!(behind.answer(), "one\n");
                behind.outlive();

                // Before a request, where it is not allowed (RFC 8446, 5.1).
                let mut before = Established::new(version, sizes.clone());
                assert_eq!(before.send(ContentType::Handshake, part), LoopAction::Wait);
                before.send(ContentType::ApplicationData, b"one\n");
                assert_eq!(before.answer(), "");
                before.outlive();
            }
        }
    }
}

#[test]
fn keys_are_changed_at_any_place() {
    for split in 1..KEY_UPDATE.len() {
        let mut client = Established::new(&TLS13, vec![100_000]);
        assert_eq!(
            client.send(ContentType::ApplicationData, b"one\n"),
            LoopAction::Wait
        );
        assert_eq!(client.answer(), "one\n");
        let (first, second) = KEY_UPDATE.split_at(split);
        assert_eq!(client.send(ContentType::Handshake, first), LoopAction::Wait);
        assert_eq!(
            client.send(ContentType::Handshake, second),
            LoopAction::Wait
        );
        let counters = client.engine.worker.counters();
        assert_eq!(counters.closed_for(CloseReason::Tls), 0);
        client.outlive();
    }
}

#[test]
fn records_without_content_keep_nothing_for_ever() {
    for version in [&TLS12, &TLS13] {
        for kind in [ContentType::Handshake, ContentType::ApplicationData] {
            let mut client = Established::new(version, vec![100_000]);
            for _ in 0..5_000 {
                // Records without content, with data in between, without end.
                client.send(kind, b"");
                client.send(ContentType::ApplicationData, b"\n");
                let Some(connection) = client.engine.connections.get_mut(client.id) else {
                    break;
                };
                assert!(
                    connection.kept_bytes() < 2 * MAX_HANDSHAKE_BYTES,
                    "{kind:?}"
                );
                client.pieces.left.clear();
            }
            client.outlive();
        }
    }
}

#[test]
fn versions_are_what_they_are_called() {
    for (version, number) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        assert_eq!(version.version, number);
        let mut client = Established::new(version, vec![100_000]);
        assert_eq!(
            client.send(ContentType::ApplicationData, b"a\nb\n"),
            LoopAction::Wait
        );
        assert_eq!(client.answer(), "a\nb\n");
        assert_eq!(
            client.send(ContentType::Alert, b"\x01\0"),
            LoopAction::Close
        );
        assert_eq!(client.engine.len(), 0);
    }
}
