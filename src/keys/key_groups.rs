//! Keys counted in groups, with the memory they take: the pure half of collector `key_groups`.
//!
//! The name of a key's group is what the first pattern that matches it captures, as in `redis_exporter`, which runs the patterns in a Lua
//! script inside the server. Here they run on this side, over the keys that the one SCAN brings anyway; the server is asked for the memory
//! alone.

use super::seen::Seen;
use super::{CollectorTask, KeyContext, KeyFindings, KeyLookups, KeyTask, Trust};
use crate::collectors::key_groups as metrics;
use crate::config::lua_pattern::{Capture, LuaPattern, OutOfSteps, Steps};
use crate::config::optional::KeyGroupsConfig;
use crate::metric::{Label, Samples};
use crate::redis::{Command, Reply, Unavailable, unavailability};
use crate::sessions::details::denies_command;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

/// Name of the collector.
pub const COLLECTOR: &str = "key_groups";

/// Group of the keys that no pattern matches, as the peer calls it.
pub const UNCLASSIFIED: &str = "unclassified";

/// Group of the keys whose own groups are not shown, as the peer calls it.
pub const OVERFLOW: &str = "overflow";

/// Name under which INFO commandstats, and so what is found missing, knows the command.
pub const MEMORY_USAGE: &str = "memory|usage";

/// Groups of one database that are told apart while a pass lasts; which `max_groups` of them are the largest shows only at its end. A
/// hundred times the usual `max_groups`, and about 2 MB of names that come near [`MAX_NAME_BYTES`]. Keys of further groups count as
/// [`OVERFLOW`], so what is shown is exact all the same.
pub const MAX_GROUPS_TOLD_APART: usize = 10_000;

/// Longest name of a group in bytes. A pattern that captures more tells nothing apart that a person reads; such keys are in [`OVERFLOW`].
pub const MAX_NAME_BYTES: usize = 200;

/// Steps that all patterns together may take on one key, a tenth of a millisecond or two. `^(.*):[^:]+$` takes five for each byte of the
/// key; three `(.*)` in a row without an anchor stay below it up to a hundred bytes or so.
pub const MAX_STEPS: u64 = 100_000;

/// Keys of one pass that may use up [`MAX_STEPS`]; those behind them have [`HURRIED_STEPS`], so that patterns which backtrack on every key
/// cost a pass over a million keys seconds and not minutes.
const MAX_PATIENCE: u64 = 1000;

/// Steps on one key when patience is at its end.
const HURRIED_STEPS: u64 = MAX_STEPS / 20;

/// Smallest hashes that are kept of the names beyond [`MAX_GROUPS_TOLD_APART`]. Up to so many their number is exact; beyond, it follows from
/// how densely the smallest lie, with a standard error of 1.6 % (one by the root of this).
const SMALLEST_HASHES: usize = 4096;

/// Denied keys after which the memory of no further key is asked for: each denial is written to ACL LOG, which holds 128.
const MOST_DENIALS: u32 = 3;

/// How it is remembered that the user may not ask about keys of a database. No command has a space in its name.
fn refused_keys(database: u32) -> String {
    format!("{COLLECTOR} {database} {MEMORY_USAGE}")
}

/// What is known of one group.
#[derive(Debug, Clone, Copy)]
struct Figures {
    keys: u64,
    /// Bytes; `None` once one key of the group would not tell.
    bytes: Option<u64>,
}

impl Figures {
    const NONE: Self = Self {
        keys: 0,
        bytes: Some(0),
    };

    fn join(&mut self, other: Self) {
        self.keys = self.keys.saturating_add(other.keys);
        self.bytes = self
            .bytes
            .zip(other.bytes)
            .map(|(bytes, more)| bytes.saturating_add(more));
    }
}

/// The groups at the end of a pass.
struct Ranked {
    /// Those that are shown, the largest first.
    groups: Vec<(Box<[u8]>, Figures)>,
    /// All others together, if there are any.
    overflow: Option<Figures>,
    /// How many there are.
    distinct: f64,
}

