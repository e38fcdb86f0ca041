//! NOPERM on single commands: that collector is off, one warning is logged, the rest is served.

mod readme;

use crate::sessions_auto::{BOUND, fill_connect_redis};
use crate::support::SLACK;
use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use crate::support::resp::Reply;
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use std::collections::BTreeSet;

/// A server with a user `monitor` who may do everything but what these rules take away.
fn server_without(rules: &[&str]) -> RedisServer {
    let server = RedisServer::start();
    let mut words = vec!["ACL", "SETUSER", "monitor", "on", ">secret", "~*", "&*", "+@all"];
    words.extend(rules);
    server.command(&words);
    server
}

fn watch(server: &RedisServer) -> Exporter {
    Exporter::start(&config::fast(&[(
        "redis",
        &server.address(),
        "username: monitor\npassword: secret",
    )]))
}

fn polls(scrape: &Scrape) -> f64 {
    scrape
        .value("redis_exporter_scrapes_total", &[("instance", "redis")])
        .unwrap_or(0.0)
}

fn noperm_count(server: &RedisServer) -> u64 {
    let text = server.command(&["INFO", "errorstats"]).text();
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("errorstat_NOPERM:count="));
    count.map_or(0, |count| count.trim().parse().unwrap())
}

#[test]
fn a_denied_command_costs_its_collector_and_one_warning() {
    // The collector `latency` has INFO as a third source, which it goes on with: it publishes, and says what is missing.
    for (rule, collector, own_metric, success) in [
        ("-slowlog", "slowlog", "redis_slowlog_length", 0.0),
        ("-config", "config", "redis_config_maxmemory", 0.0),
        ("-latency", "latency", "redis_latency_spike_last", 1.0),
    ] {
        let server = server_without(&[rule]);
        if collector == "latency" {
            // An event that would be shown, were it allowed.
            let mut client = server.client();
            client.command(&["CONFIG", "SET", "latency-monitor-threshold", "1"]);
            client.command(&["DEBUG", "SLEEP", "0.01"]);
        }
        let exporter = watch(&server);
        exporter.wait_until_up(&["redis"]);
        let labels = [("instance", "redis"), ("collector", collector)];
        let unavailable = [("instance", "redis"), ("collector", collector), ("reason", "denied")];
        exporter.wait_for_instance(
            "redis",
            &format!("{collector} is denied"),
            config::INFO * 2 + SLACK,
            |scrape| {
                scrape.value("redis_session_exporter_collector_unavailable", &unavailable) == Some(1.0)
                    && scrape.value("redis_session_exporter_collector_success", &labels) == Some(success)
            },
        );
        let (before, denials) = (polls(&exporter.scrape()), noperm_count(&server));
        let scrape = exporter.wait_for_instance("redis", "eight more polls", config::INFO * 8 + SLACK, |scrape| {
            polls(scrape) >= before + 8.0
        });
        assert_eq!(
            noperm_count(&server),
            denials,
            "{collector}: what is denied is not tried again at every poll"
        );
        assert!(
            !scrape.has(own_metric, &[("instance", "redis")]),
            "{own_metric} is unknown"
        );
        assert!(
            scrape.has("redis_memory_used_bytes", &[("instance", "redis")]),
            "the rest is served"
        );
        assert!(exporter::is_up(&scrape, "redis"));
        assert_eq!(scrape.state("redis").as_deref(), Some("ok"));
        assert_eq!(
            scrape.sum("redis_connection_errors_total", &[("instance", "redis")]),
            0.0
        );
        let log = exporter.log();
        let warnings: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("level=warn") && line.contains(collector))
            .filter_map(|line| line.split_once(" message="))
            .map(|(_time, message)| message)
            .collect();
        let distinct: BTreeSet<&str> = warnings.iter().copied().collect();
        assert!(!warnings.is_empty(), "nobody is told: {log}");
        assert_eq!(
            warnings.len(),
            distinct.len(),
            "a denied command is warned of once: {log}"
        );
    }
}

