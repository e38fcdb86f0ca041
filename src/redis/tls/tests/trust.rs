//! Certificates of servers, good and bad.

use super::kit::*;
use crate::config::tls::{TlsConfig, TlsVersion};
use crate::redis::testing::{Act, soon};
use crate::redis::{Phase, Reason, TlsReason};
use crate::tls::certificate::Validity;
use rcgen::{CertificateParams, date_time_ymd};
use std::net::SocketAddr;

/// `date -u -d 2020-01-01 +%s` and so on.
const DATES: Validity = Validity {
    not_before: 1_577_836_800,
    not_after: 3_786_912_000,
};

#[tokio::test]
async fn a_good_server_is_believed_and_described() {
    let authority = authority();
    let ca_file = file(&authority.pem);
    for (versions, version) in [(rustls::DEFAULT_VERSIONS, "TLSv1.3"), (&ONLY_1_2[..], "TLSv1.2")] {
        let server = Server {
            versions,
            ..Server::of(issued(params("server"), &authority))
        };
        let (connection, handshake) = connector(server.welcomes().await, trusting(&ca_file))
            .connect(soon())
            .await
            .unwrap();
        let phases: Vec<Phase> = handshake.phases.iter().map(|(phase, _)| *phase).collect();
        assert_eq!(phases, [Phase::Tcp, Phase::Tls, Phase::Auth]);
        let tls = handshake.tls.unwrap();
        assert_eq!(tls.version, Some(version));
        let cipher = tls.cipher.unwrap();
        assert!(cipher.starts_with("TLS_"), "{cipher}");
        assert_eq!((tls.verified, tls.failure), (Some(true), None));
        let certificates = tls.certificates.unwrap();
        assert_eq!((certificates.leaf, certificates.chain), (DATES, DATES));
        drop(connection);
    }
}

#[tokio::test]
async fn a_chain_ends_where_its_first_certificate_does() {
    let root = authority();
    let mut between = authority_params("between");
    between.not_before = date_time_ymd(2021, 1, 1);
    between.not_after = date_time_ymd(2080, 1, 1);
    let between = issued(between, &root);
    let leaf = issued(params("server"), &between);
    let server = Server {
        others: vec![between.der.clone()],
        ..Server::of(leaf)
    };
    let (_connection, tls) = connected(&connector(server.welcomes().await, trusting(&file(&root.pem)))).await;
    let certificates = tls.certificates.unwrap();
    assert_eq!(certificates.leaf, DATES);
    assert_eq!(certificates.chain.not_before, 1_609_459_200);
    assert_eq!(certificates.chain.not_after, 3_471_292_800);
}

/// A server that must not be believed, why, and words of the sentence.
fn bad_servers() -> Vec<(&'static str, Server, TlsReason, Vec<&'static str>)> {
    let root = authority();
    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = params("server");
        change(&mut params);
        Server::of(issued(params, &root))
    };
    let between = issued(authority_params("between"), &root);
    let mut old = authority_params("old");
    old.not_after = date_time_ymd(2021, 2, 3);
    let spent = self_signed(old.clone());
    let old = issued(old, &root);
    vec![
        (
            root.pem.clone().leak(),
            changed(|params| params.not_after = date_time_ymd(2021, 2, 3)),
            TlsReason::Expired,
            vec![
                "the server's certificate expired on 2021-02-03 (",
                " days ago)",
                "renew it",
            ],
        ),
        (
            root.pem.clone().leak(),
            changed(|params| params.not_before = date_time_ymd(2089, 2, 3)),
            TlsReason::NotYetValid,
            vec!["holds only from 2089-02-03 on (in ", "check the clocks"],
        ),
        (
            root.pem.clone().leak(),
            Server {
                others: vec![old.der.clone()],
                ..Server::of(issued(params("server"), &old))
            },
            TlsReason::Expired,
            vec!["a certificate that the server's depends on expired on 2021-02-03 ("],
        ),
        (
            spent.pem.clone().leak(),
            Server::of(issued(params("server"), &spent)),
            TlsReason::Expired,
            vec!["the certificate of the authority in `tls.ca_file` expired on 2021-02-03 ("],
        ),
        (
            root.pem.clone().leak(),
            Server::of(issued(params("server"), &self_signed(authority_params("another")))),
            TlsReason::UnknownCa,
            vec![
                "does not lead to the certificate of /",
                "end at the authority `another`",
                "`tls.ca_file`",
            ],
        ),
        (
            root.pem.clone().leak(),
            Server::of(issued(params("server"), &authority())),
            TlsReason::UnknownCa,
            vec!["not signed with the key of the authority whose name it bears"],
        ),
        (
            root.pem.clone().leak(),
            Server::of(issued(params("server"), &between)),
            TlsReason::UnknownCa,
            vec!["end at the authority `between`"],
        ),
        (
            root.pem.clone().leak(),
            Server::of(self_signed(params("server"))),
            TlsReason::UnknownCa,
            vec!["is self-signed"],
        ),
        (
            root.pem.clone().leak(),
            Server::of(self_signed({
                let mut params = authority_params("server");
                params.subject_alt_names = self::params("x").subject_alt_names;
                params
            })),
            TlsReason::UnknownCa,
            vec!["is self-signed"],
        ),
        (
            root.pem.clone().leak(),
            changed(|params| {
                params.subject_alt_names = CertificateParams::new(vec!["redis.example".to_owned()])
                    .unwrap()
                    .subject_alt_names;
            }),
            TlsReason::NameMismatch,
            vec!["is made out to redis.example, not to `127.0.0.1`", "tls.server_name"],
        ),
        (
            root.pem.clone().leak(),
            changed(|params| params.subject_alt_names.clear()),
            TlsReason::NameMismatch,
            vec![
                "names no host in its subjectAltName",
                "issued anew with the host of the address",
            ],
        ),
    ]
}

