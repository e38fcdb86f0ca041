//! Which server answered: product and version out of INFO, forks included.

use super::Server;
use crate::redis::Info;

/// Longest product name or version text that is kept; real ones are below 30 bytes.
const MAX_IDENTITY_BYTES: usize = 64;

/// Longest `run_id` that is kept; Redis' are 40 hexadecimal digits.
const MAX_RUN_ID_BYTES: usize = 128;

/// Reads who answered. `redis_version` is compatibility text on forks (Valkey always writes 7.2.4, Dragonfly a constant), so the
/// fork's own field wins: `valkey_version`, `dragonfly_version`, KeyDB by its fields, else `redis_version`. Missing fields leave
/// their part empty or 0; nothing fails.
pub fn identify(info: &Info) -> Server {
    let redis_version = info.get("redis_version").unwrap_or_default();
    let (product, version) = if let Some(version) = info.get("valkey_version") {
        (info.get("server_name").unwrap_or("valkey"), version)
    } else if let Some(version) = info.get("dragonfly_version") {
        ("dragonfly", version)
    } else if is_keydb(info) {
        ("keydb", redis_version)
    } else {
        (info.get("server_name").unwrap_or("redis"), redis_version)
    };
    let version = version.trim().trim_start_matches("df-").trim_start_matches('v');
    Server {
        product: bounded(product.trim(), MAX_IDENTITY_BYTES).to_ascii_lowercase(),
        version: bounded(version, MAX_IDENTITY_BYTES).to_owned(),
        version_numbers: version_numbers(version),
        redis_version: version_numbers(redis_version.trim()),
        cluster_enabled: info.get("cluster_enabled").map(str::trim) == Some("1"),
        is_sentinel: is_sentinel(info),
        run_id: bounded(info.get("run_id").unwrap_or_default().trim(), MAX_RUN_ID_BYTES).to_owned(),
    }
}

/// KeyDB says nothing about its name in `redis_version`, but has fields and a section that no other server has.
fn is_keydb(info: &Info) -> bool {
    info.get("mvcc_depth").is_some() || info.get("server_threads").is_some() || info.get("long_lock_waits").is_some()
}

/// Redis writes `redis_mode`; Valkey `server_mode`, unless it is told to write what Redis would.
fn is_sentinel(info: &Info) -> bool {
    let modes = ["redis_mode", "server_mode"].map(|field| info.get(field).map(str::trim));
    modes.contains(&Some("sentinel"))
}

/// The leading part of `text` that is at most `limit` bytes long.
fn bounded(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// `8.1.4-rc1` as `(8, 1, 4)`; what is missing or no number is 0.
pub fn version_numbers(text: &str) -> (u32, u32, u32) {
    let mut parts = text.splitn(3, '.').map(|part| {
        let digits: &str = part
            .split(|character: char| !character.is_ascii_digit())
            .next()
            .unwrap_or_default();
        digits.parse().unwrap_or_default()
    });
    let mut next = || parts.next().unwrap_or_default();
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identified(text: &str) -> Server {
        identify(&Info::parse(text.as_bytes()))
    }

    #[test]
    fn redis_is_its_own_version() {
        let server = identified("redis_version:8.0.2\r\nrun_id:abc\r\ncluster_enabled:1\r\n");
        assert_eq!((server.product.as_str(), server.version.as_str()), ("redis", "8.0.2"));
        assert_eq!((server.version_numbers, server.redis_version), ((8, 0, 2), (8, 0, 2)));
        assert_eq!((server.cluster_enabled, server.run_id.as_str()), (true, "abc"));
    }

    #[test]
    fn valkey_names_itself_beside_the_compatibility_version() {
        let server = identified("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n");
        assert_eq!((server.product.as_str(), server.version.as_str()), ("valkey", "9.1.2"));
        assert_eq!((server.version_numbers, server.redis_version), ((9, 1, 2), (7, 2, 4)));
    }

    #[test]
    fn dragonfly_and_keydb_are_told_apart() {
        let dragonfly = identified("redis_version:7.4.0\r\ndragonfly_version:df-v1.36.0\r\n");
        assert_eq!(
            (dragonfly.product.as_str(), dragonfly.version_numbers),
            ("dragonfly", (1, 36, 0))
        );
        let keydb = identified("redis_version:6.3.4\r\nserver_threads:2\r\n");
        assert_eq!((keydb.product.as_str(), keydb.version_numbers), ("keydb", (6, 3, 4)));
    }

    #[test]
    fn sentinels_say_so_in_their_mode() {
        assert!(identified("redis_version:7.0.15\r\nredis_mode:sentinel\r\n").is_sentinel);
        assert!(identified("redis_version:7.2.4\r\nserver_mode:sentinel\r\n").is_sentinel);
        assert!(!identified("redis_version:7.0.15\r\nredis_mode:standalone\r\n").is_sentinel);
        assert!(!identified("").is_sentinel);
    }

    #[test]
    fn missing_and_broken_fields_are_tolerated() {
        assert_eq!(identified("").product, "redis");
        assert_eq!(version_numbers("8.1.4-rc1"), (8, 1, 4));
        assert_eq!(version_numbers("unstable"), (0, 0, 0));
        assert_eq!(version_numbers("99999999999.1"), (0, 1, 0));
        let long = format!(
            "valkey_version:{}\r\nserver_name:{}\r\n",
            "é".repeat(500),
            "é".repeat(500)
        );
        assert!(identified(&long).version.len() <= MAX_IDENTITY_BYTES);
    }
}
