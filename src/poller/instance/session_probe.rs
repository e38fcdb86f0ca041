//! The synthetic session: written, read, renewed and deleted on the kept connection.

use super::Instance;
use crate::config::InstanceConfig;
use crate::poller::schedule::Ticker;
use tokio::time::Instant;

/// What is kept between turns.
#[derive(Debug)]
pub(super) struct SessionProbe {
    /// When the next turn is due.
    pub(super) ticker: Ticker,
    /// Whether there is anything to do.
    pub(super) is_on: bool,
}

impl SessionProbe {
    /// Before the first turn.
    pub(super) fn new(config: &InstanceConfig, start: Instant) -> Self {
        Self {
            ticker: Ticker::new(config.session_probe.interval, start),
            is_on: config.session_probe.enabled,
        }
    }

    /// Takes a changed configuration.
    pub(super) fn reconfigure(&mut self, config: &InstanceConfig, now: Instant) {
        self.ticker.set_interval(config.session_probe.interval, now);
        self.is_on = config.session_probe.enabled;
    }
}

impl Instance {
    /// One turn.
    pub(super) async fn on_session_probe(&mut self) {}
}
