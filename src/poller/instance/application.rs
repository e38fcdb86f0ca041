//! Metrics that the application keeps in Redis, read on the kept connection, and what the health answers learn from them: errors of the
//! last hour, the application's cache, pool and key.

use super::Instance;
use crate::collectors::application::Problem;
use crate::collectors::application::published::{ErrorDeltas, Published};
use crate::config::InstanceConfig;
use crate::metric::Samples;
use crate::poller::accumulators::Accumulators;
use crate::poller::application_poll::{self, Outcome, PollError, Watched};
use crate::poller::last_hour::LastHour;
use crate::poller::publish;
use crate::poller::schedule::{Ticker, start_delay};
use crate::redis::{CAPABILITY_LIFETIME, Connection};
use crate::snapshot::SectionKey;
use crate::snapshot::details::{ApplicationFacts, InfoFacts};
use tokio::time::Instant;

/// Why there is nothing to read.
const NO_CONNECTION: &str = "there is no connection";

/// Name of the collector, whose metrics replace those of the same name.
pub(super) const COLLECTOR: &str = "application";

/// The section of the values.
const KEY: SectionKey = SectionKey {
    collector: COLLECTOR,
    part: publish::VALUES,
};

/// What is kept between turns.
#[derive(Debug)]
pub(super) struct Application {
    /// When the next turn is due.
    pub(super) ticker: Ticker,
    /// Whether there is anything to do.
    pub(super) is_on: bool,
    watched: Vec<Watched>,
    /// A reply broke the connection: the metrics are read one by one until it is known whose it was, or until this moment.
    one_by_one_until: Option<Instant>,
    /// A turn was left out because there was no connection; it is due as soon as there is one.
    is_owed: bool,
    /// No other node of a cluster holds any of the keys.
    is_all_here: bool,
    errors: ErrorDeltas,
    last_hour: LastHour,
    /// Where the hours of `last_hour` begin.
    started: Instant,
    /// Failed PINGs that `last_hour` has.
    ping_failures: u64,
    own_lookups: OwnLookups,
}

/// Which of our own lookups the server's counters contain. The server counts from its start or CONFIG RESETSTAT, we from ours.
#[derive(Debug, Clone, Copy, Default)]
struct OwnLookups {
    /// Our hits and misses when the server began to count.
    base: Pair,
    /// Our hits and misses at the last INFO.
    at_last_info: Pair,
    /// The server's hits and misses at the last INFO.
    server: (f64, f64),
}

/// Hits and misses.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    hits: u64,
    misses: u64,
}

impl OwnLookups {
    /// Our hits and misses among those of the server, as an INFO just told them.
    fn among(&mut self, server: (f64, f64), own: Pair) -> (f64, f64) {
        if server.0 < self.server.0 || server.1 < self.server.1 {
            // What we asked between the last INFO and the new beginning is taken for counted; it is little.
            self.base = self.at_last_info;
        }
        self.server = server;
        self.at_last_info = own;
        (
            own.hits.saturating_sub(self.base.hits) as f64,
            own.misses.saturating_sub(self.base.misses) as f64,
        )
    }
}

impl Application {
    /// Before the first turn.
    pub(super) fn new(config: &InstanceConfig, start: Instant) -> Self {
        Self {
            ticker: Ticker::new(config.poll.info_interval, start),
            is_on: is_on(config),
            watched: config.application_metrics.iter().cloned().map(Watched::new).collect(),
            one_by_one_until: None,
            is_owed: false,
            is_all_here: true,
            errors: ErrorDeltas::default(),
            last_hour: LastHour::default(),
            started: start,
            ping_failures: 0,
            own_lookups: OwnLookups::default(),
        }
    }

    /// Takes a changed configuration. What is known of keys that are still read stays.
    fn reconfigure(&mut self, config: &InstanceConfig, same_server: bool, now: Instant) {
        self.ticker.set_interval(config.poll.info_interval, now);
        self.is_on = is_on(config);
        self.one_by_one_until = None;
        let mut before = std::mem::take(&mut self.watched);
        for metric in &config.application_metrics {
            let known = before
                .iter()
                .position(|watched| same_server && watched.metric == *metric);
            let mut watched = match known {
                Some(index) => before.swap_remove(index),
                None => Watched::new(metric.clone()),
            };
            watched.retry();
            self.watched.push(watched);
        }
        if !same_server {
            self.errors = ErrorDeltas::default();
            self.own_lookups = OwnLookups::default();
        }
    }

    /// Whether the keys of all metrics are this server's, and not those of other nodes of a cluster.
    pub(super) fn is_all_here(&self) -> bool {
        self.is_all_here
    }

    /// Tries again what was denied: the permissions may be others now.
    pub(super) fn retry(&mut self) {
        for watched in &mut self.watched {
            watched.retry();
        }
    }

    fn count_errors(&mut self, errors: f64) {
        self.last_hour.add(self.started.elapsed(), errors);
    }
}

