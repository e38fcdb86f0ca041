//! A password is changed while the exporter runs: on the server and in the file, in both orders, with connections cut and not, and
//! nothing is restarted.

use crate::bench::{BACK_BOUND, Bench, DOWN_BOUND, FAULTY};
use crate::support::config::{self, CONNECT, PING, SCAN};
use crate::support::exporter::is_up;
use crate::support::redis_server::RedisServer;
use crate::support::resp::Reply;
use crate::support::scrape::Scrape;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The user of the exporter, beside a default user that needs no password: whoever falls back to that one is let in.
const USER: &str = "monitor";

/// Time in which attempts are counted: long enough for every connection to be due several times.
const STORM_WINDOW: Duration = Duration::from_secs(3);

const LABELS: [(&str, &str); 1] = [("instance", FAULTY)];

/// A server with a user, and an exporter that has the password from a file and uses every kind of connection: the kept one, the fresh one,
/// the scanning one and the subscriber.
struct Scene {
    server: RedisServer,
    file: PathBuf,
    bench: Bench,
}

impl Scene {
    fn new() -> Self {
        let server = RedisServer::start_with(&["--notify-keyspace-events", "KEA"]);
        let file = server.path("password");
        std::fs::write(&file, "first\n").unwrap();
        let scene = Self::on(server, file, &format!("username: {USER}\n"));
        scene.works_everywhere("before anything is changed");
        scene
    }

    fn on(server: RedisServer, file: PathBuf, user: &str) -> Self {
        server.command(&["SET", "sess:1", "x", "EX", "3600"]);
        if !user.is_empty() {
            set_password(&server, "first");
        }
        let further = format!(
            "{user}password_file: {}\nsessions:\n  - {{ store: web, match: [\"sess:*\"], events: on }}",
            file.display()
        );
        let bench = Bench::new(&server.address(), &further);
        Self { server, file, bench }
    }

    /// Changes the password of the user; the old one is gone, and connections stay.
    fn change_on_server(&self, password: &str) {
        set_password(&self.server, password);
    }

    fn change_in_file(&self, password: &str) {
        replace(&self.file, password);
    }

    /// Closes every connection of the exporter.
    fn cut(&self) {
        self.server.command(&["CLIENT", "KILL", "USER", USER]);
    }

    /// All four kinds of connections do their work, and did it after this was called.
    fn works_everywhere(&self, when: &str) -> Scrape {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let before = self.bench.exporter.scrape();
        let connects = before.value("redis_connects_total", &LABELS).unwrap();
        let what = format!("{when}: PING, fresh connection, scan and events work");
        // Each is due again within its interval, and may then take a deadline that began before.
        let bound = BACK_BOUND + CONNECT.max(SCAN) * 2;
        self.bench.exporter.wait_for_instance(FAULTY, &what, bound, |scrape| {
            let scanned = scrape.value("session_scan_last_success_timestamp_seconds", &LABELS);
            is_up(scrape, FAULTY)
                && scrape.state(FAULTY).as_deref() == Some("ok")
                && scrape.value("redis_connect_success", &LABELS) == Some(1.0)
                // More than one new connection: those of a scan and of `connect`.
                && scrape.value("redis_connects_total", &LABELS).is_some_and(|now| now >= connects + 2.0)
                && scanned.is_some_and(|scanned| scanned > since)
                && scrape.value("session_events_connected", &LABELS) == Some(1.0)
        })
    }

    /// Everything is down because of the password.
    fn is_locked_out(&self) {
        let scrape = self.bench.fails_with(&["auth"], 0.0);
        assert_eq!(scrape.state(FAULTY).as_deref(), Some("auth"));
    }

    /// `mend` is followed by at most two failed PINGs: the instance is back within two ping intervals.
    fn is_back_within_two_pings(&self, mend: impl FnOnce()) {
        let failures = |scrape: &Scrape| scrape.value("redis_ping_failures_total", &LABELS).unwrap();
        let before = failures(&self.bench.exporter.scrape());
        mend();
        let scrape = self.bench.recovers();
        let after = failures(&scrape);
        // One may have failed between the look and the mending, and one was perhaps under way.
        assert!(
            after - before <= 2.0,
            "{} PINGs failed after the password was right\n{}",
            after - before,
            self.bench.exporter.log()
        );
        self.works_everywhere("after the password was right");
    }

    /// How often AUTH failed since the statistics were reset.
    fn refused_logins(&self) -> u64 {
        let stats = self.server.command(&["INFO", "commandstats"]).text();
        let auth = stats.lines().find_map(|line| line.strip_prefix("cmdstat_auth:"));
        let failed = auth.and_then(|line| line.split("failed_calls=").nth(1));
        failed.map_or(0, |number| number.trim().parse().unwrap())
    }

