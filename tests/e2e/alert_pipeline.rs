//! The whole way, with nothing made up: real servers that really fail, the exporter, Prometheus with the shipped rules, Alertmanager with the shipped
//! routing, and the receivers at the end of it. All waits and windows pass thirty times faster, and everything fails at the same time.

mod course;
mod faults;
mod network;
mod store;
mod told;

use crate::prometheus::Prometheus;
use crate::support::alertmanager::{self, Alertmanager};
use crate::support::exporter::Exporter;
use crate::support::wait_until;
use crate::support::webhook::Webhook;
use course::Course;
use faults::{BESIDE, Fault, HEALTHY, Watched};
use redis_session_exporter::alerts::{FILES, Values, render};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use store::Store;
use told::Told;

/// By how much every wait and window is divided. At 30 the shortest window, a minute, still holds two scrapes.
const HURRY: f64 = 30.0;

/// How long everything is well at first. Longer than the windows that a comparison with what was before looks back.
const QUIET: Duration = Duration::from_secs(35);

/// Longest time until all are scraped and the heartbeat has arrived.
const BEGIN_BOUND: Duration = Duration::from_secs(60);

/// Longest time of all faults together, beyond what each may take.
const ALL_BOUND: Duration = Duration::from_secs(360);

/// Time between two looks at what Prometheus thinks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

#[test]
fn every_fault_reaches_the_right_people_once_and_resolves() {
    let begun = Instant::now();
    let (watched, faults): (Vec<Watched>, Vec<Fault>) = faults::all().into_iter().unzip();
    let mut stage = Stage::set(watched);
    stage.begin();
    println!("everything runs after {:.0} s", begun.elapsed().as_secs_f64());
    stage.stay_quiet();
    println!("nothing was told for {} s while nothing was wrong", QUIET.as_secs());

    let together = faults.into_iter().chain([faults::of_the_second_exporter()]);
    let courses: Vec<Course> = together.map(|fault| stage.provoke(fault)).collect();
    let mut courses = stage.run(courses);
    let last = stage.provoke(faults::last());
    courses.extend(stage.run(vec![last]));
    stage.conclude(&courses);
    println!("{:.0} s in all", begun.elapsed().as_secs_f64());
}

/// Everything that runs.
struct Stage {
    stores: BTreeMap<&'static str, Store>,
    exporter: Exporter,
    webhook: Webhook,
    alertmanager: Alertmanager,
    prometheus: Prometheus,
    told: Told,
    looked: Instant,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Starts everything, from the servers to the receivers.
    fn set(mut watched: Vec<Watched>) -> Self {
        watched.push(HEALTHY);
        let mut stores: BTreeMap<&'static str, Store> = watched
            .iter()
            .map(|watched| (watched.name, (watched.start)()))
            .collect();
        let mut beside = (BESIDE.start)();
        let exporter = Exporter::start(&config(&watched, &stores));
        let alone = BTreeMap::from([(BESIDE.name, beside)]);
        let second = Exporter::start(&config(&[BESIDE], &alone));
        beside = alone.into_values().next().unwrap();
        let ports = [exporter.port, second.port];
        beside.exporter = Some(second);
        stores.insert(BESIDE.name, beside);

        let webhook = Webhook::start();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/alertmanager.yaml");
        let routing = alertmanager::rehearsal(&shipped, webhook.port, HURRY);
        let alertmanager = Alertmanager::start(&routing);
        let folder = tempfile::tempdir().unwrap();
        write_rules(folder.path());
        let prometheus = Prometheus::start_with(
            &prometheus_config(folder.path(), &ports, alertmanager.port),
            // As often as every minute, thirty times faster.
            &["--rules.alert.resend-delay=2s"],
        );
        Self {
            stores,
            exporter,
            webhook,
            alertmanager,
            prometheus,
            told: Told::new(deaf_to_the_end(&routing)),
            looked: Instant::now(),
            _folder: folder,
        }
    }

    /// Waits until every store is scraped and the heartbeat has arrived.
    fn begin(&mut self) {
        let stores = self.stores.len();
        let begun = wait_until(BEGIN_BOUND, || {
            self.look();
            let up = self.prometheus.query("redis_connection_status == 1").len();
            let counted = self.prometheus.query("count by (instance) (sessions_active)").len();
            // The sessions of a replica are counted at its primary.
            (up == stores && counted + 1 == stores && !self.told.heartbeats().is_empty()).then_some(())
        });
        assert!(
            begun.is_some(),
            "{}\n{}\n{}",
            self.prometheus.targets(),
            self.exporter.log(),
            self.alertmanager.log()
        );
    }

    /// Nothing is wrong yet, so nothing may be told.
    fn stay_quiet(&mut self) {
        let end = Instant::now() + QUIET;
        wait_until(QUIET * 2, || {
            self.look();
            (Instant::now() >= end).then_some(())
        });
        let early = self.told.instances();
        assert!(early.is_empty(), "told while nothing was wrong: {early:?}");
        let fired = self.told.ever_fired();
        assert!(fired.is_empty(), "fired while nothing was wrong: {fired:?}");
    }

    fn provoke(&mut self, fault: Fault) -> Course {
        let store = self.stores.get_mut(fault.instance).unwrap();
        Course::begin(fault, store)
    }

