//! Streams of records for other programs.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_cluster::Outbox;
use aquatic_cluster::engine::{
    ACL_RULES, Appended, EngineError, EngineLink, EngineSettings, Numbered, RecordStream,
};
use aquatic_test_harness::waiting::eventually;

use crate::fake::Fake;
use crate::node::{Members, settings};
use crate::server::Server;

const KEY: &str = "{aquatic}:test:records";

/// A limit that no test reaches.
const MANY: u64 = 1_000_000;

/// Appends the numbers from 1 on.
struct Writer {
    stream: RecordStream,
    /// The number of the first record that is not in the stream yet, and of the next one.
    first: u64,
    next: u64,
    max_records: u64,
}

fn stream(settings: EngineSettings) -> RecordStream {
    let outbox = Arc::new(Outbox::new(1 << 20));
    // Without its threads.
    let link = EngineLink::new(settings, outbox, Arc::<Members>::default(), None);
    link.handle.record_stream("records")
}

impl Writer {
    fn new(url: &str) -> Self {
        Self::with(settings(url, "one"))
    }

    fn with(settings: EngineSettings) -> Self {
        Self {
            stream: stream(settings),
            first: 1,
            next: 1,
            max_records: MANY,
        }
    }

    /// Has so many more records to append.
    fn add(&mut self, count: u64) {
        self.next += count;
    }

    fn append(&mut self) -> Result<Appended, EngineError> {
        let records: Vec<String> = (self.first..self.next)
            .map(|number| self.record(number))
            .collect();
        let records: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
        let numbered = Numbered {
            first: self.first,
            records: &records,
        };
        let appended = self.stream.append(numbered, self.max_records);
        if appended == Ok(Appended::All) {
            self.first = self.next;
        }
        appended
    }

    fn record(&self, number: u64) -> String {
        format!("{:x} {number}", self.stream.writer())
    }

    /// Appends what waits, with whatever errors in between.
    #[track_caller]
    fn finish(&mut self) {
        eventually("all are appended", || {
            (self.append() == Ok(Appended::All)).then_some(())
        });
    }

    /// The error that it gets, once it is connected.
    #[track_caller]
    fn error(&mut self) -> EngineError {
        eventually("an error", || self.append().err())
    }
}

/// What the stream contains.
#[track_caller]
fn contents(server: &Server) -> Vec<String> {
    let entries: Vec<(String, Vec<(String, String)>)> = server.say(&format!("XRANGE {KEY} - +"));
    let record = |(_, fields): (String, Vec<(String, String)>)| {
        let [(name, record)] = &fields[..] else {
            panic!("{fields:?}");
        };
        assert_eq!(name, "json");
        record.clone()
    };
    entries.into_iter().map(record).collect()
}

/// The stream contains exactly the records of these writers, each in its order.
#[track_caller]
fn check(server: &Server, writers: &[&Writer]) {
    let contents = contents(server);
    let mut count = 0;
    for writer in writers {
        let prefix = format!("{:x} ", writer.stream.writer());
        let own: Vec<&String> = contents
            .iter()
            .filter(|it| it.starts_with(&prefix))
            .collect();
        let expected: Vec<String> = (1..writer.first).map(|it| writer.record(it)).collect();
        assert!(own.into_iter().eq(&expected), "of {}", expected.len());
        count += expected.len();
    }
    assert_eq!(contents.len(), count);
}

#[test]
fn records_of_several_writers_are_in_one_stream() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut one = Writer::new(&server.url());
    let mut two = Writer::new(&server.url());
    for count in [0, 1, 5, 200] {
        for writer in [&mut one, &mut two] {
            writer.add(count);
            writer.finish();
        }
    }
    check(&server, &[&one, &two]);
    let seconds: i64 = server.say(&format!("TTL {KEY}:{:016x}", one.stream.writer()));
    assert!((86_000..=86_400).contains(&seconds), "{seconds}");
}

