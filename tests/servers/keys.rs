//! `check_keys`, `check_single_keys` and `count_keys` against real servers, and beside redis_exporter.

use crate::support::config;
use crate::support::evidence::assert_emits_listed;
use crate::support::exporter::{Ended, Exporter, run_with};
use crate::support::http;
use crate::support::process::Process;
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use crate::support::{free_port, program, wait_until};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// Long enough for several passes on a machine that compiles meanwhile.
const BOUND: Duration = Duration::from_secs(60);

/// The same for paced walks: on a busy machine the wait for a turn of the processor looks like work of the server, for which the walk rests fifty
/// times as long.
const PACED_BOUND: Duration = Duration::from_secs(300);

/// What the three collectors publish.
const NAMES: [&str; 5] = [
    "redis_key_size",
    "redis_key_memory_usage_bytes",
    "redis_key_value",
    "redis_key_value_as_string",
    "redis_keys_count",
];

fn once_with(address: &str, limits: &str, further: &str) -> Ended {
    let config = format!("{limits}\n{}", config::fast(&[("redis", address, further)]));
    run_with(&["once", "--unpaced"], &[], Some(&config))
}

fn once(address: &str, further: &str) -> Scrape {
    let ended = once_with(address, "", further);
    assert_eq!(ended.code, 0, "{}", ended.output);
    scrape_of(&ended)
}

fn scrape_of(ended: &Ended) -> Scrape {
    let lines = ended
        .output
        .lines()
        .filter(|line| line.starts_with('#') || line.contains("instance=\""));
    let lines = lines.filter(|line| !line.starts_with("# EOF"));
    Scrape::parse(&lines.collect::<Vec<_>>().join("\n"))
}

/// Every series of the collectors: name, `db`, `key`, `val`, and the value.
fn series(scrape: &Scrape) -> BTreeMap<(String, String, String, String), f64> {
    let of = |labels: &BTreeMap<String, String>, name: &str| labels.get(name).cloned().unwrap_or_default();
    let samples = scrape
        .samples
        .iter()
        .filter(|sample| NAMES.contains(&sample.name.as_str()));
    samples
        .map(|sample| {
            let labels = &sample.labels;
            let series = (
                sample.name.clone(),
                of(labels, "db"),
                of(labels, "key"),
                of(labels, "val"),
            );
            (series, sample.value)
        })
        .collect()
}

fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut all = vec![("instance", "redis")];
    all.extend_from_slice(labels);
    scrape.value(name, &all)
}

