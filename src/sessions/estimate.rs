//! From a sample to a figure with its 95 % interval. Pure.
//!
//! Three estimators are enough: how many keys there are, from those in a part of the key space ([`count_in_fraction`]) or from a
//! share of known size ([`count_of_total`]); a share of a population ([`share`]); and the sum of a quantity ([`total`]). Products of
//! two estimates take the error of both ([`product`]).

use super::figures::Estimate;

/// Normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.96;

/// Counts are whole, and the normal distribution is not: the ends of an interval are those of half a count less and more. Without it
/// a handful of sessions in the sample covers the truth in 92 % of all cases; with thousands it does not matter.
const CONTINUITY: f64 = 0.5;

/// How many sessions there are, when `found` of them lay in a part of the key space that holds every key with the probability
/// `fraction` (0 < fraction <= 1), independently of the others: the place of a key is a keyed hash of its name.
///
/// `found` is binomial with an unknown number of trials. The interval is that of the score test, which is never empty and stays
/// true for small counts, also for 0; with the whole key space looked at it is exact. Measured coverage: see the tests.
pub fn count_in_fraction(found: u64, fraction: f64) -> Estimate {
    let found = found as f64;
    if fraction >= 1.0 {
        return Estimate::exact(found);
    }
    if fraction <= 0.0 {
        // Nothing was looked at: everything is possible. Callers do not ask then.
        return Estimate {
            value: found,
            low: found,
            high: f64::INFINITY,
        };
    }
    let unseen = Z * Z * (1.0 - fraction);
    let end = |found: f64, direction: f64| {
        let found = found.max(0.0);
        (found + unseen / 2.0 + direction * (unseen * (found + unseen / 4.0)).sqrt()) / fraction
    };
    let value = found / fraction;
    Estimate {
        value,
        low: end(found - CONTINUITY, -1.0).max(found).min(value),
        high: end(found + CONTINUITY, 1.0),
    }
}

/// How many of `total` keys are sessions, when `found` of `examined` keys of a random sample were. Wilson interval with finite
/// population correction; exact when every key was examined.
pub fn count_of_total(found: u64, examined: u64, total: f64) -> Estimate {
    let part = share(found, examined, total);
    Estimate {
        value: part.value * total,
        low: part.low * total,
        high: part.high * total,
    }
}

/// The share of a population of `population` members that has a property which `having` of `looked_at` members of a random sample
/// (without replacement) have. Wilson score interval; the finite population correction widens the sample to the size that would
/// tell as much of an infinite population, and what was seen bounds it on both sides.
///
/// Without a sample everything from 0 to 1 is possible.
pub fn share(having: u64, looked_at: u64, population: f64) -> Estimate {
    if looked_at == 0 {
        return Estimate {
            value: 0.0,
            low: 0.0,
            high: 1.0,
        };
    }
    let (having, looked_at) = (having.min(looked_at) as f64, looked_at as f64);
    let value = having / looked_at;
    if looked_at >= population {
        return Estimate::exact(value);
    }
    let size = looked_at * (population - 1.0).max(1.0) / (population - looked_at);
    let end = |having: f64, direction: f64| {
        let part = (having / looked_at).clamp(0.0, 1.0);
        let half = Z * (part * (1.0 - part) / size + Z * Z / (4.0 * size * size)).sqrt();
        (part + Z * Z / (2.0 * size) + direction * half) / (1.0 + Z * Z / size)
    };
    let least = having / population;
    let most = (population - (looked_at - having)) / population;
    Estimate {
        value,
        low: end(having - CONTINUITY, -1.0).max(least).min(value),
        high: end(having + CONTINUITY, 1.0).min(most).max(value),
    }
}

/// Sum and sum of squares of a quantity over a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Members of the sample.
    pub count: u64,
    /// Sum of the quantity.
    pub sum: f64,
    /// Sum of its squares.
    pub squares: f64,
}

