//! Commands, exit codes, signals, and what must never be shown.

use crate::bench::BACK_BOUND;
use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::peer::{ScriptedPeer, Welcome};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{SLACK, free_port, wait_until};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The contract: a clean stop takes no longer.
const STOP_BOUND: Duration = Duration::from_secs(5);

#[test]
fn sigterm_ends_cleanly_whatever_is_under_way() {
    for signal in ["TERM", "INT"] {
        let hung = ScriptedPeer::start();
        hung.welcome(Welcome::Silence);
        let server = RedisServer::start();
        server.command(&["DEBUG", "POPULATE", "20000", "sess", "10"]);
        // A scan of tiny share is under way, a PING hangs in a long time-out, requests are half sent.
        let further = "sessions:\n  - { store: web, match: [\"sess:*\"] }\nscan: { redis_share: 0.001 }";
        let hanging = "poll: { timeout: 30s }";
        let mut exporter = Exporter::start(&config::fast(&[
            ("redis", &server.address(), further),
            ("hung", &hung.address(), hanging),
        ]));
        exporter.wait_until_up(&["redis"]);
        let mut half_sent = TcpStream::connect(("127.0.0.1", exporter.port)).unwrap();
        half_sent.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").unwrap();
        let mut unread = TcpStream::connect(("127.0.0.1", exporter.port)).unwrap();
        unread.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let asked = Instant::now();
        exporter.process.signal(signal);
        let status = exporter
            .process
            .wait(STOP_BOUND + SLACK)
            .unwrap_or_else(|| panic!("SIG{signal} does not end it: {}", exporter.log()));
        assert_eq!(status.code(), Some(0), "{}", exporter.log());
        println!("SIG{signal}: ended after {:?}", asked.elapsed());
    }
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["--log.level", "loudest"],
        &["--log.format", "xml"],
        &["--web.listen-address", "nonsense"],
        &["serve", "extra"],
    ] {
        let ended = exporter::run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.output);
        assert!(!ended.output.is_empty(), "{arguments:?} says what is wrong");
    }
    // Beside an explicit file an address is wrong usage.
    let ended = exporter::run_with(
        &["--redis.addr", "redis://127.0.0.1:1"],
        &[],
        Some(&config::fast(&[("a", "127.0.0.1:1", "")])),
    );
    assert_eq!(ended.code, 2, "{}", ended.output);
}

#[test]
fn invalid_configuration_is_78_and_names_every_place() {
    let broken = "environment: test
pol: { ping_interval: 5s }
instances:
  - name: twice
    address: redis://127.0.0.1:6379
    password: the-secret-password
    usrname: somebody
  - name: twice
    address: ftp://127.0.0.1:6379
poll: { info_interval: soon }
";
    for arguments in [&["--config.check"][..], &["serve"], &[], &["once"], &["check"]] {
        let ended = exporter::run_with(arguments, &[], Some(broken));
        assert_eq!(ended.code, 78, "{arguments:?}: {}", ended.output);
        for wanted in [
            "pol",
            "usrname",
            "instances[1].name",
            "instances[1].address",
            "info_interval",
        ] {
            assert!(
                ended.output.contains(wanted),
                "{arguments:?} misses {wanted}: {}",
                ended.output
            );
        }
        // Line and column of the misspelt key of an instance.
        assert!(ended.output.contains("7:5"), "{}", ended.output);
        // A heading, and then every problem alike on a line of its own, so that editors and people find the place.
        let mut lines = ended.output.lines();
        assert_eq!(
            lines.next(),
            Some("redis-session-exporter: the configuration is invalid:")
        );
        assert!(lines.all(|line| line.contains("exporter.yaml:")), "{}", ended.output);
        assert!(!ended.output.contains("redis-session-exporter: /"), "{}", ended.output);
        assert!(!ended.output.contains("the-secret-password"), "{}", ended.output);
    }
    let ended = exporter::run(&["--config.file", "/nowhere/exporter.yaml", "--config.check"]);
    assert_eq!(ended.code, 78, "{}", ended.output);
    assert!(ended.output.contains("/nowhere/exporter.yaml"), "{}", ended.output);
}

#[test]
fn config_check_of_a_good_file_is_0_and_connects_nowhere() {
    let peer = ScriptedPeer::start();
    let ended = exporter::run_with(
        &["--config.check"],
        &[],
        Some(&config::fast(&[("a", &peer.address(), "")])),
    );
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert_eq!(peer.accepted(), 0);
}

