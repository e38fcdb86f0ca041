//! The freshness contract: old values never pass for new ones.

use crate::bench::{BACK_BOUND, Bench, DOWN_BOUND, FAULTY};
use crate::support::config::{self, INFO, PING, TIMEOUT};
use crate::support::exporter::{Exporter, is_up};
use crate::support::peer::{Answer, ScriptedPeer, Welcome, healthy, is_command};
use crate::support::redis_server::RedisServer;
use crate::support::{SLACK, wait_until};
use std::time::{Duration, Instant};

/// When INFO values become too old: the time-out is long beside the interval here, so that two intervals and the deadlines that may
/// lie in them decide.
const INFO_STALE: Duration = INFO.saturating_mul(2).saturating_add(TIMEOUT.saturating_mul(5));

/// When the values of a scan become too old, likewise.
const SCAN_STALE: Duration = config::SCAN.saturating_mul(2).saturating_add(TIMEOUT.saturating_mul(9));

#[test]
fn values_leave_and_counters_stay_while_the_server_is_stopped() {
    let server = RedisServer::start();
    server.command(&["SET", "sess:1", "x"]);
    let bench = Bench::new(
        &server.address(),
        "sessions:\n  - { store: web, match: [\"sess:*\"], capacity: 10 }",
    );
    let labels = [("instance", FAULTY)];
    let before = bench.watch("one session", BACK_BOUND, |scrape| {
        scrape.value("sessions_active", &labels) == Some(1.0)
    });
    let pings = before.value("redis_pings_total", &labels).unwrap();
    assert!(before.has("redis_memory_used_bytes", &labels));

    let frozen_at = Instant::now();
    server.freeze();
    bench.fails_with(&["timeout"], 0.0);
    let scrape = bench.watch("INFO values leave", INFO_STALE + DOWN_BOUND, |scrape| {
        // The verdict is renewed by every failed PING. One that left in between would restart the clock of every alert on it.
        assert!(
            scrape.has("redis_up", &labels),
            "the verdict vanished between two failures"
        );
        !scrape.has("redis_memory_used_bytes", &labels) && !scrape.has("redis_uptime_in_seconds", &labels)
    });
    assert!(
        frozen_at.elapsed() + TIMEOUT + INFO >= INFO_STALE,
        "values do not leave before they are old"
    );
    assert!(
        scrape.value("redis_pings_total", &labels).unwrap() > pings,
        "counters stay and go on"
    );
    assert!(scrape.has("redis_ping_duration_seconds_count", &labels));
    bench.watch(
        "scan values leave by their own clock",
        SCAN_STALE + DOWN_BOUND,
        |scrape| !scrape.has("sessions_active", &labels),
    );
    // The verdict is renewed by every failed PING, so it never leaves.
    let scrape = bench.exporter.scrape();
    assert_eq!(scrape.value("redis_up", &labels), Some(0.0));
    assert_eq!(scrape.value("redis_connection_status", &labels), Some(0.0));

    server.thaw();
    bench.recovers();
    bench.watch("the session is counted again", BACK_BOUND, |scrape| {
        scrape.value("sessions_active", &labels) == Some(1.0)
    });
}

#[test]
fn nothing_is_said_before_the_first_verdict() {
    let peer = ScriptedPeer::start();
    peer.welcome(Welcome::Silence);
    // A long time-out holds the first verdict back.
    let config = config::fast(&[("slow", &peer.address(), "poll: { timeout: 4s }")]);
    let exporter = Exporter::start(&config);
    let scrape = exporter.wait_for("the instance is known", Duration::from_secs(3), |scrape| {
        scrape.has(
            "redis_session_exporter_last_poll_timestamp_seconds",
            &[("instance", "slow"), ("kind", "ping")],
        )
    });
    for name in [
        "redis_up",
        "redis_connection_status",
        "redis_connection_state",
        "redis_uptime_in_seconds",
    ] {
        assert!(!scrape.has(name, &[("instance", "slow")]), "{name} is known too early");
    }
    for kind in ["ping", "info", "scan"] {
        let name = "redis_session_exporter_last_poll_timestamp_seconds";
        assert_eq!(scrape.value(name, &[("instance", "slow"), ("kind", kind)]), Some(0.0));
    }
    assert_eq!(
        exporter.get("/-/ready").status,
        503,
        "not ready before the first poll ended"
    );
    assert_eq!(exporter.get("/-/healthy").status, 200);
    exporter.wait_for("the verdict", Duration::from_secs(5) + SLACK, |scrape| {
        scrape.value("redis_up", &[("instance", "slow")]) == Some(0.0)
            && scrape.value("redis_connection_status", &[("instance", "slow")]) == Some(0.0)
    });
    let ready = wait_until(Duration::from_secs(5), || {
        (exporter.get("/-/ready").status == 200).then_some(())
    });
    assert!(ready.is_some(), "a Redis that is down never makes the exporter unready");
}

