//! Collector `sentinel`: what a Redis or Valkey in Sentinel mode says of the primaries that it watches. On any other server it asks for
//! nothing and shows nothing.

pub mod config;
pub mod primaries;

use super::label_text::label_text;
use super::table::{MILLISECONDS_PER_SECOND, Row, push_rows, row, row_descriptors};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, Label, MetricKind, Samples};
use crate::redis::info::parse_number;
use crate::redis::{Command, Info, Reply};
use primaries::{Entry, Primary, list, masters};
use std::collections::{BTreeMap, BTreeSet};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "sentinel",
    help: "Of a Sentinel: the primaries that it watches, their replicas and Sentinels that are well, and whether a failover is possible.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |config, server| {
        let mut commands = vec!["info"];
        if server.is_sentinel {
            commands.extend([
                "sentinel|masters",
                "sentinel|sentinels",
                "sentinel|slaves",
                "sentinel|ckquorum",
            ]);
            if config.collectors.get("config_all").copied().unwrap_or(false) {
                commands.push("sentinel|config");
            }
        }
        grants::commands(&commands)
    },
    descriptors: || {
        row_descriptors(ROWS)
            .chain([&STATUS, &REPLICAS, &SENTINELS, &OK_REPLICAS, &OK_SENTINELS, &QUORUM])
            .chain(SETTINGS.iter().map(|setting| &setting.descriptor))
            .chain([&config::KEY_VALUE, &config::VALUE])
            .collect()
    },
    build: Build::FromReplies(|options| {
        Box::new(Sentinel {
            shows_config: options.config_all,
        })
    }),
};

static ROWS: &[Row] = &[
    row!(
        Gauge,
        "redis_sentinel_masters",
        "Sentinel",
        "sentinel_masters",
        "Primaries that the Sentinel watches."
    ),
    row!(
        Gauge,
        "redis_sentinel_tilt",
        "Sentinel",
        "sentinel_tilt",
        "1 while the Sentinel distrusts its clock and only looks on: it starts no failover then."
    ),
    row!(
        Gauge,
        "redis_sentinel_running_scripts",
        "Sentinel",
        "sentinel_running_scripts",
        "Notification and reconfiguration scripts that run now."
    ),
    row!(
        Gauge,
        "redis_sentinel_scripts_queue_length",
        "Sentinel",
        "sentinel_scripts_queue_length",
        "Scripts that run or wait."
    ),
    row!(
        Gauge,
        "redis_sentinel_simulate_failure_flags",
        "Sentinel",
        "sentinel_simulate_failure_flags",
        "Failures that somebody makes this Sentinel simulate, as bits; 0 unless it is tested."
    ),
];

/// Labels of most series about a primary.
const LABELS: &[&str] = &["master_name", "master_address"];

static STATUS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_master_status",
    "1 when the Sentinel holds the primary for well; 0 with master_status sdown when this one alone holds it for down, odown when the \
     quorum does.",
    "INFO Sentinel: masterN status",
)
.with_labels(&["master_name", "master_address", "master_status"]);

static REPLICAS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_master_slaves",
    "Replicas of the primary that the Sentinel knows, also those that are down.",
    "INFO Sentinel: masterN slaves",
)
.with_labels(LABELS);

static SENTINELS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_master_sentinels",
    "Sentinels that watch the primary as this one knows, itself and those that are down included.",
    "INFO Sentinel: masterN sentinels",
)
.with_labels(LABELS);

static OK_REPLICAS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_master_ok_slaves",
    "Replicas of the primary that the Sentinel does not hold for down.",
    "SENTINEL SLAVES: flags without s_down and o_down",
)
.with_labels(LABELS);

static OK_SENTINELS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_master_ok_sentinels",
    "Sentinels that watch the primary and that this one does not hold for down, itself included.",
    "SENTINEL SENTINELS: flags without s_down and o_down",
)
.with_labels(LABELS);

static QUORUM: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_sentinel_master_ckquorum_status",
    "1 when enough Sentinels are left to fail the primary over. message: ok; no_quorum (too few to agree that it is down); no_majority (too \
     few to elect who fails it over); no_quorum_no_majority; other.",
    "SENTINEL CKQUORUM (3.0+)",
)
.with_labels(&["master_name", "message"]);

/// A field of SENTINEL MASTERS and the metric that it becomes.
struct Setting {
    field: &'static str,
    divisor: f64,
    descriptor: Descriptor,
}

macro_rules! setting {
    ($name:literal, $field:literal, $help:literal) => {
        setting!($name, $field, $help, 1.0)
    };
    ($name:literal, $field:literal, $help:literal, $divisor:expr) => {
        Setting {
            field: $field,
            divisor: $divisor,
            descriptor: Descriptor::new(MetricKind::Gauge, $name, $help, concat!("SENTINEL MASTERS: ", $field))
                .with_labels(LABELS),
        }
    };
}

