//! The synthetic session: written, read, renewed and deleted on the kept connection.
//!
//! One key per probe, of 128 random bits below the configured prefix, which no store counts. SET carries the time to live and is one
//! command, so whatever fails afterwards (a time-out, a lost connection, a DEL that is denied, the end of this process) the key
//! is gone within [`time_to_live`].

use super::Instance;
use crate::collectors::operations::Operation;
use crate::collectors::session_probe::{DURATION, OPERATIONS, SPEC, SUCCESS};
use crate::config::InstanceConfig;
use crate::metric::{DURATION_BUCKETS_SECONDS, Samples, Value};
use crate::poller::accumulators::Histogram;
use crate::poller::publish;
use crate::poller::schedule::Ticker;
use crate::redis::{
    CAPABILITY_LIFETIME, Command, Connection, Reply, Unavailable, names_another_node, sanitised_code, unavailability,
};
use crate::snapshot::SectionKey;
use crate::snapshot::details::ProbeFacts;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Shortest time to live of a probe's key: long beside a round trip, short beside everything that an operator would notice.
const LEAST_TIME_TO_LIVE: Duration = Duration::from_secs(10);

/// Deadlines that may pass before EXPIRE finds the key: the answers to SET and GET, EXPIRE itself, and a PING that falls due before each of
/// the latter two. A key that lives for less would make a slow server look like one that loses sessions.
const DEADLINES_TO_LIVE: u32 = 5;

/// Keys that one turn tries at a node of a cluster until one is in a slot of the node. The hash tag of the one that is found is kept, so that this
/// happens once. Of 64 random keys at least one is the node's but for once in 10^11 times among three nodes, and once in 1,000 among ten.
const MOST_TAGS: usize = 64;

/// Deadlines that one probe may be late by: its own four exchanges, one more of a search for a slot, those of a PING and an INFO that come before it or between, and
/// one to spare.
const DEADLINES_PER_PROBE: u32 = 10;

/// How many intervals the outcome of a probe is shown when no other one follows, as for PING.
const STALE_AFTER_INTERVALS: u32 = 3;

/// How long a probe's key lives unless it is deleted: 10 s, or as long as the slowest probe takes where `poll.timeout` is long.
fn time_to_live(timeout: Duration) -> Duration {
    LEAST_TIME_TO_LIVE.max(timeout.saturating_mul(DEADLINES_TO_LIVE))
}

/// What is kept between turns. Counters survive reconnects, reloads and being switched off.
#[derive(Debug)]
pub(super) struct SessionProbe {
    /// When the next turn is due.
    pub(super) ticker: Ticker,
    /// Whether there is anything to do.
    pub(super) is_on: bool,
    counts: BTreeMap<Operation, Counts>,
    /// When the user was found not to be allowed to, or the server not to have a command.
    refused_at: Option<Instant>,
    /// A hash tag whose slot the node of a cluster holds.
    tag: Option<u32>,
    /// Whether the log was told that no key of ours is the node's.
    is_known_elsewhere: bool,
    /// What the log was told about last; `None` once it was told that all is well.
    logged: Option<String>,
}

/// What one operation came to.
#[derive(Debug, Clone)]
struct Counts {
    succeeded: u64,
    failed: u64,
    durations: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            succeeded: 0,
            failed: 0,
            durations: Histogram::new(&DURATION_BUCKETS_SECONDS),
        }
    }
}

fn is_on(config: &InstanceConfig) -> bool {
    config.session_probe.enabled && config.collectors.get(SPEC.name).copied().unwrap_or(SPEC.default_on)
}

impl SessionProbe {
    /// Before the first turn.
    pub(super) fn new(config: &InstanceConfig, start: Instant) -> Self {
        Self {
            ticker: Ticker::new(config.session_probe.interval, start),
            is_on: is_on(config),
            counts: BTreeMap::new(),
            refused_at: None,
            tag: None,
            is_known_elsewhere: false,
            logged: None,
        }
    }

    /// Takes a changed configuration.
    pub(super) fn reconfigure(&mut self, config: &InstanceConfig, now: Instant) {
        self.ticker.set_interval(config.session_probe.interval, now);
        self.is_on = is_on(config);
    }

