use super::super::testing::{Driven, drive, error};
use super::*;
use crate::config::optional::{KeyPattern, NamedKey};
use crate::redis::Unavailable::{Denied, Unsupported};
use crate::redis::resp::{Limits, Parser};
use std::path::Path;

const REMEMBERED: usize = 1000;
const SERVERS: [&str; 4] = ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"];

fn parsed(bytes: &[u8]) -> Reply {
    let mut parser = Parser::new(Limits::default());
    parser.start_exchange();
    parser.read_buffer().extend_from_slice(bytes);
    parser.next_reply().unwrap().unwrap()
}

fn fixture(server: &str, name: &str) -> Reply {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/replies");
    parsed(&std::fs::read(folder.join(server).join(format!("{name}.resp"))).unwrap())
}

fn config(globs: &[&str], keys: &[&str], consumers: bool) -> StreamsConfig {
    let pattern = |glob: &&str| KeyPattern {
        glob: (*glob).to_owned(),
        databases: vec![0, 3],
    };
    let named = |key: &&str| NamedKey {
        key: (*key).to_owned(),
        database: Some(3),
        export_value: false,
    };
    StreamsConfig {
        patterns: globs.iter().map(pattern).collect(),
        single: keys.iter().map(named).collect(),
        consumers,
    }
}

/// The task for named streams, or for those that globs find.
fn task(globs: &[&str], keys: &[&str], consumers: bool) -> Box<Streams> {
    let by_scan = keys.is_empty();
    let config = config(globs, keys, consumers);
    Box::new(Streams::new(&config, 3, REMEMBERED, by_scan, |_| None))
}

/// Both tasks of a database as one, the named streams first.
fn drive_both(
    config: &StreamsConfig,
    keys: &[&[u8]],
    refused: impl Fn(&str) -> Option<Unavailable>,
    mut answer: impl FnMut(&[&[u8]]) -> Reply,
) -> Driven {
    let named = Streams::new(config, 3, REMEMBERED, false, &refused);
    let mut driven = drive(Box::new(named), 3, &[], &mut answer);
    let later = |name: &str| {
        let missing = driven.findings.missing.iter().find(|(missing, _)| missing == name);
        refused(name).or(missing.map(|(_, reason)| *reason))
    };
    let found = Streams::new(config, 3, REMEMBERED, true, later);
    if found.needs_scan() {
        let more = drive(Box::new(found), 3, keys, answer);
        driven.findings.add(more.findings);
        driven.sent.extend(more.sent);
        driven.batches.extend(more.batches);
        driven.lookups.all += more.lookups.all;
        driven.lookups.misses += more.lookups.misses;
    }
    driven
}

fn simple(text: &'static str) -> Reply {
    Reply::Simple(text.into())
}

/// Answers as a server with the streams of the fixtures and the string `orders:text`.
fn recorded<'s>(server: &'s str) -> impl FnMut(&[&[u8]]) -> Reply + 's {
    move |words| {
        let key = std::str::from_utf8(words.last().unwrap()).unwrap_or_default();
        match (words[0], words.get(1).copied().unwrap_or_default()) {
            (b"TYPE", b"orders" | b"mails" | b"empty") => simple("stream"),
            (b"TYPE", b"gone") => simple("none"),
            (b"TYPE", _) => simple("string"),
            (b"XINFO", b"STREAM") => fixture(server, &format!("xinfo-stream-{key}")),
            (b"XINFO", b"GROUPS") => fixture(server, &format!("xinfo-groups-{key}")),
            (b"XINFO", b"CONSUMERS") => match (words[2], words[3]) {
                (b"orders", b"billing") => fixture(server, "xinfo-consumers-orders"),
                (b"mails", b"sender") => fixture(server, "xinfo-consumers-mails"),
                _ => panic!("a group without consumers was asked"),
            },
            _ => panic!("{words:?}"),
        }
    }
}

fn value(driven: &Driven, name: &str, labels: &[&str]) -> Option<f64> {
    let labels = [&["db3"], labels].concat();
    driven.findings.samples.number_with(name, &labels)
}

