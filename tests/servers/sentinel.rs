//! Servers in Sentinel mode that watch a real primary with a replica: what they say is shown, and nothing that they cannot have is asked.

use crate::least_privilege::scene::{printed, run};
use crate::support::config;
use crate::support::evidence::assert_emits_listed;
use crate::support::exporter::{self, Exporter};
use crate::support::process::Process;
use crate::support::redis_server::RedisServer;
use crate::support::resp::Client;
use crate::support::scrape::Scrape;
use crate::support::{free_port, program, wait_until};
use std::process::Command;
use std::time::Duration;

/// Sentinels greet each other every two seconds and look at replicas every ten.
const BOUND: Duration = Duration::from_secs(60);

/// A server in Sentinel mode, gone when dropped.
pub struct Sentinel {
    port: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    /// A Sentinel with these lines of configuration.
    pub fn start(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n{lines}")).unwrap();
        let mut command = Command::new(program("TEST_REDIS_SERVER", "redis-server"));
        command.current_dir(folder.path()).arg(&file).arg("--sentinel");
        let process = Process::spawn(command, folder.path());
        let answers =
            || Client::connect(port).and_then(|mut client| client.send(&[b"PING"]).and_then(|()| client.read()));
        assert!(
            wait_until(BOUND, || answers().ok()).is_some(),
            "the Sentinel does not start: {}",
            process.output()
        );
        Self {
            port,
            _process: process,
            _folder: folder,
        }
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port).unwrap()
    }
}

/// Lines that watch this server with this quorum, impatiently.
pub fn monitor(server: &RedisServer, quorum: u8) -> String {
    format!(
        "sentinel monitor shop 127.0.0.1 {} {quorum}\nsentinel down-after-milliseconds shop 500\n\
         sentinel failover-timeout shop 3000\n",
        server.port
    )
}

fn value(scrape: &Scrape, instance: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("instance", instance)]).collect();
    scrape.value(name, &labels)
}

/// Nothing about the instance has failed or is said to be missing.
fn assert_well(scrape: &Scrape, exporter: &Exporter, instance: &str) {
    let labels = [("instance", instance)];
    for sample in scrape.all("redis_session_exporter_collector_success", &labels) {
        assert_eq!(sample.value, 1.0, "{:?}", sample.labels);
    }
    let unavailable: Vec<_> = scrape
        .all("redis_session_exporter_collector_unavailable", &labels)
        .collect();
    assert!(unavailable.is_empty(), "{unavailable:?}");
    assert_eq!(scrape.sum("redis_connection_errors_total", &labels), 0.0);
    assert_eq!(scrape.state(instance).as_deref(), Some("ok"));
    let log = exporter.log();
    assert!(!log.contains("level=warn") && !log.contains("level=error"), "{log}");
}

