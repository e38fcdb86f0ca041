//! Collector `events`: how many sessions come and why they go, from keyspace notifications. The frame listens and publishes; this file
//! only says what there is to publish.

use super::grants::Grant;
use super::{Build, Schedule, Server, Spec, grants};
use crate::config::{EventsMode, InstanceConfig, StoreConfig};
use crate::metric::{Descriptor, MetricKind};
use crate::sessions::notifications::EventKind;
use std::collections::BTreeSet;

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "events",
    help: "How many sessions are created and why they end, from keyspace notifications, where the server publishes them.",
    default_on: true,
    schedule: Schedule::Info,
    grants: of_listening,
    descriptors: || vec![&CREATED, &ENDED, &TTL, &CONNECTED, &RECEIVED, &LOST, &GAPS],
    build: Build::ByFrame,
};

/// The events of the databases that hold stores, and of all others those that the server counts, to know that none was lost. PTTL asks new
/// sessions for their TTL.
fn of_listening(config: &InstanceConfig, _server: &Server) -> Vec<Grant> {
    let stores: Vec<StoreConfig> = grants::stores(config)
        .into_iter()
        .filter(|store| store.events != EventsMode::Off)
        .collect();
    if stores.is_empty() {
        return Vec::new();
    }
    let databases: BTreeSet<u32> = stores
        .iter()
        .flat_map(|store| store.databases.iter().copied())
        .collect();
    let mut granted: Vec<Grant> = grants::keys_of(&stores).collect();
    let of_stores = databases.iter().map(|database| format!("__keyevent@{database}__:*"));
    let of_others = [EventKind::Expired, EventKind::Evicted].map(|kind| format!("__keyevent@*__:{}", kind.as_str()));
    granted.extend(of_stores.chain(of_others).map(Grant::Channels));
    granted.extend(grants::commands(&["info", "ping", "subscribe", "pttl"]));
    granted.extend(grants::config_get(config));
    if databases.iter().any(|database| *database != config.address.database) {
        granted.push(grants::command("select"));
    }
    granted
}

/// Sessions that came into being.
pub static CREATED: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "sessions_created_total",
    "Sessions created: new keys of the store, without those that RENAME, COPY, RESTORE or MOVE made. source is the first rule of \
     the store's `sources` that matches, else other. Absent unless the server publishes new keys (n of notify-keyspace-events).",
    "keyspace notifications: new (7.0+)",
)
.with_labels(&["store", "source"]);

/// Sessions that ceased to be.
pub static ENDED: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "sessions_ended_total",
    "Sessions ended: deleted by a command, expired, or evicted since memory was short. A reason is absent unless the server \
     publishes such events (g, x, e of notify-keyspace-events). Expired keys are told when the server deletes them, which our own \
     scans make happen sooner.",
    "keyspace notifications: del, expired, evicted",
)
.with_labels(&["store", "reason"]);

/// TTL at creation.
pub static TTL: Descriptor = Descriptor::new(
    MetricKind::Histogram,
    "session_ttl_seconds",
    "TTL that sessions were given at creation: what is left a second later, plus the time gone by. At most 50 sessions a second are \
     asked, so the count is that of the sample. A session that never expires counts in +Inf and adds 0 to the sum.",
    "PTTL, after the keyspace notification new",
)
.with_labels(&["store"]);

/// Whether events are heard.
pub static CONNECTED: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "session_events_connected",
    "1 while keyspace notifications are listened to, 0 where they are wanted and not heard: the server does not publish them, the \
     user may not listen, or the connection is lost. Absent where nobody wants them.",
    "this exporter: SUBSCRIBE",
);

/// Events that came.
pub static RECEIVED: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_events_received_total",
    "Keyspace notifications received, of any key in the databases of the stores; expired and evicted of all databases.",
    "keyspace notifications",
)
.with_labels(&["event"]);

/// Events that are known to be lost.
pub static LOST: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_events_lost_total",
    "Keyspace notifications known to be lost: keys that the server counted as expired or evicted while we listened and of which \
     no event came. A lower bound; what was missed while the connection was down is in session_events_gaps_total only.",
    "INFO stats: expired_keys, evicted_keys; keyspace notifications",
);

/// Times at which events were missed.
pub static GAPS: Descriptor = Descriptor::new(
    MetricKind::Counter,
    "session_events_gaps_total",
    "Times at which events were missed, so that sessions_active is uncertain until the next pass: the connection was lost or made \
     anew (disconnect), the server's counters show lost events (lagged), a database was flushed or swapped, which publishes \
     nothing (flush), or notify-keyspace-events was changed (config).",
    "this exporter: SUBSCRIBE; INFO; CONFIG GET notify-keyspace-events",
)
.with_labels(&["reason"]);
