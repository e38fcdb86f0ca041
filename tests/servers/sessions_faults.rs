//! What happens to a pass over the keys when the server fails, stalls, restarts or is emptied under it.

use crate::sessions_scan::fill;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::peer::{Answer, ScriptedPeer, bulk, healthy, healthy_with_info, info_fixture};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

/// Counted exactly although a pass takes longer than the short interval of these tests.
const STORE: &str = "sessions: [{ store: web, match: \"sess:*\", count: exact }]";

/// The same, estimated from a window of 20,000 keys.
const SAMPLED: &str = "sessions: [{ store: web, match: \"sess:*\", count: sample }]";

/// Keys of the tests with a real server: a paced pass over them takes some seconds, so that a fault meets it.
const KEYS: usize = 60_000;

fn active(scrape: &Scrape) -> Option<f64> {
    scrape.value("sessions_active", &[("instance", "redis"), ("store", "web")])
}

fn errors(scrape: &Scrape, reason: &str) -> f64 {
    let labels = [("instance", "redis"), ("reason", reason)];
    scrape
        .value("redis_connection_errors_total", &labels)
        .unwrap_or_default()
}

/// A page of SCAN.
fn page(cursor: &str, keys: &[&str]) -> Vec<u8> {
    let mut bytes = b"*2\r\n".to_vec();
    bytes.extend(bulk(cursor.as_bytes()));
    bytes.extend(format!("*{}\r\n", keys.len()).into_bytes());
    for key in keys {
        bytes.extend(bulk(key.as_bytes()));
    }
    bytes
}

/// The cursors of all SCAN commands so far.
fn cursors(peer: &ScriptedPeer) -> Vec<String> {
    let batches = peer.batches();
    let commands = batches.iter().flat_map(|batch| &batch.commands);
    let scans = commands.filter(|words| words[0].eq_ignore_ascii_case("SCAN"));
    scans.map(|words| words[1].clone()).collect()
}

/// A server of three pages whose second page fails once in this way.
fn failing_once(failure: Answer, changes_process: bool) -> (ScriptedPeer, Exporter) {
    let has_failed = Arc::new(AtomicBool::new(false));
    let peer = ScriptedPeer::start_with(
        move |words| match (words[0].to_ascii_uppercase().as_str(), words.get(1)) {
            ("DBSIZE", _) => Answer::Bytes(b":5\r\n".to_vec()),
            ("SCAN", Some(cursor)) => match cursor.as_str() {
                "0" => Answer::Bytes(page("17", &["sess:a", "sess:b"])),
                "17" if !has_failed.swap(true, Ordering::SeqCst) => failure.clone(),
                "17" => Answer::Bytes(page("3", &["sess:c", "other"])),
                _ => Answer::Bytes(page("0", &["sess:d"])),
            },
            ("INFO", _) if changes_process && has_failed.load(Ordering::SeqCst) => {
                let text = String::from_utf8(info_fixture()).unwrap();
                let line = text
                    .lines()
                    .find(|line| line.starts_with("run_id:"))
                    .unwrap()
                    .to_owned();
                healthy_with_info(words, text.replace(&line, "run_id:0123456789").as_bytes())
            }
            // What single sessions look like is another matter.
            ("PTTL", _) => Answer::Bytes(b":60000\r\n".to_vec()),
            ("MEMORY", _) => Answer::Bytes(b":100\r\n".to_vec()),
            _ => healthy(words),
        },
    );
    // One pass within the test.
    let config =
        config::fast(&[("redis", &peer.address(), STORE)]).replace("scan_interval: 300ms", "scan_interval: 1h");
    let exporter = Exporter::start(&config);
    (peer, exporter)
}

#[test]
fn a_pass_goes_on_from_its_cursor() {
    for (failure, reason) in [
        (Answer::BytesThenHang(Vec::new()), "timeout"),
        (Answer::BytesThenClose(Vec::new()), "closed"),
        (
            Answer::Bytes(b"-BUSY Redis is busy running a script.\r\n".to_vec()),
            "busy",
        ),
    ] {
        let (peer, exporter) = failing_once(failure, false);
        let scrape = exporter.wait_for_instance("redis", "counted", BOUND, |scrape| active(scrape).is_some());
        assert_eq!(active(&scrape), Some(4.0), "{reason}");
        assert_eq!(cursors(&peer), ["0", "17", "17", "3"], "{reason}");
        assert!(errors(&scrape, reason) >= 1.0, "{reason}: {}", scrape.about("redis"));
        let success = [("instance", "redis"), ("collector", "sessions")];
        assert_eq!(
            scrape.value("redis_session_exporter_collector_success", &success),
            Some(1.0)
        );
    }
}

