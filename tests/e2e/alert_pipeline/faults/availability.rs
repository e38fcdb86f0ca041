//! Users cannot log in: servers that are gone, refuse writes, refuse connections, or are slow.

use super::{Accepted, Fault, Watched};
use crate::alert_pipeline::store::{MAXMEMORY, Store};
use crate::support::resp::{Client, Reply};

/// What is left behind when users are served again: what explains these only holds them back while it fires, and the long windows of a rehearsal
/// hold nothing but the fault.
pub(super) const SPENT: &[Accepted] = &[
    (
        "SessionAvailabilityBudgetBurn",
        "the error budget is spent, whether or not the server is back",
    ),
    ("SessionOperationsBudgetBurn", "the same of the operations"),
];

pub(super) fn faults() -> Vec<(Watched, Fault)> {
    vec![
        killed(),
        frozen(),
        full(),
        without_replicas(),
        failing(),
        crowded(),
        blocked(),
        slow(),
        uncovered(),
    ]
}

fn killed() -> (Watched, Fault) {
    let fault = Fault::new(
        "killed",
        "Redis is killed",
        &[("RedisConnectionLost", "p0-page-backend")],
        |store| store.server.shutdown(),
    )
    .accepting(&[
        (
            "SessionAvailabilityBudgetBurn",
            "the error budget is spent, whether or not the server is back",
        ),
        ("SessionsMassLogout", "the sessions were in memory alone and are gone"),
    ])
    .mended(|store| store.server.start_again());
    (Watched::new("killed", Store::plain), fault)
}

fn frozen() -> (Watched, Fault) {
    let mut fault = Fault::new(
        "frozen",
        "Redis hangs (SIGSTOP), and nobody answers the page for 18 minutes",
        &[
            ("RedisConnectionLost", "p0-page-backend"),
            ("RedisConnectionLost", "p0-escalation"),
        ],
        |store| store.server.freeze(),
    )
    .accepting(SPENT)
    .mended(|store| store.server.thaw());
    // With the escalation comes the first repetition of the page.
    fault.repeats = 1;
    (Watched::new("frozen", Store::plain), fault)
}

fn full() -> (Watched, Fault) {
    let mut fault = Fault::new(
        "full",
        "memory is full, policy noeviction",
        &[
            ("SessionWritesRefused", "p0-page-backend"),
            ("RedisMemoryCritical", "p1-page-ops"),
        ],
        |store| fill(store, 1.2),
    )
    .accepting(SPENT)
    .kept_up(200, |store| {
        // The buffers of connections that end make room; it is taken at once.
        let crumb = "x".repeat(4096);
        let mut client = store.client();
        while !matches!(client.try_command(&["RPUSH", "ballast", &crumb]), Reply::Error(_)) {}
    })
    .mended(|store| store.command(&["DEL", "ballast"]));
    // The second alert comes late enough that the page for the first is repeated after 15 minutes, half a minute here.
    fault.repeats = 1;
    (Watched::new("full", Store::plain), fault)
}

/// Fills the memory up to this share of the limit, or until the server refuses.
pub(super) fn fill(store: &Store, share: f64) {
    const PIECE: usize = 1 << 20;
    // A little less, so that the allocator does not take the next larger size.
    let piece = "x".repeat(PIECE - 4096);
    let mut client = store.client();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some dozens")]
    let pieces = (MAXMEMORY as f64 * share / PIECE as f64) as usize;
    for _ in 0..pieces {
        client.try_command(&["RPUSH", "ballast", &piece]);
    }
}

fn without_replicas() -> (Watched, Fault) {
    let fault = Fault::new(
        "lonely",
        "writes need a replica and there is none (NOREPLICAS)",
        &[("SessionWritesRefused", "p0-page-backend")],
        |store| store.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]),
    )
    .accepting(&[
        ("SessionAvailabilityBudgetBurn", "it spends the error budget"),
        ("SessionOperationsBudgetBurn", "it spends the error budget"),
        (
            "SessionOperationErrorRateElevated",
            "its share of five minutes may outlive the refused writes",
        ),
        (
            "SessionProbeFailing",
            "the probe may need a moment longer than the server",
        ),
    ])
    .mended(|store| store.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]));
    let watched = Watched::new("lonely", Store::plain).further("session_probe: { enabled: true, interval: 1s }");
    (watched, fault)
}

