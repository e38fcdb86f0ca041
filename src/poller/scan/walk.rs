//! The walk over one database: one SCAN after the other, with the commands about single sessions in between, paced.

use super::keys::Tasks;
use super::link::{Link, Stop};
use super::{DatabaseOutcome, ScanProgress, ScanReport, pace};
use crate::config::InstanceConfig;
use crate::redis::info::flushes;
use crate::redis::{Command, Info, Reason, RedisError, Reply, Unavailable, unavailability};
use crate::sessions::pacing::Pacer;
use crate::sessions::pass::{DatabasePass, Page, PassError, Progress, StoreResult};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How often a pass tells what it has cost: often enough for a rate over a minute.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Sessions that one paced batch asks about: at two to four commands of 1 µs each they keep other clients waiting for about as long as
/// a SCAN of 100 keys. Fewer would cost more round trips, of which each is rested for.
const PACED_DETAILS: usize = 40;

/// Commands about sessions beside which a paced batch may have its SCAN: in large stores a page brings none or one.
const COMMANDS_BESIDE_SCAN: usize = 16;

/// The same when nobody else is to be spared.
const UNPACED_DETAILS: usize = 250;

/// A command about one session costs the server at least this many keys' worth of time. Measured at Redis 7.0, pipelined: PTTL
/// 0.4 to 1.3 µs, MEMORY USAGE 1.2, TYPE 1.35, against 1.0 for a key of SCAN.
const KEYS_PER_COMMAND: usize = 1;

/// A database that from one step to the next falls below this share of its keys was emptied, where INFO says that something was flushed
/// or swapped. Logouts and expirations during a step, some milliseconds, do not come near it, however much they take in a whole pass.
const EMPTIED_SHARE: f64 = 0.5;

/// Keys that must be gone besides, from one step to the next, where INFO does not tell of a flush: small databases come and go. Redis from
/// 7.4 on counts a `FLUSHALL` in commandstats only when the client that sent it is answered, after another thread has freed the keys,
/// while others see an empty database already. A smaller one is freed before anybody can ask.
const FEWER_KEYS: u64 = 1000;

/// What is known of a database before and after a walk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DatabaseState {
    /// DBSIZE; `None` when it is denied.
    pub size: Option<u64>,
    /// How often the server was told to empty or swap databases; `None` when INFO is denied.
    flushes: Option<u64>,
}

/// What may not be asked about a database as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StateRefusals {
    /// Why DBSIZE is not to be had.
    pub size: Option<Unavailable>,
    /// Why INFO is not to be had.
    pub info: Option<Unavailable>,
}

/// Asks for the size of the database and whether anything was flushed so far.
pub(super) async fn state_of<R: From<ScanReport> + Send>(
    link: &mut Link<'_, R>,
    refusals: &mut StateRefusals,
) -> Result<DatabaseState, Stop> {
    let mut batch = Vec::new();
    if refusals.size.is_none() {
        batch.push(Command::new(1, &["DBSIZE"]));
    }
    if refusals.info.is_none() {
        batch.push(Command::new(1, &["INFO", "commandstats"]));
    }
    let mut state = DatabaseState::default();
    if batch.is_empty() {
        return Ok(state);
    }
    let (replies, _) = link.exchange(&batch).await?;
    for (command, reply) in batch.iter().zip(&replies) {
        let is_size = command.name() == "dbsize";
        match (unavailability(reply), is_size) {
            // DBSIZE only tells how far a pass has come; sessions are counted without it.
            (Some(reason), true) => refusals.size = Some(reason),
            (Some(reason), false) => refusals.info = Some(reason),
            (None, _) if matches!(reply, Reply::Error(_)) => {
                return Err(Stop::failed(link.refusal(&command.name().to_uppercase(), reply)));
            }
            (None, true) => {
                let size = reply.as_integer().and_then(|number| u64::try_from(number).ok());
                state.size = Some(size.ok_or_else(|| Stop::failed(link.shape_error("DBSIZE")))?);
            }
            (None, false) => state.flushes = reply.as_bytes().map(|text| flushes(&Info::parse(text))),
        }
    }
    Ok(state)
}

/// How far the number of keys fell at most, from one step of a walk to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Fall {
    /// No further than by what comes and goes.
    #[default]
    Little,
    /// Below [`EMPTIED_SHARE`].
    Steep,
    /// So far and by so many keys that nothing but a flush explains it.
    Plain,
}

