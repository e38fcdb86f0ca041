//! The server that holds the sessions: memory, keys, clients, load.

use crate::dashboards::expression::share;
use crate::dashboards::marks::{BLOCKED_CLIENTS, FRAGMENTATION, HIGH, REDIS_HITS_LOW};
use crate::dashboards::panel::{Panel, graph};
use crate::dashboards::shared::{INSTANCE, of_instance, per_minute, rate_of};
use serde_json::json;

/// Memory and keys.
pub(super) fn memory() -> Vec<Panel> {
    vec![
        graph("Memory", 8, 8)
            .about(
                "Used by the server, held from the operating system (rss), and allowed (redis_memory_used_bytes, redis_memory_used_rss_bytes, redis_memory_max_bytes). The machine kills by rss, the server evicts or refuses by used.",
            )
            .query(of_instance("redis_memory_used_bytes"), "{{environment}} {{instance}} used")
            .query(of_instance("redis_memory_used_rss_bytes"), "{{environment}} {{instance}} rss")
            .query(format!("{} > 0", of_instance("redis_memory_max_bytes")), "{{environment}} {{instance}} maxmemory")
            .unit("bytes")
            .min(0.0)
            .dashed(" maxmemory$", "red")
            .runbooks(&["RedisMemoryCritical", "RedisMemoryHigh", "RedisMemoryUnlimited"]),
        graph("Memory in 24 hours", 8, 8)
            .about(
                "Share of maxmemory that is used, and will be used in 24 hours if it goes on as in the last six (redis_memory_used_bytes, redis_memory_max_bytes). A straight line, which knows nothing about nights. The line is at 80 %.",
            )
            .query(share(&of_instance("redis_memory_used_bytes"), &of_instance("redis_memory_max_bytes")), "{{environment}} {{instance}} now")
            .query(
                share(
                    "max by (environment, instance) (clamp_min(predict_linear(redis_memory_used_bytes{@instance}[6h], 86400), 0))",
                    &of_instance("redis_memory_max_bytes"),
                ),
                "{{environment}} {{instance}} in 24 h",
            )
            .unit("percentunit")
            .min(0.0)
            .max(1.5)
            .lines(&[(HIGH, "orange")])
            .fields(" in 24 h$", &[("custom.lineStyle", json!({"fill": "dash", "dash": [10, 10]})), ("custom.fillOpacity", json!(0))])
            .empty("no limit")
            .runbooks(&["RedisMemoryForecast"]),
        graph("What memory is used for", 8, 8)
            .about(
                "Data, buffers of clients and of replicas, the append-only file's buffer and what else the server needs, over the selected instances (redis_memory_used_dataset_bytes, redis_mem_clients_normal, redis_mem_clients_slaves, redis_mem_replication_backlog_bytes, redis_mem_aof_buffer_bytes). Buffers that grow: somebody reads too slowly.",
            )
            .query("sum(redis_memory_used_dataset_bytes{@instance})", "data")
            .query("sum(redis_mem_clients_normal{@instance})", "clients")
            .query("sum(redis_mem_clients_slaves{@instance})", "replicas")
            .query("sum(redis_mem_replication_backlog_bytes{@instance})", "replication backlog")
            .query("sum(redis_mem_aof_buffer_bytes{@instance})", "append-only file")
            .unit("bytes")
            .min(0.0)
            .stacked()
            .runbooks(&["RedisMemoryHigh"]),
        graph("Fragmentation", 8, 8)
            .about(
                "Memory held over memory used, and the allocator's own part of it (redis_mem_fragmentation_ratio, redis_allocator_frag_ratio). Below 1 the machine swaps, which makes everything slow. High values of a nearly empty server mean nothing. The line is at 1.5.",
            )
            .query(of_instance("redis_mem_fragmentation_ratio"), INSTANCE)
            .query(of_instance("redis_allocator_frag_ratio"), "{{environment}} {{instance}} allocator")
            .unit("none")
            .decimals(2)
            .reach(FRAGMENTATION)
            .lines(&[(FRAGMENTATION, "orange")])
            .runbooks(&["RedisFragmentationHigh"]),
        graph("Expired and evicted keys per minute", 8, 8)
            .about(
                "Keys that ended, and keys that were thrown out since memory was full (redis_expired_keys_total, redis_evicted_keys_total). Every evicted key may be a user logged out.",
            )
            .query(per_minute("redis_expired_keys_total"), "{{environment}} {{instance}} expired")
            .query(per_minute("redis_evicted_keys_total"), "{{environment}} {{instance}} evicted")
            .unit("cpm")
            .min(0.0)
            .fields(" evicted$", &[("color", json!({"mode": "fixed", "fixedColor": "red"}))])
            .runbooks(&["RedisEvictingKeys", "SessionsEvicted"]),
        graph("Keys", 8, 8)
            .about(
                "Keys by database, and those of them that never end (redis_db_keys, redis_db_keys_expiring). On a session store the second should be few; if it grows, something else moves in.",
            )
            .query("topk(10, sum by (environment, instance, db) (redis_db_keys{@instance}))", "{{environment}} {{instance}} db{{db}}")
            .query(
                "topk(10, sum by (environment, instance, db) (redis_db_keys{@instance}) - sum by (environment, instance, db) (redis_db_keys_expiring{@instance}))",
                "{{environment}} {{instance}} db{{db}} no end",
            )
            .unit("short")
            .min(0.0)
            .fields(" no end$", &[("custom.lineStyle", json!({"fill": "dash", "dash": [4, 4]})), ("custom.fillOpacity", json!(0))])
            .runbooks(&["RedisKeyGrowth", "SessionsWithoutTTL"]),
    ]
}

