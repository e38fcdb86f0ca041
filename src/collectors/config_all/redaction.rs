//! Which parameters of a server may be shown. It errs towards hiding: what is published can be read by everybody who may scrape.

use crate::config::types::SECRET_PLACEHOLDER;
use crate::redis::info::parse_number;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Parameters that hold no secret on any server that was looked at; see the head of the file.
const HARMLESS_LIST: &str = include_str!("harmless_parameters.txt");

/// The names of the list. It never changes while the process runs.
static HARMLESS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lines = HARMLESS_LIST.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
});

/// Parts of a parameter's name that speak of a secret, of whoever logs in, or of arguments that nobody can judge. They decide about
/// parameters that are not on the list: those of modules, forks and later versions.
const TELLING_NAMES: [&str; 22] = [
    "acl",
    "arg",
    "auth",
    "cert",
    "connection",
    "cred",
    "dsn",
    "hash",
    "key",
    "license",
    "loadmodule",
    "login",
    "pass",
    "private",
    "pwd",
    "rename",
    "salt",
    "sasl",
    "secret",
    "seed",
    "token",
    "user",
];

/// Words in a value that announce a secret wherever they stand (`?password=...` in an address).
const TELLING_VALUES: [&str; 7] = ["apikey", "api_key", "passwd", "password", "secret", "token", "pwd="];

/// Answers to "yes or no".
const SWITCHES: [&str; 6] = ["yes", "no", "on", "off", "true", "false"];

/// Units in which Redis takes sizes and times, and `%`.
const UNITS: [&str; 13] = ["b", "k", "kb", "m", "mb", "g", "gb", "t", "tb", "ms", "s", "us", "%"];

/// What may be shown of a parameter of CONFIG GET or SENTINEL CONFIG GET: its value, or `<secret>` in its place.
///
/// A parameter that is known to hold no secret is shown, unless its value holds credentials (`redis://user:password@host`). Any other one is
/// hidden, whether or not it is set, unless its name speaks of nothing secret and its value is a number, a size, a duration or a switch.
pub fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    if is_secret(name, value) {
        SECRET_PLACEHOLDER
    } else {
        value
    }
}

/// Whether a parameter, by its name and its value, is hidden; see [`shown`].
pub fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if holds_credentials(value) {
        return true;
    }
    if HARMLESS.contains(name.as_str()) {
        return false;
    }
    TELLING_NAMES.iter().any(|part| name.contains(part)) || !is_plain(value)
}

/// Whether a value shows a user and a password before a host, or names a secret in it.
fn holds_credentials(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let names_one = TELLING_VALUES.iter().any(|word| lower.contains(word));
    // `user:password@host` and `https://token@host`, wherever in the value.
    let mut words = value.split_ascii_whitespace();
    names_one || words.any(|word| word.split_once(':').is_some_and(|(_, rest)| rest.contains('@')))
}

/// Whether a value is nothing but a number, a size, a duration, a switch, or empty.
fn is_plain(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    if value.is_empty() || SWITCHES.contains(&value.as_str()) {
        return true;
    }
    let unit = value.trim_start_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-' | '+'));
    let Some(number) = value.strip_suffix(unit) else {
        return false;
    };
    parse_number(number).is_some() && (unit.is_empty() || UNITS.contains(&unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_may_hold_a_secret_is_hidden() {
        for (name, value) in [
            ("requirepass", "hunter2"),
            ("requirepass", ""),
            ("REQUIREPASS", "1"),
            ("masterauth", "1234"),
            ("masteruser", "replicator"),
            ("primaryauth", "hunter2"),
            ("primaryuser", "replicator"),
            ("sentinel-pass", "hunter2"),
            ("sentinel-user", "sentinel"),
            ("tls-key-file", "/etc/ssl/redis.key"),
            ("tls-key-file-pass", "hunter2"),
            ("tls-client-key-file-pass", "hunter2"),
            ("aclfile", "/etc/redis/users.acl"),
            ("user", "on >hunter2 ~* +@all"),
            ("hash-seed", "12345"),
            ("rename-command", "CONFIG hunter2"),
            ("loadmodule", "/m.so hunter2"),
            ("mymodule.license", "42"),
            ("mymodule.api-token", "42"),
            // Nothing is known of it, and it could be anything.
            ("mymodule.greeting", "hunter2"),
            ("later-parameter", "a b"),
            ("later-parameter", "12 34"),
            ("later-parameter", "9hunter2"),
            // Known to be harmless, but for what was written into it.
            ("logfile", "/var/log/redis?password=hunter2"),
            ("replicaof", "redis://:hunter2@primary 6379"),
            ("availability-zone", "https://hunter2@zone"),
            ("bind", "127.0.0.1 u:hunter2@h"),
        ] {
            assert_eq!(shown(name, value), "<secret>", "{name} {value}");
        }
    }

    #[test]
    fn what_explains_the_server_is_shown() {
        for (name, value) in [
            ("maxmemory", "104857600"),
            ("MaxMemory-Policy", "allkeys-lru"),
            ("save", "3600 1 300 100"),
            ("bind", "* -::*"),
            ("dir", "/data/users"),
            ("acl-pubsub-default", "resetchannels"),
            ("tls-auth-clients", "yes"),
            ("tls-cert-file", "/etc/ssl/redis.crt"),
            ("unixsocket", "@redis"),
            ("announce-hostnames", "no"),
            ("later-parameter", "yes"),
            ("later-parameter", "-1.5"),
            ("later-parameter", "10mb"),
            ("later-parameter", "75%"),
            ("later-parameter", "100 ms"),
            ("later-parameter", ""),
            ("search-timeout", "500"),
        ] {
            assert_eq!(shown(name, value), value, "{name}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_holds_no_name_that_asks_for_a_secret() {
        let names: Vec<&str> = HARMLESS_LIST.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.is_sorted() && names.len() > 200, "{} names", names.len());
        for part in ["pass", "secret", "token", "seed", "cred"] {
            let found: Vec<&&str> = names.iter().filter(|name| name.contains(part)).collect();
            assert!(found.is_empty(), "{found:?}");
        }
    }
}
