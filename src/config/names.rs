//! The names that configuration may use: keys by place, names that come with later versions, collectors, reserved labels.

use crate::collectors::ALL;

/// A place of the file that has keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Top,
    Poll,
    Scan,
    Limits,
    Defaults,
    Instance,
    Expect,
    SessionProbe,
    Store,
    Source,
    Encryption,
    ApplicationMetric,
    /// An item of `check_keys`, `count_keys` and of the patterns of other sections.
    KeyPattern,
    /// An item of `check_single_keys`.
    NamedKey,
    Compatibility,
    LuaScript,
    Search,
    ClientList,
    ClientCounts,
    KeyGroups,
    Streams,
    /// An item of `streams.keys`.
    StreamKey,
    Tls,
    /// The file of `--web.config.file`.
    WebConfig,
    /// `tls_server_config` of that file.
    WebTls,
    /// `http_server_config` of that file.
    WebHttp,
    /// `http_server_config.headers` of that file.
    WebHeaders,
    /// `rate_limit` of that file.
    WebRateLimit,
    /// The file of values of the alert rules.
    AlertValues,
    /// `teams` of that file.
    AlertTeams,
    /// An item of `capacity` of that file.
    AlertCapacity,
    /// An alert under `alerts` of that file.
    AlertOverride,
}

/// Keys of an instance. All but the first [`OF_ONE_INSTANCE`] may stand under `defaults` as well.
const INSTANCE_KEYS: [&str; 29] = [
    "name",
    "address",
    "username",
    "password",
    "password_file",
    "tls",
    "environment",
    "labels",
    "poll",
    "scan",
    "expect",
    "collectors",
    "sessions",
    "scan_from",
    "operations",
    "session_probe",
    "application_metrics",
    "check_keys",
    "check_single_keys",
    "count_keys",
    "compatibility",
    "lua",
    "search",
    "allowed_networks",
    "cluster_hostnames",
    "client_list",
    "client_counts",
    "key_groups",
    "streams",
];

/// `name` and `address`, which no two instances share.
const OF_ONE_INSTANCE: usize = 2;

impl Scope {
    /// Every scope of `exporter.yaml`, for the test that the documentation names every key.
    #[cfg(test)]
    pub(super) const ALL: [Self; 23] = [
        Self::Top,
        Self::Poll,
        Self::Scan,
        Self::Limits,
        Self::Defaults,
        Self::Instance,
        Self::Expect,
        Self::SessionProbe,
        Self::Store,
        Self::Source,
        Self::Encryption,
        Self::ApplicationMetric,
        Self::KeyPattern,
        Self::NamedKey,
        Self::Compatibility,
        Self::LuaScript,
        Self::Search,
        Self::ClientList,
        Self::ClientCounts,
        Self::KeyGroups,
        Self::Streams,
        Self::StreamKey,
        Self::Tls,
    ];

