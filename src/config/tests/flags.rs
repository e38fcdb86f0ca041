//! Flags as a configuration: addresses, users, and passwords of a map; and the file that says the same.

use super::*;
use crate::config::cluster::Hostnames;
use crate::config::peer_flags::{PeerServers, PeerValue, Remark, ServerFlag};

fn given(origin: &'static str, text: &str) -> Given {
    Given {
        origin,
        text: Secret::new(text),
    }
}

fn addresses(texts: &[&str]) -> FlagSource {
    FlagSource {
        addresses: texts.iter().map(|text| given("--redis.addr", text)).collect(),
        ..FlagSource::default()
    }
}

/// A map in a file of its own.
fn map(content: &str) -> (tempfile::NamedTempFile, Given) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let given = given("--redis.password-file", file.path().to_str().unwrap());
    (file, given)
}

fn loaded_flags(flags: &FlagSource) -> Loaded {
    let nothing = Environment::of_pairs(&[]);
    load(&Source::Flags(flags.clone()), &nothing).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Name, user, and key of the map of each instance.
fn shown(loaded: &Loaded) -> Vec<(String, Option<String>, Option<String>)> {
    let of = |instance: &Arc<InstanceConfig>| {
        let key = match &instance.password {
            PasswordSource::MapFile { key, .. } => Some(key.expose().to_owned()),
            PasswordSource::None => None,
            other => panic!("{other:?}"),
        };
        (instance.name.clone(), instance.username.clone(), key)
    };
    loaded.config.instances.iter().map(of).collect()
}

fn row(name: &str, user: Option<&str>, key: Option<&str>) -> (String, Option<String>, Option<String>) {
    (name.to_owned(), user.map(str::to_owned), key.map(str::to_owned))
}

/// Loads what `check` would print, with the variables that it names.
fn again(config: &ValidatedConfig) -> (ValidatedConfig, String) {
    let file = to_minimal_yaml(config);
    let variables: Vec<(&str, &str)> = file
        .variables
        .iter()
        .chain(&file.command_variables)
        .map(|(name, secret)| (name.as_str(), secret.expose()))
        .collect();
    let loaded = load_str(
        &file.yaml,
        "exporter.yaml",
        Path::new("/"),
        &Environment::of_pairs(&variables),
    );
    let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}\n{}", file.yaml));
    (loaded.config, file.yaml)
}

const MAP: &str = r#"{
    "redis://monitor@a:6379": "hunter2-a",
    "redis://b": "hunter2-b",
    "redis://open:7000": "",
    "redis://other@a:6379/0": "hunter2-other",
    "redis://b:6379/3": "hunter2-b3"
}"#;

#[test]
fn every_address_of_a_map_is_an_instance_beside_those_of_flags() {
    let (_file, password_file) = map(MAP);
    let mut flags = addresses(&["redis://monitor@A", "redis://without:1"]);
    flags.password_file = Some(password_file);
    let loaded = loaded_flags(&flags);
    assert_eq!(
        shown(&loaded),
        [
            row("a:6379", Some("monitor"), Some("redis://monitor@a:6379")),
            row("without:1", None, None),
            row("b:6379", None, Some("redis://b")),
            row("open:7000", None, None),
            row("other@a:6379/0", Some("other"), Some("redis://other@a:6379/0")),
            row("b:6379/3", None, Some("redis://b:6379/3")),
        ]
    );
    let said = loaded.warnings.join("\n");
    assert!(
        said.contains("4 instances come from the addresses in the file of --redis.password-file"),
        "{said}"
    );
    let debug = format!("{loaded:?}{}", to_redacted_yaml(&loaded.config));
    assert!(!debug.contains("hunter2") && !said.contains("hunter2"));
    let (same, yaml) = again(&loaded.config);
    assert_eq!(same, loaded.config, "{yaml}");
    assert!(!yaml.contains("hunter2"), "{yaml}");
}

