//! The running configuration as YAML, for `/config`. Every secret is shown as `<secret>`; all else reads back as it runs.

use super::duration::format_duration;
use super::types::{PasswordSource, SECRET_PLACEHOLDER};
use super::{Expectations, Persistence};
use super::{InstanceConfig, PollConfig, StoreConfig, ValidatedConfig};
use serde::Serialize;
use std::collections::BTreeMap;

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
        },
        instances: config
            .instances
            .iter()
            .map(|instance| shown_instance(instance))
            .collect(),
    };
    match serde_yaml::to_string(&shown) {
        Ok(text) => format!("{HEADER}{text}"),
        Err(_) => "# The configuration cannot be written as YAML.\n".to_owned(),
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
}

#[derive(Serialize)]
struct ShownInstance<'a> {
    name: &'a str,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<String>,
    environment: &'a str,
    labels: &'a BTreeMap<String, String>,
    poll: ShownPoll,
    scan: ShownScan,
    expect: ShownExpect<'a>,
    collectors: &'a BTreeMap<&'static str, bool>,
    sessions: Vec<ShownStore<'a>>,
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
}

#[derive(Serialize)]
struct ShownExpect<'a> {
    maxmemory_policy: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    persistence: Option<&'static str>,
}

#[derive(Serialize)]
struct ShownStore<'a> {
    store: &'a str,
    #[serde(rename = "match")]
    matches: &'a [String],
    exclude: &'a [String],
    databases: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_ttl: Option<String>,
}

fn shown_instance(instance: &InstanceConfig) -> ShownInstance<'_> {
    let (password, password_file) = match &instance.password {
        PasswordSource::None => (None, None),
        PasswordSource::Inline(_) => (Some(SECRET_PLACEHOLDER), None),
        PasswordSource::File(path) => (None, Some(path.display().to_string())),
    };
    ShownInstance {
        name: &instance.name,
        address: instance.address.to_string(),
        username: instance.username.as_deref(),
        password,
        password_file,
        environment: &instance.environment,
        labels: &instance.labels,
        poll: shown_poll(&instance.poll),
        scan: ShownScan {
            redis_share: instance.scan.redis_share,
        },
        expect: shown_expect(&instance.expect),
        collectors: &instance.collectors,
        sessions: instance.sessions.configured().iter().map(shown_store).collect(),
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
        persistence: expect.persistence.map(|persistence| match persistence {
            Persistence::None => "none",
            Persistence::Rdb => "rdb",
            Persistence::Aof => "aof",
        }),
    }
}

fn shown_store(store: &StoreConfig) -> ShownStore<'_> {
    ShownStore {
        store: &store.name,
        matches: &store.matches,
        exclude: &store.excludes,
        databases: &store.databases,
        capacity: store.capacity,
        expected_ttl: store.expected_ttl.map(format_duration),
    }
}
