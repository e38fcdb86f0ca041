//! The scan actor's frame: one connection, one pass per database, paced, cancelled by dropping its task.

use crate::config::{InstanceConfig, StoreConfig};
use crate::redis::{Command, Connector, Reason, RedisError, Reply};
use crate::sessions::pacing::Pacer;
use crate::sessions::pass::{DatabasePass, PACED_COUNT, Progress, UNPACED_COUNT};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What one pass over all databases of an instance found.
#[derive(Debug, Clone)]
pub struct ScanOutcome {
    /// How long the whole pass took.
    pub duration: Duration,
    /// What each database cost and held.
    pub databases: Vec<DatabaseOutcome>,
    /// Sessions per store, by its index in the configuration, over all its databases.
    pub sessions: BTreeMap<usize, u64>,
    /// When the pass ended.
    pub ended_at: SystemTime,
}

/// One database of a pass.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseOutcome {
    /// The database.
    pub database: u32,
    /// How long its pass took.
    pub duration: Duration,
    /// Keys that SCAN returned.
    pub keys_examined: u64,
    /// Keys examined over DBSIZE.
    pub coverage_ratio: f64,
    /// Server time as estimated from round trips, in seconds.
    pub redis_seconds: f64,
}

/// A failed pass: what it cost all the same, and why it failed.
#[derive(Debug, Clone)]
pub struct ScanFailure {
    /// Why.
    pub error: RedisError,
    /// Whether the connect failed, rather than an exchange.
    pub at_connect: bool,
    /// What the databases had cost until then.
    pub databases: Vec<DatabaseOutcome>,
}

/// Runs one pass.
///
/// # Errors
/// [`ScanFailure`] when the connect, an exchange or a reply failed; nothing is counted then.
pub async fn run(
    config: &InstanceConfig,
    connector: &Connector,
    paced: bool,
    remembered_keys: usize,
) -> Result<ScanOutcome, ScanFailure> {
    let started = Instant::now();
    let mut databases = Vec::new();
    let mut sessions = BTreeMap::new();
    let mut connection = match connector.connect(started + config.poll.timeout).await {
        Ok((connection, _)) => connection,
        Err((_, error)) => {
            return Err(ScanFailure {
                error,
                at_connect: true,
                databases,
            });
        }
    };
    let wanted: BTreeSet<u32> = config
        .sessions
        .iter()
        .flat_map(|store| store.databases.iter().copied())
        .collect();
    let share = if paced { config.scan.redis_share } else { 0.0 };
    let count = if share > 0.0 { PACED_COUNT } else { UNPACED_COUNT };
    for database in wanted {
        let stores = config
            .sessions
            .iter()
            .enumerate()
            .filter(|(_, store)| store.databases.contains(&database));
        let pass = Pass {
            config,
            share,
            count,
            remembered_keys,
            database,
        };
        match pass.run(&mut connection, stores).await {
            Ok((outcome, counts)) => {
                databases.push(outcome);
                for (store, found) in counts {
                    *sessions.entry(store).or_insert(0) += found;
                }
            }
            Err((partial, error)) => {
                databases.extend(partial);
                return Err(ScanFailure {
                    error,
                    at_connect: false,
                    databases,
                });
            }
        }
    }
    Ok(ScanOutcome {
        duration: started.elapsed(),
        databases,
        sessions,
        ended_at: SystemTime::now(),
    })
}

/// What the pass over one database needs to know.
struct Pass<'a> {
    config: &'a InstanceConfig,
    share: f64,
    count: u32,
    remembered_keys: usize,
    database: u32,
}

/// What it returns: the cost, and sessions by store index.
type PassResult = Result<(DatabaseOutcome, Vec<(usize, u64)>), (Option<DatabaseOutcome>, RedisError)>;

impl Pass<'_> {
    async fn run<'s>(
        &self,
        connection: &mut crate::redis::Connection,
        stores: impl Iterator<Item = (usize, &'s StoreConfig)>,
    ) -> PassResult {
        let started = Instant::now();
        let select = Command::new(1, &["SELECT"]).arg(self.database.to_string());
        let size = Command::new(1, &["DBSIZE"]);
        let opening = [select, size.clone()];
        let replies = connection
            .exchange(&opening, self.deadline())
            .await
            .map_err(|error| (None, error))?;
        let round_trip = started.elapsed();
        for (reply, command) in replies.iter().zip(&opening) {
            refused(reply, command, self.config).map_err(|error| (None, error))?;
        }
        let database_size = replies
            .get(1)
            .and_then(whole_number)
            .ok_or_else(|| (None, self.shape_error("DBSIZE")))?;
        let mut pass = DatabasePass::new(self.database, stores, self.count, self.remembered_keys, database_size);
        let mut pacer = Pacer::new(self.share, round_trip);
        loop {
            let sent = Instant::now();
            let before = pass.keys_examined();
            let command = pass.command();
            let step = connection
                .exchange(std::slice::from_ref(&command), self.deadline())
                .await;
            let progress = step.and_then(|replies| match replies.first() {
                Some(reply) => {
                    refused(reply, &command, self.config)?;
                    pass.absorb(reply).map_err(|error| RedisError {
                        reason: Reason::Protocol,
                        message: format!("{}: {error}", self.config.name),
                    })
                }
                None => Err(self.shape_error("SCAN")),
            });
            let keys = usize::try_from(pass.keys_examined() - before).unwrap_or(usize::MAX);
            let rest = pacer.rest_after(sent.elapsed(), keys);
            match progress {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => {
                    let counts = pass.sessions().collect();
                    return Ok((self.outcome(started, &pass, &pacer, database_size), counts));
                }
                Err(error) => return Err((Some(self.outcome(started, &pass, &pacer, database_size)), error)),
            }
            // A timer rounds up to a millisecond: shorter rests are saved up until they are worth one.
            if rest >= SHORTEST_REST {
                let resting = Instant::now();
                tokio::time::sleep(rest).await;
                pacer.rested(resting.elapsed());
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.config.poll.timeout
    }

    fn shape_error(&self, command: &str) -> RedisError {
        RedisError {
            reason: Reason::Protocol,
            message: format!("{}: {command} answered in an unknown shape", self.config.name),
        }
    }

    fn outcome(&self, started: Instant, pass: &DatabasePass, pacer: &Pacer, size: u64) -> DatabaseOutcome {
        DatabaseOutcome {
            database: self.database,
            duration: started.elapsed(),
            keys_examined: pass.keys_examined(),
            coverage_ratio: pass.coverage_ratio(size),
            redis_seconds: pacer.used_seconds(),
        }
    }
}

/// Shortest rest worth a timer.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// A count that a server reports; negative numbers are not counts.
fn whole_number(reply: &Reply) -> Option<u64> {
    reply.as_integer().and_then(|number| u64::try_from(number).ok())
}

/// Turns an error reply into an error that names the command.
fn refused(reply: &Reply, command: &Command, config: &InstanceConfig) -> Result<(), RedisError> {
    let Reply::Error(_) = reply else { return Ok(()) };
    let code = crate::redis::sanitised_code(reply);
    Err(RedisError {
        reason: crate::redis::reason::classify_error_reply(reply).unwrap_or(Reason::Other),
        message: format!(
            "{}: {} was refused with {code}; sessions cannot be counted",
            config.name,
            command.name().to_uppercase()
        ),
    })
}
