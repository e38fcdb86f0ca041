//! Which announced nodes are watched: where each is dialled, or why not. Pure.
//!
//! Whoever controls one server of a cluster controls what that server announces. So an address that only a server named gets the user
//! and the password only inside of the networks of [`ClusterConfig::networks`], which are checked here and again, against the address
//! that is really connected to, at every connect (`redis::Connector::new`).

use super::topology::{AnnouncedNode, Preferred};
use crate::config::address::normalise_host;
use crate::config::cluster::{ClusterConfig, Hostnames};
use crate::config::network::Network;
use crate::config::types::Endpoint;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Most bytes of an announced name that are shown.
const MAX_SHOWN_BYTES: usize = 64;

/// Why an announced node is not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// No address that can be dialled: port 0, nothing, `0.0.0.0`, a multicast address, a name that no host has.
    Address,
    /// No port of the kind that the cluster's address asks for: TLS alone beside `redis-cluster://`, none for TLS beside
    /// `rediss-cluster://`.
    Tls,
    /// Outside of the networks into which credentials may go.
    Network,
    /// More nodes than are watched.
    Limit,
    /// Another instance has its name.
    Name,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Address, Self::Tls, Self::Network, Self::Limit, Self::Name];

    /// The label value of `redis_session_exporter_cluster_nodes_left_out{reason}`.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Tls => "tls",
            Self::Network => "network",
            Self::Limit => "limit",
            Self::Name => "name",
        }
    }

    /// The reason in words, with what mends it, for a cluster that is spoken to over TLS or in the clear.
    pub const fn sentence(self, over_tls: bool) -> &'static str {
        match self {
            Self::Address => {
                "its address cannot be dialled; look at `cluster-announce-ip` and `cluster-announce-port` there"
            }
            Self::Tls if over_tls => {
                "it announces no port for TLS; look at `tls-port` there, with Redis before 7.2 also at `tls-cluster yes`, or write the address as `redis-cluster://`"
            }
            Self::Tls => "it has a port for TLS alone; write the address as `rediss-cluster://`",
            Self::Network => {
                "it lies outside of the networks in which announced nodes may be dialled; add its network to `allowed_networks` if it is yours"
            }
            Self::Limit => "there are more nodes than one exporter watches; split them over several exporters",
            Self::Name => "another instance has the name host:port; give that one another `name`",
        }
    }
}

/// What decides about the nodes of one cluster.
#[derive(Debug, Clone)]
pub struct Admission<'a> {
    /// The cluster.
    pub cluster: &'a ClusterConfig,
    /// Where its nodes may be dialled; `None` means anywhere.
    pub networks: Option<Arc<[Network]>>,
}

