//! Name resolution that cannot pile up.
//!
//! The resolver of the C library blocks a thread and cannot be called off: when a deadline passes, the thread stays busy until
//! the resolver gives up, which takes tens of seconds. One lookup at a time per connector keeps a dead resolver from
//! filling the pool of blocking threads that all instances share.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Most addresses of one name that are tried. A name has one or a few; a share of the deadline for more would be too short.
const MAX_ADDRESSES: usize = 16;

type Running = JoinHandle<io::Result<Vec<SocketAddr>>>;

/// The lookup of one name that may still run after whoever asked for it has given up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookup {
    running: Arc<Mutex<Option<Running>>>,
}

impl Lookup {
    /// The addresses of `host`, IPv4 and IPv6 in the resolver's order. May be dropped at any time; the next call then
    /// takes up the lookup that this one began, so all calls must name the same host.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut running = self.running.lock().await;
        if let Some(finished) = running.take_if(|lookup| lookup.is_finished()) {
            // An answer that came too late for its asker is still the newest one; a failure that did is not news.
            if let Ok(Ok(addresses)) = finished.await {
                return Ok(addresses);
            }
        }
        let lookup = running.get_or_insert_with(|| {
            let host = host.to_owned();
            tokio::task::spawn_blocking(move || {
                Ok((host.as_str(), port).to_socket_addrs()?.take(MAX_ADDRESSES).collect())
            })
        });
        let answer = lookup.await;
        *running = None;
        answer.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn resolves_names_and_reports_failures() {
        let lookup = Lookup::default();
        let addresses = lookup.resolve("localhost", 6379).await.unwrap();
        assert!(
            addresses
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 6379)
        );
        assert!(!addresses.is_empty());
        assert!(Lookup::default().resolve("name.invalid", 1).await.is_err());
    }

    /// A lookup that hangs is waited for again, not joined by a second one; its late answer is used.
    #[tokio::test]
    async fn takes_up_a_lookup_that_outlived_its_deadline() {
        let (answer, wait) = std::sync::mpsc::channel();
        let lookup = Lookup::default();
        *lookup.running.lock().await = Some(tokio::task::spawn_blocking(move || wait.recv().unwrap()));
        for _ in 0..3 {
            tokio::select! {
                biased;
                answer = lookup.resolve("localhost", 1) => panic!("answered {answer:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        let late = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 1));
        answer.send(Ok(vec![late])).unwrap();
        assert_eq!(lookup.resolve("localhost", 1).await.unwrap(), [late]);
        assert!(lookup.running.lock().await.is_none());
    }
}
