//! Keys, certificates and users of TLS on both sides: of the client towards Redis and of the server of the pages.

use super::matcher::{assert_none, basic, percent_encoded, plain, secret};
use super::outside::{Outputs, everything_served, process};
use crate::support::certificates::{Authority, Leaf, replace};
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::{RedisServer, ServerTls};
use crate::support::scrape::Scrape;
use crate::support::tls::TlsClient;
use crate::support::{config, free_port, http, wait_until};
use std::path::Path;
use std::time::Duration;

/// Longest time until every instance shows what is wrong with it.
const SHOWN_BOUND: Duration = Duration::from_secs(90);

/// Longest time until a changed web configuration is noticed.
const NOTICED_BOUND: Duration = Duration::from_secs(60);

/// A text before PEM sections, which programs pass over, with a secret.
fn commented(pem: &str) -> String {
    format!("Bag Attributes\n    friendlyName: {}\n{pem}", secret("pem"))
}

/// PEM of a key whose inside is a secret and no key.
fn no_key() -> String {
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        plain("nokey")
    )
}

#[test]
fn keys_of_clients_are_not_shown_whatever_becomes_of_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let (ca, other_ca) = (
        authority.write(folder.path(), "ca"),
        stranger.write(folder.path(), "other"),
    );
    let client_authorities = authority.pem();
    let identity = authority.issue(&Leaf::server());
    let server = RedisServer::start_tls(
        &ServerTls::demanding(&identity, &client_authorities).and_plain(),
        &["--requirepass", &secret("requirepass")],
    );
    let client = authority.issue(&Leaf::client("exporter"));
    let pair = |name: &str| {
        let (certificate, key) = client.write(folder.path(), name);
        replace(&key, &commented(&std::fs::read_to_string(&key).unwrap()));
        replace(
            &certificate,
            &commented(&std::fs::read_to_string(&certificate).unwrap()),
        );
        (certificate, key)
    };
    let tls = |ca: &Path, name: &str| {
        let (certificate, key) = pair(name);
        format!(
            "tls: {{ ca_file: {}, cert_file: {}, key_file: {} }}",
            ca.display(),
            certificate.display(),
            key.display()
        )
    };
    let in_address = |scheme: &str, port: u16| {
        format!(
            "{scheme}://:{}@127.0.0.1:{port}",
            percent_encoded(&secret("requirepass"))
        )
    };
    let tls_address = server.tls_address();
    let tls_port: u16 = tls_address.rsplit(':').next().unwrap().parse().unwrap();
    let instances = [
        ("fine", in_address("rediss", tls_port), tls(&ca, "fine"), "ok"),
        (
            "unknown-ca",
            in_address("rediss", tls_port),
            tls(&other_ca, "unknown-ca"),
            "tls",
        ),
        (
            "no-certificate",
            in_address("rediss", tls_port),
            format!("tls: {{ ca_file: {} }}", ca.display()),
            "tls",
        ),
        ("stranger", in_address("rediss", tls_port), tls(&ca, "stranger"), "tls"),
        (
            "other-key",
            in_address("rediss", tls_port),
            tls(&ca, "other-key"),
            "tls",
        ),
        (
            "broken-key",
            in_address("rediss", tls_port),
            tls(&ca, "broken-key"),
            "tls",
        ),
        ("gone-key", in_address("rediss", tls_port), tls(&ca, "gone-key"), "tls"),
        (
            "tls-to-plain",
            in_address("rediss", server.port),
            tls(&ca, "tls-to-plain"),
            // A plain port waits for the end of a line and says nothing.
            "timeout",
        ),
        (
            "other-name",
            in_address("rediss", tls_port),
            format!(
                "{}, server_name: other.example }}",
                tls(&ca, "other-name").trim_end_matches(" }")
            ),
            "tls",
        ),
    ];
    let listed: Vec<(&str, &str, &str)> = instances
        .iter()
        .map(|(name, address, lines, _)| (*name, address.as_str(), lines.as_str()))
        .collect();
    let yaml = config::fast(&listed);
    // The files are fine when the configuration is loaded, and are not at the handshake.
    let spoil = || {
        let other = stranger.issue(&Leaf::client("exporter"));
        other.write(folder.path(), "stranger");
        replace(
            &folder.path().join("other-key.key"),
            &commented(&std::fs::read_to_string(folder.path().join("stranger.key")).unwrap()),
        );
        replace(&folder.path().join("broken-key.key"), &no_key());
        std::fs::remove_file(folder.path().join("gone-key.key")).unwrap();
    };
    let mend = || {
        for name in ["stranger", "other-key", "broken-key", "gone-key"] {
            pair(name);
        }
    };
    for format in ["logfmt", "json"] {
        mend();
        let exporter = Exporter::start_with(&yaml, &["--log.level=debug", &format!("--log.format={format}")]);
        spoil();
        server
            .client()
            .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let mut missing: Vec<(&str, &str)> = instances.iter().map(|(name, _, _, state)| (*name, *state)).collect();
        let shown = wait_until(SHOWN_BOUND, || {
            let scrape = Scrape::parse(&exporter.get("/metrics?collect[]=ping").text());
            missing.retain(|(name, state)| scrape.state(name).as_deref() != Some(*state));
            missing.is_empty().then_some(())
        });
        assert!(shown.is_some(), "{missing:?}\n{}", exporter.log());
        let names: Vec<&str> = instances.iter().map(|(name, ..)| *name).collect();
        let mut outputs = everything_served(&exporter, &names, None);
        // A reload finds the same files, and refuses the whole configuration because of them.
        exporter.reload(&format!("{yaml}# once more\n"));
        let refused = wait_until(NOTICED_BOUND, || {
            exporter.log().contains("the old one stays").then_some(())
        });
        assert!(refused.is_some(), "{}", exporter.log());
        outputs.extend(process(&exporter));
        drop(exporter);
        for arguments in [
            &["--config.check"][..],
            &["check", "--log.level=debug"],
            &["once", "--log.level=debug"],
        ] {
            let ended = exporter::run_with(arguments, &[], Some(&yaml));
            assert_eq!(ended.code, 78, "{arguments:?}: {}", ended.output);
            outputs.push((format!("{arguments:?} with broken files"), ended.output.into_bytes()));
            mend();
            let ended = exporter::run_with(arguments, &[], Some(&yaml));
            outputs.push((format!("{arguments:?}"), ended.output.into_bytes()));
            spoil();
        }
        assert_none(&outputs);
    }
}

