//! The frame of a test about a fault: one instance that will get it, a healthy one beside it, and what is to be seen of both.

use crate::support::config::{self, INFO, PING, TIMEOUT};
use crate::support::exporter::{Exporter, is_up};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The instance that gets the fault.
pub const FAULTY: &str = "faulty";
/// The one beside it, which must never notice.
pub const HEALTHY: &str = "healthy";

/// The contract: a failure shows within one ping interval and one time-out.
pub const DOWN_BOUND: Duration = PING.saturating_add(TIMEOUT).saturating_add(SLACK);

/// The contract: back within two intervals; an exchange that hung when the fault ended runs into its time-out first.
pub const BACK_BOUND: Duration = INFO.saturating_mul(2).saturating_add(TIMEOUT).saturating_add(SLACK);

/// How old the healthy instance's last successful polls may be. INFO, the slower one, sets it.
const HEALTHY_AGE: Duration = INFO.saturating_add(TIMEOUT).saturating_add(SLACK);

/// An exporter that watches two instances.
#[derive(Debug)]
pub struct Bench {
    /// The exporter.
    pub exporter: Exporter,
    /// The server without a fault; it ends with the bench.
    _healthy: RedisServer,
}

impl Bench {
    /// Starts the exporter on `address` and a healthy server, and waits until both are up.
    pub fn new(address: &str, further: &str) -> Self {
        let bench = Self::new_without_waiting(address, further);
        bench.exporter.wait_until_up(&[FAULTY, HEALTHY]);
        bench
    }

    /// The same for an instance that has its fault from the beginning.
    pub fn new_without_waiting(address: &str, further: &str) -> Self {
        let healthy = RedisServer::start();
        let config = config::fast(&[(FAULTY, address, further), (HEALTHY, &healthy.address(), "")]);
        let exporter = Exporter::start(&config);
        exporter.wait_until_up(&[HEALTHY]);
        Self {
            exporter,
            _healthy: healthy,
        }
    }

    /// Waits until the faulty instance shows one of these reasons, with `redis_up` as given and the connection down, while the
    /// healthy one stays as it is.
    pub fn fails_with(&self, reasons: &[&str], up: f64) -> Scrape {
        let labels = [("instance", FAULTY)];
        let what = format!("redis_up {up}, connection down with {reasons:?}");
        let scrape = self.watch(&what, DOWN_BOUND, |scrape| {
            scrape
                .state(FAULTY)
                .is_some_and(|state| reasons.contains(&state.as_str()))
                && scrape.value("redis_up", &labels) == Some(up)
                && scrape.value("redis_connection_status", &labels) == Some(0.0)
        });
        let counted: f64 = reasons
            .iter()
            .map(|reason| {
                scrape.sum(
                    "redis_connection_errors_total",
                    &[("instance", FAULTY), ("reason", reason)],
                )
            })
            .sum();
        assert!(
            counted >= 1.0,
            "the error is counted under its reason\n{}",
            scrape.about(FAULTY)
        );
        // An INFO that was under way when the fault came may have told first.
        self.watch("a failed PING is counted", DOWN_BOUND, |scrape| {
            scrape
                .value("redis_ping_failures_total", &labels)
                .is_some_and(|failures| failures >= 1.0)
        });
        self.neighbour_keeps_its_pace();
        scrape
    }

    /// Waits until the faulty instance is fully back.
    pub fn recovers(&self) -> Scrape {
        self.watch("up again with INFO values", BACK_BOUND, |scrape| {
            is_up(scrape, FAULTY)
                && scrape.state(FAULTY).as_deref() == Some("ok")
                && scrape.value(
                    "redis_session_exporter_collector_success",
                    &[("instance", FAULTY), ("collector", "memory")],
                ) == Some(1.0)
        })
    }

    /// Waits for a condition while the healthy instance is watched at every look.
    pub fn watch(&self, what: &str, bound: Duration, mut condition: impl FnMut(&Scrape) -> bool) -> Scrape {
        self.exporter.wait_for_instance(FAULTY, what, bound, |scrape| {
            assert_untouched(scrape, HEALTHY);
            condition(scrape)
        })
    }

    /// The healthy instance is pinged on time.
    fn neighbour_keeps_its_pace(&self) {
        let pings = |scrape: &Scrape| scrape.value("redis_pings_total", &[("instance", HEALTHY)]).unwrap();
        let before = pings(&self.exporter.scrape());
        let moved = wait_until(PING * 3 + SLACK, || {
            (pings(&self.exporter.scrape()) >= before + 3.0).then_some(())
        });
        assert!(moved.is_some(), "the healthy instance is not pinged on time");
    }
}

/// An instance without a fault has never had one, and its values are fresh.
pub fn assert_untouched(scrape: &Scrape, instance: &str) {
    let labels = [("instance", instance)];
    assert!(
        is_up(scrape, instance),
        "{instance} suffers from another's fault\n{}",
        scrape.about(instance)
    );
    assert_eq!(scrape.state(instance).as_deref(), Some("ok"));
    assert_eq!(
        scrape.sum("redis_connection_errors_total", &labels),
        0.0,
        "{}",
        scrape.about(instance)
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    for kind in ["ping", "info"] {
        let name = "redis_session_exporter_last_poll_timestamp_seconds";
        let at = scrape.value(name, &[("instance", instance), ("kind", kind)]).unwrap();
        assert!(
            now - at <= HEALTHY_AGE.as_secs_f64(),
            "{instance}: the last {kind} is {} s old",
            now - at
        );
    }
}
