//! What `check` says of TLS: what the handshake agreed upon, whether the server is who it says, and when its certificate ends.

use super::Report;
use crate::collectors::tls::COLLECTOR;
use crate::config::InstanceConfig;
use crate::redis::Handshake;
use crate::snapshot::tls::{end_in_words, unix_now, verdict};

/// Says what a handshake showed, also one that failed. Gives back whether certificates were seen and are watched.
pub(super) fn describe(report: &mut Report, config: &InstanceConfig, handshake: &Handshake) -> bool {
    if !config.address.tls {
        return false;
    }
    let Some(tls) = &handshake.tls else {
        return false;
    };
    let mut pieces: Vec<String> = [tls.version, tls.cipher]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect();
    pieces.extend(verdict(tls).0);
    if let Some(certificates) = tls.certificates {
        pieces.push(end_in_words(certificates, unix_now()).0);
    }
    if !pieces.is_empty() {
        report.line("handshake", &pieces.join(", "));
    }
    if config.tls.insecure_skip_verify {
        report.line(
            "handshake",
            "`insecure_skip_verify` is on: whoever answers at this address gets the password. Name the authority of the certificate as \
             `ca_file` under `tls` instead, and `server_name` where it is made out to another name",
        );
    }
    tls.certificates.is_some() && config.collectors.get(COLLECTOR).copied().unwrap_or(true)
}
