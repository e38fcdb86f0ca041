//! The instance's side of scans: when one starts, what becomes of its report, and which stores there are.

use super::actors::PANICKED;
use super::{Instance, Report};
use crate::collectors::lua::Runs;
use crate::config::StoreConfig;
use crate::poller::publish;
use crate::poller::scan::{
    self, Missing, PauseRequest, PausedWork, Recognised, ScanEnd, ScanFailure, ScanMemory, ScanOutcome, ScanProgress,
    ScanReport, ScanTask, scripts,
};
use crate::poller::task::AbortOnDrop;
use crate::redis::{CAPABILITY_LIFETIME, Unavailable};
use crate::snapshot::SectionKey;
use crate::snapshot::details::RecognitionFacts;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What is kept between scans.
#[derive(Debug, Default)]
pub(super) struct Scans {
    memory: ScanMemory,
    /// `master_replid` of the last INFO: replicas that are scanned in place of the instance must have the same.
    pub(super) replication_id: Option<String>,
    /// Stores were recognised by a pass that did not count them.
    owes_count: bool,
    /// That pass has run the scripts of `lua`; the one that follows at once does not run them again.
    has_run_scripts: bool,
    /// What is absent from the figures and was said so.
    reported: BTreeSet<Missing>,
    /// What is absent from the figures of other collectors that look at keys and was said so.
    pub(super) reported_keys: super::key_work::Reported,
    /// Whether the last pass found out everything that these asked for.
    pub(super) key_work_succeeded: bool,
    /// A reload asks which library it is once more.
    recognises_again: bool,
    /// What was refused is to be tried again also if the pass under way, which began before the reload, ends with what it knew.
    forgets_refusals: bool,
    /// What belongs to the stores is of no use also if the pass under way ends with it.
    forgets_stores: bool,
    /// Key work that waits in the middle of a walk for the next pass.
    paused: Option<Box<PausedWork>>,
    /// Whether passes go on to their end, whatever is due meanwhile.
    never_pauses: bool,
    /// Asks the pass under way to pause its walk over other keys than sessions.
    pause: PauseRequest,
    /// When the pass under way went on with other keys, and how long it had taken for sessions and scripts; `None` before, and without one.
    told: Option<(Instant, Duration)>,
    /// Whether sessions have failed in it.
    have_sessions_failed: bool,
    /// The pass under way was asked to pause: another one follows at once.
    was_asked_to_pause: bool,
    /// How long the whole of the last pass took.
    last_pass: Duration,
}

impl Scans {
    /// Every pass goes on to its end: for commands that end by themselves.
    pub(super) fn never_pause(&mut self) {
        self.never_pauses = true;
    }

    /// Other keys are asked for, or another server: work that waits is of no use.
    pub(super) fn forget_key_work(&mut self) {
        self.paused = None;
        self.told = None;
        self.was_asked_to_pause = false;
    }

    /// Whether the pass under way has told of sessions and only looks at other keys.
    pub(super) fn has_told_sessions(&self) -> bool {
        self.told.is_some()
    }

    /// Asks a pass that only looks at other keys to make room, if these have had their turn: as long a one as sessions and scripts had. Whether
    /// it was asked.
    fn ask_to_pause(&mut self) -> bool {
        let has_had_turn = self.told.is_some_and(|(since, duration)| since.elapsed() >= duration);
        if !has_had_turn || self.never_pauses || self.was_asked_to_pause {
            return false;
        }
        self.pause.ask();
        self.was_asked_to_pause = true;
        true
    }

    /// Whether a pass has found stores that no pass has counted yet; asked once.
    pub(super) fn take_owed_count(&mut self) -> bool {
        std::mem::take(&mut self.owes_count)
    }

    /// Other stores are counted from now on.
    pub(super) fn forget_stores(&mut self) {
        self.memory.forget_stores();
        self.forgets_stores = true;
        self.owes_count = false;
        self.recognises_again = false;
    }
}

