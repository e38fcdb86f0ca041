//! What `check` says about the metrics that the application keeps in Redis.

use super::Report;
use crate::collectors::application::Problem;
use crate::collectors::application::reading::commands;
use crate::config::InstanceConfig;
use crate::poller::application_poll::{self, PollError, Watched};
use crate::redis::{Connection, RedisError};
use tokio::time::Instant;

/// One line per metric that cannot be read, and one about the rest. The rules for everything that a denied metric may need are noted.
/// Gives back whether every metric can be read.
///
/// # Errors
/// When the exchange fails; nothing more can be asked over this connection then.
pub(super) async fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    home: u32,
    deadline: Instant,
) -> Result<bool, (&'static str, RedisError)> {
    const SUBJECT: &str = "application";
    if config.application_metrics.is_empty() || !config.collectors.get(SUBJECT).copied().unwrap_or(true) {
        return Ok(false);
    }
    let mut watched: Vec<Watched> = config.application_metrics.iter().cloned().map(Watched::new).collect();
    let outcomes = match application_poll::poll(connection, home, &mut watched, false, deadline).await {
        Ok(outcomes) => outcomes,
        Err(PollError::Refused(sentence)) => {
            report.line(SUBJECT, &sentence);
            return Ok(false);
        }
        Err(PollError::Lost(error)) => return Err((SUBJECT, error)),
    };
    let mut readable = 0;
    for (outcome, metric) in outcomes.iter().zip(&config.application_metrics) {
        let Err(problem) = &outcome.result else {
            readable += 1;
            continue;
        };
        match problem {
            Problem::Denied { .. } => commands(metric).into_iter().for_each(|command| report.denied(command)),
            // Only a denial of keys asks for this rule: a server refuses it, and the whole line, for a user who may read all keys.
            Problem::KeyDenied => report.may_read_key(&metric.key),
            Problem::Database { code, .. } if code == "NOPERM" => report.denied("select"),
            _ => {}
        }
        report.line(SUBJECT, &format!("{} is absent: {problem}", metric.descriptor.name));
    }
    let all = config.application_metrics.len();
    report.line(SUBJECT, &format!("{readable} of {all} metrics can be read"));
    Ok(readable == all)
}
