//! What the flags of `redis_exporter` say about servers, as the layer `defaults` of a configuration, so that the ordinary resolve checks
//! and merges it. The table of all flags is `cli::peer`.

use super::cluster::{ClusterLayer, Hostnames};
use super::decode::{Decoder, unplaced};
use super::duration::{MIN_DURATION, format_duration};
use super::lua::MAX_SCRIPTS;
use super::lua_pattern::LuaPattern;
use super::optional::{
    ClientListConfig, CompatibilityLayer, KeyGroupsConfig, KeyPattern, LuaScript, NamedKey, OptionalLayer,
    SearchConfig, StreamsConfig,
};
use super::password_file::PasswordFileFailure;
use super::pattern::IdPattern;
use super::peer_limits;
use super::peer_text::{PeerKey, csv_fields, go_duration, peer_keys};
use super::peer_tls::PeerTls;
use super::resolve::DEFAULT_PING_INTERVAL;
use super::schema::{Layer, PollLayer};
use super::tls::TlsLayer;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The longest deadline that `--connection-timeout` may set. The peer's 15 s are longer than Prometheus waits for a scrape; with one
/// `ping_interval` and a deadline as long, a failure shows within the 10 s of an ordinary scrape.
pub const MAX_CONNECTION_TIMEOUT: Duration = DEFAULT_PING_INTERVAL;
/// Groups per database when `--max-distinct-key-groups` says nothing: the peer's own default.
const DEFAULT_KEY_GROUPS: usize = 100;
/// Upper bound of `--max-distinct-key-groups`: each group is two series.
const MAX_KEY_GROUPS: i64 = 10_000;
/// Longest name of a command; those of Redis have at most 20 letters.
const MAX_COMMAND_BYTES: usize = 128;
/// Longest `--check-search-indexes`.
const MAX_EXPRESSION_BYTES: usize = 4096;

/// A flag of `redis_exporter` that changes how servers are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each is named like its flag, and the table of flags says what it means"
)]
pub enum ServerFlag {
    CheckKeys,
    CheckSingleKeys,
    CheckKeyGroups,
    MaxDistinctKeyGroups,
    CheckStreams,
    CheckSingleStreams,
    StreamsExcludeConsumerMetrics,
    CountKeys,
    Script,
    LuaScriptReadOnly,
    ConfigCommand,
    ConnectionTimeout,
    SetClientName,
    IsTile38,
    IsCluster,
    ClusterDiscoverHostnames,
    ExportClientList,
    ExportClientPort,
    IncludeConfigMetrics,
    IncludeModulesMetrics,
    IncludeSearchIndexesMetrics,
    CheckSearchIndexes,
    IncludeSentinelPeerInfo,
    DisableExportingKeyValues,
    ExcludeLatencyHistogramMetrics,
    IncludeSystemMetrics,
    IncludeRdbFileSizeMetric,
    SkipCheckkeysForRoleMaster,
    IncludeMetricsForEmptyDatabases,
    TlsCaCertFile,
    TlsClientCertFile,
    TlsClientKeyFile,
    TlsServerName,
    SkipTlsVerification,
}

/// The value of a flag, read by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerValue {
    /// Of a boolean flag.
    Switch(bool),
    /// Of a flag that takes a whole number.
    Number(i64),
    /// Of any other flag.
    Text(String),
}

impl PeerValue {
    pub(super) fn is_on(&self) -> bool {
        *self == Self::Switch(true)
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Switch(_) | Self::Number(_) => "",
        }
    }
}

/// A flag or variable that has no say here, or another one, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// `--namespace`, `REDIS_EXPORTER_NAMESPACE`, ...
    pub origin: &'static str,
    /// Half a sentence, without any value.
    pub reason: String,
}

/// All remarks in one line for the log; `None` when there is nothing to say.
pub fn remarks_line(remarks: &[Remark]) -> Option<String> {
    if remarks.is_empty() {
        return None;
    }
    let each: Vec<String> = remarks
        .iter()
        .map(|remark| format!("{} ({})", remark.origin, remark.reason))
        .collect();
    Some(format!(
        "What was given for redis_exporter and has no say here, or another one: {}.",
        each.join("; ")
    ))
}

