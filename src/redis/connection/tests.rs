//! Exchanges with peers that misbehave.

use super::super::testing::{Act, PATIENCE, joined, member, peer, send, soon, stranger, within};
use super::*;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

fn ping() -> Command {
    Command::new(1, &["PING"])
}

type Peer = JoinHandle<Vec<Vec<String>>>;

/// A connection to a peer that welcomes it and then plays the script.
async fn connected(script: Vec<Act>) -> (Connection, Peer) {
    let welcome = vec![Act::Read(1), send("+OK\r\n")];
    let (address, task) = peer([welcome, script].concat()).await;
    let (connection, _) = stranger(address).connect(soon()).await.unwrap();
    (connection, task)
}

/// The same, but the script begins only when the connection stands.
async fn connected_until_go(script: Vec<Act>) -> (Connection, Peer) {
    let go = Arc::new(Notify::new());
    let connected = connected([vec![Act::AwaitGo(Arc::clone(&go))], script].concat()).await;
    go.notify_one();
    connected
}

/// What comes of a batch of one PING that is answered so.
async fn outcome_of(answer: Act) -> Result<Vec<Reply>, RedisError> {
    let (mut connection, _task) = connected(vec![Act::Read(1), answer, Act::AwaitClose]).await;
    let outcome = connection.exchange(&[ping()], soon()).await;
    assert_eq!(connection.is_usable(), outcome.is_ok());
    outcome
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_error_replies_are_replies() {
    let (mut connection, task) = connected(vec![
        Act::Read(3),
        send("+PONG\r\n-NOPERM User has no permissions\r\n$2"),
        send("\r\nhi\r\n"),
        Act::AwaitClose,
    ])
    .await;
    let batch = [
        ping(),
        Command::new(2, &["CONFIG", "GET"]).arg("*"),
        Command::new(1, &["GET"]).arg("k"),
    ];
    let replies = connection.exchange(&batch, soon()).await.unwrap();
    assert_eq!(replies.len(), 3);
    assert_eq!(replies[0].as_text(), Some("PONG"));
    assert_eq!(replies[1].error_code(), Some("NOPERM"));
    assert_eq!(replies[2].as_text(), Some("hi"));
    assert!(connection.is_idle_and_open());
    assert_eq!(connection.exchange(&[], within(0)).await, Ok(vec![]));
    drop(connection);
    let commands = joined(task).await;
    assert_eq!(
        commands[1..],
        [vec!["PING"], vec!["CONFIG", "GET", "*"], vec!["GET", "k"]]
    );
}

#[tokio::test]
async fn the_ledger_counts_what_was_sent() {
    let (mut connection, _task) = connected(vec![Act::Read(4), send(":1\r\n".repeat(4)), Act::AwaitClose]).await;
    let batch = [
        ping(),
        Command::new(1, &["PTTL"]).arg("a"),
        Command::new(1, &["PTTL"]).arg("b"),
        Command::new(2, &["MEMORY", "USAGE"]).arg("a"),
    ];
    connection.exchange(&batch, soon()).await.unwrap();
    let ledger: Vec<(&str, u64)> = connection
        .ledger()
        .iter()
        .map(|(name, sent)| (name.as_str(), *sent))
        .collect();
    assert_eq!(
        ledger,
        [("client|setname", 1), ("memory|usage", 1), ("ping", 1), ("pttl", 2)]
    );
}

#[tokio::test]
async fn all_connections_to_a_server_share_one_account() {
    let welcome = [Act::Read(1), send("+OK\r\n")];
    let refused = vec![Act::Read(2), send("-NOPERM no\r\n:1\r\n"), Act::AwaitClose];
    let silent = vec![Act::Read(1), Act::AwaitClose];
    let (address, _task) = peer([welcome.to_vec(), refused].concat()).await;
    let connector = stranger(address);
    let (mut first, _) = connector.connect(soon()).await.unwrap();
    let batch = [Command::new(1, &["GET"]).arg("a"), Command::new(1, &["PTTL"]).arg("a")];
    first.exchange(&batch, soon()).await.unwrap();

    // Another peer under the same connector: what is sent over its connection goes to the same account.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = Transport::Tcp(
        tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap(),
    );
    let mut second = Connection::new(transport, None, "second".into(), Arc::clone(&first.shared_ledger));
    let (stream, _) = listener.accept().await.unwrap();
    let _second_task = tokio::spawn(super::super::testing::play(stream, silent));
    let unanswered = second
        .exchange(&[Command::new(1, &["GET"]).arg("b")], within(100))
        .await;
    assert!(unanswered.is_err());

    let calls = first.own_calls();
    let of = |name: &str| calls.get(name).copied().map(|calls| (calls.sent, calls.failed));
    assert_eq!(of("client|setname"), Some((1, 0)));
    assert_eq!(
        of("get"),
        Some((2, 1)),
        "the one without an answer was sent all the same"
    );
    assert_eq!(of("pttl"), Some((1, 0)));
    assert_eq!(calls, second.own_calls());
    assert_eq!(second.ledger().len(), 1, "each knows what went over itself");
}

