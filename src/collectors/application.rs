//! Collector `application`: counters, gauges and histograms that the application keeps in Redis.
//!
//! Which metrics there are says the configuration (`application_metrics`), so there is no descriptor of our own here. `reading` decides
//! which commands a metric needs and what their replies mean, `number` and `histogram` read values, `published` picks out what the
//! health answers show. All of it is pure; `poller::application_poll` does the I/O.

pub mod histogram;
pub mod number;
mod problem;
pub mod published;
pub mod reading;

pub use problem::Problem;

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
