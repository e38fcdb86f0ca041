//! `check`: connects to every instance and says what each collector can and cannot do there, and what mends it.

use super::{EXIT_FAILURE, EXIT_OK};
use crate::collectors::CollectError;
use crate::config::{InstanceConfig, ValidatedConfig};
use crate::poller::info_poll::{self, InfoPoll};
use crate::redis::capabilities::Capabilities;
use crate::redis::{Command, Connection, Connector, Handshake, Reply, Unavailable, sanitised_code, unavailability};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Checks every instance side by side and prints one paragraph each, in the order of the configuration.
///
/// # Errors
/// When `output` cannot be written.
pub async fn run(config: &ValidatedConfig, mut output: impl Write) -> std::io::Result<u8> {
    let mut checks = JoinSet::new();
    for (position, instance) in config.instances.iter().cloned().enumerate() {
        checks.spawn(async move { (position, check(&instance).await) });
    }
    let mut reports: Vec<_> = checks.join_all().await;
    reports.sort_by_key(|(position, _)| *position);
    let mut code = EXIT_OK;
    for (_, report) in reports {
        output.write_all(report.text.as_bytes())?;
        if !report.reached {
            code = EXIT_FAILURE;
        }
    }
    output.flush()?;
    Ok(code)
}

/// What `check` found about one instance.
struct Report {
    text: String,
    reached: bool,
}

impl Report {
    /// A line of the paragraph: what, and what about it.
    fn line(&mut self, subject: &str, sentence: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "  {subject:<15} {sentence}");
    }
}

async fn check(config: &InstanceConfig) -> Report {
    let mut report = Report {
        text: format!("{} at {}\n", config.name, config.address),
        reached: false,
    };
    let connector = Connector::new(config);
    let deadline = Instant::now() + config.poll.timeout;
    let mut connection = match connector.connect(deadline).await {
        Ok((connection, handshake)) => {
            report.line("connect", &format!("ok{}", phases(&handshake)));
            connection
        }
        Err((handshake, error)) => {
            report.line(
                "connect",
                &format!("failed ({}){}: {error}", error.reason.as_label(), phases(&handshake)),
            );
            return report;
        }
    };
    let mut running = info_poll::collectors_of(config);
    let mut capabilities = Capabilities::default();
    let deadline = Instant::now() + config.poll.timeout;
    let poll = match info_poll::poll(&mut connection, &mut running, None, &mut capabilities, deadline).await {
        Ok(poll) => poll,
        Err(error) => {
            report.line("poll", &format!("failed ({}): {error}", error.reason.as_label()));
            return report;
        }
    };
    report.reached = true;
    describe_server(&mut report, &poll);
    let missing = describe_collectors(&mut report, config, &poll);
    let more = describe_sessions(&mut report, config, &mut connection).await;
    describe_notifications(&mut report, config, &mut connection).await;
    let grants: BTreeSet<String> = missing
        .into_iter()
        .chain(more)
        .map(|command| format!("+{command}"))
        .collect();
    if !grants.is_empty() {
        let user = config.username.as_deref().unwrap_or("default");
        let grants: Vec<String> = grants.into_iter().collect();
        report.line("to mend", &format!("ACL SETUSER {user} {}", grants.join(" ")));
    }
    report
}

fn phases(handshake: &Handshake) -> String {
    let mut text = String::new();
    for (phase, duration) in &handshake.phases {
        let _ = write!(text, ", {} {:.2} ms", phase.as_label(), duration.as_secs_f64() * 1000.0);
    }
    text
}

fn describe_server(report: &mut Report, poll: &InfoPoll) {
    let (Some(server), Some(info)) = (&poll.server, &poll.info) else {
        report.line("server", "unknown: INFO is denied");
        return;
    };
    let role = match info.get("role") {
        Some("master") => "primary",
        Some("slave" | "replica") => "replica: its sessions are counted at the primary",
        _ => "role unknown",
    };
    report.line("server", &format!("{} {}, {role}", server.product, server.version));
}