#[test]
fn listening_where_somebody_listens_is_1() {
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    let ended = exporter::run_with(
        &["--web.listen-address", &address],
        &[],
        Some(&config::fast(&[("a", "127.0.0.1:1", "")])),
    );
    assert_eq!(ended.code, 1, "{}", ended.output);
    assert!(
        ended.output.contains(&address),
        "the message names the address: {}",
        ended.output
    );
}

#[test]
fn the_log_says_once_per_instance_that_no_session_store_is_configured() {
    const SENTENCE: &str = "no session store is configured";
    let server = RedisServer::start();
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"] }";
    let with = |name, further| config::fast(&[("named", &server.address(), store), (name, &server.address(), further)]);
    let exporter = Exporter::start(&with("other", "sessions: []"));
    exporter.wait_until_up(&["named", "other"]);
    let told = |instance: &str| {
        let log = exporter.log();
        let lines = log.lines().filter(|line| line.contains(SENTENCE));
        lines
            .filter(|line| line.ends_with(&format!("instance={instance}")))
            .count()
    };
    let told_after = |instance: &str, count| {
        let seen = wait_until(BACK_BOUND + SLACK, || (told(instance) == count).then_some(()));
        assert!(seen.is_some(), "{instance}: {}", exporter.log());
    };
    told_after("other", 1);
    assert_eq!(told("named"), 0, "{}", exporter.log());
    exporter.reload(&config::fast(&[
        ("named", &server.address(), "sessions: []"),
        ("other", &server.address(), "sessions: []\nlabels: { team: auth }"),
    ]));
    let changed = wait_until(BACK_BOUND + SLACK, || {
        let changes = exporter.log().matches("s configuration changed").count();
        (changes == 2).then_some(())
    });
    assert!(changed.is_some(), "{}", exporter.log());
    told_after("named", 1);
    assert_eq!(
        told("other"),
        1,
        "what stays as it was is not told again: {}",
        exporter.log()
    );
}

#[test]
fn version_and_help() {
    let ended = exporter::run(&["--version"]);
    assert_eq!(ended.code, 0);
    assert!(ended.output.contains(env!("CARGO_PKG_VERSION")), "{}", ended.output);
    let ended = exporter::run(&["--help"]);
    assert_eq!(ended.code, 0);
    for flag in [
        "--config.file",
        "--config.check",
        "--web.listen-address",
        "--web.telemetry-path",
        "--log.level",
        "--redis.addr",
    ] {
        assert!(ended.output.contains(flag), "{flag}");
    }
}

#[test]
fn once_prints_the_exposition() {
    let server = RedisServer::start();
    server.command(&["SET", "sess:1", "x"]);
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"] }";
    for flags in [&["once"][..], &["once", "--unpaced"]] {
        let ended = exporter::run_with(flags, &[], Some(&config::fast(&[("redis", &server.address(), store)])));
        assert_eq!(ended.code, 0, "{}", ended.output);
        // Log lines go to standard error, which is in the output here as well.
        let lines: Vec<&str> = ended
            .output
            .lines()
            .filter(|line| line.starts_with('#') || line.contains("instance=\""))
            .collect();
        let exposition: String = lines
            .iter()
            .filter(|line| !line.contains("level="))
            .map(|line| format!("{line}\n"))
            .collect();
        let scrape = Scrape::parse(&exposition);
        assert_eq!(scrape.value("redis_up", &[("instance", "redis")]), Some(1.0));
        assert_eq!(scrape.value("sessions_active", &[("instance", "redis")]), Some(1.0));
        assert!(scrape.has("redis_memory_used_bytes", &[]));
    }
    let ended = exporter::run_with(
        &["once"],
        &[],
        Some(&config::fast(&[
            ("redis", &server.address(), store),
            ("dead", &format!("redis://127.0.0.1:{}", free_port()), ""),
        ])),
    );
    assert_eq!(ended.code, 1, "{}", ended.output);
    assert!(
        ended.output.contains("redis_up{"),
        "what could be polled is printed all the same"
    );
}

#[test]
fn check_tells_what_it_sees() {
    let server = RedisServer::start();
    let version = server.info("redis_version").unwrap();
    let ended = exporter::run_with(
        &["check"],
        &[],
        Some(&config::fast(&[("redis", &server.address(), "")])),
    );
    assert_eq!(ended.code, 0, "{}", ended.output);
    let version = server.info("valkey_version").unwrap_or(version);
    assert!(
        ended.output.contains(&version),
        "the server's version: {}",
        ended.output
    );
    assert!(
        ended.output.contains("slowlog") && ended.output.contains("notifications"),
        "{}",
        ended.output
    );
    let dead = format!("redis://127.0.0.1:{}", free_port());
    let ended = exporter::run_with(
        &["check"],
        &[],
        Some(&config::fast(&[("redis", &server.address(), ""), ("dead", &dead, "")])),
    );
    assert_eq!(ended.code, 1, "{}", ended.output);
    assert!(ended.output.contains("refused"), "{}", ended.output);
}

