//! The flags of `redis_exporter` about TLS to servers.

use super::*;
use crate::config::peer_flags::{PeerServers, PeerValue, ServerFlag};
use crate::config::tls::{TlsConfig, TlsVersion};

fn fixture(name: &str) -> String {
    let path = repository().join("tests/fixtures/config/tls").join(name);
    path.to_str().unwrap().to_owned()
}

fn flags(addresses: &[&str], given: &[(ServerFlag, &str)]) -> FlagSource {
    let mut servers = PeerServers::default();
    for (flag, text) in given {
        let (origin, value) = match flag {
            ServerFlag::TlsCaCertFile => ("--tls-ca-cert-file", PeerValue::Text((*text).to_owned())),
            ServerFlag::TlsClientCertFile => ("--tls-client-cert-file", PeerValue::Text((*text).to_owned())),
            ServerFlag::TlsClientKeyFile => ("--tls-client-key-file", PeerValue::Text((*text).to_owned())),
            ServerFlag::TlsServerName => ("--tls-server-name", PeerValue::Text((*text).to_owned())),
            ServerFlag::SkipTlsVerification => ("--skip-tls-verification", PeerValue::Switch(*text == "true")),
            ServerFlag::IsCluster => ("--is-cluster", PeerValue::Switch(true)),
            other => panic!("{other:?}"),
        };
        servers.set(*flag, origin, &value).unwrap();
    }
    let addresses = addresses.iter().map(|text| Given {
        origin: "--redis.addr",
        text: Secret::new(*text),
    });
    FlagSource {
        addresses: addresses.collect(),
        servers: Box::new(servers),
        ..FlagSource::default()
    }
}

