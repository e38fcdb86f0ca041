//! What `check` says about keys that optional collectors look at: whether they may be read, and with which commands.

use super::Report;
use crate::config::InstanceConfig;
use crate::keys::{self, check_keys, count_keys, single_keys};
use crate::redis::{Command, Connection, RedisError, Reply, Unavailable, unavailability};
use crate::sessions::details::denies_command;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// What is asked about a key of a pattern. ARCOUNT is not among them: hardly a server has it, and the type that needs it.
const ASKED: [&str; 9] = [
    "TYPE", "STRLEN", "PFCOUNT", "LLEN", "SCARD", "ZCARD", "HLEN", "XLEN", "GETRANGE",
];

/// Tries every command on a key of each pattern, and what is asked first on each key that is named in full. Nothing is scanned.
///
/// # Errors
/// When an exchange fails.
pub(super) async fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    is_replica: bool,
) -> Result<(), RedisError> {
    let running = keys::collectors(config);
    let leaves_alone = config.optional.compatibility.keys_at_replicas_only;
    if leaves_alone && !is_replica && config.scan_from.is_empty() {
        for collector in running {
            report.line(collector, "does nothing here: keys of a primary are left alone");
        }
        return Ok(());
    }
    let keys = &config.optional.keys;
    if running.contains(count_keys::COLLECTOR) {
        let patterns = keys.counted.len();
        report.line(
            count_keys::COLLECTOR,
            &format!("{patterns} patterns, counted with SCAN alone"),
        );
    }
    if running.contains(check_keys::COLLECTOR) {
        let subjects = keys.patterns.iter().flat_map(|pattern| {
            // The text of a pattern is the name of a key that matches it, and of none that is there.
            let databases = pattern.databases.iter();
            databases.map(|database| (*database, pattern.glob.clone(), pattern.glob.clone()))
        });
        let tried = try_all(report, config, connection, subjects.collect(), &ASKED).await?;
        tell(report, check_keys::COLLECTOR, "patterns", keys.patterns.len(), &tried);
        let warning = "the names of the keys that it finds become label values, which may be session ids";
        report.line(check_keys::COLLECTOR, warning);
    }
    if running.contains(single_keys::COLLECTOR) {
        let subjects = keys.single.iter().filter_map(|key| {
            let glob = super::escaped(&key.key);
            Some((key.database?, key.key.clone(), glob))
        });
        // Whatever else is asked depends on the type, and would be an error of the server on keys of another one.
        let tried = try_all(report, config, connection, subjects.collect(), &["TYPE"]).await?;
        tell(report, single_keys::COLLECTOR, "keys", keys.single.len(), &tried);
        let exported = keys.single.iter().filter(|key| key.export_value).count();
        if exported > 0 {
            let sentence = format!("the values of {exported} keys are shown to everybody who may read /metrics");
            report.line(single_keys::COLLECTOR, &sentence);
        }
    }
    Ok(())
}

/// What the user may not do.
#[derive(Default)]
struct Tried {
    commands: BTreeSet<String>,
    unsupported: BTreeSet<String>,
    /// How many patterns or keys may not be read.
    unreadable: usize,
}

/// Tries commands on keys: the database, the key, and the glob that grants it.
async fn try_all(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    subjects: Vec<(u32, String, String)>,
    asked: &[&'static str],
) -> Result<Tried, RedisError> {
    let mut tried = Tried::default();
    for (database, key, glob) in subjects {
        let mut batch = vec![
            Command::new(1, &["SELECT"]).arg(database.to_string()),
            Command::new(2, &["MEMORY", "USAGE"]).arg(key.clone()),
        ];
        batch.extend(asked.iter().map(|word| {
            let command = Command::new(1, &[word]).arg(key.clone());
            if *word == "GETRANGE" {
                command.arg("0").arg("0")
            } else {
                command
            }
        }));
        let deadline = Instant::now() + config.poll.timeout;
        let replies = connection.exchange(&batch, deadline).await?;
        if matches!(replies.first(), Some(Reply::Error(_))) {
            // The line about the database says so.
            continue;
        }
        let mut is_unreadable = false;
        for (command, reply) in batch.iter().zip(&replies) {
            match unavailability(reply) {
                Some(Unavailable::Denied) if denies_command(reply) => {
                    report.denied(&command.name());
                    tried.commands.insert(command.name());
                }
                Some(Unavailable::Denied) => is_unreadable = true,
                Some(Unavailable::Unsupported) => {
                    tried.unsupported.insert(command.name());
                }
                None => {}
            }
        }
        if is_unreadable {
            report.may_read(&glob);
            tried.unreadable += 1;
        }
    }
    Ok(tried)
}

fn tell(report: &mut Report, collector: &'static str, what: &str, count: usize, tried: &Tried) {
    let in_words = |commands: &BTreeSet<String>| {
        let names: Vec<String> = commands
            .iter()
            .map(|name| name.replace('|', " ").to_uppercase())
            .collect();
        names.join(", ")
    };
    let mut problems = Vec::new();
    if !tried.commands.is_empty() {
        problems.push(format!("the user may not run {}", in_words(&tried.commands)));
    }
    if tried.unreadable > 0 {
        problems.push(format!(
            "the user may not read the keys of {} of them",
            tried.unreadable
        ));
    }
    if !tried.unsupported.is_empty() {
        problems.push(format!("this server has no {}", in_words(&tried.unsupported)));
    }
    let verdict = if problems.is_empty() {
        "ok".to_owned()
    } else {
        format!("{}; what needs it is absent", problems.join(", "))
    };
    report.line(collector, &format!("{count} {what}: {verdict}"));
}
