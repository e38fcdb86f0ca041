use super::*;
use crate::collectors::application::published::Published;
use crate::config::StoreConfig;
use crate::config::types::{Address, Endpoint, PasswordSource};
use crate::config::{Operations, PollConfig, ScanConfig, SessionProbeConfig, SessionsConfig};
use crate::exposition::fixtures;
use crate::snapshot::details::{ApplicationFacts, DatedError, ProbeFacts, StoreFacts};
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
            tls: false,
        },
        discovered: None,
        username: None,
        password: PasswordSource::None,
        tls: Default::default(),
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
        optional: crate::config::optional::Optional::default(),
        scan_detail_keys: 100,
        checked_keys: 100,
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
        are_keys_sessions: true,
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
        application: publishes(full_publication(), now),
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

fn publishes(published: Published, now: Instant) -> Option<ApplicationFacts> {
    let expires_at = now + Duration::from_secs(45);
    Some(ApplicationFacts { published, expires_at })
}

fn full_publication() -> Published {
    Published {
        cache_hits: Some(98.0),
        cache_misses: Some(2.0),
        cache_requests: Some(100.0),
        cache_errors: Some(1.0),
        cache_ttl_seconds: Some(300.0),
        pool_size: Some(5.0),
        pool_available: Some(3.0),
        pool_pending: Some(0.0),
        encryption_key_present: Some(true),
    }
}

#[test]
fn what_the_application_publishes_is_shown_until_it_is_too_old() {
    let now = Instant::now();
    let with = InstanceDetails {
        application: publishes(full_publication(), now),
        errors_last_hour: Some(3.0),
        // INFO is not needed for any of it.
        info: None,
        ..details(now)
    };
    let found = json(with.clone(), now);
    let cache = serde_json::json!({
        "enabled": true, "healthy": true,
        "metrics": { "hits": 98, "misses": 2, "errors": 1, "total": 100, "hitRate": 98.0, "ttl": 300 },
        "pool": { "size": 5, "available": 3, "pending": 0 }
    });
    assert_eq!(found["sessionCache"], cache);
    assert_eq!(
        found["encryption"],
        serde_json::json!({ "enabled": true, "key_present": true })
    );
    assert_eq!(found["sessions"]["errors_last_hour"], 3);
    for check in ["pool", "encryption", "performance"] {
        assert_eq!(found["checks"][check]["status"], "healthy", "{check}");
    }
    let later = json(with, now + Duration::from_secs(45));
    assert_eq!(later["sessionCache"]["pool"], serde_json::Value::Null);
    assert_eq!(later["sessionCache"]["metrics"], serde_json::Value::Null);
    assert_eq!(later["encryption"]["key_present"], serde_json::Value::Null);
    assert_eq!(later["checks"]["pool"]["status"], serde_json::Value::Null);
}

#[test]
fn a_stopped_task_vouches_for_no_error_count() {
    let now = Instant::now();
    let stopped = InstanceDetails {
        errors_last_hour: Some(0.0),
        application: publishes(full_publication(), now + Duration::from_secs(10_000)),
        ..details(now)
    };
    let found = json(stopped, now + Duration::from_secs(600));
    assert_eq!(found["sessions"]["errors_last_hour"], serde_json::Value::Null);
    assert_eq!(found["sessionCache"]["pool"], serde_json::Value::Null);
}

#[test]
fn what_the_application_complains_of_degrades() {
    let now = Instant::now();
    let with = |change: fn(&mut Published)| {
        let mut published = full_publication();
        change(&mut published);
        InstanceDetails {
            application: publishes(published, now),
            ..details(now)
        }
    };
    let mut unencrypted = with(|_| {});
    unencrypted.sessions[0].unencrypted = Some(12.0);
    let cases: [(&str, InstanceDetails, &str); 4] = [
        (
            "pool",
            with(|published| published.pool_pending = Some(2.0)),
            "The application's connection pool is exhausted: 2 requests wait for a connection.",
        ),
        (
            "encryption",
            with(|published| published.encryption_key_present = Some(false)),
            "The application says that it has no encryption key, so sessions are stored in the clear.",
        ),
        (
            "encryption",
            unencrypted,
            "About 12 sessions do not begin as encrypted ones do.",
        ),
        (
            "performance",
            with(|published| published.cache_hits = Some(69.9)),
            "Low hit rate: 69.9% of the lookups find their key.",
        ),
    ];
    for (name, details, message) in cases {
        let found = health(details, WISH, now);
        assert_eq!(found.status, Status::Degraded, "{name}");
        assert_eq!(found.errors, [message], "{name}");
    }
    let wish = Wish {
        check: Some("pool"),
        detailed: false,
    };
    let asked = health(with(|published| published.pool_pending = Some(1.0)), wish, now);
    assert_eq!(asked.status, Status::Degraded);
    let without_key = json(with(|published| published.encryption_key_present = Some(false)), now);
    assert_eq!(
        without_key["encryption"],
        serde_json::json!({ "enabled": false, "key_present": false })
    );
}

