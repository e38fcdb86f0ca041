//! Everything that the dashboards can show, for real: four servers with traffic, an exporter that watches them, and a Prometheus that scrapes it
//! and evaluates the shipped rules, with waits and windows thirty times shorter.

use super::traffic::{self, Login, Traffic};
use crate::prometheus::Prometheus;
use crate::support::certificates::{Authority, Leaf, replace};
use crate::support::exporter::Exporter;
use crate::support::redis_server::{RedisServer, ServerTls};
use crate::support::resp::Client;
use crate::support::tls::TlsClient;
use crate::support::wait_until;
use redis_session_exporter::alerts::{FILES, Values, render};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The instance that has everything.
pub const PRIMARY: &str = "login";

/// Its larger store.
pub const STORE: &str = "web";

/// By how much waits and windows of the rules are divided.
const HURRY: f64 = 30.0;

/// Longest time until all servers are there.
const READY_BOUND: Duration = Duration::from_secs(20);

/// Days for which the certificate of the primary still holds: soon is the time to renew it.
const CERTIFICATE_DAYS: i64 = 24;

/// What the scene is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As short as values appear: every fault that leaves the others alone is on from the beginning.
    Short,
    /// This long, with one fault after the other, so that curves have a shape.
    Pictures(Duration),
}

/// The scene; everything ends when it is dropped.
pub struct Scene {
    // First, since it talks to the servers.
    traffic: Traffic,
    prometheus: Prometheus,
    exporter: Exporter,
    _guarded: Exporter,
    _servers: [RedisServer; 4],
    _folder: tempfile::TempDir,
    started: Instant,
}

impl Scene {
    /// Starts everything and waits until it runs; not until there are values.
    pub fn start(length: Length) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority of the scene");
        let identity = authority.issue(&Leaf::server().days(-60, CERTIFICATE_DAYS));
        let clients = Authority::new("clients of the scene");
        clients
            .issue(&Leaf::client("exporter").days(-10, 80))
            .write(folder.path(), "client");
        let trusted = clients.pem();
        let tls = ServerTls {
            auth_clients: "optional",
            ..ServerTls::demanding(&identity, &trusted)
        };
        let primary = RedisServer::start_tls(&tls.and_plain(), &primary_arguments());
        let replica = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
        let shop = RedisServer::start_with(&["--notify-keyspace-events", "Egxen"]);
        let branch = RedisServer::start_with(&["--maxmemory", "32mb"]);
        // A user who may not read the slow log: one collector that cannot do its work.
        shop.command(&[
            "ACL", "SETUSER", "exporter", "on", ">secret", "~*", "&*", "+@all", "-slowlog",
        ]);
        let cart = RedisServer::start_with(&["--cluster-enabled", "yes"]);
        cart.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        traffic::introduce(&mut primary.client());

        authority.write(folder.path(), "authority");
        let exporter = Exporter::start(&configuration(
            length,
            &[&primary, &replica, &shop, &branch],
            folder.path(),
        ));
        let guarded = start_guarded(&cart, &authority, folder.path());
        let login = login(&primary, &replica, &authority);
        let traffic = Traffic::start(length, login, &shop, branch);
        let prometheus = Prometheus::start(&prometheus_configuration(length, &exporter, &guarded, folder.path()));
        Self {
            traffic,
            prometheus,
            exporter,
            _guarded: guarded,
            _servers: [primary, replica, shop, cart],
            _folder: folder,
            started: Instant::now(),
        }
    }

    /// What the dashboards ask.
    pub const fn prometheus(&self) -> &Prometheus {
        &self.prometheus
    }

    /// Time since it began.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Everything about the scene itself that may be why a panel shows nothing.
    pub fn complaints(&self) -> String {
        let mut text = String::new();
        if !self.traffic.is_alive() {
            text.push_str("the traffic has ended before its time\n");
        }
        let health = self.exporter.get("/health/redis?detailed=true").text();
        let _ = write!(text, "{health}\n{}", self.prometheus.targets());
        text
    }
}

fn primary_arguments() -> [&'static str; 14] {
    [
        "--maxmemory",
        "40mb",
        "--maxmemory-policy",
        "volatile-ttl",
        "--notify-keyspace-events",
        "Egxen",
        "--appendonly",
        "yes",
        "--slowlog-log-slower-than",
        "10000",
        "--latency-monitor-threshold",
        "10",
        // A replica that comes back takes the whole store, as one does that was away for long.
        "--repl-backlog-size",
        "16kb",
    ]
}

fn login(primary: &RedisServer, replica: &RedisServer, authority: &Authority) -> Login {
    let tls = TlsClient::trusting(&authority.pem());
    let mut follower = replica.client();
    let follows = wait_until(READY_BOUND, || traffic::follows(&mut follower).then_some(()));
    assert!(follows.is_some(), "the replica does not follow its primary");
    Login {
        application: Client::connect_tls(primary.tls_port, &tls).unwrap(),
        plain: primary.client(),
        replica: follower,
        tls_port: primary.tls_port,
        port: primary.port,
        tls,
    }
}

