//! Streams, their consumer groups and the consumers: the pure half of collector `streams`.
//!
//! Streams are found by a glob among the keys that the one SCAN brings, or named in full. Each is asked for its type first: XINFO of
//! another type or of no key would count as an error of the server, which is what `redis_errors_total` is watched for.

pub mod reading;

use super::label;
use super::left_alone::{LeftAlone, Why};
use super::seen::Seen;
use super::{CollectorTask, KeyContext, KeyFindings, KeyLookups, KeyTask, Trust, is_elsewhere, was_looked_up};
use crate::collectors::streams as metrics;
use crate::config::optional::StreamsConfig;
use crate::metric::{Descriptor, Label, Samples};
use crate::redis::{Command, Reply, Unavailable, unavailability};
use crate::sessions::details::denies_command;
use crate::sessions::glob::Glob;
use reading::{ConsumerInfo, GroupInfo, StreamInfo};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Name of the collector.
pub const COLLECTOR: &str = "streams";

/// Most streams of one database that are shown: up to nine series each. Streams are made by programmers, a key per kind of event; a
/// thousand means one per user, whose series nobody reads.
pub const MAX_STREAMS: usize = 1000;

/// Most groups of one stream that are shown: each stands for an application that reads it.
pub const MAX_GROUPS_OF_STREAM: usize = 100;

/// Most consumers of one group that are shown, those with the most messages pending. Each stands for a process that reads; where names are
/// made anew at every start, dead ones pile up, and this is what bounds them.
pub const MAX_CONSUMERS_OF_GROUP: usize = 100;

/// Most groups of one database in all, five series each.
pub const MAX_GROUPS: usize = 10_000;

/// Most consumers of one database in all, two series each.
pub const MAX_CONSUMERS: usize = 10_000;

/// XINFO STREAM of one exchange. Its reply holds the first and the last entry whole, which may be large: four replies with entries of 8 MB
/// are what one exchange takes (64 MiB).
const MAX_ENTRIES_AT_ONCE: usize = 4;

/// Streams of one pass whose replies may be more than an exchange takes, by size or by time. Each of them costs a connection and up to
/// `timeout`, and is then left alone; those behind them are counted as left out.
const MOST_TOO_LARGE: u32 = 3;

/// The limits in words, since no key of the file changes them.
pub fn limits_in_words() -> String {
    format!(
        "one of the limits of streams ({MAX_STREAMS} streams, {MAX_GROUPS} groups and {MAX_CONSUMERS} consumers of a database, {MAX_GROUPS_OF_STREAM} groups of a stream, {MAX_CONSUMERS_OF_GROUP} consumers of a group)"
    )
}

/// Denied keys after which keys that globs find are no more asked about: each denial is written to ACL LOG, which holds 128.
const MOST_DENIALS: u32 = 3;

/// A command of this task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Ask {
    Type,
    Stream,
    Groups,
    Consumers,
}

impl Ask {
    const ALL: [Self; 4] = [Self::Type, Self::Stream, Self::Groups, Self::Consumers];

    /// The name as INFO commandstats writes it.
    const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Stream => "xinfo|stream",
            Self::Groups => "xinfo|groups",
            Self::Consumers => "xinfo|consumers",
        }
    }
}

/// The commands of this task as INFO commandstats writes them, the one without which nothing is shown first.
pub fn commands() -> [&'static str; 4] {
    [Ask::Stream, Ask::Groups, Ask::Consumers, Ask::Type].map(Ask::name)
}

/// A key that may be a stream.
#[derive(Debug, Clone)]
struct Key {
    name: Vec<u8>,
    /// Whether the configuration names it in full.
    is_named: bool,
}

/// One question.
#[derive(Debug, Clone)]
enum Question {
    /// Whether the key is a stream. A named one is asked about even where TYPE is denied.
    Type(Key),
    /// What the stream of this index is like.
    Stream(usize),
    /// Its groups.
    Groups(usize),
    /// The consumers of one of its groups.
    Consumers { stream: usize, group: usize },
}

impl Question {
    fn ask(&self) -> Ask {
        match self {
            Self::Type(_) => Ask::Type,
            Self::Stream(_) => Ask::Stream,
            Self::Groups(_) => Ask::Groups,
            Self::Consumers { .. } => Ask::Consumers,
        }
    }
}

