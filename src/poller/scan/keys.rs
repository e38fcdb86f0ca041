//! Key work of a pass: what optional collectors want to know about keys. One SCAN per database serves all of them, and the sessions as well
//! where these are counted exactly; keys that are named in full take no SCAN.

use super::link::{Identity, Link, Stop};
use super::memory::ScanMemory;
use super::walk::{Lookups, PausedWalk, StateRefusals, Walk, state_of};
use super::{MOST_STARTS, ScanFailure, ScanProgress, ScanReport, ScanTask, pace, share_of, start_failure};
use crate::config::InstanceConfig;
use crate::keys::{self, CollectorTask, KeyContext, KeyFindings, MAX_KEY_BYTES};
use crate::redis::{Command, Info, Reason, RedisError, Reply, Unavailable};
use crate::sessions::pacing::Pacer;
use crate::sessions::pass::{DatabasePass, Extent, PACED_COUNT, PassLimits, UNPACED_COUNT};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Keys that one paced batch asks about, at two commands each: no more than about sessions.
const PACED_KEYS: usize = 40;

/// The same when nobody else is to be spared.
const UNPACED_KEYS: usize = 250;

/// What one pass found for each collector, or why there is nothing.
#[derive(Debug, Default)]
pub struct KeyEnd {
    /// By collector; the findings of all databases together.
    pub collectors: BTreeMap<&'static str, Result<KeyFindings, ScanFailure>>,
    /// How long it took, from its first question to its last, pauses included.
    pub duration: Duration,
}

/// Key work that has paused in the middle of a walk, with what it has found so far. The next pass goes on with it.
#[derive(Debug)]
pub struct PausedWork {
    /// The server process that the cursor belongs to.
    run_id: String,
    is_own: bool,
    state: WorkState,
    walk: PausedWalk,
}

/// How far key work has come.
#[derive(Debug)]
struct WorkState {
    began: Instant,
    /// The collectors that have work here; empty where keys are left alone.
    collectors: BTreeSet<&'static str>,
    /// Keys that `check_keys` may still show.
    places: Arc<AtomicUsize>,
    /// How many these were when the keys that are named in full had been asked about.
    places_for_scans: usize,
    /// How many there are without what tasks have taken that found nothing in the end.
    places_left: usize,
    /// What was found without a SCAN.
    named: BTreeMap<&'static str, KeyFindings>,
    /// What was found by one.
    scanned: BTreeMap<&'static str, KeyFindings>,
    /// Databases whose keys all tasks have seen.
    served: BTreeSet<u32>,
    failures: BTreeMap<&'static str, ScanFailure>,
    /// Databases that the user may not look at, or that are not there, by what they were to be looked at for.
    refused: BTreeMap<(u32, &'static str), (String, Unavailable, ScanFailure)>,
}

impl WorkState {
    fn new(task: &ScanTask, collectors: BTreeSet<&'static str>) -> Self {
        Self {
            began: Instant::now(),
            collectors,
            places: Arc::new(AtomicUsize::new(task.config.checked_keys)),
            places_for_scans: task.config.checked_keys,
            places_left: task.config.checked_keys,
            named: BTreeMap::new(),
            scanned: BTreeMap::new(),
            served: BTreeSet::new(),
            failures: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }
}

/// The tasks of one database while they are served.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tasks: Vec<CollectorTask>,
}

/// Commands of each task in the last batch.
#[derive(Debug, Default)]
pub(super) struct Asked {
    commands: Vec<usize>,
}

impl Asked {
    /// All of them together.
    pub(super) fn commands(&self) -> usize {
        self.commands.iter().sum()
    }
}

impl Tasks {
    /// Offers a key that SCAN returned.
    pub(super) fn offer(&mut self, key: &[u8]) {
        for CollectorTask { task, .. } in &mut self.tasks {
            if key.len() > MAX_KEY_BYTES {
                task.leave_out();
            } else {
                task.offer(key);
            }
        }
    }

