//! Counters of workers, which other threads can read.

use std::array;
use std::ops::{Index, IndexMut, Sub};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::thread;

/// The kind of a request, an index for arrays.
///
/// Connect requests are those of BEP 15. Over TCP, they are new connections, which are not
/// requests to the tracker. Offers and answers are sent by one peer and received by
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Announce,
    Scrape,
    Offer,
    Answer,
}

/// Number of kinds.
pub(crate) const KINDS: usize = Kind::Answer as usize + 1;

impl Kind {
    pub(crate) fn sent(self) -> Count {
        match self {
            Self::Connect => Count::ConnectSent,
            Self::Announce => Count::AnnounceSent,
            Self::Scrape => Count::ScrapeSent,
            Self::Offer => Count::OffersSent,
            Self::Answer => Count::AnswersSent,
        }
    }

    pub(crate) fn replies(self) -> Count {
        match self {
            Self::Connect => Count::ConnectReplies,
            Self::Announce => Count::AnnounceReplies,
            Self::Scrape => Count::ScrapeReplies,
            Self::Offer => Count::OffersReceived,
            Self::Answer => Count::AnswersReceived,
        }
    }
}

/// The counters of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    ConnectSent,
    AnnounceSent,
    ScrapeSent,
    /// Replies that serve the request; error replies are counted separately.
    ConnectReplies,
    AnnounceReplies,
    ScrapeReplies,
    /// Offers sent with announces, and offers received by other peers.
    OffersSent,
    OffersReceived,
    AnswersSent,
    AnswersReceived,
    /// Error replies (BEP 15, action 3; BEP 3, a failure reason).
    Errors,
    /// Requests without a reply within the timeout.
    Lost,
    /// Replies to requests counted as lost.
    Late,
    /// Data that are not a reply, or not to the request that was sent.
    Unexpected,
    /// Payload in bytes, without the headers of UDP or TCP, and before encryption.
    BytesSent,
    BytesReceived,
    /// Peers in announce replies.
    PeersReceived,
    /// Peers of the population that have announced in the fill phase.
    Filled,
    /// Sources that have got a connection id; over HTTP, connections that have got a reply.
    Connected,
    /// Connections that could not be opened.
    Failed,
    /// Open connections that the server has closed unexpectedly, or that were given up.
    Closed,
    /// Full TLS handshakes.
    FullHandshakes,
    /// TLS handshakes that resumed a session.
    ResumedHandshakes,
}

const COUNTERS: usize = Count::ResumedHandshakes as usize + 1;

/// Values of all counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counters([u64; COUNTERS]);

impl Counters {
    /// Replies to requests of these kinds, including error replies.
    pub(crate) fn all_replies(&self, kinds: &[Kind]) -> u64 {
        let served: u64 = kinds.iter().map(|kind| self[kind.replies()]).sum();
        served + self[Count::Errors]
    }

    /// Adds another worker's values.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, value) in self.0.iter_mut().zip(&other.0) {
            *sum += value;
        }
    }
}

impl Index<Count> for Counters {
    type Output = u64;

    fn index(&self, counter: Count) -> &u64 {
        &self.0[counter as usize]
    }
}

impl IndexMut<Count> for Counters {
    fn index_mut(&mut self, counter: Count) -> &mut u64 {
        &mut self.0[counter as usize]
    }
}

impl Sub for Counters {
    type Output = Self;

    /// The increase since `earlier`.
    fn sub(mut self, earlier: Self) -> Self {
        for (value, earlier) in self.0.iter_mut().zip(&earlier.0) {
            *value -= earlier;
        }
        self
    }
}

/// A worker's counters, which other threads can read as a consistent snapshot: comparing
/// sent and received requires values of the same moment. Aligned so that no two workers
/// write to the same cache line or pair of lines.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct SharedCounters {
    /// Twice the number of updates; odd during an update.
    version: AtomicU64,
    values: [AtomicU64; COUNTERS],
}

impl Default for SharedCounters {
    fn default() -> Self {
        Self {
            version: AtomicU64::new(0),
            values: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl SharedCounters {
    /// Publishes these values. Must only be called by one thread.
    pub(crate) fn publish(&self, counters: &Counters) {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        // A reader that sees one of the new values also sees the odd version.
        fence(Ordering::Release);
        for (shared, value) in self.values.iter().zip(&counters.0) {
            shared.store(*value, Ordering::Relaxed);
        }
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// The values that were published last.
    pub(crate) fn read(&self) -> Counters {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let mut counters = Counters::default();
            for (value, shared) in counters.0.iter_mut().zip(&self.values) {
                *value = shared.load(Ordering::Relaxed);
            }
            fence(Ordering::Acquire);
            let after = self.version.load(Ordering::Relaxed);
            if before == after && before.is_multiple_of(2) {
                return counters;
            }
            // The worker is updating the values, or was interrupted.
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_and_subtracts_and_shares() {
        let mut first = Counters::default();
        first[Count::Lost] = 3;
        first[Kind::Scrape.replies()] = 2;
        first[Count::Errors] = 1;
        assert_eq!(first.all_replies(&[Kind::Announce, Kind::Scrape]), 3);

        let mut sum = first;
        sum.add(&first);
        assert_eq!(sum[Count::Lost], 6);
        assert_eq!(sum - first, first);

        let shared = SharedCounters::default();
        shared.publish(&sum);
        assert_eq!(shared.read(), sum);
    }

    #[test]
    fn all_values_are_of_one_moment() {
        const ROUNDS: u64 = 200_000;
        let shared = SharedCounters::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut counters = Counters::default();
                for round in 1..=ROUNDS {
                    counters.0 = [round; COUNTERS];
                    shared.publish(&counters);
                }
            });
            let mut last = 0;
            while last < ROUNDS {
                let counters = shared.read();
                let first = counters[Count::ConnectSent];
                assert_eq!(counters.0, [first; COUNTERS]);
                assert!(first >= last);
                last = first;
            }
        });
    }
}
