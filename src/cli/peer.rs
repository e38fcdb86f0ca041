//! Every flag of `redis_exporter` with its environment variable and what becomes of it here: one list, from which the command line is
//! read, and from which the help, the document and the tests are made. Names, variables, kinds and defaults are those of v1.88.

use crate::config::peer_flags::ServerFlag;
use std::fmt::Write as _;

/// One flag.
#[derive(Debug)]
pub(super) struct PeerFlag {
    /// Its name with two dashes; one will do as well.
    pub(super) name: &'static str,
    /// Its variable.
    pub(super) variable: Option<&'static str>,
    /// What it takes.
    pub(super) kind: Kind,
    /// The value when nobody gives one.
    pub(super) default: &'static str,
    /// What becomes of it.
    pub(super) effect: Effect,
    /// What it means here, for the document: half a sentence.
    pub(super) meaning: &'static str,
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, or `=` and one of Go's words for true and false; never the next word.
    Switch,
    /// A whole number, behind `=` or as the next word.
    Number,
    /// Any text, behind `=` or as the next word.
    Text,
}

/// What becomes of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// This exporter has a flag of that name.
    Ours,
    /// It changes how servers are watched.
    Servers(ServerFlag),
    /// It changes the process.
    Process(ProcessFlag),
    /// It has no say; with another value than its default it is named in the log with this reason.
    Nothing(&'static str),
}

/// The flags that change the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProcessFlag {
    Debug,
    LogLevel,
    LogFormat,
    RedisOnlyMetrics,
    DisableScrapeEndpoint,
    BasicAuthUsername,
    BasicAuthPassword,
    BasicAuthHashPassword,
    TlsServerKeyFile,
    TlsServerCertFile,
    TlsServerCaCertFile,
    TlsServerMinVersion,
}

