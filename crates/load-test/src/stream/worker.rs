//! A thread that sends requests over its connections and reads the replies.
//!
//! A connection has one request under way at a time. When the reply has come,
//! its slot is ready for the next: over the same connection, or over a new one.
//! One registration with epoll a connection, and one write and one read a
//! request, are all that it takes; nothing is allocated on the way, but for
//! TLS.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::event::Event;
use mio::{Events, Poll};
use rustls::HandshakeKind;

use super::connection::{Readiness, Remote};
use super::dialogue::{Dialogue, Heard, Reply, Taken};
use super::settings::TransportSettings;
use super::slot::{Request, Seat, Slot};
use super::token::{slot_and_generation, token};
use crate::control::Phase;
use crate::counters::{Count, Kind};
use crate::latency::Latencies;
use crate::lead::Part;
use crate::pace::Pace;
use crate::run_settings::RunSettings;
use crate::tally::Tally;

/// One worker's part of the run.
pub(crate) struct ConnectionWorker<D: Dialogue> {
    dialogue: D,
    tally: Tally,
    server: SocketAddr,
    timeout: u64,
    spin: u64,
    /// For each of the worker's sources.
    remotes: Vec<Remote>,
    slots: Vec<Slot<D::State>>,
    /// Slots that may request.
    ready: VecDeque<usize>,
    /// Slots that had nothing to request, or have failed, and wait for a
    /// moment before they are ready again.
    resting: Vec<usize>,
    /// Slots that have a request under way.
    waiting: usize,
    poll: Poll,
    pace: Pace,
    next_expiry: u64,
    next_waking: u64,
    idle_since: Option<u64>,
    /// Whether nobody listens at the tracker's address.
    is_refused: bool,
    /// What is read at once.
    buffer: Box<[u8]>,
    /// What has been read, decrypted.
    plain: Vec<u8>,
    /// What is to be sent.
    outgoing: Vec<u8>,
}

impl<D: Dialogue> ConnectionWorker<D> {
    /// A worker with every source and connection that is its own.
    pub(crate) fn new(
        run: &RunSettings,
        transport: &TransportSettings,
        part: &Part,
        mut dialogue: D,
    ) -> anyhow::Result<Self> {
        let (number, workers, sources) = (part.number, run.workers, run.sources.len());
        let remotes = run.sources.iter().skip(number).step_by(workers);
        let slots: Vec<_> = (0..transport.connections())
            .map(|connection| Seat {
                connection,
                source: connection % sources,
                idle: connection >= transport.active,
                proven: false,
            })
            .filter(|seat| seat.source % workers == number)
            .map(|seat| Slot::new(seat, seat.source / workers, dialogue.state(seat)))
            .collect();
        Ok(Self {
            dialogue,
            tally: part.tally()?,
            server: run.server,
            timeout: run.timeout.as_nanos() as u64,
            spin: run.spin.as_nanos() as u64,
            remotes: remotes
                .map(|address| Remote::new(*address, run.server, transport.tls.as_ref()))
                .collect(),
            ready: (0..slots.len()).collect(),
            resting: Vec::with_capacity(slots.len()),
            waiting: 0,
            slots,
            poll: Poll::new().context("cannot create an epoll instance")?,
            pace: Pace::new(run.requests_per_second, workers),
            next_expiry: 0,
            next_waking: 0,
            idle_since: None,
            is_refused: false,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            plain: Vec::with_capacity(READ_BYTES),
            outgoing: Vec::with_capacity(READ_BYTES),
        })
    }

    /// Works until the main thread says that it is over.
    pub(crate) fn run(mut self) -> anyhow::Result<Latencies> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let phase = self.tally.update_phase();
            if phase == Phase::Abort || phase == Phase::Drain && self.waiting == 0 {
                self.tally.publish();
                return Ok(self.tally.latencies);
            }

