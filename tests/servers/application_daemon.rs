//! Metrics that the application keeps in Redis, seen from outside: `/metrics`, the health answers, the log, `once` and `check`.

use crate::bench::BACK_BOUND;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::redis_server::RedisServer;
use crate::support::resp::Reply;
use crate::support::scrape::Scrape;

/// The series of these tests on `/metrics`.
fn value(scrape: &Scrape, instance: &str, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
    let mut labels = vec![("instance", instance)];
    labels.extend(label);
    scrape.value(name, &labels)
}

/// Metrics of one instance as YAML.
const METRICS: &str = "application_metrics:
  - { name: session_encryption_errors_total, type: counter, key: \"metrics:encryption\", label: error_type, label_values: [encrypt_failed, key_missing], help: Encryption errors. }
  - { name: job_queue_pending, type: gauge, key: \"queue:jobs\", read: length, help: Waiting jobs. }
  - { name: session_cache_hits_total, type: counter, key: \"metrics:cache\", field: hits, help: Hits. }
  - { name: session_cache_misses_total, type: counter, key: \"metrics:cache\", field: misses, help: Misses. }
  - { name: redis_pool_connections, type: gauge, key: \"metrics:pool\", label: state, help: Pool. }
  - { name: redis_pool_pending, type: gauge, key: \"metrics:pending\", help: Pending. }
  - { name: session_encryption_key_present, type: gauge, key: \"metrics:key\", help: Key. }
  - { name: login_seconds, type: histogram, key: \"metrics:login\", db: 3, buckets: [0.1, 1], help: Logins. }
";

#[test]
fn two_instances_share_a_family_and_one_of_ours_is_replaced() {
    // Both publish what our own sessions_created_total is made of.
    let events = ["--notify-keyspace-events", "Egxen"];
    let (first, second) = (RedisServer::start_with(&events), RedisServer::start_with(&events));
    first.command(&["HSET", "metrics:encryption", "key_missing", "2"]);
    let stores = "sessions:\n  - { store: web, match: [\"sess:*\"] }\n";
    let replaced = format!(
        "{stores}{METRICS}  - {{ name: sessions_created_total, type: counter, key: \"metrics:created\", label: source, label_values: [guest], help: Created. }}\n"
    );
    let exporter = Exporter::start(&config::fast(&[
        ("first", &first.address(), &format!("{stores}{METRICS}")),
        ("second", &second.address(), &replaced),
    ]));
    let missing = Some(("error_type", "key_missing"));
    let scrape = exporter.wait_for("both are read", BACK_BOUND, |scrape| {
        value(scrape, "first", "session_encryption_errors_total", missing) == Some(2.0)
            && value(scrape, "second", "session_encryption_errors_total", missing) == Some(0.0)
            && value(scrape, "second", "sessions_created_total", Some(("source", "guest"))) == Some(0.0)
    });
    let one_header = |scrape: &Scrape, name: &str| {
        for word in ["HELP", "TYPE"] {
            let line = format!("# {word} {name} ");
            let headers = scrape.text.lines().filter(|text| text.starts_with(&line)).count();
            assert_eq!(headers, 1, "{word} {name}");
        }
    };
    one_header(&scrape, "session_encryption_errors_total");
    assert_eq!(scrape.types["session_encryption_errors_total"], "counter");
    let ours = [("instance", "first"), ("store", "web")];
    let scrape = exporter.wait_for("ours is counted at the first", BACK_BOUND, |scrape| {
        scrape.has("sessions_created_total", &ours)
    });
    one_header(&scrape, "sessions_created_total");
    second.command(&["SET", "sess:1", "x"]);
    second.command(&["HINCRBY", "metrics:created", "guest", "5"]);
    let scrape = exporter.wait_for("the application's are counted", BACK_BOUND, |scrape| {
        value(scrape, "second", "sessions_created_total", Some(("source", "guest"))) == Some(5.0)
            && scrape.sum("session_events_received_total", &[("instance", "second")]) > 0.0
    });
    assert!(!scrape.has("sessions_created_total", &[("instance", "second"), ("store", "web")]));
    assert!(
        scrape.has("sessions_ended_total", &[("instance", "second"), ("store", "web")]),
        "the others stay ours"
    );
    assert_eq!(value(&scrape, "first", "job_queue_pending", None), Some(0.0));
    assert_eq!(
        value(&scrape, "first", "redis_pool_pending", None),
        None,
        "nobody wrote it"
    );
    assert_eq!(value(&scrape, "first", "login_seconds_count", None), Some(0.0));
    let open = exporter.request(
        "GET",
        "/metrics",
        &[("Accept", "application/openmetrics-text; version=1.0.0")],
    );
    let open = open.text();
    assert!(open.contains("# TYPE session_encryption_errors counter\n"), "{open}");
    let filtered = exporter.get("/metrics?collect[]=application");
    let filtered = Scrape::parse(&filtered.text());
    assert!(filtered.has("job_queue_pending", &[]) && !filtered.has("redis_up", &[]));
}

#[test]
fn health_shows_what_the_application_publishes() {
    let server = RedisServer::start();
    let mut client = server.client();
    for command in [
        "HSET metrics:cache hits 98 misses 2",
        "HSET metrics:pool available 3 in_use 2",
        "SET metrics:pending 0",
        "SET metrics:key 1",
    ] {
        client.command(&command.split(' ').collect::<Vec<_>>());
    }
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), METRICS)]));
    exporter.wait_for("the key is read", BACK_BOUND, |scrape| {
        value(scrape, "redis", "session_encryption_key_present", None) == Some(1.0)
    });
    let health = |exporter: &Exporter| -> serde_json::Value {
        serde_json::from_str(&exporter.get("/health/redis").text()).unwrap()
    };
    let found = health(&exporter);
    assert_eq!(found["status"], "healthy", "{found}");
    assert_eq!(found["sessionCache"]["metrics"]["hitRate"], 98.0);
    assert_eq!(
        found["sessionCache"]["pool"],
        serde_json::json!({ "size": 5, "available": 3, "pending": 0 })
    );
    assert_eq!(
        found["encryption"],
        serde_json::json!({ "enabled": true, "key_present": true })
    );
    assert_eq!(found["sessions"]["errors_last_hour"], 0);

    client.command(&["HINCRBY", "metrics:encryption", "key_missing", "3"]);
    client.command(&["SET", "metrics:key", "0"]);
    // Two writes that the server refuses: what a login would see.
    client.command(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..2 {
        assert!(matches!(client.try_command(&["SET", "sess:1", "x"]), Reply::Error(_)));
    }
    client.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let mut last = serde_json::Value::Null;
    let seen = crate::support::wait_until(BACK_BOUND, || {
        last = health(&exporter);
        let errors = &last["sessions"]["errors_last_hour"];
        (*errors == 5 && last["encryption"]["key_present"] == false).then_some(())
    });
    assert!(seen.is_some(), "{last}");
    assert_eq!(last["status"], "degraded");
    let pool: serde_json::Value = serde_json::from_str(&exporter.get("/health/redis?check=pool").text()).unwrap();
    assert_eq!(
        (&pool["status"], &pool["checks"]["pool"]["status"]),
        (&"healthy".into(), &"healthy".into())
    );
}

#[test]
fn a_bad_metric_is_said_once_and_harms_no_other() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&["RPUSH", "metrics:cache", "not", "a", "hash"]);
    client.command(&["SET", "metrics:pending", "hunter2"]);
    client.command(&["HSET", "metrics:encryption", "key_missing", "1"]);
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), METRICS)]));
    let success = [("instance", "redis"), ("collector", "application")];
    let missing = Some(("error_type", "key_missing"));
    let scrape = exporter.wait_for("the good ones are read", BACK_BOUND, |scrape| {
        value(scrape, "redis", "session_encryption_errors_total", missing) == Some(1.0)
            && scrape.value("redis_session_exporter_collector_success", &success) == Some(0.0)
    });
    assert_eq!(value(&scrape, "redis", "session_cache_hits_total", None), None);
    assert_eq!(value(&scrape, "redis", "redis_pool_pending", None), None);
    assert_eq!(
        scrape.state("redis").as_deref(),
        Some("ok"),
        "the connection is as good as before"
    );
    let detailed = exporter.get("/health/redis?detailed=true").text();
    for name in [
        "session_cache_hits_total",
        "session_cache_misses_total",
        "redis_pool_pending",
    ] {
        assert!(detailed.contains(name), "{detailed}");
    }
    // Some polls later each was said once, and no value was.
    let polls = |scrape: &Scrape| {
        scrape
            .value("redis_exporter_scrapes_total", &[("instance", "redis")])
            .unwrap()
    };
    let before = polls(&scrape);
    exporter.wait_for("more polls", BACK_BOUND, |scrape| polls(scrape) >= before + 4.0);
    let log = exporter.log();
    let said = |name: &str| log.lines().filter(|line| line.contains(name)).count();
    assert_eq!(
        (
            said("metric=redis_pool_pending"),
            said("metric=session_cache_hits_total")
        ),
        (1, 1),
        "{log}"
    );
    assert!(!log.contains("hunter2") && !detailed.contains("hunter2"));
    // Mended, all are there.
    client.command(&["SET", "metrics:pending", "4"]);
    client.command(&["DEL", "metrics:cache"]);
    let scrape = exporter.wait_for("mended", BACK_BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_success", &success) == Some(1.0)
    });
    assert_eq!(value(&scrape, "redis", "redis_pool_pending", None), Some(4.0));
    assert_eq!(value(&scrape, "redis", "session_cache_hits_total", None), Some(0.0));
}

