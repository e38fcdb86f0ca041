//! The shape of `application_metrics`: counters, gauges and histograms that the application keeps in Redis.
//!
//! What one item says is decoded and checked here. That a name has one shape over all instances shows only when all are known;
//! only then do metrics come into being, so that a file that is refused leaves nothing behind.

use super::address::MAX_DATABASE;
use super::decode::{Decoder, Field, Fields, Located, TextRule};
use super::names::{RESERVED_APPLICATION_LABELS, Scope, is_label_name};
use super::own_metrics::{self, Taken};
use super::problem::Place;
use super::tree::Kind;
use super::{ApplicationMetricConfig, ApplicationRead};
use crate::metric::{self, DURATION_BUCKETS_SECONDS, Descriptor, MetricKind, TTL_BUCKETS_SECONDS};
use std::collections::{BTreeMap, BTreeSet};

/// Most metrics of one instance: each is a command per poll.
const MAX_METRICS: usize = 200;
/// Longest name of a metric or a label. Names of two hundred bytes fill a line of the exposition.
const MAX_METRIC_NAME_BYTES: usize = 200;
/// Longest key, and longest field of a hash.
const MAX_KEY_BYTES: usize = 1024;
/// Longest label value.
const MAX_VALUE_BYTES: usize = 128;
/// Longest help.
const MAX_HELP_BYTES: usize = 1024;
/// `max_label_values` when nobody names it: as `limits.label_values`.
pub const DEFAULT_MAX_LABEL_VALUES: usize = 50;
/// Upper bound of `max_label_values`, as of `limits.label_values`.
const MAX_MAX_LABEL_VALUES: u64 = 10_000;
/// Most buckets of a histogram: each is a series.
const MAX_BUCKETS: usize = 100;
/// `help` when nobody writes one. It names no key, since HELP is public.
pub const DEFAULT_HELP: &str =
    "Kept in Redis by the application; see application_metrics in the configuration of the exporter.";

/// One item of `application_metrics`, checked for itself.
pub(super) struct MetricDraft {
    name: Located<String>,
    kind: MetricKind,
    help: String,
    label: Option<Located<String>>,
    key: String,
    /// `None` when the address decides.
    database: Option<u32>,
    read: ApplicationRead,
    label_values: Vec<String>,
    max_label_values: usize,
    buckets: Vec<f64>,
}

impl MetricDraft {
    /// Bytes of text and numbers, for the bound on what all instances together keep.
    pub(super) fn weight(&self) -> usize {
        let values: usize = self
            .label_values
            .iter()
            .map(|value| value.len() + size_of::<String>())
            .sum();
        size_of::<ApplicationMetricConfig>() + self.key.len() + values + self.buckets.len() * size_of::<f64>()
    }
}