/// Clients and load.
pub(super) fn load() -> Vec<Panel> {
    vec![
        graph("Clients", 8, 8)
            .about(
                "Connected and blocked clients, and the most that the server accepts (redis_connected_clients, redis_blocked_clients, redis_max_clients). A step up that stays: a leak in a pool. More than ten blocked clients: look at who waits (CLIENT LIST).",
            )
            .query(of_instance("redis_connected_clients"), INSTANCE)
            .query(of_instance("redis_blocked_clients"), "{{environment}} {{instance}} blocked")
            .query(
                "max by (environment, instance) (redis_max_clients{@instance} or redis_config_maxclients{@instance})",
                "{{environment}} {{instance}} maxclients",
            )
            .unit("short")
            .min(0.0)
            .reach(BLOCKED_CLIENTS)
            .fields(
                " maxclients$",
                &[
                    ("custom.axisPlacement", json!("right")),
                    ("custom.lineStyle", json!({"fill": "dash", "dash": [10, 10]})),
                    ("custom.fillOpacity", json!(0)),
                    ("color", json!({"mode": "fixed", "fixedColor": "red"})),
                ],
            )
            .runbooks(&["RedisClientsHigh", "RedisBlockedClients"]),
        graph("New and rejected connections per minute", 8, 8)
            .about(
                "Connections that the server accepted, and those that it turned away since maxclients was reached (redis_connections_received_total, redis_rejected_connections_total). Many new ones: clients that reconnect instead of pooling. Each rejected one is a user that could not log in.",
            )
            .query(per_minute("redis_connections_received_total"), INSTANCE)
            .query(per_minute("redis_rejected_connections_total"), "{{environment}} {{instance}} rejected")
            .unit("cpm")
            .min(0.0)
            .fields(" rejected$", &[("color", json!({"mode": "fixed", "fixedColor": "red"}))])
            .runbooks(&["RedisRejectedConnections"]),
        graph("Largest client buffers", 8, 8)
            .about(
                "Largest input and output buffer of a client in the last seconds (redis_client_recent_max_input_buffer_bytes, redis_client_recent_max_output_buffer_bytes). A large output buffer: somebody reads slowly or asks for too much, as MONITOR and KEYS do.",
            )
            .query(of_instance("redis_client_recent_max_input_buffer_bytes"), "{{environment}} {{instance}} in")
            .query(of_instance("redis_client_recent_max_output_buffer_bytes"), "{{environment}} {{instance}} out")
            .unit("bytes")
            .min(0.0),
        graph("Commands per second", 8, 8)
            .about(
                "Commands that the server executed, those of the exporter included (redis_commands_processed_total). A fall while Redis answers: the application does not reach it. By command: see below.",
            )
            .query(rate_of("redis_commands_processed_total"), INSTANCE)
            .unit("ops")
            .min(0.0),
        graph("CPU", 8, 8)
            .about(
                "How busy the server is: CPU time of all its threads, and of the main thread, which runs every command (redis_cpu_user_seconds_total, redis_cpu_sys_seconds_total; ..._main_thread_...). The main thread at 100 % is all that one server can do: everything queues.",
            )
            .query(
                "max by (environment, instance) (rate(redis_cpu_user_seconds_total{@instance}[$__rate_interval]) + rate(redis_cpu_sys_seconds_total{@instance}[$__rate_interval]))",
                INSTANCE,
            )
            .query(
                "max by (environment, instance) (rate(redis_cpu_user_main_thread_seconds_total{@instance}[$__rate_interval]) + rate(redis_cpu_sys_main_thread_seconds_total{@instance}[$__rate_interval]))",
                "{{environment}} {{instance}} main thread",
            )
            .unit("percentunit")
            .min(0.0)
            .lines(&[(HIGH, "orange")])
            .runbooks(&["HighSessionLatency"]),
        graph("Network", 8, 8)
            .about(
                "Bytes per second that the server read (in) and wrote (out) (redis_net_input_bytes_total, redis_net_output_bytes_total). Much more out than usual with the same commands: sessions have become large.",
            )
            .query(rate_of("redis_net_input_bytes_total"), "{{environment}} {{instance}} in")
            .query(rate_of("redis_net_output_bytes_total"), "{{environment}} {{instance}} out")
            .unit("Bps")
            .min(0.0),
        graph("Look-ups per second", 12, 8)
            .about(
                "Look-ups of keys that were there (hits) and were not (misses), over the selected instances (redis_keyspace_hits_total, redis_keyspace_misses_total). Dashed: how much the exporter's own scans add (session_scan_keyspace_lookups_total).",
            )
            .query("sum(rate(redis_keyspace_hits_total{@instance}[$__rate_interval]))", "hits")
            .query("sum(rate(redis_keyspace_misses_total{@instance}[$__rate_interval]))", "misses")
            .query("sum(rate(session_scan_keyspace_lookups_total{@instance}[$__rate_interval]))", "of the exporter")
            .unit("ops")
            .min(0.0)
            .color("hits", "green")
            .color("misses", "orange")
            .dashed("of the exporter", "blue")
            .runbooks(&["RedisLowHitRate"]),
        graph("Share of look-ups that hit, 10 minutes", 12, 8)
            .about(
                "Share of the look-ups of clients that found their key, over ten minutes, by instance, without those of the exporter (job_environment_instance:redis_keyspace_hits:ratio_rate10m). The line is at 80 %: below, sessions end earlier than clients think, were evicted, or have other names since a release.",
            )
            .query(
                "max by (environment, instance) (job_environment_instance:redis_keyspace_hits:ratio_rate10m{@instance})",
                INSTANCE,
            )
            .unit("percentunit")
            .min(0.0)
            .max(1.0)
            .lines(&[(REDIS_HITS_LOW, "orange")])
            .empty("no look-ups")
            .runbooks(&["RedisLowHitRate", "LowCacheHitRate"]),
    ]
}