    /// The keys that this version reads there.
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Top => &[
                "environment",
                "poll",
                "scan",
                "limits",
                "allowed_networks",
                "defaults",
                "instances",
            ],
            Self::Poll => &[
                "ping_interval",
                "info_interval",
                "scan_interval",
                "connect_interval",
                "timeout",
                "stale_after",
            ],
            Self::Scan => &["redis_share", "sample_keys"],
            Self::Limits => &[
                "label_values",
                "http_connections",
                "scan_remembered_keys",
                "scan_detail_keys",
                "checked_keys",
            ],
            Self::Defaults => INSTANCE_KEYS.split_at(OF_ONE_INSTANCE).1,
            Self::Instance => &INSTANCE_KEYS,
            Self::Expect => &["maxmemory_policy", "persistence"],
            Self::SessionProbe => &["enabled", "interval", "prefix"],
            Self::Store => &[
                "store",
                "preset",
                "match",
                "exclude",
                "id",
                "type",
                "ttl",
                "ttl_offset",
                "index",
                "databases",
                "capacity",
                "expected_ttl",
                "count",
                "events",
                "sources",
                "encryption",
                "app_label",
            ],
            Self::Source => &["source", "match"],
            Self::Encryption => &["expect_prefix"],
            Self::KeyPattern => &["match", "databases"],
            Self::NamedKey => &["key", "database", "value"],
            Self::KeyGroups => &["patterns", "max_groups", "databases"],
            Self::Streams => &["patterns", "keys", "consumers"],
            Self::StreamKey => &["key", "database"],
            Self::ApplicationMetric => &[
                "name",
                "type",
                "key",
                "db",
                "read",
                "field",
                "label",
                "label_values",
                "max_label_values",
                "buckets",
                "help",
            ],
            Self::Compatibility => &[
                "config_command",
                "set_client_name",
                "empty_databases",
                "latency_commands",
                "rdb_file_size",
                "keys_at_replicas_only",
                "tile38",
            ],
            Self::LuaScript => &["file", "name", "read_only"],
            Self::Search => &["indexes"],
            Self::ClientList => &["port", "max_clients"],
            Self::ClientCounts => &["by_user", "by_name"],
            Self::Tls => &[
                "ca_file",
                "cert_file",
                "key_file",
                "server_name",
                "insecure_skip_verify",
                "min_version",
            ],
            Self::WebConfig => &[
                "tls_server_config",
                "http_server_config",
                "basic_auth_users",
                "rate_limit",
            ],
            Self::WebTls => &[
                "cert",
                "cert_file",
                "key",
                "key_file",
                "client_auth_type",
                "client_ca",
                "client_ca_file",
                "client_allowed_sans",
                "min_version",
                "max_version",
                "cipher_suites",
                "prefer_server_cipher_suites",
                "curve_preferences",
            ],
            Self::WebHttp => &["http2", "headers"],
            Self::WebHeaders => &super::web::HEADERS,
            Self::WebRateLimit => &["interval", "burst"],
            Self::AlertValues => &[
                "selector",
                "production",
                "runbook_url",
                "dashboard_url",
                "hurry",
                "teams",
                "thresholds",
                "capacity",
                "alerts",
            ],
            Self::AlertTeams => &super::alert_values::TEAMS,
            Self::AlertCapacity => &["store", "instance", "environment", "sessions"],
            Self::AlertOverride => &["enabled", "for", "priority", "team"],
        }
    }

    /// Whether it is a place of a file that has no section `defaults`: that of `--web.config.file` and that of the values of alerts.
    pub(super) const fn has_no_defaults(self) -> bool {
        matches!(
            self,
            Self::WebConfig
                | Self::WebTls
                | Self::WebHttp
                | Self::WebHeaders
                | Self::WebRateLimit
                | Self::AlertValues
                | Self::AlertTeams
                | Self::AlertCapacity
                | Self::AlertOverride
        )
    }
}

/// Address schemes of the product's contract that come with later versions, each with that of the servers behind it.
const LATER_SCHEMES: [(&str, &str); 4] = [
    ("redis-sentinel", "redis"),
    ("rediss-sentinel", "rediss"),
    ("valkey-sentinel", "valkey"),
    ("valkeys-sentinel", "valkeys"),
];

/// The scheme as a constant, with that of the servers behind it, if it is one that comes with a later version.
pub(super) fn later_scheme(scheme: &str) -> Option<(&'static str, &'static str)> {
    LATER_SCHEMES.into_iter().find(|(later, _)| *later == scheme)
}

/// Every collector of this version with whether it runs when nothing is said about it.
pub(super) fn known_collectors() -> Vec<(&'static str, bool)> {
    ALL.iter().map(|spec| (spec.name, spec.default_on)).collect()
}

