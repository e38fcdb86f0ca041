//! Collectors: named groups of metrics, one file each, listed once in [`ALL`].
//!
//! A collector says which commands it needs and turns their replies into samples. It never opens a connection, spawns,
//! sleeps, retries, sets a deadline or reads the clock: the frame around it (`poller`) does.
//!
//! A source of values (one reply) is all or nothing: what cannot be read whole is not published, and a reply that is broken fails its
//! collector. Most collectors have one source. `latency` (LATENCY LATEST, LATENCY HISTOGRAM, INFO), `slowlog` (SLOWLOG GET and COMMANDLOG
//! beside SLOWLOG LEN) and `cluster` (CLUSTER INFO, or INFO on Valkey from 9.0 on) have several and publish what is there when a command
//! is denied or unknown; the frame names each missing command once in the log and the collector in
//! `redis_session_exporter_collector_unavailable`.

pub mod admission;
pub mod application;
pub mod check_keys;
pub mod check_single_keys;
pub mod client_counts;
pub mod client_list;
pub mod clients;
pub mod cluster;
pub mod cluster_slot_stats;
pub mod commandstats;
pub mod compound;
pub mod config;
pub mod config_all;
pub mod connect;
pub mod count_keys;
pub mod cpu;
pub mod errorstats;
pub mod events;
pub mod expectations;
pub mod facts;
pub mod grants;
pub mod identity;
pub mod key_groups;
pub mod keyspace;
mod known_fields;
mod label_text;
pub mod latency;
pub mod lua;
pub mod memory;
pub mod modules;
pub mod operations;
pub mod persistence;
pub mod ping;
pub mod replication;
pub mod search;
pub mod sentinel;
pub mod sentinel_peers;
pub mod server;
pub mod session_probe;
pub mod sessions;
pub mod slowlog;
pub mod stats;
pub mod streams;
pub mod system;
pub mod table;
pub mod tile38;
pub mod tls;

#[cfg(test)]
pub(crate) mod peer_tests;
#[cfg(test)]
mod robustness_tests;
#[cfg(test)]
mod testing;

pub use crate::redis::OwnCalls;
pub use identity::identify;

use crate::config::optional::Optional;
use crate::config::{Expectations, Operations};
use crate::metric::{Descriptor, Samples};
use crate::redis::{Command, Info, Reply, Unavailable, sanitised_code, unavailability};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use tokio::time::Instant;

/// Which of an instance's intervals drives a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// `poll.ping_interval`
    Ping,
    /// `poll.info_interval`
    Info,
    /// `poll.scan_interval`
    Scan,
    /// `poll.connect_interval`
    Connect,
    /// `session_probe.interval`
    SessionProbe,
}

/// How a collector comes about.
pub enum Build {
    /// Reads replies of the info batch.
    FromReplies(fn(&Options) -> Box<dyn Collector>),
    /// The frame itself acts and publishes (ping, connect, sessions): there is no reply to read.
    ByFrame,
}

/// What a collector is. The name is configuration key, `collect[]` value, label value and file name in one.
pub struct Spec {
    /// The name.
    pub name: &'static str,
    /// One sentence: what the operator learns from it.
    pub help: &'static str,
    /// Whether it runs when the configuration does not name it.
    pub default_on: bool,
    /// What drives it.
    pub schedule: Schedule,
    /// What an ACL user must be granted for it, besides what every connection needs ([`crate::acl`]).
    pub grants: grants::Grants,
    /// Everything it may emit, in slices so that table-driven collectors can list their rows beside single descriptors.
    pub descriptors: fn() -> Vec<&'static Descriptor>,
    /// How it comes about.
    pub build: Build,
}

