//! Collector `client_list`: every client by CLIENT LIST. Off by default: names, users and addresses of clients become label values, and each
//! client that comes and goes leaves a dozen series behind.
//!
//! This exporter's own connections are shown like any other, as the peer shows its own: they are clients of the server.

pub mod list;
pub mod pace;

use super::label_text::label_text;
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::config::optional::ClientListConfig;
use crate::metric::{Descriptor, Label, MetricKind, Samples};
use crate::redis::Command;
use list::{Client, host_and_port, number};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "client_list",
    help: "Every client with its name, address, buffers and idle time, and how many are idle. Names and addresses become label values.",
    default_on: false,
    schedule: Schedule::Info,
    grants: |_, _| grants::commands(&["info", "client|list"]),
    descriptors: || {
        [&INFO, &CREATED_AT, &IDLE_SINCE]
            .into_iter()
            .chain(NUMBERS.iter().map(|(_, descriptor)| descriptor))
            .chain([&IDLE])
            .collect()
    },
    build: Build::FromReplies(|options| {
        Box::new(Clients {
            options: options.optional.client_list,
        })
    }),
};

/// Labels of a client's figures.
const LABELS: &[&str] = &["id", "name"];

static INFO: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connected_client_info",
    "Who the client is, 1 for each: name by CLIENT SETNAME, flags as the server writes them (N: nothing special, P: subscriber, b: blocked, \
     S: replica, O: monitor), database, host, user (6.0+) and protocol (7.0+), with `client_list.port` also its port.",
    "CLIENT LIST",
)
.with_labels(&["id", "name", "flags", "db", "host", "port", "user", "resp"]);

static CREATED_AT: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connected_client_created_at_timestamp",
    "When the client connected, in seconds since 1970: this machine's clock less the age, so that it wavers by a second.",
    "CLIENT LIST: age",
)
.with_labels(LABELS);

static IDLE_SINCE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connected_client_idle_since_timestamp",
    "When the client last sent a command, in seconds since 1970: this machine's clock less the idle time.",
    "CLIENT LIST: idle",
)
.with_labels(LABELS);

static IDLE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_client_connections_idle",
    "Clients that have sent no command for at least so many seconds, of all clients; subscribers and replicas count.",
    "CLIENT LIST: idle",
)
.with_labels(&["threshold_seconds"]);

/// A field and the metric that it becomes.
macro_rules! figure {
    ($field:literal, $name:literal, $help:literal) => {
        figure!($field, $name, $help, concat!("CLIENT LIST: ", $field))
    };
    ($field:literal, $name:literal, $help:literal, $source:expr) => {
        (
            $field,
            Descriptor::new(MetricKind::Gauge, $name, $help, $source).with_labels(LABELS),
        )
    };
}

static NUMBERS: [(&str, Descriptor); 10] = [
    figure!(
        "sub",
        "redis_connected_client_channel_subscriptions_count",
        "Channels that the client subscribes to."
    ),
    figure!(
        "psub",
        "redis_connected_client_pattern_matching_subscriptions_count",
        "Patterns of channels that the client subscribes to."
    ),
    figure!(
        "ssub",
        "redis_connected_client_shard_channel_subscriptions_count",
        "Shard channels that the client subscribes to.",
        "CLIENT LIST: ssub (7.0.3+)"
    ),
    figure!(
        "watch",
        "redis_connected_client_shard_channel_watched_keys",
        "Keys that the client watches for its transaction; the name is the peer's.",
        "CLIENT LIST: watch (7.4+)"
    ),
    figure!(
        "qbuf",
        "redis_connected_client_query_buffer_length_bytes",
        "Bytes of commands that wait to be executed."
    ),
    figure!(
        "qbuf-free",
        "redis_connected_client_query_buffer_free_space_bytes",
        "Free space of the query buffer."
    ),
    figure!(
        "obl",
        "redis_connected_client_output_buffer_length_bytes",
        "Bytes in the fixed output buffer."
    ),
    figure!(
        "oll",
        "redis_connected_client_output_list_length",
        "Replies that wait because the output buffer is full."
    ),
    figure!(
        "omem",
        "redis_connected_client_output_buffer_memory_usage_bytes",
        "Memory of the replies that wait."
    ),
    figure!(
        "tot-mem",
        "redis_connected_client_total_memory_consumed_bytes",
        "Memory that the client takes in all its buffers.",
        "CLIENT LIST: tot-mem (6.2+)"
    ),
];

/// The command that lists all clients.
pub fn client_list() -> Command {
    Command::new(2, &["CLIENT", "LIST"])
}

struct Clients {
    options: ClientListConfig,
}

impl Collector for Clients {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        vec![client_list()]
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        context.reply(&client_list())?;
        let list = context
            .clients
            .ok_or_else(|| CollectError::shape(&client_list(), "a text was expected"))?;
        if list.clients() == 0 {
            // We are connected, so that there is at least one.
            return Err(CollectError::shape(&client_list(), "at least one client was expected"));
        }
        let mut samples = Samples::new();
        let mut shown = 0;
        for client in list.lowest().take(self.options.max_clients) {
            self.push(client, context.unix_seconds, &mut samples);
            shown += 1;
        }
        samples.note_dropped(list.clients() - shown + list.malformed());
        for (threshold, clients) in list.idle() {
            let labels = vec![("threshold_seconds", threshold.to_string().into())];
            samples.push_with(&IDLE, labels, clients as f64);
        }
        Ok(samples)
    }
}