#[test]
fn a_failover_is_seen_by_a_sentinel_with_a_password_and_by_one_without() {
    let mut primary = RedisServer::start();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let lines = monitor(&primary, 2);
    let open = Sentinel::start(&format!("{lines}sentinel sentinel-pass between-them\n"));
    let closed = Sentinel::start(&format!("{lines}requirepass between-them\n"));
    let peers = "collectors: { sentinel_peers: on, config_all: on }";
    let password = format!("password: between-them\n{peers}");
    let exporter = Exporter::start(&config::fast(&[
        ("open", &open.address(), peers),
        ("closed", &closed.address(), &password),
        ("primary", &primary.address(), ""),
    ]));
    let before = format!("127.0.0.1:{}", primary.port);
    let labels = [("master_name", "shop"), ("master_address", before.as_str())];
    for instance in ["open", "closed"] {
        let other = if instance == "open" { closed.port } else { open.port };
        let other = other.to_string();
        let scrape = exporter.wait_for_instance(instance, "everybody is known and well", BOUND, |scrape| {
            let peer = [("master_name", "shop"), ("port", other.as_str()), ("flags", "sentinel")];
            let is = |name: &str, wanted: f64| value(scrape, instance, name, &labels) == Some(wanted);
            is("redis_sentinel_master_ok_sentinels", 2.0)
                && value(scrape, instance, "redis_sentinel_peer_info", &peer) == Some(1.0)
                && is("redis_sentinel_master_sentinels", 2.0)
                && is("redis_sentinel_master_ok_slaves", 1.0)
                && is("redis_sentinel_master_slaves", 1.0)
                && value(
                    scrape,
                    instance,
                    "redis_sentinel_master_ckquorum_status",
                    &[("message", "ok")],
                ) == Some(1.0)
        });
        let is = |name: &str, wanted: f64| assert_eq!(value(&scrape, instance, name, &labels), Some(wanted), "{name}");
        is("redis_sentinel_master_setting_ckquorum", 2.0);
        is("redis_sentinel_master_setting_down_after_milliseconds", 500.0);
        is("redis_sentinel_master_setting_failover_timeout", 3000.0);
        is("redis_sentinel_master_setting_parallel_syncs", 1.0);
        is("redis_sentinel_master_config_epoch", 0.0);
        let status = [("master_status", "ok"), ("master_name", "shop")];
        assert_eq!(
            value(&scrape, instance, "redis_sentinel_master_status", &status),
            Some(1.0)
        );
        let port = [("key", "announce-port"), ("value", "0")];
        assert_eq!(
            value(&scrape, instance, "redis_sentinel_config_key_value", &port),
            Some(1.0)
        );
        let hidden = [("key", "sentinel-pass"), ("value", "<secret>")];
        assert_eq!(
            value(&scrape, instance, "redis_sentinel_config_key_value", &hidden),
            Some(1.0)
        );
        assert!(!scrape.text.contains("between-them"));
        assert_well(&scrape, &exporter, instance);
        assert_emits_listed(file!(), &scrape);
    }
    let scrape = exporter.wait_until_up(&["primary"]);
    assert!(
        scrape
            .all("redis_sentinel_masters", &[("instance", "primary")])
            .next()
            .is_none()
    );

    primary.shutdown();
    let after = format!("127.0.0.1:{}", replica.port);
    let labels = [("master_name", "shop"), ("master_address", after.as_str())];
    for instance in ["open", "closed"] {
        exporter.wait_for_instance(
            instance,
            "the replica is the primary, and the old one is down",
            BOUND,
            |scrape| {
                let is = |name: &str| value(scrape, instance, name, &labels);
                let status = [("master_address", after.as_str()), ("master_status", "ok")];
                is("redis_sentinel_master_config_epoch") > Some(0.0)
                    && is("redis_sentinel_master_slaves") == Some(1.0)
                    && is("redis_sentinel_master_ok_slaves") == Some(0.0)
                    && value(scrape, instance, "redis_sentinel_master_status", &status) == Some(1.0)
                    && scrape
                        .all("redis_sentinel_master_status", &[("instance", instance)])
                        .count()
                        == 1
            },
        );
    }
}

#[test]
fn a_sentinel_is_neither_asked_for_keys_nor_given_scripts() {
    let sentinel = Sentinel::start("");
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("a.lua");
    std::fs::write(&script, "return {}").unwrap();
    let further = format!(
        "check_keys: [ {{ match: 'a*' }} ]\nkey_groups: {{ patterns: ['^(.*):'] }}\nstreams: {{ keys: [ {{ key: s }} ] }}\n\
         lua: [ {{ file: '{}' }} ]",
        script.display()
    );
    let text = config::fast(&[("s", &sentinel.address(), &further)]);
    let output = exporter::run_with(&["check"], &[], Some(&text)).output;
    for collector in ["check_keys", "key_groups", "streams", "lua"] {
        let says = |line: &str| line.split_whitespace().next() == Some(collector) && line.contains("does nothing here");
        assert!(output.lines().any(says), "{collector}: {output}");
    }
    let exporter = Exporter::start(&text);
    let polls = |scrape: &Scrape| value(scrape, "s", "redis_exporter_scrapes_total", &[]).unwrap_or_default();
    let scrape = exporter.wait_for_instance("s", "many polls", BOUND, |scrape| polls(scrape) > 20.0);
    assert!(!scrape.has("redis_session_exporter_collector_success", &[("collector", "lua")]));
    assert!(!exporter.log().contains("EVAL"), "{}", exporter.log());
    let stats = sentinel.client().command(&["INFO", "commandstats"]).text().to_owned();
    for command in ["cmdstat_eval", "cmdstat_scan", "cmdstat_select"] {
        assert!(!stats.contains(command), "{stats}");
    }
}

