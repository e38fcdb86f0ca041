//! The file of `--web.config.file`: every file of a corpus is read by us and by `promtool check web-config`, and both say the same, but
//! for a written list.

use crate::exceptions::{self, Exception};
use crate::support::certificates::{Authority, Leaf, broken_bundle, bundle_of_ten};
use crate::support::program;
use redis_session_exporter::config::web;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Every secret of the corpus contains this word and nothing else does.
const SECRET_WORD: &str = "hunter2";

/// Verdicts that differ: the file, `accepts` or `refuses` (what promtool does) with the versions where only some do, the reason.
const LIST: &str = "web_config_exceptions.txt";

/// The corpus in a folder of its own, beside the certificates that it names.
struct Corpus {
    folder: tempfile::TempDir,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/web_config")
}

/// The files of a folder of fixtures, by name.
fn files(kind: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(fixtures().join(kind))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    files
}

impl Corpus {
    fn new() -> Self {
        let corpus = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        corpus.write_certificates();
        for kind in ["good", "bad"] {
            std::fs::create_dir(corpus.folder.path().join(kind)).unwrap();
            for file in files(kind) {
                let text = corpus.filled(&std::fs::read_to_string(&file).unwrap());
                std::fs::write(corpus.folder.path().join(kind).join(file.file_name().unwrap()), text).unwrap();
            }
        }
        corpus
    }

    fn certificates(&self) -> PathBuf {
        self.folder.path().join("certificates")
    }

