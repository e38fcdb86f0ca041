//! What a pass is given, what it reports while it goes on, and how it ends.

use super::{KeyEnd, Missing, PauseRequest, PausedWork, Recognised, ScanMemory};
use crate::collectors::lua::Runs;
use crate::config::{InstanceConfig, StoreConfig};
use crate::redis::{Connector, Reason, RedisError};
use crate::sessions::figures::StoreFigures;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What one pass over all databases of an instance found.
#[derive(Debug, Clone)]
pub struct ScanOutcome {
    /// How long the whole pass took.
    pub duration: Duration,
    /// The databases of the pass.
    pub databases: Vec<DatabaseOutcome>,
    /// What was found of each store, by its index among the instance's stores, over all its databases.
    pub stores: BTreeMap<usize, StoreFigures>,
    /// When the pass ended.
    pub ended_at: SystemTime,
    /// Whether a replica was scanned in place of the instance.
    pub at_replica: bool,
}

/// One database of a complete pass.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseOutcome {
    /// The database.
    pub database: u32,
    /// How long its pass took.
    pub duration: Duration,
    /// Keys examined over DBSIZE; absent when the user may not run DBSIZE.
    pub coverage_ratio: Option<f64>,
    /// Share of the keys that the pass looked at, 0 to 1.
    pub covered: f64,
    /// Keys that have expired and that the server has not deleted when the pass ended, as estimated from those that the pass met;
    /// absent when the user may not run DBSIZE.
    pub undeleted: Option<f64>,
}

/// What a pass has cost since it last said so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanProgress {
    /// The database.
    pub database: u32,
    /// Keys that SCAN returned.
    pub keys_examined: u64,
    /// Server time as estimated from round trips, in seconds.
    pub redis_seconds: f64,
    /// Hits and misses of the keyspace that the instance counted for it; 0 where a replica was scanned.
    pub lookups: u64,
    /// The misses among them.
    pub misses: u64,
}

/// What a scan tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScanReport {
    /// What it has cost.
    Progress(ScanProgress),
    /// It connects to the instance once more.
    Connect,
    /// An exchange failed and will be tried again.
    Failed {
        /// Why.
        reason: Reason,
        /// Whether it was a connect to the instance.
        at_connect: bool,
    },
}

/// A failed pass.
#[derive(Debug, Clone)]
pub struct ScanFailure {
    /// Why.
    pub error: RedisError,
    /// Whether the connect failed, rather than an exchange.
    pub at_connect: bool,
    /// Whether it happened at a replica that is scanned in place of the instance.
    pub at_replica: bool,
}

impl ScanFailure {
    /// Whether the user may not run a command that scanning needs.
    pub fn is_denied(&self) -> bool {
        !self.at_connect && self.error.reason == Reason::Denied
    }
}

/// What a pass is to do.
#[derive(Debug)]
pub struct ScanTask {
    /// The instance.
    pub config: Arc<InstanceConfig>,
    /// Whether sessions are looked at.
    pub looks_at_sessions: bool,
    /// Whether the keys that optional collectors ask for are looked at.
    pub looks_at_keys: bool,
    /// The stores to count; empty where they are to be recognised.
    pub stores: Arc<[StoreConfig]>,
    /// Whether the scripts of `lua` are run.
    pub runs_scripts: bool,
    /// How to connect to the instance.
    pub connector: Connector,
    /// Whether the pass keeps to `scan.redis_share`.
    pub paced: bool,
    /// What former passes left.
    pub memory: ScanMemory,
    /// Key work that the pass before paused.
    pub paused: Option<Box<PausedWork>>,
    /// Who may ask the walk over other keys than sessions to pause; without one it goes on to its end.
    pub pause: Option<PauseRequest>,
    /// Number of the pass, for what it reports before its end.
    pub number: u64,
    /// `master_replid` of the instance, as its INFO last said.
    pub replication_id: Option<String>,
    /// Whether the instance is known to be a replica.
    pub is_replica: bool,
}

/// What a pass has found of sessions and scripts, told before it goes on with other keys, which may take much longer.
#[derive(Debug)]
pub struct SessionsEnd {
    /// Number of the pass.
    pub number: u64,
    /// What it has found; nothing of other keys, and its memory is that of the pass when it ends.
    pub end: Box<ScanEnd>,
    /// How long that took.
    pub duration: Duration,
}

/// How a pass ended.
#[derive(Debug)]
pub struct ScanEnd {
    /// What it found of sessions; `None` where it only looked for stores, or for keys of other collectors.
    pub outcome: Result<Option<ScanOutcome>, ScanFailure>,
    /// Whether it looked at sessions.
    pub looked_at_sessions: bool,
    /// What the next pass should know.
    pub memory: ScanMemory,
    /// Which stores there are, where that was asked.
    pub recognised: Option<Recognised>,
    /// Sessions of all stores over the keys of all databases; `None` when INFO does not say how many these are.
    pub share_of_keys: Option<f64>,
    /// What of the figures is absent, and why.
    pub missing: BTreeSet<Missing>,
    /// Stores with more values of `app` than `limits.label_values`.
    pub dropped_apps: u64,
    /// What was found for the collectors that look at keys; `None` where stores were recognised and the next pass, which follows at
    /// once, looks at the keys, and where this work has paused.
    pub keys: Option<KeyEnd>,
    /// Key work that has paused.
    pub paused: Option<Box<PausedWork>>,
    /// What sessions and scripts are was told by a [`SessionsEnd`] before.
    pub has_told_sessions: bool,
    /// What became of the scripts of `lua`, and how long they took; `None` where none are to be run.
    pub scripts: Option<Result<(Runs, Duration), ScanFailure>>,
}

impl ScanEnd {
    /// The end of a pass that found nothing out.
    pub(super) fn new(outcome: Result<Option<ScanOutcome>, ScanFailure>, memory: ScanMemory) -> Self {
        Self {
            outcome,
            looked_at_sessions: true,
            memory,
            recognised: None,
            share_of_keys: None,
            missing: BTreeSet::new(),
            dropped_apps: 0,
            keys: None,
            paused: None,
            has_told_sessions: false,
            scripts: None,
        }
    }

    /// The end of a pass that failed before it began.
    #[cfg(test)]
    pub(crate) fn failed(error: RedisError) -> Self {
        let failure = ScanFailure {
            error,
            at_connect: false,
            at_replica: false,
        };
        Self::new(Err(failure), ScanMemory::default())
    }
}