impl Fall {
    /// The fall from one number of keys to another.
    fn between(before: u64, after: u64) -> Self {
        if after as f64 >= before as f64 * EMPTIED_SHARE {
            Self::Little
        } else if after.saturating_add(FEWER_KEYS) >= before {
            Self::Steep
        } else {
            Self::Plain
        }
    }
}

/// Whether keys that were counted are certainly or probably gone all at once: a database that was flushed, or swapped for another.
fn was_emptied(before: DatabaseState, after: DatabaseState, fall: Fall) -> bool {
    let has_flushes_moved = before.flushes != after.flushes;
    match (before.size.is_some(), before.flushes.zip(after.flushes)) {
        (false, _) => has_flushes_moved,
        (true, Some(_)) => fall == Fall::Plain || (fall == Fall::Steep && has_flushes_moved),
        (true, None) => fall == Fall::Plain,
    }
}

/// Asks a walk to pause: something that comes more often is due. Shared by who asks and who walks.
#[derive(Debug, Clone, Default)]
pub struct PauseRequest(Arc<AtomicBool>);

impl PauseRequest {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A walk that has paused. A later pass goes on from its cursor, as long as the same server process answers: SCAN keeps no state between two
/// calls, and returns what is there all the time however long lies between them.
#[derive(Debug)]
pub(super) struct PausedWalk {
    /// The database.
    pub database: u32,
    keys: DatabasePass,
    tasks: Tasks,
    progress: Progress,
    before: DatabaseState,
    last_size: Option<u64>,
    fall: Fall,
}

impl PausedWalk {
    /// The collectors that wait for it.
    pub(super) fn collectors(&self) -> BTreeSet<&'static str> {
        self.tasks.collectors()
    }
}

/// A walk over one database.
pub(super) struct Walk<'a> {
    config: &'a InstanceConfig,
    database: u32,
    is_paced: bool,
    started: Instant,
    keys: DatabasePass,
    pacer: Pacer,
    random: fastrand::Rng,
    lookups: Lookups,
    /// What else wants to know about the keys.
    tasks: Tasks,
    /// Server time of what was done for sessions alone, in seconds: what counting them costs says this.
    session_seconds: f64,
    /// Whether the instance itself is scanned, and not a replica in its place.
    is_own: bool,
    /// Whether DBSIZE goes before and after each SCAN, which shows what expired keys the SCAN made the server delete, and whether the
    /// database was emptied since the step before.
    weighs: bool,
    /// DBSIZE after the last step.
    last_size: Option<u64>,
    /// The steepest fall so far.
    fall: Fall,
    /// Expired keys that our SCANs met.
    deleted: u64,
    progress: Progress,
    /// Who may ask it to pause.
    pause: Option<PauseRequest>,
    /// When the cost was last reported, and what it was: keys, seconds of the server, lookups.
    told: (Instant, u64, f64, Lookups),
}

/// Lookups of the keyspace that the server counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lookups {
    /// Hits and misses.
    pub all: u64,
    /// Those that found nothing.
    pub misses: u64,
}

/// What a walk leaves behind.
pub(super) struct Walked {
    pub outcome: DatabaseOutcome,
    pub stores: Vec<StoreResult>,
    pub keys_examined: u64,
    /// Without what was spent on key work.
    pub redis_seconds: f64,
    pub next_cursor: Option<Vec<u8>>,
    /// They have seen every key, and nothing of theirs waits.
    pub tasks: Tasks,
}

impl<'a> Walk<'a> {
    /// A walk that has not begun, at the instance itself or at a replica. `lookups` is what was asked of the keyspace before it.
    pub(super) fn new(
        config: &'a InstanceConfig,
        is_own: bool,
        share: f64,
        database: u32,
        keys: DatabasePass,
        lookups: Lookups,
        tasks: Tasks,
    ) -> Self {
        let started = Instant::now();
        Self {
            config,
            database,
            is_paced: share > 0.0,
            started,
            keys,
            pacer: Pacer::new(share),
            random: fastrand::Rng::new(),
            lookups,
            tasks,
            session_seconds: 0.0,
            is_own,
            weighs: false,
            last_size: None,
            fall: Fall::default(),
            deleted: 0,
            progress: Progress::More,
            pause: None,
            told: (started, 0, 0.0, Lookups::default()),
        }
    }