    /// Asks what may have large answers, in exchanges of their own, until nothing of it waits. Answers that are too large or too slow
    /// concern the task alone.
    pub(super) async fn ask_large<R: From<ScanReport> + Send>(
        &mut self,
        link: &mut Link<'_, R>,
        pacer: &mut Pacer,
        lookups: &mut Lookups,
    ) -> Result<(), Stop> {
        for CollectorTask { task, .. } in &mut self.tasks {
            loop {
                let mut batch = Vec::new();
                task.push_large(&mut batch);
                if batch.is_empty() {
                    break;
                }
                match link.exchange_apart(&batch).await? {
                    Ok((replies, round_trip)) => {
                        let noted = task.note(&replies);
                        lookups.all += noted.all;
                        lookups.misses += noted.misses;
                        let rest = pacer.rest_after(round_trip, batch.len());
                        pace::rest(pacer, rest).await;
                    }
                    Err(error) => {
                        tracing::debug!(
                            reason = error.reason.as_label(),
                            "a reply about a key is too large or too slow"
                        );
                        task.give_up_large();
                    }
                }
            }
        }
        Ok(())
    }

    /// Keys that wait to be asked about.
    pub(super) fn waiting(&self) -> usize {
        self.tasks.iter().map(|task| task.task.waiting()).sum()
    }

    /// Appends commands about at most `most` keys.
    pub(super) fn push(&mut self, most: usize, commands: &mut Vec<Command>) -> Asked {
        let mut asked = Asked::default();
        let mut room = most;
        for task in &mut self.tasks {
            let (before, waiting) = (commands.len(), task.task.waiting());
            if room > 0 && waiting > 0 {
                task.task.push_commands(room, commands);
                room = room.saturating_sub(waiting.saturating_sub(task.task.waiting()));
            }
            asked.commands.push(commands.len() - before);
        }
        asked
    }

    /// Takes the replies to [`Tasks::push`], which come first among `replies`; gives back the rest.
    pub(super) fn note<'r>(&mut self, asked: &Asked, mut replies: &'r [Reply]) -> (&'r [Reply], Lookups) {
        let mut lookups = Lookups::default();
        for (task, commands) in self.tasks.iter_mut().zip(&asked.commands) {
            let (own, rest) = replies.split_at((*commands).min(replies.len()));
            replies = rest;
            if !own.is_empty() {
                let noted = task.task.note(own);
                lookups.all += noted.all;
                lookups.misses += noted.misses;
            }
        }
        (replies, lookups)
    }

    /// The collectors that they belong to.
    pub(super) fn collectors(&self) -> BTreeSet<&'static str> {
        self.tasks.iter().map(|task| task.collector).collect()
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// The key work of one pass.
pub(super) struct KeyWork<'t> {
    task: &'t ScanTask,
    state: WorkState,
    /// Where an earlier pass paused, or this one has.
    paused: Option<PausedWalk>,
    /// Whether an earlier pass began it: sessions are counted alone then.
    is_resumed: bool,
    is_own: bool,
}

impl<'t> KeyWork<'t> {
    /// The work that is to be done at the server that is scanned, which is the instance itself where `is_own`.
    pub(super) fn new(task: &'t ScanTask, is_own: bool) -> Self {
        let is_at_primary = is_own && !task.is_replica;
        let leaves_alone = is_at_primary && task.config.optional.compatibility.keys_at_replicas_only;
        let collectors = if leaves_alone || !task.looks_at_keys {
            BTreeSet::new()
        } else {
            keys::collectors(&task.config)
        };
        Self {
            task,
            state: WorkState::new(task, collectors),
            paused: None,
            is_resumed: false,
            is_own,
        }
    }

    /// Goes on with the work that an earlier pass paused, if the same server process answers and there is still the same work.
    pub(super) fn take_up(&mut self, paused: PausedWork, identity: &Identity) {
        let is_same = identity.run_id.as_deref() == Some(paused.run_id.as_str());
        if is_same && paused.is_own == self.is_own && paused.state.collectors == self.state.collectors {
            self.state = paused.state;
            self.paused = Some(paused.walk);
            self.is_resumed = true;
        }
    }

