//! From rules to the files that Prometheus loads.

use super::rules::recording::CAPACITY;
use super::template::{Place, TemplateError, duration, fill};
use super::{Alert, FILES, File, Priority, Record, Rule, Scope, Values};
use crate::config::alert_values::ALERT_IN_URL;
use serde::Serialize;
use std::collections::BTreeMap;

/// Why a file of rules could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A rule of this program is written wrongly; a test finds each.
    #[error("the rule {rule}: {source}")]
    Rule {
        /// Its name.
        rule: String,
        /// What is wrong.
        source: TemplateError,
    },
    /// The YAML library refused.
    #[error("the rules cannot be written as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

/// What Prometheus reads: groups of rules.
#[derive(Debug, Serialize)]
pub struct Rendered {
    /// The groups.
    pub groups: Vec<RenderedGroup>,
}

/// A group as Prometheus reads it.
#[derive(Debug, Serialize)]
pub struct RenderedGroup {
    name: &'static str,
    interval: String,
    rules: Vec<RenderedRule>,
}

#[derive(Debug, Serialize)]
struct RenderedRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'static str>,
    expr: String,
    #[serde(rename = "for", skip_serializing_if = "String::is_empty")]
    hold: String,
    #[serde(rename = "keep_firing_for", skip_serializing_if = "String::is_empty")]
    keep: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations>,
}

#[derive(Debug, Serialize)]
struct Annotations {
    summary: String,
    description: String,
    remediation: String,
    runbook_url: String,
    dashboard_url: String,
}

/// The groups of a file with these values.
///
/// # Errors
/// Only for a mistake in this program's own rules.
pub fn groups(file: &File, values: &Values) -> Result<Rendered, RenderError> {
    let mut groups = Vec::new();
    for group in (file.groups)() {
        let mut rules = Vec::new();
        for rule in &group.rules {
            if matches!(rule, Rule::Alert(alert) if !values.wants(alert)) {
                continue;
            }
            let (name, rendered) = match rule {
                Rule::Record(record) => (record.name.to_string(), self::record(record, values)),
                Rule::Alert(alert) => (alert.name.to_owned(), self::alert(alert, values)),
            };
            rules.push(rendered.map_err(|source| RenderError::Rule { rule: name, source })?);
        }
        groups.push(RenderedGroup {
            name: group.name,
            interval: duration(group.interval, values.hurry).map_err(|source| RenderError::Rule {
                rule: group.name.to_owned(),
                source,
            })?,
            rules,
        });
    }
    Ok(Rendered { groups })
}

/// All files as one, for those who load a single file: `GET /rules` and the standard output of `rules`.
///
/// # Errors
/// Only for a mistake in this program's own rules.
pub fn whole(values: &Values) -> Result<String, RenderError> {
    let groups = all_groups(values)?;
    Ok(format!("{ORIGIN}{}", serde_yaml::to_string(&groups)?))
}

/// A `PrometheusRule` of the Prometheus Operator with all groups.
///
/// # Errors
/// Only for a mistake in this program's own rules.
pub fn prometheus_rule(values: &Values) -> Result<String, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Manifest {
        api_version: &'static str,
        kind: &'static str,
        metadata: Metadata,
        spec: Rendered,
    }
    #[derive(Serialize)]
    struct Metadata {
        name: &'static str,
        labels: BTreeMap<&'static str, &'static str>,
    }
    let manifest = Manifest {
        api_version: "monitoring.coreos.com/v1",
        kind: "PrometheusRule",
        metadata: Metadata {
            name: "redis-session-exporter",
            labels: BTreeMap::from([("app.kubernetes.io/name", "redis-session-exporter")]),
        },
        spec: all_groups(values)?,
    };
    Ok(format!("{ORIGIN}{}", serde_yaml::to_string(&manifest)?))
}

fn all_groups(values: &Values) -> Result<Rendered, RenderError> {
    let mut all = Rendered { groups: Vec::new() };
    for file in FILES {
        all.groups.extend(groups(file, values)?.groups);
    }
    Ok(all)
}

/// Stands at the head of every file.
const ORIGIN: &str =
    "# Written by `redis-session-exporter rules`; thresholds and selectors are set in a file of values, not here.\n";

/// A file as it is written, with a head that says where it comes from.
///
/// # Errors
/// Only for a mistake in this program's own rules.
pub fn file(file: &File, values: &Values) -> Result<String, RenderError> {
    let yaml = serde_yaml::to_string(&groups(file, values)?)?;
    Ok(format!("# {}\n{ORIGIN}{yaml}", file.about))
}

fn record(record: &Record, values: &Values) -> Result<RenderedRule, TemplateError> {
    Ok(RenderedRule {
        record: Some(record.name.to_string()),
        alert: None,
        expr: with_capacities(record, fill(&record.expr, Place::Expression, values)?, values),
        hold: String::new(),
        keep: String::new(),
        labels: record
            .labels
            .iter()
            .map(|(name, value)| (*name, value.to_string()))
            .collect(),
        annotations: None,
    })
}

