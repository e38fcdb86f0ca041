//! Sources and targets, without a server and with scripted ones.

use super::*;
use crate::config::types::Endpoint;
use crate::config::{Environment, load_str};
use bytes::Bytes;
use findings::Answer;
use std::path::Path;
use std::time::SystemTime;
use topology::{AnnouncedNode, Announcement};

fn config(text: &str) -> Arc<ValidatedConfig> {
    let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    Arc::new(loaded.config)
}

fn tcp(host: &str, port: u16) -> Endpoint {
    Endpoint::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn answer(source: &Endpoint, peer: &str, nodes: &[(&str, i64)]) -> Answer {
    let nodes = nodes.iter().map(|(ip, port)| AnnouncedNode {
        ip: Some(Bytes::copy_from_slice(ip.as_bytes())),
        ports: super::topology::Ports::one(*port, false),
        ..AnnouncedNode::default()
    });
    Answer {
        source: source.clone(),
        addresses: vec![peer.parse().unwrap()],
        announcement: Announcement {
            nodes: nodes.collect(),
            beyond: 0,
        },
    }
}

fn names(targets: &Targets) -> Vec<&str> {
    targets
        .config
        .instances
        .iter()
        .map(|instance| instance.name.as_str())
        .collect()
}

fn take(findings: &mut Findings, cluster: &ClusterConfig, answer: &Answer) -> roster::Changes {
    findings.take(cluster, answer, SystemTime::UNIX_EPOCH)
}

#[test]
fn nodes_stand_behind_the_configured_instances_with_the_templates_options() {
    let config = config(
        "instances: [{ address: 'redis-cluster://10.0.0.1', name: c, labels: { team: x }, poll: { timeout: 1s } }, { address: b, name: b }]",
    );
    let cluster = &config.clusters[0];
    let mut findings = Findings::default();
    let of = |findings: &Findings| targets(&config, &[Arc::new(findings.clone())]);
    let before = of(&findings);
    assert_eq!(names(&before), ["b"], "nothing is known yet");
    assert!(!before.clusters[0].has_ended);
    findings.fail("down".to_owned());
    let down = of(&findings);
    assert_eq!(
        names(&down),
        ["b", "10.0.0.1:6379"],
        "a cluster that is down is seen to be down"
    );
    assert_eq!((down.clusters[0].nodes, down.clusters[0].failures), (1, 1));
    let seed = cluster.seeds[0].clone();
    take(
        &mut findings,
        cluster,
        &answer(
            &seed,
            "10.0.0.1",
            &[("10.0.0.2", 1), ("10.0.0.1", 6379), ("10.0.0.2", 1)],
        ),
    );
    let up = of(&findings);
    assert_eq!(names(&up), ["b", "10.0.0.1:6379", "10.0.0.2:1"]);
    let node = &up.config.instances[2];
    assert_eq!(node.poll.timeout, Duration::from_secs(1));
    assert_eq!(node.environment, cluster.template.environment);
    let labels: Vec<(&str, &str)> = node.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("cluster", "c"), ("team", "x")]);
    assert_eq!(up.config.nodes_of(cluster).count(), 2);
    // A failed discovery changes nothing.
    findings.fail("down again".to_owned());
    assert_eq!(names(&of(&findings)), names(&up));
    assert_eq!(of(&findings).clusters[0].error.as_deref(), Some("down again"));
}

