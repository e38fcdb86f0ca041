use super::*;
use crate::config::{Environment, load_str};
use servers::parse;
use std::path::Path;
use std::sync::Arc;

/// An instance with these lines in its block.
fn instance(lines: &str) -> Arc<InstanceConfig> {
    let mut text = "instances:\n  - name: web".to_owned();
    for line in lines.lines() {
        text.push_str(&format!("\n    {line}"));
    }
    let loaded = load_str(&text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    loaded.config.instances[0].clone()
}

fn command_of(text: &str, server: &str) -> String {
    line(&instance(text), &parse(server).unwrap()).unwrap().command()
}

const STORE: &str =
    "address: 'a:1'\nusername: monitor\npassword: canary\nsessions: [{ store: web, match: ['sess:*'] }]";

#[test]
fn the_line_of_a_store_is_the_least_for_each_server() {
    const COMMANDS: &str = "+ping +info +client|setname";
    assert_eq!(
        command_of(STORE, "redis-7.0"),
        format!(
            "ACL SETUSER monitor reset on >PASSWORD %R~sess:* resetchannels &__keyevent@0__:* &__keyevent@*__:expired \
             &__keyevent@*__:evicted -@all {COMMANDS} +latency|latest +latency|histogram +slowlog|len +slowlog|get +config|get \
             +cluster|info +client|list +select +dbsize +scan +pttl +memory|usage +subscribe"
        )
    );
    assert_eq!(
        command_of(STORE, "redis-6.0"),
        format!(
            "ACL SETUSER monitor reset on >PASSWORD ~sess:* -@all {COMMANDS} +latency|latest +slowlog|len +slowlog|get +config|get \
             +cluster|info +select +dbsize +scan +pttl +memory|usage +subscribe"
        )
    );
    assert!(command_of(STORE, "redis-6.2").contains("~sess:* resetchannels &__keyevent@0__:*"));
    assert!(command_of(STORE, "valkey-8.1").contains("+commandlog|len"));
    let dragonfly = command_of(STORE, "dragonfly");
    assert!(
        dragonfly.contains(" +config ") && !dragonfly.contains('|'),
        "{dragonfly}"
    );
    for server in servers::common() {
        let line = line(&instance(STORE), &server).unwrap();
        let distinct: BTreeSet<&String> = line.rules.iter().collect();
        assert_eq!(distinct.len(), line.rules.len(), "{line:?}");
        assert!(
            line.rules.iter().all(|rule| !rule.contains(' ')),
            "the file knows no quotes: {line:?}"
        );
        assert!(!line.command().contains("canary"), "{line:?}");
    }
    assert_eq!(line(&instance(STORE), &parse("redis-5").unwrap()), None);
}

#[test]
fn what_is_switched_off_is_not_granted() {
    let text = "address: 'a:1'\nusername: u\npassword: x\nsessions: []\n\
                collectors: { latency: off, slowlog: off, config: off, keyspace: off }\n\
                compatibility: { set_client_name: off }";
    assert_eq!(
        command_of(text, "valkey-9"),
        "ACL SETUSER u reset on >PASSWORD resetchannels -@all +ping +info +cluster|info +client|list +latency|histogram"
    );
}

#[test]
fn a_sentinel_has_a_line_of_its_own() {
    let rules = |text: &str| {
        line(&instance(text), &parse("sentinel").unwrap())
            .unwrap()
            .rules
            .join(" ")
    };
    let few = "resetchannels -@all +ping +info +client|setname +sentinel|masters +sentinel|sentinels +sentinel|slaves \
               +sentinel|ckquorum";
    let peers = "address: 'a:1'\ncollectors: { sentinel_peers: on }\nsession_probe: { enabled: true }\nkey_groups: { patterns: ['a'] }";
    assert_eq!(rules(STORE), few);
    assert_eq!(rules(peers), few);
    assert_eq!(
        rules("address: 'a:1'\ncollectors: { config_all: on }"),
        format!("{few} +sentinel|config")
    );
}

#[test]
fn keys_are_those_that_the_configuration_names() {
    let text = "address: 'a:1'\nsessions:\n  - { store: web, match: ['s:*'], databases: [2], events: off, encryption: { expect_prefix: 'v1' } }\n\
        session_probe: { enabled: true, prefix: 'p:' }\n\
        check_single_keys: [ { key: 'my \"key\"' } ]\n\
        streams: { patterns: [ { match: 'orders:*' } ] }\n\
        application_metrics: [ { name: m_total, type: counter, help: x, key: 'm[1]' } ]";
    let line = command_of(text, "redis-7.2");
    for rule in [
        "%R~s:* ",
        "~p:* ",
        "\"%R~my?\\\"key\\\"\"",
        "%R~orders:* ",
        "%R~m\\[1\\] ",
        "+getrange ",
        "+client|no-touch",
        "+set +get +expire +del",
        "+xinfo|stream +xinfo|groups +xinfo|consumers",
    ] {
        assert!(line.contains(rule), "{rule}: {line}");
    }
    assert!(!line.contains('&') && !line.contains("+subscribe"), "{line}");
    let config = instance(text);
    let server = parse("redis-7.2").unwrap();
    let needs = needs(&config, &server);
    let of = |grant: Grant| {
        needs
            .iter()
            .find(|need| need.grant == grant)
            .unwrap()
            .collectors
            .clone()
    };
    assert_eq!(of(command("pttl")), ["sessions"]);
    assert_eq!(of(command("xinfo|groups")), ["streams"]);
    assert_eq!(of(command("client|setname")), Vec::<&str>::new());
    let notes = notes(&config, &server).join("\n");
    assert!(
        notes.contains("white space") && notes.contains("username: exporter` (--redis.user=exporter)"),
        "{notes}"
    );
}

#[test]
fn the_user_of_everybody_is_never_reset() {
    let text = "address: 'a:1'\nusername: default\npassword: x\nsessions: []";
    assert!(command_of(text, "redis-7").starts_with("ACL SETUSER exporter reset "));
    let notes = notes(&instance(text), &parse("redis-7").unwrap());
    assert!(notes[0].contains("not touched"), "{notes:?}");
}

#[test]
fn libraries_that_may_be_recognised_may_be_looked_at() {
    let line = command_of("address: 'a:1/3'", "redis-7");
    for rule in [
        "%R~sess:*",
        "%R~PHPREDIS_SESSION:*",
        "&__keyevent@3__:*",
        "+type",
        "+zcount",
        "+select",
    ] {
        assert!(line.contains(rule), "{rule}: {line}");
    }
    assert!(!line.contains("%R~* "), "{line}");
}

#[test]
fn a_certificate_may_be_the_user() {
    let mut config = (*instance("address: 'rediss://a:1'")).clone();
    let server = parse("valkey-9.1").unwrap();
    let said = |config: &InstanceConfig| notes(config, &server).first().cloned().unwrap();
    assert!(said(&config).starts_with("The configuration names no user: write `username: exporter`"));
    config.tls.client_certificate = Some(crate::config::tls::ClientCertificate {
        cert_file: "client.pem".into(),
        key_file: "client.key".into(),
    });
    let note = said(&config);
    assert!(
        note.contains("takes it from our certificate (`tls-auth-clients-user`)"),
        "{note}"
    );
}
