//! Finding out whether the user may run commands on keys, without an error of the server for what is allowed and with few where it is not.
//!
//! `ACL DRYRUN` (Redis 7.0, Valkey) tells it without running anything and without an entry in the ACL LOG. Where it is missing or
//! denied, TYPE comes first, and then each command once, on a key of the type that it is for: on any other it would be an error
//! of the server, which its statistics count.

use super::Report;
use crate::collectors::grants::Grant;
use crate::config::InstanceConfig;
use crate::redis::{Command, Connection, RedisError, Reply, Unavailable, denies_database, unavailability};
use crate::sessions::details::denies_command;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Most keys that are tried: the rules that let a user read are a few, and the first keys show them.
const MAX_SUBJECTS: usize = 32;

/// A key that is tried.
pub(super) struct Subject {
    /// Where it is.
    pub(super) database: u32,
    /// Its name, or the text of a pattern, which names a key that the pattern matches and most likely none that is there.
    pub(super) key: String,
    /// The glob that grants it.
    pub(super) rule: String,
}

/// On what a command is no error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fits {
    /// Any key, there or not.
    Anything,
    /// A key of this type, or none.
    TypeOrNone(&'static str),
    /// A key of this type alone.
    Type(&'static str),
    /// It has no key.
    NoKey,
    /// None: it is only asked about.
    Never,
}

/// A command that is tried.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Its words.
    pub(super) words: &'static [&'static str],
    /// What stands behind the key.
    pub(super) tail: &'static [&'static str],
    /// On what.
    pub(super) fits: Fits,
}

impl Asked {
    /// A command with nothing but a key.
    pub(super) const fn of(words: &'static [&'static str], fits: Fits) -> Self {
        Self { words, tail: &[], fits }
    }

    fn end(&self, command: Command, key: &str) -> Command {
        let command = match self.fits {
            Fits::NoKey => command,
            _ => command.arg(key),
        };
        self.tail.iter().fold(command, |command, word| command.arg(*word))
    }

    fn command(&self, key: &str) -> Command {
        self.end(Command::new(self.words.len(), self.words), key)
    }

    fn dry(&self, user: &str, key: &str) -> Command {
        let question = Command::new(2, &["ACL", "DRYRUN"]).arg(user);
        let question = self.words.iter().fold(question, |question, word| question.arg(*word));
        self.end(question, key)
    }

    /// The name as in the rules of ACL.
    fn name(&self) -> String {
        self.command("").name()
    }

    /// Whether it would be an error on a key of another type.
    fn depends_on_type(&self) -> bool {
        matches!(self.fits, Fits::TypeOrNone(_) | Fits::Type(_))
    }

    fn is_for(&self, found: &str) -> bool {
        match self.fits {
            Fits::Anything | Fits::NoKey => true,
            Fits::TypeOrNone(wanted) => found == wanted || found == "none",
            Fits::Type(wanted) => found == wanted,
            Fits::Never => false,
        }
    }
}

const TYPE: Asked = Asked::of(&["TYPE"], Fits::Anything);

/// What came of it. Commands are named as they are written.
#[derive(Default)]
pub(super) struct Tried {
    /// Commands that the user may not run.
    pub(super) denied: BTreeSet<String>,
    /// Commands that the server does not know.
    pub(super) unknown: BTreeSet<String>,
    /// Commands of which nothing is known, since there is no key on which they would be no error.
    pub(super) untried: BTreeSet<String>,
    /// How many keys may not be read.
    pub(super) unreadable: usize,
    /// Whether a whole database may not be used.
    pub(super) is_out_of_reach: bool,
    /// Keys beyond the bound.
    pub(super) beyond: usize,
}

/// What a server says of one command on one key.
enum Verdict {
    Allowed,
    Command,
    Key,
    Unknown,
}

