//! What the servers of a cluster say about its nodes. Pure parsers over replies; nothing here decides whether a node is dialled.
//!
//! Sources: CLUSTER SHARDS (Redis 7.0, Valkey 7.2), CLUSTER NODES and CLUSTER SLOTS (Redis 3.0). All three are readable by hand, since a
//! user may have been granted any of them alone. SHARDS names both ports of a node; the other two name one, that of the kind of the
//! connection which asks (Redis 6.2 with `tls-cluster yes`, Redis 7.2 and Valkey always). Redis 7.0 without `tls-cluster yes` knows no
//! port for TLS of any node, and then names the plain one whoever asks.

use crate::redis::{Command, Reply};
use bytes::Bytes;

/// Most nodes of one answer that are looked at: ten times what a cluster is made for. The others count as beyond the limit.
pub const MAX_ANNOUNCED: usize = 10_000;

/// A way to ask for the nodes, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// CLUSTER SHARDS: every node with its names and both ports.
    Shards,
    /// CLUSTER NODES: every node with its address.
    Nodes,
    /// CLUSTER SLOTS: the nodes that serve slots and their replicas, without those that failed.
    Slots,
}

impl Question {
    /// All of them in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Shards, Self::Nodes, Self::Slots];

    /// The command.
    pub fn command(self) -> Command {
        let word = match self {
            Self::Shards => "SHARDS",
            Self::Nodes => "NODES",
            Self::Slots => "SLOTS",
        };
        Command::new(2, &["CLUSTER", word])
    }

    /// Reads the reply to a question that was asked over TLS or in the clear.
    ///
    /// # Errors
    /// [`Malformed`] when it is no list of nodes, or one without a node: the server that answers is itself one.
    pub fn read(self, reply: &Reply, over_tls: bool) -> Result<Announcement, Malformed> {
        let mut found = Announcement::default();
        let read = match self {
            Self::Shards => read_shards(reply, &mut found),
            Self::Nodes => read_nodes(reply, over_tls, &mut found),
            Self::Slots => read_slots(reply, over_tls, &mut found),
        };
        read.filter(|()| !found.nodes.is_empty()).ok_or(Malformed)?;
        Ok(found)
    }
}

/// A reply that is no list of nodes. Nothing of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no list of nodes")]
pub struct Malformed;

/// The nodes of one answer, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcement {
    /// At most [`MAX_ANNOUNCED`].
    pub nodes: Vec<AnnouncedNode>,
    /// How many more there were.
    pub beyond: usize,
}

impl Announcement {
    fn push(&mut self, node: AnnouncedNode) {
        // CLUSTER SLOTS names a node once for each of its ranges, mostly one after the other.
        if self.nodes.last() == Some(&node) {
            return;
        }
        if self.nodes.len() < MAX_ANNOUNCED {
            self.nodes.push(node);
        } else {
            self.beyond += 1;
        }
    }
}

/// A node as a server announces it. Names are the server's bytes; nothing is checked yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnnouncedNode {
    /// The id that it has in the cluster as long as it is a member; absent when the answer does not say.
    pub id: Option<Bytes>,
    /// The IP address. Empty when the node does not know its own; absent when the answer does not say.
    pub ip: Option<Bytes>,
    /// The host name; absent or empty when none is announced.
    pub hostname: Option<Bytes>,
    /// The name that clients should use.
    pub preferred: Preferred,
    /// Where it listens.
    pub ports: Ports,
    /// The address is unknown to the server that was asked (`noaddr`).
    pub is_lost: bool,
}

/// The ports of a node for clients; one is absent when there is none or the answer does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    /// Without TLS.
    pub plain: Option<i64>,
    /// With TLS.
    pub tls: Option<i64>,
}

impl Ports {
    /// A port of which is known of which kind it is.
    pub fn one(port: i64, tls: bool) -> Self {
        Self {
            plain: (!tls).then_some(port),
            tls: tls.then_some(port),
        }
    }

    /// The port of one kind; 0 is how servers write that there is none.
    pub fn of(self, tls: bool) -> Option<i64> {
        let port = if tls { self.tls } else { self.plain };
        port.filter(|port| *port != 0)
    }
}

/// The name of a node that clients should use (`cluster-preferred-endpoint-type`, Redis 7.0).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Preferred {
    /// The answer says nothing about it: the IP address.
    #[default]
    Unsaid,
    /// The host by which the cluster was reached (`unknown-endpoint`).
    Entry,
    /// This one. `?` when the cluster prefers host names and the node has none.
    Name(Bytes),
}

