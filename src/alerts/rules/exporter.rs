//! Can these alerts be relied on? The exporter, its scans and its events.

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "exporter",
    about: "Can these alerts be relied on? The exporter, its scans and its events.",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.exporter",
        interval: "15s",
        rules: Vec::new(),
    }]
}
