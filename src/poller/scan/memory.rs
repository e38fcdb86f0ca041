//! What one pass leaves to the next, and how much of a database the next one looks at. Pure.

use super::link::Identity;
use super::scripts::ScriptMemory;
use crate::config::{CountMode, InstanceConfig, StoreConfig};
use crate::keys::left_alone::LeftAlone;
use crate::redis::capabilities::Capabilities;
use crate::redis::{CAPABILITY_LIFETIME, Unavailable};
use crate::sessions::details::{DetailCommand, DetailSample, Refusal};
use crate::sessions::pass::{Extent, StoreResult};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Server time that a key of a scan takes, as long as nothing was measured: what paced steps took on Redis 7.0, a third of it the
/// overhead of a step of 100 keys.
const ASSUMED_SECONDS_PER_KEY: f64 = 0.000_002;

/// Share of a new measurement in the remembered cost per key: one pass on a busy server does not switch the mode.
const COST_WEIGHT: f64 = 0.5;

/// A database that is sampled is counted again only when a whole pass would take less than this share of the interval. Without it
/// a database whose pass takes about an interval would switch to and fro.
const RETURN_SHARE: f64 = 0.7;

/// What scans of one instance remember.
#[derive(Debug, Clone, Default)]
pub struct ScanMemory {
    /// `run_id` of the server that the cursors belong to.
    pub(super) process: Option<String>,
    cursors: BTreeMap<u32, Vec<u8>>,
    seconds_per_key: BTreeMap<u32, f64>,
    sampled: BTreeSet<u32>,
    stores: BTreeMap<(u32, String), Known>,
    refusals: Capabilities,
    /// Whether these were found at the instance itself, and not at a replica in its place.
    is_own: Option<bool>,
    /// Keys that are left alone, and since when the oldest of them may be.
    pub(super) left_alone: LeftAlone,
    left_alone_since: Option<Instant>,
    /// Commands that were refused with a word about the command itself, for every store.
    said: BTreeSet<String>,
    /// What runs of the scripts of `lua` leave.
    pub(super) scripts: ScriptMemory,
}

/// What is remembered of a store in a database.
#[derive(Debug, Clone, Default)]
struct Known {
    sessions: u64,
    /// The values of `app`, each with the share of the keys that passes in a row looked at without meeting it.
    apps: Vec<(Box<str>, f64)>,
}

/// Something that a scan cannot find out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Name of the command as in commandstats.
    pub command: &'static str,
    /// Name of the store; `None` when the command is refused as such.
    pub store: Option<String>,
    /// Why.
    pub reason: Unavailable,
}

impl Missing {
    /// Whether it is missing for this store.
    pub fn concerns(&self, store: &str) -> bool {
        self.store.as_deref().is_none_or(|name| name == store)
    }
}

impl ScanMemory {
    /// Forgets what belongs to stores, after others were configured or recognised.
    pub fn forget_stores(&mut self) {
        self.cursors.clear();
        self.stores.clear();
        self.said.clear();
    }

    /// Forgets what was refused, so that it is tried again: after a reload.
    pub fn forget_refusals(&mut self) {
        self.refusals = Capabilities::default();
        self.left_alone.forget();
        self.said.clear();
        self.scripts.forget();
    }

    /// Says which server the next pass looks at: the instance itself, or a replica in its place, which may have other permissions and
    /// another version.
    pub(super) fn turn_to(&mut self, is_own: bool) {
        if self.is_own.replace(is_own).is_some_and(|before| before != is_own) {
            self.refusals = Capabilities::default();
            self.left_alone.forget();
        }
    }

    /// Notes which server process answers. Cursors of another one point into another table.
    pub(super) fn enter(&mut self, identity: &Identity, now: Instant) {
        self.refusals.expire(now);
        let is_old = |since: Instant| now.saturating_duration_since(since) >= CAPABILITY_LIFETIME;
        if self.left_alone_since.is_none_or(is_old) {
            self.left_alone.forget();
            self.left_alone_since = Some(now);
        }
        if self.process != identity.run_id || self.process.is_none() {
            self.cursors.clear();
        }
        self.process.clone_from(&identity.run_id);
    }

    /// Whether this is said for the first time since it last ceased to be so.
    pub(super) fn is_news(&mut self, what: &str) -> bool {
        self.said.insert(what.to_owned())
    }

    /// What was said is not so any more.
    pub(super) fn is_over(&mut self, what: &str) {
        self.said.remove(what);
    }

