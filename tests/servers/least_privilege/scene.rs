//! What the tests of the printed user share: a server with something for every collector, configurations, and what ACL LOG says.

use super::has_polled;
use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use std::time::Duration;

/// The password that stands in place of `PASSWORD`.
pub const SECRET: &str = "secret";

/// Files that a configuration needs.
pub struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("a.lua"),
            "return {'a', tostring(redis.call('GETBIT', 'script:text', 1))}",
        )
        .unwrap();
        Self { folder }
    }

    /// Everything that does not need keys of all names (`key_groups` does), a module or a cluster.
    pub fn everything(&self) -> String {
        format!("{}\n{LARGE}", self.everything_small())
    }

    /// The same without [`LARGE`].
    pub fn everything_small(&self) -> String {
        format!(
            "sessions:\n  \
               - {{ store: web, match: ['sess:*'], encryption: {{ expect_prefix: 'v1:' }} }}\n  \
               - {{ store: spring, preset: spring-session-indexed }}\n\
             session_probe: {{ enabled: true, interval: 3s }}\n\
             operations: on\n\
             expect: {{ persistence: rdb }}\n\
             compatibility: {{ rdb_file_size: on }}\n\
             check_keys: [ {{ match: 'k:*' }} ]\n\
             check_single_keys: [ {{ key: 'one', value: true, database: 2 }} ]\n\
             count_keys: [ {{ match: 'k:*' }} ]\n\
             streams: {{ patterns: [ {{ match: 'stream:*' }} ] }}\n\
             lua: [ {{ file: '{}', name: a }} ]\n\
             application_metrics:\n  \
               - {{ name: m_field, type: gauge, help: x, key: 'm:hash', read: field, field: a }}\n  \
               - {{ name: m_fields, type: gauge, help: x, key: 'm:hash', label: l }}\n  \
               - {{ name: m_text_total, type: counter, help: x, key: 'm:text' }}\n  \
               - {{ name: m_gone_total, type: counter, help: x, key: 'm:gone' }}\n  \
               - {{ name: m_list, type: gauge, help: x, key: 'm:list', read: length }}\n  \
               - {{ name: m_set, type: gauge, help: x, key: 'm:set', read: length }}\n  \
               - {{ name: m_zset, type: gauge, help: x, key: 'm:zset', read: length }}\n  \
               - {{ name: m_stream, type: gauge, help: x, key: 'm:stream', read: length }}\n  \
               - {{ name: m_length, type: gauge, help: x, key: 'm:hash', read: length }}\n  \
               - {{ name: m_other_total, type: counter, help: x, key: 'm:other', db: 1 }}",
            self.folder.path().join("a.lua").display()
        )
    }
}

/// Collectors that read long replies, which many instances of one process without optimisation take long over.
pub const LARGE: &str = "collectors: { client_list: on, config_all: on, system: on, modules: on, cluster_slot_stats: on }\n\
                         client_list: { max_clients: 1 }";

/// Metrics that show that everything of [`Scene::everything`] was there to be read.
pub const EVERYTHING: &[(&str, &[(&str, &str)])] = &[
    ("sessions_unencrypted", &[("store", "web")]),
    ("sessions_memory_bytes", &[("store", "spring")]),
    ("sessions_ttl_remaining_seconds_count", &[("store", "spring")]),
    ("session_probe_success", &[]),
    (
        "session_operations_total",
        &[("operation", "get"), ("status", "success")],
    ),
    ("redis_commands_latencies_usec_count", &[("cmd", "info")]),
    ("redis_slowlog_length", &[]),
    ("redis_connected_client_info", &[]),
    ("redis_config_maxmemory", &[]),
    ("redis_config_key_value", &[("key", "maxmemory")]),
    ("redis_expectation_met", &[("expectation", "persistence")]),
    ("redis_key_size", &[("key", "k:hll")]),
    ("redis_key_memory_usage_bytes", &[("key", "k:stream")]),
    ("redis_key_value", &[("key", "one")]),
    ("redis_keys_count", &[("key", "k:*")]),
    (
        "redis_stream_group_consumer_messages_pending",
        &[("stream", "stream:1")],
    ),
    ("redis_script_values", &[("filename", "a")]),
    ("m_field", &[]),
    ("m_fields", &[("l", "a")]),
    ("m_text_total", &[]),
    ("m_list", &[]),
    ("m_set", &[]),
    ("m_zset", &[]),
    ("m_stream", &[]),
    ("m_length", &[]),
    ("m_other_total", &[]),
];

