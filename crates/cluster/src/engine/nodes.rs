//! Which other nodes are running.
//!
//! Each node adds an entry to a stream at least every second. It has ended if other nodes
//! have added entries for three seconds after its last one. Only the ids of entries count, so
//! neither a reader that is behind nor an engine that is away makes a node seem to have
//! ended. After an interruption in which no node added anything, nodes have some more
//! seconds, because some take longer than others to connect again.

use std::collections::HashMap;

use super::stream::EntryId;
use crate::batch::NodeId;

/// Maximum number of other nodes that are known at a time.
const MAX_NODES: usize = 1024;

/// How much older than the newest entry of the streams, in milliseconds, the last entry of a
/// node may be; otherwise it has ended.
pub(super) const SILENCE_MILLISECONDS: u64 = 3_000;

/// If no node adds an entry for so long, in milliseconds, the engine was away.
const INTERRUPTION_MILLISECONDS: u64 = 2_000;

/// How long, in milliseconds, nodes are waited for after an interruption: longer than the
/// maximum pause between two attempts to connect.
const RETURN_MILLISECONDS: u64 = 10_000;

/// How long a node that has ended is remembered, in milliseconds, and its `max_peer_age`
/// respected.
const REMEMBERED_MILLISECONDS: u64 = 60_000;

/// How long after the first heartbeat of this node, in milliseconds, another one with the
/// same name may be an earlier run of this one.
const TAKEOVER_MILLISECONDS: u64 = 2_000;

/// The other nodes, according to their entries in the streams.
#[derive(Debug)]
pub(super) struct Nodes {
    own: NodeId,
    own_name: Vec<u8>,
    others: HashMap<NodeId, Other>,
    /// When the newest entry was added, in milliseconds on the engine's clock.
    newest: u64,
    /// When the first own heartbeat was added.
    own_first: Option<u64>,
}

#[derive(Debug)]
struct Other {
    /// It has ended if an entry is newer than this.
    expected_until: u64,
    has_ended: bool,
    max_peer_age_seconds: u16,
    has_own_name: bool,
}

/// What an entry shows about its node.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    /// It is new, or had ended.
    pub(super) has_started: bool,
    /// It is the first other node that has the name of this one.
    pub(super) is_first_duplicate: bool,
}

impl Nodes {
    pub(super) fn new(own: NodeId, own_name: &str) -> Self {
        Self {
            own,
            own_name: own_name.into(),
            others: HashMap::new(),
            newest: 0,
            own_first: None,
        }
    }

    /// Records an entry of a node.
    pub(super) fn note(
        &mut self,
        node: NodeId,
        max_peer_age_seconds: u16,
        name: Option<&[u8]>,
        id: EntryId,
    ) -> Noted {
        let at = id.milliseconds;
        if at > self.newest.saturating_add(INTERRUPTION_MILLISECONDS) {
            for other in self.others.values_mut().filter(|it| !it.has_ended) {
                other.expected_until = at.saturating_add(RETURN_MILLISECONDS);
            }
        }
        self.newest = self.newest.max(at);
        if node == self.own {
            if name.is_some() {
                self.own_first.get_or_insert(at);
            }
            return Noted::default();
        }
        if self.others.len() >= MAX_NODES && !self.others.contains_key(&node) {
            return Noted::default();
        }
        let is_late = self
            .own_first
            .is_some_and(|first| at > first.saturating_add(TAKEOVER_MILLISECONDS));
        let has_own_name = is_late && name == Some(&self.own_name);
        let is_first_duplicate = has_own_name && !self.has_duplicate_name();
        let other = self.others.entry(node).or_insert(Other {
            expected_until: 0,
            has_ended: true,
            max_peer_age_seconds,
            has_own_name: false,
        });
        let has_started = std::mem::replace(&mut other.has_ended, false);
        other.expected_until = match max_peer_age_seconds {
            // It stops.
            0 => 0,
            _ => other
                .expected_until
                .max(at.saturating_add(SILENCE_MILLISECONDS)),
        };
        other.max_peer_age_seconds = max_peer_age_seconds;
        other.has_own_name |= has_own_name;
        Noted {
            has_started,
            is_first_duplicate,
        }
    }

    /// The nodes that have ended since the last call.
    pub(super) fn take_ended(&mut self) -> Vec<NodeId> {
        let newest = self.newest;
        let others = self.others.iter_mut();
        let ended = others.filter(|(_, it)| !it.has_ended && it.expected_until < newest);
        ended
            .map(|(node, other)| {
                other.has_ended = true;
                *node
            })
            .collect()
    }