impl Admission<'_> {
    /// Where a node is dialled. `asked` is the host that named it.
    ///
    /// # Errors
    /// Why it is not watched.
    pub fn judge(&self, node: &AnnouncedNode, asked: &Endpoint) -> Result<Endpoint, Refusal> {
        if node.is_lost {
            return Err(Refusal::Address);
        }
        let tls = self.cluster.template.address.tls;
        let port = match (node.ports.of(tls), node.ports.of(!tls)) {
            (Some(port), _) => u16::try_from(port).map_err(|_| Refusal::Address)?,
            (None, Some(_)) => return Err(Refusal::Tls),
            (None, None) => return Err(Refusal::Address),
        };
        let host = match self.name_of(node) {
            Named::These(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Address)?;
                normalise_host(text).ok_or(Refusal::Address)?
            }
            Named::AsAsked => host_of(asked)?,
            // The same for every node whichever of them was asked, so that names do not change from one answer to the next.
            Named::AsEntered => host_of(self.cluster.seeds.first().ok_or(Refusal::Address)?)?,
        };
        self.admit(Endpoint::Tcp { host, port })
    }

    /// Whether an address may be dialled as far as it can be told before a name is resolved.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, endpoint: Endpoint) -> Result<Endpoint, Refusal> {
        if self.cluster.seeds.contains(&endpoint) {
            return Ok(endpoint);
        }
        let address: Option<IpAddr> = match &endpoint {
            Endpoint::Tcp { host, .. } => host.parse().ok(),
            Endpoint::Unix { .. } => return Err(Refusal::Address),
        };
        let Some(address) = address else {
            return Ok(endpoint);
        };
        let is_host =
            !address.is_unspecified() && !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST);
        if !is_host {
            return Err(Refusal::Address);
        }
        match &self.networks {
            Some(networks) if !networks.iter().any(|network| network.contains(address)) => Err(Refusal::Network),
            _ => Ok(endpoint),
        }
    }

    fn name_of<'n>(&self, node: &'n AnnouncedNode) -> Named<'n> {
        let ip = match node.ip.as_deref() {
            Some(ip) if !ip.is_empty() => Named::These(ip),
            // A node learns its address from the others; until then it announces none, and it is there where it was asked.
            _ => Named::AsAsked,
        };
        let known = |name: &'n [u8]| (!name.is_empty() && name != b"?").then_some(Named::These(name));
        match self.cluster.hostnames {
            Hostnames::Off => ip,
            Hostnames::On => node.hostname.as_deref().and_then(known).unwrap_or(ip),
            Hostnames::Auto => match &node.preferred {
                Preferred::Unsaid => ip,
                Preferred::Entry => Named::AsEntered,
                Preferred::Name(name) => known(name).unwrap_or(ip),
            },
        }
    }
}

/// How a node is called.
enum Named<'n> {
    These(&'n [u8]),
    AsAsked,
    AsEntered,
}

fn host_of(endpoint: &Endpoint) -> Result<String, Refusal> {
    match endpoint {
        Endpoint::Tcp { host, .. } => Ok(host.clone()),
        Endpoint::Unix { .. } => Err(Refusal::Address),
    }
}

