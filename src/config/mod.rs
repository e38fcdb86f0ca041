//! Configuration: read the file strictly, check it whole, and hand out the only type that the rest of the program accepts.
//!
//! `tree` turns YAML text into a tree that carries positions, `decode` reads single values out of it, `schema` knows the keys,
//! `resolve` merges the levels and makes a [`ValidatedConfig`] or a list of every problem found. `source` says where a
//! configuration comes from, `render` writes the running one without its secrets.

pub mod address;
mod decode;
pub mod duration;
pub mod environment;
pub mod freshness;
mod names;
pub mod password_file;
pub mod problem;
mod render;
pub mod resolve;
mod schema;
pub mod source;
mod stores;
mod tree;
pub mod types;

pub use environment::Environment;
pub use problem::{ConfigErrors, Place, Problem};
pub use render::to_redacted_yaml;
pub use source::{FlagSource, Given, Loaded, Source, load, load_str};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use types::{Address, PasswordSource};

/// The whole configuration, checked. Two equal values configure the same daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedConfig {
    /// The instances in the order of the file; names are unique.
    pub instances: Vec<Arc<InstanceConfig>>,
    /// Limits that hold for the whole process.
    pub limits: Limits,
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
    /// ACL user; `None` means the default user.
    pub username: Option<String>,
    /// Where the password comes from, read again at every connect.
    pub password: PasswordSource,
    /// Intervals and deadlines.
    pub poll: PollConfig,
    /// How keys are scanned.
    pub scan: ScanConfig,
    /// Which collectors run, by name; every collector is listed.
    pub collectors: BTreeMap<&'static str, bool>,
    /// What this store should look like.
    pub expect: Expectations,
    /// The session stores.
    pub sessions: Vec<StoreConfig>,
    /// Largest number of label values per family (`limits.label_values`).
    pub label_values: usize,
    /// Most key hashes that a scan pass remembers per store (`limits.scan_remembered_keys`).
    pub scan_remembered_keys: usize,
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
}

/// One family of session keys (`sessions[]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Label `store`; unique within the instance.
    pub name: String,
    /// Redis globs of which one must match a key.
    pub matches: Vec<String>,
    /// Redis globs of which none may match.
    pub excludes: Vec<String>,
    /// Databases that hold the store.
    pub databases: Vec<u32>,
    /// `sessions_max_capacity`, if the operator named one.
    pub capacity: Option<u64>,
    /// `sessions_expected_ttl_seconds`, if the operator named one.
    pub expected_ttl: Option<Duration>,
}

#[cfg(test)]
mod tests;