    /// Whether an earlier pass began it.
    pub(super) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Forgets all of it: another process answers than the one that the cursor belongs to.
    pub(super) fn begin_anew(&mut self) {
        let collectors = std::mem::take(&mut self.state.collectors);
        self.state = WorkState::new(self.task, collectors);
        self.paused = None;
        self.is_resumed = false;
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.state.collectors.is_empty()
    }

    /// The tasks for a database that need a SCAN, or those that need none.
    fn tasks(&self, memory: &ScanMemory, database: u32, needs_scan: bool) -> Tasks {
        if self.state.collectors.is_empty() {
            return Tasks::default();
        }
        // Tasks of a pass that failed give their places back; those of a walk that has paused keep them.
        if self.paused.is_none() {
            self.state.places.store(self.state.places_left, Ordering::Relaxed);
        }
        let tasks = keys::tasks(&KeyContext {
            config: &self.task.config,
            database,
            refused: &|name| memory.refusal(name),
            checked_keys: &self.state.places,
            left_alone: &memory.left_alone,
            by_scan: needs_scan,
        });
        Tasks { tasks }
    }

    /// The tasks that a SCAN over the whole database is to serve.
    pub(super) fn scan_tasks(&self, memory: &ScanMemory, database: u32) -> Tasks {
        self.tasks(memory, database, true)
    }

    /// Those of them that a pass for sessions is to serve as well: none where they wait in the middle of a walk.
    pub(super) fn tasks_beside_sessions(&self, memory: &ScanMemory, database: u32) -> Tasks {
        if self.is_resumed {
            Tasks::default()
        } else {
            self.scan_tasks(memory, database)
        }
    }

    /// Takes what the tasks of a database have found, after they have seen all of its keys.
    pub(super) fn take(&mut self, memory: &mut ScanMemory, database: u32, tasks: Tasks, is_scan: bool) {
        for CollectorTask { collector, task } in tasks.tasks {
            let findings = task.finish(database);
            for (name, reason) in &findings.missing {
                memory.refuse(name, *reason, Instant::now());
            }
            let found = if is_scan {
                &mut self.state.scanned
            } else {
                &mut self.state.named
            };
            found.entry(collector).or_default().add(findings);
        }
        self.state.places_left = self.state.places.load(Ordering::Relaxed);
        if is_scan {
            self.state.served.insert(database);
        }
    }

    /// Forgets what SCANs have found: the data is another one.
    pub(super) fn forget_scanned(&mut self) {
        if self.is_resumed {
            return;
        }
        self.state.scanned.clear();
        self.state.served.clear();
        self.state.places_left = self.state.places_for_scans;
    }

    /// Gives all of it up.
    pub(super) fn fail_all(&mut self, failure: &ScanFailure) {
        let everybody = self.state.collectors.clone();
        self.fail(&everybody, failure);
    }

    fn fail(&mut self, collectors: &BTreeSet<&'static str>, failure: &ScanFailure) {
        for collector in collectors {
            self.state.failures.entry(collector).or_insert_with(|| failure.clone());
        }
    }

    /// Asks about the keys that are named in full.
    pub(super) async fn ask_named<R: From<ScanReport> + Send>(
        &mut self,
        link: &mut Link<'_, R>,
        memory: &mut ScanMemory,
    ) {
        link.is_about_keys = true;
        let mut starts = 0;
        let databases = keys::databases(&self.task.config);
        let mut left: Vec<u32> = databases.into_iter().rev().collect();
        while let Some(database) = left.pop() {
            let tasks = self.tasks(memory, database, false);
            if tasks.is_empty() {
                continue;
            }
            let collectors = tasks.collectors();
            match self.ask(link, database, memory, tasks).await {
                Ok(tasks) => self.take(memory, database, tasks, false),
                Err(Stop::StartOver(_)) if starts < MOST_STARTS => {
                    starts += 1;
                    self.state.named.clear();
                    self.state.places_left = self.task.config.checked_keys;
                    left = keys::databases(&self.task.config).into_iter().rev().collect();
                }
                Err(Stop::StartOver(why)) => {
                    let failure = start_failure(&self.task.config.name, why, "keys cannot be looked at");
                    self.fail(&collectors, &failure);
                }
                Err(Stop::Failed(failure)) => {
                    self.fail_database(link.refused_database, memory, database, collectors, failure)
                }
            }
        }
        self.state.places_for_scans = self.state.places_left;
        link.is_about_keys = false;
    }

