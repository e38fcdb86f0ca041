//! What scans find out about sessions, held against the truth of a real server: exact counts among everything else that lives in a
//! database, estimates, and the figures about single sessions.

use crate::support::config;
use crate::support::exporter::{Exporter, run_with};
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Long enough for several passes on a machine that compiles meanwhile.
const BOUND: Duration = Duration::from_secs(60);

/// Commands as bytes.
type Commands = Vec<Vec<Vec<u8>>>;

fn command(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

fn set(key: &str, value: &str, seconds: Option<u64>) -> Vec<Vec<u8>> {
    let seconds = seconds.map(|seconds| seconds.to_string());
    match &seconds {
        Some(seconds) => command(&[b"SET", key.as_bytes(), value.as_bytes(), b"EX", seconds.as_bytes()]),
        None => command(&[b"SET", key.as_bytes(), value.as_bytes()]),
    }
}

/// Fills a store: `prefix` and a number, with a TTL of a day.
pub fn fill(client: &mut Client, prefix: &str, count: usize) {
    let commands: Commands = (0..count)
        .map(|number| set(&format!("{prefix}{number}"), "value", Some(86_400)))
        .collect();
    client.pipeline(&commands);
}

/// A metric of the only instance with its other labels.
fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut all = vec![("instance", "redis")];
    all.extend_from_slice(labels);
    scrape.value(name, &all)
}

/// An estimate of a store: value, low, high.
fn estimate(scrape: &Scrape, name: &str, store: &str) -> Option<(f64, f64, f64)> {
    let of = |suffix: &str| value(scrape, &format!("{name}{suffix}"), &[("store", store)]);
    Some((of("")?, of("_low")?, of("_high")?))
}

