//! Metrics that the application keeps in Redis: every layout on a real server, and every way in which a key is not what it should be.

use crate::support::redis_server::RedisServer;
use crate::support::resp::Client;
use redis_session_exporter::collectors::application::Problem;
use redis_session_exporter::config::{ApplicationMetricConfig, ApplicationRead, Environment, load_str};
use redis_session_exporter::metric::{MetricKind, Samples, Value, define};
use redis_session_exporter::poller::application_poll::{self, Outcome, PollError, Watched};
use redis_session_exporter::redis::{Connection, Connector, Reason};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Deadline of one poll in these tests; a reply of 64 MiB passes in it on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A field or string that no reply may hold: above the largest frame of 64 MiB.
const OVERSIZED_BYTES: usize = 65 * 1024 * 1024;

/// A metric under test, its names made of its own position.
fn metric(number: usize, kind: MetricKind, key: &str, read: ApplicationRead) -> ApplicationMetricConfig {
    let name = format!("test_{number}_{}", kind.as_str());
    ApplicationMetricConfig {
        descriptor: define(kind, &name, "Test.", None).unwrap(),
        label: None,
        key: key.to_owned(),
        database: 0,
        read,
        label_values: Vec::new(),
        max_label_values: 50,
        buckets: Vec::new(),
    }
}

fn labelled(number: usize, kind: MetricKind, key: &str, values: &[&str]) -> ApplicationMetricConfig {
    let name = format!("test_{number}_labelled_{}", kind.as_str());
    ApplicationMetricConfig {
        descriptor: define(kind, &name, "Test.", Some("error_type")).unwrap(),
        label: Some("error_type"),
        label_values: values.iter().map(|value| (*value).to_owned()).collect(),
        ..metric(number, kind, key, ApplicationRead::Fields)
    }
}

/// Metrics, and a connection of the exporter's own kind that reads them.
struct Reading {
    runtime: tokio::runtime::Runtime,
    connector: Connector,
    connection: Option<Connection>,
    home: u32,
    watched: Vec<Watched>,
    one_by_one: bool,
    deadline: Duration,
}

impl Reading {
    fn new(address: &str, login: &str, metrics: &[ApplicationMetricConfig]) -> Self {
        let text = format!("instances: [{{ name: a, address: '{address}' {login} }}]");
        let loaded = load_str(&text, "test", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        let instance = &loaded.config.instances[0];
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            connector: Connector::new(instance),
            connection: None,
            home: instance.address.database,
            watched: metrics.iter().cloned().map(Watched::new).collect(),
            one_by_one: false,
            deadline: DEADLINE,
        }
    }

    /// One poll, after a connect where one is due.
    fn poll(&mut self) -> Result<Vec<Outcome>, PollError> {
        let deadline = Instant::now() + self.deadline;
        let Self {
            runtime,
            connector,
            connection,
            ..
        } = self;
        if connection.is_none() {
            let connected = runtime.block_on(async { connector.connect(Instant::now() + DEADLINE).await });
            *connection = Some(connected.unwrap().0);
        }
        let connection = connection.as_mut().unwrap();
        let polled = application_poll::poll(connection, self.home, &mut self.watched, self.one_by_one, deadline);
        let outcome = runtime.block_on(polled);
        if matches!(outcome, Err(PollError::Lost(_))) {
            self.connection = None;
        }
        outcome
    }

    /// What one poll found, as `label=value` texts per metric.
    fn values(&mut self) -> Vec<Result<String, Problem>> {
        let outcomes = self.poll().unwrap();
        let watched = &self.watched;
        let found = outcomes.into_iter().zip(watched).map(|(outcome, watched)| {
            let mut samples = Samples::new();
            outcome.result?.push(&watched.metric, &mut samples);
            Ok(text(&samples))
        });
        found.collect()
    }
}

