//! Why is the session store not well? What every panel of the Overview is made of, from the connection inwards to the exporter itself.

mod application;
mod commands;
mod connection;
mod exporter;
mod operations;
mod persistence;
mod scan;
mod server;
mod sessions;
mod tls;

use super::Dashboard;
use super::panel::{Section, folded, open};
use crate::alerts;

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: alerts::Dashboard::Debug.uid(),
    title: "Redis sessions / Debug",
    about: "Why is the session store not well? By reason, operation, error, client, key and collector.",
    from: "now-1h",
    refresh: "30s",
    sections,
};

fn sections() -> Vec<Section> {
    vec![
        open("Connection", connection::panels()),
        open("Operations and errors", operations::panels()),
        open("Sessions", sessions::panels()),
        open("Memory and keys", server::memory()),
        open("Clients and load", server::load()),
        open("Application: encryption, tokens, cache, pool", application::panels()),
        folded("Commands and the server's own latency", commands::panels()),
        folded("TLS and certificates", tls::panels()),
        folded("Persistence", persistence::persistence()),
        folded("Replication and cluster", persistence::replication()),
        folded("How sessions are counted: events and scans", scan::panels()),
        folded("The exporter itself", exporter::panels()),
    ]
}