impl Sums {
    /// Adds a member.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// Mean over a population of `population` members; `None` when the sample is too small to say how far the members differ.
    fn mean(&self, population: f64) -> Option<Estimate> {
        let count = self.count as f64;
        if self.count == 0 {
            return None;
        }
        let mean = self.sum / count;
        if count >= population {
            return Some(Estimate::exact(mean));
        }
        if self.count < 2 {
            return None;
        }
        let variance = ((self.squares - self.sum * mean) / (count - 1.0)).max(0.0);
        let half = Z * (variance / count * (1.0 - count / population)).sqrt();
        Some(Estimate {
            value: mean,
            low: (mean - half).max(0.0),
            high: mean + half,
        })
    }
}

/// The sum of a quantity over all members of a population whose size is itself an estimate, from a sample of them. `None` when the
/// sample is too small; 0 for an empty population.
pub fn total(population: &Estimate, sample: &Sums) -> Option<Estimate> {
    if population.high <= 0.0 {
        return Some(Estimate::exact(0.0));
    }
    Some(product(population, &sample.mean(population.value)?))
}

/// The product of two independent estimates, neither negative. The interval is that of the method of variance estimates recovery: each
/// end takes the errors of both factors together, so that an exact factor adds none.
pub fn product(left: &Estimate, right: &Estimate) -> Estimate {
    let value = left.value * right.value;
    let below = (left.value * (right.value - right.low)).hypot(right.value * (left.value - left.low));
    let above = (left.value * (right.high - right.value)).hypot(right.value * (left.high - left.value));
    // What neither factor shows may still be there: with a share of 0, its upper end of all that there may be.
    let above = if value > 0.0 { above } else { left.high * right.high };
    Estimate {
        value,
        low: (value - below).max(0.0),
        high: value + above,
    }
}

