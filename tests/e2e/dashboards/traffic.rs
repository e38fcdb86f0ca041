//! What the users, applications and faults of the scene do, until it ends.

use super::scene::Length;
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::tls::TlsClient;
use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two looks at what is to be done.
const TICK: Duration = Duration::from_millis(100);

/// Sessions that are there when the scene begins.
const INITIAL: usize = 1_200;

/// Tokens that are there all the time.
pub const TOKENS: usize = 300;

/// Seconds of one wave of visitors.
const WAVE_SECONDS: f64 = 150.0;

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Commands of the application fail.
    Errors,
    /// Other keys take the memory.
    Pressure,
    /// Commands that hold everybody up.
    Slow,
    /// The application has lost its key.
    KeyMissing,
    /// Somebody forges tokens.
    Forgery,
    /// The server of the branch office is gone.
    Outage,
    /// The replica has lost its primary.
    Replication,
    /// The application's cache is cold, its pool used up.
    Cold,
    /// Everybody logs in at once.
    Rush,
    /// Everybody is logged out.
    Logout,
}

impl Fault {
    /// Begin and end as shares of the pictured time, and whether a short scene shows it all the time.
    const fn plan(self) -> (f64, f64, bool) {
        match self {
            Self::Rush => (0.14, 0.19, false),
            Self::Cold => (0.26, 0.34, true),
            Self::Errors => (0.28, 0.33, true),
            Self::Pressure => (0.40, 0.50, false),
            Self::Slow => (0.56, 0.61, true),
            Self::Outage => (0.64, 0.70, true),
            Self::KeyMissing => (0.74, 0.76, true),
            Self::Logout => (0.80, 0.82, false),
            // Still on when the pictures are taken, and afterwards.
            Self::Forgery => (0.90, f64::INFINITY, true),
            Self::Replication => (0.93, f64::INFINITY, false),
        }
    }
}

/// Which faults are on.
#[derive(Debug, Clone, Copy)]
struct Clock {
    started: Instant,
    length: Length,
}

impl Clock {
    fn is_on(&self, fault: Fault) -> bool {
        let (begin, end, always) = fault.plan();
        match self.length {
            Length::Short => always,
            Length::Pictures(length) => {
                (begin..end).contains(&(self.started.elapsed().as_secs_f64() / length.as_secs_f64()))
            }
        }
    }

    /// Goes up and down between 0 and 1.
    fn wave(&self) -> f64 {
        0.5 - 0.5 * (self.started.elapsed().as_secs_f64() / WAVE_SECONDS * TAU).cos()
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // Constants of Knuth's MMIX; the high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// As often as a rate per second says within one tick.
    fn times(&mut self, per_second: f64) -> u64 {
        let exact = per_second * TICK.as_secs_f64();
        let rest = (exact.fract() * 1_000.0) as u64;
        exact as u64 + u64::from(self.below(1_000) < rest)
    }
}

/// The threads that make the traffic; they end when this is dropped.
pub struct Traffic {
    stops: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Traffic of the shared login, of the shop, and the fate of the branch office.
    pub fn start(length: Length, login: Login, shop: &RedisServer, branch: RedisServer) -> Self {
        let clock = Clock {
            started: Instant::now(),
            length,
        };
        let mut traffic = Self {
            stops: Vec::new(),
            threads: Vec::new(),
        };
        let shop = shop.client();
        traffic.spawn(move |stop| visit_login(clock, login, stop));
        traffic.spawn(move |stop| visit_shop(clock, shop, stop));
        traffic.spawn(move |stop| keep_branch(clock, branch, stop));
        traffic
    }

    fn spawn(&mut self, work: impl FnOnce(&Receiver<()>) + Send + 'static) {
        let (stop, stopped) = channel();
        self.stops.push(stop);
        self.threads.push(std::thread::spawn(move || work(&stopped)));
    }

