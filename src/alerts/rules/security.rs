//! Encryption keys, tokens, permissions.

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "security",
    about: "Encryption keys, tokens, permissions.",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.security",
        interval: "15s",
        rules: Vec::new(),
    }]
}
