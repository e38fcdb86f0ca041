//! Addresses of servers: every form that people write, one normalised form that the program compares.
//!
//! | form | meaning |
//! |---|---|
//! | `redis://[user:password@]host[:port][/database]` | TCP; `valkey://` is the same |
//! | `rediss://[user:password@]host[:port][/database]` | TLS over TCP; `valkeys://` is the same |
//! | `[user:password@]host[:port][/database]` | `redis://` without its scheme |
//! | `unix://[user:password@]/path[?db=N]` | unix socket; `redis+unix://` and `valkey+unix://` are the same |
//! | `/path` | the same without a scheme |
//! | `redis-cluster://[user:password@]host[:port][,host[:port]...][/database]` | a cluster, by some of its nodes; `valkey-cluster://` is the same |
//! | `rediss-cluster://...` | the same over TLS; `valkeys-cluster://` is the same |
//!
//! Passwords that were not percent-encoded work wherever they can be told from the rest: user information ends at the last
//! `@` (for sockets: the last `@` before a `/`), the user ends at the first `:`, and a `%` without two hexadecimal digits
//! stands for itself. So `redis://:p@ss/w#rd%@host` has the password `p@ss/w#rd%`, while `%41` always means `A`.

use super::names::later_scheme;
use super::types::{Address, Endpoint, Secret};
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

/// Redis' own port. `rediss://` has no other one: redis-cli 7.0, redis-py, go-redis and node-redis all take 6379 where it names none,
/// since Redis has no default for `tls-port`.
pub const DEFAULT_PORT: u16 = 6379;

/// Highest database number. Redis has 16 databases unless `databases` says otherwise; 65,535 is more than anybody runs and
/// keeps per-database state bounded.
pub const MAX_DATABASE: u32 = 65_535;

/// Longest password or user name. Redis keeps passwords as hashes and sets no limit; tokens of cloud providers take about
/// 4 KiB, and every instance holds its own copy.
pub const MAX_SECRET_BYTES: usize = 16 * 1024;

/// Longest address: a long host or path with a percent-encoded password of the longest kind (three bytes for one).
const MAX_ADDRESS_BYTES: usize = 4 * MAX_SECRET_BYTES;

/// Longest host name (RFC 1035, section 2.3.4, as text).
const MAX_HOST_BYTES: usize = 253;

/// Most nodes that the address of a cluster names. One that answers is enough to find all others.
pub(super) const MAX_SEEDS: usize = 16;

/// Longest path of a unix socket: `sun_path` of Linux has 108 bytes, the last of which is the terminator (unix(7)).
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// An address with the user information that was written into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedAddress {
    /// Where the server listens; the first of the nodes that the address of a cluster names.
    pub address: Address,
    /// The nodes that the address of a cluster names, each once and in its order; `None` for the address of one server.
    pub cluster: Option<Vec<Endpoint>>,
    /// The user, if the address names one.
    pub username: Option<String>,
    /// The password, if the address holds one; it may be empty (`user:@`), which is what `nopass` users send.
    pub password: Option<Secret>,
}

