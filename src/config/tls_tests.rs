//! `tls` as a file says it.

use super::*;
use crate::config::{Environment, InstanceConfig, Loaded, ValidatedConfig, load, load_str, to_redacted_yaml};
use std::sync::Arc;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/tls")
}

fn loaded(text: &str) -> Loaded {
    load_str(text, "f", &fixtures(), &Environment::of_pairs(&[])).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn good() -> ValidatedConfig {
    let path = fixtures().with_file_name("good").join("tls.yaml");
    let source = crate::config::Source::File(path);
    load(&source, &Environment::of_pairs(&[])).unwrap().config
}

fn named<'c>(config: &'c ValidatedConfig, name: &str) -> &'c Arc<InstanceConfig> {
    let mut instances = config.instances.iter();
    instances.find(|instance| instance.name == name).unwrap()
}

#[test]
fn each_key_comes_from_the_nearest_level_and_the_pair_as_one() {
    let config = good();
    let all = &named(&config, "all-of-defaults").tls;
    let ca_file = all.ca_file.as_ref().unwrap();
    assert!(ca_file.is_absolute() && ca_file.ends_with("tls/authority.pem"));
    let pair = all.client_certificate.as_ref().unwrap();
    assert!(pair.cert_file.ends_with("client.pem") && pair.key_file.ends_with("client.key"));
    assert_eq!((all.min_version, all.server_name.as_deref()), (TlsVersion::V1_3, None));
    assert!(!all.insecure_skip_verify);
    let some = &named(&config, "some-of-its-own").tls;
    let expected = TlsConfig {
        server_name: Some("sessions.example".to_owned()),
        min_version: TlsVersion::V1_2,
        ..all.clone()
    };
    assert_eq!(*some, expected);
    let none = &named(&config, "none-of-defaults").tls;
    let expected = TlsConfig {
        min_version: TlsVersion::V1_3,
        ..TlsConfig::default()
    };
    assert_eq!(*none, expected, "an empty text does without what defaults says");
}

#[test]
fn what_no_address_asks_for_is_left_out() {
    let config = good();
    for name in ["plain", "a-socket"] {
        assert_eq!(named(&config, name).tls, TlsConfig::default(), "{name}");
    }
    let replica = named(&config, "a-replica-over-tls");
    assert!(!replica.address.tls && replica.scan_from[0].tls && replica.speaks_tls());
    assert_eq!(replica.tls.server_name.as_deref(), Some("2001:db8::5"));
    assert!(replica.tls.ca_file.is_some());
    // A change of what plain instances do not use is no change of theirs.
    let of = |tls: &str| loaded(&format!("defaults: {{ {tls} }}\ninstances: [ {{ address: a }} ]")).config;
    assert_eq!(of("tls: { insecure_skip_verify: on, min_version: '1.3' }"), of(""));
}

#[test]
fn clusters_show_their_scheme_and_trust_verified_nodes_anywhere() {
    let config = good();
    let [first, second] = config.clusters.as_slice() else {
        panic!("two clusters");
    };
    assert_eq!(first.address(), "rediss-cluster://six.example:7000,10.0.0.6:7001");
    assert_eq!(second.name, "rediss-cluster://seven.example:6379");
    assert_eq!(second.template.tls.server_name.as_deref(), Some("cluster.example"));
    let node = first.node(
        Endpoint::Tcp {
            host: "10.0.0.7".to_owned(),
            port: 1,
        },
        None,
    );
    assert_eq!(node.address.to_string(), "rediss://10.0.0.7:1/0");
    assert!(node.tls.client_certificate.is_some());
    // Credentials go wherever nodes prove to be ours, and stay in the networks of the seeds where they do not.
    assert!(first.has_credentials() && first.networks([]).is_none());
    let cluster = |tls: &str, scheme: &str| {
        let text = format!("instances: [ {{ address: '{scheme}://a', password: x, {tls} }} ]");
        loaded(&text).config.clusters[0].clone()
    };
    let proved = |tls: &str| cluster(tls, "rediss-cluster").networks([]).is_none();
    assert!(proved("tls: { ca_file: authority.pem }") && proved("tls: { server_name: ours.example }"));
    assert!(!proved("") && !proved("tls: { ca_file: authority.pem, insecure_skip_verify: on }"));
    assert!(cluster("", "redis-cluster").networks([]).is_some());
    assert!(
        cluster("allowed_networks: [10.0.0.0/8]", "rediss-cluster")
            .networks([])
            .is_some()
    );
}

