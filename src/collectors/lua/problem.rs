//! Why a script showed nothing, in words that quote neither the script nor what it returned: both may hold keys and values.

use crate::redis::{Reply, Unavailable, sanitised_code};
use bytes::Bytes;
use std::time::Duration;

/// Why a script showed nothing. Completes "the script NAME ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no such file.
    #[error("is not there; create the file, or mend its path")]
    Missing,
    /// The file system refuses the file to this user.
    #[error("may not be read by this user; change its owner or its mode")]
    Forbidden,
    /// A folder, a pipe, a device.
    #[error("is not a regular file; name a file that holds a Lua script")]
    NotAFile,
    /// Another error of the file system.
    #[error("cannot be read ({0}); look at its file system")]
    Unreadable(std::io::ErrorKind),
    /// The file did not come before the deadline.
    #[error("was not read in time; look at its file system")]
    SlowFile,
    /// The file is larger than a script may be.
    #[error("is longer than {0} bytes; make it shorter")]
    TooLong(usize),
    /// It was not read, since the server could not be reached before.
    #[error("was not run: the connection to the server failed ({0})")]
    Unreached(&'static str),
    /// The server is busy with something else: `LOADING`, `BUSY`, `MASTERDOWN`.
    #[error("was not run: the server answers {0}")]
    Postponed(String),
    /// Its reply was not understood as RESP2 within our limits.
    #[error("returned more than this exporter reads, or nested too deeply; return a flat list")]
    Unbounded,
    /// It is no Lua.
    #[error("does not compile{0}; mend it")]
    Syntax(Line),
    /// It calls a command that writes.
    #[error("writes{0}, which EVAL_RO refuses; let it only read")]
    Writes(Line),
    /// It calls a command that is not there.
    #[error("calls a command that this server does not have{0}")]
    UnknownCommand(Line),
    /// It begins with `#!lua` (Redis 7.0) and does not say that it only reads.
    #[error(
        "begins with `#!lua` and may write by that; write `#!lua flags=no-writes`, without which EVAL_RO refuses it"
    )]
    MayWrite,
    /// It calls a command or uses a key that its user may not.
    #[error("calls a command or uses a key that the user of this exporter may not{0}; grant it")]
    Denied(Line),
    /// Somebody ended it, or we did.
    #[error("was ended with SCRIPT KILL")]
    Killed,
    /// Any other error; the code is from Redis' own set.
    #[error("failed with {code}{line}")]
    Failed {
        /// First word of the error reply, sanitised.
        code: String,
        /// Where.
        line: Line,
    },
    /// It did not end.
    #[error(
        "did not end within {} s, during which the server did nothing else, {ending}; it is left alone for ten minutes or until its file changes",
        .after.as_secs()
    )]
    Endless {
        /// How long it was waited for.
        after: Duration,
        /// What came of the attempt to end it.
        ending: Ending,
    },
    /// It returned no list.
    #[error("returned no list; return a list in which each name is followed by its number")]
    NoList,
    /// A name without a number, or a `nil` that cut the list short.
    #[error(
        "returned an odd count of values; return a list in which each name is followed by its number (a `nil` ends a list)"
    )]
    OddCount,
    /// A list in the list, or a number that is no string. Redis cuts the fraction off a number that Lua returns: 0.97 comes as 0.
    #[error("returned something else than strings; write tostring() around numbers, else their fractions are lost")]
    NotText,
    /// A value that is no number. Which pair it is says where to look, and names nothing.
    #[error(
        "returned a value that is no number, in pair {0} of a name and its number; use a number, as tostring() writes it"
    )]
    NotANumber(usize),
}

/// What came of the attempt to end a script that did not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// SCRIPT KILL answered OK.
    #[error("and was ended with SCRIPT KILL")]
    Killed,
    /// It had ended meanwhile.
    #[error("and then ended by itself")]
    Over,
    /// The user may not run SCRIPT KILL.
    #[error("and may still run, since the user may not run SCRIPT KILL (grant `+script|kill`)")]
    NotGranted,
    /// It has written, so that only SHUTDOWN NOSAVE ends it.
    #[error("and may still run, since the server refuses SCRIPT KILL for it")]
    Refused,
    /// SCRIPT KILL could not be sent, or was not answered.
    #[error("and may still run, since SCRIPT KILL was not answered")]
    NoAnswer,
}

impl Ending {
    /// What the reply to SCRIPT KILL (Redis 2.6) means.
    pub fn of_reply(reply: Option<&Reply>) -> Self {
        match reply {
            Some(error @ Reply::Error(_)) => match error.error_code() {
                Some("NOTBUSY") => Self::Over,
                Some("NOPERM") => Self::NotGranted,
                _ => Self::Refused,
            },
            Some(_) => Self::Killed,
            None => Self::NoAnswer,
        }
    }

    /// Whether the server is free again.
    pub const fn frees_the_server(self) -> bool {
        matches!(self, Self::Killed | Self::Over)
    }
}

/// The line of a script, where an error names one. Written as ` (line 3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line(Option<u32>);

impl Line {
    /// Reads `user_script:3:`, as Redis and Valkey name the chunk of EVAL.
    fn of(text: &str) -> Self {
        let behind = text.split_once("user_script:").map(|(_, behind)| behind);
        let number = behind.and_then(|behind| {
            let end = behind
                .find(|letter: char| !letter.is_ascii_digit())
                .unwrap_or(behind.len());
            behind.get(..end)?.parse().ok()
        });
        Self(number)
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(line) => write!(formatter, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// Why EVAL_RO or EVAL itself is not to be had; `None` when it was run. Errors of the script look much alike: they say that a command
/// is not allowed or unknown, and mean one that the script called.
pub fn unavailability(command: &str, reply: &Reply) -> Option<Unavailable> {
    let Reply::Error(text) = reply else { return None };
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    if text.starts_with("noperm") && text.contains(&format!("'{command}'")) {
        return Some(Unavailable::Denied);
    }
    let unknown = text.strip_prefix("err unknown command ");
    let is_named = unknown.is_some_and(|rest| rest.trim_start_matches(['\'', '`']).starts_with(command));
    is_named.then_some(Unavailable::Unsupported)
}

impl Problem {
    /// What an error reply of Redis from 2.6 on, or Valkey, says about the script.
    pub fn of_error(text: &Bytes) -> Self {
        let reply = Reply::Error(text.clone());
        let code = sanitised_code(&reply);
        if matches!(code.as_str(), "LOADING" | "BUSY" | "MASTERDOWN") {
            return Self::Postponed(code);
        }
        let text = String::from_utf8_lossy(text);
        let line = Line::of(&text);
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
        if says(&["Error compiling script"]) {
            Self::Syntax(line)
        } else if says(&["Can not execute a script with write flag using *_ro"]) {
            Self::MayWrite
        } else if says(&["Write commands are not allowed"]) {
            Self::Writes(line)
        } else if says(&["Unknown Redis command called from", "Unknown command called from"]) {
            Self::UnknownCommand(line)
        } else if says(&["ACL failure in script", "The user executing the script"]) {
            Self::Denied(line)
        } else if says(&["Script killed by user"]) {
            Self::Killed
        } else {
            Self::Failed { code, line }
        }
    }
}

impl From<&std::io::Error> for Problem {
    fn from(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Missing,
            std::io::ErrorKind::PermissionDenied => Self::Forbidden,
            kind => Self::Unreadable(kind),
        }
    }
}
