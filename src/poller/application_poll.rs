//! One poll of the application's metrics over the kept connection: rounds of batches, grouped by database.
//!
//! Within a batch the connection changes its database with SELECT and ends in its own. A connection of which that is not certain is of
//! no more use: PING and INFO do not care, but a later batch would read other keys.

use crate::collectors::application::Problem;
use crate::collectors::application::reading::{Finding, Reader, Step, Turn};
use crate::config::ApplicationMetricConfig;
use crate::redis::reason::classify_error_reply;
use crate::redis::{CAPABILITY_LIFETIME, Command, Connection, Reason, RedisError, Reply, sanitised_code};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Most batches of one poll. The longest way (a type that has changed, a hash of eight pages, the lengths and values of its fields) has
/// fifteen.
const MAX_ROUNDS: usize = 16;

/// How often in a row a metric that is read alone may run into the deadline before it is left alone. Once may be the server's own
/// pause; twice, with a PING that was answered in between, is the reply.
const MAX_TIMEOUTS: u32 = 2;

/// One metric and what is kept of it between polls.
#[derive(Debug)]
pub struct Watched {
    /// What is read.
    pub metric: ApplicationMetricConfig,
    reader: Reader,
    /// Why it could not be read last time.
    problem: Option<Problem>,
    /// Whether the log has yet to hear of it.
    is_news: bool,
    /// Until when it is not tried again.
    left_alone_until: Option<Instant>,
    /// How often in a row it ran into the deadline by itself.
    timeouts: u32,
}

impl Watched {
    /// A metric that was not read yet.
    pub fn new(metric: ApplicationMetricConfig) -> Self {
        Self {
            metric,
            reader: Reader::default(),
            problem: None,
            is_news: false,
            left_alone_until: None,
            timeouts: 0,
        }
    }

    /// Tries again what was denied, at the next poll. Not what broke the connection: every reconnect would break again.
    pub fn retry(&mut self) {
        if self.problem != Some(Problem::TooLarge) {
            self.left_alone_until = None;
        }
    }

    fn is_left_alone(&self, now: Instant) -> bool {
        self.left_alone_until.is_some_and(|until| now < until)
    }

    /// Takes in that the connection broke while this metric alone was read.
    fn break_off(&mut self, reason: Reason, now: Instant) {
        self.timeouts += u32::from(reason == Reason::Timeout);
        if reason == Reason::Protocol || self.timeouts >= MAX_TIMEOUTS {
            self.settle(Some(Problem::TooLarge), now);
        }
    }

    /// Takes in how the metric's turn ended. It is news when it is a problem that the metric did not have, or the end of one.
    fn settle(&mut self, problem: Option<Problem>, now: Instant) {
        self.left_alone_until = match &problem {
            Some(problem) if problem.lasts() => Some(now + CAPABILITY_LIFETIME),
            _ => None,
        };
        self.timeouts = 0;
        self.is_news |= self.problem != problem;
        self.problem = problem;
    }
}

/// What became of one metric.
#[derive(Debug)]
pub struct Outcome {
    /// Its values, or why there are none.
    pub result: Result<Finding, Problem>,
    /// Whether the log should hear of it.
    pub is_news: bool,
    /// What its commands added to the server's hits and misses.
    pub lookups: u64,
    /// Of these, misses.
    pub misses: u64,
}

/// Why a poll brought nothing.
#[derive(Debug)]
pub enum PollError {
    /// The exchange failed, or the connection's own database cannot be reached again. The connection must be dropped.
    Lost(RedisError),
    /// The server answers no command of this kind at the moment (it loads, lost its primary, runs a script). The connection is good.
    Refused(String),
}

/// A turn under way.
struct Active<'a> {
    index: usize,
    turn: Turn<'a>,
    commands: Vec<Command>,
}

