//! Runs the scripts of `lua` on the connection of a scan, before the passes. What a reply means says `collectors::lua`.
//!
//! The server does nothing else while a script runs. One that does not end would so be an outage that we cause, and nothing but SCRIPT
//! KILL ends it: the server goes on with a script whose client has gone.

use super::ScanReport;
use super::link::Link;
use super::memory::ScanMemory;
use crate::collectors::lua::{self, Problem, Run, Runs, Values};
use crate::config::InstanceConfig;
use crate::config::optional::LuaScript;
use crate::redis::job::Job;
use crate::redis::{CAPABILITY_LIFETIME, Reason, RedisError, Unavailable};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Name of the collector.
pub const COLLECTOR: &str = "lua";

/// Most bytes of a script. Those that people publish for `redis_exporter` take one or two KiB.
const MAX_SCRIPT_BYTES: usize = 64 * 1024;

/// Shortest time that a script is waited for. A server that runs somebody else's script answers BUSY after `busy-reply-threshold` (5 s
/// by default, Redis 7.0; `lua-time-limit` before): whoever has waited a second longer without an answer waits for the script of its own,
/// and may end it.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(6);

/// Time to connect and have SCRIPT KILL answered. From `busy-reply-threshold` on the server does both at once.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// The files of an instance as they were read.
type Files = BTreeMap<PathBuf, Result<Vec<u8>, Problem>>;

/// What runs of scripts leave to the next ones.
#[derive(Debug, Clone, Default)]
pub(super) struct ScriptMemory {
    /// The reading of the files, at most one at a time.
    reading: Job<Files, Infallible>,
    /// Scripts that did not end, by their names.
    endless: BTreeMap<String, Endless>,
}

/// A script that is left alone.
#[derive(Debug, Clone)]
struct Endless {
    until: Instant,
    /// What was run: another content is another script.
    content: u64,
    problem: Problem,
}

impl ScriptMemory {
    /// Lets every script run again: after a reload.
    pub(super) fn forget(&mut self) {
        self.endless.clear();
    }

    /// Why a script is left alone.
    fn endless(&self, name: &str, content: u64, now: Instant) -> Option<Problem> {
        let known = self.endless.get(name)?;
        (known.content == content && now < known.until).then(|| known.problem.clone())
    }
}

/// Whether the instance has scripts to run.
pub fn are_wanted(config: &InstanceConfig) -> bool {
    let is_on = config.collectors.get(COLLECTOR).copied().unwrap_or(false);
    is_on && !config.optional.lua.is_empty()
}

/// Runs every script once, one after the other.
pub(super) async fn run<R: From<ScanReport> + Send>(
    config: &InstanceConfig,
    link: &mut Link<'_, R>,
    memory: &mut ScanMemory,
) -> Runs {
    let scripts = &config.optional.lua;
    memory
        .scripts
        .endless
        .retain(|name, _| scripts.iter().any(|script| script.name == *name));
    let files = read_files(&memory.scripts.reading, scripts, link.deadline()).await;
    let mut runs = Runs::default();
    // Set when there is no use in going on.
    let mut given_up: Option<&'static str> = None;
    for script in scripts.iter() {
        let command = if script.read_only { "eval_ro" } else { "eval" };
        if let Some(reason) = memory.refusal(command) {
            runs.unavailable = Some((command, reason));
            continue;
        }
        let content = match (files.get(&script.file), given_up) {
            (None, _) => Err(Problem::SlowFile),
            (Some(Err(problem)), _) => Err(problem.clone()),
            (Some(Ok(_)), Some(reason)) => Err(Problem::Unreached(reason)),
            (Some(Ok(content)), None) => Ok(content),
        };
        let outcome = match content {
            Err(problem) => Err(problem),
            Ok(content) => match run_one(config, link, memory, script, content).await {
                Ok(End::Read(outcome)) => outcome,
                Ok(End::Unavailable(reason)) => {
                    memory.refuse(command, reason, Instant::now());
                    tell_of_refusal(config, memory, command, reason);
                    runs.unavailable = Some((command, reason));
                    continue;
                }
                Err((problem, reason)) => {
                    given_up = Some(reason.as_label());
                    Err(problem)
                }
            },
        };
        runs.runs.push(Run {
            name: script.name.clone(),
            outcome,
        });
    }
    // A reply that was too much, or a script that was ended, has cost the connection. Whoever comes next would take that for a fault
    // of the server. What fails here is one, and is reported.
    let _ = link.ensure_open().await;
    runs
}

