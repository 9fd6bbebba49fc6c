//! A search of all slots of the table, some in each turn.

/// How far a search has come.
#[derive(Debug)]
pub(super) struct Search {
    /// Maximum number of slots that are searched in one turn.
    slots_per_turn: usize,
    /// The next slot; `None` while there is no search.
    next: Option<usize>,
    /// Whether another search has to follow.
    is_repeated: bool,
    /// How many more slots may be searched in this turn.
    left: usize,
}

impl Search {
    /// No search is under way.
    pub(super) fn new(slots_per_turn: usize) -> Self {
        Self {
            slots_per_turn,
            next: None,
            is_repeated: false,
            left: 0,
        }
    }

    /// Begins a search; or, if one is under way, has another one follow, so that the last
    /// slots get their turn however often this is called.
    pub(super) fn begin(&mut self) {
        self.is_repeated = self.next.is_some();
        self.next.get_or_insert(0);
    }

    /// A turn of the worker's loop begins.
    pub(super) fn next_turn(&mut self) {
        self.left = self.slots_per_turn;
    }

    /// The next of `slots` slots that is to be searched in this turn.
    pub(super) fn next_slot(&mut self, slots: usize) -> Option<usize> {
        let slot = self.next?;
        if slot >= slots {
            let is_repeated = std::mem::take(&mut self.is_repeated);
            self.next = is_repeated.then_some(0);
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        self.next = Some(slot + 1);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS_PER_TURN: usize = 100;

    /// The slots that are searched in a turn.
    fn turn(search: &mut Search, slots: usize) -> Vec<usize> {
        search.next_turn();
        std::iter::from_fn(|| search.next_slot(slots)).collect()
    }

    #[test]
    fn all_slots_are_searched_once_a_few_in_each_turn() {
        let mut search = Search::new(SLOTS_PER_TURN);
        assert_eq!(turn(&mut search, 10), [0; 0]);
        search.begin();
        let slots = 2 * SLOTS_PER_TURN + 5;
        let mut found = Vec::new();
        for expected in [SLOTS_PER_TURN, SLOTS_PER_TURN, 5, 0, 0] {
            let some = turn(&mut search, slots);
            assert_eq!(some.len(), expected);
            found.extend(some);
        }
        assert!(found.into_iter().eq(0..slots));
    }

    #[test]
    fn a_search_that_is_due_all_the_time_reaches_the_end() {
        let mut search = Search::new(SLOTS_PER_TURN);
        let slots = SLOTS_PER_TURN + 1;
        let mut last = 0;
        for _ in 0..100 {
            search.begin();
            last += turn(&mut search, slots)
                .iter()
                .filter(|it| **it == slots - 1)
                .count();
        }
        assert!(last >= 30, "{last}");
        // One more follows, for what has changed since the last one began.
        turn(&mut search, slots);
        turn(&mut search, slots);
        turn(&mut search, slots);
        turn(&mut search, slots);
        turn(&mut search, slots);
        assert_eq!(turn(&mut search, slots), [0; 0]);
    }
}
