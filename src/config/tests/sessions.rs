//! Stores, presets, what else is said about sessions, and that a reload sees a change of any of it.

use super::*;
use crate::config::pattern::IdPattern;
use crate::config::presets::{KeyType, TtlKind};

fn instance(text: &str) -> Arc<InstanceConfig> {
    let config = config(&format!("instances:\n  - address: h/3\n{}", indented(text, "    ")));
    Arc::clone(&config.instances[0])
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

fn store(text: &str) -> StoreConfig {
    let instance = instance(&format!("sessions:\n  - {text}"));
    instance.sessions.configured()[0].clone()
}

fn warnings(store: &str) -> Vec<String> {
    loaded(&format!("instances:\n  - address: h\n    sessions:\n      - {store}\n")).warnings
}

#[test]
fn every_key_of_a_store_arrives() {
    let sessions = good("sessions");
    let own = &sessions.instances[0];
    let [web, plain] = own.sessions.configured() else {
        panic!("{own:?}");
    };
    assert_eq!(web.matches, ["{web}:sess:*", "*[-_]sess:[^x]*"]);
    assert_eq!(web.excludes, ["*:lock", "*\\[x"]);
    let id = web.id.as_ref().unwrap();
    assert_eq!(id.app(b"shop:sess:abcdefgh"), Some(b"shop".as_slice()));
    assert_eq!((web.key_type, web.ttl), (Some(KeyType::Hash), TtlKind::Absolute));
    assert_eq!(web.ttl_offset, Duration::from_secs(300));
    assert_eq!(web.index_key.as_deref(), Some("{web}:index"));
    assert_eq!(web.databases, [0, 3]);
    assert_eq!(web.capacity, Some(u64::MAX));
    assert_eq!((web.count, web.events), (CountMode::Sample, EventsMode::On));
    let sources: Vec<(&str, usize)> = web
        .sources
        .iter()
        .map(|rule| (rule.source.as_str(), rule.matches.len()))
        .collect();
    assert_eq!(sources, [("oauth_callback", 1), ("guest", 2), ("oauth_callback", 1)]);
    assert_eq!(web.encryption.as_ref().unwrap().expect_prefix, "enc:v1:\u{1}");
    assert!(web.app_label && !plain.app_label);
    assert_eq!((plain.count, plain.events), (CountMode::Exact, EventsMode::Off));
    assert_eq!((&plain.id, plain.key_type, &plain.index_key), (&None, None, &None));
    assert_eq!(plain.databases, [3], "the address's own");
}

#[test]
fn the_nearest_sessions_count_whole() {
    let sessions = good("sessions");
    let of = |name: &str| {
        sessions
            .instances
            .iter()
            .find(|instance| instance.name == name)
            .unwrap()
    };
    assert_eq!(of("defaults").sessions.configured()[0].name, "shared");
    assert_eq!(
        of("left-out").sessions,
        of("defaults").sessions,
        "a key without a value says nothing"
    );
    assert_eq!(of("nothing").sessions, SessionsConfig::Stores(Vec::new()));
    assert!(!of("nothing").sessions.is_auto());
    assert!(of("recognised").sessions.is_auto());
    assert_eq!(
        [
            of("own").operations,
            of("defaults").operations,
            of("recognised").operations
        ],
        [Operations::On, Operations::Off, Operations::Auto]
    );
    assert_eq!(of("own").scan_from, []);
    let replicas: Vec<String> = of("defaults").scan_from.iter().map(ToString::to_string).collect();
    assert_eq!(
        replicas,
        ["redis://replica:6379/0", "unix:///run/replica.sock"],
        "each server once"
    );
    let probe = |name: &str| {
        let probe = &of(name).session_probe;
        (probe.enabled, probe.interval.as_millis(), probe.prefix.as_str())
    };
    assert_eq!(probe("own"), (true, 250, "probe:"));
    assert_eq!(probe("defaults"), (false, 30_000, "probe:"));
    assert_eq!(probe("recognised"), (false, 30_000, "ours:"));
    assert_eq!(of("own").scan.sample_keys, 10_000_000);
    assert_eq!(of("nothing").scan.sample_keys, 1_000);
    assert_eq!(of("nothing").scan_detail_keys, 0);
}

#[test]
fn what_nobody_says_has_its_default() {
    let instance = instance("name: h");
    assert!(instance.sessions.is_auto() && instance.scan_from.is_empty() && instance.application_metrics.is_empty());
    assert_eq!(instance.operations, Operations::Auto);
    assert_eq!(instance.scan.sample_keys, resolve::DEFAULT_SAMPLE_KEYS);
    assert_eq!(instance.scan_detail_keys, resolve::DEFAULT_SCAN_DETAIL_KEYS);
    assert_eq!(instance.session_probe.prefix, resolve::DEFAULT_PROBE_PREFIX);
    assert!(!instance.session_probe.enabled);
    let store = store("{ store: web, match: \"sess:*\" }");
    assert_eq!((store.preset, store.id, store.key_type), (None, None, None));
    assert_eq!((store.ttl, store.ttl_offset), (TtlKind::Sliding, Duration::ZERO));
    assert_eq!((store.count, store.events), (CountMode::Auto, EventsMode::Auto));
}

#[test]
fn a_preset_fills_in_what_the_file_leaves_open() {
    let preset = presets::by_name("connect-redis").expect("the preset that the contract names");
    let expected = StoreConfig::of_preset(preset, 3);
    assert_eq!(store("{ preset: connect-redis }"), expected);
    assert_eq!(store("{ preset: connect-redis }").databases, [3]);
    let named = store("{ store: web, preset: connect-redis, count: exact, expected_ttl: 1h }");
    assert_eq!((named.name.as_str(), named.count), ("web", CountMode::Exact));
    assert_eq!((&named.matches, &named.id), (&expected.matches, &expected.id));
    let changed = store(
        "{ preset: connect-redis, match: [\"app:*\"], exclude: \"x\", id: \"^app:\", type: any, ttl: absolute, ttl_offset: 1m, index: i }",
    );
    assert_eq!(changed.preset, Some("connect-redis"));
    assert_eq!(
        (changed.matches, changed.excludes),
        (vec!["app:*".to_owned()], vec!["x".to_owned()])
    );
    assert_eq!(changed.id, IdPattern::new("^app:").ok());
    assert_eq!((changed.key_type, changed.ttl), (None, TtlKind::Absolute));
    assert_eq!(changed.ttl_offset, Duration::from_secs(60));
    assert_eq!(changed.index_key.as_deref(), Some("i"));
    let without_id = store("{ preset: connect-redis, match: \"app:*\", id: \"\" }");
    assert_eq!(without_id.id, None, "the globs alone decide");
}

/// What `/config` shows of a preset's store reads back without the preset filling anything in.
#[test]
fn every_preset_loads_and_reads_back() {
    assert!(!presets::ALL.is_empty());
    for preset in presets::ALL {
        let text = format!(
            "instances:\n  - address: h\n    sessions: [ {{ preset: {} }} ]\n",
            preset.name
        );
        let loaded = loaded(&text);
        assert_eq!(loaded.warnings, Vec::<String>::new(), "{}", preset.name);
        let again = config(&to_redacted_yaml(&loaded.config));
        assert_eq!(again, loaded.config, "{}", preset.name);
        // No glob of a preset is one that a file would be refused for.
        let own = preset.matches.iter().chain(preset.excludes);
        let globs: Vec<String> = own.map(|glob| format!("{glob:?}")).collect();
        let text = format!(
            "instances:\n  - address: h\n    sessions: [ {{ store: own, match: [ {} ] }} ]\n",
            globs.join(", ")
        );
        assert_eq!(super::loaded(&text).warnings, Vec::<String>::new(), "{}", preset.name);
    }
}

#[test]
fn a_misspelt_preset_is_guessed() {
    let errors = errors("instances:\n  - address: h\n    sessions:\n      - preset: conect-redis\n");
    assert_eq!(
        errors,
        "f:4:17: instances[0].sessions[0].preset: is not a preset of this version; did you mean `connect-redis`?"
    );
}

#[test]
fn a_match_that_the_id_of_the_preset_shuts_out_is_a_warning() {
    for odd in ["myapp:sess:*", "session:*"] {
        let warnings = warnings(&format!("{{ preset: connect-redis, match: \"{odd}\" }}"));
        assert_eq!(warnings.len(), 1, "{odd}: {warnings:?}");
        assert!(
            warnings[0].starts_with("f:4:41: instances[0].sessions[0].match: most likely matches no session"),
            "{warnings:?}"
        );
    }
    for fine in [
        "match: \"sess:*\"",
        "match: \"sess:a*\"",
        "match: [\"myapp:*\", \"sess:*\"]",
        "match: \"*sess:*\"",
        "match: \"myapp:sess:*\", id: \"^myapp:\"",
        "match: \"myapp:sess:*\", id: \"\"",
    ] {
        assert_eq!(
            warnings(&format!("{{ preset: connect-redis, {fine} }}")),
            Vec::<String>::new(),
            "{fine}"
        );
    }
}

#[test]
fn globs_that_are_most_likely_not_meant_are_warnings() {
    assert_eq!(
        warnings("{ store: web, match: [\"sess:**\", \"{a,b}:*\"], exclude: \"{app}:*\" }"),
        [
            "f:4:31: instances[0].sessions[0].match[0]: has `**`, which Redis reads like `*`: it stops at no separator",
            "f:4:42: instances[0].sessions[0].match[1]: has `{` and `}` around a comma, which are no alternatives in Redis but stand for themselves; write one glob for each, or `\\{` where the brace is meant",
        ]
    );
}

#[test]
fn a_probe_that_would_hide_what_is_recognised_is_refused() {
    let file = |sessions: &str| {
        format!("instances:\n  - address: h\n    session_probe: {{ prefix: \"sess\" }}\n    sessions: {sessions}\n")
    };
    assert!(errors(&file("auto")).contains("is how the keys of a session store begin"));
    config(&file("[ { store: web, match: \"web:*\" } ]"));
}

#[test]
fn a_change_of_any_key_is_seen_by_a_reload() {
    let base = "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\" } ]";
    let variants = [
        "sessions: auto",
        "sessions: []",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)\" } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", app_label: on } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", type: hash } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", ttl: absolute } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", ttl_offset: 1ms } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", index: i } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", count: exact } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", events: off } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", sources: [ { source: g, match: g } ] } ]",
        "sessions: [ { store: web, match: \"s:*\", id: \"^s:(?P<app>.+)$\", encryption: { expect_prefix: e } } ]",
    ];
    let mut seen = vec![instance(base)];
    for variant in variants {
        seen.push(instance(variant));
    }
    for addition in [
        "scan: { sample_keys: 1000 }",
        "scan_from: replica",
        "operations: off",
        "session_probe: { enabled: on }",
        "session_probe: { interval: 1m }",
        "session_probe: { prefix: \"p:\" }",
        "application_metrics: [ { name: reload_a, type: gauge, key: k } ]",
        "application_metrics: [ { name: reload_a, type: gauge, key: l } ]",
        "application_metrics: [ { name: reload_a, type: gauge, key: k, db: 1 } ]",
        "application_metrics: [ { name: reload_a, type: gauge, key: k, help: Other. } ]",
        "application_metrics: [ { name: reload_a, type: gauge, key: k, label: kind } ]",
        "application_metrics: [ { name: reload_a, type: gauge, key: k, label: kind, label_values: [a] } ]",
        "application_metrics: [ { name: reload_a, type: gauge, key: k, label: kind, max_label_values: 7 } ]",
        "application_metrics: [ { name: reload_b, type: histogram, key: k } ]",
        "application_metrics: [ { name: reload_b, type: histogram, key: k, buckets: [1, 2] } ]",
    ] {
        seen.push(instance(&format!("{base}\n{addition}")));
    }
    for (index, one) in seen.iter().enumerate() {
        for other in &seen[index + 1..] {
            assert_ne!(one, other);
        }
    }
}

