//! Collector `check_single_keys`: keys that are named in full. `keys::single_keys` looks at them; this file only says what there is to publish.

use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::InstanceConfig;
use crate::metric::{Descriptor, MetricKind};

/// What this collector is. `redis_key_size` and `redis_key_memory_usage_bytes`, which it emits too, are announced by `check_keys`.
pub static SPEC: Spec = Spec {
    name: "check_single_keys",
    help: "Size and memory (`redis_key_size`, `redis_key_memory_usage_bytes`) of each key that `check_single_keys` names in full, and its \
           value where the operator says so there. Runs where a key is named.",
    default_on: false,
    schedule: Schedule::Scan,
    grants: of_named_keys,
    descriptors: || vec![&KEY_VALUE, &KEY_VALUE_AS_STRING],
    build: Build::ByFrame,
};

fn of_named_keys(config: &InstanceConfig, server: &Server) -> Vec<Grant> {
    let named = &config.optional.keys.single;
    if named.is_empty() {
        return Vec::new();
    }
    let mut granted: Vec<Grant> = named.iter().map(|key| Grant::read_key(&key.key)).collect();
    granted.extend(grants::commands(&super::check_keys::OF_ONE_KEY));
    granted.push(grants::command("client|no-touch"));
    granted.extend(grants::of_replicas_in_clusters(server));
    granted
}

/// Value of a key that holds a number.
pub static KEY_VALUE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_key_value",
    "Value of a string that holds a number. Only of keys that check_single_keys names in full with `value: true`.",
    "GETRANGE",
)
.with_labels(&["db", "key"]);

/// Value of a key that holds something else.
pub static KEY_VALUE_AS_STRING: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_key_value_as_string",
    "1; the label `val` is the value of a string that holds no number, at most 1024 bytes of it. Only of keys that check_single_keys names \
     in full with `value: true`.",
    "GETRANGE",
)
.with_labels(&["db", "key", "val"]);
