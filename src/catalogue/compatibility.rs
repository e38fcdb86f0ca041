//! The compatibility table, `docs/compatibility.md`: every metric of redis_exporter, who emits it here, and the proof.
//!
//! Two files of `tests/fixtures/compat` are its source. `redis_exporter_metrics.tsv` lists the metrics with type and labels;
//! `evidence.tsv` has one line for each: how it is proved, and where.
//!
//! | kind | where | held by |
//! |---|---|---|
//! | `server` | `tests/servers/FILE.rs`, or `FILE.rs:PART` | that test calls `assert_emits_listed` with a scrape; it reads the lines that name it and fails when one of their metrics is missing, or has another type or other labels |
//! | `unit` | `src/….rs`, or `….rs:PART` | the same for a unit test that makes samples of replies, with the function of this module |
//! | `fixture` | a file or folder below `tests/fixtures` | the test below replays it through all collectors |
//! | `none` | the reason in words | nothing; the metric cannot be tested here |

use super::tests::{assert_current, project};
use super::{Group, groups, poller_group, process_group};
use crate::collectors::peer_tests::emitted_by_fixture;
use crate::metric::{Descriptor, Samples};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// One metric of redis_exporter.
struct Row {
    name: String,
    kind: String,
    /// Separated by commas; those in brackets may be missing.
    labels: String,
    /// `default`, `optional` or `later`.
    status: String,
    note: String,
}

/// How a metric is proved.
struct Evidence {
    kind: String,
    place: String,
}

