//! Session operations against the truth of a real server: what was sent to it, command by command.

use crate::bench::BACK_BOUND;
use crate::support::SLACK;
use crate::support::config::{self, INFO};
use crate::support::exporter::Exporter;
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use std::time::Duration;

/// Longest time until everything that was sent is counted: the poll under way, the next one, and a machine that is late.
const COUNTED_BOUND: Duration = INFO.saturating_mul(2).saturating_add(SLACK).saturating_add(SLACK);

const ON: &str = "operations: on\nsessions:\n  - { store: web, match: [\"sess:*\"] }";

fn count(scrape: &Scrape, operation: &str, status: &str) -> Option<f64> {
    let labels = [("instance", "redis"), ("operation", operation), ("status", status)];
    scrape.value("session_operations_total", &labels)
}

/// Successes and errors of get, update and delete.
fn counts(scrape: &Scrape) -> [(Option<f64>, Option<f64>); 3] {
    ["get", "update", "delete"]
        .map(|operation| (count(scrape, operation, "success"), count(scrape, operation, "error")))
}

fn exactly(expected: [(u32, u32); 3]) -> [(Option<f64>, Option<f64>); 3] {
    expected.map(|(success, error)| (Some(f64::from(success)), Some(f64::from(error))))
}

fn observations(scrape: &Scrape, operation: &str) -> Option<f64> {
    let labels = [("instance", "redis"), ("operation", operation)];
    scrape.value("session_operation_duration_seconds_count", &labels)
}

fn polls(scrape: &Scrape) -> f64 {
    scrape.sum("redis_exporter_scrapes_total", &[("instance", "redis")])
}

/// Waits for so many more polls of INFO and returns the last scrape.
fn after_polls(exporter: &Exporter, count: u32) -> Scrape {
    let before = polls(&exporter.scrape());
    exporter.wait_for_instance("redis", "more polls", INFO * (count + 2) + SLACK, |scrape| {
        polls(scrape) >= before + f64::from(count)
    })
}

fn watch(server: &RedisServer, further: &str) -> Exporter {
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let born = exporter.wait_for_instance("redis", "operations are born", BACK_BOUND, |scrape| {
        count(scrape, "get", "success").is_some()
    });
    assert_eq!(counts(&born), exactly([(0, 0); 3]), "counting begins when we watch");
    exporter
}

fn refused(client: &mut Client, words: &[&str], code: &str) {
    let reply = client.try_command(words);
    assert!(
        matches!(&reply, Reply::Error(text) if text.starts_with(code)),
        "{words:?}: {reply:?}"
    );
}

/// 20 writes, 5 renewals, 30 reads, 4 ends; then one failed and three refused reads and writes.
fn traffic(client: &mut Client) {
    for number in 0..20 {
        client.command(&["SET", &format!("sess:{number}"), "value", "EX", "3600"]);
    }
    for number in 0..5 {
        client.command(&["EXPIRE", &format!("sess:{number}"), "3600"]);
    }
    for number in 0..30 {
        // Some of these find nothing, which is an answer.
        client.command(&["GET", &format!("sess:{number}")]);
    }
    client.command(&["DEL", "sess:0", "sess:1", "sess:2"]);
    client.command(&["UNLINK", "sess:3"]);
    client.command(&["DEL", "sess:3"]);
    client.command(&["GETDEL", "sess:4"]);
    client.command(&["LPUSH", "a-list", "x"]);
    refused(client, &["GET", "a-list"], "WRONGTYPE");
    refused(client, &["GET"], "ERR");
    client.command(&["CONFIG", "SET", "maxmemory", "1"]);
    refused(client, &["SET", "sess:5", "value"], "OOM");
    client.command(&["CONFIG", "SET", "maxmemory", "0"]);
    refused(client, &["SET", "sess:5", "value", "EX", "0"], "ERR");
}

/// What `traffic` is: LPUSH is a write as well where the types of the stores are not known.
const TRAFFIC: [(u32, u32); 3] = [(30, 2), (20 + 5 + 1, 2), (4, 0)];

