use super::*;
use crate::catalogue::compatibility::assert_emits_listed;
use crate::collectors::testing::{Scene, parse_reply};
use crate::config::pattern::IdPattern;
use bytes::Bytes;
use proptest::prelude::*;
use std::path::PathBuf;

fn text(word: &str) -> Reply {
    Reply::Bulk(Bytes::copy_from_slice(word.as_bytes()))
}

fn names(words: &[&str]) -> Reply {
    Reply::Array(words.iter().map(|word| text(word)).collect())
}

fn scene(listed: &[&str]) -> Scene {
    Scene::new("redis_version:8.0.2\r\n").answer(list(), names(listed))
}

fn fixture(name: &str) -> Reply {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/replies");
    parse_reply(&std::fs::read(folder.join(name)).unwrap())
}

/// Verbatim from RediSearch 1.2.2 on Redis 7.0.
#[test]
fn fields_are_read_by_their_names_and_megabytes_become_bytes() {
    let scene = scene(&["sessions", "empty"])
        .answer(info(b"sessions"), fixture("redisearch-1.2/ft-info.resp"))
        .answer(info(b"empty"), fixture("redisearch-1.2/ft-info-empty.resp"));
    let samples = scene.collect(&SPEC).unwrap();
    let value = |metric: &str, index: &str| samples.number_with(&format!("redis_search_index_{metric}"), &[index]);
    assert_eq!(value("num_docs", "sessions"), Some(5.0));
    assert_eq!(value("num_terms", "sessions"), Some(5.0));
    assert_eq!(value("avg_per_doc_records", "sessions"), Some(1.0));
    let bytes = value("inverted_size_bytes", "sessions").unwrap();
    assert!(bytes >= 1.0 && bytes.fract() == 0.0, "{bytes}");
    assert_eq!(value("num_docs", "empty"), Some(0.0));
    assert_eq!(value("inverted_size_bytes", "empty"), Some(0.0));
    assert_eq!(value("avg_per_doc_records", "empty"), None, "-nan is no value");
    assert_eq!(
        value("percent_indexed", "sessions"),
        None,
        "what this version does not say is absent"
    );
}

/// Put together after the documentation of RediSearch 2.10 and Redis 8: numbers as integers and as text, lists between them.
#[test]
fn every_field_of_newer_versions_is_read() {
    let mut elements = vec![
        text("index_name"),
        text("idx"),
        text("attributes"),
        names(&["num_docs", "99"]),
    ];
    for (number, field) in FIELDS.iter().enumerate() {
        elements.push(Reply::Simple(Bytes::from_static(field.name.as_bytes())));
        elements.push(match number % 2 {
            0 => Reply::Integer(2),
            _ => text("0.5"),
        });
    }
    elements.extend([
        text("gc_stats"),
        names(&["bytes_collected", "0"]),
        text("num_docs"),
        text("77"),
    ]);
    let scene = scene(&["idx"]).answer(info(b"idx"), Reply::Array(elements));
    let samples = scene.collect(&SPEC).unwrap();
    assert_eq!(samples.families().len(), FIELDS.len());
    assert_emits_listed(file!(), &samples);
    assert_eq!(samples.number_with("redis_search_index_num_docs", &["idx"]), Some(2.0));
    assert_eq!(
        samples.number_with("redis_search_index_inverted_size_bytes", &["idx"]),
        Some(2_097_152.0)
    );
    assert_eq!(
        samples.number_with("redis_search_index_number_of_uses_total", &["idx"]),
        Some(2.0)
    );
}

