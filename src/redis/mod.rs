//! The connection layer: the only room that speaks RESP, and later the only importer of fred.
//!
//! Commands go over a small connection of our own ([`connection`]) because its promises (every deadline explicit, replies
//! bounded in nesting and size, exact reasons of failure, nothing left behind when dropped) are the contract's; see
//! ARCHITECTURE.md, "Which path takes which client".

pub mod connection;
pub mod info;
pub mod reason;
pub mod reply;
pub mod resp;

pub use connection::{Connection, Connector, Handshake, Phase, RedisError};
pub use info::Info;
pub use reason::Reason;
pub use reply::{Command, Reply};
