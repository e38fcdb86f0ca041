//! What runs beside the kept connection, each at most once at a time: the fresh connection of `connect`, and scans.

use super::{Instance, Report};
use crate::config::InstanceConfig;
use crate::poller::publish;
use crate::poller::scan::ScanProgress;
use crate::poller::scan::{self, ScanFailure, ScanOutcome};
use crate::poller::task::AbortOnDrop;
use crate::redis::{CAPABILITY_LIFETIME, Unavailable};
use crate::redis::{Handshake, RedisError};
use crate::snapshot::details::StoreFacts;
use std::time::Duration;
use tokio::time::Instant;

impl Instance {
    /// Starts the fresh connection of the `connect` collector, unless one is still under way.
    pub(super) fn start_probe(&mut self) {
        if !self.is_on("connect") {
            return;
        }
        // A task that ended without a report has panicked: its place is free again.
        if self.probe_task.as_ref().is_some_and(|task| !task.is_finished()) {
            self.connect.skip();
            return;
        }
        self.accumulators.connects += 1;
        let connector = self.connector.clone();
        let reports = self.reports.0.clone();
        let timeout = self.config.poll.timeout;
        self.probe_task = Some(AbortOnDrop::spawn(async move {
            let started = Instant::now();
            let (handshake, outcome) = connector.probe(started + timeout).await;
            // The receiver is gone only when the instance is: nobody waits for this result then.
            let _ = reports.send(Report::Probe(handshake, outcome, started.elapsed())).await;
        }));
    }

    /// Starts a scan pass, unless one is still under way, scanning is denied, or there is nothing to count.
    pub(super) fn start_scan(&mut self, paced: bool) {
        if !self.role_is_settled {
            return;
        }
        if !self.scans() {
            self.withdraw_sessions();
            self.collector_states.remove("sessions");
            return;
        }
        if self.scan_task.as_ref().is_some_and(|task| !task.is_finished()) {
            self.scan.skip();
            return;
        }
        let now = Instant::now();
        if self
            .scan_denied_at
            .is_some_and(|denied_at| now < denied_at + CAPABILITY_LIFETIME)
        {
            return;
        }
        self.scan_denied_at = None;
        self.accumulators.connects += 1;
        self.scan_number += 1;
        let number = self.scan_number;
        let connector = self.connector.clone();
        let reports = self.reports.0.clone();
        let config = self.config.clone();
        self.scan_task = Some(AbortOnDrop::spawn(async move {
            let started = Instant::now();
            let outcome = scan::run(&config, &connector, paced, &reports).await;
            let _ = reports
                .send(Report::ScanEnded(number, Box::new(outcome), started.elapsed()))
                .await;
        }));
    }

    pub(super) fn on_report(&mut self, report: Report) {
        match report {
            Report::Probe(handshake, outcome, duration) => {
                // A probe that was given up with the login it used tells nothing about the new one.
                if self.probe_task.take().is_some() {
                    self.on_probe(&handshake, outcome, duration);
                }
            }
            Report::ScanProgress(progress) => self.on_scan_progress(progress),
            Report::ScanEnded(number, outcome, duration) => {
                if number == self.scan_number && self.scan_task.take().is_some() {
                    self.on_scan(*outcome, duration);
                }
            }
        }
    }

    fn on_probe(&mut self, handshake: &Handshake, outcome: Result<(), RedisError>, duration: Duration) {
        if let Err(error) = &outcome {
            self.accumulators.connect_failures += 1;
            self.accumulators.errors.add(error.reason);
        }
        let samples = publish::connect_samples(handshake, outcome.is_ok());
        let lifetime = self.config.poll.connect_stale_after();
        self.show("connect", publish::VALUES, samples, Some(lifetime));
        self.note_collector("connect", outcome.map_err(|error| error.message), duration);
        self.publish_ping();
    }

    fn on_scan_progress(&mut self, progress: ScanProgress) {
        let ScanProgress {
            database,
            keys_examined,
            redis_seconds,
        } = progress;
        *self.accumulators.scanned_keys.entry(database).or_default() += keys_examined;
        *self.accumulators.scan_redis_seconds.entry(database).or_default() += redis_seconds;
        let counters = publish::session_counters(&self.accumulators);
        self.show("sessions", publish::COUNTERS, counters, None);
    }

    fn on_scan(&mut self, outcome: Result<ScanOutcome, ScanFailure>, duration: Duration) {
        match outcome {
            Ok(outcome) => {
                let lifetime = self.config.poll.scan_stale_after(outcome.duration);
                let samples = publish::session_samples(&self.config, &outcome);
                self.show("sessions", publish::VALUES, samples, Some(lifetime));
                self.details.sessions = store_facts(&self.config, &outcome, lifetime);
                self.last_success.insert("scan", outcome.ended_at);
                self.note_collector("sessions", Ok(()), duration);
            }
            Err(failure) if failure.is_denied() => {
                // One command that the user may not run is no failed exchange, and is not tried again at every interval.
                self.scan_denied_at = Some(Instant::now());
                self.withdraw_sessions();
                self.note_collector("sessions", Err(failure.error.message), duration);
                if let Some(state) = self.collector_states.get_mut("sessions") {
                    state.unavailable = Some(Unavailable::Denied);
                }
            }
            Err(failure) => {
                self.accumulators.connect_failures += u64::from(failure.at_connect);
                self.accumulators.errors.add(failure.error.reason);
                self.note_collector("sessions", Err(failure.error.message), duration);
                self.publish_ping();
            }
        }
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
