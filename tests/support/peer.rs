//! A TCP server that speaks just enough of Redis' protocol to be watched, or misbehaves as it is told, and writes down what it
//! was asked.

use super::fixture;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the peer does with one command.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Sends these bytes and closes.
    BytesThenClose(Vec<u8>),
    /// Sends these bytes and nothing ever after.
    BytesThenHang(Vec<u8>),
    /// Sends this piece again and again until the other side goes.
    Endless(Vec<u8>),
    /// Sends these bytes one by one, slowly, again and again.
    Drip(Vec<u8>),
}

/// Pause between two bytes of a drip.
const DRIP_PAUSE: Duration = Duration::from_millis(20);

/// What the peer does with a fresh connection.
#[derive(Debug, Clone)]
pub enum Welcome {
    /// Answers commands.
    Serve,
    /// Never reads.
    Silence,
    /// Sends these bytes and closes, as a server does whose clients are too many.
    Farewell(Vec<u8>),
}

type Handler = Box<dyn FnMut(&[String]) -> Answer + Send>;

/// Everything that arrived with one read, which is one batch as long as it is written at once.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Number of the connection it came over, counted from 1.
    pub connection: usize,
    /// The commands, words as text.
    pub commands: Vec<Vec<String>>,
    /// When it came.
    pub at: Instant,
}

struct Shared {
    handler: Mutex<Handler>,
    welcome: Mutex<Welcome>,
    batches: Mutex<Vec<Batch>>,
    streams: Mutex<BTreeMap<usize, TcpStream>>,
    accepted: AtomicUsize,
    most_at_once: AtomicUsize,
    closing: AtomicBool,
}

