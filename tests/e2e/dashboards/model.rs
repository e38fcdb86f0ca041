//! The files of `dashboards/` as far as their queries go.

use serde_json::Value;
use std::path::{Path, PathBuf};

/// Kinds of panels that show no data of ours.
const WITHOUT_QUERIES: [&str; 4] = ["row", "text", "dashlist", "alertlist"];

/// One file.
pub struct Dashboard {
    /// Its uid.
    pub uid: String,
    /// Everything.
    pub json: Value,
}

/// Something that Grafana asks Prometheus.
#[derive(Debug, Clone)]
pub struct Query {
    /// uid of the dashboard.
    pub dashboard: String,
    /// Title of the panel; of an annotation its name.
    pub panel: String,
    /// Kind of the panel, or `annotation`.
    pub kind: String,
    /// `id` of the panel; none for an annotation.
    pub panel_id: Option<u64>,
    /// `refId` of the query.
    pub reference: String,
    /// PromQL with Grafana's variables.
    pub expression: String,
    /// Whether it asks for one moment instead of a range.
    pub instant: bool,
}

/// Folder of the dashboards; another one is looked at where the variable says so.
pub fn folder() -> PathBuf {
    match std::env::var_os("TEST_DASHBOARDS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards"),
    }
}

/// Files of all dashboards, in the order of their names.
pub fn files() -> Vec<PathBuf> {
    let folder = folder();
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no dashboards", folder.display());
    files
}

/// All dashboards.
pub fn dashboards() -> Vec<Dashboard> {
    let read = |file: &PathBuf| {
        let json: Value = serde_json::from_slice(&std::fs::read(file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let uid = json["uid"].as_str().unwrap().to_owned();
        Dashboard { uid, json }
    };
    files().iter().map(read).collect()
}

impl Dashboard {
    /// All panels, those inside of rows that are collapsed too.
    pub fn panels(&self) -> Vec<&Value> {
        let mut all = Vec::new();
        for panel in self.json["panels"].as_array().unwrap() {
            all.push(panel);
            all.extend(panel["panels"].as_array().into_iter().flatten());
        }
        all
    }

    /// Everything that it asks Prometheus, but for its variables.
    pub fn queries(&self) -> Vec<Query> {
        let annotations = self.json["annotations"]["list"].as_array().into_iter().flatten();
        let mut all: Vec<Query> = annotations
            .filter_map(|annotation| {
                let expression = annotation["expr"]
                    .as_str()
                    .or_else(|| annotation["target"]["expr"].as_str())?;
                Some(Query {
                    dashboard: self.uid.clone(),
                    panel: annotation["name"].as_str().unwrap().to_owned(),
                    kind: "annotation".to_owned(),
                    panel_id: None,
                    reference: "A".to_owned(),
                    expression: expression.to_owned(),
                    instant: false,
                })
            })
            .collect();
        for panel in self.panels() {
            let kind = panel["type"].as_str().unwrap();
            let title = panel["title"].as_str().unwrap_or_default();
            let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
            assert!(
                WITHOUT_QUERIES.contains(&kind) || !targets.is_empty(),
                "{}: {title} asks for nothing",
                self.uid
            );
            for target in targets {
                all.push(Query {
                    dashboard: self.uid.clone(),
                    panel: title.to_owned(),
                    kind: kind.to_owned(),
                    panel_id: panel["id"].as_u64(),
                    reference: target["refId"].as_str().unwrap().to_owned(),
                    expression: target["expr"].as_str().unwrap().to_owned(),
                    instant: target["instant"].as_bool().unwrap_or(false),
                });
            }
        }
        all
    }
}
