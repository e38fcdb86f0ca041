//! What the exporter says about the discovery of cluster nodes. A cluster that left the configuration leaves these metrics.

use super::{descriptors, register};
use crate::snapshot::clusters::ClusterFacts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Names of clusters come from the configuration, so that their number is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct ClusterLabels {
    cluster: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeftOutLabels {
    cluster: String,
    reason: &'static str,
}

/// The metrics, and which clusters they show.
#[derive(Debug, Default)]
pub(super) struct ClusterMetrics {
    nodes: Family<ClusterLabels, Gauge>,
    left_out: Family<LeftOutLabels, Gauge>,
    discoveries: Family<ClusterLabels, Counter>,
    failures: Family<ClusterLabels, Counter>,
    seconds: Family<ClusterLabels, Gauge<f64, AtomicU64>>,
    shown: Mutex<BTreeSet<ClusterLabels>>,
}

impl ClusterMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        register(registry, descriptors::CLUSTER_NODES, self.nodes.clone());
        register(registry, descriptors::CLUSTER_NODES_LEFT_OUT, self.left_out.clone());
        register(registry, descriptors::CLUSTER_DISCOVERIES, self.discoveries.clone());
        register(registry, descriptors::CLUSTER_DISCOVERY_FAILURES, self.failures.clone());
        register(registry, descriptors::CLUSTER_DISCOVERED_SECONDS, self.seconds.clone());
    }

    /// Shows these clusters and no others.
    pub(super) fn set(&self, clusters: &[ClusterFacts]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for facts in clusters {
            let labels = ClusterLabels {
                cluster: facts.name.to_string(),
            };
            let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
            self.nodes.get_or_create(&labels).set(count(facts.nodes));
            for (reason, number) in &facts.left_out {
                let labels = LeftOutLabels {
                    cluster: labels.cluster.clone(),
                    reason,
                };
                self.left_out.get_or_create(&labels).set(count(*number));
            }
            raise(&self.discoveries.get_or_create(&labels), facts.discoveries);
            raise(&self.failures.get_or_create(&labels), facts.failures);
            let answered = facts.answered_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            // 0 before the first, as `last_poll_timestamp_seconds` says it.
            let seconds = answered.map_or(0.0, |at| at.as_secs_f64());
            self.seconds.get_or_create(&labels).set(seconds);
            gone.remove(&labels);
            shown.insert(labels);
        }
        for labels in gone {
            self.nodes.remove(&labels);
            self.discoveries.remove(&labels);
            self.failures.remove(&labels);
            self.seconds.remove(&labels);
            for reason in crate::snapshot::clusters::LEFT_OUT_REASONS {
                let cluster = labels.cluster.clone();
                self.left_out.remove(&LeftOutLabels { cluster, reason });
            }
        }
    }
}

/// Brings a counter up to a total.
fn raise(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::exposition::Dialect;
    use crate::telemetry::{BuildInfo, Telemetry};
    use std::time::Duration;

    pub(in super::super) fn facts(name: &str, nodes: usize) -> ClusterFacts {
        ClusterFacts {
            name: name.into(),
            address: String::new(),
            nodes,
            left_out: crate::snapshot::clusters::LEFT_OUT_REASONS
                .map(|reason| (reason, 2))
                .into(),
            left_out_nodes: Vec::new(),
            has_ended: true,
            discoveries: 7,
            failures: 1,
            error: None,
            answered_at: Some(UNIX_EPOCH + Duration::from_millis(1500)),
        }
    }

    #[test]
    fn a_cluster_leaves_with_the_configuration() {
        let telemetry = Telemetry::new(BuildInfo::THIS, None);
        telemetry.clusters_discovered(&[facts("a", 3), facts("b", 4)]);
        let text = telemetry.encode(Dialect::Text);
        for line in [
            "redis_session_exporter_cluster_nodes{cluster=\"a\"} 3",
            "redis_session_exporter_cluster_nodes_left_out{cluster=\"b\",reason=\"network\"} 2",
            "redis_session_exporter_cluster_discoveries_total{cluster=\"a\"} 7",
            "redis_session_exporter_cluster_discovery_failures_total{cluster=\"b\"} 1",
            "redis_session_exporter_cluster_last_discovery_timestamp_seconds{cluster=\"a\"} 1.5",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\n{text}");
        }
        telemetry.clusters_discovered(&[facts("b", 5)]);
        let text = telemetry.encode(Dialect::Text);
        assert!(!text.contains("cluster=\"a\""), "{text}");
        assert!(
            text.contains("redis_session_exporter_cluster_nodes{cluster=\"b\"} 5"),
            "{text}"
        );
    }
}