/// Some hundred keys of all types in the selected database.
fn fill(client: &mut Client, database: &str) {
    client.command(&["SELECT", database]);
    for number in 0..60_usize {
        let of = |prefix: &str| format!("{prefix}:{number}");
        let elements: Vec<String> = (0..=number).map(|element| format!("e{element}")).collect();
        let mut push = |words: &[&str], further: Vec<String>| {
            let words = words.iter().map(|word| (*word).to_owned()).chain(further);
            client.command(&words.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
        };
        push(&["SET", &of("str"), &"x".repeat(number), "EX", "86400"], Vec::new());
        push(&["RPUSH", &of("list")], elements.clone());
        push(&["SADD", &of("set")], elements.clone());
        let scored = elements.iter().flat_map(|element| ["1".to_owned(), element.clone()]);
        push(&["ZADD", &of("zset")], scored.collect());
        let fields = elements.iter().flat_map(|element| [element.clone(), "v".to_owned()]);
        push(&["HSET", &of("hash")], fields.collect());
        push(&["PFADD", &of("hyper")], elements);
    }
    client.command(&["XADD", "stream:full", "*", "a", "b"]);
    client.command(&["XGROUP", "CREATE", "stream:empty", "g", "$", "MKSTREAM"]);
    client.command(&["SET", "odd", "HYLL but no HyperLogLog"]);
    client.command(&["SET", "number", "42.5"]);
}

/// redis_exporter with flags about keys.
fn peer(address: &str, flags: &[&str]) -> Scrape {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(program("TEST_REDIS_EXPORTER", "prometheus-redis-exporter"));
    command.env_clear().current_dir(folder.path());
    command.args([
        "--redis.addr",
        address,
        "--web.listen-address",
        &format!("127.0.0.1:{port}"),
    ]);
    command.args(flags);
    let process = Process::spawn(command, folder.path());
    let ready = wait_until(BOUND, || http::request(port, "GET", "/health", &[]).ok());
    assert!(ready.is_some(), "redis_exporter does not start: {}", process.output());
    Scrape::parse(&http::request(port, "GET", "/metrics", &[]).unwrap().text())
}

#[test]
fn every_value_is_that_of_redis_exporter() {
    let server = RedisServer::start();
    let mut client = server.client();
    for database in ["0", "3", "7"] {
        fill(&mut client, database);
    }
    let theirs = peer(
        &server.address(),
        &[
            "--check-keys=db0=*,db3=[hl]*:?,db7=stream:*",
            "--check-single-keys=db0=number,db3=odd,db3=number,db3=nowhere",
            "--count-keys=db0=*,db3=str:*,db3=none:*,db7=*:1?",
        ],
    );
    let ours = once(
        &server.address(),
        "sessions: []
check_keys: [ { match: '*' }, { match: '[hl]*:?', databases: [3] }, { match: 'stream:*', databases: 7 } ]
check_single_keys:
  - { key: number, value: true }
  - { key: odd, database: 3, value: true }
  - { key: number, database: 3 }
  - { key: nowhere, database: 3, value: true }
count_keys: [ { match: '*' }, { match: 'str:*', databases: [3] }, { match: 'none:*', databases: [3] }, { match: '*:1?', databases: [7] } ]",
    );
    assert_emits_listed(file!(), &ours);
    let (theirs, ours) = (series(&theirs), series(&ours));
    assert!(ours.len() > 800, "{}", ours.len());
    let missing = (
        "redis_key_size".to_owned(),
        "db3".to_owned(),
        "nowhere".to_owned(),
        String::new(),
    );
    for (series, value) in &ours {
        // 1.45 knows no memory of keys.
        if let Some(theirs) = theirs.get(series) {
            assert_eq!(value, theirs, "{series:?}");
        } else {
            assert_eq!(series.0, "redis_key_memory_usage_bytes", "{series:?} is ours alone");
        }
    }
    assert!(!ours.contains_key(&missing), "a key that is not there is absent");
    for series in theirs.keys().filter(|series| **series != missing) {
        // Values of keys that a pattern found are theirs alone.
        let is_value = series.0.starts_with("redis_key_value");
        assert!(is_value || ours.contains_key(series), "{series:?} is missing");
    }
    let values: Vec<_> = ours
        .iter()
        .filter(|(series, _)| series.0.starts_with("redis_key_value"))
        .collect();
    assert_eq!(values.len(), 2, "{values:?}");
    let memory = |key: &str| {
        ours[&(
            "redis_key_memory_usage_bytes".to_owned(),
            "db0".to_owned(),
            key.to_owned(),
            String::new(),
        )]
    };
    client.command(&["SELECT", "0"]);
    for key in ["str:10", "hash:59", "zset:1", "hyper:30", "stream:full", "number"] {
        let expected = client.command(&["MEMORY", "USAGE", key]).integer();
        assert_eq!(memory(key), expected as f64, "{key}");
    }
    let errors = server.info("errorstat_WRONGTYPE").unwrap();
    // The peer's PFCOUNT on strings were errors; ours are none.
    once(&server.address(), "sessions: []\ncheck_keys: [ { match: '*' } ]");
    assert_eq!(server.info("errorstat_WRONGTYPE").unwrap(), errors);
}

#[test]
fn what_it_asks_is_counted_and_nothing_is_touched() {
    let server = RedisServer::start();
    fill(&mut server.client(), "0");
    server.command(&["CONFIG", "RESETSTAT"]);
    let further = "collectors: { sessions: off }
check_keys: [ { match: '*' } ]
count_keys: [ { match: '*' }, { match: 'str:*' } ]
check_single_keys: [ { key: nowhere }, { key: odd, value: true } ]";
    let scrape = once(&server.address(), further);
    let hits: f64 = server.info("keyspace_hits").unwrap().parse().unwrap();
    let misses: f64 = server.info("keyspace_misses").unwrap().parse().unwrap();
    assert!(misses >= 1.0);
    let db = [("db", "db0")];
    assert_eq!(
        value(&scrape, "session_scan_keyspace_lookups_total", &db),
        Some(hits + misses)
    );
    let keys: f64 = server.command(&["DBSIZE"]).integer() as f64;
    // One SCAN serves all of them.
    assert_eq!(value(&scrape, "session_scan_keys_total", &db), Some(keys));
    assert_eq!(
        value(&scrape, "redis_keys_count", &[("db", "db0"), ("key", "*")]),
        Some(keys)
    );
    assert!(value(&scrape, "session_scan_redis_seconds_total", &db).unwrap() > 0.0);
    for collector in ["check_keys", "check_single_keys", "count_keys"] {
        let of = [("collector", collector)];
        assert_eq!(
            value(&scrape, "redis_session_exporter_collector_success", &of),
            Some(1.0)
        );
        assert_eq!(
            value(&scrape, "redis_session_exporter_collector_unavailable", &of),
            None
        );
    }
    assert!(
        value(
            &scrape,
            "redis_session_exporter_last_poll_timestamp_seconds",
            &[("kind", "scan")]
        )
        .unwrap()
            > 0.0
    );
}

#[test]
fn one_scan_serves_sessions_and_keys() {
    let server = RedisServer::start();
    server.fill("sess:", 3000);
    fill(&mut server.client(), "0");
    let further = "sessions: [ { store: web, match: 'sess:*' } ]
count_keys: [ { match: 'sess:*' } ]
check_keys: [ { match: 'stream:*' } ]";
    let scrape = once(&server.address(), further);
    let keys = server.command(&["DBSIZE"]).integer() as f64;
    assert_eq!(value(&scrape, "session_scan_keys_total", &[("db", "db0")]), Some(keys));
    assert_eq!(value(&scrape, "sessions_active", &[("store", "web")]), Some(3000.0));
    let counted = value(&scrape, "redis_keys_count", &[("db", "db0"), ("key", "sess:*")]);
    assert_eq!(counted, Some(3000.0));
    assert_eq!(
        value(&scrape, "redis_key_size", &[("db", "db0"), ("key", "stream:empty")]),
        Some(0.0)
    );
    // Sessions that are sampled leave the whole walk to the keys.
    let further = further.replacen("match: 'sess:*'", "match: 'sess:*', count: sample", 1);
    let ended = once_with(&server.address(), "scan: { sample_keys: 1000 }", &further);
    assert_eq!(ended.code, 0, "{}", ended.output);
    let scrape = scrape_of(&ended);
    let counted = value(&scrape, "redis_keys_count", &[("db", "db0"), ("key", "sess:*")]);
    assert_eq!(counted, Some(3000.0));
    let (low, high) = ("sessions_active_low", "sessions_active_high");
    let of = |name: &str| value(&scrape, name, &[("store", "web")]).unwrap();
    assert!(of(low) < of(high), "it was sampled");
    assert!(value(&scrape, "session_scan_keys_total", &[("db", "db0")]).unwrap() >= keys + 1000.0);
    // A library that is recognised is counted in the second pass, and so are the keys.
    let scrape = once(&server.address(), "sessions: auto\ncount_keys: [ { match: '*' } ]");
    assert_eq!(
        value(&scrape, "redis_keys_count", &[("db", "db0"), ("key", "*")]),
        Some(keys)
    );
}

#[test]
fn names_are_escaped_bounded_and_counted() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.bytes(&[b"SET", b"bin:\xff\xfe", b"\xffvalue"]);
    client.bytes(&[b"SET", &[b"bin:".as_slice(), &[b'a'; 5000]].concat(), b"x"]);
    client.bytes(&[b"SET", &[b"bin:".as_slice(), &[b'a'; 100_000]].concat(), b"x"]);
    client.bytes(&[b"SET", b"long", &[b'v'; 100_000]]);
    let scrape = once(
        &server.address(),
        "sessions: []\ncheck_keys: [ { match: 'bin:*' } ]\ncheck_single_keys: [ { key: long, value: true } ]",
    );
    assert_eq!(
        value(&scrape, "redis_key_size", &[("key", "bin:\\xff\\xfe")]),
        Some(6.0)
    );
    let series = series(&scrape);
    let names: Vec<&String> = series
        .keys()
        .filter(|series| series.0 == "redis_key_size")
        .map(|series| &series.2)
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 1024));
    let shown = series
        .keys()
        .find(|series| series.0 == "redis_key_value_as_string")
        .unwrap();
    assert!(shown.3.len() <= 1024 && shown.3.ends_with('…'));
    assert_eq!(value(&scrape, "redis_key_size", &[("key", "long")]), Some(100_000.0));
    server.fill("many:", 50);
    let ended = once_with(
        &server.address(),
        "limits: { checked_keys: 20 }",
        "sessions: []\ncheck_keys: [ { match: 'many:*' } ]",
    );
    let scrape = scrape_of(&ended);
    assert_eq!(scrape.all("redis_key_size", &[]).count(), 20);
    let dropped = value(
        &scrape,
        "redis_session_exporter_series_dropped_total",
        &[("reason", "label_values")],
    );
    assert_eq!(dropped, Some(30.0));
    assert!(ended.output.contains("become label values"), "{}", ended.output);
    let limited = ended.output.lines().filter(|line| line.contains("a limit is reached"));
    let limited: Vec<&str> = limited.collect();
    assert_eq!(limited.len(), 1, "{}", ended.output);
    assert!(limited[0].contains("limits.checked_keys (20)"), "{limited:?}");
    assert!(
        ended.output.contains("the first pass over the keys is under way"),
        "{}",
        ended.output
    );
}

