//! One INFO poll: a single pipelined batch for all collectors, then each collector on its replies.

use super::file_size::FileSize;
use crate::collectors::client_list::{client_list, list::ClientList};
use crate::collectors::sentinel;
use crate::collectors::{self, Build, CollectError, Collector, Options, PollContext, Server, SessionKnowledge, Spec};
use crate::config::InstanceConfig;
use crate::metric::Samples;
use crate::redis::capabilities::Capabilities;
use crate::redis::{
    Command, Connection, Info, OwnSockets, Reason, RedisError, Reply, Unavailable, sanitised_code, unavailability,
};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A collector that runs on the replies of the INFO poll.
pub struct RunningCollector {
    /// What it is.
    pub spec: &'static Spec,
    collector: Box<dyn Collector>,
    file_size: FileSize,
}

impl std::fmt::Debug for RunningCollector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("RunningCollector")
            .field(&self.spec.name)
            .finish()
    }
}

/// What became of one collector in one poll.
#[derive(Debug)]
pub struct CollectorOutcome {
    /// Its name.
    pub name: &'static str,
    /// Its samples, or why there are none.
    pub result: Result<Samples, CollectError>,
    /// The commands that it asks for and that are not to be had here. A collector that can show something without them does.
    pub missing: Vec<(String, Unavailable)>,
    /// The batch's round trips, which all collectors share, and its own work.
    pub duration: Duration,
}

/// What one INFO poll yielded.
#[derive(Debug)]
pub struct InfoPoll {
    /// One outcome per collector, in the order of the catalogue.
    pub outcomes: Vec<CollectorOutcome>,
    /// The INFO reply; `None` when the user may not run INFO.
    pub info: Option<Info>,
    /// Who answered; `None` when INFO is denied.
    pub server: Option<Server>,
    /// The answer to the further command; `None` without one, and when it is known to be unavailable.
    pub further: Option<Reply>,
}

/// The collectors of an instance that its configuration switches on.
pub fn collectors_of(config: &InstanceConfig) -> Vec<RunningCollector> {
    let options = Options {
        label_values: config.label_values,
        expect: config.expect.clone(),
        operations: config.operations,
        optional: config.optional.clone(),
        config_all: config.collectors.get("config_all").copied().unwrap_or(false),
    };
    collectors::ALL
        .iter()
        .filter(|spec| config.collectors.get(spec.name).copied().unwrap_or(spec.default_on))
        .filter_map(|spec| match spec.build {
            Build::FromReplies(build) => Some(RunningCollector {
                spec,
                collector: build(&options),
                file_size: FileSize::default(),
            }),
            Build::ByFrame => None,
        })
        .collect()
}

/// What collectors accumulate, by their names, while a reload puts new ones in their places. It also keeps the state of those that
/// are switched off, for the day when they are switched on again.
pub type Shelf = BTreeMap<&'static str, Box<dyn Any + Send>>;

/// The collectors of a changed configuration. They go on from what the old ones accumulated, and take up a question about a file that
/// may still hang instead of asking once more.
pub fn successors_of(old: Vec<RunningCollector>, config: &InstanceConfig, shelf: &mut Shelf) -> Vec<RunningCollector> {
    let mut file_sizes = BTreeMap::new();
    for mut running in old {
        if let Some(state) = running.collector.give_state() {
            shelf.insert(running.spec.name, state);
        }
        file_sizes.insert(running.spec.name, running.file_size);
    }
    let mut new = collectors_of(config);
    for running in &mut new {
        if let Some(state) = shelf.remove(running.spec.name) {
            running.collector.take_state(state);
        }
        if let Some(file_size) = file_sizes.remove(running.spec.name) {
            running.file_size = file_size;
        }
    }
    new
}

/// INFO with every section that the server keeps but those of modules, as the peer exporter asks for it.
pub fn info_command() -> Command {
    Command::new(1, &["INFO", "all"])
}

