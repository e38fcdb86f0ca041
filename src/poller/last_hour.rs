//! How many errors there were in the last hour: a ring of counters, one per minute.

use std::time::Duration;

/// Counters of the ring.
const MINUTES: usize = 60;

/// What one counter covers, in seconds.
const SECONDS_PER_MINUTE: u64 = 60;

/// Errors of the last 60 minutes. An error is forgotten between 59 and 60 minutes after it was counted.
#[derive(Debug, Clone)]
pub struct LastHour {
    counts: [f64; MINUTES],
    /// The minute, counted from the start, that the last call fell into.
    newest: u64,
}

impl Default for LastHour {
    fn default() -> Self {
        Self {
            counts: [0.0; MINUTES],
            newest: 0,
        }
    }
}

impl LastHour {
    /// Counts errors at a moment, given as the time since some fixed start. Time never goes back; what claims to does counts now.
    pub fn add(&mut self, since_start: Duration, errors: f64) {
        self.move_to(since_start);
        let place = self.place(self.newest);
        if let Some(count) = self.counts.get_mut(place) {
            *count += errors;
        }
    }

    /// Errors of the 60 minutes before a moment.
    pub fn total(&mut self, since_start: Duration) -> f64 {
        self.move_to(since_start);
        self.counts.iter().sum()
    }

    /// Empties the minutes that were passed over.
    fn move_to(&mut self, since_start: Duration) {
        let now = since_start.as_secs() / SECONDS_PER_MINUTE;
        let passed = now.saturating_sub(self.newest).min(MINUTES as u64);
        self.newest = self.newest.max(now);
        for back in 0..passed {
            let place = self.place(self.newest - back);
            if let Some(count) = self.counts.get_mut(place) {
                *count = 0.0;
            }
        }
    }

    fn place(&self, minute: u64) -> usize {
        usize::try_from(minute % MINUTES as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(SECONDS_PER_MINUTE);

    fn assert_total(ring: &mut LastHour, at: Duration, expected: f64) {
        let total = ring.total(at);
        assert!(
            (total - expected).abs() < f64::EPSILON,
            "{total} at {at:?} instead of {expected}"
        );
    }

    #[test]
    fn errors_are_forgotten_after_an_hour() {
        let mut ring = LastHour::default();
        ring.add(Duration::ZERO, 1.0);
        ring.add(10 * MINUTE, 2.0);
        ring.add(10 * MINUTE + Duration::from_secs(59), 4.0);
        assert_total(&mut ring, 59 * MINUTE + Duration::from_secs(59), 7.0);
        assert_total(&mut ring, 60 * MINUTE, 6.0);
        assert_total(&mut ring, 69 * MINUTE, 6.0);
        assert_total(&mut ring, 70 * MINUTE, 0.0);
    }

    #[test]
    fn long_silences_and_clocks_that_stand_still() {
        let mut ring = LastHour::default();
        ring.add(5 * MINUTE, 3.0);
        assert_total(&mut ring, 100_000 * MINUTE, 0.0);
        ring.add(100_000 * MINUTE, 1.0);
        // A moment before the newest one counts as the newest one.
        ring.add(99_000 * MINUTE, 1.0);
        assert_total(&mut ring, 100_000 * MINUTE, 2.0);
        assert_total(&mut ring, 100_059 * MINUTE, 2.0);
        assert_total(&mut ring, 100_060 * MINUTE, 0.0);
        assert_total(&mut ring, Duration::MAX, 0.0);
    }

    #[test]
    fn every_minute_is_counted_once_over_two_hours() {
        let mut ring = LastHour::default();
        for minute in 0..120 {
            ring.add(minute * MINUTE, 1.0);
            let expected = f64::from((minute + 1).min(60));
            assert_total(&mut ring, minute * MINUTE, expected);
        }
    }
}
