use super::*;
use crate::config::environment::Environment;
use crate::config::optional::Compatibility;
use crate::config::problem::Problems;

const ORIGIN: &str = "--flag";

fn text(text: &str) -> PeerValue {
    PeerValue::Text(text.to_owned())
}

const ON: PeerValue = PeerValue::Switch(true);
const OFF: PeerValue = PeerValue::Switch(false);

fn of(given: &[(ServerFlag, PeerValue)]) -> PeerServers {
    let mut servers = PeerServers::default();
    for (flag, value) in given {
        servers
            .set(*flag, ORIGIN, value)
            .unwrap_or_else(|error| panic!("{flag:?}: {error}"));
    }
    servers
}

/// The layer with the remarks and warnings that came with it, or the problems.
fn layer(servers: &PeerServers) -> Result<(Layer, Vec<Remark>, Vec<String>), String> {
    let environment = Environment::of_pairs(&[]);
    let mut decoder = Decoder::new(Problems::new(""), &environment);
    let (mut remarks, mut warnings) = (Vec::new(), Vec::new());
    let layer = servers.layer(&mut decoder, &mut remarks, &mut warnings);
    match decoder.problems.into_result(Some(())) {
        Ok(()) => Ok((layer, remarks, warnings)),
        Err(errors) => Err(errors.to_string()),
    }
}

fn optional(given: &[(ServerFlag, PeerValue)]) -> OptionalLayer {
    layer(&of(given)).unwrap().0.optional
}

fn error(flag: ServerFlag, value: &PeerValue) -> String {
    PeerServers::default().set(flag, ORIGIN, value).unwrap_err()
}

fn pattern(glob: &str, databases: &[u32]) -> KeyPattern {
    KeyPattern {
        glob: glob.to_owned(),
        databases: databases.to_vec(),
    }
}

fn named_key(key: &str, database: u32, export_value: bool) -> NamedKey {
    NamedKey {
        key: key.to_owned(),
        database: Some(database),
        export_value,
    }
}

#[test]
fn patterns_keep_their_databases_and_stand_once() {
    let found = optional(&[
        (ServerFlag::CheckKeys, text("db0=cart:*,db3=cart:*,db3=cart:*,sess:?")),
        (ServerFlag::CountKeys, text("db1=a*,literal")),
    ]);
    assert_eq!(
        found.check_keys.unwrap(),
        [pattern("cart:*", &[0, 3]), pattern("sess:?", &[0])]
    );
    assert_eq!(
        found.count_keys.unwrap(),
        [pattern("a*", &[1]), pattern("literal", &[0])]
    );
    assert_eq!(found.check_single_keys, None);
}

