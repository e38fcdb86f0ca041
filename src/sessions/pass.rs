//! One pass over the keys of one database, shared by all stores that live there: over all of them, or over a window that a rolling
//! cursor moves on from pass to pass.
//!
//! The pass yields commands and absorbs replies; it never holds a key name longer than it takes to look at it, but for the few
//! whose details are about to be asked for.

pub(in crate::sessions) mod apps;

use super::details::{DetailCommand, DetailSample, Picked};
use super::estimate;
use super::figures::{App, Estimate};
use super::stores::Store;
use crate::config::StoreConfig;
use crate::redis::{Command, Reply};
use apps::AppCounts;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Keys that one paced step examines. Measured at Redis 7.0, COUNT 100 blocks other clients for 0.1 ms; larger steps are
/// cheaper per key but show in the latency of others.
pub const PACED_COUNT: u32 = 100;

/// Keys that one step examines when nobody else is to be spared (`redis_share: 0`).
pub const UNPACED_COUNT: u32 = 1000;

/// Steps in a row without a key after which a pass is given up. SCAN walks at least ten buckets per COUNT, so a table that
/// shrank from a billion keys to none is still walked to its end; a server whose cursor never ends is not.
const MAX_EMPTY_STEPS: u64 = 2_000_000;

/// A pass may return this many times the keys that the database held at its start, plus [`EXTRA_KEYS`].
const MAX_TIMES_DATABASE: u64 = 8;

/// Keys that may come on top: the database may have been empty at the start and filled meanwhile.
const EXTRA_KEYS: u64 = 50_000_000;

/// Keys of one reply that are looked at in one go. A server may return more than COUNT (a small hash table comes whole, a hostile server
/// sends what it likes), and other instances wait while one worker matches. With the usual handful of globs this is a millisecond.
const KEYS_PER_TURN: usize = 4096;

/// Bytes of keys that are looked at in one go, for the same reason.
const BYTES_PER_TURN: usize = 256 * 1024;

/// The buckets of 2^64 of which a cursor of SCAN, its bits in reverse, has passed that many: Redis (dict.c, since 2.8) and Valkey
/// count the highest bit of the table first, so that a pass survives a table that grows or shrinks.
const CURSORS: f64 = 18_446_744_073_709_551_616.0;

/// The part of the key space that a window covers is believed when the keys found in it mean a database of at least this part of
/// DBSIZE. DBSIZE also counts keys whose time is over and that nobody has removed yet, which SCAN does not return; an active
/// expire cycle leaves about a tenth of them, a replica more.
const LEAST_LIVING: f64 = 0.3;

/// And of at most DBSIZE and this many standard errors more.
const PLAUSIBLE_ERRORS: f64 = 6.0;

/// Sessions of one store in one database, as far as the pass has come.
#[derive(Debug)]
struct StoreCount {
    /// Index of the store among the instance's stores.
    store: usize,
    matcher: Store,
    counts: AppCounts,
    /// Hashes of the keys counted, so that a key which SCAN returns twice around a rehash counts once.
    seen: HashSet<u64, IdentityState>,
    details: DetailSample,
}

/// The keys of `seen` are hashes already.
type IdentityState = std::hash::BuildHasherDefault<IdentityHasher>;

/// Passes a `u64` through.
#[derive(Debug, Default, Clone)]
struct IdentityHasher(u64);

impl std::hash::Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Whether the pass goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There are more keys.
    More,
    /// The whole database, or the whole window, has been seen.
    Done,
}

/// Why a pass cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// The reply is not that of SCAN.
    #[error("SCAN answered in an unknown shape")]
    Shape,
    /// The cursor does not come back to 0.
    #[error("SCAN does not come to an end; the server's cursor is not to be trusted")]
    Endless,
}

/// The reply of one step, as far as it has not been looked at yet.
#[derive(Debug)]
pub struct Page<'r> {
    cursor: &'r [u8],
    keys: &'r [Reply],
}

