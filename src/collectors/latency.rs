//! Collector `latency`: what the server itself measured: histograms and percentiles per command, and latency events.
//!
//! Times are those of execution in the main thread, without queueing and network. Edges of histograms are the server's, which
//! leaves out buckets that add nothing; quantile labels are percentages (50, 99, 99.9), as `redis_exporter` writes them.

use super::admission::{Admission, MAX_COMMANDS, MAX_LABEL_VALUE_BYTES};
use super::compound::{CommandStat, command_stats, compounds, find};
use super::table::MILLISECONDS_PER_SECOND;
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, Distribution, MetricKind, Samples, Value};
use crate::redis::info::{pairs, parse_number};
use crate::redis::{Command, Reply};
use std::collections::BTreeMap;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "latency",
    help: "Execution times of commands as the server measured them, and its latency events.",
    default_on: true,
    schedule: Schedule::Info,
    grants: |config, _| {
        if config.optional.compatibility.latency_commands {
            grants::commands(&["info", "latency|latest", "latency|histogram"])
        } else {
            grants::commands(&["info"])
        }
    },
    descriptors: || vec![&HISTOGRAM, &PERCENTILES, &SPIKE_LAST, &SPIKE_DURATION],
    build: Build::FromReplies(|options| {
        Box::new(Latency {
            asks_latency: options.optional.compatibility.latency_commands,
            label_values: options.label_values,
            histogram_commands: Admission::default(),
            percentile_commands: Admission::default(),
            events: Admission::default(),
        })
    }),
};

static HISTOGRAM: Descriptor = Descriptor::new(
    MetricKind::Histogram,
    "redis_commands_latencies_usec",
    "Execution times of each command in microseconds, as the server keeps them since its start: without queueing and network, \
     cut at 1.07 s, buckets that add nothing left out.",
    "LATENCY HISTOGRAM (7.0+); sum from INFO Commandstats: cmdstat_* usec",
)
.with_labels(&["cmd"]);

static PERCENTILES: Descriptor = Descriptor::new(
    MetricKind::Summary,
    "redis_latency_percentiles_usec",
    "Percentiles (quantile 50, 99, 99.9) of the execution times of each command in microseconds, since the start of the server: \
     they hardly move on a server that runs for long.",
    "INFO Latencystats (7.0+): latency_percentiles_usec_*; sum and count from INFO Commandstats",
)
.with_labels(&["cmd"]);

static SPIKE_LAST: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_latency_spike_last",
    "When the latest latency event of the kind happened, in seconds since 1970. Empty unless latency-monitor-threshold is set.",
    "LATENCY LATEST",
)
.with_labels(&["event_name"]);

static SPIKE_DURATION: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_latency_spike_duration_seconds",
    "How long the latest latency event of the kind took.",
    "LATENCY LATEST",
)
.with_labels(&["event_name"]);

/// First version with LATENCY HISTOGRAM.
pub(crate) const HISTOGRAM_SINCE: (u32, u32, u32) = (7, 0, 0);

/// Most buckets that are read per command; Redis has 31 edges (1 µs to 1.07 s).
const MAX_BUCKETS: usize = 64;

/// Most percentiles that are read per command; `latency-tracking-info-percentiles` names three by default.
const MAX_PERCENTILES: usize = 16;

fn latency_latest() -> Command {
    Command::new(2, &["LATENCY", "LATEST"])
}

/// The command that gives the histograms of all commands.
pub(super) fn latency_histogram() -> Command {
    Command::new(2, &["LATENCY", "HISTOGRAM"])
}

struct Latency {
    /// Whether LATENCY LATEST and LATENCY HISTOGRAM are asked for.
    asks_latency: bool,
    label_values: usize,
    histogram_commands: Admission,
    percentile_commands: Admission,
    events: Admission,
}

