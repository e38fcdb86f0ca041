//! What happens on the kept connection: reconnects, PING, the INFO batch, and the verdicts on them.

use super::{CollectorState, Instance, KEPT_ERRORS, Verdict};
use crate::collectors::{CollectError, expectations, facts};
use crate::metric::Samples;
use crate::poller::info_poll::{self, CollectorOutcome};
use crate::poller::publish;
use crate::redis::capabilities::Capabilities;
use crate::redis::{Command, Connection, Info, Reason, RedisError, Unavailable};
use crate::snapshot::SectionKey;
use crate::snapshot::details::DatedError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

impl Instance {
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
    pub(super) async fn on_ping(&mut self) {
        let started = Instant::now();
        let deadline = started + self.config.poll.timeout;
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
                if std::mem::take(&mut self.info_owed) {
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
    pub(super) async fn on_info(&mut self) {
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
                self.info_owed = true;
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
                self.report_missing(&poll.outcomes);
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

    fn note_info(&mut self, info: &Info) {
        let Some(server) = &self.server else { return };
        let refusals = facts::write_refusals(info);
        let mut known = facts::facts(info, server, &self.config.expect);
        known.new_write_refusals = match (self.previous_refusals, refusals) {
            // A falling count is a restart or CONFIG RESETSTAT: everything counted since is new.
            (Some(before), Some(now)) => {
                if now < before {
                    now
                } else {
                    now - before
                }
            }
            _ => 0.0,
        };
        known.expires_at = Some((Instant::now() + self.config.poll.info_stale_after).into_std());
        self.previous_refusals = refusals;
        self.details.info = Some(Arc::new(known));
    }

    /// Logs once what this user may not run or this server does not have, with the collectors that miss it.
    fn report_missing(&mut self, outcomes: &[CollectorOutcome]) {
        let mut by_command: BTreeMap<&(String, Unavailable), Vec<&str>> = BTreeMap::new();
        for outcome in outcomes {
            for missing in &outcome.missing {
                by_command.entry(missing).or_default().push(outcome.name);
            }
        }
        for (missing, collectors) in by_command {
            if !self.reported_missing.insert(missing.clone()) {
                continue;
            }
            let (command, reason) = missing;
            let (command, collectors) = (command.to_uppercase(), collectors.join(", "));
            match reason {
                Unavailable::Denied => tracing::warn!(
                    instance = %self.name, %command, %collectors,
                    "the Redis user may not run this command; what these collectors read with it is absent"
                ),
                Unavailable::Unsupported => tracing::info!(
                    instance = %self.name, %command, %collectors,
                    "the server does not have this command; what these collectors read with it is absent"
                ),
            }
        }
    }

    fn on_collected(&mut self, outcome: CollectorOutcome) {
        let key = SectionKey {
            collector: outcome.name,
            part: "values",
        };
        let unavailable = outcome.missing.first().map(|(_, reason)| *reason);
        match outcome.result {
            Ok(samples) => {
                self.accumulators.dropped.label_values += samples.dropped();
                self.note_expectations(&samples);
                let section = publish::section(outcome.name, samples, Some(self.config.poll.info_stale_after));
                self.accumulators.dropped.add(&section.chunks);
                self.sections.insert(key, Arc::new(section));
                self.note_collector(outcome.name, Ok(()), outcome.duration);
            }
            Err(error) => {
                if matches!(error, CollectError::Unavailable { .. }) {
                    // Known to be impossible, not merely late: yesterday's values would only mislead. The command was logged.
                    self.sections.remove(&key);
                    self.remember_turn(outcome.name, Some(error.to_string()), outcome.duration);
                } else {
                    self.note_collector(outcome.name, Err(error.to_string()), outcome.duration);
                }
            }
        }
        if let Some(state) = self.collector_states.get_mut(outcome.name) {
            state.unavailable = unavailable;
        }
    }

    /// The samples know more about the expectations than INFO alone: whether snapshots are configured.
    fn note_expectations(&mut self, samples: &Samples) {
        let unmet = expectations::unmet(samples);
        if let Some(facts) = self.details.info.as_mut()
            && !unmet.is_empty()
        {
            Arc::make_mut(facts).unmet_expectations = unmet;
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
    pub(super) fn note_collector(&mut self, name: &'static str, result: Result<(), String>, duration: Duration) {
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
        self.remember_turn(name, error, duration);
    }

    /// Remembers a collector's turn; `error` says in words why it published nothing.
    fn remember_turn(&mut self, name: &'static str, error: Option<String>, duration: Duration) {
        let state = CollectorState {
            success: error.is_none(),
            duration,
            unavailable: None,
            error,
        };
        self.collector_states.insert(name, state);
    }
}
