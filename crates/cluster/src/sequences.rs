//! Detects repeated and missing batches by their sequence numbers.

use std::collections::HashMap;

use crate::batch::{Kind, NodeId};

/// Maximum number of streams (a node and a kind of peer) whose sequence numbers are kept.
/// This is more than ever run at once; those of ended nodes stay until the space is needed.
const MAX_STREAMS: usize = 1024;

/// The last sequence number of each node and kind.
#[derive(Debug, Clone, Default)]
pub struct Sequences {
    last: HashMap<(NodeId, Kind), Last>,
    /// Number of all batches so far, used as a clock to find the longest silent stream.
    batches: u64,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    sequence: u64,
    /// The value of `batches` at its last batch.
    heard: u64,
}

/// What the sequence number of a batch says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one, or the first one of its node.
    New,
    /// It was received before, and must not be applied again.
    Repeat,
    /// It is new, but so many batches before it are missing.
    Gap(u64),
}

impl Sequences {
    /// Records the sequence number of a batch. Any number is new if the node is unknown, or
    /// was forgotten because it was silent for longest.
    pub fn note(&mut self, node: NodeId, kind: Kind, sequence: u64) -> Arrival {
        self.batches = self.batches.saturating_add(1);
        let heard = self.batches;
        if let Some(last) = self.last.get_mut(&(node, kind)) {
            last.heard = heard;
            let Some(ahead) = sequence.checked_sub(last.sequence).filter(|it| *it > 0) else {
                return Arrival::Repeat;
            };
            last.sequence = sequence;
            return match ahead - 1 {
                0 => Arrival::New,
                missed => Arrival::Gap(missed),
            };
        }
        if self.last.len() >= MAX_STREAMS {
            self.forget_longest_silent();
        }
        self.last.insert((node, kind), Last { sequence, heard });
        Arrival::New
    }

    /// The last sequence number of each node and kind, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Kind, u64)> {
        let last = self.last.iter();
        last.map(|((node, kind), last)| (*node, *kind, last.sequence))
    }

    fn forget_longest_silent(&mut self) {
        let silent = self.last.iter().min_by_key(|(_, last)| last.heard);
        if let Some(key) = silent.map(|(key, _)| *key) {
            self.last.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([1; 8]);

    #[test]
    fn numbers_tell_repeats_and_gaps() {
        let mut sequences = Sequences::default();
        let mut note = |kind, sequence| sequences.note(NODE, kind, sequence);
        assert_eq!(note(Kind::Ipv4, 5), Arrival::New);
        assert_eq!(note(Kind::Ipv4, 5), Arrival::Repeat);
        assert_eq!(note(Kind::Ipv4, 4), Arrival::Repeat);
        assert_eq!(note(Kind::Ipv4, 6), Arrival::New);
        assert_eq!(note(Kind::Ipv4, 9), Arrival::Gap(2));
        assert_eq!(note(Kind::Ipv4, 7), Arrival::Repeat);
        // Each kind has its own sequence.
        assert_eq!(note(Kind::Ipv6, 1), Arrival::New);
        assert_eq!(note(Kind::Ipv6, u64::MAX), Arrival::Gap(u64::MAX - 2));
        assert_eq!(note(Kind::Ipv6, u64::MAX), Arrival::Repeat);
    }

    /// The model is a list of nodes, in the order in which they were last heard.
    #[test]
    fn does_as_a_plain_model_does() {
        let nodes = MAX_STREAMS as u64 + 20;
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut sequences = Sequences::default();
            // The most recent node is the last one.
            let mut model: Vec<(NodeId, u64)> = Vec::new();
            for _ in 0..5_000 {
                // Some nodes send often, and are never forgotten.
                let highest = if random.bool() { nodes } else { 5 };
                let number = random.u64(0..highest);
                let node = NodeId(number.to_be_bytes());
                let sequence = random.u64(1..20);
                let known = model.iter().position(|(it, _)| *it == node);
                let last = known.map(|index| model.remove(index).1);
                let expected = match last {
                    Some(last) if sequence <= last => Arrival::Repeat,
                    Some(last) if sequence > last + 1 => Arrival::Gap(sequence - last - 1),
                    _ => Arrival::New,
                };
                model.push((node, last.unwrap_or(0).max(sequence)));
                if model.len() > MAX_STREAMS {
                    model.remove(0);
                }
                let found = sequences.note(node, Kind::Ipv4, sequence);
                assert_eq!(found, expected, "seed {seed}");
                assert_eq!(sequences.last.len(), model.len());
            }
        }
    }
}
