//! docs/migration.md, step by step: what it tells people to run is read out of the page and run, on redis_exporter and on ours.

use crate::exceptions;
use crate::side_by_side::Peer;
use crate::support::exporter::{self, Exporter};
use crate::support::page::{self, Container, Page};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use std::collections::BTreeSet;
use std::time::Duration;

/// The password on the page.
pub(crate) const PASSWORD: &str = "change-me";

/// A first pass over the keys follows the first poll; the machine may be busy.
pub(crate) const SEEN_BOUND: Duration = Duration::from_secs(30);

/// A server as the page speaks of it: a password, a counter and sessions.
pub(crate) fn sessions() -> RedisServer {
    let server = RedisServer::start_with(&["--requirepass", PASSWORD]);
    server.command(&["SET", "user_count", "12"]);
    for number in 0..30 {
        server.command(&["SET", &format!("sess:{number}"), "x", "EX", "86400"]);
    }
    server
}

fn borrowed(container: &Container) -> (Vec<&str>, Vec<(&str, &str)>) {
    let variables = container.variables.iter();
    (
        container.arguments.iter().map(String::as_str).collect(),
        variables.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
    )
}

/// Our binary as this container.
pub(crate) fn ours(container: &Container) -> Exporter {
    assert!(container.image.contains("redis-session-exporter:"), "{container:?}");
    let (arguments, variables) = borrowed(container);
    Exporter::start_bare(&arguments, &variables)
}

/// redis_exporter with the same arguments and environment.
pub(crate) fn theirs(container: &Container) -> Peer {
    let (arguments, variables) = borrowed(container);
    Peer::start_bare(&arguments, &variables)
}

/// Metrics of the peer that ours lacks, without those that docs/migration.md lists as absent.
pub(crate) fn missing(peer: &Scrape, own: &Scrape) -> Vec<String> {
    let list = exceptions::read("peer_exceptions.txt");
    let excepted = |name: &str| list.iter().any(|it| it.what == "missing" && it.is_about(name));
    let names = peer.types.keys();
    let names = names.filter(|name| !own.types.contains_key(*name) && !excepted(name));
    names.cloned().collect()
}

/// Starts both, and waits until ours shows everything that the peer does, but for what the page says of these flags.
fn swapped(container: &Container, but_for: &[&str]) -> (Scrape, Scrape, Exporter) {
    let (peer, exporter) = (theirs(container), ours(container));
    let before = peer.scrape();
    assert_eq!(before.value("redis_up", &[]), Some(1.0), "{container:?}");
    assert!(before.types.len() > 100, "{container:?}");
    let (mut after, mut lacking) = (Scrape::default(), Vec::new());
    let complete = wait_until(SEEN_BOUND, || {
        after = exporter.scrape();
        lacking = missing(&before, &after);
        lacking.retain(|name| !but_for.contains(&name.as_str()));
        lacking.is_empty().then_some(())
    });
    assert!(complete.is_some(), "{container:?}: {lacking:?}\n{}", exporter.log());
    assert_eq!(after.value("redis_up", &[]), Some(1.0));
    (before, after, exporter)
}

/// Values that stand still are the same on both sides.
fn assert_equal(before: &Scrape, after: &Scrape, names: &[&str]) {
    for name in names {
        assert!(before.has(name, &[]), "{name} is not asked for");
        for sample in before.all(name, &[]) {
            let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(after.value(name, &labels), Some(sample.value), "{name} {labels:?}");
        }
    }
}

