//! Errors of connections in words: which endpoint, at which step, what failed, what to do.

use super::reason::{Reason, classify_io};
use super::refusal::sanitised_code;
use super::reply::Reply;
use super::resp::RespError;
use super::tls::failure::{Identification, TlsFailure, tls_error};

/// Why a connect or an exchange failed. The text names what failed and never contains a secret or reply text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RedisError {
    /// The bounded reason.
    pub reason: Reason,
    /// One sentence for logs: what failed, and what to do.
    pub message: String,
}

/// Where something failed: the endpoint, and the step in words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The address as it may be shown.
    pub endpoint: &'a str,
    /// `while connecting`, `during info`.
    pub step: &'a str,
}

impl Place<'_> {
    /// An error at this place.
    pub(crate) fn error(&self, reason: Reason, what: impl std::fmt::Display) -> RedisError {
        let Self { endpoint, step } = self;
        RedisError {
            reason,
            message: format!("{endpoint}: {what} {step}; {}", advice(reason)),
        }
    }

    /// The deadline passed at this place.
    pub(crate) fn timeout(&self) -> RedisError {
        self.error(Reason::Timeout, "the deadline passed")
    }

    /// The socket failed, or TLS over it. The text of an operating system error holds no data of ours.
    pub(crate) fn io(&self, error: &std::io::Error) -> RedisError {
        if let Some(error) = tls_error(error) {
            return self.tls(Reason::Tls, &TlsFailure::of(error, &Identification::default()));
        }
        // So says TLS when the other side closes the socket without the farewell of TLS.
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return self.closed();
        }
        self.error(classify_io(error), format_args!("socket error ({error})"))
    }

    /// TLS failed, or what it needs.
    pub(in crate::redis) fn tls(&self, reason: Reason, failure: &TlsFailure) -> RedisError {
        let Self { endpoint, step } = self;
        let TlsFailure { what, advice, .. } = failure;
        RedisError {
            reason,
            message: format!("{endpoint}: {step}: {what}; {advice}"),
        }
    }

    /// What came before the first answer is a record of TLS, on a connection without.
    pub(in crate::redis) fn speaks_tls(&self) -> RedisError {
        let Self { endpoint, step } = self;
        RedisError {
            reason: Reason::Protocol,
            message: format!("{endpoint}: the server answered in TLS {step}; write rediss:// in place of redis://"),
        }
    }

    /// The connection ended before the first answer. That is also what a TLS port does to those who speak no TLS.
    pub(in crate::redis) fn closed_unheard(&self, error: &RedisError) -> RedisError {
        RedisError {
            reason: error.reason,
            message: format!(
                "{}; if the port speaks TLS, write rediss:// in place of redis://",
                error.message
            ),
        }
    }

    /// The peer closed the connection.
    pub(crate) fn closed(&self) -> RedisError {
        self.error(Reason::Closed, "the server closed the connection")
    }

    /// The peer broke the protocol.
    pub(crate) fn protocol(&self, error: RespError) -> RedisError {
        self.error(Reason::Protocol, format_args!("protocol error ({error})"))
    }

    /// The peer answered with an error. Only its code is shown.
    pub(crate) fn refusal(&self, reason: Reason, reply: &Reply) -> RedisError {
        if reason == Reason::MaxClients {
            // Its code is `ERR`, which tells nobody anything.
            let what = "the server has as many clients as maxclients allows, so it turned us away";
            return self.error(reason, what);
        }
        self.error(
            reason,
            format_args!("the server answered with error {}", sanitised_code(reply)),
        )
    }
}

/// What the operator should look at.
pub(crate) const fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::Refused => "check that the server runs and listens there",
        Reason::Unreachable => "check the address, the route and the permissions of the socket file",
        Reason::Timeout => "check that the server is not stopped, overloaded or behind a firewall",
        Reason::Dns => "check the host name and the resolver of this machine",
        Reason::Tls => "check the certificates of both sides",
        Reason::Auth => "check username, password and password_file",
        Reason::Denied => {
            "grant the command to the user; `redis-session-exporter check` prints what is missing, `acl` the whole line"
        }
        Reason::Loading => "wait until the server has loaded its data set",
        Reason::Masterdown => "check the replica's link to its primary",
        Reason::Busy => "check for a long running script or function (SCRIPT KILL, FUNCTION KILL)",
        Reason::MaxClients => "raise maxclients of the server or find who holds its connections",
        Reason::Protocol => "check that the address belongs to a Redis or Valkey server without TLS",
        Reason::Closed => "check the server's log; it may have restarted or killed the client",
        Reason::Other => "check the server's log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_place_and_show_of_replies_only_the_code() {
        let place = Place {
            endpoint: "redis://h:1/0",
            step: "during select",
        };
        let reply = Reply::Error("NOPERM user alice may not".into());
        assert_eq!(
            place.refusal(Reason::Denied, &reply).to_string(),
            "redis://h:1/0: the server answered with error NOPERM during select; grant the command to the user; \
             `redis-session-exporter check` prints what is missing, `acl` the whole line"
        );
        let full = Reply::Error("ERR max number of clients reached".into());
        assert_eq!(
            place.refusal(Reason::MaxClients, &full).to_string(),
            "redis://h:1/0: the server has as many clients as maxclients allows, so it turned us away during select; raise \
             maxclients of the server or find who holds its connections"
        );
        let odd = Reply::Error("se\u{1b}cret".into());
        assert!(
            place
                .refusal(Reason::Other, &odd)
                .message
                .contains("error other during")
        );
        assert_eq!(place.timeout().reason, Reason::Timeout);
    }
}
