//! The groups over INFO and CONFIG that are off by default in both exporters, side by side on one server.

use crate::side_by_side::Peer;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::program;
use crate::support::redis_server::RedisServer;
use std::process::Command;
use std::time::Duration;

/// Flags of the peer; older ones know the first two alone.
const FLAGS: [&str; 4] = [
    "--include-config-metrics",
    "--include-system-metrics",
    "--include-modules-metrics",
    "--include-rdb-file-size-metric",
];

/// What these flags add.
const FAMILIES: [&str; 5] = [
    "redis_config_key_value",
    "redis_config_value",
    "redis_total_system_memory_bytes",
    "redis_module_info",
    "redis_rdb_current_size_bytes",
];

#[test]
fn what_the_peer_shows_behind_flags_is_here_and_equal_but_for_secrets() {
    let server = RedisServer::start_with(&[
        "--masterauth",
        "hunter2",
        "--maxmemory",
        "50mb",
        "--masteruser",
        "hunter2-user",
    ]);
    server.command(&["SET", "k", "v"]);
    server.command(&["SAVE"]);
    let help = Command::new(program("TEST_REDIS_EXPORTER", "prometheus-redis-exporter"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8_lossy(&help.stderr).into_owned();
    let flags: Vec<&str> = FLAGS
        .into_iter()
        .filter(|flag| help.contains(flag.trim_start_matches('-')))
        .collect();
    assert!(flags.len() >= 2, "the peer knows {flags:?} alone: {help}");
    let peer = Peer::start_with(&server.address(), &flags);
    let on = "collectors: { config_all: on, system: on, modules: on }\ncompatibility: { rdb_file_size: on }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), on)]));
    let ours = exporter.wait_for("everything is there", Duration::from_secs(10), |scrape| {
        scrape.has("redis_config_value", &[]) && scrape.has("redis_rdb_current_size_bytes", &[])
    });
    let theirs = peer.scrape();
    let (mut equal, mut hidden) = (0, Vec::new());
    for family in FAMILIES {
        // Redis 7.0 has no modules, and older peers no flag for two of these.
        if let Some(kind) = theirs.types.get(family) {
            assert_eq!(ours.types.get(family), Some(kind), "{family}");
        }
        for sample in theirs.all(family, &[]) {
            let labels: Vec<(&str, &str)> = sample
                .labels
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            if ours.value(family, &labels) == Some(sample.value) {
                equal += 1;
            } else {
                let key = sample.labels.get("key").cloned().unwrap_or_default();
                let secret = [("key", key.as_str()), ("value", "<secret>")];
                assert_eq!(ours.value(family, &secret), Some(1.0), "{family} {labels:?}");
                hidden.push(key);
            }
        }
    }
    println!("{equal} series are equal with {flags:?}; hidden here and not there: {hidden:?}");
    assert!(equal > 250, "only {equal} series");
    // The peer shows whom the server logs in as.
    assert!(hidden.contains(&"masteruser".to_owned()), "{hidden:?}");
    assert!(hidden.len() < 12, "{hidden:?}");
    // And what the peer leaves out, secrets that it knows as such, are there as secrets.
    assert!(ours.has(
        "redis_config_key_value",
        &[("key", "masterauth"), ("value", "<secret>")]
    ));
    assert!(!exporter.get("/metrics").text().contains("hunter2"));
}
