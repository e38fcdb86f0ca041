//! Every query of every dashboard, executed.

use super::capture;
use super::model::{self, Dashboard, Query};
use super::scene::{Length, Scene};
use super::variables::{Choice, Variables, escape};
use crate::prometheus::Prometheus;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Longest time until everything has values: Prometheus and the servers start, rules of rules are evaluated, alerts hold.
const SHOWN_BOUND: Duration = Duration::from_secs(150);

/// Pause between two rounds over the queries that have shown nothing yet.
const ROUND_PAUSE: Duration = Duration::from_secs(2);

/// What a range query looks back.
const SPAN_SECONDS: u64 = 60;

/// Its step.
const STEP_SECONDS: u64 = 5;

/// Characters of a query that the table shows.
const SHOWN_QUERY: usize = 90;

/// What came back.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Why it does not count as data; none when it does.
    pub complaint: Option<String>,
    /// Series.
    pub rows: usize,
    /// The last value that is a number.
    pub sample: Option<f64>,
}

/// Executes one query.
pub fn execute(prometheus: &Prometheus, query: &Query, expression: &str, span: u64, step: u64) -> (Outcome, Value) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let expression = escape(expression);
    let answer = if query.instant {
        prometheus.answer(&format!("query?query={expression}&time={now}"))
    } else {
        prometheus.answer(&format!(
            "query_range?query={expression}&start={}&end={now}&step={step}",
            now - span
        ))
    };
    (judge(&answer), answer["data"]["result"].clone())
}

/// What Prometheus 3 says of buckets that are younger than others: LATENCY HISTOGRAM names only those that hold something, so that one of them is there from the moment on
/// when the first command falls into it, and its rate a scrape later than that of the bucket above. Prometheus mends it by itself and says so.
fn is_of_young_buckets(said: &serde_json::Value) -> bool {
    said.as_str()
        .is_some_and(|said| said.contains("needed to be fixed for monotonicity"))
}

/// Judges an answer of Prometheus.
fn judge(answer: &Value) -> Outcome {
    let mut outcome = Outcome {
        complaint: None,
        rows: 0,
        sample: None,
    };
    if answer["status"] != "success" {
        outcome.complaint = Some(format!("refused: {}", answer["error"]));
        return outcome;
    }
    for kind in ["warnings", "infos"] {
        let said = answer[kind].as_array().into_iter().flatten();
        let said: Vec<&serde_json::Value> = said.filter(|said| !is_of_young_buckets(said)).collect();
        if !said.is_empty() {
            outcome.complaint = Some(format!("{kind}: {said:?}"));
            return outcome;
        }
    }
    let scalar = answer["data"]["resultType"] == "scalar";
    let result = answer["data"]["result"].as_array().unwrap();
    let values: Vec<f64> = if scalar {
        vec![number(&result[1])]
    } else {
        result
            .iter()
            .flat_map(|series| match series["values"].as_array() {
                Some(values) => values.iter().map(|value| number(&value[1])).collect(),
                None => vec![number(&series["value"][1])],
            })
            .collect()
    };
    outcome.rows = if scalar { 1 } else { result.len() };
    outcome.sample = values.iter().rev().copied().find(|value| value.is_finite());
    outcome.complaint = if values.is_empty() {
        Some("no data".to_owned())
    } else if values.iter().all(|value| value.is_nan()) {
        Some("nothing but NaN".to_owned())
    } else if values.iter().any(|value| value.is_infinite()) {
        Some("infinite values".to_owned())
    } else {
        None
    };
    outcome
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// A query with one choice of the variables, and how it went last.
struct Try {
    query: Query,
    choice: Choice,
    expression: String,
    outcome: Option<Outcome>,
}

impl Try {
    fn is_good(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.complaint.is_none())
    }

    fn name(&self) -> [&str; 3] {
        [&self.query.dashboard, &self.query.panel, &self.query.reference]
    }
}

/// `dashboard | panel | refId # reason` of a query that may be without data in the scene.
fn exceptions() -> BTreeSet<[String; 3]> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/dashboards/exceptions.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, reason) = line
                .split_once(" # ")
                .unwrap_or_else(|| panic!("a line without a reason: {line}"));
            assert!(!reason.trim().is_empty(), "a line without a reason: {line}");
            let parts: Vec<String> = name.split('|').map(|part| part.trim().to_owned()).collect();
            parts
                .try_into()
                .unwrap_or_else(|_| panic!("dashboard | panel | refId, not: {line}"))
        })
        .collect()
}

/// All queries of all dashboards with both choices; the lists of variables are waited for.
fn tries(dashboards: &[Dashboard], prometheus: &Prometheus, end: Instant) -> Vec<Try> {
    let mut all = Vec::new();
    for dashboard in dashboards {
        for choice in [Choice::All, Choice::One] {
            let variables = loop {
                let (variables, complaints) =
                    Variables::resolve(dashboard, choice, prometheus, SPAN_SECONDS, STEP_SECONDS);
                if complaints.is_empty() {
                    break variables;
                }
                assert!(Instant::now() < end, "{complaints:?}");
                std::thread::sleep(ROUND_PAUSE);
            };
            all.extend(dashboard.queries().into_iter().map(|query| Try {
                expression: variables.fill(&query.expression),
                query,
                choice,
                outcome: None,
            }));
        }
    }
    all
}

