//! Collector `check_keys`: size and memory of each key that matches a pattern, from the paced scan. `keys::check_keys` looks at the keys; this
//! file only says what there is to publish.

use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::InstanceConfig;
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "check_keys",
    help: "Size and memory of each key that matches a pattern, with the key's name as label `key`. Runs where `check_keys` names a pattern; \
           at most `limits.checked_keys` keys of an instance.",
    default_on: false,
    schedule: Schedule::Scan,
    grants: of_patterns,
    descriptors: || vec![&KEY_SIZE, &KEY_MEMORY],
    build: Build::ByFrame,
};

/// What is asked about a key that is looked at: its type, its memory, and what the size of each type is read with. The first bytes of a
/// string tell a HyperLogLog. Reading changes no idle time where CLIENT NO-TOUCH is granted.
pub(super) const OF_ONE_KEY: [&str; 13] = [
    "info",
    "select",
    "type",
    "memory|usage",
    "strlen",
    "getrange",
    "pfcount",
    "llen",
    "scard",
    "zcard",
    "hlen",
    "xlen",
    "arcount",
];

fn of_patterns(config: &InstanceConfig, server: &Server) -> Vec<Grant> {
    let patterns = &config.optional.keys.patterns;
    if patterns.is_empty() {
        return Vec::new();
    }
    let keys = patterns.iter().map(|pattern| Grant::ReadKeys(pattern.glob.clone()));
    let mut granted: Vec<Grant> = keys.collect();
    granted.extend(grants::of_a_pass());
    granted.extend(grants::commands(&OF_ONE_KEY));
    granted.push(grants::command("client|no-touch"));
    granted.extend(grants::of_replicas_in_clusters(server));
    granted
}

/// Size of a key by its type.
pub static KEY_SIZE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_key_size",
    "Elements of a list, set, sorted set, hash, stream or array, bytes of a string, estimated elements of a HyperLogLog. Absent for other \
     types and for keys that are not there. Of the keys of check_keys and check_single_keys.",
    "TYPE, then LLEN, SCARD, ZCARD, HLEN, XLEN, ARCOUNT, STRLEN or PFCOUNT",
)
.with_labels(&["db", "key"]);

/// Memory of a key.
pub static KEY_MEMORY: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_key_memory_usage_bytes",
    "Memory of the key, its name and what the server keeps about it included, as MEMORY USAGE estimates it from 5 of its elements. Absent \
     for keys that are not there. Of the keys of check_keys and check_single_keys.",
    "MEMORY USAGE (Redis 4.0)",
)
.with_labels(&["db", "key"]);
