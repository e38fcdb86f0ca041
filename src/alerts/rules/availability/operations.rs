//! Does the server do what it is asked, although it answers?

use crate::alerts::rules::COUNTS_ERRORS;
use crate::alerts::{Alert, Dashboard, Need, Priority, Rule, Team};
use crate::features::{OPERATIONS, SESSION_PROBE};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        session_writes_refused().into(),
        session_writes_refused_by_a_replica().into(),
        session_probe_failing().into(),
        session_service_degraded().into(),
        session_operation_error_rate().into(),
        session_operation_error_rate_elevated().into(),
    ]
}

/// Refused in several readings of INFO rather than often: one refused write moves the counter once, and so does the second of a failover in which
/// a thousand are refused. A restart, which begins to count anew, moves it once as well.
///
/// `redis_up` instead of `redis_connection_status`, since MISCONF is the answer to PING, too (Redis 7.0 server.c, processCommand). The condition is there since a range
/// outlives its series by five minutes: a server that died in the meantime has an alert of its own.
const REFUSED: &str = "max by (job, environment, instance, err) (increase(redis_errors_total{$job,err=~\"OOM|MISCONF|READONLY|NOREPLICAS\"}[5m]))\n\
     and\n\
     max by (job, environment, instance, err) (changes(redis_errors_total{$job,err=~\"OOM|MISCONF|READONLY|NOREPLICAS\"}[5m])) >= $refused_readings\n\
     and on (job, environment, instance)\n\
     min by (job, environment, instance) (redis_up{$job}) == 1";

/// READONLY where a replica has been one for a day: a stray client. An instance that was the primary a day ago was demoted beneath the application, which is an outage.
const BY_A_REPLICA: &str = "group by (job, environment, instance, err) (redis_errors_total{$job,err=\"READONLY\"})\n\
     and on (job, environment, instance) job_environment_instance:redis_instance_info:standing_replica";

/// MISCONF where the connection is back after it was lost within the window: PING is refused with MISCONF as well, so RedisConnectionLost told it, and it is over. Refusals within the window
/// would be a second page for it.
const MISCONF_IS_OVER: &str = "label_replace(\n\
     min by (job, environment, instance) (redis_connection_status{$job}) == 1\n\
     and\n\
     min by (job, environment, instance) (min_over_time(redis_connection_status{$job}[5m])) == 0,\n\
     \"err\", \"MISCONF\", \"\", \"\")";

fn session_writes_refused() -> Alert {
    Alert {
        name: "SessionWritesRefused",
        needs: &[COUNTS_ERRORS],
        expr: format!("{REFUSED}\nunless\n(\n{BY_A_REPLICA}\n)\nunless on (job, environment, instance, err)\n{MISCONF_IS_OVER}").into(),
        hold: "30s".into(),
        // It explains SessionOperationErrorRate, whose share of five minutes falls a little later than the third reading leaves the same five minutes: that would
        // be a page when all is well again.
        keep: "2m",
        priority: Priority::P0,
        team: Team::Backend,
        symptom: "refused_writes",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) refuses writes with {{ $labels.err }}: nobody can log in.".into(),
        description: "{{ $labels.instance }} ({{ $labels.environment }}) answers, but refused about {{ $value | printf `%.0f` }} commands with {{ $labels.err }} within 5 minutes. \
             {{ if eq $labels.err `OOM` }}It uses all of its maxmemory and may not evict anything.\
             {{ else if eq $labels.err `MISCONF` }}It cannot write its snapshot or append-only file, and takes no writes until it can; PING is refused as well.\
             {{ else if eq $labels.err `READONLY` }}It was the primary within the last day and is a replica now, and the application still writes to it.\
             {{ else }}It has fewer connected replicas than min-replicas-to-write.{{ end }} \
             Who is logged in may stay so; new logins, renewals and logouts fail."
            .into(),
        remediation: "{{ if eq $labels.err `OOM` }}Raise maxmemory with CONFIG SET if the host has room, then see RedisMemoryCritical\
             {{ else if eq $labels.err `MISCONF` }}Look at the disk of the server: full, read-only or without permission; writes are taken again after the next save that succeeds\
             {{ else if eq $labels.err `READONLY` }}Find the primary with INFO replication and point the application at it\
             {{ else }}Bring the replicas back, or lower min-replicas-to-write until they are{{ end }}."
            .into(),
        ..Alert::default()
    }
}

