//! The task of one instance: it owns the kept connection, the schedule, the verdicts and everything that accumulates.
//!
//! `exchanges` holds what happens on the kept connection (PING, INFO), `actors` what runs beside it (the fresh connection), `scans` the scans.

mod actors;
mod application;
mod counts;
mod exchanges;
mod key_work;
mod limits;
mod scans;
mod session_probe;
pub(super) mod tls;

use super::Configuration;
use super::accumulators::Accumulators;
use super::info_poll::{self, RunningCollector};
use super::publish;
use super::scan::{ScanEnd, ScanReport, SessionsEnd};
use super::schedule::{Ticker, start_delay};
use super::task::AbortOnDrop;
use crate::collectors::{Server, SessionKnowledge, operations};
use crate::config::{InstanceConfig, StoreConfig, ValidatedConfig};
use crate::metric::Samples;
use crate::redis::capabilities::Capabilities;
use crate::redis::{Connection, Connector, Handshake, Reason, RedisError, TlsHandshake, TlsReason, Unavailable};
use crate::snapshot::details::{CollectorFacts, InstanceDetails};
use crate::snapshot::{InstanceSnapshot, Registration, Section, SectionKey, SnapshotStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Errors in words that are kept per instance for the status page and the detailed health answer.
const KEPT_ERRORS: usize = 10;

/// A turn of the task waits for at most five exchanges (those of the synthetic session and a search for a slot of its own; a PING that comes
/// between them is a turn of its own), each with its own deadline; a task that did not turn for the longest pause between ticks plus this many deadlines is wedged.
const TURN_DEADLINES: u32 = 5;

/// Results of the tasks beside the instance's own; each kind has at most one under way, so this is never full.
const RESULT_QUEUE: usize = 8;

/// What every instance task needs beside its own configuration.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where snapshots go.
    pub store: Arc<SnapshotStore>,
    /// How many instances there are, for the spread of starts.
    pub instances: usize,
    /// The right to publish under the instance's name.
    pub registration: Registration,
}

impl Surroundings {
    /// The surroundings of the instance `name` of this configuration; registers it in the store.
    pub fn new(store: &Arc<SnapshotStore>, config: &ValidatedConfig, name: &str) -> Self {
        Self {
            store: store.clone(),
            instances: config.instances.len(),
            registration: store.register(name),
        }
    }
}

/// What the tasks beside the instance's own report.
#[derive(Debug)]
enum Report {
    /// The fresh connection of the `connect` collector ended.
    Probe(Handshake, Result<(), RedisError>, Duration),
    /// A scan is under way. What it costs and what fails is counted whatever becomes of the pass.
    Scan(ScanReport),
    /// A scan pass has ended for sessions and scripts, and goes on with other keys.
    Sessions(SessionsEnd),
    /// The scan pass with this number ended. A pass that was given up may still report; it is not the one under way then.
    ScanEnded(u64, Box<ScanEnd>, Duration),
}

impl From<ScanReport> for Report {
    fn from(report: ScanReport) -> Self {
        Self::Scan(report)
    }
}

impl From<SessionsEnd> for Report {
    fn from(end: SessionsEnd) -> Self {
        Self::Sessions(end)
    }
}

/// The verdict on the kept connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// `ok` or the reason of the last failure.
    pub state: Option<Reason>,
    /// `redis_connection_status`: the last PING answered PONG and nothing failed since.
    pub connected: bool,
    /// `redis_up`: the last exchange was answered.
    pub up: bool,
}

/// What is remembered of a collector between its turns.
#[derive(Debug, Clone, Default)]
pub struct CollectorState {
    /// Whether its last turn published.
    pub success: bool,
    /// How long that turn took.
    pub duration: Duration,
    /// A command that it misses.
    pub unavailable: Option<Unavailable>,
    /// Why it did not publish, in words.
    pub error: Option<String>,
    /// Whether the log was told that it has failed, so that it is told when it works again.
    pub complained: bool,
}

