//! A connection that listens to channels: what SUBSCRIBE makes of a connection in RESP2.
//!
//! After SUBSCRIBE a RESP2 connection takes nothing but (UN)SUBSCRIBE, PING, QUIT and RESET, and what comes over it is no answer to a
//! question but an ordered stream: confirmations, messages, pongs. Source: the Redis documentation of Pub/Sub and of PING.

use super::connection::Connection;
use super::error::{Place, RedisError};
use super::own_sockets::OwnSocket;
use super::reason::{Reason, classify_error_reply, classify_farewell};
use super::reply::{Command, Reply};
use super::resp::{Parser, encode};
use super::transport::Transport;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// What errors say about the step during which they happened.
const STEP: &str = "while listening to keyspace notifications";

/// Something that came over a listening connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Somebody published to a channel that we listen to.
    Published {
        /// The channel.
        channel: Bytes,
        /// What was published; any bytes.
        payload: Bytes,
    },
    /// The answer to a PING, with its payload. Everything that was published before the server read the PING came before it.
    Pong(Bytes),
    /// The oldest SUBSCRIBE that was not answered yet is in effect for all its channels.
    Subscribed,
    /// The oldest SUBSCRIBE that was not answered yet was refused for all its channels, with this error reply.
    Refused(Reply),
}

/// A connection that listens. Dropping it closes the socket; it owns no task.
#[derive(Debug)]
pub struct Subscriber {
    transport: Transport,
    parser: Parser,
    endpoint: Arc<str>,
    /// Channels that each SUBSCRIBE under way still has to confirm, oldest first.
    unconfirmed: VecDeque<usize>,
    /// Held, so that it is known as ours as long as it is open.
    _own_socket: Option<OwnSocket>,
}

impl Subscriber {
    /// Makes a listening connection of one that is logged in.
    ///
    /// # Errors
    /// `Closed` when an earlier exchange on the connection failed.
    pub fn new(connection: Connection) -> Result<Self, RedisError> {
        let Some((transport, parser, endpoint, own_socket)) = connection.into_parts() else {
            return Err(RedisError {
                reason: Reason::Closed,
                message: "the connection is of no more use after an earlier failure".to_owned(),
            });
        };
        Ok(Self {
            transport,
            parser,
            endpoint,
            unconfirmed: VecDeque::new(),
            _own_socket: own_socket,
        })
    }

    /// Sends one SUBSCRIBE for these channels before `deadline`. Whether it takes effect is told by [`Message::Subscribed`] or
    /// [`Message::Refused`]; a server refuses all channels of one SUBSCRIBE when the user may not listen to one of them.
    ///
    /// # Errors
    /// `Timeout`, and what sockets say. What came before may still be readable.
    pub async fn subscribe(&mut self, channels: &[Vec<u8>], deadline: Instant) -> Result<(), RedisError> {
        if channels.is_empty() {
            return Ok(());
        }
        let command = Command::new(1, &["SUBSCRIBE"]);
        let command = channels
            .iter()
            .fold(command, |command, channel| command.arg(channel.as_slice()));
        self.unconfirmed.push_back(channels.len());
        self.send(&command, deadline).await
    }

    /// Sends PING with a payload before `deadline`; the answer is a [`Message::Pong`].
    ///
    /// # Errors
    /// Those of [`Subscriber::subscribe`].
    pub async fn ping(&mut self, payload: &str, deadline: Instant) -> Result<(), RedisError> {
        self.send(&Command::new(1, &["PING"]).arg(payload), deadline).await
    }

    /// Waits until more bytes have come. May be dropped while it waits without losing anything. Call
    /// [`Subscriber::next_message`] until it gives `None` before the next read.
    ///
    /// # Errors
    /// `Closed` when the server closed the connection, and what sockets say. All that came before was read then.
    pub async fn read(&mut self) -> Result<(), RedisError> {
        let place = place(&self.endpoint);
        match self.transport.read_buf(self.parser.read_buffer()).await {
            Ok(0) => Err(place.closed()),
            Ok(_) => Ok(()),
            Err(error) => Err(place.io(&error)),
        }
    }

