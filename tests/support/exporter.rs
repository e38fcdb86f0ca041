//! The binary under test as a child process, and its commands that end by themselves.

use super::http::{self, Response};
use super::process::Process;
use super::scrape::Scrape;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The binary that cargo built for these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_redis-session-exporter");

/// Longest time until a fresh daemon answers.
const START_BOUND: Duration = Duration::from_secs(20);

/// How often another port is tried.
const START_ATTEMPTS: usize = 3;

/// Longest time that a command which ends by itself may take.
const COMMAND_BOUND: Duration = Duration::from_secs(30);

/// Lines of the log that a failed wait shows.
const SHOWN_LOG_LINES: usize = 30;

/// A running daemon with a configuration file of its own, gone when dropped.
#[derive(Debug)]
pub struct Exporter {
    /// Port of its HTTP server on 127.0.0.1.
    pub port: u16,
    /// The process.
    pub process: Process,
    folder: tempfile::TempDir,
    /// Path of the metrics that tests look at.
    metrics: &'static str,
}

impl Exporter {
    /// Looks at the instances also where `/metrics` shows the exporter alone (an empty `--redis.addr=`).
    pub fn with_instances(mut self) -> Self {
        self.metrics = "/metrics?exclude[]=exporter";
        self
    }

    /// Starts the daemon with this configuration.
    pub fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    /// Starts the daemon with this configuration and further flags.
    pub fn start_with(config: &str, flags: &[&str]) -> Self {
        Self::start_in(config, flags, &[])
    }

    /// Starts the daemon with this configuration, further flags and variables.
    pub fn start_in(config: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_as(config, |command, folder| {
            let file = folder.join("exporter.yaml");
            std::fs::write(&file, config).unwrap();
            command.arg("--config.file").arg(&file).args(flags);
            command.envs(variables.iter().copied());
        })
    }

    /// Starts the daemon with flags and variables alone, as a container does.
    pub fn start_bare(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_as(&format!("{arguments:?}"), |command, _| {
            command.args(arguments).envs(variables.iter().copied());
        })
    }

    /// Starts the daemon as `prepare` says, in a folder and on a port of its own; another port is tried when that one is taken meanwhile.
    fn start_as(what: &str, prepare: impl Fn(&mut Command, &Path)) -> Self {
        let mut output = String::new();
        for _ in 0..START_ATTEMPTS {
            let folder = tempfile::tempdir().unwrap();
            let port = super::free_port();
            let mut command = command(folder.path());
            prepare(&mut command, folder.path());
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            let mut process = Process::spawn(command, folder.path());
            let ready = super::wait_until(START_BOUND, || match process.try_wait() {
                Some(_) => Some(false),
                None => http::request(port, "GET", "/-/healthy", &[]).ok().map(|_| true),
            });
            if ready == Some(true) {
                return Self {
                    port,
                    process,
                    folder,
                    metrics: "/metrics",
                };
            }
            output = process.output();
        }
        panic!("the exporter does not start: {output}\n{what}");
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[])
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        http::request(self.port, method, path, headers)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.process.output()))
    }

    /// One scrape of `/metrics` in text 0.0.4.
    pub fn scrape(&self) -> Scrape {
        let response = self.get(self.metrics);
        assert_eq!(response.status, 200, "{}", response.text());
        Scrape::parse(&response.text())
    }

    /// Scrapes until `condition` holds, and returns that scrape; fails after `bound`.
    pub fn wait_for(&self, what: &str, bound: Duration, mut condition: impl FnMut(&Scrape) -> bool) -> Scrape {
        let mut last = Scrape::default();
        let found = super::wait_until(bound, || {
            last = self.scrape();
            condition(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| {
            panic!(
                "not within {bound:?}: {what}\n{}\n{}",
                last.about(""),
                self.last_log_lines()
            )
        })
    }

    /// Like `wait_for`; a failure shows the lines about one instance.
    pub fn wait_for_instance(
        &self,
        instance: &str,
        what: &str,
        bound: Duration,
        mut condition: impl FnMut(&Scrape) -> bool,
    ) -> Scrape {
        let mut last = Scrape::default();
        let found = super::wait_until(bound, || {
            last = self.scrape();
            condition(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| {
            panic!(
                "not within {bound:?}: {instance}: {what}\n{}\n{}",
                last.about(instance),
                self.last_log_lines()
            )
        })
    }

    /// Waits until these instances answer PING and INFO.
    pub fn wait_until_up(&self, instances: &[&str]) -> Scrape {
        self.wait_for(
            &format!("{instances:?} are up"),
            Duration::from_secs(10) + super::SLACK,
            |scrape| instances.iter().all(|name| is_up(scrape, name)),
        )
    }

    /// Replaces the configuration file.
    pub fn rewrite(&self, config: &str) {
        // A rename, so that the daemon never reads half a file.
        let new = self.folder.path().join("exporter.yaml.new");
        std::fs::write(&new, config).unwrap();
        std::fs::rename(new, self.folder.path().join("exporter.yaml")).unwrap();
    }

    /// Replaces the configuration file and sends SIGHUP.
    pub fn reload(&self, config: &str) {
        self.rewrite(config);
        self.process.signal("HUP");
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything it wrote to its outputs.
    pub fn log(&self) -> String {
        self.process.output()
    }

    fn last_log_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n")
    }

    /// Resident memory in bytes, from /proc.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .expect("Linux shows VmHWM");
        kilobytes.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

/// Whether an instance is up and its INFO was read.
pub fn is_up(scrape: &Scrape, instance: &str) -> bool {
    let labels = [("instance", instance)];
    scrape.value("redis_up", &labels) == Some(1.0)
        && scrape.value("redis_connection_status", &labels) == Some(1.0)
        && scrape.has("redis_uptime_in_seconds", &labels)
}

/// What a command that ends by itself printed.
#[derive(Debug)]
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// Both outputs.
    pub output: String,
}

/// Runs the binary with these arguments until it ends.
pub fn run(arguments: &[&str]) -> Ended {
    run_with(arguments, &[], None)
}

/// Runs the binary with variables and, when given, a configuration file named by `--config.file`.
pub fn run_with(arguments: &[&str], variables: &[(&str, &str)], config: Option<&str>) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.args(arguments).envs(variables.iter().copied());
    if let Some(config) = config {
        let file = folder.path().join("exporter.yaml");
        std::fs::write(&file, config).unwrap();
        command.arg("--config.file").arg(file);
    }
    let mut process = Process::spawn(command, folder.path());
    let status = process.wait(COMMAND_BOUND);
    let output = process.output();
    let status = status.unwrap_or_else(|| panic!("{arguments:?} does not end: {output}"));
    Ended {
        code: status
            .code()
            .unwrap_or_else(|| panic!("{arguments:?} ended by a signal: {output}")),
        output,
    }
}

/// The binary in an empty environment, so that nothing of the machine steers it.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().env("RUST_BACKTRACE", "1").current_dir(folder);
    command
}
