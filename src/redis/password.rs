//! Reading of password files.

use super::error::{Place, RedisError};
use super::reason::Reason;
use crate::config::types::PasswordSource;
use std::io::Read;
use std::path::Path;
use tokio::time::{Instant, timeout_at};

/// Largest password file. Passwords of Redis are at most some hundred bytes; tokens of cloud services a few KiB. Whoever names a
/// larger file has named the wrong one.
pub const MAX_PASSWORD_BYTES: usize = 64 * 1024;

/// Why a password file cannot be used. It never carries what the file holds.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot read the password file {path} ({error})")]
    Io { path: String, error: std::io::Error },
    #[error("the password file {path} is not a regular file")]
    NotRegular { path: String },
    #[error("the password file {path} is larger than {MAX_PASSWORD_BYTES} bytes")]
    TooLarge { path: String },
}

/// The password as it is now, or `None` when none is configured. Files are read off the async threads.
///
/// # Errors
/// `Auth` when the file cannot be read, `Timeout` when it does not come before `deadline`.
pub(crate) async fn read_password(
    source: &PasswordSource,
    place: Place<'_>,
    deadline: Instant,
) -> Result<Option<Vec<u8>>, RedisError> {
    let path = match source {
        PasswordSource::None => return Ok(None),
        PasswordSource::Inline(secret) => return Ok(Some(secret.expose().as_bytes().to_vec())),
        PasswordSource::File(path) => path.clone(),
    };
    let reading = tokio::task::spawn_blocking(move || read_file(&path));
    match timeout_at(deadline, reading).await {
        Err(_) => Err(place.timeout()),
        Ok(Err(_)) => Err(place.error(Reason::Other, "the reader of the password file broke off")),
        Ok(Ok(Err(error))) => Err(place.error(Reason::Auth, error)),
        Ok(Ok(Ok(password))) => Ok(Some(password)),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let shown = || path.display().to_string();
    let io = |error| FileError::Io { path: shown(), error };
    // Asked before opening: opening a pipe that nobody writes to would block this thread for ever, once per connect.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(FileError::NotRegular { path: shown() });
    }
    let limit = u64::try_from(MAX_PASSWORD_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut password = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut password))
        .map_err(io)?;
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(FileError::TooLarge { path: shown() });
    }
    // Editors and `echo` end a file with a line break that is not part of the password.
    if password.last() == Some(&b'\n') {
        password.pop();
        if password.last() == Some(&b'\r') {
            password.pop();
        }
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::Secret;
    use std::time::Duration;

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn one_trailing_line_break_is_dropped() {
        let table: [(&[u8], &[u8]); 7] = [
            (b"p", b"p"),
            (b"p\n", b"p"),
            (b"p\r\n", b"p"),
            (b"p\n\n", b"p\n"),
            (b" p \xff#%@:/\n", b" p \xff#%@:/"),
            (b"\n", b""),
            (b"", b""),
        ];
        for (content, password) in table {
            assert_eq!(read_file(file_with(content).path()).unwrap(), password);
        }
    }

    #[test]
    fn what_is_no_password_file_is_refused_without_showing_its_content() {
        let large = file_with(&vec![b'x'; MAX_PASSWORD_BYTES + 1]);
        assert!(matches!(read_file(large.path()), Err(FileError::TooLarge { .. })));
        let exact = file_with(&vec![b'x'; MAX_PASSWORD_BYTES]);
        assert_eq!(read_file(exact.path()).unwrap().len(), MAX_PASSWORD_BYTES);
        assert!(matches!(read_file(Path::new("/")), Err(FileError::NotRegular { .. })));
        assert!(matches!(
            read_file(Path::new("/dev/zero")),
            Err(FileError::NotRegular { .. })
        ));
        let missing = read_file(Path::new("/nonexistent/password")).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot read the password file /nonexistent/password (")
        );
    }

    #[tokio::test]
    async fn every_source_yields_its_password() {
        let place = Place {
            endpoint: "redis://h:1/0",
            step: "before connecting",
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let file = file_with(b"secret\n");
        let read = async |source: PasswordSource| read_password(&source, place, deadline).await;
        assert_eq!(read(PasswordSource::None).await, Ok(None));
        assert_eq!(
            read(PasswordSource::Inline(Secret::new("a\n"))).await,
            Ok(Some(b"a\n".to_vec()))
        );
        assert_eq!(
            read(PasswordSource::File(file.path().to_owned())).await,
            Ok(Some(b"secret".to_vec()))
        );
        let error = read(PasswordSource::File("/nonexistent".into())).await.unwrap_err();
        assert_eq!(error.reason, Reason::Auth);
        assert!(error.message.contains("/nonexistent"));
    }
}
