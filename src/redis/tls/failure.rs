//! Why TLS failed, as a reason and as a sentence.

use super::TlsReason;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use std::io;

/// Why TLS failed. Holds no secret; what a server sent of names is bounded and harmless in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) struct TlsFailure {
    /// The bounded reason.
    pub(in crate::redis) reason: TlsReason,
    /// What failed.
    pub(in crate::redis) what: String,
    /// What to do.
    pub(in crate::redis) advice: String,
}

/// What a handshake came to between us and the server's wish for a certificate of ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::redis) struct Identification {
    /// The server asked for one.
    pub(in crate::redis) asked: bool,
    /// We showed one.
    pub(in crate::redis) shown: bool,
}

/// The error of rustls that an error of a socket carries, as tokio-rustls hands it on.
pub(in crate::redis) fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

impl TlsFailure {
    /// The failure that an error of rustls stands for.
    pub(in crate::redis) fn of(error: &Error, identification: &Identification) -> Self {
        let reason = classify(error, identification);
        let (what, advice) = words(error, reason, identification);
        Self {
            reason,
            what,
            advice: advice.to_owned(),
        }
    }
}

fn classify(error: &Error, identification: &Identification) -> TlsReason {
    use CertificateError as E;
    match error {
        Error::AlertReceived(alert) => of_alert(*alert, identification),
        Error::InvalidCertificate(problem) => match problem {
            E::Expired | E::ExpiredContext { .. } => TlsReason::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => TlsReason::NotYetValid,
            E::UnknownIssuer => TlsReason::UnknownCa,
            E::NotValidForName | E::NotValidForNameContext { .. } => TlsReason::NameMismatch,
            E::BadSignature
            | E::UnsupportedSignatureAlgorithmContext { .. }
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => TlsReason::Handshake,
            _ => TlsReason::Other,
        },
        Error::UnsupportedNameType => TlsReason::NameMismatch,
        Error::InconsistentKeys(_) => TlsReason::ClientCertificate,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidMessage(_)
        | Error::NoCertificatesPresented
        | Error::DecryptError
        | Error::PeerIncompatible(_)
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord
        | Error::NoApplicationProtocol => TlsReason::Handshake,
        _ => TlsReason::Other,
    }
}

/// What an alert of the server means (RFC 8446, section 6.2; RFC 5246, section 7.2.2). Those about certificates can only be about ours.
fn of_alert(alert: AlertDescription, identification: &Identification) -> TlsReason {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired
        | A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
        | A::NoCertificate
        | A::CertificateUnobtainable
        | A::BadCertificateHashValue => TlsReason::ClientCertificate,
        // What OpenSSL answers in TLS 1.2 to a client that has no certificate.
        A::HandshakeFailure if identification.asked && !identification.shown => TlsReason::ClientCertificate,
        // It could not verify our signature.
        A::DecryptError if identification.shown => TlsReason::ClientCertificate,
        A::UnrecognisedName => TlsReason::NameMismatch,
        A::CloseNotify | A::InternalError | A::UserCanceled | A::Unknown(_) => TlsReason::Other,
        _ => TlsReason::Handshake,
    }
}