/// One instance being polled.
#[derive(Debug)]
pub struct Instance {
    pub(super) config: Arc<InstanceConfig>,
    surroundings: Surroundings,
    connector: Connector,
    connection: Option<Connection>,
    pub(super) capabilities: Capabilities,
    pub(super) server: Option<Server>,
    running: Vec<RunningCollector>,
    /// What collectors that are switched off have accumulated.
    shelf: info_poll::Shelf,
    pub(super) accumulators: Accumulators,
    pub(super) collector_states: BTreeMap<&'static str, CollectorState>,
    pub(super) verdict: Option<Verdict>,
    /// Last success per kind of poll, wall clock.
    pub(super) last_success: BTreeMap<&'static str, SystemTime>,
    pub(super) last_connect: Option<Duration>,
    pub(super) last_info_duration: Option<Duration>,
    pub(super) ping: Ticker,
    pub(super) info: Ticker,
    pub(super) scan: Ticker,
    pub(super) connect: Ticker,
    pub(super) sections: BTreeMap<SectionKey, Arc<Section>>,
    pub(super) details: InstanceDetails,
    label_block: Arc<str>,
    name: Arc<str>,
    /// What the last INFO said; `None` before the first, or when it is denied.
    is_replica: Option<bool>,
    /// What the last INFO said: a server in Sentinel mode holds no keys, so that nothing is looked for among them.
    is_sentinel: bool,
    /// Whether INFO has been answered, be it by a denial: what may be scanned is known then.
    role_is_settled: bool,
    previous_refusals: Option<f64>,
    /// The last INFO batch failed. A PING that succeeds meanwhile does not end that failure in the log.
    info_failing: bool,
    /// The failure that the log was told about last; an inner `None` once it was told that Redis answers. TLS fails for reasons that somebody else
    /// mends each time, a new certificate of the wrong authority behind one that has expired.
    logged_failure: Option<Option<(Reason, Option<TlsReason>)>>,
    /// INFO was left out because there was no connection; it is due as soon as there is one.
    info_owed: bool,
    /// Commands that are not to be had here and were logged as such.
    reported_missing: BTreeSet<(String, Unavailable)>,
    /// What the TLS handshake of the kept connection showed; `None` without TLS.
    kept_handshake: Option<TlsHandshake>,
    probe_task: Option<AbortOnDrop>,
    scan_task: Option<AbortOnDrop>,
    /// The stores that are counted: those of the file, or those that were recognised.
    pub(super) stores: Arc<[StoreConfig]>,
    /// What scans and events found out, for collectors.
    pub(super) knowledge: SessionKnowledge,
    /// The session counts between scans, and the listener to keyspace notifications.
    counts: counts::Counts,
    /// The synthetic session.
    session_probe: session_probe::SessionProbe,
    /// The application's own metrics.
    application: application::Application,
    /// What scans leave to each other, and what was recognised.
    scans: scans::Scans,
    /// Number of the last pass that was started.
    scan_number: u64,
    /// When scanning was found to be denied.
    scan_denied_at: Option<Instant>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
}

impl Instance {
    /// An instance that has not polled yet.
    pub fn new(config: Arc<InstanceConfig>, surroundings: Surroundings) -> Self {
        let now = Instant::now();
        let poll = &config.poll;
        let start = now + start_delay(surroundings.instances, poll.ping_interval);
        Self {
            connector: Connector::new(&config),
            connection: None,
            capabilities: Capabilities::default(),
            server: None,
            running: info_poll::collectors_of(&config),
            shelf: info_poll::Shelf::new(),
            accumulators: Accumulators::default(),
            collector_states: BTreeMap::new(),
            verdict: None,
            last_success: BTreeMap::new(),
            last_connect: None,
            last_info_duration: None,
            ping: Ticker::new(poll.ping_interval, start),
            info: Ticker::new(poll.info_interval, start),
            scan: Ticker::new(poll.scan_interval, start),
            connect: Ticker::new(poll.connect_interval, start),
            sections: BTreeMap::new(),
            details: InstanceDetails::default(),
            label_block: publish::label_block(&config),
            name: config.name.as_str().into(),
            is_replica: None,
            is_sentinel: false,
            role_is_settled: false,
            previous_refusals: None,
            info_failing: false,
            logged_failure: None,
            info_owed: false,
            reported_missing: BTreeSet::new(),
            kept_handshake: None,
            probe_task: None,
            scan_task: None,
            stores: config.sessions.configured().into(),
            knowledge: SessionKnowledge::default(),
            counts: counts::Counts::new(),
            session_probe: session_probe::SessionProbe::new(&config, start),
            application: application::Application::new(&config, start),
            scans: scans::Scans::default(),
            scan_number: 0,
            scan_denied_at: None,
            reports: mpsc::channel(RESULT_QUEUE),
            config,
            surroundings,
        }
    }

