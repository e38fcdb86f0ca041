//! The fixed set of reasons why an exchange with a Redis server, or a connect, can fail, and how failures fall into it.

use super::reply::Reply;
use super::tls::failure::tls_error;
use std::io::{Error, ErrorKind};

/// Why an exchange or a connect failed. The set is part of the contract: it is the value set of the label `reason` of
/// `redis_connection_errors_total` and of `state` of `redis_connection_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The peer refused the TCP connection, or the unix socket has no listener.
    Refused,
    /// No route, host or network unreachable, or no such socket file.
    Unreachable,
    /// The deadline passed.
    Timeout,
    /// The host name could not be resolved.
    Dns,
    /// The TLS handshake failed, or what it needs of ours; also when the server tells so only after it, as TLS 1.3 does to clients whose
    /// certificate it refuses.
    Tls,
    /// `NOAUTH`, `WRONGPASS`, `-ERR invalid password`, `-ERR AUTH ...`, `-DENIED` of the protected mode, or the password could
    /// not be read.
    Auth,
    /// `NOPERM`: the user may not run this command.
    Denied,
    /// `LOADING`: the server is reading its data set into memory.
    Loading,
    /// `MASTERDOWN`: a replica that may not serve stale data has lost its primary.
    Masterdown,
    /// `BUSY`: a script or function blocks the server.
    Busy,
    /// `ERR max number of clients reached`.
    MaxClients,
    /// The peer does not speak RESP2, or broke a size or nesting limit.
    Protocol,
    /// The peer closed the connection, or reset it.
    Closed,
    /// Everything else.
    Other,
}

impl Reason {
    /// All reasons, in the order of the contract.
    pub const ALL: [Self; 14] = [
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::Dns,
        Self::Tls,
        Self::Auth,
        Self::Denied,
        Self::Loading,
        Self::Masterdown,
        Self::Busy,
        Self::MaxClients,
        Self::Protocol,
        Self::Closed,
        Self::Other,
    ];

    /// The label value.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Denied => "denied",
            Self::Loading => "loading",
            Self::Masterdown => "masterdown",
            Self::Busy => "busy",
            Self::MaxClients => "max_clients",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }

    /// Whether the server still counts as up: it answers, only not with data yet.
    ///
    /// The peer exporter reports such servers as up, since INFO works while they load.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Loading | Self::Masterdown | Self::Denied)
    }

    /// Whether the server named this reason in an error reply after which the connection is as good as before. `Auth` is not
    /// among them: a reconnect reads the password anew. Whether a connection is still in step, it says itself
    /// ([`super::Connection::is_idle_and_open`]).
    pub const fn is_answer(self) -> bool {
        matches!(
            self,
            Self::Denied | Self::Loading | Self::Masterdown | Self::Busy | Self::Other
        )
    }
}

/// The reason behind an error of a socket: of connecting, reading or writing, TCP or unix.
///
/// A unix socket file that does not exist or may not be opened counts as unreachable, like a host that a firewall rule of
/// this machine forbids (`EPERM`): what is wrong lies between here and the server, and the server never saw us.
pub fn classify_io(error: &Error) -> Reason {
    if tls_error(error).is_some() {
        return Reason::Tls;
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Reason::Refused,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::PermissionDenied => Reason::Unreachable,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof
        | ErrorKind::WriteZero => Reason::Closed,
        // EAGAIN of a unix socket whose backlog stayed full: the kernel does not wait where TCP would.
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Reason::Timeout,
        _ => Reason::Other,
    }
}

/// First words of error replies whose meaning does not depend on the rest.
///
/// `DENIED` is the protected mode, which answers every stranger so until the server has a password (Redis >= 3.2).
const CODES: [(&str, Reason); 7] = [
    ("NOAUTH", Reason::Auth),
    ("WRONGPASS", Reason::Auth),
    ("DENIED", Reason::Auth),
    ("NOPERM", Reason::Denied),
    ("LOADING", Reason::Loading),
    ("MASTERDOWN", Reason::Masterdown),
    ("BUSY", Reason::Busy),
];

/// Beginnings of error replies with the general code `ERR`.
///
/// Redis before 6.0 says `invalid password` and `Client sent AUTH`, later ones `AUTH <password> called without any password
/// configured`. A cluster node may say `max number of clients + cluster connections reached` (Redis >= 6.2).
const TEXTS: [(&str, Reason); 4] = [
    ("ERR invalid password", Reason::Auth),
    ("ERR Client sent AUTH", Reason::Auth),
    ("ERR AUTH ", Reason::Auth),
    ("ERR max number of clients", Reason::MaxClients),
];

