//! Collector `session_probe`.

use super::{Build, Schedule, Spec};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "session_probe",
    help: "A synthetic session that is written, read, renewed and deleted, where the operator asks for it.",
    default_on: true,
    schedule: Schedule::Info,
    descriptors: Vec::new,
    build: Build::ByFrame,
};
