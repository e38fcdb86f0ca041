//! The listener to keyspace notifications: one connection, read as fast as it goes, counted into state of bounded size.
//!
//! It reports to its instance a few times per second, and never waits for it: what cannot be delivered yet is counted on with what comes.
//! It ends with its connection; the instance decides whether and when another one is made. Dropping its task closes the connection.

use crate::collectors;
use crate::config::types::Address;
use crate::redis::{Command, Connection, Connector, Message, RedisError, Reply, Subscriber, unavailability};
use crate::redis::{Reason, Unavailable, sanitised_code};
use crate::sessions::events::{Created, Deltas, Interpreter};
use crate::sessions::notifications::{EventKind, Setting, channel, parse_channel};
use crate::sessions::stores::Store;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Shortest time between two reports: `sessions_active` is to be current to the second, and each report renders a few samples.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// When nothing has followed a new key for so long, the server is asked to answer behind whatever belongs to it. Silence alone proves
/// nothing: a server that has much to publish writes 64 KiB at a time, and the events of one RENAME may be cut in two with any pause
/// between them. A quiet moment spares a PING per key while one follows the other.
const QUIET: Duration = Duration::from_millis(50);

/// Most sessions per second whose TTL is asked for; part of the contract.
const SAMPLED_PER_SECOND: usize = 50;

/// The time for which [`SAMPLED_PER_SECOND`] counts.
const SAMPLING_WINDOW: Duration = Duration::from_secs(1);

/// Most created sessions that wait in one report. Two seconds' worth: when the instance is busy for longer, later ones are left out.
const MAX_CREATED: usize = 2 * SAMPLED_PER_SECOND;

/// Databases whose expiries and evictions are listened to where nobody says how many there are: the default of `databases`.
const USUAL_DATABASES: u32 = 16;

/// Most databases that are listened to in full, for the comparison with the server's counters. With more, which only a few servers
/// have, the comparison is left out; each database costs two channels.
const MAX_DATABASES: u32 = 256;

/// Deadlines after which an unanswered PING ends the connection although messages still come. What was published before a PING comes
/// before its answer, and a busy server may hold a few MiB of that for us; but one that only publishes and never answers would keep
/// whatever waits for the answer waiting for ever.
const PING_DEADLINES: u32 = 5;

/// Payload of a PING that only asks whether the peer is there.
const KEEPALIVE: &str = "keepalive";

/// Payload of a PING whose answer proves that nothing belongs to a new key: the events of one command come without a break, so that the
/// answer is behind all of them or before the first.
const SETTLE: &str = "settle";

/// What of the server's setting explains what comes. `None` where CONFIG may not be asked ([`collectors::config::config_get`]).
pub fn setting_command(config_command: &str) -> Option<Command> {
    Some(collectors::config::config_get(config_command)?.arg("notify-keyspace-events"))
}

/// The setting in the answer to [`setting_command`]; `None` when it is no such answer, or the server has no such setting.
pub fn setting_of(reply: &Reply) -> Option<Setting> {
    // The only parameter asked for; Dragonfly writes its name in another way.
    Setting::parse(reply.as_array()?.get(1)?.as_text()?)
}

/// Events that count for the comparison with the server's counters, since the subscription, over all databases. The instance reads them
/// while the listener counts.
#[derive(Debug, Default)]
pub struct Heard {
    expired: AtomicU64,
    evicted: AtomicU64,
}

impl Heard {
    /// Events `expired` and `evicted` so far.
    pub fn totals(&self) -> Totals {
        Totals {
            expired: self.expired.load(Ordering::Acquire),
            evicted: self.evicted.load(Ordering::Acquire),
        }
    }
}

/// Events, or keys, that expired and that were evicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Expired.
    pub expired: u64,
    /// Evicted.
    pub evicted: u64,
}

/// What to listen to, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where.
    pub connector: Connector,
    /// Number of this listener, so that a report of an earlier one is known as such.
    pub number: u64,
    /// The stores that want events, each with its index among the instance's.
    pub stores: Arc<[(usize, Store)]>,
    /// The databases of these stores.
    pub databases: BTreeSet<u32>,
    /// CONFIG GET without its parameters; `None` when it is not worth asking.
    pub config_get: Option<Command>,
    /// Whether to listen to the expiries and evictions of other databases too.
    pub asks_others: bool,
    /// Most values of `app` per store and report.
    pub app_limit: usize,
    /// Deadline of everything that is waited for.
    pub timeout: Duration,
    /// Silence after which the peer is asked whether it is there.
    pub keepalive: Duration,
}

