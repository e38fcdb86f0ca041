//! A real Prometheus scrapes the exporter, in both formats and through service discovery.

use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::process::Process;
use crate::support::redis_server::RedisServer;
use crate::support::{free_port, program, wait_until};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longest time until Prometheus runs and has scraped everything; it spreads first scrapes over an interval.
pub(crate) const SCRAPED_BOUND: Duration = Duration::from_secs(40);

/// A Prometheus with a storage of its own.
pub(crate) struct Prometheus {
    port: u16,
    process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it with this prometheus.yml and waits until it is ready.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    /// The same with further flags.
    pub(crate) fn start_with(config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(program("TEST_PROMETHEUS", "prometheus"));
        command.current_dir(folder.path());
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.args(flags);
        let process = Process::spawn(command, folder.path());
        let mut prometheus = Self {
            port,
            process,
            _folder: folder,
        };
        let ready = wait_until(SCRAPED_BOUND, || {
            assert!(
                prometheus.process.try_wait().is_none(),
                "{}",
                prometheus.process.output()
            );
            http::request(port, "GET", "/-/ready", &[])
                .ok()
                .filter(|response| response.status == 200)
        });
        assert!(
            ready.is_some(),
            "Prometheus never becomes ready: {}",
            prometheus.process.output()
        );
        prometheus
    }

    /// Where it answers, for programs beside the test.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The whole answer of its API to a path below `/api/v1/`, good or bad.
    pub(crate) fn answer(&self, path: &str) -> serde_json::Value {
        http::request(self.port, "GET", &format!("/api/v1/{path}"), &[])
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.process.output()))
            .json()
    }

    fn api(&self, path: &str) -> serde_json::Value {
        let response = http::request(self.port, "GET", &format!("/api/v1/{path}"), &[]).unwrap();
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.json()["data"].clone()
    }

    /// Label sets and values of an instant query.
    pub(crate) fn query(&self, query: &str) -> Vec<(serde_json::Value, f64)> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.api(&format!("query?query={encoded}"));
        let result = data["result"].as_array().unwrap();
        result
            .iter()
            .map(|series| {
                (
                    series["metric"].clone(),
                    series["value"][1].as_str().unwrap().parse().unwrap(),
                )
            })
            .collect()
    }

    /// The value of the one series of a query.
    pub(crate) fn value(&self, query: &str) -> Option<f64> {
        match self.query(query).as_slice() {
            [] => None,
            [(_, value)] => Some(*value),
            several => panic!("{query}: {several:?}"),
        }
    }

    /// What it says about its targets.
    pub(crate) fn targets(&self) -> String {
        serde_json::to_string_pretty(&self.api("targets?state=active")["activeTargets"]).unwrap()
    }
}

/// Forwards scrapes without their `Accept`, so that a Prometheus of any version gets text 0.0.4. Returns its port, and the
/// content types that went through.
fn without_accept(exporter_port: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = kinds.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut piece = [0; 4096];
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(length) if length > 0 => head.extend_from_slice(&piece[..length]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let path = text.split(' ').nth(1).unwrap_or("/metrics").to_owned();
            let Ok(response) = http::request(exporter_port, "GET", &path, &[]) else {
                continue;
            };
            let kind = response.header("content-type").unwrap_or_default().to_owned();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                response.body.len()
            );
            seen.lock().unwrap().push(kind);
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&response.body));
        }
    });
    (port, kinds)
}