#[test]
fn known_numbers_of_commands_give_exactly_these_counts() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&["SET", "sess:before", "we watched"]);
    let exporter = watch(&server, ON);
    traffic(&mut client);
    let scrape = exporter.wait_for_instance("redis", "everything is counted", COUNTED_BOUND, |scrape| {
        counts(scrape) == exactly(TRAFFIC) && observations(scrape, "delete") == Some(4.0)
    });
    assert_eq!(count(&scrape, "create", "success"), None, "nobody tells creations");
    // Executed ones, failed ones included: GET of a list, SET with a wrong time to live. Refused ones are not timed.
    assert_eq!(observations(&scrape, "get"), Some(31.0));
    assert_eq!(observations(&scrape, "update"), Some(27.0));
    assert_eq!(observations(&scrape, "create"), None);
    let labels = [("instance", "redis"), ("operation", "get")];
    let buckets: Vec<f64> = scrape
        .all("session_operation_duration_seconds_bucket", &labels)
        .map(|bucket| bucket.value)
        .collect();
    assert_eq!(buckets.len(), 15);
    assert!(buckets.is_sorted(), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&31.0), "+Inf holds all");
    let sum = scrape.value("session_operation_duration_seconds_sum", &labels).unwrap();
    assert!(sum > 0.0 && sum < 1.0, "{sum}");

    let idle = after_polls(&exporter, 4);
    assert_eq!(counts(&idle), exactly(TRAFFIC), "nothing comes from nothing");
}

#[test]
fn our_own_commands_are_nobodys_sessions() {
    let server = RedisServer::start();
    let further = format!("{ON}\nsession_probe: {{ enabled: true, interval: 100ms }}");
    let exporter = watch(&server, &further);
    let probes = |scrape: &Scrape| {
        let labels = [("instance", "redis"), ("operation", "delete"), ("status", "success")];
        scrape.value("session_probe_operations_total", &labels)
    };
    let scrape = exporter.wait_for_instance("redis", "twenty probes", Duration::from_secs(10), |scrape| {
        probes(scrape) >= Some(20.0)
    });
    assert_eq!(counts(&scrape), exactly([(0, 0); 3]), "{}", scrape.about("redis"));
    for operation in ["get", "update", "delete"] {
        assert_eq!(observations(&scrape, operation), Some(0.0), "{operation}");
        let labels = [("instance", "redis"), ("operation", operation)];
        assert_eq!(
            scrape.value("session_operation_duration_seconds_sum", &labels),
            Some(0.0)
        );
    }
    // Those of others beside them are all there.
    traffic(&mut server.client());
    exporter.wait_for_instance("redis", "everything else is counted", COUNTED_BOUND, |scrape| {
        counts(scrape) == exactly(TRAFFIC)
    });
    let idle = after_polls(&exporter, 4);
    assert_eq!(counts(&idle), exactly(TRAFFIC));
    assert_eq!(observations(&idle, "update"), Some(27.0));
    // Our own failures are ours as well.
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let failed = [("instance", "redis"), ("operation", "create"), ("status", "error")];
    exporter.wait_for_instance("redis", "probes fail", Duration::from_secs(10), |scrape| {
        scrape.value("session_probe_operations_total", &failed) >= Some(5.0)
    });
    assert_eq!(counts(&after_polls(&exporter, 2)), exactly(TRAFFIC));
}

