//! A queue of an interface, from which requests are read and replies sent.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::Duration;

use crate::claim::Claim;
use crate::frame::{Fault, Request};
use crate::frames::{Descriptor, Frames, Recovered, Rings};
use crate::memory::Memory;
use crate::socket::{Socket, Statistics};
use crate::{BATCH, system};

/// Maximum number of calls to send a batch: one for each reply, if each of them fails, and
/// some that are interrupted or have to wait.
const MAX_SEND_CALLS: usize = BATCH + 8;

/// How long to wait when the device takes no more.
const WAIT: Duration = Duration::from_millis(1);

/// Maximum number of these waits for a batch, whatever they are for.
const MAX_WAITS: usize = 10;

/// Why a consumer cannot use a socket.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another consumer has it.
    #[error("the socket has another consumer")]
    InUse,
    /// The memory is not that of such a socket, or of another version of this code.
    #[error("the memory is not that of a socket of this version")]
    Foreign,
    /// The memory cannot be used.
    #[error("cannot map the memory of the socket: {0}")]
    Memory(io::Error),
    /// The rings cannot be used. `EBUSY` means a kernel before Linux 6.4, where this has to
    /// happen before the socket is bound.
    #[error("cannot map the rings of the socket: {0}")]
    Rings(io::Error),
    /// The rings contradict each other.
    #[error("the rings of the socket contradict each other")]
    Inconsistent,
}

/// The only consumer of a socket.
///
/// A batch lasts from [`receive`](Self::receive) to [`send`](Self::send). It is over as soon
/// as its replies are in the ring. If the process ends before that, in whatever way but a
/// panic, the next consumer receives its requests again; after a panic, they are dropped.
#[derive(Debug)]
pub struct Queue {
    frames: Frames,
    /// The requests of the batch, at most [`BATCH`].
    requests: Vec<Received>,
    /// Number of frames that the batch has taken, some of which are no requests.
    taken: usize,
    /// How often the device was waited for since the last call of `receive`.
    waits: usize,
    counts: Counts,
    socket: OwnedFd,
    _claim: Claim,
    /// Closing it would end the claim.
    _memory: OwnedFd,
}

/// A request of the batch.
#[derive(Debug)]
struct Received {
    request: Request,
    frame: Descriptor,
    reply_length: Option<usize>,
}

/// A received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The sender; with port 0, it cannot be answered.
    pub source: SocketAddr,
    /// The address that was asked.
    pub destination: SocketAddr,
    /// The content.
    pub bytes: &'a [u8],
    /// Space for a reply, at its place in the frame.
    pub reply: &'a mut [u8],
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Number of datagrams.
    pub count: usize,
    /// Whether more may be waiting. If not, epoll will report them.
    pub may_have_more: bool,
}

/// What became of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Number of replies that the kernel has.
    pub sent: usize,
    /// Number of replies that are too long for the interface or for a frame, go to port 0,
    /// or were dropped by the device.
    pub failed: usize,
}

/// What this consumer has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames.
    pub frames: u64,
    /// Frames that are no whole datagram.
    pub malformed: u64,
    /// Frames with a wrong checksum.
    pub wrong_checksum: u64,
    /// Frames whose source is not the address of another host.
    pub wrong_source: u64,
    /// Requests that were dropped because no frame for a reply became free.
    pub no_reply_frame: u64,
    /// How often the device took no more replies, and was waited for.
    pub waits: u64,
}

