//! Keyspace notifications that are lost, switched off, changed, denied, or nonsense.

use crate::events::{
    ALL_EVENTS, SELDOM, SOON, STORE, created, ended, gaps, is_current, of_instance, server, value, watch,
};
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::peer::{Answer, ScriptedPeer, healthy};
use crate::support::redis_server::RedisServer;
use crate::support::resp::Reply;
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_killed_connection_is_announced_and_the_next_pass_corrects() {
    let server = server(ALL_EVENTS);
    let exporter = watch(&server, "");
    for round in 1..=10_u32 {
        let before = gaps(&exporter.scrape(), "disconnect").unwrap();
        // Nothing hears what is created between the kill and the next subscription.
        let killed = server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        assert_eq!(killed, Reply::Integer(1), "one subscriber");
        server.fill(&format!("sess:{round}:"), 100);
        let truth = f64::from(round) * 100.0;
        let what = format!("round {round}: the gap is announced, and the count is {truth}");
        exporter.wait_for_instance("redis", &what, SOON, |scrape| {
            gaps(scrape, "disconnect") == Some(before + 1.0)
                && value(scrape, "sessions_active") == Some(truth)
                && is_current(scrape)
        });
    }
    let scrape = exporter.scrape();
    assert_eq!(
        of_instance(&scrape, "session_events_lost_total"),
        Some(0.0),
        "a gap is no count of events"
    );
    assert_eq!(gaps(&scrape, "lagged"), Some(0.0));
    assert!(created(&scrape).unwrap() <= 1000.0);
    // Once the connection is there again, all is heard again.
    let before = created(&scrape).unwrap();
    server.fill("sess:after:", 50);
    exporter.wait_for_instance("redis", "heard again", SOON, |scrape| {
        created(scrape) == Some(before + 50.0) && value(scrape, "sessions_active") == Some(1050.0)
    });
}

#[test]
fn a_flush_tells_nobody_and_is_noticed() {
    let server = server(ALL_EVENTS);
    let exporter = watch(&server, "");
    server.fill("sess:", 300);
    exporter.wait_for_instance("redis", "created", SOON, |scrape| {
        value(scrape, "sessions_active") == Some(300.0)
    });
    for (round, words) in [["FLUSHALL"].as_slice(), &["FLUSHDB"], &["SWAPDB", "0", "1"]]
        .iter()
        .enumerate()
    {
        server.command(words);
        let truth: f64 = if words[0] == "SWAPDB" { 0.0 } else { 7.0 };
        if truth > 0.0 {
            server.fill("sess:new:", 7);
        }
        exporter.wait_for_instance("redis", words[0], SOON, |scrape| {
            gaps(scrape, "flush") == Some(round as f64 + 1.0)
                && value(scrape, "sessions_active") == Some(truth)
                && is_current(scrape)
        });
    }
    let scrape = exporter.scrape();
    assert_eq!(ended(&scrape, "deleted"), Some(0.0));
    assert_eq!(gaps(&scrape, "disconnect"), Some(0.0));
}

#[test]
fn counters_that_are_reset_are_no_loss() {
    let server = server(ALL_EVENTS);
    let exporter = watch(&server, SELDOM);
    let mut client = server.client();
    let polls = |scrape: &Scrape| of_instance(scrape, "redis_exporter_scrapes_total").unwrap();
    for round in 0..4 {
        // In all databases: those of nobody count for the comparison too.
        for database in [0, 1, 15] {
            client.command(&["SELECT", &database.to_string()]);
            for number in 0..200 {
                client.command(&["SET", &format!("sess:{number}"), "x", "PX", "10"]);
            }
        }
        let gone = wait_until(SOON, || {
            let keys = server.command(&["INFO", "keyspace"]).text();
            (!keys.contains("db")).then_some(())
        });
        assert!(gone.is_some());
        let before = polls(&exporter.scrape());
        exporter.wait_for("two comparisons", SOON, |scrape| polls(scrape) > before + 3.0);
        if round % 2 == 0 {
            client.command(&["CONFIG", "RESETSTAT"]);
        }
    }
    let scrape = exporter.wait_for_instance("redis", "all expired", SOON, |scrape| {
        ended(scrape, "expired") == Some(800.0)
    });
    let labels = [("instance", "redis"), ("event", "expired")];
    assert_eq!(scrape.value("session_events_received_total", &labels), Some(2400.0));
    assert_eq!(of_instance(&scrape, "session_events_lost_total"), Some(0.0));
    for reason in ["disconnect", "lagged", "flush", "config"] {
        assert_eq!(gaps(&scrape, reason), Some(0.0), "{reason}");
    }
}

