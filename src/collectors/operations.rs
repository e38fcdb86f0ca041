//! Collector `operations`: what happens to sessions and how long it takes, from the server's own statistics of commands.
//!
//! INFO knows commands, not keys. So this is published only where the operator says that the commands are about sessions
//! (`operations: on`), or where nearly all keys are (`auto`). `docs/operations.md` says what each figure can and cannot tell.
//!
//! `mapping` says which command is which operation, `account` turns the server's totals into what others did since the previous
//! poll, `histogram` does the same for its histograms. What is added up here survives reloads and restarts of the server.

mod account;
mod histogram;
mod mapping;

pub use mapping::Operation;

use super::latency::{HISTOGRAM_SINCE, latency_histogram};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, SessionKnowledge, Spec, grants};
use crate::config::Operations;
use crate::metric::{Descriptor, MetricKind, Samples, Value};
use crate::redis::Command;
use account::{Account, Continuity, Foreign, Reading};
use histogram::Latencies;
use mapping::Role;
use std::any::Any;
use std::collections::BTreeMap;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "operations",
    help: "Session operations and their latency, from the server's command statistics.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |config, _| {
        if config.optional.compatibility.latency_commands && config.operations != Operations::Off {
            grants::commands(&["info", "latency|histogram"])
        } else {
            grants::commands(&["info"])
        }
    },
    descriptors: || vec![&OPERATIONS, &DURATION],
    build: Build::FromReplies(|options| {
        Box::new(SessionOperations {
            asks_latency: options.optional.compatibility.latency_commands,
            setting: options.operations,
            state: State::default(),
        })
    }),
};

static OPERATIONS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_operations_total",
    "Commands that create, read, write or delete sessions, by all clients but this exporter, since it watches. Published where `operations` is on, \
     or auto and 95 % of the keys are sessions: the server counts commands, not keys, so those on other keys and in other databases are \
     in it, and a DEL of three keys is one. create is what keyspace notifications show to be new; without them it is absent and every \
     write is an update, renewals of the TTL included. A read that finds nothing is a success. error is what failed or was refused \
     (absent before Redis 6.2, which counts failures as success); a write that fails is an update, unless it can only create (SETNX, MSETNX).",
    "INFO Commandstats: cmdstat_* calls, failed_calls, rejected_calls; create: keyspace notifications",
)
.with_labels(&["operation", "status"]);

static DURATION: Descriptor = Descriptor::new(
    MetricKind::Histogram,
    "session_operation_duration_seconds",
    "Execution time of session operations as the server measured it: in its main thread, without queue and network, refused calls not \
     included. The server's buckets are put onto these conservatively: an observation counts only where the upper edge of its bucket fits, never \
     better than the truth. The server takes whatever lasts longer than 1 s for its last bucket (0.54 s to 1.07 s), which \
     therefore counts in +Inf alone; the sum is not cut. Creations are writes and stand under update. Calls of this exporter are taken \
     off the fastest bucket. Absent before Redis 7.0 and where LATENCY HISTOGRAM is denied.",
    "LATENCY HISTOGRAM (7.0+); sum from INFO Commandstats: cmdstat_* usec",
)
.with_labels(&["operation"]);

/// Share of all keys that are sessions from which on `operations: auto` takes commands for session operations.
pub(crate) const ON_FROM_SHARE: f64 = 0.95;

/// Share below which `operations: auto` ends them again. Lower than the other one, so that a share that moves around it does not
/// make the metrics come and go.
const OFF_BELOW_SHARE: f64 = 0.90;

/// Operations whose latency is known. How long a creation takes is not: LATENCY HISTOGRAM does not tell it from another write.
const TIMED: [Operation; 3] = [Operation::Get, Operation::Update, Operation::Delete];

/// Calls of one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Calls {
    succeeded: u64,
    failed: u64,
}

/// What is added up, and what is remembered of the previous poll.
#[derive(Debug, Default)]
struct State {
    /// Whether commands are taken for session operations at the moment.
    is_on: bool,
    account: Account,
    latencies: Latencies,
    calls: BTreeMap<Operation, Calls>,
    /// Whether creations have ever been told by events, so that their counters exist.
    creations_known: bool,
    /// Keys created so far as events told at the previous poll.
    keys_created: Option<u64>,
    /// Creations that came since the previous poll and found no write to be split off.
    creations_left: u64,
}

struct SessionOperations {
    /// Whether LATENCY HISTOGRAM is asked for.
    asks_latency: bool,
    setting: Operations,
    state: State,
}

