//! Drives a task as the scan does, against answers of a test.

use super::{KeyFindings, KeyLookups, KeyTask};
use crate::redis::{Command, Reply};

/// Keys of one page, and commands of one batch.
pub(super) const PAGE: usize = 100;

/// What a task did.
pub(super) struct Driven {
    pub(super) findings: KeyFindings,
    /// Every command as text, in the order in which they were sent.
    pub(super) sent: Vec<String>,
    /// How many commands each batch had.
    pub(super) batches: Vec<usize>,
    pub(super) lookups: KeyLookups,
}

/// Offers the keys page by page and answers what the task asks, until it is content.
pub(super) fn drive(
    mut task: Box<dyn KeyTask>,
    database: u32,
    keys: &[&[u8]],
    mut answer: impl FnMut(&[&[u8]]) -> Reply,
) -> Driven {
    let mut driven = Driven {
        findings: KeyFindings::default(),
        sent: Vec::new(),
        batches: Vec::new(),
        lookups: KeyLookups::default(),
    };
    // One page at least: a task that needs no scan is asked too.
    let pages = keys.chunks(PAGE).chain(keys.is_empty().then_some(keys));
    for page in pages {
        page.iter().for_each(|key| task.offer(key));
        while task.waiting() > 0 {
            let mut commands: Vec<Command> = Vec::new();
            task.push_large(&mut commands);
            if commands.is_empty() {
                task.push_commands(PAGE, &mut commands);
            }
            assert!(!commands.is_empty() && commands.len() <= PAGE, "{task:?}");
            driven.batches.push(commands.len());
            let mut replies = Vec::new();
            for command in &commands {
                let words: Vec<&[u8]> = command.words().iter().map(|word| &**word).collect();
                driven.sent.push(words.join(&b' ').escape_ascii().to_string());
                replies.push(answer(&words));
            }
            let lookups = task.note(&replies);
            driven.lookups.all += lookups.all;
            driven.lookups.misses += lookups.misses;
        }
    }
    driven.findings = task.finish(database);
    driven
}

/// An error reply.
pub(super) fn error(text: &'static str) -> Reply {
    Reply::Error(text.into())
}
