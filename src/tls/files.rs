//! PEM files: certificates and private keys (RFC 7468).

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest file that is read. The authorities of a Debian take 220 KiB; ten times as much is no list of certificates any more.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Why a file yields no certificate or key. Nothing of its contents is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {failure}", path = .path.display())]
pub struct TlsFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub failure: PemFailure,
}

/// What is wrong with a file or a text of PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemFailure {
    /// It cannot be read; the text of the operating system.
    #[error("cannot be read ({0}); check that it exists and that this user may read it")]
    Unreadable(String),
    /// A directory, a pipe, a device.
    #[error("is not a regular file; name a PEM file")]
    NotAFile,
    /// It is larger than anything that is a certificate.
    #[error("is larger than 4 MiB, which no certificate is")]
    TooLarge,
    /// A `-----BEGIN` without its end, or something between them that is not base64; with the number of the section, from 1.
    #[error("its PEM section {0} is damaged: no `-----END` line, or something that is not base64")]
    Damaged(usize),
    /// No certificate in it.
    #[error("holds no `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// No key in it, or one with a passphrase.
    #[error("holds no private key in PEM; a key with a passphrase (`ENCRYPTED PRIVATE KEY`) cannot be used")]
    NoKey,
}

/// Asks before a file is opened: a pipe would make its reader wait for whoever writes to it, and a change of it is never seen. A file that
/// does not exist is left to the reader.
///
/// # Errors
/// [`TlsFileError`] when there is something else than a file.
pub fn regular(path: &Path) -> Result<(), TlsFileError> {
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(TlsFileError {
            path: path.to_owned(),
            failure: PemFailure::NotAFile,
        });
    }
    Ok(())
}

/// All certificates of a file in their order; at least one.
///
/// # Errors
/// [`TlsFileError`] when the file cannot be read, is damaged anywhere, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    within(path, parse_certificates)
}

/// The private key of a file: its first one, in PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// [`TlsFileError`] when the file cannot be read, is damaged before the key, or holds none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    within(path, parse_private_key)
}

/// All certificates of a PEM text in their order; at least one. Other sections are passed over.
///
/// # Errors
/// [`PemFailure`], for a text that is damaged anywhere or holds none.
pub fn parse_certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFailure> {
    let mut certificates = Vec::new();
    for section in sections(text) {
        let (kind, der) = section?;
        certificates.extend(CertificateDer::from_pem(kind, der));
    }
    if certificates.is_empty() {
        return Err(PemFailure::NoCertificate);
    }
    Ok(certificates)
}

/// The first private key of a PEM text. Other sections are passed over.
///
/// # Errors
/// [`PemFailure`], for a text that is damaged before the key or holds none.
pub fn parse_private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemFailure> {
    for section in sections(text) {
        let (kind, der) = section?;
        if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            return Ok(key);
        }
    }
    Err(PemFailure::NoKey)
}

/// The sections of a PEM text whose kind is known, whatever it is; a damaged one with its number.
fn sections(text: &[u8]) -> impl Iterator<Item = Result<(SectionKind, Vec<u8>), PemFailure>> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text)
        .enumerate()
        .map(|(index, section)| section.map_err(|_| PemFailure::Damaged(index + 1)))
}

fn within<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, PemFailure>) -> Result<T, TlsFileError> {
    read(path)
        .and_then(|text| parse(&text))
        .map_err(|failure| TlsFileError {
            path: path.to_owned(),
            failure,
        })
}

fn read(path: &Path) -> Result<Vec<u8>, PemFailure> {
    let unreadable = |error: std::io::Error| PemFailure::Unreadable(error.to_string());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(PemFailure::TooLarge);
    }
    Ok(text)
}
