//! Session counts between scans: what keyspace notifications add to and take from the last count, and how a new count corrects it.

use super::Instance;
use crate::poller::scan::ScanOutcome;
use std::time::Duration;

/// What is kept between scans.
#[derive(Debug)]
pub(super) struct Counts {}

impl Counts {
    /// Nothing counted yet.
    pub(super) fn new() -> Self {
        Self {}
    }

    /// Waits until something about the counts is to be done on the kept connection: the TTLs of sessions that were just created.
    pub(super) async fn due(&self) {
        std::future::pending().await
    }
}

impl Instance {
    /// Other stores are counted now: the configuration changed, or a library was recognised.
    pub(super) fn on_stores_changed(&mut self) {}

    /// A pass over the keys begins.
    pub(super) fn note_pass_started(&mut self) {}

    /// A pass ended well. Its counts stay visible for `lifetime`.
    pub(super) fn note_counts(&mut self, _outcome: &ScanOutcome, _lifetime: Duration) {}

    /// Does what [`Counts::due`] waited for.
    pub(super) async fn on_counts_due(&mut self) {}
}