#[test]
fn resetstat_restart_and_reload_let_nothing_fall() {
    let mut server = RedisServer::start();
    let exporter = watch(&server, ON);
    traffic(&mut server.client());
    exporter.wait_for_instance("redis", "counted", COUNTED_BOUND, |scrape| {
        counts(scrape) == exactly(TRAFFIC)
    });

    server.command(&["CONFIG", "RESETSTAT"]);
    server.command(&["GET", "sess:10"]);
    let more = [(31, 2), (26, 2), (4, 0)];
    exporter.wait_for_instance("redis", "after RESETSTAT", COUNTED_BOUND, |scrape| {
        counts(scrape) == exactly(more)
    });

    server.restart();
    let mut client = server.client();
    client.command(&["GET", "sess:10"]);
    client.command(&["SET", "sess:10", "x"]);
    let more = [(32, 2), (27, 2), (4, 0)];
    exporter.wait_for_instance("redis", "after a restart", BACK_BOUND + COUNTED_BOUND, |scrape| {
        counts(scrape) == exactly(more)
    });

    let changed = format!("{ON}\nexpect: {{ persistence: none }}");
    exporter.reload(&config::fast(&[("redis", &server.address(), &changed)]));
    exporter.wait_for_instance("redis", "reloaded", BACK_BOUND, |scrape| {
        scrape.has("redis_expectation_met", &[("instance", "redis")])
    });
    client.command(&["DEL", "sess:10"]);
    let more = [(32, 2), (27, 2), (5, 0)];
    let scrape = exporter.wait_for_instance("redis", "after a reload", COUNTED_BOUND, |scrape| {
        counts(scrape) == exactly(more)
    });
    assert_eq!(observations(&scrape, "delete"), Some(5.0));

    // Switched off and on again: what was counted is still there.
    exporter.reload(&config::fast(&[("redis", &server.address(), "operations: off")]));
    exporter.wait_for_instance("redis", "switched off", BACK_BOUND, |scrape| {
        count(scrape, "get", "success").is_none()
    });
    client.command(&["GET", "sess:10"]);
    exporter.reload(&config::fast(&[("redis", &server.address(), ON)]));
    exporter.wait_for_instance("redis", "on again", BACK_BOUND, |scrape| {
        counts(scrape) == exactly(more)
    });
}

#[test]
fn without_latency_histogram_the_counters_are_there() {
    let server = RedisServer::start();
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-latency|histogram",
    ]);
    let exporter = watch(&server, &format!("username: monitor\npassword: secret\n{ON}"));
    server.command(&["GET", "sess:0"]);
    let scrape = exporter.wait_for_instance("redis", "counted", COUNTED_BOUND, |scrape| {
        count(scrape, "get", "success") == Some(1.0)
    });
    assert_eq!(observations(&scrape, "get"), None);
    let labels = [("instance", "redis"), ("collector", "operations"), ("reason", "denied")];
    assert_eq!(
        scrape.value("redis_session_exporter_collector_unavailable", &labels),
        Some(1.0)
    );
}

#[test]
fn auto_waits_until_the_keys_are_known_to_be_sessions() {
    let server = RedisServer::start();
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), "sessions: []")]));
    exporter.wait_until_up(&["redis"]);
    let scrape = after_polls(&exporter, 2);
    assert_eq!(count(&scrape, "get", "success"), None);
}

const AUTO: &str = "sessions:\n  - { store: web, match: [\"sess:*\"] }\nscan: { redis_share: 0 }";

/// Longest time until a scan has seen the keys and a poll of INFO came after it.
const SEEN_BOUND: Duration = BACK_BOUND.saturating_add(COUNTED_BOUND);

/// Hits of the health answer, which the server's counters give while the keys are sessions.
fn has_cache(exporter: &Exporter) -> bool {
    let health = exporter.get("/health/redis/redis").json();
    !health["sessionCache"]["metrics"]["hits"].is_null()
}

