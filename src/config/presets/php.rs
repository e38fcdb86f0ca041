//! PHP.

use super::{Detection, KeyType, Preset, TtlKind};
use std::time::Duration;

/// Read: redis_session.c of phpredis 5.3 and 6 (`PHPREDIS_SESSION:`, on a cluster `PHPREDIS_CLUSTER_SESSION:`; the lock is the key and
/// `_LOCK`, on a cluster in braces). The session is written, or its TTL set again, at the end of each request.
pub const PHPREDIS: Preset = Preset {
    name: "phpredis",
    library: "PHP `session.save_handler = redis` (phpredis; Nextcloud, WordPress and others)",
    matches: &["PHPREDIS_SESSION:*", "PHPREDIS_CLUSTER_SESSION:*"],
    excludes: &["PHPREDIS_*SESSION:*_LOCK", "{PHPREDIS_*SESSION:*}_LOCK"],
    id: concat!("^PHPREDIS_(?:CLUSTER_)?SESSION:", php_id!(), "$"),
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: concat!("^PHPREDIS_(?:CLUSTER_)?SESSION:", php_id!(), "$"),
    },
    samples: &[
        "PHPREDIS_SESSION:7u2cvl2dnp1jkq3f0b8m5t6r9s",
        "PHPREDIS_CLUSTER_SESSION:0123456789abcdef0123456789abcdef",
    ],
    counter_samples: &[
        "PHPREDIS_SESSION:7u2cvl2dnp1jkq3f0b8m5t6r9s_LOCK",
        "{PHPREDIS_CLUSTER_SESSION:7u2cvl2dnp1jkq3f0b8m5t6r9s}_LOCK",
        "PHPREDIS_SESSION:",
    ],
};

/// Read: RedisSessionHandler of Symfony 5.4.53 (`sf_s` and the id without anything between; SETEX, or EXPIRE when nothing changed). The lock
/// of snc/redis-bundle ends in `.lock`, which is no character of an id.
pub const SYMFONY: Preset = Preset {
    name: "symfony",
    library: "Symfony `RedisSessionHandler`",
    matches: &[concat!("sf_s", any!(22), "*")],
    excludes: &["sf_s*.lock"],
    id: concat!("^sf_s", php_id!(), "$"),
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^sf_s[0-9A-Za-z,-]{26,48}$",
    },
    samples: &["sf_s7u2cvl2dnp1jkq3f0b8m5t6r9s"],
    counter_samples: &["sf_sx", "sf_s7u2cvl2dnp1jkq3f0b8m5t6r9s.lock"],
};

/// Read: Cm\RedisSession\Handler (Magento 1 and 2). The hash also holds the lock; a request that waits for it can make a hash without data.
pub const MAGENTO: Preset = Preset {
    name: "magento",
    library: "Magento, Adobe Commerce (Cm_RedisSession)",
    matches: &["sess_*"],
    excludes: &[],
    id: concat!("^sess_", php_id!(), "$"),
    key_type: Some(KeyType::Hash),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: concat!("^sess_", php_id!(), "$"),
    },
    samples: &["sess_7u2cvl2dnp1jkq3f0b8m5t6r9s"],
    counter_samples: &["sess_config", "sess:7u2cvl2dnp1jkq3f0b8m5t6r9s"],
};