fn is_on(config: &InstanceConfig) -> bool {
    !config.application_metrics.is_empty() && config.collectors.get(COLLECTOR).copied().unwrap_or(true)
}

impl Instance {
    /// Whether the keys of all application metrics are this server's.
    pub(in crate::poller) fn has_all_application_keys(&self) -> bool {
        self.application.is_all_here()
    }

    /// One turn.
    pub(super) async fn on_application(&mut self) {
        // A Sentinel has no keys, so that nothing of the application is there.
        if !self.application.is_on || self.is_sentinel {
            return;
        }
        let started = Instant::now();
        let open = self.connection.as_mut().is_some_and(Connection::is_idle_and_open);
        let Some(connection) = self.connection.as_mut().filter(|_| open) else {
            // As with INFO, the next PING reconnects.
            self.application.is_owed = true;
            self.remember_turn(COLLECTOR, Some(NO_CONNECTION.to_owned()), started.elapsed());
            return;
        };
        let application = &mut self.application;
        let outcome = application_poll::poll(
            connection,
            self.config.address.database,
            &mut application.watched,
            application.one_by_one_until.is_some_and(|until| started < until),
            started + self.config.poll.timeout,
        )
        .await;
        match outcome {
            Ok(outcomes) => {
                // Once the culprit is left alone the others are read together again.
                let is_culprit = |outcome: &Outcome| matches!(outcome.result, Err(Problem::TooLarge));
                if outcomes.iter().any(is_culprit) {
                    self.application.one_by_one_until = None;
                }
                self.on_application_read(outcomes, started);
            }
            Err(PollError::Refused(sentence)) => {
                self.remember_turn(COLLECTOR, Some(sentence), started.elapsed());
            }
            Err(PollError::Lost(error)) => {
                if application_poll::is_reply_to_blame(&error) {
                    self.application.one_by_one_until = Some(started + CAPABILITY_LIFETIME);
                }
                self.connection = None;
                self.remember_turn(COLLECTOR, Some(error.message.clone()), started.elapsed());
                self.fail(&error, false, false);
                self.publish_ping();
            }
        }
    }

    /// Publishes what was read. A metric is all or nothing; what one misses takes nothing from the others.
    fn on_application_read(&mut self, outcomes: Vec<Outcome>, started: Instant) {
        let mut samples = Samples::new();
        let mut failed = Vec::new();
        let mut unavailable = None;
        let mut elsewhere = 0;
        for (outcome, watched) in outcomes.into_iter().zip(&self.application.watched) {
            let metric = &watched.metric;
            let name = metric.descriptor.name;
            let looked_up = self.accumulators.keyspace_lookups.entry(metric.database).or_default();
            *looked_up += outcome.lookups;
            *self.accumulators.keyspace_misses.entry(metric.database).or_default() += outcome.misses;
            match outcome.result {
                Ok(finding) => {
                    if outcome.is_news {
                        tracing::info!(instance = %self.name, metric = name, "an application metric can be read again");
                    }
                    finding.push(metric, &mut samples);
                }
                Err(problem) if problem.is_harmless() => {
                    if outcome.is_news {
                        tracing::info!(instance = %self.name, metric = name, "an application metric is absent here: {problem}");
                    }
                    elsewhere += 1;
                }
                Err(problem) => {
                    if outcome.is_news {
                        tracing::warn!(
                            instance = %self.name, metric = name, error = %problem,
                            "an application metric cannot be read and is absent"
                        );
                    }
                    unavailable = unavailable.or(problem.unavailable());
                    failed.push(name);
                }
            }
        }
        // Also where nothing is scanned: without them nobody could take these lookups off the server's.
        self.show_session_counters();
        self.application.is_all_here = elsewhere == 0;
        self.accumulators.dropped.label_values += samples.dropped();
        let new_errors = self.application.errors.new_errors(&samples);
        self.application.count_errors(new_errors);
        let lifetime = self.config.poll.info_stale_after;
        self.details.application = Some(ApplicationFacts {
            published: Published::of(&samples),
            expires_at: (started + lifetime).into_std(),
        });
        self.show(COLLECTOR, publish::VALUES, samples, Some(lifetime));
        failed.dedup();
        let error = (!failed.is_empty()).then(|| {
            let names = failed.join(", ");
            format!("these metrics cannot be read, the log says why: {names}")
        });
        self.remember_turn(COLLECTOR, error, started.elapsed());
        if let Some(state) = self.collector_states.get_mut(COLLECTOR) {
            state.unavailable = unavailable;
        }
    }

    /// Takes a changed configuration.
    pub(super) fn reconfigure_application(&mut self, old: &InstanceConfig, new: &InstanceConfig, now: Instant) {
        self.application.reconfigure(new, old.address == new.address, now);
        if old.application_metrics != new.application_metrics || !self.application.is_on {
            self.sections.remove(&KEY);
            self.collector_states.remove(COLLECTOR);
            self.details.application = None;
        }
        let spread = start_delay(self.surroundings.instances, new.poll.info_interval);
        self.application.ticker.hasten(now + spread);
    }

