//! Collector `application`.

use super::{Build, Schedule, Spec};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "application",
    help: "Counters, gauges and histograms that the application keeps in Redis.",
    default_on: true,
    schedule: Schedule::Info,
    descriptors: Vec::new,
    build: Build::ByFrame,
};