    /// Forgets nodes that ended more than a minute ago, after
    /// [`take_ended`](Self::take_ended).
    pub(super) fn forget(&mut self) {
        let newest = self.newest;
        self.others
            .retain(|_, it| it.expected_until.saturating_add(REMEMBERED_MILLISECONDS) >= newest);
    }

    /// Number of other nodes that are running.
    pub(super) fn running(&self) -> usize {
        let others = self.others.values();
        others
            .filter(|it| !it.has_ended && it.expected_until >= self.newest)
            .count()
    }

    /// Whether another node has the name of this one, or had it within the last minute.
    pub(super) fn has_duplicate_name(&self) -> bool {
        self.others.values().any(|it| it.has_own_name)
    }

    /// The longest `max_peer_age` of the other nodes.
    pub(super) fn max_peer_age_seconds(&self) -> u16 {
        let others = self.others.values();
        others.map(|it| it.max_peer_age_seconds).max().unwrap_or(0)
    }

    /// To be called when a stream was lost: the times in the new one may be earlier, so its
    /// first entry is like one after an interruption.
    pub(super) fn reset(&mut self) {
        self.newest = 0;
        self.own_first = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId([1; 8]);
    const OTHER: NodeId = NodeId([2; 8]);
    const THIRD: NodeId = NodeId([3; 8]);

    fn at(milliseconds: u64) -> EntryId {
        EntryId {
            milliseconds,
            number: 0,
        }
    }

    /// Heartbeats of this node, one in each of these seconds.
    fn beat(nodes: &mut Nodes, seconds: std::ops::RangeInclusive<u64>) {
        for second in seconds {
            nodes.note(OWN, 1200, None, at(second * 1_000));
        }
    }

    #[test]
    fn a_silent_node_has_ended_when_others_have_gone_on() {
        let mut nodes = Nodes::new(OWN, "one");
        assert!(nodes.note(OTHER, 1800, Some(b"two"), at(1_000)).has_started);
        assert!(nodes.note(THIRD, 1200, None, at(2_000)).has_started);
        assert!(!nodes.note(THIRD, 1200, None, at(2_001)).has_started);
        assert_eq!(nodes.running(), 2);
        assert_eq!(nodes.max_peer_age_seconds(), 1800);
        beat(&mut nodes, 3..=4);
        assert_eq!(nodes.take_ended(), []);
        nodes.note(OWN, 1200, None, at(4_001));
        assert_eq!(nodes.running(), 1);
        assert_eq!(nodes.take_ended(), [OTHER]);
        assert_eq!(nodes.take_ended(), []);
        // The node was only slow, and is seen again.
        assert!(nodes.note(OTHER, 1800, None, at(4_500)).has_started);
        assert_eq!(nodes.running(), 2);
        beat(&mut nodes, 5..=8);
        let mut ended = nodes.take_ended();
        ended.sort_unstable();
        assert_eq!(ended, [OTHER, THIRD]);
        beat(&mut nodes, 9..=68);
        nodes.forget();
        assert_eq!(nodes.running(), 0);
        assert_eq!(nodes.max_peer_age_seconds(), 0);
    }

    #[test]
    fn a_node_that_stops_has_ended_at_once() {
        let mut nodes = Nodes::new(OWN, "one");
        nodes.note(OTHER, 1200, None, at(1_000));
        nodes.note(THIRD, 1200, None, at(1_000));
        nodes.note(OTHER, 0, None, at(1_500));
        assert_eq!(nodes.take_ended(), [OTHER]);
        assert_eq!(nodes.running(), 1);
    }

    #[test]
    fn an_engine_that_is_away_ends_no_node() {
        let mut nodes = Nodes::new(OWN, "one");
        nodes.note(OTHER, 1800, None, at(1_000));
        nodes.note(THIRD, 1800, None, at(1_000));
        beat(&mut nodes, 1..=2);
        // This node is the first one to connect again, and all need some seconds.
        beat(&mut nodes, 600..=605);
        assert_eq!(nodes.take_ended(), []);
        nodes.note(OTHER, 1800, None, at(605_500));
        beat(&mut nodes, 606..=608);
        assert_eq!(nodes.take_ended(), []);
        // One node does not return.
        nodes.note(OTHER, 1800, None, at(609_500));
        nodes.note(OTHER, 1800, None, at(610_001));
        assert_eq!(nodes.take_ended(), [THIRD]);

        // Another engine, with an empty stream and a clock that is behind.
        nodes.reset();
        beat(&mut nodes, 5..=9);
        assert_eq!((nodes.take_ended(), nodes.running()), (vec![], 1));
        beat(&mut nodes, 10..=16);
        assert_eq!(nodes.take_ended(), [OTHER]);
    }

    /// Nodes send a heartbeat about every second; the engine is unavailable now and then,
    /// and nodes take up to 6 seconds to return to it; some are killed.
    #[test]
    fn only_killed_nodes_end_and_they_do_soon() {
        const COUNT: usize = 6;
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut nodes = Nodes::new(OWN, "one");
            // Another engine's clock may show any time.
            let mut offset = random.u64(1_000_000..2_000_000);
            let mut beat_at = [0; COUNT];
            let mut killed_at: [Option<u64>; COUNT] = [None; COUNT];
            let (mut is_known, mut has_ended) = ([false; COUNT], [false; COUNT]);
            let (mut away_until, mut back_at) = (0, 0);
            for now in (0..120_000_u64).step_by(100) {
                if now >= away_until && random.u32(..200) == 0 {
                    // A long outage, after which nodes return slowly, or a short one.
                    let (time, delay) = match random.bool() {
                        true => (random.u64(2_500..30_000), 6_000),
                        false => (random.u64(100..500), 500),
                    };
                    away_until = now + time;
                    back_at = away_until;
                    for next in &mut beat_at {
                        *next = away_until.max(*next) + random.u64(..delay);
                    }
                    if random.u8(..3) == 0 {
                        offset = random.u64(1_000_000..2_000_000);
                        nodes.reset();
                    }
                }
                if random.u32(..400) == 0 {
                    // The observing node is not killed.
                    killed_at[random.usize(1..COUNT)].get_or_insert(now);
                }
                for (number, next) in beat_at.iter_mut().enumerate() {
                    if now < away_until || now < *next || killed_at[number].is_some() {
                        continue;
                    }
                    *next = now + random.u64(800..1_200);
                    let node = NodeId([number as u8 + 1; 8]);
                    nodes.note(node, 180, None, at(now + offset));
                    is_known[number] = true;
                }
                for node in nodes.take_ended() {
                    let number = usize::from(node.0[0]) - 1;
                    assert!(killed_at[number].is_some(), "seed {seed}, at {now}");
                    has_ended[number] = true;
                }
                assert!(nodes.others.len() < COUNT);
                for number in 1..COUNT {
                    let Some(killed_at) = killed_at[number].filter(|_| is_known[number]) else {
                        continue;
                    };
                    // All nodes have been back for a long time, or the engine was not
                    // away in between.
                    let waited = now.saturating_sub(killed_at.max(back_at));
                    let is_steady = killed_at > back_at + 8_000 && now >= away_until;
                    let is_overdue =
                        waited > 6_000 + RETURN_MILLISECONDS + 1_500 || is_steady && waited > 4_500;
                    assert!(!is_overdue || has_ended[number], "seed {seed}, at {now}");
                }
            }
        }
    }

