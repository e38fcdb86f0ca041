//! The scan actor's frame: one connection, one pass per database, paced, resumed where it can be, cancelled by dropping its task.
//!
//! `report` is what it is given and what it gives back, `link` is the connection, `walk` goes over one database, `memory` is what one pass leaves to the next, `replica` finds a replica
//! to scan in place of the instance, `recognise` finds out which stores there are.

mod keys;
mod link;
mod memory;
mod pace;
mod recognise;
mod replica;
mod report;
pub mod scripts;
mod walk;

pub use keys::{KeyEnd, PausedWork};
pub use memory::{Missing, ScanMemory};
pub use recognise::Recognised;
pub use report::{DatabaseOutcome, ScanEnd, ScanFailure, ScanOutcome, ScanProgress, ScanReport, ScanTask, SessionsEnd};
pub use walk::PauseRequest;

use crate::config::StoreConfig;
use crate::redis::{Command, Info, Reason, RedisError, Reply, unavailability};
use crate::sessions::figures::{Estimate, StoreFigures};
use crate::sessions::pass::{DatabasePass, Extent, PACED_COUNT, PassLimits, PassStore, UNPACED_COUNT};
use keys::{KeyWork, Tasks};
use link::{Link, Stop};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::Instant;
use walk::{Lookups, StateRefusals, Walk, Walked, state_of};

/// How often one pass begins anew because the data changed under it. A server whose data is replaced more often has no count worth
/// the name.
const MOST_STARTS: u32 = 3;

/// Keys of `StoreFigures::active` that take no place among the values of `app`: no value, and the rest.
const UNNAMED_APPS: usize = 2;

/// Runs one pass. What it costs and what fails on the way goes to `reports` as it goes on, also when it fails.
pub async fn run<R: From<ScanReport> + From<SessionsEnd> + Send>(
    mut task: ScanTask,
    reports: &mpsc::Sender<R>,
) -> ScanEnd {
    let started = Instant::now();
    let paused = task.paused.take();
    let replica = replica::find(&task, reports).await;
    let mut end = ScanEnd::new(Ok(None), task.memory.clone());
    end.looked_at_sessions = task.looks_at_sessions;
    let name = &task.config.name;
    let is_replica_missing = replica.is_none() && !task.config.scan_from.is_empty();
    if is_replica_missing && end.memory.is_news("scan_from") {
        tracing::warn!(
            instance = %name,
            "no address of scan_from is a replica in step with this instance; the instance itself is scanned"
        );
    }
    if let Some(replica) = &replica {
        end.memory.is_over("scan_from");
        tracing::debug!(instance = %name, replica = %replica.address(), "a replica is scanned");
    }
    let is_own = replica.is_none();
    let connector = replica.as_ref().unwrap_or(&task.connector);
    end.memory.turn_to(is_own);
    let mut link = Link::new(&task.config, connector, reports, is_own);
    link.info_refusal = end.memory.refusal("info");
    let opened = link.open().await;
    if let Some(reason) = link.info_refusal {
        end.memory.refuse("info", reason, started);
    }
    let mut work = KeyWork::new(&task, is_own);
    if let Err(mut failure) = opened {
        failure.at_replica = !is_own;
        end.keys = Some(work.end(Some(&failure)));
        // The process that it belongs to may answer again.
        end.paused = paused;
        end.scripts = task.runs_scripts.then(|| Err(failure.clone()));
        if task.looks_at_sessions {
            end.outcome = Err(failure);
        }
        return end;
    }
    end.memory.enter(&link.identity, started);
    if let Some(paused) = paused {
        work.take_up(*paused, &link.identity);
    }
    let resumed_at = link.identity.clone();
    if task.runs_scripts {
        let begun = Instant::now();
        // A replica in a cluster answers scripts about keys after READONLY alone.
        end.scripts = Some(match begin(&task, &mut link, &mut end.memory, is_own).await {
            Ok(()) => Ok((
                scripts::run(&task.config, &mut link, &mut end.memory).await,
                begun.elapsed(),
            )),
            Err(failure) => Err(failure),
        });
    }
    let recognises = task.looks_at_sessions && task.stores.is_empty();
    if !work.is_empty()
        && let Err(failure) = begin(&task, &mut link, &mut end.memory, is_own).await
    {
        work.fail_all(&failure);
    }
    if !recognises && !work.is_empty() && !work.is_resumed() {
        work.ask_named(&mut link, &mut end.memory).await;
    }
    if task.looks_at_sessions {
        look_at_sessions(&task, &mut link, &mut end, &mut work, started, is_own).await;
    }
    let has_recognised = end.recognised.as_ref().is_some_and(|found| !found.accepted.is_empty());
    if has_recognised {
        return end;
    }
    if work.is_empty() {
        end.keys = Some(work.end(None));
        return end;
    }
    if task.looks_at_sessions || task.runs_scripts {
        end = tell_of_sessions(&task, end, started, reports).await;
    }
    let is_other = work.is_resumed() && (link.identity != resumed_at || link.loads > 0);
    if is_other {
        work.begin_anew();
    }
    if (recognises && !work.is_resumed()) || is_other {
        work.ask_named(&mut link, &mut end.memory).await;
    }
    work.walk_rest(&mut link, &mut end.memory).await;
    match work.end_or_pause(&link.identity) {
        Ok(keys) => end.keys = Some(keys),
        Err(paused) => end.paused = Some(paused),
    }
    end
}

