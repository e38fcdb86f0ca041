//! The order of families in a body, and how each of them may be announced in OpenMetrics.
//!
//! Sample names never change between the dialects. OpenMetrics reserves names around a family (`foo` and `foo_created` for a
//! counter `foo_total`), so a family whose reserved names belong to somebody else is announced as `unknown` under the names
//! of its samples. Which families meet is decided over the whole catalogue and not over what is present in one body, so that
//! a type never changes from one scrape to the next.

use super::chunk::Suffix;
use crate::metric::{Descriptor, MetricKind};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// One header with the lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The name in the header.
    pub name: Cow<'static, str>,
    /// The type in the header.
    pub word: &'static str,
    /// Which lines of the chunks stand below it; `None` means all.
    pub only: Option<Suffix>,
    /// The unit to announce, if any.
    pub unit: Option<&'static str>,
}

/// The headers under which the lines of one family stand, in order. Empty means that the family cannot be written at all
/// because a sample of another family has the same name.
pub type Blocks = Arc<[Block]>;

/// How a family is written in the text format 0.0.4: one header, whatever else there is.
pub fn text_blocks(descriptor: &Descriptor) -> Block {
    let word = match descriptor.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        // 0.0.4 knows no gauge histograms; HELP says that the buckets can fall.
        MetricKind::Histogram | MetricKind::GaugeHistogram => "histogram",
        MetricKind::Summary => "summary",
        MetricKind::Unknown => "untyped",
    };
    Block {
        name: Cow::Borrowed(descriptor.name),
        word,
        only: None,
        unit: None,
    }
}

/// The catalogue of one process: every metric it knows, in the order in which bodies show them.
#[derive(Debug, Default)]
pub struct Catalogue {
    known: HashMap<&'static str, (usize, Blocks)>,
    names: Names,
    conflicts: Vec<String>,
}

impl Catalogue {
    /// Takes the descriptors of all collectors in the order of the catalogue, and those of the exporter's own section, which
    /// is encoded elsewhere but shares the body and so the names.
    pub fn new(order: impl IntoIterator<Item = &'static Descriptor>, own: &'static [Descriptor]) -> Self {
        let order: Vec<&'static Descriptor> = order.into_iter().collect();
        let mut catalogue = Self::default();
        for descriptor in own.iter().chain(order.iter().copied()) {
            catalogue.names.claim_samples(descriptor);
        }
        for descriptor in own {
            if catalogue
                .names
                .resolve(descriptor)
                .first()
                .is_none_or(|block| block.word == "unknown")
            {
                catalogue.conflicts.push(descriptor.name.to_owned());
            }
        }
        for (rank, descriptor) in order.into_iter().enumerate() {
            let blocks = catalogue.names.resolve(descriptor);
            if blocks.is_empty() || catalogue.known.contains_key(descriptor.name) {
                catalogue.conflicts.push(descriptor.name.to_owned());
            }
            catalogue.known.entry(descriptor.name).or_insert((rank, blocks));
        }
        catalogue
    }

    /// Names that cannot be written as they are: two metrics produce the same sample name, or the exporter's own section
    /// meets a metric of an instance. A test over all collectors asserts that this is empty.
    pub fn conflicts(&self) -> &[String] {
        &self.conflicts
    }

    /// Place in the order, for families that the catalogue knows.
    pub fn rank(&self, name: &str) -> Option<usize> {
        self.known.get(name).map(|(rank, _)| *rank)
    }

    /// The OpenMetrics headers of a family that the catalogue knows.
    pub fn known_blocks(&self, name: &str) -> Option<Blocks> {
        self.known.get(name).map(|(_, blocks)| blocks.clone())
    }

    /// The OpenMetrics headers of families that the catalogue does not know, in the same order. They give way to all known
    /// ones.
    pub fn resolve_unknown(&self, descriptors: &[&'static Descriptor]) -> Vec<Blocks> {
        if descriptors.is_empty() {
            return Vec::new();
        }
        let mut names = self.names.clone();
        for descriptor in descriptors {
            names.claim_samples(descriptor);
        }
        descriptors.iter().map(|descriptor| names.resolve(descriptor)).collect()
    }
}

/// Which names are taken.
#[derive(Debug, Clone, Default)]
struct Names {
    /// Sample names, with the family that writes them.
    samples: HashMap<String, &'static str>,
    /// Names that OpenMetrics reserves for a family although no sample has them.
    reserved: HashSet<String>,
}

impl Names {
    /// Notes the sample names of a family. The first family that claims a name keeps it.
    fn claim_samples(&mut self, descriptor: &'static Descriptor) {
        for name in sample_names(descriptor) {
            self.samples.entry(name).or_insert(descriptor.name);
        }
    }

