//! What the exporter costs a server: connections, round trips, commands.

use crate::bench::{BACK_BOUND, HEALTHY};
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::peer::{Batch, ScriptedPeer, is_command};
use crate::support::redis_server::RedisServer;
use crate::support::resp::Client;
use crate::support::{SLACK, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Commands that the exporter never sends, in capitals: they write, block, or show what others do.
const FORBIDDEN: [&str; 36] = [
    "KEYS",
    "MONITOR",
    "FLUSHALL",
    "FLUSHDB",
    "DEBUG",
    "SET",
    "DEL",
    "UNLINK",
    "EXPIRE",
    "HSET",
    "HDEL",
    "INCR",
    "SADD",
    "ZADD",
    "LPUSH",
    "RPUSH",
    "APPEND",
    "GETSET",
    "MSET",
    "RENAME",
    "PERSIST",
    "EVAL",
    "EVALSHA",
    "FUNCTION",
    "SCRIPT",
    "SHUTDOWN",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
    "REPLICAOF",
    "SLAVEOF",
    "FAILOVER",
    "SWAPDB",
    "MIGRATE",
    "RESTORE",
    "PUBLISH",
];

/// Subcommands that change something although their siblings only read.
const FORBIDDEN_PAIRS: [[&str; 2]; 8] = [
    ["CONFIG", "SET"],
    ["CONFIG", "RESETSTAT"],
    ["CONFIG", "REWRITE"],
    ["CLIENT", "KILL"],
    ["CLIENT", "PAUSE"],
    ["SLOWLOG", "RESET"],
    ["LATENCY", "RESET"],
    ["ACL", "SETUSER"],
];

fn assert_harmless(words: &[String]) {
    let words: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    assert!(!FORBIDDEN.contains(&words[0].as_str()), "{words:?}");
    if let Some(second) = words.get(1) {
        assert!(!FORBIDDEN_PAIRS.contains(&[&words[0], second]), "{words:?}");
    }
}

/// Whether a batch is an INFO poll. Scans ask for single sections, over their own connections.
fn is_info_poll(batch: &Batch) -> bool {
    batch.commands.iter().any(|words| is_command(words, "INFO all"))
}

#[test]
fn one_poll_is_at_most_two_round_trips() {
    let peer = ScriptedPeer::start();
    // `tls` asks for CLIENT LIST behind the number of clients of INFO, when that is due.
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"] }\ncollectors: { tls: off }";
    let exporter = Exporter::start(&config::fast(&[("peer", &peer.address(), store)]));
    exporter.wait_until_up(&["peer"]);
    let infos = |peer: &ScriptedPeer| peer.batches().iter().filter(|batch| is_info_poll(batch)).count();
    assert!(wait_until(Duration::from_secs(5), || (infos(&peer) >= 6).then_some(())).is_some());
    let batches = peer.batches();
    // On the kept connection everything between two INFO batches is PING or the second round trip of a poll.
    let kept = batches.iter().find(|batch| is_info_poll(batch)).unwrap().connection;
    let mut second_trips = 0;
    let mut polls = 0;
    let mut commands_per_poll = BTreeSet::new();
    for batch in batches.iter().filter(|batch| batch.connection == kept) {
        let first_words: Vec<String> = batch
            .commands
            .iter()
            .map(|words| words[0].to_ascii_uppercase())
            .collect();
        if first_words.contains(&"INFO".to_owned()) {
            polls += 1;
            commands_per_poll.insert(first_words.len());
        } else if !first_words
            .iter()
            .all(|word| ["PING", "AUTH", "SELECT", "CLIENT", "HELLO"].contains(&word.as_str()))
        {
            second_trips += 1;
        }
    }
    assert!(polls >= 6, "{polls} polls");
    assert!(
        second_trips <= polls,
        "{second_trips} further round trips for {polls} polls: {batches:#?}"
    );
    assert!(
        second_trips <= 1,
        "with INFO known one round trip is enough: {second_trips} further ones in {polls} polls"
    );
    // What redis_exporter does in 8 commands may not take more.
    assert!(
        commands_per_poll.iter().all(|commands| *commands <= 10),
        "{commands_per_poll:?}"
    );
    println!("{polls} polls of {commands_per_poll:?} commands, {second_trips} second round trips");
    for words in batches.iter().flat_map(|batch| &batch.commands) {
        assert_harmless(words);
    }
}

#[test]
fn connections_stay_within_the_contract() {
    let peer = ScriptedPeer::start();
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"] }";
    let exporter = Exporter::start(&config::fast(&[("peer", &peer.address(), store)]));
    exporter.wait_until_up(&["peer"]);
    let pings = |exporter: &Exporter| {
        exporter
            .scrape()
            .value("redis_pings_total", &[("instance", "peer")])
            .unwrap()
    };
    let before = pings(&exporter);
    exporter.wait_for("twenty pings", config::PING * 20 + SLACK, |scrape| {
        scrape.value("redis_pings_total", &[("instance", "peer")]) >= Some(before + 20.0)
    });
    // One kept, one that scans, one fresh probe. The one that would listen is refused at once, and not tried again.
    assert!(peer.most_at_once() <= 4, "{} connections at once", peer.most_at_once());
    // The kept connection is one and the same all the time.
    let ping_connections: BTreeSet<usize> = peer
        .batches()
        .iter()
        .filter(|batch| is_info_poll(batch))
        .map(|batch| batch.connection)
        .collect();
    assert_eq!(ping_connections.len(), 1, "INFO came over {ping_connections:?}");
}

#[test]
fn one_subscriber_per_instance_and_only_where_events_are_wanted() {
    let server = RedisServer::start_with(&["--notify-keyspace-events", "Egxen"]);
    let stores = "sessions:\n  - { store: web, match: [\"sess:*\"], databases: [0, 1, 2] }\n  - { store: api, match: [\"api:*\"] }";
    // Each instance has a user of its own, by which its connections are told from those of the others.
    let of = |name: &str, further: &str| {
        server.command(&["ACL", "SETUSER", name, "on", ">secret", "~*", "&*", "+@all"]);
        format!("username: {name}\npassword: secret\n{further}")
    };
    let exporter = Exporter::start(&config::fast(&[
        (HEALTHY, &server.address(), &of(HEALTHY, stores)),
        ("none", &server.address(), &of("none", "sessions: []")),
        (
            "off",
            &server.address(),
            &of("off", &format!("{stores}\ncollectors: {{ events: false }}")),
        ),
    ]));
    exporter.wait_until_up(&[HEALTHY, "none", "off"]);
    exporter.wait_for("events are heard", BACK_BOUND, |scrape| {
        scrape.value("session_events_connected", &[("instance", HEALTHY)]) == Some(1.0)
    });
    let pings = |name: &str| {
        exporter
            .scrape()
            .value("redis_pings_total", &[("instance", name)])
            .unwrap()
    };
    let (before, mut most) = (pings(HEALTHY), BTreeMap::from([(HEALTHY, 0), ("none", 0), ("off", 0)]));
    let looked = wait_until(config::PING * 20 + SLACK, || {
        let clients = server.command(&["CLIENT", "LIST"]).text();
        let ours = || {
            clients
                .lines()
                .filter(|line| line.contains("name=redis-session-exporter"))
        };
        let subscribers = ours().filter(|line| !line.contains(" sub=0 ")).count();
        assert_eq!(subscribers, 1, "{clients}");
        for (name, most) in &mut most {
            let user = format!("user={name} ");
            *most = ours().filter(|line| line.contains(&user)).count().max(*most);
        }
        (pings(HEALTHY) >= before + 20.0).then_some(())
    });
    assert!(looked.is_some());
    // One kept, one that scans, one fresh probe; the kept one is always there, and the subscriber comes on top where there is one.
    for (name, most) in most {
        let (scans, listens) = (usize::from(name != "none"), usize::from(name == HEALTHY));
        assert!(most > listens, "{name}: {most}");
        assert!(most <= 2 + scans + listens, "{name}: {most} connections at once");
    }
    for name in ["none", "off"] {
        assert!(
            !exporter.scrape().has("session_events_connected", &[("instance", name)]),
            "{name}"
        );
    }
    let scrape = exporter.scrape();
    assert_eq!(scrape.sum("session_events_gaps_total", &[("instance", HEALTHY)]), 0.0);
}

#[test]
fn a_real_server_sees_one_kept_connection_and_only_reading_commands() {
    let server = RedisServer::start();
    server.command(&["SET", "sess:1", "x"]);
    let mut monitor = server.client();
    monitor.command(&["MONITOR"]);
    let mut client = Client::connect(server.port).unwrap();
    // No probes and no scans while we count: only the kept connection is left.
    let further = "collectors: { connect: false }\nsessions:\n  - { store: web, match: [\"sess:*\"] }\npoll: { scan_interval: 1h }";
    let exporter = Exporter::start(&config::fast(&[(HEALTHY, &server.address(), further)]));
    exporter.wait_until_up(&[HEALTHY]);
    exporter.wait_for("the first scan", BACK_BOUND, |scrape| {
        scrape.has("sessions_active", &[("instance", HEALTHY)])
    });
    let received = |client: &mut Client| {
        let info = client.command(&["INFO", "stats"]).text();
        info.lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"))
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    let before = received(&mut client);
    let polls = exporter
        .scrape()
        .value("redis_exporter_scrapes_total", &[("instance", HEALTHY)])
        .unwrap();
    exporter.wait_for("eight polls", config::INFO * 8 + SLACK, |scrape| {
        scrape.value("redis_exporter_scrapes_total", &[("instance", HEALTHY)]) >= Some(polls + 8.0)
    });
    assert_eq!(received(&mut client), before, "polls come over the kept connection");
    let clients = client.command(&["CLIENT", "LIST"]).text();
    // Ours, the monitor, and the exporter's.
    assert_eq!(clients.lines().count(), 3, "{clients}");

    // Scrapes cause no command: what the monitor saw is only what polls do.
    for _ in 0..50 {
        exporter.scrape();
    }
    client.command(&["PING"]);
    client.command(&["ECHO", "the end"]);
    let end = Instant::now() + Duration::from_secs(10);
    let mut seen = BTreeSet::new();
    loop {
        let line = monitor.read().unwrap().text();
        let words: Vec<String> = line
            .split_once("] ")
            .map(|(_, command)| command)
            .unwrap_or_default()
            .split(' ')
            .map(|word| word.trim_matches('"').to_owned())
            .collect();
        if words[0].eq_ignore_ascii_case("ECHO") {
            break;
        }
        assert_harmless(&words);
        seen.insert(words[0].to_ascii_uppercase());
        assert!(Instant::now() < end, "the monitor never shows the end");
    }
    assert!(
        seen.contains("INFO") && seen.contains("PING") && seen.contains("SCAN"),
        "{seen:?}"
    );
    println!("commands seen: {seen:?}");
}

#[test]
fn scrapes_send_no_command() {
    let peer = ScriptedPeer::start();
    let slow = "poll: { ping_interval: 1h, info_interval: 1h, scan_interval: 1h, connect_interval: 1h }";
    let exporter = Exporter::start(&config::fast(&[("peer", &peer.address(), slow)]));
    exporter.wait_until_up(&["peer"]);
    // The fresh connection of `connect` is the last thing to come.
    exporter.wait_for("connected", Duration::from_secs(5), |scrape| {
        scrape.has("redis_connect_success", &[("instance", "peer")])
    });
    peer.forget();
    for path in [
        "/metrics",
        "/probe?target=peer",
        "/scrape?target=peer",
        "/sd",
        "/health/redis",
        "/health/redis/peer",
        "/config",
        "/",
    ] {
        for _ in 0..5 {
            assert_eq!(exporter.get(path).status, 200, "{path}");
        }
    }
    assert!(peer.batches().is_empty(), "{:?}", peer.batches());
}
