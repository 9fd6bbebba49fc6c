//! Requests that are answered as a group.

/// Answers all pending items, in rounds.
///
/// A round waits for the lock of the first item with `lock`. For the others it calls
/// `try_lock`. If that fails because an earlier item of the round that is `alike`, for the
/// same torrent, has the lock, they share it; otherwise the item is deferred to a later round:
/// another worker holds the lock, or another torrent of this one needs it. Then the round
/// calls `look_up` with everything that it locked, so that cache misses overlap, `finish` for
/// each item with what was locked for it and what `look_up` returned, and `end_round` before
/// it unlocks anything.
///
/// Items that are `alike` are finished in their order: if one is deferred to a later round,
/// so are later items that are like it, even if another worker releases the lock in the
/// meantime.
///
/// No worker waits for a lock while it holds one, so there is no deadlock. Each round
/// finishes its first item, so there are at most `N` rounds.
#[inline]
pub fn answer_in_rounds<T, L, H, const N: usize>(
    waiting: &mut [Option<T>; N],
    lock: impl Fn(&T) -> L,
    try_lock: impl Fn(&T) -> Option<L>,
    alike: impl Fn(&T, &T) -> bool,
    mut look_up: impl FnMut(&mut Round<'_, T, L, N>) -> [H; N],
    mut finish: impl FnMut(usize, T, &mut L, H),
    mut end_round: impl FnMut(),
) {
    for _round in 0..N {
        let mut round = Round {
            waiting: &*waiting,
            locked: [const { None }; N],
            holders: [None; N],
        };
        let mut is_first = true;
        let mut does_one_wait = false;
        for number in 0..N {
            let Some(item) = &round.waiting[number] else {
                continue;
            };
            if is_first {
                round.locked[number] = Some(lock(item));
            } else if !(does_one_wait && round.is_behind_alike(number, &alike)) {
                round.locked[number] = try_lock(item);
            }
            round.holders[number] = if round.locked[number].is_some() {
                // A group has some dozen items.
                Some(number as u8)
            } else {
                round.holder_alike(number, &alike)
            };
            does_one_wait |= round.holders[number].is_none();
            is_first = false;
        }
        if is_first {
            return;
        }
        let found = look_up(&mut round);
        let Round {
            mut locked,
            holders,
            ..
        } = round;
        for (number, found) in found.into_iter().enumerate() {
            if let Some(locked) =
                holders[number].and_then(|holder| locked[usize::from(holder)].as_mut())
                && let Some(item) = waiting[number].take()
            {
                finish(number, item, locked, found);
            }
        }
        end_round();
    }
}

/// The items that are finished in a round, and what is locked for them.
pub struct Round<'a, T, L, const N: usize> {
    waiting: &'a [Option<T>; N],
    locked: [Option<L>; N],
    /// For each item that is finished in this round, the one for which its lock was taken.
    holders: [Option<u8>; N],
}

impl<T, L, const N: usize> Round<'_, T, L, N> {
    /// Everything that is locked, once each.
    #[inline]
    pub fn locked(&mut self) -> impl Iterator<Item = &mut L> {
        self.locked.iter_mut().flatten()
    }

    /// Calls `look` for each item that is finished in this round, with its number and what is
    /// locked for it.
    #[inline]
    pub fn each(&mut self, mut look: impl FnMut(usize, &T, &mut L)) {
        for (number, item) in self.waiting.iter().enumerate() {
            if let Some(item) = item
                && let Some(holder) = self.holders[number]
                && let Some(locked) = &mut self.locked[usize::from(holder)]
            {
                look(number, item, locked);
            }
        }
    }

    /// Whether an earlier item that is like this one was deferred.
    fn is_behind_alike(&self, number: usize, alike: impl Fn(&T, &T) -> bool) -> bool {
        let is_deferred = |earlier: usize| self.holders[earlier].is_none();
        self.is_any_alike(number, is_deferred, alike).is_some()
    }

    /// The earlier item that is like this one and has the lock.
    fn holder_alike(&self, number: usize, alike: impl Fn(&T, &T) -> bool) -> Option<u8> {
        let has_lock = |earlier: usize| self.locked[earlier].is_some();
        let holder = self.is_any_alike(number, has_lock, alike)?;
        Some(holder as u8)
    }

    fn is_any_alike(
        &self,
        number: usize,
        condition: impl Fn(usize) -> bool,
        alike: impl Fn(&T, &T) -> bool,
    ) -> Option<usize> {
        let item = self.waiting[number].as_ref()?;
        (0..number).find(|&earlier| {
            let other = self.waiting[earlier].as_ref();
            condition(earlier) && other.is_some_and(|other| alike(other, item))
        })
    }
}