#[test]
fn prometheus_takes_both_formats_and_the_discovered_targets() {
    let (first, second) = (RedisServer::start(), RedisServer::start_with(&["--maxmemory", "100mb"]));
    let mut client = first.client();
    for number in 0..42 {
        client.command(&["SET", &format!("sess:{number}"), "x", "EX", "86400"]);
    }
    let store = "labels: { team: auth }\nsessions:\n  - { store: web, match: [\"sess:*\"], capacity: 1000 }";
    let exporter = Exporter::start(&config::fast(&[
        ("first", &first.address(), store),
        ("second", &second.address(), ""),
    ]));
    exporter.wait_until_up(&["first", "second"]);
    let (text_port, kinds) = without_accept(exporter.port);
    let port = exporter.port;
    let prometheus = Prometheus::start(&format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: openmetrics
    honor_labels: true
    static_configs: [ {{ targets: ['127.0.0.1:{port}'] }} ]
  - job_name: text
    honor_labels: true
    static_configs: [ {{ targets: ['127.0.0.1:{text_port}'] }} ]
  - job_name: multi
    http_sd_configs: [ {{ url: 'http://127.0.0.1:{port}/sd', refresh_interval: 5s }} ]
"
    ));
    let all_up = wait_until(SCRAPED_BOUND, || {
        let up = prometheus.query("up == 1");
        // The exporter twice, and its two instances by discovery.
        (up.len() == 4 && prometheus.value("sessions_active{job=\"multi\"}").is_some()).then_some(())
    });
    assert!(
        all_up.is_some(),
        "{}\n{}",
        prometheus.targets(),
        prometheus.process.output()
    );

    for job in ["openmetrics", "text", "multi"] {
        for (query, expected) in [
            (
                "redis_up{JOB,instance=\"first\",environment=\"test\",team=\"auth\"}",
                1.0,
            ),
            ("redis_up{JOB,instance=\"second\",environment=\"test\"}", 1.0),
            ("redis_connection_status{JOB,instance=\"first\"}", 1.0),
            ("redis_connection_state{JOB,instance=\"first\",state=\"ok\"}", 1.0),
            ("redis_connection_state{JOB,instance=\"first\",state=\"refused\"}", 0.0),
            ("redis_db_keys{JOB,instance=\"first\",db=\"db0\"}", 42.0),
            ("redis_db_keys_expiring{JOB,instance=\"first\",db=\"db0\"}", 42.0),
            ("sessions_active{JOB,instance=\"first\",store=\"web\"}", 42.0),
            ("sessions_max_capacity{JOB,instance=\"first\",store=\"web\"}", 1000.0),
            ("redis_memory_max_bytes{JOB,instance=\"first\"}", 0.0),
            (
                "redis_memory_max_bytes{JOB,instance=\"second\"}",
                100.0 * 1024.0 * 1024.0,
            ),
            ("redis_commands_total{JOB,instance=\"first\",cmd=\"set\"}", 42.0),
            (
                "redis_connection_errors_total{JOB,instance=\"first\",reason=\"timeout\"}",
                0.0,
            ),
            (
                "count(redis_ping_duration_seconds_bucket{JOB,instance=\"first\"})",
                15.0,
            ),
            ("redis_errors_total{JOB,instance=\"first\",err=\"OOM\"}", 0.0),
        ] {
            let query = query.replace("JOB", &format!("job=\"{job}\""));
            assert_eq!(
                prometheus.value(&query),
                Some(expected),
                "{query}\n{}",
                prometheus.targets()
            );
        }
        let samples = prometheus.query(&format!("scrape_samples_scraped{{job=\"{job}\"}}"));
        assert!(
            samples.iter().all(|(_, samples)| *samples > 200.0),
            "{job}: {samples:?}"
        );
        println!(
            "job {job}: up 1, samples per scrape {:?}",
            samples.iter().map(|(_, samples)| *samples).collect::<Vec<_>>()
        );
    }
    // Labels of the exporter win: nothing was renamed out of its way.
    assert!(
        prometheus
            .query("{__name__=~\"redis_.+\", exported_instance!=\"\"}")
            .is_empty()
    );
    assert!(
        kinds
            .lock()
            .unwrap()
            .iter()
            .all(|kind| kind.starts_with("text/plain; version=0.0.4")),
        "{:?}",
        kinds.lock().unwrap()
    );

    types_arrive(&prometheus);
    let own = http::request(prometheus.port, "GET", "/metrics", &[]).unwrap().text();
    for complaint in ["duplicate_timestamp_total", "out_of_order_total", "out_of_bounds_total"] {
        let line = own
            .lines()
            .find(|line| line.starts_with(&format!("prometheus_target_scrapes_sample_{complaint}")))
            .unwrap();
        assert!(line.ends_with(" 0"), "{line}\n{}", prometheus.process.output());
    }
}

/// Types and help texts that Prometheus keeps of the two jobs.
fn types_arrive(prometheus: &Prometheus) {
    for (job, metric, kind) in [
        ("openmetrics", "redis_up", "gauge"),
        ("openmetrics", "redis_connection_errors", "counter"),
        ("openmetrics", "redis_ping_duration_seconds", "histogram"),
        ("openmetrics", "redis_pings", "counter"),
        ("openmetrics", "sessions_active", "gauge"),
        ("text", "redis_up", "gauge"),
        ("text", "redis_connection_errors_total", "counter"),
        ("text", "redis_ping_duration_seconds", "histogram"),
        ("text", "redis_commands_total", "counter"),
        ("text", "sessions_active", "gauge"),
    ] {
        // Prometheus 2.x keeps OpenMetrics' counters under their family name, 3.x with the suffix.
        let found = [metric.to_owned(), format!("{metric}_total")]
            .into_iter()
            .find_map(|name| {
                let found = prometheus.api(&format!(
                    "targets/metadata?match_target=%7Bjob%3D%22{job}%22%7D&metric={name}"
                ));
                found.as_array().unwrap().first().cloned()
            });
        let found = found.unwrap_or_else(|| panic!("{job}: no metadata of {metric}"));
        assert_eq!(found["type"], kind, "{job} {metric}");
        assert!(found["help"].as_str().unwrap().len() > 10, "{job} {metric}: {found}");
    }
}