    /// Asks about everything that waits in one database.
    async fn ask<R: From<ScanReport> + Send>(
        &self,
        link: &mut Link<'_, R>,
        database: u32,
        memory: &ScanMemory,
        mut tasks: Tasks,
    ) -> Result<Tasks, Stop> {
        known_refusal(&self.task.config, memory, database, &[select_refusal(database)])?;
        link.select(database).await?;
        let mut pacer = Pacer::new(share_of(self.task));
        pace::find_floor(&mut pacer, link, database).await?;
        let mut lookups = Lookups::default();
        let outcome = loop {
            if let Err(stop) = tasks.ask_large(link, &mut pacer, &mut lookups).await {
                break Err(stop);
            }
            let mut batch = Vec::new();
            let asked = tasks.push(keys_per_batch(self.task.paced), &mut batch);
            if batch.is_empty() {
                break Ok(());
            }
            let (replies, round_trip) = match link.exchange(&batch).await {
                Ok(answer) => answer,
                Err(stop) => break Err(stop),
            };
            let (_, noted) = tasks.note(&asked, &replies);
            lookups.all += noted.all;
            lookups.misses += noted.misses;
            let rest = pacer.rest_after(round_trip, batch.len());
            pace::rest(&mut pacer, rest).await;
        };
        link.report(ScanReport::Progress(ScanProgress {
            database,
            keys_examined: 0,
            redis_seconds: pacer.used_seconds(),
            lookups: lookups.all,
            misses: lookups.misses,
        }))
        .await;
        outcome.map(|()| tasks)
    }

    /// Goes over the databases whose keys no pass for sessions has seen whole, until it is asked to pause.
    pub(super) async fn walk_rest<R: From<ScanReport> + Send>(
        &mut self,
        link: &mut Link<'_, R>,
        memory: &mut ScanMemory,
    ) {
        link.is_about_keys = true;
        let mut databases = keys::databases(&self.task.config);
        if keys::needs_every_database(&self.task.config) {
            match databases_with_keys(link).await {
                Ok(found) => databases.extend(found),
                Err(stop) => {
                    let failure = self.failure_of(stop);
                    self.fail_all(&failure);
                }
            }
        }
        // The one that was under way comes first: it may hold no keys any more.
        let under_way = self.paused.as_ref().map(|paused| paused.database);
        let others = databases.into_iter().filter(|database| Some(*database) != under_way);
        for database in under_way.into_iter().chain(others) {
            if !self.state.served.contains(&database) && !self.walk_database(link, memory, database).await {
                break;
            }
        }
        link.is_about_keys = false;
    }

    /// Goes over one database, anew where its data changes. Whether it came to an end, good or bad, rather than paused.
    async fn walk_database<R: From<ScanReport> + Send>(
        &mut self,
        link: &mut Link<'_, R>,
        memory: &mut ScanMemory,
        database: u32,
    ) -> bool {
        let mut starts = 0;
        loop {
            let (collectors, walked) = match self.paused.take() {
                Some(paused) => (
                    paused.collectors(),
                    self.walk(link, memory, database, Err(paused)).await,
                ),
                None => {
                    let tasks = self.scan_tasks(memory, database);
                    if tasks.is_empty() {
                        return true;
                    }
                    (tasks.collectors(), self.walk(link, memory, database, Ok(tasks)).await)
                }
            };
            match walked {
                Ok(Ok(tasks)) => {
                    self.take(memory, database, tasks, true);
                    return true;
                }
                Ok(Err(paused)) => {
                    self.paused = Some(paused);
                    return false;
                }
                Err(Stop::StartOver(why)) if starts + 1 < MOST_STARTS => {
                    starts += 1;
                    tracing::info!(instance = %self.task.config.name, why, "a scan of keys begins anew");
                }
                Err(stop) => {
                    let failure = self.failure_of(stop);
                    self.fail_database(link.refused_database, memory, database, collectors, failure);
                    return true;
                }
            }
        }
    }

