//! A real Redis (or Valkey) Cluster on the loopback interface.

use super::certificates::{Authority, Issued, Leaf};
use super::free_port;
use super::redis_server::{RedisServer, ServerTls};
use super::resp::Reply;
use super::wait_until;
use std::time::Duration;

/// Longest time until all nodes agree about something: gossip goes round within a second or two, replicas copy their data first.
pub const AGREEMENT_BOUND: Duration = Duration::from_secs(40);

/// Number of hash slots of a cluster.
const SLOTS: usize = 16_384;

/// Nodes of one cluster, gone when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes; the primaries come first.
    pub nodes: Vec<RedisServer>,
    ports_of_bus: Vec<u16>,
    arguments: Vec<String>,
    tls: Option<ClusterTls>,
}

/// What the nodes of a cluster show each other and their clients, and whom they trust on the bus.
#[derive(Debug)]
struct ClusterTls {
    identity: Issued,
    authority: String,
    /// Holds what a node shows when it calls another one.
    _folder: tempfile::TempDir,
}

impl RedisCluster {
    /// Three primaries and three replicas that agree, with further arguments for each server.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_as(arguments, None)
    }

    /// The same with a port for TLS beside the plain one, over which they also talk to each other; all of them show one certificate.
    pub fn start_tls(authority: &Authority, leaf: &Leaf, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.issue(&Leaf::client("node")).write(folder.path(), "node");
        let own = [
            "--tls-cluster",
            "yes",
            "--tls-replication",
            "yes",
            "--tls-client-cert-file",
            &certificate.to_string_lossy(),
            "--tls-client-key-file",
            &key.to_string_lossy(),
        ];
        let tls = ClusterTls {
            identity: authority.issue(leaf),
            authority: authority.pem(),
            _folder: folder,
        };
        Self::start_as(&[&own, arguments].concat(), Some(tls))
    }

    fn start_as(arguments: &[&str], tls: Option<ClusterTls>) -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            ports_of_bus: Vec::new(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            tls,
        };
        for _ in 0..6 {
            cluster.add();
        }
        let share = SLOTS / 3;
        for (at, primary) in cluster.nodes.iter().take(3).enumerate() {
            let last = if at == 2 { SLOTS - 1 } else { (at + 1) * share - 1 };
            primary.command(&["CLUSTER", "ADDSLOTSRANGE", &(at * share).to_string(), &last.to_string()]);
        }
        for (at, replica) in cluster.nodes.iter().enumerate().skip(3) {
            let id = cluster.nodes[at - 3].command(&["CLUSTER", "MYID"]).text();
            cluster.wait("a replica knows its primary", || {
                let reply = replica.client().try_command(&["CLUSTER", "REPLICATE", &id]);
                !matches!(reply, Reply::Error(_))
            });
        }
        cluster.wait("the cluster is whole", || {
            cluster.nodes.iter().all(|node| {
                let info = node.command(&["CLUSTER", "INFO"]).text();
                let role = node.info("role").unwrap();
                let in_step = role == "master" || node.info("master_link_status").as_deref() == Some("up");
                let replicas = role != "master" || node.info("connected_slaves").as_deref() == Some("1");
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6") && in_step && replicas
            })
        });
        cluster
    }

    /// Starts a node and makes it known to all others; it holds no slots.
    pub fn add(&mut self) -> &RedisServer {
        let bus = free_port().to_string();
        let mut arguments = vec![
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "2000",
            "--cluster-port",
            &bus,
            "--cluster-require-full-coverage",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let node = match &self.tls {
            None => RedisServer::start_with(&arguments),
            Some(tls) => {
                let tls = ServerTls {
                    client_authorities: Some(&tls.authority),
                    ..ServerTls::showing(&tls.identity).and_plain()
                };
                RedisServer::start_tls(&tls, &arguments)
            }
        };
        if let (Some(first), Some(first_bus)) = (self.nodes.first(), self.ports_of_bus.first()) {
            let port = if self.tls.is_some() { first.tls_port } else { first.port };
            node.command(&[
                "CLUSTER",
                "MEET",
                "127.0.0.1",
                &port.to_string(),
                &first_bus.to_string(),
            ]);
        }
        self.nodes.push(node);
        self.ports_of_bus.push(bus.parse().unwrap());
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        self.wait("the new node is known to all", || {
            let knows = |node: &RedisServer| node.command(&["CLUSTER", "INFO"]).text().contains(&known);
            self.nodes.iter().all(knows)
        });
        self.nodes.last().unwrap()
    }

    /// Waits for the nodes to agree.
    pub fn wait(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let agreed = wait_until(AGREEMENT_BOUND, || condition().then_some(()));
        assert!(agreed.is_some(), "not within {AGREEMENT_BOUND:?}: {what}");
    }

    /// Makes the last node unknown to all others, and stops it.
    pub fn forget_last(&mut self) {
        let gone = self.nodes.pop().unwrap();
        self.ports_of_bus.pop();
        let id = gone.command(&["CLUSTER", "MYID"]).text();
        // Gossip of those that were not told yet would bring it back, unless it is told within a minute to all.
        drop(gone);
        for node in &self.nodes {
            node.command(&["CLUSTER", "FORGET", &id]);
        }
    }

    /// Writes `count` sessions `PREFIX NUMBER` that live for an hour, each where its slot is. How many each primary took.
    pub fn fill(&self, prefix: &str, count: usize) -> Vec<usize> {
        let mut primaries: Vec<_> = self.nodes.iter().take(3).map(RedisServer::client).collect();
        let mut taken = vec![0; primaries.len()];
        for number in 0..count {
            let key = format!("{prefix}{number}");
            let place = primaries.iter_mut().position(|primary| {
                let reply = primary.try_command(&["SET", &key, "x", "EX", "3600"]);
                matches!(reply, Reply::Simple(_))
            });
            taken[place.expect("one primary has the slot")] += 1;
        }
        taken
    }

    /// `instance` of each node.
    pub fn names(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect()
    }

    /// `instance` of each node over TLS, under this host.
    pub fn tls_names(&self, host: &str) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| format!("{host}:{}", node.tls_port))
            .collect()
    }

    /// The address over TLS by the first and the second node, under this host.
    pub fn tls_address(&self, host: &str) -> String {
        format!(
            "rediss-cluster://{host}:{},{host}:{}",
            self.nodes[0].tls_port, self.nodes[1].tls_port
        )
    }

    /// The address by the first and the second node.
    pub fn address(&self) -> String {
        format!(
            "redis-cluster://127.0.0.1:{},127.0.0.1:{}",
            self.nodes[0].port, self.nodes[1].port
        )
    }
}