/// Why a text is no address. No variant holds any part of the text, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing.
    #[error("is empty; write for example `redis://127.0.0.1:6379`")]
    Empty,
    /// More than `MAX_ADDRESS_BYTES`.
    #[error("is too long for an address; write for example `redis://127.0.0.1:6379`")]
    TooLong,
    /// A control character, a space or a line break.
    #[error("contains a space or a control character; percent-encode it if it belongs to the password")]
    Unprintable,
    /// A scheme of the contract that comes with a later version.
    #[error(
        "uses `{scheme}://`, which is not known to this version; name the servers themselves as instances, by `{of_servers}://`; a Sentinel is one too"
    )]
    LaterScheme {
        /// The scheme.
        scheme: &'static str,
        /// The scheme of the servers behind it.
        of_servers: &'static str,
    },
    /// Any other scheme.
    #[error(
        "has an unknown scheme; use `redis://`, `rediss://` (TLS), `valkey://`, `unix://`, or `host:port` without a scheme"
    )]
    UnknownScheme,
    /// Nothing before the port.
    #[error("names no host; write for example `redis://127.0.0.1:6379`")]
    NoHost,
    /// Characters that no host name has.
    #[error("has a host that is neither a name (letters, digits, `-`, `_`, `.`) nor an IP address")]
    BadHost,
    /// An IPv6 address without brackets, which cannot be told from its port.
    #[error("has more than one `:` in its host; write an IPv6 address in brackets, for example `[::1]:6379`")]
    Ipv6WithoutBrackets,
    /// Brackets around something else.
    #[error("has brackets that do not hold an IPv6 address; write for example `[::1]:6379`")]
    BadIpv6,
    /// Not a number from 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    BadPort,
    /// Not a number up to [`MAX_DATABASE`].
    #[error(
        "has a database that is not a number from 0 to 65535; write it as `/0` behind the port, or `?db=0` behind a socket's path"
    )]
    BadDatabase,
    /// `?...` behind a TCP address.
    #[error("has options behind a `?`, of which none is known; remove them")]
    Options,
    /// `?ssl=true` and its like behind a TCP address: what clients wrote before there was `rediss://`.
    #[error(
        "asks for TLS, or says how it is spoken, behind a `?`; write the scheme `rediss://`, and what is to be trusted as `tls:` beside the address (`ca_file`, `cert_file`, `key_file`, `server_name`, `insecure_skip_verify`)"
    )]
    TlsOptions,
    /// A socket's path that does not begin with `/`.
    #[error("needs an absolute path; write for example `unix:///run/redis/redis.sock`, with three slashes")]
    RelativePath,
    /// A socket's path that the kernel cannot take.
    #[error("has a socket path longer than 107 bytes, which Linux cannot open")]
    PathTooLong,
    /// More nodes of a cluster than [`MAX_SEEDS`].
    #[error(
        "names more than 16 nodes; a few that are seldom down together are enough, since the others are found out from them"
    )]
    TooManySeeds,
    /// Percent escapes that make no text.
    #[error("has percent escapes that do not decode to UTF-8 text; put such a password into a `password_file`")]
    NotText,
}

/// Reads an address in any of the forms of the table above.
///
/// # Errors
/// [`AddressError`]; it never holds a part of the text.
pub fn parse_address(text: &str) -> Result<ParsedAddress, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.len() > MAX_ADDRESS_BYTES {
        return Err(AddressError::TooLong);
    }
    if text.chars().any(|character| character.is_control() || character == ' ') {
        return Err(AddressError::Unprintable);
    }
    match split_scheme(text) {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => parse_tcp(rest, Layer::Plain),
            "rediss" | "valkeys" => parse_tcp(rest, Layer::Tls),
            "redis-cluster" | "valkey-cluster" => parse_cluster(rest, Layer::Plain),
            "rediss-cluster" | "valkeys-cluster" => parse_cluster(rest, Layer::Tls),
            "unix" | "redis+unix" | "valkey+unix" => parse_unix(rest),
            other => Err(
                later_scheme(other).map_or(AddressError::UnknownScheme, |(scheme, of_servers)| {
                    AddressError::LaterScheme { scheme, of_servers }
                }),
            ),
        },
        None if text.starts_with('/') => parse_unix(text),
        None => parse_tcp(text, Layer::Plain),
    }
}

/// What is spoken over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// RESP itself.
    Plain,
    /// RESP inside of TLS.
    Tls,
}

/// The normalised address of a text without its user information; `None` when the text is no address. Hosts are lower-cased,
/// IPv6 addresses take their shortest form (RFC 5952), a missing port is 6379 and a missing database 0. The address of a cluster is
/// that of no instance.
pub fn normalise(text: &str) -> Option<Address> {
    let parsed = parse_address(text).ok()?;
    parsed.cluster.is_none().then_some(parsed.address)
}

/// The normalised addresses that a text may mean, to compare a probe's `target` with what is configured, the likeliest first; none
/// when the text is no address. A text with a scheme means that scheme. `host:port` alone means the server there, whichever of the two
/// is spoken to it: a port speaks one of them, and jobs made for exporters of other kinds write their targets so. Should both be
/// configured, it means `redis://`, as it does in the configuration.
pub fn meant_by(text: &str) -> Vec<Address> {
    let Some(address) = normalise(text) else {
        return Vec::new();
    };
    let over_tls = (!names_scheme(text) && matches!(address.endpoint, Endpoint::Tcp { .. })).then(|| Address {
        tls: true,
        ..address.clone()
    });
    std::iter::once(address).chain(over_tls).collect()
}

