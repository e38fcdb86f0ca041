//! What a metric is: its descriptor, its kind, and the samples of one moment.
//!
//! This module imports nothing of ours, so that every other room can speak of metrics without knowing where their
//! values come from or how they are written.

use std::borrow::Cow;

/// Upper bounds of every duration histogram of ours, in seconds. Part of the contract (alert rules name them).
pub const DURATION_BUCKETS_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Upper bounds of every histogram of times to live, in seconds. Part of the contract (alert rules name them).
pub const TTL_BUCKETS_SECONDS: [f64; 9] = [
    60.0, 300.0, 900.0, 1800.0, 3600.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0,
];

/// Label value of everything that has no value of its own: a session whose source no rule names, or whose `app` found no place.
pub const OTHER: &str = "other";

/// The type of a metric, as the exposition formats name it.
///
/// Source: Prometheus text format 0.0.4 and OpenMetrics 1.0, "Metric types".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A value that only grows, or starts again from zero.
    Counter,
    /// A value that may go up and down.
    Gauge,
    /// Cumulative buckets with a sum and a count that only grow.
    Histogram,
    /// A distribution over what exists now: buckets that may fall. Written as a histogram in text 0.0.4.
    GaugeHistogram,
    /// Quantiles with a sum and a count.
    Summary,
    /// No promise about the meaning: `unknown` in OpenMetrics, `untyped` in text 0.0.4.
    Unknown,
}

impl MetricKind {
    /// The word that the metric catalogue and the text format 0.0.4 use for this kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Unknown => "unknown",
        }
    }
}

/// Everything about a metric that does not change while the process runs.
///
/// Descriptors are constants. From them come the catalogue command, `docs/metrics.md` and the test that no two
/// collectors emit the same name.
#[derive(Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The full sample name as Prometheus stores it, for counters with `_total` where the name has it.
    pub name: &'static str,
    /// The type of the metric.
    pub kind: MetricKind,
    /// The names of the metric's own labels in the order in which they are written, without the labels of the instance.
    pub labels: &'static [&'static str],
    /// One or more English sentences for people who read `HELP`.
    pub help: &'static str,
    /// Where the value comes from: the Redis command and field, with the version that brought it, or "this exporter".
    pub source: &'static str,
}

/// Most metrics that the configuration may define over the life of a process. Each is kept for ever (descriptors are `'static`, since
/// samples are rendered on another task than the one that defines them), a few hundred bytes; a file that is reloaded with the
/// same names adds nothing.
const MAX_DEFINED: usize = 10_000;

/// The metrics that the configuration defined so far.
static DEFINED: std::sync::Mutex<Vec<&'static Descriptor>> = std::sync::Mutex::new(Vec::new());

/// The descriptor of a metric that the configuration defines, `label` being its only label. The same definition gives the same
/// descriptor, so that the samples of several instances are one family.
///
/// Returns `None` when 10,000 different metrics were defined since the process started.
pub fn define(kind: MetricKind, name: &str, help: &str, label: Option<&str>) -> Option<&'static Descriptor> {
    let mut defined = DEFINED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let is_same = |known: &&&'static Descriptor| {
        known.kind == kind && known.name == name && known.help == help && known.labels.first().copied() == label
    };
    if let Some(known) = defined.iter().find(is_same) {
        return Some(known);
    }
    if defined.len() >= MAX_DEFINED {
        return None;
    }
    let keep = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let labels: Vec<&'static str> = label.map(keep).into_iter().collect();
    let descriptor: &'static Descriptor = Box::leak(Box::new(Descriptor {
        name: keep(name),
        kind,
        labels: Vec::leak(labels),
        help: keep(help),
        source: "the application, by `application_metrics`",
    }));
    defined.push(descriptor);
    Some(descriptor)
}

/// Base units that OpenMetrics may announce in `# UNIT`, as they end a name.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

impl Descriptor {
    /// A descriptor without labels of its own.
    pub const fn new(kind: MetricKind, name: &'static str, help: &'static str, source: &'static str) -> Self {
        Self {
            name,
            kind,
            labels: &[],
            help,
            source,
        }
    }

    /// The same descriptor with label names.
    pub const fn with_labels(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }

    /// The base unit that the name ends with (before `_total`), if it is one of the announced ones.
    pub fn unit(&self) -> Option<&'static str> {
        let stem = match self.kind {
            MetricKind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            _ => self.name,
        };
        UNITS
            .into_iter()
            .find(|unit| stem.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }
}

/// One label of a sample: a name from the descriptor and its value of this moment.
///
/// Values may hold any valid UTF-8; the encoder escapes them.
pub type Label = (&'static str, Cow<'static, str>);

/// The value of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A plain number: counter, gauge, unknown.
    Number(f64),
    /// A distribution: histogram or gauge histogram.
    Histogram(Distribution),
    /// Quantiles of a summary. The quantile labels are written as given, since the compatibility list forces `50`, `99`, `99.9`.
    Summary {
        /// Quantile label and value.
        quantiles: Vec<(Cow<'static, str>, f64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of all observations.
        count: u64,
    },
}

