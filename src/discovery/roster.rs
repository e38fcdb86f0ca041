//! The nodes of a cluster over time: who is new, who stays although an answer did not name them, who is gone. Pure.

use crate::config::resolve::MAX_CLUSTER_NODES;
use crate::config::types::Endpoint;
use std::collections::{BTreeMap, BTreeSet};

/// Good answers in a row that must not name a node before it is not watched any more. During a failover, a resharding or a partition
/// one server may not know for a while what another one knows; three answers, which come from different servers where several are
/// configured, are longer than such a moment. A series that vanishes and comes back would restart the clock of every alert on it.
pub const ABSENT_ANSWERS: u32 = 3;

/// The nodes that are watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// Each with the number of good answers in a row that did not name it; at most [`MAX_CLUSTER_NODES`].
    nodes: BTreeMap<Endpoint, u32>,
}

/// What an answer changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Nodes that are watched from now on.
    pub added: usize,
    /// Nodes that are not watched any more.
    pub removed: usize,
    /// Nodes that are not watched, since there are too many.
    pub beyond: Vec<Endpoint>,
}

impl Roster {
    /// Takes the nodes of one good answer. Known nodes keep their places when there are too many.
    pub fn take(&mut self, answer: &BTreeSet<Endpoint>) -> Changes {
        let before = self.nodes.len();
        for (node, absent) in &mut self.nodes {
            *absent = if answer.contains(node) {
                0
            } else {
                absent.saturating_add(1)
            };
        }
        self.nodes.retain(|_, absent| *absent < ABSENT_ANSWERS);
        let mut changes = Changes {
            removed: before - self.nodes.len(),
            ..Changes::default()
        };
        for node in answer {
            if self.nodes.contains_key(node) {
                continue;
            }
            if self.nodes.len() < MAX_CLUSTER_NODES {
                self.nodes.insert(node.clone(), 0);
                changes.added += 1;
            } else {
                changes.beyond.push(node.clone());
            }
        }
        changes
    }

    /// Keeps the nodes that may still be watched.
    pub fn retain(&mut self, mut may_stay: impl FnMut(&Endpoint) -> bool) {
        self.nodes.retain(|node, _| may_stay(node));
    }

    /// All nodes that are watched, in the order of their addresses.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Endpoint> {
        self.nodes.keys()
    }

    /// The nodes that the last good answer named.
    pub fn present(&self) -> impl Iterator<Item = &Endpoint> {
        self.nodes
            .iter()
            .filter(|(_, absent)| **absent == 0)
            .map(|(node, _)| node)
    }

    /// Whether a node is watched.
    pub fn contains(&self, node: &Endpoint) -> bool {
        self.nodes.contains_key(node)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: usize) -> Endpoint {
        Endpoint::Tcp {
            host: format!("10.0.{}.{}", number / 250, number % 250),
            port: 6379,
        }
    }

    fn answer(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<Endpoint> {
        numbers.into_iter().map(node).collect()
    }

    fn change(added: usize, removed: usize) -> Changes {
        Changes {
            added,
            removed,
            beyond: Vec::new(),
        }
    }

    #[test]
    fn a_node_stays_until_several_answers_in_a_row_do_not_name_it() {
        let mut roster = Roster::default();
        assert_eq!(roster.take(&answer([1, 2, 3])), change(3, 0));
        for _ in 0..5 {
            assert_eq!(roster.take(&answer([1, 2])), change(0, 0));
            assert_eq!(roster.take(&answer([1, 2])), change(0, 0));
            assert_eq!(roster.present().count(), 2);
            assert_eq!(roster.take(&answer([1, 2, 3])), change(0, 0), "it came back");
        }
        for removed in [0, 0, 1] {
            assert_eq!(roster.take(&answer([1, 2])), change(0, removed));
        }
        assert_eq!(roster.nodes().count(), 2);
        assert_eq!(roster.take(&answer([3])), change(1, 0));
    }

    #[test]
    fn too_many_nodes_do_not_drive_the_known_ones_out() {
        let mut roster = Roster::default();
        roster.take(&answer([9_000, 9_001]));
        let changes = roster.take(&answer((0..10_000).rev()));
        assert_eq!(changes.added, MAX_CLUSTER_NODES - 2);
        assert_eq!(changes.beyond.len(), 10_000 - MAX_CLUSTER_NODES);
        assert_eq!(roster.nodes().len(), MAX_CLUSTER_NODES);
        let known = answer([9_000, 9_001]);
        assert_eq!(roster.present().filter(|node| known.contains(node)).count(), 2);
        roster.retain(|node| known.contains(node));
        assert_eq!(roster.nodes().len(), 2);
    }
}
