//! Blocking work that cannot pile up.
//!
//! The resolver of the C library and the opening of a file on a dead share block a thread and cannot be called off: when a deadline
//! passes, the thread stays busy until the resolver or the share gives up. One such job at a time per purpose keeps an instance
//! from filling the pool of blocking threads, which all instances share.

use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};

type Running<T, E> = JoinHandle<Result<T, E>>;

/// One job at most, which may still run after whoever asked for it has given up. Its clones share the job.
#[derive(Debug)]
pub(crate) struct Job<T, E> {
    running: Arc<Mutex<Option<Running<T, E>>>>,
}

// Derived, these would ask the same of the outcome.
impl<T, E> Clone for Job<T, E> {
    fn clone(&self) -> Self {
        Self {
            running: self.running.clone(),
        }
    }
}

impl<T, E> Default for Job<T, E> {
    fn default() -> Self {
        Self {
            running: Arc::default(),
        }
    }
}

impl<T: Send + 'static, E: Send + 'static> Job<T, E> {
    /// What `work` yields. May be dropped at any time; the next call then takes up the job that this one began, so all calls must
    /// stand for the same work. The tasks that call at the same time get their turns one after the other.
    ///
    /// # Errors
    /// When the work panicked.
    pub(crate) async fn run(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, JoinError> {
        let mut running = self.running.lock().await;
        if let Some(finished) = running.take_if(|job| job.is_finished()) {
            // A result that came too late for its asker is still the newest one; a failure that did is not news.
            if let Ok(Ok(result)) = finished.await {
                return Ok(Ok(result));
            }
        }
        let job = running.get_or_insert_with(|| tokio::task::spawn_blocking(work));
        let outcome = job.await;
        *running = None;
        outcome
    }
}

#[cfg(test)]
impl<T: Send + 'static, E: Send + 'static> Job<T, E> {
    /// Begins a job that hangs until the sender yields its outcome, as a dead resolver or share would make it.
    pub(crate) async fn hang(&self) -> std::sync::mpsc::Sender<Result<T, E>> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let hanging = tokio::task::spawn_blocking(move || receiver.recv().unwrap());
        *self.running.lock().await = Some(hanging);
        sender
    }

    pub(crate) async fn is_running(&self) -> bool {
        self.running.lock().await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Job<u8, ()>;

    /// A job that hangs is waited for again, not joined by a second one; its late result is used once.
    #[tokio::test]
    async fn takes_up_a_job_that_outlived_its_deadline() {
        let job = Numbers::default();
        let answer = job.hang().await;
        let clone = job.clone();
        for _ in 0..3 {
            tokio::select! {
                biased;
                outcome = clone.run(|| panic!("a second job")) => panic!("ended with {outcome:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        answer.send(Ok(7)).unwrap();
        assert_eq!(job.run(|| panic!("a second job")).await.unwrap(), Ok(7));
        assert!(!job.is_running().await);
        assert_eq!(job.run(|| Ok(8)).await.unwrap(), Ok(8));
    }

    #[tokio::test]
    async fn a_late_failure_is_no_news_and_a_panic_is_told() {
        let job = Numbers::default();
        job.hang().await.send(Err(())).unwrap();
        while !job.running.lock().await.as_ref().unwrap().is_finished() {
            tokio::task::yield_now().await;
        }
        assert_eq!(job.run(|| Ok(1)).await.unwrap(), Ok(1));
        assert!(job.run(|| panic!("on purpose")).await.unwrap_err().is_panic());
        assert_eq!(job.run(|| Err(())).await.unwrap(), Err(()));
    }
}
