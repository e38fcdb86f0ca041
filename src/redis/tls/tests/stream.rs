//! A connection over TLS once it stands.

use super::kit::*;
use crate::redis::connection::Connection;
use crate::redis::testing::{Act, joined, send, soon};
use crate::redis::{Command, Message, Reason, Subscriber};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// A connection without login to a server that plays a script once the test says so.
async fn standing(script: Vec<Act>) -> (Connection, Arc<Notify>, tokio::task::JoinHandle<Vec<Vec<String>>>) {
    let authority = authority();
    let ca_file = file(&authority.pem);
    let go = Arc::new(Notify::new());
    let script = [vec![Act::AwaitGo(Arc::clone(&go))], script].concat();
    let server = Server::of(issued(params("server"), &authority));
    let (socket, task) = server.plays(script).await;
    let (connection, _) = connected(&silent(socket, trusting(&ca_file))).await;
    (connection, go, task)
}

fn ping() -> Command {
    Command::new(1, &["PING"])
}

/// Two tickets come right behind the handshake and are no data that nobody asked for.
#[tokio::test]
async fn tickets_are_no_data() {
    let (mut connection, go, _task) = standing(vec![Act::Read(1), send("+PONG\r\n"), Act::AwaitClose]).await;
    connection.something_came().await;
    assert!(connection.is_idle_and_open());
    assert!(connection.is_idle_and_open());
    go.notify_one();
    connection.ping(soon()).await.unwrap();
    assert!(connection.is_idle_and_open());
}

/// A server may change its keys whenever it likes, and wish for new ones of ours, each of which costs computing. One that does nothing else is
/// left, as one that breaks the protocol.
#[tokio::test]
async fn a_server_that_never_stops_changing_keys_is_left() {
    let authority = authority();
    let ca_file = file(&authority.pem);
    let server = Server {
        versions: &ONLY_1_3,
        ..Server::of(issued(params("server"), &authority))
    };
    let acceptor = TlsAcceptor::from(server.config());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        while stream.flush().await.is_ok() {
            stream.get_mut().1.refresh_traffic_keys().unwrap();
        }
    });
    let (mut connection, _) = connected(&silent(socket, trusting(&ca_file))).await;
    let error = connection.ping(soon()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Tls, "{error}");
    drop(connection);
    joined(task).await;
}

async fn is_idle_after(act: Vec<Act>) -> Connection {
    let (mut connection, go, task) = standing(act).await;
    go.notify_one();
    joined(task).await;
    let bound = soon();
    while connection.is_idle_and_open() {
        assert!(Instant::now() < bound, "it is seen");
        tokio::task::yield_now().await;
    }
    connection
}

#[tokio::test]
async fn the_end_is_seen_however_it_comes() {
    for end in [
        vec![],
        vec![Act::EndTls],
        vec![Act::Reset],
        vec![send("+OK\r\n")],
        vec![send("+OK\r\n"), Act::EndTls],
    ] {
        let mut connection = is_idle_after(end).await;
        let error = connection.ping(soon()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Closed);
    }
}

#[tokio::test]
async fn an_exchange_that_ends_early_is_closed_and_what_came_too_much_is_a_protocol_error() {
    for (script, expected) in [
        (vec![Act::Read(1)], Reason::Closed),
        (vec![Act::Read(1), Act::EndTls], Reason::Closed),
        (vec![Act::Read(1), Act::Reset], Reason::Closed),
        (vec![Act::Read(1), send("+PO"), Act::EndTls], Reason::Closed),
        (
            vec![Act::Read(1), send("+PONG\r\n+OK\r\n"), Act::AwaitClose],
            Reason::Protocol,
        ),
        (vec![Act::Read(1), send("hello\r\n"), Act::AwaitClose], Reason::Protocol),
    ] {
        let (mut connection, go, _task) = standing(script).await;
        go.notify_one();
        let error = connection.exchange(&[ping()], soon()).await.unwrap_err();
        assert_eq!(error.reason, expected, "{error}");
        assert_eq!(connection.tls_refusal(), None);
        assert!(!error.message.contains("docs.rs"), "{error}");
    }
}

/// More than a record, more than the buffers of TLS: both ways.
#[tokio::test]
async fn large_batches_and_large_replies_pass() {
    let value = "v".repeat(3 * 1024 * 1024);
    let reply = format!("${}\r\n{value}\r\n", value.len());
    let script = vec![
        Act::Read(2),
        send("+OK\r\n"),
        send(reply),
        Act::Read(1),
        send("+PONG\r\n"),
        Act::AwaitClose,
    ];
    let (mut connection, go, task) = standing(script).await;
    go.notify_one();
    let batch = [
        Command::new(1, &["SET"]).arg("k").arg(value.as_str()),
        Command::new(1, &["GET"]).arg("k"),
    ];
    let replies = connection.exchange(&batch, soon()).await.unwrap();
    assert_eq!(replies[1].as_bytes().map(<[u8]>::len), Some(value.len()));
    assert!(connection.is_idle_and_open());
    connection.ping(soon()).await.unwrap();
    drop(connection);
    let commands = joined(task).await;
    assert_eq!(commands[0][2].len(), value.len());
}

#[tokio::test]
async fn subscriptions_run_over_tls() {
    let published = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n";
    let (connection, go, _task) = standing(vec![Act::Read(1), send(published), Act::EndTls, Act::AwaitClose]).await;
    go.notify_one();
    let mut subscriber = Subscriber::new(connection).unwrap();
    subscriber.subscribe(&[b"a".to_vec()], soon()).await.unwrap();
    let mut messages = Vec::new();
    let error = loop {
        match subscriber.next_message().unwrap() {
            Some(message) => messages.push(message),
            None => match tokio::time::timeout_at(soon(), subscriber.read()).await.unwrap() {
                Ok(()) => {}
                Err(error) => break error,
            },
        }
    };
    assert_eq!(messages.len(), 2);
    assert!(matches!(&messages[1], Message::Published { payload, .. } if payload.as_ref() == b"b"));
    assert_eq!(error.reason, Reason::Closed);
}