/// What the listener learned when its subscription came into effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The setting; `None` when it may not be read.
    pub setting: Option<Setting>,
    /// Whether the expiries and evictions of every database are heard.
    pub hears_all: bool,
    /// How long it took to connect and subscribe.
    pub took: Duration,
}

/// How listening ended.
#[derive(Debug, Clone)]
pub enum End {
    /// The server publishes nothing that is wanted.
    Off(Setting),
    /// The server refused SUBSCRIBE; the text is the code of its answer.
    Refused(Unavailable, String),
    /// The connect or the connection failed.
    Failed {
        /// Why.
        error: RedisError,
        /// Whether no connection had come about.
        at_connect: bool,
    },
}

/// A created session whose TTL is to be asked for.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// The session.
    pub created: Created,
    /// When it was heard of.
    pub at: Instant,
}

/// What happened since the last report that was delivered.
#[derive(Debug, Default)]
pub struct EventsReport {
    /// Number of the listener.
    pub number: u64,
    /// The subscription has come into effect.
    pub listening: Option<Listening>,
    /// What became of sessions.
    pub deltas: Deltas,
    /// Events by kind, in the order of [`EventKind::ALL`].
    pub received: [u64; EventKind::ALL.len()],
    /// Some of the sessions that were created.
    pub sampled: Vec<Sampled>,
    /// The newest check that was answered, with what had come until then: all that was published before it was asked for.
    pub checked: Option<(u64, Totals)>,
    /// Listening has ended; there is no further report.
    pub ended: Option<End>,
}

impl EventsReport {
    fn is_empty(&self) -> bool {
        self.listening.is_none()
            && self.checked.is_none()
            && self.received.iter().all(|count| *count == 0)
            && self.deltas == Deltas::default()
    }
}

/// Listens until the connection ends. `checks` yields numbers; each is answered in a report once everything is in that was published before
/// it was taken up.
pub async fn listen(plan: Plan, heard: Arc<Heard>, checks: watch::Receiver<u64>, reports: mpsc::Sender<EventsReport>) {
    let mut listener = Listener::new(plan, heard, reports);
    let end = listener.run(checks).await;
    listener.settle();
    listener.report.ended = Some(end);
    let last = std::mem::take(&mut listener.report);
    // The receiver is gone only when the instance is.
    let _ = listener.reports.send(last).await;
}

struct Listener {
    plan: Plan,
    heard: Arc<Heard>,
    reports: mpsc::Sender<EventsReport>,
    interpreter: Interpreter,
    report: EventsReport,
    started: Instant,
    setting: Option<Setting>,
    /// Answers to SUBSCRIBE: for the databases of the stores, and for the others.
    answers: Vec<Result<(), Reply>>,
    /// How many answers are due.
    subscriptions: usize,
    knows_databases: bool,
    /// When something came last.
    last_bytes: Instant,
    /// When the last PING was sent that is not answered yet.
    pinged: Option<Instant>,
    next_report: Instant,
    is_urgent: bool,
    window: (Instant, usize),
}

impl Listener {
    fn new(plan: Plan, heard: Arc<Heard>, reports: mpsc::Sender<EventsReport>) -> Self {
        let now = Instant::now();
        Self {
            interpreter: Interpreter::new(plan.stores.clone(), plan.app_limit),
            report: EventsReport {
                number: plan.number,
                ..EventsReport::default()
            },
            plan,
            heard,
            reports,
            started: now,
            setting: None,
            answers: Vec::new(),
            subscriptions: 0,
            knows_databases: true,
            last_bytes: now,
            pinged: None,
            next_report: now,
            is_urgent: false,
            window: (now, 0),
        }
    }

    async fn run(&mut self, mut checks: watch::Receiver<u64>) -> End {
        let deadline = self.started + self.plan.timeout;
        let mut connection = match self.plan.connector.connect(deadline).await {
            Ok((connection, _)) => connection,
            Err((_, error)) => {
                return End::Failed {
                    error,
                    at_connect: true,
                };
            }
        };
        let others = match self.look_around(&mut connection, deadline).await {
            Ok(others) => others,
            Err(end) => return end,
        };
        let failed = |error| End::Failed {
            error,
            at_connect: false,
        };
        let mut subscriber = match Subscriber::new(connection) {
            Ok(subscriber) => subscriber,
            Err(error) => return failed(error),
        };
        let channels = [store_channels(&self.plan.databases), other_channels(&others)];
        for channels in &channels {
            if channels.is_empty() {
                continue;
            }
            if let Err(error) = subscriber.subscribe(channels, deadline).await {
                return failed(error);
            }
            self.subscriptions += 1;
        }
        self.last_bytes = Instant::now();
        loop {
            let step = self.step(&mut subscriber, &mut checks).await;
            if let Some(end) = step {
                return end;
            }
        }
    }

