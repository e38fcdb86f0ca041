//! Configuration: read the file strictly, check it whole, and hand out the only type that the rest of the program accepts.
//!
//! `tree` turns YAML text into a tree that carries positions, `decode` reads single values out of it, `schema` knows the keys,
//! `resolve` merges the levels and makes a [`ValidatedConfig`] or a list of every problem found. `source` says where a
//! configuration comes from, `render` writes the running one without its secrets.

pub mod address;
pub mod alert_values;
mod application_metrics;
mod as_file;
mod client_counts;
mod client_list;
pub mod cluster;
mod compatibility;
mod decode;
pub mod duration;
pub mod environment;
pub mod freshness;
mod globs;
mod key_checks;
mod key_groups;
mod key_patterns;
mod lua;
pub mod lua_pattern;
mod names;
pub mod network;
pub mod optional;
mod own_metrics;
pub mod password_file;
pub mod password_map;
pub mod paths;
pub mod pattern;
pub mod peer_flags;
mod peer_limits;
pub mod peer_text;
mod peer_tls;
pub mod presets;
pub mod problem;
mod render;
pub mod resolve;
mod schema;
mod search;
pub mod source;
mod stores;
mod streams;
pub mod tls;
mod tree;
pub mod types;
pub mod web;

pub use as_file::to_minimal_yaml;
pub use environment::Environment;
pub(crate) use names::nearest;
pub use problem::{ConfigErrors, Place, Problem};
pub use render::to_redacted_yaml;
pub use source::{FlagSource, Given, Loaded, Source, load, load_str};

use crate::metric::Descriptor;
use pattern::IdPattern;
use presets::{KeyType, Preset, TtlKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use types::{Address, PasswordSource};

/// The whole configuration, checked. Two equal values configure the same daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedConfig {
    /// The instances in the order of the file; names are unique. Where `discovery` has been at work, the nodes of clusters that it
    /// found follow, each with [`InstanceConfig::discovered`].
    pub instances: Vec<Arc<InstanceConfig>>,
    /// The clusters whose nodes are found out, in the order of the file.
    pub clusters: Vec<Arc<cluster::ClusterConfig>>,
    /// Limits that hold for the whole process.
    pub limits: Limits,
}

impl ValidatedConfig {
    /// The nodes of a cluster that were found.
    pub fn nodes_of(&self, cluster: &cluster::ClusterConfig) -> impl Iterator<Item = &Arc<InstanceConfig>> {
        self.instances.iter().filter(|instance| {
            let discovered = instance.discovered.as_ref();
            discovered.is_some_and(|discovered| *discovered.cluster == *cluster.name)
        })
    }
}

/// One Redis or Valkey server to watch, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceConfig {
    /// Label `instance`; unique.
    pub name: String,
    /// Label `environment`.
    pub environment: String,
    /// The instance's own labels.
    pub labels: BTreeMap<String, String>,
    /// Where the server listens.
    pub address: Address,
    /// Who announced the address; `None` where the file names it.
    pub discovered: Option<cluster::Discovered>,
    /// ACL user; `None` means the default user.
    pub username: Option<String>,
    /// Where the password comes from, read again at every connect.
    pub password: PasswordSource,
    /// How TLS is spoken to the server and to the replicas of `scan_from`, where their addresses ask for it; the default where none does.
    pub tls: tls::TlsConfig,
    /// Intervals and deadlines.
    pub poll: PollConfig,
    /// How keys are scanned.
    pub scan: ScanConfig,
    /// Which collectors run, by name; every collector is listed.
    pub collectors: BTreeMap<&'static str, bool>,
    /// What this store should look like.
    pub expect: Expectations,
    /// The session stores, or that they are to be recognised.
    pub sessions: SessionsConfig,
    /// Replicas that are scanned instead of the instance itself; empty means the instance. Credentials are the instance's.
    pub scan_from: Vec<Address>,
    /// Whether commands are taken as session operations.
    pub operations: Operations,
    /// The synthetic session.
    pub session_probe: SessionProbeConfig,
    /// What the application keeps in Redis for us.
    pub application_metrics: Vec<ApplicationMetricConfig>,
    /// What the collectors that are off by default are to do, and what only redis_exporter lets its users change.
    pub optional: optional::Optional,
    /// Largest number of label values per family (`limits.label_values`).
    pub label_values: usize,
    /// Most key hashes that a scan pass remembers per store (`limits.scan_remembered_keys`).
    pub scan_remembered_keys: usize,
    /// Most sessions per store and pass that per-key commands look at (`limits.scan_detail_keys`).
    pub scan_detail_keys: usize,
    /// Most keys of the instance that `check_keys` shows (`limits.checked_keys`).
    pub checked_keys: usize,
}

