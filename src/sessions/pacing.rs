//! How long a scan must rest so that it takes no more than its share of the server's time.

use std::time::Duration;

/// Server time that one examined key costs at least. Measured at Redis 7.0: SCAN without MATCH takes 1.0 µs for each key that it
/// returns. No round trip that would mean less is believed.
const MINIMUM_SECONDS_PER_KEY: f64 = 0.000_001;

/// Server time that one examined key, or one command about a session, costs at most: five times what they cost on the slowest server
/// measured. A round trip that took longer was waited for, behind the commands of others or on a busy machine of ours, and that is no
/// work of the scan: it shows in the back-off, which is bounded.
const MAXIMUM_SECONDS_PER_KEY: f64 = 0.000_010;

/// The same for the step itself, which may walk over many empty buckets.
const MAXIMUM_SECONDS_PER_STEP: f64 = 0.000_5;

/// Longest single rest. A step that took a second on a stalled server must not stop the pass for a minute.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// A step that costs this many times as much per key as the cheapest so far is a sign that the server has other work. Steps of one
/// pass differ by a factor of two by themselves, since keys and chains have different lengths.
const SLOW_TIMES: f64 = 4.0;

/// Most that rests grow by while the server is slow.
const MOST_BACK_OFF: f64 = 8.0;

/// How fast rests grow, and shrink again: slow steps must come several times in a row before it matters.
const BACK_OFF_STEP: f64 = 1.5;

/// Fewest keys of a step that says something about the server's speed; below it the noise of a round trip is larger than the work.
const TELLING_KEYS: usize = 50;

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
    /// Cheapest step so far, in seconds per key.
    best_seconds_per_key: f64,
    /// How much longer the rests are than the share asks for, 1 to [`MOST_BACK_OFF`].
    back_off: f64,
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
            best_seconds_per_key: f64::INFINITY,
            back_off: 1.0,
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
        let maximum = MAXIMUM_SECONDS_PER_STEP + keys as f64 * MAXIMUM_SECONDS_PER_KEY;
        let cost = (round_trip - self.floor_seconds).clamp(minimum, maximum);
        self.used_seconds += cost;
        let Some(share) = self.share else { return Duration::ZERO };
        self.judge(round_trip, keys);
        self.owed_seconds += cost * (1.0 / share - 1.0) * self.back_off;
        if self.owed_seconds <= 0.0 {
            return Duration::ZERO;
        }
        // First the bound: of a tiny share more is owed than a duration can hold.
        Duration::from_secs_f64(self.owed_seconds.min(LONGEST_REST.as_secs_f64()))
    }

    /// Whether the server has become slow. Rests grow then beyond what the share asks for, and fall back when it recovers.
    fn judge(&mut self, round_trip: f64, keys: usize) {
        if keys < TELLING_KEYS {
            return;
        }
        let seconds_per_key = round_trip / keys as f64;
        self.best_seconds_per_key = self.best_seconds_per_key.min(seconds_per_key);
        let is_slow = seconds_per_key > SLOW_TIMES * self.best_seconds_per_key;
        let factor = if is_slow { BACK_OFF_STEP } else { 1.0 / BACK_OFF_STEP };
        self.back_off = (self.back_off * factor).clamp(1.0, MOST_BACK_OFF);
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
    fn rests_grow_while_the_server_is_slow_and_shrink_again() {
        let mut pacer = paced(0.5);
        let mut step = |micros| {
            let rest = pacer.rest_after(Duration::from_micros(micros), 100);
            pacer.rested(rest);
            rest.as_secs_f64() / (micros as f64 - 50.0) * 1e6
        };
        for _ in 0..20 {
            assert!((step(150) - 1.0).abs() < 0.01);
        }
        assert!(step(1000) < 1.6, "one slow step is chance");
        let grown = (0..20).map(|_| step(1000)).last().unwrap();
        assert!((grown - MOST_BACK_OFF).abs() < 0.01, "{grown}");
        let shrunk = (0..20).map(|_| step(150)).last().unwrap();
        assert!((shrunk - 1.0).abs() < 0.01, "{shrunk}");
        // A step of few keys says nothing.
        assert!((pacer.rest_after(Duration::from_micros(450), 3).as_secs_f64() - 0.0004).abs() < 0.000_01);
    }

    #[test]
    fn a_tiny_share_rests_as_long_as_can_be() {
        for share in [1e-30, f64::MIN_POSITIVE] {
            let mut pacer = paced(share);
            for _ in 0..3 {
                assert_eq!(pacer.rest_after(Duration::from_micros(150), 100), LONGEST_REST);
                pacer.rested(LONGEST_REST);
            }
        }
    }

    #[test]
    fn one_slow_step_does_not_stop_the_pass() {
        let mut pacer = Pacer::new(0.001);
        pacer.note_floor(Duration::ZERO);
        assert_eq!(pacer.rest_after(Duration::from_secs(60), 1000), LONGEST_REST);
        // A minute of waiting for others is not a minute of work.
        assert!(
            (pacer.used_seconds() - 0.010_5).abs() < 1e-9,
            "{}",
            pacer.used_seconds()
        );
    }
}
