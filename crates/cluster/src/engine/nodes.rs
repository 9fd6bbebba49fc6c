//! Which other nodes are running.

use std::collections::HashMap;

use super::stream::EntryId;
use crate::batch::NodeId;

/// Maximum number of other nodes that are known at a time.
const MAX_NODES: usize = 1024;

/// How much older than the newest entry of the streams, in milliseconds, the last entry of a
/// node may be; otherwise it has ended. While the engine is away, there are no new entries,
/// so no node is assumed to have ended.
const SILENCE_MILLISECONDS: u64 = 3_000;

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
    /// When its last entry was added.
    last: u64,
    max_peer_age_seconds: u16,
    has_own_name: bool,
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

    /// Records an entry of a node. Returns whether it shows for the first time that another
    /// node has the name of this one.
    pub(super) fn note(
        &mut self,
        node: NodeId,
        max_peer_age_seconds: u16,
        name: Option<&[u8]>,
        id: EntryId,
    ) -> bool {
        let at = id.milliseconds;
        self.newest = self.newest.max(at);
        if node == self.own {
            if name.is_some() {
                self.own_first.get_or_insert(at);
            }
            return false;
        }
        if self.others.len() >= MAX_NODES && !self.others.contains_key(&node) {
            return false;
        }
        let is_late = self
            .own_first
            .is_some_and(|first| at > first.saturating_add(TAKEOVER_MILLISECONDS));
        let has_own_name = is_late && name == Some(&self.own_name);
        let is_news = has_own_name && !self.has_duplicate_name();
        let other = self.others.entry(node).or_insert(Other {
            last: at,
            max_peer_age_seconds,
            has_own_name: false,
        });
        other.last = other.last.max(at);
        other.max_peer_age_seconds = max_peer_age_seconds;
        other.has_own_name |= has_own_name;
        is_news
    }

    /// Forgets nodes that ended more than a minute ago.
    pub(super) fn forget(&mut self) {
        let newest = self.newest;
        self.others
            .retain(|_, other| other.last.saturating_add(REMEMBERED_MILLISECONDS) >= newest);
    }

    /// Number of other nodes that are running.
    pub(super) fn running(&self) -> usize {
        let others = self.others.values();
        others
            .filter(|it| it.last.saturating_add(SILENCE_MILLISECONDS) >= self.newest)
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

    /// To be called when a stream was lost: the times in the new one may be earlier.
    pub(super) fn reset(&mut self) {
        self.newest = 0;
        self.own_first = None;
        self.others.clear();
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

    #[test]
    fn a_silent_node_has_ended() {
        let mut nodes = Nodes::new(OWN, "one");
        nodes.note(OTHER, 1800, Some(b"two"), at(1_000));
        nodes.note(THIRD, 1200, None, at(2_000));
        assert_eq!(nodes.running(), 2);
        assert_eq!(nodes.max_peer_age_seconds(), 1800);
        // Only entries advance the time.
        nodes.note(OWN, 1200, None, at(4_001));
        assert_eq!(nodes.running(), 1);
        nodes.note(OWN, 1200, None, at(61_001));
        nodes.forget();
        assert_eq!(nodes.running(), 0);
        assert_eq!(nodes.max_peer_age_seconds(), 1200);
        nodes.reset();
        nodes.note(OTHER, 1800, None, at(5));
        assert_eq!(nodes.running(), 1);
    }

    #[test]
    fn a_duplicate_name_is_reported_once() {
        let mut nodes = Nodes::new(OWN, "one");
        let duplicate = |nodes: &mut Nodes, time| nodes.note(OTHER, 1200, Some(b"one"), at(time));
        // An earlier run of this node.
        assert!(!duplicate(&mut nodes, 1_000));
        assert!(!nodes.note(OWN, 1200, Some(b"one"), at(2_000)));
        assert!(!duplicate(&mut nodes, 2_500));
        assert!(!nodes.note(THIRD, 1200, Some(b"two"), at(9_000)));
        assert!(!nodes.note(OTHER, 1200, None, at(9_000)));
        assert!(!nodes.has_duplicate_name());
        assert!(duplicate(&mut nodes, 9_000));
        assert!(nodes.has_duplicate_name());
        assert!(!duplicate(&mut nodes, 9_500));
        // Any number of other nodes with this name are reported as one.
        let other = nodes.note(NodeId([4; 8]), 1200, Some(b"one"), at(9_500));
        assert!(!other);
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