fn text(samples: &Samples) -> String {
    let mut texts = Vec::new();
    for sample in samples.families().iter().flat_map(|family| &family.samples) {
        let label = sample.labels.first().map_or("", |(_, value)| value);
        texts.push(match &sample.value {
            Value::Number(number) => format!("{label}={number}"),
            Value::Histogram(found) => format!("{:?} {} {}", found.buckets, found.sum, found.count),
            Value::Summary { .. } => unreachable!(),
        });
    }
    texts.join(" ")
}

fn ok(text: &str) -> Result<String, Problem> {
    Ok(text.to_owned())
}

/// Fills a hash with `count` fields `field-00000=1`.
fn fill_hash(client: &mut Client, key: &str, count: usize) {
    let fields: Vec<String> = (0..count).map(|field| format!("field-{field:05}")).collect();
    let command = |fields: &[String]| {
        let pairs = fields
            .iter()
            .flat_map(|field| [field.clone().into_bytes(), b"1".to_vec()]);
        [b"HSET".to_vec(), key.as_bytes().to_vec()]
            .into_iter()
            .chain(pairs)
            .collect()
    };
    let commands: Vec<Vec<Vec<u8>>> = fields.chunks(1_000).map(command).collect();
    client.pipeline(&commands);
}

#[test]
fn every_layout_is_read_and_nothing_else_is_harmed() {
    use ApplicationRead::{Auto, Field, Fields, Length, Text};
    use MetricKind::{Counter, Gauge, Histogram};
    let server = RedisServer::start();
    let mut client = server.client();
    for command in [
        "INCRBY counter 42",
        "SET gauge -1.5",
        "SET text many",
        "INCRBYFLOAT float 0.1",
        "HSET hash a 5 b 6",
        "HINCRBYFLOAT floats a 2.5",
        "RPUSH list 1 2 3",
        "SADD set 1 2",
        "ZADD zset 1 a",
        "XADD stream * a 1",
        "HSET histogram .1 1 0.5 2 +Inf 4 sum 9.5 count 7",
        "HSET errors key_missing 3 other 1",
        "SETBIT bits 0 1",
    ] {
        client.command(&command.split(' ').collect::<Vec<_>>());
    }
    client.command(&["SET", "huge", &"1".repeat(10_000_000)]);
    client.bytes(&[b"HSET", b"binary", b"\xff\xfe", b"1", b"a\nb", b"2", b"plain", b"3"]);
    client.bytes(&[b"HSET", b"broken", b"good", b"1", b"bad", b"\xff"]);
    fill_hash(&mut client, "wide", 100_000);
    let buckets = |metric: ApplicationMetricConfig| ApplicationMetricConfig {
        buckets: vec![0.1, 0.5, 1.0],
        ..metric
    };
    type Case = (ApplicationMetricConfig, Result<String, Problem>);
    let cases: Vec<Case> = vec![
        (metric(0, Counter, "counter", Text), ok("=42")),
        (metric(1, Gauge, "gauge", Auto), ok("=-1.5")),
        (metric(2, Counter, "gauge", Text), Err(Problem::Negative)),
        (metric(3, Counter, "text", Text), Err(Problem::NotANumber)),
        (metric(4, Gauge, "float", Text), ok("=0.1")),
        (metric(5, Counter, "huge", Text), Err(Problem::NotANumber)),
        (metric(6, Counter, "hash", Field("b".to_owned())), ok("=6")),
        (metric(7, Gauge, "floats", Field("a".to_owned())), ok("=2.5")),
        (metric(8, Gauge, "list", Length), ok("=3")),
        (metric(9, Gauge, "set", Length), ok("=2")),
        (metric(10, Gauge, "zset", Auto), ok("=1")),
        (metric(11, Gauge, "stream", Auto), ok("=1")),
        (metric(12, Gauge, "hash", Length), ok("=2")),
        (metric(13, Counter, "list", Auto), Err(Problem::CounterWithoutNumber)),
        (metric(14, Counter, "list", Text), Err(Problem::WrongType)),
        (metric(15, Counter, "none", Auto), ok("=0")),
        (metric(16, Gauge, "none", Text), ok("")),
        (metric(17, Gauge, "none", Length), ok("=0")),
        (
            buckets(metric(18, Histogram, "histogram", Fields)),
            ok("[(0.1, 1), (0.5, 3), (1.0, 3)] 9.5 7"),
        ),
        (
            buckets(metric(19, Histogram, "none", Fields)),
            ok("[(0.1, 0), (0.5, 0), (1.0, 0)] 0 0"),
        ),
        (buckets(metric(20, Histogram, "list", Fields)), Err(Problem::WrongType)),
        (
            buckets(metric(21, Histogram, "wide", Fields)),
            Err(Problem::TooManyFields),
        ),
        (
            labelled(22, Counter, "errors", &["expired", "key_missing"]),
            ok("key_missing=3 other=1 expired=0"),
        ),
        (labelled(23, Counter, "none", &["expired"]), ok("expired=0")),
        (labelled(24, Gauge, "none", &["expired"]), ok("")),
        (labelled(25, Gauge, "binary", &[]), ok("plain=3 \\xff\\xfe=1")),
        (labelled(26, Counter, "broken", &[]), Err(Problem::NotANumber)),
        (labelled(27, Counter, "counter", &[]), Err(Problem::WrongType)),
        (metric(28, Gauge, "bits", Text), Err(Problem::NotANumber)),
    ];
    let metrics: Vec<_> = cases.iter().map(|(metric, _)| metric.clone()).collect();
    let mut reading = Reading::new(&server.address(), "", &metrics);
    for round in 0..3 {
        let found = reading.values();
        for ((metric, expected), found) in cases.iter().zip(found) {
            assert_eq!(
                found, *expected,
                "round {round}: {} of {:?}",
                metric.descriptor.name, metric.read
            );
        }
    }
}