fn print(tries: &[Try]) {
    println!("| dashboard | panel | type | ref | chosen | query | rows | sample |");
    println!("|---|---|---|---|---|---|---|---|");
    for each in tries {
        let (rows, sample) = each
            .outcome
            .as_ref()
            .map_or((0, None), |outcome| (outcome.rows, outcome.sample));
        let query: String = each.query.expression.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = query.chars().take(SHOWN_QUERY).collect();
        println!(
            "| {} | {} | {} | {} | {} | `{}{}` | {rows} | {} |",
            each.query.dashboard,
            each.query.panel,
            each.query.kind,
            each.query.reference,
            each.choice.name(),
            shown,
            if shown.len() < query.len() { "…" } else { "" },
            sample.map_or("none".to_owned(), |value| format!("{value:.6}")),
        );
    }
}

#[test]
fn every_panel_has_data() {
    let dashboards = model::dashboards();
    let scene = Scene::start(Length::Short);
    let started = Instant::now();
    let end = started + SHOWN_BOUND;
    let mut tries = tries(&dashboards, scene.prometheus(), end);
    let exceptions = exceptions();
    let excepted = |each: &Try| exceptions.contains(&each.name().map(str::to_owned));
    loop {
        for each in tries.iter_mut().filter(|each| !each.is_good()) {
            let (outcome, _) = execute(
                scene.prometheus(),
                &each.query,
                &each.expression,
                SPAN_SECONDS,
                STEP_SECONDS,
            );
            each.outcome = Some(outcome);
        }
        if tries.iter().all(|each| each.is_good() || excepted(each)) || Instant::now() >= end {
            break;
        }
        std::thread::sleep(ROUND_PAUSE);
    }
    print(&tries);
    println!(
        "{} queries of {} dashboards after {:.0} s",
        tries.len(),
        dashboards.len(),
        started.elapsed().as_secs_f64()
    );
    let bad: Vec<String> = tries
        .iter()
        .filter(|each| !each.is_good() && !excepted(each))
        .map(|each| {
            let complaint = each.outcome.as_ref().and_then(|outcome| outcome.complaint.clone());
            format!(
                "{:?} ({}): {}\n    {}",
                each.name(),
                each.choice.name(),
                complaint.unwrap_or_default(),
                each.expression
            )
        })
        .collect();
    assert!(
        bad.is_empty(),
        "{} queries show nothing:\n{}\n{}",
        bad.len(),
        bad.join("\n"),
        scene.complaints()
    );
    // The list was written for the distribution's server; others have more.
    let ours = std::env::var_os("TEST_REDIS_SERVER").is_none();
    let unneeded: Vec<_> = exceptions
        .iter()
        .filter(|name| {
            let mut about = tries.iter().filter(|each| each.name().map(str::to_owned) == **name);
            about.all(Try::is_good)
        })
        .collect();
    assert!(
        !ours || unneeded.is_empty(),
        "exceptions that are not needed: {unneeded:?}"
    );
    // A column of alerts is there when an alert has that label, so this is waited for as well.
    let (mut sound, mut said) = capture::tables_are_sound(&dashboards, &scene);
    while !sound && Instant::now() < end {
        std::thread::sleep(ROUND_PAUSE);
        (sound, said) = capture::tables_are_sound(&dashboards, &scene);
    }
    assert!(sound, "{said}");
    print!("{said}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_data_is_found() {
        let vector = |values: &[&str]| {
            let result: Vec<Value> = values
                .iter()
                .map(|value| serde_json::json!({"metric": {}, "value": [0, value]}))
                .collect();
            serde_json::json!({"status": "success", "data": {"resultType": "vector", "result": result}})
        };
        let complaint = |answer: &Value| judge(answer).complaint;
        assert_eq!(complaint(&vector(&["1", "NaN"])), None);
        assert_eq!(judge(&vector(&["1", "NaN"])).rows, 2);
        assert_eq!(complaint(&vector(&[])).unwrap(), "no data");
        assert_eq!(complaint(&vector(&["NaN", "NaN"])).unwrap(), "nothing but NaN");
        assert_eq!(complaint(&vector(&["1", "+Inf"])).unwrap(), "infinite values");
        let mut warned = vector(&["1"]);
        warned["infos"] = serde_json::json!(["PromQL info: metric might not be a counter"]);
        assert!(complaint(&warned).unwrap().starts_with("infos"));
        warned["infos"] =
            serde_json::json!(["PromQL info: input to histogram_quantile needed to be fixed for monotonicity"]);
        assert_eq!(complaint(&warned), None);
        assert!(
            complaint(&serde_json::json!({"status": "error", "error": "parse error"}))
                .unwrap()
                .starts_with("refused")
        );
    }
}
