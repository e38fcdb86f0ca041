//! Collector `config`: the few parameters that explain the other figures, and the reader of CONFIG GET that other collectors
//! share.
//!
//! CONFIG GET shows passwords to whoever may run it, so this exporter asks for parameters by name and keeps only those: a reply
//! with anything else in it is read past.

use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;
#[cfg(test)]
use crate::redis::Reply;
use crate::redis::info::parse_number;
use std::collections::{BTreeMap, BTreeSet};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "config",
    help: "Parameters that explain other figures: limits of memory, clients and buffers. Needs the right to run CONFIG GET.",
    default_on: true,
    schedule: Schedule::Info,
    descriptors: || {
        NUMBERS
            .iter()
            .map(|(_, descriptor)| descriptor)
            .chain([&BUFFER_LIMIT_BYTES, &BUFFER_LIMIT_SECONDS])
            .collect()
    },
    build: Build::FromReplies(|_| Box::new(Config)),
};

/// Parameters that some collector uses, on every server. All of them travel in one command, the same for every collector that
/// needs any, so that a poll sends it once.
const PARAMETERS: [&str; 7] = [
    "client-output-buffer-limit",
    "databases",
    "io-threads",
    "maxclients",
    "maxmemory",
    "repl-backlog-size",
    "save",
];

/// Parameters of COMMANDLOG, on Valkey from 8.1 on; read by the collector `slowlog`.
const COMMANDLOG_PARAMETERS: [&str; 6] = [
    "commandlog-execution-slower-than",
    "commandlog-large-reply-max-len",
    "commandlog-large-request-max-len",
    "commandlog-reply-larger-than",
    "commandlog-request-larger-than",
    "commandlog-slow-execution-max-len",
];

/// Parameters that are a number, and the metric that each becomes.
static NUMBERS: [(&str, Descriptor); 4] = [
    (
        "maxmemory",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_config_maxmemory",
            "Configured limit of memory in bytes; 0 means no limit.",
            "CONFIG GET maxmemory",
        ),
    ),
    (
        "maxclients",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_config_maxclients",
            "Configured limit of clients; beyond it connections are turned away.",
            "CONFIG GET maxclients",
        ),
    ),
    (
        "io-threads",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_config_io_threads",
            "Configured number of threads for reading and writing; 1 means the main thread alone.",
            "CONFIG GET io-threads (6.0+)",
        ),
    ),
    (
        "repl-backlog-size",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_config_repl_backlog_size",
            "Configured size of the replication backlog in bytes: how long a replica may be away without a full resync.",
            "CONFIG GET repl-backlog-size",
        ),
    ),
];

static BUFFER_LIMIT_BYTES: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_config_client_output_buffer_limit_bytes",
    "Output buffer at which a client of the class is disconnected: at once (hard), or after some seconds (soft). 0 means never.",
    "CONFIG GET client-output-buffer-limit",
)
.with_labels(&["class", "limit"]);

static BUFFER_LIMIT_SECONDS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_config_client_output_buffer_limit_overcome_seconds",
    "How long a client of the class may stay above its soft limit.",
    "CONFIG GET client-output-buffer-limit",
)
.with_labels(&["class", "limit"]);

/// Classes of clients that a server knows; `slave` is called `replica` by some forks.
const CLIENT_CLASSES: [&str; 4] = ["normal", "slave", "replica", "pubsub"];

/// Longest value of a parameter that is kept; `save` and `client-output-buffer-limit` are below 200 bytes.
const MAX_VALUE_BYTES: usize = 4_096;

/// First version whose CONFIG GET takes several parameters at once.
const SEVERAL_PARAMETERS_SINCE: (u32, u32, u32) = (7, 0, 0);

/// First Valkey version with COMMANDLOG.
const COMMANDLOG_SINCE: (u32, u32, u32) = (8, 1, 0);

/// Whether the server has COMMANDLOG (Valkey from 8.1 on).
pub fn has_commandlog(server: &Server) -> bool {
    server.product == "valkey" && server.version_numbers >= COMMANDLOG_SINCE
}

