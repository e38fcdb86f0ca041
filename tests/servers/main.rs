//! The exporter against real servers and scripted peers, looked at from outside: the binary with a configuration file, over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic in a test's helper is the failure that the test reports"
)]

#[path = "../support/mod.rs"]
mod support;

mod anonymous;
mod application;
mod application_daemon;
mod artefacts;
mod authentication;
mod bench;
mod canary;
mod client_list;
mod cluster_discovery;
mod cluster_tls;
mod commands;
mod compatibility;
mod compatibility_options;
mod connections;
mod dead_share;
mod drop_in;
mod drop_in_tls;
mod drop_in_wire;
mod events;
mod events_faults;
mod fleet;
mod freshness;
mod ground_truth;
mod http;
mod info_faults;
mod key_groups;
mod keys;
mod least_privilege;
mod libraries;
mod lua;
mod lua_patterns;
mod operations;
mod optional_info;
mod password_rotation;
mod peer_faults;
mod permissions;
mod reload;
mod search;
mod sentinel;
mod server_faults;
mod session_probe;
mod sessions;
mod sessions_auto;
mod sessions_faults;
mod sessions_scan;
mod streams;
mod tls_connections;
mod tls_matrix;
mod tls_rotation;
mod tls_rows;
mod web_tls;
