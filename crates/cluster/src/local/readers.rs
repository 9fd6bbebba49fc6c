//! Those who read from this daemon.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::poll::PollFlags;
use socket2::Socket;

use super::Swarms;
use super::packet::{BATCH, BLOCK, COMPLETE, Hello, MAX_BLOCK_LENGTH};
use super::status::LocalStatus;

/// Readers at once; others are closed.
const MAX_READERS: usize = 8;

/// Asked of the kernel for what a reader has not read; it gives what `net.core.wmem_max`
/// allows, by default enough for 13 full batches.
const SEND_BUFFER_BYTES: usize = 4 << 20;

/// Kept for a reader when the kernel takes no more: 300,000 changes, or 15 seconds with
/// 20,000 announces a second. One that is further behind is closed.
const MAX_UNSENT_BYTES: usize = 8 << 20;

/// Memory that a kept packet takes besides its bytes.
const PACKET_OVERHEAD: usize = 64;

/// Packets that a reader takes before something else is done.
const PACKETS_PER_TURN: usize = 64;

#[derive(Debug)]
pub(super) struct Readers<W> {
    hello: Vec<u8>,
    status: Arc<LocalStatus>,
    all: Vec<Reader<W>>,
    /// Used for every block.
    block: Vec<u8>,
}

#[derive(Debug)]
struct Reader<W> {
    socket: Socket,
    /// What the kernel did not take, in order.
    unsent: VecDeque<Vec<u8>>,
    unsent_bytes: usize,
    /// Over what is held, until it is over.
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

    /// Greets who has connected, and will send it what the walk finds.
    pub(super) fn add(&mut self, socket: Socket, walk: W) {
        if self.all.len() >= MAX_READERS || socket.set_nonblocking(true).is_err() {
            return;
        }
        // If the kernel gives less, fewer packets fit.
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

    /// What each waits for. That it is closed is reported in any case.
    pub(super) fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.all.iter().map(|reader| {
            let interest = match reader.walk.is_some() || !reader.unsent.is_empty() {
                true => PollFlags::POLLOUT,
                false => PollFlags::empty(),
            };
            (reader.socket.as_fd(), interest)
        })
    }

    /// Sends what is due to those that something has happened to.
    ///
    /// A socket of this type is writable when a quarter of its space is in use at most
    /// (`unix_writable` of Linux). So blocks leave three quarters to batches, which are
    /// sent without looking.
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

    /// Sends a batch to all.
    pub(super) fn send_batch(&mut self, batch: &[u8]) {
        for reader in &mut self.all {
            reader.send(&[BATCH], batch);
        }
        self.remove_gone();
    }

    /// Closes those that are gone, and frees what was kept for them.
    fn remove_gone(&mut self) {
        self.all.retain(|it| !it.is_gone);
        self.status.set_readers(self.all.len());
    }
}

impl<W> Reader<W> {
    /// Sends a packet in two parts, after all that is unsent.
    fn send(&mut self, first: &[u8], second: &[u8]) {
        if self.unsent.is_empty() && self.try_send(first, second) || self.is_gone {
            return;
        }
        let packet = [first, second].concat();
        self.unsent_bytes += cost(&packet);
        if self.unsent_bytes > MAX_UNSENT_BYTES {
            // It comes again, and gets all that there is then.
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

    /// Returns whether the kernel took it. A process of Rust ignores the signal that a
    /// closed socket causes.
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

/// What it takes to keep a packet.
fn cost(packet: &[u8]) -> usize {
    packet.len() + PACKET_OVERHEAD
}