#[test]
fn values_are_exported_for_keys_named_in_full_alone_and_then_with_a_warning() {
    let given = [
        (ServerFlag::CheckKeys, text("user_count,sess:*")),
        (ServerFlag::CheckSingleKeys, text("db3=queue,user_count")),
    ];
    let (found, _, warnings) = layer(&of(&given)).unwrap();
    assert_eq!(
        found.optional.check_single_keys.unwrap(),
        [named_key("queue", 3, true), named_key("user_count", 0, true)]
    );
    assert_eq!(found.optional.check_keys.unwrap(), [pattern("sess:*", &[0])]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("The values of 2 keys"), "{}", warnings[0]);
    assert!(!warnings[0].contains("queue") && !warnings[0].contains("user_count"));

    let disabled = [given.as_slice(), &[(ServerFlag::DisableExportingKeyValues, ON)]].concat();
    let (found, _, warnings) = layer(&of(&disabled)).unwrap();
    assert!(
        found
            .optional
            .check_single_keys
            .unwrap()
            .iter()
            .all(|key| !key.export_value)
    );
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn streams_are_patterns_or_named() {
    let found = optional(&[
        (ServerFlag::CheckStreams, text("orders:*,db2=mails")),
        (ServerFlag::CheckSingleStreams, text("jobs")),
        (ServerFlag::StreamsExcludeConsumerMetrics, ON),
    ]);
    let streams = found.streams.unwrap();
    assert_eq!(streams.patterns, [pattern("orders:*", &[0])]);
    assert_eq!(
        streams.single,
        [named_key("jobs", 0, false), named_key("mails", 2, false)]
    );
    assert!(!streams.consumers);
    let nothing = optional(&[(ServerFlag::StreamsExcludeConsumerMetrics, ON)]);
    assert_eq!(nothing.streams, None, "without streams there is nothing to switch on");
}

#[test]
fn groups_are_csv_with_a_limit() {
    let groups = optional(&[(ServerFlag::CheckKeyGroups, text("^(.*):[^:]+$,\"a,b\""))])
        .key_groups
        .unwrap();
    assert_eq!(groups.patterns, ["^(.*):[^:]+$", "a,b"]);
    let spaced = optional(&[(ServerFlag::CheckKeyGroups, text("^(cart), ^(user),"))]);
    assert_eq!(spaced.key_groups.unwrap().patterns, ["^(cart)", "^(user)"]);
    assert_eq!(groups.max_groups, 100);
    let wrong = error(ServerFlag::CheckKeyGroups, &text("^(.*):,[a"));
    assert!(wrong.starts_with("pattern 2 of the list has a `[`"), "{wrong}");
    let given = [
        (ServerFlag::CheckKeyGroups, text("x")),
        (ServerFlag::MaxDistinctKeyGroups, PeerValue::Number(7)),
    ];
    assert_eq!(optional(&given).key_groups.unwrap().max_groups, 7);
    assert!(error(ServerFlag::MaxDistinctKeyGroups, &PeerValue::Number(-1)).contains("whole number"));
    assert!(error(ServerFlag::CheckKeyGroups, &text("a\"b")).contains("CSV"));
}

#[test]
fn timeouts_are_bounded_and_it_is_said() {
    for (given, milliseconds, is_capped) in [
        ("15s", 5000, true),
        ("0", 5000, true),
        ("5s", 5000, false),
        ("1.5s", 1500, false),
        ("10us", 1, false),
    ] {
        let (found, remarks, _) = layer(&of(&[(ServerFlag::ConnectionTimeout, text(given))])).unwrap();
        assert_eq!(found.poll.timeout, Some(Duration::from_millis(milliseconds)), "{given}");
        assert_eq!(!remarks.is_empty(), is_capped, "{given}: {remarks:?}");
    }
    assert!(error(ServerFlag::ConnectionTimeout, &text("soon")).contains("is no duration"));
    assert_eq!(layer(&PeerServers::default()).unwrap().0.poll.timeout, None);
}

#[test]
fn scripts_are_files_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("a.lua"), "return 1").unwrap();
    std::fs::write(path("b.lua"), "return 2").unwrap();
    let both = format!("{},{}", path("a.lua"), path("b.lua"));
    let (found, remarks, _) = layer(&of(&[(ServerFlag::Script, text(&both))])).unwrap();
    let scripts = found.optional.lua.unwrap();
    assert_eq!(scripts.len(), 2);
    assert!(scripts[0].file.is_absolute());
    assert_eq!(scripts[0].name, path("a.lua"), "the label is the path, as there");
    assert!(remarks[0].reason.contains("read-only"), "{remarks:?}");
    let (_, remarks, _) = layer(&of(&[
        (ServerFlag::Script, text(&both)),
        (ServerFlag::LuaScriptReadOnly, ON),
    ]))
    .unwrap();
    assert_eq!(remarks, []);
    let missing = layer(&of(&[(ServerFlag::Script, text("/nonexistent/x.lua"))]))
        .err()
        .unwrap();
    assert!(
        missing.starts_with("--flag: the file /nonexistent/x.lua does not exist"),
        "{missing}"
    );
}

