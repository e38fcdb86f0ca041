use super::*;
use crate::config::{Environment, InstanceConfig, load_str};
use crate::keys::{self, KeyContext};
use crate::redis::Unavailable;
use std::collections::BTreeMap;
use std::path::Path;

/// The instance with these sections.
fn instance(sections: &str) -> Arc<InstanceConfig> {
    let text = format!("instances: [ {{ address: h, {sections} }} ]");
    let loaded = load_str(&text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    loaded.config.instances[0].clone()
}

/// The tasks of database 0, with these things refused already.
fn tasks(config: &InstanceConfig, by_scan: bool, refused: &[(&str, Unavailable)], places: usize) -> Vec<CollectorTask> {
    let refused: BTreeMap<&str, Unavailable> = refused.iter().copied().collect();
    keys::tasks(&KeyContext {
        config,
        database: 0,
        refused: &|name| refused.get(name).copied(),
        checked_keys: &Arc::new(AtomicUsize::new(places)),
        left_alone: &keys::left_alone::LeftAlone::default(),
        by_scan,
    })
}

fn only(mut tasks: Vec<CollectorTask>) -> Box<dyn KeyTask> {
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks.remove(0).task
}

/// What a server says to a command, by its words in lower case.
type Server<'a> = &'a dyn Fn(&str, &str) -> Reply;

/// Asks until nothing waits; gives back the commands and the lookups.
fn ask(task: &mut dyn KeyTask, server: Server<'_>) -> (Vec<String>, KeyLookups) {
    let (mut sent, mut lookups) = (Vec::new(), KeyLookups::default());
    loop {
        let mut commands = Vec::new();
        task.push_commands(2, &mut commands);
        if commands.is_empty() {
            assert_eq!(task.waiting(), 0);
            return (sent, lookups);
        }
        let replies: Vec<Reply> = commands
            .iter()
            .map(|command| {
                let words = command.words();
                let key = String::from_utf8_lossy(&words[command.name_words().len()]).into_owned();
                let shown: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
                sent.push(shown.join(" "));
                server(&command.name(), &key)
            })
            .collect();
        let noted = task.note(&replies);
        lookups.all += noted.all;
        lookups.misses += noted.misses;
    }
}

fn simple(text: &'static str) -> Reply {
    Reply::Simple(text.into())
}

/// Replies verbatim as Redis 7.0 gives them.
fn redis(command: &str, key: &str) -> Reply {
    match (command, key) {
        ("type", "gone") => simple("none"),
        ("memory|usage", "gone") => Reply::Null,
        ("type", "module") => simple("ReJSON-RL"),
        ("type", "emptied") => simple("list"),
        ("llen", "emptied") => Reply::Integer(0),
        ("type", "changed") => simple("hash"),
        ("hlen", "changed") => Reply::Error("WRONGTYPE Operation against a key holding the wrong kind of value".into()),
        ("type", "hyper" | "broken" | "text" | "number") => simple("string"),
        ("strlen", "hyper") => Reply::Integer(25),
        ("strlen", "broken") => Reply::Integer(6),
        ("getrange", "hyper" | "broken") => Reply::Bulk("HYLL\u{1}".into()),
        ("pfcount", "hyper") => Reply::Integer(3),
        ("pfcount", "broken") => Reply::Error("WRONGTYPE Key is not a valid HyperLogLog string value.".into()),
        ("strlen", _) => Reply::Integer(2),
        ("getrange", "number") => Reply::Bulk("42".into()),
        ("getrange", _) => Reply::Bulk("hi".into()),
        ("type", _) => simple("stream"),
        ("xlen", _) => Reply::Integer(0),
        ("memory|usage", _) => Reply::Integer(96),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_shows_what_is_known_of_it_and_no_more() {
    let config = instance("check_keys: [ { match: '*' }, { match: 't*' } ]");
    let mut task = only(tasks(&config, true, &[], 100));
    assert!(task.needs_scan());
    let all: [&[u8]; 9] = [
        b"gone",
        b"module",
        b"emptied",
        b"changed",
        b"hyper",
        b"broken",
        b"text",
        b"str\xffeam",
        b"text",
    ];
    all.into_iter().for_each(|key| task.offer(key));
    assert_eq!(task.waiting(), 8, "one came twice");
    let (sent, lookups) = ask(&mut *task, &redis);
    // One TYPE more for a stream of which nobody knows whether it is empty or gone.
    assert_eq!(sent.iter().filter(|sent| sent.starts_with("TYPE")).count(), 9);
    assert!(sent.contains(&"GETRANGE text 0 4".to_owned()), "{sent:?}");
    assert!(!sent.contains(&"PFCOUNT text".to_owned()));
    // Nine TYPE, four sizes of others, three STRLEN with GETRANGE, two PFCOUNT; gone, and gone before LLEN.
    assert_eq!(
        lookups,
        KeyLookups {
            all: 9 + 3 + 6 + 2,
            misses: 2
        }
    );
    let findings = task.finish(0);
    let samples = &findings.samples;
    let of = |name: &str, key: &str| samples.number_with(name, &["db0", key]);
    let (size, memory) = ("redis_key_size", "redis_key_memory_usage_bytes");
    for key in ["gone", "emptied"] {
        assert_eq!((of(size, key), of(memory, key)), (None, None), "{key}");
    }
    for key in ["module", "changed"] {
        assert_eq!((of(size, key), of(memory, key)), (None, Some(96.0)), "{key}");
    }
    assert_eq!(of(size, "hyper"), Some(3.0));
    assert_eq!(of(size, "broken"), Some(6.0), "it only begins like one");
    assert_eq!(of(size, "text"), Some(2.0));
    assert_eq!(of(size, "str\\xffeam"), Some(0.0));
    assert_eq!(samples.families().len(), 2, "no value of a key that a pattern found");
    assert_eq!((findings.dropped, findings.missing.len()), (0, 0));
}

#[test]
fn values_show_only_where_the_file_says_so() {
    let config = instance(
        "check_single_keys: [ { key: text, value: true }, { key: number, value: true }, { key: hyper, value: true }, { key: broken } ], \
         check_keys: [ { match: text }, { match: other } ]",
    );
    assert!(tasks(&config, true, &[], 100).is_empty(), "names take no SCAN");
    let mut all = tasks(&config, false, &[], 100);
    assert_eq!(all.len(), 2);
    let mut single = all.pop().unwrap().task;
    let mut named = all.pop().unwrap().task;
    assert!(!single.needs_scan() && !named.needs_scan());
    let (sent, _) = ask(&mut *named, &redis);
    assert!(
        sent.iter().all(|sent| sent.ends_with("other")),
        "each key shows once: {sent:?}"
    );
    let (sent, _) = ask(&mut *single, &redis);
    assert!(sent.contains(&"GETRANGE text 0 1024".to_owned()), "{sent:?}");
    assert!(sent.contains(&"GETRANGE broken 0 4".to_owned()), "{sent:?}");
    let samples = single.finish(0).samples;
    assert_eq!(
        samples.number_with("redis_key_value_as_string", &["db0", "text", "hi"]),
        Some(1.0)
    );
    assert_eq!(samples.number_with("redis_key_value", &["db0", "number"]), Some(42.0));
    let values: usize = samples
        .families()
        .iter()
        .filter(|family| family.descriptor.name.starts_with("redis_key_value"))
        .map(|family| family.samples.len())
        .sum();
    assert_eq!(values, 2, "none of a HyperLogLog, none unless asked for");
}

#[test]
fn what_is_left_out_is_counted() {
    let config = instance("check_keys: [ { match: '*' } ]");
    let mut task = only(tasks(&config, true, &[], 3));
    for number in 0..10 {
        task.offer(format!("k{number}").as_bytes());
    }
    assert_eq!(task.waiting(), 3);
    ask(&mut *task, &redis);
    let findings = task.finish(0);
    assert_eq!(findings.dropped, 7);
    assert_eq!(findings.samples.families()[0].samples.len(), 3);
}

#[test]
fn a_command_that_is_denied_is_found_out_once() {
    // Verbatim from Redis 7.0.
    let denied = |command: &str| {
        Reply::Error(format!("NOPERM this user has no permissions to run the '{command}' command").into())
    };
    let config = instance("check_keys: [ { match: '*' } ]");
    let mut task = only(tasks(&config, true, &[("getrange", Unavailable::Denied)], 100));
    (0..10).for_each(|number| task.offer(format!("text{number}").as_bytes()));
    let (sent, lookups) = ask(&mut *task, &|command, _| match command {
        "memory|usage" => denied(command),
        "type" => simple("string"),
        _ => Reply::Integer(5),
    });
    let of = |word: &str| sent.iter().filter(|sent| sent.starts_with(word)).count();
    assert_eq!((of("GETRANGE"), of("STRLEN"), of("TYPE")), (0, 10, 10));
    assert_eq!(of("MEMORY"), 1, "that of the first key");
    assert_eq!(
        (lookups.all, lookups.misses),
        (20, 0),
        "a denied command looks nothing up"
    );
    let findings = task.finish(0);
    let missing = ["getrange", "memory|usage"].map(|name| (name.to_owned(), Unavailable::Denied));
    assert_eq!(findings.missing, missing);
    assert_eq!(findings.samples.families()[0].samples.len(), 10);
    // Without any of both there is nothing to ask.
    let refused = [
        ("type", Unavailable::Denied),
        ("memory|usage", Unavailable::Unsupported),
    ];
    let mut task = only(tasks(&config, true, &refused, 100));
    task.offer(b"text");
    assert_eq!(ask(&mut *task, &redis).0, Vec::<String>::new());
    assert_eq!(task.finish(0).missing.len(), 2);
}

#[test]
fn keys_that_are_denied_are_left_alone_by_pattern() {
    let denied =
        || Reply::Error("NOPERM this user has no permissions to access one of the keys used as arguments".into());
    let config = instance("check_keys: [ { match: 'a*' }, { match: 'b*' } ]");
    let offer = |task: &mut dyn KeyTask| {
        for number in 0..10 {
            task.offer(format!("a{number}").as_bytes());
            task.offer(format!("b{number}").as_bytes());
        }
    };
    let answer = |command: &str, key: &str| {
        if key.starts_with('a') {
            denied()
        } else {
            redis(command, "text")
        }
    };
    let mut task = only(tasks(&config, true, &[], 100));
    offer(&mut *task);
    let (sent, _) = ask(&mut *task, &answer);
    let asked = sent
        .iter()
        .filter(|sent| sent.ends_with(|last: char| last.is_ascii_digit()) && sent.contains(" a"));
    assert!(asked.count() <= 4, "{sent:?}");
    let findings = task.finish(0);
    assert_eq!(findings.missing, [("check_keys 0 a*".to_owned(), Unavailable::Denied)]);
    assert_eq!(findings.samples.families()[0].samples.len(), 10);
    // The next pass asks about none of them, and still says so.
    let mut task = only(tasks(&config, true, &[("check_keys 0 a*", Unavailable::Denied)], 100));
    offer(&mut *task);
    let (sent, _) = ask(&mut *task, &answer);
    assert!(sent.iter().all(|sent| sent.contains(" b")));
    assert_eq!(task.finish(0).missing.len(), 1);
}

#[test]
fn nothing_is_looked_at_that_is_switched_off_or_elsewhere() {
    let lists = "check_keys: [ { match: 'a*' } ], count_keys: [ { match: 'a*' } ], check_single_keys: [ { key: a } ]";
    let off = "collectors: { check_keys: off, count_keys: off, check_single_keys: off }";
    let config = instance(&format!("{lists}, {off}"));
    assert!(tasks(&config, true, &[], 9).is_empty() && tasks(&config, false, &[], 9).is_empty());
    assert!(keys::collectors(&config).is_empty() && keys::databases(&config).is_empty());
    let config = instance(lists);
    assert_eq!(keys::collectors(&config).len(), 3);
    assert_eq!(keys::databases(&config).into_iter().collect::<Vec<_>>(), [0]);
    assert_eq!(tasks(&config, true, &[], 9).len(), 2);
    let elsewhere = instance("check_keys: [ { match: 'a*', databases: [3] } ]");
    assert!(tasks(&elsewhere, true, &[], 9).is_empty());
    assert!(!keys::needs_every_database(&elsewhere));
}

/// Of a pattern's keys one is asked about first, then twice as many each time nothing is denied.
#[test]
fn denials_stay_few_however_many_keys_a_batch_takes() {
    let denied =
        || Reply::Error("NOPERM this user has no permissions to access one of the keys used as arguments".into());
    let config = instance("check_keys: [ { match: 'a*' } ]");
    let batches = |answer: &dyn Fn(usize) -> Option<Reply>| {
        let mut task = only(tasks(&config, true, &[], 1000));
        (0..100).for_each(|number| task.offer(format!("a{number}").as_bytes()));
        let (mut batches, mut denials) = (Vec::new(), 0);
        while task.waiting() > 0 {
            let mut commands = Vec::new();
            task.push_commands(40, &mut commands);
            if commands.is_empty() {
                break;
            }
            batches.push(commands.len());
            let reply = |command: &Command| answer(batches.len()).unwrap_or_else(|| redis(&command.name(), "module"));
            let replies: Vec<Reply> = commands.iter().map(reply).collect();
            denials += replies.iter().filter(|reply| matches!(reply, Reply::Error(_))).count();
            task.note(&replies);
        }
        (batches, denials)
    };
    // TYPE and MEMORY USAGE of each key.
    assert_eq!(batches(&|_| Some(denied())), (vec![2, 2], 4));
    assert_eq!(batches(&|_| None).0, [2, 4, 8, 16, 32, 64, 74]);
    let one = |batch| (batch == 3).then(denied);
    assert_eq!(batches(&one), (vec![2, 4, 8], 8));
}

#[test]
fn a_key_of_another_node_is_asked_about_once() {
    let config = instance("check_keys: [ { match: here }, { match: there } ], check_single_keys: [ { key: moved } ]");
    let left_alone = keys::left_alone::LeftAlone::default();
    let places = Arc::new(AtomicUsize::new(9));
    let pass = || {
        let context = KeyContext {
            config: &config,
            database: 0,
            refused: &|_| None,
            checked_keys: &places,
            left_alone: &left_alone,
            by_scan: false,
        };
        let (mut sent, mut lookups) = (Vec::new(), 0);
        for mut task in keys::tasks(&context) {
            let (asked, noted) = ask(&mut *task.task, &|command, key| match key {
                "here" => redis(command, "text"),
                _ => Reply::Error("MOVED 3999 127.0.0.1:6381".into()),
            });
            sent.extend(asked);
            lookups += noted.all;
            assert!(task.task.finish(0).missing.is_empty());
        }
        (sent.iter().filter(|sent| !sent.contains(" here")).count(), lookups)
    };
    // TYPE, STRLEN and GETRANGE of the key that is here.
    let (elsewhere, lookups) = pass();
    assert!(elsewhere > 0);
    assert_eq!(lookups, 3, "a command that is sent away looks nothing up");
    let left = places.load(Ordering::Relaxed);
    assert_eq!(pass(), (0, 3));
    assert_eq!(
        places.load(Ordering::Relaxed),
        left - 1,
        "only what is here takes a place"
    );
    left_alone.forget();
    assert_eq!(pass().0, elsewhere);
}

#[test]
fn two_keys_that_look_alike_are_never_mixed() {
    let config = instance("check_keys: [ { match: '*' } ], check_single_keys: [ { key: 'a\\xfe' } ]");
    let mut task = only(tasks(&config, true, &[], 100));
    [&b"b\xff"[..], b"b\\xff", b"a\xfe"]
        .into_iter()
        .for_each(|key| task.offer(key));
    ask(&mut *task, &|command, key| match (command, key) {
        ("type", _) => simple("list"),
        ("memory|usage", "b\\xff") => Reply::Integer(7),
        ("llen", "b\\xff") => Reply::Integer(70),
        ("memory|usage", _) => Reply::Null,
        _ => Reply::Integer(1),
    });
    let findings = task.finish(0);
    assert_eq!(findings.dropped, 2);
    let of = |name: &str| findings.samples.number_with(name, &["db0", "b\\xff"]);
    assert_eq!(of("redis_key_size"), Some(1.0), "that of the first");
    assert_eq!(of("redis_key_memory_usage_bytes"), None);
    assert_eq!(findings.samples.families()[0].samples.len(), 1);
}
