//! Collector `tls`: what our own handshakes show (certificates, version, verdict, failures), connections by kind of listener, and what
//! servers say of their certificates themselves.
//!
//! The frame (`poller::instance::tls`) publishes what handshakes show, since it is there that they are made. This file says what there is to
//! publish, and reads the rest out of INFO and CLIENT LIST. Redis itself shows neither its certificates nor who speaks TLS to it: a
//! connection is told by the port at which it came in.

mod configured;
mod connections;
mod listeners;

use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::{Command, TlsHandshake, TlsReason};
use configured::ConfiguredCertificates;
use connections::{ConnectionCount, Count};

/// Series that are left out where a server has too many clients to list them.
const CONNECTION_SERIES: usize = 2;

/// The name.
pub const COLLECTOR: &str = "tls";

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: COLLECTOR,
    help: "TLS: dates of the server's certificates, version, verdict and failures of our own handshakes; connections with and without TLS.",
    default_on: true,
    schedule: Schedule::Info,
    grants: connections::grants,
    descriptors: || {
        vec![
            &NOT_AFTER,
            &NOT_BEFORE,
            &CONNECTION_INFO,
            &VERIFIED,
            &VERIFICATION_SKIPPED,
            &ERRORS,
            &CONNECTIONS,
            &CONFIGURED_NOT_AFTER,
            &CONFIGURED_NOT_BEFORE,
            &HANDSHAKES_STARTED,
            &HANDSHAKES_COMPLETED,
        ]
    },
    build: Build::FromReplies(|options| {
        Box::new(Tls {
            count: ConnectionCount::new(&options.optional.compatibility.config_command),
            certificates: ConfiguredCertificates::default(),
        })
    }),
};

/// Ends of validity, label values `leaf` and `chain`.
pub static NOT_AFTER: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_certificate_not_after_timestamp_seconds",
    "When the server's own certificate (leaf), or the first of all that it shows (chain), ends, in seconds since 1970. From our last handshake \
     in which certificates were shown, also from one that failed because of them; it stays while the server is down. Only over TLS.",
    "this exporter: TLS handshake",
)
.with_labels(&["certificate"]);

/// Beginnings of validity, label values `leaf` and `chain`.
pub static NOT_BEFORE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_certificate_not_before_timestamp_seconds",
    "Since when the server's own certificate (leaf), or the last of all that it shows (chain), holds, in seconds since 1970. As \
     redis_tls_certificate_not_after_timestamp_seconds.",
    "this exporter: TLS handshake",
)
.with_labels(&["certificate"]);

static CONNECTION_INFO: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_connection_info",
    "Always 1: the TLS version and the cipher suite (its IANA name) that our last handshake agreed upon. Absent after one that failed before.",
    "this exporter: TLS handshake",
)
.with_labels(&["version", "cipher"]);

static VERIFIED: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_verified",
    "1 when the certificates of our last handshake verify (authority, name, dates) and the server has their key, 0 when not, whether or not verification is \
     switched off: see redis_tls_verification_skipped. Absent when none were shown.",
    "this exporter: TLS handshake",
);

static VERIFICATION_SKIPPED: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_verification_skipped",
    "1 while `insecure_skip_verify` makes this exporter talk to the server whoever it is, else 0. Only over TLS.",
    "this exporter: configuration",
);

static ERRORS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_tls_errors_total",
    "TLS handshakes of this exporter that failed, over all of its connections to the server: expired, not_yet_valid, unknown_ca, \
     name_mismatch, handshake (no common version or cipher, or no TLS at all), client_cert, other. What fails for other clients is not \
     to be seen: Redis does not count it. Only over TLS.",
    "this exporter: TLS handshake",
)
.with_labels(&["reason"]);

/// Connections by kind of listener.
pub static CONNECTIONS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_connections_active",
    "Connections that came in at a TLS port (true) and at a plain TCP port (false) of the server. Replicas and monitors count like other \
     clients; unix sockets, the server's own link to its primary and the connections of this exporter (known by their local address) do \
     not. Counted again as often as 0.1 % of the server's time allows, in between the last count is shown.",
    "CLIENT LIST: laddr (6.2+); INFO Server: listener<i> (7.2+), else CONFIG GET port tls-port",
)
.with_labels(&["tls_enabled"]);

