use super::super::tests::kit::{Made, authority, authority_params, issued, params, self_signed};
use super::*;
use crate::tls::provider;
use proptest::prelude::*;
use std::time::Duration;

/// 2026-11-20
const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_795_132_800));

fn authorities(certificates: &[&Made]) -> Authorities {
    let text: String = certificates.iter().map(|made| made.pem.as_str()).collect();
    let file = super::super::tests::kit::file(&text);
    Authorities::of_file(file.path()).unwrap()
}

fn seen(authorities: Authorities, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Shown {
    let witness = Witness::new(provider(), Arc::new(authorities), false);
    let name = ServerName::try_from("localhost").unwrap();
    let verdict = witness.verify_server_cert(leaf, others, &name, &[], NOW);
    let shown = witness.tell().unwrap();
    assert_eq!(verdict.is_ok(), shown.failure.is_none());
    assert!(witness.tell().is_none());
    shown
}

/// Whoever mistyped a variable is not told that the machine has no authorities.
#[test]
fn variables_that_lead_nowhere_are_named() {
    let authority = authority();
    let server = issued(params("localhost"), &authority);
    for (origin, expected) in [
        (Origin::System, "this machine has no list of certificate authorities"),
        (
            Origin::Environment("SSL_CERT_FILE"),
            "no certificate authority can be read where SSL_CERT_FILE of the environment leads; mend that path",
        ),
    ] {
        let nobody = Authorities {
            roots: Arc::new(rustls::RootCertStore::empty()),
            named: Vec::new(),
            unusable: 0,
            origin,
        };
        let failure = seen(nobody, &server.der, &[]).failure.unwrap();
        let sentence = format!("{}; {}", failure.what, failure.advice);
        assert_eq!(failure.reason, TlsReason::UnknownCa);
        assert!(sentence.contains(expected), "{sentence}");
    }
}

#[test]
fn one_certificate_of_an_authority_that_holds_is_enough() {
    let old = {
        let mut params = authority_params("an authority");
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self_signed(params)
    };
    let renewed = {
        let params = authority_params("an authority");
        let certificate = params.self_signed(&old.key).unwrap();
        (certificate.pem(), certificate.der().clone())
    };
    let between = issued(authority_params("between"), &old);
    let leaf = issued(params("server"), &between);
    let file = super::super::tests::kit::file(&format!("{}{}", old.pem, renewed.0));
    let both = Authorities::of_file(file.path()).unwrap();
    assert!(
        seen(both, &leaf.der, std::slice::from_ref(&between.der))
            .failure
            .is_none()
    );
    let failure = seen(authorities(&[&old]), &leaf.der, std::slice::from_ref(&between.der))
        .failure
        .unwrap();
    assert_eq!(failure.reason, TlsReason::Expired);
    assert!(
        failure
            .what
            .contains("authority in `tls.ca_file` expired on 2021-01-01 (2149 days ago)"),
        "{failure:?}"
    );
}

/// What a server sends beside its certificate is its own choice: a certificate of somebody else that bears the name of its issuer leads
/// past the authority that is over only for those who follow names.
#[test]
fn an_authority_that_is_over_is_not_hidden_by_a_strange_certificate() {
    let old = {
        let mut params = authority_params("an authority");
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self_signed(params)
    };
    let between = issued(authority_params("between"), &old);
    let strange = issued(
        authority_params("between"),
        &self_signed(authority_params("a stranger")),
    );
    let leaf = issued(params("server"), &between);
    let others = [strange.der, between.der];
    let failure = seen(authorities(&[&old]), &leaf.der, &others).failure.unwrap();
    assert_eq!(failure.reason, TlsReason::Expired, "{failure:?}");
    let another = self_signed(authority_params("another"));
    let failure = seen(authorities(&[&old, &another]), &leaf.der, &others)
        .failure
        .unwrap();
    assert_eq!(failure.reason, TlsReason::Expired, "{failure:?}");
}

#[test]
fn an_authority_that_is_over_is_no_reason_for_what_does_not_depend_on_it() {
    let old = {
        let mut params = authority_params("old");
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self_signed(params)
    };
    let authority = authority();
    let leaf = issued(params("server"), &authority);
    assert!(seen(authorities(&[&old, &authority]), &leaf.der, &[]).failure.is_none());
    for trusted in [
        authorities(&[&old]),
        authorities(&[&old, &self_signed(authority_params("x"))]),
    ] {
        let failure = seen(trusted, &leaf.der, &[]).failure.unwrap();
        assert_eq!(failure.reason, TlsReason::UnknownCa, "{failure:?}");
    }
}

#[test]
fn a_verifier_is_used_up_by_one_handshake() {
    let authority = authority();
    let leaf = issued(params("server"), &authority);
    let witness = Witness::new(provider(), Arc::new(authorities(&[&authority])), true);
    let name = ServerName::try_from("localhost").unwrap();
    assert!(witness.verify_server_cert(&leaf.der, &[], &name, &[], NOW).is_ok());
    assert!(witness.verify_server_cert(&leaf.der, &[], &name, &[], NOW).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Nobody panics over a certificate that was tampered with, nothing of it is believed, and what is said of it is harmless.
    #[test]
    fn damaged_certificates_are_refused(
        changes in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 1..=255_u8), 1..4),
    ) {
        let root = authority();
        let between = issued(authority_params("between"), &root);
        let mut leaf = issued(params("server"), &between).der.to_vec();
        let mut other = between.der.to_vec();
        let (good_leaf, good_other) = (leaf.clone(), other.clone());
        for (is_leaf, place, change) in changes {
            let certificate = if is_leaf { &mut leaf } else { &mut other };
            let place = place.index(certificate.len());
            certificate[place] ^= change;
        }
        prop_assume!((&leaf, &other) != (&good_leaf, &good_other));
        let shown = seen(authorities(&[&root]), &leaf.into(), &[other.into()]);
        let failure = shown.failure.expect("nothing of it may be believed");
        prop_assert!(failure.what.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{failure:?}");
    }

    #[test]
    fn any_bytes_are_refused(leaf in proptest::collection::vec(any::<u8>(), 0..200)) {
        let root = authority();
        let shown = seen(authorities(&[&root]), &leaf.clone().into(), &[leaf.into()]);
        prop_assert!(shown.failure.is_some() && shown.certificates.is_none());
    }
}