/// A group and its consumers.
#[derive(Debug)]
struct Group {
    info: GroupInfo,
    consumers: Vec<ConsumerInfo>,
    /// It was destroyed while the stream was asked about.
    is_gone: bool,
}

/// A stream as far as it is known.
#[derive(Debug)]
struct Stream {
    key: Key,
    info: Option<StreamInfo>,
    groups: Vec<Group>,
}

/// Adds the task of one database, if streams are named there: those named in full, or those that a SCAN finds.
pub(super) fn push_tasks(context: &KeyContext<'_>, tasks: &mut Vec<CollectorTask>) {
    if !context.is_on(COLLECTOR) {
        return;
    }
    let remembered = context.config.scan_remembered_keys;
    let streams = &context.config.optional.streams;
    let mut task = Streams::new(streams, context.database, remembered, context.by_scan, context.refused);
    task.left_alone = context.left_alone.clone();
    if !task.is_idle() {
        tasks.push(CollectorTask {
            collector: COLLECTOR,
            task: Box::new(task),
        });
    }
}

/// The task of one database.
#[derive(Debug)]
pub struct Streams {
    globs: Vec<Glob>,
    /// Label values of the streams that are named in full, which another task shows.
    others: BTreeSet<String>,
    shows_consumers: bool,
    /// Keys that matched, so that one that SCAN returns twice, or that is named too, is asked about once.
    seen: Seen,
    streams: Vec<Stream>,
    groups: usize,
    consumers: usize,
    dropped: u64,
    todo: VecDeque<Question>,
    asked: Vec<Question>,
    /// Streams to ask XINFO STREAM about, by their indexes.
    large: VecDeque<usize>,
    /// How many of them go one by one, after they have failed together.
    singly: usize,
    /// How many were too large.
    too_large: u32,
    left_alone: LeftAlone,
    /// How many commands of a kind one batch may hold.
    trust: BTreeMap<Ask, Trust>,
    refused: BTreeMap<Ask, Unavailable>,
    /// How denied keys are remembered.
    database: u32,
    /// Keys found by a glob that the user may not ask about.
    denials: u32,
    /// What this pass found not to be had, by name.
    missing: BTreeMap<String, Unavailable>,
}

impl Streams {
    /// A task for one pass over database `database`: for the streams that globs find where `by_scan`, else for those named in full.
    /// `remembered_keys` is `limits.scan_remembered_keys`; `refused` says why a command, named as in commandstats, or what a former pass
    /// named, is known not to be had.
    pub fn new(
        config: &StreamsConfig,
        database: u32,
        remembered_keys: usize,
        by_scan: bool,
        refused: impl Fn(&str) -> Option<Unavailable>,
    ) -> Self {
        let patterns = config.patterns.iter();
        let patterns = patterns.filter(|pattern| pattern.databases.contains(&database));
        let mut task = Self {
            globs: patterns.map(|pattern| Glob::new(pattern.glob.as_bytes())).collect(),
            others: BTreeSet::new(),
            shows_consumers: config.consumers,
            seen: Seen::new(remembered_keys),
            streams: Vec::new(),
            groups: 0,
            consumers: 0,
            dropped: 0,
            todo: VecDeque::new(),
            asked: Vec::new(),
            large: VecDeque::new(),
            singly: 0,
            too_large: 0,
            left_alone: LeftAlone::default(),
            trust: BTreeMap::new(),
            refused: BTreeMap::new(),
            database,
            denials: 0,
            missing: BTreeMap::new(),
        };
        let has_globs = !task.globs.is_empty();
        for ask in Ask::ALL {
            if let Some(reason) = refused(ask.name()) {
                task.refuse(ask, reason);
            }
        }
        let refused_keys = refused(&task.refused_keys());
        if !by_scan || refused_keys.is_some() || !task.may_find() {
            task.globs.clear();
        }
        // A task that would find nothing is no reason to scan; the one that scans nothing says why for both.
        if let Some(reason) = refused_keys.filter(|_| has_globs && !by_scan) {
            task.missing.insert(task.refused_keys(), reason);
        }
        let mut has_named = false;
        for named in config.single.iter().filter(|named| named.database == Some(database)) {
            let name = named.key.as_bytes().to_vec();
            task.seen.is_new(&name);
            has_named = true;
            let key = Key { name, is_named: true };
            let name = task.refused_key(&key);
            if by_scan {
                task.others.insert(label::shown(&key.name));
            } else if let Some(reason) = refused(&name) {
                task.missing.insert(name, reason);
            } else {
                task.todo.push_back(Question::Type(key));
            }
        }
        if !has_globs && !has_named {
            task.missing.clear();
        }
        task.skip_refused();
        task
    }

