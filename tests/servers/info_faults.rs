//! INFO replies that are wrong, odd or huge, and names that are not text.

use crate::bench::{BACK_BOUND, Bench, FAULTY};
use crate::support::SLACK;
use crate::support::peer::{ScriptedPeer, healthy_with_info, info_fixture};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use std::time::Duration;

/// A bench whose faulty instance answers INFO with this text, once it was read (its `uptime_in_seconds` says which one it is).
fn serving(info: Vec<u8>) -> (ScriptedPeer, Bench) {
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.answer(move |words| healthy_with_info(words, &info));
    (peer, bench)
}

/// Waits until this INFO was read and the instance is fine.
fn read(bench: &Bench, uptime: f64) -> Scrape {
    bench.watch("the odd INFO is read", BACK_BOUND, |scrape| {
        scrape.value("redis_uptime_in_seconds", &[("instance", FAULTY)]) == Some(uptime)
            && scrape.value("redis_up", &[("instance", FAULTY)]) == Some(1.0)
    })
}

fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("instance", FAULTY)]).collect();
    scrape.value(name, &labels)
}

#[test]
fn missing_sections_leave_values_out() {
    let (_peer, bench) = serving(b"# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:4711\r\n".to_vec());
    let scrape = read(&bench, 4711.0);
    for absent in [
        "redis_memory_used_bytes",
        "redis_connected_clients",
        "redis_memory_used_ratio",
        "redis_commands_total",
    ] {
        assert!(
            !scrape.has(absent, &[("instance", FAULTY)]),
            "{absent} is not zero but unknown"
        );
    }
}

#[test]
fn garbage_lines_and_non_numbers() {
    let info = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:4712\r\n\
        line without a colon\r\n:::\r\n:\r\n\r\n#\r\n\u{1}\u{2}\r\n\
        # Clients\r\nconnected_clients:many\r\nblocked_clients:-1\r\nmaxclients:1e3000\r\n\
        # Memory\r\nused_memory:\r\nmaxmemory:NaN\r\nused_memory_rss:0x10\r\nused_memory_peak:18446744073709551616\r\n\
        # Stats\r\ntotal_commands_processed:12 apples\r\nexpired_keys:5\r\n"
        .replace("\\r\\n", "\r\n");
    let mut info = info.into_bytes();
    info.extend_from_slice(b"evicted_keys:\xff\xfe\r\n\xc3(:7\r\nrejected_connections:3\r\n");
    let (_peer, bench) = serving(info);
    let scrape = read(&bench, 4712.0);
    assert!(!scrape.has("redis_connected_clients", &[("instance", FAULTY)]));
    assert!(!scrape.has("redis_memory_used_bytes", &[("instance", FAULTY)]));
    assert!(!scrape.has("redis_commands_processed_total", &[("instance", FAULTY)]));
    assert!(!scrape.has("redis_evicted_keys_total", &[("instance", FAULTY)]));
    assert_eq!(
        value(&scrape, "redis_expired_keys_total", &[]),
        Some(5.0),
        "the lines beside the garbage are read"
    );
    assert_eq!(value(&scrape, "redis_rejected_connections_total", &[]), Some(3.0));
}

#[test]
fn odd_command_and_error_statistics() {
    let info = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:4713\r\n\
        # Commandstats\r\n\
        cmdstat_get:calls=7,usec=14,usec_per_call=2.00,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_host::with:colons:calls=3,usec=6,usec_per_call=2.00,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_module.cmd:calls=2,usec=4\r\n\
        cmdstat_broken:calls\r\n\
        cmdstat_:calls=1\r\n\
        cmdstat_quote\"and\\back:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\r\n\
        # Errorstats\r\nerrorstat_OOM:count=4\r\nerrorstat_WEIRD:5\r\nerrorstat_:count=\r\nerrorstat_LOADING\r\n\
        # Keyspace\r\ndb0:keys=10,expires=4,avg_ttl=3\r\ndb7:keys=2,expires=0,avg_ttl=0,subexpiry=9\r\ndb9:keys\r\ndbx:keys=1,expires=1,avg_ttl=1\r\n";
    let (_peer, bench) = serving(info.as_bytes().to_vec());
    let scrape = read(&bench, 4713.0);
    assert_eq!(value(&scrape, "redis_commands_total", &[("cmd", "get")]), Some(7.0));
    assert_eq!(
        value(&scrape, "redis_commands_total", &[("cmd", "host::with:colons")]),
        Some(3.0)
    );
    assert_eq!(value(&scrape, "redis_errors_total", &[("err", "OOM")]), Some(4.0));
    assert_eq!(value(&scrape, "redis_db_keys", &[("db", "db0")]), Some(10.0));
    assert_eq!(value(&scrape, "redis_db_keys_expiring", &[("db", "db0")]), Some(4.0));
    assert_eq!(value(&scrape, "redis_db_keys", &[("db", "db7")]), Some(2.0));
    assert!(!scrape.has("redis_db_keys", &[("instance", FAULTY), ("db", "db9")]));
}

