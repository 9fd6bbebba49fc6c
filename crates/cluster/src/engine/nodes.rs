//! Which nodes live.

use std::collections::HashMap;

use super::stream::EntryId;
use crate::batch::NodeId;

/// Nodes that are remembered.
const MAX_NODES: usize = 1024;

/// A node is gone when the stream's newest entry is so much newer than its last one. An
/// engine that is away has no newer ones, so it makes nobody go.
const SILENCE_MILLISECONDS: u64 = 3_000;

/// For how long the `max_peer_age` of one that is gone is still respected.
const REMEMBERED_MILLISECONDS: u64 = 60_000;

/// How long after this one's first sign of life another node of the same name may still
/// be an earlier run of it.
const TAKEOVER_MILLISECONDS: u64 = 2_000;

/// The other nodes, by what they say in the streams.
#[derive(Debug)]
pub(super) struct Nodes {
    own: NodeId,
    own_name: Vec<u8>,
    others: HashMap<NodeId, Other>,
    /// When the newest entry was added.
    newest: u64,
    /// When the first own sign of life was.
    own_first: Option<u64>,
}

#[derive(Debug)]
struct Other {
    last: u64,
    max_peer_age_seconds: u16,
    is_namesake: bool,
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

    /// Notes what an entry says. Returns whether it shows that another node has this
    /// one's name; once for each.
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
        let other = self.others.entry(node).or_insert(Other {
            last: at,
            max_peer_age_seconds,
            is_namesake: false,
        });
        other.last = other.last.max(at);
        other.max_peer_age_seconds = max_peer_age_seconds;
        let is_late = self
            .own_first
            .is_some_and(|first| at > first.saturating_add(TAKEOVER_MILLISECONDS));
        let is_namesake = is_late && name == Some(&self.own_name);
        let is_news = is_namesake && !other.is_namesake;
        other.is_namesake |= is_namesake;
        is_news
    }

    /// Forgets those who have long been gone.
    pub(super) fn forget(&mut self) {
        let newest = self.newest;
        self.others
            .retain(|_, other| other.last.saturating_add(REMEMBERED_MILLISECONDS) >= newest);
    }

    /// Others that live.
    pub(super) fn living(&self) -> usize {
        let others = self.others.values();
        others
            .filter(|it| it.last.saturating_add(SILENCE_MILLISECONDS) >= self.newest)
            .count()
    }

    /// Whether one of them has this one's name, or had it a minute ago.
    pub(super) fn has_namesake(&self) -> bool {
        self.others.values().any(|it| it.is_namesake)
    }

    /// The longest `max_peer_age` of others.
    pub(super) fn max_peer_age_seconds(&self) -> u16 {
        let others = self.others.values();
        others.map(|it| it.max_peer_age_seconds).max().unwrap_or(0)
    }

    /// The stream was lost; the new one's times may be earlier.
    pub(super) fn start_again(&mut self) {
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
    fn who_is_silent_is_gone() {
        let mut nodes = Nodes::new(OWN, "one");
        nodes.note(OTHER, 1800, Some(b"two"), at(1_000));
        nodes.note(THIRD, 1200, None, at(2_000));
        assert_eq!(nodes.living(), 2);
        assert_eq!(nodes.max_peer_age_seconds(), 1800);
        // Only entries make time go by.
        nodes.note(OWN, 1200, None, at(4_001));
        assert_eq!(nodes.living(), 1);
        nodes.note(OWN, 1200, None, at(61_001));
        nodes.forget();
        assert_eq!(nodes.living(), 0);
        assert_eq!(nodes.max_peer_age_seconds(), 1200);
        nodes.start_again();
        nodes.note(OTHER, 1800, None, at(5));
        assert_eq!(nodes.living(), 1);
    }

    #[test]
    fn a_namesake_is_noticed_once() {
        let mut nodes = Nodes::new(OWN, "one");
        let namesake = |nodes: &mut Nodes, time| nodes.note(OTHER, 1200, Some(b"one"), at(time));
        // An earlier run of this node.
        assert!(!namesake(&mut nodes, 1_000));
        assert!(!nodes.note(OWN, 1200, Some(b"one"), at(2_000)));
        assert!(!namesake(&mut nodes, 2_500));
        assert!(!nodes.note(THIRD, 1200, Some(b"two"), at(9_000)));
        assert!(!nodes.note(OTHER, 1200, None, at(9_000)));
        assert!(!nodes.has_namesake());
        assert!(namesake(&mut nodes, 9_000));
        assert!(nodes.has_namesake());
        assert!(!namesake(&mut nodes, 9_500));
    }

    #[test]
    fn nodes_are_not_remembered_without_end() {
        let mut nodes = Nodes::new(OWN, "one");
        for number in 0..MAX_NODES as u64 + 10 {
            nodes.note(NodeId(number.to_be_bytes()), 1200, None, at(1));
        }
        assert_eq!(nodes.others.len(), MAX_NODES);
    }
}
