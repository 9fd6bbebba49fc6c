//! The link between the daemons of one host, over Unix sockets.
//!
//! Each daemon listens on a socket of its own, `<directory>/<daemon>.sock`, and connects
//! to those of the others, so that either can be started first, and each be restarted
//! alone. Who connects is a *reader*, and sends nothing. It gets, in one order: a hello,
//! all that the other one holds, in blocks, and from the hello on what changes there. So a
//! change that is later than a block comes after it. Nothing that came by a link is
//! forwarded: everybody reads from everybody.
//!
//! The sockets are of the type `SOCK_SEQPACKET`, which keeps packets whole. A reader that
//! does not keep up is closed, comes again and gets all of it again, and so do all when
//! the outbox has dropped something.
//!
//! One thread does all of it, in turns. Whatever a turn does has a bound, and within
//! [`FLUSH_MILLISECONDS`] it comes around to the outbox.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::batch::{Batch, Header, Kind, NodeId};
use crate::outbox::Outbox;

mod packet;
mod place;
mod readers;
mod sources;
mod status;

pub use packet::MAX_BLOCK_LENGTH;
pub use status::LocalStatus;

use packet::Hello;
use place::Place;
use readers::Readers;
use sources::Source;

/// After how many milliseconds what changed is sent at the latest.
const FLUSH_MILLISECONDS: u64 = 10;

/// How often is looked for others, and whether this one can still be found.
const CHECK_MILLISECONDS: u64 = 1_000;

/// Batches of a kind that are sent before something else is done.
const BATCHES_PER_TURN: usize = 32;

/// Connections that are accepted before something else is done.
const ACCEPTS_PER_TURN: usize = 8;

/// Daemons that one can be linked with.
const MAX_LINKED: usize = 8;

/// What a link is to do.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// Where the sockets of all daemons are.
    pub directory: PathBuf,
    /// Which one this is: `aquatic-udp`.
    pub daemon: String,
    /// Those that it is linked with: `aquatic-http`. At most eight.
    pub linked: Vec<String>,
    /// This run of the process.
    pub node: NodeId,
    /// After how many seconds this node forgets a peer that does not announce again.
    pub max_peer_age_seconds: u16,
    /// Milliseconds on a clock that all processes of the host share and nobody can set:
    /// `CLOCK_BOOTTIME`.
    pub clock: fn() -> u64,
}

/// What a link gets from the swarms of its node, and brings to them.
pub trait Swarms {
    /// How far a walk over all that is held has got.
    type Walk;
    /// Why bytes are no block.
    type BlockError: std::fmt::Display;

    /// Begins a walk. What changes from now on may be seen by it or not.
    fn begin(&self) -> Self::Walk;

    /// Appends the next block, of at most [`MAX_BLOCK_LENGTH`] bytes, to `block`, which is
    /// empty; returns whether there was one. It is made of what is held at this moment, and
    /// takes a millisecond or two.
    fn next_block(&self, walk: &mut Self::Walk, block: &mut Vec<u8>) -> bool;

    /// Adds what is in a block of another node. Of a peer that both have, the one with
    /// more time left is the later one. The block may be older than a record of the same
    /// node that was applied before, over an earlier connection.
    ///
    /// # Errors
    /// The bytes are no block; they may be anything.
    fn restore(&self, block: &[u8]) -> Result<(), Self::BlockError>;

