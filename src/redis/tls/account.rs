//! How many of our handshakes failed, and why.

use super::TlsReason;
use std::sync::atomic::{AtomicU64, Ordering};

/// The failed handshakes with one server, over all connections to it. It lives as long as the instance is watched under this endpoint.
#[derive(Debug, Default)]
pub(in crate::redis) struct TlsAccount {
    failures: [AtomicU64; TlsReason::ALL.len()],
}

impl TlsAccount {
    /// Counts one more.
    pub(in crate::redis) fn note(&self, reason: TlsReason) {
        for (known, count) in TlsReason::ALL.iter().zip(&self.failures) {
            if *known == reason {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// All that were counted, by reason in the order of the contract. No number ever falls.
    pub(in crate::redis) fn counts(&self) -> [(TlsReason, u64); TlsReason::ALL.len()] {
        let mut counts = TlsReason::ALL.map(|reason| (reason, 0));
        for ((_, count), failures) in counts.iter_mut().zip(&self.failures) {
            *count = failures.load(Ordering::Relaxed);
        }
        counts
    }
}