    /// Goes on with a walk that has paused; `now` is the state of the database just now. Gives back the state before the whole of it as well.
    pub(super) fn resume(
        config: &'a InstanceConfig,
        is_own: bool,
        share: f64,
        paused: PausedWalk,
        now: DatabaseState,
    ) -> (Self, DatabaseState) {
        let PausedWalk {
            database,
            keys,
            tasks,
            progress,
            before,
            last_size,
            fall,
        } = paused;
        let mut walk = Self::new(config, is_own, share, database, keys, Lookups::default(), tasks);
        walk.progress = progress;
        walk.fall = fall;
        walk.told.1 = walk.keys.keys_examined();
        walk.last_size = last_size;
        let is_unflushed = before.flushes.is_some() && before.flushes == now.flushes;
        if is_unflushed {
            // However many keys came and went meanwhile, none of them by a flush.
            walk.last_size = now.size;
        } else {
            walk.note_size(now.size);
        }
        (walk, before)
    }

    /// Lets somebody ask the walk to pause.
    pub(super) fn pausing_for(mut self, pause: Option<PauseRequest>) -> Self {
        self.pause = pause;
        self
    }

    /// Walks to the end; `before` is the state of the database just now. What it costs is told also when it fails.
    pub(super) async fn run<R: From<ScanReport> + Send>(
        mut self,
        link: &mut Link<'_, R>,
        before: DatabaseState,
        refusals: &mut StateRefusals,
    ) -> Result<Walked, Stop> {
        self.pause = None;
        self.last_size = before.size;
        let walked = self.walk(link, before).await;
        self.tell(link).await;
        walked?;
        self.complete(link, before, refusals).await
    }

    /// Walks to the end, or until it is asked to pause; `before` is the state of the database before the first step.
    pub(super) async fn run_or_pause<R: From<ScanReport> + Send>(
        mut self,
        link: &mut Link<'_, R>,
        before: DatabaseState,
        refusals: &mut StateRefusals,
    ) -> Result<Result<Walked, PausedWalk>, Stop> {
        self.last_size = self.last_size.or(before.size);
        let walked = self.walk(link, before).await;
        self.tell(link).await;
        if walked? {
            return self.complete(link, before, refusals).await.map(Ok);
        }
        Ok(Err(PausedWalk {
            database: self.database,
            keys: self.keys,
            tasks: self.tasks,
            progress: self.progress,
            before,
            last_size: self.last_size,
            fall: self.fall,
        }))
    }

    async fn complete<R: From<ScanReport> + Send>(
        mut self,
        link: &mut Link<'_, R>,
        before: DatabaseState,
        refusals: &mut StateRefusals,
    ) -> Result<Walked, Stop> {
        let after = state_of(link, refusals).await?;
        let keys_examined = self.keys.keys_examined();
        let next_cursor = self.keys.next_cursor().map(<[u8]>::to_vec);
        self.note_size(after.size);
        if was_emptied(before, after, self.fall) {
            return Err(Stop::StartOver("keys that were counted are gone all at once"));
        }
        let sizes = before.size.zip(after.size);
        Ok(Walked {
            outcome: DatabaseOutcome {
                database: self.database,
                duration: self.started.elapsed(),
                coverage_ratio: before.size.map(|size| self.keys.coverage_ratio(size)),
                covered: self.keys.covered(sizes),
                undeleted: self.undeleted(sizes),
            },
            keys_examined,
            redis_seconds: self.session_seconds,
            next_cursor,
            tasks: self.tasks,
            stores: self.keys.finish(sizes),
        })
    }