#[test]
fn a_hash_of_a_hundred_thousand_fields_costs_a_few_kilobytes() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill_hash(&mut client, "wide", 100_000);
    let metric = labelled(100, MetricKind::Counter, "wide", &["field-77777", "born"]);
    let mut reading = Reading::new(&server.address(), "", &[metric]);
    let sent = |server: &RedisServer| -> u64 { server.info("total_net_output_bytes").unwrap().parse().unwrap() };
    let (mut first, mut most) = (None, 0);
    for _ in 0..4 {
        let before = sent(&server);
        let outcome = reading.poll().unwrap().pop().unwrap();
        // The two INFO replies themselves are about 6 KB each.
        most = most.max(sent(&server) - before);
        let finding = outcome.result.unwrap();
        assert_eq!(finding.dropped, 100_000 - 49);
        assert_eq!(
            *first.get_or_insert(finding.found.clone()),
            finding.found,
            "the choice stays"
        );
    }
    println!("100,000 fields: at most {most} bytes per poll, INFO included");
    assert!(most < 30_000, "{most} bytes");
    let mut samples = Samples::new();
    let outcome = reading.poll().unwrap().pop().unwrap();
    outcome.result.unwrap().push(&reading.watched[0].metric, &mut samples);
    let name = reading.watched[0].metric.descriptor.name;
    assert_eq!(samples.number_with(name, &["field-77777"]), Some(1.0));
    assert_eq!(samples.number_with(name, &["born"]), Some(0.0));
    assert_eq!(samples.families()[0].samples.len(), 50);
    assert_eq!(samples.dropped(), 100_000 - 49);
}