    /// Whether everybody is still at it: a thread that panicked has ended.
    pub fn is_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stops.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Waits for the next tick; false when the scene ends.
fn goes_on(stop: &Receiver<()>) -> bool {
    matches!(stop.recv_timeout(TICK), Err(RecvTimeoutError::Timeout))
}

/// Connections to the servers of the shared login.
pub struct Login {
    /// Of the application, over TLS.
    pub application: Client,
    /// A plain connection.
    pub plain: Client,
    /// To the replica.
    pub replica: Client,
    /// Port over TLS, for visitors who come and go.
    pub tls_port: u16,
    /// Plain port.
    pub port: u16,
    /// Whom they trust.
    pub tls: TlsClient,
}

/// The sessions of one store as its application knows them.
struct Sessions {
    live: VecDeque<String>,
    next: u64,
    /// One of so many was written by a version of the application that encrypts nothing.
    plain_one_in: u64,
}

impl Sessions {
    const fn new(plain_one_in: u64) -> Self {
        Self {
            live: VecDeque::new(),
            next: 0,
            plain_one_in,
        }
    }

    /// A session that is new; `name` makes its key.
    fn begin(
        &mut self,
        client: &mut Client,
        dice: &mut Dice,
        name: impl Fn(u64, &mut Dice) -> String,
        ttl: Option<u64>,
    ) {
        self.next += 1;
        let key = name(self.next, dice);
        let size = 300 + dice.below(1_500) as usize;
        let beginning = if dice.below(self.plain_one_in) == 0 {
            "{\"user\":"
        } else {
            "enc:v1:"
        };
        let value = beginning.to_owned() + &"x".repeat(size);
        match ttl {
            Some(ttl) => client.try_command(&["SET", &key, &value, "EX", &ttl.to_string()]),
            None => client.try_command(&["SET", &key, &value]),
        };
        self.live.push_back(key);
    }

    /// Reads, and now and then renews, any of them.
    fn use_one(&self, client: &mut Client, dice: &mut Dice) {
        if self.live.is_empty() {
            return;
        }
        let key = &self.live[dice.below(self.live.len() as u64) as usize];
        client.try_command(&["GET", key]);
        if dice.below(4) == 0 {
            client.try_command(&["EXPIRE", key, "1800", "XX"]);
        }
    }