/// Tries commands on keys.
///
/// # Errors
/// When an exchange fails.
pub(super) async fn attempt(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    subjects: &[Subject],
    asked: &[Asked],
) -> Result<Tried, RedisError> {
    let mut tried = Tried {
        beyond: subjects.len().saturating_sub(MAX_SUBJECTS),
        ..Tried::default()
    };
    let user = config.username.as_deref().unwrap_or("default");
    let ping = Asked {
        words: &["PING"],
        tail: &[],
        fits: Fits::NoKey,
    };
    let replies = exchange(config, connection, &[ping.dry(user, "")]).await?;
    let is_dry = replies.first().is_some_and(|reply| reply.as_bytes().is_some());
    let mut by_database: BTreeMap<u32, Vec<&Subject>> = BTreeMap::new();
    for subject in subjects.iter().take(MAX_SUBJECTS) {
        by_database.entry(subject.database).or_default().push(subject);
    }
    for (database, subjects) in by_database {
        let select = Command::new(1, &["SELECT"]).arg(database.to_string());
        let replies = exchange(config, connection, &[select]).await?;
        if let Some(reply @ Reply::Error(_)) = replies.first() {
            tried.is_out_of_reach = true;
            if denies_database(reply) {
                report.grants.insert(Grant::EveryDatabase);
            } else if denies_command(reply) {
                tried.note(report, "select", Verdict::Command);
            }
            continue;
        }
        if is_dry {
            ask_dry(report, config, connection, &subjects, asked, &mut tried).await?;
        } else {
            ask_truly(report, config, connection, &subjects, asked, &mut tried).await?;
        }
    }
    let known: BTreeSet<&String> = tried.denied.iter().chain(&tried.unknown).collect();
    tried.untried = tried
        .untried
        .iter()
        .filter(|name| !known.contains(name))
        .cloned()
        .collect();
    Ok(tried)
}

async fn ask_dry(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    subjects: &[&Subject],
    asked: &[Asked],
    tried: &mut Tried,
) -> Result<(), RedisError> {
    let user = config.username.as_deref().unwrap_or("default");
    let pairs = subjects
        .iter()
        .flat_map(|subject| asked.iter().map(move |asked| (*subject, asked)));
    let batch: Vec<Command> = pairs.map(|(subject, asked)| asked.dry(user, &subject.key)).collect();
    let replies = exchange(config, connection, &batch).await?;
    for (subject, replies) in subjects.iter().zip(replies.chunks(asked.len().max(1))) {
        let mut is_unreadable = false;
        for (asked, reply) in asked.iter().zip(replies) {
            let verdict = match reply.as_bytes() {
                Some(b"OK") => Verdict::Allowed,
                // "This user has no permissions to run the 'x' command", "... to access the 'x' key".
                Some(text) if text.ends_with(b"command") => Verdict::Command,
                Some(_) => Verdict::Key,
                None => Verdict::Unknown,
            };
            is_unreadable |= matches!(verdict, Verdict::Key);
            tried.note(report, &asked.name(), verdict);
        }
        tried.note_key(report, subject, is_unreadable);
    }
    Ok(())
}

async fn ask_truly(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    subjects: &[&Subject],
    asked: &[Asked],
    tried: &mut Tried,
) -> Result<(), RedisError> {
    let is_about_types = |asked: &Asked| asked.words == TYPE.words || asked.depends_on_type();
    if !asked.iter().any(is_about_types) {
        return ask_of_any_type(report, config, connection, subjects, asked, tried).await;
    }
    let types: Vec<Command> = subjects.iter().map(|subject| TYPE.command(&subject.key)).collect();
    let types = exchange(config, connection, &types).await?;
    let mut readable: Vec<(&Subject, String)> = Vec::new();
    for (subject, reply) in subjects.iter().zip(&types) {
        let verdict = verdict(reply);
        tried.note_key(report, subject, matches!(verdict, Verdict::Key));
        if let (Verdict::Allowed, Some(found)) = (&verdict, reply.as_bytes()) {
            readable.push((subject, String::from_utf8_lossy(found).into_owned()));
        }
        tried.note(report, &TYPE.name(), verdict);
    }
    let mut batch = Vec::new();
    for asked in asked.iter().filter(|asked| asked.words != TYPE.words) {
        let fitting = readable.iter().find(|(_, found)| asked.is_for(found));
        // What needs no type is known without one.
        let of_any_type = matches!(asked.fits, Fits::Anything | Fits::NoKey);
        let subject = fitting.map(|(subject, _)| *subject);
        match subject.or_else(|| subjects.first().copied().filter(|_| of_any_type)) {
            Some(subject) => batch.push((asked, subject)),
            None => {
                tried.untried.insert(shown(&asked.name()));
            }
        }
    }
    let commands: Vec<Command> = batch
        .iter()
        .map(|(asked, subject)| asked.command(&subject.key))
        .collect();
    let replies = exchange(config, connection, &commands).await?;
    for ((asked, _), reply) in batch.iter().zip(&replies) {
        tried.note(report, &asked.name(), verdict(reply));
    }
    Ok(())
}

