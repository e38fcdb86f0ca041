//! How long does it take?

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "latency",
    about: "How long does it take?",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.latency",
        interval: "15s",
        rules: Vec::new(),
    }]
}