/// Whether CONFIG GET takes several parameters; Dragonfly's takes one whatever version it claims to be compatible with.
fn takes_several(server: &Server) -> bool {
    server.redis_version >= SEVERAL_PARAMETERS_SINCE && server.product != "dragonfly"
}

/// The names that are asked for on this server.
fn parameters(server: &Server) -> impl Iterator<Item = &'static str> {
    let more: &[&str] = if has_commandlog(server) {
        &COMMANDLOG_PARAMETERS
    } else {
        &[]
    };
    PARAMETERS.into_iter().chain(more.iter().copied())
}

/// The commands that fetch every parameter that any collector uses: one on servers that take several parameters (7.0+), else
/// one per parameter. None while the server is unknown.
pub fn requests(server: Option<&Server>) -> Vec<Command> {
    let Some(server) = server else { return Vec::new() };
    let config_get = || Command::new(2, &["CONFIG", "GET"]);
    if takes_several(server) {
        vec![parameters(server).fold(config_get(), |command, name| command.arg(name))]
    } else {
        parameters(server).map(|name| config_get().arg(name)).collect()
    }
}

/// What CONFIG GET said about the parameters that were asked for, and nothing else.
#[derive(Debug, Default)]
pub struct Parameters {
    values: BTreeMap<&'static str, String>,
}

impl Parameters {
    /// Reads the replies to [`requests`].
    ///
    /// # Errors
    /// As [`PollContext::reply`]; `Shape` when a reply is no list of names and values.
    pub fn read(context: &PollContext<'_>) -> Result<Self, CollectError> {
        let wanted: BTreeSet<&'static str> = parameters(context.server).collect();
        let mut values = BTreeMap::new();
        for command in requests(Some(context.server)) {
            let reply = context.reply(&command)?;
            let elements = reply.as_array().ok_or_else(|| CollectError::Shape {
                command: command.name(),
                what: "a list of names and values was expected",
            })?;
            for pair in elements.chunks_exact(2) {
                let [name, value] = pair else { continue };
                let Some(name) = name.as_text().and_then(|name| wanted.get(name)) else {
                    continue;
                };
                if let Some(value) = value.as_text().filter(|value| value.len() <= MAX_VALUE_BYTES) {
                    values.insert(*name, value.to_owned());
                }
            }
        }
        Ok(Self { values })
    }

    /// Like [`Parameters::read`], for collectors to which parameters are a help and no need: `None` when CONFIG GET is denied or
    /// unsupported, which the collector `config` reports.
    ///
    /// # Errors
    /// As [`Parameters::read`], without `Unavailable`.
    pub fn read_if_available(context: &PollContext<'_>) -> Result<Option<Self>, CollectError> {
        match Self::read(context) {
            Ok(parameters) => Ok(Some(parameters)),
            Err(CollectError::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The text of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a parameter as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(parse_number)
    }
}

struct Config;

impl Collector for Config {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        requests(server)
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let parameters = Parameters::read(context)?;
        let mut samples = Samples::new();
        for (name, descriptor) in &NUMBERS {
            if let Some(value) = parameters.number(name) {
                samples.push(descriptor, value);
            }
        }
        if let Some(limits) = parameters.get("client-output-buffer-limit") {
            push_buffer_limits(limits, &mut samples);
        }
        Ok(samples)
    }
}

/// Reads `normal 0 0 0 slave 268435456 67108864 60 ...`: class, hard limit, soft limit, seconds.
fn push_buffer_limits(text: &str, samples: &mut Samples) {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let mut seen = BTreeSet::new();
    for group in words.chunks_exact(4) {
        let [class, hard, soft, seconds] = group else { continue };
        let Some(class) = CLIENT_CLASSES
            .into_iter()
            .find(|known| known == class)
            .filter(|class| seen.insert(*class))
        else {
            continue;
        };
        let mut push = |descriptor, limit: &'static str, value: &str| {
            if let Some(value) = parse_number(value) {
                samples.push_with(
                    descriptor,
                    vec![("class", class.into()), ("limit", limit.into())],
                    value,
                );
            }
        };
        push(&BUFFER_LIMIT_BYTES, "hard", hard);
        push(&BUFFER_LIMIT_BYTES, "soft", soft);
        push(&BUFFER_LIMIT_SECONDS, "soft", seconds);
    }
}

