//! HTTPS of the exporter: who is let in, what becomes of bad clients and bad files, and that files may be replaced while it is scraped.

mod bench;
mod rotation;

use crate::support::certificates::{Authority, Leaf, replace};
use crate::support::exporter::{self, Exporter};
use crate::support::http;
use crate::support::tls::TlsClient;
use crate::support::{SLACK, config, wait_until};
use bench::{BASIC, Bench, HASHES, READ_BOUND};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Which clients are let in under `settings`: without a certificate, with one of a strange authority, with a right one, and with a right one
/// that is made out to somebody else.
fn let_in(settings: &str) -> ([bool; 4], Bench) {
    let bench = Bench::start(settings);
    let stranger = Authority::new("stranger").issue(&Leaf::client("scraper").dns("scraper.example"));
    let other = bench
        .client_authority
        .issue(&Leaf::client("other").dns("other.example"));
    let mut found = Vec::new();
    for versions in [TLS12, TLS13] {
        let clients = [
            bench.client(),
            bench.client().showing(&stranger),
            bench.client().showing(&bench.scraper),
            bench.client().showing(&other),
        ];
        found.push(
            clients.map(|client| match bench.get(&client.speaking(versions), "/metrics") {
                Ok(response) => {
                    assert_eq!(response.status, 200, "{}", response.text());
                    true
                }
                Err(_) => false,
            }),
        );
    }
    assert_eq!(found[0], found[1], "both versions agree");
    (found[0], bench)
}

#[test]
fn every_kind_of_client_authentication_lets_in_whom_it_says() {
    let with_ca = "client_ca_file: client-ca.crt";
    let names = "client_allowed_sans: [nobody.example, scraper.example]";
    for (settings, expected) in [
        ("client_auth_type: NoClientCert".to_owned(), [true; 4]),
        ("client_auth_type: RequestClientCert".to_owned(), [true; 4]),
        (
            "client_auth_type: RequireAnyClientCert".to_owned(),
            [false, true, true, true],
        ),
        (
            format!("client_auth_type: VerifyClientCertIfGiven, {with_ca}"),
            [true, false, true, true],
        ),
        (
            format!("client_auth_type: RequireAndVerifyClientCert, {with_ca}"),
            [false, false, true, true],
        ),
        (
            format!("client_auth_type: RequireAnyClientCert, {names}"),
            [false, true, true, false],
        ),
        (
            format!("client_auth_type: RequireAndVerifyClientCert, {with_ca}, {names}"),
            [false, false, true, false],
        ),
    ] {
        let (found, bench) = let_in(&settings);
        assert_eq!(found, expected, "{settings}");
        let refused = found.iter().filter(|let_in| !**let_in).count() * 2;
        let failures = ["no_certificate", "unknown_ca", "not_allowed"].map(|reason| bench.failures(reason));
        assert_eq!(
            failures.iter().sum::<f64>() as usize,
            refused,
            "{settings}: {failures:?}"
        );
        assert!(
            !bench.exporter.log().contains("handshake"),
            "not above DEBUG: {}",
            bench.exporter.log()
        );
    }
}

#[test]
fn names_of_every_kind_are_compared_as_they_stand() {
    let bench = Bench::start(
        "client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.crt, client_allowed_sans: \
         [scraper.example, ops@example.org, 192.0.2.7, '2001:db8::1', 'spiffe://example.org/prometheus']",
    );
    let client = || Leaf::client("scraper.example");
    for (leaf, expected) in [
        (client().dns("scraper.example"), true),
        (client().dns("other.example").email("ops@example.org"), true),
        (client().ip("192.0.2.7"), true),
        (client().ip("2001:db8::1"), true),
        (client().uri("spiffe://example.org/prometheus"), true),
        // The common name is none of them, and nothing is a pattern.
        (client(), false),
        (client().dns("Scraper.example"), false),
        (client().dns("*.example"), false),
        (client().dns("a.scraper.example"), false),
        (client().uri("spiffe://example.org/prometheus/"), false),
        (client().ip("192.0.2.8"), false),
    ] {
        let client = bench.client().showing(&bench.client_authority.issue(&leaf));
        assert_eq!(bench.get(&client, "/health").is_ok(), expected, "{leaf:?}");
    }
    let expired = bench
        .client_authority
        .issue(&client().dns("scraper.example").days(-9, -1));
    assert!(bench.get(&bench.client().showing(&expired), "/health").is_err());
    // A server's certificate is for servers, even of the right authority.
    let server = bench.client_authority.issue(&Leaf::server().dns("scraper.example"));
    assert!(bench.get(&bench.client().showing(&server), "/health").is_err());
    assert_eq!((bench.failures("expired"), bench.failures("not_allowed")), (1.0, 6.0));
}