#[test]
fn nothing_is_missing_with_all_permissions() {
    let server = server_without(&[]);
    let exporter = watch(&server);
    exporter.wait_until_up(&["redis"]);
    let scrape = exporter.wait_for("four polls", config::INFO * 4 + SLACK, |scrape| polls(scrape) >= 4.0);
    assert!(
        !scrape.has("redis_session_exporter_collector_unavailable", &[]),
        "{}",
        scrape.about("redis")
    );
    let failed: Vec<_> = scrape
        .all("redis_session_exporter_collector_success", &[])
        .filter(|sample| sample.value != 1.0)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn info_denied_leaves_ping() {
    let server = server_without(&["-info"]);
    let exporter = watch(&server);
    let scrape = exporter.wait_for_instance("redis", "INFO is denied", config::INFO * 2 + SLACK, |scrape| {
        scrape.has(
            "redis_session_exporter_collector_unavailable",
            &[("collector", "memory"), ("reason", "denied")],
        )
    });
    assert_eq!(
        scrape.value("redis_connection_status", &[("instance", "redis")]),
        Some(1.0)
    );
    assert_eq!(scrape.value("redis_up", &[("instance", "redis")]), Some(1.0));
    assert!(!scrape.has("redis_memory_used_bytes", &[("instance", "redis")]));
    assert_eq!(exporter.get("/-/ready").status, 200);
}

/// How often the server refused to run a command, whoever asked.
pub fn rejected(server: &RedisServer, command: &str) -> u64 {
    let text = server.command(&["INFO", "commandstats"]).text();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("cmdstat_{command}:")));
    let Some(line) = line else { return 0 };
    let (_, count) = line.split_once("rejected_calls=").unwrap();
    count.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn many_logins_cost_a_user_without_pttl_one_denial() {
    let server = server_without(&["-pttl"]);
    server.command(&["CONFIG", "SET", "notify-keyspace-events", "Egxen"]);
    let further = "username: monitor\npassword: secret\npoll: { scan_interval: 1h }\n\
                   sessions:\n  - { store: web, match: [\"sess:*\"] }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let value = |scrape: &Scrape, name: &str| scrape.value(name, &[("instance", "redis"), ("store", "web")]);
    let mut client = server.client();
    exporter.wait_for_instance("redis", "events are heard", BOUND, |scrape| {
        value(scrape, "sessions_active_high") == Some(0.0)
    });
    let mut login = |from: usize, count: usize| {
        let words =
            |number: usize| ["SET", &format!("sess:{number}"), "x", "EX", "1000"].map(|word| word.as_bytes().to_vec());
        let commands: Vec<_> = (from..from + count).map(|number| words(number).to_vec()).collect();
        client.pipeline(&commands);
    };
    login(0, 200);
    let warned = wait_until(BOUND, || exporter.log().contains("may not run PTTL").then_some(()));
    assert!(warned.is_some(), "{}", exporter.log());
    // What is refused stays so for later ones.
    login(200, 200);
    let before = polls(&exporter.scrape());
    let scrape = exporter.wait_for("time to ask again", BOUND, |scrape| {
        polls(scrape) > before + 8.0 && value(scrape, "sessions_active") == Some(400.0)
    });
    // A pass that a gap started would ask for itself: the failure shows whether there was one.
    assert_eq!(rejected(&server, "pttl"), 1, "{}", scrape.about("redis"));
    assert!(!scrape.has("session_ttl_seconds_count", &[("instance", "redis")]));
    assert_eq!(exporter.log().matches("may not run PTTL").count(), 1);
}

/// Runs `check` as `user` with the password `secret`.
fn check(address: &str, user: &str, sessions: &str) -> exporter::Ended {
    let further = format!("username: {user}\npassword: secret\nsessions:\n  - {{ store: web, {sessions} }}");
    let ended = exporter::run_with(&["check"], &[], Some(&config::fast(&[("redis", address, &further)])));
    assert!(!ended.output.contains("secret"), "{}", ended.output);
    ended
}

/// The words of the line that `check` wants pasted.
fn mending_line(output: &str) -> Vec<&str> {
    let mut lines = output.lines().filter(|line| line.contains("ACL SETUSER"));
    let line = lines.next().unwrap_or_else(|| panic!("{output}"));
    assert_eq!(lines.next(), None, "one line mends everything: {output}");
    let words: Vec<&str> = line.split_whitespace().skip_while(|word| *word != "ACL").collect();
    let distinct: BTreeSet<&str> = words.iter().copied().collect();
    assert_eq!(words.len(), distinct.len(), "each rule is named once: {line}");
    words
}