#[test]
fn without_notifications_there_is_nothing_but_the_word_that_they_are_missing() {
    let server = server("");
    server.fill("sess:", 5);
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), STORE)]));
    let scrape = exporter.wait_for_instance("redis", "counted", SOON, |scrape| {
        value(scrape, "sessions_active") == Some(5.0) && scrape.has("session_events_connected", &[])
    });
    assert_eq!(of_instance(&scrape, "session_events_connected"), Some(0.0));
    for name in [
        "sessions_created_total",
        "sessions_ended_total",
        "session_ttl_seconds_count",
        "session_events_received_total",
        "session_events_lost_total",
        "session_events_gaps_total",
        "sessions_active_drift",
    ] {
        assert!(!scrape.has(name, &[]), "{name}");
    }
    assert_eq!(value(&scrape, "sessions_active_low"), Some(5.0));
    let told = "CONFIG SET notify-keyspace-events Egxen";
    assert!(exporter.log().contains(told), "{}", exporter.log());
    assert_eq!(server.command(&["PUBSUB", "CHANNELS"]), Reply::Array(Vec::new()));

    // Switched on, they are heard within an INFO interval; switched off, it is a gap, and the last pass counts.
    server.command(&["CONFIG", "SET", "notify-keyspace-events", ALL_EVENTS]);
    exporter.wait_for_instance("redis", "heard", SOON, is_current);
    server.fill("sess:more:", 5);
    exporter.wait_for_instance("redis", "created", SOON, |scrape| created(scrape) == Some(5.0));
    server.command(&["CONFIG", "SET", "notify-keyspace-events", ""]);
    exporter.wait_for_instance("redis", "off again", SOON, |scrape| {
        of_instance(scrape, "session_events_connected") == Some(0.0)
            && !scrape.has("sessions_created_total", &[])
            && value(scrape, "sessions_active") == Some(10.0)
    });
    server.command(&["CONFIG", "SET", "notify-keyspace-events", ALL_EVENTS]);
    exporter.wait_for_instance("redis", "on again, and what was counted is kept", SOON, |scrape| {
        created(scrape) == Some(5.0) && gaps(scrape, "config") == Some(1.0) && is_current(scrape)
    });
}

#[test]
fn events_that_are_asked_for_and_missing_are_a_warning_with_the_command() {
    let server = server("Ex");
    let store = |events: &str| format!("sessions:\n  - {{ store: web, match: [\"sess:*\"], events: {events} }}");
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), &store("on"))]));
    let warnings = |exporter: &Exporter| {
        let log = exporter.log();
        let told = log
            .lines()
            .filter(|line| line.contains("CONFIG SET notify-keyspace-events xEgen"));
        told.filter(|line| line.contains("level=warn")).count()
    };
    assert!(
        wait_until(SOON, || (warnings(&exporter) == 1).then_some(())).is_some(),
        "{}",
        exporter.log()
    );
    let polls = |scrape: &Scrape| of_instance(scrape, "redis_exporter_scrapes_total").unwrap();
    let before = polls(&exporter.scrape());
    exporter.wait_for("more polls", SOON, |scrape| polls(scrape) > before + 4.0);
    assert_eq!(warnings(&exporter), 1, "once\n{}", exporter.log());
    // Switched off by a reload, everything about events goes, and the pass counts.
    server.command(&["SET", "sess:1", "x"]);
    exporter.reload(&config::fast(&[("redis", &server.address(), &store("off"))]));
    exporter.wait_for_instance("redis", "off", SOON, |scrape| {
        !scrape.has("session_events_connected", &[])
            && !scrape.has("sessions_ended_total", &[])
            && value(scrape, "sessions_active") == Some(1.0)
    });
    assert_eq!(server.command(&["PUBSUB", "CHANNELS"]), Reply::Array(Vec::new()));
}

