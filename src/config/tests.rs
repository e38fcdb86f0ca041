//! The configuration from outside: folders of good and bad files, secrets, round trips, the shipped file and its document.

use super::names::{Scope, known_collectors, reserved_labels};
use super::types::{PasswordSource, Secret};
use super::*;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

mod application_metrics;
mod flags;
mod key_checks;
mod key_groups;
mod lua_search;
mod sessions;
mod tls_flags;

/// Every secret of the fixtures contains this word and nothing else does.
const SECRET_WORD: &str = "hunter2";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn environment() -> Environment {
    Environment::of_pairs(&[
        ("SECRET", "hunter2-variable"),
        ("BAD_ADDRESS", "redis://:hunter2@h:port"),
        ("REDIS_ADDRESS", "redis://d:7000/1"),
        ("EMPTY", ""),
        ("ENVIRONMENT", "staging"),
        ("TIMEOUT", "7s"),
        ("NUMBER", "12"),
        ("SHARE", "0.25"),
        ("SWITCH", "off"),
        ("FOLDER", "/nonexistent"),
    ])
}

/// The YAML files of a folder of fixtures, with at least `least` of them.
fn fixtures(folder: &str, least: usize) -> Vec<(String, PathBuf, String)> {
    let folder = repository().join("tests/fixtures/config").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= least, "{} files", files.len());
    files
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (name, path, text)
        })
        .collect()
}

fn load_fixture(name: &str, path: &Path, text: &str) -> Result<Loaded, ConfigErrors> {
    load_str(text, name, path.parent().unwrap(), &environment())
}

fn good(name: &str) -> ValidatedConfig {
    let (name, path, text) = fixtures("good", 1)
        .into_iter()
        .find(|(file, _, _)| file == &format!("{name}.yaml"))
        .unwrap();
    load_fixture(&name, &path, &text).unwrap().config
}

fn config(text: &str) -> ValidatedConfig {
    loaded(text).config
}

fn loaded(text: &str) -> Loaded {
    load_str(text, "f", Path::new(""), &environment()).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn errors(text: &str) -> String {
    load_str(text, "f", Path::new(""), &environment())
        .expect_err(text)
        .to_string()
}

/// Compares each bad file's messages with its `.txt`. With `BLESS=1` in the environment the `.txt` files are written instead,
/// to be read by whoever commits them.
#[test]
fn every_bad_file_has_exactly_its_messages() {
    for (name, path, text) in fixtures("bad", 90) {
        let errors = load_fixture(&name, &path, &text).expect_err(&name);
        let expected = path.with_extension("txt");
        let got = format!("{errors}\n");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expected, &got).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).expect(&name);
        assert_eq!(got, expected, "{name}");
        assert!(!got.contains(SECRET_WORD), "{name}: {got}");
        assert!(!format!("{errors:?}").contains(SECRET_WORD), "{name}");
        assert!(
            errors.problems.iter().all(|problem| problem.place.is_some()),
            "{name}: a problem without its place"
        );
    }
}

#[test]
fn every_good_file_loads_and_shows_no_secret() {
    for (name, path, text) in fixtures("good", 10) {
        let loaded = load_fixture(&name, &path, &text).unwrap_or_else(|errors| panic!("{name}:\n{errors}"));
        let shown = to_redacted_yaml(&loaded.config);
        assert!(!shown.contains(SECRET_WORD), "{name}: {shown}");
        assert!(!format!("{loaded:?}").contains(SECRET_WORD), "{name}");
    }
}