/// Nothing is missing, nothing failed.
fn is_complete(ended: &exporter::Ended) {
    assert_eq!(ended.code, 0, "{}", ended.output);
    // What alerts need beside rights is another matter.
    let lines = ended.output.lines();
    let output: String = lines
        .filter(|line| !line.trim_start().starts_with("cannot fire "))
        .collect::<Vec<&str>>()
        .join("\n");
    for complaint in [
        "ACL SETUSER",
        "may not",
        "cannot",
        "failed",
        "a part",
        "denied",
        "unknown",
    ] {
        assert!(!output.contains(complaint), "{complaint}: {output}");
    }
}

#[test]
fn check_names_the_line_that_mends() {
    // `latency` goes on with its other sources, so that its missing command must be named all the same.
    let server = server_without(&["-slowlog", "-latency", "-scan", "-ping", "-info"]);
    let address = server.address();
    let sessions = "match: [\"sess:*\"]";
    let ended = check(&address, "monitor", sessions);
    assert_eq!(ended.code, 1, "without PING no verdict is possible: {}", ended.output);
    assert!(ended.output.contains("may not run PING"), "{}", ended.output);
    let line = mending_line(&ended.output);
    for rule in ["+ping", "+info", "+slowlog|len", "+slowlog|get", "+scan"] {
        assert!(line.contains(&rule), "{rule}: {line:?}");
    }
    server.command(&line);
    assert!(
        ended.output.contains("memory_limit: let the user run INFO"),
        "{}",
        ended.output
    );
    // Without INFO nobody knew what else to ask this server for.
    assert!(ended.output.contains("run check again"), "{}", ended.output);
    let ended = check(&address, "monitor", sessions);
    assert_eq!(ended.code, 0, "{}", ended.output);
    let line = mending_line(&ended.output);
    assert_eq!(
        line,
        ["ACL", "SETUSER", "monitor", "+latency|histogram", "+latency|latest"]
    );
    server.command(&line);
    is_complete(&check(&address, "monitor", sessions));
}

#[test]
fn check_mends_the_default_user_too() {
    // With a password alone the default user may do everything; only who took something away has something to mend.
    let server = RedisServer::start_with(&["--requirepass", "secret"]);
    let text = config::fast(&[("redis", &server.address(), "password: secret")]);
    let run = || exporter::run_with(&["check"], &[], Some(&text));
    is_complete(&run());
    server.command(&["ACL", "SETUSER", "default", "-slowlog"]);
    let ended = run();
    let line = mending_line(&ended.output);
    assert_eq!(line, ["ACL", "SETUSER", "default", "+slowlog|get", "+slowlog|len"]);
    server.command(&line);
    is_complete(&run());
}

#[test]
fn check_tries_every_database() {
    let server = server_without(&[]);
    let ended = check(&server.address(), "monitor", "match: [\"a\"], databases: [0, 3, 60000]");
    for line in [
        "sessions        db0: ok, stores: web",
        "sessions        db3: ok, stores: web",
        "sessions        db60000: cannot be counted: SELECT answers ERR, stores: web",
    ] {
        assert!(ended.output.contains(line), "{line}: {}", ended.output);
    }
}

#[test]
fn check_goes_on_where_select_is_denied() {
    let server = server_without(&["-select", "-dbsize"]);
    let address = format!("{}/3", server.address());
    let ended = check(&address, "monitor", "match: [\"a\"], databases: [3, 4]");
    assert_eq!(ended.code, 1, "{}", ended.output);
    for line in [
        "db3: cannot be counted: the user may not run SELECT, stores: web, how much of",
        "db4: cannot be counted: the user may not run SELECT, stores: web, how much of",
    ] {
        assert!(ended.output.contains(line), "{line}: {}", ended.output);
    }
    let line = mending_line(&ended.output);
    assert_eq!(line, ["ACL", "SETUSER", "monitor", "+dbsize", "+select"]);
    server.command(&line);
    is_complete(&check(&address, "monitor", "match: [\"a\"], databases: [3, 4]"));
}

