//! Which INFO fields this exporter has heard of, whether or not it makes metrics of them. What is left is counted, so that an
//! operator sees that a server is newer than the exporter.

use crate::redis::Info;
use std::collections::HashSet;
use std::sync::LazyLock;

/// One name per line; `%` stands for one or more digits, `*` at the end for any rest; `#` starts a comment.
const LIST: &str = include_str!("known_info_fields.txt");

/// The list, split into names and patterns. It never changes while the process runs.
static KNOWN: LazyLock<(HashSet<&'static str>, Vec<&'static str>)> = LazyLock::new(|| {
    let lines = LIST
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (patterns, names): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.contains(['%', '*']));
    (names.into_iter().collect(), patterns)
});

/// How many fields of this reply are not on the list.
pub fn count_unknown(info: &Info) -> usize {
    info.fields().filter(|field| !is_known(field.name)).count()
}

/// Whether a field is on the list.
fn is_known(name: &str) -> bool {
    let (names, patterns) = &*KNOWN;
    names.contains(name) || patterns.iter().any(|pattern| matches(pattern, name))
}

/// Whether `name` has the form of `pattern`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = name;
    let mut pieces = pattern.split_inclusive(['%', '*']);
    for piece in pieces.by_ref() {
        let literal = piece.trim_end_matches(['%', '*']);
        let Some(after) = rest.strip_prefix(literal) else {
            return false;
        };
        rest = after;
        if piece.ends_with('*') {
            return true;
        }
        if piece.ends_with('%') {
            let digits = rest.trim_start_matches(|character: char| character.is_ascii_digit());
            if digits.len() == rest.len() {
                return false;
            }
            rest = digits;
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hold_digits_and_rests() {
        assert!(matches("db%", "db12") && !matches("db%", "db") && !matches("db%", "db1x"));
        assert!(matches("db%_distrib_*", "db0_distrib_sets_items"));
        assert!(matches("cmdstat_*", "cmdstat_get"));
        assert!(matches("thread_%_clients", "thread_3_clients") && !matches("thread_%_clients", "thread_3"));
    }

    #[test]
    fn real_fields_are_known_and_others_are_counted() {
        let info = Info::parse(b"used_memory:1\r\nslave0:ip=a\r\ncmdstat_get:calls=1\r\nfrom_the_future:1\r\n");
        assert_eq!(count_unknown(&info), 1);
    }
}