fn lines(path: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(project(path)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

fn rows() -> Vec<Row> {
    let rows = lines("tests/fixtures/compat/redis_exporter_metrics.tsv").into_iter();
    rows.map(|fields| {
        let [name, kind, labels, status, note] = fields
            .try_into()
            .unwrap_or_else(|fields| panic!("five fields: {fields:?}"));
        Row {
            name,
            kind,
            labels,
            status,
            note,
        }
    })
    .collect()
}

/// The evidence by metric. Two lines for one metric are an error.
fn evidence() -> BTreeMap<String, Evidence> {
    let mut evidence = BTreeMap::new();
    for fields in lines("tests/fixtures/compat/evidence.tsv") {
        let [name, kind, place]: [String; 3] = fields
            .try_into()
            .unwrap_or_else(|fields| panic!("three fields: {fields:?}"));
        assert!(!place.is_empty(), "{name}: neither a place nor a reason");
        let before = evidence.insert(name.clone(), Evidence { kind, place });
        assert!(before.is_none(), "{name} has two lines");
    }
    evidence
}

/// Who announces a metric, and whether without being asked.
struct Announced {
    descriptor: &'static Descriptor,
    collector: &'static str,
    /// `None` for what is no collector's.
    default_on: Option<bool>,
}

fn announced() -> BTreeMap<&'static str, Announced> {
    let extra = [poller_group(), process_group()];
    let mut announced = BTreeMap::new();
    for (Group { name, descriptors, .. }, collector) in groups(&extra) {
        // Groups are named by literals; the type only cannot say so.
        let collector_name = ["exporter", "process"].into_iter().find(|known| *known == name);
        let known = crate::collectors::ALL
            .iter()
            .map(|spec| spec.name)
            .find(|known| *known == name);
        for descriptor in descriptors {
            let one = Announced {
                descriptor,
                collector: known.or(collector_name).unwrap(),
                default_on: collector.map(|(default_on, _)| default_on),
            };
            announced.insert(descriptor.name, one);
        }
    }
    announced
}

/// Fails unless these samples hold every metric whose evidence is this place: `file!()`, or that with `:PART`.
pub(crate) fn assert_emits_listed(place: &str, samples: &Samples) {
    let emitted: BTreeSet<&str> = samples.families().iter().map(|family| family.descriptor.name).collect();
    let listed: Vec<String> = evidence()
        .into_iter()
        .filter(|(_, evidence)| evidence.kind == "unit" && evidence.place == place)
        .map(|(name, _)| name)
        .collect();
    assert!(!listed.is_empty(), "no line of evidence.tsv names {place}");
    let missing: Vec<&String> = listed.iter().filter(|name| !emitted.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{place} does not emit {missing:?}");
}

#[test]
fn names_types_and_labels_are_those_of_redis_exporter() {
    let announced = announced();
    let (mut problems, mut compared) = (Vec::new(), 0);
    for Row {
        name,
        kind,
        labels,
        status,
        note,
    } in rows()
    {
        if !["default", "optional", "later"].contains(&status.as_str()) || note.is_empty() {
            problems.push(format!("{name}: unknown status {status}, or no note"));
        }
        let Some(ours) = announced.get(name.as_str()) else {
            if status == "default" {
                problems.push(format!("{name} is missing"));
            }
            continue;
        };
        let descriptor = ours.descriptor;
        let our_labels = descriptor.labels.join(",");
        if descriptor.kind.as_str() != kind || our_labels != labels.replace(['[', ']'], "") {
            problems.push(format!(
                "{name} is {kind} {{{labels}}}, not {} {{{our_labels}}}",
                descriptor.kind.as_str()
            ));
        }
        if status == "default" && ours.default_on == Some(false) {
            problems.push(format!(
                "{name} is on by default there, and {} is not here",
                ours.collector
            ));
        }
        compared += 1;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(compared > 250, "only {compared} rows were compared");
}

#[test]
fn every_line_of_evidence_holds() {
    let (evidence, announced) = (evidence(), announced());
    let names: BTreeSet<String> = rows().into_iter().map(|row| row.name).collect();
    let mut fixtures: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut problems = Vec::new();
    let main = std::fs::read_to_string(project("tests/servers/main.rs")).unwrap();
    for (name, Evidence { kind, place }) in &evidence {
        if !names.contains(name) {
            problems.push(format!("{name} is not in the list"));
        }
        if kind != "none" && !announced.contains_key(name.as_str()) {
            problems.push(format!("{name} has evidence and is not announced"));
        }
        match kind.as_str() {
            "none" => {}
            "fixture" => {
                let emitted = fixtures.entry(place).or_insert_with(|| emitted_by_fixture(place));
                if !emitted.contains(name.as_str()) {
                    problems.push(format!("{place} does not emit {name}"));
                }
            }
            "server" | "unit" => {
                let (file, part) = place
                    .split_once(':')
                    .map_or((place.as_str(), None), |(file, part)| (file, Some(part)));
                let text = std::fs::read_to_string(project(file)).unwrap_or_default();
                let called = match part {
                    None => text.contains("assert_emits_listed(file!(),"),
                    Some(part) => text.contains(&format!("assert_emits_listed(concat!(file!(), \":{part}\"),")),
                };
                let module = file
                    .strip_prefix("tests/servers/")
                    .and_then(|file| file.strip_suffix(".rs"));
                let is_run = match module {
                    Some(module) => kind == "server" && main.contains(&format!("\nmod {module};")),
                    None => kind == "unit" && file.starts_with("src/"),
                };
                if !called || !is_run {
                    problems.push(format!(
                        "{name}: {place} is no test of this kind that calls assert_emits_listed for it"
                    ));
                }
            }
            other => problems.push(format!("{name}: unknown kind of evidence {other}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_metric_has_a_line_of_evidence() {
    let evidence = evidence();
    let without: Vec<String> = rows()
        .into_iter()
        .map(|row| row.name)
        .filter(|name| !evidence.contains_key(name))
        .collect();
    assert!(
        without.is_empty(),
        "add lines to tests/fixtures/compat/evidence.tsv for {without:#?}"
    );
}

#[test]
fn the_table_is_current() {
    assert_current("docs/compatibility.md", &table());
}

/// Text of `docs/compatibility.md`.
fn table() -> String {
    let (rows, evidence, announced) = (rows(), evidence(), announced());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut body = String::new();
    for row in &rows {
        let found = evidence.get(&row.name);
        let kind = found.map_or("missing", |it| it.kind.as_str());
        *counts.entry(kind).or_default() += 1;
        let proof = match found {
            None => "**no evidence yet**".to_owned(),
            Some(it) if it.kind == "none" => format!("not testable here: {}", it.place),
            Some(it) if it.kind == "fixture" => format!("replies of `tests/fixtures/{}`", it.place),
            Some(it) if it.kind == "unit" => format!("replies of the unit test `{}`", it.place),
            Some(it) => format!("a server, `{}`", it.place),
        };
        let (collector, switch) = match announced.get(row.name.as_str()) {
            None => ("", "not here"),
            Some(ours) => match ours.default_on {
                None => (ours.collector, "always"),
                Some(true) => (ours.collector, "on"),
                Some(false) => (ours.collector, "off"),
            },
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            body,
            "| `{}` | {} | {} | {collector} | {switch} | {proof} |",
            row.name.replace('|', "\\|"),
            row.kind,
            row.labels.replace('|', "\\|"),
        );
    }
    let count = |kind: &str| counts.get(kind).copied().unwrap_or_default();
    let mut page = format!(
        "# Compatibility with redis_exporter, metric by metric\n\n\
         <!-- Generated from tests/fixtures/compat by `UPDATE=1 cargo test --lib catalogue`; a test fails when it is not current. -->\n\n\
         Every metric that redis_exporter up to 1.90 can emit, and those seen in later changes of it, with name, type and labels as there; \
         labels in brackets may be missing. Each has the collector that emits it here, what it does without being configured (`on`, `off`, or \
         `always` for what belongs to no collector; an `off` one is switched on by its name under `collectors` or by its own section, see \
         [configuration.md](configuration.md)), and the proof.\n\n\
         | proof | metrics |\n|---|---|\n\
         | seen on a running server by the test that is named | {} |\n\
         | made of replies, of the fixture or the unit test that is named | {} |\n\
         | not testable here | {} |\n\
         | none yet | {} |\n\
         | all | {} |\n\n\
         Proof is not taken on trust: a test on a server fails when a metric that names it is missing, and the replies of a fixture are \
         played to the collectors again by the test that generates this page. Fixtures are what servers wrote, but for those called \
         `synthetic` and `every-field`, which hold fields of servers that no package here has (tests/fixtures/README.md). Where values differ says [migration.md](migration.md).\n\n\
         Of one change upstream (its number 1176: slow log figures per command, stream deduplication and the like of Redis 8.8) no names \
         are known to us, so that none are here.\n\n\
         | metric | type | labels | collector | by default | proof |\n|---|---|---|---|---|---|\n",
        count("server"),
        count("fixture") + count("unit"),
        count("none"),
        count("missing"),
        rows.len(),
    );
    page.push_str(&body);
    page
}