#[test]
fn plain_http_garbage_and_silence_are_sent_away() {
    let bench = Bench::start("client_auth_type: NoClientCert");
    let port = bench.exporter.port;
    let before = bench.failures("plain_http");
    let plain = http::request(port, "GET", "/metrics", &[]).unwrap();
    assert_eq!(plain.status, 400);
    assert!(plain.text().contains("HTTPS"), "{}", plain.text());
    assert_eq!(bench.failures("plain_http"), before + 1.0);

    let begun = Instant::now();
    let mut silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    // One that stops in the middle of its first message.
    silent[0].write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    let mut garbage = TcpStream::connect(("127.0.0.1", port)).unwrap();
    garbage.write_all(b"\x7f\x00\x01 this is no TLS at all").unwrap();
    drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
    assert_eq!(
        bench.get(&bench.client(), "/health").unwrap().status,
        200,
        "others are served meanwhile"
    );
    for stream in silent.iter_mut().chain([&mut garbage]) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A reset is a way of closing too.
        if let Err(error) = stream.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5) + 2 * SLACK, "{took:?}");
    for (reason, expected) in [("timeout", 20.0), ("not_tls", 1.0), ("closed", 1.0)] {
        let counted = wait_until(READ_BOUND, || (bench.failures(reason) == expected).then_some(()));
        assert!(counted.is_some(), "{reason}: {}", bench.failures(reason));
    }
}

#[test]
fn the_limit_of_connections_and_the_end_hold_over_tls() {
    let mut bench = Bench::start_with("client_auth_type: NoClientCert", "limits: { http_connections: 2 }\n");
    let client = bench.client();
    let port = bench.exporter.port;
    let ask = |stream: &mut crate::support::tls::TlsStream| {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    };
    // The connection that found the exporter ready may still be open.
    let mut open = Vec::new();
    let full = wait_until(READ_BOUND, || {
        let mut stream = client.connect(port).ok()?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).ok()?;
        if answer.ends_with(b"200") {
            let mut rest = [0; 3];
            stream.read_exact(&mut rest).ok()?;
            open.push(stream);
        }
        (open.len() == 2).then_some(())
    });
    assert!(full.is_some());
    let refused = bench.get(&client, "/metrics").unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("limits.http_connections"));
    drop(open.pop());
    let freed = wait_until(READ_BOUND, || {
        bench
            .get(&client, "/health")
            .ok()
            .filter(|response| response.status == 200)
    });
    assert!(freed.is_some());
    let mut kept = client.connect(port).unwrap();
    ask(&mut kept);
    bench.exporter.process.signal("TERM");
    let status = bench.exporter.process.wait(Duration::from_secs(5) + SLACK);
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(0),
        "{}",
        bench.exporter.log()
    );
}