#[test]
fn values_leave_when_redis_is_gone_and_come_back_with_it() {
    let mut server = RedisServer::start();
    server.command(&["RPUSH", "queue:jobs", "a", "b"]);
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), METRICS)]));
    let jobs = |scrape: &Scrape| value(scrape, "redis", "job_queue_pending", None);
    exporter.wait_for("read", BACK_BOUND, |scrape| jobs(scrape) == Some(2.0));
    server.shutdown();
    // Two intervals and the five deadlines that may lie between two values.
    let stale_after = config::INFO * 2 + config::TIMEOUT * 5;
    exporter.wait_for("too old", stale_after + crate::support::SLACK, |scrape| {
        jobs(scrape).is_none()
    });
    let text = exporter.get("/health/redis").text();
    let health: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(
        health["sessions"]["errors_last_hour"].as_f64().unwrap() > 0.0,
        "PINGs that fail are errors: {text}"
    );
    server.start_again();
    exporter.wait_for("back", BACK_BOUND, |scrape| jobs(scrape) == Some(0.0));
}

#[test]
fn a_reload_changes_what_is_read() {
    let server = RedisServer::start();
    server.command(&["SET", "a", "1"]);
    server.command(&["SET", "b", "2"]);
    let of = |name: &str, key: &str| {
        let item = format!("application_metrics:\n  - {{ name: {name}, type: gauge, key: {key}, help: Test. }}\n");
        config::fast(&[("redis", &server.address(), &item)])
    };
    let exporter = Exporter::start(&of("reload_a", "a"));
    exporter.wait_for("a", BACK_BOUND, |scrape| {
        value(scrape, "redis", "reload_a", None) == Some(1.0)
    });
    exporter.reload(&of("reload_b", "b"));
    let scrape = exporter.wait_for("b", BACK_BOUND, |scrape| {
        value(scrape, "redis", "reload_b", None) == Some(2.0)
    });
    assert_eq!(value(&scrape, "redis", "reload_a", None), None);
    exporter.reload(&config::fast(&[("redis", &server.address(), "")]));
    exporter.wait_for("none", BACK_BOUND, |scrape| {
        value(scrape, "redis", "reload_b", None).is_none()
    });
}