#[tokio::test]
async fn a_bad_server_is_refused_with_its_dates_and_a_sentence() {
    for (trusted, server, expected, words) in bad_servers() {
        let ca_file = file(trusted);
        let connector = connector(server.welcomes().await, trusting(&ca_file));
        let (tls, error) = failed(&connector).await;
        assert_eq!((tls.failure, error.reason), (Some(expected), Reason::Tls), "{error}");
        assert_eq!((tls.verified, tls.version), (Some(false), Some("TLSv1.3")), "{error}");
        assert!(tls.cipher.is_some() && tls.certificates.is_some(), "{error}");
        for word in words {
            assert!(error.message.contains(word), "{word:?} in {error}");
        }
        assert!(error.message.starts_with("rediss://127.0.0.1:"), "{error}");
        assert!(error.message.contains(": during the TLS handshake: "), "{error}");
    }
}

/// The certificate of a server is no secret: somebody else shows it too, but cannot sign with its key. Nobody is told then that it verifies,
/// and nothing is sent, whatever is skipped.
#[tokio::test]
async fn a_certificate_without_its_key_proves_nothing() {
    let root = authority();
    let (known, strange) = (file(&root.pem), file(&authority().pem));
    for versions in [&ONLY_1_2, &ONLY_1_3] {
        for (ca_file, insecure_skip_verify) in [(&known, false), (&known, true), (&strange, true)] {
            let server = Server {
                strange_key: Some(rcgen::KeyPair::generate().unwrap()),
                versions,
                ..Server::of(issued(params("server"), &root))
            };
            let (socket, heard) = server.plays(vec![Act::Read(1)]).await;
            let tls = TlsConfig {
                insecure_skip_verify,
                ..trusting(ca_file)
            };
            let (tls, error) = failed(&connector(socket, tls)).await;
            assert_eq!(error.reason, Reason::Tls, "{error}");
            assert_eq!((tls.verified, tls.failure), (Some(false), Some(TlsReason::Handshake)));
            assert!(tls.certificates.is_some());
            assert!(error.message.contains("does not have its key"), "{error}");
            assert_eq!(heard.await.unwrap(), Vec::<Vec<String>>::new());
        }
    }
}

#[tokio::test]
async fn a_bad_server_is_talked_to_when_nobody_is_to_verify_and_what_is_wrong_is_told() {
    for (trusted, server, expected, _) in bad_servers() {
        let tls = TlsConfig {
            insecure_skip_verify: true,
            ..trusting(&file(trusted))
        };
        let ca_file = file(trusted);
        let tls = TlsConfig {
            ca_file: Some(ca_file.path().to_owned()),
            ..tls
        };
        let (_connection, tls) = connected(&connector(server.welcomes().await, tls)).await;
        assert_eq!((tls.verified, tls.failure), (Some(false), Some(expected)));
        assert!(tls.certificates.is_some());
    }
}

