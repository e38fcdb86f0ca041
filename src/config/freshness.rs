//! How long values live: when they leave `/metrics` because no newer ones came.
//!
//! Three intervals, so that two polls may fail. Where `timeout` is long beside an interval, what may lie between two values when one
//! poll fails is longer than that, and counts: one failed poll alone removes nothing, or the clock of every alert would restart.

use super::PollConfig;
use std::time::Duration;

/// How many intervals values of any kind live unless something else is written: two polls may fail before they leave `/metrics`.
pub const STALE_AFTER_INTERVALS: u32 = 3;

/// Deadlines that one poll of PING or INFO may take from the moment when it is due: the two share a connection and a task, so that
/// one may wait for the other to run into its deadline and then runs into its own. A reconnect and the second round trip of INFO
/// share the deadline of their poll.
pub const DEADLINES_PER_POLL: u32 = 2;

/// Deadlines that a poll beside them (a fresh connection, a scan) may take beside its own work: it is started behind a PING and an
/// INFO, an exchange of its own may run into its deadline, and its report waits for the exchange that is under way.
pub const DEADLINES_PER_ACTOR: u32 = 4;

/// Deadlines to spare, for a machine that is late itself.
pub const SPARE_DEADLINES: u32 = 1;

impl PollConfig {
    /// The age at which the verdict leaves `/metrics` when nobody writes `stale_after`. A PING that fails is a verdict like any
    /// other, so no more than one poll lies between two of them.
    pub fn default_ping_stale_after(&self) -> Duration {
        let worst = self.ping_interval.saturating_add(self.deadlines(DEADLINES_PER_POLL));
        three(self.ping_interval).max(worst)
    }

    /// The age at which INFO values leave `/metrics` when nobody writes `stale_after`. A failed INFO leaves the old values as they
    /// are; the next one comes after its own interval or, on a new connection, after the next PING.
    pub fn default_info_stale_after(&self) -> Duration {
        let intervals = self
            .info_interval
            .saturating_add(self.info_interval.max(self.ping_interval));
        three(self.info_interval).max(intervals.saturating_add(self.deadlines(2 * DEADLINES_PER_POLL)))
    }

    /// The shortest `stale_after` that may be written: with it values stay while every poll succeeds just before its deadline.
    pub fn least_stale_after(&self) -> Duration {
        let longer = self.ping_interval.max(self.info_interval);
        longer.saturating_add(self.timeout.saturating_mul(DEADLINES_PER_POLL))
    }

    /// The age at which the values of a fresh connection leave `/metrics`. One that fails has values too.
    pub fn connect_stale_after(&self) -> Duration {
        let worst = self
            .connect_interval
            .saturating_add(self.deadlines(DEADLINES_PER_ACTOR));
        three(self.connect_interval).max(worst)
    }

    /// The age at which the values of a scan leave `/metrics`; `last_pass` is how long that scan took. One that fails leaves the old
    /// values as they are.
    pub fn scan_stale_after(&self, last_pass: Duration) -> Duration {
        let interval = self.scan_interval.max(last_pass);
        let worst = interval
            .saturating_mul(2)
            .saturating_add(self.deadlines(2 * DEADLINES_PER_ACTOR));
        three(interval).max(worst)
    }

    /// This many deadlines, and what is to be spared.
    fn deadlines(&self, count: u32) -> Duration {
        self.timeout.saturating_mul(count + SPARE_DEADLINES)
    }
}

fn three(interval: Duration) -> Duration {
    interval.saturating_mul(STALE_AFTER_INTERVALS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigErrors, Environment, load_str};
    use std::path::Path;

    fn load(text: &str) -> Result<PollConfig, ConfigErrors> {
        let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[]))?;
        Ok(loaded.config.instances[0].poll.clone())
    }

    fn poll(text: &str) -> PollConfig {
        load(text).unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_are_three_intervals() {
        let poll = poll("");
        assert_eq!(poll.ping_stale_after, 15 * SECOND);
        assert_eq!(poll.info_stale_after, 45 * SECOND);
        assert_eq!(poll.connect_stale_after(), 90 * SECOND);
        assert_eq!(poll.scan_stale_after(SECOND), 180 * SECOND);
        assert_eq!(poll.scan_stale_after(100 * SECOND), 300 * SECOND);
    }

    #[test]
    fn values_outlive_one_failed_poll_whatever_the_timeout() {
        let poll = poll(
            "poll: { ping_interval: 1s, info_interval: 2s, scan_interval: 1s, connect_interval: 1s, timeout: 5s }",
        );
        // PING is due one second after the last verdict, waits for INFO and hangs itself.
        assert!(poll.ping_stale_after > (1 + 5 + 5) * SECOND);
        // The same for INFO, twice.
        assert!(poll.info_stale_after > 2 * (2 + 5 + 5) * SECOND);
        assert!(poll.connect_stale_after() > (1 + 4 * 5) * SECOND);
        assert!(poll.scan_stale_after(SECOND) > 2 * (1 + 4 * 5) * SECOND);
    }

    #[test]
    fn info_waits_for_a_ping_that_comes_more_seldom() {
        let poll = poll("poll: { ping_interval: 1m, info_interval: 5s }");
        assert!(poll.info_stale_after > (5 + 60 + 4 * 3) * SECOND);
    }

    #[test]
    fn a_written_age_is_taken_from_the_least_on() {
        let written =
            |age: &str| format!("poll: {{ ping_interval: 1s, info_interval: 2s, timeout: 5s, stale_after: {age} }}");
        let poll = poll(&written("12s"));
        assert_eq!(
            (poll.ping_stale_after, poll.info_stale_after),
            (12 * SECOND, 12 * SECOND)
        );
        let refused = load(&written("11999ms")).unwrap_err();
        assert!(refused.to_string().contains("write at least 12s"), "{refused}");
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let poll =
            poll("poll: { ping_interval: 3650d, info_interval: 3650d, connect_interval: 3650d, timeout: 3650d }");
        assert!(poll.info_stale_after > 6 * poll.info_interval);
        assert!(poll.scan_stale_after(Duration::MAX) == Duration::MAX);
    }
}
