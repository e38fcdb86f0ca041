//! Durations as people write them: `250ms`, `5s`, `1m30s`, `24h`, `7d`.

use std::time::Duration;

/// Shortest duration that can be written: the contract's "from `1ms` up".
pub const MIN_DURATION: Duration = Duration::from_millis(1);

/// Longest duration that can be written. Ten years are longer than any session lives, and far from where adding a few of
/// them to a clock overflows.
pub const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * DAY_SECONDS);

const DAY_SECONDS: u64 = 86_400;

/// The units in the order in which they may follow each other, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", DAY_SECONDS * 1000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// What is wrong with a duration. The sentences say what to write and never quote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A number alone.
    #[error("has no unit; write for example `5s`, `250ms`, `1m30s`, `24h` or `7d`")]
    NoUnit,
    /// Anything that is not whole numbers with units, largest unit first.
    #[error(
        "is not a duration; write whole numbers with the units d, h, m, s, ms, the largest first, for example `5s`, `250ms` or `1m30s`"
    )]
    Malformed,
    /// Less than [`MIN_DURATION`].
    #[error("is too short; write at least `1ms`")]
    TooShort,
    /// More than [`MAX_DURATION`].
    #[error("is too long; write at most `3650d`")]
    TooLong,
}

/// Reads a duration.
///
/// # Errors
/// [`DurationError`]; the text itself is never part of it.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Malformed);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DurationError::NoUnit);
    }
    let mut rest = text;
    let mut milliseconds: u64 = 0;
    let mut allowed = UNITS.as_slice();
    while !rest.is_empty() {
        let digits_end = rest
            .find(|character: char| !character.is_ascii_digit())
            .ok_or(DurationError::Malformed)?;
        let (digits, tail) = rest.split_at(digits_end);
        let unit_end = tail
            .find(|character: char| !character.is_ascii_lowercase())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let position = allowed
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or(DurationError::Malformed)?;
        let (_, factor) = allowed.get(position).copied().ok_or(DurationError::Malformed)?;
        allowed = allowed.get(position + 1..).unwrap_or_default();
        if digits.is_empty() {
            return Err(DurationError::Malformed);
        }
        // Digits that do not fit are digits all the same: the number is too large, not misspelt.
        let number: u64 = digits.parse().map_err(|_| DurationError::TooLong)?;
        milliseconds = number
            .checked_mul(factor)
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    let duration = Duration::from_millis(milliseconds);
    if duration < MIN_DURATION {
        Err(DurationError::TooShort)
    } else if duration > MAX_DURATION {
        Err(DurationError::TooLong)
    } else {
        Ok(duration)
    }
}

/// Writes a duration the way [`parse_duration`] reads it: `90s` becomes `1m30s`. Parts below a millisecond are dropped.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let number = rest / factor;
        rest %= factor;
        if number > 0 {
            text.push_str(&number.to_string());
            text.push_str(unit);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, milliseconds) in [
            ("1ms", 1),
            ("250ms", 250),
            ("5s", 5000),
            ("1m30s", 90_000),
            ("1m5ms", 60_005),
            ("24h", 86_400_000),
            ("7d", 7 * 86_400_000),
            ("1d0h1s", 86_401_000),
            ("90s", 90_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        use DurationError::*;
        for (text, error) in [
            ("", Malformed),
            ("5", NoUnit),
            ("5 s", Malformed),
            ("-5s", Malformed),
            ("1.5s", Malformed),
            ("s", Malformed),
            ("5s5", Malformed),
            ("5s1m", Malformed),
            ("5s5s", Malformed),
            ("5S", Malformed),
            ("5sec", Malformed),
            ("5s ", Malformed),
            ("٥s", Malformed),
            ("0s", TooShort),
            ("0ms", TooShort),
            ("3651d", TooLong),
            ("99999999999999999999s", TooLong),
            ("18446744073709551615d", TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(milliseconds in 1u64..=(10 * 365 * DAY_SECONDS * 1000)) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
