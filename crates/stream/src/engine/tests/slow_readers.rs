//! Clients that read slowly.

use super::*;

/// A network that takes `room` bytes more.
#[derive(Default)]
struct Window {
    arriving: VecDeque<u8>,
    room: usize,
    taken: usize,
}

impl Transport for Window {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.arriving.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::Read::read(&mut self.arriving, into)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let count = from.len().min(self.room);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.taken += count;
        Ok(count)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection to which a line of 100 bytes is written every second, and whose client
/// has always taken `late` bytes less than `rate` a second, beginning with 100. Returns
/// for how many seconds it stays open, up to 100, and how many connections were closed
/// because their client was too slow.
fn seconds_open(late: usize, rate: usize) -> (usize, u64) {
    let start = Instant::now();
    let mut engine = engine_of(Crowd::default(), None, true);
    let mut open = |host: u8| {
        let header = format!("PROXY TCP4 192.0.2.{host} 192.0.2.9 7000 80\r\n");
        let mut window = Window::default();
        window.arriving.extend(header.as_bytes());
        let id = engine.open(source()).unwrap();
        assert_eq!(engine.drive(id, &mut window), LoopAction::Wait);
        (id, window)
    };
    let (reader, mut reading) = open(1);
    let (writer, mut writing) = open(2);
    let line = format!("{}\n", "x".repeat(99));
    for second in 0..100 {
        engine.advance(start + Duration::from_secs(second as u64));
        while let Some(id) = engine.next_late() {
            assert_eq!(id, reader);
            if engine.drive(id, &mut reading) == LoopAction::Close {
                let slow = engine.worker.counters().closed_for(CloseReason::SlowReader);
                return (second, slow);
            }
        }
        reading.room = (100 + rate * second).saturating_sub(late + reading.taken);
        writing.room = 1_000;
        writing.arriving.extend(line.as_bytes());
        assert_eq!(engine.drive(writer, &mut writing), LoopAction::Wait);
        while let Some(id) = engine.next_collected() {
            let window = if id == reader {
                &mut reading
            } else {
                &mut writing
            };
            assert_ne!(engine.send_collected(id, window), LoopAction::Close);
        }
    }
    (100, 0)
}

#[test]
fn a_client_that_is_always_behind_stays() {
    assert_eq!(seconds_open(1, 100), (100, 0));
    assert_eq!(seconds_open(900, 100), (100, 0));
}

#[test]
fn a_client_that_takes_nearly_nothing_is_cut_off() {
    for (late, rate, expected) in [
        (100, 0, 10..=12),
        (99, 1, 10..=12),
        // The client takes the first line in time, but not those that came meanwhile.
        (90, 10, 15..=24),
    ] {
        let (seconds, slow) = seconds_open(late, rate);
        assert_eq!(slow, 1);
        assert!(expected.contains(&seconds), "{rate}: {seconds}");
    }
}
