//! Collector `sessions`: how many sessions each store holds and what they look like, from paced scans. The frame drives the scan
//! and publishes; this file only says what there is to publish.

use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::{InstanceConfig, StoreConfig};
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "sessions",
    help: "Sessions per store, and how the figures came about.",
    default_on: true,
    schedule: Schedule::Scan,
    grants: of_stores,
    descriptors: || {
        vec![
            &ACTIVE,
            &ACTIVE_LOW,
            &ACTIVE_HIGH,
            &ACTIVE_DRIFT,
            &MAX_CAPACITY,
            &EXPECTED_TTL,
            &WITHOUT_TTL,
            &WITHOUT_TTL_LOW,
            &WITHOUT_TTL_HIGH,
            &TTL_EXCEEDING,
            &MEMORY,
            &MEMORY_LOW,
            &MEMORY_HIGH,
            &UNENCRYPTED,
            &UNENCRYPTED_LOW,
            &UNENCRYPTED_HIGH,
            &TTL_REMAINING,
            &SIZE,
            &SCAN_DURATION,
            &SCAN_KEYS,
            &SCAN_COVERAGE,
            &SCAN_LAST_SUCCESS,
            &SCAN_REDIS_SECONDS,
            &SCAN_LOOKUPS,
            &SCAN_MISSES,
        ]
    },
    build: Build::ByFrame,
};

/// TTL, size and type are asked of single sessions; the beginning of a value only where `encryption` names how it should look. A library's
/// index of sessions takes the place of counting them.
fn of_stores(config: &InstanceConfig, server: &Server) -> Vec<Grant> {
    let stores = grants::stores(config);
    if stores.is_empty() {
        return Vec::new();
    }
    let mut granted: Vec<Grant> = grants::keys_of(&stores).collect();
    let indexes = stores.iter().filter_map(|store| store.index_key.as_deref());
    granted.extend(indexes.map(Grant::read_key));
    granted.extend(grants::of_a_pass());
    granted.extend(grants::commands(&["pttl", "memory|usage"]));
    let has = |is_so: fn(&StoreConfig) -> bool| stores.iter().any(is_so);
    if config.sessions.is_auto() || has(|store| store.key_type.is_some() || store.index_key.is_some()) {
        granted.push(grants::command("type"));
    }
    if has(|store| store.index_key.is_some()) {
        granted.push(grants::command("zcount"));
    }
    if has(|store| store.encryption.is_some()) {
        granted.extend(grants::commands(&["getrange", "client|no-touch"]));
    }
    // A replica that is scanned in place of its primary.
    let of_replicas = grants::of_replicas_in_clusters(server);
    granted.extend(of_replicas.filter(|_| !config.scan_from.is_empty()));
    granted
}

/// Sessions of a store at the last complete scan.
pub static ACTIVE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_active",
    "Sessions that the store holds: the keys that match one glob of the store's `match`, none of its `exclude` and its `id`, and are of \
     its `type`. From the last scan, and where keyspace notifications are heard moved on by each session that comes or goes since. Counted exactly, or estimated from a part of the keys where counting would take too \
     long; sessions_active_low and _high say which, and how sure it is.",
    "this exporter: SCAN, keyspace notifications",
)
.with_labels(&["store", "app"]);

/// Lower end of the 95 % interval of [`ACTIVE`].
pub static ACTIVE_LOW: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_active_low",
    "Lower end of the 95 % interval of sessions_active; equal to it where sessions are counted exactly and none came or went during the \
     scan. Absent after events were missed, until the next scan.",
    "this exporter: SCAN",
)
.with_labels(&["store", "app"]);

/// Upper end of the 95 % interval of [`ACTIVE`].
pub static ACTIVE_HIGH: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_active_high",
    "Upper end of the 95 % interval of sessions_active; equal to it where sessions are counted exactly and none came or went during the \
     scan. Absent after events were missed, until the next scan.",
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

/// Sessions that never expire.
pub static WITHOUT_TTL: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_without_ttl",
    "Sessions without a time to live: nothing but the application or an eviction ever removes them. Scaled from a random sample of \
     limits.scan_detail_keys sessions of the store, exact where there are no more.",
    "this exporter: PTTL",
)
.with_labels(&["store"]);

/// Lower end of the 95 % interval of [`WITHOUT_TTL`].
pub static WITHOUT_TTL_LOW: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_without_ttl_low",
    "Lower end of the 95 % interval of sessions_without_ttl.",
    "this exporter: PTTL",
)
.with_labels(&["store"]);

/// Upper end of the 95 % interval of [`WITHOUT_TTL`].
pub static WITHOUT_TTL_HIGH: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_without_ttl_high",
    "Upper end of the 95 % interval of sessions_without_ttl.",
    "this exporter: PTTL",
)
.with_labels(&["store"]);