#[test]
fn the_image_is_swapped_and_nothing_else() {
    let server = sessions();
    let place = format!("127.0.0.1:{}", server.port);
    let replaced = [("sessions:6379", place.as_str())];
    let page = Page::read();

    let container = page.docker_run("docker-run", &replaced);
    let (before, after, exporter) = swapped(&container, &[]);
    assert_equal(
        &before,
        &after,
        &[
            "redis_key_value",
            "redis_keys_count",
            "redis_total_system_memory_bytes",
            "redis_db_keys",
        ],
    );
    assert!(after.has("redis_connected_client_info", &[]));
    let log = exporter.log();
    let said: Vec<String> = page.block("docker-run-log", &[]).lines().map(str::to_owned).collect();
    assert_eq!(said.len(), 2);
    for line in &said {
        assert!(log.contains(&format!("level=warn message=\"{line}\"")), "{line}\n{log}");
    }

    // The pattern finds user_count; what it holds is shown for keys named in full alone.
    let compose = page::of_compose(&page.yaml("compose", &replaced));
    let (before, after, _exporter) = swapped(&compose, &["redis_key_value"]);
    assert!(before.has("redis_key_value", &[]) && !after.has("redis_key_value", &[]));
    assert_equal(&before, &after, &["redis_key_size", "redis_config_maxclients"]);

    let pod = page.yaml("sidecar", &replaced);
    let (_, after, exporter) = swapped(&page::of_pod(&pod, PASSWORD), &[]);
    assert!(!after.has("process_cpu_seconds_total", &[]), "--redis-only-metrics");
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = page::scalar(&pod["containers"][0][probe]["httpGet"]["path"]);
        assert_eq!(exporter.get(&path).status, 200, "{path}");
    }
}

/// The rights that redis_exporter's documentation gives its user, but for `arcount`, which only newer servers know.
const RIGHTS_THERE: &str = "+client +ping +info +config|get +cluster|info +slowlog +latency +memory +select +get +scan +xinfo +type \
    +pfcount +strlen +llen +scard +zcard +hlen +xlen +eval allkeys";

#[test]
fn a_user_made_for_redis_exporter_needs_two_rights_more() {
    let server = sessions();
    server.command(&["XADD", "stream", "*", "a", "b"]);
    server.command(&["LPUSH", "queue", "a"]);
    let words: Vec<&str> = ["ACL", "SETUSER", "exporter", "on", ">pw"]
        .into_iter()
        .chain(RIGHTS_THERE.split_whitespace())
        .collect();
    server.command(&words);
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.lua");
    std::fs::write(&script, "return {'answer', '42'}").unwrap();
    let flags = [
        "--check-single-keys=user_count",
        "--check-keys=queue*",
        "--count-keys=sess:*",
        "--check-streams=stream*",
        "--check-key-groups=^([^:]+):.*$",
        "--export-client-list",
        "--include-config-metrics",
        "--include-system-metrics",
    ];
    let mut arguments = flags.map(str::to_owned).to_vec();
    arguments.push(format!("--script={}", script.display()));
    let variables = [
        ("REDIS_ADDR", server.address()),
        ("REDIS_USER", "exporter".to_owned()),
        ("REDIS_PASSWORD", "pw".to_owned()),
    ];
    let container = Container {
        image: "redis-session-exporter:latest".to_owned(),
        arguments,
        variables: variables.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    };
    let without = ["redis_key_value", "redis_script_result", "redis_script_values"];
    let (_, after, exporter) = swapped(&container, &without);
    for name in without {
        assert!(!after.has(name, &[]), "{name} needs no further right");
    }
    drop(exporter);
    let granted = Page::read().block("acl", &[]);
    let granted = granted.strip_prefix("$ redis-cli ").unwrap();
    server.command(&granted.split_whitespace().collect::<Vec<_>>());
    let (before, after, _exporter) = swapped(&container, &[]);
    assert_equal(&before, &after, &["redis_key_value", "redis_keys_count"]);
    assert_eq!(after.value("redis_script_values", &[("key", "answer")]), Some(42.0));
}

