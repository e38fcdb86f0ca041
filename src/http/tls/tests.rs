use super::*;
use crate::config::types::Secret;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// A certificate that ends in this year, and its key.
fn pair(year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

pub(in crate::http) fn inline(text: impl Into<String>) -> PemSource {
    PemSource::Inline(Secret::new(text))
}

pub(in crate::http) fn settings() -> WebTls {
    let (certificate, key) = pair(2030);
    WebTls {
        certificate: inline(certificate),
        key: inline(key),
        client_auth: ClientAuth::None,
        client_ca: None,
        client_allowed_sans: Vec::new(),
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
        cipher_suites: Vec::new(),
        prefer_server_cipher_suites: true,
        curve_preferences: Vec::new(),
    }
}

fn suites(settings: &WebTls) -> Vec<String> {
    let tls = ServerTls::new(settings).unwrap();
    let suites = &tls.config.crypto_provider().cipher_suites;
    suites.iter().map(|suite| format!("{:?}", suite.suite())).collect()
}

#[test]
fn the_order_of_the_list_decides_among_the_suites_of_1_2() {
    let written = [
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    ];
    let chosen = suites(&WebTls {
        cipher_suites: written.map(str::to_owned).to_vec(),
        ..settings()
    });
    let (first, rest) = chosen.split_at(3);
    assert!(first.iter().all(|name| name.starts_with("TLS13_")), "{chosen:?}");
    assert_eq!(rest, written);
}

/// The keys at fault.
fn faults(settings: &WebTls) -> Vec<&'static str> {
    let faults = ServerTls::new(settings).unwrap_err();
    assert!(
        !faults.iter().any(|fault| fault.message.contains("hunter2")),
        "{faults:?}"
    );
    faults.iter().map(|fault| fault.key).collect()
}

#[test]
fn suites_of_1_2_and_curves_are_chosen_and_those_of_1_3_stay() {
    let all = suites(&settings());
    assert_eq!(all.len(), 9, "{all:?}");
    let chosen = WebTls {
        cipher_suites: vec!["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned()],
        curve_preferences: vec!["CurveP256".to_owned()],
        ..settings()
    };
    let left = suites(&chosen);
    assert_eq!(left.iter().filter(|name| name.starts_with("TLS13_")).count(), 3);
    assert!(left.len() == 4 && left.contains(&"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned()));
    let tls = ServerTls::new(&chosen).unwrap();
    let groups: Vec<_> = tls
        .config
        .crypto_provider()
        .kx_groups
        .iter()
        .map(|it| it.name())
        .collect();
    assert_eq!(groups, [NamedGroup::secp256r1]);
    assert_eq!(tls.config.alpn_protocols, [b"http/1.1"]);
}

#[test]
fn the_first_certificate_of_the_chain_to_end_counts() {
    let whole = settings();
    let PemSource::Inline(leaf) = &whole.certificate else {
        unreachable!()
    };
    let (early, _) = pair(2028);
    let chain = WebTls {
        certificate: inline(format!("{}{early}", leaf.expose())),
        ..whole.clone()
    };
    // `date -u -d 2028-01-01 +%s` and `date -u -d 2030-01-01 +%s`
    assert_eq!(ServerTls::new(&chain).unwrap().not_after, 1_830_297_600);
    assert_eq!(ServerTls::new(&whole).unwrap().not_after, 1_893_456_000);
}

#[test]
fn everything_that_cannot_be_used_is_said_at_once() {
    let broken = WebTls {
        certificate: PemSource::File("/nowhere/a.crt".into()),
        key: inline("hunter2"),
        client_auth: ClientAuth::RequireAndVerify,
        client_ca: Some(inline("-----BEGIN CERTIFICATE-----\nhunter2\n")),
        cipher_suites: vec!["TLS_RSA_WITH_RC4_128_SHA".to_owned()],
        curve_preferences: vec!["CurveP521".to_owned()],
        ..settings()
    };
    let expected = ["cert_file", "key", "cipher_suites", "curve_preferences", "client_ca"];
    assert_eq!(faults(&broken), expected);
    let strange = WebTls {
        key: settings().key,
        ..settings()
    };
    assert_eq!(faults(&strange), ["key"]);
    let no_authority = WebTls {
        client_auth: ClientAuth::VerifyIfGiven,
        ..settings()
    };
    assert_eq!(faults(&no_authority), ["client_ca_file"]);
    // Names that nobody would be asked for would look like a lock.
    let names_alone = WebTls {
        client_allowed_sans: vec!["a".to_owned()],
        ..settings()
    };
    assert_eq!(faults(&names_alone), ["client_allowed_sans"]);
    let nothing_between = WebTls {
        min_version: TlsVersion::V1_3,
        max_version: TlsVersion::V1_2,
        ..settings()
    };
    assert_eq!(faults(&nothing_between), ["cipher_suites"]);
    let broken_certificate = WebTls {
        certificate: inline("-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n"),
        ..settings()
    };
    assert_eq!(faults(&broken_certificate), ["cert"]);
}

/// Whoever opened it would wait for ever.
#[test]
fn a_pipe_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let source = || PemSource::File(pipe.clone());
    let piped = WebTls {
        certificate: source(),
        key: source(),
        client_auth: ClientAuth::RequireAndVerify,
        client_ca: Some(source()),
        ..settings()
    };
    let (done, outcome) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(faults(&piped)));
    let found = outcome.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(found.unwrap(), ["cert_file", "key_file", "client_ca_file"]);
}

#[test]
fn sessions_are_resumed_only_where_no_certificate_is_asked_for() {
    assert!(ServerTls::new(&settings()).unwrap().config.send_tls13_tickets > 0);
    for auth in [ClientAuth::Request, ClientAuth::RequireAny] {
        let asked = WebTls {
            client_auth: auth,
            ..settings()
        };
        let tls = ServerTls::new(&asked).unwrap();
        assert_eq!(
            (tls.config.send_tls13_tickets, tls.config.session_storage.can_cache()),
            (0, false)
        );
    }
}

#[test]
fn labels_of_failures_are_unlike() {
    let labels: std::collections::BTreeSet<&str> = handshake::Failure::ALL
        .into_iter()
        .map(handshake::Failure::as_label)
        .collect();
    assert_eq!(labels.len(), handshake::Failure::ALL.len());
}