#[test]
fn check_names_the_features_that_are_missing_and_what_they_need() {
    let server = RedisServer::start_with(&["--notify-keyspace-events", "Egxen", "--maxmemory", "100mb"]);
    server.command(&["SET", "sess:1", "enc:x", "EX", "1000"]);
    let missing = |further: &str| -> Vec<String> {
        let text = config::fast(&[("redis", &server.address(), further)]);
        let ended = exporter::run_with(&["check"], &[], Some(&text));
        assert_eq!(ended.code, 0, "{}", ended.output);
        let lines = ended
            .output
            .lines()
            .filter_map(|line| line.trim().strip_prefix("not available "));
        lines
            .map(|line| {
                let (name, needs) = line.trim().split_once(": ").unwrap();
                assert!(!needs.is_empty());
                name.to_owned()
            })
            .collect()
    };
    let bare = "sessions:\n  - { store: web, match: [\"sess:*\"] }\noperations: \"off\"";
    assert_eq!(
        missing(bare),
        [
            "application_metrics",
            "capacity",
            "encryption",
            "expectations",
            "expected_ttl",
            "operations",
            "session_probe",
            "tls",
        ]
    );
    let full = "sessions:\n  - { store: web, match: [\"sess:*\"], capacity: 5, expected_ttl: 1h, encryption: { expect_prefix: \"enc:\" } }\n\
                expect: { maxmemory_policy: noeviction }\n\
                session_probe: { enabled: true }\n\
                application_metrics:\n  - { name: jobs_waiting, type: gauge, help: \"Jobs\", key: \"jobs\" }";
    server.command(&["SET", "jobs", "3"]);
    // One key of two is no session: `operations: auto` takes the commands for something else.
    assert_eq!(missing(full), ["operations", "tls"]);
    server.command(&["CONFIG", "SET", "notify-keyspace-events", "Ex"]);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(missing(full), ["events", "memory_limit", "operations", "tls"]);
    assert!(missing("sessions: []").starts_with(&["application_metrics", "capacity"].map(str::to_owned)));
    assert!(missing("collectors: { tls: off }").contains(&"client_list".to_owned()));
    let text = config::fast(&[("redis", &server.address(), "sessions: []")]);
    let ended = exporter::run_with(&["check"], &[], Some(&text));
    for line in [
        "sessions: name a store under",
        "events: name a store under `sessions`, switch on keyspace notifications",
        "session_details: name a store under `sessions`",
        "tls: speak TLS to the server",
    ] {
        assert!(ended.output.contains(line), "{line}: {}", ended.output);
    }
}

#[test]
fn healthcheck_asks_the_local_daemon() {
    let server = RedisServer::start();
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), "")]));
    let ended = exporter::run(&[
        "healthcheck",
        &format!("--web.listen-address=127.0.0.1:{}", exporter.port),
    ]);
    assert_eq!(ended.code, 0, "{}", ended.output);
    let ended = exporter::run(&[
        "healthcheck",
        &format!("--web.listen-address=127.0.0.1:{}", free_port()),
    ]);
    assert_eq!(ended.code, 1, "{}", ended.output);
}

#[test]
fn catalogue_lists_everything_that_is_served() {
    let server = RedisServer::start();
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"], capacity: 5, expected_ttl: 1h }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), store)]));
    exporter.wait_until_up(&["redis"]);
    let scrape = exporter.wait_for("sessions", BACK_BOUND, |scrape| scrape.has("sessions_active", &[]));
    let catalogue = exporter::run(&["catalogue"]);
    assert_eq!(catalogue.code, 0);
    for name in scrape.types.keys() {
        assert!(
            catalogue.output.contains(name.as_str()),
            "{name} is served and not in the catalogue"
        );
    }
}