    /// Whether the task has nothing to do, and nothing to say.
    pub fn is_idle(&self) -> bool {
        self.globs.is_empty() && self.todo.is_empty() && self.missing.is_empty()
    }

    /// How it is remembered that the user may not ask about keys that globs find here. No command has a space in its name.
    fn refused_keys(&self) -> String {
        format!("{COLLECTOR} {}", self.database)
    }

    /// The same of one key that is named in full.
    fn refused_key(&self, key: &Key) -> String {
        format!("{COLLECTOR} {} {}", self.database, label::shown(&key.name))
    }

    /// Whether a key that a glob finds may be asked about.
    fn may_find(&self) -> bool {
        !self.refused.contains_key(&Ask::Type) && !self.refused.contains_key(&Ask::Stream)
    }

    fn refuse(&mut self, ask: Ask, reason: Unavailable) {
        self.refused.insert(ask, reason);
        if ask != Ask::Consumers || self.shows_consumers {
            self.missing.insert(ask.name().to_owned(), reason);
        }
    }

    /// Takes away the questions whose command is not to be had.
    fn skip_refused(&mut self) {
        if self.refused.is_empty() {
            return;
        }
        if self.refused.contains_key(&Ask::Stream) {
            self.large.clear();
        }
        for question in std::mem::take(&mut self.todo) {
            match question {
                question if !self.refused.contains_key(&question.ask()) => self.todo.push_back(question),
                // Whoever names a key says that it is a stream.
                Question::Type(key) if key.is_named && !self.refused.contains_key(&Ask::Stream) => self.admit(key),
                _ => {}
            }
        }
    }

    /// How many commands of a kind one batch may hold.
    fn trusted(&self, ask: Ask) -> usize {
        self.trust.get(&ask).unwrap_or(&Trust::NONE).0
    }

    /// A key that is a stream.
    fn admit(&mut self, key: Key) {
        let is_too_large = || self.left_alone.why(self.database, &key.name) == Some(Why::TooLarge);
        if self.streams.len() >= MAX_STREAMS || self.too_large >= MOST_TOO_LARGE || is_too_large() {
            self.dropped += 1;
            return;
        }
        self.large.push_back(self.streams.len());
        self.streams.push(Stream {
            key,
            info: None,
            groups: Vec::new(),
        });
    }

    fn command(&self, question: &Question) -> Command {
        let key = |stream: &usize| {
            let stream = self.streams.get(*stream);
            stream.map(|stream| stream.key.name.clone()).unwrap_or_default()
        };
        match question {
            Question::Type(key) => Command::new(1, &["TYPE"]).arg(key.name.clone()),
            Question::Stream(stream) => Command::new(2, &["XINFO", "STREAM"]).arg(key(stream)),
            Question::Groups(stream) => Command::new(2, &["XINFO", "GROUPS"]).arg(key(stream)),
            Question::Consumers { stream, group } => {
                let name = self.streams.get(*stream).and_then(|stream| stream.groups.get(*group));
                let name = name.map(|group| group.info.name.clone()).unwrap_or_default();
                Command::new(2, &["XINFO", "CONSUMERS"]).arg(key(stream)).arg(name)
            }
        }
    }

