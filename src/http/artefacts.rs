//! `/rules` and `/dashboards`: the alert rules and dashboards that this program embeds, as it ships them. With thresholds of one's own
//! the commands `rules` and `dashboards` write them.

use super::answer::Answer;
use crate::alerts::{FILES, Values, render};
use crate::dashboards;
use hyper::StatusCode;

/// All rules as one file of Prometheus.
pub(super) fn rules() -> Answer {
    rendered(render::whole(&Values::default()))
}

/// One file of rules, with or without `.yaml`.
pub(super) fn rule_file(name: &str) -> Answer {
    let name = name.strip_suffix(".yaml").unwrap_or(name);
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => rendered(render::file(file, &Values::default())),
        None => {
            let names: Vec<&str> = FILES.iter().map(|file| file.name).collect();
            missing("file of rules", &names.join(", "))
        }
    }
}

fn rendered(text: Result<String, render::RenderError>) -> Answer {
    match text {
        Ok(text) => Answer::yaml(text),
        Err(error) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What dashboards there are, as JSON.
pub(super) fn dashboards() -> Answer {
    let list: Vec<serde_json::Value> = dashboards::ALL
        .iter()
        .map(|dashboard| {
            serde_json::json!({
                "name": dashboard.uid,
                "title": dashboard.title,
                "path": format!("dashboards/{}", dashboard.uid),
            })
        })
        .collect();
    Answer::json(StatusCode::OK, &list)
}

/// One dashboard for the import of Grafana, with or without `.json`.
pub(super) fn dashboard(name: &str) -> Answer {
    let name = name.strip_suffix(".json").unwrap_or(name);
    match dashboards::find(name) {
        Some(dashboard) => Answer::json_text(dashboard.text()),
        None => missing("dashboard", &dashboards::uids()),
    }
}

/// The name that was asked for is not repeated.
fn missing(what: &str, names: &str) -> Answer {
    Answer::text(
        StatusCode::NOT_FOUND,
        &format!("there is no such {what}; there are {names}"),
    )
}
