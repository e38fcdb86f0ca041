//! Clusters that are named by some of their nodes (`redis-cluster://`), and who of those that the servers announce may be dialled.

use super::InstanceConfig;
use super::decode::{Decoder, Field, Fields, Located, TextRule};
use super::network::Network;
use super::types::{Address, Endpoint, PasswordSource};
use std::sync::Arc;

/// Most networks of one list: an organisation's clusters live in a handful, and every address is held against each.
const MAX_NETWORKS: usize = 64;
/// Longest network as text: an IPv6 address of 39 characters, the slash and three digits.
const MAX_NETWORK_BYTES: usize = 43;

/// A cluster whose nodes are found out from its servers.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// What it is called in the log, on the status page and in the metrics about discovery: the name that the file gives it, else
    /// its address. Unique among clusters and configured instances.
    pub name: String,
    /// Whether the file names it. The name is the label `cluster` of the nodes then.
    pub is_named: bool,
    /// The nodes that the address names, in its order; at least one.
    pub seeds: Vec<Endpoint>,
    /// Which of a node's names is dialled and becomes its `instance`.
    pub hostnames: Hostnames,
    /// The only networks in which announced nodes are dialled; `None` means loopback and the networks around the seeds where there are
    /// credentials and the nodes do not [prove themselves](Self::nodes_prove_themselves), and any elsewhere.
    pub allowed_networks: Option<Vec<Network>>,
    /// How every node is polled. Its name and address are those of no node.
    pub template: Arc<InstanceConfig>,
}

/// `cluster_hostnames`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hostnames {
    /// The name that the cluster prefers (`cluster-preferred-endpoint-type`, Redis 7.0); by default that is the IP address.
    #[default]
    Auto,
    /// The announced host name where a node has one, as `--cluster-discover-hostnames` of `redis_exporter`.
    On,
    /// Always the IP address.
    Off,
}

/// What is known of an instance that no line of the file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Name of the cluster that it belongs to.
    pub cluster: Arc<str>,
    /// The only networks in which it is dialled, whatever its name resolves to; `None` means any, since nothing secret is sent or
    /// since the address stands in the file as well.
    pub networks: Option<Arc<[Network]>>,
}

impl ClusterConfig {
    /// The address as it may be shown; it reads back as the same one.
    pub fn address(&self) -> String {
        shown_address(&self.seeds, &self.template.address)
    }

    /// Whether its nodes are sent a user or a password. A client certificate does not count: its key is never sent, and what it signs holds for
    /// one handshake alone (RFC 8446, section 4.4.3), so that a stranger learns the name in it at most.
    pub fn has_credentials(&self) -> bool {
        self.template.username.is_some() || self.template.password != PasswordSource::None
    }

    /// Whether every node has to prove by its certificate that it is one of ours before it is sent anything. Without `ca_file` and
    /// `server_name` it only proves to be the host that a server announced, which whoever controls that server can have a public
    /// authority certify.
    pub fn nodes_prove_themselves(&self) -> bool {
        let tls = &self.template.tls;
        let is_bound = tls.ca_file.is_some() || tls.server_name.is_some();
        self.template.address.tls && !tls.insecure_skip_verify && is_bound
    }

    /// The only networks in which announced nodes are dialled; `None` means any. `seeds` are the networks around the addresses of the
    /// configured nodes.
    pub fn networks(&self, seeds: impl IntoIterator<Item = Network>) -> Option<Arc<[Network]>> {
        // What the operator wrote holds whatever is sent; only the default is about secrets.
        if let Some(written) = &self.allowed_networks {
            return Some(written.as_slice().into());
        }
        if !self.has_credentials() || self.nodes_prove_themselves() {
            return None;
        }
        let mut networks = vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6];
        networks.extend(seeds);
        networks.sort_unstable();
        networks.dedup();
        Some(networks.into())
    }

    /// The instance that a node becomes: the template with the node's address and `host:port` as its name.
    pub fn node(&self, endpoint: Endpoint, networks: Option<&Arc<[Network]>>) -> InstanceConfig {
        let networks = networks.filter(|_| !self.seeds.contains(&endpoint)).cloned();
        let address = Address {
            endpoint,
            database: self.template.address.database,
            tls: self.template.address.tls,
        };
        InstanceConfig {
            name: address.default_name(),
            address,
            discovered: Some(Discovered {
                cluster: self.name.as_str().into(),
                networks,
            }),
            ..InstanceConfig::clone(&self.template)
        }
    }
}

/// Whether two configurations of one node differ in nothing but the networks in which it is dialled. Nothing that runs has to be begun
/// anew then: a connection was checked when it was made.
pub fn differ_in_networks_alone(old: &InstanceConfig, new: &InstanceConfig) -> bool {
    let (Some(of_old), Some(of_new)) = (&old.discovered, &new.discovered) else {
        return false;
    };
    if of_old.networks == of_new.networks {
        return false;
    }
    let mut alike = new.clone();
    alike.discovered = Some(Discovered {
        networks: of_old.networks.clone(),
        ..of_new.clone()
    });
    alike == *old
}

/// The normalised address of a cluster: `redis-cluster://a:6379,b:6379`, `rediss-cluster://` over TLS, with the database unless it is 0.
/// `template` says what all nodes share.
pub(super) fn shown_address(seeds: &[Endpoint], template: &Address) -> String {
    let seeds: Vec<String> = seeds
        .iter()
        .map(|endpoint| {
            let address = Address {
                endpoint: endpoint.clone(),
                database: 0,
                tls: false,
            };
            address.default_name()
        })
        .collect();
    let scheme = if template.tls {
        "rediss-cluster"
    } else {
        "redis-cluster"
    };
    let database = match template.database {
        0 => String::new(),
        database => format!("/{database}"),
    };
    format!("{scheme}://{}{database}", seeds.join(","))
}

/// What one level of the file says about clusters.
#[derive(Default)]
pub(super) struct ClusterLayer {
    pub(super) allowed_networks: Option<Located<Vec<Network>>>,
    pub(super) hostnames: Option<Located<Hostnames>>,
}

/// Reads `allowed_networks` and `cluster_hostnames`.
pub(super) fn cluster_layer(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> ClusterLayer {
    let hostnames = fields.get("cluster_hostnames").and_then(|field| {
        let hostnames = match decoder.switch_or_auto(field)? {
            None => Hostnames::Auto,
            Some(true) => Hostnames::On,
            Some(false) => Hostnames::Off,
        };
        Some(located(field, hostnames))
    });
    ClusterLayer {
        allowed_networks: allowed_networks(decoder, fields),
        hostnames,
    }
}

fn allowed_networks(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<Located<Vec<Network>>> {
    let field = fields.get("allowed_networks")?;
    if field.node.is_null() {
        return None;
    }
    let items = decoder.items_or_one(field);
    if items.len() > MAX_NETWORKS {
        decoder.refuse(
            field,
            format!("lists more than {MAX_NETWORKS} networks; write the larger ones that hold them"),
        );
        return None;
    }
    let mut networks = Vec::with_capacity(items.len());
    for item in &items {
        let Some(text) = decoder.text(item, &TextRule::line(MAX_NETWORK_BYTES)) else {
            continue;
        };
        match text.parse() {
            Ok(network) if networks.contains(&network) => {}
            Ok(network) => networks.push(network),
            Err(error) => decoder.refuse(item, super::network::NetworkError::to_string(&error)),
        }
    }
    Some(located(field, networks))
}

fn located<T>(field: &Field<'_>, value: T) -> Located<T> {
    Located {
        value,
        place: Some(field.place),
        path: field.path.clone(),
    }
}
