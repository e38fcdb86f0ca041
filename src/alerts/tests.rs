//! The rules held against what they build on: files that are shipped, metrics that there are, tests and runbooks that belong to them.

use super::*;
use crate::catalogue;
use promql_parser::parser::{self, Expr};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rendered(file: &File) -> String {
    render::file(file, &Values::default()).unwrap()
}

/// Every rule of every file with its expression as it is shipped.
fn expressions() -> Vec<(String, String)> {
    let values = Values::default();
    let rules = FILES
        .iter()
        .flat_map(|file| (file.groups)())
        .flat_map(|group| group.rules);
    rules
        .map(|rule| {
            let (name, text) = match &rule {
                Rule::Record(record) => (record.name.to_string(), record.expr.to_string()),
                Rule::Alert(alert) => (alert.name.to_owned(), alert.expr.to_string()),
            };
            (
                name,
                template::fill(&text, template::Place::Expression, &values).unwrap(),
            )
        })
        .collect()
}

/// `UPDATE=1 cargo test --lib alerts` writes them.
#[test]
fn the_shipped_files_are_the_default_output() {
    let folder = root().join("alerts/rules");
    let mut expected: BTreeSet<PathBuf> = BTreeSet::new();
    for file in FILES {
        let path = folder.join(format!("{}.yaml", file.name));
        let text = rendered(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            shipped == text,
            "{} is not what `rules` writes; UPDATE=1 cargo test --lib alerts writes it again",
            path.display()
        );
        expected.insert(path);
    }
    let there: BTreeSet<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(there, expected);
}

/// Every recording rule of every file.
pub(crate) fn records() -> Vec<Record> {
    FILES
        .iter()
        .flat_map(|file| (file.groups)())
        .flat_map(|group| group.rules)
        .filter_map(|rule| match rule {
            Rule::Record(record) => Some(record),
            Rule::Alert(_) => None,
        })
        .collect()
}

/// The label names of every series that a rule or panel may name: those of the catalogue, with the suffixes of histograms.
pub(crate) fn known_series() -> BTreeMap<String, BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in catalogue::table().lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let mut labels: BTreeSet<String> = fields[2]
            .split(',')
            .filter(|label| !label.is_empty())
            .map(str::to_owned)
            .collect();
        labels.extend(["job", "environment", "instance"].map(str::to_owned));
        if matches!(fields[1], "histogram" | "gaugehistogram") {
            let mut with_bounds = labels.clone();
            with_bounds.insert("le".to_owned());
            known.insert(format!("{}_bucket", fields[0]), with_bounds);
        }
        if fields[1] == "histogram" {
            known.insert(format!("{}_sum", fields[0]), labels.clone());
            known.insert(format!("{}_count", fields[0]), labels.clone());
        }
        known.insert(fields[0].to_owned(), labels);
    }
    known
}

