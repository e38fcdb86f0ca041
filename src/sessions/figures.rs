//! What is known of the sessions of a store, and how sure it is.

use super::details::{DetailCommand, DetailSample, Looked, Remaining};
use super::estimate::{self, Sums, product, share};
use crate::config::StoreConfig;
use crate::metric::{Distribution, TTL_BUCKETS_SECONDS};
use std::collections::BTreeMap;

/// Upper bounds of `session_size_bytes`. A session with nothing but a user id weighs some 150 bytes with its key, one that holds a
/// basket a few kilobytes; above 64 KiB something is wrong, and it only matters by how much.
pub const SIZE_BUCKETS_BYTES: [f64; 12] = [
    128.0,
    256.0,
    512.0,
    1024.0,
    2048.0,
    4096.0,
    8192.0,
    16_384.0,
    32_768.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
];

/// Milliseconds of a second.
const MILLISECONDS: f64 = 1000.0;

/// A figure with its 95 % interval; an exact one is its own interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end; never above `value`, never below 0.
    pub low: f64,
    /// Upper end; never below `value`.
    pub high: f64,
}

impl Estimate {
    /// A figure that was counted, not estimated.
    pub const fn exact(value: f64) -> Self {
        Self {
            value,
            low: value,
            high: value,
        }
    }

    /// Whether nothing was estimated.
    pub fn is_exact(&self) -> bool {
        self.low >= self.high
    }
}

/// Sessions with the same value of the label `app`; `None` where the store has no such label.
pub type App = Option<Box<str>>;

/// What one scan found of one store. Everything that could not be asked for (no permission, nothing configured) is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreFigures {
    /// Sessions by `app`; a store without that label has the one key `None`. Never empty.
    pub active: BTreeMap<App, Estimate>,
    /// Sessions that never expire.
    pub without_ttl: Option<Estimate>,
    /// Sessions that live longer than `expected_ttl` from now.
    pub ttl_exceeding: Option<f64>,
    /// Memory of the keys.
    pub memory_bytes: Option<Estimate>,
    /// Sessions whose value does not begin as the operator expects.
    pub unencrypted: Option<Estimate>,
    /// Remaining TTL in seconds, scaled to all sessions of the store.
    pub ttl_remaining: Option<Distribution>,
    /// Size in bytes, scaled to all sessions of the store.
    pub size: Option<Distribution>,
}

impl StoreFigures {
    /// The figures of one database: its counts, and what the sample of its sessions shows of all of them.
    ///
    /// Every figure is scaled from the sample to the count; where every session was looked at nothing is scaled and the figures are
    /// exact. Sessions that ended between SCAN and the look at them are in the count and in no other figure.
    pub fn new(store: &StoreConfig, counts: Vec<(App, Estimate)>, sample: &DetailSample) -> Self {
        let (right, wrong): (Vec<&Looked>, Vec<&Looked>) = sample
            .looked()
            .iter()
            .filter(|looked| !looked.is_gone)
            .partition(|looked| looked.is_right_type != Some(false));
        let active = without_wrong_types(counts, sample, right.len(), &wrong);
        let mut figures = Self {
            active,
            without_ttl: None,
            ttl_exceeding: None,
            memory_bytes: None,
            unencrypted: None,
            ttl_remaining: None,
            size: None,
        };
        let seen = Seen::new(figures.total(), sample, right);
        // Nothing is known of sessions of which none was looked at, unless there are none at all.
        if seen.sessions.is_empty() && seen.population.high > 0.0 {
            return figures;
        }
        if sample.asks(DetailCommand::Pttl) {
            let offset = store.ttl_offset.as_secs_f64();
            figures.without_ttl = Some(seen.part(|looked| looked.remaining == Some(Remaining::Forever)));
            figures.ttl_exceeding = store.expected_ttl.map(|expected| {
                let exceeds =
                    |looked: &Looked| seconds(looked, offset).is_some_and(|left| left > expected.as_secs_f64());
                seen.part(exceeds).value
            });
            // No TTL lies above every bound and adds nothing to the sum.
            let left = |looked: &Looked| match looked.remaining? {
                Remaining::Forever => Some((f64::INFINITY, 0.0)),
                Remaining::Milliseconds(_) => seconds(looked, offset).map(|left| (left, left)),
            };
            figures.ttl_remaining = Some(seen.distribution(&TTL_BUCKETS_SECONDS, left));
        }
        if sample.asks(DetailCommand::MemoryUsage) {
            figures.memory_bytes = seen.memory();
            let size = |looked: &Looked| looked.size.map(|size| (size as f64, size as f64));
            figures.size = Some(seen.distribution(&SIZE_BUCKETS_BYTES, size));
        }
        let is_checkable = |looked: &&Looked| looked.is_in_the_clear.is_some();
        if sample.asks(DetailCommand::GetRange) && (seen.sessions.is_empty() || seen.sessions.iter().any(is_checkable))
        {
            figures.unencrypted = Some(seen.part(|looked| looked.is_in_the_clear == Some(true)));
        }
        figures
    }

    /// Adds the figures of another database of the same store. What is unknown of one is unknown of both.
    pub fn add(&mut self, other: Self) {
        for (app, count) in other.active {
            let sum = self
                .active
                .get(&app)
                .map_or(count, |known| estimate::sum(known, &count));
            self.active.insert(app, sum);
        }
        let both = |left: Option<Estimate>, right: Option<Estimate>| Some(estimate::sum(&left?, &right?));
        self.without_ttl = both(self.without_ttl, other.without_ttl);
        self.memory_bytes = both(self.memory_bytes, other.memory_bytes);
        // A database whose values cannot be checked says nothing about the others.
        self.unencrypted = match (self.unencrypted, other.unencrypted) {
            (Some(left), Some(right)) => Some(estimate::sum(&left, &right)),
            (left, right) => left.or(right),
        };
        self.ttl_exceeding = self
            .ttl_exceeding
            .zip(other.ttl_exceeding)
            .map(|(left, right)| left + right);
        self.ttl_remaining = self
            .ttl_remaining
            .take()
            .zip(other.ttl_remaining)
            .map(sum_of_distributions);
        self.size = self.size.take().zip(other.size).map(sum_of_distributions);
    }

