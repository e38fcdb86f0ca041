//! HTTPS: what `tls_server_config` becomes, and the handshakes with clients.
//!
//! HTTP/1.1 alone is spoken (ALPN `http/1.1`): Prometheus asks for one page at a time, and one connection carries it.

mod client_verifier;
pub(super) mod handshake;

pub(super) use client_verifier::{ClientVerifier, Demands, Standing};

use crate::config::tls::TlsVersion;
use crate::config::web::{ClientAuth, PemSource, WebTls};
use crate::tls::certificate::validity;
use crate::tls::files::PemFailure;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{Error, InconsistentKeys, NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite, version};
use std::sync::Arc;

/// What is told to clients that ask which protocol is spoken (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// The certificate, its key and what is asked of clients, ready for handshakes.
#[derive(Debug, Clone)]
pub(super) struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    /// Holds clients against what they must show.
    pub(super) verifier: Arc<ClientVerifier>,
    /// When our own certificate, or one of those that it is sent with, ends first, in seconds since 1970.
    pub(super) not_after: i64,
}

/// What of `tls_server_config` cannot be used: the key and a sentence, without anything of the contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Fault {
    fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self {
            key,
            message: message.into(),
        }
    }
}

impl ServerTls {
    /// Reads the files and checks that everything fits together; may block.
    pub(super) fn new(settings: &WebTls) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let certificate_key = key_of(&settings.certificate, "cert_file", "cert");
        let key_key = key_of(&settings.key, "key_file", "key");
        let chain = settings
            .certificate
            .certificates()
            .map_err(|failure| faults.push(Fault::new(certificate_key, described(&settings.certificate, &failure))))
            .ok();
        let key = settings
            .key
            .private_key()
            .map_err(|failure| faults.push(Fault::new(key_key, described(&settings.key, &failure))))
            .ok();
        let not_after = chain.as_deref().and_then(|chain| {
            earliest_end(chain)
                .map_err(|message| faults.push(Fault::new(certificate_key, message)))
                .ok()
        });
        let provider = provider(settings, &mut faults);
        let (demands, roots) = demands(settings, &mut faults);
        let (Some(chain), Some(key), Some(not_after)) = (chain, key, not_after) else {
            return Err(faults);
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let fault = |key, message| vec![Fault::new(key, message)];
        let verifier = ClientVerifier::new(demands, roots, &provider)
            .map_err(|error| fault("client_ca_file", format!("cannot be used ({error})")))?;
        let verifier = Arc::new(verifier);
        let mut config =
            assemble(settings, &provider, verifier.clone(), chain, key).map_err(|refused| match refused {
                Refused::Settings(error) => fault(
                    "cipher_suites",
                    format!("these versions, cipher suites and curves leave nothing that can be spoken ({error})"),
                ),
                Refused::Key(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => fault(
                    key_key,
                    "does not belong to the certificate; where both are being replaced, the other one follows"
                        .to_owned(),
                ),
                Refused::Key(error) => fault(key_key, format!("cannot be used with the certificate ({error})")),
            })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ignore_client_order = settings.prefer_server_cipher_suites;
        if settings.client_auth != ClientAuth::None {
            // A resumed session is not verified again, so that a client whose certificate has ended would go on.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
            verifier,
            not_after,
        })
    }

    /// What clients must show.
    pub(super) fn demands(&self) -> &Demands {
        &self.verifier.demands
    }
}

/// Why rustls takes no part of it.
enum Refused {
    Settings(Error),
    Key(Error),
}

