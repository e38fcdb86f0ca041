//! `promtool check metrics` on what is served: clean, but for a written list of names that compatibility forces.

use crate::exceptions::{self, Exception};
use crate::scenes;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::program;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Marks a line that only servers newer than the distribution's need.
const NEWER: &str = "(newer) ";

/// Complaints of promtool about a text, one per line. It fails by itself when the text cannot be parsed.
fn complaints(text: &str) -> BTreeSet<(String, String)> {
    let mut child = Command::new(program("TEST_PROMTOOL", "promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by tests/servers/install.sh");
    // It reads everything before it writes, so this cannot block both.
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("error while linting"), "{said}");
    // 3 is its code for complaints, 0 that for none.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    said.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, what)| (name.to_owned(), what.to_owned()))
        .collect()
}

/// Whether a line of the list is this complaint.
fn speaks_of(exception: &Exception, name: &str, what: &str) -> bool {
    exception.is_about(name) && exception.what.strip_prefix(NEWER).unwrap_or(&exception.what) == what
}

#[test]
fn complaints_are_those_that_compatibility_forces() {
    let list = exceptions::read("promtool_exceptions.txt");
    let mut all = BTreeSet::new();
    for scene in scenes::all() {
        let store = "sessions:\n  - { store: web, match: [\"sess:*\"], capacity: 5, expected_ttl: 1h }\nscan: { redis_share: 0 }";
        let store = if scene.role == "replica" { "" } else { store };
        let exporter = Exporter::start(&config::fast(&[("redis", &scene.server.address(), store)]));
        let scrape = exporter.wait_for("everything was polled once", Duration::from_secs(15), |scrape| {
            scrape.has("redis_uptime_in_seconds", &[])
                && scrape.has("redis_connect_success", &[])
                && (store.is_empty() || scrape.has("sessions_active", &[]))
        });
        all.extend(complaints(&scrape.text));
    }
    let unwritten: Vec<_> = all
        .iter()
        .filter(|(name, what)| !list.iter().any(|exception| speaks_of(exception, name, what)))
        .collect();
    assert!(
        unwritten.is_empty(),
        "complaints that the list does not hold: {unwritten:#?}"
    );
    println!("promtool: {} complaints, all in the list of {}", all.len(), list.len());
    // The list was written for the distribution's server; others have fewer or more of these metrics.
    if std::env::var_os("TEST_REDIS_SERVER").is_none() {
        let unneeded: Vec<_> = list
            .iter()
            .filter(|exception| {
                !exception.what.starts_with(NEWER) && !all.iter().any(|(name, what)| speaks_of(exception, name, what))
            })
            .collect();
        assert!(unneeded.is_empty(), "lines that are not needed any more: {unneeded:#?}");
    }
}
