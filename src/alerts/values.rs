//! What somebody may set about the rules, each once, with the default that is shipped.

use super::{Alert, Priority};
use crate::config::alert_values::{self, AlertOverride, AlertValues, Known, StoreCapacity};
pub use crate::config::alert_values::{Threshold, Unit};
use crate::config::{ConfigErrors, duration::format_duration};
use crate::metric::DURATION_BUCKETS_SECONDS;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

macro_rules! thresholds {
    (@among) => { &[] };
    (@among $values:ident) => { &$values };
    ($($name:ident $unit:ident $default:literal ($lowest:literal .. $highest:literal) $(among $values:ident)? $help:literal;)*) => {
        /// All thresholds, by concern.
        pub const THRESHOLDS: &[Threshold] = &[$(Threshold {
            name: stringify!($name),
            unit: Unit::$unit,
            default: $default,
            range: ($lowest, $highest),
            among: thresholds!(@among $($values)?),
            help: $help,
        }),*];
    };
}

thresholds! {
    // Availability.
    flapping_changes Count 6.0 (2.0 .. 1000.0) "RedisConnectionFlapping: losses and returns of the connection within 15 minutes";
    refused_readings Count 3.0 (1.0 .. 20.0) "SessionWritesRefused: readings within 5 minutes that each show newly refused writes, so that one refused write or a failover of seconds wakes nobody";
    degraded_errors Ratio 0.05 (0.001 .. 1.0) "SessionServiceDegraded: share of operations that fail";
    degraded_latency Seconds 2.0 (0.001 .. 10.0) "SessionServiceDegraded: 95th percentile of the time that operations take";
    error_rate_critical Ratio 0.05 (0.0001 .. 1.0) "SessionOperationErrorRate: share of operations that fail";
    error_rate_elevated Ratio 0.01 (0.0001 .. 1.0) "SessionOperationErrorRateElevated: share of operations that fail";
    operations_floor Count 0.1 (0.0 .. 1000000.0) "Session operations per second below which a share of failed ones says nothing";
    probe_errors_floor Count 0.005 (0.0 .. 1000.0) "SessionServiceDegraded: failed operations of the session probe per second below which they say nothing; one in 5 minutes is 0.0033";
    clients_high Ratio 0.8 (0.01 .. 1.0) "RedisClientsHigh: connected clients as a share of maxclients";
    blocked_clients Count 10.0 (0.0 .. 1000000.0) "RedisBlockedClients: clients that wait in blocking commands; count the workers of a queue that shares the server";
    rejected_connections Count 0.0 (0.0 .. 1000000.0) "RedisRejectedConnections: connections turned away within 5 minutes";
    pool_waiting Count 10.0 (0.0 .. 1000000.0) "SessionPoolSaturated: requests that wait for a connection of the application's pool";
    pool_in_use Ratio 0.9 (0.01 .. 1.0) "SessionPoolSaturated: share of the application's pool that is in use";
    circuit_breaker_opens Count 0.0 (0.0 .. 1000000.0) "SessionCircuitBreakerOpen: openings within 10 minutes";
    job_queue_backlog Count 100.0 (0.0 .. 1000000000.0) "JobQueueBacklog: jobs that wait in the longest queue";
    // Memory.
    memory_critical Ratio 0.9 (0.01 .. 1.0) "RedisMemoryCritical: share of maxmemory that is used";
    memory_high Ratio 0.8 (0.01 .. 1.0) "RedisMemoryHigh: share of maxmemory that is used";
    memory_forecast Seconds 86400.0 (3600.0 .. 2592000.0) "RedisMemoryForecast: memory that is full this soon if it goes on growing";
    fragmentation_high Count 1.5 (1.05 .. 100.0) "RedisFragmentationHigh: resident over used memory";
    fragmentation_floor Bytes 104857600.0 (0.0 .. 1e15) "RedisFragmentationHigh: a server that uses less has a high ratio without losing much";
    evicted_share Ratio 0.5 (0.01 .. 1.0) "SessionsEvicted, RedisEvictingKeys of a cache: share of what ended that was evicted and had not expired or been deleted";
    evicted_floor Count 100.0 (1.0 .. 1e9) "SessionsEvicted, RedisEvictingKeys of a cache: evictions within an hour below which their share says nothing";
    // sessions
    sessions_near_capacity Ratio 0.9 (0.01 .. 1.0) "SessionsNearCapacity: share of the store's capacity that is used";
    sessions_high_watermark Ratio 0.8 (0.01 .. 1.0) "SessionsHighWatermark: share of the store's capacity that is used";
    capacity_forecast Seconds 86400.0 (3600.0 .. 2592000.0) "SessionsCapacityForecast: a store that is full this soon if it goes on growing";
    forecast_floor Ratio 0.5 (0.0 .. 1.0) "SessionsCapacityForecast, RedisMemoryForecast: what is emptier is not forecast";
    usual_wave Count 1.1 (1.0 .. 10.0) "SessionsCapacityForecast, RedisMemoryForecast: up to so many times what was there a day or a week before is the usual wave and no growth";
    sessions_floor Count 100.0 (1.0 .. 1e9) "smallest number of sessions of which a share or a change says anything";
    sessions_growth Count 3.0 (1.1 .. 1000.0) "SessionsActiveSpike: times the number of sessions of five minutes before (3: growth by 200 %)";
    sessions_left Ratio 0.5 (0.01 .. 0.99) "SessionsMassLogout: share of the sessions of five minutes before that is left";
    created_per_minute Count 100.0 (1.0 .. 1e9) "SessionCreationRateSpike: sessions created per minute that are no spike yet";
    created_growth Count 2.0 (1.1 .. 1000.0) "SessionCreationRateSpike: times the rate of the half hour before, of a day and of a week before";
    ttl_too_long Ratio 0.01 (0.0 .. 1.0) "SessionTTLTooLong: share of sessions that live longer than expected";
    without_ttl Ratio 0.05 (0.0 .. 1.0) "SessionsWithoutTTL: share of sessions that never expire";
    cache_hits_low Ratio 0.9 (0.01 .. 1.0) "LowCacheHitRate: share of lookups in the application's session cache that found their session";
    cache_hits_critical Ratio 0.7 (0.01 .. 1.0) "SessionCacheHitRateCritical: share of lookups in the application's session cache that found their session";
    redis_hits_low Ratio 0.8 (0.01 .. 1.0) "RedisLowHitRate: share of lookups by clients that found their key";
    lookups_floor Count 0.5 (0.0 .. 1e9) "hit rates: lookups per second below which their share says nothing";
    key_growth Count 2.0 (1.1 .. 1000.0) "RedisKeyGrowth: times the keys of a day before";
    key_growth_floor Count 10000.0 (1.0 .. 1e12) "RedisKeyGrowth: a database with fewer keys may grow as it likes";
    // latency
    session_latency_critical Seconds 2.0 (0.001 .. 60.0) "SessionLatencyCritical: what one operation in a hundred takes longer than";
    session_latency_high Seconds 0.5 (0.001 .. 60.0) "HighSessionLatency: what one operation in a hundred takes longer than; SessionLatencyCritical: what one PING or probe in twenty must take longer than, too";
    session_latency_operations Count 1.0 (0.01 .. 1000000.0) "HighSessionLatency, SessionLatencyCritical: operations a second below which the server's histogram is not judged, since one in a hundred of so few is a single one";
    ping_latency_high Seconds 0.01 (0.0001 .. 60.0) "HighLatency: what one PING in twenty takes longer than";
    slowlog_entries Count 10.0 (0.1 .. 1000000.0) "RedisSlowlogGrowing: entries in the slow log per minute";
    // tls
    tls_errors Count 0.0 (0.0 .. 1000000.0) "TLSConnectionErrors: handshakes of the exporter that may fail within ten minutes";
    tls_certificate_notice Seconds 2592000.0 (60.0 .. 31536000.0) "RedisTLSCertificateExpiring, P3: what is left of a certificate of the server";
    tls_certificate_soon Seconds 1209600.0 (60.0 .. 31536000.0) "RedisTLSCertificateExpiring, P2: what is left of a certificate of the server";
    tls_certificate_urgent Seconds 604800.0 (60.0 .. 31536000.0) "RedisTLSCertificateExpiring, P1: what is left of a certificate of the server";
    tls_client_certificate_soon Seconds 1209600.0 (60.0 .. 31536000.0) "RedisTLSClientCertificateExpiring, P2: what is left of what the server shows to others or trusts";
    tls_client_certificate_urgent Seconds 259200.0 (60.0 .. 31536000.0) "RedisTLSClientCertificateExpiring, P1: what is left of what the server shows to others or trusts";
    // security
    encryption_error_ratio Ratio 0.01 (0.0001 .. 1.0) "SessionEncryptionErrorRate: encryptions and decryptions that fail, as a share of session operations";
    encryption_errors_least Count 1.0 (0.01 .. 1000000.0) "SessionEncryptionErrorRate: failures per minute below which their share is not judged";
    encryption_errors_uncounted Count 10.0 (0.01 .. 1000000.0) "SessionEncryptionErrorRate: failures per minute where session operations are not counted";
    token_errors Count 20.0 (0.1 .. 1000000.0) "TokenValidationErrorsElevated: tokens per minute that are not valid";
    signature_errors Count 10.0 (0.1 .. 1000000.0) "TokenSignatureAttack: tokens per minute with a wrong signature";
    signature_errors_factor Count 10.0 (1.5 .. 1000.0) "TokenSignatureAttack: how many times as many as in the hour before";
    acl_denied Count 10.0 (0.1 .. 1000000.0) "RedisACLDenied: refusals of one kind per minute; what the server refuses to the exporter stays below";

    // slo. Below 94 % nothing could be spent 14.4 times too fast; beyond 99.999 % one failed PING a day is too much.
    slo_availability_objective Ratio 0.999 (0.94 .. 0.99999) "SessionAvailabilityBudgetBurn: share of PINGs, connects and synthetic sessions that succeed";
    slo_latency_objective Ratio 0.99 (0.94 .. 0.99999) "SessionLatencyBudgetBurn: share of PINGs and synthetic sessions within slo_latency_bound";
    slo_operations_objective Ratio 0.999 (0.94 .. 0.99999) "SessionOperationsBudgetBurn: share of session operations that succeed";
    slo_latency_bound Seconds 0.5 (0.005 .. 10.0) among DURATION_BUCKETS_SECONDS "SessionLatencyBudgetBurn: longest time that is no failure; 5ms, 10ms, 20ms, 50ms, 100ms, 250ms, 500ms, 1s, 2s, 5s or 10s";
    slo_least_failures Count 10.0 (1.0 .. 1000000.0) "Session*BudgetBurn: failures in the long window below which nobody is told; 12 in an hour are what spends the availability 14.4 times too fast";
    slo_operations_floor Count 0.1 (0.0 .. 1000000.0) "SessionOperationsBudgetBurn: operations per second below which nobody is told";

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
    /// Where the runbooks are: `{alert}` stands for the name of the alert, which is appended where that is not there.
    pub runbook_url: String,
    /// Where Grafana is.
    pub dashboard_url: String,
    /// By how much every wait and window is divided: 1 but for rehearsals.
    pub hurry: f64,
    /// How many sessions stores may hold whose exporter names no capacity.
    pub capacity: Vec<StoreCapacity>,
    /// Thresholds that differ from their defaults, or all of them, by name.
    pub thresholds: BTreeMap<&'static str, f64>,
    /// What the label `team` says, by the name of the team.
    pub teams: BTreeMap<&'static str, String>,
    /// What is different about single alerts, by name.
    pub overrides: BTreeMap<&'static str, AlertOverride>,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            selector: "job=\"redis-session-exporter\"".to_owned(),
            production: "environment=~\"prod.*\"".to_owned(),
            runbook_url: "https://runbooks.example.com/redis-session-exporter/".to_owned(),
            dashboard_url: "https://grafana.example.com".to_owned(),
            hurry: 1.0,
            capacity: Vec::new(),
            thresholds: THRESHOLDS
                .iter()
                .map(|threshold| (threshold.name, threshold.default))
                .collect(),
            teams: alert_values::TEAMS
                .into_iter()
                .map(|team| (team, team.to_owned()))
                .collect(),
            overrides: BTreeMap::new(),
        }
    }
}

