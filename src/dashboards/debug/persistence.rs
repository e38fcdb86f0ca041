//! Whether sessions survive: files, replicas, the cluster.

use crate::dashboards::marks::DAY;
use crate::dashboards::panel::{Panel, graph, table, timeline};
use crate::dashboards::shared::{INSTANCE, of_instance, texts, yes_no};
use serde_json::json;

/// Smallest of a gauge of instances, by instance.
fn worst(metric: &str) -> String {
    format!("min by (environment, instance) ({metric}{{@instance}})")
}

/// Persistence.
pub(super) fn persistence() -> Vec<Panel> {
    vec![
        timeline("Last snapshot, last write, loading", 12, 8)
            .about(
                "Whether the last snapshot, the last write to the append-only file and its last rewrite worked (redis_rdb_last_bgsave_status, redis_aof_last_write_status, redis_aof_last_bgrewrite_status). A failure makes the server refuse writes: MISCONF. While it loads (redis_loading_dump_file) nobody can log in.",
            )
            .query(worst("redis_rdb_last_bgsave_status"), "{{environment}} {{instance}} snapshot")
            .query(worst("redis_aof_last_write_status"), "{{environment}} {{instance}} AOF write")
            .query(worst("redis_aof_last_bgrewrite_status"), "{{environment}} {{instance}} AOF rewrite")
            .query(format!("1 - {}", of_instance("redis_loading_dump_file")), "{{environment}} {{instance}} loading")
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("OK", "FAILED"))
            .fields(" loading$", &[("mappings", texts(&[("0", "LOADING", "red"), ("1", "loaded", "green")]))])
            .runbooks(&["RedisPersistenceFailing"]),
        timeline("Set up as expected", 12, 8)
            .about(
                "Whether the server is set up as `expect` of the configuration says: policy of eviction, persistence (redis_expectation_met). A policy that evicts throws users out before it refuses logins.",
            )
            .query(
                "min by (environment, instance, expectation) (redis_expectation_met{@instance})",
                "{{environment}} {{instance}} {{expectation}}",
            )
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("as expected", "NOT AS EXPECTED"))
            .empty("nothing is expected")
            .runbooks(&["RedisExpectationNotMet"]),
        graph("Age of the last snapshot", 8, 8)
            .about(
                "Time since the last snapshot ended well (redis_rdb_last_save_timestamp_seconds); since the start of the server before the first. The line is at one day. On a store that is a cache on purpose it means nothing.",
            )
            .query("time() - max by (environment, instance) (redis_rdb_last_save_timestamp_seconds{@instance})", INSTANCE)
            .unit("s")
            .min(0.0)
            .lines(&[(DAY, "orange")])
            .runbooks(&["RedisBackupMissing"]),
        graph("Writes since the last snapshot", 8, 8)
            .about(
                "Changes that a crash would lose now where only snapshots are on (redis_rdb_changes_since_last_save). It falls to 0 with every snapshot; a line that only rises is one that fails or is off.",
            )
            .query(of_instance("redis_rdb_changes_since_last_save"), INSTANCE)
            .unit("short")
            .min(0.0)
            .runbooks(&["RedisPersistenceFailing", "RedisBackupMissing"]),
        graph("Time that forks and flushes cost", 8, 8)
            .about(
                "How long the last fork stopped every client (redis_latest_fork_seconds), and writes per minute that waited for a slow flush (redis_aof_delayed_fsync). Seconds of fork: too much memory for this machine, or transparent huge pages.",
            )
            .query(of_instance("redis_latest_fork_seconds"), "{{environment}} {{instance}} fork")
            .query(
                "60 * clamp_min(max by (environment, instance) (deriv(redis_aof_delayed_fsync{@instance}[$__rate_interval])), 0)",
                "{{environment}} {{instance}} delayed flushes per minute",
            )
            .unit("s")
            .min(0.0)
            .fields(
                " delayed flushes per minute$",
                &[("unit", json!("cpm")), ("custom.axisPlacement", json!("right")), ("color", json!({"mode": "fixed", "fixedColor": "red"}))],
            )
            .runbooks(&["HighSessionLatency"]),
    ]
}

