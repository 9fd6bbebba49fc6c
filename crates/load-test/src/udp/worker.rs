//! A thread that sends requests and reads replies.
//!
//! A worker has a few source addresses, each with a connected socket. It sends
//! a batch of requests from one source, then turns to the next. As a tracker
//! answers in the order of arrival, replies come in the same batches, so a
//! worker looks for them only at the sources that it has just used, oldest
//! first. Nothing is allocated on the way.

use std::collections::VecDeque;
use std::hint;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aquatic_datagrams::BATCH;
use aquatic_datagrams::connected::{Incoming, Outgoing, PollEntry, wait_readable};
use aquatic_udp_protocol::{AddressFamily, Response, TransactionId};

use super::compose::Composer;
use super::settings::Settings;
use super::source::Source;
use super::window::{Request, Window};
use crate::control::Phase;
use crate::counters::{Count, Kind};
use crate::latency::Latencies;
use crate::lead::Part;
use crate::pace::Pace;
use crate::population::Population;
use crate::tally::Tally;

/// One worker's part of the run.
pub(crate) struct DatagramWorker {
    settings: Arc<Settings>,
    population: Arc<Population>,
    tally: Tally,
    sources: Vec<Source>,
    /// The sources that wait for replies, in the order in which they sent.
    active: VecDeque<usize>,
    /// The source whose turn it is to send.
    next_source: usize,
    window: Window,
    pace: Pace,
    outgoing: Outgoing,
    incoming: Incoming,
    poll_entries: Vec<PollEntry>,
    random: fastrand::Rng,
    family: AddressFamily,
    next_expiry: u64,
    idle_since: Option<u64>,
}

impl DatagramWorker {
    /// A worker with every source that is its own. To be made on its thread,
    /// because batches do not move between threads.
    pub(crate) fn new(settings: Arc<Settings>, part: Part) -> anyhow::Result<Self> {
        let population = &part.population;
        let sources = (0u32..)
            .zip(&settings.run.sources)
            .skip(part.number)
            .step_by(settings.run.workers)
            .map(|(index, address)| Source::open(index, *address, &settings, population))
            .collect::<anyhow::Result<Vec<_>>>()?;

        Ok(Self {
            active: VecDeque::with_capacity(sources.len()),
            poll_entries: Vec::with_capacity(sources.len()),
            sources,
            next_source: 0,
            window: Window::new(settings.transport.outstanding_requests),
            pace: Pace::new(settings.run.requests_per_second, settings.run.workers),
            outgoing: Outgoing::new(),
            incoming: Incoming::new(),
            random: part.random(&settings.run),
            family: settings.run.server.into(),
            next_expiry: 0,
            idle_since: None,
            tally: part.tally()?,
            population: part.population,
            settings,
        })
    }

    /// Works until the main thread says that it is over.
    pub(crate) fn run(mut self) -> anyhow::Result<Latencies> {
        loop {
            let phase = self.tally.update_phase();
            if phase == Phase::Abort || phase == Phase::Drain && self.window.is_empty() {
                self.tally.publish();
                return Ok(self.tally.latencies);
            }

            let received = self.receive();
            self.expire();
            let sent = if phase == Phase::Drain {
                0
            } else {
                self.send(phase)
            };
            self.tally.publish();

            if received + sent > 0 {
                self.idle_since = None;
            } else {
                self.wait()?;
            }
        }
    }

    /// Reads the replies that have come; returns how many.
    fn receive(&mut self) -> usize {
        let mut received = 0;
        for _ in 0..self.active.len() {
            let Some(number) = self.active.pop_front() else {
                break;
            };
            let source = &self.sources[number];
            // An error is either that there is nothing to read, or one that an
            // earlier datagram met, whose loss will be counted.
            if self
                .incoming
                .receive(&source.socket, source.outstanding)
                .is_ok()
            {
                received += self.incoming.len();
                self.take_replies(number);
            }
            if self.sources[number].outstanding > 0 {
                self.active.push_back(number);
            } else {
                self.sources[number].active = false;
            }
        }
        received
    }

    fn take_replies(&mut self, number: usize) {
        let now = self.tally.now();
        let source = &mut self.sources[number];
        let tally = &mut self.tally;
        for datagram in self.incoming.iter() {
            tally.counters[Count::BytesReceived] += datagram.len() as u64;

            let Ok(response) = Response::parse(datagram, self.family) else {
                tally.counters[Count::Unexpected] += 1;
                continue;
            };
            let Some(request) = self.window.remove(response.transaction_id()) else {
                tally.counters[Count::Late] += 1;
                continue;
            };
            // Saturates because the window is the worker's: a reply could name
            // a request of another source.
            source.outstanding = source.outstanding.saturating_sub(1);
            tally.counters[Count::Filled] += u64::from(request.filling.is_some());

            match (request.kind, response) {
                (Kind::Connect, Response::Connect(response)) => {
                    if source.connect(response.connection_id, now) {
                        tally.counters[Count::Connected] += 1;
                    }
                }
                (Kind::Announce, Response::Announce(response)) => {
                    tally.counters[Count::PeersReceived] += response.peers.len() as u64;
                }
                (Kind::Scrape, Response::Scrape(_)) => {}
                (_, Response::Error(response)) => {
                    tally.error(response.message);
                    source.refuse(request.kind);
                    continue;
                }
                _ => {
                    tally.counters[Count::Unexpected] += 1;
                    source.refuse(request.kind);
                    continue;
                }
            }
            tally.counters[request.kind.replies()] += 1;
            tally.record(request.kind, request.sent_at, now);
        }
    }

