//! The connection of a scan: it outlives a failed exchange, as far as the same server process answers again.

use super::{ScanFailure, ScanReport};
use crate::collectors::identify;
use crate::collectors::lua::Ending;
use crate::config::InstanceConfig;
use crate::redis::reason::classify_error_reply;
use crate::redis::{
    Command, Connection, Connector, Info, Reason, RedisError, Reply, Unavailable, sanitised_code, unavailability,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Failures in a row after which a pass is given up. With a pause of one `ping_interval` before each new attempt that is long enough
/// for a restart or a failover, and short enough that the next interval is not lost.
const MOST_FAILURES_IN_A_ROW: u32 = 3;

/// Failures of one pass after which it is given up, however much it achieves in between.
const MOST_FAILURES: u32 = 20;

/// Why a pass cannot simply go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// It has failed.
    Failed(ScanFailure),
    /// Another process answers, or the same one with other data: what was counted so far is of no use. In words, what happened.
    StartOver(&'static str),
}

impl Stop {
    /// A failure that is not one of connecting.
    pub(super) fn failed(error: RedisError) -> Self {
        Self::Failed(ScanFailure {
            error,
            at_connect: false,
            at_replica: false,
        })
    }
}

/// Which server process answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// `run_id`; `None` when INFO is denied.
    pub run_id: Option<String>,
    /// Whether it is a node of a cluster.
    pub is_cluster: bool,
    /// Whether SCAN goes through a table per slot, one after the other: nodes of a cluster from Redis 7.4 and Valkey 8.0 on.
    pub walks_slots: bool,
}

impl Identity {
    /// From INFO with at least the section `server`.
    pub(super) fn new(info: &Info) -> Self {
        let server = identify(info);
        let mode = info.get("server_mode").or_else(|| info.get("redis_mode"));
        let is_cluster = server.cluster_enabled || mode.map(str::trim) == Some("cluster");
        let tables_per_slot = match server.product.as_str() {
            "valkey" => server.version_numbers >= (8, 0, 0),
            _ => server.redis_version >= (7, 4, 0),
        };
        Self {
            run_id: Some(server.run_id).filter(|run_id| !run_id.is_empty()),
            is_cluster,
            walks_slots: is_cluster && tables_per_slot,
        }
    }
}

/// The connection of a scan.
pub(super) struct Link<'a, R> {
    config: &'a InstanceConfig,
    connector: &'a Connector,
    reports: &'a mpsc::Sender<R>,
    connection: Option<Connection>,
    /// Which server answers.
    pub identity: Identity,
    /// Commands at the beginning of each connection, whose answers do not matter: `CLIENT NO-TOUCH`, `READONLY`.
    greetings: Vec<Command>,
    database: Option<u32>,
    failures_in_a_row: u32,
    failures: u32,
    /// Whether connects and failures are counted as the instance's; those of its replicas are not.
    is_own: bool,
    /// Why INFO is not asked for; found out once.
    pub info_refusal: Option<Unavailable>,
    /// How often the server was found to load its data anew.
    pub loads: u32,
    /// The database that SELECT last refused.
    pub refused_database: Option<u32>,
    /// Whether it is used for keys that are no sessions just now, as what is said of a refusal is to name.
    pub is_about_keys: bool,
}

impl<'a, R: From<ScanReport> + Send> Link<'a, R> {
    /// A link without a connection.
    pub(super) fn new(
        config: &'a InstanceConfig,
        connector: &'a Connector,
        reports: &'a mpsc::Sender<R>,
        is_own: bool,
    ) -> Self {
        Self {
            config,
            connector,
            reports,
            connection: None,
            identity: Identity::default(),
            greetings: Vec::new(),
            database: None,
            failures_in_a_row: 0,
            failures: 0,
            is_own,
            info_refusal: None,
            loads: 0,
            refused_database: None,
            is_about_keys: false,
        }
    }

