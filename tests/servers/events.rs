//! Keyspace notifications: creations, endings and counts against the truth of a real server.

use crate::bench::BACK_BOUND;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::time::{Duration, Instant};

/// Everything that is needed, as the documentation writes it.
pub const ALL_EVENTS: &str = "Egxen";

/// Bound of what should happen within a report, a scan or an interval.
pub const SOON: Duration = Duration::from_secs(10);

/// The store of these tests. Scans are unpaced: the share of a server that shares two cores with everybody else would make them take
/// seconds.
pub const STORE: &str =
    "sessions:\n  - { store: web, match: [\"sess:*\"], exclude: [\"sess:aux:*\"] }\nscan: { redis_share: 0 }";

/// The same with scans that come when they are asked for only: what changes meanwhile, events have changed.
pub const SELDOM: &str = "poll: { scan_interval: 1h }";

const WEB: [(&str, &str); 2] = [("instance", "redis"), ("store", "web")];

/// A server that publishes these events.
pub fn server(events: &str) -> RedisServer {
    RedisServer::start_with(&["--notify-keyspace-events", events])
}

pub fn value(scrape: &Scrape, name: &str) -> Option<f64> {
    scrape.value(name, &WEB)
}

pub fn created(scrape: &Scrape) -> Option<f64> {
    scrape
        .has("sessions_created_total", &WEB)
        .then(|| scrape.sum("sessions_created_total", &WEB))
}

pub fn ended(scrape: &Scrape, reason: &str) -> Option<f64> {
    let labels = [("instance", "redis"), ("store", "web"), ("reason", reason)];
    scrape.value("sessions_ended_total", &labels)
}

pub fn gaps(scrape: &Scrape, reason: &str) -> Option<f64> {
    scrape.value(
        "session_events_gaps_total",
        &[("instance", "redis"), ("reason", reason)],
    )
}

pub fn of_instance(scrape: &Scrape, name: &str) -> Option<f64> {
    scrape.value(name, &[("instance", "redis")])
}

/// Whether events are heard and a pass that began since then has ended.
pub fn is_current(scrape: &Scrape) -> bool {
    of_instance(scrape, "session_events_connected") == Some(1.0)
        && value(scrape, "sessions_active").is_some()
        && value(scrape, "sessions_active_low") == value(scrape, "sessions_active")
}

/// An exporter that hears this server and has counted.
pub fn watch(server: &RedisServer, further: &str) -> Exporter {
    let further = format!("{STORE}\n{further}");
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), &further)]));
    exporter.wait_for_instance("redis", "events are heard", SOON, is_current);
    exporter
}

/// The same, for tests that hold every event against the truth.
fn hear(server: &RedisServer, further: &str) -> Exporter {
    let further = format!("{STORE}\n{further}");
    let exporter = Exporter::start(&config::patient(&[("redis", &server.address(), &further)]));
    exporter.wait_for_instance("redis", "events are heard", SOON, is_current);
    exporter
}

