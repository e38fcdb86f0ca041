//! Certificates of the server and authorities of its clients are replaced while it is scraped over new and over kept connections.

use super::bench::{BASIC, Bench, HASHES, READ_BOUND};
use crate::support::certificates::{Authority, Leaf, dates, replace};
use crate::support::http::{Response, read_response};
use crate::support::tls::{TlsClient, TlsStream};
use crate::support::wait_until;
use std::io::Write as _;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How often the files are replaced.
const ROUNDS: i64 = 20;

/// Scrapers over new connections and over kept ones.
const SCRAPERS: usize = 2;

/// A connection that is used again until the server says that it closes it.
pub(super) struct Kept {
    client: TlsClient,
    port: u16,
    stream: Option<TlsStream>,
    pub(super) connects: usize,
}

impl Kept {
    pub(super) fn new(client: TlsClient, port: u16) -> Self {
        Self {
            client,
            port,
            stream: None,
            connects: 0,
        }
    }

    /// Asks again over a new connection when a kept one was closed instead of answering, as Go's client (and so Prometheus) does.
    pub(super) fn get(&mut self, path: &str, authorization: &str) -> std::io::Result<Response> {
        if self.stream.is_some()
            && let Ok(response) = self.get_over_this(path, authorization)
        {
            return Ok(response);
        }
        self.stream = Some(self.client.connect(self.port)?);
        self.connects += 1;
        self.get_over_this(path, authorization)
    }

    /// Over the connection that is open, or not at all.
    pub(super) fn get_over_this(&mut self, path: &str, authorization: &str) -> std::io::Result<Response> {
        let stream = self.stream.as_mut().ok_or(std::io::ErrorKind::NotConnected)?;
        let authorization = match authorization {
            "" => String::new(),
            value => format!("Authorization: {value}\r\n"),
        };
        let asked = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n").as_bytes());
        let response = asked.and_then(|()| read_response(stream));
        if response
            .as_ref()
            .map_or(true, |it| it.header("connection") == Some("close"))
        {
            self.stream = None;
        }
        response
    }
}

#[test]
fn certificates_and_client_authorities_are_replaced_twenty_times_without_a_lost_scrape() {
    let settings = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: client-ca.crt";
    let bench = Bench::start_full(settings, "", HASHES[0]);
    let port = bench.exporter.port;
    let current = RwLock::new(bench.client().showing(&bench.scraper));
    let (stop, scrapes, reconnects) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let check = |outcome: std::io::Result<Response>, how: &str| {
        let response = outcome.unwrap_or_else(|error| panic!("{how}: {error}\n{}", bench.exporter.log()));
        assert_eq!(response.status, 200, "{how}: {}", response.text());
        assert!(response.text().contains("redis_session_exporter_build_info"));
        scrapes.fetch_add(1, Ordering::Relaxed);
    };
    let running = || !stop.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..SCRAPERS {
            scope.spawn(|| {
                while running() {
                    // Held while it is used: whom it shows is trusted for so long.
                    let client = current.read().unwrap();
                    check(bench.get_with(&client, "/metrics", BASIC[0]), "a new connection");
                }
            });
            scope.spawn(|| {
                let mut kept = Kept::new(current.read().unwrap().clone(), port);
                while running() {
                    let client = current.read().unwrap();
                    kept.client = client.clone();
                    check(kept.get("/metrics", BASIC[0]), "a kept connection");
                }
                reconnects.fetch_add(kept.connects, Ordering::Relaxed);
            });
        }
        let rotated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut trusted = bench.client_authority.pem();
            for round in 0..ROUNDS {
                // As in earnest: the next authority is trusted before its first certificate is shown, and the last one after that.
                let next = Authority::new(&format!("clients {round}"));
                replace(&bench.at("client-ca.crt"), &format!("{trusted}{}", next.pem()));
                let renewed = bench.server_authority.issue(&Leaf::server().days(-1, 100 + round));
                renewed.write(bench.folder(), "server");
                let end = dates(&renewed.certificate)[0].not_after as f64;
                let in_use = wait_until(READ_BOUND, || {
                    let scrape = bench.scrape(&current.read().unwrap(), BASIC[0]);
                    let name = "redis_session_exporter_http_certificate_not_after_timestamp_seconds";
                    (scrape.value(name, &[]) == Some(end)).then_some(())
                });
                assert!(in_use.is_some(), "round {round}: {}", bench.exporter.log());
                let client = bench.client().showing(&next.issue(&Leaf::client("scraper")));
                *current.write().unwrap() = client;
                trusted = next.pem();
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = rotated {
            std::panic::resume_unwind(panic);
        }
    });
    let (scrapes, reconnects) = (scrapes.into_inner(), reconnects.into_inner());
    println!("{scrapes} scrapes during {ROUNDS} rotations, {reconnects} connections of {SCRAPERS} kept ones");
    assert!(scrapes > 100, "{scrapes}");
    // A kept connection ends when the authority of its certificate is trusted no more.
    assert!(reconnects <= SCRAPERS * (1 + 2 * ROUNDS as usize), "{reconnects}");
    // The first authority is not trusted any more.
    let old = bench.client().showing(&bench.scraper);
    let gone = wait_until(READ_BOUND, || {
        replace(&bench.at("client-ca.crt"), &Authority::new("last").pem());
        bench.get_with(&old, "/health", "").err()
    });
    assert!(gone.is_some());
}