/// Sessions whose remaining TTL is longer than `expected_ttl`.
pub static TTL_EXCEEDING: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_ttl_exceeding",
    "Sessions with more time to live left than the store's `expected_ttl`. Those without any time to live are not among them, see \
     sessions_without_ttl. Absent when nothing is configured.",
    "this exporter: PTTL",
)
.with_labels(&["store"]);

/// Memory of the keys of a store.
pub static MEMORY: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_memory_bytes",
    "Memory that the sessions of the store take, keys and overhead included: the mean of a random sample times the number of \
     sessions. The server looks at five fields of a hash and takes the others for like them.",
    "this exporter: MEMORY USAGE",
)
.with_labels(&["store"]);

/// Lower end of the 95 % interval of [`MEMORY`].
pub static MEMORY_LOW: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_memory_bytes_low",
    "Lower end of the 95 % interval of sessions_memory_bytes.",
    "this exporter: MEMORY USAGE",
)
.with_labels(&["store"]);

/// Upper end of the 95 % interval of [`MEMORY`].
pub static MEMORY_HIGH: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_memory_bytes_high",
    "Upper end of the 95 % interval of sessions_memory_bytes.",
    "this exporter: MEMORY USAGE",
)
.with_labels(&["store"]);

/// Sessions whose value does not begin with `encryption.expect_prefix`.
pub static UNENCRYPTED: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_unencrypted",
    "Sessions whose value does not begin with the store's `encryption.expect_prefix`, as a random sample of their first bytes shows. \
     Only strings can be checked; absent when nothing is configured or no value of the store is a string.",
    "this exporter: GETRANGE",
)
.with_labels(&["store"]);

/// Lower end of the 95 % interval of [`UNENCRYPTED`].
pub static UNENCRYPTED_LOW: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_unencrypted_low",
    "Lower end of the 95 % interval of sessions_unencrypted.",
    "this exporter: GETRANGE",
)
.with_labels(&["store"]);

/// Upper end of the 95 % interval of [`UNENCRYPTED`].
pub static UNENCRYPTED_HIGH: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "sessions_unencrypted_high",
    "Upper end of the 95 % interval of sessions_unencrypted.",
    "this exporter: GETRANGE",
)
.with_labels(&["store"]);

/// Distribution of the remaining time to live.
pub static TTL_REMAINING: Descriptor = Descriptor::new(
    MetricKind::GaugeHistogram,
    "sessions_ttl_remaining_seconds",
    "Time that the living sessions have left, at the last scan. Sessions without a time to live count in +Inf and add 0 to the sum. Do \
     not take its rate: it is a distribution of what exists, which text format 0.0.4 has to call a histogram.",
    "this exporter: PTTL",
)
.with_labels(&["store"]);

/// Distribution of the size of sessions.
pub static SIZE: Descriptor = Descriptor::new(
    MetricKind::GaugeHistogram,
    "session_size_bytes",
    "Memory that each of the living sessions takes, key and overhead included, at the last scan. Do not take its \
     rate: it is a distribution of what exists, which text format 0.0.4 has to call a histogram.",
    "this exporter: MEMORY USAGE",
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
    "Keys examined in the last pass, as a share of the keys in the database: about 1 where sessions are counted, less where they are \
     estimated.",
    "this exporter: SCAN, DBSIZE",
)
.with_labels(&["db"]);

/// End of the last complete pass, seconds since 1970; 0 before the first.
pub static SCAN_LAST_SUCCESS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "session_scan_last_success_timestamp_seconds",
    "When the last pass over the database ended well, in seconds since 1970. Stays when its figures have become too old.",
    "this exporter: SCAN",
)
.with_labels(&["db"]);

/// Time that the server spent on our scans, as far as round trips show it.
pub static SCAN_REDIS_SECONDS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_scan_redis_seconds_total",
    "Time that scans have kept the server busy, that of a replica where one is scanned (scan_from), estimated from their round trips less the network's, and never below 1 µs per key: rather too much than too little. The pace (scan.redis_share) is held against it.",
    "this exporter: SCAN",
)
.with_labels(&["db"]);

/// What our own per-key commands add to the server's hits and misses.
pub static SCAN_LOOKUPS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_scan_keyspace_lookups_total",
    "Lookups that this exporter has added to keyspace_hits and keyspace_misses of the server: PTTL, TYPE, GETRANGE and ZCOUNT of scans, PTTL of new sessions, GET of the synthetic session, reads of application_metrics. \
     SCAN and MEMORY USAGE add none, and a replica that is scanned adds none to the server's.",
    "this exporter: scan commands",
)
.with_labels(&["db"]);

/// Those of [`SCAN_LOOKUPS`] that found no key: what has to be taken off `keyspace_misses`.
pub static SCAN_MISSES: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_scan_keyspace_misses_total",
    "Those of session_scan_keyspace_lookups_total that found no key: sessions that ended before they were looked at, and application_metrics that do not exist yet. What is left of the lookups were hits.",
    "this exporter: scan commands",
)
.with_labels(&["db"]);
