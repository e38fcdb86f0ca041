//! The server answers and the sessions are not as they should be: too many, too few, for ever, in the clear, thrown out.

use super::{Fault, Watched, availability};
use crate::alert_pipeline::store::{SESSIONS, Store, TTL, value};

/// A limit that some thousand sessions reach.
const SMALL: &[&str] = &["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"];

pub(super) fn faults() -> Vec<(Watched, Fault)> {
    vec![
        evicting(false),
        evicting(true),
        filling(),
        unlimited(),
        eternal(),
        too_long(),
        spike(),
        growth(),
        logout(),
        near_capacity(),
        in_the_clear(),
        without_key(),
        cache(),
        pool(),
        tokens(),
        deaf(),
    ]
}

fn of_all_sessions(store: &Store, what: impl Fn(&str) -> Vec<String>) {
    let mut client = store.client();
    for number in 0..SESSIONS {
        let words = what(&format!("sess:{number}"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        client.command(&words);
    }
}

/// Keys that nobody needs push out others, with events of it or without.
fn evicting(with_events: bool) -> (Watched, Fault) {
    const CROWD: usize = 400;
    let push = |store: &mut Store| {
        let mut client = store.client();
        let cargo = "x".repeat(200);
        for _ in 0..CROWD {
            store.turns += 1;
            client.command(&["SET", &format!("sess:crowd-{}", store.turns), &cargo, "EX", TTL]);
        }
    };
    if with_events {
        let fault = Fault::new(
            "evicting",
            "memory is full, policy allkeys-lru: sessions are thrown out",
            &[("SessionsEvicted", "p1-page-backend")],
            push,
        )
        .accepting(&[
            ("RedisMemoryCritical", "it is full"),
            ("SessionCreationRateSpike", "the sessions that fill it are created"),
            ("SessionsActiveSpike", "the sessions that fill it are active"),
        ])
        .kept_up(200, push)
        .mended(|store| store.command(&["CONFIG", "SET", "maxmemory", "64mb"]));
        let start = || Store::with(&[SMALL, &["--notify-keyspace-events", "Egxen"]].concat());
        (
            Watched::new("evicting", start).store("expected_ttl: 1h, events: on"),
            fault,
        )
    } else {
        let fault = Fault::new(
            "pushing",
            "the same without notifications: only the server's counter tells",
            &[("RedisEvictingKeys", "p1-page-backend")],
            push,
        )
        .accepting(&[
            ("RedisMemoryCritical", "it is full"),
            ("SessionsActiveSpike", "the sessions that fill it are active"),
        ])
        .kept_up(200, push)
        .mended(|store| store.command(&["CONFIG", "SET", "maxmemory", "64mb"]));
        let start = || Store::with(SMALL);
        (Watched::new("pushing", start).store("expected_ttl: 1h"), fault)
    }
}

fn filling() -> (Watched, Fault) {
    let fault = Fault::new(
        "filling",
        "memory is filled to 85%",
        &[("RedisMemoryHigh", "p2-chat-ops")],
        |store| availability::fill(store, 0.82),
    )
    .accepting(&[("RedisMemoryForecast", "what grows so fast is full soon")])
    .mended(|store| store.command(&["DEL", "ballast"]));
    (Watched::new("filling", Store::plain), fault)
}

fn unlimited() -> (Watched, Fault) {
    let fault = Fault::new(
        "unlimited",
        "maxmemory is taken away",
        &[("RedisMemoryUnlimited", "p3-ticket")],
        |store| store.command(&["CONFIG", "SET", "maxmemory", "0"]),
    )
    .mended(|store| store.command(&["CONFIG", "SET", "maxmemory", "64mb"]));
    (Watched::new("unlimited", Store::plain), fault)
}

fn eternal() -> (Watched, Fault) {
    let fault = Fault::new(
        "eternal",
        "sessions lose their TTL (PERSIST)",
        &[("SessionsWithoutTTL", "p3-ticket")],
        |store| of_all_sessions(store, |key| vec!["PERSIST".to_owned(), key.to_owned()]),
    )
    .mended(|store| of_all_sessions(store, |key| expire(key, TTL)));
    (Watched::new("eternal", Store::plain), fault)
}

fn too_long() -> (Watched, Fault) {
    const A_MONTH: &str = "2592000";
    let fault = Fault::new(
        "too-long",
        "sessions get a TTL of 30 days instead of one hour",
        &[("SessionTTLTooLong", "p3-ticket")],
        |store| of_all_sessions(store, |key| expire(key, A_MONTH)),
    )
    .mended(|store| of_all_sessions(store, |key| expire(key, TTL)));
    (Watched::new("too-long", Store::plain), fault)
}

fn expire(key: &str, seconds: &str) -> Vec<String> {
    ["EXPIRE", key, seconds].map(str::to_owned).to_vec()
}

fn spike() -> (Watched, Fault) {
    let fault = Fault::new(
        "spike",
        "1200 logins a minute instead of 60, each left at once",
        &[("SessionCreationRateSpike", "p1-page-security")],
        |_| {},
    )
    .kept_up(50, |store| {
        store.turns += 1;
        let key = format!("sess:spike-{}", store.turns);
        store.command(&["SET", &key, &value(), "EX", TTL]);
        store.command(&["DEL", &key]);
    });
    let start = || Store::with(&["--notify-keyspace-events", "Egxen"]);
    let watched = Watched::new("spike", start).store("expected_ttl: 1h, capacity: 10000, events: on");
    (watched, fault)
}

fn growth() -> (Watched, Fault) {
    let fault = Fault::new(
        "growth",
        "four times the sessions within moments",
        &[("SessionsActiveSpike", "p2-chat-backend")],
        |store| {
            let mut client = store.client();
            for number in 0..3 * SESSIONS {
                client.command(&["SET", &format!("sess:growth-{number}"), &value(), "EX", TTL]);
            }
        },
    );
    (Watched::new("growth", Store::plain), fault)
}

fn logout() -> (Watched, Fault) {
    let fault = Fault::new(
        "logout",
        "three of four sessions are deleted",
        &[("SessionsMassLogout", "p1-page-backend")],
        |store| {
            let mut client = store.client();
            for number in 0..SESSIONS * 3 / 4 {
                client.command(&["DEL", &format!("sess:{number}")]);
            }
        },
    );
    (Watched::new("logout", Store::plain), fault)
}

fn near_capacity() -> (Watched, Fault) {
    const MORE: usize = 85;
    let fault = Fault::new(
        "capacity",
        "97% of the capacity of 300 sessions are used",
        &[("SessionsNearCapacity", "p2-chat-backend")],
        |store| {
            let mut client = store.client();
            for number in 0..MORE {
                client.command(&["SET", &format!("sess:more-{number}"), &value(), "EX", TTL]);
            }
        },
    )
    .accepting(&[("SessionsCapacityForecast", "what grows so fast is full soon")])
    .mended(|store| {
        let mut client = store.client();
        for number in 0..MORE {
            client.command(&["DEL", &format!("sess:more-{number}")]);
        }
    });
    (
        Watched::new("capacity", Store::plain).store("expected_ttl: 1h, capacity: 300"),
        fault,
    )
}

fn in_the_clear() -> (Watched, Fault) {
    let fault = Fault::new(
        "clear",
        "sessions are stored without encryption",
        &[("SessionsUnencrypted", "p1-page-security")],
        |store| {
            of_all_sessions(store, |key| {
                ["SET", key, "{\"user\":\"alice\"}", "KEEPTTL"]
                    .map(str::to_owned)
                    .to_vec()
            });
        },
    )
    .mended(|store| {
        of_all_sessions(store, |key| {
            vec!["SET".to_owned(), key.to_owned(), value(), "KEEPTTL".to_owned()]
        });
    });
    let watched = Watched::new("clear", Store::plain)
        .store("expected_ttl: 1h, capacity: 10000, encryption: { expect_prefix: \"enc:v1:\" }");
    (watched, fault)
}

fn without_key() -> (Watched, Fault) {
    let fault = Fault::new(
        "keyless",
        "the application counts one missing encryption key",
        &[("EncryptionKeyMissing", "p1-page-security")],
        |store| store.command(&["HINCRBY", "metrics:encryption", "key_missing", "1"]),
    );
    let watched = Watched::new("keyless", Store::plain).further(
        "application_metrics: [{ name: session_encryption_errors_total, type: counter, key: \"metrics:encryption\", \
         label: error_type, label_values: [encrypt_failed, decrypt_failed, key_missing], help: Errors. }]",
    );
    (watched, fault)
}

fn cache() -> (Watched, Fault) {
    let fault = Fault::new(
        "cache",
        "the application's cache answers half of its requests",
        &[("SessionCacheHitRateCritical", "p2-chat-backend")],
        |_| {},
    )
    .kept_up(200, |store| {
        let mut client = store.client();
        client.command(&["HINCRBY", "metrics:cache", "requests", "10"]);
        client.command(&["HINCRBY", "metrics:cache", "hits", "5"]);
    });
    let watched = Watched::new("cache", Store::plain).further(
        "application_metrics:\n  - { name: session_cache_hits_total, type: counter, key: \"metrics:cache\", field: hits, help: Hits. }\n  \
         - { name: session_cache_requests_total, type: counter, key: \"metrics:cache\", field: requests, help: Requests. }",
    );
    (watched, fault)
}

fn pool() -> (Watched, Fault) {
    let fault = Fault::new(
        "pool",
        "25 requests wait for a connection of the application's pool",
        &[("SessionPoolSaturated", "p1-page-backend")],
        |store| store.command(&["SET", "metrics:pending", "25"]),
    )
    .mended(|store| store.command(&["SET", "metrics:pending", "0"]));
    let watched = Watched::new("pool", Store::plain).further(
        "application_metrics: [{ name: redis_pool_pending, type: gauge, key: \"metrics:pending\", help: Waiting. }]",
    );
    (watched, fault)
}

fn tokens() -> (Watched, Fault) {
    let fault = Fault::new(
        "tokens",
        "the application counts 60 expired tokens a minute",
        &[("TokenValidationErrorsElevated", "p2-chat-security")],
        |_| {},
    )
    .kept_up(1000, |store| {
        store.command(&["HINCRBY", "metrics:tokens", "expired", "1"])
    });
    let watched = Watched::new("tokens", Store::plain).further(
        "application_metrics: [{ name: tokens_validation_errors_total, type: counter, key: \"metrics:tokens\", \
         label: error_type, label_values: [expired, malformed, invalid_signature], help: Errors. }]",
    );
    (watched, fault)
}

fn deaf() -> (Watched, Fault) {
    let fault = Fault::new(
        "deaf",
        "somebody switches keyspace notifications off",
        &[("SessionEventsDisconnected", "p2-chat-backend")],
        |store| store.command(&["CONFIG", "SET", "notify-keyspace-events", ""]),
    )
    .mended(|store| store.command(&["CONFIG", "SET", "notify-keyspace-events", "Egxen"]));
    let start = || Store::with(&["--notify-keyspace-events", "Egxen"]);
    let watched = Watched::new("deaf", start).store("expected_ttl: 1h, capacity: 10000, events: on");
    (watched, fault)
}