/// Tells what was found of sessions and scripts, and gives back what is left for the end of the pass.
async fn tell_of_sessions<R: From<SessionsEnd>>(
    task: &ScanTask,
    end: ScanEnd,
    started: Instant,
    reports: &mpsc::Sender<R>,
) -> ScanEnd {
    let mut rest = ScanEnd::new(Ok(None), end.memory.clone());
    rest.looked_at_sessions = false;
    rest.has_told_sessions = true;
    let told = SessionsEnd {
        number: task.number,
        end: Box::new(end),
        duration: started.elapsed(),
    };
    // The receiver is gone only when the instance is.
    let _ = reports.send(told.into()).await;
    rest
}

/// Says what is to be said before keys are asked about.
async fn begin<R: From<ScanReport> + Send>(
    task: &ScanTask,
    link: &mut Link<'_, R>,
    memory: &mut ScanMemory,
    is_own: bool,
) -> Result<(), ScanFailure> {
    let mut starts = 1;
    loop {
        match greet(task, link, memory, is_own).await {
            Ok(()) => return Ok(()),
            Err(Stop::Failed(failure)) => return Err(failure),
            Err(Stop::StartOver(_)) if starts < MOST_STARTS => starts += 1,
            Err(Stop::StartOver(why)) => {
                return Err(start_failure(&task.config.name, why, "keys cannot be looked at"));
            }
        }
    }
}

/// Looks for stores or counts sessions, and begins anew as often as is reasonable where the data changed.
async fn look_at_sessions<R: From<ScanReport> + Send>(
    task: &ScanTask,
    link: &mut Link<'_, R>,
    end: &mut ScanEnd,
    work: &mut KeyWork<'_>,
    started: Instant,
    is_own: bool,
) {
    let name = &task.config.name;
    for start in 1..=MOST_STARTS {
        end.memory.enter(&link.identity, started);
        work.forget_scanned();
        let outcome = pass_over_all(task, link, end, work, started, is_own).await;
        match outcome {
            Ok(outcome) => end.outcome = Ok(outcome),
            Err(Stop::Failed(failure)) => end.outcome = Err(failure),
            Err(Stop::StartOver(why)) if start < MOST_STARTS => {
                tracing::info!(instance = %name, why, "a scan begins anew");
                continue;
            }
            Err(Stop::StartOver(why)) => {
                end.outcome = Err(start_failure(name, why, "sessions cannot be counted"));
            }
        }
        break;
    }
    if let Err(failure) = &mut end.outcome {
        failure.at_replica = !is_own;
    }
}

