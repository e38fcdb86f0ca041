//! The password of a connection, read anew from its file if it stands in one.

use super::error::{Place, RedisError};
use super::job::Job;
use super::reason::Reason;
use crate::config::password_file::{self, PasswordFileFailure};
use crate::config::password_map;
use crate::config::types::{PasswordSource, Secret};
use tokio::time::{Instant, timeout_at};

/// The reading of one password file, at most one at a time.
pub(crate) type Reading = Job<Secret, PasswordFileFailure>;

/// The password as it is now, or `None` when none is configured. Files are read off the async threads; all calls with one
/// `reading` must name the same file.
///
/// # Errors
/// `Auth` when the file holds no password that can be read, `Timeout` when it does not come before `deadline`.
pub(crate) async fn read_password(
    reading: &Reading,
    source: &PasswordSource,
    place: Place<'_>,
    deadline: Instant,
) -> Result<Option<Secret>, RedisError> {
    let (path, key) = match source {
        PasswordSource::None => return Ok(None),
        PasswordSource::Inline(secret) => return Ok(Some(secret.clone())),
        PasswordSource::File(path) => (path, None),
        PasswordSource::MapFile { path, key } => (path, Some(key.clone())),
    };
    let work = {
        let path = path.clone();
        move || match key {
            None => password_file::read(&path),
            Some(key) => password_map::read(&path, &key),
        }
    };
    match timeout_at(deadline, reading.run(work)).await {
        // The advice for a server that does not answer would lead astray.
        Err(_) => Err(RedisError {
            reason: Reason::Timeout,
            message: format!(
                "{}: the deadline passed while the password file {} was read; look at its file system",
                place.endpoint,
                path.display()
            ),
        }),
        Ok(Err(_)) => Err(place.error(Reason::Other, "the reader of the password file broke off")),
        Ok(Ok(Err(failure))) => {
            let sentence = failure.about(&format!("the file {}", path.display()));
            Err(place.error(Reason::Auth, format_args!("cannot read the password ({sentence})")))
        }
        Ok(Ok(Ok(password))) => Ok(Some(password)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PLACE: Place<'_> = Place {
        endpoint: "redis://h:1/0",
        step: "before connecting",
    };

    async fn read(source: &PasswordSource) -> Result<Option<Secret>, RedisError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        read_password(&Reading::default(), source, PLACE, deadline).await
    }

    #[tokio::test]
    async fn every_source_yields_its_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let inline = PasswordSource::Inline(Secret::new("a\n"));
        assert_eq!(read(&PasswordSource::None).await, Ok(None));
        assert_eq!(read(&inline).await, Ok(Some(Secret::new("a\n"))));
        let file_source = PasswordSource::File(file.path().to_owned());
        assert_eq!(read(&file_source).await, Ok(Some(Secret::new("secret"))));
        // Emptied by a rotation that has not written the new one yet.
        std::fs::write(file.path(), "").unwrap();
        let error = read(&file_source).await.unwrap_err();
        assert_eq!(error.reason, Reason::Auth);
        let path = file.path().display().to_string();
        assert!(
            error.message.contains(&path) && error.message.contains("is empty"),
            "{error}"
        );
        let map_source = PasswordSource::MapFile {
            path: file.path().to_owned(),
            key: Secret::new("redis://u@h"),
        };
        std::fs::write(file.path(), "{\"redis://u@h\": \"of the map\"}").unwrap();
        assert_eq!(read(&map_source).await, Ok(Some(Secret::new("of the map"))));
        assert!(read(&file_source).await.is_err(), "the whole map is nobody's password");
        std::fs::write(file.path(), "{}").unwrap();
        let error = read(&map_source).await.unwrap_err();
        assert_eq!(error.reason, Reason::Auth);
        assert!(error.message.contains("holds no password for this address"), "{error}");
        let error = read(&PasswordSource::File("/nonexistent".into())).await.unwrap_err();
        assert_eq!(error.reason, Reason::Auth);
        assert!(error.message.contains("/nonexistent"), "{error}");
    }

    #[tokio::test]
    async fn a_dead_share_costs_one_thread_and_is_named() {
        let reading = Reading::default();
        let answer = reading.hang().await;
        let source = PasswordSource::File("/mnt/dead/password".into());
        for _ in 0..3 {
            let error = read_password(&reading, &source, PLACE, Instant::now())
                .await
                .unwrap_err();
            assert_eq!(error.reason, Reason::Timeout);
            assert!(error.message.contains("/mnt/dead/password"), "{error}");
            assert!(reading.is_running().await);
        }
        // The file does not exist here: only the job that hung can have yielded this.
        answer.send(Ok(Secret::new("late"))).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let password = read_password(&reading, &source, PLACE, deadline).await;
        assert_eq!(password, Ok(Some(Secret::new("late"))));
    }
}
