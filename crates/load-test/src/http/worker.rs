//! A thread that sends requests over its connections and reads the replies.
//!
//! A connection has one request under way at a time. When the reply has come,
//! its slot is ready for the next: over the same connection, or over a new one.
//! One registration with epoll a connection, and one write and one read a
//! request, are all that it takes; nothing is allocated on the way, but for
//! TLS.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use aquatic_bittorrent::AnnounceEvent;
use mio::event::Event;
use mio::{Events, Poll};
use rustls::HandshakeKind;

use super::bencode;
use super::connection::{Connection, Readiness};
use super::reply::{self, Received, Reply};
use super::settings::Settings;
use super::slot::{Request, Slot, slot_and_generation, token};
use super::source::Source;
use super::style::{Announce, Envelope};
use crate::control::{Control, Phase};
use crate::counters::{Counter, Counters, Kind};
use crate::latency::{self, Latencies};
use crate::lead::Part;
use crate::pace::Pace;
use crate::population::Population;

/// One worker's part of the run.
pub(crate) struct Worker {
    settings: Arc<Settings>,
    control: Arc<Control>,
    population: Arc<Population>,
    number: usize,
    sources: Vec<Source>,
    slots: Vec<Slot>,
    /// Slots that may request.
    ready: VecDeque<usize>,
    /// Slots that had nothing to request, or have failed, and wait for a
    /// moment before they are ready again.
    resting: Vec<usize>,
    /// Slots that have a request under way.
    waiting: usize,
    poll: Poll,
    pace: Pace,
    random: fastrand::Rng,
    counters: Counters,
    latencies: Latencies,
    started: Instant,
    next_expiry: u64,
    next_waking: u64,
    idle_since: Option<u64>,
    /// What is read at once.
    buffer: Box<[u8]>,
    /// A reply, decrypted.
    plain: Vec<u8>,
    /// A request.
    outgoing: Vec<u8>,
}

impl Worker {
    /// A worker with every source and connection that is its own.
    pub(crate) fn new(settings: Arc<Settings>, part: Part) -> anyhow::Result<Self> {
        let Part {
            number,
            control,
            population,
        } = part;
        let all_sources = settings.run.sources.len();
        let workers = settings.run.workers;
        let sources: Vec<_> = (0u32..)
            .zip(&settings.run.sources)
            .skip(number)
            .step_by(workers)
            .map(|(index, address)| Source::new(index, *address, &settings, &population))
            .collect();

        let active = settings.connections.active;
        let slots: Vec<_> = (0..active + settings.connections.idle)
            .map(|connection| (connection % all_sources, connection >= active))
            .filter(|(source, _)| source % workers == number)
            .map(|(source, idle)| Slot::new(source / workers, idle))
            .collect();
        let seed = settings.run.population.seed.wrapping_add(number as u64);

        Ok(Self {
            ready: (0..slots.len()).collect(),
            resting: Vec::with_capacity(slots.len()),
            waiting: 0,
            sources,
            slots,
            poll: Poll::new().context("cannot make an epoll instance")?,
            pace: Pace::new(settings.connections.requests_per_second, workers),
            random: fastrand::Rng::with_seed(seed),
            counters: Counters::default(),
            latencies: latency::histograms()?,
            started: Instant::now(),
            next_expiry: 0,
            next_waking: 0,
            idle_since: None,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            plain: Vec::with_capacity(READ_BYTES),
            outgoing: Vec::with_capacity(READ_BYTES),
            settings,
            control,
            population,
            number,
        })
    }

    /// Works until the main thread says that it is over.
    pub(crate) fn run(mut self) -> anyhow::Result<Latencies> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let phase = self.control.phase();
            if phase == Phase::Abort || phase == Phase::Drain && self.waiting == 0 {
                self.control.counters(self.number).publish(&self.counters);
                return Ok(self.latencies);
            }

