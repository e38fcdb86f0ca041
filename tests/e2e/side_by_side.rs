//! redis_exporter and this exporter on the same server at the same time: names, types, labels, and values that stand still.

use crate::exceptions::{self, Exception};
use crate::scenes::{self, Scene};
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::process::Process;
use crate::support::scrape::{Sample, Scrape};
use crate::support::{free_port, program, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

/// Labels that ours carries on top.
const OWN_LABELS: [&str; 2] = ["environment", "instance"];

/// Commands that one of the two exporters runs: their figures move with every poll of one and scrape of the other, and may look
/// as if they stood still.
const EXPORTERS_COMMANDS: [&str; 8] = [
    "auth",
    "client",
    "commandlog",
    "config",
    "info",
    "latency",
    "ping",
    "slowlog",
];

/// Whether the series is about such a command (`config` and `config|get` alike).
fn is_of_exporters(labels: &BTreeMap<String, String>) -> bool {
    let command = labels.get("cmd").and_then(|command| command.split('|').next());
    command.is_some_and(|command| EXPORTERS_COMMANDS.contains(&command))
}

/// The connection that looks has buffers, which come and go with it: by so much memory figures may be off where the list says
/// `near`.
const NEAR_BYTES: f64 = 256.0 * 1024.0;

/// redis_exporter, with its default flags or with further ones.
pub(crate) struct Peer {
    pub(crate) port: u16,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Peer {
    fn start(address: &str) -> Self {
        Self::start_with(address, &[])
    }

    pub(crate) fn start_with(address: &str, flags: &[&str]) -> Self {
        Self::start_bare(&[&["--redis.addr", address], flags].concat(), &[])
    }

    /// With flags and variables alone, as a container starts it.
    pub(crate) fn start_bare(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(program("TEST_REDIS_EXPORTER", "prometheus-redis-exporter"));
        command.env_clear().current_dir(folder.path());
        // In front: what stands behind a word that is no flag has no say there.
        command.args(["--web.listen-address", &format!("127.0.0.1:{port}")]);
        command.args(arguments).envs(variables.iter().copied());
        let process = Process::spawn(command, folder.path());
        let ready = wait_until(Duration::from_secs(20), || {
            http::request(port, "GET", "/health", &[]).ok()
        });
        assert!(ready.is_some(), "redis_exporter does not start: {}", process.output());
        Self {
            port,
            _process: process,
            _folder: folder,
        }
    }

    pub(crate) fn scrape(&self) -> Scrape {
        Scrape::parse(&http::request(self.port, "GET", "/metrics", &[]).unwrap().text())
    }
}

type Series = (String, BTreeMap<String, String>);

/// Values by series, without the labels that ours adds. The edges of buckets are compared as numbers: the peer writes `1`, ours
/// `1.0` as OpenMetrics wants it, and Prometheus 3 stores both as `1.0`.
fn values(scrape: &Scrape) -> BTreeMap<Series, f64> {
    let comparable = |(name, value): (String, String)| match value.parse::<f64>() {
        Ok(edge) if name == "le" => (name, edge.to_string()),
        _ => (name, value),
    };
    let series = |sample: &Sample| {
        let labels = sample.labels.clone().into_iter();
        let labels = labels.filter(|(name, _)| !OWN_LABELS.contains(&name.as_str()));
        ((sample.name.clone(), labels.map(comparable).collect()), sample.value)
    };
    scrape.samples.iter().map(series).collect()
}

/// Label names by metric. The set of sets shows a label that only some series carry.
fn label_names(values: &BTreeMap<Series, f64>) -> BTreeMap<&str, BTreeSet<Vec<&str>>> {
    let mut names: BTreeMap<&str, BTreeSet<Vec<&str>>> = BTreeMap::new();
    for (name, labels) in values.keys() {
        names
            .entry(name)
            .or_default()
            .insert(labels.keys().map(String::as_str).collect());
    }
    names
}

/// The value of the one series that has these labels and more. That it has more is a difference of its own.
fn with_more_labels<'a>(values: &'a BTreeMap<Series, f64>, (name, labels): &Series) -> Option<&'a f64> {
    let mut found = values
        .iter()
        .filter(|((own, more), _)| own == name && labels.iter().all(|(label, value)| more.get(label) == Some(value)));
    let first = found.next()?;
    found.next().is_none().then_some(first.1)
}

