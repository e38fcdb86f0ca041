//! Lists of Redis globs, and what in a glob Redis reads otherwise than a shell does.

use super::decode::{Decoder, Field, TextRule};

/// Most globs of one list: every key of a scan is held against each.
pub(super) const MAX_GLOBS: usize = 64;
/// Longest glob. Session keys are shorter.
pub(super) const MAX_GLOB_BYTES: usize = 1024;

/// Characters that mean something in a glob of Redis.
pub(super) const SPECIAL: [char; 4] = ['*', '?', '[', '\\'];

/// What is to be said about a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// It matches nothing that anybody meant.
    Refuse(&'static str),
    /// It may be meant, but most likely is not.
    Warn(&'static str),
}

const OPEN_CLASS: Advice =
    Advice::Refuse("has a `[` that no `]` closes; write `\\[` where the character itself is meant");
const EMPTY_CLASS: Advice =
    Advice::Refuse("has an empty class, since the first `]` closes it; write `[\\]]` where `]` itself is meant");
const DASH_LAST: Advice = Advice::Refuse(
    "has a class whose `-` stands before `]`, which Redis reads as a range up to `]` that does not end the class; write `[-_]` or `[_\\-]`",
);
const SHELL_NEGATION: Advice = Advice::Refuse(
    "has a class that begins with `!`, which negates nothing in Redis; write `[^a]` for \"not a\", or put the `!` elsewhere in the class",
);
const DOUBLE_STAR: Advice = Advice::Warn("has `**`, which Redis reads like `*`: it stops at no separator");
const ALTERNATIVES: Advice = Advice::Warn(
    "has `{` and `}` around a comma, which are no alternatives in Redis but stand for themselves; write one glob for each, or `\\{` where the brace is meant",
);

/// What Redis reads otherwise than a shell, each once, in the order in which it is met.
///
/// Source: `stringmatchlen` of Redis 2.0 to 8.x and Valkey: inside a class `\x` is a literal, `]` always closes, and `a-z` is a range
/// whatever its upper end is; `{` is an ordinary character (hash tags).
pub(super) fn advice(glob: &str) -> Vec<Advice> {
    let mut found: Vec<Advice> = Vec::new();
    let mut note = |advice: Option<Advice>| {
        if let Some(advice) = advice
            && !found.contains(&advice)
        {
            found.push(advice);
        }
    };
    let mut rest = glob.as_bytes();
    let mut comma_in_braces = None;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => rest = after.get(1..).unwrap_or_default(),
            b'*' => note(after.starts_with(b"*").then_some(DOUBLE_STAR)),
            b'{' => comma_in_braces = Some(false),
            b',' => comma_in_braces = comma_in_braces.map(|_| true),
            b'}' => note((comma_in_braces.take() == Some(true)).then_some(ALTERNATIVES)),
            b'[' => {
                let (advice, behind) = class(after);
                note(advice);
                rest = behind;
            }
            _ => {}
        }
    }
    found
}

/// Reads a class behind its `[` as Redis does: what is to be said about it, and what follows it.
fn class(inside: &[u8]) -> (Option<Advice>, &[u8]) {
    let mut advice = match inside {
        // `[!]` is the character alone, as everywhere.
        [b'!', next, ..] if *next != b']' => Some(SHELL_NEGATION),
        [b']', ..] | [b'^', b']', ..] => Some(EMPTY_CLASS),
        _ => None,
    };
    let mut rest = inside.strip_prefix(b"^").unwrap_or(inside);
    loop {
        rest = match rest {
            [] => return (advice.or(Some(OPEN_CLASS)), rest),
            [b'\\', _, after @ ..] => after,
            [b']', after @ ..] => return (advice, after),
            [_, b'-', high, after @ ..] => {
                if *high == b']' {
                    advice = advice.or(Some(DASH_LAST));
                }
                after
            }
            [_, after @ ..] => after,
        };
    }
}