/// The failure of a pass that began anew too often.
fn start_failure(instance: &str, why: &str, what: &str) -> ScanFailure {
    let message = format!("{instance}: {why}, {MOST_STARTS} times in one pass; {what}");
    let reason = Reason::Other;
    ScanFailure {
        error: RedisError { reason, message },
        at_connect: false,
        at_replica: false,
    }
}

/// Looks for stores, or goes over all databases that hold some.
async fn pass_over_all<R: From<ScanReport> + Send>(
    task: &ScanTask,
    link: &mut Link<'_, R>,
    end: &mut ScanEnd,
    work: &mut KeyWork<'_>,
    started: Instant,
    is_own: bool,
) -> Result<Option<ScanOutcome>, Stop> {
    end.missing.clear();
    end.dropped_apps = 0;
    if task.stores.is_empty() {
        let share = share_of(task);
        let found = recognise::recognise(&task.config, share, link, &mut end.memory).await?;
        end.missing.clone_from(&found.missing);
        end.recognised = Some(found);
        return Ok(None);
    }
    greet(task, link, &mut end.memory, is_own).await?;
    let wanted: BTreeSet<u32> = task
        .stores
        .iter()
        .flat_map(|store| store.databases.iter().copied())
        .collect();
    let mut databases = Vec::new();
    let mut stores: BTreeMap<usize, StoreFigures> = BTreeMap::new();
    for database in wanted {
        let mut pass = DatabaseScan {
            task,
            memory: &mut end.memory,
            is_own,
            database,
            lookups: Lookups::default(),
            work: &mut *work,
        };
        let (walked, exact) = pass.run(link).await?;
        databases.push(walked.outcome);
        for mut result in walked.stores {
            let Some(store) = task.stores.get(result.store) else {
                continue;
            };
            end.missing.extend(
                end.memory
                    .note_store(store, database, &result, walked.outcome.covered, started),
            );
            end.dropped_apps += u64::from(result.dropped_apps);
            if let Some(count) = exact.get(&result.store) {
                result.counts = vec![(None, Estimate::exact(*count as f64))];
            }
            let figures = StoreFigures::new(store, result.counts, &result.details);
            match stores.get_mut(&result.store) {
                Some(known) => known.add(figures),
                None => {
                    stores.insert(result.store, figures);
                }
            }
        }
    }
    let exceeds =
        |figures: &&StoreFigures| figures.active.len() > task.config.label_values.saturating_add(UNNAMED_APPS);
    end.dropped_apps += stores.values().filter(exceeds).count() as u64;
    end.share_of_keys = share_of_keys(link, &stores).await?;
    Ok(Some(ScanOutcome {
        duration: started.elapsed(),
        databases,
        stores,
        ended_at: SystemTime::now(),
        at_replica: !is_own,
    }))
}

/// `scan.redis_share`, or 0 for a pass that is not paced.
fn share_of(task: &ScanTask) -> f64 {
    if task.paced { task.config.scan.redis_share } else { 0.0 }
}

/// Says what is to be said at the beginning of each connection, and remembers what is refused.
async fn greet<R: From<ScanReport> + Send>(
    task: &ScanTask,
    link: &mut Link<'_, R>,
    memory: &mut ScanMemory,
    is_own: bool,
) -> Result<(), Stop> {
    let greetings = greetings(task, link, memory, is_own);
    if greetings.is_empty() {
        return Ok(());
    }
    let replies = link.greet(greetings.clone()).await?;
    for (command, reply) in greetings.iter().zip(&replies) {
        if let Some(reason) = unavailability(reply) {
            memory.refuse(&command.name(), reason, Instant::now());
        }
    }
    Ok(())
}

