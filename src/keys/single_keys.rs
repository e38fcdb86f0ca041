//! `check_single_keys`: size and memory of keys that are named in full, and their values where the operator says so.

use super::named_keys::NamedKeys;
use super::{CollectorTask, KeyContext};

/// Name of the collector.
pub const COLLECTOR: &str = "check_single_keys";

/// Adds the task of one database, if a key names it.
pub(super) fn push_tasks(context: &KeyContext<'_>, tasks: &mut Vec<CollectorTask>) {
    if !context.is_on(COLLECTOR) || context.by_scan {
        return;
    }
    let single = context.config.optional.keys.single.iter();
    let mut own = single.filter(|key| key.database == Some(context.database)).peekable();
    if own.peek().is_none() {
        return;
    }
    let mut named = NamedKeys::new(COLLECTOR, context);
    for key in own {
        named.add(context, &key.key, key.export_value, || true);
    }
    named.push_to(COLLECTOR, tasks);
}
