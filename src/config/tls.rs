//! `tls` of an instance: how TLS is spoken to a server whose address begins with `rediss://` or `valkeys://`.
//!
//! The files are looked at when the configuration is loaded, so that a wrong path is known then and not when the server's certificate
//! is to be verified. What is kept are their paths: they are read again at every handshake.

use super::address::ParsedAddress;
use super::decode::{Decoder, Field, Fields, Located, TextRule};
use super::names::Scope;
use super::problem::Place;
use super::schema::MAX_PATH_BYTES;
use super::types::{Address, Endpoint};
use crate::tls::files::{TlsFileError, certificates, private_key, regular};
use crate::tls::provider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longest `server_name`: a name of DNS as text (RFC 1035, section 2.3.4).
const MAX_SERVER_NAME_BYTES: usize = 253;
/// Instances that one warning names; the others are counted.
const MAX_NAMED: usize = 5;

/// Oldest TLS that is spoken (`tls.min_version`). Older ones than 1.2 are known to be broken (RFC 8996), and rustls does not have them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// As the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
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

impl TlsConfig {
    /// All files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let own = self.client_certificate.as_ref();
        let own = own.map(|pair| [pair.cert_file.as_path(), &pair.key_file]);
        self.ca_file.as_deref().into_iter().chain(own.into_iter().flatten())
    }

    /// The name that the certificate of the server at `endpoint` must be made out to; `None` for a unix socket.
    pub fn name_of<'a>(&'a self, endpoint: &'a Endpoint) -> Option<&'a str> {
        match (&self.server_name, endpoint) {
            (Some(name), _) => Some(name),
            (None, Endpoint::Tcp { host, .. }) => Some(host),
            (None, Endpoint::Unix { .. }) => None,
        }
    }
}

/// What one level says. Each key stands alone, but for the certificate and its key. An inner `None` is an empty text, by which an
/// instance does without what `defaults` says.
#[derive(Clone, Default)]
pub(super) struct TlsLayer {
    /// Where the section stands; `None` when it was left out.
    pub(super) section: Option<Located<()>>,
    pub(super) ca_file: Option<Option<PathBuf>>,
    pub(super) client_certificate: Option<Option<ClientCertificate>>,
    pub(super) server_name: Option<Option<String>>,
    pub(super) insecure_skip_verify: Option<Located<bool>>,
    pub(super) min_version: Option<TlsVersion>,
}

/// Decodes `tls` of one level. Relative paths begin at `directory`.
pub(super) fn tls(decoder: &mut Decoder<'_>, fields: &Fields<'_>, directory: &Path) -> TlsLayer {
    let Some(field) = fields.get("tls").filter(|field| !field.node.is_null()) else {
        return TlsLayer::default();
    };
    let section = located(field, ());
    let fields = decoder.fields(field, Scope::Tls);
    TlsLayer {
        section: Some(section),
        ca_file: fields
            .get("ca_file")
            .and_then(|field| pem_file(decoder, field, directory, |path| certificates(path).map(|_| ()))),
        client_certificate: client_certificate(decoder, &fields, directory),
        server_name: fields.get("server_name").and_then(|field| server_name(decoder, field)),
        insecure_skip_verify: fields
            .get("insecure_skip_verify")
            .and_then(|field| decoder.switch(field).map(|skip| located(field, skip))),
        min_version: fields.get("min_version").and_then(|field| min_version(decoder, field)),
    }
}

fn located<T>(field: &Field<'_>, value: T) -> Located<T> {
    Located {
        value,
        place: Some(field.place),
        path: field.path.clone(),
    }
}

/// The path of a PEM file that `read` can make something of.
fn pem_file(
    decoder: &mut Decoder<'_>,
    field: &Field<'_>,
    directory: &Path,
    read: fn(&Path) -> Result<(), TlsFileError>,
) -> Option<Option<PathBuf>> {
    let text = decoder.path_text(field)?;
    if text.path.is_empty() {
        return Some(None);
    }
    if text.path.len() > MAX_PATH_BYTES || text.path.chars().any(char::is_control) {
        decoder.refuse(
            field,
            "is not the path of a PEM file; write for example `/etc/redis/tls/ca.pem`",
        );
        return None;
    }
    let path = absolute(directory, &text.path);
    if let Err(what) = checked(&path, read) {
        let subject = subject(&text.written.text, text.is_prefixed, text.written.substituted);
        decoder.refuse(field, format!("{subject}: {what}"));
    }
    Some(Some(path))
}