#[test]
fn once_prints_them_too() {
    let server = RedisServer::start();
    server.command(&["RPUSH", "queue:jobs", "a"]);
    let config = config::fast(&[("redis", &server.address(), METRICS)]);
    let ended = crate::support::exporter::run_with(&["once"], &[], Some(&config));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(
        ended
            .output
            .contains("job_queue_pending{environment=\"test\",instance=\"redis\"} 1\n"),
        "{}",
        ended.output
    );
}

#[test]
fn check_says_which_metrics_are_absent_and_what_mends_them() {
    let server = RedisServer::start();
    server.command(&["SET", "metrics:pending", "hunter2"]);
    let everything_else = ["+@all", "-@hash"];
    let user = [
        &["ACL", "SETUSER", "monitor", "on", ">secret", "~*", "&*"],
        &everything_else[..],
    ]
    .concat();
    server.command(&user);
    let further = format!("username: monitor\npassword: secret\n{METRICS}");
    let config = config::fast(&[("redis", &server.address(), &further)]);
    let check = || crate::support::exporter::run_with(&["check"], &[], Some(&config)).output;
    let output = check();
    assert!(output.contains("2 of 8 metrics can be read"), "{output}");
    assert!(
        output.contains("redis_pool_pending is absent: a value is no"),
        "{output}"
    );
    let line = output.lines().find(|line| line.contains("to mend")).unwrap();
    let rules: Vec<&str> = line.split_whitespace().filter(|word| word.starts_with('+')).collect();
    assert_eq!(rules, ["+hlen", "+hmget", "+hscan", "+hstrlen", "+type"], "{line}");
    server.command(&[&["ACL", "SETUSER", "monitor"], &rules[..]].concat());
    let output = check();
    assert!(
        output.contains("7 of 8 metrics can be read") && !output.contains("to mend"),
        "{output}"
    );
}