#[test]
fn a_cursor_of_another_process_is_not_used() {
    for (failure, changes_process) in [
        (Answer::BytesThenClose(Vec::new()), true),
        // The same process with other data.
        (
            Answer::Bytes(b"-LOADING Redis is loading the dataset in memory\r\n".to_vec()),
            false,
        ),
    ] {
        let (peer, exporter) = failing_once(failure, changes_process);
        let scrape = exporter.wait_for_instance("redis", "counted", BOUND, |scrape| active(scrape).is_some());
        assert_eq!(active(&scrape), Some(4.0));
        assert_eq!(cursors(&peer), ["0", "17", "0", "17", "3"]);
    }
}

#[test]
fn a_pass_that_always_fails_ends() {
    let peer = ScriptedPeer::start_with(|words| match words[0].to_ascii_uppercase().as_str() {
        "SCAN" if words[1] == "0" => Answer::Bytes(page("17", &["sess:a"])),
        "SCAN" => Answer::BytesThenClose(Vec::new()),
        "PTTL" | "MEMORY" => Answer::Bytes(b":60000\r\n".to_vec()),
        _ => healthy(words),
    });
    let exporter = Exporter::start(&config::fast(&[("redis", &peer.address(), STORE)]));
    let labels = [("instance", "redis"), ("collector", "sessions")];
    let scrape = exporter.wait_for_instance("redis", "the collector has failed", BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_success", &labels) == Some(0.0)
    });
    assert_eq!(active(&scrape), None);
    assert!(
        errors(&scrape, "closed") >= 4.0,
        "every failed exchange counts: {}",
        scrape.about("redis")
    );
    let tries = cursors(&peer).iter().filter(|cursor| *cursor == "17").count();
    assert!(tries >= 4, "{tries}");
}

/// A server with [`KEYS`] sessions and an exporter whose pass over them is under way.
fn under_way(server: &RedisServer, store: &str) -> Exporter {
    fill(&mut server.client(), "sess:", KEYS);
    // Slow enough to be met under way, and quick enough for a busy machine.
    let further = format!("scan: {{ redis_share: 0.1 }}\n{store}");
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), &further)]));
    let begun = wait_until(BOUND, || (scans(server) >= 30).then_some(()));
    assert!(begun.is_some(), "a pass is under way");
    assert!(scans(server) < 180, "and not at its end");
    exporter
}

/// Calls of SCAN so far.
fn scans(server: &RedisServer) -> u64 {
    let stats = server.info("cmdstat_scan").unwrap_or_default();
    let calls = stats.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
    calls.and_then(|calls| calls.parse().ok()).unwrap_or_default()
}

#[test]
fn a_server_that_stalls_is_counted_all_the_same() {
    let server = RedisServer::start();
    let exporter = under_way(&server, STORE);
    server.freeze();
    let stalled = exporter.wait_for_instance("redis", "a failed exchange", BOUND, |scrape| {
        errors(scrape, "timeout") >= 2.0
    });
    assert_eq!(active(&stalled), None);
    server.thaw();
    let scrape = exporter.wait_for_instance("redis", "counted", BOUND, |scrape| active(scrape).is_some());
    assert_eq!(active(&scrape), Some(KEYS as f64));
}

#[test]
fn a_restart_under_way_gives_the_new_count() {
    let mut server = RedisServer::start();
    let exporter = under_way(&server, STORE);
    server.restart();
    fill(&mut server.client(), "sess:new:", 123);
    let mut seen = Vec::new();
    exporter.wait_for_instance("redis", "the new count", BOUND, |scrape| {
        seen.extend(active(scrape));
        active(scrape) == Some(123.0)
    });
    let wrong: Vec<f64> = seen.into_iter().filter(|count| *count > 123.0).collect();
    assert!(wrong.is_empty(), "what the old process held is not counted");
}

#[test]
fn a_flush_under_way_gives_right_or_no_numbers() {
    for store in [STORE, SAMPLED] {
        let server = RedisServer::start();
        let exporter = under_way(&server, store);
        let mut client = server.client();
        client.command(&["FLUSHALL"]);
        fill(&mut client, "sess:new:", 321);
        let mut seen = Vec::new();
        exporter.wait_for_instance("redis", "the new count", BOUND, |scrape| {
            seen.extend(active(scrape));
            active(scrape) == Some(321.0)
        });
        let wrong: Vec<f64> = seen.into_iter().filter(|count| *count > 321.0).collect();
        assert!(wrong.is_empty(), "keys that are gone are not counted: {wrong:?}");
    }
}

