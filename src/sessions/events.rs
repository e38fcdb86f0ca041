//! From the ordered stream of events to what became of sessions: created, ended, moved.
//!
//! Redis tells of every key that comes into being with `new`, and tells directly behind it when it was made by RENAME (`new`,
//! `rename_from`, `rename_to`), COPY (`new`, `copy_to`), RESTORE (`new`, `restore`) or MOVE (`new`, `move_from`, `move_to`): so a `new` is
//! held back until the next event shows what it was. Measured on Redis 7.0 and 8.0 and Valkey 9.1.

use super::figures::App;
use super::notifications::{Class, EventKind};
use super::pass::apps::{MAX_APP_BYTES, OTHER_APP};
use super::stores::{MAX_MATCHED_KEY_BYTES, Store};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a session ended, label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndReason {
    /// A command deleted it: a logout.
    Deleted,
    /// Its time was over.
    Expired,
    /// Memory was short.
    Evicted,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Deleted, Self::Expired, Self::Evicted];

    /// The label value.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
        }
    }

    /// The class of events that tells of it.
    pub const fn class(self) -> Class {
        match self {
            Self::Deleted => Class::Generic,
            Self::Expired => Class::Expired,
            Self::Evicted => Class::Evicted,
        }
    }
}

/// Comings and goings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// Keys that came to be sessions of the store, however.
    pub arrived: u64,
    /// Keys that ceased to be, however.
    pub left: u64,
}

/// What happened to the sessions of one store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreDelta {
    /// Comings and goings by `app`.
    pub moves: BTreeMap<App, Moves>,
    /// Sessions created, by source.
    pub created: BTreeMap<Box<str>, u64>,
    /// Sessions ended, by reason.
    pub ended: BTreeMap<EndReason, u64>,
}

/// What happened since the last report. Its size is bounded by the number of stores, their sources, and the limit of `app`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deltas {
    /// By index of the store.
    pub stores: BTreeMap<usize, StoreDelta>,
    /// Keys made: sessions created, and those that RESTORE and COPY made. A key counts once, however many stores it belongs to.
    pub keys_created: u64,
    /// Values of `app` that were counted as [`OTHER_APP`] since there were too many.
    pub dropped_apps: u64,
}

/// A session that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its database.
    pub database: u32,
    /// Its key.
    pub key: Bytes,
    /// The stores that it belongs to, by index; never empty.
    pub stores: Vec<usize>,
}

/// A `new` of which nobody knows yet what it was.
#[derive(Debug)]
struct Held {
    created: Created,
    apps: Vec<App>,
}

/// Reads the events of one subscription in their order.
#[derive(Debug)]
pub struct Interpreter {
    stores: Arc<[(usize, Store)]>,
    /// Most values of `app` per store and report.
    app_limit: usize,
    held: Option<Held>,
}

impl Interpreter {
    /// For these stores, each with the index under which it is reported; at most `app_limit` values of `app` per store and report.
    pub fn new(stores: Arc<[(usize, Store)]>, app_limit: usize) -> Self {
        Self {
            stores,
            app_limit,
            held: None,
        }
    }

    /// Whether a `new` is held back. When it is proven that nothing belongs to it, [`Interpreter::settle`] says what it was.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Takes an event. Gives back the session that is known by now to be newly created: an earlier one than the event's, if any.
    pub fn event(&mut self, database: u32, kind: EventKind, key: &Bytes, deltas: &mut Deltas) -> Option<Created> {
        let held = self.held.take();
        let is_made_by_command = matches!(
            kind,
            EventKind::RenameTo | EventKind::CopyTo | EventKind::Restore | EventKind::MoveTo
        );
        let (stores, apps, created) = match held {
            Some(held) if is_made_by_command && held.created.database == database && held.created.key == *key => {
                (held.created.stores, held.apps, None)
            }
            // These stand between a `new` and what it was.
            Some(held) if matches!(kind, EventKind::RenameFrom | EventKind::MoveFrom) => {
                self.held = Some(held);
                let (stores, apps) = self.members(database, key);
                (stores, apps, None)
            }
            held => {
                let created = held.map(|held| self.commit(held, deltas));
                let (stores, apps) = self.members(database, key);
                (stores, apps, created)
            }
        };
        if stores.is_empty() {
            return created;
        }
        match kind {
            EventKind::New => {
                self.held = Some(Held {
                    created: Created {
                        database,
                        key: key.clone(),
                        stores,
                    },
                    apps,
                });
            }
            EventKind::RenameTo | EventKind::MoveTo => self.arrive(&stores, apps, deltas),
            EventKind::CopyTo | EventKind::Restore => {
                deltas.keys_created += 1;
                self.arrive(&stores, apps, deltas);
            }
            EventKind::RenameFrom | EventKind::MoveFrom => self.leave(&stores, apps, None, deltas),
            EventKind::Deleted => self.leave(&stores, apps, Some(EndReason::Deleted), deltas),
            EventKind::Expired => self.leave(&stores, apps, Some(EndReason::Expired), deltas),
            EventKind::Evicted => self.leave(&stores, apps, Some(EndReason::Evicted), deltas),
        }
        created
    }

