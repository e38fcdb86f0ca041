//! The dashboards held against the files that are shipped, against the rules of Grafana's dashboard linter, and against the metrics and rules
//! that there are.

mod promql;

use super::*;
use crate::alerts;
use promql::{Knowledge, is_about_exporter, problems_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// `UPDATE=1 cargo test --lib dashboards` writes them.
#[test]
fn the_shipped_files_are_the_output() {
    let folder = root().join("dashboards");
    let mut expected: BTreeSet<PathBuf> = BTreeSet::new();
    for dashboard in ALL {
        let path = folder.join(dashboard.file_name());
        let text = dashboard.text();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            shipped == text,
            "{} is not what `dashboards` writes; UPDATE=1 cargo test --lib dashboards writes it again",
            path.display()
        );
        expected.insert(path);
    }
    let there: BTreeSet<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    assert_eq!(there, expected);
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Every panel with the name of its place, those of folded rows too, rows left out.
fn panels(json: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    for panel in list(json, "/panels") {
        if text(panel, "/type") == "row" {
            found.extend(list(panel, "/panels"));
        } else {
            found.push(panel);
        }
    }
    found
}

fn all_panels(mut check: impl FnMut(&str, &Value) -> Vec<String>) {
    let mut problems = Vec::new();
    for dashboard in ALL {
        for panel in panels(&dashboard.json()) {
            let place = format!("{}: {}", dashboard.uid, text(panel, "/title"));
            problems.extend(
                check(&place, panel)
                    .into_iter()
                    .map(|problem| format!("{place}: {problem}")),
            );
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn a_dashboard_is_what_the_linter_and_grafana_want() {
    for dashboard in ALL {
        let json = dashboard.json();
        assert!(dashboard.uid.len() <= 40, "Grafana takes at most 40 characters");
        assert_eq!(json["schemaVersion"], 42);
        assert_eq!(json["editable"], false);
        assert!(json.get("id").is_none() && json.get("__inputs").is_none());
        assert!(dashboard.about.ends_with('.') || dashboard.about.ends_with('?'));
        let variables: BTreeMap<&str, &Value> = list(&json, "/templating/list")
            .iter()
            .map(|variable| (text(variable, "/name"), variable))
            .collect();
        assert_eq!(variables["datasource"]["type"], "datasource");
        assert_eq!(variables["datasource"]["label"], "Data source");
        for (name, label, all) in [
            ("job", "Job", ".+"),
            ("environment", "Environment", ".*"),
            ("instance", "Instance", ".+"),
            ("store", "Store", ".*"),
        ] {
            let variable = variables[name];
            assert_eq!(text(variable, "/type"), "query");
            assert_eq!(text(variable, "/label"), label);
            assert_eq!(text(variable, "/allValue"), all);
            assert_eq!(text(variable, "/datasource/uid"), "${datasource}");
            assert_eq!(variable["multi"], true);
            assert_eq!(variable["includeAll"], true);
            assert_eq!(variable["refresh"], 2, "the values follow the time range");
            assert_eq!(text(variable, "/definition"), text(variable, "/query/query"));
        }
        let ids: Vec<u64> = list(&json, "/panels")
            .iter()
            .chain(panels(&json))
            .map(|panel| panel["id"].as_u64().unwrap())
            .collect();
        let rows = list(&json, "/panels")
            .iter()
            .filter(|panel| panel["type"] == "row")
            .count();
        let distinct: BTreeSet<u64> = ids.iter().copied().collect();
        assert_eq!(
            distinct.len(),
            rows + panels(&json).len(),
            "{}: ids are unique",
            dashboard.uid
        );
    }
}

/// The cells that a panel covers.
fn cells(panel: &Value) -> Vec<(u64, u64)> {
    let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
    let (left, top, width, height) = (place("x"), place("y"), place("w"), place("h"));
    (left..left + width)
        .flat_map(|x| (top..top + height).map(move |y| (x, y)))
        .collect()
}

#[test]
fn panels_stand_beside_each_other_and_fill_their_lines() {
    for dashboard in ALL {
        let json = dashboard.json();
        let (folded, open): (Vec<&Value>, Vec<&Value>) = list(&json, "/panels")
            .iter()
            .partition(|panel| panel["collapsed"] == true);
        // A folded row is opened alone, and what is below it moves down.
        let groups = folded
            .iter()
            .map(|row| list(row, "/panels").iter().collect())
            .chain(std::iter::once(open));
        for group in groups {
            let mut taken = BTreeSet::new();
            for panel in group {
                for cell in cells(panel) {
                    assert!(cell.0 < 24, "{}: {}: beyond the edge", dashboard.uid, panel["title"]);
                    assert!(taken.insert(cell), "{}: {}: overlaps", dashboard.uid, panel["title"]);
                }
            }
            let lines: BTreeSet<u64> = taken.iter().map(|(_, y)| *y).collect();
            for line in lines {
                let filled = taken.iter().filter(|(_, y)| *y == line).count();
                assert_eq!(filled, 24, "{}: line {line} has a gap", dashboard.uid);
            }
        }
    }
}

/// The first screen of a laptop: 768 pixels less browser, menu and variables hold about thirteen lines.
#[test]
fn the_first_screen_of_the_overview_answers_both_questions() {
    let json = ALL[0].json();
    let rows: Vec<(&str, u64)> = list(&json, "/panels")
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|row| (text(row, "/title"), row["gridPos"]["y"].as_u64().unwrap()))
        .collect();
    assert_eq!(rows[0].0, "Can users log in?");
    assert_eq!(rows[1].0, "How far is the store from losing logins?");
    assert!(rows[2].1 <= 13, "the two answers take {} lines", rows[2].1);
}

/// Unit ids of Grafana that make sense here.
const UNITS: [&str; 18] = [
    "none",
    "short",
    "locale",
    "percent",
    "percentunit",
    "s",
    "ms",
    "µs",
    "d",
    "bytes",
    "Bps",
    "ops",
    "cps",
    "cpm",
    "reqps",
    "dateTimeAsIso",
    "dateTimeFromNow",
    "opm",
];

#[test]
fn every_panel_says_what_it_shows() {
    all_panels(|_, panel| {
        let mut problems = Vec::new();
        let about = text(panel, "/description");
        if text(panel, "/title").is_empty() || about.len() < 40 || !about.ends_with('.') {
            problems.push("has no title, or no description in whole sentences".to_owned());
        }
        if text(panel, "/datasource/uid") != "${datasource}" {
            problems.push("does not use the variable for its data source".to_owned());
        }
        let unit = text(panel, "/fieldConfig/defaults/unit");
        if !UNITS.contains(&unit) {
            problems.push(format!("has the unit {unit:?}"));
        }
        if list(panel, "/targets").is_empty() {
            problems.push("asks nothing".to_owned());
        }
        for target in list(panel, "/targets") {
            if text(target, "/datasource/uid") != "${datasource}" {
                problems.push("asks a data source of its own".to_owned());
            }
            let in_table = text(panel, "/type") == "table";
            if text(target, "/legendFormat").is_empty() != in_table {
                problems.push("a series has a name, a column has a title".to_owned());
            }
        }
        problems
    });
}

#[test]
fn every_query_is_promql_about_what_there_is() {
    let knowledge = Knowledge::new();
    all_panels(|_, panel| {
        let mut problems = Vec::new();
        for target in list(panel, "/targets") {
            let found = problems_of(&knowledge, text(target, "/expr"), text(target, "/legendFormat"));
            problems.extend(found);
        }
        problems
    });
    for dashboard in ALL {
        let json = dashboard.json();
        for annotation in list(&json, "/annotations/list") {
            let Some(expression) = annotation.get("expr").and_then(Value::as_str) else {
                continue;
            };
            let legend = format!(
                "{}{}",
                text(annotation, "/titleFormat"),
                text(annotation, "/textFormat")
            );
            assert_eq!(problems_of(&knowledge, expression, &legend), Vec::<String>::new());
        }
        for variable in list(&json, "/templating/list") {
            let query = text(variable, "/query/query");
            if let Some(inside) = query
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')'))
            {
                let (selector, label) = inside.rsplit_once(", ").unwrap();
                assert_eq!(knowledge.problems_of_variable(selector, label), Vec::<String>::new());
            }
        }
    }
}

/// Settings by name must name a column or a series that there is.
#[test]
fn every_override_has_something_to_override() {
    all_panels(|_, panel| {
        let mut names: BTreeSet<String> = list(panel, "/targets")
            .iter()
            .map(|target| text(target, "/legendFormat").to_owned())
            .collect();
        for transformation in list(panel, "/transformations") {
            if let Some(renamed) = transformation
                .pointer("/options/renameByName")
                .and_then(Value::as_object)
            {
                names.extend(renamed.values().map(|name| name.as_str().unwrap().to_owned()));
            }
            if let Some(kept) = transformation
                .pointer("/options/indexByName")
                .and_then(Value::as_object)
            {
                names.extend(kept.keys().cloned());
            }
        }
        // What a label says is only known to Prometheus: any name may come out of `{{label}}`.
        let has_labels = names.iter().any(|name| name.contains("{{"));
        let mut problems = Vec::new();
        for over in list(panel, "/fieldConfig/overrides") {
            let name = text(over, "/matcher/options");
            let known = match text(over, "/matcher/id") {
                "byName" => names.contains(name) || has_labels,
                _ => {
                    let end = name.trim_matches('/').trim_end_matches('$').trim();
                    let end = end.trim_start_matches('(').split('|').next().unwrap_or_default();
                    has_labels || names.iter().any(|candidate| candidate.contains(end))
                }
            };
            if !known {
                problems.push(format!("nothing is called {name}"));
            }
        }
        problems
    });
}

#[test]
fn every_link_leads_somewhere() {
    let runbooks: BTreeSet<String> = alerts::alerts().iter().map(|alert| alert.name.to_owned()).collect();
    let leads = |url: &str| {
        if let Some(alert) = url.strip_prefix("${runbooks:raw}") {
            return runbooks.contains(alert) || alert == "${__data.fields.alertname}";
        }
        let path = url.split('?').next().unwrap_or_default();
        path.strip_prefix("/d/")
            .is_some_and(|uid| ALL.iter().any(|other| other.uid == uid))
    };
    all_panels(|_, panel| {
        let mut urls: Vec<&str> = Vec::new();
        urls.extend(list(panel, "/links").iter().map(|link| text(link, "/url")));
        urls.extend(
            list(panel, "/fieldConfig/defaults/links")
                .iter()
                .map(|link| text(link, "/url")),
        );
        for over in list(panel, "/fieldConfig/overrides") {
            for property in list(over, "/properties")
                .iter()
                .filter(|property| property["id"] == "links")
            {
                urls.extend(list(property, "/value").iter().map(|link| text(link, "/url")));
            }
        }
        urls.retain(|url| !leads(url));
        urls.iter().map(|url| format!("{url} leads nowhere")).collect()
    });
}

/// Every alert of the rules has a panel that leads to its runbook, so that whoever looks at its cause finds it.
#[test]
fn every_alert_is_linked_from_a_panel() {
    let linked: BTreeSet<String> = ALL
        .iter()
        .flat_map(|dashboard| {
            let json = dashboard.json();
            panels(&json)
                .into_iter()
                .flat_map(|panel| list(panel, "/links"))
                .filter_map(|link| text(link, "/url").strip_prefix("${runbooks:raw}").map(str::to_owned))
                .collect::<Vec<String>>()
        })
        .collect();
    let all = alerts::alerts();
    let names: BTreeSet<&str> = all
        .iter()
        .filter(|alert| alert.priority != alerts::Priority::None)
        .map(|alert| alert.name)
        .collect();
    let missing: Vec<&str> = names.into_iter().filter(|name| !linked.contains(*name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// A line in a panel is where the alert waits.
#[test]
fn lines_stand_where_the_alerts_wait() {
    let values = alerts::Values::default();
    for (mark, thresholds) in marks::OF_RULES {
        for name in thresholds {
            let (_, value) = values
                .threshold(name)
                .unwrap_or_else(|| panic!("there is no threshold {name}"));
            assert!(
                (value - mark).abs() < 1e-9,
                "{name} is {value}, its line stands at {mark}"
            );
        }
    }
    let days = marks::CERTIFICATE_DAYS.map(|days| days * marks::DAY);
    let names = [
        "tls_certificate_urgent",
        "tls_certificate_soon",
        "tls_certificate_notice",
    ];
    assert_eq!(days, names.map(|name| values.threshold(name).unwrap().1));
}

/// What `dashboard-linter` must be told: the panels about the exporter, whose `instance` is no Redis. `UPDATE=1` writes it.
#[test]
fn the_linter_knows_the_panels_about_the_exporter() {
    let knowledge = Knowledge::new();
    let mut file = "# For grafana/dashboard-linter. Written by `UPDATE=1 cargo test --lib dashboards`.\nexclusions:\n  target-instance-rule:\n    reason: they show the exporter or its alerts, whose instance is the exporter and no Redis\n    entries:\n".to_owned();
    for dashboard in ALL {
        for panel in panels(&dashboard.json()) {
            let targets = list(panel, "/targets");
            if targets
                .iter()
                .any(|target| is_about_exporter(&knowledge, text(target, "/expr")))
            {
                file.push_str(&format!(
                    "    - dashboard: {:?}\n      panel: {:?}\n",
                    dashboard.title,
                    text(panel, "/title")
                ));
            }
        }
    }
    let path = root().join("dashboards/.lint");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &file).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), file);
}