    #[test]
    fn a_duplicate_name_is_reported_once() {
        let mut nodes = Nodes::new(OWN, "one");
        let mut note = |node, name: &str, time| {
            let name = Some(name.as_bytes()).filter(|it| !it.is_empty());
            nodes.note(node, 1200, name, at(time)).is_first_duplicate
        };
        // An earlier run of this node has the same name, but is not a duplicate.
        assert!(!note(OTHER, "one", 1_000));
        assert!(!note(OWN, "one", 2_000));
        assert!(!note(OTHER, "one", 2_500));
        assert!(!note(THIRD, "two", 9_000));
        assert!(!note(OTHER, "", 9_000));
        assert!(note(OTHER, "one", 9_000));
        assert!(!note(OTHER, "one", 9_500));
        // Any number of other nodes with this name is reported only once.
        assert!(!note(NodeId([4; 8]), "one", 9_500));
        assert!(nodes.has_duplicate_name());
    }

    #[test]
    fn the_number_of_nodes_is_bounded() {
        let mut nodes = Nodes::new(OWN, "one");
        for number in 0..MAX_NODES as u64 + 10 {
            nodes.note(NodeId(number.to_be_bytes()), 1200, None, at(1));
        }
        assert_eq!(nodes.others.len(), MAX_NODES);
    }
}
