//! Collector `cpu`: INFO CPU, the processor time of the server and its threads.

use super::admission::{Admission, MAX_THREADS};
use super::table::{Row, push_rows, row, row_descriptors};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Command;
use crate::redis::info::parse_number;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "cpu",
    help: "Processor time of the server: the main thread, its I/O threads and its forks.",
    default_on: true,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || row_descriptors(ROWS).chain([&IO_THREAD]).collect(),
    build: Build::FromReplies(|_| Box::new(Cpu::default())),
};

static ROWS: &[Row] = &[
    row!(
        Counter,
        "redis_cpu_sys_seconds_total",
        "CPU",
        "used_cpu_sys",
        "CPU seconds in the kernel, all threads of the server."
    ),
    row!(
        Counter,
        "redis_cpu_user_seconds_total",
        "CPU",
        "used_cpu_user",
        "CPU seconds in user mode, all threads of the server."
    ),
    row!(
        Counter,
        "redis_cpu_sys_children_seconds_total",
        "CPU",
        "used_cpu_sys_children",
        "CPU seconds in the kernel of forks that have ended (snapshots, rewrites)."
    ),
    row!(
        Counter,
        "redis_cpu_user_children_seconds_total",
        "CPU",
        "used_cpu_user_children",
        "CPU seconds in user mode of forks that have ended (snapshots, rewrites)."
    ),
    row!(
        Counter,
        "redis_cpu_sys_main_thread_seconds_total",
        "CPU (6.2+)",
        "used_cpu_sys_main_thread",
        "CPU seconds in the kernel of the main thread, which runs every command."
    ),
    row!(
        Counter,
        "redis_cpu_user_main_thread_seconds_total",
        "CPU (6.2+)",
        "used_cpu_user_main_thread",
        "CPU seconds in user mode of the main thread, which runs every command."
    ),
    row!(
        Counter,
        "redis_active_time_main_thread_seconds_total",
        "CPU (Valkey 9.1+)",
        "used_active_time_main_thread",
        "Seconds during which the main thread was busy: its rate is the load (1: saturated)."
    ),
    row!(
        Gauge,
        "redis_server_threads_total",
        "CPU (KeyDB)",
        "server_threads",
        "Threads that serve clients; a gauge despite its name, which compatibility keeps."
    ),
    row!(
        Gauge,
        "redis_long_lock_waits_total",
        "CPU (KeyDB)",
        "long_lock_waits",
        "Long waits for KeyDB's global lock; only grows, although compatibility types it as a gauge."
    ),
];

static IO_THREAD: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_active_time_io_thread_seconds_total",
    "Seconds during which an I/O thread was busy.",
    "INFO CPU (Valkey 9.1+): used_active_time_io_thread_N",
)
.with_labels(&["thread"]);

/// Name of the per-thread fields without the number of the thread.
const IO_THREAD_FIELD: &str = "used_active_time_io_thread_";

#[derive(Default)]
struct Cpu {
    threads: Admission,
}

impl Collector for Cpu {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        Vec::new()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        push_rows(info, ROWS, &mut samples);
        let mut threads: Vec<(&str, f64)> = info
            .with_prefix(IO_THREAD_FIELD)
            .filter(|field| field.name.parse::<u32>().is_ok())
            .filter_map(|field| Some((field.name, parse_number(field.value).filter(|seconds| *seconds >= 0.0)?)))
            .collect();
        threads.sort_by(|left, right| left.0.cmp(right.0));
        threads.dedup_by(|left, right| left.0 == right.0);
        // Threads are taken in the order of their names, not by their load, which changes.
        samples.note_dropped(
            self.threads
                .decide(threads.iter().map(|(name, _)| (*name, 0.0)), MAX_THREADS),
        );
        for (name, seconds) in threads {
            if self.threads.admits(name) {
                samples.push_with(&IO_THREAD, vec![("thread", name.to_owned().into())], seconds);
            }
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::collect;

    #[test]
    fn threads_are_told_apart_by_their_number() {
        let text = "used_cpu_sys:1.5\r\nused_active_time_io_thread_1:5.5\r\nused_active_time_io_thread_12:6.5\r\n\
                    used_active_time_io_thread_x:9\r\n";
        let samples = collect(&SPEC, text);
        assert_eq!(samples.number("redis_cpu_sys_seconds_total"), Some(1.5));
        assert_eq!(samples.number_with(IO_THREAD.name, &["12"]), Some(6.5));
        assert_eq!(samples.number_with(IO_THREAD.name, &["x"]), None);
    }
}
