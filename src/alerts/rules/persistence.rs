//! Snapshots, append-only files, replicas, clusters.

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "persistence",
    about: "Snapshots, append-only files, replicas, clusters.",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.persistence",
        interval: "15s",
        rules: Vec::new(),
    }]
}
