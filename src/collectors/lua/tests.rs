use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::time::Duration;

fn text(bytes: &[u8]) -> Reply {
    Reply::Bulk(Bytes::copy_from_slice(bytes))
}

fn list(words: &[&[u8]]) -> Reply {
    Reply::Array(words.iter().map(|word| text(word)).collect())
}

fn samples_of(reply: &Reply) -> Samples {
    let run = Run {
        name: "a.lua".to_owned(),
        outcome: read(reply),
    };
    let runs = Runs {
        runs: vec![run],
        unavailable: None,
    };
    runs.samples()
}

fn result(samples: &Samples) -> Option<f64> {
    samples.number_with("redis_script_result", &["a.lua"])
}

fn value(samples: &Samples, key: &str) -> Option<f64> {
    samples.number_with("redis_script_values", &[key, "a.lua"])
}

/// The values and results are those of redis_exporter 1.86 for the same scripts, but for `-nan`, a name that is no UTF-8 (which it
/// leaves out) and a script that fails half-way (of which it shows some values).
#[test]
fn a_flat_list_of_names_and_numbers_is_shown() {
    let samples = samples_of(&list(&[
        b"a", b"11", b"b", b"0.5", b"up", b"inf", b"down", b"-inf", b"d", b"1", b"d", b"2", b"\xff", b"3", b"ratio",
        b"-nan", b"e", b"1e3",
    ]));
    assert_eq!(result(&samples), Some(1.0));
    let expected = [
        ("a", 11.0),
        ("b", 0.5),
        ("up", f64::INFINITY),
        ("down", f64::NEG_INFINITY),
        ("d", 2.0),
        ("\\xff", 3.0),
    ];
    for (key, number) in expected {
        assert_eq!(value(&samples, key), Some(number), "{key}");
    }
    assert_eq!(value(&samples, "e"), Some(1000.0));
    assert!(value(&samples, "ratio").unwrap().is_nan());
    assert_eq!(samples.dropped(), 0);
    let empty = samples_of(&Reply::Array(Vec::new()));
    assert_eq!((result(&empty), empty.families().len()), (Some(2.0), 1));
}

#[test]
fn anything_else_is_the_failure_of_the_script_and_shows_no_value() {
    let nested = Reply::Array(vec![text(b"a"), text(b"1"), list(&[b"b", b"2"]), text(b"3")]);
    let cases = [
        (Reply::Null, Problem::NoList),
        (text(b"x"), Problem::NoList),
        (Reply::Integer(1), Problem::NoList),
        (Reply::Simple("OK".into()), Problem::NoList),
        (list(&[b"a"]), Problem::OddCount),
        (nested, Problem::NotText),
        (Reply::Array(vec![text(b"a"), Reply::Integer(1)]), Problem::NotText),
        (Reply::Array(vec![text(b"a"), Reply::Null]), Problem::NotText),
        (Reply::Array(vec![Reply::Integer(1), text(b"1")]), Problem::NotText),
        (list(&[b"a", b"1", b"b", b"abc"]), Problem::NotANumber(2)),
        (list(&[b"a", b" 1 "]), Problem::NotANumber(1)),
        (list(&[b"a", b"0x10"]), Problem::NotANumber(1)),
        (list(&[b"a", b""]), Problem::NotANumber(1)),
        (list(&[b"a", &[b'1'; 64]]), Problem::NotANumber(1)),
    ];
    for (reply, problem) in cases {
        assert_eq!(read(&reply), Err(problem), "{reply:?}");
        let samples = samples_of(&reply);
        assert_eq!((result(&samples), samples.families().len()), (Some(0.0), 1));
    }
}

#[test]
fn what_no_label_should_hold_and_what_is_too_much_is_counted() {
    let long = vec![b'x'; 129];
    let samples = samples_of(&list(&[b"", b"1", b"a\nb", b"1", &long, b"1", b"good", b"1"]));
    assert_eq!((result(&samples), samples.dropped()), (Some(1.0), 3));
    assert_eq!(value(&samples, "good"), Some(1.0));
    let only_bad = samples_of(&list(&[b"", b"1"]));
    assert_eq!((result(&only_bad), only_bad.dropped()), (Some(1.0), 1), "not empty");

    let names: Vec<String> = (0..MAX_VALUES + 5).map(|number| format!("n{number}")).collect();
    let elements = names.iter().flat_map(|name| [text(name.as_bytes()), text(b"1")]);
    let mut elements: Vec<Reply> = elements.collect();
    elements.extend([text(b"n0"), text(b"7")]);
    let samples = samples_of(&Reply::Array(elements));
    assert_eq!(samples.dropped(), 5);
    assert_eq!(
        value(&samples, "n0"),
        Some(7.0),
        "a name that is there already takes no place"
    );
    let shown = samples
        .families()
        .iter()
        .find(|family| family.descriptor.name == "redis_script_values");
    assert_eq!(shown.unwrap().samples.len(), MAX_VALUES);
}

