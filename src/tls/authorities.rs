//! The certificate authorities that are trusted: those of a file, or those of this machine.

use super::files::{TlsFileError, certificates};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
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
    /// This machine: the usual files of the distributions.
    System,
    /// What these environment variables name, in place of the machine's: `SSL_CERT_FILE`, `SSL_CERT_DIR`, or both.
    Environment(&'static str),
}

impl Origin {
    /// Where the authorities of the machine are read, by which of OpenSSL's variables are set. One that is set and empty counts as
    /// rustls-native-certs has it: the file as a path that cannot be read, the folder as none.
    fn of_variables(file: Option<&OsStr>, folders: Option<&OsStr>) -> Self {
        let has_folders =
            folders.is_some_and(|folders| std::env::split_paths(folders).any(|path| !path.as_os_str().is_empty()));
        match (file.is_some(), has_folders) {
            (true, true) => Self::Environment("SSL_CERT_FILE and SSL_CERT_DIR"),
            (true, false) => Self::Environment("SSL_CERT_FILE"),
            (false, true) => Self::Environment("SSL_CERT_DIR"),
            (false, false) => Self::System,
        }
    }
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
        static KNOWN: SystemList = SystemList::new();
        KNOWN.current(Self::read_system)
    }

    fn read_system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let (roots, unusable) = anchors(found.certs.into_iter());
        Self {
            roots,
            named: Vec::new(),
            unusable: unusable + found.errors.len(),
            origin: Origin::of_variables(
                std::env::var_os("SSL_CERT_FILE").as_deref(),
                std::env::var_os("SSL_CERT_DIR").as_deref(),
            ),
        }
    }
}

/// The machine's list as it was read last. Connections that break break at once, and hundreds of instances connect anew in the same moment: one
/// of them reads, the others go on with the list as it was.
struct SystemList {
    known: Mutex<Option<(Instant, Arc<Authorities>)>>,
    /// Held by whoever reads.
    reader: Mutex<()>,
}

impl SystemList {
    const fn new() -> Self {
        Self {
            known: Mutex::new(None),
            reader: Mutex::new(()),
        }
    }

    /// The list, read anew when it is too old and nobody else does so. Only before the first one is there, others wait for their reader.
    fn current(&self, read: impl FnOnce() -> Authorities) -> Arc<Authorities> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fresh = || known().filter(|(read_at, _)| read_at.elapsed() < SYSTEM_LIFETIME);
        if let Some((_, authorities)) = fresh() {
            return authorities;
        }
        let _reader = match (self.reader.try_lock(), known()) {
            (Ok(reader), _) => reader,
            (Err(TryLockError::Poisoned(reader)), _) => reader.into_inner(),
            // A file that hangs may hang one reader, not all.
            (Err(TryLockError::WouldBlock), Some((_, authorities))) => return authorities,
            (Err(TryLockError::WouldBlock), None) => self.reader.lock().unwrap_or_else(PoisonError::into_inner),
        };
        // Somebody may have read while this one waited.
        if let Some((_, authorities)) = fresh() {
            return authorities;
        }
        let authorities = Arc::new(read());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&authorities)));
        authorities
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
        assert!(!matches!(first.origin, Origin::File(_)));
        assert!(first.named.is_empty());
    }

    fn nobody() -> Authorities {
        Authorities {
            roots: Arc::new(RootCertStore::empty()),
            named: Vec::new(),
            unusable: 0,
            origin: Origin::System,
        }
    }

    /// All instances connect anew at once when a network was away. Reading takes tens of milliseconds of processor time and a list some
    /// hundred kilobytes, so that hundreds of readers would miss their deadlines.
    #[test]
    fn many_at_once_read_once() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (list, reads) = (SystemList::new(), AtomicUsize::new(0));
        let all = 16;
        let (waiting, is_waited_for) = std::sync::mpsc::channel();
        let is_waited_for = Mutex::new(is_waited_for);
        let lists: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..all)
                .map(|_| {
                    let (list, reads, waiting, is_waited_for) = (&list, &reads, waiting.clone(), &is_waited_for);
                    scope.spawn(move || {
                        waiting.send(()).unwrap();
                        list.current(|| {
                            reads.fetch_add(1, Ordering::Relaxed);
                            let is_waited_for = is_waited_for.lock().unwrap();
                            for _ in 0..all {
                                // Fewer when a second reader has taken some of them.
                                let _ = is_waited_for.recv_timeout(Duration::from_secs(10));
                            }
                            nobody()
                        })
                    })
                })
                .collect();
            asked.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(reads.into_inner(), 1);
        assert!(lists.iter().all(|list| Arc::ptr_eq(list, &lists[0])));
    }

    #[test]
    fn an_old_list_is_used_while_somebody_reads_and_a_reader_that_panics_hinders_nobody() {
        let list = SystemList::new();
        let old = Arc::new(nobody());
        let long_ago = Instant::now().checked_sub(SYSTEM_LIFETIME).unwrap();
        *list.known.lock().unwrap() = Some((long_ago, Arc::clone(&old)));
        let read = list.current(|| {
            let meanwhile = std::thread::scope(|scope| scope.spawn(|| list.current(nobody)).join().unwrap());
            assert!(Arc::ptr_eq(&meanwhile, &old));
            nobody()
        });
        assert!(!Arc::ptr_eq(&read, &old) && Arc::ptr_eq(&read, &list.current(nobody)));

        let list = SystemList::new();
        let panicked =
            std::thread::scope(|scope| scope.spawn(|| list.current(|| panic!("on purpose"))).join().is_err());
        let first = list.current(nobody);
        assert!(panicked && Arc::ptr_eq(&first, &list.current(nobody)));
    }

    #[test]
    fn variables_take_the_place_of_the_machine() {
        let of = |file: Option<&str>, folders: Option<&str>| {
            Origin::of_variables(file.map(OsStr::new), folders.map(OsStr::new))
        };
        assert_eq!(of(None, None), Origin::System);
        assert_eq!(of(None, Some("")), Origin::System);
        assert_eq!(of(None, Some(":/etc/ssl/certs")), Origin::Environment("SSL_CERT_DIR"));
        assert_eq!(of(Some("/ca.pem"), Some(":")), Origin::Environment("SSL_CERT_FILE"));
        assert_eq!(
            of(Some(""), Some("/a")),
            Origin::Environment("SSL_CERT_FILE and SSL_CERT_DIR")
        );
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
