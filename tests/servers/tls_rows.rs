//! The rows of the matrix: which servers there are, and what is to be seen of them.

use crate::support::certificates::{Authority, Dates, Issued, Leaf, bundle_of_ten, chain_dates, dates, replace};
use crate::support::peer::Welcome;
use crate::support::redis_server::{RedisServer, ServerTls};
use crate::tls_matrix::{Outcome, PASSWORD, Row, Stage};

/// Puts all rows on the stage.
pub fn set(stage: &mut Stage) {
    let root = Authority::new("root");
    let ca = stage.file("ca_file", "root.crt", &root.pem());
    bad_certificates(stage, &root, &ca);
    client_certificates(stage, &root, &ca);
    other_languages(stage, &root, &ca);
    settings(stage, &root, &ca);
}

fn dates_of(shown: &Issued) -> [Dates; 2] {
    [dates(&shown.certificate)[0], chain_dates(&shown.certificate)]
}

/// A row whose server's certificate is refused.
fn refused(
    name: &'static str,
    address: String,
    tls: String,
    reason: &'static str,
    shown: &Issued,
    words: &'static [&'static str],
) -> Row {
    Row {
        name,
        address,
        tls,
        outcome: Outcome::Down("tls", Some(reason)),
        verified: Some(0.0),
        dates: Some(dates_of(shown)),
        words,
    }
}

/// A row that works.
fn works(name: &'static str, address: String, tls: String, verified: f64, shown: &Issued) -> Row {
    Row {
        name,
        address,
        tls,
        outcome: Outcome::Up,
        verified: Some(verified),
        dates: Some(dates_of(shown)),
        words: &[],
    }
}

/// A row in which no certificate is ever shown.
fn nothing_shown(
    name: &'static str,
    address: String,
    tls: String,
    outcome: Outcome,
    words: &'static [&'static str],
) -> Row {
    Row {
        name,
        address,
        tls,
        outcome,
        verified: None,
        dates: None,
        words,
    }
}