    /// How much of a database to look at. `counted` are its stores whose sessions nobody else counts; `size` is DBSIZE.
    pub(super) fn extent(
        &mut self,
        config: &InstanceConfig,
        identity: &Identity,
        database: u32,
        counted: &[&StoreConfig],
        size: Option<u64>,
        share: f64,
    ) -> Extent {
        let keys = config.scan.sample_keys;
        // A window over a part of the slots is no random sample of keys with hash tags; and who does not say which server it is may
        // be such a one.
        let is_random = identity.run_id.is_some() && !identity.walks_slots;
        let is_small = size.is_some_and(|size| size <= keys);
        let is_long = size.is_some_and(|size| self.is_long(config, database, size, share));
        let samples = |store: &&StoreConfig| match store.count {
            CountMode::Exact => false,
            CountMode::Sample => true,
            CountMode::Auto => is_long,
        };
        if !is_random || is_small || !counted.iter().all(samples) {
            self.sampled.remove(&database);
            self.cursors.remove(&database);
            return Extent::Whole;
        }
        self.sampled.insert(database);
        let cursor = self.cursors.get(&database).cloned();
        Extent::Window {
            cursor: cursor.unwrap_or_else(|| b"0".to_vec()),
            keys,
        }
    }

    /// Whether a pass over the whole database takes longer than an interval.
    fn is_long(&self, config: &InstanceConfig, database: u32, size: u64, share: f64) -> bool {
        let cost = self
            .seconds_per_key
            .get(&database)
            .copied()
            .unwrap_or(ASSUMED_SECONDS_PER_KEY);
        let share = if share > 0.0 { share.min(1.0) } else { 1.0 };
        let interval = config.poll.scan_interval.as_secs_f64();
        let limit = if self.sampled.contains(&database) {
            RETURN_SHARE * interval
        } else {
            interval
        };
        size as f64 * cost / share > limit
    }

    /// A sample of details for the next pass over a store.
    pub(super) fn details(&self, config: &InstanceConfig, store: &StoreConfig, database: u32) -> DetailSample {
        // A store that lives in several databases shares its limit among them.
        let limit = config.scan_detail_keys.div_ceil(store.databases.len().max(1));
        let expected = self
            .stores
            .get(&(database, store.name.clone()))
            .map(|known| known.sessions);
        let mut details = DetailSample::new(store, limit, expected);
        for command in DetailCommand::ALL {
            let general = self.refusals.get(command.name());
            let own = self.refusals.get(&refusal_name(command, &store.name));
            if let Some(reason) = general.or(own) {
                let is_general = general.is_some();
                details.refuse(command, Refusal { reason, is_general });
            }
        }
        details
    }

    /// The values of `app` that a store had.
    pub(super) fn apps(&self, store: &StoreConfig, database: u32) -> Vec<Box<str>> {
        let known = self.stores.get(&(database, store.name.clone()));
        let apps = known.map(|known| known.apps.as_slice()).unwrap_or_default();
        apps.iter().map(|(app, _)| app.clone()).collect()
    }

    /// Whether a command that is not about single sessions is known not to be had.
    pub(super) fn refusal(&self, command: &str) -> Option<Unavailable> {
        self.refusals.get(command)
    }

    /// Notes that a command is not to be had.
    pub(super) fn refuse(&mut self, command: &str, reason: Unavailable, now: Instant) {
        self.refusals.note(command, reason, now);
    }

    /// Keeps what the pass over a database says about the next one.
    pub(super) fn note_database(&mut self, database: u32, keys: u64, seconds: f64, cursor: Option<Vec<u8>>) {
        if let Some(cursor) = cursor {
            self.cursors.insert(database, cursor);
        }
        // Fewer keys than a few steps say nothing about the cost of one.
        if keys >= 1000 {
            let cost = seconds / keys as f64;
            let known = self.seconds_per_key.entry(database).or_insert(cost);
            *known += COST_WEIGHT * (cost - *known);
        }
    }