/// Label names that an instance may not take, because Prometheus, this exporter, or one of the metrics (those of later
/// versions and of the compatibility list included) uses them. A label of the instance with the same name would make two
/// labels of one name in a series, which no Prometheus accepts.
pub(super) const fn reserved_labels() -> &'static [&'static str] {
    &[
        "abi_version",
        "api",
        "app",
        "build_date",
        "certificate",
        "check",
        "cipher",
        "class",
        "cmd",
        "code",
        "collector",
        "commit_sha",
        "consumer",
        "db",
        "engine",
        "environment",
        "err",
        "error_type",
        "event",
        "event_name",
        "expectation",
        "feature",
        "filename",
        "filters",
        "flags",
        "golang_version",
        "group",
        "host",
        "id",
        "index_name",
        "instance",
        "ip",
        "job",
        "key",
        "key_group",
        "kind",
        "le",
        "limit",
        "master_address",
        "master_host",
        "master_name",
        "master_port",
        "master_replid",
        "master_status",
        "maxmemory_policy",
        "message",
        "method",
        "module",
        "name",
        "operation",
        "os",
        "phase",
        "port",
        "process_id",
        "quantile",
        "read_only",
        "reason",
        "redis_build_id",
        "redis_mode",
        "redis_version",
        "resp",
        "role",
        "route",
        "run_id",
        "runid",
        "serial",
        "slave_ip",
        "slave_port",
        "slave_state",
        "slot",
        "source",
        "state",
        "status",
        "store",
        "stream",
        "tcp_port",
        "thread",
        "threshold_seconds",
        "tls_enabled",
        "usedby",
        "user",
        "using",
        "val",
        "valkey_release_stage",
        "valkey_version",
        "value",
        "ver",
        "version",
    ]
}

/// Labels that a metric of the application may not have: they tell series apart on every level above it.
pub(super) const RESERVED_APPLICATION_LABELS: [&str; 5] = ["job", "instance", "environment", "le", "quantile"];

/// Whether Prometheus takes the text as the name of a label (data model, "Metric names and labels").
pub(super) fn is_label_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Eviction policies: Redis 4.0 and later, Valkey, and the LRM pair of Redis 8.6.
pub(super) const EVICTION_POLICIES: [&str; 10] = [
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-lrm",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-lrm",
    "volatile-random",
    "volatile-ttl",
];

/// Longest name that is compared with known ones; all of them are far shorter.
const MAX_COMPARED_CHARACTERS: usize = 64;

/// The known name that somebody most likely meant, if one is near: at most two letters wrong, missing, too many or swapped,
/// and at most a third of the name.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written: Vec<char> = written.chars().take(MAX_COMPARED_CHARACTERS + 1).collect();
    if written.len() > MAX_COMPARED_CHARACTERS {
        return None;
    }
    known
        .iter()
        .map(|name| (edit_distance(&written, &name.chars().collect::<Vec<_>>()), *name))
        .filter(|(distance, name)| *distance <= 2 && distance * 3 <= name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Number of insertions, deletions, replacements and swaps of neighbours between two words.
fn edit_distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_left = None;
    for (row, left_character) in left.iter().enumerate() {
        let mut current = Vec::with_capacity(right.len() + 1);
        current.push(row + 1);
        let mut previous_right = None;
        for (column, right_character) in right.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let replace = at(&last, column) + usize::from(left_character != right_character);
            let mut best = replace.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let swapped = previous_left == Some(right_character) && previous_right == Some(left_character);
            if let (true, Some(earlier)) = (swapped, column.checked_sub(1)) {
                best = best.min(at(&before_last, earlier).saturating_add(1));
            }
            current.push(best);
            previous_right = Some(right_character);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_left = Some(left_character);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(left: &str, right: &str) -> usize {
        edit_distance(&left.chars().collect::<Vec<_>>(), &right.chars().collect::<Vec<_>>())
    }

    #[test]
    fn distances_count_slips_of_the_pen() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("inof", "info"), 1);
        assert_eq!(distance("timeuot", "timeout"), 1);
        assert_eq!(distance("time_out", "timeout"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let keys = Scope::Poll.keys();
        assert_eq!(nearest("inof_interval", keys), Some("info_interval"));
        assert_eq!(nearest("timeuot", keys), Some("timeout"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
        assert_eq!(nearest("x", &["y"]), None);
    }

    #[test]
    fn every_label_of_a_metric_is_reserved() {
        for descriptor in ALL.iter().flat_map(|spec| (spec.descriptors)()) {
            for label in descriptor.labels {
                assert!(reserved_labels().contains(label), "{label} of {}", descriptor.name);
            }
        }
    }

    #[test]
    fn names_are_listed_once() {
        let mut labels = reserved_labels().to_vec();
        labels.dedup();
        assert_eq!(labels, reserved_labels());
        assert!(labels.is_sorted());
    }
}
