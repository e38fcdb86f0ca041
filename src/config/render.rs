//! The running configuration as YAML, for `/config`. Every secret is shown as `<secret>`; all else reads back as it runs.

use super::cluster::{ClusterConfig, Hostnames};
use super::duration::format_duration;
use super::optional::{Compatibility, KeyPattern, NamedKey, StreamsConfig};
use super::own_metrics;
use super::pattern::IdPattern;
use super::presets::{KeyType, TtlKind};
use super::tls::TlsConfig;
use super::types::{PasswordSource, SECRET_PLACEHOLDER};
use super::{ApplicationMetricConfig, ApplicationRead, CountMode, EventsMode, Expectations, Operations, Persistence};
use super::{InstanceConfig, PollConfig, SessionsConfig, StoreConfig, ValidatedConfig};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Stands above the YAML.
const HEADER: &str = "\
# The running configuration with every default filled in. Secrets are shown as <secret>.
# Where `stale_after` is missing it is three times the interval, or longer where `timeout` is long beside it.
";

/// Writes the configuration the way the loader reads it, every default filled in, every secret as `<secret>`.
///
/// Without secrets the text loads as the same configuration. The answer is a comment when YAML cannot be written, which no
/// known configuration causes.
pub fn to_redacted_yaml(config: &ValidatedConfig) -> String {
    let shown = ShownConfig {
        limits: ShownLimits {
            label_values: config.limits.label_values,
            http_connections: config.limits.http_connections,
            scan_remembered_keys: config.limits.scan_remembered_keys,
            scan_detail_keys: config.limits.scan_detail_keys,
            checked_keys: config.limits.checked_keys,
        },
        instances: config
            .instances
            .iter()
            // Nodes that were found stand behind the address of their cluster.
            .filter(|instance| instance.discovered.is_none())
            .map(|instance| shown_instance(instance))
            .chain(config.clusters.iter().map(|cluster| shown_cluster(cluster)))
            .collect(),
    };
    match serde_yaml::to_string(&shown) {
        Ok(text) => format!("{HEADER}{text}"),
        Err(_) => "# The configuration cannot be written as YAML.\n".to_owned(),
    }
}

/// One item of `instances` as [`to_redacted_yaml`] writes it, as a tree; `None` when it cannot be written.
pub(super) fn instance_tree(instance: &InstanceConfig) -> Option<serde_yaml::Mapping> {
    tree_of(&shown_instance(instance))
}

/// The same of a cluster.
pub(super) fn cluster_tree(cluster: &ClusterConfig) -> Option<serde_yaml::Mapping> {
    tree_of(&shown_cluster(cluster))
}

fn tree_of(shown: &ShownInstance<'_>) -> Option<serde_yaml::Mapping> {
    match serde_yaml::to_value(shown) {
        Ok(serde_yaml::Value::Mapping(tree)) => Some(tree),
        _ => None,
    }
}

#[derive(Serialize)]
struct ShownConfig<'a> {
    limits: ShownLimits,
    instances: Vec<ShownInstance<'a>>,
}

#[derive(Serialize)]
struct ShownLimits {
    label_values: usize,
    http_connections: usize,
    scan_remembered_keys: usize,
    scan_detail_keys: usize,
    checked_keys: usize,
}

#[derive(Serialize)]
struct ShownInstance<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<ShownTls<'a>>,
    environment: &'a str,
    labels: &'a BTreeMap<String, String>,
    poll: ShownPoll,
    scan: ShownScan,
    expect: ShownExpect<'a>,
    collectors: &'a BTreeMap<&'static str, bool>,
    sessions: ShownSessions<'a>,
    scan_from: Vec<String>,
    operations: &'static str,
    session_probe: ShownSessionProbe<'a>,
    application_metrics: Vec<ShownMetric<'a>>,
    check_keys: Vec<ShownPattern<'a>>,
    check_single_keys: Vec<ShownNamedKey<'a>>,
    count_keys: Vec<ShownPattern<'a>>,
    client_list: ShownClientList,
    client_counts: ShownClientCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_groups: Option<ShownKeyGroups<'a>>,
    streams: ShownStreams<'a>,
    compatibility: ShownCompatibility<'a>,
    lua: Vec<ShownScript<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<ShownSearch<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_networks: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_hostnames: Option<&'static str>,
}

