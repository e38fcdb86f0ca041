//! Collector `key_groups`: how many keys there are of each kind and what memory they take, the kinds being what Lua patterns capture of the
//! keys' names. The scan drives `keys::key_groups` and publishes; this file only says what there is to publish.

use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::InstanceConfig;
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "key_groups",
    help: "Keys and their memory in groups, which patterns make of the keys' names.",
    default_on: false,
    schedule: Schedule::Scan,
    grants: of_groups,
    descriptors: || vec![&COUNT, &MEMORY, &DISTINCT],
    build: Build::ByFrame,
};

/// Every key belongs to a group, so that every key must be readable for the memory that it takes. No value is read.
fn of_groups(config: &InstanceConfig, server: &Server) -> Vec<Grant> {
    if config.optional.key_groups.is_none() {
        return Vec::new();
    }
    let mut granted = vec![Grant::ReadKeys("*".to_owned())];
    granted.extend(grants::of_a_pass());
    granted.extend(grants::commands(&["memory|usage", "client|no-touch"]));
    granted.extend(grants::of_replicas_in_clusters(server));
    granted
}

/// Keys of a group.
pub static COUNT: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_key_group_count",
    "Keys of the group at the last complete scan, each counted once. The group is what the first of the patterns that matches the key \
     captures; `unclassified` where none matches, `overflow` for all groups beyond the `max_groups` that take the most memory.",
    "this exporter: SCAN, patterns of key_groups",
)
.with_labels(&["db", "key_group"]);

/// Memory of a group.
pub static MEMORY: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_key_group_memory_usage_bytes",
    "Memory of the keys of the group at the last complete scan, as MEMORY USAGE says it: exact but for large collections, of which the \
     server looks at five elements. Absent where a key of the group would not tell.",
    "MEMORY USAGE (Redis 4.0) of each key",
)
.with_labels(&["db", "key_group"]);

/// Groups of a database.
pub static DISTINCT: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_number_of_distinct_key_groups",
    "Different groups that the keys of the database belong to, shown or not, `unclassified` being one. Exact up to about 14,000; beyond, an \
     estimate with a standard error of 1.6 % of what is more than 10,000.",
    "this exporter: SCAN, patterns of key_groups",
)
.with_labels(&["db"]);
