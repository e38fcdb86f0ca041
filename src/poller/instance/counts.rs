//! Session counts between scans: what keyspace notifications add to and take from the last count, and how a new count corrects it.
//!
//! `listening` holds the listener's life, `reports` what it reports, `shown` and `samples` what is said and published about it, `ttls` the
//! TTLs of sessions that were just created.

mod listening;
mod reports;
mod samples;
mod shown;
mod ttls;

use super::Instance;
use crate::config::EventsMode;
use crate::poller::events::{EventsReport, Totals};
use crate::poller::publish;
use crate::poller::scan::ScanOutcome;
use crate::sessions::tracker::{Found, Tracker};
use crate::snapshot::details::StoreFacts;
use listening::Listening;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use ttls::Ttls;

/// A pass that ended, while events that were published before its end may still be on their way.
#[derive(Debug)]
struct EndedPass {
    /// What it found, by name of the store.
    found: BTreeMap<String, Found>,
    lifetime: Duration,
    /// The check whose answer says that they are all in.
    check: u64,
}

/// A pass that is to begin once everything is in that was published before: what comes later happened while it ran.
#[derive(Debug)]
struct BeginningPass {
    /// The check whose answer says so.
    check: u64,
    /// When it begins at the latest: a listener that never answers must not keep the keys from being counted.
    deadline: Instant,
    /// Lets the pass begin; dropping it does too.
    _gate: oneshot::Sender<()>,
}

/// What is to be done about the counts.
#[derive(Debug)]
pub(super) enum Due {
    /// The listener reports.
    Report(Box<EventsReport>),
    /// A moment has come: to begin a pass that has waited long enough, to listen again, or to ask for TTLs.
    Moment,
}

/// What is kept between scans.
#[derive(Debug)]
pub(super) struct Counts {
    trackers: BTreeMap<String, Tracker>,
    /// When the counts become too old; `None` before the first pass.
    expires_at: Option<Instant>,
    /// Sessions that are not encrypted, by store, as the last pass found them where a store is checked for it.
    unencrypted: BTreeMap<String, f64>,
    beginning_pass: Option<BeginningPass>,
    ended_pass: Option<EndedPass>,
    listening: Listening,
    ttls: Ttls,
}

impl Counts {
    /// Nothing counted yet.
    pub(super) fn new() -> Self {
        Self {
            trackers: BTreeMap::new(),
            expires_at: None,
            unencrypted: BTreeMap::new(),
            beginning_pass: None,
            ended_pass: None,
            listening: Listening::new(),
            ttls: Ttls::default(),
        }
    }

    /// Events are not listened to, whatever the configuration says: for commands that end by themselves.
    pub(super) fn never_listen(&mut self) {
        self.listening.is_forbidden = true;
    }

    /// Waits until something about the counts is to be done. May be dropped while it waits without losing anything.
    pub(super) async fn due(&mut self) -> Due {
        let begins = self.beginning_pass.as_ref().map(|pass| pass.deadline);
        let moments = [begins, self.listening.next_attempt(), self.ttls.due()];
        let moment = moments.into_iter().flatten().min();
        let wait = async {
            match moment {
                Some(moment) => tokio::time::sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(report) = self.listening.reports.1.recv() => Due::Report(Box::new(report)),
            () = wait => Due::Moment,
        }
    }

    /// Events `expired` and `evicted` that have come so far; `None` while nobody listens.
    pub(super) fn heard(&self) -> Option<Totals> {
        self.listening.heard()
    }
}

impl Instance {
    /// Other stores are counted now: the configuration changed, or a library was recognised.
    pub(super) fn on_stores_changed(&mut self) {
        let stores = self.stores.clone();
        let is_known = |name: &String| stores.iter().any(|store| store.name == *name);
        self.accumulators.events.stores.retain(|name, _| is_known(name));
        for store in stores.iter() {
            if let Some(events) = self.accumulators.events.stores.get_mut(&store.name) {
                // A source that the configuration does not name any more takes its series along.
                let sources = store.all_sources();
                events.created.retain(|source, _| sources.contains(&**source));
            }
        }
        // The indexes of what waits are those of the old stores.
        self.counts.ttls.clear();
        self.forget_counts();
        self.listen_or_not();
    }

    /// What was counted is about other keys than those asked for now.
    pub(super) fn forget_counts(&mut self) {
        self.counts.trackers.clear();
        self.counts.beginning_pass = None;
        self.counts.ended_pass = None;
        self.counts.expires_at = None;
        self.follow_events();
    }

    /// A pass over the keys is to begin as soon as the receiver yields anything, an error included, which is after `poll.timeout` at the
    /// latest; at once without one.
    pub(super) fn note_pass_started(&mut self) -> Option<oneshot::Receiver<()>> {
        // The pass before waits for events no longer: what this one sees is newer.
        self.take_ended_pass();
        self.follow_events();
        let Some(check) = self.counts.listening.ask_for_check() else {
            self.begin_pass();
            return None;
        };
        let (gate, opened) = oneshot::channel();
        self.counts.beginning_pass = Some(BeginningPass {
            check,
            deadline: Instant::now() + self.config.poll.timeout,
            _gate: gate,
        });
        Some(opened)
    }

