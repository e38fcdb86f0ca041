//! The client's side of a handshake.

use super::account::TlsAccount;
use super::failure::{Identification, TlsFailure, tls_error};
use super::material::{Material, Reading, Unusable, read};
use super::witness::Witness;
use super::{TlsHandshake, TlsReason};
use crate::config::tls::{TlsConfig, TlsVersion};
use crate::config::types::{Address, Endpoint};
use crate::redis::error::{Place, RedisError};
use crate::redis::reason::{Reason, classify_io};
use crate::tls::provider;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, SignatureScheme, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use std::io::{self, IoSlice, Read, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinError;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What errors say about this step.
const STEP: &str = "during the TLS handshake";

/// How often files that are just being replaced are read again, and the pause before: half a second in all, far more than whoever renews a
/// certificate takes between its file and that of its key, and less than most deadlines.
const REREADS: u32 = 10;
const REREAD_PAUSE: Duration = Duration::from_millis(50);

/// What is to be known about a handshake afterwards, for a refusal that shows only in the first answer.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Afterwards {
    /// Where failures are counted.
    pub(in crate::redis) account: Arc<TlsAccount>,
    /// What became of the server's wish for a certificate of ours.
    pub(in crate::redis) identification: Identification,
}

/// Speaks TLS to one server with one configuration. Cheap to clone; clones share the reading of the files.
#[derive(Debug, Clone)]
pub(in crate::redis) struct TlsClient {
    config: TlsConfig,
    reading: Reading,
    account: Arc<TlsAccount>,
}

/// What is ready before the server is contacted.
pub(in crate::redis) struct Prepared {
    material: Material,
    name: ServerName<'static>,
}

impl TlsClient {
    pub(in crate::redis) fn new(config: TlsConfig, account: Arc<TlsAccount>) -> Self {
        Self {
            config,
            reading: Reading::default(),
            account,
        }
    }

    /// Counts failures in another account from now on.
    pub(in crate::redis) fn count_in(&mut self, account: Arc<TlsAccount>) {
        self.account = account;
    }

    /// Takes over what may still hang of an older one with the same configuration.
    pub(in crate::redis) fn succeed(&mut self, old: &Self) {
        if self.config == old.config {
            self.reading = old.reading.clone();
        }
    }

    /// Reads all files, off the async threads, and finds the name that the certificate must be made out to.
    ///
    /// # Errors
    /// `Tls` for files that cannot be used and for a host that cannot stand in a certificate, `Timeout` when the files do not come
    /// before `deadline`. Counted, and noted in `handshake`.
    pub(in crate::redis) async fn prepare(
        &self,
        address: &Address,
        handshake: &mut TlsHandshake,
        place: Place<'_>,
        deadline: Instant,
    ) -> Result<Prepared, RedisError> {
        let fail = |handshake: &mut TlsHandshake, failure: TlsFailure| {
            self.note(handshake, failure.reason);
            place.tls(Reason::Tls, &failure)
        };
        let name = match server_name(&self.config, address) {
            Ok(name) => name,
            Err(failure) => return Err(fail(handshake, failure)),
        };
        match timeout_at(deadline, self.read(deadline)).await {
            Ok(Ok(Ok(material))) => Ok(Prepared { material, name }),
            Ok(Ok(Err(failure))) => Err(fail(handshake, failure)),
            Ok(Err(_)) => Err(place.error(Reason::Other, "the reader of the TLS files broke off")),
            Err(_) => {
                self.note(handshake, TlsReason::Other);
                Err(RedisError {
                    reason: Reason::Timeout,
                    message: format!(
                        "{}: the deadline passed while the files of TLS ({}) were read; look at their file system",
                        place.endpoint,
                        named_files(&self.config)
                    ),
                })
            }
        }
    }

    /// Reads the files, and once more after a pause when they cannot be used because they are just being replaced.
    async fn read(&self, deadline: Instant) -> Result<Result<Material, TlsFailure>, JoinError> {
        for _ in 0..REREADS {
            match self.read_once().await? {
                Err(unusable) if unusable.just_changed && Instant::now() + REREAD_PAUSE < deadline => {
                    sleep(REREAD_PAUSE).await;
                }
                outcome => return Ok(outcome.map_err(|unusable| unusable.failure)),
            }
        }
        let outcome = self.read_once().await?;
        Ok(outcome.map_err(|unusable| unusable.failure))
    }

    async fn read_once(&self) -> Result<Result<Material, Unusable>, JoinError> {
        let config = self.config.clone();
        self.reading.run(move || read(&config)).await
    }