#[test]
fn what_the_user_may_not_read_is_absent_and_asked_once() {
    let server = RedisServer::start();
    server.fill("cart:", 20);
    server.fill("secret:", 20);
    let rules =
        "ACL SETUSER monitor on >pw resetkeys %R~cart:* -@all +ping +info +select +scan +dbsize +type +strlen +client";
    server.command(&rules.split(' ').collect::<Vec<_>>());
    let further = "username: monitor
password: pw
sessions: []
check_keys: [ { match: 'cart:*' }, { match: 'secret:*' } ]
check_single_keys: [ { key: 'secret:1', value: true } ]
count_keys: [ { match: 'secret:*' } ]";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let scrape = exporter.wait_for("sizes", BOUND, |scrape| {
        scrape.has("redis_key_size", &[("key", "cart:7")])
    });
    assert_eq!(scrape.all("redis_key_size", &[]).count(), 20);
    assert!(!scrape.has("redis_key_memory_usage_bytes", &[]) && !scrape.has("redis_key_value_as_string", &[]));
    assert_eq!(value(&scrape, "redis_keys_count", &[("key", "secret:*")]), Some(20.0));
    let denied = [("collector", "check_keys"), ("reason", "denied")];
    assert_eq!(
        value(&scrape, "redis_session_exporter_collector_unavailable", &denied),
        Some(1.0)
    );
    let entries = || {
        let log = server.command(&["ACL", "LOG"]);
        let counts = log
            .array()
            .iter()
            .filter(|entry| entry.array()[3].text() != "channel")
            .map(|entry| entry.array()[1].integer());
        counts.sum::<i64>()
    };
    let (before, keys) = (entries(), || exporter.scrape().sum("session_scan_keys_total", &[]));
    let start = keys();
    exporter.wait_for("three passes more", BOUND, |scrape| {
        scrape.sum("session_scan_keys_total", &[]) >= start + 120.0
    });
    assert_eq!(entries(), before, "found out once");
    assert_eq!(
        value(
            &exporter.scrape(),
            "redis_session_exporter_collector_unavailable",
            &denied
        ),
        Some(1.0)
    );
    assert!(exporter.log().contains("MEMORY USAGE"), "{}", exporter.log());
    let log = exporter.log();
    let unreadable: Vec<&str> = log.lines().filter(|line| line.contains("may not be read")).collect();
    let of = |collector: &str| {
        let of_collector = unreadable
            .iter()
            .filter(|line| line.contains(&format!("collector={collector} ")));
        of_collector.filter(|line| line.contains("db=db0")).count()
    };
    assert_eq!(
        (of("check_keys"), of("check_single_keys"), unreadable.len()),
        (1, 1, 2),
        "{log}"
    );
    assert!(!exporter.log().contains("secret:1"), "no key in the log");
    let config = config::fast(&[("redis", &server.address(), further)]);
    let ended = run_with(&["check"], &[], Some(&config));
    let line = ended
        .output
        .lines()
        .find(|line| line.contains("ACL SETUSER monitor"))
        .expect(&ended.output);
    for rule in ["+memory|usage", "+getrange", "+llen", "%R~secret:*", "%R~secret:1"] {
        assert!(line.contains(rule), "{rule}: {}", ended.output);
    }
    assert!(!line.contains("%R~cart") && !line.contains("+type"), "{line}");
    let rules: Vec<&str> = line.split_whitespace().skip_while(|word| *word != "ACL").collect();
    server.command(&rules);
    let mended = run_with(&["check"], &[], Some(&config));
    assert!(!mended.output.contains("%R~"), "{}", mended.output);
    let scrape = scrape_of(&run_with(&["once", "--unpaced"], &[], Some(&config)));
    assert_eq!(scrape.all("redis_key_memory_usage_bytes", &[]).count(), 40);
}