    /// Nothing belongs to the `new` that is held back: it was a creation.
    pub fn settle(&mut self, deltas: &mut Deltas) -> Option<Created> {
        let held = self.held.take()?;
        Some(self.commit(held, deltas))
    }

    /// The stores that a key belongs to, and its `app` in each.
    fn members(&self, database: u32, key: &[u8]) -> (Vec<usize>, Vec<App>) {
        let (mut indexes, mut apps) = (Vec::new(), Vec::new());
        if key.len() > MAX_MATCHED_KEY_BYTES {
            return (indexes, apps);
        }
        for (index, store) in self.stores.iter() {
            if store.is_in(database) && store.contains(key) {
                indexes.push(*index);
                apps.push(app_of(store, key));
            }
        }
        (indexes, apps)
    }

    fn commit(&self, held: Held, deltas: &mut Deltas) -> Created {
        let Held { created, apps } = held;
        deltas.keys_created += 1;
        for index in &created.stores {
            let Some((_, store)) = self.stores.iter().find(|(known, _)| known == index) else {
                continue;
            };
            let delta = deltas.stores.entry(*index).or_default();
            let source = store.source(&created.key);
            match delta.created.get_mut(source) {
                Some(count) => *count += 1,
                None => {
                    delta.created.insert(source.into(), 1);
                }
            }
        }
        self.arrive(&created.stores, apps, deltas);
        created
    }

    fn arrive(&self, stores: &[usize], apps: Vec<App>, deltas: &mut Deltas) {
        for (store, app) in stores.iter().zip(apps) {
            self.moves(*store, app, deltas).arrived += 1;
        }
    }

    fn leave(&self, stores: &[usize], apps: Vec<App>, reason: Option<EndReason>, deltas: &mut Deltas) {
        for (store, app) in stores.iter().zip(apps) {
            self.moves(*store, app, deltas).left += 1;
            if let Some(reason) = reason {
                let delta = deltas.stores.entry(*store).or_default();
                *delta.ended.entry(reason).or_default() += 1;
            }
        }
    }

    fn moves<'d>(&self, store: usize, app: App, deltas: &'d mut Deltas) -> &'d mut Moves {
        let moves = &mut deltas.stores.entry(store).or_default().moves;
        let is_new = app.is_some() && !moves.contains_key(&app);
        if is_new && moves.len() >= self.app_limit {
            deltas.dropped_apps += 1;
            return moves.entry(Some(OTHER_APP.into())).or_default();
        }
        moves.entry(app).or_default()
    }
}