    /// A deadline for one exchange from now on.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.config.poll.timeout
    }

    /// Tells the instance something; its end is told nothing any more.
    pub(super) async fn report(&self, mut report: ScanReport) {
        if let (ScanReport::Progress(progress), false) = (&mut report, self.is_own) {
            // What a replica looked up is not among the hits and misses of the instance.
            (progress.lookups, progress.misses) = (0, 0);
        }
        let _ = self.reports.send(report.into()).await;
    }

    /// Connects and asks who answers; gives back INFO of the sections `server` and `replication`, if the user may read it. The
    /// first connect of a pass has been counted by whoever started it.
    pub(super) async fn open(&mut self) -> Result<Option<Info>, ScanFailure> {
        let at_connect = |(_, error)| ScanFailure {
            error,
            at_connect: true,
            at_replica: false,
        };
        let (mut connection, _) = self.connector.connect(self.deadline()).await.map_err(at_connect)?;
        // Two commands: several sections in one are known from Redis 7.0 on.
        let mut batch = Vec::new();
        if self.info_refusal.is_none() {
            batch.push(Command::new(1, &["INFO", "server"]));
            batch.push(Command::new(1, &["INFO", "replication"]));
        }
        let info_commands = batch.len();
        batch.extend(self.greetings.iter().cloned());
        batch.extend(self.database.map(select));
        let replies = connection
            .exchange(&batch, self.deadline())
            .await
            .map_err(|error| ScanFailure {
                error,
                at_connect: false,
                at_replica: false,
            })?;
        if let (Some(_), Some(reply @ Reply::Error(_))) = (self.database, replies.last()) {
            return Err(ScanFailure {
                error: self.refusal("SELECT", reply),
                at_connect: false,
                at_replica: false,
            });
        }
        let info_replies = || replies.iter().take(info_commands);
        self.info_refusal = self.info_refusal.or_else(|| info_replies().find_map(unavailability));
        let texts: Vec<&[u8]> = info_replies().filter_map(Reply::as_bytes).collect();
        let info = (texts.len() == 2).then(|| Info::parse(&texts.concat()));
        self.identity = info.as_ref().map(Identity::new).unwrap_or_default();
        self.connection = Some(connection);
        Ok(info)
    }

    /// Sends commands whose answers do not matter, now and at the beginning of each further connection, in place of earlier ones.
    /// What is refused now is not said again.
    pub(super) async fn greet(&mut self, greetings: Vec<Command>) -> Result<Vec<Reply>, Stop> {
        let (replies, _) = self.exchange(&greetings).await?;
        let said = greetings.into_iter().zip(&replies);
        let accepted = said.filter(|(_, reply)| unavailability(reply).is_none());
        self.greetings = accepted.map(|(greeting, _)| greeting).collect();
        Ok(replies)
    }

    /// Changes to a database.
    pub(super) async fn select(&mut self, database: u32) -> Result<(), Stop> {
        let before = self.database.replace(database);
        let (replies, _) = self.exchange(&[select(database)]).await?;
        match replies.first() {
            Some(reply @ Reply::Error(_)) => {
                let refusal = self.refusal("SELECT", reply);
                // A new connection would fail with it.
                self.database = before;
                self.refused_database = Some(database);
                Err(Stop::failed(refusal))
            }
            Some(_) => Ok(()),
            None => Err(Stop::failed(self.shape_error("SELECT"))),
        }
    }

    /// Sends a batch and gives back the replies with their round trip. When that fails and may succeed later, it is reported, and after
    /// a pause the same batch is sent again, on a new connection where the old one is gone.
    ///
    /// The batch may so be executed twice: nothing but reads is sent here.
    pub(super) async fn exchange(&mut self, batch: &[Command]) -> Result<(Vec<Reply>, Duration), Stop> {
        loop {
            let deadline = self.deadline();
            let outcome = match self.connection.as_mut() {
                Some(connection) => {
                    let sent = Instant::now();
                    let replies = connection.exchange(batch, deadline).await;
                    replies.map(|replies| (replies, sent.elapsed()))
                }
                None => Err(RedisError {
                    reason: Reason::Closed,
                    message: format!("{}: there is no connection", self.config.name),
                }),
            };
            let error = match outcome {
                Ok((replies, round_trip)) => match self.postponement(batch, &replies) {
                    None => {
                        self.failures_in_a_row = 0;
                        return Ok((replies, round_trip));
                    }
                    Some(error) => error,
                },
                Err(error) => {
                    self.connection = None;
                    error
                }
            };
            self.recover(ScanFailure {
                error,
                at_connect: false,
                at_replica: false,
            })
            .await?;
        }
    }

    /// Connects where there is no connection, once.
    ///
    /// # Errors
    /// Why there is still none. It is reported already.
    pub(super) async fn ensure_open(&mut self) -> Result<(), RedisError> {
        if self.connection.is_some() {
            return Ok(());
        }
        self.report_own(ScanReport::Connect).await;
        match self.open().await {
            Ok(_) => Ok(()),
            Err(ScanFailure { error, at_connect, .. }) => {
                let reason = error.reason;
                self.report_own(ScanReport::Failed { reason, at_connect }).await;
                Err(error)
            }
        }
    }

    /// Sends a batch that is not to be sent again when it fails, and gives back the replies, error replies included.
    ///
    /// # Errors
    /// Those of [`Connection::exchange`]; the connection is gone then. What failed is reported, but for a reply that is not to be
    /// understood (`Protocol`), which says nothing about the server where scripts make the replies.
    pub(super) async fn exchange_once(
        &mut self,
        batch: &[Command],
        deadline: Instant,
    ) -> Result<Vec<Reply>, RedisError> {
        let outcome = match self.connection.as_mut() {
            Some(connection) => connection.exchange(batch, deadline).await,
            None => Err(RedisError {
                reason: Reason::Closed,
                message: format!("{}: there is no connection", self.config.name),
            }),
        };
        if let Err(error) = &outcome {
            self.connection = None;
            if error.reason != Reason::Protocol {
                let (reason, at_connect) = (error.reason, false);
                self.report_own(ScanReport::Failed { reason, at_connect }).await;
            }
        }
        outcome
    }

    /// Sends a batch whose replies may be more than an exchange takes. Where that is so, nothing is counted as a fault of the server: it
    /// answers on a new connection at once, as the same process.
    ///
    /// # Errors
    /// The inner one when the replies were too large or too slow; the outer one as [`Link::exchange`].
    pub(super) async fn exchange_apart(
        &mut self,
        batch: &[Command],
    ) -> Result<Result<(Vec<Reply>, Duration), RedisError>, Stop> {
        loop {
            let deadline = self.deadline();
            let Some(connection) = self.connection.as_mut() else {
                // What fails now has nothing to do with the batch.
                self.exchange(&[Command::new(1, &["PING"])]).await?;
                continue;
            };
            let sent = Instant::now();
            let error = match connection.exchange(batch, deadline).await {
                Ok(replies) => match self.postponement(batch, &replies) {
                    None => return Ok(Ok((replies, sent.elapsed()))),
                    Some(error) => {
                        self.recover(ScanFailure {
                            error,
                            at_connect: false,
                            at_replica: false,
                        })
                        .await?;
                        continue;
                    }
                },
                Err(error) => error,
            };
            self.connection = None;
            let before = self.identity.run_id.clone();
            self.report_own(ScanReport::Connect).await;
            if let Err(failure) = self.open().await {
                self.recover(failure).await?;
            } else if before != self.identity.run_id {
                return Err(Stop::StartOver("another server process answers"));
            }
            return Ok(Err(error));
        }
    }

    /// Asks the server over a connection of its own, which takes the place of the one that waits for the script, to end the script
    /// that runs (SCRIPT KILL, Redis 2.6).
    pub(super) async fn kill_script(&mut self, deadline: Instant) -> Ending {
        self.connection = None;
        self.report_own(ScanReport::Connect).await;
        let kill = Command::new(2, &["SCRIPT", "KILL"]);
        let (outcome, at_connect) = match self.connector.without_database().connect(deadline).await {
            Ok((mut connection, _)) => (connection.exchange(&[kill], deadline).await, false),
            Err((_, error)) => (Err(error), true),
        };
        if let Err(error) = &outcome {
            let reason = error.reason;
            self.report_own(ScanReport::Failed { reason, at_connect }).await;
        }
        let replies = outcome.unwrap_or_default();
        Ending::of_reply(replies.first())
    }

    /// Reports what is counted as the instance's; what happens at a replica in its place is not.
    async fn report_own(&self, report: ScanReport) {
        if self.is_own {
            self.report(report).await;
        }
    }

    /// The error of a server that answers everything with "not now".
    fn postponement(&self, batch: &[Command], replies: &[Reply]) -> Option<RedisError> {
        let (command, reply) = batch.iter().zip(replies).find(|(_, reply)| {
            let reason = classify_error_reply(reply);
            matches!(reason, Some(Reason::Loading | Reason::Masterdown | Reason::Busy))
        })?;
        Some(self.refusal(&command.name().to_uppercase(), reply))
    }

    /// Pauses and connects again after a failure, as often as is reasonable.
    async fn recover(&mut self, mut failure: ScanFailure) -> Result<(), Stop> {
        let before = self.identity.run_id.clone();
        let mut has_other_data = false;
        loop {
            let is_exhausted = self.failures_in_a_row >= MOST_FAILURES_IN_A_ROW || self.failures >= MOST_FAILURES;
            if is_exhausted || !may_pass(failure.error.reason) {
                return Err(Stop::Failed(failure));
            }
            self.failures_in_a_row += 1;
            self.failures += 1;
            // A data set that is loaded, also by the same process, is another one.
            has_other_data |= matches!(failure.error.reason, Reason::Loading | Reason::Masterdown);
            let (reason, at_connect) = (failure.error.reason, failure.at_connect);
            tracing::debug!(instance = %self.config.name, reason = reason.as_label(), "a scan is interrupted");
            if self.is_own {
                self.report(ScanReport::Failed { reason, at_connect }).await;
            }
            tokio::time::sleep(self.config.poll.ping_interval).await;
            if self.connection.is_none() {
                if self.is_own {
                    self.report(ScanReport::Connect).await;
                }
                if let Err(again) = self.open().await {
                    failure = again;
                    continue;
                }
            }
            let is_same = before.is_some() && before == self.identity.run_id;
            return match (has_other_data, is_same) {
                (true, _) => {
                    self.loads += 1;
                    Err(Stop::StartOver("the server has loaded its data anew"))
                }
                (false, false) => Err(Stop::StartOver("another server process answers")),
                (false, true) => Ok(()),
            };
        }
    }

    /// Turns an error reply into an error that names the command and the database.
    pub(super) fn refusal(&self, command: &str, reply: &Reply) -> RedisError {
        let code = sanitised_code(reply);
        let place = match self.database {
            Some(database) => format!(" in database {database}"),
            None => String::new(),
        };
        let (what, verb) = if self.is_about_keys {
            ("keys", "looked at")
        } else {
            ("sessions", "counted")
        };
        RedisError {
            reason: classify_error_reply(reply).unwrap_or(Reason::Other),
            message: format!(
                "{}: {command} was refused with {code}; {what}{place} cannot be {verb}",
                self.config.name
            ),
        }
    }

    /// The error for a reply that is built in an unknown way.
    pub(super) fn shape_error(&self, command: &str) -> RedisError {
        RedisError {
            reason: Reason::Protocol,
            message: format!("{}: {command} answered in an unknown shape", self.config.name),
        }
    }
}