    /// Whether it came to the end.
    async fn walk<R: From<ScanReport> + Send>(
        &mut self,
        link: &mut Link<'_, R>,
        before: DatabaseState,
    ) -> Result<bool, Stop> {
        pace::find_floor(&mut self.pacer, link, self.database).await?;
        if let Some(size) = before.size {
            self.keys.expect_keys(size);
        }
        self.weighs = before.size.is_some();
        let most_details = if self.is_paced { PACED_DETAILS } else { UNPACED_DETAILS };
        // The page that has come and has not been looked at: unpaced, that is done while the server works on the next one.
        let mut page: Option<Reply> = None;
        loop {
            if self.pause.as_ref().is_some_and(PauseRequest::is_asked) {
                if let Some(reply) = page.take() {
                    absorb(&mut self.keys, &mut self.tasks, &mut self.random, &reply, link).await?;
                }
                return Ok(false);
            }
            self.tasks.ask_large(link, &mut self.pacer, &mut self.lookups).await?;
            let mut batch = Vec::new();
            let details = self.keys.push_details(most_details, &mut batch);
            let asked = self.tasks.push(most_details.saturating_sub(details.keys()), &mut batch);
            // What waits comes first, so that no more of it waits than one page brings.
            let has_room = !self.is_paced || batch.len() <= COMMANDS_BESIDE_SCAN;
            let waiting = self.keys.waiting() + self.tasks.waiting();
            let scans = self.progress == Progress::More && (batch.is_empty() || (has_room && waiting <= most_details));
            if scans {
                let sizes = usize::from(self.weighs);
                batch.extend(std::iter::repeat_n(Command::new(1, &["DBSIZE"]), sizes));
                batch.push(self.keys.command());
                batch.extend(std::iter::repeat_n(Command::new(1, &["DBSIZE"]), sizes));
            }
            if batch.is_empty() {
                match page.take() {
                    Some(reply) => absorb(&mut self.keys, &mut self.tasks, &mut self.random, &reply, link).await?,
                    None => return Ok(true),
                }
                continue;
            }
            let keys_before = self.keys.keys_examined();
            let ((mut replies, round_trip), absorbed) = match page.take() {
                None => (link.exchange(&batch).await?, Ok(())),
                Some(reply) => {
                    let shape = link.shape_error("SCAN");
                    let exchange = link.exchange(&batch);
                    let look = absorb_page(&mut self.keys, &mut self.tasks, &mut self.random, &reply, shape);
                    let (outcome, absorbed) = tokio::join!(biased; exchange, look);
                    (outcome?, absorbed)
                }
            };
            absorbed?;
            let size_after = if scans && self.weighs { replies.pop() } else { None };
            let (replies_left, misses) = self.keys.note_details(&details, &replies);
            let (mut replies_left, noted) = self.tasks.note(&asked, replies_left);
            self.lookups.all += details.lookups() + noted.all;
            self.lookups.misses += misses + noted.misses;
            if scans {
                let Some((reply, size_before)) = replies_left.split_last() else {
                    return Err(Stop::failed(link.shape_error("SCAN")));
                };
                if let Reply::Error(_) = reply {
                    return Err(Stop::failed(link.refusal("SCAN", reply)));
                }
                let read = Page::new(reply).map_err(|error| self.broken(error))?;
                self.progress = self.keys.turn(&read).map_err(|error| self.broken(error))?;
                let sizes = size_before.first().zip(size_after.as_ref());
                let sizes = sizes.and_then(|(before, after)| Some((before.as_integer()?, after.as_integer()?)));
                if let Some((before, after)) = sizes {
                    // Nothing comes between the commands of one batch, or little where a server reads it in parts.
                    self.deleted += u64::try_from(before.saturating_sub(after)).unwrap_or_default();
                    // What our own SCAN made the server delete is no fall.
                    self.note_size(u64::try_from(before).ok());
                    self.last_size = u64::try_from(after).ok();
                }
                replies_left = &[];
            }
            debug_assert!(replies_left.is_empty(), "every reply belongs to a command");
            let keys = usize::try_from(self.keys.keys_examined() - keys_before).unwrap_or(usize::MAX);
            let own_work = keys.saturating_add(details.commands() * KEYS_PER_COMMAND);
            let work = own_work.saturating_add(asked.commands() * KEYS_PER_COMMAND);
            let used_before = self.pacer.used_seconds();
            let rest = self.pacer.rest_after(round_trip, work);
            let used = self.pacer.used_seconds() - used_before;
            self.session_seconds += if asked.commands() == 0 {
                used
            } else {
                used * own_work as f64 / work as f64
            };
            let reply = if scans { replies.into_iter().next_back() } else { None };
            if self.is_paced {
                if let Some(reply) = reply {
                    absorb(&mut self.keys, &mut self.tasks, &mut self.random, &reply, link).await?;
                }
            } else {
                page = reply;
            }
            if self.told.0.elapsed() >= PROGRESS_EVERY {
                self.tell(link).await;
            }
            pace::rest(&mut self.pacer, rest).await;
        }
    }

    /// Takes a number of keys that the database just had.
    fn note_size(&mut self, size: Option<u64>) {
        if let Some((before, after)) = self.last_size.zip(size) {
            self.fall = self.fall.max(Fall::between(before, after));
        }
        self.last_size = size.or(self.last_size);
    }

