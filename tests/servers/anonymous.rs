//! What anybody who reaches the port of redis_exporter can do to it, and nobody can do to us. Each test names what happens there (1.86 and
//! 1.88). Slow clients and the limits of time are also in `http.rs` and in the unit tests of
//! `src/http`, with shorter limits than the binary's.

use crate::bench::BACK_BOUND;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::redis_server::RedisServer;
use crate::support::wait_until;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// A password that must be seen nowhere but at the server it belongs to.
const PASSWORD: &str = "password-of-the-server";

/// What a session holds.
const BODY: &str = "body-of-a-session";

/// The name of a session, which is what a cookie holds.
const SESSION: &str = "4f1a2b3c";

/// No answer takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// No client may take longer to send a head; the server's own limit is 10 s.
const HEAD_BOUND: Duration = Duration::from_secs(40);

/// Times that the configuration's `limits.http_connections` is exceeded by.
const CROWD: usize = 8;

/// `limits.http_connections` by default.
const CONNECTIONS: usize = 256;

/// What `CROWD` times as many connections as are allowed may cost in memory; each of them could send 16 KiB of a head.
const CROWD_BYTES: u64 = 64 * 1024 * 1024;

/// A server with a password and a session, and an exporter that has polled it once and does so again in an hour: whatever happens
/// in between was caused by a request.
struct Scene {
    server: RedisServer,
    exporter: Exporter,
}

impl Scene {
    fn new() -> Self {
        let server = RedisServer::start_with(&["--requirepass", PASSWORD]);
        for number in 0..100 {
            server.command(&["SET", &format!("sess:{SESSION}{number}"), BODY, "EX", "86400"]);
        }
        let config = format!(
            "environment: test\npoll: {{ ping_interval: 1h, info_interval: 1h, scan_interval: 1h, connect_interval: 1h, timeout: 500ms }}\n{}",
            config::instances_yaml(&[(
                "watched",
                &server.address(),
                &format!("password: {PASSWORD}\nsessions:\n  - {{ store: web, match: [\"sess:*\"] }}")
            )])
        );
        let exporter = Exporter::start_with(&config, &["--log.level=debug"]);
        exporter.wait_for("the first polls of all kinds", BACK_BOUND, |scrape| {
            scrape.value("sessions_active", &[]) == Some(100.0)
                && scrape.value("redis_connect_success", &[]) == Some(1.0)
                && scrape.has("redis_uptime_in_seconds", &[])
        });
        Self { server, exporter }
    }

    /// How often each command ran, without the test's own INFO and AUTH, and how many connections were made, less our own.
    fn traffic(&self) -> BTreeMap<String, String> {
        let mut client = self.server.client();
        let text = client.command(&["INFO", "commandstats"]).text();
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let calls = lines.map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().to_owned()));
        let mut traffic: BTreeMap<String, String> = calls
            .filter(|(name, _)| !["cmdstat_info", "cmdstat_auth"].contains(&name.as_str()))
            .collect();
        assert!(
            traffic.contains_key("cmdstat_ping"),
            "the exporter's own commands are seen: {traffic:?}"
        );
        let clients = self.server.info("connected_clients").unwrap();
        // The one that reads INFO is the other.
        let clients: usize = clients.parse().unwrap();
        traffic.insert("connections".to_owned(), clients.to_string());
        traffic
    }

    /// Runs `act` and holds that the server noticed nothing of it.
    fn unnoticed_by_the_server(&self, act: impl FnOnce()) {
        let received = |scene: &Self| {
            scene
                .server
                .info("total_connections_received")
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        let (before, connections) = (self.traffic(), received(self));
        act();
        assert_eq!(self.traffic(), before);
        // Looking costs three connections of the test's own: two for the traffic, one for this figure.
        assert_eq!(received(self), connections + 3);
    }

    /// The answer to `GET path`, with every reserved character of the path's values already encoded.
    fn get(&self, path: &str) -> http::Response {
        self.exporter.get(path)
    }
}

/// Everything that the server answers to these bytes until it closes, with the writing side open.
fn answers(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may close before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02X}");
        encoded
    })
}

/// Every parameter that redis_exporter takes keys by.
const KEY_PARAMETERS: [&str; 5] = [
    "check-keys",
    "check-single-keys",
    "check-streams",
    "check-single-streams",
    "count-keys",
];

/// Every path that is there, and some that are not.
const PATHS: [&str; 16] = [
    "/",
    "/metrics",
    "/probe",
    "/scrape",
    "/scrape?target=watched",
    "/sd",
    "/config",
    "/health",
    "/health/redis",
    "/health/redis?detailed=true",
    "/health/redis/watched?detailed=true&check=memory",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/discover-cluster-nodes",
    "/debug/pprof/cmdline",
];

