//! The rules that README gives are enough for what it says, on this server.

use super::*;

#[test]
fn the_users_of_the_readme_can_read_everything() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for arguments in [&[][..], &["--cluster-enabled", "yes"]] {
        let server = RedisServer::start_with(arguments);
        if !arguments.is_empty() {
            server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
            let state = || server.command(&["CLUSTER", "INFO"]).text();
            let is_ok = wait_until(BOUND, || state().contains("cluster_state:ok").then_some(()));
            assert!(is_ok.is_some(), "{}", state());
        }
        server.command(&["CONFIG", "SET", "notify-keyspace-events", "Egxen"]);
        let commandlog = is_valkey_from(&server, (8, 1));
        let line = readme
            .lines()
            .filter(|line| line.starts_with("ACL SETUSER exporter ") && line.contains("+latency|histogram"))
            .find(|line| line.contains("+commandlog|len") == commandlog)
            .unwrap();
        let line = line.replace("PASSWORD", "secret");
        server.command(&line.split_whitespace().collect::<Vec<_>>());
        let mut client = server.client();
        fill_connect_redis(&mut client, 60);
        is_complete(&check(&server.address(), "exporter", "match: [\"sess:*\"]"));
        let auto = config::fast(&[(
            "redis",
            &server.address(),
            "username: exporter\npassword: secret\nsessions: auto",
        )]);
        is_complete(&exporter::run_with(&["check"], &[], Some(&auto)));
        assert_eq!(denials(&server), [], "check asks for nothing that it may not");

        let exporter = Exporter::start(&auto);
        let value = |scrape: &Scrape, name: &str| {
            let labels = [("instance", "redis"), ("store", "connect-redis")];
            scrape.value(name, &labels)
        };
        exporter.wait_for_instance("redis", "recognised, counted, events are heard", BOUND, |scrape| {
            value(scrape, "sessions_active") == Some(60.0)
                && scrape.value("session_events_connected", &[("instance", "redis")]) == Some(1.0)
                && value(scrape, "sessions_created_total").is_some()
        });
        fill_connect_redis(&mut client, 61);
        let before = polls(&exporter.scrape());
        let scrape = exporter.wait_for_instance("redis", "everything is there", BOUND, |scrape| {
            value(scrape, "sessions_active") == Some(121.0)
                && value(scrape, "sessions_created_total") == Some(61.0)
                && value(scrape, "session_ttl_seconds_count") > Some(0.0)
                && value(scrape, "sessions_ttl_remaining_seconds_count").is_some()
                && polls(scrape) > before + 6.0
        });
        for name in [
            "sessions_without_ttl",
            "sessions_memory_bytes",
            "session_size_bytes_count",
        ] {
            assert!(
                scrape.has(name, &[("instance", "redis"), ("store", "connect-redis")]),
                "{name}: {}",
                scrape.about("redis")
            );
        }
        for feature in ["events", "sessions", "session_details", "latency_histogram"] {
            let labels = [("instance", "redis"), ("feature", feature)];
            let is_there = scrape.value("redis_session_exporter_feature_available", &labels);
            assert_eq!(is_there, Some(1.0), "{feature}");
        }
        let unavailable = scrape.all("redis_session_exporter_collector_unavailable", &[]);
        assert_eq!(unavailable.count(), 0);
        let failed = scrape
            .all("redis_session_exporter_collector_success", &[])
            .filter(|sample| sample.value != 1.0);
        assert_eq!(failed.count(), 0);
        drop(exporter);
        assert_eq!(denials(&server), [], "nothing that it does is denied");
        is_complete(&check(&server.address(), "exporter", "match: [\"sess:*\"]"));
    }
}

/// The rules that a row of README's table puts on top, for keys that begin with `k:`. `+client|no-touch` came with Redis 7.2.
fn rules_of_row(readme: &str, feature: &str, server: &RedisServer) -> Vec<String> {
    let first_cell = |line: &&str| line.split('|').nth(1).is_some_and(|cell| cell.contains(feature));
    let row = readme
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("| [`"))
        .find(first_cell);
    let row = row.unwrap_or_else(|| panic!("{feature}")).replace("\\|", "|");
    let in_code = row.split('`').skip(1).step_by(2);
    let words: BTreeSet<&str> = in_code.flat_map(str::split_whitespace).collect();
    let knows_no_touch = server.info("redis_version").unwrap().as_str() >= "7.2";
    let mut rules: Vec<String> = words
        .into_iter()
        .filter(|word| word.starts_with('+') && !word.starts_with("+acl") && !word.starts_with("+script"))
        .filter(|word| *word != "+client|no-touch" || knows_no_touch)
        .map(str::to_owned)
        .collect();
    if row.contains("`%R~*`") {
        rules.push("%R~*".to_owned());
    } else if row.contains("`%R~`") {
        rules.push("%R~k:*".to_owned());
    }
    rules
}

