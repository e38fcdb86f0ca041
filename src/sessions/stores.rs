//! Which store a key belongs to, under which `app`, and from which source.

use super::glob::Glob;
use crate::config::StoreConfig;
use crate::config::pattern::IdPattern;
use crate::metric::OTHER;

/// Longest key that is held against patterns, in bytes. Session keys are shorter than 200; Redis allows 512 MiB, and one glob over
/// such a key would hold a worker of the runtime for a second. Longer keys count as examined and match nothing.
pub const MAX_MATCHED_KEY_BYTES: usize = 16 * 1024;

/// A store, ready to decide about keys.
#[derive(Debug, Clone)]
pub struct Store {
    matches: Vec<Glob>,
    excludes: Vec<Glob>,
    id: Option<IdPattern>,
    /// Keys that begin with it are the synthetic session's. Empty means that there are none.
    reserved_prefix: Box<[u8]>,
    databases: Vec<u32>,
    sources: Vec<(Box<str>, Vec<Glob>)>,
    has_app: bool,
}

impl Store {
    /// From the configuration of a store. No key with `reserved_prefix` (the synthetic session's) belongs to it.
    pub fn new(store: &StoreConfig, reserved_prefix: &str) -> Self {
        let compile = |globs: &[String]| globs.iter().map(|glob| Glob::new(glob.as_bytes())).collect();
        Self {
            matches: compile(&store.matches),
            excludes: compile(&store.excludes),
            id: store.id.clone(),
            reserved_prefix: reserved_prefix.as_bytes().into(),
            databases: store.databases.clone(),
            sources: store
                .sources
                .iter()
                .map(|rule| (rule.source.as_str().into(), compile(&rule.matches)))
                .collect(),
            has_app: store.app_label && store.id.as_ref().is_some_and(IdPattern::has_app),
        }
    }

    /// Whether the store lives in this database.
    pub fn is_in(&self, database: u32) -> bool {
        self.databases.contains(&database)
    }

    /// Whether a key is a session of the store: one of the globs matches, none of the excluded ones does, and the id pattern
    /// agrees. A key over [`MAX_MATCHED_KEY_BYTES`] does not belong to any store.
    pub fn contains(&self, key: &[u8]) -> bool {
        if key.len() > MAX_MATCHED_KEY_BYTES {
            return false;
        }
        self.matches.iter().any(|glob| glob.matches(key))
            && !self.excludes.iter().any(|glob| glob.matches(key))
            && self.id.as_ref().is_none_or(|id| id.matches(key))
            && (self.reserved_prefix.is_empty() || !key.starts_with(&self.reserved_prefix))
    }

    /// The part of a session's key that becomes the label `app`; `None` where the store has no such label or the group took no part.
    pub fn app<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        self.id.as_ref().filter(|_| self.has_app)?.app(key)
    }

    /// Where a new session comes from, by its key: the first rule that matches, else [`OTHER`].
    pub fn source(&self, key: &[u8]) -> &str {
        let rule = self
            .sources
            .iter()
            .find(|(_, globs)| globs.iter().any(|glob| glob.matches(key)));
        rule.map_or(OTHER, |(source, _)| source)
    }
}

/// Stores for the tests of this room and of the poller.
#[cfg(test)]
pub(crate) mod testing {
    use crate::config::presets::TtlKind;
    use crate::config::{CountMode, EventsMode, StoreConfig};
    use std::time::Duration;

    /// A store of database 0 with this name and the keys `NAME:*`.
    pub(crate) fn store(name: &str) -> StoreConfig {
        StoreConfig {
            name: name.to_owned(),
            preset: None,
            matches: vec![format!("{name}:*")],
            excludes: Vec::new(),
            id: None,
            key_type: None,
            ttl: TtlKind::Sliding,
            ttl_offset: Duration::ZERO,
            index_key: None,
            databases: vec![0],
            capacity: None,
            expected_ttl: None,
            count: CountMode::Auto,
            events: EventsMode::Auto,
            sources: Vec::new(),
            encryption: None,
            app_label: false,
        }
    }
}
