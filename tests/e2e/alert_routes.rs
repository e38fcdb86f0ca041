//! `alerts/alertmanager.yaml` under amtool: it loads, and every alert of the rules reaches those that it should.

use crate::alert_rules::{files, run};
use crate::support::program;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The labels of an alert as a rule gives them, by name.
pub type Labels = std::collections::BTreeMap<String, String>;

/// The configuration that is shipped.
pub fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/alertmanager.yaml")
}

/// Every alert of the shipped rules with the labels that its rule gives it.
pub fn shipped_alerts() -> Vec<Labels> {
    let mut alerts = Vec::new();
    for path in files("alerts/rules") {
        let file: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for group in file["groups"].as_sequence().unwrap() {
            for rule in group["rules"].as_sequence().unwrap() {
                let Some(name) = rule.get("alert").and_then(serde_yaml::Value::as_str) else {
                    continue;
                };
                let mut labels: Labels = serde_yaml::from_value(rule["labels"].clone()).unwrap();
                labels.insert("alertname".to_owned(), name.to_owned());
                alerts.push(labels);
            }
        }
    }
    assert!(!alerts.is_empty());
    alerts
}

fn amtool(arguments: &[&str]) -> (bool, String) {
    run(&program("TEST_AMTOOL", "amtool"), arguments, &[])
}

/// Who is told of an alert with these labels, each written `name=value`.
fn receivers(labels: &[String]) -> String {
    let configuration = configuration();
    let mut arguments = vec!["config", "routes", "test", "--config.file"];
    arguments.push(configuration.to_str().unwrap());
    arguments.extend(labels.iter().map(String::as_str));
    let (content, said) = amtool(&arguments);
    assert!(content, "{labels:?}: {said}");
    // Beside the answer it may warn about a configuration of its own that it does not use.
    let answer = said
        .lines()
        .find(|line| !line.is_empty() && !line.starts_with("Warning:"));
    answer.unwrap_or_default().to_owned()
}

/// The lines of `routes.txt`: labels and receivers.
fn routes() -> Vec<(Vec<String>, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/tests/routes.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (labels, receivers) = line.split_once(" -> ").unwrap_or_else(|| panic!("no arrow: {line}"));
            (labels.split(' ').map(str::to_owned).collect(), receivers.to_owned())
        })
        .collect()
}

#[test]
fn amtool_accepts_the_configuration() {
    let (content, said) = amtool(&["check-config", configuration().to_str().unwrap()]);
    assert!(content, "{said}");
}

#[test]
fn alerts_go_where_the_list_of_routes_says() {
    let mut wrong = Vec::new();
    for (labels, expected) in routes() {
        let told = receivers(&labels);
        if told != expected {
            wrong.push(format!("{} -> {told}, expected {expected}", labels.join(" ")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A receiver that no line of the list reaches is one that nobody has looked at, or that no alert can reach.
#[test]
fn every_receiver_is_reached() {
    let file: serde_yaml::Value = serde_yaml::from_str(&std::fs::read_to_string(configuration()).unwrap()).unwrap();
    let named: BTreeSet<String> = file["receivers"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|receiver| receiver["name"].as_str().unwrap().to_owned())
        .collect();
    let reached: BTreeSet<String> = routes()
        .iter()
        .flat_map(|(_, receivers)| receivers.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(named, reached);
}

#[test]
fn every_alert_of_the_rules_reaches_its_team_with_its_urgency() {
    let mut problems = Vec::new();
    let mut asked = BTreeSet::new();
    for labels in shipped_alerts() {
        let (name, priority, team) = (&labels["alertname"], &labels["priority"], &labels["team"]);
        // Who is told depends on nothing else, but for the heartbeat.
        if name != "Watchdog" && !asked.insert((priority.clone(), team.clone())) {
            continue;
        }
        let mut question: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        question.push("environment=production".to_owned());
        let expected = match priority.as_str() {
            "none" => "dead-mans-switch".to_owned(),
            "P0" => format!("p0-escalation,p0-page-{team}"),
            "P1" => format!("p1-page-{team}"),
            "P2" => format!("p2-chat-{team}"),
            "P3" => "p3-ticket".to_owned(),
            other => format!("nobody: {other} is no priority"),
        };
        let told = receivers(&question);
        if told != expected {
            problems.push(format!("{name}, {priority} of {team} -> {told}, expected {expected}"));
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}
