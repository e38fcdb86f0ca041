//! Connecting, with every phase timed.

use super::connection::Connection;
use super::error::{Place, RedisError};
use super::ledger::Ledger;
use super::own_sockets::OwnSocket;
use super::password::{Reading, read_password};
use super::reason::Reason;
use super::reply::Command;
use super::resolve::{Lookup, resolve};
use super::tls::account::TlsAccount;
use super::tls::client::{Prepared, TlsClient};
use super::tls::{TlsHandshake, TlsReason};
use super::transport::Transport;
use crate::config::InstanceConfig;
use crate::config::network::Network;
use crate::config::tls::TlsConfig;
use crate::config::types::{Address, Endpoint, PasswordSource};
use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};

/// The name that connections take with `CLIENT SETNAME`, for people who read `CLIENT LIST`.
pub const CLIENT_NAME: &str = "redis-session-exporter";

/// Pause between two attempts at a unix socket whose backlog is full. The kernel does not let a non-blocking connect wait in
/// line as TCP does; ten milliseconds are small beside any deadline and cost next to nothing.
const UNIX_BACKLOG_PAUSE: Duration = Duration::from_millis(10);

/// A step of a fresh connection, label `phase` of `redis_connect_phase_duration_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Name resolution; skipped for IP addresses and unix sockets.
    Dns,
    /// Connecting the socket.
    Tcp,
    /// TLS handshake.
    Tls,
    /// AUTH (and SELECT, CLIENT SETNAME, which travel in the same packet); skipped when none of them is sent.
    Auth,
    /// The first PING.
    Ping,
}

impl Phase {
    /// The label value.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Ping => "ping",
        }
    }
}

/// What a connect yielded beside the connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Handshake {
    /// How long each phase that was reached took, in the order in which they ran. After a failure the last one is the one that
    /// failed; there is none when the password or a file of TLS could not be read, since the server was not contacted then.
    pub phases: Vec<(Phase, Duration)>,
    /// The addresses that the host stands for, in the resolver's order, whichever of them was connected to; empty for a unix socket and
    /// when the name was not resolved.
    pub addresses: Vec<IpAddr>,
    /// What the TLS handshake showed, or why nothing could be shown, as when a file of ours could not be read; `None` without TLS and
    /// when it was not reached.
    pub tls: Option<TlsHandshake>,
}

impl Handshake {
    /// How long a phase took, if it was reached.
    pub fn duration(&self, phase: Phase) -> Option<Duration> {
        self.phases
            .iter()
            .find(|(known, _)| *known == phase)
            .map(|(_, duration)| *duration)
    }

    /// Waits for a phase and keeps how long it took, whatever comes of it.
    async fn time<T>(&mut self, phase: Phase, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let outcome = work.await;
        self.phases.push((phase, started.elapsed()));
        outcome
    }
}

/// Makes connections to one endpoint with one set of credentials. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    address: Address,
    username: Option<String>,
    password: PasswordSource,
    /// `None` when connections shall have no name.
    client_name: Option<Cow<'static, str>>,
    /// The address as it may be shown.
    shown: Arc<str>,
    lookup: Lookup,
    reading: Reading,
    /// The only networks in which the server is dialled, whatever its name resolves to; `None` means any.
    networks: Option<Arc<[Network]>>,
    /// What all connections to the endpoint have sent.
    ledger: Arc<Ledger>,
    /// How TLS is spoken, where the address says so.
    tls: Option<TlsClient>,
    /// How many handshakes with the endpoint failed.
    tls_account: Arc<TlsAccount>,
}

impl Connector {
    /// A connector to the server of an instance; see [`Connector::to_address`]. A server whose address others announced is only dialled
    /// inside of the networks that its instance names: what is checked is the address that is then connected to, so that a name which
    /// resolves to something else from one moment to the next gets no password.
    pub fn new(instance: &InstanceConfig) -> Self {
        Self::like(instance, instance.address.clone())
    }