impl Values {
    /// Reads a file of values; what it leaves out keeps its default.
    ///
    /// # Errors
    /// Every problem of the file with its place.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        alert_values::load(path, known(&names())).map(Self::from)
    }

    /// Reads the text of a file of values; `origin` stands in front of every problem.
    ///
    /// # Errors
    /// As [`Values::load`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigErrors> {
        alert_values::parse(text, origin, known(&names())).map(Self::from)
    }

    /// The value of a threshold with its definition; `None` for a name that there is not.
    pub fn threshold(&self, name: &str) -> Option<(&'static Threshold, f64)> {
        let threshold = THRESHOLDS.iter().find(|threshold| threshold.name == name)?;
        let value = self.thresholds.get(name).copied().unwrap_or(threshold.default);
        Some((threshold, value))
    }

    /// Whether the alert is wanted.
    pub fn wants(&self, alert: &Alert) -> bool {
        self.override_of(alert)
            .and_then(|change| change.enabled)
            .unwrap_or(true)
    }

    /// How long the condition of the alert must hold, before hurry.
    pub fn hold<'a>(&'a self, alert: &'a Alert) -> &'a str {
        let hold = self.override_of(alert).and_then(|change| change.hold.as_deref());
        match hold {
            // What does not wait has no `for` at all.
            Some("0s") => "",
            Some(hold) => hold,
            None => &alert.hold,
        }
    }

    /// How urgent the alert is. What differs is said of the most urgent alert of the name; the others stay as they are, but never become more
    /// urgent than it: who lowers an outage does not mean to be paged for what was a ticket.
    pub fn priority(&self, alert: &Alert) -> Priority {
        let priority = self.override_of(alert).and_then(|change| change.priority);
        let named = |name| Priority::ALL.into_iter().find(|priority| priority.as_label() == name);
        match priority.and_then(named) {
            None => alert.priority,
            Some(priority) if namesakes(alert).all(|other| alert.priority <= other.priority) => priority,
            Some(priority) => priority.max(alert.priority),
        }
    }

    /// Whether another alert of the same name has become as urgent as this one, so that they need another label to be told apart.
    pub fn shares_its_priority(&self, alert: &Alert) -> bool {
        let priority = self.priority(alert);
        self.override_of(alert).is_some_and(|change| change.priority.is_some())
            && namesakes(alert).any(|other| other.priority != alert.priority && self.priority(&other) == priority)
    }

    /// Who owns the alert, as the label says it.
    pub fn team(&self, alert: &Alert) -> &str {
        let own = self.override_of(alert).and_then(|change| change.team.as_deref());
        let team = alert.team.as_label();
        own.unwrap_or_else(|| self.teams.get(team).map_or(team, String::as_str))
    }

    fn override_of(&self, alert: &Alert) -> Option<&AlertOverride> {
        self.overrides.get(alert.name)
    }
}