#[test]
fn replicas_are_looked_at_and_primaries_are_left_alone_where_that_is_wanted() {
    let primary = RedisServer::start();
    primary.fill("cart:", 30);
    let replica = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    let is_in_step = || (replica.command(&["DBSIZE"]).integer() == 30).then_some(());
    wait_until(BOUND, is_in_step).expect("the replica follows");
    let further = "check_keys: [ { match: 'cart:*' } ]";
    let scrape = once(&replica.address(), further);
    assert_eq!(scrape.all("redis_key_size", &[]).count(), 30);
    assert!(!scrape.has("sessions_active", &[]));
    let from = format!("{further}\nsessions: []\nscan_from: [ '{}' ]", replica.address());
    primary.command(&["CONFIG", "RESETSTAT"]);
    let scrape = once(&primary.address(), &from);
    assert_eq!(scrape.all("redis_key_size", &[]).count(), 30);
    let stats = primary.command(&["INFO", "commandstats"]).text();
    assert!(
        !stats.contains("cmdstat_scan:") && !stats.contains("cmdstat_type:"),
        "{stats}"
    );
    // A primary that is to be left alone has nothing to show, and a replica of it goes on.
    let alone = format!("{further}\nsessions: []\ncompatibility: {{ keys_at_replicas_only: on }}");
    let scrape = once(&primary.address(), &alone);
    assert!(!scrape.has("redis_key_size", &[]));
    let of = [("collector", "check_keys")];
    assert_eq!(value(&scrape, "redis_session_exporter_collector_success", &of), None);
    assert_eq!(once(&replica.address(), &alone).all("redis_key_size", &[]).count(), 30);
    let from = format!("{alone}\nscan_from: [ '{}' ]", replica.address());
    assert_eq!(once(&primary.address(), &from).all("redis_key_size", &[]).count(), 30);
}

