//! Options of the collectors that are off by default, and of what only `redis_exporter` knows. Types and defaults; each section's shape in
//! the file is read by the module that it names.

use super::pattern::IdPattern;
use super::types::SECRET_PLACEHOLDER;
use std::path::PathBuf;
use std::sync::Arc;

/// Keys of some databases, by a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    /// A glob as Redis reads it. Its text is the label `key` of `redis_keys_count`.
    pub glob: String,
    /// The databases that hold the keys; never empty once resolved (the address's own then).
    pub databases: Vec<u32>,
}

/// One key that is named in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// The key, byte for byte.
    pub key: String,
    /// The database that holds it; `None` is the address's own, and is filled in when resolved.
    pub database: Option<u32>,
    /// Whether the key's content may become a value, or a label value (`redis_key_value`, `redis_key_value_as_string`). Never unless the
    /// operator says so, and then with a warning at start.
    pub export_value: bool,
}

/// `check_keys`, `check_single_keys` and `count_keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChecks {
    /// `check_keys`: size and memory of every key that matches.
    pub patterns: Vec<KeyPattern>,
    /// `check_single_keys`: the same for keys named in full.
    pub single: Vec<NamedKey>,
    /// `count_keys`: how many keys match.
    pub counted: Vec<KeyPattern>,
}

/// `key_groups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGroupsConfig {
    /// Patterns of Lua's `string.find`; the first that matches a key names its group by its captures.
    pub patterns: Vec<String>,
    /// Most groups per database; the rest is counted together as `overflow`.
    pub max_groups: usize,
    /// The databases whose keys are counted; empty for every one that holds keys, as the peer does it.
    pub databases: Vec<u32>,
}

/// `streams`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsConfig {
    /// Streams found by a glob.
    pub patterns: Vec<KeyPattern>,
    /// Streams named in full; `export_value` has no meaning here.
    pub single: Vec<NamedKey>,
    /// Whether there are series per consumer.
    pub consumers: bool,
}

impl Default for StreamsConfig {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            single: Vec::new(),
            consumers: true,
        }
    }
}

impl StreamsConfig {
    /// Whether no stream is named.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.single.is_empty()
    }
}

/// One item of `lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LuaScript {
    /// The file, read again before each run.
    pub file: PathBuf,
    /// Label `filename`, unique within the instance: the path as it was written, as `redis_exporter` has it, unless a `name` was given.
    pub name: String,
    /// Whether it is run with EVAL_RO, which refuses every command that writes; else with EVAL, for servers that do not have it (Redis
    /// before 7.0).
    pub read_only: bool,
}

/// `client_list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientListConfig {
    /// Whether `redis_connected_client_info` has the label `port`.
    pub port: bool,
    /// Most clients that are shown, 0 to 10,000; 0 shows only how many are idle.
    pub max_clients: usize,
}

/// Upper bound of `client_list.max_clients`: each is a dozen series, and this many a body of twenty megabytes.
pub const MAX_SHOWN_CLIENTS: usize = 10_000;

/// `client_list.max_clients`: a pool of every worker of a large application, and twelve thousand series.
pub const DEFAULT_MAX_CLIENTS: usize = 1_000;

impl Default for ClientListConfig {
    fn default() -> Self {
        Self {
            port: false,
            max_clients: DEFAULT_MAX_CLIENTS,
        }
    }
}

/// `client_counts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientCountsConfig {
    /// Whether clients are counted by ACL user.
    pub by_user: bool,
    /// Whether they are counted by name.
    pub by_name: bool,
}

impl Default for ClientCountsConfig {
    fn default() -> Self {
        Self {
            by_user: true,
            by_name: true,
        }
    }
}

/// `search`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchConfig {
    /// A regular expression that the names of indexes must match somewhere, byte by byte; `None` is every index.
    pub indexes: Option<IdPattern>,
}

/// What `redis_exporter` lets its users change about things that both exporters do by default (`compatibility`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compatibility {
    /// Name under which the server knows CONFIG (`rename-command`); [`NO_CONFIG_COMMAND`] when it shall not be asked at all.
    pub config_command: String,
    /// Whether connections take a name with CLIENT SETNAME.
    pub set_client_name: bool,
    /// Whether `redis_db_keys` and its siblings are 0 for the empty databases up to `databases`.
    pub empty_databases: bool,
    /// Whether LATENCY LATEST and LATENCY HISTOGRAM are asked for.
    pub latency_commands: bool,
    /// Whether the size of the RDB file is read from this machine's file system (`redis_rdb_current_size_bytes`).
    pub rdb_file_size: bool,
    /// Whether key checks leave a primary alone.
    pub keys_at_replicas_only: bool,
    /// Whether the server is a Tile38, which is asked `SERVER EXT`.
    pub tile38: bool,
}

