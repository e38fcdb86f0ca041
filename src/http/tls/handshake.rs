//! The handshake with one client, and why it failed.

use rustls::{CertificateError, Error, ServerConfig};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
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

/// Handshakes that are computed at one time. Each takes as long as its client likes: a chain that somebody made up costs up to a hundred
/// verifications of signatures, tens of milliseconds of a core. Of the two workers one stays free for polling, whoever knocks.
const COMPUTED_AT_ONCE: usize = 1;

/// Who may compute. A turn is over when there is nothing to compute but something to wait for, so that a slow client holds up nobody.
#[derive(Debug, Clone)]
pub(in crate::http) struct Turns(Arc<Semaphore>);

impl Turns {
    /// For all handshakes of a server together.
    pub(in crate::http) fn new() -> Self {
        Self(Arc::new(Semaphore::new(COMPUTED_AT_ONCE)))
    }

    /// Runs a future in turns with all others that run here.
    async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut queued = None;
        poll_fn(|context| {
            let place = queued.get_or_insert_with(|| Box::pin(self.0.acquire()));
            // Never closed. Were it, everybody would compute at once, and nothing worse.
            let turn = ready!(place.as_mut().poll(context));
            queued = None;
            let outcome: Poll<F::Output> = future.as_mut().poll(context);
            drop(turn);
            outcome
        })
        .await
    }
}

/// Shakes hands when it is its turn. A failure hands back the socket, over which the client was told why (an alert).
pub(in crate::http) async fn accept<S>(
    socket: S,
    config: Arc<ServerConfig>,
    turns: &Turns,
) -> Result<TlsStream<S>, (Failure, io::Error, S)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = turns
        .run(TlsAcceptor::from(config).accept(socket).into_fallible())
        .await;
    accepted.map_err(|(error, socket)| (Failure::from(&error), error, socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// As long as a handshake computes, so that two at one time would be seen.
    const COMPUTING: Duration = Duration::from_millis(2);

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_computes_at_a_time_and_who_waits_holds_up_nobody() {
        let turns = Turns::new();
        let waits_for_ever = turns.clone();
        let slow = tokio::spawn(async move { waits_for_ever.run(std::future::pending::<()>()).await });
        let (computing, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let handshakes = (0..20).map(|_| {
            let (turns, computing, most) = (turns.clone(), computing.clone(), most.clone());
            let mut flights = 0;
            tokio::spawn(async move {
                let handshake = poll_fn(|context| {
                    most.fetch_max(computing.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(COMPUTING);
                    computing.fetch_sub(1, Ordering::SeqCst);
                    flights += 1;
                    context.waker().wake_by_ref();
                    if flights < 3 { Poll::Pending } else { Poll::Ready(()) }
                });
                turns.run(handshake).await;
            })
        });
        let handshakes: Vec<_> = handshakes.collect();
        let all = async {
            for handshake in handshakes {
                handshake.await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), COMPUTED_AT_ONCE);
        assert!(!slow.is_finished());
        slow.abort();
    }
}