/// A server that publishes what is needed and forgets no denial.
pub fn server(arguments: &[&str]) -> RedisServer {
    let server = RedisServer::start_with(arguments);
    server.command(&["CONFIG", "SET", "notify-keyspace-events", "Egxen"]);
    server.command(&["CONFIG", "SET", "acllog-max-len", "100000"]);
    server
}

/// Something for every collector to look at.
pub fn fill(server: &RedisServer) {
    let mut client = server.client();
    for number in 0..40 {
        client.command(&["SET", &format!("sess:{}", id(number)), "v1:x", "EX", "1000"]);
    }
    for number in 0..5 {
        let key = format!("spring:session:sessions:expires:1a2b3c4d-0000-4000-8000-00000000000{number}");
        client.command(&["SET", &key, "", "EX", "1000"]);
    }
    for command in [
        "ZADD spring:session:sessions:expirations 9999999999999 a 9999999999999 b",
        "SET k:text 17",
        "SET script:text 17",
        "HSET k:hash a 1 b 2",
        "RPUSH k:list a b",
        "SADD k:set a",
        "ZADD k:zset 1 a",
        "PFADD k:hll a",
        "XADD k:stream 1-1 a b",
        "XADD stream:1 1-1 a b",
        "XGROUP CREATE stream:1 g 0",
        "XREADGROUP GROUP g c STREAMS stream:1 >",
        "HSET m:hash a 1 b 2",
        "SET m:text 17",
        "RPUSH m:list a",
        "SADD m:set a",
        "ZADD m:zset 1 a",
        "XADD m:stream 1-1 a b",
        "SELECT 1",
        "SET m:other 4",
        "SELECT 2",
        "SET one 5",
        "SELECT 3",
        "SET stranger 1",
    ] {
        client.command(&command.split(' ').collect::<Vec<_>>());
    }
}

/// An id as connect-redis makes it.
fn id(number: usize) -> String {
    format!("{number:032}")
}

/// Somebody logs in, so that events tell of a creation.
pub fn log_in(server: &RedisServer, round: usize) {
    let mut client = server.client();
    for number in 0..3 {
        let id = id(1000 + round * 10 + number);
        client.command(&["SET", &format!("sess:{id}"), "v1:x", "EX", "1000"]);
    }
}

/// A file with an instance for each name, whose user has the same name. `slow` spares the machine where there are many.
pub fn lines_of(address: &str, configurations: &[(&str, String)], slow: bool) -> String {
    let instances: Vec<(&str, String)> = configurations
        .iter()
        .map(|(name, lines)| (*name, format!("username: {name}\npassword: {SECRET}\n{lines}")))
        .collect();
    let instances: Vec<(&str, &str, &str)> = instances
        .iter()
        .map(|(name, lines)| (*name, address, lines.as_str()))
        .collect();
    let text = config::patient(&instances);
    if !slow {
        return text;
    }
    text.replace(
        config::patient(&[]).lines().nth(1).unwrap(),
        "poll: { ping_interval: 2s, info_interval: 5s, scan_interval: 6s, connect_interval: 6s, timeout: 20s }\nscan: { redis_share: 0 }\nlimits: { label_values: 5 }",
    )
}

/// The lines that `acl` prints, with a password.
pub fn printed(text: &str, flags: &[&str]) -> Vec<String> {
    let arguments: Vec<&str> = std::iter::once("acl").chain(flags.iter().copied()).collect();
    let ended = exporter::run_with(&arguments, &[], Some(text));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(!ended.output.contains(SECRET), "{}", ended.output);
    assert!(!ended.output.contains("could not be asked"), "{}", ended.output);
    let lines = ended.output.lines().filter(|line| line.starts_with("ACL SETUSER "));
    lines.map(|line| line.replace("PASSWORD", SECRET)).collect()
}

/// The user of a line.
pub fn user_of(line: &str) -> &str {
    line.split(' ').nth(2).unwrap()
}