/// The value behind a key in an array of pairs.
fn field<'reply>(pairs: &'reply [Reply], key: &str) -> Option<&'reply Reply> {
    pairs
        .chunks_exact(2)
        .find(|pair| matches!(pair, [name, _] if name.as_bytes() == Some(key.as_bytes())))
        .and_then(|pair| pair.get(1))
}

fn bytes(reply: &Reply) -> Option<Bytes> {
    match reply {
        Reply::Bulk(bytes) | Reply::Simple(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

fn read_shards(reply: &Reply, found: &mut Announcement) -> Option<()> {
    for shard in reply.as_array()? {
        for node in field(shard.as_array()?, "nodes")?.as_array()? {
            let pairs = node.as_array()?;
            let preferred = match field(pairs, "endpoint") {
                Some(Reply::Null) => Preferred::Entry,
                Some(name) => Preferred::Name(bytes(name)?),
                None => Preferred::Unsaid,
            };
            let port = |key: &str| match field(pairs, key) {
                Some(port) => port.as_integer().map(Some),
                None => Some(None),
            };
            let ports = Ports {
                plain: port("port")?,
                tls: port("tls-port")?,
            };
            found.push(AnnouncedNode {
                id: field(pairs, "id").and_then(bytes),
                ip: field(pairs, "ip").and_then(bytes),
                hostname: field(pairs, "hostname").and_then(bytes),
                preferred,
                ports,
                is_lost: false,
            });
        }
    }
    Some(())
}

/// `<id> <ip:port@cport[,hostname[,key=value]*]> <flags> ...`; before Redis 4.0 without `@cport`, before 7.0 without a host name.
fn read_nodes(reply: &Reply, over_tls: bool, found: &mut Announcement) -> Option<()> {
    let Reply::Bulk(text) = reply else { return None };
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\r';
    for line in text.split(|byte| *byte == b'\n') {
        let mut words = line.split(is_blank).filter(|word| !word.is_empty());
        let Some(id) = words.next() else { continue };
        let (address, flags) = (words.next()?, words.next()?);
        let has = |flag: &str| flags.split(|byte| *byte == b',').any(|word| word == flag.as_bytes());
        // Its name is not sure yet, and it may never become a member.
        if has("handshake") {
            continue;
        }
        let is_lost = has("noaddr") && !has("myself");
        let (client, bus) = match address.iter().position(|byte| *byte == b'@') {
            Some(at) => (address.get(..at)?, address.get(at..)?),
            None => (address, [].as_slice()),
        };
        let colon = client.iter().rposition(|byte| *byte == b':')?;
        let port: i64 = std::str::from_utf8(client.get(colon + 1..)?).ok()?.parse().ok()?;
        let hostname = bus
            .split(|byte| *byte == b',')
            .nth(1)
            .filter(|name| !name.contains(&b'='));
        found.push(AnnouncedNode {
            id: Some(text.slice_ref(id)),
            ip: Some(text.slice_ref(client.get(..colon)?)),
            hostname: hostname.map(|name| text.slice_ref(name)),
            preferred: Preferred::Unsaid,
            ports: Ports::one(port, over_tls),
            is_lost,
        });
    }
    Some(())
}

fn read_slots(reply: &Reply, over_tls: bool, found: &mut Announcement) -> Option<()> {
    for range in reply.as_array()? {
        let (_from, rest) = range.as_array()?.split_first()?;
        let (_to, nodes) = rest.split_first()?;
        for node in nodes {
            let [name, port, further @ ..] = node.as_array()? else {
                return None;
            };
            // Behind the id stand the names that are not preferred (Redis 7.0).
            let others = further.get(1).and_then(Reply::as_array).unwrap_or_default();
            let preferred = match name {
                Reply::Null => Preferred::Entry,
                name => Preferred::Name(bytes(name)?),
            };
            let own = match &preferred {
                Preferred::Name(name) => Some(name.clone()),
                Preferred::Entry | Preferred::Unsaid => None,
            };
            let (ip, hostname) = (field(others, "ip"), field(others, "hostname"));
            found.push(AnnouncedNode {
                id: further.first().and_then(bytes),
                // The preferred name is the IP address where the others do not hold it.
                ip: ip.and_then(bytes).or_else(|| own.clone()),
                hostname: hostname.and_then(bytes).or_else(|| own.filter(|_| ip.is_some())),
                preferred,
                ports: Ports::one(port.as_integer()?, over_tls),
                is_lost: false,
            });
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
