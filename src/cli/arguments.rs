//! The command line in the forms of Go's package `flag`: `-x`, `--x`, `-x=value`, `-x value`. The flags of `redis_exporter` that are not
//! ours are taken out of it; the rest goes to clap, which knows two dashes alone.

use super::UsageError;
use super::peer::{Effect, Kind, PEER_FLAGS, PeerFlag};
use crate::config::peer_text::go_bool;
use std::collections::VecDeque;
use std::ffi::OsString;

/// A command line in two parts.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// What clap reads; begins with the name of the program.
    pub(super) ours: Vec<OsString>,
    /// Flags of `redis_exporter` and their values, in the order in which they were written.
    pub(super) peer: Vec<(&'static PeerFlag, String)>,
}

/// Splits a command line. `takes_word` says which of our own flags, by their names without dashes, take the next word as their value.
///
/// # Errors
/// [`UsageError`] when a flag of `redis_exporter` has no value, or a switch is followed by what looks like one.
pub(super) fn split(
    arguments: impl IntoIterator<Item = OsString>,
    takes_word: impl Fn(&str) -> bool,
) -> Result<Arguments, UsageError> {
    let mut rest: VecDeque<OsString> = arguments.into_iter().collect();
    let mut split = Arguments::default();
    split.ours.extend(rest.pop_front());
    while let Some(argument) = rest.pop_front() {
        let Some((name, value)) = argument.to_str().and_then(named) else {
            let is_end = argument == "--";
            split.ours.push(argument);
            if is_end {
                split.ours.extend(rest.drain(..));
            }
            continue;
        };
        let known = PEER_FLAGS
            .iter()
            .find(|flag| flag.name.strip_prefix("--") == Some(name));
        match known {
            Some(flag) if flag.effect != Effect::Ours => {
                let value = value.map(str::to_owned);
                split.peer.push((flag, peer_value(flag, value, &mut rest)?));
            }
            // Go's boolean form of a flag that is a mere word to clap.
            Some(flag) if flag.name == "--version" => match value.map(go_bool) {
                None | Some(Some(true)) => split.ours.push(flag.name.into()),
                Some(Some(false)) => {}
                Some(None) => return Err(no_boolean(flag.name)),
            },
            _ => {
                let word = match value {
                    None if takes_word(name) => rest.pop_front(),
                    _ => None,
                };
                let mut ours = OsString::from(format!("--{name}"));
                match (value, word) {
                    (Some(value), _) => ours.push(format!("={value}")),
                    // Go takes the next word whatever it begins with; passwords may begin with a dash.
                    (None, Some(word)) if known.is_some() => {
                        ours.push("=");
                        ours.push(word);
                    }
                    // clap refuses one that looks like a flag.
                    (None, Some(word)) => split.ours.push(std::mem::replace(&mut ours, word)),
                    (None, None) => {}
                }
                split.ours.push(ours);
            }
        }
    }
    Ok(split)
}

/// The name and the value of a flag with a long name, however many dashes it has. Words and flags of one letter are none.
fn named(argument: &str) -> Option<(&str, Option<&str>)> {
    let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    };
    let is_long = name.len() > 1 && name.starts_with(|first: char| first.is_ascii_alphabetic());
    is_long.then_some((name, value))
}

fn peer_value(flag: &PeerFlag, value: Option<String>, rest: &mut VecDeque<OsString>) -> Result<String, UsageError> {
    match (flag.kind, value) {
        (_, Some(value)) => Ok(value),
        (Kind::Switch, None) => {
            // redis_exporter stops reading at the word, so whatever follows had no say there; it must not be lost here unseen.
            if rest
                .front()
                .and_then(|next| next.to_str())
                .is_some_and(|next| go_bool(next).is_some())
            {
                let message = format!("{} does not take the next word; write {0}=true or {0}=false", flag.name);
                return Err(UsageError(message));
            }
            Ok("true".to_owned())
        }
        (Kind::Number | Kind::Text, None) => {
            let next = rest.pop_front();
            next.and_then(|word| word.into_string().ok())
                .ok_or_else(|| UsageError(format!("{} needs a value of UTF-8 text; write {0}=VALUE", flag.name)))
        }
    }
}

/// What a boolean flag is told that is neither true nor false.
pub(super) fn no_boolean(name: &str) -> UsageError {
    UsageError(format!("{name} must be true or false; write {name} or {name}=false"))
}
