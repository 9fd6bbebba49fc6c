//! Datagrams of a queue of a network interface, over AF_XDP.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use aquatic_xdp::Queue;
use aquatic_xdp::queue::Batch;

use crate::{Datagram, DatagramIo, Received, SendReport};

// A batch of the queue is one of ours.
const _: () = assert!(aquatic_xdp::BATCH == crate::BATCH);

/// The only consumer of a queue.
///
/// Replies are written into the frames that are sent. A server also needs sockets of the same
/// addresses and ports: whatever is not a whole datagram in one frame arrives there.
#[derive(Debug)]
pub struct XdpIo {
    queue: Queue,
}

impl XdpIo {
    /// Uses a queue.
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self { queue }
    }

    /// The queue, for its numbers.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl AsFd for XdpIo {
    /// For edge-triggered epoll.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl DatagramIo for XdpIo {
    /// There is one queue, which has the memory of the batch.
    type Port = ();

    /// Also sends what the device did not take earlier, so it may be called without an
    /// event, every now and then.
    ///
    /// # Errors
    ///
    /// None: when its interface is gone, an event reports that, and
    /// [`Queue::take_error`] the reason.
    #[inline]
    fn receive(&mut self, (): &()) -> io::Result<Received> {
        let Batch {
            count,
            may_have_more,
        } = self.queue.receive();
        Ok(Received {
            count,
            may_have_more,
        })
    }

    #[inline]
    fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        self.queue.datagrams().map(|datagram| Datagram {
            source: datagram.source,
            local: Some(datagram.destination.ip()),
            bytes: datagram.bytes,
            reply: datagram.reply,
        })
    }

    #[inline]
    fn queue_reply(&mut self, number: usize, length: usize) {
        self.queue.queue_reply(number, length);
    }

    #[inline]
    fn send_replies(&mut self, (): &()) -> SendReport {
        let sent = self.queue.send();
        SendReport {
            sent: sent.sent,
            failed: sent.failed,
        }
    }
}
