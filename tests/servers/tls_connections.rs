//! The collectors `tls` and `client_counts` at servers with a TLS and a plain port, held against the connections that the test itself has.

use crate::support::certificates::{Authority, Issued, Leaf, chain_dates, dates};
use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::{RedisServer, ServerTls};
use crate::support::resp::Client;
use crate::support::scrape::Scrape;
use crate::support::tls::TlsClient;
use crate::support::wait_until;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_secs(60);

const CONNECTIONS: &str = "redis_tls_connections_active";
const NOT_AFTER: &str = "redis_tls_certificate_not_after_timestamp_seconds";
const NOT_BEFORE: &str = "redis_tls_certificate_not_before_timestamp_seconds";

/// A server at both kinds of ports, and who vouches for it.
struct Scene {
    server: RedisServer,
    authority: Authority,
    identity: Issued,
    folder: tempfile::TempDir,
}

impl Scene {
    fn start() -> Self {
        let authority = Authority::new("tests");
        let identity = authority.issue(&Leaf::server());
        let server = RedisServer::start_tls(&ServerTls::showing(&identity).and_plain(), &[]);
        Self {
            server,
            authority,
            identity,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn ca_file(&self) -> PathBuf {
        self.authority.write(self.folder.path(), "ca")
    }

    /// A configuration with one instance over TLS; `further` stands behind its `tls`.
    fn over_tls(&self, tls: &str, further: &str) -> String {
        let tls = format!(
            "tls: {{ ca_file: '{}'{tls} }}\nsessions: []\n{further}",
            self.ca_file().display()
        );
        config::fast(&[("secure", &self.server.tls_address(), &tls)])
    }

    /// Whether INFO names the listeners (Redis 7.2+, Valkey).
    fn names_listeners(&self) -> bool {
        self.server.info("listener0").is_some()
    }
}

fn active(scrape: &Scrape, instance: &str) -> (Option<f64>, Option<f64>) {
    let of = |tls_enabled| scrape.value(CONNECTIONS, &[("instance", instance), ("tls_enabled", tls_enabled)]);
    (of("true"), of("false"))
}

fn feature(scrape: &Scrape, instance: &str, name: &str) -> Option<f64> {
    let labels = [("instance", instance), ("feature", name)];
    scrape.value("redis_session_exporter_feature_available", &labels)
}

/// How often and for how long the server made its list, by its own account.
fn lists(server: &RedisServer) -> (u64, u64) {
    let line = server.info("cmdstat_client|list").unwrap_or_default();
    let part = |name: &str| {
        let mut parts = line.split(',').filter_map(|part| part.split_once('='));
        let found = parts.find(|(known, _)| *known == name);
        found.map_or(0, |(_, value)| value.parse().unwrap())
    };
    (part("calls"), part("usec"))
}

#[test]
fn five_hundred_clients_are_counted_by_the_port_at_which_they_came_in() {
    const TLS: usize = 210;
    const PLAIN: usize = 270;
    const UNIX: usize = 20;
    let scene = Scene::start();
    let server = &scene.server;
    let client = TlsClient::trusting(&scene.authority.pem());
    let mut secure: Vec<Client> = (0..TLS)
        .map(|_| {
            let mut client = Client::connect_tls(server.tls_port, &client).unwrap();
            client.command(&["PING"]);
            client
        })
        .collect();
    let mut plain: Vec<Client> = (0..PLAIN).map(|_| server.client()).collect();
    // One of them looks at all commands, and is a client like any other.
    plain.last_mut().unwrap().send(&[b"MONITOR"]).unwrap();
    let unix: Vec<Client> = (0..UNIX)
        .map(|_| {
            let mut client = Client::connect_unix(&server.socket()).unwrap();
            client.command(&["PING"]);
            client
        })
        .collect();
    let started = Instant::now();
    // Both see the same, and neither the connections of the other, which are as much ours: kept, fresh and listening ones.
    let tls = format!("tls: {{ ca_file: '{}' }}", scene.ca_file().display());
    let sessions = "sessions: [ { store: web, match: ['sess:*'] } ]";
    let text = config::fast(&[
        ("secure", &server.tls_address(), &format!("{tls}\n{sessions}")),
        ("plain", &server.address(), sessions),
        (
            "socket",
            &format!("unix://{}", server.socket().display()),
            "sessions: []",
        ),
    ]);
    let exporter = Exporter::start(&text);
    let is_true = |tls: usize, plain: usize| {
        let wanted = (Some(tls as f64), Some(plain as f64));
        move |scrape: &Scrape| {
            ["secure", "plain", "socket"]
                .iter()
                .all(|name| active(scrape, name) == wanted)
        }
    };
    let scrape = exporter.wait_for("the truth, and the certificate", BOUND, |scrape| {
        is_true(TLS, PLAIN)(scrape) && feature(scrape, "secure", "tls") == Some(1.0)
    });
    for instance in ["secure", "plain", "socket"] {
        assert_eq!(feature(&scrape, instance, "client_list"), Some(1.0), "{instance}");
    }
    assert_eq!(feature(&scrape, "plain", "tls"), Some(0.0));
    // It stays true while polls, probes and scans come and go, and follows.
    let steady = wait_until(Duration::from_secs(3), || {
        let scrape = exporter.scrape();
        (!is_true(TLS, PLAIN)(&scrape)).then_some(scrape)
    });
    let counts = steady.map(|scrape| ["secure", "plain", "socket"].map(|name| active(&scrape, name)));
    assert_eq!(counts, None);
    secure.truncate(TLS - 100);
    plain.truncate(PLAIN - 50);
    drop(unix);
    exporter.wait_for("those that left are gone", BOUND, is_true(TLS - 100, PLAIN - 50));
    let elapsed = started.elapsed();
    let (calls, microseconds) = lists(server);
    println!("{calls} lists in {elapsed:?}, {microseconds} µs of the server");
    // Each of the three instances lists 500 clients every 0.75 s at most, and the fewer afterwards every half second.
    let most = 3.0 * (elapsed.as_secs_f64() / 0.45 + 2.0);
    assert!((calls as f64) < most, "{calls} lists in {elapsed:?}");
}

#[test]
fn only_the_connections_are_missing_without_their_commands_and_that_is_said_once() {
    let scene = Scene::start();
    let server = &scene.server;
    for (user, less) in [("nolist", "-client|list"), ("noconfig", "-config|get")] {
        server.command(&["ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", less]);
    }
    let tls = format!(
        "tls: {{ ca_file: '{}' }}\nsessions: []\npassword: secret",
        scene.ca_file().display()
    );
    let of = |user: &str| format!("{tls}\nusername: {user}");
    let address = server.tls_address();
    let text = config::fast(&[
        ("nolist", &address, &of("nolist")),
        ("noconfig", &address, &of("noconfig")),
    ]);
    let exporter = Exporter::start(&text);
    let polls = |scrape: &Scrape, instance: &str| scrape.sum("redis_exporter_scrapes_total", &[("instance", instance)]);
    let scrape = exporter.wait_for("some polls", BOUND, |scrape| {
        ["nolist", "noconfig"].iter().all(|name| {
            let has_dates = scrape.has(NOT_AFTER, &[("instance", name)]);
            polls(scrape, name) > 8.0 && has_dates
        })
    });
    let unavailable = |instance| {
        let labels = [("instance", instance), ("collector", "tls"), ("reason", "denied")];
        scrape.value("redis_session_exporter_collector_unavailable", &labels)
    };
    assert_eq!(active(&scrape, "nolist"), (None, None));
    assert_eq!(unavailable("nolist"), Some(1.0));
    assert_eq!(feature(&scrape, "nolist", "client_list"), Some(0.0));
    assert_eq!(feature(&scrape, "nolist", "tls"), Some(1.0));
    if scene.names_listeners() {
        assert_eq!(active(&scrape, "noconfig"), (Some(0.0), Some(0.0)));
        assert_eq!(unavailable("noconfig"), None);
    } else {
        assert_eq!(active(&scrape, "noconfig"), (None, None));
        assert_eq!(unavailable("noconfig"), Some(1.0));
    }
    let said = |instance: &str, command: &str| {
        let log = exporter.log();
        let of = |line: &&str| line.contains(&format!("instance={instance}")) && line.contains(command);
        log.lines().filter(of).count()
    };
    assert_eq!(said("nolist", "CLIENT|LIST"), 1, "{}", exporter.log());
    assert_eq!(said("noconfig", "CONFIG|GET"), 1, "{}", exporter.log());
    let denials: i64 = server
        .command(&["ACL", "LOG"])
        .array()
        .iter()
        .map(|entry| entry.array()[1].integer())
        .sum();
    assert_eq!(denials, 2, "each was tried once");
    let ended = exporter::run_with(
        &["check"],
        &[],
        Some(&config::fast(&[("nolist", &address, &of("nolist"))])),
    );
    for wanted in [
        "the user may not run CLIENT|LIST",
        "ACL SETUSER nolist +client|list",
        "client_list: let the user run CLIENT LIST",
    ] {
        assert!(ended.output.contains(wanted), "{wanted}: {}", ended.output);
    }
}

#[test]
fn a_handshake_tells_the_dates_of_openssl_also_when_it_is_refused_and_after_the_server_died() {
    let mut scene = Scene::start();
    let exporter = Exporter::start(&scene.over_tls("", ""));
    let of = |scrape: &Scrape, name: &str, certificate: &str| scrape.value(name, &[("certificate", certificate)]);
    let is_shown = |issued: &Issued| {
        let leaf = dates(&issued.certificate)[0];
        let chain = chain_dates(&issued.certificate);
        move |scrape: &Scrape| {
            of(scrape, NOT_AFTER, "leaf") == Some(leaf.not_after as f64)
                && of(scrape, NOT_BEFORE, "leaf") == Some(leaf.not_before as f64)
                && of(scrape, NOT_AFTER, "chain") == Some(chain.not_after as f64)
                && of(scrape, NOT_BEFORE, "chain") == Some(chain.not_before as f64)
        }
    };
    let verified = |scrape: &Scrape| scrape.value("redis_tls_verified", &[]);
    let errors = |scrape: &Scrape, reason: &str| scrape.value("redis_tls_errors_total", &[("reason", reason)]);
    let first = is_shown(&scene.identity);
    let scrape = exporter.wait_for("the first certificate", BOUND, |scrape| {
        first(scrape) && verified(scrape) == Some(1.0)
    });
    let info: Vec<_> = scrape.all("redis_tls_connection_info", &[]).collect();
    assert_eq!(info.len(), 1);
    assert_eq!(info[0].labels["version"], "TLSv1.3");
    assert!(info[0].labels["cipher"].starts_with("TLS13_") || info[0].labels["cipher"].starts_with("TLS_"));
    assert_eq!(scrape.value("redis_tls_verification_skipped", &[]), Some(0.0));
    assert_eq!(scrape.all("redis_tls_errors_total", &[]).count(), 7, "all born at 0");
    assert_eq!(scrape.sum("redis_tls_errors_total", &[]), 0.0);
    if let Some(left) = scene.server.info("tls_server_cert_expires_in_seconds") {
        let configured = |scrape: &Scrape| {
            of(
                scrape,
                "redis_tls_configured_certificate_not_after_timestamp_seconds",
                "server",
            )
        };
        let scrape = exporter.wait_for("what the server says itself", BOUND, |scrape| {
            configured(scrape).is_some()
        });
        let difference = configured(&scrape).unwrap() - of(&scrape, NOT_AFTER, "leaf").unwrap();
        assert!(difference.abs() <= 2.0, "{difference}, {left} seconds left");
    }
    let page = exporter.get("/").text();
    assert!(page.contains("TLSv1.3, verified, certificate ends in "), "{page}");
    let ended = exporter::run_with(&["check"], &[], Some(&scene.over_tls("", "")));
    assert!(
        ended.output.contains("verified, certificate ends in "),
        "{}",
        ended.output
    );
    assert!(!ended.output.contains("tls: speak TLS"), "{}", ended.output);

    let expired = scene.authority.issue(&Leaf::server().days(-90, -3));
    scene.server.show(&expired);
    let then = is_shown(&expired);
    exporter.wait_for("the certificate that has expired", BOUND, |scrape| {
        then(scrape)
            && verified(scrape) == Some(0.0)
            && errors(scrape, "expired") > Some(0.0)
            && scrape.value("redis_connect_success", &[]) == Some(0.0)
    });
    let page = exporter.get("/").text();
    assert!(
        page.contains("not verified: a certificate has expired") && page.contains("ended 3 days ago"),
        "{page}"
    );
    exporter.reload(&scene.over_tls(", insecure_skip_verify: true", ""));
    let scrape = exporter.wait_for("nobody verifies", BOUND, |scrape| {
        scrape.value("redis_tls_verification_skipped", &[]) == Some(1.0)
            && verified(scrape) == Some(0.0)
            && scrape.has("redis_tls_connection_info", &[])
            && exporter::is_up(scrape, "secure")
    });
    assert!(then(&scrape));
    assert!(exporter.get("/").text().contains("verification is switched off"));
    scene.server.shutdown();
    let scrape = exporter.wait_for("the verdict is too old", BOUND, |scrape| {
        verified(scrape).is_none() && scrape.value("redis_up", &[]) == Some(0.0)
    });
    assert!(then(&scrape), "a date does not become wrong");
    assert!(errors(&scrape, "expired") > Some(0.0));
}

#[test]
fn the_kept_connection_tells_where_no_fresh_one_is_made() {
    let scene = Scene::start();
    let exporter = Exporter::start(&scene.over_tls("", "collectors: { connect: off }"));
    let shown = |scrape: &Scrape| {
        scrape.has(NOT_AFTER, &[("certificate", "leaf")])
            && scrape.value("redis_tls_verified", &[]) == Some(1.0)
            && scrape.has("redis_tls_connection_info", &[])
    };
    let pings = |scrape: &Scrape| scrape.sum("redis_pings_total", &[]);
    let before = exporter.wait_for("its handshake", BOUND, shown);
    // Longer than the values live: the connection is the same, and they are still about it.
    let after = exporter.wait_for("many pings", BOUND, |scrape| pings(scrape) > pings(&before) + 30.0);
    assert!(shown(&after), "{}", after.text);
    assert_eq!(after.value("redis_connects_total", &[]), Some(1.0));
    exporter.reload(&scene.over_tls("", "collectors: { connect: off, tls: off }"));
    exporter.wait_for("nothing of TLS", BOUND, |scrape| {
        let names = [
            NOT_AFTER,
            NOT_BEFORE,
            CONNECTIONS,
            "redis_tls_connection_info",
            "redis_tls_verified",
        ];
        let own = ["redis_tls_errors_total", "redis_tls_verification_skipped"];
        let is_shown = names.iter().chain(&own).any(|name| scrape.has(name, &[]));
        !is_shown && exporter::is_up(scrape, "secure")
    });
}

#[test]
fn clients_are_counted_by_user_and_name() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "app", "on", ">secret", "+@all"]);
    let mut clients = Vec::new();
    for number in 0..30 {
        let mut client = server.client();
        client.command(&["AUTH", "app", "secret"]);
        if number < 20 {
            client.command(&["CLIENT", "SETNAME", &format!("web-{}", number % 2)]);
        }
        clients.push(client);
    }
    let further = "sessions: []\ncollectors: { client_counts: on }";
    let text = config::fast(&[("redis", &server.address(), further)]);
    let exporter = Exporter::start(&text);
    let value = |scrape: &Scrape, name, label, of| scrape.value(name, &[(label, of)]);
    let scrape = exporter.wait_for("counts", BOUND, |scrape| {
        value(scrape, "redis_clients_by_user", "user", "app") == Some(30.0)
    });
    assert_eq!(value(&scrape, "redis_clients_by_name", "name", "web-0"), Some(10.0));
    assert_eq!(value(&scrape, "redis_clients_by_name", "name", "web-1"), Some(10.0));
    assert!(value(&scrape, "redis_clients_by_name", "name", "redis-session-exporter") >= Some(1.0));
    assert!(value(&scrape, "redis_clients_by_user", "user", "default") >= Some(1.0));
    let limited = format!("limits: {{ label_values: 1 }}\n{text}");
    exporter.reload(&limited);
    exporter.wait_for("the most frequent alone", BOUND, |scrape| {
        scrape.all("redis_clients_by_user", &[]).count() == 1
            && scrape.all("redis_clients_by_name", &[]).count() == 1
            && value(scrape, "redis_clients_by_user", "user", "app") == Some(30.0)
            && scrape.sum(
                "redis_session_exporter_series_dropped_total",
                &[("reason", "label_values")],
            ) > 0.0
    });
}
