//! `sessions: auto`: stores are recognised by the layout of their keys, or nothing is said to be a session.

use crate::permissions::rejected;
use crate::sessions_scan::fill;
use crate::support::config;
use crate::support::exporter::{Exporter, run_with};
use crate::support::redis_server::RedisServer;
use crate::support::resp::Client;
use crate::support::scrape::Scrape;
use std::time::Duration;

/// Long enough for several passes on a machine that compiles meanwhile.
pub const BOUND: Duration = Duration::from_secs(60);

const AUTO: &str = "sessions: auto";

/// Sessions as connect-redis writes them: `sess:` and 32 letters of base64url, strings with a TTL.
pub fn fill_connect_redis(client: &mut Client, count: usize) {
    let mut random = fastrand::Rng::with_seed(count as u64);
    let letters: Vec<char> = ('a'..='z')
        .chain('A'..='Z')
        .chain('0'..='9')
        .chain(['-', '_'])
        .collect();
    for _ in 0..count {
        let id: String = (0..32).map(|_| letters[random.usize(..letters.len())]).collect();
        client.command(&["SET", &format!("sess:{id}"), "{\"cookie\":{}}", "EX", "86400"]);
    }
}

fn active(scrape: &Scrape, store: &str) -> Option<f64> {
    scrape.value("sessions_active", &[("instance", "redis"), ("store", store)])
}

#[test]
fn a_library_is_recognised_and_stays_also_when_it_is_empty() {
    let server = RedisServer::start();
    let mut client = server.client();
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), AUTO)]));
    let labels = [("instance", "redis"), ("collector", "sessions")];
    let scrape = exporter.wait_for_instance("redis", "looked once", BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_success", &labels) == Some(1.0)
    });
    assert!(!scrape.has("sessions_active", &[]), "an empty server has no stores");
    fill_connect_redis(&mut client, 60);
    fill(&mut client, "cache:page:", 200);
    exporter.wait_for_instance("redis", "recognised and counted", BOUND, |scrape| {
        active(scrape, "connect-redis") == Some(60.0)
    });
    client.command(&["FLUSHALL"]);
    let scrape = exporter.wait_for_instance("redis", "known and empty", BOUND, |scrape| {
        active(scrape, "connect-redis") == Some(0.0)
    });
    let stores: Vec<&str> = scrape
        .all("sessions_active", &[])
        .map(|sample| sample.labels["store"].as_str())
        .collect();
    assert_eq!(stores, ["connect-redis"]);
    let log = exporter.log();
    assert_eq!(log.matches("no session library is recognised").count(), 1, "{log}");
    assert_eq!(log.matches("session libraries are recognised").count(), 1, "{log}");
    // A reload asks anew; nothing is there any more.
    exporter.process.signal("HUP");
    exporter.wait_for_instance("redis", "forgotten after a reload", BOUND, |scrape| {
        active(scrape, "connect-redis").is_none()
    });
}

#[test]
fn a_cache_that_looks_similar_is_no_store() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client, "session:", 300);
    fill(&mut client, "sess:", 300);
    fill(&mut client, "cache:", 300);
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), AUTO)]));
    let examined = |scrape: &Scrape| scrape.value("session_scan_keys_total", &[("instance", "redis"), ("db", "db0")]);
    let scrape = exporter.wait_for_instance("redis", "several looks", BOUND, |scrape| {
        examined(scrape) >= Some(4.0 * 900.0)
    });
    assert!(!scrape.has("sessions_active", &[]));
    let log = exporter.log();
    assert_eq!(log.matches("no session library is recognised").count(), 1, "{log}");
}

#[test]
fn once_recognises_and_counts_in_one_go() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill_connect_redis(&mut client, 40);
    let config = config::fast(&[("redis", &server.address(), AUTO)]);
    for flags in [&["once", "--unpaced"][..], &["once"]] {
        let ended = run_with(flags, &[], Some(&config));
        assert_eq!(ended.code, 0, "{}", ended.output);
        let line = ended.output.lines().find(|line| line.starts_with("sessions_active{"));
        let line = line.unwrap_or_else(|| panic!("{}", ended.output));
        assert!(
            line.contains("store=\"connect-redis\"") && line.ends_with(" 40"),
            "{line}"
        );
    }
}

#[test]
fn a_user_who_may_not_ask_for_types_is_told_what_to_grant() {
    let server = RedisServer::start();
    fill_connect_redis(&mut server.client(), 60);
    // May run TYPE and PTTL, but on no key; or on every key, but not these commands. The latter takes no further rule for keys.
    for (rules, said, mended) in [
        (
            &["resetkeys"][..],
            "grant `+pttl +type %R~sess:*",
            &["+type", "+pttl", "%R~sess:*"][..],
        ),
        (
            &["~*", "-type", "-pttl"],
            "grant `+pttl +type`, and `%R~sess:*",
            &["+type", "+pttl"],
        ),
    ] {
        let mut line = vec!["ACL", "SETUSER", "monitor", "reset", "on", ">secret", "&*", "+@all"];
        line.extend(rules);
        server.command(&line);
        server.command(&["CONFIG", "RESETSTAT"]);
        let further = format!("username: monitor\npassword: secret\n{AUTO}");
        let config = config::fast(&[("redis", &server.address(), &further)]);
        let exporter = Exporter::start(&config);
        let examined = |scrape: &Scrape| {
            let labels = [("instance", "redis"), ("db", "db0")];
            scrape.value("session_scan_keys_total", &labels)
        };
        let unavailable = [("instance", "redis"), ("collector", "sessions"), ("reason", "denied")];
        exporter.wait_for_instance("redis", "several looks, and it is said", BOUND, |scrape| {
            examined(scrape) >= Some(4.0 * 60.0)
                && scrape.value("redis_session_exporter_collector_unavailable", &unavailable) == Some(1.0)
        });
        assert_eq!(
            (rejected(&server, "type"), rejected(&server, "pttl")),
            (1, 1),
            "one example, once: {rules:?}"
        );
        let log = exporter.log();
        assert_eq!(log.matches(said).count(), 1, "{log}");
        for command in ["TYPE", "PTTL"] {
            let count = log
                .lines()
                .filter(|line| line.contains(&format!("command={command}")))
                .count();
            assert_eq!(count, 1, "{log}");
        }
        drop(exporter);
        let check = || run_with(&["check"], &[], Some(&config)).output;
        let output = check();
        let mending = output.lines().find(|line| line.contains("ACL SETUSER"));
        let mending = mending.unwrap_or_else(|| panic!("{output}")).trim();
        let (_, mending) = mending.split_once("ACL SETUSER").unwrap();
        for rule in mended {
            assert!(mending.split(' ').any(|word| word == *rule), "{rule}: {mending}");
        }
        let mut words = vec!["ACL", "SETUSER"];
        words.extend(mending.split_whitespace());
        server.command(&words);
        let output = check();
        assert!(!output.contains("ACL SETUSER"), "{output}");
        assert!(output.contains("store connect-redis: 60 sessions"), "{output}");
    }
}