impl Queue {
    /// Uses a socket, and continues where its previous consumer has ended.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(socket: Socket) -> Result<(Self, Recovered), OpenError> {
        let Socket { socket, memory } = socket;
        let claim = Claim::new(memory.as_fd())?;
        let mapped = Memory::open(memory.as_fd())?;
        let offsets = system::ring_offsets(socket.as_fd()).map_err(OpenError::Rings)?;
        let rings = Rings::map(socket.as_fd(), &offsets, mapped.sizes());
        let (frames, recovered) = Frames::recover(rings.map_err(OpenError::Rings)?, mapped)?;
        let mut queue = Self {
            frames,
            requests: Vec::with_capacity(BATCH),
            taken: 0,
            waits: 0,
            counts: Counts::default(),
            socket,
            _claim: claim,
            _memory: memory,
        };
        queue.fill();
        Ok((queue, recovered))
    }

    /// Reads up to [`BATCH`] requests without waiting, and ends the batch before.
    #[inline]
    pub fn receive(&mut self) -> Batch {
        self.finish();
        self.waits = 0;
        if self.frames.unsent() > 0 {
            self.flush();
        }
        let waiting = self.frames.waiting();
        let wanted = waiting.min(BATCH);
        if wanted == 0 {
            return Batch {
                count: 0,
                may_have_more: false,
            };
        }
        let free = self.wait_for_frames();
        self.taken = if free == 0 { wanted } else { wanted.min(free) };
        self.frames.begin(self.taken);
        self.counts.frames += self.taken as u64;
        if free == 0 {
            self.counts.no_reply_frame += self.taken as u64;
        } else {
            for index in 0..self.taken {
                self.read(index);
            }
        }
        Batch {
            count: self.requests.len(),
            may_have_more: waiting > self.taken,
        }
    }

    /// Reads a frame, and adds it to the batch if it is a request.
    #[inline]
    fn read(&mut self, index: usize) {
        let frame = self.frames.request(index);
        // SAFETY: the frame is ours: it waits, and was not given back.
        let bytes = unsafe {
            let memory = self.frames.memory();
            memory.request(frame.address, frame.length as usize)
        };
        match bytes.ok_or(Fault::Malformed).and_then(Request::parse) {
            Ok(request) => self.requests.push(Received {
                request,
                frame,
                reply_length: None,
            }),
            Err(Fault::Malformed) => self.counts.malformed += 1,
            Err(Fault::Checksum) => self.counts.wrong_checksum += 1,
            Err(Fault::Source) => self.counts.wrong_source += 1,
        }
    }

    /// The datagrams of the batch.
    #[inline]
    pub fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let frames = &self.frames;
        let numbered = self.requests.iter().enumerate();
        numbered.map(move |(index, Received { request, frame, .. })| {
            // SAFETY: the frame is ours, and is only read.
            let bytes = unsafe {
                let length = frame.length as usize;
                frames.memory().request(frame.address, length)
            };
            // SAFETY: the frame is free, each index has another one, and `self` is borrowed
            // mutably, so nobody else in this process has it.
            let reply = unsafe { frames.memory().reply(frames.reply(index)) };
            let headers_length = request.headers_length();
            Datagram {
                source: request.source,
                destination: request.destination,
                // A kernel that gave something else than frames would get no replies.
                bytes: bytes
                    .and_then(|frame| frame.get(request.payload()))
                    .unwrap_or_default(),
                reply: reply
                    .and_then(|frame| frame.get_mut(headers_length..))
                    .unwrap_or_default(),
            }
        })
    }

    /// Queues the first `length` bytes of the reply to datagram `number`.
    ///
    /// # Panics
    ///
    /// If there is no such datagram in the batch.
    #[inline]
    pub fn queue_reply(&mut self, number: usize, length: usize) {
        self.requests[number].reply_length = Some(length);
    }

    /// Sends the queued replies, and ends the batch.
    #[inline]
    pub fn send(&mut self) -> Sent {
        let mut report = Sent::default();
        for index in 0..self.requests.len() {
            let Some(length) = self.requests[index].reply_length else {
                continue;
            };
            match self.write_reply(index, report.sent, length) {
                Some(frame) => {
                    self.frames.put(report.sent, frame);
                    report.sent += 1;
                }
                None => report.failed += 1,
            }
        }
        self.frames.send(report.sent);
        self.finish();
        let dropped = self.flush().min(report.sent);
        Sent {
            sent: report.sent - dropped,
            failed: report.failed + dropped,
        }
    }

    /// Completes the frame of a reply. Frames are sent in their order, so when a request
    /// before it has no reply, this one moves to the first frame that was not used.
    #[inline]
    fn write_reply(&self, index: usize, place: usize, length: usize) -> Option<Descriptor> {
        let Received { request, frame, .. } = &self.requests[index];
        let memory = self.frames.memory();
        if request.packet_length(length) > memory.mtu() || request.source.port() == 0 {
            return None;
        }
        let address = self.frames.reply(place);
        // SAFETY: the frame of the request is ours, and is only read.
        let bytes = unsafe { memory.request(frame.address, frame.length as usize) }?;
        // SAFETY: the frame is free, and was not put into the ring: `place` frames were.
        let answer = unsafe { memory.reply(address) }?;
        if place != index {
            let start = request.headers_length();
            let payload = start..start.checked_add(length)?;
            // SAFETY: this is another free frame: places are below indices.
            let written = unsafe { memory.reply(self.frames.reply(index)) }?;
            let written = written.get(payload.clone())?;
            answer.get_mut(payload)?.copy_from_slice(written);
        }
        let length = request.write_answer(bytes, answer, length)?;
        Some(Descriptor {
            address,
            length: length as u32,
        })
    }

    /// Ends the batch: gives the frames of its requests back.
    #[inline]
    fn finish(&mut self) {
        self.requests.clear();
        if self.taken > 0 {
            self.frames.finish(self.taken);
            self.taken = 0;
            self.fill();
        }
    }

    /// Tells the kernel that it has frames to be filled, if it wants to be told.
    #[inline]
    fn fill(&mut self) {
        if self.frames.fill_needs_wakeup() {
            system::start_filling(self.socket.as_fd());
        }
    }

    /// Makes the kernel send what is in the ring; returns how many replies the device has
    /// dropped. What it does not take now stays in the ring.
    #[inline]
    fn flush(&mut self) -> usize {
        let mut dropped = 0;
        for _ in 0..MAX_SEND_CALLS {
            let unsent = self.frames.unsent();
            if unsent == 0 || !self.frames.transmit_needs_wakeup() {
                break;
            }
            // If it succeeds, all is sent, or will be by the device itself.
            let Err(error) = system::start_sending(self.socket.as_fd()) else {
                break;
            };
            let has_moved = self.frames.unsent() < unsent;
            match error.raw_os_error() {
                Some(libc::EBUSY) if has_moved => dropped += usize::from(!self.is_zero_copy()),
                Some(libc::EAGAIN | libc::ENOBUFS) if has_moved => {}
                Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS) if self.wait() => {}
                Some(libc::EINTR) => {}
                // It was waited for, or the interface is down or gone.
                _ => break,
            }
        }
        dropped
    }

    /// Whether the device reads and writes the frames itself.
    fn is_zero_copy(&self) -> bool {
        system::is_zero_copy(self.socket.as_fd()).unwrap_or(false)
    }

    /// How many frames for replies are free, of which there are many more than requests in a
    /// batch. If there is none, waits for a limited time.
    #[inline]
    fn wait_for_frames(&mut self) -> usize {
        for _ in 0..MAX_WAITS {
            let free = self.frames.free();
            if free > 0 {
                return free;
            }
            self.flush();
            if !self.wait() {
                break;
            }
        }
        self.frames.free()
    }

    /// Waits for the device, and returns true, unless this was done often enough.
    #[cold]
    fn wait(&mut self) -> bool {
        if self.waits == MAX_WAITS {
            return false;
        }
        self.waits += 1;
        self.counts.waits += 1;
        thread::sleep(WAIT);
        true
    }

    /// What this consumer has counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn statistics(&self) -> io::Result<Statistics> {
        Statistics::read(&self.socket)
    }

    /// The error of the socket, such as ENETDOWN when its interface has gone, after which
    /// nothing is received any more. epoll reports it as an event with `EPOLLERR`.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        system::take_error(self.socket.as_fd())
    }
}

impl AsFd for Queue {
    /// For edge-triggered epoll: it becomes readable whenever requests arrive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Also after a panic, whose request must not be tried again.
        self.finish();
    }
}
