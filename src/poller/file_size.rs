//! How large a file on this machine is, for a collector that names one ([`crate::collectors::Collector::file`]).
//!
//! A file system that does not answer (a share whose server is gone) blocks the thread that asks and cannot be called off. So one question
//! at a time is under way per collector, on a thread of its own, and no poll waits long for it.

use crate::redis::job::Job;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait for an answer. A file system that works says how large a file is within a millisecond, a share over a network within some
/// ten; whoever takes longer is asked on behalf of the next poll.
const PATIENCE: Duration = Duration::from_millis(100);

/// A path, and how large its file was found to be.
type Found = (PathBuf, Option<u64>);

/// The questions of one collector.
#[derive(Debug, Default)]
pub(super) struct FileSize {
    job: Job<Found, Infallible>,
    /// Whether the last answer did not come in time, so that nobody waits for it any more.
    is_late: bool,
}

impl FileSize {
    /// The size of a regular file in bytes, links followed. `None` when there is none, when it may not be looked at, and when the file
    /// system does not answer before `deadline` or within a tenth of a second; while it goes on like that it is not waited for.
    pub(super) async fn of(&mut self, path: PathBuf, deadline: Instant) -> Option<u64> {
        let until = match self.is_late {
            true => Instant::now(),
            false => deadline.min(Instant::now() + PATIENCE),
        };
        let (found, bytes) = self.ask(&path, until).await?;
        if found == path {
            return bytes;
        }
        // The answer to an earlier question, about a file that the server no longer writes.
        let (_, bytes) = self.ask(&path, until).await.filter(|(found, _)| *found == path)?;
        bytes
    }

    async fn ask(&mut self, path: &Path, until: Instant) -> Option<Found> {
        let work = {
            let path = path.to_owned();
            move || {
                let bytes = size(&path);
                Ok((path, bytes))
            }
        };
        let outcome = timeout_at(until, self.job.run(work)).await;
        self.is_late = outcome.is_err();
        let Ok(found) = outcome.ok()?.ok()?;
        Some(found)
    }
}

/// The size of a regular file.
fn size(path: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_file().then_some(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn only_a_regular_file_has_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dump.rdb");
        let mut sizes = FileSize::default();
        assert_eq!(sizes.of(file.clone(), soon()).await, None);
        std::fs::write(&file, [0; 1234]).unwrap();
        assert_eq!(sizes.of(file, soon()).await, Some(1234));
        assert_eq!(sizes.of(folder.path().to_owned(), soon()).await, None);
    }

    /// A share that hangs: one poll waits a little, the following ones not at all, and nobody asks a second time meanwhile.
    #[tokio::test]
    async fn a_dead_share_is_waited_for_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dump.rdb");
        std::fs::write(&file, [0; 10]).unwrap();
        let mut sizes = FileSize::default();
        let answer = sizes.job.hang().await;
        let began = Instant::now();
        assert_eq!(sizes.of(file.clone(), soon()).await, None);
        assert!(began.elapsed() >= PATIENCE && sizes.is_late);
        // A thousand polls that waited would take more than a minute.
        let began = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(sizes.of(file.clone(), soon()).await, None);
        }
        assert!(began.elapsed() < 500 * PATIENCE);
        assert!(sizes.job.is_running().await);
        // The answer that comes at last is taken; its file is the same one.
        answer.send(Ok((file.clone(), Some(9)))).unwrap();
        let found = loop {
            match sizes.of(file.clone(), soon()).await {
                Some(bytes) => break bytes,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(found, 9);
    }

    #[tokio::test]
    async fn an_answer_about_another_file_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dump.rdb");
        std::fs::write(&file, [0; 10]).unwrap();
        let mut sizes = FileSize::default();
        let answer = sizes.job.hang().await;
        answer.send(Ok((folder.path().join("old.rdb"), Some(9)))).unwrap();
        assert_eq!(sizes.of(file, soon()).await, Some(10));
    }
}
