//! Collector `replication`: INFO Replication, on both sides: the replicas of a primary, the link of a replica.

use super::admission::Admission;
use super::compound::count;
use super::table::{Row, push_rows, row, row_descriptors};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, Label, MetricKind, Samples};
use crate::redis::info::pairs;
use crate::redis::{Command, Info};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "replication",
    help: "Replicas and how far behind they are; on a replica, the link to its primary.",
    default_on: true,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || {
        row_descriptors(ROWS)
            .chain([
                &SLAVE_OFFSET,
                &SLAVE_LAG,
                &MASTER_LINK_UP,
                &MASTER_LAST_IO,
                &MASTER_SYNC,
                &REPL_OFFSET,
                &SLAVE_INFO,
            ])
            .collect()
    },
    build: Build::FromReplies(|options| {
        Box::new(Replication {
            label_values: options.label_values,
            replicas: Admission::default(),
        })
    }),
};

static ROWS: &[Row] = &[
    row!(
        Gauge,
        "redis_connected_slaves",
        "Replication",
        "connected_slaves",
        "Replicas connected to this server."
    ),
    row!(
        Gauge,
        "redis_master_repl_offset",
        "Replication",
        "master_repl_offset",
        "Position in the replication stream, in bytes; a replica that is level has the same."
    ),
    row!(
        Gauge,
        "redis_second_repl_offset",
        "Replication",
        "second_repl_offset",
        "Position up to which replicas of the former primary may continue; -1 when there was none."
    ),
    row!(
        Gauge,
        "redis_repl_backlog_is_active",
        "Replication",
        "repl_backlog_active",
        "1 when the server keeps a replication backlog."
    ),
    row!(
        Gauge,
        "redis_replication_backlog_bytes",
        "Replication",
        "repl_backlog_size",
        "Size of the replication backlog."
    ),
    row!(
        Gauge,
        "redis_repl_backlog_first_byte_offset",
        "Replication",
        "repl_backlog_first_byte_offset",
        "Position of the oldest byte in the replication backlog."
    ),
    row!(
        Gauge,
        "redis_repl_backlog_history_bytes",
        "Replication",
        "repl_backlog_histlen",
        "Bytes held in the replication backlog."
    ),
    row!(
        Gauge,
        "redis_slave_priority",
        "Replication (replica)",
        "slave_priority",
        "Preference of this replica in a failover, lower first; 0 means never."
    ),
    row!(
        Gauge,
        "redis_replica_resyncs_full",
        "Stats",
        "sync_full",
        "Full resynchronisations that this server has given to replicas; only grows. Each copies the whole data set."
    ),
    row!(
        Gauge,
        "redis_replica_partial_resync_accepted",
        "Stats",
        "sync_partial_ok",
        "Resynchronisations that the backlog could serve; only grows."
    ),
    row!(
        Gauge,
        "redis_replica_partial_resync_denied",
        "Stats",
        "sync_partial_err",
        "Resynchronisations for which the backlog was too short; only grows."
    ),
    row!(
        Gauge,
        "redis_replicas_waiting_psync",
        "Replication (Valkey 8.0+)",
        "replicas_waiting_psync",
        "Replicas that wait for their part of the stream in a synchronisation over two channels."
    ),
    row!(
        Gauge,
        "redis_replicas_repl_buffer_size_bytes",
        "Replication (Valkey 8.0+)",
        "replicas_repl_buffer_size",
        "Bytes of the stream that a replica holds back while it synchronises over two channels."
    ),
    row!(
        Gauge,
        "redis_replicas_repl_buffer_peak_bytes",
        "Replication (Valkey 8.0+)",
        "replicas_repl_buffer_peak",
        "Most bytes of the stream that a replica has held back."
    ),
];

static SLAVE_OFFSET: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connected_slave_offset_bytes",
    "Position in the replication stream that the replica has confirmed.",
    "INFO Replication: slaveN offset",
)
.with_labels(&["slave_ip", "slave_port", "slave_state"]);

