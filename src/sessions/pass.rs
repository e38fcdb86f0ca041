//! One pass over the keys of one database, shared by all stores that live there.
//!
//! The pass yields commands and absorbs replies; it never holds a key name longer than it takes to look at it.

use super::stores::{MAX_MATCHED_KEY_BYTES, Store};
use crate::config::StoreConfig;
use crate::redis::{Command, Reply};
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

/// Sessions of one store in one database, as far as the pass has come.
#[derive(Debug)]
struct StoreCount {
    /// Index of the store in the instance's configuration.
    store: usize,
    matcher: Store,
    sessions: u64,
    /// Hashes of the keys counted, so that a key which SCAN returns twice around a rehash counts once.
    seen: HashSet<u64, IdentityState>,
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
    /// There is more to scan.
    More,
    /// The cursor came back to 0.
    Done,
}

/// Why a pass cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// The reply is not `[cursor, [key ...]]`. The caller judges error replies first; one that comes here is this too.
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
    /// Whether the reply held no key at all.
    is_empty: bool,
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
        Ok(Self {
            cursor,
            keys,
            is_empty: keys.is_empty(),
        })
    }
}

/// A pass over one database.
#[derive(Debug)]
pub struct DatabasePass {
    count: u32,
    cursor: Vec<u8>,
    stores: Vec<StoreCount>,
    hash: RandomState,
    remembered_keys: usize,
    keys_examined: u64,
    empty_steps: u64,
    database_size: u64,
}

impl DatabasePass {
    /// A pass for the stores (index in the configuration, store) that live in one database. At most `remembered_keys` keys of
    /// each store are held against duplicates, 8 bytes each and their slack.
    pub fn new<'a>(stores: impl Iterator<Item = (usize, &'a StoreConfig)>, count: u32, remembered_keys: usize) -> Self {
        let stores = stores
            .map(|(store, config)| StoreCount {
                store,
                matcher: Store::new(config, ""),
                sessions: 0,
                seen: HashSet::default(),
            })
            .collect();
        Self {
            count,
            cursor: b"0".to_vec(),
            stores,
            hash: RandomState::new(),
            remembered_keys,
            keys_examined: 0,
            empty_steps: 0,
            database_size: 0,
        }
    }

    /// Notes how many keys the database holds at the start (DBSIZE), so that a pass which returns far more is given up.
    pub fn expect_keys(&mut self, database_size: u64) {
        self.database_size = database_size;
    }

    /// The command of the next step.
    pub fn command(&self) -> Command {
        Command::new(1, &["SCAN"])
            .arg(self.cursor.clone())
            .arg("COUNT")
            .arg(self.count.to_string())
    }

    /// Looks at the next few thousand keys of a step's reply. Gives back `None` while keys of this reply are left: the caller lets
    /// others have their turn and calls again.
    ///
    /// # Errors
    /// [`PassError`]; the pass is of no more use then.
    pub fn absorb(&mut self, page: &mut Page<'_>) -> Result<Option<Progress>, PassError> {
        let mut bytes = 0;
        for _ in 0..KEYS_PER_TURN {
            let Some((key, rest)) = page.keys.split_first() else {
                return self.turn(page).map(Some);
            };
            let key = key.as_bytes().ok_or(PassError::Shape)?;
            page.keys = rest;
            self.keys_examined += 1;
            for store in &mut self.stores {
                if store.matcher.contains(key) && store.is_new(self.hash.hash_one(key), self.remembered_keys) {
                    store.sessions += 1;
                }
            }
            bytes += key.len().min(MAX_MATCHED_KEY_BYTES);
            if bytes >= BYTES_PER_TURN {
                break;
            }
        }
        Ok(None)
    }

    /// Ends a step: takes its cursor and decides whether the pass goes on.
    fn turn(&mut self, page: &Page<'_>) -> Result<Progress, PassError> {
        self.empty_steps = if page.is_empty { self.empty_steps + 1 } else { 0 };
        if page.cursor == b"0" {
            return Ok(Progress::Done);
        }
        let most_keys = self
            .database_size
            .saturating_mul(MAX_TIMES_DATABASE)
            .saturating_add(EXTRA_KEYS);
        if self.empty_steps > MAX_EMPTY_STEPS || self.keys_examined > most_keys {
            return Err(PassError::Endless);
        }
        self.cursor.clear();
        self.cursor.extend_from_slice(page.cursor);
        Ok(Progress::More)
    }

    /// Keys that SCAN returned so far, duplicates included.
    pub fn keys_examined(&self) -> u64 {
        self.keys_examined
    }

    /// `(index of the store, sessions counted)` so far.
    pub fn sessions(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.stores.iter().map(|store| (store.store, store.sessions))
    }

    /// Keys examined over the keys of the database, 1 for an empty one. Above 1 when keys came in during the pass.
    pub fn coverage_ratio(&self, database_size: u64) -> f64 {
        if database_size == 0 {
            1.0
        } else {
            self.keys_examined as f64 / database_size as f64
        }
    }
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
mod tests {
    use super::*;
    use bytes::Bytes;

    fn store(matches: &[&str], excludes: &[&str]) -> StoreConfig {
        StoreConfig {
            name: "web".to_owned(),
            matches: matches.iter().map(|glob| (*glob).to_owned()).collect(),
            excludes: excludes.iter().map(|glob| (*glob).to_owned()).collect(),
            databases: vec![0],
            ..crate::sessions::stores::testing::store("web")
        }
    }

