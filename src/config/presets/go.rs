//! Go.

use super::{Detection, KeyType, Preset, TtlKind};
use std::time::Duration;

/// Read: redistore.go of boj/redistore (`session_`, SETEX; ids of 32 random bytes in base32). gin-contrib/sessions and echo's store are built on it.
pub const GORILLA_REDISTORE: Preset = Preset {
    name: "gorilla-redistore",
    library: "boj/redistore (gorilla/sessions, gin-contrib/sessions, echo)",
    matches: &[concat!("session_", any!(52))],
    excludes: &[],
    id: r"^session_[2-7A-Z]{52}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^session_[2-7A-Z]{52}$",
    },
    samples: &["session_MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43UOV3HO6DZPIYDCMRTGQ2Q"],
    counter_samples: &[
        "session_locks",
        "session_mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiydcmrtgq2q",
    ],
};

/// Read: redisstore.go of rbcervilla/redisstore v9 (`session:`, SET with EX; ids of 64 random bytes in base32).
pub const GORILLA_REDISSTORE_V9: Preset = Preset {
    name: "gorilla-redisstore-v9",
    library: "rbcervilla/redisstore (gorilla/sessions)",
    matches: &[concat!("session:", any!(103))],
    excludes: &[],
    id: r"^session:[2-7A-Z]{103}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^session:[2-7A-Z]{103}$",
    },
    samples: &[
        "session:MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43UOV3HO6DZPIYDCMRTGQ2QMFRGGZDFMZTWQ2LKNNWG23TPOBYXE43UOV3HO6DZPIYDCMRTGQA",
    ],
    counter_samples: &[
        "session:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        "session:MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43UOV3HO6DZPIYDCMRTGQ2Q",
    ],
};

/// Read: redisstore.go of alexedwards/scs (`scs:session:`, SET and PEXPIREAT; ids of 32 random bytes in base64url). The expiry is fixed at
/// creation unless `IdleTimeout` is set.
pub const SCS: Preset = Preset {
    name: "scs",
    library: "alexedwards/scs",
    matches: &["scs:session:*"],
    excludes: &[],
    id: r"^scs:session:[0-9A-Za-z_-]{43}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^scs:session:[0-9A-Za-z_-]{43}$",
    },
    samples: &["scs:session:Zk3v2lJ0gkz0qz0iWvQ3W0nRkq7i6Y5xAbC-dEf_012"],
    counter_samples: &["scs:session:", "scs:session:abc"],
};

/// Read: middleware/session of gofiber v2 and v3: the key is a bare UUID, as many other keys are.
pub const FIBER: Preset = Preset {
    name: "fiber",
    library: "gofiber session over storage/redis; its keys are bare UUIDs",
    matches: &[any!(uuid)],
    excludes: &[],
    id: concat!("^", uuid!(), "$"),
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::ByName,
    samples: &["33fdd1b6-b496-4b33-9f7d-df96679d32fe"],
    counter_samples: &["x", "user:33fdd1b6-b496-4b33-9f7d-df96679d32fe"],
};

/// Read: providers/redis of fasthttp/session: the configured `KeyPrefix`, `:` and the id, 32 random letters and digits by default. Regeneration
/// is a RENAME.
pub const FASTHTTP_SESSION: Preset = Preset {
    name: "fasthttp-session",
    library: "fasthttp/session with `KeyPrefix` \"session\"",
    matches: &["session:*"],
    excludes: &[],
    id: r"^session:[!-9;-~]+$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::ByName,
    samples: &["session:AbCdEfGhIjKlMnOpQrStUvWxYz012345"],
    counter_samples: &["session:", "session:user:42"],
};

/// Read: internal/session of Authelia (`authelia-session` and fasthttp/session's `:`; ids of 32 characters). The payload is encrypted;
/// anonymous visitors have a session too.
pub const AUTHELIA: Preset = Preset {
    name: "authelia",
    library: "Authelia",
    matches: &["authelia-session:*"],
    excludes: &[],
    id: r"^authelia-session:[!-9;-~]{20,}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^authelia-session:[0-9A-Za-z_!#$%^*-]{32}$",
    },
    samples: &["authelia-session:Ab1!cD2#eF3$gH4%iJ5^kL6*mN7-oP8_"],
    counter_samples: &["authelia-session:", "authelia-session:lock"],
};

/// Read: pkg/sessions/persistence/ticket.go and pkg/sessions/redis/lock.go of oauth2-proxy: the name of the cookie, `-` and 16 random bytes
/// in hexadecimal; the lock is the key and `.lock`. The TTL is the cookie's, set at login and again when tokens are refreshed, which is off
/// by default.
pub const OAUTH2_PROXY: Preset = Preset {
    name: "oauth2-proxy",
    library: "oauth2-proxy; give `match` where the cookie has another name than `_oauth2_proxy…`",
    matches: &[concat!("_oauth2_proxy*-", any!(32))],
    excludes: &["_oauth2_proxy*.lock"],
    id: r"^(?P<app>.+)-[0-9a-f]{32}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^_oauth2_proxy[0-9A-Za-z_.-]*-[0-9a-f]{32}$",
    },
    samples: &[
        "_oauth2_proxy-0123456789abcdef0123456789abcdef",
        "_oauth2_proxy_shop-0123456789abcdef0123456789abcdef",
    ],
    counter_samples: &["_oauth2_proxy-0123456789abcdef0123456789abcdef.lock", "_oauth2_proxy"],
};
