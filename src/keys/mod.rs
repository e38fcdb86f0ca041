//! What is found out about keys beside sessions: the pure half of the collectors `check_keys`, `check_single_keys`, `count_keys`, `key_groups`
//! and `streams`. A [`KeyTask`] looks at the keys that a pass over one database meets and asks for what it needs to know of them;
//! `poller::scan` does the I/O and the pacing, one SCAN for all tasks and for the sessions that are counted exactly.

pub mod check_keys;
pub mod count_keys;
mod inspect;
pub mod key_groups;
pub mod label;
pub mod left_alone;
mod named_keys;
mod seen;
pub mod single_keys;
pub mod streams;
#[cfg(test)]
mod testing;

use crate::config::InstanceConfig;
use crate::metric::Samples;
use crate::redis::{Command, Reply, Unavailable, unavailability};
use left_alone::LeftAlone;
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
    /// A key that SCAN returned, of no more than [`MAX_KEY_BYTES`]. SCAN may return one key more than once around a rehash; a task that
    /// minds remembers. What it keeps is
    /// bounded, and what it leaves out for that is counted and told by `finish`.
    fn offer(&mut self, key: &[u8]);

    /// A key that is too long to be offered. A task whose figures are to be about all keys counts it as left out.
    fn leave_out(&mut self) {}

    /// Whether every key of the database must be offered; false for a task that asks only about keys it knows by name.
    fn needs_scan(&self) -> bool;

    /// Keys that wait to be asked about. The frame lets no more wait than one page brings.
    fn waiting(&self) -> usize;

    /// Appends commands about at most `most` keys that wait; what came of the last ones has been noted before.
    fn push_commands(&mut self, most: usize, commands: &mut Vec<Command>);

    /// Appends a few commands whose replies may be large. The frame sends them in an exchange of their own, before anything else, as long as
    /// there are some; the replies go to `note`, and if there are none, `give_up_large` is called.
    fn push_large(&mut self, _commands: &mut Vec<Command>) {}

    /// The exchange of the last `push_large` failed, and the server answers on a new connection: the replies were too large or too slow.
    fn give_up_large(&mut self) {}

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
    /// Keys that are left alone, and where tasks note more of them.
    pub left_alone: &'a LeftAlone,
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

/// Whether the server looked a key up for a command: not where it refused to run it (Redis 7.0 and 8.0, Valkey 8.1 and 9.1).
fn was_looked_up(reply: &Reply) -> bool {
    const NOT_RUN: [&str; 7] = [
        "MOVED",
        "ASK",
        "TRYAGAIN",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "BUSY",
    ];
    let is_not_run = reply.error_code().is_some_and(|code| NOT_RUN.contains(&code));
    !is_not_run && unavailability(reply).is_none()
}

/// Whether another node of the cluster holds the key. `ASK` is no such word: the slot is here, and about to leave.
fn is_elsewhere(reply: &Reply) -> bool {
    reply.error_code() == Some("MOVED")
}

/// How many keys one batch may ask about, of those that one permission is about. Each denial is written to ACL LOG and counted as an error
/// of the server, so that one key goes first, and twice as many each time when nothing was denied.
#[derive(Debug, Clone, Copy)]
struct Trust(usize);

impl Trust {
    /// Nothing is known yet.
    const NONE: Self = Self(1);

    /// After a batch: whether anything was denied in it.
    fn learn(&mut self, is_denied: bool) {
        self.0 = if is_denied { 1 } else { self.0.saturating_mul(2) };
    }
}

fn is_on(config: &InstanceConfig, collector: &str) -> bool {
    config.collectors.get(collector).copied().unwrap_or_default()
}
