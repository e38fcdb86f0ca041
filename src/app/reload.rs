//! Reading the configuration again without stopping anything else.
//!
//! A file on a dead share may block whoever opens it for ever. So a thread of its own reads, the loop of signals waits for its
//! outcome beside everything else, and at most one such thread lingers.

use crate::config::{ConfigErrors, Loaded};
use crate::http::ReloadRequest;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// How long the configuration and its password files may take to be read. It takes milliseconds; an HTTP client waits 20 s, in
/// which a reload that is under way and the one that it asked for must both end.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(8);

/// Clients of `POST /-/reload` that may wait for the reload after the one under way; more are told to come later.
const MAX_WAITING: usize = 4;

/// What an earlier reload that hangs means for a new one.
const LINGERS: &str = "an earlier reload still hangs while it reads the configuration or a password file; mend that file system, \
    then reload again";

/// Reads the configuration; may block.
type Load = dyn Fn() -> Result<Loaded, ConfigErrors> + Send + Sync;

/// Why there is no new configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum ReloadError {
    /// It was read and is not valid.
    #[error("{0}")]
    Invalid(ConfigErrors),
    /// It could not be read at all, in words.
    #[error("{0}")]
    Unread(String),
}

/// Runs reloads one at a time.
pub(super) struct Reloader {
    load: Arc<Load>,
    limit: Duration,
    reading: Option<Reading>,
    /// Clients that asked since the reading began: what it reads may be older than what they mean.
    next: Vec<ReloadRequest>,
    /// Whether another reload follows, for a signal or for `next`.
    again: bool,
}

/// A thread that reads.
struct Reading {
    outcome: oneshot::Receiver<Result<Loaded, ConfigErrors>>,
    deadline: Instant,
    /// Who waits for it.
    clients: Vec<ReloadRequest>,
    /// The deadline passed: the reload has failed already, and the outcome is of no use.
    lingers: bool,
}

/// A reload that ended, and the clients that wait to be told.
pub(super) struct Ended {
    pub(super) outcome: Result<Loaded, ReloadError>,
    pub(super) clients: Vec<ReloadRequest>,
}

impl Reloader {
    /// Nothing is read yet. A reading that takes longer than `limit` has failed.
    pub(super) fn new(
        limit: Duration,
        load: impl Fn() -> Result<Loaded, ConfigErrors> + Send + Sync + 'static,
    ) -> Self {
        Self {
            load: Arc::new(load),
            limit,
            reading: None,
            next: Vec::new(),
            again: false,
        }
    }

    /// Whether another client may ask now; otherwise it must wait in the channel, which is bounded.
    pub(super) fn has_room(&self) -> bool {
        self.next.len() < MAX_WAITING
    }

    /// Asks for a reload, for a client or for a signal. What is asked for during a reload is done once, after it.
    pub(super) fn request(&mut self, client: Option<ReloadRequest>) {
        self.again = true;
        self.next.extend(client);
    }