/// Verbatim from Redis 7.0, Redis 8.0, Valkey 8.1 and 9.1.
#[test]
fn errors_are_told_without_what_the_script_says() {
    let sentence = |said: &'static str| Problem::of_error(&Bytes::from_static(said.as_bytes())).to_string();
    let cases = [
        (
            "ERR Write commands are not allowed from read-only scripts. script: 521415935436dba36b910cb951c49e302b57dc53, on @user_script:1.",
            "writes (line 1), which EVAL_RO refuses; let it only read",
        ),
        (
            "ERR Can not execute a script with write flag using *_ro command.",
            "begins with `#!lua` and may write by that; write `#!lua flags=no-writes`, without which EVAL_RO refuses it",
        ),
        (
            "ERR Error compiling script (new function): user_script:12: '}' expected near '<eof>'",
            "does not compile (line 12); mend it",
        ),
        (
            "ERR Unknown Redis command called from script script: 0ff85fa0d402b0be25af7e674141805d45139ccf, on @user_script:1.",
            "calls a command that this server does not have (line 1)",
        ),
        (
            "ERR Unknown command called from script script: on @user_script:1.",
            "calls a command that this server does not have (line 1)",
        ),
        (
            "ERR The user executing the script can't run this command or subcommand script: 1c0278da53d0cbd0e8f032ff7d320f10de55fbf8, on @user_script:1.",
            "calls a command or uses a key that the user of this exporter may not (line 1); grant it",
        ),
        (
            "ERR ACL failure in script: User m2 has no permissions to run the 'get' command script: on @user_script:3.",
            "calls a command or uses a key that the user of this exporter may not (line 3); grant it",
        ),
        (
            "ERR Script killed by user with SCRIPT KILL... script: 694a5fe1ddb97a4c6a1bf299d9537c7d3d0f84e7, on @user_script:1.",
            "was ended with SCRIPT KILL",
        ),
        (
            "ERR user_script:1: hunter2 script: 872b3fcb081448525c6141cdfa3df8374d30d162, on @user_script:1.",
            "failed with ERR (line 1)",
        ),
        ("hunter2 of the script", "failed with other"),
        (
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "was not run: the server answers BUSY",
        ),
    ];
    for (said, expected) in cases {
        assert_eq!(sentence(said), expected);
    }
}

#[test]
fn a_command_that_is_not_to_be_had_is_told_from_one_that_the_script_called() {
    let of = |said: &'static str| unavailability("eval_ro", &Reply::Error(said.into()));
    let denied = Some(Unavailable::Denied);
    assert_eq!(
        of("NOPERM this user has no permissions to run the 'eval_ro' command"),
        denied
    );
    assert_eq!(
        of("NOPERM User m has no permissions to run the 'eval_ro' command"),
        denied
    );
    let unsupported = Some(Unavailable::Unsupported);
    assert_eq!(
        of("ERR unknown command 'EVAL_RO', with args beginning with: 'x' "),
        unsupported
    );
    assert_eq!(
        of("ERR unknown command `EVAL_RO`, with args beginning with: `x`, "),
        unsupported
    );
    for said in [
        "ERR Unknown Redis command called from script script: 0ff8, on @user_script:1.",
        "ERR Write commands are not allowed from read-only scripts. script: on @user_script:1.",
        "ERR ACL failure in script: User m2 has no permissions to run the 'get' command",
        "NOPERM of the script's own",
    ] {
        assert_eq!(of(said), None, "{said}");
    }
    assert_eq!(of("ERR unknown command"), None);
}

#[test]
fn the_end_of_an_endless_script_is_told() {
    let of = |said: &'static str| Ending::of_reply(Some(&Reply::Error(said.into())));
    assert_eq!(Ending::of_reply(Some(&Reply::Simple("OK".into()))), Ending::Killed);
    assert_eq!(of("NOTBUSY No scripts in execution right now."), Ending::Over);
    assert_eq!(
        of("NOPERM User m has no permissions to run the 'script|kill' command"),
        Ending::NotGranted
    );
    assert_eq!(
        of("UNKILLABLE Sorry the script already executed write commands against the dataset."),
        Ending::Refused
    );
    assert_eq!(Ending::of_reply(None), Ending::NoAnswer);
    let problem = Problem::Endless {
        after: Duration::from_secs(6),
        ending: Ending::Killed,
    };
    let sentence = problem.to_string();
    assert!(sentence.starts_with("did not end within 6 s, during which the server did nothing else, and was ended"));
}

#[test]
fn the_verdict_names_every_script_that_failed() {
    let run = |name: &str, outcome| Run {
        name: name.to_owned(),
        outcome,
    };
    let good = run("good.lua", Ok(Values::default()));
    let mut runs = Runs {
        runs: vec![
            good,
            run("a.lua", Err(Problem::NoList)),
            run("b.lua", Err(Problem::Missing)),
        ],
        unavailable: None,
    };
    let sentence = runs.verdict().unwrap_err();
    assert!(
        sentence.starts_with("the script a.lua returned no list;")
            && sentence.contains("; the script b.lua is not there")
    );
    runs.runs.truncate(1);
    assert_eq!(runs.verdict(), Ok(()));
    runs.unavailable = Some(("eval_ro", Unavailable::Denied));
    assert_eq!(runs.verdict(), Err("EVAL_RO is denied".to_owned()));
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let leaf = prop_oneof![
        bytes().prop_map(Reply::Bulk),
        bytes().prop_map(Reply::Simple),
        bytes().prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        Just(Reply::Null),
        (-9i32..9).prop_map(|number| text(number.to_string().as_bytes())),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop::collection::vec(inner, 0..6).prop_map(Reply::Array)
    })
}

proptest! {
    #[test]
    fn any_reply_is_read_without_a_panic(reply in any_reply()) {
        let samples = samples_of(&reply);
        prop_assert!(result(&samples).is_some());
        let _ = unavailability("eval_ro", &reply);
    }
}
