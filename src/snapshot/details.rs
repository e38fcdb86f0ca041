//! What the health answers, the landing page and the logs know about an instance beyond its metrics.

use crate::redis::Reason;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// State of one instance as its task last saw it. Values read from INFO carry the moment when they become too old.
#[derive(Debug, Clone, Default)]
pub struct InstanceDetails {
    /// The address in its normalised form, without user information.
    pub address: String,
    /// Whether the first poll ended, well or not; `/-/ready` waits for it.
    pub first_poll_ended: bool,
    /// When the task last turned its wheel; `/-/healthy` fails when this is too long ago.
    pub last_turn: Option<Instant>,
    /// How long a turn may take before the task counts as wedged.
    pub turn_limit: std::time::Duration,
    /// The last verdict: `None` before the first; `Some(None)` is ok.
    pub state: Option<Option<Reason>>,
    /// `redis_up` as published.
    pub up: Option<bool>,
    /// `redis_connection_status` as published.
    pub connected: Option<bool>,
    /// Last round trip of PING in seconds, when it answered PONG.
    pub ping_seconds: Option<f64>,
    /// How the last fresh connection of the collector `connect` ended, an error as one sentence without secrets. `None` before the
    /// first one, and while the collector is off.
    pub fresh_connection: Option<Result<(), String>>,
    /// What our TLS handshakes showed; `None` before the first, without TLS, and while the collector `tls` is off.
    pub tls: Option<crate::snapshot::tls::TlsFacts>,
    /// The last errors in words, oldest first, without secrets.
    pub errors: Vec<DatedError>,
    /// Facts of INFO, absent before the first or when too old.
    pub info: Option<Arc<InfoFacts>>,
    /// Why the last poll of INFO brought none, in one sentence without secrets. `None` when it brought one, before the first, and
    /// while no collector wants it.
    pub info_failure: Option<String>,
    /// The server runs in Sentinel mode, by its last INFO: it watches other servers and holds no keys.
    pub is_sentinel: bool,
    /// Session stores with their last count, absent when unknown or too old.
    pub sessions: Vec<StoreFacts>,
    /// Nearly all keys of the server are sessions by the scans so far, so that what it counts over all keys speaks of them; with the
    /// hysteresis of `operations: auto`. False while nobody knows.
    pub are_keys_sessions: bool,
    /// What `sessions: auto` found at its last look, until something else is found or a reload; `None` before the first look and
    /// where stores are configured.
    pub recognition: Option<Arc<RecognitionFacts>>,
    /// The first pass over the keys of optional collectors is under way, so that their figures are not there yet.
    pub first_key_pass: bool,
    /// Limits that left something out, by collector: what the limit is called, with its value. Until a reload, also when there is less again.
    pub limits_reached: std::collections::BTreeMap<&'static str, String>,
    /// The last synthetic session; `None` before the first, and where none is written.
    pub session_probe: Option<ProbeFacts>,
    /// Keyspace notifications; `None` before the first INFO, and where no store wants them.
    pub notifications: Option<NotificationFacts>,
    /// State of each collector that runs: name, last success, duration in seconds, error in words.
    pub collectors: Vec<CollectorFacts>,
    /// What the application publishes about itself, absent before the first reading.
    pub application: Option<ApplicationFacts>,
    /// Errors of the last hour that somebody who logs in sees: refused writes, failed PINGs, failed operations of the synthetic session,
    /// and the application's own error counters. Absent before the first verdict.
    pub errors_last_hour: Option<f64>,
}

/// An error in words, with its time.
#[derive(Debug, Clone)]
pub struct DatedError {
    /// When it happened.
    pub at: SystemTime,
    /// One sentence without secrets.
    pub sentence: String,
}

