//! All instances at a glance: which one needs somebody, and from there to its Overview.

use super::Dashboard;
use super::expression::percentile;
use super::marks::{CRITICAL, ERRORS_CRITICAL, ERRORS_ELEVATED, HALF_FULL, HIGH, LATENCY_DEGRADED, LATENCY_HIGH};
use super::panel::{Panel, Section, bars, graph, open, stat, table, thresholds, timeline};
use super::shared::{INSTANCE, STORE, alerts_now, failed_share, firing, of_instance, yes_no};
use crate::alerts;
use serde_json::json;

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: alerts::Dashboard::Fleet.uid(),
    title: "Redis sessions / Fleet",
    about: "All session stores on one page; the name of an instance leads to its Overview.",
    from: "now-3h",
    refresh: "30s",
    sections,
};

/// To the Overview of the instance of a row.
const OVERVIEW_OF_ROW: &str = "/d/redis-session-overview?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&var-environment=${__data.fields.environment}&var-instance=${__data.fields.instance}";
/// To the Overview of the instance of a series.
const OVERVIEW_OF_SERIES: &str = "/d/redis-session-overview?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&var-environment=${__field.labels.environment}&var-instance=${__field.labels.instance}";

fn sections() -> Vec<Section> {
    vec![
        open("Now", now()),
        open("Instances", instances()),
        open("Over time", over_time()),
        open("Closest to their limits", limits()),
    ]
}

fn now() -> Vec<Panel> {
    let states = "min by (job, environment, instance) (redis_connection_status{@instance})";
    vec![
        stat("Instances up", 4, 4)
            .about(
                "Instances whose last PING was answered with PONG (redis_connection_status). Read it with the exporters that are scraped: without them nothing is known.",
            )
            .instant(format!("sum({states})"), "up")
            .unit("none")
            .steps("green", &[])
            .empty("NO DATA")
            .runbooks(&["RedisConnectionLost"]),
        stat("Instances down", 4, 4)
            .about(
                "Instances whose last PING was not answered with PONG (redis_connection_status): nobody can log in there. 0 also when every exporter is down.",
            )
            .instant(format!("count({states} == 0) or vector(0)"), "down")
            .unit("none")
            .steps("green", &[(1.0, "red")])
            .runbooks(&["RedisConnectionLost"]),
        stat("Exporters scraped", 4, 4)
            .about(
                "Share of the exporters that Prometheus reaches (up). Below 100 % some instances are not watched at all.",
            )
            .instant("avg(up{@job})", "scraped")
            .unit("percentunit")
            .decimals(0)
            .steps("red", &[(1.0, "green")])
            .empty("NO DATA")
            .runbooks(&["SessionExporterDown", "SessionExporterAbsent", "SessionStoreVanished"]),
        stat("Active sessions", 4, 4)
            .about("Sessions that live now, over all stores of the selected instances (sessions_active).")
            .query("sum(sum by (job, environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{@store})))", "sessions")
            .unit("short")
            .steps("blue", &[])
            .option("graphMode", json!("area"))
            .option("colorMode", json!("value"))
            .empty("not counted")
            .runbooks(&["SessionsMassLogout"]),
        stat("Firing alerts", 8, 4)
            .about(
                "Alerts of the shipped rules that are firing, by how urgent they are: P0 wakes somebody now, P1 within 15 minutes, P2 is for today, P3 a ticket (ALERTS).",
            )
            .instant(firing("P0"), "P0")
            .instant(firing("P1"), "P1")
            .instant(firing("P2"), "P2")
            .instant(firing("P3"), "P3")
            .unit("none")
            .steps("green", &[(1.0, "red")])
            .field("P1", &[("thresholds", thresholds("green", &[(1.0, "orange")]))])
            .field("P2", &[("thresholds", thresholds("green", &[(1.0, "yellow")]))])
            .field("P3", &[("thresholds", thresholds("green", &[(1.0, "blue")]))])
            .option("textMode", json!("value_and_name")),
    ]
}

