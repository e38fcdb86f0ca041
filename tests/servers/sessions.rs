//! Counting sessions: the truth of a real server, whatever is in it.

use crate::bench::BACK_BOUND;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::peer::{Answer, ScriptedPeer, healthy};
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use redis_session_exporter::sessions::glob::Glob;
use std::collections::BTreeSet;
use std::time::Duration;

fn fill(client: &mut Client, prefix: &str, count: usize) {
    let commands: Vec<Vec<Vec<u8>>> = (0..count)
        .map(|number| {
            let key = format!("{prefix}{number}");
            ["SET", &key, "value", "EX", "86400"]
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect()
        })
        .collect();
    client.pipeline(&commands);
}

fn active(scrape: &Scrape, store: &str) -> Option<f64> {
    scrape.value("sessions_active", &[("instance", "redis"), ("store", store)])
}

#[test]
fn stores_and_databases_are_counted_exactly() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client, "sess:", 1234);
    fill(&mut client, "sess:oauth:", 100);
    fill(&mut client, "cart:", 50);
    fill(&mut client, "other:", 300);
    client.command(&["SELECT", "3"]);
    fill(&mut client, "sess:", 66);
    fill(&mut client, "api:token:", 7);
    // Sessions of other types than strings are sessions.
    client.command(&["HSET", "api:token:hash", "field", "value"]);
    client.command(&["SELECT", "5"]);
    fill(&mut client, "sess:", 11);
    let stores = "sessions:
  - store: web
    match: [\"sess:*\"]
    exclude: [\"sess:oauth:*\"]
    databases: [0, 3]
    capacity: 5000
    expected_ttl: 24h
  - { store: oauth, match: [\"sess:oauth:*\"] }
  - { store: api, match: [\"api:token:*\", \"cart:*\"], databases: [0, 3] }
  - { store: none, match: [\"nothing:*\"] }
scan: { redis_share: 0 }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), stores)]));
    let bound = BACK_BOUND + Duration::from_secs(5);
    let scrape = exporter.wait_for_instance("redis", "counted", bound, |scrape| active(scrape, "web").is_some());
    assert_eq!(active(&scrape, "web"), Some(1300.0));
    assert_eq!(active(&scrape, "oauth"), Some(100.0));
    assert_eq!(active(&scrape, "api"), Some(58.0));
    assert_eq!(
        active(&scrape, "none"),
        Some(0.0),
        "a store that was looked for and is empty has no sessions, which is known"
    );
    let web = [("instance", "redis"), ("store", "web")];
    assert_eq!(scrape.value("sessions_max_capacity", &web), Some(5000.0));
    assert_eq!(scrape.value("sessions_expected_ttl_seconds", &web), Some(86400.0));
    let databases: BTreeSet<&str> = scrape
        .all("session_scan_keys_total", &[("instance", "redis")])
        .map(|sample| sample.labels["db"].as_str())
        .collect();
    assert_eq!(
        databases,
        BTreeSet::from(["db0", "db3"]),
        "only the databases of the stores are scanned"
    );
    let coverage = scrape
        .value("session_scan_coverage_ratio", &[("instance", "redis"), ("db", "db0")])
        .unwrap();
    assert!((0.99..=1.01).contains(&coverage), "{coverage}");

    client.command(&["SELECT", "0"]);
    client.command(&["DEL", "sess:0", "sess:1"]);
    exporter.wait_for_instance("redis", "two less", bound, |scrape| {
        active(scrape, "web") == Some(1298.0)
    });
}

#[test]
fn the_default_database_is_that_of_the_address() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&["SELECT", "4"]);
    fill(&mut client, "sess:", 5);
    let address = format!("{}/4", server.address());
    let exporter = Exporter::start(&config::fast(&[(
        "redis",
        &address,
        "sessions:\n  - { store: web, match: [\"sess:*\"] }",
    )]));
    let scrape = exporter.wait_for_instance("redis", "counted", BACK_BOUND, |scrape| active(scrape, "web").is_some());
    assert_eq!(active(&scrape, "web"), Some(5.0));
    assert!(scrape.has("session_scan_keys_total", &[("instance", "redis"), ("db", "db4")]));
}