/// Whether an address says how it is spoken to, as `host:port` alone does not.
pub(super) fn names_scheme(text: &str) -> bool {
    split_scheme(text).is_some() || text.starts_with('/')
}

/// The normalised form of a host without its port, as a server announces it: an IP address (IPv6 without brackets) or a name that the
/// configuration would accept; `None` for anything else. An IPv4 address in the clothes of IPv6 becomes the IPv4 address.
pub fn normalise_host(text: &str) -> Option<String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(address.to_canonical().to_string()),
        Err(_) => canonical_name(text).ok(),
    }
}

/// Splits `scheme://rest` where `scheme` looks like one (RFC 3986, section 3.1). A `://` inside of a password does not
/// count, since a `:` or `@` stands before it.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let mut bytes = scheme.bytes();
    let first_is_letter = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let rest_fits = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (first_is_letter && rest_fits).then_some((scheme, rest))
}

fn parse_tcp(text: &str, layer: Layer) -> Result<ParsedAddress, AddressError> {
    let (parsed, server) = parse_around_servers(text, layer)?;
    let (host, port) = split_port(server)?;
    Ok(ParsedAddress {
        address: Address {
            endpoint: Endpoint::Tcp { host, port },
            ..parsed.address
        },
        ..parsed
    })
}

/// Several servers of one cluster with the same credentials and database.
fn parse_cluster(text: &str, layer: Layer) -> Result<ParsedAddress, AddressError> {
    let (parsed, servers) = parse_around_servers(text, layer)?;
    let mut seeds = Vec::new();
    for server in servers.split(',') {
        let (host, port) = split_port(server)?;
        let seed = Endpoint::Tcp { host, port };
        if !seeds.contains(&seed) {
            seeds.push(seed);
        }
        if seeds.len() > MAX_SEEDS {
            return Err(AddressError::TooManySeeds);
        }
    }
    let first = seeds.first().ok_or(AddressError::NoHost)?.clone();
    Ok(ParsedAddress {
        address: Address {
            endpoint: first,
            ..parsed.address
        },
        cluster: Some(seeds),
        ..parsed
    })
}

/// What stands before and behind the servers of an address, with an endpoint that is yet to be filled in, and the servers.
fn parse_around_servers(text: &str, layer: Layer) -> Result<(ParsedAddress, &str), AddressError> {
    let (user_information, server) = match text.rsplit_once('@') {
        Some((user_information, server)) => (Some(user_information), server),
        None => (None, text),
    };
    if let Some((_, options)) = server.split_once('?') {
        return Err(if is_about_tls(options) {
            AddressError::TlsOptions
        } else {
            AddressError::Options
        });
    }
    if server.contains('#') {
        return Err(AddressError::Options);
    }
    let (servers, database) = match server.split_once('/') {
        Some((servers, "")) => (servers, 0),
        Some((servers, database)) => (servers, parse_database(database)?),
        None => (server, 0),
    };
    let (username, password) = user_information.map_or(Ok((None, None)), parse_user_information)?;
    let unfilled = Endpoint::Tcp {
        host: String::new(),
        port: DEFAULT_PORT,
    };
    let parsed = ParsedAddress {
        address: Address {
            endpoint: unfilled,
            database,
            tls: layer == Layer::Tls,
        },
        cluster: None,
        username,
        password,
    };
    Ok((parsed, servers))
}

/// Whether an option's name is one by which clients ask for TLS or say what they trust: `ssl`, `ssl_cert_reqs` (redis-py),
/// `tls`, `tls-ca-cert`, `sslmode`, `insecure`, `skip_verify` (go-redis), `verifyPeer` (Lettuce), `cacert`.
fn is_about_tls(options: &str) -> bool {
    options.split(['&', ';']).any(|option| {
        let name = option.split('=').next().unwrap_or_default().to_ascii_lowercase();
        ["ssl", "tls", "insecure", "verify", "cert"]
            .iter()
            .any(|word| name.contains(word))
    })
}