    /// Lets all of these run their courses.
    fn run(&mut self, mut open: Vec<Course>) -> Vec<Course> {
        let mut over = Vec::new();
        wait_until(ALL_BOUND, || {
            self.look();
            for mut course in std::mem::take(&mut open) {
                let store = self.stores.get_mut(course.fault.instance).unwrap();
                if course.go_on(store, &self.told) {
                    over.push(course);
                } else {
                    open.push(course);
                }
            }
            open.is_empty().then_some(())
        });
        over.extend(open);
        over
    }

    /// Takes in what was told since the last look, and now and then what fires.
    fn look(&mut self) {
        let firing = (self.looked.elapsed() >= LOOK_PAUSE).then(|| {
            self.looked = Instant::now();
            let firing = self
                .prometheus
                .query("ALERTS{alertstate=\"firing\",alertname!=\"Watchdog\"}");
            let label = |labels: &serde_json::Value, name: &str| labels[name].as_str().unwrap_or_default().to_owned();
            firing
                .iter()
                .map(|(labels, _)| (label(labels, "alertname"), label(labels, "instance")))
                .collect::<BTreeSet<_>>()
        });
        self.told.update(self.webhook.notifications(), firing);
    }

    /// Prints the table, and fails when anything is not as it must be.
    #[allow(clippy::print_stdout, reason = "`make pipeline` shows this table")]
    fn conclude(&mut self, courses: &[Course]) {
        let mut table = format!(
            "\n  {:<34} {:<20} {:>8} {:>10} {:>6} {:>10}\n",
            "alert", "receiver", "arrived", "unhurried", "times", "resolved"
        );
        let mut problems = Vec::new();
        for course in courses {
            table += &course.report(&self.told, HURRY);
            problems.extend(course.problems(&self.told));
        }
        let known: BTreeSet<&str> = courses.iter().map(|course| course.instance.as_str()).collect();
        for (instance, alerts) in self.told.instances() {
            if !known.contains(instance.as_str()) {
                problems.push(format!("{instance:?} must be silent: {alerts:?}"));
            }
        }
        for (alert, instance) in self.told.ever_fired() {
            if instance == HEALTHY.name {
                problems.push(format!("{alert} fired at the healthy store"));
            }
        }
        problems.extend(self.told.faulty_texts());
        let heartbeats = self.told.heartbeats();
        let _ = writeln!(table, "heartbeat: {heartbeats:?}");
        if heartbeats.keys().map(String::as_str).ne(["dead-mans-switch"]) {
            problems.push(format!("the heartbeat went to {heartbeats:?}"));
        }
        println!("{table}");
        assert!(
            problems.is_empty(),
            "{}\n{}",
            problems.join("\n"),
            self.alertmanager.log()
        );
    }
}

/// The configuration of an exporter that watches these.
fn config(watched: &[Watched], stores: &BTreeMap<&'static str, Store>) -> String {
    let mut text =
        "poll: { ping_interval: 400ms, info_interval: 700ms, scan_interval: 1500ms, connect_interval: 1500ms, timeout: 4s }\n\
                    defaults: { operations: on, collectors: { latency: off } }\ninstances:\n"
            .to_owned();
    for watched in watched {
        let store = &stores[watched.name];
        let _ = writeln!(
            text,
            "  - name: {}\n    environment: {}",
            watched.name, watched.environment
        );
        let _ = writeln!(text, "    address: \"{}\"", store.address());
        if store.authority.is_some() {
            let _ = writeln!(text, "    tls: {{ ca_file: \"{}\" }}", store.authority_file().display());
        }
        let _ = writeln!(
            text,
            "    sessions: [{{ store: web, match: [\"sess:*\"], {} }}]",
            watched.store
        );
        for line in watched.further.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// Writes the shipped rules, hurried.
fn write_rules(folder: &Path) {
    // A tenth of a second and more is usual where compilers and other tests run beside it.
    let text = format!("hurry: {HURRY}\nthresholds: {{ ping_latency_high: 300ms }}\n");
    let values = Values::parse(&text, "values of the rehearsal").unwrap();
    for file in FILES {
        let text = render::file(file, &values).unwrap();
        std::fs::write(folder.join(format!("{}.yaml", file.name)), text).unwrap();
    }
}

fn prometheus_config(rules: &Path, exporters: &[u16], alertmanager: u16) -> String {
    let targets: Vec<String> = exporters.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
    format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
rule_files: ['{}/*.yaml']
alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['127.0.0.1:{alertmanager}'] }}] }}] }}
scrape_configs:
  - job_name: redis-session-exporter
    honor_labels: true
    static_configs: [ {{ targets: [{}] }} ]
",
        rules.display(),
        targets.join(", ")
    )
}

/// Receivers that are not told of the end of an alert.
fn deaf_to_the_end(routing: &str) -> BTreeSet<String> {
    let config: serde_yaml::Value = serde_yaml::from_str(routing).unwrap();
    let receivers = config["receivers"].as_sequence().unwrap().iter();
    let deaf = receivers.filter(|receiver| receiver["webhook_configs"][0]["send_resolved"] == false);
    deaf.map(|receiver| receiver["name"].as_str().unwrap().to_owned())
        .collect()
}