#[test]
fn what_is_shown_reads_back_as_what_runs() {
    for (name, path, text) in fixtures("good", 10) {
        let config = load_fixture(&name, &path, &text).unwrap().config;
        let secrets = config
            .instances
            .iter()
            .chain(config.clusters.iter().map(|cluster| &cluster.template))
            .any(|instance| matches!(instance.password, PasswordSource::Inline(_)));
        let shown = to_redacted_yaml(&config);
        let again = load_str(&shown, &name, Path::new(""), &Environment::of_pairs(&[]));
        let again = again
            .unwrap_or_else(|errors| panic!("{name}:\n{errors}\n{shown}"))
            .config;
        if secrets {
            assert!(shown.contains("password: <secret>"), "{shown}");
        } else {
            assert_eq!(again, with_hidden_commands(config), "{name}:\n{shown}");
        }
    }
}

/// The configuration with every made-up name of CONFIG as it is shown.
fn with_hidden_commands(mut config: ValidatedConfig) -> ValidatedConfig {
    for instance in &mut config.instances {
        let compatibility = &mut Arc::make_mut(instance).optional.compatibility;
        compatibility.config_command = compatibility.shown_config_command().to_owned();
    }
    config
}

#[test]
fn an_empty_file_is_the_built_in_default() {
    let empty = good("empty");
    assert_eq!(empty, good("only_comments"));
    assert_eq!(empty, good("null_sections"));
    let flags = load(&Source::Flags(FlagSource::default()), &environment()).unwrap();
    assert_eq!(empty, flags.config);
    let instance = &empty.instances[0];
    assert_eq!(empty.instances.len(), 1);
    assert_eq!(instance.name, "127.0.0.1:6379");
    assert_eq!(instance.environment, "default");
    assert_eq!(instance.address.to_string(), "redis://127.0.0.1:6379/0");
    assert_eq!(instance.password, PasswordSource::None);
    assert_eq!(instance.poll.ping_stale_after, Duration::from_secs(15));
    assert_eq!(instance.poll.info_stale_after, Duration::from_secs(45));
    assert!(instance.sessions.is_auto());
    assert_eq!(instance.collectors.len(), known_collectors().len());
}

#[test]
fn the_nearest_level_decides() {
    let whole = good("whole");
    let [first, second, third] = whole.instances.as_slice() else {
        panic!("{whole:?}");
    };
    assert_eq!(
        (first.environment.as_str(), second.environment.as_str()),
        ("canary", "production")
    );
    assert_eq!(first.labels["team"], "shop");
    assert_eq!(first.labels["site"], "fra");
    assert_eq!(second.labels["team"], "auth");
    assert_eq!(first.poll.timeout, Duration::from_secs(2));
    assert_eq!(second.poll.timeout, Duration::from_secs(1));
    assert_eq!(second.poll.ping_interval, Duration::from_secs(2));
    assert_eq!(second.poll.info_stale_after, Duration::from_secs(90));
    assert_eq!((first.scan.redis_share, second.scan.redis_share), (1.0, 0.0));
    assert!(first.collectors["slowlog"] && !first.collectors["latency"] && !second.collectors["slowlog"]);
    assert_eq!(first.expect.maxmemory_policy, ["noeviction", "volatile-ttl"]);
    assert_eq!(second.expect.maxmemory_policy, ["noeviction"]);
    assert_eq!(first.sessions.configured()[0].databases, [0, 2]);
    assert_eq!(first.sessions.configured()[1].databases, [2], "the address's own");
    assert_eq!(first.sessions.configured()[0].excludes, ["sess:lock:*"]);
    assert_eq!(
        first.sessions.configured()[0].expected_ttl,
        Some(Duration::from_secs(86_400))
    );
    assert_eq!(first.label_values, 10);
    assert_eq!(second.name, "[2001:db8::1]:7000");
    assert_eq!(third.name, "/run/redis/redis.sock");
    assert_eq!(third.sessions.configured()[0].databases, [5]);
    assert_eq!(whole.limits.scan_remembered_keys, 0);
}

