//! Flags and variables that nobody knows: most likely a letter is wrong, and somebody believes that they say something.

use super::peer::PEER_FLAGS;
use crate::config::{Environment, nearest};
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// How the variables of `redis_exporter` begin, but for the five about the server.
const PREFIX: &str = "REDIS_EXPORTER_";

/// What Kubernetes sets in every container for a service that is called `redis-exporter`, behind the prefix.
const OF_SERVICES: [&str; 2] = ["SERVICE_", "PORT"];

/// Most variables that are named in the log.
const MAX_NAMED: usize = 10;

/// Longest name that is repeated; the longest one that is known has half as many bytes.
const MAX_NAME_BYTES: usize = 100;

/// What stands in an error in place of a word of the command line that may be a secret.
const NOT_SHOWN: &str = "(not shown, it may be a secret)";

/// Adds the flag that was most likely meant, ours or one of `redis_exporter`, to an error about an unknown one. A word that is no name of
/// a flag or a command is taken out: an address without its flag, or the second half of a password with a space, ends up there.
pub(super) fn suggest_flag(mut error: clap::Error, command: &clap::Command) -> clap::Error {
    if error.kind() == ErrorKind::InvalidSubcommand && error.get(ContextKind::SuggestedSubcommand).is_none() {
        let hidden = ContextValue::String(NOT_SHOWN.to_owned());
        error.insert(ContextKind::InvalidSubcommand, hidden);
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(written)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if !is_flag_name(written) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(NOT_SHOWN.to_owned()));
        return error;
    }
    let written = written.trim_start_matches('-').to_owned();
    let ours = command.get_arguments().filter_map(clap::Arg::get_long);
    let theirs = PEER_FLAGS.iter().map(|flag| flag.name.trim_start_matches('-'));
    let known: Vec<&str> = ours.chain(theirs).collect();
    if let Some(near) = nearest(&written, &known) {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(format!("--{near}")));
    }
    error
}

/// Whether a word is built like the name of a flag.
fn is_flag_name(word: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    word.starts_with('-') && word.len() <= MAX_NAME_BYTES && word.bytes().all(is_of_name)
}

/// The variables that are set and that `redis_exporter` does not know either, in one sentence; none of their values.
pub(super) fn warning_of_variables(environment: &Environment) -> Option<String> {
    let known: Vec<&str> = PEER_FLAGS.iter().filter_map(|flag| flag.variable).collect();
    let is_of_service = |name: &str| {
        OF_SERVICES
            .iter()
            .any(|word| name.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with(word)))
    };
    let unknown: Vec<String> = environment
        .names_with(PREFIX)
        .into_iter()
        .filter(|name| !known.contains(&name.as_str()) && !is_of_service(name))
        .collect();
    let is_shown = |name: &&String| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        name.len() <= MAX_NAME_BYTES && name.bytes().all(is_plain)
    };
    let named: Vec<String> = unknown
        .iter()
        .filter(is_shown)
        .take(MAX_NAMED)
        .map(|name| match nearest(name, &known) {
            Some(near) => format!("{name} (did you mean {near}?)"),
            None => name.clone(),
        })
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let mut names = named.join(", ");
    match unknown.len() - named.len() {
        0 => {}
        more if named.is_empty() => names = format!("{more} that begin with {PREFIX}"),
        more => names.push_str(&format!(" and {more} more")),
    }
    Some(format!("Variables that nobody knows are ignored: {names}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, CommandLineError};
    use std::ffi::OsString;

    #[test]
    fn a_variable_with_a_wrong_letter_is_named_with_the_one_that_was_meant() {
        let warning = |pairs: &[(&str, &str)]| warning_of_variables(&Environment::of_pairs(pairs));
        let fine = [
            ("REDIS_EXPORTER_CHECK_KEYS", "a"),
            ("REDIS_EXPORTER_SERVICE_HOST", "10.0.0.1"),
            ("REDIS_EXPORTER_PORT_9121_TCP", "tcp://10.0.0.1:9121"),
            ("REDIS_EXPORTER_EMPTY", ""),
            ("REDIS_ADDRESS", "x"),
        ];
        assert_eq!(warning(&fine), None);
        let wrong = [
            ("REDIS_EXPORTER_CHEK_KEYS", "hunter2"),
            ("REDIS_EXPORTER_COFFEE", "hunter2"),
        ];
        assert_eq!(
            warning(&wrong).unwrap(),
            "Variables that nobody knows are ignored: REDIS_EXPORTER_CHEK_KEYS (did you mean REDIS_EXPORTER_CHECK_KEYS?), REDIS_EXPORTER_COFFEE."
        );
        let names: Vec<String> = (0..12).map(|number| format!("REDIS_EXPORTER_ZZZZ{number}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        assert!(warning(&many).unwrap().ends_with(" and 2 more."));
        let odd = warning(&[("REDIS_EXPORTER_\u{1b}[2J", "1")]).unwrap();
        assert!(odd.ends_with("1 that begin with REDIS_EXPORTER_."), "{odd}");
    }

    #[test]
    fn words_that_may_be_secrets_are_not_repeated() {
        let error = |words: &[&str]| {
            let words = [&["program"], words].concat().into_iter().map(OsString::from);
            match Cli::read(words) {
                Err(CommandLineError::Clap(error)) => error.to_string(),
                other => panic!("{other:?}"),
            }
        };
        for words in [
            &["redis://u:hunter2@h"][..],
            &["hunter2"],
            &["serve", "hunter2"],
            &["check", "--", "hunter2"],
            &["--redis.password", "a", "hunter2"],
            &["--Hunter2"],
            &["--redis.pasword=hunter2"],
        ] {
            let text = error(words);
            assert!(!text.to_lowercase().contains("hunter2"), "{words:?}: {text}");
        }
        // Names are: nobody could mend them otherwise.
        assert!(error(&["chek"]).contains("'chek'"));
        assert!(error(&["--redis.pasword=x"]).contains("--redis.pasword"));
    }

    #[test]
    fn a_flag_with_a_wrong_letter_is_answered_with_the_one_that_was_meant() {
        let error = |flag: &str| {
            let words = ["program", flag].map(OsString::from);
            match Cli::read(words) {
                Err(CommandLineError::Clap(error)) => error.to_string(),
                other => panic!("{other:?}"),
            }
        };
        for (written, meant) in [
            ("--chek-keys=hunter2", "'--check-keys'"),
            ("--redis.adr", "'--redis.addr'"),
            ("-cont-keys", "'--count-keys'"),
        ] {
            let said = error(written);
            assert!(said.contains(meant) && !said.contains("hunter2"), "{written}: {said}");
        }
        assert!(!error("--zzzz").contains("similar"));
    }
}
