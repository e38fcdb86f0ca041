//! What is seen without scrolling: one tile per answer.

use crate::dashboards::expression::percentile;
use crate::dashboards::marks::{
    CERTIFICATE_DAYS, CRITICAL, DAY, ERRORS_CRITICAL, ERRORS_ELEVATED, HALF_FULL, HIGH, LATENCY_DEGRADED, LATENCY_HIGH,
    WEEK,
};
use crate::dashboards::panel::{Panel, gauge, stat, thresholds};
use crate::dashboards::shared::{REFUSED, failed_share, firing, yes_no};
use serde_json::json;

/// Where a tile about an instance leads.
const DEBUG_OF_INSTANCE: &str = "/d/redis-session-debug?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${environment:queryparam}&${store:queryparam}&var-instance=${__field.labels.instance}";
/// Seconds of a forecast beyond which a straight line says nothing.
const HORIZON: &str = "2592000";

/// Can users log in?
pub(super) fn logins() -> Vec<Panel> {
    vec![
        stat("Redis answers", 6, 4)
            .about(
                "The instances that are worst off, at most six, with the reason: UP when the last PING was answered with PONG (redis_connection_status, redis_connection_state). DOWN means that nobody can log in there. NO DATA means that the exporter is not scraped: then every other panel is blind too. Click on one to see it in Debug.",
            )
            .instant(
                "bottomk(6,\n  max by (job, environment, instance, state) (redis_connection_state{@instance} == 1)\n  * on (job, environment, instance) group_left ()\n  min by (job, environment, instance) (redis_connection_status{@instance})\n)",
                "{{environment}} {{instance}}: {{state}}",
            )
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("UP", "DOWN"))
            .empty("NO DATA")
            .option("textMode", json!("value_and_name"))
            // One below the other, in letters that can be read: side by side the names get tiny.
            .option("orientation", json!("horizontal"))
            .option("text", json!({"titleSize": 11, "valueSize": 12}))
            .data_link("Debug this instance", DEBUG_OF_INSTANCE)
            .runbooks(&["RedisConnectionLost", "SessionExporterDown"]),
        stat("New clients", 3, 4)
            .about(
                "Whether a client that connects now gets as far as PONG, at the instance that is worst off (redis_connect_success). FAIL beside UP means that clients already connected work while new ones cannot log in: a full maxclients, a certificate, a password.",
            )
            .instant("min(redis_connect_success{@instance})", "new connections")
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("OK", "FAIL"))
            .empty("not tried")
            .runbooks(&["RedisConnectFailing"]),
        stat("Test session", 3, 4)
            .about(
                "Whether a synthetic session could be written, read, renewed and deleted, at the instance that is worst off (session_probe_success): the nearest thing to a user who logs in. Needs `session_probe: { enabled: true }`.",
            )
            .instant("min(session_probe_success{@instance})", "probe")
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("OK", "FAIL"))
            .empty("probe is off")
            .runbooks(&["SessionProbeFailing"]),
        stat("Writes refused", 3, 4)
            .about(
                "Commands that the server refused in the last five minutes although it answers PING: OOM (memory is full), MISCONF (it cannot save), READONLY (it is a replica now), NOREPLICAS (too few replicas) (redis_errors_total). Any number above 0 means users who could not log in; Debug shows which error.",
            )
            .instant(format!("sum(increase({REFUSED}[5m]))"), "refused")
            .unit("short")
            .decimals(0)
            .steps("green", &[(0.5, "red")])
            .empty("unknown")
            .runbooks(&["SessionWritesRefused"]),
        stat("Error ratio", 3, 4)
            .about(
                "Share of session operations that failed or were refused, of all clients (session_operations_total; where operations are not counted, those of the probe). From 1 % on look at Debug for the operation and the error.",
            )
            .query(
                format!(
                    "{}\nor\n{}",
                    failed_share("", "session_operations_total"),
                    failed_share("", "session_probe_operations_total")
                ),
                "failed",
            )
            .unit("percentunit")
            .decimals(2)
            .steps("green", &[(ERRORS_ELEVATED, "yellow"), (ERRORS_CRITICAL, "red")])
            .empty("no traffic")
            .runbooks(&["SessionOperationErrorRate", "SessionServiceDegraded"]),
        stat("p99 latency", 3, 4)
            .about(
                "99 of 100 operations are faster, network and queue included: those of the probe, else PING (session_probe_duration_seconds, redis_ping_duration_seconds). Above 10 ms users begin to feel it, above 500 ms logins are slow.",
            )
            .query(
                format!(
                    "{}\nor\n{}",
                    percentile("0.99", "", "session_probe_duration_seconds_bucket{@instance}"),
                    percentile("0.99", "", "redis_ping_duration_seconds_bucket{@instance}")
                ),
                "p99",
            )
            .unit("s")
            .steps("green", &[(LATENCY_DEGRADED, "yellow"), (LATENCY_HIGH, "red")])
            .empty("no data")
            .runbooks(&["HighSessionLatency", "HighLatency"]),
        stat("Firing alerts", 3, 4)
            .about(
                "Alerts of the shipped rules that are firing now: those that page somebody (P0, P1) and the others (ALERTS). The list stands below under Alerts. 0 is only good news while the rules are loaded: Watchdog fires always.",
            )
            .instant(firing("P0|P1"), "pages")
            .instant(firing("P2|P3"), "others")
            .unit("none")
            .steps("green", &[(1.0, "red")])
            .field("others", &[("thresholds", thresholds("green", &[(1.0, "yellow")]))])
            .option("textMode", json!("value_and_name")),
    ]
}