static CONFIGURED_NOT_AFTER: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_configured_certificate_not_after_timestamp_seconds",
    "When a certificate that the server has loaded ends, as the server says, in seconds since 1970: server, client (which it shows to other \
     servers), ca (the first of its authorities to end). Valkey tells seconds, so that it is the clock of this exporter plus these; of one \
     that has ended it tells no more, and the value is when that was first seen, unless its end was known before.",
    "INFO TLS: tls_*_cert_expires_in_seconds (Valkey 9.1+); INFO Server: tls_cert_not_after (Dragonfly)",
)
.with_labels(&["certificate"]);

static CONFIGURED_NOT_BEFORE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_configured_certificate_not_before_timestamp_seconds",
    "Since when a certificate that the server has loaded holds, as the server says, in seconds since 1970.",
    "INFO Server: tls_cert_not_before (Dragonfly)",
)
.with_labels(&["certificate"]);

static HANDSHAKES_STARTED: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_tls_handshakes_started_total",
    "TLS handshakes that clients began with the server.",
    "INFO Stats: total_handshakes_started (Dragonfly)",
);

static HANDSHAKES_COMPLETED: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_tls_handshakes_completed_total",
    "TLS handshakes with the server that succeeded; those that were started beside these failed, or are under way.",
    "INFO Stats: total_handshakes_completed (Dragonfly)",
);

/// The dates of the certificates that a handshake showed; nothing when it showed none.
pub fn certificate_samples(handshake: &TlsHandshake) -> Samples {
    let mut samples = Samples::new();
    let Some(certificates) = handshake.certificates else {
        return samples;
    };
    let both = [("leaf", certificates.leaf), ("chain", certificates.chain)];
    for (certificate, validity) in both {
        samples.push_with(
            &NOT_AFTER,
            vec![("certificate", certificate.into())],
            seconds(validity.not_after),
        );
    }
    for (certificate, validity) in both {
        samples.push_with(
            &NOT_BEFORE,
            vec![("certificate", certificate.into())],
            seconds(validity.not_before),
        );
    }
    samples
}

/// Seconds since 1970 as a sample. Dates of certificates end with the year 9999 and are exact in a double.
#[allow(
    clippy::cast_precision_loss,
    reason = "the dates that X.509 can write are below 2^38 seconds"
)]
fn seconds(unix: i64) -> f64 {
    unix as f64
}

/// What was agreed upon in a handshake, and whether the server is who it says.
pub fn handshake_samples(handshake: &TlsHandshake) -> Samples {
    let mut samples = Samples::new();
    if let (Some(version), Some(cipher)) = (handshake.version, handshake.cipher) {
        let labels = vec![("version", version.into()), ("cipher", cipher.into())];
        samples.push_with(&CONNECTION_INFO, labels, 1.0);
    }
    if let Some(verified) = handshake.verified {
        samples.push(&VERIFIED, f64::from(u8::from(verified)));
    }
    samples
}

/// What this exporter counts itself, every reason born at 0, and how it is told to treat the server.
pub fn own_samples(errors: impl Iterator<Item = (TlsReason, u64)>, is_verification_skipped: bool) -> Samples {
    let mut samples = Samples::new();
    for (reason, count) in errors {
        samples.push_with(&ERRORS, vec![("reason", reason.as_label().into())], count as f64);
    }
    samples.push(&VERIFICATION_SKIPPED, f64::from(u8::from(is_verification_skipped)));
    samples
}

struct Tls {
    count: ConnectionCount,
    certificates: ConfiguredCertificates,
}

impl Collector for Tls {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        Vec::new()
    }

    fn follow_up(&self, context: &PollContext<'_>) -> Vec<Command> {
        self.count.requests(context)
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        match self.count.update(context)? {
            Count::Known(connections) => {
                for (tls_enabled, count) in [("true", connections.tls), ("false", connections.plain)] {
                    samples.push_with(&CONNECTIONS, vec![("tls_enabled", tls_enabled.into())], count as f64);
                }
            }
            Count::Unknown => {}
            Count::TooMany => samples.note_dropped(CONNECTION_SERIES),
        }
        for certificate in self.certificates.read(info, context.unix_seconds) {
            let labels = || vec![("certificate", certificate.name.into())];
            if let Some(not_after) = certificate.not_after {
                samples.push_with(&CONFIGURED_NOT_AFTER, labels(), not_after);
            }
            if let Some(not_before) = certificate.not_before {
                samples.push_with(&CONFIGURED_NOT_BEFORE, labels(), not_before);
            }
        }
        for (field, descriptor) in [
            ("total_handshakes_started", &HANDSHAKES_STARTED),
            ("total_handshakes_completed", &HANDSHAKES_COMPLETED),
        ] {
            if let Some(count) = info.number(field) {
                samples.push(descriptor, count);
            }
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests;
