//! Connecting to peers that misbehave.

use super::super::testing::{Act, PATIENCE, address, joined, member, peer, send, soon, stranger, within};
use super::*;
use crate::config::types::Secret;
use std::net::Ipv4Addr;
use tokio::net::{TcpListener, TcpSocket, UnixListener};

fn phases(handshake: &Handshake) -> Vec<Phase> {
    handshake.phases.iter().map(|(phase, _)| *phase).collect()
}

async fn failure(connector: &Connector) -> (Vec<Phase>, RedisError) {
    let (handshake, error) = connector.connect(soon()).await.unwrap_err();
    (phases(&handshake), error)
}

/// What becomes of a login with user, password and database that is answered so.
async fn login(answer: &str) -> Result<Connection, RedisError> {
    let (socket, _task) = peer(vec![Act::Read(3), send(answer), Act::AwaitClose]).await;
    match member(socket, 3).connect(soon()).await {
        Ok((connection, handshake)) => {
            assert_eq!(phases(&handshake), [Phase::Tcp, Phase::Auth]);
            Ok(connection)
        }
        Err((handshake, error)) => {
            assert_eq!(phases(&handshake), [Phase::Tcp, Phase::Auth]);
            let select = "SELECT 3 was refused";
            assert!(
                error.message.contains("while logging in") || error.message.contains(select),
                "{error}"
            );
            assert!(
                !error.message.contains("hunter2") && !error.message.contains("exporter:"),
                "{error}"
            );
            Err(error)
        }
    }
}

#[tokio::test]
async fn logs_in_with_one_write() {
    let (socket, task) = peer(vec![Act::Read(3), send("+OK\r\n+OK\r\n+OK\r\n"), Act::AwaitClose]).await;
    let (mut connection, _) = member(socket, 3).connect(soon()).await.unwrap();
    assert!(connection.is_idle_and_open());
    drop(connection);
    let commands = joined(task).await;
    assert_eq!(
        commands,
        [
            vec!["AUTH", "exporter", "hunter2"],
            vec!["CLIENT", "SETNAME", CLIENT_NAME],
            vec!["SELECT", "3"]
        ]
    );
}

#[tokio::test]
async fn credentials_decide_about_auth() {
    let secret = || PasswordSource::Inline(Secret::new("p"));
    let table = [
        (None, PasswordSource::None, vec![]),
        (None, secret(), vec!["AUTH", "p"]),
        (Some("u"), secret(), vec!["AUTH", "u", "p"]),
        (Some("u"), PasswordSource::None, vec!["AUTH", "u", ""]),
    ];
    for (username, password, expected) in table {
        let count = if expected.is_empty() { 1 } else { 2 };
        let (socket, task) = peer(vec![Act::Read(count), send("+OK\r\n".repeat(count)), Act::AwaitClose]).await;
        let connector = Connector::to_address(address(socket, 0), username.map(str::to_owned), password);
        drop(connector.with_client_name("other").connect(soon()).await.unwrap());
        let commands = joined(task).await;
        assert_eq!(commands.len(), count);
        assert_eq!(commands.last().unwrap()[2], "other");
        if !expected.is_empty() {
            assert_eq!(commands[0], expected);
        }
    }
}

#[tokio::test]
async fn a_password_file_is_read_at_every_connect() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for password in ["first", "second"] {
        std::fs::write(file.path(), format!("{password}\n")).unwrap();
        let (socket, task) = peer(vec![Act::Read(2), send("+OK\r\n+OK\r\n"), Act::AwaitClose]).await;
        let connector = Connector::to_address(address(socket, 0), None, PasswordSource::File(file.path().to_owned()));
        drop(connector.connect(soon()).await.unwrap());
        assert_eq!(joined(task).await[0], ["AUTH", password]);
    }
    let missing = PasswordSource::File("/nonexistent/password".into());
    let (reached, error) = failure(&Connector::to_address(
        address(([127, 0, 0, 1], 1).into(), 0),
        None,
        missing,
    ))
    .await;
    assert_eq!((reached, error.reason), (vec![], Reason::Auth));
}

