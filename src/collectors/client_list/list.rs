//! The reply of CLIENT LIST: one line of `name=value` fields per client. Pure.
//!
//! A server with ten thousand clients sends three megabytes, so that the reply is gone through once, away from the runtime's workers, and
//! only the lines that may be shown are remembered. Source: Redis and Valkey, `CLIENT LIST`, all versions.

use crate::config::optional::MAX_SHOWN_CLIENTS;
use crate::redis::{OwnSockets, Owner};
use bytes::Bytes;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;

/// Seconds of idleness from which clients are counted together. A minute is a pool at rest, a day is a leak.
pub const IDLE_THRESHOLDS: [u64; 5] = [60, 300, 3_600, 21_600, 86_400];

/// Most different names, and users, that are told apart in one reply: one for each client that is asked for.
const MAX_DISTINCT: usize = 10_000;

/// Longest line that is read, in bytes. Real ones are below 1 KiB.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Among `flags`, that the client came in over a unix socket.
const UNIX_FLAG: u8 = b'U';

/// The line of one client within the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    id: u64,
    start: usize,
    end: usize,
}

/// What a reply says of all clients, and where the lines of those with the lowest ids are.
#[derive(Debug, Clone)]
pub struct ClientList {
    text: Bytes,
    /// By id; never two with the same.
    lines: Vec<Line>,
    clients: usize,
    malformed: usize,
    idle: [u64; IDLE_THRESHOLDS.len()],
    /// Clients but for our own and those of unix sockets, by the port of the server at which they came in.
    by_port: BTreeMap<u16, u64>,
    /// The same of those that are ours if something translates the server's addresses, and else somebody else's.
    perhaps_own: BTreeMap<u16, u64>,
    /// One of ours is listed with both of its ends.
    has_own: bool,
    by_user: Tally,
    by_name: Tally,
}

/// How many clients have each value of a field.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    counts: HashMap<Bytes, u64>,
    beyond: u64,
}

impl Tally {
    /// Counts a client whose field is this piece of `text`, which is kept instead of a copy: it must be one.
    fn add(&mut self, text: &Bytes, value: &[u8]) {
        if let Some(count) = self.counts.get_mut(value) {
            *count += 1;
        } else if self.counts.len() < MAX_DISTINCT {
            self.counts.insert(text.slice_ref(value), 1);
        } else {
            self.beyond += 1;
        }
    }

    /// Each value and how many clients have it, in no order.
    pub fn counts(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.counts.iter().map(|(value, count)| (&**value, *count))
    }

    /// Clients whose values were not told apart, since there are too many.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

impl ClientList {
    /// Goes through a reply. Ids only grow while a server runs, so that the lowest are the clients that have been there longest: the
    /// same ones are shown at every poll, however many come and go. `own` tells the connections of this process.
    pub fn parse(text: &Bytes, own: OwnSockets) -> Self {
        let mut list = Self {
            text: text.clone(),
            lines: Vec::new(),
            clients: 0,
            malformed: 0,
            idle: [0; IDLE_THRESHOLDS.len()],
            by_port: BTreeMap::new(),
            perhaps_own: BTreeMap::new(),
            has_own: false,
            by_user: Tally::default(),
            by_name: Tally::default(),
        };
        let mut lowest: BinaryHeap<Line> = BinaryHeap::new();
        let mut start = 0;
        for line in text.split(|byte| *byte == b'\n') {
            let end = start + line.len();
            let place = (start, end);
            start = end + 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let client = Client(line);
            let id = client.number("id").filter(|_| line.len() <= MAX_LINE_BYTES);
            let Some(id) = id else {
                list.malformed += 1;
                continue;
            };
            list.clients += 1;
            list.count(text, client, own);
            let line = Line {
                id,
                start: place.0,
                end: place.1,
            };
            if lowest.len() < MAX_SHOWN_CLIENTS {
                lowest.push(line);
            } else if let Some(mut highest) = lowest.peek_mut()
                && line < *highest
            {
                *highest = line;
            }
        }
        list.lines = lowest.into_sorted_vec();
        list.lines.dedup_by_key(|line| line.id);
        list
    }