/// The alerts that have the name of this one, itself among them.
fn namesakes(alert: &Alert) -> impl Iterator<Item = Alert> {
    let alerts = super::alerts().into_iter();
    alerts.filter(|other| other.name == alert.name)
}

/// What may be written in the file.
const fn known<'a>(alerts: &'a [&'static str]) -> Known<'a> {
    Known {
        thresholds: THRESHOLDS,
        alerts,
    }
}

/// The names of all alerts, once each.
fn names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = super::alerts().iter().map(|alert| alert.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl From<AlertValues> for Values {
    fn from(given: AlertValues) -> Self {
        let mut values = Self::default();
        values.thresholds.extend(given.thresholds);
        values.teams.extend(given.teams);
        Self {
            selector: given.selector.unwrap_or(values.selector),
            production: given.production.unwrap_or(values.production),
            runbook_url: given.runbook_url.unwrap_or(values.runbook_url),
            dashboard_url: given.dashboard_url.unwrap_or(values.dashboard_url),
            hurry: given.hurry.unwrap_or(values.hurry),
            capacity: given.capacity,
            thresholds: values.thresholds,
            teams: values.teams,
            overrides: given.alerts,
        }
    }
}

const HEAD: &str = "\
# What `redis-session-exporter rules --values=FILE` renders the alert rules with. Everything here is a default: a file of yours
# needs to name only what is different.

# Matchers that select the series of the exporters in Prometheus, as they stand between the braces of a selector.
selector: 'job=\"redis-session-exporter\"'

# Matchers of the environments where users are, for what is an offence there alone.
production: 'environment=~\"prod.*\"'

# Where the runbooks are. `{alert}` stands for the name of the alert, and without it the name is appended: docs/runbooks of this project in a repository
# of yours is https://git.example.com/redis-session-exporter/docs/runbooks/{alert}.md
runbook_url: https://runbooks.example.com/redis-session-exporter/

# Where Grafana is.
dashboard_url: https://grafana.example.com

# For rehearsals: 30 makes every wait and window thirty times shorter, so that a fault is told within seconds. Scrape every second then.
hurry: 1

# What the label `team` says.
teams:
  backend: backend
  ops: ops
  security: security

# Sessions that stores may hold whose exporter names no `capacity`; `instance` and `environment` are optional, and what names them goes before what does not.
# capacity:
#   - { store: web, sessions: 100000 }
#   - { store: web, instance: redis-2, environment: production, sessions: 250000 }
capacity: []

# What is different about single alerts; `for: 0s` does not wait. Where several share a name, `priority` is that of the most urgent one: the others
# keep theirs, but are never more urgent than it. A label `shipped_priority` tells apart what has become equal.
# alerts:
#   RedisMemoryUnlimited: { enabled: off }
#   RedisConnectionLost: { for: 1m, priority: P1, team: platform }
alerts: {}

# When alerts fire. Shares are numbers from 0 to 1, spans of time have units.
thresholds:
";

/// The default values as a file, each with what it decides: `alerts/values.yaml`.
pub fn default_file() -> String {
    let mut text = HEAD.to_owned();
    for threshold in THRESHOLDS {
        let value = match threshold.unit {
            Unit::Seconds => format_duration(Duration::from_secs_f64(threshold.default)),
            Unit::Ratio | Unit::Count | Unit::Bytes => threshold.default.to_string(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  # {}\n  {}: {value}", threshold.help, threshold.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_says_the_defaults() {
        assert_eq!(
            Values::parse(&default_file(), "values.yaml").unwrap(),
            Values::default()
        );
    }

    /// `UPDATE=1 cargo test --lib alerts` writes it.
    #[test]
    fn the_shipped_file_is_the_default_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/values.yaml");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, default_file()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), default_file());
    }

    #[test]
    fn every_default_lies_in_its_range() {
        for threshold in THRESHOLDS {
            let (lowest, highest) = threshold.range;
            assert!((lowest..=highest).contains(&threshold.default), "{}", threshold.name);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_what_to_write() {
        let text = "\
selector: job=x
runbook_url: runbooks
hurry: 0.5
teams: { sales: x }
thresholds:
  memory_hihg: 0.5
  memory_critical: 90
capacity:
  - { store: web }
alerts:
  RedisConnectionLos: { enabled: off }
  RedisConnectionLost: { priority: P9, for: 5 }
surprise: 1
";
        let errors = Values::parse(text, "values.yaml").unwrap_err().to_string();
        for expected in [
            "values.yaml:1:11: selector: must be matchers of PromQL",
            "values.yaml:2:14: runbook_url: must be an address that begins with",
            "values.yaml:3:8: hurry: must be a number from 1 to 60",
            "teams.sales: `sales` is not a known key",
            "thresholds: has a threshold that there is not; did you mean `memory_high`?",
            "thresholds.memory_critical: must be a number from",
            "capacity[0]: needs `sessions`",
            "alerts: names an alert that there is not; did you mean `RedisConnectionLost`?",
            "alerts.RedisConnectionLost.priority: must be one of P0, P1, P2, P3",
            "alerts.RedisConnectionLost.for: has no unit",
            "surprise: `surprise` is not a known key",
        ] {
            assert!(errors.contains(expected), "{expected}\n{errors}");
        }
    }

    #[test]
    fn single_alerts_may_differ() {
        let values = Values::parse(
            "teams: { backend: login }\nalerts:\n  RedisConnectionLost: { for: 0s, priority: P1 }\n",
            "values.yaml",
        )
        .unwrap();
        let alert = super::super::alerts()
            .into_iter()
            .find(|alert| alert.name == "RedisConnectionLost")
            .unwrap();
        assert_eq!(
            (values.hold(&alert), values.priority(&alert), values.team(&alert)),
            ("", Priority::P1, "login")
        );
        assert!(values.wants(&alert));
    }

    #[test]
    fn a_priority_is_that_of_the_most_urgent_alert_of_its_name() {
        let priorities = |priority: &str| -> Vec<Priority> {
            let text = format!("alerts: {{ RedisTLSCertificateExpiring: {{ priority: {priority} }} }}");
            let values = Values::parse(&text, "values.yaml").unwrap();
            let alerts = super::super::alerts().into_iter();
            let mut priorities: Vec<Priority> = alerts
                .filter(|alert| alert.name == "RedisTLSCertificateExpiring")
                .map(|alert| values.priority(&alert))
                .collect();
            priorities.sort_unstable();
            priorities
        };
        assert_eq!(priorities("P0"), [Priority::P0, Priority::P2, Priority::P3]);
        assert_eq!(priorities("P2"), [Priority::P2, Priority::P2, Priority::P3]);
        assert_eq!(priorities("P3"), [Priority::P3; 3]);
    }
}
