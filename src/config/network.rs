//! Networks of IP addresses: where credentials may go that a server, and not the operator, named the address of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of the prefix of the network around an IPv4 address that nobody described further: the usual size of one subnet, of a rack
/// or of one node's pods.
const NEIGHBOURHOOD_BITS_V4: u8 = 24;
/// The same for IPv6, where every subnet has 64 bits (RFC 4291, section 2.5.4).
const NEIGHBOURHOOD_BITS_V6: u8 = 64;

/// A network in CIDR notation (RFC 4632, RFC 4291): an address whose first `bits` bits every member shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    /// The first address; all bits behind the prefix are 0.
    first: IpAddr,
    /// Length of the prefix: 0 to 32 for IPv4, 0 to 128 for IPv6.
    bits: u8,
}

/// Why a text is no network. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor an address with a prefix length.
    #[error("is not a network; write for example `10.0.0.0/8`, `fd00::/8`, or one address")]
    NotANetwork,
    /// Bits behind the prefix are set, so that somebody may have meant a longer or another prefix.
    #[error(
        "is an address inside of a network and not the network; set the bits behind the prefix to 0, as in `10.1.2.0/24`"
    )]
    HostBits,
}

impl Network {
    /// The loopback addresses of IPv4 (RFC 1122, section 3.2.1.3).
    pub const LOOPBACK_V4: Self = Self {
        first: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
        bits: 8,
    };
    /// The loopback address of IPv6 (RFC 4291, section 2.5.3).
    pub const LOOPBACK_V6: Self = Self {
        first: IpAddr::V6(Ipv6Addr::LOCALHOST),
        bits: 128,
    };

    /// The network around an address: its /24 for IPv4, its /64 for IPv6.
    pub fn around(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = match address {
            IpAddr::V4(_) => NEIGHBOURHOOD_BITS_V4,
            IpAddr::V6(_) => NEIGHBOURHOOD_BITS_V6,
        };
        Self {
            first: masked(address, bits),
            bits,
        }
    }

    /// Whether an address lies inside. An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.bits) == self.first
    }
}

impl std::str::FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| NetworkError::NotANetwork)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit()) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or(NetworkError::NotANetwork)?,
            Some(_) => return Err(NetworkError::NotANetwork),
        };
        // An IPv4 network in the clothes of IPv6 would contain nothing, since addresses are compared undressed.
        if first.to_canonical() != first {
            return Err(NetworkError::NotANetwork);
        }
        if masked(first, bits) != first {
            return Err(NetworkError::HostBits);
        }
        Ok(Self { first, bits })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.first, self.bits)
    }
}

/// The address with all bits behind the first `bits` set to 0.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(u32::from(bits)))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(u32::from(bits)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn members_share_the_prefix() {
        for (net, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.168.4.0/23", "192.168.5.255", "192.168.6.0"),
            ("192.168.4.7", "192.168.4.7", "192.168.4.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ] {
            assert!(network(net).contains(ip(inside)), "{net} {inside}");
            assert!(!network(net).contains(ip(outside)), "{net} {outside}");
            assert_eq!(network(net), network(&network(net).to_string()));
        }
        assert!(Network::LOOPBACK_V4.contains(ip("127.9.9.9")));
        assert!(Network::LOOPBACK_V4.contains(ip("::ffff:127.0.0.1")));
        assert!(Network::LOOPBACK_V6.contains(ip("::1")));
        assert!(!Network::LOOPBACK_V6.contains(ip("::")));
    }

    #[test]
    fn the_neighbourhood_is_one_subnet() {
        assert_eq!(Network::around(ip("10.1.2.3")).to_string(), "10.1.2.0/24");
        assert_eq!(Network::around(ip("::ffff:10.1.2.3")).to_string(), "10.1.2.0/24");
        assert_eq!(
            Network::around(ip("2001:db8:1:2:3::4")).to_string(),
            "2001:db8:1:2::/64"
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "host",
            "10.0.0.0/8/8",
            "::ffff:10.0.0.0/104",
            "[::1]/128",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::NotANetwork), "{text}");
        }
        assert_eq!("10.1.2.3/8".parse::<Network>(), Err(NetworkError::HostBits));
        assert_eq!("2001:db8::1/64".parse::<Network>(), Err(NetworkError::HostBits));
    }

    proptest! {
        #[test]
        fn an_address_lies_in_its_own_neighbourhood(bits in any::<u128>(), is_v4 in any::<bool>()) {
            let address = if is_v4 {
                IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits & u128::from(u32::MAX)).unwrap()))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            };
            prop_assert!(Network::around(address).contains(address));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Network>();
        }
    }
}
