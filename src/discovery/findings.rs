//! What is known of one cluster, and what an answer makes of it. Pure.

use super::admission::{Admission, Refusal, shown};
use super::roster::{Changes, Roster};
use super::topology::Announcement;
use crate::config::InstanceConfig;
use crate::config::cluster::ClusterConfig;
use crate::config::types::Endpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::SystemTime;

/// Nodes that are not watched and are named on the status page and in the log; all are counted.
pub const MAX_NAMED: usize = 20;

/// What is known of one cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The nodes that are watched.
    pub roster: Roster,
    /// Where each configured node was last reached.
    pub seed_addresses: BTreeMap<Endpoint, IpAddr>,
    /// What the last good answer named and is not watched.
    pub left_out: LeftOut,
    /// Whether a discovery has ended, well or not.
    pub has_ended: bool,
    /// How many ended. Counters do not fall, so the number outlives a change of the cluster.
    pub ended: u64,
    /// Those that failed.
    pub failed: u64,
    /// Why the last one failed, in one sentence without secrets; `None` when it did not.
    pub error: Option<String>,
    /// When the last good answer came.
    pub answered_at: Option<SystemTime>,
}

/// Announced nodes that are not watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many, by reason.
    pub counts: BTreeMap<Refusal, usize>,
    /// The first of them, each with its reason.
    pub named: Vec<(String, Refusal)>,
}

impl LeftOut {
    /// Notes one.
    pub fn add(&mut self, refusal: Refusal, name: impl FnOnce() -> String) {
        *self.counts.entry(refusal).or_default() += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push((name(), refusal));
        }
    }

    /// How many for this reason.
    pub fn count(&self, refusal: Refusal) -> usize {
        self.counts.get(&refusal).copied().unwrap_or(0)
    }
}

/// A good answer: who gave it, over which connection, and what it says.
#[derive(Debug)]
pub struct Answer {
    /// The node that was asked.
    pub source: Endpoint,
    /// The address that was connected to.
    pub peer: Option<IpAddr>,
    /// The nodes.
    pub announcement: Announcement,
}

impl Findings {
    /// What decides about nodes at this moment.
    pub fn admission<'a>(&self, cluster: &'a ClusterConfig) -> Admission<'a> {
        Admission {
            cluster,
            networks: cluster.networks(self.seed_addresses.values().copied()),
        }
    }

    /// Takes a good answer.
    pub fn take(&mut self, cluster: &ClusterConfig, answer: &Answer, now: SystemTime) -> Changes {
        // Only where the operator sent us widens where credentials may go; a node that was announced does not.
        if let Some(peer) = answer.peer.filter(|_| cluster.seeds.contains(&answer.source)) {
            self.seed_addresses.insert(answer.source.clone(), peer);
        }
        let admission = self.admission(cluster);
        let mut left_out = LeftOut::default();
        let mut nodes = BTreeSet::new();
        for node in &answer.announcement.nodes {
            match admission.judge(node, &answer.source) {
                Ok(endpoint) => {
                    nodes.insert(endpoint);
                }
                Err(refusal) => left_out.add(refusal, || shown(node)),
            }
        }
        // A node whose address became a forbidden one is not watched a moment longer.
        self.roster.retain(|node| admission.admit(node.clone()).is_ok());
        let changes = self.roster.take(&nodes);
        for node in &changes.beyond {
            left_out.add(Refusal::Limit, || name(node));
        }
        if answer.announcement.beyond > 0 {
            *left_out.counts.entry(Refusal::Limit).or_default() += answer.announcement.beyond;
        }
        self.left_out = left_out;
        self.has_ended = true;
        self.ended += 1;
        self.error = None;
        self.answered_at = Some(now);
        changes
    }

    /// Notes that nobody gave a good answer. Nothing else changes.
    pub fn fail(&mut self, sentence: String) {
        self.has_ended = true;
        self.ended += 1;
        self.failed += 1;
        self.error = Some(sentence);
    }

    /// What stays true of them under another configuration of the same cluster.
    pub fn under(&self, cluster: &ClusterConfig) -> Self {
        let mut findings = self.clone();
        findings.seed_addresses.retain(|seed, _| cluster.seeds.contains(seed));
        let admission = findings.admission(cluster);
        findings.roster.retain(|node| admission.admit(node.clone()).is_ok());
        findings
    }

    /// What is left of them when the cluster is another one: the counts, since counters do not fall.
    pub fn of_another_cluster(&self) -> Self {
        Self {
            failed: self.failed,
            ended: self.ended,
            ..Self::default()
        }
    }

    /// The instances of the cluster. While nobody has named a node, the configured ones stand for it, so that a cluster which is down
    /// is seen to be down; before the first discovery ended there are none.
    pub fn instances(&self, cluster: &ClusterConfig) -> Vec<InstanceConfig> {
        let networks = cluster.networks(self.seed_addresses.values().copied());
        let node = |endpoint: &Endpoint| cluster.node(endpoint.clone(), networks.as_ref());
        if !self.roster.is_empty() {
            self.roster.nodes().map(node).collect()
        } else if self.has_ended {
            cluster.seeds.iter().map(node).collect()
        } else {
            Vec::new()
        }
    }
}

/// `host:port`
fn name(endpoint: &Endpoint) -> String {
    crate::config::types::Address {
        endpoint: endpoint.clone(),
        database: 0,
    }
    .default_name()
}
