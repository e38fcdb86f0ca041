//! What `check` says about keys that optional collectors look at: whether they may be read, and with which commands.

use super::attempts::{Asked, Fits, Subject, Tried, attempt};
use super::{Hindrances, Report, hindered};
use crate::collectors::grants::escaped;
use crate::config::InstanceConfig;
use crate::config::optional::KeyPattern;
use crate::keys::{self, check_keys, count_keys, single_keys};
use crate::redis::{Connection, RedisError};
use std::collections::BTreeSet;

/// What is asked about a key of a pattern. ARCOUNT is not among them: hardly a server has it, and the type that needs it.
const ASKED: [Asked; 10] = [
    Asked::of(&["MEMORY", "USAGE"], Fits::Anything),
    Asked::of(&["TYPE"], Fits::Anything),
    Asked::of(&["STRLEN"], Fits::TypeOrNone("string")),
    // A string that is no HyperLogLog is an error.
    Asked::of(&["PFCOUNT"], Fits::Type("none")),
    Asked::of(&["LLEN"], Fits::TypeOrNone("list")),
    Asked::of(&["SCARD"], Fits::TypeOrNone("set")),
    Asked::of(&["ZCARD"], Fits::TypeOrNone("zset")),
    Asked::of(&["HLEN"], Fits::TypeOrNone("hash")),
    Asked::of(&["XLEN"], Fits::TypeOrNone("stream")),
    Asked {
        words: &["GETRANGE"],
        tail: &["0", "0"],
        fits: Fits::TypeOrNone("string"),
    },
];
/// What is asked first about a key that is named in full.
const OF_NAMED: [Asked; 2] = [
    Asked::of(&["MEMORY", "USAGE"], Fits::Anything),
    Asked::of(&["TYPE"], Fits::Anything),
];

/// Tries every command on a key of each pattern, and what is asked first on each key that is named in full. Nothing is scanned.
///
/// # Errors
/// When an exchange fails.
pub(super) async fn describe(
    report: &mut Report,
    config: &InstanceConfig,
    connection: &mut Connection,
    is_replica: bool,
    hindrances: &Hindrances,
) -> Result<(), RedisError> {
    let running = keys::collectors(config);
    let leaves_alone = config.optional.compatibility.keys_at_replicas_only;
    if leaves_alone && !is_replica && config.scan_from.is_empty() {
        for collector in running {
            report.line(collector, "does nothing here: keys of a primary are left alone");
        }
        return Ok(());
    }
    let keys = &config.optional.keys;
    let of_patterns = |patterns: &[KeyPattern]| patterns.iter().flat_map(|pattern| pattern.databases.clone()).collect();
    let counted = (of_patterns(&keys.counted), true);
    // A pattern without a special character is the name of one key, which takes no SCAN.
    let is_glob = |pattern: &KeyPattern| pattern.glob.contains(['*', '?', '[', '\\']);
    let checked = (of_patterns(&keys.patterns), keys.patterns.iter().any(is_glob));
    let single = (keys.single.iter().filter_map(|key| key.database).collect(), false);
    let mut runs = |collector: &'static str, (databases, by_scan): &(BTreeSet<u32>, bool)| {
        let hindrance = hindered(hindrances, databases, *by_scan).filter(|_| running.contains(collector));
        match &hindrance {
            Some((true, reason)) => report.line(collector, &format!("cannot run: {reason}")),
            Some((false, reason)) => report.line(collector, &format!("not everywhere: {reason}")),
            None => {}
        }
        running.contains(collector) && !matches!(hindrance, Some((true, _)))
    };
    let counts = runs(count_keys::COLLECTOR, &counted);
    let checks = runs(check_keys::COLLECTOR, &checked);
    let checks_single = runs(single_keys::COLLECTOR, &single);
    if counts {
        let patterns = keys.counted.len();
        report.line(
            count_keys::COLLECTOR,
            &format!("{patterns} patterns, counted with SCAN alone"),
        );
    }
    if checks {
        let subjects = keys.patterns.iter().flat_map(|pattern| {
            // The text of a pattern is the name of a key that matches it, and of none that is there.
            let databases = pattern.databases.iter();
            databases.map(|database| Subject {
                database: *database,
                key: pattern.glob.clone(),
                rule: pattern.glob.clone(),
            })
        });
        let subjects: Vec<Subject> = subjects.collect();
        let tried = attempt(report, config, connection, &subjects, &ASKED).await?;
        tell(report, check_keys::COLLECTOR, "patterns", keys.patterns.len(), &tried);
        let warning = "the names of the keys that it finds become label values, which may be session ids";
        report.line(check_keys::COLLECTOR, warning);
    }
    if checks_single {
        let subjects = keys.single.iter().filter_map(|key| {
            Some(Subject {
                database: key.database?,
                key: key.key.clone(),
                rule: escaped(&key.key),
            })
        });
        let subjects: Vec<Subject> = subjects.collect();
        // Whatever else is asked depends on the type.
        let tried = attempt(report, config, connection, &subjects, &OF_NAMED).await?;
        tell(report, single_keys::COLLECTOR, "keys", keys.single.len(), &tried);
        let exported = keys.single.iter().filter(|key| key.export_value).count();
        if exported > 0 {
            let sentence = format!("the values of {exported} keys are shown to everybody who may read /metrics");
            report.line(single_keys::COLLECTOR, &sentence);
        }
    }
    Ok(())
}

fn tell(report: &mut Report, collector: &'static str, what: &str, count: usize, tried: &Tried) {
    let problems = tried.reasons();
    let verdict = if problems.is_empty() {
        "ok".to_owned()
    } else {
        format!("{}; what needs it is absent", problems.join(", "))
    };
    report.line(collector, &format!("{count} {what}: {verdict}{}", tried.remark()));
}