/// WRONGPASS ends the connect although the server would go on as the default user, and also when nothing or no more follows.
#[tokio::test]
async fn an_error_to_auth_always_ends_the_connect() {
    for auth in [
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        "-ERR invalid password\r\n",
        "-ERR AUTH <password> called without any password configured for the default user.\r\n",
        "-ERR unknown command 'AUTH'\r\n",
        "-NOPERM no\r\n",
    ] {
        for rest in ["", "+OK\r\n", "+OK\r\n+OK\r\n", "+OK\r\n+OK\r\n+OK\r\n", "garbage"] {
            let error = login(&format!("{auth}{rest}")).await.unwrap_err();
            assert_eq!(error.reason, Reason::Auth, "{error}");
            assert!(!error.message.contains("invalid"), "{error}");
        }
    }
    let (socket, task) = peer(vec![Act::Read(3), send("-WRONGPASS no\r\n")]).await;
    assert_eq!(failure(&member(socket, 3)).await.1.reason, Reason::Auth);
    joined(task).await;
}

#[tokio::test]
async fn replies_of_the_login_are_judged_one_by_one() {
    let table = [
        ("+OK\r\n-ERR unknown subcommand\r\n+OK\r\n", None),
        ("+OK\r\n-NOPERM no\r\n+OK\r\n", None),
        ("+OK\r\n-LOADING x\r\n-LOADING x\r\n", None),
        ("+OK\r\n-MASTERDOWN x\r\n-MASTERDOWN x\r\n", None),
        ("+OK\r\n-BUSY x\r\n-BUSY x\r\n", None),
        ("+OK\r\n-NOAUTH x\r\n+OK\r\n", Some(Reason::Auth)),
        ("+OK\r\n+OK\r\n-NOAUTH x\r\n", Some(Reason::Auth)),
        ("+OK\r\n+OK\r\n-NOPERM x\r\n", Some(Reason::Denied)),
        ("+OK\r\n+OK\r\n-ERR DB index is out of range\r\n", Some(Reason::Other)),
        ("-LOADING x\r\n+OK\r\n+OK\r\n", Some(Reason::Loading)),
        ("-ERR max number of clients reached\r\n", Some(Reason::MaxClients)),
        ("-DENIED Redis is running in protected mode\r\n", Some(Reason::Auth)),
        ("+OK\r\n+OK\r\n:1\r\n", Some(Reason::Protocol)),
        ("*0\r\n", Some(Reason::Protocol)),
        ("+OK\r\n+OK\r\n+OK\r\n+OK\r\n", Some(Reason::Protocol)),
        ("SSH-2.0-OpenSSH_9.2\r\n", Some(Reason::Protocol)),
    ];
    for (answer, expected) in table {
        assert_eq!(
            login(answer).await.err().map(|error| error.reason),
            expected,
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_server_that_wants_credentials_refuses_strangers() {
    let (socket, _task) = peer(vec![
        Act::Read(1),
        send("-NOAUTH Authentication required.\r\n"),
        Act::AwaitClose,
    ])
    .await;
    assert_eq!(failure(&stranger(socket)).await.1.reason, Reason::Auth);
}

/// Redis accepts, writes the error and closes at once, without reading: the client's write may already fail.
#[tokio::test]
async fn max_clients_is_found_although_the_server_closes_without_reading() {
    for _ in 0..50 {
        let (socket, task) = peer(vec![send("-ERR max number of clients reached\r\n")]).await;
        let (reached, error) = failure(&member(socket, 3)).await;
        assert_eq!(
            (reached, error.reason),
            (vec![Phase::Tcp, Phase::Auth], Reason::MaxClients),
            "{error}"
        );
        joined(task).await;
    }
}

#[tokio::test]
async fn a_port_without_listener_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = listener.local_addr().unwrap();
    drop(listener);
    let (reached, error) = failure(&stranger(socket)).await;
    assert_eq!((reached, error.reason), (vec![Phase::Tcp], Reason::Refused));
    assert!(error.message.starts_with(&format!("redis://{socket}/0: ")), "{error}");
    assert!(
        error.message.contains("while connecting; check that the server runs"),
        "{error}"
    );
}

/// A listener whose backlog is full drops SYN packets: the connect must end at its deadline, in the phase `tcp`.
#[tokio::test]
async fn an_address_that_swallows_connections_times_out() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let swallowing = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(swallowing)).await {
        held.push(stream.unwrap());
        assert!(held.len() < 100, "the backlog does not fill");
    }
    let started = Instant::now();
    let (handshake, error) = stranger(swallowing).connect(within(200)).await.unwrap_err();
    let waited = started.elapsed();
    assert_eq!((phases(&handshake), error.reason), (vec![Phase::Tcp], Reason::Timeout));
    assert!(
        handshake.duration(Phase::Tcp).unwrap() >= Duration::from_millis(190),
        "{handshake:?}"
    );
    assert!(
        waited >= Duration::from_millis(190) && waited < PATIENCE / 2,
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_answers_times_out_in_the_login() {
    for act in [Act::AwaitClose, Act::Hang] {
        let (socket, task) = peer(vec![act]).await;
        let (handshake, error) = member(socket, 3).connect(within(200)).await.unwrap_err();
        assert_eq!(
            (phases(&handshake), error.reason),
            (vec![Phase::Tcp, Phase::Auth], Reason::Timeout)
        );
        task.abort();
    }
}

/// The first address swallows or refuses, the second one answers.
#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let (good, _task) = peer(vec![Act::AwaitClose]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = listener.local_addr().unwrap();
    drop(listener);
    let connector = stranger(good);
    assert!(connector.connect_tcp(&[refusing, good], soon()).await.is_ok());
    let error = connector.connect_tcp(&[refusing, refusing], soon()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Refused);
}

#[tokio::test]
async fn names_are_resolved_and_addresses_are_not() {
    let (socket, _task) = peer(vec![Act::Read(1), send("+OK\r\n"), Act::AwaitClose]).await;
    let named = |host: &str| {
        let endpoint = Endpoint::Tcp {
            host: host.to_owned(),
            port: socket.port(),
        };
        Connector::to_address(
            Address {
                endpoint,
                database: 0,
                tls: false,
            },
            None,
            PasswordSource::None,
        )
    };
    let (_connection, handshake) = named("localhost").connect(soon()).await.unwrap();
    assert_eq!(phases(&handshake), [Phase::Dns, Phase::Tcp, Phase::Auth]);
    let (reached, error) = failure(&named("redis.invalid")).await;
    assert_eq!((reached, error.reason), (vec![Phase::Dns], Reason::Dns));
    assert!(error.message.contains("redis://redis.invalid:"), "{error}");
    let (reached, _) = failure(&named("::1")).await;
    assert_eq!(reached, [Phase::Tcp]);
}

#[tokio::test]
async fn unix_sockets_are_connected_in_the_phase_tcp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis.sock");
    let connector = Connector::to_address(
        Address {
            endpoint: Endpoint::Unix { path: path.clone() },
            database: 0,
            tls: false,
        },
        None,
        PasswordSource::None,
    );
    let (reached, error) = failure(&connector).await;
    assert_eq!((reached, error.reason), (vec![Phase::Tcp], Reason::Unreachable));

    let listener = UnixListener::bind(&path).unwrap();
    let (accepted, connected) = tokio::join!(
        async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"+OK\r\n")
                .await
                .unwrap();
            stream
        },
        connector.connect(soon())
    );
    let (mut connection, handshake) = connected.unwrap();
    assert_eq!(phases(&handshake), [Phase::Tcp, Phase::Auth]);
    assert!(connection.is_idle_and_open());
    drop((accepted, listener));
    let (_, error) = failure(&connector).await;
    assert_eq!(error.reason, Reason::Refused);
}