#[test]
fn a_key_that_scan_returns_twice_counts_once() {
    let peer = ScriptedPeer::start_with(|words| match words[0].to_ascii_uppercase().as_str() {
        "DBSIZE" => Answer::Bytes(b":3\r\n".to_vec()),
        "SCAN" if words[1] == "0" => {
            Answer::Bytes(b"*2\r\n$2\r\n17\r\n*2\r\n$6\r\nsess:a\r\n$6\r\nsess:b\r\n".to_vec())
        }
        "SCAN" => Answer::Bytes(b"*2\r\n$1\r\n0\r\n*2\r\n$6\r\nsess:b\r\n$6\r\nsess:c\r\n".to_vec()),
        _ => healthy(words),
    });
    let exporter = Exporter::start(&config::fast(&[(
        "redis",
        &peer.address(),
        "sessions:\n  - { store: web, match: [\"sess:*\"] }",
    )]));
    let scrape = exporter.wait_for_instance("redis", "counted", BACK_BOUND, |scrape| active(scrape, "web").is_some());
    assert_eq!(active(&scrape, "web"), Some(3.0));
}

#[test]
fn a_scan_that_never_ends_is_cut() {
    // A cursor that never comes back to 0 must not scan for ever, and must not hold up anything else.
    let mut cursor = 1_u64;
    let peer = ScriptedPeer::start_with(move |words| match words[0].to_ascii_uppercase().as_str() {
        "DBSIZE" => Answer::Bytes(b":10\r\n".to_vec()),
        "SCAN" => {
            cursor += 1;
            let text = cursor.to_string();
            Answer::Bytes(format!("*2\r\n${}\r\n{text}\r\n*1\r\n$6\r\nsess:a\r\n", text.len()).into_bytes())
        }
        _ => healthy(words),
    });
    let further = "sessions:\n  - { store: web, match: [\"sess:*\"] }\nscan: { redis_share: 0 }";
    let exporter = Exporter::start(&config::fast(&[("redis", &peer.address(), further)]));
    exporter.wait_until_up(&["redis"]);
    let pings = |scrape: &Scrape| scrape.value("redis_pings_total", &[("instance", "redis")]).unwrap();
    let before = pings(&exporter.scrape());
    let scrape = exporter.wait_for_instance(
        "redis",
        "pinged on",
        config::PING * 10 + crate::support::SLACK,
        |scrape| pings(scrape) >= before + 5.0,
    );
    assert_eq!(active(&scrape, "web"), None, "what was never finished is not a count");
    assert_eq!(scrape.value("redis_up", &[("instance", "redis")]), Some(1.0));
}

#[test]
fn scan_denied_leaves_the_rest() {
    let server = RedisServer::start();
    server.command(&[
        "ACL", "SETUSER", "monitor", "on", ">secret", "~*", "&*", "+@all", "-scan",
    ]);
    let further = "username: monitor\npassword: secret\nsessions:\n  - { store: web, match: [\"sess:*\"] }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    exporter.wait_until_up(&["redis"]);
    let labels = [("instance", "redis"), ("collector", "sessions")];
    let scrape = exporter.wait_for_instance("redis", "the collector has failed", BACK_BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_success", &labels) == Some(0.0)
    });
    assert_eq!(active(&scrape, "web"), None);
    assert_eq!(scrape.value("redis_up", &[("instance", "redis")]), Some(1.0));
    assert_eq!(scrape.state("redis").as_deref(), Some("ok"));
}