/// Where a key is counted.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Index among the groups that are told apart.
    Group(usize),
    Overflow,
}

/// How many different names there were, of those that have no place of their own.
#[derive(Debug, Default)]
struct Distinct {
    smallest: BTreeSet<u64>,
    is_full: bool,
}

impl Distinct {
    fn add(&mut self, hash: u64) {
        self.smallest.insert(hash);
        if self.smallest.len() > SMALLEST_HASHES {
            self.smallest.pop_last();
            self.is_full = true;
        }
    }

    fn count(&self) -> f64 {
        match self.smallest.last() {
            // The hashes are uniform: if the k-th smallest of n lies at the part p of their range, n is about (k - 1) / p.
            Some(largest) if self.is_full => (SMALLEST_HASHES - 1) as f64 * (u64::MAX as f64 / *largest as f64),
            _ => self.smallest.len() as f64,
        }
    }
}

/// Adds the task of one database, if its keys are to be counted.
pub(super) fn push_tasks(context: &KeyContext<'_>, tasks: &mut Vec<CollectorTask>) {
    let Some(config) = &context.config.optional.key_groups else {
        return;
    };
    let is_meant = config.databases.is_empty() || config.databases.contains(&context.database);
    if is_meant && context.by_scan && context.is_on(COLLECTOR) {
        let remembered = context.config.scan_remembered_keys;
        tasks.push(CollectorTask {
            collector: COLLECTOR,
            task: Box::new(KeyGroups::new(config, context.database, remembered, context.refused)),
        });
    }
}

/// The task of one database.
#[derive(Debug)]
pub struct KeyGroups {
    database: u32,
    patterns: Vec<LuaPattern>,
    max_groups: usize,
    /// Index by name.
    places: HashMap<Box<[u8]>, usize>,
    groups: Vec<Figures>,
    overflow: Figures,
    others: Distinct,
    /// Keys that used up their steps.
    exhausted: u64,
    hash: RandomState,
    seen: Seen,
    waiting: Vec<(Place, Vec<u8>)>,
    asked: Vec<Place>,
    /// What of MEMORY USAGE is not to be had, by name.
    refused: Option<(String, Unavailable)>,
    /// Keys that the user may not ask about.
    denials: u32,
    /// Whether the memory of a key was told.
    is_answered: bool,
    trust: Trust,
    /// Keys that are too long to be told apart.
    too_long: u64,
}

impl KeyGroups {
    /// A task for one pass over database `database`. `remembered_keys` is `limits.scan_remembered_keys`; `refused` says why a command, named
    /// as in commandstats, or what a former pass named, is known not to be had. Without MEMORY USAGE keys are counted alone.
    pub fn new(
        config: &KeyGroupsConfig,
        database: u32,
        remembered_keys: usize,
        refused: impl Fn(&str) -> Option<Unavailable>,
    ) -> Self {
        // The configuration was refused if one of them were wrong.
        let patterns = config.patterns.iter();
        let patterns = patterns.filter_map(|pattern| LuaPattern::new(pattern.as_bytes()).ok());
        Self {
            patterns: patterns.collect(),
            max_groups: config.max_groups,
            places: HashMap::new(),
            groups: Vec::new(),
            overflow: Figures::NONE,
            others: Distinct::default(),
            exhausted: 0,
            hash: RandomState::new(),
            seen: Seen::new(remembered_keys),
            waiting: Vec::new(),
            asked: Vec::new(),
            database,
            refused: [MEMORY_USAGE.to_owned(), refused_keys(database)]
                .into_iter()
                .find_map(|name| refused(&name).map(|reason| (name, reason))),
            denials: 0,
            is_answered: false,
            trust: Trust::NONE,
            too_long: 0,
        }
    }

