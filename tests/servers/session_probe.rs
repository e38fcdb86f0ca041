//! The synthetic session on real servers: what it shows, what it leaves behind, and where it stays away.

use crate::bench::{BACK_BOUND, DOWN_BOUND};
use crate::support::config::{self, TIMEOUT};
use crate::support::exporter::{Exporter, run_with};
use crate::support::peer::{Answer, ScriptedPeer, healthy};
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_server::RedisServer;
use crate::support::resp::Reply;
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::time::Duration;

/// `session_probe.interval` of the tests.
const INTERVAL: Duration = Duration::from_millis(200);

/// Time to live of a probe's key with the time-out of the tests.
const TIME_TO_LIVE: Duration = Duration::from_secs(10);

/// A probe shows within one interval and what it may wait for.
const PROBE_BOUND: Duration = INTERVAL.saturating_mul(2).saturating_add(TIMEOUT).saturating_add(SLACK);

const ON: &str = "session_probe: { enabled: true, interval: 200ms }";

fn count(scrape: &Scrape, operation: &str, status: &str) -> f64 {
    let labels = [("instance", "redis"), ("operation", operation), ("status", status)];
    scrape
        .value("session_probe_operations_total", &labels)
        .unwrap_or(f64::NAN)
}

fn success(scrape: &Scrape) -> Option<f64> {
    scrape.value("session_probe_success", &[("instance", "redis")])
}

fn observed(scrape: &Scrape, operation: &str) -> Option<f64> {
    let labels = [("instance", "redis"), ("operation", operation)];
    scrape.value("session_probe_duration_seconds_count", &labels)
}

fn start(address: &str, further: &str) -> Exporter {
    Exporter::start(&config::fast(&[("redis", address, further)]))
}

fn watch(server: &RedisServer, further: &str) -> Exporter {
    let exporter = start(&server.address(), further);
    exporter.wait_for_instance("redis", "the first probe works", BACK_BOUND, |scrape| {
        success(scrape) == Some(1.0)
    });
    exporter
}

/// One number of a line of commandstats, 0 when the command was never called.
fn server_count(server: &RedisServer, command: &str, field: &str) -> u64 {
    let line = server.info(&format!("cmdstat_{command}"));
    let number = |line: &str| {
        let pairs = line.split(',').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(name, _)| *name == field)
            .map(|(_, number)| number.parse().unwrap())
            .next()
    };
    line.as_deref().and_then(number).unwrap_or(0)
}

fn keys(server: &RedisServer) -> i64 {
    server.command(&["DBSIZE"]).integer()
}

#[test]
fn a_session_is_written_read_renewed_and_deleted() {
    let server = RedisServer::start();
    let address = format!("{}/3", server.address());
    let exporter = start(&address, ON);
    let scrape = exporter.wait_for_instance("redis", "five probes", Duration::from_secs(10), |scrape| {
        count(scrape, "delete", "success") >= 5.0
    });
    assert_eq!(success(&scrape), Some(1.0));
    for operation in ["create", "get", "update", "delete"] {
        assert_eq!(count(&scrape, operation, "error"), 0.0, "born at 0");
        assert_eq!(observed(&scrape, operation), Some(count(&scrape, operation, "success")));
        let labels = [("instance", "redis"), ("operation", operation)];
        let sum = scrape.value("session_probe_duration_seconds_sum", &labels).unwrap();
        assert!(sum > 0.0, "{operation}");
    }
    // Switched off: nothing more is written, nothing is left, nothing is shown.
    exporter.reload(&config::fast(&[("redis", &address, "")]));
    exporter.wait_for_instance("redis", "switched off", BACK_BOUND, |scrape| {
        success(scrape).is_none() && observed(scrape, "create").is_none()
    });
    let written = server_count(&server, "set", "calls");
    assert_eq!(written, server_count(&server, "del", "calls"));
    assert!(written as f64 >= count(&scrape, "create", "success"));
    let mut client = server.client();
    client.command(&["SELECT", "3"]);
    assert_eq!(client.command(&["DBSIZE"]).integer(), 0);
    assert_eq!(server_count(&server, "expire", "calls"), written);
    // On again: the counters go on from where they were.
    exporter.reload(&config::fast(&[("redis", &address, ON)]));
    let again = exporter.wait_for_instance("redis", "on again", BACK_BOUND, |scrape| success(scrape) == Some(1.0));
    assert!(count(&again, "create", "success") > count(&scrape, "create", "success"));
}