    /// The next whole message of what has been read; `None` when there is none.
    ///
    /// # Errors
    /// `Protocol` when the server broke the protocol or a limit of ours, or sent something that is no part of such a stream; the reason
    /// that an unasked error names, e.g. `MaxClients`. The connection is of no more use then.
    pub fn next_message(&mut self) -> Result<Option<Message>, RedisError> {
        loop {
            let place = place(&self.endpoint);
            let reply = match self.parser.next_reply() {
                Ok(Some(reply)) => reply,
                Ok(None) => {
                    self.parser.release();
                    return Ok(None);
                }
                Err(error) => return Err(place.protocol(error)),
            };
            // The limits are those of one message: a stream has no end.
            self.parser.start_exchange();
            match shape(reply) {
                Shape::Message(message) => return Ok(Some(message)),
                Shape::Confirmation => {
                    let Some(missing) = self.unconfirmed.front_mut() else {
                        return Err(place.error(Reason::Protocol, "the server confirmed what nobody asked for"));
                    };
                    *missing = missing.saturating_sub(1);
                    if *missing == 0 {
                        self.unconfirmed.pop_front();
                        return Ok(Some(Message::Subscribed));
                    }
                }
                Shape::Error(reply) => {
                    if let Some(reason) = classify_farewell(&reply) {
                        return Err(place.refusal(reason, &reply));
                    }
                    if self.unconfirmed.pop_front().is_some() {
                        return Ok(Some(Message::Refused(reply)));
                    }
                    let reason = classify_error_reply(&reply).unwrap_or(Reason::Other);
                    return Err(place.refusal(reason, &reply));
                }
                Shape::Unknown => {
                    return Err(place.error(Reason::Protocol, "the server sent something that is no message"));
                }
            }
        }
    }

    async fn send(&mut self, command: &Command, deadline: Instant) -> Result<(), RedisError> {
        let place = place(&self.endpoint);
        let wire = encode(std::slice::from_ref(command));
        let written = async {
            self.transport.write_all(&wire).await?;
            self.transport.flush().await
        };
        match timeout_at(deadline, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(place.io(&error)),
            Err(_) => Err(place.timeout()),
        }
    }
}

fn place(endpoint: &str) -> Place<'_> {
    Place { endpoint, step: STEP }
}

/// What a reply is in a stream of messages.
enum Shape {
    Message(Message),
    Confirmation,
    Error(Reply),
    Unknown,
}