    /// Gives a database up. One that is refused keeps nobody from showing what others hold.
    fn fail_database(
        &mut self,
        not_selected: Option<u32>,
        memory: &mut ScanMemory,
        database: u32,
        collectors: BTreeSet<&'static str>,
        failure: ScanFailure,
    ) {
        let is_denied = failure.is_denied();
        let is_not_selected = not_selected == Some(database);
        let (name, reason) = match (is_not_selected, is_denied) {
            (false, false) => {
                self.fail(&collectors, &failure);
                return;
            }
            (false, true) => (scan_refusal(database), Unavailable::Denied),
            (true, true) => (select_refusal(database), Unavailable::Denied),
            // `ERR DB index is out of range`
            (true, false) => (select_refusal(database), Unavailable::Unsupported),
        };
        // What is known already is found out anew when it is forgotten, not later with each pass.
        let known_for = [scan_refusal(database), select_refusal(database)];
        let known = known_for
            .into_iter()
            .find_map(|name| Some((memory.refusal(&name)?, name)));
        let (reason, name) = known.unwrap_or((reason, name));
        memory.refuse(&name, reason, Instant::now());
        for collector in collectors {
            self.state
                .refused
                .entry((database, collector))
                .or_insert_with(|| (name.clone(), reason, failure.clone()));
        }
    }

    fn failure_of(&self, stop: Stop) -> ScanFailure {
        match stop {
            Stop::Failed(failure) => failure,
            Stop::StartOver(why) => start_failure(&self.task.config.name, why, "keys cannot be looked at"),
        }
    }

    /// Goes over one database for its tasks alone, or on with a walk that has paused.
    async fn walk<R: From<ScanReport> + Send>(
        &self,
        link: &mut Link<'_, R>,
        memory: &mut ScanMemory,
        database: u32,
        work: Result<Tasks, PausedWalk>,
    ) -> Result<Result<Tasks, PausedWalk>, Stop> {
        let config = &self.task.config;
        known_refusal(
            config,
            memory,
            database,
            &[scan_refusal(database), select_refusal(database)],
        )?;
        link.select(database).await?;
        let mut refusals = StateRefusals {
            size: memory.refusal("dbsize"),
            info: link.info_refusal,
        };
        let before = state_of(link, &mut refusals).await?;
        let share = share_of(self.task);
        let (walk, before) = match work {
            Ok(tasks) => {
                let limits = PassLimits {
                    count: if share > 0.0 { PACED_COUNT } else { UNPACED_COUNT },
                    remembered_keys: 0,
                    label_values: 0,
                };
                let keys = DatabasePass::new(Vec::new(), Extent::Whole, &limits);
                let walk = Walk::new(config, self.is_own, share, database, keys, Lookups::default(), tasks);
                (walk, before)
            }
            Err(paused) => Walk::resume(config, self.is_own, share, paused, before),
        };
        // A cursor that nobody can say whose it is is of no use to another connection.
        let pause = self.task.pause.clone().filter(|_| link.identity.run_id.is_some());
        let walk = walk.pausing_for(pause);
        let walked = walk.run_or_pause(link, before, &mut refusals).await?;
        if let Some(reason) = refusals.size {
            memory.refuse("dbsize", reason, Instant::now());
        }
        Ok(walked.map(|walked| walked.tasks))
    }