    /// The headers for a family whose sample names were claimed.
    fn resolve(&mut self, descriptor: &'static Descriptor) -> Blocks {
        let stolen = sample_names(descriptor)
            .iter()
            .any(|name| self.samples.get(name).is_some_and(|owner| *owner != descriptor.name));
        if stolen {
            return Arc::from([]);
        }
        let wanted = reserved_names(descriptor);
        let own = sample_names(descriptor);
        let meets_another = wanted
            .iter()
            .any(|name| (self.samples.contains_key(name) && !own.contains(name)) || self.reserved.contains(name))
            || own.iter().any(|name| self.reserved.contains(name));
        let blocks = if meets_another {
            demoted_blocks(descriptor)
        } else {
            self.reserved.extend(wanted);
            preferred_blocks(descriptor)
        };
        // A reserved name of an earlier family may be a sample name of this one; `unknown` under that name would still
        // clash, and nothing can be done but to leave the family out.
        if blocks
            .iter()
            .any(|block| self.reserved.contains(block.name.as_ref()) && meets_another)
        {
            return Arc::from([]);
        }
        Arc::from(blocks)
    }
}

/// Every sample name that a family writes in either dialect.
fn sample_names(descriptor: &Descriptor) -> Vec<String> {
    let name = descriptor.name;
    match descriptor.kind {
        MetricKind::Counter | MetricKind::Gauge | MetricKind::Unknown => vec![name.to_owned()],
        MetricKind::Histogram => suffixed(name, &["_bucket", "_sum", "_count"]),
        MetricKind::GaugeHistogram => suffixed(name, &["_bucket", "_sum", "_count", "_gsum", "_gcount"]),
        MetricKind::Summary => suffixed(name, &["", "_sum", "_count"]),
    }
}

/// Names that OpenMetrics reserves for the preferred form of a family beside its sample names.
fn reserved_names(descriptor: &Descriptor) -> Vec<String> {
    let name = descriptor.name;
    match descriptor.kind {
        MetricKind::Counter => match name.strip_suffix("_total") {
            Some(stem) => suffixed(stem, &["", "_created"]),
            None => Vec::new(),
        },
        MetricKind::Histogram => suffixed(name, &["", "_created"]),
        MetricKind::GaugeHistogram => suffixed(name, &[""]),
        MetricKind::Gauge | MetricKind::Unknown | MetricKind::Summary => Vec::new(),
    }
}

fn suffixed(stem: &str, suffixes: &[&str]) -> Vec<String> {
    suffixes.iter().map(|suffix| format!("{stem}{suffix}")).collect()
}

/// The headers that say most about a family.
fn preferred_blocks(descriptor: &'static Descriptor) -> Vec<Block> {
    let whole = |name: &'static str, word: &'static str| {
        vec![Block {
            name: Cow::Borrowed(name),
            word,
            only: None,
            unit: descriptor.unit().filter(|unit| ends_with_unit(name, unit)),
        }]
    };
    match descriptor.kind {
        MetricKind::Counter => match descriptor.name.strip_suffix("_total") {
            Some(stem) => whole(stem, "counter"),
            // OpenMetrics demands `_total` of counters, and the name must not change.
            None => whole(descriptor.name, "unknown"),
        },
        MetricKind::Gauge => whole(descriptor.name, "gauge"),
        MetricKind::Unknown => whole(descriptor.name, "unknown"),
        MetricKind::Histogram => whole(descriptor.name, "histogram"),
        MetricKind::GaugeHistogram => whole(descriptor.name, "gaugehistogram"),
        // The quantile values 50, 99 and 99.9 of the compatibility list are illegal in a summary of OpenMetrics.
        MetricKind::Summary => demoted_blocks(descriptor),
    }
}

/// `unknown` under the very names of the samples.
fn demoted_blocks(descriptor: &'static Descriptor) -> Vec<Block> {
    let block = |suffix: &'static str, only: Option<Suffix>| {
        let name: Cow<'static, str> = if suffix.is_empty() {
            Cow::Borrowed(descriptor.name)
        } else {
            Cow::Owned(format!("{}{suffix}", descriptor.name))
        };
        let unit = descriptor.unit().filter(|unit| ends_with_unit(&name, unit));
        Block {
            name,
            word: "unknown",
            only,
            unit,
        }
    };
    match descriptor.kind {
        MetricKind::Counter | MetricKind::Gauge | MetricKind::Unknown => vec![block("", None)],
        MetricKind::Histogram => vec![
            block("_bucket", Some(Suffix::Bucket)),
            block("_sum", Some(Suffix::Sum)),
            block("_count", Some(Suffix::Count)),
        ],
        MetricKind::GaugeHistogram => vec![
            block("_bucket", Some(Suffix::Bucket)),
            block("_gsum", Some(Suffix::Sum)),
            block("_gcount", Some(Suffix::Count)),
        ],
        MetricKind::Summary => vec![
            block("", Some(Suffix::None)),
            block("_sum", Some(Suffix::Sum)),
            block("_count", Some(Suffix::Count)),
        ],
    }
}

