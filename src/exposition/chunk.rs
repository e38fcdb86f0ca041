//! Pre-rendered lines of one family of one instance.
//!
//! Sample lines are the same in both dialects; only headers differ, and the suffixes of gauge histograms. So the numbers and
//! the metric's own labels are rendered once per poll, and the instance's label block is joined when a body is put together.

use super::number::{write_bound, write_value};
use crate::metric::{Descriptor, Distribution, Family, Label, MetricKind, Value};
use std::collections::HashSet;

/// Largest text of one chunk. A family of the default collectors needs a few kilobytes; 16 MiB is far beyond what Prometheus
/// would take from one family, and keeps every offset within 32 bits.
pub const MAX_CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// What stands behind the metric's name in a sample line. How it is spelt depends on kind and dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suffix {
    /// The name as it is.
    None,
    /// `_bucket`
    Bucket,
    /// `_sum`, for gauge histograms in OpenMetrics `_gsum`.
    Sum,
    /// `_count`, for gauge histograms in OpenMetrics `_gcount`.
    Count,
}

/// Samples that were given but not rendered, by reason. The poller counts them in
/// `redis_session_exporter_series_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Another sample of the family has the same labels; the first one is kept.
    pub duplicate: usize,
    /// The value is one that the formats forbid: a counter that is negative or not a number, a histogram whose buckets do
    /// not rise or whose sum is negative or not a number.
    pub invalid: usize,
    /// [`MAX_CHUNK_BYTES`] was reached.
    pub limit: usize,
}

/// Where one line ends in the text of a chunk: labels first, then the value. A line starts where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LineEnd {
    suffix: Suffix,
    labels: u32,
    value: u32,
}

/// The lines of one family, without the instance's labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// What the lines are about.
    pub descriptor: &'static Descriptor,
    /// Labels and values of all lines, one behind the other without separators.
    text: Box<str>,
    /// Where each line ends.
    ends: Box<[LineEnd]>,
    /// Number of series, which is the number of lines: a histogram with 14 buckets has 17.
    pub series: usize,
    /// What was left out.
    pub dropped: Dropped,
}

/// One sample line, still without name and instance labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What stands behind the name.
    pub suffix: Suffix,
    /// The metric's own labels, escaped, without braces: `cmd="get",le="1.0"`. Empty when it has none.
    pub labels: &'a str,
    /// The value as it is written.
    pub value: &'a str,
}

impl Chunk {
    /// Renders the samples of a family. Samples that no format allows are left out and counted in `dropped`.
    pub fn render(family: &Family) -> Self {
        let mut writer = Writer {
            text: String::new(),
            ends: Vec::with_capacity(family.samples.len()),
        };
        let mut dropped = Dropped::default();
        let mut labels = String::new();
        let mut seen: HashSet<String> = HashSet::new();
        for sample in &family.samples {
            if !is_legal(family.descriptor.kind, &sample.value) {
                dropped.invalid += 1;
                continue;
            }
            labels.clear();
            for label in &sample.labels {
                write_label(&mut labels, label);
            }
            if family.samples.len() > 1 && !seen.insert(labels.clone()) {
                dropped.duplicate += 1;
                continue;
            }
            if !writer.sample(&labels, &sample.value) {
                dropped.limit += 1;
            }
        }
        Self {
            descriptor: family.descriptor,
            series: writer.ends.len(),
            text: writer.text.into_boxed_str(),
            ends: writer.ends.into_boxed_slice(),
            dropped,
        }
    }

    /// The lines in the order in which the samples were given.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut start = 0_usize;
        self.ends.iter().filter_map(move |end| {
            let (labels_end, value_end) = (end.labels as usize, end.value as usize);
            let line_start = std::mem::replace(&mut start, value_end);
            Some(Line {
                suffix: end.suffix,
                labels: self.text.get(line_start..labels_end)?,
                value: self.text.get(labels_end..value_end)?,
            })
        })
    }

    /// Bytes of all labels and values together.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }
}

/// Text and line ends in the making.
struct Writer {
    text: String,
    ends: Vec<LineEnd>,
}

