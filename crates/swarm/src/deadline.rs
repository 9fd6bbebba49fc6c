//! When a peer is forgotten, in two bytes.
//!
//! A deadline is the low half of a count of seconds. It is compared by the
//! distance to now, so it may wrap around as long as nothing lies more than
//! half its range away: peers live at most [`MAX_LIFETIME_SECONDS`], and every
//! sweep must visit them within the hour that remains.

/// The longest that a peer may be kept after an announce: 8 hours.
pub const MAX_LIFETIME_SECONDS: u16 = 28_800;

/// A deadline as it is stored, without alignment.
pub(crate) type Deadline = [u8; 2];

/// The deadline `lifetime` seconds after `now`.
pub(crate) fn after(now: u32, lifetime: u16) -> Deadline {
    (now as u16)
        .wrapping_add(lifetime.min(MAX_LIFETIME_SECONDS))
        .to_ne_bytes()
}

/// Whether `deadline` has come.
pub(crate) fn is_past(deadline: Deadline, now: u32) -> bool {
    distance(deadline, now) <= 0
}

/// Seconds left until `deadline`, none if it has come.
pub(crate) fn remaining(deadline: Deadline, now: u32) -> u16 {
    distance(deadline, now).max(0) as u16
}

/// Seconds from `now` to `deadline`. The low half of `now` is all that counts.
fn distance(deadline: Deadline, now: u32) -> i16 {
    u16::from_ne_bytes(deadline).wrapping_sub(now as u16) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_wrap_around() {
        for now in [0, 40_000, 65_535, 65_536, 100_000, u32::MAX] {
            for lifetime in [1, 1_200, MAX_LIFETIME_SECONDS] {
                let deadline = after(now, lifetime);
                assert_eq!(remaining(deadline, now), lifetime);
                assert!(!is_past(deadline, now));

                let last = now.wrapping_add(u32::from(lifetime));
                assert!(!is_past(deadline, last.wrapping_sub(1)));
                assert!(is_past(deadline, last));
                assert!(is_past(deadline, last.wrapping_add(3_600)));
                assert_eq!(remaining(deadline, last.wrapping_add(1)), 0);
            }
        }
    }

    #[test]
    fn lifetimes_are_cut_to_what_can_be_told_apart() {
        assert_eq!(remaining(after(7, u16::MAX), 7), MAX_LIFETIME_SECONDS);
    }
}