#[test]
fn each_command_counts_as_what_it_is() {
    // What is done, and what it changes: active, created, deleted, expired. `n` of the second setting is not shown by CONFIG GET.
    type Row = (&'static str, &'static [&'static [&'static str]], [f64; 4]);
    let rows: &[Row] = &[
        ("SET", &[&["SET", "sess:1", "x", "EX", "100"]], [1.0, 1.0, 0.0, 0.0]),
        (
            "SET again",
            &[&["SET", "sess:1", "x", "EX", "100"]],
            [0.0, 0.0, 0.0, 0.0],
        ),
        (
            "others",
            &[&["SET", "cart:1", "x"], &["SET", "sess:aux:1", "x"], &["DEL", "cart:1"]],
            [0.0, 0.0, 0.0, 0.0],
        ),
        (
            "SETNX refused, DEL of nothing",
            &[&["SETNX", "sess:1", "x"], &["DEL", "sess:none"]],
            [0.0; 4],
        ),
        (
            "HSET",
            &[&["HSET", "sess:h", "f", "v"], &["HSET", "sess:h", "g", "v"]],
            [1.0, 1.0, 0.0, 0.0],
        ),
        (
            "HDEL of the last field",
            &[&["HDEL", "sess:h", "f", "g"]],
            [-1.0, 0.0, 1.0, 0.0],
        ),
        ("RENAME", &[&["RENAME", "sess:1", "sess:2"]], [0.0; 4]),
        ("RENAME out", &[&["RENAME", "sess:2", "old:2"]], [-1.0, 0.0, 0.0, 0.0]),
        ("RENAME in", &[&["RENAME", "old:2", "sess:2"]], [1.0, 0.0, 0.0, 0.0]),
        ("COPY", &[&["COPY", "sess:2", "sess:3"]], [1.0, 0.0, 0.0, 0.0]),
        ("MOVE out", &[&["MOVE", "sess:3", "5"]], [-1.0, 0.0, 0.0, 0.0]),
        ("GETDEL", &[&["GETDEL", "sess:2"]], [-1.0, 0.0, 1.0, 0.0]),
        (
            "MSET and UNLINK",
            &[&["MSET", "sess:a", "1", "sess:b", "2"], &["UNLINK", "sess:a", "sess:b"]],
            [0.0, 2.0, 2.0, 0.0],
        ),
        (
            "a transaction",
            &[
                &["MULTI"],
                &["SET", "sess:t", "x"],
                &["RENAME", "sess:t", "sess:u"],
                &["EXEC"],
            ],
            [1.0, 1.0, 0.0, 0.0],
        ),
        (
            "a script",
            &[&[
                "EVAL",
                "redis.call('SET','sess:e','x') redis.call('DEL','sess:u') return 1",
                "0",
            ]],
            [0.0, 1.0, 1.0, 0.0],
        ),
        (
            "GETEX and PERSIST",
            &[&["GETEX", "sess:e", "EX", "100"], &["PERSIST", "sess:e"]],
            [0.0; 4],
        ),
    ];
    for setting in [ALL_EVENTS, "AEmn"] {
        let server = server(setting);
        let mut client = server.client();
        let exporter = if setting == ALL_EVENTS {
            hear(&server, SELDOM)
        } else {
            let further = format!("{STORE}\n{SELDOM}");
            let exporter = Exporter::start(&config::patient(&[("redis", &server.address(), &further)]));
            let scrape = exporter.wait_for_instance("redis", "heard", SOON, |scrape| {
                of_instance(scrape, "session_events_connected") == Some(1.0)
                    && value(scrape, "sessions_active").is_some()
            });
            assert_eq!(created(&scrape), None, "nobody knows yet whether creations are told");
            // A key of nobody proves that they are.
            client.command(&["SET", "nobody", "x"]);
            exporter.wait_for_instance("redis", "proven", SOON, |scrape| {
                created(scrape) == Some(0.0) && is_current(scrape)
            });
            exporter
        };
        let mut expected = [0.0; 4];
        for (what, commands, change) in rows {
            for words in *commands {
                client.command(words);
            }
            for (expected, change) in expected.iter_mut().zip(change) {
                *expected += change;
            }
            // A mark behind it, so that what never comes is not waited for.
            client.command(&["SET", "sess:mark", "x"]);
            client.command(&["DEL", "sess:mark"]);
            expected[1] += 1.0;
            expected[2] += 1.0;
            let seen = |scrape: &Scrape| {
                [
                    value(scrape, "sessions_active"),
                    created(scrape),
                    ended(scrape, "deleted"),
                    ended(scrape, "expired"),
                ]
            };
            let expected = expected.map(Some);
            exporter.wait_for_instance("redis", &format!("{setting}, {what}: {expected:?}"), SOON, |scrape| {
                seen(scrape) == expected
            });
        }
        let keys = client.command(&["KEYS", "sess:*"]);
        let truth = keys
            .array()
            .iter()
            .filter(|key| !key.text().starts_with("sess:aux:"))
            .count();
        assert_eq!(value(&exporter.scrape(), "sessions_active"), Some(truth as f64));
        // DUMP is binary, so RESTORE stands apart.
        let Reply::Bulk(dump) = client.command(&["DUMP", "sess:e"]) else {
            panic!()
        };
        client.bytes(&[b"RESTORE", b"sess:r", b"0", &dump]);
        client.command(&["SET", "sess:x", "x", "PX", "30"]);
        let scrape = exporter.wait_for_instance("redis", "restored and expired", SOON, |scrape| {
            value(scrape, "sessions_active") == Some(truth as f64 + 1.0) && ended(scrape, "expired") == Some(1.0)
        });
        assert_eq!(created(&scrape), Some(expected[1] + 1.0));
        for reason in ["disconnect", "lagged", "flush", "config"] {
            assert_eq!(gaps(&scrape, reason), Some(0.0), "{reason}");
        }
        assert_eq!(of_instance(&scrape, "session_events_lost_total"), Some(0.0));
    }
}

