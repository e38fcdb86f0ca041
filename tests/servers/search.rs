//! `search` against a peer that answers FT._LIST and FT.INFO as the documentation of RediSearch and valkey-search says, and real servers
//! that have no such module.

use crate::bench::BACK_BOUND;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::peer::{Answer, ScriptedPeer, healthy, is_command};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{fixture, wait_until};
use std::time::Duration;

fn start(address: &str, further: &str) -> Exporter {
    Exporter::start(&config::fast(&[("redis", address, further)]))
}

fn value(scrape: &Scrape, metric: &str, index: &str) -> Option<f64> {
    let labels = [("instance", "redis"), ("index_name", index)];
    scrape.value(&format!("redis_search_index_{metric}"), &labels)
}

fn list(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    bytes.into_bytes()
}

/// A server with these indexes; `gone` is listed and cannot be asked about.
fn peer(indexes: &'static [&'static str]) -> ScriptedPeer {
    ScriptedPeer::start_with(move |words| {
        if is_command(words, "FT._LIST") {
            return Answer::Bytes(list(indexes));
        }
        if !is_command(words, "FT.INFO") {
            return healthy(words);
        }
        Answer::Bytes(match words[1].as_str() {
            "gone" => std::fs::read(fixture("replies/redisearch-1.2/error-unknown-index.resp")).unwrap(),
            "empty" => std::fs::read(fixture("replies/redisearch-1.2/ft-info-empty.resp")).unwrap(),
            "valkey" => list(&[
                "index_name",
                "valkey",
                "num_docs",
                "3",
                "backfill_in_progress",
                "0",
                "state",
                "ready",
            ]),
            _ => std::fs::read(fixture("replies/redisearch-1.2/ft-info.resp")).unwrap(),
        })
    })
}

#[test]
fn every_index_is_asked_about_in_one_more_round_trip() {
    let peer = peer(&["sessions", "gone", "empty", "valkey"]);
    let exporter = start(&peer.address(), "collectors: { search: on }\nsessions: []");
    let scrape = exporter.wait_for_instance("redis", "the indexes", BACK_BOUND, |scrape| {
        value(scrape, "num_docs", "sessions") == Some(5.0)
    });
    assert_eq!(value(&scrape, "num_docs", "empty"), Some(0.0));
    assert_eq!(value(&scrape, "avg_per_doc_records", "empty"), None, "-nan");
    assert_eq!(value(&scrape, "indexing", "valkey"), Some(0.0));
    assert_eq!(value(&scrape, "num_docs", "gone"), None);
    let success = [("instance", "redis"), ("collector", "search")];
    assert_eq!(
        scrape.value("redis_session_exporter_collector_success", &success),
        Some(1.0)
    );
    let batches = peer.batches();
    let asked = batches
        .iter()
        .map(|batch| batch.commands.iter().filter(|words| is_command(words, "FT.INFO")))
        .find(|asked| asked.clone().next().is_some())
        .unwrap();
    let names: Vec<&str> = asked.map(|words| words[1].as_str()).collect();
    assert_eq!(names, ["empty", "gone", "sessions", "valkey"]);
}

#[test]
fn the_pattern_and_the_limit_keep_others_out() {
    let peer = peer(&["session-b", "orders", "session-a", "session-c"]);
    let further = "search: { indexes: \"^session\" }\nsessions: []";
    let instances = config::fast(&[("redis", &peer.address(), further)]);
    let exporter = Exporter::start(&format!("limits: {{ label_values: 2 }}\n{instances}"));
    let scrape = exporter.wait_for_instance("redis", "the indexes", BACK_BOUND, |scrape| {
        value(scrape, "num_docs", "session-b").is_some()
    });
    assert_eq!(value(&scrape, "num_docs", "session-a"), Some(5.0));
    assert_eq!(
        (
            value(&scrape, "num_docs", "session-c"),
            value(&scrape, "num_docs", "orders")
        ),
        (None, None)
    );
    let dropped = [("instance", "redis"), ("reason", "label_values")];
    assert!(scrape.value("redis_session_exporter_series_dropped_total", &dropped) >= Some(1.0));
    let asked = |name: &str| {
        let batches = peer.batches();
        batches
            .iter()
            .flat_map(|batch| &batch.commands)
            .any(|words| words.iter().any(|word| word == name))
    };
    assert!(!asked("orders") && !asked("session-c"));
}

#[test]
fn a_server_without_indexes_is_asked_once_and_quietly() {
    let server = RedisServer::start();
    let exporter = start(&server.address(), "collectors: { search: on }");
    let unsupported = [
        ("instance", "redis"),
        ("collector", "search"),
        ("reason", "unsupported"),
    ];
    let scrape = exporter.wait_for_instance("redis", "unsupported", BACK_BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_unavailable", &unsupported) == Some(1.0)
    });
    assert_eq!(scrape.value("redis_up", &[("instance", "redis")]), Some(1.0));
    let polls = || {
        let line = server.info("cmdstat_info").unwrap();
        let calls = line.split(',').find_map(|pair| pair.strip_prefix("calls=")).unwrap();
        calls.parse::<u64>().unwrap()
    };
    let errors = || server.info("errorstat_ERR").unwrap_or_default();
    let (before, known) = (polls(), errors());
    let polled = wait_until(Duration::from_secs(20), || (polls() >= before + 6).then_some(()));
    assert_eq!(polled, Some(()));
    assert_eq!(errors(), known, "it is not tried at every poll");
    let log = exporter.log();
    assert!(!log.contains("WARN"), "{log}");
    assert_eq!(log.matches("FT._LIST").count(), 1, "{log}");
}

#[test]
fn a_denied_command_is_named() {
    let peer = ScriptedPeer::start_with(|words| match words[0].to_ascii_uppercase().as_str() {
        "FT._LIST" => Answer::Bytes(list(&["sessions"])),
        "FT.INFO" => Answer::Bytes(b"-NOPERM User m has no permissions to run the 'ft.info' command\r\n".to_vec()),
        _ => healthy(words),
    });
    let exporter = start(&peer.address(), "collectors: { search: on }");
    let denied = [("instance", "redis"), ("collector", "search"), ("reason", "denied")];
    exporter.wait_for_instance("redis", "denied", BACK_BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_unavailable", &denied) == Some(1.0)
    });
    assert_eq!(exporter.log().matches("FT.INFO").count(), 1, "{}", exporter.log());
}
