//! A real Prometheus scrapes over mutual TLS with `tls_config` and `basic_auth`, as `deploy/prometheus` shows it.

use crate::prometheus::{Prometheus, SCRAPED_BOUND};
use crate::support::certificates::{Authority, Leaf, replace};
use crate::support::exporter::Exporter;
use crate::support::http::https_request;
use crate::support::tls::TlsClient;
use crate::support::{config, redis_server::RedisServer, wait_until};

/// The hash of `the-secret-password` by crypt(3).
const USERS: &str =
    "basic_auth_users: { prometheus: '$2b$04$abcdefghijklmnopqrstuuHSOXR/r6chFtQzTfupDpUU07HcWT6xC' }\n";

#[test]
fn prometheus_scrapes_over_mutual_tls_and_strangers_do_not() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    servers.write(folder.path(), "server-ca");
    clients.write(folder.path(), "client-ca");
    servers.issue(&Leaf::server()).write(folder.path(), "server");
    let prometheus_leaf = Leaf::client("prometheus").dns("prometheus.example");
    clients.issue(&prometheus_leaf).write(folder.path(), "prometheus");
    clients
        .issue(&Leaf::client("other").dns("other.example"))
        .write(folder.path(), "other");
    Authority::new("stranger")
        .issue(&prometheus_leaf)
        .write(folder.path(), "stranger");
    replace(&folder.path().join("password"), "the-secret-password");
    let web = replace(
        &folder.path().join("web.yml"),
        &format!(
            "tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: client-ca.crt
  client_allowed_sans: [prometheus.example]
{USERS}"
        ),
    );
    let exporter = Exporter::start_with(
        &config::fast(&[("store", &redis.address(), "")]),
        &[&format!("--web.config.file={}", web.display())],
    );
    let job = |name: &str, identity: &str, auth: &str| {
        format!(
            "  - job_name: {name}
    scheme: https
    honor_labels: true
    tls_config: {{ ca_file: {}, server_name: localhost{identity} }}
{auth}    static_configs: [ {{ targets: ['127.0.0.1:{}'] }} ]
",
            at("server-ca.crt"),
            exporter.port
        )
    };
    let identity = |stem: &str| {
        format!(
            ", cert_file: {}, key_file: {}",
            at(&format!("{stem}.crt")),
            at(&format!("{stem}.key"))
        )
    };
    let auth = format!(
        "    basic_auth: {{ username: prometheus, password_file: {} }}\n",
        at("password")
    );
    let prometheus = Prometheus::start(&format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n{}{}{}{}{}",
        job("right", &identity("prometheus"), &auth),
        job("no_certificate", "", &auth),
        job("stranger", &identity("stranger"), &auth),
        job("other_name", &identity("other"), &auth),
        job("no_password", &identity("prometheus"), ""),
    ));
    let seen = wait_until(SCRAPED_BOUND, || {
        let all = prometheus.query("up").len() == 5;
        (all && prometheus.value("redis_up{job=\"right\",instance=\"store\"}") == Some(1.0)).then_some(())
    });
    assert!(seen.is_some(), "{}\n{}", prometheus.targets(), exporter.log());
    for (name, up) in [
        ("right", 1.0),
        ("no_certificate", 0.0),
        ("stranger", 0.0),
        ("other_name", 0.0),
        ("no_password", 0.0),
    ] {
        let found = prometheus.value(&format!("max_over_time(up{{job=\"{name}\"}}[1m])"));
        assert_eq!(found, Some(up), "{name}: {}", prometheus.targets());
    }
    // The counters tell the operator who knocks, and the end of the certificate can be alerted on.
    let counted = wait_until(SCRAPED_BOUND, || {
        let reasons = ["no_certificate", "unknown_ca", "not_allowed"];
        let all = reasons.iter().all(|reason| {
            let query = format!("redis_session_exporter_http_tls_handshake_failures_total{{reason=\"{reason}\"}} > 0");
            prometheus.value(&query).is_some()
        });
        all.then_some(())
    });
    assert!(counted.is_some(), "{}", exporter.log());
    let days =
        prometheus.value("(redis_session_exporter_http_certificate_not_after_timestamp_seconds - time()) / 86400");
    assert!(days.is_some_and(|days| (89.0..=90.0).contains(&days)), "{days:?}");
}

/// Its connection is kept between scrapes, and closed by us when its certificate is trusted no more: it comes back with the new one.
#[test]
fn prometheus_loses_no_scrape_when_its_authority_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (servers, old, new) = (Authority::new("servers"), Authority::new("old"), Authority::new("new"));
    let leaf = Leaf::client("prometheus");
    servers.write(folder.path(), "server-ca");
    servers.issue(&Leaf::server()).write(folder.path(), "server");
    old.write(folder.path(), "client-ca");
    let of_old = old.issue(&leaf);
    of_old.write(folder.path(), "prometheus");
    let web = replace(
        &at("web.yml"),
        "tls_server_config: { cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, \
         client_ca_file: client-ca.crt }\n",
    );
    let exporter = Exporter::start_with(
        &config::fast(&[("nobody", "redis://127.0.0.1:1", "")]),
        &[&format!("--web.config.file={}", web.display())],
    );
    let prometheus = Prometheus::start(&format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: exporter
    scheme: https
    tls_config: {{ ca_file: {0}/server-ca.crt, server_name: localhost, cert_file: {0}/prometheus.crt, key_file: {0}/prometheus.key }}
    static_configs: [ {{ targets: ['127.0.0.1:{1}'] }} ]
",
        folder.path().display(),
        exporter.port
    ));
    let scrapes = || prometheus.value("count_over_time(up[5m])").unwrap_or(0.0);
    let scraped_on = |what: &str| {
        let before = scrapes();
        let on = wait_until(SCRAPED_BOUND, || (scrapes() >= before + 3.0).then_some(()));
        assert!(on.is_some(), "{what}: {}\n{}", prometheus.targets(), exporter.log());
    };
    let is_let_in = |client: &TlsClient| https_request(exporter.port, client, "GET", "/health", &[]).is_ok();
    let shows = |identity| TlsClient::trusting(&servers.pem()).showing(identity);
    let (with_old, with_new) = (shows(&of_old), shows(&new.issue(&leaf)));
    scraped_on("the old authority");
    replace(&at("client-ca.crt"), &format!("{}{}", old.pem(), new.pem()));
    assert!(wait_until(SCRAPED_BOUND, || is_let_in(&with_new).then_some(())).is_some());
    new.issue(&leaf).write(folder.path(), "prometheus");
    scraped_on("both authorities");
    replace(&at("client-ca.crt"), &new.pem());
    assert!(wait_until(SCRAPED_BOUND, || (!is_let_in(&with_old)).then_some(())).is_some());
    scraped_on("the new authority");
    let lost = prometheus.value("min_over_time(up[5m])");
    assert_eq!(lost, Some(1.0), "{}", prometheus.targets());
}