impl<'r> Page<'r> {
    /// Reads the frame of a reply to SCAN.
    ///
    /// # Errors
    /// [`PassError::Shape`] when it is not `[cursor, [key ...]]`.
    pub fn new(reply: &'r Reply) -> Result<Self, PassError> {
        let Some([cursor, keys]) = reply.as_array() else {
            return Err(PassError::Shape);
        };
        let (Some(cursor), Some(keys)) = (cursor.as_bytes(), keys.as_array()) else {
            return Err(PassError::Shape);
        };
        Ok(Self { cursor, keys })
    }

    /// The cursor of the next step.
    pub fn cursor(&self) -> &'r [u8] {
        self.cursor
    }

    /// The keys that have not been looked at.
    pub fn keys(&self) -> &'r [Reply] {
        self.keys
    }

    /// Keys that have not been looked at.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// How much of the database a pass looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Every key: counts are exact.
    Whole,
    /// A window of at least so many keys from a cursor on, round the end of the database where it comes to it: counts are
    /// estimates, unless the window comes all the way round.
    Window {
        /// Where the last window ended; `0` for the first.
        cursor: Vec<u8>,
        /// Keys to examine.
        keys: u64,
    },
}

/// What a pass needs to know beside its stores.
#[derive(Debug, Clone, Copy)]
pub struct PassLimits {
    /// COUNT of a step.
    pub count: u32,
    /// Most keys of each store that are held against duplicates, 8 bytes each and their slack.
    pub remembered_keys: usize,
    /// Most values of the label `app` per store; the rest is counted as `other`.
    pub label_values: usize,
}

/// One store of a pass.
#[derive(Debug)]
pub struct PassStore {
    /// Index among the instance's stores.
    pub store: usize,
    /// What belongs to it.
    pub matcher: Store,
    /// The sample of its sessions.
    pub details: DetailSample,
    /// The values of `app` that the last pass found, which keep their places where there are too many.
    pub known_apps: Vec<Box<str>>,
}

impl PassStore {
    /// A store that was never counted before.
    pub fn new(store: usize, config: &StoreConfig, reserved_prefix: &str, details: DetailSample) -> Self {
        Self {
            store,
            matcher: Store::new(config, reserved_prefix),
            details,
            known_apps: Vec::new(),
        }
    }
}

/// Where a window began, and whether it has come round the end of the database since.
#[derive(Debug)]
struct Window {
    /// The cursor; `None` where it is no number, and so no place in a table.
    start: Option<u64>,
    wanted: u64,
    is_round: bool,
    /// Whether it came back to the place where it began: every key was seen.
    is_whole: bool,
}

/// A pass over one database.
#[derive(Debug)]
pub struct DatabasePass {
    count: u32,
    cursor: Vec<u8>,
    window: Option<Window>,
    stores: Vec<StoreCount>,
    hash: RandomState,
    remembered_keys: usize,
    keys_examined: u64,
    empty_steps: u64,
    database_size: Option<u64>,
}

/// What one batch asks beside its SCAN: the sessions and their commands.
#[derive(Debug, Default)]
pub struct DetailBatch {
    asked: Vec<(usize, Picked, Vec<DetailCommand>)>,
}

impl DetailBatch {
    /// How many sessions it asks about.
    pub fn keys(&self) -> usize {
        self.asked.len()
    }

    /// How many commands it adds.
    pub fn commands(&self) -> usize {
        self.asked.iter().map(|(_, _, commands)| commands.len()).sum()
    }

    /// How many lookups of the keyspace the server counts for it.
    pub fn lookups(&self) -> u64 {
        let all = self.asked.iter().flat_map(|(_, _, commands)| commands);
        all.filter(|command| command.is_lookup()).count() as u64
    }
}

