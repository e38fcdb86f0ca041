//! Which features an instance has, by its configuration and by what was found out at the server: `redis_session_exporter_feature_available`.

use super::instance::Instance;
use super::instance::tls::CERTIFICATES;
use super::publish::VALUES;
use crate::collectors::Server;
use crate::collectors::config::{SAVE_POINTS, SPEC as CONFIG};
use crate::collectors::latency::HISTOGRAM_SINCE;
use crate::collectors::tls;
use crate::config::{InstanceConfig, StoreConfig};
pub use crate::features::*;
use crate::redis::capabilities::Capabilities;
use crate::snapshot::SectionKey;

/// What was found out at a server beside its configuration, by the daemon or by `check`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// The metrics of the application can be read.
    pub application_metrics: bool,
    /// Connections with and without TLS are counted.
    pub client_list: bool,
    /// The server says its save points, and with them its other parameters.
    pub configuration: bool,
    /// Values were compared with their expected beginning.
    pub encryption: bool,
    /// Creations and all endings are told.
    pub events: bool,
    /// LATENCY HISTOGRAM answers.
    pub latency_histogram: bool,
    /// `maxmemory` is set.
    pub memory_limit: bool,
    /// Commands are taken for session operations.
    pub operations: bool,
    /// TTL and size of single sessions are known.
    pub session_details: bool,
    /// The synthetic session works, or may work.
    pub session_probe: bool,
    /// Sessions of at least one store were counted.
    pub sessions: bool,
    /// Our handshakes show the server's certificates.
    pub tls: bool,
}

/// Each feature and whether it is there, by configuration, stores and what was found.
pub fn of_findings<'all>(
    config: &'all InstanceConfig,
    stores: &'all [StoreConfig],
    findings: Findings,
) -> impl Iterator<Item = (Feature, bool)> + 'all {
    ALL.iter().map(move |feature| {
        let all = |has: fn(&StoreConfig) -> bool| !stores.is_empty() && stores.iter().all(has);
        let is_there = match *feature {
            APPLICATION_METRICS => !config.application_metrics.is_empty() && findings.application_metrics,
            CAPACITY => all(|store| store.capacity.is_some()),
            CLIENT_LIST => findings.client_list,
            CONFIGURATION => findings.configuration,
            ENCRYPTION => findings.encryption,
            EVENTS => findings.events,
            EXPECTATIONS => !config.expect.maxmemory_policy.is_empty() || config.expect.persistence.is_some(),
            EXPECTED_TTL => all(|store| store.expected_ttl.is_some()),
            LATENCY_HISTOGRAM => findings.latency_histogram,
            MEMORY_LIMIT => findings.memory_limit,
            OPERATIONS => findings.operations,
            SESSION_DETAILS => findings.session_details,
            SESSION_PROBE => config.session_probe.enabled && findings.session_probe,
            SESSIONS => !stores.is_empty() && findings.sessions,
            TLS => findings.tls,
            _ => false,
        };
        (*feature, is_there)
    })
}

/// Each feature and whether it is there at an instance that the daemon watches.
pub fn available(instance: &Instance) -> impl Iterator<Item = (Feature, bool)> + '_ {
    of_findings(&instance.config, &instance.stores, findings(instance))
}

fn findings(instance: &Instance) -> Findings {
    let succeeded = |name: &str| instance.collector_states.get(name).is_some_and(|state| state.success);
    let shows_in = |collector, part, descriptor: &str| {
        let section = instance.sections.get(&SectionKey { collector, part });
        section.is_some_and(|section| section.chunks.iter().any(|chunk| chunk.descriptor.name == descriptor))
    };
    let shows = |collector, descriptor: &str| shows_in(collector, VALUES, descriptor);
    let notifications = instance.details.notifications.as_ref();
    let max_memory = instance.details.info.as_ref().and_then(|info| info.max_memory_bytes);
    Findings {
        application_metrics: succeeded("application") && instance.has_all_application_keys(),
        client_list: shows(tls::COLLECTOR, tls::CONNECTIONS.name),
        configuration: shows(CONFIG.name, SAVE_POINTS.name),
        encryption: shows("sessions", "sessions_unencrypted"),
        events: notifications.is_some_and(|notifications| notifications.tells_counts && notifications.tells_creations),
        latency_histogram: succeeded("latency")
            && has_histograms(&instance.config, instance.server.as_ref(), &instance.capabilities),
        memory_limit: max_memory.is_some_and(|limit| limit > 0.0),
        operations: shows("operations", "session_operations_total"),
        session_details: shows("sessions", "sessions_ttl_remaining_seconds") && shows("sessions", "session_size_bytes"),
        session_probe: shows("session_probe", "session_probe_success"),
        sessions: succeeded("sessions"),
        tls: shows_in(tls::COLLECTOR, CERTIFICATES, tls::NOT_AFTER.name),
    }
}

/// Whether LATENCY HISTOGRAM is there and was not refused. Forks say which Redis they are compatible with.
pub fn has_histograms(config: &InstanceConfig, server: Option<&Server>, capabilities: &Capabilities) -> bool {
    config.optional.compatibility.latency_commands
        && server.is_some_and(|server| server.redis_version >= HISTOGRAM_SINCE)
        && capabilities.get("latency|histogram").is_none()
}
