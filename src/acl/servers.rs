//! Which server a line is for: what an operator calls it, and which commands and kinds of rules it knows. A server refuses a whole
//! `ACL SETUSER` for one command that it does not have.
//!
//! Sources: the command tables and release notes of Redis 6.0 to 8.8 and of Valkey 7.2 to 9.1. Lines are tried against Redis 7.0 and 8.0 and
//! Valkey 8.1 and 9.1 (`tests/servers/least_privilege.rs`); for the others the documentation stands alone.

use crate::collectors::Server;
use crate::collectors::grants::Grant;
use crate::collectors::identity::version_numbers;

/// A version as [`Server`] has it.
type Version = (u32, u32, u32);

/// The first Redis with users.
const USERS_SINCE: Version = (6, 0, 0);
/// The first Redis with rules for channels; before it every user may listen to every channel.
const CHANNEL_RULES_SINCE: Version = (6, 2, 0);
/// The first Redis that grants reading without writing (`%R~`).
const READING_SINCE: Version = (7, 0, 0);

/// What every Valkey writes as `redis_version`: it is compatible with that Redis.
const REDIS_OF_VALKEY: Version = (7, 2, 4);
/// What KeyDB is compatible with.
const REDIS_OF_KEYDB: Version = (6, 2, 0);

/// Commands that not every server with users has: the Redis and the Valkey that brought each, `None` where none did.
const SINCE: [(&str, Option<Version>, Option<Version>); 8] = [
    ("latency|histogram", Some((7, 0, 0)), Some((7, 2, 0))),
    ("cluster|shards", Some((7, 0, 0)), Some((7, 2, 0))),
    ("eval_ro", Some((7, 0, 0)), Some((7, 2, 0))),
    ("client|no-touch", Some((7, 2, 0)), Some((7, 2, 0))),
    ("cluster|slot-stats", Some((8, 2, 0)), Some((8, 0, 0))),
    ("commandlog|len", None, Some((8, 1, 0))),
    ("commandlog|get", None, Some((8, 1, 0))),
    // The type `array`.
    ("arcount", Some((8, 8, 0)), None),
];

/// The servers whose lines are shown when nobody says which server there is: those at which something changes.
const COMMON: [&str; 10] = [
    "redis-6.0",
    "redis-6.2",
    "redis-7.0",
    "redis-7.2",
    "redis-8.0",
    "redis-8.2",
    "valkey-7.2",
    "valkey-8.0",
    "valkey-8.1",
    "valkey-9.0",
];

/// What is assumed where nobody knows the server: the oldest whose line all its successors take, and Valkey with them.
pub const ASSUMED: &str = "redis-7.0";

/// The words that [`parse`] takes, for messages.
pub const EXPECTED: &str = "redis-6.2, redis-7, redis-8.2, valkey-8, valkey-9.1 or the like, keydb, dragonfly, sentinel, or `all` for the common ones";

