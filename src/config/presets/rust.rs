//! Rust.

use super::{Detection, KeyType, Preset, TtlKind};
use std::time::Duration;

/// Read: redis-store of tower-sessions-stores (SET with EXAT; the id is an i128 in base64url). There is no prefix unless `with_prefix` names one.
/// A session that did not change is not written again.
pub const TOWER_SESSIONS: Preset = Preset {
    name: "tower-sessions",
    library: "tower-sessions-redis-store (axum-login); give `match` where `with_prefix` is used",
    matches: &[any!(22)],
    excludes: &[],
    id: r"^(?:(?P<app>.*)[^0-9A-Za-z_-])?[0-9A-Za-z_-]{22}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::ByName,
    samples: &["AbCdEfGhIjKlMnOpQrStUv"],
    counter_samples: &["short", "AbCdEfGhIjKl.nOpQrStUv"],
};

/// Read: RedisSessionStore of actix-session: the key is the id, 64 letters and digits, unless `cache_keygen` adds to it. The TTL is set again
/// when the session changes, at every request only with `TtlExtensionPolicy::OnEveryRequest`.
pub const ACTIX_SESSION: Preset = Preset {
    name: "actix-session",
    library: "actix-session; give `match` where `cache_keygen` adds a prefix",
    matches: &[any!(64)],
    excludes: &[],
    id: r"^(?:(?P<app>.*)[^0-9A-Za-z])?[0-9A-Za-z]{64}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::ByName,
    samples: &["AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKlMnOpQrStUvWxYz01"],
    counter_samples: &[
        "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
        "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKlMnOpQrStUvWxYz0:",
    ],
};
