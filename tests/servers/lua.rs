//! Scripts of `lua` on real servers: what they show, what they may not do, and that none of them makes the instance look down.

use crate::bench::BACK_BOUND;
use crate::sessions_auto::fill_connect_redis;
use crate::support::config::{self, SCAN, TIMEOUT};
use crate::support::evidence::assert_emits_listed;
use crate::support::exporter::{Exporter, run_with};
use crate::support::peer::{Answer, ScriptedPeer, healthy, is_command};
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{SLACK, wait_until};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A script shows within two intervals and what its exchange may take.
const SCRIPT_BOUND: Duration = SCAN.saturating_mul(2).saturating_add(TIMEOUT).saturating_add(SLACK);

/// What a script that does not end is given, and the time to end it.
const ENDLESS_BOUND: Duration = Duration::from_secs(20);

/// A folder of scripts.
struct Scripts(tempfile::TempDir);

impl Scripts {
    fn new(scripts: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in scripts {
            folder.write(name, content);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// The section `lua` with these scripts, each under its own name.
    fn section(&self, names: &[&str]) -> String {
        let items = names.iter().map(|name| item(&self.path(name), name));
        format!("lua:\n{}", items.collect::<String>())
    }
}

fn item(path: &Path, name: &str) -> String {
    format!("  - {{ file: {}, name: {name} }}\n", path.display())
}

fn start(address: &str, further: &str) -> Exporter {
    Exporter::start(&config::fast(&[("redis", address, further)]))
}

fn result(scrape: &Scrape, name: &str) -> Option<f64> {
    scrape.value("redis_script_result", &[("instance", "redis"), ("filename", name)])
}

fn value(scrape: &Scrape, name: &str, key: &str) -> Option<f64> {
    let labels = [("instance", "redis"), ("filename", name), ("key", key)];
    scrape.value("redis_script_values", &labels)
}

fn collector(scrape: &Scrape, metric: &str) -> Option<f64> {
    let labels = [("instance", "redis"), ("collector", "lua")];
    scrape.value(&format!("redis_session_exporter_collector_{metric}"), &labels)
}

fn assert_up(scrape: &Scrape) {
    for metric in ["redis_up", "redis_connection_status"] {
        assert_eq!(scrape.value(metric, &[("instance", "redis")]), Some(1.0), "{metric}");
    }
}

/// How often a command of that name was called on the server.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let line = server.info(&format!("cmdstat_{command}")).unwrap_or_default();
    let calls = line.split(',').find_map(|pair| pair.strip_prefix("calls="));
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[test]
fn values_are_shown_and_a_changed_file_needs_no_reload() {
    let server = RedisServer::start();
    server.fill("queue:", 3);
    let scripts = Scripts::new(&[
        (
            "count.lua",
            "return {'keys', tostring(redis.call('DBSIZE')), 'ratio', tostring(1/3)}",
        ),
        ("empty.lua", "return {}"),
        (
            "other.lua",
            "redis.call('SELECT', 5) return {'keys', tostring(redis.call('DBSIZE')), 'argument', ARGV[1]}",
        ),
    ]);
    let exporter = start(
        &server.address(),
        &scripts.section(&["count.lua", "empty.lua", "other.lua"]),
    );
    let scrape = exporter.wait_for_instance("redis", "the scripts ran", BACK_BOUND, |scrape| {
        result(scrape, "other.lua").is_some()
    });
    let results = ["count.lua", "empty.lua", "other.lua"].map(|name| result(&scrape, name));
    assert_eq!(results, [Some(1.0), Some(2.0), Some(1.0)]);
    assert_eq!(value(&scrape, "count.lua", "keys"), Some(3.0));
    let ratio = value(&scrape, "count.lua", "ratio").unwrap();
    assert!((ratio - 1.0 / 3.0).abs() < 1e-9, "{ratio}");
    assert_eq!(
        value(&scrape, "other.lua", "keys"),
        Some(0.0),
        "SELECT counts inside of a script ..."
    );
    assert_eq!(value(&scrape, "other.lua", "argument"), Some(0.0));
    assert_eq!(collector(&scrape, "success"), Some(1.0));
    assert_up(&scrape);
    assert_emits_listed(file!(), &scrape);

    scripts.write("count.lua", "return {'keys', '77'}");
    let scrape = exporter.wait_for_instance("redis", "the changed file runs", SCRIPT_BOUND, |scrape| {
        value(scrape, "count.lua", "keys") == Some(77.0)
    });
    assert_eq!(value(&scrape, "count.lua", "ratio"), None);
    std::fs::remove_file(scripts.path("count.lua")).unwrap();
    let scrape = exporter.wait_for_instance("redis", "the file is gone", SCRIPT_BOUND, |scrape| {
        result(scrape, "count.lua") == Some(0.0)
    });
    assert_eq!(value(&scrape, "count.lua", "keys"), None);
    assert_eq!(result(&scrape, "empty.lua"), Some(2.0), "the others go on");
    assert_eq!(collector(&scrape, "success"), Some(0.0));
    assert_up(&scrape);
    let log = exporter.log();
    assert_eq!(log.matches("the script count.lua is not there").count(), 1, "{log}");
    // Switched off, nothing is left.
    exporter.reload(&config::fast(&[("redis", &server.address(), "lua: []")]));
    exporter.wait_for_instance("redis", "switched off", BACK_BOUND, |scrape| {
        result(scrape, "empty.lua").is_none() && collector(scrape, "success").is_none()
    });
}

/// The example of docs/lua.md, as it stands there.
#[test]
fn the_documented_script_returns_what_the_document_says() {
    let document = include_str!("../../docs/lua.md");
    let script = document.split_once("```lua\n").unwrap().1.split_once("```").unwrap().0;
    let server = RedisServer::start();
    for entry in 0..12 {
        server.command(&["RPUSH", "queue:mail", &entry.to_string()]);
    }
    let scripts = Scripts::new(&[("queues.lua", script)]);
    let section = scripts
        .section(&["queues.lua"])
        .replace("name: queues.lua", "name: scripts/queues.lua");
    let exporter = start(&server.address(), &section);
    let scrape = exporter.wait_for_instance("redis", "the script ran", BACK_BOUND, |scrape| {
        result(scrape, "scripts/queues.lua") == Some(1.0)
    });
    for line in document.lines().filter(|line| line.starts_with("redis_script_values{")) {
        let (key, rest) = line.split_once("key=\"").unwrap().1.split_once('"').unwrap();
        let number = rest.split_once("} ").unwrap().1.parse().unwrap();
        assert_eq!(value(&scrape, "scripts/queues.lua", key), Some(number), "{line}");
    }
}

/// Beside redis_exporter's way, where one of these makes `redis_up` 0 and keeps the others from running.
#[test]
fn no_script_makes_the_instance_look_down() {
    let server = RedisServer::start();
    let broken = [
        ("syntax.lua", "return {'a'"),
        ("error.lua", "error('hunter2')"),
        ("writes.lua", "redis.call('SET', 'written', '1') return {'a', '1'}"),
        ("unknown.lua", "return redis.call('NOSUCH')"),
        ("odd.lua", "return {'a'}"),
        ("nil.lua", "return nil"),
        ("number.lua", "return {'a', 0.97}"),
        ("word.lua", "return {'a', 'hunter2'}"),
        ("nested.lua", "return {'a', {'b', '1'}}"),
        ("deep.lua", "local t = {} for i = 1, 30 do t = {t} end return t"),
        (
            "many.lua",
            "local t = {} for i = 1, 1003 do t[2*i-1] = 'n' .. i; t[2*i] = '1' end return t",
        ),
        ("mimic.lua", "return redis.error_reply('NOPERM of its own')"),
        ("shebang.lua", "#!lua\nreturn {'a', '1'}"),
        ("folder.lua", ""),
        ("good.lua", "return {'a', '1', 'a', '2', '\\255', '3'}"),
    ];
    let scripts = Scripts::new(&broken);
    std::fs::remove_file(scripts.path("folder.lua")).unwrap();
    std::fs::create_dir(scripts.path("folder.lua")).unwrap();
    let names: Vec<&str> = broken.iter().map(|(name, _)| *name).collect();
    let exporter = start(&server.address(), &scripts.section(&names));
    let scrape = exporter.wait_for_instance("redis", "all scripts ran", BACK_BOUND, |scrape| {
        names.iter().all(|name| result(scrape, name).is_some())
    });
    for name in &names {
        let is_right = ["good.lua", "many.lua"].contains(name);
        let expected = if is_right { 1.0 } else { 0.0 };
        assert_eq!(result(&scrape, name), Some(expected), "{name}");
    }
    assert_eq!(value(&scrape, "good.lua", "a"), Some(2.0));
    assert_eq!(value(&scrape, "good.lua", "\\xff"), Some(3.0));
    let shown = scrape.sum(
        "redis_script_values",
        &[("instance", "redis"), ("filename", "many.lua")],
    );
    assert_eq!(shown, 1000.0);
    let dropped = [("instance", "redis"), ("reason", "label_values")];
    assert!(scrape.value("redis_session_exporter_series_dropped_total", &dropped) >= Some(3.0));
    assert_up(&scrape);
    assert_eq!(server.command(&["EXISTS", "written"]).integer(), 0);
    // Three rounds later nothing has changed, and nothing was counted as a fault of the connection.
    let before = calls(&server, "eval_ro");
    let rounds = 3 * (names.len() as u64);
    let ran = wait_until(Duration::from_secs(20), || {
        (calls(&server, "eval_ro") >= before + rounds).then_some(())
    });
    assert_eq!(ran, Some(()));
    let scrape = exporter.scrape();
    assert_up(&scrape);
    let log = exporter.log();
    let errors = scrape.sum("redis_connection_errors_total", &[("instance", "redis")]);
    assert_eq!(errors, 0.0, "{}{log}", scrape.about("redis"));
    assert!(!log.contains("hunter2"), "{log}");
    for said in [
        "the script syntax.lua does not compile (line 1)",
        "the script error.lua failed with ERR (line 1)",
        "the script writes.lua writes (line 1), which EVAL_RO refuses",
        "the script unknown.lua calls a command that this server does not have (line 1)",
        "the script number.lua returned something else than strings",
        "the script deep.lua returned more than this exporter reads",
        "the script shebang.lua begins with `#!lua` and may write by that",
        "the script word.lua returned a value that is no number, in pair 1 of",
        "the script folder.lua is not a regular file",
    ] {
        assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
    }
}

/// The connection that a broken script has cost is none of the server's faults, whoever uses it next.
#[test]
fn a_broken_script_costs_those_who_come_after_it_nothing() {
    let server = RedisServer::start();
    server.fill("sess:", 10);
    let scripts = Scripts::new(&[("deep.lua", "local t = {} for i = 1, 30 do t = {t} end return t")]);
    let section = scripts.section(&["deep.lua"]);
    let further = "sessions: [{ store: web, match: \"sess:*\" }]\ncheck_keys: [{ match: \"sess:1\" }]";
    let exporter = start(&server.address(), &format!("{section}{further}"));
    let ran = wait_until(Duration::from_secs(20), || {
        (calls(&server, "eval_ro") >= 4).then_some(())
    });
    assert_eq!(ran, Some(()), "{}", exporter.log());
    let scrape = exporter.scrape();
    assert_eq!(result(&scrape, "deep.lua"), Some(0.0));
    let sessions = [("instance", "redis"), ("store", "web")];
    assert_eq!(scrape.value("sessions_active", &sessions), Some(10.0));
    let errors = scrape.sum("redis_connection_errors_total", &[("instance", "redis")]);
    assert_eq!(errors, 0.0, "{}{}", scrape.about("redis"), exporter.log());
}

#[test]
fn a_script_that_does_not_end_is_ended_and_left_alone() {
    let server = RedisServer::start();
    server.fill("sess:", 10);
    let scripts = Scripts::new(&[("endless.lua", "while true do end"), ("good.lua", "return {'a', '1'}")]);
    let section = scripts.section(&["endless.lua", "good.lua"]);
    let sessions = "sessions: [{ store: web, match: \"sess:*\" }]";
    let exporter = start(&server.address(), &format!("{section}{sessions}"));
    let scrape = exporter.wait_for_instance("redis", "the script was ended", ENDLESS_BOUND, |scrape| {
        result(scrape, "endless.lua") == Some(0.0) && scrape.value("redis_up", &[("instance", "redis")]) == Some(1.0)
    });
    assert_eq!(result(&scrape, "good.lua"), Some(1.0), "the others go on");
    // The server is well again, and so is everything else of that scan.
    exporter.wait_for_instance("redis", "sessions are counted", BACK_BOUND, |scrape| {
        scrape.value("sessions_active", &[("instance", "redis"), ("store", "web")]) == Some(10.0)
    });
    let log = exporter.log();
    let said = "did not end within 6 s, during which the server did nothing else, and was ended with SCRIPT KILL";
    assert_eq!(log.matches(said).count(), 1, "{log}");
    assert_eq!(calls(&server, "script|kill"), 1);
    // It is not run again at the next scans ...
    let before = calls(&server, "eval_ro");
    let ran = wait_until(Duration::from_secs(20), || {
        (calls(&server, "eval_ro") >= before + 3).then_some(())
    });
    assert_eq!(ran, Some(()), "the good one is");
    let scrape = exporter.scrape();
    assert_eq!(result(&scrape, "endless.lua"), Some(0.0));
    assert_up(&scrape);
    assert_eq!(exporter.log().matches(said).count(), 1);
    // ... until it is another one.
    scripts.write("endless.lua", "return {'b', '2'}");
    exporter.wait_for_instance("redis", "the mended one runs", SCRIPT_BOUND, |scrape| {
        value(scrape, "endless.lua", "b") == Some(2.0)
    });
}

const MONITOR: &str = "username: monitor\npassword: secret\nsessions: []\n";

fn server_with(rules: &[&str]) -> RedisServer {
    let server = RedisServer::start();
    let mut words = vec!["ACL", "SETUSER", "monitor", "on", ">secret", "-@all", "+ping", "+info"];
    words.extend(rules);
    server.command(&words);
    server
}

#[test]
fn the_least_privilege_is_enough_and_its_lack_is_told_once() {
    let server = server_with(&["+dbsize", "+llen", "%R~queue:*"]);
    server.command(&["RPUSH", "queue:mail", "a", "b"]);
    server.command(&["RPUSH", "other", "a"]);
    let scripts = Scripts::new(&[
        (
            "mail.lua",
            "return {'mail', tostring(redis.call('LLEN', 'queue:mail'))}",
        ),
        ("other.lua", "return {'other', tostring(redis.call('LLEN', 'other'))}"),
    ]);
    let further = format!("{MONITOR}{}", scripts.section(&["mail.lua", "other.lua"]));
    let exporter = start(&server.address(), &further);
    let denied = [("instance", "redis"), ("collector", "lua"), ("reason", "denied")];
    let scrape = exporter.wait_for_instance("redis", "EVAL_RO is denied", BACK_BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_unavailable", &denied) == Some(1.0)
    });
    assert_eq!(result(&scrape, "mail.lua"), None);
    assert_up(&scrape);
    let scans = |scrape: &Scrape| {
        let labels = [("instance", "redis"), ("kind", "scan")];
        scrape.value("redis_session_exporter_last_poll_timestamp_seconds", &labels)
    };
    let first = scans(&scrape);
    exporter.wait_for_instance("redis", "a later scan", Duration::from_secs(20), |scrape| {
        scans(scrape) > first.map(|first| first + 1.0)
    });
    let line = server.info("cmdstat_eval_ro").unwrap();
    assert!(
        line.contains("rejected_calls=1,"),
        "each attempt stands in ACL LOG: {line}"
    );
    let log = exporter.log();
    assert_eq!(log.matches("grant `+eval_ro` and what they call").count(), 1, "{log}");

    server.command(&["ACL", "SETUSER", "monitor", "+eval_ro"]);
    exporter.reload(&config::fast(&[("redis", &server.address(), &further)]));
    let scrape = exporter.wait_for_instance("redis", "mended", BACK_BOUND, |scrape| {
        value(scrape, "mail.lua", "mail") == Some(2.0)
    });
    assert_eq!(result(&scrape, "other.lua"), Some(0.0), "a key that it may not read");
    assert!(
        exporter
            .log()
            .contains("the script other.lua calls a command or uses a key that the user")
    );
    assert_eq!(
        scrape.value("redis_session_exporter_collector_unavailable", &denied),
        None
    );
}

#[test]
fn replicas_and_instances_without_sessions_run_scripts_too() {
    let primary = RedisServer::start();
    primary.fill("k", 4);
    let replica = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    let linked = wait_until(Duration::from_secs(20), || {
        (replica.info("master_link_status").as_deref() == Some("up")).then_some(())
    });
    assert_eq!(linked, Some(()));
    let scripts = Scripts::new(&[("count.lua", "return {'keys', tostring(redis.call('DBSIZE'))}")]);
    let section = scripts.section(&["count.lua"]);
    for (address, further) in [
        (replica.address(), section.clone()),
        (primary.address(), format!("sessions: []\n{section}")),
        (primary.address(), format!("collectors: {{ sessions: off }}\n{section}")),
    ] {
        let exporter = start(&address, &further);
        let scrape = exporter.wait_for_instance("redis", "the script ran", BACK_BOUND, |scrape| {
            value(scrape, "count.lua", "keys") == Some(4.0)
        });
        let sessions = [("instance", "redis"), ("collector", "sessions")];
        assert_eq!(
            scrape.value("redis_session_exporter_collector_success", &sessions),
            None,
            "{further}"
        );
        assert!(
            !scrape.has("session_scan_keys_total", &[("instance", "redis")]),
            "{further}"
        );
    }
}

#[test]
fn a_script_may_write_where_the_file_says_so() {
    let server = RedisServer::start();
    let scripts = Scripts::new(&[("writes.lua", "return {'calls', tostring(redis.call('INCR', 'calls'))}")]);
    let path = scripts.path("writes.lua");
    let further = format!(
        "lua: [{{ file: {}, name: writes.lua, read_only: off }}]",
        path.display()
    );
    let exporter = start(&server.address(), &further);
    exporter.wait_for_instance("redis", "it wrote", BACK_BOUND, |scrape| {
        value(scrape, "writes.lua", "calls") >= Some(1.0)
    });
    assert_eq!(calls(&server, "eval_ro"), 0);
    assert!(exporter.log().contains("lets the script write"), "{}", exporter.log());
}

#[test]
fn without_script_kill_somebody_else_ends_the_script() {
    let server = server_with(&["+eval_ro"]);
    let scripts = Scripts::new(&[("endless.lua", "while true do end"), ("later.lua", "return {'a', '1'}")]);
    let section = scripts.section(&["endless.lua", "later.lua"]);
    let exporter = start(&server.address(), &format!("{MONITOR}{section}"));
    let told = "may still run, since the user may not run SCRIPT KILL (grant `+script|kill`)";
    let said = wait_until(ENDLESS_BOUND, || exporter.log().contains(told).then_some(()));
    assert_eq!(said, Some(()), "{}", exporter.log());
    // It answers nothing else, and fails when nothing runs.
    server.command(&["SCRIPT", "KILL"]);
    let scrape = exporter.wait_for_instance("redis", "the others run", BACK_BOUND + SCRIPT_BOUND, |scrape| {
        result(scrape, "later.lua") == Some(1.0) && scrape.value("redis_up", &[("instance", "redis")]) == Some(1.0)
    });
    assert_eq!(result(&scrape, "endless.lua"), Some(0.0));
    // Once beside the other script, which could not be run, and once alone.
    assert!(exporter.log().matches(told).count() <= 2, "{}", exporter.log());
}

/// Redis before 7.0, KeyDB and Dragonfly.
#[test]
fn where_eval_ro_is_missing_nothing_is_run_unless_it_may_write() {
    let peer = ScriptedPeer::start_with(|words| {
        if is_command(words, "EVAL_RO") {
            let error = b"-ERR unknown command `EVAL_RO`, with args beginning with: `return {}`, `0`, `0`, \r\n";
            return Answer::Bytes(error.to_vec());
        }
        if is_command(words, "EVAL") {
            return Answer::Bytes(b"*2\r\n$1\r\na\r\n$1\r\n1\r\n".to_vec());
        }
        healthy(words)
    });
    let scripts = Scripts::new(&[("reads.lua", "return {}"), ("writes.lua", "return {'a', '1'}")]);
    let asked = |command: &str| {
        let batches = peer.batches();
        let commands = batches.iter().flat_map(|batch| &batch.commands);
        commands.filter(|words| is_command(words, command)).count()
    };
    let exporter = start(
        &peer.address(),
        &format!("sessions: []\n{}", scripts.section(&["reads.lua"])),
    );
    let unsupported = [("instance", "redis"), ("collector", "lua"), ("reason", "unsupported")];
    let scrape = exporter.wait_for_instance("redis", "unsupported", BACK_BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_unavailable", &unsupported) == Some(1.0)
    });
    assert_eq!(result(&scrape, "reads.lua"), None);
    assert_up(&scrape);
    let log = exporter.log();
    assert_eq!(
        log.matches("nothing else keeps a script from writing").count(),
        1,
        "{log}"
    );
    assert_eq!(
        (asked("EVAL_RO"), asked("EVAL")),
        (1, 0),
        "it is not tried at every scan, and never without EVAL_RO"
    );