/// A line as redis-cli reads it: words, some of them in quotes with escapes.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        if let Some(inside) = rest.strip_prefix('"') {
            let mut letters = inside.char_indices();
            loop {
                match letters.next().expect("a quote is closed") {
                    (_, '\\') => word.push(match letters.next().unwrap().1 {
                        letter @ ('\\' | '"') => letter,
                        other => panic!("\\{other} is not printed here: {line}"),
                    }),
                    (at, '"') => {
                        rest = inside[at + 1..].trim_start();
                        break;
                    }
                    (_, letter) => word.push(letter),
                }
            }
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            word.push_str(&rest[..end]);
            rest = rest[end..].trim_start();
        }
        words.push(word);
    }
    words
}

/// Runs a line.
pub fn run(client: &mut Client, line: &str) {
    let words = words(line);
    client.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

/// An entry of ACL LOG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub user: String,
    /// `command`, `key` or `channel`; `database` on Valkey.
    pub reason: String,
    pub object: String,
    pub count: i64,
}

/// Everything in ACL LOG.
pub fn denials(server: &RedisServer) -> Vec<Denial> {
    let log = server.command(&["ACL", "LOG", "100000"]);
    let entries = log.array().iter().map(|entry| {
        let fields = entry.array();
        let of = |name: &str| {
            let at = fields
                .iter()
                .position(|field| matches!(field, Reply::Bulk(bytes) if bytes == name.as_bytes()));
            fields[at.unwrap_or_else(|| panic!("{name}: {entry:?}")) + 1].clone()
        };
        Denial {
            user: of("username").text(),
            reason: of("reason").text(),
            object: of("object").text(),
            count: of("count").integer(),
        }
    });
    entries.collect()
}

/// How often the server answered NOPERM.
pub fn noperm(server: &RedisServer) -> u64 {
    let text = server.command(&["INFO", "errorstats"]).text();
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("errorstat_NOPERM:count="));
    count.map_or(0, |count| count.trim().parse().unwrap())
}

/// What the exporter says of its own work; of many instances the whole is large.
pub fn glance(exporter: &Exporter) -> Scrape {
    let response = exporter.get("/metrics?collect[]=exporter");
    assert_eq!(response.status, 200);
    Scrape::parse(&response.text())
}

/// Longest time until sixty instances of one daemon without optimisation have polled a few times, on a machine that does something else
/// as well; alone it takes a quarter of a minute.
const MANY_BOUND: Duration = Duration::from_secs(240);

/// Times that somebody logs in while a test waits.
const LOGINS: usize = 5;

/// Waits until every instance has gone through so many polls and a pass or two, while people log in.
pub fn wait_for_polls(exporter: &Exporter, server: &RedisServer, instances: &[&str], polls: f64) -> Scrape {
    let before = glance(exporter);
    let count = |scrape: &Scrape, instance: &str, kind: &str| {
        let labels = [("instance", instance), ("kind", kind)];
        scrape.value("redis_session_exporter_last_poll_timestamp_seconds", &labels)
    };
    let polled = |scrape: &Scrape, instance: &str| {
        let labels = [("instance", instance)];
        scrape.value("redis_exporter_scrapes_total", &labels).unwrap_or(0.0)
    };
    let mut round = 0;
    let mut waiting: Vec<&str> = Vec::new();
    let found = wait_until(MANY_BOUND, || {
        // A few, since everybody looks at every session.
        if round < LOGINS {
            log_in(server, round);
        }
        round += 1;
        let scrape = glance(exporter);
        let is_done = |instance: &str| {
            let newer = count(&scrape, instance, "scan") > count(&before, instance, "scan");
            has_polled(&scrape, instance, polled(&before, instance) + polls) && newer
        };
        waiting = instances
            .iter()
            .copied()
            .filter(|instance| !is_done(instance))
            .collect();
        waiting.is_empty().then_some(scrape)
    });
    found.unwrap_or_else(|| panic!("{waiting:?} have not polled and scanned: {}", exporter.log()))
}

/// Everything of an instance succeeds and nothing is said to be missing.
pub fn assert_complete(scrape: &Scrape, exporter: &Exporter, instance: &str) {
    let labels = [("instance", instance)];
    let failed: Vec<_> = scrape
        .all("redis_session_exporter_collector_success", &labels)
        .filter(|sample| sample.value != 1.0)
        .collect();
    assert!(failed.is_empty(), "{failed:?}: {}", exporter.log());
    let unavailable: Vec<_> = scrape
        .all("redis_session_exporter_collector_unavailable", &labels)
        .collect();
    assert!(unavailable.is_empty(), "{unavailable:?}: {}", exporter.log());
    assert_eq!(scrape.sum("redis_connection_errors_total", &labels), 0.0);
}
