use super::*;
use crate::config::web::{ClientAuth, WebTls};
use crate::http::tls::tests::{inline, settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// The first second of 2029 (`date -u -d 2029-01-01 +%s`), when the certificates of these tests end.
const END: u64 = 1_861_920_000;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// What a client of this name shows.
fn shown(authority: &Authority, name: &str) -> Vec<CertificateDer<'static>> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2028, 12, 31) + Duration::from_secs(86_400);
    let key = KeyPair::generate().unwrap();
    vec![parameters.signed_by(&key, authority).unwrap().der().clone()]
}

fn demanding(client_auth: ClientAuth, authority: &Authority, names: &[&str]) -> ServerTls {
    ServerTls::new(&WebTls {
        client_auth,
        client_ca: client_auth.verifies().then(|| inline(authority.pem())),
        client_allowed_sans: names.iter().map(|name| (*name).to_owned()).collect(),
        ..settings()
    })
    .unwrap()
}

fn at(seconds: u64) -> impl FnOnce() -> UnixTime {
    move || UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn unasked() -> UnixTime {
    panic!("nothing is looked at again");
}

#[test]
fn a_client_stays_as_long_as_it_would_be_let_in_again() {
    let (ours, other) = (authority("ours"), authority("other"));
    let verified = |authority, names| demanding(ClientAuth::RequireAndVerify, authority, names);
    let client = Admission::over_tls(Some(&shown(&ours, "scraper")));
    let nobody = Admission::over_tls(None);
    let now = Instant::now();
    let open = demanding(ClientAuth::None, &ours, &[]);
    for (tls, of_client, of_nobody) in [
        (&open, Verdict::Stays, Verdict::Stays),
        (&verified(&ours, &[]), Verdict::Stays, Verdict::Leaves),
        (&verified(&ours, &["scraper"]), Verdict::Stays, Verdict::Leaves),
        (&verified(&ours, &["another"]), Verdict::Leaves, Verdict::Leaves),
        (&verified(&other, &[]), Verdict::Leaves, Verdict::Leaves),
        (
            &demanding(ClientAuth::VerifyIfGiven, &other, &[]),
            Verdict::Leaves,
            Verdict::Stays,
        ),
        (
            &demanding(ClientAuth::RequireAny, &other, &[]),
            Verdict::Stays,
            Verdict::Leaves,
        ),
        // What was found once is not kept for other demands, nor a refusal for those that let in.
        (&open, Verdict::Stays, Verdict::Stays),
    ] {
        let verdicts = [&client, &nobody].map(|admission| admission.verdict(Some(tls), now, at(END - 86_400)));
        assert_eq!(verdicts, [of_client, of_nobody], "{:?}", tls.demands());
    }
    let in_clear = Admission::in_clear();
    assert_eq!(in_clear.verdict(None, now, unasked), Verdict::Stays);
    assert_eq!(in_clear.verdict(Some(&open), now, unasked), Verdict::InClear);
}

#[test]
fn a_certificate_that_ends_ends_its_connection_and_one_answer_before_it() {
    let ours = authority("ours");
    let tls = demanding(ClientAuth::RequireAndVerify, &ours, &[]);
    let client = Admission::over_tls(Some(&shown(&ours, "scraper")));
    let start = Instant::now();
    let ahead = FORESIGHT.as_secs();
    let verdict = |seconds: u64, date| client.verdict(Some(&tls), start + Duration::from_secs(seconds), date);
    assert_eq!(verdict(0, at(END - ahead - 3600)), Verdict::Stays);
    // Not verified at every request.
    let believed = BELIEVED.as_secs();
    assert_eq!(
        client.verdict(Some(&tls), start + BELIEVED / 2, unasked),
        Verdict::Stays
    );
    assert_eq!(verdict(believed, at(END - ahead - 2)), Verdict::Stays);
    assert_eq!(verdict(2 * believed, at(END - ahead + 1)), Verdict::Reconnects);
    assert_eq!(verdict(2 * believed, at(END - 2)), Verdict::Reconnects);
    assert_eq!(verdict(2 * believed, at(END + 1)), Verdict::Leaves);
    // What is believed does not outlive the certificate, and nobody is idle for so long that it ends unseen.
    assert!(BELIEVED + crate::http::Timeouts::default().idle < FORESIGHT);
}

#[test]
fn certificates_that_nobody_verifies_do_not_end() {
    let ours = authority("ours");
    let tls = demanding(ClientAuth::RequireAny, &ours, &[]);
    let client = Admission::over_tls(Some(&shown(&ours, "scraper")));
    assert_eq!(
        client.verdict(Some(&tls), Instant::now(), at(END + 86_400)),
        Verdict::Stays
    );
}