    /// Refused logins within a window, and how long it was.
    fn logins_in_a_window(&self) -> (u64, Duration) {
        self.server.command(&["CONFIG", "RESETSTAT"]);
        let begun = Instant::now();
        // What is waited for is that time passes; the number must stay small all the while.
        crate::support::wait_until(STORM_WINDOW, || None::<()>);
        (self.refused_logins(), begun.elapsed())
    }
}

fn set_password(server: &RedisServer, password: &str) {
    let password = format!(">{password}");
    server.command(&[
        "ACL",
        "SETUSER",
        USER,
        "on",
        "resetpass",
        &password,
        "~*",
        "&*",
        "+@all",
    ]);
}

/// Puts a new file in the place of the old one, as careful tools do.
fn replace(file: &Path, password: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{password}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Most attempts in a window where one is made per interval, with the one at each end.
fn most(window: Duration, interval: Duration) -> u64 {
    u64::try_from(window.as_millis() / interval.as_millis()).unwrap() + 2
}

/// What every guide recommends: for a while both are right. Nobody notices anything.
#[test]
fn both_passwords_are_valid_for_a_while() {
    let scene = Scene::new();
    scene.server.command(&["ACL", "SETUSER", USER, ">second"]);
    scene.change_in_file("second");
    scene.works_everywhere("with both passwords");
    scene.server.command(&["ACL", "SETUSER", USER, "<first"]);
    let scrape = scene.works_everywhere("with the new password alone");
    scene.cut();
    scene.works_everywhere("after every connection was cut");
    for name in ["redis_connection_errors_total", "redis_connect_failures_total"] {
        assert_eq!(scrape.sum(name, &LABELS), 0.0, "{name}\n{}", scrape.about(FAULTY));
    }
    assert_eq!(scrape.value("redis_ping_failures_total", &LABELS), Some(0.0));
}

/// `resetpass` cuts no connection: users who are in stay in. Only who comes anew is refused, and that shows.
#[test]
fn server_first_without_a_cut() {
    let scene = Scene::new();
    scene.change_on_server("second");
    let scrape = scene
        .bench
        .watch("the fresh connection is refused", DOWN_BOUND + CONNECT, |scrape| {
            scrape.value("redis_connect_success", &LABELS) == Some(0.0)
        });
    assert_eq!(
        scrape.value("redis_connection_status", &LABELS),
        Some(1.0),
        "{}",
        scrape.about(FAULTY)
    );
    scene.bench.watch("it is counted as `auth`", DOWN_BOUND, |scrape| {
        let labels = [("instance", FAULTY), ("reason", "auth")];
        scrape.sum("redis_connection_errors_total", &labels) >= 1.0
    });
    scene.change_in_file("second");
    let scrape = scene.works_everywhere("after the file was changed");
    assert_eq!(
        scrape.value("redis_ping_failures_total", &LABELS),
        Some(0.0),
        "the kept connection never noticed"
    );
    scene.cut();
    scene.works_everywhere("after every connection was cut");
}

#[test]
fn server_first_with_a_cut() {
    let scene = Scene::new();
    scene.change_on_server("second");
    scene.cut();
    scene.is_locked_out();
    scene.is_back_within_two_pings(|| scene.change_in_file("second"));
}

#[test]
fn file_first_with_a_cut() {
    let scene = Scene::new();
    scene.change_in_file("second");
    scene
        .bench
        .watch("the fresh connection is refused", DOWN_BOUND + CONNECT, |scrape| {
            scrape.value("redis_connect_success", &LABELS) == Some(0.0)
        });
    scene.cut();
    scene.is_locked_out();
    scene.is_back_within_two_pings(|| scene.change_on_server("second"));
}

/// A deleted user takes its connections along.
#[test]
fn user_is_deleted_and_made_anew() {
    let scene = Scene::new();
    scene.server.command(&["ACL", "DELUSER", USER]);
    scene.change_on_server("second");
    scene.is_locked_out();
    scene.is_back_within_two_pings(|| scene.change_in_file("second"));
    // And the other way round.
    scene.change_in_file("third");
    scene.server.command(&["ACL", "DELUSER", USER]);
    scene.is_locked_out();
    scene.is_back_within_two_pings(|| scene.change_on_server("third"));
}

/// The one password of a server without users of its own.
#[test]
fn requirepass_is_changed() {
    let server = RedisServer::start_with(&["--requirepass", "first", "--notify-keyspace-events", "KEA"]);
    let file = server.path("password");
    std::fs::write(&file, "first").unwrap();
    let scene = Scene::on(server, file, "");
    scene.works_everywhere("before anything is changed");
    let mut client = scene.server.client();
    let mut change = |password: &str| {
        client.command(&["CONFIG", "SET", "requirepass", password]);
        client.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        client.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    };
    change("second");
    scene.is_locked_out();
    scene.is_back_within_two_pings(|| scene.change_in_file("second"));
    scene.change_in_file("third");
    scene.is_back_within_two_pings(|| change("third"));
}

/// Kubernetes keeps a secret behind two links, `password -> ..data/password` and `..data -> ..2026_11_20`, and changes the second one by
/// a rename.
#[test]
fn secret_of_kubernetes_is_swapped() {
    use std::os::unix::fs::symlink;
    let server = RedisServer::start_with(&["--notify-keyspace-events", "KEA"]);
    let volume = server.path("volume");
    let publish = |version: &str, password: &str| {
        std::fs::create_dir_all(volume.join(version)).unwrap();
        std::fs::write(volume.join(version).join("password"), password).unwrap();
        let _ = std::fs::remove_file(volume.join("..data_tmp"));
        symlink(version, volume.join("..data_tmp")).unwrap();
        std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    publish("..2026_01", "first");
    let file = volume.join("password");
    symlink("..data/password", &file).unwrap();
    let scene = Scene::on(server, file, &format!("username: {USER}\n"));
    scene.works_everywhere("before anything is changed");
    scene.change_on_server("second");
    scene.cut();
    scene.is_locked_out();
    scene.is_back_within_two_pings(|| {
        publish("..2026_02", "second");
        std::fs::remove_dir_all(volume.join("..2026_01")).unwrap();
    });
}

/// The file of many servers is a file like any other.
#[test]
fn map_of_passwords_is_rewritten() {
    let server = RedisServer::start_with(&["--notify-keyspace-events", "KEA"]);
    let file = server.path("passwords.json");
    let map = |password: &str| format!("{{\"redis://{USER}@127.0.0.1:{}\": \"{password}\"}}", server.port);
    let (first, second) = (map("first"), map("second"));
    std::fs::write(&file, first).unwrap();
    let scene = Scene::on(server, file, &format!("username: {USER}\n"));
    scene.works_everywhere("before anything is changed");
    scene.change_on_server("second");
    scene.cut();
    scene.is_locked_out();
    scene.is_back_within_two_pings(|| scene.change_in_file(&second));
}

/// A password in `exporter.yaml` itself takes a reload, and no restart.
#[test]
fn password_of_the_configuration_is_reloaded() {
    let server = RedisServer::start();
    set_password(&server, "first");
    let further = |password: &str| format!("username: {USER}\npassword: {password}");
    let bench = Bench::new(&server.address(), &further("first"));
    set_password(&server, "second");
    server.command(&["CLIENT", "KILL", "USER", USER]);
    bench.fails_with(&["auth"], 0.0);
    let config = std::fs::read_to_string(bench.exporter.path("exporter.yaml")).unwrap();
    bench.exporter.reload(&config.replace(
        &further("first").replace('\n', "\n    "),
        &further("second").replace('\n', "\n    "),
    ));
    bench.recovers();
}

/// The default user of this server needs no password. Every connection that goes on after a refused AUTH would be let in as that user.
#[test]
fn no_connection_goes_on_as_the_default_user() {
    let scene = Scene::new();
    scene.change_on_server("second");
    scene.cut();
    scene.is_locked_out();
    scene.server.command(&["CONFIG", "RESETSTAT"]);
    // Until every kind of connection was tried and refused.
    let refused = scene
        .bench
        .exporter
        .scrape()
        .sum("redis_connect_failures_total", &LABELS);
    scene
        .bench
        .watch("further attempts of all kinds", Duration::from_secs(20), |scrape| {
            scrape.sum("redis_connect_failures_total", &LABELS) >= refused + 20.0
        });
    let stats = scene.server.command(&["INFO", "commandstats"]).text();
    let ours = ["auth", "client|setname", "select"];
    // What this test sends itself.
    let tests = ["config|resetstat", "info", "acl|setuser"];
    for line in stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")) {
        let command = line.split(':').next().unwrap();
        assert!(
            ours.contains(&command) || tests.contains(&command),
            "{command} after a refused AUTH\n{stats}"
        );
        let calls = line
            .split("calls=")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .unwrap();
        assert!(command != "info" || calls == "0", "INFO after a refused AUTH\n{stats}");
    }
    let Reply::Bulk(clients) = scene.server.command(&["CLIENT", "LIST"]) else {
        panic!("CLIENT LIST is a text")
    };
    let clients = String::from_utf8(clients).unwrap();
    assert!(!clients.contains("cmd=subscribe"), "{clients}");
}

/// Servers that count failed logins lock users out, and log every one.
#[test]
fn a_wrong_password_is_tried_once_per_interval_and_connection() {
    let scene = Scene::new();
    scene.change_on_server("second");
    scene.cut();
    scene.is_locked_out();
    let (refused, window) = scene.logins_in_a_window();
    // The kept connection, the fresh one and the scan. The subscriber is not tried while PING fails.
    let bound = most(window, PING) + most(window, CONNECT) + most(window, SCAN);
    assert!(
        refused >= most(window, PING) / 3,
        "{refused} refused logins: the exporter has given up"
    );
    assert!(
        refused <= bound,
        "{refused} refused logins in {window:?}, at most {bound} are due"
    );
}

/// The kept connection is in, the subscriber is not.
#[test]
fn a_refused_subscriber_is_tried_once_per_interval() {
    let scene = Scene::new();
    scene.change_on_server("second");
    scene.server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    scene.bench.watch("no events", DOWN_BOUND, |scrape| {
        scrape.value("session_events_connected", &LABELS) == Some(0.0)
    });
    let (refused, window) = scene.logins_in_a_window();
    let bound = most(window, PING) + most(window, CONNECT) + most(window, SCAN);
    assert!(
        refused >= most(window, CONNECT) / 3,
        "{refused} refused logins: the exporter has given up"
    );
    assert!(
        refused <= bound,
        "{refused} refused logins in {window:?}, at most {bound} are due"
    );
    scene.change_in_file("second");
    scene.works_everywhere("after the file was changed");
    let scrape = scene.bench.exporter.scrape();
    assert_eq!(scrape.value("redis_ping_failures_total", &LABELS), Some(0.0));
}

/// The passwords that people have: what means something in URLs, YAML, shells and JSON, and what is no ASCII, by every way in.
#[test]
fn odd_passwords_by_every_way() {
    let passwords = [
        "#hash#",
        "50%",
        "%41",
        "a@b@c",
        "a:b:",
        "a/b//",
        "ü€漢😀",
        " spaces ",
        "$HOME ${HOME} `id`",
        "\"'\\",
        "?q=1&r=2",
        "[::1]",
        "{a: b}",
        "-",
        "null",
        "0x10",
    ];
    let server = RedisServer::start();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let mut instances = Vec::new();
    let mut variables = Vec::new();
    for (number, password) in passwords.iter().enumerate() {
        let user = format!("u{number}-{password}").replace(' ', "_");
        server.command(&[
            "ACL",
            "SETUSER",
            &user,
            "on",
            &format!(">{password}"),
            "~*",
            "&*",
            "+@all",
        ]);
        let file = server.path(&format!("password-{number}"));
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let variable = format!("PASSWORD_{number}");
        let plain = server.address();
        let in_url = format!(
            "redis://{}:{}@127.0.0.1:{}",
            encoded(&user),
            encoded(password),
            server.port
        );
        let user = quoted(&user);
        instances.extend([
            (
                format!("inline-{number}"),
                plain.clone(),
                format!(
                    "username: {user}\npassword: {}",
                    quoted_unless_variable(password, &quoted)
                ),
            ),
            (
                format!("file-{number}"),
                plain.clone(),
                format!("username: {user}\npassword_file: {}", file.display()),
            ),
            (
                format!("variable-{number}"),
                plain,
                format!("username: {user}\npassword: ${{{variable}}}"),
            ),
            (format!("url-{number}"), in_url, String::new()),
        ]);
        variables.push((variable, (*password).to_owned()));
    }
    let instances: Vec<(&str, &str, &str)> = instances
        .iter()
        .map(|(name, address, further)| (name.as_str(), address.as_str(), further.as_str()))
        .collect();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    // Sixty-four instances at one server: slowness is not what is asked about.
    let exporter = crate::support::exporter::Exporter::start_in(&config::patient(&instances), &[], &variables);
    let names: Vec<&str> = instances.iter().map(|(name, _, _)| *name).collect();
    exporter.wait_until_up(&names);
}

/// A text that looks like a variable can only come from one.
fn quoted_unless_variable(text: &str, quoted: &impl Fn(&str) -> String) -> String {
    assert!(!(text.starts_with("${") && text.ends_with('}')));
    quoted(text)
}

/// systemd says in a variable where the credentials of a unit are.
#[test]
fn credentials_of_systemd() {
    let server = RedisServer::start();
    set_password(&server, "first");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("redis"), "first\n").unwrap();
    let further = format!("username: {USER}\npassword_file: ${{CREDENTIALS_DIRECTORY}}/redis");
    let config = config::fast(&[("redis", &server.address(), &further)]);
    let variables = [("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())];
    let exporter = crate::support::exporter::Exporter::start_in(&config, &[], &variables);
    exporter.wait_until_up(&["redis"]);
    let ended = crate::support::exporter::run_with(&["--config.check"], &[], Some(&config));
    assert_eq!(ended.code, 78, "{}", ended.output);
    assert!(
        ended.output.contains("CREDENTIALS_DIRECTORY") && ended.output.contains("LoadCredential="),
        "{}",
        ended.output
    );
}