static SETTINGS: [Setting; 6] = [
    setting!(
        "redis_sentinel_master_setting_ckquorum",
        "quorum",
        "Sentinels that must agree before the primary counts as down."
    ),
    setting!(
        "redis_sentinel_master_setting_failover_timeout",
        "failover-timeout",
        "Time limit of a failover, in milliseconds."
    ),
    setting!(
        "redis_sentinel_master_setting_parallel_syncs",
        "parallel-syncs",
        "Replicas that are pointed at a new primary at the same time."
    ),
    setting!(
        "redis_sentinel_master_setting_down_after_milliseconds",
        "down-after-milliseconds",
        "Silence of the primary after which this Sentinel holds it for down, in milliseconds."
    ),
    setting!(
        "redis_sentinel_master_config_epoch",
        "config-epoch",
        "Epoch of the primary's configuration; it grows with every failover."
    ),
    setting!(
        "redis_sentinel_master_last_ok_ping_reply_seconds",
        "last-ok-ping-reply",
        "Time since the primary last answered a PING of the Sentinel well.",
        MILLISECONDS_PER_SECOND
    ),
];

/// Commands that a server in Sentinel mode has, by their first word. It knows nothing of keys, CONFIG, SLOWLOG, LATENCY, MEMORY or CLUSTER.
/// Source: the command tables of Redis 6.2 to 8.0 and Valkey 9.1, flag SENTINEL.
const COMMANDS: [&str; 8] = ["acl", "auth", "client", "hello", "info", "ping", "role", "sentinel"];

/// Whether a server in Sentinel mode has the command of this name (as in commandstats: `config|get`). What it does not have is not asked
/// there, and that it is missing is no failure.
pub fn has_command(name: &str) -> bool {
    let first = name.split('|').next().unwrap_or_default();
    COMMANDS.contains(&first)
}

struct Sentinel {
    /// `config_all` is on.
    shows_config: bool,
}

impl Collector for Sentinel {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        if !server.is_some_and(|server| server.is_sentinel) {
            return Vec::new();
        }
        let mut commands = vec![masters()];
        if self.shows_config {
            commands.push(config::config_get());
        }
        commands
    }

    fn follow_up(&self, context: &PollContext<'_>) -> Vec<Command> {
        let of_primary = |primary: &Primary<'_>| [primary.sentinels(), primary.replicas(), primary.ckquorum()];
        known_primaries(context).iter().flat_map(of_primary).collect()
    }

    /// INFO is needed; what the other commands tell is shown where they are to be had.
    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        if !context.server.is_sentinel {
            return Ok(samples);
        }
        push_rows(info, ROWS, &mut samples);
        let (primaries, left_out) = match context.reply(&masters()) {
            Ok(reply) => primaries::primaries(reply)?,
            Err(CollectError::Unavailable { .. }) => (Vec::new(), 0),
            Err(error) => return Err(error),
        };
        samples.note_dropped(left_out);
        push_states(info, &primaries, &mut samples);
        for primary in &primaries {
            for setting in &SETTINGS {
                if let Some(number) = primary.entry.number(setting.field) {
                    samples.push_with(&setting.descriptor, primary.labels(), number / setting.divisor);
                }
            }
            if let Some(others) = count_well(context, &primary.sentinels())? {
                samples.push_with(&OK_SENTINELS, primary.labels(), (others + 1) as f64);
            }
            if let Some(replicas) = count_well(context, &primary.replicas())? {
                samples.push_with(&OK_REPLICAS, primary.labels(), replicas as f64);
            }
            if let Some((status, message)) = context.replies.get(&primary.ckquorum()).and_then(quorum) {
                let labels = vec![
                    ("master_name", primary.shown_name.clone().into()),
                    ("message", message.into()),
                ];
                samples.push_with(&QUORUM, labels, status);
            }
        }
        if self.shows_config {
            config::push(context, &mut samples)?;
        }
        Ok(samples)
    }
}

/// The primaries that this poll asks about; none where SENTINEL MASTERS did not answer with a list.
pub(super) fn known_primaries<'context>(context: &PollContext<'context>) -> Vec<Primary<'context>> {
    // Straight from the map, so that what is found lives as long as the replies.
    let replies = context.replies;
    let reply = replies
        .get(&masters())
        .and_then(|reply| primaries::primaries(reply).ok());
    reply.map(|(primaries, _)| primaries).unwrap_or_default()
}

