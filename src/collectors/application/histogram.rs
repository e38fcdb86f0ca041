//! A histogram as an application keeps it: a hash with a field per upper bound, `+Inf` and `sum`.
//!
//! An observation is counted in one field, that of the lowest bound that holds it (`HINCRBY key 0.25 1`), and added to `sum`
//! (`HINCRBYFLOAT key sum 0.2`). The buckets become cumulative here.

use super::Problem;
use super::number::number;
use crate::metric::Distribution;

/// Fields that a histogram has beside its bounds: `+Inf`, `sum`, `count`.
pub const OTHER_FIELDS: usize = 3;

/// Largest number of observations of a bucket: up to 2^53 every whole number is exact in an `f64`, which is what Prometheus keeps.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// The histogram of a hash with these fields and values, for the rising upper `bounds` of the configuration.
///
/// A bound may be spelt in any way (`.1`, `0.10`, `1e-1`), and two spellings of one bound add up. Missing buckets are 0, and so is
/// everything when there is no field at all. A bound that the configuration does not have counts in the next higher one: its
/// observations are at or below that, so no bucket shows less time than the truth. The field `count` is not read, since the count is the
/// sum of all buckets.
///
/// # Errors
/// What a field or its value is instead of what it should be.
pub fn histogram<'a>(
    bounds: &[f64],
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Distribution, Problem> {
    let mut counts = vec![0_u64; bounds.len()];
    let mut beyond = 0_u64;
    let mut sum = None;
    for (field, value) in fields {
        match field {
            b"count" => {}
            b"sum" => sum = Some(number(value)?),
            _ => {
                let upper = bound(field).ok_or(Problem::NotABound)?;
                let place = bounds.partition_point(|known| *known < upper);
                let count = counts.get_mut(place).unwrap_or(&mut beyond);
                *count = count.saturating_add(whole(value)?);
            }
        }
    }
    let mut total = 0_u64;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (bound, count) in bounds.iter().zip(counts) {
        total = total.saturating_add(count);
        buckets.push((*bound, total));
    }
    let count = total.saturating_add(beyond);
    let sum = match sum {
        Some(sum) if sum < 0.0 => return Err(Problem::Negative),
        Some(sum) => sum,
        None if count == 0 => 0.0,
        None => return Err(Problem::NoSum),
    };
    Ok(Distribution { buckets, sum, count })
}

/// An upper bound in any spelling; `None` when the field is none.
fn bound(field: &[u8]) -> Option<f64> {
    let is_infinite = [b"+inf".as_slice(), b"inf"]
        .iter()
        .any(|name| field.eq_ignore_ascii_case(name));
    if is_infinite {
        return Some(f64::INFINITY);
    }
    number(field).ok()
}

/// A number of observations.
fn whole(value: &[u8]) -> Result<u64, Problem> {
    let number = number(value)?;
    if number < 0.0 {
        return Err(Problem::Negative);
    }
    if number.fract() != 0.0 || number > MAX_COUNT {
        return Err(Problem::NotWhole);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, not negative and within 2^53, so the cast is exact"
    )]
    let count = number as u64;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 3] = [0.1, 0.5, 1.0];

    fn read(fields: &[(&str, &str)]) -> Result<Distribution, Problem> {
        let fields = fields.iter().map(|(field, value)| (field.as_bytes(), value.as_bytes()));
        histogram(&BOUNDS, fields)
    }

    fn counts(distribution: &Distribution) -> Vec<u64> {
        let buckets = distribution.buckets.iter().map(|(_, count)| *count);
        buckets.chain([distribution.count]).collect()
    }

    #[test]
    fn buckets_add_up_in_any_spelling() {
        let found = read(&[
            ("sum", "7.25"),
            (".1", "1"),
            ("0.10", "2"),
            ("5e-1", "4"),
            ("+Inf", "8"),
            ("count", "nonsense"),
        ])
        .unwrap();
        assert_eq!(counts(&found), [3, 7, 7, 15]);
        assert!((found.sum - 7.25).abs() < f64::EPSILON);
    }

    #[test]
    fn a_bound_that_is_not_configured_counts_in_the_next_higher_one() {
        let found = read(&[("0.3", "1"), ("0.05", "10"), ("3", "100"), ("sum", "1")]).unwrap();
        assert_eq!(counts(&found), [10, 11, 11, 111]);
    }

    #[test]
    fn a_hash_without_fields_is_a_histogram_without_observations() {
        let found = read(&[]).unwrap();
        assert_eq!(counts(&found), [0, 0, 0, 0]);
        assert!(found.sum.abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_no_histogram_is_said() {
        let cases: [(&[(&str, &str)], Problem); 8] = [
            (&[("0.1", "1")], Problem::NoSum),
            (&[("0.1", "-1"), ("sum", "1")], Problem::Negative),
            (&[("0.1", "1"), ("sum", "-1")], Problem::Negative),
            (&[("0.1", "1.5"), ("sum", "1")], Problem::NotWhole),
            (&[("0.1", "1e300"), ("sum", "1")], Problem::NotWhole),
            (&[("0.1", "many"), ("sum", "1")], Problem::NotANumber),
            (&[("0.1", "1"), ("sum", "inf")], Problem::NotANumber),
            (&[("slow", "1"), ("sum", "1")], Problem::NotABound),
        ];
        for (fields, problem) in cases {
            assert_eq!(read(fields), Err(problem), "{fields:?}");
        }
    }

    #[test]
    fn counts_never_overflow() {
        let fields: Vec<(String, String)> = (0..5000)
            .map(|field| (format!("0.{field:04}"), "9007199254740992".to_owned()))
            .collect();
        let fields = fields.iter().map(|(field, value)| (field.as_bytes(), value.as_bytes()));
        let found = histogram(&BOUNDS, fields.chain([(b"sum".as_slice(), b"1".as_slice())])).unwrap();
        assert_eq!(found.count, u64::MAX);
    }
}