#[test]
fn check_says_which_collectors_of_keys_cannot_run() {
    let keys = "sessions: []\ncount_keys: [{ match: 'a*', databases: [2] }]\ncheck_keys: [{ match: 'b*' }]\n\
                check_single_keys: [{ key: c, database: 1 }]";
    for (rules, hindered, reason) in [
        (
            &["-select"][..],
            &["count_keys", "check_keys", "check_single_keys"][..],
            "SELECT",
        ),
        (&["-scan"], &["count_keys", "check_keys"], "SCAN"),
        (
            &["-@all", "+ping"],
            &["count_keys", "check_keys", "check_single_keys"],
            "SELECT",
        ),
    ] {
        let server = server_without(rules);
        let further = format!("username: monitor\npassword: secret\n{keys}");
        let text = config::fast(&[("redis", &server.address(), &further)]);
        let output = exporter::run_with(&["check"], &[], Some(&text)).output;
        for collector in ["count_keys", "check_keys", "check_single_keys"] {
            let sentence = format!("cannot run: the user may not run {reason}");
            let mut lines = output
                .lines()
                .filter(|line| line.split_whitespace().next() == Some(collector));
            let says = lines.any(|line| line.contains(&sentence));
            assert_eq!(says, hindered.contains(&collector), "{rules:?} {collector}: {output}");
        }
        assert!(!output.contains("sessions        db"), "no store is named: {output}");
        assert!(
            mending_line(&output).contains(&format!("+{}", reason.to_lowercase()).as_str()),
            "{output}"
        );
    }
}

#[test]
fn check_names_the_rule_for_databases() {
    let server = server_without(&[]);
    let reply = server
        .client()
        .try_command(&["ACL", "SETUSER", "monitor", "resetdbs", "db=0,1"]);
    if matches!(reply, Reply::Error(_)) {
        // Valkey keeps databases per user from 9.1 on, Redis does not.
        assert!(!has_databases_per_user(&server), "{reply:?}");
        return;
    }
    let sessions = "match: [\"a\"], databases: [1, 5]";
    let ended = check(&server.address(), "monitor", sessions);
    assert!(ended.output.contains("db1: ok"), "{}", ended.output);
    assert!(
        ended
            .output
            .contains("db5: cannot be counted: the user may not use this database"),
        "{}",
        ended.output
    );
    server.command(&mending_line(&ended.output));
    is_complete(&check(&server.address(), "monitor", sessions));
}

fn has_databases_per_user(server: &RedisServer) -> bool {
    is_valkey_from(server, (9, 1))
}

fn is_valkey_from(server: &RedisServer, least: (u32, u32)) -> bool {
    server.info("valkey_version").is_some_and(|version| {
        let mut numbers = version.split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap()) >= least
    })
}

/// Entries of ACL LOG, which must not grow by what we do.
fn denials(server: &RedisServer) -> Vec<Reply> {
    server.command(&["ACL", "LOG"]).array().to_vec()
}

#[test]
fn check_says_what_follows_where_greetings_are_denied() {
    let server = server_without(&["-client"]);
    let run = |further: &str| {
        let further = format!("username: monitor\npassword: secret\nsessions: []\n{further}");
        exporter::run_with(
            &["check"],
            &[],
            Some(&config::fast(&[("redis", &server.address(), &further)])),
        )
        .output
    };
    let output = run("count_keys: [ { match: 'a*' } ]");
    assert!(
        output.contains("the user may not run CLIENT SETNAME: CLIENT LIST"),
        "{output}"
    );
    let mended = ["ACL", "SETUSER", "monitor", "+client|list", "+client|setname"];
    assert_eq!(mending_line(&output), mended);
    let output = run("check_keys: [ { match: 'a*' } ]");
    if server.info("redis_version").unwrap().as_str() >= "7.2" {
        assert!(
            output.contains("the user may not run CLIENT NO-TOUCH: looking"),
            "{output}"
        );
        assert!(mending_line(&output).contains(&"+client|no-touch"), "{output}");
    } else {
        assert!(!output.contains("NO-TOUCH"), "{output}");
    }
    assert!(run("compatibility: { set_client_name: off }").find("SETNAME").is_none());
}