/// The names and values of a CONFIG GET reply as a reply, for tests of collectors.
#[cfg(test)]
pub fn reply_of(pairs: &[(&str, &str)]) -> Reply {
    let bulk = |text: &str| Reply::Bulk(bytes::Bytes::copy_from_slice(text.as_bytes()));
    Reply::Array(
        pairs
            .iter()
            .flat_map(|(name, value)| [bulk(name), bulk(value)])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::Scene;

    const REDIS_7: &str = "redis_version:7.0.15\r\n";

    #[test]
    fn one_command_names_every_parameter_and_nothing_else() {
        let server = crate::collectors::identity::identify(&crate::redis::Info::parse(REDIS_7.as_bytes()));
        let commands = requests(Some(&server));
        assert_eq!(commands.len(), 1);
        let words: Vec<String> = commands[0]
            .words()
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        assert_eq!(words[..2], ["CONFIG", "GET"]);
        assert_eq!(words[2..], PARAMETERS);
        assert!(words.iter().all(|word| !word.contains('*')));
        assert!(requests(None).is_empty());
    }

    #[test]
    fn old_servers_are_asked_one_by_one_and_valkey_for_its_command_log() {
        let old = Server {
            product: "redis".into(),
            redis_version: (6, 2, 7),
            ..Server::default()
        };
        assert_eq!(requests(Some(&old)).len(), PARAMETERS.len());
        let valkey = Server {
            product: "valkey".into(),
            version_numbers: (8, 1, 1),
            redis_version: (7, 2, 4),
            ..Server::default()
        };
        let commands = requests(Some(&valkey));
        assert_eq!(commands.len(), 1);
        assert_eq!(
            commands[0].words().len(),
            2 + PARAMETERS.len() + COMMANDLOG_PARAMETERS.len()
        );
    }

    #[test]
    fn values_are_read_by_name_and_secrets_are_not_kept() {
        let pairs = [
            ("maxmemory", "123"),
            ("requirepass", "s3cret"),
            (
                "client-output-buffer-limit",
                "normal 1 2 3 slave 268435456 67108864 60 odd 1 1 1 pubsub 32",
            ),
        ];
        let scene = Scene::new(REDIS_7).config(&pairs);
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(samples.number("redis_config_maxmemory"), Some(123.0));
        assert_eq!(samples.number("redis_config_maxclients"), None);
        assert_eq!(
            samples.number_with(BUFFER_LIMIT_BYTES.name, &["normal", "soft"]),
            Some(2.0)
        );
        assert_eq!(
            samples.number_with(BUFFER_LIMIT_SECONDS.name, &["slave", "soft"]),
            Some(60.0)
        );
        assert!(!format!("{samples:?}").contains("odd"));
        scene.with_context(|context| {
            let parameters = Parameters::read(context).unwrap();
            assert!(!format!("{parameters:?}").contains("s3cret"));
        });
    }

    #[test]
    fn denied_means_no_parameters_for_those_who_can_do_without() {
        let scene =
            Scene::new(REDIS_7).answer_all(&requests, Reply::Error("NOPERM this user has no permissions".into()));
        assert!(matches!(scene.collect(&SPEC), Err(CollectError::Unavailable { .. })));
        scene.with_context(|context| assert!(Parameters::read_if_available(context).unwrap().is_none()));
    }

    #[test]
    fn a_reply_of_another_shape_is_an_error() {
        let scene = Scene::new(REDIS_7).answer_all(&requests, Reply::Integer(1));
        assert!(matches!(scene.collect(&SPEC), Err(CollectError::Shape { .. })));
    }
}