/// A list of globs, or one. What is wrong with one of them is noted.
pub(super) fn globs(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<String> {
    let items = decoder.items_or_one(field);
    if items.len() > MAX_GLOBS {
        decoder.refuse(
            field,
            format!("lists more than {MAX_GLOBS} globs; every key is held against all of them"),
        );
        return Vec::new();
    }
    items.iter().filter_map(|item| glob(decoder, item)).collect()
}

/// One glob. What is wrong with it is noted.
pub(super) fn glob(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<String> {
    let glob = decoder.text(field, &TextRule::bytes(MAX_GLOB_BYTES))?;
    for advice in advice(&glob) {
        match advice {
            Advice::Refuse(sentence) => decoder.refuse(field, sentence),
            Advice::Warn(sentence) => decoder.problems.warn(field.place, &field.path, sentence),
        }
    }
    Some(glob)
}

/// The text with which every key begins that the glob matches.
pub(super) fn literal_prefix(glob: &str) -> &str {
    glob.split(SPECIAL).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_otherwise_is_said() {
        for (glob, expected) in [
            ("sess:*", vec![]),
            ("a[-_]b", vec![]),
            ("a[_\\-]b", vec![]),
            ("a[a-z0-9]b", vec![]),
            ("a[^-]b", vec![]),
            ("a[-]b", vec![]),
            ("a[_-]b", vec![DASH_LAST]),
            ("a[^_-]b[x]", vec![DASH_LAST]),
            ("*[-_]cache[-_:]????", vec![]),
            ("a[!b]*", vec![SHELL_NEGATION]),
            ("a[!]*", vec![]),
            ("a[b!]*", vec![]),
            ("a[b", vec![OPEN_CLASS]),
            ("a[", vec![OPEN_CLASS]),
            ("a\\[b", vec![]),
            ("a[]b]", vec![EMPTY_CLASS]),
            ("a[^]", vec![EMPTY_CLASS]),
            ("a[\\]]", vec![]),
            ("{app1}:sess:*", vec![]),
            ("{*}_Data", vec![]),
            ("{a,b}:*", vec![ALTERNATIVES]),
            ("\\{a,b}:*", vec![]),
            ("{a}:x,y", vec![]),
            ("a,b}", vec![]),
            ("sess:**", vec![DOUBLE_STAR]),
            ("***", vec![DOUBLE_STAR]),
            ("\\**", vec![]),
            ("{a,b}**[!c]", vec![ALTERNATIVES, DOUBLE_STAR, SHELL_NEGATION]),
            ("", vec![]),
            ("\\", vec![]),
        ] {
            assert_eq!(advice(glob), expected, "{glob}");
        }
    }

    /// The refusals are right: read as Redis reads them, these globs miss the keys that were meant.
    #[test]
    fn refused_globs_miss_what_was_meant() {
        use crate::sessions::glob::Glob;
        for (glob, meant) in [("a[_-]b", "a_b"), ("a[_-]b", "a-b"), ("a[!b]c", "axc"), ("a[]b]", "a]")] {
            assert!(matches!(advice(glob).as_slice(), [Advice::Refuse(_)]), "{glob}");
            assert!(!Glob::new(glob.as_bytes()).matches(meant.as_bytes()), "{glob} {meant}");
        }
        assert!(Glob::new(b"a[-_]b").matches(b"a_b"));
    }

    #[test]
    fn the_beginning_of_every_key() {
        assert_eq!(literal_prefix("sess:*"), "sess:");
        assert_eq!(literal_prefix("sess:?x"), "sess:");
        assert_eq!(literal_prefix("*"), "");
        assert_eq!(literal_prefix("a\\*b"), "a");
        assert_eq!(literal_prefix("whole"), "whole");
    }

    proptest::proptest! {
        #[test]
        fn no_glob_panics(glob in "[a\\[\\]\\\\!^,{}*-]{0,12}") {
            let said = advice(&glob);
            proptest::prop_assert!(said.len() <= 6);
            proptest::prop_assert!(glob.starts_with(literal_prefix(&glob)));
        }
    }
}