/// The peer. Connections and the listener end when it is dropped.
pub struct ScriptedPeer {
    /// The port on 127.0.0.1; stays the same while the peer refuses connections.
    pub port: u16,
    shared: Arc<Shared>,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

impl std::fmt::Debug for ScriptedPeer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ScriptedPeer")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// A bulk string.
pub fn bulk(content: &[u8]) -> Vec<u8> {
    let mut bytes = format!("${}\r\n", content.len()).into_bytes();
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// INFO of a real server.
pub fn info_fixture() -> Vec<u8> {
    std::fs::read(fixture("info/redis-7.0-primary.txt")).unwrap()
}

/// What a healthy server without keys answers.
pub fn healthy(words: &[String]) -> Answer {
    healthy_with_info(words, &info_fixture())
}

/// The same with another INFO.
pub fn healthy_with_info(words: &[String], info: &[u8]) -> Answer {
    let word = |at: usize| words.get(at).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    Answer::Bytes(match (word(0).as_str(), word(1).as_str()) {
        ("PING", _) => b"+PONG\r\n".to_vec(),
        ("AUTH" | "SELECT", _) | ("CLIENT", "SETNAME" | "SETINFO" | "NO-EVICT" | "NO-TOUCH") => b"+OK\r\n".to_vec(),
        ("INFO", _) => bulk(info),
        ("SCAN", _) => b"*2\r\n$1\r\n0\r\n*0\r\n".to_vec(),
        ("DBSIZE", _) | ("SLOWLOG", "LEN") => b":0\r\n".to_vec(),
        ("SLOWLOG", "GET") | ("LATENCY" | "CONFIG", _) => b"*0\r\n".to_vec(),
        (other, _) => format!("-ERR unknown command '{other}', with args beginning with: \r\n").into_bytes(),
    })
}

impl ScriptedPeer {
    /// A peer that answers like a healthy server.
    pub fn start() -> Self {
        let port = super::free_port();
        let shared = Arc::new(Shared {
            handler: Mutex::new(Box::new(healthy)),
            welcome: Mutex::new(Welcome::Serve),
            batches: Mutex::new(Vec::new()),
            streams: Mutex::new(BTreeMap::new()),
            accepted: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        });
        let mut peer = Self {
            port,
            shared,
            acceptor: None,
        };
        peer.listen();
        peer
    }

    /// A peer that answers by this handler from the beginning.
    pub fn start_with(handler: impl FnMut(&[String]) -> Answer + Send + 'static) -> Self {
        let peer = Self::start();
        *peer.shared.handler.lock().unwrap() = Box::new(handler);
        peer
    }

    /// `redis://127.0.0.1:port`
    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Listens, after `refuse`.
    pub fn listen(&mut self) {
        let port = self.port;
        let listener = super::wait_until(Duration::from_secs(5), || TcpListener::bind(("127.0.0.1", port)).ok());
        let listener = listener.expect("the peer's port is free");
        self.shared.closing.store(false, Ordering::SeqCst);
        let shared = self.shared.clone();
        self.acceptor = Some(std::thread::spawn(move || accept(&listener, &shared)));
    }

    /// Stops listening and drops all connections: the next connect is refused.
    pub fn refuse(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that waits in accept.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().unwrap();
        }
        self.drop_connections();
    }

    /// Closes all connections.
    pub fn drop_connections(&self) {
        for stream in std::mem::take(&mut *self.shared.streams.lock().unwrap()).into_values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Changes how commands are answered from now on, on old connections too.
    pub fn answer(&self, handler: impl FnMut(&[String]) -> Answer + Send + 'static) {
        *self.shared.handler.lock().unwrap() = Box::new(handler);
    }

    /// Answers `command` (its first word, or two words) like this and everything else like a healthy server.
    pub fn answer_to(&self, command: &str, answer: Answer) {
        let command = command.to_owned();
        self.answer(move |words| {
            if is_command(words, &command) {
                answer.clone()
            } else {
                healthy(words)
            }
        });
    }

    /// Changes how fresh connections are met, and closes the old ones so that it is seen at once.
    pub fn welcome(&self, welcome: Welcome) {
        *self.shared.welcome.lock().unwrap() = welcome;
        self.drop_connections();
    }

    /// Back to what a healthy server does. Connections that hang are closed.
    pub fn recover(&self) {
        self.answer(healthy);
        self.welcome(Welcome::Serve);
    }

    /// All batches so far.
    pub fn batches(&self) -> Vec<Batch> {
        self.shared.batches.lock().unwrap().clone()
    }

    /// Forgets what arrived so far.
    pub fn forget(&self) {
        self.shared.batches.lock().unwrap().clear();
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.streams.lock().unwrap().len()
    }

    /// Most connections that were open at one moment.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedPeer {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// Whether these words are this command.
pub fn is_command(words: &[String], command: &str) -> bool {
    let mut expected = command.split(' ').enumerate();
    expected.all(|(at, expected)| words.get(at).is_some_and(|word| word.eq_ignore_ascii_case(expected)))
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.closing.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        {
            let mut streams = shared.streams.lock().unwrap();
            streams.insert(number, stream.try_clone().unwrap());
            shared.most_at_once.fetch_max(streams.len(), Ordering::SeqCst);
        }
        let shared = shared.clone();
        std::thread::spawn(move || {
            serve(number, stream, &shared);
            if let Some(stream) = shared.streams.lock().unwrap().remove(&number) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }
}

/// Serves one connection until it ends.
fn serve(number: usize, mut stream: TcpStream, shared: &Shared) {
    let welcome = shared.welcome.lock().unwrap().clone();
    match welcome {
        Welcome::Serve => {}
        Welcome::Silence => return wait_for_end(&mut stream),
        Welcome::Farewell(bytes) => {
            let _ = stream.write_all(&bytes);
            // Closing with unread bytes would reset the connection before the other side reads ours.
            let _ = stream.shutdown(Shutdown::Write);
            return wait_for_end(&mut stream);
        }
    }
    let mut buffer = Vec::new();
    let mut piece = vec![0; 256 * 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(length) => buffer.extend_from_slice(&piece[..length]),
        }
        let commands = take_commands(&mut buffer);
        let batch = Batch {
            connection: number,
            commands: commands.clone(),
            at: Instant::now(),
        };
        shared.batches.lock().unwrap().push(batch);
        let mut output = Vec::new();
        for words in commands {
            let answer = (shared.handler.lock().unwrap())(&words);
            match answer {
                Answer::Bytes(bytes) => output.extend_from_slice(&bytes),
                Answer::BytesThenClose(bytes) => {
                    output.extend_from_slice(&bytes);
                    let _ = stream.write_all(&output);
                    return;
                }
                Answer::BytesThenHang(bytes) => {
                    output.extend_from_slice(&bytes);
                    let _ = stream.write_all(&output);
                    return wait_for_end(&mut stream);
                }
                Answer::Endless(bytes) => {
                    let _ = stream.write_all(&output);
                    while stream.write_all(&bytes).is_ok() {}
                    return;
                }
                Answer::Drip(bytes) => {
                    let _ = stream.write_all(&output);
                    for byte in bytes.iter().cycle() {
                        if stream.write_all(std::slice::from_ref(byte)).is_err() {
                            return;
                        }
                        std::thread::sleep(DRIP_PAUSE);
                    }
                    return;
                }
            }
        }
        if stream.write_all(&output).is_err() {
            return;
        }
    }
}

/// Reads and ignores until the other side goes.
fn wait_for_end(stream: &mut TcpStream) {
    let mut piece = [0; 4096];
    while matches!(stream.read(&mut piece), Ok(length) if length > 0) {}
}

/// Takes the whole commands from the front of what arrived. Only arrays of bulk strings are understood, as clients send them.
fn take_commands(buffer: &mut Vec<u8>) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut at = 0;
    while let Some((words, after)) = command(buffer, at) {
        commands.push(words);
        at = after;
    }
    buffer.drain(..at);
    commands
}

fn command(buffer: &[u8], mut at: usize) -> Option<(Vec<String>, usize)> {
    let number = |kind: u8, at: &mut usize| -> Option<usize> {
        let line = &buffer[*at..];
        let end = line.windows(2).position(|window| window == b"\r\n")?;
        assert_eq!(line[0], kind, "the exporter sends arrays of bulk strings");
        *at += end + 2;
        std::str::from_utf8(&line[1..end]).ok()?.parse().ok()
    };
    if at >= buffer.len() {
        return None;
    }
    let count = number(b'*', &mut at)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        if at >= buffer.len() {
            return None;
        }
        let length = number(b'$', &mut at)?;
        let word = buffer.get(at..at + length)?;
        buffer.get(at + length..at + length + 2)?;
        words.push(String::from_utf8_lossy(word).into_owned());
        at += length + 2;
    }
    Some((words, at))
}