/// There `GET /scrape?target=HOST:PORT` connects to any address and sends it the password of `--redis.password`.
#[test]
fn no_request_makes_us_dial_an_address_or_show_a_password() {
    let scene = Scene::new();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let (trap_port, own) = (trap.local_addr().unwrap().port(), scene.server.port);
    let targets = [
        format!("127.0.0.1:{trap_port}"),
        format!("localhost:{trap_port}"),
        format!("[::ffff:127.0.0.1]:{trap_port}"),
        format!("redis://127.0.0.1:{trap_port}"),
        format!("redis://user:word@127.0.0.1:{trap_port}/3"),
        format!("rediss://127.0.0.1:{trap_port}"),
        format!("valkey://127.0.0.1:{trap_port}"),
        format!("valkeys://127.0.0.1:{trap_port}"),
        format!("redis-sentinel://127.0.0.1:{trap_port}?sentinelServiceName=x"),
        format!("redis-cluster://127.0.0.1:{trap_port}"),
        format!("tcp://127.0.0.1:{trap_port}"),
        format!("http://127.0.0.1:{trap_port}/"),
        // An address that is configured, with the trap where a careless reader would find the host.
        format!("redis://127.0.0.1:{own}@127.0.0.1:{trap_port}"),
        format!("redis://127.0.0.1:{own},127.0.0.1:{trap_port}"),
        format!("redis://127.0.0.1:{own}/0@127.0.0.1:{trap_port}"),
        format!("redis://127.0.0.1:{own}#@127.0.0.1:{trap_port}"),
        format!("redis://127.0.0.1:{own}?addr=127.0.0.1:{trap_port}"),
        format!("watched\r\nredis://127.0.0.1:{trap_port}"),
    ];
    scene.unnoticed_by_the_server(|| {
        for target in &targets {
            for path in ["/scrape", "/probe"] {
                let response = scene.get(&format!("{path}?target={}", encoded(target)));
                assert_eq!(response.status, 404, "{target}");
                assert!(!response.text().contains(&trap_port.to_string()), "{target} is not echoed");
            }
        }
        // The first of two counts, and what is configured is shown from memory.
        let both = scene.get(&format!("/scrape?target=watched&target=127.0.0.1:{trap_port}"));
        assert_eq!(both.status, 200);
        // Headers and request lines by which proxies are told where to go.
        for head in [
            format!("GET http://127.0.0.1:{trap_port}/metrics HTTP/1.1\r\nHost: 127.0.0.1:{trap_port}\r\n"),
            format!("GET /sd HTTP/1.1\r\nHost: 127.0.0.1:{trap_port}\r\n"),
            format!("CONNECT 127.0.0.1:{trap_port} HTTP/1.1\r\nHost: 127.0.0.1:{trap_port}\r\n"),
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: 127.0.0.1:{trap_port}\r\nForwarded: host=127.0.0.1:{trap_port}\r\n"),
            format!("GET /scrape?target=watched HTTP/1.1\r\nHost: x\r\nReferer: http://127.0.0.1:{trap_port}/\r\n"),
        ] {
            answers(scene.exporter.port, format!("{head}Connection: close\r\n\r\n").as_bytes());
        }
    });
    assert_eq!(
        trap.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "the trap was dialled"
    );
    let log = scene.exporter.log();
    assert!(!log.contains(&format!(":{trap_port}")), "a target is not logged: {log}");
    assert!(!log.contains(PASSWORD));
}

/// There `target=unix:///…` is dialled, and the text of the error says whether a file is there.
#[test]
fn no_request_opens_a_socket_or_tells_whether_a_file_exists() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("trap.sock");
    let trap = UnixListener::bind(&socket).unwrap();
    trap.set_nonblocking(true).unwrap();
    let socket = socket.to_str().unwrap();
    let answer = |target: &str| {
        let response = scene.get(&format!("/scrape?target={}", encoded(target)));
        (response.status, response.text())
    };
    scene.unnoticed_by_the_server(|| {
        let absent = answer("unix:///there/is/nothing");
        assert_eq!(absent.0, 404);
        for there in [
            socket,
            "/etc/passwd",
            "/proc/self/environ",
            "/",
            scene.server.socket().to_str().unwrap(),
        ] {
            for form in ["", "unix://", "redis+unix://", "file://"] {
                assert_eq!(answer(&format!("{form}{there}")), absent, "{form}{there}");
            }
        }
    });
    assert_eq!(
        trap.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "the trap was dialled"
    );
}

