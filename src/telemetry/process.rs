//! Figures about this process from /proc, under the names that all Prometheus client libraries use.
//!
//! Source: Prometheus "Writing client libraries", "Process metrics", and Go's client library for the network counters.

use super::descriptors;
use crate::metric::{Descriptor, MetricKind};
use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long figures are shown before /proc is read again. Reading takes about 0.1 ms, several times as long as the rest of a
/// scrape; no Prometheus scrapes faster than once a second.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Largest text of `/proc/self/net/netstat` that is read; it has a few kilobytes.
const MAX_NETSTAT_BYTES: u64 = 64 * 1024;

/// What Go's client library shows for a limit that is not set: the largest 64-bit number.
const UNLIMITED: f64 = u64::MAX as f64;

/// One moment's figures; what could not be read is missing.
type Figures = Vec<(&'static Descriptor, f64)>;

/// Reads and writes the figures.
#[derive(Debug, Default)]
pub(super) struct ProcessMetrics {
    kept: Mutex<Option<(Instant, Figures)>>,
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = match kept.take() {
            Some((read_at, figures)) if now.duration_since(read_at) < KEPT_FOR => kept.insert((read_at, figures)),
            _ => kept.insert((now, read())),
        };
        for (descriptor, value) in &figures.1 {
            write(&mut encoder, descriptor, *value)?;
        }
        Ok(())
    }
}

/// Writes one number as its descriptor says.
pub(super) fn write(
    encoder: &mut DescriptorEncoder,
    descriptor: &'static Descriptor,
    value: f64,
) -> Result<(), std::fmt::Error> {
    let (name, unit) = super::registered_name(descriptor);
    if descriptor.kind == MetricKind::Counter {
        let metric = ConstCounter::new(value);
        let writer = encoder.encode_descriptor(&name, descriptor.help, unit.as_ref(), metric.metric_type())?;
        metric.encode(writer)
    } else {
        let metric = ConstGauge::new(value);
        let writer = encoder.encode_descriptor(&name, descriptor.help, unit.as_ref(), metric.metric_type())?;
        metric.encode(writer)
    }
}

/// Reads all figures. Without /proc (an empty root, another system) there are none.
fn read() -> Figures {
    let mut figures = Figures::new();
    let Ok(process) = Process::myself() else {
        return figures;
    };
    if let Ok(stat) = process.stat() {
        let ticks = procfs::ticks_per_second() as f64;
        figures.push((descriptors::CPU_SECONDS, (stat.utime + stat.stime) as f64 / ticks));
        if let Ok(boot) = procfs::boot_time_secs() {
            figures.push((descriptors::START_TIME, boot as f64 + stat.starttime as f64 / ticks));
        }
        figures.push((descriptors::VIRTUAL_MEMORY, stat.vsize as f64));
        figures.push((descriptors::RESIDENT_MEMORY, (stat.rss * procfs::page_size()) as f64));
        figures.push((descriptors::THREADS, stat.num_threads as f64));
    }
    if let Ok(count) = process.fd_count() {
        figures.push((descriptors::OPEN_FDS, count as f64));
    }
    if let Ok(limits) = process.limits() {
        figures.push((descriptors::MAX_FDS, limit(limits.max_open_files.soft_limit)));
        figures.push((
            descriptors::VIRTUAL_MEMORY_MAX,
            limit(limits.max_address_space.soft_limit),
        ));
    }
    if let Some((received, sent)) = read_network() {
        figures.push((descriptors::NETWORK_RECEIVED, received));
        figures.push((descriptors::NETWORK_SENT, sent));
    }
    figures
}

fn limit(value: LimitValue) -> f64 {
    match value {
        LimitValue::Unlimited => UNLIMITED,
        LimitValue::Value(number) => number as f64,
    }
}

/// Bytes that the network namespace of this process received and sent.
fn read_network() -> Option<(f64, f64)> {
    let mut text = String::new();
    let file = std::fs::File::open("/proc/self/net/netstat").ok()?;
    file.take(MAX_NETSTAT_BYTES).read_to_string(&mut text).ok()?;
    parse_netstat(&text)
}

/// `InOctets` and `OutOctets` of the two lines `IpExt:`, of which the first holds names and the second numbers.
fn parse_netstat(text: &str) -> Option<(f64, f64)> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let find = |wanted: &str| {
        let position = names.split_whitespace().position(|name| name == wanted)?;
        values.split_whitespace().nth(position)?.parse::<f64>().ok()
    };
    Some((find("InOctets")?, find("OutOctets")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_plausible_figures() {
        let figures = read();
        let number = |descriptor: &'static Descriptor| {
            let found = figures.iter().find(|(known, _)| std::ptr::eq(*known, descriptor));
            found.unwrap_or_else(|| panic!("{} is missing", descriptor.name)).1
        };
        assert!(number(descriptors::RESIDENT_MEMORY) > 1_000_000.0);
        assert!(number(descriptors::OPEN_FDS) >= 3.0);
        assert!(number(descriptors::MAX_FDS) >= number(descriptors::OPEN_FDS));
        assert!(number(descriptors::THREADS) >= 1.0);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let age = now - number(descriptors::START_TIME);
        assert!((-2.0..86_400.0).contains(&age), "started {age} s ago");
    }

    #[test]
    fn netstat_of_linux_6_1() {
        let text = "TcpExt: SyncookiesSent X\nTcpExt: 0 1\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 123 456\n";
        assert_eq!(parse_netstat(text), Some((123.0, 456.0)));
        assert_eq!(parse_netstat("IpExt: InOctets\nIpExt: x\n"), None);
        assert_eq!(parse_netstat(""), None);
    }
}
