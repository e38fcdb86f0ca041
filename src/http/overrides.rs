//! The parameters of `/scrape` by which redis_exporter lets a request choose keys to look at, and the name that a certificate must carry.
//!
//! There any client starts scans of any size with them and reads any key. Here a request starts nothing: keys are named in the
//! configuration, and the paced scan looks at them for every scrape. A request that names what is configured anyway is answered as
//! if it had named nothing, so that a job made for redis_exporter goes on; any other is told where to write it. Nothing that it
//! names is repeated.

use super::query::{Query, decode_form};
use crate::config::InstanceConfig;
use crate::config::optional::{KeyPattern, NamedKey};
use crate::config::tls::canonical_server_name;

/// One of the parameters that name keys.
struct KeyParameter {
    /// As redis_exporter spells it.
    name: &'static str,
    /// Where the same is configured, in words.
    configured_as: &'static str,
    /// The lists of the configuration that may hold what it names, each with the collector that looks at it. redis_exporter takes what is
    /// no pattern for a key even where it asks for patterns, and so do the flags here.
    lists: &'static [List],
}

/// A list of the configuration.
struct List {
    /// The collector that has to run.
    collector: &'static str,
    /// Whether it holds a key or pattern of a database.
    holds: fn(&InstanceConfig, u32, &str) -> bool,
}

const CHECKED: List = List {
    collector: "check_keys",
    holds: |config, database, glob| has_pattern(&config.optional.keys.patterns, database, glob),
};
const SINGLE: List = List {
    collector: "check_single_keys",
    holds: |config, database, key| has_key(&config.optional.keys.single, database, key),
};
const COUNTED: List = List {
    collector: "count_keys",
    holds: |config, database, glob| has_pattern(&config.optional.keys.counted, database, glob),
};
const STREAM_PATTERNS: List = List {
    collector: "streams",
    holds: |config, database, glob| has_pattern(&config.optional.streams.patterns, database, glob),
};
const STREAMS: List = List {
    collector: "streams",
    holds: |config, database, key| has_key(&config.optional.streams.single, database, key),
};

/// All of them.
const KEY_PARAMETERS: [KeyParameter; 5] = [
    KeyParameter {
        name: "check-keys",
        configured_as: "`check_keys`, or a key without wildcards under `check_single_keys`,",
        lists: &[CHECKED, SINGLE],
    },
    KeyParameter {
        name: "check-single-keys",
        configured_as: "`check_single_keys`",
        lists: &[SINGLE],
    },
    KeyParameter {
        name: "check-streams",
        configured_as: "`streams`",
        lists: &[STREAM_PATTERNS, STREAMS],
    },
    KeyParameter {
        name: "check-single-streams",
        configured_as: "`streams`",
        lists: &[STREAMS],
    },
    KeyParameter {
        name: "count-keys",
        configured_as: "`count_keys`",
        lists: &[COUNTED],
    },
];

/// Both spellings of the parameter that names the host of a server's certificate.
const SERVER_NAME_PARAMETERS: [&str; 2] = ["tls_server_name", "tls-server-name"];

fn has_pattern(patterns: &[KeyPattern], database: u32, glob: &str) -> bool {
    let mut patterns = patterns.iter();
    patterns.any(|pattern| pattern.glob == glob && pattern.databases.contains(&database))
}

fn has_key(keys: &[NamedKey], database: u32, name: &str) -> bool {
    let mut keys = keys.iter();
    keys.any(|key| key.key == name && key.database == Some(database))
}