    /// Tries again what was refused: permissions may have been mended together with the file.
    pub(super) fn forget_refusal(&mut self) {
        self.refused_at = None;
    }

    fn count(&mut self, operation: Operation, succeeded: bool, waited: Option<Duration>) {
        let counts = self.counts.entry(operation).or_default();
        counts.succeeded += u64::from(succeeded);
        counts.failed += u64::from(!succeeded);
        if let Some(waited) = waited {
            counts.durations.observe(waited.as_secs_f64());
        }
    }

    /// Every operation from 0 on.
    fn counters(&self) -> Samples {
        let mut samples = Samples::new();
        let untried = Counts::default();
        let of = |operation| self.counts.get(&operation).unwrap_or(&untried);
        for operation in Operation::ALL {
            let counts = of(operation);
            for (status, count) in [("success", counts.succeeded), ("error", counts.failed)] {
                let labels = vec![("operation", operation.as_label().into()), ("status", status.into())];
                samples.push_with(&OPERATIONS, labels, count as f64);
            }
        }
        for operation in Operation::ALL {
            let labels = vec![("operation", operation.as_label().into())];
            let distribution = of(operation).durations.distribution();
            samples.push_value(&DURATION, labels, Value::Histogram(distribution));
        }
        samples
    }
}

/// One synthetic session.
struct Session {
    /// The hash tag of the key.
    tag: Option<u32>,
    key: String,
    value: String,
    seconds: String,
}

impl Session {
    /// A session with a key that nobody else has, and a short value that means nothing. With `tag` its slot in a cluster is that of all keys
    /// with this tag.
    fn new(config: &InstanceConfig, tag: Option<u32>) -> Self {
        let time_to_live = time_to_live(config.poll.timeout);
        let seconds = time_to_live.as_secs() + u64::from(time_to_live.subsec_nanos() > 0);
        Self {
            tag,
            key: format!(
                "{}{}{:032x}",
                config.session_probe.prefix,
                tag.map(|tag| format!("{{{tag:08x}}}")).unwrap_or_default(),
                fastrand::u128(..)
            ),
            value: format!("{:016x}", fastrand::u64(..)),
            seconds: seconds.to_string(),
        }
    }

    fn command(&self, operation: Operation) -> Command {
        let about_key = |name| Command::new(1, &[name]).arg(self.key.as_str());
        match operation {
            Operation::Create => about_key("SET")
                .arg(self.value.as_str())
                .arg("EX")
                .arg(self.seconds.as_str())
                .arg("NX"),
            Operation::Get => about_key("GET"),
            Operation::Update => about_key("EXPIRE").arg(self.seconds.as_str()),
            Operation::Delete => about_key("DEL"),
        }
    }

    /// Whether a reply is that of a session that works; else what it says, without quoting it.
    fn judge(&self, operation: Operation, reply: &Reply) -> Result<(), String> {
        let name = self.command(operation).name().to_uppercase();
        let is_right = match operation {
            Operation::Create => reply.as_bytes() == Some(b"OK"),
            Operation::Get => reply.as_bytes() == Some(self.value.as_bytes()),
            Operation::Update | Operation::Delete => matches!(reply, Reply::Integer(1)),
        };
        match reply {
            _ if is_right => Ok(()),
            Reply::Error(_) => Err(format!("{name} was refused with {}", sanitised_code(reply))),
            Reply::Null | Reply::Integer(0) if operation != Operation::Create => Err(format!(
                "{name} found the session gone: somebody deleted it, or the server evicts keys"
            )),
            _ => Err(format!("{name} was answered with something else than expected")),
        }
    }
}

/// How an operation failed.
enum Failure {
    /// There was no connection: nothing was sent.
    NoConnection,
    /// The exchange failed. The verdict on the connection was passed.
    Exchange(String),
    /// The user may not run the command on these keys, or the server does not have it.
    Refused(Unavailable, String),
    /// The node of a cluster does not hold the slot of the key.
    Elsewhere(String),
    /// Any other answer than that of a session that works.
    Answer(String),
}

/// Whether keys below this prefix are all in one slot of a cluster: between its first `{` and the next `}` stands something (Redis Cluster
/// specification, hash tags).
fn has_hash_tag(prefix: &str) -> bool {
    let tag = prefix.split_once('{').and_then(|(_, behind)| behind.split_once('}'));
    tag.is_some_and(|(tag, _)| !tag.is_empty())
}

