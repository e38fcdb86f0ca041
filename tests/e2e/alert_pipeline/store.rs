//! A store of sessions with its servers, and the logins that go on in it all the time.

use super::network::Network;
use crate::support::certificates::{Authority, Leaf};
use crate::support::exporter::Exporter;
use crate::support::redis_server::{RedisServer, ServerTls};
use crate::support::resp::{Client, Reply};
use crate::support::wait_until;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Every server has a limit, since one without is an alert of its own. Large beside the megabyte that an empty server takes.
pub(super) const MAXMEMORY: u64 = 64 << 20;

/// Time to live of a session, in seconds: the `expected_ttl` of every store.
pub(super) const TTL: &str = "3600";

/// How every value begins that is encrypted.
pub(super) const ENCRYPTED: &str = "enc:v1:";

/// Sessions that each store begins with. Above the floor of 100 below which gains and losses are noise.
pub(super) const SESSIONS: usize = 200;

/// Time between two logins: fewer than the 100 per minute below which no rate is a spike.
const LOGIN_PAUSE: Duration = Duration::from_secs(1);

/// How many of the logins stay logged in.
const LOGGED_IN: usize = 5;

/// Longest time until a replica follows or a cluster is whole.
const SETTLE_BOUND: Duration = Duration::from_secs(30);

/// A store under test, with what stands beside it.
pub(super) struct Store {
    /// The server that the exporter watches.
    pub(super) server: RedisServer,
    /// Its primary or its replica.
    pub(super) other: Option<RedisServer>,
    /// Connections that a fault holds open.
    pub(super) clients: Vec<Client>,
    /// Who signs its certificates.
    pub(super) authority: Option<Authority>,
    /// What lies between it and the exporter, where that matters.
    pub(super) network: Option<Network>,
    /// The exporter that watches this store alone.
    pub(super) exporter: Option<Exporter>,
    /// Counts on while a fault goes on.
    pub(super) turns: usize,
    /// Stops the logins when it is dropped.
    _logins: Sender<()>,
}

impl Store {
    /// A plain server.
    pub(super) fn plain() -> Self {
        Self::with(&[])
    }

    /// A plain server with further arguments.
    pub(super) fn with(arguments: &[&str]) -> Self {
        Self::around(RedisServer::start_with(&with_defaults(arguments)), None, None)
    }

    /// A server that speaks TLS, and also without where `plain` says so.
    pub(super) fn tls(plain: bool, arguments: &[&str]) -> Self {
        let authority = Authority::new("sessions");
        let identity = authority.issue(&Leaf::server());
        let tls = ServerTls::showing(&identity);
        let tls = if plain { tls.and_plain() } else { tls };
        let server = RedisServer::start_tls(&tls, &with_defaults(arguments));
        authority.write(server.path("").as_path(), "authority");
        Self::around(server, None, Some(authority))
    }

