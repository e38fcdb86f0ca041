//! Java.

use super::{Detection, KeyType, Preset, TtlKind};
use std::time::Duration;

/// Read: RedisIndexedSessionRepository, SortedSetRedisSessionExpirationStore (since 3.4) and ReactiveRedisIndexedSessionRepository (since
/// 3.3) of Spring Session.
///
/// An empty string beside the hash of each session lives exactly as long as the session; the hash stays five minutes longer, also after a
/// logout. Applications with the sorted set keep the ids of living sessions in it; the others have no such key, and then there is nothing to
/// read. A session that never expires (`maxInactiveInterval` below 0) has a score in the past.
pub const SPRING_SESSION_INDEXED: Preset = Preset {
    name: "spring-session-indexed",
    library: "Spring Session, indexed repository (`RedisIndexedSessionRepository`, `ReactiveRedisIndexedSessionRepository`)",
    matches: &["spring:session:sessions:expires:*"],
    excludes: &[
        concat!("spring:session:sessions:", any!(uuid)),
        "spring:session:sessions:*:idx",
        "spring:session:sessions:expirations",
        "spring:session:sessions:index:*",
        "spring:session:index:*",
        "spring:session:expirations:*",
    ],
    id: r"^spring:session:sessions:expires:[!-9;-~]+$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: Some("spring:session:sessions:expirations"),
    detection: Detection::Auto {
        id: concat!("^spring:session:sessions:expires:", uuid!(), "$"),
    },
    samples: &["spring:session:sessions:expires:33fdd1b6-b496-4b33-9f7d-df96679d32fe"],
    counter_samples: &[
        "spring:session:sessions:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        "spring:session:sessions:expirations",
        "spring:session:expirations:1439245080000",
    ],
};

/// Read: RedisSessionRepository and ReactiveRedisSessionRepository of Spring Session, whose hash lives as long as the session. Beside an
/// indexed repository the hashes are those of [`SPRING_SESSION_INDEXED`], which comes first.
pub const SPRING_SESSION: Preset = Preset {
    name: "spring-session",
    library: "Spring Session (`RedisSessionRepository`, `ReactiveRedisSessionRepository`)",
    matches: &[concat!("spring:session:sessions:", any!(uuid))],
    excludes: &[],
    id: concat!("^spring:session:sessions:", uuid!(), "$"),
    key_type: Some(KeyType::Hash),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: concat!("^spring:session:sessions:", uuid!(), "$"),
    },
    samples: &["spring:session:sessions:33fdd1b6-b496-4b33-9f7d-df96679d32fe"],
    counter_samples: &[
        "spring:session:sessions:expires:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        "spring:session:sessions:33fdd1b6-b496-4b33-9f7d-df96679d32fe:idx",
        "spring:session:sessions:expirations",
        "spring:session:index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:bob",
    ],
};

/// How much longer than a session the map of Redisson's manager lives (RedissonSession.expireSession; versions before that had no margin).
const REDISSON_MARGIN: Duration = Duration::from_secs(60);

/// Read: RedissonSession of redisson-tomcat-9 (2024). Tomcat's ids are 32 capital hexadecimal digits, and `.` with the route in a cluster.
pub const REDISSON_TOMCAT: Preset = Preset {
    name: "redisson-tomcat",
    library: "Redisson session manager for Tomcat",
    matches: &["redisson:tomcat_session:*", "*:redisson:tomcat_session:*"],
    excludes: &["redisson:tomcat_notified_nodes:*", "redisson:tomcat_session_updates:*"],
    id: r"^(?:(?P<app>.+):)?redisson:tomcat_session:[!-9;-~]+$",
    key_type: Some(KeyType::Hash),
    ttl: TtlKind::Sliding,
    ttl_offset: REDISSON_MARGIN,
    index_key: None,
    detection: Detection::Auto {
        id: r"^(?:.+:)?redisson:tomcat_session:[0-9A-F]{32}(?:\.[0-9A-Za-z_.-]+)?$",
    },
    samples: &[
        "redisson:tomcat_session:4FA8FF53011B10BB0C12AC38AACEFCF4",
        "app1:redisson:tomcat_session:4FA8FF53011B10BB0C12AC38AACEFCF4.node1",
    ],
    counter_samples: &[
        "redisson:tomcat_notified_nodes:4FA8FF53011B10BB0C12AC38AACEFCF4",
        "redisson:tomcat_session:",
    ],
};

/// Read: RedisSessionDAO of shiro-redis 3.0 (`shiro:session:`); 2.x has `shiro_redis_session:`. Shiro's ids are UUIDs
/// (JavaUuidSessionIdGenerator).
pub const SHIRO_REDIS: Preset = Preset {
    name: "shiro-redis",
    library: "shiro-redis (Apache Shiro)",
    matches: &["shiro:session:*", "shiro_redis_session:*"],
    excludes: &["shiro:cache:*"],
    id: r"^shiro(?::session|_redis_session):[!-9;-~]+$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: concat!("^shiro(?::session|_redis_session):", uuid!(), "$"),
    },
    samples: &[
        "shiro:session:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        "shiro_redis_session:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
    ],
    counter_samples: &["shiro:cache:com.example.Realm.authorizationCache:42", "shiro:session:"],
};

/// Read: StpLogic of sa-token-core. The token's lifetime is set at login and renewed only when the application asks for it. The value of a
/// token that was kicked out or replaced is a negative number; its key still counts until it expires. The first part of the key is the
/// configured token name.
pub const SA_TOKEN: Preset = Preset {
    name: "sa-token",
    library: "Sa-Token",
    matches: &["satoken:*:token:*", "*:login:token:*"],
    excludes: &[
        "satoken:*:session:*",
        "satoken:*:token-session:*",
        "satoken:*:last-active:*",
    ],
    id: r"^(?P<app>[^:]+):[^:]+:token:[!-9;-~]+$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Absolute,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: concat!(
            "^satoken:[^:]+:token:(?:",
            uuid!(),
            "|[0-9a-f]{32}|[0-9A-Za-z]{32}|[0-9A-Za-z]{64}|[0-9A-Za-z]{128})$"
        ),
    },
    samples: &[
        "satoken:login:token:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        "satoken:admin:token:0123456789abcdef0123456789abcdef",
    ],
    counter_samples: &[
        "satoken:login:session:1001",
        "satoken:login:token-session:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
        "satoken:login:last-active:33fdd1b6-b496-4b33-9f7d-df96679d32fe",
    ],
};