#[test]
fn values_live_on_through_a_failed_pass_and_a_reload_asks_for_others() {
    let server = RedisServer::start();
    server.fill("cart:", 30);
    server.fill("other:", 10);
    let of = |list: &str| config::fast(&[("redis", &server.address(), &format!("sessions: []\n{list}"))]);
    let exporter = Exporter::start(&of("count_keys: [ { match: 'cart:*' } ]"));
    let counts = |scrape: &Scrape, glob: &str| value(scrape, "redis_keys_count", &[("key", glob)]);
    exporter.wait_for("a count", BOUND, |scrape| counts(scrape, "cart:*") == Some(30.0));
    server.command(&["DEL", "cart:1"]);
    exporter.wait_for("the next count", BOUND, |scrape| counts(scrape, "cart:*") == Some(29.0));
    exporter.reload(&of("count_keys: [ { match: 'other:*' } ]"));
    let scrape = exporter.wait_for("another count", BOUND, |scrape| counts(scrape, "other:*") == Some(10.0));
    assert_eq!(counts(&scrape, "cart:*"), None);
    exporter.reload(&of("count_keys: []"));
    exporter.wait_for("no count", BOUND, |scrape| !scrape.has("redis_keys_count", &[]));
    let collector = [("collector", "count_keys")];
    let is_gone = |scrape: &Scrape| value(scrape, "redis_session_exporter_collector_success", &collector).is_none();
    exporter.wait_for("nothing of the collector", BOUND, is_gone);
    // Values of a server that stays away vanish.
    exporter.reload(&of("count_keys: [ { match: 'other:*' } ]"));
    exporter.wait_for("a count again", BOUND, |scrape| counts(scrape, "other:*") == Some(10.0));
    server.freeze();
    exporter.wait_for("values too old", BOUND, |scrape| !scrape.has("redis_keys_count", &[]));
    server.thaw();
    exporter.wait_for("values again", BOUND, |scrape| counts(scrape, "other:*") == Some(10.0));
}