/// Every collector, in the order of `docs/metrics.md`.
pub const ALL: &[&Spec] = &[
    &ping::SPEC,
    &connect::SPEC,
    &server::SPEC,
    &memory::SPEC,
    &clients::SPEC,
    &stats::SPEC,
    &persistence::SPEC,
    &replication::SPEC,
    &cpu::SPEC,
    &commandstats::SPEC,
    &latency::SPEC,
    &slowlog::SPEC,
    &errorstats::SPEC,
    &keyspace::SPEC,
    &cluster::SPEC,
    &config::SPEC,
    &tls::SPEC,
    &sessions::SPEC,
    &events::SPEC,
    &operations::SPEC,
    &session_probe::SPEC,
    &application::SPEC,
    &check_keys::SPEC,
    &check_single_keys::SPEC,
    &count_keys::SPEC,
    &config_all::SPEC,
    &system::SPEC,
    &modules::SPEC,
    &cluster_slot_stats::SPEC,
    &lua::SPEC,
    &search::SPEC,
    &client_list::SPEC,
    &client_counts::SPEC,
    &sentinel::SPEC,
    &sentinel_peers::SPEC,
    &tile38::SPEC,
    &key_groups::SPEC,
    &streams::SPEC,
];

/// What of the configuration a collector may need when it is built.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Largest number of values that one label may take within one family (`limits.label_values`), but for those that [`admission`]
    /// names a limit for.
    pub label_values: usize,
    /// What the operator expects of this store (`expect`).
    pub expect: Expectations,
    /// Whether commands are taken as session operations (`operations`).
    pub operations: Operations,
    /// The sections of the collectors that are off by default, and `compatibility`.
    pub optional: Optional,
    /// Whether the collector `config_all` is on, which shows the parameters of a Sentinel as well.
    pub config_all: bool,
}

/// Which server answered, as far as INFO tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// Product: `redis`, `valkey`, `keydb`, `dragonfly`, or what `server_name` says.
    pub product: String,
    /// The product's own version (`8.1.4`), not the compatibility text of a fork.
    pub version: String,
    /// The version as numbers; missing parts are 0.
    pub version_numbers: (u32, u32, u32),
    /// `redis_version` as sent: what a fork is compatible with.
    pub redis_version: (u32, u32, u32),
    /// `cluster_enabled:1`
    pub cluster_enabled: bool,
    /// It runs in Sentinel mode: it watches other servers and holds no keys.
    pub is_sentinel: bool,
    /// `run_id`: changes with every start of the server.
    pub run_id: String,
}

/// Why a collector published nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// A command it needs is not to be had on this connection. Remembered, not tried again at every poll.
    #[error("{command} is {}", .reason.as_label())]
    Unavailable {
        /// Name of the command, as in commandstats.
        command: String,
        /// Why.
        reason: Unavailable,
    },
    /// A command answered with another error; `code` is its first word, which is from Redis' own bounded set.
    #[error("{command} failed with {code}")]
    Failed {
        /// Name of the command.
        command: String,
        /// First word of the error reply, sanitised.
        code: String,
    },
    /// A reply has a shape that this collector does not know. The text never quotes the reply.
    #[error("{command} answered in an unknown shape: {what}")]
    Shape {
        /// Name of the command.
        command: String,
        /// What was expected, in words.
        what: &'static str,
    },
}

impl CollectError {
    /// The error for a reply that is built in another way than `what` says.
    fn shape(command: &Command, what: &'static str) -> Self {
        Self::Shape {
            command: command.name(),
            what,
        }
    }
}

/// Everything that a collector may look at while it turns replies into samples.
pub struct PollContext<'a> {
    /// The INFO reply of this poll; `None` when the user may not run INFO.
    pub info: Option<&'a Info>,
    /// Who answered.
    pub server: &'a Server,
    /// Replies of the other commands of the batch, error replies included.
    pub replies: &'a HashMap<Command, Reply>,
    /// Commands that are known not to be available on this connection and were therefore not sent.
    pub unavailable: &'a BTreeMap<String, Unavailable>,
    /// Wall clock at the moment of the reply, seconds since 1970, for timestamps only.
    pub unix_seconds: f64,
    /// Monotonic moment of the poll, for ages.
    pub now: Instant,
    /// What scans and events have found out about sessions.
    pub sessions: &'a SessionKnowledge,
    /// Size in bytes of the file that this collector named ([`Collector::file`]); `None` without one, and when there is no such file or
    /// its file system does not answer.
    pub file_bytes: Option<u64>,
    /// The reply of CLIENT LIST, gone through once for all collectors; `None` when nobody asked, or it is no text.
    pub clients: Option<&'a client_list::list::ClientList>,
}

