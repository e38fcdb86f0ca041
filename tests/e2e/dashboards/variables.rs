//! What Grafana puts in the place of its variables before it asks Prometheus.

use super::model::Dashboard;
use crate::prometheus::Prometheus;
use serde_json::Value;

/// What is chosen in the lists above a dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// `All` wherever that can be chosen, which is how a dashboard opens.
    All,
    /// One value of each list.
    One,
}

impl Choice {
    /// For the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::One => "one",
        }
    }
}

/// What is chosen of a list that has one of them: the instance and store of the scene that have everything.
const CHOSEN: [&str; 4] = [
    "redis-session-exporter",
    "production",
    super::scene::PRIMARY,
    super::scene::STORE,
];

/// `$__rate_interval`: four scrapes, and Grafana's step on top, at a `timeInterval` of a few seconds.
pub const RATE_INTERVAL: &str = "15s";

/// Values of all variables of a dashboard.
pub struct Variables {
    /// Name and replacement, longest name first, since `$instance` is the beginning of `$instances`.
    replacements: Vec<(String, String)>,
}

impl Variables {
    /// Asks Prometheus for the values of the lists, in the order in which they build on each other. Complaints say what was empty.
    pub fn resolve(
        dashboard: &Dashboard,
        choice: Choice,
        prometheus: &Prometheus,
        span: u64,
        step: u64,
    ) -> (Self, Vec<String>) {
        let mut found = Self {
            replacements: [
                ("__rate_interval", RATE_INTERVAL.to_owned()),
                ("__interval", format!("{step}s")),
                ("__interval_ms", format!("{step}000")),
                ("__range", format!("{span}s")),
                ("__range_s", span.to_string()),
                ("__range_ms", format!("{span}000")),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        };
        found.sort();
        let mut complaints = Vec::new();
        for variable in dashboard.json["templating"]["list"].as_array().into_iter().flatten() {
            let name = variable["name"].as_str().unwrap();
            if variable["type"] == "datasource" {
                continue;
            }
            let values = match variable["type"].as_str().unwrap() {
                "query" => found.listed(variable, prometheus),
                _ => variable["query"]
                    .as_str()
                    .unwrap_or_default()
                    .split(',')
                    .map(|value| value.trim().to_owned())
                    .collect(),
            };
            if values.is_empty() {
                complaints.push(format!("{}: the list of ${name} is empty", dashboard.uid));
            }
            found
                .replacements
                .push((name.to_owned(), text(variable, choice, &values)));
            found.sort();
        }
        (found, complaints)
    }

    /// Chooses one value of a list, whatever was chosen.
    pub fn choose(&mut self, name: &str, value: &str) {
        for (of, chosen) in &mut self.replacements {
            if of == name {
                *chosen = quote(value);
            }
        }
    }

    fn sort(&mut self) {
        self.replacements.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    /// The expression as Prometheus gets it.
    pub fn fill(&self, expression: &str) -> String {
        let mut filled = expression.to_owned();
        for (name, value) in &self.replacements {
            for format in ["", ":regex", ":pipe", ":raw"] {
                filled = filled.replace(&format!("${{{name}{format}}}"), value);
            }
            filled = filled.replace(&format!("${name}"), value);
        }
        let left = filled.match_indices('$').find(|(at, _)| {
            let next = filled[at + 1..].chars().next();
            next.is_some_and(|next| next.is_ascii_alphabetic() || next == '_' || next == '{')
        });
        assert!(left.is_none(), "a variable that is unknown: {filled}");
        filled
    }

    /// Values of `label_values(selector, label)`.
    fn listed(&self, variable: &Value, prometheus: &Prometheus) -> Vec<String> {
        let query = variable["query"]["query"]
            .as_str()
            .or_else(|| variable["query"].as_str())
            .unwrap();
        let inside = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'))
            .unwrap_or_else(|| panic!("not a query of label values: {query}"));
        let (selector, label) = inside.rsplit_once(',').unwrap_or(("", inside));
        let path = match selector {
            "" => format!("label/{}/values", label.trim()),
            selector => format!("label/{}/values?match[]={}", label.trim(), escape(&self.fill(selector))),
        };
        let answer = prometheus.answer(&path);
        let values = answer["data"].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
        values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }
}

/// What stands for a variable in a query.
fn text(variable: &Value, choice: Choice, values: &[String]) -> String {
    if choice == Choice::All && variable["includeAll"] == true {
        return match variable["allValue"].as_str() {
            Some(all) if !all.is_empty() => all.to_owned(),
            // Grafana lists every value where the dashboard says nothing better.
            _ => format!(
                "({})",
                values.iter().map(|value| quote(value)).collect::<Vec<_>>().join("|")
            ),
        };
    }
    let chosen = values
        .iter()
        .find(|value| CHOSEN.contains(&value.as_str()))
        .or_else(|| values.first());
    let chosen = chosen.map_or("", String::as_str);
    if variable["multi"] == true || variable["includeAll"] == true {
        quote(chosen)
    } else {
        chosen.to_owned()
    }
}

/// A value inside of a regular expression inside of quotes, as Grafana's data source for Prometheus writes it.
fn quote(value: &str) -> String {
    let mut quoted = String::new();
    for letter in value.chars() {
        if "\\^$*+?.()|{}[]".contains(letter) {
            quoted.push_str("\\\\");
        }
        quoted.push(letter);
    }
    quoted
}

/// A text inside of an URL.
pub fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
