//! Files that cannot be opened: what a dead network share does, made with a lease (fcntl(2), F_SETLEASE). Whoever opens a leased file
//! blocks until its holder lets go; the kernel takes the lease away after 45 s, and no test needs as long.

use crate::bench::{BACK_BOUND, DOWN_BOUND, HEALTHY};
use crate::support::config;
use crate::support::exporter::{Exporter, is_up};
use crate::support::process::Process;
use crate::support::redis_server::RedisServer;
use crate::support::{SLACK, wait_until};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Takes the lease, says so, and keeps it. The kernel's wish to have it back comes as SIGIO.
const HOLDER: &str = "
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
while True: signal.pause()
";

/// The contract: the process ends within this after SIGTERM.
const END_BOUND: Duration = Duration::from_secs(5);

/// When a reload that hangs has failed: 8 s.
const RELOAD_BOUND: Duration = Duration::from_secs(8).saturating_add(SLACK);

const RELOAD_SUCCESSFUL: &str = "redis_session_exporter_config_last_reload_successful";

/// A file that nobody else can open until this is dropped.
struct DeadFile {
    _holder: Process,
    _folder: tempfile::TempDir,
}

impl DeadFile {
    fn hold(file: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("python3");
        command.arg("-c").arg(HOLDER).arg(file);
        let holder = Process::spawn(command, folder.path());
        let held = wait_until(Duration::from_secs(20), || {
            holder.output().contains("held").then_some(())
        });
        assert!(held.is_some(), "no lease: {}", holder.output());
        Self {
            _holder: holder,
            _folder: folder,
        }
    }
}

/// Threads of the exporter that carry this name.
fn threads(exporter: &Exporter, name: &str) -> usize {
    let folder = format!("/proc/{}/task", exporter.process.id());
    let names = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

/// Instances on a dead share take one thread each and nothing from the others, whose names must still be resolved.
#[test]
fn dead_password_files_leave_the_others_alone() {
    const DEAD: usize = 20;
    let locked = RedisServer::start_with(&["--requirepass", "secret"]);
    let healthy = RedisServer::start();
    let file = locked.path("password");
    std::fs::write(&file, "secret\n").unwrap();
    let names: Vec<String> = (0..DEAD).map(|number| format!("dead-{number}")).collect();
    let (address, further) = (locked.address(), format!("password_file: {}", file.display()));
    let by_name = format!("redis://localhost:{}", healthy.port);
    let mut instances = vec![(HEALTHY, by_name.as_str(), "")];
    instances.extend(
        names
            .iter()
            .map(|name| (name.as_str(), address.as_str(), further.as_str())),
    );
    let exporter = Exporter::start(&config::fast(&instances));
    let every: Vec<&str> = instances.iter().map(|(name, _, _)| *name).collect();
    exporter.wait_until_up(&every);

    let held = DeadFile::hold(&file);
    let disconnect = |server: &RedisServer| {
        server
            .client()
            .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
    };
    disconnect(&locked);
    let states = |scrape: &crate::support::scrape::Scrape| {
        let timed_out = |name: &&String| scrape.state(name).as_deref() == Some("timeout");
        names.iter().filter(timed_out).count()
    };
    // They take turns at their deadlines: the more of them, the slower this machine of few cores gets through all.
    exporter.wait_for("all dead ones time out", DOWN_BOUND + SLACK, |scrape| {
        states(scrape) == DEAD
    });
    for round in 0..3 {
        let connects = |scrape: &crate::support::scrape::Scrape| {
            let labels = [("instance", HEALTHY)];
            let value = |name| scrape.value(name, &labels).unwrap();
            (value("redis_connects_total"), value("redis_connect_failures_total"))
        };
        let (before, failures) = connects(&exporter.scrape());
        disconnect(&healthy);
        let scrape = exporter.wait_for("the healthy one connects by its name", BACK_BOUND, |scrape| {
            is_up(scrape, HEALTHY) && connects(scrape).0 >= before + 2.0
        });
        assert_eq!(connects(&scrape).1, failures, "round {round}");
        assert_eq!(states(&scrape), DEAD);
    }
    let workers = threads(&exporter, "tokio-rt-worker");
    assert!(workers <= DEAD + 8, "{workers} threads for {DEAD} dead files");
    drop(held);
    exporter.wait_until_up(&every);
}

#[test]
fn a_reload_that_hangs_fails_and_holds_nothing_up() {
    let server = RedisServer::start_with(&["--requirepass", "secret"]);
    let file = server.path("password");
    std::fs::write(&file, "secret\n").unwrap();
    let mut config = config::fast(&[(
        HEALTHY,
        &server.address(),
        &format!("password_file: {}", file.display()),
    )]);
    let exporter = Exporter::start_with(&config, &["--web.enable-lifecycle"]);
    exporter.wait_until_up(&[HEALTHY]);

    let held = DeadFile::hold(&file);
    let _ = writeln!(config, "    labels: {{ team: auth }}");
    exporter.reload(&config);
    exporter.wait_for("the reload fails", RELOAD_BOUND, |scrape| {
        scrape.value(RELOAD_SUCCESSFUL, &[]) == Some(0.0)
    });
    assert!(exporter.log().contains("took longer than 8s"), "{}", exporter.log());
    let answer = exporter.request("POST", "/-/reload", &[]);
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("still hangs"), "{}", answer.text());
    assert_eq!(threads(&exporter, "reload"), 1);

    drop(held);
    let reloaded = wait_until(Duration::from_secs(5) + SLACK, || {
        (exporter.request("POST", "/-/reload", &[]).status == 200).then_some(())
    });
    assert!(reloaded.is_some(), "{}", exporter.log());
    exporter.wait_for("the new label", BACK_BOUND, |scrape| {
        scrape.has("redis_up", &[("team", "auth")]) && scrape.value(RELOAD_SUCCESSFUL, &[]) == Some(1.0)
    });
}

#[test]
fn sigterm_ends_a_process_whose_reload_hangs() {
    let server = RedisServer::start_with(&["--requirepass", "secret"]);
    let file = server.path("password");
    std::fs::write(&file, "secret\n").unwrap();
    let config = config::fast(&[(
        HEALTHY,
        &server.address(),
        &format!("password_file: {}", file.display()),
    )]);
    let mut exporter = Exporter::start(&config);
    exporter.wait_until_up(&[HEALTHY]);
    let _held = DeadFile::hold(&file);
    exporter.process.signal("HUP");
    let hangs = wait_until(Duration::from_secs(5) + SLACK, || {
        (threads(&exporter, "reload") == 1).then_some(())
    });
    assert!(hangs.is_some(), "{}", exporter.log());
    assert_eq!(exporter.get("/-/healthy").status, 200);
    exporter.process.signal("TERM");
    let ended = exporter.process.wait(END_BOUND).expect("it does not end");
    assert_eq!(ended.code(), Some(0));
}