/// A node's address as it was announced, for people: printable ASCII as it is, every other byte as `\xff`, cut off where it is long.
pub fn shown(node: &AnnouncedNode) -> String {
    let name = [node.ip.as_deref(), node.hostname.as_deref()];
    let name = name.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or(b"?");
    let mut text = String::new();
    for byte in name.iter().take(MAX_SHOWN_BYTES) {
        if byte.is_ascii_graphic() {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if name.len() > MAX_SHOWN_BYTES {
        text.push_str("...");
    }
    match node.ports.plain.or(node.ports.tls) {
        Some(port) => format!("{text}:{port}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::topology::Ports;
    use super::*;
    use crate::config::{Environment, load_str};
    use bytes::Bytes;
    use std::path::Path;

    fn cluster(further: &str) -> Arc<ClusterConfig> {
        cluster_of("redis-cluster", further)
    }

    fn cluster_of(scheme: &str, further: &str) -> Arc<ClusterConfig> {
        let text = format!("instances: [{{ address: '{scheme}://seed:7000,10.1.2.3', {further} }}]");
        let loaded = load_str(&text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        loaded.config.clusters[0].clone()
    }

    fn node(ip: &'static str, port: i64) -> AnnouncedNode {
        AnnouncedNode {
            ip: Some(Bytes::from_static(ip.as_bytes())),
            ports: Ports::one(port, false),
            ..AnnouncedNode::default()
        }
    }

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    /// `host:port`, or the reason.
    fn judged(cluster: &ClusterConfig, node: &AnnouncedNode) -> String {
        let networks = cluster.networks([Network::around("10.1.2.3".parse().unwrap())]);
        let admission = Admission { cluster, networks };
        match admission.judge(node, &tcp("10.1.2.9", 7000)) {
            Ok(Endpoint::Tcp { host, port }) => format!("{host} {port}"),
            Ok(Endpoint::Unix { .. }) => "unix".to_owned(),
            Err(refusal) => refusal.as_label().to_owned(),
        }
    }

    #[test]
    fn addresses_that_nobody_can_dial_are_refused() {
        let open = cluster("");
        for (ip, port, expected) in [
            ("10.9.9.9", 6379, "10.9.9.9 6379"),
            ("::ffff:10.9.9.9", 6379, "10.9.9.9 6379"),
            ("2001:DB8:0::1", 1, "2001:db8::1 1"),
            ("", 6379, "10.1.2.9 6379"),
            ("10.9.9.9", 0, "address"),
            ("10.9.9.9", 65_536, "address"),
            ("10.9.9.9", -1, "address"),
            ("0.0.0.0", 6379, "address"),
            ("::", 6379, "address"),
            ("224.0.0.1", 6379, "address"),
            ("ff02::1", 6379, "address"),
            ("255.255.255.255", 6379, "address"),
            ("a b", 6379, "address"),
            ("../etc", 6379, "address"),
            ("user@host", 6379, "address"),
            ("fe80::1%eth0", 6379, "address"),
            ("?", 6379, "address"),
        ] {
            assert_eq!(judged(&open, &node(ip, port)), expected, "{ip} {port}");
        }
        let odd = AnnouncedNode {
            ip: Some(Bytes::from_static(b"\xff\xfe")),
            ..node("", 1)
        };
        assert_eq!(judged(&open, &odd), "address");
        assert_eq!(shown(&odd), "\\xff\\xfe:1");
        let long = AnnouncedNode {
            ip: Some(Bytes::from(vec![b'x'; 1_000_000])),
            ..node("", 1)
        };
        assert_eq!(judged(&open, &long), "address");
        assert!(shown(&long).len() < 80);
        let lost = AnnouncedNode {
            is_lost: true,
            ..node("10.9.9.9", 1)
        };
        assert_eq!(judged(&open, &lost), "address");
    }

    #[test]
    fn the_address_of_the_cluster_says_which_port_is_dialled() {
        let with = |plain, tls| AnnouncedNode {
            ports: Ports { plain, tls },
            ..node("10.1.2.4", 1)
        };
        let (plain, tls) = (cluster(""), cluster_of("rediss-cluster", ""));
        for (node, in_the_clear, over_tls) in [
            (with(Some(6379), Some(6380)), "10.1.2.4 6379", "10.1.2.4 6380"),
            (with(None, Some(6380)), "tls", "10.1.2.4 6380"),
            (with(Some(0), Some(6380)), "tls", "10.1.2.4 6380"),
            (with(Some(6379), None), "10.1.2.4 6379", "tls"),
            (with(Some(6379), Some(0)), "10.1.2.4 6379", "tls"),
            (with(Some(6379), Some(65_536)), "10.1.2.4 6379", "address"),
            (with(Some(-1), Some(6380)), "address", "10.1.2.4 6380"),
            (with(None, None), "address", "address"),
            (with(Some(0), Some(0)), "address", "address"),
        ] {
            assert_eq!(judged(&plain, &node), in_the_clear, "{node:?}");
            assert_eq!(judged(&tls, &node), over_tls, "{node:?}");
        }
        assert!(Refusal::Tls.sentence(false).contains("`rediss-cluster://`"));
        assert!(Refusal::Tls.sentence(true).contains("`tls-cluster yes`"));
    }

    #[test]
    fn nodes_that_prove_themselves_get_credentials_anywhere() {
        let announced = AnnouncedNode {
            ports: Ports::one(6380, true),
            ..node("10.9.9.9", 1)
        };
        let of = |tls: &str| {
            judged(
                &cluster_of("rediss-cluster", &format!("password: x, tls: {{ {tls} }}")),
                &announced,
            )
        };
        assert_eq!(of("server_name: ours.example"), "10.9.9.9 6380");
        assert_eq!(of(""), "network", "anybody has a certificate of a public authority");
        assert_eq!(of("server_name: ours.example, insecure_skip_verify: on"), "network");
    }

    #[test]
    fn credentials_stay_in_the_networks_that_may_have_them() {
        let of = |further: &str, ip| judged(&cluster(&format!("password: x, {further}")), &node(ip, 6379));
        // By default loopback and the network around the seed.
        assert_eq!(of("", "10.1.2.200"), "10.1.2.200 6379");
        assert_eq!(of("", "127.0.0.1"), "127.0.0.1 6379");
        assert_eq!(of("", "10.1.3.1"), "network");
        assert_eq!(of("", "169.254.169.254"), "network");
        assert_eq!(of("", "::1"), "::1 6379");
        assert_eq!(of("", "2001:db8::1"), "network");
        // A written list replaces both; what the address names itself is dialled in any case.
        let other = "allowed_networks: [10.7.0.0/16]";
        assert_eq!(of(other, "10.7.200.1"), "10.7.200.1 6379");
        assert_eq!(of(other, "127.0.0.1"), "network");
        assert_eq!(of(other, "10.1.2.4"), "network");
        assert_eq!(of(other, "10.1.2.3"), "10.1.2.3 6379");
        assert_eq!(of("allowed_networks: []", "10.1.2.4"), "network");
        // A user without a password is a credential as well, and nothing is none.
        let named = cluster("username: u, password: ''");
        assert_eq!(judged(&named, &node("10.1.3.1", 6379)), "network");
        assert_eq!(judged(&cluster(""), &node("10.1.3.1", 6379)), "10.1.3.1 6379");
        // A written list holds there as well.
        let written = cluster("allowed_networks: [10.1.2.0/24]");
        assert_eq!(judged(&written, &node("10.1.3.1", 6379)), "network");
        assert_eq!(judged(&written, &node("10.1.2.9", 6379)), "10.1.2.9 6379");
    }

    #[test]
    fn the_instance_is_dialled_in_those_networks_alone() {
        let secret = cluster("password: x");
        let networks = secret.networks([Network::around("10.1.2.3".parse().unwrap())]);
        let of = |endpoint| secret.node(endpoint, networks.as_ref());
        let other = of(tcp("node.example", 7001));
        assert_eq!(other.name, "node.example:7001");
        assert_eq!(other.discovered.unwrap().networks, networks);
        let seed = of(tcp("seed", 7000));
        assert_eq!(
            seed.discovered.unwrap().networks,
            None,
            "its address stands in the file"
        );
    }

    #[test]
    fn names_follow_the_cluster_or_the_configuration() {
        let (auto, on, off) = (
            cluster(""),
            cluster("cluster_hostnames: on"),
            cluster("cluster_hostnames: off"),
        );
        let with = |hostname: &'static str, preferred| AnnouncedNode {
            hostname: Some(Bytes::from_static(hostname.as_bytes())),
            preferred,
            ..node("10.9.9.9", 1)
        };
        let name = |name: &'static str| Preferred::Name(Bytes::from_static(name.as_bytes()));
        for (node, by_auto, by_on, by_off) in [
            (
                with("One.Example", Preferred::Unsaid),
                "10.9.9.9 1",
                "one.example 1",
                "10.9.9.9 1",
            ),
            (
                with("one.example", name("10.9.9.9")),
                "10.9.9.9 1",
                "one.example 1",
                "10.9.9.9 1",
            ),
            (
                with("one.example", name("one.example")),
                "one.example 1",
                "one.example 1",
                "10.9.9.9 1",
            ),
            (with("", name("?")), "10.9.9.9 1", "10.9.9.9 1", "10.9.9.9 1"),
            (with("?", name("?")), "10.9.9.9 1", "10.9.9.9 1", "10.9.9.9 1"),
            (with("", Preferred::Entry), "seed 1", "10.9.9.9 1", "10.9.9.9 1"),
        ] {
            assert_eq!(judged(&auto, &node), by_auto, "{node:?}");
            assert_eq!(judged(&on, &node), by_on, "{node:?}");
            assert_eq!(judged(&off, &node), by_off, "{node:?}");
        }
    }
}
