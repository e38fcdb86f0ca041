//! Servers in the roles that a default installation meets, each with traffic that gives every metric something to say.

use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::wait_until;
use std::time::Duration;

/// A server in a role, with what it needs beside it.
#[derive(Debug)]
pub struct Scene {
    /// The role, for messages.
    pub role: &'static str,
    /// The server to be watched.
    pub server: RedisServer,
    _others: Vec<RedisServer>,
}

/// Longest time until replicas follow and cluster nodes agree.
const SETTLE_BOUND: Duration = Duration::from_secs(30);

/// A primary with a replica.
pub fn primary() -> Scene {
    let server = RedisServer::start_with(&[
        "--maxmemory",
        "200mb",
        "--latency-monitor-threshold",
        "1",
        "--slowlog-log-slower-than",
        "1000",
        "--repl-diskless-sync-delay",
        "0",
    ]);
    traffic(&mut server.client(), true);
    let replica = replica_of(&server);
    Scene {
        role: "primary",
        server,
        _others: vec![replica],
    }
}

/// A replica of a primary.
pub fn replica() -> Scene {
    let primary = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
    traffic(&mut primary.client(), true);
    let server = replica_of(&primary);
    let refused = server.client().try_command(&["SET", "written", "to a replica"]);
    assert!(matches!(refused, Reply::Error(text) if text.starts_with("READONLY")));
    Scene {
        role: "replica",
        server,
        _others: vec![primary],
    }
}

/// One node that is a whole cluster.
pub fn cluster() -> Scene {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"]);
    let mut client = server.client();
    let slots: Vec<String> = (0..16384).map(|slot| slot.to_string()).collect();
    let words: Vec<&str> = ["CLUSTER", "ADDSLOTS"]
        .into_iter()
        .chain(slots.iter().map(String::as_str))
        .collect();
    client.command(&words);
    let ready = wait_until(SETTLE_BOUND, || {
        client
            .command(&["CLUSTER", "INFO"])
            .text()
            .contains("cluster_state:ok")
            .then_some(())
    });
    assert!(ready.is_some(), "the cluster never becomes ready");
    traffic(&mut client, false);
    Scene {
        role: "cluster",
        server,
        _others: Vec::new(),
    }
}

/// A server that persists, after a rewrite and a save.
pub fn persistent() -> Scene {
    let server = RedisServer::start_with(&["--appendonly", "yes"]);
    let mut client = server.client();
    traffic(&mut client, true);
    client.command(&["BGREWRITEAOF"]);
    settled(&server);
    client.command(&["BGSAVE"]);
    settled(&server);
    Scene {
        role: "persistent",
        server,
        _others: Vec::new(),
    }
}

/// A server as it comes out of the package, without a single key.
pub fn fresh() -> Scene {
    Scene {
        role: "fresh",
        server: RedisServer::start(),
        _others: Vec::new(),
    }
}

/// All of them.
pub fn all() -> Vec<Scene> {
    vec![fresh(), primary(), replica(), cluster(), persistent()]
}

fn settled(server: &RedisServer) {
    let done = wait_until(SETTLE_BOUND, || {
        let idle = |field: &str| server.info(field).as_deref() == Some("0");
        (idle("aof_rewrite_in_progress") && idle("aof_rewrite_scheduled") && idle("rdb_bgsave_in_progress"))
            .then_some(())
    });
    assert!(done.is_some(), "the background save never ends");
}

fn replica_of(primary: &RedisServer) -> RedisServer {
    let replica = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    let linked = wait_until(SETTLE_BOUND, || {
        let linked = replica.info("master_link_status").as_deref() == Some("up");
        let online = primary.info("slave0").is_some_and(|line| line.contains("state=online"));
        (linked && online).then_some(())
    });
    assert!(linked.is_some(), "the replica never follows");
    replica
}

/// Commands of many kinds, errors of many kinds, several databases, slow commands, latency events, scripts.
fn traffic(client: &mut Client, several_databases: bool) {
    for number in 0..200 {
        let key = format!("sess:{number}");
        client.command(&["SET", &key, "a session", "EX", "86400"]);
        client.command(&["GET", &key]);
        client.command(&["GET", &format!("missing:{number}")]);
    }
    for number in 0..20 {
        client.command(&["SET", &format!("forever:{number}"), "x"]);
        client.command(&["HSET", "hash", &format!("field{number}"), "value"]);
        client.command(&["LPUSH", "list", "element"]);
        client.command(&["SADD", "set", &number.to_string()]);
        client.command(&["ZADD", "sorted", "1", &number.to_string()]);
        client.command(&["XADD", "stream", "*", "field", "value"]);
        client.command(&["GEOADD", "places", "13.4", "52.5", &format!("place{number}")]);
    }
    client.command(&["SORT_RO", "set", "LIMIT", "0", "5"]);
    client.command(&["OBJECT", "ENCODING", "hash"]);
    client.command(&["CLIENT", "NO-EVICT", "off"]);
    client.command(&["EVAL", "return 1", "0"]);
    client.command(&["SCRIPT", "LOAD", "return 2"]);
    client.command(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=lib\nredis.register_function('f', function() return 1 end)",
    ]);
    client.command(&["SET", "short", "lived", "PX", "1"]);
    for wrong in [
        &["LPUSH", "sess:1", "x"][..],
        &["NOSUCHCOMMAND"],
        &["EVALSHA", "ffffffffffffffffffffffffffffffffffffffff", "0"],
        &["SET"],
        &["CONFIG", "NOSUCH"],
        &["EVAL", "return redis.error_reply('MY own')", "0"],
        &["AUTH", "nobody", "wrong"],
    ] {
        assert!(matches!(client.try_command(wrong), Reply::Error(_)), "{wrong:?}");
    }
    client.command(&["MULTI"]);
    client.command(&["INCR", "counter"]);
    client.command(&["EXEC"]);
    if several_databases {
        client.command(&["SELECT", "3"]);
        for number in 0..30 {
            client.command(&["SET", &format!("third:{number}"), "x", "EX", "86400"]);
        }
        client.command(&["SELECT", "0"]);
    }
    // Slow enough for the slow log and the latency monitor.
    client.command(&[
        "CONFIG",
        "SET",
        "latency-monitor-threshold",
        "1",
        "slowlog-log-slower-than",
        "1000",
    ]);
    client.command(&["DEBUG", "SLEEP", "0.02"]);
}