#[test]
fn what_real_servers_say_is_read_by_name() {
    for server in SERVERS {
        let keys: [&[u8]; 5] = [b"orders:text", b"mails", b"other", b"mails", b"orders"];
        let config = config(&["orders*", "m*"], &["orders", "empty", "gone"], true);
        let driven = drive_both(&config, &keys, |_| None, recorded(server));
        let of = |name: &str, labels: &[&str]| value(&driven, &format!("redis_stream_{name}"), labels);
        let expected = [
            ("length", 2.0),
            ("radix_tree_keys", 1.0),
            ("radix_tree_nodes", 2.0),
            ("groups", 2.0),
            ("entries_added_total", 3.0),
            ("last_generated_id", 1_526_919_030_476.0),
            ("max_deleted_entry_id", 1_526_919_030_475.0),
            ("first_entry_id", 1_526_919_030_474.0),
            ("last_entry_id", 1_526_919_030_476.0),
        ];
        for (name, expected) in expected {
            assert_eq!(of(name, &["orders"]), Some(expected), "{server} {name}");
        }
        assert_eq!(of("length", &["empty"]), Some(0.0));
        assert_eq!(of("max_deleted_entry_id", &["empty"]), Some(0.0));
        assert_eq!(of("first_entry_id", &["empty"]), None, "no entry has no id");
        assert_eq!(of("last_entry_id", &["empty"]), None);

        assert_eq!(of("group_consumers", &["orders", "billing"]), Some(1.0));
        assert_eq!(of("group_messages_pending", &["orders", "billing"]), Some(1.0));
        let delivered = of("group_last_delivered_id", &["orders", "g\\xff2"]);
        assert_eq!(delivered, Some(1_526_919_030_474.0));
        assert_eq!(of("group_lag", &["orders", "billing"]), None, "a deletion hides it");
        assert_eq!(of("group_entries_read", &["orders", "billing"]), None);
        assert_eq!(of("group_lag", &["mails", "sender"]), Some(1.0));
        assert_eq!(of("group_entries_read", &["mails", "sender"]), Some(2.0));

        let pending = of("group_consumer_messages_pending", &["mails", "sender", "bob\\x80"]);
        assert_eq!(pending, Some(2.0));
        let idle = of("group_consumer_idle_seconds", &["orders", "billing", "alice"]).unwrap();
        assert!((0.2..2.0).contains(&idle), "{idle}");

        assert!(
            !driven
                .sent
                .iter()
                .any(|sent| sent.contains("text") && sent.starts_with("XINFO"))
        );
        assert_eq!(driven.sent.iter().filter(|sent| *sent == "TYPE mails").count(), 1);
        // Five types, three streams with groups, two groups with consumers; `gone` is a miss.
        assert_eq!(driven.lookups, KeyLookups { all: 13, misses: 1 });
        assert_eq!((driven.findings.dropped, driven.findings.missing.len()), (0, 0));
        assert!(driven.batches.starts_with(&[1]), "{:?}", driven.batches);
    }
}

#[test]
fn consumers_are_left_out_on_wish_and_then_not_asked_for() {
    let driven = drive(task(&[], &["orders"], false), 3, &[], recorded("redis-7.0"));
    assert_eq!(
        value(&driven, "redis_stream_group_consumers", &["orders", "billing"]),
        Some(1.0)
    );
    assert!(!driven.sent.iter().any(|sent| sent.contains("CONSUMERS")));
    let names = driven
        .findings
        .samples
        .families()
        .iter()
        .map(|family| family.descriptor.name);
    assert!(!names.into_iter().any(|name| name.contains("consumer_")));
}

#[test]
fn what_needs_no_scan_says_so() {
    assert!(task(&["orders*"], &[], true).needs_scan());
    assert!(!task(&[], &["orders"], true).needs_scan());
    for by_scan in [false, true] {
        let elsewhere = Streams::new(&config(&["orders*"], &["orders"], true), 1, REMEMBERED, by_scan, |_| {
            Some(Denied)
        });
        assert!(elsewhere.is_idle() && !elsewhere.needs_scan());
    }
}

/// Redis 5.0 and 6.2 as their source writes it: no entries-added, no max-deleted-entry-id, groups without entries-read and lag.
#[test]
fn what_a_version_does_not_have_is_absent() {
    let stream = parsed(
        b"*14\r\n$6\r\nlength\r\n:1\r\n$15\r\nradix-tree-keys\r\n:1\r\n$16\r\nradix-tree-nodes\r\n:2\r\n$17\r\nlast-generated-id\r\n$3\r\n5-0\r\n\
          $6\r\ngroups\r\n:1\r\n$11\r\nfirst-entry\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n$10\r\nlast-entry\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
    );
    let info = reading::stream(&stream).unwrap();
    assert_eq!(
        (info.first_entry_id, info.entries_added, info.max_deleted_entry_id),
        (Some(5), None, None)
    );
    let groups = parsed(
        b"*1\r\n*8\r\n$4\r\nname\r\n$1\r\ng\r\n$9\r\nconsumers\r\n:0\r\n$7\r\npending\r\n:0\r\n$17\r\nlast-delivered-id\r\n$3\r\n5-0\r\n",
    );
    let groups = reading::groups(&groups).unwrap();
    assert_eq!(
        (groups[0].last_delivered_id, groups[0].lag, groups[0].entries_read),
        (Some(5), None, None)
    );
}

