//! How the figures about sessions come about, and what that costs.

use crate::dashboards::panel::{Panel, graph, timeline};
use crate::dashboards::shared::{INSTANCE, STORE, yes_no};

const BY_DATABASE: &str = "{{environment}} {{instance}} db{{db}}";

pub(super) fn panels() -> Vec<Panel> {
    vec![
        timeline("Keyspace notifications are heard", 8, 8)
            .about(
                "Whether the exporter hears when sessions begin and end (session_events_connected). While not, creations and endings are unknown and counts move with scans alone. Absent where events are off.",
            )
            .query("min by (environment, instance) (session_events_connected{@instance})", INSTANCE)
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("heard", "NOT HEARD"))
            .empty("events are off")
            .runbooks(&["SessionEventsDisconnected"]),
        graph("Events per second", 8, 8)
            .about(
                "Keyspace notifications that came in, of any key in the databases of the stores (session_events_received_total). Silence on a busy store: notify-keyspace-events was changed.",
            )
            .query("sum by (event) (rate(session_events_received_total{@instance}[$__rate_interval]))", "{{event}}")
            .unit("cps")
            .min(0.0)
            .empty("events are off"),
        graph("Events lost, gaps", 8, 8)
            .about(
                "Notifications known to be lost (session_events_lost_total) and times at which some were missed, by reason (session_events_gaps_total), in the last hour. Until the next scan sessions_active is uncertain.",
            )
            .query("sum(increase(session_events_lost_total{@instance}[1h]))", "lost")
            .query("sum by (reason) (increase(session_events_gaps_total{@instance}[1h]))", "gap: {{reason}}")
            .unit("short")
            .min(0.0)
            .decimals(0)
            .empty("events are off")
            .runbooks(&["SessionEventsLost"]),
        graph("What scans corrected", 8, 8)
            .about(
                "What the last scan added to the number of sessions to correct what events had made of it (sessions_active_drift). Near 0 is right; a drift that stays on one side means keys that change without events.",
            )
            .query("max by (environment, instance, store) (sessions_active_drift{@store})", STORE)
            .unit("short")
            .empty("events are off"),
        graph("Coverage of the last pass", 8, 8)
            .about(
                "Keys examined as a share of the keys in the database (session_scan_coverage_ratio): 1 where sessions are counted, less where they are estimated from a sample.",
            )
            .query("min by (environment, instance, db) (session_scan_coverage_ratio{@instance})", BY_DATABASE)
            .unit("percentunit")
            .min(0.0)
            .reach(1.0)
            .empty("nothing is scanned")
            .runbooks(&["SessionsNotCounted"]),
        graph("Duration and age of scans", 8, 8)
            .about(
                "How long the last pass took, pauses included, and how long ago the last one ended well (session_scan_duration_seconds, session_scan_last_success_timestamp_seconds). Figures about sessions are at most as old as both together.",
            )
            .query("max by (environment, instance, db) (session_scan_duration_seconds{@instance})", "{{environment}} {{instance}} db{{db}} duration")
            .query(
                "time() - max by (environment, instance, db) (session_scan_last_success_timestamp_seconds{@instance} > 0)",
                "{{environment}} {{instance}} db{{db}} age",
            )
            .unit("s")
            .min(0.0)
            .empty("nothing is scanned")
            .runbooks(&["SessionScanStale"]),
        graph("What scans cost the server", 12, 8)
            .about(
                "Share of the server's time that scans take (session_scan_redis_seconds_total); `scan.redis_share` limits it, 2 % unless it is set.",
            )
            .query("sum by (environment, instance, db) (rate(session_scan_redis_seconds_total{@instance}[$__rate_interval]))", BY_DATABASE)
            .unit("percentunit")
            .min(0.0)
            .empty("nothing is scanned"),
        graph("Keys scanned per second", 12, 8)
            .about(
                "Keys that scans examine (session_scan_keys_total). Bursts with pauses between are normal: a pass, then rest until the next interval.",
            )
            .query("sum by (environment, instance, db) (rate(session_scan_keys_total{@instance}[$__rate_interval]))", BY_DATABASE)
            .unit("cps")
            .min(0.0)
            .empty("nothing is scanned"),
    ]
}