/// How the run of one script ended.
enum End {
    /// It was run, or could not be for a reason of its own.
    Read(Result<Values, Problem>),
    /// The command that runs it is not to be had.
    Unavailable(Unavailable),
}

/// Runs one script.
///
/// # Errors
/// When the others need not be tried, with the reason.
async fn run_one<R: From<ScanReport> + Send>(
    config: &InstanceConfig,
    link: &mut Link<'_, R>,
    memory: &mut ScanMemory,
    script: &LuaScript,
    content: &[u8],
) -> Result<End, (Problem, Reason)> {
    let hash = hash_of(content);
    if let Some(problem) = memory.scripts.endless(&script.name, hash, Instant::now()) {
        return Ok(End::Read(Err(problem)));
    }
    let unreached = |error: &RedisError| (Problem::Unreached(error.reason.as_label()), error.reason);
    link.ensure_open().await.map_err(|error| unreached(&error))?;
    let command = lua::command(content, script.read_only);
    let patience = SCRIPT_PATIENCE.max(config.poll.timeout);
    let replies = link.exchange_once(std::slice::from_ref(&command), Instant::now() + patience);
    match replies.await {
        Ok(replies) => {
            let Some(reply) = replies.first() else {
                return Ok(End::Read(Err(Problem::NoList)));
            };
            if let Some(reason) = lua::unavailability(&command.name(), reply) {
                return Ok(End::Unavailable(reason));
            }
            memory.is_over(&command.name());
            Ok(End::Read(lua::read(reply)))
        }
        // The reply is the script's; the server is well.
        Err(error) if error.reason == Reason::Protocol => Ok(End::Read(Err(Problem::Unbounded))),
        Err(error) if error.reason == Reason::Timeout => {
            let ending = link.kill_script(Instant::now() + KILL_DEADLINE).await;
            let problem = Problem::Endless {
                after: patience,
                ending,
            };
            let endless = Endless {
                until: Instant::now() + CAPABILITY_LIFETIME,
                content: hash,
                problem: problem.clone(),
            };
            memory.scripts.endless.insert(script.name.clone(), endless);
            if ending.frees_the_server() {
                Ok(End::Read(Err(problem)))
            } else {
                Err((problem, error.reason))
            }
        }
        Err(error) => Err(unreached(&error)),
    }
}

/// Says once why scripts are not run.
fn tell_of_refusal(config: &InstanceConfig, memory: &mut ScanMemory, command: &str, reason: Unavailable) {
    if !memory.is_news(command) {
        return;
    }
    let instance = &config.name;
    let shown = command.to_uppercase();
    match reason {
        Unavailable::Denied => tracing::warn!(
            %instance, command = %shown,
            "the Redis user may not run this command, so that the scripts of `lua` are not run; grant `+{command}` and what they call"
        ),
        Unavailable::Unsupported => tracing::warn!(
            %instance, command = %shown,
            "the server does not have this command (Redis has EVAL_RO from 7.0 on), and nothing else keeps a script from writing; the scripts of `lua` are not run. `read_only: false` runs one all the same"
        ),
    }
}