/// Certificates of servers that are not to be trusted.
fn bad_certificates(stage: &mut Stage, root: &Authority, ca: &str) {
    let cases = [
        (
            "expired",
            Leaf::server().days(-30, -2),
            "expired",
            &["expired"] as &[&str],
        ),
        (
            "not-yet-valid",
            Leaf::server().days(2, 30),
            "not_yet_valid",
            &["holds only from"],
        ),
        (
            "wrong-name",
            Leaf::nameless_server().dns("redis.internal"),
            "name_mismatch",
            &["127.0.0.1", "server_name"],
        ),
        (
            "name-in-subject-only",
            Leaf::nameless_server(),
            "name_mismatch",
            &["127.0.0.1", "subjectAltName", "issued anew"],
        ),
    ];
    for (name, leaf, reason, words) in cases {
        let identity = root.issue(&leaf);
        let address = stage.server(&ServerTls::showing(&identity), &[]);
        stage.row(refused(name, address, ca.to_owned(), reason, &identity, words));
    }

    let identity = Leaf::server().self_signed();
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    stage.row(refused(
        "self-signed",
        address.clone(),
        ca.to_owned(),
        "unknown_ca",
        &identity,
        &["ca_file"],
    ));
    let itself = stage.file("ca_file", "self.crt", &identity.certificate);
    stage.row(works("self-signed-in-ca-file", address, itself, 1.0, &identity));

    let identity = Leaf::server().claiming_authority().self_signed();
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    let itself = stage.file("ca_file", "req-x509.crt", &identity.certificate);
    stage.row(works("openssl-req-x509-in-ca-file", address, itself, 1.0, &identity));

    let stranger = Authority::new("stranger");
    let identity = stranger.issue(&Leaf::server());
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    stage.row(refused(
        "unknown-ca",
        address.clone(),
        ca.to_owned(),
        "unknown_ca",
        &identity,
        &["ca_file"],
    ));
    // Those of the machine do not know it either.
    stage.row(refused(
        "unknown-to-the-machine",
        address,
        String::new(),
        "unknown_ca",
        &identity,
        &["ca_file"],
    ));

    let middle = root.intermediate("middle");
    let identity = middle.issue(&Leaf::server().without_chain());
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    stage.row(refused(
        "missing-intermediate",
        address,
        ca.to_owned(),
        "unknown_ca",
        &identity,
        &["intermediate"],
    ));
    let identity = middle.issue(&Leaf::server());
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    stage.row(works("with-intermediate", address, ca.to_owned(), 1.0, &identity));

    let ended = root.intermediate_for_days("ended", -60, -3);
    let identity = ended.issue(&Leaf::server());
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    stage.row(refused(
        "expired-intermediate",
        address,
        ca.to_owned(),
        "expired",
        &identity,
        &["expired"],
    ));

    let ended = Authority::new_for_days("ended root", -60, -3);
    let identity = ended.issue(&Leaf::server());
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    let itself = stage.file("ca_file", "ended.crt", &ended.pem());
    stage.row(refused(
        "expired-authority",
        address,
        itself,
        "expired",
        &identity,
        &["authority", "expired"],
    ));

    let identity = root.issue(&Leaf::client("a client"));
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    stage.row(refused(
        "of-a-client",
        address,
        ca.to_owned(),
        "other",
        &identity,
        &["server"],
    ));

    let identity = root.issue_rsa(&Leaf::server(), 1024);
    // OpenSSL does not load such a key unless it is told to.
    let lax = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCipherString = DEFAULT@SECLEVEL=0\n";
    let lax = replace(&stage.path("openssl.cnf"), lax);
    let variables = [("OPENSSL_CONF", lax.to_str().unwrap())];
    let address = stage.server_with(&ServerTls::showing(&identity), &[], &variables);
    stage.row(refused(
        "weak-key",
        address,
        ca.to_owned(),
        "handshake",
        &identity,
        &["2048"],
    ));
}

/// Servers that want a certificate of ours. TLS 1.3 tells a client only behind the handshake that its certificate was refused, TLS 1.2
/// within it.
fn client_certificates(stage: &mut Stage, root: &Authority, ca: &str) {
    let clients = Authority::new("clients");
    let identity = root.issue(&Leaf::server());
    let accepted = clients.pem();
    let demanding = ServerTls::demanding(&identity, &accepted);
    let new = stage.server(&demanding, &[]);
    let old = stage.server(&demanding, &["--tls-protocols", "TLSv1.2"]);
    let row = |stage: &mut Stage, address: &str, name: &'static str, client: Option<&Issued>, outcome, words| {
        let certificate = client.map(|client| {
            stage.keys.push(client.key.clone());
            let certificate = stage.file("cert_file", &format!("{name}.crt"), &client.certificate);
            let key = stage.file("key_file", &format!("{name}.key"), &client.key);
            format!(", {certificate}, {key}")
        });
        stage.row(Row {
            name,
            address: address.to_owned(),
            tls: ca.to_owned() + &certificate.unwrap_or_default(),
            outcome,
            verified: Some(1.0),
            dates: Some(dates_of(&identity)),
            words,
        });
    };
    let down = Outcome::Down("tls", Some("client_cert"));
    let right = clients.issue(&Leaf::client("exporter"));
    let stranger = root.issue(&Leaf::client("exporter"));
    let expired = clients.issue(&Leaf::client("exporter").days(-30, -2));
    row(stage, &new, "client-right", Some(&right), Outcome::Up, &[]);
    row(stage, &old, "client-right-1.2", Some(&right), Outcome::Up, &[]);
    row(stage, &new, "client-missing", None, down, &["cert_file"]);
    row(stage, &old, "client-missing-1.2", None, down, &["cert_file"]);
    row(
        stage,
        &new,
        "client-of-another-ca",
        Some(&stranger),
        down,
        &["cert_file"],
    );
    row(
        stage,
        &old,
        "client-of-another-ca-1.2",
        Some(&stranger),
        down,
        &["cert_file"],
    );
    row(
        stage,
        &new,
        "client-expired",
        Some(&expired),
        down,
        &["cert_file", "expired"],
    );

    // Such a pair can show nothing, so the server is not even dialled.
    let odd = right.with_key_of(&stranger);
    let certificate = stage.file("cert_file", "odd.crt", &odd.certificate);
    let key = stage.file("key_file", "odd.key", &odd.key);
    let tls = format!("{ca}, {certificate}, {key}");
    stage.row(nothing_shown(
        "client-key-does-not-fit",
        new,
        tls,
        down,
        &["odd.key", "odd.crt"],
    ));
}