    /// Polls until the task is aborted or the sender of configurations is gone.
    pub async fn run(mut self, mut configurations: watch::Receiver<Configuration>) {
        self.tell_of_missing_stores();
        self.tell_of_key_work();
        self.publish();
        // One that was started again after a panic takes its next configuration for a reload in any case, which costs one round of polls.
        let mut reloads = 0;
        loop {
            self.details.last_turn = Some(std::time::Instant::now());
            tokio::select! {
                biased;
                changed = configurations.changed() => match changed {
                    Ok(()) => {
                        let told = configurations.borrow_and_update().clone();
                        if told.reloads == reloads {
                            self.on_other_networks(told.instance);
                        } else {
                            reloads = told.reloads;
                            self.on_reload(told.instance);
                        }
                    }
                    Err(_) => return,
                },
                Some(report) = self.reports.1.recv() => self.on_report(report),
                () = tokio::time::sleep_until(self.ping.next()) => {
                    self.on_ping().await;
                    self.ping.advance(Instant::now());
                }
                () = tokio::time::sleep_until(self.info.next()) => {
                    self.on_info().await;
                    self.info.advance(Instant::now());
                }
                () = tokio::time::sleep_until(self.session_probe.ticker.next()), if self.session_probe.is_on => {
                    self.on_session_probe().await;
                    self.session_probe.ticker.advance(Instant::now());
                }
                () = tokio::time::sleep_until(self.application.ticker.next()), if self.application.is_on => {
                    self.on_application().await;
                    self.application.ticker.advance(Instant::now());
                }
                due = self.counts.due() => self.on_counts_due(due).await,
                () = tokio::time::sleep_until(self.connect.next()) => {
                    self.start_probe();
                    self.connect.advance(Instant::now());
                }
                () = tokio::time::sleep_until(self.scan.next()), if self.role_is_settled => {
                    self.start_scan(true);
                    self.scan.advance(Instant::now());
                }
            }
            self.publish();
        }
    }

    /// Polls everything once, the scan included, and publishes it. Returns whether every poll that is configured succeeded.
    pub async fn run_once(&mut self, paced: bool) -> bool {
        self.counts.never_listen();
        self.scans.never_pause();
        self.tell_of_key_work();
        self.on_ping().await;
        self.on_info().await;
        self.on_session_probe().await;
        self.on_application().await;
        self.start_probe();
        self.start_scan(paced);
        self.finish_tasks().await;
        if self.scans.take_owed_count() {
            // The first pass recognised the stores; this one counts them.
            self.start_scan(paced);
            self.finish_tasks().await;
        }
        self.publish();
        let polled = |kind: &str| self.last_success.contains_key(kind);
        polled("ping") && polled("info") && (!self.scans() || polled("scan")) && self.has_done_key_work()
    }

    /// A node may be dialled in other networks from now on. Connections stay, since their addresses were checked when they were made, and
    /// so does what was refused.
    fn on_other_networks(&mut self, config: Arc<InstanceConfig>) {
        self.connector = self.connector.succeeded_by(&config);
        self.config = config;
    }

    /// A reload. Permissions may have been mended together with the file, so what was refused is tried again in any case.
    fn on_reload(&mut self, config: Arc<InstanceConfig>) {
        let was_refused = !self.capabilities.all().is_empty();
        self.capabilities = Capabilities::default();
        self.application.retry();
        self.reported_missing.clear();
        self.forget_scan_findings();
        self.session_probe.forget_refusal();
        self.forget_refused_events();
        if self.scan_denied_at.take().is_some() {
            self.scan.hasten(Instant::now());
        }
        if *self.config != *config {
            self.reconfigure(config);
        } else if was_refused {
            self.info.hasten(Instant::now());
        }
    }