/// Polls once over a live connection. `known` is what an earlier INFO of this connection said; with it one round trip is
/// enough, without it a second one asks for what depends on the server. `further` is a command that the frame itself wants to know
/// the answer to.
///
/// # Errors
/// When an exchange fails, or INFO answers with an error that is not about permissions. The connection must be dropped when
/// the reason is not an error reply of the server ([`Reason::is_answer`]).
pub async fn poll(
    connection: &mut Connection,
    running: &mut [RunningCollector],
    known: Option<&Server>,
    capabilities: &mut Capabilities,
    sessions: &SessionKnowledge,
    further: Option<&Command>,
    deadline: Instant,
) -> Result<InfoPoll, RedisError> {
    let started = Instant::now();
    capabilities.expire(started);
    let mut replies = HashMap::new();
    let info_command = info_command();
    let mut requests = requests_of(running, known);
    let further = further.filter(|further| is_known_by(known, further));
    let wanted = std::iter::once(&info_command)
        .chain(requests.iter().flatten())
        .chain(further);
    ask(connection, wanted, capabilities, &mut replies, deadline).await?;

    let info = match replies.get(&info_command) {
        Some(Reply::Bulk(text) | Reply::Simple(text)) => Some(parse_info(text).await?),
        Some(error @ Reply::Error(_)) if unavailability(error).is_none() => return Err(info_error(error)),
        _ => None,
    };
    let server = info.as_ref().map(collectors::identify).or_else(|| known.cloned());
    if known.is_none() && server.is_some() {
        requests = requests_of(running, server.as_ref());
        ask(
            connection,
            requests.iter().flatten(),
            capabilities,
            &mut replies,
            deadline,
        )
        .await?;
    }

    let unix_seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let unknown_server = Server::default();
    // After the replies: whatever of ours the server counted in them was sent before.
    let sessions = SessionKnowledge {
        own_calls: connection.own_calls(),
        ..sessions.clone()
    };
    let server_or_unknown = server.as_ref().unwrap_or(&unknown_server);
    let own_sockets = connection.own_sockets();
    let clients = parse_clients(&replies, own_sockets).await?;
    let context = PollContext {
        clients: clients.as_ref(),
        info: info.as_ref(),
        server: server_or_unknown,
        replies: &replies,
        unavailable: capabilities.all(),
        unix_seconds,
        now: started,
        sessions: &sessions,
        file_bytes: None,
    };
    let follow_ups: Vec<Vec<Command>> = running.iter().map(|running| follow_up(running, &context)).collect();
    ask(
        connection,
        follow_ups.iter().flatten(),
        capabilities,
        &mut replies,
        deadline,
    )
    .await?;
    for (requests, mut further) in requests.iter_mut().zip(follow_ups) {
        requests.append(&mut further);
    }
    // One of the further commands may have been CLIENT LIST.
    let clients = match clients {
        Some(clients) => Some(clients),
        None => parse_clients(&replies, own_sockets).await?,
    };
    let context = PollContext {
        clients: clients.as_ref(),
        info: info.as_ref(),
        server: server_or_unknown,
        replies: &replies,
        unavailable: capabilities.all(),
        unix_seconds,
        now: started,
        sessions: &sessions,
        file_bytes: None,
    };
    let exchange = started.elapsed();
    let mut outcomes = Vec::with_capacity(running.len());
    for (collector, requests) in running.iter_mut().zip(&requests) {
        let begun = Instant::now();
        let file_bytes = match file(collector, &context) {
            Some(path) => collector.file_size.of(path, deadline).await,
            None => None,
        };
        let result = collect(collector, &PollContext { file_bytes, ..context })
            .or_else(|error| none_at_sentinels(error, server_or_unknown));
        outcomes.push(CollectorOutcome {
            name: collector.spec.name,
            result,
            missing: missing(std::iter::once(&info_command).chain(requests), capabilities),
            duration: exchange + begun.elapsed(),
        });
    }
    let further = further.and_then(|command| replies.remove(command));
    Ok(InfoPoll {
        outcomes,
        info,
        server,
        further,
    })
}

/// INFO replies longer than this are parsed on a thread of their own. A worker of the runtime that is busy may be the one that
/// watches all sockets and timers, so that one server's ten megabytes would make every other instance late. Ordinary replies are
/// 5 to 60 KiB and take well under a millisecond.
const LARGE_INFO_BYTES: usize = 256 * 1024;

/// Parses an INFO reply without holding up other instances.
async fn parse_info(text: &bytes::Bytes) -> Result<Info, RedisError> {
    if text.len() <= LARGE_INFO_BYTES {
        return Ok(Info::parse(text));
    }
    let text = text.clone();
    let parsed = tokio::task::spawn_blocking(move || Info::parse(&text)).await;
    parsed.map_err(|_| RedisError {
        reason: Reason::Other,
        message: "the INFO reply could not be parsed; please report this".to_owned(),
    })
}

