//! The HTTP side of the running binary.

use crate::bench::{BACK_BOUND, DOWN_BOUND};
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{free_port, wait_until};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No header time-out of a server that Prometheus scrapes is longer.
const HEADER_TIMEOUT_BOUND: Duration = Duration::from_secs(40);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

fn two() -> (RedisServer, RedisServer, Exporter) {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    first.command(&["SET", "sess:1", "x"]);
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"], capacity: 9 }\nlabels: { team: auth }";
    let exporter = Exporter::start(&config::fast(&[
        ("first", &first.address(), store),
        ("second", &second.address(), ""),
    ]));
    exporter.wait_until_up(&["first", "second"]);
    exporter.wait_for("sessions", BACK_BOUND, |scrape| scrape.has("sessions_active", &[]));
    (first, second, exporter)
}

#[test]
fn formats_by_accept() {
    let (_first, _second, exporter) = two();
    // As Prometheus 2.42, 2.53 and 3.x send it, and others.
    for (accept, expected) in [
        (None, TEXT),
        (Some("*/*"), TEXT),
        (Some("text/plain"), TEXT),
        (Some("application/openmetrics-text"), OPENMETRICS),
        (
            Some(
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ),
            OPENMETRICS,
        ),
        (
            Some(
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ),
            OPENMETRICS,
        ),
        (
            Some("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.1"),
            TEXT,
        ),
        (Some("application/openmetrics-text;version=1.0.0;q=0,*/*;q=0.1"), TEXT),
        (Some("text/html,application/xhtml+xml,*/*;q=0.8"), TEXT),
        (Some("nonsense;;;q=,,"), TEXT),
    ] {
        let headers: Vec<(&str, &str)> = accept.iter().map(|accept| ("Accept", *accept)).collect();
        let response = exporter.request("GET", "/metrics", &headers);
        assert_eq!(response.status, 200);
        let kind = response.header("content-type").unwrap();
        assert!(kind.starts_with(expected), "{accept:?}: {kind}");
        let text = response.text();
        assert_eq!(text.ends_with("# EOF\n"), expected == OPENMETRICS, "{accept:?}");
        assert!(!text.contains('\r'));
        let scrape = Scrape::parse(&text);
        assert!(scrape.has(
            "redis_up",
            &[("instance", "first"), ("environment", "test"), ("team", "auth")]
        ));
    }
}

#[test]
fn the_samples_are_the_same_in_both_formats() {
    let (_first, _second, exporter) = two();
    let text = Scrape::parse(&exporter.get("/metrics").text());
    let open = Scrape::parse(&exporter.request("GET", "/metrics", &[("Accept", OPENMETRICS)]).text());
    let names =
        |scrape: &Scrape| -> BTreeSet<String> { scrape.samples.iter().map(|sample| sample.name.clone()).collect() };
    let (text_names, open_names) = (names(&text), names(&open));
    let differ: Vec<&String> = text_names.symmetric_difference(&open_names).collect();
    assert!(
        differ
            .iter()
            .all(|name| ["_created", "_gsum", "_gcount", "_sum", "_count"]
                .iter()
                .any(|end| name.ends_with(end))),
        "{differ:?}"
    );
    for (name, kind) in &open.types {
        if kind == "counter" {
            assert!(
                open_names.contains(&format!("{name}_total")),
                "a counter's samples end in _total: {name}"
            );
        }
    }
}

#[test]
fn head_and_gzip_and_other_methods() {
    let (_first, _second, exporter) = two();
    let head = exporter.request("HEAD", "/metrics", &[]);
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    assert!(head.header("content-type").unwrap().starts_with(TEXT));
    let zipped = exporter.request("GET", "/metrics", &[("Accept-Encoding", "gzip")]);
    assert!(Scrape::parse(std::str::from_utf8(&zipped.gunzip()).unwrap()).has("redis_up", &[("instance", "first")]));
    assert!(
        zipped
            .header("vary")
            .is_some_and(|vary| vary.to_ascii_lowercase().contains("accept-encoding"))
    );
    for refused in ["gzip;q=0", "identity", "br", ""] {
        let plain = exporter.request("GET", "/metrics", &[("Accept-Encoding", refused)]);
        assert_eq!(plain.header("content-encoding"), None, "{refused}");
        Scrape::parse(&plain.text());
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(exporter.request(method, "/metrics", &[]).status, 405, "{method}");
    }
    assert_eq!(exporter.get("/no/such/path").status, 404);
}

