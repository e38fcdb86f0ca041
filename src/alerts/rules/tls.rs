//! Certificates, handshakes and connections without TLS.

use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Rule, Team};
use crate::features::{CLIENT_LIST, TLS};

pub(crate) const FILE: File = File {
    name: "tls",
    about: "Certificates, handshakes and connections without TLS.",
    groups,
};

/// Certificates that end, each with how urgent that is: the threshold, the priority, and the wait, which spares whoever renews at that very moment, or node by
/// node.
const SERVER_CERTIFICATE: [(&str, Priority, &str); 3] = [
    ("tls_certificate_notice", Priority::P3, "15m"),
    ("tls_certificate_soon", Priority::P2, "15m"),
    ("tls_certificate_urgent", Priority::P1, "5m"),
];

/// As [`SERVER_CERTIFICATE`], for what clients of the server do not see.
const CLIENT_CERTIFICATE: [(&str, Priority, &str); 2] = [
    ("tls_client_certificate_soon", Priority::P2, "15m"),
    ("tls_client_certificate_urgent", Priority::P1, "5m"),
];

/// Servers that say when the certificates end that they have loaded.
const SAYS_ITS_CERTIFICATES: Need = Need::AnyOf(&[Need::Product("Valkey", 9, 1), Need::Product("Dragonfly", 0, 0)]);

/// Clients that came without TLS within five minutes: whoever connects for each request is not there at every count.
const PLAINTEXT: &str = "max by (job, environment, instance) (max_over_time(redis_tls_connections_active{$production,tls_enabled=\"false\"}[5m])) > 0";

/// Instances at which TLS is in use: clients came with it within the hour, or the exporter itself speaks it.
const SPEAKS_TLS: &str = "(\n  \
    max by (job, environment, instance) (max_over_time(redis_tls_connections_active{$production,tls_enabled=\"true\"}[1h])) > 0\n  \
    or\n  \
    max by (job, environment, instance) (redis_tls_verification_skipped{$production}) >= 0\n\
    )";

fn groups() -> Vec<Group> {
    let mut rules: Vec<Rule> = vec![
        tls_connection_errors().into(),
        plaintext_beside_tls().into(),
        plaintext_alone().into(),
        not_verified().into(),
        verification_skipped().into(),
    ];
    rules.extend(SERVER_CERTIFICATE.map(|grade| server_certificate(grade).into()));
    rules.extend(CLIENT_CERTIFICATE.map(|grade| client_certificate(grade).into()));
    vec![Group {
        name: "redis-session-store.tls",
        interval: "15s",
        rules,
    }]
}