#[test]
fn values_of_helm_change_in_the_image_alone() {
    let server = sessions();
    let place = format!("127.0.0.1:{}", server.port);
    let replaced = [("sessions:6379", place.as_str())];
    let page = Page::read();
    let (mut old, mut new) = (page.yaml("helm-before", &replaced), page.yaml("helm-after", &replaced));
    let was = page::of_helm(&old, PASSWORD, "");
    let is = page::of_helm(&new, PASSWORD, "");
    assert!(was.image.starts_with("oliver006/redis_exporter:"), "{was:?}");
    assert_eq!((&was.arguments, &was.variables), (&is.arguments, &is.variables));
    for values in [&mut old, &mut new] {
        values.as_mapping_mut().unwrap().remove("image").unwrap();
    }
    assert_eq!(old, new);
    let (before, after, exporter) = swapped(&is, &[]);
    assert_equal(
        &before,
        &after,
        &["redis_key_value", "redis_key_size", "redis_total_system_memory_bytes"],
    );
    assert!(after.has("redis_connected_client_info", &[]));
    // The chart's probes.
    assert_eq!(exporter.get("/").status, 200);
}

#[test]
fn check_prints_the_file_and_the_file_says_the_same() {
    let server = sessions();
    let place = format!("127.0.0.1:{}", server.port);
    let replaced = [("sessions:6379", place.as_str())];
    let page = Page::read();
    let container = page.docker_run("check", &replaced);
    let (arguments, variables) = borrowed(&container);
    assert_eq!(arguments[0], "check");
    let ended = exporter::run_with(&arguments, &variables, None);
    assert_eq!(ended.code, 0, "{}", ended.output);
    let file = page.block("check-output", &replaced);
    assert!(ended.output.contains(&file), "{}\n{file}", ended.output);

    // The daemon with the same flags, and with the file.
    let by_flags = Exporter::start_bare(&arguments[1..], &variables);
    let password = [("REDIS_PASSWORD", PASSWORD)];
    let by_file = with_file(&file, &password);
    let shown = |scrape: &Scrape| -> BTreeSet<String> {
        let names = scrape.types.keys().filter(|name| name.starts_with("redis_"));
        names.cloned().collect()
    };
    let all = |scrape: &Scrape| {
        ["redis_key_value", "redis_keys_count", "redis_connected_client_info"]
            .iter()
            .all(|name| scrape.has(name, &[]))
    };
    let first = by_flags.wait_for("the keys", SEEN_BOUND, all);
    let second = by_file.1.wait_for("the same by the file", SEEN_BOUND, |scrape| {
        all(scrape) && shown(&first).is_subset(&shown(scrape))
    });
    assert_equal(&first, &second, &["redis_key_value", "redis_keys_count"]);

    // What a store adds.
    let sessions = with_file(&page.block("sessions", &replaced), &password);
    let wanted = page.block("sessions-metrics", &[]);
    let wanted: Vec<&str> = wanted.lines().collect();
    assert!(wanted.len() > 3);
    let scrape = sessions.1.wait_for("the sessions", SEEN_BOUND, |scrape| {
        wanted.iter().all(|name| scrape.has(name, &[("instance", "sessions")]))
    });
    assert_eq!(scrape.value("sessions_active", &[("store", "web")]), Some(30.0));
    assert_eq!(
        scrape.value("sessions_max_capacity", &[("store", "web")]),
        Some(100_000.0)
    );
}

/// The daemon with a file that takes the password from a variable.
fn with_file(yaml: &str, variables: &[(&str, &str)]) -> (tempfile::TempDir, Exporter) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yaml");
    std::fs::write(&file, yaml).unwrap();
    let argument = format!("--config.file={}", file.display());
    let exporter = Exporter::start_bare(&[&argument], variables);
    (folder, exporter)
}

/// A block that no test reads would be one that may rot.
#[test]
fn every_block_of_the_page_is_run() {
    let page = Page::read();
    let tests = [include_str!("migration.rs"), include_str!("migration_jobs.rs")].concat();
    let unread: Vec<&str> = page
        .names()
        .filter(|name| !tests.contains(&format!("\"{name}\"")))
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
    // Every fenced block of the page is one of them.
    let text = include_str!("../../docs/migration.md");
    let fences = text.lines().filter(|line| line.starts_with("```")).count();
    assert_eq!(
        fences,
        page.names().count() * 2,
        "a block without `<!-- tested: NAME -->`"
    );
}
