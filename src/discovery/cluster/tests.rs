//! The finder against scripted servers.

use super::*;
use crate::config::{Environment, load_str};
use crate::redis::testing::{Act, PATIENCE, peer, play, send};
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;

fn cluster(seeds: &str, further: &str) -> Arc<ClusterConfig> {
    let text = format!("instances: [{{ address: 'redis-cluster://{seeds}', name: c, {further} }}]");
    let loaded = load_str(&text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    loaded.config.clusters[0].clone()
}

fn finder_of(cluster: Arc<ClusterConfig>) -> Finder {
    Finder::new(cluster, Connectors::default())
}

const UNKNOWN: &str = "-ERR unknown subcommand 'SHARDS'. Try CLUSTER HELP.\r\n";
const DENIED: &str = "-NOPERM this user has no permissions to run the 'cluster|shards' command\r\n";

/// CLUSTER NODES with these addresses.
fn nodes(addresses: &[&str]) -> String {
    let lines: String = addresses
        .iter()
        .map(|address| format!("a {address}@1 master - 0 0 0 connected\n"))
        .collect();
    format!("${}\r\n{lines}\r\n", lines.len())
}

fn found(findings: &Findings) -> Vec<String> {
    let names = findings.roster.nodes().map(|node| match node {
        Endpoint::Tcp { host, port } => format!("{host}:{port}"),
        Endpoint::Unix { .. } => "unix".to_owned(),
    });
    names.collect()
}

async fn discover(finder: &mut Finder, findings: &mut Findings) {
    tokio::time::timeout(PATIENCE, finder.discover(findings)).await.unwrap();
}

/// A server that plays one script per connection, and what it was sent over each.
async fn server(scripts: Vec<Vec<Act>>) -> (SocketAddr, tokio::task::JoinHandle<Vec<Vec<Vec<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut sent = Vec::new();
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            sent.push(play(stream, script).await);
        }
        sent
    });
    (address, task)
}

#[tokio::test]
async fn falls_back_once_and_remembers_it() {
    let answer = nodes(&["10.0.0.1:7000", "10.0.0.2:7000"]);
    let first = vec![
        Act::Read(1),
        send("+OK\r\n"),
        Act::Read(1),
        send(UNKNOWN),
        Act::Read(1),
        send(answer.clone()),
        Act::AwaitClose,
    ];
    let second = vec![
        Act::Read(1),
        send("+OK\r\n"),
        Act::Read(1),
        send(answer),
        Act::AwaitClose,
    ];
    let (address, server) = server(vec![first, second]).await;
    let mut finder = finder_of(cluster(&address.to_string(), ""));
    let mut findings = Findings::default();
    for _ in 0..2 {
        discover(&mut finder, &mut findings).await;
        assert_eq!(found(&findings), ["10.0.0.1:7000", "10.0.0.2:7000"]);
        assert_eq!((findings.error.as_deref(), findings.failed), (None, 0));
    }
    let sent = tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap();
    let questions = |at: usize| -> Vec<String> { sent[at].iter().skip(1).map(|words| words.join(" ")).collect() };
    assert_eq!(questions(0), ["CLUSTER SHARDS", "CLUSTER NODES"]);
    assert_eq!(questions(1), ["CLUSTER NODES"]);
    assert_eq!(findings.seed_networks.len(), 1);
}

fn three_times(answer: Act) -> Vec<Act> {
    let one = [Act::Read(1), answer];
    [one.as_slice(), &one, &one].concat()
}

#[tokio::test]
async fn says_what_is_missing_when_nothing_may_be_asked() {
    let answers = [
        vec![Act::Read(1), send("+OK\r\n")],
        three_times(send(DENIED)),
        vec![Act::AwaitClose],
    ];
    let (address, _peer) = peer(answers.concat()).await;
    let mut findings = Findings::default();
    discover(&mut finder_of(cluster(&address.to_string(), "")), &mut findings).await;
    let error = findings.error.unwrap();
    assert!(
        error.ends_with("ACL SETUSER default +cluster|nodes or +cluster|shards or +cluster|slots"),
        "{error}"
    );
    let disabled = send("-ERR This instance has cluster support disabled\r\n");
    let answers = [
        vec![Act::Read(1), send("+OK\r\n")],
        three_times(disabled),
        vec![Act::AwaitClose],
    ];
    let (address, _peer) = peer(answers.concat()).await;
    let mut findings = Findings::default();
    discover(&mut finder_of(cluster(&address.to_string(), "")), &mut findings).await;
    assert!(findings.error.unwrap().contains("is no node of a cluster"));
    assert!(findings.has_ended && findings.roster.is_empty());
}

#[tokio::test]
async fn a_broken_answer_changes_nothing_and_the_next_server_is_asked() {
    let broken = vec![
        Act::Read(1),
        send("+OK\r\n"),
        Act::Read(1),
        send("*1\r\n:1\r\n"),
        Act::AwaitClose,
    ];
    let (bad, _bad) = peer(broken.clone()).await;
    let good = vec![
        Act::Read(1),
        send("+OK\r\n"),
        Act::Read(1),
        send(DENIED),
        Act::Read(1),
        send(nodes(&["10.0.0.1:7000", ":7001", "10.0.0.1:0"])),
        Act::AwaitClose,
    ];
    let (address, _good) = peer(good).await;
    let cluster = cluster(&format!("{bad},{address}"), "");
    let mut finder = finder_of(cluster.clone());
    let mut findings = Findings::default();
    discover(&mut finder, &mut findings).await;
    // A node that does not know its own address is where it was asked.
    assert_eq!(found(&findings), ["10.0.0.1:7000", "127.0.0.1:7001"]);
    assert_eq!(
        findings.left_out.named,
        [("10.0.0.1:0".to_owned(), super::super::admission::Refusal::Address)]
    );
    let before = findings.roster.clone();
    // Nobody is left to answer: both ports are closed, and so are those of the nodes.
    drop((_bad, _good));
    let lonely = finder_of(cluster_of_closed_ports()).cluster;
    let mut finder = finder_of(lonely);
    discover(&mut finder, &mut findings).await;
    assert_eq!(findings.roster, before);
    assert!(findings.error.is_some());
}