    /// Takes in one reply that is no error.
    fn read(&mut self, question: Question, reply: &Reply) {
        match question {
            Question::Type(key) => {
                if reply.as_bytes() == Some(b"stream") {
                    self.admit(key);
                }
            }
            Question::Stream(number) => {
                let info = reading::stream(reply);
                let has_groups = info.as_ref().is_some_and(|info| info.groups != Some(0));
                if has_groups {
                    self.todo.push_back(Question::Groups(number));
                }
                if let Some(stream) = self.streams.get_mut(number) {
                    stream.info = info;
                }
            }
            Question::Groups(number) => match reading::groups(reply) {
                Some(groups) => self.read_groups(number, groups),
                None => self.lose(number),
            },
            Question::Consumers { stream, group } => match reading::consumers(reply) {
                Some(consumers) => self.read_consumers(stream, group, consumers),
                None => self.lose(stream),
            },
        }
    }

    fn read_groups(&mut self, number: usize, mut groups: Vec<GroupInfo>) {
        let room = MAX_GROUPS_OF_STREAM.min(MAX_GROUPS.saturating_sub(self.groups));
        self.dropped += groups.len().saturating_sub(room) as u64;
        groups.truncate(room);
        self.groups += groups.len();
        let Some(stream) = self.streams.get_mut(number) else {
            return;
        };
        for (group, info) in groups.into_iter().enumerate() {
            if self.shows_consumers && info.consumers != Some(0) {
                self.todo.push_back(Question::Consumers { stream: number, group });
            }
            stream.groups.push(Group {
                info,
                consumers: Vec::new(),
                is_gone: false,
            });
        }
    }

    fn read_consumers(&mut self, stream: usize, group: usize, mut consumers: Vec<ConsumerInfo>) {
        let room = MAX_CONSUMERS_OF_GROUP.min(MAX_CONSUMERS.saturating_sub(self.consumers));
        if consumers.len() > room {
            self.dropped += (consumers.len() - room) as u64;
            consumers.sort_by_key(|consumer| Reverse(consumer.pending));
            consumers.truncate(room);
        }
        self.consumers += consumers.len();
        let group = self
            .streams
            .get_mut(stream)
            .and_then(|stream| stream.groups.get_mut(group));
        if let Some(group) = group {
            group.consumers = consumers;
        }
    }

    /// The stream is no more what it was when it was first asked about.
    fn lose(&mut self, number: usize) {
        if let Some(stream) = self.streams.get_mut(number) {
            stream.info = None;
        }
    }

    /// Takes in an error.
    fn fail(&mut self, question: &Question, error: &Reply) {
        let ask = question.ask();
        if let Some(reason) = unavailability(error) {
            if reason == Unavailable::Unsupported || denies_command(error) {
                self.refuse(ask, reason);
            } else {
                self.deny(question, reason);
            }
            return;
        }
        match question {
            Question::Type(key) => {
                if is_elsewhere(error) {
                    self.left_alone.note(self.database, &key.name, Why::Elsewhere);
                }
            }
            Question::Consumers { stream, group } if error.error_code() == Some("NOGROUP") => {
                let stream = self.streams.get_mut(*stream);
                if let Some(group) = stream.and_then(|stream| stream.groups.get_mut(*group)) {
                    group.is_gone = true;
                }
            }
            Question::Stream(number) | Question::Groups(number) | Question::Consumers { stream: number, .. } => {
                self.lose(*number);
            }
        }
    }

    /// The user may not ask about this key.
    fn deny(&mut self, question: &Question, reason: Unavailable) {
        let key = match question {
            Question::Type(key) => Some(key),
            Question::Stream(number) | Question::Groups(number) | Question::Consumers { stream: number, .. } => {
                self.streams.get(*number).map(|stream| &stream.key)
            }
        };
        let Some(key) = key else { return };
        if key.is_named {
            self.missing.insert(self.refused_key(key), reason);
            return;
        }
        self.denials += 1;
        if self.denials == MOST_DENIALS {
            self.missing.insert(self.refused_keys(), reason);
            self.globs.clear();
            self.todo
                .retain(|question| !matches!(question, Question::Type(key) if !key.is_named));
        }
    }
}

impl KeyTask for Streams {
    fn offer(&mut self, key: &[u8]) {
        if self.may_find() && self.globs.iter().any(|glob| glob.matches(key)) && self.seen.is_new(key) {
            let name = key.to_vec();
            self.todo.push_back(Question::Type(Key { name, is_named: false }));
        }
    }

    fn needs_scan(&self) -> bool {
        !self.globs.is_empty()
    }

