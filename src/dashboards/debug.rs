//! Why is the session store not well? By operation, error, phase, client, key and collector.

use super::Dashboard;
use super::panel::{Section, graph, open};
use crate::alerts;

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: alerts::Dashboard::Debug.uid(),
    title: "Redis sessions / Debug",
    about: "Why is the session store not well? By operation, error, phase, client, key and collector.",
    from: "now-1h",
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
