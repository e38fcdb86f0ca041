//! Collector `check_keys`: size and memory of each key that matches a pattern, from the paced scan. `keys::check_keys` looks at the keys; this
//! file only says what there is to publish.

use super::{Build, Schedule, Spec};
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "check_keys",
    help: "Size and memory of each key that matches a pattern, with the key's name as label `key`. Runs where `check_keys` names a pattern; \
           at most `limits.checked_keys` keys of an instance.",
    default_on: false,
    schedule: Schedule::Scan,
    descriptors: || vec![&KEY_SIZE, &KEY_MEMORY],
    build: Build::ByFrame,
};

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
