use super::*;
use crate::config::types::{Address, Endpoint, PasswordSource};
use crate::config::{Operations, PollConfig, ScanConfig, SessionProbeConfig, SessionsConfig};
use crate::exposition::fixtures;
use crate::snapshot::details::{DatedError, StoreFacts};
use std::time::Duration;

const WISH: Wish = Wish {
    check: None,
    detailed: false,
};

pub(in super::super) fn config(name: &str, port: u16) -> InstanceConfig {
    let second = Duration::from_secs(1);
    InstanceConfig {
        name: name.to_owned(),
        environment: "test".to_owned(),
        labels: BTreeMap::new(),
        address: Address {
            endpoint: Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port,
            },
            database: 0,
        },
        username: None,
        password: PasswordSource::None,
        poll: PollConfig {
            ping_interval: 5 * second,
            info_interval: 15 * second,
            scan_interval: 60 * second,
            connect_interval: 30 * second,
            timeout: 3 * second,
            ping_stale_after: 15 * second,
            info_stale_after: 45 * second,
        },
        scan: ScanConfig {
            redis_share: 0.02,
            sample_keys: 20_000,
        },
        collectors: BTreeMap::new(),
        expect: Default::default(),
        sessions: SessionsConfig::Auto,
        scan_from: Vec::new(),
        operations: Operations::Auto,
        session_probe: SessionProbeConfig {
            enabled: false,
            interval: Duration::from_secs(15),
            prefix: "probe:".to_owned(),
        },
        application_metrics: Vec::new(),
        scan_detail_keys: 100,
        label_values: 50,
        scan_remembered_keys: 1000,
    }
}

fn details(now: Instant) -> InstanceDetails {
    InstanceDetails {
        first_poll_ended: true,
        last_turn: Some(now),
        turn_limit: Duration::from_secs(60),
        state: Some(None),
        up: Some(true),
        connected: Some(true),
        ping_seconds: Some(0.002),
        info: Some(Arc::new(InfoFacts {
            expires_at: Some(now + Duration::from_secs(45)),
            version: "7.2.4".to_owned(),
            uptime_seconds: Some(86_400.0),
            used_memory_bytes: Some(2_621_440.0),
            used_memory_human: Some("2.5M".to_owned()),
            max_memory_bytes: Some(10_485_760.0),
            total_keys: Some(100.0),
            keyspace_hits: Some(9823.0),
            keyspace_misses: Some(177.0),
            persistence_ok: Some(true),
            set_seconds: Some(0.000_003),
            ..InfoFacts::default()
        })),
        sessions: vec![StoreFacts {
            name: "web".to_owned(),
            active: 99,
            unencrypted: None,
            expires_at: now + Duration::from_secs(180),
        }],
        ..InstanceDetails::default()
    }
}

fn health(details: InstanceDetails, wish: Wish, now: Instant) -> InstanceHealth {
    let snapshot = Arc::new(fixtures::snapshot("a", now, details));
    health_of(&config("a", 6379), Some(&snapshot), wish, now, SystemTime::UNIX_EPOCH)
}

fn json(details: InstanceDetails, now: Instant) -> serde_json::Value {
    serde_json::to_value(health(details, WISH, now)).unwrap()
}

#[test]
fn a_healthy_instance_is_the_union_of_the_documents() {
    let now = Instant::now();
    let mut found = json(details(now), now);
    let checks = found.as_object_mut().unwrap().remove("checks").unwrap();
    let expected = serde_json::json!({
        "status": "healthy",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "redis": {
            "connected": true, "version": "7.2.4", "uptime": 86400, "latency_ms": 2.0, "memory_pct": 25.0,
            "usedMemory": "2.5M", "usedMemoryBytes": 2_621_440, "totalKeys": 100
        },
        "sessions": { "active_count": 99, "errors_last_hour": null },
        "sessionCache": {
            "enabled": true, "healthy": true,
            "metrics": { "hits": 9823, "misses": 177, "errors": null, "total": 10_000, "hitRate": 98.23, "ttl": null },
            "pool": null
        },
        "performance": { "ping": 2.0, "set": 0.003, "get": null },
        "encryption": { "enabled": null, "key_present": null },
        "errors": []
    });
    assert_eq!(found, expected);
    assert_eq!(checks["memory"]["status"], "healthy");
    assert_eq!(checks["pool"]["status"], serde_json::Value::Null);
}