#[test]
fn every_switch_changes_what_it_names() {
    let compatibility = |flag: ServerFlag, value: PeerValue| {
        let layer = optional(&[(flag, value)]).compatibility;
        let found = crate::config::optional::resolve(
            [
                &OptionalLayer {
                    compatibility: layer,
                    ..OptionalLayer::default()
                },
                &OptionalLayer::default(),
                &OptionalLayer::default(),
            ],
            0,
        );
        found.compatibility
    };
    let with = |change: fn(&mut Compatibility)| {
        let mut changed = Compatibility::default();
        change(&mut changed);
        changed
    };
    for (flag, value, expected) in [
        (ServerFlag::SetClientName, OFF, with(|it| it.set_client_name = false)),
        (ServerFlag::SetClientName, ON, Compatibility::default()),
        (ServerFlag::IsTile38, ON, with(|it| it.tile38 = true)),
        (
            ServerFlag::ExcludeLatencyHistogramMetrics,
            ON,
            with(|it| it.latency_commands = false),
        ),
        (
            ServerFlag::ExcludeLatencyHistogramMetrics,
            OFF,
            Compatibility::default(),
        ),
        (
            ServerFlag::IncludeRdbFileSizeMetric,
            ON,
            with(|it| it.rdb_file_size = true),
        ),
        (
            ServerFlag::SkipCheckkeysForRoleMaster,
            ON,
            with(|it| it.keys_at_replicas_only = true),
        ),
        (
            ServerFlag::IncludeMetricsForEmptyDatabases,
            OFF,
            with(|it| it.empty_databases = false),
        ),
        (
            ServerFlag::ConfigCommand,
            text("HIDDEN"),
            with(|it| "HIDDEN".clone_into(&mut it.config_command)),
        ),
    ] {
        assert_eq!(compatibility(flag, value), expected, "{flag:?}");
    }
    for (flag, collector) in [
        (ServerFlag::ExportClientList, "client_list"),
        (ServerFlag::IncludeConfigMetrics, "config_all"),
        (ServerFlag::IncludeModulesMetrics, "modules"),
        (ServerFlag::IncludeSearchIndexesMetrics, "search"),
        (ServerFlag::IncludeSentinelPeerInfo, "sentinel_peers"),
        (ServerFlag::IncludeSystemMetrics, "system"),
    ] {
        let switches = |value: PeerValue| layer(&of(&[(flag, value)])).unwrap().0.collectors;
        assert_eq!(switches(ON), BTreeMap::from([(collector, true)]));
        assert_eq!(switches(OFF), BTreeMap::new(), "{collector} is off by itself");
    }
    let port = optional(&[(ServerFlag::ExportClientPort, ON)]);
    assert_eq!(
        port.client_list,
        Some(ClientListConfig {
            port: true,
            ..ClientListConfig::default()
        })
    );
    let search = optional(&[(ServerFlag::CheckSearchIndexes, text("^users"))]);
    let switched = |pairs: &[(ServerFlag, PeerValue)]| layer(&of(pairs)).unwrap().0.collectors;
    let alone = (ServerFlag::CheckSearchIndexes, text("^users"));
    assert_eq!(
        switched(std::slice::from_ref(&alone)),
        BTreeMap::from([("search", false)])
    );
    let both = [alone, (ServerFlag::IncludeSearchIndexesMetrics, ON)];
    assert_eq!(switched(&both), BTreeMap::from([("search", true)]));
    let indexes = search.search.unwrap().indexes.unwrap();
    assert_eq!(indexes.as_str(), "^users");
    assert!(error(ServerFlag::CheckSearchIndexes, &text("(hunter2")).contains("regular expression"));
    assert!(!error(ServerFlag::CheckSearchIndexes, &text("(hunter2")).contains("hunter2"));
    assert!(error(ServerFlag::ConfigCommand, &text("CONFIG GET")).contains("without spaces"));
}

