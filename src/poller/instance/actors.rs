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

/// Why a collector whose task ended without a report published nothing.
const PANICKED: &str = "its task panicked; please report this";

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
        self.note_pass_started();
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

    /// Waits until the tasks beside the instance's own have ended and their reports are taken in. One that panicked reports
    /// nothing, which is a failure of its collector.
    pub(super) async fn finish_tasks(&mut self) {
        while self.probe_task.is_some() || self.scan_task.is_some() {
            tokio::select! {
                biased;
                Some(report) = self.reports.1.recv() => {
                    self.on_report(report);
                    continue;
                }
                () = ended(&mut self.probe_task) => {}
                () = ended(&mut self.scan_task) => {}
            }
            // Asked before the last look at the reports: a task sends its report before it ends.
            let has_ended = |task: &Option<AbortOnDrop>| task.as_ref().is_some_and(AbortOnDrop::is_finished);
            let (probe_ended, scan_ended) = (has_ended(&self.probe_task), has_ended(&self.scan_task));
            while let Ok(report) = self.reports.1.try_recv() {
                self.on_report(report);
            }
            if probe_ended && self.probe_task.take().is_some() {
                self.note_collector("connect", Err(PANICKED.to_owned()), Duration::ZERO);
            }
            if scan_ended && self.scan_task.take().is_some() {
                self.note_collector("sessions", Err(PANICKED.to_owned()), Duration::ZERO);
            }
        }
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
        self.note_fresh_connection(&outcome);
        let samples = publish::connect_samples(handshake, outcome.is_ok());
        let lifetime = self.config.poll.connect_stale_after();
        self.show("connect", publish::VALUES, samples, Some(lifetime));
        self.note_collector("connect", outcome.map_err(|error| error.message), duration);
        self.publish_ping();
    }

    /// Keeps how the last fresh connection ended, for the health answers. A failure that goes on is remembered as an error once.
    fn note_fresh_connection(&mut self, outcome: &Result<(), RedisError>) {
        // One that was under way when the collector was switched off is about nothing that is asked for any more.
        if !self.is_on("connect") {
            return;
        }
        let outcome = outcome.clone().map_err(|error| error.message);
        let newest = self.details.errors.last().map(|error| &error.sentence);
        if let Err(sentence) = &outcome
            && self.details.fresh_connection.as_ref() != Some(&outcome)
            && newest != Some(sentence)
        {
            self.remember_error(sentence);
        }
        self.details.fresh_connection = Some(outcome);
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
                self.note_counts(&outcome, lifetime);
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

/// Waits for the end of a task, for ever if there is none.
async fn ended(task: &mut Option<AbortOnDrop>) {
    match task {
        Some(task) => task.ended().await,
        None => std::future::pending().await,
    }
}

fn store_facts(config: &InstanceConfig, outcome: &ScanOutcome, lifetime: Duration) -> Vec<StoreFacts> {
    let expires_at = std::time::Instant::now() + lifetime;
    config
        .sessions
        .configured()
        .iter()
        .enumerate()
        .filter_map(|(index, store)| {
            let active = outcome.stores.get(&index)?.total().value.round() as u64;
            Some(StoreFacts {
                name: store.name.clone(),
                active,
                unencrypted: None,
                expires_at,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Surroundings;
    use super::*;
    use crate::config::{Environment, load_str};
    use crate::redis::Reason;
    use crate::snapshot::SnapshotStore;
    use std::path::Path;
    use std::sync::Arc;

    /// No test waits longer for anything.
    const BOUND: Duration = Duration::from_secs(20);

    fn instance() -> Instance {
        let loaded = load_str(
            "instances: [{name: a, address: 'redis://h'}]",
            "test",
            Path::new(""),
            &Environment::of_pairs(&[]),
        )
        .unwrap();
        let store = Arc::new(SnapshotStore::new());
        let surroundings = Surroundings::new(&store, &loaded.config, "a");
        Instance::new(loaded.config.instances[0].clone(), surroundings)
    }

    async fn finished(mut instance: Instance) -> Instance {
        let finishing = tokio::time::timeout(BOUND, instance.finish_tasks());
        finishing.await.expect("it waits for a report that never comes");
        instance
    }

    #[tokio::test]
    async fn a_task_that_panics_is_not_waited_for() {
        let mut instance = instance();
        instance.probe_task = Some(AbortOnDrop::spawn(async { panic!("on purpose") }));
        let (number, reports) = (instance.scan_number, instance.reports.0.clone());
        // The other one still reports, and is waited for.
        instance.scan_task = Some(AbortOnDrop::spawn(async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let error = RedisError {
                reason: Reason::Timeout,
                message: "of the scan".to_owned(),
            };
            let failure = ScanFailure {
                error,
                at_connect: false,
            };
            reports
                .send(Report::ScanEnded(number, Box::new(Err(failure)), BOUND))
                .await
                .unwrap();
        }));
        let instance = finished(instance).await;
        let error = |name| instance.collector_states[name].error.clone().unwrap();
        assert_eq!(error("connect"), PANICKED);
        assert_eq!(error("sessions"), "of the scan");
    }

    #[tokio::test]
    async fn a_report_counts_also_when_its_task_has_ended_already() {
        let mut instance = instance();
        let reports = instance.reports.0.clone();
        instance.probe_task = Some(AbortOnDrop::spawn(async move {
            reports
                .send(Report::Probe(Handshake::default(), Ok(()), BOUND))
                .await
                .unwrap();
        }));
        while !instance.probe_task.as_ref().unwrap().is_finished() {
            tokio::task::yield_now().await;
        }
        let instance = finished(instance).await;
        assert!(instance.collector_states["connect"].success);
    }
}
