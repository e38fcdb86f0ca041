//! Polls of a server whose statistics are written by hand, in the words of Redis 7.0.15.

use super::super::testing::{Scene, parse_reply};
use super::super::{OwnCalls, Unavailable};
use super::*;
use crate::config::presets::KeyType;
use crate::redis::Reply;
use proptest::prelude::*;

fn collector(setting: Operations) -> SessionOperations {
    SessionOperations {
        asks_latency: true,
        setting,
        state: State::default(),
    }
}

fn info(lines: &str) -> String {
    format!("redis_version:7.0.15\r\nrun_id:aa\r\nuptime_in_seconds:5000\r\n{lines}")
}

/// One poll; LATENCY HISTOGRAM answers with `histogram`.
fn poll_with(
    collector: &mut SessionOperations,
    text: &str,
    histogram: Option<&[u8]>,
    knowledge: &SessionKnowledge,
) -> Result<Samples, CollectError> {
    let mut scene = Scene::new(text);
    if let Some(histogram) = histogram {
        scene = scene.answer(latency_histogram(), parse_reply(histogram));
    }
    poll_scene(collector, &scene, knowledge)
}

fn poll_scene(
    collector: &mut SessionOperations,
    scene: &Scene,
    knowledge: &SessionKnowledge,
) -> Result<Samples, CollectError> {
    scene.with_context(|context| {
        collector.collect(&PollContext {
            file_bytes: None,
            clients: None,
            info: context.info,
            server: context.server,
            replies: context.replies,
            unavailable: context.unavailable,
            unix_seconds: context.unix_seconds,
            now: context.now,
            sessions: knowledge,
        })
    })
}

fn poll(collector: &mut SessionOperations, lines: &str, knowledge: &SessionKnowledge) -> Samples {
    poll_with(collector, &info(lines), None, knowledge).unwrap()
}

fn count(samples: &Samples, operation: &str, status: &str) -> Option<f64> {
    samples.number_with(OPERATIONS.name, &[operation, status])
}

fn duration<'a>(samples: &'a Samples, operation: &str) -> Option<&'a crate::metric::Distribution> {
    let family = samples
        .families()
        .iter()
        .find(|family| family.descriptor.name == DURATION.name)?;
    let sample = family.samples.iter().find(|sample| sample.labels[0].1 == operation)?;
    match &sample.value {
        Value::Histogram(distribution) => Some(distribution),
        other => panic!("{other:?}"),
    }
}

fn nothing() -> SessionKnowledge {
    SessionKnowledge::default()
}

#[test]
fn counters_are_born_at_zero_and_count_what_comes() {
    let mut collector = collector(Operations::On);
    let first = poll(
        &mut collector,
        "cmdstat_set:calls=1000,usec=9,rejected_calls=3,failed_calls=4\r\ncmdstat_get:calls=7,usec=9,rejected_calls=0,failed_calls=0\r\n",
        &nothing(),
    );
    for operation in ["get", "update", "delete"] {
        for status in ["success", "error"] {
            assert_eq!(count(&first, operation, status), Some(0.0), "{operation} {status}");
        }
    }
    assert_eq!(count(&first, "create", "success"), None, "no event tells creations");
    assert_eq!(duration(&first, "get"), None);
    let second = poll(
        &mut collector,
        "cmdstat_set:calls=1010,usec=99,rejected_calls=6,failed_calls=5\r\ncmdstat_get:calls=27,usec=99,rejected_calls=0,failed_calls=0\r\n\
         cmdstat_expire:calls=3,usec=9,rejected_calls=0,failed_calls=0\r\ncmdstat_del:calls=0,usec=0,rejected_calls=2,failed_calls=0\r\n\
         cmdstat_hset:calls=1,usec=9,rejected_calls=0,failed_calls=0\r\n",
        &nothing(),
    );
    assert_eq!(count(&second, "update", "success"), Some(9.0 + 3.0 + 1.0));
    assert_eq!(count(&second, "update", "error"), Some(1.0 + 3.0));
    assert_eq!(count(&second, "get", "success"), Some(20.0));
    assert_eq!(count(&second, "delete", "error"), Some(2.0));
    assert_eq!(count(&second, "delete", "success"), Some(0.0));
}