impl InstanceConfig {
    /// Whether TLS is spoken on any of its connections: to the server, or to a replica of `scan_from`.
    pub fn speaks_tls(&self) -> bool {
        self.address.tls || self.scan_from.iter().any(|address| address.tls)
    }

    /// The section, as an example, without which this collector does nothing although it is switched on; `None` where it has work or is off.
    pub fn idle_without(&self, collector: &str) -> Option<&'static str> {
        let is_on = self.collectors.get(collector).copied().unwrap_or(false);
        is_on.then(|| self.optional.idle_without(collector)).flatten()
    }

    /// Whether one of the application's metrics has this name and so replaces ours for this instance.
    pub fn is_replaced(&self, name: &str) -> bool {
        self.application_metrics
            .iter()
            .any(|metric| metric.descriptor.name == name)
    }
}

/// `sessions` of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionsConfig {
    /// `auto`: recognise the session library by the layout of its keys.
    Auto,
    /// The stores that the file names; an empty list counts nothing.
    Stores(Vec<StoreConfig>),
}

impl SessionsConfig {
    /// The stores that the file names; none under `auto`.
    pub fn configured(&self) -> &[StoreConfig] {
        match self {
            Self::Auto => &[],
            Self::Stores(stores) => stores,
        }
    }

    /// Whether stores are recognised by their layout.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// `operations` of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Operations {
    /// On when at least 95 % of the keys are sessions.
    #[default]
    Auto,
    /// The operator knows that the commands are about sessions.
    On,
    /// Never.
    Off,
}

/// `session_probe` of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionProbeConfig {
    /// Whether a synthetic session is written and deleted at all; off unless the operator says so.
    pub enabled: bool,
    /// Time between two probes.
    pub interval: Duration,
    /// Prefix of the probe's keys. No store counts keys that begin with it, on or off.
    pub prefix: String,
}

/// One item of `application_metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplicationMetricConfig {
    /// Name, kind, help and label of the metric. Where one of our own metrics has the name, this is our own descriptor: the values
    /// replace ours for the instance.
    pub descriptor: &'static Descriptor,
    /// The label that the fields of a hash become; `None` for a metric without a label.
    pub label: Option<&'static str>,
    /// The key in Redis.
    pub key: String,
    /// The database that holds the key.
    pub database: u32,
    /// What of the key is read.
    pub read: ApplicationRead,
    /// Label values that exist from the start, at 0, in the order of the file.
    pub label_values: Vec<String>,
    /// Most label values; more are dropped and counted.
    pub max_label_values: usize,
    /// Rising upper bounds of a histogram, without `+Inf`; empty for other kinds.
    pub buckets: Vec<f64>,
}

/// What of a key becomes the value (`read`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationRead {
    /// A hash with a field per label value, or per bucket of a histogram.
    Fields,
    /// One field of a hash.
    Field(String),
    /// A string that holds a number.
    Text,
    /// The length of a list, set, sorted set, stream or hash, whichever the key is.
    Length,
    /// By the key's own type: a string's number, a hash's fields where the metric has a label, else a length. Counters never
    /// become lengths.
    Auto,
}

/// `expect` of an instance: what this store should look like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectations {
    /// Eviction policies that are fine; empty means no expectation.
    pub maxmemory_policy: Vec<String>,
    /// The persistence that is expected.
    pub persistence: Option<Persistence>,
}

/// Values of `expect.persistence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Neither RDB snapshots nor AOF.
    None,
    /// RDB snapshots are configured.
    Rdb,
    /// The append-only file is on.
    Aof,
}

impl Persistence {
    /// The word in the configuration, and the label value.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rdb => "rdb",
            Self::Aof => "aof",
        }
    }
}

/// Intervals and deadlines of one instance (`poll`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollConfig {
    /// Time between two PINGs.
    pub ping_interval: Duration,
    /// Time between two INFO batches.
    pub info_interval: Duration,
    /// Time between the starts of two scan passes.
    pub scan_interval: Duration,
    /// Time between two fresh connections of the `connect` collector.
    pub connect_interval: Duration,
    /// Deadline of one exchange with Redis.
    pub timeout: Duration,
    /// Age at which ping values leave `/metrics`.
    pub ping_stale_after: Duration,
    /// Age at which INFO values leave `/metrics`.
    pub info_stale_after: Duration,
}

