//! `key_groups` and `streams`.

use super::{config, errors, good};
use crate::config::optional::{KeyGroupsConfig, KeyPattern, NamedKey, StreamsConfig};

fn pattern(glob: &str, databases: &[u32]) -> KeyPattern {
    KeyPattern {
        glob: glob.to_owned(),
        databases: databases.to_vec(),
    }
}

fn key(name: &str, database: u32) -> NamedKey {
    NamedKey {
        key: name.to_owned(),
        database: Some(database),
        export_value: false,
    }
}

#[test]
fn groups_and_streams_are_those_of_the_nearest_level() {
    let config = good("key_groups_streams");
    let [all, inherits, opts_out] = &config.instances[..] else {
        panic!()
    };
    let groups = KeyGroupsConfig {
        patterns: ["^(user):(%a+)", "%f[%w](%w+)%z?", "plain", "(%b{})"]
            .map(str::to_owned)
            .to_vec(),
        max_groups: 0,
        databases: vec![0, 3],
    };
    assert_eq!(all.optional.key_groups, Some(groups));
    let streams = StreamsConfig {
        patterns: vec![pattern("orders:*", &[0, 3]), pattern("mails", &[5])],
        single: vec![key("mystream", 2), key("odd \n key", 5)],
        consumers: false,
    };
    assert_eq!(all.optional.streams, streams);
    let groups = KeyGroupsConfig {
        patterns: vec!["^(.*):[^:]+$".to_owned()],
        max_groups: 100,
        databases: Vec::new(),
    };
    assert_eq!(inherits.optional.key_groups, Some(groups));
    let streams = StreamsConfig {
        patterns: vec![pattern("orders:*", &[2])],
        single: Vec::new(),
        consumers: true,
    };
    assert_eq!(inherits.optional.streams, streams);
    let on = |instance: &crate::config::InstanceConfig| ["key_groups", "streams"].map(|name| instance.collectors[name]);
    assert_eq!(
        (on(all), on(inherits), on(opts_out)),
        ([true; 2], [true; 2], [false; 2])
    );
    // Nothing said is nothing done.
    assert_eq!(on(&super::config("").instances[0]), [false; 2]);
    assert_eq!(opts_out.optional.streams, StreamsConfig::default());
}

#[test]
fn lists_are_bounded() {
    let patterns: Vec<String> = (0..65).map(|number| format!("\"p{number}\"")).collect();
    let found = errors(&format!(
        "defaults: {{ key_groups: {{ patterns: [{}] }} }}",
        patterns.join(", ")
    ));
    assert!(found.contains("lists more than 64 patterns"), "{found}");
    let found = errors(&format!(
        "defaults: {{ key_groups: {{ patterns: {} }} }}",
        "x".repeat(513)
    ));
    assert!(found.contains("longer than 512 bytes"), "{found}");
    let largest = format!(
        "defaults: {{ key_groups: {{ patterns: {}, max_groups: 10000 }} }}",
        "x".repeat(512)
    );
    assert!(config(&largest).instances[0].collectors["key_groups"]);
}
