//! What an instance counts over its whole life: they live outside snapshots and survive reconnects and reloads.

use crate::exposition::chunk::Chunk;
use crate::metric::{DURATION_BUCKETS_SECONDS, Distribution, TTL_BUCKETS_SECONDS};
use crate::redis::Reason;
use crate::sessions::events::{EndReason, StoreDelta};
use crate::sessions::loss::GapReason;
use crate::sessions::notifications::EventKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// A histogram that grows.
#[derive(Debug, Clone)]
pub struct Histogram {
    bounds: &'static [f64],
    /// Observations per bucket, not cumulative; one more than bounds, for what lies above the last.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// An empty histogram with these rising upper bounds.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    /// Adds an observation.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum += value;
        }
    }

    /// Adds an observation that is larger than any number: it counts in `+Inf` alone and adds 0 to the sum.
    pub fn observe_endless(&mut self) {
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
        }
    }

    /// The cumulative form.
    pub fn distribution(&self) -> Distribution {
        let mut total = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            total += count;
            buckets.push((*bound, total));
        }
        Distribution {
            buckets,
            sum: self.sum,
            count: self.counts.iter().sum(),
        }
    }
}

/// Counters with one cell per [`Reason`].
#[derive(Debug, Clone, Default)]
pub struct ReasonCounts {
    counts: std::collections::BTreeMap<Reason, u64>,
}

impl ReasonCounts {
    /// Counts one.
    pub fn add(&mut self, reason: Reason) {
        *self.counts.entry(reason).or_insert(0) += 1;
    }

    /// Every reason with its count, 0 where nothing was counted yet: these counters are ours and start at 0.
    pub fn all(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.counts.get(&reason).copied().unwrap_or_default()))
    }
}

/// Sum and count of durations, for summaries without quantiles.
#[derive(Debug, Clone, Copy, Default)]
pub struct DurationSum {
    /// Seconds over all observations.
    pub seconds: f64,
    /// Observations.
    pub count: u64,
}

impl DurationSum {
    /// Adds an observation.
    pub fn observe(&mut self, duration: Duration) {
        self.seconds += duration.as_secs_f64();
        self.count += 1;
    }
}

/// What was left out of the metrics, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Label values beyond a limit; each may stand for several series.
    pub label_values: u64,
    /// Series with the labels of another one.
    pub duplicate: u64,
    /// Values that the exposition formats forbid.
    pub invalid: u64,
    /// Series beyond the largest size of one family.
    pub size: u64,
}

impl Dropped {
    /// Adds what the rendering of a section left out.
    pub fn add(&mut self, chunks: &[Chunk]) {
        for chunk in chunks {
            self.duplicate += chunk.dropped.duplicate as u64;
            self.invalid += chunk.dropped.invalid as u64;
            self.size += chunk.dropped.limit as u64;
        }
    }

    /// Label value of `reason`, and how many.
    pub fn by_reason(&self) -> [(&'static str, u64); 4] {
        [
            ("label_values", self.label_values),
            ("duplicate", self.duplicate),
            ("invalid", self.invalid),
            ("size", self.size),
        ]
    }
}

/// What events showed of one store.
#[derive(Debug, Clone, Default)]
pub struct StoreEvents {
    /// Sessions created, by source.
    pub created: BTreeMap<Box<str>, u64>,
    /// Sessions ended, by reason.
    pub ended: BTreeMap<EndReason, u64>,
    /// TTLs at creation in seconds; `None` before the first.
    pub ttl: Option<Histogram>,
}

impl StoreEvents {
    /// Adds what a report says.
    pub fn add(&mut self, delta: &StoreDelta) {
        for (source, count) in &delta.created {
            *self.created.entry(source.clone()).or_default() += count;
        }
        for (reason, count) in &delta.ended {
            *self.ended.entry(*reason).or_default() += count;
        }
    }

    /// The histogram of TTLs at creation.
    pub fn ttl(&mut self) -> &mut Histogram {
        self.ttl.get_or_insert_with(|| Histogram::new(&TTL_BUCKETS_SECONDS))
    }
}

/// What keyspace notifications showed.
#[derive(Debug, Clone, Default)]
pub struct EventCounts {
    /// By name of the store.
    pub stores: BTreeMap<String, StoreEvents>,
    /// Events by kind, in the order of [`EventKind::ALL`].
    pub received: [u64; EventKind::ALL.len()],
    /// Events known to be lost.
    pub lost: u64,
    /// Gaps by reason, in the order of [`GapReason::ALL`].
    pub gaps: [u64; GapReason::ALL.len()],
    /// Keys made in the stores.
    pub keys_created: u64,
}

/// Everything that one instance accumulates.
#[derive(Debug, Clone)]
pub struct Accumulators {
    /// PINGs sent or owed (a PING that could not be sent because no connection came about counts).
    pub pings: u64,
    /// PINGs that were not answered with PONG.
    pub ping_failures: u64,
    /// Round trips of PING in seconds.
    pub ping_duration: Histogram,
    /// Attempts to connect, of the kept, the fresh, the scanning and the listening connection.
    pub connects: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// Failed exchanges and connects by reason.
    pub errors: ReasonCounts,
    /// INFO batches that ended, well or not.
    pub info_polls: DurationSum,
    /// Keys examined by scans, by database.
    pub scanned_keys: std::collections::BTreeMap<u32, u64>,
    /// Server time taken by scans as estimated from round trips, in seconds, by database.
    pub scan_redis_seconds: std::collections::BTreeMap<u32, f64>,
    /// What keyspace notifications showed.
    pub events: EventCounts,
    /// Per-key commands of ours that the server counts among its hits and misses, by database.
    pub keyspace_lookups: BTreeMap<u32, u64>,
    /// Of these, how many found no key, by database.
    pub keyspace_misses: BTreeMap<u32, u64>,
    /// What was left out of the metrics.
    pub dropped: Dropped,
}

impl Default for Accumulators {
    fn default() -> Self {
        Self {
            pings: 0,
            ping_failures: 0,
            ping_duration: Histogram::new(&DURATION_BUCKETS_SECONDS),
            connects: 0,
            connect_failures: 0,
            errors: ReasonCounts::default(),
            info_polls: DurationSum::default(),
            scanned_keys: std::collections::BTreeMap::new(),
            scan_redis_seconds: std::collections::BTreeMap::new(),
            events: EventCounts::default(),
            keyspace_lookups: BTreeMap::new(),
            keyspace_misses: BTreeMap::new(),
            dropped: Dropped::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_closed_above() {
        let mut histogram = Histogram::new(&DURATION_BUCKETS_SECONDS);
        for value in [0.0005, 0.0006, 3.0, 99.0] {
            histogram.observe(value);
        }
        let distribution = histogram.distribution();
        assert_eq!(distribution.buckets.first(), Some(&(0.0005, 1)));
        assert_eq!(distribution.buckets.get(1), Some(&(0.001, 2)));
        assert_eq!(distribution.buckets.last(), Some(&(10.0, 3)));
        assert_eq!(distribution.count, 4);
        assert!((distribution.sum - 102.0011).abs() < 1e-9);
    }

    #[test]
    fn every_reason_is_born_at_zero() {
        let mut counts = ReasonCounts::default();
        counts.add(Reason::Timeout);
        let all: Vec<_> = counts.all().collect();
        assert_eq!(all.len(), Reason::ALL.len());
        assert_eq!(all.iter().map(|(_, count)| count).sum::<u64>(), 1);
    }
}
