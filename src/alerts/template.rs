//! Placeholders in expressions and annotations, and windows that pass faster in a rehearsal. Pure.
//!
//! `$job` stands for the matchers of [`Values::selector`], `$production` for those and [`Values::production`], `$name` for the threshold of that name: as a plain number in an
//! expression, for people in an annotation (`90%`, `500ms`). `$for` is the wait of the alert in an annotation. `$labels` and `$value` belong to the templates of Prometheus and stay.

use super::values::{Unit, Values};
use crate::config::duration::format_duration;
use std::time::Duration;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// PromQL: numbers are plain, windows are divided.
    Expression,
    /// An annotation of an alert that waits this long.
    Annotation(&'a str),
}

/// Why a text could not be rendered. Only a mistake in this program's own rules can cause it; a test finds each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No threshold and no selector has this name.
    #[error("the placeholder ${0} stands for nothing")]
    Unknown(String),
    /// What should be a duration of Prometheus is none.
    #[error("`{0}` is no duration of Prometheus")]
    Duration(String),
}

/// Fills in the placeholders; in an expression windows (`[5m]`, `[1h:1m]`, `offset 5m`) are divided by [`Values::hurry`] as well.
///
/// # Errors
/// For a placeholder that stands for nothing, and for a window that is no duration.
pub fn fill(text: &str, place: Place<'_>, values: &Values) -> Result<String, TemplateError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let end = after
            .find(|character: char| !(character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'))
            .unwrap_or(after.len());
        let (name, following) = after.split_at(end);
        filled.push_str(&replacement(name, place, values)?);
        rest = following;
    }
    filled.push_str(rest);
    match place {
        Place::Expression => hurried(&filled, values.hurry),
        Place::Annotation(_) => Ok(filled),
    }
}

fn replacement(name: &str, place: Place<'_>, values: &Values) -> Result<String, TemplateError> {
    match (name, place) {
        ("job", Place::Expression) => return Ok(values.selector.clone()),
        ("production", Place::Expression) => return Ok(format!("{},{}", values.selector, values.production)),
        ("for", Place::Annotation(hold)) => return duration(hold, values.hurry),
        ("labels" | "value", Place::Annotation(_)) => return Ok(format!("${name}")),
        // The end of a regular expression, or a local variable of a template of Prometheus.
        ("", _) => return Ok("$".to_owned()),
        _ => {}
    }
    let Some((threshold, value)) = values.threshold(name) else {
        return Err(TemplateError::Unknown(name.to_owned()));
    };
    Ok(match (place, threshold.unit) {
        (Place::Expression, _) | (_, Unit::Count) => value.to_string(),
        (_, Unit::Ratio) => format!("{}%", rounded(value * 100.0)),
        (_, Unit::Seconds) => format_duration(Duration::from_secs_f64(value)),
        (_, Unit::Bytes) => bytes(value),
    })
}

/// Bytes in the largest unit that leaves at least 1.
fn bytes(value: f64) -> String {
    const STEP: f64 = 1024.0;
    let mut rest = value;
    for unit in ["B", "KiB", "MiB"] {
        if rest < STEP {
            return format!("{}{unit}", rounded(rest));
        }
        rest /= STEP;
    }
    format!("{}GiB", rounded(rest))
}

/// Rounds what binary fractions left behind: 28.999999999999996 is 29.
fn rounded(value: f64) -> f64 {
    const STEPS: f64 = 1e6;
    (value * STEPS).round() / STEPS
}

/// Divides what stands in brackets or behind `offset`; in the strings of matchers brackets mean something else.
fn hurried(expression: &str, hurry: f64) -> Result<String, TemplateError> {
    if hurry <= 1.0 {
        return Ok(expression.to_owned());
    }
    let mut hurried = String::with_capacity(expression.len());
    let mut rest = expression;
    loop {
        let window = rest.find('[').map(|at| at.saturating_add(1));
        let offset = rest.find("offset ").map(|at| at.saturating_add("offset ".len()));
        let string = rest.find('"');
        let Some(begin) = window.into_iter().chain(offset).chain(string).min() else {
            hurried.push_str(rest);
            return Ok(hurried);
        };
        if string == Some(begin) {
            let (before, after) = rest.split_at(begin.saturating_add(end_of_string(rest, begin)));
            hurried.push_str(before);
            rest = after;
            continue;
        }
        let (before, after) = rest.split_at(begin);
        hurried.push_str(before);
        let end = after
            .find(|character: char| !(character.is_ascii_alphanumeric() || character == ':'))
            .unwrap_or(after.len());
        let (spans, following) = after.split_at(end);
        let spans: Result<Vec<String>, TemplateError> = spans.split(':').map(|span| duration(span, hurry)).collect();
        hurried.push_str(&spans?.join(":"));
        rest = following;
    }
}

/// How many bytes the string takes whose first quote is at `begin`, with both quotes.
fn end_of_string(text: &str, begin: usize) -> usize {
    let bytes = text.bytes().skip(begin).enumerate().skip(1);
    let mut is_escaped = false;
    for (at, byte) in bytes {
        if byte == b'"' && !is_escaped {
            return at.saturating_add(1);
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    text.len().saturating_sub(begin)
}

/// A duration of Prometheus divided by `hurry`, never less than a second: what is shorter could not be scraped.
///
/// # Errors
/// When `text` is no duration.
pub fn duration(text: &str, hurry: f64) -> Result<String, TemplateError> {
    if text.is_empty() || hurry <= 1.0 {
        return Ok(text.to_owned());
    }
    let span = humantime::parse_duration(text).map_err(|_| TemplateError::Duration(text.to_owned()))?;
    let milliseconds = (span.as_secs_f64() / hurry).max(1.0) * 1000.0;
    Ok(format!("{milliseconds:.0}ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_get_plain_numbers_and_annotations_get_units() {
        let values = Values::default();
        let filled = |text, place| fill(text, place, &values).unwrap();
        assert_eq!(
            filled("a{$job} > $memory_critical", Place::Expression),
            "a{job=\"redis-session-exporter\"} > 0.9"
        );
        assert_eq!(
            filled(
                "{{ $value }} of {{ $labels.instance }}: more than $memory_critical for $for",
                Place::Annotation("5m")
            ),
            "{{ $value }} of {{ $labels.instance }}: more than 90% for 5m"
        );
        let annotation = Place::Annotation("");
        assert_eq!(
            filled("$fragmentation_floor within $memory_forecast", annotation),
            "100MiB within 1d"
        );
    }

    #[test]
    fn people_are_told_days_and_not_months() {
        let values = Values::parse("thresholds: { tls_certificate_notice: 60d }", "values.yaml").unwrap();
        let filled = fill("$tls_certificate_notice", Place::Annotation(""), &values).unwrap();
        assert_eq!(filled, "60d");
    }

    #[test]
    fn a_placeholder_that_stands_for_nothing_is_an_error() {
        let error = fill("$nothing", Place::Expression, &Values::default()).unwrap_err();
        assert_eq!(error, TemplateError::Unknown("nothing".to_owned()));
    }

    #[test]
    fn a_rehearsal_divides_windows_and_nothing_else() {
        let values = Values {
            hurry: 30.0,
            ..Values::default()
        };
        let filled = fill("rate(x_5m[5m] offset 1h) > 60 * y[30m:1m]", Place::Expression, &values).unwrap();
        assert_eq!(filled, "rate(x_5m[10000ms] offset 120000ms) > 60 * y[60000ms:2000ms]");
        assert_eq!(duration("10s", 30.0).unwrap(), "1000ms");

        let values = Values::parse(
            r#"{ selector: 'job=~"[ab]",x="\"[5m] offset 1h"', hurry: 30 }"#,
            "values.yaml",
        );
        let filled = fill("rate(x{$job}[5m])", Place::Expression, &values.unwrap()).unwrap();
        assert_eq!(filled, r#"rate(x{job=~"[ab]",x="\"[5m] offset 1h"}[10000ms])"#);
    }
}
