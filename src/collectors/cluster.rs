//! Collector `cluster`: CLUSTER INFO, the cluster as this node sees it. On a server without cluster mode it says only that.

use super::table::{Conversion, Row, push_rows, row, row_descriptors};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::{Command, Info};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "cluster",
    help: "State of the cluster as this node sees it: slots covered, nodes known, messages between nodes.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |_, server| {
        let of_clusters = server.cluster_enabled.then(|| grants::command("cluster|info"));
        grants::commands(&["info"]).into_iter().chain(of_clusters).collect()
    },
    descriptors: || row_descriptors(ENABLED).chain(row_descriptors(ROWS)).collect(),
    build: Build::FromReplies(|_| Box::new(Cluster)),
};

static ENABLED: &[Row] = &[row!(
    Gauge,
    "redis_cluster_enabled",
    "Cluster",
    "cluster_enabled",
    "1 when the server runs in cluster mode."
)];

/// A row of CLUSTER INFO whose metric is named after the field, as the peer passes every `cluster_` field on.
macro_rules! pass {
    ($field:literal, $help:literal) => {
        pass!(concat!("redis_", $field), $field, $help, Number)
    };
    ($name:expr, $field:literal, $help:literal) => {
        pass!($name, $field, $help, Number)
    };
    ($name:expr, $field:literal, $help:literal, $conversion:ident) => {
        Row {
            field: $field,
            descriptor: Descriptor::new(MetricKind::Gauge, $name, $help, concat!("CLUSTER INFO: ", $field)),
            conversion: Conversion::$conversion,
        }
    };
}

/// Messages of one type in one direction. Types are fixed in the source of Redis and Valkey, so their names are bounded.
macro_rules! messages {
    ($metric:literal, $field:literal, $direction:literal) => {
        Row {
            field: concat!("cluster_stats_messages_", $field, "_", $direction),
            descriptor: Descriptor::new(
                MetricKind::Gauge,
                concat!("redis_cluster_stats_messages_", $metric, "_", $direction),
                concat!(
                    "Messages of type ",
                    $field,
                    " ",
                    $direction,
                    " over the cluster bus; only grows."
                ),
                concat!("CLUSTER INFO: cluster_stats_messages_", $field, "_", $direction),
            ),
            conversion: Conversion::Number,
        }
    };
}

static ROWS: &[Row] = &[
    pass!(
        "redis_cluster_state",
        "cluster_state",
        "1 when the cluster serves every slot, 0 when it fails.",
        Status
    ),
    pass!(
        "cluster_slots_assigned",
        "Slots that are assigned to a node; 16384 when all are."
    ),
    pass!("cluster_slots_ok", "Slots whose node is well."),
    pass!(
        "cluster_slots_pfail",
        "Slots whose node may have failed, as this node sees it alone."
    ),
    pass!(
        "cluster_slots_fail",
        "Slots whose node has failed, as the majority sees it."
    ),
    pass!(
        "cluster_nodes_pfail",
        "Nodes that may have failed, as this node sees it alone (Valkey 9.0+)."
    ),
    pass!(
        "cluster_nodes_fail",
        "Nodes that have failed, as the majority sees it (Valkey 9.0+)."
    ),
    pass!(
        "cluster_voting_nodes_pfail",
        "Voting nodes that may have failed, as this node sees it alone (Valkey 9.0+)."
    ),
    pass!(
        "cluster_voting_nodes_fail",
        "Voting nodes that have failed, as the majority sees it (Valkey 9.0+)."
    ),
    pass!(
        "cluster_known_nodes",
        "Nodes that this node knows, itself and failed ones included."
    ),
    pass!("cluster_size", "Primaries that serve at least one slot."),
    pass!(
        "cluster_current_epoch",
        "Epoch of the cluster; it grows with every failover."
    ),
    pass!("cluster_my_epoch", "Configuration epoch of this node."),
    pass!(
        "redis_cluster_messages_sent_total",
        "cluster_stats_messages_sent",
        "Messages sent over the cluster bus; a gauge by compatibility, although it only grows."
    ),
    pass!(
        "redis_cluster_messages_received_total",
        "cluster_stats_messages_received",
        "Messages received over the cluster bus; a gauge by compatibility, although it only grows."
    ),
    pass!(
        "cluster_stats_bytes_sent",
        "Bytes sent over the cluster bus; only grows (Valkey 9.1+)."
    ),
    pass!(
        "cluster_stats_bytes_received",
        "Bytes received over the cluster bus; only grows (Valkey 9.1+)."
    ),
    pass!(
        "cluster_stats_pubsub_bytes_sent",
        "Bytes of channel messages sent over the cluster bus; only grows (Valkey 9.1+)."
    ),
    pass!(
        "cluster_stats_pubsub_bytes_received",
        "Bytes of channel messages received over the cluster bus; only grows (Valkey 9.1+)."
    ),
    pass!(
        "cluster_stats_module_bytes_sent",
        "Bytes of module messages sent over the cluster bus; only grows (Valkey 9.1+)."
    ),
    pass!(
        "cluster_stats_module_bytes_received",
        "Bytes of module messages received over the cluster bus; only grows (Valkey 9.1+)."
    ),
    messages!("ping", "ping", "sent"),
    messages!("ping", "ping", "received"),
    messages!("pong", "pong", "sent"),
    messages!("pong", "pong", "received"),
    messages!("meet", "meet", "sent"),
    messages!("meet", "meet", "received"),
    messages!("fail", "fail", "sent"),
    messages!("fail", "fail", "received"),
    messages!("publish", "publish", "sent"),
    messages!("publish", "publish", "received"),
    messages!("publishshard", "publishshard", "sent"),
    messages!("publishshard", "publishshard", "received"),
    messages!("auth_req", "auth-req", "sent"),
    messages!("auth_req", "auth-req", "received"),
    messages!("auth_ack", "auth-ack", "sent"),
    messages!("auth_ack", "auth-ack", "received"),
    messages!("update", "update", "sent"),
    messages!("update", "update", "received"),
    messages!("mfstart", "mfstart", "sent"),
    messages!("mfstart", "mfstart", "received"),
    messages!("module", "module", "sent"),
    messages!("module", "module", "received"),
];