/// How many entries of a list are well; `None` where the command is not to be had, or the primary is not watched any more.
fn count_well(context: &PollContext<'_>, command: &Command) -> Result<Option<usize>, CollectError> {
    if context.replies.get(command).is_some_and(is_gone) {
        return Ok(None);
    }
    match context.reply(command) {
        Ok(reply) => {
            let entries = list(reply, command)?.iter().filter_map(Entry::of);
            Ok(Some(entries.filter(Entry::is_well).count()))
        }
        Err(CollectError::Unavailable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `ERR No such master with that name`: somebody removed the primary between two commands.
fn is_gone(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if String::from_utf8_lossy(text).contains("No such master"))
}

/// What SENTINEL CKQUORUM says, as a value and our word for it; `None` when it says nothing about the quorum.
fn quorum(reply: &Reply) -> Option<(f64, &'static str)> {
    match reply {
        Reply::Error(text) => {
            if is_gone(reply) || crate::redis::unavailability(reply).is_some() {
                return None;
            }
            let text = String::from_utf8_lossy(text);
            let message = match (text.contains("the specified quorum"), text.contains("the majority")) {
                _ if !text.starts_with("NOQUORUM") => "other",
                (true, true) => "no_quorum_no_majority",
                (true, false) => "no_quorum",
                (false, true) => "no_majority",
                (false, false) => "other",
            };
            Some((0.0, message))
        }
        _ => reply.as_bytes()?.starts_with(b"OK").then_some((1.0, "ok")),
    }
}

/// One `masterN` line of INFO Sentinel.
#[derive(Debug, PartialEq)]
struct State<'info> {
    name: &'info str,
    status: &'info str,
    address: &'info str,
    replicas: Option<f64>,
    sentinels: Option<f64>,
}

/// Reads `name=...,status=ok,address=127.0.0.1:6379,slaves=1,sentinels=3` from its end, since a name may hold commas and equals signs.
fn state(line: &str) -> Option<State<'_>> {
    let (rest, sentinels) = line.rsplit_once(",sentinels=")?;
    let (rest, replicas) = rest.rsplit_once(",slaves=")?;
    let (rest, address) = rest.rsplit_once(",address=")?;
    let (rest, status) = rest.rsplit_once(",status=")?;
    Some(State {
        name: rest.strip_prefix("name=")?,
        status,
        address,
        replicas: parse_number(replicas),
        sentinels: parse_number(sentinels),
    })
}

/// The states that a Sentinel gives a primary (`addReplySentinelRedisInstance` and INFO in the source of Redis 7.0 and Valkey 9.1).
const STATES: [&str; 3] = ["ok", "sdown", "odown"];

/// What stands for a state that no known Sentinel has.
const OTHER_STATE: &str = "other";

/// Adds what INFO says of each primary, under the same name as the other series about it.
fn push_states(info: &Info, primaries: &[Primary<'_>], samples: &mut Samples) {
    // INFO was read as text, so that a name that is none is found by what it became there.
    let by_text: BTreeMap<String, &str> = primaries
        .iter()
        .map(|primary| {
            (
                String::from_utf8_lossy(primary.name).into_owned(),
                primary.shown_name.as_str(),
            )
        })
        .collect();
    let is_numbered = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let mut states: Vec<(String, State<'_>)> = info
        .with_prefix("master")
        .filter(|field| is_numbered(field.name))
        .filter_map(|field| state(field.value))
        .map(|state| {
            let known = by_text.get(state.name).map(|shown| (*shown).to_owned());
            (known.unwrap_or_else(|| label_text(state.name.as_bytes())), state)
        })
        .collect();
    states.sort_by(|left, right| left.0.cmp(&right.0));
    let all = states.len();
    let mut seen = BTreeSet::new();
    states.retain(|(name, _)| seen.insert(name.clone()));
    states.truncate(primaries::MAX_PRIMARIES);
    // Where SENTINEL MASTERS answered, what it left out is counted already.
    if primaries.is_empty() {
        samples.note_dropped(all - states.len());
    }
    for (name, state) in states {
        let labels: Vec<Label> = vec![
            ("master_name", name.into()),
            ("master_address", label_text(state.address.as_bytes()).into()),
        ];
        if let Some(replicas) = state.replicas {
            samples.push_with(&REPLICAS, labels.clone(), replicas);
        }
        if let Some(sentinels) = state.sentinels {
            samples.push_with(&SENTINELS, labels.clone(), sentinels);
        }
        let known = STATES.into_iter().find(|known| *known == state.status);
        let mut labels = labels;
        labels.push(("master_status", known.unwrap_or(OTHER_STATE).into()));
        samples.push_with(&STATUS, labels, f64::from(u8::from(state.status == "ok")));
    }
}

#[cfg(test)]
mod tests;
