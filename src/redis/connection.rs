//! Connections: connect with every phase timed, exchange batches within a deadline.

use super::reason::Reason;
use super::reply::{Command, Reply};
use crate::config::types::{Address, PasswordSource};
use std::time::Duration;
use tokio::time::Instant;

/// A step of a fresh connection, label `phase` of `redis_connect_phase_duration_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Name resolution; skipped for IP addresses and unix sockets.
    Dns,
    /// Connecting the socket.
    Tcp,
    /// TLS handshake.
    Tls,
    /// AUTH (and SELECT, CLIENT SETNAME, which travel in the same packet).
    Auth,
    /// The first PING.
    Ping,
}

/// Why a connect or an exchange failed. The text names what failed and never contains a secret or reply text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RedisError {
    /// The bounded reason.
    pub reason: Reason,
    /// One sentence for logs: what failed, and what to do.
    pub message: String,
}

/// What a connect yielded beside the connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Handshake {
    /// How long each phase that was reached took.
    pub phases: Vec<(Phase, Duration)>,
}

/// Makes connections to one endpoint with one set of credentials.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Where to.
    pub address: Address,
    /// ACL user.
    pub username: Option<String>,
    /// Read again at every connect.
    pub password: PasswordSource,
}

/// A live connection. Dropping it closes the socket; it owns no task.
#[derive(Debug)]
pub struct Connection {}

impl Connector {
    /// Connects, authenticates, names the connection and selects the database, all before `deadline`.
    ///
    /// # Errors
    /// The handshake as far as it came, and why it failed.
    pub async fn connect(&self, deadline: Instant) -> Result<(Connection, Handshake), (Handshake, RedisError)> {
        let _ = deadline;
        todo!()
    }
}

impl Connection {
    /// Sends all commands in one write and reads as many replies, in order, before `deadline`. Error replies are replies.
    ///
    /// # Errors
    /// After an error the connection is of no more use and must be dropped.
    pub async fn exchange(&mut self, batch: &[Command], deadline: Instant) -> Result<Vec<Reply>, RedisError> {
        let _ = (batch, deadline);
        todo!()
    }

    /// Whether the peer has closed the connection or sent something unasked while it was idle.
    pub fn is_idle_and_open(&mut self) -> bool {
        todo!()
    }
}