#[test]
fn a_flush_of_another_database_takes_no_pass_away() {
    let server = RedisServer::start();
    let exporter = under_way(&server, STORE);
    let mut client = server.client();
    // Logouts beside a cache that is emptied now and then.
    let ended: Vec<Vec<Vec<u8>>> = (0..KEYS / 10)
        .map(|number| vec![b"DEL".to_vec(), format!("sess:{number}").into_bytes()])
        .collect();
    client.pipeline(&ended);
    client.command(&["SELECT", "5"]);
    client.command(&["SET", "cache", "x"]);
    client.command(&["FLUSHDB"]);
    let scrape = exporter.wait_for_instance("redis", "counted", BOUND, |scrape| active(scrape).is_some());
    let keys = scrape.sum("session_scan_keys_total", &[("instance", "redis")]);
    assert!(
        keys <= KEYS as f64 * 1.5,
        "one pass was enough: {keys} keys were examined"
    );
    exporter.wait_for_instance("redis", "the new count", BOUND, |scrape| {
        active(scrape) == Some((KEYS - KEYS / 10) as f64)
    });
}

#[test]
fn keys_that_end_between_scan_and_the_look_at_them_do_no_harm() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client, "sess:", 500);
    // PTTL of half of them finds nothing: they live for milliseconds.
    let commands: Vec<Vec<Vec<u8>>> = (0..2000)
        .map(|number| {
            let key = format!("sess:short:{number}");
            ["SET", &key, "x", "PX", &(1 + number % 700).to_string()]
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect()
        })
        .collect();
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), STORE)]));
    for _ in 0..5 {
        client.pipeline(&commands);
        exporter.wait_for_instance("redis", "only those that live on", BOUND, |scrape| {
            active(scrape) == Some(500.0)
        });
    }
    let scrape = exporter.scrape();
    let labels = [("instance", "redis"), ("store", "web")];
    assert_eq!(scrape.value("sessions_without_ttl", &labels), Some(0.0));
    assert_eq!(errors(&scrape, "protocol"), 0.0);
}

#[test]
fn what_a_reload_during_a_pass_permits_is_tried_again() {
    let server = RedisServer::start();
    server.command(&[
        "ACL", "SETUSER", "monitor", "on", ">secret", "~*", "&*", "+@all", "-pttl",
    ]);
    fill(&mut server.client(), "sess:", KEYS);
    let further = format!("username: monitor\npassword: secret\nscan: {{ redis_share: 0.1 }}\n{STORE}");
    let config = config::fast(&[("redis", &server.address(), &further)]);
    let exporter = Exporter::start(&config);
    let begun = wait_until(BOUND, || (scans(&server) >= 30).then_some(()));
    assert!(begun.is_some(), "a pass is under way");
    let denied = server.info("cmdstat_pttl").unwrap_or_default();
    assert!(denied.contains("rejected_calls=1,"), "{denied}");
    server.command(&["ACL", "SETUSER", "monitor", "+pttl"]);
    exporter.reload(&config);
    let labels = [("instance", "redis"), ("store", "web")];
    exporter.wait_for_instance("redis", "TTLs are known", BOUND, |scrape| {
        scrape.value("sessions_without_ttl", &labels).is_some()
    });
}

#[test]
fn what_is_configured_outlives_the_counts() {
    let server = RedisServer::start();
    fill(&mut server.client(), "sess:", 10);
    let store = "sessions: [{ store: web, match: \"sess:*\", capacity: 500, expected_ttl: 1h }]";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), store)]));
    exporter.wait_for_instance("redis", "counted", BOUND, |scrape| active(scrape) == Some(10.0));
    server.freeze();
    let scrape = exporter.wait_for_instance("redis", "the count is too old", BOUND, |scrape| {
        active(scrape).is_none()
    });
    let web = [("instance", "redis"), ("store", "web")];
    assert_eq!(scrape.value("sessions_max_capacity", &web), Some(500.0));
    assert_eq!(scrape.value("sessions_expected_ttl_seconds", &web), Some(3600.0));
    let database = [("instance", "redis"), ("db", "db0")];
    let success = scrape.value("session_scan_last_success_timestamp_seconds", &database);
    assert!(success > Some(1e9), "{success:?}");
    assert!(
        !scrape.has("session_scan_coverage_ratio", &database),
        "this one is of the count"
    );
    server.thaw();
}