fn cluster_info() -> Command {
    Command::new(2, &["CLUSTER", "INFO"])
}

struct Cluster;

impl Collector for Cluster {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        match server {
            Some(server) if server.cluster_enabled => vec![cluster_info()],
            _ => Vec::new(),
        }
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        push_rows(info, ENABLED, &mut samples);
        if !context.server.cluster_enabled {
            return Ok(samples);
        }
        match context.reply(&cluster_info()) {
            Ok(reply) => {
                let text = reply
                    .as_bytes()
                    .ok_or_else(|| CollectError::shape(&cluster_info(), "a text was expected"))?;
                push_rows(&Info::parse(text), ROWS, &mut samples);
            }
            // Valkey from 9.0 on writes the same fields into INFO.
            Err(CollectError::Unavailable { .. }) if info.get("cluster_state").is_some() => {
                push_rows(info, ROWS, &mut samples);
            }
            Err(error) => return Err(error),
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, collect};
    use crate::redis::Reply;

    const ENABLED_INFO: &str = "redis_version:7.0.15\r\ncluster_enabled:1\r\n";

    #[test]
    fn without_cluster_mode_nothing_is_asked() {
        let samples = collect(&SPEC, "redis_version:7.0.15\r\ncluster_enabled:0\r\n");
        assert_eq!(samples.number("redis_cluster_enabled"), Some(0.0));
        assert_eq!(samples.families().len(), 1);
        assert!(Cluster.requests(Some(&Server::default())).is_empty());
    }

    #[test]
    fn state_slots_and_messages() {
        let text = "cluster_state:fail\r\ncluster_slots_ok:5\r\ncluster_stats_messages_auth-req_sent:3\r\n\
                    cluster_stats_messages_sent:77\r\ncluster_stats_messages_made-up_sent:1\r\n";
        let samples = Scene::new(ENABLED_INFO)
            .answer(cluster_info(), Reply::Bulk(text.into()))
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.number("redis_cluster_state"), Some(0.0));
        assert_eq!(samples.number("redis_cluster_slots_ok"), Some(5.0));
        assert_eq!(samples.number("redis_cluster_stats_messages_auth_req_sent"), Some(3.0));
        assert_eq!(samples.number("redis_cluster_messages_sent_total"), Some(77.0));
        assert_eq!(samples.families().len(), 5);
    }

    #[test]
    fn info_stands_in_where_it_has_the_fields() {
        let denied = Reply::Error("NOPERM no".into());
        let info = format!("{ENABLED_INFO}# Cluster Info\r\ncluster_state:ok\r\n");
        let samples = Scene::new(&info)
            .answer(cluster_info(), denied.clone())
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.number("redis_cluster_state"), Some(1.0));
        let without = Scene::new(ENABLED_INFO).answer(cluster_info(), denied).collect(&SPEC);
        assert!(matches!(without, Err(CollectError::Unavailable { .. })));
    }
}