fn instances() -> Vec<Panel> {
    let colored = |steps: serde_json::Value| ("thresholds", steps);
    let cell = ("custom.cellOptions", json!({"type": "color-text"}));
    let ratio = ("unit", json!("percentunit"));
    vec![
        table("Instances", 24, 9)
            .about(
                "One line per instance with its newest values; those that are down first. A click on the name opens its Overview. Memory is that of maxmemory, sessions those of all its stores, p99 that of the probe or else of PING, failed the share of session operations or else of the probe's (redis_connection_status, sessions_active, redis_memory_used_ratio, session_operations_total, redis_ping_duration_seconds, redis_commands_processed_total).",
            )
            .query("min by (environment, instance) (redis_connection_status{@instance})", "")
            .query("sum by (environment, instance) (sum by (job, environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{@store})))", "")
            .query(of_instance("redis_memory_used_ratio"), "")
            .query(
                format!(
                    "{}\nor\n{}",
                    failed_share("environment, instance", "session_operations_total"),
                    failed_share("environment, instance", "session_probe_operations_total")
                ),
                "",
            )
            .query(
                format!(
                    "{}\nor\n{}",
                    percentile("0.99", "environment, instance", "session_probe_duration_seconds_bucket{@instance}"),
                    percentile("0.99", "environment, instance", "redis_ping_duration_seconds_bucket{@instance}")
                ),
                "",
            )
            .query("sum by (environment, instance) (rate(redis_commands_processed_total{@instance}[$__rate_interval]))", "")
            .query(of_instance("redis_connected_clients"), "")
            .query(of_instance("redis_uptime_in_seconds"), "")
            .unit("short")
            .empty("-")
            .columns(&[
                ("environment", "Environment"),
                ("instance", "Instance"),
                ("Value #A", "Redis"),
                ("Value #B", "Sessions"),
                ("Value #C", "Memory"),
                ("Value #D", "Failed"),
                ("Value #E", "p99"),
                ("Value #F", "Commands/s"),
                ("Value #G", "Clients"),
                ("Value #H", "Runs for"),
            ])
            .option("sortBy", json!([{"displayName": "Redis", "desc": false}]))
            .field(
                "Instance",
                &[("links", json!([{"title": "Overview of this instance", "url": OVERVIEW_OF_ROW}]))],
            )
            .field(
                "Redis",
                &[("mappings", yes_no("UP", "DOWN")), ("custom.cellOptions", json!({"type": "color-background"}))],
            )
            .field(
                "Memory",
                &[ratio.clone(), cell.clone(), ("decimals", json!(0)), colored(thresholds("green", &[(HALF_FULL, "yellow"), (HIGH, "orange"), (CRITICAL, "red")]))],
            )
            .field(
                "Failed",
                &[ratio, cell.clone(), ("decimals", json!(2)), colored(thresholds("green", &[(ERRORS_ELEVATED, "yellow"), (ERRORS_CRITICAL, "red")]))],
            )
            .field(
                "p99",
                &[("unit", json!("s")), cell, colored(thresholds("green", &[(LATENCY_DEGRADED, "yellow"), (LATENCY_HIGH, "red")]))],
            )
            .field("Commands/s", &[("unit", json!("ops"))])
            .field("Runs for", &[("unit", json!("s"))]),
        timeline("Connections", 12, 8)
            .about(
                "Which instance answered when, those that are worst off in the time that is shown (redis_connection_status). Several down at once: the network or the exporter, not Redis. A click opens the instance's Overview.",
            )
            .query(of_worst_connections(), INSTANCE)
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("UP", "DOWN"))
            .empty("NO DATA")
            .data_link("Overview of this instance", OVERVIEW_OF_SERIES)
            .runbooks(&["RedisConnectionLost", "RedisConnectionFlapping"]),
        alerts_now(12, 8),
    ]
}

/// Rows of a state timeline that can be read.
fn of_worst_connections() -> String {
    "min by (environment, instance) (redis_connection_status{@instance})\nand on (environment, instance)\nbottomk(20, min by (environment, instance) (avg_over_time(redis_connection_status{@instance}[$__range] @ end())))".to_owned()
}

