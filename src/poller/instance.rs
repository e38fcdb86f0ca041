//! The task of one instance: it owns the kept connection, the schedule, the verdicts and everything that accumulates.
//!
//! `exchanges` holds what happens on the kept connection (PING, INFO), `actors` what runs beside it (the fresh connection, scans).

mod actors;
mod exchanges;

use super::accumulators::Accumulators;
use super::info_poll::{self, RunningCollector};
use super::publish;
use super::scan::{ScanFailure, ScanOutcome};
use super::schedule::{Ticker, start_delay};
use super::task::AbortOnDrop;
use crate::collectors::Server;
use crate::config::{InstanceConfig, ValidatedConfig};
use crate::redis::capabilities::Capabilities;
use crate::redis::{Connection, Connector, Handshake, Reason, RedisError, Unavailable};
use crate::snapshot::details::{CollectorFacts, InstanceDetails};
use crate::snapshot::{InstanceSnapshot, Registration, Section, SectionKey, SnapshotStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Errors in words that are kept per instance for the status page and the detailed health answer.
const KEPT_ERRORS: usize = 10;

/// A turn of the task waits for at most two exchanges (reconnect with PING, or INFO's two round trips), each with its own
/// deadline; a task that did not turn for the longest pause between ticks plus this many deadlines is wedged.
const TURN_DEADLINES: u32 = 4;

/// Exchanges that may lie between two verdicts: one of PING and one of INFO; the second round trip of INFO shares its deadline.
/// One more for a machine that is late itself.
const TURN_EXCHANGES: u32 = 3;

/// Results of the tasks beside the instance's own; each kind has at most one under way, so this is never full.
const RESULT_QUEUE: usize = 8;

/// What every instance task needs beside its own configuration.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where snapshots go.
    pub store: Arc<SnapshotStore>,
    /// How many instances there are, for the spread of starts.
    pub instances: usize,
    /// Most key hashes that a scan remembers per store (`limits.scan_remembered_keys`).
    pub scan_remembered_keys: usize,
    /// The right to publish under the instance's name.
    pub registration: Registration,
}

impl Surroundings {
    /// The surroundings of the instance `name` of this configuration; registers it in the store.
    pub fn new(store: &Arc<SnapshotStore>, config: &ValidatedConfig, name: &str) -> Self {
        Self {
            store: store.clone(),
            instances: config.instances.len(),
            scan_remembered_keys: config.limits.scan_remembered_keys,
            registration: store.register(name),
        }
    }
}

/// What the tasks beside the instance's own report.
#[derive(Debug)]
enum Report {
    /// The fresh connection of the `connect` collector.
    Probe(Handshake, Result<(), RedisError>, Duration),
    /// A scan pass.
    Scan(Result<ScanOutcome, ScanFailure>, Duration),
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
}

