//! A small protocol to test with: a line in, a line out.

use std::thread;
use std::time::Duration;

use aquatic_stream::{ConnectionId, Exchange, Interruption, Next, Peer, Progress, Protocol};

/// The longest line.
pub(crate) const MAX_LINE_BYTES: usize = 1024;

/// Answers lines:
///
/// | line | answer |
/// |---|---|
/// | `echo X` | `X` |
/// | `who` | the client's address, and whether TLS is spoken |
/// | `big N` | N times `x` |
/// | `long N` | N times `x`, 1,000 at a time |
/// | `last N` | the same, and closes |
/// | `patience` | `ok`, and asks `still there?` instead of closing when idle |
/// | `(` and `)` | nothing; what is between is one message |
/// | `sleep N` | `ok`; the whole worker does nothing else for N milliseconds |
/// | `bye` | `bye`, and closes |
/// | `draining` | whether the process is about to end |
pub(crate) struct Words;

/// The state of a connection.
pub(crate) struct State {
    is_patient: bool,
    is_within_message: bool,
    /// How much is left of a long answer, and of its end.
    left: Option<usize>,
    /// Whether its end closes the connection.
    is_last: bool,
}

impl Protocol for Words {
    type Connection = State;

    fn max_input_bytes(&self) -> usize {
        MAX_LINE_BYTES
    }

    fn open(&mut self, _: &Peer, _: ConnectionId) -> State {
        State {
            is_patient: false,
            is_within_message: false,
            left: None,
            is_last: false,
        }
    }

    fn has_more(state: &State) -> bool {
        state.left.is_some()
    }

    fn resume(&mut self, state: &mut State, exchange: &mut Exchange<'_>) -> Next {
        /// Bytes of a part.
        const PART: usize = 1_000;

        assert!(exchange.input.is_empty());
        let left = state.left.take().expect("an answer that is not complete");
        let part = left.min(PART);
        exchange.output.resize(exchange.output.len() + part, b'x');
        match left - part {
            0 => {
                exchange.output.push(b'\n');
                if state.is_last {
                    return Next::Close;
                }
            }
            left => state.left = Some(left),
        }
        Next::Continue
    }

    fn is_within_message(state: &State) -> bool {
        state.is_within_message
    }

    fn receive(&mut self, state: &mut State, exchange: &mut Exchange<'_>) -> Progress {
        let Some(end) = exchange.input.iter().position(|byte| *byte == b'\n') else {
            return Progress::INCOMPLETE;
        };
        let line = std::str::from_utf8(&exchange.input[..end]).unwrap_or("garbage");
        if let Some(is_begin) = ["(", ")"].iter().position(|it| *it == line) {
            state.is_within_message = is_begin == 0;
            return Progress {
                consumed: end + 1,
                next: Next::Continue,
            };
        }
        let mut next = Next::Continue;
        let answer = match line.split_once(' ').unwrap_or((line, "")) {
            ("echo", text) => text.to_owned(),
            ("sleep", milliseconds) => {
                let milliseconds = milliseconds.parse().unwrap_or(0);
                thread::sleep(Duration::from_millis(milliseconds));
                "ok".to_owned()
            }
            ("who", _) => format!("{} {}", exchange.peer.address, exchange.peer.is_tls),
            ("big", number) => "x".repeat(number.parse().unwrap_or(0)),
            (word @ ("long" | "last"), number) => {
                state.left = number.parse().ok();
                state.is_last = word == "last";
                return Progress {
                    consumed: end + 1,
                    next: Next::Continue,
                };
            }
            ("patience", _) => {
                state.is_patient = true;
                "ok".to_owned()
            }
            ("draining", _) => exchange.is_draining.to_string(),
            ("bye", _) => {
                next = Next::Close;
                "bye".to_owned()
            }
            ("panic", _) => panic!("as asked"),
            _ => {
                next = Next::Close;
                "what?".to_owned()
            }
        };
        exchange.output.extend_from_slice(answer.as_bytes());
        exchange.output.push(b'\n');
        Progress {
            consumed: end + 1,
            next,
        }
    }

    fn interrupt(
        &mut self,
        state: &mut State,
        exchange: &mut Exchange<'_>,
        interruption: Interruption,
    ) -> Next {
        let (words, next) = match interruption {
            Interruption::Idle if state.is_patient => ("still there?\n", Next::Continue),
            Interruption::Idle => ("idle\n", Next::Close),
            Interruption::SlowMessage => ("slow\n", Next::Close),
            Interruption::EndOfInput => ("what else?\n", Next::Close),
            Interruption::Draining => ("stopping\n", Next::Close),
            Interruption::OldCertificate => ("renew\n", Next::Close),
            Interruption::NoLongerServed => ("refused\n", Next::Close),
        };
        exchange.output.extend_from_slice(words.as_bytes());
        next
    }

    fn answer_without_tls(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"speak TLS\n");
    }
}
