//! The shipped rules under promtool: they load, and every test of `alerts/tests/` passes.

use crate::support::program;
use std::path::{Path, PathBuf};
use std::process::Command;

fn files(folder: &str) -> Vec<PathBuf> {
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

fn promtool(arguments: &[&str], files: &[PathBuf]) {
    let output = Command::new(program("TEST_PROMTOOL", "promtool"))
        .args(arguments)
        .args(files)
        .output()
        .expect("promtool is installed by tests/servers/install.sh");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn promtool_accepts_the_shipped_rules() {
    promtool(
        &["check", "rules", "--lint=all", "--lint-fatal"],
        &files("alerts/rules"),
    );
}

#[test]
fn promtool_passes_the_shipped_tests() {
    promtool(&["test", "rules"], &files("alerts/tests"));
}
