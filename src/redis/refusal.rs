//! Error replies that say that a command is not to be had, and what of an error reply may be shown.

use super::Reply;

/// Why a reply is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unavailable {
    /// `NOPERM`: the user may not run the command.
    Denied,
    /// The server does not know the command, or the service forbids it.
    Unsupported,
}

impl Unavailable {
    /// The label value of `redis_session_exporter_collector_unavailable{reason}`.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Whether an error reply means that the command will not work on this connection at all.
///
/// Redis: `NOPERM ...` for permissions; `ERR unknown command ...`, `ERR unknown subcommand ...`, `ERR Unknown subcommand or
/// wrong number of arguments`, `ERR This instance has cluster support disabled` for what is not there.
pub fn unavailability(error: &Reply) -> Option<Unavailable> {
    let Reply::Error(text) = error else { return None };
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    if text.starts_with("noperm") {
        return Some(Unavailable::Denied);
    }
    // `OOM command not allowed when used memory > 'maxmemory'.` passes when there is room again.
    if text.starts_with("oom") {
        return None;
    }
    let unsupported = [
        "unknown command",
        "unknown subcommand",
        "cluster support disabled",
        "not supported",
        "unsupported",
        "not allowed",
    ];
    unsupported
        .iter()
        .any(|phrase| text.contains(phrase))
        .then_some(Unavailable::Unsupported)
}

/// Whether an error reply of a node of a cluster says that a key belongs to another one: `MOVED slot address` for good, `ASK slot address`
/// while its slot is moved there (Redis Cluster specification).
pub fn names_another_node(error: &Reply) -> bool {
    matches!(error.error_code(), Some("MOVED" | "ASK"))
}

/// Whether an error reply denies the use of a database rather than a command.
///
/// Valkey from 9.1 on keeps a list of databases per user (`db=0,1`, `alldbs`) and answers SELECT of another one, and commands that read
/// the current one, with `NOPERM No permissions to access database`.
pub fn denies_database(error: &Reply) -> bool {
    let Reply::Error(text) = error else { return false };
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    text.starts_with("noperm") && text.contains("access database")
}

/// The codes that servers answer with: Redis 8.0, Valkey 9.1 and the modules of Redis Stack. A list, and not what a code looks like: a
/// server that repeats what it was sent would otherwise have a password of capital letters taken for its code.
const CODES: [&str; 44] = [
    "ASK",
    "BADAUTH",
    "BUSY",
    "BUSYGROUP",
    "BUSYKEY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "DENIED",
    "ERR",
    "EXECABORT",
    "FAILOVER",
    "INPROG",
    "INVALIDOBJ",
    "IOERR",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOADDR",
    "NOAUTH",
    "NOGOODSLAVE",
    "NOGROUP",
    "NOMASTERLINK",
    "NOPERM",
    "NOPROTO",
    "NOQUORUM",
    "NOREPLICAS",
    "NOSCRIPT",
    "NOSUB",
    "NOTBUSY",
    "NOTREADY",
    "NOUSER",
    "OOM",
    "READONLY",
    "REDIRECT",
    "SYNTAX",
    "TIMEOUT",
    "TLSERR",
    "TRYAGAIN",
    "UNBLOCKED",
    "UNKILLABLE",
    "UNSTABLE",
    "WRONGPASS",
    "WRONGTYPE",
];

/// The first word of an error reply if it is one of the codes that servers have, else `other`.
pub fn sanitised_code(error: &Reply) -> String {
    let code = error.error_code().unwrap_or_default();
    let known = CODES.iter().find(|known| **known == code);
    known.copied().unwrap_or("other").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_not_unavailable() {
        // Verbatim from Redis 7.0.
        let of = |text: &'static str| unavailability(&Reply::Error(text.into()));
        assert_eq!(of("OOM command not allowed when used memory > 'maxmemory'."), None);
        assert_eq!(of("READONLY You can't write against a read only replica."), None);
        assert_eq!(
            of("ERR unknown command 'SET', with args beginning with: "),
            Some(Unavailable::Unsupported)
        );
        assert_eq!(
            of("NOPERM this user has no permissions to run the 'set' command"),
            Some(Unavailable::Denied)
        );
    }

    #[test]
    fn only_codes_that_servers_have_are_shown() {
        let of = |text: &'static str| sanitised_code(&Reply::Error(text.into()));
        for code in CODES {
            assert_eq!(of(code), code);
        }
        assert!(CODES.is_sorted(), "one that stands there twice would be overlooked");
        assert_eq!(
            of("WRONGPASS invalid username-password pair or user is disabled."),
            "WRONGPASS"
        );
        assert_eq!(of("HUNTER2 it was"), "other");
        assert_eq!(of("err lower"), "other");
        assert_eq!(of(""), "other");
        assert_eq!(sanitised_code(&Reply::Simple("ERR".into())), "other");
    }

    #[test]
    fn a_denied_database_is_not_a_denied_command() {
        // Verbatim from Valkey 9.1 and Redis 7.0.
        assert!(denies_database(&Reply::Error(
            "NOPERM No permissions to access database".into()
        )));
        let command = "NOPERM this user has no permissions to run the 'select' command";
        assert!(!denies_database(&Reply::Error(command.into())));
        assert!(!denies_database(&Reply::Simple("NOPERM access database".into())));
    }
}
