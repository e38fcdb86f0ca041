//! Certificates that are replaced while the daemon works: of the server, of the authority, and our own. Connections are killed all the time, so that
//! every change is met by fresh handshakes, and no scrape may show that anything happened.

use crate::support::certificates::{Authority, Issued, Leaf, dates, replace};
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::redis_server::{RedisServer, ServerTls};
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The instance.
const NAME: &str = "redis";

/// `poll.ping_interval`: a connection is killed behind one PING and must be back before the next.
const PING: Duration = Duration::from_millis(400);

/// `poll.connect_interval`: how late a new date may show.
const CONNECT: Duration = Duration::from_millis(500);

/// How long until a daemon that has just started is up.
const START_BOUND: Duration = Duration::from_secs(15);

/// How often a kept connection is killed, and replaced, in each step of a rotation.
const KILLS: usize = 3;

/// Scrapes that a rotation takes at least, else it was no load.
const LEAST_SCRAPES: usize = 100;

fn labels() -> [(&'static str, &'static str); 1] {
    [("instance", NAME)]
}

/// A configuration that PINGs often and reads INFO seldom: a connection that is killed behind a PING is idle for certain.
fn quiet_config(address: &str, tls: &str) -> String {
    format!(
        "environment: test\n\
         poll: {{ ping_interval: {}ms, info_interval: 1h, scan_interval: 1h, connect_interval: {}ms, timeout: 10s }}\n\
         instances:\n  - name: {NAME}\n    address: \"{address}\"\n    sessions: []\n    tls: {{ {tls} }}\n",
        PING.as_millis(),
        CONNECT.as_millis(),
    )
}

fn wait_until_up(exporter: &Exporter) -> Scrape {
    exporter.wait_for("up over TLS, with dates", START_BOUND, |scrape| {
        scrape.value("redis_connection_status", &labels()) == Some(1.0)
            && scrape.value("redis_connect_success", &labels()) == Some(1.0)
            && not_after(scrape).is_some()
    })
}

fn not_after(scrape: &Scrape) -> Option<f64> {
    let name = "redis_tls_certificate_not_after_timestamp_seconds";
    scrape.value(name, &[("instance", NAME), ("certificate", "leaf")])
}

fn end_of(identity: &Issued) -> f64 {
    dates(&identity.certificate)[0].not_after as f64
}

/// A thread that scrapes without a pause.
struct Scraper {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<(usize, Vec<String>)>>,
}

impl Scraper {
    fn start(exporter: &Exporter) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, port) = (Arc::clone(&stop), exporter.port);
        let thread = std::thread::spawn(move || {
            let mut scrapes = 0;
            let mut bad = Vec::new();
            while !ended.load(Ordering::SeqCst) {
                scrapes += 1;
                match http::request(port, "GET", "/metrics", &[]) {
                    Ok(response) if response.status == 200 => {
                        let status = Scrape::parse(&response.text()).value("redis_connection_status", &labels());
                        if status != Some(1.0) {
                            bad.push(format!("scrape {scrapes}: redis_connection_status is {status:?}"));
                        }
                    }
                    other => bad.push(format!("scrape {scrapes}: {other:?}")),
                }
            }
            (scrapes, bad)
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it; every scrape must have been good. How many there were.
    fn finish(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let (scrapes, bad) = self.thread.take().unwrap().join().unwrap();
        assert!(bad.is_empty(), "{} of {scrapes} scrapes: {}", bad.len(), bad.join("\n"));
        assert!(scrapes >= LEAST_SCRAPES, "only {scrapes} scrapes");
        scrapes
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Ids of the daemon's connections by what the server lists.
fn connections(server: &RedisServer) -> BTreeSet<u64> {
    let list = server.command(&["CLIENT", "LIST"]).text();
    let mine = list
        .lines()
        .filter(|line| line.contains(" name=redis-session-exporter "));
    mine.filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok())
        .collect()
}

/// The connection that the daemon keeps; a fresh one of `connect` may be there for a moment beside it.
fn kept_connection(server: &RedisServer) -> u64 {
    let alone = wait_until(PING, || {
        let ids = connections(server);
        (ids.len() == 1).then(|| ids.into_iter().next())?
    });
    alone.expect("the daemon keeps one connection")
}

/// Kills the kept connection a few times, each time right behind a PING, and waits until a new one has carried the next.
fn kill_connections(exporter: &Exporter, server: &RedisServer) {
    let pings = || exporter.scrape().value("redis_pings_total", &labels()).unwrap();
    for _ in 0..KILLS {
        let before = pings();
        let moved = |more: f64| wait_until(PING * 3 + SLACK, || (pings() >= before + more).then_some(()));
        assert!(moved(1.0).is_some(), "no PING is sent any more");
        let killed = kept_connection(server);
        server.command(&["CLIENT", "KILL", "ID", &killed.to_string()]);
        assert!(moved(3.0).is_some(), "no PING after its connection was killed");
        assert!(
            !connections(server).contains(&killed),
            "the connection was not replaced"
        );
    }
}

/// The date of the certificate shows as soon as the contract says.
fn shows(exporter: &Exporter, identity: &Issued) {
    let wanted = end_of(identity);
    exporter.wait_for("the date of the new certificate", CONNECT + SLACK, |scrape| {
        not_after(scrape) == Some(wanted)
    });
}

/// Nothing failed from the beginning to now.
fn assert_nothing_failed(exporter: &Exporter) {
    let scrape = exporter.scrape();
    for name in [
        "redis_tls_errors_total",
        "redis_connection_errors_total",
        "redis_ping_failures_total",
        "redis_connect_failures_total",
    ] {
        assert!(scrape.has(name, &labels()), "{name} is there");
        assert_eq!(
            scrape.sum(name, &labels()),
            0.0,
            "{name}\n{}\n{}",
            scrape.about(NAME),
            exporter.log()
        );
    }
    assert_eq!(scrape.value("redis_tls_verified", &labels()), Some(1.0));
}

/// Files of the daemon's side in a folder.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new(authorities: &str, client: &Issued) -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.trust(authorities);
        client.write(files.folder.path(), "client");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trust(&self, authorities: &str) {
        replace(&self.path("ca.crt"), authorities);
    }

    fn yaml(&self) -> String {
        yaml(self.folder.path(), "client")
    }
}

fn yaml(folder: &Path, stem: &str) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    format!(
        "ca_file: \"{}\", cert_file: \"{}\", key_file: \"{}\"",
        path("ca.crt"),
        path(&format!("{stem}.crt")),
        path(&format!("{stem}.key"))
    )
}

