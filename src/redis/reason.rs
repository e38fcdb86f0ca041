//! The fixed set of reasons why an exchange with a Redis server, or a connect, can fail.

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
    /// The TLS handshake failed.
    Tls,
    /// `NOAUTH`, `WRONGPASS`, `-ERR invalid password`, `-ERR AUTH ...`, or the password could not be read.
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
}
