//! Clusters whose nodes are found out: real ones, and servers that announce what they should not.

use crate::support::config::{self, fast_poll};
use crate::support::exporter::{Exporter, is_up, run_with};
use crate::support::http;
use crate::support::peer::{Answer, ScriptedPeer, healthy, is_command};
use crate::support::redis_cluster::RedisCluster;
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::collections::BTreeSet;
use std::time::Duration;

/// Time between two discoveries in these tests: the shortest that the exporter takes.
const DISCOVERY: Duration = Duration::from_secs(2);

/// Until something that a discovery finds is there: two intervals, and the first polls of a new instance.
const FOUND_BOUND: Duration = Duration::from_secs(8);

/// A failover, or the death of a node, is agreed upon within a few node timeouts.
const FAILOVER_BOUND: Duration = Duration::from_secs(40);

/// One cluster, and nothing else.
fn of_cluster(name: &str, address: &str, further: &str) -> String {
    config::fast(&[(name, address, further)])
}

/// Nothing but the kept connection of each instance.
const KEPT_ONLY: &str = "collectors: { connect: false, sessions: false, events: false }";

const STORE: &str = "sessions: [{ store: web, match: [\"sess:*\"], count: exact }]";

fn instances(scrape: &Scrape) -> BTreeSet<String> {
    scrape
        .all("redis_pings_total", &[])
        .map(|sample| sample.labels["instance"].clone())
        .collect()
}

fn set(names: &[String]) -> BTreeSet<String> {
    names.iter().cloned().collect()
}

/// The targets that Prometheus would be given.
fn targets(exporter: &Exporter) -> BTreeSet<String> {
    let answer = exporter.get("/discover-cluster-nodes");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let groups = answer.json();
    let groups = groups.as_array().unwrap();
    let targets = groups.iter().flat_map(|group| group["targets"].as_array().unwrap());
    targets.map(|target| target.as_str().unwrap().to_owned()).collect()
}