/// Sessions of the store that the end-to-end test counts.
const SESSIONS: usize = 40;

/// Every kind of connection (kept, fresh, scanning, listening to events) shows its certificate: the server has no other port.
#[test]
fn mutual_tls_end_to_end() {
    let (root, clients) = (Authority::new("root"), Authority::new("clients"));
    let identity = root.intermediate("middle").issue(&Leaf::server());
    let demanding = clients.pem();
    let tls = ServerTls::demanding(&identity, &demanding);
    let server = RedisServer::start_tls(&tls, &["--notify-keyspace-events", "KEA"]);
    server.fill("sess:", SESSIONS);
    let files = Files::new(&root.pem(), &clients.issue(&Leaf::client("exporter")));
    let sessions = "sessions:\n  - { store: web, match: [\"sess:*\"] }";
    let further = format!("tls: {{ {} }}\n{sessions}", files.yaml());
    let config = config::patient(&[(NAME, &server.tls_address(), &further)]);
    let exporter = Exporter::start(&config);
    exporter.wait_until_up(&[NAME]);
    let store = [("instance", NAME), ("store", "web")];
    let scrape = exporter.wait_for("sessions and events over TLS", START_BOUND, |scrape| {
        scrape.value("sessions_active", &store) == Some(SESSIONS as f64)
            && scrape.value("session_events_connected", &labels()) == Some(1.0)
            && scrape.value("redis_connect_success", &labels()) == Some(1.0)
    });
    assert_eq!(not_after(&scrape), Some(end_of(&identity)));
    let secure = [("instance", NAME), ("version", "TLSv1.3")];
    assert_eq!(scrape.value("redis_tls_connection_info", &secure), Some(1.0));
    let phase = [("instance", NAME), ("phase", "tls")];
    assert!(scrape.value("redis_connect_phase_duration_seconds", &phase) > Some(0.0));
    assert_nothing_failed(&exporter);
}

#[test]
fn authorities_of_the_machine_are_trusted_without_ca_file() {
    let root = Authority::new("root");
    let identity = root.issue(&Leaf::server());
    let server = RedisServer::start_tls(&ServerTls::showing(&identity), &[]);
    let folder = tempfile::tempdir().unwrap();
    // The variable by which OpenSSL, and with it most of a machine, is told of another store.
    let store = root.write(folder.path(), "machine");
    let text = quiet_config(&server.tls_address(), "min_version: \"1.2\"");
    let variables = [
        ("SSL_CERT_FILE", store.to_str().unwrap()),
        ("REDIS_SESSION_EXPORTER_CONFIG", &text),
    ];
    let exporter = Exporter::start_bare(&[], &variables);
    wait_until_up(&exporter);
    assert_nothing_failed(&exporter);
}