#[test]
fn what_is_too_old_is_null() {
    let now = Instant::now();
    let later = now + Duration::from_secs(50);
    let found = json(details(now), later);
    assert_eq!(found["redis"]["version"], serde_json::Value::Null);
    assert_eq!(found["sessions"]["active_count"], 99);
    assert_eq!(found["sessionCache"]["metrics"], serde_json::Value::Null);
    assert_eq!(found["status"], "degraded");
    assert_eq!(found["checks"]["info"]["status"], "degraded");
    assert_eq!(found["checks"]["memory"]["status"], serde_json::Value::Null);
    let much_later = now + Duration::from_secs(600);
    let found = json(details(now), much_later);
    assert_eq!(found["sessions"]["active_count"], serde_json::Value::Null);
    // The task has not turned for longer than it may.
    assert_eq!(found["redis"]["connected"], serde_json::Value::Null);
    assert_eq!(found["status"], "unhealthy");
}

#[test]
fn a_dead_redis_is_unhealthy_with_its_reason() {
    let now = Instant::now();
    let dead = InstanceDetails {
        connected: Some(false),
        errors: vec![DatedError {
            at: SystemTime::UNIX_EPOCH,
            sentence: "Connection timeout".to_owned(),
        }],
        ..details(now)
    };
    let found = json(dead, now);
    assert_eq!(found["status"], "unhealthy");
    assert_eq!(found["redis"]["connected"], false);
    assert_eq!(found["redis"]["latency_ms"], serde_json::Value::Null);
    assert_eq!(found["errors"], serde_json::json!(["Connection timeout"]));
}

#[test]
fn before_the_first_verdict_nothing_is_claimed() {
    let now = Instant::now();
    let found = serde_json::to_value(health_of(&config("a", 1), None, WISH, now, SystemTime::UNIX_EPOCH)).unwrap();
    assert_eq!(found["status"], "unhealthy");
    assert_eq!(found["redis"]["connected"], serde_json::Value::Null);
    assert_eq!(found["redis"]["totalKeys"], serde_json::Value::Null);
}

#[test]
fn warnings_degrade() {
    let now = Instant::now();
    let change = |change: fn(&mut InfoFacts)| {
        let mut details = details(now);
        let mut info = details.info.as_deref().unwrap().clone();
        change(&mut info);
        details.info = Some(Arc::new(info));
        details
    };
    let lost_info = |failure: Option<&str>| InstanceDetails {
        info: None,
        info_failure: failure.map(str::to_owned),
        ..details(now)
    };
    let cases: [(&str, InstanceDetails); 7] = [
        (
            "connect",
            InstanceDetails {
                fresh_connection: Some(Err("the server has too many clients".to_owned())),
                ..details(now)
            },
        ),
        ("info", lost_info(Some("the user may not run INFO"))),
        ("memory", change(|info| info.used_memory_bytes = Some(10_000_000.0))),
        ("performance", change(|info| info.keyspace_misses = Some(9823.0))),
        ("persistence", change(|info| info.persistence_ok = Some(false))),
        ("writes", change(|info| info.new_write_refusals = 3.0)),
        (
            "expectations",
            change(|info| info.unmet_expectations = vec!["persistence"]),
        ),
    ];
    for (name, details) in cases {
        let found = health(details, WISH, now);
        assert_eq!(found.status, Status::Degraded, "{name}");
        assert_eq!(found.checks[name].status, Some(Status::Degraded), "{name}");
        assert_eq!(found.errors, [found.checks[name].message.clone()], "{name}");
    }
}

#[test]
fn one_check_alone_decides_when_it_is_asked_for() {
    let now = Instant::now();
    let mut full = details(now);
    let mut info = full.info.as_deref().unwrap().clone();
    info.used_memory_bytes = Some(10_000_000.0);
    full.info = Some(Arc::new(info));
    let cases: [(&str, Status, &[&str]); 4] = [
        ("memory", Status::Degraded, &["info", "memory"]),
        ("persistence", Status::Healthy, &["info", "persistence"]),
        ("connectivity", Status::Healthy, &["connect", "connectivity"]),
        // Nothing is known about it, so nothing speaks against it; its own status stays null.
        ("pool", Status::Healthy, &["pool"]),
    ];
    for (check, status, shown) in cases {
        let wish = Wish {
            check: Some(check),
            detailed: false,
        };
        let found = health(full.clone(), wish, now);
        assert_eq!(found.status, status, "{check}");
        assert_eq!(found.checks.keys().copied().collect::<Vec<_>>(), shown);
    }
}