#[test]
fn the_oldest_are_removed() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut writer = Writer::new(&server.url());
    writer.max_records = 1_000;
    for _ in 0..100 {
        writer.add(100);
        writer.finish();
    }
    let contents = contents(&server);
    // Whole nodes of the stream are removed, of 100 entries at most.
    assert!(
        (1_000..1_300).contains(&contents.len()),
        "{}",
        contents.len()
    );
    assert_eq!(contents.last(), Some(&writer.record(10_000)));
}

#[test]
fn an_engine_that_is_killed_gets_the_rest_once() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"])
    else {
        return;
    };
    let mut writer = Writer::new(&server.url());
    for _ in 0..3 {
        writer.add(100);
        writer.finish();
        server.kill();
        writer.add(100);
        let error = writer.error();
        assert!(matches!(error, EngineError::Away(_)), "{error:?}");
        server.start_again();
        writer.finish();
    }
    check(&server, &[&writer]);
}

/// What was sent before a timeout is executed when the engine goes on.
#[test]
fn an_engine_that_hangs_gets_each_record_once() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut writer = Writer::new(&server.url());
    writer.finish();
    for round in 0..4 {
        server.hang();
        writer.add(200);
        let begin = Instant::now();
        let error = writer.error();
        assert!(error.to_string().contains("no answer"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(10));
        if round % 2 == 0 {
            writer.add(10);
        }
        server.go_on();
        writer.finish();
        check(&server, &[&writer]);
    }
}

/// Connections are cut, keys are removed and memory is short at any moment.
#[test]
fn each_record_is_there_once_after_random_errors() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut random = fastrand::Rng::with_seed(5);
    let mut writers = [Writer::new(&server.url()), Writer::new(&server.url())];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (server, is_over) = (&server, &is_over);
        scope.spawn(move || {
            let mut random = fastrand::Rng::with_seed(6);
            while !is_over.load(Relaxed) {
                thread::sleep(Duration::from_micros(random.u64(0..3_000)));
                let memory = match random.u8(0..4) {
                    0 => "1",
                    _ => "0",
                };
                let _: () = server.say(&format!("CONFIG SET maxmemory {memory}"));
                let _: i64 = server.say("CLIENT KILL TYPE normal SKIPME yes");
            }
            let _: () = server.say("CONFIG SET maxmemory 0");
        });
        for _ in 0..600 {
            let writer = random.choice(&mut writers).expect("two");
            if writer.next - writer.first < 300 {
                writer.add(random.u64(0..100));
            }
            let _ = writer.append();
        }
        is_over.store(true, Relaxed);
    });
    for writer in &mut writers {
        writer.finish();
    }
    let [one, two] = &writers;
    assert!(one.next > 100 && two.next > 100);
    check(&server, &[one, two]);
}

#[test]
fn a_key_that_has_expired_or_is_wrong_changes_nothing() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut writer = Writer::new(&server.url());
    let key = format!("{KEY}:{:016x}", writer.stream.writer());
    for value in [None, Some("999999"), Some("0")] {
        writer.add(10);
        writer.finish();
        let _: () = match value {
            None => server.say(&format!("DEL {key}")),
            Some(value) => server.say(&format!("SET {key} {value}")),
        };
        writer.add(10);
        writer.finish();
    }
    check(&server, &[&writer]);
}

#[test]
fn an_engine_without_its_data_gets_what_is_new() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let mut writer = Writer::new(&server.url());
    writer.add(100);
    writer.finish();
    server.kill();
    server.start_again();
    writer.add(10);
    writer.finish();
    let expected: Vec<String> = (101..111).map(|number| writer.record(number)).collect();
    assert_eq!(contents(&server), expected);
}

#[test]
fn full_memory_is_an_error_until_there_is_space() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut writer = Writer::new(&server.url());
    writer.add(5_000);
    writer.finish();
    let _: () = server.say("CONFIG SET maxmemory 1");
    writer.add(10);
    assert_eq!(writer.error(), EngineError::Full);
    check_length(&server, 5_000..=5_000);
    // A lower limit makes space all the same.
    writer.max_records = 1_000;
    assert_eq!(writer.error(), EngineError::Full);
    check_length(&server, 1_000..=1_300);
    // A new connection cannot be used yet.
    let mut other = Writer::new(&server.url());
    other.add(1);
    assert_eq!(other.error(), EngineError::Full);
    let _: () = server.say("CONFIG SET maxmemory 0");
    writer.finish();
    other.finish();
    assert_eq!(contents(&server).last(), Some(&other.record(1)));
}