#[test]
fn commandstats_of_thousands_of_commands_are_bounded() {
    let mut info = b"# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:4714\r\n# Commandstats\r\n".to_vec();
    for number in 0..5_000 {
        let line =
            format!("cmdstat_made.up{number}:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\r\n");
        info.extend_from_slice(line.as_bytes());
    }
    let (_peer, bench) = serving(info);
    let scrape = read(&bench, 4714.0);
    let commands = scrape.all("redis_commands_total", &[("instance", FAULTY)]).count();
    assert!(commands <= 1_000, "{commands} commands became labels");
    let dropped = scrape.sum("redis_session_exporter_series_dropped_total", &[("instance", FAULTY)]);
    assert!(dropped > 0.0, "what was left out is counted");
}

#[test]
fn ten_megabytes() {
    let mut info = b"# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:4715\r\n".to_vec();
    while info.len() < 10 << 20 {
        info.extend_from_slice(
            b"module_something_that_nobody_reads:name=x,ver=999999,api=1,filters=0,usedby=[],using=[]\r\n",
        );
    }
    let (peer, bench) = serving(info);
    // Parsing so much takes its time in an unoptimised build, hence the longer bound; what matters is that nothing else suffers.
    bench.watch(
        "ten megabytes are read or refused, and the peer is still pinged",
        Duration::from_secs(10),
        |scrape| {
            value(scrape, "redis_uptime_in_seconds", &[]) == Some(4715.0)
                || scrape.sum("redis_connection_errors_total", &[("instance", FAULTY)]) >= 1.0
        },
    );
    peer.recover();
    bench.recovers();
}

#[test]
fn fork_with_unknown_fields() {
    let info = "# Server\r\nredis_version:7.2.4\r\nserver_name:newfork\r\nnewfork_version:1.2.3\r\nuptime_in_seconds:4716\r\n\
        a_field_of_the_future:1\r\n# Future\r\nmore:2\r\n# Memory\r\nused_memory:1000\r\nmaxmemory:0\r\n";
    let (_peer, bench) = serving(info.as_bytes().to_vec());
    let scrape = read(&bench, 4716.0);
    assert_eq!(value(&scrape, "redis_memory_used_bytes", &[]), Some(1000.0));
    assert_eq!(
        value(&scrape, "redis_memory_max_bytes", &[]),
        Some(0.0),
        "no limit is said as Redis says it"
    );
    assert!(
        !scrape.has("redis_memory_used_ratio", &[("instance", FAULTY)]),
        "no ratio without a limit"
    );
}

#[test]
fn empty_info() {
    let (peer, bench) = serving(Vec::new());
    bench.watch(
        "values of the INFO before are gone when they are old",
        BACK_BOUND * 2 + SLACK,
        |scrape| {
            value(scrape, "redis_connection_status", &[]) == Some(1.0)
                && !scrape.has("redis_uptime_in_seconds", &[("instance", FAULTY)])
        },
    );
    peer.recover();
    bench.recovers();
}

#[test]
fn the_fixture_itself_is_read() {
    let (_peer, bench) = serving(info_fixture());
    let scrape = bench.recovers();
    assert!(value(&scrape, "redis_memory_max_bytes", &[]) > Some(0.0));
}

#[test]
fn names_that_are_binary_or_odd() {
    let server = RedisServer::start();
    let mut client = server.client();
    for key in [
        &b"sess:\xff\xfe\x00"[..],
        b"sess:new\nline",
        b"sess:\"quoted\"",
        b"sess:back\\slash",
        b"sess:",
        b"sess:{}le=\"1\"",
    ] {
        client.bytes(&[b"SET", key, b"value"]);
    }
    client.bytes(&[b"SET", b"\nsess:not-one", b"value"]);
    // Redis refuses spaces and line breaks in client names, but takes any other byte from `!` to `~`.
    client.command(&["CLIENT", "SETNAME", "name=\"x\"\\{},#"]);
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"] }";
    let bench = Bench::new(&server.address(), store);
    bench.watch("six sessions", BACK_BOUND, |scrape| {
        value(scrape, "sessions_active", &[("store", "web")]) == Some(6.0)
    });
}
