//! What a probe sends, what it takes for a success, and what it counts.

use super::*;
use crate::config::{Environment, load_str};
use std::path::Path;

fn session(timeout: &str) -> Session {
    let text =
        format!("instances: [{{name: a, address: 'redis://h', poll: {{timeout: {timeout}, ping_interval: 30s}}}}]");
    let loaded = load_str(&text, "test", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    Session::new(&loaded.config.instances[0], None)
}

fn words(command: &Command) -> Vec<String> {
    let words = command.words().iter();
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[test]
fn keys_are_random_and_every_write_of_them_has_an_end() {
    let (one, other) = (session("2s"), session("2s"));
    assert_ne!(one.key, other.key);
    let random = one.key.strip_prefix("redis-session-exporter:probe:").unwrap();
    assert!(
        random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{random}"
    );
    let set = words(&one.command(Operation::Create));
    assert_eq!(set, ["SET", &one.key, &one.value, "EX", "10", "NX"]);
    assert_eq!(words(&one.command(Operation::Update)), ["EXPIRE", &one.key, "10"]);
    assert_eq!(words(&session("2500ms").command(Operation::Update))[2], "13");
    assert_eq!(words(&session("5s").command(Operation::Create))[4], "25");
}

#[test]
fn a_prefix_with_a_hash_tag_pins_all_keys_to_one_slot() {
    for (prefix, is_pinned) in [
        ("probe:", false),
        ("{probe}:", true),
        ("a{b}c", true),
        ("{}:", false),
        ("{}{a}:", false),
        ("{probe:", false),
        ("}a{:", false),
    ] {
        assert_eq!(has_hash_tag(prefix), is_pinned, "{prefix}");
    }
    let text = "instances: [{name: a, address: 'redis://h'}]";
    let loaded = load_str(text, "test", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    let tagged = Session::new(&loaded.config.instances[0], Some(0xab)).key;
    assert!(
        tagged.starts_with("redis-session-exporter:probe:{000000ab}") && tagged.len() == 29 + 10 + 32,
        "{tagged}"
    );
}

#[test]
fn only_the_right_answer_is_a_success() {
    let session = session("3s");
    let right = [
        (Operation::Create, Reply::Simple("OK".into())),
        (Operation::Get, Reply::Bulk(session.value.clone().into())),
        (Operation::Update, Reply::Integer(1)),
        (Operation::Delete, Reply::Integer(1)),
    ];
    for (operation, reply) in &right {
        assert_eq!(session.judge(*operation, reply), Ok(()));
    }
    let wrong = [
        (
            Operation::Create,
            Reply::Null,
            "SET was answered with something else than expected",
        ),
        (
            Operation::Create,
            Reply::Error("OOM command not allowed when used memory > 'maxmemory'.".into()),
            "SET was refused with OOM",
        ),
        (
            Operation::Get,
            Reply::Null,
            "GET found the session gone: somebody deleted it, or the server evicts keys",
        ),
        (
            Operation::Get,
            Reply::Bulk("another".into()),
            "GET was answered with something else than expected",
        ),
        (
            Operation::Delete,
            Reply::Error("NOPERM this user has no permissions to run the 'del' command".into()),
            "DEL was refused with NOPERM",
        ),
    ];
    for (operation, reply, sentence) in wrong {
        assert_eq!(session.judge(operation, &reply), Err(sentence.to_owned()));
    }
}

#[test]
fn counters_are_born_at_zero_and_a_failure_counts_with_the_time_waited() {
    let mut probe = SessionProbe {
        ticker: Ticker::new(Duration::from_secs(15), Instant::now()),
        is_on: true,
        counts: BTreeMap::new(),
        refused_at: None,
        tag: None,
        is_known_elsewhere: false,
        logged: None,
    };
    let count = |probe: &SessionProbe, operation: &str, status: &str| {
        let samples = probe.counters();
        samples.number_with(OPERATIONS.name, &[operation, status]).unwrap()
    };
    for operation in Operation::ALL {
        assert_eq!(count(&probe, operation.as_label(), "success"), 0.0);
        assert_eq!(count(&probe, operation.as_label(), "error"), 0.0);
    }
    probe.count(Operation::Create, false, Some(Duration::from_secs(3)));
    probe.count(Operation::Create, false, None);
    probe.count(Operation::Create, true, Some(Duration::from_micros(400)));
    assert_eq!(count(&probe, "create", "error"), 2.0);
    assert_eq!(count(&probe, "create", "success"), 1.0);
    let create = probe.counts[&Operation::Create].durations.distribution();
    assert_eq!((create.count, create.buckets[0].1), (2, 1));
    assert_eq!(create.sum, 3.0004);
}
