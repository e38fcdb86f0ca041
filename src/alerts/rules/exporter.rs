//! Can these alerts be relied on? The exporter, its scans and its events.
//!
//! What Prometheus and the process say of themselves (`up`, `process_*`, the configuration) carries the exporter's own `instance` and no `environment`; what the exporter says about
//! an instance carries those of the Redis. An alert about both is joined by `job` alone.

use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Scope, Team};
use crate::features;

pub(crate) const FILE: File = File {
    name: "exporter",
    about: "Can these alerts be relied on? The exporter, its scans and its events.",
    groups,
};

fn groups() -> Vec<Group> {
    let alerts = [
        watchdog(),
        session_exporter_down(),
        session_exporter_absent(),
        session_store_vanished(),
        session_exporter_crash_looping(),
        session_exporter_stalled(),
        session_scan_stale(),
        session_exporter_collector_failing(),
        session_exporter_config_reload_failed(),
        session_exporter_certificate_expiring(),
        session_events_disconnected(),
        session_events_lost(),
        session_exporter_series_dropped(),
    ];
    vec![Group {
        name: "redis-session-store.exporter",
        interval: "15s",
        rules: alerts.into_iter().map(Into::into).collect(),
    }]
}

fn watchdog() -> Alert {
    Alert {
        name: "Watchdog",
        scope: Scope::Everything,
        expr: "vector(1)".into(),
        priority: Priority::None,
        team: Team::Ops,
        symptom: "heartbeat",
        summary: "Alerts are evaluated and delivered; this one always fires.".into(),
        description: "Send it to something outside that calls when it stops: then Prometheus, Alertmanager or the way between them is broken, and no other alert would be heard."
            .into(),
        remediation: "Nothing while it arrives. When it stops, look at Prometheus first, then at Alertmanager.".into(),
        dashboard: Dashboard::Fleet,
        ..Alert::default()
    }
}

fn session_exporter_down() -> Alert {
    Alert {
        name: "SessionExporterDown",
        scope: Scope::Target,
        expr: "job_instance:session_exporter_up:max == 0".into(),
        hold: "2m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "blind",
        summary: "The exporter {{ $labels.instance }} cannot be scraped: nobody watches its session stores.".into(),
        description: "Every scrape of {{ $labels.instance }} has failed for $for. Users are not affected by this, but no other alert about the instances that it watches can fire.".into(),
        remediation: "Read the error of the scrape on the page Targets of Prometheus; until it is mended, ask the servers by hand with redis-cli ping.".into(),
        dashboard: Dashboard::Fleet,
        ..Alert::default()
    }
}

fn session_exporter_absent() -> Alert {
    Alert {
        name: "SessionExporterAbsent",
        scope: Scope::Everything,
        expr: "absent(up{$job})".into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "blind",
        summary: "Prometheus has no exporter of session stores to scrape: nobody watches them.".into(),
        description: "For $for there was no target of this job: it vanished from service discovery, the job was renamed, or its configuration was taken out. No alert about any session store can fire."
            .into(),
        remediation: "Compare the name of the job on the page Targets of Prometheus with the selector of these rules, then look at service discovery.".into(),
        dashboard: Dashboard::Fleet,
        ..Alert::default()
    }
}

/// While an exporter is down its instances are gone with it: that is one page, the exporter's. Which instances were whose is not known, since the label
/// `instance` is that of the Redis; so a job in which any exporter is down is left to SessionExporterDown.
fn session_store_vanished() -> Alert {
    Alert {
        name: "SessionStoreVanished",
        expr: "group by (job, environment, instance) (last_over_time(redis_connection_status{$job}[1h]))\n\
               unless\n\
               group by (job, environment, instance) (redis_connection_status{$job})\n\
               unless on (job)\n\
               job_instance:session_exporter_up:max == 0\n\
               and on (job)\n\
               job_instance:session_exporter_up:max == 1"
            .into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "blind",
        summary: "{{ $labels.instance }} ({{ $labels.environment }}) is not watched any more.".into(),
        description: "The exporter answers and has said nothing about {{ $labels.instance }} ({{ $labels.environment }}) for $for, although it did within the last hour. Expected when the instance was taken out of service; otherwise nobody would notice if it failed."
            .into(),
        remediation: "Look whether the instance still stands in the exporter's configuration and on its page; if it was taken out on purpose, wait an hour or silence this.".into(),
        dashboard: Dashboard::Fleet,
        ..Alert::default()
    }
}

fn session_exporter_crash_looping() -> Alert {
    Alert {
        name: "SessionExporterCrashLooping",
        also_known_as: &["PodCrashLooping"],
        scope: Scope::Target,
        expr: "max by (job, instance) (changes(process_start_time_seconds{$job}[15m])) >= $exporter_restarts".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "blind",
        summary: "The exporter {{ $labels.instance }} starts again and again.".into(),
        description: "{{ $labels.instance }} was started {{ $value | printf \"%.0f\" }} times within a quarter of an hour. Counters begin at 0 each time and waits begin anew, so other alerts come late or not at all."
            .into(),
        remediation: "Read the last lines of its log before it ended, and its exit code; if a deployment came before, roll it back.".into(),
        dashboard: Dashboard::Fleet,
        ..Alert::default()
    }
}

