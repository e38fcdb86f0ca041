//! What is certain from the manual alone. tests/servers holds thousands of generated patterns against the Lua inside Redis.

use super::*;
use proptest::prelude::*;

const PLENTY: u64 = 1_000_000;

fn find(pattern: &str, text: &str) -> Option<(usize, usize, Vec<String>)> {
    let pattern = LuaPattern::new(pattern.as_bytes()).unwrap();
    let found = pattern.find(text.as_bytes(), &mut Steps::new(PLENTY)).unwrap()?;
    let captures = found.captures.iter().map(|capture| match capture {
        Capture::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Capture::Position(place) => place.to_string(),
    });
    Some((found.start, found.end, captures.collect()))
}

fn captures(pattern: &str, text: &str) -> Option<Vec<String>> {
    find(pattern, text).map(|(_, _, captures)| captures)
}

#[test]
fn finds_what_the_manual_says() {
    for (pattern, text, expected) in [
        // Which groups the documentation of redis_exporter makes, and its relatives.
        ("^(.*):[^:]+$", "user:cart:17", Some(vec!["user:cart"])),
        ("^(.*):[^:]+$", "user", None),
        ("^(.*)_[^_]+$", "a_b", Some(vec!["a"])),
        ("^(%a+):(%d+)", "cart:17:x", Some(vec!["cart", "17"])),
        // Longest, shortest, optional, at least one.
        ("(a*)b", "aaab", Some(vec!["aaa"])),
        ("(a-)b", "aaab", Some(vec!["aaa"])),
        ("<(.-)>", "<a><b>", Some(vec!["a"])),
        ("^(x?)(.+)", "xy", Some(vec!["x", "y"])),
        ("^(x?)(.+)", "x", Some(vec!["", "x"])),
        // Positions, references, balance, frontier.
        ("()ll()", "hello", Some(vec!["3", "5"])),
        ("(['\"])(.-)%1", "say 'it\"s'", Some(vec!["'", "it\"s"])),
        ("(%b())", "f(a(b)c)d", Some(vec!["(a(b)c)"])),
        ("%b()", "f(a", None),
        ("%f[%w](%w+)$", "one two", Some(vec!["two"])),
        ("(%w+)%f[%z]", "one two", Some(vec!["two"])),
        ("()%1", "aa", None),
        // Nested captures are numbered by their opening.
        ("((a)(b))", "ab", Some(vec!["ab", "a", "b"])),
        // Sets.
        ("([]]+)", "a]]", Some(vec!["]]"])),
        ("([^]]+)", "]a]", Some(vec!["a"])),
        ("([a-]+)", "x-a-", Some(vec!["-a-"])),
        ("([%]%-]+)", "a-]", Some(vec!["-]"])),
        ("([z-a]?)b", "zb", Some(vec![""])),
        ("([%a_][%w_]*)", "9a_1", Some(vec!["a_1"])),
        // What is special only in its place.
        ("(a^)", "a^", Some(vec!["a^"])),
        ("(a$b)", "a$b", Some(vec!["a$b"])),
        ("^(*+)", "**a", Some(vec!["**"])),
        ("(%.)", "a.b", Some(vec!["."])),
        ("(%z)", "a\0b", Some(vec!["\0"])),
        ("^$", "", Some(vec![])),
        ("^", "a", Some(vec![])),
        ("", "a", Some(vec![])),
        // Without special characters it is a text, parenthesis and all.
        ("a)]b", "xa)]b", Some(vec![])),
        ("longer", "long", None),
    ] {
        let expected = expected.map(|expected| expected.into_iter().map(str::to_owned).collect());
        assert_eq!(captures(pattern, text), expected, "{pattern} on {text}");
    }
    assert_eq!(find("ll", "hello"), Some((2, 4, vec![])));
    assert_eq!(find("l+", "hello"), Some((2, 4, vec![])));
}

#[test]
fn classes_are_those_of_ascii() {
    let members = |letter: u8| (0..=u8::MAX).filter(move |byte| class(letter).has(*byte)).count();
    let counts = [
        (b'a', 52),
        (b'c', 33),
        (b'd', 10),
        (b'l', 26),
        (b'p', 32),
        (b's', 6),
        (b'u', 26),
        (b'w', 62),
        (b'x', 22),
        (b'z', 1),
    ];
    for (letter, count) in counts {
        assert_eq!(members(letter), count, "{}", char::from(letter));
        assert_eq!(members(letter.to_ascii_uppercase()), 256 - count);
    }
    assert_eq!(members(b'g'), 1, "%g came with Lua 5.2");
    let pattern = LuaPattern::new(b"^(%w-)([\x80-\xff]+)$").unwrap();
    let found = pattern.find(b"ab\xff\x80", &mut Steps::new(PLENTY)).unwrap().unwrap();
    assert_eq!(found.captures, [Capture::Bytes(b"ab"), Capture::Bytes(b"\xff\x80")]);
}