    let writes = format!(
        "  - {{ file: {}, name: writes.lua, read_only: off }}\n",
        scripts.path("writes.lua").display()
    );
    let both = format!("sessions: []\n{}{writes}", scripts.section(&["reads.lua"]));
    exporter.reload(&config::fast(&[("redis", &peer.address(), &both)]));
    let scrape = exporter.wait_for_instance("redis", "the other one runs", BACK_BOUND, |scrape| {
        value(scrape, "writes.lua", "a") == Some(1.0)
    });
    assert_eq!(result(&scrape, "reads.lua"), None);
    assert_eq!(
        scrape.value("redis_session_exporter_collector_unavailable", &unsupported),
        Some(1.0)
    );
}

#[test]
fn check_says_what_keeps_scripts_from_running() {
    let server = server_with(&["+acl|dryrun"]);
    let scripts = Scripts::new(&[("good.lua", "redis.call('SET', 'written', '1') return {}")]);
    let section = scripts.section(&["good.lua", "missing.lua"]);
    let config = config::fast(&[("redis", &server.address(), &format!("{MONITOR}{section}"))]);
    let check = || run_with(&["check"], &[], Some(&config)).output;
    let output = check();
    assert!(output.contains("the script missing.lua is not there"), "{output}");
    assert!(output.contains("cannot run: the user may not run EVAL_RO"), "{output}");
    let mending = |output: &str| {
        let line = output.lines().find(|line| line.contains("ACL SETUSER"));
        line.unwrap_or_else(|| panic!("{output}")).to_owned()
    };
    assert!(mending(&output).contains(" +eval_ro"), "{output}");
    server.command(&["ACL", "SETUSER", "monitor", "+eval_ro"]);
    let output = check();
    assert!(
        output.contains("ok, 1 of 2 scripts can be run; check runs none of them"),
        "{output}"
    );
    assert!(output.contains("the user may not run SCRIPT KILL"), "{output}");
    assert!(mending(&output).contains("+script|kill"), "{output}");
    assert_eq!(server.command(&["EXISTS", "written"]).integer(), 0);
    server.command(&["ACL", "SETUSER", "monitor", "+script|kill"]);
    let output = check();
    assert!(!output.contains("SCRIPT KILL"), "{output}");
}

