//! Looking at the certificates of a server: their dates, and whether they verify.

use super::TlsReason;
use super::failure::TlsFailure;
use crate::tls::authorities::{Authorities, Origin};
use crate::tls::certificate::{
    ChainValidity, Validity, has_weak_key, is_self_issued, shown_date, shown_distance, shown_host_names, shown_issuer,
    validity,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};

/// What a server showed.
#[derive(Debug)]
pub(super) struct Shown {
    /// The dates, if they can be read.
    pub(super) certificates: Option<ChainValidity>,
    /// Why they do not verify; `None` when they do.
    pub(super) failure: Option<TlsFailure>,
}

/// The verifier of one handshake. It tells afterwards what it saw, and keeps nothing of it: the connection keeps the verifier for as long
/// as it lives, and the authorities of a machine take more memory than everything else of a connection.
#[derive(Debug)]
pub(super) struct Witness {
    provider: Arc<CryptoProvider>,
    /// Let everybody in; the signatures of the handshake are verified all the same.
    lets_all_in: bool,
    authorities: Mutex<Option<Arc<Authorities>>>,
    shown: Mutex<Option<Shown>>,
}

impl Witness {
    pub(super) fn new(provider: Arc<CryptoProvider>, authorities: Arc<Authorities>, lets_all_in: bool) -> Self {
        Self {
            provider,
            lets_all_in,
            authorities: Mutex::new(Some(authorities)),
            shown: Mutex::new(None),
        }
    }

    /// What the server showed, if it came so far, told once. No other handshake can be verified after this.
    pub(super) fn tell(&self) -> Option<Shown> {
        take(&self.authorities);
        take(&self.shown)
    }