    fn waiting(&self) -> usize {
        self.todo.len() + self.large.len()
    }

    fn push_commands(&mut self, most: usize, commands: &mut Vec<Command>) {
        self.asked.clear();
        let mut pushed: BTreeMap<Ask, usize> = BTreeMap::new();
        while self.asked.len() < most
            && let Some(question) = self.todo.pop_front()
        {
            if let Question::Type(key) = &question
                && self.left_alone.why(self.database, &key.name) == Some(Why::Elsewhere)
            {
                continue;
            }
            let ask = question.ask();
            let count = pushed.entry(ask).or_default();
            if *count >= self.trusted(ask) {
                self.todo.push_front(question);
                break;
            }
            *count += 1;
            commands.push(self.command(&question));
            self.asked.push(question);
        }
    }

    fn push_large(&mut self, commands: &mut Vec<Command>) {
        self.asked.clear();
        let mut most = MAX_ENTRIES_AT_ONCE.min(self.trusted(Ask::Stream));
        if self.singly > 0 {
            self.singly -= 1;
            most = 1;
        }
        while self.asked.len() < most
            && let Some(number) = self.large.pop_front()
        {
            let question = Question::Stream(number);
            commands.push(self.command(&question));
            self.asked.push(question);
        }
    }

    fn give_up_large(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        let numbers = asked.iter().filter_map(|question| match question {
            Question::Stream(number) => Some(*number),
            _ => None,
        });
        let numbers: Vec<usize> = numbers.collect();
        if let [number] = numbers[..] {
            if let Some(stream) = self.streams.get(number) {
                self.left_alone.note(self.database, &stream.key.name, Why::TooLarge);
            }
            self.dropped += 1;
            self.too_large += 1;
            if self.too_large >= MOST_TOO_LARGE {
                self.dropped += std::mem::take(&mut self.large).len() as u64;
            }
        } else {
            self.singly = numbers.len();
            numbers
                .into_iter()
                .rev()
                .for_each(|number| self.large.push_front(number));
        }
    }

    fn note(&mut self, replies: &[Reply]) -> KeyLookups {
        let mut lookups = KeyLookups::default();
        let mut denied: BTreeMap<Ask, bool> = BTreeMap::new();
        for (question, reply) in std::mem::take(&mut self.asked).into_iter().zip(replies) {
            let ask = question.ask();
            *denied.entry(ask).or_default() |= unavailability(reply) == Some(Unavailable::Denied);
            let (is_lookup, is_miss) = looked_up(ask, reply);
            lookups.all += u64::from(is_lookup);
            lookups.misses += u64::from(is_miss);
            match reply {
                error @ Reply::Error(_) => {
                    self.fail(&question, error);
                    // A named stream is tried without its type.
                    if ask == Ask::Type && self.refused.contains_key(&ask) {
                        self.todo.push_front(question);
                    }
                }
                reply => self.read(question, reply),
            }
        }
        for (ask, is_denied) in denied {
            self.trust.entry(ask).or_insert(Trust::NONE).learn(is_denied);
        }
        self.skip_refused();
        lookups
    }

    fn finish(mut self: Box<Self>, database: u32) -> KeyFindings {
        // However few they are: they would be asked about in every pass.
        if self.denials > 0 && self.streams.iter().all(|stream| stream.key.is_named) {
            self.missing.insert(self.refused_keys(), Unavailable::Denied);
        }
        let mut samples = Samples::new();
        let alike = push_streams(&mut samples, &self.streams, &self.others, &label::of_database(database));
        KeyFindings {
            samples,
            dropped: self.dropped.saturating_add(alike),
            missing: self.missing.into_iter().collect(),
        }
    }
}

/// Whether the server counts a command as a lookup of its keyspace, and as a miss. All four do unless they are refused before they run
/// (Redis 7.0 and 8.0, Valkey 8.1 and 9.1).
fn looked_up(ask: Ask, reply: &Reply) -> (bool, bool) {
    match reply {
        Reply::Error(text) => {
            let is_lookup = was_looked_up(reply);
            (is_lookup, is_lookup && text.starts_with(b"ERR no such key"))
        }
        reply => (true, ask == Ask::Type && reply.as_bytes() == Some(b"none")),
    }
}

