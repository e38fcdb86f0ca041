//! Collector `config_all`: every parameter of the server, with `<secret>` in place of whatever may be one.

mod redaction;

pub use redaction::{is_secret, shown};

use super::admission::MAX_LABEL_VALUE_BYTES;
use super::config::{config_get, pairs_of};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::config::types::SECRET_PLACEHOLDER;
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::info::parse_number;
use crate::redis::{Command, Reply};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "config_all",
    help: "Every parameter of CONFIG GET *, `<secret>` in place of whatever may be one. Needs the right to run CONFIG GET.",
    default_on: false,
    schedule: Schedule::Info,
    grants: |config, _| {
        grants::commands(&["info"])
            .into_iter()
            .chain(grants::config_get(config))
            .collect()
    },
    descriptors: || vec![&KEY_VALUE, &VALUE],
    build: Build::FromReplies(|options| {
        let config_command = &options.optional.compatibility.config_command;
        Box::new(ConfigAll {
            command: config_get(config_command).map(|command| command.arg("*")),
        })
    }),
};

static KEY_VALUE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_config_key_value",
    "1 for every parameter of the server with its value as text. <secret> stands for every value that is, or may be, a secret, set or not.",
    "CONFIG GET *",
)
.with_labels(&["key", "value"]);

static VALUE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_config_value",
    "Value of every parameter of the server that is a number and no secret.",
    "CONFIG GET *",
)
.with_labels(&["key"]);

/// Most parameters that are shown. Valkey 9.1 has 237, a Redis 8 with all its modules some 80 more.
const MAX_PARAMETERS: usize = 1_000;

/// Longest value that is shown; the longest of a real server are lists of addresses and save points.
const MAX_VALUE_BYTES: usize = 1_024;

struct ConfigAll {
    /// `None` where CONFIG may not be asked.
    command: Option<Command>,
}

impl Collector for ConfigAll {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        self.command.iter().cloned().collect()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let mut samples = Samples::new();
        let Some(command) = &self.command else {
            return Ok(samples);
        };
        let mut parameters: BTreeMap<String, String> = BTreeMap::new();
        let mut dropped = 0;
        for (name, value) in pairs_of(context.reply(command)?, command)? {
            let (Some(name), Some(value)) = (text(name, MAX_LABEL_VALUE_BYTES), text(value, MAX_VALUE_BYTES)) else {
                dropped += 1;
                continue;
            };
            if parameters.len() < MAX_PARAMETERS || parameters.contains_key(&name) {
                parameters.entry(name).or_insert(value);
            } else {
                dropped += 1;
            }
        }
        samples.note_dropped(dropped);
        for (name, value) in &parameters {
            let value = shown(name, value);
            let labels = vec![("key", name.clone().into()), ("value", value.to_owned().into())];
            samples.push_with(&KEY_VALUE, labels, 1.0);
            if value != SECRET_PLACEHOLDER
                && let Some(number) = parse_number(value)
            {
                samples.push_with(&VALUE, vec![("key", name.clone().into())], number);
            }
        }
        Ok(samples)
    }
}

