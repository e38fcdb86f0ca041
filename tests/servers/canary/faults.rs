//! One process that watches servers without a fault and every fault at once, at every level of the log and in both formats.

use super::matcher::{assert_none, percent_encoded, plain, secret};
use super::outside::{Outputs, environment, everything_served, process};
use super::plants::{Instance, Plants};
use crate::support::exporter::{self, Exporter};
use crate::support::peer::{Answer, ScriptedPeer, Welcome, bulk, healthy, is_command};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use crate::support::{config, free_port, wait_until};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

/// Longest time until every fault shows.
const FAULTS_BOUND: Duration = Duration::from_secs(120);

/// Intervals and deadline: fifty instances poll on two cores that the tests share.
const POLL: &str =
    "poll: { ping_interval: 2s, info_interval: 6s, scan_interval: 6s, connect_interval: 3s, timeout: 4s }\n";

/// Of so many broken files one is loaded where what they are answered with is seen elsewhere.
const FILES_SKIPPED: usize = 10;

/// Repetitions of a secret in a reply that is too large for everything.
const HUGE: usize = 20_000;

/// The states that an instance with a fault may show.
type States = &'static [&'static str];

/// What a parrot makes of a password.
type Reply = fn(&str) -> Vec<u8>;

/// Peers that misbehave, each with an instance and the states that it may show. Passwords and users are secrets of the instance.
struct Faults {
    instances: Vec<(Instance, &'static [&'static str])>,
    /// Kept alive.
    peers: Vec<ScriptedPeer>,
    servers: Vec<RedisServer>,
}

impl Faults {
    fn new() -> Self {
        let mut faults = Self {
            instances: Vec::new(),
            peers: Vec::new(),
            servers: Vec::new(),
        };
        faults.of_addresses();
        faults.of_real_servers();
        faults.of_replies();
        faults.of_parrots();
        faults
    }

