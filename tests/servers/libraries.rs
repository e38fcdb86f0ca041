//! Session libraries that write into a real Redis: their presets count exactly the living sessions, and recognition names the library.
//!
//! The programs are in `tests/libraries`; `tests/servers/install.sh --libraries` installs what they need. A library that is missing fails
//! its test.

use crate::bench::BACK_BOUND;
use crate::support::config;
use crate::support::exporter::Exporter;
use crate::support::process::Process;
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use redis_session_exporter::config::StoreConfig;
use redis_session_exporter::config::presets::{KeyType, TtlKind, by_name};
use redis_session_exporter::sessions::detect::{Detector, KeyEvidence};
use redis_session_exporter::sessions::stores::Store;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Sessions that live after `create`: 40 logins less 8 logouts.
const LIVING: usize = 32;
/// Logins that were logged out.
const ENDED: usize = 8;
/// Lifetime that every program configures.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How much of it is over when the sessions are used again.
const IDLE: Duration = Duration::from_secs(600);
/// Longest run of one program: a hundred requests and, for some, the start of a large interpreter on a busy machine.
const RUN_BOUND: Duration = Duration::from_secs(120);

/// A library under test.
struct Library {
    preset: &'static str,
    /// How the program calls it.
    name: &'static str,
    program: &'static str,
    file: &'static str,
}

/// Where the libraries of npm and PyPI are.
fn installed() -> PathBuf {
    let servers =
        std::env::var_os("REDIS_SESSION_EXPORTER_SERVERS").map_or_else(|| PathBuf::from(".servers"), PathBuf::from);
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(servers)
        .join("libraries")
}

impl Library {
    /// Runs its program in a database.
    fn run(&self, server: &RedisServer, database: u32, action: &str, state: &Path) {
        let program = match self.program {
            "python" => installed().join("python/bin/python"),
            program => PathBuf::from(program),
        };
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libraries");
        let mut command = Command::new(program);
        command
            .env("NODE_PATH", installed().join("node/node_modules"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(scripts.join(self.file))
            .args([self.name, &server.port.to_string(), &database.to_string(), action])
            .arg(state);
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::spawn(command, folder.path());
        let status = process.wait(RUN_BOUND);
        assert!(
            status.is_some_and(|status| status.success()),
            "{} {action}: {status:?}; is it installed (tests/servers/install.sh --libraries)?\n{}",
            self.name,
            process.output()
        );
    }
}

/// Every key of the client's database.
fn keys(client: &mut Client) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = client.command(&["SCAN", &cursor, "COUNT", "100"]);
        let [next, page] = reply.array() else {
            panic!("{reply:?}");
        };
        keys.extend(page.array().iter().map(|key| match key {
            Reply::Bulk(bytes) => bytes.clone(),
            other => panic!("{other:?}"),
        }));
        cursor = next.text();
        if cursor == "0" {
            keys.sort();
            keys.dedup();
            return keys;
        }
    }
}

fn ttl(client: &mut Client, key: &[u8]) -> Option<Duration> {
    let milliseconds = client.bytes(&[b"PTTL", key]).integer();
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// The presets that are recognised in a database, with everything asked of the real server.
fn recognised(client: &mut Client) -> Vec<&'static str> {
    let mut detector = Detector::new();
    for key in keys(client) {
        detector.observe(&key);
    }
    let mut evidence = BTreeMap::new();
    for candidate in detector.candidates() {
        let found: Vec<KeyEvidence> = candidate
            .examples
            .iter()
            .map(|key| {
                let word = client.bytes(&[b"TYPE", key]).text();
                KeyEvidence {
                    key_type: KeyType::ALL.into_iter().find(|key_type| key_type.as_str() == word),
                    has_ttl: Some(ttl(client, key).is_some()),
                }
            })
            .collect();
        evidence.insert(candidate.preset.name, found);
    }
    let recognition = detector.verdict(&evidence);
    recognition.accepted.iter().map(|preset| preset.name).collect()
}

/// What the exporter itself shows of a database under `sessions: auto`: sessions by store, once each of `stores` is counted or, when there
/// are none, once the log says that nothing is recognised.
#[allow(
    clippy::print_stdout,
    reason = "what was recognised is a table that people want to see"
)]
fn exported(server: &RedisServer, database: u32, stores: &[&str]) -> BTreeMap<String, f64> {
    let address = format!("{}/{database}", server.address());
    let exporter = Exporter::start(&config::fast(&[(
        "redis",
        &address,
        "sessions: auto\nscan: { redis_share: 0 }",
    )]));
    let bound = BACK_BOUND + Duration::from_secs(10);
    let scrape = exporter.wait_for_instance("redis", "recognised", bound, |scrape| {
        let is_counted = |store: &&str| scrape.has("sessions_active", &[("store", store)]);
        match stores {
            [] => exporter.log().contains("no session library is recognised"),
            stores => stores.iter().all(is_counted),
        }
    });
    let found = scrape.all("sessions_active", &[("instance", "redis")]);
    let found: BTreeMap<String, f64> = found
        .map(|sample| (sample.labels["store"].clone(), sample.value))
        .collect();
    println!("sessions: auto, {stores:?} in the database: {found:?}");
    found
}

/// How the keys of some sessions of the program's state end.
fn ids(state: &serde_json::Value, which: &str) -> Vec<String> {
    let sessions = state[which].as_array().unwrap();
    sessions
        .iter()
        .map(|session| session["id"].as_str().unwrap().to_owned())
        .collect()
}

