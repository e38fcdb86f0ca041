//! What the status page, readiness and the metrics about discovery know of a cluster whose nodes are found out.

use std::sync::Arc;
use std::time::SystemTime;

/// Values of the label `reason` of nodes that are not watched.
pub const LEFT_OUT_REASONS: [&str; 5] = ["address", "tls", "network", "limit", "name"];

/// State of one cluster as its last discovery left it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterFacts {
    /// What the configuration calls it; its address where it has no name.
    pub name: Arc<str>,
    /// The configured nodes as one address, without user information.
    pub address: String,
    /// Nodes that are watched.
    pub nodes: usize,
    /// Nodes that the last good answer named and that are not watched, by the label value of the reason; every reason is there.
    pub left_out: Vec<(&'static str, usize)>,
    /// The first of them.
    pub left_out_nodes: Vec<LeftOutNode>,
    /// Whether a discovery has ended, well or not; `/-/ready` waits for it.
    pub has_ended: bool,
    /// Discoveries that ended, well or not.
    pub discoveries: u64,
    /// Those that failed.
    pub failures: u64,
    /// Why the last one failed, in one sentence without secrets.
    pub error: Option<String>,
    /// When the last good answer came.
    pub answered_at: Option<SystemTime>,
}

/// A node that is not watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutNode {
    /// Its address as it was announced, escaped and cut off.
    pub name: String,
    /// Why it is not watched, in words.
    pub sentence: &'static str,
}