/// The capacity of each store comes from its exporter, and where that names none from the values.
fn with_capacities(record: &Record, mut expression: String, values: &Values) -> String {
    if record.name != CAPACITY {
        return expression;
    }
    // `or` takes the first that there is, so what is said of an instance stands before what is said of all.
    let mut capacities: Vec<_> = values.capacity.iter().collect();
    capacities.sort_by_key(|capacity| (capacity.instance.is_none(), capacity.environment.is_none()));
    for capacity in capacities {
        let more = [("instance", &capacity.instance), ("environment", &capacity.environment)];
        let mut matchers = format!("{},store={}", values.selector, quoted(&capacity.store));
        for (label, value) in more {
            if let Some(value) = value {
                matchers.push_str(&format!(",{label}={}", quoted(value)));
            }
        }
        expression.push_str(&format!(
            "\nor\n0 * max by (job, environment, instance, store) (sessions_active{{{matchers}}}) + {}",
            capacity.sessions
        ));
    }
    expression
}

/// A string of PromQL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn alert(alert: &Alert, values: &Values) -> Result<RenderedRule, TemplateError> {
    let hold = values.hold(alert);
    let priority = values.priority(alert);
    let text = |text: &str| fill(text, Place::Annotation(hold), values);
    let mut labels: BTreeMap<&'static str, String> = alert
        .labels
        .iter()
        .map(|(name, value)| (*name, value.to_string()))
        .collect();
    labels.insert("severity", priority.severity().to_owned());
    labels.insert("priority", priority.as_label().to_owned());
    labels.insert("team", values.team(alert).to_owned());
    if values.shares_its_priority(alert) {
        labels.insert("shipped_priority", alert.priority.as_label().to_owned());
    }
    if priority != Priority::None {
        labels.insert("symptom", alert.symptom.to_owned());
    }
    Ok(RenderedRule {
        record: None,
        alert: Some(alert.name),
        expr: fill(&alert.expr, Place::Expression, values)?,
        hold: duration(hold, values.hurry)?,
        keep: duration(alert.keep, values.hurry)?,
        labels,
        annotations: Some(Annotations {
            summary: text(&alert.summary)?,
            description: text(&alert.description)?,
            remediation: text(&alert.remediation)?,
            runbook_url: runbook_url(alert.name, values),
            dashboard_url: dashboard_url(alert, values),
        }),
    })
}

/// The page of the alert: in place of [`ALERT_IN_URL`], else behind the address.
fn runbook_url(name: &str, values: &Values) -> String {
    let base = &values.runbook_url;
    if base.contains(ALERT_IN_URL) {
        return base.replace(ALERT_IN_URL, name);
    }
    let separator = if base.ends_with(['/', '=', '#']) { "" } else { "/" };
    format!("{base}{separator}{name}")
}

/// The dashboard with its variables set to what the alert is about.
fn dashboard_url(alert: &Alert, values: &Values) -> String {
    let variables: &[&str] = match alert.scope {
        Scope::Store => &["environment", "instance", "store"],
        Scope::Instance => &["environment", "instance"],
        Scope::Environment => &["environment"],
        // `instance` of a target is the exporter, which no variable of a dashboard means.
        Scope::Target | Scope::Everything => &[],
    };
    let query: Vec<String> = variables
        .iter()
        .map(|name| format!("var-{name}={{{{ $labels.{name} | urlquery }}}}"))
        .collect();
    let separator = if query.is_empty() { "" } else { "?" };
    format!(
        "{}/d/{}{separator}{}",
        values.dashboard_url,
        alert.dashboard.uid(),
        query.join("&")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_capacity_of_an_instance_comes_before_that_of_all() {
        let values = Values::parse(
            "capacity:\n  - { store: web, sessions: 1 }\n  - { store: web, environment: production, sessions: 2 }\n  \
             - { store: web, instance: redis-2, sessions: 3 }\n",
            "values.yaml",
        );
        let text = whole(&values.unwrap()).unwrap();
        let place = |sessions: &str| text.find(&format!(") + {sessions}\n")).unwrap();
        assert!(place("3") < place("2") && place("2") < place("1"), "{text}");
    }

    /// Two rules with the same name and labels are one alert to Alertmanager, which the one resolves while the other fires.
    #[test]
    fn alerts_of_one_name_stay_apart_whatever_their_priority() {
        for priority in ["P0", "P1", "P2", "P3"] {
            let names: BTreeSet<&str> = crate::alerts::alerts().iter().map(|alert| alert.name).collect();
            let overrides: Vec<String> = names
                .into_iter()
                .map(|name| format!("  {name}: {{ priority: {priority} }}\n"))
                .collect();
            let values = Values::parse(&format!("alerts:\n{}", overrides.concat()), "values.yaml").unwrap();
            let mut seen = BTreeSet::new();
            for alert in crate::alerts::alerts() {
                let labels = super::alert(&alert, &values).unwrap().labels;
                assert!(seen.insert((alert.name, labels)), "{} at {priority}", alert.name);
            }
        }
    }
}