fn over_time() -> Vec<Panel> {
    vec![
        graph("Failed operations, ten worst", 8, 8)
            .about(
                "Share of session operations that failed, of the ten instances with most (session_operations_total). All rise together: something that they share.",
            )
            .query(
                format!("topk(10, {})", failed_share("environment, instance", "session_operations_total")),
                INSTANCE,
            )
            .unit("percentunit")
            .min(0.0)
            .reach(ERRORS_ELEVATED)
            .lines(&[(ERRORS_ELEVATED, "yellow"), (ERRORS_CRITICAL, "red")])
            .empty("operations are not counted here")
            .data_link("Overview of this instance", OVERVIEW_OF_SERIES)
            .runbooks(&["SessionOperationErrorRate"]),
        graph("p99 of PING, ten slowest", 8, 8)
            .about(
                "99 of 100 pings are faster, of the ten slowest instances (redis_ping_duration_seconds). Lines at 10 ms and 500 ms.",
            )
            .query(
                format!(
                    "topk(10, {})",
                    percentile("0.99", "environment, instance", "redis_ping_duration_seconds_bucket{@instance}")
                ),
                INSTANCE,
            )
            .unit("s")
            .logarithmic()
            .lines(&[(LATENCY_DEGRADED, "yellow"), (LATENCY_HIGH, "red")])
            .data_link("Overview of this instance", OVERVIEW_OF_SERIES)
            .runbooks(&["HighLatency"]),
        graph("Active sessions, ten largest stores", 8, 8)
            .about(
                "Sessions of the ten largest stores (sessions_active). One that falls while the others stay has lost its users.",
            )
            .query("topk(10, sum by (environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{@store})))", STORE)
            .unit("short")
            .min(0.0)
            .empty("not counted")
            .data_link("Overview of this instance", OVERVIEW_OF_SERIES)
            .runbooks(&["SessionsMassLogout"]),
    ]
}

fn limits() -> Vec<Panel> {
    let fullness = |panel: Panel| {
        panel
            .unit("percentunit")
            .decimals(0)
            .min(0.0)
            .max(1.0)
            .steps("green", &[(HALF_FULL, "yellow"), (HIGH, "orange"), (CRITICAL, "red")])
            .data_link("Overview of this instance", OVERVIEW_OF_SERIES)
    };
    vec![
        fullness(
            bars("Memory, ten fullest", 8, 8)
                .about("Used memory as a share of maxmemory, of the ten fullest instances (redis_memory_used_ratio). Those without a limit are not among them.")
                .query(format!("sort_desc(topk(10, {}))", of_instance("redis_memory_used_ratio")), INSTANCE),
        )
        .empty("no limits")
        .runbooks(&["RedisMemoryCritical", "RedisMemoryHigh"]),
        fullness(
            bars("Sessions of capacity, ten fullest", 8, 8)
                .about("Active sessions as a share of the configured capacity, of the ten fullest stores (sessions_active, sessions_max_capacity).")
                .query(
                    "sort_desc(topk(10,\n  sum by (environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{@store}))\n  / (max by (environment, instance, store) (sessions_max_capacity{@store}) > 0)\n))",
                    STORE,
                ),
        )
        .empty("no capacity is configured")
        .runbooks(&["SessionsNearCapacity", "SessionsHighWatermark"]),
        fullness(
            bars("Clients of maxclients, ten fullest", 8, 8)
                .about("Connected clients as a share of maxclients, of the ten fullest instances (redis_connected_clients, redis_max_clients).")
                .query(
                    "sort_desc(topk(10,\n  max by (environment, instance) (redis_connected_clients{@instance})\n  / (max by (environment, instance) (redis_max_clients{@instance} or redis_config_maxclients{@instance}) > 0)\n))",
                    INSTANCE,
                ),
        )
        .empty("unknown")
        .runbooks(&["RedisClientsHigh"]),
    ]
}
