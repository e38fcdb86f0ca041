//! Every way in which TLS to a Redis server goes wrong, each on an instance of its own under one daemon: the reason, the dates by `openssl x509`, whether
//! the certificates verify, and the sentence in the log. `--nocapture` prints them as a table.

use crate::support::certificates::{Authority, Dates, Leaf, broken_bundle, bundle_of_ten, replace};
use crate::support::config::{self, instances_yaml};
use crate::support::exporter::{Exporter, run_with};
use crate::support::peer::{ScriptedPeer, Welcome};
use crate::support::redis_server::{RedisServer, ServerTls};
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use crate::tls_rows;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// `poll.timeout`: long enough for a handshake on a machine that compiles at the same time.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long a row may take until all of it shows: a connection that stalls, then the fresh one of `connect` that stalls too.
const ROW_BOUND: Duration = Duration::from_secs(20);

/// The password of every instance; nothing may show it, and no server gets it before its certificate is verified.
pub const PASSWORD: &str = "canary-password-of-the-matrix";

/// Servers that are refused in every row, at least.
const LEAST_REFUSED: usize = 8;

/// All values of the label `reason` of `redis_tls_errors_total`.
const TLS_REASONS: [&str; 7] = [
    "expired",
    "not_yet_valid",
    "unknown_ca",
    "name_mismatch",
    "handshake",
    "client_cert",
    "other",
];

/// What a row must show.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// It answers, and no handshake failed.
    Up,
    /// The connection is in this state, and failed handshakes are counted under this reason alone; `None` when no handshake failed.
    Down(&'static str, Option<&'static str>),
}

/// One row.
pub struct Row {
    /// Name of the instance.
    pub name: &'static str,
    /// Its address.
    pub address: String,
    /// `tls` of the instance, without the braces.
    pub tls: String,
    /// What becomes of it.
    pub outcome: Outcome,
    /// `redis_tls_verified`; `None` when the server never showed a certificate.
    pub verified: Option<f64>,
    /// The dates of the certificate and of the chain that the server showed, by `openssl`.
    pub dates: Option<[Dates; 2]>,
    /// What the sentence in the log must contain; one that is up has none.
    pub words: &'static [&'static str],
}

/// The servers of the rows, the authorities, and a folder for the files.
pub struct Stage {
    pub folder: tempfile::TempDir,
    pub servers: Vec<RedisServer>,
    pub peers: Vec<ScriptedPeer>,
    pub rows: Vec<Row>,
    /// The private keys that were made, whose text nothing may show.
    pub keys: Vec<String>,
}

impl Stage {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns `KEY: "path"`.
    pub fn file(&self, key: &str, name: &str, text: &str) -> String {
        format!("{key}: \"{}\"", replace(&self.path(name), text).display())
    }

    pub fn server(&mut self, tls: &ServerTls<'_>, arguments: &[&str]) -> String {
        self.server_with(tls, arguments, &[])
    }

    /// Starts a server that wants the password, and returns its TLS address.
    pub fn server_with(&mut self, tls: &ServerTls<'_>, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let arguments = [&["--requirepass", PASSWORD], arguments].concat();
        let server = RedisServer::start_tls_with(tls, &arguments, variables);
        let address = server.tls_address();
        self.keys.push(tls.identity.key.clone());
        self.servers.push(server);
        address
    }

    pub fn peer(&mut self, welcome: Welcome) -> String {
        let peer = ScriptedPeer::start();
        peer.welcome(welcome);
        let address = peer.address().replace("redis://", "rediss://");
        self.peers.push(peer);
        address
    }

    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn config(&self) -> String {
        let further = |row: &Row| {
            let tls = if row.tls.is_empty() {
                String::new()
            } else {
                format!("tls: {{ {} }}\n", row.tls)
            };
            format!("password: {PASSWORD}\n{tls}")
        };
        let instances: Vec<(&str, &str, String)> = self
            .rows
            .iter()
            .map(|row| (row.name, row.address.as_str(), further(row)))
            .collect();
        let instances: Vec<(&str, &str, &str)> = instances
            .iter()
            .map(|(name, address, further)| (*name, *address, further.as_str()))
            .collect();
        format!(
            "environment: test\npoll: {{ ping_interval: 500ms, info_interval: 1s, scan_interval: 5s, connect_interval: 500ms, \
             timeout: {}s }}\n{}",
            TIMEOUT.as_secs(),
            instances_yaml(&instances)
        )
    }
}