impl Writer {
    /// Adds all lines of one sample, or none of them when the chunk would outgrow its limit.
    fn sample(&mut self, labels: &str, value: &Value) -> bool {
        let (text_mark, ends_mark) = (self.text.len(), self.ends.len());
        match value {
            Value::Number(number) => self.line(Suffix::None, labels, None, |out| write_value(out, *number)),
            Value::Histogram(distribution) => {
                for (bound, count) in &distribution.buckets {
                    self.line(Suffix::Bucket, labels, Some(Extra::Bound(*bound)), |out| {
                        write_count(out, *count);
                    });
                }
                self.line(Suffix::Bucket, labels, Some(Extra::Bound(f64::INFINITY)), |out| {
                    write_count(out, distribution.count);
                });
                self.sum_and_count(labels, distribution.sum, distribution.count);
            }
            Value::Summary { quantiles, sum, count } => {
                for (quantile, number) in quantiles {
                    self.line(Suffix::None, labels, Some(Extra::Quantile(quantile)), |out| {
                        write_value(out, *number);
                    });
                }
                self.sum_and_count(labels, *sum, *count);
            }
        }
        if self.text.len() <= MAX_CHUNK_BYTES {
            return true;
        }
        self.text.truncate(text_mark);
        self.ends.truncate(ends_mark);
        false
    }

    fn sum_and_count(&mut self, labels: &str, sum: f64, count: u64) {
        self.line(Suffix::Sum, labels, None, |out| write_value(out, sum));
        self.line(Suffix::Count, labels, None, |out| write_count(out, count));
    }

    fn line(&mut self, suffix: Suffix, labels: &str, extra: Option<Extra<'_>>, value: impl FnOnce(&mut String)) {
        self.text.push_str(labels);
        if let Some(extra) = extra {
            if !labels.is_empty() {
                self.text.push(',');
            }
            match extra {
                Extra::Bound(bound) => {
                    self.text.push_str("le=\"");
                    write_bound(&mut self.text, bound);
                }
                Extra::Quantile(quantile) => {
                    self.text.push_str("quantile=\"");
                    escape_label_value(&mut self.text, quantile);
                }
            }
            self.text.push('"');
        }
        let labels_end = self.text.len();
        value(&mut self.text);
        // A sample that passes the limit is taken back by `sample`; until then saturating is enough.
        self.ends.push(LineEnd {
            suffix,
            labels: u32::try_from(labels_end).unwrap_or(u32::MAX),
            value: u32::try_from(self.text.len()).unwrap_or(u32::MAX),
        });
    }
}

/// The label that the kind of a metric adds to a line.
enum Extra<'a> {
    Bound(f64),
    Quantile(&'a str),
}

/// Whether both dialects allow this value for this kind.
///
/// OpenMetrics 1.0, "Counter": a total is never negative nor NaN; "Histogram": buckets are cumulative, sums of
/// non-negative observations are not negative.
fn is_legal(kind: MetricKind, value: &Value) -> bool {
    match value {
        Value::Number(number) => kind != MetricKind::Counter || *number >= 0.0,
        Value::Histogram(distribution) => is_legal_distribution(distribution),
        Value::Summary { sum, .. } => *sum >= 0.0,
    }
}

fn is_legal_distribution(distribution: &Distribution) -> bool {
    let mut last: Option<(f64, u64)> = None;
    for (bound, count) in &distribution.buckets {
        let rises = last.is_none_or(|(last_bound, last_count)| *bound > last_bound && *count >= last_count);
        if !rises || !bound.is_finite() || *count > distribution.count {
            return false;
        }
        last = Some((*bound, *count));
    }
    distribution.sum >= 0.0
}

fn write_count(out: &mut String, count: u64) {
    use std::fmt::Write as _;
    // Writing to a String cannot fail.
    let _ = write!(out, "{count}");
}

/// Appends `name="value"`, behind a comma when labels stand before it.
pub fn write_label(out: &mut String, label: &Label) {
    let (name, value) = label;
    write_label_text(out, name, value);
}

/// Appends `name="value"`, behind a comma when labels stand before it. The name must be a legal label name.
pub fn write_label_text(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    escape_label_value(out, value);
    out.push('"');
}

/// The label block that every line of an instance carries: `environment="x",instance="y",team="z"`.
pub fn label_block<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut block = String::new();
    for (name, value) in labels {
        write_label_text(&mut block, name, value);
    }
    block
}

