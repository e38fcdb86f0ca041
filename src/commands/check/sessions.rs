//! What `check` says about sessions: which stores there are, how many sessions each holds, and what cannot be read of them.

use super::Report;
use super::attempts::{Asked, Fits, Subject, attempt};
use crate::collectors::grants::escaped;
use crate::config::{CountMode, InstanceConfig, StoreConfig};
use crate::poller::scan::{
    self, Missing, Recognised, ScanEnd, ScanMemory, ScanOutcome, ScanReport, ScanTask, SessionsEnd,
};
use crate::redis::{Connection, Connector, RedisError, Unavailable};
use crate::sessions::figures::{Estimate, StoreFigures};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::mpsc;

const SUBJECT: &str = "sessions";

/// Costs that a pass reports and that nobody here wants to know.
const REPORT_QUEUE: usize = 8;

/// What was found out about sessions.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// The stores that the daemon would count.
    pub stores: Vec<StoreConfig>,
    /// Whether they could be counted.
    pub works: bool,
    /// Share of sessions among all keys.
    pub share_of_keys: Option<f64>,
    /// What cannot be found out about single sessions.
    pub missing: BTreeSet<Missing>,
}

/// Looks for the stores where the file leaves that to us, and takes one sample of each store as the daemon would.
pub(super) async fn describe(report: &mut Report, config: &InstanceConfig, is_replica: bool) -> Counted {
    let stores = config.sessions.configured().to_vec();
    let mut counted = Counted {
        stores,
        ..Counted::default()
    };
    if !config.collectors.get(SUBJECT).copied().unwrap_or(true) {
        return counted;
    }
    if is_replica {
        report.line(
            SUBJECT,
            "not counted here, since this is a replica; the databases are for the day when it becomes the primary",
        );
        return counted;
    }
    if config.sessions.is_auto() {
        counted.stores = recognised(report, config).await;
    }
    if counted.stores.is_empty() {
        report.line(
            SUBJECT,
            "no store: sessions_active and everything about sessions is absent",
        );
        return counted;
    }
    // A sample costs little, whatever the file says about counting; stores that are smaller are counted whole.
    let sampled = counted.stores.iter().cloned().map(|store| StoreConfig {
        count: CountMode::Sample,
        ..store
    });
    let end = pass(config, sampled.collect()).await;
    match &end.outcome {
        Ok(Some(outcome)) => {
            counted.works = true;
            describe_stores(report, &counted.stores, outcome);
        }
        Ok(None) => {}
        Err(failure) => report.line(SUBJECT, &format!("cannot be counted: {}", failure.error)),
    }
    for missing in &end.missing {
        describe_missing(report, &counted.stores, missing);
    }
    counted.share_of_keys = end.share_of_keys;
    counted.missing = end.missing;
    counted
}

/// What counts the living sessions of an index.
const COUNTED: [Asked; 2] = [
    Asked::of(&["TYPE"], Fits::Anything),
    Asked {
        words: &["ZCOUNT"],
        tail: &["0", "+inf"],
        fits: Fits::TypeOrNone("zset"),
    },
];

/// Whether the indexes of stores may be asked, where there are some: without them sessions are counted one by one.
///
/// # Errors
/// When an exchange fails.
pub(super) async fn describe_indexes(
    report: &mut Report,
    config: &InstanceConfig,
    counted: &Counted,
    connection: &mut Connection,
    is_replica: bool,
) -> Result<(), RedisError> {
    let stores = counted.stores.iter().filter(|_| !is_replica);
    let subjects = stores.flat_map(|store| {
        let key = store.index_key.as_deref();
        key.into_iter().flat_map(|key| {
            store.databases.iter().map(|database| Subject {
                database: *database,
                key: key.to_owned(),
                rule: escaped(key),
            })
        })
    });
    let subjects: Vec<Subject> = subjects.collect();
    if subjects.is_empty() {
        return Ok(());
    }
    let tried = attempt(report, config, connection, &subjects, &COUNTED).await?;
    let reasons = tried.reasons().join("; ");
    if !reasons.is_empty() {
        report.line(
            SUBJECT,
            &format!("the index of sessions cannot be asked, so that they are counted one by one: {reasons}"),
        );
    }
    Ok(())
}

/// What a pass reports on its way, of which nothing is shown.
struct Unread;

impl From<ScanReport> for Unread {
    fn from(_: ScanReport) -> Self {
        Self
    }
}

impl From<SessionsEnd> for Unread {
    fn from(_: SessionsEnd) -> Self {
        Self
    }
}

/// One paced pass; without stores it looks for them.
async fn pass(config: &InstanceConfig, stores: Arc<[StoreConfig]>) -> ScanEnd {
    let (reports, mut costs) = mpsc::channel::<Unread>(REPORT_QUEUE);
    let task = ScanTask {
        config: Arc::new(config.clone()),
        looks_at_sessions: true,
        looks_at_keys: false,
        runs_scripts: false,
        is_replica: false,
        stores,
        connector: Connector::new(config),
        paced: true,
        memory: ScanMemory::default(),
        paused: None,
        pause: None,
        number: 0,
        replication_id: None,
    };
    let run = async move { scan::run(task, &reports).await };
    let drain = async { while costs.recv().await.is_some() {} };
    let (end, ()) = tokio::join!(run, drain);
    end
}