    /// A connector to another address that does as the instance's own: the same credentials, the same networks, and no name where the
    /// instance gives none.
    pub fn like(instance: &InstanceConfig, address: Address) -> Self {
        let connector = Self::to_address(address, instance.username.clone(), instance.password.clone());
        let discovered = instance.discovered.as_ref();
        Self {
            tls: tls_client(&connector.address, &instance.tls, &connector.tls_account),
            client_name: connector
                .client_name
                .filter(|_| instance.optional.compatibility.set_client_name),
            networks: discovered.and_then(|discovered| discovered.networks.clone()),
            ..connector
        }
    }

    /// A connector to `address`, with the defaults of TLS where it says so. With a user but no password it authenticates with an empty one, which users with
    /// `nopass` accept; with neither it sends no AUTH.
    pub fn to_address(address: Address, username: Option<String>, password: PasswordSource) -> Self {
        let tls_account = Arc::default();
        Self {
            shown: address.to_string().into(),
            tls: tls_client(&address, &TlsConfig::default(), &tls_account),
            tls_account,
            address,
            username,
            password,
            client_name: Some(Cow::Borrowed(CLIENT_NAME)),
            lookup: Lookup::default(),
            reading: Reading::default(),
            networks: None,
            ledger: Arc::default(),
        }
    }

    /// A connector for a changed configuration of the same instance. What of the old one may still hang, a lookup of the same
    /// host or the reading of the same file, is taken over instead of being begun once more; so is the account of what was sent to
    /// the same endpoint.
    pub fn succeeded_by(&self, instance: &InstanceConfig) -> Self {
        let mut new = Self::new(instance);
        if new.address.endpoint == self.address.endpoint {
            new.lookup = self.lookup.clone();
            new.ledger = Arc::clone(&self.ledger);
            new = new.with_tls_account_of(self);
        }
        if let (Some(new), Some(old)) = (&mut new.tls, &self.tls) {
            new.succeed(old);
        }
        if new.password == self.password {
            new.reading = self.reading.clone();
        }
        new
    }

    /// The same connector as a part of another one's instance, as a replica is that is scanned in its place: failed handshakes count
    /// as those of that one, and a file that hangs there is waited for, not read by one thread more at every scan.
    pub fn beside(mut self, other: &Self) -> Self {
        if self.password == other.password {
            self.reading = other.reading.clone();
        }
        if let (Some(tls), Some(of_other)) = (&mut self.tls, &other.tls) {
            tls.succeed(of_other);
        }
        self.with_tls_account_of(other)
    }

    fn with_tls_account_of(mut self, other: &Self) -> Self {
        self.tls_account = Arc::clone(&other.tls_account);
        if let Some(tls) = &mut self.tls {
            tls.count_in(Arc::clone(&other.tls_account));
        }
        self
    }

    /// How many handshakes of this connector, its clones and its predecessors to the same endpoint have failed so far, by reason in the
    /// order of the contract; all are 0 where TLS is not spoken. Counted are also servers that break off TLS in place of their first
    /// answer, and files of ours that kept a handshake from being tried.
    pub fn tls_errors(&self) -> [(TlsReason, u64); TlsReason::ALL.len()] {
        self.tls_account.counts()
    }

    /// The same connector to database 0, for a server that answers SELECT with BUSY: a connection owes its database first.
    pub fn without_database(&self) -> Self {
        let mut connector = self.clone();
        connector.address.database = 0;
        connector
    }

    /// The same connector with another name for `CLIENT LIST` than [`CLIENT_NAME`].
    pub fn with_client_name(mut self, client_name: impl Into<Cow<'static, str>>) -> Self {
        self.client_name = Some(client_name.into());
        self
    }

    /// Where it connects to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Connects, authenticates, names the connection and selects the database, all before `deadline`. A password file is read
    /// anew first.
    ///
    /// # Errors
    /// The handshake as far as it came, and why it failed. `Auth` whenever the server refuses the credentials or wants some.
    pub async fn connect(&self, deadline: Instant) -> Result<(Connection, Handshake), (Handshake, RedisError)> {
        let mut handshake = Handshake::default();
        match self.establish(&mut handshake, deadline).await {
            Ok(connection) => Ok((connection, handshake)),
            Err(error) => Err((handshake, error)),
        }
    }