#[test]
fn every_fault_of_tls_is_told() {
    let mut stage = Stage {
        folder: tempfile::tempdir().unwrap(),
        servers: Vec::new(),
        peers: Vec::new(),
        rows: Vec::new(),
        keys: Vec::new(),
    };
    tls_rows::set(&mut stage);

    let exporter = Exporter::start(&stage.config());
    let mut problems = Vec::new();
    wait_until(ROW_BOUND + SLACK, || {
        let scrape = exporter.scrape();
        let log = exporter.log();
        problems = stage.rows.iter().flat_map(|row| row.problems(&scrape, &log)).collect();
        problems.is_empty().then_some(())
    });
    let log = exporter.log();
    for row in &stage.rows {
        println!(
            "| {} | {} | {} |",
            row.name,
            row.reason(),
            sentence(row.name, &log).unwrap_or_default()
        );
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_nothing_leaks(&stage, &exporter);
    assert_only_trusted_servers_got_the_password(&stage);
}

/// A file that cannot be used is a wrong configuration at the start, and a failed handshake when it becomes so later; the sentence names it.
#[test]
fn one_broken_section_of_ten_spoils_a_ca_file() {
    let root = Authority::new("root");
    let server = RedisServer::start_tls(&ServerTls::showing(&root.issue(&Leaf::server())), &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = replace(&folder.path().join("ca.crt"), &broken_bundle(&root));
    let name = "ten-authorities-one-broken";
    let tls = format!("tls: {{ ca_file: \"{}\" }}", file.display());
    let config = config::fast(&[(name, &server.tls_address(), &tls)]).replace("timeout: 500ms", "timeout: 5s");

    let ended = run_with(&["--config.check"], &[], Some(&config));
    assert_eq!(ended.code, 78, "{}", ended.output);
    for word in ["ca_file", "PEM section 5"] {
        assert!(ended.output.contains(word), "{word:?} in {}", ended.output);
    }

    replace(&file, &bundle_of_ten(&root));
    let exporter = Exporter::start(&config);
    exporter.wait_until_up(&[name]);
    replace(&file, &broken_bundle(&root));
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let labels = [("instance", name)];
    exporter.wait_for_instance(name, "down for TLS", ROW_BOUND, |scrape| {
        scrape.state(name).as_deref() == Some("tls")
            && scrape.value("redis_connection_status", &labels) == Some(0.0)
            && scrape.value("redis_tls_errors_total", &[("instance", name), ("reason", "other")]) > Some(0.0)
    });
    let sentence = sentence(name, &exporter.log()).unwrap();
    println!("| {name} | tls, other | {sentence} |");
    for word in ["`tls.ca_file`", "ca.crt", "PEM section 5"] {
        assert!(sentence.contains(word), "{word:?} in {sentence}");
    }
    replace(&file, &bundle_of_ten(&root));
    exporter.wait_until_up(&[name]);
}

/// The last thing that the log says of why an instance does not answer.
fn sentence(name: &str, log: &str) -> Option<String> {
    let mine = format!(" instance={name} ");
    let said = log
        .lines()
        .rev()
        .find(|line| line.contains(&mine) && line.contains("reason="))?;
    let (_, error) = said.split_once(" error=\"")?;
    Some(
        error
            .replace("\\\"", "'")
            .replace("\\'", "'")
            .trim_end_matches('"')
            .to_owned(),
    )
}

impl Row {
    fn reason(&self) -> String {
        match self.outcome {
            Outcome::Up => "up".to_owned(),
            Outcome::Down(state, reason) => format!("{state}, {}", reason.unwrap_or("-")),
        }
    }

    /// What is not as it must be, or not yet.
    fn problems(&self, scrape: &Scrape, log: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let mut expect = |what: &str, is: String, wanted: String| {
            if is != wanted {
                problems.push(format!("{}: {what} is {is}, not {wanted}", self.name));
            }
        };
        let instance = [("instance", self.name)];
        let value = |name: &str| scrape.value(name, &instance);
        let (state, up, reason) = match self.outcome {
            Outcome::Up => ("ok", 1.0, None),
            Outcome::Down(state, reason) => (state, 0.0, reason),
        };
        expect(
            "the state",
            format!("{:?}", scrape.state(self.name)),
            format!("{:?}", Some(state)),
        );
        expect(
            "redis_up",
            format!("{:?}", value("redis_up")),
            format!("{:?}", Some(up)),
        );
        expect(
            "redis_connect_success",
            format!("{:?}", value("redis_connect_success")),
            format!("{:?}", Some(up)),
        );
        expect(
            "redis_tls_verified",
            format!("{:?}", value("redis_tls_verified")),
            format!("{:?}", self.verified),
        );

        let counted =
            |reason: &str| scrape.value("redis_tls_errors_total", &[("instance", self.name), ("reason", reason)]);
        let failed: BTreeSet<&str> = TLS_REASONS
            .into_iter()
            .filter(|reason| counted(reason) > Some(0.0))
            .collect();
        expect(
            "what handshakes failed for",
            format!("{failed:?}"),
            format!("{:?}", BTreeSet::from_iter(reason)),
        );
        if self.address.starts_with("rediss://") {
            let born = TLS_REASONS.iter().filter(|reason| counted(reason).is_some()).count();
            expect(
                "reasons of errors that are there",
                born.to_string(),
                TLS_REASONS.len().to_string(),
            );
        }

        for (index, certificate) in ["leaf", "chain"].into_iter().enumerate() {
            let wanted = self.dates.map(|dates| dates[index]);
            let date = |name: &str| {
                let labels = [("instance", self.name), ("certificate", certificate)];
                scrape.value(&format!("redis_tls_certificate_{name}_timestamp_seconds"), &labels)
            };
            let is = (date("not_before"), date("not_after"));
            let wanted = (
                wanted.map(|dates| dates.not_before as f64),
                wanted.map(|dates| dates.not_after as f64),
            );
            expect(
                &format!("dates of the {certificate}"),
                format!("{is:?}"),
                format!("{wanted:?}"),
            );
        }
        let connected = scrape.has("redis_tls_connection_info", &instance);
        if up == 1.0 {
            expect(
                "redis_tls_connection_info there",
                connected.to_string(),
                "true".to_owned(),
            );
        }

        let sentence = sentence(self.name, log);
        expect(
            "a sentence in the log",
            sentence.is_some().to_string(),
            (up == 0.0).to_string(),
        );
        for word in self.words {
            let there = sentence.as_deref().is_some_and(|sentence| sentence.contains(word));
            expect(
                &format!("{word:?} in the sentence {:?}", sentence.as_deref().unwrap_or("")),
                there.to_string(),
                "true".to_owned(),
            );
        }
        problems
    }
}

/// Nothing secret is in what the daemon says.
fn assert_nothing_leaks(stage: &Stage, exporter: &Exporter) {
    let pages = ["/metrics", "/config", "/", "/health/redis?detailed=true"];
    let mut said: Vec<(&str, String)> = pages.iter().map(|page| (*page, exporter.get(page).text())).collect();
    said.push(("the log", exporter.log()));
    let secrets = stage
        .keys
        .iter()
        .flat_map(|key| key.lines().filter(|line| !line.starts_with("-----")));
    for secret in secrets.chain([PASSWORD]) {
        for (place, text) in &said {
            assert!(!text.contains(secret), "{place} shows a secret");
        }
    }
}

/// A server whose certificate never verified has seen one AUTH alone, that of the question for it.
fn assert_only_trusted_servers_got_the_password(stage: &Stage) {
    let is_refused = |row: &Row| row.verified == Some(0.0) && matches!(row.outcome, Outcome::Down(..));
    let mut asked = 0;
    for server in &stage.servers {
        let address = server.tls_address();
        let mut rows = stage.rows.iter().filter(|row| row.address == address);
        if rows.clone().next().is_some() && rows.all(is_refused) {
            let calls = server.info("cmdstat_auth").unwrap();
            assert!(calls.starts_with("calls=1,"), "{address}: {calls}");
            asked += 1;
        }
    }
    assert!(asked >= LEAST_REFUSED, "only {asked} servers were refused");
}
