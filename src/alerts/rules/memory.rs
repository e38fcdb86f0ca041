//! How far is the store from losing sessions for want of memory?

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "memory",
    about: "How far is the store from losing sessions for want of memory?",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.memory",
        interval: "15s",
        rules: Vec::new(),
    }]
}
