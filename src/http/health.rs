//! `/health/redis`: the state of instances as JSON, computed from what the pollers last saw. What is unknown is `null`.

mod cache;
mod checks;

use super::answer::Answer;
use super::query::Query;
use super::{App, is_wedged, rfc3339};
use crate::collectors::application::published::Published;
use crate::config::InstanceConfig;
use crate::snapshot::InstanceSnapshot;
use crate::snapshot::details::{InfoFacts, InstanceDetails};
use checks::{Check, Judged};
use hyper::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// The verdict about an instance, or about several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Healthy,
    Degraded,
    Unhealthy,
}

/// One instance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InstanceHealth {
    status: Status,
    timestamp: String,
    redis: RedisHealth,
    sessions: SessionHealth,
    session_cache: CacheHealth,
    performance: Performance,
    encryption: Encryption,
    checks: BTreeMap<&'static str, Check>,
    errors: Vec<String>,
    #[serde(flatten)]
    detailed: Option<Detailed>,
}

/// Keys are spelt as the requirement documents spell them, some with underscores and some in camel case.
#[derive(Debug, Default, Serialize)]
struct RedisHealth {
    connected: Option<bool>,
    version: Option<String>,
    /// Seconds since the server started.
    uptime: Option<serde_json::Number>,
    latency_ms: Option<f64>,
    memory_pct: Option<f64>,
    #[serde(rename = "usedMemory")]
    used_memory: Option<String>,
    #[serde(rename = "usedMemoryBytes")]
    used_memory_bytes: Option<serde_json::Number>,
    #[serde(rename = "totalKeys")]
    total_keys: Option<serde_json::Number>,
}

#[derive(Debug, Serialize)]
struct SessionHealth {
    /// Sum over the stores; `null` unless every store's count is known.
    active_count: Option<u64>,
    /// Errors that somebody who logs in sees.
    errors_last_hour: Option<serde_json::Number>,
}

#[derive(Debug, Default, Serialize)]
struct CacheHealth {
    enabled: Option<bool>,
    healthy: Option<bool>,
    metrics: Option<CacheMetrics>,
    /// Only an application knows its pool.
    pool: Option<Pool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheMetrics {
    hits: Option<serde_json::Number>,
    misses: Option<serde_json::Number>,
    errors: Option<serde_json::Number>,
    total: Option<serde_json::Number>,
    /// Percent.
    hit_rate: Option<f64>,
    /// Seconds.
    ttl: Option<serde_json::Number>,
}

#[derive(Debug, Serialize)]
struct Pool {
    size: Option<serde_json::Number>,
    available: Option<serde_json::Number>,
    pending: Option<serde_json::Number>,
}

/// Milliseconds.
#[derive(Debug, Default, Serialize)]
struct Performance {
    ping: Option<f64>,
    set: Option<f64>,
    get: Option<f64>,
}

/// Whether sessions are encrypted; only an application knows whether it has its key.
#[derive(Debug, Serialize)]
struct Encryption {
    enabled: Option<bool>,
    key_present: Option<bool>,
}

/// What `detailed=true` adds.
#[derive(Debug, Serialize)]
struct Detailed {
    address: String,
    state: Option<&'static str>,
    collectors: Vec<CollectorHealth>,
    intervals: Intervals,
    last_errors: Vec<LastError>,
}

#[derive(Debug, Serialize)]
struct CollectorHealth {
    name: &'static str,
    success: bool,
    duration_seconds: f64,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Intervals {
    ping_seconds: f64,
    info_seconds: f64,
    scan_seconds: f64,
    connect_seconds: f64,
}

#[derive(Debug, Serialize)]
struct LastError {
    timestamp: String,
    message: String,
}

/// Several instances.
#[derive(Debug, Serialize)]
struct AllHealth {
    status: Status,
    timestamp: String,
    instances: BTreeMap<String, InstanceHealth>,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
struct Wish {
    check: Option<&'static str>,
    detailed: bool,
}

impl Wish {
    /// What the query says, or the sentence for 400.
    fn of(query: &Query<'_>) -> Result<Self, String> {
        let check = match query.first("check") {
            None => None,
            Some(name) => match checks::SELECTABLE.into_iter().find(|known| *known == name) {
                Some(known) => Some(known),
                None => {
                    let names = checks::SELECTABLE.join(", ");
                    return Err(format!("the parameter check must be one of these: {names}"));
                }
            },
        };
        let detailed = query
            .first("detailed")
            .is_some_and(|value| value == "true" || value == "1");
        Ok(Self { check, detailed })
    }
}

fn status_code(status: Status) -> StatusCode {
    match status {
        Status::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        Status::Healthy | Status::Degraded => StatusCode::OK,
    }
}

/// All configured instances: the object itself when there is one, else one object per name.
pub(super) fn all(app: &App, query: &Query<'_>) -> Answer {
    let wish = match Wish::of(query) {
        Ok(wish) => wish,
        Err(sentence) => return Answer::text(StatusCode::BAD_REQUEST, &sentence),
    };
    let (now, wall) = (Instant::now(), SystemTime::now());
    let instances = app.instances();
    if let [(config, snapshot)] = instances.as_slice() {
        let health = health_of(config, snapshot.as_ref(), wish, now, wall);
        return Answer::json(status_code(health.status), &health);
    }
    let instances: BTreeMap<String, InstanceHealth> = instances
        .iter()
        .map(|(config, snapshot)| {
            let health = health_of(config, snapshot.as_ref(), wish, now, wall);
            (config.name.clone(), health)
        })
        .collect();
    let status = if instances.is_empty() && !app.config().clusters.is_empty() {
        // A cluster is being asked for its nodes: nothing is connected yet.
        Status::Unhealthy
    } else {
        overall(instances.values().map(|health| health.status))
    };
    let health = AllHealth {
        status,
        timestamp: rfc3339(wall),
        instances,
    };
    Answer::json(status_code(status), &health)
}

/// One instance by its name.
pub(super) fn one(app: &App, name: &str, query: &Query<'_>) -> Answer {
    let wish = match Wish::of(query) {
        Ok(wish) => wish,
        Err(sentence) => return Answer::text(StatusCode::BAD_REQUEST, &sentence),
    };
    let Some((config, snapshot)) = app.instances().into_iter().find(|(config, _)| config.name == name) else {
        return Answer::text(
            StatusCode::NOT_FOUND,
            "no configured instance has this name; /sd lists them",
        );
    };
    let health = health_of(&config, snapshot.as_ref(), wish, Instant::now(), SystemTime::now());
    Answer::json(status_code(health.status), &health)
}

/// Unhealthy only when every instance is; one that is dead among several makes the whole degraded.
fn overall(statuses: impl Iterator<Item = Status>) -> Status {
    let statuses: Vec<Status> = statuses.collect();
    match (statuses.iter().min(), statuses.iter().max()) {
        (Some(Status::Unhealthy), _) => Status::Unhealthy,
        (_, Some(Status::Degraded | Status::Unhealthy)) => Status::Degraded,
        _ => Status::Healthy,
    }
}

/// What is known of an instance at one moment; facts that are too old are gone.
struct Known<'a> {
    details: &'a InstanceDetails,
    info: Option<&'a InfoFacts>,
    connected: Option<bool>,
    wedged: bool,
}

impl<'a> Known<'a> {
    fn at(details: &'a InstanceDetails, now: Instant) -> Self {
        // A task that has stopped vouches for nothing any more.
        let wedged = is_wedged(details, now);
        let info = details
            .info
            .as_deref()
            .filter(|info| info.expires_at.is_none_or(|expires_at| now < expires_at));
        Self {
            details,
            info,
            connected: details.connected.filter(|_| !wedged),
            wedged,
        }
    }

