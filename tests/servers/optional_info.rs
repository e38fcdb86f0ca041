//! The collectors over INFO and CONFIG that are off by default, on real servers: `config_all`, `system`, `modules`, `cluster_slot_stats`.

use crate::support::config;
use crate::support::evidence::assert_emits_listed;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest time until something shows: several intervals of `config::fast`.
const BOUND: Duration = Duration::from_secs(10);

/// A word in every secret of these tests and in nothing else.
const SECRET_WORD: &str = "hunter2";

#[test]
fn the_whole_configuration_is_shown_but_for_its_secrets() {
    let server = RedisServer::start_with(&[
        "--requirepass",
        "hunter2-requirepass",
        "--masterauth",
        "hunter2-masterauth",
        "--masteruser",
        "hunter2-masteruser",
        "--tls-key-file-pass",
        "hunter2-tls",
        "--proc-title-template",
        "redis://:hunter2-title@{title}",
        "--maxmemory",
        "100mb",
    ]);
    let on = "password: hunter2-requirepass\ncollectors: { config_all: on, system: on }";
    let off = "password: hunter2-requirepass";
    let exporter = Exporter::start(&config::fast(&[
        ("on", &server.address(), on),
        ("off", &server.address(), off),
    ]));
    let scrape = exporter.wait_for("the configuration", BOUND + SLACK, |scrape| {
        scrape.has("redis_config_key_value", &[("instance", "on")])
            && scrape.has("redis_config_maxmemory", &[("instance", "off")])
    });
    assert_emits_listed(file!(), &scrape);
    let metrics = exporter.get("/metrics").text();
    assert!(!metrics.contains(SECRET_WORD));
    // As many as the server has, each once.
    let reply = server.command(&["CONFIG", "GET", "*"]);
    let parameters = reply.array().len() / 2;
    assert!(parameters > 150, "{parameters} parameters");
    assert_eq!(
        scrape.all("redis_config_key_value", &[("instance", "on")]).count(),
        parameters
    );
    for secret in [
        "requirepass",
        "masterauth",
        "masteruser",
        "tls-key-file-pass",
        "proc-title-template",
    ] {
        let labels = [("instance", "on"), ("key", secret), ("value", "<secret>")];
        assert_eq!(scrape.value("redis_config_key_value", &labels), Some(1.0), "{secret}");
        assert!(!scrape.has("redis_config_value", &[("key", secret)]), "{secret}");
    }
    assert_eq!(
        scrape.value("redis_config_value", &[("key", "maxmemory")]),
        Some(104_857_600.0)
    );
    let policy = [("key", "maxmemory-policy"), ("value", "noeviction")];
    assert_eq!(scrape.value("redis_config_key_value", &policy), Some(1.0));
    let memory = server
        .info("total_system_memory")
        .and_then(|bytes| bytes.parse::<f64>().ok());
    assert_eq!(
        scrape.value("redis_total_system_memory_bytes", &[("instance", "on")]),
        memory
    );
    assert!(memory.is_some());
    // Nobody who did not ask for it has any of that.
    for name in [
        "redis_config_key_value",
        "redis_config_value",
        "redis_total_system_memory_bytes",
    ] {
        assert!(!scrape.has(name, &[("instance", "off")]), "{name}");
    }
    for path in ["/", "/config", "/health/redis?detailed=true"] {
        assert!(!exporter.get(path).text().contains(SECRET_WORD), "{path}");
    }
    assert!(!exporter.log().contains(SECRET_WORD));
}

#[test]
fn what_is_denied_is_named_by_check_with_the_rule_that_mends_it() {
    let server = RedisServer::start();
    server.command(&[
        "ACL",
        "SETUSER",
        "watcher",
        "reset",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-config|get",
    ]);
    let further =
        "username: watcher\npassword: secret\ncollectors: { config_all: on, modules: on, system: on }\nsessions: []";
    let config = config::fast(&[("a", &server.address(), further)]);
    let ended = exporter::run_with(&["check"], &[], Some(&config));
    let line = |collector: &str| {
        let found = ended
            .output
            .lines()
            .find(|line| line.trim_start().starts_with(collector));
        found
            .unwrap_or_else(|| panic!("{collector}: {}", ended.output))
            .to_owned()
    };
    assert!(
        line("config_all ").contains("the user may not run CONFIG|GET"),
        "{}",
        ended.output
    );
    assert!(line("system ").contains("ok, 1 series"), "{}", ended.output);
    assert!(line("modules ").contains("ok"), "{}", ended.output);
    assert!(
        line("to mend").contains("ACL SETUSER watcher +config|get"),
        "{}",
        ended.output
    );
    let exporter = Exporter::start(&config);
    exporter.wait_for("the denial is shown", BOUND + SLACK, |scrape| {
        let labels = [("collector", "config_all"), ("reason", "denied")];
        scrape.value("redis_session_exporter_collector_unavailable", &labels) == Some(1.0)
    });
    // Found once, not at every poll.
    let denials = || server.info("cmdstat_config|get");
    let before = denials();
    let polls = |scrape: &Scrape| scrape.value("redis_exporter_scrapes_total", &[]).unwrap_or_default();
    let start = polls(&exporter.scrape());
    exporter.wait_for("three more polls", BOUND + SLACK, |scrape| polls(scrape) >= start + 3.0);
    assert_eq!(denials(), before);
    server.command(&["ACL", "SETUSER", "watcher", "+config|get"]);
    exporter.process.signal("HUP");
    let found = wait_until(BOUND + SLACK, || {
        exporter.scrape().has("redis_config_key_value", &[]).then_some(())
    });
    assert!(found.is_some(), "{}", exporter.log());
}