/// What is said at the beginning of each connection. `CLIENT NO-TOUCH` (Redis 7.2) keeps the idle times of keys as they are: without it
/// GETRANGE changes those of sessions, and so do STRLEN, LLEN and the other sizes, PFCOUNT and XINFO those of other keys. TYPE, PTTL
/// and MEMORY USAGE never do. A replica in a cluster answers about keys only after READONLY.
fn greetings<R: From<ScanReport> + Send>(
    task: &ScanTask,
    link: &Link<'_, R>,
    memory: &ScanMemory,
    is_own: bool,
) -> Vec<Command> {
    let mut greetings = Vec::new();
    let reads_values = task.stores.iter().any(|store| store.encryption.is_some());
    let asks_keys = task.looks_at_keys && crate::keys::asks_about_keys(&task.config);
    if (reads_values || asks_keys) && memory.refusal("client|no-touch").is_none() {
        greetings.push(Command::new(2, &["CLIENT", "NO-TOUCH"]).arg("ON"));
    }
    if (!is_own || task.is_replica) && link.identity.is_cluster && memory.refusal("readonly").is_none() {
        greetings.push(Command::new(1, &["READONLY"]));
    }
    greetings
}

/// Lookups that asking an index takes: TYPE and ZCOUNT.
const INDEX_LOOKUPS: u64 = 2;

/// The scan of one database.
struct DatabaseScan<'a, 't> {
    task: &'a ScanTask,
    memory: &'a mut ScanMemory,
    /// Whether the instance itself is scanned, and not a replica in its place.
    is_own: bool,
    database: u32,
    lookups: Lookups,
    /// What else wants to know about the keys.
    work: &'a mut KeyWork<'t>,
}

impl DatabaseScan<'_, '_> {
    /// Walks over the database; gives back what was found, and the stores that are counted exactly by their index.
    async fn run<R: From<ScanReport> + Send>(
        &mut self,
        link: &mut Link<'_, R>,
    ) -> Result<(Walked, BTreeMap<usize, u64>), Stop> {
        let (config, database) = (&self.task.config, self.database);
        link.select(database).await?;
        let mut refusals = StateRefusals {
            size: self.memory.refusal("dbsize"),
            info: link.info_refusal,
        };
        let before = state_of(link, &mut refusals).await?;
        let exact = self.index_counts(link).await?;
        let stores: Vec<(usize, &StoreConfig)> = self
            .task
            .stores
            .iter()
            .enumerate()
            .filter(|(_, store)| store.databases.contains(&database))
            .collect();
        let counted: Vec<&StoreConfig> = stores
            .iter()
            .filter(|(number, _)| !exact.contains_key(number))
            .map(|(_, store)| *store)
            .collect();
        let share = share_of(self.task);
        let extent = self
            .memory
            .extent(config, &link.identity, database, &counted, before.size, share);
        let limits = PassLimits {
            count: if share > 0.0 { PACED_COUNT } else { UNPACED_COUNT },
            remembered_keys: config.scan_remembered_keys,
            label_values: config.label_values,
        };
        let stores = stores.into_iter().map(|(number, store)| {
            let details = self.memory.details(config, store, database);
            PassStore {
                known_apps: self.memory.apps(store, database),
                ..PassStore::new(number, store, &config.session_probe.prefix, details)
            }
        });
        // A window shows a part of the keys; other work goes over all of them later.
        let (is_whole, tasks) = match &extent {
            Extent::Whole => (true, self.work.tasks_beside_sessions(self.memory, database)),
            Extent::Window { .. } => (false, Tasks::default()),
        };
        let keys = DatabasePass::new(stores.collect(), extent, &limits);
        let walk = Walk::new(config, self.is_own, share, database, keys, self.lookups, tasks);
        let mut walked = walk.run(link, before, &mut refusals).await?;
        if is_whole && !self.work.is_resumed() {
            let tasks = std::mem::take(&mut walked.tasks);
            self.work.take(self.memory, database, tasks, true);
        }
        if let Some(reason) = refusals.size {
            self.memory.refuse("dbsize", reason, Instant::now());
        }
        self.memory.note_database(
            database,
            walked.keys_examined,
            walked.redis_seconds,
            walked.next_cursor.clone(),
        );
        Ok((walked, exact))
    }

