//! What is asked about single keys: first the type and the memory, then the size that belongs to the type, a few keys at a time.
//!
//! A string may be a HyperLogLog, whose size is its estimate. The server says so only by answering PFCOUNT, and with an error else, which
//! would count in its statistics for each string. Its first bytes tell as well, so that PFCOUNT goes to HyperLogLogs alone.

use super::label::{MAX_LABEL_BYTES, of_database, shown};
use super::left_alone::{LeftAlone, Why};
use super::{KeyContext, KeyFindings, KeyLookups, Trust, is_elsewhere, was_looked_up};
use crate::collectors::check_keys::{KEY_MEMORY, KEY_SIZE};
use crate::collectors::check_single_keys::{KEY_VALUE, KEY_VALUE_AS_STRING};
use crate::redis::{Command, Reply, Unavailable, unavailability};
use crate::sessions::details::denies_command;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How every HyperLogLog begins (since Redis 2.8.9); behind it stands its encoding, which is 0 or 1.
const HYPERLOGLOG: &[u8] = b"HYLL";

/// Index of the last byte of a string that is read to know whether it is a HyperLogLog: its encoding.
const LAST_BYTE_OF_HEAD: usize = HYPERLOGLOG.len();

/// Index of the last byte of a value that is read to be shown: one more than a label value holds, so that what is longer is seen.
const LAST_BYTE_OF_VALUE: usize = MAX_LABEL_BYTES;

/// Denied keys after which no more keys of the same group are asked about: each denial is written to ACL LOG, which holds 128.
const MOST_DENIALS: u32 = 3;

/// One question about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Type,
    Memory,
    /// The command that tells the size of a type.
    Size(&'static str),
    /// The first bytes of a string, or as many as are shown.
    Head,
    /// The estimate of a HyperLogLog.
    Estimate,
    /// Whether a size of 0 is one of a key that is still there.
    StillThere,
}

impl Question {
    /// Name of the command as in commandstats.
    const fn command(self) -> &'static str {
        match self {
            Self::Type | Self::StillThere => "type",
            Self::Memory => "memory|usage",
            Self::Size(command) => command,
            Self::Head => "getrange",
            Self::Estimate => "pfcount",
        }
    }

    /// Whether the server counts it among the hits and misses of its keyspace. Measured with Redis 7.0 and 8.0 and Valkey 9.1.
    const fn is_lookup(self) -> bool {
        !matches!(self, Self::Memory)
    }
}

/// The command that tells the size of a key, by the answer of TYPE; `None` for types without one (those of modules).
fn size_command(kind: &[u8]) -> Option<&'static str> {
    Some(match kind {
        b"string" => "strlen",
        b"list" => "llen",
        b"set" => "scard",
        b"zset" => "zcard",
        b"hash" => "hlen",
        b"stream" => "xlen",
        b"array" => "arcount",
        _ => return None,
    })
}