    /// What became of all of it, or how far it has come where it has paused: a later pass can go on with that.
    pub(super) fn end_or_pause(mut self, identity: &Identity) -> Result<KeyEnd, Box<PausedWork>> {
        match (self.paused.take(), identity.run_id.clone()) {
            (Some(walk), Some(run_id)) => Err(Box::new(PausedWork {
                run_id,
                is_own: self.is_own,
                state: self.state,
                walk,
            })),
            _ => Ok(self.end(None)),
        }
    }

    /// What became of all of it. `failure` is one that ended the pass before it had begun.
    pub(super) fn end(mut self, failure: Option<&ScanFailure>) -> KeyEnd {
        let mut end = KeyEnd {
            duration: self.state.began.elapsed(),
            ..KeyEnd::default()
        };
        for collector in self.state.collectors {
            end.collectors.insert(collector, Ok(KeyFindings::default()));
        }
        let mut successful: BTreeSet<&'static str> = BTreeSet::new();
        for (collector, findings) in self.state.named.into_iter().chain(self.state.scanned) {
            successful.insert(collector);
            if let Some(Ok(known)) = end.collectors.get_mut(collector) {
                known.add(findings);
            }
        }
        for ((_, collector), (name, reason, failure)) in self.state.refused {
            // Where nothing else was looked at, this is all there is to say.
            if !successful.contains(collector) {
                self.state.failures.entry(collector).or_insert(failure);
            } else if let Some(Ok(findings)) = end.collectors.get_mut(collector) {
                findings.missing.push((name, reason));
            }
        }
        for (collector, result) in &mut end.collectors {
            if let Some(failure) = failure.or_else(|| self.state.failures.get(collector)) {
                *result = Err(ScanFailure {
                    at_replica: !self.is_own,
                    ..failure.clone()
                });
            }
        }
        end
    }
}

/// How it is remembered that a database may not be scanned. No command has a space in its name.
fn scan_refusal(database: u32) -> String {
    format!("scan {database}")
}

/// The same of a database that the user may not select, or that is not there.
fn select_refusal(database: u32) -> String {
    format!("select {database}")
}

/// Why one of these is known to be refused.
fn known_refusal(config: &InstanceConfig, memory: &ScanMemory, database: u32, names: &[String]) -> Result<(), Stop> {
    let known = |name: &String| memory.refusal(name).map(|reason| (name.clone(), reason));
    let Some((name, reason)) = names.iter().find_map(known) else {
        return Ok(());
    };
    // In the words of the refusal itself where that is certain, so that what is known is not news.
    let message = match (name.split(' ').next(), reason) {
        (Some(command), Unavailable::Denied) => format!(
            "{}: {} was refused with NOPERM; keys in database {database} cannot be looked at",
            config.name,
            command.to_uppercase()
        ),
        _ => format!(
            "{}: database {database} is {}; its keys cannot be looked at",
            config.name,
            reason.as_label()
        ),
    };
    Err(Stop::failed(RedisError {
        reason: Reason::Denied,
        message,
    }))
}

/// Keys that one batch asks about.
const fn keys_per_batch(is_paced: bool) -> usize {
    if is_paced { PACED_KEYS } else { UNPACED_KEYS }
}

/// The databases that hold keys, by `INFO keyspace`; none where the user may not run it.
async fn databases_with_keys<R: From<ScanReport> + Send>(link: &mut Link<'_, R>) -> Result<Vec<u32>, Stop> {
    if link.info_refusal.is_some() {
        return Ok(Vec::new());
    }
    let (replies, _) = link.exchange(&[Command::new(1, &["INFO", "keyspace"])]).await?;
    let Some(text) = replies.first().and_then(Reply::as_bytes) else {
        return Ok(Vec::new());
    };
    let info = Info::parse(text);
    let databases = info.with_prefix("db").filter_map(|field| field.name.parse().ok());
    Ok(databases.collect())
}

#[cfg(test)]
mod tests;
