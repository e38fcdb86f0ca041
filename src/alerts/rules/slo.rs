//! How fast is the error budget spent?
//!
//! Three objectives per instance, each a share of events that went well over 30 days:
//!
//! - `session-availability`: attempts of the exporter to reach the store (PING, connect, operations of the synthetic session), since the server's own counters see
//!   nothing while it is down. An outage counts up to twice: each PING that finds no connection is a failed PING and a failed connect.
//! - `session-latency`: PINGs and operations of the synthetic session that were answered within the bound. One that fails counts with the time waited, so a
//!   timeout is slow. One that is refused at once is not slow and counts as well here: it is the business of the availability, and one cause should not spend
//!   two budgets. (The histograms do not tell outcomes apart either.)
//! - `session-operations`: what applications asked the server for, and what failed of that.
//!
//! Everything is counted, not averaged: `slo:events:count30s` are the events of half a minute, so that sums over any window are numbers of events, idle hours weigh
//! nothing, and a time without samples (exporter down, or started again with its counters at 0) spends nothing. `increase` sees through restarts.

use crate::alerts::{Alert, Dashboard, File, Group, Need, Priority, Record, Rule, Team};
use crate::features;
use std::borrow::Cow;

pub(crate) const FILE: File = File {
    name: "slo",
    about: "How fast is the error budget spent? Availability, latency and operations, each over 30 days.",
    groups,
};

/// How often events are counted: a tenth of the window of `increase`, which needs several scrapes to see anything.
const COUNT_INTERVAL: &str = "30s";
/// The windows of `increase` that cover one moment: 5m / [`COUNT_INTERVAL`].
const OVERLAP: u32 = 10;
/// How often the long windows are looked at. Less than the five minutes after which Prometheus forgets a value.
const LONG_INTERVAL: &str = "2m";
/// How often counts are summed up for the 30 days, which are then 8,640 samples of a series instead of 86,400.
const SUM_INTERVAL: &str = "5m";

/// Sums of [`SUM_INTERVAL`] in 30 days. An instance (or a Prometheus) that is younger is judged as if it had gone on before as it does now: of a minute that failed in its first hour the
/// budget of 30 days is not gone.
const SUMS_OF_A_MONTH: u32 = 8640;

/// An objective.
struct Objective {
    /// Label `slo`.
    slo: &'static str,
    /// Name of its alert.
    alert: &'static str,
    /// The threshold that says it.
    threshold: &'static str,
    needs: &'static [Need],
    /// What went wrong, after a percentage.
    bad: &'static str,
    /// What users see, at the beginning of a summary.
    summary: &'static str,
    /// What it means for users.
    meaning: &'static str,
    /// The first thing to do.
    remediation: &'static str,
}

const AVAILABILITY: Objective = Objective {
    slo: "session-availability",
    alert: "SessionAvailabilityBudgetBurn",
    threshold: "slo_availability_objective",
    needs: &[],
    bad: "of the attempts to reach {{ $labels.instance }} ({{ $labels.environment }}) failed",
    summary: "The session store {{ $labels.instance }} ({{ $labels.environment }}) is unreachable too often",
    meaning: "PINGs, connects and synthetic sessions are counted. Users meet it as logins that fail now and then.",
    remediation: "Ask redis_connection_errors_total for the reason of the failures and look at the store that gives it.",
};

const LATENCY: Objective = Objective {
    slo: "session-latency",
    alert: "SessionLatencyBudgetBurn",
    threshold: "slo_latency_objective",
    needs: &[],
    bad: "of the PINGs and synthetic sessions at {{ $labels.instance }} ({{ $labels.environment }}) took longer than $slo_latency_bound",
    summary: "The session store {{ $labels.instance }} ({{ $labels.environment }}) is too slow too often",
    meaning: "Every request of a user who is logged in waits at least as long.",
    remediation: "Look at SLOWLOG GET and LATENCY LATEST of the server, then at the network between.",
};

