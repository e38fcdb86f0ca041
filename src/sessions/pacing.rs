//! How long a scan must rest so that it takes no more than its share of the server's time.

use std::time::Duration;

/// Server time that one examined key costs at least. Measured at Redis 7.0: SCAN without MATCH takes 1.0 µs for each key that it
/// returns. No round trip that would mean less is believed.
const MINIMUM_SECONDS_PER_KEY: f64 = 0.000_001;

/// Longest single rest. A step that took a second on a stalled server must not stop the pass for a minute.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// Turns the observed steps of a pass into rests.
#[derive(Debug, Clone)]
pub struct Pacer {
    /// Share of the server's time, 0 < share <= 1; `None` for an unpaced pass.
    share: Option<f64>,
    /// Shortest round trip of a cheap command on this connection: what network and scheduling cost without work. Steps of the scan do
    /// not lower it, or their own work would count as network.
    floor_seconds: f64,
    /// Rest that is owed. Timers round up, so what was rested too long is taken off the next rest.
    owed_seconds: f64,
    /// Server time used so far.
    used_seconds: f64,
}

impl Pacer {
    /// A pacer for one pass. `share` 0 means unpaced.
    pub fn new(share: f64) -> Self {
        let share = (share > 0.0).then_some(share.min(1.0));
        Self {
            share,
            floor_seconds: f64::INFINITY,
            owed_seconds: 0.0,
            used_seconds: 0.0,
        }
    }

    /// Notes the round trip of a command which costs the server next to nothing.
    pub fn note_floor(&mut self, round_trip: Duration) {
        self.floor_seconds = self.floor_seconds.min(round_trip.as_secs_f64());
    }

    /// Notes a step and returns how long to rest before the next one.
    pub fn rest_after(&mut self, round_trip: Duration, keys: usize) -> Duration {
        let round_trip = round_trip.as_secs_f64();
        let minimum = keys as f64 * MINIMUM_SECONDS_PER_KEY;
        let cost = (round_trip - self.floor_seconds).max(minimum);
        self.used_seconds += cost;
        let Some(share) = self.share else { return Duration::ZERO };
        self.owed_seconds += cost * (1.0 / share - 1.0);
        if self.owed_seconds <= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(self.owed_seconds).min(LONGEST_REST)
    }

    /// Notes how long the rest really was.
    pub fn rested(&mut self, rest: Duration) {
        self.owed_seconds -= rest.as_secs_f64();
        // A long stall of our own is not a credit to spend in one burst.
        self.owed_seconds = self.owed_seconds.clamp(-0.01, LONGEST_REST.as_secs_f64());
    }

    /// Server time that the pass has taken so far, as estimated from round trips, in seconds.
    pub fn used_seconds(&self) -> f64 {
        self.used_seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced(share: f64) -> Pacer {
        let mut pacer = Pacer::new(share);
        pacer.note_floor(Duration::from_micros(50));
        pacer
    }

    #[test]
    fn rests_keep_the_share() {
        let mut pacer = paced(0.02);
        let mut worked = 0.0;
        let mut rested = 0.0;
        for _ in 0..1000 {
            let rest = pacer.rest_after(Duration::from_micros(150), 100);
            // A timer that rounds up to the next millisecond.
            let real = Duration::from_millis(rest.as_micros().div_ceil(1000) as u64);
            pacer.rested(real);
            worked += 0.000_1;
            rested += real.as_secs_f64();
        }
        let share = worked / (worked + rested);
        assert!((share - 0.02).abs() < 0.001, "{share}");
        assert!((pacer.used_seconds() - worked).abs() < 0.001);
    }

    #[test]
    fn unpaced_never_rests() {
        let mut pacer = paced(0.0);
        assert_eq!(pacer.rest_after(Duration::from_secs(1), 1000), Duration::ZERO);
    }

    #[test]
    fn one_slow_step_does_not_stop_the_pass() {
        let mut pacer = Pacer::new(0.001);
        pacer.note_floor(Duration::ZERO);
        assert_eq!(pacer.rest_after(Duration::from_secs(60), 1), LONGEST_REST);
    }
}
