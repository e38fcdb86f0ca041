//! Is there room for those who want to talk to the server: its own clients, and the pools, breakers and queues of the application.

use crate::alerts::{Alert, Dashboard, Need, Priority, Rule, Team};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        redis_clients_high().into(),
        redis_blocked_clients().into(),
        redis_rejected_connections().into(),
        session_pool_saturated().into(),
        session_circuit_breaker_open().into(),
        job_queue_backlog().into(),
    ]
}

fn redis_clients_high() -> Alert {
    Alert {
        name: "RedisClientsHigh",
        also_known_as: &["RedisTooManyConnections"],
        expr: "job_environment_instance:redis_clients_used:ratio > $clients_high".into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "clients",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) has little room for more clients.".into(),
        description: "{{ $labels.instance }} ({{ $labels.environment }}) has {{ $value | humanizePercentage }} of the clients that maxclients allows (limit: $clients_high). \
             At 100% new connections are turned away and logins fail."
            .into(),
        remediation: "Count the clients by address in CLIENT LIST: one process that holds most of them leaks connections.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn redis_blocked_clients() -> Alert {
    Alert {
        name: "RedisBlockedClients",
        expr: "max by (job, environment, instance) (redis_blocked_clients{$job}) > $blocked_clients".into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Ops,
        symptom: "blocked_clients",
        summary: "Many clients of Redis {{ $labels.instance }} ({{ $labels.environment }}) wait in blocking commands.".into(),
        description: "{{ $value | humanize }} clients of {{ $labels.instance }} ({{ $labels.environment }}) wait in commands such as BLPOP, XREAD or WAIT (limit: $blocked_clients). \
             A store of sessions has no use for these; each holds a connection that a login may want."
            .into(),
        remediation: "See in CLIENT LIST what they wait in. Workers of a queue that shares this server are harmless: raise the limit for them.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn redis_rejected_connections() -> Alert {
    Alert {
        name: "RedisRejectedConnections",
        expr: "max by (job, environment, instance) (increase(redis_rejected_connections_total{$job}[5m])) > $rejected_connections".into(),
        hold: "1m".into(),
        priority: Priority::P1,
        team: Team::Ops,
        symptom: "clients",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) turns connections away.".into(),
        description: "{{ $labels.instance }} ({{ $labels.environment }}) turned away about {{ $value | humanize }} connections within 5 minutes, since maxclients was reached. \
             Whoever wanted to log in over one of them could not."
            .into(),
        remediation: "Raise maxclients with CONFIG SET to gain time, then find who holds the connections in CLIENT LIST.".into(),
        ..Alert::default()
    }
}

/// Either half alone is enough, and either metric alone: an application may publish one of them only. The size is what is in use and available together where
/// the application does not publish it, and then both must be there.
fn session_pool_saturated() -> Alert {
    Alert {
        name: "SessionPoolSaturated",
        also_known_as: &["DbConnectionsCritical"],
        needs: &[Need::AnyOf(&[
            Need::ApplicationMetric("redis_pool_pending"),
            Need::ApplicationMetric("redis_pool_connections"),
        ])],
        expr: "max by (job, environment, instance) (redis_pool_pending{$job}) > $pool_waiting\n\
               or\n\
               max by (job, environment, instance) (redis_pool_connections{$job,state=\"in_use\"})\n\
               / (\n\
               max by (job, environment, instance) (redis_pool_size{$job}) > 0\n\
               or\n\
               max by (job, environment, instance) (redis_pool_connections{$job,state=\"in_use\"})\n\
               + max by (job, environment, instance) (redis_pool_connections{$job,state=\"available\"})\n\
               ) > $pool_in_use"
            .into(),
        hold: "2m".into(),
        priority: Priority::P1,
        team: Team::Backend,
        symptom: "pool",
        summary: "The application's connection pool to {{ $labels.instance }} ({{ $labels.environment }}) is exhausted.".into(),
        description: "In the application's pool of connections to {{ $labels.instance }} ({{ $labels.environment }}) \
             {{ with printf `max(redis_pool_pending{job=%q,environment=%q,instance=%q})` $labels.job $labels.environment $labels.instance | query }}\
             {{ . | first | value | humanize }}{{ else }}an unknown number of{{ end }} requests wait (limit: $pool_waiting) and \
             {{ with printf `max(redis_pool_connections{job=%q,environment=%q,instance=%q,state=\"in_use\"})` $labels.job $labels.environment $labels.instance | query }}\
             {{ . | first | value | humanize }}{{ else }}an unknown number of{{ end }} connections are in use (limit: $pool_in_use of them). \
             Users wait for logins although Redis itself may be fast."
            .into(),
        remediation: "Is Redis slow (HighSessionLatency)? If not, connections are not given back: restart one process and see whether its pool fills again.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// One opening is enough: a breaker opens after many calls have failed.
fn session_circuit_breaker_open() -> Alert {
    Alert {
        name: "SessionCircuitBreakerOpen",
        needs: &[Need::ApplicationMetric("circuit_breaker_opens_total")],
        expr: "sum by (job, environment, instance) (increase(circuit_breaker_opens_total{$job}[10m])) > $circuit_breaker_opens".into(),
        priority: Priority::P1,
        team: Team::Backend,
        symptom: "breaker",
        summary: "The application's circuit breaker before {{ $labels.instance }} ({{ $labels.environment }}) opened.".into(),
        description: "The circuit breaker before {{ $labels.instance }} ({{ $labels.environment }}) opened about {{ $value | humanize }} times within 10 minutes. \
             While it is open no session is read from Redis: the application falls back to its database, or logs users out."
            .into(),
        remediation: "Look at latency, errors and connection of the store in the last 15 minutes; when it was healthy, look at the network and the breaker's limits.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn job_queue_backlog() -> Alert {
    Alert {
        name: "JobQueueBacklog",
        needs: &[Need::ApplicationMetric("job_queue_pending")],
        expr: "max by (job, environment, instance) (job_queue_pending{$job}) > $job_queue_backlog".into(),
        hold: "10m".into(),
        priority: Priority::P2,
        team: Team::Backend,
        symptom: "queue",
        summary: "Jobs pile up in the queue on {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "{{ $value | humanize }} jobs wait in the queue on {{ $labels.instance }} ({{ $labels.environment }}), more than $job_queue_backlog for $for. \
             What users asked for is done late, and the queue takes memory from the sessions beside it."
            .into(),
        remediation: "See whether the workers run and whether one job fails again and again; then start more workers.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
