//! What runs beside the kept connection, each at most once at a time: the fresh connection of `connect`, and scans.

use super::{Instance, Report};
use crate::config::InstanceConfig;
use crate::poller::publish;
use crate::poller::scan::{self, ScanFailure, ScanOutcome};
use crate::poller::task::AbortOnDrop;
use crate::redis::{Handshake, RedisError};
use crate::snapshot::SectionKey;
use crate::snapshot::details::StoreFacts;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Instance {
    /// Starts the fresh connection of the `connect` collector, unless one is still under way.
    pub(super) fn start_probe(&mut self) {
        // A task that ended without a report has panicked: its place is free again.
        if !self.is_on("connect") || self.probe_task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let connector = self.connector.clone();
        let reports = self.reports.0.clone();
        let timeout = self.config.poll.timeout;
        self.probe_task = Some(AbortOnDrop::spawn(async move {
            let started = Instant::now();
            let (handshake, outcome) = connector.probe(started + timeout).await;
            // The receiver is gone only when the instance is, or was reconfigured: nobody waits for this result then.
            let _ = reports.send(Report::Probe(handshake, outcome, started.elapsed())).await;
        }));
    }

    /// Starts a scan pass, unless one is still under way or there is nothing to count.
    pub(super) fn start_scan(&mut self, paced: bool) {
        if !self.scans() {
            self.sections
                .retain(|key, _| key.collector != "sessions" || key.part == "counters");
            self.details.sessions.clear();
            return;
        }
        if self.scan_task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let connector = self.connector.clone();
        let reports = self.reports.0.clone();
        let config = self.config.clone();
        let remembered = self.surroundings.scan_remembered_keys;
        self.scan_task = Some(AbortOnDrop::spawn(async move {
            let started = Instant::now();
            let outcome = scan::run(&config, &connector, paced, remembered).await;
            let _ = reports.send(Report::Scan(outcome, started.elapsed())).await;
        }));
    }

    pub(super) fn on_report(&mut self, report: Report) {
        match report {
            Report::Probe(handshake, outcome, duration) => {
                self.probe_task = None;
                self.on_probe(&handshake, outcome, duration);
            }
            Report::Scan(outcome, duration) => {
                self.scan_task = None;
                self.on_scan(outcome, duration);
            }
        }
    }

    fn on_probe(&mut self, handshake: &Handshake, outcome: Result<(), RedisError>, duration: Duration) {
        self.accumulators.connects += 1;
        if let Err(error) = &outcome {
            self.accumulators.connect_failures += 1;
            self.accumulators.errors.add(error.reason);
        }
        let samples = publish::connect_samples(handshake, outcome.is_ok());
        let lifetime = self.config.poll.connect_interval * publish::INTERVALS_UNTIL_STALE + self.config.poll.timeout;
        let section = publish::section("connect", samples, Some(lifetime));
        self.sections.insert(
            SectionKey {
                collector: "connect",
                part: "values",
            },
            Arc::new(section),
        );
        self.note_collector("connect", outcome.map_err(|error| error.message), duration);
        self.publish_ping();
    }

    fn on_scan(&mut self, outcome: Result<ScanOutcome, ScanFailure>, duration: Duration) {
        self.accumulators.connects += 1;
        let databases = match &outcome {
            Ok(outcome) => &outcome.databases,
            Err(failure) => &failure.databases,
        };
        for database in databases {
            *self.accumulators.scanned_keys.entry(database.database).or_default() += database.keys_examined;
            *self
                .accumulators
                .scan_redis_seconds
                .entry(database.database)
                .or_default() += database.redis_seconds;
        }
        match outcome {
            Ok(outcome) => {
                let lifetime = self.config.poll.scan_interval.max(outcome.duration) * publish::INTERVALS_UNTIL_STALE;
                let samples = publish::session_samples(&self.config, &outcome);
                let section = publish::section("sessions", samples, Some(lifetime));
                self.sections.insert(
                    SectionKey {
                        collector: "sessions",
                        part: "values",
                    },
                    Arc::new(section),
                );
                self.details.sessions = store_facts(&self.config, &outcome, lifetime);
                self.last_success.insert("scan", outcome.ended_at);
                self.note_collector("sessions", Ok(()), duration);
            }
            Err(failure) => {
                self.accumulators.connect_failures += u64::from(failure.at_connect);
                self.accumulators.errors.add(failure.error.reason);
                self.note_collector("sessions", Err(failure.error.message), duration);
            }
        }
        let counters = publish::session_counters(&self.accumulators);
        let section = publish::section("sessions", counters, None);
        self.sections.insert(
            SectionKey {
                collector: "sessions",
                part: "counters",
            },
            Arc::new(section),
        );
    }
}

fn store_facts(config: &InstanceConfig, outcome: &ScanOutcome, lifetime: Duration) -> Vec<StoreFacts> {
    let expires_at = std::time::Instant::now() + lifetime;
    config
        .sessions
        .iter()
        .enumerate()
        .filter_map(|(index, store)| {
            let active = *outcome.sessions.get(&index)?;
            Some(StoreFacts {
                name: store.name.clone(),
                active,
                expires_at,
            })
        })
        .collect()
}