static SLAVE_LAG: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connected_slave_lag_seconds",
    "Seconds since the replica last confirmed its position.",
    "INFO Replication: slaveN lag",
)
.with_labels(&["slave_ip", "slave_port", "slave_state"]);

static MASTER_LINK_UP: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_master_link_up",
    "1 when this replica's link to its primary is up.",
    "INFO Replication (replica): master_link_status",
)
.with_labels(&["master_host", "master_port"]);

static MASTER_LAST_IO: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_master_last_io_seconds_ago",
    "Seconds since this replica last heard from its primary; -1 while the link is down.",
    "INFO Replication (replica): master_last_io_seconds_ago",
)
.with_labels(&["master_host", "master_port"]);

static MASTER_SYNC: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_master_sync_in_progress",
    "1 while this replica receives a full copy from its primary.",
    "INFO Replication (replica): master_sync_in_progress",
)
.with_labels(&["master_host", "master_port"]);

static REPL_OFFSET: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_slave_repl_offset",
    "Position in the replication stream that this replica has reached, in bytes.",
    "INFO Replication (replica): slave_repl_offset",
)
.with_labels(&["master_host", "master_port"]);

static SLAVE_INFO: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_slave_info",
    "Always 1: this replica's primary, and whether the replica refuses writes (read_only).",
    "INFO Replication (replica): master_host, master_port, slave_read_only",
)
.with_labels(&["master_host", "master_port", "read_only"]);

struct Replication {
    label_values: usize,
    replicas: Admission,
}

impl Collector for Replication {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        Vec::new()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        push_rows(info, ROWS, &mut samples);
        self.push_replicas(info, &mut samples);
        push_primaries(info, self.label_values, &mut samples);
        Ok(samples)
    }
}

impl Replication {
    fn push_replicas(&mut self, info: &Info, samples: &mut Samples) {
        let replicas = replicas(info);
        let candidates = replicas.iter().map(|(identity, ..)| (identity.as_str(), 0.0));
        samples.note_dropped(self.replicas.decide(candidates, self.label_values));
        for (identity, [ip, port, state], value) in replicas {
            if !self.replicas.admits(&identity) {
                continue;
            }
            let labels: Vec<Label> = vec![
                ("slave_ip", ip.into()),
                ("slave_port", port.into()),
                ("slave_state", state.into()),
            ];
            if let Some(offset) = count(value, "offset") {
                samples.push_with(&SLAVE_OFFSET, labels.clone(), offset);
            }
            if let Some(lag) = count(value, "lag") {
                samples.push_with(&SLAVE_LAG, labels, lag);
            }
        }
    }
}

/// `slaveN:ip=...,port=...,state=...,offset=...,lag=...`: an identity, the label values, the text. Two replicas behind one
/// address translation may announce the same address; the first stands for both.
fn replicas(info: &Info) -> Vec<(String, [String; 3], &str)> {
    let mut found: Vec<(String, [String; 3], &str)> = info
        .with_prefix("slave")
        .filter(|field| !field.name.is_empty() && field.name.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|field| {
            let part = |key| {
                pairs(field.value)
                    .find(|(name, _)| *name == key)
                    .map(|(_, text)| text)
                    .unwrap_or_default()
            };
            let labels = [part("ip"), part("port"), part("state")].map(str::to_owned);
            (labels.join(","), labels, field.value)
        })
        .filter(|(_, [ip, port, _], _)| !ip.is_empty() && !port.is_empty())
        .collect();
    found.sort_by(|left, right| left.0.cmp(&right.0));
    found.dedup_by(|later, first| later.0 == first.0);
    found
}

