//! Can users log in right now?

mod clients;
mod connections;
mod operations;

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "availability",
    about: "Can users log in right now? Connections, refused writes, failing operations, clients.",
    groups,
};

fn groups() -> Vec<Group> {
    let rules = [connections::rules(), operations::rules(), clients::rules()];
    vec![Group {
        name: "redis-session-store.availability",
        interval: "15s",
        rules: rules.into_iter().flatten().collect(),
    }]
}
