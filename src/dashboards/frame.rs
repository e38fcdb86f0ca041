//! From sections and panels to what Grafana loads: places, variables, annotations, links.

use super::Dashboard;
use super::expression::expand;
use super::panel::{Ask, Kind, Panel, Query, Section};
use crate::alerts::Values;
use serde_json::{Map, Value, json};

/// The last version of the classic model; no version of Grafana before 13 writes a later one, and none refuses it.
const SCHEMA_VERSION: u32 = 42;
/// Version of the panels' settings. Grafana migrates settings of older panels; these need none.
const PANEL_VERSION: &str = "12.0.0";
/// Columns of a dashboard.
const COLUMNS: u32 = 24;
/// Neither good nor bad.
const GREY: &str = "#6e7077";
/// Place of a mapping behind all others.
const LAST_MAPPING: u32 = 99;
/// By this tag the dashboards find each other.
const TAG: &str = "redis-session-store";

fn data_source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// The whole dashboard.
pub(super) fn dashboard(dashboard: &Dashboard) -> Value {
    json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": false,
        "graphTooltip": 1,
        "timezone": "browser",
        "fiscalYearStartMonth": 0,
        "weekStart": "",
        "liveNow": false,
        "refresh": dashboard.refresh,
        "time": {"from": dashboard.from, "to": "now"},
        "timepicker": {},
        "links": [{
            "type": "dashboards", "title": "Redis sessions", "tags": [TAG], "asDropdown": true, "includeVars": true, "keepTime": true,
            "icon": "external link", "targetBlank": false, "tooltip": "The other dashboards, with the same variables and time", "url": "",
        }],
        "templating": {"list": variables()},
        "annotations": {"list": annotations()},
        "panels": place((dashboard.sections)()),
    })
}

fn variables() -> Vec<Value> {
    let query = |name: &str, label: &str, all: &str, query: &str| {
        let query = expand(query);
        json!({
            "type": "query", "name": name, "label": label, "datasource": data_source(), "definition": query,
            "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1},
            "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": all,
            "current": {"text": ["All"], "value": ["$__all"]},
            "hide": 0, "skipUrlSync": false, "options": [], "regex": "",
        })
    };
    let runbooks = Values::default().runbook_url;
    vec![
        json!({
            "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "current": {}, "refresh": 1,
            "multi": false, "includeAll": false, "hide": 0, "skipUrlSync": false, "options": [], "regex": "",
        }),
        query("job", "Job", ".+", "label_values(redis_connection_status, job)"),
        query(
            "environment",
            "Environment",
            ".*",
            r#"label_values(redis_connection_status{@job}, environment)"#,
        ),
        query(
            "instance",
            "Instance",
            ".+",
            r#"label_values(redis_connection_status{@job,environment=~"$environment"}, instance)"#,
        ),
        // An instance without stores still has panels: "All" matches series without the label.
        query(
            "store",
            "Store",
            ".*",
            "label_values(sessions_active{@instance}, store)",
        ),
        json!({
            "type": "constant", "name": "runbooks", "label": "Address of the runbooks", "query": runbooks, "hide": 2, "skipUrlSync": true,
            "current": {"text": runbooks, "value": runbooks, "selected": true}, "options": [],
            "description": "The name of an alert is appended. Set it to where your copy of docs/runbooks is.",
        }),
    ]
}

/// What is drawn over every graph: alerts, and the moments at which Redis or the exporter started.
fn annotations() -> Vec<Value> {
    vec![
        json!({
            "builtIn": 1, "name": "Annotations & Alerts", "type": "dashboard", "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": true, "hide": true, "iconColor": "rgba(0, 211, 255, 1)",
        }),
        begun("Alerts that page", true, "red", "P0|P1"),
        // Too many lines to be always there.
        begun("Other alerts", false, "yellow", "P2|P3"),
        json!({
            "name": "Redis started", "datasource": data_source(), "enable": true, "hide": false, "iconColor": "orange", "step": "60s",
            "expr": expand("max by (environment, instance) (redis_start_time_seconds{@instance}) * 1000"), "useValueForTime": true,
            "titleFormat": "Redis started", "textFormat": "{{environment}} {{instance}}", "tagKeys": "",
        }),
        json!({
            "name": "Exporter started", "datasource": data_source(), "enable": true, "hide": false, "iconColor": "blue", "step": "60s",
            "expr": expand("max by (job, instance) (process_start_time_seconds{@job}) * 1000"), "useValueForTime": true,
            "titleFormat": "Exporter started", "textFormat": "{{job}} {{instance}}", "tagKeys": "",
        }),
    ]
}