    /// Seconds of the last PING, while it still says something about now.
    fn ping_seconds(&self) -> Option<f64> {
        self.details.ping_seconds.filter(|_| self.connected == Some(true))
    }

    /// How the last fresh connection ended, as long as the task turns that makes them.
    fn fresh_connection(&self) -> Option<&'a Result<(), String>> {
        self.details.fresh_connection.as_ref().filter(|_| !self.wedged)
    }

    /// Used memory in percent of the limit; `None` without a limit.
    fn memory_percent(&self) -> Option<f64> {
        let info = self.info?;
        let limit = info.max_memory_bytes.filter(|limit| *limit > 0.0)?;
        Some(info.used_memory_bytes? / limit * 100.0)
    }

    /// Sessions over all stores, when every count is fresh.
    fn sessions(&self, now: Instant) -> Option<u64> {
        let stores = &self.details.sessions;
        if stores.is_empty() {
            return None;
        }
        let counts = stores
            .iter()
            .map(|store| (now < store.expires_at).then_some(store.active));
        counts.sum()
    }

    /// Seconds of SET and of GET: round trips of the synthetic session where one is written, else the server's own execution time,
    /// averaged.
    fn operation_seconds(&self, now: Instant) -> (Option<f64>, Option<f64>) {
        match &self.details.session_probe {
            Some(probe) if now < probe.expires_at && !self.wedged => (probe.set_seconds, probe.get_seconds),
            _ => self
                .info
                .map_or((None, None), |info| (info.set_seconds, info.get_seconds)),
        }
    }

    /// What the application publishes about itself, while it is fresh.
    fn published(&self, now: Instant) -> Option<&'a Published> {
        let facts = self.details.application.as_ref()?;
        (now < facts.expires_at && !self.wedged).then_some(&facts.published)
    }

    /// Sessions that are not encrypted, over the stores whose values are looked at.
    fn unencrypted(&self, now: Instant) -> Option<f64> {
        let fresh = self.details.sessions.iter().filter(|store| now < store.expires_at);
        fresh
            .filter_map(|store| store.unencrypted)
            .reduce(|sum, more| sum + more)
    }
}

