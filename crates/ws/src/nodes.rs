//! Other nodes of a cluster: the peers that are connected to them are in the swarm of this
//! node, too, and get offers and answers from here.
//!
//! * [`Nodes`]: their numbers, which stand in the records of their peers, and how offers and
//!   answers are sent to them.
//! * [`Members`]: the swarm as the link with other nodes sees it.
//!
//! Offers and answers from other nodes arrive in [`incoming`](crate::incoming).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use aquatic_cluster::{NodeId, NotQueued, Signal, SignalOutbox};

use crate::counters::RelayResult;
use crate::tracker::Address;

mod members;
#[cfg(test)]
mod model;

pub(crate) use members::Members;

/// The other nodes that are alive, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    table: RwLock<Table>,
    outbox: Arc<SignalOutbox>,
}

#[derive(Debug, Default)]
struct Table {
    numbers: HashMap<NodeId, u32>,
    nodes: HashMap<u32, NodeId>,
    /// The number of the next node. Numbers are not used again: a peer may have that of a
    /// node that is gone until it is removed.
    next: u32,
}

impl Nodes {
    /// Signals to other nodes.
    pub(crate) fn outbox(&self) -> Arc<SignalOutbox> {
        self.outbox.clone()
    }

    /// Gives a node a number, unless it has one.
    pub(crate) fn add(&self, node: NodeId) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let number = table.next;
        if !table.numbers.contains_key(&node) && number < u32::MAX {
            table.next += 1;
            table.numbers.insert(node, number);
            table.nodes.insert(number, node);
        }
    }

    /// Forgets a node. The peers with its number are not connected to any node.
    pub(crate) fn remove(&self, node: NodeId) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.remove(&node) {
            table.nodes.remove(&number);
        }
    }

    /// The address of the peers of a node, if it is alive.
    pub(crate) fn address(&self, node: NodeId) -> Option<Address> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.numbers.get(&node).copied().map(Address::of_node)
    }

    /// Returns whether peers at an address are connected to this node, or to one that is
    /// alive.
    pub(crate) fn is_alive(&self) -> impl Fn(Address) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        move |address| {
            let number = address.node();
            number.is_none_or(|number| table.nodes.contains_key(&number))
        }
    }

    /// Sends a signal to the node with this number.
    pub(crate) fn send(&self, number: u32, signal: &Signal<'_>) -> RelayResult {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let Some(node) = table.nodes.get(&number).copied() else {
            return RelayResult::ReceiverGone;
        };
        drop(table);
        match self.outbox.put(node, signal) {
            Ok(()) => RelayResult::SentToNode,
            Err(NotQueued::Closed | NotQueued::Full) => RelayResult::NodeUnreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_returns_has_another_number() {
        let nodes = Nodes::default();
        let [one, two] = [NodeId([1; 8]), NodeId([2; 8])];
        nodes.add(one);
        nodes.add(two);
        nodes.add(one);
        let address = nodes.address(one).unwrap();
        let other = nodes.address(two).unwrap();
        assert_ne!(address, other);
        assert!(nodes.is_alive()(address));
        nodes.remove(one);
        nodes.remove(one);
        assert_eq!(nodes.address(one), None);
        assert!(!nodes.is_alive()(address) && nodes.is_alive()(other));
        assert!(nodes.is_alive()(Address(7)), "a connection of this node");
        nodes.add(one);
        let again = nodes.address(one).unwrap();
        assert!(again != address && again != other);
        assert!(!nodes.is_alive()(address) && nodes.is_alive()(again));
    }
}
