//! What the application keeps in Redis for us.

use super::*;
use crate::config::own_metrics;
use crate::metric::{DURATION_BUCKETS_SECONDS, MetricKind};

fn metrics(text: &str) -> Vec<ApplicationMetricConfig> {
    config(&format!(
        "instances:\n  - address: h/4\n    application_metrics: [ {text} ]\n"
    ))
    .instances[0]
        .application_metrics
        .clone()
}

#[test]
fn every_key_of_a_metric_arrives() {
    let file = good("application_metrics");
    let own = &file.instances[0];
    let [errors, pool, present, hits, logins, carts, created, ended, ttl] = own.application_metrics.as_slice() else {
        panic!("{own:?}");
    };
    assert_eq!(errors.descriptor.name, "session_encryption_errors_total");
    assert_eq!(errors.descriptor.kind, MetricKind::Counter);
    assert_eq!(errors.descriptor.labels, ["error_type"]);
    assert_eq!(
        errors.descriptor.help,
        "Values that could not be encrypted or decrypted."
    );
    assert_eq!((errors.label, errors.database), (Some("error_type"), 0));
    assert_eq!(errors.key, "metrics:session_encryption_errors");
    assert_eq!(errors.label_values, ["encrypt_failed", "decrypt_failed", "key_missing"]);
    assert_eq!((errors.max_label_values, pool.max_label_values), (3, 50));
    assert_eq!(pool.database, 2, "the address's own");
    assert!(!pool.descriptor.help.contains("pool"), "the default help names no key");
    assert_eq!(
        [errors, pool, present, hits].map(|metric| metric.read.clone()),
        [
            ApplicationRead::Fields,
            ApplicationRead::Auto,
            ApplicationRead::Field("present".to_owned()),
            ApplicationRead::Text
        ]
    );
    assert_eq!(logins.buckets, DURATION_BUCKETS_SECONDS);
    assert_eq!(carts.buckets, [-1.0, 0.5, 1e3, 2.5e6]);
    assert!(errors.buckets.is_empty() && hits.label.is_none());
    assert_eq!(ttl.buckets.last(), Some(&604_800.0));
    assert!(own.is_replaced("sessions_created_total") && !own.is_replaced("sessions_active"));
    assert_eq!((created.label, ended.label), (Some("source"), Some("reason")));
    let defaults = &file.instances[1].application_metrics;
    assert_eq!((defaults.len(), defaults[0].database), (1, 7));
    assert_eq!(defaults[0].read, ApplicationRead::Length);
    assert!(file.instances[2].application_metrics.is_empty());
}

/// Holds for each of our metrics that may be replaced as soon as a collector lists it.
#[test]
fn what_replaces_ours_has_our_descriptor() {
    for (name, kind) in own_metrics::REPLACEABLE {
        let item = format!("{{ name: {name}, type: {}, key: k }}", kind.as_str());
        let metrics = metrics(&item);
        let descriptor = metrics[0].descriptor;
        assert_eq!((descriptor.name, descriptor.kind), (name, kind));
        let Some(ours) = own_metrics::descriptor(name) else {
            continue;
        };
        assert!(std::ptr::eq(descriptor, ours), "{name}");
        if kind == MetricKind::Counter {
            let labelled = super::errors(&format!(
                "instances:\n  - address: h\n    application_metrics: [ {{ name: {name}, type: counter, key: k, label: colour }} ]\n"
            ));
            assert!(
                labelled.contains("is not a label of our metric that it replaces"),
                "{labelled}"
            );
        }
        let helped = loaded(&format!(
            "instances:\n  - address: h\n    application_metrics: [ {{ name: {name}, type: {}, key: k, help: x }} ]\n",
            kind.as_str()
        ));
        assert!(helped.warnings[0].contains("keeps our help"), "{helped:?}");
    }
}

#[test]
fn equal_definitions_are_one_metric() {
    let item = "{ name: equal_definitions, type: gauge, key: a }";
    let (first, again) = (
        metrics(item),
        metrics("{ name: equal_definitions, type: gauge, key: b }"),
    );
    assert!(std::ptr::eq(first[0].descriptor, again[0].descriptor));
}

#[test]
fn two_hundred_metrics_are_enough() {
    let items: Vec<String> = (0..201)
        .map(|index| format!("{{ name: many_{index}, type: gauge, key: k }}"))
        .collect();
    assert_eq!(metrics(&items[..200].join(", ")).len(), 200);
    let errors = errors(&format!(
        "instances:\n  - address: h\n    application_metrics: [ {} ]\n",
        items.join(", ")
    ));
    assert!(errors.contains("lists more than 200 metrics"), "{errors}");
}

#[test]
fn no_metric_of_ours_may_be_taken() {
    for descriptor in crate::collectors::ALL.iter().flat_map(|spec| (spec.descriptors)()) {
        let is_allowed = own_metrics::replaceable(descriptor.name).is_some();
        let text = format!(
            "instances:\n  - address: h\n    application_metrics: [ {{ name: {}, type: {}, key: k }} ]\n",
            descriptor.name,
            if descriptor.name.ends_with("_total") {
                "counter"
            } else {
                "gauge"
            },
        );
        let loaded = load_str(&text, "f", Path::new(""), &environment());
        let is_ttl = descriptor.kind == MetricKind::Histogram;
        assert_eq!(loaded.is_ok(), is_allowed && !is_ttl, "{}", descriptor.name);
    }
}
