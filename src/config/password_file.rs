//! The check that a password file can be read, made when the configuration is loaded. The connection reads it again.

use super::address::MAX_SECRET_BYTES;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Why a password file is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordFileFailure {
    Missing,
    Forbidden,
    NotAFile,
    Unreadable,
    Empty,
    TooLong,
    NotText,
}

impl PasswordFileFailure {
    /// What is wrong with the file. It names the path only where it looks like one (it begins with `/` or `.`) and stands in
    /// the configuration itself: somebody may have written the password where its file belongs.
    pub(super) fn sentence(self, written: &str, substituted: bool) -> String {
        let file = if !substituted && written.starts_with(['/', '.']) {
            format!("the file {written}")
        } else {
            "the file of that name".to_owned()
        };
        match self {
            Self::Missing => format!("{file} does not exist; create it, or mend the path"),
            Self::Forbidden => format!("{file} may not be read by this user; change its owner or its mode"),
            Self::NotAFile => format!("{file} is not a regular file; name a file that holds the password"),
            Self::Unreadable => format!("{file} cannot be read; look at its file system"),
            Self::Empty => format!("{file} is empty; write the password into it"),
            Self::TooLong => {
                format!("{file} is longer than {MAX_SECRET_BYTES} bytes; it holds the password and nothing else")
            }
            Self::NotText => format!("{file} does not hold UTF-8 text; write the password into it as text"),
        }
    }
}

/// The absolute path of a password file, if it can be read now. Relative paths begin at `directory`.
pub(super) fn checked(directory: &Path, written: &str) -> Result<PathBuf, PasswordFileFailure> {
    let path = directory.join(written);
    // Absolute, so that `/config` shows what is read whatever the working directory of the reader is.
    let path = std::path::absolute(&path).unwrap_or(path);
    let metadata = std::fs::metadata(&path).map_err(|error| failure_of(&error))?;
    // A pipe would make the load wait for whoever writes to it.
    if !metadata.is_file() {
        return Err(PasswordFileFailure::NotAFile);
    }
    let file = std::fs::File::open(&path).map_err(|error| failure_of(&error))?;
    // Two bytes more than a password: one shows that it is too long, and its line break may take two.
    let bound = u64::try_from(MAX_SECRET_BYTES + 3).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    file.take(bound)
        .read_to_end(&mut content)
        .map_err(|error| failure_of(&error))?;
    let text = std::str::from_utf8(&content).map_err(|_| PasswordFileFailure::NotText)?;
    let password = text.strip_suffix('\n').unwrap_or(text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        Err(PasswordFileFailure::Empty)
    } else if password.len() > MAX_SECRET_BYTES {
        Err(PasswordFileFailure::TooLong)
    } else {
        Ok(path)
    }
}

fn failure_of(error: &std::io::Error) -> PasswordFileFailure {
    match error.kind() {
        ErrorKind::NotFound => PasswordFileFailure::Missing,
        ErrorKind::PermissionDenied => PasswordFileFailure::Forbidden,
        _ => PasswordFileFailure::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_password_is_fine_wherever_the_configuration_lies() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "hunter2\n").unwrap();
        let expected = directory.path().join("secret");
        assert_eq!(checked(directory.path(), "secret"), Ok(expected.clone()));
        assert_eq!(checked(Path::new("/nowhere"), expected.to_str().unwrap()), Ok(expected));
    }

    #[test]
    fn other_files_are_refused() {
        use PasswordFileFailure::*;
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).unwrap();
        write("empty", b"\n");
        write("binary", &[0xff, 0xfe]);
        write("long", &vec![b'x'; MAX_SECRET_BYTES + 1]);
        write("longest", &[vec![b'x'; MAX_SECRET_BYTES], b"\r\n".to_vec()].concat());
        assert_eq!(checked(directory.path(), "missing"), Err(Missing));
        assert_eq!(checked(directory.path(), "."), Err(NotAFile));
        assert_eq!(checked(directory.path(), "empty"), Err(Empty));
        assert_eq!(checked(directory.path(), "binary"), Err(NotText));
        assert_eq!(checked(directory.path(), "long"), Err(TooLong));
        assert!(checked(directory.path(), "longest").is_ok());
    }

    #[test]
    fn a_password_written_in_place_of_its_file_is_not_shown() {
        assert!(
            !PasswordFileFailure::Missing
                .sentence("hunter2", false)
                .contains("hunter2")
        );
        assert!(
            !PasswordFileFailure::Missing
                .sentence("/hunter2", true)
                .contains("hunter2")
        );
        assert!(
            PasswordFileFailure::Missing
                .sentence("/run/secrets/redis", false)
                .contains("/run/secrets/redis")
        );
    }
}
