//! Accepts connections, in clear or over TLS, within limits, until it is told to stop; then lets the running answers end.

use super::App;
use super::admission::{Admission, Verdict};
use super::answer::AnswerBody;
use super::guard::{Answering, Guarded, Phase, Progress};
use super::routes;
use super::tls::ServerTls;
use super::tls::handshake::{self, Failure, Opening, Turns};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::pki_types::UnixTime;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Largest head of a request. Prometheus sends under 1 KiB; a larger head is answered with 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Headers of one request. Proxies add some; hyper's own limit is 100.
const MAX_HEADERS: usize = 64;

/// Pause after `accept` failed for want of descriptors or memory. Trying at once would burn the core that is needed to end
/// connections, and 50 ms are not noticed by a scrape.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections beyond the limit that are being told so at one time; more are closed without a word.
const MAX_REFUSALS: usize = 64;

/// How long a refused client may take to read its refusal.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

/// What a client beyond the limit of connections is told.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
Content-Length: 50\r\nRetry-After: 1\r\nConnection: close\r\n\r\ntoo many connections; see limits.http_connections\n";

/// What a client is told that speaks plain HTTP where TLS is spoken. It has no TLS to read anything else with.
const IN_CLEAR: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
Content-Length: 51\r\nConnection: close\r\n\r\nthis port speaks HTTPS; ask again with https://...\n";

/// The same for a connection that was opened before TLS was switched on.
const IN_CLEAR_BY_NOW: &str = "this port speaks HTTPS by now; ask again with https://";

/// How long clients may take, each with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection's start to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a head, or from the connection's start, to its last byte.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// Without the client reading a single byte.
    pub stall: Duration,
    /// From the first time an answer had to wait for the client until the answer is out.
    pub answer: Duration,
    /// For running answers when the server stops.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // Two round trips and a signature: a tenth of that over the slowest link, and half of what a scrape has in all.
            handshake: Duration::from_secs(5),
            // Slow links send a head of 1 KiB in far less; a slow attacker holds a connection for no longer.
            head: Duration::from_secs(10),
            // Prometheus scrapes every 15 to 60 seconds and should find its connection open: twice the longest.
            idle: Duration::from_secs(120),
            // Prometheus' own limit for a scrape is 10 s, so nobody reads on after 20.
            stall: Duration::from_secs(20),
            // One byte at a time must not hold a connection for ever either.
            answer: Duration::from_secs(60),
            // The process has 5 s to end after SIGTERM, and others have things to end too.
            drain: Duration::from_secs(3),
        }
    }
}

/// Serves on all listeners until `shutdown` turns true or its sender is gone. Returns when the running answers ended, or
/// `timeouts.drain` later.
pub async fn serve(listeners: Vec<TcpListener>, app: Arc<App>, timeouts: Timeouts, shutdown: watch::Receiver<bool>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let turns = Turns::new();
    let graceful = Arc::new(GracefulShutdown::new());
    // Connections live as long as this sender, which goes when this function returns.
    let (alive, cut) = watch::channel(());
    let mut loops = JoinSet::new();
    for listener in listeners {
        let acceptor = Acceptor {
            app: app.clone(),
            timeouts,
            connections: connections.clone(),
            refusals: refusals.clone(),
            turns: turns.clone(),
            cut: cut.clone(),
            stopping: shutdown.clone(),
        };
        let (graceful, mut shutdown) = (graceful.clone(), shutdown.clone());
        loops.spawn(async move {
            tokio::select! {
                // An error means that nobody can tell us to stop any more, which is the same.
                _ = shutdown.wait_for(|stop| *stop) => {}
                never = acceptor.run(listener, &graceful) => match never {},
            }
        });
    }
    // The listeners close with their loops, so that no new client waits in vain.
    while loops.join_next().await.is_some() {}
    // All loops are gone, and with them the other owners.
    let drained = match Arc::into_inner(graceful) {
        Some(graceful) => tokio::time::timeout(timeouts.drain, graceful.shutdown()).await.is_ok(),
        None => false,
    };
    if !drained {
        tracing::warn!(
            seconds = timeouts.drain.as_secs_f64(),
            "Some HTTP answers did not end in time and are cut."
        );
    }
    drop(alive);
}