/// What INFO said leaves after a lifetime that follows from the configured interval; as long as it is there, a long interval is meant. A PING that is not sent any more takes
/// `redis_connection_status` away, which SessionStoreVanished tells.
fn session_exporter_stalled() -> Alert {
    Alert {
        name: "SessionExporterStalled",
        expr: "time() - max by (job, environment, instance) (redis_session_exporter_last_poll_timestamp_seconds{$job,kind=\"info\"} > 0) > $exporter_stalled\n\
               unless on (job, environment, instance)\n\
               redis_uptime_in_seconds{$job}\n\
               and on (job, environment, instance)\n\
               redis_connection_status{$job} == 1"
            .into(),
        hold: "2m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "blind",
        summary: "Nothing but PING is known of {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "{{ $labels.instance }} ({{ $labels.environment }}) answers PING, and INFO last worked {{ $value | humanizeDuration }} ago. Alerts about memory, clients, persistence and replication cannot fire."
            .into(),
        remediation: "Read the exporter's log and its page about the instance; run INFO as its user, which must be allowed to.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// The figures of a pass leave when the exporter holds them for too old by its own intervals, however long a pass takes; before that nothing is wrong. A pass that is still under
/// way examines keys.
fn session_scan_stale() -> Alert {
    Alert {
        name: "SessionScanStale",
        needs: &[Need::Feature(features::SESSIONS)],
        expr: "(\n\
               \x20 time() - max by (job, environment, instance, db) (session_scan_last_success_timestamp_seconds{$job} > 0) > $scan_stale\n\
               \x20 unless on (job, environment, instance, db)\n\
               \x20 session_scan_duration_seconds{$job}\n\
               )\n\
               unless on (job, environment, instance, db)\n\
               (\n\
               \x20 sum by (job, environment, instance, db) (increase(session_scan_keys_total{$job}[15m])) > 0\n\
               \x20 unless on (job, environment, instance, db)\n\
               \x20 time() - max by (job, environment, instance, db) (session_scan_last_success_timestamp_seconds{$job}) > $scan_fruitless\n\
               )\n\
               and on (job, environment, instance)\n\
               redis_connection_status{$job} == 1"
            .into(),
        hold: "15m".into(),
        priority: Priority::P2,
        team: Team::Backend,
        symptom: "scan",
        summary: "Sessions in {{ $labels.db }} of {{ $labels.instance }} ({{ $labels.environment }}) are not counted any more.".into(),
        description: "The last complete pass over {{ $labels.db }} of {{ $labels.instance }} ({{ $labels.environment }}) ended {{ $value | humanizeDuration }} ago, and its figures were too old to keep. Alerts about sessions, capacity and TTL cannot fire."
            .into(),
        remediation: "Read why the collector sessions fails on the exporter's page or in its log: most often the user may not SCAN any more.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// Collectors that have an alert of their own are left to it; a command that is denied is ExporterPermissionMissing's, and one that this server does not have is no fault.
fn session_exporter_collector_failing() -> Alert {
    Alert {
        name: "SessionExporterCollectorFailing",
        expr: "min by (job, environment, instance, collector) (redis_session_exporter_collector_success{$job,collector!~\"ping|connect|events|sessions|session_probe\"}) == 0\n\
               unless on (job, environment, instance, collector)\n\
               redis_session_exporter_collector_unavailable{$job} == 1\n\
               and on (job, environment, instance)\n\
               redis_connection_status{$job} == 1"
            .into(),
        hold: "15m".into(),
        priority: Priority::P3,
        team: Team::Ops,
        symptom: "blind",
        summary: "The collector {{ $labels.collector }} fails on {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "The server {{ $labels.instance }} ({{ $labels.environment }}) answers PING, and the collector {{ $labels.collector }} has not succeeded for $for. Its metrics are absent, and alerts and panels that build on them show nothing."
            .into(),
        remediation: "The exporter's log and its page about the instance say why the collector fails.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn session_exporter_config_reload_failed() -> Alert {
    Alert {
        name: "SessionExporterConfigReloadFailed",
        scope: Scope::Target,
        expr: "label_replace(\n\
               \x20 min by (job, instance) (redis_session_exporter_config_last_reload_successful{$job}), \"configuration\", \"main\", \"\", \"\"\n\
               ) == 0\n\
               or\n\
               label_replace(\n\
               \x20 min by (job, instance) (redis_session_exporter_web_config_last_reload_successful{$job}), \"configuration\", \"web\", \"\", \"\"\n\
               ) == 0"
            .into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "configuration",
        summary: "The {{ $labels.configuration }} configuration of the exporter {{ $labels.instance }} is not valid.".into(),
        description: "The {{ $labels.configuration }} configuration that {{ $labels.instance }} read last could not be used, so that the one before it stays in force: new instances are not watched, new certificates and passwords not used. With what is in the file now it would not start again."
            .into(),
        remediation: "Run redis-session-exporter --config.check with the same files, mend what it names, and let it read them again with SIGHUP.".into(),
        dashboard: Dashboard::Fleet,
        ..Alert::default()
    }
}

fn session_exporter_certificate_expiring() -> Alert {
    Alert {
        name: "SessionExporterCertificateExpiring",
        scope: Scope::Target,
        expr: "min by (job, instance) (redis_session_exporter_http_certificate_not_after_timestamp_seconds{$job}) - time() < $exporter_certificate_left".into(),
        hold: "1h".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "certificate",
        summary: "The certificate of the exporter {{ $labels.instance }} ends within $exporter_certificate_left.".into(),
        description: "The certificate with which {{ $labels.instance }} serves HTTPS {{ if gt $value 0.0 }}ends in {{ $value | humanizeDuration }}{{ else }}has ended{{ end }}. Once it has, Prometheus cannot scrape it any more."
            .into(),
        remediation: "Put the renewed certificate and key in place of the files that the web configuration names; they are read again by themselves.".into(),
        dashboard: Dashboard::Fleet,
        ..Alert::default()
    }
}

/// Only where events were heard within the last day: a server that never published any is configured so, and `feature_available` says it.
fn session_events_disconnected() -> Alert {
    Alert {
        name: "SessionEventsDisconnected",
        needs: &[Need::Feature(features::EVENTS)],
        expr: "max by (job, environment, instance) (session_events_connected{$job}) == 0\n\
               and on (job, environment, instance)\n\
               max_over_time(redis_session_exporter_feature_available{$job,feature=\"events\"}[1d:5m]) == 1\n\
               and on (job, environment, instance)\n\
               redis_connection_status{$job} == 1"
            .into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Backend,
        symptom: "events",
        summary: "Creations and endings of sessions are not heard any more at {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "{{ $labels.instance }} ({{ $labels.environment }}) answers PING, but its keyspace notifications have not been heard for $for, although they were within the last day. sessions_active is only as new as the last scan, and alerts about creations and log-outs cannot fire."
            .into(),
        remediation: "Ask the server for notify-keyspace-events: a restart without it in redis.conf resets it. Then look whether the exporter's user may subscribe.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn session_events_lost() -> Alert {
    Alert {
        name: "SessionEventsLost",
        needs: &[Need::Feature(features::EVENTS)],
        expr: "label_replace(\n\
               \x20 sum by (job, environment, instance) (increase(session_events_lost_total{$job}[30m])), \"lost\", \"notifications\", \"\", \"\"\n\
               ) > 0\n\
               or\n\
               label_replace(\n\
               \x20 sum by (job, environment, instance) (increase(session_events_gaps_total{$job,reason=\"disconnect\"}[30m])), \"lost\", \"connections\", \"\", \"\"\n\
               ) >= $events_interruptions"
            .into(),
        hold: "1m".into(),
        priority: Priority::P3,
        team: Team::Backend,
        symptom: "events",
        summary: "Notifications about sessions get lost at {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "Within half an hour {{ if eq $labels.lost \"notifications\" }}at least {{ $value | printf \"%.0f\" }} notifications of {{ $labels.instance }} ({{ $labels.environment }}) did not arrive{{ else }}the subscription to notifications of {{ $labels.instance }} ({{ $labels.environment }}) broke {{ $value | printf \"%.0f\" }} times{{ end }}. Creations and endings are counted too low; sessions_active is corrected by the next scan."
            .into(),
        remediation: "Compare client-output-buffer-limit pubsub of the server with the rate of session_events_received_total, and look at the CPU of the exporter.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn session_exporter_series_dropped() -> Alert {
    Alert {
        name: "SessionExporterSeriesDropped",
        expr: "sum by (job, environment, instance, reason) (increase(redis_session_exporter_series_dropped_total{$job}[1h])) > 0".into(),
        hold: "5m".into(),
        priority: Priority::P3,
        team: Team::Ops,
        symptom: "series",
        summary: "Some metrics of {{ $labels.instance }} ({{ $labels.environment }}) are left out ({{ $labels.reason }}).".into(),
        description: "Within an hour {{ $value | printf \"%.0f\" }} times something was left out of the metrics of {{ $labels.instance }} ({{ $labels.environment }}), for this reason: {{ $labels.reason }}. Sums over what is left are too low, and alerts about what is left out cannot fire."
            .into(),
        remediation: "The exporter's log names the limit that was reached, once; raise it under limits, or show less.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
