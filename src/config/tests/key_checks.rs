//! `check_keys`, `check_single_keys`, `count_keys`.

use super::{config, errors, good};
use crate::config::optional::{KeyPattern, NamedKey};

fn pattern(glob: &str, databases: &[u32]) -> KeyPattern {
    KeyPattern {
        glob: glob.to_owned(),
        databases: databases.to_vec(),
    }
}

fn key(name: &str, database: u32, export_value: bool) -> NamedKey {
    NamedKey {
        key: name.to_owned(),
        database: Some(database),
        export_value,
    }
}

#[test]
fn keys_are_looked_at_where_the_file_says_so() {
    let config = good("key_checks");
    let [all, inherits, opts_out] = &config.instances[..] else {
        panic!()
    };
    let keys = &all.optional.keys;
    assert_eq!(
        keys.patterns,
        [
            pattern("cart:*", &[0, 3]),
            pattern("{tag}:[a-z]?", &[1]),
            pattern("plain", &[5])
        ]
    );
    assert_eq!(
        keys.single,
        [
            key("config:maintenance", 0, true),
            key("config:maintenance", 1, false),
            key("odd \n key", 5, false)
        ]
    );
    assert_eq!(keys.counted, [pattern("*", &[5]), pattern("*", &[1])]);
    assert_eq!(all.checked_keys, 20);
    let on = |instance: &crate::config::InstanceConfig| {
        ["check_keys", "check_single_keys", "count_keys"].map(|name| instance.collectors[name])
    };
    assert_eq!(on(all), [true; 3]);
    assert_eq!(on(inherits), [false, true, true]);
    assert_eq!(inherits.optional.keys.counted, [pattern("sess:*", &[2])]);
    assert_eq!(inherits.optional.keys.single, [key("of:defaults", 2, true)]);
    assert_eq!(on(opts_out), [false; 3]);
    // Nothing said is nothing done.
    assert_eq!(on(&super::config("").instances[0]), [false; 3]);
}

/// Which database an item without one means is known only where the address is.
#[test]
fn what_means_the_same_is_listed_once() {
    let text = "defaults:
  check_keys: [ { match: 'a*' }, { match: 'a*', databases: [2, 3] }, { match: 'b*', databases: 2 }, { match: 'b*' } ]
  check_single_keys: [ { key: k }, { key: k, database: 2, value: true }, { key: k, database: 3 } ]
  streams: { keys: [ { key: s, database: 2 }, { key: s } ], patterns: [ { match: 's*' }, { match: 's*', databases: 2 } ] }
instances: [ { address: 'redis://h/2' }, { address: 'redis://g/0' } ]";
    let config = config(text);
    let [second, other] = [&config.instances[0].optional, &config.instances[1].optional];
    let own = [pattern("a*", &[2]), pattern("a*", &[3]), pattern("b*", &[2])];
    assert_eq!(second.keys.patterns, own);
    assert_eq!(second.keys.single, [key("k", 2, true), key("k", 3, false)]);
    assert_eq!(second.streams.single, [key("s", 2, false)]);
    assert_eq!(second.streams.patterns, [pattern("s*", &[2])]);
    assert_eq!(other.keys.patterns.len(), 4);
    assert_eq!(other.keys.single.len(), 3);
}

#[test]
fn lists_are_bounded() {
    let list = |item: &str, count: usize| vec![item; count].join(", ");
    let many = (0..1001).map(|number| format!("{{ key: k{number} }}"));
    let many: Vec<String> = many.collect();
    let found = errors(&format!("defaults: {{ check_single_keys: [{}] }}", many.join(", ")));
    assert!(found.contains("lists more than 1000 keys"), "{found}");
    let found = errors(&format!("defaults: {{ check_keys: [{}] }}", list("{ match: a* }", 65)));
    assert!(found.contains("lists more than 64 patterns"), "{found}");
    // What stands once under `defaults` is merged into each instance.
    let long = "x".repeat(1000);
    let keys: Vec<String> = (0..900).map(|number| format!("{{ key: {long}{number} }}")).collect();
    let instances: Vec<String> = (0..200).map(|number| format!("{{ address: h{number} }}")).collect();
    let text = format!(
        "defaults: {{ check_single_keys: [{}] }}\ninstances: [{}]",
        keys.join(", "),
        instances.join(", ")
    );
    assert!(errors(&text).contains("128 MiB"));
    assert_eq!(config("limits: { checked_keys: 0 }").instances[0].checked_keys, 0);
}

#[test]
fn a_collector_without_its_section_is_warned_of_with_what_to_write() {
    let names = [
        "check_keys",
        "check_single_keys",
        "count_keys",
        "key_groups",
        "streams",
        "lua",
    ];
    let switches: Vec<String> = names.iter().map(|name| format!("{name}: on")).collect();
    let loaded = super::loaded(&format!(
        "defaults: {{ collectors: {{ {} }} }}\ninstances: [ {{ address: a }}, {{ address: b }} ]",
        switches.join(", ")
    ));
    assert_eq!(loaded.warnings.len(), names.len(), "{:?}", loaded.warnings);
    for name in names {
        let path = format!("defaults.collectors.{name}: is on, and does nothing");
        let section = loaded.config.instances[0].idle_without(name).unwrap();
        let says = |line: &&String| line.contains(&path) && line.contains(section);
        assert!(
            loaded.warnings.iter().any(|line| says(&line)),
            "{name}: {:?}",
            loaded.warnings
        );
        // What is to be written is right, and ends the warning.
        let text = format!("instances: [ {{ address: a, collectors: {{ {name}: on }}, {section} }} ]");
        let written = super::loaded(&text);
        let is_idle = |line: &String| line.contains("is on, and does nothing");
        assert!(!written.warnings.iter().any(is_idle), "{text}: {:?}", written.warnings);
        assert_eq!(written.config.instances[0].idle_without(name), None);
    }
    let own = super::loaded("instances:\n  - address: a\n    collectors: { lua: on, streams: off }\n");
    assert!(own.warnings[0].contains("collectors.lua: is on"), "{:?}", own.warnings);
    assert_eq!(own.warnings.len(), 1);
}