#[test]
fn check_names_the_keys_that_metrics_of_the_application_need() {
    let server = RedisServer::start();
    server.command(&["SET", "metrics:jobs?", "7"]);
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "on",
        ">secret",
        "resetkeys",
        "~other:*",
        "&*",
        "+@all",
    ]);
    let further = "username: monitor\npassword: secret\nsessions: []\napplication_metrics:\n  \
                   - { name: jobs_waiting, type: gauge, help: \"Jobs that wait\", key: \"metrics:jobs?\" }";
    let config = config::fast(&[("redis", &server.address(), further)]);
    let run = || exporter::run_with(&["check"], &[], Some(&config));
    let ended = run();
    assert!(ended.output.contains("0 of 1 metrics can be read"), "{}", ended.output);
    assert!(
        ended.output.contains("not available   application_metrics: "),
        "{}",
        ended.output
    );
    let line = mending_line(&ended.output);
    assert_eq!(line, ["ACL", "SETUSER", "monitor", "%R~metrics:jobs\\?"]);
    server.command(&line);
    let ended = run();
    is_complete(&ended);
    assert!(ended.output.contains("1 of 1 metrics can be read"), "{}", ended.output);
    assert!(!ended.output.contains("application_metrics:"), "{}", ended.output);
}

#[test]
fn check_asks_whether_the_synthetic_session_may_be_written() {
    let server = RedisServer::start();
    let set_user = |rules: &[&str]| {
        let mut words = vec!["ACL", "SETUSER", "monitor", "reset", "on", ">secret", "&*"];
        words.extend(rules);
        server.command(&words);
    };
    let further = "username: monitor\npassword: secret\nsessions: []\nsession_probe: { enabled: true }";
    let config = config::fast(&[("redis", &server.address(), further)]);
    let run = || exporter::run_with(&["check"], &[], Some(&config));

    set_user(&["resetkeys", "+@all", "-expire"]);
    let ended = run();
    let denied = "the user may not run SET, GET, EXPIRE, DEL below redis-session-exporter:probe:";
    assert!(ended.output.contains(denied), "{}", ended.output);
    assert!(
        ended.output.contains("not available   session_probe: "),
        "{}",
        ended.output
    );
    let line = mending_line(&ended.output);
    for rule in ["+set", "+get", "+expire", "+del", "~redis-session-exporter:probe:*"] {
        assert!(line.contains(&rule), "{rule}: {line:?}");
    }
    server.command(&line);
    let ended = run();
    is_complete(&ended);
    assert!(
        ended.output.contains("ok, the user may write below"),
        "{}",
        ended.output
    );
    assert!(!ended.output.contains("session_probe:"), "{}", ended.output);

    // A user who may not ask: one denial, and the rules in words.
    set_user(&["~*", "+@all", "-acl"]);
    server.command(&["ACL", "LOG", "RESET"]);
    let ended = run();
    let rules = "it needs `~redis-session-exporter:probe:* +set +get +expire +del`";
    assert!(ended.output.contains(rules), "{}", ended.output);
    assert!(!ended.output.contains("ACL SETUSER"), "{}", ended.output);
    assert_eq!(denials(&server).len(), 1);
    assert_eq!(rejected(&server, "acl|dryrun"), 1);
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0, "check never writes");
}

#[test]
fn a_mended_permission_is_found_at_the_reload() {
    let server = server_without(&["-slowlog"]);
    let config = config::fast(&[("redis", &server.address(), "username: monitor\npassword: secret")]);
    let exporter = Exporter::start(&config);
    let denied = [("collector", "slowlog"), ("reason", "denied")];
    exporter.wait_for_instance("redis", "slowlog is denied", config::INFO * 2 + SLACK * 2, |scrape| {
        scrape.has("redis_session_exporter_collector_unavailable", &denied)
    });
    server.command(&["ACL", "SETUSER", "monitor", "+slowlog"]);
    // The instance itself must change for the daemon to look again before its ten minutes are over.
    exporter.reload(&format!("{config}    labels: {{ team: auth }}\n"));
    exporter.wait_for_instance("redis", "slowlog is there", config::INFO * 4 + SLACK, |scrape| {
        scrape.has("redis_slowlog_length", &[("instance", "redis"), ("team", "auth")])
            && !scrape.has("redis_session_exporter_collector_unavailable", &denied)
    });
}
