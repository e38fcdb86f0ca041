//! Are the objectives met, and how fast is the error budget spent? All of it from recorded series, so that a month costs no more than an
//! hour.

use super::Dashboard;
use super::marks::{BURN_RATES, LATENCY_HIGH};
use super::panel::{Panel, Section, graph, open, stat, table, thresholds};
use crate::alerts;
use serde_json::json;

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: alerts::Dashboard::Slo.uid(),
    title: "Redis sessions / SLO",
    about: "Are the objectives met, and how fast is the error budget spent?",
    from: "now-7d",
    refresh: "1m",
    sections,
};

/// An objective: its label, the titles of its panels, its alert.
struct Objective {
    slo: &'static str,
    reached: &'static str,
    left: &'static str,
    burn: &'static str,
    alert: &'static str,
}

const OBJECTIVES: [Objective; 3] = [
    Objective {
        slo: "session-availability",
        reached: "Availability",
        left: "Budget: availability",
        burn: "Burn rate: availability",
        alert: "SessionAvailabilityBudgetBurn",
    },
    Objective {
        slo: "session-latency",
        reached: "Fast answers",
        left: "Budget: fast answers",
        burn: "Burn rate: latency",
        alert: "SessionLatencyBudgetBurn",
    },
    Objective {
        slo: "session-operations",
        reached: "Successful operations",
        left: "Budget: operations",
        burn: "Burn rate: operations",
        alert: "SessionOperationsBudgetBurn",
    },
];

/// Windows that the burn alerts look at.
const WINDOWS: [&str; 4] = ["1h", "6h", "1d", "3d"];

fn errors(window: &str, slo: &str) -> String {
    format!("slo:sli_error:ratio_rate{window}{{slo=\"{slo}\",@instance}}")
}

fn sections() -> Vec<Section> {
    vec![
        open("Objectives, over 30 days", objectives()),
        open("How fast is the budget spent?", burn_rates()),
        open("Over time", over_time()),
        open("Indicators", indicators()),
    ]
}

fn objectives() -> Vec<Panel> {
    let mut panels = Vec::new();
    for objective in OBJECTIVES {
        let slo = objective.slo;
        panels.push(
            stat(objective.reached, 4, 5)
                .about(about_reached(slo))
                .instant(format!("1 - max({})", errors("30d", slo)), "reached")
                .instant(
                    format!("max(slo:objective:ratio{{slo=\"{slo}\",@instance}})"),
                    "objective",
                )
                .unit("percentunit")
                .decimals(3)
                .steps("blue", &[])
                .field(
                    "objective",
                    &[("color", json!({"mode": "fixed", "fixedColor": "text"}))],
                )
                .option("textMode", json!("value_and_name"))
                .option("colorMode", json!("value"))
                .empty("no data"),
        );
        panels.push(
            stat(objective.left, 4, 5)
                .about(
                    "What is left of the error budget of 30 days, at the instance that has least (slo:error_budget_remaining:ratio). Below 0 the objective is missed: stop what is risky until it recovers. With less than 30 days of history it is the share of what there is.",
                )
                .instant(format!("min(slo:error_budget_remaining:ratio{{slo=\"{slo}\",@instance}})"), "left")
                .unit("percentunit")
                .decimals(0)
                .steps("red", &[(0.0, "orange"), (0.25, "green")])
                .empty("no data")
                .runbooks(&[objective.alert]),
        );
    }
    panels
}

fn about_reached(slo: &str) -> &'static str {
    match slo {
        "session-availability" => {
            "Share of the attempts to reach the store (pings, connects, synthetic sessions) that succeeded in 30 days, at the worst instance, beside the objective (slo:sli_error:ratio_rate30d, slo:objective:ratio)."
        }
        "session-latency" => {
            "Share of the pings and synthetic sessions that were answered within 500 ms in 30 days, at the worst instance, beside the objective (slo:sli_error:ratio_rate30d, slo:objective:ratio)."
        }
        _ => {
            "Share of the session operations that succeeded in 30 days, at the worst instance, beside the objective (slo:sli_error:ratio_rate30d, slo:objective:ratio). Needs `operations`."
        }
    }
}

