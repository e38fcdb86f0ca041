//! The scan actor's frame: one connection, one pass per database, paced, cancelled by dropping its task.

use crate::config::InstanceConfig;
use crate::redis::reason::classify_error_reply;
use crate::redis::{Command, Connection, Connector, Reason, RedisError, Reply, sanitised_code, unavailability};
use crate::sessions::figures::{Estimate, StoreFigures};
use crate::sessions::pacing::Pacer;
use crate::sessions::pass::{DatabasePass, PACED_COUNT, Page, PassError, Progress, UNPACED_COUNT};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What one pass over all databases of an instance found.
#[derive(Debug, Clone)]
pub struct ScanOutcome {
    /// How long the whole pass took.
    pub duration: Duration,
    /// The databases of the pass.
    pub databases: Vec<DatabaseOutcome>,
    /// What was found of each store, by its index among the instance's stores, over all its databases.
    pub stores: BTreeMap<usize, StoreFigures>,
    /// When the pass ended.
    pub ended_at: SystemTime,
}

/// One database of a complete pass.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseOutcome {
    /// The database.
    pub database: u32,
    /// How long its pass took.
    pub duration: Duration,
    /// Keys examined over DBSIZE; absent when the user may not run DBSIZE.
    pub coverage_ratio: Option<f64>,
}

/// What a pass has cost since it last said so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanProgress {
    /// The database.
    pub database: u32,
    /// Keys that SCAN returned.
    pub keys_examined: u64,
    /// Server time as estimated from round trips, in seconds.
    pub redis_seconds: f64,
}

/// A failed pass.
#[derive(Debug, Clone)]
pub struct ScanFailure {
    /// Why.
    pub error: RedisError,
    /// Whether the connect failed, rather than an exchange.
    pub at_connect: bool,
}

impl ScanFailure {
    /// Whether the user may not run a command that scanning needs.
    pub fn is_denied(&self) -> bool {
        !self.at_connect && self.error.reason == Reason::Denied
    }
}

/// How often a pass tells what it has cost: often enough for a rate over a minute.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Runs one pass. What it costs goes to `reports` as it goes on and at its end, also when it fails.
///
/// # Errors
/// [`ScanFailure`] when the connect, an exchange or a reply failed; no session is counted then.
pub async fn run<R: From<ScanProgress> + Send>(
    config: &InstanceConfig,
    connector: &Connector,
    paced: bool,
    reports: &mpsc::Sender<R>,
) -> Result<ScanOutcome, ScanFailure> {
    let started = Instant::now();
    let mut connection = match connector.connect(started + config.poll.timeout).await {
        Ok((connection, _)) => connection,
        Err((_, error)) => {
            return Err(ScanFailure {
                error,
                at_connect: true,
            });
        }
    };
    let wanted: BTreeSet<u32> = config
        .sessions
        .configured()
        .iter()
        .flat_map(|store| store.databases.iter().copied())
        .collect();
    let share = if paced { config.scan.redis_share } else { 0.0 };
    let mut databases = Vec::new();
    let mut sessions = BTreeMap::new();
    for database in wanted {
        let mut pass = Pass::new(config, share, database);
        match pass.run(&mut connection, reports).await {
            Ok(outcome) => databases.push(outcome),
            Err(error) => {
                return Err(ScanFailure {
                    error,
                    at_connect: false,
                });
            }
        }
        for (store, found) in pass.keys.sessions() {
            *sessions.entry(store).or_insert(0) += found;
        }
    }
    let figures = |found: u64| StoreFigures {
        active: BTreeMap::from([(None, Estimate::exact(found as f64))]),
        without_ttl: None,
        ttl_exceeding: None,
        memory_bytes: None,
        unencrypted: None,
        ttl_remaining: None,
        size: None,
    };
    Ok(ScanOutcome {
        duration: started.elapsed(),
        databases,
        stores: sessions
            .into_iter()
            .map(|(store, found)| (store, figures(found)))
            .collect(),
        ended_at: SystemTime::now(),
    })
}

/// The pass over one database.
struct Pass<'a> {
    config: &'a InstanceConfig,
    database: u32,
    started: Instant,
    keys: DatabasePass,
    pacer: Pacer,
    /// When the cost was last reported, and what it was: keys, and seconds of the server.
    told: (Instant, u64, f64),
}

impl<'a> Pass<'a> {
    fn new(config: &'a InstanceConfig, share: f64, database: u32) -> Self {
        let stores = config
            .sessions
            .configured()
            .iter()
            .enumerate()
            .filter(|(_, store)| store.databases.contains(&database));
        let count = if share > 0.0 { PACED_COUNT } else { UNPACED_COUNT };
        let started = Instant::now();
        Self {
            config,
            database,
            started,
            keys: DatabasePass::new(stores, count, config.scan_remembered_keys),
            pacer: Pacer::new(share),
            told: (started, 0, 0.0),
        }
    }