#[tokio::test]
async fn a_full_backlog_of_a_unix_socket_times_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis.sock");
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let _listener = socket.listen(1).unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = UnixStream::connect(&path).await {
        held.push(stream);
        assert!(held.len() < 100, "the backlog does not fill");
    }
    let address = Address {
        endpoint: Endpoint::Unix { path },
        database: 0,
        tls: false,
    };
    let connector = Connector::to_address(address, None, PasswordSource::None);
    let (handshake, error) = connector.connect(within(100)).await.unwrap_err();
    assert_eq!((phases(&handshake), error.reason), (vec![Phase::Tcp], Reason::Timeout));
}

#[tokio::test]
async fn a_probe_pings_and_closes() {
    let table = [
        ("+PONG\r\n", None),
        ("-LOADING x\r\n", Some(Reason::Loading)),
        ("-ERR x\r\n", Some(Reason::Other)),
        (":1\r\n", Some(Reason::Protocol)),
    ];
    for (answer, expected) in table {
        let script = vec![
            Act::Read(1),
            send("+OK\r\n"),
            Act::Read(1),
            send(answer),
            Act::AwaitClose,
        ];
        let (socket, task) = peer(script).await;
        let (handshake, outcome) = stranger(socket).probe(soon()).await;
        assert_eq!(phases(&handshake), [Phase::Tcp, Phase::Auth, Phase::Ping]);
        assert_eq!(outcome.err().map(|error| error.reason), expected);
        assert_eq!(joined(task).await[1], ["PING"]);
    }
    let (socket, _task) = peer(vec![]).await;
    let (handshake, outcome) = stranger(socket).probe(soon()).await;
    assert_eq!(phases(&handshake), [Phase::Tcp, Phase::Auth]);
    assert_eq!(outcome.unwrap_err().reason, Reason::Closed);
}