    /// At intervals, gives up requests that are too old.
    fn expire(&mut self) {
        let now = self.tally.now();
        if now < self.next_expiry {
            return;
        }
        let timeout = self.settings.run.timeout.as_nanos() as u64;
        self.next_expiry = now + timeout / 4;

        let (sources, counters) = (&mut self.sources, &mut self.tally.counters);
        self.window
            .remove_older(now.saturating_sub(timeout), |request| {
                counters[Count::Lost] += 1;
                sources[request.source].lose(&request);
            });
    }

    /// Sends what window and pace allow; returns how many requests.
    fn send(&mut self, phase: Phase) -> usize {
        let batch_size = self.settings.transport.batch_size;
        let mut total = 0;
        let mut sources_without = 0;
        while sources_without < self.sources.len() {
            let now = self.tally.now();
            let count = match phase {
                Phase::WarmUp | Phase::Measure => self.pace.allowed(now, batch_size),
                _ => batch_size,
            };
            // Waiting for room for a whole batch keeps batches whole.
            if count == 0 || self.window.free() < count {
                break;
            }

            let number = self.next_source;
            self.next_source = (number + 1) % self.sources.len();
            let sent = self.send_batch(number, count, phase, now);
            if sent == 0 {
                sources_without += 1;
            } else {
                sources_without = 0;
                self.pace.sent(sent);
                total += sent;
            }
        }
        total
    }

    /// Sends up to `count` requests from a source; returns how many.
    fn send_batch(&mut self, number: usize, count: usize, phase: Phase, now: u64) -> usize {
        let mut ids = [TransactionId([0; 4]); BATCH];
        self.outgoing.clear();
        for id in ids.iter_mut().take(count) {
            let Some((kind, filling)) = self.choose(number, phase, now) else {
                break;
            };
            let request = Request {
                kind,
                source: number,
                sent_at: now,
                filling,
            };
            // The caller made sure that there is room.
            let Some(transaction_id) = self.window.insert(request) else {
                break;
            };
            *id = transaction_id;
            self.write(&request, transaction_id);
            self.sources[number].outstanding += 1;
            self.tally.counters[kind.sent()] += 1;
        }

        let sent = self.transmit(number);
        self.tally.counters[Count::BytesSent] += self.outgoing.bytes(sent) as u64;
        // What the kernel refused is lost at once.
        for id in &ids[sent..self.outgoing.len()] {
            if let Some(request) = self.window.remove(*id) {
                self.tally.counters[Count::Lost] += 1;
                self.sources[number].lose(&request);
            }
        }

        let source = &mut self.sources[number];
        if source.outstanding > 0 && !source.active {
            source.active = true;
            self.active.push_back(number);
        }
        sent
    }

    /// What a source requests next, and the peer that announces for the first
    /// time in the fill phase. None when there is nothing to do.
    fn choose(&mut self, number: usize, phase: Phase, now: u64) -> Option<(Kind, Option<u32>)> {
        let source = &mut self.sources[number];
        if source.wants_connection(now) {
            source.connecting = true;
            return Some((Kind::Connect, None));
        }
        match phase {
            Phase::Fill if source.connection_id.is_some() => source
                .share
                .next_filling()
                .map(|place| (Kind::Announce, Some(place))),
            Phase::WarmUp | Phase::Measure => {
                Some((self.settings.requests.kinds.choose(&mut self.random), None))
            }
            _ => None,
        }
    }

    fn write(&mut self, request: &Request, transaction_id: TransactionId) {
        let mut composer = Composer {
            population: &self.population,
            settings: &self.settings,
            random: &mut self.random,
        };
        let source = &self.sources[request.source];
        self.outgoing.push(|buffer| {
            composer
                .write(request, transaction_id, source, buffer)
                .expect("the settings allow no request larger than the buffer")
        });
    }

    /// Hands the batch to the kernel; returns how many requests it took.
    fn transmit(&mut self, number: usize) -> usize {
        let socket = &self.sources[number].socket;
        let mut sent = 0;
        let mut failures = 0;
        while sent < self.outgoing.len() && failures < MAX_SEND_FAILURES {
            match self.outgoing.send(socket, sent) {
                Ok(count) => sent += count,
                // Reports what happened to an earlier datagram, such as that
                // nobody listens; sending again can succeed.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => failures += 1,
                Err(_) => break,
            }
        }
        sent
    }

    /// Waits for replies, or until it is time to send or to check for a new phase.
    fn wait(&mut self) -> anyhow::Result<()> {
        let now = self.tally.now();
        let idle_since = *self.idle_since.get_or_insert(now);
        if now - idle_since < self.settings.run.spin.as_nanos() as u64 {
            hint::spin_loop();
            return Ok(());
        }

        let mut timeout = MAX_WAIT;
        match self.tally.phase {
            Phase::WarmUp | Phase::Measure if self.window.free() > 0 => {
                let until_allowed = Duration::from_nanos(self.pace.wait(now));
                if !until_allowed.is_zero() {
                    timeout = timeout.min(until_allowed);
                }
            }
            _ => {}
        }
        self.poll_entries.clear();
        let sources = self.active.iter().map(|&number| &self.sources[number]);
        self.poll_entries
            .extend(sources.map(|source| PollEntry::readable(&source.socket)));
        wait_readable(&mut self.poll_entries, timeout)?;
        Ok(())
    }
}

/// Phases change without a signal, so workers check for a new one at least this often.
const MAX_WAIT: Duration = Duration::from_millis(2);

/// Errors of earlier datagrams that one batch reports at most.
const MAX_SEND_FAILURES: usize = 4;
