//! Python.

use super::{Detection, KeyType, Preset, TtlKind};
use std::time::Duration;

/// Read: Django 4.2.16 (sessions.backends.cache, cache.backends.redis) and django-redis: `KEY_PREFIX:version:` before the key, the prefix empty
/// by default; ids of 32 small letters and digits. The TTL is set when a session is changed, at every request only with
/// `SESSION_SAVE_EVERY_REQUEST`.
pub const DJANGO_CACHE_SESSION: Preset = Preset {
    name: "django-cache-session",
    library: "Django, sessions in a Redis cache (`backends.cache` over RedisCache or django-redis)",
    matches: &[concat!("*:django.contrib.sessions.cache", any!(32))],
    excludes: &[],
    id: r"^(?P<app>.*):[0-9]+:django\.contrib\.sessions\.cache[0-9a-z]{32}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^.*:[0-9]+:django\.contrib\.sessions\.cache[0-9a-z]{32}$",
    },
    samples: &[
        ":1:django.contrib.sessions.cachek3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
        "shop:1:django.contrib.sessions.cachek3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
    ],
    counter_samples: &[
        ":1:views.decorators.cache.cache_page.GET.d41d8cd98f00b204e9800998ecf8427e",
        ":1:django.contrib.sessions.cached_dbk3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
        "django.contrib.sessions.cachek3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
    ],
};

/// Read: sessions.backends.cached_db of Django 4.2.16. The database keeps all sessions; Redis has those that were used lately.
pub const DJANGO_CACHED_DB_SESSION: Preset = Preset {
    name: "django-cached-db-session",
    library: "Django, `backends.cached_db`; Redis holds only the sessions that were used lately",
    matches: &[concat!("*:django.contrib.sessions.cached_db", any!(32))],
    excludes: &[],
    id: r"^(?P<app>.*):[0-9]+:django\.contrib\.sessions\.cached_db[0-9a-z]{32}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^.*:[0-9]+:django\.contrib\.sessions\.cached_db[0-9a-z]{32}$",
    },
    samples: &[
        ":1:django.contrib.sessions.cached_dbk3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
        "shop:2:django.contrib.sessions.cached_dbk3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
    ],
    counter_samples: &[
        ":1:django.contrib.sessions.cachek3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s",
        ":1:django.contrib.sessions.cached_db",
    ],
};

/// Read: django-redis-sessions 0.6.2. Without `SESSION_REDIS_PREFIX` the key is the bare id, a mere shape, for which `match` is to be given.
/// The glob of the ids that the library makes fixes their length; a digest in hexadecimal of that length has no letter beyond f, an id of 32
/// random letters and digits always has one.
pub const DJANGO_REDIS_SESSIONS: Preset = Preset {
    name: "django-redis-sessions",
    library: "django-redis-sessions with `SESSION_REDIS_PREFIX = \"session\"`",
    matches: &[concat!("session:", any!(32))],
    excludes: &[],
    id: r"^(?:(?P<app>.+):)?[0-9a-z]{32}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^session:[0-9a-f]*[g-z][0-9a-z]*$",
    },
    samples: &["session:k3x9q0zt1m5v7b2n4c6l8j0h9g7f5d3s"],
    counter_samples: &["session:abc", "session:K3X9Q0ZT1M5V7B2N4C6L8J0H9G7F5D3S"],
};

/// Read: Flask-Session 0.8.0 (`session:`, ids of 32 random bytes in base64url, SET with EX at each request of a permanent session). Up to
/// 0.5 ids were UUIDs, which many applications write under the same prefix, so that those are counted but not recognised.
pub const FLASK_SESSION: Preset = Preset {
    name: "flask-session",
    library: "Flask-Session",
    matches: &[concat!("session:", any!(43)), concat!("session:", any!(uuid))],
    excludes: &[],
    id: concat!("^session:(?:[0-9A-Za-z_-]{43}|", uuid!(), ")$"),
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^session:[0-9A-Za-z_-]{43}$",
    },
    samples: &[
        "session:Zk3v2lJ0gkz0qz0iWvQ3W0nRkq7i6Y5xAbC-dEf_012",
        "session:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
    ],
    counter_samples: &[
        "session:gitlab:2::abababababababababababababababababababababababababababababababab",
        "session:user:gitlab:42:2::abababababababababababababababababababababababababababababababab",
        "session:abc",
    ],
};

/// Read: starsessions 2.2.1 (`starsessions.`, ids of 16 random bytes in hexadecimal). With a `lifetime` the TTL is what is left of it, unless
/// `rolling` is on.
pub const STARSESSIONS: Preset = Preset {
    name: "starsessions",
    library: "starsessions (Starlette, FastAPI)",
    matches: &["starsessions.*"],
    excludes: &[],
    id: r"^starsessions\.[!-\-/-9;-~]+$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^starsessions\.[0-9a-f]{32}$",
    },
    samples: &["starsessions.0123456789abcdef0123456789abcdef"],
    counter_samples: &["starsessions.", "starsessions:0123456789abcdef0123456789abcdef"],
};