/// A hash whose letters hold the word: nobody knows a password for it.
fn hash() -> String {
    format!("$2y$04$abcdefghijklmnopqrstuu{}", &format!("{:0<31}", plain("h"))[..31])
}

#[test]
fn keys_and_users_of_the_pages_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let (certificate, key) = authority.issue(&Leaf::server()).write(folder.path(), "server");
    let inline = |path: &Path| {
        commented(&std::fs::read_to_string(path).unwrap())
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    };
    let good = format!(
        "tls_server_config:\n  cert: |\n{}  key: |\n{}basic_auth_users:\n  prometheus: {}\n",
        inline(&certificate),
        inline(&key),
        hash()
    );
    let file = folder.path().join("web.yml");
    replace(&file, &good);
    let flag = format!("--web.config.file={}", file.display());
    let yaml = config::fast(&[("nobody", "redis://127.0.0.1:1", "")]);
    let exporter = Exporter::start_with(&yaml, &["--log.level=debug", "--web.enable-lifecycle", &flag]);
    let client = TlsClient::trusting(&authority.pem());
    let mut outputs = Outputs::new();
    let mut ask = |method: &str, path: &str, authorization: &str| {
        let headers = [("Authorization", authorization), ("Cookie", authorization)];
        let response = http::https_request(exporter.port, &client, method, path, &headers).unwrap();
        outputs.push((
            format!("{method} {path}"),
            format!("{} {:?}\n{}", response.status, response.headers, response.text()).into_bytes(),
        ));
        response.status
    };
    for authorization in [
        basic("prometheus", &secret("web")),
        basic("prometheus", &hash()),
        basic(&plain("user"), &plain("web")),
        format!("Bearer {}", plain("token")),
    ] {
        for path in [
            "/",
            "/metrics",
            "/config",
            "/sd",
            "/probe?target=nobody",
            "/health/redis",
            "/nowhere",
        ] {
            assert_eq!(ask("GET", path, &authorization), 401, "{path}");
        }
        assert_eq!(ask("POST", "/-/reload", &authorization), 401);
        assert_eq!(ask("GET", "/-/healthy", &authorization), 200);
    }
    // To a port with TLS without it: everything in the clear, and nothing of it is told.
    outputs.extend(everything_served(&exporter, &["nobody"], None));
    for text in broken(&good) {
        let before = exporter.log().len();
        replace(&file, &text);
        let noticed = wait_until(NOTICED_BOUND, || (exporter.log().len() > before).then_some(()));
        assert!(noticed.is_some(), "nothing is said of {text}");
        let ended = exporter::run(&[
            "serve",
            &format!("--web.listen-address=127.0.0.1:{}", free_port()),
            &flag,
        ]);
        assert_eq!(ended.code, 78, "{text}: {}", ended.output);
        outputs.push((format!("the start with {text}"), ended.output.into_bytes()));
        replace(&file, &good);
        let before = exporter.log().len();
        wait_until(NOTICED_BOUND, || (exporter.log().len() > before).then_some(()));
    }
    outputs.extend(process(&exporter));
    assert_none(&outputs);
}

/// Web configurations that are none, with a secret in each kind of wrong place.
fn broken(good: &str) -> Vec<String> {
    let word = plain("brokenweb");
    [
        "tls_server_config: W".to_owned(),
        "tls_server_config: { cert_file: W, key_file: W }".to_owned(),
        format!(
            "tls_server_config:\n  cert: W\n  key: |\n{}",
            no_key().lines().map(|line| format!("    {line}\n")).collect::<String>()
        ),
        "basic_auth_users: [W]".to_owned(),
        "basic_auth_users: { W: W }".to_owned(),
        "basic_auth_users: { prometheus: W }".to_owned(),
        "basic_auth_users: { prometheus: '$2y$99$W' }".to_owned(),
        "http_server_config: { headers: { X-Frame-Options: W } }".to_owned(),
        "http_server_config: { headers: { W: W } }".to_owned(),
        "rate_limit: { interval: W, burst: W }".to_owned(),
        "W".to_owned(),
        "W: W".to_owned(),
        "basic_auth_users: { prometheus: \"W".to_owned(),
        format!("{good}W"),
    ]
    .iter()
    .map(|text| text.replace('W', &word))
    .collect()
}
