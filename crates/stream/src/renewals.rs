//! Connections whose certificate was exchanged since.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_service::tls::Handle;

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
///
/// Certificates are known by their numbers: how often the first one had been
/// exchanged when they came. So a connection has an old one because it was told
/// that one, whenever it was accepted.
pub(crate) struct Renewals {
    renewal: Option<Renewal>,
    /// The number of the present certificate.
    present: u64,
    /// When certificates are outdated, and which: those before this one.
    ahead: VecDeque<(Instant, u64)>,
    outdated_before: u64,
}

impl Renewals {
    pub(crate) fn new(renewal: Option<Renewal>) -> Self {
        Self {
            present: renewal.as_ref().map_or(0, |it| it.handle.exchanges()),
            renewal,
            ahead: VecDeque::new(),
            outdated_before: 0,
        }
    }

    /// Looks whether the certificate was exchanged, and whose time has come.
    /// Returns whether further certificates are outdated.
    pub(crate) fn advance(&mut self, now: Instant) -> bool {
        let Some(renewal) = &self.renewal else {
            return false;
        };
        let exchanges = renewal.handle.exchanges();
        if exchanges != self.present {
            self.present = exchanges;
            if self.ahead.len() == MAX_EXCHANGES {
                self.ahead.pop_back();
            }
            // One that is too far away for the clock never comes.
            if let Some(due) = now.checked_add(renewal.grace) {
                self.ahead.push_back((due, exchanges));
            }
        }
        let before = self.outdated_before;
        while let Some((due, present)) = self.ahead.front().copied()
            && due <= now
        {
            self.outdated_before = present;
            self.ahead.pop_front();
        }
        self.outdated_before != before
    }

    /// The number of the present certificate.
    pub(crate) fn present(&self) -> u64 {
        self.present
    }

    /// Whether a certificate is an old one that had its time.
    pub(crate) fn is_outdated(&self, certificate: u64) -> bool {
        certificate < self.outdated_before
    }
}