#[test]
fn commands_of_other_types_are_no_session_operations() {
    let strings = SessionKnowledge {
        key_types: [KeyType::String].into(),
        ..nothing()
    };
    let mut collector = collector(Operations::On);
    poll(
        &mut collector,
        "cmdstat_ping:calls=1,usec=1,failed_calls=0\r\n",
        &strings,
    );
    let lines =
        "cmdstat_hset:calls=5,usec=1\r\ncmdstat_set:calls=2,usec=1\r\ncmdstat_ping:calls=1,usec=1,failed_calls=0\r\n";
    let samples = poll(&mut collector, lines, &strings);
    assert_eq!(count(&samples, "update", "success"), Some(2.0));
    // The stores became known to be hashes as well: what was counted stays, and only what comes is added.
    let both = SessionKnowledge {
        key_types: [KeyType::String, KeyType::Hash].into(),
        ..nothing()
    };
    let lines =
        "cmdstat_hset:calls=9,usec=1\r\ncmdstat_set:calls=2,usec=1\r\ncmdstat_ping:calls=1,usec=1,failed_calls=0\r\n";
    let samples = poll(&mut collector, lines, &both);
    assert_eq!(count(&samples, "update", "success"), Some(6.0));
}

fn events(keys_created: Option<u64>) -> SessionKnowledge {
    SessionKnowledge {
        keys_created,
        ..nothing()
    }
}

#[test]
fn events_split_creations_off_and_their_loss_lets_nothing_fall() {
    let mut collector = collector(Operations::On);
    let sets = |calls: u64, refused: u64| {
        format!(
            "cmdstat_set:calls={calls},usec={calls},rejected_calls=0,failed_calls=0\r\n\
             cmdstat_setnx:calls=0,usec=0,rejected_calls={refused},failed_calls=0\r\n"
        )
    };
    let mut before = [0.0; 2];
    // Calls, keys that events told, refused SETNX; then what stands under create and update, and under error of each.
    let table = [
        (100, Some(50), 0, [0.0, 0.0], [0.0, 0.0]),
        (110, Some(53), 1, [3.0, 7.0], [1.0, 0.0]),
        // More creations than writes: two events came before the statistics of their writes.
        (111, Some(56), 1, [4.0, 7.0], [1.0, 0.0]),
        (114, Some(56), 1, [6.0, 8.0], [1.0, 0.0]),
        // Events are lost: every write is an update, refused SETNX as well.
        (120, None, 3, [6.0, 14.0], [1.0, 2.0]),
        // They come back, with a gap in what they told.
        (130, Some(90), 3, [6.0, 24.0], [1.0, 2.0]),
        (131, Some(91), 3, [7.0, 24.0], [1.0, 2.0]),
    ];
    for (calls, told, refused, [created, updated], [create_errors, update_errors]) in table {
        let samples = poll(&mut collector, &sets(calls, refused), &events(told));
        assert_eq!(count(&samples, "create", "success"), Some(created), "after {calls}");
        assert_eq!(count(&samples, "update", "success"), Some(updated), "after {calls}");
        assert_eq!(count(&samples, "create", "error"), Some(create_errors), "after {calls}");
        assert_eq!(count(&samples, "update", "error"), Some(update_errors), "after {calls}");
        assert!(created >= before[0] && updated >= before[1]);
        before = [created, updated];
    }
}

#[test]
fn creations_that_no_write_explains_are_let_go() {
    let mut collector = collector(Operations::On);
    let sets = |calls: u64| format!("cmdstat_set:calls={calls},usec=1,rejected_calls=0,failed_calls=0\r\n");
    poll(&mut collector, &sets(10), &events(Some(0)));
    // SINTERSTORE made a hundred keys; it is no write of a session.
    poll(&mut collector, &sets(10), &events(Some(100)));
    poll(&mut collector, &sets(10), &events(Some(100)));
    let samples = poll(&mut collector, &sets(60), &events(Some(100)));
    assert_eq!(count(&samples, "create", "success"), Some(0.0));
    assert_eq!(count(&samples, "update", "success"), Some(50.0));
}

#[test]
fn auto_has_a_threshold_with_two_sides() {
    let mut collector = collector(Operations::Auto);
    let (mut calls, mut are_keys_sessions) = (0, false);
    // Share of the keys, and what is published after ten more calls of GET; while it is off they are not counted.
    let table = [
        (None, None),
        (Some(0.94), None),
        (Some(0.95), Some(0.0)),
        (Some(0.91), Some(10.0)),
        (None, Some(20.0)),
        (Some(0.89), None),
        (Some(0.94), None),
        (Some(1.0), Some(20.0)),
        (Some(1.0), Some(30.0)),
    ];
    for (share, expected) in table {
        calls += 10;
        are_keys_sessions = are_nearly_all_sessions(are_keys_sessions, share);
        let knowledge = SessionKnowledge {
            are_keys_sessions,
            ..nothing()
        };
        let lines = format!("cmdstat_get:calls={calls},usec=1,rejected_calls=0,failed_calls=0\r\n");
        let samples = poll(&mut collector, &lines, &knowledge);
        assert_eq!(count(&samples, "get", "success"), expected, "at {share:?}");
        let server = Server {
            redis_version: (7, 0, 0),
            ..Server::default()
        };
        assert_eq!(collector.requests(Some(&server)).len(), usize::from(expected.is_some()));
    }
    let forgotten = poll(&mut collector, "cmdstat_get:calls=999,usec=1\r\n", &nothing());
    assert_eq!(
        count(&forgotten, "get", "success"),
        None,
        "the figures of the scans were withdrawn"
    );
    assert!(!is_on(Operations::Off, true));
}