#[derive(Serialize)]
struct ShownTls<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    insecure_skip_verify: bool,
    min_version: &'static str,
}

#[derive(Serialize)]
struct ShownCompatibility<'a> {
    config_command: &'a str,
    set_client_name: bool,
    empty_databases: bool,
    latency_commands: bool,
    rdb_file_size: bool,
    keys_at_replicas_only: bool,
    tile38: bool,
}

#[derive(Serialize)]
struct ShownPoll {
    ping_interval: String,
    info_interval: String,
    scan_interval: String,
    connect_interval: String,
    timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_after: Option<String>,
}

#[derive(Serialize)]
struct ShownScan {
    redis_share: f64,
    sample_keys: u64,
}

#[derive(Serialize)]
struct ShownExpect<'a> {
    maxmemory_policy: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    persistence: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownSessions<'a> {
    Auto(&'static str),
    Stores(Vec<ShownStore<'a>>),
}

/// A store with everything that its preset says written out, so that the preset fills in nothing when it is read back.
#[derive(Serialize)]
struct ShownStore<'a> {
    store: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    #[serde(rename = "match")]
    matches: &'a [String],
    exclude: &'a [String],
    id: &'a str,
    #[serde(rename = "type")]
    key_type: &'static str,
    ttl: &'static str,
    ttl_offset: String,
    index: &'a str,
    databases: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_ttl: Option<String>,
    count: &'static str,
    events: &'static str,
    sources: Vec<ShownSource<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption: Option<ShownEncryption<'a>>,
    app_label: bool,
}

#[derive(Serialize)]
struct ShownSource<'a> {
    source: &'a str,
    #[serde(rename = "match")]
    matches: &'a [String],
}

#[derive(Serialize)]
struct ShownEncryption<'a> {
    expect_prefix: &'a str,
}

#[derive(Serialize)]
struct ShownSessionProbe<'a> {
    enabled: bool,
    interval: String,
    prefix: &'a str,
}

#[derive(Serialize)]
struct ShownPattern<'a> {
    #[serde(rename = "match")]
    glob: &'a str,
    databases: &'a [u32],
}

#[derive(Serialize)]
struct ShownNamedKey<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<u32>,
    value: bool,
}

#[derive(Serialize)]
struct ShownClientList {
    port: bool,
    max_clients: usize,
}

#[derive(Serialize)]
struct ShownClientCounts {
    by_user: bool,
    by_name: bool,
}

#[derive(Serialize)]
struct ShownKeyGroups<'a> {
    patterns: &'a [String],
    max_groups: usize,
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    databases: &'a [u32],
}

#[derive(Serialize)]
struct ShownStreams<'a> {
    patterns: Vec<ShownPattern<'a>>,
    keys: Vec<ShownStreamKey<'a>>,
    consumers: bool,
}

#[derive(Serialize)]
struct ShownStreamKey<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<u32>,
}

#[derive(Serialize)]
struct ShownMetric<'a> {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    key: &'a str,
    db: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_values: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_label_values: Option<usize>,
    #[serde(skip_serializing_if = "<[f64]>::is_empty")]
    buckets: &'a [f64],
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'static str>,
}

#[derive(Serialize)]
struct ShownScript<'a> {
    file: String,
    name: &'a str,
    read_only: bool,
}

#[derive(Serialize)]
struct ShownSearch<'a> {
    indexes: &'a str,
}

