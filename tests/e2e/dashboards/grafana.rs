//! What Grafana's published packages say of the dashboards, and proof that they would object.

use super::model;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the packages are, see tests/servers/install.sh.
fn packages() -> PathBuf {
    let servers =
        std::env::var_os("REDIS_SESSION_EXPORTER_SERVERS").map_or_else(|| PathBuf::from(".servers"), PathBuf::from);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(servers).join("grafana");
    assert!(
        folder.join(".complete").exists(),
        "{} is not there; tests/servers/install.sh --grafana installs it",
        folder.display()
    );
    folder
}

/// Runs one of the programs of `tests/grafana` on these files: whether it was content, and what it printed.
pub fn ask(program: &str, files: &[PathBuf]) -> (bool, String) {
    let packages = packages();
    let interpreter = if program.ends_with(".py") {
        packages.join("python/bin/python")
    } else {
        PathBuf::from("node")
    };
    let output = Command::new(&interpreter)
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/grafana")
                .join(program),
        )
        .args(files)
        .env("GRAFANA_PACKAGES", packages)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", interpreter.display()));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

/// Runs a program that must be content.
pub fn must_accept(program: &str, files: &[PathBuf]) {
    let (content, said) = ask(program, files);
    assert!(content, "{program}: {said}");
    print!("{said}");
}

#[test]
fn grafana_s_types_and_models_know_everything_in_the_dashboards() {
    let files = model::files();
    must_accept("schema.mjs", &files);
    must_accept("models.py", &files);
}

