//! Collector `config`: the few parameters that explain the other figures, and the reader of CONFIG GET that other collectors
//! share.
//!
//! CONFIG GET shows passwords to whoever may run it, so this exporter asks for parameters by name and keeps only those: a reply
//! with anything else in it is read past. `config_all` alone asks for everything, where an operator switches it on.

use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::config::optional::{Compatibility, NO_CONFIG_COMMAND};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::info::parse_number;
use crate::redis::{Command, Reply};
use std::collections::{BTreeMap, BTreeSet};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "config",
    help: "Parameters that explain other figures: limits of memory, clients and buffers. Needs the right to run CONFIG GET.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |config, _| {
        grants::commands(&["info"])
            .into_iter()
            .chain(grants::config_get(config))
            .collect()
    },
    descriptors: || {
        NUMBERS
            .iter()
            .map(|(_, descriptor)| descriptor)
            .chain([&SAVE_POINTS, &BUFFER_LIMIT_BYTES, &BUFFER_LIMIT_SECONDS])
            .collect()
    },
    build: Build::FromReplies(|options| {
        Box::new(Config {
            reader: Reader::new(&options.optional.compatibility),
        })
    }),
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

/// Where the snapshot lies, with `compatibility.rdb_file_size`; read by the collector `persistence`.
const RDB_FILE_PARAMETERS: [&str; 2] = ["dbfilename", "dir"];

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

/// How many save points the server has.
pub static SAVE_POINTS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_config_save_points",
    "Conditions under which the server takes a snapshot by itself (seconds and changes); 0 means that it never does.",
    "CONFIG GET save",
);

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
pub fn takes_several(server: &Server) -> bool {
    server.redis_version >= SEVERAL_PARAMETERS_SINCE && server.product != "dragonfly"
}

/// `CONFIG GET` without its parameters, under the name that the server knows it by (`compatibility.config_command`). `None` when nobody
/// may ask it.
pub fn config_get(config_command: &str) -> Option<Command> {
    let is_asked = config_command != NO_CONFIG_COMMAND;
    is_asked.then(|| Command::new(2, &["CONFIG", "GET"]).sent_as(config_command))
}

/// How CONFIG GET is asked on one instance, and for what: the same for every collector of the instance that needs a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    config_command: String,
    asks_rdb_file: bool,
}

impl Reader {
    /// As the options of the instance say.
    pub fn new(compatibility: &Compatibility) -> Self {
        Self {
            config_command: compatibility.config_command.clone(),
            asks_rdb_file: compatibility.rdb_file_size,
        }
    }

    /// The names that are asked for on this server.
    fn parameters(&self, server: &Server) -> impl Iterator<Item = &'static str> + use<> {
        let of_commandlog: &[&str] = if has_commandlog(server) {
            &COMMANDLOG_PARAMETERS
        } else {
            &[]
        };
        let of_rdb_file: &[&str] = if self.asks_rdb_file { &RDB_FILE_PARAMETERS } else { &[] };
        let further = of_commandlog.iter().chain(of_rdb_file).copied();
        PARAMETERS.into_iter().chain(further)
    }

    /// The commands that fetch every parameter that any collector uses: one on servers that take several parameters (7.0+), else
    /// one per parameter. None while the server is unknown, and none where CONFIG may not be asked.
    pub fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        let (Some(server), Some(config_get)) = (server, config_get(&self.config_command)) else {
            return Vec::new();
        };
        if takes_several(server) {
            let all = self.parameters(server);
            vec![all.fold(config_get, |command, name| command.arg(name))]
        } else {
            let all = self.parameters(server);
            all.map(|name| config_get.clone().arg(name)).collect()
        }
    }

    /// Reads the replies to [`Reader::requests`]. Where CONFIG may not be asked there are no parameters, which is no error.
    ///
    /// # Errors
    /// As [`PollContext::reply`]; `Shape` when a reply is no list of names and values.
    pub fn read(&self, context: &PollContext<'_>) -> Result<Parameters, CollectError> {
        let wanted: BTreeSet<&'static str> = self.parameters(context.server).collect();
        let mut values = BTreeMap::new();
        for command in self.requests(Some(context.server)) {
            let reply = context.reply(&command)?;
            for (name, value) in pairs_of(reply, &command)? {
                let Some(name) = name.as_text().and_then(|name| wanted.get(name)) else {
                    continue;
                };
                if let Some(value) = value.as_text().filter(|value| value.len() <= MAX_VALUE_BYTES) {
                    values.insert(*name, value.to_owned());
                }
            }
        }
        Ok(Parameters { values })
    }

    /// Like [`Reader::read`], for collectors to which parameters are a help and no need: `None` when CONFIG GET is denied or
    /// unsupported, which the collector `config` reports.
    ///
    /// # Errors
    /// As [`Reader::read`], without `Unavailable`.
    pub fn read_if_available(&self, context: &PollContext<'_>) -> Result<Option<Parameters>, CollectError> {
        match self.read(context) {
            Ok(parameters) => Ok(Some(parameters)),
            Err(CollectError::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The names and values of a reply to CONFIG GET.
///
/// # Errors
/// `Shape` when it is no list.
pub fn pairs_of<'a>(
    reply: &'a Reply,
    command: &Command,
) -> Result<impl Iterator<Item = (&'a Reply, &'a Reply)> + use<'a>, CollectError> {
    let elements = reply
        .as_array()
        .ok_or_else(|| CollectError::shape(command, "a list of names and values was expected"))?;
    Ok(elements.chunks_exact(2).filter_map(|pair| match pair {
        [name, value] => Some((name, value)),
        _ => None,
    }))
}

/// What CONFIG GET said about the parameters that were asked for, and nothing else.
#[derive(Debug, Default)]
pub struct Parameters {
    values: BTreeMap<&'static str, String>,
}

impl Parameters {
    /// The text of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a parameter as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(parse_number)
    }
}