/// Runs these commands over a connection of their own.
fn writer(port: u16, commands: Vec<Vec<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || Client::connect(port).unwrap().pipeline(&commands))
}

fn words(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn twenty_thousand_sessions_of_concurrent_writers_are_counted_exactly() {
    let server = server(ALL_EVENTS);
    let mut client = server.client();
    // Scans run all the time beside it, so that their corrections are tried too.
    let exporter = hear(&server, "");
    let writers: Vec<_> = (0..4)
        .map(|writer_number| {
            let mut commands = Vec::new();
            for number in 0..5000 {
                let key = format!("sess:{writer_number}:{number}");
                commands.push(words(&format!("SET {key} value EX 86400")));
                if number % 3 == 0 {
                    commands.push(words(&format!("SET {key} renewed EX 86400")));
                }
                match number % 10 {
                    0 => commands.push(words(&format!("DEL {key}"))),
                    1 => commands.push(words(&format!("PEXPIRE {key} 20"))),
                    2 => commands.push(words(&format!("RENAME {key} sess:r:{writer_number}:{number}"))),
                    3 => commands.push(words(&format!("COPY {key} sess:c:{writer_number}:{number}"))),
                    4 => commands.push(words(&format!("RENAME {key} gone:{writer_number}:{number}"))),
                    _ => {}
                }
                commands.push(words(&format!("SET other:{writer_number}:{number} x PX 50")));
            }
            writer(server.port, commands)
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    // 20,000 created; a tenth each deleted, expired, renamed, copied, renamed away.
    let truth = 20_000.0 - 2_000.0 - 2_000.0 + 2_000.0 - 2_000.0;
    let scrape = exporter.wait_for_instance("redis", "the dust has settled", Duration::from_secs(30), |scrape| {
        ended(scrape, "expired") == Some(2000.0)
            && value(scrape, "sessions_active") == Some(truth)
            && is_current(scrape)
    });
    let keys = client.command(&["EVAL", "return #redis.call('KEYS','sess:*')", "0"]);
    assert_eq!(keys, Reply::Integer(truth as i64));
    assert_eq!(created(&scrape), Some(20_000.0));
    assert_eq!(ended(&scrape, "deleted"), Some(2000.0));
    assert_eq!(ended(&scrape, "evicted"), Some(0.0));
    assert_eq!(of_instance(&scrape, "session_events_lost_total"), Some(0.0));
    for reason in ["disconnect", "lagged", "flush", "config"] {
        assert_eq!(gaps(&scrape, reason), Some(0.0), "{reason}");
    }
    assert_eq!(value(&scrape, "sessions_active_drift"), Some(0.0));
    let labels = [("instance", "redis"), ("event", "rename_to")];
    assert_eq!(scrape.value("session_events_received_total", &labels), Some(4000.0));
}

#[test]
fn evictions_are_told_apart() {
    let server = RedisServer::start_with(&[
        "--notify-keyspace-events",
        ALL_EVENTS,
        "--maxmemory",
        "20mb",
        "--maxmemory-policy",
        "allkeys-random",
    ]);
    let mut client = server.client();
    let exporter = hear(&server, SELDOM);
    let value_bytes = vec![b'x'; 10_000];
    let commands: Vec<Vec<Vec<u8>>> = (0..4000)
        .map(|number| {
            vec![
                b"SET".to_vec(),
                format!("sess:{number}").into_bytes(),
                value_bytes.clone(),
            ]
        })
        .collect();
    client.pipeline(&commands);
    let number = |server: &RedisServer| -> f64 { server.info("evicted_keys").unwrap().parse().unwrap() };
    assert!(number(&server) > 1000.0, "{} evictions", number(&server));
    // The server goes on evicting for a while, as the memory of its clients moves.
    let scrape = exporter.wait_for_instance("redis", "counted", SOON, |scrape| {
        let before = number(&server);
        let Reply::Integer(left) = client.command(&["DBSIZE"]) else {
            panic!()
        };
        ended(scrape, "evicted") == Some(before) && value(scrape, "sessions_active") == Some(left as f64)
    });
    assert_eq!(created(&scrape), Some(4000.0));
    assert_eq!(ended(&scrape, "deleted"), Some(0.0));
    assert_eq!(of_instance(&scrape, "session_events_lost_total"), Some(0.0));
}

#[test]
fn the_ttl_at_creation_is_read_a_second_later() {
    let server = server(ALL_EVENTS);
    let mut client = server.client();
    let further = "sessions:\n  - { store: web, match: [\"sess:*\"], databases: [0, 3] }";
    let exporter = Exporter::start(&config::patient(&[("redis", &server.address(), further)]));
    exporter.wait_for_instance("redis", "events are heard", SOON, is_current);
    for number in 0..10 {
        client.command(&["SET", &format!("sess:{number}"), "x", "EX", "1200"]);
    }
    client.command(&["SELECT", "3"]);
    client.command(&["SET", "sess:forever", "x"]);
    // The TTL comes with a second command, and it is the one that counts.
    client.command(&["HSET", "sess:h", "f", "v"]);
    client.command(&["EXPIRE", "sess:h", "80000"]);
    client.command(&["SET", "sess:gone", "x", "PX", "20"]);
    let bucket = |scrape: &Scrape, bound: &str| {
        let labels = [("instance", "redis"), ("store", "web"), ("le", bound)];
        scrape.value("session_ttl_seconds_bucket", &labels)
    };
    let scrape = exporter.wait_for_instance("redis", "asked", SOON, |scrape| {
        value(scrape, "session_ttl_seconds_count") == Some(12.0)
    });
    assert_eq!(bucket(&scrape, "900.0"), Some(0.0));
    assert_eq!(
        bucket(&scrape, "1800.0"),
        Some(10.0),
        "1200 s, with the second that went by"
    );
    assert_eq!(bucket(&scrape, "86400.0"), Some(11.0));
    assert_eq!(
        bucket(&scrape, "+Inf"),
        Some(12.0),
        "one never expires, and one is gone"
    );
    let sum = value(&scrape, "session_ttl_seconds_sum").unwrap();
    assert!((91_999.0..92_002.0).contains(&sum), "{sum}");
    // Ours is the only connection beside the client's that touches keys: its database is the address's own again.
    let clients = client.command(&["CLIENT", "LIST"]).text();
    let kept = clients
        .lines()
        .filter(|line| line.contains("name=redis-session-exporter"));
    for line in kept {
        assert!(line.contains(" db=0 "), "{line}");
    }
    // No more than 50 in a second, also behind one in which there were fewer.
    let commands: Vec<_> = (0..2000)
        .map(|number| words(&format!("SET sess:many:{number} x EX 100")))
        .collect();
    let began = Instant::now();
    client.pipeline(&commands);
    exporter.wait_for_instance("redis", "2,013 created", SOON, |scrape| created(scrape) == Some(2013.0));
    let seconds = began.elapsed().as_secs() + 1;
    // They are asked a second later; so many polls take three.
    let polls = |scrape: &Scrape| of_instance(scrape, "redis_exporter_scrapes_total").unwrap();
    let before = polls(&exporter.scrape());
    let scrape = exporter.wait_for_instance("redis", "all are asked that will be", SOON, |scrape| {
        polls(scrape) > before + 12.0
    });
    let asked = value(&scrape, "session_ttl_seconds_count").unwrap() - 12.0;
    let most = 50.0 * seconds as f64;
    assert!((50.0..=most).contains(&asked), "{asked} in {seconds} s");
}

#[test]
fn a_user_who_may_not_ask_for_ttls_costs_the_server_one_denial() {
    let server = server(ALL_EVENTS);
    server.command(&[
        "ACL", "SETUSER", "monitor", "on", ">secret", "~*", "&*", "+@all", "-pttl",
    ]);
    let mut client = server.client();
    let further = format!("username: monitor\npassword: secret\n{SELDOM}");
    let exporter = hear(&server, &further);
    client.command(&["SET", "sess:1", "x"]);
    let warned = wait_until(SOON, || exporter.log().contains("may not run PTTL").then_some(()));
    assert!(warned.is_some(), "{}", exporter.log());
    client.command(&["SET", "sess:2", "x"]);
    exporter.wait_for_instance("redis", "counted on", SOON, |scrape| {
        value(scrape, "sessions_active") == Some(2.0)
    });
    let polls = |scrape: &Scrape| of_instance(scrape, "redis_exporter_scrapes_total").unwrap();
    let before = polls(&exporter.scrape());
    let scrape = exporter.wait_for("time to ask again", SOON, |scrape| polls(scrape) > before + 6.0);
    assert!(!scrape.has("session_ttl_seconds_count", &WEB));
    assert_eq!(exporter.log().matches("may not run PTTL").count(), 1);
    let statistics = server.info("cmdstat_pttl").unwrap();
    assert!(statistics.contains("rejected_calls=1,"), "{statistics}");
    assert_eq!(scrape.state("redis").as_deref(), Some("ok"));
}

#[test]
fn of_sources_that_overlap_the_first_counts() {
    let server = server(ALL_EVENTS);
    let rules = "{ source: bot, match: \"sess:g:bot:*\" }, { source: guest, match: \"sess:g:*\" }, { source: late, match: [\"sess:g:*\", \"sess:late:*\"] }";
    let further = format!("sessions:\n  - {{ store: web, match: [\"sess:*\"], sources: [{rules}] }}\n{SELDOM}");
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), &further)]));
    exporter.wait_for_instance("redis", "events are heard", SOON, is_current);
    for (prefix, count) in [("sess:g:bot:", 2), ("sess:g:", 3), ("sess:late:", 4), ("sess:", 5)] {
        for number in 0..count {
            server.command(&["SET", &format!("{prefix}{number}"), "x"]);
        }
    }
    let by_source = |scrape: &Scrape| {
        ["bot", "guest", "late", "other"].map(|source| {
            let labels = [("instance", "redis"), ("store", "web"), ("source", source)];
            scrape.value("sessions_created_total", &labels)
        })
    };
    exporter.wait_for_instance("redis", "each counts once", SOON, |scrape| {
        by_source(scrape) == [2.0, 3.0, 4.0, 5.0].map(Some)
    });
}