/// A value of a stream, with its metric.
type Row<T> = (&'static Descriptor, fn(&T) -> Option<u64>);

/// Values of XINFO STREAM.
const STREAM_ROWS: [Row<StreamInfo>; 9] = [
    (&metrics::LENGTH, |info| info.length),
    (&metrics::RADIX_TREE_KEYS, |info| info.radix_tree_keys),
    (&metrics::RADIX_TREE_NODES, |info| info.radix_tree_nodes),
    (&metrics::GROUPS, |info| info.groups),
    (&metrics::ENTRIES_ADDED, |info| info.entries_added),
    (&metrics::LAST_GENERATED_ID, |info| info.last_generated_id),
    (&metrics::MAX_DELETED_ENTRY_ID, |info| info.max_deleted_entry_id),
    (&metrics::FIRST_ENTRY_ID, |info| info.first_entry_id),
    (&metrics::LAST_ENTRY_ID, |info| info.last_entry_id),
];

/// Values of XINFO GROUPS.
const GROUP_ROWS: [Row<GroupInfo>; 5] = [
    (&metrics::GROUP_CONSUMERS, |info| info.consumers),
    (&metrics::GROUP_PENDING, |info| info.pending),
    (&metrics::GROUP_LAST_DELIVERED_ID, |info| info.last_delivered_id),
    (&metrics::GROUP_ENTRIES_READ, |info| info.entries_read),
    (&metrics::GROUP_LAG, |info| info.lag),
];

/// Adds the samples. Two names may look the same once what is no text is written as text, or once they are cut: the first is shown, and
/// how many are not is given back.
fn push_streams(samples: &mut Samples, streams: &[Stream], others: &BTreeSet<String>, database: &str) -> u64 {
    let mut alike = 0;
    let mut shown = others.clone();
    let known: Vec<(String, &StreamInfo, &[Group])> = streams
        .iter()
        .filter_map(|stream| {
            Some((
                label::shown(&stream.key.name),
                stream.info.as_ref()?,
                &stream.groups[..],
            ))
        })
        .filter(|(name, _, _)| {
            let is_new = shown.insert(name.clone());
            alike += u64::from(!is_new);
            is_new
        })
        .collect();
    for (descriptor, read) in STREAM_ROWS {
        for (name, info, _) in &known {
            if let Some(value) = read(info) {
                samples.push_with(descriptor, labels(database, name, &[]), value as f64);
            }
        }
    }
    for (name, _, groups) in &known {
        let mut shown: BTreeSet<String> = BTreeSet::new();
        for group in groups.iter().filter(|group| !group.is_gone) {
            let group_name = label::shown(&group.info.name);
            if !shown.insert(group_name.clone()) {
                alike += 1;
                continue;
            }
            for (descriptor, read) in GROUP_ROWS {
                if let Some(value) = read(&group.info) {
                    let labels = labels(database, name, &[("group", &group_name)]);
                    samples.push_with(descriptor, labels, value as f64);
                }
            }
            alike += push_consumers(samples, group, |consumer| {
                labels(database, name, &[("group", &group_name), ("consumer", consumer)])
            });
        }
    }
    alike
}

fn push_consumers(samples: &mut Samples, group: &Group, labels: impl Fn(&str) -> Vec<Label>) -> u64 {
    let mut alike = 0;
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for consumer in &group.consumers {
        let name = label::shown(&consumer.name);
        if !shown.insert(name.clone()) {
            alike += 1;
            continue;
        }
        if let Some(pending) = consumer.pending {
            samples.push_with(&metrics::CONSUMER_PENDING, labels(&name), pending as f64);
        }
        if let Some(idle) = consumer.idle_milliseconds {
            samples.push_with(&metrics::CONSUMER_IDLE, labels(&name), idle as f64 / 1000.0);
        }
    }
    alike
}

fn labels(database: &str, stream: &str, more: &[(&'static str, &str)]) -> Vec<Label> {
    let own = [("db", database), ("stream", stream)];
    let all = own.iter().chain(more);
    all.map(|(name, value)| (*name, (*value).to_owned().into())).collect()
}

#[cfg(test)]
mod tests;
