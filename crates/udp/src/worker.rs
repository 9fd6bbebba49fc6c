//! The event loop of a worker, on mio.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aquatic_datagrams::{DatagramIo, Received, SocketIo, tell_local_address};
use aquatic_service::View;
use aquatic_service::clock::{Clock, Now};
use aquatic_service::workers::{Context, HEARTBEAT_INTERVAL};
use aquatic_udp_protocol::{INFO_HASH_LENGTH, SCRAPE_REQUEST_HEADER_LENGTH};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::config::{Config, MAX_SCRAPE_TORRENTS};
use crate::counters::Counters;
use crate::settings::Settings;
use crate::tracker::{Batch, MAX_REPLY_LENGTH, RejectReason, Tracker};

/// The token of the waker; sockets have tokens from 0 on.
const WAKE: Token = Token(usize::MAX);

/// Maximum number of events per iteration; further ones stay in epoll.
const MAX_EVENTS: usize = 64;

/// Maximum number of batches that are read from one socket in a turn.
const BATCHES_PER_TURN: usize = 4;

/// For how long a worker that is to stop answers requests that have already arrived.
const MAX_DRAIN: Duration = Duration::from_millis(100);

/// Maximum length in bytes of a datagram that is read: a scrape of as many torrents as can
/// be answered. Longer scrapes lose whole info hashes, longer announces lose options, so
/// both are still answered.
const MAX_REQUEST_LENGTH: usize =
    SCRAPE_REQUEST_HEADER_LENGTH + INFO_HASH_LENGTH * MAX_SCRAPE_TORRENTS;

/// About a quarter of a mebibyte.
type Io = SocketIo<MAX_REQUEST_LENGTH, MAX_REPLY_LENGTH>;

/// A worker with its own sockets.
pub(crate) struct UdpWorker {
    poll: Poll,
    sockets: Vec<Socket>,
    tracker: Tracker,
    settings: View<Settings>,
    clock: Clock,
    counters: Arc<[Counters]>,
    number: usize,
}

struct Socket {
    socket: UdpSocket,
    /// Whether there may be datagrams for which epoll does not report another event.
    is_ready: bool,
}

impl UdpWorker {
    /// Creates a worker that counts in `counters[number]`, and its waker.
    ///
    /// # Errors
    ///
    /// If the limit of open files or of epoll watches is reached.
    pub(crate) fn new(
        sockets: Vec<UdpSocket>,
        mut tracker: Tracker,
        settings: View<Settings>,
        clock: Clock,
        counters: Arc<[Counters]>,
        number: usize,
    ) -> anyhow::Result<(Self, Waker)> {
        let poll = Poll::new().context("cannot create an epoll instance")?;
        let waker = Waker::new(poll.registry(), WAKE).context("cannot create a waker")?;
        for (index, socket) in sockets.iter().enumerate() {
            // For bound and inherited sockets alike.
            tell_local_address(socket)
                .context("cannot enable reporting of the destination address of datagrams")?;
            poll.registry()
                .register(
                    &mut SourceFd(&socket.as_raw_fd()),
                    Token(index),
                    Interest::READABLE,
                )
                .context("cannot add a socket to epoll")?;
        }
        let sockets = sockets
            .into_iter()
            // An inherited socket may have pending datagrams.
            .map(|socket| Socket {
                socket,
                is_ready: true,
            })
            .collect();
        tracker.set_client_keys(settings.client_keys.clone());
        let worker = Self {
            poll,
            sockets,
            tracker,
            settings,
            clock,
            counters,
            number,
        };
        Ok((worker, waker))
    }

    /// Answers requests until it is asked to stop, and then those that have already
    /// arrived.
    ///
    /// # Errors
    ///
    /// If the sockets can no longer be polled or read.
    pub(crate) fn run(mut self, context: &Context) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(MAX_EVENTS);
        let mut io = Io::new();
        while !context.is_stopping() {
            context.beat();
            let is_ready = self.sockets.iter().any(|socket| socket.is_ready);
            let timeout = if is_ready {
                Duration::ZERO
            } else {
                HEARTBEAT_INTERVAL
            };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.context("cannot wait for datagrams")?,
            }
            for event in &events {
                if let Some(socket) = self.sockets.get_mut(event.token().0) {
                    socket.is_ready = true;
                }
            }
            self.answer_ready(&mut io)?;
        }

        let deadline = Instant::now() + MAX_DRAIN;
        for socket in &mut self.sockets {
            socket.is_ready = true;
        }
        while self.sockets.iter().any(|socket| socket.is_ready) && Instant::now() < deadline {
            context.beat();
            self.answer_ready(&mut io)?;
        }
        Ok(())
    }

    /// Reads and answers up to [`BATCHES_PER_TURN`] batches from each socket that may have
    /// datagrams.
    fn answer_ready(&mut self, io: &mut Io) -> anyhow::Result<()> {
        let counters = &self.counters[self.number];
        if self.settings.refresh() {
            let keys = self.settings.client_keys.clone();
            self.tracker.set_client_keys(keys);
        }
        for Socket { socket, is_ready } in &mut self.sockets {
            for _ in 0..BATCHES_PER_TURN {
                if !*is_ready {
                    break;
                }
                let Received {
                    count,
                    may_have_more,
                } = io.receive(socket).context("cannot read from a socket")?;
                // If there are no more, an event will report later datagrams.
                *is_ready = may_have_more;
                if count > 0 {
                    let begun = counters.requests.durations.begin();
                    let (now, config) = (self.clock.now(), &self.settings.config);
                    answer(&mut self.tracker, now, config, io, counters);
                    counters.count_sent(io.send_replies(socket));
                    counters.requests.durations.end(begun, count);
                }
            }
        }
        Ok(())
    }
}

/// Answers the datagrams of a batch.
fn answer(
    tracker: &mut Tracker,
    now: Now,
    config: &Config,
    io: &mut impl DatagramIo,
    counters: &Counters,
) {
    let mut batch: Batch<'_> = io.datagrams().collect();
    let outcomes = tracker.handle_batch(now, config, &mut batch);
    for (datagram, outcome) in batch.iter().zip(&outcomes) {
        if let Some(outcome) = outcome {
            counters.count(datagram.source.ip(), datagram.bytes.len(), outcome);
            if outcome.rejected == Some(RejectReason::ReplyTooLong) {
                tell_of_mistake();
            }
        }
    }
    drop(batch);
    for (number, outcome) in outcomes.into_iter().enumerate() {
        if let Some(length) = outcome.and_then(|outcome| outcome.reply_length) {
            io.queue_reply(number, length.get());
        }
    }
}

/// No valid settings allow a reply that does not fit, so this is a bug.
#[cold]
fn tell_of_mistake() {
    static TOLD: Once = Once::new();

    TOLD.call_once(|| {
        log::error!(
            "a reply was longer than {MAX_REPLY_LENGTH} bytes and not sent, which is a bug in this \
             tracker; further ones are counted (logged once)"
        );
    });
}