#[test]
fn a_hash_that_shrinks_and_one_in_a_listpack_come_whole() {
    let server = RedisServer::start_with(&["--hash-max-listpack-entries", "5000"]);
    let mut client = server.client();
    fill_hash(&mut client, "listpack", 3_000);
    // Tables keep their buckets for a while: of the first one a turn sees all, of the second one maybe a part.
    for (key, fields) in [("sparse", 60_000), ("sparser", 400_000)] {
        fill_hash(&mut client, key, fields);
        let gone: Vec<String> = (10..fields).map(|field| format!("field-{field:05}")).collect();
        for fields in gone.chunks(1_000) {
            let words = ["HDEL", key].into_iter().chain(fields.iter().map(String::as_str));
            client.command(&words.collect::<Vec<_>>());
        }
    }
    let metrics = [
        labelled(200, MetricKind::Counter, "listpack", &[]),
        labelled(201, MetricKind::Counter, "sparse", &[]),
        labelled(202, MetricKind::Counter, "sparser", &["field-00000", "born"]),
    ];
    let mut reading = Reading::new(&server.address(), "", &metrics);
    let fields = |numbers: std::ops::Range<usize>| -> String {
        let fields: Vec<String> = numbers.map(|field| format!("field-{field:05}=1")).collect();
        fields.join(" ")
    };
    for round in 0..5 {
        let found = reading.poll().unwrap();
        let dropped = |at: usize| found[at].result.as_ref().unwrap().dropped;
        assert_eq!((dropped(0), dropped(1)), (2_950, 0), "round {round}");
        let values = reading.values();
        assert_eq!(values[0], ok(&fields(0..50)));
        assert_eq!(values[1], ok(&fields(0..10)));
        let sparser = values[2].clone().unwrap();
        assert!(
            sparser.starts_with("field-00000=1 ") && sparser.ends_with(" born=0"),
            "{sparser}"
        );
        let shown = sparser.split(' ').count() - 1;
        assert_eq!(shown + dropped(2), 10, "what is not shown is counted");
    }
}

/// The databases that the exporter's connections are in.
fn databases_of_ours(server: &RedisServer) -> Vec<String> {
    let list = server.command(&["CLIENT", "LIST"]).text();
    let ours = list.lines().filter(|line| line.contains("name=redis-session-exporter"));
    ours.filter_map(|line| line.split(' ').find_map(|word| word.strip_prefix("db=")))
        .map(str::to_owned)
        .collect()
}

#[test]
fn other_databases_are_visited_and_left() {
    let server = RedisServer::start();
    let mut client = server.client();
    for database in ["0", "2", "5"] {
        client.command(&["SELECT", database]);
        client.command(&["SET", "number", database]);
    }
    let of = |number, database| ApplicationMetricConfig {
        database,
        ..metric(number, MetricKind::Gauge, "number", ApplicationRead::Auto)
    };
    let metrics = [of(300, 5), of(301, 2), of(302, 0), of(303, 99), of(304, 5)];
    let mut reading = Reading::new(&format!("{}/2", server.address()), "", &metrics);
    let no_database = Problem::Database {
        database: 99,
        code: "ERR".to_owned(),
    };
    for _ in 0..3 {
        let expected = [ok("=5"), ok("=2"), ok("=0"), Err(no_database.clone()), ok("=5")];
        assert_eq!(reading.values(), expected);
        assert_eq!(
            databases_of_ours(&server),
            ["2"],
            "the connection is back in its own database"
        );
    }
    let calls = server.info("cmdstat_select").unwrap();
    println!("five metrics in four databases, three polls: {calls}");
}

#[test]
fn a_connection_that_cannot_come_home_is_given_up() {
    let server = RedisServer::start();
    // A user who may select database 3 alone: Redis 7 allows a first argument of a command so.
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "on",
        ">secret",
        "~*",
        "+@all",
        "-select",
        "+select|3",
    ]);
    let mut client = server.client();
    client.command(&["SELECT", "3"]);
    client.command(&["SET", "number", "3"]);
    let metrics = [ApplicationMetricConfig {
        database: 3,
        ..metric(400, MetricKind::Gauge, "number", ApplicationRead::Text)
    }];
    let mut reading = Reading::new(&server.address(), ", username: monitor, password: secret", &metrics);
    let Err(PollError::Lost(error)) = reading.poll() else {
        panic!("the connection stays in another database")
    };
    assert_eq!(error.reason, Reason::Denied);
    assert!(error.message.contains("SELECT 0"), "{error}");
}

