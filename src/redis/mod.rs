//! The connection layer: the only room that speaks RESP.
//!
//! Commands ([`connection`]) and subscriptions ([`subscriber`]) go over small connections of our own because their promises (every
//! deadline explicit, replies bounded in nesting and size, exact reasons of failure, nothing left behind when dropped) are the
//! contract's; see ARCHITECTURE.md, "Why no client library".

pub mod capabilities;
pub mod connection;
pub mod connector;
mod error;
pub mod info;
pub(crate) mod job;
pub mod ledger;
pub mod own_sockets;
mod password;
pub mod reason;
mod refusal;
pub mod reply;
mod resolve;
pub mod resp;
pub mod subscriber;
pub mod tls;
mod transport;

#[cfg(test)]
pub(crate) mod testing;

pub use capabilities::{CAPABILITY_LIFETIME, Capabilities};
pub use connection::Connection;
pub use connector::{CLIENT_NAME, Connector, Handshake, Phase};
pub use error::RedisError;
pub use info::Info;
pub use ledger::{Ledger, OwnCalls};
pub use own_sockets::{OwnSockets, Owner};
pub use reason::Reason;
pub use refusal::{Unavailable, denies_database, names_another_node, sanitised_code, unavailability};
pub use reply::{Command, Reply};
pub use subscriber::{Message, Subscriber};
pub use tls::{TlsHandshake, TlsReason};
