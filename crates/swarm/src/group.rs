//! Requests that are answered as a group.

/// Answers all pending items, in rounds.
///
/// A round waits for the lock of the first item with `lock`. For the others it calls
/// `try_lock`, and defers each item whose lock is held to a later round; it may be held by
/// another worker or, if two items need the same lock, by this one. Then it calls `look_up`
/// with everything that it locked, so that cache misses overlap, `finish` for each item with
/// what was locked for it, and `end_round` before it unlocks anything.
///
/// Items that are `alike`, which need the same lock, are finished in their order: if one is
/// deferred to a later round, so are later items that are like it, even if another worker
/// releases the lock in the meantime.
///
/// No worker waits for a lock while it holds one, so there is no deadlock. Each round
/// finishes its first item, so there are at most `N` rounds.
#[inline]
pub fn answer_in_rounds<T, L, const N: usize>(
    waiting: &mut [Option<T>; N],
    lock: impl Fn(&T) -> L,
    try_lock: impl Fn(&T) -> Option<L>,
    alike: impl Fn(&T, &T) -> bool,
    look_up: impl Fn(&mut [Option<L>; N]),
    mut finish: impl FnMut(usize, T, &mut L),
    mut end_round: impl FnMut(),
) {
    for _round in 0..N {
        let mut locked = [const { None }; N];
        let mut is_first = true;
        let mut does_one_wait = false;
        for number in 0..N {
            let Some(item) = &waiting[number] else {
                continue;
            };
            locked[number] = if is_first {
                Some(lock(item))
            } else if does_one_wait && is_behind_alike(item, &waiting[..number], &locked, &alike) {
                None
            } else {
                try_lock(item)
            };
            does_one_wait |= locked[number].is_none();
            is_first = false;
        }
        if is_first {
            return;
        }
        look_up(&mut locked);
        for (number, (item, locked)) in waiting.iter_mut().zip(&mut locked).enumerate() {
            if let Some(locked) = locked
                && let Some(item) = item.take()
            {
                finish(number, item, locked);
            }
        }
        end_round();
    }
}

/// Whether an earlier item that is like this one was not locked.
fn is_behind_alike<T, L>(
    item: &T,
    before: &[Option<T>],
    locked: &[Option<L>],
    alike: impl Fn(&T, &T) -> bool,
) -> bool {
    before.iter().zip(locked).any(|(other, locked)| {
        locked.is_none() && other.as_ref().is_some_and(|other| alike(other, item))
    })
}