/// Reads all metrics. With `one_by_one` each has its exchanges for itself: after a reply that broke the protocol, so that the metric whose
/// key it was is found, which is left alone from then on.
///
/// # Errors
/// [`PollError`].
pub async fn poll(
    connection: &mut Connection,
    home: u32,
    watched: &mut [Watched],
    one_by_one: bool,
    deadline: Instant,
) -> Result<Vec<Outcome>, PollError> {
    let now = Instant::now();
    let due: Vec<usize> = (0..watched.len())
        .filter(|index| watched.get(*index).is_some_and(|metric| !metric.is_left_alone(now)))
        .collect();
    let mut results: BTreeMap<usize, Done> = BTreeMap::new();
    if one_by_one {
        for index in due {
            let outcome = read(connection, home, watched, &[index], &mut results, deadline).await;
            if let Err(error) = outcome {
                if let (PollError::Lost(lost), Some(metric)) = (&error, watched.get_mut(index)) {
                    metric.break_off(lost.reason, now);
                }
                return Err(error);
            }
        }
    } else {
        read(connection, home, watched, &due, &mut results, deadline).await?;
    }
    // A hash is there when any of the metrics that read it found one of their fields.
    let of_found = |(index, done): (&usize, &Done)| {
        let metric = &watched.get(*index)?.metric;
        done.lookups.1.then(|| (metric.database, metric.key.clone()))
    };
    let found: BTreeSet<(u32, String)> = results.iter().filter_map(of_found).collect();
    let mut outcomes = Vec::with_capacity(watched.len());
    for (index, metric) in watched.iter_mut().enumerate() {
        let done = results.remove(&index);
        if let Some(done) = &done {
            metric.settle(done.result.as_ref().err().cloned(), now);
        }
        let is_found = found.contains(&(metric.metric.database, metric.metric.key.clone()));
        let lookups = done.as_ref().map(|done| done.lookups.0).unwrap_or_default();
        outcomes.push(Outcome {
            misses: if is_found { 0 } else { lookups },
            lookups,
            is_news: std::mem::take(&mut metric.is_news),
            result: match done {
                Some(done) => done.result,
                None => Err(metric.problem.clone().unwrap_or(Problem::Unstable)),
            },
        });
    }
    Ok(outcomes)
}

/// Whether a failure may be the fault of one reply: larger than replies may be, of another shape, or too large for the deadline.
pub fn is_reply_to_blame(error: &RedisError) -> bool {
    matches!(error.reason, Reason::Protocol | Reason::Timeout)
}

/// How a turn ended.
struct Done {
    result: Result<Finding, Problem>,
    lookups: (u64, bool),
}

/// Reads some of the metrics together.
async fn read(
    connection: &mut Connection,
    home: u32,
    watched: &mut [Watched],
    due: &[usize],
    results: &mut BTreeMap<usize, Done>,
    deadline: Instant,
) -> Result<(), PollError> {
    // The readers change while the turns borrow the metrics, so they are taken apart and put back.
    let mut readers: BTreeMap<usize, Reader> = BTreeMap::new();
    for index in due {
        if let Some(metric) = watched.get_mut(*index) {
            readers.insert(*index, std::mem::take(&mut metric.reader));
        }
    }
    let outcome = rounds(connection, home, watched, &mut readers, results, deadline).await;
    for (index, reader) in readers {
        if let Some(metric) = watched.get_mut(index) {
            metric.reader = reader;
        }
    }
    outcome
}

async fn rounds(
    connection: &mut Connection,
    home: u32,
    watched: &[Watched],
    readers: &mut BTreeMap<usize, Reader>,
    results: &mut BTreeMap<usize, Done>,
    deadline: Instant,
) -> Result<(), PollError> {
    let mut active: Vec<Active<'_>> = Vec::new();
    for (index, reader) in readers.iter() {
        if let Some(metric) = watched.get(*index) {
            let (turn, commands) = Turn::begin(&metric.metric, reader);
            let index = *index;
            active.push(Active { index, turn, commands });
        }
    }
    for _ in 0..MAX_ROUNDS {
        if active.is_empty() {
            return Ok(());
        }
        let answers = exchange(connection, home, watched, &mut active, deadline).await?;
        let mut still = Vec::new();
        for (mut reading, answer) in active.into_iter().zip(answers) {
            let Some(reader) = readers.get_mut(&reading.index) else {
                continue;
            };
            let step = match answer {
                Ok(replies) => reading.turn.absorb(reader, &replies),
                Err(problem) => Step::Done(Err(problem)),
            };
            match step {
                Step::Ask(commands) => {
                    reading.commands = commands;
                    still.push(reading);
                }
                Step::Done(result) => {
                    let lookups = reading.turn.lookups();
                    results.insert(reading.index, Done { result, lookups });
                }
            }
        }
        active = still;
    }
    for reading in active {
        let lookups = reading.turn.lookups();
        let result = Err(Problem::Unstable);
        results.insert(reading.index, Done { result, lookups });
    }
    Ok(())
}

