//! Collector `count_keys`: how many keys match a pattern, from the paced scan. `keys::count_keys` counts; this file only says what there
//! is to publish.

use super::{Build, Schedule, Spec, grants};
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "count_keys",
    help: "How many keys match a pattern, exactly. Runs where `count_keys` names one.",
    default_on: false,
    schedule: Schedule::Scan,
    grants: |_, _| grants::of_a_pass(),
    descriptors: || vec![&KEYS_COUNT],
    build: Build::ByFrame,
};

/// Keys that match a glob.
pub static KEYS_COUNT: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_keys_count",
    "Keys of the database that match the pattern, which is the label `key`, at the last pass over all of its keys. Each key counts once. \
     Keys longer than 16 KiB match no pattern.",
    "SCAN",
)
.with_labels(&["db", "key"]);