#[track_caller]
fn check_length(server: &Server, expected: std::ops::RangeInclusive<u64>) {
    let length: u64 = server.say(&format!("XLEN {KEY}"));
    assert!(expected.contains(&length), "{length}");
}

#[test]
fn rights_are_asked_for() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let _: () = server.say(&format!("ACL SETUSER aquatic on >secret {ACL_RULES}"));
    let mut user = settings(&server.url(), "one");
    user.username = Some("aquatic".into());
    user.password = Some("secret".into());
    let mut writer = Writer::with(user);
    writer.add(10);
    writer.finish();
    for right in ["xadd", "watch", "set"] {
        let _: () = server.say(&format!("ACL SETUSER aquatic -{right}"));
        writer.add(10);
        let error = writer.error();
        let EngineError::Refused(text) = &error else {
            panic!("{right}: {error:?}");
        };
        assert!(text.contains(right) && text.contains(ACL_RULES), "{text}");
        let _: () = server.say(&format!("ACL SETUSER aquatic +{right}"));
        writer.finish();
    }
    check(&server, &[&writer]);
}

#[test]
fn a_key_of_another_program_is_left_alone() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut writer = Writer::new(&server.url());
    writer.add(10);
    writer.finish();
    let _: () = server.say(&format!("SET {KEY} text"));
    writer.add(10);
    let error = writer.error();
    assert!(error.to_string().contains("cluster.namespace"), "{error}");
    let text: String = server.say(&format!("GET {KEY}"));
    assert_eq!(text, "text");
    let _: () = server.say(&format!("DEL {KEY}"));
    writer.finish();
    let expected: Vec<String> = (11..21).map(|number| writer.record(number)).collect();
    assert_eq!(contents(&server), expected);
}

#[test]
fn everything_ends_in_time() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut writer = Writer::new(&server.url());
    writer.add(10);
    writer.finish();
    server.hang();
    writer.add(10);
    let begin = Instant::now();
    let end = begin + Duration::from_millis(1_500);
    writer.stream.end_at(end);
    while Instant::now() < end {
        assert_ne!(writer.append(), Ok(Appended::All));
        thread::sleep(Duration::from_millis(10));
    }
    assert!(begin.elapsed() < Duration::from_secs(3));
    server.go_on();
    // Before its end, it can still connect and append.
    let mut writer = Writer::new(&server.url());
    writer
        .stream
        .end_at(Instant::now() + Duration::from_secs(60));
    writer.add(10);
    writer.finish();
}

#[test]
fn wrong_replies_are_errors() {
    let endless = |stream: &mut UnixStream| -> io::Result<()> {
        loop {
            stream.write_all(b"*1\r\n")?;
        }
    };
    for command in ["XTRIM", "WATCH", "GET", "MULTI", "XADD", "SET", "EXEC"] {
        let replies = [
            "+OK\r\n",
            "-ERR what\r\n",
            ":7\r\n",
            "$-1\r\n",
            "$20\r\n99999999999999999999\r\n",
            "*-1\r\n",
            "*0\r\n",
            "*1\r\n-ERR what\r\n",
            "*9223372036854775807\r\n",
            "what\r\n",
        ];
        for reply in replies {
            endure(Fake::start(command, |stream| {
                stream.write_all(reply.as_bytes())
            }));
        }
        endure(Fake::start(command, endless));
    }
}

/// Appends a few times to such a server: it must neither panic nor hang.
fn endure(fake: Fake) {
    let mut writer = Writer::new(&fake.url());
    let begin = Instant::now();
    for _ in 0..3 {
        writer.add(3);
        let _ = writer.append();
    }
    assert!(begin.elapsed() < Duration::from_secs(20));
}
