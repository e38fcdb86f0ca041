//! How often CLIENT LIST is asked for figures that nobody needs at every poll.
//!
//! It runs on the server's main thread and takes as long as there are clients. Measured by the server's own account (commandstats), 500, 5,000
//! and 10,000 clients: Redis 7.0.15 445, 4,568 and 8,570 µs, Redis 8.0.2 469, 4,719 and 9,266 µs, Valkey 9.1.2 524, 5,242 and 10,570 µs.

use super::client_list;
use crate::collectors::PollContext;
use std::time::Duration;
use tokio::time::Instant;

/// Share of the server's time that CLIENT LIST may take (the contract's 0.1 %), as its inverse: a list is followed by a pause of
/// this many times what it cost.
const PAUSE_PER_COST: u32 = 1_000;

/// What one client in the list costs the server: 0.9 to 1.1 µs to write its line, and some to send it, encrypted where need be.
const COST_PER_CLIENT: Duration = Duration::from_nanos(1_500);

/// Most clients of a server that is asked for its list: Redis' own default of `maxclients`. Beyond it one list takes more than the ten
/// milliseconds from which the server calls a command slow (`slowlog-log-slower-than`), and everybody waits as long. The reply stays below 4 MB, of
/// the 64 MiB that a frame may have.
pub const MAX_LISTED_CLIENTS: f64 = 10_000.0;

/// When CLIENT LIST was seen last, whoever asked for it, so that collectors which need it seldom share it.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// When, and what it cost.
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// Whether the list may be asked for: the pause after the last one is over, and the server does not have too many clients. Never when
    /// INFO does not say how many it has.
    pub fn is_due(&self, context: &PollContext<'_>) -> bool {
        let is_over = self.last.is_none_or(|(at, cost)| {
            let pause = cost.saturating_mul(PAUSE_PER_COST);
            context.now.saturating_duration_since(at) >= pause
        });
        is_over && clients(context).is_some_and(|clients| clients <= MAX_LISTED_CLIENTS)
    }

    /// Remembers the list of this poll, if there was one.
    pub fn note(&mut self, context: &PollContext<'_>) {
        if context.replies.contains_key(&client_list()) {
            self.last = Some((context.now, cost(context)));
        }
    }
}

/// Whether the server has more clients than are listed.
pub fn has_too_many_clients(context: &PollContext<'_>) -> bool {
    clients(context).is_some_and(|clients| clients > MAX_LISTED_CLIENTS)
}

fn clients(context: &PollContext<'_>) -> Option<f64> {
    context.info?.number("connected_clients")
}

/// What one list costs the server: the estimate, or what it said itself of those before, where that is more (a slow machine).
fn cost(context: &PollContext<'_>) -> Duration {
    let listed = context.clients.map_or(0, |list| list.clients());
    let estimated = COST_PER_CLIENT.saturating_mul(u32::try_from(listed).unwrap_or(u32::MAX));
    estimated.max(measured(context).unwrap_or_default())
}

/// `cmdstat_client|list:calls=20,usec=8905,usec_per_call=445.25,…` of INFO (Redis 7.0+); before, all of CLIENT is counted as one.
fn measured(context: &PollContext<'_>) -> Option<Duration> {
    let line = context.info?.get("cmdstat_client|list")?;
    let mut parts = line.split(',').filter_map(|part| part.split_once('='));
    let (_, text) = parts.find(|(name, _)| *name == "usec_per_call")?;
    let microseconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(microseconds / 1_000_000.0).ok()
}
