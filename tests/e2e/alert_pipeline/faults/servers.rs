//! The server is not set up or not protected as it should be: certificates, plain connections, snapshots, replicas, permissions.

use super::{Fault, Watched};
use crate::alert_pipeline::store::Store;
use crate::support::resp::Client;

pub(super) fn faults() -> Vec<(Watched, Fault)> {
    vec![
        certificate_ends(),
        certificate_ended(),
        plain_connections(),
        unsaved(),
        replica(),
        primary(),
        unexpected(),
        slow_commands(),
    ]
}

fn certificate_ends() -> (Watched, Fault) {
    let fault = Fault::new(
        "ending",
        "a certificate that ends in 3 days",
        &[("RedisTLSCertificateExpiring", "p1-page-ops")],
        |store| store.show_certificate(3),
    )
    .mended(|store| store.show_certificate(90));
    (Watched::new("ending", || Store::tls(false, &[])).in_production(), fault)
}

fn certificate_ended() -> (Watched, Fault) {
    let fault = Fault::new(
        "ended",
        "a certificate that ended yesterday",
        &[
            ("RedisTLSCertificateExpiring", "p1-page-ops"),
            ("RedisConnectFailing", "p1-page-ops"),
        ],
        |store| store.show_certificate(-1),
    )
    .accepting(&[
        ("TLSConnectionErrors", "handshakes fail"),
        ("RedisTLSNotVerified", "it does not verify"),
        ("SessionsNotCounted", "scans have connections of their own"),
        ("SessionAvailabilityBudgetBurn", "nobody new gets in"),
    ])
    .mended(|store| store.show_certificate(90));
    (Watched::new("ended", || Store::tls(false, &[])).in_production(), fault)
}

fn plain_connections() -> (Watched, Fault) {
    let fault = Fault::new(
        "plain",
        "three clients of production speak without TLS",
        &[("RedisPlaintextConnections", "p2-chat-security")],
        |store| {
            for _ in 0..3 {
                let mut client = Client::connect(store.server.port).unwrap();
                client.command(&["PING"]);
                store.clients.push(client);
            }
        },
    )
    .mended(|store| store.clients.clear());
    (Watched::new("plain", || Store::tls(true, &[])).in_production(), fault)
}

fn unsaved() -> (Watched, Fault) {
    let fault = Fault::new(
        "unsaved",
        "snapshots cannot be written (MISCONF)",
        &[
            ("RedisPersistenceFailing", "p1-page-ops"),
            // PING is refused as well.
            ("RedisConnectionLost", "p0-page-backend"),
        ],
        |store| {
            // What the new snapshot is renamed to is a folder: that fails for root too, whom no permission stops.
            std::fs::remove_file(store.server.path("dump.rdb")).unwrap();
            std::fs::create_dir_all(store.server.path("dump.rdb/occupied")).unwrap();
            store.command(&["BGSAVE"]);
        },
    )
    .accepting(&[
        (
            "SessionWritesRefused",
            "it outlives the lost connection that explains it by a few minutes",
        ),
        (
            "SessionOperationErrorRate",
            "it outlives the lost connection that explains it by a few minutes",
        ),
        ("SessionAvailabilityBudgetBurn", "the error budget is spent"),
        ("SessionOperationsBudgetBurn", "the error budget is spent"),
    ])
    .mended(|store| {
        std::fs::remove_dir_all(store.server.path("dump.rdb")).unwrap();
        store.command(&["BGSAVE"]);
    });
    let start = || {
        let store = Store::plain();
        store.command(&["CONFIG", "SET", "save", "3600 1"]);
        store.command(&["SAVE"]);
        store
    };
    (
        Watched::new("unsaved", start).further("expect: { persistence: rdb }"),
        fault,
    )
}

fn replica() -> (Watched, Fault) {
    let fault = Fault::new(
        "replica",
        "the primary of a replica dies",
        &[("RedisReplicaLinkDown", "p1-page-ops")],
        |store| store.other.as_mut().unwrap().shutdown(),
    )
    .mended(|store| store.other.as_mut().unwrap().start_again());
    (Watched::new("replica", Store::replica), fault)
}

fn primary() -> (Watched, Fault) {
    let fault = Fault::new(
        "primary",
        "the replica of a primary dies",
        &[("RedisReplicasMissing", "p2-chat-ops")],
        |store| store.other.as_mut().unwrap().shutdown(),
    )
    .mended(|store| store.other.as_mut().unwrap().start_again());
    (Watched::new("primary", Store::primary), fault)
}

fn unexpected() -> (Watched, Fault) {
    let fault = Fault::new(
        "unexpected",
        "the eviction policy is not the expected one",
        &[("RedisExpectationNotMet", "p2-chat-ops")],
        |store| store.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]),
    )
    .mended(|store| store.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]));
    let watched = Watched::new("unexpected", Store::plain).further("expect: { maxmemory_policy: noeviction }");
    (watched, fault)
}

fn slow_commands() -> (Watched, Fault) {
    let fault = Fault::new(
        "slowlog",
        "more than ten slow commands a minute",
        &[("RedisSlowlogGrowing", "p2-chat-backend")],
        |store| store.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]),
    )
    .mended(|store| store.command(&["CONFIG", "SET", "slowlog-log-slower-than", "1000000"]));
    let start = || Store::with(&["--slowlog-log-slower-than", "1000000"]);
    (Watched::new("slowlog", start), fault)
}