    /// Sessions over all values of `app`. The interval is the sum of the intervals: wider than needed, never narrower.
    pub fn total(&self) -> Estimate {
        let parts = self.active.values();
        parts.fold(Estimate::exact(0.0), |total, part| estimate::sum(&total, part))
    }
}

/// Takes the keys of other types out of the counts, and the values of `app` that nothing was found of. Where every session was looked at that is counting; else the share of the
/// right type makes every count an estimate, unless no wrong one was seen.
fn without_wrong_types(
    counts: Vec<(App, Estimate)>,
    sample: &DetailSample,
    right: usize,
    wrong: &[&Looked],
) -> BTreeMap<App, Estimate> {
    let mut all = Estimate::exact(0.0);
    for (_, count) in &counts {
        all = estimate::sum(&all, count);
    }
    let is_complete = all.is_exact() && sample.looked().len() as f64 >= all.value;
    let typed = (right + wrong.len()) as u64;
    let right_share = share(right as u64, typed, all.value);
    let corrected = |number: usize, count: Estimate| {
        if wrong.is_empty() {
            return count;
        }
        if !is_complete {
            return product(&count, &right_share);
        }
        let of_app = wrong.iter().filter(|looked| usize::from(looked.app) == number).count();
        Estimate::exact((count.value - of_app as f64).max(0.0))
    };
    let first = counts.first().cloned();
    let numbered = counts
        .into_iter()
        .enumerate()
        .filter(|(_, (_, count))| count.value > 0.0);
    let mut active: BTreeMap<App, Estimate> = numbered
        .map(|(number, (app, count))| (app, corrected(number, count)))
        .collect();
    // A store without sessions has one figure: none, or as few as may have been missed.
    if active.is_empty() {
        active.extend(first);
    }
    active
}

/// What is left of a session's life, in seconds; 0 while only its key lives on.
fn seconds(looked: &Looked, offset: f64) -> Option<f64> {
    match looked.remaining? {
        Remaining::Forever => None,
        Remaining::Milliseconds(left) => Some((left as f64 / MILLISECONDS - offset).max(0.0)),
    }
}

/// The sessions that were looked at and live, and the population that they stand for.
struct Seen<'a> {
    sessions: Vec<&'a Looked>,
    population: Estimate,
}

impl<'a> Seen<'a> {
    fn new(total: Estimate, sample: &DetailSample, sessions: Vec<&'a Looked>) -> Self {
        let gone = sample.looked().iter().filter(|looked| looked.is_gone).count();
        let population = if gone == 0 {
            total
        } else {
            let living = sessions.len() as f64 / (sessions.len() + gone) as f64;
            let part = |number: f64| {
                if total.is_exact() {
                    (number * living).round()
                } else {
                    number * living
                }
            };
            Estimate {
                value: part(total.value),
                low: part(total.low),
                high: part(total.high),
            }
        };
        Self { sessions, population }
    }

    /// Whether every session was looked at.
    fn is_complete(&self) -> bool {
        self.population.is_exact() && self.sessions.len() as f64 >= self.population.value
    }

    /// How many sessions have a property.
    fn part(&self, has: impl Fn(&Looked) -> bool) -> Estimate {
        let having = self.sessions.iter().filter(|looked| has(looked)).count();
        if self.is_complete() {
            return Estimate::exact(having as f64);
        }
        let share = share(having as u64, self.sessions.len() as u64, self.population.value);
        product(&self.population, &share)
    }

    /// Bytes of all sessions.
    fn memory(&self) -> Option<Estimate> {
        let mut sums = Sums::default();
        for size in self.sessions.iter().filter_map(|looked| looked.size) {
            sums.add(size as f64);
        }
        if self.is_complete() && sums.count as usize == self.sessions.len() {
            return Some(Estimate::exact(sums.sum));
        }
        estimate::total(&self.population, &sums)
    }

    /// The distribution of a quantity, scaled to the population. `value` gives the place of a session among the bounds and what it
    /// adds to the sum. Buckets of the sample rise, and so do their multiples, also rounded.
    fn distribution(&self, bounds: &[f64], value: impl Fn(&Looked) -> Option<(f64, f64)>) -> Distribution {
        let values: Vec<(f64, f64)> = self.sessions.iter().filter_map(|looked| value(looked)).collect();
        let scale = if values.is_empty() || self.is_complete() {
            1.0
        } else {
            self.population.value / values.len() as f64
        };
        let scaled = |count: usize| (count as f64 * scale).round() as u64;
        let at_most = |bound: f64| values.iter().filter(|(place, _)| *place <= bound).count();
        Distribution {
            buckets: bounds.iter().map(|bound| (*bound, scaled(at_most(*bound)))).collect(),
            sum: values.iter().map(|(_, adds)| adds).sum::<f64>() * scale,
            count: scaled(values.len()),
        }
    }
}

/// The sum of two distributions with the same bounds.
fn sum_of_distributions((left, right): (Distribution, Distribution)) -> Distribution {
    let buckets = left.buckets.iter().zip(&right.buckets);
    Distribution {
        buckets: buckets
            .map(|((bound, left), (_, right))| (*bound, left.saturating_add(*right)))
            .collect(),
        sum: left.sum + right.sum,
        count: left.count.saturating_add(right.count),
    }
}

#[cfg(test)]
mod tests;