    /// Keeps what the pass found of a store, and which commands it was refused. Returns what is missing of its figures. `covered` is the
    /// share of the keys that it looked at: a value of `app` keeps its place until every key was looked at without meeting it, or other
    /// values would take it in one window and lose it in the next.
    pub(super) fn note_store(
        &mut self,
        store: &StoreConfig,
        database: u32,
        result: &StoreResult,
        covered: f64,
        now: Instant,
    ) -> Vec<Missing> {
        let known = self.stores.entry((database, store.name.clone())).or_default();
        let before: BTreeMap<Box<str>, f64> = std::mem::take(&mut known.apps).into_iter().collect();
        let apps = result.counts.iter().filter_map(|(app, count)| {
            let app = app.clone()?;
            let unmet = if count.value > 0.0 {
                0.0
            } else {
                before.get(&app)? + covered
            };
            (unmet < 1.0).then_some((app, unmet))
        });
        known.apps = apps.collect();
        known.sessions = result.sessions;
        let refused = result.details.refused();
        for (command, refusal) in refused {
            let own = refusal_name(*command, &store.name);
            let name = if refusal.is_general {
                command.name()
            } else {
                own.as_str()
            };
            self.refuse(name, refusal.reason, now);
        }
        let missing = refused.iter().map(|(command, refusal)| Missing {
            command: command.name(),
            store: (!refusal.is_general).then(|| store.name.clone()),
            reason: refusal.reason,
        });
        missing.collect()
    }
}

