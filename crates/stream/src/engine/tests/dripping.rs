//! Messages that arrive byte by byte, while much of them is buffered.

use nix::time::{ClockId, clock_gettime};

use super::*;

/// The longest message that a daemon can be configured to take.
const LENGTH: usize = 16 << 20;

/// How many bytes at the end of a message arrive one by one.
const SINGLE: usize = 1_000;

/// Processor time that one byte may take, in a build for tests and on a slow machine.
/// Moving all buffered bytes takes a hundred times as long.
const TIME_PER_BYTE: Duration = Duration::from_micros(100);

/// Messages of one length, which are answered with an `x`.
struct Blobs(Vec<u8>);

impl Protocol for Blobs {
    type Connection = ();

    fn max_input_bytes(&self) -> usize {
        LENGTH + 1
    }

    fn open(&mut self, _: &Peer, _: ConnectionId) {}

    fn receive(&mut self, (): &mut (), exchange: &mut Exchange<'_>) -> Progress {
        let Some(message) = exchange.input.get(..LENGTH) else {
            return Progress::INCOMPLETE;
        };
        assert!(message == self.0, "the message has arrived as it was sent");
        exchange.output.push(b'x');
        Progress {
            consumed: LENGTH,
            next: Next::Continue,
        }
    }
}

/// A network that lets everything through.
#[derive(Default)]
struct Straight<'a> {
    arriving: &'a [u8],
    left: Vec<u8>,
}

impl Transport for Straight<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.arriving.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::Read::read(&mut self.arriving, into)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.left.extend_from_slice(from);
        Ok(from.len())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn message() -> Vec<u8> {
    (0..LENGTH / 4)
        .flat_map(|number| (number as u32).to_le_bytes())
        .collect()
}

fn processor_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
}

/// Lets bytes arrive; returns what the server sent.
fn arrive(engine: &mut Engine<Blobs>, id: ConnectionId, arriving: &[u8]) -> Vec<u8> {
    let mut network = Straight {
        arriving,
        left: Vec::new(),
    };
    while engine.drive(id, &mut network) == LoopAction::Again {}
    assert!(network.arriving.is_empty());
    network.left
}

/// Lets bytes arrive one by one; returns what the server sent.
fn drip(engine: &mut Engine<Blobs>, id: ConnectionId, bytes: &[u8]) -> Vec<u8> {
    let mut left = Vec::new();
    let before = processor_time();
    for byte in bytes.chunks(1) {
        left.extend(arrive(engine, id, byte));
    }
    let time = (processor_time() - before) / bytes.len() as u32;
    println!("{time:?} a byte");
    assert!(time < TIME_PER_BYTE);
    left
}

#[test]
fn a_byte_costs_the_same_whatever_waits() {
    let message = message();
    let mut engine = engine_of(Blobs(message.clone()), None, false);
    let id = engine.open(source()).unwrap();
    // The second message has the same time limit as the first; no memory is kept for
    // either.
    for _ in 0..2 {
        let (most, last) = message.split_at(LENGTH - SINGLE);
        assert!(arrive(&mut engine, id, most).is_empty());
        assert_eq!(drip(&mut engine, id, last), b"x");
        let connection = engine.connections.get_mut(id).unwrap();
        assert_eq!(connection.kept_bytes(), 0);
    }
}

#[test]
fn a_byte_in_a_record_of_its_own_costs_the_same_whatever_waits() {
    let (server, mut client) = tls();
    let message = message();
    let mut engine = engine_of(Blobs(message.clone()), Some(server), false);
    let id = engine.open(source()).unwrap();
    client.set_buffer_limit(None);
    while client.is_handshaking() || client.wants_write() {
        let left = arrive(&mut engine, id, &records(&mut client));
        assert_eq!(hear(&mut client, &left), 0);
    }
    let (most, last) = message.split_at(LENGTH - SINGLE);
    io::Write::write_all(&mut client.writer(), most).unwrap();
    assert!(arrive(&mut engine, id, &records(&mut client)).is_empty());
    let mut singles = Vec::new();
    for byte in last.chunks(1) {
        io::Write::write_all(&mut client.writer(), byte).unwrap();
        singles.extend(records(&mut client));
    }
    let answer = drip(&mut engine, id, &singles);
    assert_eq!(hear(&mut client, &answer), 1);
    let connection = engine.connections.get_mut(id).unwrap();
    assert_eq!(connection.kept_bytes(), 0);
}

/// What the client has to send.
fn records(client: &mut ClientConnection) -> Vec<u8> {
    let mut records = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut records).unwrap();
    }
    records
}

/// Passes what the server sent to the client; returns how many bytes of an answer it has.
fn hear(client: &mut ClientConnection, mut sent: &[u8]) -> usize {
    let mut length = 0;
    while !sent.is_empty() {
        client.read_tls(&mut sent).unwrap();
        length = client
            .process_new_packets()
            .unwrap()
            .plaintext_bytes_to_read();
    }
    length
}
