//! What the receivers were told, and what Prometheus knew beyond that.

use crate::support::webhook::{Notification, ToldAlert};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Everything that is known about alerts so far.
#[derive(Default)]
pub(super) struct Told {
    notifications: Vec<Notification>,
    /// Name and instance of the alerts that fire in Prometheus now.
    firing: BTreeSet<(String, String)>,
    /// Name and instance of the alerts that ever fired in Prometheus.
    fired: BTreeSet<(String, String)>,
    /// When Prometheus last ended an alert.
    ended: BTreeMap<(String, String), Instant>,
    /// Receivers that are not told of the end.
    deaf_to_the_end: BTreeSet<String>,
}

/// The heartbeat, which is told on and on.
const WATCHDOG: &str = "Watchdog";

impl Told {
    pub(super) fn new(deaf_to_the_end: BTreeSet<String>) -> Self {
        Self {
            deaf_to_the_end,
            ..Self::default()
        }
    }

    /// Takes in what the webhook has got and what fires in Prometheus.
    pub(super) fn update(&mut self, notifications: Vec<Notification>, firing: Option<BTreeSet<(String, String)>>) {
        self.notifications = notifications;
        let Some(firing) = firing else { return };
        for ended in self.firing.difference(&firing) {
            self.ended.insert(ended.clone(), Instant::now());
        }
        self.fired.extend(firing.iter().cloned());
        self.firing = firing;
    }

    /// Each alert of an instance within each notification, in the order of arrival.
    fn all<'told>(&'told self, instance: &'told str) -> impl Iterator<Item = (&'told Notification, &'told ToldAlert)> {
        let alerts =
            |notification: &'told Notification| notification.alerts.iter().map(move |alert| (notification, alert));
        self.notifications
            .iter()
            .flat_map(alerts)
            .filter(move |(_, alert)| alert.label("instance") == instance)
    }

    /// The moments at which a receiver was told that an alert fires (`true`) or is resolved, without repetitions, per set of labels.
    fn turns(&self, alert: &str, receiver: &str, instance: &str) -> Vec<(Instant, bool)> {
        let mut last: BTreeMap<&str, bool> = BTreeMap::new();
        let mut turns = Vec::new();
        for (notification, told) in self.all(instance) {
            let is_it = told.label("alertname") == alert && notification.receiver == receiver;
            if is_it && last.insert(&told.fingerprint, told.firing) != Some(told.firing) {
                turns.push((notification.at, told.firing));
            }
        }
        turns
    }

    /// When a receiver was first told of an alert.
    pub(super) fn fired(&self, alert: &str, receiver: &str, instance: &str) -> Option<Instant> {
        let turns = self.turns(alert, receiver, instance);
        turns.iter().find(|(_, firing)| *firing).map(|(at, _)| *at)
    }

    /// How often a receiver was told anew that an alert fires.
    pub(super) fn times_fired(&self, alert: &str, receiver: &str, instance: &str) -> usize {
        let turns = self.turns(alert, receiver, instance);
        turns.iter().filter(|(_, firing)| *firing).count()
    }

    /// When a receiver was told that an alert is resolved; one that does not want to know: when it ended in Prometheus.
    pub(super) fn resolved(&self, alert: &str, receiver: &str, instance: &str) -> Option<Instant> {
        if self.deaf_to_the_end.contains(receiver) {
            let it = (alert.to_owned(), instance.to_owned());
            return if self.firing.contains(&it) {
                None
            } else {
                self.ended.get(&it).copied()
            };
        }
        let turns = self.turns(alert, receiver, instance);
        turns.last().filter(|(_, firing)| !*firing).map(|(at, _)| *at)
    }

    /// Names of the alerts of an instance that anybody was told of.
    pub(super) fn alerts_of(&self, instance: &str) -> BTreeSet<String> {
        self.all(instance)
            .map(|(_, alert)| alert.label("alertname").to_owned())
            .collect()
    }

    /// Instances that anybody was told of, with the alerts; without the heartbeat.
    pub(super) fn instances(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut instances: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for alert in self.notifications.iter().flat_map(|notification| &notification.alerts) {
            if alert.label("alertname") != WATCHDOG {
                let of_the_instance = instances.entry(alert.label("instance").to_owned()).or_default();
                of_the_instance.insert(alert.label("alertname").to_owned());
            }
        }
        instances
    }

    /// Alerts of an instance that fired in Prometheus and that nobody was told of.
    pub(super) fn silenced(&self, instance: &str) -> Vec<String> {
        let told = self.alerts_of(instance);
        let of_it = self
            .fired
            .iter()
            .filter(|(_, of)| of == instance)
            .map(|(alert, _)| alert.clone());
        of_it.filter(|alert| !told.contains(alert)).collect()
    }

    /// Name and instance of every alert that ever fired in Prometheus.
    pub(super) fn ever_fired(&self) -> &BTreeSet<(String, String)> {
        &self.fired
    }

    /// Notifications about an instance that told nobody anything new: every alert of it was told before, in the same state.
    pub(super) fn repeats(&self, instance: &str) -> usize {
        let mut last: BTreeMap<(&str, &str, &str), bool> = BTreeMap::new();
        let mut repeats = 0;
        for notification in &self.notifications {
            let of_it: Vec<&ToldAlert> = notification
                .alerts
                .iter()
                .filter(|alert| alert.label("instance") == instance)
                .collect();
            let mut new = of_it.is_empty();
            for alert in of_it {
                let key = (
                    notification.receiver.as_str(),
                    notification.group.as_str(),
                    alert.fingerprint.as_str(),
                );
                new |= last.insert(key, alert.firing) != Some(alert.firing);
            }
            repeats += usize::from(!new);
        }
        repeats
    }

    /// How often the heartbeat came, and to whom.
    pub(super) fn heartbeats(&self) -> BTreeMap<String, usize> {
        let mut beats = BTreeMap::new();
        for notification in &self.notifications {
            if notification
                .alerts
                .iter()
                .any(|alert| alert.label("alertname") == WATCHDOG)
            {
                *beats.entry(notification.receiver.clone()).or_default() += 1;
            }
        }
        beats
    }

    /// What is wrong with the texts of alerts: templates that found no value, pages that are not those of the alert.
    pub(super) fn faulty_texts(&self) -> BTreeSet<String> {
        const FAULTY: [&str; 6] = ["<no value>", "<error", "NaN", "+Inf", "%!", "$labels"];
        let mut faulty = BTreeSet::new();
        for alert in self.notifications.iter().flat_map(|notification| &notification.alerts) {
            let name = alert.label("alertname");
            for (annotation, text) in &alert.annotations {
                if text.is_empty() || FAULTY.iter().any(|mark| text.contains(mark)) {
                    faulty.insert(format!("{name}: {annotation}: {text}"));
                }
            }
            let runbook = alert.annotations.get("runbook_url").map_or("", String::as_str);
            if !runbook.ends_with(&format!("/{name}")) {
                faulty.insert(format!("{name}: the runbook is {runbook}"));
            }
        }
        faulty
    }
}