/// Goes through the reply of CLIENT LIST, if somebody asked for it, without holding up other instances: that of ten thousand clients has
/// three megabytes.
async fn parse_clients(replies: &HashMap<Command, Reply>, own: OwnSockets) -> Result<Option<ClientList>, RedisError> {
    let Some(Reply::Bulk(text) | Reply::Simple(text)) = replies.get(&client_list()) else {
        return Ok(None);
    };
    if text.len() <= LARGE_INFO_BYTES {
        return Ok(Some(ClientList::parse(text, own)));
    }
    let text = text.clone();
    let parsed = tokio::task::spawn_blocking(move || ClientList::parse(&text, own)).await;
    parsed.map(Some).map_err(|_| RedisError {
        reason: Reason::Other,
        message: "the reply of CLIENT LIST could not be parsed; please report this".to_owned(),
    })
}

/// Whether it makes sense to send this to the server: one in Sentinel mode has few commands.
fn is_known_by(server: Option<&Server>, command: &Command) -> bool {
    !server.is_some_and(|server| server.is_sentinel) || sentinel::has_command(&command.name())
}

/// That a Sentinel lacks what it cannot have is no failure of the collector that would read it: there is nothing to show.
fn none_at_sentinels(error: CollectError, server: &Server) -> Result<Samples, CollectError> {
    match &error {
        CollectError::Unavailable { command, .. } if server.is_sentinel && !sentinel::has_command(command) => {
            Ok(Samples::new())
        }
        _ => Err(error),
    }
}

/// Sends what is wanted, not known to be unavailable and not answered yet, as one batch; remembers what is refused.
async fn ask<'a>(
    connection: &mut Connection,
    wanted: impl Iterator<Item = &'a Command>,
    capabilities: &mut Capabilities,
    replies: &mut HashMap<Command, Reply>,
    deadline: Instant,
) -> Result<(), RedisError> {
    let mut batch: Vec<Command> = Vec::new();
    for command in wanted {
        let refused = capabilities.get(&command.name()).is_some();
        if !refused && !replies.contains_key(command) && !batch.contains(command) {
            batch.push(command.clone());
        }
    }
    if batch.is_empty() {
        return Ok(());
    }
    let answers = connection.exchange(&batch, deadline).await?;
    for (command, reply) in batch.into_iter().zip(answers) {
        if let Some(reason) = unavailability(&reply) {
            capabilities.note(command.name(), reason, Instant::now());
        }
        replies.insert(command, reply);
    }
    Ok(())
}

/// What one collector asks for when it knows the replies so far. A panic in it asks for nothing; [`collect`] says that it panics.
fn follow_up(running: &RunningCollector, context: &PollContext<'_>) -> Vec<Command> {
    let asked = std::panic::catch_unwind(AssertUnwindSafe(|| running.collector.follow_up(context)));
    let mut commands = asked.unwrap_or_default();
    commands.retain(|command| is_known_by(Some(context.server), command));
    commands
}

/// The file whose size one collector wants to know. A panic in it wants none; [`collect`] says that it panics.
fn file(running: &RunningCollector, context: &PollContext<'_>) -> Option<PathBuf> {
    std::panic::catch_unwind(AssertUnwindSafe(|| running.collector.file(context))).unwrap_or_default()
}

/// Runs one collector. A panic in it is its own failure, not the instance's.
fn collect(running: &mut RunningCollector, context: &PollContext<'_>) -> Result<Samples, CollectError> {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| running.collector.collect(context)));
    outcome.unwrap_or_else(|_| {
        Err(CollectError::Shape {
            command: running.spec.name.to_owned(),
            what: "a collector that does not panic; please report this",
        })
    })
}

fn info_error(reply: &Reply) -> RedisError {
    let code = sanitised_code(reply);
    let reason = crate::redis::reason::classify_error_reply(reply).unwrap_or(Reason::Other);
    RedisError {
        reason,
        message: format!("INFO was refused with {code}"),
    }
}

/// The commands that each collector asks for beside INFO, in the order of the collectors.
fn requests_of(running: &[RunningCollector], server: Option<&Server>) -> Vec<Vec<Command>> {
    running
        .iter()
        .map(|running| {
            let mut commands = running.collector.requests(server);
            commands.retain(|command| is_known_by(server, command));
            commands
        })
        .collect()
}

/// What of a collector's commands is not to be had on this connection.
fn missing<'a>(commands: impl Iterator<Item = &'a Command>, capabilities: &Capabilities) -> Vec<(String, Unavailable)> {
    // The usual case, in which no command's name need be put together.
    if capabilities.all().is_empty() {
        return Vec::new();
    }
    let mut names: Vec<String> = commands.map(Command::name).collect();
    names.dedup();
    let unavailable = |name: String| capabilities.get(&name).map(|reason| (name, reason));
    names.into_iter().filter_map(unavailable).collect()
}
