//! Are sessions counted, created, kept and ended as they should?

use super::{capacity, hits};
use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Scope, Team};
use crate::features;

pub(crate) const FILE: File = File {
    name: "sessions",
    about: "Are sessions counted, created, kept and ended as they should?",
    groups,
};

/// Sessions are counted.
const NEEDS_COUNTS: &[Need] = &[Need::Feature(features::SESSIONS)];

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.sessions",
        interval: "15s",
        rules: vec![
            session_creation_rate_spike().into(),
            sessions_active_spike().into(),
            sessions_mass_logout().into(),
            capacity::sessions_near_capacity().into(),
            capacity::sessions_high_watermark().into(),
            capacity::sessions_capacity_forecast().into(),
            session_ttl_too_long().into(),
            sessions_without_ttl().into(),
            sessions_not_counted().into(),
            hits::low_cache_hit_rate().into(),
            hits::session_cache_hit_rate_critical().into(),
            hits::redis_low_hit_rate().into(),
            redis_key_growth().into(),
        ],
    }]
}

/// Compared with the half hour that ended ten minutes before, which the spike is not yet part of. Without twenty minutes of history nothing is a spike: a busy
/// store whose events were just switched on is none. The same rate within half an hour of this time a day or a week ago makes it the usual hour of logins.
fn session_creation_rate_spike() -> Alert {
    let created = "job_environment_instance_store:sessions_created:rate5m";
    Alert {
        name: "SessionCreationRateSpike",
        needs: &[Need::AnyOf(&[
            Need::Feature(features::EVENTS),
            Need::ApplicationMetric("sessions_created_total"),
        ])],
        scope: Scope::Store,
        expr: format!(
            "60 * {created} > $created_per_minute\n\
             and\n\
             {created} > $created_growth * avg_over_time({created}[30m] offset 10m)\n\
             and\n\
             {created} offset 20m\n\
             unless\n\
             {created} <= $created_growth * max_over_time({created}[1h] offset 23h30m)\n\
             unless\n\
             {created} <= $created_growth * max_over_time({created}[1h] offset 167h30m)"
        )
        .into(),
        hold: "5m".into(),
        keep: "5m",
        priority: Priority::P1,
        team: Team::Security,
        symptom: "traffic",
        summary: "Far more sessions than usual are created{{ with $labels.store }} in store {{ . }}{{ end }} on {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "For $for more than $created_per_minute sessions per minute{{ with $labels.store }} were created in store {{ . }}{{ end }} on {{ $labels.instance }} ({{ $labels.environment }}), now {{ $value | humanize }}, and more than $created_growth times what is usual: an attack, a login loop, or a campaign. If it goes on, memory ends and everybody's login with it.".into(),
        remediation: "See by source who creates them, compare with logins at the edge, and slow that source down there; then watch memory.".into(),
        ..Alert::default()
    }
}

/// By the ends of the intervals, so that what is only estimated cannot grow by the noise of its sample.
fn sessions_active_spike() -> Alert {
    Alert {
        name: "SessionsActiveSpike",
        needs: NEEDS_COUNTS,
        scope: Scope::Store,
        expr: "job_environment_instance_store:sessions_active_low:sum > $sessions_floor\n\
               and\n\
               job_environment_instance_store:sessions_active_low:sum\n\
               > $sessions_growth * (job_environment_instance_store:sessions_active_high:sum offset 5m)"
            .into(),
        hold: "1m".into(),
        keep: "5m",
        priority: Priority::P2,
        symptom: "traffic",
        summary: "The sessions of store {{ $labels.store }} on {{ $labels.instance }} ({{ $labels.environment }}) have multiplied within minutes.".into(),
        description: "Store {{ $labels.store }} on {{ $labels.instance }} ({{ $labels.environment }}) holds at least {{ $value | humanize }} sessions, more than $sessions_growth times those of five minutes before. If it goes on, there is no room for users who log in.".into(),
        remediation: "See who creates them (sessions_created_total by source), and whether a restart or a logout of everybody came just before.".into(),
        ..Alert::default()
    }
}

/// By the ends of the intervals, too. Absent figures (a restart of the exporter, missed events) compare with nothing; a server that reads its data in is
/// not judged before it has done so.
fn sessions_mass_logout() -> Alert {
    Alert {
        name: "SessionsMassLogout",
        needs: NEEDS_COUNTS,
        scope: Scope::Store,
        expr: "job_environment_instance_store:sessions_active_high:sum\n\
               < $sessions_left * (job_environment_instance_store:sessions_active_low:sum offset 5m)\n\
               and\n\
               (job_environment_instance_store:sessions_active_low:sum offset 5m) > $sessions_floor\n\
               unless on (job, environment, instance)\n\
               max by (job, environment, instance) (redis_loading_dump_file{$job}) == 1"
            .into(),
        hold: "1m".into(),
        keep: "15m",
        priority: Priority::P1,
        symptom: "logout",
        summary: "Most sessions of store {{ $labels.store }} on {{ $labels.instance }} ({{ $labels.environment }}) vanished within minutes.".into(),
        description: "Store {{ $labels.store }} on {{ $labels.instance }} ({{ $labels.environment }}) holds at most {{ $value | humanize }} sessions, less than $sessions_left of those of five minutes before. Whoever had one of the others was logged out.".into(),
        remediation: "See in redis_commands_total whether flushall or flushdb was called, and by the uptime whether the server came back without its data.".into(),
        ..Alert::default()
    }
}

