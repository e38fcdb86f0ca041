//! A Prometheus exporter for Redis and Valkey servers that hold login sessions.

pub mod catalogue;
pub mod cli;
pub mod collectors;
pub mod config;
pub mod discovery;
pub mod exposition;
pub mod http;
pub mod metric;
pub mod poller;
pub mod redis;
pub mod sessions;
pub mod snapshot;