fn health_of(
    config: &InstanceConfig,
    snapshot: Option<&Arc<InstanceSnapshot>>,
    wish: Wish,
    now: Instant,
    wall: SystemTime,
) -> InstanceHealth {
    let nothing = InstanceDetails::default();
    let details = snapshot.map_or(&nothing, |snapshot| &*snapshot.details);
    let known = Known::at(details, now);
    let (set_seconds, get_seconds) = known.operation_seconds(now);
    let nothing_published = Published::default();
    let published = known.published(now).unwrap_or(&nothing_published);
    let cache = cache::Cache::of(config, &known, published);
    let mut checks = checks::all(
        &known,
        &Judged {
            hit_percent: cache.hit_percent(),
            published,
            unencrypted: known.unencrypted(now),
        },
    );
    if let Some(wanted) = wish.check {
        checks.retain(|name, _| checks::is_asked_for(name, wanted));
    }
    // A check that cannot say anything makes nothing worse; that Redis does not answer is said by `connectivity`, and by
    // every single check that was asked for while it does not.
    let worst = checks.values().filter_map(|check| check.status).max();
    let status = match (known.connected, worst) {
        (Some(true), worst) => worst.unwrap_or(Status::Healthy),
        _ => Status::Unhealthy,
    };
    let mut errors: Vec<String> = checks
        .values()
        .filter(|check| check.status.is_some_and(|status| status > Status::Healthy))
        .map(|check| check.message.clone())
        .collect();
    if errors.is_empty() && status == Status::Unhealthy {
        errors.push(checks::connectivity(&known).message);
    }
    InstanceHealth {
        status,
        timestamp: rfc3339(wall),
        redis: redis_of(&known),
        sessions: SessionHealth {
            active_count: known.sessions(now),
            errors_last_hour: known
                .details
                .errors_last_hour
                .filter(|_| !known.wedged)
                .and_then(number),
        },
        session_cache: cache.health(published),
        performance: Performance {
            ping: known.ping_seconds().map(milliseconds),
            set: set_seconds.map(milliseconds),
            get: get_seconds.map(milliseconds),
        },
        encryption: encryption_of(config, published),
        checks,
        errors,
        detailed: wish.detailed.then(|| detailed_of(config, &known)),
    }
}

/// Encryption is on when a store's values are checked for it or when the application has its key, and off when the application lacks its
/// key and nobody checks.
fn encryption_of(config: &InstanceConfig, published: &Published) -> Encryption {
    let key_present = published.encryption_key_present;
    let is_checked = config
        .sessions
        .configured()
        .iter()
        .any(|store| store.encryption.is_some());
    Encryption {
        enabled: if is_checked { Some(true) } else { key_present },
        key_present,
    }
}

fn redis_of(known: &Known<'_>) -> RedisHealth {
    let info = known.info;
    RedisHealth {
        connected: known.connected,
        version: info
            .map(|info| info.version.clone())
            .filter(|version| !version.is_empty()),
        uptime: info.and_then(|info| info.uptime_seconds).and_then(number),
        latency_ms: known.ping_seconds().map(milliseconds),
        memory_pct: known.memory_percent().map(|percent| rounded(percent, 2)),
        used_memory: info.and_then(|info| info.used_memory_human.clone()),
        used_memory_bytes: info.and_then(|info| info.used_memory_bytes).and_then(number),
        total_keys: info.and_then(|info| info.total_keys).and_then(number),
    }
}

fn detailed_of(config: &InstanceConfig, known: &Known<'_>) -> Detailed {
    let details = known.details;
    Detailed {
        address: config.address.to_string(),
        state: details
            .state
            .map(|state| state.map_or("ok", |reason| reason.as_label())),
        collectors: details
            .collectors
            .iter()
            .map(|collector| CollectorHealth {
                name: collector.name,
                success: collector.success,
                duration_seconds: collector.duration_seconds,
                error: collector.error.clone(),
            })
            .collect(),
        intervals: Intervals {
            ping_seconds: config.poll.ping_interval.as_secs_f64(),
            info_seconds: config.poll.info_interval.as_secs_f64(),
            scan_seconds: config.poll.scan_interval.as_secs_f64(),
            connect_seconds: config.poll.connect_interval.as_secs_f64(),
        },
        last_errors: details
            .errors
            .iter()
            .map(|error| LastError {
                timestamp: rfc3339(error.at),
                message: error.sentence.clone(),
            })
            .collect(),
    }
}

/// Seconds as milliseconds with three decimals.
fn milliseconds(seconds: f64) -> f64 {
    rounded(seconds * 1000.0, 3)
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (value * factor).round() / factor
}

/// A JSON number without a point for whole numbers; `None` for what JSON cannot hold.
fn number(value: f64) -> Option<serde_json::Number> {
    /// Above 2^53 an `f64` no longer holds every whole number, and casting one would suggest digits that are not known.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "whole and within 2^53, so the cast is exact"
        )]
        let whole = value as i64;
        return Some(whole.into());
    }
    serde_json::Number::from_f64(value)
}

#[cfg(test)]
pub(super) mod tests;