fn tls_connection_errors() -> Alert {
    Alert {
        name: "TLSConnectionErrors",
        needs: &[Need::Feature(TLS)],
        expr: "sum by (job, environment, instance, reason) (increase(redis_tls_errors_total{$job}[10m])) > $tls_errors".into(),
        hold: "1m".into(),
        priority: Priority::P3,
        team: Team::Ops,
        symptom: "tls",
        summary: "TLS handshakes with Redis {{ $labels.instance }} ({{ $labels.environment }}) fail: {{ $labels.reason }}.".into(),
        description: "{{ printf \"%.0f\" $value }} handshakes of the exporter with {{ $labels.instance }} ({{ $labels.environment }}) failed within ten minutes, for the reason \
                      {{ $labels.reason }}. Every client that checks in the same way is turned away as well; what fails for others the server does not count."
            .into(),
        remediation: "Look at the certificate that the server shows with openssl s_client, its dates, names and authority; then at what was changed last: a certificate, ca_file, tls-protocols."
            .into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn plaintext_beside_tls() -> Alert {
    Alert {
        name: "RedisPlaintextConnections",
        needs: &[Need::Feature(CLIENT_LIST), Need::Production],
        expr: format!("{PLAINTEXT}\nand on (job, environment, instance)\n{SPEAKS_TLS}").into(),
        hold: "15m".into(),
        priority: Priority::P2,
        team: Team::Security,
        symptom: "plaintext",
        summary: "Clients of Redis {{ $labels.instance }} ({{ $labels.environment }}) come without TLS, although it speaks TLS.".into(),
        description: "Up to {{ printf \"%.0f\" $value }} connections at once came in at the plain port of {{ $labels.instance }} ({{ $labels.environment }}) for $for, beside those with TLS. Passwords \
                      and sessions of these clients pass the network in the clear."
            .into(),
        remediation: "Find out who they are with CLIENT LIST (laddr ends in the plain port), give them the TLS port, then close the plain one with port 0.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

/// A server without TLS is as a rule somebody's decision: a ticket says so once, and whoever has decided it switches the alert off.
fn plaintext_alone() -> Alert {
    Alert {
        name: "RedisPlaintextConnections",
        needs: &[Need::Feature(CLIENT_LIST), Need::Production],
        expr: format!("{PLAINTEXT}\nunless on (job, environment, instance)\n{SPEAKS_TLS}").into(),
        hold: "15m".into(),
        priority: Priority::P3,
        team: Team::Security,
        symptom: "plaintext",
        summary: "All clients of Redis {{ $labels.instance }} ({{ $labels.environment }}) come without TLS.".into(),
        description: "Up to {{ printf \"%.0f\" $value }} connections at once came in at the plain port of {{ $labels.instance }} ({{ $labels.environment }}) for $for, and none with TLS. Passwords and \
                      sessions pass the network in the clear, unless a tunnel or the host itself is between client and server."
            .into(),
        remediation: "Switch TLS on at the server (tls-port) and at its clients; where it is not wanted, because the network is encrypted otherwise, switch this alert off.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn not_verified() -> Alert {
    Alert {
        name: "RedisTLSNotVerified",
        needs: &[Need::Feature(TLS)],
        expr: "min by (job, environment, instance) (redis_tls_verified{$job}) == 0".into(),
        hold: "5m".into(),
        priority: Priority::P2,
        team: Team::Security,
        symptom: "tls",
        summary: "The certificate of Redis {{ $labels.instance }} ({{ $labels.environment }}) does not verify.".into(),
        description: "For $for no certificate that {{ $labels.instance }} ({{ $labels.environment }}) showed held against its authority, name and dates. Clients that verify cannot connect; whoever \
                      has switched verification off, as insecure_skip_verify does, talks to a server that may be anybody, and gives it passwords and sessions."
            .into(),
        remediation: "Compare issuer, names and dates of the certificate with openssl s_client; set ca_file or server_name rather than insecure_skip_verify.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn verification_skipped() -> Alert {
    Alert {
        name: "RedisTLSNotVerified",
        needs: &[Need::Feature(TLS), Need::Production],
        expr: "max by (job, environment, instance) (redis_tls_verification_skipped{$production}) == 1\n\
               unless on (job, environment, instance)\n\
               min by (job, environment, instance) (redis_tls_verified{$production}) == 0"
            .into(),
        hold: "15m".into(),
        priority: Priority::P3,
        team: Team::Security,
        symptom: "tls",
        summary: "The exporter does not check whose certificate Redis {{ $labels.instance }} ({{ $labels.environment }}) shows.".into(),
        description: "insecure_skip_verify is on for {{ $labels.instance }} ({{ $labels.environment }}), while nothing is wrong with its certificate. Whoever can answer in its place \
                      gets the exporter's password."
            .into(),
        remediation: "Take insecure_skip_verify out of the configuration and reload; redis_tls_verified says beforehand whether that will work.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn server_certificate((threshold, priority, hold): (&str, Priority, &'static str)) -> Alert {
    Alert {
        name: "RedisTLSCertificateExpiring",
        needs: &[Need::AnyOf(&[Need::Feature(TLS), SAYS_ITS_CERTIFICATES])],
        expr: format!(
            "job_environment_instance_certificate:redis_tls_certificate_not_after_timestamp_seconds:min - time() < ${threshold}"
        )
        .into(),
        hold: hold.into(),
        priority,
        team: Team::Ops,
        symptom: "certificate",
        summary: "The TLS certificate of Redis {{ $labels.instance }} ({{ $labels.environment }}) has to be renewed.".into(),
        description: "{{ if eq $labels.certificate \"chain\" }}An authority between{{ else }}The certificate of{{ end }} {{ $labels.instance }} ({{ $labels.environment }}) \
                      {{ if eq $labels.certificate \"chain\" }}and its root {{ end }}\
                      {{ if gt $value 0.0 }}ends in {{ $value | humanizeDuration }}{{ else }}has ended ({{ $value | humanizeDuration }} left){{ end }}. \
                      From then on no client that verifies can connect: nobody can log in."
            .into(),
        remediation: "Have a new one issued, put it and its key in place, and load them with CONFIG SET tls-cert-file and tls-key-file: no restart is needed.".into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}

fn client_certificate((threshold, priority, hold): (&str, Priority, &'static str)) -> Alert {
    Alert {
        name: "RedisTLSClientCertificateExpiring",
        needs: &[Need::Product("Valkey", 9, 1)],
        expr: format!(
            "min by (job, environment, instance, certificate) (redis_tls_configured_certificate_not_after_timestamp_seconds{{$job,certificate=~\"client|ca\"}}) - time() < ${threshold}"
        )
        .into(),
        hold: hold.into(),
        priority,
        team: Team::Ops,
        // Not `certificate`: that the server's own ends as well must not hide it, since it is renewed elsewhere.
        symptom: "client_certificate",
        summary: "A certificate that Redis {{ $labels.instance }} ({{ $labels.environment }}) {{ if eq $labels.certificate \"ca\" }}trusts{{ else }}shows to other servers{{ end }} has to be renewed.".into(),
        description: "{{ if eq $labels.certificate \"ca\" }}The first of the authorities that{{ else }}The client certificate that{{ end }} {{ $labels.instance }} ({{ $labels.environment }}) has loaded \
                      {{ if gt $value 0.0 }}ends in {{ $value | humanizeDuration }}{{ else }}has ended ({{ $value | humanizeDuration }} left){{ end }}. From then on \
                      {{ if eq $labels.certificate \"ca\" }}clients and replicas with certificates of that authority are turned away{{ else }}its link to its primary, or to other nodes, cannot be made anew{{ end }}."
            .into(),
        remediation: "{{ if eq $labels.certificate \"ca\" }}Add the new authority to tls-ca-cert-file and load it with CONFIG SET before the old one ends{{ else }}\
                      Renew the certificate of tls-client-cert-file and load it with CONFIG SET{{ end }}: no restart is needed."
            .into(),
        dashboard: Dashboard::Debug,
        ..Alert::default()
    }
}
