//! What `check` says about commands that are not about data: a connection's name, and that looking at keys leaves their idle times alone.
//! The daemon goes on without either, and says nothing.

use super::Report;
use crate::collectors::Server;
use crate::config::InstanceConfig;
use crate::redis::{CLIENT_NAME, Command, Connection, RedisError, Unavailable, unavailability};
use tokio::time::Instant;

const SUBJECT: &str = "connect";

/// The Redis that brought CLIENT NO-TOUCH; Valkey says that it is compatible with 7.2.
const NO_TOUCH_SINCE: (u32, u32, u32) = (7, 2, 0);

/// Tries what the daemon would say, and says what follows from a denial. A server without the command has nothing to be told.
///
/// # Errors
/// When the exchange fails.
pub(super) async fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    server: Option<&Server>,
) -> Result<(), RedisError> {
    let mut greetings = Vec::new();
    if config.optional.compatibility.set_client_name {
        greetings.push((
            Command::new(2, &["CLIENT", "SETNAME"]).arg(CLIENT_NAME),
            "the user may not run CLIENT SETNAME: CLIENT LIST shows the connections of this exporter without a name",
        ));
    }
    let stores = config.sessions.configured();
    let reads_values = stores.iter().any(|store| store.encryption.is_some());
    // What is not there would count as an error of the server.
    let is_known = server.is_none_or(|server| server.redis_version >= NO_TOUCH_SINCE);
    if is_known && (reads_values || crate::keys::asks_about_keys(config)) {
        greetings.push((
            Command::new(2, &["CLIENT", "NO-TOUCH"]).arg("ON"),
            "the user may not run CLIENT NO-TOUCH: looking at keys makes them look used, for OBJECT IDLETIME and eviction by LRU or LFU",
        ));
    }
    let batch: Vec<Command> = greetings.iter().map(|(command, _)| command.clone()).collect();
    if batch.is_empty() {
        return Ok(());
    }
    let replies = connection
        .exchange(&batch, Instant::now() + config.poll.timeout)
        .await?;
    for ((command, sentence), reply) in greetings.iter().zip(&replies) {
        if unavailability(reply) == Some(Unavailable::Denied) {
            report.denied(&command.name());
            report.line(SUBJECT, sentence);
        }
    }
    Ok(())
}