const OPERATIONS: Objective = Objective {
    slo: "session-operations",
    alert: "SessionOperationsBudgetBurn",
    threshold: "slo_operations_objective",
    needs: &[Need::Feature(features::OPERATIONS), super::COUNTS_ERRORS],
    bad: "of the session operations at {{ $labels.instance }} ({{ $labels.environment }}) failed",
    summary: "Session operations at {{ $labels.instance }} ({{ $labels.environment }}) fail too often",
    meaning: "The server refused what applications asked for: logins, renewals or logouts are lost.",
    remediation: "Ask redis_errors_total which error rises, and session_operations_total which operation fails.",
};

const OBJECTIVES: [&Objective; 3] = [&AVAILABILITY, &LATENCY, &OPERATIONS];

/// A speed at which the budget is spent, seen over two windows: the long one says that it matters, the short one that it goes on.
struct Burn {
    short: &'static str,
    long: &'static str,
    /// How many times faster than the budget allows. At 14.4 an hour spends 2 % of it, at 6 six hours 5 %, at 3 or 1 a day or three 10 %.
    /// Source: The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
    factor: &'static str,
    /// 30 days divided by the factor, in words.
    gone: &'static str,
    hold: &'static str,
    priority: Priority,
}

/// What somebody is paged for.
const FAST: [Burn; 2] = [
    Burn {
        short: "5m",
        long: "1h",
        factor: "14.4",
        gone: "two days",
        hold: "2m",
        priority: Priority::P0,
    },
    Burn {
        short: "30m",
        long: "6h",
        factor: "6",
        gone: "five days",
        hold: "15m",
        priority: Priority::P1,
    },
];

/// What can wait until morning.
const SLOW: [Burn; 2] = [
    Burn {
        short: "2h",
        long: "1d",
        factor: "3",
        gone: "ten days",
        hold: "1h",
        priority: Priority::P2,
    },
    Burn {
        short: "6h",
        long: "3d",
        factor: "1",
        gone: "30 days",
        hold: "3h",
        priority: Priority::P3,
    },
];

fn groups() -> Vec<Group> {
    let alerts = |burns: &[Burn]| -> Vec<Rule> {
        let pairs = OBJECTIVES
            .iter()
            .flat_map(|objective| burns.iter().map(|burn| budget_burn(objective, burn).into()));
        pairs.collect()
    };
    let mut fast = counts();
    fast.push(record(
        "slo:sli_error:ratio_rate5m",
        "slo:bad_events:count30s / (slo:events:count30s > 0)",
    ));
    fast.extend(["30m", "1h", "2h", "6h"].map(ratio));
    fast.extend(OBJECTIVES.map(|objective| {
        let (slo, threshold) = (objective.slo, objective.threshold);
        Rule::Record(Record {
            name: "slo:objective:ratio".into(),
            // From the counts, which are there also while nothing happens.
            expr: format!("0 * slo:events:count30s{{slo=\"{slo}\"}} + ${threshold}").into(),
            // Which the series has already; promtool takes rules without it for the same.
            labels: vec![("slo", slo.into())],
        })
    }));
    fast.extend(alerts(&FAST));

    let mut slow = vec![
        ratio("1d"),
        ratio("3d"),
        // Absent in its first minutes, when an instance has no sums yet.
        record(
            "slo:sli_error:ratio_rate30d",
            format!(
                "sum_over_time(slo:bad_events:count5m[30d]) / (avg_over_time(slo:events:count5m[30d]) * {SUMS_OF_A_MONTH} > 0)"
            ),
        ),
        record(
            "slo:error_budget_remaining:ratio",
            "1 - slo:sli_error:ratio_rate30d / (1 - slo:objective:ratio)",
        ),
    ];
    slow.extend(alerts(&SLOW));

    vec![
        Group {
            name: "redis-session-store.slo",
            interval: COUNT_INTERVAL,
            rules: fast,
        },
        Group {
            name: "redis-session-store.slo-sums",
            interval: SUM_INTERVAL,
            rules: vec![
                record("slo:events:count5m", "sum_over_time(slo:events:count30s[5m])"),
                record("slo:bad_events:count5m", "sum_over_time(slo:bad_events:count30s[5m])"),
            ],
        },
        Group {
            name: "redis-session-store.slo-long",
            interval: LONG_INTERVAL,
            rules: slow,
        },
    ]
}