#[test]
fn counters_survive_a_reload_and_leave_with_their_store() {
    let server = server(ALL_EVENTS);
    let stores = |names: &[&str]| {
        let mut text = "sessions:\n".to_owned();
        for name in names {
            let _ = writeln!(
                text,
                "  - {{ store: {name}, match: [\"{name}:*\"], sources: [{{ source: guest, match: \"{name}:g:*\" }}] }}"
            );
        }
        config::fast(&[("redis", &server.address(), &text)])
    };
    let created = |scrape: &Scrape, store: &str, source: &str| {
        let labels = [("instance", "redis"), ("store", store), ("source", source)];
        scrape.value("sessions_created_total", &labels)
    };
    let exporter = Exporter::start(&stores(&["web", "api"]));
    exporter.wait_for_instance("redis", "born at 0", SOON, |scrape| {
        [("web", "guest"), ("web", "other"), ("api", "guest"), ("api", "other")]
            .iter()
            .all(|(store, source)| created(scrape, store, source) == Some(0.0))
    });
    server.fill("web:", 3);
    server.fill("web:g:", 4);
    server.fill("api:g:", 5);
    exporter.wait_for_instance("redis", "created", SOON, |scrape| {
        created(scrape, "web", "other") == Some(3.0)
            && created(scrape, "web", "guest") == Some(4.0)
            && created(scrape, "api", "guest") == Some(5.0)
    });
    exporter.reload(&stores(&["web", "shop"]));
    exporter.wait_for_instance("redis", "reloaded", SOON, |scrape| {
        created(scrape, "web", "guest") == Some(4.0)
            && created(scrape, "api", "guest").is_none()
            && created(scrape, "shop", "guest") == Some(0.0)
            && value(scrape, "sessions_active") == Some(7.0)
    });
    server.fill("web:g:more:", 2);
    exporter.wait_for_instance("redis", "counted on", SOON, |scrape| {
        created(scrape, "web", "guest") == Some(6.0) && value(scrape, "sessions_active") == Some(9.0)
    });
}

#[test]
fn a_part_of_the_events_gives_a_part_of_the_metrics() {
    let server = server("Ex");
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), STORE)]));
    exporter.wait_for_instance("redis", "heard", SOON, |scrape| {
        of_instance(scrape, "session_events_connected") == Some(1.0)
    });
    server.command(&["SET", "sess:1", "x", "PX", "20"]);
    let scrape = exporter.wait_for_instance("redis", "expired", SOON, |scrape| ended(scrape, "expired") == Some(1.0));
    assert_eq!(created(&scrape), None);
    assert_eq!(ended(&scrape, "deleted"), None);
    assert_eq!(ended(&scrape, "evicted"), None);
    assert!(
        !scrape.has("sessions_active_drift", &[]),
        "counts come from passes alone"
    );
    assert!(
        exporter.log().contains("CONFIG SET notify-keyspace-events xEgen"),
        "{}",
        exporter.log()
    );
    // The rest is switched on while we listen.
    server.command(&["CONFIG", "SET", "notify-keyspace-events", ALL_EVENTS]);
    exporter.wait_for_instance("redis", "the rest", SOON, |scrape| {
        created(scrape) == Some(0.0)
            && ended(scrape, "expired") == Some(1.0)
            && gaps(scrape, "config") == Some(1.0)
            && is_current(scrape)
    });
}

#[test]
fn without_config_what_comes_is_believed() {
    let server = server(ALL_EVENTS);
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "on",
        ">secret",
        "~sess:*",
        "resetchannels",
        "&__keyevent@*__:*",
        "-@all",
        "+ping",
        "+info",
        "+select",
        "+dbsize",
        "+scan",
        "+pttl",
        "+subscribe",
        "+client|setname",
    ]);
    let further = format!("username: monitor\npassword: secret\n{STORE}\n{SELDOM}");
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), &further)]));
    let scrape = exporter.wait_for_instance("redis", "heard", SOON, |scrape| {
        of_instance(scrape, "session_events_connected") == Some(1.0) && value(scrape, "sessions_active").is_some()
    });
    assert_eq!(created(&scrape), None);
    assert!(!scrape.has("sessions_ended_total", &[]));
    server.command(&["SET", "sess:1", "x"]);
    server.command(&["SET", "sess:2", "x", "PX", "20"]);
    server.command(&["DEL", "sess:1"]);
    let scrape = exporter.wait_for_instance("redis", "proven", SOON, |scrape| {
        created(scrape) == Some(2.0)
            && ended(scrape, "deleted") == Some(1.0)
            && ended(scrape, "expired") == Some(1.0)
            && value(scrape, "sessions_active") == Some(0.0)
    });
    assert_eq!(ended(&scrape, "evicted"), None, "none came yet");
    server.command(&["SET", "sess:3", "x"]);
    exporter.wait_for_instance("redis", "current", SOON, |scrape| {
        value(scrape, "sessions_active") == Some(1.0) && value(scrape, "sessions_active_low").is_some()
    });
    assert_eq!(of_instance(&exporter.scrape(), "session_events_lost_total"), Some(0.0));
    // Each connection has tried what it needs once, and remembers what was denied.
    let before = denials(&server);
    // Valkey's COMMANDLOG is asked for its three logs in one batch.
    assert!(before.values().all(|count| *count <= 3), "{before:?}");
    let polls = |scrape: &Scrape| of_instance(scrape, "redis_exporter_scrapes_total").unwrap();
    let polled = polls(&exporter.scrape());
    server.command(&["SET", "sess:4", "x"]);
    exporter.wait_for_instance("redis", "more polls, and one more session", SOON, |scrape| {
        polls(scrape) > polled + 8.0 && value(scrape, "sessions_active") == Some(2.0)
    });
    assert_eq!(denials(&server), before, "each denial is remembered");
}

