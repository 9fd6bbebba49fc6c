//! Requests that are answered together.

/// Answers all items that wait, in turns.
///
/// A turn waits for the lock of the first one with `lock`, and takes those of
/// the others with `try_lock`, as far as nobody has them: neither another
/// worker nor, when two items need the same lock, this one. It then has
/// `look_up` work on everything that it locked, whose cache misses so overlap,
/// and `finish` on each item with what was locked for it. Items that need the
/// same lock are finished in their order.
///
/// Nobody waits for a lock who holds one, so no two workers can wait for each
/// other. Each turn finishes its first item, so there are `N` turns at most.
#[inline]
pub fn in_turns<T, L, const N: usize>(
    waiting: &mut [Option<T>; N],
    lock: impl Fn(&T) -> L,
    try_lock: impl Fn(&T) -> Option<L>,
    look_up: impl Fn(&mut L),
    mut finish: impl FnMut(usize, T, &mut L),
) {
    for _turn in 0..N {
        let mut locked = [const { None }; N];
        let mut is_first = true;
        for (item, locked) in waiting.iter().zip(&mut locked) {
            if let Some(item) = item {
                *locked = if is_first {
                    Some(lock(item))
                } else {
                    try_lock(item)
                };
                is_first = false;
            }
        }
        if is_first {
            return;
        }
        for locked in locked.iter_mut().flatten() {
            look_up(locked);
        }
        for (number, (item, locked)) in waiting.iter_mut().zip(&mut locked).enumerate() {
            if let Some(locked) = locked
                && let Some(item) = item.take()
            {
                finish(number, item, locked);
            }
        }
    }
}
