//! What is known of one cluster, and what an answer makes of it. Pure.

use super::admission::{Admission, Refusal, shown};
use super::roster::{Changes, Named, Roster};
use super::topology::Announcement;
use crate::config::InstanceConfig;
use crate::config::cluster::ClusterConfig;
use crate::config::network::Network;
use crate::config::types::Endpoint;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// Nodes that are not watched and are named on the status page and in the log; all are counted.
pub const MAX_NAMED: usize = 20;

/// Most networks that are kept for the name of one configured node: more than the nodes of a provider's cluster or the zones of a
/// Kubernetes service lie in. Beyond them the one that the name has not stood for longest is given up.
const MAX_SEED_NETWORKS: usize = 64;

/// Longest id of a node that is kept. Those of Redis have 40 characters (`CLUSTER_NAMELEN`).
const MAX_ID_BYTES: usize = 64;

/// What is known of one cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The nodes that are watched.
    pub roster: Roster,
    /// The networks around every address that each configured node has had since it was configured, the latest last. A name that stands
    /// for nodes in several networks (a headless service, the configuration endpoint of a provider) gives another one each time, so
    /// that the last one alone would shut out the others from one answer to the next.
    pub seed_networks: BTreeMap<Endpoint, VecDeque<Network>>,
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
    /// The addresses that its name stands for, the one that was connected to among them.
    pub addresses: Vec<IpAddr>,
    /// The nodes.
    pub announcement: Announcement,
}

impl Findings {
    /// What decides about nodes at this moment.
    pub fn admission<'a>(&self, cluster: &'a ClusterConfig) -> Admission<'a> {
        Admission {
            cluster,
            networks: self.networks(cluster),
        }
    }

    /// Takes a good answer.
    pub fn take(&mut self, cluster: &ClusterConfig, answer: &Answer, now: SystemTime) -> Changes {
        // Only where the operator sent us widens where credentials may go; a node that was announced does not.
        if cluster.seeds.contains(&answer.source) {
            self.widen(&answer.source, &answer.addresses);
        }
        let admission = self.admission(cluster);
        let mut left_out = LeftOut::default();
        let mut nodes = Named::new();
        for node in &answer.announcement.nodes {
            match admission.judge(node, &answer.source) {
                Ok(endpoint) => {
                    // A copy: the reply that it is a part of would stay in memory with it.
                    let id = node.id.as_ref().filter(|id| id.len() <= MAX_ID_BYTES);
                    let id = id.map(|id| Bytes::copy_from_slice(id));
                    nodes.entry(endpoint).or_insert(id);
                }
                Err(refusal) => left_out.add(refusal, || shown(node)),
            }
        }
        // A known node that was not admitted is absent from this answer, and leaves as every absent one does.
        let changes = self.roster.take(&nodes, cluster.seeds.len());
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

    fn widen(&mut self, seed: &Endpoint, addresses: &[IpAddr]) {
        let networks = self.seed_networks.entry(seed.clone()).or_default();
        for network in addresses.iter().copied().map(Network::around) {
            networks.retain(|known| *known != network);
            networks.push_back(network);
            if networks.len() > MAX_SEED_NETWORKS {
                networks.pop_front();
            }
        }
    }

    /// The networks around the configured nodes.
    fn known_networks(&self) -> impl Iterator<Item = Network> {
        self.seed_networks.values().flatten().copied()
    }

    /// Where announced nodes may be dialled.
    pub fn networks(&self, cluster: &ClusterConfig) -> Option<Arc<[Network]>> {
        cluster.networks(self.known_networks())
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
        findings.seed_networks.retain(|seed, _| cluster.seeds.contains(seed));
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
        let networks = self.networks(cluster);
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
        tls: false,
    }
    .default_name()
}
