//! Child processes that end with the test, and signals without unsafe code.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A child whose output goes to files, killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `folder`.
    pub fn spawn(mut command: Command, folder: &Path) -> Self {
        let stdout = folder.join("stdout.log");
        let stderr = folder.join("stderr.log");
        command.stdin(Stdio::null());
        command.stdout(std::fs::File::create(&stdout).unwrap());
        command.stderr(std::fs::File::create(&stderr).unwrap());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{:?} cannot be started: {error}; tests/servers/install.sh installs what the tests need",
                command.get_program()
            )
        });
        Self { child, stdout, stderr }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended, and how.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// How it ended, when it does within `bound`.
    pub fn wait(&mut self, bound: Duration) -> Option<ExitStatus> {
        super::wait_until(bound, || self.try_wait())
    }

    /// Sends a signal by name: `STOP`, `CONT`, `HUP`, `TERM`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill` is there even where no procps is installed.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{name} {}", self.id()))
            .status()
            .unwrap();
        assert!(status.success(), "SIG{name} could not be sent");
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it wrote to both outputs so far.
    pub fn output(&self) -> String {
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        read(&self.stdout) + &read(&self.stderr)
    }

    /// Open descriptors, from /proc.
    pub fn open_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
