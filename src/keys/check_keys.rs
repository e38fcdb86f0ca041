//! `check_keys`: size and memory of every key that matches a glob.

use super::inspect::Inspector;
use super::named_keys::NamedKeys;
use super::seen::Seen;
use super::{CollectorTask, KeyContext, KeyFindings, KeyLookups, KeyTask, single_keys};
use crate::redis::{Command, Reply};
use crate::sessions::glob::Glob;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Name of the collector.
pub const COLLECTOR: &str = "check_keys";

/// Characters that make a glob more than a name.
const SPECIAL: [char; 4] = ['*', '?', '[', '\\'];

/// Adds the tasks of one database, if a pattern names it: one for the keys that SCAN finds, and one for patterns that are names.
pub(super) fn push_tasks(context: &KeyContext<'_>, tasks: &mut Vec<CollectorTask>) {
    if !context.is_on(COLLECTOR) {
        return;
    }
    let patterns = context.config.optional.keys.patterns.iter();
    let own = patterns.filter(|pattern| pattern.databases.contains(&context.database));
    let (globs, names): (Vec<&str>, Vec<&str>) = own
        .map(|pattern| pattern.glob.as_str())
        .partition(|glob| glob.contains(SPECIAL));
    // A key shows once: `check_single_keys` comes first, since it may show more of it.
    let mut elsewhere: BTreeSet<Vec<u8>> = BTreeSet::new();
    if context.is_on(single_keys::COLLECTOR) {
        let single = context.config.optional.keys.single.iter();
        let own = single.filter(|key| key.database == Some(context.database));
        elsewhere.extend(own.map(|key| key.key.clone().into_bytes()));
    }
    let names: BTreeSet<&str> = names
        .into_iter()
        .filter(|name| !elsewhere.contains(name.as_bytes()))
        .collect();
    if !names.is_empty() && !context.by_scan {
        let mut named = NamedKeys::new(COLLECTOR, context);
        for name in &names {
            named.add(context, name, false, || take_place(context.checked_keys));
        }
        named.push_to(COLLECTOR, tasks);
    }
    if !globs.is_empty() && context.by_scan {
        elsewhere.extend(names.iter().map(|name| name.as_bytes().to_vec()));
        tasks.push(CollectorTask {
            collector: COLLECTOR,
            task: Box::new(FoundKeys::new(context, &globs, elsewhere)),
        });
    }
}

/// Takes one of the keys that may still be shown.
fn take_place(places: &AtomicUsize) -> bool {
    let take = |left: usize| left.checked_sub(1);
    places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
}

/// The keys that SCAN finds.
#[derive(Debug)]
struct FoundKeys {
    /// Each glob with its group.
    globs: Vec<(Glob, usize)>,
    /// Keys that are shown by another task.
    elsewhere: BTreeSet<Vec<u8>>,
    seen: Seen,
    /// Keys that may still be shown, over all databases.
    places: Arc<AtomicUsize>,
    inspector: Inspector,
    dropped: u64,
}

impl FoundKeys {
    fn new(context: &KeyContext<'_>, globs: &[&str], elsewhere: BTreeSet<Vec<u8>>) -> Self {
        let mut inspector = Inspector::new(COLLECTOR, context);
        let globs = globs
            .iter()
            .map(|glob| (Glob::new(glob.as_bytes()), inspector.add_group(context, glob, false)))
            .collect();
        inspector.leave_to_others(elsewhere.iter().map(Vec::as_slice));
        Self {
            globs,
            elsewhere,
            // Every key that has a place is remembered, so that none takes two.
            seen: Seen::new(context.config.checked_keys),
            places: context.checked_keys.clone(),
            inspector,
            dropped: 0,
        }
    }
}

impl KeyTask for FoundKeys {
    fn offer(&mut self, key: &[u8]) {
        let mut matching = self.globs.iter().filter(|(glob, _)| glob.matches(key));
        // A key that the user may not read by one pattern may be one of another.
        let Some((_, group)) = matching.find(|(_, group)| self.inspector.may_ask(*group)) else {
            return;
        };
        if self.elsewhere.contains(key) || !self.seen.is_new(key) {
            return;
        }
        if take_place(&self.places) {
            self.inspector.want(key, *group);
        } else {
            self.dropped += 1;
        }
    }

    fn needs_scan(&self) -> bool {
        true
    }

    fn waiting(&self) -> usize {
        self.inspector.waiting()
    }

    fn push_commands(&mut self, most: usize, commands: &mut Vec<Command>) {
        self.inspector.push_commands(most, commands);
    }

    fn note(&mut self, replies: &[Reply]) -> KeyLookups {
        self.inspector.note(replies)
    }

    fn finish(self: Box<Self>, database: u32) -> KeyFindings {
        self.inspector.finish(database, self.dropped)
    }
}

#[cfg(test)]
#[path = "check_keys_tests.rs"]
mod tests;