    /// Counts one client in every way that anybody wants to know.
    fn count(&mut self, text: &Bytes, client: Client<'_>, own: OwnSockets) {
        let (mut addr, mut laddr, mut is_unix) = (None, None, false);
        for (field, value) in client.fields() {
            match field {
                b"addr" => addr = socket_address(value),
                b"laddr" => laddr = socket_address(value),
                b"flags" => is_unix = value.contains(&UNIX_FLAG),
                b"idle" => {
                    for (count, threshold) in self.idle.iter_mut().zip(IDLE_THRESHOLDS) {
                        *count += u64::from(number(value).is_some_and(|idle| idle >= threshold));
                    }
                }
                b"user" => self.by_user.add(text, value),
                b"name" => self.by_name.add(text, value),
                _ => {}
            }
        }
        let Some(laddr) = laddr.filter(|_| !is_unix) else {
            return;
        };
        match addr.map_or(Owner::Other, |addr| own.owner(addr, laddr)) {
            Owner::This => self.has_own = true,
            Owner::ThisIfTranslated => *self.perhaps_own.entry(laddr.port()).or_default() += 1,
            Owner::Other => *self.by_port.entry(laddr.port()).or_default() += 1,
        }
    }

    /// Clients by the port of the server at which they came in (`laddr`, 6.2+), without those of unix sockets and this process.
    pub fn by_port(&self) -> impl Iterator<Item = (u16, u64)> {
        // Where one of ours is listed as we know it, nothing is translated.
        let perhaps_own = self.perhaps_own.iter().filter(|_| self.has_own);
        self.by_port
            .iter()
            .chain(perhaps_own)
            .map(|(port, count)| (*port, *count))
    }

    /// Clients by the user that they log in as (6.0+), this process's among them.
    pub fn by_user(&self) -> &Tally {
        &self.by_user
    }

    /// Clients by the name that they gave themselves with CLIENT SETNAME, empty for those that did not, this process's among them.
    pub fn by_name(&self) -> &Tally {
        &self.by_name
    }

    /// Clients in the reply.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Lines that are not about a client, or too long.
    pub fn malformed(&self) -> usize {
        self.malformed
    }

    /// How many clients have been idle for at least so many seconds, by threshold.
    pub fn idle(&self) -> impl Iterator<Item = (u64, u64)> {
        IDLE_THRESHOLDS.into_iter().zip(self.idle)
    }

    /// The clients that may be shown, lowest id first.
    pub fn lowest(&self) -> impl Iterator<Item = Client<'_>> {
        self.lines
            .iter()
            .filter_map(|line| self.text.get(line.start..line.end).map(Client))
    }
}

/// One client.
#[derive(Debug, Clone, Copy)]
pub struct Client<'reply>(&'reply [u8]);

