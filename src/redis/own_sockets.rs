//! The sockets of this process to Redis servers, so that CLIENT LIST can be told without ourselves.
//!
//! A connection knows its own two ends, and a server lists both of each client (`addr`, `laddr`). What is kept belongs to the process, as the
//! sockets do: two instances of the configuration may be the same server. It holds the sockets that are open, and a bounded number of those that
//! were closed a moment ago.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a socket that was closed is still ours in a list: the server may have written it before, or not yet read that we went. Shorter than
/// the minute for which the kernel keeps the port from others (TIME_WAIT).
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// Most closed sockets that are remembered: with 500 instances about a hundred a second may be closed, by probes and scans.
const MAX_REMEMBERED: usize = 1_024;

/// An address as the other side of a connection calls it as well: IPv4 that is written as IPv6 (RFC 4291, section 2.5.5.2) as what it is, and
/// without the zone of a link, which has another number on every machine (RFC 4007).
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Both ends of a socket, ours first, each [`canonical`].
type Ends = (SocketAddr, SocketAddr);

static SOCKETS: Mutex<Sockets> = Mutex::new(Sockets {
    known: BTreeMap::new(),
    closed: VecDeque::new(),
});

fn sockets() -> MutexGuard<'static, Sockets> {
    SOCKETS.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Sockets {
    /// When each was closed; `None` while it is open.
    known: BTreeMap<Ends, Option<Instant>>,
    /// Those that were closed, in that order. One that was opened again meanwhile stands here for nothing.
    closed: VecDeque<(Ends, Instant)>,
}

impl Sockets {
    fn open(&mut self, ends: Ends) {
        self.known.insert(ends, None);
    }

    fn close(&mut self, ends: Ends, now: Instant) {
        self.known.insert(ends, Some(now));
        self.closed.push_back((ends, now));
        self.forget(now);
    }

    fn is_there(&self, ends: Ends, now: Instant) -> bool {
        let closed = self.known.get(&ends);
        closed.is_some_and(|closed| closed.is_none_or(|at| now.saturating_duration_since(at) < REMEMBERED_FOR))
    }

    /// Whose a client is that the server at `peer` lists with these ends, its own second.
    fn owner(&self, addr: SocketAddr, laddr: SocketAddr, peer: Option<SocketAddr>, now: Instant) -> Owner {
        if self.is_there((addr, laddr), now) {
            Owner::This
        } else if peer.is_some_and(|peer| self.is_there((addr, peer), now)) {
            Owner::ThisIfTranslated
        } else {
            Owner::Other
        }
    }

    /// Forgets those that were closed too long ago, and the oldest where they are too many.
    fn forget(&mut self, now: Instant) {
        while let Some((ends, at)) = self.closed.front().copied() {
            let is_old = now.saturating_duration_since(at) >= REMEMBERED_FOR;
            if !is_old && self.closed.len() <= MAX_REMEMBERED {
                return;
            }
            self.closed.pop_front();
            if self.known.get(&ends) == Some(&Some(at)) {
                self.known.remove(&ends);
            }
        }
    }
}

/// A socket that is open; closed when dropped.
#[derive(Debug)]
pub struct OwnSocket {
    ends: Ends,
}

impl OwnSocket {
    /// Notes that a socket with these ends was opened.
    pub fn open(local: SocketAddr, peer: SocketAddr) -> Self {
        let ends = (canonical(local), canonical(peer));
        sockets().open(ends);
        Self { ends }
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.ends.1
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        sockets().close(self.ends, Instant::now());
    }
}

/// Whose a client in a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This process: both ends are those of one of its sockets.
    This,
    /// This process, if the server's end is called otherwise here than there, since something between translates addresses (a mapped port
    /// of a container). Else somebody on the same machine whose socket to another port has the number of ours: the kernel gives a
    /// local port to several sockets at once as long as their other ends differ.
    ThisIfTranslated,
    /// Somebody else.
    Other,
}

/// Tells the sockets of this process in the list of one server.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnSockets {
    peer: Option<SocketAddr>,
}

impl OwnSockets {
    /// For a list that came over a connection to `peer`; `None` for one over a unix socket.
    pub fn listed_by(peer: Option<SocketAddr>) -> Self {
        Self {
            peer: peer.map(canonical),
        }
    }