/// What scans, events and our own connections know, for collectors that read the server's statistics with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionKnowledge {
    /// Nearly all keys of all databases are sessions of the stores, by the scans so far
    /// ([`operations::are_nearly_all_sessions`]); false before the first, and when its figures are withdrawn.
    pub are_keys_sessions: bool,
    /// Keys that events showed to be created in the stores since this process watches, including those that are not logins
    /// (copies, restores); `None` while events are not heard or do not tell creations. Never falls.
    pub keys_created: Option<u64>,
    /// The Redis types of the keys of the stores; empty when they are not known, which means any.
    pub key_types: std::collections::BTreeSet<crate::config::presets::KeyType>,
    /// Commands that this exporter itself has sent to the instance, over all its connections, by name as commandstats writes it.
    /// Read anew after the replies of each poll came, so that it holds everything of ours that those replies may count.
    pub own_calls: BTreeMap<String, OwnCalls>,
}

impl PollContext<'_> {
    /// INFO, or the error that every collector that lives on it returns without it.
    pub fn info(&self) -> Result<&Info, CollectError> {
        self.info.ok_or_else(|| CollectError::Unavailable {
            command: "info".to_owned(),
            reason: self.unavailable.get("info").copied().unwrap_or(Unavailable::Denied),
        })
    }

    /// The reply to a command that `requests` asked for, or why there is none.
    ///
    /// # Errors
    /// `Unavailable` when it is known or now found to be denied or unsupported, `Failed` for any other error reply.
    pub fn reply(&self, command: &Command) -> Result<&Reply, CollectError> {
        let name = command.name();
        if let Some(reason) = self.unavailable.get(&name) {
            return Err(CollectError::Unavailable {
                command: name,
                reason: *reason,
            });
        }
        match self.replies.get(command) {
            // Without INFO nobody knows which server it is, so commands that depend on it were not sent.
            None if self.info.is_none() => self.info().and(Err(CollectError::Unavailable {
                command: name,
                reason: Unavailable::Unsupported,
            })),
            None => Err(CollectError::Unavailable {
                command: name,
                reason: Unavailable::Unsupported,
            }),
            Some(error @ Reply::Error(_)) => match unavailability(error) {
                Some(reason) => Err(CollectError::Unavailable { command: name, reason }),
                None => Err(CollectError::Failed {
                    command: name,
                    code: sanitised_code(error),
                }),
            },
            Some(reply) => Ok(reply),
        }
    }
}

/// One group of metrics of one instance. It owns its options and whatever it must remember between polls.
pub trait Collector: Send {
    /// The commands that the next poll needs beside INFO. `server` is `None` only before the first INFO of a connection;
    /// a collector that depends on the version or on cluster mode asks for nothing then and gets a second round trip.
    fn requests(&self, server: Option<&Server>) -> Vec<Command>;

    /// The commands that can only be asked when the replies of `requests` are known (what is said of each index needs their list). They
    /// cost a further round trip, so that most collectors have none. Bounded by the collector, since replies say how many there are.
    fn follow_up(&self, _context: &PollContext<'_>) -> Vec<Command> {
        Vec::new()
    }

    /// A file on this machine whose size the collector wants to know. The frame looks at it, and never waits long for a file system.
    fn file(&self, _context: &PollContext<'_>) -> Option<PathBuf> {
        None
    }

    /// Turns the replies into samples.
    ///
    /// # Errors
    /// [`CollectError`] when a needed reply is missing or not understood; nothing is published then.
    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError>;

    /// What this collector accumulates and must not lose at a reload, which makes a new collector. Most accumulate nothing.
    fn give_state(&mut self) -> Option<Box<dyn Any + Send>> {
        None
    }

    /// Goes on from what a former collector of the same name gave.
    fn take_state(&mut self, _state: Box<dyn Any + Send>) {}
}
