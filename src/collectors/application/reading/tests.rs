//! Turns against a table of keys that answers as Redis does.

use super::fields::MAX_PAGES;
use super::*;
use crate::metric::{Samples, define};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A value of a key.
enum Key {
    Text(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Anything that has only a length here: the word of TYPE, the command, the length.
    Sized(&'static str, &'static str, i64),
}

fn hash(fields: &[(&str, &str)]) -> Key {
    let fields = fields.iter();
    Key::Hash(
        fields
            .map(|(field, value)| (field.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect(),
    )
}

fn bulk(bytes: &[u8]) -> Reply {
    Reply::Bulk(Bytes::copy_from_slice(bytes))
}

/// Largest hash that comes whole whatever COUNT says, as listpacks do.
const LISTPACK: usize = 128;

/// One command against one key. A page of a large hash holds the fields from the cursor on.
fn answer(key: Option<&Key>, command: &Command) -> Reply {
    let word = |at: usize| command.words()[at].to_vec();
    let number = |at: usize| String::from_utf8(word(at)).unwrap().parse::<usize>().unwrap();
    let wrong_type = || Reply::Error("WRONGTYPE Operation against a key holding the wrong kind of value".into());
    match (command.name().as_str(), key) {
        ("type", None) => Reply::Simple("none".into()),
        ("type", Some(Key::Text(_))) => Reply::Simple("string".into()),
        ("type", Some(Key::Hash(_))) => Reply::Simple("hash".into()),
        ("type", Some(Key::Sized(name, ..))) => Reply::Simple((*name).into()),
        ("exists", key) => Reply::Integer(i64::from(key.is_some())),
        ("getrange", None) => bulk(b""),
        ("getrange", Some(Key::Text(text))) => bulk(&text[..text.len().min(number(3) + 1)]),
        ("hlen" | "hstrlen" | "llen" | "scard" | "zcard" | "xlen", None) => Reply::Integer(0),
        ("hlen", Some(Key::Hash(fields))) => Reply::Integer(fields.len() as i64),
        ("hstrlen", Some(Key::Hash(fields))) => {
            Reply::Integer(fields.get(&word(2)).map_or(0, |value| value.len() as i64))
        }
        ("hmget", key) => {
            let fields = match key {
                Some(Key::Hash(fields)) => Some(fields),
                None => None,
                Some(_) => return wrong_type(),
            };
            let names = command.words()[2..].iter();
            let value = |name: &[u8]| fields.and_then(|fields| fields.get(name));
            Reply::Array(
                names
                    .map(|name| value(name).map_or(Reply::Null, |value| bulk(value)))
                    .collect(),
            )
        }
        ("hscan", Some(Key::Hash(fields))) => {
            let (start, count) = (number(2), number(4));
            let count = if fields.len() <= LISTPACK { LISTPACK } else { count };
            let page: Vec<_> = fields.iter().skip(start).take(count).collect();
            let next = if start + count >= fields.len() {
                0
            } else {
                start + count
            };
            let items = page.into_iter().flat_map(|(field, value)| [bulk(field), bulk(value)]);
            Reply::Array(vec![bulk(next.to_string().as_bytes()), Reply::Array(items.collect())])
        }
        (name, Some(Key::Sized(_, length, size))) if length.eq_ignore_ascii_case(name) => Reply::Integer(*size),
        _ => wrong_type(),
    }
}

fn metric(kind: MetricKind, label: Option<&'static str>, read: ApplicationRead) -> ApplicationMetricConfig {
    let name = format!("turn_{kind:?}_{}", label.unwrap_or_default()).to_lowercase();
    ApplicationMetricConfig {
        descriptor: define(kind, &name, "Test.", label).unwrap(),
        label,
        key: "k".to_owned(),
        database: 0,
        read,
        label_values: Vec::new(),
        max_label_values: 50,
        buckets: Vec::new(),
    }
}

/// What a turn found, the commands that it sent, its lookups.
struct Run {
    result: Result<Finding, Problem>,
    sent: Vec<String>,
    rounds: usize,
    reply_bytes: usize,
    lookups: (u64, bool),
}

fn size(reply: &Reply) -> usize {
    match reply {
        Reply::Array(items) => items.iter().map(size).sum(),
        other => other.as_bytes().map_or(8, <[u8]>::len),
    }
}

fn run(metric: &ApplicationMetricConfig, reader: &mut Reader, key: Option<&Key>) -> Run {
    let granted = commands(metric);
    let (mut turn, mut commands) = Turn::begin(metric, reader);
    let mut sent = Vec::new();
    let mut reply_bytes = 0;
    for rounds in 1..20 {
        assert!(!commands.is_empty(), "a turn asks for something or is done");
        let replies: Vec<Reply> = commands.iter().map(|command| answer(key, command)).collect();
        sent.extend(commands.iter().map(Command::name));
        let is_granted = |name: &String| granted.contains(&name.as_str());
        assert!(
            sent.iter().all(is_granted),
            "{sent:?} of {:?} needs other rights",
            metric.read
        );
        reply_bytes += replies.iter().map(size).sum::<usize>();
        match turn.absorb(reader, &replies) {
            Step::Ask(next) => commands = next,
            Step::Done(result) => {
                let lookups = turn.lookups();
                assert_eq!(lookups.0, sent.len() as u64, "every command looks its key up");
                return Run {
                    result,
                    sent,
                    rounds,
                    reply_bytes,
                    lookups,
                };
            }
        }
    }
    panic!("the turn does not end: {sent:?}");
}

fn numbers(metric: &ApplicationMetricConfig, key: Option<&Key>) -> Result<Vec<(String, f64)>, Problem> {
    let finding = run(metric, &mut Reader::default(), key).result?;
    match finding.found {
        Found::Numbers(numbers) => Ok(numbers
            .into_iter()
            .map(|(label, number)| (label.unwrap_or_default(), number))
            .collect()),
        Found::Histogram(_) => panic!("a histogram"),
    }
}

fn one(value: f64) -> Result<Vec<(String, f64)>, Problem> {
    Ok(vec![(String::new(), value)])
}

fn labelled(values: &[(&str, f64)]) -> Result<Vec<(String, f64)>, Problem> {
    Ok(values
        .iter()
        .map(|(label, value)| ((*label).to_owned(), *value))
        .collect())
}

use ApplicationRead::{Auto, Field, Fields, Length, Text};
use MetricKind::{Counter, Gauge, Histogram};

#[test]
fn layouts_without_a_label() {
    let text = |text: &str| Key::Text(text.as_bytes().to_vec());
    let long = Key::Text(vec![b'1'; 10_000_000]);
    let jobs = || Key::Sized("list", "LLEN", 7);
    let fields = || hash(&[("a", "5"), ("b", "6")]);
    let field = || Field("a".to_owned());
    type Case = (
        MetricKind,
        ApplicationRead,
        Option<Key>,
        Result<Vec<(String, f64)>, Problem>,
    );
    let cases: Vec<Case> = vec![
        (Counter, Text, Some(text("42")), one(42.0)),
        (Gauge, Text, Some(text("-1.5")), one(-1.5)),
        (Counter, Text, Some(text("-1")), Err(Problem::Negative)),
        (Counter, Text, Some(text("many")), Err(Problem::NotANumber)),
        (Counter, Text, Some(text("")), Err(Problem::NotANumber)),
        (Counter, Text, Some(long), Err(Problem::NotANumber)),
        (Counter, Text, None, one(0.0)),
        (Gauge, Text, None, Ok(Vec::new())),
        (Counter, Text, Some(jobs()), Err(Problem::WrongType)),
        (Counter, field(), Some(fields()), one(5.0)),
        (Counter, Field("c".to_owned()), Some(fields()), one(0.0)),
        (Gauge, Field("c".to_owned()), Some(fields()), Ok(Vec::new())),
        (Counter, field(), None, one(0.0)),
        (
            Counter,
            field(),
            Some(hash(&[("a", &"1".repeat(64))])),
            Err(Problem::NotANumber),
        ),
        (Counter, field(), Some(hash(&[("a", "")])), Err(Problem::NotANumber)),
        (Counter, field(), Some(text("5")), Err(Problem::WrongType)),
        (Gauge, Length, Some(jobs()), one(7.0)),
        (Gauge, Length, Some(Key::Sized("set", "SCARD", 1)), one(1.0)),
        (Gauge, Length, Some(Key::Sized("zset", "ZCARD", 2)), one(2.0)),
        (Gauge, Length, Some(Key::Sized("stream", "XLEN", 3)), one(3.0)),
        (Gauge, Length, Some(fields()), one(2.0)),
        (Gauge, Length, None, one(0.0)),
        (Gauge, Length, Some(text("5")), Err(Problem::WrongType)),
        (
            Gauge,
            Length,
            Some(Key::Sized("ReJSON-RL", "", 1)),
            Err(Problem::UnknownType),
        ),
        (Gauge, Auto, Some(text("5")), one(5.0)),
        (Gauge, Auto, Some(jobs()), one(7.0)),
        (Gauge, Auto, Some(fields()), one(2.0)),
        (Gauge, Auto, None, Ok(Vec::new())),
        (Counter, Auto, None, one(0.0)),
        (Counter, Auto, Some(jobs()), Err(Problem::CounterWithoutNumber)),
        (Counter, Auto, Some(fields()), Err(Problem::FieldsWithoutLabel)),
    ];
    for (kind, read, key, expected) in cases {
        let metric = metric(kind, None, read);
        assert_eq!(numbers(&metric, key.as_ref()), expected, "{kind:?} {:?}", metric.read);
    }
}

#[test]
fn fields_become_label_values() {
    let mut counter = metric(Counter, Some("error_type"), Fields);
    counter.label_values = vec!["key_missing".to_owned(), "expired".to_owned()];
    let key = hash(&[("other", "3"), ("expired", "2"), ("bad\nname", "9"), ("", "9")]);
    let found = numbers(&counter, Some(&key));
    assert_eq!(
        found,
        labelled(&[("expired", 2.0), ("other", 3.0), ("key_missing", 0.0)])
    );
    assert_eq!(
        numbers(&counter, None),
        labelled(&[("key_missing", 0.0), ("expired", 0.0)])
    );
    let gauge = ApplicationMetricConfig {
        descriptor: define(Gauge, "turn_gauge_state", "Test.", Some("state")).unwrap(),
        ..counter.clone()
    };
    assert_eq!(
        numbers(&gauge, Some(&key)),
        labelled(&[("expired", 2.0), ("other", 3.0)])
    );
    assert_eq!(
        numbers(&gauge, None),
        Ok(Vec::new()),
        "a gauge that nobody set is unknown"
    );
    let bad = hash(&[("expired", "2"), ("other", "many")]);
    assert_eq!(
        numbers(&counter, Some(&bad)),
        Err(Problem::NotANumber),
        "all or nothing"
    );
    let automatic = ApplicationMetricConfig { read: Auto, ..counter };
    assert_eq!(numbers(&automatic, Some(&key)).unwrap().len(), 3);
    assert_eq!(numbers(&automatic, None).unwrap().len(), 2);
    assert_eq!(
        numbers(&automatic, Some(&Key::Text(b"5".to_vec()))),
        Err(Problem::LabelWithoutFields)
    );
}

#[test]
fn names_that_are_all_known_are_asked_for_alone() {
    let mut metric = metric(Counter, Some("error_type"), Fields);
    metric.label_values = vec!["a".to_owned(), "b".to_owned()];
    metric.max_label_values = 2;
    let key = hash(&[("a", "1"), ("c", "3")]);
    let run = run(&metric, &mut Reader::default(), Some(&key));
    assert_eq!(run.sent, ["hstrlen", "hstrlen", "hmget"]);
    assert_eq!(run.rounds, 2);
    assert_eq!(numbers(&metric, Some(&key)), labelled(&[("a", 1.0), ("b", 0.0)]));
    let huge = hash(&[("a", &"1".repeat(1_000_000))]);
    assert_eq!(numbers(&metric, Some(&huge)), Err(Problem::NotANumber));
}

#[test]
fn a_small_hash_beyond_the_limit_is_granted_by_name_and_the_choice_stays() {
    let mut metric = metric(Counter, Some("error_type"), Fields);
    metric.label_values = vec!["z".to_owned()];
    metric.max_label_values = 3;
    let mut reader = Reader::default();
    let mut labels = |key: &Key| {
        let finding = run(&metric, &mut reader, Some(key)).result.unwrap();
        let Found::Numbers(numbers) = finding.found else {
            panic!()
        };
        let labels: Vec<String> = numbers.into_iter().filter_map(|(label, _)| label).collect();
        (labels.join(" "), finding.dropped)
    };
    let key = hash(&[("d", "1"), ("c", "1"), ("e", "1")]);
    assert_eq!(labels(&key), ("c d z".to_owned(), 1));
    // Others come before them by name, but those that are there stay.
    let more = hash(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")]);
    assert_eq!(labels(&more), ("c d z".to_owned(), 3));
    // One leaves, and its place goes to the first by name.
    let fewer = hash(&[("a", "1"), ("b", "1"), ("d", "1"), ("z", "9")]);
    assert_eq!(labels(&fewer), ("z d a".to_owned(), 1));
}

#[test]
fn a_large_hash_costs_little_and_the_choice_stays() {
    let mut metric = metric(Counter, Some("error_type"), Fields);
    metric.label_values = vec!["field-99999".to_owned(), "nowhere".to_owned()];
    let fields = (0..100_000).map(|field| (format!("field-{field:05}").into_bytes(), b"1".to_vec()));
    let key = Key::Hash(fields.collect());
    let mut reader = Reader::default();
    let first = run(&metric, &mut reader, Some(&key));
    assert!(first.reply_bytes < 4_000, "{} bytes", first.reply_bytes);
    let finding = first.result.unwrap();
    assert_eq!(finding.dropped, 100_000 - 49);
    let Found::Numbers(numbers) = &finding.found else {
        panic!()
    };
    assert_eq!(numbers.len(), 50);
    assert_eq!(numbers[0], (Some("field-99999".to_owned()), 1.0));
    assert!(numbers.contains(&(Some("nowhere".to_owned()), 0.0)));
    let second = run(&metric, &mut reader, Some(&key)).result.unwrap();
    assert_eq!(second, finding);
}

#[test]
fn sizes_around_the_limits_end_well() {
    for fields in [127, 128, 129, 999, 1_000, 1_001, 5_000] {
        let names = (0..fields).map(|field| (format!("f{field}").into_bytes(), b"1".to_vec()));
        let key = Key::Hash(names.collect());
        for limit in [0, 1, 50, 600, 6_000] {
            let metric = ApplicationMetricConfig {
                max_label_values: limit,
                ..metric(Counter, Some("error_type"), Fields)
            };
            let finding = run(&metric, &mut Reader::default(), Some(&key)).result.unwrap();
            let Found::Numbers(numbers) = finding.found else {
                panic!()
            };
            assert_eq!(numbers.len(), limit.min(fields), "{fields} fields, limit {limit}");
            assert_eq!(finding.dropped, fields.saturating_sub(limit));
        }
    }
}

#[test]
fn a_type_is_remembered_until_it_changes() {
    let metric = metric(Gauge, None, Auto);
    let mut reader = Reader::default();
    let list = Key::Sized("list", "LLEN", 4);
    assert_eq!(run(&metric, &mut reader, Some(&list)).sent, ["type", "llen"]);
    assert_eq!(run(&metric, &mut reader, Some(&list)).sent, ["llen"]);
    let empty = run(&metric, &mut reader, None);
    assert_eq!(
        empty.result.unwrap().found,
        Found::Numbers(vec![(None, 0.0)]),
        "the list has run empty"
    );
    let text = run(&metric, &mut reader, Some(&Key::Text(b"5".to_vec())));
    assert_eq!(text.sent, ["llen", "type", "getrange"]);
    assert_eq!(text.result.unwrap().found, Found::Numbers(vec![(None, 5.0)]));
    let set = run(&metric, &mut reader, Some(&Key::Sized("set", "SCARD", 9)));
    assert_eq!(set.sent, ["getrange", "type", "scard"]);
}

#[test]
fn histograms_are_read_whole_or_not_at_all() {
    let mut metric = metric(Histogram, None, Fields);
    metric.buckets = vec![0.1, 1.0];
    let key = hash(&[("0.1", "2"), ("1", "3"), ("+Inf", "1"), ("sum", "4.5"), ("count", "6")]);
    let Found::Histogram(found) = run(&metric, &mut Reader::default(), Some(&key)).result.unwrap().found else {
        panic!()
    };
    assert_eq!((found.buckets, found.count), (vec![(0.1, 2), (1.0, 5)], 6));
    let Found::Histogram(born) = run(&metric, &mut Reader::default(), None).result.unwrap().found else {
        panic!()
    };
    assert_eq!((born.buckets, born.count), (vec![(0.1, 0), (1.0, 0)], 0));
    let fields = (0..1_001).map(|field| (field.to_string().into_bytes(), b"1".to_vec()));
    let large = Key::Hash(fields.collect());
    let refused = run(&metric, &mut Reader::default(), Some(&large));
    assert_eq!(refused.result, Err(Problem::TooManyFields));
    assert_eq!(refused.sent, ["hlen"]);
}

#[test]
fn lookups_are_hits_when_the_key_is_there() {
    let metric = metric(Counter, None, Text);
    let mut reader = Reader::default();
    assert_eq!(
        run(&metric, &mut reader, Some(&Key::Text(b"1".to_vec()))).lookups,
        (1, true)
    );
    assert_eq!(run(&metric, &mut reader, None).lookups, (2, false));
    assert_eq!(
        run(&metric, &mut reader, Some(&hash(&[]))).lookups,
        (1, true),
        "WRONGTYPE"
    );
}

#[test]
fn refusals_and_odd_replies_are_the_metrics_problem() {
    let metric = metric(Counter, None, Text);
    let cases: [(Reply, Problem); 9] = [
        (
            Reply::Error("NOPERM this user has no permissions to access one of the keys used as arguments".into()),
            Problem::KeyDenied,
        ),
        (
            Reply::Error("NOPERM No permissions to access a key".into()),
            Problem::KeyDenied,
        ),
        (
            Reply::Error("NOPERM this user has no permissions to run the 'getrange' command".into()),
            Problem::Denied {
                command: "GETRANGE".to_owned(),
            },
        ),
        (
            Reply::Error("ERR unknown command 'GETRANGE'".into()),
            Problem::Unsupported {
                command: "GETRANGE".to_owned(),
            },
        ),
        (Reply::Error("MOVED 42 127.0.0.1:7001".into()), Problem::Elsewhere),
        (Reply::Error("ASK 42 127.0.0.1:7001".into()), Problem::Elsewhere),
        (
            Reply::Error("CLUSTERDOWN Hash slot not served".into()),
            Problem::Refused {
                command: "GETRANGE".to_owned(),
                code: "CLUSTERDOWN".to_owned(),
            },
        ),
        (
            Reply::Array(Vec::new()),
            Problem::Shape {
                command: "GETRANGE".to_owned(),
            },
        ),
        (
            Reply::Null,
            Problem::Shape {
                command: "GETRANGE".to_owned(),
            },
        ),
    ];
    for (reply, problem) in cases {
        let (mut turn, _) = Turn::begin(&metric, &Reader::default());
        let Step::Done(result) = turn.absorb(&mut Reader::default(), &[reply]) else {
            panic!()
        };
        assert_eq!(result, Err(problem));
    }
}

#[test]
fn what_was_dropped_is_counted() {
    let mut metric = metric(Counter, Some("error_type"), Fields);
    metric.max_label_values = 1;
    let key = hash(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let mut samples = Samples::new();
    let finding = run(&metric, &mut Reader::default(), Some(&key)).result.unwrap();
    finding.push(&metric, &mut samples);
    assert_eq!(samples.dropped(), 2);
    assert_eq!(samples.number_with(metric.descriptor.name, &["a"]), Some(1.0));
}

#[test]
fn a_table_of_empty_buckets_is_given_up_after_some_pages() {
    let mut metric = metric(Counter, Some("error_type"), Fields);
    metric.label_values = vec!["declared".to_owned()];
    let mut reader = Reader::default();
    let (mut turn, _) = Turn::begin(&metric, &reader);
    let mut step = turn.absorb(&mut reader, &[Reply::Integer(3)]);
    for page in 0..MAX_PAGES {
        let Step::Ask(commands) = step else { panic!() };
        assert_eq!(commands[0].name(), "hscan");
        let items = if page == 2 {
            vec![bulk(b"seen"), bulk(b"7")]
        } else {
            Vec::new()
        };
        step = turn.absorb(&mut reader, &[Reply::Array(vec![bulk(b"99"), Reply::Array(items)])]);
    }
    let Step::Ask(commands) = step else { panic!() };
    assert_eq!(
        commands.iter().map(Command::name).collect::<Vec<_>>(),
        ["hstrlen", "hstrlen"]
    );
    turn.absorb(&mut reader, &[Reply::Integer(0), Reply::Integer(1)]);
    let values = Reply::Array(vec![Reply::Null, bulk(b"7")]);
    let Step::Done(Ok(finding)) = turn.absorb(&mut reader, &[values]) else {
        panic!()
    };
    assert_eq!(finding.dropped, 2, "two of three fields were not found");
    let seen = (Some("seen".to_owned()), 7.0);
    assert_eq!(
        finding.found,
        Found::Numbers(vec![seen, (Some("declared".to_owned()), 0.0)])
    );
}
