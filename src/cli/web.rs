//! Where the configuration of the HTTP server comes from.

use super::peer_values::PeerValues;
use super::{Cli, UsageError, variable};
use crate::config::Environment;
use crate::config::tls::TlsVersion;
use std::path::PathBuf;

/// Where the configuration of the HTTP server comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WebSource {
    /// Nobody says anything: plain HTTP.
    #[default]
    Nothing,
    /// `--web.config.file`
    File(PathBuf),
    /// The flags `--tls-server-*` of `redis_exporter`.
    ServerFlags(ServerTlsFlags),
}

/// What the flags `--tls-server-*` of `redis_exporter` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTlsFlags {
    /// `--tls-server-cert-file`
    pub cert_file: PathBuf,
    /// `--tls-server-key-file`
    pub key_file: PathBuf,
    /// `--tls-server-ca-cert-file`: clients must show a certificate that it vouches for.
    pub ca_file: Option<PathBuf>,
    /// `--tls-server-min-version`
    pub min_version: TlsVersion,
}

impl Cli {
    /// # Errors
    /// [`UsageError`] when a file and flags of the peer both say how TLS is spoken, or the flags are not complete.
    pub(super) fn web_source(&self, environment: &Environment, peer: &PeerValues) -> Result<WebSource, UsageError> {
        let file = match &self.flags.web_config_file {
            // An empty value is how templates write "nothing".
            Some(path) if path.is_empty() => None,
            Some(path) => Some(("--web.config.file".to_owned(), PathBuf::from(path))),
            None => variable(environment, "web.config.file")?.map(|(name, path)| (name, PathBuf::from(path))),
        };
        match (file, peer.server_tls()?) {
            (None, None) => Ok(WebSource::Nothing),
            (Some((_, path)), None) => Ok(WebSource::File(path)),
            (None, Some((_, flags))) => Ok(WebSource::ServerFlags(flags)),
            (Some((origin, _)), Some((theirs, _))) => Err(UsageError(format!(
                "{theirs} stands beside {origin}, and both say how TLS is spoken; say it in the file alone (tls_server_config)"
            ))),
        }
    }
}
