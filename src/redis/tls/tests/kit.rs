//! Certificates, servers and connectors for the tests of this room.

use crate::config::InstanceConfig;
use crate::config::tls::TlsConfig;
use crate::config::types::{Address, Endpoint, PasswordSource};
use crate::redis::testing::{Act, play, send, soon};
use crate::redis::tls::account::TlsAccount;
use crate::redis::{Connection, Connector, Handshake, RedisError, TlsHandshake, TlsReason};
use crate::tls::provider;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub(in crate::redis::tls) static ONLY_1_2: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
pub(in crate::redis::tls) static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// A certificate with its key.
pub(in crate::redis::tls) struct Made {
    pub(in crate::redis::tls) der: CertificateDer<'static>,
    pub(in crate::redis::tls) pem: String,
    pub(in crate::redis::tls) params: CertificateParams,
    pub(in crate::redis::tls) key: KeyPair,
}

impl Made {
    pub(in crate::redis::tls) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// What a certificate says unless a test says otherwise: `localhost` and `127.0.0.1`, for a long time around now.
pub(in crate::redis::tls) fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

pub(in crate::redis::tls) fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = params(common_name);
    params.subject_alt_names.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(in crate::redis::tls) fn self_signed(params: CertificateParams) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Made {
        der: certificate.der().clone(),
        pem: certificate.pem(),
        params,
        key,
    }
}

pub(in crate::redis::tls) fn issued(params: CertificateParams, issuer: &Made) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer.issuer()).unwrap();
    Made {
        der: certificate.der().clone(),
        pem: certificate.pem(),
        params,
        key,
    }
}

pub(in crate::redis::tls) fn authority() -> Made {
    self_signed(authority_params("an authority"))
}

pub(in crate::redis::tls) fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What a server is.
pub(in crate::redis::tls) struct Server {
    pub(in crate::redis::tls) leaf: Made,
    pub(in crate::redis::tls) others: Vec<CertificateDer<'static>>,
    pub(in crate::redis::tls) versions: &'static [&'static SupportedProtocolVersion],
    /// The key that it signs with, where that is not its certificate's.
    pub(in crate::redis::tls) strange_key: Option<KeyPair>,
    /// Clients must show a certificate of this authority.
    pub(in crate::redis::tls) client_authority: Option<CertificateDer<'static>>,
}

impl Server {
    pub(in crate::redis::tls) fn of(leaf: Made) -> Self {
        Self {
            leaf,
            others: Vec::new(),
            versions: rustls::DEFAULT_VERSIONS,
            strange_key: None,
            client_authority: None,
        }
    }

    pub(in crate::redis::tls) fn config(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .unwrap();
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut chain = vec![self.leaf.der.clone()];
        chain.extend(self.others.iter().cloned());
        let key = self.strange_key.as_ref().unwrap_or(&self.leaf.key);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = provider().key_provider.load_private_key(key).unwrap();
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        Arc::new(builder.with_cert_resolver(Arc::new(shown)))
    }

    /// Plays the script over one connection.
    pub(in crate::redis::tls) async fn plays(&self, script: Vec<Act>) -> (SocketAddr, JoinHandle<Vec<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(self.config());
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            match acceptor.accept(stream).await {
                Ok(stream) => play(stream, script).await,
                Err(_) => Vec::new(),
            }
        });
        (address, task)
    }

    /// Answers the login of one connection and waits for its end.
    pub(in crate::redis::tls) async fn welcomes(&self) -> SocketAddr {
        self.plays(vec![Act::Read(1), send("+OK\r\n"), Act::AwaitClose]).await.0
    }
}

pub(in crate::redis::tls) fn address(host: &str, port: u16) -> Address {
    Address {
        endpoint: Endpoint::Tcp {
            host: host.to_owned(),
            port,
        },
        database: 0,
        tls: true,
    }
}

/// An instance at a socket, with this configuration of TLS.
pub(in crate::redis::tls) fn instance(socket: SocketAddr, tls: TlsConfig) -> InstanceConfig {
    let nothing = crate::config::Environment::of_pairs(&[]);
    let yaml = "instances: [{name: a, address: 'redis://localhost'}]";
    let loaded = crate::config::load_str(yaml, "test", std::path::Path::new(""), &nothing).unwrap();
    InstanceConfig {
        address: address(&socket.ip().to_string(), socket.port()),
        tls,
        ..InstanceConfig::clone(&loaded.config.instances[0])
    }
}

pub(in crate::redis::tls) fn connector(socket: SocketAddr, tls: TlsConfig) -> Connector {
    Connector::new(&instance(socket, tls))
}

/// One that sends nothing of its own accord.
pub(in crate::redis::tls) fn silent(socket: SocketAddr, tls: TlsConfig) -> Connector {
    let mut instance = instance(socket, tls);
    instance.optional.compatibility.set_client_name = false;
    instance.password = PasswordSource::None;
    Connector::new(&instance)
}

/// Trusts the certificates of one file.
pub(in crate::redis::tls) fn trusting(ca_file: &NamedTempFile) -> TlsConfig {
    TlsConfig {
        ca_file: Some(PathBuf::from(ca_file.path())),
        ..TlsConfig::default()
    }
}

pub(in crate::redis::tls) async fn connected(connector: &Connector) -> (Connection, TlsHandshake) {
    let (connection, handshake) = connector.connect(soon()).await.unwrap();
    assert_eq!(failures(connector), []);
    (connection, handshake.tls.unwrap())
}

/// What a connect shows that fails, which counts once.
pub(in crate::redis::tls) async fn failed(connector: &Connector) -> (TlsHandshake, RedisError) {
    let (Handshake { tls, .. }, error) = connector.connect(soon()).await.unwrap_err();
    let tls = tls.unwrap();
    assert_eq!(failures(connector), [(tls.failure.unwrap(), 1)], "{error}");
    (tls, error)
}

/// What was counted.
pub(in crate::redis::tls) fn failures(connector: &Connector) -> Vec<(TlsReason, u64)> {
    connector
        .tls_errors()
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[test]
fn every_reason_is_counted_for_itself() {
    let account = TlsAccount::default();
    for (position, reason) in TlsReason::ALL.into_iter().enumerate() {
        (0..=position).for_each(|_| account.note(reason));
    }
    let expected: Vec<(TlsReason, u64)> = TlsReason::ALL.into_iter().zip(1..).collect();
    assert_eq!(account.counts().to_vec(), expected);
    let labels: std::collections::BTreeSet<&str> = TlsReason::ALL.into_iter().map(TlsReason::as_label).collect();
    assert_eq!(labels.len(), TlsReason::ALL.len());
}