#[test]
fn it_is_off_unless_it_is_asked_for() {
    let server = RedisServer::start();
    let exporter = start(&server.address(), "");
    let scrape = exporter.wait_until_up(&["redis"]);
    assert_eq!((success(&scrape), observed(&scrape, "create")), (None, None));
    assert_eq!(server_count(&server, "set", "calls"), 0);
}

#[test]
fn a_replica_is_left_alone() {
    let primary = RedisServer::start();
    let replica = RedisServer::start_with(&[
        "--replicaof",
        &format!("127.0.0.1 {}", primary.port),
        "--replica-read-only",
        "no",
    ]);
    let linked = wait_until(Duration::from_secs(20), || {
        (replica.info("master_link_status").as_deref() == Some("up")).then_some(())
    });
    assert_eq!(linked, Some(()));
    let exporter = start(&replica.address(), ON);
    let scrape = exporter.wait_until_up(&["redis"]);
    let pings = |scrape: &Scrape| scrape.sum("redis_pings_total", &[("instance", "redis")]);
    let before = pings(&scrape);
    let scrape = exporter.wait_for("ten pings", Duration::from_secs(10), |scrape| {
        pings(scrape) >= before + 10.0
    });
    assert_eq!(success(&scrape), None);
    assert_eq!(
        server_count(&replica, "set", "calls"),
        0,
        "it would even have taken writes"
    );

    // A failover makes it the primary, and another one a replica again.
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    exporter.wait_for_instance("redis", "probed as a primary", BACK_BOUND + PROBE_BOUND, |scrape| {
        success(scrape) == Some(1.0)
    });
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    exporter.wait_for_instance("redis", "left alone again", BACK_BOUND + PROBE_BOUND, |scrape| {
        success(scrape).is_none()
    });
}

#[test]
fn refused_writes_show_while_ping_says_pong() {
    let server = RedisServer::start();
    let exporter = watch(&server, ON);
    let gets = count(&exporter.scrape(), "get", "error");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let scrape = exporter.wait_for_instance("redis", "SET is refused", PROBE_BOUND * 2, |scrape| {
        success(scrape) == Some(0.0) && count(scrape, "create", "error") >= 2.0
    });
    let connected = scrape.value("redis_connection_status", &[("instance", "redis")]);
    assert_eq!(connected, Some(1.0), "an error reply is no failed exchange");
    assert_eq!(count(&scrape, "get", "error"), gets, "what was not written is not read");
    let complaints = |log: &str| log.matches("the synthetic session failed").count();
    assert_eq!(complaints(&exporter.log()), 1, "{}", exporter.log());
    assert!(
        exporter.log().contains("SET was refused with OOM"),
        "{}",
        exporter.log()
    );
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    exporter.wait_for_instance("redis", "it works again", PROBE_BOUND, |scrape| {
        success(scrape) == Some(1.0)
    });
    assert!(exporter.log().contains("the synthetic session works again"));
}

/// A server whose user `monitor` may do everything but what these rules take away.
fn server_without(rules: &[&str]) -> RedisServer {
    let server = RedisServer::start();
    let mut words = vec!["ACL", "SETUSER", "monitor", "on", ">secret", "~*", "&*", "+@all"];
    words.extend(rules);
    server.command(&words);
    server
}