/// How often each command was denied, by ACL LOG.
fn denials(server: &RedisServer) -> BTreeMap<String, i64> {
    let log = server.command(&["ACL", "LOG", "1000"]);
    let mut denials = BTreeMap::new();
    for entry in log.array() {
        let fields = entry.array();
        let field = |name: &str| {
            let at = fields.iter().step_by(2).position(|field| field.text() == name).unwrap();
            &fields[at * 2 + 1]
        };
        *denials.entry(field("object").text()).or_default() += field("count").integer();
    }
    denials
}

#[test]
fn a_user_who_may_not_subscribe_costs_one_attempt() {
    let server = server(ALL_EVENTS);
    server.fill("sess:", 5);
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "on",
        ">secret",
        "~*",
        "resetchannels",
        "+@all",
    ]);
    let further = format!("username: monitor\npassword: secret\n{STORE}");
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), &further)]));
    let labels = [("instance", "redis"), ("collector", "events"), ("reason", "denied")];
    exporter.wait_for_instance("redis", "denied", SOON, |scrape| {
        scrape.value("redis_session_exporter_collector_unavailable", &labels) == Some(1.0)
            && value(scrape, "sessions_active") == Some(5.0)
    });
    let polls = |scrape: &Scrape| of_instance(scrape, "redis_exporter_scrapes_total").unwrap();
    let before = polls(&exporter.scrape());
    let scrape = exporter.wait_for("more polls", SOON, |scrape| polls(scrape) > before + 6.0);
    assert_eq!(of_instance(&scrape, "session_events_connected"), Some(0.0));
    assert!(!scrape.has("session_events_gaps_total", &[]));
    assert_eq!(
        scrape.sum("redis_connection_errors_total", &[]),
        0.0,
        "a denied command is no error of the connection"
    );
    assert_eq!(
        server
            .info("cmdstat_subscribe")
            .map(|text| text.contains("rejected_calls=2")),
        Some(true),
        "{:?}",
        server.info("cmdstat_subscribe")
    );
    // Mended, it works at the next reload.
    server.command(&["ACL", "SETUSER", "monitor", "&__keyevent@*__:*"]);
    exporter.process.signal("HUP");
    exporter.wait_for_instance("redis", "heard", SOON, is_current);
}

#[test]
fn a_user_of_one_database_is_heard_there() {
    let server = server(ALL_EVENTS);
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "on",
        ">secret",
        "~*",
        "resetchannels",
        "&__keyevent@0__:*",
        "+@all",
    ]);
    let exporter = watch(&server, &format!("username: monitor\npassword: secret\n{SELDOM}"));
    server.command(&["SET", "sess:1", "x"]);
    let scrape = exporter.wait_for_instance("redis", "heard", SOON, |scrape| created(scrape) == Some(1.0));
    assert_eq!(scrape.state("redis").as_deref(), Some("ok"));
}

#[test]
fn a_frozen_server_is_a_gap_and_comes_back() {
    let server = server(ALL_EVENTS);
    let exporter = watch(&server, "");
    server.freeze();
    exporter.wait_for_instance("redis", "the gap is announced", SOON, |scrape| {
        gaps(scrape, "disconnect") == Some(1.0) && of_instance(scrape, "session_events_connected") == Some(0.0)
    });
    server.thaw();
    server.fill("sess:", 10);
    exporter.wait_for_instance("redis", "back", SOON, |scrape| {
        value(scrape, "sessions_active") == Some(10.0) && is_current(scrape)
    });
}