    /// Connects, sends PING, expects PONG, and closes the connection again, all before `deadline`.
    ///
    /// The result is an error when any of that failed, also for an error reply to PING, with the reason that it names.
    pub async fn probe(&self, deadline: Instant) -> (Handshake, Result<(), RedisError>) {
        let (mut connection, mut handshake) = match self.connect(deadline).await {
            Ok(connected) => connected,
            Err((handshake, error)) => return (handshake, Err(error)),
        };
        let outcome = handshake.time(Phase::Ping, connection.ping(deadline)).await;
        note_refusal(&mut handshake, &connection);
        (handshake, outcome)
    }

    async fn establish(&self, handshake: &mut Handshake, deadline: Instant) -> Result<Connection, RedisError> {
        let prepared = match &self.tls {
            Some(tls) => Some((tls, self.prepare(tls, handshake, deadline).await?)),
            None => None,
        };
        let auth = self.auth(deadline).await?;
        let transport = self.dial(handshake, deadline).await?;
        // The server lists it from now on, long before the handshake is over.
        let own_socket = transport.ends().map(|(local, peer)| OwnSocket::open(local, peer));
        let (transport, afterwards) = match (transport, prepared) {
            (Transport::Tcp(stream), Some((tls, prepared))) => {
                let mut shown = TlsHandshake::default();
                let shaking = tls.shake_hands(prepared, stream, &mut shown, &self.shown, deadline);
                let outcome = handshake.time(Phase::Tls, shaking).await;
                handshake.tls = Some(shown);
                let (stream, afterwards) = outcome?;
                (Transport::Tls(Box::new(stream)), Some(afterwards))
            }
            (transport, _) => (transport, None),
        };
        let connection = Connection::new(transport, own_socket, Arc::clone(&self.shown), Arc::clone(&self.ledger));
        let mut connection = connection.after_handshake(afterwards);
        let client_name = self.client_name.as_deref();
        let client_name = client_name.filter(|_| self.ledger.may_take_name(Instant::now()));
        let is_phase = auth.is_some() || client_name.is_some() || self.address.database != 0;
        if is_phase {
            let login = connection.log_in(auth, client_name, self.address.database, deadline);
            let outcome = handshake.time(Phase::Auth, login).await;
            note_refusal(handshake, &connection);
            outcome?;
        }
        Ok(connection)
    }

    /// Reads the files of TLS before the server is contacted.
    async fn prepare(
        &self,
        tls: &TlsClient,
        handshake: &mut Handshake,
        deadline: Instant,
    ) -> Result<Prepared, RedisError> {
        let mut shown = TlsHandshake::default();
        let place = self.place("before connecting");
        let prepared = tls.prepare(&self.address, &mut shown, place, deadline).await;
        handshake.tls = prepared.is_err().then_some(shown);
        prepared
    }

    fn place<'a>(&'a self, step: &'a str) -> Place<'a> {
        Place {
            endpoint: &self.shown,
            step,
        }
    }

    /// The AUTH command, if credentials are configured.
    async fn auth(&self, deadline: Instant) -> Result<Option<Command>, RedisError> {
        let place = self.place("before connecting");
        let password = read_password(&self.reading, &self.password, place, deadline).await?;
        let password = password.map(|secret| secret.expose().as_bytes().to_vec());
        let auth = Command::new(1, &["AUTH"]);
        Ok(match (&self.username, password) {
            (None, None) => None,
            (None, Some(password)) => Some(auth.arg(password)),
            (Some(username), password) => Some(auth.arg(username.as_str()).arg(password.unwrap_or_default())),
        })
    }

    async fn dial(&self, handshake: &mut Handshake, deadline: Instant) -> Result<Transport, RedisError> {
        match &self.address.endpoint {
            Endpoint::Unix { path } => handshake.time(Phase::Tcp, self.connect_unix(path, deadline)).await,
            Endpoint::Tcp { host, port } => {
                let addresses = match host.parse::<IpAddr>() {
                    Ok(ip) => vec![SocketAddr::new(ip, *port)],
                    Err(_) => handshake.time(Phase::Dns, self.resolve(host, *port, deadline)).await?,
                };
                handshake.addresses = addresses.iter().map(SocketAddr::ip).collect();
                let addresses = self.allowed(addresses)?;
                handshake.time(Phase::Tcp, self.connect_tcp(&addresses, deadline)).await
            }
        }
    }

