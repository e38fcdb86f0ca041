//! Numbers as both dialects understand them.
//!
//! Source: Prometheus text format 0.0.4 ("Go's ParseFloat, NaN, +Inf, -Inf") and OpenMetrics 1.0 ("Numbers", "Considerations:
//! Canonical Numbers").

use std::fmt::Write as _;

/// Decimal exponents at which values change to scientific notation: below, plain digits would need a tail of zeros.
/// 21 is where Go and JavaScript change too; every integer that a 64-bit counter can hold stays plain.
const PLAIN_BELOW_EXPONENT: i32 = 21;

/// The smallest decimal exponent that is written without scientific notation, as Go and JavaScript do.
const PLAIN_FROM_EXPONENT: i32 = -7;

/// Decimal exponents from which a bucket bound is written in scientific notation. Go's shortest `%g` changes at 1e21 only
/// when a precision is given; without one it uses 6 digits as the limit, and Prometheus normalises `le` the same way.
const BOUND_PLAIN_BELOW_EXPONENT: i32 = 6;

/// The smallest decimal exponent of a bucket bound in plain digits (Go's `%g`).
const BOUND_PLAIN_FROM_EXPONENT: i32 = -4;

/// Writes a sample value: the shortest digits that read back as the same number; integers without point or exponent.
pub fn write_value(out: &mut String, value: f64) {
    if write_special(out, value) {
        return;
    }
    // An empty sum of floats is -0 in Rust; there is one zero on `/metrics`.
    let value = if value == 0.0 { 0.0 } else { value };
    let (digits, exponent) = scientific(value);
    if value == 0.0 || (PLAIN_FROM_EXPONENT..PLAIN_BELOW_EXPONENT).contains(&exponent) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{value}");
    } else {
        let _ = write!(out, "{digits}e{exponent}");
    }
}

/// Writes a bucket bound for the label `le`: always a float (`1.0`, `0.005`, `1.073741824e+09`, `+Inf`), spelt as Go's client
/// library and Prometheus 3 spell it, so that the same bucket has the same label in every version of Prometheus.
pub fn write_bound(out: &mut String, bound: f64) {
    if write_special(out, bound) {
        return;
    }
    let (digits, exponent) = scientific(bound);
    if bound == 0.0 || (BOUND_PLAIN_FROM_EXPONENT..BOUND_PLAIN_BELOW_EXPONENT).contains(&exponent) {
        let _ = write!(out, "{bound:?}");
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
}

/// Writes NaN and the infinities, which Rust spells otherwise; false for all other numbers.
fn write_special(out: &mut String, value: f64) -> bool {
    let text = if value.is_nan() {
        "NaN"
    } else if value == f64::INFINITY {
        "+Inf"
    } else if value == f64::NEG_INFINITY {
        "-Inf"
    } else {
        return false;
    };
    out.push_str(text);
    true
}

/// The shortest digits of a finite number in scientific notation (`-1.25`) and its decimal exponent.
fn scientific(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let exponent = exponent.parse().unwrap_or_default();
            (digits.to_owned(), exponent)
        }
        // Rust always writes the exponent; the number itself is the right answer if it ever does not.
        None => (text, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(number: f64) -> String {
        let mut out = String::new();
        write_value(&mut out, number);
        out
    }

    fn bound(number: f64) -> String {
        let mut out = String::new();
        write_bound(&mut out, number);
        out
    }

    #[test]
    fn values_are_short_and_legal_in_both_dialects() {
        assert_eq!(value(0.0), "0");
        assert_eq!(value(1.0), "1");
        assert_eq!(value(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(value(123_456_789_012.0), "123456789012");
        assert_eq!(value(18_446_744_073_709_551_615.0), "18446744073709552000");
        assert_eq!(value(1e300), "1e300");
        assert_eq!(value(-2.5e-9), "-2.5e-9");
        assert_eq!(value(f64::NAN), "NaN");
        assert_eq!(value(f64::INFINITY), "+Inf");
        assert_eq!(value(f64::NEG_INFINITY), "-Inf");
    }

    #[test]
    fn bounds_are_floats_as_go_writes_them() {
        assert_eq!(bound(1.0), "1.0");
        assert_eq!(bound(0.0005), "0.0005");
        assert_eq!(bound(0.000_01), "1e-05");
        assert_eq!(bound(604_800.0), "604800.0");
        assert_eq!(bound(1_000_000.0), "1e+06");
        assert_eq!(bound(1_073_741_824.0), "1.073741824e+09");
        assert_eq!(bound(f64::INFINITY), "+Inf");
        assert_eq!(bound(0.0), "0.0");
    }

    proptest::proptest! {
        #[test]
        fn every_finite_number_reads_back(bits in proptest::prelude::any::<u64>()) {
            let number = f64::from_bits(bits);
            if number.is_finite() {
                proptest::prop_assert_eq!(value(number).parse::<f64>().unwrap().to_bits(), bits);
                proptest::prop_assert_eq!(bound(number).parse::<f64>().unwrap().to_bits(), bits);
            }
        }
    }
}
