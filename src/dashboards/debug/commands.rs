//! The server by command: what keeps its main thread busy, and what was slow.

use crate::dashboards::expression::share;
use crate::dashboards::marks::SLOW_COMMANDS;
use crate::dashboards::panel::{Panel, graph};
use crate::dashboards::shared::{INSTANCE, of_instance};

pub(super) fn panels() -> Vec<Panel> {
    let calls = "sum by (cmd) (rate(redis_commands_total{@instance}[$__rate_interval]))";
    let time = "sum by (cmd) (rate(redis_commands_duration_seconds_total{@instance}[$__rate_interval]))";
    vec![
        graph("Commands per second, by command", 12, 8)
            .about(
                "The ten commands that run most often, those of the exporter included (redis_commands_total). KEYS, FLUSHDB or a SCAN that nobody expects explain most surprises.",
            )
            .query(format!("topk(10, {calls})"), "{{cmd}}")
            .unit("ops")
            .min(0.0)
            .legend_right(),
        graph("Share of the main thread, by command", 12, 8)
            .about(
                "The ten commands that keep the main thread busy longest (redis_commands_duration_seconds_total): seconds of execution per second. What stands on top is what to make cheaper.",
            )
            .query(format!("topk(10, {time})"), "{{cmd}}")
            .unit("percentunit")
            .min(0.0)
            .legend_right()
            .runbooks(&["HighSessionLatency"]),
        graph("Mean execution time, by command", 12, 8)
            .about(
                "The ten commands that take longest on average (redis_commands_duration_seconds_total over redis_commands_total). While one of them runs, everybody else waits.",
            )
            .query(format!("topk(10, {})", share(time, calls)), "{{cmd}}")
            .unit("s")
            .min(0.0)
            .legend_right()
            .runbooks(&["HighSessionLatency"]),
        graph("p99 of the execution time, by command", 12, 8)
            .about(
                "99 of 100 calls are faster: the ten slowest commands, from the server's own histograms (redis_commands_latencies_usec), without queue and network. Redis 7.0 or later.",
            )
            .query(
                "topk(10, histogram_quantile(0.99, sum by (cmd, le) (rate(redis_commands_latencies_usec_bucket{@instance}[$__rate_interval]))))",
                "{{cmd}}",
            )
            .unit("µs")
            .min(0.0)
            .legend_right()
            .empty("no latency histograms (before Redis 7.0, or denied)")
            .runbooks(&["HighSessionLatency", "SessionLatencyCritical"]),
        graph("Slow commands per minute", 8, 8)
            .about(
                "Entries that the slow log gains (redis_slowlog_last_id): commands slower than slowlog-log-slower-than, 10 ms unless it is set. SLOWLOG GET shows them with their clients.",
            )
            .query(
                "60 * clamp_min(max by (environment, instance) (deriv(redis_slowlog_last_id{@instance}[$__rate_interval])), 0)",
                INSTANCE,
            )
            .unit("cpm")
            .min(0.0)
            .reach(SLOW_COMMANDS)
            .lines(&[(SLOW_COMMANDS, "orange")])
            .empty("the user may not run SLOWLOG")
            .runbooks(&["RedisSlowlogGrowing"]),
        graph("Last slow command", 8, 8)
            .about(
                "Execution time of the last command in the slow log; 0 when there was none (redis_last_slow_execution_duration_seconds).",
            )
            .query(of_instance("redis_last_slow_execution_duration_seconds"), INSTANCE)
            .unit("s")
            .min(0.0)
            .empty("the user may not run SLOWLOG")
            .runbooks(&["RedisSlowlogGrowing"]),
        graph("Latency events", 8, 8)
            .about(
                "How long the latest event of each kind stopped the server: fork, aof-fsync, expire-cycle, command (redis_latency_spike_duration_seconds). Empty unless latency-monitor-threshold is set; LATENCY DOCTOR explains them.",
            )
            .query(
                "max by (environment, instance, event_name) (redis_latency_spike_duration_seconds{@instance})",
                "{{environment}} {{instance}} {{event_name}}",
            )
            .unit("s")
            .min(0.0)
            .empty("no events")
            .runbooks(&["HighSessionLatency"]),
    ]
}
