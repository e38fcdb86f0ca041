//! What is said about listening: in the log, on the status page, on `/metrics`.

use super::super::Instance;
use super::listening::Phase;
use super::samples::{self, View};
use crate::config::EventsMode;
use crate::poller::publish;
use crate::redis::Unavailable;
use crate::sessions::notifications::{Class, Known, Setting};
use crate::snapshot::details::NotificationFacts;

impl Instance {
    /// Says once that the user may not listen: loudly where the operator asked for events.
    pub(super) fn note_refused_events(&mut self, reason: Unavailable, trouble: &str) {
        let state = self.collector_states.entry("events").or_default();
        state.success = false;
        state.error = Some(self.counts.listening.trouble.clone());
        state.unavailable = Some(reason);
        self.tell(trouble, None);
    }

    /// Says once what the server does not publish, with the command that mends it: loudly where the operator asked for events.
    pub(super) fn tell_of_missing_classes(&mut self) {
        let listening = &self.counts.listening;
        let is_missing = Class::ALL
            .into_iter()
            .any(|class| listening.classes.get(class) == Known::Off);
        let command = self.mending_command();
        let Some(command) = command.filter(|_| is_missing) else {
            // When something is missing again, that is news.
            self.counts.listening.told = None;
            return;
        };
        let what = if listening.phase == Phase::Off {
            "the server publishes no keyspace notifications about sessions; what is counted with them is absent"
        } else {
            "the server publishes a part of the keyspace notifications about sessions; what needs the others is absent"
        };
        self.tell(what, Some(&command));
    }

    fn tell(&mut self, what: &str, command: Option<&str>) {
        // What is missing is in the command; whether the rest is heard yet is no news.
        let news = command.unwrap_or(what).to_owned();
        if self.counts.listening.told.as_ref() == Some(&news) {
            return;
        }
        self.counts.listening.told = Some(news);
        if self.stores.iter().any(|store| store.events == EventsMode::On) {
            tracing::warn!(instance = %self.name, command, "{what}");
        } else {
            tracing::info!(instance = %self.name, command, "{what}");
        }
    }

    /// Publishes what events showed, and that they are heard or not.
    pub(super) fn show_events(&mut self) {
        let listening = &self.counts.listening;
        let is_heard = matches!(listening.phase, Phase::Heard | Phase::Lost);
        let is_connected = listening.phase == Phase::Heard;
        let tells_creations = is_connected && listening.classes.is_on(Class::New);
        self.knowledge.keys_created = tells_creations.then_some(self.accumulators.events.keys_created);
        if listening.phase == Phase::Unwanted {
            self.sections.retain(|key, _| key.collector != "events");
            self.details.notifications = None;
            return;
        }
        let view = View {
            is_connected,
            is_heard,
            classes: &listening.classes,
            proven: &listening.proven,
        };
        let samples = samples::of_events(&self.stores, &self.accumulators.events, view);
        self.details.notifications = Some(self.notification_facts());
        self.show("events", publish::COUNTERS, samples, None);
    }

    /// The command that switches on what the server does not publish.
    fn mending_command(&self) -> Option<String> {
        // It stands on the status page.
        let config_command = self.config.optional.compatibility.shown_config_command();
        let setting: &Setting = self.counts.listening.setting.as_ref()?;
        setting.mending_command(config_command)
    }

    fn notification_facts(&self) -> NotificationFacts {
        let listening = &self.counts.listening;
        let is_connected = listening.phase == Phase::Heard;
        let is_missing = Class::ALL
            .into_iter()
            .any(|class| listening.classes.get(class) == Known::Off);
        let mending = self.mending_command();
        let mending_command = mending.filter(|_| is_missing);
        let setting = listening.setting.as_ref().map(|setting| setting.as_str().to_owned());
        let state = match listening.phase {
            Phase::Unwanted | Phase::Beginning => "keyspace notifications are not listened to yet".to_owned(),
            Phase::Off => "the server publishes no keyspace notifications about sessions".to_owned(),
            Phase::Refused => format!(
                "the server publishes keyspace notifications to others only: {}; grant `+subscribe &__keyevent@*__:*` to the user",
                listening.trouble
            ),
            Phase::Lost => format!("keyspace notifications are not heard: {}", listening.trouble),
            Phase::Heard if listening.classes.tell_counts() => {
                "keyspace notifications are listened to and keep the counts current".to_owned()
            }
            Phase::Heard if is_missing => {
                "keyspace notifications are listened to, but only a part is published".to_owned()
            }
            Phase::Heard => "keyspace notifications are listened to; what they tell shows when events come".to_owned(),
        };
        let sentence = match &mending_command {
            Some(command) => format!("{state}; `{command}` switches on what is missing"),
            None => state,
        };
        NotificationFacts {
            sentence,
            is_connected,
            tells_creations: is_connected && listening.classes.is_on(Class::New),
            tells_counts: listening.tells_counts(),
            setting,
            mending_command,
        }
    }
}
