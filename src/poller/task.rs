//! A task that ends with its owner.

use std::future::Future;
use tokio::task::{JoinError, JoinHandle};

/// Aborts the task when dropped, so that no reload or removal leaves one behind.
#[derive(Debug)]
pub struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    /// Spawns on the current runtime.
    pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    /// Whether the task has ended, also by a panic.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the end of the task, also by a panic. May be dropped and asked again at any time.
    pub async fn ended(&mut self) {
        // A handle that has yielded its outcome must not be asked again.
        if !self.0.is_finished() {
            let _ = (&mut self.0).await;
        }
    }

    /// Waits for the end of the task.
    ///
    /// # Errors
    /// When it panicked or was aborted.
    pub async fn join(mut self) -> Result<(), JoinError> {
        (&mut self.0).await
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