    /// The living sessions of stores whose library keeps a sorted set of them, by the index of the store: `ZCOUNT` (Redis 2.0, O(log n)) of
    /// those that end from now on. Without the set sessions are counted like others, which is said once.
    async fn index_counts<R: From<ScanReport> + Send>(
        &mut self,
        link: &mut Link<'_, R>,
    ) -> Result<BTreeMap<usize, u64>, Stop> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let mut counts = BTreeMap::new();
        for (number, store) in self.task.stores.iter().enumerate() {
            let Some(key) = store
                .index_key
                .as_deref()
                .filter(|_| store.databases.contains(&self.database))
            else {
                continue;
            };
            // A sum over all says nothing about the parts.
            let splits = store.app_label && store.id.as_ref().is_some_and(|id| id.has_app());
            let refusal = format!("zcount {}", store.name);
            if splits || self.memory.refusal(&refusal).is_some() {
                continue;
            }
            let type_of = Command::new(1, &["TYPE"]).arg(key);
            let count = Command::new(1, &["ZCOUNT"]).arg(key).arg(now.to_string()).arg("+inf");
            let (replies, _) = link.exchange(&[type_of, count]).await?;
            let is_missing = |reply: &Reply| matches!(reply, Reply::Simple(kind) if &kind[..] == b"none");
            self.lookups.all += INDEX_LOOKUPS;
            if replies.first().is_some_and(is_missing) {
                self.lookups.misses += INDEX_LOOKUPS;
            }
            let said = format!("index {} {}", self.database, store.name);
            match replies.as_slice() {
                // The type, since a set that is not there counts 0 as well.
                [Reply::Simple(kind), reply] if &kind[..] == b"zset" && reply.as_integer().is_some() => {
                    let found = reply.as_integer().and_then(|found| u64::try_from(found).ok());
                    counts.extend(found.map(|found| (number, found)));
                    self.memory.is_over(&said);
                }
                replies => {
                    if let Some(reason) = replies.iter().find_map(unavailability) {
                        self.memory.refuse(&refusal, reason, Instant::now());
                    }
                    if self.memory.is_news(&said) {
                        tracing::info!(
                            instance = %self.task.config.name, store = %store.name, database = self.database,
                            "the index of sessions is missing, no sorted set or may not be read; the sessions are counted one by one"
                        );
                    }
                }
            }
        }
        Ok(counts)
    }
}

/// The share of sessions among all keys of all databases.
async fn share_of_keys<R: From<ScanReport> + Send>(
    link: &mut Link<'_, R>,
    stores: &BTreeMap<usize, StoreFigures>,
) -> Result<Option<f64>, Stop> {
    if link.info_refusal.is_some() {
        return Ok(None);
    }
    let (replies, _) = link.exchange(&[Command::new(1, &["INFO", "keyspace"])]).await?;
    let Some(text) = replies.first().and_then(Reply::as_bytes) else {
        return Ok(None);
    };
    let sessions: f64 = stores.values().map(|figures| figures.total().value).sum();
    Ok(share(sessions, total_keys(&Info::parse(text))))
}

fn share(sessions: f64, keys: f64) -> Option<f64> {
    // Keys whose time is over are among the keys, and stores may overlap: the share is bounded, not exact.
    (keys > 0.0).then(|| (sessions / keys).min(1.0))
}

/// Keys of all databases: `dbN:keys=...`.
fn total_keys(info: &Info) -> f64 {
    let databases = info.with_prefix("db");
    let keys = databases.filter_map(|field| {
        let (_, keys) = crate::redis::info::pairs(field.value).find(|(name, _)| *name == "keys")?;
        keys.parse::<f64>().ok()
    });
    keys.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_databases_are_added() {
        let info = Info::parse(b"# Keyspace\r\ndb0:keys=10,expires=5,avg_ttl=0\r\ndb3:keys=30,expires=0,avg_ttl=0\r\n");
        let keys = total_keys(&info);
        assert_eq!(share(20.0, keys), Some(0.5));
        assert_eq!(share(50.0, keys), Some(1.0));
        assert_eq!(share(0.0, 0.0), None);
    }
}