    /// An instance at this port with a secret for its password, once within the address and once beside it.
    fn add(&mut self, name: &str, port: u16, states: &'static [&'static str]) {
        let password = plain(&name.replace('-', ""));
        let address = format!("redis://u:{}@127.0.0.1:{port}", percent_encoded(&password));
        self.instances
            .push(((name.to_owned(), address, SESSIONS.to_owned()), states));
    }

    fn add_lines(&mut self, name: &str, address: &str, lines: String, states: &'static [&'static str]) {
        self.instances
            .push(((name.to_owned(), address.to_owned(), lines), states));
    }

    fn peer(
        &mut self,
        name: &str,
        states: &'static [&'static str],
        welcome: Welcome,
        handler: impl FnMut(&[String]) -> Answer + Send + 'static,
    ) {
        let peer = ScriptedPeer::start_with(handler);
        peer.welcome(welcome);
        self.add(name, peer.port, states);
        self.peers.push(peer);
    }

    /// A peer that answers one command like this and the others like a healthy server.
    fn answers(&mut self, name: &str, states: &'static [&'static str], command: &'static str, answer: Answer) {
        self.peer(name, states, Welcome::Serve, move |words| {
            if is_command(words, command) {
                answer.clone()
            } else {
                healthy(words)
            }
        });
    }

    fn of_addresses(&mut self) {
        self.add("refused", free_port(), &["refused"]);
        let password = percent_encoded(&secret("dns"));
        self.add_lines(
            "dns",
            &format!("redis://u:{password}@redis.invalid:6379"),
            String::new(),
            &["dns"],
        );
        let socket = format!("unix://u:{password}@/nonexistent/redis.sock");
        self.add_lines("unreachable", &socket, String::new(), &["unreachable"]);
    }

    fn of_real_servers(&mut self) {
        let server = RedisServer::start_with(&["--requirepass", &secret("ofserver")]);
        let mut client = server.client();
        client.command(&[
            "ACL",
            "SETUSER",
            "denied",
            "on",
            &format!(">{}", secret("denied")),
            "-@all",
            "+hello",
            "+auth",
        ]);
        let quoted = |text: String| format!("'{}'", text.replace('\'', "''"));
        let address = server.address();
        self.add_lines(
            "wrong-password",
            &address,
            format!("password: {}", quoted(secret("wrong"))),
            &["auth"],
        );
        self.add_lines(
            "unknown-user",
            &address,
            format!("username: nobody\npassword: {}", quoted(secret("nobody"))),
            &["auth"],
        );
        self.add_lines("no-password", &address, String::new(), &["auth"]);
        self.add_lines(
            "denied",
            &address,
            format!("username: denied\npassword: {}", quoted(secret("denied"))),
            &["denied"],
        );
        self.servers.push(server);
    }

    fn of_replies(&mut self) {
        let text = secret("inreply");
        let error = |text: &str| Answer::Bytes(format!("-{text}\r\n").into_bytes());
        self.peer("silence", &["timeout"], Welcome::Silence, healthy);
        self.peer(
            "turned-away",
            &["max_clients"],
            Welcome::Farewell(b"-ERR max number of clients reached\r\n".to_vec()),
            healthy,
        );
        self.peer(
            "greets-with-a-secret",
            &["protocol", "closed", "other", "auth"],
            Welcome::Farewell(format!("-ERR {text}\r\n").into_bytes()),
            healthy,
        );
        self.peer("closes", &["closed"], Welcome::Farewell(Vec::new()), healthy);
        for (name, state, code) in [
            ("loading", &["loading"], "LOADING"),
            ("masterdown", &["masterdown"], "MASTERDOWN"),
            ("busy", &["busy"], "BUSY"),
            ("misconf", &["other"], "MISCONF"),
            ("noauth", &["auth"], "NOAUTH"),
            ("noperm", &["denied"], "NOPERM"),
        ] {
            self.answers(name, state, "PING", error(&format!("{code} {text}")));
        }
        self.answers(
            "half",
            &["timeout"],
            "PING",
            Answer::BytesThenHang(format!("+{text}").into_bytes()),
        );
        self.answers(
            "half-closed",
            &["closed"],
            "PING",
            Answer::BytesThenClose(format!("+{text}").into_bytes()),
        );
        for (name, reply) in [
            ("another-reply", format!("+{text}\r\n")),
            ("no-reply", format!("{text}\r\n")),
            ("number", format!(":{text}\r\n")),
            ("length", format!("${text}\r\n")),
            ("nested", format!("{}+{text}\r\n", "*1\r\n".repeat(100))),
        ] {
            self.answers(name, &["protocol"], "PING", Answer::Bytes(reply.into_bytes()));
        }
        self.answers(
            "too-long",
            &["protocol"],
            "PING",
            Answer::BytesThenHang(format!("$4294967296\r\n{text}").into_bytes()),
        );
        self.answers(
            "huge",
            &["protocol", "timeout"],
            "PING",
            Answer::Bytes(format!("+{}\r\n", text.repeat(HUGE)).into_bytes()),
        );
        self.answers(
            "drip",
            &["timeout"],
            "PING",
            Answer::Drip(format!("+{text}").into_bytes()),
        );
        // The connection is fine, what it carries is not.
        for (name, reply) in [
            ("info-error", format!("-ERR {text}\r\n").into_bytes()),
            ("info-code", format!("-{} x\r\n", plain("infocode")).into_bytes()),
            ("info-fields", bulk(format!("# Server\r\nredis_mode:standalone\r\n{text}:1\r\nmaxmemory:{text}\r\nused_memory:{text}\r\ncmdstat_ping:{text}\r\n").as_bytes())),
            ("info-array", format!("*1\r\n+{text}\r\n").into_bytes()),
        ] {
            self.answers(name, &["ok"], "INFO", Answer::Bytes(reply));
        }
        for (name, command) in [
            ("scan-error", "SCAN"),
            ("slowlog-error", "SLOWLOG"),
            ("config-error", "CONFIG"),
            ("latency-error", "LATENCY"),
        ] {
            self.answers(
                name,
                &["ok"],
                command,
                error(&format!("ERR {text} {}", plain("aftercode"))),
            );
        }
        self.answers("scan-code", &["ok"], "SCAN", error(&format!("{} x", plain("scancode"))));
        self.answers(
            "select-error",
            &["ok", "other"],
            "CLIENT",
            error(&format!("ERR {text}")),
        );
        let config = [
            bulk(b"requirepass"),
            bulk(text.as_bytes()),
            bulk(b"masterauth"),
            bulk(text.as_bytes()),
        ]
        .concat();
        self.answers(
            "config-secrets",
            &["ok"],
            "CONFIG",
            Answer::Bytes([b"*4\r\n".to_vec(), config].concat()),
        );
        let keys = [bulk(b"0"), b"*1\r\n".to_vec(), bulk(format!("sess:{text}").as_bytes())].concat();
        self.answers(
            "scan-keys",
            &["ok"],
            "SCAN",
            Answer::Bytes([b"*2\r\n".to_vec(), keys].concat()),
        );
    }

    /// Servers that send back what they were sent: a password has never a better chance to be shown.
    fn of_parrots(&mut self) {
        let quoting = |words: &[String]| {
            Answer::Bytes(
                format!(
                    "-ERR unknown command '{}', with args beginning with: '{}'\r\n",
                    words[0],
                    words[1..].join("' '")
                )
                .into_bytes(),
            )
        };
        self.peer(
            "quotes-what-it-gets",
            &["auth", "other", "protocol"],
            Welcome::Serve,
            quoting,
        );
        self.peer(
            "refuses-with-the-password",
            &["auth", "other"],
            Welcome::Serve,
            |words| match words {
                [command, .., password] if command == "AUTH" => {
                    Answer::Bytes(format!("-WRONGPASS {password} is wrong\r\n").into_bytes())
                }
                _ => healthy(words),
            },
        );
        self.peer(
            "password-for-a-code",
            &["auth", "other"],
            Welcome::Serve,
            |words| match words {
                [command, .., password] if command == "AUTH" => {
                    Answer::Bytes(format!("-{password} it was\r\n").into_bytes())
                }
                _ => healthy(words),
            },
        );
        // It lets in, and then says nothing but the password, in every type of reply.
        let replies: [(&str, States, Reply); 5] = [
            ("parrot-error", &["other", "protocol"], |text| {
                format!("-{text}\r\n").into_bytes()
            }),
            ("parrot-text", &["protocol"], |text| format!("+{text}\r\n").into_bytes()),
            ("parrot-bulk", &["protocol"], |text| bulk(text.as_bytes())),
            ("parrot-array", &["protocol"], |text| {
                [b"*2\r\n".to_vec(), bulk(text.as_bytes()), bulk(text.as_bytes())].concat()
            }),
            ("parrot-garbage", &["protocol"], |text| {
                format!("{text}\r\n").into_bytes()
            }),
        ];
        for (name, states, reply) in replies {
            let mut heard = String::new();
            self.peer(name, states, Welcome::Serve, move |words| match words {
                [command, .., password] if command == "AUTH" => {
                    password.clone_into(&mut heard);
                    Answer::Bytes(b"+OK\r\n".to_vec())
                }
                [command, ..] if ["SELECT", "CLIENT"].contains(&command.as_str()) => Answer::Bytes(b"+OK\r\n".to_vec()),
                _ => Answer::Bytes(reply(&heard)),
            });
        }
        self.add("echo", echo(), &["protocol", "auth", "other", "closed"]);
    }
}

