use super::super::testing::{Driven, drive, error};
use super::*;
use crate::redis::Unavailable::{Denied, Unsupported};

const REMEMBERED: usize = 1000;

fn config(patterns: &[&str], max_groups: usize) -> KeyGroupsConfig {
    KeyGroupsConfig {
        patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
        max_groups,
        databases: Vec::new(),
    }
}

fn task(patterns: &[&str], max_groups: usize) -> Box<KeyGroups> {
    Box::new(KeyGroups::new(&config(patterns, max_groups), 3, REMEMBERED, |_| None))
}

/// Every key takes ten times its length.
fn ten_times(words: &[&[u8]]) -> Reply {
    assert_eq!(words[..2], [b"MEMORY".as_slice(), b"USAGE"]);
    Reply::Integer(10 * i64::try_from(words[2].len()).unwrap())
}

fn count(driven: &Driven, group: &str) -> Option<f64> {
    let samples = &driven.findings.samples;
    samples.number_with("redis_key_group_count", &["db3", group])
}

fn memory(driven: &Driven, group: &str) -> Option<f64> {
    let samples = &driven.findings.samples;
    samples.number_with("redis_key_group_memory_usage_bytes", &["db3", group])
}

fn distinct(driven: &Driven) -> Option<f64> {
    let samples = &driven.findings.samples;
    samples.number_with("redis_number_of_distinct_key_groups", &["db3"])
}

#[test]
fn keys_are_grouped_by_what_the_first_pattern_captures() {
    let patterns = ["^(user):(%a+)", "^([^:]+):[^:]+$", "^nothing$", "()x"];
    let keys: [&[u8]; 9] = [
        b"user:cart:1",
        b"user:cart:2",
        b"web:1",
        b"web:2",
        b"web:1",
        b"nothing",
        b"abx",
        b"alone",
        b"b\xff\xfe:1",
    ];
    let driven = drive(task(&patterns, 100), 3, &keys, ten_times);
    let figures = |group| (count(&driven, group), memory(&driven, group));
    assert_eq!(figures("usercart"), (Some(2.0), Some(220.0)));
    assert_eq!(figures("web"), (Some(2.0), Some(100.0)), "SCAN returned web:1 twice");
    assert_eq!(figures(""), (Some(1.0), Some(70.0)), "no capture, no name");
    assert_eq!(figures("3"), (Some(1.0), Some(30.0)), "a position");
    assert_eq!(figures("unclassified"), (Some(1.0), Some(50.0)));
    assert_eq!(figures("b\\xff\\xfe"), (Some(1.0), Some(50.0)));
    assert_eq!(figures("overflow"), (None, None));
    assert_eq!(distinct(&driven), Some(6.0));
    assert_eq!((driven.findings.dropped, driven.findings.missing.len()), (0, 0));
    assert_eq!(driven.lookups, KeyLookups::default());
    assert_eq!(driven.batches, [1, 2, 4, 1], "the first alone, since it may be denied");
}

#[test]
fn the_groups_with_the_most_memory_are_shown() {
    let keys: [&[u8]; 6] = [b"a:1", b"b:22222222", b"c:1", b"c:2", b"d:333", b"dd"];
    let driven = drive(task(&["^(.*):"], 2), 3, &keys, ten_times);
    assert_eq!(count(&driven, "b"), Some(1.0));
    // 60 bytes: as many as nothing else but b.
    assert_eq!(count(&driven, "c"), Some(2.0));
    assert_eq!((count(&driven, "a"), count(&driven, "d")), (None, None));
    assert_eq!(count(&driven, "overflow"), Some(3.0));
    assert_eq!(memory(&driven, "overflow"), Some(30.0 + 50.0 + 20.0));
    assert_eq!(distinct(&driven), Some(5.0));
    assert_eq!(driven.findings.dropped, 3);

    let all = drive(task(&["^(.*):"], 0), 3, &keys, ten_times);
    assert_eq!(count(&all, "overflow"), Some(6.0));

    // A group of that name is not a second series.
    let keys: [&[u8]; 3] = [b"overflow:123", b"a:1", b"b:1"];
    let same = drive(task(&["^(.*):"], 1), 3, &keys, ten_times);
    assert_eq!(count(&same, "overflow"), Some(3.0));
    assert_eq!(distinct(&same), Some(3.0));
}

#[test]
fn keys_that_are_gone_are_not_counted() {
    let keys: [&[u8]; 4] = [b"a:1", b"a:2", b"b:1", b"c:1"];
    let driven = drive(task(&["^(.*):"], 10), 3, &keys, |words| match words[2] {
        b"a:2" => Reply::Null,
        b"b:1" => error("MOVED 1 127.0.0.1:7001"),
        _ => Reply::Integer(10),
    });
    assert_eq!((count(&driven, "a"), memory(&driven, "a")), (Some(1.0), Some(10.0)));
    assert_eq!((count(&driven, "b"), memory(&driven, "b")), (None, None));
    assert_eq!(distinct(&driven), Some(2.0));
}