#[test]
fn what_lua_refuses_is_refused_with_what_to_write() {
    for (pattern, error) in [
        ("a%", PatternError::OpenEscape),
        ("[a", PatternError::OpenSet),
        ("[]", PatternError::OpenSet),
        ("[^]", PatternError::OpenSet),
        ("[a%]", PatternError::OpenSet),
        ("[%", PatternError::OpenSet),
        ("%f", PatternError::FrontierWithoutSet),
        ("%fa", PatternError::FrontierWithoutSet),
        ("%f[a", PatternError::OpenSet),
        ("%b", PatternError::Unbalanced),
        ("%b(", PatternError::Unbalanced),
        ("(a", PatternError::OpenCapture),
        ("((a)", PatternError::OpenCapture),
        ("a)+", PatternError::StrayClose),
        ("()+)", PatternError::StrayClose),
        ("%0", PatternError::NoSuchCapture),
        ("%1(a)", PatternError::NoSuchCapture),
        ("(a%1)", PatternError::NoSuchCapture),
        ("(a)%2", PatternError::NoSuchCapture),
        (".\0", PatternError::ZeroByte),
    ] {
        assert_eq!(LuaPattern::new(pattern.as_bytes()), Err(error), "{pattern}");
    }
    assert_eq!(
        LuaPattern::new("(a)".repeat(33).as_bytes()),
        Err(PatternError::TooManyCaptures)
    );
    assert!(LuaPattern::new("(a)".repeat(32).as_bytes()).is_ok());
    assert_eq!(LuaPattern::new(&[b'.'; 513]), Err(PatternError::TooLong));
    let message = PatternError::OpenSet.to_string();
    assert!(message.contains("write `%[`"), "{message}");
}

#[test]
fn what_backtracks_without_end_is_stopped() {
    let text = "a".repeat(100_000);
    for pattern in [
        "(a*)".repeat(20) + "b",
        "a-".repeat(200) + "b",
        "(.*):(.*):(.*)".to_owned(),
    ] {
        let pattern = LuaPattern::new(pattern.as_bytes()).unwrap();
        let mut steps = Steps::new(PLENTY);
        assert_eq!(pattern.find(text.as_bytes(), &mut steps), Err(OutOfSteps));
    }
    let deep = LuaPattern::new("a?".repeat(256).as_bytes()).unwrap();
    let found = deep.find(text.as_bytes(), &mut Steps::new(PLENTY)).unwrap().unwrap();
    assert_eq!((found.start, found.end), (0, 256));
}

proptest! {
    /// Any bytes for a pattern and a text: an answer, inside the text, within the steps.
    #[test]
    fn never_panics_and_stays_within_the_text(
        pattern in "[%()\\[\\]^$.*+?bf1a:-]{0,24}|\\PC{0,24}",
        text in proptest::collection::vec(any::<u8>(), 0..64),
        most in 0_u64..20_000,
    ) {
        if let Ok(pattern) = LuaPattern::new(pattern.as_bytes())
            && let Ok(Some(found)) = pattern.find(&text, &mut Steps::new(most))
        {
            prop_assert!(found.start <= found.end && found.end <= text.len());
            for capture in found.captures {
                match capture {
                    Capture::Bytes(bytes) => prop_assert!(bytes.len() <= found.end - found.start),
                    Capture::Position(place) => prop_assert!((found.start + 1..=found.end + 1).contains(&place)),
                }
            }
        }
    }

    /// A text whose special characters are escaped finds itself.
    #[test]
    fn an_escaped_text_finds_itself(text in "[ -~]{0,60}", before in "[ -~]{0,20}") {
        let escaped: String = text
            .chars()
            .flat_map(|character| character.is_ascii_punctuation().then_some('%').into_iter().chain([character]))
            .collect();
        let pattern = LuaPattern::new(escaped.as_bytes()).unwrap();
        let whole = before + &text;
        let found = pattern.find(whole.as_bytes(), &mut Steps::new(PLENTY)).unwrap();
        prop_assert_eq!(found.map(|found| found.start), whole.find(&text));
    }
}
