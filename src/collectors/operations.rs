//! Collector `operations`.

use super::{Build, Schedule, Spec};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "operations",
    help: "Session operations and their latency, from the server's command statistics.",
    default_on: true,
    schedule: Schedule::Info,
    descriptors: Vec::new,
    build: Build::ByFrame,
};
