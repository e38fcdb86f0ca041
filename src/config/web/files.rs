//! Whether the certificates and keys that the web configuration names can be used.

use super::super::decode::{Decoder, Located};
use super::PemSource;
use crate::tls::files::PemFailure;
use rustls::sign::CertifiedKey;

/// Reads what is named and notes what is wrong with it.
pub(super) fn check(
    decoder: &mut Decoder<'_>,
    certificate: Option<&Located<PemSource>>,
    key: Option<&Located<PemSource>>,
    authority: Option<&Located<PemSource>>,
) {
    let chain = certificate.and_then(|located| noted(decoder, located, located.value.certificates()));
    let private = key.and_then(|located| noted(decoder, located, located.value.private_key()));
    if let Some(located) = authority {
        let roots = noted(decoder, located, located.value.certificates()).unwrap_or_default();
        let mut store = rustls::RootCertStore::empty();
        for (index, root) in roots.into_iter().enumerate() {
            if store.add(root).is_err() {
                let message = format!("its certificate {} is no X.509 certificate; remove it", index + 1);
                decoder.problems.add(located.place, &located.path, message);
            }
        }
    }
    let (Some(certificate), Some(chain), Some(key), Some(private)) = (certificate, chain, key, private) else {
        return;
    };
    let Ok(private) = rustls::crypto::ring::sign::any_supported_type(&private) else {
        let message = "is a key that cannot be used; make an ECDSA key (P-256 or P-384), an Ed25519 key, or an RSA key of at least 2048 bits";
        decoder.problems.add(key.place, &key.path, message);
        return;
    };
    match CertifiedKey::new(chain, private).keys_match() {
        // Unknown is what a key says that does not show its public half; none of ring's does.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            let message = "is not the key of the first certificate; name the pair that was made together";
            decoder.problems.add(key.place, &key.path, message);
        }
        Err(_) => {
            let message = "its first certificate is no X.509 certificate; name the certificate of this server";
            decoder.problems.add(certificate.place, &certificate.path, message);
        }
    }
}

/// What was read, or a problem.
fn noted<T>(decoder: &mut Decoder<'_>, located: &Located<PemSource>, read: Result<T, PemFailure>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(failure) => {
            decoder.problems.add(located.place, &located.path, failure.to_string());
            None
        }
    }
}