/// What a Prometheus job of redis_exporter's users does with a target.
fn scrape_target(exporter: &Exporter, target: &str) -> Scrape {
    let target: String = target.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer = exporter.get(&format!("/scrape?target={target}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    Scrape::parse(&answer.text())
}

/// Everything that a user of `--is-cluster` has, on a whole cluster that nothing happens to.
#[test]
fn every_node_is_polled_listed_and_answered_for() {
    let cluster = RedisCluster::start(&[]);
    let taken = cluster.fill("sess:", 300);
    assert!(taken.iter().all(|count| *count > 0), "{taken:?}");
    let exporter = Exporter::start(&of_cluster("shop", &cluster.address(), STORE));
    let names = cluster.names();
    let ready = wait_until(FOUND_BOUND, || (exporter.get("/-/ready").status == 200).then_some(()));
    assert!(ready.is_some());
    // Ready means that every node was found and polled.
    let scrape = exporter.scrape();
    assert_eq!(instances(&scrape), set(&names));
    assert!(names.iter().all(|name| scrape.has("redis_up", &[("instance", name)])));
    let scrape = exporter.wait_for("the sessions of all primaries", FOUND_BOUND, |scrape| {
        scrape.sum("sessions_active", &[("store", "web")]) == 300.0
            && names.iter().all(|name| is_up(scrape, name))
            && names
                .iter()
                .all(|name| scrape.has("redis_instance_info", &[("instance", name)]))
    });
    // Replicas hold the same keys and do not count them.
    for (at, name) in names.iter().enumerate() {
        let counted = scrape.value("sessions_active", &[("instance", name)]);
        let expected = taken.get(at).map(|count| *count as f64);
        assert_eq!(counted, expected, "{name}");
        let role = scrape.all("redis_instance_info", &[("instance", name)]).next().unwrap();
        assert_eq!(role.labels["role"], if at < 3 { "master" } else { "slave" });
    }
    for sample in scrape.all("redis_up", &[]) {
        assert_eq!(sample.labels["cluster"], "shop");
        assert!(!sample.labels.contains_key("role"));
    }
    let of_shop = [("cluster", "shop")];
    assert_eq!(
        scrape.value("redis_session_exporter_cluster_nodes", &of_shop),
        Some(6.0)
    );
    assert_eq!(
        scrape.sum("redis_session_exporter_cluster_nodes_left_out", &of_shop),
        0.0
    );
    assert_eq!(
        scrape
            .all("redis_session_exporter_cluster_nodes_left_out", &of_shop)
            .count(),
        5
    );

    // The job of redis_exporter's users: each target is answered for.
    let listed = targets(&exporter);
    assert_eq!(listed, names.iter().map(|name| format!("redis://{name}")).collect());
    for target in &listed {
        let one = scrape_target(&exporter, target);
        assert_eq!(one.value("redis_up", &[]), Some(1.0), "{target}");
        assert_eq!(one.value("redis_cluster_enabled", &[]), Some(1.0));
    }
    let labels = &exporter.get("/discover-cluster-nodes").json()[0]["labels"];
    assert_eq!(*labels, serde_json::json!({ "cluster": "shop", "environment": "test" }));
    let listed = exporter.get("/sd").json();
    let listed = listed.as_array().unwrap().iter();
    let listed: BTreeSet<String> = listed
        .map(|entry| entry["labels"]["instance"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, set(&names));
    assert_eq!(exporter.get(&format!("/probe?target={}", names[4])).status, 200);
    let health = exporter.get("/health/redis").json();
    assert_eq!(health["instances"].as_object().unwrap().len(), 6);
    assert_eq!(health["status"], "healthy");
    let page = exporter.get("/").text();
    assert!(
        page.contains("<td>shop</td>") && names.iter().all(|name| page.contains(name.as_str())),
        "{page}"
    );
    let shown = exporter.get("/config").text();
    assert!(shown.contains(&cluster.address()), "{shown}");
    assert_eq!(
        shown.matches("address:").count(),
        1,
        "the template and not its nodes: {shown}"
    );

    // Between two discoveries nothing of ours is connected but what every instance has: commands, a subscriber or a scan, a probe.
    let connections = cluster.nodes[2].command(&["CLIENT", "LIST"]).text();
    let ours = connections
        .lines()
        .filter(|line| line.contains("name=redis-session-exporter"));
    assert!(ours.count() <= 4, "{connections}");
    let ended = run_with(
        &["once", "--unpaced", "--log.level=error"],
        &[],
        Some(&of_cluster("shop", &cluster.address(), STORE)),
    );
    assert_eq!(ended.code, 0, "{}", ended.output);
    let once = Scrape::parse(&ended.output);
    assert_eq!(instances(&once), set(&names));
    assert_eq!(once.sum("sessions_active", &[]), 300.0);
    let ended = run_with(&["check"], &[], Some(&of_cluster("shop", &cluster.address(), STORE)));
    assert!(ended.output.contains("6 are watched"), "{}", ended.output);
    assert!(
        names
            .iter()
            .all(|name| ended.output.contains(&format!("{name} at redis://{name}/0"))),
        "{}",
        ended.output
    );
    assert_eq!(ended.code, 0, "{}", ended.output);
    // What all nodes miss is said once, behind them.
    let (_, behind) = ended.output.split_once("nodes of shop\n").expect(&ended.output);
    assert!(behind.contains("(all 6 nodes)"), "{}", ended.output);
    assert_eq!(
        ended.output.matches("not available   capacity: ").count(),
        1,
        "{}",
        ended.output
    );
}

/// Nodes come, fail, change roles and go; `instance` stays what it is.
#[test]
fn instances_outlive_failovers_and_follow_the_membership() {
    let mut cluster = RedisCluster::start(&[]);
    let exporter = Exporter::start(&of_cluster("shop", &cluster.address(), STORE));
    let names = cluster.names();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    exporter.wait_until_up(&all);
    let pings = |scrape: &Scrape, name: &str| scrape.value("redis_pings_total", &[("instance", name)]).unwrap();
    let before: Vec<f64> = {
        let scrape = exporter.scrape();
        names.iter().map(|name| pings(&scrape, name)).collect()
    };

    // The first primary dies and its replica takes over; the dead node stays a target.
    cluster.nodes[0].shutdown();
    let is_primary =
        |scrape: &Scrape, name: &str| scrape.has("redis_instance_info", &[("instance", name), ("role", "master")]);
    let scrape = exporter.wait_for("the replica is a primary", FAILOVER_BOUND, |scrape| {
        is_primary(scrape, &names[3])
    });
    assert_eq!(scrape.value("redis_up", &[("instance", &names[0])]), Some(0.0));
    // Longer than it takes to lose a node that nobody announces: this one is announced as failed.
    let discoveries = |scrape: &Scrape| {
        scrape
            .value("redis_session_exporter_cluster_discoveries_total", &[])
            .unwrap()
    };
    let then = discoveries(&scrape);
    let scrape = exporter.wait_for("several discoveries", 8 * DISCOVERY, |scrape| {
        discoveries(scrape) >= then + 4.0
    });
    assert_eq!(instances(&scrape), set(&names));
    assert_eq!(scrape.value("redis_up", &[("instance", &names[0])]), Some(0.0));
    cluster.nodes[0].start_again();
    exporter.wait_until_up(&all);
    let scrape = exporter.scrape();
    for (name, before) in names.iter().zip(before) {
        assert!(pings(&scrape, name) > before, "{name}: its counters went on");
    }
    cluster.wait("the old primary is a replica", || {
        cluster.nodes[0].info("role").as_deref() == Some("slave")
    });

    // A new node shows up within two intervals.
    let new = format!("127.0.0.1:{}", cluster.add().port);
    exporter.wait_for("the new node", 2 * DISCOVERY + SLACK, |scrape| {
        instances(scrape).contains(&new)
    });
    exporter.wait_until_up(&[&new]);
    assert!(targets(&exporter).contains(&format!("redis://{new}")));
    assert_eq!(exporter.get("/-/ready").status, 200);

    // One that was forgotten goes, after three answers that do not name it.
    cluster.forget_last();
    let scrape = exporter.wait_for("the node is gone", 6 * DISCOVERY + SLACK, |scrape| {
        !instances(scrape).contains(&new)
    });
    assert_eq!(instances(&scrape), set(&names));
    assert!(!targets(&exporter).contains(&format!("redis://{new}")));
}

/// `CLUSTER NODES` with these addresses, and no CLUSTER SHARDS.
fn announcing(nodes: &[String]) -> impl FnMut(&[String]) -> Answer + Send + 'static {
    let lines: String = nodes
        .iter()
        .map(|node| format!("id {node}@1 master - 0 0 0 connected\n"))
        .collect();
    move |words| {
        if is_command(words, "CLUSTER NODES") {
            Answer::Bytes(format!("${}\r\n{lines}\r\n", lines.len()).into_bytes())
        } else {
            healthy(words)
        }
    }
}

fn local(peer: &ScriptedPeer) -> String {
    format!("127.0.0.1:{}", peer.port)
}

/// A server that was taken over announces an address of the attacker's: no connection, and no password.
#[test]
fn credentials_go_nowhere_that_only_a_server_names() {
    let seed = ScriptedPeer::start();
    let (friend, thief) = (ScriptedPeer::start(), ScriptedPeer::start());
    let by_name = format!("localhost:{}", thief.port);
    seed.answer(announcing(&[
        local(&seed),
        local(&friend),
        local(&thief),
        "10.9.9.9:6379".to_owned(),
    ]));
    let address = format!("redis-cluster://:hunter2@{}", local(&seed));
    // The default: loopback is allowed, what lies elsewhere is not.
    let exporter = Exporter::start(&of_cluster("shop", &address, ""));
    exporter.wait_until_up(&[&local(&seed), &local(&friend)]);
    let left_out = |scrape: &Scrape, reason: &str| {
        scrape
            .value("redis_session_exporter_cluster_nodes_left_out", &[("reason", reason)])
            .unwrap()
    };
    assert_eq!(left_out(&exporter.scrape(), "network"), 1.0);
    assert!(exporter.get("/").text().contains("10.9.9.9:6379: it lies outside"));
    assert_eq!(
        exporter.log().matches("nodes of the cluster are not watched").count(),
        1,
        "{}",
        exporter.log()
    );
    drop(exporter);

    // A list of one's own replaces it, for names at the moment of the connect.
    thief.forget();
    let (friends_before, thiefs_before) = (friend.accepted(), thief.accepted());
    // CLUSTER NODES carries a name beside the address.
    let named = format!("10.9.9.8:{}@1,{by_name}", thief.port).replace(&format!(",{by_name}"), ",localhost");
    let line = format!(
        "id {named} master - 0 0 0 connected\nid {}@1 master - 0 0 0 connected\n",
        local(&friend)
    );
    seed.answer(move |words| {
        if is_command(words, "CLUSTER NODES") {
            Answer::Bytes(format!("${}\r\n{line}\r\n", line.len()).into_bytes())
        } else {
            healthy(words)
        }
    });
    let exporter = Exporter::start(&of_cluster(
        "shop",
        &address,
        "allowed_networks: [10.0.0.0/8]\ncluster_hostnames: on",
    ));
    let scrape = exporter.wait_for("the name is dialled nowhere", FOUND_BOUND, |scrape| {
        scrape.value("redis_up", &[("instance", &by_name)]) == Some(0.0)
    });
    assert_eq!(scrape.state(&by_name).as_deref(), Some("unreachable"));
    assert_eq!(left_out(&scrape, "network"), 1.0, "{}", scrape.about(""));
    assert!(exporter.get("/").text().contains("allowed_networks"));
    assert_eq!((friend.accepted(), thief.accepted()), (friends_before, thiefs_before));
    assert!(!exporter.log().contains("hunter2"));
    let ended = run_with(
        &["check"],
        &[],
        Some(&of_cluster("shop", &address, "allowed_networks: [10.0.0.0/8]")),
    );
    assert!(ended.output.contains("not watched"), "{}", ended.output);
    assert_eq!(ended.code, 1);
    assert_eq!((friend.accepted(), thief.accepted()), (friends_before, thiefs_before));
}

/// A cluster that is down is seen to be down, a broken answer changes nothing, and all is well again when the fault ends.
#[test]
fn faults_of_the_servers_change_no_targets() {
    let mut seed = ScriptedPeer::start();
    let node = ScriptedPeer::start();
    seed.refuse();
    let address = format!("redis-cluster://{}", local(&seed));
    let exporter = Exporter::start(&format!("{}instances: [{{ address: '{address}' }}]\n", fast_poll()));
    let scrape = exporter.wait_for("the seed stands for the cluster", FOUND_BOUND, |scrape| {
        scrape.value("redis_up", &[("instance", &local(&seed))]) == Some(0.0)
    });
    assert_eq!(instances(&scrape), set(&[local(&seed)]));
    assert_eq!(
        exporter.get("/-/ready").status,
        200,
        "a Redis that is down makes nothing unready"
    );
    assert!(
        scrape
            .value("redis_session_exporter_cluster_discovery_failures_total", &[])
            .unwrap()
            >= 1.0
    );
    // Nothing was said about it, so it looks as redis_exporter's own list.
    assert_eq!(
        exporter.get("/discover-cluster-nodes").json()[0]["labels"],
        serde_json::json!({})
    );
    let last = |scrape: &Scrape| {
        scrape
            .value("redis_session_exporter_cluster_last_discovery_timestamp_seconds", &[])
            .unwrap()
    };
    assert_eq!(last(&scrape), 0.0);

    seed.answer(announcing(&[
        ":1".to_owned(),
        local(&node),
        "0.0.0.0:5".to_owned(),
        "1.2.3.4:0".to_owned(),
    ]));
    seed.listen();
    exporter.wait_until_up(&[&local(&node)]);
    // The node that does not know its own address is where it was asked, and nobody listens there.
    let scrape = exporter.scrape();
    assert_eq!(instances(&scrape), set(&["127.0.0.1:1".to_owned(), local(&node)]));
    assert_eq!(
        scrape.value(
            "redis_session_exporter_cluster_nodes_left_out",
            &[("reason", "address")]
        ),
        Some(2.0)
    );
    let failures = |scrape: &Scrape| {
        scrape
            .value("redis_session_exporter_cluster_discovery_failures_total", &[])
            .unwrap()
    };
    for broken in ["$3\r\nx y\r\n", "*0\r\n", ":7\r\n", "-LOADING Redis is loading\r\n"] {
        let then = failures(&exporter.scrape());
        seed.answer_to("CLUSTER NODES", Answer::Bytes(broken.as_bytes().to_vec()));
        let scrape = exporter.wait_for(broken, FOUND_BOUND, |scrape| failures(scrape) > then);
        assert_eq!(
            instances(&scrape),
            set(&["127.0.0.1:1".to_owned(), local(&node)]),
            "{broken}"
        );
    }
    let answered = last(&exporter.scrape());
    seed.answer(announcing(&[local(&node)]));
    exporter.wait_for("it answers again", FOUND_BOUND, |scrape| last(scrape) > answered);
    exporter.wait_for("the other one is gone", 6 * DISCOVERY + SLACK, |scrape| {
        instances(scrape) == set(&[local(&node)])
    });
    // The seed is no node any more: one connection per question, closed again.
    assert_eq!(wait_until(DISCOVERY, || (seed.open() == 0).then_some(())), Some(()));
    let discoveries = |scrape: &Scrape| {
        scrape
            .value("redis_session_exporter_cluster_discoveries_total", &[])
            .unwrap()
    };
    let (then, before) = (discoveries(&exporter.scrape()), seed.accepted());
    let scrape = exporter.wait_for("two more questions", FOUND_BOUND, |scrape| {
        discoveries(scrape) >= then + 2.0
    });
    let (questions, connections) = (discoveries(&scrape) - then, (seed.accepted() - before) as f64);
    // A question may be under way at either end.
    assert!(
        (questions - connections).abs() <= 1.0,
        "{questions} questions over {connections} connections"
    );
}

#[test]
fn a_reload_adds_changes_and_removes_clusters() {
    let (first, second, node) = (ScriptedPeer::start(), ScriptedPeer::start(), ScriptedPeer::start());
    first.answer(announcing(&[local(&first), local(&node)]));
    second.answer(announcing(&[local(&second)]));
    let cluster = |peer: &ScriptedPeer| format!("redis-cluster://{}", local(peer));
    let (one, two) = (cluster(&first), cluster(&second));
    let exporter = Exporter::start(&config::fast(&[("one", &one, KEPT_ONLY)]));
    exporter.wait_until_up(&[&local(&first), &local(&node)]);
    let pings = |scrape: &Scrape| {
        scrape
            .value("redis_pings_total", &[("instance", &local(&node))])
            .unwrap_or(0.0)
    };
    let before = pings(&exporter.scrape());
    let connections = node.accepted();
    exporter.reload(&config::fast(&[
        ("one", &one, &format!("labels: {{ team: auth }}\n{KEPT_ONLY}")),
        ("two", &two, ""),
    ]));
    let scrape = exporter.wait_for("both clusters", FOUND_BOUND, |scrape| {
        scrape.has("redis_up", &[("instance", &local(&second)), ("cluster", "two")])
            && scrape.has("redis_up", &[("instance", &local(&node)), ("team", "auth")])
    });
    assert!(pings(&scrape) >= before, "the node was polled all the time");
    assert_eq!(node.accepted(), connections, "over the same connection");
    exporter.reload(&config::fast(&[("two", &two, "")]));
    exporter.wait_for("one cluster", FOUND_BOUND, |scrape| {
        instances(scrape) == set(&[local(&second)])
    });
    assert!(
        !exporter
            .scrape()
            .has("redis_session_exporter_cluster_nodes", &[("cluster", "one")])
    );
    exporter.reload(&config::fast(&[("plain", &second.address(), "")]));
    exporter.wait_for("no cluster", FOUND_BOUND, |scrape| {
        instances(scrape) == set(&["plain".to_owned()])
    });
    let refused = http::request(exporter.port, "GET", "/discover-cluster-nodes", &[]).unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("no cluster is configured"));
}