/// Replication and cluster.
pub(super) fn replication() -> Vec<Panel> {
    let replica = "{{environment}} {{instance}} of {{master_host}}:{{master_port}}";
    vec![
        table("Servers", 12, 8)
            .about(
                "What answers behind each instance: role, version, mode, policy of eviction (redis_instance_info) and how long it has run (redis_uptime_in_seconds). A replica where a primary should be refuses every write.",
            )
            .query(
                "max by (environment, instance, role, redis_mode, redis_version, valkey_version, maxmemory_policy) (redis_instance_info{@instance})\n* on (environment, instance) group_left ()\nmax by (environment, instance) (redis_uptime_in_seconds{@instance})",
                "",
            )
            .unit("s")
            .columns(&[
                ("environment", "Environment"),
                ("instance", "Instance"),
                ("role", "Role"),
                ("redis_mode", "Mode"),
                ("redis_version", "Version"),
                ("valkey_version", "Valkey"),
                ("maxmemory_policy", "Policy"),
                ("Value", "Runs for"),
            ])
            .runbooks(&["RedisExpectationNotMet"]),
        timeline("Link of replicas to their primary", 12, 8)
            .about(
                "Whether a replica's link to its primary is up (redis_master_link_up). While it is down the replica serves old sessions, and a failover to it loses what came since.",
            )
            .query("min by (environment, instance, master_host, master_port) (redis_master_link_up{@instance})", replica)
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("up", "DOWN"))
            .empty("no replicas are watched")
            .runbooks(&["RedisReplicaLinkDown"]),
        graph("Replicas", 8, 8)
            .about(
                "Replicas connected to each primary (redis_connected_slaves). Fewer than yesterday: one is down or synchronises anew; with min-replicas-to-write set, logins are refused (NOREPLICAS).",
            )
            .query(of_instance("redis_connected_slaves"), INSTANCE)
            .unit("short")
            .min(0.0)
            .decimals(0)
            .runbooks(&["RedisReplicasMissing"]),
        graph("Lag of replicas", 8, 8)
            .about(
                "Seconds since a replica last confirmed its position to its primary, and seconds since a replica last heard from it (redis_connected_slave_lag_seconds, redis_master_last_io_seconds_ago). A failover now loses at least that.",
            )
            .query(
                "topk(10, max by (environment, instance, slave_ip, slave_port) (redis_connected_slave_lag_seconds{@instance}))",
                "{{environment}} {{instance}}: {{slave_ip}}:{{slave_port}}",
            )
            .query("max by (environment, instance, master_host, master_port) (redis_master_last_io_seconds_ago{@instance} >= 0)", replica)
            .unit("s")
            .min(0.0)
            .empty("no replicas")
            .runbooks(&["RedisReplicationLag"]),
        graph("Bytes that replicas are behind", 8, 8)
            .about(
                "Part of the replication stream that a replica has not confirmed (redis_master_repl_offset less redis_connected_slave_offset_bytes). More than the backlog (redis_replication_backlog_bytes, dashed): a lost link costs a full copy.",
            )
            .query(
                "topk(10,\n  max by (environment, instance) (redis_master_repl_offset{@instance})\n  - on (environment, instance) group_right ()\n  max by (environment, instance, slave_ip, slave_port) (redis_connected_slave_offset_bytes{@instance})\n)",
                "{{environment}} {{instance}}: {{slave_ip}}:{{slave_port}}",
            )
            .query(
                "max by (environment, instance) (redis_replication_backlog_bytes{@instance})\nand on (environment, instance)\nmax by (environment, instance) (redis_connected_slaves{@instance} > 0)",
                "{{environment}} {{instance}} backlog",
            )
            .unit("bytes")
            .min(0.0)
            .dashed(" backlog$", "orange")
            .empty("no replicas")
            .runbooks(&["RedisReplicationLag"]),
        graph("Resynchronisations per hour", 8, 8)
            .about(
                "Full copies that a primary gave, and partial ones that it had to deny since its backlog was too short (redis_replica_resyncs_full, redis_replica_partial_resync_denied). Each full copy costs a fork and the whole data set.",
            )
            .query("clamp_min(max by (environment, instance) (delta(redis_replica_resyncs_full{@instance}[1h])), 0)", "{{environment}} {{instance}} full")
            .query(
                "clamp_min(max by (environment, instance) (delta(redis_replica_partial_resync_denied{@instance}[1h])), 0)",
                "{{environment}} {{instance}} denied",
            )
            .unit("short")
            .min(0.0)
            .runbooks(&["RedisReplicaLinkDown", "RedisReplicationLag"]),
        timeline("Cluster", 8, 8)
            .about(
                "Whether the cluster serves every slot, as each node sees it (redis_cluster_state). While it fails, sessions in the missing slots, or all of them, are out of reach.",
            )
            .query(worst("redis_cluster_state"), INSTANCE)
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("OK", "FAILS"))
            .empty("no cluster")
            .runbooks(&["RedisClusterNotOk"]),
        graph("Slots that are not well", 8, 8)
            .about(
                "Slots that failed (the majority says so), may have failed (this node thinks so), or belong to nobody (redis_cluster_slots_fail, redis_cluster_slots_pfail, redis_cluster_slots_assigned of 16384).",
            )
            .query(of_instance("redis_cluster_slots_fail"), "{{environment}} {{instance}} failed")
            .query(of_instance("redis_cluster_slots_pfail"), "{{environment}} {{instance}} may have failed")
            .query(format!("16384 - {}", worst("redis_cluster_slots_assigned")), "{{environment}} {{instance}} unassigned")
            .unit("short")
            .min(0.0)
            .empty("no cluster")
            .runbooks(&["RedisClusterNotOk"]),
    ]
}