impl Instance {
    /// Starts a scan pass, unless one is still under way, or there is nothing to look at: no sessions, or they may not be scanned, no keys
    /// of other collectors, and no scripts.
    pub(super) fn start_scan(&mut self, paced: bool) {
        if !self.role_is_settled {
            return;
        }
        let mut looks_at_sessions = self.scans();
        if !looks_at_sessions {
            self.withdraw_sessions();
            self.collector_states.remove("sessions");
        }
        let looks_at_keys = self.looks_at_keys();
        if !looks_at_keys {
            self.withdraw_key_work();
        }
        if !self.runs_scripts() {
            self.withdraw_scripts();
        }
        let has_run_scripts = std::mem::take(&mut self.scans.has_run_scripts);
        let runs_scripts = self.runs_scripts() && !has_run_scripts;
        if !looks_at_sessions && !looks_at_keys && !runs_scripts {
            return;
        }
        if self.scan_task.as_ref().is_some_and(|task| !task.is_finished()) {
            if !self.scans.ask_to_pause() {
                self.scan.skip();
            }
            return;
        }
        self.bury_scan();
        self.scans.told = None;
        self.scans.was_asked_to_pause = false;
        self.scans.pause = PauseRequest::default();
        let now = Instant::now();
        if self
            .scan_denied_at
            .is_some_and(|denied_at| now < denied_at + CAPABILITY_LIFETIME)
        {
            looks_at_sessions = false;
            if !looks_at_keys && !runs_scripts {
                return;
            }
        } else {
            self.scan_denied_at = None;
        }
        if looks_at_keys {
            self.on_key_work_start();
        }
        self.accumulators.connects += 1;
        self.scan_number += 1;
        self.scans.forgets_refusals = false;
        self.scans.forgets_stores = false;
        let recognises = self.scans.recognises_again;
        let counts = looks_at_sessions && !recognises && !self.stores.is_empty();
        let gate = if counts { self.note_pass_started() } else { None };
        let number = self.scan_number;
        let reports = self.reports.0.clone();
        let task = ScanTask {
            config: self.config.clone(),
            looks_at_sessions,
            looks_at_keys,
            runs_scripts,
            is_replica: self.is_replica == Some(true),
            stores: if recognises { Arc::new([]) } else { self.stores.clone() },
            connector: self.connector.clone(),
            paced,
            memory: self.scans.memory.clone(),
            paused: self.scans.paused.take(),
            pause: (!self.scans.never_pauses).then(|| self.scans.pause.clone()),
            number,
            replication_id: self.scans.replication_id.clone(),
        };
        self.scan_task = Some(AbortOnDrop::spawn(async move {
            if let Some(gate) = gate {
                // A gate whose other side is gone is open too.
                let _ = gate.await;
            }
            let started = Instant::now();
            let end = scan::run(task, &reports).await;
            let _ = reports
                .send(Report::ScanEnded(number, Box::new(end), started.elapsed()))
                .await;
        }));
    }

    /// Takes in what a pass that has ended still had to say. One that panicked says nothing, which is a failure.
    fn bury_scan(&mut self) {
        if self.scan_task.is_none() {
            return;
        }
        while let Ok(report) = self.reports.1.try_recv() {
            self.on_report(report);
        }
        if self.scan_task.take().is_some() {
            self.on_scan_panicked();
        }
    }

    /// The task of a pass ended without a report.
    pub(super) fn on_scan_panicked(&mut self) {
        if self.scans() {
            self.note_collector("sessions", Err(PANICKED.to_owned()), Duration::ZERO);
        }
        self.on_key_work_panicked();
        if self.runs_scripts() {
            self.note_collector(scripts::COLLECTOR, Err(PANICKED.to_owned()), Duration::ZERO);
        }
    }

    /// Whether there are scripts and a server for them: a Sentinel knows no EVAL.
    fn runs_scripts(&self) -> bool {
        scripts::are_wanted(&self.config) && !self.is_sentinel
    }

    /// Takes away what scripts returned, and what is remembered of their turns.
    fn withdraw_scripts(&mut self) {
        self.sections.retain(|key, _| key.collector != scripts::COLLECTOR);
        self.collector_states.remove(scripts::COLLECTOR);
    }