#[test]
fn auto_goes_on_and_off_with_the_share_of_the_keys() {
    let server = RedisServer::start();
    server.fill("sess:", 94);
    server.fill("cart:", 6);
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), AUTO)]));
    let active = |scrape: &Scrape| scrape.value("sessions_active", &[("instance", "redis"), ("store", "web")]);
    exporter.wait_for_instance("redis", "scanned", SEEN_BOUND, |scrape| active(scrape) == Some(94.0));
    assert_eq!(count(&after_polls(&exporter, 2), "get", "success"), None, "94 %");
    assert!(!has_cache(&exporter));

    server.fill("sess:", 114);
    exporter.wait_for_instance("redis", "on at 95 %", SEEN_BOUND, |scrape| {
        count(scrape, "get", "success") == Some(0.0)
    });
    assert!(has_cache(&exporter));
    server.command(&["GET", "sess:0"]);
    exporter.wait_for_instance("redis", "counted", COUNTED_BOUND, |scrape| {
        count(scrape, "get", "success") == Some(1.0)
    });

    // 114 of 124 keys are 92 %: between the two sides nothing changes.
    server.fill("cart:", 10);
    let labels = [("instance", "redis"), ("db", "db0")];
    let keys = |scrape: &Scrape| scrape.value("redis_db_keys", &labels);
    exporter.wait_for_instance("redis", "more keys", COUNTED_BOUND, |scrape| {
        keys(scrape) == Some(124.0)
    });
    let scans = |scrape: &Scrape| scrape.sum("session_scan_keys_total", &[("instance", "redis")]);
    let before = scans(&exporter.scrape());
    let scrape = exporter.wait_for_instance("redis", "two more scans", SEEN_BOUND, |scrape| {
        scans(scrape) >= before + 248.0
    });
    assert!(count(&scrape, "get", "success").is_some(), "92 % is not below 90 %");
    assert!(has_cache(&exporter), "the same hysteresis");

    server.fill("cart:", 30);
    exporter.wait_for_instance("redis", "off below 90 %", SEEN_BOUND, |scrape| {
        count(scrape, "get", "success").is_none()
    });
    assert!(!has_cache(&exporter));

    // On again it goes on from what was counted, and an empty server takes nothing back.
    server.command(&[
        "EVAL",
        "return redis.call('DEL', unpack(redis.call('KEYS', 'cart:*')))",
        "0",
    ]);
    exporter.wait_for_instance("redis", "on again", SEEN_BOUND, |scrape| {
        count(scrape, "get", "success") == Some(1.0)
    });
    server.command(&["FLUSHALL"]);
    exporter.wait_for_instance("redis", "empty", SEEN_BOUND, |scrape| active(scrape) == Some(0.0));
    assert!(count(&after_polls(&exporter, 2), "get", "success").is_some());
}

#[test]
fn auto_ends_with_what_the_scans_found() {
    let (primary, cache) = (RedisServer::start(), RedisServer::start());
    let replica = RedisServer::start_with(&[
        "--replicaof",
        &format!("127.0.0.1 {}", primary.port),
        "--repl-diskless-sync-delay",
        "0",
    ]);
    primary.fill("sess:", 100);
    cache.fill("page:", 100);
    let of = |address: &str, further: &str| config::fast(&[("redis", address, further)]);
    let exporter = Exporter::start(&of(&primary.address(), AUTO));
    let on = |what: &str| {
        exporter.wait_for_instance("redis", what, SEEN_BOUND, |scrape| {
            count(scrape, "get", "success").is_some()
        });
    };
    let off = |what: &str| {
        exporter.wait_for_instance("redis", what, SEEN_BOUND, |scrape| {
            count(scrape, "get", "success").is_none()
        });
        assert_eq!(count(&after_polls(&exporter, 3), "get", "success"), None, "{what}");
        assert!(!has_cache(&exporter), "{what}");
    };
    on("the primary of sessions");
    exporter.reload(&of(
        &primary.address(),
        &format!("{AUTO}\ncollectors: {{ sessions: false }}"),
    ));
    off("nobody scans any more");
    exporter.reload(&of(&primary.address(), AUTO));
    on("scanned again");
    // A failover: the instance is a replica from now on, then a primary again.
    primary.command(&["REPLICAOF", "127.0.0.1", &cache.port.to_string()]);
    off("a replica");
    primary.command(&["REPLICAOF", "NO", "ONE"]);
    primary.fill("sess:", 5000);
    on("a primary again");
    exporter.reload(&of(&cache.address(), "sessions: []"));
    off("another server, which is a cache");
    exporter.reload(&of(&primary.address(), AUTO));
    on("the primary once more");
    exporter.reload(&of(&replica.address(), AUTO));
    off("a replica of it, which is not scanned");
}