impl DatabasePass {
    /// A pass for the stores that live in one database.
    pub fn new(stores: Vec<PassStore>, extent: Extent, limits: &PassLimits) -> Self {
        let stores = stores.into_iter().map(|store| StoreCount {
            store: store.store,
            counts: AppCounts::new(store.known_apps, limits.label_values),
            matcher: store.matcher,
            seen: HashSet::default(),
            details: store.details,
        });
        let (cursor, window) = match extent {
            Extent::Whole => (b"0".to_vec(), None),
            Extent::Window { cursor, keys } => {
                let start = number(&cursor);
                let window = Window {
                    start,
                    wanted: keys,
                    is_round: false,
                    is_whole: false,
                };
                (cursor, Some(window))
            }
        };
        Self {
            count: limits.count,
            cursor,
            window,
            stores: stores.collect(),
            hash: RandomState::new(),
            remembered_keys: limits.remembered_keys,
            keys_examined: 0,
            empty_steps: 0,
            database_size: None,
        }
    }

    /// Notes how many keys the database holds at the start (DBSIZE), so that a pass which returns far more is given up.
    pub fn expect_keys(&mut self, database_size: u64) {
        self.database_size = Some(database_size);
    }

    /// The command of the next step.
    pub fn command(&self) -> Command {
        Command::new(1, &["SCAN"])
            .arg(self.cursor.clone())
            .arg("COUNT")
            .arg(self.count.to_string())
    }

    /// Sessions that wait to be looked at.
    pub fn waiting(&self) -> usize {
        self.stores.iter().map(|store| store.details.waiting()).sum()
    }

    /// Appends the commands about at most `most` sessions that wait.
    pub fn push_details(&mut self, most: usize, commands: &mut Vec<Command>) -> DetailBatch {
        let mut batch = DetailBatch::default();
        for (number, store) in self.stores.iter_mut().enumerate() {
            let room = most.saturating_sub(batch.asked.len());
            let asked = store.details.asked();
            for picked in store.details.take(room) {
                store.details.push_commands(&picked, &asked, commands);
                batch.asked.push((number, picked, asked.clone()));
            }
        }
        batch
    }