#[tokio::test]
async fn the_deadline_is_kept_when_the_peer_never_answers_or_answers_half() {
    for answer in [send(""), send("$10\r\nhalf"), send("*2\r\n:1\r\n")] {
        let (mut connection, _task) = connected(vec![Act::Read(1), answer, Act::AwaitClose]).await;
        let started = Instant::now();
        let error = connection.exchange(&[ping()], within(200)).await.unwrap_err();
        let waited = started.elapsed();
        assert_eq!(error.reason, Reason::Timeout);
        assert!(waited >= Duration::from_millis(200), "{waited:?}");
        assert!(waited < Duration::from_millis(200) + PATIENCE / 2, "{waited:?}");
        assert!(!connection.is_idle_and_open());
        // A late answer cannot be taken for that of the next command.
        assert_eq!(
            connection.exchange(&[ping()], soon()).await.unwrap_err().reason,
            Reason::Closed
        );
    }
}

/// Data that is always there must not keep the clock from being looked at: 60 MB take far longer than two milliseconds.
#[tokio::test]
async fn the_deadline_holds_against_a_peer_that_never_pauses() {
    let script = vec![Act::Read(1), send("$60000000\r\n"), Act::SendForever(vec![b'x'; 4096])];
    let (mut connection, _task) = connected(script).await;
    let error = connection.exchange(&[ping()], within(2)).await.unwrap_err();
    assert_eq!(error.reason, Reason::Timeout, "{error}");
}

#[tokio::test]
async fn the_deadline_holds_while_writing_to_a_peer_that_does_not_read() {
    let (mut connection, task) = connected(vec![Act::Hang]).await;
    let large = Command::new(1, &["ECHO"]).arg(vec![b'x'; 32 * 1024 * 1024]);
    let started = Instant::now();
    let error = connection.exchange(&[large], within(200)).await.unwrap_err();
    assert_eq!(error.reason, Reason::Timeout);
    assert!(started.elapsed() < PATIENCE);
    assert!(!connection.is_usable());
    task.abort();
}

#[tokio::test]
async fn a_deadline_in_the_past_sends_nothing() {
    let (mut connection, task) = connected(vec![Act::AwaitClose]).await;
    assert_eq!(
        connection.exchange(&[ping()], Instant::now()).await.unwrap_err().reason,
        Reason::Timeout
    );
    assert_eq!(connection.ledger().get("ping"), None);
    drop(connection);
    joined(task).await;
}

#[tokio::test]
async fn an_exchange_that_is_dropped_half_way_leaves_no_usable_connection() {
    let (mut connection, _task) = connected(vec![Act::Read(1), Act::AwaitClose]).await;
    assert!(
        timeout(Duration::from_millis(50), connection.exchange(&[ping()], soon()))
            .await
            .is_err()
    );
    assert!(!connection.is_usable());
    assert!(!connection.is_idle_and_open());
}