    /// The name of the key's group: what the first pattern that matches captures, one after the other; the empty name for a pattern
    /// that captures nothing.
    fn name(&mut self, key: &[u8]) -> Vec<u8> {
        let most = if self.exhausted < MAX_PATIENCE {
            MAX_STEPS
        } else {
            HURRIED_STEPS
        };
        match group_name(&self.patterns, key, &mut Steps::new(most)) {
            Ok(Some(name)) => name,
            Ok(None) => UNCLASSIFIED.into(),
            Err(OutOfSteps) => {
                self.exhausted += 1;
                UNCLASSIFIED.into()
            }
        }
    }

    fn place(&mut self, name: &[u8]) -> Place {
        if let Some(index) = self.places.get(name) {
            return Place::Group(*index);
        }
        // A configuration may ask for more than are usually told apart.
        let most = MAX_GROUPS_TOLD_APART.max(self.max_groups);
        if self.groups.len() >= most || name.len() > MAX_NAME_BYTES {
            self.others.add(self.hash.hash_one(name));
            return Place::Overflow;
        }
        let index = self.groups.len();
        self.places.insert(name.into(), index);
        self.groups.push(Figures::NONE);
        Place::Group(index)
    }

    fn count(&mut self, place: Place, bytes: Option<u64>) {
        let figures = match place {
            Place::Group(index) => self.groups.get_mut(index),
            Place::Overflow => Some(&mut self.overflow),
        };
        if let Some(figures) = figures {
            figures.join(Figures { keys: 1, bytes });
        }
    }

    /// Goes on without the memory.
    fn refuse(&mut self, name: String, reason: Unavailable) {
        self.refused = Some((name, reason));
        for (place, _) in std::mem::take(&mut self.waiting) {
            self.count(place, None);
        }
    }

    /// Sorts the groups by size.
    fn ranked(self) -> Ranked {
        let mut groups: Vec<(Box<[u8]>, Figures)> = Vec::with_capacity(self.places.len());
        for (name, index) in self.places {
            // A group all of whose keys were gone when they were asked about is none.
            if let Some(figures) = self.groups.get(index).filter(|figures| figures.keys > 0) {
                groups.push((name, *figures));
            }
        }
        let distinct = groups.len() as f64 + self.others.count();
        // As the peer: by memory, then the fewest keys, then the name. Without the memory, the most keys.
        groups.sort_by(|(name, figures), (other_name, other)| {
            let by_size = other.bytes.cmp(&figures.bytes);
            let by_keys = if figures.bytes.is_some() {
                figures.keys.cmp(&other.keys)
            } else {
                other.keys.cmp(&figures.keys)
            };
            by_size.then(by_keys).then_with(|| name.cmp(other_name))
        });
        let rest = groups.split_off(groups.len().min(self.max_groups));
        let mut overflow = self.overflow;
        rest.iter().for_each(|(_, figures)| overflow.join(*figures));
        Ranked {
            groups,
            overflow: (overflow.keys > 0).then_some(overflow),
            distinct,
        }
    }
}

impl KeyTask for KeyGroups {
    fn offer(&mut self, key: &[u8]) {
        if !self.seen.is_new(key) {
            return;
        }
        let name = self.name(key);
        let place = self.place(&name);
        if self.refused.is_some() {
            self.count(place, None);
        } else {
            self.waiting.push((place, key.to_vec()));
        }
    }

    fn leave_out(&mut self) {
        self.too_long += 1;
    }

