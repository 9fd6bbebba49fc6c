//! The link between the daemons of one host, over Unix sockets.
//!
//! Each daemon listens on its own socket, `<directory>/<daemon>.sock`, and connects to
//! those of the others, so that they can be started in any order and restarted separately.
//! A daemon that connects is a *reader*, and sends nothing. It gets, in one order: a hello,
//! all peers of the other daemon, in blocks, and all changes there from the hello on. So a
//! change that is later than a block is sent after it. Changes that were received over a
//! link are not forwarded, because each daemon reads from every other.
//!
//! The sockets are of the type `SOCK_SEQPACKET`, which preserves packet boundaries. A
//! reader that does not keep up is disconnected, connects again and gets everything again,
//! as do all readers after the outbox has dropped a batch.
//!
//! One thread runs the link. The work of each turn of its loop is bounded, and it sends the
//! content of the outbox every [`FLUSH_MILLISECONDS`].

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::batch::{Batch, HEADER_LENGTH, Header, Kind, NodeId};
use crate::max_peer_age::MaxPeerAge;
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

/// Maximum time in milliseconds until a change is sent.
const FLUSH_MILLISECONDS: u64 = 10;

/// Interval in milliseconds at which it tries to connect to other daemons, and checks that
/// its own socket can be reached.
const CHECK_MILLISECONDS: u64 = 1_000;

/// Maximum number of batches of a kind that are sent in a turn.
const BATCHES_PER_TURN: usize = 32;

/// Maximum number of connections that are accepted in a turn.
const ACCEPTS_PER_TURN: usize = 8;

/// Maximum number of daemons to be linked with.
const MAX_LINKED: usize = 8;

/// Settings of a link.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// The directory with the sockets of all daemons.
    pub directory: PathBuf,
    /// The name of this daemon, for example `aquatic-udp`.
    pub daemon: String,
    /// The names of the daemons to read from, for example `aquatic-http`. At most eight.
    pub linked: Vec<String>,
    /// Identifies this run of the process.
    pub node: NodeId,
    /// The maximum age of peers.
    pub max_peer_age: MaxPeerAge,
    /// Returns milliseconds on a clock that all processes of the host share and that cannot
    /// be set: `CLOCK_BOOTTIME`.
    pub clock: fn() -> u64,
}

/// Access of a link to the swarms of its node.
pub trait Swarms {
    /// State of an iteration over all peers.
    type Walk;
    /// Why bytes are not a valid block.
    type BlockError: std::fmt::Display;

    /// Begins an iteration. Whether it includes changes from now on is unspecified.
    fn begin(&self) -> Self::Walk;

    /// Appends the next block, of at most [`MAX_BLOCK_LENGTH`] bytes, to `block`, which is
    /// empty; returns whether there was one. It contains the current state of its peers,
    /// and takes a millisecond or two.
    fn next_block(&self, walk: &mut Self::Walk, block: &mut Vec<u8>) -> bool;

    /// Adds the peers in a block of another node. If this node has a peer as well, the
    /// version with more time left is used. The block may be older than a record of the
    /// same node that was applied before, over an earlier connection.
    ///
    /// # Errors
    /// If the bytes, which are untrusted, are not a valid block.
    fn restore(&self, block: &[u8]) -> Result<(), Self::BlockError>;