/// Every selector of an expression: name and the labels that it matches.
pub(crate) fn selectors(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    fn walk(expression: &Expr, found: &mut Vec<(String, BTreeSet<String>)>) {
        let mut note = |selector: &parser::VectorSelector| {
            let labels = selector.matchers.matchers.iter().map(|matcher| matcher.name.clone());
            found.push((selector.name.clone().unwrap_or_default(), labels.collect()));
        };
        match expression {
            Expr::Aggregate(aggregate) => {
                walk(&aggregate.expr, found);
                if let Some(parameter) = &aggregate.param {
                    walk(parameter, found);
                }
            }
            Expr::Unary(unary) => walk(&unary.expr, found),
            Expr::Binary(binary) => {
                walk(&binary.lhs, found);
                walk(&binary.rhs, found);
            }
            Expr::Paren(paren) => walk(&paren.expr, found),
            Expr::Subquery(subquery) => walk(&subquery.expr, found),
            Expr::VectorSelector(selector) => note(selector),
            Expr::MatrixSelector(matrix) => note(&matrix.vs),
            Expr::Call(call) => call.args.args.iter().for_each(|argument| walk(argument, found)),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }
    let parsed = parser::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let mut found = Vec::new();
    walk(&parsed, &mut found);
    found
}

/// Series that are neither ours nor recorded, but Prometheus' own.
const OF_PROMETHEUS: [&str; 4] = ["up", "ALERTS", "scrape_duration_seconds", "scrape_samples_scraped"];

/// Metrics that only the application knows; the contract names them.
pub(crate) const OF_APPLICATIONS: [&str; 13] = [
    "session_encryption_errors_total",
    "tokens_validation_errors_total",
    "session_cache_hits_total",
    "session_cache_misses_total",
    "session_cache_requests_total",
    "session_cache_errors_total",
    "circuit_breaker_opens_total",
    "job_queue_pending",
    "redis_pool_connections",
    "redis_pool_pending",
    "redis_pool_size",
    "session_encryption_key_present",
    "sessions_created_total",
];

#[test]
fn every_series_that_a_rule_names_exists_with_its_labels() {
    let known = known_series();
    let recorded: BTreeSet<String> = records().iter().map(|record| record.name.to_string()).collect();
    let mut problems = Vec::new();
    for (rule, expression) in expressions() {
        for (name, labels) in selectors(&expression) {
            let is_foreign = OF_PROMETHEUS.contains(&name.as_str()) || OF_APPLICATIONS.contains(&name.as_str());
            if recorded.contains(&name) || (is_foreign && !known.contains_key(&name)) {
                continue;
            }
            let Some(has) = known.get(&name) else {
                problems.push(format!("{rule}: there is no {name}"));
                continue;
            };
            let missing: Vec<&String> = labels.difference(has).collect();
            if !missing.is_empty() {
                problems.push(format!("{rule}: {name} has no label {missing:?}"));
            }
            if !labels.contains("job") {
                problems.push(format!("{rule}: {name} is selected without $job"));
            }
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn every_alert_says_what_it_must() {
    let mut seen = BTreeSet::new();
    for alert in alerts() {
        let name = alert.name;
        assert!(!alert.expr.is_empty() && !alert.symptom.is_empty(), "{name}");
        for text in [&alert.summary, &alert.description, &alert.remediation] {
            assert!(text.ends_with('.'), "{name}: a sentence ends with a full stop: {text}");
        }
        for label in alert.scope.labels().iter().filter(|label| **label != "job") {
            let used = format!("$labels.{label}");
            assert!(alert.summary.contains(&used), "{name}: the summary does not say {used}");
        }
        assert!(
            seen.insert((name, alert.priority)),
            "{name} is there twice with the same priority"
        );
    }
}

/// A page that is paged for must be there, with the four parts that a reader at night looks for.
#[test]
fn every_alert_has_its_runbook() {
    let mut problems = Vec::new();
    let folder = root().join("docs/runbooks");
    for alert in alerts() {
        let path = folder.join(format!("{}.md", alert.name));
        let Ok(page) = std::fs::read_to_string(&path) else {
            problems.push(format!("{} is missing", path.display()));
            continue;
        };
        if !page.starts_with(&format!("# {}\n", alert.name)) {
            problems.push(format!("{} does not begin with its name", path.display()));
        }
        for part in ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"] {
            if !page.contains(part) {
                problems.push(format!("{} has no {part}", path.display()));
            }
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}

/// Alerts that promtool's tests see fire, and how often each is seen silent.
fn tested(folder: &Path) -> (BTreeSet<String>, BTreeMap<String, usize>) {
    let mut fires = BTreeSet::new();
    let mut silent: BTreeMap<String, usize> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let file: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let tests = file
            .get("tests")
            .and_then(|tests| tests.as_sequence())
            .cloned()
            .unwrap_or_default();
        for case in tests.iter().flat_map(|test| {
            test.get("alert_rule_test")
                .and_then(|cases| cases.as_sequence())
                .cloned()
                .unwrap_or_default()
        }) {
            let name = case
                .get("alertname")
                .and_then(|name| name.as_str())
                .unwrap_or_default()
                .to_owned();
            let expected = case.get("exp_alerts").and_then(|alerts| alerts.as_sequence());
            if expected.is_some_and(|alerts| !alerts.is_empty()) {
                fires.insert(name);
            } else {
                let count = silent.entry(name).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
    (fires, silent)
}

/// Silent just before its time, firing with labels and annotations, silent in its trap.
#[test]
fn every_alert_is_seen_to_fire_and_to_stay_silent() {
    let (fires, silent) = tested(&root().join("alerts/tests"));
    let mut problems = Vec::new();
    for alert in alerts() {
        if !fires.contains(alert.name) {
            problems.push(format!("{}: no test sees it fire", alert.name));
        }
        // The heartbeat is never silent.
        if alert.priority != Priority::None && silent.get(alert.name).copied().unwrap_or_default() < 2 {
            problems.push(format!(
                "{}: fewer than two tests see it silent (before its time, in its trap)",
                alert.name
            ));
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}
