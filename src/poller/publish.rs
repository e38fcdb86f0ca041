//! From the state of an instance to sections of samples.

use super::accumulators::Accumulators;
use super::features;
use super::instance::{Instance, Verdict};
use super::scan::ScanOutcome;
use super::self_metrics as own;
use crate::collectors::{connect, ping, sessions};
use crate::config::{InstanceConfig, StoreConfig};
use crate::exposition::chunk::{self, Chunk};
use crate::keys::key_groups;
use crate::metric::{Descriptor, Distribution, Label, Samples, Value};
use crate::redis::{Handshake, Reason};
use crate::sessions::figures::{Estimate, StoreFigures};
use crate::snapshot::Section;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Name under which figures about the polls themselves are kept; `collect[]` knows it too.
pub use crate::exposition::encode::EXPORTER;

/// Part of a section that holds values of one moment.
pub const VALUES: &str = "values";

/// Part of the section `sessions` that holds the counts, which events change between scans.
pub const ACTIVE: &str = "active";

/// Part of the section `sessions` that outlives the counts: what is configured, and when they were last right.
pub const LASTING: &str = "lasting";

/// Part of a section that holds counters which the daemon keeps itself; they never expire.
pub const COUNTERS: &str = "counters";

/// Kinds of polls, label `kind`.
const POLL_KINDS: [&str; 3] = ["ping", "info", "scan"];

/// State of a connection about which nothing is to be complained.
const STATE_OK: &str = "ok";

/// The labels that every line of an instance carries, rendered and escaped.
pub fn label_block(config: &InstanceConfig) -> Arc<str> {
    let own = config
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let identity = [
        ("environment", config.environment.as_str()),
        ("instance", config.name.as_str()),
    ];
    chunk::label_block(identity.into_iter().chain(own)).into()
}