    /// Takes in the answers to [`DatabasePass::push_details`], which come first among `replies`; gives back the rest, and how many
    /// answers the server counts as misses of the keyspace.
    pub fn note_details<'r>(&mut self, batch: &DetailBatch, mut replies: &'r [Reply]) -> (&'r [Reply], u64) {
        let mut misses = 0;
        for (number, picked, asked) in &batch.asked {
            let (own, rest) = replies.split_at(asked.len().min(replies.len()));
            replies = rest;
            if let Some(store) = self.stores.get_mut(*number) {
                misses += store.details.note(picked, asked, own);
            }
        }
        (replies, misses)
    }

    /// Takes the cursor of a step's reply and decides whether the pass goes on. The keys are looked at by
    /// [`DatabasePass::absorb`], before the next step or while the server works on it.
    ///
    /// # Errors
    /// [`PassError::Endless`]; the pass is of no more use then.
    pub fn turn(&mut self, page: &Page<'_>) -> Result<Progress, PassError> {
        self.keys_examined += page.len() as u64;
        self.empty_steps = if page.is_empty() { self.empty_steps + 1 } else { 0 };
        self.cursor.clear();
        self.cursor.extend_from_slice(page.cursor);
        let is_end = page.cursor == b"0";
        let is_done = match &mut self.window {
            None => is_end,
            Some(window) => {
                let was_round = window.is_round;
                window.is_round |= is_end;
                // From 0 to 0 is a whole pass whatever a cursor means. That a window is back where it began is believed where its keys
                // agree with DBSIZE, since not every server counts its cursors like Redis.
                let is_lap = is_end && (was_round || window.start == Some(0));
                let is_back = was_round
                    && window
                        .start
                        .zip(number(page.cursor))
                        .is_some_and(|(start, now)| place(now) >= place(start));
                let least = self.database_size.unwrap_or_default() as f64 * LEAST_LIVING;
                window.is_whole = is_lap || (is_back && self.keys_examined as f64 >= least);
                window.is_whole || self.keys_examined >= window.wanted
            }
        };
        if is_done {
            return Ok(Progress::Done);
        }
        let most_keys = self
            .database_size
            .unwrap_or_default()
            .saturating_mul(MAX_TIMES_DATABASE)
            .saturating_add(EXTRA_KEYS);
        if self.empty_steps > MAX_EMPTY_STEPS || self.keys_examined > most_keys {
            return Err(PassError::Endless);
        }
        Ok(Progress::More)
    }

    /// Looks at the next few thousand keys of a step's reply. Gives back whether keys of this reply are left: the caller lets
    /// others have their turn and calls again.
    ///
    /// # Errors
    /// [`PassError::Shape`] for what is no key; the pass is of no more use then.
    pub fn absorb(&mut self, page: &mut Page<'_>, random: &mut fastrand::Rng) -> Result<bool, PassError> {
        self.absorb_for(page, random, |_| {})
    }

    /// The same, and shows each key to somebody else as well.
    ///
    /// # Errors
    /// As for [`DatabasePass::absorb`].
    pub fn absorb_for(
        &mut self,
        page: &mut Page<'_>,
        random: &mut fastrand::Rng,
        mut show: impl FnMut(&[u8]),
    ) -> Result<bool, PassError> {
        let mut bytes = 0;
        for _ in 0..KEYS_PER_TURN {
            let Some((key, rest)) = page.keys.split_first() else {
                return Ok(false);
            };
            let key = key.as_bytes().ok_or(PassError::Shape)?;
            page.keys = rest;
            show(key);
            for store in &mut self.stores {
                if store.matcher.contains(key) && store.is_new(self.hash.hash_one(key), self.remembered_keys) {
                    let app = store.counts.count(store.matcher.app(key));
                    store.details.offer(random.f64(), app, key);
                }
            }
            bytes += key.len().min(super::stores::MAX_MATCHED_KEY_BYTES);
            if bytes >= BYTES_PER_TURN {
                break;
            }
        }
        Ok(!page.is_empty())
    }

    /// Keys that SCAN returned so far, duplicates included.
    pub fn keys_examined(&self) -> u64 {
        self.keys_examined
    }

    /// Where the next window begins; `None` after a pass over every key.
    pub fn next_cursor(&self) -> Option<&[u8]> {
        self.window.as_ref().map(|_| self.cursor.as_slice())
    }

    /// Keys examined over the keys of the database, 1 for an empty one. Above 1 when keys came in during the pass.
    pub fn coverage_ratio(&self, database_size: u64) -> f64 {
        if database_size == 0 {
            1.0
        } else {
            self.keys_examined as f64 / database_size as f64
        }
    }

    /// The part of the key space that the pass went over, 0 to 1, as its cursors tell; `None` where they are no numbers.
    fn fraction(&self) -> Option<f64> {
        let Some(window) = self.window.as_ref().filter(|window| !window.is_whole) else {
            return Some(1.0);
        };
        let (start, end) = (place(window.start?), place(number(&self.cursor)?));
        Some(if window.is_round {
            1.0 - start + end
        } else {
            end - start
        })
    }

    /// Share of the keys of the database that the pass looked at, 0 to 1. `sizes` as for [`DatabasePass::finish`].
    pub fn covered(&self, sizes: Option<(u64, u64)>) -> f64 {
        match self.scale(sizes) {
            Scale::Exact => 1.0,
            Scale::Fraction { fraction, .. } => fraction,
            Scale::Share { total, .. } if total <= 0.0 => 1.0,
            Scale::Share { examined, total } => (examined as f64 / total).min(1.0),
        }
    }

    /// Ends the pass: what each store holds. `sizes` is DBSIZE at the start and at the end, where the user may ask for it.
    pub fn finish(self, sizes: Option<(u64, u64)>) -> Vec<StoreResult> {
        let scale = self.scale(sizes);
        let finish = |store: StoreCount| {
            let sessions = store.counts.total();
            let dropped_apps = store.counts.has_dropped();
            let counts = store.counts.into_counts();
            StoreResult {
                store: store.store,
                sessions,
                counts: counts
                    .into_iter()
                    .map(|(app, found)| (app, scale.estimate(found)))
                    .collect(),
                details: store.details,
                dropped_apps,
            }
        };
        self.stores.into_iter().map(finish).collect()
    }

    fn scale(&self, sizes: Option<(u64, u64)>) -> Scale {
        if self.window.as_ref().is_none_or(|window| window.is_whole) {
            return Scale::Exact;
        }
        let fraction = self.fraction().filter(|fraction| 0.0 < *fraction && *fraction < 1.0);
        let examined = self.keys_examined as f64;
        let Some((start, end)) = sizes else {
            // Without either nobody knows of how many keys these are a part.
            return Scale::Fraction {
                fraction: fraction.unwrap_or_default(),
                most: f64::INFINITY,
            };
        };
        let (mean, most) = ((start as f64 + end as f64) / 2.0, start.max(end) as f64);
        let is_plausible = |fraction: &f64| {
            let living = examined / fraction;
            let error = PLAUSIBLE_ERRORS / examined.max(1.0).sqrt();
            living >= LEAST_LIVING * mean && living <= most * (1.0 + error)
        };
        if let Some(fraction) = fraction.filter(is_plausible) {
            Scale::Fraction { fraction, most }
        } else {
            Scale::Share {
                examined: self.keys_examined,
                total: mean.max(examined),
            }
        }
    }
}

