//! Encryption keys, tokens, permissions.

use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Scope, Team};
use crate::features::ENCRYPTION;

pub(crate) const FILE: File = File {
    name: "security",
    about: "Encryption keys, tokens, permissions.",
    groups,
};

/// What a server refuses, by the name in the metric and the label `kind`.
const ACL_DENIALS: [(&str, &str); 6] = [
    ("redis_acl_access_denied_auth_total", "auth"),
    ("redis_acl_access_denied_cmd_total", "command"),
    ("redis_acl_access_denied_key_total", "key"),
    ("redis_acl_access_denied_channel_total", "channel"),
    ("redis_acl_access_denied_db_total", "database"),
    ("redis_acl_access_denied_tls_cert_total", "certificate"),
];

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.security",
        interval: "15s",
        rules: vec![
            encryption_key_missing().into(),
            session_encryption_error_rate().into(),
            sessions_unencrypted().into(),
            token_validation_errors_elevated().into(),
            token_signature_attack().into(),
            redis_acl_denied().into(),
            exporter_permission_missing().into(),
        ],
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

/// The value is failures per minute in both branches, so that one text fits: their share where operations are counted, else their number. Errors without
/// any operation count as a share of everything: what fails before Redis is asked leaves no operation there.
fn session_encryption_error_rate() -> Alert {
    Alert {
        name: "SessionEncryptionErrorRate",
        needs: &[Need::ApplicationMetric("session_encryption_errors_total")],
        expr: "60 * job_environment_instance:session_encryption_errors:rate5m > $encryption_errors_least\n\
               and on (job, environment, instance)\n\
               (\n  \
                 job_environment_instance:session_encryption_errors:rate5m / job_environment_instance:session_operations:rate5m > $encryption_error_ratio\n  \
                 or\n  \
                 (\n    \
                   60 * job_environment_instance:session_encryption_errors:rate5m > $encryption_errors_uncounted\n    \
                   unless on (job, environment, instance)\n    \
                   job_environment_instance:session_operations:rate5m\n  \
                 )\n\
               )"
        .into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Security,
        symptom: "encryption",
        summary: "Encryption or decryption of sessions at Redis {{ $labels.instance }} ({{ $labels.environment }}) fails.".into(),
        description: "{{ printf \"%.1f\" $value }} encryptions or decryptions per minute fail at {{ $labels.instance }} ({{ $labels.environment }}): more than $encryption_error_ratio of its session \
                      operations, or, where those are not counted, more than $encryption_errors_uncounted per minute. Whose session cannot be decrypted is logged out."
            .into(),
        remediation: "Look at which error_type grows: decrypt_failed after a change of keys means that the old key is no longer configured. Give it back, or roll back.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// The lower end of the interval is above 0 when a value without the prefix was seen. Samples differ, so a pass that sees none does not end it at once; and one
/// value that is seen by one pass alone, of a test or a tool, does not last.
fn sessions_unencrypted() -> Alert {
    Alert {
        name: "SessionsUnencrypted",
        needs: &[Need::Feature(ENCRYPTION)],
        scope: Scope::Store,
        expr: "max by (job, environment, instance, store) (max_over_time(sessions_unencrypted_low{$job}[3m])) > 0".into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Security,
        symptom: "encryption",
        summary: "Sessions of {{ $labels.store }} at Redis {{ $labels.instance }} ({{ $labels.environment }}) are stored in the clear.".into(),
        description: "At least {{ printf \"%.0f\" $value }} sessions of {{ $labels.store }} at {{ $labels.instance }} ({{ $labels.environment }}) do not begin as encrypted ones do. Whoever can \
                      read that Redis, its dumps or its backups can take over these users."
            .into(),
        remediation: "Find the process or the release that writes without encryption, stop it, and end the sessions that it wrote.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn token_validation_errors_elevated() -> Alert {
    Alert {
        name: "TokenValidationErrorsElevated",
        also_known_as: &["AuthFailureElevated"],
        needs: &[Need::ApplicationMetric("tokens_validation_errors_total")],
        expr: "60 * sum by (job, environment, instance) (rate(tokens_validation_errors_total{$job}[5m])) > $token_errors".into(),
        hold: "10m".into(),
        priority: Priority::P2,
        team: Team::Security,
        symptom: "auth",
        summary: "Many tokens at {{ $labels.instance }} ({{ $labels.environment }}) are not valid.".into(),
        description: "{{ printf \"%.0f\" $value }} tokens per minute were turned away at {{ $labels.instance }} ({{ $labels.environment }}), more than $token_errors for $for. Either users \
                      are thrown out, or somebody tries."
            .into(),
        remediation: "Look at the split by error_type: expired means clocks or a changed lifetime, invalid_signature keys or forgery, malformed a scanner.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// The hour before the last one is compared with, so that an attack does not soon become its own measure. Where the instance was not watched then, nothing is
/// known and nothing is said; where it was, and this counter was not there, there were none.
fn token_signature_attack() -> Alert {
    Alert {
        name: "TokenSignatureAttack",
        also_known_as: &["CsrfFailureSpike", "SecurityEventAnomaly"],
        needs: &[Need::ApplicationMetric("tokens_validation_errors_total")],
        expr: "60 * sum by (job, environment, instance) (rate(tokens_validation_errors_total{$job,error_type=\"invalid_signature\"}[5m])) > $signature_errors\n\
               and on (job, environment, instance)\n\
               max by (job, environment, instance) (count_over_time(redis_connection_status{$job}[1h] offset 1h))\n\
               unless on (job, environment, instance)\n\
               sum by (job, environment, instance) (rate(tokens_validation_errors_total{$job,error_type=\"invalid_signature\"}[5m]))\n\
               <= $signature_errors_factor * sum by (job, environment, instance) (rate(tokens_validation_errors_total{$job,error_type=\"invalid_signature\"}[1h] offset 1h))"
            .into(),
        hold: "5m".into(),
        priority: Priority::P1,
        team: Team::Security,
        symptom: "auth",
        summary: "Tokens with wrong signatures come in at {{ $labels.instance }} ({{ $labels.environment }}), far more than before.".into(),
        description: "{{ printf \"%.0f\" $value }} tokens per minute with wrong signatures at {{ $labels.instance }} ({{ $labels.environment }}), more than $signature_errors_factor times \
                      as many as in the hour before the last. Either somebody forges tokens, or the application signs with one key and checks with another, which logs everybody out."
            .into(),
        remediation: "Was a key or a release changed within the hour? Then roll back. If not, look at the edge for the few addresses that they come from, and block them there.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// What the server refuses to the exporter itself comes in bursts at least ten minutes apart, or once with a new connection. The window is shorter than the wait, so
/// that no burst, however large, holds for long enough, nor a counter that jumps because it could not be read for some minutes.
fn redis_acl_denied() -> Alert {
    let kinds: Vec<String> = ACL_DENIALS
        .iter()
        .map(|(metric, kind)| format!("  label_replace(rate({metric}{{$job}}[5m]), \"kind\", \"{kind}\", \"\", \"\")"))
        .collect();
    Alert {
        name: "RedisACLDenied",
        needs: &[Need::Redis(7, 2)],
        expr: format!(
            "60 * max by (job, environment, instance, kind) (\n{}\n) > $acl_denied",
            kinds.join("\n  or\n")
        )
        .into(),
        hold: "10m".into(),
        priority: Priority::P2,
        team: Team::Security,
        symptom: "acl",
        summary: "Redis {{ $labels.instance }} ({{ $labels.environment }}) goes on refusing somebody: {{ $labels.kind }}.".into(),
        description: "{{ $labels.instance }} ({{ $labels.environment }}) refuses {{ printf \"%.0f\" $value }} times per minute, for $for, what its ACL does not allow ({{ $labels.kind }}). Either an \
                      application has a wrong password or too few rights, or somebody tries what is not theirs."
            .into(),
        remediation: "ACL LOG says who was refused, from where and what; a known client needs its rights mended, an unknown one its address blocked.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn exporter_permission_missing() -> Alert {
    Alert {
        name: "ExporterPermissionMissing",
        expr: "count by (job, environment, instance) (\n  \
                 max by (job, environment, instance, collector) (max_over_time(redis_session_exporter_collector_unavailable{$job,reason=\"denied\"}[10m])) == 1\n\
               )"
        .into(),
        hold: "1h".into(),
        priority: Priority::P3,
        team: Team::Ops,
        symptom: "permissions",
        summary: "The exporter may not read everything of Redis {{ $labels.instance }} ({{ $labels.environment }}).".into(),
        description: "{{ printf \"%.0f\" $value }} of its collectors lack a permission at {{ $labels.instance }} ({{ $labels.environment }}). What they show is absent, and alerts that build on it \
                      cannot fire."
            .into(),
        remediation: "redis-session-exporter acl prints the line that mends it, check says what is missing; a collector that shall not run is switched off in the configuration.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