    /// Asks for the setting and the number of databases; gives back the databases to listen to beside those of the stores.
    async fn look_around(&mut self, connection: &mut Connection, deadline: Instant) -> Result<BTreeSet<u32>, End> {
        let mut databases = None;
        if let Some(config_get) = &self.plan.config_get {
            let questions = ["notify-keyspace-events", "databases"].map(|name| config_get.clone().arg(name));
            let replies = connection.exchange(&questions, deadline).await;
            let replies = replies.map_err(|error| End::Failed {
                error,
                at_connect: false,
            })?;
            self.setting = replies.first().and_then(setting_of);
            let number = replies.get(1).and_then(Reply::as_array).and_then(|parts| parts.get(1));
            databases = number.and_then(Reply::as_integer);
        }
        if let Some(setting) = self.setting.take_if(|setting| !setting.is_useful()) {
            return Err(End::Off(setting));
        }
        let count = databases.and_then(|number| u32::try_from(number).ok());
        self.knows_databases = count.is_none_or(|count| count <= MAX_DATABASES);
        if !self.plan.asks_others || !self.knows_databases {
            return Ok(BTreeSet::new());
        }
        let count = count.unwrap_or(USUAL_DATABASES);
        Ok((0..count)
            .filter(|database| !self.plan.databases.contains(database))
            .collect())
    }

    /// Waits for one thing and deals with it. Gives back why listening ended, if it did.
    async fn step(&mut self, subscriber: &mut Subscriber, checks: &mut watch::Receiver<u64>) -> Option<End> {
        let wake = self.wake();
        let outcome = tokio::select! {
            biased;
            // The sender is gone only when the instance wants to hear nothing any more; the task is about to be aborted then.
            Ok(()) = checks.changed() => {
                let number = *checks.borrow_and_update();
                self.ping(subscriber, &number.to_string()).await
            }
            read = subscriber.read() => match read {
                Ok(()) => {
                    self.last_bytes = Instant::now();
                    self.take_messages(subscriber)
                }
                Err(error) => Err(error),
            },
            () = tokio::time::sleep_until(wake) => Ok(()),
        };
        let outcome = match outcome {
            Ok(()) => self.look_after(subscriber).await,
            Err(error) => Err(error),
        };
        if let Some(Err(refusal)) = self.answers.first() {
            let reason = unavailability(refusal).unwrap_or(Unavailable::Unsupported);
            return Some(End::Refused(reason, sanitised_code(refusal)));
        }
        let error = outcome.err()?;
        self.drain(subscriber).await;
        Some(End::Failed {
            error,
            at_connect: false,
        })
    }

    /// When something is to be done even if nothing comes.
    fn wake(&self) -> Instant {
        let mut wake = match self.pinged {
            Some(pinged) => self.answer_due(pinged),
            None => self.last_bytes + self.plan.keepalive,
        };
        if self.answers.len() < self.subscriptions {
            wake = wake.min(self.started + self.plan.timeout);
        }
        if self.interpreter.is_holding() && self.pinged.is_none() {
            wake = wake.min(self.last_bytes + QUIET);
        }
        if !self.report.is_empty() {
            wake = wake.min(self.next_report);
        }
        wake
    }

    /// When the answer to a PING has to be there: a deadline after the last message, but no longer than [`PING_DEADLINES`].
    fn answer_due(&self, pinged: Instant) -> Instant {
        let timeout = self.plan.timeout;
        let after_messages = pinged.max(self.last_bytes) + timeout;
        after_messages.min(pinged + timeout * PING_DEADLINES)
    }

    async fn ping(&mut self, subscriber: &mut Subscriber, payload: &str) -> Result<(), RedisError> {
        let now = Instant::now();
        self.pinged.get_or_insert(now);
        subscriber.ping(payload, now + self.plan.timeout).await
    }

    /// Does what the time asks for, and reports.
    async fn look_after(&mut self, subscriber: &mut Subscriber) -> Result<(), RedisError> {
        let now = Instant::now();
        let awaits_answer = self.answers.len() < self.subscriptions;
        let is_late = self.pinged.is_some_and(|pinged| now >= self.answer_due(pinged));
        if is_late || (awaits_answer && now >= self.started + self.plan.timeout) {
            return Err(silent(self.plan.connector.address()));
        }
        self.deliver(now);
        if self.pinged.is_some() {
            return Ok(());
        }
        if self.interpreter.is_holding() && now >= self.last_bytes + QUIET {
            return self.ping(subscriber, SETTLE).await;
        }
        if now >= self.last_bytes + self.plan.keepalive {
            return self.ping(subscriber, KEEPALIVE).await;
        }
        Ok(())
    }