fn shape(reply: Reply) -> Shape {
    let elements = match reply {
        Reply::Array(elements) => elements,
        // A server that subscribed us to nothing answers as to anybody else.
        Reply::Simple(text) if text.as_ref() == b"PONG" => return Shape::Message(Message::Pong(Bytes::new())),
        error @ Reply::Error(_) => return Shape::Error(error),
        _ => return Shape::Unknown,
    };
    let mut elements = elements.into_iter();
    let parts = (elements.next(), elements.next(), elements.next(), elements.next());
    match parts {
        (Some(Reply::Bulk(kind)), Some(Reply::Bulk(channel)), Some(Reply::Bulk(payload)), None)
            if kind.as_ref() == b"message" =>
        {
            Shape::Message(Message::Published { channel, payload })
        }
        (Some(Reply::Bulk(kind)), Some(Reply::Bulk(payload)), None, None) if kind.as_ref() == b"pong" => {
            Shape::Message(Message::Pong(payload))
        }
        (Some(Reply::Bulk(kind)), Some(Reply::Bulk(_)), Some(Reply::Integer(_)), None)
            if kind.as_ref() == b"subscribe" =>
        {
            Shape::Confirmation
        }
        _ => Shape::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Act, joined, peer, send, soon, stranger};
    use super::*;
    use proptest::prelude::*;

    /// What the connector asks while it logs in: CLIENT SETNAME.
    fn login() -> Vec<Act> {
        vec![Act::Read(1), send("+OK\r\n")]
    }

    /// All messages until the first error.
    async fn all(script: Vec<Act>, channels: &[Vec<u8>]) -> (Vec<Message>, RedisError) {
        let (address, task) = peer([login(), script].concat()).await;
        let (connection, _) = stranger(address).connect(soon()).await.unwrap();
        let mut subscriber = Subscriber::new(connection).unwrap();
        subscriber.subscribe(channels, soon()).await.unwrap();
        let mut messages = Vec::new();
        let reading = async {
            loop {
                match subscriber.next_message() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => {
                        if let Err(error) = subscriber.read().await {
                            return error;
                        }
                    }
                    Err(error) => return error,
                }
            }
        };
        let error = tokio::time::timeout_at(soon(), reading).await.expect("it ends");
        drop(subscriber);
        joined(task).await;
        (messages, error)
    }

    fn channels() -> Vec<Vec<u8>> {
        vec![b"a".to_vec(), b"b".to_vec()]
    }

    const CONFIRMED: &str = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n";

    #[tokio::test]
    async fn what_was_sent_before_the_end_is_read() {
        let stream =
            format!("{CONFIRMED}*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\n\u{0}\n\r\n*2\r\n$4\r\npong\r\n$1\r\n7\r\n");
        let (messages, error) = all(vec![Act::Read(1), send(stream)], &channels()).await;
        assert_eq!(
            messages,
            [
                Message::Subscribed,
                Message::Published {
                    channel: "a".into(),
                    payload: "\0\n".into()
                },
                Message::Pong("7".into()),
            ]
        );
        assert_eq!(error.reason, Reason::Closed);
        assert!(error.message.contains("while listening"), "{error}");
    }

    #[tokio::test]
    async fn a_refused_subscription_is_no_failure() {
        let (messages, error) = all(vec![Act::Read(1), send("-NOPERM no\r\n")], &channels()).await;
        assert_eq!(messages, [Message::Refused(Reply::Error("NOPERM no".into()))]);
        assert_eq!(error.reason, Reason::Closed);
    }

    #[tokio::test]
    async fn an_error_that_nobody_asked_for_ends_it() {
        let stream = format!("{CONFIRMED}-NOAUTH no\r\n");
        let (messages, error) = all(vec![Act::Read(1), send(stream)], &channels()).await;
        assert_eq!(messages, [Message::Subscribed]);
        assert_eq!(error.reason, Reason::Auth);
    }

    #[tokio::test]
    async fn garbage_is_a_protocol_error() {
        for garbage in [
            "hello\r\n",
            ":1\r\n",
            "*0\r\n",
            "*1\r\n*0\r\n",
            "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n:1\r\n",
            "*4\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
            "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nb\r\n",
            "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:3\r\n",
            "*2\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
            "$-1\r\n",
        ] {
            let stream = format!("{CONFIRMED}{garbage}");
            let (_, error) = all(vec![Act::Read(1), send(stream)], &channels()).await;
            assert_eq!(error.reason, Reason::Protocol, "{garbage:?}");
        }
    }

    #[tokio::test]
    async fn nesting_and_size_are_bounded() {
        for endless in ["*1\r\n", "$5000000000\r\n", "*2000000\r\n"] {
            let (_, error) = all(vec![Act::Read(1), Act::SendForever(endless.into())], &channels()).await;
            assert_eq!(error.reason, Reason::Protocol, "{endless:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_has_no_end() {
        // More bytes and values than one exchange may have, in small messages.
        let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n".repeat(10_000);
        let script = [vec![Act::Read(1), send(CONFIRMED)], vec![send(message); 40]].concat();
        let (messages, error) = all(script, &channels()).await;
        assert_eq!(messages.len(), 1 + 400_000);
        assert_eq!(error.reason, Reason::Closed);
    }

    proptest! {
        #[test]
        fn any_reply_has_a_shape(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut parser = Parser::new(super::super::resp::Limits::default());
            parser.read_buffer().extend_from_slice(&bytes);
            while let Ok(Some(reply)) = parser.next_reply() {
                let _ = shape(reply);
            }
        }
    }
}