/// What was given about servers. Empty means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerServers {
    check_keys: Vec<PeerKey>,
    check_single_keys: Vec<PeerKey>,
    count_keys: Vec<PeerKey>,
    check_streams: Vec<PeerKey>,
    check_single_streams: Vec<PeerKey>,
    without_consumers: bool,
    key_groups: Vec<String>,
    max_key_groups: Option<usize>,
    script: Option<(&'static str, Vec<String>)>,
    script_read_only: bool,
    timeout: Option<(&'static str, Duration)>,
    search_indexes: Option<IdPattern>,
    without_key_values: bool,
    client_port: bool,
    collectors: BTreeMap<&'static str, bool>,
    compatibility: CompatibilityLayer,
    cluster: bool,
    cluster_hostnames: bool,
    tls: PeerTls,
    remarks: Vec<Remark>,
}

impl PeerServers {
    /// Takes one flag up.
    ///
    /// # Errors
    /// What is wrong with the value and what to write instead, to stand behind the name of the flag. The value is no part of it.
    pub fn set(&mut self, flag: ServerFlag, origin: &'static str, value: &PeerValue) -> Result<(), String> {
        let on = value.is_on();
        let compatibility = &mut self.compatibility;
        match flag {
            ServerFlag::CheckKeys => self.check_keys = self.keys(origin, value)?,
            ServerFlag::CheckSingleKeys => self.check_single_keys = self.keys(origin, value)?,
            ServerFlag::CountKeys => self.count_keys = self.keys(origin, value)?,
            ServerFlag::CheckStreams => self.check_streams = self.keys(origin, value)?,
            ServerFlag::CheckSingleStreams => self.check_single_streams = self.keys(origin, value)?,
            ServerFlag::StreamsExcludeConsumerMetrics => self.without_consumers = on,
            ServerFlag::CheckKeyGroups => {
                let fields = csv_fields(value.text()).map_err(|error| error.to_string())?;
                // redis_exporter leaves spaces around a pattern out; Lua would take them for part of it.
                let fields: Vec<String> = fields.iter().map(|field| field.trim().to_owned()).collect();
                for (index, pattern) in fields.iter().enumerate() {
                    let wrong = |error| format!("pattern {} of the list {error}", index + 1);
                    LuaPattern::new(pattern.as_bytes()).map_err(wrong)?;
                }
                self.key_groups = self.group_patterns(origin, fields);
            }
            ServerFlag::MaxDistinctKeyGroups => self.max_key_groups = Some(key_group_limit(value)?),
            ServerFlag::Script => {
                let files = value.text().split(',').filter(|file| !file.is_empty());
                let mut files: Vec<String> = files.map(str::to_owned).collect();
                files.dedup();
                if files.len() > MAX_SCRIPTS {
                    return Err(format!("names more than {MAX_SCRIPTS} scripts; join some of them"));
                }
                self.script = (!files.is_empty()).then_some((origin, files));
            }
            ServerFlag::LuaScriptReadOnly => self.script_read_only = on,
            // `-` is the word of both exporters for "do not ask".
            ServerFlag::ConfigCommand => compatibility.config_command = Some(command_name(value.text())?),
            ServerFlag::ConnectionTimeout => {
                let timeout = go_duration(value.text()).map_err(|error| error.to_string())?;
                self.timeout = Some((origin, timeout));
            }
            ServerFlag::CheckSearchIndexes => self.search_indexes = expression(value.text())?,
            ServerFlag::DisableExportingKeyValues => self.without_key_values = on,
            ServerFlag::IsCluster => self.cluster = on,
            ServerFlag::ClusterDiscoverHostnames => self.cluster_hostnames = on,
            ServerFlag::ExportClientPort => self.client_port = on,
            ServerFlag::ExportClientList => self.switch("client_list", on),
            ServerFlag::IncludeConfigMetrics => self.switch("config_all", on),
            ServerFlag::IncludeModulesMetrics => self.switch("modules", on),
            ServerFlag::IncludeSearchIndexesMetrics => self.switch("search", on),
            ServerFlag::IncludeSentinelPeerInfo => self.switch("sentinel_peers", on),
            ServerFlag::IncludeSystemMetrics => self.switch("system", on),
            ServerFlag::SetClientName => compatibility.set_client_name = Some(on),
            ServerFlag::IsTile38 => compatibility.tile38 = Some(on),
            ServerFlag::ExcludeLatencyHistogramMetrics => compatibility.latency_commands = Some(!on),
            ServerFlag::IncludeRdbFileSizeMetric => compatibility.rdb_file_size = Some(on),
            ServerFlag::SkipCheckkeysForRoleMaster => compatibility.keys_at_replicas_only = Some(on),
            ServerFlag::IncludeMetricsForEmptyDatabases => compatibility.empty_databases = Some(on),
            ServerFlag::TlsCaCertFile
            | ServerFlag::TlsClientCertFile
            | ServerFlag::TlsClientKeyFile
            | ServerFlag::TlsServerName
            | ServerFlag::SkipTlsVerification => self.tls.set(flag, origin, value)?,
        }
        Ok(())
    }

    fn keys(&mut self, origin: &'static str, value: &PeerValue) -> Result<Vec<PeerKey>, String> {
        let (keys, without_key) = peer_keys(value.text()).map_err(|error| error.to_string())?;
        if without_key > 0 {
            let reason = format!("{without_key} of its items name no key and are left out");
            self.remarks.push(Remark { origin, reason });
        }
        Ok(keys)
    }

    /// The patterns of a list, each once: a repeated one is never reached. An empty one is what a comma at the end leaves behind.
    fn group_patterns(&mut self, origin: &'static str, fields: Vec<String>) -> Vec<String> {
        let given = fields.len();
        let mut patterns: Vec<String> = Vec::new();
        for field in fields {
            if !field.is_empty() && !patterns.contains(&field) {
                patterns.push(field);
            }
        }
        let left_out = given - patterns.len();
        if left_out > 0 {
            let reason = format!("{left_out} of its patterns are empty or repeated and are left out");
            self.remarks.push(Remark { origin, reason });
        }
        patterns
    }

    /// A switch that is off may also have been written; it changes nothing then.
    fn switch(&mut self, collector: &'static str, on: bool) {
        if on {
            self.collectors.insert(collector, true);
        }
    }

    /// Whether each address is that of a Redis Cluster.
    pub(super) fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// The section `tls` of [`PeerServers::layer`], which depends on whether an address asks for TLS.
    pub(super) fn tls_layer(&self, decoder: &mut Decoder<'_>, is_spoken: bool, remarks: &mut Vec<Remark>) -> TlsLayer {
        self.tls.layer(decoder, is_spoken, remarks)
    }

    /// A sentence for the log when a flag keeps these instances from being verified.
    pub(super) fn unverified_warning(&self, names: &[&str]) -> Option<String> {
        self.tls.unverified_warning(names)
    }

    /// What was given, as `defaults` of a configuration, but for `tls`. What has another say here than there is added to `remarks`, and what deserves
    /// a line of its own to `warnings`.
    pub(super) fn layer(
        &self,
        decoder: &mut Decoder<'_>,
        remarks: &mut Vec<Remark>,
        warnings: &mut Vec<String>,
    ) -> Layer {
        remarks.extend(self.remarks.iter().cloned());
        let timeout = self.timeout.map(|(origin, timeout)| {
            let bounded = bounded_timeout(timeout);
            if bounded < timeout || timeout.is_zero() {
                let reason = format!(
                    "a failure must show within one ping_interval and one timeout, so it is {} here; write poll.timeout into exporter.yaml for more",
                    format_duration(bounded)
                );
                remarks.push(Remark { origin, reason });
            }
            bounded
        });
        if let (Some((origin, _)), false) = (&self.script, self.script_read_only) {
            let reason = "scripts run read-only here: one that writes fails".to_owned();
            remarks.push(Remark { origin, reason });
        }
        let single = self.single_keys();
        let shown = single.iter().filter(|key| key.export_value).count();
        if shown > 0 {
            warnings.push(format!(
                "The values of {shown} keys that --check-single-keys or --check-keys name in full are exported as redis_key_value and redis_key_value_as_string, as redis_exporter does: whoever reads /metrics reads them. --disable-exporting-key-values keeps them in."
            ));
        }
        let mut collectors = self.collectors.clone();
        if self.search_indexes.is_some() {
            // There the pattern alone switches nothing on.
            collectors.entry("search").or_insert(false);
        }
        let optional = OptionalLayer {
            check_keys: some(patterns(self.check_keys.iter().filter(|key| key.is_glob()))),
            check_single_keys: some(single),
            count_keys: some(patterns(self.count_keys.iter())),
            key_groups: self.groups(),
            streams: self.streams(),
            lua: self.scripts(decoder),
            client_counts: None,
            client_list: self.client_port.then_some(ClientListConfig {
                port: true,
                ..ClientListConfig::default()
            }),
            search: self
                .search_indexes
                .clone()
                .map(|indexes| SearchConfig { indexes: Some(indexes) }),
            compatibility: self.compatibility.clone(),
        };
        peer_limits::check(decoder, &optional);
        Layer {
            poll: PollLayer {
                timeout,
                ..PollLayer::default()
            },
            collectors,
            optional,
            cluster: ClusterLayer {
                hostnames: self.cluster_hostnames.then(|| unplaced(Hostnames::On)),
                ..ClusterLayer::default()
            },
            ..Layer::default()
        }
    }

    /// Keys named in full, of both flags: also of `--check-keys` redis_exporter asks for those directly.
    fn single_keys(&self) -> Vec<NamedKey> {
        let literal = self.check_keys.iter().filter(|key| !key.is_glob());
        named(self.check_single_keys.iter().chain(literal), !self.without_key_values)
    }

    fn groups(&self) -> Option<KeyGroupsConfig> {
        some(self.key_groups.clone()).map(|patterns| KeyGroupsConfig {
            patterns,
            max_groups: self.max_key_groups.unwrap_or(DEFAULT_KEY_GROUPS),
            databases: Vec::new(),
        })
    }

    fn streams(&self) -> Option<StreamsConfig> {
        let literal = self.check_streams.iter().filter(|key| !key.is_glob());
        let single = named(self.check_single_streams.iter().chain(literal), false);
        let streams = StreamsConfig {
            patterns: patterns(self.check_streams.iter().filter(|key| key.is_glob())),
            single,
            consumers: !self.without_consumers,
        };
        (!streams.is_empty()).then_some(streams)
    }

    fn scripts(&self, decoder: &mut Decoder<'_>) -> Option<Arc<[LuaScript]>> {
        let (origin, files) = self.script.as_ref()?;
        decoder.problems.set_origin(origin);
        let mut scripts: Vec<LuaScript> = Vec::new();
        for written in files {
            if let Err(failure) = readable(Path::new(written)) {
                let sentence = match failure {
                    PasswordFileFailure::NotAFile => {
                        format!(
                            "{written} is not a regular file; name files that each hold one Lua script, with commas between them"
                        )
                    }
                    _ => failure.sentence(written, false),
                };
                decoder.problems.add(None, "", sentence);
                continue;
            }
            // The label `filename` is the path as it was written, as there.
            let name = written.clone();
            let file = std::path::absolute(written).unwrap_or_else(|_| Path::new(written).to_owned());
            if !scripts.iter().any(|script| script.name == name) {
                scripts.push(LuaScript {
                    file,
                    name,
                    read_only: true,
                });
            }
        }
        some(scripts).map(Arc::from)
    }
}

/// A script that cannot be opened is known at the start, as there.
fn readable(path: &Path) -> Result<(), PasswordFileFailure> {
    super::password_file::opened(path).map(|_| ())
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The deadline that is used for what was asked for. 0 is "none at all" to the peer.
fn bounded_timeout(asked: Duration) -> Duration {
    if asked.is_zero() {
        return MAX_CONNECTION_TIMEOUT;
    }
    // Whole milliseconds, as the file writes them.
    let milliseconds = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds).clamp(MIN_DURATION, MAX_CONNECTION_TIMEOUT)
}

fn key_group_limit(value: &PeerValue) -> Result<usize, String> {
    let fits = match value {
        PeerValue::Number(number) if (0..=MAX_KEY_GROUPS).contains(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    fits.ok_or_else(|| format!("must be a whole number from 0 to {MAX_KEY_GROUPS}"))
}

fn command_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= MAX_COMMAND_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a command without spaces, or `-` for none".to_owned())
    }
}

/// An empty expression matches every name, as none at all does.
fn expression(text: &str) -> Result<Option<IdPattern>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.chars().any(char::is_control) {
        return Err("contains a line break or another control character; remove it".to_owned());
    }
    if text.len() > MAX_EXPRESSION_BYTES {
        return Err(format!("is longer than {MAX_EXPRESSION_BYTES} bytes; shorten it"));
    }
    IdPattern::new(text).map(Some)
}

