//! From the outside: does the server answer, why not, and which part of a log-in takes long?

use crate::dashboards::expression::{percentile, share};
use crate::dashboards::marks::{LATENCY_DEGRADED, LATENCY_HIGH};
use crate::dashboards::panel::{Panel, fixed, graph, timeline};
use crate::dashboards::shared::{INSTANCE, alert_history, texts};
use serde_json::json;

pub(super) fn panels() -> Vec<Panel> {
    vec![
        timeline("State of the connection", 12, 7)
            .about(
                "Which state held when, by instance: ok, or the reason why the last exchange failed (redis_connection_state). refused: nothing listens there; unreachable and timeout: the network, or a server that hangs; auth and denied: user and password; loading and masterdown: it answers and serves no sessions; max_clients: it is full.",
            )
            .query(
                "max by (environment, instance, state) (redis_connection_state{@instance} == 1)",
                "{{environment}} {{instance}}: {{state}}",
            )
            .unit("none")
            .steps("red", &[])
            .mappings(texts(&[("1", " ", "red")]))
            .fields(": ok$", &[("mappings", texts(&[("1", " ", "green")]))])
            .empty("NO DATA: the exporter is not scraped")
            .runbooks(&["RedisConnectionLost", "RedisConnectionFlapping"]),
        alert_history("Recent alerts", 12, 7),
        graph("Failed exchanges per minute, by reason", 8, 7)
            .about(
                "Exchanges and connects of the exporter that failed (redis_connection_errors_total). What the exporter cannot do, users cannot do either; the reason says where to look first.",
            )
            .query(
                "60 * sum by (reason) (rate(redis_connection_errors_total{@instance}[$__rate_interval]))",
                "{{reason}}",
            )
            .unit("cpm")
            .min(0.0)
            .empty("no errors")
            .runbooks(&["RedisConnectionLost"]),
        graph("Share of pings and connects that failed", 8, 7)
            .about(
                "Attempts that failed, of all attempts, by instance (redis_ping_failures_total of redis_pings_total, redis_connect_failures_total of redis_connects_total): what the objective of availability is made of. Connects that fail while pings work: new clients cannot log in.",
            )
            .query(
                share(
                    "sum by (environment, instance) (rate(redis_ping_failures_total{@instance}[$__rate_interval]))",
                    "sum by (environment, instance) (rate(redis_pings_total{@instance}[$__rate_interval]))",
                ),
                "{{environment}} {{instance}} PING",
            )
            .query(
                share(
                    "sum by (environment, instance) (rate(redis_connect_failures_total{@instance}[$__rate_interval]))",
                    "sum by (environment, instance) (rate(redis_connects_total{@instance}[$__rate_interval]))",
                ),
                "{{environment}} {{instance}} connect",
            )
            .unit("percentunit")
            .min(0.0)
            .max(1.0)
            .runbooks(&["RedisConnectFailing", "RedisConnectionFlapping"]),
        graph("Phases of a fresh connection", 8, 7)
            .about(
                "How long a new client waits for name resolution, TCP, TLS, log-in and PING, at the slowest instance (redis_connect_phase_duration_seconds). A phase that is missing was not reached or is not used. tls or auth far above tcp: the server's main thread is busy.",
            )
            .query(
                "max by (phase) (redis_connect_phase_duration_seconds{@instance})",
                "{{phase}}",
            )
            .unit("s")
            .min(0.0)
            .stacked()
            .runbooks(&["RedisConnectFailing"]),
        graph("PING, p95", 8, 7)
            .about(
                "Round trip of PING by instance: 95 of 100 are faster (redis_ping_duration_seconds). It has the network and the server's queue in it and nothing else. The line at 10 ms is that of the alert.",
            )
            .query(
                percentile("0.95", "environment, instance", "redis_ping_duration_seconds_bucket{@instance}"),
                INSTANCE,
            )
            .unit("s")
            .logarithmic()
            .lines(&[(LATENCY_DEGRADED, "yellow"), (LATENCY_HIGH, "red")])
            .runbooks(&["HighLatency"]),
        graph("Synthetic session, p99 by operation", 8, 7)
            .about(
                "How long writing (create), reading (get), renewing (update) and deleting a synthetic session take, network included: 99 of 100 are faster (session_probe_duration_seconds). Only writes slow: persistence or replicas; all slow: CPU or network.",
            )
            .query(
                percentile("0.99", "operation", "session_probe_duration_seconds_bucket{@instance}"),
                "{{operation}}",
            )
            .unit("s")
            .logarithmic()
            .lines(&[(LATENCY_DEGRADED, "yellow"), (LATENCY_HIGH, "red")])
            .empty("the probe is off")
            .runbooks(&["SessionProbeFailing", "SessionLatencyCritical"]),
        graph("Synthetic session, operations per minute", 8, 7)
            .about(
                "Operations on synthetic sessions by outcome (session_probe_operations_total). Failed creates with a PING that works: writes are refused, see the errors below.",
            )
            .query(
                "60 * sum by (operation) (rate(session_probe_operations_total{@instance,status=\"error\"}[$__rate_interval]))",
                "{{operation}} failed",
            )
            .query(
                "60 * sum(rate(session_probe_operations_total{@instance,status=\"success\"}[$__rate_interval]))",
                "succeeded",
            )
            .unit("opm")
            .min(0.0)
            .field("succeeded", &[("color", fixed("green")), ("custom.fillOpacity", json!(0))])
            .empty("the probe is off")
            .runbooks(&["SessionProbeFailing", "SessionWritesRefused"]),
    ]
}
