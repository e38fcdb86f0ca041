//! redis_exporter and this exporter with identical arguments, environment and password file, side by side. What it prints is the proof of
//! the drop-in: `cargo test --test e2e drop_in_transcript -- --nocapture`.

use crate::migration::{PASSWORD, SEEN_BOUND, missing, ours, sessions, theirs};
use crate::support::http;
use crate::support::page::Container;
use crate::support::program;
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use std::process::Command;
use std::time::Duration;

/// The arguments, environment and file of one container.
struct Case {
    what: &'static str,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    /// Paths that are asked of both, without the metrics of what is listed in `targets`.
    targets: Vec<String>,
}

/// What the peer shows in every answer of `/scrape` and ours on `/metrics` alone, since it is about the exporter.
const ON_METRICS_ALONE: [&str; 1] = ["redis_target_scrape_request_errors_total"];

/// Flags that the peer at hand knows; older ones end at an unknown one.
fn known_to_the_peer() -> String {
    let help = Command::new(program("TEST_REDIS_EXPORTER", "prometheus-redis-exporter"))
        .arg("--help")
        .output()
        .unwrap();
    String::from_utf8_lossy(&help.stderr).into_owned()
}

fn cases(server: &RedisServer, other: &RedisServer, folder: &std::path::Path) -> Vec<Case> {
    let script = folder.join("script.lua");
    std::fs::write(&script, "return {'answer', '42'}").unwrap();
    let passwords = folder.join("passwords.json");
    let json = serde_json::json!({ server.address(): PASSWORD, other.address(): "" });
    std::fs::write(&passwords, json.to_string()).unwrap();
    let address = server.address();
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let login = || vec![("REDIS_ADDR", address.clone()), ("REDIS_PASSWORD", PASSWORD.to_owned())];
    let with = |more: &[(&'static str, &str)]| {
        let mut variables = login();
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        variables
    };
    vec![
        Case {
            what: "address and password by variables",
            arguments: Vec::new(),
            variables: login(),
            targets: Vec::new(),
        },
        Case {
            what: "address and password by flags, in Go's forms",
            arguments: strings(&[
                "-redis.addr",
                &address,
                "-redis.password",
                PASSWORD,
                "-connection-timeout=3s",
                "--debug=false",
                "-set-client-name",
                "-log-format",
                "txt",
            ]),
            variables: Vec::new(),
            targets: Vec::new(),
        },
        Case {
            what: "optional groups by flags",
            arguments: strings(&[
                "--include-system-metrics",
                "--include-config-metrics",
                "--include-modules-metrics",
                "--include-rdb-file-size-metric",
                "--export-client-list",
                "--export-client-port",
                "--check-keys=db0=user_*",
                "--check-single-keys=db0=user_count",
                "--count-keys=db0=sess:*",
                "--check-streams=db0=stream*",
                "--check-key-groups=^([^:]+):.*$",
                &format!("--script={}", script.display()),
            ]),
            variables: login(),
            targets: Vec::new(),
        },
        Case {
            what: "optional groups by variables",
            arguments: Vec::new(),
            variables: with(&[
                ("REDIS_EXPORTER_INCL_SYSTEM_METRICS", "true"),
                ("REDIS_EXPORTER_INCL_CONFIG_METRICS", "1"),
                ("REDIS_EXPORTER_EXPORT_CLIENT_LIST", "t"),
                ("REDIS_EXPORTER_CHECK_KEYS", "user_*"),
                ("REDIS_EXPORTER_CHECK_SINGLE_KEYS", "user_count"),
                ("REDIS_EXPORTER_COUNT_KEYS", "sess:*"),
                ("REDIS_EXPORTER_CHECK_SINGLE_STREAMS", "stream"),
                ("REDIS_EXPORTER_CHECK_KEY_GROUPS", "^([^:]+):.*$"),
                ("REDIS_EXPORTER_SCRIPT", &script.display().to_string()),
                ("REDIS_EXPORTER_REDIS_ONLY_METRICS", "true"),
            ]),
            targets: Vec::new(),
        },
        Case {
            what: "password file, one address",
            arguments: strings(&[
                "--redis.addr",
                &address,
                "--redis.password-file",
                &passwords.display().to_string(),
            ]),
            variables: Vec::new(),
            targets: Vec::new(),
        },
        Case {
            what: "password file, multi-target job",
            arguments: strings(&["--redis.addr="]),
            variables: vec![("REDIS_PASSWORD_FILE", passwords.display().to_string())],
            targets: vec![address.clone(), other.address()],
        },
    ]
}

fn names(scrape: &Scrape) -> usize {
    scrape.types.keys().filter(|name| name.starts_with("redis_")).count()
}

/// `redis_up` of the one server, or of this one where ours shows those of a password file as well.
fn up(scrape: &Scrape, instance: &str) -> String {
    let of_instance = scrape.value("redis_up", &[("instance", instance)]);
    of_instance
        .or_else(|| scrape.value("redis_up", &[]))
        .map_or_else(|| "absent".to_owned(), |value| value.to_string())
}

/// `/metrics`, or `/scrape` of a target as the job asks for it.
fn read(port: u16, target: Option<&str>) -> Scrape {
    let path = match target {
        None => "/metrics".to_owned(),
        Some(target) => format!("/scrape?target={target}"),
    };
    let answer = http::request(port, "GET", &path, &[]).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    Scrape::parse(&answer.text())
}

#[test]
fn identical_arguments_environment_and_password_file() {
    let (server, other) = (sessions(), RedisServer::start());
    server.command(&["XADD", "stream", "*", "a", "b"]);
    server.command(&["SAVE"]);
    let folder = tempfile::tempdir().unwrap();
    let known = known_to_the_peer();
    let mut problems = Vec::new();
    let instance = format!("127.0.0.1:{}", server.port);
    let version = Command::new(program("TEST_REDIS_EXPORTER", "prometheus-redis-exporter"))
        .arg("--version")
        .output()
        .unwrap();
    let version = String::from_utf8_lossy(&[version.stdout, version.stderr].concat()).into_owned();
    let version = version
        .split("Exporter ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    println!(
        "redis_exporter {} on Redis {}",
        version.unwrap_or("?"),
        server.info("redis_version").unwrap()
    );
    for case in cases(&server, &other, folder.path()) {
        let is_known = |argument: &String| {
            let name = argument.trim_start_matches('-').split('=').next().unwrap_or_default();
            !argument.starts_with("--") || known.contains(&format!("  -{name}"))
        };
        let (given, unknown): (Vec<String>, Vec<String>) = case.arguments.iter().cloned().partition(is_known);
        let container = Container {
            image: "redis-session-exporter:latest".to_owned(),
            arguments: given.clone(),
            variables: case
                .variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        };
        println!("\n== {}", case.what);
        for (name, value) in &container.variables {
            println!("   {name}={value}");
        }
        println!("   {}", given.join(" "));
        if !unknown.is_empty() {
            println!(
                "   left out, this redis_exporter does not know them: {}",
                unknown.join(" ")
            );
        }
        let (peer, exporter) = (theirs(&container), ours(&container));
        let asked: Vec<Option<&str>> = match case.targets.as_slice() {
            [] => vec![None],
            targets => targets.iter().map(|target| Some(target.as_str())).collect(),
        };
        for target in asked {
            if target.is_some() {
                let ready = wait_until(Duration::from_secs(10), || {
                    (exporter.get("/-/ready").status == 200).then_some(())
                });
                assert!(ready.is_some(), "{}", exporter.log());
            }
            let theirs = read(peer.port, target);
            let mut own = Scrape::default();
            let lacking = |own: &Scrape| {
                let mut names = missing(&theirs, own);
                names.retain(|name| target.is_none() || !ON_METRICS_ALONE.contains(&name.as_str()));
                names
            };
            let complete = wait_until(SEEN_BOUND, || {
                own = read(exporter.port, target);
                (lacking(&own).is_empty() && up(&own, &instance) == up(&theirs, &instance)).then_some(())
            });
            let lacking = lacking(&own);
            println!(
                "   {:<44} redis_exporter: redis_up {}, {} redis_* metrics | here: redis_up {}, {} redis_* metrics, {} of the peer's missing",
                target.map_or("/metrics".to_owned(), |target| format!("/scrape?target={target}")),
                up(&theirs, &instance),
                names(&theirs),
                up(&own, &instance),
                names(&own),
                lacking.len()
            );
            if complete.is_none() || up(&theirs, &instance) != "1" {
                problems.push(format!("{} {target:?}: {lacking:?}\n{}", case.what, exporter.log()));
            }
        }
        for path in ["/", "/health", "/metrics"] {
            let status = |port: u16| http::request(port, "GET", path, &[]).unwrap().status;
            let (there, here) = (status(peer.port), status(exporter.port));
            println!("   {path:<44} redis_exporter: {there} | here: {here}");
            if there != here {
                problems.push(format!("{}: {path} is {there} there and {here} here", case.what));
            }
        }
        for line in exporter
            .log()
            .lines()
            .filter(|line| line.contains("What was given for"))
        {
            let (_, said) = line.split_once("message=").unwrap_or(("", line));
            println!("   log: {said}");
        }
    }
    println!("\nexcepted, with the reason in tests/e2e/peer_exceptions.txt:");
    for exception in crate::exceptions::read("peer_exceptions.txt") {
        if exception.what == "missing" {
            println!("   {}", exception.name);
        }
    }
    println!(
        "   {} in answers of /scrape, where ours is on /metrics",
        ON_METRICS_ALONE.join(" ")
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
