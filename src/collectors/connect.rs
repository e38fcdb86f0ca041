//! Collector `connect`: a fresh connection beside the kept one, which shows whether a new client would get in. The frame makes
//! the connection and publishes; this file only says what there is to publish.

use super::{Build, Schedule, Spec, grants};
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "connect",
    help: "Whether a new client gets in: a fresh connection at an interval of its own, each phase timed.",
    default_on: true,
    schedule: Schedule::Connect,
    grants: |_, _| grants::commands(&["ping"]),
    descriptors: || vec![&SUCCESS, &PHASE_DURATION],
    build: Build::ByFrame,
};

/// 1 when the last fresh connection reached PONG.
pub static SUCCESS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connect_success",
    "1 when the last fresh connection got as far as PONG, 0 when it failed on the way. 0 beside redis_connection_status 1 means \
     that clients already connected work while new ones cannot log in.",
    "this exporter: fresh connection",
);

/// Duration of each phase of the last fresh connection, label values `dns`, `tcp`, `tls`, `auth`, `ping`.
pub static PHASE_DURATION: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connect_phase_duration_seconds",
    "How long each phase of the last fresh connection took: dns, tcp, tls, auth (with database and client name), ping. A phase \
     that was not reached, or is not used, is absent.",
    "this exporter: fresh connection",
)
.with_labels(&["phase"]);
