//! What redis_exporter shows by default, seen on running servers: the proof that docs/compatibility.md names. Only what all servers of
//! `make matrix` have; the rest is replayed from recorded replies.

use crate::bench::BACK_BOUND;
use crate::support::config;
use crate::support::evidence::{assert_emits_listed, problems};
use crate::support::exporter::Exporter;
use crate::support::redis_server::RedisServer;
use crate::support::wait_until;
use std::time::Duration;

/// Replication and a cluster's first gossip take a second or two, longer on a busy machine.
const SET_UP_BOUND: Duration = Duration::from_secs(30);

#[test]
fn a_primary_and_its_replica_show_what_redis_exporter_shows() {
    let primary = RedisServer::start_with(&["--appendonly", "yes", "--latency-monitor-threshold", "1"]);
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let mut client = primary.client();
    client.command(&["SET", "counted", "1", "EX", "86400"]);
    client.command(&["GET", "counted"]);
    client.command(&["DEBUG", "SLEEP", "0.02"]);
    client.try_command(&["INCR"]);
    client.try_command(&["LPUSH", "counted", "x"]);
    let linked = wait_until(SET_UP_BOUND, || {
        (replica.info("master_link_status").as_deref() == Some("up")).then_some(())
    });
    assert!(linked.is_some(), "the replica does not find its primary");
    let exporter = Exporter::start(&config::fast(&[
        ("primary", &primary.address(), ""),
        ("replica", &replica.address(), ""),
    ]));
    exporter.wait_until_up(&["primary", "replica"]);
    let place = concat!(file!(), ":usual");
    wait_until(BACK_BOUND + SET_UP_BOUND, || {
        problems(place, &exporter.scrape()).is_empty().then_some(())
    });
    assert_emits_listed(concat!(file!(), ":usual"), &exporter.scrape());
}

#[test]
fn two_nodes_of_a_cluster_show_what_redis_exporter_shows() {
    let nodes =
        [(); 2].map(|()| RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"]));
    let [first, second] = &nodes;
    first.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    second.command(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    // Both would begin with epoch 0 otherwise, and sort that out later.
    second.command(&["CLUSTER", "SET-CONFIG-EPOCH", "2"]);
    first.command(&["CLUSTER", "MEET", "127.0.0.1", &second.port.to_string()]);
    let exporter = Exporter::start(&config::fast(&[
        ("first", &first.address(), ""),
        ("second", &second.address(), ""),
    ]));
    exporter.wait_until_up(&["first", "second"]);
    let place = concat!(file!(), ":cluster");
    wait_until(BACK_BOUND + SET_UP_BOUND, || {
        // Published again and again, since a message before the nodes know each other goes nowhere.
        first.command(&["PUBLISH", "channel", "message"]);
        second.command(&["PUBLISH", "channel", "message"]);
        problems(place, &exporter.scrape()).is_empty().then_some(())
    });
    assert_emits_listed(concat!(file!(), ":cluster"), &exporter.scrape());
}
