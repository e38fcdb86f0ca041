//! What several alerts and panels need, computed once.
//!
//! Levels are named by what is left: `job_environment_instance`, and `_store` or `_measured` where series are told apart further. A ratio whose
//! denominator is 0 is absent, not infinite.

use crate::alerts::{File, Group, Record, Rule};

pub(crate) const FILE: File = File {
    name: "recording",
    about: "What alerts and panels share: rates, ratios and percentiles per instance.",
    groups,
};

/// Where the capacity of a store comes from; capacities of the file of values are added to it.
pub(crate) const CAPACITY: &str = "job_environment_instance_store:sessions_max_capacity:max";

/// Percentiles of the time that session operations take, by who measured it.
const PERCENTILES: [(&str, &str); 3] = [("p50", "0.50"), ("p95", "0.95"), ("p99", "0.99")];

/// Who measures how long operations take, and in which histogram. The server sees its own execution time alone (and nothing beyond a second), the probe and
/// PING see what a client sees.
const MEASURED: [(&str, &str); 3] = [
    ("ping", "redis_ping_duration_seconds_bucket"),
    ("probe", "session_probe_duration_seconds_bucket"),
    ("server", "session_operation_duration_seconds_bucket"),
];

fn groups() -> Vec<Group> {
    let mut rules = vec![
        // A target with `environment` is an instance that is scraped by itself (/probe), and its `up` says the same as the exporter's own, once per
        // instance. It speaks for the exporter only where no target of the job does: there `environment` is a label of the job.
        record(
            "job_instance:session_exporter_up:max",
            "max by (job, instance) (up{$job,environment=\"\"})\n\
             or\n\
             max by (job, instance) (up{$job,environment!=\"\"} unless on (job) up{$job,environment=\"\"})",
        ),
        record(
            "job_environment_instance:session_operations:rate5m",
            "sum by (job, environment, instance) (rate(session_operations_total{$job}[5m]))",
        ),
        // Also 0 where no error was ever counted.
        record(
            "job_environment_instance:session_operation_errors:rate5m",
            "sum by (job, environment, instance) (rate(session_operations_total{$job,status=\"error\"}[5m]))\n\
             or\n\
             0 * job_environment_instance:session_operations:rate5m",
        ),
        record(
            "job_environment_instance:session_operation_errors:ratio_rate5m",
            "job_environment_instance:session_operation_errors:rate5m\n\
             / (job_environment_instance:session_operations:rate5m > 0)",
        ),
        record(
            "job_environment_instance_store:sessions_created:rate5m",
            "sum by (job, environment, instance, store) (rate(sessions_created_total{$job}[5m]))",
        ),
        // A store with `app_label` is the sum of its applications; two exporters that watch the same one are not.
        record(
            "job_environment_instance_store:sessions_active:sum",
            "sum by (job, environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active{$job}))",
        ),
        record(
            "job_environment_instance_store:sessions_active_low:sum",
            "sum by (job, environment, instance, store) (min by (job, environment, instance, store, app) (sessions_active_low{$job}))",
        ),
        record(
            "job_environment_instance_store:sessions_active_high:sum",
            "sum by (job, environment, instance, store) (max by (job, environment, instance, store, app) (sessions_active_high{$job}))",
        ),
        // The one place that capacity comes from: alerts and panels know no other.
        record(
            CAPACITY,
            "max by (job, environment, instance, store) (sessions_max_capacity{$job})",
        ),
        record(
            "job_environment_instance_store:sessions_capacity_used:ratio",
            "job_environment_instance_store:sessions_active:sum\n\
             / (job_environment_instance_store:sessions_max_capacity:max > 0)",
        ),
        // 1 where snapshots, or an append-only file, are to be kept: `expect` says so, or it says nothing else than that and the server is set up so.
        record(
            "job_environment_instance:redis_snapshots_wanted:max",
            "max by (job, environment, instance) (redis_persistence_expected{$job,kind=\"rdb\"})\n\
             or\n\
             (\n\
             \x20 max by (job, environment, instance) (redis_config_save_points{$job} > bool 0) == 1\n\
             \x20 unless on (job, environment, instance)\n\
             \x20 redis_persistence_expected{$job,kind=\"none\"}\n\
             )",
        ),
        record(
            "job_environment_instance:redis_appends_wanted:max",
            "max by (job, environment, instance) (redis_persistence_expected{$job,kind=\"aof\"})\n\
             or\n\
             (\n\
             \x20 max by (job, environment, instance) (redis_aof_enabled{$job}) == 1\n\
             \x20 unless on (job, environment, instance)\n\
             \x20 redis_persistence_expected{$job,kind=\"none\"}\n\
             )",
        ),
        // maxmemory 0 means that there is no limit: the ratio is absent then, not infinite.
        record(
            "job_environment_instance:redis_memory_used:ratio",
            "max by (job, environment, instance) (redis_memory_used_bytes{$job})\n\
             / (max by (job, environment, instance) (redis_memory_max_bytes{$job}) > 0)",
        ),
        // Evicting is what a cache is for. Whoever runs one says so by an `expect` that allows to evict any key; a policy that merely happens to be
        // set says nothing about what was meant.
        record(
            "job_environment_instance:redis_cache_on_purpose:max",
            "max by (job, environment, instance) (redis_expectation_met{$job,expectation=\"maxmemory_policy\"} == 1)\n\
             and\n\
             max by (job, environment, instance) (redis_instance_info{$job,maxmemory_policy=~\"allkeys-.+\"})",
        ),
        // What a replica shares with its primary is told once, of the primary.
        record(
            "job_environment_instance:redis_replica:max",
            "max by (job, environment, instance) (redis_instance_info{$job,role=~\"slave|replica\"})",
        ),
        // An application may count requests, or hits and misses. What it was configured to count and does not is 0.
        record(
            "job_environment_instance:session_cache_requests:rate10m",
            "sum by (job, environment, instance) (rate(session_cache_requests_total{$job}[10m])) > 0\n\
             or\n\
             sum by (job, environment, instance) (rate(session_cache_hits_total{$job}[10m]))\n\
             + sum by (job, environment, instance) (rate(session_cache_misses_total{$job}[10m]))",
        ),
        record(
            "job_environment_instance:session_cache_hits:ratio_rate10m",
            "sum by (job, environment, instance) (rate(session_cache_hits_total{$job}[10m]))\n\
             / (job_environment_instance:session_cache_requests:rate10m > 0)",
        ),
        // What clients looked up: the exporter's own lookups count at the server too, and are taken off.
        record(
            "job_environment_instance:redis_keyspace_lookups:rate10m",
            "clamp_min(\n\
             sum by (job, environment, instance) (rate(redis_keyspace_hits_total{$job}[10m]))\n\
             + sum by (job, environment, instance) (rate(redis_keyspace_misses_total{$job}[10m]))\n\
             - (\n\
             sum by (job, environment, instance) (rate(session_scan_keyspace_lookups_total{$job}[10m]))\n\
             or\n\
             0 * sum by (job, environment, instance) (rate(redis_keyspace_hits_total{$job}[10m]))\n\
             ), 0)",
        ),
        record(
            "job_environment_instance:redis_keyspace_misses:rate10m",
            "clamp_min(\n\
             sum by (job, environment, instance) (rate(redis_keyspace_misses_total{$job}[10m]))\n\
             - (\n\
             sum by (job, environment, instance) (rate(session_scan_keyspace_misses_total{$job}[10m]))\n\
             or\n\
             0 * sum by (job, environment, instance) (rate(redis_keyspace_misses_total{$job}[10m]))\n\
             ), 0)",
        ),
        record(
            "job_environment_instance:redis_keyspace_hits:ratio_rate10m",
            "1 - clamp_max(\n\
             job_environment_instance:redis_keyspace_misses:rate10m\n\
             / (job_environment_instance:redis_keyspace_lookups:rate10m > 0), 1)",
        ),
        // Availability. Before 6.2 INFO says nothing about maxclients, and CONFIG GET does.
        record(
            "job_environment_instance:redis_clients_used:ratio",
            "max by (job, environment, instance) (redis_connected_clients{$job})\n\
             / (\n\
             (max by (job, environment, instance) (redis_max_clients{$job}) or max by (job, environment, instance) (redis_config_maxclients{$job})) > 0\n\
             )",
        ),
        // 1 for an instance that is a replica and was none within the last day: nobody is meant to write there. An instance whose role is unknown, or that
        // was a primary until a failover, is absent.
        record(
            "job_environment_instance:redis_instance_info:standing_replica",
            "group by (job, environment, instance) (redis_instance_info{$job,role=~\"slave|replica\"})\n\
             unless\n\
             group by (job, environment, instance) (last_over_time(redis_instance_info{$job,role=\"master\"}[1d]))",
        ),
        record(
            "job_environment_instance:session_probe_errors:rate5m",
            "sum by (job, environment, instance) (rate(session_probe_operations_total{$job,status=\"error\"}[5m]))",
        ),
        record(
            "job_environment_instance:session_probe_errors:ratio_rate5m",
            "job_environment_instance:session_probe_errors:rate5m\n\
             / (sum by (job, environment, instance) (rate(session_probe_operations_total{$job}[5m])) > 0)",
        ),
        record(
            "job_environment_instance:session_encryption_errors:rate5m",
            "sum by (job, environment, instance) (rate(session_encryption_errors_total{$job}[5m]))",
        ),
        // Of what is shown in the handshake that which ends first: an authority in between where it ends before the server's own certificate. Without
        // a handshake (an address without TLS) what the server says about its certificate.
        record(
            "job_environment_instance_certificate:redis_tls_certificate_not_after_timestamp_seconds:min",
            "min by (job, environment, instance, certificate) (redis_tls_certificate_not_after_timestamp_seconds{$job,certificate=\"chain\"})\n\
             and on (job, environment, instance)\n\
             (\n  \
               min by (job, environment, instance) (redis_tls_certificate_not_after_timestamp_seconds{$job,certificate=\"chain\"})\n  \
               < min by (job, environment, instance) (redis_tls_certificate_not_after_timestamp_seconds{$job,certificate=\"leaf\"})\n\
             )\n\
             or on (job, environment, instance)\n\
             min by (job, environment, instance, certificate) (redis_tls_certificate_not_after_timestamp_seconds{$job,certificate=\"leaf\"})\n\
             or on (job, environment, instance)\n\
             min by (job, environment, instance, certificate) (redis_tls_configured_certificate_not_after_timestamp_seconds{$job,certificate=\"server\"})",
        ),
    ];
    for (measured, bucket) in MEASURED {
        for (percentile, quantile) in PERCENTILES {
            rules.push(Rule::Record(Record {
                name: format!("job_environment_instance_measured:session_latency_seconds:{percentile}_rate5m").into(),
                expr: format!(
                    "histogram_quantile({quantile}, sum by (job, environment, instance, le) (rate({bucket}{{$job}}[5m])))"
                )
                .into(),
                labels: vec![("measured", measured.into())],
            }));
        }
    }
    // The server takes what lasts longer than half a second for endless, and its percentile reads 10 s then. So it counts only where an observation between 1 s and 5 s
    // proves that the histogram is another one, which an application keeps under this name.
    rules.push(record(
        "job_environment_instance:session_latency_seconds:p95_rate5m",
        "max by (job, environment, instance) (\n\
         job_environment_instance_measured:session_latency_seconds:p95_rate5m{measured=~\"ping|probe\"}\n\
         or\n\
         job_environment_instance_measured:session_latency_seconds:p95_rate5m{measured=\"server\"}\n\
         and on (job, environment, instance)\n\
         sum by (job, environment, instance) (rate(session_operation_duration_seconds_bucket{$job,le=~\"5(\\\\.0)?\"}[5m]))\n\
         > sum by (job, environment, instance) (rate(session_operation_duration_seconds_bucket{$job,le=~\"1(\\\\.0)?\"}[5m]))\n\
         )",
    ));
    vec![Group {
        name: "redis-session-store.recording",
        interval: "15s",
        rules,
    }]
}

fn record(name: &'static str, expr: &'static str) -> Rule {
    Rule::Record(Record {
        name: name.into(),
        expr: expr.into(),
        labels: Vec::new(),
    })
}
