//! Events that were lost: the server's own counters held against what came.
//!
//! `expired_keys` and `evicted_keys` of INFO grow at the same place in the server as the events `expired` and `evicted` are published
//! (Redis 7.0, `db.c`, `evict.c`), over all databases. What came can only be more: the server's count is taken first, and then everything
//! that was published before it is waited for. So what is missing was lost, and is a lower bound.

/// Why events were missed, label `reason` of `session_events_gaps_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The connection was lost or made anew.
    Disconnect,
    /// The server's counters show events that never came.
    Lagged,
    /// FLUSHALL, FLUSHDB or SWAPDB, which publish nothing.
    Flush,
    /// The server's setting was changed.
    Config,
}

impl GapReason {
    /// Every reason; the position of one is its number.
    pub const ALL: [Self; 4] = [Self::Disconnect, Self::Lagged, Self::Flush, Self::Config];

    /// The label value.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Lagged => "lagged",
            Self::Flush => "flush",
            Self::Config => "config",
        }
    }
}

/// What the server and we counted at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Baseline {
    server: u64,
    heard: u64,
}

/// What a comparison showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// A beginning, or nothing is missing that was not missing before.
    Nothing,
    /// So many more events are missing than before.
    Lost(u64),
    /// The server counted, and not a single event has come: it does not publish them.
    Silent,
}

/// The comparison for one class of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    baseline: Option<Baseline>,
    /// The server's count at the last comparison. When it falls, it was reset.
    last: u64,
    /// Events that were known to be lost at the last comparison.
    lost: u64,
}

impl Ledger {
    /// Begins anew with the next comparison.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Compares. `server` is the server's count; `heard_before` the events that had come when it was asked for, which were published
    /// before; `heard_after` those that had come once everything published before the answer was in. Both count from the same
    /// beginning and never fall.
    pub fn compare(&mut self, server: u64, heard_before: u64, heard_after: u64) -> Finding {
        let last = std::mem::replace(&mut self.last, server);
        let baseline = match self.baseline {
            Some(baseline) if server >= last => baseline,
            // The first one, or CONFIG RESETSTAT, or a restart.
            _ => {
                self.lost = 0;
                self.baseline = Some(Baseline {
                    server,
                    heard: heard_before,
                });
                return Finding::Nothing;
            }
        };
        let counted = server.saturating_sub(baseline.server);
        let heard = heard_after.saturating_sub(baseline.heard);
        if counted > 0 && heard == 0 && self.lost == 0 {
            return Finding::Silent;
        }
        let missing = counted.saturating_sub(heard);
        let news = missing.saturating_sub(self.lost);
        self.lost = self.lost.max(missing);
        if news > 0 {
            Finding::Lost(news)
        } else {
            Finding::Nothing
        }
    }

    /// Takes a finding of [`Finding::Silent`] as a loss, where it is known that the class is published; gives back how much is lost.
    pub fn silence_is_loss(&mut self) -> u64 {
        let counted = self
            .baseline
            .map_or(0, |baseline| self.last.saturating_sub(baseline.server));
        let news = counted.saturating_sub(self.lost);
        self.lost = counted;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Finding::*;

    #[test]
    fn what_is_missing_is_told_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.compare(1000, 3, 9), Nothing, "a beginning");
        assert_eq!(ledger.compare(1100, 60, 103), Nothing);
        assert_eq!(ledger.compare(1200, 103, 200), Lost(3));
        assert_eq!(ledger.compare(1200, 200, 200), Nothing, "still the same three");
        assert_eq!(ledger.compare(1300, 200, 300), Nothing);
        assert_eq!(ledger.compare(1400, 300, 390), Lost(10));
        // More than was counted came: the surplus says nothing about what was missing before.
        assert_eq!(ledger.compare(1400, 390, 500), Nothing);
    }

    #[test]
    fn a_reset_of_the_counters_is_no_loss() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.compare(1000, 0, 0), Nothing);
        assert_eq!(ledger.compare(1005, 5, 5), Nothing);
        assert_eq!(ledger.compare(2, 5, 8), Nothing, "CONFIG RESETSTAT");
        assert_eq!(ledger.compare(10, 8, 16), Nothing);
        assert_eq!(
            ledger.compare(20, 16, 20),
            Lost(3),
            "18 counted since the new beginning, 15 came"
        );
    }

    #[test]
    fn silence_may_be_a_class_that_is_off() {
        let mut ledger = Ledger::default();
        ledger.compare(5, 0, 0);
        assert_eq!(ledger.compare(5, 0, 0), Nothing);
        assert_eq!(ledger.compare(9, 0, 0), Silent);
        assert_eq!(ledger.silence_is_loss(), 4);
        assert_eq!(ledger.compare(9, 0, 0), Nothing);
        assert_eq!(ledger.compare(10, 0, 0), Lost(1));
    }
}