fn once(address: &str, further: &str) -> Scrape {
    let config = config::fast(&[("redis", address, further)]);
    let ended = run_with(&["once", "--unpaced"], &[], Some(&config));
    assert_eq!(ended.code, 0, "{}", ended.output);
    let lines = ended
        .output
        .lines()
        .filter(|line| line.starts_with('#') || line.contains("instance=\""));
    Scrape::parse(
        &lines
            .filter(|line| !line.starts_with("# EOF"))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

#[test]
fn three_stores_among_everything_else_are_counted_exactly() {
    let server = RedisServer::start();
    let mut client = server.client();
    let mut random = fastrand::Rng::with_seed(1);
    let mut commands: Commands = Vec::new();
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    let hex = |random: &mut fastrand::Rng| format!("{:032x}", random.u128(..));
    for number in 0..200_000_u32 {
        let id = hex(&mut random);
        let key = match number % 20 {
            0..8 => {
                *expected.entry("web").or_default() += 1;
                format!("sess:{id}")
            }
            8..11 => {
                *expected.entry("shop").or_default() += 1;
                format!("app:{}:session:{id}", number % 3)
            }
            11 => {
                *expected.entry("api").or_default() += 1;
                format!("{{tag}}:token:{id}")
            }
            // What lies beside sessions and what only looks like them.
            12 => format!("sess:lock:{id}"),
            13 => format!("sess:{}", &id[..31]),
            14 => format!("sess_{id}"),
            15 => format!("app:9:session:{id}:idx"),
            16 => format!("{{tag}}:tokens:{id}"),
            _ => format!("cache:{id}"),
        };
        commands.push(set(&key, "x", (number % 2 == 0).then_some(86_400)));
    }
    // One odd hash tag, binary keys, and keys of a megabyte.
    let huge = [b"sess:".to_vec(), vec![b'a'; 1024 * 1024]].concat();
    commands.push(command(&[b"SET", &huge, b"x"]));
    commands.push(command(&[b"SET", b"sess:\xff\xfe\x00\r\n", b"x"]));
    commands.push(command(&[b"SADD", b"sess:index", b"x"]));
    client.pipeline(&commands);
    drop(commands);
    let further = "sessions:
  - { store: web, match: \"sess:*\", exclude: \"sess:lock:*\", id: \"^sess:[0-9a-f]{32}$\" }
  - { store: shop, match: \"app:*:session:*\", id: \"^app:(?P<app>[0-9])+:session:[0-9a-f]{32}$\", app_label: on }
  - { store: api, match: \"{tag}:token:*\", count: exact }
  - { store: overlapping, match: [\"sess:*\", \"cache:*\"], exclude: \"sess:lock:*\" }";
    let scrape = once(&server.address(), further);
    for (store, count) in &expected {
        let found: f64 = scrape.sum("sessions_active", &[("store", store)]);
        assert_eq!(found, *count as f64, "{store}");
        for end in ["_low", "_high"] {
            let end = scrape.sum(&format!("sessions_active{end}"), &[("store", store)]);
            assert_eq!(end, *count as f64, "{store} is counted, not estimated");
        }
    }
    let apps: BTreeSet<&str> = scrape
        .all("sessions_active", &[("store", "shop")])
        .map(|sample| sample.labels["app"].as_str())
        .collect();
    assert_eq!(apps, BTreeSet::from(["0", "1", "2"]));
    // `sess:` with 32 or 31 digits, the binary one, the set; a key of a megabyte matches nothing.
    let overlapping = 8 * 10_000 + 10_000 + 2 + 3 * 10_000;
    assert_eq!(
        value(&scrape, "sessions_active", &[("store", "overlapping")]),
        Some(f64::from(overlapping))
    );
    let coverage = value(&scrape, "session_scan_coverage_ratio", &[("db", "db0")]).unwrap();
    assert!((0.999..=1.001).contains(&coverage), "{coverage}");
    // Shares are estimates. Twice the interval, since one of 20 does not hold the truth and nobody chooses who is picked.
    let (without, low, high) = estimate(&scrape, "sessions_without_ttl", "web").unwrap();
    assert!(low < without && without < high, "{low} {without} {high}");
    assert!((without - 40_000.0).abs() <= high - low, "{low} {without} {high}");
}

#[test]
fn a_sample_holds_the_truth_and_rolls_on() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client, "sess:", 12_000);
    fill(&mut client, "other:", 28_000);
    let further = "scan: { sample_keys: 1000, redis_share: 0.5 }
sessions:
  - { store: web, match: \"sess:*\", count: sample }
  - { store: none, match: \"nothing:*\", count: sample }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let mut seen: BTreeMap<u64, (f64, f64, f64)> = BTreeMap::new();
    let wanted = 25;
    let scrape = exporter.wait_for_instance("redis", "samples", BOUND, |scrape| {
        let at = value(scrape, "session_scan_last_success_timestamp_seconds", &[("db", "db0")]);
        if let (Some(at), Some(found)) = (at, estimate(scrape, "sessions_active", "web")) {
            seen.insert(at.to_bits(), found);
        }
        seen.len() >= wanted
    });
    let inside = seen
        .values()
        .filter(|(_, low, high)| (*low..=*high).contains(&12_000.0))
        .count();
    // 95 % of 25 with four standard errors to spare.
    assert!(inside >= 19, "{inside} of {}: {seen:?}", seen.len());
    assert!(seen.values().all(|(value, low, high)| low < value && value < high));
    let different: BTreeSet<u64> = seen.values().map(|(value, _, _)| value.to_bits()).collect();
    assert!(different.len() > wanted / 2, "a new window every time: {seen:?}");
    let coverage = value(&scrape, "session_scan_coverage_ratio", &[("db", "db0")]).unwrap();
    assert!((0.025..0.028).contains(&coverage), "{coverage}");
    let (none, low, high) = estimate(&scrape, "sessions_active", "none").unwrap();
    assert!(
        none == 0.0 && low == 0.0 && (50.0..400.0).contains(&high),
        "nothing found is not nothing there: {high}"
    );
    // The cost of a pass is that of its window.
    let per_pass = value(&scrape, "session_scan_keys_total", &[("db", "db0")]).unwrap();
    assert!(per_pass < 1200.0 * (seen.len() + 15) as f64, "{per_pass}");
    // A few stay: the whole database is then cheaper to count.
    client.command(&["FLUSHALL"]);
    fill(&mut client, "sess:", 700);
    exporter.wait_for_instance("redis", "counted exactly", BOUND, |scrape| {
        estimate(scrape, "sessions_active", "web") == Some((700.0, 700.0, 700.0))
    });
}

/// The cumulative buckets of a distribution of a store, with `+Inf`.
fn buckets(scrape: &Scrape, name: &str, store: &str) -> Vec<(f64, f64)> {
    let all = scrape.all(&format!("{name}_bucket"), &[("store", store)]);
    let parse = |bound: &str| {
        if bound == "+Inf" {
            f64::INFINITY
        } else {
            bound.parse().unwrap()
        }
    };
    let mut buckets: Vec<(f64, f64)> = all.map(|sample| (parse(&sample.labels["le"]), sample.value)).collect();
    buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
    buckets
}

#[test]
fn single_sessions_are_looked_at() {
    let server = RedisServer::start();
    let mut client = server.client();
    let mut commands: Commands = Vec::new();
    // 2000 sessions, fewer than the limit: everything is exact.
    for number in 0..2000_u64 {
        let seconds = match number % 10 {
            0 => None,
            1..4 => Some(200 + number % 50),
            4..8 => Some(3000),
            _ => Some(100_000),
        };
        let value = if number % 4 == 0 {
            "{\"user\":1}".to_owned()
        } else {
            format!("enc:v1:{}", "x".repeat(300))
        };
        commands.push(set(&format!("sess:{number}"), &value, seconds));
    }
    commands.push(command(&[b"HSET", b"sess:hash", b"field", b"value"]));
    client.pipeline(&commands);
    let further = "sessions:
  - { store: web, match: \"sess:*\", type: string, expected_ttl: 1h, encryption: { expect_prefix: \"enc:v1:\" } }
  - { store: empty, match: \"nothing:*\" }";
    let lookups = || -> u64 {
        let number = |field: &str| server.info(field).unwrap().parse::<u64>().unwrap();
        number("keyspace_hits") + number("keyspace_misses")
    };
    let before = lookups();
    let scrape = once(&server.address(), further);
    let caused = lookups() - before;
    let exact = |value: f64| Some((value, value, value));
    assert_eq!(
        estimate(&scrape, "sessions_active", "web"),
        exact(2000.0),
        "the hash is no session"
    );
    assert_eq!(estimate(&scrape, "sessions_without_ttl", "web"), exact(200.0));
    assert_eq!(estimate(&scrape, "sessions_unencrypted", "web"), exact(500.0));
    assert_eq!(
        value(&scrape, "sessions_ttl_exceeding", &[("store", "web")]),
        Some(400.0)
    );
    assert_eq!(estimate(&scrape, "sessions_memory_bytes", "empty"), exact(0.0));
    let ttl = buckets(&scrape, "sessions_ttl_remaining_seconds", "web");
    let counts: Vec<f64> = ttl.iter().map(|(_, count)| *count).collect();
    assert_eq!(
        counts,
        [0.0, 600.0, 600.0, 600.0, 1400.0, 1400.0, 1400.0, 1400.0, 1800.0, 2000.0]
    );
    let mut truth = 0.0;
    for number in 0..2000 {
        truth += client
            .command(&["MEMORY", "USAGE", &format!("sess:{number}")])
            .integer() as f64;
    }
    assert_eq!(estimate(&scrape, "sessions_memory_bytes", "web"), exact(truth));
    let sizes = buckets(&scrape, "session_size_bytes", "web");
    assert_eq!(sizes.last().unwrap().1, 2000.0);
    assert!(
        sizes.iter().any(|(bound, count)| *bound == 128.0 && *count >= 500.0),
        "{sizes:?}"
    );
    assert_eq!(scrape.types["sessions_ttl_remaining_seconds"], "histogram");
    let counted = value(&scrape, "session_scan_keyspace_lookups_total", &[("db", "db0")]).unwrap();
    assert_eq!(counted, caused as f64, "what we add to hits and misses is told");
}

#[test]
fn quantiles_of_a_large_store_hold_within_two_percent() {
    let server = RedisServer::start();
    let mut client = server.client();
    // Uniform over a day: every bucket has a known share.
    let total = 60_000_u64;
    let commands: Commands = (0..total)
        .map(|number| set(&format!("sess:{number}"), "x", Some(120 + number * 86_000 / total)))
        .collect();
    client.pipeline(&commands);
    let scrape = once(&server.address(), "sessions: [{ store: web, match: \"sess:*\" }]");
    assert_eq!(
        estimate(&scrape, "sessions_active", "web"),
        Some((60_000.0, 60_000.0, 60_000.0))
    );
    let ttl = buckets(&scrape, "sessions_ttl_remaining_seconds", "web");
    assert_eq!(ttl.last().unwrap().1, 60_000.0);
    for (bound, count) in ttl {
        let truth = ((bound - 120.0) / 86_000.0).clamp(0.0, 1.0);
        let found = count / total as f64;
        // 2500 at random: a standard error of at most 1.05 % of all. Four of them, since nobody chooses who is picked.
        assert!((found - truth).abs() < 0.042, "{bound}: {found} is not {truth}");
    }
    assert!(
        estimate(&scrape, "sessions_without_ttl", "web")
            .is_some_and(|(value, low, high)| value == 0.0 && low == 0.0 && high < 150.0)
    );
}

#[test]
fn an_index_of_the_library_counts() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client, "sess:", 30);
    let far = "99999999999999";
    for number in 0..30 {
        let score = if number < 10 { "1000" } else { far };
        client.command(&["ZADD", "sess-index", score, &number.to_string()]);
    }
    let further = "sessions: [{ store: web, match: \"sess:*\", index: sess-index }]";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let active =
        |count: f64| move |scrape: &Scrape| estimate(scrape, "sessions_active", "web") == Some((count, count, count));
    exporter.wait_for_instance("redis", "those that the index lets live", BOUND, active(20.0));
    client.command(&["DEL", "sess-index"]);
    exporter.wait_for_instance("redis", "without the index the keys count", BOUND, active(30.0));
    client.command(&["SET", "sess-index", "of another type"]);
    exporter.wait_for_instance("redis", "counted", BOUND, active(30.0));
    let said = exporter.log().matches("the index of sessions is missing").count();
    assert_eq!(said, 1, "{}", exporter.log());
}

#[test]
fn what_is_denied_about_single_sessions_is_absent_and_the_rest_is_there() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client, "sess:", 300);
    fill(&mut client, "secret:", 200);
    client.command(&[
        "ACL", "SETUSER", "monitor", "on", ">secret", "~sess:*", "&*", "+@all", "-pttl",
    ]);
    let further = "username: monitor
password: secret
sessions:
  - { store: web, match: \"sess:*\" }
  - { store: secret, match: \"secret:*\" }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let passes = |scrape: &Scrape| value(scrape, "session_scan_keys_total", &[("db", "db0")]).unwrap_or_default();
    let scrape = exporter.wait_for_instance("redis", "several passes", BOUND, |scrape| passes(scrape) >= 5.0 * 500.0);
    assert_eq!(estimate(&scrape, "sessions_active", "web"), Some((300.0, 300.0, 300.0)));
    assert_eq!(
        estimate(&scrape, "sessions_active", "secret"),
        Some((200.0, 200.0, 200.0))
    );
    assert!(estimate(&scrape, "sessions_memory_bytes", "web").is_some_and(|(value, _, _)| value > 300.0 * 40.0));
    assert_eq!(
        estimate(&scrape, "sessions_memory_bytes", "secret"),
        None,
        "its keys may not be read"
    );
    for store in ["web", "secret"] {
        assert_eq!(estimate(&scrape, "sessions_without_ttl", store), None);
        assert!(buckets(&scrape, "sessions_ttl_remaining_seconds", store).is_empty());
    }
    let unavailable = [("collector", "sessions"), ("reason", "denied")];
    assert_eq!(
        value(&scrape, "redis_session_exporter_collector_unavailable", &unavailable),
        Some(1.0)
    );
    let success = [("collector", "sessions")];
    assert_eq!(
        value(&scrape, "redis_session_exporter_collector_success", &success),
        Some(1.0)
    );
    // One denial each, however many keys and passes there were.
    let denials: i64 = client
        .command(&["ACL", "LOG"])
        .array()
        .iter()
        .map(|entry| match &entry.array()[1] {
            Reply::Integer(count) => *count,
            other => panic!("{other:?}"),
        })
        .sum();
    assert!((1..=3).contains(&denials), "{denials} denials");
    let said = exporter
        .log()
        .matches("a command about single sessions is not to be had")
        .count();
    assert_eq!(said, 2, "{}", exporter.log());
    assert_eq!(scrape.state("redis").as_deref(), Some("ok"));
}

#[test]
fn a_node_of_a_cluster_is_counted() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let mut client = server.client();
    let slots: Vec<String> = (0..16_384).map(|slot| slot.to_string()).collect();
    let words: Vec<&str> = ["CLUSTER", "ADDSLOTS"]
        .into_iter()
        .chain(slots.iter().map(String::as_str))
        .collect();
    client.command(&words);
    let serves = wait_until(BOUND, || {
        (client.command(&["CLUSTER", "INFO"]).text().contains("cluster_state:ok")).then_some(())
    });
    assert!(serves.is_some(), "the node serves all slots");
    // Half of all sessions in one slot: a window over some slots is no random sample of them.
    fill(&mut client, "{app}:sess:", 3000);
    fill(&mut client, "sess:", 3000);
    let further = "scan: { sample_keys: 1000 }
sessions: [{ store: web, match: [\"sess:*\", \"{app}:sess:*\"], count: sample }]";
    let scrape = once(&server.address(), further);
    let (found, low, high) = estimate(&scrape, "sessions_active", "web").unwrap();
    // Six standard deviations to either side: one sample in twenty lies outside its own interval.
    let reach = (high - low) * 1.5;
    assert!(
        (found - reach..=found + reach).contains(&6000.0),
        "{low} {found} {high}"
    );
    let version = server.info("redis_version").unwrap();
    let is_older = version.starts_with("7.0")
        || version.starts_with("6.")
        || (version.starts_with("7.2") && server.info("valkey_version").is_none());
    assert_eq!(
        low < high,
        is_older,
        "servers with a table per slot are counted: {version}"
    );
}

#[test]
fn a_replica_is_scanned_in_place_of_its_primary() {
    let primary = RedisServer::start();
    let replica_of = |port: u16| {
        let of = format!("127.0.0.1 {port}");
        RedisServer::start_with(&["--replicaof", &of, "--repl-diskless-sync-delay", "0"])
    };
    let mut replica = replica_of(primary.port);
    let stranger = RedisServer::start();
    let foreign = replica_of(stranger.port);
    fill(&mut primary.client(), "sess:", 500);
    fill(&mut stranger.client(), "sess:", 7);
    for (server, keys) in [(&replica, 500), (&foreign, 7)] {
        let synced = wait_until(BOUND, || {
            (server.command(&["DBSIZE"]) == Reply::Integer(keys)).then_some(())
        });
        assert!(synced.is_some(), "the replica follows");
    }
    let further = format!(
        "scan_from: [\"{}\", \"{}\", \"{}\"]\nsessions: [{{ store: web, match: \"sess:*\" }}]",
        stranger.address(),
        foreign.address(),
        replica.address()
    );
    let exporter = Exporter::start(&config::fast(&[("redis", &primary.address(), &further)]));
    let active = |scrape: &Scrape| estimate(scrape, "sessions_active", "web");
    // The first pass may begin before the primary's INFO was read; it is settled by then.
    exporter.wait_for_instance("redis", "counted", BOUND, |scrape| {
        active(scrape) == Some((500.0, 500.0, 500.0))
    });
    let scans = |server: &RedisServer| server.info("cmdstat_scan").is_some();
    assert!(scans(&replica) && !scans(&primary) && !scans(&foreign) && !scans(&stranger));
    // When it is gone the instance itself is scanned.
    replica.shutdown();
    fill(&mut primary.client(), "sess:x", 1);
    exporter.wait_for_instance("redis", "fallen back", BOUND, |scrape| {
        active(scrape) == Some((501.0, 501.0, 501.0))
    });
    assert!(scans(&primary));
    assert_eq!(exporter.log().matches("no address of scan_from").count(), 1);
    let scrape = exporter.scrape();
    assert_eq!(
        value(&scrape, "redis_connect_failures_total", &[]),
        Some(0.0),
        "the instance itself is well"
    );
}

#[test]
fn what_a_replica_hides_is_taken_out_by_events_alone() {
    let primary = RedisServer::start_with(&["--notify-keyspace-events", "Egxen"]);
    let of = format!("127.0.0.1 {}", primary.port);
    let replica = RedisServer::start_with(&["--replicaof", &of, "--repl-diskless-sync-delay", "0"]);
    let mut client = primary.client();
    client.command(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    fill(&mut client, "sess:", 1000);
    let synced = wait_until(BOUND, || {
        (replica.command(&["DBSIZE"]) == Reply::Integer(1000)).then_some(())
    });
    assert!(synced.is_some(), "the replica follows");
    let further = format!(
        "scan_from: \"{}\"\nsessions: [{{ store: web, match: \"sess:*\", events: on }}]",
        replica.address()
    );
    let exporter = Exporter::start(&config::fast(&[("redis", &primary.address(), &further)]));
    let drift = |scrape: &Scrape| value(scrape, "sessions_active_drift", &[("store", "web")]);
    let active = |scrape: &Scrape| value(scrape, "sessions_active", &[("store", "web")]);
    exporter.wait_for_instance("redis", "counted, with events", BOUND, |scrape| {
        active(scrape) == Some(1000.0) && drift(scrape) == Some(0.0)
    });
    // 300 expire and nobody deletes them, so that nobody tells. A TTL of a millisecond may be over at once, which deletes.
    let moment: Commands = (0..300)
        .map(|number| command(&[b"PEXPIRE", format!("sess:{number}").as_bytes(), b"100"]))
        .collect();
    client.pipeline(&moment);
    let shown = || {
        let page = replica.command(&["SCAN", "0", "COUNT", "100000"]);
        page.array()[1].array().len()
    };
    assert!(
        wait_until(BOUND, || (shown() == 700).then_some(())).is_some(),
        "they have expired"
    );
    let passes = |scrape: &Scrape| value(scrape, "session_scan_last_success_timestamp_seconds", &[("db", "db0")]);
    let mut seen = passes(&exporter.scrape());
    for _ in 0..5 {
        let scrape = exporter.wait_for_instance("redis", "another pass", BOUND, |scrape| passes(scrape) > seen);
        seen = passes(&scrape);
        assert_eq!((active(&scrape), drift(&scrape)), (Some(1000.0), Some(0.0)));
    }
    client.command(&["DEBUG", "SET-ACTIVE-EXPIRE", "1"]);
    let mut drifts = Vec::new();
    exporter.wait_for_instance("redis", "the primary has told", BOUND, |scrape| {
        drifts.extend(drift(scrape));
        assert!(active(scrape) >= Some(700.0), "nothing is taken out twice");
        active(scrape) == Some(700.0) && passes(scrape) > seen
    });
    assert!(drifts.iter().all(|drift| *drift == 0.0), "{drifts:?}");
    let lookups = exporter
        .scrape()
        .sum("session_scan_keyspace_lookups_total", &[("instance", "redis")]);
    assert_eq!(
        lookups, 0.0,
        "what the replica looked up is not among the primary's hits"
    );
}

#[test]
fn the_series_of_an_app_that_is_gone_go() {
    let server = RedisServer::start();
    let mut client = server.client();
    for app in ["gone", "web", "shop"] {
        fill(&mut client, &format!("app:{app}:session:"), 4000);
    }
    let further = "scan: { redis_share: 0, sample_keys: 1000 }
sessions: [{ store: web, match: \"app:*\", id: \"^app:(?P<app>[a-z]+):session:[0-9]+$\", app_label: on, count: sample }]";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let active = |scrape: &Scrape, app: &str| value(scrape, "sessions_active", &[("store", "web"), ("app", app)]);
    exporter.wait_for_instance("redis", "counted", BOUND, |scrape| {
        ["gone", "web", "shop"]
            .iter()
            .all(|app| active(scrape, app) > Some(0.0))
    });
    let ended: Commands = (0..4000)
        .map(|number| command(&[b"DEL", format!("app:gone:session:{number}").as_bytes()]))
        .collect();
    client.pipeline(&ended);
    exporter.wait_for_instance("redis", "gone", BOUND, |scrape| {
        active(scrape, "gone").is_none() && active(scrape, "web").is_some() && active(scrape, "shop").is_some()
    });
}