/// A dashboard without fault, with the answers to its queries.
fn healthy() -> Value {
    let datasource = json!({"type": "prometheus", "uid": "${datasource}"});
    let target = |reference: &str| json!({"refId": reference, "expr": "up", "instant": true, "format": "table", "datasource": datasource});
    let place = json!({"h": 4, "w": 4, "x": 0, "y": 0});
    let answer = |value: &str| json!([{"metric": {"instance": "a"}, "value": [0, value]}, {"metric": {"instance": "b"}, "value": [0, value]}]);
    json!({
        "dashboard": {
            "uid": "healthy", "title": "Healthy", "schemaVersion": 42, "editable": false, "tags": [], "graphTooltip": 1,
            "time": {"from": "now-1h", "to": "now"}, "templating": {"list": []}, "annotations": {"list": []},
            "panels": [
                {
                    "id": 1, "type": "stat", "title": "One", "gridPos": place, "datasource": datasource, "targets": [target("A")],
                    "fieldConfig": {"defaults": {"unit": "s"}, "overrides": []},
                    "options": {"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false}},
                },
                {
                    "id": 2, "type": "table", "title": "Many", "gridPos": place, "datasource": datasource, "targets": [target("A"), target("B")],
                    "fieldConfig": {
                        "defaults": {"unit": "short", "custom": {"align": "auto"}},
                        "overrides": [{"matcher": {"id": "byName", "options": "First"}, "properties": [{"id": "unit", "value": "bytes"}]}],
                    },
                    "options": {"showHeader": true, "sortBy": [{"displayName": "First", "desc": true}]},
                    "transformations": [
                        {"id": "merge", "options": {}},
                        {"id": "organize", "options": {"excludeByName": {"Time": true}, "indexByName": {}, "renameByName": {"Value #A": "First", "Value #B": "Second"}}},
                    ],
                },
            ],
        },
        "answers": {"1": {"A": answer("1")}, "2": {"A": answer("1"), "B": answer("2")}},
    })
}

/// A fault, who must find it, and a word of what is said.
struct Fault {
    name: &'static str,
    found_by: &'static str,
    said: &'static str,
    plant: fn(&mut Value),
}

const FAULTS: [Fault; 15] = [
    Fault {
        name: "panel-of-a-kind-that-is-gone",
        found_by: "schema.mjs",
        said: "no kind of panel: graph",
        plant: |all| all["dashboard"]["panels"][0]["type"] = json!("graph"),
    },
    Fault {
        name: "value-that-is-not-allowed",
        found_by: "schema.mjs",
        said: "colourful",
        plant: |all| all["dashboard"]["panels"][0]["options"]["colorMode"] = json!("colourful"),
    },
    Fault {
        name: "text-for-a-number",
        found_by: "schema.mjs",
        said: "Type 'string' is not assignable to type 'number'",
        plant: |all| all["dashboard"]["panels"][0]["gridPos"]["h"] = json!("4"),
    },
    Fault {
        name: "unknown-key-of-a-dashboard",
        found_by: "schema.mjs",
        said: "colour",
        plant: |all| all["dashboard"]["colour"] = json!("blue"),
    },
    Fault {
        name: "unknown-key-of-a-panel",
        found_by: "models.py",
        said: "heading: unknown to the model",
        plant: |all| all["dashboard"]["panels"][0]["heading"] = json!("x"),
    },
    Fault {
        name: "unknown-key-of-a-field",
        found_by: "models.py",
        said: "units: unknown to the model",
        plant: |all| all["dashboard"]["panels"][0]["fieldConfig"]["defaults"]["units"] = json!("s"),
    },
    Fault {
        name: "unknown-option",
        found_by: "models.py",
        said: "colour: unknown to the model",
        plant: |all| all["dashboard"]["panels"][0]["options"]["colour"] = json!("x"),
    },
    Fault {
        name: "unknown-key-of-a-query",
        found_by: "models.py",
        said: "query: unknown to the model",
        plant: |all| all["dashboard"]["panels"][0]["targets"][0]["query"] = json!("up"),
    },
    Fault {
        name: "unit-that-there-is-not",
        found_by: "tables.mjs",
        said: "no unit: seconds",
        plant: |all| all["dashboard"]["panels"][0]["fieldConfig"]["defaults"]["unit"] = json!("seconds"),
    },
    Fault {
        name: "transformation-that-there-is-not",
        found_by: "tables.mjs",
        said: "no transformation: mergeAll",
        plant: |all| all["dashboard"]["panels"][0]["transformations"] = json!([{"id": "mergeAll", "options": {}}]),
    },
    Fault {
        name: "column-without-a-name",
        found_by: "tables.mjs",
        said: "a column that nobody named: Value #B",
        plant: |all| {
            all["dashboard"]["panels"][1]["transformations"][1]["options"]["renameByName"] =
                json!({"Value #A": "First"})
        },
    },
    Fault {
        name: "settings-for-no-column",
        found_by: "tables.mjs",
        said: "settings for a column that is not there: Frist",
        plant: |all| {
            all["dashboard"]["panels"][1]["fieldConfig"]["overrides"][0]["matcher"]["options"] = json!("Frist")
        },
    },
    Fault {
        name: "sorted-by-no-column",
        found_by: "tables.mjs",
        said: "sorted by a column that is not there: Last",
        plant: |all| all["dashboard"]["panels"][1]["options"]["sortBy"][0]["displayName"] = json!("Last"),
    },
    Fault {
        name: "tables-that-are-not-merged",
        found_by: "tables.mjs",
        said: "2 tables instead of one",
        plant: |all| {
            all["dashboard"]["panels"][1]["transformations"]
                .as_array_mut()
                .unwrap()
                .remove(0);
        },
    },
    Fault {
        name: "rows-that-do-not-find-each-other",
        found_by: "tables.mjs",
        said: "4 rows out of at most 2",
        plant: |all| {
            // What a function like rate takes off, and a plain selector leaves on.
            for reference in ["A", "B"] {
                for series in all["answers"]["2"][reference].as_array_mut().unwrap() {
                    series["metric"]["__name__"] = json!(reference);
                }
            }
        },
    },
];

#[test]
fn faults_that_are_planted_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, all: &Value, program: &str| {
        let mut all = all.clone();
        all["dashboard"]["uid"] = json!(name);
        let file = folder.path().join(format!("{name}.json"));
        let text = if program == "tables.mjs" {
            &all
        } else {
            &all["dashboard"]
        };
        std::fs::write(&file, text.to_string()).unwrap();
        file
    };
    for program in ["schema.mjs", "models.py", "tables.mjs"] {
        let sound = write(&format!("sound-{}", &program[..4]), &healthy(), program);
        must_accept(program, std::slice::from_ref(&sound));
        let mut files = vec![sound];
        let faults: Vec<&Fault> = FAULTS.iter().filter(|fault| fault.found_by == program).collect();
        for fault in &faults {
            let mut all = healthy();
            (fault.plant)(&mut all);
            files.push(write(fault.name, &all, program));
        }
        let (content, said) = ask(program, &files);
        assert!(!content, "{program} found nothing");
        for fault in &faults {
            let found = said
                .lines()
                .any(|line| line.contains(fault.name) && line.contains(fault.said));
            assert!(found, "{program} does not find {}: {said}", fault.name);
        }
        assert!(!said.contains("PROBLEM sound"), "{program} objects to nothing: {said}");
        println!("{program} found all of {} planted faults", faults.len());
    }
}
