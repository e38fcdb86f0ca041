//! Sessions and keys that are thrown out since memory is short.
//!
//! Where events are heard, they tell of sessions, and the server's own counter, which knows only keys, is silent.

use crate::alerts::{Alert, Dashboard, Need, Priority, Scope};
use crate::features;

/// Evictions of sessions are told by keyspace notifications, or counted by the application.
const NEEDS_EVENTS: &[Need] = &[Need::AnyOf(&[
    Need::Feature(features::EVENTS),
    Need::ApplicationMetric("sessions_ended_total"),
])];

/// A server that runs as a cache is known by what is expected of it.
const NEEDS_A_CACHE: &[Need] = &[Need::Expectation("maxmemory_policy")];

/// The same beside events.
const NEEDS_EVENTS_OF_A_CACHE: &[Need] = &[
    Need::AnyOf(&[
        Need::Feature(features::EVENTS),
        Need::ApplicationMetric("sessions_ended_total"),
    ]),
    Need::Expectation("maxmemory_policy"),
];

/// Where evictions of sessions are told at this moment. `sessions_ended_total` with this reason stays when the connection of the events is lost;
/// where an application counts, nobody listens.
const TOLD_BY_EVENTS: &str = "(\n\
     count by (job, environment, instance) (sessions_ended_total{$job,reason=\"evicted\"})\n\
     unless\n\
     min by (job, environment, instance) (session_events_connected{$job}) == 0\n\
     )";

pub(super) fn sessions_evicted() -> Alert {
    Alert {
        name: "SessionsEvicted",
        needs: NEEDS_EVENTS,
        scope: Scope::Store,
        expr: "sum by (job, environment, instance, store) (increase(sessions_ended_total{$job,reason=\"evicted\"}[5m])) > 0\n\
               unless on (job, environment, instance)\n\
               job_environment_instance:redis_cache_on_purpose:max"
            .into(),
        keep: "5m",
        priority: Priority::P1,
        symptom: "eviction",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) throws out living sessions{{ with $labels.store }} of store {{ . }}{{ end }}.".into(),
        description: "About {{ $value | printf \"%.0f\" }} living sessions{{ with $labels.store }} of store {{ . }}{{ end }} on {{ $labels.instance }} ({{ $labels.environment }}) were evicted within 5 minutes, since maxmemory was reached. Each is a user who was logged out.".into(),
        remediation: "Raise maxmemory with CONFIG SET if the host has room: evictions stop at once. Then find out what fills the memory.".into(),
        ..Alert::default()
    }
}

pub(super) fn sessions_evicted_from_a_cache() -> Alert {
    let by_store = |matchers: &str| {
        format!("sum by (job, environment, instance, store) (increase(sessions_ended_total{{$job{matchers}}}[1h]))")
    };
    let evicted = by_store(",reason=\"evicted\"");
    let ended = by_store("");
    Alert {
        name: "SessionsEvicted",
        needs: NEEDS_EVENTS_OF_A_CACHE,
        scope: Scope::Store,
        expr: format!(
            "{evicted} / ({ended} > 0) > $evicted_share\n\
             and\n\
             {evicted} > $evicted_floor\n\
             and on (job, environment, instance)\n\
             job_environment_instance:redis_cache_on_purpose:max"
        )
        .into(),
        hold: "1h".into(),
        priority: Priority::P3,
        symptom: "eviction",
        summary: "The cache Redis {{ $labels.instance }} ({{ $labels.environment }}) is too small for its sessions{{ with $labels.store }} of store {{ . }}{{ end }}.".into(),
        description: "{{ $value | humanizePercentage }} of the sessions{{ with $labels.store }} of store {{ . }}{{ end }} that ended on {{ $labels.instance }} ({{ $labels.environment }}) within an hour were evicted before their time. An application that cannot read them elsewhere logs these users out.".into(),
        remediation: "Raise maxmemory, or shorten the TTL of what is kept there; if this is no cache, remove allkeys-… from `expect` of the instance.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

pub(super) fn redis_evicting_keys() -> Alert {
    Alert {
        name: "RedisEvictingKeys",
        expr: format!(
            "sum by (job, environment, instance) (increase(redis_evicted_keys_total{{$job}}[5m])) > 0\n\
             unless\n\
             {TOLD_BY_EVENTS}\n\
             unless\n\
             job_environment_instance:redis_cache_on_purpose:max"
        )
        .into(),
        keep: "5m",
        priority: Priority::P1,
        symptom: "eviction",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) throws out keys since its memory is full.".into(),
        description: "About {{ $value | printf \"%.0f\" }} keys of {{ $labels.instance }} ({{ $labels.environment }}) were evicted within 5 minutes, since maxmemory was reached. Each that was a session is a user who was logged out; without events nobody can tell which were.".into(),
        remediation: "Raise maxmemory with CONFIG SET if the host has room: evictions stop at once. Then find out what fills the memory.".into(),
        ..Alert::default()
    }
}

pub(super) fn redis_cache_evicting_keys() -> Alert {
    let increase = |counter: &str| format!("sum by (job, environment, instance) (increase({counter}{{$job}}[1h]))");
    let evicted = increase("redis_evicted_keys_total");
    let expired = increase("redis_expired_keys_total");
    Alert {
        name: "RedisEvictingKeys",
        needs: NEEDS_A_CACHE,
        expr: format!(
            "{evicted} / ({evicted} + {expired} > 0) > $evicted_share\n\
             and\n\
             {evicted} > $evicted_floor\n\
             and\n\
             job_environment_instance:redis_cache_on_purpose:max\n\
             unless\n\
             {TOLD_BY_EVENTS}"
        )
        .into(),
        hold: "1h".into(),
        priority: Priority::P3,
        symptom: "eviction",
        summary: "The cache Redis {{ $labels.instance }} ({{ $labels.environment }}) is too small for its keys.".into(),
        description: "{{ $value | humanizePercentage }} of the keys that went from {{ $labels.instance }} ({{ $labels.environment }}) within an hour were evicted before their time. An application that cannot read its sessions elsewhere logs these users out.".into(),
        remediation: "Raise maxmemory, or shorten the TTL of what is kept there; if this is no cache, remove allkeys-… from `expect` of the instance.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
