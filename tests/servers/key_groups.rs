//! Collector `key_groups` against real servers, and beside what Lua makes of the same keys inside the server.

use crate::support::config;
use crate::support::evidence::assert_emits_listed;
use crate::support::exporter::{Exporter, run_with};
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use std::collections::BTreeMap;
use std::time::Duration;

/// Long enough for several passes on a machine that compiles meanwhile.
const BOUND: Duration = Duration::from_secs(60);

const COUNT: &str = "redis_key_group_count";
const MEMORY: &str = "redis_key_group_memory_usage_bytes";
const DISTINCT: &str = "redis_number_of_distinct_key_groups";
const DURATION: &str = "redis_last_key_groups_scrape_duration_milliseconds";

fn once(address: &str, further: &str) -> Scrape {
    let config = config::fast(&[("redis", address, further)]);
    let ended = run_with(&["once", "--unpaced"], &[], Some(&config));
    assert_eq!(ended.code, 0, "{}", ended.output);
    let lines = ended
        .output
        .lines()
        .filter(|line| !line.starts_with("# EOF") && (line.starts_with('#') || line.contains("instance=\"")));
    Scrape::parse(&lines.collect::<Vec<_>>().join("\n"))
}

/// By group of one database: keys and bytes.
fn groups(scrape: &Scrape, database: &str) -> BTreeMap<String, (f64, Option<f64>)> {
    let mut groups = BTreeMap::new();
    for sample in scrape.all(COUNT, &[("db", database)]) {
        let group = sample.labels.get("key_group").cloned().unwrap_or_default();
        let bytes = scrape.value(MEMORY, &[("db", database), ("key_group", &group)]);
        groups.insert(group, (sample.value, bytes));
    }
    groups
}

/// Fills four databases with keys of every shape and size.
fn fill(client: &mut Client) {
    let mut random = fastrand::Rng::with_seed(4);
    let set = |key: Vec<u8>, bytes: usize| vec![b"SET".to_vec(), key, vec![b'x'; bytes]];
    for database in [0, 3, 9, 15] {
        client.command(&["SELECT", &database.to_string()]);
        let mut commands = Vec::new();
        for number in 0..3000_u32 {
            let kind = ["user:cart", "user", "sess", "job:high:mail"][random.usize(..4)];
            commands.push(set(format!("{kind}:{number}").into_bytes(), random.usize(..300)));
        }
        for number in 0..50_u32 {
            commands.push(set(format!("alone{number}").into_bytes(), 10));
            commands.push(set(
                [b"bin\xff\xfe:".as_slice(), number.to_string().as_bytes()].concat(),
                10,
            ));
        }
        client.pipeline(&commands);
    }
    client.command(&["SELECT", "0"]);
}

/// The truth, key by key.
fn truth(client: &mut Client, database: u32) -> BTreeMap<String, (f64, Option<f64>)> {
    client.command(&["SELECT", &database.to_string()]);
    let mut groups: BTreeMap<String, (f64, Option<f64>)> = BTreeMap::new();
    for key in client.bytes(&[b"KEYS", b"*"]).array() {
        let crate::support::resp::Reply::Bulk(key) = key else {
            panic!("{key:?}")
        };
        let end = key.iter().rposition(|byte| *byte == b':');
        let group = match end {
            Some(end) if end + 1 < key.len() => key[..end].escape_ascii().to_string(),
            _ => "unclassified".to_owned(),
        };
        let bytes = client.bytes(&[b"MEMORY", b"USAGE", key]).integer();
        let known = groups.entry(group).or_insert((0.0, Some(0.0)));
        *known = (known.0 + 1.0, known.1.map(|sum| sum + bytes as f64));
    }
    client.command(&["SELECT", "0"]);
    groups
}

