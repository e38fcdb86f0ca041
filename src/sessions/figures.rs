//! What is known of the sessions of a store, and how sure it is.

use crate::metric::Distribution;
use std::collections::BTreeMap;

/// A figure with its 95 % interval; an exact one is its own interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end; never above `value`, never below 0.
    pub low: f64,
    /// Upper end; never below `value`.
    pub high: f64,
}

impl Estimate {
    /// A figure that was counted, not estimated.
    pub const fn exact(value: f64) -> Self {
        Self {
            value,
            low: value,
            high: value,
        }
    }

    /// Whether nothing was estimated.
    pub fn is_exact(&self) -> bool {
        self.low >= self.high
    }
}

/// Sessions with the same value of the label `app`; `None` where the store has no such label.
pub type App = Option<Box<str>>;

/// What one scan found of one store. Everything that could not be asked for (no permission, nothing configured) is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreFigures {
    /// Sessions by `app`; a store without that label has the one key `None`. Never empty.
    pub active: BTreeMap<App, Estimate>,
    /// Sessions that never expire.
    pub without_ttl: Option<Estimate>,
    /// Sessions that live longer than `expected_ttl` from now.
    pub ttl_exceeding: Option<f64>,
    /// Memory of the keys.
    pub memory_bytes: Option<Estimate>,
    /// Sessions whose value does not begin as the operator expects.
    pub unencrypted: Option<Estimate>,
    /// Remaining TTL in seconds, scaled to all sessions of the store.
    pub ttl_remaining: Option<Distribution>,
    /// Size in bytes, scaled to all sessions of the store.
    pub size: Option<Distribution>,
}

impl StoreFigures {
    /// Sessions over all values of `app`. The interval is the sum of the intervals: wider than needed, never narrower.
    pub fn total(&self) -> Estimate {
        let mut total = Estimate::exact(0.0);
        for part in self.active.values() {
            total.value += part.value;
            total.low += part.low;
            total.high += part.high;
        }
        total
    }
}