/// One instance being polled.
#[derive(Debug)]
pub struct Instance {
    pub(super) config: Arc<InstanceConfig>,
    surroundings: Surroundings,
    connector: Connector,
    connection: Option<Connection>,
    capabilities: Capabilities,
    server: Option<Server>,
    running: Vec<RunningCollector>,
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
    sections: BTreeMap<SectionKey, Arc<Section>>,
    details: InstanceDetails,
    label_block: Arc<str>,
    name: Arc<str>,
    is_replica: bool,
    info_ended_once: bool,
    previous_refusals: Option<f64>,
    /// INFO was left out because there was no connection; it is due as soon as there is one.
    info_owed: bool,
    /// Commands that are not to be had here and were logged as such.
    reported_missing: BTreeSet<(String, Unavailable)>,
    probe_task: Option<AbortOnDrop>,
    scan_task: Option<AbortOnDrop>,
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
            is_replica: false,
            info_ended_once: false,
            previous_refusals: None,
            info_owed: false,
            reported_missing: BTreeSet::new(),
            probe_task: None,
            scan_task: None,
            reports: mpsc::channel(RESULT_QUEUE),
            config,
            surroundings,
        }
    }

    /// Polls until the task is aborted or the sender of configurations is gone.
    pub async fn run(mut self, mut configurations: watch::Receiver<Arc<InstanceConfig>>) {
        self.publish();
        loop {
            self.details.last_turn = Some(std::time::Instant::now());
            tokio::select! {
                biased;
                changed = configurations.changed() => match changed {
                    Ok(()) => {
                        let config = configurations.borrow_and_update().clone();
                        self.reconfigure(config);
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
                () = tokio::time::sleep_until(self.connect.next()) => {
                    self.start_probe();
                    self.connect.advance(Instant::now());
                }
                () = tokio::time::sleep_until(self.scan.next()), if self.info_ended_once => {
                    self.start_scan(true);
                    self.scan.advance(Instant::now());
                }
            }
            self.publish();
        }
    }

    /// Polls everything once, the scan included, and publishes it. Returns whether every poll that is configured succeeded.
    pub async fn run_once(&mut self, paced: bool) -> bool {
        self.on_ping().await;
        self.on_info().await;
        self.start_probe();
        self.start_scan(paced);
        while self.probe_task.is_some() || self.scan_task.is_some() {
            if let Some(report) = self.reports.1.recv().await {
                self.on_report(report);
            }
        }
        self.publish();
        let polled = |kind: &str| self.last_success.contains_key(kind);
        polled("ping") && polled("info") && (!self.scans() || polled("scan"))
    }

    /// Takes a changed configuration. What accumulates stays; the connection goes when it would be made differently.
    fn reconfigure(&mut self, config: Arc<InstanceConfig>) {
        let now = Instant::now();
        let old = std::mem::replace(&mut self.config, config);
        let new = self.config.clone();
        if (&old.address, &old.username, &old.password) != (&new.address, &new.username, &new.password) {
            self.connection = None;
            self.server = None;
            self.verdict = None;
            self.sections.clear();
            self.collector_states.clear();
            self.info_ended_once = false;
        }
        // Permissions may have been mended together with the file, so what was refused is tried again.
        self.capabilities = Capabilities::default();
        self.reported_missing.clear();
        self.connector = Connector::new(&new);
        self.running = info_poll::collectors_of(&new);
        self.label_block = publish::label_block(&new);
        self.probe_task = None;
        self.scan_task = None;
        self.reports = mpsc::channel(RESULT_QUEUE);
        let on = |name: &str| new.collectors.get(name).copied().unwrap_or(true);
        self.sections
            .retain(|key, _| key.collector == publish::EXPORTER || on(key.collector));
        self.collector_states.retain(|name, _| on(name));
        if old.sessions != new.sessions {
            self.sections.retain(|key, _| key.collector != "sessions");
            self.details.sessions.clear();
            self.scan.hasten(now);
        }
        self.ping.set_interval(new.poll.ping_interval, now);
        self.info.set_interval(new.poll.info_interval, now);
        self.scan.set_interval(new.poll.scan_interval, now);
        self.connect.set_interval(new.poll.connect_interval, now);
        self.info.hasten(now);
        self.connect.hasten(now);
        tracing::info!(instance = %self.name, "the instance's configuration changed");
    }

    fn is_on(&self, collector: &str) -> bool {
        self.config.collectors.get(collector).copied().unwrap_or(true)
    }

    fn scans(&self) -> bool {
        self.is_on("sessions") && !self.config.sessions.is_empty() && !self.is_replica
    }

    fn publish_ping(&mut self) {
        if !self.is_on("ping") {
            return;
        }
        let counters = publish::section("ping", publish::ping_counters(&self.accumulators), None);
        self.sections.insert(
            SectionKey {
                collector: "ping",
                part: "counters",
            },
            Arc::new(counters),
        );
        if let Some(verdict) = self.verdict {
            // Before the next verdict a tick may pass, and both a PING and an INFO may run into their deadlines. A verdict that left
            // between two failures would restart the clock of every alert on it.
            let poll = &self.config.poll;
            let lifetime = poll
                .ping_stale_after
                .max(poll.ping_interval + poll.timeout * TURN_EXCHANGES);
            let values = publish::section("ping", publish::ping_samples(verdict), Some(lifetime));
            self.sections.insert(
                SectionKey {
                    collector: "ping",
                    part: "values",
                },
                Arc::new(values),
            );
        }
    }

    /// Hands the state of this moment to the readers.
    fn publish(&mut self) {
        let own = publish::section(publish::EXPORTER, publish::exporter_samples(self), None);
        self.sections.insert(
            SectionKey {
                collector: publish::EXPORTER,
                part: "values",
            },
            Arc::new(own),
        );
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
