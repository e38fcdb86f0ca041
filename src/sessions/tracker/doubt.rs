//! What samples say, all together, against a count that events have kept.

use crate::sessions::figures::Estimate;

/// How many standard deviations the samples together must lie off before they replace what events kept. At 4 one of 16,000 samples
/// would err if they were judged one by one: with one a minute, less than one in ten days.
const BEYOND_DOUBT: f64 = 4.0;

/// How much of the weight of earlier samples is left when a new one comes: what began to go wrong lately must not be outvoted by
/// a long good past. About twenty samples count.
const REMEMBERED: f64 = 0.95;

/// Standard deviations that a 95 % interval reaches to either side.
const DEVIATIONS_OF_INTERVAL: f64 = 1.96;

/// By how much samples lie off what events kept, each weighted by how sharp it is and how recent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubt {
    /// Sum of weight times deviation.
    weighted: f64,
    /// Sum of weights.
    weight: f64,
    /// Variance of `weighted`, were the kept count right.
    variance: f64,
}

impl Doubt {
    /// Takes a sample that lies off by `deviation` while `moved` sessions came and went. A deviation that stays the same shows: the
    /// kept count moves with events, and so does the truth that samples are about.
    ///
    /// While much comes and goes, a sample is about no single moment: then it says the less the more moved.
    pub(super) fn note(&mut self, deviation: f64, sample: &Estimate, moved: f64) {
        let reach = (sample.high - sample.value).max(sample.value - sample.low);
        // An interval narrower than one session is one of a count.
        let spread = (reach / DEVIATIONS_OF_INTERVAL).max(moved).max(0.5);
        let weight = 1.0 / (spread * spread);
        self.weighted = self.weighted * REMEMBERED + weight * deviation;
        self.weight = self.weight * REMEMBERED + weight;
        self.variance = self.variance * REMEMBERED * REMEMBERED + weight;
    }

    /// What is to be added to the kept count, if that is beyond doubt.
    pub(super) fn correction(&self) -> Option<f64> {
        let deviations = self.weighted.abs() / self.variance.sqrt();
        (deviations > BEYOND_DOUBT).then(|| self.weighted / self.weight)
    }
}
