//! Reloads: rounds in which every item is read again, each on a thread of its own.
//! Signals that arrive during a round cause one further round.

use std::time::Instant;

use crate::reload::PATIENCE;

/// Maximum number of abandoned threads per item. Whatever they wait for does not
/// respond, so there is no use in more of them.
pub(super) const MAX_GIVEN_UP: usize = 4;

/// A step of a reload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A round begins.
    Begin,
    /// Read this item on a thread. Its end has to be reported, also when it cannot be
    /// started.
    Read {
        /// Which, by its number.
        item: usize,
        /// Tells this attempt from others.
        ticket: u64,
    },
    /// This item was not read within [`PATIENCE`].
    TooLate {
        /// Which, by its number.
        item: usize,
    },
    /// This item is not read, because [`MAX_GIVEN_UP`] attempts have not ended yet.
    Refuse {
        /// Which, by its number.
        item: usize,
    },
    /// The round is over.
    Done,
}

/// The items that are being read.
pub(super) struct Rounds {
    items: Vec<Item>,
    /// Of the current round.
    deadline: Option<Instant>,
    /// Whether a signal came during the round.
    is_asked_again: bool,
    last_ticket: u64,
}

#[derive(Default)]
struct Item {
    /// The ticket of the current round's attempt.
    awaited: Option<u64>,
    /// Abandoned attempts that have not ended.
    given_up: usize,
}

impl Rounds {
    pub(super) fn new(items: usize) -> Self {
        Self {
            items: (0..items).map(|_| Item::default()).collect(),
            deadline: None,
            is_asked_again: false,
            last_ticket: 0,
        }
    }

    /// When the round is over at the latest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether this attempt was not abandoned.
    pub(super) fn is_awaited(&self, item: usize, ticket: u64) -> bool {
        let item = self.items.get(item);
        item.is_some_and(|item| item.awaited == Some(ticket))
    }

    /// A signal requests a round.
    pub(super) fn ask(&mut self, now: Instant) -> Vec<Step> {
        if self.deadline.is_some() {
            self.is_asked_again = true;
            return Vec::new();
        }
        self.begin(now)
    }

    /// An attempt has ended, successfully or not.
    pub(super) fn ended(&mut self, item: usize, ticket: u64, now: Instant) -> Vec<Step> {
        let is_awaited = self.is_awaited(item, ticket);
        if let Some(item) = self.items.get_mut(item) {
            if is_awaited {
                item.awaited = None;
            } else {
                item.given_up = item.given_up.saturating_sub(1);
            }
        }
        self.finish(now)
    }

    /// Abandons attempts that take too long.
    pub(super) fn time(&mut self, now: Instant) -> Vec<Step> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let mut steps = Vec::new();
        for (number, item) in self.items.iter_mut().enumerate() {
            if item.awaited.take().is_some() {
                item.given_up += 1;
                steps.push(Step::TooLate { item: number });
            }
        }
        steps.extend(self.finish(now));
        steps
    }

    fn begin(&mut self, now: Instant) -> Vec<Step> {
        self.is_asked_again = false;
        self.deadline = Some(now + PATIENCE);
        let mut steps = vec![Step::Begin];
        for (number, item) in self.items.iter_mut().enumerate() {
            if item.given_up >= MAX_GIVEN_UP {
                steps.push(Step::Refuse { item: number });
                continue;
            }
            self.last_ticket += 1;
            item.awaited = Some(self.last_ticket);
            steps.push(Step::Read {
                item: number,
                ticket: self.last_ticket,
            });
        }
        steps.extend(self.finish(now));
        steps
    }

    /// Ends the round when nothing is awaited any more.
    fn finish(&mut self, now: Instant) -> Vec<Step> {
        if self.deadline.is_none() || self.items.iter().any(|item| item.awaited.is_some()) {
            return Vec::new();
        }
        self.deadline = None;
        let mut steps = vec![Step::Done];
        // Nothing was awaited in a round that began at once, so that one cannot
        // have been asked for again meanwhile: this goes one level deep.
        if self.is_asked_again {
            steps.extend(self.begin(now));
        }
        steps
    }
}
