//! `expect`: what an operator said this store should look like, held against what the server says.

use super::{CollectError, Expectations, Persistence, PollContext, config};
use crate::metric::{Descriptor, MetricKind};

/// 1 for an expectation that is met. Only configured expectations that can be judged have a series.
pub static EXPECTATION_MET: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_expectation_met",
    "1 when the server is set up as the configuration of this exporter expects, 0 when not: maxmemory_policy, persistence. \
     Absent for what is not configured or cannot be judged (snapshots without the right to run CONFIG GET).",
    "INFO Memory: maxmemory_policy; INFO Persistence: aof_enabled; CONFIG GET save",
)
.with_labels(&["expectation"]);

/// Judges every configured expectation: name and whether it is met. What cannot be judged is left out.
///
/// # Errors
/// When CONFIG GET failed for another reason than that it is not available.
pub fn judge(context: &PollContext<'_>, expect: &Expectations) -> Result<Vec<(&'static str, bool)>, CollectError> {
    let info = context.info()?;
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
        let parameters = config::Parameters::read_if_available(context)?;
        let snapshots = parameters
            .as_ref()
            .and_then(|parameters| parameters.get("save"))
            .map(|save| !save.is_empty());
        if let Some(met) = persistence_met(persistence, appends, snapshots) {
            verdicts.push(("persistence", met));
        }
    }
    Ok(verdicts)
}

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