#[test]
fn a_scan_that_is_denied_leaves_named_keys_in_sight() {
    let server = RedisServer::start();
    server.command(&["SET", "config:maintenance", "1"]);
    server.command(
        &"ACL SETUSER monitor on >pw ~* +@all -scan"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let further = "username: monitor
password: pw
sessions: [ { store: web, match: 'sess:*' } ]
check_single_keys: [ { key: 'config:maintenance', value: true } ]
count_keys: [ { match: '*' } ]";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let shown = |scrape: &Scrape| value(scrape, "redis_key_value", &[("key", "config:maintenance")]);
    exporter.wait_for("the value", BOUND, |scrape| shown(scrape) == Some(1.0));
    server.command(&["SET", "config:maintenance", "0"]);
    let scrape = exporter.wait_for("the next value", BOUND, |scrape| shown(scrape) == Some(0.0));
    let success = |collector: &str| {
        value(
            &scrape,
            "redis_session_exporter_collector_success",
            &[("collector", collector)],
        )
    };
    assert_eq!(success("check_single_keys"), Some(1.0));
    assert_eq!(success("count_keys"), Some(0.0));
    let denied = [("collector", "count_keys"), ("reason", "denied")];
    assert_eq!(
        value(&scrape, "redis_session_exporter_collector_unavailable", &denied),
        Some(1.0)
    );
    assert!(!scrape.has("redis_keys_count", &[]));
    assert!(
        exporter.log().contains("keys in database 0 cannot be looked at"),
        "{}",
        exporter.log()
    );
}

#[test]
fn a_long_walk_over_keys_makes_room_for_the_sessions_and_loses_no_key() {
    let server = RedisServer::start();
    server.fill("sess:", 20_000);
    // Twenty times what a pass for the sessions looks at, so that one slow pass of theirs does not give the walk a turn long enough for all of it.
    // One SCAN of 100 keys costs the server at least 0.1 ms: at this share the walk over all of them rests for 1 s or more.
    let further = "sessions: [ { store: web, match: 'sess:*', count: sample } ]
scan: { redis_share: 0.02, sample_keys: 1000 }
count_keys: [ { match: '*' } ]";
    let config = config::fast(&[("redis", &server.address(), further)]);
    let exporter = Exporter::start(&format!("limits: {{ scan_detail_keys: 100 }}\n{config}"));
    let counted = |scrape: &Scrape| value(scrape, "redis_keys_count", &[("key", "*")]);
    let scanned_at = |scrape: &Scrape| {
        let kind = [("kind", "scan")];
        value(scrape, "redis_session_exporter_last_poll_timestamp_seconds", &kind).filter(|at| *at > 0.0)
    };
    // Each time when a pass has found sessions, until the walk over the keys is done.
    let mut passes = Vec::new();
    exporter.wait_for("the keys are counted", PACED_BOUND, |scrape| {
        if counted(scrape).is_some() {
            return true;
        }
        if let Some(at) = scanned_at(scrape) {
            assert!(value(scrape, "sessions_active", &[("store", "web")]).is_some(), "stale");
            if passes.last() != Some(&at) {
                passes.push(at);
            }
        }
        false
    });
    // The first is told before the walk, and another one in the middle of it. How many there are is a matter of the machine.
    assert!(passes.len() >= 2, "{} passes told of sessions meanwhile", passes.len());
    let scrape = exporter.scrape();
    assert_eq!(counted(&scrape), Some(20_000.0), "each key once, through all pauses");
    assert!(!exporter.log().contains("begins anew"), "{}", exporter.log());
    // What a walk has seen is of no use after a flush, in a pause or not.
    let polled = scanned_at(&scrape);
    exporter.wait_for("the next walk is under way", PACED_BOUND, |scrape| {
        scanned_at(scrape) > polled
    });
    server.command(&["FLUSHALL"]);
    server.fill("other:", 500);
    exporter.wait_for("what is there now is counted", PACED_BOUND, |scrape| {
        let counted = counted(scrape);
        assert!(
            counted == Some(20_000.0) || counted == Some(500.0),
            "{counted:?} is a mixture"
        );
        counted == Some(500.0)
    });
}

/// Each denial is written to ACL LOG, which holds 128, and counted in errorstats.
#[test]
fn keys_that_may_not_be_read_are_denied_a_few_times() {
    let server = RedisServer::start();
    server.fill("secret:", 500);
    server.command(
        &"ACL SETUSER monitor on >pw resetkeys %R~cart:* +@all"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let further = "username: monitor
password: pw
sessions: []
check_keys: [ { match: 'secret:*' } ]
streams: { patterns: [ { match: 'secret:*' } ] }
key_groups: { patterns: ['^(.*):'] }";
    let denials = || {
        let line = server.info("errorstat_NOPERM").unwrap_or_default();
        line.strip_prefix("count=")
            .map_or(0, |count| count.parse::<u32>().unwrap())
    };
    let config = config::fast(&[("redis", &server.address(), further)]);
    let ended = run_with(&["once"], &[], Some(&config));
    assert!(ended.output.contains("redis_key_group_count"), "{}", ended.output);
    // Four, three and three.
    assert!((1..=10).contains(&denials()), "{}", denials());
}

/// Keys that are named in full live at one node of a cluster, and all are told of them.
#[test]
fn keys_of_other_nodes_are_asked_about_once() {
    let cluster = RedisCluster::start(&[]);
    let mut held = Vec::new();
    let mut lists = String::new();
    for number in 0..30 {
        let key = format!("named:{number}");
        let place = cluster.nodes[..3].iter().position(|node| {
            let reply = node.client().try_command(&["XADD", &key, "1-1", "a", "b"]);
            !matches!(reply, Reply::Error(_))
        });
        if place == Some(0) {
            held.push(key.clone());
        }
        lists.push_str(&format!("{{ key: '{key}' }}, "));
    }
    let node = &cluster.nodes[0];
    let further = format!(
        "sessions: []\ncheck_single_keys: [ {lists} ]\nstreams: {{ keys: [ {lists} ] }}\ncount_keys: [ {{ match: '*' }} ]"
    );
    let exporter = Exporter::start(&config::fast(&[("redis", &node.address(), &further)]));
    let sizes = |scrape: &Scrape| scrape.all("redis_key_size", &[]).count();
    let streams = |scrape: &Scrape| scrape.all("redis_stream_length", &[]).count();
    exporter.wait_for("the keys of this node", BOUND, |scrape| {
        (sizes(scrape), streams(scrape)) == (held.len(), held.len())
    });
    let number = |field: &str| {
        let line = node.info(field).unwrap_or_default();
        let parts = line
            .split(',')
            .map(|part| part.trim_start_matches("count=").trim_start_matches("calls="));
        parts
            .filter_map(|part| part.parse::<u64>().ok())
            .next()
            .unwrap_or_default()
    };
    let (moved, scans) = (number("errorstat_MOVED"), number("cmdstat_scan"));
    assert!(moved > 0);
    let scrape = exporter.wait_for("further passes", BOUND, |_| number("cmdstat_scan") >= scans + 4);
    assert_eq!(number("errorstat_MOVED"), moved);
    assert_eq!((sizes(&scrape), streams(&scrape)), (held.len(), held.len()));
    let lookups = value(&scrape, "session_scan_keyspace_lookups_total", &[("db", "0")]);
    let counted = number("keyspace_hits") + number("keyspace_misses");
    assert!(lookups <= Some(counted as f64), "{lookups:?} of {counted}");
}

#[test]
fn a_database_that_is_not_there_hides_no_other() {
    let server = RedisServer::start();
    server.fill("cart:", 20);
    let further = "sessions: []
check_keys: [ { match: 'cart:*', databases: [0, 40] }, { match: 'cart:7', databases: [41] } ]
check_single_keys: [ { key: 'cart:1' }, { key: 'cart:1', database: 40 } ]
count_keys: [ { match: '*', databases: [0, 40] } ]
key_groups: { patterns: ['^(.*):'], databases: [0, 40] }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let scrape = exporter.wait_for("what there is", BOUND, |scrape| {
        scrape.has("redis_key_group_count", &[("db", "db0")])
    });
    assert_eq!(scrape.all("redis_key_size", &[]).count(), 20);
    assert_eq!(value(&scrape, "redis_keys_count", &[("key", "*")]), Some(20.0));
    for collector in ["check_keys", "check_single_keys", "count_keys", "key_groups"] {
        let labels = [("collector", collector), ("reason", "unsupported")];
        assert_eq!(
            value(&scrape, "redis_session_exporter_collector_unavailable", &labels),
            Some(1.0),
            "{collector}"
        );
    }
    let errors = scrape.sum("redis_connection_errors_total", &[("instance", "redis")]);
    assert_eq!(errors, 0.0, "{}", scrape.about("redis"));
}
