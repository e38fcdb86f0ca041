//! What clients do with sessions, and what they are refused.

use crate::dashboards::expression::percentile;
use crate::dashboards::marks::{DENIED, LATENCY_DEGRADED, LATENCY_HIGH};
use crate::dashboards::panel::{Panel, graph, table};
use serde_json::json;

/// A tenth of a second: whatever is slower is felt by a user.
const SLOW: &str = "0.1";
/// Rows of the table of slow operations.
const SLOWEST: u32 = 10;

pub(super) fn panels() -> Vec<Panel> {
    let increase = |end: &str, matcher: &str| {
        format!(
            "sum by (environment, instance, operation) (increase(session_operation_duration_seconds_{end}{{@instance{matcher}}}[$__range]))"
        )
    };
    let over_range = |quantile: &str| {
        format!(
            "histogram_quantile({quantile}, sum by (environment, instance, operation, le) (increase(session_operation_duration_seconds_bucket{{@instance}}[$__range])))"
        )
    };
    vec![
        graph("Session operations by kind", 12, 8)
            .about(
                "Operations of all clients: create, get, update, delete (session_operations_total). Without keyspace notifications creations are among the updates. Needs `operations`.",
            )
            .query(
                "sum by (operation) (rate(session_operations_total{@instance}[$__rate_interval]))",
                "{{operation}}",
            )
            .unit("ops")
            .min(0.0)
            .step("15s")
            .empty("operations are not counted here"),
        graph("Failed session operations by kind", 12, 8)
            .about(
                "Operations that failed or were refused (session_operations_total). Only writes: memory, persistence or a replica; all: permissions or a cluster that is down. The errors stand below.",
            )
            .query(
                "sum by (operation) (rate(session_operations_total{@instance,status=\"error\"}[$__rate_interval]))",
                "{{operation}}",
            )
            .unit("ops")
            .min(0.0)
            .step("15s")
            .empty("operations are not counted here")
            .runbooks(&["SessionOperationErrorRate", "SessionOperationErrorRateElevated"]),
        table("Slow operations", 14, 8)
            .about(
                "The ten slowest kinds of operations in the time that is shown, with how many took longer than 100 ms, by the server's own measure (session_operation_duration_seconds). Single slow commands stand in the slow log: SLOWLOG GET.",
            )
            .query(over_range("0.99"), "")
            .query(over_range("0.50"), "")
            .query(
                format!("{}\n- {}", increase("count", ""), increase("bucket", &format!(",le=\"{SLOW}\""))),
                "",
            )
            .unit("s")
            .empty("-")
            .columns(&[
                ("operation", "Operation"),
                ("environment", "Environment"),
                ("instance", "Instance"),
                ("Value #A", "p99"),
                ("Value #B", "p50"),
                ("Value #C", "Slower than 100 ms"),
            ])
            .largest("p99", SLOWEST)
            .field("Slower than 100 ms", &[("unit", json!("locale")), ("decimals", json!(0))])
            .runbooks(&["HighSessionLatency", "RedisSlowlogGrowing"]),
        graph("p99 by operation", 10, 8)
            .about(
                "99 of 100 operations of the kind are faster, by the server's own measure, without queue and network (session_operation_duration_seconds). A line at the upper edge means more than half a second: the server does not measure further. Lines at 10 ms and 500 ms.",
            )
            .query(
                percentile("0.99", "operation", "session_operation_duration_seconds_bucket{@instance}"),
                "{{operation}}",
            )
            .unit("s")
            .logarithmic()
            .lines(&[(LATENCY_DEGRADED, "yellow"), (LATENCY_HIGH, "red")])
            .empty("operations are not counted here")
            .runbooks(&["HighSessionLatency", "SessionLatencyCritical"]),
        graph("Error replies per minute, by error", 8, 8)
            .about(
                "The ten most frequent errors that clients got (redis_errors_total). OOM: memory is full; MISCONF: it cannot save; READONLY: it is a replica now; NOREPLICAS: too few replicas; NOPERM, NOAUTH, WRONGPASS: users and rights.",
            )
            .query(
                "topk(10, 60 * sum by (err) (rate(redis_errors_total{@instance}[$__rate_interval])))",
                "{{err}}",
            )
            .unit("cpm")
            .min(0.0)
            .fields("^(OOM|MISCONF|READONLY|NOREPLICAS)$", &[("custom.lineWidth", json!(2))])
            .empty("the server does not count them (before Redis 6.2)")
            .runbooks(&["SessionWritesRefused", "SessionServiceDegraded"]),
        graph("Refused and failed commands per minute", 8, 8)
            .about(
                "The ten commands that were refused before they ran (memory, rights, a replica) or failed while they ran most often (redis_commands_rejected_calls_total, redis_commands_failed_calls_total).",
            )
            .query(
                "topk(5, 60 * sum by (cmd) (rate(redis_commands_rejected_calls_total{@instance}[$__rate_interval])) > 0)",
                "{{cmd}} refused",
            )
            .query(
                "topk(5, 60 * sum by (cmd) (rate(redis_commands_failed_calls_total{@instance}[$__rate_interval])) > 0)",
                "{{cmd}} failed",
            )
            .unit("cpm")
            .min(0.0)
            .empty("none")
            .runbooks(&["SessionWritesRefused"]),
        graph("Denied by ACL, per minute", 8, 8)
            .about(
                "What the server denied to anybody: log-ins, commands, keys, channels (redis_acl_access_denied_auth_total, _cmd_total, _key_total, _channel_total, from Redis 7.2 on), and the errors that clients got (redis_errors_total: NOPERM, NOAUTH, WRONGPASS). Log-ins: a wrong password somewhere, or somebody trying. The exporter's own missing rights: `redis-session-exporter check`.",
            )
            .query(
                "60 * sum by (err) (rate(redis_errors_total{@instance,err=~\"NOAUTH|NOPERM|WRONGPASS\"}[$__rate_interval]))",
                "error {{err}}",
            )
            .query(
                "60 * sum(rate(redis_acl_access_denied_auth_total{@instance}[$__rate_interval]))",
                "log-in",
            )
            .query(
                "60 * sum(rate(redis_acl_access_denied_cmd_total{@instance}[$__rate_interval]))",
                "command",
            )
            .query("60 * sum(rate(redis_acl_access_denied_key_total{@instance}[$__rate_interval]))", "key")
            .query(
                "60 * sum(rate(redis_acl_access_denied_channel_total{@instance}[$__rate_interval]))",
                "channel",
            )
            .unit("cpm")
            .min(0.0)
            .reach(DENIED)
            .lines(&[(DENIED, "orange")])
            .empty("nothing was denied")
            .runbooks(&["RedisACLDenied", "ExporterPermissionMissing"]),
    ]
}