/// There `check-keys=sess:*` returns the contents of all sessions as a label.
#[test]
fn no_request_reads_a_session_or_a_name_of_one() {
    let scene = Scene::new();
    scene.unnoticed_by_the_server(|| {
        let mut paths: Vec<String> = PATHS.map(str::to_owned).to_vec();
        for parameter in KEY_PARAMETERS {
            for keys in [
                format!("sess:{SESSION}0"),
                format!("db0=sess:{SESSION}0"),
                "sess:*".to_owned(),
                "*".to_owned(),
            ] {
                let query = format!("{parameter}={}", encoded(&keys));
                let refused = scene.get(&format!("/scrape?target=watched&{query}"));
                assert_eq!(refused.status, 400, "{query}");
                paths.push(format!("/scrape?target=watched&{query}"));
                paths.push(format!("/metrics?{query}"));
                paths.push(format!("/health/redis/watched?{query}"));
            }
        }
        for path in &paths {
            let text = scene.get(path).text();
            for secret in [BODY, SESSION, PASSWORD] {
                assert!(!text.contains(secret), "{path} tells {secret}");
            }
        }
    });
    assert!(!scene.exporter.log().contains(SESSION));
}

/// There every GET, POST and HEAD of the metrics is eight commands, and the parameters add scans of the whole keyspace.
#[test]
fn no_path_method_header_or_parameter_sends_a_command() {
    let scene = Scene::new();
    scene.unnoticed_by_the_server(|| {
        for path in PATHS {
            for method in [
                "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FLUSHALL",
            ] {
                scene.exporter.request(method, path, &[]);
            }
            for parameter in KEY_PARAMETERS {
                let join = if path.contains('?') { '&' } else { '?' };
                scene.get(&format!("{path}{join}{parameter}=*"));
            }
        }
        for headers in [
            [("Cache-Control", "no-cache"), ("Pragma", "no-cache")],
            [("X-Prometheus-Scrape-Timeout-Seconds", "0.001"), ("Accept", "*/*")],
            [("X-Redis-Command", "FLUSHALL"), ("Upgrade", "websocket")],
            [("X-HTTP-Method-Override", "POST"), ("Expect", "100-continue")],
        ] {
            assert_eq!(scene.exporter.request("GET", "/metrics", &headers).status, 200);
        }
        // Somebody who takes the port for Redis itself.
        for bytes in [
            "*1\r\n$4\r\nPING\r\n",
            "FLUSHALL\r\n\r\n",
            "AUTH password-of-nobody\r\n\r\n",
        ] {
            assert!(!answers(scene.exporter.port, bytes.as_bytes()).contains(" 200 "));
        }
    });
}

/// There 10 parallel scrapes are 10 connections and 80 commands, without a limit.
#[test]
fn many_scrapes_at_once_cost_the_server_nothing() {
    const CLIENTS: usize = 100;
    let scene = Scene::new();
    let port = scene.exporter.port;
    scene.unnoticed_by_the_server(|| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                std::thread::spawn(move || {
                    (0..10).all(|_| {
                        let one = http::request(port, "GET", "/scrape?target=watched", &[]).unwrap();
                        let all = http::request(port, "HEAD", "/metrics", &[]).unwrap();
                        one.status == 200 && one.text().contains("sessions_active") && all.status == 200
                    })
                })
            })
            .collect();
        for client in clients {
            assert!(client.join().unwrap());
        }
    });
}

/// There `/-/reload` works by GET and for everybody.
#[test]
fn nobody_reloads_without_the_flag() {
    let scene = Scene::new();
    let reloads = "redis_session_exporter_config_last_reload_success_timestamp_seconds";
    let before = scene.exporter.scrape().value(reloads, &[]);
    for (method, status) in [("GET", 405), ("POST", 403), ("PUT", 403)] {
        assert_eq!(scene.exporter.request(method, "/-/reload", &[]).status, status);
    }
    assert_eq!(scene.exporter.scrape().value(reloads, &[]), before);
}

/// There connections are unlimited, and each may stay open for ever in the middle of its head.
#[test]
fn a_crowd_of_connections_takes_neither_memory_nor_descriptors_nor_the_service() {
    let scene = Scene::new();
    let port = scene.exporter.port;
    let before = scene.exporter.resident_bytes();
    let mut crowd = Vec::new();
    for number in 0..CROWD * CONNECTIONS {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            continue;
        };
        // Silent, half a head, half-closed with and without one.
        let sent = if number % 2 == 0 {
            Ok(())
        } else {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ")
        };
        if sent.is_ok() && number % 4 >= 2 {
            let _ = stream.shutdown(Shutdown::Write);
        }
        crowd.push(stream);
    }
    assert!(
        crowd.len() > 2 * CONNECTIONS,
        "only {} connections were made",
        crowd.len()
    );
    let open = scene.exporter.process.open_descriptors();
    // The limit of connections, that of refusals being told, and what the process has open itself.
    assert!(open <= CONNECTIONS + 64 + 64, "{open} descriptors are open");
    let served = wait_until(HEAD_BOUND, || {
        http::request(port, "GET", "/metrics", &[])
            .ok()
            .filter(|response| response.status == 200)
    });
    assert!(served.is_some(), "the crowd locks everybody out");
    let grown = scene.exporter.resident_bytes().saturating_sub(before);
    assert!(grown < CROWD_BYTES, "the crowd cost {grown} bytes");
    drop(crowd);
}

