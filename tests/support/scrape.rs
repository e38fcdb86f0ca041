//! What `/metrics` said, parsed strictly: a malformed line, a doubled series or a doubled TYPE fails the test that sees it.

use std::collections::{BTreeMap, BTreeSet};

/// One sample line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Metric name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// One exposition.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    /// All samples in their order.
    pub samples: Vec<Sample>,
    /// Type by the name in the TYPE line.
    pub types: BTreeMap<String, String>,
    /// The text it was parsed from.
    pub text: String,
}

impl Scrape {
    /// Parses text 0.0.4 or OpenMetrics 1.0.
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self {
            text: text.to_owned(),
            ..Self::default()
        };
        let mut seen = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("bad TYPE line: {line}"));
                let before = scrape.types.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "two TYPE lines for {name}");
            } else if !line.starts_with('#') && !line.is_empty() {
                let sample = sample(line).unwrap_or_else(|| panic!("bad sample line: {line:?}"));
                assert!(
                    seen.insert((sample.name.clone(), sample.labels.clone())),
                    "the series is there twice: {line}"
                );
                scrape.samples.push(sample);
            }
        }
        scrape
    }

    /// All samples of a metric that carry at least these labels.
    pub fn all<'scrape>(&'scrape self, name: &str, labels: &[(&str, &str)]) -> std::vec::IntoIter<&'scrape Sample> {
        let carries =
            |sample: &Sample, label: &str, value: &str| sample.labels.get(label).is_some_and(|is| is == value);
        let found = self.samples.iter().filter(|sample| sample.name == name);
        let found = found.filter(|sample| labels.iter().all(|(label, value)| carries(sample, label, value)));
        found.collect::<Vec<_>>().into_iter()
    }

    /// The value of the one sample that carries at least these labels; `None` when there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name, labels);
        let first = found.next()?;
        assert!(found.next().is_none(), "{name} {labels:?} is not one series");
        Some(first.value)
    }

    /// Whether there is such a sample.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.all(name, labels).next().is_some()
    }

    /// Sum over all samples that carry at least these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).map(|sample| sample.value).sum()
    }

    /// The state of `redis_connection_state` that holds for an instance; exactly one may.
    pub fn state(&self, instance: &str) -> Option<String> {
        let mut holding: Vec<&Sample> = self
            .all("redis_connection_state", &[("instance", instance)])
            .filter(|sample| sample.value == 1.0)
            .collect();
        let last = holding.pop();
        assert!(holding.is_empty(), "two states hold for {instance}");
        last.map(|sample| sample.labels["state"].clone())
    }

    /// The telling lines about one instance (or about all when the text is empty), for messages: without buckets, durations, and
    /// the many that are 0.
    pub fn about(&self, instance: &str) -> String {
        let telling = [
            "redis_up",
            "redis_connection_",
            "redis_ping",
            "redis_connect",
            "session",
        ];
        let lines = self.text.lines().filter(|line| {
            let about = instance.is_empty() || line.contains(&format!("instance=\"{instance}\""));
            let quiet = line.contains("_bucket{") || line.contains("_duration_seconds");
            let zero = line.ends_with(" 0")
                && (line.contains("{reason=") || line.contains("state=") || line.contains("reason="));
            about
                && !quiet
                && !zero
                && telling
                    .iter()
                    .any(|beginning| line.starts_with(beginning) || line.starts_with("redis_session"))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, mut rest) = line.split_at(name_end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        }
    }
    let value = rest.strip_prefix(' ')?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => number.parse().ok()?,
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The unescaped text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                '\\' => '\\',
                '"' => '"',
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}