impl Collector for Latency {
    fn requests(&self, server: Option<&Server>) -> Vec<Command> {
        let Some(server) = server.filter(|_| self.asks_latency) else {
            return Vec::new();
        };
        let mut commands = vec![latency_latest()];
        if server.redis_version >= HISTOGRAM_SINCE {
            commands.push(latency_histogram());
        }
        commands
    }

    /// The three sources stand apart: where one is not available (older servers, managed services, permissions) the others are
    /// still published, and the collector is unavailable only when LATENCY LATEST is and nothing else was there.
    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let stats = command_stats(info);
        let mut samples = Samples::new();
        let mut missing = None;
        if self.asks_latency {
            match available(context, &latency_latest())? {
                Ok(reply) => self.push_events(reply, &mut samples)?,
                Err(error) => missing = Some(error),
            }
        }
        if self.asks_latency
            && context.server.redis_version >= HISTOGRAM_SINCE
            && let Ok(reply) = available(context, &latency_histogram())?
        {
            self.push_histograms(reply, &stats, &mut samples)?;
        }
        let percentiles = compounds(info, "latency_percentiles_usec_");
        let candidates = percentiles.iter().map(|compound| {
            (
                compound.name.as_ref(),
                find(&stats, &compound.name).map(|stat| stat.calls).unwrap_or_default(),
            )
        });
        samples.note_dropped(self.percentile_commands.decide(candidates, MAX_COMMANDS));
        for compound in percentiles {
            if self.percentile_commands.admits(&compound.name)
                && let Some(stat) = find(&stats, &compound.name)
                && let Some(value) = summary(compound.value, stat)
            {
                samples.push_value(&PERCENTILES, vec![("cmd", compound.name.into_owned().into())], value);
            }
        }
        match missing {
            Some(error) if samples.is_empty() => Err(error),
            _ => Ok(samples),
        }
    }
}

