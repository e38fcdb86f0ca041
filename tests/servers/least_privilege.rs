//! The user that `acl` prints: with it everything that the configuration asks for works, and without any single rule of it only those
//! collectors miss something that say that they need the rule.

mod one_missing;
pub mod scene;

use crate::sentinel::{self, Sentinel};
use crate::sessions_auto::BOUND;
use crate::support::config;
use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use crate::support::resp::Reply;
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use scene::{
    EVERYTHING, Scene, assert_complete, denials, fill, lines_of, noperm, printed, run, server, user_of, wait_for_polls,
};
use std::collections::BTreeSet;

/// Instances and a store of each.
const STORES: [(&str, &str); 3] = [("defaults", "web"), ("auto", "connect-redis"), ("everything", "web")];

#[test]
fn with_the_printed_user_everything_works_and_nothing_is_denied() {
    let server = server(&[]);
    let scene = Scene::new();
    fill(&server);
    let configurations = [
        ("defaults", "sessions: [ { store: web, match: ['sess:*'] } ]".to_owned()),
        ("auto", "sessions: auto".to_owned()),
        ("everything", scene.everything()),
        (
            "groups",
            "sessions: []\nkey_groups: { patterns: ['^(.-):'] }".to_owned(),
        ),
    ];
    let text = lines_of(&server.address(), &configurations, false);
    // The server is asked as nobody: the users are still to be made.
    for line in printed(&text, &[]) {
        run(&mut server.client(), &line);
    }
    if configurations.iter().any(|(_, lines)| lines.contains("lua:")) {
        // Only the author of the script knows this.
        server.command(&["ACL", "SETUSER", "everything", "+getbit", "%R~script:*"]);
    }
    server.command(&["ACL", "LOG", "RESET"]);
    let exporter = Exporter::start(&text);
    let names = configurations.each_ref().map(|(name, _)| *name);
    exporter.wait_until_up(&names);
    wait_for_polls(&exporter, &server, &names, 3.0);
    let scrape = exporter.scrape();
    for name in names {
        assert_complete(&scrape, &exporter, name);
    }
    // All of it at once: under way, a pass or a lost event makes a value absent for a moment.
    let is_well = |scrape: &Scrape, (instance, store): (&str, &str)| {
        let of_store = [("instance", instance), ("store", store)];
        scrape.value("sessions_active", &of_store) >= Some(30.0)
            && scrape.has("session_ttl_seconds_count", &of_store)
            && scrape.value("session_events_connected", &[("instance", instance)]) == Some(1.0)
    };
    for of in STORES {
        exporter.wait_for_instance(
            of.0,
            "sessions are counted, and new ones asked for their TTL",
            BOUND,
            |scrape| is_well(scrape, of),
        );
    }
    for (name, labels) in EVERYTHING {
        let labels: Vec<_> = labels.iter().copied().chain([("instance", "everything")]).collect();
        assert!(scrape.has(name, &labels), "{name}: {}", scrape.about("everything"));
    }
    assert!(scrape.has("redis_key_group_memory_usage_bytes", &[("instance", "groups")]));
    assert_eq!(denials(&server), []);
    assert_eq!(noperm(&server), 0);
    let warned = exporter.log();
    assert!(
        !warned.contains("may not run") && !warned.contains("may not be read"),
        "{warned}"
    );
    drop(exporter);
    // Nothing is left for `check` to mend; it asks ACL DRYRUN, which the daemon does not need.
    let checked = exporter::run_with(&["check"], &[], Some(&text)).output;
    assert!(!checked.contains("ACL SETUSER"), "{checked}");
}

#[test]
fn the_line_for_redis_6_2_is_enough_but_for_what_came_later() {
    let server = server(&[]);
    let scene = Scene::new();
    fill(&server);
    let configurations = [("everything", scene.everything())];
    let text = lines_of(&server.address(), &configurations, false);
    let [line] = printed(&text, &["--server=redis-6.2"]).try_into().unwrap();
    assert!(line.contains(" ~sess:* ") && !line.contains('%'), "{line}");
    run(&mut server.client(), &line);
    server.command(&["ACL", "SETUSER", "everything", "+getbit", "%R~script:*"]);
    server.command(&["ACL", "LOG", "RESET"]);
    let exporter = Exporter::start(&text);
    wait_for_polls(&exporter, &server, &["everything"], 3.0);
    // No server of that age is to be had: what this one has beside, and the daemon therefore asks for, is all that is denied.
    let later = ["latency|histogram", "client|no-touch", "eval_ro", "commandlog"];
    for denial in denials(&server) {
        assert!(later.iter().any(|name| denial.object.starts_with(name)), "{denial:?}");
    }
}