/// The stores that `sessions: auto` would count, each with the lines that fix it in the file.
async fn recognised(report: &mut Report, config: &InstanceConfig) -> Vec<StoreConfig> {
    let end = pass(config, Arc::new([])).await;
    let Some(found) = end.recognised else {
        if let Err(failure) = end.outcome {
            report.line(SUBJECT, &format!("no library can be recognised: {}", failure.error));
        }
        return Vec::new();
    };
    describe_recognition(report, &found);
    grant_recognition(report, &found);
    let database = config.address.database;
    let of_preset = |preset| StoreConfig::of_preset(preset, database);
    found.accepted.into_iter().map(of_preset).collect()
}

fn describe_recognition(report: &mut Report, found: &Recognised) {
    let names: Vec<&str> = found.accepted.iter().map(|preset| preset.name).collect();
    if names.is_empty() {
        let sentence = format!(
            "no session library is recognised by the names of a sample of {} keys",
            found.keys_observed
        );
        report.line(SUBJECT, &sentence);
    } else {
        let sentence = format!(
            "recognised by the names of a sample of {} keys: {}. To fix it in the file:",
            found.keys_observed,
            names.join(", ")
        );
        report.line(SUBJECT, &sentence);
        let mut yaml = String::from("      sessions:\n");
        for name in names {
            // Writing to a String cannot fail.
            let _ = writeln!(yaml, "        - {{ store: {name}, preset: {name} }}");
        }
        report.text.push_str(&yaml);
    }
    for (preset, sentence) in &found.unsure {
        report.line(SUBJECT, &format!("not sure about {}: {sentence}", preset.name));
    }
}

/// Notes what the user must be granted before a library whose names fit can be recognised; the sentence about it says why.
fn grant_recognition(report: &mut Report, found: &Recognised) {
    for (preset, _) in &found.unsure {
        for missing in found.missing.iter().filter(|missing| missing.concerns(preset.name)) {
            if missing.reason == Unavailable::Denied {
                grant(report, missing, preset.matches.iter().copied());
            }
        }
    }
}

/// Notes the rules for a command that is denied. Only a denial of keys asks for a rule for keys: a server refuses such a rule, and the whole
/// line with it, for a user who may read all keys.
fn grant<'globs>(report: &mut Report, missing: &Missing, globs: impl Iterator<Item = &'globs str>) {
    report.denied(missing.command);
    if missing.store.is_some() {
        globs.for_each(|glob| report.may_read(glob));
    }
}

fn describe_stores(report: &mut Report, stores: &[StoreConfig], outcome: &ScanOutcome) {
    for (index, store) in stores.iter().enumerate() {
        if let Some(figures) = outcome.stores.get(&index) {
            report.line(SUBJECT, &format!("store {}: {}", store.name, in_words(figures)));
        }
    }
}

/// `1200 sessions, 3 without TTL, 512 bytes each`.
fn in_words(figures: &StoreFigures) -> String {
    let total = figures.total();
    let mut words = vec![format!("{} sessions", number_in_words(&total))];
    if let Some(without) = figures.without_ttl.filter(|_| total.value > 0.0) {
        words.push(format!("{} without a TTL", number_in_words(&without)));
    }
    if let Some(bytes) = figures.memory_bytes.filter(|_| total.value > 0.0) {
        words.push(format!("{:.0} bytes each", bytes.value / total.value));
    }
    if let Some(clear) = &figures.unencrypted {
        words.push(format!("{} in the clear", number_in_words(clear)));
    }
    words.join(", ")
}

fn number_in_words(estimate: &Estimate) -> String {
    if estimate.is_exact() {
        format!("{:.0}", estimate.value)
    } else {
        format!(
            "about {:.0} ({:.0} to {:.0})",
            estimate.value, estimate.low, estimate.high
        )
    }
}

/// A command that is missing, and the rules that mend it: the command, and the keys that it is to be run on.
fn describe_missing(report: &mut Report, stores: &[StoreConfig], missing: &Missing) {
    let command = missing.command.replace('|', " ").to_uppercase();
    let of_store = missing.store.as_ref().map(|store| format!(" of store {store}"));
    let of_store = of_store.unwrap_or_default();
    match missing.reason {
        Unavailable::Unsupported => {
            report.line(
                SUBJECT,
                &format!("this server has no {command}; what needs it is absent"),
            );
        }
        Unavailable::Denied => {
            let concerned = stores.iter().filter(|store| missing.concerns(&store.name));
            let globs = concerned.flat_map(|store| store.matches.iter().map(String::as_str));
            grant(report, missing, globs);
            report.line(
                SUBJECT,
                &format!("the user may not run {command} on the keys{of_store}; what needs it is absent"),
            );
        }
    }
}
