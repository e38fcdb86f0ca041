//! The shipped rules under promtool, old and new: they load, and every test of `alerts/tests/` passes.

use crate::support::program;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that Prometheus or promtool reads in a folder of this repository, in the order of their names.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no rules", folder.display());
    files
}

/// What a tool says on both outputs, and whether it is content.
pub fn run(tool: &Path, arguments: &[&str], files: &[PathBuf]) -> (bool, String) {
    let output = Command::new(tool)
        .args(arguments)
        .args(files)
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{} cannot be started: {error}; tests/servers/install.sh installs it",
                tool.display()
            )
        });
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

/// That of the distribution, the oldest that the rules promise to work with, and that of the current long-term release.
fn promtools() -> [PathBuf; 2] {
    let servers = std::env::var_os("REDIS_SESSION_EXPORTER_SERVERS").unwrap_or_else(|| ".servers".into());
    let newer = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(servers)
        .join("bin/promtool-3.5");
    [program("TEST_PROMTOOL", "promtool"), newer]
}

fn is_accepted_by_both(arguments: &[&str], files: &[PathBuf]) {
    // At the same time, since the tests of what happens in hours take their time.
    std::thread::scope(|scope| {
        for promtool in promtools() {
            scope.spawn(move || {
                let (content, said) = run(&promtool, arguments, files);
                assert!(content, "{} {arguments:?}: {said}", promtool.display());
            });
        }
    });
}

#[test]
fn promtool_accepts_the_shipped_rules() {
    is_accepted_by_both(
        &["check", "rules", "--lint=all", "--lint-fatal"],
        &files("alerts/rules"),
    );
}

#[test]
fn promtool_passes_the_shipped_tests() {
    is_accepted_by_both(&["test", "rules"], &files("alerts/tests"));
}