fn shown_instance(instance: &InstanceConfig) -> ShownInstance<'_> {
    let (password, password_file) = match &instance.password {
        PasswordSource::None => (None, None),
        PasswordSource::Inline(_) => (Some(SECRET_PLACEHOLDER), None),
        PasswordSource::File(path) | PasswordSource::MapFile { path, .. } => (None, Some(path.display().to_string())),
    };
    ShownInstance {
        name: Some(&instance.name),
        address: instance.address.to_string(),
        username: instance.username.as_deref(),
        password,
        password_file,
        // Where no address asks for TLS the loader refuses the section.
        tls: instance.speaks_tls().then(|| shown_tls(&instance.tls)),
        environment: &instance.environment,
        labels: &instance.labels,
        poll: shown_poll(&instance.poll),
        scan: ShownScan {
            redis_share: instance.scan.redis_share,
            sample_keys: instance.scan.sample_keys,
        },
        expect: shown_expect(&instance.expect),
        collectors: &instance.collectors,
        sessions: match &instance.sessions {
            SessionsConfig::Auto => ShownSessions::Auto("auto"),
            SessionsConfig::Stores(stores) => ShownSessions::Stores(stores.iter().map(shown_store).collect()),
        },
        scan_from: instance.scan_from.iter().map(ToString::to_string).collect(),
        operations: match instance.operations {
            Operations::Auto => "auto",
            Operations::On => "on",
            Operations::Off => "off",
        },
        session_probe: ShownSessionProbe {
            enabled: instance.session_probe.enabled,
            interval: format_duration(instance.session_probe.interval),
            prefix: &instance.session_probe.prefix,
        },
        application_metrics: instance.application_metrics.iter().map(shown_metric).collect(),
        check_keys: shown_patterns(&instance.optional.keys.patterns),
        check_single_keys: instance.optional.keys.single.iter().map(shown_named_key).collect(),
        count_keys: shown_patterns(&instance.optional.keys.counted),
        client_list: ShownClientList {
            port: instance.optional.client_list.port,
            max_clients: instance.optional.client_list.max_clients,
        },
        client_counts: ShownClientCounts {
            by_user: instance.optional.client_counts.by_user,
            by_name: instance.optional.client_counts.by_name,
        },
        key_groups: instance.optional.key_groups.as_ref().map(|groups| ShownKeyGroups {
            patterns: &groups.patterns,
            max_groups: groups.max_groups,
            databases: &groups.databases,
        }),
        streams: shown_streams(&instance.optional.streams),
        compatibility: shown_compatibility(&instance.optional.compatibility),
        lua: instance
            .optional
            .lua
            .iter()
            .map(|script| ShownScript {
                file: script.file.display().to_string(),
                name: &script.name,
                read_only: script.read_only,
            })
            .collect(),
        search: instance.optional.search.indexes.as_ref().map(|indexes| ShownSearch {
            indexes: indexes.as_str(),
        }),
        allowed_networks: None,
        cluster_hostnames: None,
    }
}

fn shown_cluster(cluster: &ClusterConfig) -> ShownInstance<'_> {
    let networks = cluster.allowed_networks.as_ref();
    ShownInstance {
        name: cluster.is_named.then_some(&cluster.name),
        address: cluster.address(),
        allowed_networks: networks.map(|networks| networks.iter().map(ToString::to_string).collect()),
        cluster_hostnames: Some(match cluster.hostnames {
            Hostnames::Auto => "auto",
            Hostnames::On => "on",
            Hostnames::Off => "off",
        }),
        ..shown_instance(&cluster.template)
    }
}

fn shown_tls(tls: &TlsConfig) -> ShownTls<'_> {
    let shown = |path: &Path| path.display().to_string();
    let certificate = tls.client_certificate.as_ref();
    ShownTls {
        ca_file: tls.ca_file.as_deref().map(shown),
        cert_file: certificate.map(|certificate| shown(&certificate.cert_file)),
        key_file: certificate.map(|certificate| shown(&certificate.key_file)),
        server_name: tls.server_name.as_deref(),
        insecure_skip_verify: tls.insecure_skip_verify,
        min_version: tls.min_version.as_str(),
    }
}

fn shown_compatibility(compatibility: &Compatibility) -> ShownCompatibility<'_> {
    ShownCompatibility {
        config_command: compatibility.shown_config_command(),
        set_client_name: compatibility.set_client_name,
        empty_databases: compatibility.empty_databases,
        latency_commands: compatibility.latency_commands,
        rdb_file_size: compatibility.rdb_file_size,
        keys_at_replicas_only: compatibility.keys_at_replicas_only,
        tile38: compatibility.tile38,
    }
}