    /// Shakes hands over a fresh connection. What it showed is noted in `handshake`, also when it fails; a failure is counted.
    ///
    /// # Errors
    /// `Tls` for everything that TLS itself does not like, `Timeout`, and what sockets say.
    pub(in crate::redis) async fn shake_hands(
        &self,
        prepared: Prepared,
        stream: TcpStream,
        handshake: &mut TlsHandshake,
        endpoint: &str,
        deadline: Instant,
    ) -> Result<(TlsStream<TcpStream>, Afterwards), RedisError> {
        let place = Place { endpoint, step: STEP };
        let provider = provider();
        let identity = Arc::new(Identity::new(prepared.material.identity));
        let witness = Arc::new(Witness::new(
            Arc::clone(&provider),
            prepared.material.authorities,
            self.config.insecure_skip_verify,
        ));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(self.config.min_version))
            .map(|builder| {
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::clone(&witness) as _)
                    .with_client_cert_resolver(Arc::clone(&identity) as _)
            });
        let session = config.and_then(|mut config| {
            // A resumed session shows no certificate, and there would be nothing to tell of it.
            config.resumption = Resumption::disabled();
            let config = Arc::new(config);
            ClientConnection::new(Arc::clone(&config), prepared.name.clone()).map(|session| (config, session))
        });
        let (config, mut session) = match session {
            Ok(made) => made,
            Err(error) => {
                let failure = TlsFailure::of(&error, &Identification::default());
                self.note(handshake, failure.reason);
                return Err(place.tls(Reason::Tls, &failure));
            }
        };
        // A batch is one write, however long it is; what it may cost is bounded where it is made.
        session.set_buffer_limit(None);
        let outcome = timeout_at(deadline, drive(&mut session, &stream)).await;

        handshake.version = session.protocol_version().and_then(shown_version);
        handshake.cipher = session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .map(iana_name);
        let identification = identity.tell();
        let mut verification = None;
        if let Some(shown) = witness.tell() {
            handshake.certificates = shown.certificates;
            handshake.verified = Some(shown.failure.is_none());
            handshake.failure = shown.failure.as_ref().map(|failure| failure.reason);
            verification = shown.failure;
        }
        let failed = match outcome {
            Ok(Ok(())) => None,
            Err(_) => Some((TlsReason::Handshake, stalled(place))),
            Ok(Err(error)) => Some(match (tls_error(&error), verification) {
                // A signature of the handshake that does not fit is refused whatever is skipped.
                (Some(rustls::Error::InvalidCertificate(_)), Some(failure)) => {
                    (failure.reason, place.tls(Reason::Tls, &failure))
                }
                (Some(error), _) => {
                    let failure = TlsFailure::of(error, &identification);
                    (failure.reason, place.tls(Reason::Tls, &failure))
                }
                (None, _) => (TlsReason::Handshake, broken(place, &error)),
            }),
        };
        if let Some((reason, error)) = failed {
            self.note(handshake, reason);
            return Err(error);
        }
        // The session is done with its handshake; tokio-rustls makes one of its own, which gives way to it.
        let stream = TlsConnector::from(config).connect_with(prepared.name, stream, |slot| *slot = session);
        let stream = stream.await.map_err(|error| place.io(&error))?;
        let afterwards = Afterwards {
            account: Arc::clone(&self.account),
            identification,
        };
        Ok((stream, afterwards))
    }

    fn note(&self, handshake: &mut TlsHandshake, reason: TlsReason) {
        handshake.failure = Some(reason);
        self.account.note(reason);
    }
}

/// The files of ours that are read, for people.
fn named_files(config: &TlsConfig) -> String {
    let certificate = config.client_certificate.as_ref();
    let files = [
        config.ca_file.as_ref(),
        certificate.map(|files| &files.cert_file),
        certificate.map(|files| &files.key_file),
    ];
    let files: Vec<String> = files
        .into_iter()
        .flatten()
        .map(|path| path.display().to_string())
        .collect();
    match files.is_empty() {
        true => "the certificate authorities of this machine".to_owned(),
        false => files.join(", "),
    }
}

fn stalled(place: Place<'_>) -> RedisError {
    RedisError {
        reason: Reason::Timeout,
        message: format!(
            "{}: the deadline passed {}, which the server did not answer; if the port is one without TLS, write redis:// in place of \
             rediss://, else check that the server is not stopped, overloaded or behind a firewall",
            place.endpoint, place.step
        ),
    }
}

/// The connection ended. Redis closes it without a word when it has as many clients as it may, since nothing can be said before TLS.
fn broken(place: Place<'_>, error: &io::Error) -> RedisError {
    match classify_io(error) {
        Reason::Closed => RedisError {
            reason: Reason::Closed,
            message: format!(
                "{}: the server closed the connection {}; check that the port speaks TLS, that the server has not as many clients as \
                 maxclients allows, and its log",
                place.endpoint, place.step
            ),
        },
        _ => place.io(error),
    }
}

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_1_2: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static FROM_1_3: [&SupportedProtocolVersion; 1] = [&TLS13];
    match oldest {
        TlsVersion::V1_2 => &FROM_1_2,
        TlsVersion::V1_3 => &FROM_1_3,
    }
}