#[test]
fn shapes_nobody_knows_are_no_values() {
    let text = Reply::Bulk("x".into());
    for odd in [
        Reply::Null,
        text.clone(),
        Reply::Array(vec![text.clone()]),
        Reply::Integer(1),
    ] {
        assert_eq!(reading::stream(&odd), None);
        let inside = Reply::Array(vec![odd.clone()]);
        assert_eq!(reading::groups(&inside), None);
        assert_eq!(reading::consumers(&inside), None);
    }
    let nameless = Reply::Array(vec![Reply::Array(vec![Reply::Bulk("idle".into()), Reply::Integer(1)])]);
    assert_eq!(reading::consumers(&nameless), None);
    let odd_values = Reply::Array(vec![
        Reply::Bulk("length".into()),
        Reply::Integer(-1),
        Reply::Integer(7),
        Reply::Null,
        Reply::Bulk("first-entry".into()),
        Reply::Array(Vec::new()),
        Reply::Bulk("last-generated-id".into()),
        Reply::Bulk("no-id".into()),
    ]);
    assert_eq!(reading::stream(&odd_values), Some(StreamInfo::default()));
    let driven = drive(task(&[], &["a"], true), 3, &[], |words| match words[0] {
        b"TYPE" => simple("stream"),
        _ => Reply::Integer(1),
    });
    assert!(driven.findings.samples.is_empty());
}

#[test]
fn a_stream_that_is_gone_meanwhile_is_absent() {
    // Verbatim from Redis 7.0: gone, of another type by now, moved to another node.
    for text in [
        "ERR no such key",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "MOVED 1 127.0.0.1:7001",
    ] {
        for failing in [&b"STREAM"[..], b"GROUPS", b"CONSUMERS"] {
            let mut answers = recorded("redis-7.0");
            let driven = drive(task(&[], &["mails", "orders"], true), 3, &[], |words| {
                if words[1] == failing && words[2] == b"mails" {
                    return error(text);
                }
                answers(words)
            });
            assert_eq!(value(&driven, "redis_stream_length", &["mails"]), None, "{text}");
            assert_eq!(
                value(&driven, "redis_stream_group_consumers", &["mails", "sender"]),
                None
            );
            assert_eq!(value(&driven, "redis_stream_length", &["orders"]), Some(2.0));
            assert!(driven.findings.missing.is_empty());
            assert_eq!(driven.lookups.misses, u64::from(text.starts_with("ERR")));
        }
    }
    let mut answers = recorded("redis-7.0");
    let driven = drive(task(&[], &["orders"], true), 3, &[], |words| match words[1] {
        b"CONSUMERS" => error("NOGROUP No such consumer group 'billing' for key name 'orders'"),
        _ => answers(words),
    });
    assert_eq!(value(&driven, "redis_stream_length", &["orders"]), Some(2.0));
    assert_eq!(
        value(&driven, "redis_stream_group_consumers", &["orders", "billing"]),
        None
    );
    assert_eq!(
        value(&driven, "redis_stream_group_consumers", &["orders", "g\\xff2"]),
        Some(0.0)
    );
}