    /// Takes a changed configuration. What accumulates stays, and so does everything that would be made in the same way.
    fn reconfigure(&mut self, config: Arc<InstanceConfig>) {
        let now = Instant::now();
        let old = std::mem::replace(&mut self.config, config);
        let new = self.config.clone();
        let same_server = old.address == new.address;
        let same_login =
            same_server && (&old.username, &old.password, &old.tls) == (&new.username, &new.password, &new.tls);
        if !same_server {
            self.forget_server();
        }
        if !same_login {
            self.connection = None;
            self.server = None;
            self.probe_task = None;
            self.info_owed = true;
            self.ping.hasten(now);
            self.connect.hasten(now);
        }
        self.connector = self.connector.succeeded_by(&new);
        self.running = info_poll::successors_of(std::mem::take(&mut self.running), &new, &mut self.shelf);
        self.label_block = publish::label_block(&new);
        let on = |name: &str| new.collectors.get(name).copied().unwrap_or(true);
        self.sections
            .retain(|key, _| key.collector == publish::EXPORTER || on(key.collector));
        self.collector_states.retain(|name, _| on(name));
        if !on("connect") {
            self.details.fresh_connection = None;
        }
        if !on("sessions") {
            let were_on = old.collectors.get("sessions").copied().unwrap_or(true);
            if were_on {
                // One that only looks at other keys goes on.
                self.give_up_scan();
                self.scan.hasten(now);
            }
            self.withdraw_sessions();
        }
        if (&old.sessions, &old.scan) != (&new.sessions, &new.scan) || !same_login {
            self.give_up_scan();
            self.scan.hasten(now);
        }
        self.on_key_work_reconfigured(&old, same_server);
        if old.optional.lua != new.optional.lua {
            self.scan.hasten(now);
        }
        self.session_probe.reconfigure(&new, now);
        if !self.session_probe.is_on {
            self.end_session_probe();
        }
        self.reconfigure_application(&old, &new, now);
        if old.sessions != new.sessions {
            self.stores = new.sessions.configured().into();
            self.scans.forget_stores();
            self.details.recognition = None;
            self.on_stores_changed();
            self.withdraw_sessions();
            self.tell_of_missing_stores();
        }
        self.on_counts_reconfigured(same_server, same_login);
        self.ping.set_interval(new.poll.ping_interval, now);
        self.info.set_interval(new.poll.info_interval, now);
        self.scan.set_interval(new.poll.scan_interval, now);
        self.connect.set_interval(new.poll.connect_interval, now);
        // A change of something common reaches all instances at once; their polls are spread as at the start.
        self.info
            .hasten(now + start_delay(self.surroundings.instances, new.poll.info_interval));
        tracing::info!(instance = %self.name, "the instance's configuration changed");
    }

    /// Says in the log why `sessions_active` is absent, where nothing is named that could be counted.
    fn tell_of_missing_stores(&self) {
        if self.is_on("sessions") && self.stores.is_empty() && !self.config.sessions.is_auto() {
            tracing::info!(
                instance = %self.name,
                "no session store is configured; sessions_active is absent until one is named under `sessions`"
            );
        }
    }

    /// Forgets everything that was read from the server that is not watched any more. Counters of our own stay.
    fn forget_server(&mut self) {
        self.sections.retain(|key, _| key.part == publish::COUNTERS);
        self.collector_states.clear();
        self.last_success.clear();
        self.verdict = None;
        self.is_replica = None;
        self.is_sentinel = false;
        self.role_is_settled = false;
        self.previous_refusals = None;
        self.info_failing = false;
        self.logged_failure = None;
        self.details.info = None;
        self.details.info_failure = None;
        self.details.fresh_connection = None;
        self.details.tls = None;
        self.details.ping_seconds = None;
        self.details.sessions.clear();
        self.forget_recognised_stores();
        self.forget_keys();
        self.details.session_probe = None;
        self.details.application = None;
    }

