//! Who speaks TLS, whose certificates end, and which handshakes fail.

use crate::dashboards::marks::CERTIFICATE_DAYS;
use crate::dashboards::panel::{Panel, graph, table, timeline};
use crate::dashboards::shared::{INSTANCE, of_instance, yes_no};

pub(super) fn panels() -> Vec<Panel> {
    let days = |metric: &str| {
        format!("(min by (environment, instance, certificate) ({metric}{{@instance}}) - time()) / 86400")
    };
    vec![
        graph("Clients with and without TLS", 8, 8)
            .about(
                "Clients by the kind of port that they came in at, without the exporter's own (redis_tls_connections_active). In production nobody should come in plain: sessions and passwords travel in the clear.",
            )
            .query("sum(redis_tls_connections_active{@instance,tls_enabled=\"true\"})", "TLS")
            .query("sum(redis_tls_connections_active{@instance,tls_enabled=\"false\"})", "plain")
            .unit("short")
            .min(0.0)
            .stacked()
            .color("TLS", "green")
            .color("plain", "orange")
            .empty("the user may not run CLIENT LIST")
            .runbooks(&["RedisPlaintextConnections"]),
        graph("Failed TLS handshakes per minute, by reason", 8, 8)
            .about(
                "Handshakes of the exporter that failed (redis_tls_errors_total); those of other clients are not to be seen from here, but meet the same certificate. expired and not_yet_valid: certificates and clocks; unknown_ca and name_mismatch: a new certificate; client_cert: ours is not accepted.",
            )
            .query("60 * sum by (reason) (rate(redis_tls_errors_total{@instance}[$__rate_interval]))", "{{reason}}")
            .unit("cpm")
            .min(0.0)
            .empty("no TLS")
            .runbooks(&["TLSConnectionErrors"]),
        graph("Days until certificates end", 8, 8)
            .about(
                "Days until the certificates end that a server shows (leaf: its own, chain: the first to end) and that it has loaded (redis_tls_certificate_not_after_timestamp_seconds, redis_tls_configured_certificate_not_after_timestamp_seconds). Lines at 30, 14 and 7 days. After the last day nobody who verifies gets in.",
            )
            .query(days("redis_tls_certificate_not_after_timestamp_seconds"), "{{environment}} {{instance}} {{certificate}}")
            .query(days("redis_tls_configured_certificate_not_after_timestamp_seconds"), "{{environment}} {{instance}} loaded: {{certificate}}")
            .unit("d")
            .min(0.0)
            .decimals(0)
            .lines(&[(CERTIFICATE_DAYS[0], "red"), (CERTIFICATE_DAYS[1], "orange"), (CERTIFICATE_DAYS[2], "yellow")])
            .empty("no TLS")
            .runbooks(&["RedisTLSCertificateExpiring", "RedisTLSClientCertificateExpiring"]),
        timeline("Certificates verify", 10, 8)
            .about(
                "Whether the certificates of the server verify: authority, name, dates (redis_tls_verified). Where verification is skipped by configuration, the exporter talks on, and clients that verify do not.",
            )
            .query(of_instance("redis_tls_verified"), INSTANCE)
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("verified", "NOT VERIFIED"))
            .empty("no TLS")
            .runbooks(&["RedisTLSNotVerified"]),
        table("Versions and ciphers", 14, 8)
            .about(
                "TLS version and cipher that the exporter's last handshake agreed on (redis_tls_connection_info). Below TLS 1.2 somebody must act.",
            )
            .query("max by (environment, instance, version, cipher) (redis_tls_connection_info{@instance})", "")
            .unit("none")
            .empty("no TLS")
            .columns(&[
                ("environment", "Environment"),
                ("instance", "Instance"),
                ("version", "Version"),
                ("cipher", "Cipher"),
            ]),
    ]
}