#[test]
fn before_6_2_errors_are_absent() {
    let mut collector = collector(Operations::On);
    let text = |calls: u64| {
        format!("redis_version:6.0.16\r\nrun_id:a\r\ncmdstat_get:calls={calls},usec=1,usec_per_call=1.00\r\n")
    };
    poll_with(&mut collector, &text(5), None, &nothing()).unwrap();
    let samples = poll_with(&mut collector, &text(8), None, &nothing()).unwrap();
    assert_eq!(count(&samples, "get", "success"), Some(3.0));
    assert_eq!(count(&samples, "get", "error"), None);
    assert_eq!(collector.requests(Some(&Scene::new(&text(8)).server)), []);
}

const NO_HISTOGRAM: &[u8] = b"*0\r\n";

/// GET: three below 4 µs, one below 1056 µs; SET: two in the last bucket.
const HISTOGRAM: &[u8] =
    b"*4\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:4\r\n$14\r\nhistogram_usec\r\n*4\r\n:4\r\n:3\r\n:1056\r\n:4\r\n\
    $3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n*2\r\n:1073741\r\n:2\r\n";

#[test]
fn latencies_are_those_of_what_came_without_our_own() {
    let mut collector = collector(Operations::On);
    let first = poll_with(
        &mut collector,
        &info("cmdstat_ping:calls=1,usec=1,rejected_calls=0,failed_calls=0\r\n"),
        Some(NO_HISTOGRAM),
        &nothing(),
    );
    assert_eq!(duration(&first.unwrap(), "get").unwrap().count, 0, "born at 0");
    let lines = "cmdstat_ping:calls=1,usec=1,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_get:calls=4,usec=1010,rejected_calls=1,failed_calls=0\r\ncmdstat_set:calls=2,usec=5000000,rejected_calls=0,failed_calls=0\r\n";
    let ours = SessionKnowledge {
        own_calls: BTreeMap::from([("get".to_owned(), OwnCalls { sent: 2, failed: 1 })]),
        ..nothing()
    };
    let samples = poll_with(&mut collector, &info(lines), Some(HISTOGRAM), &ours).unwrap();
    assert_eq!(count(&samples, "get", "success"), Some(3.0));
    assert_eq!(count(&samples, "get", "error"), Some(0.0), "the refused one was ours");
    let get = duration(&samples, "get").unwrap();
    assert_eq!((get.count, get.sum), (3, 0.00101));
    assert_eq!(get.buckets[0], (0.0005, 2));
    assert_eq!(get.buckets[2], (0.0025, 3));
    let update = duration(&samples, "update").unwrap();
    assert_eq!((update.count, update.sum), (2, 5.0));
    assert_eq!(update.buckets.last(), Some(&(10.0, 0)), "who knows how long they took");
    assert_eq!(duration(&samples, "create"), None);
    assert_eq!(duration(&samples, "delete").unwrap().count, 0);
}

#[test]
fn where_histograms_are_denied_counters_go_on() {
    let mut collector = collector(Operations::On);
    let line = |calls: u64| {
        info(&format!(
            "cmdstat_get:calls={calls},usec=1,rejected_calls=0,failed_calls=0\r\n"
        ))
    };
    let mut denied = Scene::new(&line(5));
    denied
        .unavailable
        .insert("latency|histogram".to_owned(), Unavailable::Denied);
    let samples = poll_scene(&mut collector, &denied, &nothing()).unwrap();
    assert_eq!(count(&samples, "get", "success"), Some(0.0));
    assert_eq!(duration(&samples, "get"), None);
    // It was granted: what the histogram holds came before.
    let samples = poll_with(&mut collector, &line(9), Some(HISTOGRAM), &nothing()).unwrap();
    assert_eq!(count(&samples, "get", "success"), Some(4.0));
    assert_eq!(duration(&samples, "get").unwrap().count, 0);
    let broken = Scene::new(&line(12)).answer(latency_histogram(), Reply::Null);
    let outcome = poll_scene(&mut collector, &broken, &nothing());
    assert!(matches!(outcome, Err(CollectError::Shape { .. })), "{outcome:?}");
    let samples = poll_with(&mut collector, &line(12), Some(HISTOGRAM), &nothing()).unwrap();
    assert_eq!(
        count(&samples, "get", "success"),
        Some(7.0),
        "nothing was lost by the broken reply"
    );
}

