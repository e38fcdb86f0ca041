//! Are the objectives met, and how fast is the error budget spent?

use super::Dashboard;
use super::panel::{Section, graph, open};
use crate::alerts;

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: alerts::Dashboard::Slo.uid(),
    title: "Redis sessions / SLO",
    about: "Are the objectives met, and how fast is the error budget spent?",
    from: "now-7d",
    refresh: "1m",
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
