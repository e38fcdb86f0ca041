//! The nodes of a cluster over time: who is new, who stays although an answer did not name them, who is gone. Pure.

use crate::config::resolve::MAX_CLUSTER_NODES;
use crate::config::types::Endpoint;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Good answers in a row that must not name a node before it is not watched any more. During a failover, a resharding or a partition
/// one server may not know for a while what another one knows; three answers, which come from different servers where several are
/// configured, are longer than such a moment. A series that vanishes and comes back would restart the clock of every alert on it.
pub const ABSENT_ANSWERS: u32 = 3;

/// The nodes of one answer: where each is dialled, and the id that the cluster gives it, where the answer holds one.
pub type Named = BTreeMap<Endpoint, Option<Bytes>>;

/// The nodes that are watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// At most [`MAX_CLUSTER_NODES`].
    nodes: BTreeMap<Endpoint, Known>,
}

/// What is known of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    /// The id that the cluster gave it.
    id: Option<Bytes>,
    /// Good answers in a row that named others of its group and not this node.
    absent: u32,
    /// Good answers in a row that named nobody of its group.
    unheard: u32,
    /// Nodes that answers named together. Configured nodes with the same credentials may be those of several clusters, none of which knows
    /// the nodes of the others: an answer speaks for its own group alone.
    group: u32,
}