    /// Takes the figures of the last scan away, since they are about other keys than those asked for now.
    fn withdraw_sessions(&mut self) {
        self.sections
            .retain(|key, _| key.collector != "sessions" || key.part == publish::COUNTERS);
        self.details.sessions.clear();
        self.forget_keys();
        self.forget_counts();
    }

    /// Takes what share of all keys are sessions, 0 to 1, as a scan has found it.
    fn note_share_of_keys(&mut self, share: Option<f64>) {
        let were_before = self.knowledge.are_keys_sessions;
        self.knowledge.are_keys_sessions = operations::are_nearly_all_sessions(were_before, share);
        self.details.are_keys_sessions = self.knowledge.are_keys_sessions;
    }

    /// Forgets what scans have found out about the keys of the server: it is another one, or other keys are asked for.
    fn forget_keys(&mut self) {
        self.knowledge.are_keys_sessions = false;
        self.knowledge.key_types.clear();
        self.details.are_keys_sessions = false;
    }

    /// Ends a pass under way; what it still reports about its end is not listened to.
    fn give_up_scan(&mut self) {
        self.scan_task = None;
        self.scan_number += 1;
        self.scan_denied_at = None;
        self.scans.forget_key_work();
    }

    fn is_on(&self, collector: &str) -> bool {
        self.config.collectors.get(collector).copied().unwrap_or(true)
    }

    /// Whether the server may hold sessions at all: not one in Sentinel mode, which has no keys, and no Tile38, whose SCAN is another command.
    fn has_sessions(&self) -> bool {
        !self.is_sentinel && !self.config.optional.compatibility.tile38
    }

    fn scans(&self) -> bool {
        let has_something = !self.stores.is_empty() || self.config.sessions.is_auto();
        self.is_on("sessions") && has_something && self.is_replica != Some(true) && self.has_sessions()
    }

    /// Makes a section of samples and counts what it had to leave out.
    fn show(&mut self, collector: &'static str, part: &'static str, mut samples: Samples, lifetime: Option<Duration>) {
        if collector != application::COLLECTOR && !self.config.application_metrics.is_empty() {
            samples.retain(|descriptor| !self.config.is_replaced(descriptor.name));
        }
        let section = publish::section(collector, samples, lifetime);
        self.accumulators.dropped.add(&section.chunks);
        self.sections.insert(SectionKey { collector, part }, Arc::new(section));
    }

    fn publish_ping(&mut self) {
        if !self.is_on("ping") {
            return;
        }
        self.show(
            "ping",
            publish::COUNTERS,
            publish::ping_counters(&self.accumulators),
            None,
        );
        if let Some(verdict) = self.verdict {
            // At least what lies between two failures: a verdict that left in between would restart the clock of every alert on it.
            let lifetime = self.config.poll.ping_stale_after;
            self.show("ping", publish::VALUES, publish::ping_samples(verdict), Some(lifetime));
        }
    }

    /// Hands the state of this moment to the readers.
    fn publish(&mut self) {
        self.publish_tls_counters();
        let own = publish::exporter_samples(self);
        self.show(publish::EXPORTER, publish::VALUES, own, None);
        self.note_errors_of_last_hour();
        let poll = &self.config.poll;
        self.details.address = self.config.address.to_string();
        self.details.turn_limit = poll.ping_interval.max(poll.timeout) + poll.timeout * TURN_DEADLINES;
        self.details.last_turn = Some(std::time::Instant::now());
        self.details.state = self.verdict.map(|verdict| verdict.state);
        self.details.up = self.verdict.map(|verdict| verdict.up);
        self.details.connected = self.verdict.map(|verdict| verdict.connected);
        self.details.collectors = self
            .collector_states
            .iter()
            .map(|(name, state)| CollectorFacts {
                name,
                success: state.success,
                duration_seconds: state.duration.as_secs_f64(),
                error: state.error.clone(),
            })
            .collect();
        self.surroundings.store.publish(
            self.surroundings.registration,
            InstanceSnapshot {
                name: self.name.clone(),
                environment: self.config.environment.as_str().into(),
                label_block: self.label_block.clone(),
                sections: self.sections.clone(),
                details: Arc::new(self.details.clone()),
            },
        );
    }
}

#[cfg(test)]
mod tile38_tests;
