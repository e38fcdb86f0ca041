//! At which ports a server speaks TLS.

use crate::collectors::Server;
use crate::redis::Info;
use std::collections::BTreeMap;

/// What CONFIG GET is asked for on servers whose INFO does not name the listeners. Neither shows a secret.
pub(super) const PORT_PARAMETERS: [&str; 2] = ["port", "tls-port"];

/// Products that tell their ports by [`PORT_PARAMETERS`]. Others have one port that is plain or not (Dragonfly's `tls`), so that
/// a port alone says nothing.
const WITH_PORT_PARAMETERS: [&str; 3] = ["redis", "valkey", "keydb"];

/// Most listeners that are read of INFO; a server has one of each kind.
const MAX_LISTENERS: usize = 64;

/// Whether CONFIG GET tells the ports of this server.
pub(super) fn has_port_parameters(server: &Server) -> bool {
    WITH_PORT_PARAMETERS.contains(&server.product.as_str())
}

/// The TCP ports of a server, and whether TLS is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listeners {
    ports: BTreeMap<u16, bool>,
}

impl Listeners {
    /// `listener0:name=tcp,bind=127.0.0.1,bind=-::1,port=6379` of INFO Server (Redis and Valkey 7.2+); `None` on servers that do not write
    /// such lines. Unix sockets have no port.
    pub(super) fn of_info(info: &Info) -> Option<Self> {
        let mut lines = info
            .with_prefix("listener")
            .filter(|field| field.name.parse::<u32>().is_ok())
            .take(MAX_LISTENERS)
            .peekable();
        lines.peek()?;
        let mut ports = BTreeMap::new();
        for line in lines {
            let part = |key: &str| {
                let mut parts = line.value.split(',').filter_map(|part| part.split_once('='));
                parts.find(|(name, _)| *name == key).map(|(_, value)| value.trim())
            };
            let is_tls = match part("name") {
                Some("tls") => true,
                Some("tcp") => false,
                _ => continue,
            };
            if let Some(port) = part("port").and_then(|port| port.parse().ok()) {
                ports.insert(port, is_tls);
            }
        }
        Some(Self { ports })
    }

    /// `port` and `tls-port` of CONFIG GET; 0 is a port that is not open, and a server that was built without TLS has no `tls-port`. `None`
    /// when there is not even a `port`.
    pub(super) fn of_parameters(parameters: &[(&str, &str)]) -> Option<Self> {
        let port = |wanted: &str| -> Option<u16> {
            let (_, value) = parameters.iter().find(|(name, _)| *name == wanted)?;
            value.trim().parse().ok()
        };
        let plain = (port("port")?, false);
        let tls = port("tls-port").map(|port| (port, true));
        let open = [plain].into_iter().chain(tls).filter(|(port, _)| *port != 0);
        Some(Self { ports: open.collect() })
    }

    /// Whether TLS is spoken at a port; `None` for one at which nobody listens.
    pub(super) fn is_tls(&self, port: u16) -> Option<bool> {
        self.ports.get(&port).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_of_info_are_told_by_their_names() {
        // Redis 8.0.2 with both ports and a socket.
        let info = Info::parse(
            b"tcp_port:16435\r\nlistener0:name=tcp,bind=*,bind=-::*,port=16435\r\nlistener1:name=unix,bind=/tmp/a,port=9\r\n\
              listener2:name=tls,bind=127.0.0.1,port=16434\r\nlisteners:3\r\n",
        );
        let listeners = Listeners::of_info(&info).unwrap();
        let kinds = [16_435, 16_434, 9, 0].map(|port| listeners.is_tls(port));
        assert_eq!(kinds, [Some(false), Some(true), None, None]);
        assert_eq!(Listeners::of_info(&Info::parse(b"tcp_port:6379\r\n")), None);
        let broken = Info::parse(b"listener0:name=tls,port=99999\r\nlistener1:\r\n");
        assert_eq!(Listeners::of_info(&broken).unwrap().is_tls(65_535), None);
    }

    #[test]
    fn ports_of_config_are_open_unless_they_are_0() {
        let both = Listeners::of_parameters(&[("tls-port", "6380"), ("port", "6379")]).unwrap();
        assert_eq!([6_379, 6_380].map(|port| both.is_tls(port)), [Some(false), Some(true)]);
        let secure = Listeners::of_parameters(&[("port", "0"), ("tls-port", "6379")]).unwrap();
        assert_eq!([0, 6_379].map(|port| secure.is_tls(port)), [None, Some(true)]);
        // Built without TLS.
        let plain = Listeners::of_parameters(&[("port", "6379")]).unwrap();
        assert_eq!(plain.is_tls(6_379), Some(false));
        assert_eq!(Listeners::of_parameters(&[("tls-port", "6379")]), None);
        assert_eq!(Listeners::of_parameters(&[("port", "many")]), None);
    }
}