fn burn_rates() -> Vec<Panel> {
    OBJECTIVES
        .into_iter()
        .map(|objective| {
            let mut panel = graph(objective.burn, 8, 8).about(
                "How many times faster than allowed the budget is spent, over several windows, at the worst instance (slo:sli_error:ratio_rate*, slo:objective:ratio): at 1 it lasts exactly 30 days, at 14.4 two days. Lines where the alerts wait: page at once (14.4), page (6), message (3), ticket (1).",
            );
            for window in WINDOWS {
                let legend = match window {
                    "1h" => "1 hour",
                    "6h" => "6 hours",
                    "1d" => "1 day",
                    _ => "3 days",
                };
                panel = panel.query(
                    format!(
                        "max(\n  {}\n  / on (job, environment, instance, slo)\n  (1 - slo:objective:ratio{{slo=\"{}\",@instance}})\n)",
                        errors(window, objective.slo),
                        objective.slo
                    ),
                    legend,
                );
            }
            let [page_now, page, message, ticket] = BURN_RATES;
            panel
                .unit("none")
                .decimals(2)
                .min(0.0)
                .reach(ticket)
                .lines(&[(ticket, "blue"), (message, "yellow"), (page, "orange"), (page_now, "red")])
                .empty("no data")
                .runbooks(&[objective.alert])
                .see("Debug", "redis-session-debug")
        })
        .collect()
}

fn over_time() -> Vec<Panel> {
    vec![
        graph("Error budget left", 12, 8)
            .about(
                "What is left of each budget over time, at the worst instance of an environment (slo:error_budget_remaining:ratio). A steep fall is an incident, a slope a defect. Below 0 the objective is missed.",
            )
            .query(
                "min by (slo, environment) (slo:error_budget_remaining:ratio{@instance})",
                "{{environment}} {{slo}}",
            )
            .unit("percentunit")
            // What is spent more than twice is spent: without an end below, a bad day would flatten all others.
            .min(-1.0)
            .max(1.0)
            .lines(&[(0.0, "red")])
            .empty("no data"),
        table("Objectives by instance", 12, 8)
            .about(
                "Result of 30 days, objective and what is left of the budget, by instance; the worst first (slo:sli_error:ratio_rate30d, slo:objective:ratio, slo:error_budget_remaining:ratio).",
            )
            .query("1 - max by (slo, environment, instance) (slo:sli_error:ratio_rate30d{@instance})", "")
            .query("max by (slo, environment, instance) (slo:objective:ratio{@instance})", "")
            .query("min by (slo, environment, instance) (slo:error_budget_remaining:ratio{@instance})", "")
            .unit("percentunit")
            .decimals(3)
            .empty("-")
            .columns(&[
                ("slo", "Objective"),
                ("environment", "Environment"),
                ("instance", "Instance"),
                ("Value #A", "Result"),
                ("Value #B", "Promised"),
                ("Value #C", "Budget left"),
            ])
            .option("sortBy", json!([{"displayName": "Budget left", "desc": false}]))
            .field("Objective", &[("custom.width", json!(145))])
            .field(
                "Budget left",
                &[
                    ("decimals", json!(1)),
                    ("thresholds", thresholds("red", &[(0.0, "orange"), (0.25, "green")])),
                    ("custom.cellOptions", json!({"type": "color-text"})),
                ],
            ),
    ]
}

fn indicators() -> Vec<Panel> {
    let recorded = |percentile: &str| {
        format!(
            "max by (measured) (job_environment_instance_measured:session_latency_seconds:{percentile}_rate5m{{@instance}})"
        )
    };
    vec![
        graph("Latency, with the line of the objective", 12, 8)
            .about(
                "Percentiles of the slowest instance by who measured: the server (its execution alone), the probe and PING (as a client sees it) (job_environment_instance_measured:session_latency_seconds:*). The line is what the objective calls slow: 500 ms.",
            )
            .query(recorded("p50"), "p50 {{measured}}")
            .query(recorded("p95"), "p95 {{measured}}")
            .query(recorded("p99"), "p99 {{measured}}")
            .unit("s")
            .logarithmic()
            .reach(LATENCY_HIGH)
            .lines(&[(LATENCY_HIGH, "red")])
            .empty("no data")
            .runbooks(&["HighSessionLatency"]),
        graph("Operations per second", 6, 8)
            .about(
                "All session operations and those that failed, over the selected instances (job_environment_instance:session_operations:rate5m, job_environment_instance:session_operation_errors:rate5m). Objectives over little traffic move in large steps.",
            )
            .query("sum(job_environment_instance:session_operations:rate5m{@instance})", "all")
            .query("sum(job_environment_instance:session_operation_errors:rate5m{@instance})", "failed")
            .unit("ops")
            .min(0.0)
            .color("failed", "red")
            .empty("operations are not counted here")
            .runbooks(&["SessionOperationErrorRate"]),
        graph("Share of failures, 5 minutes", 6, 8)
            .about(
                "What each objective counts as bad, as a share of the last five minutes, at the worst instance (slo:sli_error:ratio_rate5m): where in time the budget went.",
            )
            .query("max by (slo) (slo:sli_error:ratio_rate5m{@instance})", "{{slo}}")
            .unit("percentunit")
            .min(0.0)
            .empty("no data")
            .runbooks(&["SessionServiceDegraded"]),
    ]
}