impl Collector for SessionOperations {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        let is_wanted = self.asks_latency && (self.state.is_on || self.setting == Operations::On);
        match server {
            Some(server) if is_wanted && server.redis_version >= HISTOGRAM_SINCE => vec![latency_histogram()],
            _ => Vec::new(),
        }
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let state = &mut self.state;
        state.is_on = is_on(self.setting, context.sessions.are_keys_sessions);
        if !state.is_on {
            state.pause();
            return Ok(Samples::new());
        }
        let Some(reading) = Reading::of(context, info) else {
            return Ok(Samples::new());
        };
        // Everything is read before anything is added up, so that a broken reply changes nothing.
        let histograms = match context.reply(&latency_histogram()) {
            _ if !self.asks_latency => None,
            Ok(reply) => Some(
                histogram::parse(reply)
                    .ok_or_else(|| CollectError::shape(&latency_histogram(), "a list of commands was expected"))?,
            ),
            Err(CollectError::Unavailable { .. }) => None,
            Err(error) => return Err(error),
        };
        let tells_failures = reading.tells_failures;
        let (continuity, foreign) = state.account.advance(reading);
        let roles: BTreeMap<&'static str, Role> = mapping::commands(&context.sessions.key_types)
            .filter_map(|(command, role)| Some((command, role?)))
            .collect();
        state.count(&foreign, &roles, continuity, context.sessions);
        let has_latencies = histograms.is_some();
        match histograms {
            Some(histograms) => {
                let operation_of = roles
                    .iter()
                    .map(|(command, role)| (*command, timed_as(*role)))
                    .collect();
                state.latencies.advance(histograms, continuity, &foreign, &operation_of);
            }
            None => state.latencies.forget(),
        }
        Ok(state.samples(tells_failures, has_latencies))
    }

    fn give_state(&mut self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(std::mem::take(&mut self.state)))
    }

    fn take_state(&mut self, state: Box<dyn Any + Send>) {
        if let Ok(state) = state.downcast::<State>() {
            self.state = *state;
        }
    }
}

/// Whether what the server tells of all keys is taken for sessions: by the setting, or since nearly all keys are
/// ([`are_nearly_all_sessions`]).
pub const fn is_on(setting: Operations, are_keys_sessions: bool) -> bool {
    match setting {
        Operations::On => true,
        Operations::Off => false,
        Operations::Auto => are_keys_sessions,
    }
}

/// Whether nearly all keys are sessions by their share, 0 to 1, at the last scan. A scan that cannot tell the share (the server
/// is empty) proves nothing, and takes nothing back.
pub fn are_nearly_all_sessions(were_before: bool, share_of_keys: Option<f64>) -> bool {
    match share_of_keys {
        None => were_before,
        Some(share) => share >= if were_before { OFF_BELOW_SHARE } else { ON_FROM_SHARE },
    }
}

/// Under which operation the time of a command is published.
const fn timed_as(role: Role) -> Operation {
    match role {
        Role::Write | Role::WriteNew | Role::Update => Operation::Update,
        Role::Get => Operation::Get,
        Role::Delete => Operation::Delete,
    }
}

impl State {
    /// What happens while commands are no session operations is not counted.
    fn pause(&mut self) {
        self.account.forget();
        self.latencies.forget();
        self.keys_created = None;
        self.creations_left = 0;
    }

    /// Adds what others did since the previous poll.
    fn count(
        &mut self,
        foreign: &BTreeMap<&'static str, Foreign>,
        roles: &BTreeMap<&'static str, Role>,
        continuity: Continuity,
        knowledge: &SessionKnowledge,
    ) {
        let are_creations_told = knowledge.keys_created.is_some();
        self.creations_known |= are_creations_told;
        let mut writes: u64 = 0;
        for (command, done) in foreign {
            let Some(role) = roles.get(command) else { continue };
            let succeeds_as = timed_as(*role);
            let fails_as = match role {
                Role::WriteNew if are_creations_told => Operation::Create,
                _ => succeeds_as,
            };
            if matches!(role, Role::Write | Role::WriteNew) {
                writes = writes.saturating_add(done.succeeded);
            } else {
                self.add(succeeds_as, done.succeeded, 0);
            }
            self.add(fails_as, 0, done.failed);
        }
        let created = self.split_off(writes, knowledge.keys_created, continuity);
        self.add(Operation::Create, created, 0);
        self.add(Operation::Update, writes.saturating_sub(created), 0);
    }

    /// How many of `writes` made a key, as far as events tell. An event may come a moment after the statistics that hold its
    /// write, so what finds no write counts at the next poll; older ones came from something that is no write here, and are let go.
    fn split_off(&mut self, writes: u64, told: Option<u64>, continuity: Continuity) -> u64 {
        let before = std::mem::replace(&mut self.keys_created, told);
        let new = match (before, told) {
            (Some(before), Some(told)) if continuity != Continuity::Unknown => told.saturating_sub(before),
            _ => {
                self.creations_left = 0;
                return 0;
            }
        };
        let waiting = self.creations_left.saturating_add(new);
        let created = waiting.min(writes);
        self.creations_left = (waiting - created).min(new);
        created
    }

    fn add(&mut self, operation: Operation, succeeded: u64, failed: u64) {
        let calls = self.calls.entry(operation).or_default();
        calls.succeeded = calls.succeeded.saturating_add(succeeded);
        calls.failed = calls.failed.saturating_add(failed);
    }

    fn samples(&self, tells_failures: bool, has_latencies: bool) -> Samples {
        let mut samples = Samples::new();
        for operation in Operation::ALL {
            if operation == Operation::Create && !self.creations_known {
                continue;
            }
            let calls = self.calls.get(&operation).copied().unwrap_or_default();
            let mut push = |status: &'static str, count: u64| {
                let labels = vec![("operation", operation.as_label().into()), ("status", status.into())];
                samples.push_with(&OPERATIONS, labels, count as f64);
            };
            push("success", calls.succeeded);
            if tells_failures {
                push("error", calls.failed);
            }
        }
        if has_latencies {
            for operation in TIMED {
                let labels = vec![("operation", operation.as_label().into())];
                let distribution = self.latencies.distribution(operation);
                samples.push_value(&DURATION, labels, Value::Histogram(distribution));
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests;