fn session_ttl_too_long() -> Alert {
    Alert {
        name: "SessionTTLTooLong",
        needs: &[
            Need::Feature(features::EXPECTED_TTL),
            Need::Feature(features::SESSION_DETAILS),
        ],
        scope: Scope::Store,
        expr: "max by (job, environment, instance, store) (sessions_ttl_exceeding{$job})\n\
               / (job_environment_instance_store:sessions_active:sum > $sessions_floor) > $ttl_too_long"
            .into(),
        hold: "15m".into(),
        priority: Priority::P3,
        symptom: "ttl",
        summary: "Sessions of store {{ $labels.store }} on {{ $labels.instance }} ({{ $labels.environment }}) live longer than expected.".into(),
        description: "For $for more than $ttl_too_long of the sessions of store {{ $labels.store }} on {{ $labels.instance }} ({{ $labels.environment }}) had more time left than expected_ttl allows, now {{ $value | humanizePercentage }}. A stolen session can be used as long.".into(),
        remediation: "Compare the TTL that the application sets with expected_ttl of the store; sessions_ttl_remaining_seconds shows how long they live.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// By what is certain: the lower end of the sessions without, the upper end of all.
fn sessions_without_ttl() -> Alert {
    Alert {
        name: "SessionsWithoutTTL",
        needs: &[Need::Feature(features::SESSION_DETAILS)],
        scope: Scope::Store,
        expr: "max by (job, environment, instance, store) (sessions_without_ttl_low{$job})\n\
               / (\n\
               (job_environment_instance_store:sessions_active_high:sum or job_environment_instance_store:sessions_active:sum)\n\
               > $sessions_floor\n\
               ) > $without_ttl"
            .into(),
        hold: "1h".into(),
        priority: Priority::P3,
        symptom: "ttl",
        summary: "Sessions of store {{ $labels.store }} on {{ $labels.instance }} ({{ $labels.environment }}) never expire.".into(),
        description: "For $for more than $without_ttl of the sessions of store {{ $labels.store }} on {{ $labels.instance }} ({{ $labels.environment }}) had no time to live, now at least {{ $value | humanizePercentage }}. They take memory for ever, and a stolen one can be used for ever.".into(),
        remediation: "Find the code that writes sessions with SET and no EX, or that renews them without EXPIRE; then give those that are left a TTL in batches.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// A store that was counted within the last hour and is no more, or passes that fail for longer, although the server answers. One alert per instance, which lasts
/// as long as passes fail.
fn sessions_not_counted() -> Alert {
    Alert {
        name: "SessionsNotCounted",
        needs: NEEDS_COUNTS,
        expr: "(\n\
               count by (job, environment, instance) (\n\
               max_over_time(job_environment_instance_store:sessions_active:sum[1h])\n\
               unless job_environment_instance_store:sessions_active:sum\n\
               )\n\
               or\n\
               max by (job, environment, instance) (redis_session_exporter_collector_success{$job,collector=\"sessions\"} == 0)\n\
               unless on (job, environment, instance)\n\
               count by (job, environment, instance) (job_environment_instance_store:sessions_active:sum)\n\
               )\n\
               and on (job, environment, instance)\n\
               min by (job, environment, instance) (redis_connection_status{$job}) == 1\n\
               unless on (job, environment, instance)\n\
               job_environment_instance:redis_replica:max"
            .into(),
        hold: "10m".into(),
        priority: Priority::P2,
        symptom: "blind",
        summary: "The sessions on {{ $labels.instance }} ({{ $labels.environment }}) are not counted any more.".into(),
        description: "For $for the exporter has not known how many sessions are on {{ $labels.instance }} ({{ $labels.environment }}), although the server answers. Alerts on capacity, logouts and TTLs say nothing about them meanwhile.".into(),
        remediation: "Run redis-session-exporter check for this instance: it names the permission, the setting or the store that is missing.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// Of a replica the primary tells. The same number a week ago makes it the usual wave.
fn redis_key_growth() -> Alert {
    let keys = "max by (job, environment, instance, db) (redis_db_keys{$job}";
    Alert {
        name: "RedisKeyGrowth",
        expr: format!(
            "{keys}) > $key_growth_floor\n\
             and\n\
             {keys}) > $key_growth * {keys} offset 1d)\n\
             unless\n\
             {keys}) <= $key_growth * {keys} offset 1w)\n\
             unless on (job, environment, instance)\n\
             job_environment_instance:redis_replica:max"
        )
        .into(),
        hold: "1h".into(),
        priority: Priority::P3,
        symptom: "keys",
        summary: "The keys in {{ $labels.db }} of Redis {{ $labels.instance }} ({{ $labels.environment }}) have multiplied within a day.".into(),
        description: "{{ $labels.db }} of {{ $labels.instance }} ({{ $labels.environment }}) holds {{ $value | humanize }} keys, more than $key_growth times those of a day before. Keys that never end fill the memory until logins fail.".into(),
        remediation: "Compare with sessions_active: if sessions did not grow as much, something else leaves keys behind, most likely without a TTL.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
