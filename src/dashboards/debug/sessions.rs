//! The sessions themselves: how many, how long they live, how large they are.

use crate::dashboards::expression::share;
use crate::dashboards::marks::{CREATIONS_FLOOR, CRITICAL, HIGH, TTL_TOO_LONG, WITHOUT_TTL};
use crate::dashboards::panel::{Panel, graph, heatmap};
use crate::dashboards::shared::{STORE, interval_band};
use serde_json::json;

/// A metric of stores, by store.
fn of_store(metric: &str) -> String {
    format!("max by (environment, instance, store) ({metric}{{@store}})")
}

/// Sessions by store. A store with `app_label` is the sum of its applications.
fn active(metric: &str) -> String {
    format!(
        "sum by (environment, instance, store) (max by (job, environment, instance, store, app) ({metric}{{@store}}))"
    )
}

pub(super) fn panels() -> Vec<Panel> {
    vec![
        interval_band(
            graph("Active sessions", 8, 8)
                .about(
                    "Sessions that live now, by store, with their 95 % interval (sessions_active, sessions_active_low, sessions_active_high). A fall to a half is a mass logout; a gap means that they could not be counted.",
                )
                .query(active("sessions_active"), STORE)
                .query(active("sessions_active_low"), "{{environment}} {{instance}} {{store}} low")
                .query(active("sessions_active_high"), "{{environment}} {{instance}} {{store}} high")
                .unit("short"),
        )
        .empty("not counted")
        .runbooks(&["SessionsMassLogout", "SessionsActiveSpike", "SessionsNotCounted", "SessionStoreVanished"]),
        graph("Created and ended per minute", 8, 8)
            .about(
                "New sessions, and those that were deleted, expired or evicted (sessions_created_total, sessions_ended_total). Many created and soon expired: a client that cannot keep its session, or a bot. Needs keyspace notifications.",
            )
            .query("60 * sum by (source) (rate(sessions_created_total{@store}[$__rate_interval]))", "created: {{source}}")
            .query("60 * sum by (reason) (rate(sessions_ended_total{@store}[$__rate_interval]))", "ended: {{reason}}")
            .unit("cpm")
            .min(0.0)
            .lines(&[(CREATIONS_FLOOR, "orange")])
            .color("ended: evicted", "red")
            .empty("no events: keyspace notifications are off")
            .runbooks(&["SessionCreationRateSpike", "SessionsEvicted"]),
        graph("Capacity used", 8, 8)
            .about(
                "Active sessions as a share of the configured capacity, by store (sessions_active, sessions_max_capacity). Lines at 80 % and 90 %.",
            )
            .query(share(&active("sessions_active"), &of_store("sessions_max_capacity")), STORE)
            .unit("percentunit")
            .min(0.0)
            .lines(&[(HIGH, "yellow"), (CRITICAL, "red")])
            .empty("no capacity is configured")
            .runbooks(&["SessionsHighWatermark", "SessionsNearCapacity", "SessionsCapacityForecast"]),
        heatmap("Time to live at creation", 8, 8)
            .about(
                "How long new sessions may live, as a distribution over time (session_ttl_seconds). A band that moves is a changed setting; the topmost bucket holds those that never end. Needs keyspace notifications.",
            )
            .query("sum by (le) (increase(session_ttl_seconds_bucket{@store}[$__rate_interval]))", "{{le}}")
            .unit("short")
            .empty("no events: keyspace notifications are off")
            .runbooks(&["SessionTTLTooLong"]),
        heatmap("Time that living sessions have left", 8, 8)
            .about(
                "The living sessions by the time until they end, at the last scan (sessions_ttl_remaining_seconds). A heap near the lower edge ends soon: users will have to log in again together. The topmost bucket holds those that never end.",
            )
            .query("sum by (le) (sessions_ttl_remaining_seconds_bucket{@store})", "{{le}}")
            .unit("short")
            .empty("the user may not run PTTL")
            .runbooks(&["SessionsWithoutTTL", "SessionTTLTooLong"]),
        graph("Sessions without an end, or too long", 8, 8)
            .about(
                "Share of the sessions without any time to live, and of those with more left than expected (sessions_without_ttl, sessions_ttl_exceeding, of sessions_active). The first never go away by themselves: memory grows until it is full. Lines at 1 % (too long) and 5 % (no TTL).",
            )
            .query(share(&of_store("sessions_without_ttl"), &active("sessions_active")), "{{environment}} {{instance}} {{store}} no TTL")
            .query(share(&of_store("sessions_ttl_exceeding"), &active("sessions_active")), "{{environment}} {{instance}} {{store}} too long")
            .unit("percentunit")
            .min(0.0)
            .reach(WITHOUT_TTL)
            .lines(&[(TTL_TOO_LONG, "yellow"), (WITHOUT_TTL, "orange")])
            .empty("the user may not run PTTL")
            .runbooks(&["SessionsWithoutTTL", "SessionTTLTooLong"]),
        interval_band(
            graph("Memory of sessions", 8, 8)
                .about(
                    "Memory that the sessions of a store take, with the 95 % interval (sessions_memory_bytes, _low, _high). Far below the used memory: something else fills the server.",
                )
                .query(of_store("sessions_memory_bytes"), STORE)
                .query(of_store("sessions_memory_bytes_low"), "{{environment}} {{instance}} {{store}} low")
                .query(of_store("sessions_memory_bytes_high"), "{{environment}} {{instance}} {{store}} high")
                .unit("bytes"),
        )
        .empty("the user may not run MEMORY USAGE")
        .runbooks(&["RedisMemoryHigh"]),
        heatmap("Size of a session", 8, 8)
            .about(
                "The living sessions by the memory that each takes, at the last scan (session_size_bytes). A second, larger band: something is put into sessions that does not belong there.",
            )
            .query("sum by (le) (session_size_bytes_bucket{@store})", "{{le}}")
            .unit("short")
            .option("yAxis", json!({"axisPlacement": "left", "reverse": false, "unit": "bytes"}))
            .empty("the user may not run MEMORY USAGE"),
        graph("Sessions in the clear", 8, 8)
            .about(
                "Share of the sessions whose value does not begin as an encrypted one should (sessions_unencrypted of sessions_active). Anything above 0 can be read by whoever reads the store or a snapshot.",
            )
            .query(share(&of_store("sessions_unencrypted"), &active("sessions_active")), STORE)
            .unit("percentunit")
            .min(0.0)
            .reach(TTL_TOO_LONG)
            .empty("no `encryption` is configured")
            .runbooks(&["SessionsUnencrypted"]),
    ]
}
