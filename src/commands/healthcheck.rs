//! `healthcheck`: asks the daemon on this machine whether it is alive, for containers that have no shell and no curl.
//!
//! Over HTTPS nothing is verified: the answer comes from this machine and holds no secret, and nothing secret is sent. A daemon that demands
//! certificates of its clients lets this command, which has none, no further than the handshake. That it refuses in that very way
//! shows that it accepts connections and answers; whether its pollers turn stays unknown, and is left to the watchdog of systemd, which
//! asks inside.

use super::{EXIT_FAILURE, EXIT_OK};
use crate::cli::WebSource;
use crate::config::web;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest time that the whole question may take; container runtimes give up after 3 to 30 seconds themselves.
const DEADLINE: Duration = Duration::from_secs(2);

/// Enough for a status line and the sentence below it.
const MAX_ANSWER_BYTES: u64 = 4096;

/// What the daemon says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A status code as text, empty when there was none.
    Status(String),
    /// Nothing, since we have no certificate.
    Locked,
    /// That it does not speak what it was asked in: HTTPS instead of HTTP, or the reverse.
    OtherScheme,
}

/// Asks `/-/healthy` at the daemon's own address and returns the exit code; a reason for 1 goes to `output`. `web` says whether TLS is to be
/// expected.
///
/// # Errors
/// When `output` cannot be written.
pub async fn run(listen: SocketAddr, web: &WebSource, mut output: impl Write) -> std::io::Result<u8> {
    let address = reachable(listen);
    let expected = speaks_tls(web);
    let mut asked = scheme(expected);
    let conversation = async {
        match ask(address, expected).await {
            // The file was changed, and the daemon serves as it did before or as it will from now on.
            Ok(Answer::OtherScheme) => {
                asked = scheme(!expected);
                ask(address, !expected).await
            }
            answer => answer,
        }
    };
    let answer = tokio::time::timeout(DEADLINE, conversation).await;
    let url = format!("{asked}://{address}/-/healthy");
    let (problem, code) = match answer {
        Ok(Ok(Answer::Status(status))) if status == "200" => return Ok(EXIT_OK),
        Ok(Ok(Answer::Status(status))) => (format!("{url} answered {status}"), EXIT_FAILURE),
        Ok(Ok(Answer::OtherScheme)) => (format!("{url} speaks neither HTTP nor HTTPS"), EXIT_FAILURE),
        Ok(Ok(Answer::Locked)) => (
            format!("{url} demands a certificate of its clients, so it runs; whether its pollers turn cannot be asked"),
            EXIT_OK,
        ),
        Ok(Err(error)) => (format!("{url} cannot be asked: {error}"), EXIT_FAILURE),
        Err(_) => (
            format!("{url} did not answer within {} s", DEADLINE.as_secs()),
            EXIT_FAILURE,
        ),
    };
    writeln!(output, "{problem}")?;
    Ok(code)
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// Whether the daemon that was started like this most likely speaks TLS. A file that is broken by now held TLS once, or nobody would ask.
fn speaks_tls(web: &WebSource) -> bool {
    match web {
        WebSource::Nothing => false,
        WebSource::File(path) => web::load(path).map_or(true, |config| config.tls.is_some()),
        WebSource::ServerFlags(_) => true,
    }
}

/// Where a listener on `listen` is reached from the same machine: a wildcard address is no destination.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let host = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    SocketAddr::new(host, listen.port())
}

async fn ask(address: SocketAddr, tls: bool) -> io::Result<Answer> {
    let stream = match TcpStream::connect(address).await {
        // A wildcard listener may have been bound to IPv4 alone where IPv6 is switched off.
        Err(_) if address.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST) => {
            TcpStream::connect(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())).await?
        }
        connected => connected?,
    };
    if !tls {
        return converse(stream).await;
    }
    let asked = Arc::new(NoCertificate::default());
    let config = client_config(asked.clone()).map_err(io::Error::other)?;
    let name = ServerName::IpAddress(address.ip().into());
    let answer = match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        // With TLS 1.3 the refusal comes in place of the answer.
        Ok(stream) => converse(stream).await,
        Err(error) => Err(error),
    };
    answer.or_else(|error| match tls_error(&error) {
        Some(Error::AlertReceived(_)) if asked.was_asked.load(Ordering::Relaxed) => Ok(Answer::Locked),
        Some(Error::InvalidMessage(_)) => Ok(Answer::OtherScheme),
        _ => Err(error),
    })
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Answer> {
    stream
        .write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let status: String = text.split(' ').nth(1).unwrap_or_default().chars().take(3).collect();
    if status == "400" && text.contains("HTTPS") {
        return Ok(Answer::OtherScheme);
    }
    Ok(Answer::Status(status))
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn client_config(asked: Arc<NoCertificate>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let anybody = Anybody(provider.clone());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(anybody));
    Ok(builder.with_client_cert_resolver(asked))
}

/// Has no certificate, and knows whether one was asked for.
#[derive(Debug, Default)]
struct NoCertificate {
    was_asked: AtomicBool,
}

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Trusts whoever listens there.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn against(answer: &'static str) -> (u8, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /-/healthy "));
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let mut output = Vec::new();
        let code = run(address, &WebSource::Nothing, &mut output).await.unwrap();
        server.await.unwrap();
        (code, String::from_utf8(output).unwrap())
    }

    #[tokio::test]
    async fn healthy_is_silent() {
        assert_eq!(
            against("HTTP/1.1 200 OK\r\n\r\nHealthy").await,
            (EXIT_OK, String::new())
        );
    }

    #[tokio::test]
    async fn unhealthy_says_so() {
        let (code, output) = against("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        assert_eq!(code, EXIT_FAILURE);
        assert!(output.contains("answered 503"), "{output}");
    }

    #[tokio::test]
    async fn nobody_there_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut output = Vec::new();
        assert_eq!(
            run(address, &WebSource::Nothing, &mut output).await.unwrap(),
            EXIT_FAILURE
        );
        assert!(String::from_utf8(output).unwrap().contains("cannot be asked"));
    }

    #[test]
    fn wildcards_become_loopback() {
        assert_eq!(reachable("0.0.0.0:9121".parse().unwrap()).to_string(), "127.0.0.1:9121");
        assert_eq!(reachable("[::]:9121".parse().unwrap()).to_string(), "[::1]:9121");
    }
}
