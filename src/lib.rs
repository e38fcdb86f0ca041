//! A Prometheus exporter for Redis and Valkey servers that hold login sessions.
//!
//! ```text
//! exporter.yaml, flags ─► config ─► discovery ─► poller (one task per instance) ─► redis (kept connection, one batch per poll)
//!                                      │
//!                                      └► collectors: replies ─► samples ─► snapshot (sections with an end of life)
//!                                                                              │
//! Prometheus ─► http ─► exposition (OpenMetrics or text, from memory) ◄────────┘
//! ```
//!
//! A scrape never causes a Redis command, a poll never waits for a scrape, one instance never waits for another. ARCHITECTURE.md
//! says where things live and what is deliberately absent.

pub mod acl;
pub mod alerts;
pub mod app;
pub mod catalogue;
pub mod cli;
pub mod collectors;
pub mod commands;
pub mod config;
pub mod dashboards;
pub mod discovery;
pub mod exposition;
pub mod features;
pub mod http;
pub mod keys;
pub mod metric;
pub mod poller;
pub mod redis;
pub mod sessions;
pub mod snapshot;
pub mod telemetry;
pub mod tls;