/// Decodes `application_metrics` of one level; `None` when it was left out.
pub(super) fn application_metrics(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<Vec<MetricDraft>> {
    let field = fields.get("application_metrics")?;
    let items = decoder.items(field, "{ name: jobs_waiting, type: gauge, key: \"metrics:jobs\" }")?;
    if items.len() > MAX_METRICS {
        decoder.refuse(
            field,
            format!("lists more than {MAX_METRICS} metrics; each is a command per poll"),
        );
        return Some(Vec::new());
    }
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut metrics = Vec::new();
    for item in &items {
        let Some(metric) = metric(decoder, item) else {
            continue;
        };
        let place = metric.name.place.unwrap_or(item.place);
        if let Some(first) = places.get(&metric.name.value) {
            let message = format!(
                "repeats the name of the metric at line {}, column {}; put the values into one hash, with a `label`",
                first.line, first.column
            );
            decoder.problems.add(place, &metric.name.path, message);
            continue;
        }
        places.insert(metric.name.value.clone(), place);
        metrics.push(metric);
    }
    Some(metrics)
}

fn metric(decoder: &mut Decoder<'_>, item: &Field<'_>) -> Option<MetricDraft> {
    if item.node.is_null() {
        decoder.refuse(
            item,
            "is an empty item; write `name:`, `type:` and `key:`, or remove the `-`",
        );
        return None;
    }
    let fields = decoder.fields(item, Scope::ApplicationMetric);
    if !matches!(item.node.kind, Kind::Mapping { .. }) {
        return None;
    }
    for (key, example) in [
        ("name", "`name: session_encryption_errors_total`"),
        ("type", "`type: counter`"),
        ("key", "`key: \"metrics:session_encryption_errors\"`"),
    ] {
        if fields.get(key).is_none() {
            decoder.refuse(item, format!("has no `{key}`; write for example {example}"));
        }
    }
    let kind = fields.get("type").and_then(|field| kind(decoder, field));
    let name = fields.get("name").and_then(|field| name(decoder, field, kind));
    let key = fields
        .get("key")
        .and_then(|field| decoder.text(field, &TextRule::bytes(MAX_KEY_BYTES)));
    let database = fields.get("db").and_then(|field| {
        let number = decoder.whole_number(field, 0, u64::from(MAX_DATABASE))?;
        u32::try_from(number).ok()
    });
    let label = fields.get("label").map(|field| label(decoder, field));
    let read = read(decoder, item, &fields, kind);
    let (label_values, max_label_values) = label_values(decoder, &fields);
    let buckets = buckets(decoder, &fields, kind, name.as_ref());
    let help = match fields.get("help") {
        Some(field) => decoder.text(field, &TextRule::line(MAX_HELP_BYTES)),
        None => Some(DEFAULT_HELP.to_owned()),
    };
    let name = name?;
    if own_metrics::descriptor(&name.value).is_some()
        && let Some(field) = fields.get("help")
    {
        let message = "is not used: a metric that replaces one of ours keeps our help";
        decoder.problems.warn(field.place, &field.path, message);
    }
    Some(MetricDraft {
        name,
        kind: kind?,
        help: help?,
        // A label that is of no use is a problem already, and not also another shape.
        label: match label {
            Some(label) => Some(label?),
            None => None,
        },
        key: key?,
        database,
        read: read?,
        label_values,
        max_label_values,
        buckets,
    })
}

fn kind(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<MetricKind> {
    match decoder.one_of(field, &["counter", "gauge", "histogram"])? {
        "counter" => Some(MetricKind::Counter),
        "gauge" => Some(MetricKind::Gauge),
        _ => Some(MetricKind::Histogram),
    }
}

fn name(decoder: &mut Decoder<'_>, field: &Field<'_>, kind: Option<MetricKind>) -> Option<Located<String>> {
    let name = decoder.text(field, &TextRule::line(MAX_METRIC_NAME_BYTES))?;
    // A `:` is allowed by the data model and kept for recording rules.
    if !is_label_name(&name) {
        decoder.refuse(
            field,
            "is not the name of a metric; write letters, digits and `_`, not beginning with a digit",
        );
        return None;
    }
    match (own_metrics::replaceable(&name), kind) {
        (Some(ours), Some(kind)) if ours != kind => {
            decoder.refuse(
                field,
                format!("replaces a {} of ours; write `type: {}`", ours.as_str(), ours.as_str()),
            );
            return None;
        }
        (Some(_), _) => {}
        (None, _) if own_metrics::is_own(&name) => {
            let replaceable = own_metrics::REPLACEABLE.map(|(name, _)| format!("`{name}`")).join(", ");
            decoder.refuse(
                field,
                format!(
                    "is a name of this exporter or of Prometheus; choose another one. Only {replaceable} may be given by the application in place of ours"
                ),
            );
            return None;
        }
        (None, Some(MetricKind::Counter)) if !name.ends_with("_total") => {
            decoder.refuse(field, "is the name of a counter, which must end in `_total`; add it");
            return None;
        }
        (None, Some(MetricKind::Gauge | MetricKind::Histogram)) if name.ends_with("_total") => {
            decoder.refuse(
                field,
                "ends in `_total`, which says that it is a counter; remove the ending, or write `type: counter`",
            );
            return None;
        }
        (None, _) => {}
    }
    Some(located(field, name))
}

fn label(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let label = decoder.text(field, &TextRule::line(MAX_METRIC_NAME_BYTES))?;
    if !is_label_name(&label) {
        decoder.refuse(
            field,
            "is not a label name; write letters, digits and `_`, not beginning with a digit",
        );
        return None;
    }
    if label.starts_with("__") || RESERVED_APPLICATION_LABELS.contains(&label.as_str()) {
        decoder.refuse(
            field,
            "is a label that Prometheus or every series of an instance uses; choose another name",
        );
        return None;
    }
    Some(located(field, label))
}

/// `read` and `field`, held against the type and the label.
fn read(
    decoder: &mut Decoder<'_>,
    item: &Field<'_>,
    fields: &Fields<'_>,
    kind: Option<MetricKind>,
) -> Option<ApplicationRead> {
    let word = match fields.get("read") {
        Some(field) => Some(decoder.one_of(field, &["auto", "fields", "field", "text", "length"])?),
        None => None,
    };
    let one_field = match fields.get("field") {
        Some(field) => Some(decoder.text(field, &TextRule::bytes(MAX_KEY_BYTES))?),
        None => None,
    };
    let read = match (word, one_field) {
        (None | Some("field"), Some(name)) => ApplicationRead::Field(name),
        (Some(_), Some(_)) => {
            decoder.refuse(
                fields.get("field").unwrap_or(item),
                "names one field of a hash, but `read` says something else; keep one of the two",
            );
            return None;
        }
        (Some("field"), None) => {
            decoder.refuse(
                item,
                "has no `field`; name the field of the hash that `read: field` reads",
            );
            return None;
        }
        (Some("fields"), None) => ApplicationRead::Fields,
        (Some("text"), None) => ApplicationRead::Text,
        (Some("length"), None) => ApplicationRead::Length,
        (_, None) => ApplicationRead::Auto,
    };
    let place = fields.get("read").or_else(|| fields.get("field")).unwrap_or(item);
    let has_label = fields.get("label").is_some();
    let gives_one_value = matches!(
        read,
        ApplicationRead::Field(_) | ApplicationRead::Text | ApplicationRead::Length
    );
    let wrong = if kind == Some(MetricKind::Histogram) && has_label {
        Some("has a `label`, but the fields of a histogram's hash are its buckets; write one histogram for each value")
    } else if kind == Some(MetricKind::Histogram) && gives_one_value {
        Some("gives one value, but a histogram is a hash with a field for each bucket; remove it")
    } else if gives_one_value && has_label {
        Some("gives one value, which has no `label`; remove the label, or write `read: fields`")
    } else if read == ApplicationRead::Fields && kind.is_some_and(|kind| kind != MetricKind::Histogram) && !has_label {
        Some("reads every field of a hash, for which there is no `label`; name the label that the fields become")
    } else if read == ApplicationRead::Length && kind == Some(MetricKind::Counter) {
        Some("gives a length, which also falls; write `type: gauge`")
    } else {
        None
    };
    if let Some(sentence) = wrong {
        decoder.refuse(place, sentence);
        return None;
    }
    Some(read)
}

fn label_values(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> (Vec<String>, usize) {
    for key in ["label_values", "max_label_values"] {
        if let (Some(field), None) = (fields.get(key), fields.get("label")) {
            decoder.refuse(field, "stands without a `label`; name one, or remove this");
        }
    }
    let most = fields
        .get("max_label_values")
        .and_then(|field| decoder.whole_number(field, 1, MAX_MAX_LABEL_VALUES))
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(DEFAULT_MAX_LABEL_VALUES);
    let Some(field) = fields.get("label_values") else {
        return (Vec::new(), most);
    };
    let items = decoder.items_or_one(field);
    if items.len() > most {
        decoder.refuse(
            field,
            format!("lists more than `max_label_values` ({most}); list fewer, or raise that"),
        );
        return (Vec::new(), most);
    }
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut values: Vec<String> = Vec::with_capacity(items.len());
    for item in &items {
        let Some(value) = decoder.text(item, &TextRule::line(MAX_VALUE_BYTES)) else {
            continue;
        };
        if !seen.insert(value.clone()) {
            decoder.refuse(item, "repeats a value of the list; name each once");
        } else {
            values.push(value);
        }
    }
    (values, most)
}

fn buckets(
    decoder: &mut Decoder<'_>,
    fields: &Fields<'_>,
    kind: Option<MetricKind>,
    name: Option<&Located<String>>,
) -> Vec<f64> {
    let is_histogram = kind == Some(MetricKind::Histogram);
    let Some(field) = fields.get("buckets") else {
        return match name {
            _ if !is_histogram => Vec::new(),
            Some(name) if own_metrics::replaceable(&name.value).is_some() => TTL_BUCKETS_SECONDS.to_vec(),
            _ => DURATION_BUCKETS_SECONDS.to_vec(),
        };
    };
    if kind.is_some() && !is_histogram {
        decoder.refuse(field, "belongs to a histogram; remove it, or write `type: histogram`");
        return Vec::new();
    }
    let items = decoder.items_or_one(field);
    if items.is_empty() || items.len() > MAX_BUCKETS {
        decoder.refuse(field, format!("must list 1 to {MAX_BUCKETS} upper bounds"));
        return Vec::new();
    }
    let mut bounds: Vec<f64> = Vec::with_capacity(items.len());
    for item in &items {
        let Some(bound) = decoder.number(item) else {
            continue;
        };
        if bounds.last().is_some_and(|last| *last >= bound) {
            decoder.refuse(
                item,
                "is not above the bound before it; write rising upper bounds, without `+Inf`",
            );
        } else {
            bounds.push(bound);
        }
    }
    bounds
}

fn located(field: &Field<'_>, value: String) -> Located<String> {
    Located {
        value,
        place: Some(field.place),
        path: field.path.clone(),
    }
}

/// What all instances together say about the metrics of the application.
pub(super) struct Shapes {
    by_name: BTreeMap<String, Shape>,
    taken: Taken,
}

struct Shape {
    kind: MetricKind,
    label: Option<String>,
    help: String,
    place: Option<Place>,
    /// Our metric of that name, which it replaces.
    ours: Option<&'static Descriptor>,
    /// The metric, once it came into being.
    defined: Option<&'static Descriptor>,
}

impl Shapes {
    /// Before the first instance.
    pub(super) fn new() -> Self {
        Self {
            by_name: BTreeMap::new(),
            taken: Taken::new(),
        }
    }

    /// Holds the metrics of one instance (`instance_path` in messages) against its own labels and against the metrics of the
    /// instances before it.
    pub(super) fn check(
        &mut self,
        decoder: &mut Decoder<'_>,
        metrics: &[MetricDraft],
        instance_labels: &BTreeMap<String, String>,
        instance_path: &str,
    ) {
        for draft in metrics {
            if let Some(label) = &draft.label
                && instance_labels.contains_key(&label.value)
            {
                let message = format!("is also one of the `labels` of `{instance_path}`; rename one of the two");
                decoder.problems.add(label.place, &label.path, message);
            }
            self.check_shape(decoder, draft);
        }
    }

    fn check_shape(&mut self, decoder: &mut Decoder<'_>, draft: &MetricDraft) {
        let name = &draft.name;
        let label = draft.label.as_ref().map(|label| label.value.clone());
        if let Some(first) = self.by_name.get(&name.value) {
            let differs = if first.kind != draft.kind {
                "type"
            } else if first.label != label {
                "label"
            } else if first.ours.is_none() && first.help != draft.help {
                "help"
            } else {
                return;
            };
            let place = first.place.map_or_else(String::new, |place| {
                format!(" at line {}, column {}", place.line, place.column)
            });
            let message = format!(
                "has another `{differs}` than the metric of the same name{place}; a name has one type, label and help over all instances"
            );
            decoder.problems.add(name.place, &name.path, message);
            return;
        }
        let ours = own_metrics::descriptor(&name.value);
        if let (Some(ours), Some(label)) = (ours, &draft.label)
            && !ours.labels.contains(&label.value.as_str())
        {
            let message = format!(
                "is not a label of our metric that it replaces; known are {}",
                ours.labels.join(", ")
            );
            decoder.problems.add(label.place, &label.path, message);
        }
        if let Err(owner) = self.taken.take(draft.kind, &name.value) {
            let owner = owner.map_or("another metric of the application".to_owned(), |owner| {
                format!("our `{owner}`")
            });
            let message = format!(
                "meets {owner}: a counter also takes its name without `_total` and with `_created`, a histogram its name with `_bucket`, `_sum`, `_count` and `_created`; choose another name"
            );
            decoder.problems.add(name.place, &name.path, message);
        }
        let shape = Shape {
            kind: draft.kind,
            label,
            help: draft.help.clone(),
            place: name.place,
            ours,
            defined: None,
        };
        self.by_name.insert(name.value.clone(), shape);
    }
    /// Makes the metrics of an instance, which [`Shapes::check`] has seen. Called when the whole configuration is known to be right,
    /// since each new shape is kept for the life of the process.
    pub(super) fn define(
        &mut self,
        decoder: &mut Decoder<'_>,
        metrics: &[MetricDraft],
        database: u32,
    ) -> Vec<ApplicationMetricConfig> {
        let mut defined = Vec::with_capacity(metrics.len());
        for draft in metrics {
            let label = draft.label.as_ref().map(|label| label.value.as_str());
            let Some(shape) = self.by_name.get_mut(&draft.name.value) else {
                continue;
            };
            let descriptor = shape
                .ours
                .or(shape.defined)
                .or_else(|| metric::define(draft.kind, &draft.name.value, &draft.help, label));
            shape.defined = descriptor;
            let Some(descriptor) = descriptor else {
                let message = "is one of more than 10,000 different metrics since this process started; start it anew";
                decoder.problems.add(draft.name.place, &draft.name.path, message);
                continue;
            };
            defined.push(ApplicationMetricConfig {
                descriptor,
                label: descriptor.labels.iter().copied().find(|known| Some(*known) == label),
                key: draft.key.clone(),
                database: draft.database.unwrap_or(database),
                read: draft.read.clone(),
                label_values: draft.label_values.clone(),
                max_label_values: draft.max_label_values,
                buckets: draft.buckets.clone(),
            });
        }
        defined
    }
}