#[test]
fn groups_of_all_databases_are_counted_with_their_memory() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client);
    // What any look at keys costs in errors (CLIENT NO-TOUCH before Redis 7.2) is not ours.
    let errors = |client: &mut Client| client.command(&["INFO", "errorstats"]).text();
    client.command(&["CONFIG", "RESETSTAT"]);
    once(&server.address(), "sessions: []\ncheck_keys: [ { match: nothing } ]");
    let without = errors(&mut client);
    client.command(&["CONFIG", "RESETSTAT"]);
    let further = "key_groups: { patterns: [\"^(.*):[^:]+$\"] }\nsessions: []";
    let scrape = once(&server.address(), further);
    for database in [0, 3, 9, 15] {
        let expected = truth(&mut client, database);
        assert_eq!(expected.len(), 6);
        let label = format!("db{database}");
        assert_eq!(groups(&scrape, &label), expected, "{label}");
        assert_eq!(scrape.value(DISTINCT, &[("db", &label)]), Some(6.0));
    }
    assert!(!scrape.has(DISTINCT, &[("db", "db1")]), "holds no key");
    assert!(
        scrape
            .value(DURATION, &[])
            .is_some_and(|milliseconds| milliseconds > 0.0)
    );
    assert_eq!(errors(&mut client), without, "our work is no error of the server");

    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let shown = exporter.wait_for("the groups", BOUND, |scrape| scrape.has(MEMORY, &[("db", "db15")]));
    assert_emits_listed(file!(), &shown);

    // Two are kept; sums stay.
    let further = "key_groups: { patterns: [\"^(.*):[^:]+$\"], max_groups: 2, databases: [3] }\nsessions: []";
    let scrape = once(&server.address(), further);
    let all = truth(&mut client, 3);
    let few = groups(&scrape, "db3");
    assert_eq!(few.len(), 3);
    let sum = |groups: &BTreeMap<String, (f64, Option<f64>)>| {
        let sums = groups.values().map(|(keys, bytes)| (*keys, bytes.unwrap()));
        sums.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    assert_eq!(sum(&few), sum(&all));
    let least_shown = few.iter().filter(|(group, _)| *group != "overflow");
    let least_shown = least_shown
        .map(|(_, (_, bytes))| bytes.unwrap())
        .fold(f64::INFINITY, f64::min);
    let larger = all.values().filter(|(_, bytes)| bytes.unwrap() > least_shown).count();
    assert_eq!(larger, 1, "the two largest are shown");
    assert_eq!(scrape.value(DISTINCT, &[("db", "db3")]), Some(6.0));
    assert!(!scrape.has(COUNT, &[("db", "db0")]), "only the database that is named");
}

#[test]
fn sessions_and_groups_share_one_scan() {
    let server = RedisServer::start();
    let mut client = server.client();
    server.fill("sess:", 5000);
    let calls = |client: &mut Client| {
        let stats = client.command(&["INFO", "commandstats"]).text();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_scan:"));
        let calls = line.and_then(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok());
        calls.unwrap_or(0)
    };
    let sessions = "sessions: [ { store: web, match: [\"sess:*\"] } ]";
    client.command(&["CONFIG", "RESETSTAT"]);
    once(&server.address(), sessions);
    let alone = calls(&mut client);
    client.command(&["CONFIG", "RESETSTAT"]);
    let both = format!("{sessions}\nkey_groups: {{ patterns: [\"^(.*):\"] }}");
    let scrape = once(&server.address(), &both);
    assert_eq!(groups(&scrape, "db0").get("sess").map(|(keys, _)| *keys), Some(5000.0));
    assert_eq!(scrape.value("sessions_active", &[("store", "web")]), Some(5000.0));
    assert_eq!(calls(&mut client), alone, "no SCAN more than for the sessions");
}

#[test]
fn without_permission_for_memory_keys_are_counted() {
    let server = RedisServer::start();
    let mut client = server.client();
    server.fill("sess:", 500);
    client.command(&["ACL", "SETUSER", "e", "on", ">p", "~*", "&*", "+@all", "-memory"]);
    let address = format!("redis://e:p@127.0.0.1:{}", server.port);
    let further = "key_groups: { patterns: [\"^(.*):\"] }\nsessions: []";
    let exporter = Exporter::start(&config::fast(&[("redis", &address, further)]));
    let scrape = exporter.wait_for("the groups", BOUND, |scrape| {
        scrape.has(COUNT, &[("key_group", "sess")])
    });
    assert_eq!(groups(&scrape, "db0").get("sess"), Some(&(500.0, None)));
    let unavailable = [("collector", "key_groups"), ("reason", "denied")];
    assert_eq!(
        scrape.value("redis_session_exporter_collector_unavailable", &unavailable),
        Some(1.0)
    );
    assert_eq!(
        scrape.value(
            "redis_session_exporter_collector_success",
            &[("collector", "key_groups")]
        ),
        Some(1.0)
    );
    // One denial, in one pass, over several passes.
    let passes = |scrape: &Scrape| scrape.value("session_scan_keys_total", &[("db", "db0")]).unwrap_or(0.0);
    exporter.wait_for("another pass", BOUND, |scrape| passes(scrape) >= 1500.0);
    let log = client.command(&["ACL", "LOG"]);
    let denials: i64 = log.array().iter().map(|entry| entry.array()[1].integer()).sum();
    assert_eq!(denials, 1);
}

