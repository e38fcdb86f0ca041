//! The small languages in the flags of `redis_exporter`: booleans and durations of Go, lists of keys, CSV.

use super::address::MAX_DATABASE;
use std::time::Duration;

/// Longest key or glob that a flag may name; the keys of sessions, counters and queues are far shorter.
const MAX_KEY_BYTES: usize = 1024;
/// Most keys or patterns that one flag may name, `dbN=` counted apart: each of them is series, and every key of a scan is held
/// against all patterns.
const MAX_KEYS: usize = 1000;
/// Most patterns of `--check-key-groups`: every key of a scan is held against them until one matches.
const MAX_FIELDS: usize = 64;

/// One item of `--check-keys` and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerKey {
    /// The database; 0 when the item names none.
    pub database: u32,
    /// The key or the glob, without its percent-encoding.
    pub text: String,
}

impl PeerKey {
    /// Whether the text is searched for with SCAN. The others are keys named in full.
    pub(super) fn is_glob(&self) -> bool {
        self.text.contains(['?', '*', '[', ']', '^'])
    }
}

/// Why a text is none of these. The sentences say what to write and never quote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerTextError {
    /// More than one `=` in an item.
    #[error(
        "has an item with more than one `=`; write dbN=KEY,dbM=KEY with `%3D` for a `=` and `%2C` for a `,` of a key"
    )]
    TwoEqualSigns,
    /// Not a database.
    #[error("has an item whose database is not a number from 0 to {MAX_DATABASE}; write for example `db3=KEY`")]
    BadDatabase,
    /// `%` without two hexadecimal digits.
    #[error("has a `%` that no two hexadecimal digits follow; write `%25` for a `%` of a key")]
    BadEscape,
    /// Escapes that make no UTF-8.
    #[error("names a key that is not UTF-8, which cannot be named here; use a pattern that matches it")]
    NotText,
    /// Longer than `MAX_KEY_BYTES`.
    #[error("names a key longer than {MAX_KEY_BYTES} bytes; shorten it to a pattern")]
    TooLong,
    /// More than `MAX_KEYS`.
    #[error("names more than {MAX_KEYS} keys; use patterns")]
    TooMany,
    /// More than `MAX_FIELDS`.
    #[error("names more than {MAX_FIELDS} patterns; join some of them")]
    TooManyFields,
    /// A quote in the wrong place.
    #[error("is no CSV: a field that holds `\"` or `,` stands between quotes, with `\"\"` for each `\"` in it")]
    BadCsv,
    /// Not a duration of Go.
    #[error("is no duration; write for example `3s`, `1m30s` or `500ms`")]
    BadDuration,
}

/// The words that Go reads as a boolean.
pub fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A duration as Go writes it: numbers with a fraction and the units h, m, s, ms, us (or µs), ns, in any order, behind an optional
/// sign; or a bare 0. What is negative is an error, since nothing here can last for less than nothing.
///
/// # Errors
/// `BadDuration`
pub fn go_duration(text: &str) -> Result<Duration, PeerTextError> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" || text == "-0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(PeerTextError::BadDuration);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .ok_or(PeerTextError::BadDuration)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|character: char| character.is_ascii_digit() || character == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(PeerTextError::BadDuration),
        };
        // `.5` and `5.` are numbers to Go, `.` is none; so it is for `str::parse`.
        let number: f64 = number.parse().map_err(|_| PeerTextError::BadDuration)?;
        seconds += number * factor;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| PeerTextError::BadDuration)
}

/// A list of keys: `dbN=KEY` or `KEY`, with commas between them. As in a query string `+` is a space and `%XX` is a byte. Items without
/// a key are left out, as redis_exporter does; the second value is how many.
///
/// # Errors
/// [`PeerTextError`]
pub fn peer_keys(text: &str) -> Result<(Vec<PeerKey>, usize), PeerTextError> {
    let mut keys = Vec::new();
    let mut without_key = 0;
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (database, key) = match item.split_once('=') {
            None => ("0", item),
            Some((_, key)) if key.contains('=') => return Err(PeerTextError::TwoEqualSigns),
            Some((database, key)) => (database.trim(), key),
        };
        let text = query_unescaped(key.trim())?;
        if text.is_empty() {
            without_key += 1;
            continue;
        }
        if text.len() > MAX_KEY_BYTES {
            return Err(PeerTextError::TooLong);
        }
        let digits = database.strip_prefix("db").unwrap_or(database);
        // Digits alone: `str::parse` would also take a `+`.
        let database = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()
            .filter(|database| *database <= MAX_DATABASE)
            .ok_or(PeerTextError::BadDatabase)?;
        if keys.len() >= MAX_KEYS {
            return Err(PeerTextError::TooMany);
        }
        keys.push(PeerKey { database, text });
    }
    Ok((keys, without_key))
}

fn query_unescaped(text: &str) -> Result<String, PeerTextError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| {
                    char::from(byte?)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                };
                let high = digit(rest.next()).ok_or(PeerTextError::BadEscape)?;
                let low = digit(rest.next()).ok_or(PeerTextError::BadEscape)?;
                bytes.push(high * 16 + low);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| PeerTextError::NotText)
}

