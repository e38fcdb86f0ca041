//! Does the server answer, and does it let new clients in?

use crate::alerts::{Alert, Dashboard, Priority, Rule, Team};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        redis_connection_lost().into(),
        redis_connection_flapping().into(),
        redis_connect_failing().into(),
    ]
}

/// Literally what the status says: an exporter that is down shows no series, and is silent here.
fn redis_connection_lost() -> Alert {
    Alert {
        name: "RedisConnectionLost",
        also_known_as: &["RedisDown"],
        expr: "min by (job, environment, instance) (redis_connection_status{$job}) == 0".into(),
        hold: "30s".into(),
        // Longer than SessionWritesRefused goes on, which it explains.
        keep: "3m",
        priority: Priority::P0,
        team: Team::Backend,
        symptom: "availability",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) cannot be used: logins fail.".into(),
        // The state is a label of another series, so that the alert does not start anew when the reason changes. MISCONF is named here since it is the one error of a server
        // that answers PING with an error, and since this alert holds back SessionWritesRefused.
        description: "For $for {{ $labels.instance }} ({{ $labels.environment }}) did not answer PING with PONG; \
             the exporter's reason is \
             {{ with printf `redis_connection_state{job=%q,environment=%q,instance=%q} == 1` $labels.job $labels.environment $labels.instance | query }}\
             {{ . | first | label `state` }}{{ else }}unknown{{ end }}\
             {{ with printf `redis_up{job=%q,environment=%q,instance=%q} == 1 and on () increase(redis_errors_total{job=%q,environment=%q,instance=%q,err=\"MISCONF\"}[2m]) > 0` \
             $labels.job $labels.environment $labels.instance $labels.job $labels.environment $labels.instance | query }}: \
             it cannot save to its disk, and refuses PING and all writes with MISCONF until it can{{ end }}. \
             Nobody whose session lives there can log in or stay logged in. With the reason auth or denied \
             the exporter's own user may have been changed: then it is blind and the application may still work."
            .into(),
        remediation: "Ask the server by hand with redis-cli PING as the application's user, then bring it back or fail over.".into(),
        ..Alert::default()
    }
}

fn redis_connection_flapping() -> Alert {
    Alert {
        name: "RedisConnectionFlapping",
        expr: "max by (job, environment, instance) (changes(redis_connection_status{$job}[15m])) >= $flapping_changes".into(),
        hold: "1m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "availability",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) comes and goes.".into(),
        description: "The connection to {{ $labels.instance }} ({{ $labels.environment }}) was lost or came back {{ $value | printf `%.0f` }} times within 15 minutes \
             (limit: $flapping_changes), also when no loss lasted long enough for RedisConnectionLost. Each time logins failed for a while."
            .into(),
        remediation: "See in redis_connection_errors_total which reason repeats: timeouts point at a blocked server or the network, refusals at restarts.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// The kept connection works, a fresh one does not: whoever is in stays in, whoever restarts stays out.
fn redis_connect_failing() -> Alert {
    Alert {
        name: "RedisConnectFailing",
        expr: "min by (job, environment, instance) (redis_connect_success{$job}) == 0\n\
               and\n\
               min by (job, environment, instance) (redis_connection_status{$job}) == 1"
            .into(),
        hold: "2m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "availability",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) lets no new client in.".into(),
        description: "For $for every fresh connection to {{ $labels.instance }} ({{ $labels.environment }}) failed while an old one still works; \
             the most frequent reason in the last 5 minutes is \
             {{ with printf `topk(1, increase(redis_connection_errors_total{job=%q,environment=%q,instance=%q}[5m]) > 0)` $labels.job $labels.environment $labels.instance | query }}\
             {{ . | first | label `reason` }}{{ else }}unknown{{ end }}. \
             Processes of the application that restart or grow their pool fail; when the old connections end, nobody can log in."
            .into(),
        remediation: "Do not restart the application. Mend the reason: max_clients means the server is full, auth a changed password, tls an ended certificate.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
