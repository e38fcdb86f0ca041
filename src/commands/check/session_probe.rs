//! What `check` says about the synthetic session: whether the user may write it. It is only asked about: `check` never writes.

use super::Report;
use crate::acl::rules::rule;
use crate::collectors::grants::{Grant, escaped};
use crate::config::InstanceConfig;
use crate::redis::{Command, Connection, Reply, unavailability};
use tokio::time::Instant;

const SUBJECT: &str = "session_probe";

/// The commands of a probe, each with what stands behind its key.
const COMMANDS: [(&str, &[&str]); 4] = [
    ("set", &["x", "EX", "10", "NX"]),
    ("get", &[]),
    ("expire", &["10"]),
    ("del", &[]),
];

/// Says whether the user may write, where a probe is asked for. Gives back whether nothing speaks against it.
///
/// `ACL DRYRUN` (Redis 7.0, Valkey) tells it without running anything; a user needs `+acl|dryrun` for it, which the exporter itself does not.
pub(super) async fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    is_replica: bool,
    is_cluster: bool,
) -> bool {
    if !config.session_probe.enabled || !config.collectors.get(SUBJECT).copied().unwrap_or(true) {
        return false;
    }
    if is_replica {
        report.line(SUBJECT, "not written here, since this is a replica");
        return false;
    }
    if is_cluster {
        report.line(
            SUBJECT,
            "a node of a cluster: its keys have a hash tag of one of the node's own slots; where the prefix has a hash tag itself, one node alone \
             is tried",
        );
    }
    let prefix = &config.session_probe.prefix;
    let user = config.username.as_deref().unwrap_or("default");
    let dry_run = |(name, further): &(&'static str, &[&'static str])| {
        let command = Command::new(2, &["ACL", "DRYRUN"])
            .arg(user)
            .arg(*name)
            .arg(format!("{prefix}check"));
        further.iter().fold(command, |command, word| command.arg(*word))
    };
    // One question first: a user who may not ask is denied once.
    let mut replies: Vec<Reply> = Vec::new();
    for questions in [COMMANDS.get(..1), COMMANDS.get(1..)] {
        let batch: Vec<Command> = questions.unwrap_or_default().iter().map(dry_run).collect();
        let deadline = Instant::now() + config.poll.timeout;
        match connection.exchange(&batch, deadline).await {
            Ok(answers) if answers.iter().all(|answer| answer.as_bytes().is_some()) => replies.extend(answers),
            Ok(answers) => {
                let why = match answers.iter().find_map(unavailability) {
                    Some(_) => "ACL DRYRUN is not to be had",
                    None => "ACL DRYRUN gives no answer",
                };
                report.line(
                    SUBJECT,
                    &format!(
                        "not tried, since check never writes, and {why}: it needs {}",
                        rules(prefix)
                    ),
                );
                return true;
            }
            Err(error) => {
                report.line(SUBJECT, &format!("not asked: {error}"));
                return true;
            }
        }
    }
    let mut denied = Vec::new();
    for ((name, _), reply) in COMMANDS.iter().zip(&replies) {
        let answer = reply.as_bytes().unwrap_or_default();
        if answer == b"OK" {
            continue;
        }
        denied.push(name.to_uppercase());
        report.denied(name);
        // Only a denial of keys asks for a rule for keys: a server refuses it for a user who may use all keys.
        if !String::from_utf8_lossy(answer).contains("to run the") {
            report.grants.insert(keys(prefix));
        }
    }
    let shown = prefix.escape_debug();
    if denied.is_empty() {
        report.line(SUBJECT, &format!("ok, the user may write below {shown}"));
        return true;
    }
    report.line(
        SUBJECT,
        &format!("the user may not run {} below {shown}", denied.join(", ")),
    );
    false
}

/// Everything that a probe needs, as rules.
fn rules(prefix: &str) -> String {
    let commands: Vec<String> = COMMANDS.iter().map(|(name, _)| format!("+{name}")).collect();
    format!("`{} {}`", rule(&keys(prefix), None), commands.join(" "))
}

/// The keys that a probe writes.
fn keys(prefix: &str) -> Grant {
    Grant::WriteKeys(format!("{}*", escaped(prefix)))
}
