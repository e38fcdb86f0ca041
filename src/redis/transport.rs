//! The byte streams that a connection may run over.

use bytes::BytesMut;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connected socket.
#[derive(Debug)]
pub enum Transport {
    /// TCP with `TCP_NODELAY`.
    Tcp(TcpStream),
    /// TLS over TCP with `TCP_NODELAY`. Boxed, since its state takes more than a kilobyte.
    Tls(Box<TlsStream<TcpStream>>),
    /// Unix stream socket.
    Unix(UnixStream),
}

/// What lies in the receive buffer of a transport at this moment.
#[derive(Debug)]
pub(crate) enum Pending {
    /// Nothing; the peer has not closed.
    Nothing,
    /// Bytes, which were moved to the caller's buffer.
    Data,
    /// The peer closed, or the socket failed with this error.
    End(Option<io::Error>),
}

impl Transport {
    /// The two ends of a TCP socket, ours first; `None` for a unix socket, and for one that is broken already.
    pub(crate) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let stream = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Unix(_) => return None,
        };
        stream.local_addr().ok().zip(stream.peer_addr().ok())
    }

    /// Reads what is there without waiting. Data is moved to `buffer`, which must have room. Over TLS that means data of Redis:
    /// records of TLS itself, such as the tickets that a server sends behind the handshake, are taken in and are no data, and the
    /// farewell of TLS is an end.
    pub(crate) fn pending(&mut self, buffer: &mut BytesMut) -> Pending {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(self.read_buf(buffer)).poll(&mut context) {
            Poll::Pending => Pending::Nothing,
            Poll::Ready(Ok(0)) => Pending::End(None),
            Poll::Ready(Err(error)) => Pending::End(Some(error)),
            Poll::Ready(Ok(_)) => Pending::Data,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