#[test]
fn check_says_what_is_missing_and_what_mends_it() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&[
        "ACL",
        "SETUSER",
        "e",
        "on",
        ">p",
        "%R~orders:*",
        "&*",
        "+@all",
        "-memory",
        "-xinfo|consumers",
    ]);
    let further = "sessions: []\nusername: e\npassword: p\nkey_groups: { patterns: [\"^(.*):\"] }
streams: { patterns: [ { match: \"orders:*\" } ], keys: [ { key: mails } ] }";
    let config = config::fast(&[("redis", &server.address(), further)]);
    let line = |output: &str, subject: &str| {
        let line = output
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{subject} ")));
        line.unwrap_or_else(|| panic!("{subject}: {output}")).to_owned()
    };
    let ended = run_with(&["check"], &[], Some(&config));
    let groups = line(&ended.output, "key_groups");
    assert!(
        groups.contains("keys are counted") && groups.contains("MEMORY USAGE"),
        "{groups}"
    );
    let streams = line(&ended.output, "streams");
    assert!(
        streams.contains("a part") && streams.contains("XINFO CONSUMERS"),
        "{streams}"
    );
    assert!(
        streams.contains("may not read some of the keys (1 of them)"),
        "{streams}"
    );
    let mending = line(&ended.output, "to mend");
    let (_, rules) = mending.split_once("ACL ").unwrap();
    let words: Vec<&str> = std::iter::once("ACL").chain(rules.split_whitespace()).collect();
    client.command(&words);
    // Once MEMORY USAGE may be run, it shows that it needs all keys.
    let ended = run_with(&["check"], &[], Some(&config));
    assert!(line(&ended.output, "streams").ends_with(" ok"), "{}", ended.output);
    let mending = line(&ended.output, "to mend");
    assert!(mending.contains("%R~*"), "{mending}");
    let (_, rules) = mending.split_once("ACL ").unwrap();
    let words: Vec<&str> = std::iter::once("ACL").chain(rules.split_whitespace()).collect();
    client.command(&words);
    let ended = run_with(&["check"], &[], Some(&config));
    assert!(line(&ended.output, "key_groups").ends_with(" ok"), "{}", ended.output);
}

/// Where ACL DRYRUN is missing or denied, as on Redis 6, keys of another type and missing ones make no errors either.
#[test]
fn check_makes_no_error_of_what_is_allowed() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&["HSET", "cart", "a", "1"]);
    client.command(&["SET", "jobs", "1"]);
    client.command(&["ACL", "SETUSER", "old", "on", ">p", "~*", "&*", "+@all", "-acl|dryrun"]);
    let keys = "sessions: []\ncheck_keys: [ { match: cart }, { match: nowhere } ]
check_single_keys: [ { key: cart } ]
streams: { patterns: [ { match: jobs } ], keys: [ { key: mails }, { key: cart } ] }";
    for (login, denials) in [("", 0), ("username: old\npassword: p\n", 1)] {
        client.command(&["CONFIG", "RESETSTAT"]);
        client.command(&["ACL", "LOG", "RESET"]);
        let config = config::fast(&[("redis", &server.address(), &format!("{login}{keys}"))]);
        let ended = run_with(&["check"], &[], Some(&config));
        for subject in ["check_keys", "check_single_keys", "streams"] {
            let found = ended.output.lines().find(|line| line.trim_start().starts_with(subject));
            let found = found.unwrap_or_else(|| panic!("{subject}: {}", ended.output));
            assert!(found.contains(" ok"), "{found}");
            let is_open = denials > 0 && subject == "streams";
            assert_eq!(found.contains("XINFO STREAM"), is_open, "{found}");
        }
        for error in ["errorstat_WRONGTYPE", "errorstat_ERR"] {
            assert_eq!(server.info(error), None, "{error} {login}");
        }
        let log = client.command(&["ACL", "LOG"]);
        let is_dryrun_alone = matches!(&log, Reply::Array(entries) if entries.len() <= denials);
        assert!(is_dryrun_alone, "{log:?}");
    }
}