/// Whether the list lets this metric be off by a little.
fn is_near(list: &BTreeSet<Exception>, name: &str) -> bool {
    list.iter()
        .any(|exception| exception.is_about(name) && exception.what == "near")
}

/// What one comparison found.
#[derive(Default)]
struct Findings {
    names: usize,
    series: usize,
    moving: usize,
    used: BTreeSet<Exception>,
    problems: Vec<String>,
}

impl Findings {
    /// Notes a difference, unless the list allows it.
    fn differ(&mut self, list: &BTreeSet<Exception>, name: &str, what: &str, sentence: String) {
        match list
            .iter()
            .find(|exception| exception.is_about(name) && exception.what == what)
        {
            Some(exception) => {
                self.used.insert(exception.clone());
            }
            None => self.problems.push(sentence),
        }
    }
}

fn compare(scene: &Scene, list: &BTreeSet<Exception>) -> Findings {
    let address = scene.server.address();
    let peer = Peer::start(&address);
    let exporter = Exporter::start(&config::fast(&[(
        "redis",
        &address,
        "collectors: { connect: false, sessions: false }",
    )]));
    exporter.wait_until_up(&["redis"]);
    // The first scrape makes commands known that only the two exporters send.
    peer.scrape();
    let polls = |scrape: &Scrape| scrape.value("redis_exporter_scrapes_total", &[]).unwrap();
    let before = peer.scrape();
    let started = polls(&exporter.scrape());
    // Two more polls: the first may have begun before the peer was through.
    let ours = exporter.wait_for("polls after the peer's", Duration::from_secs(10), |scrape| {
        polls(scrape) >= started + 2.0
    });
    let after = peer.scrape();

    let mut findings = Findings::default();
    for (name, kind) in &before.types {
        findings.names += 1;
        match ours.types.get(name) {
            None => findings.differ(list, name, "missing", format!("{name} ({kind}) is missing")),
            Some(own) if own != kind => {
                findings.differ(list, name, "type", format!("{name} is {kind} there and {own} here"))
            }
            Some(_) => {}
        }
    }
    let (values_before, values_ours, values_after) = (values(&before), values(&ours), values(&after));
    let (labels_there, labels_here) = (label_names(&values_before), label_names(&values_ours));
    for (name, there) in &labels_there {
        if let Some(here) = labels_here.get(name)
            && here != there
        {
            findings.differ(
                list,
                name,
                "labels",
                format!("{name} has labels {there:?} there and {here:?} here"),
            );
        }
    }
    for (series, value) in &values_before {
        let (name, labels) = series;
        // What moves between two reads of the peer itself cannot be compared.
        if values_after.get(series) != Some(value) || is_of_exporters(labels) {
            findings.moving += 1;
            continue;
        }
        findings.series += 1;
        match values_ours
            .get(series)
            .or_else(|| with_more_labels(&values_ours, series))
        {
            None => findings.differ(list, name, "missing", format!("{name}{labels:?} {value} is missing")),
            Some(own) if own != value && (own - value).abs() > value.abs() * 1e-12 => {
                let what = if (own - value).abs() <= NEAR_BYTES && is_near(list, name) {
                    "near"
                } else if *value == 0.0 {
                    "zero"
                } else {
                    "value"
                };
                findings.differ(
                    list,
                    name,
                    what,
                    format!("{name}{labels:?} is {value} there and {own} here"),
                );
            }
            Some(_) => {}
        }
    }
    findings
}

#[test]
fn everything_that_the_peer_emits_is_here_and_equal() {
    let list = exceptions::read("peer_exceptions.txt");
    let mut used = BTreeSet::new();
    let mut problems = Vec::new();
    for scene in scenes::all() {
        let findings = compare(&scene, &list);
        println!(
            "{}: {} metrics of the peer, {} series stood still and were compared, {} moved or are about commands of the exporters",
            scene.role, findings.names, findings.series, findings.moving
        );
        problems.extend(
            findings
                .problems
                .into_iter()
                .map(|problem| format!("{}: {problem}", scene.role)),
        );
        used.extend(findings.used);
    }
    for exception in &list {
        let state = if used.contains(exception) {
            "used"
        } else {
            "not needed in this run"
        };
        println!("exception: {} {}: {state}", exception.name, exception.what);
    }
    assert!(
        problems.is_empty(),
        "{} differences:\n{}",
        problems.len(),
        problems.join("\n")
    );
}
