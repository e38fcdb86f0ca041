//! Presets of session libraries: how the keys of each look. Pure data; `sessions::detect` recognises libraries with it.

use std::time::Duration;

/// The type of a key, as TYPE names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyType {
    /// `string`
    String,
    /// `hash`
    Hash,
    /// `list`
    List,
    /// `set`
    Set,
    /// `zset`
    SortedSet,
    /// `stream`
    Stream,
}

impl KeyType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::String,
        Self::Hash,
        Self::List,
        Self::Set,
        Self::SortedSet,
        Self::Stream,
    ];

    /// The word of TYPE (Redis 1.0, `stream` since 5.0), which the configuration uses too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Stream => "stream",
        }
    }
}

/// How the TTL of a session moves while it is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TtlKind {
    /// Set anew when the session is used: what is left tells how long it was idle.
    #[default]
    Sliding,
    /// Set once at creation: what is left tells how old it is.
    Absolute,
}

/// How the keys of a session library look.
#[derive(Debug)]
pub struct Preset {
    /// Name in the configuration; label `store` under `sessions: auto`.
    pub name: &'static str,
    /// The library, for people.
    pub library: &'static str,
    /// Redis globs, a prefilter.
    pub matches: &'static [&'static str],
    /// Redis globs of auxiliary keys.
    pub excludes: &'static [&'static str],
    /// The pattern that decides, for [`super::pattern::IdPattern`].
    pub id: &'static str,
    /// The Redis type of a session.
    pub key_type: Option<KeyType>,
    /// How the TTL moves.
    pub ttl: TtlKind,
    /// How much longer than the session its key lives.
    pub ttl_offset: Duration,
    /// Sorted set of living sessions by expiry in milliseconds since 1970.
    pub index_key: Option<&'static str>,
    /// How `sessions: auto` uses it.
    pub detection: Detection,
    /// Keys that are sessions, for tests and documentation.
    pub samples: &'static [&'static str],
    /// Keys that are not.
    pub counter_samples: &'static [&'static str],
}

/// How `sessions: auto` uses a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// Recognised by this pattern, which may be stricter than the one that decides; presets are tried in the order of [`ALL`].
    Auto {
        /// The ids that the library itself makes.
        id: &'static str,
    },
    /// A mere shape, or a layout that something else has too: only by name.
    ByName,
}

/// Every preset, in the order in which recognition tries them: what is more particular comes first.
pub const ALL: &[Preset] = &[];

/// The preset with this name.
pub fn by_name(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}
