//! Collector `clients`: INFO Clients, who is connected and how.

use super::table::{Row, TableCollector, row, row_descriptors};
use super::{Build, Schedule, Spec, grants};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "clients",
    help: "Connected clients, the room left below maxclients, and the largest client buffers.",
    default_on: true,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || row_descriptors(ROWS).collect(),
    build: Build::FromReplies(|options| TableCollector::boxed(ROWS, options)),
};

static ROWS: &[Row] = &[
    row!(
        Gauge,
        "redis_connected_clients",
        "Clients",
        "connected_clients",
        "Clients connected now, without replicas; this exporter's own connections count."
    ),
    row!(
        Gauge,
        "redis_max_clients",
        "Clients (6.2+)",
        "maxclients",
        "Most clients that the server accepts (maxclients); beyond it, log-ins fail."
    ),
    row!(
        Gauge,
        "redis_cluster_connections",
        "Clients (6.2+)",
        "cluster_connections",
        "Sockets of the cluster bus, roughly."
    ),
    row!(
        Gauge,
        "redis_blocked_clients",
        "Clients",
        "blocked_clients",
        "Clients waiting in a blocking command such as BLPOP."
    ),
    row!(
        Gauge,
        "redis_tracking_clients",
        "Clients",
        "tracking_clients",
        "Clients with client-side caching on."
    ),
    row!(
        Gauge,
        "redis_pubsub_clients",
        "Clients (Redis 7.4+, Valkey 8.0+)",
        "pubsub_clients",
        "Clients that subscribe to channels or patterns."
    ),
    row!(
        Gauge,
        "redis_watching_clients",
        "Clients (Redis 7.4+, Valkey 8.0+)",
        "watching_clients",
        "Clients that WATCH keys."
    ),
    row!(
        Gauge,
        "redis_clients_in_timeout_table",
        "Clients",
        "clients_in_timeout_table",
        "Blocked clients whose wait has an end."
    ),
    row!(
        Gauge,
        "redis_total_watched_keys",
        "Clients (Redis 7.4+, Valkey 8.0+)",
        "total_watched_keys",
        "Keys watched by clients."
    ),
    row!(
        Gauge,
        "redis_total_blocking_keys",
        "Clients (7.2+)",
        "total_blocking_keys",
        "Keys that clients block on."
    ),
    row!(
        Gauge,
        "redis_total_blocking_keys_on_nokey",
        "Clients (7.2+)",
        "total_blocking_keys_on_nokey",
        "Keys whose blocked clients want to be woken when the key is deleted."
    ),
    row!(
        Gauge,
        "redis_client_recent_max_input_buffer_bytes",
        "Clients",
        "client_recent_max_input_buffer",
        "Largest input buffer of a client in the last seconds."
    ),
    row!(
        Gauge,
        "redis_client_recent_max_output_buffer_bytes",
        "Clients",
        "client_recent_max_output_buffer",
        "Largest output buffer of a client in the last seconds: somebody reads slowly, or asks for too much."
    ),
    row!(
        Gauge,
        "redis_client_biggest_input_buf",
        "Clients (Redis 4 and older)",
        "client_biggest_input_buf",
        "Largest input buffer of a client in bytes, on servers before Redis 5."
    ),
    row!(
        Gauge,
        "redis_client_longest_output_list",
        "Clients (Redis 4 and older)",
        "client_longest_output_list",
        "Longest list of replies waiting for a client, on servers before Redis 5."
    ),
    row!(
        Gauge,
        "redis_current_client_thread",
        "Clients (KeyDB)",
        "current_client_thread",
        "Number of the KeyDB thread that serves this exporter's connection."
    ),
];
