//! A peer for tests that follows a script instead of being a Redis server.

use super::resp::{Limits, Parser};
use crate::config::types::{Address, Endpoint, PasswordSource, Secret};
use crate::redis::{Connector, Reply};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Bound of everything in a test that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One act of the peer.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Waits for so many commands.
    Read(usize),
    /// Sends bytes; ends the script when that fails.
    Send(Vec<u8>),
    /// Sends bytes again and again until that fails, then ends the script.
    SendForever(Vec<u8>),
    /// Waits until the test says so.
    AwaitGo(Arc<Notify>),
    /// Waits until the other side closes.
    AwaitClose,
    /// Waits for ever without reading.
    Hang,
    /// Resets the connection, which ends the script.
    Reset,
    /// Says farewell, over TLS with `close_notify`, and goes on.
    EndTls,
}

pub(crate) fn send(text: impl Into<Vec<u8>>) -> Act {
    Act::Send(text.into())
}

/// A peer that accepts one connection, plays the script, closes, and yields the words of each command that it was sent.
pub(crate) async fn peer(script: Vec<Act>) -> (SocketAddr, JoinHandle<Vec<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        play(stream, script).await
    });
    (address, task)
}

/// A stream that a peer plays over.
pub(crate) trait Stage: AsyncRead + AsyncWrite + Unpin {
    /// The socket beneath.
    fn socket(&self) -> &TcpStream;
}

impl Stage for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stage for tokio_rustls::server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

pub(crate) async fn play(mut stream: impl Stage, script: Vec<Act>) -> Vec<Vec<String>> {
    let mut parser = Parser::new(Limits::default());
    let mut commands = Vec::new();
    for act in script {
        match act {
            Act::Read(count) => {
                for _ in 0..count {
                    commands.push(words(read_command(&mut stream, &mut parser).await));
                }
            }
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
            }
            Act::SendForever(bytes) => while stream.write_all(&bytes).await.is_ok() {},
            Act::AwaitGo(go) => go.notified().await,
            Act::AwaitClose => {
                let mut sink = [0_u8; 1024];
                while !matches!(stream.read(&mut sink).await, Ok(0) | Err(_)) {}
            }
            Act::Hang => std::future::pending().await,
            Act::Reset => stream.socket().set_zero_linger().unwrap(),
            Act::EndTls => {
                let _ = stream.shutdown().await;
            }
        }
    }
    commands
}

async fn read_command(stream: &mut impl Stage, parser: &mut Parser) -> Reply {
    loop {
        if let Some(command) = parser.next_reply().unwrap() {
            return command;
        }
        assert_ne!(stream.read_buf(parser.read_buffer()).await.unwrap(), 0, "closed early");
    }
}

fn words(command: Reply) -> Vec<String> {
    let words = command.as_array().unwrap().iter();
    words.map(|word| word.as_text().unwrap().to_owned()).collect()
}

pub(crate) fn address(socket: SocketAddr, database: u32) -> Address {
    Address {
        endpoint: Endpoint::Tcp {
            host: socket.ip().to_string(),
            port: socket.port(),
        },
        database,
        tls: false,
    }
}

/// A connector without credentials.
pub(crate) fn stranger(socket: SocketAddr) -> Connector {
    Connector::to_address(address(socket, 0), None, PasswordSource::None)
}

/// A connector with a user, a password and a database.
pub(crate) fn member(socket: SocketAddr, database: u32) -> Connector {
    let password = PasswordSource::Inline(Secret::new("hunter2"));
    Connector::to_address(address(socket, database), Some("exporter".to_owned()), password)
}

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub(crate) fn within(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

/// What a task yields, which must be soon.
pub(crate) async fn joined<T>(task: JoinHandle<T>) -> T {
    timeout(PATIENCE, task).await.expect("the peer did not end").unwrap()
}
