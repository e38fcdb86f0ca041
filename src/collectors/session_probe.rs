//! Collector `session_probe`: whether a session can be written, read, renewed and deleted, and how long that takes as a client sees it.
//! The frame acts and publishes; this file only says what there is to publish.

use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::InstanceConfig;
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "session_probe",
    help: "A synthetic session that is written, read, renewed and deleted, where the operator asks for it with `session_probe: { enabled: true }`.",
    default_on: true,
    schedule: Schedule::SessionProbe,
    grants: of_probing,
    descriptors: || vec![&SUCCESS, &OPERATIONS, &DURATION],
    build: Build::ByFrame,
};

/// The only keys that are written, and only where the operator asks for it. INFO tells whether the server is a replica.
fn of_probing(config: &InstanceConfig, _server: &Server) -> Vec<Grant> {
    if !config.session_probe.enabled {
        return Vec::new();
    }
    let keys = format!("{}*", grants::escaped(&config.session_probe.prefix));
    let commands = grants::commands(&["info", "set", "get", "expire", "del"]);
    std::iter::once(Grant::WriteKeys(keys)).chain(commands).collect()
}

/// 1 when the last synthetic session went through.
pub static SUCCESS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "session_probe_success",
    "1 when the last synthetic session was written, read back, renewed and deleted, 0 when any of that failed. Absent where none is \
     written: switched off, on replicas, and while the Redis user may not.",
    "this exporter: SET, GET, EXPIRE, DEL",
);

/// Operations on synthetic sessions.
pub static OPERATIONS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_probe_operations_total",
    "Operations on synthetic sessions by outcome: create is SET, get is GET with the right value, update is EXPIRE, delete is DEL. A probe that \
     finds no connection is a failed create; what could not be tried after a failure is not counted.",
    "this exporter: SET, GET, EXPIRE, DEL",
)
.with_labels(&["operation", "status"]);

/// Round trips of these operations.
pub static DURATION: Descriptor = Descriptor::new(
    MetricKind::Histogram,
    "session_probe_duration_seconds",
    "Round trip of each operation on a synthetic session, with queue and network, without this exporter's own queueing. One that fails counts \
     with the time waited; a create that finds no connection waits for nothing and is only in session_probe_operations_total.",
    "this exporter: SET, GET, EXPIRE, DEL",
)
.with_labels(&["operation"]);