struct Config {
    reader: Reader,
}

impl Collector for Config {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        self.reader.requests(server)
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let parameters = self.reader.read(context)?;
        let mut samples = Samples::new();
        for (name, descriptor) in &NUMBERS {
            if let Some(value) = parameters.number(name) {
                samples.push(descriptor, value);
            }
        }
        if let Some(save) = parameters.get("save") {
            samples.push(&SAVE_POINTS, save_points(save) as f64);
        }
        if let Some(limits) = parameters.get("client-output-buffer-limit") {
            push_buffer_limits(limits, &mut samples);
        }
        Ok(samples)
    }
}

/// Counts the pairs of `3600 1 300 100 60 10000`: seconds and changes.
fn save_points(text: &str) -> usize {
    const WORDS_PER_POINT: usize = 2;
    text.split_ascii_whitespace().count() / WORDS_PER_POINT
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

    fn requests(server: Option<&Server>) -> Vec<Command> {
        Reader::new(&Compatibility::default()).requests(server)
    }

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
            let parameters = Reader::new(&Compatibility::default()).read(context).unwrap();
            assert!(!format!("{parameters:?}").contains("s3cret"));
        });
    }

    #[test]
    fn save_points_are_counted_and_none_is_zero() {
        for (save, points) in [("3600 1 300 100 60 10000", 3.0), ("", 0.0)] {
            let samples = Scene::new(REDIS_7).config(&[("save", save)]).collect(&SPEC).unwrap();
            assert_eq!(samples.number(SAVE_POINTS.name), Some(points));
        }
        let samples = Scene::new(REDIS_7)
            .config(&[("maxmemory", "1")])
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.number(SAVE_POINTS.name), None);
    }

    #[test]
    fn denied_means_no_parameters_for_those_who_can_do_without() {
        let scene = Scene::new(REDIS_7).config_reply(Reply::Error("NOPERM this user has no permissions".into()));
        assert!(matches!(scene.collect(&SPEC), Err(CollectError::Unavailable { .. })));
        let reader = Reader::new(&Compatibility::default());
        scene.with_context(|context| assert!(reader.read_if_available(context).unwrap().is_none()));
    }

    #[test]
    fn a_renamed_config_is_asked_under_its_name_and_a_forbidden_one_not_at_all() {
        let server = crate::collectors::identity::identify(&crate::redis::Info::parse(REDIS_7.as_bytes()));
        let of = |config_command: &str, rdb_file_size| {
            let compatibility = Compatibility {
                config_command: config_command.to_owned(),
                rdb_file_size,
                ..Compatibility::default()
            };
            Reader::new(&compatibility).requests(Some(&server))
        };
        let renamed = of("HIDDEN", true);
        assert_eq!(renamed[0].words()[0], b"HIDDEN".as_slice());
        assert_eq!(renamed[0].name(), "config|get");
        assert_eq!(
            renamed[0].words().len(),
            2 + PARAMETERS.len() + RDB_FILE_PARAMETERS.len()
        );
        assert_eq!(of("-", true), []);
        let mut scene = Scene::new(REDIS_7);
        scene.options.optional.compatibility.config_command = "-".to_owned();
        assert!(scene.collect(&SPEC).unwrap().is_empty());
    }

    #[test]
    fn a_reply_of_another_shape_is_an_error() {
        let scene = Scene::new(REDIS_7).config_reply(Reply::Integer(1));
        assert!(matches!(scene.collect(&SPEC), Err(CollectError::Shape { .. })));
    }
}