/// Wraps samples that were made now and live for `lifetime`, or for ever.
pub fn section(collector: &'static str, samples: Samples, lifetime: Option<Duration>) -> Section {
    let made_at = tokio::time::Instant::now().into_std();
    Section {
        collector,
        made_at,
        expires_at: lifetime.and_then(|lifetime| made_at.checked_add(lifetime)),
        chunks: samples.families().iter().map(Chunk::render).collect(),
    }
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// The verdict: status, up and state.
pub fn ping_samples(verdict: Verdict) -> Samples {
    let mut samples = Samples::new();
    samples.push(&ping::CONNECTION_STATUS, flag(verdict.connected));
    samples.push(&ping::UP, flag(verdict.up));
    let states = std::iter::once((STATE_OK, None)).chain(Reason::ALL.map(|reason| (reason.as_label(), Some(reason))));
    for (label, state) in states {
        samples.push_with(
            &ping::CONNECTION_STATE,
            vec![("state", label.into())],
            flag(verdict.state == state),
        );
    }
    samples
}

/// What the instance counts about its own exchanges.
pub fn ping_counters(accumulators: &Accumulators) -> Samples {
    let mut samples = Samples::new();
    for (reason, count) in accumulators.errors.all() {
        samples.push_with(
            &ping::CONNECTION_ERRORS,
            vec![("reason", reason.as_label().into())],
            count as f64,
        );
    }
    samples.push(&ping::PINGS, accumulators.pings as f64);
    samples.push(&ping::PING_FAILURES, accumulators.ping_failures as f64);
    samples.push(&ping::CONNECTS, accumulators.connects as f64);
    samples.push(&ping::CONNECT_FAILURES, accumulators.connect_failures as f64);
    let distribution = accumulators.ping_duration.distribution();
    samples.push_value(&ping::PING_DURATION, Vec::new(), Value::Histogram(distribution));
    samples
}

/// The phases of the last fresh connection.
pub fn connect_samples(handshake: &Handshake, success: bool) -> Samples {
    let mut samples = Samples::new();
    samples.push(&connect::SUCCESS, flag(success));
    for (phase, duration) in &handshake.phases {
        let labels = vec![("phase", phase.as_label().into())];
        samples.push_with(&connect::PHASE_DURATION, labels, duration.as_secs_f64());
    }
    samples
}

fn database_label(database: u32) -> Vec<Label> {
    vec![("db", format!("db{database}").into())]
}

fn store_label(name: &str) -> Vec<Label> {
    vec![("store", name.to_owned().into())]
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What a complete pass found.
pub fn session_samples(stores: &[StoreConfig], outcome: &ScanOutcome) -> Samples {
    let mut samples = Samples::new();
    for (index, store) in stores.iter().enumerate() {
        if let Some(figures) = outcome.stores.get(&index) {
            push_figures(&mut samples, store, figures);
        }
    }
    for database in &outcome.databases {
        let label = || database_label(database.database);
        samples.push_with(&sessions::SCAN_DURATION, label(), database.duration.as_secs_f64());
        if let Some(ratio) = database.coverage_ratio {
            samples.push_with(&sessions::SCAN_COVERAGE, label(), ratio);
        }
    }
    samples
}

/// What stays when the figures of a complete pass have become too old.
pub fn lasting_session_samples(stores: &[StoreConfig], outcome: &ScanOutcome) -> Samples {
    let mut samples = Samples::new();
    for store in stores {
        let label = || store_label(&store.name);
        if let Some(capacity) = store.capacity {
            samples.push_with(&sessions::MAX_CAPACITY, label(), capacity as f64);
        }
        if let Some(expected) = store.expected_ttl {
            samples.push_with(&sessions::EXPECTED_TTL, label(), expected.as_secs_f64());
        }
    }
    for database in &outcome.databases {
        let label = database_label(database.database);
        samples.push_with(&sessions::SCAN_LAST_SUCCESS, label, unix_seconds(outcome.ended_at));
    }
    samples
}

/// What is known of the sessions of a store beside their number.
fn push_figures(samples: &mut Samples, store: &StoreConfig, figures: &StoreFigures) {
    let label = || store_label(&store.name);
    let estimates = [
        (
            [
                &sessions::WITHOUT_TTL,
                &sessions::WITHOUT_TTL_LOW,
                &sessions::WITHOUT_TTL_HIGH,
            ],
            figures.without_ttl,
        ),
        (
            [&sessions::MEMORY, &sessions::MEMORY_LOW, &sessions::MEMORY_HIGH],
            figures.memory_bytes,
        ),
        (
            [
                &sessions::UNENCRYPTED,
                &sessions::UNENCRYPTED_LOW,
                &sessions::UNENCRYPTED_HIGH,
            ],
            figures.unencrypted,
        ),
    ];
    for (descriptors, estimate) in estimates {
        if let Some(estimate) = estimate {
            push_estimate(samples, descriptors, label, estimate);
        }
    }
    if let Some(exceeding) = figures.ttl_exceeding {
        samples.push_with(&sessions::TTL_EXCEEDING, label(), exceeding);
    }
    let mut push_distribution = |descriptor, distribution: &Option<Distribution>| {
        if let Some(distribution) = distribution {
            samples.push_value(descriptor, label(), Value::Histogram(distribution.clone()));
        }
    };
    push_distribution(&sessions::TTL_REMAINING, &figures.ttl_remaining);
    push_distribution(&sessions::SIZE, &figures.size);
}

/// A figure with the two ends of its interval.
fn push_estimate(
    samples: &mut Samples,
    [value, low, high]: [&'static Descriptor; 3],
    label: impl Fn() -> Vec<Label>,
    estimate: Estimate,
) {
    samples.push_with(value, label(), estimate.value);
    samples.push_with(low, label(), estimate.low);
    samples.push_with(high, label(), estimate.high);
}

/// What scans cost so far.
pub fn session_counters(accumulators: &Accumulators) -> Samples {
    let mut samples = Samples::new();
    for (database, keys) in &accumulators.scanned_keys {
        samples.push_with(&sessions::SCAN_KEYS, database_label(*database), *keys as f64);
    }
    for (database, seconds) in &accumulators.scan_redis_seconds {
        samples.push_with(&sessions::SCAN_REDIS_SECONDS, database_label(*database), *seconds);
    }
    for (database, lookups) in &accumulators.keyspace_lookups {
        let misses = accumulators.keyspace_misses.get(database).copied().unwrap_or_default();
        samples.push_with(&sessions::SCAN_LOOKUPS, database_label(*database), *lookups as f64);
        samples.push_with(&sessions::SCAN_MISSES, database_label(*database), misses as f64);
    }
    samples
}

/// What the poller says about its own work.
pub fn exporter_samples(instance: &Instance) -> Samples {
    let mut samples = Samples::new();
    for (name, state) in &instance.collector_states {
        let label = || ("collector", (*name).into());
        samples.push_with(&own::COLLECTOR_SUCCESS, vec![label()], flag(state.success));
        samples.push_with(&own::COLLECTOR_DURATION, vec![label()], state.duration.as_secs_f64());
        if let Some(reason) = state.unavailable {
            let labels = vec![label(), ("reason", reason.as_label().into())];
            samples.push_with(&own::COLLECTOR_UNAVAILABLE, labels, 1.0);
        }
    }
    for (feature, is_available) in features::available(instance) {
        samples.push_with(
            &own::FEATURE_AVAILABLE,
            vec![("feature", feature.name.into())],
            flag(is_available),
        );
    }
    for kind in POLL_KINDS {
        let at = instance.last_success.get(kind).map_or(0.0, |time| unix_seconds(*time));
        samples.push_with(&own::LAST_POLL, vec![("kind", kind.into())], at);
    }
    for (kind, ticker) in [
        ("ping", &instance.ping),
        ("info", &instance.info),
        ("scan", &instance.scan),
    ] {
        samples.push_with(
            &own::POLLS_SKIPPED,
            vec![("kind", kind.into())],
            ticker.skipped() as f64,
        );
    }
    for (reason, count) in instance.accumulators.dropped.by_reason() {
        samples.push_with(&own::SERIES_DROPPED, vec![("reason", reason.into())], count as f64);
    }
    peer_samples(instance, &mut samples);
    samples
}

/// The bounded ones of redis_exporter's metrics about itself.
fn peer_samples(instance: &Instance, samples: &mut Samples) {
    if let Some(duration) = instance.last_info_duration {
        samples.push(&own::PEER_LAST_SCRAPE_DURATION, duration.as_secs_f64());
    }
    if let Some(duration) = instance.last_connect {
        samples.push(&own::PEER_LAST_CONNECT_TIME, duration.as_secs_f64());
    }
    if let Some(seconds) = instance.details.ping_seconds {
        samples.push(&own::PEER_LAST_PING_TIME, seconds);
    }
    if let Some(verdict) = instance.verdict {
        let failure = verdict.state.filter(|_| !verdict.up);
        let reason = failure.map_or("", Reason::as_label);
        samples.push_with(
            &own::PEER_LAST_SCRAPE_ERROR,
            vec![("err", reason.into())],
            flag(failure.is_some()),
        );
    }
    let polls = instance.accumulators.info_polls;
    samples.push(&own::PEER_SCRAPES, polls.count as f64);
    let summary = Value::Summary {
        quantiles: Vec::new(),
        sum: polls.seconds,
        count: polls.count,
    };
    samples.push_value(&own::PEER_SCRAPE_DURATION, Vec::new(), summary);
    let key_groups = instance.collector_states.get(key_groups::COLLECTOR);
    let milliseconds = key_groups.map_or(0.0, |state| state.duration.as_secs_f64() * 1000.0);
    samples.push(&own::PEER_KEY_GROUPS_DURATION, milliseconds.trunc());
}