    /// Shows what the scripts of `lua` returned. `is_failure_counted` says that something else has failed in the same pass.
    fn note_scripts(&mut self, end: Result<(Runs, Duration), ScanFailure>, is_failure_counted: bool) {
        // It may have been switched off meanwhile.
        if !self.runs_scripts() {
            return;
        }
        let (runs, duration) = match end {
            Ok(end) => end,
            Err(failure) => {
                if !is_failure_counted {
                    self.count_scan_failure(&failure);
                    self.publish_ping();
                }
                self.note_collector(scripts::COLLECTOR, Err(failure.error.message), Duration::ZERO);
                return;
            }
        };
        if !self.scans() {
            self.last_success.insert("scan", SystemTime::now());
        }
        let verdict = runs.verdict();
        match runs.unavailable {
            // The command was named in the log already.
            Some(_) if runs.runs.is_empty() => {
                let key = SectionKey {
                    collector: scripts::COLLECTOR,
                    part: publish::VALUES,
                };
                self.sections.remove(&key);
                self.remember_turn(scripts::COLLECTOR, verdict.err(), duration);
            }
            _ => {
                let samples = runs.samples();
                self.accumulators.dropped.label_values += samples.dropped();
                let lifetime = self.config.poll.scan_stale_after(duration);
                self.show(scripts::COLLECTOR, publish::VALUES, samples, Some(lifetime));
                self.note_collector(scripts::COLLECTOR, verdict, duration);
            }
        }
        if let Some(state) = self.collector_states.get_mut(scripts::COLLECTOR) {
            state.unavailable = runs.unavailable.map(|(_, reason)| reason);
        }
    }

    pub(super) fn on_scan_report(&mut self, report: ScanReport) {
        match report {
            ScanReport::Progress(progress) => self.on_scan_progress(progress),
            ScanReport::Connect => self.accumulators.connects += 1,
            ScanReport::Failed { reason, at_connect } => {
                self.accumulators.connect_failures += u64::from(at_connect);
                self.accumulators.errors.add(reason);
                self.publish_ping();
            }
        }
    }

    fn on_scan_progress(&mut self, progress: ScanProgress) {
        let ScanProgress {
            database,
            keys_examined,
            redis_seconds,
            lookups,
            misses,
        } = progress;
        *self.accumulators.scanned_keys.entry(database).or_default() += keys_examined;
        *self.accumulators.scan_redis_seconds.entry(database).or_default() += redis_seconds;
        *self.accumulators.keyspace_lookups.entry(database).or_default() += lookups;
        *self.accumulators.keyspace_misses.entry(database).or_default() += misses;
        self.show_session_counters();
    }

    /// What scans have cost, and what this exporter has looked up in whatever way.
    pub(super) fn show_session_counters(&mut self) {
        let counters = publish::session_counters(&self.accumulators);
        self.show("sessions", publish::COUNTERS, counters, None);
    }

    pub(super) fn on_scan_end(&mut self, mut end: ScanEnd, duration: Duration) {
        self.scans.memory = std::mem::take(&mut end.memory);
        if std::mem::take(&mut self.scans.forgets_refusals) {
            self.scans.memory.forget_refusals();
        }
        if std::mem::take(&mut self.scans.forgets_stores) {
            self.scans.memory.forget_stores();
        }
        self.scans.last_pass = duration;
        self.scans.told = None;
        self.scans.paused = end.paused.take();
        if std::mem::take(&mut self.scans.was_asked_to_pause) {
            self.scan.hasten(Instant::now());
        }
        let keys = end.keys.take();
        if !end.has_told_sessions {
            let looks_at_keys = keys.as_ref().is_some_and(|keys| !keys.collectors.is_empty());
            self.take_sessions(end, duration, looks_at_keys);
        }
        if let Some(keys) = keys {
            self.on_key_work_end(keys, self.scans.have_sessions_failed);
        }
    }

    /// A pass has told of sessions and scripts, and goes on with other keys.
    pub(super) fn on_sessions_told(&mut self, end: ScanEnd, duration: Duration) {
        self.scans.told = Some((Instant::now(), duration));
        self.take_sessions(end, duration, false);
    }

