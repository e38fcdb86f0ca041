//! Collector `lua`: values that scripts of the operator collect. The frame reads the files and runs them (`poller::scan::scripts`); this
//! file says what a reply means and what is shown. Pure.

mod problem;

pub use problem::{Ending, Problem, unavailability};

use super::application::number::label_value;
use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::InstanceConfig;
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::{Command, Reply, Unavailable};
use std::collections::BTreeMap;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "lua",
    help: "Values that Lua scripts of yours collect.",
    default_on: false,
    schedule: Schedule::Scan,
    grants: of_scripts,
    descriptors: || vec![&VALUES, &RESULT],
    build: Build::ByFrame,
};

/// What runs the scripts, and what ends one that does not end. Which commands they call and which keys they read only their author knows.
fn of_scripts(config: &InstanceConfig, server: &Server) -> Vec<Grant> {
    let scripts = &config.optional.lua;
    if scripts.is_empty() {
        return Vec::new();
    }
    let mut granted = grants::commands(&["info"]);
    let has = |read_only: bool| scripts.iter().any(|script| script.read_only == read_only);
    granted.extend(has(true).then(|| grants::command("eval_ro")));
    granted.extend(has(false).then(|| grants::command("eval")));
    granted.push(grants::command("script|kill"));
    granted.extend(grants::of_replicas_in_clusters(server));
    granted
}

static VALUES: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_script_values",
    "Values that the script returned: a list in which each name is followed by its number, both as strings.",
    "EVAL_RO (Redis 7.0+, Valkey)",
)
.with_labels(&["key", "filename"]);

static RESULT: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_script_result",
    "How the last run of the script ended: 0 it failed, 1 it returned values, 2 it returned an empty list.",
    "EVAL_RO (Redis 7.0+, Valkey)",
)
.with_labels(&["filename"]);

/// Most values of one script. A script of `redis_exporter` may return any number of them, so that `limits.label_values` (50) would cut
/// some that work there; a thousand series of one file are more than a dashboard shows.
pub const MAX_VALUES: usize = 1_000;

/// Longest number, in bytes. Lua writes at most 24.
const MAX_NUMBER_BYTES: usize = 63;

/// The command that runs a script: without keys, and with the one argument `0` that scripts written for `redis_exporter` are given.
pub fn command(content: &[u8], read_only: bool) -> Command {
    let name = if read_only { "EVAL_RO" } else { "EVAL" };
    Command::new(1, &[name]).arg(content).arg("0").arg("0")
}

/// What a script returned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    /// Names and numbers, each name once.
    values: BTreeMap<String, f64>,
    /// Values that were left out: beyond [`MAX_VALUES`], or with a name that no label should hold.
    dropped: usize,
}

/// Reads the reply of a script: all of it, or nothing. Of a name that is there twice the last number counts.
///
/// # Errors
/// [`Problem`] when the script failed, or returned something else than a list of names and numbers.
pub fn read(reply: &Reply) -> Result<Values, Problem> {
    let elements = match reply {
        Reply::Error(text) => return Err(Problem::of_error(text)),
        Reply::Array(elements) => elements,
        _ => return Err(Problem::NoList),
    };
    let (pairs, rest) = elements.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Problem::OddCount);
    }
    let mut values = Values::default();
    for (position, [name, value]) in pairs.iter().enumerate() {
        let (Reply::Bulk(name), Reply::Bulk(value)) = (name, value) else {
            return Err(Problem::NotText);
        };
        let value = number(value).ok_or(Problem::NotANumber(position + 1))?;
        let Some(name) = label_value(name) else {
            values.dropped += 1;
            continue;
        };
        if values.values.len() < MAX_VALUES || values.values.contains_key(&name) {
            values.values.insert(name, value);
        } else {
            values.dropped += 1;
        }
    }
    Ok(values)
}

/// A number as Lua's `tostring` writes it, infinities and "not a number" of either sign included.
fn number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.len() <= MAX_NUMBER_BYTES)?;
    // The sign of "not a number" means nothing, and the formats know only one.
    if text.trim_start_matches('-').eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    text.parse().ok()
}

/// One script and how its run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Label `filename`.
    pub name: String,
    /// What it returned.
    pub outcome: Result<Values, Problem>,
}

/// What became of the scripts of an instance in one turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Runs {
    /// The scripts that were to run, in the order of the configuration.
    pub runs: Vec<Run>,
    /// The command that is not to be had, and why. The scripts that need it were not run and are not among `runs`.
    pub unavailable: Option<(&'static str, Unavailable)>,
}

impl Runs {
    /// What is shown.
    pub fn samples(&self) -> Samples {
        let mut samples = Samples::new();
        for Run { name, outcome } in &self.runs {
            let filename = || ("filename", name.clone().into());
            let result = match outcome {
                Err(_) => 0.0,
                Ok(values) if values.values.is_empty() && values.dropped == 0 => 2.0,
                Ok(_) => 1.0,
            };
            samples.push_with(&RESULT, vec![filename()], result);
            if let Ok(values) = outcome {
                samples.note_dropped(values.dropped);
                for (key, value) in &values.values {
                    samples.push_with(&VALUES, vec![("key", key.clone().into()), filename()], *value);
                }
            }
        }
        samples
    }

    /// Whether each script did what it should.
    ///
    /// # Errors
    /// The scripts that failed, in one sentence.
    pub fn verdict(&self) -> Result<(), String> {
        let failed = self.runs.iter().filter_map(|run| {
            let problem = run.outcome.as_ref().err()?;
            Some(format!("the script {} {problem}", run.name))
        });
        let mut sentences: Vec<String> = failed.collect();
        if let Some((command, reason)) = self.unavailable {
            sentences.push(format!("{} is {}", command.to_uppercase(), reason.as_label()));
        }
        if sentences.is_empty() {
            Ok(())
        } else {
            Err(sentences.join("; "))
        }
    }
}

#[cfg(test)]
mod tests;
