//! `sessionCache`: the application's own counters, else those of the server where its key space is sessions.

use super::{CacheHealth, CacheMetrics, Known, Pool, checks, number, rounded};
use crate::collectors::application::published::Published;
use crate::collectors::operations;
use crate::config::InstanceConfig;

/// What is known of lookups of sessions.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Cache {
    is_known: bool,
    hits: Option<f64>,
    misses: Option<f64>,
    total: Option<f64>,
}

impl Cache {
    /// From what the application publishes; else from the server's hits and misses, less our own lookups.
    pub(super) fn of(config: &InstanceConfig, known: &Known<'_>, published: &Published) -> Self {
        let Published {
            cache_hits: hits,
            cache_misses: misses,
            cache_requests: requests,
            ..
        } = *published;
        if hits.is_some() || misses.is_some() || requests.is_some() {
            let sum = hits.zip(misses).map(|(hits, misses)| hits + misses);
            return Self {
                is_known: true,
                hits,
                misses,
                total: requests.or(sum),
            };
        }
        let of_server = || {
            let info = known.info.filter(|_| speaks_of_sessions(config, known))?;
            let hits = (info.keyspace_hits? - info.own_keyspace_hits).max(0.0);
            let misses = (info.keyspace_misses? - info.own_keyspace_misses).max(0.0);
            Some(Self {
                is_known: true,
                hits: Some(hits),
                misses: Some(misses),
                total: Some(hits + misses),
            })
        };
        of_server().unwrap_or_default()
    }

    /// Lookups that found their session, in percent; `None` before the first lookup. More hits than lookups are no rate: the application
    /// counts them at different moments.
    pub(super) fn hit_percent(&self) -> Option<f64> {
        let (hits, total) = self.hits.zip(self.total)?;
        (total > 0.0 && hits <= total).then(|| hits / total * 100.0)
    }

    /// The part of the answer.
    pub(super) fn health(&self, published: &Published) -> CacheHealth {
        let hit_percent = self.hit_percent();
        let whole = |value: Option<f64>| value.and_then(number);
        CacheHealth {
            enabled: self.is_known.then_some(true),
            healthy: hit_percent.map(|percent| percent >= checks::LOW_HIT_PERCENT),
            metrics: (self.is_known || published.cache_errors.is_some() || published.cache_ttl_seconds.is_some()).then(
                || CacheMetrics {
                    hits: whole(self.hits),
                    misses: whole(self.misses),
                    errors: whole(published.cache_errors),
                    total: whole(self.total),
                    hit_rate: hit_percent.map(|percent| rounded(percent, 2)),
                    ttl: whole(published.cache_ttl_seconds),
                },
            ),
            pool: pool(published),
        }
    }
}

/// Whether the server's hits and misses are about sessions: the operator says so, or hardly any key is something else. The same answer as
/// that of the collector `operations`, which also says when they no longer are.
fn speaks_of_sessions(config: &InstanceConfig, known: &Known<'_>) -> bool {
    operations::is_on(config.operations, known.details.are_keys_sessions)
}

/// The pool, where the application publishes anything of it.
fn pool(published: &Published) -> Option<Pool> {
    let figures = [published.pool_size, published.pool_available, published.pool_pending];
    figures.iter().any(Option::is_some).then(|| {
        let [size, available, pending] = figures.map(|figure| figure.and_then(number));
        Pool {
            size,
            available,
            pending,
        }
    })
}
