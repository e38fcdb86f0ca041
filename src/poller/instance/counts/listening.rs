//! The listener's life: whether one is wanted, and when it is made again. `reports` holds what its reports mean, `shown` what is said
//! about it.

use super::super::Instance;
use crate::collectors;
use crate::config::{EventsMode, StoreConfig};
use crate::poller::events::{self, EventsReport, Heard, Plan, Totals};
use crate::poller::task::AbortOnDrop;
use crate::redis::CAPABILITY_LIFETIME;
use crate::sessions::loss::{GapReason, Ledger};
use crate::sessions::notifications::{Class, Classes, EventKind, Known, Setting};
use crate::sessions::stores::Store;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Reports that wait for the instance. One: the listener counts on while it waits.
const WAITING_REPORTS: usize = 1;

/// How far listening has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody wants events, or nobody knows yet whether there are any.
    Unwanted,
    /// The server does not publish them.
    Off,
    /// The user may not listen.
    Refused,
    /// The first connection is to be made.
    Beginning,
    /// They are heard.
    Heard,
    /// They were heard, and the connection is to be made again.
    Lost,
}

/// A comparison that waits until everything is in that was published before the server counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison {
    pub(super) check: u64,
    pub(super) server: Totals,
    pub(super) heard_before: Totals,
}

/// Everything that a listener is made of but the server: when it changes, another one is made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    stores: Arc<[StoreConfig]>,
    reserved_prefix: String,
    app_limit: usize,
    timeout: Duration,
    keepalive: Duration,
}

/// What is kept about listening.
#[derive(Debug)]
pub(super) struct Listening {
    /// Whether nobody may listen, see [`super::Counts::never_listen`].
    pub(super) is_forbidden: bool,
    /// Reports of the listener.
    pub(super) reports: (mpsc::Sender<EventsReport>, mpsc::Receiver<EventsReport>),
    pub(super) phase: Phase,
    pub(super) task: Option<AbortOnDrop>,
    pub(super) shape: Option<Shape>,
    /// Number of the last listener.
    pub(super) number: u64,
    pub(super) heard: Arc<Heard>,
    /// Numbers of checks; the listener takes up the newest.
    pub(super) checks: watch::Sender<u64>,
    pub(super) next_attempt: Instant,
    /// `None` when it may not be read, or was not yet.
    pub(super) setting: Option<Setting>,
    pub(super) classes: Classes,
    pub(super) proven: BTreeSet<Class>,
    /// Whether expiries and evictions of every database are heard.
    pub(super) hears_all: bool,
    pub(super) expired: Ledger,
    pub(super) evicted: Ledger,
    pub(super) comparison: Option<Comparison>,
    /// Calls of commands that empty or swap a database at the last INFO.
    pub(super) flushes: Option<u64>,
    pub(super) refused_at: Option<Instant>,
    /// When listening to the databases of nobody was refused.
    pub(super) others_refused_at: Option<Instant>,
    /// Why events are not heard, in words; empty while they are, or nothing is known.
    pub(super) trouble: String,
    /// What the log was told last.
    pub(super) told: Option<String>,
}

impl Listening {
    pub(super) fn new() -> Self {
        Self {
            is_forbidden: false,
            reports: mpsc::channel(WAITING_REPORTS),
            phase: Phase::Unwanted,
            task: None,
            shape: None,
            number: 0,
            heard: Arc::default(),
            checks: watch::Sender::new(0),
            next_attempt: Instant::now(),
            setting: None,
            classes: Classes::default(),
            proven: BTreeSet::new(),
            hears_all: false,
            expired: Ledger::default(),
            evicted: Ledger::default(),
            comparison: None,
            flushes: None,
            refused_at: None,
            others_refused_at: None,
            trouble: String::new(),
            told: None,
        }
    }

    /// When a connection is to be made; `None` while there is one, or none is wanted.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        let is_due = matches!(self.phase, Phase::Beginning | Phase::Lost) && self.task.is_none();
        is_due.then_some(self.next_attempt)
    }

    /// Events that count for the comparison, so far; `None` while nobody listens.
    pub(super) fn heard(&self) -> Option<Totals> {
        (self.phase == Phase::Heard).then(|| self.heard.totals())
    }

    /// Whether counts can be kept by events at this moment.
    pub(super) fn tells_counts(&self) -> bool {
        self.phase == Phase::Heard && self.classes.tell_counts()
    }

    /// Whether only a lost connection keeps events from being heard.
    pub(super) fn is_broken(&self) -> bool {
        self.phase == Phase::Lost
    }

    /// Asks the listener to say when everything is in that was published until now; gives back the number of the check. `None` while
    /// events do not keep the counts.
    pub(super) fn ask_for_check(&self) -> Option<u64> {
        self.tells_counts().then(|| self.next_check())
    }

    pub(super) fn next_check(&self) -> u64 {
        self.checks.send_modify(|number| *number += 1);
        *self.checks.borrow()
    }

    /// Ends the listener under way, if there is one. What it still reports is not listened to.
    pub(super) fn end(&mut self, phase: Phase) {
        self.task = None;
        self.number += 1;
        // Makes room for the next one.
        while self.reports.1.try_recv().is_ok() {}
        self.phase = phase;
        self.forget_comparison();
    }

    pub(super) fn forget_comparison(&mut self) {
        self.comparison = None;
        self.expired.reset();
        self.evicted.reset();
    }

    /// Takes what the setting says about the classes. Events that come prove the rest.
    pub(super) fn take_setting(&mut self, setting: Option<Setting>) {
        if self.setting != setting {
            self.proven.clear();
        }
        self.classes = Classes::of(setting.as_ref());
        self.setting = setting;
    }

    pub(super) fn prove(&mut self, received: &[u64]) {
        for (kind, count) in EventKind::ALL.iter().zip(received) {
            let class = kind.class();
            if *count > 0 && !self.classes.is_on(class) {
                self.classes.set(class, Known::On);
                self.proven.insert(class);
                self.forget_comparison();
            }
        }
    }
}

