//! Collector `stats`: INFO Stats, what the server has done since it started or since CONFIG RESETSTAT.

use super::table::{Row, TableCollector, row, row_descriptors};
use super::{Build, Schedule, Spec, grants};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "stats",
    help: "What the server did since its start: commands, traffic, hits and misses, expirations, evictions, refusals.",
    default_on: true,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || row_descriptors(ROWS).collect(),
    build: Build::FromReplies(|options| TableCollector::boxed(ROWS, options)),
};

static ROWS: &[Row] = &[
    row!(
        Counter,
        "redis_connections_received_total",
        "Stats",
        "total_connections_received",
        "Connections that the server accepted. A high rate means clients that reconnect instead of pooling."
    ),
    row!(
        Counter,
        "redis_commands_processed_total",
        "Stats",
        "total_commands_processed",
        "Commands that the server executed, those of this exporter included."
    ),
    row!(
        Counter,
        "redis_rejected_connections_total",
        "Stats",
        "rejected_connections",
        "Connections turned away because maxclients was reached: users that could not log in."
    ),
    row!(
        Counter,
        "redis_net_input_bytes_total",
        "Stats",
        "total_net_input_bytes",
        "Bytes that the server read from clients and replication links."
    ),
    row!(
        Counter,
        "redis_net_output_bytes_total",
        "Stats",
        "total_net_output_bytes",
        "Bytes that the server wrote to clients and replication links."
    ),
    row!(
        Counter,
        "redis_net_repl_input_bytes_total",
        "Stats (7.0+)",
        "total_net_repl_input_bytes",
        "Bytes read for replication alone."
    ),
    row!(
        Counter,
        "redis_net_repl_output_bytes_total",
        "Stats (7.0+)",
        "total_net_repl_output_bytes",
        "Bytes written for replication alone."
    ),
    row!(
        Counter,
        "redis_expired_keys_total",
        "Stats",
        "expired_keys",
        "Keys removed because their time to live ended. The scan of this exporter makes the server remove expired keys that it \
         meets, so part of these come somewhat earlier than without it."
    ),
    row!(
        Counter,
        "redis_expired_subkeys_total",
        "Stats (Redis 7.4+)",
        "expired_subkeys",
        "Hash fields removed because their own time to live ended."
    ),
    row!(
        Counter,
        "redis_expired_fields_total",
        "Stats (Valkey 9.0+)",
        "expired_fields",
        "Hash fields removed because their own time to live ended, as Valkey counts them."
    ),
    row!(
        Gauge,
        "redis_expired_stale_percentage",
        "Stats",
        "expired_stale_perc",
        "Estimate in percent (0 to 100) of keys with a time to live that have ended but still take memory."
    ),
    row!(
        Gauge,
        "redis_expired_keys_with_volatile_items_stale_percentage",
        "Stats (Valkey 9.0+)",
        "expired_keys_with_volatile_items_stale_perc",
        "Estimate in percent (0 to 100) of hashes with expiring fields that hold ended fields."
    ),
    row!(
        Counter,
        "redis_expired_time_cap_reached_total",
        "Stats",
        "expired_time_cap_reached_count",
        "Active expiry cycles that ran out of time: more keys end than the server manages to remove."
    ),
    row!(
        Counter,
        "redis_expire_cycle_cpu_time_ms_total",
        "Stats",
        "expire_cycle_cpu_milliseconds",
        "Milliseconds of CPU spent on removing expired keys."
    ),
    row!(
        Counter,
        "redis_evicted_keys_total",
        "Stats",
        "evicted_keys",
        "Keys thrown out because maxmemory was reached. On a session store every one may be a user logged out."
    ),
    row!(
        Counter,
        "redis_evicted_clients_total",
        "Stats (7.0+)",
        "evicted_clients",
        "Clients disconnected because all clients together passed maxmemory-clients."
    ),
    row!(
        Counter,
        "redis_evicted_scripts_total",
        "Stats (Redis 7.4+, Valkey 8.0+)",
        "evicted_scripts",
        "Cached EVAL scripts dropped for newer ones; many of them mean an application that builds scripts on the fly."
    ),
    row!(
        Counter,
        "redis_eviction_exceeded_time_ms_total",
        "Stats (7.0+)",
        "total_eviction_exceeded_time",
        "Milliseconds during which memory was above maxmemory."
    ),
    row!(
        Gauge,
        "redis_current_eviction_exceeded_time_ms",
        "Stats (7.0+)",
        "current_eviction_exceeded_time",
        "Milliseconds since memory last rose above maxmemory; 0 while it is below."
    ),
    row!(
        Counter,
        "redis_keyspace_hits_total",
        "Stats",
        "keyspace_hits",
        "Look-ups of keys that existed."
    ),
    row!(
        Counter,
        "redis_keyspace_misses_total",
        "Stats",
        "keyspace_misses",
        "Look-ups of keys that did not exist, such as sessions that have ended."
    ),
    row!(
        Gauge,
        "redis_pubsub_channels",
        "Stats",
        "pubsub_channels",
        "Channels that have at least one subscriber."
    ),
    row!(
        Gauge,
        "redis_pubsub_patterns",
        "Stats",
        "pubsub_patterns",
        "Patterns that have at least one subscriber."
    ),
    row!(
        Gauge,
        "redis_pubsubshard_channels",
        "Stats (7.0.3+)",
        "pubsubshard_channels",
        "Shard channels that have at least one subscriber."
    ),
    row!(
        Gauge,
        "redis_latest_fork_seconds",
        "Stats",
        "latest_fork_usec",
        "How long the last fork for a snapshot or rewrite stopped every client.",
        Microseconds
    ),
    row!(
        Gauge,
        "redis_migrate_cached_sockets_total",
        "Stats",
        "migrate_cached_sockets",
        "Sockets now open for MIGRATE; a gauge despite its name, which compatibility keeps."
    ),
    row!(
        Gauge,
        "redis_slave_expires_tracked_keys",
        "Stats",
        "slave_expires_tracked_keys",
        "Keys with a time to live that were written on this replica itself and are tracked for expiry."
    ),
    row!(
        Gauge,
        "redis_defrag_hits",
        "Stats",
        "active_defrag_hits",
        "Values that active defragmentation moved; only grows."
    ),
    row!(
        Gauge,
        "redis_defrag_misses",
        "Stats",
        "active_defrag_misses",
        "Values that active defragmentation left in place; only grows."
    ),
    row!(
        Gauge,
        "redis_defrag_key_hits",
        "Stats",
        "active_defrag_key_hits",
        "Keys that active defragmentation worked on; only grows."
    ),
    row!(
        Gauge,
        "redis_defrag_key_misses",
        "Stats",
        "active_defrag_key_misses",
        "Keys that active defragmentation skipped; only grows."
    ),
    row!(
        Gauge,
        "redis_tracking_total_keys",
        "Stats",
        "tracking_total_keys",
        "Keys remembered for client-side caching."
    ),
    row!(
        Gauge,
        "redis_tracking_total_items",
        "Stats",
        "tracking_total_items",
        "Pairs of key and client remembered for client-side caching."
    ),
    row!(
        Gauge,
        "redis_tracking_total_prefixes",
        "Stats",
        "tracking_total_prefixes",
        "Prefixes remembered for client-side caching in broadcast mode."
    ),
    row!(
        Counter,
        "redis_unexpected_error_replies",
        "Stats",
        "unexpected_error_replies",
        "Errors met while the append-only file was loaded or replication was applied; anything above 0 is data that differs."
    ),
    row!(
        Counter,
        "redis_total_error_replies",
        "Stats (6.2+)",
        "total_error_replies",
        "Error replies sent to clients, of rejected and of failed commands."
    ),
    row!(
        Counter,
        "redis_dump_payload_sanitizations",
        "Stats (6.2+)",
        "dump_payload_sanitizations",
        "Deep integrity checks of payloads given to RESTORE."
    ),
    row!(
        Counter,
        "redis_total_reads_processed",
        "Stats",
        "total_reads_processed",
        "Reads from client sockets."
    ),
    row!(
        Counter,
        "redis_total_writes_processed",
        "Stats",
        "total_writes_processed",
        "Writes to client sockets."
    ),
    row!(
        Counter,
        "redis_io_threaded_reads_processed",
        "Stats",
        "io_threaded_reads_processed",
        "Reads from client sockets done by I/O threads."
    ),
    row!(
        Counter,
        "redis_io_threaded_writes_processed",
        "Stats",
        "io_threaded_writes_processed",
        "Writes to client sockets done by I/O threads."
    ),
    row!(
        Counter,
        "redis_client_query_buffer_limit_disconnections_total",
        "Stats (Redis 7.4+, Valkey 8.0+)",
        "client_query_buffer_limit_disconnections",
        "Clients disconnected because one request passed client-query-buffer-limit."
    ),
    row!(
        Counter,
        "redis_client_output_buffer_limit_disconnections_total",
        "Stats (Redis 7.4+, Valkey 8.0+)",
        "client_output_buffer_limit_disconnections",
        "Clients disconnected because they read too slowly for client-output-buffer-limit; subscribers lose events then."
    ),
    row!(
        Counter,
        "redis_reply_buffer_shrinks_total",
        "Stats (7.0+)",
        "reply_buffer_shrinks",
        "Times a client's reply buffer was made smaller."
    ),
    row!(
        Counter,
        "redis_reply_buffer_expands_total",
        "Stats (7.0+)",
        "reply_buffer_expands",
        "Times a client's reply buffer was made larger."
    ),
    row!(
        Counter,
        "redis_eventloop_cycles_total",
        "Stats (7.2+)",
        "eventloop_cycles",
        "Turns of the event loop."
    ),
    row!(
        Counter,
        "redis_eventloop_duration_sum_usec_total",
        "Stats (7.2+)",
        "eventloop_duration_sum",
        "Microseconds spent in the event loop; its rate over one million is how busy the main thread is (1: saturated)."
    ),
    row!(
        Counter,
        "redis_eventloop_duration_cmd_sum_usec_total",
        "Stats (7.2+)",
        "eventloop_duration_cmd_sum",
        "Microseconds of the event loop spent on executing commands."
    ),
    row!(
        Gauge,
        "redis_instantaneous_eventloop_cycles_per_sec",
        "Stats (7.2+)",
        "instantaneous_eventloop_cycles_per_sec",
        "Turns of the event loop per second, as the server averages over its last samples."
    ),
    row!(
        Gauge,
        "redis_instantaneous_eventloop_duration_usec",
        "Stats (7.2+)",
        "instantaneous_eventloop_duration_usec",
        "Microseconds of one turn of the event loop, as the server averages over its last samples."
    ),
    row!(
        Counter,
        "redis_acl_access_denied_auth_total",
        "Stats (7.2+)",
        "acl_access_denied_auth",
        "Log-ins to the server itself that failed (AUTH and HELLO): a wrong password somewhere, or somebody trying."
    ),
    row!(
        Counter,
        "redis_acl_access_denied_cmd_total",
        "Stats (7.2+)",
        "acl_access_denied_cmd",
        "Commands refused because the user may not run them."
    ),
    row!(
        Counter,
        "redis_acl_access_denied_key_total",
        "Stats (7.2+)",
        "acl_access_denied_key",
        "Commands refused because the user may not touch the key."
    ),
    row!(
        Counter,
        "redis_acl_access_denied_channel_total",
        "Stats (7.2+)",
        "acl_access_denied_channel",
        "Commands refused because the user may not use the channel."
    ),
    row!(
        Counter,
        "redis_acl_access_denied_tls_cert_total",
        "Stats (Redis 8.6+, Valkey 9.0+)",
        "acl_access_denied_tls_cert",
        "TLS client certificates that did not map to a user."
    ),
    row!(
        Counter,
        "redis_acl_access_denied_db_total",
        "Stats (Valkey 9.1+)",
        "acl_access_denied_db",
        "Commands refused because the user may not use the database."
    ),
    row!(
        Gauge,
        "redis_cluster_incompatible_ops",
        "Stats (Redis 8.0+)",
        "cluster_incompatible_ops",
        "Commands that would not work in cluster mode, as sampled by cluster-compatibility-sample-ratio; only grows."
    ),
    row!(
        Gauge,
        "redis_hash_templates",
        "Stats (Redis 8.10+)",
        "hash_templates",
        "Distinct field layouts that the server shares between hashes."
    ),
    row!(
        Gauge,
        "redis_hash_template_keys",
        "Stats (Redis 8.10+)",
        "hash_template_keys",
        "Hashes that use a shared field layout."
    ),
    row!(
        Counter,
        "redis_storage_provider_read_hits",
        "Stats (KeyDB)",
        "storage_provider_read_hits",
        "Reads of KeyDB's FLASH storage that found their key."
    ),
    row!(
        Counter,
        "redis_storage_provider_read_misses",
        "Stats (KeyDB)",
        "storage_provider_read_misses",
        "Reads of KeyDB's FLASH storage that did not find their key."
    ),
    row!(
        Counter,
        "redis_cached_keys_total",
        "Stats (KeyDB)",
        "cached_keys",
        "Keys that KeyDB holds in memory in front of its FLASH storage."
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::collect;

    #[test]
    fn a_field_of_every_scale() {
        let samples = collect(
            &SPEC,
            "# Stats\r\nevicted_keys:3\r\nlatest_fork_usec:2589\r\nrejected_connections:-1\r\n",
        );
        assert_eq!(samples.number("redis_evicted_keys_total"), Some(3.0));
        assert_eq!(samples.number("redis_latest_fork_seconds"), Some(0.002589));
        assert_eq!(samples.number("redis_rejected_connections_total"), None);
    }
}