/// The command as it is sent.
fn spelt(command: &'static str) -> &'static str {
    match command {
        "strlen" => "STRLEN",
        "llen" => "LLEN",
        "scard" => "SCARD",
        "zcard" => "ZCARD",
        "hlen" => "HLEN",
        "xlen" => "XLEN",
        "arcount" => "ARCOUNT",
        other => other,
    }
}

/// Keys that belong together: those of one pattern, or one that is named in full.
#[derive(Debug)]
struct Group {
    /// How a denial of its keys is remembered.
    name: String,
    /// Denials so far.
    denials: u32,
    /// Whether a question about one of its keys was answered.
    is_answered: bool,
    trust: Trust,
    /// Keys of the last batch, and whether one of them was denied.
    asked: usize,
    is_denied: bool,
    /// Whether its values may be shown.
    exports: bool,
    /// Why its keys are not asked about.
    refused: Option<Unavailable>,
}

/// A key on its way through the questions.
#[derive(Debug)]
struct Key {
    name: Box<[u8]>,
    group: usize,
    step: Step,
    /// What was asked in the last batch.
    asked: [Option<Question>; 2],
    found: Found,
}

/// What is to be asked about a key next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Type and memory.
    First,
    /// The size.
    Size(&'static str),
    /// The estimate of a HyperLogLog.
    Estimate,
    /// Whether the size of 0 means that it is gone.
    StillThere,
}

/// What is known of a key.
#[derive(Debug, Default)]
struct Found {
    memory: Option<u64>,
    size: Option<u64>,
    value: Option<Box<[u8]>>,
}

/// Asks about keys and keeps what is found.
#[derive(Debug)]
pub(super) struct Inspector {
    collector: &'static str,
    groups: Vec<Group>,
    /// Commands that are not to be had, by name.
    refused: BTreeMap<&'static str, Unavailable>,
    /// Those that were needed.
    lacking: BTreeSet<&'static str>,
    /// Keys of which nothing was asked.
    fresh: VecDeque<Key>,
    /// Keys that are asked once more.
    begun: VecDeque<Key>,
    asked: Vec<Key>,
    database: u32,
    left_alone: LeftAlone,
    /// The names of keys as labels, with what is known of them.
    found: BTreeMap<String, Found>,
    /// Names that another task shows, as labels.
    others: BTreeSet<String>,
    /// Keys whose names look like that of another one, as labels.
    alike: u64,
}

/// Every command that may be asked for.
const COMMANDS: [&str; 11] = [
    "type",
    "memory|usage",
    "getrange",
    "pfcount",
    "strlen",
    "llen",
    "scard",
    "zcard",
    "hlen",
    "xlen",
    "arcount",
];

impl Inspector {
    /// An inspector that asks nothing yet.
    pub(super) fn new(collector: &'static str, context: &KeyContext<'_>) -> Self {
        let refused = COMMANDS
            .into_iter()
            .filter_map(|command| Some((command, (context.refused)(command)?)));
        Self {
            collector,
            groups: Vec::new(),
            refused: refused.collect(),
            lacking: BTreeSet::new(),
            fresh: VecDeque::new(),
            begun: VecDeque::new(),
            asked: Vec::new(),
            database: context.database,
            left_alone: context.left_alone.clone(),
            found: BTreeMap::new(),
            others: BTreeSet::new(),
            alike: 0,
        }
    }

    /// Makes a group of keys; gives back its number. `text` is what the file says: a pattern, or a key.
    pub(super) fn add_group(&mut self, context: &KeyContext<'_>, text: &str, exports: bool) -> usize {
        // No command has a space in its name.
        let name = format!("{} {} {text}", self.collector, context.database);
        self.groups.push(Group {
            refused: (context.refused)(&name),
            name,
            denials: 0,
            is_answered: false,
            trust: Trust::NONE,
            asked: 0,
            is_denied: false,
            exports,
        });
        self.groups.len() - 1
    }

    /// Whether keys of a group may be asked about at all.
    pub(super) fn may_ask(&self, group: usize) -> bool {
        self.groups.get(group).is_some_and(|group| group.refused.is_none())
    }

    /// Leaves names to another task, which shows them.
    pub(super) fn leave_to_others<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) {
        self.others.extend(keys.map(shown));
    }

    /// Whether there is nothing to ask and nothing to say.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting() == 0 && self.groups.iter().all(|group| group.refused.is_none())
    }

    /// Takes a key to ask about.
    pub(super) fn want(&mut self, key: &[u8], group: usize) {
        self.fresh.push_back(Key {
            name: key.into(),
            group,
            step: Step::First,
            asked: [None; 2],
            found: Found::default(),
        });
    }

    /// Keys that wait.
    pub(super) fn waiting(&self) -> usize {
        self.fresh.len() + self.begun.len()
    }

    /// Appends commands about at most `most` keys, no more of a group than it is trusted with. Those that were begun come first, so that
    /// they do not pile up.
    pub(super) fn push_commands(&mut self, most: usize, commands: &mut Vec<Command>) {
        self.asked.clear();
        let (mut begun, mut fresh) = (VecDeque::new(), VecDeque::new());
        while self.asked.len() < most {
            let is_begun = !self.begun.is_empty();
            let Some(mut key) = self.begun.pop_front().or_else(|| self.fresh.pop_front()) else {
                break;
            };
            let is_full = |group: &Group| group.refused.is_none() && group.asked >= group.trust.0;
            if self.groups.get(key.group).is_some_and(is_full) {
                let later = if is_begun { &mut begun } else { &mut fresh };
                later.push_back(key);
                continue;
            }
            key.asked = if self.may_ask(key.group) {
                let (questions, lacking) = self.questions(key.step);
                self.lacking.extend(lacking);
                questions
            } else {
                [None; 2]
            };
            if key.asked == [None; 2] {
                self.keep(key);
                continue;
            }
            let mut exports = false;
            if let Some(group) = self.groups.get_mut(key.group) {
                group.asked += 1;
                exports = group.exports;
            }
            let questions = key.asked.into_iter().flatten();
            commands.extend(questions.map(|question| command(question, &key.name, exports)));
            self.asked.push(key);
        }
        begun.append(&mut self.begun);
        fresh.append(&mut self.fresh);
        (self.begun, self.fresh) = (begun, fresh);
    }

    /// The questions of a step, less those that are not to be had, and the commands of these.
    fn questions(&self, step: Step) -> ([Option<Question>; 2], impl Iterator<Item = &'static str> + use<>) {
        let questions = match step {
            Step::First => [Some(Question::Type), Some(Question::Memory)],
            Step::Size(command @ "strlen") => [Some(Question::Size(command)), Some(Question::Head)],
            Step::Size(command) => [Some(Question::Size(command)), None],
            Step::Estimate => [Some(Question::Estimate), None],
            Step::StillThere => [Some(Question::StillThere), None],
        };
        let is_refused = |question: &Question| self.refused.contains_key(question.command());
        let lacking = questions.map(|question| question.filter(is_refused).map(Question::command));
        let questions = questions.map(|question| question.filter(|question| !is_refused(question)));
        (questions, lacking.into_iter().flatten())
    }

    /// Takes the replies to the last [`Inspector::push_commands`].
    pub(super) fn note(&mut self, replies: &[Reply]) -> KeyLookups {
        let mut lookups = KeyLookups::default();
        let mut replies = replies.iter();
        for mut key in std::mem::take(&mut self.asked) {
            let mut answers = Answers::default();
            for question in key.asked.into_iter().flatten() {
                let Some(reply) = replies.next() else { break };
                self.note_refusal(question, key.group, reply);
                let is_miss = answers.read(question, reply);
                if is_elsewhere(reply) {
                    self.left_alone.note(self.database, &key.name, Why::Elsewhere);
                }
                if question.is_lookup() && was_looked_up(reply) {
                    lookups.all += 1;
                    lookups.misses += u64::from(is_miss);
                }
            }
            match self.next_step(&mut key, answers) {
                Some(step) => {
                    key.step = step;
                    self.begun.push_back(key);
                }
                None => self.keep(key),
            }
        }
        for group in self.groups.iter_mut().filter(|group| group.asked > 0) {
            group.trust.learn(std::mem::take(&mut group.is_denied));
            group.asked = 0;
        }
        lookups
    }

    /// Remembers a refusal: of the command, or of the keys.
    fn note_refusal(&mut self, question: Question, group: usize, reply: &Reply) {
        let Some(reason) = unavailability(reply) else {
            if let Some(group) = self.groups.get_mut(group) {
                group.is_answered = true;
            }
            return;
        };
        let command = question.command();
        if let Some(group) = self.groups.get_mut(group) {
            group.is_denied |= reason == Unavailable::Denied;
        }
        if reason == Unavailable::Unsupported || denies_command(reply) {
            self.refused.insert(command, reason);
            self.lacking.insert(command);
        } else if let Some(group) = self.groups.get_mut(group) {
            group.denials += 1;
            if group.denials >= MOST_DENIALS || self.collector == super::single_keys::COLLECTOR {
                group.refused = Some(reason);
            }
        }
    }

    /// Takes what the answers say, and decides what is asked next; `None` when everything is known that can be, which is nothing for a key
    /// that is gone.
    fn next_step(&self, key: &mut Key, answers: Answers) -> Option<Step> {
        if answers.is_gone {
            key.found = Found::default();
            return None;
        }
        let found = &mut key.found;
        match key.step {
            Step::First => {
                found.memory = answers.memory;
                answers.size_command.map(Step::Size)
            }
            Step::Size(command) => {
                found.size = answers.size;
                let head = answers.head.unwrap_or_default();
                let is_to_be_estimated = command == "strlen" && may_be_hyperloglog(&head);
                let exports = self.groups.get(key.group).is_some_and(|group| group.exports);
                if exports && !head.is_empty() {
                    found.value = Some(head);
                }
                if is_to_be_estimated {
                    return Some(Step::Estimate);
                }
                // Only a string or a stream can be there and be empty. Whether it is, TYPE says once more.
                (found.size == Some(0)).then_some(Step::StillThere)
            }
            // No HyperLogLog after all, or a broken one, is a string; the value of a real one is nothing for eyes.
            Step::Estimate => {
                if answers.size.is_some() {
                    found.size = answers.size;
                    found.value = None;
                }
                None
            }
            Step::StillThere => None,
        }
    }

    /// Keeps what is known of a key, and forgets its name beyond the label. Two names may look the same once what is no text is written as
    /// text, or once they are cut: one of them is shown, never something of both.
    fn keep(&mut self, key: Key) {
        let found = key.found;
        if found.memory.is_none() && found.size.is_none() && found.value.is_none() {
            return;
        }
        let label = shown(&key.name);
        if self.others.contains(&label) {
            self.alike += 1;
            return;
        }
        match self.found.entry(label) {
            Entry::Vacant(place) => {
                place.insert(found);
            }
            Entry::Occupied(_) => self.alike += 1,
        }
    }

    /// What was found; `dropped` keys were left out.
    pub(super) fn finish(self, database: u32, dropped: u64) -> KeyFindings {
        let commands = self.lacking.iter();
        let commands = commands.filter_map(|command| Some(((*command).to_owned(), *self.refused.get(command)?)));
        let groups = self.groups.into_iter();
        let groups = groups.filter_map(|group| {
            // However few its keys are: they would be asked about in every pass.
            let are_all_denied = group.denials > 0 && !group.is_answered;
            let refused = group.refused.or(are_all_denied.then_some(Unavailable::Denied));
            Some((group.name, refused?))
        });
        let mut findings = KeyFindings {
            dropped: dropped.saturating_add(self.alike),
            missing: commands.chain(groups).collect(),
            ..KeyFindings::default()
        };
        let samples = &mut findings.samples;
        let database = of_database(database);
        for (key, found) in self.found {
            let labels = || vec![("db", database.clone().into()), ("key", key.clone().into())];
            if let Some(size) = found.size {
                samples.push_with(&KEY_SIZE, labels(), size as f64);
            }
            if let Some(memory) = found.memory {
                samples.push_with(&KEY_MEMORY, labels(), memory as f64);
            }
            match found.value.as_deref().map(|value| (number(value), value)) {
                Some((Some(number), _)) => samples.push_with(&KEY_VALUE, labels(), number),
                Some((None, value)) => {
                    let mut labels = labels();
                    labels.push(("val", shown(value).into()));
                    samples.push_with(&KEY_VALUE_AS_STRING, labels, 1.0);
                }
                None => {}
            }
        }
        findings
    }
}