/// How keys are scanned (`scan`).
#[derive(Debug, Clone, PartialEq)]
pub struct ScanConfig {
    /// Share of the server's time that scanning may take, 0 < share <= 1; 0 means unpaced.
    pub redis_share: f64,
    /// Keys that are examined per interval and database where a store is sampled.
    pub sample_keys: u64,
}

/// Limits of the process (`limits`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most connections that the HTTP server serves at one time.
    pub http_connections: usize,
    /// Largest number of values that one label may take within one family of one instance; `cmd`, `db`, `thread` and `err` have
    /// limits of their own.
    pub label_values: usize,
    /// Most key hashes that a scan pass remembers per store to count a key that SCAN returned twice once.
    pub scan_remembered_keys: usize,
    /// Most sessions per store and pass whose TTL, type, size and first bytes are asked for.
    pub scan_detail_keys: usize,
    /// Most keys per instance that `check_keys` shows.
    pub checked_keys: usize,
}

/// One family of session keys (`sessions[]`), with everything that its preset says filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Label `store`; unique within the instance.
    pub name: String,
    /// The preset that filled in what the file left open.
    pub preset: Option<&'static str>,
    /// Redis globs of which one must match a key.
    pub matches: Vec<String>,
    /// Redis globs of which none may match.
    pub excludes: Vec<String>,
    /// The pattern that decides; `None` means that the globs do.
    pub id: Option<IdPattern>,
    /// The Redis type of a session's key; `None` means any.
    pub key_type: Option<KeyType>,
    /// How the TTL of a session moves.
    pub ttl: TtlKind,
    /// How much longer than the session its key lives.
    pub ttl_offset: Duration,
    /// A sorted set that the library keeps of its living sessions, with the expiry in milliseconds since 1970 as score.
    pub index_key: Option<String>,
    /// Databases that hold the store.
    pub databases: Vec<u32>,
    /// `sessions_max_capacity`, if the operator named one.
    pub capacity: Option<u64>,
    /// `sessions_expected_ttl_seconds`, if the operator named one.
    pub expected_ttl: Option<Duration>,
    /// How sessions are counted.
    pub count: CountMode,
    /// Whether keyspace notifications are listened to.
    pub events: EventsMode,
    /// Where a new session comes from, by its key; the first rule that matches wins, the rest is `other`.
    pub sources: Vec<SourceRule>,
    /// The check that values are not stored in the clear.
    pub encryption: Option<EncryptionCheck>,
    /// Whether the group `app` of `id` becomes a label.
    pub app_label: bool,
}

impl StoreConfig {
    /// Every value of the label `source` of this store, without repetition.
    pub fn all_sources(&self) -> BTreeSet<&str> {
        let named = self.sources.iter().map(|rule| rule.source.as_str());
        named.chain([crate::metric::OTHER]).collect()
    }

    /// A store as its preset describes it, for `sessions: auto` and as the base of a configured one. Its name is the preset's.
    pub fn of_preset(preset: &'static Preset, database: u32) -> Self {
        Self {
            name: preset.name.to_owned(),
            preset: Some(preset.name),
            matches: preset.matches.iter().map(|glob| (*glob).to_owned()).collect(),
            excludes: preset.excludes.iter().map(|glob| (*glob).to_owned()).collect(),
            id: IdPattern::of_preset(preset),
            key_type: preset.key_type,
            ttl: preset.ttl,
            ttl_offset: preset.ttl_offset,
            index_key: preset.index_key.map(str::to_owned),
            databases: vec![database],
            capacity: None,
            expected_ttl: None,
            count: CountMode::Auto,
            events: EventsMode::Auto,
            sources: Vec::new(),
            encryption: None,
            app_label: false,
        }
    }
}

/// `count` of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CountMode {
    /// Exact while a pass fits into `poll.scan_interval` at `scan.redis_share`, sampled beyond it.
    #[default]
    Auto,
    /// Every pass goes over the whole database.
    Exact,
    /// `scan.sample_keys` keys per interval.
    Sample,
}

/// `events` of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EventsMode {
    /// Where the server publishes them.
    #[default]
    Auto,
    /// The operator expects them: that they are missing is a warning.
    On,
    /// Never.
    Off,
}

/// One item of `sources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRule {
    /// Value of the label `source`.
    pub source: String,
    /// Redis globs of which one must match the key.
    pub matches: Vec<String>,
}

/// `encryption` of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionCheck {
    /// How every value that is not stored in the clear begins.
    pub expect_prefix: String,
}

#[cfg(test)]
mod tests;