/// A confirmation for each channel of a SUBSCRIBE.
fn confirmations(words: &[String]) -> String {
    let mut text = String::new();
    for (count, channel) in words.iter().skip(1).enumerate() {
        let _ = write!(
            text,
            "*3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:{}\r\n",
            channel.len(),
            count + 1
        );
    }
    text
}

fn message(event: &str, key: &str) -> String {
    let channel = format!("__keyevent@0__:{event}");
    format!(
        "*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{key}\r\n",
        channel.len(),
        key.len()
    )
}

/// What a peer does behind the confirmations of a SUBSCRIBE.
type Nonsense = fn(String) -> Answer;

#[test]
fn nonsense_over_the_subscription_ends_it_and_nothing_else() {
    let nonsense: [(&str, Nonsense); 6] = [
        ("garbage", |confirmed| {
            Answer::BytesThenHang(format!("{confirmed}hello\r\n").into_bytes())
        }),
        ("a push", |confirmed| {
            Answer::BytesThenHang(format!("{confirmed}>3\r\n+message\r\n+a\r\n+b\r\n").into_bytes())
        }),
        ("nested arrays", |confirmed| {
            Answer::BytesThenHang(format!("{confirmed}{}", "*1\r\n".repeat(20_000)).into_bytes())
        }),
        ("an endless key", |confirmed| {
            Answer::BytesThenHang(format!("{confirmed}*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$9000000000\r\n").into_bytes())
        }),
        ("an end in the middle", |confirmed| {
            Answer::BytesThenClose(format!("{confirmed}{}*3\r\n$7\r\nmess", message("new", "sess:1")).into_bytes())
        }),
        ("endless messages of others", |_| {
            Answer::Endless(message("set", "sess:1").repeat(100).into_bytes())
        }),
    ];
    for (what, answer) in nonsense {
        let peer = ScriptedPeer::start_with(move |words| {
            if words[0].eq_ignore_ascii_case("SUBSCRIBE") {
                answer(confirmations(words))
            } else {
                healthy(words)
            }
        });
        let exporter = Exporter::start(&config::fast(&[("redis", &peer.address(), STORE)]));
        exporter.wait_until_up(&["redis"]);
        let attempts = |peer: &ScriptedPeer| {
            let batches = peer.batches();
            let commands = batches.iter().flat_map(|batch| &batch.commands);
            commands
                .filter(|words| words[0].eq_ignore_ascii_case("SUBSCRIBE"))
                .count()
        };
        let again = wait_until(SOON, || (attempts(&peer) >= 4).then_some(()));
        assert!(
            again.is_some(),
            "{what}: it is tried again ({} attempts)\n{}",
            attempts(&peer),
            exporter.log()
        );
        let scrape = exporter.scrape();
        assert!(
            exporter.resident_bytes() < 100 << 20,
            "{what}: {} bytes",
            exporter.resident_bytes()
        );
        assert_eq!(of_instance(&scrape, "redis_connection_status"), Some(1.0), "{what}");
        assert!(!exporter.log().contains("panicked"), "{what}: {}", exporter.log());
        assert!(value(&scrape, "sessions_active").is_some(), "{what}");
    }
}

#[test]
fn a_server_that_publishes_without_end_and_never_answers_keeps_no_pass_waiting() {
    // The peer confirms, and answers the first PING over the subscription with events of nobody for ever.
    let scans = Arc::new(AtomicUsize::new(0));
    let (counted, mut is_endless) = (scans.clone(), false);
    let peer = ScriptedPeer::start_with(move |words| {
        let first = words[0].to_ascii_uppercase();
        match first.as_str() {
            "SUBSCRIBE" => Answer::Bytes(confirmations(words).into_bytes()),
            "CONFIG" if words[2] == "notify-keyspace-events" => {
                Answer::Bytes(b"*2\r\n$22\r\nnotify-keyspace-events\r\n$5\r\ngxenE\r\n".to_vec())
            }
            "PING" if words.len() == 2 => {
                is_endless = true;
                Answer::Endless(message("del", "nobody").repeat(100).into_bytes())
            }
            "SCAN" => {
                counted.fetch_add(usize::from(is_endless), Ordering::Relaxed);
                healthy(words)
            }
            _ => healthy(words),
        }
    });
    let exporter = Exporter::start(&config::fast(&[("redis", &peer.address(), STORE)]));
    exporter.wait_for_instance("redis", "passes begin while nothing is answered", SOON, |scrape| {
        scans.load(Ordering::Relaxed) >= 2 && gaps(scrape, "disconnect") == Some(0.0)
    });
    // And the listener does not take the messages for an answer for ever.
    exporter.wait_for_instance("redis", "the silence is noticed", SOON, |scrape| {
        gaps(scrape, "disconnect") >= Some(1.0)
    });
    assert!(
        exporter.log().contains("while listening to keyspace notifications"),
        "{}",
        exporter.log()
    );
}

