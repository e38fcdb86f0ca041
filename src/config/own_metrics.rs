//! Which names belong to this exporter, so that no metric of the application takes one by accident.

use crate::collectors::ALL;
use crate::metric::{Descriptor, MetricKind};
use std::collections::{BTreeMap, BTreeSet};

/// Our metrics that one of the application replaces for its instance, because the application knows what no key name tells.
pub(super) const REPLACEABLE: [(&str, MetricKind); 3] = [
    ("sessions_created_total", MetricKind::Counter),
    ("sessions_ended_total", MetricKind::Counter),
    ("session_ttl_seconds", MetricKind::Histogram),
];

/// Beginnings of names that the exporter, its process or Prometheus itself writes.
const OWN_PREFIXES: [&str; 4] = ["redis_session_exporter_", "redis_exporter_", "process_", "scrape_"];
/// Names outside of these that no collector lists: two of the exporter about itself that `redis_exporter` gave their names, and those
/// that Prometheus makes.
const OWN_NAMES: [&str; 5] = [
    "redis_target_scrape_request_errors_total",
    "redis_last_key_groups_scrape_duration_milliseconds",
    "up",
    "ALERTS",
    "ALERTS_FOR_STATE",
];

/// The kind of a metric that may be replaced.
pub(super) fn replaceable(name: &str) -> Option<MetricKind> {
    REPLACEABLE
        .into_iter()
        .find_map(|(replaceable, kind)| (replaceable == name).then_some(kind))
}

/// Our own metric with this name.
pub(super) fn descriptor(name: &str) -> Option<&'static Descriptor> {
    ALL.iter()
        .flat_map(|spec| (spec.descriptors)())
        .find(|descriptor| descriptor.name == name)
}

/// Whether a name is one of ours, or looks like one.
pub(super) fn is_own(name: &str) -> bool {
    OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || OWN_NAMES.contains(&name)
        || descriptor(name).is_some()
}

/// Every name that a metric takes in either dialect: its samples, its family, and what OpenMetrics reserves beside them.
///
/// Source: OpenMetrics 1.0, "MetricFamily": names must not clash with the suffixes of another family.
pub(super) fn taken_names(kind: MetricKind, name: &str) -> Vec<String> {
    let (stem, suffixes): (&str, &[&str]) = match kind {
        MetricKind::Counter => match name.strip_suffix("_total") {
            Some(stem) => (stem, &["", "_total", "_created"]),
            None => (name, &[""]),
        },
        MetricKind::Gauge | MetricKind::Unknown => (name, &[""]),
        MetricKind::Histogram => (name, &["", "_bucket", "_sum", "_count", "_created"]),
        MetricKind::GaugeHistogram => (name, &["", "_bucket", "_sum", "_count", "_gsum", "_gcount"]),
        MetricKind::Summary => (name, &["", "_sum", "_count", "_created"]),
    };
    suffixes.iter().map(|suffix| format!("{stem}{suffix}")).collect()
}

/// Who has which name.
pub(super) struct Taken {
    /// Names of ours with the metric that takes them.
    own: BTreeMap<String, BTreeSet<&'static str>>,
    /// Names of the application's metrics with the metrics that take them.
    application: BTreeMap<String, BTreeSet<String>>,
}

impl Taken {
    /// Before the first metric of the application.
    pub(super) fn new() -> Self {
        let mut own: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        for descriptor in ALL.iter().flat_map(|spec| (spec.descriptors)()) {
            for name in taken_names(descriptor.kind, descriptor.name) {
                own.entry(name).or_default().insert(descriptor.name);
            }
        }
        Self {
            own,
            application: BTreeMap::new(),
        }
    }

    /// Takes the names of a metric of the application.
    ///
    /// # Errors
    /// Who has one of them already: the name of our own metric, or `None` for another one of the application.
    pub(super) fn take(&mut self, kind: MetricKind, name: &str) -> Result<(), Option<&'static str>> {
        let wanted = taken_names(kind, name);
        for wanted in &wanted {
            let own = self.own.get(wanted).into_iter().flatten();
            if let Some(owner) = own.into_iter().find(|owner| **owner != name) {
                return Err(Some(owner));
            }
            let others = self.application.get(wanted).into_iter().flatten();
            if others.into_iter().any(|owner| owner != name) {
                return Err(None);
            }
        }
        for wanted in wanted {
            self.application.entry(wanted).or_default().insert(name.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_replaced_has_the_kind_of_ours() {
        for (name, kind) in REPLACEABLE {
            assert_eq!(replaceable(name), Some(kind));
            if let Some(ours) = descriptor(name) {
                assert_eq!(ours.kind, kind, "{name}");
            }
        }
        assert_eq!(replaceable("sessions_active"), None);
    }

    #[test]
    fn our_names_are_known_as_ours() {
        for name in [
            "redis_up",
            "sessions_active",
            "up",
            "process_cpu_seconds_total",
            "redis_session_exporter_build_info",
        ] {
            assert!(is_own(name), "{name}");
        }
        assert!(!is_own("session_encryption_errors_total"));
    }

    #[test]
    fn families_that_would_meet_are_told_apart() {
        let mut taken = Taken::new();
        assert_eq!(taken.take(MetricKind::Histogram, "login_seconds"), Ok(()));
        assert_eq!(
            taken.take(MetricKind::Histogram, "login_seconds"),
            Ok(()),
            "itself again"
        );
        assert_eq!(taken.take(MetricKind::Gauge, "login_seconds_count"), Err(None));
        assert_eq!(taken.take(MetricKind::Gauge, "login_seconds_created"), Err(None));
        assert_eq!(taken.take(MetricKind::Counter, "login_seconds_total"), Err(None));
        assert_eq!(taken.take(MetricKind::Gauge, "login_seconds_info"), Ok(()));
        // `redis_ping_duration_seconds` is our histogram, `redis_pings_total` our counter.
        assert_eq!(
            taken.take(MetricKind::Gauge, "redis_ping_duration_seconds_sum"),
            Err(Some("redis_ping_duration_seconds"))
        );
        assert_eq!(
            taken.take(MetricKind::Gauge, "redis_pings"),
            Err(Some("redis_pings_total"))
        );
        assert_eq!(
            taken.take(MetricKind::Gauge, "redis_pings_created"),
            Err(Some("redis_pings_total"))
        );
    }
}
