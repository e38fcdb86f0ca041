//! What the health answers show of the application's metrics, by the names that the documents give them.

use crate::metric::{Family, MetricKind, Samples, Value};
use std::collections::BTreeMap;

/// Lookups in the application's session cache that found something.
const CACHE_HITS: &str = "session_cache_hits_total";
/// Lookups that found nothing.
const CACHE_MISSES: &str = "session_cache_misses_total";
/// All lookups.
const CACHE_REQUESTS: &str = "session_cache_requests_total";
/// Lookups that failed.
const CACHE_ERRORS: &str = "session_cache_errors_total";
/// How long an entry of the cache lives.
const CACHE_TTL: &str = "session_cache_ttl_seconds";
/// Connections of the application's pool, by state.
const POOL_CONNECTIONS: &str = "redis_pool_connections";
/// Connections of the pool, where the application keeps that figure by itself.
const POOL_SIZE: &str = "redis_pool_size";
/// Requests that wait for a connection of the pool.
const POOL_PENDING: &str = "redis_pool_pending";
/// 1 when the application has its encryption key.
const KEY_PRESENT: &str = "session_encryption_key_present";
/// Tokens that the application refused to accept.
const TOKEN_ERRORS: &str = "tokens_validation_errors_total";

/// States of [`POOL_CONNECTIONS`] in which a connection can be taken.
const AVAILABLE_STATES: [&str; 3] = ["available", "idle", "free"];

/// What the application says about its session cache, its pool and its encryption; what it does not publish is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    /// Lookups that found a session.
    pub cache_hits: Option<f64>,
    /// Lookups that found none.
    pub cache_misses: Option<f64>,
    /// Lookups.
    pub cache_requests: Option<f64>,
    /// Lookups that failed.
    pub cache_errors: Option<f64>,
    /// Seconds that an entry lives.
    pub cache_ttl_seconds: Option<f64>,
    /// Connections of the pool.
    pub pool_size: Option<f64>,
    /// Connections that can be taken.
    pub pool_available: Option<f64>,
    /// Requests that wait for one.
    pub pool_pending: Option<f64>,
    /// Whether the application has its encryption key.
    pub encryption_key_present: Option<bool>,
}

impl Published {
    /// Picks it out of the samples of one turn. Several label values of a metric add up.
    pub fn of(samples: &Samples) -> Self {
        let of = |name| sum(samples, name, |_| true);
        let cache_hits = of(CACHE_HITS);
        let cache_requests = of(CACHE_REQUESTS);
        let difference = |requests: f64, hits: f64| (requests >= hits).then_some(requests - hits);
        let misses_by_requests = cache_requests
            .zip(cache_hits)
            .and_then(|(requests, hits)| difference(requests, hits));
        Self {
            cache_hits,
            cache_misses: of(CACHE_MISSES).or(misses_by_requests),
            cache_requests,
            cache_errors: of(CACHE_ERRORS),
            cache_ttl_seconds: of(CACHE_TTL),
            pool_size: of(POOL_SIZE).or_else(|| of(POOL_CONNECTIONS)),
            pool_available: sum(samples, POOL_CONNECTIONS, |state| AVAILABLE_STATES.contains(&state)),
            pool_pending: of(POOL_PENDING),
            encryption_key_present: of(KEY_PRESENT).map(|value| value > 0.0),
        }
    }
}

fn family<'s>(samples: &'s Samples, name: &str) -> Option<&'s Family> {
    samples.families().iter().find(|family| family.descriptor.name == name)
}

/// Sum over the samples whose first label value passes (an absent label is the empty text). `None` when there is none.
fn sum(samples: &Samples, name: &str, wanted: impl Fn(&str) -> bool) -> Option<f64> {
    let mut total = None;
    for sample in &family(samples, name)?.samples {
        let label = sample.labels.first().map_or("", |(_, value)| value.as_ref());
        if let Value::Number(number) = sample.value
            && wanted(label)
        {
            total = Some(total.unwrap_or_default() + number);
        }
    }
    total
}

/// Whether a counter of this name counts errors that somebody who logs in sees: `session_…_errors_total` and
/// `tokens_validation_errors_total`.
fn counts_errors(name: &str) -> bool {
    name == TOKEN_ERRORS || (name.starts_with("session_") && name.ends_with("_errors_total"))
}

/// How many errors the application counted between turns.
#[derive(Debug, Clone, Default)]
pub struct ErrorDeltas {
    /// Errors by metric at the last turn that read it.
    before: BTreeMap<&'static str, f64>,
}