/// How what a window holds is scaled to the database.
enum Scale {
    /// Everything was seen.
    Exact,
    /// By the part of the key space. What DBSIZE says is a bound, since it holds for every key: `most`.
    Fraction { fraction: f64, most: f64 },
    /// By DBSIZE, where cursors do not tell where they are.
    Share { examined: u64, total: f64 },
}

impl Scale {
    fn estimate(&self, found: u64) -> Estimate {
        match *self {
            Self::Exact => Estimate::exact(found as f64),
            Self::Fraction { fraction, most } => {
                let estimate = estimate::count_in_fraction(found, fraction);
                if estimate.value <= most {
                    return Estimate {
                        high: estimate.high.min(most),
                        ..estimate
                    };
                }
                // More than there are keys, by chance. All of them then, less as much as the estimate is unsure of.
                let most = most.max(found as f64);
                Estimate {
                    value: most,
                    low: estimate.low.min(most * estimate.low / estimate.value),
                    high: most,
                }
            }
            Self::Share { examined, total } => estimate::count_of_total(found, examined, total),
        }
    }
}

/// What a pass found of one store in one database.
#[derive(Debug)]
pub struct StoreResult {
    /// Index of the store.
    pub store: usize,
    /// Sessions that the pass met.
    pub sessions: u64,
    /// Sessions of the database by `app`, in the order of the numbers that [`DetailSample`] knows; values without sessions too.
    pub counts: Vec<(App, Estimate)>,
    /// The sample of its sessions.
    pub details: DetailSample,
    /// Whether there were more values of `app` than allowed.
    pub dropped_apps: bool,
}

/// A cursor as the number that it is at Redis and Valkey.
fn number(cursor: &[u8]) -> Option<u64> {
    std::str::from_utf8(cursor).ok()?.parse().ok()
}

/// How far into the key space a cursor has come, 0 to 1.
fn place(cursor: u64) -> f64 {
    cursor.reverse_bits() as f64 / CURSORS
}

impl StoreCount {
    /// Whether the key was not counted before, as far as memory allows: beyond the limit every key counts as new.
    fn is_new(&mut self, hash: u64, remembered_keys: usize) -> bool {
        if self.seen.len() >= remembered_keys {
            return !self.seen.contains(&hash);
        }
        self.seen.insert(hash)
    }
}

#[cfg(test)]
mod tests;