/// The server's own certificate in `ca_file`, with and without `CA:TRUE`.
#[tokio::test]
async fn a_certificate_that_is_named_itself_is_trusted_while_its_dates_and_its_name_hold() {
    let named = |change: fn(&mut CertificateParams)| {
        let mut params = params("server");
        change(&mut params);
        self_signed(params)
    };
    type Change = fn(&mut CertificateParams);
    let table: [(Change, Option<TlsReason>); 5] = [
        (|_| (), None),
        (
            |params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
            None,
        ),
        (
            |params| params.not_after = date_time_ymd(2021, 1, 1),
            Some(TlsReason::Expired),
        ),
        (
            |params| params.not_before = date_time_ymd(2089, 1, 1),
            Some(TlsReason::NotYetValid),
        ),
        (|params| params.subject_alt_names.clear(), Some(TlsReason::NameMismatch)),
    ];
    for (change, expected) in table {
        let leaf = named(change);
        let ca_file = file(&format!("{}{}", authority().pem, leaf.pem));
        let connector = connector(Server::of(leaf).welcomes().await, trusting(&ca_file));
        match expected {
            None => assert_eq!(connected(&connector).await.1.verified, Some(true)),
            Some(expected) => assert_eq!(failed(&connector).await.0.failure, Some(expected)),
        }
    }
    // A leaf of somebody else's, named without its authority.
    let leaf = issued(params("server"), &authority());
    let ca_file = file(&leaf.pem);
    let (_connection, tls) = connected(&connector(Server::of(leaf).welcomes().await, trusting(&ca_file))).await;
    assert_eq!(tls.verified, Some(true));
}

#[tokio::test]
async fn another_name_may_be_asked_for() {
    let authority = authority();
    let ca_file = file(&authority.pem);
    for (name, expected) in [
        (Some("redis.example"), true),
        (Some("REDIS.example."), true),
        (Some("10.0.0.1"), true),
        (Some("fd00::1"), true),
        (Some("a_b.example"), true),
        (Some("other.example"), false),
        (None, false),
    ] {
        let names = ["redis.example", "10.0.0.1", "fd00::1", "a_b.example"];
        let mut params = params("server");
        params.subject_alt_names = CertificateParams::new(names.map(str::to_owned))
            .unwrap()
            .subject_alt_names;
        let socket = Server::of(issued(params, &authority)).welcomes().await;
        let tls = TlsConfig {
            server_name: name.map(str::to_owned),
            ..trusting(&ca_file)
        };
        let connector = connector(socket, tls);
        match expected {
            true => assert_eq!(connected(&connector).await.1.verified, Some(true)),
            false => assert_eq!(failed(&connector).await.0.failure, Some(TlsReason::NameMismatch)),
        }
    }
}

#[tokio::test]
async fn hosts_that_no_certificate_can_bear_are_told_before_anybody_is_contacted() {
    for host in ["", ".", "-x", "a b", "a..b", "xn--\u{1b}[31m", "fe80::1%eth0%x"] {
        let mut instance = instance(SocketAddr::from(([127, 0, 0, 1], 1)), TlsConfig::default());
        instance.address = address("127.0.0.1", 1);
        instance.tls.server_name = Some(host.to_owned());
        let connector = crate::redis::Connector::new(&instance);
        let (handshake, error) = connector.connect(soon()).await.unwrap_err();
        // The address of a zone is one without it.
        let expected = match host.contains('%') {
            true => Reason::Refused,
            false => Reason::Tls,
        };
        assert_eq!(error.reason, expected, "{host:?}: {error}");
        if expected == Reason::Tls {
            assert!(handshake.phases.is_empty());
            assert!(error.message.contains("set `tls.server_name`"), "{error}");
            assert!(!error.message.contains('\u{1b}'), "{error}");
        }
    }
}

#[tokio::test]
async fn versions_that_are_too_old_are_refused_on_either_side() {
    let authority = authority();
    let ca_file = file(&authority.pem);
    let server = Server {
        versions: &ONLY_1_2,
        ..Server::of(issued(params("server"), &authority))
    };
    let tls = TlsConfig {
        min_version: TlsVersion::V1_3,
        ..trusting(&ca_file)
    };
    let (tls, error) = failed(&connector(server.welcomes().await, tls)).await;
    assert_eq!((tls.failure, error.reason), (Some(TlsReason::Handshake), Reason::Tls));
    assert!(
        error.message.contains("speaks no version of TLS that we may") && error.message.contains("tls.min_version"),
        "{error}"
    );
    assert_eq!((tls.certificates, tls.verified), (None, None));
}