#[test]
fn what_many_instances_inherit_is_bounded() {
    let globs: Vec<String> = (0..60)
        .map(|index| format!("\"{index}{}\"", "x".repeat(1000)))
        .collect();
    let mut text = format!(
        "defaults:\n  sessions: [ {{ store: web, match: [{}] }} ]\ninstances:\n",
        globs.join(",")
    );
    for index in 0..5000 {
        text.push_str(&format!("  - address: h{index}\n"));
    }
    let errors = errors(&text);
    assert!(errors.contains("take more than 128 MiB together"), "{errors}");
    assert_eq!(errors.lines().count(), 1);
}

#[test]
fn different_id_patterns_of_a_file_are_bounded() {
    let stores = |count: usize, id: fn(usize) -> String| {
        let stores: Vec<String> = (0..count)
            .map(|index| format!("      - {{ store: s{index}, match: a, id: \"{}\" }}\n", id(index)))
            .collect();
        let instances: Vec<String> = stores
            .chunks(60)
            .enumerate()
            .map(|(index, stores)| format!("  - address: h{index}\n    sessions:\n{}", stores.concat()))
            .collect();
        format!("instances:\n{}", instances.concat())
    };
    let errors = errors(&stores(300, |index| format!("^a{index}$")));
    assert_eq!(errors.lines().count(), 300 - 256, "{errors}");
    assert!(
        errors.contains("is one of more than 256 different patterns"),
        "{errors}"
    );
    config(&stores(300, |_| "^a$".to_owned()));
}