fn parse_unix(text: &str) -> Result<ParsedAddress, AddressError> {
    let (user_information, path) = if text.starts_with('/') {
        (None, text)
    } else {
        match text.rfind("@/").and_then(|position| text.split_at_checked(position)) {
            Some((user_information, path)) => (Some(user_information), path.strip_prefix('@').unwrap_or(path)),
            None => return Err(AddressError::RelativePath),
        }
    };
    let (path, database) = match path.split_once('?') {
        Some((path, query)) => {
            let database = query.strip_prefix("db=").ok_or(AddressError::BadDatabase)?;
            (path, parse_database(database)?)
        }
        None => (path, 0),
    };
    let path = percent_decoded(path)?;
    if path.len() > MAX_SOCKET_PATH_BYTES {
        return Err(AddressError::PathTooLong);
    }
    if path.chars().any(char::is_control) {
        return Err(AddressError::Unprintable);
    }
    let (username, password) = user_information.map_or(Ok((None, None)), parse_user_information)?;
    Ok(ParsedAddress {
        address: Address {
            endpoint: Endpoint::Unix {
                path: PathBuf::from(path),
            },
            database,
            tls: false,
        },
        cluster: None,
        username,
        password,
    })
}

fn parse_user_information(text: &str) -> Result<(Option<String>, Option<Secret>), AddressError> {
    let (username, password) = match text.split_once(':') {
        Some((username, password)) => (username, Some(percent_decoded(password)?)),
        None => (text, None),
    };
    let username = percent_decoded(username)?;
    let longest = username.len().max(password.as_ref().map_or(0, String::len));
    if longest > MAX_SECRET_BYTES {
        return Err(AddressError::TooLong);
    }
    let username = (!username.is_empty()).then_some(username);
    // `redis://@host` and `redis://:@host` hold no credentials at all; only a named user may have an empty password.
    let password = password.filter(|password| username.is_some() || !password.is_empty());
    Ok((username, password.map(Secret::new)))
}

fn percent_decoded(text: &str) -> Result<String, AddressError> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(|decoded| decoded.into_owned())
        .map_err(|_| AddressError::NotText)
}

fn parse_database(text: &str) -> Result<u32, AddressError> {
    decimal(text)
        .filter(|database| *database <= MAX_DATABASE)
        .ok_or(AddressError::BadDatabase)
}

/// Digits alone: `str::parse` would also take a `+`.
fn decimal(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn split_port(text: &str) -> Result<(String, u16), AddressError> {
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, behind) = bracketed.split_once(']').ok_or(AddressError::BadIpv6)?;
        let host = canonical_ipv6(inside)?;
        match behind.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if behind.is_empty() => (host, None),
            None => return Err(AddressError::BadIpv6),
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => return Err(AddressError::Ipv6WithoutBrackets),
            Some((host, port)) => (canonical_name(host)?, Some(port)),
            None => (canonical_name(text)?, None),
        }
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => decimal(port)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
            .ok_or(AddressError::BadPort)?,
    };
    Ok((host, port))
}

fn canonical_name(host: &str) -> Result<String, AddressError> {
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    let fits = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !fits || host.len() > MAX_HOST_BYTES || host.starts_with('.') || host.contains("..") {
        return Err(AddressError::BadHost);
    }
    Ok(host.to_ascii_lowercase())
}

/// The shortest form of an IPv6 address, with its zone (`%eth0`, in addresses also `%25eth0`: RFC 6874) where it has one.
fn canonical_ipv6(text: &str) -> Result<String, AddressError> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
        None => (text, None),
    };
    let address: Ipv6Addr = address.parse().map_err(|_| AddressError::BadIpv6)?;
    match zone {
        None => Ok(address.to_string()),
        Some(zone)
            if !zone.is_empty()
                && zone.len() <= MAX_ZONE_BYTES
                && zone
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) =>
        {
            Ok(format!("{address}%{zone}"))
        }
        Some(_) => Err(AddressError::BadIpv6),
    }
}

