//! The task of one instance: it owns the kept connection, the schedule, the verdicts and everything that accumulates.

use super::accumulators::Accumulators;
use super::details::{CollectorFacts, DatedError, InstanceDetails, StoreFacts};
use super::info_poll::{self, CollectorOutcome, RunningCollector};
use super::publish;
use super::scan::{self, ScanFailure, ScanOutcome};
use super::schedule::{Ticker, start_delay};
use super::task::AbortOnDrop;
use crate::collectors::{CollectError, Server, Unavailable};
use crate::config::{InstanceConfig, ValidatedConfig};
use crate::redis::capabilities::Capabilities;
use crate::redis::{Command, Connection, Connector, Handshake, Reason, RedisError};
use crate::snapshot::{InstanceSnapshot, Registration, Section, SectionKey, SnapshotStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Errors in words that are kept per instance for the status page and the detailed health answer.
const KEPT_ERRORS: usize = 10;

/// A turn of the task waits for at most two exchanges (reconnect with PING, or INFO's two round trips), each with its own
/// deadline; a task that did not turn for the longest pause between ticks plus this many deadlines is wedged.
const TURN_DEADLINES: u32 = 4;

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

    /// Makes sure that there is an open connection.
    async fn ensure_connected(&mut self, deadline: Instant) -> Result<(), RedisError> {
        if self.connection.as_mut().is_some_and(Connection::is_idle_and_open) {
            return Ok(());
        }
        self.connection = None;
        self.capabilities = Capabilities::default();
        self.server = None;
        self.accumulators.connects += 1;
        let started = Instant::now();
        match self.connector.connect(deadline).await {
            Ok((connection, _)) => {
                self.last_connect = Some(started.elapsed());
                self.connection = Some(connection);
                Ok(())
            }
            Err((_, error)) => {
                self.accumulators.connect_failures += 1;
                Err(error)
            }
        }
    }

    /// PING on the kept connection, after a reconnect where one is due.
    async fn on_ping(&mut self) {
        let started = Instant::now();
        let deadline = started + self.config.poll.timeout;
        let had_connection = self.connection.is_some();
        self.accumulators.pings += 1;
        let (outcome, waited) = match self.ensure_connected(deadline).await {
            Err(error) => (Err(error), started.elapsed()),
            Ok(()) => {
                let sent = Instant::now();
                (self.exchange_ping(deadline).await, sent.elapsed())
            }
        };
        self.accumulators.ping_duration.observe(waited.as_secs_f64());
        match outcome {
            Ok(()) => {
                self.details.ping_seconds = Some(waited.as_secs_f64());
                self.last_success.insert("ping", SystemTime::now());
                self.note_collector("ping", Ok(()), waited);
                self.judge(Verdict {
                    state: None,
                    connected: true,
                    up: true,
                });
                if !had_connection && self.last_success.contains_key("info") {
                    // Back after a failure: INFO values are due now, not at the end of their interval.
                    self.info.hasten(Instant::now());
                }
            }
            Err(error) => {
                self.accumulators.ping_failures += 1;
                self.details.ping_seconds = None;
                self.note_collector("ping", Err(error.message.clone()), waited);
                self.fail(&error, false);
            }
        }
        self.details.first_poll_ended |= !self.is_on_info();
        self.publish_ping();
    }

    async fn exchange_ping(&mut self, deadline: Instant) -> Result<(), RedisError> {
        let Some(connection) = self.connection.as_mut() else {
            return Err(RedisError {
                reason: Reason::Closed,
                message: "there is no connection".to_owned(),
            });
        };
        let replies = connection.exchange(&[Command::new(1, &["PING"])], deadline).await;
        let outcome = replies.and_then(|replies| crate::redis::expect_pong(replies.first()));
        if let Err(error) = &outcome
            && !error.reason.is_answer()
        {
            self.connection = None;
        }
        outcome
    }

    fn is_on_info(&self) -> bool {
        !self.running.is_empty()
    }

    /// Counts and logs a failed exchange and changes the verdict.
    fn fail(&mut self, error: &RedisError, keeps_connected: bool) {
        self.accumulators.errors.add(error.reason);
        let connected = keeps_connected && self.verdict.is_some_and(|verdict| verdict.connected);
        let changed = self.verdict.is_none_or(|verdict| verdict.state != Some(error.reason));
        if changed {
            self.remember_error(&error.message);
        }
        self.judge(Verdict {
            state: Some(error.reason),
            connected,
            up: error.reason.is_up(),
        });
    }

    fn judge(&mut self, verdict: Verdict) {
        let before = self.verdict.replace(verdict);
        if before.map(|before| before.state) == Some(verdict.state) {
            return;
        }
        match verdict.state {
            None => tracing::info!(instance = %self.name, address = %self.config.address, "Redis answers"),
            Some(reason) => {
                let sentence = self
                    .details
                    .errors
                    .last()
                    .map(|error| error.sentence.clone())
                    .unwrap_or_default();
                let reason = reason.as_label();
                tracing::error!(instance = %self.name, address = %self.config.address, reason, error = %sentence, "Redis does not answer as it should");
            }
        }
    }

    fn remember_error(&mut self, sentence: &str) {
        if self.details.errors.len() >= KEPT_ERRORS {
            self.details.errors.remove(0);
        }
        self.details.errors.push(DatedError {
            at: SystemTime::now(),
            sentence: sentence.to_owned(),
        });
    }

    /// One INFO batch on the kept connection.
    async fn on_info(&mut self) {
        if !self.is_on_info() {
            self.info_ended_once = true;
            return;
        }
        let started = Instant::now();
        let deadline = started + self.config.poll.timeout;
        let open = self.connection.as_mut().is_some_and(Connection::is_idle_and_open);
        let connection = if open { self.connection.as_mut() } else { None };
        let outcome = match connection {
            Some(connection) => {
                let known = self.server.as_ref();
                info_poll::poll(connection, &mut self.running, known, &mut self.capabilities, deadline).await
            }
            // The next PING reconnects and brings INFO forward; a second attempt here would only add to a dead server's load.
            None => {
                self.mark_info_collectors("there is no connection");
                self.end_info(started);
                return;
            }
        };
        match outcome {
            Ok(poll) => {
                self.server = poll.server;
                if let Some(info) = &poll.info {
                    self.is_replica = info.get("role") == Some("slave");
                    self.note_info(info);
                }
                for outcome in poll.outcomes {
                    self.on_collected(outcome);
                }
                self.last_success.insert("info", SystemTime::now());
                if let Some(verdict) = self.verdict
                    && verdict.connected
                {
                    self.judge(Verdict {
                        state: None,
                        connected: true,
                        up: true,
                    });
                }
            }
            Err(error) => {
                let answered = error.reason.is_answer();
                if !answered {
                    self.connection = None;
                }
                self.mark_info_collectors(&error.message);
                self.fail(&error, answered);
            }
        }
        self.end_info(started);
        self.publish_ping();
    }

    fn end_info(&mut self, started: Instant) {
        let duration = started.elapsed();
        self.last_info_duration = Some(duration);
        self.accumulators.info_polls.observe(duration);
        self.details.first_poll_ended = true;
        self.info_ended_once = true;
    }

    fn note_info(&mut self, info: &crate::redis::Info) {
        let Some(server) = &self.server else { return };
        let refusals = crate::collectors::facts::write_refusals(info);
        let mut facts = crate::collectors::facts::facts(info, server, &self.config.expect);
        facts.new_write_refusals = match (self.previous_refusals, refusals) {
            (Some(before), Some(now)) if now > before => now - before,
            _ => 0.0,
        };
        facts.expires_at = Some((Instant::now() + self.config.poll.info_stale_after).into_std());
        self.previous_refusals = refusals;
        self.details.info = Some(Arc::new(facts));
    }

    fn on_collected(&mut self, outcome: CollectorOutcome) {
        let key = SectionKey {
            collector: outcome.name,
            part: "values",
        };
        let unavailable = info_poll::unavailable_of(&outcome).map(|(_, reason)| reason);
        match outcome.result {
            Ok(samples) => {
                self.accumulators.series_dropped += samples.dropped();
                let section = publish::section(outcome.name, samples, Some(self.config.poll.info_stale_after));
                self.sections.insert(key, Arc::new(section));
                self.note_collector(outcome.name, Ok(()), outcome.duration);
            }
            Err(error) => {
                if matches!(error, CollectError::Unavailable { .. }) {
                    // Known to be impossible, not merely late: yesterday's values would only mislead.
                    self.sections.remove(&key);
                }
                self.note_collector(outcome.name, Err(error.to_string()), outcome.duration);
            }
        }
        if let Some(state) = self.collector_states.get_mut(outcome.name) {
            state.unavailable = unavailable;
        }
    }

    fn mark_info_collectors(&mut self, why: &str) {
        let names: Vec<_> = self.running.iter().map(|running| running.spec.name).collect();
        for name in names {
            let state = self.collector_states.entry(name).or_default();
            state.success = false;
            state.error = Some(why.to_owned());
        }
    }

    /// Remembers a collector's turn and logs a change of its state once.
    fn note_collector(&mut self, name: &'static str, result: Result<(), String>, duration: Duration) {
        let before = self.collector_states.get(name);
        let was_fine = before.is_none_or(|state| state.success);
        let known_error = before.and_then(|state| state.error.clone());
        let error = result.err();
        // The kept and the fresh connection log their own verdicts.
        if let Some(sentence) = &error
            && name != "ping"
            && (was_fine || known_error.as_ref() != Some(sentence))
        {
            tracing::warn!(instance = %self.name, collector = name, error = %sentence, "a collector publishes nothing");
        }
        if error.is_none() && !was_fine && name != "ping" {
            tracing::info!(instance = %self.name, collector = name, "a collector publishes again");
        }
        let state = CollectorState {
            success: error.is_none(),
            duration,
            unavailable: None,
            error,
        };
        self.collector_states.insert(name, state);
    }

    /// Starts the fresh connection of the `connect` collector, unless one is still under way.
    fn start_probe(&mut self) {
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
    fn start_scan(&mut self, paced: bool) {
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

    fn on_report(&mut self, report: Report) {
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
            let lifetime = self.config.poll.ping_stale_after;
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
