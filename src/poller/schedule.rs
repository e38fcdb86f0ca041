//! When the next tick of an interval is due. A late tick is skipped and counted, never queued.

use std::time::Duration;
use tokio::time::Instant;

/// Starts of the instances are spread by this much per instance, so that hundreds of them do not poll in one burst; one
/// instance alone starts at once.
const SPREAD_PER_INSTANCE: Duration = Duration::from_millis(10);

/// The ticks of one interval.
#[derive(Debug, Clone)]
pub struct Ticker {
    interval: Duration,
    next: Instant,
    skipped: u64,
}

impl Ticker {
    /// A ticker whose first tick is due at `start`.
    pub fn new(interval: Duration, start: Instant) -> Self {
        Self {
            interval,
            next: start,
            skipped: 0,
        }
    }

    /// When the next tick is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Moves on after a tick was taken at `now`: to the next due time of the grid that still lies ahead. What lies between was
    /// missed and is counted.
    pub fn advance(&mut self, now: Instant) {
        self.next += self.interval;
        if self.next > now {
            return;
        }
        let late = now.duration_since(self.next);
        let missed = late.as_nanos() / self.interval.as_nanos().max(1) + 1;
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        self.skipped += u64::from(missed);
        self.next = self
            .next
            .checked_add(self.interval.saturating_mul(missed))
            .unwrap_or(now + self.interval);
    }

    /// Makes the next tick due at `due`, if it is not due earlier anyway, and puts the grid there.
    pub fn hasten(&mut self, due: Instant) {
        self.next = self.next.min(due);
    }

    /// Counts a tick that was left out because what an earlier one had started was still under way.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }

    /// Changes the interval; the next tick comes no later than one new interval from now.
    pub fn set_interval(&mut self, interval: Duration, now: Instant) {
        self.interval = interval;
        self.next = self.next.min(now + interval);
    }

    /// The interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Ticks missed so far, because the one before took too long.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// A random delay before the first poll of one among `instances` instances, never longer than `interval`.
pub fn start_delay(instances: usize, interval: Duration) -> Duration {
    let instances = u32::try_from(instances.saturating_sub(1)).unwrap_or(u32::MAX);
    let window = SPREAD_PER_INSTANCE.saturating_mul(instances).min(interval);
    window.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_keep_their_grid() {
        let start = Instant::now();
        let mut ticker = Ticker::new(Duration::from_secs(5), start);
        ticker.advance(start + Duration::from_millis(3));
        assert_eq!(ticker.next(), start + Duration::from_secs(5));
        assert_eq!(ticker.skipped(), 0);
    }

    #[test]
    fn overruns_are_counted_not_queued() {
        let start = Instant::now();
        let mut ticker = Ticker::new(Duration::from_secs(5), start);
        ticker.advance(start + Duration::from_secs(12));
        assert_eq!(ticker.skipped(), 2);
        assert_eq!(ticker.next(), start + Duration::from_secs(15));
    }

    #[test]
    fn one_instance_starts_at_once() {
        assert_eq!(start_delay(1, Duration::from_secs(5)), Duration::ZERO);
        for _ in 0..100 {
            assert!(start_delay(10_000, Duration::from_secs(5)) <= Duration::from_secs(5));
        }
    }

    #[test]
    fn a_shorter_interval_holds_at_once() {
        let start = Instant::now();
        let mut ticker = Ticker::new(Duration::from_secs(60), start + Duration::from_secs(60));
        ticker.set_interval(Duration::from_secs(5), start);
        assert_eq!(ticker.next(), start + Duration::from_secs(5));
    }
}
