//! What `check` says about groups of keys and about streams: whether the user may run what they need, on the keys that they are about.

use super::{EVERY_DATABASE, Report};
use crate::config::InstanceConfig;
use crate::keys::{key_groups, streams};
use crate::redis::{Command, Connection, RedisError, Reply, Unavailable, denies_database, unavailability};
use crate::sessions::details::denies_command;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// A name that no server has a key of, most likely; whether it has does not matter.
const NO_KEY: &str = "redis-session-exporter:check";

/// What came of trying commands.
#[derive(Default)]
struct Tried {
    /// Commands that the user may not run, as they are written.
    denied: BTreeSet<String>,
    /// Commands that the server does not know.
    unknown: BTreeSet<String>,
    /// Whether keys, or a whole database, may not be read.
    is_out_of_reach: bool,
}

impl Tried {
    fn is_denied(&self, command: &str) -> bool {
        self.denied.contains(command) || self.unknown.contains(command)
    }

    /// Why something is missing, in words.
    fn reasons(&self) -> String {
        let list = |commands: &BTreeSet<String>| commands.iter().cloned().collect::<Vec<_>>().join(", ");
        let mut reasons = Vec::new();
        if !self.denied.is_empty() {
            reasons.push(format!("the user may not run {}", list(&self.denied)));
        }
        if !self.unknown.is_empty() {
            reasons.push(format!("this server has no {}", list(&self.unknown)));
        }
        if self.is_out_of_reach {
            reasons.push("the user may not read some of the keys".to_owned());
        }
        reasons.join("; ")
    }
}

/// One line for each of the two that runs.
///
/// # Errors
/// When an exchange fails; nothing more can be asked over this connection then.
pub(super) async fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
) -> Result<(), (&'static str, RedisError)> {
    let running = crate::keys::collectors(config);
    if running.contains(key_groups::COLLECTOR) {
        let described = describe_groups(report, config, connection).await;
        described.map_err(|error| (key_groups::COLLECTOR, error))?;
    }
    if running.contains(streams::COLLECTOR) {
        let described = describe_streams(report, config, connection).await;
        described.map_err(|error| (streams::COLLECTOR, error))?;
    }
    Ok(())
}

async fn describe_groups(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
) -> Result<(), RedisError> {
    let Some(groups) = &config.optional.key_groups else {
        return Ok(());
    };
    let mut tried = Tried::default();
    let named: BTreeSet<u32> = groups.databases.iter().copied().collect();
    let is_everywhere = named.is_empty();
    let databases = if is_everywhere {
        [config.address.database].into()
    } else {
        named
    };
    for database in databases {
        let mut commands = vec![
            Command::new(1, &["SCAN", "0", "COUNT", "1"]),
            Command::new(2, &["MEMORY", "USAGE"]).arg(NO_KEY),
        ];
        if is_everywhere {
            commands.push(Command::new(1, &["INFO", "keyspace"]));
        }
        attempt(report, config, connection, database, &commands, "*", &mut tried).await?;
    }
    let sentence = match tried.reasons() {
        reasons if reasons.is_empty() => "ok".to_owned(),
        reasons if tried.is_denied("SCAN") || tried.is_denied("SELECT") => format!("cannot run: {reasons}"),
        reasons if tried.is_denied("INFO") => {
            format!("the database of the address alone, without `databases`: {reasons}")
        }
        reasons => format!("keys are counted, their memory is unknown in part or whole: {reasons}"),
    };
    report.line(key_groups::COLLECTOR, &sentence);
    Ok(())
}

async fn describe_streams(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
) -> Result<(), RedisError> {
    let streams = &config.optional.streams;
    let mut tried = Tried::default();
    // A glob as a key shows whether the user may read what it finds: rules about keys are globs that take it for one.
    let mut tries: Vec<(u32, &str, String, bool)> = Vec::new();
    for pattern in &streams.patterns {
        for database in &pattern.databases {
            tries.push((*database, &pattern.glob, pattern.glob.clone(), true));
        }
    }
    for named in &streams.single {
        if let Some(database) = named.database {
            tries.push((database, &named.key, super::escaped(&named.key), false));
        }
    }
    for (database, key, rule, by_scan) in tries {
        let mut commands = vec![
            Command::new(1, &["TYPE"]).arg(key),
            Command::new(2, &["XINFO", "STREAM"]).arg(key),
            Command::new(2, &["XINFO", "GROUPS"]).arg(key),
        ];
        if streams.consumers {
            let consumers = Command::new(2, &["XINFO", "CONSUMERS"]).arg(key);
            commands.push(consumers.arg(NO_KEY));
        }
        if by_scan {
            commands.push(Command::new(1, &["SCAN", "0", "COUNT", "1"]));
        }
        attempt(report, config, connection, database, &commands, &rule, &mut tried).await?;
    }
    let sentence = match tried.reasons() {
        reasons if reasons.is_empty() => "ok".to_owned(),
        reasons if tried.is_denied("XINFO STREAM") || tried.is_denied("SELECT") => format!("cannot run: {reasons}"),
        reasons => format!("a part: {reasons}"),
    };
    report.line(streams::COLLECTOR, &sentence);
    Ok(())
}

/// Tries commands in a database and notes what the user lacks. `keys` is the rule for the keys that they are about.
async fn attempt(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    database: u32,
    commands: &[Command],
    keys: &str,
    tried: &mut Tried,
) -> Result<(), RedisError> {
    let mut batch = vec![Command::new(1, &["SELECT"]).arg(database.to_string())];
    batch.extend_from_slice(commands);
    let replies = connection
        .exchange(&batch, Instant::now() + config.poll.timeout)
        .await?;
    for (command, reply) in batch.iter().zip(&replies) {
        let shown = command.name().replace('|', " ").to_uppercase();
        if denies_database(reply) {
            report.grants.insert(EVERY_DATABASE.to_owned());
            tried.is_out_of_reach = true;
            continue;
        }
        match unavailability(reply) {
            Some(Unavailable::Denied) if denies_command(reply) => {
                report.denied(&command.name());
                tried.denied.insert(shown);
            }
            Some(Unavailable::Denied) => {
                report.may_read(keys);
                tried.is_out_of_reach = true;
            }
            Some(Unavailable::Unsupported) => {
                tried.unknown.insert(shown);
            }
            // SELECT of a database that there is not, above all.
            None if matches!(reply, Reply::Error(_)) && command.name() == "select" => tried.is_out_of_reach = true,
            None => {}
        }
    }
    Ok(())
}