fn assemble(
    settings: &WebTls,
    provider: &Arc<CryptoProvider>,
    verifier: Arc<ClientVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Refused> {
    let known = [(TlsVersion::V1_3, &version::TLS13), (TlsVersion::V1_2, &version::TLS12)];
    let versions: Vec<_> = known
        .into_iter()
        .filter(|(version, _)| (settings.min_version..=settings.max_version).contains(version))
        .map(|(_, version)| version)
        .collect();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(Refused::Settings)?;
    let builder = if settings.client_auth == ClientAuth::None {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_verifier(verifier)
    };
    builder.with_single_cert(chain, key).map_err(Refused::Key)
}

/// ring with what the settings leave of it. Suites of TLS 1.3 cannot be chosen, as in Go.
fn provider(settings: &WebTls, faults: &mut Vec<Fault>) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        let place = |suite: &SupportedCipherSuite| {
            let name = format!("{:?}", suite.suite());
            settings.cipher_suites.iter().position(|written| *written == name)
        };
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || place(suite).is_some());
        // Best first, as they are written; those of TLS 1.3 stay in front and as they are.
        provider.cipher_suites.sort_by_key(place);
        let speaks_1_2 = settings.min_version <= TlsVersion::V1_2;
        if speaks_1_2 && !provider.cipher_suites.iter().any(|suite| suite.tls13().is_none()) {
            faults.push(Fault::new(
                "cipher_suites",
                "names none that is spoken here with TLS 1.2; name one, or set min_version to TLS13, whose suites cannot be chosen",
            ));
        }
    }
    if !settings.curve_preferences.is_empty() {
        provider.kx_groups.retain(|group| {
            curve(group.name()).is_some_and(|name| settings.curve_preferences.iter().any(|it| it == name))
        });
        if provider.kx_groups.is_empty() {
            faults.push(Fault::new(
                "curve_preferences",
                "names none that is spoken here; name X25519, CurveP256 or CurveP384",
            ));
        }
    }
    Arc::new(provider)
}

/// What Go calls a group of key exchange.
fn curve(group: NamedGroup) -> Option<&'static str> {
    match group {
        NamedGroup::X25519 => Some("X25519"),
        NamedGroup::secp256r1 => Some("CurveP256"),
        NamedGroup::secp384r1 => Some("CurveP384"),
        _ => None,
    }
}

fn demands(settings: &WebTls, faults: &mut Vec<Fault>) -> (Demands, RootCertStore) {
    let mut roots = RootCertStore::empty();
    let demands = Demands {
        auth: settings.client_auth,
        allowed_sans: settings.client_allowed_sans.clone(),
    };
    if settings.client_auth == ClientAuth::None && !settings.client_allowed_sans.is_empty() {
        faults.push(Fault::new(
            "client_allowed_sans",
            "has no effect while no certificate is asked for; set client_auth_type to RequireAndVerifyClientCert",
        ));
    }
    if !demands.verify() {
        return (demands, roots);
    }
    let Some(source) = &settings.client_ca else {
        faults.push(Fault::new(
            "client_ca_file",
            "is missing; it names the authorities that certificates of clients are verified with",
        ));
        return (demands, roots);
    };
    let key = key_of(source, "client_ca_file", "client_ca");
    match source.certificates() {
        Err(failure) => faults.push(Fault::new(key, described(source, &failure))),
        Ok(authorities) => {
            for (index, authority) in authorities.into_iter().enumerate() {
                if roots.add(authority).is_err() {
                    let number = index + 1;
                    faults.push(Fault::new(
                        key,
                        format!("its certificate {number} cannot be read; take it out or mend it, since clients that it vouches for would be refused"),
                    ));
                }
            }
        }
    }
    (demands, roots)
}

/// A failure with the file that it is about.
fn described(source: &PemSource, failure: &PemFailure) -> String {
    match source {
        PemSource::File(path) => format!("{}: {failure}", path.display()),
        PemSource::Inline(_) => failure.to_string(),
    }
}

fn key_of(source: &PemSource, file: &'static str, inline: &'static str) -> &'static str {
    match source {
        PemSource::File(_) => file,
        PemSource::Inline(_) => inline,
    }
}

/// The earliest end of a chain.
fn earliest_end(chain: &[CertificateDer<'_>]) -> Result<i64, String> {
    let mut earliest = None;
    for (index, certificate) in chain.iter().enumerate() {
        let Some(validity) = validity(certificate) else {
            return Err(format!("its certificate {} cannot be read", index + 1));
        };
        let end = validity.not_after;
        earliest = Some(earliest.map_or(end, |earliest: i64| earliest.min(end)));
    }
    earliest.ok_or_else(|| "holds no certificate".to_owned())
}

#[cfg(test)]
pub(super) mod tests;
