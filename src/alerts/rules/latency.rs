//! How long does it take?

use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Team};
use crate::features::{LATENCY_HISTOGRAM, SESSION_PROBE};

pub(crate) const FILE: File = File {
    name: "latency",
    about: "How long does it take?",
    groups,
};

/// An instance whose session operations are many enough that one in a hundred of them means something: 1 a second makes 300 in the five minutes of the percentile.
const BUSY: &str = "sum by (job, environment, instance) (rate(session_operation_duration_seconds_count{$job}[5m])) > $session_latency_operations";

/// An instance whose histogram has observations between 1 s and 5 s. The server's own never has, since it takes whatever lasts longer than half a second for endless: one
/// that an application keeps under that name has.
const TELLS_SECONDS: &str = "(\n      \
    sum by (job, environment, instance) (rate(session_operation_duration_seconds_bucket{$job,le=~\"5(\\\\.0)?\"}[5m]))\n      \
    > sum by (job, environment, instance) (rate(session_operation_duration_seconds_bucket{$job,le=~\"1(\\\\.0)?\"}[5m]))\n    \
    )";

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.latency",
        interval: "15s",
        rules: vec![
            session_latency_critical().into(),
            high_session_latency().into(),
            high_latency().into(),
            redis_slowlog_growing().into(),
        ],
    }]
}

/// PING makes 60 samples in five minutes and the probe 80, so that a hundredth of them is the slowest one: that nobody is woken by a single
/// one, a twentieth must be slow as well.
///
/// The percentile of the server's own histogram reads 10 s, its last bound, where it lies beyond half a second: so it proves nothing at 2 s.
fn session_latency_critical() -> Alert {
    Alert {
        name: "SessionLatencyCritical",
        also_known_as: &["HighLatencyP99"],
        expr: format!(
            "max by (job, environment, instance) (\n  \
               (\n    \
                 job_environment_instance_measured:session_latency_seconds:p99_rate5m{{measured=~\"ping|probe\"}} > $session_latency_critical\n    \
                 and\n    \
                 job_environment_instance_measured:session_latency_seconds:p95_rate5m{{measured=~\"ping|probe\"}} > $session_latency_high\n  \
               )\n  \
               or\n  \
               (\n    \
                 job_environment_instance_measured:session_latency_seconds:p99_rate5m{{measured=\"server\"}} > $session_latency_critical\n    \
                 and on (job, environment, instance)\n    \
                 {BUSY}\n    \
                 and on (job, environment, instance)\n    \
                 {TELLS_SECONDS}\n  \
               )\n\
             )"
        )
        .into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Backend,
        symptom: "latency",
        summary: "Sessions at Redis {{ $labels.instance }} ({{ $labels.environment }}) take longer than $session_latency_critical.".into(),
        description: "One in a hundred operations at {{ $labels.instance }} ({{ $labels.environment }}) took longer than $session_latency_critical for $for, now {{ $value | humanizeDuration }}. Pages hang, and \
                      clients with shorter deadlines fail: for them it is an outage."
            .into(),
        remediation: "SLOWLOG GET and LATENCY LATEST say whether the server itself is slow; if not, it is the network or the host. Stop whoever sends the long commands first.".into(),
        ..Alert::default()
    }
}

fn high_session_latency() -> Alert {
    Alert {
        name: "HighSessionLatency",
        needs: &[Need::AnyOf(&[
            Need::Feature(SESSION_PROBE),
            Need::Feature(LATENCY_HISTOGRAM),
            Need::ApplicationMetric("session_operation_duration_seconds"),
        ])],
        expr: format!(
            "max by (job, environment, instance) (\n  \
               job_environment_instance_measured:session_latency_seconds:p99_rate5m{{measured=\"probe\"}} > $session_latency_high\n  \
               or\n  \
               (\n    \
                 job_environment_instance_measured:session_latency_seconds:p99_rate5m{{measured=\"server\"}} > $session_latency_high\n    \
                 and on (job, environment, instance)\n    \
                 {BUSY}\n  \
               )\n\
             )"
        )
        .into(),
        hold: "10m".into(),
        priority: Priority::P2,
        team: Team::Backend,
        symptom: "latency",
        summary: "Session operations at Redis {{ $labels.instance }} ({{ $labels.environment }}) are slow.".into(),
        // The value is 10 where the percentile lies beyond the last bound that the server's own histogram tells.
        description: "One in a hundred session operations at {{ $labels.instance }} ({{ $labels.environment }}) took longer than $session_latency_high for $for, now \
                      {{ if ge $value 10.0 }}longer than the histogram can tell{{ else }}{{ $value | humanizeDuration }}{{ end }}. Users see slow pages."
            .into(),
        remediation: "Compare measured=server with measured=probe on the dashboard: slow in both is the server (SLOWLOG GET, LATENCY LATEST, its CPU), slow in the probe alone the network.".into(),
        ..Alert::default()
    }
}

/// PING is sent every 5 s: 60 in five minutes. A hundredth of that is less than one, so that a single slow PING would decide; a twentieth is three, so that it takes
/// four slow ones in five minutes, for five minutes.
fn high_latency() -> Alert {
    Alert {
        name: "HighLatency",
        expr: "max by (job, environment, instance) (job_environment_instance_measured:session_latency_seconds:p95_rate5m{measured=\"ping\"}) > $ping_latency_high".into(),
        hold: "5m".into(),
        priority: Priority::P3,
        team: Team::Backend,
        symptom: "latency",
        summary: "PING to Redis {{ $labels.instance }} ({{ $labels.environment }}) is slow.".into(),
        description: "One PING in twenty to {{ $labels.instance }} ({{ $labels.environment }}) took longer than $ping_latency_high for $for, now {{ $value | humanizeDuration }}. Every session \
                      operation waits at least as long."
            .into(),
        remediation: "Is it the way or the server? A ping of the host measures the one, redis-cli --latency on the host itself the other.".into(),
        ..Alert::default()
    }
}

/// The number of the last slow command is a gauge that begins anew with the server, and is 0 after SLOWLOG RESET until the next slow command, which then looks
/// like thousands at once: no verdict while a 0 is in the window.
fn redis_slowlog_growing() -> Alert {
    Alert {
        name: "RedisSlowlogGrowing",
        also_known_as: &["SlowQueryRate"],
        expr: "60 * max by (job, environment, instance) (rate(redis_slowlog_last_id{$job}[5m])) > $slowlog_entries\n\
               and on (job, environment, instance)\n\
               min by (job, environment, instance) (min_over_time(redis_slowlog_last_id{$job}[5m])) > 0"
            .into(),
        hold: "10m".into(),
        priority: Priority::P2,
        team: Team::Backend,
        symptom: "slowlog",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) runs many slow commands.".into(),
        description: "{{ printf \"%.0f\" $value }} commands per minute at {{ $labels.instance }} ({{ $labels.environment }}) took longer than slowlog-log-slower-than, more than $slowlog_entries for \
                      $for. While one of them runs nobody else is served: logins wait behind it."
            .into(),
        remediation: "SLOWLOG GET 25 shows the commands and who sent them: KEYS, SMEMBERS, large values, scripts. Have the sender stop.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