/// Cumulative buckets in rising order of their upper bounds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// `(upper bound, observations at or below it)`; the `+Inf` bucket is not listed, `count` is its value.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all observations in the metric's unit.
    pub sum: f64,
    /// Number of all observations.
    pub count: u64,
}

/// One sample of a family: the values of the descriptor's labels, and the value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels in the descriptor's order; optional ones of the compatibility list may be missing.
    pub labels: Vec<Label>,
    /// The value.
    pub value: Value,
}

/// All samples of one metric about one instance at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// What the samples are.
    pub descriptor: &'static Descriptor,
    /// The samples; never two with the same labels.
    pub samples: Vec<Sample>,
}

/// What a collector hands over: families in the order in which they were first named.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    families: Vec<Family>,
    dropped: u64,
}

impl Samples {
    /// No samples yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number without labels.
    pub fn push(&mut self, descriptor: &'static Descriptor, value: f64) {
        self.push_value(descriptor, Vec::new(), Value::Number(value));
    }

    /// Adds a number with labels in the descriptor's order.
    pub fn push_with(&mut self, descriptor: &'static Descriptor, labels: Vec<Label>, value: f64) {
        self.push_value(descriptor, labels, Value::Number(value));
    }

    /// Adds a value of any shape with labels in the descriptor's order.
    pub fn push_value(&mut self, descriptor: &'static Descriptor, labels: Vec<Label>, value: Value) {
        let sample = Sample { labels, value };
        // Samples of one family usually come one after the other, so the search starts at the end.
        match self
            .families
            .iter_mut()
            .rev()
            .find(|family| std::ptr::eq(family.descriptor, descriptor))
        {
            Some(family) => family.samples.push(sample),
            None => self.families.push(Family {
                descriptor,
                samples: vec![sample],
            }),
        }
    }

    /// Adds the samples of another place, family by family.
    pub fn append(&mut self, other: Self) {
        self.dropped = self.dropped.saturating_add(other.dropped);
        for mut family in other.families {
            match self
                .families
                .iter_mut()
                .find(|known| std::ptr::eq(known.descriptor, family.descriptor))
            {
                Some(known) => known.samples.append(&mut family.samples),
                None => self.families.push(family),
            }
        }
    }

    /// Leaves out the families whose descriptor does not pass.
    pub fn retain(&mut self, keep: impl Fn(&Descriptor) -> bool) {
        self.families.retain(|family| keep(family.descriptor));
    }

    /// Notes that `count` label values were left out because the label had taken its largest number of them. Whoever publishes
    /// counts them in `redis_session_exporter_series_dropped_total{reason="label_values"}`; nothing is cut silently.
    pub fn note_dropped(&mut self, count: usize) {
        self.dropped = self.dropped.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// How many label values were left out, see [`Samples::note_dropped`].
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The families collected so far.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// True when nothing was added.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// The number without labels of a family, for tests and for figures derived from other figures.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.number_with(name, &[])
    }

    /// The number of the sample that has exactly these label values, in the descriptor's order.
    pub fn number_with(&self, name: &str, label_values: &[&str]) -> Option<f64> {
        let family = self.families.iter().find(|family| family.descriptor.name == name)?;
        let sample = family.samples.iter().find(|sample| {
            sample
                .labels
                .iter()
                .map(|(_, value)| value.as_ref())
                .eq(label_values.iter().copied())
        })?;
        match sample.value {
            Value::Number(number) => Some(number),
            Value::Histogram(_) | Value::Summary { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SECONDS: Descriptor = Descriptor::new(MetricKind::Counter, "x_seconds_total", "Help.", "INFO: x");
    static PLAIN: Descriptor = Descriptor::new(MetricKind::Gauge, "x_total", "Help.", "INFO: x").with_labels(&["db"]);

    #[test]
    fn unit_is_read_from_the_name() {
        assert_eq!(SECONDS.unit(), Some("seconds"));
        assert_eq!(PLAIN.unit(), None);
    }

    #[test]
    fn samples_of_one_descriptor_form_one_family() {
        let mut samples = Samples::new();
        samples.push_with(&PLAIN, vec![("db", "db0".into())], 1.0);
        samples.push(&SECONDS, 2.0);
        samples.push_with(&PLAIN, vec![("db", "db1".into())], 3.0);
        assert_eq!(samples.families().len(), 2);
        assert_eq!(samples.number_with("x_total", &["db1"]), Some(3.0));
        assert_eq!(samples.number("x_seconds_total"), Some(2.0));
        let mut both = Samples::new();
        both.push_with(&PLAIN, vec![("db", "db7".into())], 7.0);
        both.note_dropped(2);
        both.append(samples);
        assert_eq!((both.families().len(), both.dropped()), (2, 2));
        assert_eq!(both.number_with("x_total", &["db1"]), Some(3.0));
        assert_eq!(both.number_with("x_total", &["db7"]), Some(7.0));
    }
}