    /// Begins a pass whose check was not answered in time. Events from before it that come later count as if they happened while it ran,
    /// which makes its figures less sure, never wrong.
    fn begin_overdue_pass(&mut self) {
        let now = Instant::now();
        if self
            .counts
            .beginning_pass
            .as_ref()
            .is_some_and(|pass| now >= pass.deadline)
        {
            self.begin_pass();
        }
    }

    /// The pass begins now.
    fn begin_pass(&mut self) {
        for tracker in self.counts.trackers.values_mut() {
            tracker.pass_started();
        }
        self.counts.beginning_pass = None;
    }

    /// A pass ended well. Its counts stay visible for `lifetime`.
    pub(super) fn note_counts(&mut self, outcome: &ScanOutcome, lifetime: Duration) {
        let found = outcome.stores.iter().filter_map(|(index, figures)| {
            let store = self.stores.get(*index)?;
            let databases = outcome.databases.iter();
            let own = databases.filter(|database| store.databases.contains(&database.database));
            let found = Found {
                active: figures.active.clone(),
                covered: own.clone().map(|database| database.covered).fold(1.0, f64::min),
                undeleted: own.map(|database| database.undeleted).sum(),
                at_replica: outcome.at_replica,
            };
            Some((store.name.clone(), found))
        });
        let found = found.collect();
        let unencrypted = outcome.stores.iter().filter_map(|(index, figures)| {
            let store = self.stores.get(*index)?;
            Some((store.name.clone(), figures.unencrypted?.value))
        });
        self.counts.unencrypted = unencrypted.collect();
        let check = self.counts.listening.ask_for_check();
        self.counts.ended_pass = Some(EndedPass {
            found,
            lifetime,
            check: check.unwrap_or_default(),
        });
        if check.is_none() {
            self.take_ended_pass();
        }
    }

    /// Holds what the last pass found against what events made of the counts.
    fn take_ended_pass(&mut self) {
        let Some(pass) = self.counts.ended_pass.take() else {
            return;
        };
        let mut wants_another = false;
        for (store, found) in &pass.found {
            let limit = self.config.label_values;
            let tracker = self
                .counts
                .trackers
                .entry(store.clone())
                .or_insert_with(|| Tracker::new(limit));
            wants_another |= tracker.pass_ended(found);
        }
        let now = Instant::now();
        self.counts.expires_at = now.checked_add(pass.lifetime);
        if wants_another {
            self.hasten_pass();
        }
        self.show_counts();
    }

    /// Publishes the counts as they are, for as long as those of the last pass live.
    fn show_counts(&mut self) {
        let now = Instant::now();
        let Some(expires_at) = self.counts.expires_at.filter(|expires_at| now < *expires_at) else {
            return;
        };
        let trackers = &self.counts.trackers;
        let samples = samples::of_counts(&self.stores, trackers);
        self.show("sessions", publish::ACTIVE, samples, Some(expires_at - now));
        let facts = self.stores.iter().filter_map(|store| {
            let active = self.counts.trackers.get(&store.name)?.total()?;
            Some(StoreFacts {
                name: store.name.clone(),
                active: active.round() as u64,
                unencrypted: self.counts.unencrypted.get(&store.name).copied(),
                expires_at: expires_at.into_std(),
            })
        });
        self.details.sessions = facts.collect();
    }

    /// Makes the trackers follow events where these tell everything, and lets go of those that follow nothing any more.
    fn follow_events(&mut self) {
        let follows = self.counts.listening.tells_counts();
        let is_broken = self.counts.listening.is_broken();
        let limit = self.config.label_values;
        let mut began = false;
        for store in self.stores.iter() {
            let tracker = self
                .counts
                .trackers
                .entry(store.name.clone())
                .or_insert_with(|| Tracker::new(limit));
            if follows && store.events != EventsMode::Off {
                began |= !tracker.is_live();
                tracker.go_live();
            } else if tracker.is_live() {
                if is_broken {
                    tracker.go_deaf();
                } else {
                    tracker.fall_back();
                }
            }
        }
        if began {
            // A count to start from, taken while events are heard.
            self.hasten_pass();
        }
    }

    /// Has the keys counted at once, unless a pass for sessions is under way: it asks for another one itself when it ends.
    fn hasten_pass(&mut self) {
        let is_running = self.scan_task.as_ref().is_some_and(|task| !task.is_finished());
        let is_under_way = is_running && !self.scans.has_told_sessions();
        if self.scans() && !is_under_way {
            self.scan.hasten(Instant::now());
        }
    }

    /// Does what [`Counts::due`] waited for.
    pub(super) async fn on_counts_due(&mut self, due: Due) {
        match due {
            Due::Report(report) => self.on_events(*report),
            Due::Moment => {
                self.begin_overdue_pass();
                self.listen_again();
                self.ask_for_ttls().await;
            }
        }
    }
}
