//! What somebody may set about the rules, each once, with the default that is shipped.

use std::collections::BTreeMap;

/// How a value is written, in PromQL and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share between 0 and 1; for people in percent.
    Ratio,
    /// A span of time that metrics measure in seconds; `500ms` or `24h` in the file of values.
    Seconds,
    /// A plain number; what it counts says the help.
    Count,
}

/// A number that decides when an alert fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Name in the file of values, and of the placeholder.
    pub name: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// Its default; seconds for [`Unit::Seconds`].
    pub default: f64,
    /// Lowest and highest that make sense.
    pub range: (f64, f64),
    /// What it decides, in one sentence for the file of values.
    pub help: &'static str,
}

macro_rules! thresholds {
    ($($name:ident $unit:ident $default:literal ($lowest:literal .. $highest:literal) $help:literal;)*) => {
        /// All thresholds, by concern.
        pub const THRESHOLDS: &[Threshold] = &[$(Threshold {
            name: stringify!($name),
            unit: Unit::$unit,
            default: $default,
            range: ($lowest, $highest),
            help: $help,
        }),*];
    };
}

thresholds! {
    memory_critical Ratio 0.9 (0.01 .. 1.0) "RedisMemoryCritical: share of maxmemory that is used";
    memory_high Ratio 0.8 (0.01 .. 1.0) "RedisMemoryHigh: share of maxmemory that is used";

    // persistence
    backup_age Seconds 86400.0 (1.0 .. 31536000.0) "RedisBackupMissing: age of the last snapshot, where something was written since";
    replication_silence Seconds 30.0 (1.0 .. 86400.0) "RedisReplicationLag: time for which a connected replica has not said how far it is";

    // exporter
    exporter_restarts Count 3.0 (1.0 .. 100.0) "SessionExporterCrashLooping: restarts within a quarter of an hour";
    exporter_stalled Seconds 300.0 (1.0 .. 86400.0) "SessionExporterStalled: age of the last answer to INFO; longer than `poll.info_interval`";
    scan_stale Seconds 900.0 (1.0 .. 604800.0) "SessionScanStale: age of the last complete pass, once its figures have left and no key is examined any more";
    scan_fruitless Seconds 86400.0 (1.0 .. 2592000.0) "SessionScanStale: age of the last complete pass although keys are examined: passes that begin anew without end";
    exporter_certificate_left Seconds 1209600.0 (3600.0 .. 31536000.0) "SessionExporterCertificateExpiring: time until the certificate of the exporter's own server ends";
    events_interruptions Count 4.0 (1.0 .. 1000.0) "SessionEventsLost: interruptions of the subscription within half an hour";
}

/// What the rules are rendered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// Matchers that every selector of a metric of ours gets: `job="redis-session-exporter"`.
    pub selector: String,
    /// Matcher of the environments where users are, for what is an offence there alone.
    pub production: String,
    /// Where the runbooks are; the name of the alert is appended.
    pub runbook_url: String,
    /// Where Grafana is.
    pub dashboard_url: String,
    /// By how much every wait and window is divided: 1 but for rehearsals.
    pub hurry: f64,
    pub(super) thresholds: BTreeMap<&'static str, f64>,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            selector: "job=\"redis-session-exporter\"".to_owned(),
            production: "environment=~\"prod.*\"".to_owned(),
            runbook_url: "https://runbooks.example.com/redis-session-exporter/".to_owned(),
            dashboard_url: "https://grafana.example.com".to_owned(),
            hurry: 1.0,
            thresholds: THRESHOLDS
                .iter()
                .map(|threshold| (threshold.name, threshold.default))
                .collect(),
        }
    }
}

impl Values {
    /// The value of a threshold with its definition; `None` for a name that there is not.
    pub fn threshold(&self, name: &str) -> Option<(&'static Threshold, f64)> {
        let threshold = THRESHOLDS.iter().find(|threshold| threshold.name == name)?;
        let value = self.thresholds.get(name).copied().unwrap_or(threshold.default);
        Some((threshold, value))
    }

    /// Sets a threshold; `false` when there is none of this name or the value is out of its range.
    pub fn set_threshold(&mut self, name: &str, value: f64) -> bool {
        let Some(threshold) = THRESHOLDS.iter().find(|threshold| threshold.name == name) else {
            return false;
        };
        let (lowest, highest) = threshold.range;
        let fits = (lowest..=highest).contains(&value);
        if fits {
            self.thresholds.insert(threshold.name, value);
        }
        fits
    }
}
