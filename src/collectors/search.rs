//! Collector `search`: what FT.INFO says of each search index, of RediSearch (its own module, and part of Redis 8) or valkey-search.

mod fields;

use super::application::number::label_value;
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::config::optional::SearchConfig;
use crate::config::pattern::IdPattern;
use crate::metric::{Descriptor, Samples};
use crate::redis::{Command, Reply};
use fields::FIELDS;
use std::collections::BTreeSet;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "search",
    help: "Search indexes: documents, sizes and the state of indexing.",
    default_on: false,
    schedule: Schedule::Info,
    grants: |_, _| grants::commands(&["info", "ft._list", "ft.info"]),
    descriptors: || {
        FIELDS
            .iter()
            .map(|field| &field.descriptor)
            .collect::<Vec<&'static Descriptor>>()
    },
    build: Build::FromReplies(|options| {
        let SearchConfig { indexes } = options.optional.search.clone();
        Box::new(Search {
            indexes,
            most: options.label_values,
        })
    }),
};

struct Search {
    indexes: Option<IdPattern>,
    /// Most indexes that are asked about (`limits.label_values`).
    most: usize,
}

/// The names of all indexes of the database (RediSearch 2.0, valkey-search 1.0).
fn list() -> Command {
    Command::new(1, &["FT._LIST"])
}

/// What is to be known of one index (RediSearch 1.0, valkey-search 1.0).
fn info(name: &[u8]) -> Command {
    Command::new(1, &["FT.INFO"]).arg(name)
}

impl Search {
    /// The names that are asked about, in their order and each once, and how many were left out.
    fn wanted<'r>(&self, list: &'r Reply) -> Option<(BTreeSet<&'r [u8]>, usize)> {
        let mut names = BTreeSet::new();
        for name in list.as_array()? {
            let name = name.as_bytes()?;
            if self.indexes.as_ref().is_none_or(|pattern| pattern.matches(name)) {
                names.insert(name);
            }
        }
        let all = names.len();
        names.retain(|name| label_value(name).is_some());
        while names.len() > self.most {
            names.pop_last();
        }
        let dropped = all - names.len();
        Some((names, dropped))
    }
}

impl Collector for Search {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        vec![list()]
    }

    fn follow_up(&self, context: &PollContext<'_>) -> Vec<Command> {
        let Ok(reply) = context.reply(&list()) else {
            return Vec::new();
        };
        let (names, _) = self.wanted(reply).unwrap_or_default();
        names.into_iter().map(info).collect()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let command = list();
        let reply = context.reply(&command)?;
        let Some((names, dropped)) = self.wanted(reply) else {
            return Err(CollectError::shape(&command, "a list of names"));
        };
        let mut samples = Samples::new();
        samples.note_dropped(dropped);
        for name in names {
            let command = info(name);
            let reply = match context.reply(&command) {
                Ok(reply) => reply,
                // An index that was dropped since it was listed.
                Err(CollectError::Failed { .. }) => continue,
                Err(error) => return Err(error),
            };
            let Some(elements) = reply.as_array() else {
                return Err(CollectError::shape(&command, "a list of names and values"));
            };
            let label = label_value(name).unwrap_or_default();
            for (field, value) in fields::read(elements) {
                samples.push_with(&field.descriptor, vec![("index_name", label.clone().into())], value);
            }
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests;
