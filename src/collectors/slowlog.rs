//! Collector `slowlog`: how many slow commands the server remembers, and the last of them. On Valkey from 8.1 on also the
//! lengths and thresholds of COMMANDLOG. Arguments of logged commands are never looked at.

use super::table::MICROSECONDS_PER_SECOND;
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, config, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "slowlog",
    help: "Slow commands: how many are remembered, the last one's number and duration.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |config, server| {
        let parameters = grants::config_get(config).filter(|_| config::has_commandlog(server));
        let commands = grants::commands(&["info", "slowlog|len", "slowlog|get", "commandlog|len"]);
        commands.into_iter().chain(parameters).collect()
    },
    descriptors: || {
        [&LENGTH, &LAST_ID, &LAST_DURATION]
            .into_iter()
            .chain(COMMANDLOG_LENGTHS.iter().map(|(_, descriptor)| descriptor))
            .chain(COMMANDLOG_PARAMETERS.iter().map(|(_, descriptor)| descriptor))
            .collect()
    },
    build: Build::FromReplies(|options| {
        Box::new(Slowlog {
            reader: config::Reader::new(&options.optional.compatibility),
        })
    }),
};

static LENGTH: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_slowlog_length",
    "Entries in the slow log, at most slowlog-max-len; redis_slowlog_last_id counts on beyond that.",
    "SLOWLOG LEN",
);

static LAST_ID: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_slowlog_last_id",
    "Number of the last slow command. It grows by one per slow command until the server restarts; 0 also when there was none.",
    "SLOWLOG GET 1",
);

static LAST_DURATION: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_last_slow_execution_duration_seconds",
    "Execution time of the last slow command; 0 when there was none.",
    "SLOWLOG GET 1",
);

/// Kinds of COMMANDLOG and the metric that holds each one's length.
static COMMANDLOG_LENGTHS: [(&str, Descriptor); 3] = [
    (
        "slow",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_slow_length",
            "Entries in the log of slow commands.",
            "COMMANDLOG LEN slow (Valkey 8.1+)",
        ),
    ),
    (
        "large-request",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_large_request_length",
            "Entries in the log of commands with large requests.",
            "COMMANDLOG LEN large-request (Valkey 8.1+)",
        ),
    ),
    (
        "large-reply",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_large_reply_length",
            "Entries in the log of commands with large replies.",
            "COMMANDLOG LEN large-reply (Valkey 8.1+)",
        ),
    ),
];

/// Parameters of COMMANDLOG and the metric that each becomes.
static COMMANDLOG_PARAMETERS: [(&str, Descriptor); 6] = [
    (
        "commandlog-execution-slower-than",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_execution_slower_than",
            "Microseconds of execution from which a command counts as slow; negative means that none is logged.",
            "CONFIG GET commandlog-execution-slower-than (Valkey 8.1+)",
        ),
    ),
    (
        "commandlog-slow-execution-max-len",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_slow_execution_max_len",
            "Most entries that the log of slow commands keeps.",
            "CONFIG GET commandlog-slow-execution-max-len (Valkey 8.1+)",
        ),
    ),
    (
        "commandlog-request-larger-than",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_request_larger_than",
            "Bytes from which a request counts as large; negative means that none is logged.",
            "CONFIG GET commandlog-request-larger-than (Valkey 8.1+)",
        ),
    ),
    (
        "commandlog-large-request-max-len",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_large_request_max_len",
            "Most entries that the log of large requests keeps.",
            "CONFIG GET commandlog-large-request-max-len (Valkey 8.1+)",
        ),
    ),
    (
        "commandlog-reply-larger-than",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_reply_larger_than",
            "Bytes from which a reply counts as large; negative means that none is logged.",
            "CONFIG GET commandlog-reply-larger-than (Valkey 8.1+)",
        ),
    ),
    (
        "commandlog-large-reply-max-len",
        Descriptor::new(
            MetricKind::Gauge,
            "redis_commandlog_large_reply_max_len",
            "Most entries that the log of large replies keeps.",
            "CONFIG GET commandlog-large-reply-max-len (Valkey 8.1+)",
        ),
    ),
];

fn slowlog_len() -> Command {
    Command::new(2, &["SLOWLOG", "LEN"])
}

fn slowlog_get() -> Command {
    Command::new(2, &["SLOWLOG", "GET", "1"])
}

fn commandlog_len(kind: &'static str) -> Command {
    Command::new(2, &["COMMANDLOG", "LEN", kind])
}

struct Slowlog {
    reader: config::Reader,
}

