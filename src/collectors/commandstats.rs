//! Collector `commandstats`: INFO Commandstats, calls, time and failures of each command.

use super::admission::{Admission, MAX_COMMANDS};
use super::compound::command_stats;
use super::table::MICROSECONDS_PER_SECOND;
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "commandstats",
    help: "Calls, execution time, refusals and failures of each command.",
    default_on: true,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || vec![&CALLS, &DURATION, &REJECTED, &FAILED],
    build: Build::FromReplies(|_| Box::new(CommandStats::default())),
};

static CALLS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_commands_total",
    "Calls of each command, those of this exporter included.",
    "INFO Commandstats: cmdstat_* calls",
)
.with_labels(&["cmd"]);

static DURATION: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_commands_duration_seconds_total",
    "Execution time of each command in the main thread, without queueing and network.",
    "INFO Commandstats: cmdstat_* usec",
)
.with_labels(&["cmd"]);

static REJECTED: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_commands_rejected_calls_total",
    "Calls refused before execution: out of memory, not permitted, read-only replica, wrong number of arguments.",
    "INFO Commandstats (6.2+): cmdstat_* rejected_calls",
)
.with_labels(&["cmd"]);

static FAILED: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_commands_failed_calls_total",
    "Calls that were executed and answered with an error, such as a wrong type.",
    "INFO Commandstats (6.2+): cmdstat_* failed_calls",
)
.with_labels(&["cmd"]);

#[derive(Default)]
struct CommandStats {
    commands: Admission,
}

impl Collector for CommandStats {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        Vec::new()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let stats = command_stats(context.info()?);
        let mut samples = Samples::new();
        let candidates = stats.iter().map(|stat| (stat.name.as_ref(), stat.calls));
        samples.note_dropped(self.commands.decide(candidates, MAX_COMMANDS));
        for stat in stats.into_iter().filter(|stat| self.commands.admits(&stat.name)) {
            let name = stat.name.into_owned();
            let mut push = |descriptor, value| samples.push_with(descriptor, vec![("cmd", name.clone().into())], value);
            push(&CALLS, stat.calls);
            push(&DURATION, stat.microseconds / MICROSECONDS_PER_SECOND);
            if let Some(rejected) = stat.rejected {
                push(&REJECTED, rejected);
            }
            if let Some(failed) = stat.failed {
                push(&FAILED, failed);
            }
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::collect;
    use std::fmt::Write;

    #[test]
    fn every_kind_of_name_and_old_lines_without_refusals() {
        let samples = collect(
            &SPEC,
            "cmdstat_get:calls=9,usec=35,usec_per_call=3.89,rejected_calls=2,failed_calls=1\r\n\
             cmdstat_a:b:calls=3,usec=4000000,usec_per_call=1.0\r\n",
        );
        assert_eq!(samples.number_with("redis_commands_total", &["get"]), Some(9.0));
        assert_eq!(
            samples.number_with("redis_commands_duration_seconds_total", &["a:b"]),
            Some(4.0)
        );
        assert_eq!(
            samples.number_with("redis_commands_rejected_calls_total", &["get"]),
            Some(2.0)
        );
        assert_eq!(samples.number_with("redis_commands_failed_calls_total", &["a:b"]), None);
    }

    #[test]
    fn what_passes_the_limit_is_counted() {
        let mut text = String::new();
        for number in 0..MAX_COMMANDS + 7 {
            write!(text, "cmdstat_c{number}:calls={number},usec=1\r\n").unwrap();
        }
        let samples = collect(&SPEC, &text);
        assert_eq!(samples.families()[0].samples.len(), MAX_COMMANDS);
        assert_eq!(samples.dropped(), 7);
        assert_eq!(samples.number_with("redis_commands_total", &["c0"]), None);
        assert_eq!(samples.number_with("redis_commands_total", &["c1006"]), Some(1006.0));
    }
}