#[test]
fn a_name_is_the_one_that_is_verified() {
    let config = good();
    let name = |name: &str| {
        let instance = named(&config, name);
        instance.tls.name_of(&instance.address.endpoint).map(str::to_owned)
    };
    assert_eq!(name("all-of-defaults").as_deref(), Some("one.example"));
    assert_eq!(name("some-of-its-own").as_deref(), Some("sessions.example"));
    assert_eq!(name("not-verified").as_deref(), Some("2001:db8::1"));
    assert_eq!(name("a-socket"), None);
    for (text, expected) in [
        ("Redis.Internal", Some("redis.internal")),
        ("redis_1.internal", Some("redis_1.internal")),
        ("10.0.0.1", Some("10.0.0.1")),
        ("2001:DB8:0::1", Some("2001:db8::1")),
        ("[::1]", None),
        ("a:1", None),
        ("*.example", None),
        ("a b", None),
        ("", None),
        ("gr\u{fc}n", None),
    ] {
        assert_eq!(canonical_server_name(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn switching_verification_off_is_said_once_for_each_place() {
    let mut text = "defaults: { tls: { insecure_skip_verify: on } }\ninstances:\n".to_owned();
    for number in 0..8 {
        text.push_str(&format!("  - {{ address: 'rediss://h{number}' }}\n"));
    }
    text.push_str("  - { address: 'rediss://verified', tls: { insecure_skip_verify: off } }\n  - { address: plain }\n");
    text.push_str("  - { name: own, address: 'rediss://own', tls: { insecure_skip_verify: true } }\n");
    let warnings = loaded(&text).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("f:1:42: defaults.tls.insecure_skip_verify: is on for h0:6379, h1:6379"),
        "{warnings:?}"
    );
    assert!(warnings[0].contains("h4:6379 and 3 more:") && !warnings[0].contains("verified:6379"));
    assert!(
        warnings[1].contains("is on for own: whoever stands between"),
        "{warnings:?}"
    );
}

#[test]
fn a_replica_in_the_clear_beside_tls_is_warned_of() {
    let of = |address: &str, replica: &str| {
        let text = format!("instances: [ {{ address: '{address}', scan_from: '{replica}' }} ]");
        loaded(&text).warnings.len()
    };
    assert_eq!(of("rediss://a", "b"), 1);
    assert_eq!(of("rediss://a", "redis://b"), 1);
    assert_eq!(of("rediss://a", "rediss://b"), 0);
    assert_eq!(of("rediss://a", "/run/replica.sock"), 0);
    assert_eq!(of("a", "rediss://b"), 0);
}

#[test]
fn a_key_of_another_certificate_is_warned_of() {
    let text = "instances: [ { address: 'rediss://a', tls: { cert_file: authority.pem, key_file: client.key } } ]";
    let warnings = loaded(text).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("tls.key_file: does not belong to the certificate"),
        "{warnings:?}"
    );
    let right = text.replace("authority.pem", "client.pem");
    assert_eq!(loaded(&right).warnings, [""; 0]);
    let old = "instances: [ { address: 'rediss://a', tls: { cert_file: version1.pem, key_file: version1.key } } ]";
    let warnings = loaded(old).warnings;
    assert!(warnings[0].contains("X.509 version 1"), "{warnings:?}");
}

#[test]
fn what_is_shown_are_paths_and_only_where_they_are_used() {
    let shown = to_redacted_yaml(&good());
    assert_eq!(shown.matches("key_file: /").count(), 6, "{shown}");
    assert_eq!(shown.matches("  tls:\n").count(), 7, "{shown}");
    assert!(shown.contains("min_version: '1.3'"), "{shown}");
    assert!(!shown.contains("BEGIN"), "{shown}");
}

#[test]
fn nobody_waits_for_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("ca.pem");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let failure = checked(&pipe, |path| certificates(path).map(|_| ())).unwrap_err();
    assert_eq!(failure, "is not a regular file; name a PEM file");
}
