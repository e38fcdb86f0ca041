//! Collector `sessions`: how many sessions each store holds, from paced scans. The frame drives the scan and publishes; this
//! file only says what there is to publish.

use super::{Build, Schedule, Spec};
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "sessions",
    help: "Sessions per store, and how the figures came about.",
    default_on: true,
    schedule: Schedule::Scan,
    descriptors: || {
        vec![
            &ACTIVE,
            &ACTIVE_LOW,
            &ACTIVE_HIGH,
            &ACTIVE_DRIFT,
            &MAX_CAPACITY,
            &EXPECTED_TTL,
            &SCAN_DURATION,
            &SCAN_KEYS,
            &SCAN_COVERAGE,
            &SCAN_LAST_SUCCESS,
            &SCAN_REDIS_SECONDS,
        ]
    },
    build: Build::ByFrame,
};

/// Sessions of a store at the last complete scan.
pub static ACTIVE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_active",
    "Sessions that the store holds, from the last complete scan: the keys that match one glob of the store's `match` and none of its \
     `exclude`.",
    "this exporter: SCAN",
)
.with_labels(&["store", "app"]);

/// Lower end of the 95 % interval of [`ACTIVE`].
pub static ACTIVE_LOW: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_active_low",
    "Lower end of the 95 % interval of sessions_active; equal to it where sessions are counted exactly. Absent after events were \
     missed, until the next pass.",
    "this exporter: SCAN",
)
.with_labels(&["store", "app"]);

/// Upper end of the 95 % interval of [`ACTIVE`].
pub static ACTIVE_HIGH: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_active_high",
    "Upper end of the 95 % interval of sessions_active; equal to it where sessions are counted exactly. Absent after events were \
     missed, until the next pass.",
    "this exporter: SCAN",
)
.with_labels(&["store", "app"]);

/// What the last pass corrected.
pub static ACTIVE_DRIFT: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_active_drift",
    "What the last pass added to sessions_active (negative: took from it) to correct what events had made of it. 0 when events and \
     pass agree; absent without events.",
    "this exporter: SCAN, keyspace notifications",
)
.with_labels(&["store"]);

/// `sessions[].capacity` of the configuration.
pub static MAX_CAPACITY: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_max_capacity",
    "Sessions that the store is built for, as configured. Absent when nothing is configured.",
    "this exporter: configuration",
)
.with_labels(&["store"]);

/// `sessions[].expected_ttl` of the configuration.
pub static EXPECTED_TTL: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_expected_ttl_seconds",
    "Longest time that a session of the store should live, as configured. Absent when nothing is configured.",
    "this exporter: configuration",
)
.with_labels(&["store"]);

/// Wall time of the last complete pass.
pub static SCAN_DURATION: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "session_scan_duration_seconds",
    "How long the last complete pass over the database took, pauses included: the age of the oldest part of its figures.",
    "this exporter: SCAN",
)
.with_labels(&["db"]);

/// Keys examined by scans.
pub static SCAN_KEYS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_scan_keys_total",
    "Keys that scans have examined.",
    "this exporter: SCAN",
)
.with_labels(&["db"]);

/// Keys examined in the last pass over DBSIZE, 0 to about 1.
pub static SCAN_COVERAGE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "session_scan_coverage_ratio",
    "Keys examined in the last pass, as a share of the keys in the database.",
    "this exporter: SCAN, DBSIZE",
)
.with_labels(&["db"]);

/// End of the last complete pass, seconds since 1970; 0 before the first.
pub static SCAN_LAST_SUCCESS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "session_scan_last_success_timestamp_seconds",
    "When the last pass over the database ended well, in seconds since 1970.",
    "this exporter: SCAN",
)
.with_labels(&["db"]);

/// Time that the server spent on our scans, as far as round trips show it.
pub static SCAN_REDIS_SECONDS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_scan_redis_seconds_total",
    "Time that scans have kept the server busy, estimated from their round trips less the network's, and never below 1 µs per key: rather too much than too little. The pace (scan.redis_share) is held against it.",
    "this exporter: SCAN",
)
.with_labels(&["db"]);
