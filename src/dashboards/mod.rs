//! The dashboards for Grafana that fit the metrics and rules of this program: Overview (can users log in, how far is the store from losing
//! logins), Debug (why not), SLO (how much of the error budget is left) and Fleet (all instances at a glance).
//!
//! The files under `dashboards/` are what [`Dashboard::text`] makes of [`ALL`]; a test says so. They are classic dashboards, which every
//! way of provisioning takes (files, Kubernetes' sidecar, the import page); Grafana 13 refuses its own newer format in files.
//!
//! A panel is one value, see [`panel::Panel`]; where it stands follows from its size and its place in the list.

mod debug;
mod expression;
mod fleet;
mod frame;
mod marks;
mod options;
mod overview;
mod panel;
mod shared;
mod slo;
#[cfg(test)]
mod tests;

use panel::Section;
use serde_json::Value;

/// A dashboard that is shipped.
pub struct Dashboard {
    /// Its uid in Grafana, which is also the name of its file and of its address under `/dashboards/`.
    pub uid: &'static str,
    /// Its title in Grafana.
    pub title: &'static str,
    /// What it answers, in one sentence.
    pub about: &'static str,
    /// The time that it shows when it is opened, e.g. `now-6h`.
    pub from: &'static str,
    /// How often Grafana loads it again, e.g. `30s`.
    pub refresh: &'static str,
    sections: fn() -> Vec<Section>,
}

/// All of them, in the order in which an operator needs them.
pub const ALL: &[Dashboard] = &[overview::DASHBOARD, debug::DASHBOARD, slo::DASHBOARD, fleet::DASHBOARD];

impl Dashboard {
    /// Name of its file.
    pub fn file_name(&self) -> String {
        format!("{}.json", self.uid)
    }

    /// What Grafana loads.
    pub fn json(&self) -> Value {
        frame::dashboard(self)
    }

    /// [`Dashboard::json`] as it stands in the file: indented, with an end of line.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.json())
    }
}

/// The uids of all of them, for sentences.
pub fn uids() -> String {
    let uids: Vec<&str> = ALL.iter().map(|dashboard| dashboard.uid).collect();
    uids.join(", ")
}

/// The dashboard of this uid.
pub fn find(uid: &str) -> Option<&'static Dashboard> {
    ALL.iter().find(|dashboard| dashboard.uid == uid)
}