#[test]
fn one_failed_poll_removes_nothing() {
    let peer = ScriptedPeer::start();
    // Values live much longer than one poll here, so that only a removal could take them away.
    let bench = Bench::new(&peer.address(), "poll: { stale_after: 30s }");
    let mut failed = false;
    peer.answer(move |words| {
        if is_command(words, "INFO") && !failed {
            failed = true;
            return Answer::BytesThenClose(b"$100\r\nhalf".to_vec());
        }
        healthy(words)
    });
    let labels = [("instance", FAULTY)];
    let mut was_seen = false;
    bench.watch(
        "the failed INFO, and then a good one",
        DOWN_BOUND + BACK_BOUND,
        |scrape| {
            assert!(
                scrape.has("redis_memory_used_bytes", &labels),
                "one failed poll removed the values"
            );
            assert!(scrape.has("redis_up", &labels));
            was_seen |= scrape.sum("redis_connection_errors_total", &labels) >= 1.0;
            was_seen && is_up(scrape, FAULTY)
        },
    );
}

#[test]
fn one_poll_that_hangs_removes_nothing_by_its_length() {
    // Three intervals are over long before the hanging poll is given up.
    const LONG_TIMEOUT: Duration = Duration::from_secs(2);
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "poll: { timeout: 2s }");
    let mut hung = false;
    peer.answer(move |words| {
        if is_command(words, "INFO") && !hung {
            hung = true;
            return Answer::BytesThenHang(Vec::new());
        }
        healthy(words)
    });
    let labels = [("instance", FAULTY)];
    let mut was_seen = false;
    bench.watch(
        "the hanging INFO, and then a good one",
        LONG_TIMEOUT + DOWN_BOUND + BACK_BOUND,
        |scrape| {
            assert!(
                scrape.has("redis_memory_used_bytes", &labels),
                "one poll removed the values"
            );
            assert!(scrape.has("redis_up", &labels));
            was_seen |= scrape.sum("redis_connection_errors_total", &labels) >= 1.0;
            was_seen && is_up(scrape, FAULTY)
        },
    );
}

#[test]
fn stale_after_is_respected() {
    let server = RedisServer::start();
    let bench = Bench::new(&server.address(), "poll: { stale_after: 3s }");
    let labels = [("instance", FAULTY)];
    server.freeze();
    let frozen_at = Instant::now();
    bench.fails_with(&["timeout"], 0.0);
    let scrape = bench.watch("values leave", Duration::from_secs(3) + DOWN_BOUND, |scrape| {
        !scrape.has("redis_memory_used_bytes", &labels)
    });
    assert!(
        frozen_at.elapsed() >= Duration::from_secs(3) - INFO - SLACK,
        "too early"
    );
    assert_eq!(scrape.value("redis_up", &labels), Some(0.0));
    server.thaw();
    bench.recovers();
}

#[test]
fn flapping_server_is_pinged_at_every_interval() {
    // A back-off never exceeds one ping interval.
    let mut peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.refuse();
    bench.fails_with(&["refused"], 0.0);
    let pings =
        |scrape: &crate::support::scrape::Scrape| scrape.value("redis_pings_total", &[("instance", FAULTY)]).unwrap();
    let failing = bench.exporter.scrape();
    bench.watch("ten more attempts", PING * 10 + SLACK, |scrape| {
        pings(scrape) >= pings(&failing) + 10.0
    });
    peer.listen();
    bench.recovers();
}
