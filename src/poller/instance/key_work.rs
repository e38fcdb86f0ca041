//! The instance's side of key work: when its collectors look at keys, and what becomes of what they find.

use super::Instance;
use super::actors::PANICKED;
use crate::config::InstanceConfig;
use crate::keys::{self, KeyFindings};
use crate::poller::publish;
use crate::poller::scan::{KeyEnd, ScanFailure};
use crate::redis::Unavailable;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What was said in the log about key work: the collector, what it misses, and why.
pub(super) type Reported = BTreeSet<(&'static str, String, Unavailable)>;

/// The database of keys that may not be read: tasks name them by the collector, the database, and which they are. Commands have no spaces.
fn database_of(what: &str) -> Option<&str> {
    what.split(' ').nth(1)
}

impl Instance {
    /// Notes that a pass over keys begins. Before the first one has ended nothing else shows that there will be figures.
    pub(super) fn on_key_work_start(&mut self) {
        let running = keys::collectors(&self.config);
        let is_first = !running.iter().any(|name| self.collector_states.contains_key(name));
        if is_first && !std::mem::replace(&mut self.details.first_key_pass, true) {
            let collectors: Vec<&str> = running.into_iter().collect();
            tracing::info!(
                instance = %self.name, collectors = %collectors.join(", "),
                "the first pass over the keys is under way; figures of these collectors come when it has ended"
            );
        }
    }

    /// Whether a pass has keys to look at here and now. With `keys_at_replicas_only` a primary is left alone, unless a replica may be
    /// scanned in its place, which the pass finds out.
    pub(super) fn looks_at_keys(&self) -> bool {
        let is_primary = self.is_replica != Some(true);
        let leaves_alone = self.config.optional.compatibility.keys_at_replicas_only;
        let has_work = !keys::collectors(&self.config).is_empty();
        has_work && self.has_sessions() && !(leaves_alone && is_primary && self.config.scan_from.is_empty())
    }

    /// Warns of what becomes visible to everybody who may scrape: names of keys, and values.
    pub(super) fn tell_of_key_work(&self) {
        let name = &self.name;
        let running = keys::collectors(&self.config);
        if running.contains(keys::check_keys::COLLECTOR) {
            let patterns = self.config.optional.keys.patterns.len();
            tracing::warn!(
                instance = %name, patterns,
                "check_keys is on: the names of the keys that it finds become label values, which may be session ids; whoever may read /metrics may read them"
            );
        }
        let single = self.config.optional.keys.single.iter();
        let exported = single.filter(|key| key.export_value).count();
        if running.contains(keys::single_keys::COLLECTOR) && exported > 0 {
            tracing::warn!(
                instance = %name, keys = exported,
                "check_single_keys exports the values of keys; whoever may read /metrics may read them"
            );
        }
    }

    /// Takes what a pass found for the collectors that look at keys. `is_failure_counted` says that sessions have failed in the same pass:
    /// one failure is not counted twice.
    pub(super) fn on_key_work_end(&mut self, end: KeyEnd, mut is_failure_counted: bool) {
        let duration = end.duration;
        self.details.first_key_pass = false;
        // Where the server became a primary that is to be left alone, nothing is shown any more.
        let gone = keys::collectors(&self.config).into_iter();
        let gone: Vec<_> = gone.filter(|name| !end.collectors.contains_key(name)).collect();
        gone.into_iter().for_each(|name| self.withdraw_collector(name));
        let mut missing = Reported::new();
        let mut works = true;
        let is_for_keys = !end.collectors.is_empty();
        for (collector, result) in end.collectors {
            match result {
                Ok(findings) => {
                    let found = findings.missing.iter();
                    missing.extend(found.map(|(what, reason)| (collector, what.clone(), *reason)));
                    self.on_key_findings(collector, findings, duration);
                }
                Err(failure) => {
                    works = false;
                    self.on_key_failure(collector, failure, duration, &mut is_failure_counted);
                }
            }
        }
        self.note_missing_for_keys(missing);
        self.scans.key_work_succeeded = works;
        if works && is_for_keys && !self.scans() {
            self.last_success.insert("scan", SystemTime::now());
        }
    }

    fn on_key_findings(&mut self, collector: &'static str, findings: KeyFindings, duration: Duration) {
        let lifetime = self.config.poll.scan_stale_after(duration);
        let left_out = findings.dropped.saturating_add(findings.samples.dropped());
        self.accumulators.dropped.label_values += left_out;
        self.note_limit(collector, left_out);
        self.note_collector(collector, Ok(()), duration);
        if let (Some(state), Some((_, reason))) = (self.collector_states.get_mut(collector), findings.missing.first()) {
            state.unavailable = Some(*reason);
        }
        self.show(collector, publish::VALUES, findings.samples, Some(lifetime));
    }

    fn on_key_failure(
        &mut self,
        collector: &'static str,
        failure: ScanFailure,
        duration: Duration,
        is_failure_counted: &mut bool,
    ) {
        let is_denied = failure.is_denied();
        // A denied command is no failed exchange, and a replica says nothing about the instance.
        if !is_denied && !failure.at_replica && !std::mem::replace(is_failure_counted, true) {
            self.accumulators.connect_failures += u64::from(failure.at_connect);
            self.accumulators.errors.add(failure.error.reason);
            self.publish_ping();
        }
        self.note_collector(collector, Err(failure.error.message), duration);
        if is_denied {
            self.withdraw_section(collector);
            if let Some(state) = self.collector_states.get_mut(collector) {
                state.unavailable = Some(Unavailable::Denied);
            }
        }
    }

    /// Says what is missing, once until it changes.
    fn note_missing_for_keys(&mut self, missing: Reported) {
        let mut said = BTreeSet::new();
        for (collector, what, reason) in missing.difference(&self.scans.reported_keys) {
            let reason = reason.as_label();
            if let Some(database) = database_of(what) {
                // Several keys or patterns of one database are one line, since none of them may be named.
                if !said.insert((collector, database, reason)) {
                    continue;
                }
                tracing::warn!(
                    instance = %self.name, collector, db = %format_args!("db{database}"), reason,
                    "keys of the configuration may not be read; they are absent, and `check` names what mends it"
                );
            } else {
                let command = what.replace('|', " ").to_uppercase();
                tracing::warn!(
                    instance = %self.name, collector, %command, reason,
                    "a command about keys is not to be had; what needs it is absent, and `check` names what mends it"
                );
            }
        }
        self.scans.reported_keys = missing;
    }

    /// A pass that looked at keys ended without a report.
    pub(super) fn on_key_work_panicked(&mut self) {
        self.details.first_key_pass = false;
        for collector in keys::collectors(&self.config) {
            self.note_collector(collector, Err(PANICKED.to_owned()), Duration::ZERO);
        }
        self.scans.key_work_succeeded = false;
    }

    /// Whether the last pass found out everything that was asked about keys, where something was.
    pub(super) fn has_done_key_work(&self) -> bool {
        !self.looks_at_keys() || self.scans.key_work_succeeded
    }

    /// Takes a changed configuration: what was found about other keys than those asked for now goes, and a new pass begins.
    pub(super) fn on_key_work_reconfigured(&mut self, old: &InstanceConfig, same_server: bool) {
        let new = self.config.clone();
        let work = |config: &InstanceConfig| {
            let optional = config.optional.clone();
            let places = config.checked_keys;
            (optional.keys, optional.key_groups, optional.streams, places)
        };
        let (before, after) = (keys::collectors(old), keys::collectors(&new));
        let is_same = (work(old), &before) == (work(&new), &after)
            && old.optional.compatibility.keys_at_replicas_only == new.optional.compatibility.keys_at_replicas_only;
        self.details.limits_reached.clear();
        if is_same && same_server {
            return;
        }
        for collector in before.union(&after) {
            self.withdraw_collector(collector);
        }
        self.scans.reported_keys.clear();
        self.scans.key_work_succeeded = false;
        self.scans.forget_key_work();
        if !is_same {
            self.give_up_scan();
            self.tell_of_key_work();
        }
        if !after.is_empty() {
            self.scan.hasten(Instant::now());
        }
    }

    /// Takes everything about keys away: there is nothing to look at, or it is to be left alone.
    pub(super) fn withdraw_key_work(&mut self) {
        self.details.first_key_pass = false;
        for collector in keys::collectors(&self.config) {
            self.withdraw_collector(collector);
        }
    }

    /// Takes a collector's values away, and what is remembered of its turns.
    fn withdraw_collector(&mut self, collector: &'static str) {
        self.withdraw_section(collector);
        self.collector_states.remove(collector);
    }

    fn withdraw_section(&mut self, collector: &'static str) {
        self.sections.retain(|key, _| key.collector != collector);
    }
}
