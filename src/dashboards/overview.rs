//! Can users log in, and how far is the store from losing logins? Start here.

use super::Dashboard;
use super::panel::{Section, graph, open};
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
    vec![open(
        "Status",
        vec![
            graph("Connection", 12, 8)
                .about("1 while PING is answered with PONG, 0 while not (redis_connection_status).")
                .query(
                    "min by (environment, instance) (redis_connection_status{@instance})",
                    "{{environment}} {{instance}}",
                )
                .unit("none")
                .empty("no data")
                .runbooks(&["RedisConnectionLost"]),
        ],
    )]
}
