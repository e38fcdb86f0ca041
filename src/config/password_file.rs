//! Reading of password files: when the configuration is loaded, to see that it can be done, and at every connect.

use super::address::MAX_SECRET_BYTES;
use super::types::Secret;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Longest line break that may end the file: `\r\n`.
const MAX_LINE_BREAK_BYTES: usize = 2;

/// Why a password file is of no use. It never carries what the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFileFailure {
    /// There is no such file.
    Missing,
    /// The file system refuses it to this user.
    Forbidden,
    /// A folder, a pipe, a device.
    NotAFile,
    /// Another error of the file system.
    Unreadable(ErrorKind),
    /// It holds nothing but perhaps a line break.
    Empty,
    /// It holds more than a password may have.
    TooLong,
    /// It does not hold UTF-8.
    NotText,
}

impl PasswordFileFailure {
    /// What is wrong with the file, and what to do. It names the path only where it looks like one (it begins with `/` or `.`)
    /// and stands in the configuration itself: somebody may have written the password where its file belongs.
    pub(super) fn sentence(self, written: &str, substituted: bool) -> String {
        if !substituted && written.starts_with(['/', '.']) {
            self.about(&format!("the file {written}"))
        } else {
            self.about("the file of that name")
        }
    }

    /// What is wrong with `file`, and what to do.
    pub fn about(self, file: &str) -> String {
        match self {
            Self::Missing => format!("{file} does not exist; create it, or mend the path"),
            Self::Forbidden => format!("{file} may not be read by this user; change its owner or its mode"),
            Self::NotAFile => format!("{file} is not a regular file; name a file that holds the password"),
            Self::Unreadable(kind) => format!("{file} cannot be read ({kind}); look at its file system"),
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
    read(&path).map(|_| path)
}

/// The password in a file: at most [`MAX_SECRET_BYTES`] of UTF-8, not empty, without the line break that editors and `echo` put at
/// the end. Blocks for as long as the file system takes.
///
/// # Errors
/// [`PasswordFileFailure`]
pub fn read(path: &Path) -> Result<Secret, PasswordFileFailure> {
    let metadata = std::fs::metadata(path).map_err(|error| failure_of(&error))?;
    // Asked before opening: a pipe would make the reader wait for whoever writes to it.
    if !metadata.is_file() {
        return Err(PasswordFileFailure::NotAFile);
    }
    let file = std::fs::File::open(path).map_err(|error| failure_of(&error))?;
    // One byte more than there may be shows that there are more.
    let longest = MAX_SECRET_BYTES + MAX_LINE_BREAK_BYTES;
    let mut content = Vec::new();
    file.take(u64::try_from(longest + 1).unwrap_or(u64::MAX))
        .read_to_end(&mut content)
        .map_err(|error| failure_of(&error))?;
    // Before the text: the bound may have cut a character.
    if content.len() > longest {
        return Err(PasswordFileFailure::TooLong);
    }
    let text = std::str::from_utf8(&content).map_err(|_| PasswordFileFailure::NotText)?;
    let password = match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    };
    if password.is_empty() {
        Err(PasswordFileFailure::Empty)
    } else if password.len() > MAX_SECRET_BYTES {
        Err(PasswordFileFailure::TooLong)
    } else {
        Ok(Secret::new(password))
    }
}

fn failure_of(error: &std::io::Error) -> PasswordFileFailure {
    match error.kind() {
        ErrorKind::NotFound => PasswordFileFailure::Missing,
        ErrorKind::PermissionDenied => PasswordFileFailure::Forbidden,
        kind => PasswordFileFailure::Unreadable(kind),
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
    fn one_line_break_at_the_end_is_dropped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, password) in [
            ("p", "p"),
            ("p\n", "p"),
            ("p\r\n", "p"),
            ("p\r", "p\r"),
            ("p\n\n", "p\n"),
            (" p ü#%@:/\n", " p ü#%@:/"),
        ] {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(read(file.path()), Ok(Secret::new(password)), "{content:?}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        use PasswordFileFailure::*;
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).unwrap();
        write("empty", b"\n");
        write("binary", &[0xff, 0xfe]);
        write("nothing", b"");
        write("long", &vec![b'x'; MAX_SECRET_BYTES + 1]);
        // The bound cuts the last character that is read in two.
        write("long text", "ü".repeat(MAX_SECRET_BYTES).as_bytes());
        write("longest", &[vec![b'x'; MAX_SECRET_BYTES], b"\r\n".to_vec()].concat());
        assert_eq!(checked(directory.path(), "missing"), Err(Missing));
        assert_eq!(checked(directory.path(), "."), Err(NotAFile));
        assert_eq!(checked(directory.path(), "empty"), Err(Empty));
        assert_eq!(checked(directory.path(), "nothing"), Err(Empty));
        assert_eq!(checked(directory.path(), "binary"), Err(NotText));
        assert_eq!(checked(directory.path(), "long text"), Err(TooLong));
        assert_eq!(read(Path::new("/dev/zero")), Err(NotAFile));
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
