//! What `check` says about the shipped alerts: which of them cannot fire at an instance, and for want of what.

use super::Report;
use crate::alerts::{self, Alert, Need, Scope};
use crate::collectors::Server;
use crate::config::InstanceConfig;
use crate::features::Feature;
use std::collections::BTreeMap;

/// What is known of an instance.
pub(super) struct Known<'a> {
    /// Its configuration.
    pub config: &'a InstanceConfig,
    /// Who answered; `None` when nobody said so.
    pub server: Option<&'a Server>,
    /// The features that it has.
    pub there: &'a [Feature],
    /// The features that nobody expects of it: those of a primary, at a replica.
    pub elsewhere: &'a [Feature],
}

/// What an alert misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing.
    Met,
    /// It is about what another instance shows.
    Elsewhere,
    /// This.
    Unmet,
}

/// One line for each thing that is missing, with the alerts that it silences.
pub(super) fn describe(report: &mut Report, known: &Known<'_>) {
    for (reason, names) in silent(&alerts::alerts(), known) {
        report.silent.push(format!("without {reason}: {}", names.join(", ")));
    }
}

/// Names of alerts by what silences them. Where some alerts share a name, one that can fire is enough, and else the first says what is missing.
fn silent(alerts: &[Alert], known: &Known<'_>) -> BTreeMap<String, Vec<&'static str>> {
    let mut reasons: Vec<(&'static str, Option<String>)> = Vec::new();
    for alert in alerts {
        // Those about the exporter or a whole environment do not depend on one instance.
        if !matches!(alert.scope, Scope::Instance | Scope::Store) {
            continue;
        }
        let reason = silenced_by(alert, known);
        match reasons.iter_mut().find(|(name, _)| *name == alert.name) {
            Some((_, first)) if reason.is_none() => *first = None,
            Some(_) => {}
            None => reasons.push((alert.name, reason)),
        }
    }
    let mut silent: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for (name, reason) in reasons {
        if let Some(reason) = reason {
            silent.entry(reason).or_default().push(name);
        }
    }
    silent
}

/// What keeps the alert silent, if anything does.
fn silenced_by(alert: &Alert, known: &Known<'_>) -> Option<String> {
    let verdicts = alert.needs.iter().map(|need| (need, verdict(need, known)));
    let missing: Vec<String> = verdicts
        .clone()
        .filter(|(_, verdict)| *verdict == Verdict::Unmet)
        .map(|(need, _)| need.to_string())
        .collect();
    let is_elsewhere = verdicts.clone().any(|(_, verdict)| verdict == Verdict::Elsewhere);
    (!missing.is_empty() && !is_elsewhere).then(|| missing.join(" and "))
}

fn verdict(need: &Need, known: &Known<'_>) -> Verdict {
    let met = |is_met| if is_met { Verdict::Met } else { Verdict::Unmet };
    match need {
        Need::Feature(feature) if known.there.contains(feature) => Verdict::Met,
        Need::Feature(feature) if known.elsewhere.contains(feature) => Verdict::Elsewhere,
        Need::Feature(_) => Verdict::Unmet,
        Need::ApplicationMetric(name) => {
            let metrics = &known.config.application_metrics;
            met(metrics.iter().any(|metric| metric.descriptor.name == *name))
        }
        // Of a server that did not say who it is nothing is claimed.
        Need::Redis(major, minor) => met(known
            .server
            .is_none_or(|server| server.redis_version >= (*major, *minor, 0))),
        Need::Product(product, major, minor) => met(known.server.is_none_or(|server| {
            server.product.eq_ignore_ascii_case(product) && server.version_numbers >= (*major, *minor, 0)
        })),
        Need::Expectation("maxmemory_policy") => met(!known.config.expect.maxmemory_policy.is_empty()),
        Need::Expectation("persistence") => met(known.config.expect.persistence.is_some()),
        Need::Expectation(_) => Verdict::Unmet,
        // By what was meant: while the policy is another one, the expectation is not met, and the alerts are told.
        Need::NoCache => {
            let policies = &known.config.expect.maxmemory_policy;
            met(!policies.iter().any(|policy| policy.starts_with("allkeys-")))
        }
        // By the shipped rules.
        Need::Production => met(known.config.environment.starts_with("prod")),
        Need::AnyOf(needs) => {
            let verdicts: Vec<Verdict> = needs.iter().map(|need| verdict(need, known)).collect();
            [Verdict::Met, Verdict::Elsewhere]
                .into_iter()
                .find(|verdict| verdicts.contains(verdict))
                .unwrap_or(Verdict::Unmet)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_str};
    use crate::features::{CAPACITY, EVENTS};
    use std::path::Path;

    fn instance(yaml: &str) -> std::sync::Arc<InstanceConfig> {
        let text = format!("instances:\n  - address: redis://127.0.0.1:1\n{yaml}");
        let environment = Environment::of_pairs(&[]);
        let loaded = load_str(&text, "f", Path::new(""), &environment).unwrap();
        std::sync::Arc::clone(&loaded.config.instances[0])
    }

    fn reason(
        needs: &'static [Need],
        config: &InstanceConfig,
        there: &[Feature],
        elsewhere: &[Feature],
    ) -> Option<String> {
        let alert = Alert {
            needs,
            ..Alert::default()
        };
        let known = Known {
            config,
            server: None,
            there,
            elsewhere,
        };
        silenced_by(&alert, &known)
    }

    #[test]
    fn an_alert_is_silent_for_want_of_what_it_needs() {
        let config = instance("");
        let both: &[Need] = &[Need::Feature(EVENTS), Need::ApplicationMetric("job_queue_pending")];
        assert_eq!(
            reason(both, &config, &[], &[]).as_deref(),
            Some("events and the application's job_queue_pending")
        );
        assert_eq!(
            reason(both, &config, &[EVENTS], &[]).as_deref(),
            Some("the application's job_queue_pending")
        );
        assert_eq!(reason(&[], &config, &[], &[]), None);
        assert_eq!(
            reason(&[Need::Expectation("persistence")], &config, &[], &[]).as_deref(),
            Some("expect.persistence")
        );
    }

    #[test]
    fn a_cache_on_purpose_is_not_told_that_it_is_full() {
        let no_cache: &[Need] = &[Need::NoCache];
        let expecting = |policy: &str| instance(&format!("    expect: {{ maxmemory_policy: {policy} }}"));
        assert_eq!(reason(no_cache, &instance(""), &[], &[]), None);
        assert_eq!(reason(no_cache, &expecting("noeviction"), &[], &[]), None);
        assert_eq!(
            reason(no_cache, &expecting("[noeviction, allkeys-lru]"), &[], &[]).as_deref(),
            Some("a server that is no cache (allkeys-… in expect.maxmemory_policy)")
        );
    }

    #[test]
    fn what_is_an_offence_in_production_alone_is_silent_elsewhere() {
        let production: &[Need] = &[Need::Production];
        let of = |name: &str| instance(&format!("    environment: {name}"));
        assert_eq!(reason(production, &of("prod-eu"), &[], &[]), None);
        assert_eq!(
            reason(production, &instance(""), &[], &[]).as_deref(),
            Some("an environment that `production` of the rules matches (prod…)")
        );
    }

    #[test]
    fn of_alerts_that_share_a_name_one_that_can_fire_is_enough() {
        let config = instance("");
        let named = |name, needs| Alert {
            name,
            needs,
            ..Alert::default()
        };
        let known = Known {
            config: &config,
            server: None,
            there: &[EVENTS],
            elsewhere: &[],
        };
        const OF_A_CACHE: &[Need] = &[Need::Feature(EVENTS), Need::Expectation("maxmemory_policy")];
        const OF_BOTH: &[Need] = &[Need::Feature(CAPACITY)];
        let alerts = [
            named("a", &[Need::Feature(EVENTS)]),
            named("a", OF_A_CACHE),
            named("b", OF_A_CACHE),
            named("b", &[]),
            named("c", OF_BOTH),
            named("c", OF_A_CACHE),
        ];
        let expected = BTreeMap::from([("capacity".to_owned(), vec!["c"])]);
        assert_eq!(silent(&alerts, &known), expected);
    }

    #[test]
    fn a_product_is_needed_from_a_version_of_its_own_on() {
        const NEEDS: Need = Need::AnyOf(&[Need::Product("Valkey", 9, 1), Need::Product("Dragonfly", 0, 0)]);
        let config = instance("");
        let is_met = |product: &str, version_numbers| {
            let server = Server {
                product: product.to_owned(),
                version_numbers,
                ..Server::default()
            };
            let known = Known {
                config: &config,
                server: Some(&server),
                there: &[],
                elsewhere: &[],
            };
            verdict(&NEEDS, &known) == Verdict::Met
        };
        assert!(is_met("valkey", (9, 1, 0)) && is_met("valkey", (10, 0, 2)) && is_met("dragonfly", (1, 30, 0)));
        assert!(!is_met("valkey", (9, 0, 3)) && !is_met("redis", (9, 1, 0)));
        assert_eq!(NEEDS.to_string(), "Valkey 9.1 or later or Dragonfly");
    }

    #[test]
    fn one_of_several_is_enough() {
        let config = instance("");
        const EITHER: &[Need] = &[Need::AnyOf(&[
            Need::Feature(EVENTS),
            Need::ApplicationMetric("sessions_created_total"),
        ])];
        assert_eq!(reason(EITHER, &config, &[EVENTS], &[]), None);
        assert_eq!(
            reason(EITHER, &config, &[CAPACITY], &[]).as_deref(),
            Some("events or the application's sessions_created_total")
        );
        // A replica does not show what its primary shows, and nobody misses it there.
        assert_eq!(reason(EITHER, &config, &[], &[EVENTS]), None);
    }
}