#[test]
fn a_sentinel_that_is_alone_is_told_in_words_and_asked_only_for_what_it_has() {
    let mut primary = RedisServer::start();
    let sentinel = Sentinel::start(&monitor(&primary, 2));
    let mut client = sentinel.client();
    // A name that is no UTF-8, with what INFO separates by.
    let port = primary.port.to_string();
    let odd = b"na\xff,slaves=9";
    let added = client.bytes(&[b"SENTINEL", b"MONITOR", odd, b"127.0.0.1", port.as_bytes(), b"1"]);
    assert_eq!(added.text(), "OK");
    let login =
        "username: exporter\npassword: secret\ncollectors: { sentinel_peers: on }\nsession_probe: { enabled: on }";
    let text = config::fast(&[("s", &sentinel.address(), login)]);
    let [line] = printed(&text, &[]).try_into().unwrap();
    run(&mut client, &line);

    let ended = exporter::run_with(&["check"], &[], Some(&text));
    assert_eq!(ended.code, 0, "{}", ended.output);
    for wanted in [
        "a Sentinel: it watches other servers",
        "sessions        not looked for",
        "watches 2 primaries",
    ] {
        assert!(ended.output.contains(wanted), "{wanted}: {}", ended.output);
    }
    for unwanted in ["cannot run", "failed", "not available", "to mend", "notifications"] {
        assert!(!ended.output.contains(unwanted), "{unwanted}: {}", ended.output);
    }
    let ended = exporter::run_with(&["once"], &[], Some(&text));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(!ended.output.contains("level=warn"), "{}", ended.output);

    let exporter = Exporter::start(&text);
    let polls = |scrape: &Scrape| value(scrape, "s", "redis_exporter_scrapes_total", &[]).unwrap_or_default();
    let is_shown = |scrape: &Scrape, status: &str| {
        let labels = [("master_name", "shop"), ("master_status", status)];
        value(scrape, "s", "redis_sentinel_master_status", &labels).is_some()
    };
    let scrape = exporter.wait_for_instance("s", "the primary is well", BOUND, |scrape| {
        is_shown(scrape, "ok") && value(scrape, "s", "redis_connect_success", &[]) == Some(1.0)
    });
    let shop = [("master_name", "shop")];
    let number = |name: &str, labels: &[(&str, &str)]| value(&scrape, "s", name, labels);
    assert_eq!(number("redis_sentinel_masters", &[]), Some(2.0));
    assert_eq!(number("redis_sentinel_master_ok_sentinels", &shop), Some(1.0));
    assert_eq!(number("redis_sentinel_master_ok_slaves", &shop), Some(0.0));
    let quorum = [("master_name", "shop"), ("message", "no_quorum")];
    assert_eq!(number("redis_sentinel_master_ckquorum_status", &quorum), Some(0.0));
    let odd = [("master_name", "na\\xff,slaves=9")];
    assert_eq!(number("redis_sentinel_master_slaves", &odd), Some(0.0));
    assert_eq!(number("redis_sentinel_master_setting_ckquorum", &odd), Some(1.0));
    let quorum = [odd[0], ("message", "ok")];
    assert_eq!(number("redis_sentinel_master_ckquorum_status", &quorum), Some(1.0));
    for absent in [
        "sessions_active",
        "redis_slowlog_length",
        "redis_config_maxmemory",
        "redis_db_keys",
        "redis_errors_total",
        "session_probe_success",
    ] {
        assert!(!scrape.has(absent, &[]), "{absent}");
    }

    // What it does not have is asked at most once per connection, not at every poll.
    let errors = |client: &mut Client| {
        let text = client.command(&["INFO", "stats"]).text();
        let count = text.lines().find_map(|line| line.strip_prefix("total_error_replies:"));
        count.map(|count| count.trim().parse::<u64>().unwrap()).unwrap()
    };
    let noquorum = |polls: f64| polls as u64;
    let (before, polls_before) = (errors(&mut client), polls(&scrape));
    let scrape = exporter.wait_for_instance("s", "many more polls", BOUND, |scrape| {
        polls(scrape) > polls_before + 15.0
    });
    let polled = noquorum(polls(&scrape) - polls_before);
    let new = errors(&mut client) - before;
    println!("{new} error replies in {polled} polls");
    // CKQUORUM of the one without a quorum answers with an error, once per poll.
    assert!(new <= polled + 2, "{new} error replies in {polled} polls");
    assert_well(&scrape, &exporter, "s");
    let page = exporter.get("/").text();
    assert!(page.contains("this is a Sentinel"), "{page}");
    let health = exporter.get("/health/redis").json();
    assert_eq!(health["redis"]["connected"], true, "{health}");

    primary.shutdown();
    exporter.wait_for_instance("s", "the primary is down, for this one alone", BOUND, |scrape| {
        let labels = [("master_name", "shop"), ("master_status", "sdown")];
        value(scrape, "s", "redis_sentinel_master_status", &labels) == Some(0.0) && !is_shown(scrape, "ok")
    });
}