const fn shown_version(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => None,
    }
}

/// rustls writes `TLS13_AES_128_GCM_SHA256` where IANA writes `TLS_AES_128_GCM_SHA256`.
fn iana_name(rustls_name: &'static str) -> &'static str {
    /// The suites of TLS 1.3 that ring has.
    const OF_TLS_1_3: [(&str, &str); 3] = [
        ("TLS13_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        ("TLS13_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    ];
    let known = OF_TLS_1_3.iter().find(|(ours, _)| *ours == rustls_name);
    known.map_or(rustls_name, |(_, iana)| iana)
}

/// The name that the certificate must be made out to: the configured one, or the host without a dot at its end (RFC 6066, section 3,
/// has none there) and without the zone of an IPv6 address, which means something on this machine only (RFC 4007).
fn server_name(config: &TlsConfig, address: &Address) -> Result<ServerName<'static>, TlsFailure> {
    let host = match (&config.server_name, &address.endpoint) {
        (Some(name), _) => name.as_str(),
        (None, Endpoint::Tcp { host, .. }) => host.as_str(),
        (None, Endpoint::Unix { .. }) => "",
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let without_zone = name.split('%').next().unwrap_or(name);
    if let Ok(address) = without_zone.parse::<IpAddr>() {
        return Ok(ServerName::from(address));
    }
    ServerName::try_from(name.to_owned()).map_err(|_| TlsFailure {
        reason: TlsReason::NameMismatch,
        what: format!(
            "`{}` is no name that a certificate can be made out to: neither a host name of DNS nor an IP address",
            host.escape_debug()
        ),
        advice: "set `tls.server_name` to a name of the server's certificate".to_owned(),
    })
}

/// What we show to a server that asks who we are. Keeps the key no longer than the handshake lasts.
#[derive(Debug)]
struct Identity {
    key: Mutex<Option<Arc<CertifiedKey>>>,
    has_key: bool,
    asked: AtomicBool,
}

impl Identity {
    fn new(key: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            has_key: key.is_some(),
            key: Mutex::new(key),
            asked: AtomicBool::new(false),
        }
    }

    fn take(&self) -> Option<Arc<CertifiedKey>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn tell(&self) -> Identification {
        self.take();
        let asked = self.asked.load(Ordering::Relaxed);
        Identification {
            asked,
            shown: asked && self.has_key,
        }
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.take()
    }

    fn has_certs(&self) -> bool {
        self.has_key
    }
}

/// Shakes hands until it is done. Unlike the future of tokio-rustls it leaves the session with its owner, who reads from it what was
/// agreed upon before a failure.
async fn drive(session: &mut ClientConnection, stream: &TcpStream) -> io::Result<()> {
    loop {
        // Whoever always has something to read would never let the deadline have its turn: what is ready is no rest for tokio.
        consume_budget().await;
        while session.wants_write() {
            stream.writable().await?;
            match session.write_tls(&mut Socket(stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    outcome?;
                }
            }
        }
        if !session.is_handshaking() {
            return Ok(());
        }
        stream.readable().await?;
        match session.read_tls(&mut Socket(stream)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if let Err(error) = session.process_new_packets() {
            // The alert that tells the server why, as far as it can be sent at once.
            let _ = session.write_tls(&mut Socket(stream));
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
}

/// The socket without waiting.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_address_is_the_name_unless_another_one_is_configured() {
        let name = |host: &str, configured: Option<&str>| {
            let config = TlsConfig {
                server_name: configured.map(str::to_owned),
                ..TlsConfig::default()
            };
            let endpoint = Endpoint::Tcp {
                host: host.to_owned(),
                port: 1,
            };
            let address = Address {
                endpoint,
                database: 0,
                tls: true,
            };
            server_name(&config, &address)
                .map(|name| name.to_str().into_owned())
                .ok()
        };
        let table = [
            ("redis.example", Some("redis.example")),
            ("redis.example.", Some("redis.example")),
            ("re_dis", Some("re_dis")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("::ffff:10.0.0.1", Some("::ffff:10.0.0.1")),
            ("redis..example", None),
            ("-redis", None),
            ("redis\u{e4}", None),
        ];
        for (host, expected) in table {
            assert_eq!(name(host, None).as_deref(), expected, "{host}");
            assert_eq!(name("other", Some(host)).as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn suites_bear_the_names_of_iana() {
        for suite in &provider().cipher_suites {
            let name = suite.suite().as_str().unwrap();
            assert!(iana_name(name).starts_with("TLS_"), "{name}");
        }
    }
}
