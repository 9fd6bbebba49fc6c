//! Ranges of one address family: a sorted array with an index.
//!
//! Addresses that are in use are not spread evenly: those of IPv6 begin with few different
//! values of their first 16 bits. So the index only has places for values with which a range
//! ends, each with as many for the bits that follow. Any order-preserving function from
//! addresses to places finds the right range; this one leaves few ranges in each place.

/// Maximum length of the index, as a power of two: 1 MiB of memory.
const MAX_INDEX_BITS: u32 = 18;

/// Number of different values of the first 16 bits.
const TOPS: usize = 1 << 16;

/// How many of the bits that follow them matter to the place in the index.
const FOLLOWING_BITS: u32 = 47;

/// An address as a number.
pub(super) trait Number: Copy + Ord {
    /// Its first 64 bits, or all of its bits and zeros after them.
    fn key(self) -> u64;
    /// The number before it, if there is one.
    fn before(self) -> Option<Self>;
    /// The number after it, if there is one.
    fn after(self) -> Option<Self>;
}

impl Number for u32 {
    #[inline]
    fn key(self) -> u64 {
        u64::from(self) << 32
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u64 {
    #[inline]
    fn key(self) -> u64 {
        self
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    #[inline]
    fn key(self) -> u64 {
        (self >> 64) as u64
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Ranges that neither overlap nor adjoin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ranges<T> {
    /// The first and the last number of each, in their order.
    ranges: Vec<[T; 2]>,
    scale: Scale,
    /// For each place of the scale, the number of ranges that end before it; then that of
    /// all ranges. Empty if there are none.
    ended: Vec<u32>,
}

/// A function from keys to places in an index, which preserves their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scale {
    /// For each value of the first 16 bits, and for the one after the last, how many lower
    /// values there are with which a range ends.
    ranks: Vec<u32>,
    /// The position of the end of the first range.
    lowest: u64,
    /// How many of the last bits of a position, after the lowest one, do not matter.
    shift: u32,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self {
            ranges: Vec::new(),
            scale: Scale::default(),
            ended: Vec::new(),
        }
    }
}

impl Scale {
    /// For ranges with these ends, which are not empty and in their order.
    fn new(ends: impl ExactSizeIterator<Item = u64> + Clone) -> Self {
        let mut ranks = vec![0; TOPS + 1];
        for end in ends.clone() {
            ranks[top(end) + 1] = 1;
        }
        let mut sum = 0;
        for rank in &mut ranks {
            sum += *rank;
            *rank = sum;
        }
        let bits = ends.len().max(1).ilog2().clamp(1, MAX_INDEX_BITS);
        let (mut first, mut last) = (None, 0);
        let mut scale = Self {
            ranks,
            lowest: 0,
            shift: 0,
        };
        for end in ends {
            last = scale.position(end);
            first = first.or(Some(last));
        }
        scale.lowest = first.unwrap_or(0);
        let span = last - scale.lowest;
        scale.shift = (u64::BITS - span.leading_zeros()).saturating_sub(bits);
        scale
    }

    #[inline]
    fn position(&self, key: u64) -> u64 {
        let top = top(key);
        let rank = self.ranks.get(top).copied().unwrap_or(0);
        let next = self.ranks.get(top + 1).copied().unwrap_or(0);
        // Where no range ends, all keys have the position before those of the next value.
        let following = match next == rank {
            true => 0,
            false => key << 16 >> (u64::BITS - FOLLOWING_BITS),
        };
        u64::from(rank) << FOLLOWING_BITS | following
    }

    #[inline]
    fn place(&self, key: u64) -> usize {
        // What is before the first end may be within the first range.
        (self.position(key).saturating_sub(self.lowest) >> self.shift) as usize
    }
}

/// The first 16 bits.
#[inline]
fn top(key: u64) -> usize {
    (key >> 48) as usize
}

impl<T: Number> Ranges<T> {
    /// For ranges that are in order, and neither overlap nor adjoin.
    pub(super) fn new(mut ranges: Vec<[T; 2]>) -> Self {
        ranges.shrink_to_fit();
        let Some([_, last]) = ranges.last() else {
            return Self::default();
        };
        let scale = Scale::new(ranges.iter().map(|[_, end]| end.key()));
        let mut ended = Vec::with_capacity(scale.place(last.key()) + 2);
        for (index, [_, end]) in ranges.iter().enumerate() {
            let place = scale.place(end.key());
            while ended.len() <= place {
                ended.push(index as u32);
            }
        }
        ended.push(ranges.len() as u32);
        Self {
            ranges,
            scale,
            ended,
        }
    }

    /// Whether a range contains this number: the first one that does not end before it.
    #[inline]
    pub(super) fn contains(&self, number: T) -> bool {
        if self.ranges.is_empty() {
            return false;
        }
        let place = self.scale.place(number.key());
        // Beyond the end of the last range, there is no place.
        let Some(&first) = self.ended.get(place) else {
            return false;
        };
        let Some(&next) = self.ended.get(place + 1) else {
            return false;
        };
        let first = first as usize;
        let here = self.ranges.get(first..next as usize).unwrap_or_default();
        let index = first + here.partition_point(|[_, end]| *end < number);
        self.ranges
            .get(index)
            .is_some_and(|[start, _]| *start <= number)
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> &[[T; 2]] {
        &self.ranges
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<[T; 2]>()
            + (self.ended.capacity() + self.scale.ranks.capacity()) * size_of::<u32>()
    }
}

/// Merges `ranges`, and takes the numbers of `except` out of them.
pub(super) fn combined<T: Number>(mut ranges: Vec<[T; 2]>, mut except: Vec<[T; 2]>) -> Vec<[T; 2]> {
    merge(&mut ranges);
    merge(&mut except);
    match except.is_empty() {
        true => ranges,
        false => without(&ranges, &except),
    }
}

/// Sorts ranges, and merges those that overlap or adjoin.
fn merge<T: Number>(ranges: &mut Vec<[T; 2]>) {
    ranges.sort_unstable();
    ranges.dedup_by(|[start, end], [_, last]| {
        let adjoins = last.after().is_none_or(|after| *start <= after);
        if adjoins {
            *last = (*last).max(*end);
        }
        adjoins
    });
}

/// What is left of merged ranges without others.
fn without<T: Number>(ranges: &[[T; 2]], except: &[[T; 2]]) -> Vec<[T; 2]> {
    let mut left = Vec::with_capacity(ranges.len() + except.len());
    let mut ahead = except;
    for &[start, end] in ranges {
        while let Some(([_, last], others)) = ahead.split_first()
            && *last < start
        {
            ahead = others;
        }
        // The part that is not yet compared with the exceptions.
        let mut rest = Some(start);
        for &[first, last] in ahead.iter().take_while(|[first, _]| *first <= end) {
            let Some(from) = rest else { break };
            if let Some(before) = first.before()
                && from <= before
            {
                left.push([from, before]);
            }
            rest = last.after().filter(|after| *after <= end);
        }
        left.extend(rest.map(|from| [from, end]));
    }
    left
}