    fn write_certificates(&self) {
        let folder = self.certificates();
        std::fs::create_dir(&folder).unwrap();
        let authority = Authority::new("authority");
        authority.write(&folder, "ca");
        authority.issue(&Leaf::server()).write(&folder, "server");
        authority.issue(&Leaf::server()).write(&folder, "other");
        authority.issue(&Leaf::server().days(-30, -1)).write(&folder, "expired");
        authority.issue_rsa(&Leaf::server(), 2048).write(&folder, "rsa");
        authority.issue_rsa(&Leaf::server(), 1024).write(&folder, "weak");
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("ten.crt", &bundle_of_ten(&authority));
        write("broken_ten.crt", &broken_bundle(&authority));
        write("empty.pem", "");
        write(
            "damaged.crt",
            "-----BEGIN CERTIFICATE-----\n!hunter2!\n-----END CERTIFICATE-----\n",
        );
        write(
            "not_x509.crt",
            "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n",
        );
        self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -subj /CN=p521 -keyout p521.key -out p521.crt");
        self.openssl("genpkey -algorithm ed25519 -aes256 -pass pass:hunter2 -out encrypted.key");
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.certificates())
            .stdin(Stdio::null())
            .output()
            .expect("openssl is installed by tests/servers/install.sh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A text with every line `<<NAME>>` replaced by that file, indented like the line.
    fn filled(&self, text: &str) -> String {
        let line = |line: &str| {
            let written = line.trim_start();
            let name = written.strip_prefix("<<").and_then(|rest| rest.strip_suffix(">>"));
            let Some(name) = name else {
                return format!("{line}\n");
            };
            let indent = &line[..line.len() - written.len()];
            let pem = std::fs::read_to_string(self.certificates().join(name)).unwrap();
            pem.lines().map(|line| format!("{indent}{line}\n")).collect()
        };
        text.lines().map(line).collect()
    }

    /// A file of the corpus as it was filled in.
    fn path(&self, kind: &str, file: &Path) -> PathBuf {
        self.folder.path().join(kind).join(file.file_name().unwrap())
    }
}

/// What is said about a file, with the name of the file alone where its path stands.
fn messages(lines: &[String], path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy();
    let lines = lines
        .iter()
        .map(|line| format!("{}\n", line.replace(&*path.to_string_lossy(), &name)));
    lines.collect()
}

/// Compares with what stands beside the fixture; with `BLESS=1` in the environment that is written instead, to be read by whoever
/// commits it.
fn compare(fixture: &Path, got: &str) {
    let beside = fixture.with_extension("txt");
    if std::env::var_os("BLESS").is_some() {
        match got {
            "" => drop(std::fs::remove_file(&beside)),
            got => std::fs::write(&beside, got).unwrap(),
        }
    }
    let expected = std::fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(got, expected, "{}", fixture.display());
    assert!(
        !got.to_lowercase().contains(SECRET_WORD),
        "{}: {got}",
        fixture.display()
    );
}

#[test]
fn every_file_has_exactly_its_messages() {
    let corpus = Corpus::new();
    let (good, bad) = (files("good"), files("bad"));
    assert!(good.len() >= 45 && bad.len() >= 75, "{} and {}", good.len(), bad.len());
    for fixture in good {
        let path = corpus.path("good", &fixture);
        let config = web::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        compare(&fixture, &messages(&config.warnings, &path));
        let shown = format!("{config:?}");
        assert!(!shown.contains("PRIVATE KEY") && !shown.contains("$2"), "{shown}");
    }
    for fixture in bad {
        let path = corpus.path("bad", &fixture);
        let errors = web::load(&path).expect_err(&fixture.display().to_string());
        assert!(
            errors.problems.iter().all(|problem| problem.place.is_some()),
            "{errors}"
        );
        compare(&fixture, &messages(&errors.lines(), &path));
    }
}

/// The first two numbers of the version of a promtool: `2.42`.
fn version(promtool: &Path) -> String {
    let output = Command::new(promtool).arg("--version").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let version = said.split("version ").nth(1).expect("a version").to_owned();
    version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

/// Whether promtool accepts a file.
fn accepts(promtool: &Path, file: &Path) -> bool {
    let output = Command::new(promtool)
        .args(["check", "web-config"])
        .arg(file)
        .output()
        .expect("promtool is installed by tests/servers/install.sh");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.contains("SUCCESS"), output.status.success(), "{said}");
    // A flag or a command that it does not know would look like a refusal.
    assert!(said.contains("SUCCESS") || said.contains("FAILED"), "{said}");
    output.status.success()
}

/// Whether a line of the list speaks of this version: `accepts` of all, `accepts(2.42)` of one.
fn holds_for(exception: &Exception, version: &str) -> bool {
    match exception.what.split_once('(') {
        Some((_, versions)) => versions.trim_end_matches(')').split(',').any(|one| one == version),
        None => true,
    }
}

#[test]
fn promtool_says_the_same_but_for_a_written_list() {
    let promtool = program("TEST_PROMTOOL", "promtool");
    let version = version(&promtool);
    let corpus = Corpus::new();
    let list: BTreeSet<Exception> = exceptions::read(LIST)
        .into_iter()
        .filter(|line| holds_for(line, &version))
        .collect();
    let mut differing = BTreeSet::new();
    let mut compared = 0;
    for kind in ["good", "bad"] {
        for fixture in files(kind) {
            let theirs = accepts(&promtool, &corpus.path(kind, &fixture));
            compared += 1;
            if theirs != (kind == "good") {
                let name = format!("{kind}/{}", fixture.file_stem().unwrap().to_string_lossy());
                differing.insert((name, if theirs { "accepts" } else { "refuses" }));
            }
        }
    }
    let is_written = |(name, verdict): &(String, &str)| {
        list.iter()
            .any(|line| line.name == *name && line.what.starts_with(verdict))
    };
    let unwritten: Vec<_> = differing.iter().filter(|one| !is_written(one)).collect();
    assert!(
        unwritten.is_empty(),
        "promtool {version} says otherwise, and the list does not: {unwritten:#?}"
    );
    let is_needed = |line: &&Exception| {
        differing
            .iter()
            .any(|(name, verdict)| line.name == *name && line.what.starts_with(verdict))
    };
    let unneeded: Vec<_> = list.iter().filter(|line| !is_needed(line)).collect();
    assert!(
        unneeded.is_empty(),
        "lines that promtool {version} does not need: {unneeded:#?}"
    );
    println!(
        "promtool {version}: {compared} files, {} verdicts differ, all in the list",
        differing.len()
    );
}