    async fn resolve(&self, host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, RedisError> {
        let place = self.place("while resolving the host name");
        match timeout_at(deadline, resolve(&self.lookup, host, port)).await {
            Err(_) => Err(place.timeout()),
            Ok(Err(error)) => Err(place.error(Reason::Dns, error)),
            Ok(Ok(addresses)) if addresses.is_empty() => Err(place.error(Reason::Dns, "the name has no address")),
            Ok(Ok(addresses)) => Ok(addresses),
        }
    }

    /// Those of the addresses that may be dialled.
    fn allowed(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, RedisError> {
        if let Some(networks) = &self.networks {
            addresses.retain(|address| networks.iter().any(|network| network.contains(address.ip())));
            if addresses.is_empty() {
                return Err(self.place("before connecting").error(
                    Reason::Unreachable,
                    "a server announced this address, and it lies outside of the networks in which announced nodes may be dialled; \
                     add its network to `allowed_networks` if it is yours",
                ));
            }
        }
        Ok(addresses)
    }

    /// Tries the addresses in order. Each gets an equal share of the time that is left, so that one that swallows packets does
    /// not keep the others from being tried. When all fail, the error is that of the address that came furthest.
    async fn connect_tcp(&self, addresses: &[SocketAddr], deadline: Instant) -> Result<Transport, RedisError> {
        let place = self.place("while connecting");
        let mut failure = place.timeout();
        let mut furthest = 0;
        let shares = (1..=u32::try_from(addresses.len()).unwrap_or(u32::MAX)).rev();
        for (address, left) in addresses.iter().zip(shares) {
            let now = Instant::now();
            let until = now + deadline.saturating_duration_since(now) / left;
            let error = match timeout_at(until, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => match prepare(stream) {
                    Ok(stream) => return Ok(Transport::Tcp(stream)),
                    Err(error) => place.io(&error),
                },
                Ok(Err(error)) => place.io(&error),
                Err(_) => place.timeout(),
            };
            if telling(error.reason) > furthest {
                furthest = telling(error.reason);
                failure = error;
            }
        }
        Err(failure)
    }

    async fn connect_unix(&self, path: &Path, deadline: Instant) -> Result<Transport, RedisError> {
        let place = self.place("while connecting");
        let attempts = async {
            loop {
                match UnixStream::connect(path).await {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(UNIX_BACKLOG_PAUSE).await,
                    outcome => return outcome,
                }
            }
        };
        match timeout_at(deadline, attempts).await {
            Err(_) => Err(place.timeout()),
            Ok(Err(error)) => Err(place.io(&error)),
            Ok(Ok(stream)) => Ok(Transport::Unix(stream)),
        }
    }
}

/// How TLS is spoken to an address, if it says so. Unix sockets never speak it.
fn tls_client(address: &Address, config: &TlsConfig, account: &Arc<TlsAccount>) -> Option<TlsClient> {
    let speaks_tls = address.tls && matches!(address.endpoint, Endpoint::Tcp { .. });
    speaks_tls.then(|| TlsClient::new(config.clone(), Arc::clone(account)))
}

/// Notes that a server broke off TLS only behind the handshake.
fn note_refusal(handshake: &mut Handshake, connection: &Connection) {
    if let (Some(tls), Some(reason)) = (&mut handshake.tls, connection.tls_refusal()) {
        tls.failure = Some(reason);
    }
}

/// How much an error of one address says about the server, for names with several.
const fn telling(reason: Reason) -> u8 {
    match reason {
        Reason::Refused => 4,
        Reason::Timeout => 3,
        Reason::Unreachable => 2,
        _ => 1,
    }
}

/// Makes a fresh TCP socket fit for use.
fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    // On loopback the kernel may connect a socket to itself when nobody listens on a port of the ephemeral range.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
