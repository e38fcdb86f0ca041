//! Real `redis-server` (or `valkey-server`) children.

use super::certificates::{self, Issued};
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
    /// The plain port on 127.0.0.1; 0 when there is none.
    pub port: u16,
    /// The port on 127.0.0.1 that speaks TLS; 0 when there is none.
    pub tls_port: u16,
    process: Option<Process>,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    password: Option<String>,
}

/// How a server speaks TLS, beside its unix socket.
#[derive(Debug, Clone)]
pub struct ServerTls<'a> {
    /// What it shows.
    pub identity: &'a Issued,
    /// `tls-auth-clients`: `no`, `optional` or `yes`.
    pub auth_clients: &'a str,
    /// PEM of the authorities whose client certificates it accepts.
    pub client_authorities: Option<&'a str>,
    /// Whether it has a plain port too.
    pub plain: bool,
}

impl<'a> ServerTls<'a> {
    /// TLS alone, and no question for a client certificate.
    pub fn showing(identity: &'a Issued) -> Self {
        Self {
            identity,
            auth_clients: "no",
            client_authorities: None,
            plain: false,
        }
    }

    /// Client certificates of these authorities (PEM) are demanded.
    pub fn demanding(identity: &'a Issued, client_authorities: &'a str) -> Self {
        Self {
            auth_clients: "yes",
            client_authorities: Some(client_authorities),
            ..Self::showing(identity)
        }
    }

    /// With a plain port beside that of TLS.
    pub fn and_plain(mut self) -> Self {
        self.plain = true;
        self
    }
}

impl RedisServer {
    /// A server with the defaults and no persistence.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with further arguments, e.g. `["--maxclients", "10"]`.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::new(arguments).start_somewhere(true, false)
    }

    /// A server that speaks TLS, with further arguments.
    pub fn start_tls(tls: &ServerTls<'_>, arguments: &[&str]) -> Self {
        Self::start_tls_with(tls, arguments, &[])
    }

    /// The same with variables of its environment, e.g. `OPENSSL_CONF`.
    pub fn start_tls_with(tls: &ServerTls<'_>, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut server = Self::new(arguments);
        server.variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (certificate, key) = tls.identity.write(server.folder.path(), "server");
        server.set_argument("--tls-cert-file", &certificate.to_string_lossy());
        server.set_argument("--tls-key-file", &key.to_string_lossy());
        server.set_argument("--tls-auth-clients", tls.auth_clients);
        if let Some(authorities) = tls.client_authorities {
            let file = certificates::replace(&server.path("clients.crt"), authorities);
            server.set_argument("--tls-ca-cert-file", &file.to_string_lossy());
        }
        server.start_somewhere(tls.plain, true)
    }

    fn new(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let password = arguments
            .iter()
            .position(|argument| argument == "--requirepass")
            .map(|at| arguments[at + 1].clone());
        Self {
            port: 0,
            tls_port: 0,
            process: None,
            folder: tempfile::tempdir().unwrap(),
            arguments,
            variables: Vec::new(),
            password,
        }
    }

    fn start_somewhere(mut self, plain: bool, tls: bool) -> Self {
        let mut output = String::new();
        for _ in 0..START_ATTEMPTS {
            self.port = if plain { super::free_port() } else { 0 };
            self.tls_port = if tls { super::free_port() } else { 0 };
            match self.launch() {
                Ok(()) => return self,
                Err(said) => output = said,
            }
        }
        panic!("redis-server does not start: {output}");
    }

    /// A server on this port.
    pub fn start_on(port: u16) -> Self {
        let mut server = Self::new(&[]);
        server.port = port;
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
        if self.tls_port != 0 {
            command.args(["--tls-port", &self.tls_port.to_string()]);
        }
        command.args(&self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut process = Process::spawn(command, self.folder.path());
        let answered = super::wait_until(START_BOUND, || match process.try_wait() {
            Some(_) => Some(false),
            // LOADING or NOAUTH are answers too.
            None => self
                .connect()
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

    /// A connection without credentials: over the plain port, else over the unix socket, which all servers have.
    fn connect(&self) -> std::io::Result<Client> {
        match self.port {
            0 => Client::connect_unix(&self.socket()),
            port => Client::connect(port),
        }
    }

    /// Shows another certificate to new connections, as an operator has it do so: new files, and CONFIG SET, which reads them.
    pub fn show(&self, identity: &Issued) {
        let (certificate, key) = identity.write(self.folder.path(), "server");
        self.command(&[
            "CONFIG",
            "SET",
            "tls-cert-file",
            &certificate.to_string_lossy(),
            "tls-key-file",
            &key.to_string_lossy(),
        ]);
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

    /// `rediss://127.0.0.1:port`, of its TLS port.
    pub fn tls_address(&self) -> String {
        assert_ne!(self.tls_port, 0, "this server speaks no TLS");
        format!("rediss://127.0.0.1:{}", self.tls_port)
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
        let mut client = self.connect().unwrap();
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