/// There no limit of time holds for a body.
#[test]
fn a_body_is_neither_waited_for_nor_read_nor_taken_for_a_request() {
    let scene = Scene::new();
    let inner = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
    let heads = [
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{inner}"),
        format!(
            "POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}",
            1_000_000
        ),
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{inner}"),
        format!(
            "POST /scrape?target=watched HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n{inner}"
        ),
    ];
    for head in heads {
        let text = answers(scene.exporter.port, head.as_bytes());
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
        assert!(!text.contains("Healthy"), "{text}");
    }
}

/// What a proxy in front and the server behind it could read differently: two requests hidden in one.
#[test]
fn a_head_with_two_meanings_has_none() {
    let scene = Scene::new();
    let hidden = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
    let heads = [
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{hidden}"),
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\n{hidden}"),
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n{hidden}"),
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{hidden}"),
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n{hidden}"),
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("POST /metrics HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: a\r\n Content-Length: 5\r\n\r\n{hidden}"),
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n{hidden}"),
        format!("GET /metrics HTTP/9.9\r\nHost: x\r\n\r\n{hidden}"),
        format!("GET  /metrics  HTTP/1.1\r\nHost: x\r\n\r\n{hidden}"),
    ];
    for head in heads {
        let text = answers(scene.exporter.port, head.as_bytes());
        assert!(!text.contains("200 OK"), "{head:?}: {text}");
        assert!(text.matches("HTTP/1.").count() <= 1, "{head:?}: {text}");
    }
    // Both lengths at once: the chunks count (RFC 9112 section 6.3), and nothing behind them on this connection.
    let both = format!(
        "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
    );
    let text = answers(scene.exporter.port, both.as_bytes());
    assert!(!text.contains("Healthy"), "{text}");
}

/// There the only limits are those of Go's server: 1 MiB of head, parameters without number.
#[test]
fn heads_paths_and_parameters_are_bounded() {
    let scene = Scene::new();
    let port = scene.exporter.port;
    let before = scene.exporter.resident_bytes();
    for _ in 0..50 {
        let long = "x".repeat(200_000);
        for head in [
            format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET /scrape?target={long} HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{long}"),
            format!("{long} /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
        ] {
            let text = answers(port, head.as_bytes());
            assert!(!text.contains("200 OK") && !text.contains("xxxx"), "{text}");
        }
    }
    let many = "X: y\r\n".repeat(1000);
    let text = answers(
        port,
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes(),
    );
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    for path in ["/metrics", "/scrape", "/health/redis"] {
        assert_eq!(scene.get(&format!("{path}?{}", "a=b&".repeat(1000))).status, 400);
    }
    assert_eq!(scene.get("/metrics").status, 200);
    let grown = scene.exporter.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "{grown} bytes");
}

/// There the text of a bad target stands in the answer.
#[test]
fn nothing_that_is_sent_comes_back_or_reaches_the_log() {
    let scene = Scene::new();
    let marker = "marker-of-the-test";
    let nasty = format!("{marker}\r\nlevel=error msg=forged\u{1b}[2J<script>alert(1)</script>\0{{}}%s$(id)");
    let (nasty, plain) = (encoded(&nasty), marker);
    for path in [
        format!("/{nasty}"),
        format!("/scrape?target={nasty}"),
        format!("/scrape?{nasty}={nasty}"),
        format!("/scrape?target=watched&check-keys={nasty}"),
        format!("/scrape?target=watched&collect[]={nasty}"),
        format!("/metrics?collect[]={nasty}"),
        format!("/metrics?exclude[]={nasty}"),
        format!("/health/redis?check={nasty}"),
        format!("/health/redis/{nasty}"),
        format!("/health/redis/watched?detailed={nasty}"),
        format!("/api/{nasty}"),
        format!("/-/{nasty}"),
    ] {
        let headers = [
            ("User-Agent", plain),
            ("X-Forwarded-For", plain),
            ("Accept", plain),
            ("Authorization", plain),
        ];
        let response = scene.exporter.request("GET", &path, &headers);
        let (text, headers) = (response.text(), format!("{:?}", response.headers));
        for answer in [&text, &headers] {
            assert!(
                !answer.contains(marker) && !answer.contains("forged") && !answer.contains("<script"),
                "{path}: {answer}"
            );
        }
    }
    scene.exporter.request(marker, "/metrics", &[]);
    let log = scene.exporter.log();
    assert!(!log.contains(marker) && !log.contains("forged"), "{log}");
    assert!(!scene.get("/metrics").text().contains(marker));
}