#[test]
fn debug_output_hides_the_password() {
    assert!(!format!("{:?}", member(([127, 0, 0, 1], 1).into(), 0)).contains("hunter2"));
}

fn instance(yaml: &str) -> InstanceConfig {
    let nothing = crate::config::Environment::of_pairs(&[]);
    let loaded = crate::config::load_str(yaml, "test", Path::new(""), &nothing).unwrap();
    InstanceConfig::clone(&loaded.config.instances[0])
}

/// A rotation that truncates the file before it writes the new password: AUTH with an empty one would be refused, or worse.
#[tokio::test]
async fn an_empty_password_file_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let password = PasswordSource::File(file.path().to_owned());
    let address = address(listener.local_addr().unwrap(), 0);
    for username in [None, Some("exporter".to_owned())] {
        let connector = Connector::to_address(address.clone(), username, password.clone());
        let (phases, error) = failure(&connector).await;
        assert_eq!((phases, error.reason), (vec![], Reason::Auth));
    }
    let accepted = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "the server was contacted");
}

#[tokio::test]
async fn what_hangs_is_shared_by_clones_and_by_the_connector_after_a_reload() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret").unwrap();
    let yaml = |host: &str, interval: &str| {
        let path = file.path().display();
        format!(
            "instances: [{{name: a, address: 'redis://{host}', password_file: {path}, poll: {{info_interval: {interval}}}}}]"
        )
    };
    let connector = Connector::new(&instance(&yaml("one.invalid", "15s")));
    let _read = connector.reading.hang().await;
    let _lookup = connector.lookup.hang().await;
    let of_probe = connector.clone();
    assert_eq!(of_probe.connect(within(0)).await.unwrap_err().1.reason, Reason::Timeout);
    let same = connector.succeeded_by(&instance(&yaml("one.invalid", "16s")));
    assert!(same.reading.is_running().await && same.lookup.is_running().await);
    let replica = Connector::like(&instance(&yaml("one.invalid", "15s")), same.address.clone()).beside(&connector);
    assert!(replica.reading.is_running().await && !replica.lookup.is_running().await);
    let moved = connector.succeeded_by(&instance(&yaml("two.invalid", "15s")));
    assert!(moved.reading.is_running().await && !moved.lookup.is_running().await);
    let other = connector.succeeded_by(&instance("instances: [{name: a, address: 'redis://:p@one.invalid'}]"));
    assert!(!other.reading.is_running().await && other.lookup.is_running().await);
}

#[test]
fn the_account_of_a_server_goes_on_under_a_changed_configuration() {
    let connector = Connector::new(&instance("instances: [{name: a, address: 'redis://one.invalid/0'}]"));
    let is_same = |yaml: &str| Arc::ptr_eq(&connector.succeeded_by(&instance(yaml)).ledger, &connector.ledger);
    assert!(is_same(
        "instances: [{name: a, address: 'redis://user:p@one.invalid/3'}]"
    ));
    assert!(!is_same("instances: [{name: a, address: 'redis://two.invalid/0'}]"));
    assert!(Arc::ptr_eq(&connector.clone().ledger, &connector.ledger));
}
