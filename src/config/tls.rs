//! `tls` of an instance: how TLS is spoken to a server whose address begins with `rediss://` or `valkeys://`.

use std::path::PathBuf;

/// Oldest TLS that is spoken (`tls.min_version`). Older ones than 1.2 are known to be broken (RFC 8996), and rustls does not have them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// The certificate that we show to a server which asks for one (`tls-auth-clients`), and its key. PEM files, read again at every handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// `cert_file`: our certificate first, then what leads to its authority.
    pub cert_file: PathBuf,
    /// `key_file`: its private key (PKCS#8, PKCS#1 or SEC1), without a passphrase.
    pub key_file: PathBuf,
}

/// `tls` of an instance, merged from all levels. The default trusts the authorities of the machine, shows no certificate and verifies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The only certificate authorities that are trusted, as PEM; `None` means those of the machine. Read again at every handshake.
    pub ca_file: Option<PathBuf>,
    /// What is shown to servers that ask for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// The name that the certificate must be made out to, and that is sent as SNI (RFC 6066); `None` means the host of the address.
    pub server_name: Option<String>,
    /// Talk to the server whatever its certificate is. What verification would have said is still found out, and shown.
    pub insecure_skip_verify: bool,
    /// Oldest version that is spoken.
    pub min_version: TlsVersion,
}
