//! Encryption keys, tokens, permissions.

use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Team};

pub(crate) const FILE: File = File {
    name: "security",
    about: "Encryption keys, tokens, permissions.",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.security",
        interval: "15s",
        rules: vec![encryption_key_missing().into()],
    }]
}

/// Three ways to see it. A counter that the application writes for the first time is not born at 0 unless `label_values` lists it, and `increase` does not
/// see its first value: so what was not there in the hour before, while the server was, counts as new. The gauge is written by every process of the application
/// in turn, so that one of them without a key is seen for a moment only.
fn encryption_key_missing() -> Alert {
    Alert {
        name: "EncryptionKeyMissing",
        needs: &[Need::AnyOf(&[
            Need::ApplicationMetric("session_encryption_errors_total"),
            Need::ApplicationMetric("session_encryption_key_present"),
        ])],
        expr: "sum by (job, environment, instance) (increase(session_encryption_errors_total{$job,error_type=\"key_missing\"}[10m])) > 0\n\
               or\n\
               (\n  \
                 sum by (job, environment, instance) (session_encryption_errors_total{$job,error_type=\"key_missing\"}) > 0\n  \
                 unless on (job, environment, instance)\n  \
                 max by (job, environment, instance) (max_over_time(session_encryption_errors_total{$job,error_type=\"key_missing\"}[1h] offset 10m))\n  \
                 and on (job, environment, instance)\n  \
                 max by (job, environment, instance) (max_over_time(redis_connection_status{$job}[1h] offset 10m)) == 1\n\
               )\n\
               or\n\
               min by (job, environment, instance) (min_over_time(session_encryption_key_present{$job}[5m])) == 0"
            .into(),
        priority: Priority::P1,
        team: Team::Security,
        symptom: "encryption",
        summary: "The application of Redis {{ $labels.instance }} ({{ $labels.environment }}) has no encryption key: tokens are not encrypted.".into(),
        description: "{{ if gt $value 0.0 }}The encryption key was missing {{ printf \"%.0f\" $value }} times within ten minutes{{ else }}The application says that it has no encryption key{{ end }}. \
                      What it stores at {{ $labels.instance }} ({{ $labels.environment }}) meanwhile may lie there in the clear, and what was encrypted before it cannot read: users are logged out."
            .into(),
        remediation: "Stop the rollout, see that the secret with the key reaches every process of the application, and restart those that have none.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