/// Whether what failed for this reason may succeed a little later.
const fn may_pass(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Refused
            | Reason::Unreachable
            | Reason::Timeout
            | Reason::Dns
            | Reason::Loading
            | Reason::Masterdown
            | Reason::Busy
            | Reason::MaxClients
            | Reason::Closed
    )
}

fn select(database: u32) -> Command {
    Command::new(1, &["SELECT"]).arg(database.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(text: &str) -> Identity {
        Identity::new(&Info::parse(text.as_bytes()))
    }

    #[test]
    fn nodes_of_newer_clusters_walk_slot_by_slot() {
        let of = |version: &str, mode: &str| identity(&format!("{version}\r\n{mode}\r\nrun_id:a\r\n")).walks_slots;
        assert!(of("redis_version:7.4.0", "redis_mode:cluster"));
        assert!(!of("redis_version:7.2.5", "redis_mode:cluster"));
        assert!(!of("redis_version:8.0.0", "redis_mode:standalone"));
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:";
        assert!(of(&format!("{valkey}8.1.1"), "server_mode:cluster"));
        assert!(!of(&format!("{valkey}7.2.6"), "server_mode:cluster"));
        assert!(of(&format!("{valkey}9.1.0"), "cluster_enabled:1"));
        assert_eq!(
            identity("redis_version:7.0.0\r\nrun_id:abc\r\n").run_id.as_deref(),
            Some("abc")
        );
        assert_eq!(identity("redis_version:7.0.0\r\n").run_id, None);
    }
}
