//! Addresses to listen on.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a text is no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddressError;

impl fmt::Display for ListenAddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be `:PORT`, `IP:PORT` or `[IPv6]:PORT`")
    }
}

impl std::error::Error for ListenAddressError {}

/// Reads an address to listen on: `:9121`, `127.0.0.1:9121`, `[::1]:9121`, `localhost:9121`. Port 0 lets the system choose.
///
/// The result lists socket addresses of which the first that can be bound is to be used; it is never empty.
///
/// # Errors
/// [`ListenAddressError`] for anything else, host names included: which of their addresses was meant is not to be guessed.
pub fn parse_listen_address(text: &str) -> Result<Vec<SocketAddr>, ListenAddressError> {
    let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError)?;
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ListenAddressError);
    }
    let port: u16 = port.parse().map_err(|_| ListenAddressError)?;
    match host {
        "" => Ok(vec![
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        ]),
        "localhost" => Ok(vec![
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ]),
        _ => text
            .parse()
            .map(|address| vec![address])
            .map_err(|_| ListenAddressError),
    }
}

/// The first of the addresses that a text stands for.
pub(super) fn parse_single_address(text: &str) -> Result<SocketAddr, ListenAddressError> {
    parse_listen_address(text)?.first().copied().ok_or(ListenAddressError)
}