#[test]
fn passwords_come_from_the_nearest_place() {
    let secrets = good("secrets");
    let of = |name: &str| {
        let instance = secrets.instances.iter().find(|instance| instance.name == name).unwrap();
        (instance.username.as_deref(), instance.password.clone())
    };
    let inline = |password: &str| PasswordSource::Inline(Secret::new(password));
    assert_eq!(of("inline"), (Some("exporter"), inline("hunter2-inline")));
    let (_, PasswordSource::File(file)) = of("file") else {
        panic!("{secrets:?}");
    };
    assert!(file.is_absolute() && file.ends_with("good/secret"));
    assert_eq!(of("address"), (Some("user"), inline("hunter2@p@ss/w#rd")));
    assert_eq!(of("variable"), (Some("exporter"), inline("hunter2-variable")));
    assert_eq!(of("default"), (Some("exporter"), inline("hunter2-default")));
    assert_eq!(of("none"), (None, PasswordSource::None));
    assert_eq!(of("nopass"), (Some("nopass"), inline("")));
}

#[test]
fn variables_stand_for_any_value() {
    let variables = good("variables");
    let instance = &variables.instances[0];
    assert_eq!(instance.environment, "staging");
    assert_eq!(instance.poll.timeout, Duration::from_secs(7));
    assert_eq!(variables.limits.label_values, 12);
    assert_eq!(instance.scan.redis_share, 0.25);
    assert!(!instance.collectors["slowlog"]);
}

#[test]
fn files_that_cannot_be_read_are_problems() {
    let directory = tempfile::tempdir().unwrap();
    let loaded = |name: &str, content: Option<&[u8]>| {
        let path = directory.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        load(&Source::File(path), &environment()).unwrap_err().to_string()
    };
    assert!(loaded("missing.yaml", None).ends_with("missing.yaml: does not exist; mend the path of --config.file"));
    assert!(loaded(".", None).contains("is not a regular file"));
    assert!(
        loaded("binary.yaml", Some(b"a: 1\nb: \xc3\xa4\xff\n"))
            .ends_with("binary.yaml:2:5: is not UTF-8 here; save the file as UTF-8")
    );
    assert!(loaded("large.yaml", Some(&vec![b'#'; 2 << 20])).contains("is larger than 1048576 bytes"));
    assert!(loaded("large_binary.yaml", Some(&vec![0xff; 2 << 20])).contains("is larger than 1048576 bytes"));
    let inline = load(
        &Source::Inline,
        &Environment::of_pairs(&[("REDIS_SESSION_EXPORTER_CONFIG", "colour: red")]),
    );
    assert!(
        inline
            .unwrap_err()
            .to_string()
            .starts_with("REDIS_SESSION_EXPORTER_CONFIG:1:1: colour: ")
    );
}

#[test]
fn flags_are_checked_like_a_file() {
    let given = |origin: &'static str, text: &str| Given {
        origin,
        text: Secret::new(text),
    };
    let bad = FlagSource {
        addresses: vec![
            given("--redis.addr", "redis-sentinel://:hunter2@h"),
            given("--redis.addr", "h"),
            given("--redis.addr", "redis://:hunter2@h:6379"),
        ],
        password_file: Some(given("REDIS_PASSWORD_FILE", "/nonexistent/secret")),
        ..FlagSource::default()
    };
    let errors = load(&Source::Flags(bad), &environment()).unwrap_err().to_string();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert!(lines[0].starts_with("--redis.addr: has the same name"), "{errors}");
    assert!(
        lines[1].starts_with("--redis.addr: uses `redis-sentinel://`"),
        "{errors}"
    );
    assert!(
        lines[2].starts_with("REDIS_PASSWORD_FILE: the file /nonexistent/secret does not exist"),
        "{errors}"
    );
    assert!(!errors.contains(SECRET_WORD));
    // A password that was named and is of no use is one problem, not also the lack of one.
    let named_user = FlagSource {
        addresses: vec![given("--redis.addr", "redis://exporter@h")],
        password_file: Some(given("REDIS_PASSWORD_FILE", "/nonexistent/secret")),
        ..FlagSource::default()
    };
    let errors = load(&Source::Flags(named_user), &environment()).unwrap_err();
    assert_eq!(errors.problems.len(), 1, "{errors}");
    let lonely_user = FlagSource {
        username: Some(given("REDIS_USER", "exporter")),
        ..FlagSource::default()
    };
    let loaded = load(&Source::Flags(lonely_user), &environment()).unwrap();
    assert_eq!(loaded.config.instances[0].username, None);
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn aliases_cannot_make_the_file_grow_without_bound() {
    let mut text = "defaults:\n  labels: &l { a: b }\ninstances:\n".to_owned();
    for index in 0..6000 {
        text.push_str(&format!("  - {{ address: h{index}, labels: *l }}\n"));
    }
    let errors = load_str(&text, "f", Path::new(""), &environment()).unwrap_err();
    assert!(errors.to_string().contains("more than 5000 instances"), "{errors}");
}

