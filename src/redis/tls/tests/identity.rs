//! Servers that want a certificate of ours.

use super::kit::*;
use crate::config::tls::{ClientCertificate, TlsConfig};
use crate::redis::testing::{Act, send, soon, within};
use crate::redis::tls::material::read;
use crate::redis::{Reason, RedisError, TlsHandshake, TlsReason};
use tempfile::NamedTempFile;

const VERSIONS: [&[&rustls::SupportedProtocolVersion]; 2] = [&ONLY_1_3, &ONLY_1_2];

struct Files {
    ca: NamedTempFile,
    certificate: NamedTempFile,
    key: NamedTempFile,
}

impl Files {
    fn config(&self) -> TlsConfig {
        TlsConfig {
            client_certificate: Some(ClientCertificate {
                cert_file: self.certificate.path().to_owned(),
                key_file: self.key.path().to_owned(),
            }),
            ..trusting(&self.ca)
        }
    }
}

/// A server that lets in who has a certificate of the authority.
fn strict(authority: &Made, versions: &'static [&'static rustls::SupportedProtocolVersion]) -> Server {
    Server {
        versions,
        client_authority: Some(authority.der.clone()),
        ..Server::of(issued(params("server"), authority))
    }
}

fn files(authority: &Made, client: &Made) -> Files {
    Files {
        ca: file(&authority.pem),
        certificate: file(&client.pem),
        key: file(&client.key_pem()),
    }
}

#[tokio::test]
async fn a_server_that_asks_is_shown_our_certificate_which_is_read_every_time() {
    let authority = authority();
    for versions in VERSIONS {
        let server = strict(&authority, versions);
        let files = files(&authority, &issued(params("first"), &authority));
        let connector = connector(server.welcomes().await, files.config());
        let (_connection, tls) = connected(&connector).await;
        assert_eq!(tls.verified, Some(true));
        // A rotation.
        let second = issued(params("second"), &authority);
        std::fs::write(files.certificate.path(), &second.pem).unwrap();
        let (tls, error) = failed(&super::kit::connector(server.welcomes().await, files.config())).await;
        assert_eq!(
            (tls.failure, error.reason),
            (Some(TlsReason::ClientCertificate), Reason::Tls)
        );
        assert!(error.message.contains("does not fit the certificate"), "{error}");
        std::fs::write(files.key.path(), second.key_pem()).unwrap();
        connected(&super::kit::connector(server.welcomes().await, files.config())).await;
    }
}

fn assert_refused(tls: &TlsHandshake, error: &RedisError, words: &str) {
    assert_eq!(tls.failure, Some(TlsReason::ClientCertificate), "{error}");
    assert_eq!(error.reason, Reason::Tls, "{error}");
    assert!(error.message.contains(words), "{words:?} in {error}");
    assert_eq!(tls.verified, Some(true), "the server's own certificate is good");
}

/// In TLS 1.3 this shows only behind the handshake.
#[tokio::test]
async fn a_server_that_gets_no_certificate_or_a_strange_one_says_so_and_is_understood() {
    let authority = authority();
    let stranger = issued(params("client"), &self_signed(authority_params("stranger")));
    let mut expired = params("client");
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let expired = issued(expired, &authority);
    for versions in VERSIONS {
        let ca_file = file(&authority.pem);
        let socket = strict(&authority, versions).welcomes().await;
        let (tls, error) = failed(&connector(socket, trusting(&ca_file))).await;
        assert_refused(&tls, &error, "wants a certificate of ours and got none");
        for client in [&stranger, &expired] {
            let files = files(&authority, client);
            let socket = strict(&authority, versions).welcomes().await;
            let (tls, error) = failed(&connector(socket, files.config())).await;
            assert_refused(&tls, &error, "did not accept our certificate");
        }
    }
}

/// Without a login the first exchange comes later; what it finds is counted once all the same.
#[tokio::test]
async fn the_first_exchange_tells_too_when_there_is_no_login() {
    let authority = authority();
    let ca_file = file(&authority.pem);
    for looks_first in [false, true] {
        let socket = strict(&authority, VERSIONS[0]).welcomes().await;
        let connector = silent(socket, trusting(&ca_file));
        let (mut connection, tls) = connected(&connector).await;
        assert_eq!(tls.failure, None);
        if looks_first {
            let bound = soon();
            while connection.is_idle_and_open() {
                assert!(tokio::time::Instant::now() < bound, "nobody refuses");
                tokio::task::yield_now().await;
            }
        } else {
            let error = connection.ping(soon()).await.unwrap_err();
            assert_eq!(error.reason, Reason::Tls);
            assert!(
                error.message.contains("got none") && error.message.contains("during ping"),
                "{error}"
            );
        }
        assert_eq!(connection.tls_refusal(), Some(TlsReason::ClientCertificate));
        assert_eq!(failures(&connector), [(TlsReason::ClientCertificate, 1)]);
        let socket = strict(&authority, VERSIONS[0]).welcomes().await;
        let (handshake, outcome) = silent(socket, trusting(&ca_file)).probe(soon()).await;
        assert_eq!(outcome.unwrap_err().reason, Reason::Tls);
        assert_eq!(handshake.tls.unwrap().failure, Some(TlsReason::ClientCertificate));
    }
}

