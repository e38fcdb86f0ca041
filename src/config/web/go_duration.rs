//! Durations as Go writes them (`time.ParseDuration`), which is how the toolkit reads `rate_limit.interval`.

use std::time::Duration;

/// Units in nanoseconds, the longer names of those that begin alike first.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    // Micro sign and Greek letter.
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Digits behind the point that count: those of a nanosecond of the largest unit.
const MAX_FRACTION_DIGITS: usize = 13;

/// Longest interval: nobody limits to less than a request a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Reads a duration: numbers with units in any order, fractions allowed, or `0`. What is shorter than a nanosecond is cut off. `None` when
/// it is none, or longer than a day.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|character: char| !is_of_number(character))?);
        let unit_end = tail.find(is_of_number).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanoseconds = nanoseconds.checked_add(part(number, *factor)?)?;
        rest = tail;
    }
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
    let below = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, below)).filter(|duration| !text.is_empty() && *duration <= LONGEST)
}

fn is_of_number(character: char) -> bool {
    character.is_ascii_digit() || character == '.'
}

/// Nanoseconds of a number of units.
fn part(number: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<u128>().ok()
        }
    };
    let kept = fraction.get(..MAX_FRACTION_DIGITS).unwrap_or(fraction);
    let scale = 10_u128.checked_pow(u32::try_from(kept.len()).ok()?)?;
    let below = digits(kept)?.checked_mul(factor)? / scale;
    digits(whole)?.checked_mul(factor)?.checked_add(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("1ns", 1),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("30s1m", 90_000_000_000),
            ("2us", 2000),
            ("2\u{b5}s", 2000),
            ("2\u{3bc}s", 2000),
            ("24h", 86_400_000_000_000),
            ("0.00000000000000000000000000000000000000000000001h", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanoseconds)), "{text}");
        }
        for text in [
            "", "1", "s", ".s", "1.2.3s", "-1s", "+1s", "1d", "1 s", "1S", "24h1ns", "1e3s", "٥s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&format!("{}h", "9".repeat(60))), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.nmshuµ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
