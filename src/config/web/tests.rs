use super::*;
use crate::config::names::Scope;
use crate::config::types::BasicPassword;
use proptest::prelude::*;

const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm";

fn parsed(text: &str) -> WebConfig {
    parse(text, "web.yml", Path::new("/etc/exporter")).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn errors(text: &str) -> String {
    parse(text, "web.yml", Path::new("/etc/exporter"))
        .expect_err(text)
        .to_string()
}

/// `tls_server_config` with a certificate, a key and these lines.
fn section(lines: &[&str]) -> String {
    let mut text = "tls_server_config:\n  cert_file: server.pem\n  key_file: /keys/server.key\n".to_owned();
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

fn server(lines: &[&str]) -> (WebTls, Vec<String>) {
    let config = parsed(&section(lines));
    (config.tls.unwrap(), config.warnings)
}

#[test]
fn an_empty_file_is_an_open_door_without_tls() {
    for text in [
        "",
        "# nothing\n",
        "{}\n",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
        "tls_server_config: {}\nhttp_server_config: {}\nbasic_auth_users: {}\nrate_limit: {}\n",
        "rate_limit: { interval: 0, burst: 3 }\n",
        "rate_limit: { burst: 3 }\n",
        "http_server_config: { http2: yes, headers: { Content-Security-Policy: \"\" } }\n",
    ] {
        assert_eq!(parsed(text), WebConfig::default(), "{text}");
    }
}

#[test]
fn every_key_is_read() {
    let config = parsed(&format!("basic_auth_users:\n  alice: {HASH}\n  'b ö b': '{HASH}'\n"));
    let names: Vec<&str> = config.users.iter().map(|user| user.username.as_str()).collect();
    assert_eq!(names, ["alice", "b ö b"]);
    assert!(
        config
            .users
            .iter()
            .all(|user| user.password == BasicPassword::Bcrypt(Secret::new(HASH)))
    );
    let config = parsed(
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: sameorigin\n    Strict-Transport-Security: max-age=1\n\
         rate_limit:\n  interval: 1.5s\n  burst: 20\n",
    );
    let expected = [
        ("Strict-Transport-Security", "max-age=1".to_owned()),
        ("X-Frame-Options", "sameorigin".to_owned()),
    ];
    assert_eq!(config.headers, expected);
    let limit = RateLimit {
        interval: Duration::from_millis(1500),
        burst: 20,
    };
    assert_eq!(config.rate_limit, Some(limit));
    let (tls, warnings) = server(&[
        "client_auth_type: RequireAndVerifyClientCert",
        "client_ca_file: ca.pem",
        "client_allowed_sans: [prometheus.example.org, 10.0.0.1]",
        "min_version: TLS12",
        "max_version: TLS13",
        "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]",
        "prefer_server_cipher_suites: false",
        "curve_preferences: [CurveP384, X25519, CurveP384]",
    ]);
    let expected = WebTls {
        certificate: PemSource::File("/etc/exporter/server.pem".into()),
        key: PemSource::File("/keys/server.key".into()),
        client_auth: ClientAuth::RequireAndVerify,
        client_ca: Some(PemSource::File("/etc/exporter/ca.pem".into())),
        client_allowed_sans: vec!["prometheus.example.org".to_owned(), "10.0.0.1".to_owned()],
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
        cipher_suites: vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()],
        prefer_server_cipher_suites: false,
        curve_preferences: vec!["CurveP384".to_owned(), "X25519".to_owned()],
    };
    assert_eq!((tls, warnings), (expected, vec![]));
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_toolkit() {
    let expected = WebTls {
        certificate: PemSource::File("/etc/exporter/server.pem".into()),
        key: PemSource::File("/keys/server.key".into()),
        client_auth: ClientAuth::None,
        client_ca: None,
        client_allowed_sans: vec![],
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
        cipher_suites: vec![],
        prefer_server_cipher_suites: true,
        curve_preferences: vec![],
    };
    assert_eq!(server(&[]), (expected.clone(), vec![]));
    let empty = [
        "cert: ''",
        "client_auth_type: ''",
        "client_ca: ''",
        "client_ca_file:",
        "client_allowed_sans:",
        "cipher_suites: []",
        "curve_preferences: []",
    ];
    assert_eq!(server(&empty), (expected, vec![]));
    let inline = parsed("tls_server_config:\n  cert: |\n    a\n    b\n  key: hunter2\n");
    let shown = format!("{inline:?}");
    let tls = inline.tls.unwrap();
    assert_eq!(tls.certificate, PemSource::Inline(Secret::new("a\nb\n")));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn client_certificates_are_asked_for_in_five_ways() {
    for (word, auth, warnings) in [
        ("NoClientCert", ClientAuth::None, 0),
        ("RequestClientCert", ClientAuth::Request, 0),
        ("RequireAnyClientCert", ClientAuth::RequireAny, 0),
        ("RequireClientCert", ClientAuth::RequireAny, 0),
        ("VerifyClientCertIfGiven\n  client_ca: x", ClientAuth::VerifyIfGiven, 0),
        (
            "RequireAndVerifyClientCert\n  client_ca: x",
            ClientAuth::RequireAndVerify,
            0,
        ),
        // What would be trusted in vain is said.
        ("RequestClientCert\n  client_ca: x", ClientAuth::Request, 1),
        ("RequireAnyClientCert\n  client_ca: x", ClientAuth::RequireAny, 1),
        (
            "RequireAnyClientCert\n  client_allowed_sans: [a]",
            ClientAuth::RequireAny,
            1,
        ),
    ] {
        let (tls, said) = server(&[&format!("client_auth_type: {word}")]);
        assert_eq!((tls.client_auth, said.len()), (auth, warnings), "{word}: {said:?}");
        assert_eq!(tls.client_ca.is_some(), auth.verifies(), "{word}");
    }
}

#[test]
fn what_rustls_does_not_have_is_left_out_aloud() {
    let (tls, said) = server(&["min_version: TLS10"]);
    assert_eq!(tls.min_version, TlsVersion::V1_2);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("web.yml:4:16: tls_server_config.min_version: "),
        "{said:?}"
    );
    let (tls, said) = server(&[
        "cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]",
        "curve_preferences: [CurveP521, CurveP256]",
    ]);
    assert_eq!(tls.cipher_suites, ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]);
    assert_eq!(tls.curve_preferences, ["CurveP256"]);
    assert_eq!(said.len(), 2, "{said:?}");
    // Of TLS 1.3 all suites are served, and without one of TLS 1.2 nothing else is.
    let (tls, said) = server(&["cipher_suites: [TLS_AES_128_GCM_SHA256]"]);
    assert_eq!(
        (tls.min_version, tls.cipher_suites.len(), said.len()),
        (TlsVersion::V1_3, 0, 0)
    );
    for lines in [
        ["cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]"].as_slice(),
        &["curve_preferences: [CurveP521]"],
        &["cipher_suites: [TLS_AES_128_GCM_SHA256]", "max_version: TLS12"],
        &["max_version: TLS11"],
        &["max_version: TLS12", "min_version: TLS13"],
    ] {
        assert_eq!(errors(&section(lines)).lines().count(), 1, "{lines:?}");
    }
}

#[test]
fn names_of_suites_and_curves_are_those_of_rustls() {
    use rustls::crypto::ring::{ALL_CIPHER_SUITES, ALL_KX_GROUPS};
    for suite in ALL_CIPHER_SUITES {
        let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
        let known = suites::TLS12.contains(&name.as_str()) || suites::TLS13.contains(&name.as_str());
        assert!(known, "{name}");
    }
    assert_eq!(ALL_CIPHER_SUITES.len(), suites::TLS12.len() + suites::TLS13.len());
    assert_eq!(ALL_KX_GROUPS.len(), suites::CURVES.len());
}

#[test]
fn nothing_is_taken_from_the_environment() {
    let config = parsed("tls_server_config: { cert_file: '${HOME}', key_file: k }");
    assert_eq!(
        config.tls.unwrap().certificate,
        PemSource::File("/etc/exporter/${HOME}".into())
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.yml");
    let failure = |path: &Path| load(path).unwrap_err().to_string();
    assert!(failure(&path).ends_with("web.yml: does not exist; mend the path of --web.config.file"));
    assert!(failure(directory.path()).ends_with("is not a regular file; name one"));
    std::fs::write(&path, b"basic_auth_users: { a: \xff }").unwrap();
    assert!(failure(&path).ends_with("is not valid UTF-8; save it as UTF-8"));
    std::fs::write(&path, "#".repeat(MAX_FILE_BYTES + 1)).unwrap();
    assert!(failure(&path).ends_with("put certificates into files of their own"));
    std::fs::write(&path, "#".repeat(MAX_FILE_BYTES)).unwrap();
    assert_eq!(load(&path), Ok(WebConfig::default()));
}

#[test]
fn the_example_of_the_document_is_one() {
    let document = include_str!("../../../docs/web-configuration.md");
    let example = document
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let config = parsed(example.unwrap());
    assert_eq!(
        (config.users.len(), config.headers.len(), config.warnings),
        (1, 1, vec![])
    );
    assert_eq!(config.tls.unwrap().client_auth, ClientAuth::RequireAndVerify);
    assert_eq!(config.rate_limit.unwrap().burst, 50);
}

#[test]
fn every_key_stands_in_the_document() {
    let document = include_str!("../../../docs/web-configuration.md");
    let scopes = [
        Scope::WebConfig,
        Scope::WebTls,
        Scope::WebHttp,
        Scope::WebHeaders,
        Scope::WebRateLimit,
    ];
    for key in scopes.iter().flat_map(|scope| scope.keys()) {
        assert!(document.contains(&format!("`{key}`")), "{key}");
    }
    for name in [
        &suites::TLS12[..],
        &suites::NOT_IN_RUSTLS,
        &suites::CURVES,
        &suites::CURVES_NOT_IN_RUSTLS,
    ]
    .concat()
    {
        assert!(document.contains(name), "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_no_problem_shows_a_value(
        section in prop::sample::select(vec!["tls_server_config", "basic_auth_users", "rate_limit", "http_server_config"]),
        key in prop::sample::select(vec!["cert", "key_file", "min_version", "alice", "interval", "burst", "headers", "client_allowed_sans"]),
        shape in prop::sample::select(vec!["%", "[%]", "{%: %}", "'%'", "|\n   %"]),
    ) {
        let text = format!("{section}:\n  {key}: {}\n", shape.replace('%', "hunter2"));
        if let Err(errors) = parse(&text, "web.yml", Path::new("")) {
            prop_assert!(!errors.to_string().contains("hunter2") || shape.starts_with('{'), "{}", errors);
        }
    }
}
