//! A million sessions whose truth is known, and what the exporter says about them.

use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use std::time::Duration;

/// Filling, and a debug build that looks at a million keys on a shared core.
const BOUND: Duration = Duration::from_secs(180);

/// Sessions per call of the script that fills a store: a quarter of a second of the server's time.
const PER_CALL: usize = 50_000;

/// Sessions of each store. Together with what is beside them they are more than a million keys.
const WEB: usize = 600_000;
const API: usize = 300_000;
const ADMIN: usize = 100_000;

/// TTLs of the store `web` are spread evenly between these, in seconds.
const WEB_TTL: (usize, usize) = (2_000, 100_000);

/// Every this many sessions of the store `api` never expires.
const API_WITHOUT_TTL_EVERY: usize = 20;

/// Fills `count` keys `PREFIX NUMBER` inside the server. ARGV: prefix, first number, count, shortest TTL, span of TTLs (0: none),
/// value. The TTL of number n is shortest + n mod span.
const FILL: &str = "for n = ARGV[2], ARGV[2] + ARGV[3] - 1 do \
    local key = ARGV[1] .. string.format('%d', n) \
    if tonumber(ARGV[5]) > 0 then \
        redis.call('SET', key, ARGV[6], 'EX', ARGV[4] + (n * 7919) % ARGV[5]) \
    else redis.call('SET', key, ARGV[6]) end \
end";

fn fill(client: &mut Client, prefix: &str, count: usize, (shortest, longest): (usize, usize)) {
    for first in (0..count).step_by(PER_CALL) {
        let numbers =
            [first, PER_CALL.min(count - first), shortest, longest - shortest].map(|number| number.to_string());
        let [first, these, shortest, span] = &numbers;
        let value = "v".repeat(100);
        client.command(&["EVAL", FILL, "0", prefix, first, these, shortest, span, &value]);
    }
}

/// The server that every test of this file asks.
fn server() -> RedisServer {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client, "sess:", WEB, WEB_TTL);
    // Auxiliary keys of the library and data of others.
    fill(&mut client, "sess:lock:", 20_000, (60, 61 + 600));
    fill(&mut client, "cache:page:", 100_000, (0, 0));
    fill(&mut client, "session-statistics:", 5_000, (0, 0));
    fill(&mut client, "admin:token:", ADMIN, (3_600, 3_601));
    let forever = API / API_WITHOUT_TTL_EVERY;
    fill(&mut client, "api:token:forever", forever, (0, 0));
    fill(&mut client, "api:token:", API - forever, (86_000, 86_400));
    server
}