/// The reason that the text of an error reply names.
fn classify_text(text: &[u8]) -> Option<Reason> {
    let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let by_code = CODES.iter().find(|(known, _)| known.as_bytes() == code);
    let by_text = || TEXTS.iter().find(|(known, _)| text.starts_with(known.as_bytes()));
    by_code.or_else(by_text).map(|(_, reason)| *reason)
}

/// The reason that an error reply names, or `None` for errors that concern only the command (`WRONGTYPE`, `ERR syntax ...`)
/// and for a reply that is no error.
pub fn classify_error_reply(reply: &Reply) -> Option<Reason> {
    match reply {
        Reply::Error(text) => classify_text(text),
        _ => None,
    }
}

/// The reason of an error reply that the server sends unasked before it closes a connection that it does not want:
/// `ERR max number of clients reached` and `DENIED` of the protected mode. Nothing that was asked is answered then.
pub(crate) fn classify_farewell(reply: &Reply) -> Option<Reason> {
    match (classify_error_reply(reply), reply.error_code()) {
        (Some(Reason::MaxClients), _) => Some(Reason::MaxClients),
        (Some(reason), Some("DENIED")) => Some(reason),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_replies_fall_into_the_fixed_set() {
        // Texts of Redis 5.0 to 8.0, verbatim where they are not cut.
        let table: [(&[u8], Option<Reason>); 21] = [
            (b"NOAUTH Authentication required.", Some(Reason::Auth)),
            (b"NOAUTH", Some(Reason::Auth)),
            (
                b"WRONGPASS invalid username-password pair or user is disabled.",
                Some(Reason::Auth),
            ),
            (b"ERR invalid password", Some(Reason::Auth)),
            (b"ERR Client sent AUTH, but no password is set", Some(Reason::Auth)),
            (
                b"ERR AUTH <password> called without any password configured for the default user.",
                Some(Reason::Auth),
            ),
            (
                b"DENIED Redis is running in protected mode because ...",
                Some(Reason::Auth),
            ),
            (
                b"NOPERM User x has no permissions to run the 'info' command",
                Some(Reason::Denied),
            ),
            (b"LOADING Redis is loading the dataset in memory", Some(Reason::Loading)),
            (
                b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                Some(Reason::Masterdown),
            ),
            (b"BUSY Redis is busy running a script.", Some(Reason::Busy)),
            (b"ERR max number of clients reached", Some(Reason::MaxClients)),
            (
                b"ERR max number of clients + cluster connections reached",
                Some(Reason::MaxClients),
            ),
            (b"BUSYGROUP Consumer Group name already exists", None),
            (b"BUSYKEY Target key name already exists.", None),
            (b"LOADINGX", None),
            (b"ERR unknown command 'AUTH', with args beginning with: ", None),
            (b"ERR DB index is out of range", None),
            (b"noauth", None),
            (b"", None),
            (b"\xff\xfe", None),
        ];
        for (text, expected) in table {
            assert_eq!(classify_text(text), expected, "{}", text.escape_ascii());
        }
        assert_eq!(classify_error_reply(&Reply::Null), None);
        assert_eq!(classify_error_reply(&Reply::Simple("NOAUTH".into())), None);
    }

    #[test]
    fn socket_errors_fall_into_the_fixed_set() {
        // Numbers of Linux.
        let table = [
            ("ECONNREFUSED", 111, Reason::Refused),
            ("EHOSTUNREACH", 113, Reason::Unreachable),
            ("ENETUNREACH", 101, Reason::Unreachable),
            ("ENETDOWN", 100, Reason::Unreachable),
            ("ENOENT", 2, Reason::Unreachable),
            ("ENOTDIR", 20, Reason::Unreachable),
            ("EACCES", 13, Reason::Unreachable),
            ("EPERM", 1, Reason::Unreachable),
            ("ECONNRESET", 104, Reason::Closed),
            ("ECONNABORTED", 103, Reason::Closed),
            ("EPIPE", 32, Reason::Closed),
            ("ENOTCONN", 107, Reason::Closed),
            ("ETIMEDOUT", 110, Reason::Timeout),
            ("EAGAIN", 11, Reason::Timeout),
            ("EMFILE", 24, Reason::Other),
            ("EADDRNOTAVAIL", 99, Reason::Other),
        ];
        for (name, number, expected) in table {
            assert_eq!(classify_io(&Error::from_raw_os_error(number)), expected, "{name}");
        }
        assert_eq!(classify_io(&Error::from(ErrorKind::UnexpectedEof)), Reason::Closed);
    }

    #[test]
    fn labels_are_unique() {
        let labels: std::collections::BTreeSet<&str> = Reason::ALL.into_iter().map(Reason::as_label).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
    }
}