/// Why a request for this instance is refused, in a sentence without anything of the request; `None` when its parameters ask for
/// nothing beyond the configuration. Like redis_exporter it reads the first of several and takes an empty one for none.
pub(super) fn refusal(query: &Query<'_>, config: &InstanceConfig) -> Option<String> {
    let given = |name: &str| query.first(name).filter(|value| !value.is_empty());
    for parameter in &KEY_PARAMETERS {
        let Some(value) = given(parameter.name) else {
            continue;
        };
        let KeyParameter {
            name,
            configured_as,
            lists,
        } = parameter;
        let Some(keys) = parse_keys(value) else {
            return Some(format!(
                "{name} must be a list of dbN=KEY or KEY, separated by commas and percent-encoded"
            ));
        };
        let is_on = |list: &&List| config.collectors.get(list.collector) == Some(&true);
        let mut switched_off = None;
        for (database, key) in &keys {
            let holding = lists.iter().filter(|list| (list.holds)(config, *database, key));
            match holding.clone().find(is_on).or(holding.clone().next()) {
                None => {
                    return Some(format!(
                        "a request starts no work on keys here: write what {name} names under {configured_as} of this instance in the \
                         configuration, and every scrape has it, with {name} or without"
                    ));
                }
                Some(list) if !is_on(&list) => switched_off = Some(list.collector),
                Some(_) => {}
            }
        }
        if let Some(collector) = switched_off {
            return Some(format!(
                "what {name} names is configured for this instance, but its collector is switched off: remove `{collector}: false` from \
                 `collectors`"
            ));
        }
    }
    SERVER_NAME_PARAMETERS
        .into_iter()
        .find_map(|name| given(name).and_then(|value| refused_server_name(name, value, config)))
}

/// Why this name is refused as that of the server's certificate; `None` when it is the one that is verified anyway.
fn refused_server_name(parameter: &str, value: &str, config: &InstanceConfig) -> Option<String> {
    if !config.address.tls {
        return Some(format!(
            "{parameter} has nothing to choose: this instance is spoken to without TLS; write its address as `rediss://` in the \
             configuration, or leave the parameter out"
        ));
    }
    let name = config.tls.name_of(&config.address.endpoint);
    let is_verified = name.is_some_and(|name| canonical_server_name(value).is_some_and(|value| value == name));
    (!is_verified).then(|| {
        format!(
            "no request says here which name a certificate must carry: write it as `server_name` below `tls` of this instance in the \
             configuration, and leave {parameter} out or let it say the same"
        )
    })
}

