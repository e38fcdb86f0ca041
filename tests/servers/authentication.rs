//! Passwords, users, and what happens when they are wrong or change.

use crate::bench::{BACK_BOUND, Bench, DOWN_BOUND, FAULTY};
use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::peer::{Answer, ScriptedPeer, healthy, is_command};
use crate::support::redis_server::RedisServer;

#[test]
fn wrong_password_never_continues_as_the_default_user() {
    // The default user needs no password here: going on after a refused AUTH would work, and would be wrong.
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "monitor", "on", ">right", "~*", "&*", "+@all"]);
    server.command(&["CONFIG", "RESETSTAT"]);
    let bench = Bench::new_without_waiting(&server.address(), "username: monitor\npassword: wrong");
    let scrape = bench.fails_with(&["auth"], 0.0);
    assert!(!scrape.has("redis_uptime_in_seconds", &[("instance", FAULTY)]));
    let stats = server.command(&["INFO", "commandstats"]).text();
    assert!(
        !stats.contains("cmdstat_ping"),
        "PING went out after a refused AUTH:\n{stats}"
    );
    server.command(&["ACL", "SETUSER", "monitor", "resetpass", ">wrong"]);
    bench.recovers();
}

#[test]
fn nothing_but_the_handshake_follows_a_refused_auth() {
    let peer = ScriptedPeer::start_with(|words| {
        if is_command(words, "AUTH") || is_command(words, "HELLO") {
            Answer::Bytes(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n".to_vec())
        } else {
            healthy(words)
        }
    });
    let further = "password: wrong\nsessions:\n  - { store: web, match: [\"sess:*\"] }";
    let bench = Bench::new_without_waiting(&peer.address(), further);
    bench.fails_with(&["auth"], 0.0);
    for words in peer.batches().iter().flat_map(|batch| &batch.commands) {
        let word = words[0].to_ascii_uppercase();
        assert!(
            ["AUTH", "HELLO", "CLIENT", "SELECT"].contains(&word.as_str()),
            "{words:?} after a refused AUTH"
        );
    }
}

#[test]
fn missing_password() {
    let server = RedisServer::start_with(&["--requirepass", "needed"]);
    let bench = Bench::new_without_waiting(&server.address(), "");
    bench.fails_with(&["auth"], 0.0);
}

#[test]
fn password_for_a_server_that_has_none() {
    // `AUTH` to a default user without a password is refused. Going on without it would hide a wrong address.
    let server = RedisServer::start();
    let bench = Bench::new_without_waiting(&server.address(), "password: unneeded");
    bench.watch("a verdict", DOWN_BOUND, |scrape| {
        matches!(scrape.state(FAULTY).as_deref(), Some("auth"))
    });
}

#[test]
fn rotated_password_file_is_read_at_the_reconnect() {
    let server = RedisServer::start_with(&["--requirepass", "first"]);
    let file = server.path("password");
    std::fs::write(&file, "first\n").unwrap();
    let bench = Bench::new(&server.address(), &format!("password_file: {}", file.display()));
    let mut client = server.client();
    client.command(&["CONFIG", "SET", "requirepass", "second"]);
    client.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    bench.fails_with(&["auth"], 0.0);
    std::fs::write(&file, "second\n").unwrap();
    bench.recovers();
}

/// A rotation may truncate the file first. Logging in with an empty password would be an attempt that the server logs, or, for a
/// user without one, a login as somebody else's.
#[test]
fn password_file_that_is_empty_for_a_moment() {
    let server = RedisServer::start_with(&["--requirepass", "first"]);
    let file = server.path("password");
    std::fs::write(&file, "first\n").unwrap();
    let bench = Bench::new(&server.address(), &format!("password_file: {}", file.display()));
    let mut client = server.client();
    client.command(&["ACL", "LOG", "RESET"]);
    std::fs::write(&file, "").unwrap();
    client.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    bench.fails_with(&["auth"], 0.0);
    let log = client.command(&["ACL", "LOG"]);
    assert!(
        !format!("{log:?}").contains("auth"),
        "an empty password was sent: {log:?}"
    );
    std::fs::write(&file, "first").unwrap();
    bench.recovers();
}

#[test]
fn password_file_that_goes_and_comes_back() {
    let server = RedisServer::start_with(&["--requirepass", "late"]);
    let file = server.path("password");
    let further = format!("password_file: {}", file.display());
    // A file that is not there at the start is a mistake of the configuration.
    let ended = exporter::run_with(
        &["serve"],
        &[],
        Some(&config::fast(&[("redis", &server.address(), &further)])),
    );
    assert_eq!(ended.code, 78, "{}", ended.output);
    assert!(ended.output.contains("password_file"), "{}", ended.output);

    std::fs::write(&file, "late").unwrap();
    let bench = Bench::new(&server.address(), &further);
    std::fs::remove_file(&file).unwrap();
    server
        .client()
        .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    bench.fails_with(&["auth"], 0.0);
    let log = bench.exporter.log();
    assert!(log.contains("password"), "the log names what cannot be read: {log}");
    std::fs::write(&file, "late").unwrap();
    bench.recovers();
}

#[test]
fn revoked_user_is_noticed() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "monitor", "on", ">right", "~*", "&*", "+@all"]);
    let bench = Bench::new(&server.address(), "username: monitor\npassword: right");
    // Redis closes the connections of a user that is deleted.
    server.command(&["ACL", "DELUSER", "monitor"]);
    bench.fails_with(&["auth"], 0.0);
    server.command(&["ACL", "SETUSER", "monitor", "on", ">right", "~*", "&*", "+@all"]);
    bench.recovers();
}

