//! How fast is the error budget spent?

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "slo",
    about: "How fast is the error budget spent?",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.slo",
        interval: "15s",
        rules: Vec::new(),
    }]
}
