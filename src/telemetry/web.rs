//! What the exporter says about its own HTTPS and its web configuration. Without them these metrics are absent.

use super::{descriptors, process, register};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// The metrics.
#[derive(Debug, Default)]
pub(super) struct WebMetrics {
    gauges: Arc<Mutex<Gauges>>,
    handshake_failures: Family<ReasonLabels, Counter>,
}

/// What has no label; `None` is not shown.
#[derive(Debug, Clone, Copy, Default)]
struct Gauges {
    successful: Option<bool>,
    /// In seconds since 1970.
    success: Option<f64>,
    /// In seconds since 1970.
    certificate_not_after: Option<i64>,
}

impl WebMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Shown(self.gauges.clone())));
        register(
            registry,
            descriptors::TLS_HANDSHAKE_FAILURES,
            self.handshake_failures.clone(),
        );
    }

    pub(super) fn read(&self, successful: bool, unix_seconds: f64) {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.successful = Some(successful);
        if successful {
            gauges.success = Some(unix_seconds);
        }
    }

    /// The counters of failures are born with the first certificate, so that their first increase is seen.
    pub(super) fn certificate_in_use(&self, not_after: i64, reasons: impl IntoIterator<Item = &'static str>) {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.certificate_not_after = Some(not_after);
        for reason in reasons {
            drop(self.handshake_failures.get_or_create(&ReasonLabels { reason }));
        }
    }

    pub(super) fn handshake_failed(&self, reason: &'static str) {
        self.handshake_failures.get_or_create(&ReasonLabels { reason }).inc();
    }
}

/// The part of them that is shown by a collector, since the registry would show a gauge that nobody has set as 0.
#[derive(Debug)]
struct Shown(Arc<Mutex<Gauges>>);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let gauges = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let values = [
            (
                descriptors::WEB_RELOAD_SUCCESSFUL,
                gauges.successful.map(|successful| f64::from(u8::from(successful))),
            ),
            (descriptors::WEB_RELOAD_SECONDS, gauges.success),
            (
                descriptors::WEB_CERTIFICATE_NOT_AFTER,
                gauges.certificate_not_after.map(|seconds| seconds as f64),
            ),
        ];
        for (descriptor, value) in values {
            if let Some(value) = value {
                process::write(&mut encoder, descriptor, value)?;
            }
        }
        Ok(())
    }
}
