//! Handshakes with servers of every kind.

mod garbage;
mod identity;
mod kit;
mod stream;
mod trust;