fn failing() -> (Watched, Fault) {
    let fault = Fault::new(
        "failing",
        "half of the operations fail (WRONGTYPE)",
        &[("SessionOperationErrorRate", "p0-page-backend")],
        |_| {},
    )
    .accepting(&[
        (
            "SessionOperationErrorRateElevated",
            "the share falls below the threshold of P0 before that of P1",
        ),
        ("SessionOperationsBudgetBurn", "and spends the error budget"),
    ])
    .kept_up(250, |store| {
        store.try_command(&["HGET", "sess:1", "user"]);
    });
    (Watched::new("failing", Store::plain), fault)
}

fn crowded() -> (Watched, Fault) {
    const MOST: usize = 20;
    let fault = Fault::new(
        "crowded",
        "more clients than maxclients",
        // It explains RedisConnectFailing, which is not told beside it.
        &[("RedisRejectedConnections", "p1-page-ops")],
        |store| {
            for _ in 0..MOST {
                let mut client = Client::connect_unix(&store.server.socket()).unwrap();
                // The last ones are turned away, or else the server would have room for one more.
                let _ = client.send(&[b"PING"]).and_then(|()| client.read());
                store.clients.push(client);
            }
        },
    )
    .accepting(SPENT)
    .mended(|store| store.clients.clear());
    (Watched::new("crowded", || Store::with(&["--maxclients", "20"])), fault)
}

fn blocked() -> (Watched, Fault) {
    const WAITING: usize = 15;
    let fault = Fault::new(
        "blocked",
        "15 clients wait in BLPOP",
        &[("RedisBlockedClients", "p2-chat-ops")],
        |store| {
            for _ in 0..WAITING {
                let mut client = store.client();
                client.send(&[b"BLPOP", b"nothing", b"0"]).unwrap();
                store.clients.push(client);
            }
        },
    )
    .mended(|store| store.clients.clear());
    (Watched::new("blocked", Store::plain), fault)
}

fn slow() -> (Watched, Fault) {
    let fault = Fault::new(
        "slow",
        "every answer takes 0.6 s longer",
        &[("HighSessionLatency", "p2-chat-backend")],
        |store| store.network.as_ref().unwrap().delay(600),
    )
    .accepting(&[
        (
            "SessionLatencyBudgetBurn",
            "the same slowness, measured against the objective",
        ),
        (
            "HighLatency",
            "the same slowness, measured with PING; it may come first",
        ),
        ("SessionScanStale", "scans are as slow"),
        ("SessionsNotCounted", "scans are as slow"),
    ])
    .mended(|store| store.network.as_ref().unwrap().delay(0));
    // An exchange takes longer here than the others wait between two: PING would leave no time for the probe.
    let watched = Watched::new("slow", Store::far_away)
        .further("poll: { ping_interval: 2s, info_interval: 3s }\nsession_probe: { enabled: true, interval: 2s }");
    (watched, fault)
}

fn uncovered() -> (Watched, Fault) {
    let fault = Fault::new(
        "cluster",
        "a cluster lost slots (CLUSTERDOWN)",
        &[("RedisClusterNotOk", "p1-page-ops")],
        |store| store.command(&["CLUSTER", "DELSLOTSRANGE", "0", "99"]),
    )
    .accepting(&[
        (
            "SessionOperationErrorRate",
            "everything fails with CLUSTERDOWN, and users feel it",
        ),
        ("SessionOperationsBudgetBurn", "and spend the error budget"),
    ])
    .mended(|store| store.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "99"]));
    (Watched::new("cluster", Store::cluster), fault)
}
