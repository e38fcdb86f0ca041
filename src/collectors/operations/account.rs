//! What commands did since the previous poll, without what this exporter itself sent.
//!
//! INFO commandstats holds totals since the server's start or since CONFIG RESETSTAT. Differences of these totals are what is
//! added up here, so that nothing of ours falls when they do. Our own commands are taken off as they were *sent*: one that is under
//! way on another connection may be taken off before the server counts it, and the debt is settled at the next poll. So a command
//! of ours never shows as somebody else's.

use super::super::compound::{CommandStat, command_stats};
use super::super::{OwnCalls, PollContext};
use super::mapping;
use std::collections::{BTreeMap, BTreeSet};

/// How much too early `uptime_in_seconds` may put a server's start: it is the difference of two clocks of whole seconds, so that a server
/// of a tenth of a second may say 1.
const START_ROUNDING_SECONDS: f64 = 1.0;

/// Totals of one command as the server keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Executed, failed ones included.
    pub calls: u64,
    /// Failed while executed (6.2+).
    pub failed: u64,
    /// Refused before execution (6.2+).
    pub rejected: u64,
    /// Execution time.
    pub microseconds: u64,
}

impl Totals {
    /// A server's counts fit 2^53; a wrong one saturates rather than wraps.
    fn of(stat: &CommandStat<'_>) -> Self {
        Self {
            calls: stat.calls as u64,
            failed: stat.failed.map_or(0, |failed| failed as u64),
            rejected: stat.rejected.map_or(0, |rejected| rejected as u64),
            microseconds: stat.microseconds as u64,
        }
    }

    fn is_below(&self, before: &Self) -> bool {
        self.calls < before.calls
            || self.failed < before.failed
            || self.rejected < before.rejected
            || self.microseconds < before.microseconds
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(before.calls),
            failed: self.failed.saturating_sub(before.failed),
            rejected: self.rejected.saturating_sub(before.rejected),
            microseconds: self.microseconds.saturating_sub(before.microseconds),
        }
    }
}

/// What one poll says about commands.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// `run_id`: changes with every start of a server.
    pub run_id: String,
    /// When the server started, seconds since 1970 by our clock and never too early; `None` when it does not say.
    pub started_at: Option<f64>,
    /// When this was read, seconds since 1970.
    pub read_at: f64,
    /// The commands that may be session operations.
    pub commands: BTreeMap<&'static str, Totals>,
    /// Calls of all commands.
    pub all_calls: u64,
    /// Whether the server counts failures apart (6.2+).
    pub tells_failures: bool,
    /// What this exporter sent of these commands.
    pub own: BTreeMap<&'static str, OwnCalls>,
}

impl Reading {
    /// Reads INFO; `None` when it has no command statistics.
    pub(super) fn of(context: &PollContext<'_>, info: &crate::redis::Info) -> Option<Self> {
        let stats = command_stats(info);
        if stats.is_empty() {
            return None;
        }
        let uptime = info.number("uptime_in_seconds").filter(|uptime| *uptime >= 0.0);
        let mut reading = Self {
            run_id: context.server.run_id.clone(),
            started_at: uptime.map(|uptime| context.unix_seconds - uptime),
            read_at: context.unix_seconds,
            all_calls: stats
                .iter()
                .fold(0, |sum: u64, stat| sum.saturating_add(stat.calls as u64)),
            tells_failures: stats.iter().any(|stat| stat.failed.is_some()),
            ..Self::default()
        };
        for (command, _) in mapping::commands(&BTreeSet::new()) {
            if let Some(stat) = super::super::compound::find(&stats, command) {
                reading.commands.insert(command, Totals::of(stat));
            }
            if let Some(own) = context.sessions.own_calls.get(command) {
                reading.own.insert(command, *own);
            }
        }
        Some(reading)
    }
}

/// How a reading relates to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// The totals went on.
    Continued,
    /// They began anew, by a restart or CONFIG RESETSTAT: all that they say is new.
    BeganAnew,
    /// They are of another server, or there is no reading before: what they say happened before we watched.
    Unknown,
}

/// What others did with one command since the previous poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Calls that were executed without an error.
    pub succeeded: u64,
    /// Calls that failed or were refused.
    pub failed: u64,
    /// Their execution time. That of our own calls among them is not known and stays in it: never faster than the truth.
    pub microseconds: u64,
    /// Calls of ours that the server executed, at least as many as it counted.
    pub own_executed: u64,
}

/// What our own calls have to take off yet, per command.
#[derive(Debug, Clone, Copy, Default)]
struct Debt {
    succeeded: u64,
    failed: u64,
}