/// What the replies about one key say.
#[derive(Debug, Default)]
struct Answers {
    is_gone: bool,
    memory: Option<u64>,
    size_command: Option<&'static str>,
    size: Option<u64>,
    head: Option<Box<[u8]>>,
}

impl Answers {
    /// Takes one reply; gives back whether it says that there is no such key. What is refused, or of another type by now, stays unknown.
    fn read(&mut self, question: Question, reply: &Reply) -> bool {
        let number = || reply.as_integer().and_then(|number| u64::try_from(number).ok());
        match (question, reply) {
            (Question::Type | Question::StillThere, Reply::Simple(kind)) => {
                self.is_gone |= &kind[..] == b"none";
                self.size_command = size_command(kind);
                return self.is_gone;
            }
            (Question::Memory, Reply::Integer(_)) => self.memory = number(),
            (Question::Size(command), Reply::Integer(_)) => {
                self.size = number();
                // None of these can be there and be empty.
                let is_never_empty = !matches!(command, "strlen" | "xlen" | "arcount");
                self.is_gone |= is_never_empty && self.size == Some(0);
                return self.is_gone;
            }
            (Question::Estimate, Reply::Integer(_)) => self.size = number(),
            (Question::Head, Reply::Bulk(bytes)) => self.head = Some(bytes[..].into()),
            _ => {}
        }
        false
    }
}