impl ErrorDeltas {
    /// Errors since the last turn that read the same metric. The first reading of a metric counts nothing, since nobody knows when
    /// those errors happened; a count that fell began again from 0.
    pub fn new_errors(&mut self, samples: &Samples) -> f64 {
        let mut new = 0.0;
        for family in samples.families() {
            let descriptor = family.descriptor;
            if descriptor.kind != MetricKind::Counter || !counts_errors(descriptor.name) {
                continue;
            }
            let now = sum(samples, descriptor.name, |_| true).unwrap_or_default();
            new += match self.before.insert(descriptor.name, now) {
                None => 0.0,
                Some(before) if now < before => now,
                Some(before) => now - before,
            };
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Descriptor, define};

    fn descriptor(kind: MetricKind, name: &str, label: Option<&str>) -> &'static Descriptor {
        define(kind, name, "Test.", label).unwrap()
    }

    /// Name, label and value of a sample.
    type Row = (&'static str, Option<(&'static str, &'static str)>, f64);

    fn samples(values: &[Row]) -> Samples {
        let mut samples = Samples::new();
        for (name, label, value) in values {
            let kind = if name.ends_with("_total") {
                MetricKind::Counter
            } else {
                MetricKind::Gauge
            };
            let descriptor = descriptor(kind, name, label.map(|(name, _)| name));
            let labels = label.map(|(name, value)| (name, value.into()));
            samples.push_with(descriptor, labels.into_iter().collect(), *value);
        }
        samples
    }

    #[test]
    fn everything_that_the_documents_name() {
        let found = Published::of(&samples(&[
            (CACHE_HITS, Some(("layer", "local")), 90.0),
            (CACHE_HITS, Some(("layer", "redis")), 5.0),
            (CACHE_REQUESTS, None, 100.0),
            (CACHE_ERRORS, None, 2.0),
            (CACHE_TTL, None, 300.0),
            (POOL_CONNECTIONS, Some(("state", "idle")), 3.0),
            (POOL_CONNECTIONS, Some(("state", "in_use")), 2.0),
            (POOL_PENDING, None, 0.0),
            (KEY_PRESENT, None, 1.0),
        ]));
        let expected = Published {
            cache_hits: Some(95.0),
            cache_misses: Some(5.0),
            cache_requests: Some(100.0),
            cache_errors: Some(2.0),
            cache_ttl_seconds: Some(300.0),
            pool_size: Some(5.0),
            pool_available: Some(3.0),
            pool_pending: Some(0.0),
            encryption_key_present: Some(true),
        };
        assert_eq!(found, expected);
        assert_eq!(Published::of(&Samples::new()), Published::default());
    }

    #[test]
    fn counted_misses_beat_the_difference_and_an_impossible_one_is_unknown() {
        let counted = samples(&[
            (CACHE_HITS, None, 9.0),
            (CACHE_MISSES, None, 4.0),
            (CACHE_REQUESTS, None, 10.0),
        ]);
        assert_eq!(Published::of(&counted).cache_misses, Some(4.0));
        let impossible = samples(&[(CACHE_HITS, None, 9.0), (CACHE_REQUESTS, None, 8.0)]);
        assert_eq!(Published::of(&impossible).cache_misses, None);
    }

    #[test]
    fn errors_count_from_the_second_reading_on() {
        const ENCRYPTION: &str = "session_encryption_errors_total";
        let mut deltas = ErrorDeltas::default();
        let mut new = |encryption: &[(&'static str, f64)], tokens: f64| {
            let mut values: Vec<Row> = encryption
                .iter()
                .map(|(label, value)| (ENCRYPTION, Some(("error_type", *label)), *value))
                .collect();
            values.push((TOKEN_ERRORS, None, tokens));
            values.push(("job_errors_total", None, 1000.0 * tokens));
            deltas.new_errors(&samples(&values))
        };
        let cases: [(f64, f64); 5] = [
            (new(&[("a", 100.0)], 7.0), 0.0),
            (new(&[("a", 101.0), ("b", 2.0)], 7.0), 3.0),
            // Not read this time, then read again: nothing is lost or counted twice.
            (new(&[], 8.0), 1.0),
            (new(&[("a", 101.0), ("b", 3.0)], 8.0), 1.0),
            // The key was deleted and began again.
            (new(&[("a", 5.0)], 8.0), 5.0),
        ];
        for (found, expected) in cases {
            assert!((found - expected).abs() < f64::EPSILON, "{found} instead of {expected}");
        }
    }
}