/// Whether a host stands there with its name, and not with its IP address.
fn is_by_name(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp { host, .. } => host.parse::<IpAddr>().is_err(),
        Endpoint::Unix { .. } => false,
    }
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
    /// Takes the nodes of one good answer, one of `sources` servers that are asked in turn. Known nodes keep their places when there are too
    /// many, and their names: while servers of several versions answer, one names hosts and another one addresses, and both mean the node
    /// with the same id. It takes the other name when none of [`ABSENT_ANSWERS`] answers knew the old one.
    pub fn take(&mut self, answer: &Named, sources: usize) -> Changes {
        let before = self.nodes.len();
        let ids: BTreeSet<&Bytes> = answer.values().flatten().collect();
        let is_meant = |node: &Endpoint, known: &Known| {
            answer.contains_key(node) || known.id.as_ref().is_some_and(|id| ids.contains(id))
        };
        let meant = self.nodes.iter().filter(|(node, known)| is_meant(node, known));
        let groups: BTreeSet<u32> = meant.map(|(_, known)| known.group).collect();
        let next = || {
            self.nodes
                .values()
                .map(|known| known.group)
                .max()
                .map_or(0, |last| last.saturating_add(1))
        };
        let group = groups.first().copied().unwrap_or_else(next);
        for (node, known) in &mut self.nodes {
            if let Some(id) = answer.get(node) {
                known.id = id.clone().or(known.id.take());
                (known.absent, known.unheard, known.group) = (0, 0, group);
            } else if groups.contains(&known.group) {
                (known.absent, known.unheard, known.group) = (known.absent.saturating_add(1), 0, group);
            } else {
                known.unheard = known.unheard.saturating_add(1);
            }
        }
        // A server answers for a group once in a round of all of them.
        let most_unheard = u32::try_from(sources.max(1))
            .unwrap_or(u32::MAX)
            .saturating_mul(ABSENT_ANSWERS);
        self.nodes
            .retain(|_, known| known.absent < ABSENT_ANSWERS && known.unheard < most_unheard);
        let in_form = self
            .nodes
            .iter()
            .filter_map(|(node, known)| Some((known.id.clone()?, is_by_name(node))));
        let in_form: BTreeSet<(Bytes, bool)> = in_form.collect();
        let mut changes = Changes {
            removed: before - self.nodes.len(),
            ..Changes::default()
        };
        for (node, id) in answer {
            let is_there_otherwise = || id.clone().is_some_and(|id| in_form.contains(&(id, !is_by_name(node))));
            if self.nodes.contains_key(node) || is_there_otherwise() {
                continue;
            }
            if self.nodes.len() < MAX_CLUSTER_NODES {
                let known = Known {
                    id: id.clone(),
                    group,
                    ..Known::default()
                };
                self.nodes.insert(node.clone(), known);
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
            .filter(|(_, known)| known.absent == 0)
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

    fn answer(numbers: impl IntoIterator<Item = usize>) -> Named {
        numbers.into_iter().map(|number| (node(number), None)).collect()
    }

    /// Nodes by host and id.
    fn called(nodes: &[(&str, &'static str)]) -> Named {
        let nodes = nodes.iter().map(|(host, id)| {
            let endpoint = Endpoint::Tcp {
                host: (*host).to_owned(),
                port: 1,
            };
            (endpoint, Some(Bytes::from_static(id.as_bytes())))
        });
        nodes.collect()
    }

    /// As during a rolling upgrade: new servers name hosts, old ones addresses.
    #[test]
    fn two_names_with_one_id_are_one_node() {
        let hosts = called(&[("one.example", "1"), ("two.example", "2")]);
        let addresses = called(&[("10.0.0.1", "1"), ("10.0.0.2", "2")]);
        for (first, second) in [(&hosts, &addresses), (&addresses, &hosts)] {
            let mut roster = Roster::default();
            roster.take(first, 2);
            for _ in 0..5 {
                assert_eq!(roster.take(second, 2), change(0, 0));
                assert_eq!(roster.take(second, 2), change(0, 0));
                assert_eq!(roster.take(first, 2), change(0, 0));
            }
            // When nobody uses the old names any more, the new ones are taken, each for its own.
            roster.take(second, 2);
            roster.take(second, 2);
            assert_eq!(roster.take(second, 2), change(2, 2));
            assert!(roster.nodes().eq(second.keys()));
        }
        // A node that moved has another address, which is watched at once.
        let mut roster = Roster::default();
        roster.take(&addresses, 1);
        assert_eq!(
            roster.take(&called(&[("10.0.0.1", "1"), ("10.0.0.9", "2")]), 1),
            change(1, 0)
        );
    }

    /// Several clusters with the same credentials behind one list of configured nodes.
    #[test]
    fn an_answer_speaks_for_its_own_nodes_alone() {
        let (one, two) = (answer([1, 2, 3]), answer([11, 12]));
        let mut roster = Roster::default();
        roster.take(&one, 5);
        for _ in 0..4 {
            roster.take(&two, 5);
            for _ in 0..3 {
                assert_eq!(roster.take(&one, 5).removed, 0);
            }
            assert_eq!(roster.nodes().len(), 5);
        }
        for removed in [0, 0, 1] {
            assert_eq!(roster.take(&answer([1, 2]), 5), change(0, removed));
        }
        // One that nobody speaks for any more goes in the end.
        let mut answers = 0;
        while roster.nodes().len() > 2 {
            roster.take(&answer([1, 2]), 5);
            answers += 1;
            assert!(answers < 100);
        }
        assert!(answers > 5, "{answers}");
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
        assert_eq!(roster.take(&answer([1, 2, 3]), 1), change(3, 0));
        for _ in 0..5 {
            assert_eq!(roster.take(&answer([1, 2]), 1), change(0, 0));
            assert_eq!(roster.take(&answer([1, 2]), 1), change(0, 0));
            assert_eq!(roster.present().count(), 2);
            assert_eq!(roster.take(&answer([1, 2, 3]), 1), change(0, 0), "it came back");
        }
        for removed in [0, 0, 1] {
            assert_eq!(roster.take(&answer([1, 2]), 1), change(0, removed));
        }
        assert_eq!(roster.nodes().count(), 2);
        assert_eq!(roster.take(&answer([3]), 1), change(1, 0));
    }

    #[test]
    fn too_many_nodes_do_not_drive_the_known_ones_out() {
        let mut roster = Roster::default();
        roster.take(&answer([9_000, 9_001]), 1);
        let changes = roster.take(&answer((0..10_000).rev()), 1);
        assert_eq!(changes.added, MAX_CLUSTER_NODES - 2);
        assert_eq!(changes.beyond.len(), 10_000 - MAX_CLUSTER_NODES);
        assert_eq!(roster.nodes().len(), MAX_CLUSTER_NODES);
        let known = answer([9_000, 9_001]);
        assert_eq!(roster.present().filter(|node| known.contains_key(node)).count(), 2);
        roster.retain(|node| known.contains_key(node));
        assert_eq!(roster.nodes().len(), 2);
    }
}