/// The sum of two estimates of different keys. The interval is the sum of both: wider than needed, never narrower.
pub fn sum(left: &Estimate, right: &Estimate) -> Estimate {
    Estimate {
        value: left.value + right.value,
        low: left.low + right.low,
        high: left.high + right.high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs per setting; the standard error of a coverage of 95 % is then 0.5 points.
    const RUNS: usize = 2000;

    fn assert_close(left: f64, right: f64) {
        assert!(
            (left - right).abs() < 1e-9 * right.abs().max(1.0),
            "{left} is not {right}"
        );
    }

    /// How often the truth lies in the interval, in percent.
    fn coverage(mut run: impl FnMut() -> (f64, Estimate)) -> f64 {
        let inside = (0..RUNS)
            .filter(|_| {
                let (truth, estimate) = run();
                assert!(
                    estimate.low <= estimate.value && estimate.value <= estimate.high,
                    "{estimate:?}"
                );
                estimate.low <= truth && truth <= estimate.high
            })
            .count();
        100.0 * inside as f64 / RUNS as f64
    }

    #[test]
    fn counts_cover_the_truth() {
        let mut random = fastrand::Rng::with_seed(3);
        // (sessions, part of the key space): from a handful to thousands in the window.
        for (sessions, fraction) in [
            (100, 0.1),
            (1000, 0.02),
            (1000, 0.5),
            (4000, 0.02),
            (4000, 0.9),
            (4000, 0.001),
        ] {
            let covered = coverage(|| {
                let found = (0..sessions).filter(|_| random.f64() < fraction).count() as u64;
                (f64::from(sessions), count_in_fraction(found, fraction))
            });
            assert!(covered >= 93.0, "{sessions} at {fraction}: {covered}");
        }
    }

    /// A sample without replacement: how many of the first `size` of a shuffled population have the property.
    fn draw(random: &mut fastrand::Rng, population: u64, having: u64, size: u64) -> u64 {
        let mut left = (population, having);
        (0..size)
            .filter(|_| {
                let hit = random.u64(..left.0) < left.1;
                left = (left.0 - 1, left.1 - u64::from(hit));
                hit
            })
            .count() as u64
    }

    #[test]
    fn shares_cover_the_truth() {
        let mut random = fastrand::Rng::with_seed(4);
        for (population, having, size) in [
            (100_000, 30_000, 500),
            (100_000, 1000, 2500),
            (3000, 30, 2500),
            (3000, 2990, 2500),
            (10_000, 5000, 9999),
            (1_000_000, 1000, 4000),
        ] {
            let total = population as f64;
            let covered = coverage(|| {
                let found = draw(&mut random, population, having, size);
                (having as f64, count_of_total(found, size, total))
            });
            assert!(covered >= 93.0, "{having} of {population}, {size}: {covered}");
        }
    }

    #[test]
    fn sums_of_skewed_sizes_cover_the_truth() {
        let mut random = fastrand::Rng::with_seed(5);
        // Log-uniform between 100 and 10,000 bytes.
        let sizes: Vec<f64> = (0..50_000).map(|_| 100.0 * 100_f64.powf(random.f64())).collect();
        let truth: f64 = sizes.iter().sum();
        let covered = coverage(|| {
            let mut sample = Sums::default();
            for _ in 0..500 {
                sample.add(sizes[random.usize(..sizes.len())]);
            }
            // The number of sessions is an estimate too.
            let fraction = 0.05;
            let found = (0..sizes.len()).filter(|_| random.f64() < fraction).count() as u64;
            (truth, total(&count_in_fraction(found, fraction), &sample).unwrap())
        });
        assert!(covered >= 93.0, "{covered}");
    }

    #[test]
    fn nothing_found_is_not_nothing_there() {
        let none = count_in_fraction(0, 0.01);
        assert_close(none.value, 0.0);
        assert_close(none.low, 0.0);
        assert!((300.0..500.0).contains(&none.high), "{none:?}");
        let none = count_of_total(0, 1000, 100_000.0);
        assert!(
            (none.value, none.low) == (0.0, 0.0) && (300.0..500.0).contains(&none.high),
            "{none:?}"
        );
        let all = count_of_total(1000, 1000, 100_000.0);
        assert!(
            all.value == 100_000.0 && all.high == 100_000.0 && (99_500.0..99_800.0).contains(&all.low),
            "{all:?}"
        );
    }

    #[test]
    fn what_was_looked_at_whole_is_exact() {
        assert_eq!(count_in_fraction(7, 1.0), Estimate::exact(7.0));
        assert_eq!(count_of_total(3, 10, 10.0), Estimate::exact(3.0));
        assert_eq!(share(0, 5, 5.0), Estimate::exact(0.0));
        let mut sums = Sums::default();
        sums.add(10.0);
        sums.add(30.0);
        assert_eq!(total(&Estimate::exact(2.0), &sums), Some(Estimate::exact(40.0)));
        assert_eq!(
            total(&Estimate::exact(0.0), &Sums::default()),
            Some(Estimate::exact(0.0))
        );
        assert_eq!(total(&Estimate::exact(2.0), &Sums::default()), None);
    }

    #[test]
    fn what_was_seen_bounds_the_interval() {
        // Of 10 keys 9 were looked at and 4 are sessions: there are 4 or 5.
        let estimate = count_of_total(4, 9, 10.0);
        assert!(
            estimate.low >= 4.0 - 1e-9 && estimate.high <= 5.0 + 1e-9,
            "{estimate:?}"
        );
        assert_eq!(share(0, 0, 10.0).high, 1.0);
        assert!(share(1, 1, 2.0).low >= 0.5);
    }

    #[test]
    fn products_take_the_error_of_both() {
        let population = Estimate {
            value: 1000.0,
            low: 900.0,
            high: 1100.0,
        };
        let half = Estimate {
            value: 0.5,
            low: 0.4,
            high: 0.6,
        };
        let both = product(&population, &half);
        assert_close(both.value, 500.0);
        assert_close(both.high - both.value, (100.0_f64.powi(2) + 50.0_f64.powi(2)).sqrt());
        assert_eq!(
            product(&Estimate::exact(4.0), &Estimate::exact(0.5)),
            Estimate::exact(2.0)
        );
        let unseen = share(0, 100, 1e9);
        assert!(product(&population, &unseen).high >= 1100.0 * unseen.high - 1e-9);
    }
}
