//! Connections with and without TLS: when they are counted, and by what they are told apart.

use super::listeners::{Listeners, PORT_PARAMETERS, has_port_parameters};
use crate::collectors::client_list::client_list;
use crate::collectors::client_list::pace::{Pace, has_too_many_clients};
use crate::collectors::config::{config_get, pairs_of, takes_several};
use crate::collectors::grants::{self, Grant};
use crate::collectors::{CollectError, PollContext, Server};
use crate::config::InstanceConfig;
use crate::redis::Command;

/// First version whose CLIENT LIST tells at which address of the server a client came in.
const LADDR_SINCE: (u32, u32, u32) = (6, 2, 0);

/// First version whose INFO names the listeners.
const LISTENERS_SINCE: (u32, u32, u32) = (7, 2, 0);

/// What a user must be granted: CLIENT LIST where it tells where clients came in, and CONFIG GET where INFO does not name the ports.
pub(super) fn grants(config: &InstanceConfig, server: &Server) -> Vec<Grant> {
    let mut grants = grants::commands(&["info"]);
    let is_named = server.redis_version >= LISTENERS_SINCE;
    // A Sentinel has no CONFIG.
    let config_get = grants::config_get(config).filter(|_| has_port_parameters(server) && !server.is_sentinel);
    if server.redis_version >= LADDR_SINCE && (is_named || config_get.is_some()) {
        grants.push(grants::command("client|list"));
        grants.extend(config_get.filter(|_| !is_named));
    }
    grants
}

/// Connections by kind of listener, as they were counted last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connections {
    /// The server that they are connected to.
    run_id: String,
    pub(super) plain: u64,
    pub(super) tls: u64,
}

/// What is known of the connections after a poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Count<'count> {
    /// The last count.
    Known(&'count Connections),
    /// It cannot be told here, or not yet.
    Unknown,
    /// The server has more clients than may be listed.
    TooMany,
}

/// Counts connections from time to time.
#[derive(Debug)]
pub(super) struct ConnectionCount {
    config_command: String,
    pace: Pace,
    last: Option<Connections>,
}

impl ConnectionCount {
    /// `config_command` is the name by which the server knows CONFIG (`compatibility.config_command`).
    pub(super) fn new(config_command: &str) -> Self {
        Self {
            config_command: config_command.to_owned(),
            pace: Pace::default(),
            last: None,
        }
    }

    /// CLIENT LIST, where it is due and its lines can be told apart afterwards, with what is needed for that.
    pub(super) fn requests(&self, context: &PollContext<'_>) -> Vec<Command> {
        let Some(ports) = self.port_requests(context) else {
            return Vec::new();
        };
        let all = || ports.iter().cloned().chain([client_list()]);
        let is_refused = |command: &Command| context.unavailable.contains_key(&command.name());
        if all().any(|command| is_refused(&command)) {
            // Not sent; named, so that they are shown as missing. The others would be asked for nothing.
            return all().filter(is_refused).collect();
        }
        if self.pace.is_due(context) {
            all().collect()
        } else {
            Vec::new()
        }
    }

    /// The commands that ask for the ports, none where INFO names the listeners; `None` where nobody can tell connections apart.
    fn port_requests(&self, context: &PollContext<'_>) -> Option<Vec<Command>> {
        let info = context.info.filter(|_| context.server.redis_version >= LADDR_SINCE)?;
        if Listeners::of_info(info).is_some() {
            return Some(Vec::new());
        }
        if !has_port_parameters(context.server) || context.server.is_sentinel {
            return None;
        }
        let config_get = config_get(&self.config_command)?;
        Some(if takes_several(context.server) {
            vec![PORT_PARAMETERS.into_iter().fold(config_get, Command::arg)]
        } else {
            let each = PORT_PARAMETERS.into_iter();
            each.map(|name| config_get.clone().arg(name)).collect()
        })
    }

    /// Takes a new count where there is one, and forgets the last where it is about another server or nothing counts any more.
    ///
    /// # Errors
    /// When one of the commands answered with an error that says nothing about the next time, or in an unknown shape.
    pub(super) fn update(&mut self, context: &PollContext<'_>) -> Result<Count<'_>, CollectError> {
        self.last = self
            .last
            .take()
            .filter(|counted| counted.run_id == context.server.run_id);
        self.pace.note(context);
        let ports = self.port_requests(context);
        let all = ports.iter().flatten().cloned().chain([client_list()]);
        let is_refused = all
            .map(|command| command.name())
            .any(|name| context.unavailable.contains_key(&name));
        let Some(ports) = ports.filter(|_| !is_refused) else {
            self.last = None;
            return Ok(Count::Unknown);
        };
        let Some(clients) = context.clients else {
            if context.replies.contains_key(&client_list()) {
                context.reply(&client_list())?;
                return Err(CollectError::shape(&client_list(), "a text was expected"));
            }
            if has_too_many_clients(context) {
                self.last = None;
                return Ok(Count::TooMany);
            }
            return Ok(self.known());
        };
        let listeners = match context.info.and_then(Listeners::of_info) {
            Some(listeners) => Some(listeners),
            None => asked_listeners(context, &ports)?,
        };
        // Another collector may have asked for the list when the ports were not due.
        if let Some(listeners) = listeners {
            let of_kind = |is_tls: bool| {
                let ports = clients
                    .by_port()
                    .filter(|(port, _)| listeners.is_tls(*port) == Some(is_tls));
                ports.map(|(_, count)| count).sum()
            };
            self.last = Some(Connections {
                run_id: context.server.run_id.clone(),
                plain: of_kind(false),
                tls: of_kind(true),
            });
        }
        Ok(self.known())
    }

    fn known(&self) -> Count<'_> {
        self.last.as_ref().map_or(Count::Unknown, Count::Known)
    }
}

/// The ports as CONFIG GET tells them; `None` when it was not asked, or does not know them.
fn asked_listeners(context: &PollContext<'_>, ports: &[Command]) -> Result<Option<Listeners>, CollectError> {
    let mut parameters = Vec::new();
    for command in ports {
        if !context.replies.contains_key(command) {
            return Ok(None);
        }
        for (name, value) in pairs_of(context.reply(command)?, command)? {
            if let (Some(name), Some(value)) = (name.as_text(), value.as_text()) {
                parameters.push((name, value));
            }
        }
    }
    Ok(Listeners::of_parameters(&parameters))
}
