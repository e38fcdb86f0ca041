//! SIGHUP: what changed changes, what did not never notices.

use crate::bench::{BACK_BOUND, HEALTHY, assert_untouched};
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::time::Duration;

/// Ids of the connections that stay: `CLIENT LIST` without ours. Collectors that open some of their own (fresh ones, scans, a subscription)
/// are off: a pass that happens to run would be counted.
fn kept_connection(server: &RedisServer) -> Vec<String> {
    let mut client = server.client();
    let own = client.command(&["CLIENT", "ID"]).integer().to_string();
    let list = client.command(&["CLIENT", "LIST"]).text();
    list.lines()
        .filter_map(|line| {
            line.split(' ')
                .find_map(|field| field.strip_prefix("id="))
                .map(str::to_owned)
        })
        .filter(|id| *id != own)
        .collect()
}

fn pings(scrape: &Scrape, instance: &str) -> f64 {
    scrape.value("redis_pings_total", &[("instance", instance)]).unwrap()
}

const KEPT_ONLY: &str = "collectors: { connect: false, sessions: false, events: false }";

#[test]
fn instances_come_change_and_go_without_touching_the_others() {
    let (kept, changed, gone, new) = (
        RedisServer::start(),
        RedisServer::start(),
        RedisServer::start(),
        RedisServer::start(),
    );
    let before = config::fast(&[
        (HEALTHY, &kept.address(), KEPT_ONLY),
        ("changed", &changed.address(), ""),
        ("gone", &gone.address(), KEPT_ONLY),
    ]);
    let exporter = Exporter::start(&before);
    let scrape = exporter.wait_until_up(&[HEALTHY, "changed", "gone"]);
    let connection = kept_connection(&kept);
    assert_eq!(connection.len(), 1);
    let (pings_before, changed_pings) = (pings(&scrape, HEALTHY), pings(&scrape, "changed"));
    let reloaded_at = scrape
        .value(
            "redis_session_exporter_config_last_reload_success_timestamp_seconds",
            &[],
        )
        .unwrap();

    exporter.reload(&config::fast(&[
        (HEALTHY, &kept.address(), KEPT_ONLY),
        (
            "changed",
            &changed.address(),
            "labels: { team: auth }\nenvironment: other",
        ),
        ("new", &new.address(), ""),
    ]));
    let mut last = pings_before;
    let scrape = exporter.wait_for("the new configuration", BACK_BOUND + SLACK, |scrape| {
        assert_untouched(scrape, HEALTHY);
        let now = pings(scrape, HEALTHY);
        assert!(now >= last, "the counters of the untouched instance went back");
        last = now;
        scrape.value("redis_up", &[("instance", "new")]) == Some(1.0)
            && scrape.value(
                "redis_up",
                &[("instance", "changed"), ("team", "auth"), ("environment", "other")],
            ) == Some(1.0)
            && !scrape.text.contains("instance=\"gone\"")
    });
    assert!(
        pings(&scrape, "changed") >= changed_pings,
        "counters of a changed instance go on"
    );
    assert_eq!(
        scrape.all("redis_up", &[("instance", "changed")]).count(),
        1,
        "nothing is left under the old labels"
    );
    assert_eq!(
        kept_connection(&kept),
        connection,
        "the untouched instance keeps its connection"
    );
    assert!(
        wait_until(Duration::from_secs(5), || kept_connection(&gone)
            .is_empty()
            .then_some(()))
        .is_some(),
        "gone is let go"
    );
    assert_eq!(
        scrape.value("redis_session_exporter_config_last_reload_successful", &[]),
        Some(1.0)
    );
    let name = "redis_session_exporter_config_last_reload_success_timestamp_seconds";
    assert!(scrape.value(name, &[]).unwrap() >= reloaded_at);
    assert_eq!(exporter.get("/probe?target=gone").status, 404);
    assert_eq!(exporter.get("/probe?target=new").status, 200);
}

#[test]
fn a_changed_address_starts_afresh_under_the_same_name() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let exporter = Exporter::start(&config::fast(&[("redis", &old.address(), KEPT_ONLY)]));
    let before = exporter.wait_until_up(&["redis"]);
    exporter.reload(&config::fast(&[("redis", &new.address(), KEPT_ONLY)]));
    let process_id = new.info("process_id").unwrap();
    let scrape = exporter.wait_for_instance("redis", "the new server", BACK_BOUND + SLACK, |scrape| {
        scrape.has(
            "redis_instance_info",
            &[("instance", "redis"), ("process_id", &process_id)],
        )
    });
    assert!(
        pings(&scrape, "redis") >= pings(&before, "redis"),
        "accumulators survive"
    );
    assert!(
        wait_until(Duration::from_secs(5), || kept_connection(&old)
            .is_empty()
            .then_some(()))
        .is_some(),
        "the old one is let go"
    );
}

#[test]
fn a_broken_file_keeps_the_old_configuration() {
    let server = RedisServer::start();
    let good = config::fast(&[(HEALTHY, &server.address(), KEPT_ONLY)]);
    let exporter = Exporter::start(&good);
    exporter.wait_until_up(&[HEALTHY]);
    let connection = kept_connection(&server);
    let success = "redis_session_exporter_config_last_reload_successful";
    for broken in [
        "instances: [".to_owned(),
        format!("{good}unknown_key: 1\n"),
        good.replace("ping_interval: 150ms", "ping_interval: often"),
        format!("{good}  - name: {HEALTHY}\n    address: redis://127.0.0.1:1\n"),
        String::from_utf8_lossy(b"\xff\xfe\x00").into_owned(),
    ] {
        exporter.reload(&broken);
        exporter.wait_for("the reload failed", BACK_BOUND, |scrape| {
            assert_untouched(scrape, HEALTHY);
            scrape.value(success, &[]) == Some(0.0)
        });
        exporter.reload(&good);
        exporter.wait_for("the reload succeeded", BACK_BOUND, |scrape| {
            scrape.value(success, &[]) == Some(1.0)
        });
    }
    assert_eq!(
        kept_connection(&server),
        connection,
        "through all of it the connection stays"
    );
    assert!(
        exporter.log().to_ascii_lowercase().contains("level=error")
            || exporter.log().to_ascii_lowercase().contains("level=warn")
    );
}

#[test]
fn reload_over_http_only_when_it_is_switched_on() {
    let server = RedisServer::start();
    let config = config::fast(&[(HEALTHY, &server.address(), "")]);
    let exporter = Exporter::start(&config);
    let status = exporter.request("POST", "/-/reload", &[]).status;
    assert!([403, 404].contains(&status), "{status}");

    let exporter = Exporter::start_with(&config, &["--web.enable-lifecycle"]);
    exporter.wait_until_up(&[HEALTHY]);
    assert_eq!(exporter.request("GET", "/-/reload", &[]).status, 405);
    exporter.rewrite(&format!("{config}    labels: {{ team: auth }}\n"));
    assert_eq!(exporter.request("POST", "/-/reload", &[]).status, 200);
    exporter.wait_for("the new label", BACK_BOUND, |scrape| {
        scrape.has("redis_up", &[("team", "auth")])
    });
    exporter.rewrite("instances: [");
    let broken = exporter.request("POST", "/-/reload", &[]);
    assert_eq!(broken.status, 500, "{}", broken.text());
}
