//! What is found out about keys beside sessions: the pure half of the collectors `check_keys`, `check_single_keys`, `count_keys`, `key_groups`
//! and `streams`. A [`KeyTask`] looks at the keys that a pass over one database meets and asks for what it needs to know of them;
//! `poller::scan` does the I/O and the pacing, one SCAN for all tasks and for the sessions that are counted exactly.

use crate::metric::Samples;
use crate::redis::{Command, Reply};

/// Something that wants to know about keys of one database.
///
/// The frame calls `offer` for every key of every page of a SCAN over the whole database, then `push_commands` and `note` in turn, as often
/// as the task has something to ask, and `finish` when the pass is complete. A pass that fails drops its tasks: half a count is none.
pub trait KeyTask: Send + std::fmt::Debug {
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
    pub missing: Vec<(String, crate::redis::Unavailable)>,
}