#[test]
fn equal_texts_make_equal_configurations() {
    assert_eq!(config("poll: { timeout: 60s }"), config("poll:\n  timeout: 1m\n"));
    assert_ne!(config("poll: { timeout: 60s }"), config("poll: { timeout: 61s }"));
}

#[test]
fn the_shipped_file_runs_as_it_is() {
    let path = repository().join("exporter.yaml");
    let loaded = load(&Source::File(path.clone()), &Environment::of_pairs(&[])).unwrap();
    let instance = &loaded.config.instances[0];
    assert_eq!(instance.address.to_string(), "redis://127.0.0.1:6379/0");
    assert_eq!(instance.sessions.configured()[0].name, "web");
    assert_eq!(instance.sessions.configured()[0].matches, ["sess:*"]);
    let text = std::fs::read_to_string(path).unwrap();
    for key in every_key() {
        assert!(text.contains(&format!("{key}:")), "exporter.yaml does not show `{key}`");
    }
}

/// The comments of the shipped file show values that load, too: every line `# key: value` is tried.
#[test]
fn what_the_shipped_file_shows_in_comments_loads() {
    let text = std::fs::read_to_string(repository().join("exporter.yaml")).unwrap();
    let open: String = text
        .lines()
        .map(|line| {
            let trimmed = line.trim_start();
            let indentation = &line[..line.len() - trimmed.len()];
            match trimmed.strip_prefix("#=") {
                Some(shown) => format!("{indentation}{shown}\n"),
                None => format!("{line}\n"),
            }
        })
        .collect();
    assert_ne!(open, text, "the file has lines that begin with #=");
    let open = open.replace("/run/secrets/redis", "tests/fixtures/config/good/secret");
    let open = open.replace("/etc/redis-session-exporter/tls/", "tests/fixtures/config/tls/");
    let loaded = load_str(&open, "exporter.yaml", repository(), &Environment::of_pairs(&[]));
    loaded.unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn the_document_names_everything() {
    let text = std::fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let mut words: Vec<String> = every_key().iter().map(|key| (*key).to_owned()).collect();
    words.extend(known_collectors().iter().map(|(name, _)| (*name).to_owned()));
    words.extend(reserved_labels().iter().map(|name| (*name).to_owned()));
    words.extend(super::names::EVICTION_POLICIES.iter().map(|name| (*name).to_owned()));
    for word in words {
        assert!(
            text.contains(&format!("`{word}`")),
            "docs/configuration.md does not name `{word}`"
        );
    }
    for default in [
        format_of(resolve::DEFAULT_PING_INTERVAL),
        format_of(resolve::DEFAULT_INFO_INTERVAL),
        format_of(resolve::DEFAULT_SCAN_INTERVAL),
        format_of(resolve::DEFAULT_CONNECT_INTERVAL),
        format_of(resolve::DEFAULT_TIMEOUT),
        resolve::DEFAULT_REDIS_SHARE.to_string(),
        resolve::DEFAULT_LABEL_VALUES.to_string(),
        resolve::DEFAULT_HTTP_CONNECTIONS.to_string(),
        resolve::DEFAULT_SCAN_REMEMBERED_KEYS.to_string(),
        resolve::DEFAULT_SCAN_DETAIL_KEYS.to_string(),
        resolve::DEFAULT_CHECKED_KEYS.to_string(),
        resolve::DEFAULT_SAMPLE_KEYS.to_string(),
        format_of(resolve::DEFAULT_PROBE_INTERVAL),
        resolve::DEFAULT_PROBE_PREFIX.to_owned(),
        super::application_metrics::DEFAULT_MAX_LABEL_VALUES.to_string(),
        super::optional::DEFAULT_MAX_CLIENTS.to_string(),
    ] {
        assert!(
            text.contains(&format!("`{default}`")),
            "docs/configuration.md does not name the default `{default}`"
        );
    }
}

/// The table of presets in the document is made from the presets themselves. With `UPDATE=1` it is written.
#[test]
fn the_presets_of_the_document_are_current() {
    let path = repository().join("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = "<!-- presets: generated by `UPDATE=1 cargo test --lib config` -->\n";
    let end = "<!-- end of presets -->";
    let (before, rest) = text.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    let wanted = presets_table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{wanted}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, wanted, "run: UPDATE=1 cargo test --lib config");
    }
}

