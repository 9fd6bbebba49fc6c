//! Number of downloads of a torrent, and how credible it is.

/// The bit that is set if any download was witnessed.
const WITNESSED: u32 = 1 << 31;

/// Minimum time in seconds that a peer must have been known as a leecher for its download
/// to count as witnessed.
const LEAST_SECONDS_AS_LEECHER: u32 = 30;

/// Number of downloads in 31 bits, and one bit for whether any of them was *witnessed*:
/// announced by a peer that had been known as a leecher for some time. Any other download
/// may be a false claim, which takes only one message.
///
/// The order is by value: witnessed counts above others, then by the number of downloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Downloads(u32);

impl Downloads {
    pub(crate) const NONE: Self = Self(0);

    /// The number of downloads.
    pub(crate) fn count(self) -> u32 {
        self.0 & !WITNESSED
    }

    /// Counts one more download of a peer that had last announced `seconds_as_leecher` ago
    /// as a leecher; `None` if it had not.
    pub(crate) fn add(&mut self, seconds_as_leecher: Option<u32>) {
        let is_witnessed = seconds_as_leecher.is_some_and(|s| s >= LEAST_SECONDS_AS_LEECHER);
        let flag = if is_witnessed { WITNESSED } else { 0 };
        let count = (self.count() + 1).min(!WITNESSED);
        *self = Self(count | self.0 & WITNESSED | flag);
    }

    /// Takes the larger number; a download was witnessed if one was in either.
    pub(crate) fn merge(&mut self, other: Self) {
        let count = self.count().max(other.count());
        *self = Self(count | (self.0 | other.0) & WITNESSED);
    }

    /// So many that another has counted. It is not known whether they were witnessed.
    pub(crate) fn of_another(count: u32) -> Self {
        Self(count.min(!WITNESSED))
    }

    /// Converts to the format of snapshots, where the highest bit is set if no download was
    /// witnessed, because it was always 0 before this bit was introduced.
    pub(crate) fn to_stored(self) -> u32 {
        if self.count() == 0 {
            0
        } else {
            self.0 ^ WITNESSED
        }
    }

    /// The reverse of [`to_stored`](Self::to_stored).
    pub(crate) fn from_stored(stored: u32) -> Self {
        if stored & !WITNESSED == 0 {
            Self::NONE
        } else {
            Self(stored ^ WITNESSED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn downloads(count: u32, seconds_as_leecher: Option<u32>) -> Downloads {
        let mut downloads = Downloads::NONE;
        for _ in 0..count {
            downloads.add(seconds_as_leecher);
        }
        downloads
    }

    #[test]
    fn what_was_witnessed_is_worth_more_than_any_number_that_was_not() {
        let witnessed = downloads(1, Some(LEAST_SECONDS_AS_LEECHER));
        for doubtful in [None, Some(0), Some(LEAST_SECONDS_AS_LEECHER - 1)] {
            assert!(witnessed > downloads(1_000, doubtful));
            assert!(downloads(2, doubtful) > downloads(1, doubtful));
        }
        assert!(downloads(2, Some(600)) > witnessed);
        let mut both = downloads(3, None);
        both.merge(witnessed);
        assert_eq!(both.count(), 3);
        assert!(both > witnessed);
    }

    #[test]
    fn is_stored_and_read_again() {
        for original in [
            Downloads::NONE,
            downloads(5, None),
            downloads(5, Some(60)),
            Downloads(u32::MAX),
        ] {
            assert_eq!(Downloads::from_stored(original.to_stored()), original);
        }
        // Values in snapshots from before this bit was introduced.
        assert_eq!(Downloads::from_stored(5), downloads(5, Some(60)));
        assert_eq!(Downloads::from_stored(0), Downloads::NONE);
        assert_eq!(Downloads::from_stored(WITNESSED), Downloads::NONE);
    }

    #[test]
    fn counts_no_further_than_it_can() {
        let mut downloads = Downloads(!WITNESSED);
        downloads.add(None);
        assert_eq!(downloads, Downloads(!WITNESSED));
    }
}
