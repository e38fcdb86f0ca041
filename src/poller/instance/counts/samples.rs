//! From counts and events to samples.

use crate::collectors::{events, sessions};
use crate::config::{EventsMode, StoreConfig};
use crate::metric::{Label, Samples, Value};
use crate::poller::accumulators::EventCounts;
use crate::sessions::events::EndReason;
use crate::sessions::loss::GapReason;
use crate::sessions::notifications::{Class, Classes, EventKind, Known};
use crate::sessions::tracker::Tracker;
use std::collections::{BTreeMap, BTreeSet};

fn store_label(store: &StoreConfig) -> Label {
    ("store", store.name.clone().into())
}

/// The counts of sessions.
pub(super) fn of_counts(stores: &[StoreConfig], trackers: &BTreeMap<String, Tracker>) -> Samples {
    let mut samples = Samples::new();
    for store in stores {
        let Some(tracker) = trackers.get(&store.name) else {
            continue;
        };
        for figure in tracker.figures() {
            let labels = || {
                let app = figure.app.as_deref().map(|app| ("app", app.to_owned().into()));
                std::iter::once(store_label(store)).chain(app).collect()
            };
            // There are no half sessions.
            samples.push_with(&sessions::ACTIVE, labels(), figure.value.round());
            if let Some((low, high)) = figure.interval {
                samples.push_with(&sessions::ACTIVE_LOW, labels(), low.floor());
                samples.push_with(&sessions::ACTIVE_HIGH, labels(), high.ceil());
            }
        }
        if let Some(drift) = tracker.drift() {
            samples.push_with(&sessions::ACTIVE_DRIFT, vec![store_label(store)], drift);
        }
    }
    samples
}

/// What is known while events are listened to, or are to be listened to again.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// Whether they are heard at this moment.
    pub is_connected: bool,
    /// Whether they were heard, and only a lost connection keeps them from being heard.
    pub is_heard: bool,
    /// What is published.
    pub classes: &'a Classes,
    /// Classes of which an event came since the setting was last seen to change.
    pub proven: &'a BTreeSet<Class>,
}

impl View<'_> {
    /// Whether a class is known to be published. One that was proven stays so over a reconnect, or its counters would vanish for a while.
    fn is_readable(&self, class: Class) -> bool {
        self.classes.is_on(class) || (self.proven.contains(&class) && self.classes.get(class) != Known::Off)
    }
}

/// What events showed.
pub(super) fn of_events(stores: &[StoreConfig], counts: &EventCounts, view: View<'_>) -> Samples {
    let mut samples = Samples::new();
    let connected = f64::from(u8::from(view.is_connected));
    samples.push(&events::CONNECTED, connected);
    if !view.is_heard {
        return samples;
    }
    for store in stores.iter().filter(|store| store.events != EventsMode::Off) {
        of_store(&mut samples, store, counts, view);
    }
    for (kind, count) in EventKind::ALL.iter().zip(counts.received) {
        if view.classes.get(kind.class()) != Known::Off {
            let labels = vec![("event", kind.as_str().into())];
            samples.push_with(&events::RECEIVED, labels, count as f64);
        }
    }
    samples.push(&events::LOST, counts.lost as f64);
    for (reason, count) in GapReason::ALL.iter().zip(counts.gaps) {
        let labels = vec![("reason", reason.as_label().into())];
        samples.push_with(&events::GAPS, labels, count as f64);
    }
    samples
}

