//! What a session is, and how sessions are counted: stores, key matching, the pass over a database. All of it is pure; the
//! frame in `poller` does the I/O and the waiting.

pub mod details;
pub mod detect;
pub mod estimate;
pub mod events;
pub mod figures;
pub mod glob;
pub mod loss;
pub mod notifications;
pub mod pacing;
pub mod pass;
pub mod stores;
pub mod tracker;

#[cfg(test)]
mod preset_tests;
