//! An exporter that serves HTTPS with certificates of its own.

use crate::support::certificates::{Authority, Issued, Leaf, replace};
use crate::support::exporter::Exporter;
use crate::support::http::{self, Response};
use crate::support::scrape::Scrape;
use crate::support::tls::TlsClient;
use crate::support::{SLACK, config, wait_until};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A changed file is in use, or refused, within this time: about a second, and slack.
pub(super) const READ_BOUND: Duration = Duration::from_secs(5).saturating_add(SLACK);

/// Users for `basic_auth_users`: bcrypt hashes by crypt(3) with cost 4 of `the-secret-password` and `hunter2`.
pub(super) const HASHES: [&str; 2] = [
    "basic_auth_users: { scraper: '$2b$04$abcdefghijklmnopqrstuuHSOXR/r6chFtQzTfupDpUU07HcWT6xC' }\n",
    "basic_auth_users: { scraper: '$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm' }\n",
];

/// `Authorization` of the two: `scraper:the-secret-password` and `scraper:hunter2`.
pub(super) const BASIC: [&str; 2] = [
    "Basic c2NyYXBlcjp0aGUtc2VjcmV0LXBhc3N3b3Jk",
    "Basic c2NyYXBlcjpodW50ZXIy",
];

/// The exporter and what its clients need.
pub(super) struct Bench {
    pub(super) exporter: Exporter,
    /// Who signed the exporter's certificate.
    pub(super) server_authority: Authority,
    /// Who signs the clients'.
    pub(super) client_authority: Authority,
    /// A right client: `scraper.example`.
    pub(super) scraper: Issued,
    folder: TempDir,
}

impl Bench {
    /// With these settings of `tls_server_config`, written in one line, beside certificate and key.
    pub(super) fn start(settings: &str) -> Self {
        Self::start_with(settings, "")
    }

    /// The same with further lines of `exporter.yaml`.
    pub(super) fn start_with(settings: &str, exporter_yaml: &str) -> Self {
        Self::start_full(settings, exporter_yaml, "")
    }

    /// The same with further lines of the web configuration.
    pub(super) fn start_full(settings: &str, exporter_yaml: &str, web_lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server_authority, client_authority) = (Authority::new("servers"), Authority::new("clients"));
        server_authority.issue(&Leaf::server()).write(folder.path(), "server");
        client_authority.write(folder.path(), "client-ca");
        let file = folder.path().join("web.yml");
        replace(&file, &web_config(settings, web_lines));
        let yaml = config::fast(&[("nobody", "redis://127.0.0.1:1", "")]);
        let exporter = Exporter::start_with(
            &format!("{exporter_yaml}{yaml}"),
            &[&format!("--web.config.file={}", file.display())],
        );
        Self {
            exporter,
            scraper: client_authority.issue(&Leaf::client("scraper").dns("scraper.example")),
            server_authority,
            client_authority,
            folder,
        }
    }

    /// Replaces the web configuration.
    pub(super) fn write_config(&self, settings: &str, web_lines: &str) {
        replace(&self.at("web.yml"), &web_config(settings, web_lines));
    }

    /// A path in its folder: `web.yml`, `server.crt`, `server.key`, `client-ca.crt`.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A client that trusts the exporter and shows nothing.
    pub(super) fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.server_authority.pem())
    }

    pub(super) fn get(&self, client: &TlsClient, path: &str) -> std::io::Result<Response> {
        self.get_with(client, path, "")
    }

    /// With a header `Authorization`, where it is not empty.
    pub(super) fn get_with(&self, client: &TlsClient, path: &str, authorization: &str) -> std::io::Result<Response> {
        let headers = [("Authorization", authorization)];
        let headers = if authorization.is_empty() { &[][..] } else { &headers };
        http::https_request(self.exporter.port, client, "GET", path, headers)
    }

    /// The metrics, as the right client gets them.
    pub(super) fn scrape(&self, client: &TlsClient, authorization: &str) -> Scrape {
        let response = self.get_with(client, "/metrics", authorization).unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        Scrape::parse(&response.text())
    }

    /// Handshakes that failed for this reason.
    pub(super) fn failures(&self, reason: &str) -> f64 {
        let scrape = self.scrape(&self.client().showing(&self.scraper), "");
        let name = "redis_session_exporter_http_tls_handshake_failures_total";
        scrape.value(name, &[("reason", reason)]).expect("born at 0")
    }

    /// Waits until the last reading of the web configuration went well (1) or not (0).
    pub(super) fn wait_until_read(&self, client: &TlsClient, authorization: &str, successful: f64, what: &str) {
        let name = "redis_session_exporter_web_config_last_reload_successful";
        let found = wait_until(READ_BOUND, || {
            let scrape = self.scrape(client, authorization);
            (scrape.value(name, &[]) == Some(successful)).then_some(())
        });
        assert!(found.is_some(), "{what}: {}", self.exporter.log());
    }
}

fn web_config(settings: &str, lines: &str) -> String {
    format!("tls_server_config: {{ cert_file: server.crt, key_file: server.key, {settings} }}\n{lines}")
}