/// Escapes a label value: backslash, quote and line feed (the same in both dialects).
fn escape_label_value(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Sample;

    static GAUGE: Descriptor = Descriptor::new(MetricKind::Gauge, "g", "Help.", "x").with_labels(&["key"]);
    static COUNTER: Descriptor = Descriptor::new(MetricKind::Counter, "c_total", "Help.", "x").with_labels(&["key"]);
    static HISTOGRAM: Descriptor = Descriptor::new(MetricKind::Histogram, "h", "Help.", "x").with_labels(&["key"]);

    fn family(descriptor: &'static Descriptor, samples: Vec<(Vec<Label>, Value)>) -> Family {
        Family {
            descriptor,
            samples: samples
                .into_iter()
                .map(|(labels, value)| Sample { labels, value })
                .collect(),
        }
    }

    fn shown(chunk: &Chunk) -> Vec<(Suffix, &str, &str)> {
        chunk
            .lines()
            .map(|line| (line.suffix, line.labels, line.value))
            .collect()
    }

    #[test]
    fn labels_are_escaped_and_lines_split_again() {
        let chunk = Chunk::render(&family(
            &GAUGE,
            vec![
                (vec![("key", "a\"b\\c\nd\te".into())], Value::Number(1.5)),
                (vec![], Value::Number(f64::NAN)),
                (vec![("key", "ü".into())], Value::Number(-1.0)),
            ],
        ));
        assert_eq!(
            shown(&chunk),
            [
                (Suffix::None, "key=\"a\\\"b\\\\c\\nd\te\"", "1.5"),
                (Suffix::None, "", "NaN"),
                (Suffix::None, "key=\"ü\"", "-1"),
            ]
        );
        assert_eq!(chunk.series, 3);
        assert_eq!(chunk.dropped, Dropped::default());
    }

    #[test]
    fn the_second_of_two_equal_label_sets_is_left_out_and_counted() {
        let chunk = Chunk::render(&family(
            &GAUGE,
            vec![
                (vec![("key", "a".into())], Value::Number(1.0)),
                (vec![("key", "a".into())], Value::Number(2.0)),
            ],
        ));
        assert_eq!(shown(&chunk), [(Suffix::None, "key=\"a\"", "1")]);
        assert_eq!(chunk.dropped.duplicate, 1);
    }

    #[test]
    fn counters_that_no_parser_accepts_are_left_out() {
        let samples = [f64::NAN, -1.0, 0.0, f64::INFINITY]
            .into_iter()
            .enumerate()
            .map(|(index, number)| (vec![("key", index.to_string().into())], Value::Number(number)))
            .collect();
        let chunk = Chunk::render(&family(&COUNTER, samples));
        assert_eq!(chunk.series, 2);
        assert_eq!(chunk.dropped.invalid, 2);
    }

    #[test]
    fn a_histogram_has_its_inf_bucket_sum_and_count() {
        let distribution = Distribution {
            buckets: vec![(0.5, 1), (1.0, 3)],
            sum: 4.25,
            count: 4,
        };
        let chunk = Chunk::render(&family(
            &HISTOGRAM,
            vec![(vec![("key", "k".into())], Value::Histogram(distribution))],
        ));
        assert_eq!(
            shown(&chunk),
            [
                (Suffix::Bucket, "key=\"k\",le=\"0.5\"", "1"),
                (Suffix::Bucket, "key=\"k\",le=\"1.0\"", "3"),
                (Suffix::Bucket, "key=\"k\",le=\"+Inf\"", "4"),
                (Suffix::Sum, "key=\"k\"", "4.25"),
                (Suffix::Count, "key=\"k\"", "4"),
            ]
        );
    }

    #[test]
    fn histograms_whose_buckets_fall_are_left_out() {
        for buckets in [vec![(1.0, 3), (2.0, 2)], vec![(2.0, 1), (1.0, 2)], vec![(1.0, 9)]] {
            let distribution = Distribution {
                buckets,
                sum: 1.0,
                count: 4,
            };
            let chunk = Chunk::render(&family(&HISTOGRAM, vec![(vec![], Value::Histogram(distribution))]));
            assert_eq!((chunk.series, chunk.dropped.invalid), (0, 1));
        }
    }

    #[test]
    fn a_sample_beyond_the_limit_is_left_out_whole() {
        let long = "x".repeat(MAX_CHUNK_BYTES);
        let chunk = Chunk::render(&family(
            &GAUGE,
            vec![
                (vec![("key", long.into())], Value::Number(1.0)),
                (vec![("key", "short".into())], Value::Number(2.0)),
            ],
        ));
        assert_eq!(shown(&chunk), [(Suffix::None, "key=\"short\"", "2")]);
        assert_eq!(chunk.dropped.limit, 1);
    }

    #[test]
    fn a_label_block_is_joined_with_commas() {
        assert_eq!(
            label_block([("environment", "a\"b"), ("instance", "redis-1")]),
            "environment=\"a\\\"b\",instance=\"redis-1\""
        );
    }
}