    /// Shows what a pass found of sessions, and what its scripts returned. `counts_failures` says that a failure of the scripts' is counted
    /// for somebody else.
    fn take_sessions(&mut self, mut end: ScanEnd, duration: Duration, counts_failures: bool) {
        self.accumulators.dropped.label_values += end.dropped_apps;
        let have_failed = end.outcome.is_err();
        self.scans.have_sessions_failed = have_failed;
        if let Some(scripts) = end.scripts.take() {
            let has_recognised = |found: &Recognised| !found.accepted.is_empty();
            self.scans.has_run_scripts = end.recognised.as_ref().is_some_and(has_recognised);
            self.note_scripts(scripts, have_failed || counts_failures);
        }
        if !end.looked_at_sessions {
            return;
        }
        match end.outcome {
            Ok(outcome) => {
                if let Some(recognised) = end.recognised {
                    self.on_recognised(recognised);
                    self.last_success.insert("scan", SystemTime::now());
                }
                if let Some(outcome) = outcome {
                    self.on_counted(&outcome, end.share_of_keys);
                }
                self.note_collector("sessions", Ok(()), duration);
                self.note_missing(end.missing);
            }
            Err(failure) => self.on_scan_failure(failure, duration),
        }
    }

    fn on_counted(&mut self, outcome: &ScanOutcome, share_of_keys: Option<f64>) {
        // Where the last pass was the longer one, with other keys that could not make room, the next figures come as late.
        let lifetime = self
            .config
            .poll
            .scan_stale_after(outcome.duration.max(self.scans.last_pass));
        let samples = publish::session_samples(&self.stores, outcome);
        self.show("sessions", publish::VALUES, samples, Some(lifetime));
        let lasting = publish::lasting_session_samples(&self.stores, outcome);
        self.show("sessions", publish::LASTING, lasting, None);
        self.note_counts(outcome, lifetime);
        self.last_success.insert("scan", outcome.ended_at);
        self.note_share_of_keys(share_of_keys);
        // One store whose type is not known may be of any.
        let types: Option<BTreeSet<_>> = self.stores.iter().map(|store| store.key_type).collect();
        self.knowledge.key_types = types.unwrap_or_default();
    }

    fn on_scan_failure(&mut self, failure: ScanFailure, duration: Duration) {
        if failure.is_denied() {
            // One command that the user may not run is no failed exchange, and is not tried again at every interval.
            self.scan_denied_at = Some(Instant::now());
            self.withdraw_sessions();
            self.note_collector("sessions", Err(failure.error.message), duration);
            if let Some(state) = self.collector_states.get_mut("sessions") {
                state.unavailable = Some(Unavailable::Denied);
            }
            return;
        }
        self.count_scan_failure(&failure);
        self.note_collector("sessions", Err(failure.error.message), duration);
        self.publish_ping();
    }

    /// A replica that is scanned in place of the instance says nothing about the instance.
    fn count_scan_failure(&mut self, failure: &ScanFailure) {
        if !failure.at_replica {
            self.accumulators.connect_failures += u64::from(failure.at_connect);
            self.accumulators.errors.add(failure.error.reason);
        }
    }

    /// Says what of the figures is absent, once until it changes.
    fn note_missing(&mut self, missing: BTreeSet<Missing>) {
        for Missing { command, store, reason } in missing.difference(&self.scans.reported) {
            let command = command.replace('|', " ").to_uppercase();
            let store = store.as_deref().unwrap_or("all");
            tracing::warn!(
                instance = %self.name, %command, %store, reason = reason.as_label(),
                "a command about single sessions is not to be had; what needs it is absent, and `check` names what mends it"
            );
        }
        if let (Some(state), Some(first)) = (self.collector_states.get_mut("sessions"), missing.first()) {
            state.unavailable = Some(first.reason);
        }
        self.scans.reported = missing;
    }

    /// Takes what `sessions: auto` found. Stores that were accepted stay until a reload, also when they are empty.
    fn on_recognised(&mut self, recognised: Recognised) {
        self.scans.recognises_again = false;
        let facts = RecognitionFacts {
            accepted: recognised.accepted.iter().map(|preset| preset.name).collect(),
            unsure: recognised
                .unsure
                .into_iter()
                .map(|(preset, sentence)| (preset.name, sentence))
                .collect(),
            keys_observed: recognised.keys_observed,
        };
        let database = self.config.address.database;
        let stores = recognised
            .accepted
            .iter()
            .map(|preset| StoreConfig::of_preset(preset, database));
        let stores: Arc<[StoreConfig]> = stores.collect();
        self.tell_of_recognition(&facts);
        self.details.recognition = Some(Arc::new(facts));
        if stores != self.stores {
            self.stores = stores;
            self.scans.forget_stores();
            self.on_stores_changed();
            self.withdraw_sessions();
        }
        if !self.stores.is_empty() {
            self.scans.owes_count = true;
            self.scan.hasten(Instant::now());
        }
    }

