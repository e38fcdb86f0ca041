//! How far is the store from losing sessions for want of memory?
//!
//! A server that is a cache on purpose (its `expect` allows `allkeys-…`, and that is its policy) is full in everyday life: what is an alarm elsewhere is not
//! told of it, but that it has become too small. What a replica shares with its primary is told once, of the primary; that it is full is told
//! of both, but paged of the primary alone.

use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Team};
use crate::features;

pub(crate) const FILE: File = File {
    name: "memory",
    about: "How far is the store from losing sessions for want of memory?",
    groups,
};

/// Without a limit there is no share of it, and a cache is full in everyday life.
const NEEDS_A_LIMIT: &[Need] = &[Need::Feature(features::MEMORY_LIMIT), Need::NoCache];

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.memory",
        interval: "15s",
        rules: vec![
            redis_memory_critical().into(),
            redis_memory_high().into(),
            redis_memory_unlimited().into(),
            redis_memory_forecast().into(),
            super::evictions::sessions_evicted().into(),
            super::evictions::sessions_evicted_from_a_cache().into(),
            super::evictions::redis_evicting_keys().into(),
            super::evictions::redis_cache_evicting_keys().into(),
            redis_fragmentation_high().into(),
        ],
    }]
}

fn redis_memory_critical() -> Alert {
    Alert {
        name: "RedisMemoryCritical",
        needs: NEEDS_A_LIMIT,
        expr: "job_environment_instance:redis_memory_used:ratio > $memory_critical\n\
               unless job_environment_instance:redis_replica:max\n\
               unless job_environment_instance:redis_cache_on_purpose:max"
            .into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "memory",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) is nearly out of memory.".into(),
        description: "For $for {{ $labels.instance }} ({{ $labels.environment }}) has used more than $memory_critical of maxmemory, now {{ $value | humanizePercentage }}. When it is full, it refuses new sessions (noeviction) or throws out living ones.".into(),
        remediation: "Raise maxmemory with CONFIG SET if the host has room, then find out what grew: sessions, their size, or other keys.".into(),
        ..Alert::default()
    }
}

fn redis_memory_high() -> Alert {
    Alert {
        name: "RedisMemoryHigh",
        also_known_as: &["RedisHighMemoryUsage"],
        needs: NEEDS_A_LIMIT,
        expr: "job_environment_instance:redis_memory_used:ratio > $memory_high\n\
               unless job_environment_instance:redis_cache_on_purpose:max"
            .into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "memory",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) uses most of its memory.".into(),
        description: "For $for {{ $labels.instance }} ({{ $labels.environment }}) has used more than $memory_high of maxmemory, now {{ $value | humanizePercentage }}. Users notice nothing yet; when it is full they cannot log in or are logged out.".into(),
        remediation: "See on the dashboard whether sessions, their size or other keys grow, and plan for more memory before it is full.".into(),
        ..Alert::default()
    }
}

fn redis_memory_unlimited() -> Alert {
    Alert {
        name: "RedisMemoryUnlimited",
        expr: "max by (job, environment, instance) (redis_memory_max_bytes{$job}) == 0".into(),
        hold: "1h".into(),
        priority: Priority::P3,
        team: Team::Ops,
        symptom: "memory_limit",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) has no memory limit.".into(),
        description: "maxmemory of {{ $labels.instance }} ({{ $labels.environment }}) is {{ $value }}: it grows until the operating system kills it, and every session is gone at once. No other alert about its memory can warn before.".into(),
        remediation: "Set maxmemory to what the host can spare, about three quarters of its memory where snapshots are taken, and well above the peak of the past: a limit below what is used throws sessions out or refuses logins at once.".into(),
        ..Alert::default()
    }
}

fn redis_memory_forecast() -> Alert {
    Alert {
        name: "RedisMemoryForecast",
        needs: NEEDS_A_LIMIT,
        expr: format!(
            "{}\n\
             unless job_environment_instance:redis_replica:max\n\
             unless job_environment_instance:redis_cache_on_purpose:max",
            super::forecast::reaches(
                "job_environment_instance:redis_memory_used:ratio",
                "1",
                "$memory_forecast",
                "job_environment_instance:redis_memory_used:ratio > $forecast_floor",
            )
        )
        .into(),
        hold: "90m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "memory",
        summary: "The memory of Redis {{ $labels.instance }} ({{ $labels.environment }}) will be full within $memory_forecast.".into(),
        description: "If {{ $labels.instance }} ({{ $labels.environment }}) goes on growing as in the last six hours, it needs {{ $value | humanizePercentage }} of maxmemory in $memory_forecast. When it is full, users cannot log in or are logged out.".into(),
        remediation: "Find what grows: sessions, their size, sessions without a TTL, or keys of something else; then raise maxmemory in time.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn redis_fragmentation_high() -> Alert {
    Alert {
        name: "RedisFragmentationHigh",
        expr: "max by (job, environment, instance) (redis_mem_fragmentation_ratio{$job}) > $fragmentation_high\n\
               and\n\
               max by (job, environment, instance) (redis_memory_used_bytes{$job}) > $fragmentation_floor"
            .into(),
        hold: "30m".into(),
        priority: Priority::P3,
        team: Team::Ops,
        symptom: "fragmentation",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) takes much more memory than its data needs.".into(),
        description: "For $for the process of {{ $labels.instance }} ({{ $labels.environment }}) has taken more than $fragmentation_high times the memory that it uses, now {{ $value | humanize }} times. maxmemory does not count that: the host may run out of memory before Redis knows.".into(),
        remediation: "Look at redis_allocator_frag_ratio: when it is high too, switch on active defragmentation; when not, the memory was only not given back after a peak.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
