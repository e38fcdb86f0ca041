//! Many instances, some of them hung.

use crate::support::SLACK;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::peer::{ScriptedPeer, Welcome};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use std::time::{Duration, Instant};

/// Instances of the fleet.
const INSTANCES: usize = 50;
/// Those that hang.
const HUNG: usize = 10;

#[test]
fn forty_are_polled_on_time_while_ten_hang() {
    let server = RedisServer::start();
    let peer = ScriptedPeer::start();
    peer.welcome(Welcome::Silence);
    let names: Vec<String> = (0..INSTANCES).map(|number| format!("instance-{number:02}")).collect();
    let (good, bad) = (server.address(), peer.address());
    // Addresses of different instances may be the same server; names may not.
    let instances: Vec<(&str, &str, &str)> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            (
                name.as_str(),
                if number < HUNG { bad.as_str() } else { good.as_str() },
                "collectors: { connect: false }",
            )
        })
        .collect();
    // Slower than elsewhere: fifty pollers, their server and these tests share two cores, and the build is unoptimised.
    let poll = "environment: test\npoll: { ping_interval: 500ms, info_interval: 2s, scan_interval: 1h, timeout: 2s }\n";
    let exporter = Exporter::start(&format!("{poll}{}", config::instances_yaml(&instances)));
    let healthy: Vec<&str> = names[HUNG..].iter().map(String::as_str).collect();
    exporter.wait_for("forty are up and ten are down", Duration::from_secs(20), |scrape| {
        scrape.all("redis_up", &[]).filter(|sample| sample.value == 1.0).count() == INSTANCES - HUNG
            && scrape.all("redis_up", &[]).filter(|sample| sample.value == 0.0).count() == HUNG
            && healthy
                .iter()
                .all(|name| scrape.has("redis_memory_used_bytes", &[("instance", name)]))
    });
    let pings = |scrape: &Scrape, name: &str| scrape.value("redis_pings_total", &[("instance", name)]).unwrap();
    let before = exporter.scrape();
    let started = Instant::now();
    let scrape = exporter.wait_for(
        "ten more pings of each",
        Duration::from_millis(500) * 10 + SLACK * 2,
        |scrape| {
            healthy
                .iter()
                .all(|name| pings(scrape, name) >= pings(&before, name) + 10.0)
        },
    );
    println!(
        "ten pings at 500 ms of each of {} instances took {:?}",
        healthy.len(),
        started.elapsed()
    );
    for name in healthy {
        assert_eq!(
            scrape.value("redis_ping_failures_total", &[("instance", name)]),
            Some(0.0),
            "{name}"
        );
        let skipped = |scrape: &Scrape| scrape.sum("redis_session_exporter_polls_skipped_total", &[("instance", name)]);
        assert!(
            skipped(&scrape) - skipped(&before) <= 1.0,
            "{name} skipped {} polls",
            skipped(&scrape) - skipped(&before)
        );
    }
}