/// The file of five hundred instances that the limits of the format are measured against.
#[test]
fn five_hundred_instances_with_every_key_fit() {
    let mut text = "instances:\n".to_owned();
    for index in 0..500 {
        text.push_str(&format!(
            "  - name: redis-{index}\n    address: redis://redis-{index}.internal:6380/0\n    username: exporter\n    password: secret\n    environment: production\n    labels: {{ team: auth, site: fra }}\n    \
             poll: {{ ping_interval: 5s, info_interval: 15s, scan_interval: 60s, connect_interval: 30s, timeout: 3s, stale_after: 45s }}\n    \
             scan: {{ redis_share: 0.02, sample_keys: 20000 }}\n    scan_from: [replica-{index}:6379]\n    operations: auto\n    \
             expect: {{ maxmemory_policy: [noeviction, volatile-ttl], persistence: none }}\n    collectors: {{ slowlog: off }}\n    \
             session_probe: {{ enabled: on, interval: 15s, prefix: \"redis-session-exporter:probe:\" }}\n    sessions:\n      \
             - {{ store: web, match: [\"sess:*\"], exclude: [\"sess:lock:*\"], id: \"^sess:[a-z0-9]+$\", type: string, ttl: sliding, ttl_offset: 0s, index: \"\", databases: [0], capacity: 100000, expected_ttl: 24h, count: auto, events: auto, app_label: off,\n          \
             sources: [{{ source: oauth, match: \"sess:oauth:*\" }}, {{ source: guest, match: \"sess:guest:*\" }}], encryption: {{ expect_prefix: \"enc:v1:\" }} }}\n    application_metrics:\n      \
             - {{ name: many_errors_total, type: counter, key: \"metrics:errors\", db: 0, read: fields, label: kind, label_values: [a, b, c], max_label_values: 50, help: Errors. }}\n      \
             - {{ name: many_jobs, type: gauge, key: jobs, read: length }}\n"
        ));
    }
    let config = config(&text);
    assert_eq!(config.instances.len(), 500);
    let first = &config.instances[0].application_metrics;
    let last = &config.instances[499].application_metrics;
    assert!(
        std::ptr::eq(first[0].descriptor, last[0].descriptor),
        "one family over all instances"
    );
    assert!(text.len() > 500_000, "{} bytes", text.len());
}
