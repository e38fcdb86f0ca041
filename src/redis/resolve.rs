//! Name resolution.

use super::job::Job;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Most addresses of one name that are tried. A name has one or a few; a share of the deadline for more would be too short.
const MAX_ADDRESSES: usize = 16;

/// The lookup of one name, at most one at a time.
pub(crate) type Lookup = Job<Vec<SocketAddr>, io::Error>;

/// The addresses of `host`, IPv4 and IPv6 in the resolver's order. All calls with one `lookup` must name the same host.
pub(crate) async fn resolve(lookup: &Lookup, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    let looked_up = lookup.run(move || Ok((host.as_str(), port).to_socket_addrs()?.take(MAX_ADDRESSES).collect()));
    looked_up.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn resolves_names_and_reports_failures() {
        let addresses = resolve(&Lookup::default(), "localhost", 6379).await.unwrap();
        assert!(
            addresses
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 6379)
        );
        assert!(!addresses.is_empty());
        assert!(resolve(&Lookup::default(), "name.invalid", 1).await.is_err());
    }
}
