//! Who silences whom, in a real Alertmanager with the shipped rules of inhibition: amtool cannot tell.

use crate::alert_routes::{Labels, configuration, shipped_alerts};
use crate::support::alertmanager::Alertmanager;
use crate::support::{http, wait_until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Until it has taken notice of an alert; it takes a fraction of a second on an idle machine.
const BOUND: Duration = Duration::from_secs(20);

/// A running Alertmanager that tells nobody anything: the receivers have lost their addresses.
struct Silenced(Alertmanager);

impl Silenced {
    fn start() -> Self {
        let mut file: serde_yaml::Value =
            serde_yaml::from_str(&std::fs::read_to_string(configuration()).unwrap()).unwrap();
        for receiver in file["receivers"].as_sequence_mut().unwrap() {
            let receiver = receiver.as_mapping_mut().unwrap();
            receiver.retain(|key, _| key.as_str() == Some("name"));
        }
        Self(Alertmanager::start(&serde_yaml::to_string(&file).unwrap()))
    }

    fn add(&self, alerts: &[Labels]) {
        let alerts: Vec<Value> = alerts.iter().map(|labels| json!({ "labels": labels })).collect();
        let answer = http::post_json(self.0.port, "/api/v2/alerts", &Value::Array(alerts)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Every alert with those that silence it.
    fn alerts(&self) -> Vec<(Labels, Vec<String>, String)> {
        let answer = http::request(self.0.port, "GET", "/api/v2/alerts", &[]).unwrap().json();
        let alerts = answer.as_array().unwrap().iter();
        alerts
            .map(|alert| {
                (
                    serde_json::from_value(alert["labels"].clone()).unwrap(),
                    serde_json::from_value(alert["status"]["inhibitedBy"].clone()).unwrap(),
                    alert["fingerprint"].as_str().unwrap().to_owned(),
                )
            })
            .collect()
    }

    /// What became of these alerts: each with who silences it, by fingerprint. Alerts are taken notice of in their order, so when a pair that
    /// comes behind all others is seen to work, those before it are decided.
    fn decide(&self, alerts: &[Labels]) -> Vec<(Labels, Vec<String>, String)> {
        self.add(alerts);
        let marker = |name: &str, priority: &str| labels(name, priority, "marker", &[("instance", "marker")]);
        self.add(&[marker("Source", "P0"), marker("Target", "P3")]);
        let decided = wait_until(BOUND, || {
            let alerts = self.alerts();
            let is_seen = alerts
                .iter()
                .any(|(labels, by, _)| labels["alertname"] == "Target" && !by.is_empty());
            is_seen.then_some(alerts)
        });
        let mut decided = decided.expect("the pair that comes last is decided");
        decided.retain(|(labels, ..)| labels.get("symptom").is_none_or(|symptom| symptom != "marker"));
        assert_eq!(decided.len(), alerts.len(), "each alert is another one");
        decided
    }
}

/// The labels of an alert about `redis-1`, and others.
fn labels(name: &str, priority: &str, symptom: &str, others: &[(&str, &str)]) -> Labels {
    let mut labels: Labels = [
        ("alertname", name),
        ("priority", priority),
        ("symptom", symptom),
        ("job", "redis-session-exporter"),
        ("environment", "production"),
        ("instance", "redis-1"),
    ]
    .iter()
    .chain(others)
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect();
    // As Prometheus sees it: an empty label is none.
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// One situation: what fires, and of that what is not told.
struct Situation {
    what: &'static str,
    told: Vec<Labels>,
    silenced: Vec<Labels>,
}

fn situations() -> Vec<Situation> {
    let lost = || labels("RedisConnectionLost", "P0", "availability", &[]);
    let refused = || labels("SessionWritesRefused", "P0", "refused_writes", &[]);
    let burn = |name, priority, slo| labels(name, priority, "slo", &[("slo", slo)]);
    vec![
        Situation {
            what: "a lost connection explains what follows from it, also where that is a page; causes and other instances are told",
            told: vec![
                lost(),
                labels("RedisTLSCertificateExpiring", "P1", "certificate", &[]),
                labels("RedisMemoryCritical", "P1", "memory", &[]),
                labels("EncryptionKeyMissing", "P1", "encryption", &[]),
                labels("SessionOperationErrorRate", "P0", "errors", &[("instance", "redis-2")]),
                labels(
                    "SessionLatencyBudgetBurn",
                    "P1",
                    "slo",
                    &[("instance", "redis-2"), ("slo", "session-latency")],
                ),
                // The same name elsewhere is another server.
                labels(
                    "SessionOperationErrorRate",
                    "P0",
                    "errors",
                    &[("environment", "staging")],
                ),
            ],
            silenced: vec![
                labels("RedisConnectionFlapping", "P2", "availability", &[]),
                refused(),
                labels("SessionServiceDegraded", "P0", "degraded", &[]),
                labels("SessionOperationErrorRate", "P0", "errors", &[]),
                labels("HighSessionLatency", "P2", "latency", &[]),
                labels("SessionsMassLogout", "P1", "logout", &[("store", "web")]),
                labels("SessionEventsDisconnected", "P2", "events", &[]),
                burn("SessionAvailabilityBudgetBurn", "P0", "session-availability"),
                burn("SessionLatencyBudgetBurn", "P2", "session-latency"),
                burn("SessionOperationsBudgetBurn", "P3", "session-operations"),
            ],
        },
        Situation {
            what: "two that could explain each other: exactly one is told",
            told: vec![lost()],
            silenced: vec![
                refused(),
                labels("SessionServiceDegraded", "P0", "degraded", &[]),
                labels("SessionProbeFailing", "P1", "errors", &[]),
            ],
        },
        Situation {
            what: "refused writes explain failing operations and the failing synthetic session, not latency",
            told: vec![
                refused(),
                labels("SessionLatencyCritical", "P1", "latency", &[]),
                labels("RedisMemoryCritical", "P1", "memory", &[]),
            ],
            silenced: vec![
                labels("SessionProbeFailing", "P1", "errors", &[]),
                labels("SessionOperationErrorRate", "P0", "errors", &[]),
                burn("SessionAvailabilityBudgetBurn", "P0", "session-availability"),
            ],
        },
        Situation {
            what: "a server that is full of clients is one page",
            told: vec![labels("RedisRejectedConnections", "P1", "clients", &[])],
            silenced: vec![
                labels("RedisClientsHigh", "P2", "clients", &[]),
                labels("RedisConnectFailing", "P1", "availability", &[]),
            ],
        },
        Situation {
            what: "errors and slowness together are one page",
            told: vec![labels("SessionServiceDegraded", "P0", "degraded", &[])],
            silenced: vec![
                labels("SessionOperationErrorRate", "P0", "errors", &[]),
                labels("SessionLatencyCritical", "P1", "latency", &[]),
                burn("SessionOperationsBudgetBurn", "P0", "session-operations"),
            ],
        },
        Situation {
            what: "errors that are paged for are not paged for again as budget; the other objectives are",
            told: vec![
                labels("SessionOperationErrorRate", "P0", "errors", &[]),
                burn("SessionLatencyBudgetBurn", "P0", "session-latency"),
            ],
            silenced: vec![burn("SessionOperationsBudgetBurn", "P0", "session-operations")],
        },
        Situation {
            what: "of one objective the fastest burn is told, each objective by itself",
            told: vec![
                burn("SessionAvailabilityBudgetBurn", "P0", "session-availability"),
                burn("SessionLatencyBudgetBurn", "P2", "session-latency"),
            ],
            silenced: vec![
                burn("SessionAvailabilityBudgetBurn", "P1", "session-availability"),
                burn("SessionAvailabilityBudgetBurn", "P2", "session-availability"),
                burn("SessionLatencyBudgetBurn", "P3", "session-latency"),
            ],
        },
        Situation {
            what: "of one condition the most urgent is told, per store",
            told: vec![
                labels("SessionsNearCapacity", "P2", "capacity", &[("store", "web")]),
                labels("SessionsHighWatermark", "P3", "capacity", &[("store", "api")]),
                labels("RedisMemoryCritical", "P1", "memory", &[]),
                labels("RedisClientsHigh", "P2", "clients", &[]),
                labels("RedisMemoryUnlimited", "P3", "memory_limit", &[]),
            ],
            silenced: vec![
                labels("SessionsHighWatermark", "P3", "capacity", &[("store", "web")]),
                labels("RedisMemoryHigh", "P2", "memory", &[]),
            ],
        },
        Situation {
            what: "without the exporter a store that vanished is no news; what concerns other jobs is",
            told: vec![
                labels(
                    "SessionExporterDown",
                    "P1",
                    "blind",
                    &[("environment", ""), ("instance", "exporter:9121")],
                ),
                labels("SessionStoreVanished", "P2", "blind", &[("job", "another")]),
                lost(),
            ],
            silenced: vec![labels(
                "SessionStoreVanished",
                "P2",
                "blind",
                &[("instance", "redis-2")],
            )],
        },
        Situation {
            what: "an exporter that starts again and again is told once, another one that is down by itself",
            told: vec![
                labels(
                    "SessionExporterCrashLooping",
                    "P1",
                    "blind",
                    &[("environment", ""), ("instance", "exporter:9121")],
                ),
                labels(
                    "SessionExporterDown",
                    "P1",
                    "blind",
                    &[("environment", ""), ("instance", "exporter-2:9121")],
                ),
            ],
            silenced: vec![labels(
                "SessionExporterDown",
                "P1",
                "blind",
                &[("environment", ""), ("instance", "exporter:9121")],
            )],
        },
        Situation {
            what: "an absent exporter has no label but its job",
            told: vec![labels(
                "SessionExporterAbsent",
                "P1",
                "blind",
                &[("environment", ""), ("instance", "")],
            )],
            silenced: vec![labels("SessionStoreVanished", "P2", "blind", &[])],
        },
        Situation {
            what: "alerts of others that lack our labels silence nothing and are not silenced",
            told: vec![
                labels(
                    "DbDown",
                    "P0",
                    "",
                    &[("job", ""), ("environment", ""), ("instance", "")],
                ),
                labels(
                    "MailQueue",
                    "P1",
                    "",
                    &[("job", ""), ("environment", ""), ("instance", "")],
                ),
                labels("RedisConnectionLost", "P0", "availability", &[("job", "another")]),
                labels("HighSessionLatency", "P2", "latency", &[("job", "another")]),
                labels("SessionExporterConfigReloadFailed", "P2", "configuration", &[]),
            ],
            silenced: vec![],
        },
    ]
}

#[test]
fn alerts_that_others_explain_are_silenced_and_no_others() {
    for situation in situations() {
        let all: Vec<Labels> = situation.told.iter().chain(&situation.silenced).cloned().collect();
        let decided = Silenced::start().decide(&all);
        let with = |is_silenced: bool| -> BTreeSet<Labels> {
            let alerts = decided.iter().filter(|(_, by, _)| by.is_empty() != is_silenced);
            alerts.map(|(labels, ..)| labels.clone()).collect()
        };
        assert_eq!(
            with(true),
            situation.silenced.into_iter().collect(),
            "silenced: {}",
            situation.what
        );
        assert_eq!(
            with(false),
            situation.told.into_iter().collect(),
            "told: {}",
            situation.what
        );
    }
}

/// Two alerts that silence each other would both be lost. So everything fires at once, and whoever is silenced must be silenced, in the end, by
/// one that is told.
#[test]
fn of_all_shipped_alerts_none_is_silenced_in_a_circle() {
    let mut all: BTreeSet<Labels> = BTreeSet::new();
    for alert in shipped_alerts() {
        let mut alert: Labels = alert;
        for (name, value) in labels("", "", "", &[]) {
            alert.entry(name).or_insert(value);
        }
        all.insert(alert);
    }
    let all: Vec<Labels> = all.into_iter().collect();
    let decided = Silenced::start().decide(&all);
    let by: BTreeMap<&String, &Vec<String>> = decided.iter().map(|(_, by, fingerprint)| (fingerprint, by)).collect();
    for (labels, _, fingerprint) in &decided {
        let mut at = fingerprint;
        let mut passed = BTreeSet::from([at]);
        while let Some(next) = by[at].first() {
            assert!(passed.insert(next), "{} is silenced in a circle", labels["alertname"]);
            at = next;
        }
    }
}

/// What a lost connection does not explain, each for a reason: it may be the cause, or it is true whether or not the store can be reached.
const NOT_EXPLAINED_BY_A_LOST_CONNECTION: [&str; 25] = [
    "acl",
    "auth",
    "blocked_clients",
    "capacity",
    "certificate",
    "client_certificate",
    "clients",
    "cluster",
    "configuration",
    "encryption",
    "eviction",
    "expectation",
    "fragmentation",
    "keys",
    "lookups",
    "memory",
    "memory_limit",
    "permissions",
    "persistence",
    "plaintext",
    "replication",
    "series",
    "slowlog",
    "tls",
    "ttl",
];

/// Whoever gives an alert a new symptom decides whether a lost connection explains it: in the rule of inhibition or here.
#[test]
fn every_symptom_is_explained_by_a_lost_connection_or_is_not() {
    let text = std::fs::read_to_string(configuration()).unwrap();
    let explained = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- symptom=~\"")?.strip_suffix('"'))
        .flat_map(|symptoms| symptoms.split('|'))
        .map(str::to_owned);
    let mut decided: BTreeSet<String> = explained.collect();
    assert!(decided.contains("errors"), "the rule of inhibition was not found");
    for symptom in NOT_EXPLAINED_BY_A_LOST_CONNECTION {
        assert!(decided.insert(symptom.to_owned()), "{symptom} is both");
    }
    let open: BTreeSet<String> = shipped_alerts()
        .into_iter()
        .filter_map(|alert| alert.get("symptom").cloned())
        .filter(|symptom| !decided.contains(symptom))
        .collect();
    assert_eq!(open, BTreeSet::new(), "symptoms that nobody has decided about");
}

/// The names, urgencies and symptoms in the situations above are those of the rules, or the test would prove something about nothing.
#[test]
fn the_situations_are_about_alerts_that_there_are() {
    let shipped: BTreeSet<(String, String, String)> = shipped_alerts()
        .into_iter()
        .filter(|alert| alert.contains_key("symptom"))
        .map(|alert| {
            (
                alert["alertname"].clone(),
                alert["priority"].clone(),
                alert["symptom"].clone(),
            )
        })
        .collect();
    let mut unknown = BTreeSet::new();
    for situation in situations() {
        for alert in situation.told.iter().chain(&situation.silenced) {
            let Some(symptom) = alert.get("symptom") else { continue };
            let named = (alert["alertname"].clone(), alert["priority"].clone(), symptom.clone());
            if !shipped.contains(&named) {
                unknown.insert(named);
            }
        }
    }
    assert_eq!(unknown, BTreeSet::new());
}