    /// Applies the changes of another node.
    fn apply(&self, batch: &Batch<'_>, now_milliseconds: u64);
}

/// The link of a daemon with the other daemons of its host.
#[derive(Debug)]
pub struct LocalLink<S: Swarms> {
    settings: LocalSettings,
    outbox: Arc<Outbox>,
    swarms: S,
    status: Arc<LocalStatus>,
    /// End of file, when the [`Stopper`] is dropped, stops the link. Nothing is ever sent.
    stopped: UnixStream,
    place: Place,
    readers: Readers<S::Walk>,
    sources: Vec<Source>,
    /// Last sequence numbers of IPv4 and IPv6 batches.
    sequences: [u64; 2],
    /// The outbox's count of dropped records, when last checked.
    dropped: u64,
    flush_at: u64,
    check_at: u64,
    /// A buffer that is reused for every batch.
    batch: Vec<u8>,
}

/// Stops the link when it is dropped.
#[derive(Debug)]
pub struct Stopper(#[expect(dead_code, reason = "being open is its meaning")] UnixStream);

impl<S: Swarms> LocalLink<S> {
    /// Creates a link that is not running, and its stopper. Only the link may take from the
    /// outbox, open or close it.
    ///
    /// # Errors
    /// If the path of a socket is too long, there are too many daemons, or the limit of
    /// open files is reached. Other errors are retried while the link runs.
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
            max_peer_age_seconds: settings.max_peer_age.seconds(),
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

    /// The counters of the link.
    pub fn status(&self) -> Arc<LocalStatus> {
        self.status.clone()
    }

    /// Runs until the [`Stopper`] is dropped. Then the last changes are sent, the socket's
    /// file is removed, and the connections of readers are closed. Calls `beat` in each
    /// turn, at least once a second.
    pub fn run(&mut self, mut beat: impl FnMut()) {
        while self.turn() {
            beat();
        }
        // Without a snapshot, nobody else would know of it.
        self.flush_at = 0;
        self.flush((self.settings.clock)());
        self.outbox.close();
        self.readers.close_all();
        self.place.leave();
    }

    /// Runs one turn; returns false if the link was stopped.
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

    /// Waits for events, or until the next flush or check is due.
    fn wait(&self, now: u64) -> Ready {
        let until = match self.outbox.is_open() {
            true => self.flush_at.min(self.check_at),
            false => self.check_at,
        };
        let time = until.saturating_sub(now).min(CHECK_MILLISECONDS);
        // It is at most a second, which always fits.
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);

        let mut descriptors = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        let listener = self.place.listener();
        descriptors.extend(listener.map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)));
        let readers = self.readers.interests();
        descriptors.extend(readers.map(|(fd, interest)| PollFd::new(fd, interest)));
        let sources = self.sources.iter().filter_map(Source::socket);
        descriptors.extend(sources.map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)));
        if poll(&mut descriptors, timeout).is_err() {
            // Interrupted: what is ready is still ready in the next turn.
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

    /// Checks that the own socket can be reached, and connects to daemons that are not
    /// connected.
    fn check(&mut self) {
        self.place.check();
        for source in &mut self.sources {
            source.connect_if_away(&self.status);
        }
    }

    /// Accepts new readers. The outbox is opened before the walk begins, so changes that
    /// the walk misses are in the outbox.
    fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(socket) = self.place.accept() else {
                break;
            };
            self.outbox.open();
            self.readers.add(socket, self.swarms.begin());
        }
    }

    /// Sends the content of the outbox, if that is due.
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
            self.status.counts().set_dropped(dropped);
            self.dropped = dropped;
            self.readers.close_all();
            self.outbox.close();
            return;
        }
        let mut is_empty = true;
        for kind in Kind::ADDRESSES {
            is_empty &= self.flush_kind(kind, now);
        }
        if is_empty {
            self.flush_at = now.saturating_add(FLUSH_MILLISECONDS);
        }
    }

    /// Sends batches of one kind; returns whether none are left.
    fn flush_kind(&mut self, kind: Kind, now: u64) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            let Some(taken) = self.outbox.take(kind, now, &mut self.batch) else {
                return true;
            };
            let sequence = &mut self.sequences[kind.index()];
            *sequence += 1;
            let header = Header {
                kind,
                max_peer_age_seconds: self.settings.max_peer_age.seconds(),
                node: self.settings.node,
                sequence: *sequence,
                closed_at_milliseconds: taken.closed_at_milliseconds,
            };
            header.write(&mut self.batch);
            self.readers.send_batch(&self.batch);
            let records = (self.batch.len() - HEADER_LENGTH) / kind.record_length();
            self.status.counts().add_out(records);
        }
        false
    }
}

/// What is ready after waiting.
#[derive(Debug, Default)]
struct Ready {
    is_stopped: bool,
    is_connected_to: bool,
    readers: Vec<PollFlags>,
    sources: Vec<bool>,
}