#[test]
fn a_denial_is_found_once_and_tried_again_when_asked_to() {
    let server = RedisServer::start();
    let user = |keys: &str| {
        server.command(&[
            "ACL", "SETUSER", "monitor", "reset", "on", ">secret", keys, "+@all", "-hlen",
        ]);
    };
    user("~metrics:*");
    server.command(&["SET", "metrics:ours", "1"]);
    server.command(&["SET", "private", "2"]);
    let metrics = [
        metric(500, MetricKind::Counter, "metrics:ours", ApplicationRead::Text),
        metric(501, MetricKind::Counter, "private", ApplicationRead::Text),
        labelled(502, MetricKind::Counter, "metrics:hash", &[]),
    ];
    let mut reading = Reading::new(&server.address(), ", username: monitor, password: secret", &metrics);
    let denied = |command: &str| {
        Err(Problem::Denied {
            command: command.to_owned(),
        })
    };
    let log = || server.command(&["ACL", "LOG"]).array().len();
    for _ in 0..5 {
        assert_eq!(reading.values(), [ok("=1"), Err(Problem::KeyDenied), denied("HLEN")]);
    }
    let denials: i64 = server
        .command(&["ACL", "LOG"])
        .array()
        .iter()
        .map(|entry| entry.array()[1].integer())
        .sum();
    assert_eq!((log(), denials), (2, 2), "each denial is written once in five polls");
    user("~*");
    assert_eq!(reading.values()[1], Err(Problem::KeyDenied));
    reading.watched.iter_mut().for_each(Watched::retry);
    assert_eq!(reading.values(), [ok("=1"), ok("=2"), denied("HLEN")]);
}

#[test]
fn own_lookups_are_those_that_the_server_counted() {
    use ApplicationRead::{Auto, Field, Length, Text};
    let server = RedisServer::start();
    let mut client = server.client();
    for command in ["SET text 1", "SET empty 1", "HSET hash a 1 b 2", "RPUSH list 1"] {
        client.command(&command.split(' ').collect::<Vec<_>>());
    }
    let mut exact = labelled(600, MetricKind::Counter, "hash", &["a", "b", "c"]);
    exact.max_label_values = 3;
    let metrics = [
        metric(601, MetricKind::Counter, "text", Text),
        metric(602, MetricKind::Counter, "nothing", Text),
        metric(603, MetricKind::Counter, "hash", Field("a".to_owned())),
        metric(609, MetricKind::Counter, "hash", Field("not there".to_owned())),
        labelled(604, MetricKind::Counter, "hash", &[]),
        exact,
        metric(605, MetricKind::Gauge, "list", Length),
        metric(606, MetricKind::Gauge, "nolist", Length),
        metric(607, MetricKind::Gauge, "list", Auto),
        metric(608, MetricKind::Counter, "list", Text),
    ];
    let mut reading = Reading::new(&server.address(), "", &metrics);
    let counted = || {
        let of = |field| server.info(field).unwrap().parse::<u64>().unwrap();
        (of("keyspace_hits"), of("keyspace_misses"))
    };
    let before = counted();
    let (mut lookups, mut misses) = (0, 0);
    for _ in 0..4 {
        for outcome in reading.poll().unwrap() {
            lookups += outcome.lookups;
            misses += outcome.misses;
        }
    }
    let after = counted();
    println!("{lookups} lookups of our own, {misses} of them misses");
    assert_eq!((lookups - misses, misses), (after.0 - before.0, after.1 - before.1));
}

