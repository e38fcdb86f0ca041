//! Numbers and label values as an application writes them.

use super::Problem;
use crate::metric::MetricKind;

/// Longest text that is read as a number, in bytes. HINCRBYFLOAT writes at most 17 digits after the point and up to 20 before it; the
/// longest `u64` has 20 digits.
pub const MAX_NUMBER_BYTES: usize = 63;

/// Longest field of a hash that becomes a label value, in bytes: longer ones are ids or messages, which no label should hold.
pub const MAX_LABEL_VALUE_BYTES: usize = 128;

/// A finite number in decimal or scientific notation: what INCRBY, INCRBYFLOAT, HINCRBY and HINCRBYFLOAT write and accept, but for
/// `inf` and `nan`.
///
/// # Errors
/// [`Problem::NotANumber`] for anything else, white space around it included.
pub fn number(text: &[u8]) -> Result<f64, Problem> {
    let is_plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if text.len() > MAX_NUMBER_BYTES || !text.iter().all(is_plain) {
        return Err(Problem::NotANumber);
    }
    let parsed: Option<f64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    parsed.filter(|value| value.is_finite()).ok_or(Problem::NotANumber)
}

/// The same for a metric of this kind.
///
/// # Errors
/// [`Problem::NotANumber`], and [`Problem::Negative`] for a counter below 0.
pub fn value(kind: MetricKind, text: &[u8]) -> Result<f64, Problem> {
    let value = number(text)?;
    if kind == MetricKind::Counter && value < 0.0 {
        return Err(Problem::Negative);
    }
    // `-0` is a legal text and would be written as one.
    Ok(value + 0.0)
}

/// A field of a hash as a label value: bytes that are no UTF-8 are written `\xNN`. `None` when it is empty (Prometheus takes an empty
/// value for an absent label), longer than [`MAX_LABEL_VALUE_BYTES`], or holds control characters.
pub fn label_value(field: &[u8]) -> Option<String> {
    if field.is_empty() || field.len() > MAX_LABEL_VALUE_BYTES {
        return None;
    }
    let mut value = String::with_capacity(field.len());
    for chunk in field.utf8_chunks() {
        if chunk.valid().chars().any(char::is_control) {
            return None;
        }
        value.push_str(chunk.valid());
        for byte in chunk.invalid() {
            value.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_decimal_and_finite() {
        let good: [(&[u8], f64); 9] = [
            (b"0", 0.0),
            (b"42", 42.0),
            (b"+7", 7.0),
            (b"-3", -3.0),
            (b"0.10000000000000001", 0.1),
            (b".5", 0.5),
            (b"1e3", 1000.0),
            (b"1E-1", 0.1),
            (b"18446744073709551615", 18_446_744_073_709_551_615.0),
        ];
        for (text, expected) in good {
            assert_eq!(number(text), Ok(expected), "{}", String::from_utf8_lossy(text));
        }
        let bad: [&[u8]; 14] = [
            b"",
            b" 1",
            b"1\n",
            b"1,5",
            b"0x10",
            b"inf",
            b"-inf",
            b"nan",
            b"infinity",
            b"1e999",
            b"1_000",
            b"e",
            b"\xff1",
            &[b'1'; MAX_NUMBER_BYTES + 1],
        ];
        for text in bad {
            let found = number(text);
            assert_eq!(found, Err(Problem::NotANumber), "{}", String::from_utf8_lossy(text));
        }
        assert!(number(&[b'1'; MAX_NUMBER_BYTES]).is_ok());
    }

    #[test]
    fn only_gauges_go_below_zero() {
        assert_eq!(value(MetricKind::Gauge, b"-1.5"), Ok(-1.5));
        assert_eq!(value(MetricKind::Counter, b"-1"), Err(Problem::Negative));
        assert!(value(MetricKind::Counter, b"-0").unwrap().is_sign_positive());
    }

    #[test]
    fn label_values_are_bounded_text() {
        let long = vec![b'x'; MAX_LABEL_VALUE_BYTES + 1];
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"key_missing", Some("key_missing")),
            ("Schlüssel fehlt".as_bytes(), Some("Schlüssel fehlt")),
            (b"a\xffb\xc3", Some("a\\xffb\\xc3")),
            (b"quote\"and\\", Some("quote\"and\\")),
            (b"", None),
            (b"two\nlines", None),
            (b"nul\0", None),
            (&long, None),
        ];
        for (field, expected) in cases {
            assert_eq!(label_value(field).as_deref(), expected, "{field:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = number(&bytes) {
                prop_assert!(value.is_finite());
            }
            if let Some(value) = label_value(&bytes) {
                prop_assert!(!value.is_empty() && !value.chars().any(char::is_control));
                prop_assert!(value.len() <= 4 * MAX_LABEL_VALUE_BYTES);
            }
        }
    }
}
