//! `count_keys`: how many keys match a glob, each key once.

use super::label::of_database;
use super::seen::Seen;
use super::{CollectorTask, KeyContext, KeyFindings, KeyLookups, KeyTask};
use crate::collectors::count_keys::KEYS_COUNT;
use crate::redis::{Command, Reply};
use crate::sessions::glob::Glob;

/// Name of the collector.
pub const COLLECTOR: &str = "count_keys";

/// Adds the task of one database, if a pattern names it.
pub(super) fn push_tasks(context: &KeyContext<'_>, tasks: &mut Vec<CollectorTask>) {
    if !context.is_on(COLLECTOR) {
        return;
    }
    let patterns = context.config.optional.keys.counted.iter();
    let own = patterns.filter(|pattern| pattern.databases.contains(&context.database));
    let globs = own.map(|pattern| pattern.glob.as_str());
    let task = CountKeys::new(globs, context.config.scan_remembered_keys);
    if !task.counts.is_empty() {
        tasks.push(CollectorTask {
            collector: COLLECTOR,
            task: Box::new(task),
        });
    }
}

/// Counts the keys of one database.
#[derive(Debug)]
struct CountKeys {
    counts: Vec<Count>,
    /// One memory for all patterns: what is known as a duplicate is one for each of them.
    seen: Seen,
}

#[derive(Debug)]
struct Count {
    /// The glob as it was written: label `key`.
    text: String,
    glob: Glob,
    keys: u64,
}

impl CountKeys {
    fn new<'g>(globs: impl Iterator<Item = &'g str>, remembered_keys: usize) -> Self {
        let mut counts: Vec<Count> = Vec::new();
        for text in globs {
            if counts.iter().all(|known| known.text != text) {
                counts.push(Count {
                    text: text.to_owned(),
                    glob: Glob::new(text.as_bytes()),
                    keys: 0,
                });
            }
        }
        Self {
            counts,
            seen: Seen::new(remembered_keys),
        }
    }
}

impl KeyTask for CountKeys {
    fn offer(&mut self, key: &[u8]) {
        let mut is_known_as_new = false;
        for count in &mut self.counts {
            if count.glob.matches(key) {
                if !is_known_as_new && !self.seen.is_new(key) {
                    return;
                }
                is_known_as_new = true;
                count.keys += 1;
            }
        }
    }

    fn needs_scan(&self) -> bool {
        true
    }

    fn waiting(&self) -> usize {
        0
    }

    fn push_commands(&mut self, _most: usize, _commands: &mut Vec<Command>) {}

    fn note(&mut self, _replies: &[Reply]) -> KeyLookups {
        KeyLookups::default()
    }

    fn finish(self: Box<Self>, database: u32) -> KeyFindings {
        let mut findings = KeyFindings::default();
        for count in self.counts {
            let labels = vec![("db", of_database(database).into()), ("key", count.text.into())];
            findings.samples.push_with(&KEYS_COUNT, labels, count.keys as f64);
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_counts_once_for_each_pattern_it_matches() {
        let globs = ["sess:*", "*:1", "none:*", "sess:*"];
        let mut task = CountKeys::new(globs.into_iter(), 1000);
        for key in [
            b"sess:1".as_slice(),
            b"sess:2",
            b"cart:1",
            b"sess:1",
            b"cart:1",
            b"\xff",
        ] {
            task.offer(key);
        }
        assert!(task.needs_scan() && task.waiting() == 0);
        let findings = Box::new(task).finish(3);
        let count = |glob| findings.samples.number_with("redis_keys_count", &["db3", glob]);
        assert_eq!(count("sess:*"), Some(2.0));
        assert_eq!(count("*:1"), Some(2.0));
        assert_eq!(
            count("none:*"),
            Some(0.0),
            "a database that was seen whole and has none"
        );
        assert_eq!(findings.samples.families()[0].samples.len(), 3);
    }
}
