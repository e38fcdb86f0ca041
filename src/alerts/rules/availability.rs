//! Can users log in right now?

use crate::alerts::{Alert, File, Group, Priority, Team};

pub(crate) const FILE: File = File {
    name: "availability",
    about: "Can users log in right now? Connections, refused writes, failing operations, clients.",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.availability",
        interval: "15s",
        rules: vec![redis_connection_lost().into()],
    }]
}

fn redis_connection_lost() -> Alert {
    Alert {
        name: "RedisConnectionLost",
        also_known_as: &["RedisDown"],
        expr: "min by (job, environment, instance) (redis_connection_status{$job}) == 0".into(),
        hold: "30s".into(),
        keep: "1m",
        priority: Priority::P0,
        team: Team::Backend,
        symptom: "availability",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) cannot be used: logins fail.".into(),
        description: "For $for no PING was answered by {{ $labels.instance }} ({{ $labels.environment }}). Nobody whose session lives there can log in or stay logged in.".into(),
        remediation: "Read the reason in redis_connection_state or on the exporter's page, then ask the server by hand with redis-cli ping.".into(),
        ..Alert::default()
    }
}
