//! Collector `streams`: streams, their consumer groups and the consumers. The scan drives `keys::streams` and publishes; this file only says
//! what there is to publish.

use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::InstanceConfig;
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "streams",
    help: "Streams that the configuration names: their length, and how far their groups and consumers have come.",
    default_on: false,
    schedule: Schedule::Scan,
    grants: of_streams,
    descriptors: || {
        vec![
            &LENGTH,
            &RADIX_TREE_KEYS,
            &RADIX_TREE_NODES,
            &GROUPS,
            &ENTRIES_ADDED,
            &LAST_GENERATED_ID,
            &MAX_DELETED_ENTRY_ID,
            &FIRST_ENTRY_ID,
            &LAST_ENTRY_ID,
            &GROUP_CONSUMERS,
            &GROUP_PENDING,
            &GROUP_LAST_DELIVERED_ID,
            &GROUP_ENTRIES_READ,
            &GROUP_LAG,
            &CONSUMER_PENDING,
            &CONSUMER_IDLE,
        ]
    },
    build: Build::ByFrame,
};

fn of_streams(config: &InstanceConfig, server: &Server) -> Vec<Grant> {
    let streams = &config.optional.streams;
    if streams.is_empty() {
        return Vec::new();
    }
    let by_glob = streams
        .patterns
        .iter()
        .map(|pattern| Grant::ReadKeys(pattern.glob.clone()));
    let by_name = streams.single.iter().map(|key| Grant::read_key(&key.key));
    let mut granted: Vec<Grant> = by_glob.chain(by_name).collect();
    if !streams.patterns.is_empty() {
        granted.extend(grants::of_a_pass());
    }
    granted.extend(grants::commands(&[
        "info",
        "select",
        "type",
        "xinfo|stream",
        "xinfo|groups",
    ]));
    if streams.consumers {
        granted.push(grants::command("xinfo|consumers"));
    }
    granted.push(grants::command("client|no-touch"));
    granted.extend(grants::of_replicas_in_clusters(server));
    granted
}

/// `redis_stream_length`
pub static LENGTH: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_length",
    "Entries of the stream.",
    "XINFO STREAM (Redis 5.0): length",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_radix_tree_keys`
pub static RADIX_TREE_KEYS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_radix_tree_keys",
    "Keys of the radix tree that holds the stream: its nodes of entries.",
    "XINFO STREAM (Redis 5.0): radix-tree-keys",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_radix_tree_nodes`
pub static RADIX_TREE_NODES: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_radix_tree_nodes",
    "Nodes of the radix tree that holds the stream.",
    "XINFO STREAM (Redis 5.0): radix-tree-nodes",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_groups`
pub static GROUPS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_groups",
    "Consumer groups of the stream.",
    "XINFO STREAM (Redis 5.0): groups",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_entries_added_total`
pub static ENTRIES_ADDED: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_stream_entries_added_total",
    "Entries that were ever added to the stream.",
    "XINFO STREAM (Redis 7.0): entries-added",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_last_generated_id`
pub static LAST_GENERATED_ID: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_last_generated_id",
    "Milliseconds of the last id that the stream has given: a time since 1970 where the server makes the ids.",
    "XINFO STREAM (Redis 5.0): last-generated-id, the part before `-`",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_max_deleted_entry_id`
pub static MAX_DELETED_ENTRY_ID: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_max_deleted_entry_id",
    "Milliseconds of the highest id that was deleted from the stream; 0 when none was.",
    "XINFO STREAM (Redis 7.0): max-deleted-entry-id, the part before `-`",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_first_entry_id`
pub static FIRST_ENTRY_ID: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_first_entry_id",
    "Milliseconds of the id of the first entry; absent for an empty stream.",
    "XINFO STREAM (Redis 5.0): first-entry, the part of its id before `-`",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_last_entry_id`
pub static LAST_ENTRY_ID: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_last_entry_id",
    "Milliseconds of the id of the last entry; absent for an empty stream.",
    "XINFO STREAM (Redis 5.0): last-entry, the part of its id before `-`",
)
.with_labels(&["db", "stream"]);

/// `redis_stream_group_consumers`
pub static GROUP_CONSUMERS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_group_consumers",
    "Consumers of the group.",
    "XINFO GROUPS (Redis 5.0): consumers",
)
.with_labels(&["db", "stream", "group"]);

/// `redis_stream_group_messages_pending`
pub static GROUP_PENDING: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_group_messages_pending",
    "Messages that were delivered to the group and not acknowledged.",
    "XINFO GROUPS (Redis 5.0): pending",
)
.with_labels(&["db", "stream", "group"]);

/// `redis_stream_group_last_delivered_id`
pub static GROUP_LAST_DELIVERED_ID: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_group_last_delivered_id",
    "Milliseconds of the id that was last delivered to the group.",
    "XINFO GROUPS (Redis 5.0): last-delivered-id, the part before `-`",
)
.with_labels(&["db", "stream", "group"]);

/// `redis_stream_group_entries_read`
pub static GROUP_ENTRIES_READ: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_group_entries_read",
    "Entries that the group has read, counted from the first of the stream; absent where the server does not know.",
    "XINFO GROUPS (Redis 7.0): entries-read",
)
.with_labels(&["db", "stream", "group"]);

/// `redis_stream_group_lag`
pub static GROUP_LAG: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_group_lag",
    "Entries of the stream that were not delivered to the group yet; absent where the server does not know, as after some deletions.",
    "XINFO GROUPS (Redis 7.0): lag",
)
.with_labels(&["db", "stream", "group"]);

/// `redis_stream_group_consumer_messages_pending`
pub static CONSUMER_PENDING: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_group_consumer_messages_pending",
    "Messages that were delivered to the consumer and not acknowledged.",
    "XINFO CONSUMERS (Redis 5.0): pending",
)
.with_labels(&["db", "stream", "group", "consumer"]);

/// `redis_stream_group_consumer_idle_seconds`
pub static CONSUMER_IDLE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_stream_group_consumer_idle_seconds",
    "Time since the consumer last asked for messages.",
    "XINFO CONSUMERS (Redis 5.0): idle",
)
.with_labels(&["db", "stream", "group", "consumer"]);