/// OpenMetrics 1.0, "Unit": a family with a unit has a name that ends in an underscore and the unit.
fn ends_with_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn gauge(name: &'static str) -> Descriptor {
        Descriptor::new(MetricKind::Gauge, name, "Help.", "x")
    }

    const fn counter(name: &'static str) -> Descriptor {
        Descriptor::new(MetricKind::Counter, name, "Help.", "x")
    }

    fn headers(catalogue: &Catalogue, name: &str) -> Vec<(String, &'static str)> {
        catalogue
            .known_blocks(name)
            .unwrap()
            .iter()
            .map(|block| (block.name.to_string(), block.word))
            .collect()
    }

    #[test]
    fn every_kind_has_its_legal_form() {
        static ALL: [Descriptor; 8] = [
            counter("a_total"),
            counter("b"),
            gauge("c_total"),
            gauge("d_info"),
            Descriptor::new(MetricKind::Summary, "e_usec", "Help.", "x"),
            Descriptor::new(MetricKind::GaugeHistogram, "f_seconds", "Help.", "x"),
            Descriptor::new(MetricKind::Histogram, "g_seconds", "Help.", "x"),
            gauge("h_count"),
        ];
        let catalogue = Catalogue::new(&ALL, &[]);
        assert_eq!(headers(&catalogue, "a_total"), [("a".to_owned(), "counter")]);
        assert_eq!(headers(&catalogue, "b"), [("b".to_owned(), "unknown")]);
        assert_eq!(headers(&catalogue, "c_total"), [("c_total".to_owned(), "gauge")]);
        assert_eq!(headers(&catalogue, "d_info"), [("d_info".to_owned(), "gauge")]);
        assert_eq!(
            headers(&catalogue, "e_usec"),
            [
                ("e_usec".to_owned(), "unknown"),
                ("e_usec_sum".to_owned(), "unknown"),
                ("e_usec_count".to_owned(), "unknown"),
            ]
        );
        assert_eq!(
            headers(&catalogue, "f_seconds"),
            [("f_seconds".to_owned(), "gaugehistogram")]
        );
        assert_eq!(
            headers(&catalogue, "g_seconds"),
            [("g_seconds".to_owned(), "histogram")]
        );
        assert_eq!(headers(&catalogue, "h_count"), [("h_count".to_owned(), "gauge")]);
        assert!(catalogue.conflicts().is_empty());
    }

    #[test]
    fn a_counter_gives_way_to_a_gauge_with_its_stem_in_either_order() {
        static FIRST: [Descriptor; 2] = [counter("x_total"), gauge("x")];
        static SECOND: [Descriptor; 2] = [gauge("x"), counter("x_total")];
        for order in [&FIRST, &SECOND] {
            let catalogue = Catalogue::new(order, &[]);
            assert_eq!(headers(&catalogue, "x_total"), [("x_total".to_owned(), "unknown")]);
            assert_eq!(headers(&catalogue, "x"), [("x".to_owned(), "gauge")]);
            assert!(catalogue.conflicts().is_empty());
        }
    }

    #[test]
    fn reserved_created_names_are_respected() {
        static ALL: [Descriptor; 2] = [counter("sessions_total"), counter("sessions_created_total")];
        let catalogue = Catalogue::new(&ALL, &[]);
        assert_eq!(
            headers(&catalogue, "sessions_total"),
            [("sessions".to_owned(), "counter")]
        );
        assert_eq!(
            headers(&catalogue, "sessions_created_total"),
            [("sessions_created_total".to_owned(), "unknown")]
        );
    }

    #[test]
    fn two_metrics_with_the_same_sample_name_are_a_conflict() {
        static ALL: [Descriptor; 2] = [
            gauge("y_count"),
            Descriptor::new(MetricKind::Histogram, "y", "Help.", "x"),
        ];
        let catalogue = Catalogue::new(&ALL, &[]);
        assert_eq!(catalogue.conflicts(), ["y"]);
        assert!(headers(&catalogue, "y").is_empty());
    }

    #[test]
    fn families_outside_the_catalogue_give_way() {
        static ALL: [Descriptor; 1] = [gauge("z")];
        static LATER: Descriptor = counter("z_total");
        let catalogue = Catalogue::new(&ALL, &[]);
        let blocks = catalogue.resolve_unknown(&[&LATER]);
        assert_eq!(blocks[0][0].word, "unknown");
        assert_eq!(blocks[0][0].name, "z_total");
    }

    #[test]
    fn units_are_announced_only_where_the_header_ends_in_them() {
        static ALL: [Descriptor; 3] = [
            counter("cpu_seconds_total"),
            gauge("used_bytes"),
            counter("hits_seconds"),
        ];
        let catalogue = Catalogue::new(&ALL, &[]);
        let unit = |name: &str| catalogue.known_blocks(name).unwrap()[0].unit;
        assert_eq!(unit("cpu_seconds_total"), Some("seconds"));
        assert_eq!(unit("used_bytes"), Some("bytes"));
        assert_eq!(unit("hits_seconds"), Some("seconds"));
    }
}