#[test]
fn without_info_nothing_is_known() {
    let mut scene = Scene::new("");
    scene.unavailable.insert("info".to_owned(), Unavailable::Denied);
    let outcome = scene.with_context(|context| {
        collector(Operations::On).collect(&PollContext {
            file_bytes: None,
            clients: None,
            info: None,
            server: context.server,
            replies: context.replies,
            unavailable: context.unavailable,
            unix_seconds: context.unix_seconds,
            now: context.now,
            sessions: context.sessions,
        })
    });
    assert!(matches!(outcome, Err(CollectError::Unavailable { .. })));
    let nothing_counted = poll(&mut collector(Operations::On), "", &nothing());
    assert!(
        nothing_counted.is_empty(),
        "a server without command statistics: {nothing_counted:?}"
    );
}

#[test]
fn what_was_added_up_goes_to_the_collector_of_a_changed_configuration() {
    let mut old = collector(Operations::On);
    let line = |calls: u64| format!("cmdstat_get:calls={calls},usec=1,rejected_calls=0,failed_calls=0\r\n");
    poll(&mut old, &line(5), &nothing());
    poll(&mut old, &line(8), &nothing());
    let mut new = collector(Operations::Auto);
    new.take_state(old.give_state().unwrap());
    let knowledge = SessionKnowledge {
        are_keys_sessions: true,
        ..nothing()
    };
    let samples = poll(&mut new, &line(12), &knowledge);
    assert_eq!(count(&samples, "get", "success"), Some(7.0));
}

/// One poll of arbitrary numbers.
fn arbitrary_poll() -> impl Strategy<Value = (String, SessionKnowledge, Vec<u8>)> {
    let number = || prop_oneof![0_u64..20, any::<u64>()];
    (
        prop::collection::vec(
            (
                prop_oneof![Just("get"), Just("set"), Just("setnx"), Just("del"), Just("hset")],
                number(),
                number(),
                number(),
                number(),
            ),
            0..6,
        ),
        (number(), number()),
        prop::option::of(number()),
        prop_oneof![Just("aa"), Just("bb")],
        prop_oneof![Just(5_u64), Just(5_000)],
        prop::collection::vec((0_i64..2_000_000, 0_i64..1000), 0..4),
    )
        .prop_map(|(stats, (sent, failed), keys_created, run_id, uptime, edges)| {
            let mut text = format!("redis_version:7.0.15\r\nrun_id:{run_id}\r\nuptime_in_seconds:{uptime}\r\n");
            for (name, calls, usec, failed, rejected) in stats {
                text += &format!(
                    "cmdstat_{name}:calls={calls},usec={usec},rejected_calls={rejected},failed_calls={failed}\r\n"
                );
            }
            let knowledge = SessionKnowledge {
                keys_created,
                own_calls: BTreeMap::from([("get".to_owned(), OwnCalls { sent, failed })]),
                ..nothing()
            };
            let mut total = 0;
            let mut pairs = String::new();
            let edges: BTreeMap<i64, i64> = edges.into_iter().collect();
            for (edge, more) in &edges {
                total += more;
                pairs += &format!(":{edge}\r\n:{total}\r\n");
            }
            let histogram = format!(
                "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:{total}\r\n$14\r\nhistogram_usec\r\n*{}\r\n{pairs}",
                edges.len() * 2
            );
            (text, knowledge, histogram.into_bytes())
        })
}

proptest! {
    /// However the totals of the server, our own account, the events and the server itself jump: nothing that is published falls.
    #[test]
    fn nothing_falls(polls in prop::collection::vec(arbitrary_poll(), 1..25)) {
        let mut collector = collector(Operations::On);
        let mut before: BTreeMap<String, f64> = BTreeMap::new();
        for (text, knowledge, histogram) in polls {
            let samples = poll_with(&mut collector, &text, Some(&histogram), &knowledge).unwrap();
            for sample in samples.families().iter().flat_map(|family| &family.samples) {
                let labels = format!("{:?}", sample.labels);
                let values = match &sample.value {
                    Value::Number(number) => vec![(labels, *number)],
                    Value::Histogram(distribution) => {
                        prop_assert!(distribution.buckets.is_sorted_by_key(|(_, count)| *count));
                        prop_assert!(distribution.buckets.last().is_none_or(|(_, count)| *count <= distribution.count));
                        let buckets = distribution.buckets.iter().map(|(bound, count)| (format!("{labels} {bound}"), *count as f64));
                        let sum = (format!("{labels} sum"), distribution.sum);
                        buckets.chain([sum, (format!("{labels} count"), distribution.count as f64)]).collect()
                    }
                    other => panic!("{other:?}"),
                };
                for (series, value) in values {
                    let known = before.insert(series.clone(), value).unwrap_or(0.0);
                    prop_assert!(value.is_finite() && value >= known, "{} fell from {} to {}", series, known, value);
                }
            }
        }
    }
}