    /// Notes whether the server has the key of the certificate that it showed. Anybody can show one; who cannot sign with its key is not
    /// verified, however good it is. A key that is too weak to be believed was found before.
    fn note_proof<T>(&self, proof: Result<T, Error>) -> Result<T, Error> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Err(error), Some(shown)) = (&proof, shown.as_mut())
            && !matches!(&shown.failure, Some(failure) if failure.reason == TlsReason::Handshake)
        {
            shown.failure = Some(match error {
                Error::InvalidCertificate(CertificateError::BadSignature) => TlsFailure {
                    reason: TlsReason::Handshake,
                    what: "the server shows a certificate and does not have its key".to_owned(),
                    advice: "check who answers at this address, and that `tls-key-file` of the server belongs to its `tls-cert-file`"
                        .to_owned(),
                },
                error => TlsFailure::of(error, &Default::default()),
            });
        }
        proof
    }
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = take(&self.authorities) else {
            return Err(Error::General("a second handshake on one connection".to_owned()));
        };
        let chain: Vec<CertificateDer<'_>> = std::iter::once(leaf).chain(others).cloned().collect();
        let verdict = verify(&self.provider, &authorities, (leaf, others), name, ocsp_response, now);
        let failure = verdict.as_ref().err().map(|error| {
            let case = Case {
                authorities: &authorities,
                chain: &chain,
                leaf,
                name,
                now: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            };
            case.failure(error)
        });
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(Shown {
            certificates: ChainValidity::of(&chain),
            failure,
        });
        match verdict {
            Err(error) if !self.lets_all_in => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.note_proof(verify_tls12_signature(message, certificate, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.note_proof(verify_tls13_signature(message, certificate, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn verify(
    provider: &Arc<CryptoProvider>,
    authorities: &Authorities,
    (leaf, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    name: &ServerName<'_>,
    ocsp_response: &[u8],
    now: UnixTime,
) -> Result<(), Error> {
    // Whoever names the server's own certificate trusts it, whoever issued it and whatever it says of being an authority: webpki would
    // refuse the common self-signed one that says `CA:TRUE`. That the server has its key, the signature of the handshake shows.
    if authorities.named.iter().any(|named| named == leaf) {
        check_dates(leaf, now)?;
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
        return check_key(leaf);
    }
    if authorities.roots.is_empty() {
        check_dates(leaf, now)?;
        return Err(CertificateError::UnknownIssuer.into());
    }
    let verify_by = |roots: Arc<RootCertStore>| -> Result<(), Error> {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
        let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(leaf, others, name, ocsp_response, now)?;
        check_key(leaf)
    };
    let Some(over) = authorities
        .named
        .iter()
        .find_map(|authority| check_dates(authority, now).err())
    else {
        return verify_by(Arc::clone(&authorities.roots));
    };
    let holding = holding(&authorities.named, now);
    if !holding.is_empty() && verify_by(Arc::new(holding)).is_ok() {
        return Ok(());
    }
    // Where it leads to one that is over, that is what is wrong; else it is whatever is wrong with all of them.
    verify_by(Arc::clone(&authorities.roots))?;
    Err(over)
}

/// The authorities of a file whose own dates hold. webpki does not look at these; OpenSSL does, so that every other client is turned away on the
/// day on which a private authority expires. Of several certificates of one authority one that holds is enough. Those that are over are
/// left out rather than looked for afterwards in what the server sent: it sends what it likes, also strange certificates of the same name.
///
/// The authorities of the machine are not looked at: whoever maintains that list removes them.
fn holding(named: &[CertificateDer<'static>], now: UnixTime) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let holding = named.iter().filter(|authority| check_dates(authority, now).is_ok());
    roots.add_parsable_certificates(holding.cloned());
    roots
}

/// webpki looks only at keys that signed certificates. The server's own signs the handshake, which fails right behind this when its key
/// is too weak; that is known here already, where it can be said of which certificate.
fn check_key(leaf: &CertificateDer<'_>) -> Result<(), Error> {
    match has_weak_key(leaf) {
        true => Err(CertificateError::BadSignature.into()),
        false => Ok(()),
    }
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let dates = validity(certificate).ok_or(CertificateError::BadEncoding)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds < dates.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if seconds > dates.not_after {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// What is known when a verification has failed.
struct Case<'a> {
    authorities: &'a Authorities,
    chain: &'a [CertificateDer<'a>],
    leaf: &'a CertificateDer<'a>,
    name: &'a ServerName<'a>,
    /// Seconds since 1970.
    now: i64,
}

impl Case<'_> {
    fn failure(&self, error: &Error) -> TlsFailure {
        use CertificateError as E;
        let Error::InvalidCertificate(problem) = error else {
            return TlsFailure::of(error, &Default::default());
        };
        match problem {
            E::Expired | E::ExpiredContext { .. } => self.expired(),
            E::NotValidYet | E::NotValidYetContext { .. } => self.not_yet_valid(),
            E::NotValidForName | E::NotValidForNameContext { .. } => self.name_mismatch(),
            E::BadSignature if self.depends_on_a_weak_key() => TlsFailure {
                reason: TlsReason::Handshake,
                what: "the server's certificate, or one that it depends on, has an RSA key of less than 2048 bits".to_owned(),
                advice: "have it issued anew with a longer key".to_owned(),
            },
            E::BadSignature => TlsFailure {
                reason: TlsReason::UnknownCa,
                what: format!(
                    "the server's certificate was not signed with the key of the authority whose name it bears, and does not lead to {}",
                    self.trusted()
                ),
                advice: "an authority that was made anew under its old name has another key: name its new certificate in `tls.ca_file`"
                    .to_owned(),
            },
            E::UnknownIssuer => self.unknown_authority(),
            // What webpki says of `CA:TRUE` in a server's certificate, the usual outcome of `openssl req -x509`.
            E::Other(_) if is_self_issued(self.leaf) => self.unknown_authority(),
            _ => TlsFailure::of(error, &Default::default()),
        }
    }

    /// Whose certificate it is whose dates do not hold, with the given date of it.
    fn whose(&self, date: fn(Validity) -> i64, fails: impl Fn(i64) -> bool) -> (&str, Option<i64>) {
        let failing =
            |certificate: &CertificateDer<'_>| validity(certificate).map(date).filter(|seconds| fails(*seconds));
        if let Some(seconds) = failing(self.leaf) {
            return ("the server's certificate", Some(seconds));
        }
        if let Some(seconds) = self.chain.iter().skip(1).find_map(failing) {
            return ("a certificate that the server's depends on", Some(seconds));
        }
        let authority = self.authorities.named.iter().find_map(failing);
        ("the certificate of the authority in `tls.ca_file`", authority)
    }

    fn expired(&self) -> TlsFailure {
        let (whose, date) = self.whose(|dates| dates.not_after, |date| date < self.now);
        let when = date.map_or_else(
            || "has expired".to_owned(),
            |date| {
                format!(
                    "expired on {} ({} ago)",
                    shown_date(date),
                    shown_distance(self.now, date)
                )
            },
        );
        TlsFailure {
            reason: TlsReason::Expired,
            what: format!("{whose} {when}"),
            advice: "renew it where it is used, or check the clock of this machine".to_owned(),
        }
    }

    fn not_yet_valid(&self) -> TlsFailure {
        let (whose, date) = self.whose(|dates| dates.not_before, |date| date > self.now);
        let when = date.map_or_else(
            || "does not hold yet".to_owned(),
            |date| {
                format!(
                    "holds only from {} on (in {})",
                    shown_date(date),
                    shown_distance(self.now, date)
                )
            },
        );
        TlsFailure {
            reason: TlsReason::NotYetValid,
            what: format!("{whose} {when}"),
            advice: "check the clocks of this machine and of the one that issued it".to_owned(),
        }
    }

    fn name_mismatch(&self) -> TlsFailure {
        let wanted = self.name.to_str();
        let (what, advice) = shown_host_names(self.leaf).map_or_else(
            || {
                (
                    format!(
                        "the server's certificate names no host in its subjectAltName, and so not `{wanted}` (its common name does not count)"
                    ),
                    "have it issued anew with the host of the address as a subjectAltName",
                )
            },
            |names| {
                (
                    format!("the server's certificate is made out to {names}, not to `{wanted}`"),
                    "set `tls.server_name` to a name of the certificate, or have it issued for the host of the address",
                )
            },
        );
        TlsFailure {
            reason: TlsReason::NameMismatch,
            what,
            advice: advice.to_owned(),
        }
    }

    fn unknown_authority(&self) -> TlsFailure {
        let failure = |what: String, advice: &str| TlsFailure {
            reason: TlsReason::UnknownCa,
            what,
            advice: advice.to_owned(),
        };
        let trusted = self.trusted();
        if self.authorities.roots.is_empty() {
            match self.authorities.origin {
                Origin::System => {
                    return failure(
                        "the server's certificate cannot be verified, since this machine has no list of certificate authorities".to_owned(),
                        "name the authority that issued it in `tls.ca_file`, or a list of authorities in SSL_CERT_FILE",
                    );
                }
                Origin::Environment(variables) => {
                    return failure(
                        format!(
                            "the server's certificate cannot be verified, since no certificate authority can be read where {variables} of the environment leads"
                        ),
                        "mend that path, or name the authority that issued the certificate in `tls.ca_file`",
                    );
                }
                Origin::File(_) => {}
            }
        }
        if is_self_issued(self.leaf) {
            return failure(
                format!("the server's certificate is self-signed, and it is not {trusted}"),
                "name it, or better an authority's, in `tls.ca_file`",
            );
        }
        let end = self.chain.last().and_then(shown_issuer);
        let end = end.map_or_else(String::new, |name| {
            format!(": the certificates that it sent end at the authority `{name}`")
        });
        failure(
            format!("the server's certificate does not lead to {trusted}{end}"),
            "name that authority in `tls.ca_file`; if it is an intermediate one, let the server send its certificate too (behind its own in `tls-cert-file`)",
        )
    }

    /// `the certificate of /etc/ca.pem`, or `any of the 2 certificates of /etc/ca.pem`
    fn trusted(&self) -> String {
        let Authorities {
            roots,
            named,
            unusable,
            origin,
        } = self.authorities;
        let unusable = match unusable {
            0 => String::new(),
            count => format!(", {count} of which cannot be an authority"),
        };
        match origin {
            Origin::File(path) if named.len() == 1 => format!("the certificate of {}{unusable}", path.display()),
            Origin::File(path) => format!(
                "any of the {} certificates of {}{unusable}",
                named.len(),
                path.display()
            ),
            Origin::System => format!("any of the {} authorities of this machine", roots.len()),
            Origin::Environment(variables) => format!(
                "any of the {} authorities where {variables} of the environment leads",
                roots.len()
            ),
        }
    }

    fn depends_on_a_weak_key(&self) -> bool {
        self.chain.iter().chain(&self.authorities.named).any(has_weak_key)
    }
}

#[cfg(test)]
mod tests;
