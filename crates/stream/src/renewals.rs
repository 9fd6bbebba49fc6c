//! Connections whose certificate was exchanged since.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_service::tls::Handle;

use crate::deadlines::Tick;

/// Exchanges that are told apart; of more, the last are taken for one.
const MAX_EXCHANGES: usize = 16;

/// What closes connections when the certificate was exchanged.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// What exchanges it.
    pub handle: Arc<Handle>,
    /// How long after that a connection of before may stay.
    pub grace: Duration,
}

/// Which connections are to be closed, for one worker.
pub(crate) struct Renewals {
    renewal: Option<Renewal>,
    /// How many exchanges were seen.
    seen: u64,
    /// When connections are to be closed, and which: those of before this tick.
    ahead: VecDeque<(Instant, Tick)>,
    outdated_before: Tick,
}

impl Renewals {
    pub(crate) fn new(renewal: Option<Renewal>) -> Self {
        Self {
            seen: renewal.as_ref().map_or(0, |it| it.handle.exchanges()),
            renewal,
            ahead: VecDeque::new(),
            outdated_before: Tick::START,
        }
    }

    /// Looks whether the certificate was exchanged, and whose time has come.
    /// `tick` is that of `now`.
    pub(crate) fn advance(&mut self, now: Instant, tick: Tick) {
        let Some(renewal) = &self.renewal else {
            return;
        };
        let exchanges = renewal.handle.exchanges();
        if exchanges != self.seen {
            self.seen = exchanges;
            if self.ahead.len() == MAX_EXCHANGES {
                self.ahead.pop_back();
            }
            // Of those that were accepted in this very tick nobody knows.
            self.ahead.push_back((now + renewal.grace, tick.next()));
        }
        while let Some((due, before)) = self.ahead.front().copied()
            && due <= now
        {
            self.outdated_before = before;
            self.ahead.pop_front();
        }
    }

    /// Whether a connection that was accepted at this tick has an old
    /// certificate, and had its time.
    pub(crate) fn is_outdated(&self, accepted: Tick) -> bool {
        accepted < self.outdated_before
    }
}