fn words(error: &Error, reason: TlsReason, identification: &Identification) -> (String, &'static str) {
    use CertificateError as E;
    match error {
        Error::AlertReceived(alert) => alert_words(*alert, reason, identification),
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => (
            "what the server sent is no TLS".to_owned(),
            "if the port is one without TLS, write redis:// in place of rediss://; else check that a Redis server listens there",
        ),
        Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => (
            "the server speaks no version of TLS that we may".to_owned(),
            "let the server speak TLS 1.2 or 1.3 (`tls-protocols` in its configuration), or check `tls.min_version`",
        ),
        Error::PeerIncompatible(problem) => (
            format!(
                "the server and we have no common way of speaking TLS ({})",
                kind(problem)
            ),
            "check `tls-protocols`, `tls-ciphers` and `tls-ciphersuites` of the server",
        ),
        Error::NoCertificatesPresented => (
            "the server showed no certificate".to_owned(),
            "check `tls-cert-file` of the server",
        ),
        Error::InvalidCertificate(E::InvalidPurpose | E::InvalidPurposeContext { .. }) => (
            "the server's certificate is not made for servers (its extendedKeyUsage lacks serverAuth)".to_owned(),
            "have it issued for servers",
        ),
        Error::InvalidCertificate(
            E::BadSignature
            | E::UnsupportedSignatureAlgorithmContext { .. }
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => (
            "a signature of the server or of its certificates is none that we can believe".to_owned(),
            "use keys of at least 2048 bits of RSA, ECDSA on P-256 or P-384, or Ed25519, and signatures with SHA-256 or better",
        ),
        Error::InvalidCertificate(E::Other(problem)) => (
            format!("the server's certificate cannot be verified ({})", kind(&problem.0)),
            "have it issued anew as one of X.509 version 3 for a server",
        ),
        Error::InvalidCertificate(problem) => (
            format!("the server's certificate cannot be verified ({})", kind(problem)),
            "have it issued anew",
        ),
        other if reason == TlsReason::Handshake => (
            format!("the server broke the protocol of TLS ({})", kind(other)),
            "check that the address belongs to a Redis or Valkey server that speaks TLS",
        ),
        other => (format!("TLS failed ({})", kind(other)), "check the log of the server"),
    }
}

fn alert_words(alert: AlertDescription, reason: TlsReason, identification: &Identification) -> (String, &'static str) {
    let name = alert_name(alert);
    let wants_one = alert == AlertDescription::CertificateRequired
        || alert == AlertDescription::NoCertificate
        || (identification.asked && !identification.shown);
    match reason {
        TlsReason::ClientCertificate if wants_one => (
            format!("the server wants a certificate of ours and got none (its TLS alert: {name})"),
            "set `tls.cert_file` and `tls.key_file` to a certificate from the authority that the server trusts (`tls-ca-cert-file`)",
        ),
        TlsReason::ClientCertificate => (
            format!("the server did not accept our certificate (its TLS alert: {name})"),
            "check that `tls.cert_file` has not expired and comes from the authority that the server trusts (`tls-ca-cert-file`)",
        ),
        TlsReason::NameMismatch => (
            format!("the server does not know the name that it was asked for (its TLS alert: {name})"),
            "set `tls.server_name` to a name that it knows",
        ),
        TlsReason::Handshake if alert == AlertDescription::ProtocolVersion => (
            format!("the server speaks no version of TLS that we may (its TLS alert: {name})"),
            "let the server speak TLS 1.2 or 1.3 (`tls-protocols` in its configuration), or check `tls.min_version`",
        ),
        TlsReason::Handshake => (
            format!("the server broke off the TLS handshake (its TLS alert: {name})"),
            "check `tls-protocols`, `tls-ciphers` and `tls-ciphersuites` of the server, and its log",
        ),
        _ => (
            format!("the server broke off TLS (its TLS alert: {name})"),
            "check the log of the server",
        ),
    }
}

/// The name of an alert as RFC 8446 writes it, section 6: `certificate_required`.
fn alert_name(alert: AlertDescription) -> String {
    if let AlertDescription::Unknown(number) = alert {
        return format!("number {number}");
    }
    let mut name = String::new();
    let mut before_was_small = false;
    for character in format!("{alert:?}").chars() {
        if character.is_ascii_uppercase() && before_was_small {
            name.push('_');
        }
        before_was_small = character.is_ascii_lowercase();
        name.push(character.to_ascii_lowercase());
    }
    name
}

/// The first word of what rustls calls a problem: its kind, and nothing of what the server sent.
fn kind(problem: &impl std::fmt::Debug) -> String {
    let text = format!("{problem:?}");
    let word = text.split(|character: char| !character.is_ascii_alphanumeric()).next();
    word.filter(|word| !word.is_empty()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Identification = Identification {
        asked: false,
        shown: false,
    };

    #[test]
    fn alerts_are_named_as_the_standard_does() {
        let table = [
            (AlertDescription::CertificateRequired, "certificate_required"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::Unknown(200), "number 200"),
        ];
        for (alert, name) in table {
            assert_eq!(alert_name(alert), name);
        }
    }

    #[test]
    fn every_alert_has_a_reason_and_words() {
        for number in 0..=u8::MAX {
            let alert = AlertDescription::from(number);
            for (asked, shown) in [(false, false), (true, false), (true, true)] {
                let failure = TlsFailure::of(&Error::AlertReceived(alert), &Identification { asked, shown });
                assert!(failure.what.contains("TLS alert: "), "{failure:?}");
                assert!(!failure.advice.is_empty());
                assert!(!matches!(failure.reason, TlsReason::Expired | TlsReason::UnknownCa));
            }
        }
    }

    #[test]
    fn what_openssl_answers_in_tls_1_2_depends_on_who_asked() {
        let error = Error::AlertReceived(AlertDescription::HandshakeFailure);
        let asked = Identification {
            asked: true,
            shown: false,
        };
        assert_eq!(classify(&error, &NONE), TlsReason::Handshake);
        assert_eq!(classify(&error, &asked), TlsReason::ClientCertificate);
    }

    #[test]
    fn nothing_of_what_a_server_sent_is_shown() {
        for error in [
            Error::General("evil \u{1b}[31m".to_owned()),
            Error::InvalidCertificate(CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![1, 2, 3],
                supported_algorithms: Vec::new(),
            }),
            Error::InvalidMessage(InvalidMessage::UnexpectedMessage("x")),
        ] {
            let failure = TlsFailure::of(&error, &NONE);
            assert!(
                !failure.what.contains("evil") && !failure.what.contains("[1"),
                "{failure:?}"
            );
        }
        assert_eq!(kind(&Error::General("evil".to_owned())), "General");
        assert_eq!(kind(&"\"x"), "unknown");
    }
}