    /// The server answers again: a turn that had to be left out is due now.
    pub(super) fn hasten_application(&mut self) {
        if std::mem::take(&mut self.application.is_owed) {
            self.application.ticker.hasten(Instant::now());
        }
    }

    /// Counts errors of the store that somebody who logs in sees: writes that the server refused, operations of the synthetic session that
    /// failed. PINGs and the application's own counters are counted here already.
    pub(super) fn count_session_errors(&mut self, errors: f64) {
        self.application.count_errors(errors);
    }

    /// Adds to the facts of an INFO which lookups of it were ours.
    pub(super) fn note_own_lookups(&mut self, known: &mut InfoFacts) {
        if let (Some(hits), Some(misses)) = (known.keyspace_hits, known.keyspace_misses) {
            let own = own_lookups(&self.accumulators);
            let (own_hits, own_misses) = self.application.own_lookups.among((hits, misses), own);
            known.own_keyspace_hits = own_hits;
            known.own_keyspace_misses = own_misses;
        }
    }

    /// Brings the errors of the last hour up to now, once there was a verdict.
    pub(super) fn note_errors_of_last_hour(&mut self) {
        let failures = self.accumulators.ping_failures;
        let new = failures.saturating_sub(self.application.ping_failures);
        self.application.ping_failures = failures;
        self.application.count_errors(new as f64);
        let since_start = self.application.started.elapsed();
        let total = self.application.last_hour.total(since_start);
        self.details.errors_last_hour = self.verdict.map(|_| total);
    }
}

fn own_lookups(accumulators: &Accumulators) -> Pair {
    let total: u64 = accumulators.keyspace_lookups.values().sum();
    let misses: u64 = accumulators.keyspace_misses.values().sum();
    Pair {
        hits: total.saturating_sub(misses),
        misses,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Surroundings;
    use super::*;
    use crate::config::{Environment, load_str};
    use crate::metric::{Descriptor, MetricKind};
    use crate::snapshot::SnapshotStore;
    use std::path::Path;
    use std::sync::Arc;

    fn instance(further: &str) -> Instance {
        let text = format!("instances: [{{ name: a, address: 'redis://127.0.0.1:1'{further} }}]");
        let loaded = load_str(&text, "test", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        let store = Arc::new(SnapshotStore::new());
        let surroundings = Surroundings::new(&store, &loaded.config, "a");
        Instance::new(loaded.config.instances[0].clone(), surroundings)
    }

    #[test]
    fn a_metric_of_the_application_takes_the_place_of_ours() {
        static OURS: Descriptor = Descriptor::new(MetricKind::Counter, "sessions_created_total", "Help.", "events");
        static OTHER: Descriptor = Descriptor::new(MetricKind::Counter, "sessions_other_total", "Help.", "events");
        let shown = |further: &str| {
            let mut instance = instance(further);
            let mut samples = Samples::new();
            samples.push(&OURS, 1.0);
            samples.push(&OTHER, 1.0);
            instance.show("events", publish::VALUES, samples, None);
            let section = &instance.sections[&SectionKey {
                collector: "events",
                part: publish::VALUES,
            }];
            section
                .chunks
                .iter()
                .map(|chunk| chunk.descriptor.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(""), ["sessions_created_total", "sessions_other_total"]);
        let replaced = ", application_metrics: [{ name: sessions_created_total, type: counter, key: k }]";
        assert_eq!(shown(replaced), ["sessions_other_total"]);
    }

    #[tokio::test]
    async fn errors_of_the_last_hour_are_known_from_the_first_verdict_on() {
        let mut instance = instance("");
        instance.note_errors_of_last_hour();
        assert_eq!(instance.details.errors_last_hour, None);
        // Nothing listens on port 1.
        instance.on_ping().await;
        instance.on_ping().await;
        instance.count_session_errors(5.0);
        instance.note_errors_of_last_hour();
        instance.note_errors_of_last_hour();
        assert_eq!(instance.details.errors_last_hour, Some(7.0));
    }

    #[test]
    fn own_lookups_are_those_since_the_server_counts() {
        let pair = |hits, misses| Pair { hits, misses };
        let mut own = OwnLookups::default();
        assert_eq!(own.among((100.0, 10.0), pair(5, 1)), (5.0, 1.0));
        assert_eq!(own.among((120.0, 10.0), pair(9, 2)), (9.0, 2.0));
        // CONFIG RESETSTAT: only what came since the last INFO is among the new counts.
        assert_eq!(own.among((3.0, 1.0), pair(11, 3)), (2.0, 1.0));
        assert_eq!(own.among((30.0, 1.0), pair(12, 3)), (3.0, 1.0));
    }
}
