//! The rules and dashboards that the program embeds: written by commands, served over HTTP, and the same as the files that are shipped.

use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn shipped(folder: &str, extension: &str) -> BTreeMap<String, String> {
    of_folder(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder), extension)
}

fn of_folder(folder: &Path, extension: &str) -> BTreeMap<String, String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn commands_write_what_is_shipped() {
    let folder = tempfile::tempdir().unwrap();
    // A folder that there is not yet, and then one that is there.
    let rules = folder.path().join("new/rules");
    for _ in 0..2 {
        let ended = exporter::run(&["rules", "--output", rules.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{}", ended.output);
        assert_eq!(of_folder(&rules, "yaml"), shipped("alerts/rules", "yaml"));
        assert!(ended.output.contains("availability.yaml"), "{}", ended.output);
    }
    let dashboards = folder.path().join("dashboards");
    let ended = exporter::run(&["dashboards", "--output", dashboards.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert_eq!(of_folder(&dashboards, "json"), shipped("dashboards", "json"));
    let values = exporter::run(&["rules", "--print-values"]);
    assert_eq!(values.output, shipped("alerts", "yaml")["values.yaml"]);
}

#[test]
fn values_change_the_rules_and_wrong_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    let rules = |text: &str, format: &str| {
        std::fs::write(&file, text).unwrap();
        exporter::run(&["rules", "--values", file.to_str().unwrap(), "--format", format])
    };
    let mine = "selector: 'job=\"mine\"'\nrunbook_url: https://wiki.example.org/\nthresholds: { memory_critical: 0.95 }\n\
                capacity: [{ store: \"we\\\"b\", sessions: 500 }]\nalerts: { RedisConnectionLost: { for: 2m, priority: P1 }, RedisMemoryHigh: { enabled: off } }\n";
    let ended = rules(mine, "prometheus");
    assert_eq!(ended.code, 0, "{}", ended.output);
    let groups: serde_yaml::Value = serde_yaml::from_str(&ended.output).unwrap();
    let rules_of = |value: &serde_yaml::Value| -> Vec<serde_yaml::Value> {
        let groups = value["groups"].as_sequence().unwrap();
        groups
            .iter()
            .flat_map(|group| group["rules"].as_sequence().unwrap().clone())
            .collect()
    };
    let all = rules_of(&groups);
    let alert = |name: &str| all.iter().find(|rule| rule["alert"].as_str() == Some(name)).cloned();
    let lost = alert("RedisConnectionLost").unwrap();
    assert_eq!(lost["for"].as_str(), Some("2m"));
    assert_eq!(lost["labels"]["priority"].as_str(), Some("P1"));
    assert_eq!(
        lost["annotations"]["runbook_url"].as_str(),
        Some("https://wiki.example.org/RedisConnectionLost")
    );
    assert!(alert("RedisMemoryHigh").is_none());
    assert!(
        !ended.output.contains("redis-session-exporter\""),
        "the selector is everywhere"
    );
    let capacity = all
        .iter()
        .find(|rule| rule["record"].as_str() == Some("job_environment_instance_store:sessions_max_capacity:max"))
        .unwrap();
    let expression = capacity["expr"].as_str().unwrap();
    assert!(
        expression.contains(r#"store="we\"b""#) && expression.ends_with("+ 500"),
        "{expression}"
    );
    let manifest: serde_yaml::Value = serde_yaml::from_str(&rules(mine, "prometheus-rule").output).unwrap();
    assert_eq!(manifest["kind"].as_str(), Some("PrometheusRule"));
    assert_eq!(rules_of(&manifest["spec"]), all);

    let refused = rules("thresholds: { memory_critical: 90 }\n", "prometheus");
    assert_eq!(refused.code, 78, "{}", refused.output);
    assert!(
        refused.output.contains("values.yaml:1:32: thresholds.memory_critical"),
        "{}",
        refused.output
    );
    let no_list = rules("capacity: { web: 1 }\n", "prometheus");
    assert!(
        no_list.output.contains("for example `- { store: web"),
        "{}",
        no_list.output
    );
    for (base, url) in [
        (
            "https://wiki.example.org/r",
            "https://wiki.example.org/r/RedisConnectionLost",
        ),
        (
            "https://wiki.example.org/?page=",
            "https://wiki.example.org/?page=RedisConnectionLost",
        ),
        (
            "https://git.example.org/{alert}.md",
            "https://git.example.org/RedisConnectionLost.md",
        ),
    ] {
        let output = rules(&format!("runbook_url: '{base}'\n"), "prometheus").output;
        assert!(output.contains(&format!("runbook_url: {url}\n")), "{base}: {output}");
    }
    let missing = exporter::run(&["rules", "--values", "/nonexistent/values.yaml"]);
    assert_eq!(missing.code, 78, "{}", missing.output);
    let on_a_file = exporter::run(&["rules", "--output", file.to_str().unwrap()]);
    assert_eq!(on_a_file.code, 1, "{}", on_a_file.output);
    assert!(on_a_file.output.contains("takes a folder"), "{}", on_a_file.output);
    let nowhere = exporter::run(&["rules", "--output", "/proc/nothing"]);
    assert_eq!(nowhere.code, 1, "{}", nowhere.output);
    assert_eq!(exporter::run(&["dashboards", "nothing"]).code, 2);
}

#[test]
fn dashboards_come_one_by_one_and_as_config_maps() {
    let all: serde_json::Value = serde_json::from_str(&exporter::run(&["dashboards"]).output).unwrap();
    for (file, text) in shipped("dashboards", "json") {
        let name = file.strip_suffix(".json").unwrap();
        assert_eq!(exporter::run(&["dashboards", name]).output, text);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(all.as_array().unwrap().contains(&value), "{name}");
        let map = exporter::run(&["dashboards", name, "--format", "config-map"]).output;
        let map: serde_yaml::Value = serde_yaml::from_str(&map).unwrap();
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"].as_str(), Some("1"));
        assert_eq!(map["data"][file.as_str()].as_str(), Some(text.as_str()));
    }
}

#[test]
fn the_daemon_serves_them() {
    let server = RedisServer::start();
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), "")]));
    let whole = exporter.get("/rules");
    assert_eq!((whole.status, whole.text()), (200, exporter::run(&["rules"]).output));
    for (file, text) in shipped("alerts/rules", "yaml") {
        let name = file.strip_suffix(".yaml").unwrap();
        assert_eq!(exporter.get(&format!("/rules/{file}")).text(), text);
        assert_eq!(exporter.get(&format!("/rules/{name}")).text(), text);
    }
    let list = exporter.get("/dashboards").json();
    let dashboards = shipped("dashboards", "json");
    assert_eq!(list.as_array().unwrap().len(), dashboards.len());
    for entry in list.as_array().unwrap() {
        let path = format!("/{}", entry["path"].as_str().unwrap());
        let file = format!("{}.json", entry["name"].as_str().unwrap());
        assert_eq!(exporter.get(&path).text(), dashboards[&file]);
        assert_eq!(exporter.get(&format!("{path}.json")).text(), dashboards[&file]);
    }
    for path in [
        "/rules/nothing",
        "/dashboards/nothing",
        "/dashboards/../config",
        "/rules/a/b",
    ] {
        let answer = exporter.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("nothing,"), "the name is not repeated");
    }
    assert!(exporter.get("/").text().contains("href=\"dashboards\""));
}

#[test]
fn check_names_the_alerts_that_cannot_fire() {
    let server = RedisServer::start();
    server.fill("sess:", 30);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.yaml");
    let check = |further: &str| {
        std::fs::write(&file, config::fast(&[("redis", &server.address(), further)])).unwrap();
        let ended = exporter::run(&["check", "--config.file", file.to_str().unwrap()]);
        let lines = ended
            .output
            .lines()
            .filter_map(|line| line.trim().strip_prefix("cannot fire"));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<String>>()
    };
    let store = "sessions:\n  - { store: web, match: [\"sess:*\"] }";
    let silent = check(store);
    let with_capacity = check("sessions:\n  - { store: web, match: [\"sess:*\"], capacity: 100 }");
    let of_capacity = |lines: &[String]| {
        lines
            .iter()
            .any(|line| line.starts_with("without capacity: ") && line.contains("SessionsNearCapacity"))
    };
    assert!(of_capacity(&silent), "{silent:#?}");
    assert!(!of_capacity(&with_capacity), "{with_capacity:#?}");
    let application = silent
        .iter()
        .any(|line| line.contains("session_encryption_errors_total") && line.contains("EncryptionKeyMissing"));
    assert!(application, "{silent:#?}");
}