#[test]
fn the_user_of_a_flag_is_for_servers_with_a_password() {
    let (_file, password_file) = map(r#"{"redis://h": "p", "redis://exporter@i": "p", "redis://open": ""}"#);
    let mut flags = addresses(&["h", "i", "open", "unknown"]);
    flags.username = Some(given("--redis.user", "exporter"));
    flags.password_file = Some(password_file);
    let loaded = loaded_flags(&flags);
    assert_eq!(
        shown(&loaded),
        [
            row("h:6379", Some("exporter"), Some("redis://h")),
            row("i:6379", Some("exporter"), Some("redis://exporter@i")),
            row("open:6379", None, None),
            row("unknown:6379", None, None),
        ],
        "none of the map is an instance of its own"
    );
    let (same, yaml) = again(&loaded.config);
    assert_eq!(same, loaded.config, "{yaml}");
}

#[test]
fn an_empty_address_means_those_of_the_map_and_perhaps_none() {
    let (_file, password_file) = map(r#"{"redis://h": "p"}"#);
    for texts in [&[""][..], &[]] {
        let mut flags = addresses(texts);
        flags.password_file = Some(password_file.clone());
        assert_eq!(shown(&loaded_flags(&flags)), [row("h:6379", None, Some("redis://h"))]);
    }
    let nobody = loaded_flags(&addresses(&[""]));
    assert_eq!(nobody.config.instances.len(), 0);
    assert!(
        nobody.warnings[0].starts_with("No server is watched"),
        "{:?}",
        nobody.warnings
    );
    assert_eq!(to_minimal_yaml(&nobody.config).yaml, "");
    let one = loaded_flags(&addresses(&["", "h"]));
    assert_eq!(shown(&one), [row("h:6379", None, None)]);
    let (_file, password_file) = map("{}");
    let empty_map = FlagSource {
        password_file: Some(password_file),
        ..FlagSource::default()
    };
    assert_eq!(shown(&loaded_flags(&empty_map)), [row("127.0.0.1:6379", None, None)]);
}

#[test]
fn a_broken_map_is_a_problem_with_its_place() {
    for (content, part) in [
        ("{\"redis://h\": \"hunter2\",\n", "is broken at line 2"),
        ("{\"redis://h:hunter2\": \"p\"}", "entry 1 has a port"),
        (
            "{\"redis-sentinel://h\": \"hunter2\"}",
            "entry 1 uses `redis-sentinel://`",
        ),
    ] {
        let (file, password_file) = map(content);
        let flags = FlagSource {
            password_file: Some(password_file),
            ..FlagSource::default()
        };
        let errors = load(&Source::Flags(flags), &Environment::of_pairs(&[])).unwrap_err();
        assert_eq!(errors.problems.len(), 1, "{errors}");
        let errors = errors.to_string();
        assert!(
            errors.starts_with("--redis.password-file: the file ") && errors.contains(part),
            "{errors}"
        );
        assert!(!errors.contains("hunter2"), "{errors}");
        drop(file);
    }
}

#[test]
fn a_map_in_the_file_is_looked_up_by_address_and_user() {
    let (file, _) = map(MAP);
    let path = file.path().display();
    let config = config(&format!(
        "defaults: {{ password_file: {path} }}\ninstances:\n  - {{ address: a, username: other }}\n  - {{ address: b/3 }}\n"
    ));
    let key = |index: usize| match &config.instances[index].password {
        PasswordSource::MapFile { key, .. } => key.expose().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (key(0).as_str(), key(1).as_str()),
        ("redis://other@a:6379/0", "redis://b:6379/3")
    );
    let missing = errors(&format!(
        "instances: [{{ address: c, username: u, password_file: {path} }}]"
    ));
    assert!(
        missing.contains("instances[0].password_file: names a JSON object of passwords that has none for redis://c:6379/0 and its user"),
        "{missing}"
    );
}

#[test]
fn what_people_would_paste() {
    let mut servers = PeerServers::default();
    for (flag, value) in [
        (ServerFlag::ConnectionTimeout, PeerValue::Text("2s".to_owned())),
        (ServerFlag::ConfigCommand, PeerValue::Text("-".to_owned())),
    ] {
        servers.set(flag, "--x", &value).unwrap();
    }
    let mut flags = addresses(&["redis://localhost:6379", "redis://:hunter2@cache/2"]);
    *flags.servers = servers;
    flags.password = Some(given("REDIS_PASSWORD", "other hunter2"));
    flags.username = Some(given("REDIS_USER", "exporter"));
    let loaded = loaded_flags(&flags);
    let (same, yaml) = again(&loaded.config);
    assert_eq!(same, loaded.config);
    assert_eq!(
        yaml,
        "defaults:
  username: exporter
  poll:
    timeout: 2s
  compatibility:
    config_command: '-'
instances:
- address: redis://localhost:6379
  password: ${REDIS_PASSWORD}
- address: redis://cache:6379/2
  password: ${REDIS_PASSWORD_2}
"
    );
    let (same, yaml) = again(&loaded_flags(&addresses(&["cache"])).config);
    assert_eq!(yaml, "instances:\n- address: redis://cache:6379\n");
    assert_eq!(same.instances[0].name, "cache:6379");
}

#[test]
fn what_has_no_say_is_one_warning_of_all_sources() {
    let mut flags = addresses(&["h"]);
    flags.remarks.push(Remark {
        origin: "--namespace",
        reason: "names stay".to_owned(),
    });
    let slow = PeerValue::Text("15s".to_owned());
    flags
        .servers
        .set(ServerFlag::ConnectionTimeout, "--connection-timeout", &slow)
        .unwrap();
    let loaded = loaded_flags(&flags);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(
        loaded.warnings[0].contains("--namespace (names stay); --connection-timeout ("),
        "{:?}",
        loaded.warnings
    );
    assert_eq!(loaded.config.instances[0].poll.timeout, Duration::from_secs(5));
}

#[test]
fn a_cluster_is_asked_for_by_the_form_of_the_address() {
    let mut flags = addresses(&["redis://h:7000"]);
    flags
        .servers
        .set(ServerFlag::IsCluster, "--is-cluster", &PeerValue::Switch(true))
        .unwrap();
    let hostnames = |flags: FlagSource| {
        let config = loaded_flags(&flags).config;
        assert!(config.instances.is_empty());
        assert_eq!(config.clusters.len(), 1);
        assert_eq!(config.clusters[0].address(), "redis-cluster://h:7000");
        config.clusters[0].hostnames
    };
    assert_eq!(hostnames(flags.clone()), Hostnames::Auto);
    flags
        .servers
        .set(
            ServerFlag::ClusterDiscoverHostnames,
            "--cluster-discover-hostnames",
            &PeerValue::Switch(true),
        )
        .unwrap();
    assert_eq!(hostnames(flags), Hostnames::On);
    // Of one server it says nothing.
    let mut single = addresses(&["redis://h:7000"]);
    single
        .servers
        .set(
            ServerFlag::ClusterDiscoverHostnames,
            "--cluster-discover-hostnames",
            &PeerValue::Switch(true),
        )
        .unwrap();
    let config = loaded_flags(&single).config;
    assert_eq!((config.instances.len(), config.clusters.len()), (1, 0));
}

/// A map of passwords names every node of a cluster, since the peer looks each of them up there.
#[test]
fn nodes_with_the_same_credentials_are_one_cluster() {
    let nodes: Vec<String> = (1..=20)
        .map(|node| format!("\"redis://n{node}:7000\": \"p\""))
        .collect();
    let content = format!(
        "{{{}, \"redis://other:7000\": \"q\", \"redis://u@n1:7000\": \"p\"}}",
        nodes.join(",")
    );
    let (_file, password_file) = map(&content);
    let mut flags = addresses(&["redis://n2:7000", "redis://n3:7000", "redis://user:own@n4:7000"]);
    flags.password_file = Some(password_file);
    flags
        .servers
        .set(ServerFlag::IsCluster, "--is-cluster", &PeerValue::Switch(true))
        .unwrap();
    let loaded = loaded_flags(&flags);
    assert_eq!(loaded.config.instances.len(), 0);
    let clusters: Vec<(String, usize)> = loaded
        .config
        .clusters
        .iter()
        .map(|cluster| (cluster.seeds[0].to_owned(), cluster.seeds.len()))
        .map(|(seed, count)| match seed {
            crate::config::types::Endpoint::Tcp { host, .. } => (host, count),
            crate::config::types::Endpoint::Unix { .. } => panic!("no host"),
        })
        .collect();
    let expected = [("n2", 16), ("n4", 1), ("n4", 1), ("n18", 3), ("other", 1), ("n1", 1)];
    assert_eq!(
        clusters,
        expected.map(|(host, count)| (host.to_owned(), count)),
        "an address names 16 nodes at most"
    );
    let (same, yaml) = again(&loaded.config);
    assert_eq!(same, loaded.config, "{yaml}");
}

#[test]
fn a_made_up_name_of_config_is_a_secret() {
    let with = |name: &str| {
        let mut flags = addresses(&["h", "i"]);
        let value = PeerValue::Text(name.to_owned());
        flags
            .servers
            .set(ServerFlag::ConfigCommand, "--config-command", &value)
            .unwrap();
        loaded_flags(&flags).config
    };
    let hidden = with("hunter2-config");
    let shown = to_redacted_yaml(&hidden);
    assert!(
        shown.contains("config_command: <secret>") && !shown.contains("hunter2"),
        "{shown}"
    );
    let (same, yaml) = again(&hidden);
    assert_eq!(same, hidden);
    assert!(
        yaml.contains("config_command: ${REDIS_EXPORTER_CONFIG_COMMAND}"),
        "{yaml}"
    );
    let printed = crate::commands::check::as_file(&hidden, &[]);
    assert!(
        printed.contains("# It takes the name of CONFIG") && !printed.contains("hunter2"),
        "{printed}"
    );
    for open in ["CONFIG", "config", "-"] {
        let config = with(open);
        assert!(!to_redacted_yaml(&config).contains(": <secret>"), "{open}");
        assert_eq!(again(&config).0, config);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever flags are taken, `check` prints a file for that loads as the same configuration. Texts that look like variables are said
    /// to, and stay out.
    #[test]
    fn the_file_for_flags_loads_as_the_same_configuration(
        values in proptest::collection::vec((0_usize..9, "[a-c*?\\[\\]^,=:%.+\\-0-9(){}\" \u{e4}]{0,40}|(db[0-2]=)?[a-z:*]{1,4}(,[a-z:*\\[\\]]{1,4}){0,90}"), 0..6),
    ) {
        const FLAGS: [(ServerFlag, &str); 9] = [
            (ServerFlag::CheckKeys, "--check-keys"),
            (ServerFlag::CheckSingleKeys, "--check-single-keys"),
            (ServerFlag::CountKeys, "--count-keys"),
            (ServerFlag::CheckStreams, "--check-streams"),
            (ServerFlag::CheckSingleStreams, "--check-single-streams"),
            (ServerFlag::CheckKeyGroups, "--check-key-groups"),
            (ServerFlag::CheckSearchIndexes, "--check-search-indexes"),
            (ServerFlag::ConfigCommand, "--config-command"),
            (ServerFlag::ConnectionTimeout, "--connection-timeout"),
        ];
        let mut servers = PeerServers::default();
        for (flag, value) in values {
            let (flag, origin) = FLAGS[flag];
            // What is refused at once is not given.
            let mut with = servers.clone();
            if with.set(flag, origin, &PeerValue::Text(value)).is_ok() {
                servers = with;
            }
        }
        let flags = FlagSource { servers: Box::new(servers), ..addresses(&["h"]) };
        if let Ok(loaded) = load(&Source::Flags(flags), &Environment::of_pairs(&[])) {
            let (same, yaml) = again(&loaded.config);
            proptest::prop_assert_eq!(same, loaded.config, "{}", yaml);
        }
    }
}
