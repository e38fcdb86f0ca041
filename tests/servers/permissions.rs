//! NOPERM on single commands: that collector is off, one warning is logged, the rest is served.

use crate::support::SLACK;
use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use std::collections::BTreeSet;

/// A server with a user `monitor` who may do everything but what these rules take away.
fn server_without(rules: &[&str]) -> RedisServer {
    let server = RedisServer::start();
    let mut words = vec!["ACL", "SETUSER", "monitor", "on", ">secret", "~*", "&*", "+@all"];
    words.extend(rules);
    server.command(&words);
    server
}

fn watch(server: &RedisServer) -> Exporter {
    Exporter::start(&config::fast(&[(
        "redis",
        &server.address(),
        "username: monitor\npassword: secret",
    )]))
}

fn polls(scrape: &Scrape) -> f64 {
    scrape
        .value("redis_exporter_scrapes_total", &[("instance", "redis")])
        .unwrap_or(0.0)
}

fn noperm_count(server: &RedisServer) -> u64 {
    let text = server.command(&["INFO", "errorstats"]).text();
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("errorstat_NOPERM:count="));
    count.map_or(0, |count| count.trim().parse().unwrap())
}

#[test]
fn a_denied_command_costs_its_collector_and_one_warning() {
    // The collector `latency` has INFO as a third source, which it goes on with: it publishes, and says what is missing.
    for (rule, collector, own_metric, success) in [
        ("-slowlog", "slowlog", "redis_slowlog_length", 0.0),
        ("-config", "config", "redis_config_maxmemory", 0.0),
        ("-latency", "latency", "redis_latency_spike_last", 1.0),
    ] {
        let server = server_without(&[rule]);
        if collector == "latency" {
            // An event that would be shown, were it allowed.
            let mut client = server.client();
            client.command(&["CONFIG", "SET", "latency-monitor-threshold", "1"]);
            client.command(&["DEBUG", "SLEEP", "0.01"]);
        }
        let exporter = watch(&server);
        exporter.wait_until_up(&["redis"]);
        let labels = [("instance", "redis"), ("collector", collector)];
        let unavailable = [("instance", "redis"), ("collector", collector), ("reason", "denied")];
        exporter.wait_for_instance(
            "redis",
            &format!("{collector} is denied"),
            config::INFO * 2 + SLACK,
            |scrape| {
                scrape.value("redis_session_exporter_collector_unavailable", &unavailable) == Some(1.0)
                    && scrape.value("redis_session_exporter_collector_success", &labels) == Some(success)
            },
        );
        let (before, denials) = (polls(&exporter.scrape()), noperm_count(&server));
        let scrape = exporter.wait_for_instance("redis", "eight more polls", config::INFO * 8 + SLACK, |scrape| {
            polls(scrape) >= before + 8.0
        });
        assert_eq!(
            noperm_count(&server),
            denials,
            "{collector}: what is denied is not tried again at every poll"
        );
        assert!(
            !scrape.has(own_metric, &[("instance", "redis")]),
            "{own_metric} is unknown"
        );
        assert!(
            scrape.has("redis_memory_used_bytes", &[("instance", "redis")]),
            "the rest is served"
        );
        assert!(exporter::is_up(&scrape, "redis"));
        assert_eq!(scrape.state("redis").as_deref(), Some("ok"));
        assert_eq!(
            scrape.sum("redis_connection_errors_total", &[("instance", "redis")]),
            0.0
        );
        let log = exporter.log();
        let warnings: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("level=warn") && line.contains(collector))
            .filter_map(|line| line.split_once(" message="))
            .map(|(_time, message)| message)
            .collect();
        let distinct: BTreeSet<&str> = warnings.iter().copied().collect();
        assert!(!warnings.is_empty(), "nobody is told: {log}");
        assert_eq!(
            warnings.len(),
            distinct.len(),
            "a denied command is warned of once: {log}"
        );
    }
}

#[test]
fn nothing_is_missing_with_all_permissions() {
    let server = server_without(&[]);
    let exporter = watch(&server);
    exporter.wait_until_up(&["redis"]);
    let scrape = exporter.wait_for("four polls", config::INFO * 4 + SLACK, |scrape| polls(scrape) >= 4.0);
    assert!(
        !scrape.has("redis_session_exporter_collector_unavailable", &[]),
        "{}",
        scrape.about("redis")
    );
    let failed: Vec<_> = scrape
        .all("redis_session_exporter_collector_success", &[])
        .filter(|sample| sample.value != 1.0)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn info_denied_leaves_ping() {
    let server = server_without(&["-info"]);
    let exporter = watch(&server);
    let scrape = exporter.wait_for_instance("redis", "INFO is denied", config::INFO * 2 + SLACK, |scrape| {
        scrape.has(
            "redis_session_exporter_collector_unavailable",
            &[("collector", "memory"), ("reason", "denied")],
        )
    });
    assert_eq!(
        scrape.value("redis_connection_status", &[("instance", "redis")]),
        Some(1.0)
    );
    assert_eq!(scrape.value("redis_up", &[("instance", "redis")]), Some(1.0));
    assert!(!scrape.has("redis_memory_used_bytes", &[("instance", "redis")]));
    assert_eq!(exporter.get("/-/ready").status, 200);
}

#[test]
fn check_names_the_line_that_mends() {
    let server = server_without(&["-slowlog", "-latency", "-scan"]);
    let further = "username: monitor\npassword: secret\nsessions:\n  - { store: web, match: [\"sess:*\"] }";
    let ended = exporter::run_with(
        &["check"],
        &[],
        Some(&config::fast(&[("redis", &server.address(), further)])),
    );
    assert_eq!(ended.code, 0, "{}", ended.output);
    let line = ended
        .output
        .lines()
        .find(|line| line.contains("ACL SETUSER monitor"))
        .unwrap_or_else(|| panic!("{}", ended.output));
    assert!(!ended.output.contains("secret"), "{}", ended.output);
    // The line is pasted as it is, and mends everything.
    let command = line.split_once("ACL SETUSER").unwrap().1;
    let words: Vec<&str> = ["ACL", "SETUSER"]
        .into_iter()
        .chain(command.split_whitespace())
        .collect();
    server.command(&words);
    let again = exporter::run_with(
        &["check"],
        &[],
        Some(&config::fast(&[("redis", &server.address(), further)])),
    );
    assert!(!again.output.contains("ACL SETUSER"), "{}", again.output);
    assert!(!again.output.contains("may not run"), "{}", again.output);
}

#[test]
fn a_mended_permission_is_found_at_the_reload() {
    let server = server_without(&["-slowlog"]);
    let config = config::fast(&[("redis", &server.address(), "username: monitor\npassword: secret")]);
    let exporter = Exporter::start(&config);
    let denied = [("collector", "slowlog"), ("reason", "denied")];
    exporter.wait_for_instance("redis", "slowlog is denied", config::INFO * 2 + SLACK * 2, |scrape| {
        scrape.has("redis_session_exporter_collector_unavailable", &denied)
    });
    server.command(&["ACL", "SETUSER", "monitor", "+slowlog"]);
    // The instance itself must change for the daemon to look again before its ten minutes are over.
    exporter.reload(&format!("{config}    labels: {{ team: auth }}\n"));
    exporter.wait_for_instance("redis", "slowlog is there", config::INFO * 4 + SLACK, |scrape| {
        scrape.has("redis_slowlog_length", &[("instance", "redis"), ("team", "auth")])
            && !scrape.has("redis_session_exporter_collector_unavailable", &denied)
    });
}