/// The text of a name or value, what is not UTF-8 in it as `\xff`; `None` when it is no string or longer than `max_bytes`.
fn text(reply: &Reply, max_bytes: usize) -> Option<String> {
    let bytes = reply.as_bytes().filter(|bytes| bytes.len() <= max_bytes)?;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, parse_reply};
    use std::path::Path;

    fn command() -> Command {
        config_get("CONFIG").unwrap().arg("*")
    }

    fn collect(reply: Reply) -> Samples {
        let scene = Scene::new("redis_version:7.0.15\r\n").answer(command(), reply);
        scene.collect(&SPEC).unwrap()
    }

    fn pairs(samples: &Samples) -> BTreeMap<String, String> {
        let family = samples
            .families()
            .iter()
            .find(|family| family.descriptor.name == KEY_VALUE.name);
        let labels = family.unwrap().samples.iter().map(|sample| &sample.labels);
        labels
            .map(|labels| (labels[0].1.to_string(), labels[1].1.to_string()))
            .collect()
    }

    /// Every secret of the recorded servers was set to something with `hunter2` in it (tests/fixtures/capture.py).
    #[test]
    fn no_secret_of_a_real_server_is_shown_and_nothing_else_is_hidden() {
        let expected = [
            ("redis-7.0", 192, "tls-client-key-file tls-key-file"),
            ("redis-8.0", 203, "tls-client-key-file tls-key-file"),
            (
                "valkey-8.1",
                227,
                "primaryauth primaryuser tls-client-key-file tls-key-file",
            ),
            (
                "valkey-9.1",
                237,
                "hash-seed primaryauth primaryuser tls-client-key-file tls-key-file",
            ),
        ];
        let everywhere = "aclfile masterauth masteruser requirepass tls-client-key-file-pass tls-key-file-pass";
        for (server, count, more) in expected {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures/replies")
                .join(server);
            let samples = collect(parse_reply(&std::fs::read(folder.join("config-get-all.resp")).unwrap()));
            assert!(!format!("{samples:?}").contains("hunter2"), "{server}");
            let pairs = pairs(&samples);
            assert_eq!(pairs.len(), count, "{server}");
            let hidden: Vec<&str> = pairs
                .iter()
                .filter(|(_, value)| *value == SECRET_PLACEHOLDER)
                .map(|(name, _)| name.as_str())
                .collect();
            let mut wanted: Vec<&str> = everywhere.split(' ').chain(more.split(' ')).collect();
            wanted.sort_unstable();
            assert_eq!(hidden, wanted, "{server}");
            assert_eq!(
                samples.number_with(VALUE.name, &["maxclients"]),
                Some(10_000.0),
                "{server}"
            );
            assert_eq!(samples.number_with(VALUE.name, &["requirepass"]), None);
            assert_eq!(pairs["maxmemory-policy"], "noeviction");
            assert_eq!(samples.dropped(), 0);
        }
    }

    #[test]
    fn what_has_no_end_is_bounded_and_counted() {
        let bulk = |text: &str| Reply::Bulk(bytes::Bytes::copy_from_slice(text.as_bytes()));
        let mut elements: Vec<Reply> = Vec::new();
        for number in 0..MAX_PARAMETERS + 7 {
            elements.extend([bulk(&format!("parameter-{number}")), bulk("1")]);
        }
        elements.extend([bulk(&"x".repeat(MAX_LABEL_VALUE_BYTES + 1)), bulk("1")]);
        elements.extend([bulk("dir"), bulk(&"x".repeat(MAX_VALUE_BYTES + 1))]);
        elements.push(bulk("one without a value"));
        let samples = collect(Reply::Array(elements));
        assert_eq!(pairs(&samples).len(), MAX_PARAMETERS);
        assert_eq!(samples.dropped(), 9);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_bytes() {
        let bulk = |bytes: &'static [u8]| Reply::Bulk(bytes::Bytes::from_static(bytes));
        let samples = collect(Reply::Array(vec![bulk(b"dir"), bulk(b"/d\xff\xfe/\xc3\xa9")]));
        assert_eq!(pairs(&samples)["dir"], "/d\\xff\\xfe/\u{e9}");
    }

    #[test]
    fn a_denied_or_broken_reply_publishes_nothing() {
        let scene = Scene::new("redis_version:7.0.15\r\n");
        let denied = scene.answer(command(), Reply::Error("NOPERM no".into()));
        assert!(matches!(denied.collect(&SPEC), Err(CollectError::Unavailable { .. })));
        let scene = Scene::new("redis_version:7.0.15\r\n");
        let broken = scene.answer(command(), Reply::Integer(1));
        assert!(matches!(broken.collect(&SPEC), Err(CollectError::Shape { .. })));
        let mut forbidden = Scene::new("redis_version:7.0.15\r\n");
        forbidden.options.optional.compatibility.config_command = "-".to_owned();
        assert!(forbidden.collect(&SPEC).unwrap().is_empty());
    }
}