/// The replies to one turn's commands, or why its database cannot be had.
type Answer = Result<Vec<Reply>, Problem>;

/// Sends the commands of all turns in one batch. The answers are in the order of `active`.
async fn exchange(
    connection: &mut Connection,
    home: u32,
    watched: &[Watched],
    active: &mut [Active<'_>],
    deadline: Instant,
) -> Result<Vec<Answer>, PollError> {
    let database_of = |reading: &Active<'_>| watched.get(reading.index).map_or(home, |metric| metric.metric.database);
    // Those of the connection's own database go first and need no SELECT.
    active.sort_by_key(|reading| {
        let database = database_of(reading);
        (database != home, database, reading.index)
    });
    let select = |database: u32| Command::new(1, &["SELECT"]).arg(database.to_string());
    let mut batch = Vec::new();
    let mut current = home;
    for reading in active.iter_mut() {
        let database = database_of(reading);
        if database != current {
            current = database;
            batch.push(select(database));
        }
        batch.append(&mut reading.commands.clone());
    }
    let leaves_home = current != home;
    if leaves_home {
        batch.push(select(home));
    }
    let mut replies = match connection.exchange(&batch, deadline).await {
        Ok(replies) => replies,
        Err(error) if error.reason.is_answer() && connection.is_usable() => {
            return Err(PollError::Refused(error.message));
        }
        Err(error) => return Err(PollError::Lost(error)),
    };
    let back = if leaves_home { replies.pop() } else { None };
    let mut replies = replies.into_iter();
    let mut answers = Vec::with_capacity(active.len());
    let (mut current, mut refused, mut has_left) = (home, None, false);
    for reading in active.iter() {
        let database = database_of(reading);
        if database != current {
            current = database;
            let reply = replies.next();
            let is_selected = reply.as_ref().and_then(Reply::as_bytes) == Some(b"OK");
            has_left |= is_selected;
            refused = match reply {
                _ if is_selected => None,
                Some(reply) => Some(Problem::of_database(database, &reply)),
                None => Some(Problem::Unstable),
            };
        }
        let mine: Vec<Reply> = replies.by_ref().take(reading.commands.len()).collect();
        // After a refused SELECT these replies are about another database's keys.
        answers.push(match &refused {
            Some(problem) => Err(problem.clone()),
            None => Ok(mine),
        });
    }
    if has_left && back.as_ref().and_then(Reply::as_bytes) != Some(b"OK") {
        return Err(PollError::Lost(lost_home(home, back.as_ref())));
    }
    let of_server = |reply: &Reply| match classify_error_reply(reply)? {
        reason @ (Reason::Loading | Reason::Masterdown | Reason::Busy | Reason::Auth | Reason::MaxClients) => {
            Some(reason)
        }
        _ => None,
    };
    let refusal = answers
        .iter()
        .flatten()
        .flatten()
        .find_map(|reply| Some((of_server(reply)?, reply)));
    match refusal {
        Some((_, reply)) => Err(PollError::Refused(format!(
            "the server answers reads with error {}; PING's verdict says what it is about",
            sanitised_code(reply)
        ))),
        None => Ok(answers),
    }
}

/// The connection is in another database than its own, and stays there.
fn lost_home(home: u32, reply: Option<&Reply>) -> RedisError {
    let code = reply.map_or_else(|| "other".to_owned(), sanitised_code);
    RedisError {
        reason: reply.and_then(classify_error_reply).unwrap_or(Reason::Other),
        message: format!(
            "SELECT {home}, the way back from another database, was answered with {code}, so the connection is given up; let the user \
             select the database of the instance's address"
        ),
    }
}