/// Whether a string that begins like this is a HyperLogLog, but for broken ones.
fn may_be_hyperloglog(head: &[u8]) -> bool {
    head.strip_prefix(HYPERLOGLOG)
        .and_then(|rest| rest.first())
        .is_some_and(|encoding| *encoding <= 1)
}

/// The command of a question.
fn command(question: Question, key: &[u8], exports: bool) -> Command {
    let word = match question {
        Question::Type | Question::StillThere => "TYPE",
        Question::Memory => return Command::new(2, &["MEMORY", "USAGE"]).arg(key),
        Question::Size(command) => spelt(command),
        Question::Estimate => "PFCOUNT",
        Question::Head => {
            let last = if exports { LAST_BYTE_OF_VALUE } else { LAST_BYTE_OF_HEAD };
            return Command::new(1, &["GETRANGE"]).arg(key).arg("0").arg(last.to_string());
        }
    };
    Command::new(1, &[word]).arg(key)
}

/// A value as a number, where the peer takes it for one: Go's `ParseFloat` in decimal. A number that no `f64` holds is a text for both.
fn number(value: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: f64 = text.parse().ok()?;
    let is_word = text.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    (!number.is_infinite() || is_word).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn values_are_numbers_where_the_peer_takes_them_for_one() {
        for (text, expected) in [("42", 42.0), ("-1.5e3", -1500.0), (".5", 0.5), ("+7", 7.0), ("5.", 5.0)] {
            assert_eq!(number(text.as_bytes()), Some(expected), "{text}");
        }
        assert_eq!(number(b"inf"), Some(f64::INFINITY));
        assert_eq!(number(b"-Infinity"), Some(f64::NEG_INFINITY));
        assert!(number(b"NaN").is_some_and(f64::is_nan));
        for text in ["", " 1", "1 ", "1,5", "x", "1e400", "0x10", "1_000", "true"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(number(b"1\xff"), None);
    }
}
