//! Instances with one family of every kind, for the tests of this room and of the HTTP server.

use super::catalogue::Catalogue;
use super::chunk::{Chunk, label_block};
use crate::metric::{Descriptor, Distribution, MetricKind, Samples, Value};
use crate::snapshot::details::InstanceDetails;
use crate::snapshot::{InstanceSnapshot, Section, SectionKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the section `memory` may be shown.
pub(crate) const LIFETIME: Duration = Duration::from_secs(45);

/// A counter.
pub(crate) static HITS: Descriptor =
    Descriptor::new(MetricKind::Counter, "fixture_hits_total", "Hits \"quoted\".", "test");
/// A gauge with a label and a unit.
pub(crate) static USED: Descriptor =
    Descriptor::new(MetricKind::Gauge, "fixture_used_bytes", "Bytes\nin use.", "test").with_labels(&["db"]);
/// A summary with the quantile values of the compatibility list.
pub(crate) static PERCENTILES: Descriptor =
    Descriptor::new(MetricKind::Summary, "fixture_percentiles_usec", "Percentiles.", "test").with_labels(&["cmd"]);
/// A distribution that can fall.
pub(crate) static SIZES: Descriptor =
    Descriptor::new(MetricKind::GaugeHistogram, "fixture_size_bytes", "Sizes.", "test");

/// The catalogue of these families.
pub(crate) fn catalogue() -> Catalogue {
    Catalogue::new([&HITS, &USED, &PERCENTILES, &SIZES], &crate::telemetry::DESCRIPTORS)
}

fn section(collector: &'static str, now: Instant, expires_at: Option<Instant>, samples: Samples) -> Arc<Section> {
    Arc::new(Section {
        collector,
        made_at: now,
        expires_at,
        chunks: samples.families().iter().map(Chunk::render).collect(),
    })
}

fn hits() -> Samples {
    let mut samples = Samples::new();
    samples.push(&HITS, 5.0);
    samples
}

fn memory() -> Samples {
    let mut samples = Samples::new();
    samples.push_with(&USED, vec![("db", "db0".into())], 1.5);
    samples.push_value(
        &PERCENTILES,
        vec![("cmd", "get".into())],
        Value::Summary {
            quantiles: vec![("99.9".into(), 2.0)],
            sum: 7.0,
            count: 3,
        },
    );
    samples.push_value(
        &SIZES,
        vec![],
        Value::Histogram(Distribution {
            buckets: vec![(1.0, 1)],
            sum: 9.0,
            count: 2,
        }),
    );
    samples
}

/// An instance with the endless section `stats` and the section `memory`, which lives for [`LIFETIME`].
pub(crate) fn instance(name: &str, now: Instant) -> Arc<InstanceSnapshot> {
    Arc::new(snapshot(name, now, InstanceDetails::default()))
}

/// The same with details.
pub(crate) fn snapshot(name: &str, now: Instant, details: InstanceDetails) -> InstanceSnapshot {
    let key = |collector, part| SectionKey { collector, part };
    InstanceSnapshot {
        name: name.into(),
        environment: "test".into(),
        label_block: label_block([("environment", "test"), ("instance", name)]).into(),
        sections: BTreeMap::from([
            (key("stats", "counters"), section("stats", now, None, hits())),
            (
                key("memory", "values"),
                section("memory", now, Some(now + LIFETIME), memory()),
            ),
        ]),
        details: Arc::new(details),
    }
}

/// An instance of which two sections hold the same series.
pub(crate) fn instance_with_a_duplicate(name: &str, now: Instant) -> Arc<InstanceSnapshot> {
    let mut snapshot = snapshot(name, now, InstanceDetails::default());
    let key = SectionKey {
        collector: "stats",
        part: "values",
    };
    snapshot.sections.insert(key, section("stats", now, None, hits()));
    Arc::new(snapshot)
}

/// Publishes under a registration of its own.
pub(crate) fn publish(store: &crate::snapshot::SnapshotStore, snapshot: InstanceSnapshot) {
    store.publish(store.register(&snapshot.name), snapshot);
}
