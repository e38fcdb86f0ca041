//! What runs beside the kept connection, each at most once at a time: the fresh connection of `connect`, and scans (see `scans`).

use super::{Instance, Report};
use crate::poller::publish;
use crate::poller::task::AbortOnDrop;
use crate::redis::{Handshake, RedisError};
use std::time::Duration;
use tokio::time::Instant;

/// Why a collector whose task ended without a report published nothing.
pub(super) const PANICKED: &str = "its task panicked; please report this";

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
                self.on_scan_panicked();
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
            Report::Scan(report) => self.on_scan_report(report),
            Report::Sessions(told) => {
                if told.number == self.scan_number && self.scan_task.is_some() {
                    self.on_sessions_told(*told.end, told.duration);
                }
            }
            Report::ScanEnded(number, end, duration) => {
                if number == self.scan_number && self.scan_task.take().is_some() {
                    self.on_scan_end(*end, duration);
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
        self.on_fresh_handshake(handshake.tls.as_ref());
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
}

/// Waits for the end of a task, for ever if there is none.
async fn ended(task: &mut Option<AbortOnDrop>) {
    match task {
        Some(task) => task.ended().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Surroundings;
    use super::*;
    use crate::config::{Environment, load_str};
    use crate::poller::scan::ScanEnd;
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
            let end = ScanEnd::failed(error);
            reports
                .send(Report::ScanEnded(number, Box::new(end), BOUND))
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
