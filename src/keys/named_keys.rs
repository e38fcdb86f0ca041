//! Keys that are named in full, which take no SCAN: those of `check_single_keys`, and patterns of `check_keys` without a special character.

use super::inspect::Inspector;
use super::left_alone::Why;
use super::{CollectorTask, KeyContext, KeyFindings, KeyLookups, KeyTask};
use crate::redis::{Command, Reply};

/// Looks at named keys of one database.
#[derive(Debug)]
pub(super) struct NamedKeys {
    inspector: Inspector,
    dropped: u64,
}

impl NamedKeys {
    /// A task of a collector that looks at no key yet.
    pub(super) fn new(collector: &'static str, context: &KeyContext<'_>) -> Self {
        Self {
            inspector: Inspector::new(collector, context),
            dropped: 0,
        }
    }

    /// Takes a key, unless it is known that the user may not read it; `exports` says whether its value is shown. `take_place` says whether
    /// there is room for it.
    pub(super) fn add(
        &mut self,
        context: &KeyContext<'_>,
        key: &str,
        exports: bool,
        take_place: impl FnOnce() -> bool,
    ) {
        let group = self.inspector.add_group(context, key, exports);
        if !self.inspector.may_ask(group) {
            return;
        }
        // A key of another node takes no place here.
        if context.left_alone.why(context.database, key.as_bytes()) == Some(Why::Elsewhere) {
            return;
        }
        if take_place() {
            self.inspector.want(key.as_bytes(), group);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds it to the tasks of a database, unless it has nothing to do and nothing to say.
    pub(super) fn push_to(self, collector: &'static str, tasks: &mut Vec<CollectorTask>) {
        if self.dropped > 0 || !self.inspector.is_idle() {
            tasks.push(CollectorTask {
                collector,
                task: Box::new(self),
            });
        }
    }
}

impl KeyTask for NamedKeys {
    fn offer(&mut self, _key: &[u8]) {}

    fn needs_scan(&self) -> bool {
        false
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
