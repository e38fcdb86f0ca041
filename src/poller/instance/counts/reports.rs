//! What the reports of the listener mean, and what INFO and CONFIG GET say beside them.

use super::super::Instance;
use super::listening::{Comparison, Phase};
use crate::collectors::CollectError;
use crate::poller::events::{self, End, EventsReport, Totals};
use crate::poller::task::AbortOnDrop;
use crate::redis::info::flushes;
use crate::redis::{Info, Reply};
use crate::sessions::loss::{Finding, GapReason};
use crate::sessions::notifications::{Class, Known, Setting};
use std::time::Duration;
use tokio::time::Instant;

impl Instance {
    /// Takes a report of the listener.
    pub(super) fn on_events(&mut self, report: EventsReport) {
        if report.number != self.counts.listening.number {
            return;
        }
        if let Some(began) = report.listening {
            self.on_listening(began);
        }
        self.counts.listening.prove(&report.received);
        let received = self.accumulators.events.received.iter_mut();
        for (known, new) in received.zip(report.received) {
            *known += new;
        }
        self.accumulators.dropped.label_values += report.deltas.dropped_apps;
        self.accumulators.events.keys_created += report.deltas.keys_created;
        self.follow_events();
        for (index, delta) in &report.deltas.stores {
            let Some(store) = self.stores.get(*index) else { continue };
            let counts = &mut self.accumulators.events;
            counts.stores.entry(store.name.clone()).or_default().add(delta);
            if let Some(tracker) = self.counts.trackers.get_mut(&store.name) {
                for (app, moves) in &delta.moves {
                    tracker.moved(app, moves.arrived, moves.left);
                }
            }
        }
        self.counts.ttls.add(report.sampled);
        if let Some((check, totals)) = report.checked {
            self.on_check(check, totals);
        }
        if let Some(end) = report.ended {
            self.on_listening_ended(end);
        }
        self.show_counts();
        self.show_events();
    }

    fn on_listening(&mut self, began: events::Listening) {
        let now = Instant::now();
        let listening = &mut self.counts.listening;
        listening.phase = Phase::Heard;
        listening.trouble.clear();
        listening.take_setting(began.setting);
        listening.hears_all = began.hears_all;
        if !began.hears_all && listening.others_refused_at.is_none() {
            listening.others_refused_at = Some(now);
        }
        listening.forget_comparison();
        self.note_collector("events", Ok(()), began.took);
        let setting = self.counts.listening.setting.as_ref().map(Setting::as_str);
        tracing::info!(instance = %self.name, setting, "keyspace notifications are listened to");
        self.tell_of_missing_classes();
    }

    fn on_listening_ended(&mut self, end: End) {
        let was_heard = self.counts.listening.phase == Phase::Heard;
        let was_begun = matches!(self.counts.listening.phase, Phase::Heard | Phase::Lost);
        match end {
            End::Off(setting) => {
                self.counts.listening.take_setting(Some(setting));
                self.counts.listening.end(Phase::Off);
                self.gap_if(was_begun, GapReason::Config);
                self.collector_states.remove("events");
                self.tell_of_missing_classes();
            }
            End::Refused(reason, code) => {
                let listening = &mut self.counts.listening;
                listening.end(Phase::Refused);
                listening.refused_at = Some(Instant::now());
                let command = "subscribe".to_owned();
                listening.trouble = CollectError::Unavailable { command, reason }.to_string();
                let trouble = format!(
                    "SUBSCRIBE was refused with {code}; grant `+subscribe &__keyevent@*__:*` to the user, or set `events: off` at the stores"
                );
                self.gap_if(was_begun, GapReason::Disconnect);
                self.note_refused_events(reason, &trouble);
            }
            End::Failed { error, at_connect } => {
                let listening = &mut self.counts.listening;
                listening.end(if was_begun { Phase::Lost } else { Phase::Beginning });
                listening.trouble = error.message.clone();
                self.accumulators.connect_failures += u64::from(at_connect);
                self.accumulators.errors.add(error.reason);
                self.gap_if(was_heard, GapReason::Disconnect);
                self.note_collector("events", Err(error.message), Duration::ZERO);
                self.publish_ping();
            }
        }
        self.follow_events();
        self.stop_waiting_for_checks();
    }

    /// Nobody answers checks any more: what waits for one goes on without.
    pub(super) fn stop_waiting_for_checks(&mut self) {
        if self.counts.beginning_pass.is_some() {
            self.begin_pass();
        }
        self.take_ended_pass();
    }

    /// Counts a gap, if there is one, and has the keys counted anew.
    pub(super) fn gap_if(&mut self, is_gap: bool, reason: GapReason) {
        if !is_gap {
            return;
        }
        if reason == GapReason::Flush {
            tracing::info!(instance = %self.name, "databases were flushed or swapped, of which no event tells; the keys are counted anew");
        }
        let gaps = self.accumulators.events.gaps.iter_mut().zip(GapReason::ALL);
        for (count, known) in gaps {
            *count += u64::from(known == reason);
        }
        for tracker in self.counts.trackers.values_mut() {
            tracker.gap();
        }
        if self.counts.listening.tells_counts() {
            self.hasten_pass();
        }
    }