/// What instances of peers count.
const SESSIONS: &str = "sessions:\n  - { store: web, match: [\"sess:*\"] }\ncollectors: { config_all: on }";

/// A port that sends back every byte, for as long as the tests run.
fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut reader, mut writer) = (stream.try_clone().unwrap(), stream);
                let mut piece = [0; 4096];
                while let Ok(length) = reader.read(&mut piece)
                    && length > 0
                    && writer.write_all(&piece[..length]).is_ok()
                {}
            });
        }
    });
    port
}

/// Both scenes in one configuration.
fn configuration(plants: &Plants, faults: &Faults) -> String {
    let planted = plants.instances();
    let all = planted
        .iter()
        .chain(faults.instances.iter().map(|(instance, _)| instance));
    let all: Vec<(&str, &str, &str)> = all
        .map(|(name, address, lines)| (name.as_str(), address.as_str(), lines.as_str()))
        .collect();
    format!("environment: test\n{POLL}{}", config::instances_yaml(&all))
}

/// What is looked at while the faults come: a whole scrape of so many instances takes an unoptimised test long to read.
const VERDICTS: &str = "/metrics?collect[]=ping&collect[]=connect";

/// The same of one instance without a fault, which shows no label `instance` there.
const DETAILS: &str = "/probe?collect[]=sessions&collect[]=lua&collect[]=application&collect[]=config_all&target=";

/// Waits until what is fine is up and has been looked at whole, and every fault shows as what it is.
fn wait_until_all_shows(exporter: &Exporter, plants: &Plants, faults: &Faults) {
    let look = |path: &str| Scrape::parse(&exporter.get(path).text());
    let fine = plants.instances().into_iter().map(|(name, _, _)| (name, &["ok"][..]));
    let faulty = faults
        .instances
        .iter()
        .map(|((name, _, _), states)| (name.clone(), *states));
    let mut missing: Vec<(String, &[&str])> = fine.chain(faulty).collect();
    let all = wait_until(FAULTS_BOUND, || {
        let scrape = look(VERDICTS);
        missing.retain(|(name, states)| {
            let is_fine = plants.instances().iter().any(|(fine, _, _)| fine == name);
            let connects = scrape.value("redis_connect_success", &[("instance", name)]);
            !scrape.state(name).is_some_and(|state| states.contains(&state.as_str()))
                || connects.is_none()
                || (is_fine && connects != Some(1.0))
        });
        missing.is_empty().then_some(())
    });
    assert!(all.is_some(), "these do not show: {missing:?}\n{}", exporter.log());
    for name in ["requirepass", "by-url"] {
        let path = format!("{DETAILS}{name}");
        let is_whole = wait_until(FAULTS_BOUND, || {
            let scrape = look(&path);
            let is_whole = scrape.value("sessions_active", &[]) == Some(25.0)
                && scrape.has("sessions_unencrypted", &[])
                && scrape.all("redis_script_result", &[]).count() == 5
                && scrape.has("queue_length", &[])
                && scrape.has("redis_config_key_value", &[]);
            is_whole.then_some(())
        });
        assert!(
            is_whole.is_some(),
            "{name} is not looked at whole: {}",
            exporter.get(&path).text()
        );
    }
}