/// One line per collector that runs; returns the commands that are denied.
fn describe_collectors(report: &mut Report, config: &InstanceConfig, poll: &InfoPoll) -> Vec<String> {
    let mut denied = Vec::new();
    for outcome in &poll.outcomes {
        let forbidden: Vec<&String> = outcome
            .missing
            .iter()
            .filter(|(_, reason)| *reason == Unavailable::Denied)
            .map(|(command, _)| command)
            .collect();
        denied.extend(forbidden.iter().map(|command| (*command).clone()));
        let sentence = match &outcome.result {
            Ok(samples) if !forbidden.is_empty() => {
                let series: usize = samples.families().iter().map(|family| family.samples.len()).sum();
                let commands: Vec<String> = forbidden.iter().map(|command| command.to_uppercase()).collect();
                format!("a part, {series} series: the user may not run {}", commands.join(", "))
            }
            Ok(samples) if samples.is_empty() => "ok, nothing to show on this server".to_owned(),
            Ok(samples) => {
                let series: usize = samples.families().iter().map(|family| family.samples.len()).sum();
                format!("ok, {series} series")
            }
            Err(CollectError::Unavailable {
                command,
                reason: Unavailable::Denied,
            }) => {
                denied.push(command.clone());
                format!("cannot run: the user may not run {}", command.to_uppercase())
            }
            Err(CollectError::Unavailable {
                command,
                reason: Unavailable::Unsupported,
            }) => {
                format!("cannot run: this server has no {}", command.to_uppercase())
            }
            Err(error) => format!("failed: {error}"),
        };
        report.line(outcome.name, &sentence);
    }
    let off: Vec<&str> = config
        .collectors
        .iter()
        .filter(|(_, on)| !**on)
        .map(|(name, _)| *name)
        .collect();
    if !off.is_empty() {
        report.line("switched off", &off.join(", "));
    }
    denied
}

/// Whether the commands of a scan work; returns those that are denied.
async fn describe_sessions(report: &mut Report, config: &InstanceConfig, connection: &mut Connection) -> Vec<String> {
    if config.sessions.is_empty() {
        report.line(
            "sessions",
            "no store is configured: name one under `sessions` to count sessions",
        );
        return Vec::new();
    }
    let database = config
        .sessions
        .iter()
        .flat_map(|store| store.databases.first())
        .next()
        .copied()
        .unwrap_or_default();
    let commands = [
        Command::new(1, &["SELECT"]).arg(database.to_string()),
        Command::new(1, &["DBSIZE"]),
        Command::new(1, &["SCAN", "0", "COUNT", "1"]),
    ];
    let replies = match connection
        .exchange(&commands, Instant::now() + config.poll.timeout)
        .await
    {
        Ok(replies) => replies,
        Err(error) => {
            report.line("sessions", &format!("failed ({}): {error}", error.reason.as_label()));
            return Vec::new();
        }
    };
    let mut denied = Vec::new();
    let mut problems = Vec::new();
    for (command, reply) in commands.iter().zip(&replies) {
        match (unavailability(reply), reply) {
            (Some(Unavailable::Denied), _) => denied.push(command.name()),
            (_, Reply::Error(_)) => problems.push(format!(
                "{} answers {}",
                command.name().to_uppercase(),
                sanitised_code(reply)
            )),
            _ => {}
        }
    }
    let stores: Vec<&str> = config.sessions.iter().map(|store| store.name.as_str()).collect();
    if denied.is_empty() && problems.is_empty() {
        report.line("sessions", &format!("ok, stores: {}", stores.join(", ")));
    } else {
        problems.extend(
            denied
                .iter()
                .map(|command| format!("the user may not run {}", command.to_uppercase())),
        );
        report.line("sessions", &format!("cannot be counted: {}", problems.join(", ")));
    }
    denied
}

/// What the server says about keyspace notifications. It is only asked, never changed.
async fn describe_notifications(report: &mut Report, config: &InstanceConfig, connection: &mut Connection) {
    let command = Command::new(2, &["CONFIG", "GET", "notify-keyspace-events"]);
    let replies = connection
        .exchange(std::slice::from_ref(&command), Instant::now() + config.poll.timeout)
        .await;
    let sentence = match replies.as_deref() {
        Ok([Reply::Array(pair)]) => match pair.get(1).and_then(Reply::as_text) {
            Some("") => "off".to_owned(),
            Some(flags) => format!("on, flags {flags}"),
            None => "unknown to this server".to_owned(),
        },
        Ok([error @ Reply::Error(_)]) => format!("unknown: CONFIG GET answers {}", sanitised_code(error)),
        Ok(_) => "unknown".to_owned(),
        Err(error) => format!("unknown: {error}"),
    };
    report.line("notifications", &sentence);
}