fn loaded_flags(flags: &FlagSource) -> Loaded {
    let nothing = Environment::of_pairs(&[]);
    load(&Source::Flags(flags.clone()), &nothing).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(flags: &FlagSource) -> String {
    let nothing = Environment::of_pairs(&[]);
    load(&Source::Flags(flags.clone()), &nothing).unwrap_err().to_string()
}

#[test]
fn they_hold_for_every_address_that_asks_for_tls() {
    let (ca, certificate, key) = (fixture("authority.pem"), fixture("client.pem"), fixture("client.key"));
    let given = [
        (ServerFlag::TlsCaCertFile, ca.as_str()),
        (ServerFlag::TlsClientCertFile, &certificate),
        (ServerFlag::TlsClientKeyFile, &key),
        (ServerFlag::TlsServerName, "Redis.Internal"),
    ];
    let loaded = loaded_flags(&flags(
        &["rediss://a:6380", "valkeys://b", "redis://c", "/run/d.sock"],
        &given,
    ));
    assert_eq!(loaded.warnings, [""; 0]);
    let of = |position: usize| &loaded.config.instances[position].tls;
    assert_eq!(of(0).ca_file.as_deref(), Some(Path::new(&ca)));
    let pair = of(0).client_certificate.as_ref().unwrap();
    assert_eq!(
        (pair.cert_file.as_path(), pair.key_file.as_path()),
        (Path::new(&certificate), Path::new(&key))
    );
    assert_eq!(
        (of(0).server_name.as_deref(), of(0).min_version),
        (Some("redis.internal"), TlsVersion::V1_2)
    );
    assert_eq!(of(0), of(1));
    assert_eq!((of(2), of(3)), (&TlsConfig::default(), &TlsConfig::default()));
    let cluster = loaded_flags(&flags(
        &["rediss://a:1", "rediss://b:1"],
        &[&given[..], &[(ServerFlag::IsCluster, "")]].concat(),
    ));
    assert_eq!(cluster.config.clusters[0].address(), "rediss-cluster://a:1,b:1");
    assert_eq!(cluster.config.clusters[0].template.tls, *of(0));
    // What `check` prints loads as the same.
    for config in [&loaded.config, &cluster.config] {
        let file = to_minimal_yaml(config);
        let again = load_str(&file.yaml, "f", Path::new("/"), &Environment::of_pairs(&[])).unwrap();
        assert_eq!(again.config, *config, "{}", file.yaml);
        assert!(
            file.yaml.contains("server_name: redis.internal") && !file.yaml.contains("min_version"),
            "{}",
            file.yaml
        );
    }
}

#[test]
fn nothing_of_them_is_looked_at_where_no_address_asks_for_tls() {
    let given = [
        (ServerFlag::TlsCaCertFile, "/hunter2/ca.pem"),
        (ServerFlag::SkipTlsVerification, "true"),
    ];
    let loaded = loaded_flags(&flags(&["redis://a"], &given));
    assert_eq!(loaded.config.instances[0].tls, TlsConfig::default());
    let [line] = loaded.warnings.as_slice() else {
        panic!("{:?}", loaded.warnings);
    };
    assert!(
        line.contains("--tls-ca-cert-file (no address begins with rediss://"),
        "{line}"
    );
    assert!(
        line.contains("--skip-tls-verification (") && !line.contains("hunter2"),
        "{line}"
    );
    // Empty texts and a switch that is off say nothing.
    let silent = [
        (ServerFlag::TlsCaCertFile, ""),
        (ServerFlag::TlsServerName, ""),
        (ServerFlag::SkipTlsVerification, "false"),
    ];
    for address in ["redis://a", "rediss://a"] {
        let loaded = loaded_flags(&flags(&[address], &silent));
        assert_eq!(loaded.config.instances[0].tls, TlsConfig::default());
        assert_eq!(loaded.warnings, [""; 0]);
    }
}

#[test]
fn files_are_checked_and_half_a_pair_is_refused() {
    let certificate = fixture("client.pem");
    let alone = refused(&flags(
        &["rediss://a"],
        &[(ServerFlag::TlsClientCertFile, &certificate)],
    ));
    assert_eq!(
        alone,
        "--tls-client-cert-file: stands without --tls-client-key-file; give both, or neither"
    );
    let key = fixture("encrypted.key");
    let alone = refused(&flags(&["rediss://a"], &[(ServerFlag::TlsClientKeyFile, &key)]));
    assert_eq!(
        alone,
        "--tls-client-key-file: stands without --tls-client-cert-file; give both, or neither"
    );
    let pair = [
        (ServerFlag::TlsClientCertFile, certificate.as_str()),
        (ServerFlag::TlsClientKeyFile, &key),
        (ServerFlag::TlsCaCertFile, "/nonexistent/ca.pem"),
    ];
    let errors = refused(&flags(&["rediss://a"], &pair));
    assert!(
        errors.contains("--tls-ca-cert-file: the file /nonexistent/ca.pem: cannot be read"),
        "{errors}"
    );
    assert!(
        errors.contains("--tls-client-key-file: the file /") && errors.contains("passphrase"),
        "{errors}"
    );
    assert!(
        PeerServers::default()
            .set(
                ServerFlag::TlsServerName,
                "--tls-server-name",
                &PeerValue::Text("hunter2:1".into())
            )
            .unwrap_err()
            .starts_with("is neither a DNS name")
    );
}

#[test]
fn skipping_verification_names_whom_it_concerns() {
    let given = [(ServerFlag::SkipTlsVerification, "true")];
    let loaded = loaded_flags(&flags(&["rediss://a", "redis://b"], &given));
    assert!(
        loaded.config.instances[0].tls.insecure_skip_verify && !loaded.config.instances[1].tls.insecure_skip_verify
    );
    let [line] = loaded.warnings.as_slice() else {
        panic!("{:?}", loaded.warnings);
    };
    assert!(
        line.starts_with("--skip-tls-verification is on for a:6379: whoever stands between")
            && line.ends_with("as --tls-ca-cert-file instead."),
        "{line}"
    );
}

#[test]
fn passwords_of_a_map_are_found_by_scheme() {
    let map = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        map.path(),
        r#"{"rediss://a:6380": "hunter2-a", "b:6380": "hunter2-b", "redis://c:6380": "hunter2-c"}"#,
    )
    .unwrap();
    let with_map = FlagSource {
        password_file: Some(Given {
            origin: "--redis.password-file",
            text: Secret::new(map.path().to_str().unwrap()),
        }),
        ..flags(&["rediss://b:6380", "rediss://c:6380"], &[])
    };
    let loaded = loaded_flags(&with_map);
    let shown: Vec<(String, bool)> = loaded
        .config
        .instances
        .iter()
        .map(|instance| (instance.address.to_string(), instance.password != PasswordSource::None))
        .collect();
    let row = |address: &str, has_password| (address.to_owned(), has_password);
    assert_eq!(
        shown,
        [
            row("rediss://b:6380/0", true),
            row("rediss://c:6380/0", false),
            row("rediss://a:6380/0", true),
            row("redis://c:6380/0", true),
        ],
        "a password for redis:// is not one for rediss://, and an entry without a scheme is no second server"
    );
}