#[test]
fn the_pool_is_judged_by_what_is_published_of_it() {
    let now = Instant::now();
    let status = |pending, available| {
        let published = Published {
            pool_pending: pending,
            pool_available: available,
            ..Published::default()
        };
        let details = InstanceDetails {
            application: publishes(published, now),
            ..details(now)
        };
        health(details, WISH, now).checks["pool"].status
    };
    assert_eq!(status(None, None), None);
    assert_eq!(status(None, Some(0.0)), None);
    assert_eq!(status(None, Some(1.0)), Some(Status::Healthy));
    assert_eq!(status(Some(0.0), Some(0.0)), Some(Status::Healthy));
}

#[test]
fn the_servers_lookups_count_where_they_are_about_sessions() {
    let now = Instant::now();
    let hits = |operations: Operations, are_keys_sessions: bool, own: f64| {
        let mut details = details(now);
        details.are_keys_sessions = are_keys_sessions;
        let mut info = details.info.as_deref().unwrap().clone();
        info.own_keyspace_hits = own;
        info.own_keyspace_misses = own;
        details.info = Some(Arc::new(info));
        let snapshot = Arc::new(fixtures::snapshot("a", now, details));
        let mut config = config("a", 6379);
        config.operations = operations;
        let found = health_of(&config, Some(&snapshot), WISH, now, SystemTime::UNIX_EPOCH);
        let metrics = found.session_cache.metrics?;
        Some((metrics.hits?.as_f64()?, metrics.misses?.as_f64()?))
    };
    assert_eq!(hits(Operations::Auto, true, 0.0), Some((9823.0, 177.0)));
    assert_eq!(hits(Operations::Auto, false, 0.0), None);
    assert_eq!(hits(Operations::On, false, 0.0), Some((9823.0, 177.0)));
    assert_eq!(hits(Operations::Off, true, 0.0), None);
    assert_eq!(
        hits(Operations::On, false, 100.0),
        Some((9723.0, 77.0)),
        "ours are not sessions"
    );
    assert_eq!(hits(Operations::On, false, 1000.0), Some((8823.0, 0.0)));
}

#[test]
fn a_store_that_is_checked_for_encryption_has_it_on() {
    let mut config = config("a", 6379);
    let mut store: StoreConfig = crate::sessions::stores::testing::store("web");
    store.encryption = Some(crate::config::EncryptionCheck {
        expect_prefix: "enc:".to_owned(),
    });
    config.sessions = SessionsConfig::Stores(vec![store]);
    let now = Instant::now();
    let found = health_of(&config, None, WISH, now, SystemTime::UNIX_EPOCH);
    assert_eq!(
        (found.encryption.enabled, found.encryption.key_present),
        (Some(true), None)
    );
}

#[test]
fn round_trips_of_the_synthetic_session_beat_the_servers_own_time() {
    let now = Instant::now();
    let with = InstanceDetails {
        session_probe: Some(ProbeFacts {
            set_seconds: Some(0.0012),
            get_seconds: None,
            success: false,
            expires_at: now + Duration::from_secs(30),
        }),
        ..details(now)
    };
    let found = json(with.clone(), now);
    assert_eq!(found["performance"]["set"], 1.2);
    assert_eq!(
        found["performance"]["get"],
        serde_json::Value::Null,
        "it failed, and nothing takes its place"
    );
    let later = json(with, now + Duration::from_secs(30));
    assert_eq!(later["performance"]["set"], 0.003);
}