#[test]
fn what_is_denied_is_asked_once_and_the_rest_is_shown() {
    let mut answers = recorded("redis-7.0");
    let denied = "NOPERM this user has no permissions to run the 'xinfo|consumers' command";
    let driven = drive(task(&[], &["orders", "mails"], true), 3, &[], |words| match words[1] {
        b"CONSUMERS" => error(denied),
        _ => answers(words),
    });
    assert_eq!(driven.findings.missing, [("xinfo|consumers".to_owned(), Denied)]);
    assert_eq!(driven.sent.iter().filter(|sent| sent.contains("CONSUMERS")).count(), 1);
    assert_eq!(
        value(&driven, "redis_stream_group_lag", &["mails", "sender"]),
        Some(1.0)
    );

    // Without TYPE what is named is a stream, and what a glob finds is not asked about.
    let mut answers = recorded("redis-7.0");
    let denied = "NOPERM this user has no permissions to run the 'type' command";
    let keys: [&[u8]; 2] = [b"mails", b"mail"];
    let both = config(&["m*"], &["orders", "empty"], true);
    let driven = drive_both(
        &both,
        &keys,
        |_| None,
        |words| match words[0] {
            b"TYPE" => error(denied),
            _ => answers(words),
        },
    );
    assert_eq!(driven.findings.missing, [("type".to_owned(), Denied)]);
    assert_eq!(driven.sent.iter().filter(|sent| sent.starts_with("TYPE")).count(), 1);
    assert_eq!(value(&driven, "redis_stream_length", &["orders"]), Some(2.0));
    assert_eq!(value(&driven, "redis_stream_length", &["mails"]), None);

    // Before Redis 5.0 there are no streams.
    let unknown = "ERR unknown command 'XINFO'";
    let driven = drive(task(&[], &["orders", "mails"], true), 3, &[], |words| match words[0] {
        b"TYPE" => simple("stream"),
        _ => error(unknown),
    });
    assert_eq!(driven.findings.missing, [("xinfo|stream".to_owned(), Unsupported)]);
    assert!(driven.findings.samples.is_empty());
    assert_eq!(driven.lookups.all, 2, "what is unknown looks nothing up");

    let known = |name: &str| (name == "xinfo|stream").then_some(Denied);
    let driven = drive_both(&both, &keys, known, recorded("redis-7.0"));
    assert!(driven.findings.samples.is_empty());
    assert_eq!(driven.findings.missing, [("xinfo|stream".to_owned(), Denied)], "still");
    assert!(!driven.sent.iter().any(|sent| sent.starts_with("XINFO")));
}

#[test]
fn denied_keys_are_asked_a_few_times_and_remembered() {
    // Verbatim from Redis 8.0.
    let denied = "NOPERM No permissions to access a key";
    let names: Vec<String> = (0..1000).map(|number| format!("m{number}")).collect();
    let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let both = config(&["m*"], &["orders"], true);
    let driven = drive_both(&both, &keys, |_| None, |_| error(denied));
    assert!(
        driven.sent.len() < 2 * super::super::testing::PAGE,
        "{}",
        driven.sent.len()
    );
    let missing: BTreeSet<&str> = driven.findings.missing.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(missing, BTreeSet::from(["streams 3", "streams 3 orders"]));
    assert_eq!(driven.lookups, KeyLookups::default());
    let known = |name: &str| missing.contains(name).then_some(Denied);
    let again = drive_both(&both, &keys, known, |_| panic!("asked again"));
    let still: BTreeSet<&str> = again.findings.missing.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(still, missing);
}

fn pair(name: &'static str, value: Reply) -> [Reply; 2] {
    [Reply::Bulk(name.into()), value]
}

#[test]
fn what_grows_is_bounded_and_what_is_left_out_is_counted() {
    let group = |number: usize| {
        Reply::Array(
            [
                pair("name", Reply::Bulk(format!("g{number:05}").into())),
                pair("consumers", Reply::Integer(150)),
            ]
            .concat(),
        )
    };
    let consumer = |number: i64| {
        Reply::Array(
            [
                pair("name", Reply::Bulk(format!("c{number:05}").into())),
                pair("pending", Reply::Integer(number)),
                pair("idle", Reply::Integer(1)),
            ]
            .concat(),
        )
    };
    let names: Vec<String> = (0..MAX_STREAMS + 50).map(|number| format!("m{number}")).collect();
    let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let driven = drive(task(&["m*"], &[], true), 3, &keys, |words| match (words[0], words[1]) {
        (b"TYPE", _) => simple("stream"),
        (_, b"STREAM") => {
            Reply::Array([pair("length", Reply::Integer(1)), pair("groups", Reply::Integer(130))].concat())
        }
        (_, b"GROUPS") => Reply::Array((0..130).map(group).collect()),
        _ => Reply::Array((0..150).map(consumer).collect()),
    });
    let samples = &driven.findings.samples;
    let series = |name: &str| {
        let family = samples.families().iter().find(|family| family.descriptor.name == name);
        family.map_or(0, |family| family.samples.len())
    };
    assert_eq!(series("redis_stream_length"), MAX_STREAMS);
    assert_eq!(series("redis_stream_group_consumers"), MAX_GROUPS);
    assert_eq!(series("redis_stream_group_consumer_messages_pending"), MAX_CONSUMERS);
    let left_out = 50 + (MAX_STREAMS * 130 - MAX_GROUPS) + (MAX_GROUPS * 150 - MAX_CONSUMERS);
    assert_eq!(driven.findings.dropped, left_out as u64);
    let of = |consumer| {
        let labels = ["db3", "m0", "g00000", consumer];
        samples.number_with("redis_stream_group_consumer_messages_pending", &labels)
    };
    assert_eq!(
        (of("c00149"), of("c00049")),
        (Some(149.0), None),
        "those with the most pending"
    );
    let entries = driven
        .sent
        .iter()
        .filter(|sent| sent.starts_with("XINFO STREAM"))
        .count();
    assert_eq!(entries, MAX_STREAMS);
}

