//! The server in this process, asked by raw TCP clients.

use super::*;
use crate::config::resolve::DEFAULT_HTTP_CONNECTIONS;
use crate::exposition::fixtures;
use crate::snapshot::details::InstanceDetails;
use crate::telemetry::BuildInfo;
use std::collections::HashMap;
use std::io::Read as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod access;

/// No test waits longer for anything.
const BOUND: Duration = Duration::from_secs(20);

struct Server {
    address: std::net::SocketAddr,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
    reloads: mpsc::Receiver<ReloadRequest>,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Enough of an address for tests: `port` on this machine.
fn yaml(_: &ValidatedConfig) -> String {
    "instances: []\n".to_owned()
}

impl Server {
    async fn start(options: WebOptions, timeouts: Timeouts) -> Self {
        Self::start_with(options, Web::default(), timeouts).await
    }

    async fn start_with(options: WebOptions, web: Web, timeouts: Timeouts) -> Self {
        let now = Instant::now();
        let store = Arc::new(SnapshotStore::new());
        for name in ["a", "b<i>"] {
            let details = InstanceDetails {
                first_poll_ended: true,
                connected: Some(true),
                state: Some(None),
                last_turn: Some(now),
                turn_limit: Duration::from_secs(600),
                ..InstanceDetails::default()
            };
            fixtures::publish(&store, fixtures::snapshot(name, now, details));
        }
        let config = Arc::new(ValidatedConfig {
            instances: vec![
                Arc::new(health::tests::config("a", 6379)),
                Arc::new(health::tests::config("b<i>", 6380)),
            ],
            clusters: Vec::new(),
            limits: crate::config::Limits {
                http_connections: DEFAULT_HTTP_CONNECTIONS,
                label_values: 50,
                scan_remembered_keys: 1000,
                scan_detail_keys: 100,
                checked_keys: 100,
            },
        });
        let (reload, reloads) = mpsc::channel(1);
        let app = Arc::new(App::new(AppParts {
            store,
            telemetry: Arc::new(Telemetry::new(BuildInfo::THIS, None)),
            config: Arc::new(RwLock::new(config)),
            reload,
            options,
            web: Arc::new(web),
            collectors: vec!["memory", "stats", "ping"],
            catalogue: Arc::new(fixtures::catalogue()),
            hooks: Hooks {
                redacted_yaml: yaml,
                addresses_meant: crate::config::address::meant_by,
            },
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(serve(vec![listener], app.clone(), timeouts, stopped));
        Self {
            address,
            app,
            stop,
            running,
            reloads,
        }
    }

    async fn usual() -> Self {
        Self::start(WebOptions::default(), Timeouts::default()).await
    }

    /// What a reload does that changes `limits.http_connections`.
    fn limit_connections(&self, limit: usize) {
        self.change(|config| config.limits.http_connections = limit);
    }

    fn change(&self, change: impl FnOnce(&mut ValidatedConfig)) {
        let mut config = self.app.parts.config.write().unwrap();
        let mut changed = ValidatedConfig::clone(&config);
        change(&mut changed);
        *config = Arc::new(changed);
    }

    /// What a changed web configuration does.
    fn replace_web(&self, config: crate::config::web::WebConfig) {
        let state = WebState::new("test", config, None).unwrap();
        self.app.parts.web.replace(state, "test").unwrap();
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn request(&self, head: &str) -> Reply {
        let mut stream = self.connect().await;
        exchange(&mut stream, head).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: exporter:9121\r\n\r\n"))
            .await
    }
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future)
        .await
        .expect("nothing may take this long")
}

async fn exchange(stream: &mut TcpStream, head: &str) -> Reply {
    stream.write_all(head.as_bytes()).await.unwrap();
    bounded(read_reply(stream, head.starts_with("HEAD")))
        .await
        .expect("an answer")
}

/// Reads one answer and not a byte more; `None` when the connection ends before.
async fn read_reply(stream: &mut TcpStream, head_only: bool) -> Option<Reply> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = Vec::new();
    if head_only {
    } else if let Some(length) = headers.get("content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).await.ok()?;
    } else {
        stream.read_to_end(&mut body).await.ok()?;
    }
    Some(Reply { status, headers, body })
}

/// Waits until the server closes the connection, and says what it sent before.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a way of closing too.
    let _ = bounded(stream.read_to_end(&mut bytes)).await;
    bytes
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::bufread::GzDecoder::new(bytes)
        .read_to_string(&mut text)
        .unwrap();
    text
}

#[tokio::test]
async fn metrics_speak_the_dialect_that_is_asked_for() {
    let server = Server::usual().await;
    let plain = server.get("/metrics").await;
    assert_eq!(plain.status, 200);
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = plain.text();
    assert!(text.contains("fixture_hits_total{environment=\"test\",instance=\"a\"} 5\n"));
    assert!(text.contains("\nprocess_cpu_seconds_total "));
    assert!(!text.contains("# EOF"));
    let headers = [
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    ];
    for accept in headers {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nAccept-Encoding: gzip\r\n\r\n");
        let open = server.request(&head).await;
        assert_eq!(open.header("content-encoding"), "gzip");
        assert_eq!(
            open.header("content-type"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        let text = gunzip(&open.body);
        assert!(text.ends_with("\n# EOF\n") && text.contains("\nfixture_hits_total{"));
        assert_eq!(text.matches("# EOF").count(), 1);
    }
    let refused = server
        .request("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip;q=0\r\n\r\n")
        .await;
    assert_eq!(refused.header("content-encoding"), "");
}

#[tokio::test]
async fn filters_work_and_are_checked() {
    let server = Server::usual().await;
    let only = server.get("/metrics?collect[]=stats").await.text();
    assert!(only.contains("fixture_hits_total") && !only.contains("fixture_used_bytes"));
    assert!(!only.contains("process_cpu_seconds_total"));
    let except = server.get("/metrics?exclude%5B%5D=stats").await.text();
    assert!(!except.contains("fixture_hits_total") && except.contains("fixture_used_bytes"));
    assert!(except.contains("process_cpu_seconds_total"));
    let own = server.get("/metrics?collect[]=exporter").await.text();
    assert!(own.contains("process_cpu_seconds_total") && !own.contains("fixture"));
    for bad in [
        "?collect[]=stats&exclude[]=ping",
        "?collect[]=nothing",
        "?exclude[]=",
        "?a=%ff",
    ] {
        let reply = server.get(&format!("/metrics{bad}")).await;
        assert_eq!(reply.status, 400, "{bad}");
        assert!(!reply.text().contains("nothing"));
    }
}

#[tokio::test]
async fn probe_compares_and_never_echoes() {
    let server = Server::usual().await;
    for target in ["a", "redis%3A%2F%2F127.0.0.1%3A6379", "redis://127.0.0.1:6379/0"] {
        let text = server.get(&format!("/probe?target={target}")).await.text();
        assert!(text.contains("fixture_hits_total 5\n"), "{text}");
        assert!(text.contains("fixture_used_bytes{db=\"db0\"} 1.5\n"));
        assert!(!text.contains("environment=") && !text.contains("process_"));
    }
    let filtered = server.get("/scrape?target=a&collect[]=stats").await.text();
    assert!(filtered.contains("fixture_hits_total 5\n") && !filtered.contains("fixture_used_bytes"));
    let unknown = server.get("/probe?target=redis://user:hunter2@evil:1").await;
    assert_eq!(unknown.status, 404);
    assert!(!unknown.text().contains("evil") && !unknown.text().contains("hunter2"));
    assert_eq!(server.get("/probe").await.status, 400);
    assert_eq!(server.get("/probe?target=").await.status, 400);
    let own = server.get("/metrics").await.text();
    assert!(own.contains("\nredis_target_scrape_request_errors_total 3\n"), "{own}");
}

#[tokio::test]
async fn a_scheme_of_a_target_counts_and_a_bare_one_fits_either() {
    let server = Server::usual().await;
    server.change(|config| Arc::make_mut(&mut config.instances[1]).address.tls = true);
    for (target, status) in [
        ("127.0.0.1:6379", 200),
        ("rediss://127.0.0.1:6379", 404),
        ("127.0.0.1:6380", 200),
        ("valkeys://127.0.0.1:6380/0", 200),
        ("redis://127.0.0.1:6380", 404),
        ("rediss-cluster://127.0.0.1:6380", 404),
    ] {
        let reply = server.get(&format!("/probe?target={target}")).await;
        assert_eq!(reply.status, status, "{target}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let server = Server::usual().await;
    let paths = [
        "/",
        "/probe?target=a",
        "/sd",
        "/config",
        "/health/redis",
        "/health/redis/a",
        "/health",
        "/-/healthy",
        "/-/ready",
    ];
    for path in paths {
        let get = server.get(path).await;
        let mut stream = server.connect().await;
        let head = exchange(
            &mut stream,
            &format!("HEAD {path} HTTP/1.1\r\nHost: exporter:9121\r\n\r\n"),
        )
        .await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (get.status, get.header("content-type"))
        );
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{path}");
        // The connection goes on behind it, so there really was no body.
        assert_eq!(
            exchange(&mut stream, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .text(),
            "ok\n"
        );
    }
    let head = server.request("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.header("content-length").parse::<usize>().unwrap() > 1000);
}

#[tokio::test]
async fn wrong_methods_and_paths() {
    let server = Server::usual().await;
    let post = server
        .request("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
    let get = server.get("/-/reload").await;
    assert_eq!((get.status, get.header("allow")), (405, "POST, PUT"));
    assert_eq!(server.get("/nothing/here").await.status, 404);
    let brew = server.request("BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(brew.status, 404);
    let own = server.get("/metrics").await.text();
    for line in [
        "redis_session_exporter_http_requests_total{method=\"POST\",route=\"/metrics\",code=\"405\"} 1",
        "redis_session_exporter_http_requests_total{method=\"other\",route=\"other\",code=\"404\"} 1",
        "redis_session_exporter_http_requests_in_flight 1",
    ] {
        assert!(own.lines().any(|found| found == line), "{line}\n{own}");
    }
}

#[tokio::test]
async fn service_discovery_sets_the_labels_for_probe() {
    let server = Server::usual().await;
    let reply = server.get("/sd").await;
    assert_eq!(reply.header("content-type"), "application/json");
    let list = reply.json();
    assert_eq!(list[0]["targets"], serde_json::json!(["exporter:9121"]));
    assert_eq!(list[0]["labels"]["__metrics_path__"], "/probe");
    assert_eq!(list[1]["labels"]["__param_target"], "b<i>");
    assert_eq!(list[1]["labels"]["instance"], "b<i>");
    assert_eq!(list[1]["labels"]["environment"], "test");
    let bad = server.request("GET /sd HTTP/1.1\r\nHost: a/b\r\n\r\n").await;
    assert_eq!(bad.status, 400);
    let none = server.request("GET /sd HTTP/1.0\r\n\r\n").await;
    assert_eq!(none.status, 400);

    let options = WebOptions {
        external_url: Some("https://example.org/redis".parse().unwrap()),
        ..WebOptions::default()
    };
    let server = Server::start(options, Timeouts::default()).await;
    let list = server.get("/sd").await.json();
    assert_eq!(list[0]["targets"], serde_json::json!(["example.org"]));
    assert_eq!(list[0]["labels"]["__scheme__"], "https");
    assert_eq!(list[0]["labels"]["__metrics_path__"], "/redis/probe");
}

#[tokio::test]
async fn the_page_is_escaped_and_locked_down() {
    let server = Server::usual().await;
    let page = server.get("/").await;
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let html = page.text();
    assert!(html.contains("<td>b&lt;i&gt;</td>") && !html.contains("b<i>"));
    assert!(html.contains("<a href=\"metrics\">/metrics</a>"));
    assert_eq!(server.get("/config").await.text(), "instances: []\n");
}

#[tokio::test]
async fn health_of_all_and_of_one() {
    let server = Server::usual().await;
    let all = server.get("/api/health/redis?detailed=true").await;
    assert_eq!(all.status, 200);
    assert_eq!(all.json()["instances"]["a"]["intervals"]["info_seconds"], 15.0);
    let one = server.get("/health/redis/b%3Ci%3E?check=connectivity").await.json();
    assert_eq!(one["checks"].as_object().unwrap().len(), 2);
    assert_eq!(server.get("/health/redis/nobody").await.status, 404);
    assert_eq!(server.get("/health/redis?check=weather").await.status, 400);
    for name in ["a", "b<i>"] {
        let dead = InstanceDetails {
            connected: Some(false),
            ..InstanceDetails::default()
        };
        fixtures::publish(&server.app.parts.store, fixtures::snapshot(name, Instant::now(), dead));
        let status = server.get("/health/redis").await;
        let expected = if name == "a" {
            (200, "degraded")
        } else {
            (503, "unhealthy")
        };
        assert_eq!((status.status, status.json()["status"].as_str().unwrap()), expected);
    }
}

#[tokio::test]
async fn readiness_comes_once_and_stays() {
    let server = Server::usual().await;
    server.app.parts.store.remove("a");
    assert_eq!(server.get("/-/ready").await.status, 503);
    let polled = InstanceDetails {
        first_poll_ended: true,
        connected: Some(false),
        ..InstanceDetails::default()
    };
    fixtures::publish(&server.app.parts.store, fixtures::snapshot("a", Instant::now(), polled));
    assert_eq!(server.get("/-/ready").await.status, 200);
    server.app.parts.store.remove("a");
    assert_eq!(server.get("/-/ready").await.status, 200);
}

#[tokio::test]
async fn a_stopped_task_is_not_healthy() {
    let server = Server::usual().await;
    assert_eq!(server.get("/-/healthy").await.text(), "Healthy\n");
    let now = Instant::now();
    let wedged = InstanceDetails {
        last_turn: Some(now.checked_sub(Duration::from_secs(2)).unwrap()),
        turn_limit: Duration::from_secs(1),
        ..InstanceDetails::default()
    };
    fixtures::publish(&server.app.parts.store, fixtures::snapshot("a", now, wedged));
    assert_eq!(server.get("/-/healthy").await.status, 503);
    assert_eq!(server.get("/health").await.text(), "ok\n");
}

#[tokio::test]
async fn reload_needs_the_flag_and_tells_the_outcome() {
    const POST: &str = "POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let server = Server::usual().await;
    assert_eq!(server.request(POST).await.status, 403);

    let options = WebOptions {
        enable_lifecycle: true,
        ..WebOptions::default()
    };
    let mut server = Server::start(options, Timeouts::default()).await;
    for (outcome, status) in [(Ok(()), 200), (Err("line 3: unknown key".to_owned()), 500)] {
        let mut stream = server.connect().await;
        stream.write_all(POST.as_bytes()).await.unwrap();
        let answer = bounded(server.reloads.recv()).await.unwrap();
        answer.send(outcome).unwrap();
        let reply = bounded(read_reply(&mut stream, false)).await.unwrap();
        assert_eq!(reply.status, status);
    }
    // With the receiver gone nothing can reload.
    server.reloads.close();
    assert_eq!(server.request(POST).await.status, 503);
}

#[tokio::test]
async fn keep_alive_and_pipelined_requests() {
    let server = Server::usual().await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        let reply = exchange(&mut stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(reply.status, 200);
    }
    let many = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20);
    stream.write_all(many.as_bytes()).await.unwrap();
    for _ in 0..20 {
        assert_eq!(bounded(read_reply(&mut stream, false)).await.unwrap().text(), "ok\n");
    }
}

#[tokio::test]
async fn slow_heads_are_cut_and_idle_connections_live_longer() {
    let timeouts = Timeouts {
        head: Duration::from_millis(200),
        idle: Duration::from_secs(3600),
        ..Timeouts::default()
    };
    let server = Server::start(WebOptions::default(), timeouts).await;
    let mut idle = server.connect().await;
    exchange(&mut idle, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;

    // A connection that says nothing, one that stops in the middle, and one that drips.
    let mut silent = server.connect().await;
    let mut stopped = server.connect().await;
    stopped.write_all(b"GET /health HTTP/1.1\r\nHo").await.unwrap();
    let (mut reader, mut writer) = server.connect().await.into_split();
    let drip = tokio::spawn(async move {
        writer.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while writer.write_all(b"X").await.is_ok() {
            ticks.tick().await;
        }
    });
    assert_eq!(until_closed(&mut silent).await, b"");
    assert!(!until_closed(&mut stopped).await.starts_with(b"HTTP/1.1 200"));
    let mut rest = Vec::new();
    let _ = bounded(reader.read_to_end(&mut rest)).await;
    bounded(drip).await.unwrap();

    // The idle one saw all that time go by, and starts a head that it does not end.
    let again = exchange(&mut idle, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(again.text(), "ok\n");
    idle.write_all(b"GET /he").await.unwrap();
    assert!(!until_closed(&mut idle).await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn idle_connections_are_cut_in_the_end() {
    let timeouts = Timeouts {
        idle: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let server = Server::start(WebOptions::default(), timeouts).await;
    let mut idle = server.connect().await;
    exchange(&mut idle, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(until_closed(&mut idle).await, b"");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::usual().await;
    let mut stream = server.connect().await;
    let large = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    // The server may close before everything is written.
    let _ = stream.write_all(large.as_bytes()).await;
    let reply = bounded(read_reply(&mut stream, false)).await.unwrap();
    assert_eq!(reply.status, 431);
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn bodies_of_requests_are_not_waited_for() {
    let server = Server::usual().await;
    let reply = server
        .request("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    assert_eq!(reply.status, 405);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    let server = Server::usual().await;
    server.limit_connections(2);
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    for stream in [&mut one, &mut two] {
        exchange(stream, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    }
    let mut third = server.connect().await;
    third
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let refused = String::from_utf8(until_closed(&mut third).await).unwrap();
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let body = refused.split_once("\r\n\r\n").unwrap().1;
    assert!(refused.contains(&format!("Content-Length: {}\r\n", body.len())));
    // A reload that raises the limit holds at once; one that lowers it lets open connections be.
    server.limit_connections(3);
    let mut more = server.connect().await;
    exchange(&mut more, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    server.limit_connections(2);
    drop(more);
    let mut beyond = server.connect().await;
    assert!(until_closed(&mut beyond).await.starts_with(b"HTTP/1.1 503 "));
    exchange(&mut two, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    drop(one);
    // The place becomes free as soon as the server sees that the client left.
    bounded(async {
        loop {
            let mut stream = server.connect().await;
            stream
                .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
            if read_reply(&mut stream, false)
                .await
                .is_some_and(|reply| reply.status == 200)
            {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let timeouts = Timeouts {
        stall: Duration::from_millis(200),
        ..Timeouts::default()
    };
    let server = Server::start(WebOptions::default(), timeouts).await;
    let mut stream = server.connect().await;
    // Asks for more than all buffers in between can hold, and reads nothing.
    let many = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    let cut = async { while stream.write_all(many.as_bytes()).await.is_ok() {} };
    bounded(cut).await;
    let connections = || server.app.parts.telemetry.encode(crate::exposition::Dialect::Text);
    bounded(async {
        while !connections().contains("redis_session_exporter_http_connections 0") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn stopping_lets_answers_end_and_is_bounded() {
    let options = WebOptions {
        enable_lifecycle: true,
        ..WebOptions::default()
    };
    const POST: &str = "POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let mut server = Server::start(options.clone(), Timeouts::default()).await;
    let mut idle = server.connect().await;
    exchange(&mut idle, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut busy = server.connect().await;
    busy.write_all(POST.as_bytes()).await.unwrap();
    let answer = bounded(server.reloads.recv()).await.unwrap();
    server.stop.send(true).unwrap();
    assert_eq!(until_closed(&mut idle).await, b"");
    answer.send(Ok(())).unwrap();
    assert_eq!(bounded(read_reply(&mut busy, false)).await.unwrap().status, 200);
    bounded(server.running).await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());

    let timeouts = Timeouts {
        drain: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let mut server = Server::start(options, timeouts).await;
    let mut busy = server.connect().await;
    busy.write_all(POST.as_bytes()).await.unwrap();
    let _never_answered = bounded(server.reloads.recv()).await.unwrap();
    server.stop.send(true).unwrap();
    bounded(server.running).await.unwrap();
    assert_eq!(until_closed(&mut busy).await, b"");
}

#[test]
fn times_are_rfc_3339() {
    let at = |seconds: u64, milliseconds: u64| {
        rfc3339(std::time::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + milliseconds))
    };
    assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
    assert_eq!(at(1_763_787_460, 7), "2025-11-22T04:57:40.007Z");
    assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
    assert_eq!(at(4_107_542_399, 999), "2100-02-28T23:59:59.999Z");
    assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
}