#[test]
fn a_name_that_is_taken_is_left_out_and_said() {
    let config = config(
        "instances: [{ address: 'redis-cluster://10.0.0.1', name: one }, { address: 'redis-cluster://10.0.0.9', name: two }, { address: '10.0.0.2:1' }]",
    );
    let findings: Vec<Arc<Findings>> = config
        .clusters
        .iter()
        .map(|cluster| {
            let mut findings = Findings::default();
            let seed = cluster.seeds[0].clone();
            take(
                &mut findings,
                cluster,
                &answer(&seed, "10.0.0.1", &[("10.0.0.2", 1), ("10.0.0.3", 1)]),
            );
            Arc::new(findings)
        })
        .collect();
    let targets = targets(&config, &findings);
    assert_eq!(names(&targets), ["10.0.0.2:1", "10.0.0.3:1"]);
    let left_out = |at: usize| {
        let facts = &targets.clusters[at];
        facts.left_out.iter().find(|(reason, _)| *reason == "name").unwrap().1
    };
    assert_eq!(
        (left_out(0), left_out(1)),
        (1, 1),
        "what the other cluster watches is not left out"
    );
    let reasons: Vec<&str> = targets.clusters[0].left_out.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, crate::snapshot::clusters::LEFT_OUT_REASONS);
}

#[test]
fn only_configured_nodes_widen_where_credentials_may_go() {
    let config = config("instances: [{ address: 'redis-cluster://seed', password: x }]");
    let cluster = &config.clusters[0];
    let seed = cluster.seeds[0].clone();
    let mut findings = Findings::default();
    take(
        &mut findings,
        cluster,
        &answer(&seed, "10.0.0.1", &[("10.0.0.7", 1), ("10.0.1.7", 1)]),
    );
    assert_eq!(findings.roster.nodes().collect::<Vec<_>>(), [&tcp("10.0.0.7", 1)]);
    assert_eq!(findings.left_out.count(Refusal::Network), 1);
    // The node that was found answers from elsewhere, as after a change of its name's address.
    take(
        &mut findings,
        cluster,
        &answer(&tcp("10.0.0.7", 1), "10.0.1.7", &[("10.0.0.7", 1), ("10.0.1.7", 1)]),
    );
    assert_eq!(findings.left_out.count(Refusal::Network), 1);
    // The seed moved, or its name stands for several nodes: nodes of both networks are watched.
    let both = [("10.0.0.7", 1), ("10.0.1.7", 1)];
    take(&mut findings, cluster, &answer(&seed, "10.0.1.1", &both));
    let watched = [&tcp("10.0.0.7", 1), &tcp("10.0.1.7", 1)];
    assert_eq!(findings.roster.nodes().collect::<Vec<_>>(), watched);
}

/// As behind a headless service: the name gives another node, in another network, each time.
#[test]
fn nodes_do_not_come_and_go_with_the_address_that_a_name_gave() {
    let config = config("instances: [{ address: 'redis-cluster://service', password: x }]");
    let cluster = &config.clusters[0];
    let seed = cluster.seeds[0].clone();
    let nodes = [("10.0.0.7", 1), ("10.0.1.7", 1), ("10.0.2.7", 1)];
    let mut findings = Findings::default();
    let mut networks = Vec::new();
    for round in 0..9 {
        let peer = nodes[round % 3].0;
        let changes = take(&mut findings, cluster, &answer(&seed, peer, &nodes));
        assert_eq!(changes.removed, 0, "{round}");
        assert_eq!(changes.added, usize::from(round < 3), "{round}");
        networks.push(findings.networks(cluster));
    }
    assert!(networks[2..].iter().all(|later| *later == networks[2]));
    // A resolver that gives all of them at once needs no turns.
    let mut findings = Findings::default();
    let mut at_once = answer(&seed, "10.0.0.7", &nodes);
    at_once.addresses = nodes.iter().map(|(ip, _)| ip.parse().unwrap()).collect();
    assert_eq!(take(&mut findings, cluster, &at_once).added, 3);
    // What a name has had is bounded, and a known node that is not admitted any more leaves as an absent one.
    for third in 0..=255_u8 {
        let mut elsewhere = answer(&seed, "10.0.0.7", &nodes);
        elsewhere.addresses = vec![std::net::Ipv4Addr::new(10, 9, third, 1).into()];
        let before = findings.roster.nodes().len();
        take(&mut findings, cluster, &elsewhere);
        assert!(findings.seed_networks[&seed].len() <= 64);
        assert_eq!(
            before - findings.roster.nodes().len(),
            if third == 65 { 3 } else { 0 },
            "{third}"
        );
    }
}