/// Longest IPv6 zone: names of network interfaces have at most 15 bytes (`IFNAMSIZ` of Linux).
const MAX_ZONE_BYTES: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(text: &str) -> String {
        parse_address(text).map_or_else(|error| format!("error: {error}"), |parsed| parsed.address.to_string())
    }

    fn credentials(text: &str) -> (Option<String>, Option<String>) {
        let parsed = parse_address(text).unwrap();
        (
            parsed.username,
            parsed.password.map(|password| password.expose().to_owned()),
        )
    }

    #[test]
    fn every_form_has_one_normalised_form() {
        for (text, expected) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/0"),
            ("redis://127.0.0.1:6379/", "redis://127.0.0.1:6379/0"),
            ("valkey://Cache.Example", "redis://cache.example:6379/0"),
            ("REDIS://h:1/15", "redis://h:1/15"),
            ("localhost", "redis://localhost:6379/0"),
            ("localhost:7000/3", "redis://localhost:7000/3"),
            ("[::1]", "redis://[::1]:6379/0"),
            ("redis://[0:0:0:0:0:0:0:1]:7000", "redis://[::1]:7000/0"),
            ("[2001:DB8:0:0::1]:1", "redis://[2001:db8::1]:1/0"),
            ("[fe80::1%25eth0]:1", "redis://[fe80::1%eth0]:1/0"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("/run/redis.sock", "unix:///run/redis.sock"),
            ("rediss://h", "rediss://h:6379/0"),
            ("VALKEYS://u:p@Cache.Example:6380/2", "rediss://cache.example:6380/2"),
            ("rediss://[2001:DB8::1]", "rediss://[2001:db8::1]:6379/0"),
            ("redis+unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
            ("valkey+unix://u:p@/run/a%20b.sock", "unix:///run/a%20b.sock"),
            ("unix:///run/what%3F.sock", "unix:///run/what%3F.sock"),
            ("unix:///run/100%.sock", "unix:///run/100%25.sock"),
        ] {
            assert_eq!(normal(text), expected, "{text}");
            assert_eq!(normal(expected), expected, "the normalised form reads as itself");
        }
    }

    #[test]
    fn passwords_that_nobody_encoded_work() {
        let some = |username: &str, password: &str| (Some(username.to_owned()), Some(password.to_owned()));
        let only = |password: &str| (None, Some(password.to_owned()));
        for (text, expected) in [
            ("redis://u:p@h", some("u", "p")),
            ("redis://:p@h", only("p")),
            ("redis://:p@ss/w#rd%@h:1/2", only("p@ss/w#rd%")),
            ("redis://u:a:b?c@h", some("u", "a:b?c")),
            ("redis://u:%41%zz%4@h", some("u", "A%zz%4")),
            ("redis://u:p%40h@h", some("u", "p@h")),
            ("redis://us%3Aer:gr\u{fc}n@h", some("us:er", "gr\u{fc}n")),
            ("u:a://b@h", some("u", "a://b")),
            ("redis://u:@h", some("u", "")),
            ("unix://u:p@ss@/run/so@ck", some("u", "p@ss")),
            ("unix://:/p@/run/s", only("/p")),
            ("rediss://u:p@ss/?w#rd%@h:1/2", some("u", "p@ss/?w#rd%")),
            ("redis://u@h", (Some("u".to_owned()), None)),
            ("redis://@h", (None, None)),
            ("redis://:@h", (None, None)),
        ] {
            assert_eq!(credentials(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_described() {
        use AddressError::*;
        for (text, error) in [
            ("", Empty),
            ("redis://", NoHost),
            ("redis://:6379", NoHost),
            ("redis://h:0", BadPort),
            ("redis://h:65536", BadPort),
            ("redis://h:+1", BadPort),
            ("redis://h:", BadPort),
            ("redis://h/db", BadDatabase),
            ("redis://h/65536", BadDatabase),
            ("redis://h/99999999999", BadDatabase),
            ("redis://h/0/1", BadDatabase),
            ("redis://h?x=1", Options),
            ("redis://h#x", Options),
            ("::1", Ipv6WithoutBrackets),
            ("[::1", BadIpv6),
            ("[::1]6379", BadIpv6),
            ("[localhost]:1", BadIpv6),
            ("redis://h\u{f6}st", BadHost),
            ("redis://a..b", BadHost),
            ("redis://a,b", BadHost),
            ("redis://a b", Unprintable),
            ("redis://a\n", Unprintable),
            ("redis://h?ssl=true", TlsOptions),
            ("redis://:p@h:1/0?x=1&SSL_cert_reqs=none", TlsOptions),
            ("rediss://h?insecure", TlsOptions),
            ("rediss://h?skip_verify=true", TlsOptions),
            ("rediss://h?x=ssl", Options),
            (
                "rediss-sentinel://h:1,h:2",
                LaterScheme {
                    scheme: "rediss-sentinel",
                    of_servers: "rediss",
                },
            ),
            (
                "redis-sentinel://h:1,h:2",
                LaterScheme {
                    scheme: "redis-sentinel",
                    of_servers: "redis",
                },
            ),
            (
                "valkeys-sentinel://h",
                LaterScheme {
                    scheme: "valkeys-sentinel",
                    of_servers: "valkeys",
                },
            ),
            ("rediss+unix:///run/redis.sock", UnknownScheme),
            ("rediss:///run/redis.sock", BadDatabase),
            ("http://h", UnknownScheme),
            ("unix://run/redis.sock", RelativePath),
            ("unix:///run/redis.sock?x=1", BadDatabase),
            ("unix:///run/redis.sock?db=x", BadDatabase),
            ("redis://:%ff@h", NotText),
        ] {
            assert_eq!(parse_address(text), Err(error), "{text}");
        }
        assert_eq!(parse_address(&format!("unix:///{}", "x".repeat(107))), Err(PathTooLong));
        assert_eq!(parse_address(&"x".repeat(100_000)), Err(TooLong));
    }

    #[test]
    fn neither_errors_nor_debug_show_a_password() {
        let parsed = parse_address("redis://u:hunter2@h").unwrap();
        assert!(!format!("{parsed:?}").contains("hunter2"));
        for text in ["redis://u:hunter2@h:x", "hunter2://h", "redis://u:hunter2"] {
            let error = parse_address(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn targets_are_compared_without_user_information() {
        assert_eq!(normalise("redis://u:p@H:6379/0"), normalise("h"));
        assert_ne!(normalise("h/1"), normalise("h"));
        assert_eq!(normalise("http://169.254.169.254/"), None);
    }

    #[test]
    fn a_scheme_is_part_of_a_target_and_a_bare_one_means_both() {
        let meant = |text: &str| -> Vec<String> { meant_by(text).iter().map(ToString::to_string).collect() };
        assert_eq!(meant("h"), ["redis://h:6379/0", "rediss://h:6379/0"]);
        assert_eq!(meant("H:1/3"), ["redis://h:1/3", "rediss://h:1/3"]);
        assert_eq!(meant("valkey://h"), ["redis://h:6379/0"]);
        assert_eq!(meant("rediss://u:p@h"), ["rediss://h:6379/0"]);
        assert_eq!(meant("/run/redis.sock"), ["unix:///run/redis.sock"]);
        assert_eq!(meant("rediss-cluster://h"), [""; 0]);
        assert_eq!(meant("h?x"), [""; 0]);
    }

    #[test]
    fn the_nodes_of_a_cluster_are_all_spoken_to_alike() {
        for (text, tls) in [
            ("redis-cluster://a,b:1", false),
            ("rediss-cluster://a,b:1", true),
            ("VALKEYS-CLUSTER://a,b:1/0", true),
        ] {
            let parsed = parse_address(text).unwrap();
            assert_eq!((parsed.address.tls, parsed.cluster.unwrap().len()), (tls, 2), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_result_reads_back(text in "(redis://|rediss://|valkeys://|rediss-cluster://|unix://|)[ -~\u{e4}]{0,60}") {
            if let Ok(parsed) = parse_address(&text) {
                let again = normalise(&parsed.address.to_string());
                prop_assert_eq!(&again, &Some(parsed.address.clone()));
                prop_assert!(parsed.cluster.is_some() || meant_by(&text).contains(&parsed.address));
                prop_assert_eq!(parsed.address.tls, text.starts_with("rediss") || text.starts_with("valkeys"));
            }
        }
    }
}