fn record(name: &'static str, expr: impl Into<Cow<'static, str>>) -> Rule {
    Rule::Record(Record {
        name: name.into(),
        expr: expr.into(),
        labels: Vec::new(),
    })
}

/// The share of bad events in a window.
fn ratio(window: &str) -> Rule {
    Rule::Record(Record {
        name: format!("slo:sli_error:ratio_rate{window}").into(),
        expr: format!(
            "sum_over_time(slo:bad_events:count30s[{window}]) / (sum_over_time(slo:events:count30s[{window}]) > 0)"
        )
        .into(),
        labels: Vec::new(),
    })
}

/// The events of half a minute, all and bad ones, smoothed over five.
fn counts() -> Vec<Rule> {
    let count = |name: &'static str, objective: &Objective, expr: String| {
        Rule::Record(Record {
            name: name.into(),
            expr: expr.into(),
            labels: vec![("slo", objective.slo.into())],
        })
    };
    let slow = "le=~\"$slo_latency_bound(\\\\.0)?\"";
    vec![
        count(
            "slo:events:count30s",
            &AVAILABILITY,
            total(&[
                "redis_pings_total{$job}",
                "redis_connects_total{$job}",
                "session_probe_operations_total{$job}",
            ]),
        ),
        count(
            "slo:bad_events:count30s",
            &AVAILABILITY,
            total(&[
                "redis_ping_failures_total{$job}",
                "redis_connect_failures_total{$job}",
                "session_probe_operations_total{$job,status=\"error\"}",
            ]),
        ),
        count(
            "slo:events:count30s",
            &LATENCY,
            total(&[
                "redis_ping_duration_seconds_count{$job}",
                "session_probe_duration_seconds_count{$job}",
            ]),
        ),
        count(
            "slo:bad_events:count30s",
            &LATENCY,
            // What rounding leaves of a difference of equal numbers must not be below zero.
            format!(
                "clamp_min(\nslo:events:count30s{{slo=\"{}\"}} - on (job, environment, instance)\n{}\n, 0)",
                LATENCY.slo,
                total(&[
                    &format!("redis_ping_duration_seconds_bucket{{$job,{slow}}}"),
                    &format!("session_probe_duration_seconds_bucket{{$job,{slow}}}"),
                ])
            ),
        ),
        count(
            "slo:events:count30s",
            &OPERATIONS,
            total(&["session_operations_total{$job}"]),
        ),
        count(
            "slo:bad_events:count30s",
            &OPERATIONS,
            // A server whose errors are not counted (before Redis 6.2) has none that anybody could know of.
            format!(
                "{}\nor\n0 * {}",
                total(&["session_operations_total{$job,status=\"error\"}"]),
                total(&["session_operations_total{$job}"])
            ),
        ),
    ]
}

/// The increase of all these counters together in half a minute; those that an instance does not have are left out. A label that tells them apart keeps `or`
/// from taking one for another: without it their series differ in the name alone, which `increase` drops.
fn total(counters: &[&str]) -> String {
    if let [only] = counters {
        return format!("sum by (job, environment, instance) (increase({only}[5m])) / {OVERLAP}");
    }
    let terms: Vec<String> = counters
        .iter()
        .enumerate()
        .map(|(number, counter)| {
            format!("label_replace(increase({counter}[5m]), \"summand\", \"{number}\", \"\", \"\")")
        })
        .collect();
    format!(
        "sum by (job, environment, instance) (\n  {}\n) / {OVERLAP}",
        terms.join("\n  or\n  ")
    )
}

