//! Invariants for any bytes on a connection of the HTTP tracker: where they are split makes
//! no difference, and each request gets one reply.

use std::io;
use std::time::Instant;

use aquatic_http::config::Config;
use aquatic_http::settings::Settings;
use aquatic_http::simulation;
use aquatic_http_protocol::{Framing, HeaderBuffer, Reading};
use aquatic_service::clock::Clock;
use aquatic_stream::simulation::{LoopAction, Setup, Simulation, Transport};

/// How often a connection may be driven for each piece: far more than necessary.
const MAX_DRIVES: usize = 10_000;

/// Panics if an invariant does not hold. The first byte says how long
/// pieces are, the second whether a proxy speaks, the others are what is sent.
pub(crate) fn check(input: &[u8]) {
    let [length, flags, bytes @ ..] = input else {
        return;
    };
    let config = config(flags & 1 != 0);
    let settings = Settings::new(&config).expect("settings");
    let now = Instant::now();
    let clock = Clock::start();
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let state = simulation::state(&settings, [7; 16]);
        converse(
            simulation::worker(&settings, &state, &clock, 1),
            &settings,
            now,
            pieces,
        )
    };
    let whole = run(&mut std::iter::once(bytes));
    let length = usize::from(*length).max(1);
    let in_pieces = run(&mut bytes.chunks(length));
    assert_eq!(
        whole.escape_ascii().to_string(),
        in_pieces.escape_ascii().to_string()
    );
    check_replies(bytes, &whole);
}

fn config(is_proxied: bool) -> Config {
    let mut config = Config::default();
    config.network.runs_behind_reverse_proxy = is_proxied;
    config
}

/// The output for bytes that arrive in these pieces.
fn converse(
    protocol: simulation::Http,
    settings: &Settings,
    now: Instant,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> Vec<u8> {
    let setup = Setup {
        settings: settings.connections.clone(),
        tls: None,
        rotation: None,
    };
    let mut worker = Simulation::new(protocol, setup, now);
    let source = "127.0.0.1:7000".parse().expect("an address");
    let id = worker.open(source).expect("a connection");
    let mut wire = Wire::default();
    for piece in pieces {
        wire.arriving.extend_from_slice(piece);
        let mut drives = 0;
        loop {
            drives += 1;
            assert!(drives < MAX_DRIVES, "it never ends");
            match worker.drive(id, &mut wire) {
                LoopAction::Again => {}
                LoopAction::Wait => break,
                LoopAction::WaitToWrite => panic!("everything is taken"),
                LoopAction::Close => return wire.left,
            }
        }
    }
    wire.left
}

/// A network that accepts everything, and delivers what was sent.
#[derive(Default)]
struct Wire {
    arriving: Vec<u8>,
    left: Vec<u8>,
}

impl Transport for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.arriving.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = into.len().min(self.arriving.len());
        into[..length].copy_from_slice(&self.arriving[..length]);
        self.arriving.drain(..length);
        Ok(length)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.left.extend_from_slice(from);
        Ok(from.len())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// There is one reply for each request, and one for invalid bytes, which is the last.
fn check_replies(mut requests: &[u8], mut replies: &[u8]) {
    loop {
        let mut headers = HeaderBuffer::new();
        let (is_head, is_last, length) = match Reading::of(requests, &mut headers) {
            Reading::Incomplete => break,
            Reading::Complete { head, length } => {
                let framing = Framing::of(&head, true);
                (framing.is_head, framing.closes, length)
            }
            Reading::Fault(_) => (false, true, requests.len()),
        };
        replies = after_reply(replies, is_head, is_last);
        requests = &requests[length..];
        if is_last {
            break;
        }
    }
    assert!(replies.is_empty(), "{}", replies.escape_ascii());
}

/// The rest after the first reply, whose length is as announced.
fn after_reply(replies: &[u8], is_head: bool, is_last: bool) -> &[u8] {
    const END: &[u8] = b"\r\n\r\n";
    let end = replies.windows(END.len()).position(|four| four == END);
    let end = end.expect("a reply") + END.len();
    let head = str::from_utf8(&replies[..end]).expect("ASCII");
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    assert_eq!(head.contains("Connection: close\r\n"), is_last, "{head}");
    let (_, length) = head.split_once("Content-Length: ").expect("a length");
    let length: usize = length.trim_end().parse().expect("a number");
    let length = if is_head { 0 } else { length };
    assert!(replies.len() >= end + length, "cut: {head}");
    &replies[end + length..]
}