#[test]
fn collect_and_exclude() {
    let (_first, _second, exporter) = two();
    let names = |query: &str| -> BTreeSet<String> {
        let response = exporter.get(&format!("/metrics?{query}"));
        assert_eq!(response.status, 200, "{query}: {}", response.text());
        Scrape::parse(&response.text())
            .samples
            .into_iter()
            .map(|sample| sample.name)
            .collect()
    };
    let memory = names("collect[]=memory");
    assert!(
        memory.contains("redis_memory_used_bytes")
            && !memory.contains("redis_up")
            && !memory.contains("redis_uptime_in_seconds")
    );
    let both = names("collect[]=memory&collect%5B%5D=ping");
    assert!(both.contains("redis_memory_used_bytes") && both.contains("redis_up"));
    let without = names("exclude[]=memory");
    assert!(!without.contains("redis_memory_used_bytes") && without.contains("redis_up"));
    for wrong in [
        "collect[]=memory&exclude[]=ping",
        "collect[]=nonsense",
        "exclude[]=nonsense",
        "collect[]=",
    ] {
        assert_eq!(exporter.get(&format!("/metrics?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn probe_gives_one_instance_without_its_identity() {
    let (first, _second, exporter) = two();
    for target in [
        "first".to_owned(),
        format!("redis://127.0.0.1:{}", first.port),
        format!("127.0.0.1:{}", first.port),
        // The other forms that redis_exporter takes; user and password choose nothing.
        format!("redis://127.0.0.1:{}/0", first.port),
        format!("redis://somebody@127.0.0.1:{}", first.port),
        format!("redis://somebody:word-of-somebody@127.0.0.1:{}", first.port),
        format!("somebody@127.0.0.1:{}", first.port),
        format!("valkey://127.0.0.1:{}", first.port),
        format!("redis%3A%2F%2F127.0.0.1%3A{}", first.port),
    ] {
        for path in ["/probe", "/scrape"] {
            let response = exporter.get(&format!("{path}?target={target}"));
            assert_eq!(response.status, 200, "{path} {target}");
            let scrape = Scrape::parse(&response.text());
            assert_eq!(scrape.value("redis_up", &[]), Some(1.0));
            assert_eq!(scrape.value("sessions_active", &[("store", "web")]), Some(1.0));
            for sample in &scrape.samples {
                for label in ["instance", "environment", "team"] {
                    assert!(!sample.labels.contains_key(label), "{sample:?}");
                }
            }
            assert!(
                !scrape.has("redis_session_exporter_build_info", &[]),
                "self-metrics are on /metrics only"
            );
        }
    }
    assert!(!exporter.log().contains("word-of-somebody"));
    for other in [
        format!("redis://127.0.0.1:{}/7", first.port),
        format!("localhost:{}", first.port),
    ] {
        assert_eq!(
            exporter.get(&format!("/scrape?target={other}")).status,
            404,
            "{other} is another address"
        );
    }
    // A listener that must never be dialled.
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let target = format!("redis://127.0.0.1:{}", trap.local_addr().unwrap().port());
    let response = exporter.get(&format!("/probe?target={target}"));
    assert_eq!(response.status, 404);
    assert!(!response.text().contains(&target), "the target is not echoed");
    assert!(!exporter.log().contains(&target), "nor logged");
    assert!(trap.accept().is_err(), "nor dialled");
    assert_ne!(exporter.get("/probe").status, 200);
}

#[test]
fn an_instance_at_a_socket_is_probed_by_its_path() {
    let server = RedisServer::start();
    let socket = server.socket();
    let path = socket.to_str().unwrap();
    let exporter = Exporter::start(&config::fast(&[("redis", &format!("unix://{path}"), "")]));
    exporter.wait_until_up(&["redis"]);
    for target in [
        path.to_owned(),
        format!("unix://{path}"),
        format!("unix://somebody@{path}"),
        format!("redis+unix://{path}?db=0"),
    ] {
        let encoded = target.replace('?', "%3F").replace('=', "%3D").replace('+', "%2B");
        let response = exporter.get(&format!("/scrape?target={encoded}"));
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(Scrape::parse(&response.text()).value("redis_up", &[]), Some(1.0));
    }
}

#[test]
fn service_discovery() {
    let (_first, _second, exporter) = two();
    let response = exporter.get("/sd");
    assert_eq!(response.status, 200);
    assert!(response.header("content-type").unwrap().starts_with("application/json"));
    let groups = response.json();
    let groups = groups.as_array().unwrap();
    assert_eq!(groups.len(), 2);
    let own = format!("127.0.0.1:{}", exporter.port);
    for group in groups {
        assert_eq!(group["targets"], serde_json::json!([own]));
        let labels = group["labels"].as_object().unwrap();
        assert!(labels.values().all(serde_json::Value::is_string));
        let name = labels["instance"].as_str().unwrap();
        let path = labels["__metrics_path__"].as_str().unwrap();
        assert_eq!(path, "/probe");
        assert_eq!(
            exporter
                .get(&format!("{path}?target={}", labels["__param_target"].as_str().unwrap()))
                .status,
            200
        );
        assert_eq!(labels.get("team").is_some(), name == "first");
        assert_eq!(labels["environment"], "test");
    }
}

#[test]
fn health_and_page_say_that_new_clients_do_not_get_in() {
    let server = RedisServer::start();
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), "")]));
    exporter.wait_until_up(&["redis"]);
    exporter.wait_for("a fresh connection", BACK_BOUND, |scrape| {
        scrape.value("redis_connect_success", &[("instance", "redis")]) == Some(1.0)
    });
    let mut client = server.client();
    client.command(&["CONFIG", "SET", "maxclients", "1"]);
    exporter.wait_for("a refused connection", DOWN_BOUND, |scrape| {
        scrape.value("redis_connect_success", &[("instance", "redis")]) == Some(0.0)
    });
    for path in ["/health/redis", "/health/redis?check=connectivity"] {
        let json = exporter.get(path).json();
        assert_eq!(json["status"], "degraded", "{json}");
        assert_eq!(json["checks"]["connectivity"]["status"], "healthy", "{json}");
        assert_eq!(json["checks"]["connect"]["status"], "degraded", "{json}");
        let message = json["checks"]["connect"]["message"].as_str().unwrap();
        assert!(message.contains("as many clients as maxclients allows"), "{message}");
    }
    let page = exporter.get("/").text();
    assert!(page.contains("new clients do not get in"), "{page}");
    assert!(page.contains("as many clients as maxclients allows"), "{page}");
    client.command(&["CONFIG", "SET", "maxclients", "100"]);
    exporter.wait_for("a fresh connection again", BACK_BOUND, |scrape| {
        scrape.value("redis_connect_success", &[("instance", "redis")]) == Some(1.0)
    });
    assert_eq!(exporter.get("/health/redis").json()["status"], "healthy");
}

