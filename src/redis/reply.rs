//! What goes to a Redis server and what comes back, in types of our own.

use bytes::Bytes;
use std::borrow::Cow;

/// One command with its arguments, as a RESP array of bulk strings.
///
/// `Debug` shows the name and the number of the other words only: they may be a password or the key of a session.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Command {
    /// The command's words: name, subcommand, arguments. Arguments may hold any bytes.
    words: Vec<Cow<'static, [u8]>>,
    /// How many leading words name the command (2 for `CONFIG GET`), for the ledger, logs and permissions.
    name_words: usize,
    /// The first word of the name where another one is sent in its place.
    original: Option<Cow<'static, [u8]>>,
}

impl Command {
    /// A command from static words of which the first `name_words` are its name.
    pub fn new(name_words: usize, words: &[&'static str]) -> Self {
        Self {
            words: words.iter().map(|word| Cow::Borrowed(word.as_bytes())).collect(),
            name_words,
            original: None,
        }
    }

    /// The same command for a server that knows its first word under another name (`rename-command`). Statistics, ACL rules and refusals
    /// of such a server go on speaking of the original name (Redis 7.0, Valkey 8.1), and so does [`Command::name`].
    pub fn sent_as(mut self, first_word: &str) -> Self {
        if let Some(word) = self.words.first_mut()
            && !word.eq_ignore_ascii_case(first_word.as_bytes())
        {
            let original = std::mem::replace(word, Cow::Owned(first_word.as_bytes().to_vec()));
            self.original.get_or_insert(original);
        }
        self
    }

    /// The same command with one more argument.
    pub fn arg(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.words.push(Cow::Owned(argument.into()));
        self
    }

    /// The name in lower case as INFO commandstats writes it: `ping`, `config|get`.
    pub fn name(&self) -> String {
        let sent = self.name_words();
        let first = self.original.as_ref().or(sent.first());
        let words: Vec<String> = first
            .into_iter()
            .chain(sent.iter().skip(1))
            .map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
            .collect();
        words.join("|")
    }

    /// The words that name the command, as they are sent.
    pub fn name_words(&self) -> &[Cow<'static, [u8]>] {
        self.words.get(..self.name_words).unwrap_or(&self.words)
    }

    /// The words as they are sent.
    pub fn words(&self) -> &[Cow<'static, [u8]>] {
        &self.words
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arguments = self.words.len() - self.name_words().len();
        write!(formatter, "Command({} with {arguments} arguments)", self.name())
    }
}

/// One reply of a Redis server in RESP2.
///
/// Its size and nesting were bounded while it was read (see `resp::Limits`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Simple(Bytes),
    /// `-WRONGTYPE Operation against ...`
    Error(Bytes),
    /// `:42`
    Integer(i64),
    /// `$5\r\nhello`; any bytes.
    Bulk(Bytes),
    /// `$-1` or `*-1`
    Null,
    /// `*2 ...`
    Array(Vec<Reply>),
}

impl Reply {
    /// The bytes of a simple or bulk string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a simple or bulk string, if it is valid UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// An integer reply, or a string that holds one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => self.as_text()?.parse().ok(),
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Reply]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The first word of an error reply (`NOPERM`, `ERR`, `LOADING`), empty for an error without text.
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Self::Error(text) => {
                let first = text.split(|byte| *byte == b' ').next().unwrap_or_default();
                Some(std::str::from_utf8(first).unwrap_or_default())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_named_as_in_commandstats_and_show_no_arguments() {
        let command = Command::new(2, &["CONFIG", "GET"]).arg("maxmemory");
        assert_eq!(command.name(), "config|get");
        assert_eq!(format!("{command:?}"), "Command(config|get with 1 arguments)");
        assert_eq!(Command::new(5, &["PING"]).name(), "ping");
    }

    #[test]
    fn a_renamed_command_is_sent_under_its_new_name_and_known_by_the_old_one() {
        let command = Command::new(2, &["CONFIG", "GET", "maxmemory"]).sent_as("HIDDEN");
        assert_eq!(command.words()[0], b"HIDDEN".as_slice());
        assert_eq!(command.name(), "config|get");
        assert_eq!(format!("{command:?}"), "Command(config|get with 1 arguments)");
        let twice = command.sent_as("OTHER");
        assert_eq!(
            (twice.words()[0].as_ref(), twice.name().as_str()),
            (b"OTHER".as_slice(), "config|get")
        );
        let usual = Command::new(2, &["CONFIG", "GET"]);
        assert_eq!(usual.clone().sent_as("config"), usual);
    }

    #[test]
    fn error_codes_are_first_words() {
        let code = |text: &'static [u8]| Reply::Error(Bytes::from_static(text)).error_code().map(str::to_owned);
        assert_eq!(code(b"NOPERM no"), Some("NOPERM".to_owned()));
        assert_eq!(code(b""), Some(String::new()));
        assert_eq!(code(b"\xff x"), Some(String::new()));
        assert_eq!(Reply::Null.error_code(), None);
    }
}