/// The three stores, counted in this way.
fn stores(count: &str) -> String {
    format!(
        "sessions:
  - {{ store: web, match: [\"sess:*\"], exclude: [\"sess:lock:*\"], expected_ttl: 50000s, count: {count} }}
  - {{ store: api, match: [\"api:token:*\"], type: string, count: {count} }}
  - {{ store: admin, match: [\"admin:*\"], id: \"^admin:token:[0-9]+$\", count: {count} }}
scan: {{ redis_share: 0 }}
collectors: {{ connect: off }}"
    )
}

fn value(scrape: &Scrape, name: &str, store: &str) -> Option<f64> {
    scrape.value(name, &[("instance", "redis"), ("store", store)])
}

/// Asserts that a figure and its interval hold the truth.
fn holds(scrape: &Scrape, name: &str, store: &str, truth: f64) {
    let figure = |suffix: &str| value(scrape, &format!("{name}{suffix}"), store).unwrap();
    let (low, middle, high) = (figure("_low"), figure(""), figure("_high"));
    assert!(low <= middle && middle <= high, "{name} {store}: {low} {middle} {high}");
    // Six standard deviations on either side instead of two: the hash seed of the server is nobody's to choose, and this test
    // must not fail one time in twenty. How often the interval itself holds the truth is counted by the benches.
    let slack = (high - low) / 2.0 * 2.0;
    assert!(
        low - slack <= truth && truth <= high + slack,
        "{name} {store}: {truth} is not in {low} .. {high}"
    );
}

/// The share of a store's sessions at or below a TTL.
fn ttl_share(scrape: &Scrape, store: &str, bound: &str) -> f64 {
    let bucket = |le: &str| {
        let labels = [("instance", "redis"), ("store", store), ("le", le)];
        scrape.value("sessions_ttl_remaining_seconds_bucket", &labels).unwrap()
    };
    bucket(bound) / bucket("+Inf")
}

#[test]
fn a_million_sessions_of_three_stores_are_counted() {
    let server = server();
    let slow = "poll: { ping_interval: 500ms, info_interval: 1s, scan_interval: 1s, timeout: 5s }\n";
    let config = |count: &str| {
        let instances = config::instances_yaml(&[("redis", &server.address(), &stores(count))]);
        format!("environment: test\n{slow}{instances}")
    };
    let exporter = Exporter::start(&config("exact"));
    let counted = |scrape: &Scrape| {
        ["web", "api", "admin"]
            .iter()
            .all(|store| value(scrape, "sessions_active", store).is_some())
    };
    let scrape = exporter.wait_for_instance("redis", "counted exactly", BOUND, counted);
    for (store, truth) in [("web", WEB), ("api", API), ("admin", ADMIN)] {
        let truth = truth as f64;
        for name in ["sessions_active", "sessions_active_low", "sessions_active_high"] {
            assert_eq!(value(&scrape, name, store), Some(truth), "{name} {store}");
        }
    }
    details_are_right(&scrape);

    // The same by samples. The old figures leave with the reload; what is seen next is an estimate.
    exporter.reload(&config("sample"));
    let is_estimate = |scrape: &Scrape| {
        let of = |name: &str| value(scrape, name, "web");
        matches!((of("sessions_active_low"), of("sessions_active_high")), (Some(low), Some(high)) if low < high)
    };
    let scrape = exporter.wait_for_instance("redis", "estimated", BOUND, is_estimate);
    for (store, truth) in [("web", WEB), ("api", API), ("admin", ADMIN)] {
        holds(&scrape, "sessions_active", store, truth as f64);
    }
    details_are_right(&scrape);
    let lookups = scrape.sum("session_scan_keyspace_lookups_total", &[("instance", "redis")]);
    let hits: f64 = server.info("keyspace_hits").unwrap().parse().unwrap();
    assert!(lookups > 0.0 && hits >= lookups, "{lookups} of {hits}");
}

/// What is read of single sessions is within two percent of the whole, or within its interval.
fn details_are_right(scrape: &Scrape) {
    holds(scrape, "sessions_without_ttl", "web", 0.0);
    holds(
        scrape,
        "sessions_without_ttl",
        "api",
        (API / API_WITHOUT_TTL_EVERY) as f64,
    );
    let (shortest, longest) = WEB_TTL;
    for bound in ["3600.0", "21600.0", "43200.0", "86400.0"] {
        let seconds: f64 = bound.parse().unwrap();
        let truth = (seconds - shortest as f64) / (longest - shortest) as f64;
        let share = ttl_share(scrape, "web", bound);
        // Two percent at 95 % confidence; three times that for certainty.
        assert!((share - truth).abs() < 0.06, "TTL {bound}: {share}, in truth {truth}");
    }
    let beyond = value(scrape, "sessions_ttl_exceeding", "web").unwrap() / WEB as f64;
    assert!((beyond - 50_000.0 / 98_000.0).abs() < 0.06, "{beyond}");
    let bytes = value(scrape, "sessions_memory_bytes", "admin").unwrap() / ADMIN as f64;
    // 100 bytes of value, a key of about 17, and what Redis needs around them.
    assert!((150.0..350.0).contains(&bytes), "{bytes}");
}

/// What a writer did.
#[derive(Debug, Default, Clone, Copy)]
struct Written {
    created: i64,
    deleted: i64,
}

/// Creates `count` sessions, renews some, deletes a third, and gives another third a TTL of a moment.
fn write(port: u16, writer: usize, count: usize) -> Written {
    let mut client = Client::connect(port).unwrap();
    let mut written = Written::default();
    for first in (0..count).step_by(500) {
        let numbers = first..(first + 500).min(count);
        for number in numbers.clone() {
            let key = format!("sess:{writer}:{number}");
            let words: [&[u8]; 5] = [b"SET", key.as_bytes(), b"value", b"EX", b"100000"];
            client.send(&words).unwrap();
            match number % 3 {
                0 => client.send(&[b"DEL", key.as_bytes()]).unwrap(),
                1 => client.send(&[b"PEXPIRE", key.as_bytes(), b"200"]).unwrap(),
                _ => client.send(&words).unwrap(),
            }
        }
        for number in numbers {
            assert_eq!(client.read().unwrap().text(), "OK");
            written.created += 1;
            match (number % 3, client.read().unwrap()) {
                (0, Reply::Integer(deleted)) => written.deleted += deleted,
                (1, Reply::Integer(1)) | (2, Reply::Simple(_)) => {}
                (_, other) => panic!("{other:?}"),
            }
        }
    }
    written
}

/// Runs four writers with 25,000 sessions each, and `meanwhile` beside them.
fn write_all(port: u16, meanwhile: impl FnOnce()) -> Written {
    let writers: Vec<_> = (0..4)
        .map(|writer| std::thread::spawn(move || write(port, writer, 25_000)))
        .collect();
    meanwhile();
    let mut all = Written::default();
    for writer in writers {
        let written = writer.join().unwrap();
        all.created += written.created;
        all.deleted += written.deleted;
    }
    all
}

fn number(server: &RedisServer, field: &str) -> f64 {
    server.info(field).unwrap().parse().unwrap()
}

/// A store that is sampled, so that a saw-tooth between scans would show, on a server with notifications.
fn with_events(count: &str) -> (RedisServer, Exporter) {
    let server = RedisServer::start_with(&["--notify-keyspace-events", "Egxen"]);
    let mut client = server.client();
    fill(&mut client, "cache:", 50_000, (0, 0));
    let store = format!(
        "sessions:\n  - {{ store: web, match: [\"sess:*\"], count: {count}, events: on }}\nscan: {{ redis_share: 0, sample_keys: 10000 }}"
    );
    let exporter = Exporter::start(&config::patient(&[("redis", &server.address(), &store)]));
    exporter.wait_for_instance("redis", "events are heard", BOUND, |scrape| {
        scrape.value("session_events_connected", &[("instance", "redis")]) == Some(1.0)
            && value(scrape, "sessions_active", "web") == Some(0.0)
    });
    (server, exporter)
}

fn ended(scrape: &Scrape, reason: &str) -> Option<f64> {
    let labels = [("instance", "redis"), ("store", "web"), ("reason", reason)];
    scrape.value("sessions_ended_total", &labels)
}

#[test]
fn a_hundred_thousand_sessions_that_come_and_go_are_told_exactly() {
    let (server, exporter) = with_events("sample");
    let written = write_all(server.port, || {});
    // A third of what is left does not fit any more. The limit keeps the cache, which has no TTL, out of it.
    let limit = (number(&server, "used_memory") * 0.99).round().to_string();
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-random"]);
    server.command(&["CONFIG", "SET", "maxmemory", &limit]);
    server.command(&["SET", "cache:last", "x"]);
    let scrape = exporter.wait_for_instance("redis", "every event is counted", BOUND, |scrape| {
        // Walking over the keys makes the server delete what has expired, and tell it.
        number_of_sessions(&server);
        let (expired, evicted) = (number(&server, "expired_keys"), number(&server, "evicted_keys"));
        ended(scrape, "expired") == Some(expired)
            && ended(scrape, "evicted") == Some(evicted)
            && value(scrape, "sessions_active", "web")
                == Some(written.created as f64 - written.deleted as f64 - expired - evicted)
            && evicted > 0.0
            && ended(scrape, "deleted") == Some(written.deleted as f64)
    });
    assert_eq!(
        scrape.sum("sessions_created_total", &[("instance", "redis"), ("store", "web")]),
        written.created as f64
    );
    assert_eq!(
        scrape.value("session_events_lost_total", &[("instance", "redis")]),
        Some(0.0)
    );
    let living = number_of_sessions(&server);
    assert_eq!(
        value(&scrape, "sessions_active", "web"),
        Some(living),
        "events keep the count, samples do not shake it
{}",
        scrape.about("redis")
    );
    // Every further sample agrees or keeps its hands off.
    let passes = |scrape: &Scrape| {
        scrape.value(
            "session_scan_last_success_timestamp_seconds",
            &[("instance", "redis"), ("db", "db0")],
        )
    };
    let mut seen = passes(&scrape);
    for _ in 0..10 {
        let scrape = exporter.wait_for_instance("redis", "another sample", BOUND, |scrape| passes(scrape) > seen);
        seen = passes(&scrape);
        assert_eq!(value(&scrape, "sessions_active", "web"), Some(living), "no saw-tooth");
    }
}

/// Living sessions, counted by the server.
fn number_of_sessions(server: &RedisServer) -> f64 {
    let script = "local n, cursor = 0, '0' repeat local page = redis.call('SCAN', cursor, 'MATCH', 'sess:*', 'COUNT', 10000) \
                  cursor = page[1] n = n + #page[2] until cursor == '0' return n";
    server.command(&["EVAL", script, "0"]).integer() as f64
}

#[test]
fn killed_subscribers_are_announced_and_the_next_pass_corrects() {
    let (server, exporter) = with_events("exact");
    write_all(server.port, || {
        for killed in 1..=10 {
            exporter.wait_for_instance("redis", "events are heard", BOUND, |scrape| {
                scrape.value("session_events_connected", &[("instance", "redis")]) == Some(1.0)
            });
            server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            let labels = [("instance", "redis"), ("reason", "disconnect")];
            exporter.wait_for_instance("redis", "the gap is announced", BOUND, |scrape| {
                scrape.value("session_events_gaps_total", &labels) >= Some(f64::from(killed))
            });
        }
    });
    exporter.wait_for_instance(
        "redis",
        "the pass after the last gap has corrected the count",
        BOUND,
        |scrape| {
            // The short-lived third is gone once nothing of it is left to expire.
            let living = number_of_sessions(&server);
            living == 33_332.0
                && value(scrape, "sessions_active", "web") == Some(living)
                && value(scrape, "sessions_active_low", "web") == Some(living)
        },
    );
}
