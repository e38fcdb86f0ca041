//! Expressions and panels that several dashboards show.

use super::panel::{Panel, table, thresholds, timeline};
use serde_json::{Value, json};

/// Legend of an instance.
pub(super) const INSTANCE: &str = "{{environment}} {{instance}}";
/// Legend of a store.
pub(super) const STORE: &str = "{{environment}} {{instance}} {{store}}";

/// Commands that write and were refused while PING is answered: nobody can log in then.
pub(super) const REFUSED: &str = r#"redis_errors_total{@instance,err=~"OOM|MISCONF|READONLY|NOREPLICAS"}"#;

/// How many alerts with these priorities (a regular expression) are firing, about what is selected and about the exporter.
pub(super) fn firing(priorities: &str) -> String {
    let matchers = format!("alertstate=\"firing\",priority=~\"{priorities}\"");
    format!("count(ALERTS{{{matchers},@alerts}} or ALERTS{{{matchers},@exporter_alerts}}) or vector(0)")
}

/// Share of operations that failed; 0 where none did, nothing where there was no operation. `operations` is a counter with `status`.
pub(super) fn failed_share(by: &str, operations: &str) -> String {
    let sum = |matcher: &str| format!("sum by ({by}) (rate({operations}{{@instance{matcher}}}[$__rate_interval]))");
    let (failed, all) = (sum(r#",status="error""#), sum(""));
    format!("({failed} or 0 * {all})\n/ ({all} > 0)")
}

/// Texts and colours of values: value, text, colour.
pub(super) fn texts(pairs: &[(&str, &str, &str)]) -> Value {
    let options: serde_json::Map<String, Value> = pairs
        .iter()
        .zip(0_u32..)
        .map(|((value, text, color), index)| {
            (
                (*value).to_owned(),
                json!({"text": text, "color": color, "index": index}),
            )
        })
        .collect();
    json!([{"type": "value", "options": options}])
}

/// 1 is good, 0 is bad.
pub(super) fn yes_no(yes: &str, no: &str) -> Value {
    texts(&[("0", no, "red"), ("1", yes, "green")])
}

/// Settings of a column with the priority of an alert.
pub(super) fn priority_colors() -> Value {
    texts(&[
        ("P0", "P0", "red"),
        ("P1", "P1", "orange"),
        ("P2", "P2", "yellow"),
        ("P3", "P3", "blue"),
    ])
}

/// Alerts that are pending or firing now, the most urgent first; a click on the name opens the runbook.
pub(super) fn alerts_now(width: u32, height: u32) -> Panel {
    let blank = [("noValue", json!(""))];
    table("Alerts now", width, height)
        .about(
            "Alerts of the shipped rules that are pending or firing (ALERTS). The name leads to the runbook. Alerts about the exporter itself have no environment, and their instance is the exporter.",
        )
        .query(
            "max by (priority, alertname, alertstate, environment, instance, store, team) (ALERTS{@alerts} or ALERTS{@exporter_alerts})",
            "",
        )
        .unit("none")
        .empty("no alerts")
        .columns(&[
            ("priority", "Priority"),
            ("alertname", "Alert"),
            ("alertstate", "State"),
            ("environment", "Environment"),
            ("instance", "Instance"),
            ("store", "Store"),
            ("team", "Team"),
        ])
        .option("sortBy", json!([{"displayName": "Priority", "desc": false}]))
        .field(
            "Priority",
            &[
                ("mappings", priority_colors()),
                ("custom.cellOptions", json!({"type": "color-background"})),
                ("custom.width", json!(75)),
            ],
        )
        .field(
            "Alert",
            &[
                (
                    "links",
                    json!([{"title": "Runbook", "url": "${runbooks:raw}${__data.fields.alertname}", "targetBlank": true}]),
                ),
                ("custom.width", json!(230)),
            ],
        )
        .field(
            "State",
            &[
                ("mappings", texts(&[("firing", "firing", "red"), ("pending", "pending", "yellow")])),
                ("custom.cellOptions", json!({"type": "color-text"})),
                ("custom.width", json!(80)),
            ],
        )
        .field("Environment", &blank)
        .field("Instance", &blank)
        .field("Store", &blank)
}

/// When alerts fired and were pending.
pub(super) fn alert_history(title: &'static str, width: u32, height: u32) -> Panel {
    timeline(title, width, height)
        .about("When which alert was pending (yellow) and firing (red), at any of the selected instances. Compare with the graphs: what changed first is nearest to the cause.")
        .query(
            r#"2 * max by (alertname) (ALERTS{alertstate="firing",@alerts} or ALERTS{alertstate="firing",@exporter_alerts})
or
max by (alertname) (ALERTS{alertstate="pending",@alerts} or ALERTS{alertstate="pending",@exporter_alerts})"#,
            "{{alertname}}",
        )
        .unit("none")
        .empty("no alerts")
        .steps("yellow", &[(2.0, "red")])
        .mappings(texts(&[("1", "pending", "yellow"), ("2", "firing", "red")]))
}

/// Features that instances do not have, so that alerts and panels are blind for them.
pub(super) fn blind(width: u32, height: u32) -> Panel {
    table("Features that are not available", width, height)
        .about(
            "Each line is a kind of alerts and panels that cannot show anything for the instance (redis_session_exporter_feature_available is 0): its alerts stay silent whatever happens. `redis-session-exporter check` says what each needs and which alerts are affected.",
        )
        .query(
            "max by (environment, instance, feature) (redis_session_exporter_feature_available{@instance}) == 0",
            "",
        )
        .unit("none")
        .empty("everything is available")
        .columns(&[("feature", "Feature"), ("environment", "Environment"), ("instance", "Instance")])
        .option("sortBy", json!([{"displayName": "Feature", "desc": false}]))
}

/// Columns of a table with a ratio of errors.
pub(super) fn error_colors() -> Value {
    thresholds(
        "green",
        &[
            (super::marks::ERRORS_ELEVATED, "yellow"),
            (super::marks::ERRORS_CRITICAL, "red"),
        ],
    )
}

/// Largest of a gauge of instances, by instance.
pub(super) fn of_instance(metric: &str) -> String {
    format!("max by (environment, instance) ({metric}{{@instance}})")
}

/// Growth of a counter of instances per second, by instance.
pub(super) fn rate_of(counter: &str) -> String {
    format!("sum by (environment, instance) (rate({counter}{{@instance}}[$__rate_interval]))")
}

/// Growth of a counter of instances per minute, by instance.
pub(super) fn per_minute(counter: &str) -> String {
    format!("60 * {}", rate_of(counter))
}

/// Series whose names end in `low` and `high` are the ends of an interval: thin, dashed, not in the legend.
pub(super) fn interval_band(panel: Panel) -> Panel {
    panel.min(0.0).quiet(" (low|high)$").fields(
        " (low|high)$",
        &[
            ("custom.lineStyle", json!({"fill": "dash", "dash": [4, 4]})),
            ("custom.fillOpacity", json!(0)),
        ],
    )
}