#[test]
fn a_key_that_no_reply_can_hold_is_left_alone_and_the_instance_stays_up() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&["RPUSH", "queue:jobs", "a"]);
    let huge = vec![b'1'; 65 * 1024 * 1024];
    client.bytes(&[b"HSET", b"metrics:pool", b"available", &huge]);
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), METRICS)]));
    let jobs = |scrape: &Scrape| value(scrape, "redis", "job_queue_pending", None);
    // On a busy machine the reply runs into the deadline before its header comes, three times.
    let bound = BACK_BOUND + (config::INFO + config::PING + config::TIMEOUT) * 4 + crate::support::SLACK;
    exporter.wait_for("the others are read", bound, |scrape| jobs(scrape) == Some(1.0));
    let errors = |scrape: &Scrape| scrape.sum("redis_connection_errors_total", &[("instance", "redis")]);
    let polls = |scrape: &Scrape| {
        scrape
            .value("redis_exporter_scrapes_total", &[("instance", "redis")])
            .unwrap()
    };
    let before = exporter.scrape();
    let later = exporter.wait_for("more polls", BACK_BOUND, |scrape| polls(scrape) >= polls(&before) + 4.0);
    assert!(
        (errors(&later) - errors(&before)).abs() < f64::EPSILON,
        "the connection breaks no more"
    );
    assert_eq!(later.state("redis").as_deref(), Some("ok"));
    assert_eq!(
        value(&later, "redis", "redis_pool_connections", Some(("state", "available"))),
        None
    );
    let log = exporter.log();
    let said = log
        .lines()
        .filter(|line| line.contains("metric=redis_pool_connections"))
        .count();
    assert_eq!(said, 1, "{log}");
}

#[test]
fn sessions_in_the_clear_degrade_the_health() {
    let server = RedisServer::start();
    server.command(&["SET", "sess:1", "enc:v1:secret", "EX", "3600"]);
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"], encryption: { expect_prefix: \"enc:v1:\" } }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), store)]));
    let health = |status: &str| {
        let mut last = String::new();
        let seen = crate::support::wait_until(BACK_BOUND, || {
            last = exporter.get("/health/redis").text();
            let found: serde_json::Value = serde_json::from_str(&last).unwrap();
            (found["checks"]["encryption"]["status"] == status).then_some(found)
        });
        seen.unwrap_or_else(|| panic!("{last}"))
    };
    let found = health("healthy");
    assert_eq!(found["encryption"]["enabled"], true);
    server.command(&["SET", "sess:2", "plain", "EX", "3600"]);
    let found = health("degraded");
    assert_eq!(found["status"], "degraded");
    assert!(!found.to_string().contains("plain"), "{found}");
}