    /// Walks the database to its end.
    async fn run<R: From<ScanProgress> + Send>(
        &mut self,
        connection: &mut Connection,
        reports: &mpsc::Sender<R>,
    ) -> Result<DatabaseOutcome, RedisError> {
        let walked = self.walk(connection, reports).await;
        self.tell(reports).await;
        let database_size = walked?;
        Ok(DatabaseOutcome {
            database: self.database,
            duration: self.started.elapsed(),
            coverage_ratio: database_size.map(|size| self.keys.coverage_ratio(size)),
        })
    }

    /// Returns DBSIZE as it was at the start, if the user may ask for it.
    async fn walk<R: From<ScanProgress> + Send>(
        &mut self,
        connection: &mut Connection,
        reports: &mpsc::Sender<R>,
    ) -> Result<Option<u64>, RedisError> {
        let database_size = self.enter(connection).await?;
        loop {
            let sent = Instant::now();
            let before = self.keys.keys_examined();
            let command = self.keys.command();
            let replies = connection
                .exchange(std::slice::from_ref(&command), self.deadline())
                .await?;
            // Before the keys are looked at: that is our time, and others have their turn in between.
            let round_trip = sent.elapsed();
            let progress = self.absorb(replies.first(), &command).await?;
            let keys = usize::try_from(self.keys.keys_examined() - before).unwrap_or(usize::MAX);
            let rest = self.pacer.rest_after(round_trip, keys);
            if progress == Progress::Done {
                return Ok(database_size);
            }
            if self.told.0.elapsed() >= PROGRESS_EVERY {
                self.tell(reports).await;
            }
            // A timer rounds up to a millisecond: shorter rests are saved up until they are worth one.
            if rest >= SHORTEST_REST {
                let resting = Instant::now();
                tokio::time::sleep(rest).await;
                self.pacer.rested(resting.elapsed());
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Selects the database and asks for its size.
    async fn enter(&mut self, connection: &mut Connection) -> Result<Option<u64>, RedisError> {
        let select = Command::new(1, &["SELECT"]).arg(self.database.to_string());
        let size = Command::new(1, &["DBSIZE"]);
        let opening = [select, size];
        let replies = connection.exchange(&opening, self.deadline()).await?;
        let (Some(selected), Some(size)) = (replies.first(), replies.get(1)) else {
            return Err(self.shape_error("SELECT"));
        };
        let [select, dbsize] = &opening;
        self.refused(selected, select)?;
        for _ in 0..FLOOR_SAMPLES {
            let sent = Instant::now();
            connection
                .exchange(std::slice::from_ref(select), self.deadline())
                .await?;
            self.pacer.note_floor(sent.elapsed());
        }
        // DBSIZE only tells how far a pass has come; sessions are counted without it.
        if unavailability(size).is_some() {
            return Ok(None);
        }
        self.refused(size, dbsize)?;
        let size = whole_number(size).ok_or_else(|| self.shape_error("DBSIZE"))?;
        self.keys.expect_keys(size);
        Ok(Some(size))
    }

    /// Reports what the pass has cost since the last report.
    async fn tell<R: From<ScanProgress> + Send>(&mut self, reports: &mpsc::Sender<R>) {
        let (_, keys, seconds) = self.told;
        self.told = (Instant::now(), self.keys.keys_examined(), self.pacer.used_seconds());
        let progress = ScanProgress {
            database: self.database,
            keys_examined: self.told.1 - keys,
            redis_seconds: self.told.2 - seconds,
        };
        // The receiver is gone only when the instance is: nobody counts any more then.
        let _ = reports.send(progress.into()).await;
    }

    /// Turns an error reply into an error that names the command and the database.
    fn refused(&self, reply: &Reply, command: &Command) -> Result<(), RedisError> {
        let Reply::Error(_) = reply else { return Ok(()) };
        let code = sanitised_code(reply);
        Err(RedisError {
            reason: classify_error_reply(reply).unwrap_or(Reason::Other),
            message: format!(
                "{}: {} was refused with {code}; sessions in database {} cannot be counted",
                self.config.name,
                command.name().to_uppercase(),
                self.database
            ),
        })
    }

    /// Takes the reply of a step, with a pause for others every few thousand keys.
    async fn absorb(&mut self, reply: Option<&Reply>, command: &Command) -> Result<Progress, RedisError> {
        let reply = reply.ok_or_else(|| self.shape_error("SCAN"))?;
        self.refused(reply, command)?;
        let name = &self.config.name;
        let broken = |error: PassError| RedisError {
            reason: Reason::Protocol,
            message: format!("{name}: {error}"),
        };
        let mut page = Page::new(reply).map_err(broken)?;
        loop {
            if let Some(progress) = self.keys.absorb(&mut page).map_err(broken)? {
                return Ok(progress);
            }
            tokio::task::yield_now().await;
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
}

/// Round trips of a cheap command at the start of a pass, of which the shortest counts as the network's. The first exchange of a
/// connection is slow; three more are enough to see a quick one.
const FLOOR_SAMPLES: usize = 3;

/// Shortest rest worth a timer.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// A count that a server reports; negative numbers are not counts.
fn whole_number(reply: &Reply) -> Option<u64> {
    reply.as_integer().and_then(|number| u64::try_from(number).ok())
}
