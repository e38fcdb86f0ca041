//! What a connection has been found not to be able to do.
//!
//! A command that the user may not run, or that the server does not know, is found out once and then not sent any more: each
//! denial would write to the server's ACL LOG. An administrator who mends the ACL does not reconnect us, so what was found is
//! forgotten after a while and tried again. It belongs to one connection: a new one starts with nothing known.

use super::refusal::Unavailable;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a finding counts. Ten minutes: soon enough for somebody who mends an ACL and waits, and rare enough that the denials
/// do not fill the server's ACL LOG (128 entries by default, equal ones within a minute merged).
pub const CAPABILITY_LIFETIME: Duration = Duration::from_secs(600);

/// The commands that are known not to work on a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    unavailable: BTreeMap<String, Unavailable>,
    /// What was found before it was last forgotten, so that finding the same again is no news.
    previous: BTreeMap<String, Unavailable>,
    /// When the oldest of the findings was made.
    found_at: Option<Instant>,
}

impl Capabilities {
    /// Remembers that `command` (named as in commandstats: `config|get`) is not to be had. Gives back whether that is news
    /// to this connection, so that the caller logs it once and not at every new attempt.
    pub fn note(&mut self, command: impl Into<String>, reason: Unavailable, now: Instant) -> bool {
        let command = command.into();
        self.found_at.get_or_insert(now);
        let previous = self.previous.get(&command).copied();
        self.unavailable.insert(command, reason).or(previous) != Some(reason)
    }

    /// Why `command` is not to be had; `None` when nothing speaks against sending it.
    pub fn get(&self, command: &str) -> Option<Unavailable> {
        self.unavailable.get(command).copied()
    }

    /// Everything that is not to be had, by command.
    pub fn all(&self) -> &BTreeMap<String, Unavailable> {
        &self.unavailable
    }

    /// Forgets everything once the oldest finding is [`CAPABILITY_LIFETIME`] old, all together, so that one poll tries again what
    /// one mended ACL line may have allowed. Gives back whether something was forgotten.
    pub fn expire(&mut self, now: Instant) -> bool {
        let expired = self
            .found_at
            .is_some_and(|found_at| now.saturating_duration_since(found_at) >= CAPABILITY_LIFETIME);
        if expired {
            self.previous = std::mem::take(&mut self.unavailable);
            self.found_at = None;
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_news_once_and_are_forgotten_together() {
        let start = Instant::now();
        let mut capabilities = Capabilities::default();
        assert!(!capabilities.expire(start + CAPABILITY_LIFETIME));
        assert!(capabilities.note("config|get", Unavailable::Denied, start));
        assert!(!capabilities.note("config|get", Unavailable::Denied, start + Duration::from_secs(5)));
        assert!(capabilities.note("config|get", Unavailable::Unsupported, start + Duration::from_secs(5)));
        assert!(capabilities.note("memory|doctor", Unavailable::Denied, start + Duration::from_secs(599)));
        assert_eq!(capabilities.get("config|get"), Some(Unavailable::Unsupported));
        assert_eq!(capabilities.get("info"), None);
        assert_eq!(capabilities.all().len(), 2);

        assert!(!capabilities.expire(start + CAPABILITY_LIFETIME - Duration::from_millis(1)));
        assert!(capabilities.expire(start + CAPABILITY_LIFETIME));
        assert!(capabilities.all().is_empty());

        let later = start + Duration::from_secs(700);
        assert!(
            !capabilities.note("config|get", Unavailable::Unsupported, later),
            "found again"
        );
        assert!(capabilities.note("config|get", Unavailable::Denied, later));
        assert!(capabilities.note("info", Unavailable::Denied, later));
        assert!(!capabilities.expire(start + Duration::from_secs(1299)));
        assert!(capabilities.expire(start + Duration::from_secs(1300)));
    }
}
