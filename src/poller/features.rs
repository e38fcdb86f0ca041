//! What alerts and panels build on and what may be missing here: `redis_session_exporter_feature_available`. An alert whose feature
//! is missing cannot fire, and somebody must be able to see that.

use super::instance::Instance;
use super::instance::tls::CERTIFICATES;
use super::publish::VALUES;
use crate::collectors::Server;
use crate::collectors::latency::HISTOGRAM_SINCE;
use crate::collectors::tls;
use crate::config::{InstanceConfig, StoreConfig};
use crate::redis::capabilities::Capabilities;
use crate::snapshot::SectionKey;

/// Something that alerts and panels build on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Label value of `feature`.
    pub name: &'static str,
    /// What it takes, for people: completes "not available: ".
    pub needs: &'static str,
}

macro_rules! features {
    ($($(#[$doc:meta])* $id:ident = $name:literal $needs:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $id: Feature = Feature { name: $name, needs: $needs };
        )*
        /// All of them, in the order of their names.
        pub const ALL: &[Feature] = &[$($id),*];
    };
}

features! {
    /// Metrics of the application.
    APPLICATION_METRICS = "application_metrics" "name what the application keeps in Redis under `application_metrics`";
    /// Every store has a capacity.
    CAPACITY = "capacity" "give every store a `capacity`";
    /// Connections by kind of listener.
    CLIENT_LIST = "client_list" "let the user run CLIENT LIST, before Redis 7.2 also CONFIG GET, on Redis 6.2 or later with at most 10,000 clients; and leave the collector `tls` on";
    /// The shares of values in the clear.
    ENCRYPTION = "encryption" "name the beginning of an encrypted value under `encryption` of a store, and let the user run GETRANGE on its keys";
    /// Creations and endings, and counts that are current between scans.
    EVENTS = "events" "switch on keyspace notifications and let the user subscribe";
    /// What the store should look like.
    EXPECTATIONS = "expectations" "say under `expect` what this store should look like";
    /// Every store has an expected TTL.
    EXPECTED_TTL = "expected_ttl" "give every store an `expected_ttl`";
    /// Latency by the server's own histograms.
    LATENCY_HISTOGRAM = "latency_histogram" "Redis 7.0 or later, a user who may run LATENCY HISTOGRAM, and no `compatibility: { latency_commands: off }`";
    /// A memory limit, without which there is no used ratio.
    MEMORY_LIMIT = "memory_limit" "set `maxmemory` on the server";
    /// Operations counted by the server's command statistics.
    OPERATIONS = "operations" "set `operations: on` where the commands are about sessions";
    /// TTL, size and type of single sessions.
    SESSION_DETAILS = "session_details" "let the user run PTTL, MEMORY USAGE and TYPE on the keys of the stores";
    /// The synthetic session.
    SESSION_PROBE = "session_probe" "set `session_probe: { enabled: true }` at a primary whose user may write below its prefix";
    /// Sessions are counted.
    SESSIONS = "sessions" "name a store under `sessions`, or let `auto` recognise the library";
    /// The dates of the server's certificates.
    TLS = "tls" "speak TLS to the server (an address that begins with `rediss://`), and leave the collector `tls` on";
}

/// What was found out at a server beside its configuration, by the daemon or by `check`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// The metrics of the application can be read.
    pub application_metrics: bool,
    /// Connections with and without TLS are counted.
    pub client_list: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_listed_once_in_the_order_of_their_names() {
        let names: Vec<&str> = ALL.iter().map(|feature| feature.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert!(ALL.iter().all(|feature| !feature.needs.is_empty()));
    }
}
