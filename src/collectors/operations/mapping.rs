//! Which commands are which session operations, by the Redis type of the sessions' keys.
//!
//! A command counts for what it does to a session, not for what it answers: a GET that finds nothing is a `get`. Commands that only
//! ask about a key without reading the session (TTL, TYPE, OBJECT, MEMORY USAGE, SCAN) are none: monitoring sends them, sessions do not.

use crate::config::presets::KeyType;
use std::collections::BTreeSet;

/// What happens to a session, label `operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A session begins.
    Create,
    /// A session is read.
    Get,
    /// A session is written or its life is prolonged.
    Update,
    /// A session is ended by a command.
    Delete,
}

impl Operation {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 4] = [Self::Create, Self::Get, Self::Update, Self::Delete];

    /// The label value.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What a command may do to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Writes a key that may be new. How many were, only events tell; the rest are updates.
    Write,
    /// Writes a key only when it is new. That it succeeded does not mean that it wrote (a refused SETNX answers 0 and counts as a
    /// success), so it is split as any write; but one that fails is a session that could not be created.
    WriteNew,
    /// Changes a key and never makes one.
    Update,
    /// Reads.
    Get,
    /// Ends.
    Delete,
}

/// Commands of one role.
struct Group {
    role: Role,
    /// The type of the keys that they work on; `None` for any type.
    key_type: Option<KeyType>,
    /// Names as in INFO commandstats. Those of newer servers do no harm on older ones, which never count them.
    commands: &'static [&'static str],
}

const fn group(role: Role, key_type: Option<KeyType>, commands: &'static [&'static str]) -> Group {
    Group {
        role,
        key_type,
        commands,
    }
}

/// Every command that is taken for a session operation. Sources: the command tables of Redis 7.0 to 8.8 and Valkey 9.
const GROUPS: &[Group] = &[
    // Keys of any type. COPY and RESTORE make keys, and events count those as created. RENAME gives a session a new id.
    group(Role::Write, None, &["copy", "restore"]),
    group(
        Role::Update,
        None,
        &[
            "expire",
            "expireat",
            "pexpire",
            "pexpireat",
            "persist",
            "touch",
            "rename",
            "renamenx",
        ],
    ),
    group(Role::Get, None, &["exists"]),
    group(Role::Delete, None, &["del", "unlink"]),
    // Strings.
    group(
        Role::Write,
        Some(KeyType::String),
        &[
            "set",
            "setex",
            "psetex",
            "getset",
            "mset",
            "msetex",
            "append",
            "setrange",
            "setbit",
            "incr",
            "incrby",
            "incrbyfloat",
            "decr",
            "decrby",
        ],
    ),
    group(Role::WriteNew, Some(KeyType::String), &["setnx", "msetnx"]),
    group(
        Role::Get,
        Some(KeyType::String),
        &["get", "getex", "mget", "getrange", "substr", "strlen", "getbit"],
    ),
    group(Role::Delete, Some(KeyType::String), &["getdel", "delex", "delifeq"]),
    // Hashes. HDEL takes a field away, seldom the session: an update.
    group(
        Role::Write,
        Some(KeyType::Hash),
        &["hset", "hmset", "hsetnx", "hsetex", "hincrby", "hincrbyfloat"],
    ),
    group(
        Role::Update,
        Some(KeyType::Hash),
        &[
            "hdel",
            "hgetdel",
            "hexpire",
            "hexpireat",
            "hpexpire",
            "hpexpireat",
            "hpersist",
        ],
    ),
    group(
        Role::Get,
        Some(KeyType::Hash),
        &[
            "hget",
            "hgetall",
            "hgetex",
            "hmget",
            "hkeys",
            "hvals",
            "hlen",
            "hexists",
            "hstrlen",
            "hscan",
            "hrandfield",
        ],
    ),
    // Lists.
    group(Role::Write, Some(KeyType::List), &["lpush", "rpush"]),
    group(
        Role::Update,
        Some(KeyType::List),
        &["lpushx", "rpushx", "lset", "linsert", "ltrim", "lrem", "lpop", "rpop"],
    ),
    group(Role::Get, Some(KeyType::List), &["lrange", "lindex", "llen", "lpos"]),
    // Sets.
    group(Role::Write, Some(KeyType::Set), &["sadd"]),
    group(Role::Update, Some(KeyType::Set), &["srem", "spop"]),
    group(
        Role::Get,
        Some(KeyType::Set),
        &["smembers", "sismember", "smismember", "scard", "srandmember", "sscan"],
    ),
    // Sorted sets.
    group(Role::Write, Some(KeyType::SortedSet), &["zadd", "zincrby"]),
    group(
        Role::Update,
        Some(KeyType::SortedSet),
        &[
            "zrem",
            "zremrangebyrank",
            "zremrangebyscore",
            "zremrangebylex",
            "zpopmin",
            "zpopmax",
        ],
    ),
    group(
        Role::Get,
        Some(KeyType::SortedSet),
        &[
            "zrange",
            "zrangebyscore",
            "zrevrange",
            "zrevrangebyscore",
            "zscore",
            "zmscore",
            "zcard",
            "zcount",
            "zrank",
            "zrevrank",
            "zscan",
        ],
    ),
    // Streams.
    group(Role::Write, Some(KeyType::Stream), &["xadd"]),
    group(Role::Update, Some(KeyType::Stream), &["xdel", "xtrim", "xsetid"]),
    group(
        Role::Get,
        Some(KeyType::Stream),
        &["xrange", "xrevrange", "xread", "xlen"],
    ),
];

