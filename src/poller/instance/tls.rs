//! What our TLS handshakes with the server show.
//!
//! Handshakes of the fresh connection of `connect` are shown, since they tell what a new client meets; those of the kept connection only where
//! that collector is off. Three lifetimes: the dates of certificates and the counters stay, as the contract has it, since a date does not become
//! wrong when the server dies; version, cipher and verdict live as long as the values of `connect`.

use super::Instance;
use crate::collectors::tls::{self, COLLECTOR};
use crate::metric::Samples;
use crate::poller::publish;
use crate::redis::{Reason, TlsHandshake, TlsReason};
use crate::snapshot::SectionKey;
use crate::snapshot::tls::TlsFacts;
use std::time::Duration;
use tokio::time::Instant;

/// Part of the section `tls` that holds what the last handshake agreed upon, and its verdict.
const HANDSHAKE: &str = "handshake";

/// Part of the section `tls` that holds the dates of certificates.
pub(in crate::poller) const CERTIFICATES: &str = "certificates";

impl Instance {
    /// Takes what a fresh connection's handshake showed; `None` when it did not come as far as TLS, which says nothing about certificates.
    pub(super) fn on_fresh_handshake(&mut self, handshake: Option<&TlsHandshake>) {
        if let Some(handshake) = handshake.filter(|_| self.is_on("connect")) {
            self.show_handshake(handshake, self.config.poll.connect_stale_after());
        }
    }

    /// Takes what the kept connection's handshake showed.
    pub(super) fn on_kept_handshake(&mut self, handshake: Option<TlsHandshake>) {
        self.kept_handshake = handshake;
        self.renew_kept_handshake();
    }

    /// Shows the kept connection's handshake again: as long as the connection answers, its version and cipher are those in use.
    pub(super) fn renew_kept_handshake(&mut self) {
        if !self.is_on("connect")
            && let Some(handshake) = self.kept_handshake.take()
        {
            self.show_handshake(&handshake, self.config.poll.ping_stale_after);
            self.kept_handshake = Some(handshake);
        }
    }

    /// Why TLS failed on the kept connection, where that is what failed.
    pub(super) fn kept_tls_failure(&self, reason: Reason) -> Option<TlsReason> {
        let handshake = self.kept_handshake.as_ref().filter(|_| reason == Reason::Tls);
        handshake.and_then(|handshake| handshake.failure)
    }

    fn show_handshake(&mut self, handshake: &TlsHandshake, lifetime: Duration) {
        if !self.is_on(COLLECTOR) || !self.config.address.tls {
            return;
        }
        let mut known = handshake.clone();
        if known.certificates.is_none() {
            // It failed before any were shown. Those of the server are still the last that were.
            let before = self.details.tls.as_ref();
            known.certificates = before.and_then(|facts| facts.handshake.certificates);
        } else {
            self.show(COLLECTOR, CERTIFICATES, tls::certificate_samples(handshake), None);
        }
        self.show(COLLECTOR, HANDSHAKE, tls::handshake_samples(handshake), Some(lifetime));
        self.details.tls = Some(TlsFacts {
            handshake: known,
            expires_at: (Instant::now() + lifetime).into_std(),
        });
    }

    /// Shows what is counted of all handshakes. What is not about TLS any more after a reload goes.
    pub(super) fn publish_tls_counters(&mut self) {
        if !self.config.address.tls || !self.is_on(COLLECTOR) {
            self.sections.remove(&SectionKey {
                collector: COLLECTOR,
                part: publish::COUNTERS,
            });
            self.details.tls = None;
            return;
        }
        let samples: Samples = tls::own_samples(
            self.connector.tls_errors().into_iter(),
            self.config.tls.insecure_skip_verify,
        );
        self.show(COLLECTOR, publish::COUNTERS, samples, None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Surroundings;
    use super::*;
    use crate::config::{Environment, load_str};
    use crate::snapshot::SnapshotStore;
    use std::sync::Arc;

    /// A failure that goes on is told once; one that is mended and followed by another one is told again, although both are of TLS.
    #[tokio::test]
    async fn each_reason_of_tls_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        for (name, text) in [("ca.pem", &certificate), ("cert.pem", &certificate), ("key.pem", &key)] {
            std::fs::write(path(name), text).unwrap();
        }
        let text = "instances: [{ name: a, address: 'rediss://localhost', \
                    tls: { ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem } }]";
        let loaded = load_str(text, "test", folder.path(), &Environment::of_pairs(&[])).unwrap();
        let store = Arc::new(SnapshotStore::new());
        let surroundings = Surroundings::new(&store, &loaded.config, "a");
        let mut instance = Instance::new(loaded.config.instances[0].clone(), surroundings);

        // Nobody is contacted before all files are read.
        std::fs::remove_file(path("ca.pem")).unwrap();
        instance.on_ping().await;
        instance.on_ping().await;
        std::fs::write(path("ca.pem"), &certificate).unwrap();
        std::fs::remove_file(path("key.pem")).unwrap();
        instance.on_ping().await;
        instance.on_ping().await;
        let told: Vec<&str> = instance
            .details
            .errors
            .iter()
            .map(|error| error.sentence.as_str())
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("tls.ca_file") && told[1].contains("tls.key_file"),
            "{told:?}"
        );
    }
}