    fn needs_scan(&self) -> bool {
        true
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn push_commands(&mut self, most: usize, commands: &mut Vec<Command>) {
        let most = most.min(self.trust.0);
        let rest = self.waiting.len().saturating_sub(most);
        self.asked.clear();
        for (place, key) in self.waiting.split_off(rest) {
            self.asked.push(place);
            commands.push(Command::new(2, &["MEMORY", "USAGE"]).arg(key));
        }
    }

    fn note(&mut self, replies: &[Reply]) -> KeyLookups {
        let asked = std::mem::take(&mut self.asked);
        let is_denied = |reply: &Reply| unavailability(reply) == Some(Unavailable::Denied);
        self.trust.learn(replies.iter().any(is_denied));
        for (place, reply) in asked.into_iter().zip(replies) {
            match reply {
                Reply::Integer(bytes) => {
                    self.is_answered = true;
                    self.count(place, u64::try_from(*bytes).ok());
                }
                // The key is gone since SCAN returned it.
                Reply::Null => {}
                error if matches!(error.error_code(), Some("MOVED" | "ASK")) => {}
                error => {
                    self.count(place, None);
                    match unavailability(error) {
                        Some(Unavailable::Denied) if !denies_command(error) => {
                            self.denials += 1;
                            if self.denials >= MOST_DENIALS {
                                self.refuse(refused_keys(self.database), Unavailable::Denied);
                            }
                        }
                        Some(reason) => self.refuse(MEMORY_USAGE.to_owned(), reason),
                        None => {}
                    }
                }
            }
        }
        // MEMORY USAGE counts as neither hit nor miss (Redis 7.0 and 8.0, Valkey 8.1 and 9.1).
        KeyLookups::default()
    }

    fn finish(mut self: Box<Self>, database: u32) -> KeyFindings {
        // Whatever still waits was never asked about; the frame leaves nothing.
        for (place, _) in std::mem::take(&mut self.waiting) {
            self.count(place, None);
        }
        // However few keys there are: they would be asked about in every pass.
        if self.denials > 0 && !self.is_answered && self.refused.is_none() {
            self.refuse(refused_keys(self.database), Unavailable::Denied);
        }
        let left_out = self.exhausted.saturating_add(self.too_long);
        let missing = self.refused.take().into_iter().collect();
        let Ranked {
            groups,
            overflow,
            distinct,
        } = self.ranked();
        // Casts of a count that is no larger than the keys of a database.
        let hidden = (distinct - groups.len() as f64).max(0.0) as u64;
        let mut shown: BTreeMap<String, Figures> = BTreeMap::new();
        let named = groups
            .iter()
            .map(|(name, figures)| (super::label::shown(name), *figures));
        let overflow = overflow.map(|figures| (OVERFLOW.to_owned(), figures));
        for (label, figures) in named.chain(overflow) {
            // Two names may look the same once what is no text is written as text, and a pattern may capture `overflow`.
            shown
                .entry(label)
                .and_modify(|known| known.join(figures))
                .or_insert(figures);
        }
        KeyFindings {
            samples: samples(database, shown, distinct),
            dropped: hidden.saturating_add(left_out),
            missing,
        }
    }
}

/// What the first pattern that matches captures, one after the other; `None` when none matches.
fn group_name(patterns: &[LuaPattern], key: &[u8], steps: &mut Steps) -> Result<Option<Vec<u8>>, OutOfSteps> {
    for pattern in patterns {
        let Some(found) = pattern.find(key, steps)? else {
            continue;
        };
        let mut name = Vec::new();
        for capture in found.captures {
            match capture {
                Capture::Bytes(bytes) => name.extend_from_slice(bytes),
                Capture::Position(place) => name.extend_from_slice(place.to_string().as_bytes()),
            }
        }
        return Ok(Some(name));
    }
    Ok(None)
}

fn samples(database: u32, groups: BTreeMap<String, Figures>, distinct: f64) -> Samples {
    let mut samples = Samples::new();
    let database = super::label::of_database(database);
    let label =
        |group: &str| -> Vec<Label> { vec![("db", database.clone().into()), ("key_group", group.to_owned().into())] };
    for (group, figures) in &groups {
        samples.push_with(&metrics::COUNT, label(group), figures.keys as f64);
    }
    for (group, figures) in &groups {
        if let Some(bytes) = figures.bytes {
            samples.push_with(&metrics::MEMORY, label(group), bytes as f64);
        }
    }
    let label = vec![("db", database.into())];
    samples.push_with(&metrics::DISTINCT, label, distinct.round());
    samples
}

#[cfg(test)]
mod tests;
