//! Figures for ARCHITECTURE.md, against a real server: `cargo test --release --lib measurements -- --ignored --nocapture`.

use super::kit::*;
use crate::redis::testing::{soon, stranger};
use crate::redis::{Connector, Phase};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::NamedTempFile;

/// A real server that is killed with this.
struct Redis {
    child: Child,
    tls: SocketAddr,
    plain: SocketAddr,
    _files: [NamedTempFile; 3],
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// TEST_REDIS_SERVER, or the one that is installed.
async fn redis(authority: &Made) -> Redis {
    let leaf = issued(params("server"), authority);
    let files = [file(&authority.pem), file(&leaf.pem), file(&leaf.key_pem())];
    let (tls, plain) = (free_port(), free_port());
    let program = std::env::var("TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(program);
    command.args([
        "--save",
        "",
        "--port",
        &plain.to_string(),
        "--tls-port",
        &tls.to_string(),
    ]);
    command.args(["--tls-auth-clients", "no"]);
    for (name, file) in ["--tls-ca-cert-file", "--tls-cert-file", "--tls-key-file"]
        .iter()
        .zip(&files)
    {
        command.arg(name).arg(file.path());
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let redis = Redis {
        child,
        tls: at(tls),
        plain: at(plain),
        _files: files,
    };
    let bound = soon();
    while tokio::net::TcpStream::connect(redis.tls).await.is_err() {
        assert!(tokio::time::Instant::now() < bound, "it starts");
        tokio::task::yield_now().await;
    }
    redis
}

fn resident_kilobytes() -> u64 {
    let status = procfs::process::Process::myself().unwrap().status().unwrap();
    status.vmrss.unwrap()
}

async fn memory_of_one(connector: &Connector) -> f64 {
    const CONNECTIONS: u32 = 500;
    let warm = connector.connect(soon()).await.unwrap();
    let before = resident_kilobytes();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let (mut connection, _) = connector.connect(soon()).await.unwrap();
        connection.ping(soon()).await.unwrap();
        assert!(connection.is_idle_and_open());
        held.push(connection);
    }
    let after = resident_kilobytes();
    drop((warm, held));
    (after - before) as f64 / f64::from(CONNECTIONS)
}

#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn of_one_connection() {
    let authority = authority();
    let redis = redis(&authority).await;
    let ca_file = file(&authority.pem);
    let over_tls = connector(redis.tls, trusting(&ca_file));
    println!("memory: plain {:.1} KiB", memory_of_one(&stranger(redis.plain)).await);
    println!("memory: TLS {:.1} KiB", memory_of_one(&over_tls).await);
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..500 {
        let (_, handshake) = over_tls.connect(soon()).await.unwrap();
        times.push(handshake.duration(Phase::Tls).unwrap());
    }
    times.sort();
    println!(
        "handshake with ECDSA P-256: median {:?}, 99 % {:?}",
        times[250], times[495]
    );
}