#[test]
fn configuration_by_variables_and_flags() {
    let server = RedisServer::start_with(&["--requirepass", "open sesame"]);
    let address = server.address();
    let file = server.path("password");
    std::fs::write(&file, "open sesame\n").unwrap();
    let host_and_port = format!("127.0.0.1:{}", server.port);
    let inline = config::fast(&[("inline", &address, "password: open sesame")]);
    let file_text = file.to_string_lossy().into_owned();
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case; 5] = [
        (
            &["once", "--redis.addr", &address, "--redis.password-file", &file_text],
            &[],
            &host_and_port,
        ),
        (
            &["once"],
            &[("REDIS_ADDR", &address), ("REDIS_PASSWORD", "open sesame")],
            &host_and_port,
        ),
        (
            &["once"],
            &[("REDIS_URL", &address), ("REDIS_PASSWORD", "open sesame")],
            &host_and_port,
        ),
        (
            &["once"],
            &[("REDIS_ADDR", &host_and_port), ("REDIS_PASSWORD_FILE", &file_text)],
            &host_and_port,
        ),
        (&["once"], &[("REDIS_SESSION_EXPORTER_CONFIG", &inline)], "inline"),
    ];
    for (arguments, variables, instance) in cases {
        let ended = exporter::run_with(arguments, variables, None);
        assert_eq!(ended.code, 0, "{arguments:?} {variables:?}: {}", ended.output);
        assert!(
            ended.output.contains(&format!("instance=\"{instance}\"")),
            "{arguments:?}: {}",
            ended.output
        );
        assert!(!ended.output.contains("open sesame"));
    }
}

#[test]
fn secrets_are_shown_nowhere() {
    let server = RedisServer::start();
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "on",
        ">Inline-S3cret",
        ">File-S3cret",
        ">Url-S3cret",
        "~*",
        "&*",
        "+@all",
        "-slowlog",
    ]);
    let file = server.path("password");
    std::fs::write(&file, "File-S3cret\n").unwrap();
    let inline = "username: monitor\npassword: Inline-S3cret".to_owned();
    let by_file = format!("username: monitor\npassword_file: {}", file.display());
    let in_url = format!("redis://monitor:Url-S3cret@127.0.0.1:{}", server.port);
    let dead = format!("redis://monitor:Dead-S3cret@127.0.0.1:{}", free_port());
    let text = config::fast(&[
        ("inline", &server.address(), &inline),
        ("file", &server.address(), &by_file),
        ("url", &in_url, ""),
        ("wrong", &server.address(), "username: monitor\npassword: Wrong-S3cret"),
        ("dead", &dead, ""),
    ]);
    for format in ["logfmt", "json"] {
        let exporter = Exporter::start_with(
            &text,
            &[
                "--log.level=debug",
                &format!("--log.format={format}"),
                "--web.enable-lifecycle",
            ],
        );
        exporter.wait_until_up(&["inline", "file", "url"]);
        exporter.wait_for("the others have failed", BACK_BOUND, |scrape| {
            scrape.value("redis_up", &[("instance", "wrong")]) == Some(0.0)
                && scrape.value("redis_up", &[("instance", "dead")]) == Some(0.0)
        });
        exporter.request("POST", "/-/reload", &[]);
        // A broken file whose message could echo the value beside the mistake.
        exporter.reload(&format!(
            "{text}    password: Second-S3cret\n    password: Third-S3cret\n"
        ));
        exporter.wait_for("the reload failed", BACK_BOUND, |scrape| {
            scrape.value("redis_session_exporter_config_last_reload_successful", &[]) == Some(0.0)
        });
        let mut shown = String::new();
        for path in [
            "/",
            "/config",
            "/metrics",
            "/sd",
            "/health/redis?detailed=true",
            "/health/redis/wrong?detailed=true",
            "/probe?target=url",
            "/api/health/redis?detailed=true",
            "/health",
            "/-/ready",
            "/nothing",
        ] {
            let response = exporter.get(path);
            shown.push_str(&response.text());
        }
        for instance in ["inline", "file", "url", "wrong", "dead"] {
            shown.push_str(&exporter.get(&format!("/health/redis/{instance}?detailed=true")).text());
        }
        shown.push_str(&exporter.log());
        assert!(
            !shown.contains("S3cret"),
            "{:?}",
            shown.lines().filter(|line| line.contains("S3cret")).collect::<Vec<_>>()
        );
        assert!(exporter.get("/config").text().contains("<secret>"));
        if format == "json" {
            for line in exporter.log().lines() {
                assert!(
                    serde_json::from_str::<serde_json::Value>(line).is_ok(),
                    "not JSON: {line}"
                );
            }
        }
    }
    for arguments in [&["check"][..], &["once"], &["--config.check"]] {
        let ended = exporter::run_with(arguments, &[("REDIS_SESSION_EXPORTER_LOG_LEVEL", "debug")], Some(&text));
        assert!(!ended.output.contains("S3cret"), "{arguments:?}: {}", ended.output);
    }
}
