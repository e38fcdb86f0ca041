//! `compatibility`: what a user of redis_exporter may have changed by a flag, on real servers.

use crate::support::config;
use crate::support::evidence::assert_emits_listed;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::time::Duration;

/// Longest time until something shows: several intervals of `config::fast`.
const BOUND: Duration = Duration::from_secs(10);

/// How a test hides CONFIG.
const HIDDEN: &str = "CONFIG_5d1f";

/// A server whose CONFIG has another name, with keyspace notifications on.
fn server_with_hidden_config() -> RedisServer {
    RedisServer::start_with(&[
        "--rename-command",
        "CONFIG",
        HIDDEN,
        "--notify-keyspace-events",
        "Egxen",
    ])
}

fn unavailable(scrape: &Scrape, collector: &str) -> bool {
    let name = "redis_session_exporter_collector_unavailable";
    scrape
        .all(name, &[("collector", collector)])
        .any(|sample| sample.value > 0.0)
}

#[test]
fn a_renamed_config_is_used_under_its_name_everywhere() {
    let server = server_with_hidden_config();
    let further = format!(
        "compatibility: {{ config_command: {HIDDEN} }}\ncollectors: {{ config_all: on }}\nexpect: {{ persistence: none }}\n\
         sessions:\n  - {{ store: web, match: [\"sess:*\"] }}"
    );
    let exporter = Exporter::start(&config::fast(&[
        ("renamed", &server.address(), &further),
        ("usual", &server.address(), ""),
    ]));
    let scrape = exporter.wait_for(
        "CONFIG is asked under its name, and events are heard",
        BOUND + SLACK,
        |scrape| {
            let renamed = [("instance", "renamed")];
            scrape.has("redis_config_maxclients", &renamed)
                && scrape.value("session_events_connected", &renamed) == Some(1.0)
                && unavailable(scrape, "config")
                // The server goes on counting it under its own name.
                && scrape.has("redis_commands_total", &[("instance", "renamed"), ("cmd", "config|get")])
        },
    );
    let renamed = [("instance", "renamed")];
    assert!(scrape.has("redis_config_value", &[("instance", "renamed"), ("key", "maxclients")]));
    assert!(scrape.has("redis_db_keys", &[("instance", "renamed"), ("db", "db15")]));
    assert_eq!(
        scrape.value(
            "redis_expectation_met",
            &[("instance", "renamed"), ("expectation", "persistence")]
        ),
        Some(1.0)
    );
    let missing = "redis_session_exporter_collector_unavailable";
    assert_eq!(scrape.sum(missing, &renamed), 0.0, "{}", scrape.about("renamed"));
    // Under the usual name the server does not know it.
    assert!(!scrape.has("redis_config_maxclients", &[("instance", "usual")]));
    assert_eq!(scrape.value("redis_up", &renamed), Some(1.0));
}

#[test]
fn check_speaks_of_the_configured_name_and_of_the_right_that_is_missing() {
    let server = server_with_hidden_config();
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
    let config = |user: &str, name: &str| {
        let further = format!(
            "{user}\ncompatibility: {{ config_command: '{name}' }}\nsessions: [ {{ store: web, match: ['s:*'] }} ]"
        );
        config::fast(&[("a", &server.address(), &further)])
    };
    let ended = exporter::run_with(&["check"], &[], Some(&config("", HIDDEN)));
    assert!(
        ended.output.contains("on (gxEn)") || ended.output.contains("creations"),
        "{}",
        ended.output
    );
    assert_eq!(ended.code, 0, "{}", ended.output);
    // ACL rules name the command as Redis does, whatever its name on this server.
    let ended = exporter::run_with(
        &["check"],
        &[],
        Some(&config("username: watcher\npassword: secret", HIDDEN)),
    );
    assert!(
        ended.output.contains("the user may not run CONFIG|GET"),
        "{}",
        ended.output
    );
    assert!(
        ended.output.contains("ACL SETUSER watcher +config|get"),
        "{}",
        ended.output
    );
    server.command(&["ACL", "SETUSER", "watcher", "+config|get"]);
    let ended = exporter::run_with(
        &["check"],
        &[],
        Some(&config("username: watcher\npassword: secret", HIDDEN)),
    );
    assert!(!ended.output.contains("to mend"), "{}", ended.output);
    // The usual name, on the other hand, is none here.
    let ended = exporter::run_with(&["check"], &[], Some(&config("", "CONFIG")));
    assert!(
        ended.output.contains("`compatibility.config_command`"),
        "{}",
        ended.output
    );
    let errors = server.info("errorstat_ERR");
    // What nobody may ask is not asked.
    let before = server.info("cmdstat_config|get");
    let ended = exporter::run_with(&["check"], &[], Some(&config("", "-")));
    assert!(ended.output.contains("CONFIG may not be asked"), "{}", ended.output);
    assert_eq!(server.info("cmdstat_config|get"), before);
    assert_eq!(server.info("errorstat_ERR"), errors);
}

#[test]
fn check_says_what_an_option_leaves_out() {
    let server = RedisServer::start();
    let check = |options: &str| {
        let further = format!("compatibility: {{ {options} }}\nsessions: []");
        exporter::run_with(
            &["check"],
            &[],
            Some(&config::fast(&[("a", &server.address(), &further)])),
        )
        .output
    };
    assert!(!check("").contains("compatibility"), "{}", check(""));
    let output = check("latency_commands: off, rdb_file_size: on");
    assert!(output.contains("LATENCY is not asked"), "{output}");
    assert!(output.contains("redis_rdb_current_size_bytes is absent"), "{output}");
    server.command(&["SAVE"]);
    let output = check("rdb_file_size: on");
    assert!(!output.contains("bytes is absent"), "{output}");
}

