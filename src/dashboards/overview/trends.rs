//! How it came to this: the same answers over time, the distribution behind them, and the alerts.

use crate::dashboards::expression::percentile;
use crate::dashboards::marks::{
    BLOCKED_CLIENTS, CREATIONS_FLOOR, CRITICAL, ERRORS_CRITICAL, ERRORS_ELEVATED, HIGH, HITS_CRITICAL, HITS_LOW,
    LATENCY_CRITICAL, LATENCY_DEGRADED, LATENCY_HIGH,
};
use crate::dashboards::panel::{Panel, graph, heatmap, table};
use crate::dashboards::shared::{
    INSTANCE, STORE, alert_history, alerts_now, blind as blind_features, error_colors, failed_share, interval_band,
};
use serde_json::json;

/// Errors and operations.
pub(super) fn operations() -> Vec<Panel> {
    let of_operation = |matcher: &str| {
        format!("sum by (operation) (increase(session_operations_total{{@instance{matcher}}}[$__range]))")
    };
    let (succeeded, failed, all) = (
        of_operation(r#",status="success""#),
        of_operation(r#",status="error""#),
        of_operation(""),
    );
    vec![
        graph("Error ratio, last 24 hours", 9, 8)
            .about(
                "Share of session operations that failed, by instance (session_operations_total; dashed: of the probe). The lines are where the alerts wait: 1 % and 5 %. Debug shows which operation and which error.",
            )
            .query(failed_share("environment, instance", "session_operations_total"), INSTANCE)
            .query(
                failed_share("environment, instance", "session_probe_operations_total"),
                "{{environment}} {{instance}} probe",
            )
            .unit("percentunit")
            .min(0.0)
            .reach(ERRORS_ELEVATED)
            .lines(&[(ERRORS_ELEVATED, "yellow"), (ERRORS_CRITICAL, "red")])
            .fields(" probe$", &[("custom.lineStyle", json!({"fill": "dash", "dash": [4, 4]}))])
            .last("24h")
            .empty("no operations counted")
            .runbooks(&["SessionOperationErrorRate", "SessionOperationErrorRateElevated"])
            .see("Debug", "redis-session-debug"),
        table("Session operations, last hour", 9, 8)
            .about(
                "Operations of the last hour that succeeded and failed, by kind (session_operations_total). Without keyspace notifications creations are among the updates. Needs `operations`.",
            )
            .query(succeeded, "")
            .query(failed.clone(), "")
            .query(format!("({failed} or 0 * {all}) / ({all} > 0)"), "")
            .unit("locale")
            .decimals(0)
            .empty("-")
            .columns(&[
                ("operation", "Operation"),
                ("Value #A", "Succeeded"),
                ("Value #B", "Failed"),
                ("Value #C", "Share"),
            ])
            .field(
                "Share",
                &[
                    ("unit", json!("percentunit")),
                    ("decimals", json!(2)),
                    ("thresholds", error_colors()),
                    ("custom.cellOptions", json!({"type": "color-text"})),
                ],
            )
            .last("1h")
            .runbooks(&["SessionOperationErrorRate"]),
        graph("Operations per second", 6, 8)
            .about(
                "Session operations of all clients by outcome (session_operations_total); of the probe where they are not counted. A sudden fall while Redis is UP means that the application does not reach it.",
            )
            .query("sum by (status) (rate(session_operations_total{@instance}[$__rate_interval]))", "{{status}}")
            .query(
                "sum by (status) (rate(session_probe_operations_total{@instance}[$__rate_interval]))",
                "probe {{status}}",
            )
            .unit("ops")
            .min(0.0)
            .color("error", "red")
            .color("success", "green")
            .color("probe error", "dark-orange")
            .color("probe success", "blue")
            .empty("no operations counted"),
    ]
}

/// Latency.
pub(super) fn latency() -> Vec<Panel> {
    let operations = "session_operation_duration_seconds_bucket{@instance}";
    vec![
        heatmap("Latency distribution of session operations", 12, 9)
            .about(
                "How many operations took how long, in the server's own measure: without queue and network (session_operation_duration_seconds). A second band above the first is a second kind of work: large sessions, a slow command, a fork. Whatever takes longer than half a second stands in the topmost bucket.",
            )
            .query(
                "sum by (le) (increase(session_operation_duration_seconds_bucket{@instance}[$__rate_interval]))",
                "{{le}}",
            )
            .unit("short")
            .empty("no operations counted")
            .runbooks(&["HighSessionLatency"]),
        graph("Latency percentiles", 12, 9)
            .about(
                "Half, 95 and 99 of 100 operations are faster. Server: its own measure, without queue and network (session_operation_duration_seconds); probe and PING: as a client sees it (session_probe_duration_seconds, redis_ping_duration_seconds). Where a client waits and the server does not, look at network, CPU and blocking commands. Lines at 10 ms, 500 ms and 2 s.",
            )
            .query(percentile("0.50", "", operations), "server p50")
            .query(percentile("0.95", "", operations), "server p95")
            .query(percentile("0.99", "", operations), "server p99")
            .query(percentile("0.99", "", "session_probe_duration_seconds_bucket{@instance}"), "probe p99")
            .query(percentile("0.99", "", "redis_ping_duration_seconds_bucket{@instance}"), "PING p99")
            .unit("s")
            .logarithmic()
            .lines(&[(LATENCY_DEGRADED, "yellow"), (LATENCY_HIGH, "orange"), (LATENCY_CRITICAL, "red")])
            .empty("no operations counted")
            .runbooks(&["HighSessionLatency", "SessionLatencyCritical", "HighLatency"]),
    ]
}

/// Sessions.
pub(super) fn sessions() -> Vec<Panel> {
    vec![
        interval_band(
        graph("Active sessions", 8, 8)
            .about(
                "Sessions that live now, by store (sessions_active). Dashed: the 95 % interval where they are estimated (sessions_active_low, _high). A sudden fall is a mass logout: a flush, a restart without data, a failover to an empty primary.",
            )
            .query("sum by (environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{@store}))", STORE)
            .query("sum by (environment, instance, store) (min by (job, environment, instance, store, app) (sessions_active_low{@store}))", "{{environment}} {{instance}} {{store}} low")
            .query("sum by (environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active_high{@store}))", "{{environment}} {{instance}} {{store}} high")
            .unit("short"),
        )
        .empty("not counted")
            .runbooks(&["SessionsMassLogout", "SessionsActiveSpike"]),
        graph("Sessions created per minute", 8, 8)
            .about(
                "New sessions by where they come from (sessions_created_total). The line at 100 per minute is where the spike alert begins to look; double the usual rate beyond it is a campaign, a login loop or an attack. Needs keyspace notifications.",
            )
            .query("60 * sum by (source) (rate(sessions_created_total{@store}[$__rate_interval]))", "{{source}}")
            .unit("cpm")
            .min(0.0)
            .stacked()
            .lines(&[(CREATIONS_FLOOR, "orange")])
            .empty("no events: keyspace notifications are off")
            .runbooks(&["SessionCreationRateSpike"]),
        graph("Sessions ended per minute", 8, 8)
            .about(
                "Sessions that ended: deleted (logouts), expired, or evicted since memory was short (sessions_ended_total). Evicted ones are users thrown out. Needs keyspace notifications.",
            )
            .query("60 * sum by (reason) (rate(sessions_ended_total{@store}[$__rate_interval]))", "{{reason}}")
            .unit("cpm")
            .min(0.0)
            .stacked()
            .color("evicted", "red")
            .empty("no events: keyspace notifications are off")
            .runbooks(&["SessionsEvicted", "SessionsMassLogout"]),
    ]
}

/// Saturation.
pub(super) fn saturation() -> Vec<Panel> {
    vec![
        graph("Memory", 9, 8)
            .about(
                "Used memory by instance, with dashed lines at 80 % and 90 % of its maxmemory (redis_memory_used_bytes, redis_memory_max_bytes). An instance without a limit has no lines.",
            )
            .query("max by (environment, instance) (redis_memory_used_bytes{@instance})", INSTANCE)
            .query(format!("{HIGH} * (max by (environment, instance) (redis_memory_max_bytes{{@instance}}) > 0)"), "{{environment}} {{instance}} 80 %")
            .query(format!("{CRITICAL} * (max by (environment, instance) (redis_memory_max_bytes{{@instance}}) > 0)"), "{{environment}} {{instance}} 90 %")
            .unit("bytes")
            .min(0.0)
            .dashed(" 80 %$", "yellow")
            .quiet(" (80|90) %$")
            .dashed(" 90 %$", "red")
            .runbooks(&["RedisMemoryCritical", "RedisMemoryHigh", "RedisMemoryUnlimited"]),
        graph("Look-ups that found their session", 7, 8)
            .about(
                "Share of look-ups that found what they asked for: as the application counts (session_cache_hits_total of session_cache_requests_total) and as the server counts, over ten minutes, all keys, without the exporter (job_environment_instance:redis_keyspace_hits:ratio_rate10m). Below 90 % sessions end too early or keys changed; below 70 % the database behind carries the load.",
            )
            .query(
                "sum by (environment, instance) (rate(session_cache_hits_total{@instance}[$__rate_interval]))\n/ (sum by (environment, instance) (rate(session_cache_requests_total{@instance}[$__rate_interval])) > 0)",
                "{{environment}} {{instance}} application",
            )
            .query(
                "max by (environment, instance) (job_environment_instance:redis_keyspace_hits:ratio_rate10m{@instance})",
                "{{environment}} {{instance}} server",
            )
            .unit("percentunit")
            .min(0.0)
            .max(1.0)
            .lines(&[(HITS_CRITICAL, "red"), (HITS_LOW, "yellow")])
            .empty("no look-ups")
            .runbooks(&["LowCacheHitRate", "SessionCacheHitRateCritical", "RedisLowHitRate"]),
        graph("Clients", 8, 8)
            .about(
                "Connected and blocked clients (redis_connected_clients, redis_blocked_clients) and those turned away per minute since maxclients was reached (redis_rejected_connections_total): users that could not log in.",
            )
            .query("max by (environment, instance) (redis_connected_clients{@instance})", INSTANCE)
            .query("max by (environment, instance) (redis_blocked_clients{@instance})", "{{environment}} {{instance}} blocked")
            .query(
                "60 * sum by (environment, instance) (rate(redis_rejected_connections_total{@instance}[$__rate_interval]))",
                "{{environment}} {{instance}} rejected per minute",
            )
            .unit("short")
            .min(0.0)
            .fields(" rejected per minute$", &[("color", json!({"mode": "fixed", "fixedColor": "red"}))])
            .reach(BLOCKED_CLIENTS)
            .runbooks(&["RedisClientsHigh", "RedisRejectedConnections", "RedisBlockedClients"]),
    ]
}

/// Alerts.
pub(super) fn alerts() -> Vec<Panel> {
    vec![
        alerts_now(13, 10),
        alert_history("Alerts, last 24 hours", 11, 10).last("24h"),
    ]
}

/// What cannot be watched here.
pub(super) fn blind() -> Vec<Panel> {
    vec![blind_features(24, 8)]
}
