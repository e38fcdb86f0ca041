//! Reading of password files: when the configuration is loaded, to see that it can be done, and at every connect.

use super::address::{AddressError, MAX_SECRET_BYTES};
use super::password_map;
use super::types::Secret;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

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
    /// It holds a map of passwords where one password is expected; sent as one it would tell a server the passwords of all others.
    Map,
    /// It is no JSON object of texts from here on; both numbers begin at 1.
    MapBroken {
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// The entry of this number (from 1) has no address as its key.
    MapAddress(usize, AddressError),
    /// The entries of these numbers name the same server and the same user.
    MapTwice(usize, usize),
    /// It holds more entries than there may be instances.
    MapTooLong,
    /// The map holds no entry for the server.
    NoEntry,
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
            Self::Map => format!(
                "{file} holds a JSON object since it was changed, and one password before; reload the configuration, or write the password into it"
            ),
            Self::MapBroken { line, column } => format!(
                "{file} is broken at line {line}, column {column}; write a JSON object of addresses and passwords, {{\"redis://user@host:6379\": \"password\"}}"
            ),
            Self::MapAddress(entry, error) => format!("{file}: entry {entry} {error}"),
            Self::MapTwice(first, second) => {
                format!("{file}: entries {first} and {second} name the same server and user; keep one")
            }
            Self::MapTooLong => format!(
                "{file} has more than {} entries; split the instances over several exporters",
                super::resolve::MAX_INSTANCES
            ),
            Self::NoEntry => format!("{file} holds no password for this address and user; add one"),
        }
    }
}

/// The password in a file: at most [`MAX_SECRET_BYTES`] of UTF-8, not empty, without the line break that editors and `echo` put at
/// the end. Blocks for as long as the file system takes.
///
/// # Errors
/// [`PasswordFileFailure`]
pub fn read(path: &Path) -> Result<Secret, PasswordFileFailure> {
    let content = content(path, password_map::MAX_MAP_BYTES)?;
    if password_map::is_map(&content) {
        return Err(PasswordFileFailure::Map);
    }
    password_in(&content)
}

/// What a regular file holds, at most `longest` bytes.
pub(super) fn content(path: &Path, longest: usize) -> Result<Vec<u8>, PasswordFileFailure> {
    let mut content = Vec::new();
    // One byte more than there may be shows that there are more.
    opened(path)?
        .take(u64::try_from(longest + 1).unwrap_or(u64::MAX))
        .read_to_end(&mut content)
        .map_err(|error| failure_of(&error))?;
    if content.len() > longest {
        return Err(PasswordFileFailure::TooLong);
    }
    Ok(content)
}

/// A regular file, open for reading.
pub(super) fn opened(path: &Path) -> Result<File, PasswordFileFailure> {
    let metadata = std::fs::metadata(path).map_err(|error| failure_of(&error))?;
    // Asked before opening: a pipe would make the reader wait for whoever writes to it.
    if !metadata.is_file() {
        return Err(PasswordFileFailure::NotAFile);
    }
    File::open(path).map_err(|error| failure_of(&error))
}

/// The one password that a file holds.
pub(super) fn password_in(content: &[u8]) -> Result<Secret, PasswordFileFailure> {
    // Before the text: the bound may have cut a character.
    if content.len() > MAX_SECRET_BYTES + MAX_LINE_BREAK_BYTES {
        return Err(PasswordFileFailure::TooLong);
    }
    let text = std::str::from_utf8(content).map_err(|_| PasswordFileFailure::NotText)?;
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
    use crate::config::password_map::{PasswordDraft, checked};
    use crate::config::types::PasswordSource;
    use std::path::PathBuf;

    /// The path of a file that holds one password.
    fn of(directory: &Path, written: &str) -> Result<PathBuf, PasswordFileFailure> {
        checked(directory, written).map(|draft| match draft {
            PasswordDraft::Source(PasswordSource::File(path)) => path,
            _ => panic!("{written} holds one password"),
        })
    }

    #[test]
    fn a_file_with_a_password_is_fine_wherever_the_configuration_lies() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "hunter2\n").unwrap();
        let expected = directory.path().join("secret");
        assert_eq!(of(directory.path(), "secret"), Ok(expected.clone()));
        assert_eq!(of(Path::new("/nowhere"), expected.to_str().unwrap()), Ok(expected));
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
        assert_eq!(of(directory.path(), "missing"), Err(Missing));
        assert_eq!(of(directory.path(), "."), Err(NotAFile));
        assert_eq!(of(directory.path(), "empty"), Err(Empty));
        assert_eq!(of(directory.path(), "nothing"), Err(Empty));
        assert_eq!(of(directory.path(), "binary"), Err(NotText));
        assert_eq!(of(directory.path(), "long text"), Err(TooLong));
        assert_eq!(read(Path::new("/dev/zero")), Err(NotAFile));
        assert_eq!(of(directory.path(), "long"), Err(TooLong));
        assert!(of(directory.path(), "longest").is_ok());
        // Only the loading of a configuration takes a map; afterwards one password must stay one.
        write("map", b"{\"redis://h\": \"p\"}");
        assert_eq!(read(&directory.path().join("map")), Err(Map));
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
