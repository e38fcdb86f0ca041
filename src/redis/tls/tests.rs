//! Handshakes with servers of every kind.

mod garbage;
mod identity;
pub(super) mod kit;
mod measurements;
mod stream;
mod trust;