#[test]
fn a_node_of_a_cluster_needs_the_line_of_its_cluster() {
    let server = server(&["--cluster-enabled", "yes"]);
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let state = || server.command(&["CLUSTER", "INFO"]).text();
    assert!(wait_until(BOUND, || state().contains("cluster_state:ok").then_some(())).is_some());
    for number in 0..30 {
        server.command(&["SET", &format!("sess:{number}"), "v1:x", "EX", "1000"]);
    }
    let name = format!("127.0.0.1:{}", server.port);
    let text = format!(
        "{}instances:\n  - name: shop\n    address: redis-cluster://{name}\n    username: exporter\n    password: secret\n    \
         collectors: {{ cluster_slot_stats: on }}\n    check_keys: [ {{ match: 'sess:*' }} ]\n    \
         session_probe: {{ enabled: true, interval: 300ms }}\n    sessions: [ {{ store: web, match: ['sess:*'] }} ]\n",
        config::fast_poll().replace("timeout: 500ms", "timeout: 20s")
    );
    let [line] = printed(&text, &[]).try_into().unwrap();
    assert!(
        line.contains("+cluster|shards") && line.contains("+cluster|info"),
        "{line}"
    );
    run(&mut server.client(), &line);
    server.command(&["ACL", "LOG", "RESET"]);
    let exporter = Exporter::start(&text);
    let scrape = exporter.wait_for("the node is found and counted", BOUND, |scrape| {
        scrape.value("sessions_active", &[("instance", &name), ("store", "web")]) == Some(30.0)
            && scrape.value("session_probe_success", &[("instance", &name)]) == Some(1.0)
            && scrape.has("redis_key_size", &[("instance", &name)])
    });
    assert_complete(&scrape, &exporter, &name);
    assert_eq!(denials(&server), []);
}

#[test]
fn a_sentinel_takes_its_own_line() {
    let primary = RedisServer::start();
    let sentinel = Sentinel::start(&sentinel::monitor(&primary, 1));
    let lines = "collectors: { sentinel_peers: on, config_all: on }".to_owned();
    let text = lines_of(&sentinel.address(), &[("exporter", lines)], false);
    let [line] = printed(&text, &[]).try_into().unwrap();
    assert!(line.contains("+sentinel|masters") && !line.contains("+scan"), "{line}");
    run(&mut sentinel.client(), &line);
    sentinel.client().command(&["ACL", "LOG", "RESET"]);
    let exporter = Exporter::start(&text);
    let scrape = exporter.wait_for("the Sentinel is seen", BOUND, |scrape| {
        let labels = [("instance", "exporter")];
        scrape.has("redis_sentinel_master_ckquorum_status", &labels)
            && scrape.value("redis_exporter_scrapes_total", &labels) >= Some(3.0)
    });
    assert_complete(&scrape, &exporter, "exporter");
    let log = sentinel.client().command(&["ACL", "LOG"]);
    assert_eq!(log.array(), []);
}

#[test]
fn the_line_of_the_file_makes_the_same_user() {
    let lines =
        "sessions: [ { store: web, match: ['sess:*', 'my key\"*'] } ]\nsession_probe: { enabled: true }".to_owned();
    let by_command = server(&[]);
    let text = lines_of(&by_command.address(), &[("exporter", lines)], false);
    let [line] = printed(&text, &[]).try_into().unwrap();
    run(&mut by_command.client(), &line);
    let output = exporter::run_with(&["acl", "--format=file"], &[], Some(&text)).output;
    let of_file = output.lines().find(|line| line.starts_with("user exporter ")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.acl");
    let users = format!(
        "user default on nopass ~* &* +@all\n{}\n",
        of_file.replace("PASSWORD", "secret")
    );
    std::fs::write(&file, users).unwrap();
    let by_file = RedisServer::start_with(&["--aclfile", &file.to_string_lossy()]);
    // Servers from 7.0 on name the commands in any order.
    let user = |server: &RedisServer| {
        let told = server.command(&["ACL", "GETUSER", "exporter"]);
        let texts = told.array().iter().map(|part| match part {
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        });
        let words = texts.map(|text| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>());
        words.collect::<Vec<_>>()
    };
    assert_eq!(user(&by_file), user(&by_command));
    assert!(format!("{:?}", user(&by_file)).contains("%R~my?key"), "{line}");
    assert_eq!(user_of(&line), "exporter");
}

/// Whether an instance has gone through a number of polls and passes.
fn has_polled(scrape: &Scrape, instance: &str, polls: f64) -> bool {
    scrape
        .value("redis_exporter_scrapes_total", &[("instance", instance)])
        .is_some_and(|count| count >= polls)
}