impl<'reply> Client<'reply> {
    /// The fields in their order. A piece without `=` belongs to the value before it: the path of a unix socket may hold spaces.
    pub fn fields(&self) -> impl Iterator<Item = (&'reply [u8], &'reply [u8])> {
        let mut rest = self.0.trim_ascii();
        std::iter::from_fn(move || {
            let equals = rest.iter().position(|byte| *byte == b'=')?;
            let (name, value) = rest.split_at(equals);
            let value = value.get(1..)?;
            let (mut end, mut space) = (value.len(), None);
            for (at, byte) in value.iter().enumerate() {
                match (byte, space) {
                    (b' ', _) => space = Some(at),
                    // The name of the next field began behind the last space.
                    (b'=', Some(space)) => {
                        end = space;
                        break;
                    }
                    _ => {}
                }
            }
            rest = value.get(end + 1..).unwrap_or_default();
            Some((name, value.get(..end).unwrap_or_default()))
        })
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&'reply [u8]> {
        self.fields()
            .find(|(known, _)| *known == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// The value of a field that is a whole number. Negative ones (`multi=-1`) are none.
    pub fn number(&self, name: &str) -> Option<u64> {
        number(self.get(name)?)
    }
}

/// An address with its port; `None` for the path of a unix socket.
fn socket_address(text: &[u8]) -> Option<SocketAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A whole number.
pub fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `addr` as host and port: what stands before and behind its last colon. `[::1]:6379` keeps its brackets, a unix socket is its path with
/// port 0.
pub fn host_and_port(address: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = address.iter().rposition(|byte| *byte == b':')?;
    Some((address.get(..colon)?, address.get(colon + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Redis 7.0.15, Valkey 9.1.2 (a unix socket), Redis 4.0 by its documentation.
    const REPLY: &[u8] = b"id=7 addr=127.0.0.1:34224 laddr=127.0.0.1:20411 fd=13 name=a age=633 idle=61 flags=P db=0 sub=1 psub=0 \
ssub=0 multi=-1 qbuf=0 qbuf-free=20474 argv-mem=0 multi-mem=0 rbs=1024 rbp=134 obl=0 oll=0 omem=0 tot-mem=22328 events=r \
cmd=subscribe user=default redir=-1 resp=2\nid=3 addr=/tmp/my dir/redis.sock:0 laddr=/tmp/my dir/redis.sock:0 fd=8 name= age=5 \
idle=90000 flags=U db=2 sub=0 lib-name= lib-ver=\nid=5 addr=[::1]:44806 fd=9 name=x=y age=6 idle=60 flags=N db=0 cmd=get\n\n";

    fn parsed(text: &[u8]) -> ClientList {
        ClientList::parse(&Bytes::copy_from_slice(text), OwnSockets::default())
    }

    #[test]
    fn clients_come_by_id_and_the_idle_are_counted() {
        let list = parsed(REPLY);
        assert_eq!((list.clients(), list.malformed()), (3, 0));
        let ids: Vec<u64> = list.lowest().map(|client| client.number("id").unwrap()).collect();
        assert_eq!(ids, [3, 5, 7]);
        let idle: Vec<(u64, u64)> = list.idle().collect();
        assert_eq!(idle, [(60, 3), (300, 1), (3600, 1), (21_600, 1), (86_400, 1)]);
    }

    #[test]
    fn fields_with_spaces_and_equals_signs_are_whole() {
        let list = parsed(REPLY);
        let clients: Vec<Client<'_>> = list.lowest().collect();
        assert_eq!(clients[0].get("addr"), Some(b"/tmp/my dir/redis.sock:0".as_slice()));
        assert_eq!(clients[0].get("lib-ver"), Some(b"".as_slice()));
        assert_eq!(clients[0].get("db"), Some(b"2".as_slice()));
        assert_eq!(clients[1].get("name"), Some(b"x=y".as_slice()));
        assert_eq!(
            (clients[2].number("multi"), clients[2].number("tot-mem")),
            (None, Some(22328))
        );
        let split = |text: &'static [u8]| host_and_port(text).unwrap();
        assert_eq!(
            split(b"/tmp/my dir/redis.sock:0"),
            (b"/tmp/my dir/redis.sock".as_slice(), b"0".as_slice())
        );
        assert_eq!(split(b"[::1]:44806"), (b"[::1]".as_slice(), b"44806".as_slice()));
        assert_eq!(host_and_port(b"nothing"), None);
    }

    #[test]
    fn our_own_are_not_counted_by_port() {
        // Addresses for documentation (RFC 5737), which no other test has.
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (local, peer) = ("192.0.2.55:4001", "192.0.2.56:6379");
        let _socket = crate::redis::own_sockets::OwnSocket::open(address(local), address(peer));
        let by_port = |lines: String| {
            let own = OwnSockets::listed_by(Some(address(peer)));
            let list = ClientList::parse(&Bytes::from(lines), own);
            list.by_port().collect::<Vec<_>>()
        };
        let other = format!(
            "id=1 addr=192.0.2.55:4002 laddr={peer} flags=N\nid=2 addr=/a:0 laddr=/a:0 flags=U\nid=3 flags=N\n"
        );
        let ours = format!("id=4 addr={local} laddr={peer} flags=N\n");
        let elsewhere = format!("id=5 addr={local} laddr=10.0.0.9:6380 flags=N\n");
        assert_eq!(by_port(format!("{other}{ours}")), [(6379, 1)]);
        // The same local port, once ours and once somebody else's to another port.
        assert_eq!(by_port(format!("{other}{ours}{elsewhere}")), [(6379, 1), (6380, 1)]);
        // Nothing is listed as we know it: the server calls its end otherwise.
        assert_eq!(by_port(format!("{other}{elsewhere}")), [(6379, 1)]);
    }

    #[test]
    fn only_the_lowest_ids_are_remembered_and_none_twice() {
        let lines: String = (0..MAX_SHOWN_CLIENTS + 50)
            .rev()
            .map(|id| format!("id={id} idle=1\n"))
            .collect();
        let list = parsed(format!("{lines}id=1 idle=1\nno client\nid=-4 idle=1\n").as_bytes());
        assert_eq!((list.clients(), list.malformed()), (MAX_SHOWN_CLIENTS + 51, 2));
        let ids: Vec<u64> = list.lowest().map(|client| client.number("id").unwrap()).collect();
        assert_eq!((ids.first(), ids.len()), (Some(&0), MAX_SHOWN_CLIENTS - 1));
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_gone_through(bytes in prop::collection::vec(prop::sample::select(b"id=7 \nname\xff:".as_slice()), 0..300)) {
            let list = parsed(&bytes);
            for client in list.lowest() {
                prop_assert!(client.fields().count() < 300);
            }
        }
    }
}
