//! Collector `ping`: whether the server answers, from the point of view of a client that is already connected. The frame
//! pings and publishes; this file only says what there is to publish.

use super::{Build, Schedule, Spec, grants};
use crate::metric::{Descriptor, MetricKind};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "ping",
    help: "Whether the server answers PING, how fast, and if not, why not.",
    default_on: true,
    schedule: Schedule::Ping,
    grants: |_, _| grants::commands(&["ping"]),
    descriptors: || {
        vec![
            &CONNECTION_STATUS,
            &UP,
            &CONNECTION_STATE,
            &CONNECTION_ERRORS,
            &PINGS,
            &PING_FAILURES,
            &CONNECTS,
            &CONNECT_FAILURES,
            &PING_DURATION,
        ]
    },
    build: Build::ByFrame,
};

/// 1 when the last PING answered PONG.
pub static CONNECTION_STATUS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connection_status",
    "1 when the last PING answered PONG, 0 otherwise: the plainest answer to the question whether users can log in. Absent \
     before the first verdict.",
    "this exporter: PING",
);

/// 0 when the last exchange failed.
pub static UP: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_up",
    "0 when the last exchange with the server failed, else 1. A server that is loading its data or has lost its primary counts \
     as up, although it serves no sessions; redis_connection_status is 0 then.",
    "this exporter: PING, INFO",
);

/// One series per state, `ok` or a reason; 1 for the one that holds.
pub static CONNECTION_STATE: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_connection_state",
    "1 for the state that holds, 0 for the others: ok, or the reason why the last exchange failed.",
    "this exporter: every exchange",
)
.with_labels(&["state"]);

/// Failed exchanges and connects by reason.
pub static CONNECTION_ERRORS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_connection_errors_total",
    "Exchanges and connects of this exporter that failed, by reason. A single command that the user may not run is none.",
    "this exporter: every exchange and connect",
)
.with_labels(&["reason"]);

/// PINGs that were due, sent or not.
pub static PINGS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_pings_total",
    "Attempts to PING the server. With redis_ping_failures_total it gives the availability.",
    "this exporter: PING",
);

/// PINGs that did not end in PONG.
pub static PING_FAILURES: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_ping_failures_total",
    "Attempts to PING the server that did not end in PONG, those that found no connection included.",
    "this exporter: PING",
);

/// Connects of the kept connection and of the fresh ones.
pub static CONNECTS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_connects_total",
    "Attempts to connect and log in: those of the kept connection, the fresh ones of the collector connect, those of scans and of the listener to keyspace notifications together.",
    "this exporter: connect",
);

/// Connects that did not end in a usable connection.
pub static CONNECT_FAILURES: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "redis_connect_failures_total",
    "Attempts to connect and log in that failed, of the kept connection, the fresh ones, those of scans and of the listener to keyspace notifications together.",
    "this exporter: connect",
);

/// Round trips of PING; failed ones with the time waited.
pub static PING_DURATION: Descriptor = Descriptor::new(
    MetricKind::Histogram,
    "redis_ping_duration_seconds",
    "Round trip of PING as this exporter measured it, without its own queueing. A failed one counts with the time waited.",
    "this exporter: PING",
);