#[test]
fn a_rename_whose_events_come_in_two_parts_is_no_creation() {
    // A busy server may write `new` at the end of one write and what belongs to it at the beginning of a later one. The peer writes the second
    // part when it is asked the next time, however late that is.
    let mut pings = 0;
    let peer = ScriptedPeer::start_with(move |words| {
        let first = words[0].to_ascii_uppercase();
        match first.as_str() {
            "SUBSCRIBE" => Answer::Bytes(confirmations(words).into_bytes()),
            "CONFIG" if words[2] == "notify-keyspace-events" => {
                Answer::Bytes(b"*2\r\n$22\r\nnotify-keyspace-events\r\n$5\r\ngxenE\r\n".to_vec())
            }
            "PING" if words.len() == 2 => {
                // From the first moment on in which nothing else is asked over the subscription.
                pings += u32::from(pings > 0 || words[1].parse::<u64>().is_err());
                let payload = &words[1];
                let pong = format!("*2\r\n$4\r\npong\r\n${}\r\n{payload}\r\n", payload.len());
                let (before, behind) = match pings {
                    1 => (String::new(), message("new", "sess:2")),
                    2 => (
                        message("rename_from", "sess:1") + &message("rename_to", "sess:2"),
                        message("new", "sess:3"),
                    ),
                    _ => (String::new(), String::new()),
                };
                Answer::Bytes((before + &pong + &behind).into_bytes())
            }
            _ => healthy(words),
        }
    });
    let further = format!("{STORE}\n{SELDOM}");
    let exporter = Exporter::start(&config::fast(&[("redis", &peer.address(), &further)]));
    let scrape = exporter.wait_for_instance("redis", "what was a creation is one", SOON, |scrape| {
        created(scrape) >= Some(1.0)
    });
    let labels = [("instance", "redis"), ("event", "rename_to")];
    assert_eq!(scrape.value("session_events_received_total", &labels), Some(1.0));
    assert_eq!(created(&scrape), Some(1.0), "and the RENAME is none");
    assert_eq!(gaps(&scrape, "disconnect"), Some(0.0));
}

#[test]
fn events_that_the_server_counts_and_never_sends_are_lost() {
    // The peer confirms, answers PINGs, and counts expiries without telling of all of them.
    let (mut expired, mut has_told) = (0_u64, false);
    let peer = ScriptedPeer::start_with(move |words| {
        let first = words[0].to_ascii_uppercase();
        match first.as_str() {
            "SUBSCRIBE" => Answer::Bytes(confirmations(words).into_bytes()),
            "CONFIG" if words[2] == "notify-keyspace-events" => {
                Answer::Bytes(b"*2\r\n$22\r\nnotify-keyspace-events\r\n$5\r\ngxenE\r\n".to_vec())
            }
            "INFO" => {
                expired += 5;
                let info =
                    format!("# Replication\r\nrole:master\r\n# Stats\r\nexpired_keys:{expired}\r\nevicted_keys:0\r\n");
                Answer::Bytes(format!("${}\r\n{info}\r\n", info.len()).into_bytes())
            }
            "PING" if words.len() == 2 => {
                let told = message("expired", "sess:1").repeat(usize::from(!std::mem::replace(&mut has_told, true)));
                let payload = &words[1];
                Answer::Bytes(format!("{told}*2\r\n$4\r\npong\r\n${}\r\n{payload}\r\n", payload.len()).into_bytes())
            }
            _ => healthy(words),
        }
    });
    let exporter = Exporter::start(&config::fast(&[("redis", &peer.address(), STORE)]));
    let scrape = exporter.wait_for_instance("redis", "the loss is announced", SOON, |scrape| {
        of_instance(scrape, "session_events_lost_total") >= Some(3.0) && gaps(scrape, "lagged") >= Some(1.0)
    });
    assert_eq!(gaps(&scrape, "disconnect"), Some(0.0));
}
