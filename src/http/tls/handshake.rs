//! The handshake with one client, and why it failed.

use rustls::{CertificateError, Error, ServerConfig};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why a handshake failed: the values of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Failure {
    /// The client spoke plain HTTP.
    PlainHttp,
    /// It sent what is no TLS.
    NotTls,
    /// It took too long.
    Timeout,
    /// It left before the end, as a probe of the port does.
    Closed,
    /// It has no version, cipher suite, curve or protocol in common with us.
    Incompatible,
    /// It showed no certificate where one is demanded.
    NoCertificate,
    /// Its certificate was not signed by one of the client authorities.
    UnknownCa,
    /// Its certificate has ended, or has not begun.
    Expired,
    /// Its certificate holds none of `client_allowed_sans`.
    NotAllowed,
    /// Its certificate is wrong in another way.
    BadCertificate,
    /// It refused us, most likely our certificate.
    RefusedByClient,
    /// Anything else.
    Other,
}

impl Failure {
    /// All of them.
    pub(in crate::http) const ALL: [Self; 12] = [
        Self::PlainHttp,
        Self::NotTls,
        Self::Timeout,
        Self::Closed,
        Self::Incompatible,
        Self::NoCertificate,
        Self::UnknownCa,
        Self::Expired,
        Self::NotAllowed,
        Self::BadCertificate,
        Self::RefusedByClient,
        Self::Other,
    ];

    /// The value of the label `reason`.
    pub(in crate::http) fn as_label(self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Incompatible => "incompatible",
            Self::NoCertificate => "no_certificate",
            Self::UnknownCa => "unknown_ca",
            Self::Expired => "expired",
            Self::NotAllowed => "not_allowed",
            Self::BadCertificate => "bad_certificate",
            Self::RefusedByClient => "refused_by_client",
            Self::Other => "other",
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer => Self::UnknownCa,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                CertificateError::ApplicationVerificationFailure => Self::NotAllowed,
                _ => Self::BadCertificate,
            },
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => Self::NotTls,
            Error::AlertReceived(_) => Self::RefusedByClient,
            _ => Self::Other,
        }
    }
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match (inner, error.kind()) {
            (Some(error), _) => Self::of_tls(error),
            (None, io::ErrorKind::TimedOut) => Self::Timeout,
            (
                None,
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected,
            ) => Self::Closed,
            _ => Self::Other,
        }
    }
}

/// What the first byte of a client says. It stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Opening {
    /// A method of HTTP: records of TLS begin with a number below 32 (RFC 8446, section 5.1), methods with a capital letter.
    PlainHttp,
    /// Whatever else, to be judged by the handshake.
    Tls,
}

/// Waits for the first byte.
///
/// # Errors
/// When the client leaves before.
pub(in crate::http) async fn opening(stream: &TcpStream) -> io::Result<Opening> {
    let mut first = [0_u8];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let [first] = first;
    Ok(if first.is_ascii_uppercase() {
        Opening::PlainHttp
    } else {
        Opening::Tls
    })
}

/// Shakes hands. A failure hands back the socket, over which the client was told why (an alert).
pub(in crate::http) async fn accept<S>(
    socket: S,
    config: Arc<ServerConfig>,
) -> Result<TlsStream<S>, (Failure, io::Error, S)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = TlsAcceptor::from(config).accept(socket).into_fallible().await;
    accepted.map_err(|(error, socket)| (Failure::from(&error), error, socket))
}