    /// Applies what changed at another node.
    fn apply(&self, batch: &Batch<'_>, now_milliseconds: u64);
}

/// The link of a daemon with the others of its host.
#[derive(Debug)]
pub struct LocalLink<S: Swarms> {
    settings: LocalSettings,
    outbox: Arc<Outbox>,
    swarms: S,
    status: Arc<LocalStatus>,
    /// Its other end is the [`Stopper`], of which nothing is read but its end.
    stopped: UnixStream,
    place: Place,
    readers: Readers<S::Walk>,
    sources: Vec<Source>,
    /// Last numbers of IPv4 and IPv6 batches.
    sequences: [u64; 2],
    /// What the outbox had dropped when that was last looked at.
    dropped: u64,
    flush_at: u64,
    check_at: u64,
    /// Used for every batch.
    batch: Vec<u8>,
}

/// Ends a link when it is dropped.
#[derive(Debug)]
pub struct Stopper(#[expect(dead_code, reason = "being open is its meaning")] UnixStream);

impl<S: Swarms> LocalLink<S> {
    /// A link that has not begun, and what ends it. Nothing but it may take from the
    /// outbox, open or close it.
    ///
    /// # Errors
    /// The path of a socket is too long, there are too many names, or no descriptors are
    /// left. Whatever else is wrong can be mended while it runs.
    pub fn new(
        settings: LocalSettings,
        outbox: Arc<Outbox>,
        swarms: S,
    ) -> io::Result<(Self, Stopper)> {
        if settings.linked.len() > MAX_LINKED {
            let message = format!("cannot be linked with more than {MAX_LINKED} daemons");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let (stopped, stopper) = UnixStream::pair()?;
        let path = |daemon: &str| settings.directory.join(format!("{daemon}.sock"));
        let place = Place::new(path(&settings.daemon))?;
        let sources: io::Result<Vec<_>> = settings
            .linked
            .iter()
            .enumerate()
            .map(|(index, name)| Source::new(index, name, &path(name)))
            .collect();
        let hello = Hello {
            name: settings.daemon.clone(),
            node: settings.node,
            max_peer_age_seconds: settings.max_peer_age_seconds,
        };
        let status = Arc::new(LocalStatus::new(settings.linked.clone()));
        let link = Self {
            readers: Readers::new(&hello, status.clone()),
            dropped: outbox.dropped(),
            outbox,
            swarms,
            status,
            stopped,
            place,
            sources: sources?,
            sequences: [0; 2],
            flush_at: 0,
            check_at: 0,
            batch: Vec::new(),
            settings,
        };
        Ok((link, Stopper(stopper)))
    }

    /// What the link counts.
    pub fn status(&self) -> Arc<LocalStatus> {
        self.status.clone()
    }

    /// Does its work until the [`Stopper`] is dropped. Then the socket's file is removed,
    /// and connections are closed when `self` is dropped. Calls `beat` at each turn, which
    /// is at least once a second.
    pub fn run(&mut self, mut beat: impl FnMut()) {
        while self.turn() {
            beat();
        }
        self.outbox.close();
        self.readers.close_all();
        self.place.leave();
    }

    /// Returns whether there will be another one.
    fn turn(&mut self) -> bool {
        let now = (self.settings.clock)();
        let ready = self.wait(now);
        if ready.is_stopped {
            return false;
        }
        let now = (self.settings.clock)();
        if now >= self.check_at {
            self.check_at = now.saturating_add(CHECK_MILLISECONDS);
            self.check();
        }
        let read_until = match self.outbox.is_open() {
            true => self.flush_at,
            false => now.saturating_add(FLUSH_MILLISECONDS),
        };
        for (source, is_ready) in self.sources.iter_mut().zip(ready.sources) {
            if is_ready {
                source.read(&self.swarms, &self.settings, &self.status, read_until);
            }
        }
        self.readers.drive(&self.swarms, &ready.readers);
        if ready.is_connected_to {
            self.accept();
        }
        self.flush((self.settings.clock)());
        true
    }

    /// Waits until there is something to do, or another one has to be looked for.
    fn wait(&self, now: u64) -> Ready {
        let until = match self.outbox.is_open() {
            true => self.flush_at.min(self.check_at),
            false => self.check_at,
        };
        let time = until.saturating_sub(now).min(CHECK_MILLISECONDS);
        // It is at most a second.
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);

        let mut descriptors = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        let listener = self.place.listener();
        descriptors.extend(listener.map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)));
        let readers = self.readers.interests();
        descriptors.extend(readers.map(|(fd, interest)| PollFd::new(fd, interest)));
        let sources = self.sources.iter().filter_map(Source::socket);
        descriptors.extend(sources.map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)));
        if poll(&mut descriptors, timeout).is_err() {
            // Interrupted: whatever is ready will be so in the next turn.
            return Ready::default();
        }

        let mut found = descriptors
            .iter()
            .map(|it| it.revents().unwrap_or(PollFlags::empty()));
        let mut next = || found.next().unwrap_or(PollFlags::empty());
        Ready {
            is_stopped: !next().is_empty(),
            is_connected_to: listener.is_some() && !next().is_empty(),
            readers: self.readers.interests().map(|_| next()).collect(),
            sources: self
                .sources
                .iter()
                .map(|it| it.socket().is_some() && !next().is_empty())
                .collect(),
        }
    }

    /// Looks whether this one can be found, and for those that it reads from.
    fn check(&mut self) {
        self.place.check();
        for source in &mut self.sources {
            source.connect_if_away(&self.status);
        }
    }

    /// Takes those who want to read. The outbox is open before a walk begins, so what a
    /// walk does not see comes by the outbox.
    fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(socket) = self.place.accept() else {
                break;
            };
            self.outbox.open();
            self.readers.add(socket, self.swarms.begin());
        }
    }

    /// Sends what waits in the outbox.
    fn flush(&mut self, now: u64) {
        if self.readers.is_empty() {
            if self.outbox.is_open() {
                self.outbox.close();
            }
            return;
        }
        if now < self.flush_at {
            return;
        }
        let dropped = self.outbox.dropped();
        if dropped != self.dropped {
            log::warn!(
                "{} changes were too many for cluster.max_outbox_bytes: other daemons read \
                 all peers again",
                dropped - self.dropped
            );
            self.status.add_dropped(dropped - self.dropped);
            self.dropped = dropped;
            self.readers.close_all();
            self.outbox.close();
            return;
        }
        let mut is_empty = true;
        for kind in Kind::ALL {
            is_empty &= self.flush_kind(kind, now);
        }
        if is_empty {
            self.flush_at = now.saturating_add(FLUSH_MILLISECONDS);
        }
    }

    /// Returns whether nothing is left.
    fn flush_kind(&mut self, kind: Kind, now: u64) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            let Some(taken) = self.outbox.take(kind, now, &mut self.batch) else {
                return true;
            };
            let sequence = &mut self.sequences[kind as usize - 1];
            *sequence += 1;
            let header = Header {
                kind,
                max_peer_age_seconds: self.settings.max_peer_age_seconds,
                node: self.settings.node,
                sequence: *sequence,
                closed_at_milliseconds: taken.closed_at_milliseconds,
            };
            header.write(&mut self.batch);
            self.readers.send_batch(&self.batch);
            self.status.add_out(kind, self.batch.len());
        }
        false
    }
}

/// What something has happened to.
#[derive(Debug, Default)]
struct Ready {
    is_stopped: bool,
    is_connected_to: bool,
    readers: Vec<PollFlags>,
    sources: Vec<bool>,
}