/// What one probe came to.
#[derive(Default)]
struct Outcome {
    set: Option<Duration>,
    get: Option<Duration>,
    /// The first failure in words.
    failure: Option<String>,
    /// A command that is not to be had.
    refused: Option<Unavailable>,
    /// The failure is that of the connection, which the log has been told of.
    is_connection: bool,
    /// No key of ours is in a slot of this node of a cluster: nothing was tried.
    is_elsewhere: bool,
}

impl Instance {
    /// One turn: a synthetic session, unless this is no place for one.
    pub(super) async fn on_session_probe(&mut self) {
        let started = Instant::now();
        if !self.session_probe.is_on {
            return;
        }
        let refused_for = self
            .session_probe
            .refused_at
            .map(|at| started.saturating_duration_since(at));
        if refused_for.is_some_and(|since| since < CAPABILITY_LIFETIME) {
            return;
        }
        self.learn_role().await;
        // Before the role is judged: it may reconnect, and what is then at the other end is asked about before the next probe.
        self.ping_between(started).await;
        if self.is_replica == Some(true) || !self.has_sessions() {
            self.leave_replica_alone();
            return;
        }
        if !self.may_write() {
            return;
        }
        let outcome = self.probe_session(started).await;
        if outcome.is_elsewhere {
            self.leave_to_other_nodes();
            return;
        }
        self.session_probe.is_known_elsewhere = false;
        self.show(SPEC.name, publish::COUNTERS, self.session_probe.counters(), None);
        match outcome.refused {
            Some(reason) => self.on_probe_refused(reason, outcome, started),
            None => self.on_probe_ended(outcome, started),
        }
    }

    /// A new connection may have led to another server, whose role only INFO tells.
    async fn learn_role(&mut self) {
        if self.has_open_connection() && self.server.is_none() && !self.is_info_denied() && self.is_on_info() {
            self.on_info().await;
            self.publish();
        }
    }

    /// Whether this may be a primary. What is not known to be one is not written to, but where INFO is denied nobody will ever know,
    /// and where there is no connection nothing is written: that is a session that could not be created.
    fn may_write(&mut self) -> bool {
        let is_primary = self.server.is_some() && self.is_replica == Some(false);
        is_primary || self.is_info_denied() || !self.has_open_connection()
    }

    fn is_info_denied(&self) -> bool {
        self.capabilities.get("info").is_some()
    }

    fn has_open_connection(&mut self) -> bool {
        self.connection.as_mut().is_some_and(Connection::is_idle_and_open)
    }

    /// Runs the operations one after the other, each with its own deadline.
    async fn probe_session(&mut self, started: Instant) -> Outcome {
        // On a node of a cluster from the first one on: what succeeds without a tag by chance says nothing about the next.
        let is_cluster = self.server.as_ref().is_some_and(|server| server.cluster_enabled);
        let tag = self.session_probe.tag.or_else(|| is_cluster.then(|| fastrand::u32(..)));
        let mut session = Session::new(&self.config, tag);
        let mut outcome = Outcome::default();
        for operation in [Operation::Create, Operation::Get, Operation::Update, Operation::Delete] {
            if operation != Operation::Create {
                self.ping_between(started).await;
            }
            let sent = Instant::now();
            let mut result = self.probe_operation(&session, operation).await;
            let mut waited = sent.elapsed();
            if operation == Operation::Create && matches!(result, Err(Failure::Elsewhere(_))) {
                (session, result, waited) = self.create_in_own_slot(session, sent).await;
                if matches!(result, Err(Failure::Elsewhere(_))) {
                    outcome.is_elsewhere = true;
                    break;
                }
            }
            let was_sent = !matches!(result, Err(Failure::NoConnection));
            self.session_probe
                .count(operation, result.is_ok(), was_sent.then_some(waited));
            let (sentence, ends) = match result {
                Ok(()) => {
                    match operation {
                        Operation::Create => {
                            self.session_probe.tag = session.tag;
                            outcome.set = Some(waited);
                        }
                        Operation::Get => outcome.get = Some(waited),
                        Operation::Update | Operation::Delete => {}
                    }
                    continue;
                }
                Err(Failure::NoConnection) => {
                    outcome.is_connection = true;
                    ("there is no connection".to_owned(), true)
                }
                Err(Failure::Exchange(sentence)) => {
                    outcome.is_connection = true;
                    (sentence, true)
                }
                Err(Failure::Refused(reason, sentence)) => {
                    outcome.refused.get_or_insert(reason);
                    (sentence, operation == Operation::Create)
                }
                // A slot that moves away behind the back of a session takes it along.
                Err(Failure::Answer(sentence) | Failure::Elsewhere(sentence)) => {
                    (sentence, operation == Operation::Create)
                }
            };
            outcome.failure.get_or_insert(sentence);
            // Without a session there is nothing to read; with one the rest is tried, above all to delete it.
            if ends {
                break;
            }
        }
        outcome
    }

