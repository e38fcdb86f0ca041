//! What the panels got, written down for Grafana's own libraries: they run the transformations of tables on it and draw it.

use super::checks::execute;
use super::grafana;
use super::model::{self, Dashboard};
use super::scene::{Length, Scene};
use super::variables::{Choice, Variables};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Points of a curve in a picture.
const POINTS: u64 = 180;

/// How long the scene of the pictures runs unless PICTURES_SECONDS says otherwise: every fault has its place and its consequences.
const PICTURED_SECONDS: u64 = 480;

/// Seconds at the beginning that pictures leave out: everything starts then.
const STARTING_SECONDS: u64 = 20;

/// A dashboard and the answers to all of its queries, with everything chosen.
fn capture(dashboard: &Dashboard, scene: &Scene, span: u64) -> Value {
    let step = (span / POINTS).max(1);
    let (variables, _) = Variables::resolve(dashboard, Choice::All, scene.prometheus(), span, step);
    let mut answers = serde_json::Map::new();
    for query in dashboard.queries() {
        let expression = variables.fill(&query.expression);
        let (_, result) = execute(scene.prometheus(), &query, &expression, span, step);
        let panel = query
            .panel_id
            .map_or_else(|| format!("annotation {}", query.panel), |id| id.to_string());
        let panel = answers.entry(panel).or_insert_with(|| json!({}));
        panel[&query.reference] = result;
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    json!({ "dashboard": dashboard.json, "answers": answers, "from": now - span, "to": now, "step": step })
}

fn write(dashboards: &[Dashboard], scene: &Scene, span: u64, folder: &Path) -> Vec<PathBuf> {
    dashboards
        .iter()
        .map(|dashboard| {
            let file = folder.join(format!("{}.json", dashboard.uid));
            std::fs::write(&file, capture(dashboard, scene, span).to_string()).unwrap();
            file
        })
        .collect()
}

/// Runs the transformations of every table on what its queries return: whether all of them were sound, and what was said.
pub fn tables_are_sound(dashboards: &[Dashboard], scene: &Scene) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let files = write(dashboards, scene, scene.age().as_secs().max(1), folder.path());
    grafana::ask("tables.mjs", &files)
}

#[test]
#[ignore = "takes minutes; `make pictures` runs it"]
fn pictures_are_taken() {
    let seconds = std::env::var("PICTURES_SECONDS").map_or(PICTURED_SECONDS, |seconds| seconds.parse().unwrap());
    let scene = Scene::start(Length::Pictures(Duration::from_secs(seconds)));
    println!(
        "Prometheus listens on port {} for {seconds} s",
        scene.prometheus().port()
    );
    while scene.age() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_secs(1));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    let dashboards = model::dashboards();
    let files = write(&dashboards, &scene, seconds.saturating_sub(STARTING_SECONDS), &folder);
    grafana::must_accept("pictures.mjs", &files);
}
