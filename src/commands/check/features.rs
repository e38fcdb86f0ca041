//! What `check` says about alerts and panels that stay empty: the features that are missing, each with what it needs.

use super::sessions::Counted;
use super::{Report, alerts};
use crate::collectors::config::{SAVE_POINTS, SPEC as CONFIG};
use crate::collectors::operations::ON_FROM_SHARE;
use crate::collectors::tls;
use crate::config::{InstanceConfig, Operations};
use crate::poller::features::{self, Feature, Findings};
use crate::poller::info_poll::InfoPoll;
use crate::redis::capabilities::Capabilities;
use crate::sessions::details::DetailCommand;

/// What a replica does not have, since its sessions are those of its primary.
const OF_PRIMARIES: [Feature; 6] = [
    features::ENCRYPTION,
    features::EVENTS,
    features::OPERATIONS,
    features::SESSION_DETAILS,
    features::SESSION_PROBE,
    features::SESSIONS,
];

/// What the other parts of `check` found out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Further {
    /// Every metric of the application can be read.
    pub application_metrics: bool,
    /// Keyspace notifications tell everything, and the user may listen.
    pub events: bool,
    /// The user may write the synthetic session, or nobody can say.
    pub session_probe: bool,
    /// The handshake showed the server's certificates.
    pub tls: bool,
}

/// One line for each feature that is missing.
pub(super) fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    poll: &InfoPoll,
    capabilities: &Capabilities,
    counted: &Counted,
    further: Further,
    is_replica: bool,
) {
    let findings = findings(config, poll, capabilities, counted, further);
    let mut there = Vec::new();
    for (feature, is_there) in features::of_findings(config, &counted.stores, findings) {
        let is_expected = !(is_replica && OF_PRIMARIES.contains(&feature));
        if is_there {
            there.push(feature);
        }
        if !is_there && is_expected {
            let needs = if feature == features::MEMORY_LIMIT && poll.info.is_none() {
                INFO_NEEDED
            } else {
                needs(config, feature, counted)
            };
            report.unavailable.push(format!("{}: {needs}", feature.name));
        }
    }
    let known = alerts::Known {
        config,
        server: poll.server.as_ref(),
        there: &there,
        elsewhere: if is_replica { &OF_PRIMARIES } else { &[] },
    };
    alerts::describe(report, &known);
}

/// What it takes to know of the server's limit at all.
const INFO_NEEDED: &str = "let the user run INFO, which says whether `maxmemory` is set";

/// What a feature that is missing needs here. Without a store, or with stores that nobody counted, no right and no setting would bring
/// what is told of single sessions.
fn needs(config: &InstanceConfig, feature: Feature, counted: &Counted) -> &'static str {
    const OF_STORES: [Feature; 3] = [features::ENCRYPTION, features::EVENTS, features::SESSION_DETAILS];
    if !OF_STORES.contains(&feature) && feature != features::SESSIONS {
        return feature.needs;
    }
    let is_on = config.collectors.get("sessions").copied().unwrap_or(true);
    match (is_on, counted.stores.is_empty(), counted.works) {
        (false, _, _) => "switch the collector `sessions` on",
        (true, true, _) if feature == features::EVENTS => {
            "name a store under `sessions`, switch on keyspace notifications and let the user subscribe"
        }
        (true, true, _) => features::SESSIONS.needs,
        (true, false, false) if feature != features::EVENTS => {
            "the sessions cannot be counted, as said above; mend that first"
        }
        _ => feature.needs,
    }
}

fn findings(
    config: &InstanceConfig,
    poll: &InfoPoll,
    capabilities: &Capabilities,
    counted: &Counted,
    further: Further,
) -> Findings {
    let succeeded = |name: &str| {
        let outcome = poll.outcomes.iter().find(|outcome| outcome.name == name);
        outcome.is_some_and(|outcome| outcome.result.is_ok())
    };
    let shows = |name: &str, metric: &str| {
        let outcome = poll.outcomes.iter().find(|outcome| outcome.name == name);
        let samples = outcome.and_then(|outcome| outcome.result.as_ref().ok());
        samples.is_some_and(|samples| samples.families().iter().any(|family| family.descriptor.name == metric))
    };
    let is_asked = |command: DetailCommand| {
        let is_missing = counted.missing.iter().any(|missing| missing.command == command.name());
        counted.works && !is_missing
    };
    let max_memory = poll.info.as_ref().and_then(|info| info.get("maxmemory"));
    let is_about_sessions = match config.operations {
        Operations::On => true,
        Operations::Off => false,
        Operations::Auto => counted.share_of_keys.is_some_and(|share| share >= ON_FROM_SHARE),
    };
    Findings {
        application_metrics: further.application_metrics,
        client_list: shows(tls::COLLECTOR, tls::CONNECTIONS.name),
        configuration: shows(CONFIG.name, SAVE_POINTS.name),
        encryption: counted.stores.iter().any(|store| store.encryption.is_some()) && is_asked(DetailCommand::GetRange),
        events: further.events && counted.works,
        latency_histogram: succeeded("latency") && features::has_histograms(config, poll.server.as_ref(), capabilities),
        memory_limit: max_memory.is_some_and(|bytes| bytes.trim().parse::<u64>().is_ok_and(|bytes| bytes > 0)),
        operations: is_about_sessions && succeeded("operations"),
        session_details: is_asked(DetailCommand::Pttl) && is_asked(DetailCommand::MemoryUsage),
        session_probe: further.session_probe,
        sessions: counted.works,
        tls: further.tls,
    }
}