/// Peers that speak another version, or no TLS at all.
fn other_languages(stage: &mut Stage, root: &Authority, ca: &str) {
    let identity = root.issue(&Leaf::server());
    let showing = ServerTls::showing(&identity);
    let handshake = Outcome::Down("tls", Some("handshake"));
    let old = ["--tls-protocols", "TLSv1.1", "--tls-ciphers", "DEFAULT@SECLEVEL=0"];
    let address = stage.server(&showing, &old);
    stage.row(nothing_shown(
        "tls-1.1-only",
        address,
        ca.to_owned(),
        handshake,
        &["version"],
    ));

    let address = stage.server(&showing, &["--tls-protocols", "TLSv1.2"]);
    stage.row(works("tls-1.2-only", address.clone(), ca.to_owned(), 1.0, &identity));
    let strict = format!("{ca}, min_version: \"1.3\"");
    stage.row(nothing_shown(
        "min-version-1.3-against-1.2",
        address,
        strict,
        handshake,
        &["version", "min_version"],
    ));

    let address = stage.peer(Welcome::Farewell(
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec(),
    ));
    stage.row(nothing_shown("garbage", address, ca.to_owned(), handshake, &["TLS"]));
    let address = stage.peer(Welcome::Farewell(Vec::new()));
    stage.row(nothing_shown(
        "closes-at-once",
        address,
        ca.to_owned(),
        Outcome::Down("closed", Some("handshake")),
        &["TLS"],
    ));
    let address = stage.peer(Welcome::Silence);
    let timeout = Outcome::Down("timeout", Some("handshake"));
    stage.row(nothing_shown("stalls", address, ca.to_owned(), timeout, &["TLS"]));

    let both = RedisServer::start_tls(&showing.clone().and_plain(), &["--requirepass", PASSWORD]);
    let wrong_way = both.address().replace("redis://", "rediss://");
    stage.row(nothing_shown(
        "tls-on-a-plain-port",
        wrong_way,
        ca.to_owned(),
        timeout,
        &["TLS", "redis://"],
    ));
    let other_way = both.tls_address().replace("rediss://", "redis://");
    stage.row(nothing_shown(
        "plain-on-a-tls-port",
        other_way,
        String::new(),
        Outcome::Down("closed", None),
        &["rediss://"],
    ));
    stage.servers.push(both);
}

/// Settings on our side.
fn settings(stage: &mut Stage, root: &Authority, ca: &str) {
    let identity = root.issue(&Leaf::server());
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    let ten = stage.file("ca_file", "ten.crt", &bundle_of_ten(root));
    stage.row(works("ten-authorities", address.clone(), ten, 1.0, &identity));

    let identity = root.issue(&Leaf::server().days(-30, -2));
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    let skip = format!("{ca}, insecure_skip_verify: true");
    stage.row(works("expired-but-skipped", address, skip, 0.0, &identity));

    let identity = root.issue(&Leaf::nameless_server().dns("redis.internal"));
    let address = stage.server(&ServerTls::showing(&identity), &[]);
    let name = format!("{ca}, server_name: redis.internal");
    stage.row(works("wrong-name-made-right", address, name, 1.0, &identity));
}
