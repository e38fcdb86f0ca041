//! What the exporter says about itself: logs, and the live metrics of this process.

mod clusters;
mod descriptors;
mod logging;
mod process;
mod web;

pub use descriptors::DESCRIPTORS;
pub use logging::{LogFormat, LogLevel, LoggingError, init_logging};

use crate::exposition::{Dialect, own};
use crate::metric::{DURATION_BUCKETS_SECONDS, Descriptor, MetricKind};
use crate::snapshot::clusters::ClusterFacts;
use process::ProcessMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What was built. The values come from the environment of the compiler; what it does not name is `unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BuildInfo {
    /// The package's version.
    pub version: &'static str,
    /// The commit, from `REDIS_SESSION_EXPORTER_REVISION`.
    pub revision: &'static str,
    /// The version of the compiler, e.g. `1.95.0`.
    pub rustc: &'static str,
}

/// When this was built, from `REDIS_SESSION_EXPORTER_BUILD_DATE`.
const BUILD_DATE: &str = match option_env!("REDIS_SESSION_EXPORTER_BUILD_DATE") {
    Some(date) => date,
    None => UNKNOWN,
};

const UNKNOWN: &str = "unknown";

impl BuildInfo {
    /// The build that runs.
    pub const THIS: Self = Self {
        version: env!("CARGO_PKG_VERSION"),
        revision: match option_env!("REDIS_SESSION_EXPORTER_REVISION") {
            Some(revision) => revision,
            None => UNKNOWN,
        },
        rustc: env!("BUILD_RUSTC"),
    };
}

/// The same under the labels of `redis_exporter`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CompatibleBuildInfo {
    version: &'static str,
    commit_sha: &'static str,
    build_date: &'static str,
    /// No Go was involved; the label exists because dashboards group by it.
    golang_version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

/// The live metrics of this process. It owns its registry; nothing here is global.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    /// The one of them that redis_exporter keeps with `--redis-only-metrics`.
    redis_only: Registry,
    probe_errors: Counter,
    reload_successful: Gauge,
    reload_seconds: Gauge<f64, AtomicU64>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    duplicates: Counter,
    clusters: clusters::ClusterMetrics,
    web: web::WebMetrics,
}

/// Adds one to a gauge for as long as it lives.
#[derive(Debug)]
pub struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Telemetry {
    /// Registers everything. `runtime` is where `redis_session_exporter_tasks_alive` is read; without it the metric is absent.
    pub fn new(build: BuildInfo, runtime: Option<tokio::runtime::Handle>) -> Self {
        let mut registry = Registry::default();
        let compatible = CompatibleBuildInfo {
            version: build.version,
            commit_sha: build.revision,
            build_date: BUILD_DATE,
            golang_version: "none",
        };
        let build_info: Family<BuildInfo, Gauge> = Family::default();
        build_info.get_or_create(&build).set(1);
        let compatible_build_info: Family<CompatibleBuildInfo, Gauge> = Family::default();
        compatible_build_info.get_or_create(&compatible).set(1);
        let telemetry = Self {
            probe_errors: Counter::default(),
            reload_successful: Gauge::default(),
            reload_seconds: Gauge::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS_SECONDS)),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            duplicates: Counter::default(),
            clusters: clusters::ClusterMetrics::default(),
            web: web::WebMetrics::default(),
            registry: Registry::default(),
            redis_only: Registry::default(),
        };
        register(&mut registry, descriptors::BUILD_INFO, build_info);
        register(&mut registry, descriptors::COMPATIBLE_BUILD_INFO, compatible_build_info);
        register(&mut registry, descriptors::PROBE_ERRORS, telemetry.probe_errors.clone());
        register(
            &mut registry,
            descriptors::RELOAD_SUCCESSFUL,
            telemetry.reload_successful.clone(),
        );
        register(
            &mut registry,
            descriptors::RELOAD_SECONDS,
            telemetry.reload_seconds.clone(),
        );
        telemetry.web.register(&mut registry);
        telemetry.clusters.register(&mut registry);
        register(&mut registry, descriptors::REQUESTS, telemetry.requests.clone());
        register(
            &mut registry,
            descriptors::REQUEST_SECONDS,
            telemetry.request_seconds.clone(),
        );
        register(&mut registry, descriptors::IN_FLIGHT, telemetry.in_flight.clone());
        register(&mut registry, descriptors::CONNECTIONS, telemetry.connections.clone());
        register(&mut registry, descriptors::DUPLICATES, telemetry.duplicates.clone());
        registry.register_collector(Box::new(RuntimeMetrics { runtime }));
        registry.register_collector(Box::new(ProcessMetrics::default()));
        let mut redis_only = Registry::default();
        register(
            &mut redis_only,
            descriptors::PROBE_ERRORS,
            telemetry.probe_errors.clone(),
        );
        Self {
            registry,
            redis_only,
            ..telemetry
        }
    }

    /// The exporter's own section with the end that the dialect demands. Costs about 20 µs.
    pub fn encode(&self, dialect: Dialect) -> String {
        encode(&self.registry, dialect)
    }

    /// What of it stays with `--redis-only-metrics`: refused probes, as in redis_exporter.
    pub fn encode_redis_only(&self, dialect: Dialect) -> String {
        encode(&self.redis_only, dialect)
    }

    /// Notes the end of a request. Every label must come from a bounded set.
    pub fn request_answered(&self, method: &'static str, route: &'static str, code: u16, duration: Duration) {
        let labels = RequestLabels { method, route, code };
        self.requests.get_or_create(&labels).inc();
        let seconds = duration.as_secs_f64();
        self.request_seconds
            .get_or_create(&RouteLabels { route })
            .observe(seconds);
    }

    /// A request begins; it ends when the guard is dropped.
    pub fn request_begins(&self) -> Held {
        Held::new(&self.in_flight)
    }

    /// A connection opens; it closes when the guard is dropped.
    pub fn connection_opens(&self) -> Held {
        Held::new(&self.connections)
    }

    /// `/probe` was asked for nothing, or for something that is not configured.
    pub fn probe_refused(&self) {
        self.probe_errors.inc();
    }

    /// The configuration was read. `unix_seconds` is now, in seconds since 1970.
    pub fn config_read(&self, successful: bool, unix_seconds: f64) {
        self.reload_successful.set(i64::from(successful));
        if successful {
            self.reload_seconds.set(unix_seconds);
        }
    }

    /// The web configuration was read. `unix_seconds` is now, in seconds since 1970.
    pub fn web_config_read(&self, successful: bool, unix_seconds: f64) {
        self.web.read(successful, unix_seconds);
    }

    /// A certificate of our own is in use that ends at this time, in seconds since 1970; handshakes may fail with these reasons from now on.
    pub fn web_certificate_in_use(&self, not_after: i64, reasons: impl IntoIterator<Item = &'static str>) {
        self.web.certificate_in_use(not_after, reasons);
    }

    /// A handshake of an HTTP client failed. The reason must come from a bounded set.
    pub fn tls_handshake_failed(&self, reason: &'static str) {
        self.web.handshake_failed(reason);
    }

    /// What is known of the clusters whose nodes are found out, all of them.
    pub fn clusters_discovered(&self, clusters: &[ClusterFacts]) {
        self.clusters.set(clusters);
    }

    /// The counter that assembled bodies add their left out series to.
    pub fn duplicates(&self) -> Counter {
        self.duplicates.clone()
    }
}

fn encode(registry: &Registry, dialect: Dialect) -> String {
    own::encode(registry, dialect).unwrap_or_else(|_| {
        tracing::error!("The exporter's own metrics could not be encoded and are missing from this answer.");
        dialect.end().to_owned()
    })
}

/// Registers a metric under the name that makes prometheus-client write the descriptor's name.
fn register(registry: &mut Registry, descriptor: &'static Descriptor, metric: impl Metric) {
    let (name, unit) = registered_name(descriptor);
    // The registry ends HELP with a full stop of its own.
    let help = descriptor.help.trim_end_matches('.');
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric),
        None => registry.register(name, help, metric),
    }
}

/// The name without what prometheus-client appends to it (`_total`, the unit), and that unit.
fn registered_name(descriptor: &'static Descriptor) -> (String, Option<Unit>) {
    let stem = match descriptor.kind {
        MetricKind::Counter => descriptor.name.strip_suffix("_total").unwrap_or(descriptor.name),
        _ => descriptor.name,
    };
    let Some(unit) = descriptor.unit() else {
        return (stem.to_owned(), None);
    };
    let stem = stem.strip_suffix(unit).unwrap_or(stem).trim_end_matches('_');
    let unit = match unit {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        other => Unit::Other(other.to_owned()),
    };
    (stem.to_owned(), Some(unit))
}

/// Figures about the asynchronous runtime.
#[derive(Debug)]
struct RuntimeMetrics {
    runtime: Option<tokio::runtime::Handle>,
}

impl Collector for RuntimeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        match &self.runtime {
            Some(runtime) => {
                let tasks = runtime.metrics().num_alive_tasks();
                process::write(&mut encoder, descriptors::TASKS, tasks as f64)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Type and HELP by sample name, as text 0.0.4 announces them.
    fn headers(text: &str) -> BTreeMap<String, (String, String)> {
        let mut headers: BTreeMap<String, (String, String)> = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                headers.entry(name.to_owned()).or_default().1 = help.to_owned();
            }
            if let Some((name, word)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                headers.entry(name.to_owned()).or_default().0 = word.to_owned();
            }
        }
        headers
    }

    #[tokio::test]
    async fn the_table_is_what_the_registry_emits() {
        let telemetry = Telemetry::new(BuildInfo::THIS, Some(tokio::runtime::Handle::current()));
        telemetry.request_answered("GET", "/metrics", 200, Duration::from_millis(1));
        telemetry.clusters_discovered(&[clusters::tests::facts("a", 3)]);
        telemetry.web_config_read(true, 1.0);
        telemetry.web_certificate_in_use(2, ["timeout"]);
        let text = telemetry.encode(Dialect::Text);
        let emitted = headers(&text);
        let expected: BTreeMap<String, (String, String)> = DESCRIPTORS
            .iter()
            .map(|it| (it.name.to_owned(), (it.kind.as_str().to_owned(), it.help.to_owned())))
            .collect();
        assert_eq!(emitted, expected);
        for descriptor in &DESCRIPTORS {
            let line = text
                .lines()
                .find(|line| line.starts_with(descriptor.name))
                .unwrap_or_else(|| panic!("{} has no sample", descriptor.name));
            for label in descriptor.labels {
                assert!(line.contains(&format!("{label}=\"")), "{line}");
            }
        }
    }

    #[test]
    fn openmetrics_ends_as_it_must() {
        let telemetry = Telemetry::new(BuildInfo::THIS, None);
        let open = telemetry.encode(Dialect::OpenMetrics);
        assert!(open.ends_with("\n# EOF\n"));
        assert!(!open.contains("tasks_alive"));
        assert!(!telemetry.encode(Dialect::Text).contains("EOF"));
    }

    #[test]
    fn guards_and_reloads_are_counted() {
        let telemetry = Telemetry::new(BuildInfo::THIS, None);
        let (request, connection) = (telemetry.request_begins(), telemetry.connection_opens());
        telemetry.config_read(true, 1000.5);
        telemetry.config_read(false, 2000.0);
        telemetry.probe_refused();
        let text = telemetry.encode(Dialect::Text);
        for line in [
            "redis_session_exporter_http_requests_in_flight 1",
            "redis_session_exporter_http_connections 1",
            "redis_session_exporter_config_last_reload_successful 0",
            "redis_session_exporter_config_last_reload_success_timestamp_seconds 1000.5",
            "redis_target_scrape_request_errors_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert_eq!(
            telemetry
                .encode_redis_only(Dialect::OpenMetrics)
                .lines()
                .filter(|line| !line.starts_with('#'))
                .collect::<Vec<_>>(),
            ["redis_target_scrape_request_errors_total 1"]
        );
        drop((request, connection));
        assert!(telemetry.encode(Dialect::Text).contains("requests_in_flight 0"));
    }
}
