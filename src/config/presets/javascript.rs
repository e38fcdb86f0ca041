//! JavaScript.

use super::{Detection, KeyType, Preset, TtlKind};
use std::time::Duration;

/// Read: connect-redis 9.0.0 (`prefix` "sess:"; `SET … EX`, touched with EXPIRE at each request) and express-session, whose ids are 24 random
/// bytes in base64url. Applications that make ids of their own often put a word before them, as in `sess:guest:…`.
pub const CONNECT_REDIS: Preset = Preset {
    name: "connect-redis",
    library: "connect-redis (Express, NestJS, Fastify, Strapi, Medusa)",
    matches: &["sess:*"],
    excludes: &[],
    id: r"^sess:(?:[0-9A-Za-z_.-]+:)*[0-9A-Za-z_-]{8,}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^sess:(?:[0-9A-Za-z_.-]+:)*[0-9A-Za-z_-]{32}$",
    },
    samples: &[
        "sess:Kc3v2lJ0gkz0qz0iWvQ3W0nRkq7i6Y5x",
        "sess:-JDpM5Y1iD0G7p_0zqC2fPz4Nn1VrCmE",
    ],
    counter_samples: &["sess:config", "session:Kc3v2lJ0gkz0qz0iWvQ3W0nRkq7i6Y5x", "sess:"],
};

/// Read: koa-redis 4.0.1 (writes the id as it is) and koa-generic-session 2.3.1 (prefix `koa:sess:`, ids of 24 random bytes in base64url).
/// A session that did not change is not written again unless `rolling` is on. koa-session alone has no prefix and ids that are UUIDs.
pub const KOA_SESSION_REDIS: Preset = Preset {
    name: "koa-session-redis",
    library: "koa-generic-session with koa-redis (Koa)",
    matches: &["koa:sess:*"],
    excludes: &[],
    id: r"^koa:sess:(?:[0-9A-Za-z_.-]+:)*[0-9A-Za-z_-]{8,}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^koa:sess:[0-9A-Za-z_-]{32}$",
    },
    samples: &["koa:sess:Kc3v2lJ0gkz0qz0iWvQ3W0nRkq7i6Y5x"],
    counter_samples: &["sess:Kc3v2lJ0gkz0qz0iWvQ3W0nRkq7i6Y5x", "koa:sess:"],
};

/// Read: @auth/upstash-redis-adapter 2.11.3. Sessions are written without a TTL and deleted when an expired one is used again, so that the
/// number of keys is not the number of living sessions: never by itself.
pub const AUTHJS_UPSTASH: Preset = Preset {
    name: "authjs-upstash",
    library: "Auth.js adapter for Upstash Redis; its keys have no TTL, and sessions that expired stay until they are used; give `match` where `baseKeyPrefix` is set",
    matches: &["user:session:*"],
    excludes: &["user:session:by-user-id:*"],
    id: r"^(?:(?P<app>.+):)?user:session:[!-9;-~]+$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::ByName,
    samples: &["user:session:33fdd1b6-b496-4b33-9f7d-df96679d32fe"],
    counter_samples: &["user:session:by-user-id:42", "user:42", "user:account:github:1"],
};

/// Read: internal-adapter.ts of better-auth. The key is the bare token unless the application's storage adds a prefix.
pub const BETTER_AUTH: Preset = Preset {
    name: "better-auth",
    library: "better-auth with `secondaryStorage`; give `match` where the application adds a prefix",
    matches: &[any!(32)],
    excludes: &["active-sessions-*"],
    id: r"^(?:(?P<app>.*)[^0-9A-Za-z])?[0-9A-Za-z]{32}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::ByName,
    samples: &["a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6"],
    counter_samples: &["active-sessions-42", "active-sessions-aaaaaaaaaaaaaaaa"],
};