const MONITOR: &str = "username: monitor\npassword: secret\nsession_probe: { enabled: true, interval: 200ms }";

fn wait_until_denied(exporter: &Exporter) -> Scrape {
    let denied = [
        ("instance", "redis"),
        ("collector", "session_probe"),
        ("reason", "denied"),
    ];
    exporter.wait_for_instance("redis", "the probe is denied", BACK_BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_unavailable", &denied) == Some(1.0)
    })
}

#[test]
fn a_denied_command_is_tried_once_and_the_log_names_the_grant() {
    let server = server_without(&["-set"]);
    let exporter = start(&server.address(), MONITOR);
    let scrape = wait_until_denied(&exporter);
    assert_eq!(count(&scrape, "create", "error"), 1.0);
    assert_eq!(success(&scrape), None);
    let pings = |scrape: &Scrape| scrape.sum("redis_pings_total", &[("instance", "redis")]);
    let before = pings(&scrape);
    exporter.wait_for("ten pings", Duration::from_secs(10), |scrape| {
        pings(scrape) >= before + 10.0
    });
    assert_eq!(
        server_count(&server, "set", "rejected_calls"),
        1,
        "each attempt stands in ACL LOG"
    );
    let log = exporter.log();
    let grant = "ACL SETUSER monitor +set +get +expire +del";
    assert_eq!(log.matches(grant).count(), 1, "{log}");
    assert!(log.contains("~redis-session-exporter:probe:*"), "{log}");

    // What the log says mends it; a reload has it tried again.
    let words: Vec<&str> = grant.split(' ').collect();
    server.command(&words);
    exporter.reload(&config::fast(&[("redis", &server.address(), MONITOR)]));
    exporter.wait_for_instance("redis", "mended", BACK_BOUND, |scrape| success(scrape) == Some(1.0));
}

#[test]
fn the_least_privilege_is_enough() {
    let server = RedisServer::start();
    let line =
        "ACL SETUSER monitor on >secret -@all +ping +info +set +get +expire +del ~redis-session-exporter:probe:*";
    server.command(&line.split(' ').collect::<Vec<_>>());
    let exporter = watch(&server, MONITOR);
    // Without the keys the commands alone are not.
    server.command(&["ACL", "SETUSER", "monitor", "resetkeys"]);
    let scrape = wait_until_denied(&exporter);
    assert_eq!(count(&scrape, "create", "error"), 1.0);
}

#[test]
fn where_info_is_denied_the_probe_is_run() {
    let server = server_without(&["-info"]);
    let exporter = watch(&server, MONITOR);
    assert!(!exporter.scrape().has("redis_uptime_in_seconds", &[]));
}

#[test]
fn a_key_that_cannot_be_deleted_expires() {
    let server = server_without(&["-del"]);
    let exporter = start(&server.address(), MONITOR);
    let scrape = wait_until_denied(&exporter);
    assert_eq!(count(&scrape, "update", "success"), 1.0);
    assert_eq!(count(&scrape, "delete", "error"), 1.0);
    assert_eq!(keys(&server), 1);
    let key = server.command(&["RANDOMKEY"]).text();
    let lives = server.command(&["PTTL", &key]).integer();
    assert!(lives > 0 && lives <= 10_000, "{lives} ms");
    let gone = wait_until(TIME_TO_LIVE + SLACK, || (keys(&server) == 0).then_some(()));
    assert_eq!(gone, Some(()), "it lives no longer than its time");
}

