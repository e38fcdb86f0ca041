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
        record(
            "job_environment_instance_store:sessions_active:max",
            "max by (job, environment, instance, store) (sessions_active{$job})",
        ),
        record(
            "job_environment_instance_store:sessions_max_capacity:max",
            "max by (job, environment, instance, store) (sessions_max_capacity{$job})",
        ),
        record(
            "job_environment_instance_store:sessions_capacity_used:ratio",
            "job_environment_instance_store:sessions_active:max\n\
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
        record(
            "job_environment_instance:session_cache_hits:ratio_rate10m",
            "sum by (job, environment, instance) (rate(session_cache_hits_total{$job}[10m]))\n\
             / (sum by (job, environment, instance) (rate(session_cache_requests_total{$job}[10m])) > 0)",
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