/// The module that says in INFO what it is told to, built anew: each module needs a file of its own.
fn build_module(folder: &Path, name: &str) -> PathBuf {
    let library = folder.join(format!("{name}.so"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/info_module.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(built.unwrap().success(), "cc does not build the module");
    library
}

#[test]
fn modules_of_a_real_server_and_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let (search, json) = (
        build_module(folder.path(), "search"),
        build_module(folder.path(), "json"),
    );
    let server = RedisServer::start_with(&[
        "--loadmodule",
        search.to_str().unwrap(),
        "search",
        "number_of_indexes=3",
        "total_indexing_time=12.5",
        "used_memory_indexes_human=3M",
        "--loadmodule",
        json.to_str().unwrap(),
        "json",
        "num_documents=42",
    ]);
    let on = "collectors: { modules: on }";
    let exporter = Exporter::start(&config::fast(&[
        ("on", &server.address(), on),
        ("off", &server.address(), ""),
    ]));
    let scrape = exporter.wait_for("the modules", BOUND + SLACK, |scrape| {
        scrape.has("redis_module_info", &[("instance", "on")])
            && scrape.has("redis_uptime_in_seconds", &[("instance", "off")])
    });
    for name in ["search", "json"] {
        let labels = [
            ("name", name),
            ("ver", "10203"),
            ("api", "1"),
            ("filters", "0"),
            ("usedby", "[]"),
            ("using", "[]"),
        ];
        assert_eq!(scrape.value("redis_module_info", &labels), Some(1.0), "{name}");
    }
    assert_eq!(scrape.value("redis_search_number_of_indexes", &[]), Some(3.0));
    assert_eq!(scrape.value("redis_search_indexing_time_ms_total", &[]), Some(12.5));
    assert_eq!(scrape.value("redis_json_num_documents", &[]), Some(42.0));
    assert!(
        !scrape.has("redis_search_used_memory_indexes_bytes", &[]),
        "the server does not say it"
    );
    assert!(!scrape.has("redis_module_info", &[("instance", "off")]));
}

#[test]
fn slots_of_a_cluster_where_the_server_tells_them() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let is_ready = || server.command(&["CLUSTER", "INFO"]).text().contains("cluster_state:ok");
    assert!(wait_until(BOUND + SLACK, || is_ready().then_some(())).is_some());
    for number in 0..100 {
        server.command(&["SET", &format!("{{one}}:{number}"), "v"]);
    }
    let slot = server.command(&["CLUSTER", "KEYSLOT", "{one}"]).integer().to_string();
    let is_told = server
        .client()
        .try_command(&["CLUSTER", "SLOT-STATS", "SLOTSRANGE", "0", "0"]);
    let is_told = matches!(is_told, crate::support::resp::Reply::Array(_));
    let errors = server.info("errorstat_ERR");
    let on = "collectors: { cluster_slot_stats: on }";
    let config = config::fast(&[("node", &server.address(), on)]) + "limits: { label_values: 10 }\n";
    let exporter = Exporter::start(&config);
    let scrape = exporter.wait_for("the collector ran", BOUND + SLACK, |scrape| {
        scrape.value(
            "redis_session_exporter_collector_success",
            &[("collector", "cluster_slot_stats")],
        ) == Some(1.0)
    });
    let name = "redis_cluster_slot_key_count";
    if is_told {
        assert_eq!(scrape.value(name, &[("slot", slot.as_str())]), Some(100.0));
        assert_eq!(scrape.all(name, &[]).count(), 10);
        assert!(
            scrape.value(
                "redis_session_exporter_series_dropped_total",
                &[("reason", "label_values")]
            ) >= Some(16_374.0)
        );
    } else {
        // Redis before 8.2: nothing is asked, nothing is missing.
        assert!(!scrape.has(name, &[]));
        assert_eq!(server.info("errorstat_ERR"), errors);
    }
}