    /// Looks at what INFO and CONFIG GET say about notifications. `heard` is what had come when INFO was asked for.
    pub(in crate::poller::instance) fn note_notifications(
        &mut self,
        info: Option<&Info>,
        setting: Option<&Reply>,
        heard: Option<Totals>,
    ) {
        self.listen_or_not();
        if self.counts.listening.phase == Phase::Unwanted {
            return;
        }
        if let Some(setting) = setting.and_then(events::setting_of) {
            self.note_setting(setting);
        }
        if let Some(info) = info {
            self.note_flushes(info);
            self.begin_comparison(info, heard);
        }
        let listening = &self.counts.listening;
        let has_panicked =
            listening.task.as_ref().is_some_and(AbortOnDrop::is_finished) && listening.reports.1.is_empty();
        if has_panicked {
            let was_heard = listening.phase == Phase::Heard;
            self.counts.listening.end(Phase::Lost);
            self.gap_if(was_heard, GapReason::Disconnect);
            self.note_collector("events", Err(super::super::actors::PANICKED.to_owned()), Duration::ZERO);
        }
        self.follow_events();
        if self.counts.listening.phase != Phase::Heard {
            self.stop_waiting_for_checks();
        }
        self.show_counts();
        self.show_events();
    }

    fn note_setting(&mut self, setting: Setting) {
        let listening = &mut self.counts.listening;
        if listening.setting.as_ref() == Some(&setting) {
            // Said already, unless nobody has said anything yet.
            if listening.phase != Phase::Beginning || setting.is_useful() {
                return;
            }
        }
        let was_known = listening.setting.is_some();
        let was_heard = listening.phase == Phase::Heard;
        let was_begun = matches!(listening.phase, Phase::Heard | Phase::Lost);
        let is_useful = setting.is_useful();
        listening.take_setting(Some(setting));
        if !is_useful {
            listening.end(Phase::Off);
            self.collector_states.remove("events");
            self.gap_if(was_begun, GapReason::Config);
        } else if listening.phase == Phase::Off {
            listening.phase = Phase::Beginning;
            listening.next_attempt = Instant::now();
            return;
        } else {
            listening.forget_comparison();
            self.gap_if(was_heard && was_known, GapReason::Config);
        }
        self.tell_of_missing_classes();
    }

    /// A database was flushed or swapped since the last INFO: no event told of it.
    fn note_flushes(&mut self, info: &Info) {
        // Without statistics of commands, nothing is known; with them, a command that is not listed was not called.
        if info.with_prefix("cmdstat_").next().is_none() {
            self.counts.listening.flushes = None;
            return;
        }
        let now = flushes(info);
        let before = self.counts.listening.flushes.replace(now);
        // A count that fell was reset: whatever it says now happened since.
        let is_flushed = before.is_some_and(|before| now > before || (now < before && now > 0));
        let is_heard = self.counts.listening.phase == Phase::Heard;
        self.gap_if(is_flushed && is_heard, GapReason::Flush);
    }

    /// Asks for everything that was published before INFO was answered, to hold it against what INFO counts.
    fn begin_comparison(&mut self, info: &Info, heard: Option<Totals>) {
        let number = |field| info.get(field).and_then(|text| text.trim().parse::<u64>().ok());
        let listening = &mut self.counts.listening;
        let (Some(expired), Some(evicted), Some(heard_before)) =
            (number("expired_keys"), number("evicted_keys"), heard)
        else {
            return;
        };
        if !listening.hears_all || listening.phase != Phase::Heard || listening.comparison.is_some() {
            return;
        }
        listening.comparison = Some(Comparison {
            check: listening.next_check(),
            server: Totals { expired, evicted },
            heard_before,
        });
    }

    /// Everything is in that was published before this check.
    fn on_check(&mut self, check: u64, heard: Totals) {
        let listening = &mut self.counts.listening;
        if let Some(comparison) = listening.comparison.take_if(|comparison| comparison.check <= check) {
            let Comparison {
                server, heard_before, ..
            } = comparison;
            let expired = listening
                .expired
                .compare(server.expired, heard_before.expired, heard.expired);
            let evicted = listening
                .evicted
                .compare(server.evicted, heard_before.evicted, heard.evicted);
            let lost = self.judge_finding(Class::Expired, expired) + self.judge_finding(Class::Evicted, evicted);
            self.accumulators.events.lost += lost;
            self.gap_if(lost > 0, GapReason::Lagged);
        }
        let counts = &self.counts;
        if counts.beginning_pass.as_ref().is_some_and(|pass| pass.check <= check) {
            self.begin_pass();
        }
        if self.counts.ended_pass.as_ref().is_some_and(|pass| pass.check <= check) {
            self.take_ended_pass();
        }
    }

    /// How many events a finding says were lost. A class of which nothing ever came, and of which nobody knows that it is on, is off.
    fn judge_finding(&mut self, class: Class, finding: Finding) -> u64 {
        let listening = &mut self.counts.listening;
        let known = listening.classes.get(class);
        match finding {
            Finding::Nothing => 0,
            Finding::Lost(_) | Finding::Silent if known == Known::Off => 0,
            Finding::Lost(count) => count,
            Finding::Silent if known == Known::Unknown => {
                listening.classes.set(class, Known::Off);
                0
            }
            Finding::Silent if class == Class::Evicted => listening.evicted.silence_is_loss(),
            Finding::Silent => listening.expired.silence_is_loss(),
        }
    }
}
