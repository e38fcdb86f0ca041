//! Presets of session libraries: how the keys of each look. Pure data; `sessions::detect` recognises libraries with it.
//!
//! A glob is only a prefilter, the pattern of [`super::pattern::IdPattern`] decides. Globs are Redis' own: braces stand for themselves,
//! and `-` comes first in a class, since Redis reads `[_-]` as a range that is empty. A run of `?` fixes the length of an id. The sources of
//! the facts are the libraries themselves; each preset names the file or the version that was read.

/// As many `?` as an id has characters, for globs that fix its length.
macro_rules! any {
    (22) => {
        "??????????????????????"
    };
    (24) => {
        "????????????????????????"
    };
    (26) => {
        "??????????????????????????"
    };
    (32) => {
        "????????????????????????????????"
    };
    (40) => {
        "????????????????????????????????????????"
    };
    (43) => {
        "???????????????????????????????????????????"
    };
    (52) => {
        "????????????????????????????????????????????????????"
    };
    (64) => {
        "????????????????????????????????????????????????????????????????"
    };
    (103) => {
        "???????????????????????????????????????????????????????????????????????????????????????????????????????"
    };
    (uuid) => {
        "????????-????-????-????-????????????"
    };
}

/// The pattern of a UUID as RFC 9562 writes it, in small letters.
macro_rules! uuid {
    () => {
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    };
}

/// What PHP accepts as a session id: `session.sid_length` is 22 to 256, `session.sid_bits_per_character` 4 to 6 (php.ini of PHP 7.1 to 8.4).
macro_rules! php_id {
    () => {
        "[0-9A-Za-z,-]{22,256}"
    };
}

mod dotnet;
mod go;
mod java;
mod javascript;
mod php;
mod python;
mod ruby;
mod rust;
mod table;

pub use table::markdown;

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

/// Every preset, in the order in which recognition tries them: what is more particular comes first. A key that an accepted preset claims,
/// or that it knows as auxiliary, says nothing about those behind it.
pub const ALL: &[Preset] = &[
    java::SPRING_SESSION_INDEXED,
    java::SPRING_SESSION,
    java::REDISSON_TOMCAT,
    java::SHIRO_REDIS,
    java::SA_TOKEN,
    python::DJANGO_CACHE_SESSION,
    python::DJANGO_CACHED_DB_SESSION,
    python::STARSESSIONS,
    ruby::GITLAB,
    ruby::RAILS_CACHE_STORE,
    ruby::RACK_REDIS,
    ruby::RAILS_REDIS_STORE,
    php::PHPREDIS,
    php::SYMFONY,
    php::CODEIGNITER,
    php::LARAVEL_CACHE_SESSION,
    php::MAGENTO,
    dotnet::ASPNET_SESSION_STATE,
    go::AUTHELIA,
    go::OAUTH2_PROXY,
    go::SCS,
    go::GORILLA_REDISTORE,
    go::GORILLA_REDISSTORE_V9,
    python::FLASK_SESSION,
    python::DJANGO_REDIS_SESSIONS,
    javascript::KOA_SESSION_REDIS,
    javascript::CONNECT_REDIS,
    // Only by name.
    ruby::GITLAB_AUTHENTICATED,
    javascript::AUTHJS_UPSTASH,
    go::FASTHTTP_SESSION,
    dotnet::ASPNETCORE_DISTRIBUTED_CACHE,
    go::FIBER,
    rust::ACTIX_SESSION,
    rust::TOWER_SESSIONS,
    javascript::BETTER_AUTH,
    php::MOODLE,
];

/// The preset with this name.
pub fn by_name(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}