#[test]
fn the_servers_certificate_and_its_authority_are_replaced_under_load() {
    let (old_root, new_root) = (Authority::new("old root"), Authority::new("new root"));
    let clients = Authority::new("clients");
    let old = old_root.issue(&Leaf::server().days(-80, 10));
    let new = new_root.issue(&Leaf::server());
    let server = RedisServer::start_tls(&ServerTls::demanding(&old, &clients.pem()), &[]);
    let files = Files::new(&old_root.pem(), &clients.issue(&Leaf::client("exporter")));
    let exporter = Exporter::start(&quiet_config(&server.tls_address(), &files.yaml()));
    wait_until_up(&exporter);
    shows(&exporter, &old);

    let scraper = Scraper::start(&exporter);
    kill_connections(&exporter, &server);
    files.trust(&(old_root.pem() + &new_root.pem()));
    kill_connections(&exporter, &server);
    server.show(&new);
    shows(&exporter, &new);
    kill_connections(&exporter, &server);
    files.trust(&new_root.pem());
    kill_connections(&exporter, &server);
    println!(
        "{} scrapes under way, {} connections killed",
        scraper.finish(),
        4 * KILLS
    );
    assert_nothing_failed(&exporter);
}

/// Makes the server accept client certificates of these authorities alone.
fn accept_clients_of(server: &RedisServer, authorities: &str) {
    let file = replace(&server.path("clients.crt"), authorities);
    server.command(&["CONFIG", "SET", "tls-ca-cert-file", &file.to_string_lossy()]);
}

/// The rotation of our own certificate, which `put` does; afterwards the server accepts the new one alone. How many scrapes were under way.
fn own_certificate_is_replaced(
    exporter: &Exporter,
    server: &RedisServer,
    old: &Authority,
    new: &Authority,
    put: impl FnOnce(),
) -> usize {
    wait_until_up(exporter);
    let scraper = Scraper::start(exporter);
    kill_connections(exporter, server);
    accept_clients_of(server, &(old.pem() + &new.pem()));
    kill_connections(exporter, server);
    put();
    kill_connections(exporter, server);
    accept_clients_of(server, &new.pem());
    kill_connections(exporter, server);
    let scrapes = scraper.finish();
    assert_nothing_failed(exporter);
    scrapes
}

#[test]
fn our_certificate_is_replaced_file_by_file() {
    let root = Authority::new("root");
    let (old, new) = (Authority::new("old clients"), Authority::new("new clients"));
    let server = RedisServer::start_tls(&ServerTls::demanding(&root.issue(&Leaf::server()), &old.pem()), &[]);
    let files = Files::new(&root.pem(), &old.issue(&Leaf::client("exporter")));
    let exporter = Exporter::start(&quiet_config(&server.tls_address(), &files.yaml()));
    let scrapes = own_certificate_is_replaced(&exporter, &server, &old, &new, || {
        new.issue(&Leaf::client("exporter"))
            .write(files.folder.path(), "client");
    });
    println!("{scrapes} scrapes under way, {} connections killed", 4 * KILLS);
}

/// As the kubelet updates a mounted secret: a new folder, and a link that is renamed over the old one.
#[test]
fn our_certificate_is_replaced_by_the_link_to_its_folder() {
    let root = Authority::new("root");
    let (old, new) = (Authority::new("old clients"), Authority::new("new clients"));
    let server = RedisServer::start_tls(&ServerTls::demanding(&root.issue(&Leaf::server()), &old.pem()), &[]);
    let volume = tempfile::tempdir().unwrap();
    let put = |version: &str, authority: &Authority| {
        let folder = volume.path().join(version);
        std::fs::create_dir(&folder).unwrap();
        replace(&folder.join("ca.crt"), &root.pem());
        authority.issue(&Leaf::client("exporter")).write(&folder, "tls");
        let link = volume.path().join("..data.new");
        std::os::unix::fs::symlink(version, &link).unwrap();
        std::fs::rename(link, volume.path().join("..data")).unwrap();
    };
    put("..1", &old);
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), volume.path().join(name)).unwrap();
    }
    let exporter = Exporter::start(&quiet_config(&server.tls_address(), &yaml(volume.path(), "tls")));
    let scrapes = own_certificate_is_replaced(&exporter, &server, &old, &new, || put("..2", &new));
    println!("{scrapes} scrapes under way, {} connections killed", 4 * KILLS);
}