/// `config_command` of a server that nobody may ask CONFIG, as `redis_exporter` writes it.
pub const NO_CONFIG_COMMAND: &str = "-";

/// `config_command` by default: the name that Redis gives the command.
pub const CONFIG_COMMAND: &str = "CONFIG";

impl Compatibility {
    /// Whether the name of CONFIG is one that somebody made up, mostly so that nobody else may use the command. Servers compare names of
    /// commands without regard to case.
    pub fn has_secret_config_command(&self) -> bool {
        self.config_command != NO_CONFIG_COMMAND && !self.config_command.eq_ignore_ascii_case(CONFIG_COMMAND)
    }

    /// The name of CONFIG as it may be shown to whoever asks: `<secret>` when it is one that somebody made up.
    pub fn shown_config_command(&self) -> &str {
        if self.has_secret_config_command() {
            SECRET_PLACEHOLDER
        } else {
            &self.config_command
        }
    }
}

impl Default for Compatibility {
    fn default() -> Self {
        Self {
            config_command: CONFIG_COMMAND.to_owned(),
            set_client_name: true,
            empty_databases: true,
            latency_commands: true,
            rdb_file_size: false,
            keys_at_replicas_only: false,
            tile38: false,
        }
    }
}

/// All of them, of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Optional {
    /// `check_keys`, `check_single_keys`, `count_keys`
    pub keys: KeyChecks,
    /// `key_groups`; `None` when not asked for.
    pub key_groups: Option<KeyGroupsConfig>,
    /// `streams`
    pub streams: StreamsConfig,
    /// `lua`
    /// Shared by all instances that take them from one place of the file.
    pub lua: Arc<[LuaScript]>,
    /// `client_list`
    pub client_list: ClientListConfig,
    /// `client_counts`
    pub client_counts: ClientCountsConfig,
    /// `search`
    pub search: SearchConfig,
    /// `compatibility`
    pub compatibility: Compatibility,
}

impl Optional {
    /// Whether a collector that is off by default runs because its section says what it is to do.
    pub(super) fn switches_on(&self, collector: &str) -> bool {
        match collector {
            "check_keys" => !self.keys.patterns.is_empty(),
            "check_single_keys" => !self.keys.single.is_empty(),
            "count_keys" => !self.keys.counted.is_empty(),
            "key_groups" => self.key_groups.is_some(),
            "streams" => !self.streams.is_empty(),
            "lua" => !self.lua.is_empty(),
            "search" => self.search.indexes.is_some(),
            _ => false,
        }
    }
}

impl Optional {
    /// The section, as an example, that a collector needs and that is not there; `None` where it is, or where none is needed.
    pub(super) fn idle_without(&self, collector: &str) -> Option<&'static str> {
        let section = match collector {
            "check_keys" => "check_keys: [ { match: \"cart:*\" } ]",
            "check_single_keys" => "check_single_keys: [ { key: \"queue\" } ]",
            "count_keys" => "count_keys: [ { match: \"cart:*\" } ]",
            "key_groups" => "key_groups: { patterns: [ \"^(.-):\" ] }",
            "streams" => "streams: { patterns: [ { match: \"orders:*\" } ] }",
            "lua" => "lua: [ { file: metrics.lua } ]",
            _ => return None,
        };
        (!self.switches_on(collector)).then_some(section)
    }
}

/// The sections of one level; what is `None` was not said there. The nearest level that says a section says it whole, but for
/// `compatibility`, whose switches stand alone.
#[derive(Debug, Clone, Default)]
pub(super) struct OptionalLayer {
    pub(super) check_keys: Option<Vec<KeyPattern>>,
    pub(super) check_single_keys: Option<Vec<NamedKey>>,
    pub(super) count_keys: Option<Vec<KeyPattern>>,
    pub(super) key_groups: Option<KeyGroupsConfig>,
    pub(super) streams: Option<StreamsConfig>,
    pub(super) lua: Option<Arc<[LuaScript]>>,
    pub(super) client_list: Option<ClientListConfig>,
    pub(super) client_counts: Option<ClientCountsConfig>,
    pub(super) search: Option<SearchConfig>,
    pub(super) compatibility: CompatibilityLayer,
}

