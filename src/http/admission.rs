//! Whether a client that is connected would be let in again.
//!
//! What clients must show may change while they are connected, and certificates end, but a connection of Prometheus lives for months. So
//! what a client showed in its handshake is kept, and verified again when the web configuration changes and now and then.

use super::tls::{ClientVerifier, ServerTls, Standing};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a certificate that was verified again is believed. A look verifies a chain twice, which costs many times as much as an answer from memory;
/// a client that asks ten thousand times meanwhile pays once. What ends before the next look is known by [`FORESIGHT`].
const BELIEVED: Duration = Duration::from_secs(120);

/// A certificate that ends within this time has its connection closed behind the next answer, so that the client comes back with the one
/// that took its place. More than the time for which a look is believed and the longest that a connection is idle (`Timeouts::idle`)
/// together, so that a connection in use never runs into the end.
const FORESIGHT: Duration = Duration::from_secs(300);

/// What one client showed when it connected, and when that was last found good.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Its certificate and what leads to its authority; empty where it showed none, `None` in clear.
    shown: Option<Vec<CertificateDer<'static>>>,
    last: Mutex<Option<Look>>,
}

/// A look that found the certificate good.
#[derive(Debug)]
struct Look {
    /// By whose demands.
    verifier: Arc<ClientVerifier>,
    believed_until: Instant,
}

/// What is to be done with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered.
    Stays,
    /// It is answered once more: its certificate ends soon.
    Reconnects,
    /// It would not be let in now.
    Leaves,
    /// It was connected in clear, and TLS is spoken by now.
    InClear,
}

impl Admission {
    /// Of a client that connected without TLS.
    pub(super) fn in_clear() -> Self {
        Self::default()
    }

    /// Of a client that showed these certificates in its handshake.
    pub(super) fn over_tls(shown: Option<&[CertificateDer<'static>]>) -> Self {
        Self {
            shown: Some(shown.unwrap_or_default().to_vec()),
            last: Mutex::default(),
        }
    }

    /// What its client is worth under `tls`, which holds now. `date` is asked where a certificate is looked at.
    pub(super) fn verdict(&self, tls: Option<&ServerTls>, now: Instant, date: impl FnOnce() -> UnixTime) -> Verdict {
        let (shown, tls) = match (&self.shown, tls) {
            // TLS is never switched off while clients are connected.
            (_, None) => return Verdict::Stays,
            (None, Some(_)) => return Verdict::InClear,
            (Some(shown), Some(tls)) => (shown, tls),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_believed = |look: &Look| Arc::ptr_eq(&look.verifier, &tls.verifier) && now < look.believed_until;
        if last.as_ref().is_some_and(is_believed) {
            return Verdict::Stays;
        }
        *last = None;
        match tls.verifier.standing(shown, date(), FORESIGHT) {
            Standing::Good => {
                *last = Some(Look {
                    verifier: tls.verifier.clone(),
                    believed_until: now + BELIEVED,
                });
                Verdict::Stays
            }
            Standing::Ending => Verdict::Reconnects,
            Standing::Refused => Verdict::Leaves,
        }
    }
}

#[cfg(test)]
mod tests;