    /// Keys of the database that have expired and are not deleted yet: they are in DBSIZE, no SCAN returns them, and no event has told
    /// of them. `None` where nobody knows.
    ///
    /// A SCAN of a primary deletes those that it meets: a whole pass leaves none, and a window shows how many there are. A replica hides
    /// them and deletes nothing: they are what a whole pass did not meet, and a window shows nothing.
    fn undeleted(&self, sizes: Option<(u64, u64)>) -> Option<f64> {
        let is_whole = self.keys.next_cursor().is_none();
        if is_whole && self.is_own {
            return Some(0.0);
        }
        let (start, end) = sizes.filter(|_| self.weighs)?;
        let size = (start as f64 + end as f64) / 2.0;
        let examined = self.keys.keys_examined();
        match (is_whole, self.is_own) {
            (true, _) => Some((size - examined as f64).max(0.0)),
            (false, true) => Some(size * self.deleted as f64 / (examined + self.deleted).max(1) as f64),
            (false, false) => None,
        }
    }

    /// Reports what the pass has cost since the last report.
    async fn tell<R: From<ScanReport> + Send>(&mut self, link: &Link<'_, R>) {
        let (_, keys, seconds, lookups) = self.told;
        self.told = (
            Instant::now(),
            self.keys.keys_examined(),
            self.pacer.used_seconds(),
            self.lookups,
        );
        let progress = ScanProgress {
            database: self.database,
            keys_examined: self.told.1 - keys,
            redis_seconds: self.told.2 - seconds,
            lookups: self.told.3.all - lookups.all,
            misses: self.told.3.misses - lookups.misses,
        };
        link.report(ScanReport::Progress(progress)).await;
    }

    fn broken(&self, error: PassError) -> Stop {
        Stop::failed(RedisError {
            reason: Reason::Protocol,
            message: format!("{}: {error}", self.config.name),
        })
    }
}

/// Looks at the keys of a page.
async fn absorb<R: From<ScanReport> + Send>(
    keys: &mut DatabasePass,
    tasks: &mut Tasks,
    random: &mut fastrand::Rng,
    reply: &Reply,
    link: &Link<'_, R>,
) -> Result<(), Stop> {
    absorb_page(keys, tasks, random, reply, link.shape_error("SCAN")).await
}

/// Looks at the keys of a page, with a pause for others every few thousand keys.
async fn absorb_page(
    keys: &mut DatabasePass,
    tasks: &mut Tasks,
    random: &mut fastrand::Rng,
    reply: &Reply,
    shape: RedisError,
) -> Result<(), Stop> {
    let Ok(mut page) = Page::new(reply) else {
        return Err(Stop::failed(shape));
    };
    loop {
        match keys.absorb_for(&mut page, random, |key| tasks.offer(key)) {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => return Ok(()),
            Err(_) => return Err(Stop::failed(shape)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_was_emptied_is_noticed() {
        let state = |size, flushes| DatabaseState { size, flushes };
        let (quiet, flushed) = (state(Some(1), Some(3)), state(Some(1), Some(4)));
        let reset = state(Some(1), Some(1));
        for (from, to, without_word, with_word) in [
            (10_000, 9_000, false, false),
            (10_000, 5_000, false, false),
            (10_000, 4_999, true, true),
            (10_000, 0, true, true),
            (1_000, 0, false, true),
            (5, 0, false, true),
            (0, 0, false, false),
            (0, 10, false, false),
        ] {
            let fall = Fall::between(from, to);
            let emptied = |before, after| was_emptied(before, after, fall);
            assert_eq!(emptied(quiet, quiet), without_word, "{from} {to}");
            assert_eq!(emptied(quiet, flushed), with_word, "{from} {to}");
            assert_eq!(
                emptied(quiet, reset),
                with_word,
                "CONFIG RESETSTAT in between hides nothing"
            );
            // Without INFO only what is plain to see counts.
            let unknown = state(Some(1), None);
            assert_eq!(emptied(unknown, unknown), without_word, "{from} {to}");
        }
        // Without DBSIZE every flush may be one of this database.
        assert!(!was_emptied(state(None, Some(3)), state(None, Some(3)), Fall::Little));
        assert!(was_emptied(state(None, Some(3)), state(None, Some(4)), Fall::Little));
    }
}