#[test]
fn sessions_are_counted_at_the_primary_only() {
    let primary = RedisServer::start();
    let port = primary.port.to_string();
    let replica = RedisServer::start_with(&[
        "--replicaof",
        &format!("127.0.0.1 {port}"),
        "--repl-diskless-sync-delay",
        "0",
    ]);
    fill(&mut primary.client(), "sess:", 10);
    let synced = wait_until(Duration::from_secs(20), || {
        (replica.command(&["DBSIZE"]) == Reply::Integer(10)).then_some(())
    });
    assert!(synced.is_some(), "the replica follows");
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"] }";
    let exporter = Exporter::start(&config::fast(&[
        ("redis", &primary.address(), store),
        ("replica", &replica.address(), store),
    ]));
    exporter.wait_until_up(&["redis", "replica"]);
    exporter.wait_for_instance("redis", "counted", BACK_BOUND, |scrape| {
        active(scrape, "web") == Some(10.0)
    });
    let polls = |scrape: &Scrape| scrape.value("redis_pings_total", &[("instance", "replica")]).unwrap();
    let before = polls(&exporter.scrape());
    // Longer than a scan interval: time enough to count, were it counted.
    let scrape = exporter.wait_for(
        "more polls of the replica",
        config::PING * 6 + crate::support::SLACK,
        |scrape| polls(scrape) >= before + 4.0,
    );
    assert!(
        !scrape.has("sessions_active", &[("instance", "replica")]),
        "{}",
        scrape.about("replica")
    );
    assert!(
        scrape.has("redis_db_keys", &[("instance", "replica"), ("db", "db0")]),
        "its keys are shown all the same"
    );
}

/// Characters that patterns and keys are made of: few, so that they meet, and all that mean something.
const PATTERN_ALPHABET: &[u8] = b"ab-:*?[]^\\c";
const KEY_ALPHABET: &[u8] = b"ab-:c]^[*?\\";

#[test]
fn our_globs_match_what_the_server_matches() {
    let server = RedisServer::start();
    let mut client = server.client();
    let mut random = fastrand::Rng::with_seed(7);
    let word = |random: &mut fastrand::Rng, alphabet: &[u8], longest: usize| -> Vec<u8> {
        (0..random.usize(1..=longest))
            .map(|_| alphabet[random.usize(..alphabet.len())])
            .collect()
    };
    let mut keys: BTreeSet<Vec<u8>> = (0..400).map(|_| word(&mut random, KEY_ALPHABET, 6)).collect();
    keys.extend([
        b"sess:abc".to_vec(),
        b"a_b".to_vec(),
        b"a-b".to_vec(),
        b"\xff\xfe".to_vec(),
        b"new\nline".to_vec(),
    ]);
    let commands: Vec<Vec<Vec<u8>>> = keys
        .iter()
        .map(|key| vec![b"SET".to_vec(), key.clone(), b"x".to_vec()])
        .collect();
    client.pipeline(&commands);
    let mut patterns: Vec<Vec<u8>> = (0..300).map(|_| word(&mut random, PATTERN_ALPHABET, 7)).collect();
    for written in [
        "*", "", "sess:*", "a[_-]b", "a[-_]b", "[a-c]*", "[c-a]*", "[^a]*", "[", "[a", "[^", "a\\", "[\\]]*", "[]-a]*",
        "**?", "\\**",
    ] {
        patterns.push(written.as_bytes().to_vec());
    }
    let mut compared = 0;
    for pattern in &patterns {
        let reply = client.bytes(&[b"SCAN", b"0", b"MATCH", pattern, b"COUNT", b"100000"]);
        let Reply::Bulk(cursor) = &reply.array()[0] else {
            panic!("{reply:?}")
        };
        assert_eq!(cursor, b"0");
        let theirs: BTreeSet<Vec<u8>> = reply.array()[1]
            .array()
            .iter()
            .map(|key| match key {
                Reply::Bulk(key) => key.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        let glob = Glob::new(pattern);
        for key in &keys {
            let (pattern, text) = (String::from_utf8_lossy(pattern), String::from_utf8_lossy(key));
            assert_eq!(
                glob.matches(key),
                theirs.contains(key),
                "pattern {pattern:?}, key {text:?}"
            );
            compared += 1;
        }
    }
    println!(
        "{} patterns on {} keys: {compared} answers are the server's",
        patterns.len(),
        keys.len()
    );
}
