//! `check_single_keys`: size and memory of keys that are named in full, and their values where the operator says so.

use super::inspect::Inspector;
use super::{CollectorTask, KeyContext, KeyFindings, KeyLookups, KeyTask};
use crate::redis::{Command, Reply};

/// Name of the collector.
pub const COLLECTOR: &str = "check_single_keys";

/// Adds the task of one database, if a key names it.
pub(super) fn push_tasks(context: &KeyContext<'_>, tasks: &mut Vec<CollectorTask>) {
    if !context.is_on(COLLECTOR) {
        return;
    }
    let single = context.config.optional.keys.single.iter();
    let own = single.filter(|key| key.database == Some(context.database));
    let mut inspector = Inspector::new(COLLECTOR, context);
    for key in own {
        let group = inspector.add_group(context, &key.key, key.export_value);
        if inspector.may_ask(group) {
            inspector.want(key.key.as_bytes(), group);
        }
    }
    if inspector.waiting() > 0 {
        tasks.push(CollectorTask {
            collector: COLLECTOR,
            task: Box::new(SingleKeys { inspector }),
        });
    }
}

/// Looks at the keys of one database.
#[derive(Debug)]
struct SingleKeys {
    inspector: Inspector,
}

impl KeyTask for SingleKeys {
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
        self.inspector.finish(database, 0)
    }
}
