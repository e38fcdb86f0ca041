//! What `check` says about the scripts of `lua`: whether their files can be read and whether the user may run them. It runs none of
//! them, but one of its own that does nothing.

use super::Report;
use crate::collectors::lua;
use crate::config::InstanceConfig;
use crate::poller::scan::scripts;
use crate::redis::{Command, Connection, RedisError, Reply, Unavailable, sanitised_code};
use std::collections::BTreeSet;
use tokio::time::Instant;

const SUBJECT: &str = scripts::COLLECTOR;

/// A script that does nothing.
const NOTHING: &[u8] = b"return {}";

/// Says what keeps scripts from being run, where there are some.
///
/// # Errors
/// When an exchange fails.
pub(super) async fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
) -> Result<(), RedisError> {
    if !scripts::are_wanted(config) {
        return Ok(());
    }
    let scripts = &config.optional.lua;
    let mut unreadable = 0;
    for script in scripts.iter() {
        let file = script.file.clone();
        let read = tokio::task::spawn_blocking(move || scripts::read_file(&file)).await;
        if let Ok(Err(problem)) = read {
            unreadable += 1;
            report.line(SUBJECT, &format!("the script {} {problem}", script.name));
        }
    }
    let modes: BTreeSet<bool> = scripts.iter().map(|script| script.read_only).collect();
    let mut is_runnable = true;
    for read_only in modes {
        let command = lua::command(NOTHING, read_only);
        let name = command.name();
        let shown = name.to_uppercase();
        let replies = connection
            .exchange(&[command], Instant::now() + config.poll.timeout)
            .await?;
        let Some(reply @ Reply::Error(_)) = replies.first() else {
            continue;
        };
        is_runnable = false;
        let sentence = match lua::unavailability(&name, reply) {
            Some(Unavailable::Denied) => {
                report.denied(&name);
                format!("cannot run: the user may not run {shown}")
            }
            Some(Unavailable::Unsupported) => {
                format!("cannot run: this server has no {shown}, and nothing else keeps a script from writing")
            }
            None => format!("{shown} answers {}", sanitised_code(reply)),
        };
        report.line(SUBJECT, &sentence);
    }
    if is_runnable {
        let readable = scripts.len() - unreadable;
        report.line(
            SUBJECT,
            &format!(
                "ok, {readable} of {} scripts can be run; check runs none of them",
                scripts.len()
            ),
        );
        describe_kill(report, config, connection).await?;
    }
    Ok(())
}

/// Whether the user may end a script that does not end. SCRIPT KILL is never tried: it would end whichever script runs. `ACL DRYRUN` (Redis
/// 7.0, Valkey) tells it, and needs `+acl|dryrun`; where that is missing nothing is said.
async fn describe_kill(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
) -> Result<(), RedisError> {
    let user = config.username.as_deref().unwrap_or("default");
    let question = Command::new(2, &["ACL", "DRYRUN"]).arg(user).arg("SCRIPT").arg("KILL");
    let replies = connection
        .exchange(&[question], Instant::now() + config.poll.timeout)
        .await?;
    let answer = replies.first().and_then(Reply::as_bytes);
    if answer.is_some_and(|answer| answer != b"OK") {
        report.denied("script|kill");
        report.line(
            SUBJECT,
            "the user may not run SCRIPT KILL: a script that does not end would keep the server busy until somebody else ends it",
        );
    }
    Ok(())
}