/// How far is the store from losing logins?
pub(super) fn distance() -> Vec<Panel> {
    vec![
        gauge("Memory used", 3, 5)
            .about(
                "Used memory as a share of maxmemory, of the fullest instance (redis_memory_used_ratio). At 100 % the server evicts sessions or refuses logins, as its policy says. Without a limit the machine's memory is the limit, and the whole server dies there.",
            )
            .instant("max(redis_memory_used_ratio{@instance})", "memory")
            .unit("percentunit")
            .decimals(0)
            .min(0.0)
            .max(1.0)
            .steps("green", &[(HALF_FULL, "yellow"), (HIGH, "orange"), (CRITICAL, "red")])
            .empty("no limit")
            .runbooks(&["RedisMemoryCritical", "RedisMemoryHigh"]),
        gauge("Capacity used", 3, 5)
            .about(
                "Active sessions as a share of the configured capacity, of the fullest store (sessions_active, sessions_max_capacity). Above 80 % plan for more memory, or find out who creates them.",
            )
            .instant(
                "max(\n  sum by (job, environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{@store}))\n  / (max by (job, environment, instance, store) (sessions_max_capacity{@store}) > 0)\n)",
                "sessions",
            )
            .unit("percentunit")
            .decimals(0)
            .min(0.0)
            .max(1.0)
            .steps("green", &[(HALF_FULL, "yellow"), (HIGH, "red")])
            .empty("no capacity set")
            .runbooks(&["SessionsNearCapacity", "SessionsHighWatermark"]),
        gauge("Clients used", 3, 5)
            .about(
                "Connected clients as a share of maxclients, of the fullest instance (redis_connected_clients, redis_max_clients). At 100 % new clients are turned away.",
            )
            .instant(
                "max(\n  max by (job, environment, instance) (redis_connected_clients{@instance})\n  / (max by (job, environment, instance) (redis_max_clients{@instance} or redis_config_maxclients{@instance}) > 0)\n)",
                "clients",
            )
            .unit("percentunit")
            .decimals(0)
            .min(0.0)
            .max(1.0)
            .steps("green", &[(HALF_FULL, "yellow"), (HIGH, "red")])
            .empty("unknown")
            .runbooks(&["RedisClientsHigh", "RedisRejectedConnections"]),
        stat("Sessions", 3, 5)
            .about("Sessions that live now, over all selected stores (sessions_active), with their course.")
            .query("sum(sum by (job, environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{@store})))", "sessions")
            .unit("short")
            .steps("blue", &[])
            .empty("not counted")
            .option("graphMode", json!("area"))
            .option("colorMode", json!("value"))
            .runbooks(&["SessionsNotCounted", "SessionsMassLogout"]),
        stat("Memory full in", 3, 5)
            .about(
                "When the first instance reaches maxmemory if memory goes on growing as in the last six hours (redis_memory_used_bytes, redis_memory_max_bytes). A straight line: it does not know about nights and week-ends.",
            )
            .instant(
                format!(
                    "min(\n  (max by (job, environment, instance) (redis_memory_max_bytes{{@instance}} > 0) - max by (job, environment, instance) (redis_memory_used_bytes{{@instance}}))\n  / (max by (job, environment, instance) (deriv(redis_memory_used_bytes{{@instance}}[6h])) > 0)\n) < {HORIZON}"
                ),
                "full",
            )
            .unit("s")
            .decimals(1)
            .steps("red", &[(DAY, "orange"), (WEEK, "green")])
            .empty("not in 30 days")
            .runbooks(&["RedisMemoryForecast"]),
        stat("Store full in", 3, 5)
            .about(
                "When the first store reaches its capacity if sessions go on growing as in the last six hours (sessions_active, sessions_max_capacity). A straight line: it does not know about nights and week-ends.",
            )
            .instant(
                format!(
                    "min(\n  (max by (job, environment, instance, store) (sessions_max_capacity{{@store}} > 0) - sum by (job, environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{{@store}})))\n  / (sum by (job, environment, instance, store) (max by (job, environment, instance, store, app) (deriv(sessions_active{{@store}}[6h]))) > 0)\n) < {HORIZON}"
                ),
                "full",
            )
            .unit("s")
            .decimals(1)
            .steps("red", &[(DAY, "orange"), (WEEK, "green")])
            .empty("not in 30 days")
            .runbooks(&["SessionsCapacityForecast"]),
        stat("Evicted, 1 h", 3, 5)
            .about(
                "Keys that the server threw out in the last hour since its memory was full (redis_evicted_keys_total). On a session store each may be a user logged out.",
            )
            .instant("sum(increase(redis_evicted_keys_total{@instance}[1h]))", "evicted")
            .unit("short")
            .decimals(0)
            .steps("green", &[(0.5, "red")])
            .empty("unknown")
            .runbooks(&["SessionsEvicted", "RedisEvictingKeys"]),
        stat("Certificate", 3, 5)
            .about(
                "Days until the first certificate that a server shows ends (redis_tls_certificate_not_after_timestamp_seconds). After that day no client that verifies it gets in.",
            )
            .instant(
                "(min(redis_tls_certificate_not_after_timestamp_seconds{@instance}) - time()) / 86400",
                "certificate",
            )
            .unit("d")
            .decimals(0)
            .steps(
                "red",
                &[
                    (CERTIFICATE_DAYS[0], "orange"),
                    (CERTIFICATE_DAYS[1], "yellow"),
                    (CERTIFICATE_DAYS[2], "green"),
                ],
            )
            .empty("no TLS")
            .runbooks(&["RedisTLSCertificateExpiring"]),
    ]
}