impl Instance {
    /// Whether some store wants events and this instance is where they are to be heard.
    pub(in crate::poller::instance) fn wants_events(&self) -> bool {
        !self.counts.listening.is_forbidden
            && self.is_on("events")
            && self.is_replica != Some(true)
            && self.has_sessions()
            && self.stores.iter().any(|store| store.events != EventsMode::Off)
    }

    /// The configuration changed.
    pub(in crate::poller::instance) fn on_counts_reconfigured(&mut self, same_server: bool, same_login: bool) {
        if !same_server {
            self.counts.ttls.clear();
            self.forget_counts();
            self.counts.listening.take_setting(None);
            self.counts.listening.flushes = None;
        }
        let listening = &mut self.counts.listening;
        if !same_login && listening.phase != Phase::Unwanted {
            let phase = if listening.phase == Phase::Heard {
                Phase::Lost
            } else {
                Phase::Beginning
            };
            listening.end(phase);
            self.gap_if(phase == Phase::Lost, GapReason::Disconnect);
        }
        self.listen_or_not();
        self.show_counts();
    }

    /// Permissions may have been mended: what was refused is tried again.
    pub(in crate::poller::instance) fn forget_refused_events(&mut self) {
        let listening = &mut self.counts.listening;
        listening.refused_at = None;
        listening.others_refused_at = None;
        if listening.phase == Phase::Refused {
            listening.phase = Phase::Beginning;
        }
        self.counts.ttls.clear();
    }

    fn listener_shape(&self) -> Shape {
        Shape {
            stores: self.stores.clone(),
            reserved_prefix: self.config.session_probe.prefix.clone(),
            app_limit: self.config.label_values,
            timeout: self.config.poll.timeout,
            keepalive: self.config.poll.ping_interval,
        }
    }

    /// Begins or ends listening as the configuration and the role ask for it. A listener of another shape is replaced.
    pub(super) fn listen_or_not(&mut self) {
        if !self.wants_events() || !self.role_is_settled {
            self.stop_listening();
            return;
        }
        let shape = self.listener_shape();
        let now = Instant::now();
        let listening = &mut self.counts.listening;
        if listening.task.is_some() && listening.shape.as_ref() != Some(&shape) {
            let was_heard = listening.phase == Phase::Heard;
            listening.end(if was_heard { Phase::Lost } else { Phase::Beginning });
            listening.next_attempt = now;
            self.gap_if(was_heard, GapReason::Disconnect);
        } else if listening.phase == Phase::Unwanted
            || (listening.phase == Phase::Refused
                && listening.refused_at.is_none_or(|at| now >= at + CAPABILITY_LIFETIME))
        {
            listening.phase = Phase::Beginning;
            listening.next_attempt = now;
        }
        self.follow_events();
        if self.counts.listening.phase != Phase::Heard {
            self.stop_waiting_for_checks();
        }
        self.show_events();
    }

    /// Nobody wants events: what they showed is withdrawn, but for what accumulates.
    fn stop_listening(&mut self) {
        self.counts.listening.end(Phase::Unwanted);
        self.counts.listening.flushes = None;
        self.counts.listening.trouble.clear();
        self.collector_states.remove("events");
        self.follow_events();
        self.stop_waiting_for_checks();
        self.show_events();
    }

    /// Makes a connection, when one is due and the server is there.
    pub(super) fn listen_again(&mut self) {
        let now = Instant::now();
        let is_up = self.verdict.is_some_and(|verdict| verdict.connected);
        let Some(due) = self.counts.listening.next_attempt() else {
            return;
        };
        if now < due {
            return;
        }
        self.counts.listening.next_attempt = now + self.config.poll.ping_interval;
        // A server that does not answer PING need not be asked over another connection too.
        if !is_up {
            return;
        }
        let shape = self.listener_shape();
        let prefix = &shape.reserved_prefix;
        let wanted: Vec<_> = shape
            .stores
            .iter()
            .enumerate()
            .filter(|(_, store)| store.events != EventsMode::Off)
            .collect();
        let databases = wanted
            .iter()
            .flat_map(|(_, store)| store.databases.iter().copied())
            .collect();
        let stores = wanted
            .iter()
            .map(|(index, store)| (*index, Store::new(store, prefix)))
            .collect();
        let config_command = &self.config.optional.compatibility.config_command;
        let config_get = collectors::config::config_get(config_command);
        let config_get = config_get.filter(|command| self.capabilities.get(&command.name()).is_none());
        let listening = &mut self.counts.listening;
        if listening
            .others_refused_at
            .is_some_and(|at| now >= at + CAPABILITY_LIFETIME)
        {
            listening.others_refused_at = None;
        }
        listening.number += 1;
        listening.heard = Arc::default();
        let plan = Plan {
            connector: self.connector.clone(),
            number: listening.number,
            stores,
            databases,
            config_get,
            asks_others: listening.others_refused_at.is_none(),
            app_limit: shape.app_limit,
            timeout: shape.timeout,
            keepalive: shape.keepalive,
        };
        listening.shape = Some(shape);
        let checks = listening.checks.subscribe();
        let reports = listening.reports.0.clone();
        let heard = listening.heard.clone();
        listening.task = Some(AbortOnDrop::spawn(events::listen(plan, heard, checks, reports)));
        self.accumulators.connects += 1;
        self.publish_ping();
    }
}
