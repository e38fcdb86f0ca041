//! A blocking TLS client: rustls over a socket, for tests that talk to a TLS server themselves.

use super::certificates::Issued;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Longest time that one read takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection whose handshake is done.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Whom the client trusts, what it shows, and which name it expects.
#[derive(Debug, Clone)]
pub struct TlsClient {
    authorities: String,
    identity: Option<Issued>,
    server_name: String,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl TlsClient {
    /// Trusts the authorities of this PEM text and nobody else, shows no certificate, and expects `localhost`.
    pub fn trusting(authorities: &str) -> Self {
        Self {
            authorities: authorities.to_owned(),
            identity: None,
            server_name: "localhost".to_owned(),
            versions: rustls::ALL_VERSIONS,
        }
    }

    /// Shows this certificate to a server that asks for one.
    pub fn showing(mut self, identity: &Issued) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Expects another name, and sends it as SNI when it is not an IP address.
    pub fn expecting(mut self, server_name: &str) -> Self {
        server_name.clone_into(&mut self.server_name);
        self
    }

    /// Speaks these versions only, e.g. `&[&rustls::version::TLS12]`.
    pub fn speaking(mut self, versions: &'static [&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions;
        self
    }

    /// Connects to a port of the loopback interface and does the handshake. With TLS 1.3 a server that refuses our certificate says so
    /// only at the first read.
    pub fn connect(&self, port: u16) -> std::io::Result<TlsStream> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(self.server_name.clone()).expect("a server name");
        let mut connection = ClientConnection::new(Arc::new(self.config()), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.authorities) {
            roots.add(authority).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        match &self.identity {
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(certificates(&identity.certificate), key)
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        }
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| certificate.unwrap())
        .collect()
}