/// Takes what we owe off what the server counted; what cannot be taken off yet stays owed.
pub(super) fn settle(counted: u64, debt: &mut u64, own: u64) -> u64 {
    let owed = debt.saturating_add(own);
    let taken = owed.min(counted);
    *debt = owed - taken;
    counted - taken
}

/// Follows the totals from poll to poll.
#[derive(Debug, Default)]
pub(super) struct Account {
    previous: Option<Reading>,
    debts: BTreeMap<&'static str, Debt>,
}

impl Account {
    /// Forgets what it saw: the next reading is the first one.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes a reading and says what others did since the one before. Nothing when that is not known.
    pub(super) fn advance(&mut self, reading: Reading) -> (Continuity, BTreeMap<&'static str, Foreign>) {
        let continuity = continuity(self.previous.as_ref(), &reading);
        let before = self.previous.take().unwrap_or_default();
        let mut foreign = BTreeMap::new();
        match continuity {
            Continuity::Unknown => self.debts.clear(),
            Continuity::Continued | Continuity::BeganAnew => {
                let names: BTreeSet<&'static str> =
                    reading.commands.keys().chain(reading.own.keys()).copied().collect();
                for name in names {
                    let now = reading.commands.get(name).copied().unwrap_or_default();
                    let counted = match (continuity, before.commands.get(name)) {
                        (Continuity::Continued, Some(before)) => now.since(before),
                        _ => now,
                    };
                    let own = own_since(before.own.get(name), reading.own.get(name));
                    let debt = self.debts.entry(name).or_default();
                    foreign.insert(name, without_own(&counted, own, debt));
                }
                if continuity == Continuity::BeganAnew {
                    // What was under way was counted before the totals began anew, or never will be.
                    self.debts.clear();
                }
            }
        }
        self.previous = Some(reading);
        (continuity, foreign)
    }
}

/// What we sent since the previous poll. An account that fell is a new one, of the same server under another name.
fn own_since(before: Option<&OwnCalls>, now: Option<&OwnCalls>) -> OwnCalls {
    let now = now.copied().unwrap_or_default();
    match before {
        Some(before) if before.sent <= now.sent && before.failed <= now.failed => OwnCalls {
            sent: now.sent - before.sent,
            failed: now.failed - before.failed,
        },
        _ => now,
    }
}

fn without_own(counted: &Totals, own: OwnCalls, debt: &mut Debt) -> Foreign {
    let succeeded = counted.calls.saturating_sub(counted.failed);
    let errors = counted.failed.saturating_add(counted.rejected);
    let own_succeeded = own.sent.saturating_sub(own.failed);
    let foreign = Foreign {
        succeeded: settle(succeeded, &mut debt.succeeded, own_succeeded),
        failed: settle(errors, &mut debt.failed, own.failed),
        microseconds: 0,
        // Which of our errors were executed before they failed is not known; no more than failed in all.
        own_executed: own_succeeded.saturating_add(own.failed.min(counted.failed)),
    };
    let is_ours_alone = foreign.succeeded == 0 && foreign.failed == 0;
    Foreign {
        microseconds: if is_ours_alone { 0 } else { counted.microseconds },
        ..foreign
    }
}

