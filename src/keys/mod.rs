//! What is found out about keys beside sessions: the pure half of the collectors `check_keys`, `check_single_keys`, `count_keys`, `key_groups`
//! and `streams`. A [`KeyTask`] looks at the keys that a pass over one database meets and asks for what it needs to know of them;
//! `poller::scan` does the I/O and the pacing, one SCAN for all tasks and for the sessions that are counted exactly.

pub mod check_keys;
pub mod count_keys;
mod inspect;
pub mod key_groups;
pub mod label;
pub mod lua_pattern;
mod seen;
pub mod single_keys;
pub mod streams;
#[cfg(test)]
mod testing;

use crate::config::InstanceConfig;
use crate::metric::Samples;
use crate::redis::{Command, Reply, Unavailable};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Longest key that a task looks at, the same as for sessions: longer ones match no pattern, since no application names its keys so.
pub const MAX_KEY_BYTES: usize = crate::sessions::stores::MAX_MATCHED_KEY_BYTES;

/// Something that wants to know about keys of one database.
///
/// The frame calls `offer` for every key of every page of a SCAN over the whole database, then `push_commands` and `note` in turn, as often
/// as the task has something to ask, and `finish` when the pass is complete. A pass that fails drops its tasks: half a count is none.
pub trait KeyTask: Send + Sync + std::fmt::Debug {
    /// A key that SCAN returned. SCAN may return one key more than once around a rehash; a task that minds remembers. What it keeps is
    /// bounded, and what it leaves out for that is counted and told by `finish`.
    fn offer(&mut self, key: &[u8]);

    /// Whether every key of the database must be offered; false for a task that asks only about keys it knows by name.
    fn needs_scan(&self) -> bool;

    /// Keys that wait to be asked about. The frame lets no more wait than one page brings.
    fn waiting(&self) -> usize;

    /// Appends commands about at most `most` keys that wait; what came of the last ones has been noted before.
    fn push_commands(&mut self, most: usize, commands: &mut Vec<Command>);

    /// Takes the replies to the commands of the last `push_commands`, one each, error replies included, and gives back how many of these
    /// commands the server counts as lookups of its keyspace, hits and misses together, and how many of them as misses.
    fn note(&mut self, replies: &[Reply]) -> KeyLookups;

    /// What was found; `database` is the label `db`.
    fn finish(self: Box<Self>, database: u32) -> KeyFindings;
}

/// Lookups that the server counts in `keyspace_hits` and `keyspace_misses`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyLookups {
    /// Hits and misses.
    pub all: u64,
    /// Misses.
    pub misses: u64,
}

/// What a task found in one database.
#[derive(Debug, Default)]
pub struct KeyFindings {
    /// The samples.
    pub samples: Samples,
    /// Keys, groups or other series that were left out because of a limit.
    pub dropped: u64,
    /// Commands that are not to be had, by name, each with why.
    pub missing: Vec<(String, Unavailable)>,
}

impl KeyFindings {
    /// Adds what was found in another database.
    pub fn add(&mut self, other: Self) {
        self.samples.append(other.samples);
        self.dropped = self.dropped.saturating_add(other.dropped);
        for missing in other.missing {
            if !self.missing.contains(&missing) {
                self.missing.push(missing);
            }
        }
    }
}

/// A task, and the collector that publishes what it finds. Several tasks may belong to one collector; their findings are added.
#[derive(Debug)]
pub struct CollectorTask {
    /// Name of the collector.
    pub collector: &'static str,
    /// The task.
    pub task: Box<dyn KeyTask>,
}

/// What tasks are made of.
pub struct KeyContext<'a> {
    /// The instance.
    pub config: &'a InstanceConfig,
    /// The database.
    pub database: u32,
    /// Why something is known not to be had: a command by its name as in commandstats, or what [`KeyFindings::missing`] named otherwise.
    /// What former passes found counts for ten minutes.
    pub refused: &'a dyn Fn(&str) -> Option<Unavailable>,
    /// Keys that `check_keys` may still show in this pass, over all databases.
    pub checked_keys: &'a Arc<AtomicUsize>,
    /// Whether the tasks that need a SCAN are wanted, or those that need none.
    pub by_scan: bool,
}

impl KeyContext<'_> {
    /// Whether a collector runs.
    fn is_on(&self, collector: &str) -> bool {
        is_on(self.config, collector)
    }
}

/// The collectors that have something to do with the keys of this instance.
pub fn collectors(config: &InstanceConfig) -> BTreeSet<&'static str> {
    let optional = &config.optional;
    let have_work = [
        (check_keys::COLLECTOR, !optional.keys.patterns.is_empty()),
        (single_keys::COLLECTOR, !optional.keys.single.is_empty()),
        (count_keys::COLLECTOR, !optional.keys.counted.is_empty()),
        (key_groups::COLLECTOR, optional.key_groups.is_some()),
        (streams::COLLECTOR, !optional.streams.is_empty()),
    ];
    let running = have_work
        .into_iter()
        .filter(|(name, has_work)| *has_work && is_on(config, name));
    running.map(|(name, _)| name).collect()
}

/// Whether something is asked about keys, and they are not only counted by their names.
pub fn asks_about_keys(config: &InstanceConfig) -> bool {
    collectors(config).iter().any(|name| *name != count_keys::COLLECTOR)
}

/// The databases that tasks name.
pub fn databases(config: &InstanceConfig) -> BTreeSet<u32> {
    let keys = &config.optional.keys;
    let mut databases = BTreeSet::new();
    if is_on(config, check_keys::COLLECTOR) {
        databases.extend(keys.patterns.iter().flat_map(|pattern| &pattern.databases));
    }
    if is_on(config, single_keys::COLLECTOR) {
        databases.extend(keys.single.iter().filter_map(|key| key.database));
    }
    if is_on(config, count_keys::COLLECTOR) {
        databases.extend(keys.counted.iter().flat_map(|pattern| &pattern.databases));
    }
    if is_on(config, key_groups::COLLECTOR) {
        let groups = config.optional.key_groups.iter();
        databases.extend(groups.flat_map(|groups| &groups.databases));
        // Known without INFO, which says the others.
        if needs_every_database(config) {
            databases.insert(config.address.database);
        }
    }
    if is_on(config, streams::COLLECTOR) {
        let streams = &config.optional.streams;
        databases.extend(streams.patterns.iter().flat_map(|pattern| &pattern.databases));
        databases.extend(streams.single.iter().filter_map(|key| key.database));
    }
    databases
}

/// Whether a task looks at every database that holds keys, whichever these are.
pub fn needs_every_database(config: &InstanceConfig) -> bool {
    let groups = config.optional.key_groups.as_ref();
    is_on(config, key_groups::COLLECTOR) && groups.is_some_and(|groups| groups.databases.is_empty())
}

/// The tasks for one database in one pass, of the kind that is wanted.
pub fn tasks(context: &KeyContext<'_>) -> Vec<CollectorTask> {
    let mut tasks = Vec::new();
    check_keys::push_tasks(context, &mut tasks);
    single_keys::push_tasks(context, &mut tasks);
    count_keys::push_tasks(context, &mut tasks);
    key_groups::push_tasks(context, &mut tasks);
    streams::push_tasks(context, &mut tasks);
    tasks.retain(|task| task.task.needs_scan() == context.by_scan);
    tasks
}

fn is_on(config: &InstanceConfig, collector: &str) -> bool {
    config.collectors.get(collector).copied().unwrap_or_default()
}