#[tokio::test]
async fn the_file_of_authorities_is_read_at_every_handshake() {
    let (old, new) = (authority(), self_signed(authority_params("new")));
    let ca_file = file(&old.pem);
    let server = Server::of(issued(params("server"), &new));
    let tls = trusting(&ca_file);
    let connector = connector(server.welcomes().await, tls.clone());
    assert_eq!(failed(&connector).await.0.failure, Some(TlsReason::UnknownCa));
    std::fs::write(ca_file.path(), &new.pem).unwrap();
    let after = super::kit::connector(server.welcomes().await, tls);
    assert_eq!(connected(&after).await.1.verified, Some(true));
}

/// Ten certificates of which one is damaged: as PEM, that is an error; as a certificate, the others are used.
#[tokio::test]
async fn a_file_of_ten_authorities_with_a_broken_one() {
    let authorities: Vec<Made> = (0..10)
        .map(|number| self_signed(authority_params(&format!("authority {number}"))))
        .collect();
    let server = Server::of(issued(params("server"), &authorities[9]));
    let damaged = authorities[3].pem.replacen("\nMII", "\n!!!", 1);
    assert_ne!(damaged, authorities[3].pem);
    let no_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let text = |fourth: &str| -> String {
        let pems = authorities.iter().enumerate();
        pems.map(|(number, made)| if number == 3 { fourth } else { &made.pem })
            .collect()
    };

    let ca_file = file(&text(&damaged));
    let (tls, error) = failed(&connector(server.welcomes().await, trusting(&ca_file))).await;
    assert_eq!((tls.failure, error.reason), (Some(TlsReason::Other), Reason::Tls));
    let path = ca_file.path().display().to_string();
    assert!(
        error.message.contains(&path) && error.message.contains("PEM section 4 is damaged"),
        "{error}"
    );

    let ca_file = file(&text(no_certificate));
    let (_connection, tls) = connected(&connector(server.welcomes().await, trusting(&ca_file))).await;
    assert_eq!(tls.verified, Some(true));

    let stranger = Server::of(issued(params("server"), &self_signed(authority_params("stranger"))));
    let (_, error) = failed(&connector(stranger.welcomes().await, trusting(&ca_file))).await;
    assert!(
        error.message.contains("the 10 certificates of /")
            && error.message.contains("1 of which cannot be an authority"),
        "{error}"
    );
}

#[tokio::test]
async fn files_of_authorities_that_hold_none_are_named() {
    let empty = file("");
    let key_only = file(&authority().key_pem());
    for (path, words) in [
        (std::path::PathBuf::from("/nonexistent/ca.pem"), "cannot be read"),
        (empty.path().to_owned(), "holds no `-----BEGIN CERTIFICATE-----`"),
        (key_only.path().to_owned(), "holds no `-----BEGIN CERTIFICATE-----`"),
    ] {
        let tls = TlsConfig {
            ca_file: Some(path.clone()),
            ..TlsConfig::default()
        };
        let connector = connector(([127, 0, 0, 1], 1).into(), tls);
        let (tls, error) = failed(&connector).await;
        assert_eq!((tls.failure, error.reason), (Some(TlsReason::Other), Reason::Tls));
        assert!(
            error.message.contains(words) && error.message.contains(&path.display().to_string()),
            "{error}"
        );
        assert!(error.message.contains("before connecting"), "{error}");
    }
}

/// Without `ca_file` the machine decides, or whoever set SSL_CERT_FILE, and neither knows an authority that was made a moment ago.
#[tokio::test]
async fn the_machine_does_not_trust_everybody() {
    let server = Server::of(issued(params("server"), &authority()));
    let (tls, error) = failed(&connector(server.welcomes().await, TlsConfig::default())).await;
    assert_eq!(tls.failure, Some(TlsReason::UnknownCa), "{error}");
    let words = ["this machine", "of the environment leads"];
    assert!(words.iter().any(|words| error.message.contains(words)), "{error}");
}