#[tokio::test]
async fn files_of_ours_that_cannot_be_used_are_named() {
    let authority = authority();
    let client = issued(params("client"), &authority);
    let good = files(&authority, &client);
    let unusable = |text: &str| file(text);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
    let table = [
        (
            good.certificate.path().to_owned(),
            "/nonexistent/key".into(),
            "`tls.key_file`: /nonexistent/key: cannot be read",
        ),
        (
            "/nonexistent/cert".into(),
            good.key.path().to_owned(),
            "`tls.cert_file`: /nonexistent/cert: cannot be read",
        ),
    ];
    for (cert_file, key_file, words) in table {
        let config = TlsConfig {
            client_certificate: Some(ClientCertificate { cert_file, key_file }),
            ..trusting(&good.ca)
        };
        let (tls, error) = failed(&connector(([127, 0, 0, 1], 1).into(), config)).await;
        assert_eq!(
            (tls.failure, error.reason),
            (Some(TlsReason::ClientCertificate), Reason::Tls)
        );
        assert!(error.message.contains(words), "{error}");
    }
    for (key, words) in [
        (encrypted, "a key with a passphrase"),
        (no_key, "is none that we can use"),
        (client.pem.as_str(), "holds no private key"),
    ] {
        let files = Files {
            ca: unusable(&authority.pem),
            certificate: unusable(&client.pem),
            key: unusable(key),
        };
        let (tls, error) = failed(&connector(([127, 0, 0, 1], 1).into(), files.config())).await;
        assert_eq!(tls.failure, Some(TlsReason::ClientCertificate));
        assert!(error.message.contains(words), "{words:?} in {error}");
        assert!(!error.message.contains("aGVsbG8"), "{error}");
    }
}

/// Nobody replaces two files at one moment. The FIFO, which is read first, tells when a reading begins.
#[tokio::test]
async fn a_pair_that_is_just_being_replaced_is_read_again() {
    let authority = authority();
    let client = || issued(params("client"), &authority);
    let (old, new) = (client(), client());
    let files = files(&authority, &new);
    std::fs::write(files.key.path(), old.key_pem()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let made = std::process::Command::new("mkfifo").arg(&ca_file).status().unwrap();
    assert!(made.success());
    let config = TlsConfig {
        ca_file: Some(ca_file.clone()),
        ..files.config()
    };
    let server = strict(&authority, VERSIONS[0]);
    let connector = connector(server.welcomes().await, config);
    let (pem, key, key_file) = (authority.pem.clone(), new.key_pem(), files.key.path().to_owned());
    let rotation = tokio::task::spawn_blocking(move || {
        std::fs::write(&ca_file, &pem).unwrap();
        // Opened when the second reading has begun.
        let mut again = std::fs::File::options().write(true).open(&ca_file).unwrap();
        std::fs::write(key_file, key).unwrap();
        std::io::Write::write_all(&mut again, pem.as_bytes()).unwrap();
    });
    connected(&connector).await;
    rotation.await.unwrap();
    assert_eq!(failures(&connector), [], "it was no failure");
}

/// Waiting makes files fit no better that nobody has touched for an hour.
#[test]
fn a_pair_that_has_never_fitted_is_not_waited_for() {
    let authority = authority();
    let files = files(&authority, &issued(params("client"), &authority));
    std::fs::write(files.key.path(), authority.key_pem()).unwrap();
    assert!(read(&files.config()).unwrap_err().just_changed);
    let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for path in files.config().files() {
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(an_hour_ago).unwrap();
    }
    assert!(!read(&files.config()).unwrap_err().just_changed);
}

/// A FIFO that nobody writes to is a file on a dead share: one reader hangs, however often a connect is tried, also behind a reload, and to
/// a replica that is scanned.
#[tokio::test]
async fn a_file_that_hangs_costs_one_thread_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let authority = authority();
    let server = Server::of(issued(params("server"), &authority));
    let (socket, _task) = server.plays(vec![Act::Read(1), send("+OK\r\n"), Act::AwaitClose]).await;
    let config = TlsConfig {
        ca_file: Some(path.clone()),
        ..TlsConfig::default()
    };
    let connector = connector(socket, config.clone());
    let successor = connector.succeeded_by(&instance(socket, config.clone()));
    let replica = crate::redis::Connector::like(&instance(socket, config), address("127.0.0.2", 1)).beside(&successor);
    for connector in [&connector, &connector.clone(), &successor, &replica] {
        let (handshake, error) = connector.connect(within(50)).await.unwrap_err();
        assert_eq!(error.reason, Reason::Timeout);
        assert!(error.message.contains(&path.display().to_string()), "{error}");
        assert_eq!(handshake.tls.unwrap().failure, Some(TlsReason::Other));
    }
    assert_eq!(failures(&successor), [(TlsReason::Other, 4)], "one account");
    // The one reader takes this, and closes; a second one would get nothing.
    let pem = authority.pem.clone();
    let written = tokio::task::spawn_blocking(move || std::fs::write(&path, pem));
    successor.connect(soon()).await.unwrap();
    written.await.unwrap().unwrap();
}

#[tokio::test]
async fn failures_are_counted_under_one_account_until_the_endpoint_changes() {
    let config = TlsConfig {
        ca_file: Some("/nonexistent/ca".into()),
        ..TlsConfig::default()
    };
    let instance = instance(([127, 0, 0, 1], 1).into(), config.clone());
    let connector = crate::redis::Connector::new(&instance);
    connector.connect(soon()).await.unwrap_err();
    connector.without_database().connect(soon()).await.unwrap_err();
    let replica = crate::redis::Connector::like(&instance, address("127.0.0.2", 1)).beside(&connector);
    replica.connect(soon()).await.unwrap_err();
    let successor = connector.succeeded_by(&instance);
    successor.connect(soon()).await.unwrap_err();
    assert_eq!(failures(&connector), [(TlsReason::Other, 4)]);
    let moved = super::kit::instance(([127, 0, 0, 1], 2).into(), config);
    assert_eq!(failures(&connector.succeeded_by(&moved)), []);
}
