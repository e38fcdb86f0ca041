//! A network between the exporter and a server that can become slow.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Forwards connections to a server. Its threads end with their connections, and at the latest with the process of the tests.
pub(super) struct Network {
    /// Port on 127.0.0.1.
    pub(super) port: u16,
    delay: Arc<AtomicU64>,
}

impl Network {
    /// In front of a port of 127.0.0.1.
    pub(super) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let delay = Arc::new(AtomicU64::new(0));
        let current = delay.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let (to_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let current = current.clone();
                std::thread::spawn(move || forward(client, to_server, || {}));
                std::thread::spawn(move || {
                    // The delay is the fault itself, not a wait for something.
                    let delay = || std::thread::sleep(Duration::from_millis(current.load(Ordering::Relaxed)));
                    forward(server, to_client, delay);
                });
            }
        });
        Self { port, delay }
    }

    /// From now on every answer takes so many milliseconds longer.
    pub(super) fn delay(&self, milliseconds: u64) {
        self.delay.store(milliseconds, Ordering::Relaxed);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, before_each: impl Fn()) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        before_each();
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