    /// Waits for the end of a reload, and begins those that were asked for. Waits for ever while there is none. May be dropped at
    /// any time without losing anything.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            if self.again {
                match &self.reading {
                    None => {
                        if let Err(error) = self.begin() {
                            return self
                                .failed(format!("no thread can be started to read the configuration ({error})"));
                        }
                    }
                    Some(reading) if reading.lingers => return self.failed(LINGERS.to_owned()),
                    Some(_) => {}
                }
            }
            let Some(reading) = &mut self.reading else {
                return pending().await;
            };
            let outcome = if reading.lingers {
                Ok((&mut reading.outcome).await)
            } else {
                timeout_at(reading.deadline, &mut reading.outcome).await
            };
            let Ok(outcome) = outcome else {
                reading.lingers = true;
                return Ended {
                    outcome: Err(ReloadError::Unread(format!(
                        "reading the configuration and its password files took longer than {:?}; look at their file systems",
                        self.limit
                    ))),
                    clients: std::mem::take(&mut reading.clients),
                };
            };
            let (lingered, clients) = (reading.lingers, std::mem::take(&mut reading.clients));
            self.reading = None;
            if lingered {
                tracing::info!(
                    "the reload that hung has ended and changed nothing; the configuration can be reloaded again"
                );
                continue;
            }
            let outcome = match outcome {
                Ok(loaded) => loaded.map_err(ReloadError::Invalid),
                Err(_) => Err(ReloadError::Unread(
                    "the reading of the configuration broke off; please report this".to_owned(),
                )),
            };
            return Ended { outcome, clients };
        }
    }

    fn begin(&mut self) -> std::io::Result<()> {
        let (sender, outcome) = oneshot::channel();
        let load = self.load.clone();
        std::thread::Builder::new()
            .name("reload".to_owned())
            // Nobody waits any more when the process ends or the deadline passed.
            .spawn(move || drop(sender.send(load())))?;
        self.again = false;
        self.reading = Some(Reading {
            outcome,
            deadline: Instant::now() + self.limit,
            clients: std::mem::take(&mut self.next),
            lingers: false,
        });
        Ok(())
    }

    /// The reload that was asked for ends at once.
    fn failed(&mut self, sentence: String) -> Ended {
        self.again = false;
        Ended {
            outcome: Err(ReloadError::Unread(sentence)),
            clients: std::mem::take(&mut self.next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_str};
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    /// No test waits longer in real time.
    const BOUND: Duration = Duration::from_secs(20);

    fn valid() -> Result<Loaded, ConfigErrors> {
        load_str("{}", "test", Path::new(""), &Environment::of_pairs(&[]))
    }

    /// A reloader whose readings hang until the sender says what they found, and how many were begun.
    fn hanging() -> (Reloader, mpsc::Sender<Result<Loaded, ConfigErrors>>, Arc<AtomicUsize>) {
        let (sender, receiver) = mpsc::channel();
        let (receiver, begun) = (Mutex::new(receiver), Arc::new(AtomicUsize::new(0)));
        let counted = begun.clone();
        let load = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            receiver.lock().unwrap().recv().unwrap()
        };
        (Reloader::new(2 * BOUND, load), sender, begun)
    }

    /// Whether it waits.
    async fn is_waiting(reloader: &mut Reloader) -> bool {
        tokio::select! {
            biased;
            _ = reloader.ended() => false,
            () = tokio::task::yield_now() => true,
        }
    }

    async fn ended(reloader: &mut Reloader) -> Ended {
        tokio::time::timeout(BOUND, reloader.ended()).await.expect("it hangs")
    }

    fn unread(ended: &Ended) -> &str {
        match &ended.outcome {
            Err(ReloadError::Unread(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_asked_for_meanwhile_is_done_once_and_later() {
        let (mut reloader, found, begun) = hanging();
        assert!(is_waiting(&mut reloader).await);
        let (first, _answer) = oneshot::channel();
        reloader.request(Some(first));
        assert!(is_waiting(&mut reloader).await);
        for _ in 0..MAX_WAITING {
            assert!(reloader.has_room());
            let (client, _answer) = oneshot::channel();
            reloader.request(Some(client));
            reloader.request(None);
        }
        assert!(!reloader.has_room());
        assert!(is_waiting(&mut reloader).await);
        found.send(valid()).unwrap();
        let one = ended(&mut reloader).await;
        assert!(one.outcome.is_ok());
        assert_eq!(one.clients.len(), 1, "the others may mean a newer file");
        let invalid = load_str("x: 1", "test", Path::new(""), &Environment::of_pairs(&[]));
        found.send(invalid).unwrap();
        let two = ended(&mut reloader).await;
        assert!(matches!(two.outcome, Err(ReloadError::Invalid(_))));
        assert_eq!(two.clients.len(), MAX_WAITING);
        assert!(is_waiting(&mut reloader).await);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_reading_that_hangs_fails_and_lingers_alone() {
        let (mut reloader, found, begun) = hanging();
        reloader.limit = Duration::from_millis(50);
        reloader.request(None);
        let late = ended(&mut reloader).await;
        assert!(unread(&late).contains("took longer than 50ms"));
        reloader.limit = 2 * BOUND;
        for _ in 0..3 {
            let (client, _answer) = oneshot::channel();
            reloader.request(Some(client));
            let refused = ended(&mut reloader).await;
            assert_eq!((unread(&refused), refused.clients.len()), (LINGERS, 1));
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1, "one thread lingers");
        // What it finds in the end is as old as its beginning and not used; then there is room for the next.
        found.send(valid()).unwrap();
        while reloader.reading.is_some() {
            assert!(is_waiting(&mut reloader).await);
        }
        found.send(valid()).unwrap();
        reloader.request(None);
        assert!(ended(&mut reloader).await.outcome.is_ok());
    }

    #[tokio::test]
    async fn a_panic_while_reading_is_a_failure() {
        let mut reloader = Reloader::new(BOUND, || panic!("on purpose"));
        for _ in 0..2 {
            reloader.request(None);
            assert!(unread(&ended(&mut reloader).await).contains("broke off"));
        }
    }
}