fn budget_burn(objective: &Objective, burn: &Burn) -> Alert {
    let Objective { slo, threshold, .. } = objective;
    let Burn {
        short,
        long,
        factor,
        gone,
        ..
    } = burn;
    let limit = format!("{factor} * (1 - ${threshold})");
    let mut expr = format!(
        "slo:sli_error:ratio_rate{short}{{slo=\"{slo}\"}} > {limit}\n\
         and\n\
         slo:sli_error:ratio_rate{long}{{slo=\"{slo}\"}} > {limit}\n\
         and\n\
         sum_over_time(slo:bad_events:count30s{{slo=\"{slo}\"}}[{long}]) >= $slo_least_failures"
    );
    if objective.alert == OPERATIONS.alert {
        expr.push_str(&format!(
            "\nand on (job, environment, instance)\n\
             avg_over_time(job_environment_instance:session_operations:rate5m[{long}]) >= $slo_operations_floor"
        ));
    }
    if burn.priority <= Priority::P1 {
        // Who was paged for a lost connection is not paged again for the budget that it has cost: the short window remembers the outage when it is over.
        expr.push_str(&format!(
            "\nunless on (job, environment, instance)\n\
             max_over_time(ALERTS{{alertname=\"RedisConnectionLost\",alertstate=\"firing\"}}[{short}])"
        ));
    }
    let Objective {
        bad, meaning, summary, ..
    } = objective;
    Alert {
        name: objective.alert,
        needs: objective.needs,
        expr: expr.into(),
        hold: burn.hold.into(),
        priority: burn.priority,
        team: Team::Backend,
        symptom: "slo",
        labels: vec![("long", (*long).into()), ("short", (*short).into())],
        summary: format!("{summary}: at this rate its error budget of 30 days is gone in {gone}.").into(),
        description: format!(
            "{{{{ $value | humanizePercentage }}}} {bad} in the last {short}, and over {long} at least {factor} times what the objective of ${threshold} allows. {meaning}"
        )
        .into(),
        remediation: objective.remediation.into(),
        dashboard: Dashboard::Slo,
        ..Alert::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::template::duration;
    use crate::alerts::{Values, render};

    /// Counts are sums, so how often they are made must stay in proportion to the window of `increase`, also in a rehearsal.
    #[test]
    fn a_moment_is_covered_by_as_many_windows_in_a_rehearsal() {
        for hurry in [1.0, 30.0] {
            let seconds = |span| {
                humantime::parse_duration(&duration(span, hurry).unwrap())
                    .unwrap()
                    .as_secs_f64()
            };
            assert_eq!(seconds("5m") / seconds(COUNT_INTERVAL), f64::from(OVERLAP));
            assert_eq!(seconds("5m") / seconds(SUM_INTERVAL), 1.0);
        }
    }

    /// Prometheus 3 writes `le="1.0"` where 2.42 keeps what was served.
    #[test]
    fn a_bound_of_whole_seconds_finds_its_bucket() {
        let values = Values::parse("thresholds: { slo_latency_bound: 1s }", "values.yaml").unwrap();
        let text = render::file(&FILE, &values).unwrap();
        assert!(text.contains(r#"le=~"1(\\.0)?""#), "{text}");
        assert!(text.contains("took longer than 1s"), "{text}");
    }

    #[test]
    fn a_bound_between_two_buckets_is_refused() {
        let errors = Values::parse("thresholds: { slo_latency_bound: 300ms }", "values.yaml").unwrap_err();
        let errors = errors.to_string();
        assert!(
            errors.contains("thresholds.slo_latency_bound: must be one of 5ms, 10ms, 20ms,"),
            "{errors}"
        );
    }
}
