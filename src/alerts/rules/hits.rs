//! Do lookups find what they look for?

use crate::alerts::{Alert, Dashboard, Need, Priority, Team};

/// The application counts lookups in its own cache, as hits and requests or as hits and misses.
const NEEDS_THE_CACHE: &[Need] = &[
    Need::ApplicationMetric("session_cache_hits_total"),
    Need::AnyOf(&[
        Need::ApplicationMetric("session_cache_requests_total"),
        Need::ApplicationMetric("session_cache_misses_total"),
    ]),
];

/// The share of hits where there are lookups enough to speak of one.
fn cache_hits_below(threshold: &str) -> String {
    format!(
        "job_environment_instance:session_cache_hits:ratio_rate10m < {threshold}\n\
         and\n\
         job_environment_instance:session_cache_requests:rate10m > $lookups_floor"
    )
}

pub(super) fn low_cache_hit_rate() -> Alert {
    Alert {
        name: "LowCacheHitRate",
        also_known_as: &["SessionCacheHitRateLow"],
        needs: NEEDS_THE_CACHE,
        expr: cache_hits_below("$cache_hits_low").into(),
        hold: "10m".into(),
        priority: Priority::P3,
        symptom: "cache",
        summary: "The application's session cache before {{ $labels.instance }} ({{ $labels.environment }}) misses more than it should.".into(),
        description: "For $for fewer than $cache_hits_low of the lookups in the application's session cache before {{ $labels.instance }} ({{ $labels.environment }}) found their session, now {{ $value | humanizePercentage }}. Each miss is a slower request.".into(),
        remediation: "Compare the cache's TTL with how often users come back, and look for evictions, invalidations and deployments at the time it fell.".into(),
        ..Alert::default()
    }
}

pub(super) fn session_cache_hit_rate_critical() -> Alert {
    Alert {
        name: "SessionCacheHitRateCritical",
        needs: NEEDS_THE_CACHE,
        expr: cache_hits_below("$cache_hits_critical").into(),
        hold: "10m".into(),
        priority: Priority::P2,
        symptom: "cache",
        summary: "The application's session cache before {{ $labels.instance }} ({{ $labels.environment }}) hardly helps any more.".into(),
        description: "For $for fewer than $cache_hits_critical of the lookups in the application's session cache before {{ $labels.instance }} ({{ $labels.environment }}) found their session, now {{ $value | humanizePercentage }}. Requests are slow, and what is behind the cache carries the load.".into(),
        remediation: "See whether the load behind the cache is borne, then undo what changed when it fell: a deployment, a key format, an invalidation of everything.".into(),
        ..Alert::default()
    }
}

pub(super) fn redis_low_hit_rate() -> Alert {
    Alert {
        name: "RedisLowHitRate",
        also_known_as: &["RedisKeyspaceHitRateLow"],
        expr: "job_environment_instance:redis_keyspace_hits:ratio_rate10m < $redis_hits_low\n\
               and\n\
               job_environment_instance:redis_keyspace_lookups:rate10m > $lookups_floor"
            .into(),
        hold: "10m".into(),
        priority: Priority::P3,
        team: Team::Backend,
        symptom: "lookups",
        summary: "Many lookups at Redis {{ $labels.instance }} ({{ $labels.environment }}) find nothing.".into(),
        description: "For $for fewer than $redis_hits_low of the lookups by clients at {{ $labels.instance }} ({{ $labels.environment }}) found their key, now {{ $value | humanizePercentage }}; the exporter's own are left out. Users may have lost their sessions, or come with ids that never existed.".into(),
        remediation: "See why sessions ended (sessions_ended_total) and whether keys were evicted; then whether clients look for keys under another prefix.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
