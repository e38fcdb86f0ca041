//! `expect`: what an operator said this store should look like, held against what the server says.

use super::{CollectError, PollContext, config};
use crate::config::{Expectations, Persistence};
use crate::metric::{Descriptor, MetricKind, Samples};
use crate::redis::Info;

/// 1 for an expectation that is met. Only configured expectations that can be judged have a series.
pub static EXPECTATION_MET: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_expectation_met",
    "1 when the server is set up as the configuration of this exporter expects, 0 when not: maxmemory_policy, persistence. \
     Absent for what is not configured or cannot be judged (snapshots without the right to run CONFIG GET).",
    "INFO Memory: maxmemory_policy; INFO Persistence: aof_enabled; CONFIG GET save",
)
.with_labels(&["expectation"]);

/// What `expect.persistence` says, so that rules need not page for snapshots that nobody wants.
pub static PERSISTENCE_EXPECTED: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_persistence_expected",
    "Always 1: the persistence that the configuration of this exporter expects, none (a cache on purpose), rdb or aof. Absent where it \
     says nothing; what the server is set up for is in redis_aof_enabled and redis_config_save_points.",
    "this exporter: expect.persistence",
)
.with_labels(&["kind"]);

/// The series of [`PERSISTENCE_EXPECTED`], whatever the server does.
pub fn push_expected_persistence(expect: &Expectations, samples: &mut Samples) {
    if let Some(persistence) = expect.persistence {
        samples.push_with(
            &PERSISTENCE_EXPECTED,
            vec![("kind", persistence.as_label().into())],
            1.0,
        );
    }
}

/// Judges every configured expectation with INFO and CONFIG GET, which `reader` asks: name and whether it is met. What cannot be judged is left out.
///
/// # Errors
/// When CONFIG GET failed for another reason than that it is not available.
pub fn judge(
    context: &PollContext<'_>,
    reader: &config::Reader,
    expect: &Expectations,
) -> Result<Vec<(&'static str, bool)>, CollectError> {
    let info = context.info()?;
    let snapshots = match expect.persistence {
        None => None,
        Some(_) => reader
            .read_if_available(context)?
            .as_ref()
            .and_then(|parameters| parameters.get("save"))
            .map(|save| !save.is_empty()),
    };
    Ok(judge_with(info, snapshots, expect))
}

/// Judges with INFO and, where it is known, whether snapshots are configured.
pub fn judge_with(info: &Info, snapshots: Option<bool>, expect: &Expectations) -> Vec<(&'static str, bool)> {
    let mut verdicts = Vec::new();
    if !expect.maxmemory_policy.is_empty()
        && let Some(policy) = info.get("maxmemory_policy")
    {
        verdicts.push((
            "maxmemory_policy",
            expect.maxmemory_policy.iter().any(|allowed| allowed == policy.trim()),
        ));
    }
    if let Some(persistence) = expect.persistence {
        let appends = info.number("aof_enabled").map(|number| number != 0.0);
        if let Some(met) = persistence_met(persistence, appends, snapshots) {
            verdicts.push(("persistence", met));
        }
    }
    verdicts
}

/// The expectations that these samples of the collector `memory` show as not met; they know more than INFO alone.
pub fn unmet(samples: &Samples) -> Vec<&'static str> {
    EXPECTATIONS
        .into_iter()
        .filter(|expectation| samples.number_with(EXPECTATION_MET.name, &[expectation]) == Some(0.0))
        .collect()
}

/// Every expectation, as label values.
const EXPECTATIONS: [&str; 2] = ["maxmemory_policy", "persistence"];

/// Whether the persistence is the expected one, as far as what is known decides it.
fn persistence_met(expected: Persistence, appends: Option<bool>, snapshots: Option<bool>) -> Option<bool> {
    match expected {
        Persistence::Aof => appends,
        Persistence::Rdb => snapshots,
        // One kind that is on is enough to break the expectation, even when the other is unknown.
        Persistence::None => match (appends, snapshots) {
            (Some(true), _) | (_, Some(true)) => Some(false),
            (Some(false), Some(false)) => Some(true),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_decides() {
        assert_eq!(persistence_met(Persistence::None, Some(true), None), Some(false));
        assert_eq!(persistence_met(Persistence::None, Some(false), None), None);
        assert_eq!(persistence_met(Persistence::None, Some(false), Some(false)), Some(true));
        assert_eq!(persistence_met(Persistence::Rdb, Some(true), None), None);
        assert_eq!(persistence_met(Persistence::Aof, Some(true), None), Some(true));
    }
}