    /// Says what was found, not sure or not there yet, each once until it changes.
    fn tell_of_recognition(&self, facts: &RecognitionFacts) {
        let before = self.details.recognition.as_deref();
        let name = &self.name;
        let keys = facts.keys_observed;
        let is_new = |accepted: &[&str]| before.is_none_or(|before| before.accepted != accepted);
        if is_new(&facts.accepted) {
            if facts.accepted.is_empty() {
                tracing::info!(
                    instance = %name, keys,
                    "no session library is recognised by its keys yet; sessions_active is absent until one is, or until a store is named under `sessions`"
                );
            } else {
                let presets = facts.accepted.join(", ");
                tracing::info!(instance = %name, %presets, keys, "session libraries are recognised by their keys");
            }
        }
        for (preset, sentence) in &facts.unsure {
            // Counts in the sentence change from look to look; the preset does not.
            let is_known = before.is_some_and(|before| before.unsure.iter().any(|(known, _)| known == preset));
            if !is_known {
                tracing::info!(instance = %name, %preset, "perhaps a session library: {sentence}");
            }
        }
    }

    /// What was found by earlier looks is asked anew after a reload: permissions may have been mended, and a library that was
    /// recognised may have been replaced.
    pub(super) fn forget_scan_findings(&mut self) {
        self.scans.memory.forget_refusals();
        self.scans.forgets_refusals = self.scan_task.is_some();
        self.scans.reported.clear();
        self.scans.reported_keys.clear();
        self.scans.has_run_scripts = false;
        if self.config.sessions.is_auto() && !self.stores.is_empty() {
            self.scans.recognises_again = true;
            self.scan.hasten(Instant::now());
        }
    }

    /// Another server is watched: nothing that was recognised or remembered is about it.
    pub(super) fn forget_recognised_stores(&mut self) {
        self.scans = Scans::default();
        self.details.recognition = None;
        if self.config.sessions.is_auto() {
            self.stores = Arc::new([]);
            self.on_stores_changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Surroundings;
    use super::*;
    use crate::config::{Environment, load_str};
    use crate::snapshot::SnapshotStore;
    use std::path::Path;

    #[tokio::test]
    async fn a_pass_that_panicked_is_a_failure_of_its_collector() {
        let loaded = load_str(
            "instances: [{name: a, address: 'redis://127.0.0.1:1', sessions: [{store: web, match: 'sess:*'}]}]",
            "test",
            Path::new(""),
            &Environment::of_pairs(&[]),
        )
        .unwrap();
        let store = Arc::new(SnapshotStore::new());
        let surroundings = Surroundings::new(&store, &loaded.config, "a");
        let mut instance = Instance::new(loaded.config.instances[0].clone(), surroundings);
        instance.role_is_settled = true;
        let mut task = AbortOnDrop::spawn(async { panic!("on purpose") });
        task.ended().await;
        instance.scan_task = Some(task);
        instance.start_scan(true);
        let error = instance.collector_states["sessions"].error.as_deref();
        assert_eq!(error, Some(PANICKED));
        assert!(instance.scan_task.is_some(), "and the next pass begins");
    }

    #[test]
    fn other_keys_make_room_once_they_have_had_as_long_a_turn_as_sessions() {
        let (turn, since) = (Duration::from_secs(1000), Instant::now());
        let mut scans = Scans::default();
        assert!(!scans.ask_to_pause(), "no pass, or one that still counts sessions");
        scans.told = Some((since, turn));
        assert!(!scans.ask_to_pause(), "not yet");
        scans.told = Some((since, Duration::ZERO));
        assert!(scans.ask_to_pause());
        assert!(!scans.ask_to_pause(), "it was asked already");
        scans.forget_key_work();
        assert!(!scans.has_told_sessions() && !scans.ask_to_pause());
        scans.told = Some((since, Duration::ZERO));
        scans.never_pause();
        assert!(!scans.ask_to_pause(), "a command that ends by itself waits");
    }
}