/// Absolute, so that `/config` shows what is read whatever the working directory of the reader is.
pub(super) fn absolute(directory: &Path, written: &str) -> PathBuf {
    let path = directory.join(written);
    std::path::absolute(&path).unwrap_or(path)
}

/// How a message calls a file: by its path only where that looks like one and stands in the configuration itself, since somebody may
/// have written a secret where its file belongs.
pub(super) fn subject(written: &str, is_prefixed: bool, substituted: bool) -> String {
    if is_prefixed || (!substituted && written.starts_with(['/', '.'])) {
        format!("the file {written}")
    } else {
        "the file of that name".to_owned()
    }
}

/// Whether a file can be used now.
///
/// # Errors
/// What is wrong with it and what to do, to stand behind its name.
pub(super) fn checked(path: &Path, read: fn(&Path) -> Result<(), TlsFileError>) -> Result<(), String> {
    regular(path)
        .and_then(|()| read(path))
        .map_err(|error| error.failure.to_string())
}

/// Both of a pair, or neither: a level that named one alone would be joined with that of another certificate.
fn client_certificate(
    decoder: &mut Decoder<'_>,
    fields: &Fields<'_>,
    directory: &Path,
) -> Option<Option<ClientCertificate>> {
    let (certificate, key) = match (fields.get("cert_file"), fields.get("key_file")) {
        (None, None) => return None,
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(certificate), None) => {
            decoder.refuse(
                certificate,
                "stands without `key_file`; write its private key beside it",
            );
            return None;
        }
        (None, Some(key)) => {
            decoder.refuse(key, "stands without `cert_file`; write its certificate beside it");
            return None;
        }
    };
    let cert_file = pem_file(decoder, certificate, directory, |path| certificates(path).map(|_| ()))?;
    let key_file = pem_file(decoder, key, directory, |path| private_key(path).map(|_| ()))?;
    match (cert_file, key_file) {
        (None, None) => Some(None),
        (Some(cert_file), Some(key_file)) => {
            let pair = ClientCertificate { cert_file, key_file };
            if let Some(what) = misfit(&pair) {
                decoder.problems.warn(key.place, &key.path, what);
            }
            Some(Some(pair))
        }
        (Some(_), None) => {
            decoder.refuse(
                key,
                "is empty beside a certificate; write its private key, or make both empty",
            );
            None
        }
        (None, Some(_)) => {
            decoder.refuse(
                certificate,
                "is empty beside a private key; write its certificate, or make both empty",
            );
            None
        }
    }
}

/// What keeps a certificate and a key from being used together, if both can be read. No reason to refuse everything else: whoever renews
/// them replaces one after the other, and the next handshake reads both again.
pub(super) fn misfit(pair: &ClientCertificate) -> Option<&'static str> {
    let (Ok(chain), Ok(key)) = (certificates(&pair.cert_file), private_key(&pair.key_file)) else {
        return None;
    };
    match CertifiedKey::from_der(chain, key, &provider()) {
        Ok(_) => None,
        Err(rustls::Error::InconsistentKeys(_)) => Some(
            "does not belong to the certificate of `cert_file`; servers that ask for one refuse it until both files belong together",
        ),
        Err(_) => Some(
            "makes no usable pair with `cert_file`: the certificate is of X.509 version 1 (made without extensions) or broken, or the key is of a kind that is not known (RSA, ECDSA on P-256 or P-384, Ed25519)",
        ),
    }
}