#[test]
fn health_says_that_info_is_denied() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-info"]);
    let login = "username: blind\npassword: secret";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), login)]));
    exporter.wait_for("PING", BACK_BOUND, |scrape| {
        scrape.value("redis_connection_status", &[("instance", "redis")]) == Some(1.0)
    });
    let ready = wait_until(BACK_BOUND, || (exporter.get("/-/ready").status == 200).then_some(()));
    assert!(ready.is_some(), "the first poll ends although INFO is denied");
    for path in ["/health/redis", "/health/redis?check=memory"] {
        let json = exporter.get(path).json();
        assert_eq!(json["status"], "degraded", "{json}");
        assert_eq!(json["checks"]["info"]["status"], "degraded", "{json}");
        assert!(
            json["errors"][0].as_str().unwrap().contains("may not run INFO"),
            "{json}"
        );
        assert_eq!(json["redis"]["version"], serde_json::Value::Null, "{json}");
        assert_eq!(json["checks"]["memory"]["status"], serde_json::Value::Null, "{json}");
    }
}

#[test]
fn health_documents() {
    let (first, mut second, exporter) = two();
    let single = exporter.get("/health/redis/first");
    assert_eq!(single.status, 200);
    let json = single.json();
    assert_eq!(json["status"], "healthy", "{json}");
    assert_eq!(json["redis"]["connected"], true);
    assert!(json["redis"]["latency_ms"].is_number());
    assert!(json["redis"]["usedMemoryBytes"].as_f64().unwrap() > 0.0);
    assert_eq!(
        json["redis"]["version"].as_str(),
        first.info("valkey_version").or(first.info("redis_version")).as_deref()
    );
    assert_eq!(
        json["redis"]["memory_pct"],
        serde_json::Value::Null,
        "no limit, no percentage"
    );
    assert_eq!(json["sessions"]["active_count"], 1);
    assert!(json["checks"].is_object() && json["errors"].is_array());
    let all = exporter.get("/health/redis").json();
    assert_eq!(all["status"], "healthy");
    assert!(all["instances"]["first"].is_object() && all["instances"]["second"].is_object());
    assert_eq!(exporter.get("/api/health/redis").json()["status"], "healthy");
    for check in ["connectivity", "memory", "pool", "performance", "persistence"] {
        let response = exporter.get(&format!("/health/redis?check={check}"));
        assert_eq!(response.status, 200, "{check}");
        response.json();
    }
    assert_eq!(exporter.get("/health/redis?check=nonsense").status, 400);
    assert_eq!(exporter.get("/health/redis/nobody").status, 404);
    assert_eq!(exporter.get("/health").status, 200);
    assert_eq!(exporter.get("/-/healthy").status, 200);
    assert_eq!(exporter.get("/-/ready").status, 200);

    second.shutdown();
    exporter.wait_for("the second is down", DOWN_BOUND, |scrape| {
        scrape.value("redis_up", &[("instance", "second")]) == Some(0.0)
    });
    let all = exporter.get("/health/redis");
    assert_eq!(all.status, 200, "one of two is down");
    assert_eq!(all.json()["status"], "degraded");
    assert_eq!(all.json()["instances"]["second"]["status"], "unhealthy");
    let dead = exporter.get("/health/redis/second");
    assert_eq!(dead.status, 503);
    assert_eq!(dead.json()["redis"]["connected"], false);
    assert_eq!(exporter.get("/-/ready").status, 200);
    assert_eq!(exporter.get("/-/healthy").status, 200);
    drop(first);
    exporter.wait_for("both are down", DOWN_BOUND, |scrape| {
        scrape.value("redis_up", &[("instance", "first")]) == Some(0.0)
    });
    assert_eq!(exporter.get("/health/redis").status, 503);
    assert_eq!(exporter.get("/health/redis").json()["status"], "unhealthy");
}