/// Put together after the documentation of valkey-search 1.0.
#[test]
fn valkey_search_has_other_names_for_two_fields() {
    let pairs = [
        ("index_name", "idx"),
        ("num_docs", "3"),
        ("num_terms", "0"),
        ("num_records", "6"),
        ("hash_indexing_failures", "1"),
        ("backfill_in_progress", "1"),
        ("backfill_complete_percent", "0.250000"),
        ("mutation_queue_size", "0"),
        ("recent_mutations_queue_delay", "0 sec"),
        ("state", "backfill_in_progress"),
    ];
    let elements = pairs
        .iter()
        .flat_map(|(name, value)| [text(name), text(value)])
        .collect();
    let samples = scene(&["idx"])
        .answer(info(b"idx"), Reply::Array(elements))
        .collect(&SPEC)
        .unwrap();
    let value = |metric: &str| samples.number_with(&format!("redis_search_index_{metric}"), &["idx"]);
    assert_eq!(value("indexing"), Some(1.0));
    assert_eq!(value("percent_indexed"), Some(0.25));
    assert_eq!(value("hash_indexing_failures"), Some(1.0));
    assert_eq!(samples.families().len(), 6);
}

fn collector(pattern: Option<&str>, most: usize) -> Search {
    Search {
        indexes: pattern.map(|pattern| IdPattern::new(pattern).unwrap()),
        most,
    }
}

#[test]
fn the_pattern_and_the_limit_choose_and_what_is_left_out_is_counted() {
    let listed = names(&["b", "session-2", "session-1", "a", "session-1", "", "xsession"]);
    let wanted = |pattern, most| {
        let (names, dropped) = collector(pattern, most).wanted(&listed).unwrap();
        let names: Vec<String> = names
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        (names.join(" "), dropped)
    };
    assert_eq!(
        wanted(None, 50),
        ("a b session-1 session-2 xsession".to_owned(), 1),
        "no label is empty"
    );
    assert_eq!(
        wanted(Some("session"), 50),
        ("session-1 session-2 xsession".to_owned(), 0),
        "anywhere, as the peer does"
    );
    assert_eq!(wanted(Some("^session"), 1), ("session-1".to_owned(), 1));
    let scene = scene(&["a", "b"]);
    let asked = |pattern| scene.with_context(|context| collector(pattern, 50).follow_up(context));
    assert_eq!(asked(None), [info(b"a"), info(b"b")]);
    assert_eq!(asked(Some("b")), [info(b"b")]);
    let bytes = Reply::Array(vec![Reply::Bulk(Bytes::from_static(b"i\xff"))]);
    let scene = Scene::new("").answer(list(), bytes);
    let scene = scene.answer(info(b"i\xff"), names(&["num_docs", "1"]));
    let samples = scene.collect(&SPEC).unwrap();
    assert_eq!(
        samples.number_with("redis_search_index_num_docs", &["i\\xff"]),
        Some(1.0)
    );
}

#[test]
fn an_index_that_is_gone_is_left_out_and_a_server_without_indexes_shows_none() {
    let scene = scene(&["gone", "idx"])
        .answer(info(b"gone"), fixture("redisearch-1.2/error-unknown-index.resp"))
        .answer(info(b"idx"), names(&["num_docs", "1", "odd"]));
    let samples = scene.collect(&SPEC).unwrap();
    assert_eq!(samples.families()[0].samples.len(), 1);
    assert!(
        Scene::new("")
            .answer(list(), names(&[]))
            .collect(&SPEC)
            .unwrap()
            .is_empty()
    );
    // Verbatim from Redis 8.0 without the module, and from a user who may not.
    for (error, label) in [
        (
            "ERR unknown command 'FT._LIST', with args beginning with: ",
            "unsupported",
        ),
        (
            "NOPERM User m has no permissions to run the 'ft._list' command",
            "denied",
        ),
    ] {
        let found = Scene::new("")
            .answer(list(), Reply::Error(error.into()))
            .collect(&SPEC)
            .unwrap_err();
        assert_eq!(found.to_string(), format!("ft._list is {label}"));
    }
    let broken = Scene::new("").answer(list(), Reply::Integer(1)).collect(&SPEC);
    assert!(matches!(broken, Err(CollectError::Shape { .. })));
}

proptest! {
    #[test]
    fn any_reply_is_read_without_a_panic(words in prop::collection::vec("(num_docs|number_of_uses|-1|nan|1e999|[a-z]{0,3})", 0..20)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let scene = scene(&["idx"]).answer(info(b"idx"), names(&words));
        let samples = scene.collect(&SPEC).unwrap();
        for family in samples.families() {
            prop_assert_eq!(family.samples.len(), 1);
        }
    }
}
