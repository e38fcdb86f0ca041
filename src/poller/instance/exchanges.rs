//! What happens on the kept connection: reconnects, PING, the INFO batch, and the verdicts on them.

use super::{CollectorState, Instance, KEPT_ERRORS, Verdict};
use crate::collectors::{CollectError, expectations, facts};
use crate::metric::Samples;
use crate::poller::events;
use crate::poller::info_poll::{self, CollectorOutcome};
use crate::poller::publish;
use crate::redis::capabilities::Capabilities;
use crate::redis::{Connection, Info, Reason, RedisError, Unavailable};
use crate::snapshot::SectionKey;
use crate::snapshot::details::DatedError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Why there is no INFO although the poll succeeded.
const INFO_DENIED: &str = "the Redis user may not run INFO, or the server does not have it; `redis-session-exporter check` says which and what mends it";

impl Instance {
    /// Makes sure that there is an open connection.
    async fn ensure_connected(&mut self, deadline: Instant) -> Result<(), RedisError> {
        if self.connection.as_mut().is_some_and(Connection::is_idle_and_open) {
            return Ok(());
        }
        self.connection = None;
        self.capabilities = Capabilities::default();
        self.application.retry();
        self.server = None;
        self.accumulators.connects += 1;
        let started = Instant::now();
        match self.connector.connect(deadline).await {
            Ok((connection, handshake)) => {
                self.on_kept_handshake(handshake.tls);
                self.last_connect = Some(started.elapsed());
                self.connection = Some(connection);
                Ok(())
            }
            Err((handshake, error)) => {
                self.on_kept_handshake(handshake.tls);
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
                self.note_ping(None, waited);
                self.renew_kept_handshake();
                self.judge(Verdict {
                    state: None,
                    connected: true,
                    up: true,
                });
                if std::mem::take(&mut self.info_owed) {
                    // Back after a failure: INFO values are due now, not at the end of their interval.
                    self.info.hasten(Instant::now());
                }
                self.hasten_application();
            }
            Err(error) => {
                self.accumulators.ping_failures += 1;
                self.details.ping_seconds = None;
                self.note_ping(Some(error.message.clone()), waited);
                // A server that refuses PING while it cannot save (MISCONF) still answers INFO: it is up, as the peer says it.
                let answered = error.reason == Reason::Other && self.connection.is_some();
                self.fail(&error, false, answered);
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
        let outcome = connection.ping(deadline).await;
        if let Err(error) = &outcome
            && !error.reason.is_answer()
        {
            self.connection = None;
        }
        outcome
    }

    pub(super) fn is_on_info(&self) -> bool {
        !self.running.is_empty()
    }

    /// Remembers the turn of the collector `ping`, if it is one; the verdict is logged, not the turn.
    fn note_ping(&mut self, error: Option<String>, waited: Duration) {
        if self.is_on("ping") {
            self.remember_turn("ping", error, waited);
        }
    }

    /// Counts and logs a failed exchange and changes the verdict. What fails again in the same way is logged once.
    pub(super) fn fail(&mut self, error: &RedisError, keeps_connected: bool, answered_ping: bool) {
        self.accumulators.errors.add(error.reason);
        let connected = keeps_connected && self.verdict.is_some_and(|verdict| verdict.connected);
        self.judge(Verdict {
            state: Some(error.reason),
            connected,
            up: error.reason.is_up() || answered_ping,
        });
        let failure = (error.reason, self.kept_tls_failure(error.reason));
        if self.logged_failure == Some(Some(failure)) {
            return;
        }
        self.logged_failure = Some(Some(failure));
        self.remember_error(&error.message);
        let reason = error.reason.as_label();
        let (name, address) = (&self.name, &self.config.address);
        tracing::error!(instance = %name, %address, reason, error = %error.message, "Redis does not answer as it should");
    }

    /// Changes the verdict. That Redis answers is logged once nothing fails any more, INFO included.
    fn judge(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
        let recovered = verdict.state.is_none() && !self.info_failing;
        if recovered && self.logged_failure != Some(None) {
            self.logged_failure = Some(None);
            tracing::info!(instance = %self.name, address = %self.config.address, "Redis answers");
        }
    }

    pub(super) fn remember_error(&mut self, sentence: &str) {
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
            self.role_is_settled = true;
            self.details.info = None;
            self.details.info_failure = None;
            self.note_notifications(None, None, None);
            return;
        }
        let started = Instant::now();
        let deadline = started + self.config.poll.timeout;
        let heard = self.counts.heard();
        let config_command = &self.config.optional.compatibility.config_command;
        let setting = self
            .wants_events()
            .then(|| events::setting_command(config_command))
            .flatten();
        let open = self.connection.as_mut().is_some_and(Connection::is_idle_and_open);
        let connection = if open { self.connection.as_mut() } else { None };
        let outcome = match connection {
            Some(connection) => {
                let known = self.server.as_ref();
                info_poll::poll(
                    connection,
                    &mut self.running,
                    known,
                    &mut self.capabilities,
                    &self.knowledge,
                    setting.as_ref(),
                    deadline,
                )
                .await
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
                self.info_failing = false;
                self.details.info_failure = poll.info.is_none().then(|| INFO_DENIED.to_owned());
                if let Some(info) = &poll.info {
                    self.note_role(info);
                    self.note_info(info);
                    self.last_success.insert("info", SystemTime::now());
                }
                self.role_is_settled = true;
                self.note_notifications(poll.info.as_ref(), poll.further.as_ref(), heard);
                self.report_missing(&poll.outcomes);
                for outcome in poll.outcomes {
                    self.on_collected(outcome);
                }
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
                self.info_failing = true;
                self.details.info_failure = Some(error.message.clone());
                self.mark_info_collectors(&error.message);
                self.fail(&error, answered, false);
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
    }

    /// Sessions are counted at the primary only. After a failover the figures of the old primary go, and the new one begins at once.
    fn note_role(&mut self, info: &Info) {
        let is_replica = matches!(info.get("role"), Some("slave" | "replica"));
        self.scans.replication_id = info.get("master_replid").map(|id| id.trim().to_owned());
        self.note_mode();
        let before = self.is_replica.replace(is_replica);
        match (before, is_replica) {
            (Some(false) | None, true) => {
                self.give_up_scan();
                self.withdraw_sessions();
            }
            (Some(true), false) => self.scan.hasten(Instant::now()),
            _ => {}
        }
    }

    /// A server that runs in Sentinel mode now has no sessions, whatever was counted before it was started again as one.
    fn note_mode(&mut self) {
        let is_sentinel = self.server.as_ref().is_some_and(|server| server.is_sentinel);
        if is_sentinel && !self.is_sentinel {
            self.give_up_scan();
            self.withdraw_sessions();
            tracing::info!(
                instance = %self.name,
                "this is a Sentinel: it watches other servers and holds no keys, so that no sessions are looked for"
            );
        }
        self.is_sentinel = is_sentinel;
        self.details.is_sentinel = is_sentinel;
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
        self.count_session_errors(known.new_write_refusals);
        self.note_own_lookups(&mut known);
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
            part: publish::VALUES,
        };
        let unavailable = outcome.missing.first().map(|(_, reason)| *reason);
        match outcome.result {
            Ok(samples) => {
                self.accumulators.dropped.label_values += samples.dropped();
                self.note_limit(outcome.name, samples.dropped());
                self.note_expectations(&samples);
                self.show(
                    outcome.name,
                    publish::VALUES,
                    samples,
                    Some(self.config.poll.info_stale_after),
                );
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
        let complained = before.is_some_and(|state| state.complained);
        let known_error = before.and_then(|state| state.error.clone());
        let error = result.err();
        match &error {
            Some(sentence) if !complained || known_error.as_ref() != Some(sentence) => {
                tracing::warn!(instance = %self.name, collector = name, error = %sentence, "a collector has failed");
            }
            None if complained => {
                tracing::info!(instance = %self.name, collector = name, "a collector works again");
            }
            _ => {}
        }
        let complained = error.is_some();
        self.remember_turn(name, error, duration);
        if let Some(state) = self.collector_states.get_mut(name) {
            state.complained = complained;
        }
    }

    /// Remembers a collector's turn; `error` says in words why it published nothing.
    pub(super) fn remember_turn(&mut self, name: &'static str, error: Option<String>, duration: Duration) {
        let state = CollectorState {
            success: error.is_none(),
            duration,
            unavailable: None,
            error,
            complained: false,
        };
        self.collector_states.insert(name, state);
    }
}
