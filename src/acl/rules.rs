//! How a grant is written as a rule of ACL, for which server, and how a rule is written so that nothing takes it for two.

use super::servers;
use crate::collectors::Server;
use crate::collectors::grants::Grant;
use std::fmt::Write as _;

/// The rules for these grants in the order in which they come, each once. Without a server they are those of Redis 7.0 and later.
pub fn rules<'all>(grants: impl IntoIterator<Item = &'all Grant>, server: Option<&Server>) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    for grant in grants {
        let rule = rule(grant, server);
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    // A server refuses further keys behind `~*` (Redis 6.0: "Adding a pattern after the * pattern"), and behind `%R~*` they say nothing new.
    for all in ["~*", "%R~*"] {
        if rules.iter().any(|rule| rule == all) {
            let kind = all.trim_end_matches('*');
            rules.retain(|rule| rule == all || !rule.starts_with(kind));
        }
    }
    rules
}

/// The rule for one grant.
pub fn rule(grant: &Grant, server: Option<&Server>) -> String {
    match grant {
        // What the user may do with the keys is in the list of commands where reading alone cannot be granted.
        Grant::ReadKeys(glob) if server.is_none_or(servers::has_reading) => format!("%R~{}", holdable(glob).0),
        Grant::ReadKeys(glob) | Grant::WriteKeys(glob) => format!("~{}", holdable(glob).0),
        Grant::Channels(glob) => format!("&{}", holdable(glob).0),
        Grant::Command(name) => {
            let whole = name.split('|').next().unwrap_or_default();
            let is_whole = server.is_some_and(servers::names_whole_commands);
            format!("+{}", if is_whole { whole } else { name })
        }
        Grant::EveryDatabase => "alldbs".to_owned(),
    }
}

/// Whether a rule for this takes in more than was asked for, since no rule can say it exactly.
pub fn is_wider(grant: &Grant) -> bool {
    match grant {
        Grant::ReadKeys(glob) | Grant::WriteKeys(glob) | Grant::Channels(glob) => holdable(glob).1,
        Grant::Command(_) | Grant::EveryDatabase => false,
    }
}

/// Whether a pattern of ACL cannot hold this: Redis refuses white space and NUL in one (`ACLStringHasSpaces`, 6.0), and the file of users has
/// no way to write other control characters.
fn is_unholdable(letter: char) -> bool {
    letter.is_ascii_whitespace() || letter == '\u{b}' || letter.is_control()
}

/// A glob that a rule can hold, with `?` for every byte that it cannot, and for every class of characters with one; and whether there was any.
fn holdable(glob: &str) -> (String, bool) {
    if !glob.contains(is_unholdable) {
        return (glob.to_owned(), false);
    }
    let mut held = String::with_capacity(glob.len());
    let mut letters = glob.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(next) if is_unholdable(next) => push_any(&mut held, next),
                Some(next) => held.extend(['\\', next]),
                None => held.push('\\'),
            },
            '[' => {
                let mut class = String::from('[');
                while let Some(letter) = letters.next() {
                    class.push(letter);
                    match letter {
                        '\\' => class.extend(letters.next()),
                        ']' => break,
                        _ => {}
                    }
                }
                if class.contains(is_unholdable) {
                    held.push('?');
                } else {
                    held.push_str(&class);
                }
            }
            letter if is_unholdable(letter) => push_any(&mut held, letter),
            letter => held.push(letter),
        }
    }
    (held, true)
}

/// Globs go byte by byte.
fn push_any(held: &mut String, letter: char) {
    held.extend(std::iter::repeat_n('?', letter.len_utf8()));
}

/// A word as the prompt of `redis-cli` takes it: in quotes where it would be taken for several, or for quotes, and there with the escapes
/// of `sdssplitargs` (Redis 2.6), so that a word is one line whatever is in it.
pub fn quoted(word: &str) -> String {
    let is_plain = |letter: char| !letter.is_whitespace() && !letter.is_control() && !matches!(letter, '"' | '\'');
    if word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in word.chars() {
        match letter {
            '\\' | '"' => quoted.extend(['\\', letter]),
            // No other line break or sign that a terminal obeys may reach the terminal as it is.
            _ if letter.is_control() || (letter.is_whitespace() && letter != ' ') => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(quoted, "\\x{byte:02x}");
                }
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::servers::parse;
    use crate::collectors::grants::command;

    fn reading(glob: &str) -> Grant {
        Grant::ReadKeys(glob.to_owned())
    }

    #[test]
    fn a_grant_is_written_for_the_server() {
        let of = |grant: &Grant, server: &str| rule(grant, parse(server).as_ref());
        assert_eq!(of(&reading("sess:*"), "redis-7"), "%R~sess:*");
        assert_eq!(of(&reading("sess:*"), "redis-6.2"), "~sess:*");
        assert_eq!(of(&Grant::WriteKeys("a*".to_owned()), "redis-8"), "~a*");
        assert_eq!(of(&command("config|get"), "redis-6.0"), "+config|get");
        assert_eq!(of(&command("config|get"), "dragonfly"), "+config");
        assert_eq!(rule(&reading("a"), None), "%R~a");
    }

    #[test]
    fn each_rule_stands_once_and_nothing_behind_all_keys() {
        let of = |grants: &[Grant], server: &str| rules(grants, parse(server).as_ref()).join(" ");
        let some = [
            reading("sess:*"),
            reading("*"),
            reading("sess:*"),
            Grant::WriteKeys("probe:*".to_owned()),
            command("type"),
            command("type"),
        ];
        assert_eq!(of(&some, "redis-7"), "%R~* ~probe:* +type");
        assert_eq!(of(&some, "redis-6.2"), "~* +type");
        assert_eq!(
            of(&[command("slowlog|get"), command("slowlog|len")], "dragonfly"),
            "+slowlog"
        );
    }

    #[test]
    fn what_a_rule_cannot_hold_is_any_character() {
        for (glob, held) in [
            ("my key*", "my?key*"),
            ("a\\ b", "a?b"),
            ("[ab]c d", "[ab]c?d"),
            ("[a b]c", "?c"),
            ("[\\] x", "?"),
            ("a\n\u{0}\u{b}b", "a???b"),
            ("a\u{85}b", "a??b"),
            ("tab\\\t", "tab?"),
        ] {
            assert_eq!(holdable(glob), (held.to_owned(), true), "{glob:?}");
            assert!(is_wider(&reading(glob)));
        }
        for glob in ["sess:*", "a\\?[^x]", "[\\]]", "ä\u{2028}", "a[", "\\"] {
            assert_eq!(holdable(glob), (glob.to_owned(), false), "{glob:?}");
        }
    }

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("%R~a*b"), "%R~a*b");
        assert_eq!(quoted("%R~my \"key\"\\*"), "\"%R~my \\\"key\\\"\\\\*\"");
        assert_eq!(quoted("%R~a\nb\u{1b}\u{2028}é"), "\"%R~a\\x0ab\\x1b\\xe2\\x80\\xa8é\"");
    }
}
