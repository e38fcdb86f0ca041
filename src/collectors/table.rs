//! INFO fields that become one number each: a table of rows, and a collector that is nothing but such tables.
//!
//! Adding a metric is adding a row. A row's name, type and scale are those of `redis_exporter`, which is why some names hold
//! no base unit or a gauge's name ends in `_total`; `docs/migration.md` lists where our value differs.

use super::{CollectError, Collector, Options, PollContext, Server};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::info::parse_number;
use crate::redis::{Command, Info};

/// Microseconds in a second: Redis counts execution times in microseconds, Prometheus wants seconds.
pub const MICROSECONDS_PER_SECOND: f64 = 1_000_000.0;

/// Milliseconds in a second: LATENCY LATEST and `avg_ttl` are in milliseconds.
pub const MILLISECONDS_PER_SECOND: f64 = 1_000.0;

/// Bytes in a mebibyte: RediSearch says sizes in megabytes, by which it means these.
pub const MEBIBYTE: f64 = 1_048_576.0;

/// How the text of a field becomes the value of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// The number as it stands.
    Number,
    /// A number of microseconds, published in seconds.
    Microseconds,
    /// `ok` is 1, any other word 0 (`err`, `fail`).
    Status,
}

impl Conversion {
    /// The value, or `None` when the text does not hold one.
    pub fn apply(self, text: &str) -> Option<f64> {
        match self {
            Self::Number => parse_number(text),
            Self::Microseconds => parse_number(text).map(|number| number / MICROSECONDS_PER_SECOND),
            Self::Status => match text.trim() {
                "" => None,
                "ok" => Some(1.0),
                _ => Some(0.0),
            },
        }
    }
}

/// One INFO field and the metric that it becomes.
#[derive(Debug)]
pub struct Row {
    /// Name of the field in INFO.
    pub field: &'static str,
    /// The metric; it has no labels.
    pub descriptor: Descriptor,
    /// How the text becomes the value.
    pub conversion: Conversion,
}

impl Row {
    /// The sample value of this row in `text`. A counter below zero is a server's way to say "not counted" (Dragonfly writes
    /// `rejected_connections:-1`), so it is absent rather than a counter that falls.
    pub fn value(&self, text: &str) -> Option<f64> {
        let value = self.conversion.apply(text)?;
        let is_sentinel = self.descriptor.kind == MetricKind::Counter && value < 0.0;
        (!is_sentinel).then_some(value)
    }
}

/// A row: `row!(Gauge, name, "Server (7.0+)", field, help)`, with `, Microseconds` or `, Status` behind it where the text is not the
/// plain number. The third argument is the section of INFO with the version that brought the field.
macro_rules! row {
    ($kind:ident, $name:literal, $place:literal, $field:literal, $help:literal) => {
        row!($kind, $name, $place, $field, $help, Number)
    };
    ($kind:ident, $name:literal, $place:literal, $field:literal, $help:literal, $conversion:ident) => {
        $crate::collectors::table::Row {
            field: $field,
            descriptor: $crate::metric::Descriptor::new(
                $crate::metric::MetricKind::$kind,
                $name,
                $help,
                concat!("INFO ", $place, ": ", $field),
            ),
            conversion: $crate::collectors::table::Conversion::$conversion,
        }
    };
}
pub(crate) use row;

/// Adds a sample for every row whose field INFO holds with a value that the row understands.
pub fn push_rows(info: &Info, rows: &'static [Row], samples: &mut Samples) {
    for row in rows {
        if let Some(value) = info.get(row.field).and_then(|text| row.value(text)) {
            samples.push(&row.descriptor, value);
        }
    }
}

/// The descriptors of a table.
pub fn row_descriptors(rows: &'static [Row]) -> impl Iterator<Item = &'static Descriptor> {
    rows.iter().map(|row| &row.descriptor)
}

/// A collector that is nothing but a table over INFO.
pub struct TableCollector {
    rows: &'static [Row],
}

impl TableCollector {
    /// A collector of these rows. It takes no options; the parameter is that of [`super::Build::FromReplies`].
    pub fn boxed(rows: &'static [Row], _options: &Options) -> Box<dyn Collector> {
        Box::new(Self { rows })
    }
}

impl Collector for TableCollector {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        Vec::new()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let mut samples = Samples::new();
        push_rows(context.info()?, self.rows, &mut samples);
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROWS: &[Row] = &[
        row!(Counter, "redis_a_total", "Stats", "a", "Help."),
        row!(Gauge, "redis_b", "Stats", "b", "Help."),
        row!(Gauge, "redis_c_seconds", "Stats", "c", "Help.", Microseconds),
        row!(Gauge, "redis_d", "Stats", "d", "Help.", Status),
    ];

    fn samples(text: &str) -> Samples {
        let mut samples = Samples::new();
        push_rows(&Info::parse(text.as_bytes()), ROWS, &mut samples);
        samples
    }

    #[test]
    fn texts_become_values_of_the_right_scale() {
        let samples = samples("a:7\r\nb:-1\r\nc:2589\r\nd:ok\r\n");
        assert_eq!(samples.number("redis_a_total"), Some(7.0));
        assert_eq!(samples.number("redis_b"), Some(-1.0));
        assert_eq!(samples.number("redis_c_seconds"), Some(0.002589));
        assert_eq!(samples.number("redis_d"), Some(1.0));
    }

    #[test]
    fn what_is_no_value_is_absent() {
        let samples = samples("a:-1\r\nb:NaN\r\nc:soon\r\nd:\r\n");
        assert!(samples.is_empty(), "{samples:?}");
    }

    #[test]
    fn any_other_status_is_zero() {
        assert_eq!(samples("d:err").number("redis_d"), Some(0.0));
    }
}
