//! The command line, the variables and the password file of `redis_exporter`, unchanged, on our binary.

use crate::bench::BACK_BOUND;
use crate::support::SLACK;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use std::time::Duration;

/// How the line of what has no say begins.
const NO_SAY: &str = "What was given for redis_exporter and has no say here";

/// Longest time until a failure shows with the default intervals: one `ping_interval` and one `timeout`.
const SHOWN_BOUND: Duration = Duration::from_secs(8);

fn name(server: &RedisServer) -> String {
    format!("127.0.0.1:{}", server.port)
}

fn lines_with(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn arguments_and_environment_of_a_container_work_unchanged() {
    let server = RedisServer::start_with(&["--requirepass", "the-secret-password"]);
    server.command(&["SET", "user_count", "12"]);
    let exporter = Exporter::start_bare(
        &[
            "-include-system-metrics",
            "--is-tile38=false",
            "-connection-timeout",
            "2s",
            "--redis-only-metrics=false",
            "-namespace",
            "other",
            "--ping-on-connect",
        ],
        &[
            ("REDIS_ADDR", &server.address()),
            ("REDIS_PASSWORD", "the-secret-password"),
            ("REDIS_EXPORTER_CHECK_KEYS", "db0=user_*"),
            ("REDIS_EXPORTER_COUNT_KEYS", "user_*"),
            ("REDIS_EXPORTER_INCL_CONFIG_METRICS", "true"),
            ("REDIS_EXPORTER_EXPORT_CLIENT_LIST", "t"),
            ("REDIS_EXPORTER_DEBUG", "false"),
            ("REDIS_EXPORTER_CHECK_KEYS_BATCH_SIZE", "many"),
        ],
    );
    exporter.wait_until_up(&[&name(&server)]);
    let log = exporter.log();
    assert_eq!(lines_with(&log, NO_SAY), 1, "{log}");
    let line = log.lines().find(|line| line.contains(NO_SAY)).unwrap();
    for given in [
        "--namespace",
        "--ping-on-connect",
        "REDIS_EXPORTER_CHECK_KEYS_BATCH_SIZE",
    ] {
        assert!(line.contains(&format!("{given} (")), "{line}");
    }
    assert!(line.contains("level=warn"), "{line}");
    assert!(!log.contains("the-secret-password"), "{log}");
    let config = exporter.get("/config").text();
    assert!(config.contains("timeout: 2s"), "{config}");
    assert!(!config.contains("the-secret-password"), "{config}");
}

#[test]
fn flags_of_the_web_server_are_those_of_the_peer() {
    let exporter = Exporter::start_bare(
        &["-redis.addr=", "-web.telemetry-path", "/other", "-log-format=json"],
        &[("REDIS_EXPORTER_LOG_LEVEL", "DEBUG")],
    );
    assert_eq!(exporter.get("/other").status, 200);
    assert_eq!(exporter.get("/metrics").status, 404);
    let log = exporter.log();
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
}

#[test]
fn without_any_server_the_exporter_shows_itself() {
    let exporter = Exporter::start_bare(&["--redis.addr="], &[]);
    let scrape = exporter.scrape();
    assert!(
        scrape.has("redis_session_exporter_build_info", &[]),
        "{}",
        scrape.about("")
    );
    assert!(!scrape.has("redis_up", &[]));
    assert_eq!(exporter.get("/-/ready").status, 200);
    assert_eq!(exporter.get("/").status, 200);
    assert_eq!(exporter.get("/scrape?target=127.0.0.1:1").status, 404);
    let log = exporter.log();
    assert_eq!(lines_with(&log, "No server is watched"), 1, "{log}");
}

/// The multi-target job: an empty address, and a map with the targets. Passwords are changed while it runs.
#[test]
fn the_password_file_names_the_targets_and_is_read_again() {
    let first = RedisServer::start_with(&["--requirepass", "first-secret"]);
    let second = RedisServer::start();
    second.command(&["ACL", "SETUSER", "default", "off"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords.json");
    let third = RedisServer::start();
    third.command(&["ACL", "SETUSER", "monitor", "on", ">second-secret", "~*", "&*", "+@all"]);
    let write = |first_password: &str| {
        let content = serde_json::json!({
            format!("redis://127.0.0.1:{}", first.port): first_password,
            format!("redis://monitor@127.0.0.1:{}", third.port): "second-secret",
            format!("redis://127.0.0.1:{}", second.port): "wrong-secret",
        });
        std::fs::write(&file, content.to_string()).unwrap();
    };
    write("first-secret");
    let path = file.display().to_string();
    let exporter = Exporter::start_bare(&["--redis.addr=", "--redis.password-file", &path], &[]).with_instances();
    exporter.wait_until_up(&[&name(&first), &name(&third)]);
    let closed = name(&second);
    let scrape = exporter.wait_for_instance(&closed, "a verdict", SHOWN_BOUND + SLACK, |scrape| {
        scrape.has("redis_connection_status", &[("instance", &closed)])
    });
    assert_eq!(
        scrape.value("redis_connection_status", &[("instance", &closed)]),
        Some(0.0)
    );
    for target in [first.address(), format!("127.0.0.1:{}", third.port)] {
        let answer = exporter.get(&format!("/scrape?target={target}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("redis_up 1"), "{}", answer.text());
    }
    let log = exporter.log();
    assert_eq!(
        lines_with(&log, "3 instances come from the addresses in the file"),
        1,
        "{log}"
    );

    let mut client = first.client();
    client.command(&["CONFIG", "SET", "requirepass", "changed-secret"]);
    client.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let instance = name(&first);
    let status = [("instance", instance.as_str())];
    exporter.wait_for_instance(&instance, "the old password fails", SHOWN_BOUND + SLACK, |scrape| {
        scrape.value("redis_connection_status", &status) == Some(0.0)
    });
    write("changed-secret");
    exporter.wait_for_instance(
        &instance,
        "the new password works",
        SHOWN_BOUND + BACK_BOUND,
        |scrape| scrape.value("redis_connection_status", &status) == Some(1.0),
    );
    // Half a file, as a rotation may leave it for a moment, is no password.
    client.command(&["ACL", "LOG", "RESET"]);
    std::fs::write(&file, "{\"redis://127").unwrap();
    client.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    exporter.wait_for_instance(&instance, "the broken file fails", SHOWN_BOUND + SLACK, |scrape| {
        scrape.value("redis_connection_status", &status) == Some(0.0)
    });
    let tried = format!("{:?}", client.command(&["ACL", "LOG"]));
    assert!(!tried.contains("auth"), "something was sent: {tried}");
    write("changed-secret");
    exporter.wait_for_instance(&instance, "it is mended", SHOWN_BOUND + BACK_BOUND, |scrape| {
        scrape.value("redis_connection_status", &status) == Some(1.0)
    });
    assert!(!exporter.log().contains("-secret"), "{}", exporter.log());
}

#[test]
fn new_addresses_of_the_password_file_come_with_a_reload() {
    let first = RedisServer::start();
    let second = RedisServer::start_with(&["--requirepass", "p"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords.json");
    std::fs::write(&file, "{}").unwrap();
    let path = file.display().to_string();
    let exporter = Exporter::start_bare(&["--redis.password-file", &path], &[("REDIS_ADDR", &first.address())]);
    exporter.wait_until_up(&[&name(&first)]);
    std::fs::write(&file, format!("{{\"{}\": \"p\"}}", second.address())).unwrap();
    exporter.process.signal("HUP");
    exporter.wait_until_up(&[&name(&first), &name(&second)]);
}

#[test]
fn check_prints_a_file_that_says_the_same() {
    let server = RedisServer::start_with(&["--requirepass", "the-secret-password"]);
    let arguments = [
        "--connection-timeout=2s",
        "--config-command=-",
        "--web.telemetry-path=/m",
    ];
    let variables = [
        ("REDIS_ADDR", server.address()),
        ("REDIS_PASSWORD", "the-secret-password".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for command in ["check", "--config.check"] {
        let ended = exporter::run_with(&[arguments.as_slice(), &[command]].concat(), &variables, None);
        assert_eq!(ended.code, 0, "{}", ended.output);
        let (_, file) = ended.output.split_once("# exporter.yaml").expect("the file is printed");
        assert!(
            file.contains("# Still needed beside it: --web.telemetry-path."),
            "{file}"
        );
        assert!(!ended.output.contains("the-secret-password"), "{}", ended.output);
        // It is what a person would paste: the comment and the YAML, until the next line of the log.
        let file: String = file
            .lines()
            .skip(1)
            .take_while(|line| !line.contains("level="))
            .map(|line| format!("{line}\n"))
            .collect();
        for wanted in ["timeout: 2s", "config_command: '-'", "password: ${REDIS_PASSWORD}"] {
            assert!(file.contains(wanted), "{file}");
        }
        let password = [("REDIS_PASSWORD", "the-secret-password")];
        let pasted = exporter::run_with(&["check"], &password, Some(&file));
        assert_eq!(pasted.code, 0, "{}\n{file}", pasted.output);
        assert!(
            !pasted.output.contains("# exporter.yaml"),
            "a file needs no other: {}",
            pasted.output
        );
    }
}

#[test]
fn wrong_usage_names_the_flag_and_never_the_value() {
    for (arguments, part) in [
        (&["--check-keys=db0=hunter2=x"][..], "--check-keys has an item"),
        (&["-is-cluster=hunter2"], "--is-cluster must be true or false"),
        (
            &["--check-keys-batch-size=hunter2"],
            "--check-keys-batch-size must be a whole number",
        ),
        (
            &["--tls-server-cert-file=/hunter2"],
            "--tls-server-cert-file asks for HTTPS",
        ),
        (
            &["--basic-auth-password=hunter2"],
            "--basic-auth-password is a password without a user",
        ),
        (
            &["--connection-timeout", "hunter2"],
            "--connection-timeout is no duration",
        ),
    ] {
        let ended = exporter::run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.output);
        assert!(ended.output.contains(part), "{arguments:?}: {}", ended.output);
        assert!(!ended.output.contains("hunter2"), "{}", ended.output);
    }
    let ended = exporter::run_with(&[], &[("REDIS_EXPORTER_TLS_SERVER_KEY_FILE", "/k")], None);
    assert_eq!(ended.code, 2, "{}", ended.output);
    let broken = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(broken.path(), "{\"redis://h\":\n\"hunter2\",}").unwrap();
    let ended = exporter::run(&[
        "--redis.password-file",
        &broken.path().display().to_string(),
        "--config.check",
    ]);
    assert_eq!(ended.code, 78, "{}", ended.output);
    assert!(ended.output.contains("is broken at line 2"), "{}", ended.output);
    assert!(!ended.output.contains("hunter2"), "{}", ended.output);
}

#[test]
fn help_lists_every_flag_of_the_peer() {
    let long = exporter::run(&["-help"]).output;
    let short = exporter::run(&["-h"]).output;
    for flag in [
        "--check-keys\n",
        "--is-cluster\n",
        "--append-instance-role-label\n",
        "--basic-auth-hash-password\n",
    ] {
        assert!(long.contains(flag), "{flag}: {long}");
        assert!(!short.contains(flag), "{flag}: {short}");
    }
    assert!(short.contains("--help lists them"), "{short}");
}

#[test]
fn who_may_ask_and_what_is_served_is_as_the_flags_say() {
    let server = RedisServer::start();
    let exporter = Exporter::start_bare(
        &["-disable-scrape-endpoint", "--redis-only-metrics"],
        &[
            ("REDIS_ADDR", &server.address()),
            ("REDIS_EXPORTER_BASIC_AUTH_USERNAME", "prometheus"),
            ("REDIS_EXPORTER_BASIC_AUTH_PASSWORD", "the-secret-password"),
        ],
    );
    assert_eq!(exporter.get("/metrics").status, 401);
    // `prometheus:the-secret-password` in Base64 (RFC 7617).
    let known = ("Authorization", "Basic cHJvbWV0aGV1czp0aGUtc2VjcmV0LXBhc3N3b3Jk");
    let metrics = exporter.request("GET", "/metrics", &[known]);
    assert_eq!(metrics.status, 200);
    assert!(!metrics.text().contains("\nprocess_"), "{}", metrics.text());
    let target = format!("/scrape?target={}", server.address());
    assert_eq!(exporter.request("GET", &target, &[known]).status, 404);
    assert!(!exporter.log().contains("the-secret-password"), "{}", exporter.log());
}
