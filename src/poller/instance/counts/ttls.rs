//! The TTL that sessions are given at creation: asked for on the kept connection a second later, when the application has set it.

use super::super::Instance;
use crate::collectors::events;
use crate::poller::events::Sampled;
use crate::redis::{CAPABILITY_LIFETIME, Command, Connection, Reply, Unavailable, unavailability};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// How long after its creation a session is asked for its TTL. Libraries that set it with a second command do so at once.
const TTL_AFTER: Duration = Duration::from_secs(1);

/// Sessions that are due so soon are asked for together with those that are due.
const TOGETHER: Duration = Duration::from_millis(250);

/// Most sessions that wait. The listener hands over at most 50 a second; this is for a connection that is down for a while.
const MAX_WAITING: usize = 200;

/// Answer of PTTL for a key without TTL.
const NO_TTL: i64 = -1;

/// Sessions whose TTL is to be asked for.
#[derive(Debug, Default)]
pub(super) struct Ttls {
    waiting: VecDeque<Sampled>,
    /// Stores, by name, whose sessions the user may not ask for their TTL, and since when that is known.
    denied: BTreeMap<String, Instant>,
    /// Stores, by name, whose sessions the user may ask for their TTL.
    proven: BTreeSet<String>,
}

impl Ttls {
    /// When the next ones are due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|sampled| sampled.at + TTL_AFTER)
    }

    /// Takes sessions that were created; what would be too many is left out.
    pub(super) fn add(&mut self, sampled: Vec<Sampled>) {
        let room = MAX_WAITING.saturating_sub(self.waiting.len());
        self.waiting.extend(sampled.into_iter().take(room));
    }

    /// Forgets what waits, and what was denied: other stores, or a reload.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn take_due(&mut self, now: Instant) -> Vec<Sampled> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        let is_due = |sampled: &Sampled| now + TOGETHER >= sampled.at + TTL_AFTER;
        let count = self.waiting.iter().take_while(|sampled| is_due(sampled)).count();
        self.waiting.drain(..count).collect()
    }
}

/// The commands that ask for these TTLs and leave the connection in its own database, and which session each PTTL is about.
fn batch(sampled: &[Sampled], home: u32) -> (Vec<Command>, Vec<Step>) {
    let mut by_database: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (position, sampled) in sampled.iter().enumerate() {
        by_database.entry(sampled.created.database).or_default().push(position);
    }
    let (mut commands, mut steps) = (Vec::new(), Vec::new());
    let mut current = home;
    let mut select = |database: u32, commands: &mut Vec<Command>, steps: &mut Vec<Step>| {
        if database != current {
            commands.push(Command::new(1, &["SELECT"]).arg(database.to_string()));
            steps.push(Step::Select);
            current = database;
        }
    };
    for (database, positions) in by_database {
        select(database, &mut commands, &mut steps);
        for position in positions {
            if let Some(sampled) = sampled.get(position) {
                commands.push(Command::new(1, &["PTTL"]).arg(sampled.created.key.to_vec()));
                steps.push(Step::Ask(position));
            }
        }
    }
    select(home, &mut commands, &mut steps);
    (commands, steps)
}

/// What a command of the batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Select,
    Ask(usize),
}

impl Instance {
    /// Asks for the TTLs that are due.
    pub(super) async fn ask_for_ttls(&mut self) {
        let now = Instant::now();
        self.counts
            .ttls
            .denied
            .retain(|_, denied_at| now < *denied_at + CAPABILITY_LIFETIME);
        let mut sampled = self.counts.ttls.take_due(now);
        sampled.retain(|sampled| !self.ttl_stores(sampled).is_empty());
        if sampled.is_empty() || self.config.is_replaced(events::TTL.name) {
            return;
        }
        // One session of each store first: what the user may not ask costs the server one denial, not one for each session.
        let (first, others) = self.split_unproven(sampled);
        if self.ask_batch(first).await {
            let is_proven = |sampled: &Sampled| {
                let stores = self.ttl_stores(sampled);
                !stores.is_empty() && stores.iter().all(|name| self.counts.ttls.proven.contains(name))
            };
            let others = others.into_iter().filter(is_proven).collect();
            self.ask_batch(others).await;
        }
        self.show_events();
    }

    /// The first session of each store of which it is not known whether the user may ask for its TTL, and all the others.
    fn split_unproven(&self, sampled: Vec<Sampled>) -> (Vec<Sampled>, Vec<Sampled>) {
        let mut tried = self.counts.ttls.proven.clone();
        sampled.into_iter().partition(|sampled| {
            let stores = self.ttl_stores(sampled);
            let is_new = stores.iter().any(|name| !tried.contains(name));
            tried.extend(stores);
            is_new
        })
    }

    /// Asks for these TTLs in one exchange. Gives back whether more may be asked.
    async fn ask_batch(&mut self, sampled: Vec<Sampled>) -> bool {
        if sampled.is_empty() {
            return true;
        }
        // A sample: while there is no connection, nothing is asked for.
        if !self.connection.as_mut().is_some_and(Connection::is_idle_and_open) {
            return false;
        }
        let Some(connection) = self.connection.as_mut() else {
            return false;
        };
        let (commands, steps) = batch(&sampled, self.config.address.database);
        match connection
            .exchange(&commands, Instant::now() + self.config.poll.timeout)
            .await
        {
            Ok(replies) => {
                self.on_ttls(&sampled, &steps, &replies);
                true
            }
            Err(error) => {
                if !error.reason.is_answer() {
                    self.connection = None;
                }
                self.fail(&error, false, false);
                self.publish_ping();
                false
            }
        }
    }

