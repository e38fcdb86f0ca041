//! The certificate authorities that are trusted: those of a file, or those of this machine.

use super::files::{TlsFileError, certificates};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the authorities of the machine are believed without being read again. Reading them costs some milliseconds of processor
/// time (measured: see ARCHITECTURE.md, "Dependencies"), and they change when somebody installs packages; one minute is soon enough
/// for that. A `ca_file` is read at every handshake.
const SYSTEM_LIFETIME: Duration = Duration::from_secs(60);

/// Where authorities come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file of ours.
    File(PathBuf),
    /// This machine: the usual files of the distributions, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    System,
}

/// Certificates that are trusted.
#[derive(Debug)]
pub struct Authorities {
    /// Those that may have issued others.
    pub roots: Arc<RootCertStore>,
    /// All certificates of a file as they stand there, also those that are no authority: a server whose own certificate is among them is
    /// trusted too. Empty for the machine's, which hold authorities only.
    pub named: Vec<CertificateDer<'static>>,
    /// How many certificates were read that cannot be an authority and are left out of `roots`.
    pub unusable: usize,
    /// Where they come from.
    pub origin: Origin,
}

impl Authorities {
    /// The certificates of a file. A section that is damaged is an error, since half a list of what is trusted would be a surprise on
    /// the day when the other half is needed; a certificate that is whole but cannot be an authority is left out and counted, and
    /// harms none of the others.
    ///
    /// # Errors
    /// [`TlsFileError`] when the file cannot be read, is damaged anywhere, or holds no certificate.
    pub fn of_file(path: &Path) -> Result<Self, TlsFileError> {
        let named = certificates(path)?;
        let (roots, unusable) = anchors(named.iter().cloned());
        Ok(Self {
            roots,
            named,
            unusable,
            origin: Origin::File(path.to_owned()),
        })
    }

    /// Those of this machine; none at all on a machine that has no list of them, for example in an empty container. What cannot be
    /// read of them is left out, as every other program on this machine does.
    pub fn of_system() -> Arc<Self> {
        /// One list for the whole process, since it is the machine's and takes some hundred kilobytes.
        static KNOWN: Mutex<Option<(Instant, Arc<Authorities>)>> = Mutex::new(None);
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((read_at, authorities)) = known
            && read_at.elapsed() < SYSTEM_LIFETIME
        {
            return authorities;
        }
        // Not under the lock: a file that hangs may hang one reader, not all.
        let authorities = Arc::new(Self::read_system());
        *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&authorities)));
        authorities
    }

    fn read_system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let (roots, unusable) = anchors(found.certs.into_iter());
        Self {
            roots,
            named: Vec::new(),
            unusable: unusable + found.errors.len(),
            origin: Origin::System,
        }
    }
}

fn anchors(certificates: impl Iterator<Item = CertificateDer<'static>>) -> (Arc<RootCertStore>, usize) {
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(certificates);
    (Arc::new(roots), unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_asked_once_a_minute() {
        let first = Authorities::of_system();
        assert!(Arc::ptr_eq(&first, &Authorities::of_system()));
        assert_eq!(first.origin, Origin::System);
        assert!(first.named.is_empty());
    }

    /// Figures for ARCHITECTURE.md: `cargo test --release --lib authorities -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement, not a test"]
    fn cost_of_reading_the_machine() {
        let started = Instant::now();
        let rounds = 20;
        for _ in 0..rounds {
            std::hint::black_box(Authorities::read_system());
        }
        let authorities = Authorities::read_system();
        println!(
            "{:?} for {} authorities",
            started.elapsed() / rounds,
            authorities.roots.len()
        );
    }
}