/// The server of this name: a product and the least version, `redis-7` or `valkey-8.1`. `None` for anything else.
///
/// Whether it is in a cluster is unknown, so that what a node of one needs is in its line.
pub fn parse(name: &str) -> Option<Server> {
    let (product, version) = match name.split_once('-') {
        Some((product, version)) => (product, Some(version)),
        None => (name, None),
    };
    let is_version = |version: &str| {
        let mut parts = version.split('.');
        version.len() <= MAX_VERSION_BYTES
            && version.split('.').count() <= 3
            && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if version.is_some_and(|version| !is_version(version)) {
        return None;
    }
    let numbers = version.map(version_numbers);
    let (redis_version, numbers) = match (product, numbers) {
        ("redis", Some(numbers)) => (numbers, numbers),
        ("valkey", Some(numbers)) => (REDIS_OF_VALKEY, numbers),
        // Users came to Sentinel with 6.2.
        ("sentinel", numbers) => {
            let numbers = numbers.unwrap_or(CHANNEL_RULES_SINCE);
            (numbers, numbers)
        }
        ("keydb", numbers) => (REDIS_OF_KEYDB, numbers.unwrap_or_default()),
        // A constant of the server itself.
        ("dragonfly", numbers) => ((7, 4, 0), numbers.unwrap_or_default()),
        _ => return None,
    };
    let is_sentinel = product == "sentinel";
    Some(Server {
        product: if is_sentinel { "redis" } else { product }.to_owned(),
        version: version.unwrap_or_default().to_owned(),
        version_numbers: numbers,
        redis_version,
        cluster_enabled: !is_sentinel,
        is_sentinel,
        run_id: String::new(),
    })
}

/// Longest version that is read; `255.255.255` has eleven.
const MAX_VERSION_BYTES: usize = 16;

/// The servers of [`COMMON`].
pub fn common() -> Vec<Server> {
    COMMON.into_iter().filter_map(parse).collect()
}

/// What people call it: `Redis 7.0`, `Valkey 8.1.1`.
pub fn name(server: &Server) -> String {
    let product = match server.product.as_str() {
        "redis" => "Redis",
        "valkey" => "Valkey",
        "keydb" => "KeyDB",
        "dragonfly" => "Dragonfly",
        "" => "a server of unknown name",
        other => other,
    };
    let sentinel = if server.is_sentinel { ", a Sentinel" } else { "" };
    match server.version.as_str() {
        "" => format!("{product}{sentinel}"),
        version => format!("{product} {version}{sentinel}"),
    }
}

/// Whether it has users at all; where its version is unknown it is taken for one that has.
pub fn has_users(server: &Server) -> bool {
    server.redis_version >= USERS_SINCE || server.redis_version == Version::default()
}

/// Whether it has rules for channels.
pub fn has_channel_rules(server: &Server) -> bool {
    server.redis_version >= CHANNEL_RULES_SINCE
}

/// Whether reading can be granted without writing.
pub fn has_reading(server: &Server) -> bool {
    server.redis_version >= READING_SINCE
}

/// Whether rules name whole commands alone: Dragonfly knows no subcommands in them.
pub fn names_whole_commands(server: &Server) -> bool {
    server.product == "dragonfly"
}

/// Whether a rule for this makes sense on the server: it has the command, or rules of that kind.
pub fn has(server: &Server, grant: &Grant) -> bool {
    match grant {
        Grant::ReadKeys(_) | Grant::WriteKeys(_) => !server.is_sentinel,
        Grant::Channels(_) => has_channel_rules(server) && !server.is_sentinel,
        Grant::Command(name) => has_command(server, name),
        Grant::EveryDatabase => server.product == "valkey" && server.version_numbers >= (9, 1, 0),
    }
}

fn has_command(server: &Server, name: &str) -> bool {
    if server.is_sentinel && !crate::collectors::sentinel::has_command(name) {
        return false;
    }
    let Some((_, redis, valkey)) = SINCE.iter().find(|(known, _, _)| *known == name) else {
        return true;
    };
    let (since, version) = match server.product.as_str() {
        "valkey" => (valkey, server.version_numbers),
        _ => (redis, server.redis_version),
    };
    since.is_some_and(|since| version >= since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::grants::command;

    #[test]
    fn servers_are_named_by_product_and_least_version() {
        for known in COMMON.into_iter().chain([ASSUMED]) {
            let server = parse(known).unwrap();
            let words: Vec<&str> = known.split('-').collect();
            assert_eq!(name(&server).to_lowercase(), words.join(" "));
        }
        assert_eq!(parse("redis-7").unwrap().version_numbers, (7, 0, 0));
        assert_eq!(parse("valkey-9").unwrap().redis_version, REDIS_OF_VALKEY);
        assert_eq!(name(&parse("keydb").unwrap()), "KeyDB");
        for wrong in [
            "",
            "redis",
            "redis-",
            "redis-x",
            "redis-7.",
            "redis-7.0.1.2",
            "memcached-1",
            "Redis-7",
            "redis-7-0",
            "redis-99999999999999999999",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn commands_are_known_from_the_version_that_brought_them() {
        let of = |server: &str, name: &'static str| has(&parse(server).unwrap(), &command(name));
        for (name, yes, no) in [
            (
                "latency|histogram",
                &["redis-7.0", "valkey-7.2", "dragonfly"][..],
                &["redis-6.2", "keydb"][..],
            ),
            ("client|no-touch", &["redis-7.2", "valkey-7.2"], &["redis-7.0", "keydb"]),
            (
                "commandlog|len",
                &["valkey-8.1", "valkey-9"],
                &["valkey-8.0", "redis-8.8"],
            ),
            (
                "cluster|slot-stats",
                &["valkey-8", "redis-8.2"],
                &["valkey-7.2", "redis-8.0"],
            ),
            ("ping", &["redis-6.0", "valkey-9"], &[]),
        ] {
            for server in yes {
                assert!(of(server, name), "{name} on {server}");
            }
            for server in no {
                assert!(!of(server, name), "{name} on {server}");
            }
        }
        assert!(!has_users(&parse("redis-5").unwrap()));
        assert!(has_users(&Server::default()), "unknown");
        let sentinel = Server {
            is_sentinel: true,
            ..parse("redis-7").unwrap()
        };
        assert!(!has(&sentinel, &command("scan")));
        assert!(has(&sentinel, &command("sentinel|masters")));
        assert!(!has(&sentinel, &Grant::ReadKeys("*".to_owned())));
    }
}