/// The moments at which the condition of an alert that fires now or then began to hold: ALERTS_FOR_STATE is that time.
fn begun(name: &str, enabled: bool, color: &str, priorities: &str) -> Value {
    let of = |series: &str, matcher: &str| {
        format!(
            "max by (alertname, priority, environment, instance) ({series}{{{matcher}priority=~\"{priorities}\",@alerts}} or {series}{{{matcher}priority=~\"{priorities}\",@exporter_alerts}})"
        )
    };
    let (since, firing) = (of("ALERTS_FOR_STATE", ""), of("ALERTS", "alertstate=\"firing\","));
    json!({
        "name": name, "datasource": data_source(), "enable": enabled, "hide": false, "iconColor": color, "step": "60s",
        "expr": expand(&format!("1000 * ({since} and {firing})")), "useValueForTime": true,
        "titleFormat": "{{alertname}} ({{priority}})", "textFormat": "{{environment}} {{instance}}", "tagKeys": "priority",
    })
}

/// What stands there instead of nothing is no good news, and must not have the colour of it.
fn grey_where_empty(kind: Kind, defaults: &mut Map<String, Value>) {
    let Some(text) = defaults.get("noValue").cloned() else {
        return;
    };
    if !matches!(kind, Kind::Stat | Kind::Gauge) {
        return;
    }
    let mappings = defaults.entry("mappings").or_insert_with(|| json!([]));
    if let Value::Array(mappings) = mappings {
        mappings.push(json!({
            "type": "special",
            "options": {"match": "null+nan", "result": {"text": text, "color": GREY, "index": LAST_MAPPING}},
        }));
    }
}

/// Gives every panel its id and its place: from left to right, and below where the line is full.
fn place(sections: Vec<Section>) -> Vec<Value> {
    let mut placed = Vec::new();
    let mut ids = 1_u32..;
    let mut next_id = || ids.next().unwrap_or_default();
    let mut top = 0_u32;
    for section in sections {
        let row_id = next_id();
        let row_top = top;
        top = top.saturating_add(1);
        let (mut left, mut line_height) = (0_u32, 0_u32);
        let mut panels = Vec::new();
        for panel in section.panels {
            let (width, height) = panel.size;
            if left.saturating_add(width) > COLUMNS {
                top = top.saturating_add(line_height);
                (left, line_height) = (0, 0);
            }
            panels.push(render(panel, next_id(), (left, top)));
            left = left.saturating_add(width);
            line_height = line_height.max(height);
        }
        let bottom = top.saturating_add(line_height);
        // The panels of a folded row take no place until it is opened.
        top = if section.folded {
            row_top.saturating_add(1)
        } else {
            bottom
        };
        let (inside, beside) = if section.folded {
            (panels, Vec::new())
        } else {
            (Vec::new(), panels)
        };
        placed.push(json!({
            "id": row_id, "type": "row", "title": section.title, "collapsed": section.folded,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": row_top}, "panels": inside,
        }));
        placed.extend(beside);
    }
    placed
}

fn render(panel: Panel, id: u32, (left, top): (u32, u32)) -> Value {
    let (width, height) = panel.size;
    let mut defaults = panel.defaults;
    grey_where_empty(panel.kind, &mut defaults);
    if !panel.custom.is_empty() {
        defaults.insert("custom".to_owned(), Value::Object(panel.custom));
    }
    let queries: Vec<Value> = panel
        .queries
        .iter()
        .zip('A'..)
        .map(|(query, id)| target(query, id))
        .collect();
    let links: Vec<Value> = panel
        .links
        .iter()
        .map(|(title, url)| json!({"title": title, "url": url, "targetBlank": url.starts_with("${runbooks")}))
        .collect();
    let mut rendered = Map::new();
    let mut set = |name: &str, value: Value| {
        rendered.insert(name.to_owned(), value);
    };
    set("id", json!(id));
    set("type", json!(panel.kind.id()));
    set("title", json!(panel.title));
    set("description", json!(panel.about));
    set("datasource", data_source());
    set("pluginVersion", json!(PANEL_VERSION));
    set("gridPos", json!({"h": height, "w": width, "x": left, "y": top}));
    set(
        "fieldConfig",
        json!({"defaults": defaults, "overrides": panel.overrides}),
    );
    set("options", panel.options);
    set("targets", json!(queries));
    if !links.is_empty() {
        set("links", json!(links));
    }
    if !panel.transformations.is_empty() {
        set("transformations", json!(panel.transformations));
    }
    if let Some(span) = panel.time_from {
        set("timeFrom", json!(span));
    }
    if let Some(interval) = panel.interval {
        set("interval", json!(interval));
    }
    Value::Object(rendered)
}

fn target(query: &Query, id: char) -> Value {
    let instant = matches!(query.ask, Ask::Instant | Ask::Table);
    let format = match query.ask {
        Ask::Table => "table",
        Ask::Heatmap => "heatmap",
        Ask::Range | Ask::Instant => "time_series",
    };
    json!({
        "refId": id.to_string(), "datasource": data_source(), "expr": expand(&query.expression), "legendFormat": query.legend,
        "editorMode": "code", "format": format, "range": !instant, "instant": instant,
    })
}