/// Everything that one daemon emits at one level and in one format.
fn emitted(plants: &Plants, faults: &Faults, level: &str, format: &str) -> Outputs {
    let variables = plants.variables();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let config = configuration(plants, faults);
    let flags = [
        format!("--log.level={level}"),
        format!("--log.format={format}"),
        "--web.enable-lifecycle".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let exporter = Exporter::start_in(&config, &flags, &variables);
    wait_until_all_shows(&exporter, plants, faults);
    let planted = plants.instances();
    let names = planted
        .iter()
        .chain(faults.instances.iter().map(|(instance, _)| instance));
    let names: Vec<&str> = names.map(|(name, _, _)| name.as_str()).collect();
    // What is served does not depend on the level: everything is asked for once, and at the other levels only what may be logged.
    let is_whole = level == "debug";
    let mut outputs = everything_served(&exporter, if is_whole { &names } else { &names[..1] }, None);
    // Broken files at a reload, which the old configuration survives.
    let files = super::broken::files();
    for text in files.iter().step_by(if is_whole { 1 } else { FILES_SKIPPED }) {
        exporter.rewrite(text);
        let response = exporter.request("POST", "/-/reload", &[]);
        assert_ne!(response.status, 200, "{text}");
        outputs.push(("answer to a reload".to_owned(), response.body));
    }
    for path in ["/", "/metrics", "/config"] {
        outputs.push((format!("{path} after broken files"), exporter.get(path).body));
    }
    outputs.extend(process(&exporter));
    let given: Vec<String> = environment(&exporter)
        .into_iter()
        .filter(|entry| !entry.starts_with("RUST_BACKTRACE="))
        .collect();
    let expected: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(given, expected, "nothing was added to the environment");
    assert!(
        level == "error" || exporter.log().contains("faulty") || exporter.log().lines().count() > 10,
        "{}",
        exporter.log()
    );
    outputs
}

fn at_every_level(format: &str) {
    let plants = Plants::new();
    let faults = Faults::new();
    for level in ["debug", "info", "warn", "error"] {
        assert_none(&emitted(&plants, &faults, level, format));
    }
}

#[test]
fn nothing_is_emitted_in_any_fault_as_logfmt() {
    at_every_level("logfmt");
}

#[test]
fn nothing_is_emitted_in_any_fault_as_json() {
    at_every_level("json");
}

/// `check` and `once` look at the same servers and say more about them than anything else.
#[test]
fn nothing_is_emitted_by_commands() {
    let plants = Plants::new();
    let faults = Faults::new();
    let config = configuration(&plants, &faults);
    let variables = plants.variables();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut outputs = Outputs::new();
    for arguments in [
        &["--config.check"][..],
        &["once", "--unpaced", "--log.level=debug"],
        &["once", "--unpaced", "--log.level=debug", "--log.format=json"],
        &["check", "--log.level=debug"],
    ] {
        let ended = exporter::run_with(arguments, &variables, Some(&config));
        assert!([0, 1].contains(&ended.code), "{arguments:?}: {}", ended.output);
        assert!(ended.output.len() > 20, "{arguments:?} says nothing");
        outputs.push((format!("{arguments:?}"), ended.output.into_bytes()));
    }
    assert_none(&outputs);
}

/// Credentials go to the server that they belong to, and to no other.
#[test]
fn no_server_is_told_the_secret_of_another() {
    let plants = Plants::new();
    let faults = Faults::new();
    let config = configuration(&plants, &faults);
    let variables = plants.variables();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let exporter = Exporter::start_in(&config, &[], &variables);
    wait_until_all_shows(&exporter, &plants, &faults);
    let mut logins = 0;
    for peer in &faults.peers {
        let name = faults
            .instances
            .iter()
            .find_map(|((name, address, _), _)| address.ends_with(&format!(":{}", peer.port)).then_some(name))
            .unwrap();
        let own = plain(&name.replace('-', ""));
        for words in peer.batches().iter().flat_map(|batch| &batch.commands) {
            for word in words {
                let is_own = words[0] == "AUTH" && *word == own;
                logins += usize::from(is_own);
                assert!(
                    is_own || super::matcher::finds(word.as_bytes()).is_empty() || word.starts_with("sess:"),
                    "{name} was told {words:?}"
                );
            }
        }
    }
    assert!(logins > faults.peers.len(), "{logins} logins were seen");
}
