//! What is asked of the certificates of clients (`client_auth_type`, `client_allowed_sans`).

use crate::config::web::ClientAuth;
use crate::tls::certificate::{SubjectAlternativeName, subject_alternative_names};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;

/// What clients must show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::http) struct Demands {
    /// `client_auth_type`
    pub(in crate::http) auth: ClientAuth,
    /// Names of which the certificate must hold one; empty asks for none.
    pub(in crate::http) allowed_sans: Vec<String>,
}

impl Demands {
    /// Whether a certificate that is shown must verify.
    pub(in crate::http) fn verify(&self) -> bool {
        self.auth.verifies()
    }

    /// Whether a client without a certificate is refused. A list of names cannot be met without one, whatever the type says.
    pub(in crate::http) fn require(&self) -> bool {
        self.auth.requires() || (self.auth != ClientAuth::None && !self.allowed_sans.is_empty())
    }
}

/// What a client that is connected is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Standing {
    /// It would be let in again.
    Good,
    /// It would be let in now, and soon no more: a certificate ends.
    Ending,
    /// It would not be let in.
    Refused,
}

/// The verifier of [`Demands`]. That the client has the key of the certificate that it shows is verified in every case.
#[derive(Debug)]
pub(in crate::http) struct ClientVerifier {
    pub(super) demands: Demands,
    /// Verifies the chain, its dates and what the certificate is for; `None` where any certificate will do.
    trust: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// # Errors
    /// When the authorities cannot be used: there are none.
    pub(super) fn new(
        demands: Demands,
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let trust = if demands.verify() {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            Some(builder.build()?)
        } else {
            None
        };
        Ok(Self {
            demands,
            trust,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// What a client is worth that showed these certificates when it connected, its own first. `Ending` looks ahead by `foresight`.
    pub(in crate::http) fn standing(
        &self,
        shown: &[CertificateDer<'_>],
        now: UnixTime,
        foresight: Duration,
    ) -> Standing {
        let Some((own, others)) = shown.split_first() else {
            return if self.demands.require() {
                Standing::Refused
            } else {
                Standing::Good
            };
        };
        let is_let_in = |at| self.verify_client_cert(own, others, at).is_ok();
        let soon = Duration::from_secs(now.as_secs()).saturating_add(foresight);
        if !is_let_in(now) {
            Standing::Refused
        } else if self.trust.is_some() && !is_let_in(UnixTime::since_unix_epoch(soon)) {
            Standing::Ending
        } else {
            Standing::Good
        }
    }

    /// Exact comparison with names of all kinds together, as the exporter-toolkit does it.
    fn has_an_allowed_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let allowed = &self.demands.allowed_sans;
        allowed.is_empty()
            || subject_alternative_names(certificate)
                .iter()
                .any(|name| allowed.contains(&written(name)))
    }
}

/// As Go writes it: an IPv4 address that is mapped into IPv6 shows as IPv4.
fn written(name: &SubjectAlternativeName) -> String {
    match name {
        SubjectAlternativeName::Ip(address) => address.to_canonical().to_string(),
        SubjectAlternativeName::Dns(name) | SubjectAlternativeName::Email(name) | SubjectAlternativeName::Uri(name) => {
            name.clone()
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.demands.require()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.as_ref().map_or(&[], |trust| trust.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(trust) = &self.trust {
            trust.verify_client_cert(end_entity, intermediates, now)?;
        }
        if !self.has_an_allowed_name(end_entity) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
