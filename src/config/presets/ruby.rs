//! Ruby.

use super::{Detection, KeyType, Preset, TtlKind};
use std::time::Duration;

/// Read: lib/gitlab/redis/sessions.rb and app/models/active_session.rb of GitLab. One key per Rack session, anonymous visitors included;
/// who is signed in stands once more under `session:user:gitlab`.
pub const GITLAB: Preset = Preset {
    name: "gitlab",
    library: "GitLab, all Rack sessions with those of anonymous visitors",
    matches: &["session:gitlab:*"],
    excludes: &["session:user:gitlab:*", "session:lookup:*", "session:otp:*"],
    id: r"^session:gitlab:(?:[0-9A-Za-z_-]+-)?(?:2::[0-9a-f]{64}|[0-9a-f]{32})$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^session:gitlab:(?:[0-9A-Za-z_-]+-)?2::[0-9a-f]{64}$",
    },
    samples: &["session:gitlab:2::abababababababababababababababababababababababababababababababab"],
    counter_samples: &[
        "session:user:gitlab::v2:42:2::abababababababababababababababababababababababababababababababab",
        "session:lookup:user:gitlab:42",
        "session:lookup:ip:gitlab2:10.0.0.1",
        "session:otp:1",
    ],
};

/// Read: key_name of app/models/active_session.rb of GitLab. The same sessions stand under [`GITLAB`] too, so that only one of both is
/// recognised.
pub const GITLAB_AUTHENTICATED: Preset = Preset {
    name: "gitlab-authenticated",
    library: "GitLab, sessions of signed-in users",
    matches: &["session:user:gitlab::v2:*"],
    excludes: &[],
    id: r"^session:user:gitlab::v2:[0-9]+:(?:[0-9A-Za-z_-]+-)?(?:2::[0-9a-f]{64}|[0-9a-f]{32})$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::ByName,
    samples: &["session:user:gitlab::v2:42:2::abababababababababababababababababababababababababababababababab"],
    counter_samples: &[
        "session:user:gitlab:42:2::abababababababababababababababababababababababababababababababab",
        "session:gitlab:2::abababababababababababababababababababababababababababababababab",
    ],
};

/// Read: session/cache_store.rb of Action Pack 6.1.7 (`_session_id:` and Rack's private id; before 5.2.4 and 6.0.2 the id itself), behind the
/// namespace of the cache.
pub const RAILS_CACHE_STORE: Preset = Preset {
    name: "rails-cache-store",
    library: "Rails `ActionDispatch::Session::CacheStore` over RedisCacheStore",
    matches: &[
        concat!("_session_id:2::", any!(64)),
        concat!("*:_session_id:2::", any!(64)),
        concat!("_session_id:", any!(32)),
        concat!("*:_session_id:", any!(32)),
    ],
    excludes: &[],
    id: r"^(?:(?P<app>.+):)?_session_id:(?:2::[0-9a-f]{64}|[0-9a-f]{32})$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^(?:.+:)?_session_id:(?:2::[0-9a-f]{64}|[0-9a-f]{32})$",
    },
    samples: &[
        "_session_id:2::abababababababababababababababababababababababababababababababab",
        "shop:_session_id:2::abababababababababababababababababababababababababababababababab",
        "_session_id:0123456789abcdef0123456789abcdef",
    ],
    counter_samples: &["shop:views/products/42", "_session_id:", "shop:_session_id:2::ab"],
};

/// Read: redis-rack 2.1.2 and redis-store 1.9.0 (`rack:session` and `:` before Rack's private id, since Rack 2.0.8; before, the id itself).
/// Without `expire_after` sessions have no TTL.
pub const RACK_REDIS: Preset = Preset {
    name: "rack-redis",
    library: "redis-rack (Rack, Sinatra, Hanami), its default namespace",
    matches: &["rack:session:*"],
    excludes: &[],
    id: r"^rack:session:(?:2::[0-9a-f]{64}|[0-9a-f]{64}|[0-9a-f]{32})$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^rack:session:(?:2::[0-9a-f]{64}|[0-9a-f]{64}|[0-9a-f]{32})$",
    },
    samples: &[
        "rack:session:2::abababababababababababababababababababababababababababababababab",
        "rack:session:0123456789abcdef0123456789abcdef",
    ],
    counter_samples: &["rack:session:config", "rack:attack:1:req/ip:10.0.0.1"],
};

/// Read: redis-store 1.9.0, redis-actionpack 5.3.0 and redis-session-store (`key_prefix` of its own). The namespace is the application's; the
/// other users of Rack's private id are left to their own presets.
pub const RAILS_REDIS_STORE: Preset = Preset {
    name: "rails-redis-store",
    library: "redis-actionpack, redis-rails, redis-session-store (Rails) under a namespace of the application",
    matches: &[concat!("*:2::", any!(64))],
    excludes: &[
        "rack:session:*",
        "session:gitlab:*",
        "session:user:gitlab:*",
        "*_session_id:*",
    ],
    id: r"^(?P<app>.+):2::[0-9a-f]{64}$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^.+:2::[0-9a-f]{64}$",
    },
    samples: &["shop:session:2::abababababababababababababababababababababababababababababababab"],
    counter_samples: &[
        "shop:session:x",
        "_session_id:2::abababababababababababababababababababababababababababababababab",
        "rack:session:2::abababababababababababababababababababababababababababababababab",
    ],
};