fn continuity(before: Option<&Reading>, now: &Reading) -> Continuity {
    let Some(before) = before else {
        return Continuity::Unknown;
    };
    let fell = now.all_calls < before.all_calls
        || before
            .commands
            .iter()
            .any(|(name, totals)| now.commands.get(name).copied().unwrap_or_default().is_below(totals));
    let is_same_run = before.run_id == now.run_id;
    match now.started_at {
        _ if is_same_run && !fell => Continuity::Continued,
        _ if is_same_run => Continuity::BeganAnew,
        // Another server that has run for longer (a failover behind one address) has a past that is not ours to count.
        Some(started_at) if started_at + START_ROUNDING_SECONDS < before.read_at => Continuity::Unknown,
        Some(_) => Continuity::BeganAnew,
        None if fell => Continuity::BeganAnew,
        None => Continuity::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(calls: u64, failed: u64, rejected: u64) -> Totals {
        Totals {
            calls,
            failed,
            rejected,
            microseconds: calls * 10,
        }
    }

    fn reading(run_id: &str, get: Totals, own: (u64, u64)) -> Reading {
        Reading {
            run_id: run_id.to_owned(),
            started_at: Some(100.0),
            read_at: 1000.0,
            commands: BTreeMap::from([("get", get)]),
            all_calls: get.calls + 50,
            tells_failures: true,
            own: BTreeMap::from([(
                "get",
                OwnCalls {
                    sent: own.0,
                    failed: own.1,
                },
            )]),
        }
    }

    fn got(foreign: &BTreeMap<&'static str, Foreign>) -> (u64, u64) {
        foreign.get("get").map_or((0, 0), |get| (get.succeeded, get.failed))
    }

    #[test]
    fn differences_without_our_own_calls() {
        let mut account = Account::default();
        let (continuity, foreign) = account.advance(reading("a", totals(1000, 5, 7), (10, 1)));
        assert_eq!(continuity, Continuity::Unknown);
        assert!(foreign.is_empty(), "what was before we watched is not counted");
        let (continuity, foreign) = account.advance(reading("a", totals(1010, 7, 10), (14, 2)));
        assert_eq!(continuity, Continuity::Continued);
        // 10 calls, 2 failed, 3 refused; 4 of ours, 1 of them failed or refused.
        assert_eq!(got(&foreign), (8 - 3, 5 - 1));
        let (_, foreign) = account.advance(reading("a", totals(1012, 7, 10), (16, 2)));
        assert_eq!(got(&foreign), (0, 0));
        assert_eq!(foreign["get"].microseconds, 0, "the time is ours");
    }

    #[test]
    fn calls_under_way_are_taken_off_once() {
        let mut account = Account::default();
        account.advance(reading("a", totals(100, 0, 0), (10, 0)));
        // Five of ours are sent; the server has counted two of them, and one of somebody else's.
        let (_, foreign) = account.advance(reading("a", totals(103, 0, 0), (15, 0)));
        assert_eq!(got(&foreign), (0, 0));
        // The other three, and another one of somebody else's.
        let (_, foreign) = account.advance(reading("a", totals(107, 0, 0), (15, 0)));
        assert_eq!(got(&foreign), (2, 0), "both of somebody else's are there in the end");
    }

    #[test]
    fn totals_that_fall_began_anew() {
        let mut account = Account::default();
        account.advance(reading("a", totals(100, 3, 0), (10, 0)));
        let (continuity, foreign) = account.advance(reading("a", totals(7, 0, 0), (12, 0)));
        assert_eq!(continuity, Continuity::BeganAnew);
        assert_eq!(got(&foreign), (5, 0));
        // Only another command of the server fell: these totals began anew as well.
        let mut other = reading("a", totals(9, 0, 0), (12, 0));
        other.all_calls = 20;
        let (continuity, foreign) = account.advance(other);
        assert_eq!(continuity, Continuity::BeganAnew);
        assert_eq!(got(&foreign), (9, 0));
    }

    #[test]
    fn a_restarted_server_is_counted_and_another_one_is_not() {
        let mut account = Account::default();
        account.advance(reading("a", totals(100, 0, 0), (0, 0)));
        let mut restarted = reading("b", totals(120, 0, 0), (0, 0));
        (restarted.started_at, restarted.read_at) = (Some(1005.0), 1010.0);
        let (continuity, foreign) = account.advance(restarted);
        assert_eq!(continuity, Continuity::BeganAnew);
        assert_eq!(got(&foreign), (120, 0));
        let mut failover = reading("c", totals(90_000, 0, 0), (0, 0));
        (failover.started_at, failover.read_at) = (Some(500.0), 1020.0);
        let (continuity, foreign) = account.advance(failover);
        assert_eq!(continuity, Continuity::Unknown);
        assert!(foreign.is_empty());
    }

    #[test]
    fn a_restart_within_the_second_of_a_poll_is_no_other_server() {
        for (started_at, expected) in [
            (1000.0, Continuity::BeganAnew),
            (999.1, Continuity::BeganAnew),
            (998.9, Continuity::Unknown),
        ] {
            let mut account = Account::default();
            account.advance(reading("a", totals(100, 0, 0), (0, 0)));
            let mut restarted = reading("b", totals(2, 0, 0), (0, 0));
            (restarted.started_at, restarted.read_at) = (Some(started_at), 1000.3);
            let (continuity, _) = account.advance(restarted);
            assert_eq!(continuity, expected, "{started_at}");
        }
    }

    #[test]
    fn a_new_account_of_our_own_calls_is_taken_as_it_is() {
        let mut account = Account::default();
        account.advance(reading("a", totals(100, 0, 0), (40, 0)));
        let (_, foreign) = account.advance(reading("a", totals(105, 0, 0), (2, 0)));
        assert_eq!(got(&foreign), (3, 0));
    }
}
