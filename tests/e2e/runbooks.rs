//! The runbooks: their links lead somewhere, and the commands that they call safe do work on a server, an exporter and a Prometheus.

use crate::prometheus::{Prometheus, SCRAPED_BOUND};
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::redis_server::RedisServer;
use crate::support::wait_until;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest time that one block of commands may take; `redis-cli --latency` and the like end by themselves within it.
const BLOCK_SECONDS: &str = "30";

/// Commands that no runbook may give: they block the server, log everybody out, or show what passes by.
const FORBIDDEN: [&str; 6] = [" KEYS ", " keys ", "FLUSHALL", "FLUSHDB", " MONITOR", "DEBUG "];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A block of commands of a page.
struct Block {
    /// The line of the page on which it begins.
    line: usize,
    /// Whether it changes something.
    is_disruptive: bool,
    commands: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut current: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        match (&mut current, is_fence) {
            (None, true) => {
                let kind = line.trim().trim_start_matches('`');
                let mut words = kind.split_whitespace();
                let language = words.next().unwrap_or_default();
                current = Some(Block {
                    line: index + 1,
                    is_disruptive: words.next() == Some("disruptive"),
                    commands: String::new(),
                });
                assert!(
                    matches!(kind, "sh" | "sh disruptive") || !matches!(language, "sh" | "bash" | "console"),
                    "line {}: a block of commands is `sh` or `sh disruptive`, not `{kind}`",
                    index + 1
                );
                if language != "sh" {
                    // Not commands: an excerpt of a file, an answer.
                    current.as_mut().unwrap().line = 0;
                }
            }
            (Some(_), true) => blocks.extend(current.take().filter(|block| block.line > 0)),
            (Some(block), false) => {
                block.commands.push_str(line);
                block.commands.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(current.is_none(), "a block never ends");
    blocks
}

fn runbooks() -> Vec<(String, String)> {
    pages(&root().join("docs/runbooks"))
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// What a shell says about commands that it only reads, and about those that it runs.
fn shell(arguments: &[&str], commands: &str, variables: &[(&str, String)]) -> Result<(), String> {
    let output = Command::new("timeout")
        .args([BLOCK_SECONDS, "bash", "-eu", "-o", "pipefail"])
        .args(arguments)
        .args(["-c", commands])
        .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // redis-cli answers an error of the server with 0.
    let is_refused = said
        .lines()
        .any(|line| line.starts_with("ERR ") || line.starts_with("(error)") || line.starts_with("NOAUTH"));
    if output.status.success() && !is_refused {
        return Ok(());
    }
    Err(format!("{}\n{commands}{said}", output.status))
}

/// Names of keys may have been chosen by a stranger: without quotes what follows a line break in one would run as a command.
#[test]
fn names_of_keys_that_become_commands_are_quoted() {
    let mut problems = Vec::new();
    for (name, page) in runbooks() {
        for line in page
            .lines()
            .filter(|line| line.contains("--scan") && line.contains("| redis-cli"))
        {
            if !line.contains("--no-raw --scan") || line.contains("\\\"%s") {
                problems.push(format!("{name}: {line}"));
            }
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn commands_that_are_called_safe_work() {
    let server = RedisServer::start_with(&["--maxmemory", "200mb", "--maxmemory-policy", "noeviction"]);
    server.command(&["CONFIG", "SET", "notify-keyspace-events", "Egx$"]);
    server.fill("sess:", 200);
    let further = "sessions:\n  - { store: web, match: [\"sess:*\"], capacity: 1000, expected_ttl: 24h }\noperations: on\nsession_probe: { enabled: true, interval: 1s }";
    let exporter = Exporter::start(&config::fast(&[("redis-1", &server.address(), further)]));
    let prometheus = Prometheus::start(&format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [{}/alerts/rules/*.yaml]\n\
         scrape_configs:\n  - job_name: redis-session-exporter\n    honor_labels: true\n    static_configs: [{{ targets: [\"127.0.0.1:{}\"] }}]\n",
        root().display(),
        exporter.port
    ));
    wait_until(SCRAPED_BOUND, || {
        prometheus
            .value("max(sessions_active{store=\"web\"})")
            .filter(|count| *count > 0.0)
    })
    .unwrap_or_else(|| panic!("never scraped: {}", prometheus.targets()));
    let variables = [
        ("REDIS_URL", server.address()),
        ("EXPORTER", format!("http://127.0.0.1:{}", exporter.port)),
        ("PROMETHEUS", format!("http://127.0.0.1:{}", prometheus.port())),
    ];
    let (mut run, mut problems) = (0_usize, Vec::new());
    for (name, page) in runbooks() {
        for block in blocks(&page).iter().filter(|block| !block.is_disruptive) {
            run += 1;
            if let Err(problem) = shell(&[], &block.commands, &variables) {
                problems.push(format!("{name}:{}: {problem}", block.line));
            }
        }
    }
    println!("runbooks: {run} blocks of commands ran");
    assert!(run > 0, "no runbook has commands");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_command_is_misspelt_or_forbidden() {
    let mut problems = Vec::new();
    for (name, page) in runbooks() {
        for block in blocks(&page) {
            if let Err(problem) = shell(&["-n"], &block.commands, &[]) {
                problems.push(format!("{name}:{}: {problem}", block.line));
            }
            for word in FORBIDDEN {
                if block.commands.contains(word) {
                    problems.push(format!("{name}:{}: gives the command{word}", block.line));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The place that a heading becomes, as the usual hosts of Markdown make it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

/// The targets of links of a page, outside of blocks.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_in_block = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_in_block = !is_in_block;
        }
        if is_in_block {
            continue;
        }
        for piece in line.split("](").skip(1) {
            if let Some((target, _)) = piece.split_once(')') {
                found.push(target.to_owned());
            }
        }
    }
    found
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut all = pages(&root().join("docs"));
    all.extend(pages(&root().join("deploy")));
    all.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)));
    let mut problems = Vec::new();
    for path in &all {
        let page = std::fs::read_to_string(path).unwrap();
        for link in links(&page) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            if !target.exists() {
                problems.push(format!("{}: {link}", path.display()));
            } else if !place.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap_or_default();
                let is_there = text.lines().any(|line| line.starts_with('#') && anchor(line) == place);
                if !is_there {
                    problems.push(format!("{}: {link}: no such heading", path.display()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "links that lead nowhere:\n{}", problems.join("\n"));
}

/// The list of pages names each of them.
#[test]
fn the_list_of_runbooks_is_complete() {
    let list = std::fs::read_to_string(root().join("docs/runbooks/README.md")).unwrap();
    let missing: Vec<String> = runbooks()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name != "README.md" && !list.contains(&format!("]({name})")))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn blocks_are_found() {
    let page = "text\n```sh\nredis-cli PING\n```\n```yaml\na: 1\n```\n```sh disruptive\nredis-cli SHUTDOWN\n```\n";
    let found: Vec<(usize, bool)> = blocks(page)
        .iter()
        .map(|block| (block.line, block.is_disruptive))
        .collect();
    assert_eq!(found, [(2, false), (8, true)]);
    assert_eq!(anchor("## What it is: `a` & b"), "what-it-is-a--b");
}
