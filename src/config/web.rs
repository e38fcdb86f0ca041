//! The file of `--web.config.file`, in the format of the exporter-toolkit that all exporters of Prometheus share: TLS, users, headers and
//! the rate of requests of the HTTP server.
//!
//! Read in full and checked like `exporter.yaml`; what comes out is a [`WebConfig`], the only thing that the HTTP server accepts.
//! `docs/web-configuration.md` says what is read differently from the toolkit, and why.

mod files;
mod go_duration;
pub mod hash;
mod sections;
mod server;
pub mod suites;
mod values;

use super::environment::Environment;
use super::problem::{ConfigErrors, Problems};
use super::tls::TlsVersion;
use super::tree::MAX_FILE_BYTES;
use super::types::{BasicAuth, Secret};
use crate::tls::files::{self as pem, PemFailure, TlsFileError};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The whole file, checked. The default is a server without TLS that lets everybody in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WebConfig {
    /// `tls_server_config`; `None` serves plain HTTP.
    pub tls: Option<WebTls>,
    /// `http_server_config.headers`: what every answer carries, by canonical name (one of [`HEADERS`]). The values hold no control
    /// characters.
    pub headers: Vec<(&'static str, String)>,
    /// `basic_auth_users`; empty lets everybody in. Names are unique.
    pub users: Vec<BasicAuth>,
    /// `rate_limit`; `None` limits nothing.
    pub rate_limit: Option<RateLimit>,
    /// What the operator should know although the file is accepted: sentences with their place for the log at level WARN, without
    /// secrets.
    pub warnings: Vec<String>,
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
    /// `client_allowed_sans`: a client's certificate must hold one of these subject alternative names, byte by byte; empty accepts all
    /// certificates. Only there where `client_auth` requires one ([`ClientAuth::requires`]).
    pub client_allowed_sans: Vec<String>,
    /// `min_version`. 1.3 as well where `cipher_suites` names none for TLS 1.2.
    pub min_version: TlsVersion,
    /// `max_version`; not below `min_version`.
    pub max_version: TlsVersion,
    /// `cipher_suites` for TLS 1.2, by their IANA names, each one of [`suites::TLS12`]; empty means all that rustls has. Those of TLS 1.3
    /// are not chosen, as in Go.
    pub cipher_suites: Vec<String>,
    /// `prefer_server_cipher_suites`: of the suites that both sides have, the first of ours is taken, not the client's.
    pub prefer_server_cipher_suites: bool,
    /// `curve_preferences` by their names in Go, each one of [`suites::CURVES`]; empty means all that rustls has.
    pub curve_preferences: Vec<String>,
}

/// Where PEM text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemSource {
    /// In a file, read again when it changes. Relative paths of the web configuration begin at its directory and are joined to it.
    File(PathBuf),
    /// In the web configuration itself. A key among others, so it is never shown.
    Inline(Secret),
}

impl PemSource {
    /// The certificates that stand there, at least one. May block.
    ///
    /// # Errors
    /// [`PemFailure`] when there is none, when what is there is damaged, and for a file that is no regular one or cannot be read.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PemFailure> {
        self.read(pem::certificates, pem::parse_certificates)
    }

    /// The private key that stands there. May block.
    ///
    /// # Errors
    /// As [`PemSource::certificates`].
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, PemFailure> {
        self.read(pem::private_key, pem::parse_private_key)
    }

    fn read<T>(
        &self,
        from_file: fn(&Path) -> Result<T, TlsFileError>,
        from_text: fn(&[u8]) -> Result<T, PemFailure>,
    ) -> Result<T, PemFailure> {
        match self {
            Self::File(path) => pem::regular(path)
                .and_then(|()| from_file(path))
                .map_err(|error| error.failure),
            Self::Inline(text) => from_text(text.expose().as_bytes()),
        }
    }
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

impl ClientAuth {
    /// Whether a certificate that is shown is verified.
    pub const fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    /// Whether a client without a certificate is turned away.
    pub const fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// `rate_limit`: a token bucket for all requests together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Time in which one request more becomes possible; from 1 ns up.
    pub interval: Duration,
    /// Requests that may come at once; from 1 up.
    pub burst: u64,
}

/// The headers that `http_server_config.headers` may set, as they are written there and in answers.
pub const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

/// Reads the file and everything that it names: that certificates and keys can be read and belong together is a part of the check.
///
/// # Errors
/// Every problem found, sorted by place, none of which quotes a value.
pub fn load(path: &Path) -> Result<WebConfig, ConfigErrors> {
    let mut problems = Problems::new(path.display().to_string());
    let directory = path.parent().unwrap_or(Path::new(""));
    match read_file(path, "--web.config.file") {
        Ok(text) => read(&text, problems, directory, true),
        Err(message) => {
            problems.add(None, "", message);
            problems.into_result(None)
        }
    }
}

/// Reads the text alone; the files that it names are not opened. `origin` stands in front of every problem; relative paths begin at
/// `directory`.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, origin: &str, directory: &Path) -> Result<WebConfig, ConfigErrors> {
    read(text, Problems::new(origin), directory, false)
}

fn read(text: &str, mut problems: Problems, directory: &Path, open_files: bool) -> Result<WebConfig, ConfigErrors> {
    if text.len() > MAX_FILE_BYTES {
        problems.add(None, "", too_large());
        return problems.into_result(None);
    }
    let root = super::tree::parse(text, &mut problems);
    // `${NAME}` is a habit of exporter.yaml; this file is shared with programs that do not know it.
    let environment = Environment::of_pairs(&[]);
    let mut decoder = super::decode::Decoder::new(problems, &environment);
    let mut config = match &root {
        Some(root) => sections::decode(&mut decoder, root, directory, open_files),
        None => WebConfig::default(),
    };
    config.warnings = decoder.problems.take_warnings();
    decoder.problems.into_result(Some(config))
}

/// The text of a file that `flag` names, or what is wrong with it.
pub(super) fn read_file(path: &Path, flag: &str) -> Result<String, String> {
    let failure = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("does not exist; mend the path of {flag}"),
        ErrorKind::PermissionDenied => "may not be read by this user; change its owner or its mode".to_owned(),
        _ => "cannot be read; look at its file system".to_owned(),
    };
    // A pipe would make every reading wait for whoever writes to it.
    if !std::fs::metadata(path).map_err(failure)?.is_file() {
        return Err("is not a regular file; name one".to_owned());
    }
    let mut content = Vec::new();
    // One byte more than allowed shows that there is more.
    let bound = u64::try_from(MAX_FILE_BYTES + 1).unwrap_or(u64::MAX);
    let file = std::fs::File::open(path).map_err(failure)?;
    file.take(bound).read_to_end(&mut content).map_err(failure)?;
    if content.len() > MAX_FILE_BYTES {
        return Err(too_large());
    }
    String::from_utf8(content).map_err(|_| "is not valid UTF-8; save it as UTF-8".to_owned())
}

fn too_large() -> String {
    format!("is larger than {MAX_FILE_BYTES} bytes; put certificates into files of their own")
}

#[cfg(test)]
mod tests;
