//! A tiny blocking Redis client, independent of the exporter's own.

use super::tls::TlsClient;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest time a test waits for one reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reply of RESP2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+…`
    Simple(String),
    /// `-…`
    Error(String),
    /// `:…`
    Integer(i64),
    /// `$…`
    Bulk(Vec<u8>),
    /// `$-1` and `*-1`
    Null,
    /// `*…`
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a simple string, an error or a bulk.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The number.
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("not a number: {other:?}"),
        }
    }

    /// The elements.
    pub fn array(&self) -> &[Reply] {
        match self {
            Self::Array(elements) => elements,
            other => panic!("not an array: {other:?}"),
        }
    }
}

/// What a client speaks over: TCP, a unix socket, or TLS.
trait Stream: Read + Write + Send + std::fmt::Debug {}

impl<T: Read + Write + Send + std::fmt::Debug> Stream for T {}

/// A connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Connects to a port of the loopback interface.
    pub fn connect(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Connects to a unix socket.
    pub fn connect_unix(path: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::over(stream))
    }

    /// Connects to a port of the loopback interface that speaks TLS.
    pub fn connect_tls(port: u16, tls: &TlsClient) -> std::io::Result<Self> {
        Ok(Self::over(tls.connect(port)?))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self {
            reader: BufReader::new(Box::new(stream)),
        }
    }

    /// Sends a command without waiting for its reply.
    pub fn send(&mut self, words: &[&[u8]]) -> std::io::Result<()> {
        let mut packet = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            packet.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            packet.extend_from_slice(word);
            packet.extend_from_slice(b"\r\n");
        }
        self.reader.get_mut().write_all(&packet)
    }

    /// The next reply.
    pub fn read(&mut self) -> std::io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let number = || {
            rest.parse::<i64>()
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))
        };
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.reader.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bulk(bytes)
                }
                Err(_) => Reply::Null,
            },
            "*" => match usize::try_from(number()?) {
                Ok(length) => Reply::Array((0..length).map(|_| self.read()).collect::<Result<_, _>>()?),
                Err(_) => Reply::Null,
            },
            _ => return Err(std::io::ErrorKind::InvalidData.into()),
        })
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Sends bytes as words and reads the reply.
    pub fn bytes(&mut self, words: &[&[u8]]) -> Reply {
        self.send(words).unwrap();
        self.read().unwrap()
    }

    /// Sends a command and reads the reply, which may be an error.
    pub fn try_command(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.bytes(&words)
    }

    /// Sends a command whose reply must not be an error.
    pub fn command(&mut self, words: &[&str]) -> Reply {
        let reply = self.try_command(words);
        assert!(!matches!(reply, Reply::Error(_)), "{words:?}: {reply:?}");
        reply
    }

    /// Sends many commands in one go and reads all replies; for filling a store.
    pub fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) {
        for chunk in commands.chunks(500) {
            for words in chunk {
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                self.send(&words).unwrap();
            }
            for _ in chunk {
                let reply = self.read().unwrap();
                assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
            }
        }
    }
}
