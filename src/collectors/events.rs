//! Collector `events`.

use super::{Build, Schedule, Spec};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "events",
    help: "How many sessions are created and why they end, from keyspace notifications.",
    default_on: true,
    schedule: Schedule::Info,
    descriptors: Vec::new,
    build: Build::ByFrame,
};