/// What a loop needs to take connections.
struct Acceptor {
    app: Arc<App>,
    timeouts: Timeouts,
    /// How many connections are served now.
    connections: Arc<AtomicUsize>,
    refusals: Arc<Semaphore>,
    /// Who computes a handshake.
    turns: Turns,
    /// Fails when the server is gone.
    cut: watch::Receiver<()>,
    /// Turns true when the server stops.
    stopping: watch::Receiver<bool>,
}

impl Acceptor {
    async fn run(&self, listener: TcpListener, graceful: &GracefulShutdown) -> Infallible {
        let mut failing = false;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    failing = false;
                    self.take(stream, graceful);
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "New HTTP connections cannot be accepted; trying again.");
                    }
                    failing = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection in a task of its own, or refuses it when there are too many.
    ///
    /// A refusal with 503 tells Prometheus and people at once what is wrong; leaving them in the backlog would look like a
    /// hung exporter.
    fn take(&self, stream: TcpStream, graceful: &GracefulShutdown) {
        // Asked anew each time, so that a reload holds for the next connection.
        let limit = self.app.config().limits.http_connections;
        let tls = self.app.parts.web.current().tls.clone();
        let Some(permit) = Permit::try_new(&self.connections, limit) else {
            if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
                let turns = self.turns.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(REFUSAL_LIMIT, refuse(stream, tls, &turns)).await;
                    drop(permit);
                });
            }
            return;
        };
        // Small answers must not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let client = Client {
            app: self.app.clone(),
            progress: Arc::new(Progress::new()),
            turns: self.turns.clone(),
        };
        let watcher = graceful.watcher();
        let (timeouts, mut cut, mut stopping) = (self.timeouts, self.cut.clone(), self.stopping.clone());
        tokio::spawn(async move {
            let open = client.app.parts.telemetry.connection_opens();
            tokio::select! {
                () = client.serve(stream, tls, timeouts, watcher, &mut stopping) => {}
                _ = cut.changed() => {}
            }
            drop((open, permit));
        });
    }
}

/// One connection.
struct Client {
    app: Arc<App>,
    progress: Arc<Progress>,
    turns: Turns,
}

/// Its client would not be let in any more. Nothing is answered: it is as if its handshake had failed, and a client that may come in by
/// another certificate asks again over a new connection, as Prometheus does when a kept one was closed.
#[derive(Debug, thiserror::Error)]
#[error("the certificate of this connection is accepted no more")]
struct Dismissed;