    /// Creates a session in a slot of this node of a cluster, after the one that was tried first proved to be in another node's: tries hash
    /// tags until one is right, or the time of one exchange is over. The last time is that of the last command alone.
    async fn create_in_own_slot(
        &mut self,
        first: Session,
        started: Instant,
    ) -> (Session, Result<(), Failure>, Duration) {
        let (mut session, mut result, mut waited) = (first, Err(Failure::Elsewhere(String::new())), Duration::ZERO);
        self.session_probe.tag = None;
        if has_hash_tag(&self.config.session_probe.prefix) {
            return (session, result, waited);
        }
        for _ in 0..MOST_TAGS {
            if started.elapsed() >= self.config.poll.timeout {
                break;
            }
            let tag = fastrand::u32(..);
            session = Session::new(&self.config, Some(tag));
            let sent = Instant::now();
            result = self.probe_operation(&session, Operation::Create).await;
            waited = sent.elapsed();
            if !matches!(result, Err(Failure::Elsewhere(_))) {
                break;
            }
        }
        (session, result, waited)
    }

    /// A PING that fell due while a probe is under way does not wait for the rest of it: the verdict would come late.
    async fn ping_between(&mut self, started: Instant) {
        let due = self.ping.next();
        if due > started && due <= Instant::now() {
            self.on_ping().await;
            self.ping.advance(Instant::now());
            // The verdict is shown at once, and the health check sees that this task is not wedged.
            self.publish();
        }
    }

    async fn probe_operation(&mut self, session: &Session, operation: Operation) -> Result<(), Failure> {
        if !self.has_open_connection() {
            return Err(Failure::NoConnection);
        }
        let Some(connection) = self.connection.as_mut() else {
            return Err(Failure::NoConnection);
        };
        let deadline = Instant::now() + self.config.poll.timeout;
        let replies = match connection.exchange(&[session.command(operation)], deadline).await {
            Ok(replies) => replies,
            Err(error) => {
                let answered = error.reason.is_answer();
                if !answered {
                    self.connection = None;
                }
                self.fail(&error, answered, false);
                self.publish_ping();
                return Err(Failure::Exchange(error.message));
            }
        };
        // One command has one reply.
        let reply = replies.first().unwrap_or(&Reply::Null);
        session
            .judge(operation, reply)
            .map_err(|sentence| match unavailability(reply) {
                Some(reason) => Failure::Refused(reason, sentence),
                None if names_another_node(reply) => Failure::Elsewhere(sentence),
                None => Failure::Answer(sentence),
            })
    }

    fn on_probe_ended(&mut self, outcome: Outcome, started: Instant) {
        let success = outcome.failure.is_none();
        let mut samples = Samples::new();
        samples.push(&SUCCESS, f64::from(u8::from(success)));
        let lifetime = self.probe_lifetime();
        self.show(SPEC.name, publish::VALUES, samples, Some(lifetime));
        self.details.session_probe = Some(ProbeFacts {
            set_seconds: outcome.set.map(|waited| waited.as_secs_f64()),
            get_seconds: outcome.get.map(|waited| waited.as_secs_f64()),
            success,
            expires_at: (Instant::now() + lifetime).into_std(),
        });
        if !success && !outcome.is_connection {
            // A connection that breaks fails PINGs too, which are counted.
            self.count_session_errors(1.0);
        }
        if outcome.get.is_some() {
            // GET is the one command of the probe that the server counts, as a hit.
            let database = self.config.address.database;
            *self.accumulators.keyspace_lookups.entry(database).or_default() += 1;
            self.show_session_counters();
        }
        self.log_probe(outcome.failure.as_deref(), outcome.is_connection);
        self.remember_turn(SPEC.name, outcome.failure, started.elapsed());
    }