#[test]
fn a_replica_is_not_listened_to() {
    let primary = server(ALL_EVENTS);
    let port = primary.port.to_string();
    let replica = RedisServer::start_with(&[
        "--notify-keyspace-events",
        ALL_EVENTS,
        "--replicaof",
        &format!("127.0.0.1 {port}"),
        "--repl-diskless-sync-delay",
        "0",
    ]);
    let exporter = Exporter::start(&config::fast(&[
        ("redis", &primary.address(), STORE),
        ("replica", &replica.address(), STORE),
    ]));
    exporter.wait_until_up(&["redis", "replica"]);
    let scrape = exporter.wait_for_instance("redis", "events are heard", SOON, is_current);
    for name in ["session_events_connected", "sessions_ended_total", "sessions_active"] {
        assert!(!scrape.has(name, &[("instance", "replica")]), "{name}");
    }
    assert_eq!(replica.command(&["PUBSUB", "CHANNELS"]), Reply::Array(Vec::new()));
    // The replica becomes a primary, and the primary its replica: the listener goes along.
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    primary.command(&["REPLICAOF", "127.0.0.1", &replica.port.to_string()]);
    exporter.wait_for("the other one is heard", SOON + BACK_BOUND, |scrape| {
        scrape.value("session_events_connected", &[("instance", "replica")]) == Some(1.0)
            && scrape.has("sessions_active", &[("instance", "replica")])
            && !scrape.has("session_events_connected", &[("instance", "redis")])
            && !scrape.has("sessions_active", &[("instance", "redis")])
    });
    let silent = wait_until(SOON + SLACK, || {
        (primary.command(&["PUBSUB", "CHANNELS"]) == Reply::Array(Vec::new())).then_some(())
    });
    assert!(silent.is_some(), "the old primary is not listened to any more");
}