impl Clients {
    fn push(&self, client: Client<'_>, unix_seconds: f64, samples: &mut Samples) {
        let text = |field: &str| client.get(field).map(label_text);
        let id = text("id").unwrap_or_default();
        let name = text("name").unwrap_or_default();
        let labels = || -> Vec<Label> { vec![("id", id.clone().into()), ("name", name.clone().into())] };
        let mut info = labels();
        for field in ["flags", "db"] {
            if let Some(value) = text(field) {
                info.push((field, value.into()));
            }
        }
        if let Some((host, port)) = client.get("addr").and_then(host_and_port) {
            info.push(("host", label_text(host).into()));
            if self.options.port {
                info.push(("port", label_text(port).into()));
            }
        }
        for field in ["user", "resp"] {
            if let Some(value) = text(field).filter(|value| !value.is_empty()) {
                info.push((field, value.into()));
            }
        }
        samples.push_with(&INFO, info, 1.0);
        for (field, descriptor) in [("age", &CREATED_AT), ("idle", &IDLE_SINCE)] {
            if let Some(seconds) = client.number(field) {
                samples.push_with(descriptor, labels(), unix_seconds.floor() - seconds as f64);
            }
        }
        for (field, value) in client.fields() {
            let wanted = NUMBERS.iter().find(|(known, _)| known.as_bytes() == field);
            if let (Some((_, descriptor)), Some(value)) = (wanted, number(value)) {
                samples.push_with(descriptor, labels(), value as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::Scene;
    use crate::redis::Reply;

    /// A subscriber and a client of Redis 8.0.2, a client of Redis 4.0 by its documentation.
    const REPLY: &str = "id=7 addr=10.0.0.9:34224 laddr=127.0.0.1:1 fd=13 name=web age=633 idle=61 flags=P db=0 sub=1 psub=2 ssub=3 \
multi=-1 watch=4 qbuf=5 qbuf-free=6 argv-mem=0 multi-mem=0 rbs=1024 rbp=134 obl=7 oll=8 omem=9 tot-mem=10 events=r cmd=subscribe \
user=default redir=-1 resp=3 lib-name= lib-ver= io-thread=0 tot-net-in=1 tot-net-out=2 tot-cmds=3\nid=9 addr=10.0.0.9:34225 fd=9 \
name= age=1 idle=0 flags=N db=2 sub=0 psub=0 multi=-1 qbuf=0 qbuf-free=0 obl=0 oll=0 omem=0 events=r cmd=get\n";

    fn scene(text: &str) -> Scene {
        Scene::new("redis_version:8.0.2\r\n").answer(client_list(), Reply::Bulk(text.to_owned().into()))
    }

    #[test]
    fn every_figure_of_a_client() {
        let samples = scene(REPLY).collect(&SPEC).unwrap();
        let web = |name: &str| samples.number_with(name, &["7", "web"]).unwrap();
        let figures = NUMBERS.iter().map(|(_, descriptor)| web(descriptor.name));
        assert_eq!(
            figures.collect::<Vec<_>>(),
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
        );
        assert_eq!(web(CREATED_AT.name), 1_795_170_440.0 - 633.0);
        assert_eq!(web(IDLE_SINCE.name), 1_795_170_440.0 - 61.0);
        let info = ["7", "web", "P", "0", "10.0.0.9", "default", "3"];
        assert_eq!(samples.number_with(INFO.name, &info), Some(1.0));
        assert_eq!(
            samples.number_with(INFO.name, &["9", "", "N", "2", "10.0.0.9"]),
            Some(1.0)
        );
        assert_eq!(
            samples.number_with("redis_connected_client_total_memory_consumed_bytes", &["9", ""]),
            None
        );
        assert_eq!(samples.number_with(IDLE.name, &["60"]), Some(1.0));
        assert_eq!(samples.number_with(IDLE.name, &["300"]), Some(0.0));
        assert_eq!(samples.dropped(), 0);
        crate::catalogue::compatibility::assert_emits_listed(file!(), &samples);
    }

    #[test]
    fn the_port_is_shown_where_it_is_asked_for() {
        let mut scene = scene(REPLY);
        scene.options.optional.client_list.port = true;
        let samples = scene.collect(&SPEC).unwrap();
        let info = ["9", "", "N", "2", "10.0.0.9", "34225"];
        assert_eq!(samples.number_with(INFO.name, &info), Some(1.0));
    }

    #[test]
    fn clients_beyond_the_limit_are_counted_and_still_count_as_idle() {
        let mut scene = scene(&format!(
            "{REPLY}garbage\nid=12 addr=a:1 name=b\u{7f}\u{e4} idle=100000\n"
        ));
        scene.options.optional.client_list.max_clients = 1;
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(samples.families()[0].samples.len(), 1);
        assert_eq!(samples.dropped(), 3);
        assert_eq!(samples.number_with(IDLE.name, &["86400"]), Some(1.0));
        scene.options.optional.client_list.max_clients = 3;
        let samples = scene.collect(&SPEC).unwrap();
        assert_eq!(samples.number_with(INFO.name, &["12", "b\\x7f\u{e4}", "a"]), Some(1.0));
    }

    #[test]
    fn no_client_at_all_and_no_text_are_errors() {
        for reply in [Reply::Bulk("".into()), Reply::Integer(1), Reply::Array(Vec::new())] {
            let scene = Scene::new("redis_version:8.0.2\r\n").answer(client_list(), reply);
            assert!(matches!(scene.collect(&SPEC), Err(CollectError::Shape { .. })));
        }
    }
}
