//! The files of TLS, read anew for every handshake: who is trusted, and our own certificate.

use super::TlsReason;
use super::failure::TlsFailure;
use crate::config::tls::{ClientCertificate, TlsConfig};
use crate::redis::job::Job;
use crate::tls::authorities::Authorities;
use crate::tls::{files, provider};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a handshake takes from files.
#[derive(Debug, Clone)]
pub(super) struct Material {
    /// Who is trusted.
    pub(super) authorities: Arc<Authorities>,
    /// What is shown to servers that ask for a certificate.
    pub(super) identity: Option<Arc<CertifiedKey>>,
}

/// Why the files of a configuration cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    /// Names the file, what is wrong with it and what to do.
    pub(super) failure: TlsFailure,
    /// Whether one of them has just been changed: certificate and key are two files, which nobody replaces at one moment, and a file that
    /// is copied over another is half of one for a moment. What cannot be used now may be so in an instant.
    pub(super) just_changed: bool,
}

/// How long ago a change of a file counts as one that may go on. More than anybody takes between a certificate and its key, and long
/// enough for file systems that keep whole seconds.
const JUST_CHANGED: Duration = Duration::from_secs(5);

/// The reading of the files of one configuration, at most one at a time.
pub(super) type Reading = Job<Material, Unusable>;

/// Reads all files that a configuration names. Blocks.
///
/// # Errors
/// [`Unusable`]
pub(super) fn read(config: &TlsConfig) -> Result<Material, Unusable> {
    read_now(config).map_err(|failure| Unusable {
        just_changed: config.files().any(has_just_changed),
        failure,
    })
}

/// Whether a file, or the folder that it is missing from, was changed a moment ago.
fn has_just_changed(path: &Path) -> bool {
    let metadata = std::fs::metadata(path).or_else(|error| path.parent().map_or(Err(error), std::fs::metadata));
    let changed = metadata.and_then(|metadata| metadata.modified());
    // A change in the future is one of another clock, and tells nothing.
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age < JUST_CHANGED))
}

fn read_now(config: &TlsConfig) -> Result<Material, TlsFailure> {
    let authorities = match &config.ca_file {
        None => Authorities::of_system(),
        Some(path) => Authorities::of_file(path).map(Arc::new).map_err(|error| TlsFailure {
            reason: TlsReason::Other,
            what: format!("cannot read the certificate authorities of `tls.ca_file`: {error}"),
            advice: "mend the file, or leave `ca_file` out to trust the authorities of this machine".to_owned(),
        })?,
    };
    let identity = config.client_certificate.as_ref().map(identity).transpose()?;
    Ok(Material { authorities, identity })
}

fn identity(files: &ClientCertificate) -> Result<Arc<CertifiedKey>, TlsFailure> {
    let ClientCertificate { cert_file, key_file } = files;
    let unusable = |what: String, advice: &str| TlsFailure {
        reason: TlsReason::ClientCertificate,
        what,
        advice: advice.to_owned(),
    };
    let certificates = files::certificates(cert_file).map_err(|error| {
        unusable(
            format!("cannot read our certificate of `tls.cert_file`: {error}"),
            "mend the file",
        )
    })?;
    let key = files::private_key(key_file).map_err(|error| {
        unusable(
            format!("cannot read our private key of `tls.key_file`: {error}"),
            "mend the file",
        )
    })?;
    let (cert_file, key_file) = (cert_file.display(), key_file.display());
    let key = provider().key_provider.load_private_key(key).map_err(|_| {
        unusable(
            format!("the private key of `tls.key_file` ({key_file}) is none that we can use"),
            "use an RSA key of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519",
        )
    })?;
    let certified = CertifiedKey::new(certificates, key);
    match certified.keys_match() {
        // A kind of key that does not tell its public half; the server will say.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(Error::InconsistentKeys(_)) => Err(unusable(
            format!(
                "the private key of `tls.key_file` ({key_file}) does not fit the certificate of `tls.cert_file` ({cert_file})"
            ),
            "name files that belong together, our own certificate first in its file; a rotation must replace both",
        )),
        Err(_) => Err(unusable(
            format!("our certificate of `tls.cert_file` ({cert_file}) cannot be read as one of X.509 version 3"),
            "have it made again",
        )),
    }
}
