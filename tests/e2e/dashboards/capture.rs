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

/// What pictures choose instead of everything: dashboard, variable, value. An outage of half a minute is many times the budget of eight.
const CHOSEN: [(&str, &str, &str); 1] = [("redis-session-slo", "environment", "production")];

/// How long the scene of the pictures runs unless PICTURES_SECONDS says otherwise: every fault has its place and its consequences.
const PICTURED_SECONDS: u64 = 480;

/// How long the scene is kept unless SCENE_SECONDS says otherwise.
const KEPT_SECONDS: u64 = 3_600;

/// Seconds at the beginning that pictures leave out: everything starts then.
const STARTING_SECONDS: u64 = 20;

/// A dashboard and the answers to all of its queries, with everything chosen.
fn capture(dashboard: &Dashboard, scene: &Scene, span: u64) -> Value {
    let step = (span / POINTS).max(1);
    let (mut variables, _) = Variables::resolve(dashboard, Choice::All, scene.prometheus(), span, step);
    let chosen: Vec<_> = CHOSEN.iter().filter(|(uid, _, _)| *uid == dashboard.uid).collect();
    for (_, name, value) in &chosen {
        variables.choose(name, value);
    }
    let chosen: serde_json::Map<String, Value> = chosen
        .iter()
        .map(|(_, name, value)| ((*name).to_owned(), json!(value)))
        .collect();
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
    json!({ "dashboard": dashboard.json, "answers": answers, "chosen": chosen, "from": now - span, "to": now, "step": step })
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

/// A number of seconds that somebody may set.
fn seconds(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |seconds| {
        seconds
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a number of seconds, not {seconds}"))
    })
}

/// Lets a scene run for so long.
fn watch(scene: &Scene, seconds: u64) {
    println!(
        "Prometheus: http://127.0.0.1:{} for {seconds} s",
        scene.prometheus().port()
    );
    while scene.age() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
#[ignore = "takes minutes; `make pictures` runs it"]
fn pictures_are_taken() {
    let length = seconds("PICTURES_SECONDS", PICTURED_SECONDS);
    let scene = Scene::start(Length::Pictures(Duration::from_secs(length)));
    watch(&scene, length);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    let files = write(
        &model::dashboards(),
        &scene,
        length.saturating_sub(STARTING_SECONDS),
        &folder,
    );
    grafana::must_accept("pictures.mjs", &files);
}

#[test]
#[ignore = "runs until its time is over; `make scene` runs it"]
fn the_scene_is_kept_for_a_grafana_of_yours() {
    let length = seconds("SCENE_SECONDS", KEPT_SECONDS);
    // The faults come in the first minutes, as in the pictures, and the last of them stay.
    watch(
        &Scene::start(Length::Pictures(Duration::from_secs(PICTURED_SECONDS))),
        length,
    );
}