    /// Whose a client is, open or closed a moment ago: `addr` is its end, `laddr` the server's, as the server calls them.
    pub fn owner(&self, addr: SocketAddr, laddr: SocketAddr) -> Owner {
        sockets().owner(canonical(addr), canonical(laddr), self.peer, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddrV6;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn none() -> Sockets {
        Sockets {
            known: BTreeMap::new(),
            closed: VecDeque::new(),
        }
    }

    #[test]
    fn sockets_are_ours_while_open_and_a_moment_longer() {
        let start = Instant::now();
        for (local, peer) in [
            ("192.0.2.1:4001", "192.0.2.9:6380"),
            ("[2001:db8::1]:4001", "[2001:db8::9]:6380"),
        ] {
            let mut sockets = none();
            let (local, peer, inside) = (address(local), address(peer), address("10.0.0.9:16380"));
            assert_eq!(sockets.owner(local, peer, Some(peer), start), Owner::Other);
            sockets.open((local, peer));
            assert_eq!(sockets.owner(local, peer, None, start), Owner::This);
            assert_eq!(sockets.owner(local, inside, Some(peer), start), Owner::ThisIfTranslated);
            // Another socket of this machine with the same local port.
            assert_eq!(sockets.owner(local, inside, None, start), Owner::Other);
            assert_eq!(
                sockets.owner(address("192.0.2.1:4002"), peer, Some(peer), start),
                Owner::Other
            );
            sockets.close((local, peer), start);
            let almost = start + REMEMBERED_FOR - Duration::from_millis(1);
            assert_eq!(sockets.owner(local, peer, None, almost), Owner::This);
            assert_eq!(
                sockets.owner(local, peer, Some(peer), start + REMEMBERED_FOR),
                Owner::Other
            );
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_open_is_not_forgotten() {
        let start = Instant::now();
        let mut sockets = none();
        let ends = |port: usize| (address(&format!("192.0.2.2:{port}")), address("192.0.2.9:1"));
        sockets.close(ends(1), start);
        sockets.open(ends(1));
        for port in 2..MAX_REMEMBERED + 50 {
            sockets.open(ends(port));
            sockets.close(ends(port), start);
        }
        assert_eq!(sockets.closed.len(), MAX_REMEMBERED);
        assert_eq!(sockets.known.len(), MAX_REMEMBERED + 1);
        assert!(sockets.is_there(ends(1), start), "it was opened again");
        sockets.close(ends(1), start + REMEMBERED_FOR);
        assert_eq!(
            (sockets.closed.len(), sockets.known.len()),
            (1, 1),
            "the others are old"
        );
    }

    #[test]
    fn a_socket_of_this_process_is_known_until_after_it_is_dropped() {
        // Addresses for documentation (RFC 5737), which no other test has.
        let (local, peer) = (address("192.0.2.77:4001"), address("192.0.2.99:6380"));
        let own = OwnSockets::listed_by(Some(peer));
        assert_eq!(own.owner(local, peer), Owner::Other);
        let socket = OwnSocket::open(local, peer);
        assert_eq!((own.owner(local, peer), socket.peer()), (Owner::This, peer));
        drop(socket);
        assert_eq!(own.owner(local, peer), Owner::This);
    }

    #[test]
    fn a_socket_is_ours_however_its_address_is_written() {
        let zoned = |text: &str, zone| match address(text) {
            SocketAddr::V6(address) => SocketAddr::V6(SocketAddrV6::new(*address.ip(), address.port(), 0, zone)),
            other => other,
        };
        let table = [
            (address("[::ffff:192.0.2.78]:4001"), address("192.0.2.78:4001")),
            (address("192.0.2.79:4001"), address("[::ffff:192.0.2.79]:4001")),
            (zoned("[fe80::78]:4001", 2), address("[fe80::78]:4001")),
        ];
        for (local, listed) in table {
            let peer = address("[::ffff:192.0.2.99]:6390");
            let _socket = OwnSocket::open(local, peer);
            let own = OwnSockets::listed_by(Some(address("192.0.2.99:6390")));
            for (server, owner) in [
                ("192.0.2.99:6390", Owner::This),
                ("[::ffff:192.0.2.99]:6390", Owner::This),
                ("10.0.0.9:6379", Owner::ThisIfTranslated),
            ] {
                assert_eq!(own.owner(listed, address(server)), owner, "{listed} {server}");
            }
        }
    }
}
