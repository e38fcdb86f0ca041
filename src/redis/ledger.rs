//! What this exporter itself has sent to one server, over all its connections, so that it can be taken off the server's own statistics.

use super::capabilities::CAPABILITY_LIFETIME;
use super::reply::Command;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// What this exporter itself has sent of one command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnCalls {
    /// Commands that were sent, answered or not. Whoever subtracts them from what the server counted never takes one of ours for
    /// somebody else's, whatever was under way on another connection at that moment.
    pub sent: u64,
    /// Of these, those that the server answered with an error reply, be it before it executed them (`NOPERM`, `OOM`) or after
    /// (`WRONGTYPE`).
    pub failed: u64,
}

/// The account of one server, shared by all connections to it. It lives as long as the instance is watched under this endpoint,
/// so it survives reconnects. As large as the number of different commands that this program knows.
#[derive(Debug, Default)]
pub struct Ledger {
    calls: Mutex<BTreeMap<String, OwnCalls>>,
    /// When the user was last denied CLIENT SETNAME. Every connection would ask for it again, and each denial is an entry of ACL LOG.
    name_denied_at: Mutex<Option<Instant>>,
}

impl Ledger {
    /// Everything that was sent so far, by name as INFO commandstats writes it (`memory|usage`). No number ever falls.
    pub fn calls(&self) -> BTreeMap<String, OwnCalls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers that connections may not take a name.
    pub(super) fn note_name_denied(&self, now: Instant) {
        *self.name_denied_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether a connection should try to take a name: not while a denial counts ([`CAPABILITY_LIFETIME`]).
    pub(super) fn may_take_name(&self, now: Instant) -> bool {
        let denied_at = *self.name_denied_at.lock().unwrap_or_else(PoisonError::into_inner);
        denied_at.is_none_or(|at| now.saturating_duration_since(at) >= CAPABILITY_LIFETIME)
    }

    /// Counts `count` commands called `name` that are about to be sent.
    pub(super) fn note_sent(&self, name: &str, count: u64) {
        self.change(name, |calls| calls.sent = calls.sent.saturating_add(count));
    }

    /// Counts the error reply to a command that was sent.
    pub(super) fn note_failed(&self, command: &Command) {
        self.change(&command.name(), |calls| calls.failed = calls.failed.saturating_add(1));
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut OwnCalls)) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.get_mut(name) {
            Some(known) => change(known),
            None => change(calls.entry(name.to_owned()).or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_denied_name_is_asked_for_again_when_the_denial_is_forgotten() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        assert!(ledger.may_take_name(now));
        ledger.note_name_denied(now);
        assert!(!ledger.may_take_name(now + CAPABILITY_LIFETIME - Duration::from_millis(1)));
        assert!(ledger.may_take_name(now + CAPABILITY_LIFETIME));
    }
}