/// The pass that counts what `sessions: auto` has recognised follows at once.
#[test]
fn recognising_sessions_runs_no_script_twice() {
    let server = RedisServer::start();
    fill_connect_redis(&mut server.client(), 60);
    let scripts = Scripts::new(&[("count.lua", "return {'keys', '1'}")]);
    let further = format!("{}sessions: auto", scripts.section(&["count.lua"]));
    let config = config::fast(&[("redis", &server.address(), &further)]);
    let ended = run_with(&["once", "--unpaced"], &[], Some(&config));
    assert!(ended.output.contains("redis_script_result"), "{}", ended.output);
    assert!(ended.output.contains("sessions_active{"), "{}", ended.output);
    assert_eq!(calls(&server, "eval_ro"), 1);
}

#[test]
fn a_replica_in_a_cluster_answers_scripts_about_the_keys_of_its_primary() {
    let cluster = RedisCluster::start(&[]);
    cluster.fill("user_", 1);
    let scripts = Scripts::new(&[(
        "one.lua",
        "return {\"length\", tostring(redis.call(\"STRLEN\", \"user_0\"))}",
    )]);
    let further = scripts.section(&["one.lua"]);
    let exporter = Exporter::start(&config::fast(&[("shop", &cluster.address(), &further)]));
    // Of six nodes the primary that holds the key and its replica; the others say that it lives elsewhere.
    let scrape = exporter.wait_for("two nodes have the key", ENDLESS_BOUND, |scrape| {
        scrape.all("redis_script_result", &[]).count() == 6 && scrape.sum("redis_script_result", &[]) == 2.0
    });
    assert_eq!(scrape.sum("redis_script_values", &[("key", "length")]), 2.0);
    assert_eq!(scrape.sum("redis_up", &[]), 6.0);
}