fn presets_table() -> String {
    let mut table = "| preset | library | `match` | type | `auto` |\n|---|---|---|---|---|\n".to_owned();
    for preset in presets::ALL {
        let globs: Vec<String> = preset.matches.iter().map(|glob| format!("`{glob}`")).collect();
        let auto = match preset.detection {
            presets::Detection::Auto { .. } => "yes",
            presets::Detection::ByName => "no",
        };
        let key_type = preset.key_type.map_or("any", presets::KeyType::as_str);
        table.push_str(&format!(
            "| `{}` | {} | {} | {key_type} | {auto} |\n",
            preset.name,
            preset.library,
            globs.join(" ").replace('|', "\\|")
        ));
    }
    table
}

fn format_of(duration: Duration) -> String {
    duration::format_duration(duration)
}

fn every_key() -> Vec<&'static str> {
    Scope::ALL.iter().flat_map(|scope| scope.keys()).copied().collect()
}

proptest! {
    /// Pieces of configuration in any order: whatever is made of them is loaded or refused, and shows no secret.
    #[test]
    fn no_file_panics_or_leaks(pieces in proptest::collection::vec(prop_oneof![
        Just("instances:\n"), Just("  - "), Just("address: "), Just("redis://u:hunter2@h\n"), Just("    password: "),
        Just("hunter2\n"), Just("password"), Just("hunter2"), Just(": "), Just("\n"), Just("{"), Just("}"), Just(", "),
        Just("["), Just("]"), Just("&a "), Just("*a"), Just("\""), Just("'"), Just("defaults:\n"), Just("  labels:\n"),
        Just("    hunter2: x\n"), Just("sessions: "), Just("    sessions:\n"), Just("    application_metrics:\n"),
        Just("      - "), Just("match: "), Just("id: "), Just("preset: "), Just("name: "), Just("label: "), Just("key: "), Just("${hunter"), Just("!hunter2 "), Just("%"), Just("|\n"),
    ], 0..30)) {
        let text: String = pieces.concat();
        if let Err(errors) = load_str(&text, "f", Path::new(""), &environment()) {
            // As a key the word is a name like any other, and shown as one.
            let as_key = text.match_indices(SECRET_WORD).any(|(position, word)| {
                let rest = &text[position + word.len()..];
                let rest = rest.trim_start_matches(|rest: char| rest.is_ascii_alphanumeric() || "_-".contains(rest));
                rest.trim_start_matches(['"', '\'', ' ', '\n']).starts_with(':')
            });
            prop_assert!(as_key || !errors.to_string().contains(SECRET_WORD), "{}\n{}", text, errors);
        }
    }
}

