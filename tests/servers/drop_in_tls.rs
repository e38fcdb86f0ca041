//! Flags and variables of redis_exporter about TLS, on a server that speaks nothing else and demands a certificate.

use crate::support::certificates::{Authority, Leaf};
use crate::support::exporter::{Exporter, is_up};
use crate::support::redis_server::{RedisServer, ServerTls};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Until the first polls with the default intervals have shown something, on a busy machine.
const SEEN_BOUND: Duration = Duration::from_secs(15);

/// A server that shows a certificate for `redis.internal` alone and demands one, and what its clients need.
struct Scene {
    server: RedisServer,
    folder: tempfile::TempDir,
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("ours");
        let ca = authority.write(folder.path(), "ca");
        let (certificate, key) = authority
            .issue(&Leaf::client("exporter"))
            .write(folder.path(), "client");
        let identity = authority.issue(&Leaf::nameless_server().dns("redis.internal"));
        let pem = authority.pem();
        let server = RedisServer::start_tls(&ServerTls::demanding(&identity, &pem), &["--requirepass", "hunter2"]);
        Self {
            server,
            folder,
            ca,
            certificate,
            key,
        }
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}", self.server.tls_port)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn its_variables_make_a_connection_that_is_verified_on_both_sides() {
    let scene = Scene::new();
    let (address, name) = (scene.server.tls_address(), scene.name());
    let exporter = Exporter::start_bare(
        &[],
        &[
            ("REDIS_ADDR", &address),
            ("REDIS_PASSWORD", "hunter2"),
            ("REDIS_EXPORTER_TLS_CA_CERT_FILE", text(&scene.ca)),
            ("REDIS_EXPORTER_TLS_CLIENT_CERT_FILE", text(&scene.certificate)),
            ("REDIS_EXPORTER_TLS_CLIENT_KEY_FILE", text(&scene.key)),
            ("REDIS_EXPORTER_TLS_SERVER_NAME", "redis.internal"),
        ],
    );
    exporter.wait_until_up(&[&name]);
    for (query, status) in [
        (format!("target={address}"), 200),
        (format!("target={name}"), 200),
        (format!("target=redis://{name}"), 404),
        (format!("target={address}&tls_server_name=redis.internal"), 200),
        (format!("target={address}&tls_server_name=127.0.0.1"), 400),
        (format!("target={address}&tls-server-name=other.internal"), 400),
    ] {
        assert_eq!(exporter.get(&format!("/scrape?{query}")).status, status, "{query}");
    }
}

#[test]
fn its_flags_do_the_same_and_a_map_knows_the_password_by_scheme() {
    let scene = Scene::new();
    let (address, name) = (scene.server.tls_address(), scene.name());
    let map = scene.folder.path().join("passwords.json");
    std::fs::write(&map, format!("{{\"{address}\": \"hunter2\"}}")).unwrap();
    let flags = [
        "--redis.addr=".to_owned(),
        format!("--redis.password-file={}", map.display()),
        format!("--tls-client-cert-file={}", scene.certificate.display()),
        format!("--tls-client-key-file={}", scene.key.display()),
        "--skip-tls-verification".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    // Neither the name nor the authority is known, and nobody asks.
    let exporter = Exporter::start_bare(&flags, &[]).with_instances();
    exporter.wait_until_up(&[&name]);
    let log = exporter.log();
    assert!(
        log.contains(&format!("--skip-tls-verification is on for {name}")),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
    drop(exporter);
    // With verification the same server is not ours.
    let exporter = Exporter::start_bare(flags.split_last().unwrap().1, &[]).with_instances();
    let refused = exporter.wait_for("the state tls", SEEN_BOUND, |scrape| {
        scrape.value("redis_connection_state", &[("instance", &name), ("state", "tls")]) == Some(1.0)
    });
    assert!(!is_up(&refused, &name));
}
