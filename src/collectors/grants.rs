//! What an ACL user must be granted so that a collector works: every collector says it in its `Spec`, and `crate::acl` makes the line
//! of it that an administrator runs. Pure data; how a rule is written for which server is said in `crate::acl`.

use super::Server;
use crate::config::InstanceConfig;
use crate::config::StoreConfig;
use crate::config::optional::NO_CONFIG_COMMAND;
use crate::config::presets::{self, Detection};
use std::borrow::Cow;

/// One thing that a user is granted. The order is that of the rules in a line: keys, channels, commands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// The keys that this glob of Redis matches may be read.
    ReadKeys(String),
    /// The keys that this glob matches may be read and written.
    WriteKeys(String),
    /// The channels that this glob matches may be listened to.
    Channels(String),
    /// A command may be run, named as in INFO commandstats: `ping`, `config|get`.
    Command(Cow<'static, str>),
    /// Every database may be used. Only users of Valkey from 9.1 on can be kept from one (`db=0,1`), and a new user never is.
    EveryDatabase,
}

impl Grant {
    /// The right to read one key, whatever its name would mean as a glob.
    pub fn read_key(key: &str) -> Self {
        Self::ReadKeys(escaped(key))
    }
}

/// How a collector says what it needs on this server with this configuration. What the server does not have at all need not be left out:
/// `crate::acl::servers` knows which commands came when.
pub type Grants = fn(&InstanceConfig, &Server) -> Vec<Grant>;

/// A glob that matches this text and nothing else.
pub fn escaped(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            glob.push('\\');
        }
        glob.push(letter);
    }
    glob
}

/// The right to run one command.
pub const fn command(name: &'static str) -> Grant {
    Grant::Command(Cow::Borrowed(name))
}

/// The right to run each of these.
pub fn commands(names: &[&'static str]) -> Vec<Grant> {
    names.iter().copied().map(command).collect()
}

/// For collectors that read INFO and nothing else.
pub fn info(_config: &InstanceConfig, _server: &Server) -> Vec<Grant> {
    commands(&["info"])
}

/// CONFIG GET, unless nobody may ask for it (`compatibility.config_command`).
pub fn config_get(config: &InstanceConfig) -> Option<Grant> {
    let is_asked = config.optional.compatibility.config_command != NO_CONFIG_COMMAND;
    is_asked.then(|| command("config|get"))
}

/// Every store that may be counted: those of the file, or one for each library that `sessions: auto` recognises.
pub fn stores(config: &InstanceConfig) -> Vec<StoreConfig> {
    if !config.sessions.is_auto() {
        return config.sessions.configured().to_vec();
    }
    let recognised = presets::ALL
        .iter()
        .filter(|preset| matches!(preset.detection, Detection::Auto { .. }));
    let database = config.address.database;
    recognised
        .map(|preset| StoreConfig::of_preset(preset, database))
        .collect()
}

/// The keys of stores, each glob once for each store.
pub fn keys_of<'all>(stores: impl IntoIterator<Item = &'all StoreConfig>) -> impl Iterator<Item = Grant> {
    stores
        .into_iter()
        .flat_map(|store| store.matches.iter().cloned().map(Grant::ReadKeys))
}

/// What a pass over a database needs, whatever it looks for. INFO tells who answers and whether anything was flushed, DBSIZE how much there
/// was to see; a pass goes on without either.
pub fn of_a_pass() -> Vec<Grant> {
    commands(&["info", "select", "dbsize", "scan"])
}

/// READONLY, without which a replica in a cluster says nothing about its keys.
pub fn of_replicas_in_clusters(server: &Server) -> Option<Grant> {
    server.cluster_enabled.then(|| command("readonly"))
}

#[cfg(test)]
mod tests {
    use super::super::{ALL, Build, Options};
    use super::*;
    use crate::acl::servers;
    use crate::config::{Environment, load_str};
    use std::path::Path;

    #[test]
    fn what_a_collector_asks_a_server_for_is_among_its_grants() {
        let text = "instances:\n  - address: 'a:1'\n    collectors: { client_list: on, config_all: on, system: on, modules: on, \
                    cluster_slot_stats: on, search: on, sentinel_peers: on }\n    operations: on\n    \
                    compatibility: { rdb_file_size: on }\n    expect: { persistence: rdb }";
        let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        let config = &loaded.config.instances[0];
        let options = Options {
            label_values: config.label_values,
            expect: config.expect.clone(),
            operations: config.operations,
            optional: config.optional.clone(),
            config_all: true,
        };
        let mut asked_for = 0;
        for server in servers::common() {
            for is_sentinel in [false, true] {
                let server = Server {
                    is_sentinel,
                    ..server.clone()
                };
                for spec in ALL {
                    let Build::FromReplies(build) = spec.build else {
                        continue;
                    };
                    let granted: Vec<Grant> = (spec.grants)(config, &server)
                        .into_iter()
                        .filter(|grant| servers::has(&server, grant))
                        .collect();
                    let said = || format!("{} on {}: {granted:?}", spec.name, servers::name(&server));
                    assert!(granted.contains(&command("info")), "{}", said());
                    for request in build(&options).requests(Some(&server)) {
                        let name = request.name();
                        if is_sentinel && !crate::collectors::sentinel::has_command(&name) {
                            continue;
                        }
                        asked_for += 1;
                        // A Tile38 has no users.
                        let is_granted = granted.contains(&Grant::Command(name.clone().into()));
                        assert!(is_granted || spec.name == "tile38", "{name}: {}", said());
                    }
                }
            }
        }
        assert!(asked_for > 100, "{asked_for}");
    }

    #[test]
    fn a_key_is_a_glob_for_itself() {
        assert_eq!(escaped("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\");
        assert_eq!(Grant::read_key("a?"), Grant::ReadKeys("a\\?".to_owned()));
    }
}