fn of_store(samples: &mut Samples, store: &StoreConfig, counts: &EventCounts, view: View<'_>) {
    let known = counts.stores.get(&store.name);
    if view.is_readable(Class::New) {
        for source in store.all_sources() {
            let created = known.and_then(|known| known.created.get(source)).copied();
            let labels = vec![store_label(store), ("source", source.to_owned().into())];
            // Ours, and born at 0.
            samples.push_with(&events::CREATED, labels, created.unwrap_or_default() as f64);
        }
    }
    for reason in EndReason::ALL {
        if view.is_readable(reason.class()) {
            let ended = known.and_then(|known| known.ended.get(&reason)).copied();
            let labels = vec![store_label(store), ("reason", reason.as_label().into())];
            samples.push_with(&events::ENDED, labels, ended.unwrap_or_default() as f64);
        }
    }
    if let Some(ttl) = known.and_then(|known| known.ttl.as_ref()) {
        let value = Value::Histogram(ttl.distribution());
        samples.push_value(&events::TTL, vec![store_label(store)], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceRule;
    use crate::sessions::notifications::Setting;
    use crate::sessions::stores::testing;

    fn store() -> StoreConfig {
        let mut store = testing::store("web");
        store.sources = vec![SourceRule {
            source: "guest".to_owned(),
            matches: vec!["web:guest:*".to_owned()],
        }];
        store
    }

    fn shown(setting: &str, is_heard: bool, proven: &BTreeSet<Class>) -> Samples {
        let classes = Classes::of(Setting::parse(setting).as_ref());
        let view = View {
            is_connected: is_heard,
            is_heard,
            classes: &classes,
            proven,
        };
        of_events(&[store()], &EventCounts::default(), view)
    }

    fn names(samples: &Samples) -> BTreeSet<&'static str> {
        samples.families().iter().map(|family| family.descriptor.name).collect()
    }

    #[test]
    fn what_can_be_read_is_born_at_zero_and_the_rest_is_absent() {
        let none = BTreeSet::new();
        let all = shown("gxenE", true, &none);
        assert_eq!(all.number_with("sessions_created_total", &["web", "guest"]), Some(0.0));
        assert_eq!(all.number_with("sessions_created_total", &["web", "other"]), Some(0.0));
        for reason in ["deleted", "expired", "evicted"] {
            assert_eq!(all.number_with("sessions_ended_total", &["web", reason]), Some(0.0));
        }
        for reason in ["disconnect", "lagged", "flush", "config"] {
            assert_eq!(all.number_with("session_events_gaps_total", &[reason]), Some(0.0));
        }
        assert_eq!(
            all.number_with("session_events_received_total", &["rename_to"]),
            Some(0.0)
        );
        assert!(!names(&all).contains("session_ttl_seconds"));

        let partial = shown("xE", true, &none);
        assert!(!names(&partial).contains("sessions_created_total"));
        assert_eq!(
            partial.number_with("sessions_ended_total", &["web", "expired"]),
            Some(0.0)
        );
        assert_eq!(partial.number_with("sessions_ended_total", &["web", "deleted"]), None);
        assert_eq!(partial.number_with("session_events_received_total", &["del"]), None);

        let off = shown("", false, &none);
        assert_eq!(names(&off), BTreeSet::from(["session_events_connected"]));
        assert_eq!(off.number("session_events_connected"), Some(0.0));
    }

    #[test]
    fn what_is_not_shown_by_the_setting_is_proven_by_an_event() {
        let none = BTreeSet::new();
        assert!(!names(&shown("AE", true, &none)).contains("sessions_created_total"));
        let proven = BTreeSet::from([Class::New]);
        assert!(names(&shown("AE", true, &proven)).contains("sessions_created_total"));
        assert!(!names(&shown("xE", true, &proven)).contains("sessions_created_total"));
    }

    #[test]
    fn a_pass_whose_beginning_is_not_known_has_no_interval() {
        let mut tracker = Tracker::new(1);
        let found = BTreeMap::from([(None, crate::sessions::figures::Estimate::exact(3.0))]);
        tracker.pass_ended(&crate::sessions::tracker::Found::whole(found));
        let trackers = BTreeMap::from([("web".to_owned(), tracker)]);
        let samples = of_counts(&[store()], &trackers);
        assert_eq!(samples.number_with("sessions_active", &["web"]), Some(3.0));
        assert_eq!(names(&samples), BTreeSet::from(["sessions_active"]));
    }
}