/// The example of the documentation, but for the metric that keyspace notifications know better here.
fn application_metrics() -> String {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/application-metrics.md")).unwrap();
    let heading = "## Everything that the documents ask for";
    let (_, rest) = page
        .split_once(heading)
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let (_, rest) = rest.split_once("```yaml\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let entries = block
        .split("  - name: ")
        .filter(|entry| !entry.starts_with("sessions_created_total"));
    entries.collect::<Vec<_>>().join("  - name: ")
}

/// The configuration of the exporter.
fn configuration(length: Length, servers: &[&RedisServer; 4], folder: &Path) -> String {
    let [primary, replica, shop, branch] = servers;
    let metrics = application_metrics().replace('\n', "\n    ");
    // In a short scene the tokens have no room left, so that there is an alert about a store.
    let capacity = if length == Length::Short {
        traffic::TOKENS
    } else {
        2 * traffic::TOKENS
    };
    format!(
        "environment: production
poll: {{ ping_interval: 500ms, info_interval: 1s, scan_interval: 2s, connect_interval: 2s, timeout: 3s }}
scan: {{ redis_share: 0.2 }}
instances:
  - name: {PRIMARY}
    address: {}
    tls: {{ ca_file: {folder}/authority.crt, cert_file: {folder}/client.crt, key_file: {folder}/client.key, server_name: localhost }}
    operations: on
    session_probe: {{ enabled: true, interval: 1s }}
    expect: {{ maxmemory_policy: [noeviction, volatile-ttl], persistence: aof }}
    sessions:
      - store: {STORE}
        match: [\"sess:*\"]
        type: string
        capacity: 2000
        expected_ttl: 1h
        sources:
          - {{ source: oauth_callback, match: \"sess:oauth:*\" }}
          - {{ source: refresh_token, match: \"sess:refresh:*\" }}
          - {{ source: guest, match: \"sess:guest:*\" }}
        encryption: {{ expect_prefix: \"enc:v1:\" }}
      - {{ store: api, match: [\"api:token:*\"], type: string, capacity: {capacity}, expected_ttl: 2h, encryption: {{ expect_prefix: \"enc:v1:\" }} }}
    {metrics}
  - name: {PRIMARY}-replica
    address: {}
    sessions: []
  - name: shop
    address: {}
    username: exporter
    password: secret
    operations: on
    session_probe: {{ enabled: true, interval: 1s }}
    expect: {{ persistence: none }}
    sessions:
      - {{ preset: flask-session, capacity: 1500, expected_ttl: 1h }}
  - name: branch
    environment: staging
    address: {}
    operations: on
    session_probe: {{ enabled: true, interval: 1s }}
    sessions:
      - {{ store: {STORE}, match: [\"sess:*\"], type: string, capacity: 300, expected_ttl: 1h }}
",
        primary.tls_address(),
        replica.address(),
        shop.address(),
        branch.address(),
        folder = folder.display(),
    )
}

/// Writes the shipped rules, in a hurry; where.
fn write_rules(folder: &Path) -> String {
    let values = Values {
        hurry: HURRY,
        ..Values::default()
    };
    for file in FILES {
        let text = render::file(file, &values).unwrap();
        std::fs::write(folder.join(format!("{}.rules.yaml", file.name)), text).unwrap();
    }
    folder.join("*.rules.yaml").display().to_string()
}

/// A second exporter, which watches the one node of a cluster and is itself behind TLS.
fn start_guarded(cart: &RedisServer, authority: &Authority, folder: &Path) -> Exporter {
    authority.issue(&Leaf::server().days(-30, 335)).write(folder, "guarded");
    let web = replace(
        &folder.join("web.yml"),
        "tls_server_config: { cert_file: guarded.crt, key_file: guarded.key }\n",
    );
    let configuration = format!(
        "environment: production
poll: {{ ping_interval: 500ms, info_interval: 1s, scan_interval: 2s, connect_interval: 2s, timeout: 3s }}
instances:
  - {{ name: cart, address: \"{}\", sessions: [] }}
",
        cart.address()
    );
    Exporter::start_with(&configuration, &[&format!("--web.config.file={}", web.display())])
}

fn prometheus_configuration(length: Length, exporter: &Exporter, guarded: &Exporter, folder: &Path) -> String {
    // A picture needs no second, and a busy machine misses some.
    let interval = if length == Length::Short { 1 } else { 2 };
    format!(
        "global: {{ scrape_interval: {interval}s, scrape_timeout: {interval}s, evaluation_interval: 1s }}
rule_files: ['{}']
scrape_configs:
  - job_name: redis-session-exporter
    honor_labels: true
    tls_config: {{ ca_file: {}/authority.crt, server_name: localhost }}
    static_configs:
      - targets: ['127.0.0.1:{}']
      - targets: ['127.0.0.1:{}']
        labels: {{ __scheme__: https }}
",
        write_rules(folder),
        folder.display(),
        exporter.port,
        guarded.port
    )
}