fn session_writes_refused_by_a_replica() -> Alert {
    Alert {
        name: "SessionWritesRefused",
        needs: &[COUNTS_ERRORS],
        expr: format!("{REFUSED}\nand\n(\n{BY_A_REPLICA}\n)").into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Backend,
        symptom: "refused_writes",
        summary: "Somebody writes to the replica {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "{{ $labels.instance }} ({{ $labels.environment }}), a replica that was no primary within the last day, refused about {{ $value | printf `%.0f` }} writes with {{ $labels.err }} within 5 minutes. \
             Some client has the wrong address: what it wants to store is lost."
            .into(),
        remediation: "Find the client with CLIENT LIST on the replica and give it the address of the primary.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn session_probe_failing() -> Alert {
    Alert {
        name: "SessionProbeFailing",
        needs: &[Need::Feature(SESSION_PROBE)],
        expr: "min by (job, environment, instance) (session_probe_success{$job}) == 0\n\
               and\n\
               min by (job, environment, instance) (redis_connection_status{$job}) == 1"
            .into(),
        hold: "2m".into(),
        priority: Priority::P1,
        team: Team::Backend,
        symptom: "errors",
        summary: "A session cannot be written, read, renewed and deleted on {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "For $for the synthetic session failed on {{ $labels.instance }} ({{ $labels.environment }}) although PING is answered; \
             what failed most in the last 5 minutes is \
             {{ with printf `topk(1, increase(session_probe_operations_total{job=%q,environment=%q,instance=%q,status=\"error\"}[5m]) > 0)` $labels.job $labels.environment $labels.instance | query }}\
             {{ . | first | label `operation` }}{{ else }}unknown{{ end }}. Logins most likely fail in the same way."
            .into(),
        remediation: "Write and read a key by hand as the application's user: the error reply says what is wrong.".into(),
        ..Alert::default()
    }
}

/// Slow as PING, the probe or an application's own histogram say it: the server's ends at a second.
fn session_service_degraded() -> Alert {
    Alert {
        name: "SessionServiceDegraded",
        also_known_as: &["ServiceDegraded"],
        // Operations of a server that counts their errors, or the probe.
        needs: &[
            Need::AnyOf(&[Need::Feature(OPERATIONS), Need::Feature(SESSION_PROBE)]),
            Need::AnyOf(&[COUNTS_ERRORS, Need::Feature(SESSION_PROBE)]),
        ],
        expr: "(\n\
               (\n\
               job_environment_instance:session_operation_errors:ratio_rate5m > $degraded_errors\n\
               and\n\
               job_environment_instance:session_operations:rate5m > $operations_floor\n\
               unless\n\
               job_environment_instance:redis_instance_info:standing_replica\n\
               )\n\
               or\n\
               (\n\
               job_environment_instance:session_probe_errors:ratio_rate5m > $degraded_errors\n\
               and\n\
               job_environment_instance:session_probe_errors:rate5m > $probe_errors_floor\n\
               )\n\
               )\n\
               and\n\
               job_environment_instance:session_latency_seconds:p95_rate5m > $degraded_latency"
            .into(),
        hold: "2m".into(),
        priority: Priority::P0,
        team: Team::Backend,
        symptom: "degraded",
        summary: "Sessions on {{ $labels.instance }} ({{ $labels.environment }}) are both slow and failing.".into(),
        description: "{{ $value | humanizePercentage }} of the operations on {{ $labels.instance }} ({{ $labels.environment }}) fail (limit: $degraded_errors), \
             and 5% of them take longer than \
             {{ with printf `job_environment_instance:session_latency_seconds:p95_rate5m{job=%q,environment=%q,instance=%q}` $labels.job $labels.environment $labels.instance | query }}\
             {{ . | first | value | humanizeDuration }}{{ else }}$degraded_latency{{ end }} (limit: $degraded_latency). \
             Users see logins that hang and then fail."
            .into(),
        remediation: "Look at the network and the processor of the server first: slow and failing together is seldom a mistake of the application.".into(),
        ..Alert::default()
    }
}

/// Operations that failed, where there are enough to speak of a share.
///
/// Where an instance has been a replica for a day a stray client that writes to it would be all of the errors; [`session_writes_refused_by_a_replica`] tells of it.
fn operation_errors(threshold: &str) -> String {
    format!(
        "job_environment_instance:session_operation_errors:ratio_rate5m > ${threshold}\n\
         and\n\
         job_environment_instance:session_operations:rate5m > $operations_floor\n\
         unless\n\
         job_environment_instance:redis_instance_info:standing_replica"
    )
}

fn session_operation_error_rate() -> Alert {
    Alert {
        name: "SessionOperationErrorRate",
        also_known_as: &["CriticalErrorRate"],
        needs: &[Need::Feature(OPERATIONS), COUNTS_ERRORS],
        expr: operation_errors("error_rate_critical").into(),
        hold: "5m".into(),
        priority: Priority::P0,
        team: Team::Backend,
        symptom: "errors",
        summary: "More than $error_rate_critical of the session operations on {{ $labels.instance }} ({{ $labels.environment }}) fail.".into(),
        description: "{{ $value | humanizePercentage }} of the session operations on {{ $labels.instance }} ({{ $labels.environment }}) failed or were refused over 5 minutes, \
             for $for now. As many logins and page views fail, or are slower because they are tried again."
            .into(),
        remediation: "See in redis_errors_total which error rises: it names the cause. Then roll back what was deployed in the last hour.".into(),
        ..Alert::default()
    }
}

fn session_operation_error_rate_elevated() -> Alert {
    Alert {
        name: "SessionOperationErrorRateElevated",
        also_known_as: &["HighErrorRate"],
        needs: &[Need::Feature(OPERATIONS), COUNTS_ERRORS],
        expr: operation_errors("error_rate_elevated").into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Backend,
        symptom: "errors",
        summary: "More than $error_rate_elevated of the session operations on {{ $labels.instance }} ({{ $labels.environment }}) fail.".into(),
        description: "{{ $value | humanizePercentage }} of the session operations on {{ $labels.instance }} ({{ $labels.environment }}) failed or were refused over 5 minutes, \
             for $for now. Some users are affected; from $error_rate_critical on it is an outage."
            .into(),
        remediation: "See in redis_errors_total which error rises, and which operation fails: session_operations_total by operation.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
