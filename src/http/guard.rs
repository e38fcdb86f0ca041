//! A connection that is cut when its client is too slow.
//!
//! hyper knows one deadline, from the moment when it waits for a request until the head is complete, which would either cut
//! Prometheus' connection between two scrapes or let a slow sender hold one for minutes; and it has none for writing. So the
//! socket itself watches: how long it is idle, how long a head takes, and how long the client does not read.

use super::server::Timeouts;
use crate::telemetry::Held;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A head is being read; a new connection begins here.
    Head,
    /// A request is being answered.
    Serving,
    /// The last answer is out, and no byte of the next request has come.
    Idle,
}

/// The phase of one connection and when it began, shared between its socket and its answers.
#[derive(Debug)]
pub(super) struct Progress {
    opened: Instant,
    /// Microseconds between opening the connection and entering the phase, times [`PHASES`], plus the phase.
    state: AtomicU64,
}

/// Phases are kept in the lowest bits of the state.
const PHASES: u64 = 4;

impl Progress {
    /// A connection that was just opened.
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            state: AtomicU64::new(0),
        }
    }

    /// Enters a phase.
    pub(super) fn enter(&self, phase: Phase) {
        let code = match phase {
            Phase::Head => 0,
            Phase::Serving => 1,
            Phase::Idle => 2,
        };
        let microseconds = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX / PHASES);
        self.state
            .store(microseconds.saturating_mul(PHASES) | code, Ordering::Release);
    }

    fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire)
    }

    fn load(&self) -> (Phase, Instant) {
        let state = self.state();
        let phase = match state % PHASES {
            1 => Phase::Serving,
            2 => Phase::Idle,
            _ => Phase::Head,
        };
        (phase, self.opened + Duration::from_micros(state / PHASES))
    }
}

/// Belongs to one answer: when it is dropped, the answer has left for the socket.
#[derive(Debug)]
pub(super) struct Answering {
    progress: Arc<Progress>,
    _in_flight: Held,
}

impl Answering {
    /// A request begins.
    pub(super) fn begin(progress: Arc<Progress>, in_flight: Held) -> Self {
        progress.enter(Phase::Serving);
        Self {
            progress,
            _in_flight: in_flight,
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.progress.enter(Phase::Idle);
    }
}

/// A timer that costs nothing until it is needed.
#[derive(Debug, Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs.
    running: bool,
}

impl Alarm {
    fn set(&mut self, deadline: Instant) {
        self.running = true;
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    /// Makes sure that the timer goes off at the deadline or before.
    fn set_no_later(&mut self, deadline: Instant) {
        let early_enough = self.running && self.sleep.as_ref().is_some_and(|sleep| sleep.deadline() <= deadline);
        if !early_enough {
            self.set(deadline);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = self.sleep.as_mut().filter(|_| self.running) else {
            return Poll::Pending;
        };
        ready!(sleep.as_mut().poll(context));
        self.running = false;
        Poll::Ready(())
    }
}

/// A socket that fails with `TimedOut` when its client is too slow.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    timeouts: Timeouts,
    progress: Arc<Progress>,
    read_alarm: Alarm,
    write_alarm: Alarm,
    /// Whether the last write had to wait.
    write_waits: bool,
    /// When the answer that is being written must be out, and the state that it was counted from.
    answer_deadline: Option<(u64, Instant)>,
}

impl<S> Guarded<S> {
    /// Guards a new connection.
    pub(super) fn new(inner: S, timeouts: Timeouts, progress: Arc<Progress>) -> Self {
        Self {
            inner,
            timeouts,
            progress,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
            write_waits: false,
            answer_deadline: None,
        }
    }

    /// What a read that found nothing returns.
    ///
    /// hyper does not read again when an answer is out and a read still waits. So the alarm also runs while a request is
    /// answered, and what it means is decided when it goes off. Left alone while it is early enough, it costs nothing per
    /// request.
    fn wait_to_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let now = Instant::now();
            let (phase, since) = self.progress.load();
            let deadline = match phase {
                Phase::Head => since + self.timeouts.head,
                Phase::Idle => since + self.timeouts.idle,
                // Only to look again: writing has its own limits.
                Phase::Serving => now + self.timeouts.idle,
            };
            if deadline <= now {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.read_alarm.set_no_later(deadline);
            ready!(self.read_alarm.poll(context));
        }
    }

    /// Turns the result of a write into one that ends in time.
    fn bound_write(&mut self, result: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.write_waits = false;
            return result;
        }
        if !self.write_waits {
            self.write_waits = true;
            let now = Instant::now();
            let state = self.progress.state();
            let deadline = match self.answer_deadline {
                Some((counted_from, deadline)) if counted_from == state => deadline,
                _ => now + self.timeouts.answer,
            };
            self.answer_deadline = Some((state, deadline));
            self.write_alarm.set(deadline.min(now + self.timeouts.stall));
        }
        ready!(self.write_alarm.poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(context, buffer) {
            Poll::Pending => this.wait_to_read(context),
            Poll::Ready(result) => {
                let (phase, _) = this.progress.load();
                if phase == Phase::Idle && buffer.filled().len() > before {
                    this.progress.enter(Phase::Head);
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.bound_write(result, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.bound_write(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}