/// Patterns with the databases of each, in the order in which they were first named.
fn patterns<'k>(keys: impl Iterator<Item = &'k PeerKey>) -> Vec<KeyPattern> {
    let mut patterns: Vec<KeyPattern> = Vec::new();
    for key in keys {
        match patterns.iter_mut().find(|pattern| pattern.glob == key.text) {
            Some(known) if known.databases.contains(&key.database) => {}
            Some(known) => known.databases.push(key.database),
            None => patterns.push(KeyPattern {
                glob: key.text.clone(),
                databases: vec![key.database],
            }),
        }
    }
    patterns
}

/// Each key once.
fn named<'k>(keys: impl Iterator<Item = &'k PeerKey>, export_value: bool) -> Vec<NamedKey> {
    let mut named: Vec<NamedKey> = Vec::new();
    for key in keys {
        let new = NamedKey {
            key: key.text.clone(),
            database: Some(key.database),
            export_value,
        };
        if !named.contains(&new) {
            named.push(new);
        }
    }
    named
}

/// The address of a Redis Cluster in place of that of one node of it: `redis-cluster://`, or `rediss-cluster://` where TLS was asked for.
/// Sockets and addresses that name their form already stay as they are.
pub(super) fn cluster_address(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => format!("redis-cluster://{rest}"),
            "rediss" | "valkeys" => format!("rediss-cluster://{rest}"),
            _ => address.to_owned(),
        },
        None if address.starts_with('/') => address.to_owned(),
        None => format!("redis-cluster://{address}"),
    }
}

#[cfg(test)]
#[path = "peer_flags_tests.rs"]
mod tests;
