//! Are sessions counted, created, kept and ended as they should?

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "sessions",
    about: "Are sessions counted, created, kept and ended as they should?",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.sessions",
        interval: "15s",
        rules: Vec::new(),
    }]
}
