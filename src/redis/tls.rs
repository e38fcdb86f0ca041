//! TLS to a Redis server: what a handshake shows, and why one fails.
//!
//! [`client`] shakes hands, with the files that [`material`] reads anew each time, and [`witness`] looks at the server's certificates;
//! [`failure`] says in words why it failed; [`account`] counts.

pub(super) mod account;
pub(super) mod client;
pub(super) mod failure;
mod material;
mod witness;

use crate::tls::certificate::ChainValidity;

/// Why one of our handshakes failed, label `reason` of `redis_tls_errors_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsReason {
    /// The server's certificate, or one that it depends on, has expired.
    Expired,
    /// One of them does not hold yet.
    NotYetValid,
    /// It leads to no authority that is trusted: another one, a self-signed one, or the certificates between are missing.
    UnknownCa,
    /// It is made out to another name.
    NameMismatch,
    /// The two sides found no common version, cipher or signature, or what came is no TLS.
    Handshake,
    /// The server wants a certificate of ours, or does not accept the one that it got; or ours or its key cannot be read or used.
    ClientCertificate,
    /// Everything else, for example a `ca_file` that cannot be read.
    Other,
}

impl TlsReason {
    /// All reasons, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::Expired,
        Self::NotYetValid,
        Self::UnknownCa,
        Self::NameMismatch,
        Self::Handshake,
        Self::ClientCertificate,
        Self::Other,
    ];

    /// The label value.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownCa => "unknown_ca",
            Self::NameMismatch => "name_mismatch",
            Self::Handshake => "handshake",
            Self::ClientCertificate => "client_cert",
            Self::Other => "other",
        }
    }
}

/// What a handshake showed as far as it came, also when it failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsHandshake {
    /// The version agreed upon, as OpenSSL writes it: `TLSv1.2`, `TLSv1.3`.
    pub version: Option<&'static str>,
    /// The cipher suite agreed upon, by its IANA name: `TLS_AES_256_GCM_SHA384`.
    pub cipher: Option<&'static str>,
    /// The dates of the certificates that the server showed.
    pub certificates: Option<ChainValidity>,
    /// Whether they verify, whatever `insecure_skip_verify` says; `None` when none was shown.
    pub verified: Option<bool>,
    /// Why the handshake failed (or the login right behind it, where TLS 1.3 tells a client that its certificate was refused), or
    /// what verification would have failed for.
    pub failure: Option<TlsReason>,
}

#[cfg(test)]
mod tests;