#[test]
fn connections_need_not_take_a_name() {
    let server = RedisServer::start();
    let named = |server: &RedisServer| {
        let list = server.command(&["CLIENT", "LIST"]).text();
        list.lines()
            .filter(|line| line.contains("name=redis-session-exporter"))
            .count()
    };
    let nameless = "compatibility: { set_client_name: off }\nsessions:\n  - { store: web, match: [\"sess:*\"] }";
    let exporter = Exporter::start(&config::fast(&[("nameless", &server.address(), nameless)]));
    exporter.wait_for("all kinds of connections were made", BOUND + SLACK, |scrape| {
        let of = [("instance", "nameless")];
        scrape.has("sessions_active", &of) && scrape.value("redis_connect_success", &of) == Some(1.0)
    });
    assert_eq!(named(&server), 0);
    assert_eq!(server.info("cmdstat_client|setname"), None);
    // There is nothing to log in with, so the phase of the login is absent like any that is not used.
    let scrape = exporter.scrape();
    let phase = |phase| {
        scrape.has(
            "redis_connect_phase_duration_seconds",
            &[("instance", "nameless"), ("phase", phase)],
        )
    };
    assert!(phase("tcp") && phase("ping") && !phase("auth"));
    drop(exporter);
    let exporter = Exporter::start(&config::fast(&[("named", &server.address(), "")]));
    exporter.wait_until_up(&["named"]);
    assert!(named(&server) > 0);
}

#[test]
fn a_server_that_turns_nameless_connections_away_is_known_as_such() {
    let server = RedisServer::start_with(&["--maxclients", "1"]);
    let occupied = server.client();
    let further = "compatibility: { set_client_name: off }";
    let exporter = Exporter::start(&config::fast(&[("full", &server.address(), further)]));
    exporter.wait_for_instance("full", "it is known that the server is full", BOUND + SLACK, |scrape| {
        scrape.state("full").as_deref() == Some("max_clients")
    });
    drop(occupied);
    exporter.wait_until_up(&["full"]);
}

#[test]
fn empty_databases_and_latency_commands_may_be_left_out() {
    let server = RedisServer::start();
    server.command(&["SET", "k", "v"]);
    let less = "compatibility: { empty_databases: off, latency_commands: off }\noperations: on";
    let exporter = Exporter::start(&config::fast(&[("less", &server.address(), less)]));
    let scrape = exporter.wait_for("INFO was read", BOUND + SLACK, |scrape| {
        scrape.has("redis_db_keys", &[("instance", "less"), ("db", "db0")])
            && scrape.value("redis_session_exporter_feature_available", &[("feature", "operations")]) == Some(1.0)
    });
    assert_eq!(scrape.all("redis_db_keys", &[]).count(), 1);
    assert!(scrape.has("redis_latency_percentiles_usec", &[("cmd", "set"), ("quantile", "99")]));
    assert!(!scrape.has("redis_commands_latencies_usec_count", &[]));
    assert!(scrape.has("session_operations_total", &[]));
    assert!(!scrape.has("session_operation_duration_seconds_count", &[]));
    let feature = scrape.value(
        "redis_session_exporter_feature_available",
        &[("feature", "latency_histogram")],
    );
    assert_eq!(feature, Some(0.0));
    assert!(!unavailable(&scrape, "latency") && !unavailable(&scrape, "operations"));
    for command in ["cmdstat_latency|latest", "cmdstat_latency|histogram"] {
        assert_eq!(server.info(command), None, "{command}");
    }
}

#[test]
fn the_size_of_the_snapshot_is_that_of_the_file() {
    let server = RedisServer::start();
    server.fill("sess:", 1000);
    let wanted = "compatibility: { rdb_file_size: on }";
    let exporter = Exporter::start(&config::fast(&[
        ("here", &server.address(), wanted),
        ("not", &server.address(), ""),
    ]));
    let scrape = exporter.wait_until_up(&["here", "not"]);
    let name = "redis_rdb_current_size_bytes";
    assert!(!scrape.has(name, &[]), "there is no file yet");
    server.command(&["SAVE"]);
    let bytes = std::fs::metadata(server.path("dump.rdb")).unwrap().len() as f64;
    assert!(bytes > 1000.0);
    let scrape = exporter.wait_for("the size of the file", BOUND + SLACK, |scrape| {
        scrape.value(name, &[("instance", "here")]) == Some(bytes)
    });
    assert_emits_listed(file!(), &scrape);
    assert!(!scrape.has(name, &[("instance", "not")]), "only where it is asked for");
    std::fs::remove_file(server.path("dump.rdb")).unwrap();
    exporter.wait_for("the size is gone with the file", BOUND + SLACK, |scrape| {
        !scrape.has(name, &[])
    });
    assert!(
        exporter
            .scrape()
            .has("redis_loading_dump_file", &[("instance", "here")])
    );
}

#[test]
fn a_reload_brings_the_right_name_into_effect_at_once() {
    let server = server_with_hidden_config();
    let of = |name: &str| {
        let further = format!("compatibility: {{ config_command: {name} }}");
        config::fast(&[("a", &server.address(), &further)])
    };
    let exporter = Exporter::start(&of("WRONG"));
    exporter.wait_for("the wrong name is no command", BOUND + SLACK, |scrape| {
        unavailable(scrape, "config")
    });
    exporter.reload(&of(HIDDEN));
    let found = wait_until(BOUND + SLACK, || {
        let scrape = exporter.scrape();
        (scrape.has("redis_config_maxclients", &[]) && !unavailable(&scrape, "config")).then_some(())
    });
    assert!(found.is_some(), "{}", exporter.log());
}
