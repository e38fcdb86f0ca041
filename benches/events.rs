//! How many keyspace notifications the listener reads, understands and counts per second, over a loopback connection.
#![allow(clippy::unwrap_used, reason = "a bench that cannot start has failed")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redis_session_exporter::config::types::{Address, Endpoint, PasswordSource};
use redis_session_exporter::config::{Environment, load_str};
use redis_session_exporter::poller::events::{EventsReport, Heard, Plan, listen};
use redis_session_exporter::redis::Connector;
use redis_session_exporter::sessions::stores::Store;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Messages of one run: a second and a half of the fastest burst that was measured on a server.
const MESSAGES: usize = 500_000;

/// Longer than any run.
const PATIENCE: Duration = Duration::from_secs(60);

fn message(event: &str, key: &str) -> String {
    let channel = format!("__keyevent@0__:{event}");
    format!(
        "*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{key}\r\n",
        channel.len(),
        key.len()
    )
}

/// Sessions that come and go, and keys of others.
fn stream() -> Vec<u8> {
    let mut stream = String::new();
    for number in 0..MESSAGES / 4 {
        let key = format!("sess:{number:032x}");
        stream += &message("new", &key);
        stream += &message("expired", &key);
        stream += &message("new", &format!("cache:{number:032x}"));
        stream += &message("del", &format!("cache:{number:032x}"));
    }
    stream.into_bytes()
}

/// Answers the login and the subscription, sends the stream, and closes.
fn serve(mut peer: TcpStream, stream: &[u8]) {
    let mut asked = Vec::new();
    let mut piece = [0; 4096];
    let mut read_until = |peer: &mut TcpStream, end: &[u8]| {
        while !asked.windows(end.len()).any(|window| window == end) {
            let length = peer.read(&mut piece).unwrap();
            asked.extend_from_slice(piece.get(..length).unwrap());
        }
    };
    read_until(&mut peer, b"redis-session-exporter\r\n");
    peer.write_all(b"+OK\r\n").unwrap();
    read_until(&mut peer, b"__keyevent@0__:move_to\r\n");
    peer.write_all("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n".repeat(10).as_bytes())
        .unwrap();
    peer.write_all(stream).unwrap();
}

/// One run; gives back how long it took from the connect to the last message.
fn run(runtime: &tokio::runtime::Runtime, stream: &Arc<Vec<u8>>, stores: &Arc<[(usize, Store)]>) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = stream.clone();
    let peer = std::thread::spawn(move || serve(listener.accept().unwrap().0, &sent));
    let endpoint = Endpoint::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    };
    let address = Address {
        endpoint,
        database: 0,
        tls: false,
    };
    let plan = Plan {
        connector: Connector::to_address(address, None, PasswordSource::None),
        number: 1,
        stores: stores.clone(),
        databases: BTreeSet::from([0]),
        config_get: None,
        asks_others: false,
        app_limit: 50,
        timeout: PATIENCE,
        keepalive: PATIENCE,
    };
    let (sender, mut reports) = mpsc::channel::<EventsReport>(1);
    let (_checks, checks) = watch::channel(0);
    let started = Instant::now();
    let received = runtime.block_on(async {
        let task = tokio::spawn(listen(plan, Arc::new(Heard::default()), checks, sender));
        let mut received = 0;
        while let Some(report) = reports.recv().await {
            received += report.received.iter().sum::<u64>();
        }
        task.await.unwrap();
        received
    });
    let took = started.elapsed();
    peer.join().unwrap();
    assert_eq!(received, MESSAGES as u64);
    took
}

fn events(criterion: &mut Criterion) {
    // One thread, as one core reads; the sender has another.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let yaml = "instances: [{address: 'redis://h', sessions: [{store: web, match: 'sess:*', exclude: 'sess:aux:*'}]}]";
    let config = load_str(yaml, "bench", Path::new(""), &Environment::of_pairs(&[]))
        .unwrap()
        .config;
    let configured = config.instances.first().unwrap().sessions.configured();
    let stores: Arc<[(usize, Store)]> = configured
        .iter()
        .enumerate()
        .map(|(index, store)| (index, Store::new(store, "redis-session-exporter:probe:")))
        .collect();
    let stream = Arc::new(stream());
    let mut group = criterion.benchmark_group("events");
    group.sample_size(10).throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("listen", |bencher| {
        bencher.iter_custom(|runs| (0..runs).map(|_| run(&runtime, &stream, &stores)).sum());
    });
    group.finish();
}

criterion_group!(benches, events);
criterion_main!(benches);