impl Collector for Slowlog {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        let mut commands = vec![slowlog_len(), slowlog_get()];
        if let Some(server) = server.filter(|server| config::has_commandlog(server)) {
            commands.extend(COMMANDLOG_LENGTHS.iter().map(|(kind, _)| commandlog_len(kind)));
            commands.extend(self.reader.requests(Some(server)));
        }
        commands
    }

    /// SLOWLOG LEN is needed; the rest is published where it is available.
    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let mut samples = Samples::new();
        let length = integer(context, &slowlog_len())?;
        samples.push(&LENGTH, length);
        match context.reply(&slowlog_get()) {
            Ok(reply) => {
                let entries = reply
                    .as_array()
                    .ok_or_else(|| CollectError::shape(&slowlog_get(), "a list of entries was expected"))?;
                // [id, unix seconds, microseconds, arguments, ...]: 6 elements since 4.0, 7 in Redis 8.10. An empty log
                // reads 0 and 0, as dashboards made for the peer expect.
                let (id, microseconds) = match entries.first().map(|entry| entry.as_array()) {
                    None => (0, 0),
                    Some(Some([id, _, microseconds, ..])) => match (id.as_integer(), microseconds.as_integer()) {
                        (Some(id), Some(microseconds)) => (id, microseconds),
                        _ => {
                            return Err(CollectError::shape(
                                &slowlog_get(),
                                "a number and a duration were expected",
                            ));
                        }
                    },
                    Some(_) => {
                        return Err(CollectError::shape(
                            &slowlog_get(),
                            "an entry of three or more elements was expected",
                        ));
                    }
                };
                samples.push(&LAST_ID, id as f64);
                samples.push(&LAST_DURATION, microseconds as f64 / MICROSECONDS_PER_SECOND);
            }
            Err(CollectError::Unavailable { .. }) => {}
            Err(error) => return Err(error),
        }
        if config::has_commandlog(context.server) {
            for (kind, descriptor) in &COMMANDLOG_LENGTHS {
                match integer(context, &commandlog_len(kind)) {
                    Ok(length) => samples.push(descriptor, length),
                    Err(CollectError::Unavailable { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if let Some(parameters) = self.reader.read_if_available(context)? {
                for (name, descriptor) in &COMMANDLOG_PARAMETERS {
                    if let Some(value) = parameters.number(name) {
                        samples.push(descriptor, value);
                    }
                }
            }
        }
        Ok(samples)
    }
}

/// The integer that a command answered with.
fn integer(context: &PollContext<'_>, command: &Command) -> Result<f64, CollectError> {
    let number = context
        .reply(command)?
        .as_integer()
        .ok_or_else(|| CollectError::shape(command, "an integer was expected"))?;
    Ok(number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, parse_reply};
    use crate::redis::Reply;

    fn scene(info: &str, entry: &[u8]) -> Scene {
        Scene::new(info)
            .answer(slowlog_len(), Reply::Integer(128))
            .answer(slowlog_get(), parse_reply(entry))
    }

    #[test]
    fn entries_of_six_and_of_seven_elements() {
        let six = b"*1\r\n*6\r\n:153\r\n:1795170440\r\n:2500000\r\n*1\r\n$4\r\nPING\r\n$1\r\na\r\n$0\r\n\r\n";
        let seven = b"*1\r\n*7\r\n:153\r\n:1795170440\r\n:2500000\r\n*1\r\n$4\r\nPING\r\n$1\r\na\r\n$0\r\n\r\n:1\r\n";
        for entry in [six.as_slice(), seven.as_slice()] {
            let samples = scene("redis_version:8.10.0\r\n", entry).collect(&SPEC).unwrap();
            assert_eq!(samples.number("redis_slowlog_last_id"), Some(153.0));
            assert_eq!(samples.number("redis_last_slow_execution_duration_seconds"), Some(2.5));
            assert_eq!(samples.number("redis_slowlog_length"), Some(128.0));
        }
    }

    #[test]
    fn an_empty_log_is_zero_and_a_broken_entry_an_error() {
        let samples = scene("", b"*0\r\n").collect(&SPEC).unwrap();
        assert_eq!(samples.number("redis_slowlog_last_id"), Some(0.0));
        let broken = scene("", b"*1\r\n*2\r\n:1\r\n:2\r\n").collect(&SPEC);
        assert!(matches!(broken, Err(CollectError::Shape { .. })));
    }

    #[test]
    fn the_command_log_is_asked_for_on_valkey_from_8_1_on() {
        let asked = |product: &str, version| {
            let server = Server {
                product: product.into(),
                version_numbers: version,
                ..Server::default()
            };
            let reader = config::Reader::new(&crate::config::optional::Compatibility::default());
            Slowlog { reader }.requests(Some(&server)).len() > 2
        };
        assert!(asked("valkey", (8, 1, 0)) && asked("valkey", (9, 1, 2)));
        assert!(!asked("valkey", (8, 0, 4)) && !asked("redis", (8, 10, 0)));
        let info = "redis_version:7.2.4\r\nvalkey_version:9.1.2\r\n";
        let samples = scene(info, b"*0\r\n")
            .answer(commandlog_len("slow"), Reply::Integer(3))
            .answer(commandlog_len("large-reply"), Reply::Integer(4))
            .config(&[("commandlog-reply-larger-than", "1048576")])
            .collect(&SPEC)
            .unwrap();
        assert_eq!(samples.number("redis_commandlog_slow_length"), Some(3.0));
        assert_eq!(samples.number("redis_commandlog_large_reply_length"), Some(4.0));
        assert_eq!(samples.number("redis_commandlog_large_request_length"), None);
        assert_eq!(samples.number("redis_commandlog_reply_larger_than"), Some(1_048_576.0));
    }
}