            let timeout = self.patience();
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(error).context("cannot wait for events");
                }
                _ => {}
            }
            if !events.is_empty() {
                self.idle_since = None;
            }
            for event in &events {
                self.on_event(event);
                // At once, so that it finds the session that has just come.
                self.start_requests();
            }
            self.start_requests();
            self.wake_and_expire();
            self.tally.publish();
            if self.is_refused {
                bail!(
                    "the tracker at {} refuses connections; is it running?",
                    self.server
                );
            }
        }
    }

    /// How long to wait for events.
    fn patience(&mut self) -> Duration {
        let now = self.tally.now();
        let idle_since = *self.idle_since.get_or_insert(now);
        if now - idle_since < self.spin {
            return Duration::ZERO;
        }
        if is_paced(self.tally.phase) && !self.ready.is_empty() {
            let until_allowed = Duration::from_nanos(self.pace.wait(now));
            return until_allowed.min(MAX_WAIT);
        }
        MAX_WAIT
    }

    /// Starts the requests for which there is a slot and which pace allows.
    fn start_requests(&mut self) {
        let phase = self.tally.phase;
        if phase == Phase::Drain {
            return;
        }
        while let Some(&number) = self.ready.front() {
            let now = self.tally.now();
            let may_start = if is_paced(phase) {
                self.pace.allowed(now, 1) > 0
            } else {
                phase != Phase::Connect || self.waiting < MAX_WAITING_TO_CONNECT
            };
            if !may_start {
                return;
            }
            self.ready.pop_front();
            let slot = &mut self.slots[number];
            match self.dialogue.choose(&mut slot.state, slot.seat, phase) {
                Some((kind, filling)) => {
                    if is_paced(phase) {
                        self.pace.sent(1);
                    }
                    let request = Request {
                        kind,
                        started_at: now,
                        filling,
                    };
                    self.start(number, request);
                }
                None => self.resting.push(number),
            }
        }
    }

    fn start(&mut self, number: usize, request: Request) {
        let slot = &mut self.slots[number];
        slot.request = Some(request);
        self.waiting += 1;
        self.tally.counters[request.kind.sent()] += 1;
        let sent = if slot.connection.is_some() {
            self.send_request(number)
        } else {
            self.open(number, request.started_at)
        };
        if let Err(error) = sent {
            self.fail(number, &error);
        }
    }

    fn open(&mut self, number: usize, now: u64) -> io::Result<()> {
        let slot = &mut self.slots[number];
        slot.generation = slot.generation.wrapping_add(1);
        slot.opened_at = now;
        slot.open = false;
        self.tally.counters[Kind::Connect.sent()] += 1;
        let remote = &self.remotes[slot.remote];
        let token = token(number, slot.generation);
        slot.connection = Some(remote.connect(self.poll.registry(), token)?);
        if !remote.is_encrypted() {
            self.greet(number)?;
        }
        self.go_on_opening(number)
    }

    /// Notes that a connection is open once it is, and sends what had to wait
    /// for TLS.
    fn go_on_opening(&mut self, number: usize) -> io::Result<()> {
        let slot = &mut self.slots[number];
        let Some(connection) = &mut slot.connection else {
            return Ok(());
        };
        if slot.open || connection.advance()? == Readiness::Opening {
            return Ok(());
        }
        slot.open = true;
        self.tally.counters[Kind::Connect.replies()] += 1;
        let now = self.tally.now();
        self.tally.record(Kind::Connect, slot.opened_at, now);
        match connection.handshake() {
            None => return Ok(()),
            Some(HandshakeKind::Resumed) => self.tally.counters[Count::ResumedHandshakes] += 1,
            Some(_) => self.tally.counters[Count::FullHandshakes] += 1,
        }
        self.greet(number)
    }

    /// Says what has to be said first, and the request if that may follow.
    fn greet(&mut self, number: usize) -> io::Result<()> {
        let slot = &mut self.slots[number];
        self.outgoing.clear();
        let waits = self.dialogue.greet(&mut slot.state, &mut self.outgoing);
        self.send(number)?;
        if waits {
            Ok(())
        } else {
            self.send_request(number)
        }
    }

    /// Writes the slot's request and sends it over its connection.
    fn send_request(&mut self, number: usize) -> io::Result<()> {
        let slot = &mut self.slots[number];
        let Some(request) = slot.request else {
            return Ok(());
        };
        self.outgoing.clear();
        let (dialogue, out) = (&mut self.dialogue, &mut self.outgoing);
        dialogue.write(&mut slot.state, slot.seat, request, out, &mut self.tally);
        self.send(number)
    }

    fn send(&mut self, number: usize) -> io::Result<()> {
        match &mut self.slots[number].connection {
            Some(connection) if !self.outgoing.is_empty() => {
                self.tally.counters[Count::BytesSent] += self.outgoing.len() as u64;
                connection.send(&self.outgoing)
            }
            _ => Ok(()),
        }
    }

    fn on_event(&mut self, event: &Event) {
        let (number, generation) = slot_and_generation(event.token());
        if self.slots[number].generation != generation {
            return;
        }
        if let Err(error) = self.exchange(number, event) {
            self.fail(number, &error);
        }
    }

    /// Sends and receives what is possible.
    fn exchange(&mut self, number: usize, event: &Event) -> io::Result<()> {
        self.go_on_opening(number)?;
        let slot = &mut self.slots[number];
        let Some(connection) = &mut slot.connection else {
            return Ok(());
        };
        connection.flush()?;
        if !event.is_readable() {
            return Ok(());
        }
        self.plain.clear();
        let kept = connection.kept();
        let open = connection.receive(&mut self.buffer, &mut self.plain)?;
        self.tally.counters[Count::BytesReceived] += (self.plain.len() - kept) as u64;
        // What came before the end has been read with it.
        let ended = !open || event.is_read_closed();
        if !slot.open {
            if ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            return self.go_on_opening(number);
        }
        if ended && self.plain.is_empty() {
            if slot.request.is_some() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.tally.counters[Count::Closed] += 1;
            self.disconnect(number);
            return Ok(());
        }
        if self.plain.is_empty() {
            return Ok(());
        }
        self.read(number, ended)
    }

    /// Lets the protocol read what has come.
    fn read(&mut self, number: usize, ended: bool) -> io::Result<()> {
        let slot = &mut self.slots[number];
        self.outgoing.clear();
        let heard = Heard {
            bytes: &mut self.plain,
            ended,
            seat: slot.seat,
            request: slot.request,
            out: &mut self.outgoing,
        };
        let taken = self.dialogue.read(&mut slot.state, heard, &mut self.tally);
        let Taken::Bytes {
            count,
            reply,
            greeted,
        } = taken
        else {
            self.refuse(number);
            return Ok(());
        };
        if let Some(connection) = &mut slot.connection {
            connection.keep(&self.plain[count..]);
        }
        if !ended {
            self.send(number)?;
        }
        if let Some(reply) = reply {
            self.take_reply(number, reply, ended);
        } else if ended {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if greeted {
            self.send_request(number)?;
        }
        Ok(())
    }

    fn take_reply(&mut self, number: usize, reply: Reply, ended: bool) {
        let now = self.tally.now();
        let Some(request) = self.end_request(number) else {
            return;
        };
        self.tally.counters[Count::Filled] += u64::from(request.filling.is_some());
        if reply.serves {
            self.tally.counters[request.kind.replies()] += 1;
            self.tally.record(request.kind, request.started_at, now);
        }

        let slot = &mut self.slots[number];
        if !slot.seat.proven && self.dialogue.is_proven(&slot.state, slot.seat) {
            slot.seat.proven = true;
            self.tally.counters[Count::Connected] += 1;
        }
        if !(slot.seat.idle && slot.seat.proven) {
            self.ready.push_back(number);
        }
        let wants_more = reply.wants_more || slot.seat.idle;
        if !(wants_more && reply.keeps_open) || ended {
            self.tally.counters[Count::Closed] += u64::from(wants_more);
            self.disconnect(number);
        }
    }

    /// Gives up a connection that has sent what it should not.
    fn refuse(&mut self, number: usize) {
        self.tally.counters[Count::Unexpected] += 1;
        if let Some(request) = self.end_request(number) {
            if let Some(place) = request.filling {
                let slot = &mut self.slots[number];
                self.dialogue.not_filled(&mut slot.state, slot.seat, place);
            }
            self.resting.push(number);
        } else {
            self.tally.counters[Count::Closed] += 1;
        }
        self.disconnect(number);
    }

    fn end_request(&mut self, number: usize) -> Option<Request> {
        let request = self.slots[number].request.take()?;
        self.waiting -= 1;
        Some(request)
    }

    fn disconnect(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        slot.open = false;
        if let Some(connection) = slot.connection.take() {
            connection.close();
        }
    }

    /// Gives up a connection that does not work, and the request with it.
    fn fail(&mut self, number: usize, error: &io::Error) {
        let slot = &mut self.slots[number];
        let counter = if slot.open {
            Count::Closed
        } else {
            Count::Failed
        };
        if self.tally.counters[Count::Failed] == 0 && counter == Count::Failed {
            self.tally.control.note_failure(error);
        }
        self.tally.counters[counter] += 1;
        // A tracker with too many connections does not answer; one that refuses them
        // is not there. Later on, it may be one that is started again.
        self.is_refused |=
            self.tally.phase == Phase::Connect && error.kind() == ErrorKind::ConnectionRefused;
        slot.open = false;
        slot.connection = None;
        if let Some(request) = self.end_request(number) {
            self.tally.counters[Count::Lost] += 1;
            if let Some(place) = request.filling {
                let slot = &mut self.slots[number];
                self.dialogue.not_filled(&mut slot.state, slot.seat, place);
            }
            // Other slots are in one of the queues, or have been idle.
            self.resting.push(number);
        }
    }

    /// At intervals, wakes resting slots, and gives up requests that are too old.
    fn wake_and_expire(&mut self) {
        let now = self.tally.now();
        if now >= self.next_waking {
            self.next_waking = now + REST_NANOSECONDS;
            self.ready.extend(self.resting.drain(..));
        }
        if now < self.next_expiry {
            return;
        }
        self.next_expiry = now + self.timeout / 4;
        let error = io::Error::from(ErrorKind::TimedOut);
        for number in 0..self.slots.len() {
            let request = &self.slots[number].request;
            if request.is_some_and(|request| request.started_at + self.timeout < now) {
                self.fail(number, &error);
            }
        }
    }
}

/// Whether the rate that was asked for applies.
fn is_paced(phase: Phase) -> bool {
    matches!(phase, Phase::WarmUp | Phase::Measure)
}

/// Longer than any reply that a tracker commonly sends.
const READ_BYTES: usize = 64 * 1024;

/// Events taken at once.
const EVENTS: usize = 1024;

/// Connections that are opened at once before anything else, so that thousands
/// do not overflow the server's queue.
const MAX_WAITING_TO_CONNECT: usize = 128;

/// Phases change without a signal, so workers check for a new one at least this often.
const MAX_WAIT: Duration = Duration::from_millis(2);

/// How long a slot rests.
const REST_NANOSECONDS: u64 = 10_000_000;