/// Read: RedisHandler of CodeIgniter 4 (`ci_session:`, the name of the cookie and `:`, the address and `:` with `matchIP`; the lock is the
/// key and `:lock`). CodeIgniter 3 leaves the name of the cookie out.
pub const CODEIGNITER: Preset = Preset {
    name: "codeigniter",
    library: "CodeIgniter 3 and 4",
    matches: &["ci_session:*"],
    excludes: &["ci_session:*:lock"],
    // An address consists of hexadecimal digits, dots and colons; a cookie's name has something else in it.
    id: concat!(
        "^ci_session:(?:(?P<app>[0-9A-Za-z_.-]*[G-Zg-z_-][0-9A-Za-z_.-]*):)?(?:[0-9A-Fa-f.:]+:)?",
        php_id!(),
        "$"
    ),
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: concat!(
            "^ci_session:(?:[0-9A-Za-z_.-]*[G-Zg-z_-][0-9A-Za-z_.-]*:)?(?:[0-9A-Fa-f.:]+:)?",
            php_id!(),
            "$"
        ),
    },
    samples: &[
        "ci_session:0123456789abcdef0123456789abcdef01234567",
        "ci_session:ci_session:7u2cvl2dnp1jkq3f0b8m5t6r9s012345",
        "ci_session:shop:10.1.2.3:7u2cvl2dnp1jkq3f0b8m5t6r9s012345",
        "ci_session:10.1.2.3:7u2cvl2dnp1jkq3f0b8m5t6r9s012345",
    ],
    counter_samples: &[
        "ci_session:0123456789abcdef0123456789abcdef01234567:lock",
        "ci_session:ci_session:7u2cvl2dnp1jkq3f0b8m5t6r9s012345:lock",
        "ci_session:",
    ],
};

/// Laravel keeps sessions in the same place as its cache: `[redis prefix][cache prefix][:]id`, the id 40 random letters and digits. The prefixes
/// end in `_` up to 12 and in `-` since 13. The keys of the rate limiter are SHA-1 digests, 40 hexadecimal digits: the globs fix the length,
/// and the pattern wants one character that no digest has, which 40 random letters and digits always contain.
pub const LARAVEL_CACHE_SESSION: Preset = Preset {
    name: "laravel-cache-session",
    library: "Laravel, `SESSION_DRIVER=redis`",
    matches: &[
        concat!("*[-_]cache[-_:]", any!(40)),
        concat!("*[-_]cache[-_]:", any!(40)),
    ],
    excludes: &[],
    id: r"^(?:(?P<app>.+?)[_-]database[_-])?.+[_-]cache[_-]?:?[0-9a-f]*[A-Zg-z][0-9A-Za-z]*$",
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: Duration::ZERO,
    index_key: None,
    detection: Detection::Auto {
        id: r"^.+[_-]cache[_-]?:?[0-9a-f]*[A-Zg-z][0-9A-Za-z]*$",
    },
    samples: &[
        "laravel_database_laravel_cache_:AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcd",
        "laravel_database_laravel_cache_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcd",
        "laravel-database-laravel-cache-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcd",
        "laravel_database_laravel_cache:AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcd",
    ],
    counter_samples: &[
        "laravel_database_laravel_cache_:users.all",
        "laravel_database_laravel_cache_:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "laravel_database_laravel_cache_:da39a3ee5e6b4b0d3255bfef95601890afd80709:timer",
    ],
};

/// How much longer than a session Moodle's key lives: `session_update_timemodified_frequency` (20 s unless configured) and one minute.
const MOODLE_MARGIN: Duration = Duration::from_secs(80);

/// Read: core\session\redis of Moodle. The prefix is empty unless `session_redis_prefix` is set, so that the key is a bare id of PHP.
pub const MOODLE: Preset = Preset {
    name: "moodle",
    library: "Moodle; give `match` where `session_redis_prefix` is set",
    matches: &[any!(26), any!(32)],
    excludes: &["*.lock"],
    id: concat!("^(?:(?P<app>.*)[^0-9A-Za-z,-])?", php_id!(), "$"),
    key_type: Some(KeyType::String),
    ttl: TtlKind::Sliding,
    ttl_offset: MOODLE_MARGIN,
    index_key: None,
    detection: Detection::ByName,
    samples: &["7u2cvl2dnp1jkq3f0b8m5t6r9s", "0123456789abcdef0123456789abcdef"],
    counter_samples: &["7u2cvl2dnp1jkq3f0b8m5t6r9s.lock", "7u2cvl2dnp1jkq3f0b8m5.lock"],
};