/// The value of `app` of a session, as passes count it: none where its key has no such part, `other` for what is no label.
fn app_of(store: &Store, key: &[u8]) -> App {
    let app = store.app(key)?;
    let name = std::str::from_utf8(app).ok().filter(|name| name.len() <= MAX_APP_BYTES);
    Some(name.unwrap_or(OTHER_APP).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceRule;
    use crate::config::pattern::IdPattern;
    use crate::sessions::stores::testing;
    use EventKind::*;

    /// Two stores in database 0, the first also in 1, and a reserved prefix.
    fn interpreter() -> Interpreter {
        let mut web = testing::store("web");
        web.databases = vec![0, 1];
        web.sources = vec![SourceRule {
            source: "guest".to_owned(),
            matches: vec!["web:guest:*".to_owned()],
        }];
        let stores = [
            (0, Store::new(&web, "web:probe:")),
            (3, Store::new(&testing::store("api"), "")),
        ];
        Interpreter::new(Arc::new(stores), 2)
    }

    type Event = (u32, EventKind, &'static str);

    /// Change of the count, created and ended of a store, and keys created in all.
    type Outcome = (i64, u64, u64, u64);

    fn run(interpreter: &mut Interpreter, events: &[Event]) -> (Deltas, Vec<String>) {
        let mut deltas = Deltas::default();
        let mut created = Vec::new();
        for (database, kind, key) in events {
            let key = Bytes::from_static(key.as_bytes());
            created.extend(interpreter.event(*database, *kind, &key, &mut deltas));
        }
        created.extend(interpreter.settle(&mut deltas));
        let keys = created
            .into_iter()
            .map(|created| String::from_utf8_lossy(&created.key).into_owned())
            .collect();
        (deltas, keys)
    }

    fn figures(deltas: &Deltas, store: usize) -> Outcome {
        let Some(delta) = deltas.stores.get(&store) else {
            return (0, 0, 0, deltas.keys_created);
        };
        let change = delta
            .moves
            .values()
            .map(|moves| i64::try_from(moves.arrived).unwrap() - i64::try_from(moves.left).unwrap())
            .sum();
        (
            change,
            delta.created.values().sum(),
            delta.ended.values().sum(),
            deltas.keys_created,
        )
    }

    #[test]
    fn each_command_counts_as_what_it_is() {
        // The events of each command as Redis 7.0 sends them (without those that we do not listen to), and what becomes of `web`.
        let table: &[(&str, &[Event], Outcome)] = &[
            ("SET, new", &[(0, New, "web:1")], (1, 1, 0, 1)),
            ("SET of another key", &[(0, New, "cart:1")], (0, 0, 0, 0)),
            ("SET in a database of nobody", &[(2, New, "web:1")], (0, 0, 0, 0)),
            (
                "SET of the synthetic session",
                &[(0, New, "web:probe:1"), (0, Deleted, "web:probe:1")],
                (0, 0, 0, 0),
            ),
            ("DEL", &[(0, Deleted, "web:1")], (-1, 0, 1, 0)),
            ("expired", &[(0, Expired, "web:1")], (-1, 0, 1, 0)),
            ("evicted", &[(1, Evicted, "web:1")], (-1, 0, 1, 0)),
            (
                "RENAME within the store",
                &[(0, New, "web:2"), (0, RenameFrom, "web:1"), (0, RenameTo, "web:2")],
                (0, 0, 0, 0),
            ),
            (
                "RENAME out of the store",
                &[(0, New, "old:2"), (0, RenameFrom, "web:1"), (0, RenameTo, "old:2")],
                (-1, 0, 0, 0),
            ),
            (
                "RENAME into the store",
                &[(0, New, "web:2"), (0, RenameFrom, "tmp:1"), (0, RenameTo, "web:2")],
                (1, 0, 0, 0),
            ),
            ("COPY", &[(0, New, "web:2"), (0, CopyTo, "web:2")], (1, 0, 0, 1)),
            (
                "COPY to a database of nobody",
                &[(2, New, "web:2"), (2, CopyTo, "web:2")],
                (0, 0, 0, 0),
            ),
            ("RESTORE", &[(0, New, "web:2"), (0, Restore, "web:2")], (1, 0, 0, 1)),
            (
                "MOVE between databases of the store",
                &[(1, New, "web:1"), (0, MoveFrom, "web:1"), (1, MoveTo, "web:1")],
                (0, 0, 0, 0),
            ),
            (
                "MOVE in, of which the source is not heard",
                &[(0, New, "web:1"), (0, MoveTo, "web:1")],
                (1, 0, 0, 0),
            ),
            ("MOVE out", &[(0, MoveFrom, "web:1")], (-1, 0, 0, 0)),
            (
                "SET, then RENAME onto it",
                &[
                    (0, New, "web:1"),
                    (0, New, "web:1"),
                    (0, RenameFrom, "tmp:1"),
                    (0, RenameTo, "web:1"),
                ],
                (2, 1, 0, 1),
            ),
            (
                "SET, then a RENAME of others",
                &[
                    (0, New, "web:1"),
                    (0, New, "x:2"),
                    (0, RenameFrom, "x:1"),
                    (0, RenameTo, "x:2"),
                ],
                (1, 1, 0, 1),
            ),
            (
                "SET and GETDEL",
                &[(0, New, "web:1"), (0, Deleted, "web:1")],
                (0, 1, 1, 1),
            ),
            (
                "MSET",
                &[(0, New, "web:1"), (0, New, "web:2"), (0, New, "web:3")],
                (3, 3, 0, 3),
            ),
            (
                "without the class of new keys",
                &[(0, RenameFrom, "web:1"), (0, RenameTo, "web:2"), (0, CopyTo, "web:3")],
                (1, 0, 0, 1),
            ),
        ];
        for (what, events, expected) in table {
            let (deltas, created) = run(&mut interpreter(), events);
            assert_eq!(figures(&deltas, 0), *expected, "{what}");
            assert_eq!(created.len() as u64, expected.1, "{what}");
            assert_eq!(figures(&deltas, 3), (0, 0, 0, expected.3), "{what}: the other store");
        }
    }

    #[test]
    fn a_key_of_two_stores_is_one_key() {
        let mut all = testing::store("all");
        all.matches = vec!["web:*".to_owned()];
        let stores = [(0, Store::new(&testing::store("web"), "")), (1, Store::new(&all, ""))];
        let events = [(0, New, "web:1"), (0, New, "web:2"), (0, CopyTo, "web:2")];
        let (deltas, created) = run(&mut Interpreter::new(Arc::new(stores), 2), &events);
        assert_eq!(figures(&deltas, 0), (2, 1, 0, 2));
        assert_eq!(figures(&deltas, 1), (2, 1, 0, 2));
        assert_eq!(created.len(), 1);
    }

    #[test]
    fn the_first_rule_that_matches_names_the_source() {
        let mut web = testing::store("web");
        let rule = |source: &str, glob: &str| SourceRule {
            source: source.to_owned(),
            matches: vec![glob.to_owned()],
        };
        web.sources = vec![
            rule("bot", "web:guest:bot:*"),
            rule("guest", "web:guest:*"),
            rule("bot", "web:crawler:*"),
            rule("late", "web:guest:*"),
        ];
        let events = [
            (0, New, "web:guest:bot:1"),
            (0, New, "web:guest:2"),
            (0, New, "web:crawler:3"),
            (0, New, "web:4"),
        ];
        let interpreter = &mut Interpreter::new(Arc::new([(0, Store::new(&web, ""))]), 2);
        let (deltas, _) = run(interpreter, &events);
        let expected = [("bot", 2), ("guest", 1), ("other", 1)].map(|(source, count)| (Box::from(source), count));
        assert_eq!(deltas.stores[&0].created, BTreeMap::from(expected));
    }

    #[test]
    fn a_rename_moves_a_session_from_store_to_store() {
        let events = [(0, New, "api:1"), (0, RenameFrom, "web:1"), (0, RenameTo, "api:1")];
        let (deltas, _) = run(&mut interpreter(), &events);
        assert_eq!(figures(&deltas, 0), (-1, 0, 0, 0));
        assert_eq!(figures(&deltas, 3), (1, 0, 0, 0));
    }

    #[test]
    fn creations_have_their_source_and_endings_their_reason() {
        let events = [
            (0, New, "web:guest:1"),
            (0, New, "web:2"),
            (0, Expired, "web:2"),
            (0, Evicted, "web:guest:1"),
            (0, Deleted, "web:9"),
        ];
        let (deltas, created) = run(&mut interpreter(), &events);
        let web = &deltas.stores[&0];
        assert_eq!(
            web.created,
            BTreeMap::from([(Box::from("guest"), 1), (Box::from("other"), 1)])
        );
        let ended: Vec<_> = web
            .ended
            .iter()
            .map(|(reason, count)| (reason.as_label(), *count))
            .collect();
        assert_eq!(ended, [("deleted", 1), ("expired", 1), ("evicted", 1)]);
        assert_eq!(created, ["web:guest:1", "web:2"]);
    }

    #[test]
    fn a_new_key_waits_until_it_is_known_what_made_it() {
        let mut interpreter = interpreter();
        let mut deltas = Deltas::default();
        assert_eq!(interpreter.event(0, New, &"web:1".into(), &mut deltas), None);
        assert!(interpreter.is_holding());
        assert_eq!(deltas, Deltas::default(), "nothing is known yet");
        let created = interpreter.settle(&mut deltas).unwrap();
        assert_eq!((created.database, created.stores), (0, vec![0]));
        assert!(!interpreter.is_holding());
        assert_eq!(interpreter.settle(&mut deltas), None);
        assert_eq!(figures(&deltas, 0), (1, 1, 0, 1));
    }

    #[test]
    fn apps_are_told_apart_up_to_the_limit() {
        let mut store = testing::store("web");
        store.id = Some(IdPattern::new("^web:(?:(?P<app>[^:]+):)?[0-9]+$").unwrap());
        store.app_label = true;
        let mut interpreter = Interpreter::new(Arc::new([(0, Store::new(&store, ""))]), 2);
        let events = [
            (0, New, "web:shop:1"),
            (0, New, "web:blog:1"),
            (0, New, "web:wiki:1"),
            (0, New, "web:forum:1"),
            (0, Deleted, "web:shop:1"),
            (0, New, "web:7"),
        ];
        let (deltas, _) = run(&mut interpreter, &events);
        let moves: Vec<_> = deltas.stores[&0]
            .moves
            .iter()
            .map(|(app, moves)| (app.as_deref(), moves.arrived, moves.left))
            .collect();
        let expected = [
            (None, 1, 0),
            (Some("blog"), 1, 0),
            (Some("other"), 2, 0),
            (Some("shop"), 1, 1),
        ];
        assert_eq!(moves, expected);
        assert_eq!(deltas.dropped_apps, 2, "the key without an app has none");
    }

    #[test]
    fn a_key_of_a_megabyte_is_nobodys() {
        let mut interpreter = interpreter();
        let mut deltas = Deltas::default();
        let key = Bytes::from([b"web:".as_slice(), &vec![b'x'; 1 << 20]].concat());
        assert_eq!(interpreter.event(0, New, &key, &mut deltas), None);
        assert!(!interpreter.is_holding());
        assert_eq!(deltas, Deltas::default());
    }
}
