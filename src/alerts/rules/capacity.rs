//! How much room is left for sessions. Capacity comes from one recording rule, so that a store can be given one in the values of the rules too.

use crate::alerts::{Alert, Dashboard, Need, Priority, Scope};
use crate::features;

const NEEDS_A_CAPACITY: &[Need] = &[Need::Feature(features::CAPACITY)];

pub(super) fn sessions_near_capacity() -> Alert {
    Alert {
        name: "SessionsNearCapacity",
        needs: NEEDS_A_CAPACITY,
        scope: Scope::Store,
        expr: "job_environment_instance_store:sessions_capacity_used:ratio > $sessions_near_capacity".into(),
        hold: "10m".into(),
        priority: Priority::P2,
        symptom: "capacity",
        summary: "Store {{ $labels.store }} of {{ $labels.instance }} ({{ $labels.environment }}) is almost full of sessions.".into(),
        description: "For $for store {{ $labels.store }} of {{ $labels.instance }} ({{ $labels.environment }}) has held more than $sessions_near_capacity of the sessions that it is built for, now {{ $value | humanizePercentage }}. Beyond, logins may fail for want of memory.".into(),
        remediation: "See whether memory has room too; then raise the capacity, or find out who creates so many sessions, or why they do not end.".into(),
        ..Alert::default()
    }
}

pub(super) fn sessions_high_watermark() -> Alert {
    Alert {
        name: "SessionsHighWatermark",
        needs: NEEDS_A_CAPACITY,
        scope: Scope::Store,
        expr: "job_environment_instance_store:sessions_capacity_used:ratio > $sessions_high_watermark".into(),
        hold: "30m".into(),
        priority: Priority::P3,
        symptom: "capacity",
        summary: "Store {{ $labels.store }} of {{ $labels.instance }} ({{ $labels.environment }}) fills up with sessions.".into(),
        description: "For $for store {{ $labels.store }} of {{ $labels.instance }} ({{ $labels.environment }}) has held more than $sessions_high_watermark of the sessions that it is built for, now {{ $value | humanizePercentage }}. Users notice nothing yet.".into(),
        remediation: "Look for sessions that do not end (TTL, leaks); if the growth is real, plan for more memory and a higher capacity.".into(),
        ..Alert::default()
    }
}

pub(super) fn sessions_capacity_forecast() -> Alert {
    Alert {
        name: "SessionsCapacityForecast",
        needs: NEEDS_A_CAPACITY,
        scope: Scope::Store,
        expr: super::forecast::reaches(
            "job_environment_instance_store:sessions_active:sum",
            "(job_environment_instance_store:sessions_max_capacity:max > 0)",
            "$capacity_forecast",
            "job_environment_instance_store:sessions_capacity_used:ratio > $forecast_floor",
        )
        .into(),
        hold: "90m".into(),
        priority: Priority::P2,
        symptom: "capacity",
        summary: "Store {{ $labels.store }} of {{ $labels.instance }} ({{ $labels.environment }}) will be full of sessions within $capacity_forecast.".into(),
        description: "If store {{ $labels.store }} of {{ $labels.instance }} ({{ $labels.environment }}) goes on growing as in the last six hours, it holds {{ $value | humanize }} sessions in $capacity_forecast, more than it is built for.".into(),
        remediation: "Find out whether more sessions are created than before, or fewer end; then raise the capacity in time.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