    /// The oldest one logs out.
    fn end(&mut self, client: &mut Client) {
        if let Some(key) = self.live.pop_front() {
            client.try_command(&["DEL", &key]);
        }
    }
}

/// How long a session of the login is to live: most for half an hour, some too long, few for ever.
fn time_to_live(dice: &mut Dice) -> Option<u64> {
    match dice.below(400) {
        0 => None,
        1 => Some(86_400),
        2..=90 => Some(8 + dice.below(40)),
        91..=140 => Some(250 + dice.below(600)),
        _ => Some(1_800),
    }
}

fn login_key(number: u64, dice: &mut Dice) -> String {
    let source = ["oauth", "oauth", "oauth", "refresh", "guest"][dice.below(5) as usize];
    format!("sess:{source}:{number:012x}")
}

fn visit_login(clock: Clock, mut login: Login, stop: &Receiver<()>) {
    let mut dice = Dice(1);
    let (mut web, mut tokens) = (Sessions::new(150), Sessions::new(u64::MAX));
    for _ in 0..INITIAL {
        // They were begun at any time of the last half hour.
        let ttl = Some(60 + dice.below(1_740));
        web.begin(&mut login.application, &mut dice, login_key, ttl);
    }
    for _ in 0..TOKENS {
        tokens.begin(
            &mut login.application,
            &mut dice,
            |number, _| format!("api:token:{number:08x}"),
            Some(7_200),
        );
    }
    let mut waiting = Client::connect(login.port).unwrap();
    waiting.send(&[b"BLPOP", b"queue:never", b"0"]).unwrap();
    let mut visitors: Vec<Client> = Vec::new();
    let (mut linked, mut filled, mut key_there) = (true, 0_u64, true);
    while goes_on(stop) {
        let rush = if clock.is_on(Fault::Rush) { 14.0 } else { 1.0 };
        for _ in 0..dice.times(rush * (0.6 + 0.8 * clock.wave())) {
            let ttl = time_to_live(&mut dice);
            web.begin(&mut login.application, &mut dice, login_key, ttl);
        }
        for _ in 0..dice.times(0.3) {
            tokens.begin(
                &mut login.application,
                &mut dice,
                |number, _| format!("api:token:{number:08x}"),
                Some(7_200),
            );
            tokens.end(&mut login.application);
        }
        for _ in 0..dice.times(80.0 + 160.0 * clock.wave()) {
            web.use_one(&mut login.application, &mut dice);
        }
        for _ in 0..dice.times(0.4 + 0.8 * clock.wave()) {
            web.end(&mut login.application);
        }
        if clock.is_on(Fault::Logout) {
            for _ in 0..web.live.len() / 40 {
                web.end(&mut login.application);
            }
        }
        let errors = if clock.is_on(Fault::Errors) { 0.9 } else { 0.01 };
        for _ in 0..dice.times(errors) {
            // A counter where a session is, a session where a hash is, a command without its key.
            let key = web.live.back().map_or("sess:none", String::as_str);
            login.application.try_command(&["INCR", key]);
            login.application.try_command(&["GET", "metrics:session_cache"]);
            login.application.try_command(&["DEL"]);
        }
        let slow = if clock.is_on(Fault::Slow) { 1.5 } else { 0.01 };
        for _ in 0..dice.times(slow) {
            let seconds = format!("0.0{}", 2 + dice.below(7));
            login.plain.try_command(&["DEBUG", "SLEEP", &seconds]);
        }
        // Others of the same store: a cache that takes what memory there is, and gives it back.
        if clock.is_on(Fault::Pressure) && filled < 620 {
            filled += 4;
            for number in filled - 4..filled {
                login
                    .plain
                    .try_command(&["SET", &format!("cache:{number}"), &"y".repeat(50_000)]);
            }
        } else if !clock.is_on(Fault::Pressure) && filled > 0 {
            filled -= 4;
            for number in filled..filled + 4 {
                login.plain.try_command(&["UNLINK", &format!("cache:{number}")]);
            }
        }
        if clock.is_on(Fault::Replication) == linked {
            linked = !linked;
            // Nobody listens on port 1.
            let port = if linked { login.port.to_string() } else { "1".to_owned() };
            login.replica.try_command(&["REPLICAOF", "127.0.0.1", &port]);
        }
        if clock.is_on(Fault::KeyMissing) == key_there {
            key_there = !key_there;
            let present = if key_there { "1" } else { "0" };
            login
                .plain
                .try_command(&["SET", "metrics:session_encryption_key_present", present]);
        }
        let wanted = 6 + (10.0 * clock.wave()) as usize;
        visitors.truncate(wanted);
        if visitors.len() < wanted {
            let mut visitor = match visitors.len() % 5 {
                4 => Client::connect(login.port).unwrap(),
                _ => Client::connect_tls(login.tls_port, &login.tls).unwrap(),
            };
            // TLS 1.3 is done only when something was read.
            visitor.try_command(&["PING"]);
            visitors.push(visitor);
        }
        application(clock, &mut dice, &mut login.plain, key_there);
    }
}

/// What an application counts about itself: under the names of docs/application-metrics.md.
fn application(clock: Clock, dice: &mut Dice, client: &mut Client, key_there: bool) {
    let add = |client: &mut Client, hash: &str, field: &str, count: u64| {
        if count > 0 {
            client.try_command(&["HINCRBY", hash, field, &count.to_string()]);
        }
    };
    let cold = clock.is_on(Fault::Cold);
    let requests = dice.times(60.0 + 80.0 * clock.wave());
    let misses = dice.times(if cold { 45.0 } else { 5.0 }).min(requests);
    for (field, count) in [
        ("requests", requests),
        ("misses", misses),
        ("hits", requests - misses),
        ("errors", dice.times(if cold { 0.8 } else { 0.1 })),
    ] {
        add(client, "metrics:session_cache", field, count);
    }
    let forged = if clock.is_on(Fault::Forgery) { 4.0 } else { 0.02 };
    for (kind, rate) in [("expired", 0.06), ("invalid_signature", forged), ("malformed", 0.01)] {
        add(client, "metrics:tokens_validation_errors", kind, dice.times(rate));
    }
    let missing = if key_there { 0.0 } else { 2.0 };
    for (kind, rate) in [
        ("encrypt_failed", 0.05),
        ("decrypt_failed", 0.2),
        ("key_missing", missing),
    ] {
        add(client, "metrics:session_encryption_errors", kind, dice.times(rate));
    }
    if dice.times(if cold { 0.3 } else { 0.02 }) > 0 {
        client.try_command(&["INCR", "metrics:circuit_breaker_opens"]);
    }
    let used = (4.0 + 10.0 * clock.wave()) as u64 + if cold { 6 } else { 0 };
    let used = used.min(20);
    client.try_command(&[
        "HSET",
        "metrics:redis_pool_connections",
        "in_use",
        &used.to_string(),
        "available",
        &(20 - used).to_string(),
    ]);
    let pending = if cold { 3 + dice.below(9) } else { dice.below(2) };
    client.try_command(&["SET", "metrics:redis_pool_pending", &pending.to_string()]);
    for _ in 0..dice.times(4.0) {
        client.try_command(&["LPUSH", "queue:jobs", "job"]);
    }
    for _ in 0..dice.times(if cold { 1.0 } else { 5.0 }) {
        client.try_command(&["RPOP", "queue:jobs"]);
    }
}

/// Values that an application sets once, so that its gauges and counters exist from the beginning.
pub fn introduce(client: &mut Client) {
    for words in [
        ["SET", "metrics:session_encryption_key_present", "1"].as_slice(),
        &["SET", "metrics:redis_pool_size", "20"],
        &["SET", "metrics:redis_pool_pending", "0"],
        &["SET", "metrics:circuit_breaker_opens", "0"],
        &[
            "HSET",
            "metrics:session_cache",
            "requests",
            "0",
            "hits",
            "0",
            "misses",
            "0",
            "errors",
            "0",
            "ttl_seconds",
            "300",
        ],
        &["RPUSH", "queue:jobs", "job", "job", "job"],
    ] {
        client.command(words);
    }
}

/// The key of a session of Flask: 43 letters that nobody can guess.
fn shop_key(number: u64, dice: &mut Dice) -> String {
    let mut id = format!("{number:x}-");
    while id.len() < 43 {
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
        id.push(char::from(letters[dice.below(letters.len() as u64) as usize]));
    }
    format!("session:{id}")
}

fn visit_shop(clock: Clock, mut client: Client, stop: &Receiver<()>) {
    let mut dice = Dice(2);
    let mut sessions = Sessions::new(u64::MAX);
    for _ in 0..INITIAL / 3 {
        let ttl = 600 + dice.below(3_000);
        sessions.begin(&mut client, &mut dice, shop_key, Some(ttl));
    }
    while goes_on(stop) {
        for _ in 0..dice.times(0.5 + 0.3 * clock.wave()) {
            let ttl = 20 + dice.below(3_400);
            sessions.begin(&mut client, &mut dice, shop_key, Some(ttl));
        }
        for _ in 0..dice.times(30.0 + 20.0 * clock.wave()) {
            sessions.use_one(&mut client, &mut dice);
        }
        for _ in 0..dice.times(0.5) {
            sessions.end(&mut client);
        }
    }
}

/// The branch office has few visitors, and a server that fails.
fn keep_branch(clock: Clock, mut server: RedisServer, stop: &Receiver<()>) {
    let mut dice = Dice(3);
    let mut sessions = Sessions::new(u64::MAX);
    let mut client: Option<Client> = Some(server.client());
    while goes_on(stop) {
        match (&mut client, clock.is_on(Fault::Outage)) {
            (Some(client), false) => {
                for _ in 0..dice.times(0.4) {
                    let ttl = 30 + dice.below(900);
                    sessions.begin(client, &mut dice, |number, _| format!("sess:{number:010x}"), Some(ttl));
                }
                for _ in 0..dice.times(8.0) {
                    sessions.use_one(client, &mut dice);
                }
            }
            (Some(_), true) => {
                client = None;
                server.shutdown();
            }
            (None, false) => {
                server.start_again();
                sessions = Sessions::new(u64::MAX);
                client = Some(server.client());
            }
            (None, true) => {}
        }
    }
}

/// Whether a replica follows its primary.
pub fn follows(replica: &mut Client) -> bool {
    match replica.try_command(&["INFO", "replication"]) {
        Reply::Bulk(text) => String::from_utf8_lossy(&text).contains("master_link_status:up"),
        _ => false,
    }
}