/// The fields of one line of CSV (RFC 4180, section 2): a comma between two fields; a field between quotes may hold anything, with
/// `""` for a quote. An empty text has no fields.
///
/// # Errors
/// `BadCsv`, `TooManyFields`
pub fn csv_fields(text: &str) -> Result<Vec<String>, PeerTextError> {
    let mut fields = Vec::new();
    if text.is_empty() {
        return Ok(fields);
    }
    let mut rest = Some(text);
    while let Some(line) = rest {
        if fields.len() >= MAX_FIELDS {
            return Err(PeerTextError::TooManyFields);
        }
        let (field, behind) = match line.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let (field, behind) = match line.split_once(',') {
                    Some((field, behind)) => (field, Some(behind)),
                    None => (line, None),
                };
                if field.contains(['"', '\n', '\r']) {
                    return Err(PeerTextError::BadCsv);
                }
                (field.to_owned(), behind)
            }
        };
        fields.push(field);
        rest = behind;
    }
    Ok(fields)
}

/// A field behind its opening quote, and what follows its comma, if there is one.
fn quoted_field(text: &str) -> Result<(String, Option<&str>), PeerTextError> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once('"').ok_or(PeerTextError::BadCsv)?;
        field.push_str(part);
        if let Some(behind) = behind.strip_prefix('"') {
            field.push('"');
            rest = behind;
        } else if behind.is_empty() {
            return Ok((field, None));
        } else {
            let behind = behind.strip_prefix(',').ok_or(PeerTextError::BadCsv)?;
            return Ok((field, Some(behind)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(text: &str) -> Vec<(u32, String)> {
        let (keys, _) = peer_keys(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        keys.into_iter().map(|key| (key.database, key.text)).collect()
    }

    #[test]
    fn booleans_are_those_of_go() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(go_bool(text), Some(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(go_bool(text), Some(false), "{text}");
        }
        for text in ["", "yes", "on", "tRUE", "2", " true", "no", "off"] {
            assert_eq!(go_bool(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [
            ("15s", 15_000.0),
            ("1m30s", 90_000.0),
            ("30s1m", 90_000.0),
            ("1.5h", 5_400_000.0),
            (".5s", 500.0),
            ("+3s", 3000.0),
            ("250ms", 250.0),
            ("1500us", 1.5),
            ("1500\u{b5}s", 1.5),
            ("1s1s", 2000.0),
            ("0", 0.0),
            ("0s", 0.0),
        ] {
            let found = go_duration(text).unwrap().as_secs_f64() * 1000.0;
            assert!((found - milliseconds).abs() < 1e-6, "{text}: {found}");
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "5 s",
            "5d",
            ".s",
            "1.2.3s",
            "5S",
            "1e3s",
            "5sec",
            "\u{3bc}",
            "99999999999999999999999h",
        ] {
            assert_eq!(go_duration(text), Err(PeerTextError::BadDuration), "{text}");
        }
    }

    #[test]
    fn lists_of_keys_are_read_as_redis_exporter_reads_them() {
        let of = |database: u32, text: &str| (database, text.to_owned());
        assert_eq!(keys("user_count"), [of(0, "user_count")]);
        assert_eq!(keys("db0=sess:*,db3=cart:*"), [of(0, "sess:*"), of(3, "cart:*")]);
        assert_eq!(keys("3=a, db15 = b ,,"), [of(3, "a"), of(15, "b")]);
        assert_eq!(keys("a%2Cb%3D%25+c"), [of(0, "a,b=% c")]);
        assert_eq!(keys("%C3%bc"), [of(0, "ü")]);
        assert_eq!(keys(""), []);
        assert_eq!(
            peer_keys("db0=,db1=x").unwrap().1,
            1,
            "an item without a key is left out"
        );
    }

    #[test]
    fn what_is_no_list_of_keys_says_why() {
        use PeerTextError::*;
        for (text, error) in [
            ("db0=a=b", TwoEqualSigns),
            ("dbx=a", BadDatabase),
            ("db=a", BadDatabase),
            ("db-1=a", BadDatabase),
            ("db+1=a", BadDatabase),
            ("db65536=a", BadDatabase),
            ("a%", BadEscape),
            ("a%zz", BadEscape),
            ("a%f", BadEscape),
            ("%ff", NotText),
        ] {
            assert_eq!(peer_keys(text), Err(error), "{text}");
        }
        assert_eq!(peer_keys(&"x".repeat(MAX_KEY_BYTES + 1)), Err(TooLong));
        assert_eq!(peer_keys(&"x,".repeat(MAX_KEYS + 1)), Err(TooMany));
        assert!(peer_keys(&"x,".repeat(MAX_KEYS)).is_ok());
    }

    #[test]
    fn csv_is_that_of_the_rfc() {
        for (text, fields) in [
            ("", vec![]),
            ("^(.*):[^:]+$", vec!["^(.*):[^:]+$"]),
            ("a,b", vec!["a", "b"]),
            ("a,", vec!["a", ""]),
            ("\"a,b\",c", vec!["a,b", "c"]),
            ("\"a\"\"b\"", vec!["a\"b"]),
            ("\"\"", vec![""]),
        ] {
            assert_eq!(csv_fields(text).unwrap(), fields, "{text}");
        }
        for text in ["a\"b", "\"a", "\"a\"b", "a\nb"] {
            assert_eq!(csv_fields(text), Err(PeerTextError::BadCsv), "{text}");
        }
        assert_eq!(csv_fields(&",".repeat(MAX_FIELDS)), Err(PeerTextError::TooManyFields));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = (go_duration(&text), peer_keys(&text), csv_fields(&text));
        }
    }
}