/// `compatibility` of one level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CompatibilityLayer {
    pub(super) config_command: Option<String>,
    pub(super) set_client_name: Option<bool>,
    pub(super) empty_databases: Option<bool>,
    pub(super) latency_commands: Option<bool>,
    pub(super) rdb_file_size: Option<bool>,
    pub(super) keys_at_replicas_only: Option<bool>,
    pub(super) tile38: Option<bool>,
}

/// Each glob once for each database: one that is written with its database and one without may mean the same, which shows only when the
/// address is known, where `defaults` are for many.
fn each_once(patterns: Vec<KeyPattern>) -> Vec<KeyPattern> {
    let mut kept: Vec<KeyPattern> = Vec::with_capacity(patterns.len());
    for mut pattern in patterns {
        let is_known = |database: &u32| {
            kept.iter()
                .any(|known| known.glob == pattern.glob && known.databases.contains(database))
        };
        let new: Vec<u32> = pattern
            .databases
            .iter()
            .copied()
            .filter(|database| !is_known(database))
            .collect();
        if !new.is_empty() {
            pattern.databases = new;
            kept.push(pattern);
        }
    }
    kept
}

/// The same of keys that are named in full; the value is shown where one of the two says so.
fn each_key_once(keys: Vec<NamedKey>) -> Vec<NamedKey> {
    let mut kept: Vec<NamedKey> = Vec::with_capacity(keys.len());
    for key in keys {
        let same = |known: &&mut NamedKey| known.key == key.key && known.database == key.database;
        match kept.iter_mut().find(same) {
            Some(known) => known.export_value |= key.export_value,
            None => kept.push(key),
        }
    }
    kept
}

/// Merges the levels, the nearest first. `database` is the address's own.
pub(super) fn resolve(layers: [&OptionalLayer; 3], database: u32) -> Optional {
    fn nearest<T: Clone>(layers: [&OptionalLayer; 3], read: fn(&OptionalLayer) -> &Option<T>) -> Option<T> {
        layers.into_iter().find_map(|layer| read(layer).clone())
    }
    let patterns = |patterns: Option<Vec<KeyPattern>>| -> Vec<KeyPattern> {
        let mut patterns = patterns.unwrap_or_default();
        for pattern in patterns.iter_mut().filter(|pattern| pattern.databases.is_empty()) {
            pattern.databases.push(database);
        }
        each_once(patterns)
    };
    let named = |keys: Option<Vec<NamedKey>>| -> Vec<NamedKey> {
        let mut keys = keys.unwrap_or_default();
        for key in &mut keys {
            key.database.get_or_insert(database);
        }
        each_key_once(keys)
    };
    let switch = |read: fn(&CompatibilityLayer) -> Option<bool>, default: bool| {
        let written = layers.into_iter().find_map(|layer| read(&layer.compatibility));
        written.unwrap_or(default)
    };
    let standard = Compatibility::default();
    let config_command = layers
        .into_iter()
        .find_map(|layer| layer.compatibility.config_command.clone());
    let streams = nearest(layers, |layer| &layer.streams).unwrap_or_default();
    Optional {
        keys: KeyChecks {
            patterns: patterns(nearest(layers, |layer| &layer.check_keys)),
            single: named(nearest(layers, |layer| &layer.check_single_keys)),
            counted: patterns(nearest(layers, |layer| &layer.count_keys)),
        },
        key_groups: nearest(layers, |layer| &layer.key_groups),
        streams: StreamsConfig {
            patterns: patterns(Some(streams.patterns)),
            single: named(Some(streams.single)),
            consumers: streams.consumers,
        },
        lua: nearest(layers, |layer| &layer.lua).unwrap_or_default(),
        client_list: nearest(layers, |layer| &layer.client_list).unwrap_or_default(),
        client_counts: nearest(layers, |layer| &layer.client_counts).unwrap_or_default(),
        search: nearest(layers, |layer| &layer.search).unwrap_or_default(),
        compatibility: Compatibility {
            config_command: config_command.unwrap_or(standard.config_command),
            set_client_name: switch(|layer| layer.set_client_name, standard.set_client_name),
            empty_databases: switch(|layer| layer.empty_databases, standard.empty_databases),
            latency_commands: switch(|layer| layer.latency_commands, standard.latency_commands),
            rdb_file_size: switch(|layer| layer.rdb_file_size, standard.rdb_file_size),
            keys_at_replicas_only: switch(|layer| layer.keys_at_replicas_only, standard.keys_at_replicas_only),
            tile38: switch(|layer| layer.tile38, standard.tile38),
        },
    }
}