fn shown_poll(poll: &PollConfig) -> ShownPoll {
    let by_default = poll.ping_stale_after == poll.default_ping_stale_after()
        && poll.info_stale_after == poll.default_info_stale_after();
    ShownPoll {
        ping_interval: format_duration(poll.ping_interval),
        info_interval: format_duration(poll.info_interval),
        scan_interval: format_duration(poll.scan_interval),
        connect_interval: format_duration(poll.connect_interval),
        timeout: format_duration(poll.timeout),
        stale_after: (!by_default).then(|| format_duration(poll.info_stale_after)),
    }
}

fn shown_expect(expect: &Expectations) -> ShownExpect<'_> {
    ShownExpect {
        maxmemory_policy: &expect.maxmemory_policy,
        persistence: expect.persistence.map(Persistence::as_label),
    }
}

fn shown_store(store: &StoreConfig) -> ShownStore<'_> {
    ShownStore {
        store: &store.name,
        preset: store.preset,
        matches: &store.matches,
        exclude: &store.excludes,
        id: store.id.as_ref().map(IdPattern::as_str).unwrap_or_default(),
        key_type: store.key_type.map_or("any", KeyType::as_str),
        ttl: match store.ttl {
            TtlKind::Sliding => "sliding",
            TtlKind::Absolute => "absolute",
        },
        ttl_offset: format_duration(store.ttl_offset),
        index: store.index_key.as_deref().unwrap_or_default(),
        databases: &store.databases,
        capacity: store.capacity,
        expected_ttl: store.expected_ttl.map(format_duration),
        count: match store.count {
            CountMode::Auto => "auto",
            CountMode::Exact => "exact",
            CountMode::Sample => "sample",
        },
        events: match store.events {
            EventsMode::Auto => "auto",
            EventsMode::On => "on",
            EventsMode::Off => "off",
        },
        sources: store
            .sources
            .iter()
            .map(|rule| ShownSource {
                source: &rule.source,
                matches: &rule.matches,
            })
            .collect(),
        encryption: store.encryption.as_ref().map(|check| ShownEncryption {
            expect_prefix: &check.expect_prefix,
        }),
        app_label: store.app_label,
    }
}

fn shown_patterns(patterns: &[KeyPattern]) -> Vec<ShownPattern<'_>> {
    let shown = patterns.iter().map(|pattern| ShownPattern {
        glob: &pattern.glob,
        databases: &pattern.databases,
    });
    shown.collect()
}

fn shown_named_key(key: &NamedKey) -> ShownNamedKey<'_> {
    ShownNamedKey {
        key: &key.key,
        database: key.database,
        value: key.export_value,
    }
}

fn shown_streams(streams: &StreamsConfig) -> ShownStreams<'_> {
    let keys = streams.single.iter().map(|named| ShownStreamKey {
        key: &named.key,
        database: named.database,
    });
    ShownStreams {
        patterns: shown_patterns(&streams.patterns),
        keys: keys.collect(),
        consumers: streams.consumers,
    }
}

fn shown_metric(metric: &ApplicationMetricConfig) -> ShownMetric<'_> {
    let (read, field) = match &metric.read {
        ApplicationRead::Fields => (Some("fields"), None),
        ApplicationRead::Field(name) => (None, Some(name.as_str())),
        ApplicationRead::Text => (Some("text"), None),
        ApplicationRead::Length => (Some("length"), None),
        ApplicationRead::Auto => (Some("auto"), None),
    };
    // These belong to a label; without one the loader refuses them.
    let labelled = metric.label.is_some();
    // A metric that replaces ours has our help.
    let name = metric.descriptor.name;
    let is_ours = own_metrics::replaceable(name).is_some() && own_metrics::descriptor(name).is_some();
    ShownMetric {
        name,
        kind: metric.descriptor.kind.as_str(),
        key: &metric.key,
        db: metric.database,
        read,
        field,
        label: metric.label,
        label_values: labelled.then_some(metric.label_values.as_slice()),
        max_label_values: labelled.then_some(metric.max_label_values),
        buckets: &metric.buckets,
        help: (!is_ours).then_some(metric.descriptor.help),
    }
}