#[test]
fn a_key_that_changes_its_type_is_read_anew() {
    let server = RedisServer::start();
    let metrics = [metric(700, MetricKind::Gauge, "key", ApplicationRead::Auto)];
    let mut reading = Reading::new(&server.address(), "", &metrics);
    let mut change = |words: &[&str], expected: &str| {
        server.command(&["DEL", "key"]);
        server.command(words);
        assert_eq!(reading.values(), [ok(expected)], "{words:?}");
    };
    change(&["RPUSH", "key", "a", "b"], "=2");
    change(&["SET", "key", "17"], "=17");
    change(&["SADD", "key", "a"], "=1");
    change(&["HSET", "key", "a", "1", "b", "2"], "=2");
    // An empty hash does not exist, and its length is 0.
    change(&["PING"], "=0");
}

#[test]
fn a_reply_beyond_all_limits_is_traced_to_its_metric() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&["SET", "good", "1"]);
    let huge = vec![b'1'; OVERSIZED_BYTES];
    client.bytes(&[b"HSET", b"huge", b"field", &huge]);
    let metrics = [
        labelled(800, MetricKind::Counter, "huge", &[]),
        metric(801, MetricKind::Counter, "good", ApplicationRead::Text),
        // A field that is asked for by name is measured first.
        metric(
            802,
            MetricKind::Counter,
            "huge",
            ApplicationRead::Field("field".to_owned()),
        ),
    ];
    let mut reading = Reading::new(&server.address(), "", &metrics);
    for one_by_one in [false, true] {
        reading.one_by_one = one_by_one;
        let Err(PollError::Lost(error)) = reading.poll() else {
            panic!("a reply of {OVERSIZED_BYTES} bytes is no reply")
        };
        assert_eq!(error.reason, Reason::Protocol);
    }
    reading.watched.iter_mut().for_each(Watched::retry);
    let first = reading.poll().unwrap();
    assert!(first[0].is_news, "the log is told which metric it is");
    for _ in 0..2 {
        assert_eq!(
            reading.values(),
            [Err(Problem::TooLarge), ok("=1"), Err(Problem::NotANumber)]
        );
    }
}

#[test]
fn while_a_server_loads_or_is_cut_off_nothing_is_any_metrics_fault() {
    let server = RedisServer::start_with(&["--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "no"]);
    let metrics = [metric(900, MetricKind::Counter, "a", ApplicationRead::Text)];
    let mut reading = Reading::new(&server.address(), "", &metrics);
    let Err(PollError::Refused(sentence)) = reading.poll() else {
        panic!("MASTERDOWN is no value")
    };
    assert!(sentence.contains("MASTERDOWN"), "{sentence}");
    server.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(reading.values(), [ok("=0")]);
}

#[test]
fn a_reply_that_never_comes_is_traced_too_and_one_pause_is_forgiven() {
    use crate::support::peer::{Answer, ScriptedPeer, healthy};
    let peer = ScriptedPeer::start_with(|words| match (words[0].as_str(), words.get(1).map(String::as_str)) {
        ("GETRANGE", Some("slow")) => Answer::BytesThenHang(Vec::new()),
        ("GETRANGE", _) => Answer::Bytes(b"$1\r\n7\r\n".to_vec()),
        _ => healthy(words),
    });
    let metrics = [
        metric(1000, MetricKind::Counter, "good", ApplicationRead::Text),
        metric(1001, MetricKind::Counter, "slow", ApplicationRead::Text),
    ];
    let mut reading = Reading::new(&peer.address(), "", &metrics);
    reading.deadline = Duration::from_millis(200);
    for one_by_one in [false, true, true] {
        reading.one_by_one = one_by_one;
        let Err(PollError::Lost(error)) = reading.poll() else {
            panic!("no answer is no value")
        };
        assert_eq!(error.reason, Reason::Timeout);
    }
    assert_eq!(reading.values(), [ok("=7"), Err(Problem::TooLarge)]);
}