            let timeout = self.patience(phase);
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
                self.on_event(event, phase);
                // At once, so that it finds the session that has just come.
                self.start_requests(phase);
            }
            self.start_requests(phase);
            self.look_around();
            self.control.counters(self.number).publish(&self.counters);
        }
    }

    fn now(&self) -> u64 {
        // 64 bits of nanoseconds are 584 years.
        self.started.elapsed().as_nanos() as u64
    }

    /// How long to wait for events.
    fn patience(&mut self, phase: Phase) -> Duration {
        let now = self.now();
        let idle_since = *self.idle_since.get_or_insert(now);
        if now - idle_since < self.settings.connections.spin.as_nanos() as u64 {
            return Duration::ZERO;
        }
        if is_paced(phase) && !self.ready.is_empty() {
            let until_allowed = Duration::from_nanos(self.pace.wait(now));
            return until_allowed.min(LONGEST_WAIT);
        }
        LONGEST_WAIT
    }

    /// Starts the requests for which there is a slot and which pace allows.
    fn start_requests(&mut self, phase: Phase) {
        if phase == Phase::Drain {
            return;
        }
        while let Some(&number) = self.ready.front() {
            let now = self.now();
            let may_start = if is_paced(phase) {
                self.pace.allowed(now, 1) > 0
            } else {
                phase != Phase::Connect || self.waiting < MAX_WAITING_TO_CONNECT
            };
            if !may_start {
                return;
            }
            self.ready.pop_front();
            match self.choose(number, phase) {
                Some((kind, filling)) => {
                    if is_paced(phase) {
                        self.pace.sent(1);
                    }
                    let request = Request {
                        kind,
                        started_at: now,
                        filling,
                    };
                    self.start(number, request, phase);
                }
                None => self.resting.push(number),
            }
        }
    }

    /// What a slot requests next, and the peer that announces for the first
    /// time in the fill phase. None when there is nothing to do.
    fn choose(&mut self, number: usize, phase: Phase) -> Option<(Kind, Option<u32>)> {
        let slot = &self.slots[number];
        // The least that shows that the tracker answers.
        if !slot.proven {
            return Some((Kind::Scrape, None));
        }
        match phase {
            Phase::Fill => self.sources[slot.source]
                .next_filling()
                .map(|place| (Kind::Announce, Some(place))),
            Phase::WarmUp | Phase::Measure => {
                Some((self.settings.requests.kinds.choose(&mut self.random), None))
            }
            _ => None,
        }
    }

    fn start(&mut self, number: usize, request: Request, phase: Phase) {
        let slot = &mut self.slots[number];
        slot.request = Some(request);
        self.waiting += 1;
        self.counters[request.kind.sent()] += 1;
        let sent = if slot.connection.is_some() {
            self.send_request(number)
        } else {
            self.open(number, request.started_at, phase)
        };
        if let Err(error) = sent {
            self.fail(number, &error);
        }
    }

    fn open(&mut self, number: usize, now: u64, phase: Phase) -> io::Result<()> {
        let slot = &mut self.slots[number];
        slot.generation = slot.generation.wrapping_add(1);
        slot.opened_at = now;
        slot.open = false;
        self.counters[Kind::Connect.sent()] += 1;
        let tls = self.settings.tls.as_ref();
        slot.connection = Some(Connection::open(
            &self.sources[slot.source],
            self.settings.run.server,
            tls.map(|tls| &tls.server_name),
            self.poll.registry(),
            token(number, slot.generation),
        )?);
        if tls.is_none() {
            self.send_request(number)?;
        }
        self.go_on_opening(number, phase)
    }

    /// Notes that a connection is open once it is, and sends the request that
    /// had to wait for TLS.
    fn go_on_opening(&mut self, number: usize, phase: Phase) -> io::Result<()> {
        let now = self.now();
        let slot = &mut self.slots[number];
        let Some(connection) = &mut slot.connection else {
            return Ok(());
        };
        if slot.open || connection.advance()? == Readiness::Opening {
            return Ok(());
        }
        slot.open = true;
        self.counters[Kind::Connect.replies()] += 1;
        if phase == Phase::Measure {
            let latency = now.saturating_sub(slot.opened_at);
            self.latencies[Kind::Connect as usize].saturating_record(latency);
        }
        match connection.handshake() {
            None => return Ok(()),
            Some(HandshakeKind::Resumed) => self.counters[Counter::ResumedHandshakes] += 1,
            Some(_) => self.counters[Counter::FullHandshakes] += 1,
        }
        self.send_request(number)
    }

    /// Writes the slot's request and sends it over its connection.
    fn send_request(&mut self, number: usize) -> io::Result<()> {
        let slot = &mut self.slots[number];
        let (Some(request), Some(connection)) = (&slot.request, &mut slot.connection) else {
            return Ok(());
        };
        let settings = &self.settings.requests;
        let envelope = Envelope {
            host: &settings.host,
            keep_alive: settings.keep_alive || slot.idle,
        };
        let source = &self.sources[slot.source];
        let styles = settings.styles;
        self.outgoing.clear();
        if request.kind == Kind::Scrape {
            let count = if slot.proven {
                settings.scrape_torrents
            } else {
                1
            };
            let (population, random) = (&self.population, &mut self.random);
            let style = styles[number % styles.len()];
            let info_hashes = (0..count).map(|_| population.random_info_hash(random));
            style.write_scrape(info_hashes, envelope, &mut self.outgoing);
        } else {
            let (place, event) = match request.filling {
                Some(place) => (place, AnnounceEvent::Started),
                None => (
                    self.random.u32(..source.peers),
                    settings.events.choose(&mut self.random),
                ),
            };
            let announce = Announce {
                peer: self.population.peer(source.index, place),
                key: place,
                event,
                peers_wanted: settings.peers_wanted,
            };
            // A peer keeps its client.
            let style = styles[place as usize % styles.len()];
            style.write_announce(&announce, envelope, &mut self.outgoing);
        }
        self.counters[Counter::BytesSent] += self.outgoing.len() as u64;
        connection.send(&self.outgoing)
    }

    fn on_event(&mut self, event: &Event, phase: Phase) {
        let (number, generation) = slot_and_generation(event.token());
        if self.slots[number].generation != generation {
            return;
        }
        if let Err(error) = self.exchange(number, event, phase) {
            self.fail(number, &error);
        }
    }

    /// Sends and receives what is possible.
    fn exchange(&mut self, number: usize, event: &Event, phase: Phase) -> io::Result<()> {
        self.go_on_opening(number, phase)?;
        let slot = &mut self.slots[number];
        let Some(connection) = &mut slot.connection else {
            return Ok(());
        };
        connection.flush()?;
        if !event.is_readable() {
            return Ok(());
        }
        self.plain.clear();
        let open = connection.receive(&mut self.buffer, &mut self.plain)?;
        // What came before the end has been read with it.
        let ended = !open || event.is_read_closed();
        if !slot.open {
            if ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            return self.go_on_opening(number, phase);
        }
        if slot.request.is_none() {
            return self.take_what_nobody_asked_for(number, ended);
        }
        if ended && self.plain.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        // Taken and put back so that the reply can point into it.
        let plain = std::mem::take(&mut self.plain);
        match reply::parse(&plain, ended) {
            Received::Part => connection.keep(&plain),
            Received::Whole(reply) => {
                self.counters[Counter::BytesReceived] += plain.len() as u64;
                self.take_reply(number, &reply, ended, phase);
            }
            Received::Malformed => {
                self.counters[Counter::Unexpected] += 1;
                self.end_request(number);
                self.disconnect(number);
                self.resting.push(number);
            }
        }
        self.plain = plain;
        Ok(())
    }

    fn take_what_nobody_asked_for(&mut self, number: usize, ended: bool) -> io::Result<()> {
        if !self.plain.is_empty() {
            self.counters[Counter::Unexpected] += 1;
        }
        if ended || !self.plain.is_empty() {
            self.counters[Counter::Closed] += 1;
            self.disconnect(number);
        }
        Ok(())
    }

    fn take_reply(&mut self, number: usize, reply: &Reply<'_>, ended: bool, phase: Phase) {
        let now = self.now();
        let Some(request) = self.end_request(number) else {
            return;
        };
        self.counters[Counter::Filled] += u64::from(request.filling.is_some());
        if self.serves(&request, reply) {
            self.counters[request.kind.replies()] += 1;
            if phase == Phase::Measure {
                let latency = now.saturating_sub(request.started_at);
                self.latencies[request.kind as usize].saturating_record(latency);
            }
        }

        let slot = &mut self.slots[number];
        if !slot.proven {
            slot.proven = true;
            self.counters[Counter::Connected] += 1;
        }
        let wants_more = self.settings.requests.keep_alive || slot.idle;
        let kept = wants_more && reply.keeps_open && !ended;
        if !slot.idle {
            self.ready.push_back(number);
        }
        if !kept {
            self.counters[Counter::Closed] += u64::from(wants_more);
            self.disconnect(number);
        }
    }

    /// Says whether a reply serves the request, and counts it if not.
    fn serves(&mut self, request: &Request, reply: &Reply<'_>) -> bool {
        let body = bencode::parse(reply.body);
        let failure = match body {
            Some(body) if body.failure.is_some() => body.failure.map(<[u8]>::to_vec),
            _ if reply.status != OK => Some(format!("HTTP status {}", reply.status).into_bytes()),
            _ => None,
        };
        if let Some(message) = failure {
            if self.counters[Counter::Errors] == 0 {
                self.control.note_error(&message);
            }
            self.counters[Counter::Errors] += 1;
            return false;
        }
        match (request.kind, body) {
            (Kind::Announce, Some(body)) if body.has_interval => {
                self.counters[Counter::PeersReceived] += body.peers as u64;
                true
            }
            (Kind::Scrape, Some(body)) if body.has_files => true,
            _ => {
                self.counters[Counter::Unexpected] += 1;
                false
            }
        }
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
            Counter::Closed
        } else {
            Counter::Failed
        };
        if self.counters[Counter::Failed] == 0 && counter == Counter::Failed {
            self.control.note_failure(error);
        }
        self.counters[counter] += 1;
        slot.open = false;
        slot.connection = None;
        if let Some(request) = self.end_request(number) {
            self.counters[Counter::Lost] += 1;
            if let Some(place) = request.filling {
                let source = self.slots[number].source;
                self.sources[source].not_filled(place);
            }
            // Others stand in one of the queues, or have been silent.
            self.resting.push(number);
        }
    }

    /// Wakes slots up that rest, and gives up requests that are too old, each
    /// every now and then.
    fn look_around(&mut self) {
        let now = self.now();
        if now >= self.next_waking {
            self.next_waking = now + REST_NANOSECONDS;
            self.ready.extend(self.resting.drain(..));
        }
        if now < self.next_expiry {
            return;
        }
        let timeout = self.settings.run.timeout.as_nanos() as u64;
        self.next_expiry = now + timeout / 4;
        let error = io::Error::from(ErrorKind::TimedOut);
        for number in 0..self.slots.len() {
            let request = &self.slots[number].request;
            if request.is_some_and(|request| request.started_at + timeout < now) {
                self.fail(number, &error);
            }
        }
    }
}

/// Whether the rate that was asked for applies.
fn is_paced(phase: Phase) -> bool {
    matches!(phase, Phase::WarmUp | Phase::Measure)
}

/// The status of a reply that serves.
const OK: u16 = 200;

/// Longer than any reply that a tracker commonly sends.
const READ_BYTES: usize = 64 * 1024;

/// Events taken at once.
const EVENTS: usize = 1024;

/// Connections that are opened at once before anything else, so that thousands
/// do not overflow the server's queue.
const MAX_WAITING_TO_CONNECT: usize = 128;

/// Phases change without a signal, so workers look at least this often.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// How long a slot rests.
const REST_NANOSECONDS: u64 = 10_000_000;