#[test]
fn the_rows_of_the_readme_are_enough() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let server = RedisServer::start();
    let line = readme
        .lines()
        .find(|line| line.starts_with("ACL SETUSER exporter ") && line.contains("+latency|histogram"))
        .unwrap()
        .replace("PASSWORD", "secret");
    let mut client = server.client();
    for command in [
        "SET k:text 17",
        "HSET k:hash a 1 b 2",
        "RPUSH k:list a b",
        "SADD k:set a",
        "ZADD k:zset 1 a",
        "PFADD k:hll a",
        "XADD k:stream 1-1 a b",
        "XGROUP CREATE k:stream g 0",
        "SET sess:1 plain EX 100",
    ] {
        client.command(&command.split(' ').collect::<Vec<_>>());
    }
    client.command(&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "k:stream", ">"]);
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("a.lua");
    std::fs::write(&script, "return {'a', redis.call('GET', KEYS[1] or 'k:text')}").unwrap();
    let lua = format!("lua: [ {{ file: '{}', name: a }} ]", script.display());
    let metrics = "application_metrics:\n\
        - { name: m_field, type: gauge, help: x, key: 'k:hash', read: field, field: a }\n\
        - { name: m_fields, type: gauge, help: x, key: 'k:hash', label: l }\n\
        - { name: m_text_total, type: counter, help: x, key: 'k:text' }\n\
        - { name: m_gone_total, type: counter, help: x, key: 'k:gone' }\n\
        - { name: m_length, type: gauge, help: x, key: 'k:list', read: length }\n\
        - { name: m_auto, type: gauge, help: x, key: 'k:zset' }";
    let cases: [(&str, &str, &[&str]); 8] = [
        (
            "application_metrics",
            metrics,
            &["m_field", "m_fields", "m_text_total", "m_length", "m_auto"],
        ),
        ("count_keys", "count_keys: [ { match: 'k:*' } ]", &["redis_keys_count"]),
        (
            "check_keys",
            "check_keys: [ { match: 'k:*' } ]\ncheck_single_keys: [ { key: 'k:text', value: true } ]",
            &["redis_key_size", "redis_key_memory_usage_bytes", "redis_key_value"],
        ),
        (
            "key_groups",
            "key_groups: { patterns: ['^(.-):'] }",
            &["redis_key_group_memory_usage_bytes"],
        ),
        (
            "streams",
            "streams: { patterns: [ { match: 'k:*' } ] }",
            &["redis_stream_group_consumer_messages_pending"],
        ),
        (
            "client_list",
            "collectors: { client_list: on }",
            &["redis_connected_client_info"],
        ),
        (
            "encryption",
            "sessions:\n  - { store: web, match: ['sess:*'], encryption: { expect_prefix: 'v1:' } }",
            &["sessions_unencrypted"],
        ),
        ("lua", &lua, &["redis_script_values"]),
    ];
    for (feature, section, shown) in cases {
        server.command(&line.split_whitespace().collect::<Vec<_>>());
        let mut rules = rules_of_row(&readme, feature, &server);
        if feature == "lua" {
            rules.push("+get".to_owned());
        }
        let words = ["ACL", "SETUSER", "exporter"].into_iter();
        server.command(&words.chain(rules.iter().map(String::as_str)).collect::<Vec<_>>());
        server.command(&["ACL", "LOG", "RESET"]);
        let sessions = if feature == "encryption" { "" } else { "sessions: []\n" };
        let further = format!("username: exporter\npassword: secret\n{sessions}{section}");
        let text = config::fast(&[("redis", &server.address(), &further)]);
        let ended = exporter::run_with(&["once", "--unpaced"], &[], Some(&text));
        for metric in shown {
            let is_shown = ended
                .output
                .lines()
                .any(|line| line.starts_with(&format!("{metric}{{")));
            assert!(is_shown, "{feature}, {rules:?}: {metric}: {}", ended.output);
        }
        // A server before 8.1 of Valkey has no COMMANDLOG, and one from then on has a rule of its own for it.
        let denied: Vec<Reply> = denials(&server)
            .into_iter()
            .filter(|entry| {
                let is_of_commandlog =
                    |word: &Reply| matches!(word, Reply::Bulk(bytes) if bytes.starts_with(b"commandlog"));
                !matches!(entry, Reply::Array(words) if words.iter().any(is_of_commandlog))
            })
            .collect();
        assert_eq!(denied, [], "{feature}, {rules:?}");
    }
}