/// Every command that may be a session operation, with its role, or `None` where keys of these types do not know it. No type
/// means that the types are not known, so that any may be.
pub(super) fn commands(types: &BTreeSet<KeyType>) -> impl Iterator<Item = (&'static str, Option<Role>)> {
    GROUPS.iter().flat_map(move |group| {
        let applies = types.is_empty() || group.key_type.is_none_or(|key_type| types.contains(&key_type));
        let role = applies.then_some(group.role);
        group.commands.iter().map(move |command| (*command, role))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(types: &[KeyType], name: &str) -> Option<Role> {
        let types = types.iter().copied().collect();
        let found = commands(&types).find(|(command, _)| *command == name);
        found.and_then(|(_, role)| role)
    }

    #[test]
    fn every_command_has_one_role() {
        let mut seen = BTreeSet::new();
        for (command, role) in commands(&BTreeSet::new()) {
            assert!(role.is_some() && seen.insert(command), "{command}");
            assert!(command.bytes().all(|byte| byte.is_ascii_lowercase()), "{command}");
        }
    }

    #[test]
    fn roles_follow_the_type_of_the_keys() {
        let table = [
            ("set", Some(Role::Write), None),
            ("setex", Some(Role::Write), None),
            ("setnx", Some(Role::WriteNew), None),
            ("get", Some(Role::Get), None),
            ("getex", Some(Role::Get), None),
            ("getdel", Some(Role::Delete), None),
            ("hset", None, Some(Role::Write)),
            ("hdel", None, Some(Role::Update)),
            ("hgetall", None, Some(Role::Get)),
            ("expire", Some(Role::Update), Some(Role::Update)),
            ("persist", Some(Role::Update), Some(Role::Update)),
            ("del", Some(Role::Delete), Some(Role::Delete)),
            ("unlink", Some(Role::Delete), Some(Role::Delete)),
            ("exists", Some(Role::Get), Some(Role::Get)),
            ("ttl", None, None),
            ("scan", None, None),
            ("zadd", None, None),
            ("publish", None, None),
        ];
        for (command, string, hash) in table {
            assert_eq!(role(&[KeyType::String], command), string, "{command} of strings");
            assert_eq!(role(&[KeyType::Hash], command), hash, "{command} of hashes");
            let both = role(&[KeyType::String, KeyType::Hash], command);
            assert_eq!(both, string.or(hash), "{command} of both");
        }
        assert_eq!(role(&[], "zadd"), Some(Role::Write));
        assert_eq!(role(&[], "hget"), Some(Role::Get));
    }
}
