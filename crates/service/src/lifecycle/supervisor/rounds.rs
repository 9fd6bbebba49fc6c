//! Reloads: rounds in which everything is read again, on a thread of its own. Signals that
//! arrive during a round cause one further round.

use std::time::Instant;

use crate::reload::PATIENCE;

/// Maximum number of abandoned threads. Whatever they wait for does not respond, so there
/// is no use in more of them.
pub(super) const MAX_GIVEN_UP: usize = 4;

/// A step of a reload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A round begins.
    Begin,
    /// Read on a thread. Its end has to be reported, also when it cannot be started.
    Read {
        /// Tells this attempt from others.
        ticket: u64,
    },
    /// Reading took longer than [`PATIENCE`].
    TooLate,
    /// Nothing is read, because [`MAX_GIVEN_UP`] attempts have not ended yet.
    Refuse,
    /// The round is over.
    Done,
}

/// The attempts to read.
#[derive(Default)]
pub(super) struct Rounds {
    /// The current round's attempt, and when it is given up.
    awaited: Option<(u64, Instant)>,
    /// Whether a signal came during the round.
    is_asked_again: bool,
    last_ticket: u64,
    /// Abandoned attempts that have not ended.
    given_up: usize,
}

impl Rounds {
    /// When the round is over at the latest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.awaited.map(|(_, deadline)| deadline)
    }

    /// Whether this attempt was not abandoned.
    pub(super) fn is_awaited(&self, ticket: u64) -> bool {
        self.awaited.is_some_and(|(awaited, _)| awaited == ticket)
    }

    /// A signal requests a round.
    pub(super) fn ask(&mut self, now: Instant) -> Vec<Step> {
        if self.awaited.is_some() {
            self.is_asked_again = true;
            return Vec::new();
        }
        self.begin(now)
    }

    /// An attempt has ended, successfully or not.
    pub(super) fn ended(&mut self, ticket: u64, now: Instant) -> Vec<Step> {
        if !self.is_awaited(ticket) {
            self.given_up = self.given_up.saturating_sub(1);
            return Vec::new();
        }
        self.finish(now)
    }

    /// Abandons an attempt that takes too long.
    pub(super) fn time(&mut self, now: Instant) -> Vec<Step> {
        if self.next().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        self.given_up += 1;
        let mut steps = vec![Step::TooLate];
        steps.extend(self.finish(now));
        steps
    }

    fn begin(&mut self, now: Instant) -> Vec<Step> {
        self.is_asked_again = false;
        if self.given_up >= MAX_GIVEN_UP {
            return vec![Step::Begin, Step::Refuse, Step::Done];
        }
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.awaited = Some((ticket, now + PATIENCE));
        vec![Step::Begin, Step::Read { ticket }]
    }

    /// Ends the round, and begins another if one was requested meanwhile.
    fn finish(&mut self, now: Instant) -> Vec<Step> {
        self.awaited = None;
        let mut steps = vec![Step::Done];
        if self.is_asked_again {
            steps.extend(self.begin(now));
        }
        steps
    }
}