/// The reply, or the `Unavailable` that stands for it; any other error is the collector's own.
fn available<'a>(
    context: &'a PollContext<'_>,
    command: &Command,
) -> Result<Result<&'a Reply, CollectError>, CollectError> {
    match context.reply(command) {
        Ok(reply) => Ok(Ok(reply)),
        Err(error @ CollectError::Unavailable { .. }) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// `p50=1.003,p99=2,p99.9=3` with the totals of the command.
fn summary(value: &str, stat: &CommandStat<'_>) -> Option<Value> {
    let mut quantiles: Vec<(std::borrow::Cow<'static, str>, f64)> = Vec::new();
    for (name, text) in pairs(value) {
        let Some(percentile) = name.strip_prefix('p').map(str::trim) else {
            continue;
        };
        let is_percentile = parse_number(percentile).is_some_and(|number| (0.0..=100.0).contains(&number));
        let is_new = quantiles.iter().all(|(known, _)| known != percentile);
        if let Some(microseconds) = parse_number(text)
            && is_percentile
            && is_new
            && percentile.len() <= MAX_LABEL_VALUE_BYTES
            && quantiles.len() < MAX_PERCENTILES
        {
            quantiles.push((percentile.to_owned().into(), microseconds));
        }
    }
    (!quantiles.is_empty()).then_some(Value::Summary {
        quantiles,
        sum: stat.microseconds,
        // Counts of a server fit 2^53, and a wrong one saturates rather than wraps.
        count: stat.calls as u64,
    })
}

impl Latency {
    /// `[[event, unix seconds, latest ms, longest ms, ...], ...]`; newer servers append elements.
    fn push_events(&mut self, reply: &Reply, samples: &mut Samples) -> Result<(), CollectError> {
        let entries = reply
            .as_array()
            .ok_or_else(|| CollectError::shape(&latency_latest(), "a list of events was expected"))?;
        let mut events: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for entry in entries {
            let Some([name, at, latest, ..]) = entry.as_array() else {
                continue;
            };
            if let (Some(name), Some(at), Some(latest)) = (name.as_bytes(), at.as_integer(), latest.as_integer()) {
                events
                    .entry(String::from_utf8_lossy(name).into_owned())
                    .or_insert((at, latest));
            }
        }
        let candidates = events.iter().map(|(name, (at, _))| (name.as_str(), *at as f64));
        samples.note_dropped(self.events.decide(candidates, self.label_values));
        for (name, (at, latest)) in events {
            if self.events.admits(&name) {
                samples.push_with(&SPIKE_LAST, vec![("event_name", name.clone().into())], at as f64);
                let seconds = latest as f64 / MILLISECONDS_PER_SECOND;
                samples.push_with(&SPIKE_DURATION, vec![("event_name", name.into())], seconds);
            }
        }
        Ok(())
    }

    /// `[cmd, [calls, n, histogram_usec, [edge, count at or below, ...]], ...]`
    fn push_histograms(
        &mut self,
        reply: &Reply,
        stats: &[CommandStat<'_>],
        samples: &mut Samples,
    ) -> Result<(), CollectError> {
        let elements = reply
            .as_array()
            .ok_or_else(|| CollectError::shape(&latency_histogram(), "a list of commands was expected"))?;
        let mut histograms: BTreeMap<String, Distribution> = BTreeMap::new();
        for pair in elements.chunks_exact(2) {
            let [name, detail] = pair else { continue };
            let Some(name) = name.as_bytes().map(|name| String::from_utf8_lossy(name).into_owned()) else {
                continue;
            };
            // A command that commandstats does not know yet (its first call came between the two replies) has no sum; it
            // is there at the next poll.
            if let Some(stat) = find(stats, &name)
                && let Some(distribution) = distribution(detail, stat.microseconds)
            {
                histograms.entry(name).or_insert(distribution);
            }
        }
        let candidates = histograms
            .iter()
            .map(|(name, histogram)| (name.as_str(), histogram.count as f64));
        samples.note_dropped(self.histogram_commands.decide(candidates, MAX_COMMANDS));
        for (name, distribution) in histograms {
            if self.histogram_commands.admits(&name) {
                samples.push_value(&HISTOGRAM, vec![("cmd", name.into())], Value::Histogram(distribution));
            }
        }
        Ok(())
    }
}

/// `[calls, n, histogram_usec, [edge, count, ...]]`, `None` when it is not that or not cumulative.
pub(super) fn distribution(detail: &Reply, sum: f64) -> Option<Distribution> {
    let mut count = None;
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    for pair in detail.as_array()?.chunks_exact(2) {
        let [key, value] = pair else { continue };
        match key.as_text()? {
            "calls" => count = Some(u64::try_from(value.as_integer()?).ok()?),
            "histogram_usec" => {
                for bucket in value.as_array()?.chunks_exact(2).take(MAX_BUCKETS) {
                    let [edge, observations] = bucket else { continue };
                    let edge = edge.as_integer()? as f64;
                    let observations = u64::try_from(observations.as_integer()?).ok()?;
                    let rises = buckets
                        .last()
                        .is_none_or(|(last_edge, last)| *last_edge < edge && *last <= observations);
                    if !rises {
                        return None;
                    }
                    buckets.push((edge, observations));
                }
            }
            _ => {}
        }
    }
    let count = count?;
    let is_cumulative = buckets.last().is_none_or(|(_, observations)| *observations <= count);
    is_cumulative.then_some(Distribution { buckets, sum, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, parse_reply};

    const INFO: &str = "redis_version:7.0.15\r\n# Commandstats\r\ncmdstat_sort_ro:calls=9,usec=37\r\n\
        cmdstat_get:calls=9,usec=35\r\n# Latencystats\r\nlatency_percentiles_usec_get:p50=1.003,p99=2,p99.9=3,px=1,p101=3\r\n\
        latency_percentiles_usec_nostat:p50=1\r\n";

    fn scene(latest: &[u8], histogram: &[u8]) -> Scene {
        Scene::new(INFO)
            .answer(latency_latest(), parse_reply(latest))
            .answer(latency_histogram(), parse_reply(histogram))
    }

    const HISTOGRAM_REPLY: &[u8] =
        b"*4\r\n$7\r\nsort_ro\r\n*4\r\n$5\r\ncalls\r\n:9\r\n$14\r\nhistogram_usec\r\n*4\r\n:1\r\n:2\r\n\
        :8\r\n:9\r\n$6\r\nnoinfo\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:8\r\n:1\r\n";

    fn value<'a>(samples: &'a Samples, name: &str) -> &'a Value {
        &samples
            .families()
            .iter()
            .find(|family| family.descriptor.name == name)
            .unwrap()
            .samples[0]
            .value
    }

    #[test]
    fn histograms_carry_the_sum_of_commandstats_for_every_name() {
        let samples = scene(b"*0\r\n", HISTOGRAM_REPLY).collect(&SPEC).unwrap();
        let expected = Distribution {
            buckets: vec![(1.0, 2), (8.0, 9)],
            sum: 37.0,
            count: 9,
        };
        assert_eq!(value(&samples, HISTOGRAM.name), &Value::Histogram(expected));
        assert_eq!(samples.families()[0].samples.len(), 1, "a command without a sum waits");
    }

    #[test]
    fn percentiles_keep_their_labels() {
        let samples = scene(b"*0\r\n", b"*0\r\n").collect(&SPEC).unwrap();
        let quantiles = vec![("50".into(), 1.003), ("99".into(), 2.0), ("99.9".into(), 3.0)];
        assert_eq!(
            value(&samples, PERCENTILES.name),
            &Value::Summary {
                quantiles,
                sum: 35.0,
                count: 9
            }
        );
    }

    #[test]
    fn without_the_commands_the_percentiles_stay() {
        let mut scene = scene(
            b"*1\r\n*4\r\n$4\r\nfork\r\n:1700000001\r\n:5\r\n:6\r\n",
            HISTOGRAM_REPLY,
        );
        let names = |scene: &Scene| -> Vec<&str> {
            let samples = scene.collect(&SPEC).unwrap();
            samples.families().iter().map(|family| family.descriptor.name).collect()
        };
        assert_eq!(names(&scene).len(), 4);
        scene.options.optional.compatibility.latency_commands = false;
        assert_eq!(names(&scene), [PERCENTILES.name]);
        let Build::FromReplies(build) = SPEC.build else {
            panic!("latency reads replies")
        };
        assert_eq!(build(&scene.options).requests(Some(&scene.server)), []);
    }

    #[test]
    fn events_of_four_or_more_elements() {
        let latest = b"*2\r\n*4\r\n$7\r\ncommand\r\n:1700000000\r\n:12\r\n:34\r\n*6\r\n$4\r\nfork\r\n:1700000001\r\n:5\r\n:6\r\n:7\r\n:8\r\n";
        let samples = scene(latest, b"*0\r\n").collect(&SPEC).unwrap();
        assert_eq!(samples.number_with(SPIKE_DURATION.name, &["command"]), Some(0.012));
        assert_eq!(samples.number_with(SPIKE_LAST.name, &["fork"]), Some(1_700_000_001.0));
    }

    #[test]
    fn one_source_that_is_denied_takes_nothing_else_away() {
        let denied = Reply::Error("NOPERM this user has no permissions".into());
        let scene = Scene::new(INFO)
            .answer(latency_latest(), denied.clone())
            .answer(latency_histogram(), denied.clone());
        assert_eq!(scene.collect(&SPEC).unwrap().families().len(), 1);
        let nothing = Scene::new("redis_version:6.2.0\r\n").answer(latency_latest(), denied);
        assert!(matches!(nothing.collect(&SPEC), Err(CollectError::Unavailable { .. })));
    }

    #[test]
    fn falling_buckets_are_refused() {
        let reply = parse_reply(b"*4\r\n$5\r\ncalls\r\n:9\r\n$14\r\nhistogram_usec\r\n*4\r\n:1\r\n:5\r\n:8\r\n:3\r\n");
        assert_eq!(distribution(&reply, 0.0), None);
    }
}
