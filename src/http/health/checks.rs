//! The single checks behind a verdict, each with a sentence.

use super::{Known, Status};
use crate::collectors::application::published::Published;
use serde::Serialize;
use std::collections::BTreeMap;

/// Names that `?check=` takes.
pub(super) const SELECTABLE: [&str; 5] = ["connectivity", "memory", "pool", "performance", "persistence"];

/// Whether `?check=wanted` asks for the check `name`. What is judged by INFO comes with the check `info`, so that a check that cannot
/// be judged because INFO is missing does not pass for a good one.
pub(super) fn is_asked_for(name: &str, wanted: &str) -> bool {
    match wanted {
        "connectivity" => matches!(name, "connectivity" | "connect"),
        "memory" | "performance" | "persistence" => name == wanted || name == "info",
        _ => name == wanted,
    }
}

/// Memory in percent of the limit above which logins are soon refused (document 000 section 4).
const HIGH_MEMORY_PERCENT: f64 = 90.0;

/// Hit rate in percent below which a session cache does not do its work (document 002, "Health Checks").
pub(super) const LOW_HIT_PERCENT: f64 = 70.0;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// `null` when there is nothing to judge by.
    pub(super) status: Option<Status>,
    /// One sentence.
    pub(super) message: String,
}

fn check(status: impl Into<Option<Status>>, message: impl Into<String>) -> Check {
    Check {
        status: status.into(),
        message: message.into(),
    }
}

/// What is judged beside [`Known`]: figures that belong to the sessions and to the application.
pub(super) struct Judged<'a> {
    /// Lookups that found their session, in percent.
    pub(super) hit_percent: Option<f64>,
    /// What the application publishes.
    pub(super) published: &'a Published,
    /// Sessions that are not encrypted, where that is looked at.
    pub(super) unencrypted: Option<f64>,
}

/// All checks by name.
pub(super) fn all(known: &Known<'_>, judged: &Judged<'_>) -> BTreeMap<&'static str, Check> {
    BTreeMap::from([
        ("connectivity", connectivity(known)),
        ("connect", connect(known)),
        ("info", info(known)),
        ("memory", memory(known)),
        ("pool", pool(judged.published)),
        ("performance", performance(known, judged.hit_percent)),
        ("persistence", persistence(known)),
        ("writes", writes(known)),
        ("expectations", expectations(known)),
        ("encryption", encryption(judged)),
    ])
}

/// Whether the last PING was answered.
pub(super) fn connectivity(known: &Known<'_>) -> Check {
    if known.wedged {
        return check(
            Status::Unhealthy,
            "The task that polls this instance has stopped; restart the exporter.",
        );
    }
    match known.connected {
        Some(true) => check(Status::Healthy, "The last PING was answered."),
        Some(false) => {
            let reason = known.details.errors.last().map(|error| error.sentence.clone());
            check(
                Status::Unhealthy,
                reason.unwrap_or_else(|| "The last PING was not answered.".to_owned()),
            )
        }
        None => check(
            Status::Unhealthy,
            "No poll has ended yet, so nothing is known about this instance.",
        ),
    }
}

/// Whether a new client gets in, while those already connected may work.
fn connect(known: &Known<'_>) -> Check {
    match known.fresh_connection() {
        Some(Ok(())) => check(Status::Healthy, "The last fresh connection was let in."),
        Some(Err(sentence)) => check(Status::Degraded, format!("New clients do not get in: {sentence}.")),
        None => check(
            None,
            "No fresh connection was tried yet, or the collector connect is off.",
        ),
    }
}

/// Whether INFO, by which most other checks judge, can be read while PING is answered.
fn info(known: &Known<'_>) -> Check {
    let details = known.details;
    if known.info.is_some() {
        return check(Status::Healthy, "There is a recent INFO of this instance.");
    }
    if known.connected != Some(true) || !details.first_poll_ended {
        return no_info();
    }
    match (&details.info_failure, &details.info) {
        (Some(sentence), _) => check(Status::Degraded, format!("INFO cannot be read: {sentence}.")),
        (None, Some(_)) => check(
            Status::Degraded,
            "The last INFO of this instance is too old to be shown.",
        ),
        (None, None) => check(None, "INFO was not read yet, or no collector that needs it is on."),
    }
}