#[test]
fn degraded_by_memory_and_unmet_expectations() {
    let server = RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let exporter = Exporter::start(&config::fast(&[(
        "redis",
        &server.address(),
        "expect: { maxmemory_policy: [noeviction] }",
    )]));
    let scrape = exporter.wait_until_up(&["redis"]);
    assert_eq!(
        scrape.value("redis_expectation_met", &[("expectation", "maxmemory_policy")]),
        Some(0.0)
    );
    let ratio = scrape
        .value("redis_memory_used_ratio", &[("instance", "redis")])
        .unwrap();
    assert!(ratio > 0.0 && ratio < 1.0);
    let health = exporter.get("/health/redis");
    assert_eq!(health.status, 200);
    assert_eq!(health.json()["status"], "degraded", "{}", health.text());
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    exporter.wait_for("the expectation is met", BACK_BOUND, |scrape| {
        scrape.value("redis_expectation_met", &[("expectation", "maxmemory_policy")]) == Some(1.0)
    });
    assert_eq!(
        exporter.get("/health/redis").json()["status"],
        "healthy",
        "{}",
        exporter.get("/health/redis").text()
    );
}

#[test]
fn landing_page_and_telemetry_path() {
    let server = RedisServer::start();
    let dead = format!("redis://127.0.0.1:{}", free_port());
    let config = config::fast(&[("redis", &server.address(), ""), ("<script>", &dead, "")])
        .replace("name: <script>", "name: \"<script>\"");
    let exporter = Exporter::start_with(&config, &["--web.telemetry-path=/other"]);
    let page = exporter.get("/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.text().contains("/other"));
    assert!(!page.text().contains("<script>"), "names are escaped");
    assert_eq!(exporter.get("/other").status, 200);
    assert_eq!(exporter.get("/metrics").status, 404);
    assert!(Scrape::parse(&exporter.get("/other").text()).has("redis_session_exporter_build_info", &[]));
}

#[test]
fn own_metrics() {
    let (_first, _second, exporter) = two();
    let scrape = exporter.scrape();
    for name in [
        "redis_session_exporter_build_info",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "redis_session_exporter_config_last_reload_successful",
        "redis_session_exporter_config_last_reload_success_timestamp_seconds",
        "redis_session_exporter_http_requests_in_flight",
        "redis_session_exporter_tasks_alive",
    ] {
        assert_eq!(scrape.all(name, &[]).count(), 1, "{name}");
    }
    exporter.get("/no/such/path");
    let scrape = exporter.scrape();
    assert!(
        scrape.sum(
            "redis_session_exporter_http_requests_total",
            &[("code", "200"), ("method", "GET")]
        ) >= 1.0
    );
    assert!(scrape.sum("redis_session_exporter_http_requests_total", &[("code", "404")]) >= 1.0);
    assert!(
        !scrape.text.contains("/no/such/path"),
        "an unknown path is no label value"
    );
    let open = scrape.value("process_open_fds", &[]).unwrap();
    assert!((open - exporter.process.open_descriptors() as f64).abs() <= 8.0);
}

#[test]
fn slow_and_greedy_clients_hurt_nobody() {
    let (_first, _second, exporter) = two();
    // Half-sent headers, one byte at a time in spirit: they stay open and send nothing more.
    let mut slow: Vec<TcpStream> = (0..100)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", exporter.port)).ok()?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ").ok()?;
            Some(stream)
        })
        .collect();
    // Others ask and never read.
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", exporter.port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        slow.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(exporter.get("/metrics").status, 200);
    }
    // Huge headers and bodies are refused.
    let huge = "x".repeat(512 * 1024);
    let refused = http::request(exporter.port, "GET", "/metrics", &[("X-Huge", &huge)]);
    assert!(refused.is_err() || refused.unwrap().status >= 400);
    let long_path = format!("/{}", "a".repeat(512 * 1024));
    let refused = http::request(exporter.port, "GET", &long_path, &[]);
    assert!(refused.is_err() || refused.unwrap().status >= 400);
    let mut garbage = TcpStream::connect(("127.0.0.1", exporter.port)).unwrap();
    garbage
        .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .unwrap();
    // The header time-out closes what never finishes.
    let first = &mut slow[0];
    first.set_read_timeout(Some(HEADER_TIMEOUT_BOUND)).unwrap();
    let mut answer = Vec::new();
    let closed = first.read_to_end(&mut answer);
    assert!(closed.is_ok(), "the half-sent request is never given up: {closed:?}");
    assert_eq!(exporter.get("/metrics").status, 200);
    exporter.wait_until_up(&["first", "second"]);
}

#[test]
fn connections_beyond_the_cap_do_not_lock_anybody_out() {
    let server = RedisServer::start();
    let config = format!(
        "limits: {{ http_connections: 5 }}\n{}",
        config::fast(&[("redis", &server.address(), "")])
    );
    let exporter = Exporter::start(&config);
    let idle: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", exporter.port)).unwrap())
        .collect();
    // Whoever says nothing is let go after the header time-out, so that others get in although the idle ones stay.
    let served = wait_until(HEADER_TIMEOUT_BOUND, || {
        http::request(exporter.port, "GET", "/metrics", &[])
            .ok()
            .filter(|response| response.status == 200)
    });
    assert!(served.is_some(), "idle connections lock everybody out");
    drop(idle);
}