#[test]
fn names_that_look_alike_are_one_series() {
    let group = |name: &'static [u8]| Reply::Array(pair("name", Reply::Bulk(name.into())).to_vec());
    let keys: [&[u8]; 2] = [b"m\xff", b"m\\xff"];
    let driven = drive(task(&["m*"], &[], false), 3, &keys, |words| {
        match (words[0], words[1]) {
            (b"TYPE", _) => simple("stream"),
            (_, b"STREAM") => Reply::Array(pair("length", Reply::Integer(1)).to_vec()),
            _ => Reply::Array(vec![group(b"g\xff"), group(b"g\\xff")]),
        }
    });
    assert_eq!(value(&driven, "redis_stream_length", &["m\\xff"]), Some(1.0));
    assert_eq!(driven.findings.samples.families()[0].samples.len(), 1);
    assert_eq!(driven.findings.dropped, 2);
}

/// Serves a pass whose exchange of large replies fails where `is_too_large` says so of its keys.
fn drive_large(task: &mut Streams, is_too_large: impl Fn(&[String]) -> bool) -> Vec<Vec<String>> {
    let mut exchanges = Vec::new();
    while task.waiting() > 0 {
        let mut commands = Vec::new();
        task.push_large(&mut commands);
        let is_large = !commands.is_empty();
        if !is_large {
            task.push_commands(40, &mut commands);
        }
        if commands.is_empty() {
            break;
        }
        let keys = |command: &Command| String::from_utf8_lossy(command.words().last().unwrap()).into_owned();
        let keys: Vec<String> = commands.iter().map(keys).collect();
        if is_large {
            exchanges.push(keys.clone());
            if is_too_large(&keys) {
                task.give_up_large();
                continue;
            }
        }
        let reply = |command: &Command| match &*command.name() {
            "type" => simple("stream"),
            "xinfo|groups" => fixture("redis-7.0", "xinfo-groups-empty"),
            _ => fixture("redis-7.0", "xinfo-stream-empty"),
        };
        let replies: Vec<Reply> = commands.iter().map(reply).collect();
        task.note(&replies);
    }
    exchanges
}

#[test]
fn a_stream_that_is_too_large_costs_only_itself() {
    let left_alone = LeftAlone::default();
    let named: Vec<String> = (0..12).map(|number| format!("s{number:02}")).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let pass = |large: &[&str]| {
        let mut task = task(&[], &named, false);
        task.left_alone = left_alone.clone();
        let exchanges = drive_large(&mut task, |keys| keys.iter().any(|key| large.contains(&key.as_str())));
        let most = exchanges.iter().map(Vec::len).max().unwrap();
        assert!(most <= MAX_ENTRIES_AT_ONCE, "{exchanges:?}");
        let findings = task.finish(3);
        let shown = findings
            .samples
            .families()
            .iter()
            .find(|family| family.descriptor.name == metrics::LENGTH.name);
        (
            exchanges.concat(),
            shown.map_or(0, |family| family.samples.len()),
            findings.dropped,
        )
    };
    let (asked, shown, dropped) = pass(&["s04"]);
    assert_eq!((shown, dropped), (11, 1));
    assert_eq!(
        asked.iter().filter(|key| *key == "s04").count(),
        2,
        "with others, and alone"
    );
    let (asked, shown, dropped) = pass(&["s04"]);
    assert_eq!((shown, dropped), (11, 1));
    assert!(!asked.contains(&"s04".to_owned()), "it is left alone now");
    // Nobody asks for ever.
    let (asked, shown, dropped) = pass(&named);
    assert_eq!(shown as u64 + dropped, 12);
    assert!(asked.len() <= 2 * MAX_ENTRIES_AT_ONCE + 3, "{asked:?}");
    left_alone.forget();
    assert_eq!(pass(&[]).1, 12);
}
