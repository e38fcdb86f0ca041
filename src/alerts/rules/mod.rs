//! The rules, one file per concern.

pub(super) mod availability;
mod capacity;
mod evictions;
pub(super) mod exporter;
mod forecast;
mod hits;
pub(super) mod latency;
pub(super) mod memory;
pub(super) mod persistence;
pub(super) mod recording;
pub(super) mod security;
pub(super) mod sessions;
pub(super) mod slo;
pub(super) mod tls;

use super::Need;

/// The server counts errors by their first word, and refused calls by command, from this version on.
const COUNTS_ERRORS: Need = Need::Redis(6, 2);
