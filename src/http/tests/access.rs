//! Who is let in, and what the flags of redis_exporter switch off.

use super::*;
use crate::config::types::{BasicAuth, BasicPassword, Secret};
use crate::config::web::{RateLimit, WebConfig};

/// crypt(3) of `hunter2` with cost 4.
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm";

/// `scraper:hunter2`
const RIGHT: &str = "Authorization: Basic c2NyYXBlcjpodW50ZXIy\r\n";
/// `scraper:hunter3`
const WRONG: &str = "Authorization: Basic c2NyYXBlcjpodW50ZXIz\r\n";

async fn guarded() -> Server {
    let password = BasicPassword::Bcrypt(Secret::new(HASH));
    let options = WebOptions {
        enable_lifecycle: true,
        ..WebOptions::default()
    };
    let user = BasicAuth {
        username: "scraper".to_owned(),
        password,
    };
    let state = WebState::new("test", WebConfig::default(), Some(&user)).unwrap();
    Server::start_with(options, Web::new(state), Timeouts::default()).await
}

impl Server {
    async fn ask(&self, method: &str, path: &str, header: &str) -> Reply {
        self.request(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n"))
            .await
    }
}

#[tokio::test]
async fn everything_but_the_state_of_the_process_needs_credentials() {
    let server = guarded().await;
    let paths = [
        "/",
        "/metrics",
        "/probe?target=a",
        "/scrape?target=a",
        "/probe",
        "/sd",
        "/config",
        "/health/redis",
        "/health/redis/a",
        "/api/health/redis",
        "/-/reload",
        "/discover-cluster-nodes",
        "/nothing/here",
        "/health/",
        "//health",
        "/HEALTH",
        "/%68ealth",
        "/health%2F",
        "/health;a",
        "/health/../metrics",
        "/-/healthy/",
        "/api/health",
        "/api/-/ready",
        "http://x/metrics",
        "http://health",
        "/metrics?a=%ff",
        "*",
    ];
    for path in paths {
        for header in ["", WRONG] {
            for method in ["GET", "HEAD", "POST", "OPTIONS", "BREW"] {
                let reply = server.ask(method, path, header).await;
                assert_eq!(reply.status, 401, "{method} {path}");
                assert_eq!(
                    reply.header("www-authenticate"),
                    "Basic realm=\"redis-session-exporter\", charset=\"UTF-8\""
                );
                if method != "HEAD" {
                    assert_eq!(reply.text(), "this needs a user name and a password\n");
                }
            }
        }
        let status = server.ask("GET", path, RIGHT).await.status;
        assert_ne!(status, 401, "{path}");
    }
    let old = server.request("GET /metrics HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 401);
    let tunnel = server
        .request("CONNECT health:443 HTTP/1.1\r\nHost: health\r\n\r\n")
        .await;
    assert_eq!(tunnel.status, 401);
    for path in ["/health", "/-/healthy", "/-/ready"] {
        for header in ["", WRONG, RIGHT] {
            assert_eq!(server.ask("GET", path, header).await.status, 200, "{path}");
        }
    }
    let text = server.ask("GET", "/metrics", RIGHT).await.text();
    assert!(text.contains("fixture_hits_total"));
    assert!(
        text.contains("_requests_total{method=\"GET\",route=\"/metrics\",code=\"401\"} 7"),
        "{text}"
    );
    assert!(!text.contains("hunter2") && !text.contains("scraper"));
}

#[tokio::test]
async fn credentials_hold_for_their_request_alone() {
    let server = guarded().await;
    let mut stream = server.connect().await;
    let with = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{RIGHT}\r\n");
    let without = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    for (head, status) in [(with.as_str(), 200), (without, 401), (with.as_str(), 200)] {
        assert_eq!(exchange(&mut stream, head).await.status, status);
    }
}

/// A web configuration with a user, a header and a rate at which no test sees a second token.
fn strict(burst: u64) -> WebConfig {
    WebConfig {
        users: vec![BasicAuth {
            username: "scraper".to_owned(),
            password: BasicPassword::Bcrypt(Secret::new(HASH)),
        }],
        headers: vec![
            ("Strict-Transport-Security", "max-age=60".to_owned()),
            ("X-Frame-Options", "sameorigin".to_owned()),
        ],
        rate_limit: Some(RateLimit {
            interval: Duration::from_secs(86_400),
            burst,
        }),
        ..WebConfig::default()
    }
}

#[tokio::test]
async fn headers_are_on_every_answer() {
    let server = Server::usual().await;
    server.replace_web(strict(7));
    for (method, path, header, status) in [
        ("GET", "/metrics", RIGHT, 200),
        ("HEAD", "/metrics", RIGHT, 200),
        ("GET", "/", RIGHT, 200),
        ("GET", "/nothing", RIGHT, 404),
        ("POST", "/metrics", RIGHT, 405),
        ("GET", "/metrics?a=%ff", RIGHT, 400),
        ("GET", "/metrics", WRONG, 401),
        ("GET", "/metrics", RIGHT, 429),
        ("GET", "/health", "", 200),
    ] {
        let reply = server.ask(method, path, header).await;
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.header("strict-transport-security"), "max-age=60", "{path}");
        assert_eq!(reply.header("x-frame-options"), "sameorigin", "{path}");
    }
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_the_state_of_the_process_is_not() {
    let server = Server::usual().await;
    server.replace_web(strict(2));
    assert_eq!(server.ask("GET", "/metrics", WRONG).await.status, 401);
    assert_eq!(server.ask("GET", "/metrics", RIGHT).await.status, 200);
    for path in ["/metrics", "/", "/nothing", "/health/redis"] {
        for header in [RIGHT, WRONG, ""] {
            let reply = server.ask("GET", path, header).await;
            assert_eq!(reply.status, 429, "{path}");
            let seconds: u32 = reply.header("retry-after").parse().unwrap();
            assert!((86_000..=86_400).contains(&seconds), "{seconds}");
        }
    }
    for path in ["/health", "/-/healthy", "/-/ready"] {
        assert_eq!(server.ask("GET", path, "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn access_is_replaced_as_a_whole_also_on_open_connections() {
    let server = Server::usual().await;
    let mut stream = server.connect().await;
    let with = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{RIGHT}\r\n");
    let without = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(exchange(&mut stream, without).await.status, 200);
    let mut web = strict(100);
    server.replace_web(web.clone());
    assert_eq!(exchange(&mut stream, without).await.status, 401);
    assert_eq!(exchange(&mut stream, &with).await.status, 200);
    // The user is gone, another is there.
    web.users[0].username = "another".to_owned();
    server.replace_web(web);
    assert_eq!(exchange(&mut stream, &with).await.status, 401);
}

/// TLS with a certificate of its own, and the rest as it is.
fn over_tls(web: WebConfig) -> WebConfig {
    WebConfig {
        tls: Some(crate::http::tls::tests::settings()),
        ..web
    }
}

#[tokio::test]
async fn what_was_opened_in_clear_ends_when_tls_is_switched_on() {
    let server = Server::usual().await;
    let get = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let (mut used, mut fresh, mut asking) = (server.connect().await, server.connect().await, server.connect().await);
    assert_eq!(exchange(&mut used, get).await.status, 200);
    let (begin, end) = get.split_at(20);
    asking.write_all(begin.as_bytes()).await.unwrap();
    // The server has read it when it has answered somebody who came later.
    assert_eq!(server.get("/health").await.status, 200);
    server.replace_web(over_tls(strict(7)));
    // Nobody is left who could ask in clear, without a request of theirs.
    assert_eq!(until_closed(&mut used).await, b"");
    assert_eq!(until_closed(&mut fresh).await, b"");
    // But for a head that was half there, which is answered without anything in it, and with the headers of all answers.
    let reply = exchange(&mut asking, end).await;
    assert_eq!((reply.status, reply.header("connection")), (400, "close"));
    assert_eq!(reply.header("x-frame-options"), "sameorigin");
    assert!(reply.text().contains("HTTPS"), "{}", reply.text());
    assert_eq!(until_closed(&mut asking).await, b"");
}

#[tokio::test]
async fn without_an_address_the_metrics_show_the_exporter_alone() {
    let options = WebOptions {
        exporter_alone: true,
        ..WebOptions::default()
    };
    let server = Server::start(options, Timeouts::default()).await;
    for accept in ["text/plain", "application/openmetrics-text"] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
        let text = server.request(&request).await.text();
        assert!(text.contains("\nredis_exporter_build_info{"), "{accept}");
        assert!(
            !text.contains("fixture_hits_total{") && !text.contains("instance=\""),
            "{accept}"
        );
    }
    let asked = server.get("/metrics?exclude[]=ping").await.text();
    assert!(asked.contains("fixture_hits_total{"), "what is asked for is shown");
    let probed = server.get("/probe?target=a").await;
    assert_eq!(probed.status, 200);
    assert!(probed.text().contains("fixture_hits_total"));
}

#[tokio::test]
async fn redis_only_leaves_out_what_the_peer_leaves_out() {
    let options = WebOptions {
        redis_only: true,
        ..WebOptions::default()
    };
    let server = Server::start(options, Timeouts::default()).await;
    server.get("/probe").await;
    let text = server.get("/metrics").await.text();
    assert!(text.contains("fixture_hits_total{"));
    assert!(text.contains("\nredis_target_scrape_request_errors_total 1\n"));
    for gone in [
        "process_",
        "redis_exporter_build_info",
        "redis_session_exporter_http",
        "tasks_alive",
    ] {
        assert!(!text.contains(gone), "{gone}");
    }
    let open = server
        .request("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n")
        .await
        .text();
    assert!(open.ends_with("\n# EOF\n") && !open.contains("process_"));
    let own = server.get("/metrics?collect[]=exporter").await.text();
    assert!(own.contains("redis_target_scrape_request_errors_total") && !own.contains("process_"));
}

#[tokio::test]
async fn the_probe_can_be_switched_off() {
    let options = WebOptions {
        serve_probe: false,
        ..WebOptions::default()
    };
    let server = Server::start(options, Timeouts::default()).await;
    for path in ["/probe?target=a", "/scrape?target=a", "/scrape", "/sd"] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.text().contains("--disable-scrape-endpoint"), "{path}");
    }
    assert!(!server.get("/").await.text().contains("\"sd\""));
    assert_eq!(server.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn keys_of_a_request_are_those_of_the_configuration_or_refused() {
    let server = Server::usual().await;
    {
        let mut config = server.app.parts.config.write().unwrap();
        let mut changed = ValidatedConfig::clone(&config);
        let mut instance = health::tests::config("a", 6379);
        instance
            .optional
            .keys
            .counted
            .push(crate::config::optional::KeyPattern {
                glob: "sess:*".to_owned(),
                databases: vec![0],
            });
        instance.collectors.insert("count_keys", true);
        changed.instances[0] = Arc::new(instance);
        *config = Arc::new(changed);
    }
    let asked = server.get("/scrape?target=a&count-keys=db0=sess:*").await;
    assert_eq!(asked.status, 200);
    assert_eq!(asked.text(), server.get("/scrape?target=a").await.text());
    for query in [
        "a&count-keys=hunter2",
        "b%3Ci%3E&count-keys=sess:*",
        "a&tls_server_name=hunter2",
    ] {
        let refused = server.get(&format!("/scrape?target={query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(!refused.text().contains("hunter2") && !refused.text().contains("sess:"));
    }
    // Whether an instance exists comes first, so that this does not tell what is configured for another.
    assert_eq!(server.get("/scrape?target=nobody&count-keys=x").await.status, 404);
    let own = server.get("/metrics").await.text();
    assert!(own.contains("\nredis_target_scrape_request_errors_total 4\n"));
}

#[tokio::test]
async fn a_get_of_the_reload_is_answered_in_words() {
    let server = guarded().await;
    let reply = server.ask("GET", "/-/reload", RIGHT).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST, PUT"));
    assert!(reply.text().contains("read again at every connect"), "{}", reply.text());
}