/// A cluster none of whose nodes listens.
fn cluster_of_closed_ports() -> Arc<ClusterConfig> {
    cluster("127.0.0.1:1,127.0.0.1:2", "poll: { timeout: 200ms }")
}

#[tokio::test]
async fn who_is_asked_first_changes_and_found_nodes_come_last() {
    let cluster = cluster("a:1,b:1,c:1", "");
    let mut finder = finder_of(cluster.clone());
    let mut findings = Findings::default();
    let answer = Answer {
        source: cluster.seeds[0].clone(),
        addresses: Vec::new(),
        announcement: Question::Nodes
            .read(
                &crate::redis::Reply::Bulk("x 10.0.0.1:1 master\ny 10.0.0.2:1 master\n".into()),
                false,
            )
            .unwrap(),
    };
    findings.take(&cluster, &answer, SystemTime::UNIX_EPOCH);
    let names = |finder: &Finder| -> Vec<String> {
        let sources = finder.sources(&findings).into_iter();
        let hosts = sources.map(|source| match source {
            Endpoint::Tcp { host, .. } => host,
            Endpoint::Unix { .. } => String::new(),
        });
        hosts.collect()
    };
    assert_eq!(names(&finder), ["a", "b", "c", "10.0.0.1", "10.0.0.2"]);
    finder.round = 1;
    assert_eq!(names(&finder), ["b", "c", "a", "10.0.0.2", "10.0.0.1"]);
}

/// The address that a name stands for may change between the look at it and the connect; what is connected to is what was checked.
#[tokio::test]
async fn a_password_follows_no_name_out_of_the_allowed_networks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let cluster = cluster("seed", "password: hunter2, allowed_networks: [10.0.0.0/8]");
    let networks = cluster.networks([]);
    let instance = cluster.node(
        Endpoint::Tcp {
            host: "localhost".to_owned(),
            port,
        },
        networks.as_ref(),
    );
    let connector = Connector::new(&instance);
    let deadline = Instant::now() + PATIENCE;
    let (_, error) = connector.connect(deadline).await.unwrap_err();
    assert_eq!(error.reason, Reason::Unreachable);
    assert!(
        error.message.contains("allowed_networks") && !error.message.contains("hunter2"),
        "{error}"
    );
    // The same through a reload and with another database.
    let other = crate::config::types::Address {
        database: 3,
        ..instance.address.clone()
    };
    for connector in [connector.succeeded_by(&instance), Connector::like(&instance, other)] {
        assert!(connector.connect(deadline).await.is_err());
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "nothing was connected to");
}

#[test]
fn intervals_have_a_floor() {
    let of = |poll: &str| {
        let cluster = cluster("a", &format!("poll: {{ {poll} }}"));
        (interval(&cluster), retry_interval(&cluster))
    };
    let seconds = Duration::from_secs;
    assert_eq!(of(""), (seconds(15), seconds(5)));
    assert_eq!(
        of("info_interval: 100ms, ping_interval: 100ms"),
        (MIN_INTERVAL, MIN_INTERVAL)
    );
    assert_eq!(of("info_interval: 10s, ping_interval: 30s"), (seconds(10), seconds(10)));
}

/// What is refused is remembered: nothing is connected to before a refusal may have been mended.
#[tokio::test]
async fn a_server_that_refused_every_question_is_left_alone_for_a_while() {
    let disabled = "-ERR This instance has cluster support disabled\r\n";
    for (answer, sentence) in [(DENIED, "ACL SETUSER"), (disabled, "is no node of a cluster")] {
        let once = || {
            let hello = vec![Act::Read(1), send("+OK\r\n")];
            [hello, three_times(send(answer)), vec![Act::AwaitClose]].concat()
        };
        let (address, server) = server(vec![once(), once()]).await;
        let cluster = cluster(&address.to_string(), "");
        let mut finder = finder_of(cluster.clone());
        let mut findings = Findings::default();
        for round in 1..=5 {
            discover(&mut finder, &mut findings).await;
            assert!(
                findings.error.as_ref().unwrap().contains(sentence),
                "{:?}",
                findings.error
            );
            assert_eq!(findings.failed, round);
        }
        assert!(!server.is_finished(), "it was connected to once");
        // As after the lifetime of a refusal.
        let long_ago = Instant::now().checked_sub(CAPABILITY_LIFETIME).unwrap();
        for (_, since) in finder.refused.values_mut().flat_map(BTreeMap::values_mut) {
            *since = long_ago;
        }
        discover(&mut finder, &mut findings).await;
        let sent = tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap();
        assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
    }
}

#[tokio::test]
async fn a_finder_takes_over_the_connectors_of_the_one_before() {
    let cluster = cluster_of_closed_ports();
    let mut first = finder_of(cluster.clone());
    let mut findings = Findings::default();
    discover(&mut first, &mut findings).await;
    let second = Finder::new(cluster.clone(), first.connectors.clone());
    drop(first);
    let known: Vec<Endpoint> = second.connectors().keys().cloned().collect();
    assert_eq!(known, cluster.seeds);
}