impl Client {
    /// Shakes hands where TLS is spoken, and answers until one of the two ends it.
    async fn serve(
        self,
        stream: TcpStream,
        tls: Option<ServerTls>,
        timeouts: Timeouts,
        watcher: Watcher,
        stopping: &mut watch::Receiver<bool>,
    ) {
        let Some(tls) = tls else {
            let socket = Guarded::new(stream, timeouts, self.progress.clone());
            return self.converse(socket, Admission::in_clear(), watcher, stopping).await;
        };
        let telemetry = &self.app.parts.telemetry;
        let secured = tokio::select! {
            secured = self.secure(stream, tls, timeouts) => secured,
            // A client that is not let in yet has nothing to wait for.
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match secured {
            Ok(socket) => {
                self.progress.enter(Phase::Head);
                let admission = Admission::over_tls(socket.get_ref().1.peer_certificates());
                self.converse(socket, admission, watcher, stopping).await;
            }
            Err((failure, error)) => {
                telemetry.tls_handshake_failed(failure.as_label());
                tracing::debug!(
                    reason = failure.as_label(),
                    error,
                    "A TLS handshake of an HTTP client failed."
                );
            }
        }
    }

    /// The handshake, bounded in time. A client that fails it is told why, as far as it reads that soon.
    async fn secure(
        &self,
        stream: TcpStream,
        tls: ServerTls,
        timeouts: Timeouts,
    ) -> Result<tokio_rustls::server::TlsStream<Guarded<TcpStream>>, (Failure, String)> {
        let deadline = tokio::time::Instant::now() + timeouts.handshake;
        let late = || {
            (
                Failure::Timeout,
                format!("it took longer than {:?}", timeouts.handshake),
            )
        };
        let opening = tokio::time::timeout_at(deadline, handshake::opening(&stream)).await;
        match opening.map_err(|_| late())? {
            Ok(Opening::Tls) => {}
            Ok(Opening::PlainHttp) => {
                let _ = tokio::time::timeout(REFUSAL_LIMIT, dismiss(stream, IN_CLEAR)).await;
                return Err((Failure::PlainHttp, "it spoke plain HTTP".to_owned()));
            }
            Err(error) => return Err((Failure::from(&error), error.to_string())),
        }
        let socket = Guarded::new(stream, timeouts, self.progress.clone());
        let accepted = tokio::time::timeout_at(deadline, handshake::accept(socket, tls.config, &self.turns)).await;
        match accepted.map_err(|_| late())? {
            Ok(socket) => Ok(socket),
            Err((failure, error, socket)) => {
                let _ = tokio::time::timeout(REFUSAL_LIMIT, dismiss(socket, b"")).await;
                Err((failure, error.to_string()))
            }
        }
    }

    /// Answers requests until the client leaves or is not to be served any more. `_watcher` is waited for when the server stops.
    async fn converse<S>(
        &self,
        socket: S,
        admission: Admission,
        _watcher: Watcher,
        stopping: &mut watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut changes = self.app.parts.web.changes();
        let admission = &admission;
        let service = service_fn(|request| {
            let answering = Answering::begin(self.progress.clone(), self.app.parts.telemetry.request_begins());
            self.answer(admission, request, answering)
        });
        let connection = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        let mut ending = false;
        loop {
            ending |= tokio::select! {
                // Whoever is not let in any more is closed while it asks nothing, rather than when it asks.
                biased;
                _ = stopping.wait_for(|stop| *stop), if !ending => true,
                Ok(()) = changes.changed(), if !ending => {
                    matches!(self.verdict(admission), Verdict::Leaves | Verdict::InClear)
                }
                // What goes wrong here is the client's doing (it left, was too slow, or sent garbage), not worth a log line.
                _ = connection.as_mut() => return,
            };
            if ending {
                connection.as_mut().graceful_shutdown();
            }
        }
    }

    /// What the client is worth under the web configuration of this moment.
    fn verdict(&self, admission: &Admission) -> Verdict {
        let state = self.app.parts.web.current();
        admission.verdict(state.tls.as_ref(), Instant::now(), UnixTime::now)
    }

    /// An answer under the web configuration of this moment, whatever held when the connection was opened.
    async fn answer(
        &self,
        admission: &Admission,
        request: Request<Incoming>,
        answering: Answering,
    ) -> Result<Response<AnswerBody>, Dismissed> {
        let answer = match self.verdict(admission) {
            Verdict::Stays => routes::answer(&self.app, &request).await,
            Verdict::Reconnects => routes::answer(&self.app, &request).await.with_header(CONNECTION, CLOSE),
            Verdict::Leaves => return Err(Dismissed),
            Verdict::InClear => routes::refused(&self.app, &request, StatusCode::BAD_REQUEST, IN_CLEAR_BY_NOW)
                .with_header(CONNECTION, CLOSE),
        };
        Ok(answer.with_guard(answering))
    }
}

/// Says that no further request will be answered on this connection.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The right to serve one connection, which returns when it is dropped. Not of a semaphore, whose size a reload could not lower
/// while connections are open.
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn try_new(connections: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let one_more = |open: usize| (open < limit).then_some(open + 1);
        connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
            .then(|| Self(connections.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells a client that there are too many connections, over TLS where that is spoken.
async fn refuse(stream: TcpStream, tls: Option<ServerTls>, turns: &Turns) -> io::Result<()> {
    let Some(tls) = tls else {
        return dismiss(stream, REFUSAL).await;
    };
    match handshake::accept(stream, tls.config, turns).await {
        Ok(socket) => dismiss(socket, REFUSAL).await,
        Err((_, error, _)) => Err(error),
    }
}

/// Sends a last word, and reads what the client sends meanwhile: closing a socket with unread bytes would reset the connection and take
/// the word away from the client.
async fn dismiss(mut stream: impl AsyncRead + AsyncWrite + Unpin, word: &[u8]) -> io::Result<()> {
    stream.write_all(word).await?;
    stream.shutdown().await?;
    let mut unread = [0_u8; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Errors of `accept` that say that the client of this one connection left already.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