fn check(library: &Library) {
    let server = RedisServer::start();
    let mut client = server.client();
    let state_file = server.path("state.json");
    library.run(&server, 0, "create", &state_file);
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(&state_file).unwrap()).unwrap();
    let (living, ended) = (ids(&state, "living"), ids(&state, "ended"));
    assert_eq!((living.len(), ended.len()), (LIVING, ENDED));

    let preset = by_name(library.preset).unwrap();
    let store = Store::new(&StoreConfig::of_preset(preset, 0), "");
    let mut sessions = keys(&mut client);
    sessions.retain(|key| store.contains(key));
    assert_eq!(sessions.len(), LIVING, "{}", library.preset);
    for id in &living {
        let found = sessions.iter().filter(|key| key.ends_with(id.as_bytes())).count();
        assert_eq!(found, 1, "each living session is counted once");
    }
    for id in &ended {
        assert!(
            !sessions.iter().any(|key| key.ends_with(id.as_bytes())),
            "one that was logged out is not"
        );
    }
    assert_eq!(recognised(&mut client), [library.preset]);
    let counted = exported(&server, 0, &[library.preset]);
    assert_eq!(counted, BTreeMap::from([(library.preset.to_owned(), LIVING as f64)]));

    // As if some time had passed without a request.
    let left = LIFETIME - IDLE;
    for key in &sessions {
        if let Some(expected) = preset.key_type {
            assert_eq!(
                client.bytes(&[b"TYPE", key]).text(),
                expected.as_str(),
                "{}",
                library.preset
            );
        }
        let ttl = ttl(&mut client, key).unwrap();
        assert!(
            ttl <= LIFETIME + Duration::from_secs(1) && ttl > left,
            "{}: {ttl:?}",
            library.preset
        );
        client.bytes(&[b"PEXPIRE", key, left.as_millis().to_string().as_bytes()]);
    }
    library.run(&server, 0, "use", &state_file);
    for key in &sessions {
        let ttl = ttl(&mut client, key).unwrap();
        let was_set_anew = ttl > left + IDLE / 2;
        assert_eq!(
            was_set_anew,
            preset.ttl == TtlKind::Sliding,
            "{}: {ttl:?}",
            library.preset
        );
    }
}

const CONNECT_REDIS: Library = Library {
    preset: "connect-redis",
    name: "connect-redis",
    program: "node",
    file: "node_app.cjs",
};

const FLASK: Library = Library {
    preset: "flask-session",
    name: "flask",
    program: "python",
    file: "flask_app.py",
};

const PHPREDIS: Library = Library {
    preset: "phpredis",
    name: "phpredis",
    program: "php",
    file: "php_app.php",
};

#[test]
fn connect_redis() {
    check(&CONNECT_REDIS);
}

#[test]
fn koa_redis() {
    check(&Library {
        preset: "koa-session-redis",
        name: "koa-redis",
        program: "node",
        file: "node_app.cjs",
    });
}

#[test]
fn flask_session() {
    check(&FLASK);
}

#[test]
fn django_cache() {
    check(&Library {
        preset: "django-cache-session",
        name: "cache",
        program: "python",
        file: "django_app.py",
    });
}

#[test]
fn django_cached_db() {
    check(&Library {
        preset: "django-cached-db-session",
        name: "cached_db",
        program: "python",
        file: "django_app.py",
    });
}

#[test]
fn starsessions() {
    check(&Library {
        preset: "starsessions",
        name: "starsessions",
        program: "python",
        file: "starlette_app.py",
    });
}

#[test]
fn phpredis() {
    check(&PHPREDIS);
}

#[test]
fn symfony() {
    check(&Library {
        preset: "symfony",
        name: "symfony",
        program: "php",
        file: "php_app.php",
    });
}

#[test]
fn redis_rack() {
    check(&Library {
        preset: "rack-redis",
        name: "rack",
        program: "ruby",
        file: "rack_app.rb",
    });
}

#[test]
fn redis_rack_under_a_namespace_of_its_own() {
    check(&Library {
        preset: "rails-redis-store",
        name: "rails",
        program: "ruby",
        file: "rack_app.rb",
    });
}

#[test]
fn three_libraries_in_one_database_are_told_apart_and_locks_are_no_sessions() {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&["SELECT", "2"]);
    for number in 0..50 {
        client.command(&["SET", &format!("cache:product:{number}"), "value"]);
        client.command(&["SET", &format!("lock:{number}"), "value", "EX", "60"]);
    }
    assert_eq!(recognised(&mut client), Vec::<&str>::new());
    assert!(exported(&server, 2, &[]).is_empty(), "a plain cache");
    assert!(exported(&server, 3, &[]).is_empty(), "an empty database");
    CONNECT_REDIS.run(&server, 4, "create", &server.path("four"));
    FLASK.run(&server, 4, "create", &server.path("four-too"));
    let two = [CONNECT_REDIS.preset, FLASK.preset].map(|preset| (preset.to_owned(), LIVING as f64));
    assert_eq!(
        exported(&server, 4, &[CONNECT_REDIS.preset, FLASK.preset]),
        BTreeMap::from(two)
    );
    for library in [&CONNECT_REDIS, &FLASK, &PHPREDIS] {
        library.run(&server, 2, "create", &server.path(library.name));
    }
    assert_eq!(recognised(&mut client), ["phpredis", "flask-session", "connect-redis"]);
    let all = keys(&mut client);
    let locks = all.iter().filter(|key| key.ends_with(b"_LOCK")).count();
    assert_eq!(locks, 1, "the request that was killed left its lock");
    for library in [&CONNECT_REDIS, &FLASK, &PHPREDIS] {
        let store = Store::new(&StoreConfig::of_preset(by_name(library.preset).unwrap(), 2), "");
        let counted = all.iter().filter(|key| store.contains(key)).count();
        assert_eq!(counted, LIVING, "{}", library.preset);
    }
}