/// Used memory against `maxmemory`.
fn memory(known: &Known<'_>) -> Check {
    let Some(info) = known.info else { return no_info() };
    match (known.memory_percent(), info.max_memory_bytes) {
        (Some(percent), _) if percent > HIGH_MEMORY_PERCENT => check(
            Status::Degraded,
            format!("Redis memory critical: {percent:.1}% of maxmemory is used."),
        ),
        (Some(percent), _) => check(Status::Healthy, format!("{percent:.1}% of maxmemory is used.")),
        (None, Some(_)) => check(Status::Healthy, "Redis has no memory limit (maxmemory 0)."),
        (None, None) => check(None, "INFO does not say how much memory Redis may use."),
    }
}

/// The hit rate, where the key space is a session cache or the application counts its own lookups.
fn performance(known: &Known<'_>, hit_percent: Option<f64>) -> Check {
    if known.info.is_none() && hit_percent.is_none() {
        return no_info();
    }
    match hit_percent {
        Some(percent) if percent < LOW_HIT_PERCENT => check(
            Status::Degraded,
            format!("Low hit rate: {percent:.1}% of the lookups find their key."),
        ),
        Some(percent) => check(Status::Healthy, format!("{percent:.1}% of the lookups find their key.")),
        None => match known.ping_seconds() {
            Some(seconds) => check(Status::Healthy, format!("PING takes {:.3} ms.", seconds * 1000.0)),
            None => check(None, "Neither a hit rate nor a round trip is known."),
        },
    }
}

/// Requests of the application that wait for a connection to Redis (document 001, "Connection Pool Metrics").
fn pool(published: &Published) -> Check {
    match (published.pool_pending, published.pool_available) {
        (Some(pending), _) if pending > 0.0 => check(
            Status::Degraded,
            format!("The application's connection pool is exhausted: {pending} requests wait for a connection."),
        ),
        (Some(_), _) => check(
            Status::Healthy,
            "No request waits for a connection of the application's pool.",
        ),
        (None, Some(available)) if available > 0.0 => {
            check(Status::Healthy, "The application's pool has connections to spare.")
        }
        (None, Some(_)) => check(
            None,
            "All connections of the application's pool are in use; whether requests wait is not published.",
        ),
        (None, None) => check(None, "No application publishes its connection pool."),
    }
}

/// Whether the application can encrypt, and whether its sessions are encrypted.
fn encryption(judged: &Judged<'_>) -> Check {
    let key_present = judged.published.encryption_key_present;
    match (key_present, judged.unencrypted) {
        (Some(false), _) => check(
            Status::Degraded,
            "The application says that it has no encryption key, so sessions are stored in the clear.",
        ),
        (_, Some(unencrypted)) if unencrypted > 0.0 => check(
            Status::Degraded,
            format!("About {unencrypted:.0} sessions do not begin as encrypted ones do."),
        ),
        (_, Some(_)) => check(
            Status::Healthy,
            "Every session that was looked at begins as encrypted ones do.",
        ),
        (Some(true), None) => check(Status::Healthy, "The application has its encryption key."),
        (None, None) => check(
            None,
            "No application publishes whether it has its encryption key, and no store has `encryption`.",
        ),
    }
}

/// Whether the last attempts to save succeeded.
fn persistence(known: &Known<'_>) -> Check {
    match known.info.map(|info| info.persistence_ok) {
        Some(Some(true)) => check(Status::Healthy, "The last RDB save and AOF write succeeded."),
        Some(Some(false)) => check(
            Status::Degraded,
            "The last RDB save or AOF write failed; sessions may be lost at a restart, and writes may be refused.",
        ),
        Some(None) => check(None, "INFO does not say how persistence does."),
        None => no_info(),
    }
}

/// Writes that Redis refused while it answered PING.
fn writes(known: &Known<'_>) -> Check {
    match known.info.map(|info| info.new_write_refusals) {
        Some(refusals) if refusals > 0.0 => check(
            Status::Degraded,
            format!(
                "Redis refused writes between the last two polls ({refusals} of them); logins that store a session failed."
            ),
        ),
        Some(_) => check(Status::Healthy, "Redis refused no writes between the last two polls."),
        None => no_info(),
    }
}

/// What the operator expects of the store.
fn expectations(known: &Known<'_>) -> Check {
    match known.info.map(|info| info.unmet_expectations.as_slice()) {
        Some([]) => check(Status::Healthy, "Every configured expectation is met."),
        Some(unmet) => check(
            Status::Degraded,
            format!("Expectations are not met: {}.", unmet.join(", ")),
        ),
        None => no_info(),
    }
}

fn no_info() -> Check {
    check(None, "There is no recent INFO of this instance.")
}
