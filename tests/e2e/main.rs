//! The exporter under a real Prometheus, under promtool, and beside redis_exporter on the same servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic in a test's helper is the failure that the test reports"
)]

#[path = "../support/mod.rs"]
mod support;

mod alert_inhibition;
mod alert_pipeline;
mod alert_routes;
mod alert_rules;
mod dashboards;
mod drop_in_transcript;
mod exceptions;
mod migration;
mod migration_jobs;
mod mtls;
mod optional_info;
mod prometheus;
mod promtool;
mod runbooks;
mod scenes;
mod side_by_side;
mod web_config;
