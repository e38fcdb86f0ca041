//! Collector `errorstats`: INFO Errorstats, error replies by their first word.

use super::admission::{Admission, MAX_ERRORS};
use super::compound::{compounds, count};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::{Command, Info};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "errorstats",
    help: "Error replies by their first word: OOM, MISCONF, READONLY and NOREPLICAS are writes refused.",
    default_on: true,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || vec![&ERRORS],
    build: Build::FromReplies(|_| Box::new(ErrorStats::default())),
};

static ERRORS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_errors_total",
    "Error replies by their first word. OOM, MISCONF, READONLY and NOREPLICAS are writes refused (with MISCONF PING is refused as well): \
     users cannot log in. They start at 0, so that the first one shows.",
    "INFO Errorstats (6.2+): errorstat_* count",
)
.with_labels(&["err"]);

/// Errors that mean that writes are refused, so that nobody can log in although PING answers.
pub const WRITE_REFUSALS: [&str; 4] = ["OOM", "MISCONF", "READONLY", "NOREPLICAS"];

/// First version with INFO Errorstats.
const SINCE: (u32, u32, u32) = (6, 2, 0);

/// Whether this server counts errors at all: a field shows it, or the version. Dragonfly claims a version that does, but writes
/// other fields.
pub fn is_readable(info: &Info, server: &Server) -> bool {
    // A Sentinel counts errors, but has no such section.
    let has_section = server.redis_version >= SINCE && server.product != "dragonfly" && !server.is_sentinel;
    info.with_prefix("errorstat_").next().is_some() || has_section
}

/// The counts by error. Lines without `count=` are left out.
pub fn error_counts(info: &Info) -> Vec<(String, f64)> {
    compounds(info, "errorstat_")
        .into_iter()
        .filter_map(|compound| Some((compound.name.into_owned(), count(compound.value, "count")?)))
        .collect()
}

#[derive(Default)]
struct ErrorStats {
    errors: Admission,
}

impl Collector for ErrorStats {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        Vec::new()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        if !is_readable(info, context.server) {
            return Ok(samples);
        }
        let mut counts = error_counts(info);
        for refusal in WRITE_REFUSALS {
            if !counts.iter().any(|(error, _)| error == refusal) {
                counts.push((refusal.to_owned(), 0.0));
            }
        }
        // Refused writes are what this metric is for: whatever else a script invents, they keep their places.
        let weight = |error: &str, count| {
            if WRITE_REFUSALS.contains(&error) {
                f64::INFINITY
            } else {
                count
            }
        };
        let candidates = counts
            .iter()
            .map(|(error, count)| (error.as_str(), weight(error, *count)));
        samples.note_dropped(self.errors.decide(candidates, MAX_ERRORS));
        for (error, count) in counts {
            if self.errors.admits(&error) {
                samples.push_with(&ERRORS, vec![("err", error.into())], count);
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
    fn refusals_are_born_at_zero_and_broken_lines_are_left_out() {
        let samples = collect(
            &SPEC,
            "redis_version:7.0.15\r\nerrorstat_ERR:count=4\r\nerrorstat_OOM:count=2\r\nerrorstat_FOO\r\nerrorstat_BAR:nope\r\n",
        );
        assert_eq!(samples.number_with("redis_errors_total", &["ERR"]), Some(4.0));
        assert_eq!(samples.number_with("redis_errors_total", &["OOM"]), Some(2.0));
        assert_eq!(samples.number_with("redis_errors_total", &["READONLY"]), Some(0.0));
        assert_eq!(samples.families()[0].samples.len(), 5);
    }

    #[test]
    fn an_old_server_has_no_errors_rather_than_none() {
        assert!(collect(&SPEC, "redis_version:6.0.16\r\n").is_empty());
        assert!(collect(&SPEC, "redis_version:7.4.0\r\ndragonfly_version:df-v1.36.0\r\n").is_empty());
    }

    #[test]
    fn invented_errors_never_push_refusals_out() {
        let mut text = "redis_version:7.0.15\r\n".to_owned();
        for number in 0..500 {
            write!(text, "errorstat_E{number:03}:count=9999\r\n").unwrap();
        }
        let samples = collect(&SPEC, &text);
        assert_eq!(samples.families()[0].samples.len(), MAX_ERRORS);
        assert_eq!(samples.dropped(), 504 - MAX_ERRORS as u64);
        assert_eq!(samples.number_with("redis_errors_total", &["NOREPLICAS"]), Some(0.0));
    }
}