    fn page(cursor: &'static str, keys: &[&'static str]) -> Reply {
        let bulk = |text: &'static str| Reply::Bulk(Bytes::from_static(text.as_bytes()));
        Reply::Array(vec![
            bulk(cursor),
            Reply::Array(keys.iter().map(|key| bulk(key)).collect()),
        ])
    }

    /// Takes a whole reply, however many turns it needs.
    fn absorb(pass: &mut DatabasePass, reply: &Reply) -> Result<Progress, PassError> {
        let mut page = Page::new(reply)?;
        loop {
            if let Some(progress) = pass.absorb(&mut page)? {
                return Ok(progress);
            }
        }
    }

    #[test]
    fn counts_each_session_once() {
        let web = store(&["sess:*"], &["sess:lock:*"]);
        let mut pass = DatabasePass::new([(3, &web)].into_iter(), PACED_COUNT, 1000);
        assert_eq!(
            absorb(&mut pass, &page("7", &["sess:a", "other", "sess:lock:a"])),
            Ok(Progress::More)
        );
        let command = pass.command();
        let words: Vec<&[u8]> = command.words().iter().map(AsRef::as_ref).collect();
        assert_eq!(words, [&b"SCAN"[..], b"7", b"COUNT", b"100"]);
        assert_eq!(absorb(&mut pass, &page("0", &["sess:a", "sess:b"])), Ok(Progress::Done));
        assert_eq!(pass.sessions().collect::<Vec<_>>(), [(3, 2)]);
        assert_eq!(pass.keys_examined(), 5);
        assert!((pass.coverage_ratio(10) - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn forgets_duplicates_beyond_the_limit_only() {
        let web = store(&["*"], &[]);
        let mut pass = DatabasePass::new([(0, &web)].into_iter(), PACED_COUNT, 1);
        absorb(&mut pass, &page("1", &["a", "b", "a", "b"])).unwrap();
        assert_eq!(pass.sessions().next(), Some((0, 3)));
    }

    #[test]
    fn refuses_what_is_not_a_page() {
        let web = store(&["*"], &[]);
        let mut pass = DatabasePass::new([(0, &web)].into_iter(), PACED_COUNT, 1);
        let bulk = |text: &'static [u8]| Reply::Bulk(Bytes::from_static(text));
        for reply in [
            Reply::Null,
            Reply::Array(vec![Reply::Null, Reply::Null]),
            Reply::Array(vec![bulk(b"0"), Reply::Array(vec![Reply::Null])]),
            Reply::Error(Bytes::from_static(b"NOPERM this user")),
        ] {
            assert_eq!(absorb(&mut pass, &reply), Err(PassError::Shape), "{reply:?}");
        }
    }

    #[test]
    fn a_large_reply_takes_several_turns() {
        let web = store(&["k*"], &[]);
        let mut pass = DatabasePass::new([(0, &web)].into_iter(), PACED_COUNT, 100_000);
        let key = |number: usize| Reply::Bulk(format!("k{number}").into());
        let many = KEYS_PER_TURN * 2 + 1;
        let reply = Reply::Array(vec![
            Reply::Bulk(Bytes::from_static(b"9")),
            Reply::Array((0..many).map(key).collect()),
        ]);
        let mut page = Page::new(&reply).unwrap();
        for turn in 1..=2 {
            assert_eq!(pass.absorb(&mut page), Ok(None));
            assert_eq!(pass.keys_examined(), (KEYS_PER_TURN * turn) as u64);
        }
        assert_eq!(pass.absorb(&mut page), Ok(Some(Progress::More)));
        assert_eq!(pass.sessions().next(), Some((0, many as u64)));
        assert_eq!(pass.command().words().get(1).map(AsRef::as_ref), Some(&b"9"[..]));
    }

    #[test]
    fn long_keys_are_examined_in_short_turns_and_match_up_to_the_limit() {
        let web = store(&["*"], &[]);
        let mut pass = DatabasePass::new([(0, &web)].into_iter(), PACED_COUNT, 100_000);
        let sized = |length: usize| Reply::Bulk(vec![b'a'; length].into());
        let mut keys = vec![sized(MAX_MATCHED_KEY_BYTES), sized(MAX_MATCHED_KEY_BYTES + 1)];
        keys.extend((0..100).map(|_| sized(1024 * 1024)));
        let reply = Reply::Array(vec![Reply::Bulk(Bytes::from_static(b"0")), Reply::Array(keys)]);
        let mut page = Page::new(&reply).unwrap();
        let mut turns = 0;
        while pass.absorb(&mut page).unwrap().is_none() {
            turns += 1;
        }
        assert!(turns >= 6, "{turns}");
        assert_eq!((pass.keys_examined(), pass.sessions().next()), (102, Some((0, 1))));
    }

    #[test]
    fn a_cursor_that_never_ends_is_given_up() {
        let web = store(&["*"], &[]);
        let mut pass = DatabasePass::new([(0, &web)].into_iter(), PACED_COUNT, 1);
        let empty = page("5", &[]);
        let outcome = (0..=MAX_EMPTY_STEPS)
            .map(|_| absorb(&mut pass, &empty))
            .find(Result::is_err);
        assert_eq!(outcome, Some(Err(PassError::Endless)));
    }
}