#[test]
fn without_memory_usage_keys_are_counted_alone() {
    let keys: [&[u8]; 4] = [b"a:1", b"b:1", b"b:2", b"c:1"];
    // Verbatim from Redis 7.0, Redis 8.0, and a server before 4.0.
    for (text, reason) in [
        (
            "NOPERM this user has no permissions to run the 'memory|usage' command",
            Denied,
        ),
        (
            "NOPERM User u has no permissions to run the 'memory|usage' command",
            Denied,
        ),
        ("ERR unknown command 'MEMORY'", Unsupported),
    ] {
        let driven = drive(task(&["^(.*):"], 1), 3, &keys, |_| error(text));
        assert_eq!(driven.sent.len(), 1, "asked once");
        assert_eq!(
            (count(&driven, "b"), memory(&driven, "b")),
            (Some(2.0), None),
            "the most keys"
        );
        assert_eq!(
            (count(&driven, "overflow"), memory(&driven, "overflow")),
            (Some(2.0), None)
        );
        assert_eq!(driven.findings.missing, [("memory|usage".to_owned(), reason)]);
        assert_eq!(distinct(&driven), Some(3.0));
    }
    let known = Box::new(KeyGroups::new(&config(&["^(.*):"], 9), 3, REMEMBERED, |name| {
        (name == "memory|usage").then_some(Denied)
    }));
    let driven = drive(known, 3, &keys, |_| panic!("not asked"));
    assert_eq!(count(&driven, "b"), Some(2.0));
    assert_eq!(driven.findings.missing, [("memory|usage".to_owned(), Denied)], "still");
}

#[test]
fn keys_that_may_not_be_asked_about_are_denied_a_few_times_and_not_a_hundred_thousand() {
    let names: Vec<String> = (0..500).map(|number| format!("a:{number}")).collect();
    let mut keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    // The last one of a page is asked about first.
    keys.insert(super::super::testing::PAGE - 1, b"ok:1");
    // Verbatim from Redis 8.0.
    let denied = "NOPERM No permissions to access a key";
    let answer = |words: &[&[u8]]| match words[2] {
        b"ok:1" => Reply::Integer(7),
        _ => error(denied),
    };
    let driven = drive(task(&["^(.*):"], 9), 3, &keys, answer);
    assert_eq!(driven.batches, [1, 2, 1]);
    assert_eq!((count(&driven, "ok"), memory(&driven, "ok")), (Some(1.0), Some(7.0)));
    assert_eq!((count(&driven, "a"), memory(&driven, "a")), (Some(500.0), None));
    let name = "key_groups 3 memory|usage".to_owned();
    assert_eq!(driven.findings.missing, [(name.clone(), Denied)]);
    let again = KeyGroups::new(&config(&["^(.*):"], 9), 3, REMEMBERED, |asked| {
        (asked == name).then_some(Denied)
    });
    let driven = drive(Box::new(again), 3, &keys, |_| panic!("not asked again"));
    assert_eq!(count(&driven, "a"), Some(500.0));
}

#[test]
fn a_key_that_wears_out_the_patterns_is_unclassified() {
    let worn = [vec![b'a'; 5000], b":".to_vec()].concat();
    let keys: [&[u8]; 2] = [&worn, b"b:c:1"];
    let driven = drive(task(&["(.*)x(.*)x(.*)", "^(.*):"], 9), 3, &keys, ten_times);
    assert_eq!(count(&driven, "unclassified"), Some(1.0));
    assert_eq!(count(&driven, "b:c"), Some(1.0));
    assert_eq!(driven.findings.dropped, 1);

    // The usual pattern copes with keys of any length that applications make.
    let long = [vec![b':'; 15_000], b"x".to_vec()].concat();
    let driven = drive(task(&["^(.*):[^:]+$"], 9), 3, &[&long[..]], ten_times);
    assert_eq!(
        driven.findings.dropped, 1,
        "a name too long to be shown, in the overflow"
    );
    assert_eq!(count(&driven, "overflow"), Some(1.0));
}

#[test]
fn more_groups_than_are_told_apart_are_counted_together_and_their_number_estimated() {
    for number in [MAX_GROUPS_TOLD_APART + 3000, 40_000] {
        let names: Vec<String> = (0..number).map(|number| format!("g{number}:1")).collect();
        let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        let driven = drive(task(&["^(.*):"], 5), 3, &keys, |_| Reply::Integer(1));
        let rest = number as f64 - 5.0;
        assert_eq!(
            (count(&driven, "overflow"), memory(&driven, "overflow")),
            (Some(rest), Some(rest))
        );
        let estimate = distinct(&driven).unwrap();
        if number < MAX_GROUPS_TOLD_APART + SMALLEST_HASHES {
            assert_eq!(estimate, number as f64);
        } else {
            // Six standard errors of what lies beyond those that are told apart.
            let error = 6.0 * 30_000.0 / (SMALLEST_HASHES as f64).sqrt();
            assert!((estimate - number as f64).abs() < error, "{estimate}");
        }
        // Each group twice is no more groups.
        let twice: Vec<String> = (0..number).map(|number| format!("g{number}:2")).collect();
        let both: Vec<&[u8]> = names.iter().chain(&twice).map(String::as_bytes).collect();
        let driven = drive(task(&["^(.*):"], 5), 3, &both, |_| Reply::Integer(1));
        let again = distinct(&driven).unwrap();
        assert!((again - number as f64).abs() < 6.0 * number as f64 / 64.0, "{again}");
    }
}
