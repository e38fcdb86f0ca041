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

use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::InstanceConfig;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "application",
    help: "Counters, gauges and histograms that the application keeps in Redis.",
    default_on: true,
    schedule: Schedule::Info,
    grants: of_metrics,
    descriptors: Vec::new,
    build: Build::ByFrame,
};

/// The keys of the metrics, and what their types are read with.
fn of_metrics(config: &InstanceConfig, _server: &Server) -> Vec<Grant> {
    let metrics = &config.application_metrics;
    let mut granted: Vec<Grant> = metrics.iter().map(|metric| Grant::read_key(&metric.key)).collect();
    let commands = metrics.iter().flat_map(reading::commands);
    granted.extend(commands.map(grants::command));
    if metrics.iter().any(|metric| metric.database != config.address.database) {
        granted.push(grants::command("select"));
    }
    granted
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, load_str};
    use std::collections::BTreeSet;
    use std::path::Path;

    const DOCUMENT: &str = include_str!("../../docs/application-metrics.md");

    /// The blocks of YAML in the document.
    fn blocks() -> Vec<&'static str> {
        let blocks = DOCUMENT.split("```yaml\n").skip(1);
        blocks.map(|block| block.split_once("```").unwrap().0).collect()
    }

    fn names(text: &str) -> BTreeSet<&'static str> {
        let loaded = load_str(text, "document", Path::new(""), &Environment::of_pairs(&[]));
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let metrics = loaded.config.instances[0].application_metrics.iter();
        metrics.map(|metric| metric.descriptor.name).collect()
    }

    #[test]
    fn the_document_is_a_configuration() {
        let [configuration, everything] = blocks().try_into().unwrap();
        assert_eq!(
            names(configuration),
            BTreeSet::from(["session_encryption_errors_total"])
        );
        let indented: String = everything.lines().map(|line| format!("    {line}\n")).collect();
        let found = names(&format!("instances:\n  - address: redis://127.0.0.1\n{indented}"));
        // Every name that section 5 of the contract and the requirement documents give to the application.
        for name in [
            "circuit_breaker_opens_total",
            "job_queue_pending",
            "redis_pool_connections",
            "redis_pool_pending",
            "redis_pool_size",
            "session_cache_errors_total",
            "session_cache_hits_total",
            "session_cache_misses_total",
            "session_cache_requests_total",
            "session_cache_ttl_seconds",
            "session_encryption_errors_total",
            "session_encryption_key_present",
            "sessions_created_total",
            "tokens_validation_errors_total",
        ] {
            assert!(found.contains(name), "{name} is missing");
        }
    }
}