    /// Hands the report over if it is time to, and there is room; else it grows on.
    fn deliver(&mut self, now: Instant) {
        if self.report.is_empty() || (!self.is_urgent && now < self.next_report) {
            return;
        }
        self.next_report = now + REPORT_EVERY;
        if let Ok(permit) = self.reports.try_reserve() {
            self.is_urgent = false;
            let empty = EventsReport {
                number: self.plan.number,
                ..EventsReport::default()
            };
            permit.send(std::mem::replace(&mut self.report, empty));
        }
    }

    /// What the socket still holds when the connection is no more to be had.
    async fn drain(&mut self, subscriber: &mut Subscriber) {
        let deadline = Instant::now() + self.plan.timeout;
        loop {
            if self.take_messages(subscriber).is_err() || Instant::now() >= deadline {
                return;
            }
            match tokio::time::timeout_at(deadline, subscriber.read()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    fn take_messages(&mut self, subscriber: &mut Subscriber) -> Result<(), RedisError> {
        while let Some(message) = subscriber.next_message()? {
            match message {
                Message::Published { channel, payload } => {
                    // Nothing else was subscribed to; a server that sends it all the same is not listened to.
                    if let Some((database, kind)) = parse_channel(&channel) {
                        self.on_event(database, kind, &payload);
                    }
                }
                Message::Pong(payload) => self.on_pong(&payload),
                Message::Subscribed => self.on_answer(Ok(())),
                Message::Refused(reply) => self.on_answer(Err(reply)),
            }
        }
        Ok(())
    }

    fn on_event(&mut self, database: u32, kind: EventKind, key: &bytes::Bytes) {
        if let Some(count) = self.report.received.get_mut(kind as usize) {
            *count += 1;
        }
        match kind {
            EventKind::Expired => _ = self.heard.expired.fetch_add(1, Ordering::Release),
            EventKind::Evicted => _ = self.heard.evicted.fetch_add(1, Ordering::Release),
            _ => {}
        }
        let created = self.interpreter.event(database, kind, key, &mut self.report.deltas);
        if let Some(created) = created {
            self.sample(created);
        }
    }

    fn on_pong(&mut self, payload: &[u8]) {
        self.pinged = None;
        // Whatever the PING was sent for, its answer is behind all events of the commands before it.
        self.settle();
        let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
        if let Some(number) = number {
            self.report.checked = Some((number, self.heard.totals()));
            self.is_urgent = true;
        }
    }

    fn on_answer(&mut self, answer: Result<(), Reply>) {
        self.answers.push(answer);
        if self.answers.len() < self.subscriptions || self.answers.first().is_some_and(Result::is_err) {
            return;
        }
        let hears_all = self.plan.asks_others && self.knows_databases && self.answers.iter().all(Result::is_ok);
        self.report.listening = Some(Listening {
            setting: self.setting.take(),
            hears_all,
            took: self.started.elapsed(),
        });
        self.is_urgent = true;
    }

    fn settle(&mut self) {
        if let Some(created) = self.interpreter.settle(&mut self.report.deltas) {
            self.sample(created);
        }
    }

    /// Keeps a created session for its TTL, unless there were enough of them in this second.
    fn sample(&mut self, created: Created) {
        let at = Instant::now();
        let (since, taken) = &mut self.window;
        if at >= *since + SAMPLING_WINDOW {
            (*since, *taken) = (at, 0);
        }
        if *taken >= SAMPLED_PER_SECOND || self.report.sampled.len() >= MAX_CREATED {
            return;
        }
        *taken += 1;
        // A copy, so that the key does not keep the whole buffer that it came with.
        let key = bytes::Bytes::copy_from_slice(&created.key);
        self.report.sampled.push(Sampled {
            created: Created { key, ..created },
            at,
        });
    }
}

fn silent(address: &Address) -> RedisError {
    RedisError {
        reason: Reason::Timeout,
        message: format!(
            "{address}: the deadline passed while listening to keyspace notifications; check that the server is not stopped, overloaded or \
             behind a firewall"
        ),
    }
}

/// Every event in the databases of the stores.
fn store_channels(databases: &BTreeSet<u32>) -> Vec<Vec<u8>> {
    let of_one = |database: &u32| EventKind::ALL.map(|kind| channel(*database, kind));
    databases.iter().flat_map(of_one).collect()
}

/// What the server counts over all databases.
fn other_channels(databases: &BTreeSet<u32>) -> Vec<Vec<u8>> {
    let of_one = |database: &u32| [EventKind::Expired, EventKind::Evicted].map(|kind| channel(*database, kind));
    databases.iter().flat_map(of_one).collect()
}