/// The link of a replica to its primary; KeyDB's multi-master replicas have several (`master_1_host`, ...).
fn push_primaries(info: &Info, limit: usize, samples: &mut Samples) {
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..=limit {
        let prefix = if number == 0 {
            "master_".to_owned()
        } else {
            format!("master_{number}_")
        };
        let field = |name: &str| info.get(&format!("{prefix}{name}"));
        let Some(host) = field("host") else { break };
        let port = field("port").unwrap_or_default();
        if !seen.insert((host.to_owned(), port.to_owned())) {
            continue;
        }
        if seen.len() > limit {
            samples.note_dropped(1);
            break;
        }
        let labels = || -> Vec<Label> {
            vec![
                ("master_host", host.to_owned().into()),
                ("master_port", port.to_owned().into()),
            ]
        };
        if let Some(status) = field("link_status") {
            samples.push_with(&MASTER_LINK_UP, labels(), if status.trim() == "up" { 1.0 } else { 0.0 });
        }
        let mut push = |descriptor, name: &str| {
            if let Some(value) = info.number(name) {
                samples.push_with(descriptor, labels(), value);
            }
        };
        push(&MASTER_LAST_IO, &format!("{prefix}last_io_seconds_ago"));
        push(&MASTER_SYNC, &format!("{prefix}sync_in_progress"));
        // INFO has one offset and one read-only flag, which belong to the first primary.
        if number == 0 {
            push(&REPL_OFFSET, "slave_repl_offset");
            if let Some(read_only) = info.get("slave_read_only") {
                let mut labels = labels();
                labels.push(("read_only", if read_only.trim() == "0" { "0" } else { "1" }.into()));
                samples.push_with(&SLAVE_INFO, labels, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, collect};

    #[test]
    fn replicas_of_a_primary() {
        let samples = collect(
            &SPEC,
            "role:master\r\nconnected_slaves:2\r\nslave0:ip=1.2.3.4,port=6380,state=online,offset=5,lag=3\r\n\
             slave1:ip=::1,port=6381,state=wait_bgsave,offset=6,lag=7,type=replica\r\nslave2:ip=1.2.3.4,port=6380,state=online\r\n\
             slave_priority:100\r\nslave3:garbage\r\n",
        );
        assert_eq!(
            samples.number_with(SLAVE_LAG.name, &["::1", "6381", "wait_bgsave"]),
            Some(7.0)
        );
        assert_eq!(
            samples.number_with(SLAVE_OFFSET.name, &["1.2.3.4", "6380", "online"]),
            Some(5.0)
        );
        assert_eq!(samples.number("redis_slave_priority"), Some(100.0));
        assert_eq!(samples.number_with(MASTER_LINK_UP.name, &["", ""]), None);
    }

    #[test]
    fn a_replica_and_its_primaries() {
        let samples = collect(
            &SPEC,
            "role:slave\r\nmaster_host:10.0.0.9\r\nmaster_port:6379\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n\
             master_sync_in_progress:0\r\nslave_repl_offset:4444\r\nslave_read_only:1\r\nmaster_1_host:10.0.0.10\r\n\
             master_1_port:6390\r\nmaster_1_link_status:up\r\n",
        );
        assert_eq!(
            samples.number_with(MASTER_LINK_UP.name, &["10.0.0.9", "6379"]),
            Some(0.0)
        );
        assert_eq!(
            samples.number_with(MASTER_LINK_UP.name, &["10.0.0.10", "6390"]),
            Some(1.0)
        );
        assert_eq!(
            samples.number_with(MASTER_LAST_IO.name, &["10.0.0.9", "6379"]),
            Some(-1.0)
        );
        assert_eq!(
            samples.number_with(REPL_OFFSET.name, &["10.0.0.9", "6379"]),
            Some(4444.0)
        );
        assert_eq!(
            samples.number_with(SLAVE_INFO.name, &["10.0.0.9", "6379", "1"]),
            Some(1.0)
        );
    }

    #[test]
    fn replicas_beyond_the_limit_are_counted() {
        let mut text = String::new();
        for number in 0..60 {
            text.push_str(&format!(
                "slave{number}:ip=10.0.0.{number},port=1,state=online,offset=1,lag=0\r\n"
            ));
        }
        let samples = Scene::new(&text).collect(&SPEC).unwrap();
        assert_eq!(samples.families()[0].samples.len(), 50);
        assert_eq!(samples.dropped(), 10);
    }
}
