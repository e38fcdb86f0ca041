//! Faults of real servers.

use crate::bench::{BACK_BOUND, Bench, DOWN_BOUND, FAULTY};
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::{SLACK, free_port, wait_until};
use std::time::Duration;

#[test]
fn refused_connection() {
    let mut server = RedisServer::start();
    let bench = Bench::new(&server.address(), "");
    server.shutdown();
    bench.fails_with(&["refused"], 0.0);
    server.start_again();
    bench.recovers();
}

#[test]
fn nobody_there_from_the_beginning() {
    let mut server = RedisServer::start();
    server.shutdown();
    let bench = Bench::new_without_waiting(&server.address(), "");
    let scrape = bench.fails_with(&["refused"], 0.0);
    assert!(
        !scrape.has("redis_uptime_in_seconds", &[("instance", FAULTY)]),
        "nothing is known of the server"
    );
    assert!(
        scrape
            .value("redis_connect_failures_total", &[("instance", FAULTY)])
            .unwrap()
            >= 1.0
    );
    server.start_again();
    bench.recovers();
}

#[test]
fn stopped_process() {
    let server = RedisServer::start();
    let bench = Bench::new(&server.address(), "");
    server.freeze();
    bench.fails_with(&["timeout"], 0.0);
    server.thaw();
    bench.recovers();
}

#[test]
fn restart() {
    let mut server = RedisServer::start();
    let bench = Bench::new(&server.address(), "");
    let run_id = server.info("run_id").unwrap();
    server.restart();
    assert_ne!(server.info("run_id").unwrap(), run_id);
    bench.watch("the new server's INFO", BACK_BOUND, |scrape| {
        scrape
            .all("redis_instance_info", &[("instance", FAULTY)])
            .any(|sample| {
                sample
                    .labels
                    .get("process_id")
                    .is_some_and(|id| Some(id) == server.info("process_id").as_ref())
            })
    });
    bench.recovers();
}

#[test]
fn loading() {
    let mut server = RedisServer::start_with(&["--key-load-delay", "0"]);
    let mut client = server.client();
    client.command(&["DEBUG", "POPULATE", "8000", "key", "10"]);
    client.command(&["SAVE"]);
    drop(client);
    let bench = Bench::new(&server.address(), "");
    server.shutdown();
    bench.fails_with(&["refused"], 0.0);
    // 8000 keys of half a millisecond each. The server answers clients only every so many bytes, which is about 50 keys here.
    server.set_argument("--key-load-delay", "500");
    server.set_argument("--loading-process-events-interval-bytes", "1024");
    server.start_again();
    let loading = server.client().try_command(&["PING"]);
    assert!(
        matches!(&loading, Reply::Error(text) if text.starts_with("LOADING")),
        "{loading:?}"
    );
    let scrape = bench.watch("state loading, up, not connected", DOWN_BOUND, |scrape| {
        scrape.state(FAULTY).as_deref() == Some("loading")
    });
    assert_eq!(
        scrape.value("redis_up", &[("instance", FAULTY)]),
        Some(1.0),
        "a server that loads is up, as the peer says it"
    );
    assert_eq!(
        scrape.value("redis_connection_status", &[("instance", FAULTY)]),
        Some(0.0)
    );
    // INFO is answered while the server loads.
    bench.watch("INFO of the loading server", BACK_BOUND, |scrape| {
        scrape.value("redis_loading_dump_file", &[("instance", FAULTY)]) == Some(1.0)
    });
    let mut client = server.client();
    let loaded = wait_until(Duration::from_secs(30), || {
        (client.try_command(&["PING"]) == Reply::Simple("PONG".to_owned())).then_some(())
    });
    assert!(loaded.is_some());
    bench.recovers();
}

#[test]
fn replica_that_lost_its_primary() {
    let mut primary = RedisServer::start();
    let port = primary.port.to_string();
    let replica = RedisServer::start_with(&[
        "--replicaof",
        &format!("127.0.0.1 {port}"),
        "--replica-serve-stale-data",
        "no",
        "--repl-diskless-sync-delay",
        "0",
    ]);
    let linked = wait_until(Duration::from_secs(20), || {
        (replica.info("master_link_status").as_deref() == Some("up")).then_some(())
    });
    assert!(linked.is_some(), "the replica follows its primary");
    let bench = Bench::new(&replica.address(), "");
    primary.shutdown();
    let scrape = bench.fails_with(&["masterdown"], 1.0);
    assert!(
        scrape.has("redis_uptime_in_seconds", &[("instance", FAULTY)]),
        "INFO works and is served"
    );
    primary.start_again();
    let linked = wait_until(Duration::from_secs(20), || {
        (replica.info("master_link_status").as_deref() == Some("up")).then_some(())
    });
    assert!(linked.is_some(), "the replica follows its primary again");
    bench.recovers();
}

#[test]
fn busy_script() {
    let server = RedisServer::start_with(&["--busy-reply-threshold", "50"]);
    let bench = Bench::new(&server.address(), "");
    let mut scripter = server.client();
    scripter.send(&[b"EVAL", b"while true do end", b"0"]).unwrap();
    bench.fails_with(&["busy"], 0.0);
    assert_eq!(
        server.client().try_command(&["SCRIPT", "KILL"]),
        Reply::Simple("OK".to_owned())
    );
    assert!(matches!(scripter.read().unwrap(), Reply::Error(_)));
    bench.recovers();
}