#[test]
fn broken_cut_off_and_vanished_files_open_no_door() {
    let bench = Bench::start_full(
        "client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.crt",
        "",
        HASHES[0],
    );
    let client = bench.client().showing(&bench.scraper);
    let whole = std::fs::read_to_string(bench.at("web.yml")).unwrap();
    let users_begin = whole.find("basic_auth_users").unwrap();
    // What protects is what the request has to show.
    let guarded = || {
        assert!(
            http::request(bench.exporter.port, "GET", "/metrics", &[])
                .unwrap()
                .status
                == 400
        );
        assert!(
            bench.get(&bench.client(), "/metrics").is_err(),
            "no certificate, no answer"
        );
        assert_eq!(bench.get(&client, "/metrics").unwrap().status, 401);
        assert_eq!(bench.get_with(&client, "/metrics", BASIC[0]).unwrap().status, 200);
    };
    guarded();
    let mut errors = 0;
    let cases: [(&str, Option<&str>); 5] = [
        ("cut off before the users", Some(&whole[..users_begin])),
        ("cut off in the middle", Some(&whole[..users_begin / 2])),
        ("empty", Some("")),
        ("nonsense", Some("tls_server_config: [")),
        ("vanished", None),
    ];
    for (what, text) in cases {
        match text {
            // In place, as an editor or a full disk does it.
            Some(text) => std::fs::write(bench.at("web.yml"), text).unwrap(),
            None => std::fs::remove_file(bench.at("web.yml")).unwrap(),
        }
        let said = || {
            let log = bench.exporter.log();
            let count = log
                .matches("cannot be used, and the one before it stays in use")
                .count();
            (count > errors).then_some(count)
        };
        errors = wait_until(READ_BOUND, said).unwrap_or_else(|| panic!("{what}: {}", bench.exporter.log()));
        bench.wait_until_read(&client, BASIC[0], 0.0, what);
        guarded();
    }
    std::fs::write(bench.at("web.yml"), &whole).unwrap();
    bench.wait_until_read(&client, BASIC[0], 1.0, "mended");
    assert_eq!(bench.exporter.log().matches("stays in use").count(), errors);
    guarded();
    // A key that does not fit is no key.
    let strange = bench.server_authority.issue(&Leaf::server());
    let key = std::fs::read_to_string(bench.at("server.key")).unwrap();
    replace(&bench.at("server.key"), &strange.key);
    bench.wait_until_read(&client, BASIC[0], 0.0, "a strange key");
    guarded();
    replace(&bench.at("server.key"), &key);
    bench.wait_until_read(&client, BASIC[0], 1.0, "the key is back");
    guarded();
    let log = bench.exporter.log();
    assert!(!log.contains("$2b$") && !log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn users_change_for_the_next_request_of_an_open_connection() {
    let bench = Bench::start_full("client_auth_type: NoClientCert", "", HASHES[0]);
    let mut kept = rotation::Kept::new(bench.client(), bench.exporter.port);
    assert_eq!(kept.get("/metrics", BASIC[0]).unwrap().status, 200);
    bench.write_config("client_auth_type: NoClientCert", HASHES[1]);
    let changed = wait_until(READ_BOUND, || {
        (kept.get("/metrics", BASIC[0]).unwrap().status == 401).then_some(())
    });
    assert!(changed.is_some(), "{}", bench.exporter.log());
    assert_eq!(kept.get("/metrics", BASIC[1]).unwrap().status, 200);
    assert_eq!(kept.get("/health", "").unwrap().status, 200);
    assert_eq!(kept.connects, 1, "the connection was kept");
}

#[test]
fn a_kept_connection_ends_with_the_trust_in_its_client() {
    let verified = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.crt";
    let bench = Bench::start("client_auth_type: NoClientCert");
    let right = bench.client().showing(&bench.scraper);
    let kept = |client: TlsClient| {
        let mut kept = rotation::Kept::new(client, bench.exporter.port);
        assert_eq!(kept.get("/metrics", "").unwrap().status, 200);
        kept
    };
    // Until a change is in use the connections are served, and from then on not once more: the new demands show themselves to a new client.
    let mut unknown = kept(bench.client());
    bench.write_config(verified, "");
    let strict = wait_until(READ_BOUND, || bench.get(&bench.client(), "/health").err());
    assert!(strict.is_some(), "{}", bench.exporter.log());
    assert!(
        unknown.get_over_this("/metrics", "").is_err(),
        "it never showed a certificate"
    );

    let mut known = kept(right.clone());
    // Another authority beside it changes nothing for this client.
    let next = Authority::new("next");
    let both = format!("{}{}", bench.client_authority.pem(), next.pem());
    replace(&bench.at("client-ca.crt"), &both);
    let of_next = bench.client().showing(&next.issue(&Leaf::client("scraper")));
    let in_use = wait_until(READ_BOUND, || bench.get(&of_next, "/health").ok());
    assert!(in_use.is_some(), "{}", bench.exporter.log());
    assert_eq!(known.get_over_this("/metrics", "").unwrap().status, 200);
    replace(&bench.at("client-ca.crt"), &next.pem());
    let strict = wait_until(READ_BOUND, || bench.get(&right, "/health").err());
    assert!(strict.is_some(), "{}", bench.exporter.log());
    assert!(known.get_over_this("/metrics", "").is_err(), "its authority is gone");
    assert!(
        known.get("/health", "").is_err(),
        "and a new connection is refused as well"
    );
}

#[test]
fn a_wrong_web_configuration_stops_the_start_with_all_its_problems() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    std::fs::write(
        &file,
        "tls_server_config: { cert_file: no.crt, key_file: no.key }\nrate_limt: {}\n",
    )
    .unwrap();
    let named = format!("--web.config.file={}", file.display());
    for more in [None, Some("--config.check")] {
        let arguments: Vec<&str> = [Some(named.as_str()), more].into_iter().flatten().collect();
        let ended = exporter::run_with(&arguments, &[], Some("poll: { timeout: soon }\n"));
        assert_eq!(ended.code, 78, "{}", ended.output);
        for part in ["poll.timeout", "cert_file", "key_file", "rate_limit"] {
            assert!(ended.output.contains(part), "{part}: {}", ended.output);
        }
    }
}

#[test]
fn healthcheck_discovery_and_the_log_know_of_https() {
    let bench = Bench::start("client_auth_type: NoClientCert");
    let address = format!("127.0.0.1:{}", bench.exporter.port);
    let file = format!("--web.config.file={}", bench.at("web.yml").display());
    let asked = exporter::run(&["healthcheck", &address, &file]);
    assert_eq!((asked.code, asked.output.as_str()), (0, ""));
    // Whoever forgot the file, or has none, is told by the port.
    assert_eq!(exporter::run(&["healthcheck", &address]).code, 0);
    let discovered = bench.get(&bench.client(), "/sd").unwrap().json();
    assert_eq!(discovered[0]["labels"]["__scheme__"], "https");
    assert!(
        bench.exporter.log().contains("scheme=https"),
        "{}",
        bench.exporter.log()
    );
    // One that expects TLS of a daemon that has none.
    let plain = Exporter::start(&config::fast(&[("nobody", "redis://127.0.0.1:1", "")]));
    let asked = exporter::run(&["healthcheck", &format!("127.0.0.1:{}", plain.port), &file]);
    assert_eq!((asked.code, asked.output.as_str()), (0, ""));

    for version in ["TLS12", "TLS13"] {
        let locked = Bench::start(&format!(
            "client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.crt, min_version: {version}, max_version: {version}"
        ));
        let address = format!("127.0.0.1:{}", locked.exporter.port);
        let asked = exporter::run(&["healthcheck", &address, &file]);
        assert_eq!(asked.code, 0, "{}", asked.output);
        assert!(asked.output.contains("demands a certificate"), "{}", asked.output);
        drop(locked);
        assert_eq!(
            exporter::run(&["healthcheck", &address, &file]).code,
            1,
            "nobody is there"
        );
    }
}

#[test]
fn the_flags_of_the_peer_serve_https() {
    let (server, client) = (Authority::new("servers"), Authority::new("clients"));
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = server.issue(&Leaf::server()).write(folder.path(), "server");
    let authority = client.write(folder.path(), "client-ca");
    let exporter = Exporter::start_bare(
        &[
            "--redis.addr=redis://127.0.0.1:1",
            &format!("--tls-server-cert-file={}", certificate.display()),
            &format!("--tls-server-key-file={}", key.display()),
            "--tls-server-min-version=TLS1.3",
        ],
        &[("REDIS_EXPORTER_TLS_SERVER_CA_CERT_FILE", authority.to_str().unwrap())],
    );
    let trusting = TlsClient::trusting(&server.pem());
    let scraper = trusting.clone().showing(&client.issue(&Leaf::client("scraper")));
    let get = |client: &TlsClient| http::https_request(exporter.port, client, "GET", "/metrics", &[]);
    assert!(get(&trusting).is_err(), "the peer requires certificates too");
    // The peer forgets the version where it requires certificates; we do not.
    assert!(get(&scraper.clone().speaking(TLS12)).is_err());
    assert_eq!(get(&scraper).unwrap().status, 200);
}
