//! Invariants for any bytes on a connection of the HTTP tracker: where they are split makes
//! no difference, and each request gets one reply.

use std::io;
use std::time::Instant;

use aquatic_http::config::Config;
use aquatic_http::settings::Settings;
use aquatic_http::simulation;
use aquatic_http_protocol::{Framing, HeaderBuffer, Reading};
use aquatic_service::clock::Clock;
use aquatic_service::config::Texts;
use aquatic_stream::simulation::{LoopAction, Setup, Simulation, Transport};

/// How often a connection may be driven for each piece: far more than necessary.
const MAX_DRIVES: usize = 10_000;

/// Panics if an invariant does not hold. The first byte says how long
/// pieces are, the second whether a proxy speaks and whether full scrapes are answered, the
/// others are what is sent.
pub(crate) fn check(input: &[u8]) {
    let [length, flags, bytes @ ..] = input else {
        return;
    };
    let config = config(flags & 1 != 0, flags & 2 != 0);
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

fn config(is_proxied: bool, has_full_scrapes: bool) -> Config {
    let mut config = Config::default();
    config.network.runs_behind_reverse_proxy = is_proxied;
    if has_full_scrapes {
        let trusted = ["127.0.0.0/8", "192.0.2.0/24"].map(str::to_owned);
        config.protocol.full_scrape_from = Texts::new(trusted.into()).expect("networks");
    }
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
        let closes;
        (replies, closes) = after_reply(replies, is_head, is_last);
        requests = &requests[length..];
        if closes {
            break;
        }
    }
    assert!(replies.is_empty(), "{}", replies.escape_ascii());
}

/// The rest after the first reply, whose length is as announced, and whether it is the last
/// one.
fn after_reply(replies: &[u8], is_head: bool, is_last: bool) -> (&[u8], bool) {
    const END: &[u8] = b"\r\n\r\n";
    let end = replies.windows(END.len()).position(|four| four == END);
    let end = end.expect("a reply") + END.len();
    let head = str::from_utf8(&replies[..end]).expect("ASCII");
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    let closes = head.contains("Connection: close\r\n");
    if head.contains("Transfer-Encoding: chunked\r\n") {
        assert_eq!(closes, is_last, "{head}");
        let rest = &replies[end..];
        return (if is_head { rest } else { after_chunks(rest) }, closes);
    }
    let Some((_, length)) = head.split_once("Content-Length: ") else {
        // The reply to a client without chunks ends with the connection.
        assert!(closes, "{head}");
        assert!(is_head || replies.ends_with(b"ee"), "{head}");
        return (&[], true);
    };
    assert_eq!(closes, is_last, "{head}");
    let length: usize = length.trim_end().parse().expect("a number");
    let length = if is_head { 0 } else { length };
    assert!(replies.len() >= end + length, "cut: {head}");
    (&replies[end + length..], closes)
}

/// The rest after a body in chunks (RFC 9112, 7.1).
fn after_chunks(mut body: &[u8]) -> &[u8] {
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n");
        let (digits, rest) = body.split_at(end.expect("the length of a chunk"));
        let digits = str::from_utf8(digits).expect("ASCII");
        let length = usize::from_str_radix(digits, 16).expect("a number");
        let chunk = &rest[2..];
        assert_eq!(&chunk[length..length + 2], b"\r\n");
        body = &chunk[length + 2..];
        if length == 0 {
            return body;
        }
    }
}
