//! What the tests of `servers` and `e2e` share: real servers, scripted peers, the exporter as a child process, and a matcher for
//! what it serves. Everything looks at the exporter from outside.
#![allow(dead_code, reason = "each of the two test targets uses its own part of this")]

pub mod alertmanager;
pub mod certificates;
pub mod config;
pub mod evidence;
pub mod exporter;
pub mod http;
pub mod page;
pub mod peer;
pub mod process;
pub mod redis_cluster;
pub mod redis_server;
pub mod resp;
pub mod scrape;
pub mod tls;
pub mod webhook;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Pause between two looks at a condition that is being waited for.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What every bound gets on top: the tests share two cores with each other, and often with a compiler.
pub const SLACK: Duration = Duration::from_millis(1500);

/// Looks until `look` yields something or `bound` has passed.
pub fn wait_until<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + bound;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// First port that tests use. The range lies below the kernel's ephemeral ports, so that no outgoing connection takes one away
/// between our look and the child's bind.
const FIRST_PORT: u16 = 20_000;
/// Number of ports in the range.
const PORTS: u16 = 10_000;

/// A port of the loopback interface that nobody listens on, never the same one twice in this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap();
    for _ in 0..PORTS {
        // A stride keeps several test processes of one machine apart.
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_PORT + (start.wrapping_mul(37) % PORTS + step) % PORTS;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on the loopback interface");
}

/// A program under test or to test against: the variable (set by `make matrix`), or what the distribution installed.
pub fn program(variable: &str, name: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(name),
    }
}

/// Path of a fixture.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}
