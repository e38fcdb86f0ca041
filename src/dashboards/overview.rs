//! Can users log in, and how far is the store from losing logins? The first screen answers both; what follows is for the next question.

mod first_screen;
mod trends;

use super::Dashboard;
use super::panel::{Section, folded, open};
use crate::alerts;

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: alerts::Dashboard::Overview.uid(),
    title: "Redis sessions / Overview",
    about: "Can users log in, and how far is the store from losing logins? Start here.",
    from: "now-6h",
    refresh: "30s",
    sections,
};

fn sections() -> Vec<Section> {
    vec![
        open("Can users log in?", first_screen::logins()),
        open("How far is the store from losing logins?", first_screen::distance()),
        open("Errors and operations", trends::operations()),
        open("Latency", trends::latency()),
        open("Sessions", trends::sessions()),
        open("Saturation", trends::saturation()),
        open("Alerts", trends::alerts()),
        folded("What cannot be watched here", trends::blind()),
    ]
}
