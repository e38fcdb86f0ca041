//! The file of `--web.config.file`, in the format of the exporter-toolkit that all exporters of Prometheus share: TLS, users, headers and
//! the rate of requests of the HTTP server.
//!
//! Read in full and checked like `exporter.yaml`; what comes out is a [`WebConfig`], the only thing that the HTTP server accepts.

use super::tls::TlsVersion;
use super::types::{BasicAuth, Secret};
use std::path::PathBuf;
use std::time::Duration;

/// The whole file, checked. The default is a server without TLS that lets everybody in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WebConfig {
    /// `tls_server_config`; `None` serves plain HTTP.
    pub tls: Option<WebTls>,
    /// `http_server_config.headers`: what every answer carries, by canonical name.
    pub headers: Vec<(&'static str, String)>,
    /// `basic_auth_users`; empty lets everybody in. Names are unique.
    pub users: Vec<BasicAuth>,
    /// `rate_limit`; `None` limits nothing.
    pub rate_limit: Option<RateLimit>,
}

/// `tls_server_config`.
#[derive(Debug, Clone, PartialEq)]
pub struct WebTls {
    /// `cert_file` or `cert`: the server's certificate first, then what leads to its authority.
    pub certificate: PemSource,
    /// `key_file` or `key`.
    pub key: PemSource,
    /// `client_auth_type`.
    pub client_auth: ClientAuth,
    /// `client_ca_file` or `client_ca`. There exactly where `client_auth` verifies.
    pub client_ca: Option<PemSource>,
    /// `client_allowed_sans`: a client's certificate must hold one of these subject alternative names; empty accepts all that verify.
    pub client_allowed_sans: Vec<String>,
    /// `min_version`.
    pub min_version: TlsVersion,
    /// `max_version`.
    pub max_version: TlsVersion,
    /// `cipher_suites` for TLS 1.2, by their IANA names; empty means all that rustls has.
    pub cipher_suites: Vec<String>,
    /// `curve_preferences` by their names in Go (`CurveP256`, `X25519`); empty means all that rustls has.
    pub curve_preferences: Vec<String>,
}

/// Where PEM text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemSource {
    /// In a file, read again when it changes.
    File(PathBuf),
    /// In the web configuration itself. A key among others, so it is never shown.
    Inline(Secret),
}

/// `client_auth_type`: what is asked of clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is asked for.
    #[default]
    None,
    /// One is asked for and not looked at.
    Request,
    /// One must be there; nobody verifies it.
    RequireAny,
    /// One that is shown must verify.
    VerifyIfGiven,
    /// One must be there and verify.
    RequireAndVerify,
}

/// `rate_limit`: a token bucket for all requests together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Time in which one request more becomes possible.
    pub interval: Duration,
    /// Requests that may come at once.
    pub burst: u64,
}
