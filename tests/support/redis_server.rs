//! Real `redis-server` (or `valkey-server`) children.

use super::process::Process;
use super::resp::{Client, Reply};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Longest time until a fresh server answers.
const START_BOUND: Duration = Duration::from_secs(20);

/// How often another port is tried when a server does not start.
const START_ATTEMPTS: usize = 3;

/// A server on a free port and on a unix socket, in a folder of its own, gone when dropped.
#[derive(Debug)]
pub struct RedisServer {
    /// The port on 127.0.0.1.
    pub port: u16,
    process: Option<Process>,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    password: Option<String>,
}

impl RedisServer {
    /// A server with the defaults and no persistence.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with further arguments, e.g. `["--maxclients", "10"]`.
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let password = arguments
            .iter()
            .position(|argument| argument == "--requirepass")
            .map(|at| arguments[at + 1].clone());
        let mut server = Self {
            port: 0,
            process: None,
            folder: tempfile::tempdir().unwrap(),
            arguments,
            password,
        };
        let mut output = String::new();
        for _ in 0..START_ATTEMPTS {
            server.port = super::free_port();
            match server.launch() {
                Ok(()) => return server,
                Err(said) => output = said,
            }
        }
        panic!("redis-server does not start: {output}");
    }

    /// A server on this port.
    pub fn start_on(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self {
            port,
            process: None,
            folder,
            arguments: Vec::new(),
            password: None,
        };
        server.start_again();
        server
    }

    /// Changes an argument for the next start.
    pub fn set_argument(&mut self, name: &str, value: &str) {
        match self.arguments.iter().position(|argument| argument == name) {
            Some(at) => value.clone_into(&mut self.arguments[at + 1]),
            None => self.arguments.extend([name.to_owned(), value.to_owned()]),
        }
    }

    fn launch(&mut self) -> Result<(), String> {
        let mut command = Command::new(super::program("TEST_REDIS_SERVER", "redis-server"));
        command.current_dir(self.folder.path());
        command.args([
            "--port",
            &self.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--daemonize",
            "no",
        ]);
        command.args([
            "--dir",
            &self.folder.path().to_string_lossy(),
            "--unixsocket",
            &self.socket().to_string_lossy(),
        ]);
        // Tests may make the server sleep; the exporter never does.
        command.args(["--enable-debug-command", "yes"]);
        command.args(&self.arguments);
        let mut process = Process::spawn(command, self.folder.path());
        let port = self.port;
        let answered = super::wait_until(START_BOUND, || match process.try_wait() {
            Some(_) => Some(false),
            // LOADING or NOAUTH are answers too.
            None => Client::connect(port)
                .and_then(|mut client| client.send(&[b"PING"]).and_then(|()| client.read()))
                .ok()
                .map(|_| true),
        });
        if answered == Some(true) {
            self.process = Some(process);
            Ok(())
        } else {
            Err(process.output())
        }
    }

    /// Stops it and starts it again on the same port.
    pub fn restart(&mut self) {
        self.shutdown();
        self.start_again();
    }

    /// Ends it; connections to it are refused until `start_again`.
    pub fn shutdown(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) {
        self.launch()
            .unwrap_or_else(|output| panic!("redis-server does not start again: {output}"));
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// Stops it with SIGSTOP: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.process().signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process().signal("CONT");
    }

    /// `redis://127.0.0.1:port`
    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Path of its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection, authenticated when the server was started with `--requirepass`.
    pub fn client(&self) -> Client {
        let mut client = Client::connect(self.port).unwrap();
        if let Some(password) = &self.password {
            client.command(&["AUTH", password]);
        }
        client
    }

    /// Writes `count` keys `PREFIX NUMBER` without a TTL.
    pub fn fill(&self, prefix: &str, count: usize) {
        let commands: Vec<Vec<Vec<u8>>> = (0..count)
            .map(|number| {
                let key = format!("{prefix}{number}");
                [b"SET".as_slice(), key.as_bytes(), b"x"].map(<[u8]>::to_vec).to_vec()
            })
            .collect();
        self.client().pipeline(&commands);
    }

    /// Runs one command on a connection of its own.
    pub fn command(&self, words: &[&str]) -> Reply {
        self.client().command(words)
    }

    /// One field of INFO, if the server has it.
    pub fn info(&self, field: &str) -> Option<String> {
        let text = self.command(&["INFO", "everything"]).text();
        text.lines().find_map(|line| {
            line.strip_prefix(field)?
                .strip_prefix(':')
                .map(|value| value.trim().to_owned())
        })
    }
}
