//! Certificates, handshakes and connections without TLS.

use crate::alerts::{File, Group};

pub(crate) const FILE: File = File {
    name: "tls",
    about: "Certificates, handshakes and connections without TLS.",
    groups,
};

fn groups() -> Vec<Group> {
    vec![Group {
        name: "redis-session-store.tls",
        interval: "15s",
        rules: Vec::new(),
    }]
}