    /// The names of the stores of a session that may be asked for TTLs.
    fn ttl_stores(&self, sampled: &Sampled) -> Vec<String> {
        let names = sampled
            .created
            .stores
            .iter()
            .filter_map(|index| self.stores.get(*index));
        names
            .map(|store| store.name.clone())
            .filter(|name| !self.counts.ttls.denied.contains_key(name))
            .collect()
    }

    fn on_ttls(&mut self, sampled: &[Sampled], steps: &[Step], replies: &[Reply]) {
        let mut is_selected = true;
        for (step, reply) in steps.iter().zip(replies) {
            match step {
                Step::Select => is_selected = reply.as_bytes() == Some(b"OK"),
                // In another database the key is another one.
                Step::Ask(_) if !is_selected => {}
                Step::Ask(position) => {
                    if let Some(sampled) = sampled.get(*position) {
                        self.on_ttl(sampled, reply);
                    }
                }
            }
        }
        if !is_selected {
            // Not in its own database any more: what others ask over it would be about other keys.
            self.connection = None;
        }
    }

    fn on_ttl(&mut self, sampled: &Sampled, reply: &Reply) {
        if unavailability(reply) == Some(Unavailable::Denied) {
            for name in self.ttl_stores(sampled) {
                tracing::warn!(
                    instance = %self.name, store = %name,
                    "the Redis user may not run PTTL on these sessions; session_ttl_seconds is absent for them"
                );
                self.counts.ttls.proven.remove(&name);
                self.counts.ttls.denied.insert(name, Instant::now());
            }
            return;
        }
        let Reply::Integer(milliseconds) = reply else { return };
        let stores = self.ttl_stores(sampled);
        self.counts.ttls.proven.extend(stores);
        let database = sampled.created.database;
        *self.accumulators.keyspace_lookups.entry(database).or_default() += 1;
        if *milliseconds < NO_TTL {
            *self.accumulators.keyspace_misses.entry(database).or_default() += 1;
        }
        for index in &sampled.created.stores {
            let Some(store) = self.stores.get(*index) else { continue };
            let given = match *milliseconds {
                NO_TTL => None,
                // It is gone already.
                gone if gone < NO_TTL => continue,
                left => {
                    let left = Duration::from_millis(left.unsigned_abs());
                    Some((left + sampled.at.elapsed()).saturating_sub(store.ttl_offset))
                }
            };
            let known = &mut self.accumulators.events.stores;
            let ttl = known.entry(store.name.clone()).or_default().ttl();
            match given {
                // The time gone by includes the event's and the reply's way. Without them TTLs are whole seconds, and those that people
                // choose are bounds of buckets: a millisecond too many would put them one too high.
                Some(given) => ttl.observe(given.as_secs_f64().round()),
                None => ttl.observe_endless(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::events::Created;

    fn sampled(database: u32, key: &'static str, at: Instant) -> Sampled {
        Sampled {
            created: Created {
                database,
                key: key.into(),
                stores: vec![0],
            },
            at,
        }
    }

    fn words(commands: &[Command]) -> Vec<String> {
        let text = |command: &Command| -> Vec<String> {
            let words = command.words().iter();
            words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
        };
        commands.iter().map(|command| text(command).join(" ")).collect()
    }

    #[test]
    fn databases_are_selected_once_and_the_connection_comes_home() {
        let now = Instant::now();
        let asked = [sampled(3, "a", now), sampled(0, "b", now), sampled(3, "c", now)];
        let (commands, steps) = batch(&asked, 0);
        assert_eq!(words(&commands), ["PTTL b", "SELECT 3", "PTTL a", "PTTL c", "SELECT 0"]);
        assert_eq!(
            steps,
            [Step::Ask(1), Step::Select, Step::Ask(0), Step::Ask(2), Step::Select]
        );
        let (commands, _) = batch(&asked[1..2], 0);
        assert_eq!(words(&commands), ["PTTL b"]);
        let (commands, _) = batch(&asked[1..2], 5);
        assert_eq!(words(&commands), ["SELECT 0", "PTTL b", "SELECT 5"]);
    }

    #[test]
    fn sessions_are_asked_a_second_later_and_together() {
        let now = Instant::now();
        let mut ttls = Ttls::default();
        assert_eq!(ttls.due(), None);
        let milliseconds = Duration::from_millis;
        ttls.add(vec![
            sampled(0, "a", now),
            sampled(0, "b", now + milliseconds(200)),
            sampled(0, "c", now + milliseconds(300)),
        ]);
        assert_eq!(ttls.due(), Some(now + TTL_AFTER));
        assert!(ttls.take_due(now + milliseconds(999)).is_empty());
        assert_eq!(ttls.take_due(now + milliseconds(1000)).len(), 2);
        assert_eq!(ttls.due(), Some(now + milliseconds(1300)));
        ttls.add((0..1000).map(|_| sampled(0, "d", now)).collect());
        assert_eq!(ttls.waiting.len(), MAX_WAITING);
    }
}
