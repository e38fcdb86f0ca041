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
    /// A number of bytes; for people in KiB, MiB or GiB.
    Bytes,
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
    // memory
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