const fn flag(
    name: &'static str,
    variable: &'static str,
    (kind, default): (Kind, &'static str),
    effect: Effect,
    meaning: &'static str,
) -> PeerFlag {
    PeerFlag {
        name,
        variable: Some(variable),
        kind,
        default,
        effect,
        meaning,
    }
}

/// An optional text.
const TEXT: (Kind, &str) = (Kind::Text, "");
/// A switch that is off.
const OFF: (Kind, &str) = (Kind::Switch, "false");
/// A switch that is on.
const ON: (Kind, &str) = (Kind::Switch, "true");

const fn text(default: &'static str) -> (Kind, &'static str) {
    (Kind::Text, default)
}

const fn number(default: &'static str) -> (Kind, &'static str) {
    (Kind::Number, default)
}

use Effect::{Nothing, Ours, Process, Servers};

/// All of them, in the order of the peer's own list.
#[rustfmt::skip]
pub(super) const PEER_FLAGS: [PeerFlag; 59] = [
    flag("--redis.addr", "REDIS_ADDR", text("redis://localhost:6379"), Ours,
        "a server; here it may be given several times. Empty: none but those of the password file"),
    flag("--redis.user", "REDIS_USER", TEXT, Ours, "the same"),
    flag("--redis.password", "REDIS_PASSWORD", TEXT, Ours,
        "the same; the flag draws a warning, since every user of the machine can read it"),
    flag("--redis.password-file", "REDIS_PASSWORD_FILE", TEXT, Ours,
        "the JSON object of addresses and passwords, each of whose addresses becomes an instance; or a file with one password"),
    flag("--namespace", "REDIS_EXPORTER_NAMESPACE", text("redis"),
        Nothing("metrics begin with redis_ whatever it says, since rules and dashboards count on it"),
        "no say: the namespace is `redis`"),
    flag("--check-keys", "REDIS_EXPORTER_CHECK_KEYS", TEXT, Servers(ServerFlag::CheckKeys),
        "`check_keys`, without values; keys without `*`, `?`, `[`, `]`, `^` are `check_single_keys`"),
    flag("--check-single-keys", "REDIS_EXPORTER_CHECK_SINGLE_KEYS", TEXT, Servers(ServerFlag::CheckSingleKeys),
        "`check_single_keys` with values, and a warning; a missing key is absent, not 0"),
    flag("--check-key-groups", "REDIS_EXPORTER_CHECK_KEY_GROUPS", TEXT, Servers(ServerFlag::CheckKeyGroups), "`key_groups`"),
    flag("--check-streams", "REDIS_EXPORTER_CHECK_STREAMS", TEXT, Servers(ServerFlag::CheckStreams), "`streams`"),
    flag("--check-single-streams", "REDIS_EXPORTER_CHECK_SINGLE_STREAMS", TEXT, Servers(ServerFlag::CheckSingleStreams), "`streams`"),
    flag("--streams-exclude-consumer-metrics", "REDIS_EXPORTER_STREAMS_EXCLUDE_CONSUMER_METRICS", OFF,
        Servers(ServerFlag::StreamsExcludeConsumerMetrics), "`streams` without consumers"),
    flag("--count-keys", "REDIS_EXPORTER_COUNT_KEYS", TEXT, Servers(ServerFlag::CountKeys), "`count_keys`"),
    flag("--check-keys-batch-size", "REDIS_EXPORTER_CHECK_KEYS_BATCH_SIZE", number("1000"),
        Nothing("one scan serves everything here, and its steps are small enough that other clients do not notice; scan.redis_share says how fast it goes"),
        "no say: the steps of the scan are small and paced (`scan.redis_share`)"),
    flag("--script", "REDIS_EXPORTER_SCRIPT", TEXT, Servers(ServerFlag::Script),
        "`lua`; scripts run read-only, and one that fails does not make the server look down"),
    flag("--lua-script-read-only", "REDIS_EXPORTER_LUA_SCRIPT_READ_ONLY", OFF, Servers(ServerFlag::LuaScriptReadOnly),
        "always so; it spares the warning of `--script`"),
    flag("--web.listen-address", "REDIS_EXPORTER_WEB_LISTEN_ADDRESS", text(":9121"), Ours, "the same, but no host names"),
    flag("--web.telemetry-path", "REDIS_EXPORTER_WEB_TELEMETRY_PATH", text("/metrics"), Ours, "the same"),
    flag("--config-command", "REDIS_EXPORTER_CONFIG_COMMAND", text("CONFIG"), Servers(ServerFlag::ConfigCommand),
        "`compatibility.config_command`; `-` for none"),
    flag("--connection-timeout", "REDIS_EXPORTER_CONNECTION_TIMEOUT", text("15s"), Servers(ServerFlag::ConnectionTimeout),
        "`poll.timeout`, at most 5s, with a warning where it was longer; 3s when not given"),
    flag("--tls-client-key-file", "REDIS_EXPORTER_TLS_CLIENT_KEY_FILE", TEXT, Servers(ServerFlag::TlsClientKeyFile),
        "`tls.key_file`"),
    flag("--tls-client-cert-file", "REDIS_EXPORTER_TLS_CLIENT_CERT_FILE", TEXT, Servers(ServerFlag::TlsClientCertFile),
        "`tls.cert_file`, shown to every server whose address is `rediss://`"),
    flag("--tls-ca-cert-file", "REDIS_EXPORTER_TLS_CA_CERT_FILE", TEXT, Servers(ServerFlag::TlsCaCertFile),
        "`tls.ca_file`; without it the authorities of the machine"),
    flag("--tls-server-name", "REDIS_EXPORTER_TLS_SERVER_NAME", TEXT, Servers(ServerFlag::TlsServerName),
        "`tls.server_name`; a name that no certificate can carry is wrong usage"),
    flag("--tls-server-key-file", "REDIS_EXPORTER_TLS_SERVER_KEY_FILE", TEXT, Process(ProcessFlag::TlsServerKeyFile),
        "`key_file` of `--web.config.file`; without a certificate the process does not start, where redis_exporter serves in clear"),
    flag("--tls-server-cert-file", "REDIS_EXPORTER_TLS_SERVER_CERT_FILE", TEXT, Process(ProcessFlag::TlsServerCertFile),
        "`cert_file` of `--web.config.file`; without a key the process does not start, where redis_exporter serves in clear"),
    flag("--tls-server-ca-cert-file", "REDIS_EXPORTER_TLS_SERVER_CA_CERT_FILE", TEXT, Process(ProcessFlag::TlsServerCaCertFile),
        "`client_ca_file` of `--web.config.file`, with `client_auth_type: RequireAndVerifyClientCert`"),
    flag("--tls-server-min-version", "REDIS_EXPORTER_TLS_SERVER_MIN_VERSION", text("TLS1.2"), Process(ProcessFlag::TlsServerMinVersion),
        "`min_version` of `--web.config.file`, also where clients show certificates, where redis_exporter forgets it; what is older than TLS 1.2 is not spoken"),
    flag("--max-distinct-key-groups", "REDIS_EXPORTER_MAX_DISTINCT_KEY_GROUPS", number("100"), Servers(ServerFlag::MaxDistinctKeyGroups),
        "`key_groups`, from 0 to 10000"),
    flag("--debug", "REDIS_EXPORTER_DEBUG", OFF, Process(ProcessFlag::Debug), "`--log.level=debug`"),
    flag("--log-level", "REDIS_EXPORTER_LOG_LEVEL", text("INFO"), Process(ProcessFlag::LogLevel), "`--log.level`, which wins over it"),
    flag("--log-format", "REDIS_EXPORTER_LOG_FORMAT", text("txt"), Process(ProcessFlag::LogFormat),
        "`--log.format`, which wins over it: `txt` is `logfmt`"),
    flag("--set-client-name", "REDIS_EXPORTER_SET_CLIENT_NAME", ON, Servers(ServerFlag::SetClientName),
        "`compatibility.set_client_name`; the name is `redis-session-exporter`"),
    flag("--is-tile38", "REDIS_EXPORTER_IS_TILE38", OFF, Servers(ServerFlag::IsTile38), "`compatibility.tile38`"),
    flag("--is-cluster", "REDIS_EXPORTER_IS_CLUSTER", OFF, Servers(ServerFlag::IsCluster),
        "every address is read as `redis-cluster://`: all of its nodes are watched"),
    flag("--cluster-discover-hostnames", "REDIS_EXPORTER_CLUSTER_DISCOVER_HOSTNAMES", OFF,
        Servers(ServerFlag::ClusterDiscoverHostnames),
        "`cluster_hostnames: on`: nodes are dialled and called by the host names that they announce"),
    flag("--export-client-list", "REDIS_EXPORTER_EXPORT_CLIENT_LIST", OFF, Servers(ServerFlag::ExportClientList), "the collector `client_list`"),
    flag("--export-client-port", "REDIS_EXPORTER_EXPORT_CLIENT_PORT", OFF, Servers(ServerFlag::ExportClientPort),
        "the label `port` of `client_list`"),
    PeerFlag {
        name: "--version",
        variable: None,
        kind: Kind::Switch,
        default: "false",
        effect: Ours,
        meaning: "the same",
    },
    flag("--redis-only-metrics", "REDIS_EXPORTER_REDIS_ONLY_METRICS", OFF, Process(ProcessFlag::RedisOnlyMetrics),
        "`/metrics` leaves out what the exporter says about itself"),
    flag("--include-go-runtime-metrics", "REDIS_EXPORTER_INCLUDE_GO_RUNTIME_METRICS", OFF,
        Nothing("there is no Go runtime; process_* are there"), "no say: there is no Go runtime"),
    flag("--ping-on-connect", "REDIS_EXPORTER_PING_ON_CONNECT", OFF,
        Nothing("PING is always sent and timed (redis_ping_duration_seconds); the collector ping switches it off"),
        "no say: PING is always sent, and timed in `redis_ping_duration_seconds`"),
    flag("--include-config-metrics", "REDIS_EXPORTER_INCL_CONFIG_METRICS", OFF, Servers(ServerFlag::IncludeConfigMetrics),
        "the collector `config_all`"),
    flag("--include-modules-metrics", "REDIS_EXPORTER_INCL_MODULES_METRICS", OFF, Servers(ServerFlag::IncludeModulesMetrics),
        "the collector `modules`"),
    flag("--include-search-indexes-metrics", "REDIS_EXPORTER_INCL_SEARCH_INDEXES_METRICS", OFF,
        Servers(ServerFlag::IncludeSearchIndexesMetrics), "the collector `search`"),
    flag("--include-sentinel-peer-info", "REDIS_EXPORTER_INCL_SENTINEL_PEER_INFO", OFF, Servers(ServerFlag::IncludeSentinelPeerInfo),
        "the collector `sentinel_peers`"),
    flag("--check-search-indexes", "REDIS_EXPORTER_CHECK_SEARCH_INDEXES", text(".*"), Servers(ServerFlag::CheckSearchIndexes),
        "`search.indexes`"),
    flag("--disable-exporting-key-values", "REDIS_EXPORTER_DISABLE_EXPORTING_KEY_VALUES", OFF,
        Servers(ServerFlag::DisableExportingKeyValues), "`check_single_keys` without values; keys found by a pattern never show theirs"),
    flag("--exclude-latency-histogram-metrics", "REDIS_EXPORTER_EXCLUDE_LATENCY_HISTOGRAM_METRICS", OFF,
        Servers(ServerFlag::ExcludeLatencyHistogramMetrics), "`compatibility.latency_commands: off`"),
    flag("--redact-config-metrics", "REDIS_EXPORTER_REDACT_CONFIG_METRICS", ON,
        Nothing("what may hold a password is redacted whatever it says"), "no say: `config_all` always redacts"),
    flag("--include-system-metrics", "REDIS_EXPORTER_INCL_SYSTEM_METRICS", OFF, Servers(ServerFlag::IncludeSystemMetrics),
        "the collector `system`"),
    flag("--include-rdb-file-size-metric", "REDIS_EXPORTER_INCL_RDB_FILE_SIZE_METRIC", OFF, Servers(ServerFlag::IncludeRdbFileSizeMetric),
        "`compatibility.rdb_file_size`"),
    flag("--skip-tls-verification", "REDIS_EXPORTER_SKIP_TLS_VERIFICATION", OFF, Servers(ServerFlag::SkipTlsVerification),
        "`tls.insecure_skip_verify`, with a warning; what verification would say is found out all the same"),
    flag("--skip-checkkeys-for-role-master", "REDIS_EXPORTER_SKIP_CHECKKEYS_FOR_ROLE_MASTER", OFF,
        Servers(ServerFlag::SkipCheckkeysForRoleMaster), "`compatibility.keys_at_replicas_only`"),
    flag("--basic-auth-username", "REDIS_EXPORTER_BASIC_AUTH_USERNAME", TEXT, Process(ProcessFlag::BasicAuthUsername),
        "the same; without a password the process does not start, where redis_exporter lets everybody in"),
    flag("--basic-auth-password", "REDIS_EXPORTER_BASIC_AUTH_PASSWORD", TEXT, Process(ProcessFlag::BasicAuthPassword),
        "the same; without a user name the process does not start"),
    flag("--basic-auth-hash-password", "REDIS_EXPORTER_BASIC_AUTH_HASH_PASSWORD", TEXT, Process(ProcessFlag::BasicAuthHashPassword),
        "the same, a bcrypt hash; without a user name the process does not start"),
    flag("--disable-scrape-endpoint", "REDIS_EXPORTER_DISABLE_SCRAPE_ENDPOINT", OFF, Process(ProcessFlag::DisableScrapeEndpoint),
        "neither `/scrape` nor `/probe` is served"),
    flag("--include-metrics-for-empty-databases", "REDIS_EXPORTER_INCL_METRICS_FOR_EMPTY_DATABASES", ON,
        Servers(ServerFlag::IncludeMetricsForEmptyDatabases), "`compatibility.empty_databases`"),
    flag("--append-instance-role-label", "REDIS_EXPORTER_APPEND_INSTANCE_ROLE_LABEL", OFF,
        Nothing("a role is no identity, it changes at a failover; join with redis_instance_info, which has it"),
        "no say: the role stands in `redis_instance_info`"),
];

/// What `-h` says about them.
pub(super) const SHORT_HELP: &str = "Every flag of redis_exporter and its environment variable is accepted too, with one dash or two; --help lists them.";

/// What `--help` says about them: each with what becomes of it.
pub(super) fn help() -> String {
    let mut text = String::from(
        "Every flag of redis_exporter and its environment variable is accepted too, with one dash or two. What has no say is named in the log:\n",
    );
    for flag in PEER_FLAGS.iter().filter(|flag| flag.effect != Ours) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {}\n          {}", flag.name, flag.meaning.replace('`', ""));
    }
    text
}