#[tokio::test]
async fn what_breaks_the_protocol_or_a_limit_is_told_apart() {
    let table: [(Vec<u8>, &str); 8] = [
        (b"*1\r\n".repeat(20_000), "nested deeper"),
        (b"$4294967296\r\nxxxx".to_vec(), "larger than the limit"),
        ([b"+".as_slice(), &b"x".repeat(100_000)].concat(), "line is longer"),
        (b"*1000000000\r\n".to_vec(), "more elements"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "no RESP2 type"),
        (b"$abc\r\n".to_vec(), "length"),
        (b"+PONG\r\n+more\r\n".to_vec(), "more than it was asked for"),
        (b"+PONG\r\n$5\r\nx".to_vec(), "more than it was asked for"),
    ];
    for (answer, text) in table {
        let error = outcome_of(Act::Send(answer)).await.unwrap_err();
        assert_eq!(error.reason, Reason::Protocol, "{error}");
        assert!(error.message.contains(text), "{error}");
    }
    let error = outcome_of(Act::SendForever(b"xxxx".repeat(1000))).await.unwrap_err();
    assert_eq!(error.reason, Reason::Protocol);
    let huge = [b"$4000000000\r\n".as_slice(), &b"x".repeat(100_000)].concat();
    assert_eq!(
        outcome_of(Act::SendForever(huge)).await.unwrap_err().reason,
        Reason::Protocol
    );
}

#[tokio::test]
async fn a_close_or_a_reset_in_the_middle_is_closed() {
    for ending in [vec![], vec![Act::Reset]] {
        for begun in ["", "$100\r\n# Server\r\nredis_ver", "+PO"] {
            let script = [vec![Act::Read(1), send(begun)], ending.clone()].concat();
            let (mut connection, task) = connected(script).await;
            let error = connection.exchange(&[ping()], soon()).await.unwrap_err();
            assert_eq!(error.reason, Reason::Closed, "{error}");
            assert!(error.message.contains("during ping"), "{error}");
            joined(task).await;
        }
    }
}

#[tokio::test]
async fn replies_count_when_the_peer_closes_behind_them() {
    let (mut connection, task) = connected(vec![Act::Read(1), send("+PONG\r\n")]).await;
    assert_eq!(connection.ping(soon()).await, Ok(()));
    joined(task).await;
    assert_eq!(connection.ping(soon()).await.unwrap_err().reason, Reason::Closed);
}