#[tokio::test]
async fn a_reload_keeps_nodes_as_far_as_they_may_still_be_dialled() {
    let text = |further: &str| format!("instances: [{{ address: 'redis-cluster://127.0.0.1:1', name: c, {further} }}]");
    let first = config(&text(""));
    let mut discovery = Discovery::new(first.clone());
    let seed = first.clusters[0].seeds[0].clone();
    let report = |discovery: &Discovery| {
        let mut findings = Findings::default();
        let cluster = discovery.config.clusters[0].clone();
        take(
            &mut findings,
            &cluster,
            &answer(&seed, "127.0.0.1", &[("127.0.0.1", 2), ("10.0.0.1", 2)]),
        );
        discovery.reports.send_modify(|reports| {
            reports.get_mut("c").unwrap().findings = Arc::new(findings);
        });
    };
    report(&discovery);
    let targets = discovery.targets();
    assert_eq!(names(&targets), ["10.0.0.1:2", "127.0.0.1:2"]);
    assert!(
        Arc::ptr_eq(&discovery.targets().config, &targets.config),
        "nothing changed"
    );
    discovery.apply(config(&text("poll: { timeout: 2s }")));
    let targets = discovery.targets();
    assert_eq!(names(&targets), ["10.0.0.1:2", "127.0.0.1:2"]);
    assert_eq!(targets.config.instances[0].poll.timeout, Duration::from_secs(2));
    // With a password, one of them lies outside.
    discovery.apply(config(&text("password: x")));
    assert_eq!(names(&discovery.targets()), ["127.0.0.1:2"]);
    // Another cluster of the same name begins anew, and counters do not fall.
    discovery.apply(config(
        "instances: [{ address: 'redis-cluster://127.0.0.1:3', name: c }]",
    ));
    let targets = discovery.targets();
    assert!(names(&targets).is_empty() && !targets.clusters[0].has_ended);
    assert_eq!(targets.clusters[0].discoveries, 1);
    discovery.apply(config("instances: [{ address: h }]"));
    let targets = discovery.targets();
    assert_eq!((names(&targets).len(), targets.clusters.len()), (1, 0));
    assert!(discovery.sources.is_empty() && discovery.reports.borrow().is_empty());
}

#[test]
fn the_reasons_are_those_of_the_metric() {
    assert_eq!(
        Refusal::ALL.map(Refusal::as_label),
        crate::snapshot::clusters::LEFT_OUT_REASONS
    );
}

#[test]
fn ten_thousand_nodes_are_bounded_and_counted() {
    let config = config("instances: [{ address: 'redis-cluster://127.0.0.1', name: c }]");
    let cluster = &config.clusters[0];
    let addresses: Vec<String> = (0..10_000)
        .map(|at| format!("10.1.{}.{}", at / 250, at % 250))
        .collect();
    let nodes: Vec<(&str, i64)> = addresses.iter().map(|address| (address.as_str(), 1)).collect();
    let mut findings = Findings::default();
    let mut many = answer(&cluster.seeds[0].clone(), "127.0.0.1", &nodes);
    many.announcement.beyond = 5;
    take(&mut findings, cluster, &many);
    let targets = targets(&config, &[Arc::new(findings)]);
    assert_eq!(targets.clusters[0].nodes, crate::config::resolve::MAX_CLUSTER_NODES);
    let limit = targets.clusters[0]
        .left_out
        .iter()
        .find(|(reason, _)| *reason == "limit")
        .unwrap();
    assert_eq!(limit.1, 10_005 - crate::config::resolve::MAX_CLUSTER_NODES);
    assert_eq!(targets.clusters[0].left_out_nodes.len(), findings::MAX_NAMED);
}