#[test]
fn what_makes_every_key_of_a_scan_expensive_is_bounded() {
    let refused = |flag, given: &str| layer(&of(&[(flag, text(given))])).err().unwrap();
    let globs: Vec<String> = (0..=64).map(|number| format!("{number}*")).collect();
    let wrong = refused(ServerFlag::CheckKeys, &globs.join(","));
    assert!(
        wrong.starts_with("--check-keys: names more than 64 patterns"),
        "{wrong}"
    );
    let databases: Vec<String> = (0..=64).map(|number| format!("db{number}=a*")).collect();
    assert!(refused(ServerFlag::CountKeys, &databases.join(",")).contains("64 databases"));
    // Keys named in full are patterns where they are counted.
    let literals: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    assert!(refused(ServerFlag::CountKeys, &literals.join(",")).starts_with("--count-keys: names more than 64"));
    let wrong = refused(ServerFlag::CheckStreams, "hunter2[");
    assert!(
        wrong.contains("--check-streams: names a pattern that has a `[`"),
        "{wrong}"
    );
    assert!(!wrong.contains("hunter2"));
    let keys = |from: usize| -> String {
        let keys: Vec<String> = (from..from + 600).map(|number| format!("k{number}")).collect();
        keys.join(",")
    };
    let both = of(&[
        (ServerFlag::CheckKeys, text(&keys(0))),
        (ServerFlag::CheckSingleKeys, text(&keys(600))),
    ]);
    assert!(layer(&both).err().unwrap().contains("more than 1000 keys"));
    let both = of(&[
        (ServerFlag::CheckStreams, text(&keys(0))),
        (ServerFlag::CheckSingleStreams, text(&keys(600))),
    ]);
    assert!(layer(&both).err().unwrap().contains("more than 1000 streams"));
}

#[test]
fn what_a_list_says_twice_or_not_at_all_is_left_out_and_said() {
    let servers = of(&[(ServerFlag::CheckKeyGroups, text("^a,^a,"))]);
    let (found, remarks, _) = layer(&servers).unwrap();
    assert_eq!(found.optional.key_groups.unwrap().patterns, ["^a"]);
    assert!(remarks[0].reason.starts_with("2 of its patterns"), "{remarks:?}");
    assert!(
        optional(&[(ServerFlag::CheckKeyGroups, text(","))])
            .key_groups
            .is_none()
    );
    assert!(optional(&[(ServerFlag::CheckSearchIndexes, text(""))]).search.is_none());
    assert!(error(ServerFlag::CheckSearchIndexes, &text("a\n")).contains("control character"));
}

#[test]
fn a_path_that_is_no_label_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(200)).join("e".repeat(60));
    std::fs::create_dir_all(&deep).unwrap();
    let path = deep.join("a.lua");
    std::fs::write(&path, "return 1").unwrap();
    let given = of(&[(ServerFlag::Script, text(path.to_str().unwrap()))]);
    let wrong = layer(&given).err().unwrap();
    assert!(
        wrong.contains("--script: names a path longer than 256 bytes"),
        "{wrong}"
    );
}

#[test]
fn remarks_are_one_line() {
    let remark = |origin, reason: &str| Remark {
        origin,
        reason: reason.to_owned(),
    };
    assert_eq!(remarks_line(&[]), None);
    let line = remarks_line(&[remark("--a", "one"), remark("B", "two")]).unwrap();
    assert!(
        line.ends_with(": --a (one); B (two).") && !line.contains('\n'),
        "{line}"
    );
}

#[test]
fn clusters_have_an_address_form_of_their_own() {
    for (given, expected) in [
        ("redis://h:7000", "redis-cluster://h:7000"),
        ("valkey://u:p@h", "redis-cluster://u:p@h"),
        ("REDISS://h", "rediss-cluster://h"),
        ("valkeys://h", "rediss-cluster://h"),
        ("h:7000", "redis-cluster://h:7000"),
        ("h", "redis-cluster://h"),
        ("redis-cluster://a,b", "redis-cluster://a,b"),
        ("/run/r.sock", "/run/r.sock"),
        ("unix:///run/r.sock", "unix:///run/r.sock"),
    ] {
        assert_eq!(cluster_address(given), expected);
    }
    assert!(of(&[(ServerFlag::IsCluster, ON)]).is_cluster());
    assert!(!of(&[(ServerFlag::IsCluster, OFF)]).is_cluster());
}