/// Reads `db3=sess:*,cart:*` as redis_exporter does: without a database it is 0, and each key is percent-encoded once more.
fn parse_keys(text: &str) -> Option<Vec<(u32, String)>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let mut pieces = part.split('=').map(str::trim);
            let (database, key) = match (pieces.next(), pieces.next(), pieces.next()) {
                (Some(key), None, _) => ("0", key),
                (Some(database), Some(key), None) => (database.trim_start_matches("db"), key),
                _ => return None,
            };
            Some((database.parse().ok()?, decode_form(key).ok()?.into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::optional::StreamsConfig;

    fn config() -> InstanceConfig {
        let pattern = |glob: &str, databases: &[u32]| KeyPattern {
            glob: glob.to_owned(),
            databases: databases.to_vec(),
        };
        let key = |key: &str, database: u32| NamedKey {
            key: key.to_owned(),
            database: Some(database),
            export_value: false,
        };
        let mut config = super::super::health::tests::config("a", 6379);
        config.optional.keys.patterns = vec![pattern("sess:*", &[0, 3]), pattern("a,b=c", &[0])];
        config.optional.keys.single = vec![key("user_q7", 0), key("two", 3)];
        config.optional.keys.counted = vec![pattern("cart:*", &[1])];
        config.optional.streams = StreamsConfig {
            patterns: vec![pattern("jobs:*", &[0])],
            single: vec![key("jobs", 0), key("mails", 0)],
            consumers: true,
        };
        for collector in ["check_keys", "check_single_keys", "count_keys", "streams"] {
            config.collectors.insert(collector, true);
        }
        config
    }

    fn refused(query: &str, config: &InstanceConfig) -> Option<String> {
        refusal(&Query::parse(Some(query)).unwrap(), config)
    }

    #[test]
    fn what_is_configured_may_be_asked_for() {
        for query in [
            "",
            "target=a&check-keys=",
            "check-keys=sess:*",
            "check-keys=db3%3Dsess:*",
            "check-keys=db0=sess:*,db3=sess%3A*",
            "check-keys=a%252Cb%253Dc",
            "check-keys=,sess:*,",
            "check-single-keys=user_q7,db3=two&count-keys=db1=cart:*",
            "check-keys=user_q7,sess:*,db3=two",
            "check-streams=mails,jobs:*",
            "check-streams=jobs:*&check-single-streams=db0=jobs",
            "check-keys=sess:*&check-keys=other",
            "tls_server_name=&unknown=x",
        ] {
            assert_eq!(refused(query, &config()), None, "{query}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_key_to_write_and_without_an_echo() {
        let cases = [
            ("check-keys=zq9x:*", "`check_keys`"),
            ("check-keys=sess:*,zq9x", "`check_keys`"),
            ("check-keys=db1=sess:*", "`check_keys`"),
            ("check-keys=*", "`check_keys`"),
            ("check-single-keys=sess:*", "`check_single_keys`"),
            ("check-single-keys=db1=user_q7", "`check_single_keys`"),
            ("check-keys=db1=user_q7", "`check_keys`"),
            ("count-keys=user_q7", "`count_keys`"),
            ("check-streams=user_q7", "`streams`"),
            ("check-streams=db1=jobs", "`streams`"),
            ("check-single-streams=jobs:*", "`streams`"),
            ("count-keys=sess:*", "`count_keys`"),
            ("check-keys=hunter2=sess:*", "must be a list"),
            ("check-keys=1=2=3", "must be a list"),
            ("check-keys=%25ff", "must be a list"),
            ("check-keys=db-1=sess:*", "must be a list"),
            ("check-keys=db99999999999=x", "must be a list"),
            ("tls_server_name=hunter2", "without TLS"),
            ("tls-server-name=hunter2", "without TLS"),
        ];
        for (query, expected) in cases {
            let sentence = refused(query, &config()).unwrap_or_else(|| panic!("{query} is not refused"));
            assert!(sentence.contains(expected), "{query}: {sentence}");
            for told in ["zq9x", "sess:", "hunter2", "jobs", "db1", "user_q7"] {
                assert!(!sentence.contains(told), "{query}: {sentence}");
            }
        }
    }

    #[test]
    fn the_name_of_a_certificate_may_be_the_one_that_is_verified() {
        let mut config = config();
        config.address.tls = true;
        for query in [
            "tls_server_name=127.0.0.1",
            "tls-server-name=127.0.0.1",
            "tls_server_name=",
        ] {
            assert_eq!(refused(query, &config), None, "{query}");
        }
        config.tls.server_name = Some("redis.internal".to_owned());
        assert_eq!(refused("tls_server_name=Redis.Internal", &config), None);
        for query in [
            "tls_server_name=127.0.0.1",
            "tls-server-name=hunter2.example",
            "tls_server_name=hunter2%20",
        ] {
            let sentence = refused(query, &config).unwrap();
            assert!(sentence.contains("`server_name` below `tls`"), "{sentence}");
            assert!(
                !sentence.contains("hunter2") && !sentence.contains("redis.internal"),
                "{sentence}"
            );
        }
        // Both spellings count.
        assert!(refused("tls_server_name=redis.internal&tls-server-name=hunter2", &config).is_some());
    }

    #[test]
    fn a_collector_that_is_switched_off_is_named() {
        let mut config = config();
        config.collectors.insert("streams", false);
        let sentence = refused("check-streams=jobs:*", &config).unwrap();
        assert!(sentence.contains("`streams: false`"), "{sentence}");
        assert_eq!(refused("check-keys=sess:*", &config), None);
        // Whichever collector holds it has to run.
        config.collectors.insert("check_single_keys", false);
        assert_eq!(refused("check-keys=sess:*", &config), None);
        let sentence = refused("check-keys=user_q7,sess:*", &config).unwrap();
        assert!(sentence.contains("`check_single_keys: false`"), "{sentence}");
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*", soup in "[a,%=0-9df+]{0,60}") {
            let _ = parse_keys(&text);
            let _ = parse_keys(&soup);
        }
    }
}