/// Each command once, on the first of the keys: none of them minds what that is.
async fn ask_of_any_type(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    subjects: &[&Subject],
    asked: &[Asked],
    tried: &mut Tried,
) -> Result<(), RedisError> {
    let Some(subject) = subjects.first() else {
        return Ok(());
    };
    let asked = asked.iter().filter(|asked| asked.fits != Fits::Never);
    let commands: Vec<Command> = asked.clone().map(|asked| asked.command(&subject.key)).collect();
    let replies = exchange(config, connection, &commands).await?;
    for (asked, reply) in asked.zip(&replies) {
        let verdict = verdict(reply);
        tried.note_key(report, subject, matches!(verdict, Verdict::Key));
        tried.note(report, &asked.name(), verdict);
    }
    Ok(())
}

async fn exchange(
    config: &InstanceConfig,
    connection: &mut Connection,
    batch: &[Command],
) -> Result<Vec<Reply>, RedisError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    connection.exchange(batch, Instant::now() + config.poll.timeout).await
}

fn verdict(reply: &Reply) -> Verdict {
    match unavailability(reply) {
        Some(Unavailable::Denied) if denies_command(reply) => Verdict::Command,
        Some(Unavailable::Denied) => Verdict::Key,
        Some(Unavailable::Unsupported) => Verdict::Unknown,
        None => Verdict::Allowed,
    }
}

fn shown(name: &str) -> String {
    name.replace('|', " ").to_uppercase()
}

impl Tried {
    fn note(&mut self, report: &mut Report, name: &str, verdict: Verdict) {
        match verdict {
            Verdict::Command => {
                report.denied(name);
                self.denied.insert(shown(name));
            }
            Verdict::Unknown => {
                self.unknown.insert(shown(name));
            }
            Verdict::Allowed | Verdict::Key => {}
        }
    }

    fn note_key(&mut self, report: &mut Report, subject: &Subject, is_unreadable: bool) {
        if is_unreadable {
            report.may_read(&subject.rule);
            self.unreadable += 1;
        }
    }

    /// Whether a command cannot be used.
    pub(super) fn is_missing(&self, command: &str) -> bool {
        self.denied.contains(command) || self.unknown.contains(command)
    }

    /// What is missing, in words.
    pub(super) fn reasons(&self) -> Vec<String> {
        let list = |commands: &BTreeSet<String>| commands.iter().cloned().collect::<Vec<_>>().join(", ");
        let mut reasons = Vec::new();
        if !self.denied.is_empty() {
            reasons.push(format!("the user may not run {}", list(&self.denied)));
        }
        if self.unreadable > 0 {
            reasons.push(format!(
                "the user may not read some of the keys ({} of them)",
                self.unreadable
            ));
        }
        if self.is_out_of_reach {
            reasons.push("the user may not use some of the databases, or there are none of their numbers".to_owned());
        }
        if !self.unknown.is_empty() {
            reasons.push(format!("this server has no {}", list(&self.unknown)));
        }
        reasons
    }

    /// What was not found out, to stand behind a verdict; empty when all of it was.
    pub(super) fn remark(&self) -> String {
        let mut remark = String::new();
        if !self.untried.is_empty() {
            let names = self.untried.iter().cloned().collect::<Vec<_>>().join(", ");
            remark.push_str(&format!(
                " ({names} not tried, which only ACL DRYRUN or a key of the right type allows)"
            ));
        }
        if self.beyond > 0 {
            remark.push_str(&format!(" ({} more not tried)", self.beyond));
        }
        remark
    }
}