#[test]
fn special_characters_in_user_and_password() {
    let user = "us:er@host/%41+x#?";
    let password = "p@ss:w/ord%20&=#?\"'\\ü $x";
    let server = RedisServer::start();
    server.command(&[
        "ACL",
        "SETUSER",
        user,
        "on",
        &format!(">{password}"),
        "~*",
        "&*",
        "+@all",
    ]);
    // Once as keys of the file, once inside the address, percent-encoded.
    let quoted = |text: &str| text.replace('\'', "''");
    let keys = format!("username: '{}'\npassword: '{}'", quoted(user), quoted(password));
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let address = format!(
        "redis://{}:{}@127.0.0.1:{}",
        encode(user),
        encode(password),
        server.port
    );
    let file = server.path("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let by_file = format!("username: '{}'\npassword_file: {}", quoted(user), file.display());
    let exporter = Exporter::start(&config::fast(&[
        ("keys", &server.address(), &keys),
        ("address", &address, ""),
        ("file", &server.address(), &by_file),
    ]));
    exporter.wait_until_up(&["keys", "address", "file"]);
}

#[test]
fn minimal_user_sees_all_that_it_may() {
    let server = RedisServer::start();
    server.command(&["SET", "sess:1", "x"]);
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "reset",
        "on",
        ">secret",
        "resetchannels",
        "-@all",
        "+ping",
        "+info",
        "+select",
        "+dbsize",
        "+scan",
    ]);
    let further = "username: monitor\npassword: secret\nsessions:\n  - { store: web, match: [\"sess:*\"] }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    exporter.wait_until_up(&["redis"]);
    let labels = [("instance", "redis")];
    let scrape = exporter.wait_for_instance("redis", "the session is counted", BACK_BOUND, |scrape| {
        scrape.value("sessions_active", &labels) == Some(1.0)
    });
    assert!(scrape.has("redis_memory_used_bytes", &labels));
    assert_eq!(
        scrape.sum("redis_connection_errors_total", &labels),
        0.0,
        "{}",
        scrape.about("redis")
    );
    let denied: Vec<&str> = scrape
        .all("redis_session_exporter_collector_unavailable", &[("reason", "denied")])
        .map(|sample| sample.labels["collector"].as_str())
        .collect();
    assert!(denied.contains(&"slowlog") && denied.contains(&"latency"), "{denied:?}");
}

#[test]
fn unix_socket() {
    let server = RedisServer::start();
    server.command(&["SELECT", "2"]);
    let mut client = server.client();
    client.command(&["SELECT", "2"]);
    client.command(&["SET", "sess:1", "x"]);
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"], databases: [2] }";
    let exporter = Exporter::start(&config::fast(&[
        ("plain", &format!("unix://{}", server.socket().display()), store),
        ("other", &format!("redis+unix://{}", server.socket().display()), ""),
    ]));
    exporter.wait_until_up(&["plain", "other"]);
    let scrape = exporter.wait_for_instance("plain", "the session is counted", BACK_BOUND, |scrape| {
        scrape.value("sessions_active", &[("instance", "plain")]) == Some(1.0)
    });
    assert!(
        !scrape.has(
            "redis_connect_phase_duration_seconds",
            &[("instance", "plain"), ("phase", "dns")]
        ),
        "no name is resolved"
    );
}