fn hash_of(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// The files of all scripts, read off the async threads. What a dead share holds up until the deadline is missing.
async fn read_files(reading: &Job<Files, Infallible>, scripts: &[LuaScript], deadline: Instant) -> Files {
    let paths: Vec<PathBuf> = scripts.iter().map(|script| script.file.clone()).collect();
    let work = move || Ok(paths.into_iter().map(|path| (path.clone(), read_file(&path))).collect());
    match timeout_at(deadline, reading.run(work)).await {
        Ok(Ok(Ok(files))) => files,
        Ok(Err(_)) | Err(_) => Files::new(),
    }
}

/// The content of a script. Blocks for as long as the file system takes.
///
/// # Errors
/// [`Problem`], one of those about files.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    let metadata = std::fs::metadata(path).map_err(|error| Problem::from(&error))?;
    // Asked before opening: a pipe would make the reader wait for whoever writes to it.
    if !metadata.is_file() {
        return Err(Problem::NotAFile);
    }
    let file = std::fs::File::open(path).map_err(|error| Problem::from(&error))?;
    let mut content = Vec::new();
    // One byte more than there may be shows that there are more.
    let longest = u64::try_from(MAX_SCRIPT_BYTES + 1).unwrap_or(u64::MAX);
    file.take(longest)
        .read_to_end(&mut content)
        .map_err(|error| Problem::from(&error))?;
    if content.len() > MAX_SCRIPT_BYTES {
        return Err(Problem::TooLong(MAX_SCRIPT_BYTES));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::lua::Ending;

    #[test]
    fn files_are_read_whole_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("good"), "return {}\n").unwrap();
        std::fs::write(path("largest"), vec![b' '; MAX_SCRIPT_BYTES]).unwrap();
        std::fs::write(path("large"), vec![b' '; MAX_SCRIPT_BYTES + 1]).unwrap();
        assert_eq!(read_file(&path("good")), Ok(b"return {}\n".to_vec()));
        assert_eq!(read_file(&path("largest")).unwrap().len(), MAX_SCRIPT_BYTES);
        assert_eq!(read_file(&path("large")), Err(Problem::TooLong(MAX_SCRIPT_BYTES)));
        assert_eq!(read_file(&path("none")), Err(Problem::Missing));
        assert_eq!(read_file(folder.path()), Err(Problem::NotAFile));
        assert_eq!(read_file(Path::new("/dev/zero")), Err(Problem::NotAFile));
    }

    #[tokio::test]
    async fn a_dead_share_holds_nothing_up_and_its_late_answer_counts() {
        let script = |name: &str| LuaScript {
            file: PathBuf::from(name),
            name: name.to_owned(),
            read_only: true,
        };
        let reading = Job::default();
        let answer = reading.hang().await;
        let scripts = [script("/mnt/dead/a.lua")];
        for _ in 0..3 {
            assert!(read_files(&reading, &scripts, Instant::now()).await.is_empty());
        }
        let late = Files::from([(PathBuf::from("/mnt/dead/a.lua"), Ok(b"return {}".to_vec()))]);
        answer.send(Ok(late.clone())).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        assert_eq!(read_files(&reading, &scripts, deadline).await, late);
    }

    #[test]
    fn a_script_that_does_not_end_is_left_alone_until_it_is_another_one() {
        let now = Instant::now();
        let problem = Problem::Endless {
            after: SCRIPT_PATIENCE,
            ending: Ending::Killed,
        };
        let mut memory = ScriptMemory::default();
        let endless = Endless {
            until: now + CAPABILITY_LIFETIME,
            content: hash_of(b"while true do end"),
            problem: problem.clone(),
        };
        memory.endless.insert("a".to_owned(), endless);
        let of = |name: &str, content: &[u8], at| memory.endless(name, hash_of(content), at);
        assert_eq!(of("a", b"while true do end", now), Some(problem));
        assert_eq!(of("a", b"return {}", now), None);
        assert_eq!(of("b", b"while true do end", now), None);
        assert_eq!(of("a", b"while true do end", now + CAPABILITY_LIFETIME), None);
        memory.forget();
        assert_eq!(memory.endless("a", hash_of(b"while true do end"), now), None);
    }
}