/// Facts of the last INFO reply that people ask for.
#[derive(Debug, Clone, Default)]
pub struct InfoFacts {
    /// When these facts become too old to be shown.
    pub expires_at: Option<Instant>,
    /// Product and version, e.g. `valkey 8.1.4`.
    pub product: String,
    /// The product's own version.
    pub version: String,
    /// Seconds since the server started.
    pub uptime_seconds: Option<f64>,
    /// `used_memory`
    pub used_memory_bytes: Option<f64>,
    /// `used_memory_human`
    pub used_memory_human: Option<String>,
    /// `maxmemory`; 0 means no limit.
    pub max_memory_bytes: Option<f64>,
    /// Keys over all databases.
    pub total_keys: Option<f64>,
    /// `keyspace_hits`
    pub keyspace_hits: Option<f64>,
    /// `keyspace_misses`
    pub keyspace_misses: Option<f64>,
    /// How many of `keyspace_hits` were lookups of our own.
    pub own_keyspace_hits: f64,
    /// How many of `keyspace_misses` were.
    pub own_keyspace_misses: f64,
    /// `rdb_last_bgsave_status:ok` and `aof_last_write_status:ok`; `None` when INFO does not say.
    pub persistence_ok: Option<bool>,
    /// Seconds per call of SET and GET since the server's start, from commandstats.
    pub set_seconds: Option<f64>,
    /// See `set_seconds`.
    pub get_seconds: Option<f64>,
    /// Sum of `errorstat_` counts of refused writes (OOM, MISCONF, READONLY, NOREPLICAS) that came since the previous INFO.
    pub new_write_refusals: f64,
    /// Expectations (`expect`) that are not met, by name.
    pub unmet_expectations: Vec<&'static str>,
}

/// Which session libraries were recognised by the layout of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecognitionFacts {
    /// Names of the presets that were accepted; each is a store now.
    pub accepted: Vec<&'static str>,
    /// Presets that were not sure, each with the reason in one sentence.
    pub unsure: Vec<(&'static str, String)>,
    /// Keys that were looked at.
    pub keys_observed: u64,
}

/// Whether keyspace notifications are heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationFacts {
    /// The state in one sentence without secrets, with what mends it where something is to be mended.
    pub sentence: String,
    /// They are listened to at this moment.
    pub is_connected: bool,
    /// They tell of new sessions.
    pub tells_creations: bool,
    /// They tell of every coming and going, so that the counts of sessions are current between scans.
    pub tells_counts: bool,
    /// `notify-keyspace-events` as the server shows it; `None` when it may not be read.
    pub setting: Option<String>,
    /// The command that switches on what is missing; `None` when nothing is, or nobody knows.
    pub mending_command: Option<String>,
}

/// One session store.
#[derive(Debug, Clone)]
pub struct StoreFacts {
    /// Label `store`.
    pub name: String,
    /// Sessions: those of the last scan, kept current by events where they are heard.
    pub active: u64,
    /// Sessions whose value is not encrypted as the store's `encryption` expects it; absent without that check.
    pub unencrypted: Option<f64>,
    /// When the count becomes too old.
    pub expires_at: Instant,
}

/// What the application publishes about itself.
#[derive(Debug, Clone)]
pub struct ApplicationFacts {
    /// The figures that the health answers show.
    pub published: crate::collectors::application::published::Published,
    /// When they become too old.
    pub expires_at: Instant,
}

/// The last synthetic session that was tried.
#[derive(Debug, Clone)]
pub struct ProbeFacts {
    /// Round trip of SET in seconds, if it wrote the session.
    pub set_seconds: Option<f64>,
    /// Round trip of GET in seconds, if it read back what was written.
    pub get_seconds: Option<f64>,
    /// Whether all four operations did what they should.
    pub success: bool,
    /// When these facts become too old.
    pub expires_at: Instant,
}

/// One collector.
#[derive(Debug, Clone)]
pub struct CollectorFacts {
    /// Its name.
    pub name: &'static str,
    /// Whether its last turn published.
    pub success: bool,
    /// How long that turn took, in seconds.
    pub duration_seconds: f64,
    /// Why not, in words.
    pub error: Option<String>,
}
