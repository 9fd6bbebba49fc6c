//! The daemons that read from this one.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::poll::PollFlags;
use socket2::Socket;

use super::Swarms;
use super::packet::{BATCH, BLOCK, COMPLETE, Hello, MAX_BLOCK_LENGTH};
use super::status::LocalStatus;

/// Maximum number of readers; further ones are disconnected.
const MAX_READERS: usize = 8;

/// Requested size of the kernel's send buffer for a reader; the kernel limits it to
/// `net.core.wmem_max`, by default enough for 13 full batches.
const SEND_BUFFER_BYTES: usize = 4 << 20;

/// Maximum size of the packets that are queued for a reader when its send buffer is full:
/// 300,000 changes, or 15 seconds of 20,000 announces per second. A reader that is further
/// behind is disconnected.
const MAX_UNSENT_BYTES: usize = 8 << 20;

/// Memory that a queued packet takes in addition to its bytes.
const PACKET_OVERHEAD: usize = 64;

/// Maximum number of queued packets that are sent to a reader in a turn.
const PACKETS_PER_TURN: usize = 64;

#[derive(Debug)]
pub(super) struct Readers<W> {
    hello: Vec<u8>,
    status: Arc<LocalStatus>,
    all: Vec<Reader<W>>,
    /// A buffer that is reused for every block.
    block: Vec<u8>,
}

#[derive(Debug)]
struct Reader<W> {
    socket: Socket,
    /// Packets that did not fit into the send buffer, in order.
    unsent: VecDeque<Vec<u8>>,
    unsent_bytes: usize,
    /// The iteration over all peers, until all blocks have been sent.
    walk: Option<W>,
    is_gone: bool,
}

impl<W> Readers<W> {
    pub(super) fn new(hello: &Hello, status: Arc<LocalStatus>) -> Self {
        Self {
            hello: hello.to_bytes(),
            status,
            all: Vec::new(),
            block: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn close_all(&mut self) {
        self.all.clear();
        self.status.set_readers(0);
    }

    /// Adds a reader: sends the hello, and will send the blocks of the walk.
    pub(super) fn add(&mut self, socket: Socket, walk: W) {
        if self.all.len() >= MAX_READERS || socket.set_nonblocking(true).is_err() {
            return;
        }
        // If the kernel grants less, fewer packets fit.
        let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
        let mut reader = Reader {
            socket,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            walk: Some(walk),
            is_gone: false,
        };
        reader.send(&self.hello, &[]);
        self.all.push(reader);
        self.remove_gone();
    }

    /// The sockets and what to poll them for. A hang-up is reported in any case.
    pub(super) fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.all.iter().map(|reader| {
            let interest = match reader.walk.is_some() || !reader.unsent.is_empty() {
                true => PollFlags::POLLOUT,
                false => PollFlags::empty(),
            };
            (reader.socket.as_fd(), interest)
        })
    }

    /// Sends queued packets and blocks to readers that are ready.
    ///
    /// Linux reports a socket of this type as writable while at most a quarter of its send
    /// buffer is in use (`unix_writable`). So blocks leave three quarters to batches, which
    /// are sent without polling.
    pub(super) fn drive<S: Swarms<Walk = W>>(&mut self, swarms: &S, ready: &[PollFlags]) {
        for (reader, found) in self.all.iter_mut().zip(ready) {
            reader.is_gone |= found.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
            if reader.is_gone || !found.contains(PollFlags::POLLOUT) {
                continue;
            }
            reader.send_unsent();
            if reader.unsent.is_empty() {
                reader.send_block(swarms, &mut self.block);
            }
        }
        self.remove_gone();
    }

    /// Sends a batch to all readers.
    pub(super) fn send_batch(&mut self, batch: &[u8]) {
        for reader in &mut self.all {
            reader.send(&[BATCH], batch);
        }
        self.remove_gone();
    }

    /// Disconnects readers that are gone or too far behind, and frees their memory.
    fn remove_gone(&mut self) {
        self.all.retain(|it| !it.is_gone);
        self.status.set_readers(self.all.len());
    }
}

impl<W> Reader<W> {
    /// Sends a packet in two parts, after those that are queued.
    fn send(&mut self, first: &[u8], second: &[u8]) {
        if self.unsent.is_empty() && self.try_send(first, second) || self.is_gone {
            return;
        }
        let packet = [first, second].concat();
        self.unsent_bytes += cost(&packet);
        if self.unsent_bytes > MAX_UNSENT_BYTES {
            // The reader connects again, and gets all peers then.
            self.is_gone = true;
            return;
        }
        self.unsent.push_back(packet);
    }

    fn send_unsent(&mut self) {
        for _ in 0..PACKETS_PER_TURN {
            let Some(packet) = self.unsent.pop_front() else {
                return;
            };
            if !self.try_send(&packet, &[]) {
                self.unsent.push_front(packet);
                return;
            }
            self.unsent_bytes -= cost(&packet);
        }
    }

    fn send_block<S: Swarms<Walk = W>>(&mut self, swarms: &S, block: &mut Vec<u8>) {
        let Some(walk) = &mut self.walk else {
            return;
        };
        block.clear();
        if swarms.next_block(walk, block) {
            debug_assert!(block.len() <= MAX_BLOCK_LENGTH);
            self.send(&[BLOCK], block);
        } else {
            self.walk = None;
            self.send(&[COMPLETE], &[]);
        }
    }

    /// Returns whether the packet fit into the send buffer. Rust programs ignore SIGPIPE,
    /// which sending to a closed socket raises.
    fn try_send(&mut self, first: &[u8], second: &[u8]) -> bool {
        let parts = [IoSlice::new(first), IoSlice::new(second)];
        match self.socket.send_vectored(&parts) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.is_gone = true;
                false
            }
        }
    }
}

/// Memory that a queued packet takes.
fn cost(packet: &[u8]) -> usize {
    packet.len() + PACKET_OVERHEAD
}