#[test]
fn a_server_that_hangs_is_seen_by_the_probe_and_left_clean() {
    let server = RedisServer::start();
    let exporter = watch(&server, ON);
    server.freeze();
    let scrape = exporter.wait_for_instance("redis", "the probe fails", DOWN_BOUND + PROBE_BOUND, |scrape| {
        success(scrape) == Some(0.0) && scrape.value("redis_up", &[("instance", "redis")]) == Some(0.0)
    });
    let errors = |scrape: &Scrape| -> f64 {
        let operations = ["create", "get", "update", "delete"];
        operations
            .map(|operation| count(scrape, operation, "error"))
            .iter()
            .sum()
    };
    let before = errors(&scrape);
    assert!(before >= 1.0);
    exporter.wait_for_instance("redis", "attempts go on failing", PROBE_BOUND * 3, |scrape| {
        errors(scrape) >= before + 2.0
    });
    server.thaw();
    let scrape = exporter.wait_for_instance("redis", "it works again", BACK_BOUND + PROBE_BOUND, |scrape| {
        success(scrape) == Some(1.0)
    });
    // Whatever was under way when the server hung: it ends by itself, and nothing of later probes stays.
    exporter.reload(&config::fast(&[("redis", &server.address(), "")]));
    exporter.wait_for_instance("redis", "switched off", BACK_BOUND, |scrape| success(scrape).is_none());
    let gone = wait_until(TIME_TO_LIVE + SLACK, || (keys(&server) == 0).then_some(()));
    assert_eq!(gone, Some(()), "{}", scrape.about("redis"));
}

#[test]
fn without_a_connection_sessions_cannot_be_created() {
    let mut server = RedisServer::start();
    let exporter = watch(&server, ON);
    let observed_before = observed(&exporter.scrape(), "create").unwrap();
    server.shutdown();
    let scrape = exporter.wait_for_instance("redis", "attempts fail", DOWN_BOUND + PROBE_BOUND, |scrape| {
        success(scrape) == Some(0.0) && count(scrape, "create", "error") >= 3.0
    });
    let attempts = count(&scrape, "create", "success") + count(&scrape, "create", "error");
    let observed_now = observed(&scrape, "create").unwrap();
    assert!(
        observed_now < attempts && observed_now >= observed_before,
        "nobody waited for those without a connection"
    );
    server.start_again();
    exporter.wait_for_instance("redis", "it works again", BACK_BOUND + PROBE_BOUND, |scrape| {
        success(scrape) == Some(1.0)
    });
}

#[test]
fn nothing_is_written_over_a_connection_whose_role_nobody_knows() {
    // INFO is answered so late that a PING is due behind it, and the connection ends with the answer: the PING makes another one,
    // which may lead to another server.
    let peer = ScriptedPeer::start_with(|words| match healthy(words) {
        Answer::Bytes(answer) if words[0].eq_ignore_ascii_case("INFO") => {
            std::thread::sleep(config::PING + Duration::from_millis(50));
            Answer::BytesThenClose(answer)
        }
        answer => answer,
    });
    let further = format!("{ON}\ncollectors: {{ connect: false }}");
    let _exporter = start(&peer.address(), &further);
    let commands = |name: &str| {
        let batches = peer.batches();
        let commands = batches.iter().flat_map(|batch| &batch.commands);
        commands.filter(|words| words[0].eq_ignore_ascii_case(name)).count()
    };
    let asked = wait_until(Duration::from_secs(20), || (commands("INFO") >= 15).then_some(()));
    assert!(asked.is_some(), "{} times", commands("INFO"));
    assert_eq!(commands("SET"), 0, "each connection ended with what told its role");
}