fn server_name(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<Option<String>> {
    let rule = TextRule {
        may_be_empty: true,
        ..TextRule::line(MAX_SERVER_NAME_BYTES)
    };
    let name = decoder.text(field, &rule)?;
    if name.is_empty() {
        return Some(None);
    }
    match canonical_server_name(&name) {
        Some(name) => Some(Some(name)),
        None => {
            decoder.refuse(field, NOT_A_SERVER_NAME);
            None
        }
    }
}

/// What is wrong with any other text.
pub(super) const NOT_A_SERVER_NAME: &str = "is neither a DNS name nor an IP address; write what the certificate is made out to, without port and brackets, for example `redis.internal`";

/// The name as certificates are compared with it: names of DNS in small letters, IP addresses in their shortest form. `None` for
/// what is neither.
pub(crate) fn canonical_server_name(text: &str) -> Option<String> {
    match ServerName::try_from(text).ok()? {
        ServerName::DnsName(name) => Some(name.as_ref().to_ascii_lowercase()),
        ServerName::IpAddress(address) => Some(std::net::IpAddr::from(address).to_string()),
        _ => None,
    }
}

fn min_version(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<TlsVersion> {
    let text = decoder.scalar(field)?.text;
    let version = [TlsVersion::V1_2, TlsVersion::V1_3]
        .into_iter()
        .find(|version| version.as_str() == &*text);
    if version.is_none() {
        decoder.refuse(
            field,
            "must be `1.2` or `1.3`; older versions are broken (RFC 8996) and never spoken",
        );
    }
    version
}

/// Merges the levels for the server at `address`, the nearest first, and says what cannot work.
pub(super) fn resolve_tls(
    decoder: &mut Decoder<'_>,
    layers: [&TlsLayer; 3],
    address: &Located<ParsedAddress>,
    scan_from: &[Address],
) -> TlsConfig {
    let parsed = &address.value;
    let is_cluster = parsed.cluster.is_some();
    // Nodes of clusters are scanned themselves.
    if !parsed.address.tls && (is_cluster || scan_from.iter().all(|replica| !replica.tls)) {
        // What `defaults` says is for those instances that it fits; what the instance itself says is meant for it.
        let [own, ..] = layers;
        if let Some(section) = &own.section {
            let message = match &parsed.address.endpoint {
                Endpoint::Unix { .. } => "is about TLS, which nobody speaks over a unix socket; remove it",
                Endpoint::Tcp { .. } if is_cluster => {
                    "is about TLS, and the address does not ask for it: all would travel in the clear; write the address as `rediss-cluster://`, or remove this"
                }
                Endpoint::Tcp { .. } => {
                    "is about TLS, and the address does not ask for it: all would travel in the clear; write the address as `rediss://`, or remove this"
                }
            };
            decoder.problems.add(section.place, &section.path, message);
        }
        return TlsConfig::default();
    }
    fn nearest<T: Clone>(layers: [&TlsLayer; 3], read: fn(&TlsLayer) -> &Option<T>) -> Option<T> {
        layers.into_iter().find_map(|layer| read(layer).clone())
    }
    let config = TlsConfig {
        ca_file: nearest(layers, |layer| &layer.ca_file).flatten(),
        client_certificate: nearest(layers, |layer| &layer.client_certificate).flatten(),
        server_name: nearest(layers, |layer| &layer.server_name).flatten(),
        insecure_skip_verify: nearest(layers, |layer| &layer.insecure_skip_verify).is_some_and(|skip| skip.value),
        min_version: nearest(layers, |layer| &layer.min_version).unwrap_or_default(),
    };
    let seeds = parsed.cluster.as_deref();
    let mut dialled = seeds.unwrap_or(std::slice::from_ref(&parsed.address.endpoint)).iter();
    let is_nameless = |endpoint: &Endpoint| {
        let name = config.name_of(endpoint);
        name.is_some_and(|name| canonical_server_name(name).is_none())
    };
    if parsed.address.tls && dialled.any(is_nameless) {
        decoder.problems.add(
            address.place,
            &address.path,
            "has a host that no certificate can be made out to; write the name that stands in its certificate as `server_name` below `tls`",
        );
    }
    config
}

/// Warns of every place that switches verification off, once, with the names of the instances that it does so for. What flags say has
/// no place, and warns for itself.
pub(super) fn warn_of_unverified<'a>(
    decoder: &mut Decoder<'_>,
    instances: impl Iterator<Item = (&'a str, [&'a TlsLayer; 3])>,
) {
    let mut places: BTreeMap<(Place, &str), Vec<&str>> = BTreeMap::new();
    for (name, layers) in instances {
        let said = layers.into_iter().find_map(|layer| layer.insecure_skip_verify.as_ref());
        if let Some((place, said)) = said.and_then(|said| said.place.zip(Some(said))) {
            places.entry((place, &said.path)).or_default().push(name);
        }
    }
    for ((place, path), names) in places {
        decoder
            .problems
            .warn(place, path, unverified_sentence(&names, "`ca_file`"));
    }
}

/// What follows for these instances when nothing is verified, behind what switches it off.
/// `authority` is where the certificate's authority is named instead.
pub(super) fn unverified_sentence(names: &[&str], authority: &str) -> String {
    let (shown, further) = names.split_at(names.len().min(MAX_NAMED));
    let further = match further.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "is on for {}{further}: whoever stands between takes the server's place and reads the password; name the authority of the certificate as {authority} instead",
        shown.join(", ")
    )
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