/// How the refusal of a command about the keys of one store is remembered. No command has a space in its name.
pub(super) fn refusal_name(command: DetailCommand, store: &str) -> String {
    format!("{} {store}", command.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_str};
    use crate::keys::left_alone::Why;
    use crate::sessions::figures::Estimate;
    use crate::sessions::stores::testing::store;
    use std::path::Path;
    use std::sync::Arc;

    fn config() -> Arc<InstanceConfig> {
        let loaded = load_str("", "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        let mut config = loaded.config.instances[0].clone();
        let scan = &mut Arc::make_mut(&mut config).scan;
        (scan.redis_share, scan.sample_keys) = (0.02, 1000);
        config
    }

    fn identity(run_id: &str) -> Identity {
        Identity {
            run_id: Some(run_id.to_owned()),
            ..Identity::default()
        }
    }

    fn counted_as(count: CountMode) -> StoreConfig {
        StoreConfig { count, ..store("web") }
    }

    fn is_window(memory: &mut ScanMemory, identity: &Identity, modes: &[CountMode], size: u64) -> bool {
        let stores: Vec<StoreConfig> = modes.iter().copied().map(counted_as).collect();
        let stores: Vec<&StoreConfig> = stores.iter().collect();
        let extent = memory.extent(&config(), identity, 0, &stores, Some(size), 0.02);
        matches!(extent, Extent::Window { .. })
    }

    #[test]
    fn auto_samples_what_does_not_fit_into_an_interval() {
        use CountMode::{Auto, Exact, Sample};
        let (mut memory, here) = (ScanMemory::default(), identity("a"));
        // 60 s x 2 % at 2 µs a key.
        assert!(!is_window(&mut memory, &here, &[Auto], 590_000));
        assert!(is_window(&mut memory, &here, &[Auto], 610_000));
        assert!(
            is_window(&mut memory, &here, &[Auto], 430_000),
            "no switching to and fro"
        );
        assert!(!is_window(&mut memory, &here, &[Auto], 410_000));
        assert!(!is_window(&mut memory, &here, &[Auto], 590_000));
        assert!(
            !is_window(&mut memory, &here, &[Auto, Exact], 5_000_000),
            "exact for one is exact for all"
        );
        assert!(!is_window(&mut memory, &here, &[Auto, Sample], 100_000));
        assert!(is_window(&mut memory, &here, &[Sample], 1001));
        assert!(
            !is_window(&mut memory, &here, &[Sample], 1000),
            "it costs the same to count them"
        );
        assert!(
            is_window(&mut memory, &here, &[], 2000),
            "what an index counts is only looked at"
        );
        // A measured cost counts more than the assumed one.
        memory.note_database(0, 10_000, 0.1, None);
        assert!(is_window(&mut memory, &here, &[Auto], 200_000));
    }

    #[test]
    fn what_a_replica_refuses_says_nothing_about_the_instance() {
        let mut memory = ScanMemory::default();
        let now = Instant::now();
        memory.turn_to(true);
        memory.refuse("dbsize", Unavailable::Denied, now);
        memory.turn_to(true);
        assert_eq!(memory.refusal("dbsize"), Some(Unavailable::Denied));
        memory.left_alone.note(0, b"a", Why::Elsewhere);
        memory.turn_to(false);
        assert_eq!(memory.refusal("dbsize"), None);
        assert_eq!(memory.left_alone.why(0, b"a"), None);
        memory.refuse("info", Unavailable::Denied, now);
        memory.turn_to(true);
        assert_eq!(memory.refusal("info"), None);
    }

    #[test]
    fn keys_are_left_alone_for_as_long_as_refusals_count() {
        let (mut memory, now) = (ScanMemory::default(), Instant::now());
        memory.enter(&identity("a"), now);
        memory.left_alone.note(0, b"a", Why::TooLarge);
        memory.enter(&identity("a"), now + CAPABILITY_LIFETIME / 2);
        assert_eq!(memory.left_alone.why(0, b"a"), Some(Why::TooLarge));
        memory.enter(&identity("a"), now + CAPABILITY_LIFETIME);
        assert_eq!(memory.left_alone.why(0, b"a"), None);
    }

    #[test]
    fn a_server_that_walks_slot_by_slot_is_counted() {
        let mut memory = ScanMemory::default();
        let slots = Identity {
            walks_slots: true,
            ..identity("a")
        };
        assert!(!is_window(&mut memory, &slots, &[CountMode::Sample], 1_000_000));
        assert!(!is_window(
            &mut memory,
            &Identity::default(),
            &[CountMode::Sample],
            1_000_000
        ));
    }

    #[test]
    fn cursors_roll_on_and_belong_to_one_process() {
        let mut memory = ScanMemory::default();
        let web = counted_as(CountMode::Sample);
        let now = Instant::now();
        let cursor = |memory: &mut ScanMemory, run_id: &str| {
            let here = identity(run_id);
            memory.enter(&here, now);
            match memory.extent(&config(), &here, 0, &[&web], Some(100_000), 0.02) {
                Extent::Window { cursor, keys } => (String::from_utf8(cursor).unwrap(), keys),
                Extent::Whole => panic!("not sampled"),
            }
        };
        assert_eq!(cursor(&mut memory, "a"), ("0".to_owned(), 1000));
        memory.note_database(0, 1000, 0.001, Some(b"1234".to_vec()));
        assert_eq!(cursor(&mut memory, "a").0, "1234");
        assert_eq!(cursor(&mut memory, "b").0, "0");
        memory.note_database(0, 1000, 0.001, Some(b"77".to_vec()));
        memory.forget_stores();
        assert_eq!(cursor(&mut memory, "b").0, "0");
    }

    #[test]
    fn a_value_of_app_keeps_its_place_until_every_key_was_looked_at() {
        let mut memory = ScanMemory::default();
        let (web, now) = (store("web"), Instant::now());
        let mut pass = |found: &[(&str, f64)]| {
            let counts = found.iter().map(|(app, count)| {
                let high = count + 10.0;
                let estimate = Estimate {
                    value: *count,
                    low: *count,
                    high,
                };
                (Some((*app).into()), estimate)
            });
            let result = StoreResult {
                store: 0,
                sessions: 1,
                counts: counts.collect(),
                details: DetailSample::new(&web, 10, None),
                dropped_apps: false,
            };
            memory.note_store(&web, 0, &result, 0.3, now);
            memory.apps(&web, 0).join(" ")
        };
        assert_eq!(pass(&[("a", 5.0), ("b", 5.0), ("other", 0.0)]), "a b");
        for _ in 0..3 {
            assert_eq!(pass(&[("a", 5.0), ("b", 0.0)]), "a b");
        }
        assert_eq!(pass(&[("a", 0.0), ("b", 0.0)]), "a");
        assert_eq!(pass(&[("a", 5.0), ("c", 5.0)]), "a c");
    }

    #[test]
    fn refusals_are_remembered_for_all_stores_or_for_one() {
        let mut memory = ScanMemory::default();
        let (web, other, now) = (store("web"), store("other"), Instant::now());
        let result = |general: bool| {
            let mut details = DetailSample::new(&web, 10, None);
            let refusal = Refusal {
                reason: Unavailable::Denied,
                is_general: general,
            };
            details.refuse(
                if general {
                    DetailCommand::Pttl
                } else {
                    DetailCommand::MemoryUsage
                },
                refusal,
            );
            StoreResult {
                store: 0,
                sessions: 5000,
                counts: Vec::new(),
                details,
                dropped_apps: false,
            }
        };
        for general in [true, false] {
            let missing = memory.note_store(&web, 0, &result(general), 1.0, now);
            assert_eq!(missing[0].store.is_none(), general);
        }
        let config = config();
        let asked = |memory: &ScanMemory, store: &StoreConfig| memory.details(&config, store, 0).asked().len();
        assert_eq!((asked(&memory, &web), asked(&memory, &other)), (0, 1));
        memory.enter(&identity("a"), now + crate::redis::CAPABILITY_LIFETIME);
        assert_eq!((asked(&memory, &web), asked(&memory, &other)), (2, 2));
        assert!(memory.is_news("x") && !memory.is_news("x"));
        memory.is_over("x");
        assert!(memory.is_news("x"));
    }
}
