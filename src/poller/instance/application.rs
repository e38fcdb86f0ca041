//! Metrics that the application keeps in Redis, read on the kept connection.

use super::Instance;
use crate::config::InstanceConfig;
use crate::poller::schedule::Ticker;
use tokio::time::Instant;

/// What is kept between turns.
#[derive(Debug)]
pub(super) struct Application {
    /// When the next turn is due.
    pub(super) ticker: Ticker,
    /// Whether there is anything to do.
    pub(super) is_on: bool,
}

impl Application {
    /// Before the first turn.
    pub(super) fn new(config: &InstanceConfig, start: Instant) -> Self {
        Self {
            ticker: Ticker::new(config.poll.info_interval, start),
            is_on: !config.application_metrics.is_empty(),
        }
    }

    /// Takes a changed configuration.
    pub(super) fn reconfigure(&mut self, config: &InstanceConfig, now: Instant) {
        self.ticker.set_interval(config.poll.info_interval, now);
        self.is_on = !config.application_metrics.is_empty();
    }
}

impl Instance {
    /// One turn.
    pub(super) async fn on_application(&mut self) {}
}