    /// Known to be impossible, not merely failed: tried again when what was found is forgotten, since each attempt stands in the
    /// server's ACL LOG.
    fn on_probe_refused(&mut self, reason: Unavailable, outcome: Outcome, started: Instant) {
        self.session_probe.refused_at = Some(Instant::now());
        self.withdraw_probe_values();
        let what = outcome.failure.unwrap_or_default();
        let sentence = match reason {
            Unavailable::Denied => format!(
                "the Redis user may not write synthetic sessions: {what}; grant it with ACL SETUSER {} +set +get +expire +del, with ~{}* \
                 behind it unless the user may use all keys (Redis refuses the line then), or switch session_probe off",
                self.config.username.as_deref().unwrap_or("default"),
                self.config.session_probe.prefix
            ),
            Unavailable::Unsupported => {
                format!("the server does not have a command of the synthetic session: {what}; switch session_probe off")
            }
        };
        self.log_probe(Some(&sentence), false);
        self.remember_turn(SPEC.name, Some(sentence), started.elapsed());
        if let Some(state) = self.collector_states.get_mut(SPEC.name) {
            state.unavailable = Some(reason);
        }
    }

    /// Logs a change once. What the log was told about the connection is not told again of the probe that needs it.
    fn log_probe(&mut self, failure: Option<&str>, is_connection: bool) {
        let logged = &mut self.session_probe.logged;
        match failure {
            Some(_) if is_connection && logged.is_some() => {}
            Some(sentence) if logged.as_deref() != Some(sentence) => {
                *logged = Some(sentence.to_owned());
                tracing::warn!(instance = %self.name, error = sentence, "the synthetic session failed");
            }
            None if logged.take().is_some() => {
                tracing::info!(instance = %self.name, "the synthetic session works again");
            }
            _ => {}
        }
    }

    /// Three intervals, and at least what lies between two outcomes when everything is as slow as it may be.
    fn probe_lifetime(&self) -> Duration {
        let interval = self.config.session_probe.interval;
        let worst = interval.saturating_add(self.config.poll.timeout.saturating_mul(DEADLINES_PER_PROBE));
        interval.saturating_mul(STALE_AFTER_INTERVALS).max(worst)
    }

    /// A replica takes no writes, and one that does (`replica-read-only no`) loses them: sessions are tried at the primary.
    fn leave_replica_alone(&mut self) {
        if self.withdraw_probe_values() {
            tracing::info!(instance = %self.name, "the server is a replica: no synthetic session is written to it");
        }
        self.collector_states.remove(SPEC.name);
    }

    /// No key of ours belongs to this node of a cluster, since the prefix pins all of them to one slot, or the node holds none or next to none.
    /// Slots may move: it is tried again as seldom as what is refused.
    fn leave_to_other_nodes(&mut self) {
        self.session_probe.refused_at = Some(Instant::now());
        self.withdraw_probe_values();
        self.collector_states.remove(SPEC.name);
        self.log_probe(None, false);
        if !std::mem::replace(&mut self.session_probe.is_known_elsewhere, true) {
            tracing::info!(
                instance = %self.name,
                "the keys of synthetic sessions are in hash slots of other nodes of the cluster: none is written here"
            );
        }
    }

    /// Takes the last outcome away; returns whether there was one.
    fn withdraw_probe_values(&mut self) -> bool {
        self.details.session_probe = None;
        let key = SectionKey {
            collector: SPEC.name,
            part: publish::VALUES,
        };
        self.sections.remove(&key).is_some()
    }

    /// The probe was switched off: nothing of it is shown any more. Its counters go on from where they are when it is on again.
    pub(super) fn end_session_probe(&mut self) {
        self.details.session_probe = None;
        self.sections.retain(|key, _| key.collector != SPEC.name);
        self.collector_states.remove(SPEC.name);
        self.session_probe.logged = None;
    }
}

#[cfg(test)]
mod tests;
