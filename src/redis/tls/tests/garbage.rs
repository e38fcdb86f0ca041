//! What is no TLS, from either side.

use super::kit::*;
use crate::config::tls::TlsConfig;
use crate::redis::testing::{Act, PATIENCE, peer, send, soon, stranger, within};
use crate::redis::{Phase, Reason, RedisError, TlsReason};
use std::time::Duration;
use tokio::time::Instant;

async fn answered(script: Vec<Act>) -> (Option<TlsReason>, RedisError) {
    let (socket, _task) = peer(script).await;
    let connector = connector(socket, TlsConfig::default());
    let (handshake, error) = connector.connect(soon()).await.unwrap_err();
    assert_eq!(handshake.phases.last().map(|(phase, _)| *phase), Some(Phase::Tls));
    let failure = handshake.tls.unwrap().failure;
    assert_eq!(failures(&connector), [(failure.unwrap(), 1)]);
    (failure, error)
}

#[tokio::test]
async fn text_in_place_of_tls_is_called_by_its_name() {
    for text in [
        "-ERR unknown command, with args beginning with: \r\n",
        "-ERR max number of clients reached\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let (failure, error) = answered(vec![send(text), Act::AwaitClose]).await;
        assert_eq!(
            (failure, error.reason),
            (Some(TlsReason::Handshake), Reason::Tls),
            "{error}"
        );
        assert!(
            error.message.contains("is no TLS") && error.message.contains("write redis:// in place of rediss://"),
            "{error}"
        );
        assert!(!error.message.contains("OpenSSH"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_in_the_handshake_is_closed() {
    for script in [vec![], vec![Act::Reset], vec![send("\x16\x03\x03\x40\x00half")]] {
        let (failure, error) = answered(script).await;
        assert_eq!(
            (failure, error.reason),
            (Some(TlsReason::Handshake), Reason::Closed),
            "{error}"
        );
        assert!(error.message.contains("maxclients"), "{error}");
    }
}

/// What a client of TLS sees at a port without TLS: Redis waits for the end of a line.
#[tokio::test]
async fn a_handshake_that_stalls_ends_at_the_deadline_and_says_what_it_may_be() {
    for act in [Act::AwaitClose, Act::Hang] {
        let (socket, task) = peer(vec![act]).await;
        let connector = connector(socket, TlsConfig::default());
        let started = Instant::now();
        // The first reading of the machine's authorities may take its time.
        let (handshake, error) = connector.connect(within(1000)).await.unwrap_err();
        assert!(started.elapsed() < PATIENCE / 2);
        assert_eq!(error.reason, Reason::Timeout, "{error}");
        assert!(handshake.duration(Phase::Tls).unwrap() > Duration::ZERO);
        assert_eq!(handshake.tls.unwrap().failure, Some(TlsReason::Handshake));
        assert!(error.message.contains("write redis://"), "{error}");
        assert_eq!(failures(&connector), [(TlsReason::Handshake, 1)]);
        task.abort();
    }
}

#[tokio::test]
async fn alerts_are_understood() {
    for (alert, expected) in [
        (40, TlsReason::Handshake),
        (70, TlsReason::Handshake),
        (71, TlsReason::Handshake),
        (48, TlsReason::ClientCertificate),
        (112, TlsReason::NameMismatch),
        (80, TlsReason::Other),
        (200, TlsReason::Other),
    ] {
        let record = vec![0x15, 3, 3, 0, 2, 2, alert];
        let (failure, error) = answered(vec![Act::Send(record), Act::AwaitClose]).await;
        assert_eq!((failure, error.reason), (Some(expected), Reason::Tls), "{error}");
        if alert == 70 {
            assert!(
                error.message.contains("speaks no version of TLS that we may"),
                "{error}"
            );
        }
    }
}

/// Nothing panics, nothing hangs, and everything is counted, whatever comes.
#[tokio::test]
async fn any_bytes_may_come_in_place_of_a_handshake() {
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..200 {
        let length = random.usize(0..600);
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        // Half of them look like a handshake for a while.
        if round % 2 == 0 {
            let body = u16::try_from(length).unwrap().to_be_bytes();
            let inner = u16::try_from(length.saturating_sub(4)).unwrap().to_be_bytes();
            let beginning = [
                0x16,
                3,
                3,
                body[0],
                body[1],
                random.u8(0..25),
                0,
                inner[0],
                inner[1],
                3,
                3,
            ];
            for (byte, new) in bytes.iter_mut().zip(beginning) {
                *byte = new;
            }
        }
        let (failure, error) = answered(vec![Act::Send(bytes)]).await;
        assert!(failure.is_some());
        assert!(matches!(error.reason, Reason::Tls | Reason::Closed), "{error}");
        assert!(
            error
                .message
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' '),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_never_stops_talking_is_left() {
    let alert = vec![0x15, 3, 3, 0, 2, 1, 90];
    let change_cipher = vec![0x14, 3, 3, 0, 1, 1];
    for record in [alert, change_cipher, vec![0x16, 3, 3, 0x40, 0]] {
        let (socket, _task) = peer(vec![Act::SendForever(record)]).await;
        let (_, error) = connector(socket, TlsConfig::default())
            .connect(soon())
            .await
            .unwrap_err();
        assert!(matches!(error.reason, Reason::Tls | Reason::Closed), "{error}");
    }
}

/// A server of TLS that is spoken to without: rustls and Go send an alert, Redis hangs up.
#[tokio::test]
async fn a_client_without_tls_is_told_to_use_it() {
    let server = Server::of(issued(params("server"), &authority()));
    let (_, error) = stranger(server.welcomes().await).connect(soon()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Protocol, "{error}");
    assert!(
        error.message.ends_with("write rediss:// in place of redis://"),
        "{error}"
    );

    for (act, expected) in [
        (vec![Act::Send(vec![0x15, 3, 1, 0, 2, 2, 70])], Reason::Protocol),
        (
            vec![Act::Read(1), Act::Send(vec![0x15, 3, 3, 0, 2, 2, 10])],
            Reason::Protocol,
        ),
        (vec![Act::Read(1)], Reason::Closed),
        (vec![Act::Read(1), Act::Reset], Reason::Closed),
    ] {
        let (socket, _task) = peer(act).await;
        let (handshake, error) = stranger(socket).connect(soon()).await.unwrap_err();
        assert_eq!(error.reason, expected, "{error}");
        assert!(
            error.message.contains("write rediss:// in place of redis://"),
            "{error}"
        );
        assert_eq!(handshake.tls, None);
    }
    // Whoever has answered once speaks no TLS.
    let (socket, _task) = peer(vec![Act::Read(1), send("+OK\r\n"), Act::Read(1)]).await;
    let (_, outcome) = stranger(socket).probe(soon()).await;
    let error = outcome.unwrap_err();
    assert!(!error.message.contains("rediss://"), "{error}");
}