#[test]
fn a_check_that_cannot_be_judged_without_info_is_not_healthy() {
    let now = Instant::now();
    let denied = InstanceDetails {
        info: None,
        info_failure: Some("the user may not run INFO".to_owned()),
        fresh_connection: Some(Ok(())),
        ..details(now)
    };
    for (check, status) in [
        ("memory", Status::Degraded),
        ("performance", Status::Degraded),
        ("persistence", Status::Degraded),
        ("connectivity", Status::Healthy),
    ] {
        let wish = Wish {
            check: Some(check),
            detailed: false,
        };
        let found = health(denied.clone(), wish, now);
        assert_eq!(found.status, status, "{check}");
        assert!(found.redis.version.is_none() && found.redis.total_keys.is_none());
    }
    let found = health(denied, WISH, now);
    assert_eq!(found.checks["connect"].status, Some(Status::Healthy));
    assert_eq!(found.errors, ["INFO cannot be read: the user may not run INFO."]);
}

#[test]
fn info_that_nobody_asks_for_is_not_missed() {
    let now = Instant::now();
    for (info_is_known_to_fail, first_poll_ended, connected, status) in [
        (false, true, true, None),
        (true, false, true, None),
        (true, true, false, None),
        (true, true, true, Some(Status::Degraded)),
    ] {
        let without = InstanceDetails {
            info: None,
            info_failure: info_is_known_to_fail.then(|| "no".to_owned()),
            first_poll_ended,
            connected: Some(connected),
            ..details(now)
        };
        assert_eq!(health(without, WISH, now).checks["info"].status, status);
    }
}

#[test]
fn details_come_when_asked_for() {
    let now = Instant::now();
    let wish = Wish {
        check: None,
        detailed: true,
    };
    let found = serde_json::to_value(health(details(now), wish, now)).unwrap();
    assert_eq!(found["intervals"]["ping_seconds"], 5.0);
    assert_eq!(found["state"], "ok");
    assert_eq!(found["collectors"], serde_json::json!([]));
}

#[test]
fn every_field_and_check_is_documented() {
    fn names(value: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(object) = value.as_object() {
            for (name, value) in object {
                found.push(name.clone());
                names(value, found);
            }
        }
        for value in value.as_array().into_iter().flatten() {
            names(value, found);
        }
    }
    let document = include_str!("../../../docs/http.md");
    let now = Instant::now();
    let wish = Wish {
        check: None,
        detailed: true,
    };
    let full = InstanceDetails {
        errors: vec![DatedError {
            at: SystemTime::UNIX_EPOCH,
            sentence: "no".to_owned(),
        }],
        ..details(now)
    };
    let mut found = Vec::new();
    names(&serde_json::to_value(health(full, wish, now)).unwrap(), &mut found);
    found.extend(checks::SELECTABLE.map(str::to_owned));
    assert!(found.len() > 40, "{found:?}");
    for name in found {
        let forms = [("`", "`"), (".", "`"), ("`", "."), (".", ".")];
        let is_there = |(before, after): (&str, &str)| document.contains(&format!("{before}{name}{after}"));
        assert!(forms.into_iter().any(is_there), "docs/http.md misses {name}");
    }
}

#[test]
fn one_dead_instance_among_several_degrades_the_whole() {
    use Status::{Degraded, Healthy, Unhealthy};
    let cases: [(&[Status], Status); 5] = [
        (&[], Healthy),
        (&[Healthy, Healthy], Healthy),
        (&[Healthy, Unhealthy], Degraded),
        (&[Degraded, Healthy], Degraded),
        (&[Unhealthy, Unhealthy], Unhealthy),
    ];
    for (statuses, expected) in cases {
        assert_eq!(overall(statuses.iter().copied()), expected);
    }
}