/// Both name single keys, of which each node of a cluster holds some.
#[test]
fn nodes_of_a_cluster_are_tried_with_keys_of_their_own_and_keys_of_others_are_absent_quietly() {
    let cluster = RedisCluster::start(&[]);
    let is_holder = |node: &&RedisServer| {
        let reply = node.client().try_command(&["SET", "orders", "7"]);
        matches!(reply, Reply::Simple(_))
    };
    let holder = cluster
        .nodes
        .iter()
        .take(3)
        .find(is_holder)
        .expect("one primary has the slot");
    let holder = format!("127.0.0.1:{}", holder.port);
    let further = format!(
        "{ON}\napplication_metrics: [{{ name: orders_total, type: counter, key: orders }}]\ncollectors: {{ connect: false, sessions: false }}"
    );
    let names = cluster.names();
    let exporter = Exporter::start(&config::patient(&[("shop", &cluster.address(), &further)]));
    let of = |name: &str, scrape: &Scrape, metric: &str| scrape.value(metric, &[("instance", name)]);
    let application = |name: &str, scrape: &Scrape| {
        let labels = [("instance", name), ("collector", "application")];
        scrape.value("redis_session_exporter_collector_success", &labels)
    };
    let bound = Duration::from_secs(30);
    exporter.wait_for("every node has been asked", bound, |scrape| {
        names.iter().all(|name| application(name, scrape) == Some(1.0))
            && names[..3]
                .iter()
                .all(|name| of(name, scrape, "session_probe_success") == Some(1.0))
    });
    let moved = || -> Vec<Option<String>> { cluster.nodes.iter().map(|node| node.info("errorstat_MOVED")).collect() };
    let probes = |name: &str, scrape: &Scrape| {
        let labels = [("instance", name), ("operation", "delete"), ("status", "success")];
        scrape
            .value("session_probe_operations_total", &labels)
            .unwrap_or_default()
    };
    let (refused, before) = (moved(), exporter.scrape());
    let scrape = exporter.wait_for("ten further probes", bound, |scrape| {
        names[..3]
            .iter()
            .all(|name| probes(name, scrape) >= probes(name, &before) + 10.0)
    });
    assert_eq!(moved(), refused, "nothing is asked that would be refused");
    for (at, name) in names.iter().enumerate() {
        assert_eq!(application(name, &scrape), Some(1.0), "{name}");
        let orders = (*name == holder).then_some(7.0);
        assert_eq!(of(name, &scrape, "orders_total"), orders, "{name}");
        let works = (at < 3).then_some(1.0);
        assert_eq!(of(name, &scrape, "session_probe_success"), works, "{name}");
        let errors = scrape.sum(
            "session_probe_operations_total",
            &[("instance", name), ("status", "error")],
        );
        assert_eq!(errors, 0.0, "{name}");
    }
    let log = exporter.log();
    assert_eq!(log.matches("an application metric is absent here").count(), 5, "{log}");
    assert!(
        !log.contains("cannot be read") && !log.contains("synthetic session failed"),
        "{log}"
    );

    // All keys in one slot: its node alone is tried.
    let pinned = "session_probe: { enabled: true, interval: 200ms, prefix: '{pin}:' }\ncollectors: { connect: false, sessions: false }";
    exporter.reload(&config::patient(&[("shop", &cluster.address(), pinned)]));
    let told = wait_until(bound, || {
        (exporter.log().matches("in hash slots of other nodes").count() == 2).then_some(())
    });
    assert!(told.is_some(), "{}", exporter.log());
    let tried = |scrape: &Scrape| {
        let shows = |name: &&String| of(name, scrape, "session_probe_success") == Some(1.0);
        names.iter().filter(shows).count()
    };
    exporter.wait_for("one node is tried", bound, |scrape| tried(scrape) == 1);

    let addresses: Vec<String> = cluster.nodes.iter().map(RedisServer::address).collect();
    let at = |number: usize| (["a", "b", "c"][number], addresses[number].as_str(), further.as_str());
    let ended = run_with(&["check"], &[], Some(&config::patient(&[at(0), at(1), at(2)])));
    assert_eq!(
        ended
            .output
            .matches("orders_total is absent: the key is in a hash slot of another node")
            .count(),
        2,
        "{}",
        ended.output
    );
    assert_eq!(
        ended.output.matches("1 of 1 metrics can be read").count(),
        1,
        "{}",
        ended.output
    );
    assert_eq!(
        ended.output.matches("a node of a cluster: its keys").count(),
        3,
        "{}",
        ended.output
    );
}