#[test]
fn a_flag_names_a_cluster_as_well() {
    let address = Given {
        origin: "--redis.addr",
        text: Secret::new("redis-cluster://u:p@h:7000"),
    };
    let flags = FlagSource {
        addresses: vec![address],
        ..FlagSource::default()
    };
    let config = load(&Source::Flags(flags), &environment()).unwrap().config;
    assert!(config.instances.is_empty());
    assert_eq!(config.clusters[0].name, "redis-cluster://h:7000");
    assert!(config.clusters[0].has_credentials() && !config.clusters[0].is_named);
    assert!(config.clusters[0].template.labels.is_empty());
}

#[test]
fn clusters_are_templates_of_their_nodes() {
    let config = good("clusters");
    let names: Vec<&str> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(names, ["sessions", "redis-cluster://h:6379/2"]);
    assert_eq!(config.instances.len(), 1);
    let [first, second] = config.clusters.as_slice() else {
        panic!("two clusters");
    };
    assert_eq!(
        first.address(),
        "redis-cluster://one.example:7000,10.0.0.2:6379,[::1]:7001"
    );
    assert_eq!(first.hostnames, cluster::Hostnames::On);
    assert!(first.has_credentials() && !second.has_credentials());
    let networks: Vec<String> = first.networks([]).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.1.0.0/16", "fd00::/8", "10.1.2.3/32"]);
    assert_eq!(
        second.allowed_networks.as_ref().unwrap().len(),
        1,
        "the one of the top level"
    );
    let networks = second.networks([]).unwrap();
    assert_eq!(
        networks.len(),
        1,
        "what is written holds also where nothing secret is sent"
    );
    let labels = |cluster: &cluster::ClusterConfig| cluster.template.labels.clone().into_iter().collect::<Vec<_>>();
    let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(labels(first), [owned("cluster", "sessions"), owned("team", "auth")]);
    assert_eq!(labels(second), [owned("cluster", "mine"), owned("team", "auth")]);
    assert!(first.template.scan_from.is_empty());
    assert_eq!(config.instances[0].scan_from.len(), 1);
    let node = second.node(
        types::Endpoint::Tcp {
            host: "10.0.0.7".to_owned(),
            port: 1,
        },
        None,
    );
    assert_eq!((node.name.as_str(), node.address.database), ("10.0.0.7:1", 2));
}

#[test]
fn paths_may_begin_with_the_folder_that_a_variable_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("redis"), "hunter2\n").unwrap();
    std::fs::write(folder.path().join("queues.lua"), "return {}").unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    std::fs::write(folder.path().join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
    let text = "instances:\n  - address: rediss://h\n    password_file: ${CREDENTIALS_DIRECTORY}/redis\n    \
                tls: { ca_file: \"${CREDENTIALS_DIRECTORY}/tls.crt\", cert_file: \"${CREDENTIALS_DIRECTORY}/tls.crt\", key_file: \"${CREDENTIALS_DIRECTORY}/tls.key\" }\n    \
                lua: [\"${CREDENTIALS_DIRECTORY}/queues.lua\"]\n";
    let path = folder.path().to_str().unwrap();
    let environment = Environment::of_pairs(&[("CREDENTIALS_DIRECTORY", path)]);
    // A folder of the file itself must not get in between.
    let loaded = load_str(text, "f", Path::new("/etc/x"), &environment).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let instance = &loaded.config.instances[0];
    assert_eq!(instance.password, PasswordSource::File(folder.path().join("redis")));
    assert_eq!(instance.optional.lua[0].file, folder.path().join("queues.lua"));
    assert_eq!(instance.tls.ca_file, Some(folder.path().join("tls.crt")));
    assert!(instance.tls.client_certificate.is_some());
    let shown = to_redacted_yaml(&loaded.config);
    let again = load_str(&shown, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    assert_eq!(again.config, loaded.config, "what is shown needs the variable no more");
}