    /// A replica; its primary stands beside it.
    pub(super) fn replica() -> Self {
        let primary = RedisServer::start_with(&with_defaults(&["--repl-diskless-sync-delay", "0"]));
        let replica = RedisServer::start_with(&with_defaults(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]));
        follows(&replica);
        Self::around(replica, Some(primary), None)
    }

    /// A primary; its replica stands beside it.
    pub(super) fn primary() -> Self {
        let mut store = Self::with(&["--repl-diskless-sync-delay", "0"]);
        let of = format!("127.0.0.1 {}", store.server.port);
        let replica = RedisServer::start_with(&with_defaults(&["--replicaof", &of]));
        follows(&replica);
        store.other = Some(replica);
        store
    }

    /// A server behind a network that can become slow.
    pub(super) fn far_away() -> Self {
        let mut store = Self::plain();
        store.network = Some(Network::before(store.server.port));
        store
    }

    /// One node that is a whole cluster.
    pub(super) fn cluster() -> Self {
        let server = RedisServer::start_with(&with_defaults(&["--cluster-enabled", "yes"]));
        server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        let whole = wait_until(SETTLE_BOUND, || {
            let told = server.command(&["CLUSTER", "INFO"]).text();
            told.contains("cluster_state:ok").then_some(())
        });
        assert!(whole.is_some(), "the cluster is not whole");
        Self::around(server, None, None)
    }

    fn around(server: RedisServer, other: Option<RedisServer>, authority: Option<Authority>) -> Self {
        // A replica gets its sessions from its primary.
        let writable = other.as_ref().unwrap_or(&server);
        let mut client = connect(&writable.socket()).unwrap();
        for number in 0..SESSIONS {
            client.command(&["SET", &format!("sess:{number}"), &value(), "EX", TTL]);
        }
        let (logins, stopped) = channel();
        let socket = writable.socket();
        std::thread::spawn(move || log_in(&socket, &stopped));
        Self {
            server,
            other,
            clients: Vec::new(),
            authority,
            network: None,
            exporter: None,
            turns: 0,
            _logins: logins,
        }
    }

    /// A connection over the unix socket, which no figure about connections counts.
    pub(super) fn client(&self) -> Client {
        connect(&self.server.socket()).unwrap()
    }

    /// Runs one command, whose answer must not be an error.
    pub(super) fn command(&self, words: &[&str]) {
        self.client().command(words);
    }

    /// Runs one command, whose answer may be an error.
    pub(super) fn try_command(&self, words: &[&str]) -> Reply {
        self.client().try_command(words)
    }

    /// Where the exporter connects to.
    pub(super) fn address(&self) -> String {
        match (&self.network, &self.authority) {
            (Some(network), _) => format!("redis://127.0.0.1:{}", network.port),
            (None, Some(_)) => self.server.tls_address(),
            (None, None) => self.server.address(),
        }
    }

    /// Path of the authority's certificate.
    pub(super) fn authority_file(&self) -> PathBuf {
        self.server.path("authority.crt")
    }

    /// Shows a certificate that ends in so many days.
    pub(super) fn show_certificate(&self, days: i64) {
        let leaf = Leaf::server().days(-30, days);
        let identity = self.authority.as_ref().unwrap().issue(&leaf);
        let (certificate, key) = identity.write(self.server.path("").as_path(), "server");
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        self.command(&["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key]);
    }
}

/// A value as the application writes it.
pub(super) fn value() -> String {
    format!("{ENCRYPTED}{}", "0123456789abcdef".repeat(8))
}

fn with_defaults<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    const DEFAULTS: [&str; 4] = ["--maxmemory", "64mb", "--maxmemory-policy", "noeviction"];
    DEFAULTS.into_iter().chain(arguments.iter().copied()).collect()
}

fn follows(replica: &RedisServer) {
    let up = wait_until(SETTLE_BOUND, || {
        (replica.info("master_link_status").as_deref() == Some("up")).then_some(())
    });
    assert!(up.is_some(), "the replica does not follow");
}

fn connect(socket: &std::path::Path) -> std::io::Result<Client> {
    Client::connect_unix(socket)
}

/// Somebody logs in, is seen twice, and somebody else logs out; again and again, whatever the server says to it.
fn log_in(socket: &std::path::Path, stopped: &Receiver<()>) {
    let mut connection = None;
    for number in 0_usize.. {
        let mut client = match connection.take() {
            Some(client) => client,
            None => match connect(socket) {
                Ok(client) => client,
                Err(_) => match stopped.recv_timeout(LOGIN_PAUSE) {
                    Err(RecvTimeoutError::Timeout) => continue,
                    _ => return,
                },
            },
        };
        let (new, old) = (
            format!("sess:login-{number}"),
            format!("sess:login-{}", number.saturating_sub(LOGGED_IN)),
        );
        let value = value();
        let commands: [&[&str]; 4] = [
            &["SET", &new, &value, "EX", TTL],
            &["GET", &new],
            &["GET", &new],
            &["DEL", &old],
        ];
        let answered = commands.iter().try_for_each(|words| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            client.send(&words)?;
            client.read().map(|_| ())
        });
        if answered.is_ok() {
            connection = Some(client);
        }
        match stopped.recv_timeout(LOGIN_PAUSE) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return,
        }
    }
}