#[test]
fn too_many_clients() {
    let server = RedisServer::start();
    let bench = Bench::new(&server.address(), "");
    let mut client = server.client();
    client.command(&["CONFIG", "SET", "maxclients", "1"]);
    client.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    bench.fails_with(&["max_clients"], 0.0);
    client.command(&["CONFIG", "SET", "maxclients", "100"]);
    bench.recovers();
}

#[test]
fn killed_connection_is_replaced_before_anybody_notices() {
    let server = RedisServer::start();
    let bench = Bench::new(&server.address(), "");
    let mut client = server.client();
    let connects =
        |scrape: &crate::support::scrape::Scrape| scrape.value("redis_connects_total", &[("instance", FAULTY)]);
    let before = connects(&bench.exporter.scrape()).unwrap();
    client.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    // A kill can hit a PING under way, so what is promised is only that users who can log in are seen to.
    bench.watch("a new connection", BACK_BOUND, |scrape| {
        connects(scrape) > Some(before) && scrape.value("redis_connection_status", &[("instance", FAULTY)]) == Some(1.0)
    });
    bench.recovers();
}

#[test]
fn full_backlog_swallows_the_connection() {
    let port = free_port();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    // The standard library cannot choose a short backlog.
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(([127, 0, 0, 1], port).into()).unwrap();
        socket.listen(1).unwrap()
    });
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut fillers = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        fillers.push(stream);
        assert!(fillers.len() < 100, "the backlog fills");
    }
    let bench = Bench::new_without_waiting(&format!("redis://127.0.0.1:{port}"), "");
    let scrape = bench.fails_with(&["timeout"], 0.0);
    assert!(!scrape.has(
        "redis_connect_phase_duration_seconds",
        &[("instance", FAULTY), ("phase", "ping")]
    ));
    drop((listener, fillers));
    let server = RedisServer::start_on(port);
    assert_eq!(server.port, port);
    // The kernel may still be trying the swallowed SYN of the attempt under way.
    bench.watch("up", BACK_BOUND + SLACK, |scrape| {
        crate::support::exporter::is_up(scrape, FAULTY)
    });
}

#[test]
fn name_that_cannot_be_resolved() {
    // RFC 6761: names under `invalid` never resolve.
    let bench = Bench::new_without_waiting("redis://redis.invalid:6379", "");
    bench.fails_with(&["dns"], 0.0);
}

#[test]
fn unix_socket_that_is_not_there_and_then_is() {
    let mut server = RedisServer::start();
    let socket = server.socket();
    server.shutdown();
    let _ = std::fs::remove_file(&socket);
    let bench = Bench::new_without_waiting(&format!("unix://{}", socket.display()), "");
    bench.fails_with(&["unreachable"], 0.0);
    // A file without a listener behind it.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    bench.fails_with(&["refused"], 0.0);
    std::fs::remove_file(&socket).unwrap();
    server.start_again();
    bench.recovers();
}

#[test]
fn port_that_speaks_another_protocol() {
    // The healthy exporter's own HTTP port is a fine example.
    let bench = Bench::new_without_waiting("redis://127.0.0.1:1", "");
    let other = Bench::new_without_waiting(&format!("redis://127.0.0.1:{}", bench.exporter.port), "");
    other.fails_with(&["protocol", "closed"], 0.0);
}

#[test]
fn descriptors_tasks_and_connections_do_not_leak() {
    let server = RedisServer::start();
    let bench = Bench::new(&server.address(), "");
    let tasks = |scrape: &crate::support::scrape::Scrape| scrape.value("redis_session_exporter_tasks_alive", &[]);
    let mut client = Client::connect(server.port).unwrap();
    let cycle = |client: &mut Client| {
        let connects =
            |scrape: &crate::support::scrape::Scrape| scrape.value("redis_connects_total", &[("instance", FAULTY)]);
        let before = connects(&bench.exporter.scrape()).unwrap();
        client.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        bench
            .exporter
            .wait_for_instance(FAULTY, "reconnected", BACK_BOUND, |scrape| {
                connects(scrape) > Some(before) && crate::support::exporter::is_up(scrape, FAULTY)
            });
    };
    cycle(&mut client);
    let descriptors_before = bench.exporter.process.open_descriptors();
    let tasks_before = tasks(&bench.exporter.scrape());
    for _ in 0..20 {
        cycle(&mut client);
    }
    // A probe or a scan may be open at the moment of the look: wait until the figures are no higher than before.
    let settled = wait_until(BACK_BOUND, || {
        let descriptors = bench.exporter.process.open_descriptors();
        let tasks_now = tasks(&bench.exporter.scrape());
        (descriptors <= descriptors_before && tasks_now <= tasks_before).then_some(())
    });
    let tasks_after = tasks(&bench.exporter.scrape());
    assert!(
        settled.is_some(),
        "descriptors {descriptors_before} then {}, tasks {tasks_before:?} then {tasks_after:?}",
        bench.exporter.process.open_descriptors()
    );
    // The exporter's connections at the server: the kept one, at most one scan and one probe.
    let clients = client.command(&["CLIENT", "LIST"]).text();
    assert!(clients.lines().count() <= 4, "{clients}");
}