#[tokio::test]
async fn max_clients_is_told_apart_whenever_it_comes() {
    let farewell = "-ERR max number of clients reached\r\n";
    let error = outcome_of(send(farewell)).await.unwrap_err();
    assert_eq!(error.reason, Reason::MaxClients);

    // Unasked, before the commands are sent.
    let (mut connection, task) = connected_until_go(vec![send(farewell)]).await;
    joined(task).await;
    connection.something_came().await;
    assert_eq!(
        connection.exchange(&[ping()], soon()).await.unwrap_err().reason,
        Reason::MaxClients
    );

    // As a later reply it is the answer to that command.
    let (mut connection, _task) = connected(vec![
        Act::Read(2),
        send(format!("+PONG\r\n{farewell}")),
        Act::AwaitClose,
    ])
    .await;
    assert_eq!(connection.exchange(&[ping(), ping()], soon()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_idle_connection_notices_the_close_and_unasked_data() {
    for script in [vec![], vec![Act::Reset], vec![send("+surprise\r\n"), Act::AwaitClose]] {
        let (mut connection, _task) = connected_until_go(script).await;
        let noticed = async {
            while connection.is_idle_and_open() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, noticed).await.expect("not noticed");
        assert!(!connection.is_usable());
        assert_eq!(
            connection.exchange(&[ping()], soon()).await.unwrap_err().reason,
            Reason::Closed
        );
    }
}

#[tokio::test]
async fn unasked_data_is_never_taken_for_a_reply() {
    for data in ["+PONG\r\n", "+PO"] {
        let (mut connection, task) = connected_until_go(vec![send(data), Act::AwaitClose]).await;
        connection.something_came().await;
        let error = connection.exchange(&[ping()], soon()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Protocol, "{error}");
        assert_eq!(connection.ledger().get("ping"), None, "nothing was sent");
        drop(connection);
        joined(task).await;
    }
}

#[tokio::test]
async fn ping_tells_pong_errors_and_nonsense_apart() {
    let table = [
        ("-LOADING Redis is loading the dataset in memory\r\n", Reason::Loading),
        ("-MASTERDOWN Link with MASTER is down\r\n", Reason::Masterdown),
        ("-BUSY Redis is busy running a script\r\n", Reason::Busy),
        ("-NOAUTH Authentication required.\r\n", Reason::Auth),
        ("-NOPERM this user has no permissions\r\n", Reason::Denied),
        ("-ERR something with a secret\r\n", Reason::Other),
    ];
    for (answer, reason) in table {
        let (mut connection, _task) = connected(vec![Act::Read(1), send(answer), Act::AwaitClose]).await;
        let error = connection.ping(soon()).await.unwrap_err();
        assert_eq!(error.reason, reason);
        assert!(
            !error.message.contains("secret") && !error.message.contains("user has"),
            "{error}"
        );
        assert!(error.message.starts_with("redis://127.0.0.1:"), "{error}");
        assert!(connection.is_usable());
    }
    assert_eq!(expect_pong(None).unwrap_err().reason, Reason::Protocol);
    let (mut connection, _task) = connected(vec![Act::Read(1), send("+PANG\r\n"), Act::AwaitClose]).await;
    assert_eq!(connection.ping(soon()).await.unwrap_err().reason, Reason::Protocol);
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn a_select_that_the_server_could_not_do_yet_is_owed() {
    let (address, task) = peer(vec![
        Act::Read(3),
        send("+OK\r\n-BUSY Redis is busy\r\n-BUSY Redis is busy\r\n"),
        Act::Read(1),
        send("-BUSY Redis is busy\r\n"),
        Act::Read(1),
        send("+OK\r\n"),
        Act::Read(1),
        send(":7\r\n"),
        Act::Read(1),
        send(":8\r\n"),
        Act::AwaitClose,
    ])
    .await;
    let (mut connection, _) = member(address, 3).connect(soon()).await.unwrap();
    let batch = [Command::new(1, &["DBSIZE"])];
    let error = connection.exchange(&batch, soon()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Busy);
    assert!(connection.is_usable());
    assert_eq!(connection.exchange(&batch, soon()).await, Ok(vec![Reply::Integer(7)]));
    assert_eq!(connection.exchange(&batch, soon()).await, Ok(vec![Reply::Integer(8)]));
    drop(connection);
    let commands = joined(task).await;
    let names: Vec<&str> = commands.iter().map(|words| words[0].as_str()).collect();
    assert_eq!(
        names,
        ["AUTH", "CLIENT", "SELECT", "SELECT", "SELECT", "DBSIZE", "DBSIZE"]
    );
}

#[tokio::test]
async fn large_replies_leave_no_buffer_behind() {
    let length = 40_000_000;
    let reply = [format!("${length}\r\n").as_bytes(), &vec![b'x'; length], b"\r\n"].concat();
    let (mut connection, _task) = connected(vec![Act::Read(1), Act::Send(reply), Act::AwaitClose]).await;
    let replies = connection.exchange(&[ping()], soon()).await.unwrap();
    assert_eq!(replies[0].as_bytes().map(<[u8]>::len), Some(length));
    // A released parser has no buffer: giving it room again yields one small chunk.
    assert!(connection.parser.read_buffer().capacity() < 64 * 1024);
    connection.parser.release();
    assert!(size_of::<Connection>() < 1024, "{}", size_of::<Connection>());
}

#[tokio::test]
async fn dropping_a_connection_closes_the_socket_at_the_peer() {
    let (connection, task) = connected(vec![Act::AwaitClose]).await;
    drop(connection);
    joined(task).await;
}
