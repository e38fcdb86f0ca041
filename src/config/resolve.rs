//! Merges the levels of a draft (instance over `defaults` over top over built-in), checks what only shows when values stand
//! side by side, and makes the [`ValidatedConfig`].

use super::Expectations;
use super::address::{ParsedAddress, parse_address};
use super::application_metrics::{MetricDraft, Shapes};
use super::cluster::{ClusterConfig, shown_address};
use super::decode::{Decoder, Located};
use super::duration::format_duration;
use super::freshness::DEADLINES_PER_POLL;
use super::globs::literal_prefix;
use super::key_patterns::{weight_of_named_keys, weight_of_patterns};
use super::names::known_collectors;
use super::optional::{self, KeyGroupsConfig, KeyPattern, NamedKey, Optional, OptionalLayer};
use super::password_map::PasswordDraft;
use super::presets;
use super::problem::Place;
use super::schema::{ConfigDraft, InstanceDraft, Layer, LimitsDraft, PollLayer};
use super::tls::{resolve_tls, warn_of_unverified};
use super::types::{Address, Endpoint, PasswordSource};
use super::{InstanceConfig, Limits, PollConfig, ScanConfig, SessionProbeConfig, SessionsConfig, ValidatedConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// `environment` when nobody names one.
pub const DEFAULT_ENVIRONMENT: &str = "default";
/// Address when nobody names one: where `redis-server` listens without a configuration.
pub const DEFAULT_ADDRESS: &str = "redis://127.0.0.1:6379";
/// `poll.ping_interval`: half of the 10 s that people scrape at most often, so that no scrape sees an old verdict.
pub const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(5);
/// `poll.info_interval`: the usual scrape interval.
pub const DEFAULT_INFO_INTERVAL: Duration = Duration::from_secs(15);
/// `poll.scan_interval`: session counts move slowly compared with a pass over all keys.
pub const DEFAULT_SCAN_INTERVAL: Duration = Duration::from_secs(60);
/// `poll.connect_interval`: often enough to see a refusing listener within a minute, rare enough to cost nothing.
pub const DEFAULT_CONNECT_INTERVAL: Duration = Duration::from_secs(30);
/// `poll.timeout`: shorter than the ping interval, so that a hung server costs one ping and not two.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);
/// `scan.redis_share`: at two percent of the server's time no other client notices a scan.
pub const DEFAULT_REDIS_SHARE: f64 = 0.02;
/// `limits.label_values`: far more latency events, replicas, primaries or scripting engines than a healthy server has, and as many
/// lines as a panel can show. `cmd`, `db`, `thread` and `err` have larger limits of their own (`collectors::admission`), since
/// dashboards made for `redis_exporter` count on all of their values.
pub const DEFAULT_LABEL_VALUES: usize = 50;
/// `limits.http_connections`: a few Prometheus servers, health checks and people together hold a dozen; each connection may
/// hold a few tens of KiB.
pub const DEFAULT_HTTP_CONNECTIONS: usize = 256;
/// `limits.scan_remembered_keys`: at about 16 bytes each 16 MB per store while a pass runs.
pub const DEFAULT_SCAN_REMEMBERED_KEYS: usize = 1_000_000;
/// `limits.scan_detail_keys`: the rank of a quantile read from 2,500 random sessions is off by less than 2 % of the whole 19 times
/// in 20, and asking for their TTL, type and size takes the server about 10 ms.
pub const DEFAULT_SCAN_DETAIL_KEYS: usize = 2_500;
/// `scan.sample_keys`: a store with a third of the keys is counted to 2 % then, for 20 ms of the server's time.
pub const DEFAULT_SAMPLE_KEYS: u64 = 20_000;
/// `limits.checked_keys`: twenty thousand series, 2 MB of a scrape, and half a second of a server's time in a pass. Whoever checks keys
/// by a pattern mostly means some hundreds.
pub const DEFAULT_CHECKED_KEYS: usize = 10_000;
/// `session_probe.interval`: as often as INFO.
pub const DEFAULT_PROBE_INTERVAL: Duration = Duration::from_secs(15);
/// `session_probe.prefix`: a name that no application uses.
pub const DEFAULT_PROBE_PREFIX: &str = "redis-session-exporter:probe:";

/// Most memory that the stores and application metrics of all instances together may take, in bytes, as far as it is text. What stands
/// once under `defaults` is merged into every instance: without a bound a file of 1 MiB could ask for gigabytes. Five hundred instances
/// with twenty metrics each take 3 MB.
const MAX_MERGED_BYTES: usize = 128 * 1024 * 1024;

/// Most instances of one process, nodes of clusters included: ten times the five hundred that the product promises to watch.
pub const MAX_INSTANCES: usize = 5_000;

/// Most nodes of one cluster that are watched: the size up to which Redis Cluster is made to work (Redis' cluster specification,
/// "Redis Cluster goals"). Each node costs what a configured instance costs.
pub const MAX_CLUSTER_NODES: usize = 1_000;

/// The label that carries a cluster's name.
pub const CLUSTER_LABEL: &str = "cluster";

/// Makes the configuration, or notes why it cannot.
pub(super) fn resolve(decoder: &mut Decoder<'_>, draft: ConfigDraft) -> Option<ValidatedConfig> {
    let ConfigDraft {
        top,
        limits,
        defaults,
        instances,
    } = draft;
    let limits = resolve_limits(&limits);
    let instances = match instances {
        Some(instances) => instances,
        None => vec![default_instance()?],
    };
    let mut resolved = Vec::with_capacity(instances.len());
    let mut first_places: BTreeMap<String, Option<Place>> = BTreeMap::new();
    let mut shapes = Shapes::new();
    let mut merged_bytes = 0;
    for draft in &instances {
        let layers = [&draft.layer, &defaults, &top];
        let seeds = draft
            .address
            .as_ref()
            .and_then(|address| address.value.cluster.as_deref());
        let copies = if seeds.is_some() { MAX_CLUSTER_NODES } else { 1 };
        merged_bytes += merged_weight(layers).saturating_mul(copies);
        if merged_bytes > MAX_MERGED_BYTES {
            let message = "stands behind instances whose `sessions` and `application_metrics` take more than 128 MiB together; shorten those of `defaults`, or split the instances over several exporters";
            decoder.problems.add(draft.place, &draft.path, message);
            break;
        }
        let mut instance = resolve_instance(decoder, draft, layers, &limits);
        match (seeds, &mut instance) {
            (Some(seeds), Some(template)) => make_template(decoder, draft, seeds, template),
            (None, Some(_)) => refuse_cluster_keys(decoder, &draft.layer),
            (_, None) => {}
        }
        if let Some(instance) = &instance {
            shapes.check(decoder, metrics_of(layers), &instance.labels, &draft.path);
        }
        // A written name counts also where something else of the instance is wrong, so that one run reports everything.
        let written = draft.name.as_ref().map(|name| name.value.clone());
        let Some(name) = written.or_else(|| instance.as_ref().map(|instance| instance.name.clone())) else {
            continue;
        };
        let (place, path) = match &draft.name {
            Some(name) => (name.place, name.path.as_str()),
            None => (draft.place, draft.path.as_str()),
        };
        if let Some(first) = first_places.get(&name) {
            let first = first.map_or_else(String::new, |first| {
                format!(" as the one at line {}, column {}", first.line, first.column)
            });
            let message =
                format!("has the same name{first} (without `name` it is host:port); give each instance its own `name`");
            decoder.problems.add(place, path, message);
            continue;
        }
        first_places.insert(name, place);
        resolved.extend(instance.map(|instance| (instance, draft)));
    }
    let unverified = resolved
        .iter()
        .filter(|(instance, _)| instance.tls.insecure_skip_verify)
        .map(|(instance, draft)| (instance.name.as_str(), [&draft.layer.tls, &defaults.tls, &top.tls]));
    warn_of_unverified(decoder, unverified);
    // Metrics are kept for the life of the process, so a file that is refused makes none.
    let is_right = decoder.problems.is_empty();
    let (mut instances, mut clusters) = (Vec::with_capacity(resolved.len()), Vec::new());
    for (mut instance, draft) in resolved {
        let layers = [&draft.layer, &defaults, &top];
        if is_right {
            instance.application_metrics = shapes.define(decoder, metrics_of(layers), instance.address.database);
        }
        match draft.address.as_ref().and_then(|address| address.value.cluster.clone()) {
            None => instances.push(Arc::new(instance)),
            Some(seeds) => clusters.push(Arc::new(resolve_cluster(draft, layers, seeds, instance))),
        }
    }
    Some(ValidatedConfig {
        instances,
        clusters,
        limits,
    })
}

/// Makes an instance the template of a cluster's nodes: it takes the cluster's name as a label, unless it has one of its own there.
fn make_template(decoder: &mut Decoder<'_>, draft: &InstanceDraft, seeds: &[Endpoint], template: &mut InstanceConfig) {
    if let Some(first) = draft.layer.scan_from.as_deref().and_then(<[_]>::first) {
        let message = "stands beside the address of a cluster, each node of which holds other keys; remove `scan_from`";
        decoder.problems.add(first.place, &first.path, message);
    }
    // What `defaults` says for single servers cannot hold for the nodes.
    template.scan_from.clear();
    match &draft.name {
        Some(name) => {
            let label = template.labels.entry(CLUSTER_LABEL.to_owned());
            label.or_insert_with(|| name.value.clone());
        }
        None => template.name = shown_address(seeds, &template.address),
    }
}

/// What only means something for clusters, beside the address of one server.
fn refuse_cluster_keys(decoder: &mut Decoder<'_>, own: &Layer) {
    let networks = own.cluster.allowed_networks.as_ref().map(|it| (it.place, &it.path));
    let hostnames = own.cluster.hostnames.as_ref().map(|it| (it.place, &it.path));
    for (place, path) in networks.into_iter().chain(hostnames) {
        let message = "is about nodes that servers announce, and this is the address of one server; remove it, or write the address as `redis-cluster://`";
        decoder.problems.add(place, path, message);
    }
}

fn resolve_cluster(
    draft: &InstanceDraft,
    layers: [&Layer; 3],
    seeds: Vec<Endpoint>,
    template: InstanceConfig,
) -> ClusterConfig {
    let layers = layers.map(|layer| &layer.cluster);
    let networks = layers.iter().find_map(|layer| layer.allowed_networks.as_ref());
    let hostnames = layers.iter().find_map(|layer| layer.hostnames.as_ref());
    ClusterConfig {
        name: template.name.clone(),
        is_named: draft.name.is_some(),
        seeds,
        hostnames: hostnames.map(|located| located.value).unwrap_or_default(),
        allowed_networks: networks.map(|located| located.value.clone()),
        template: Arc::new(template),
    }
}

fn default_instance() -> Option<InstanceDraft> {
    let parsed = parse_address(DEFAULT_ADDRESS).ok()?;
    Some(InstanceDraft {
        place: None,
        path: String::new(),
        name: None,
        address: Some(Located {
            value: parsed,
            place: None,
            path: String::new(),
        }),
        layer: Layer::default(),
    })
}

fn resolve_limits(draft: &LimitsDraft) -> Limits {
    Limits {
        http_connections: draft.http_connections.unwrap_or(DEFAULT_HTTP_CONNECTIONS),
        label_values: draft.label_values.unwrap_or(DEFAULT_LABEL_VALUES),
        scan_remembered_keys: draft.scan_remembered_keys.unwrap_or(DEFAULT_SCAN_REMEMBERED_KEYS),
        scan_detail_keys: draft.scan_detail_keys.unwrap_or(DEFAULT_SCAN_DETAIL_KEYS),
        checked_keys: draft.checked_keys.unwrap_or(DEFAULT_CHECKED_KEYS),
    }
}

/// The metrics of the application: the nearest list, whole.
fn metrics_of(layers: [&Layer; 3]) -> &[MetricDraft] {
    layers
        .into_iter()
        .find_map(|layer| layer.application_metrics.as_deref())
        .unwrap_or_default()
}

/// What the lists of an instance take in memory, in bytes.
fn merged_weight(layers: [&Layer; 3]) -> usize {
    let stores = layers.iter().find_map(|layer| layer.sessions.as_ref());
    let stores = stores.map(SessionsConfig::configured).unwrap_or_default();
    let globs = |globs: &[String]| -> usize { globs.iter().map(|glob| glob.len() + size_of::<String>()).sum() };
    let stores: usize = stores
        .iter()
        .map(|store| {
            let sources = store
                .sources
                .iter()
                .map(|rule| rule.source.len() + globs(&rule.matches));
            size_of_val(store) + globs(&store.matches) + globs(&store.excludes) + sources.sum::<usize>()
        })
        .sum();
    let metrics: usize = metrics_of(layers).iter().map(MetricDraft::weight).sum();
    stores + metrics + weight_of_keys(layers.map(|layer| &layer.optional))
}

/// The same of the lists of keys that optional collectors look at.
fn weight_of_keys(layers: [&OptionalLayer; 3]) -> usize {
    let patterns = |read: fn(&OptionalLayer) -> Option<&[KeyPattern]>| {
        let nearest = layers.into_iter().find_map(read);
        nearest.map(weight_of_patterns).unwrap_or_default()
    };
    let named = |read: fn(&OptionalLayer) -> Option<&[NamedKey]>| {
        let nearest = layers.into_iter().find_map(read);
        nearest.map(weight_of_named_keys).unwrap_or_default()
    };
    let groups = layers.into_iter().find_map(|layer| layer.key_groups.as_ref());
    let of_groups = |groups: &KeyGroupsConfig| {
        let texts: usize = groups
            .patterns
            .iter()
            .map(|pattern| pattern.len() + size_of::<String>())
            .sum();
        texts + size_of_val(&*groups.databases)
    };
    patterns(|layer| layer.check_keys.as_deref())
        + groups.map(of_groups).unwrap_or_default()
        + patterns(|layer| layer.count_keys.as_deref())
        + named(|layer| layer.check_single_keys.as_deref())
        + patterns(|layer| layer.streams.as_ref().map(|streams| &*streams.patterns))
        + named(|layer| layer.streams.as_ref().map(|streams| &*streams.single))
}

/// `layers` from the nearest to the farthest: instance, `defaults`, top.
fn resolve_instance(
    decoder: &mut Decoder<'_>,
    draft: &InstanceDraft,
    layers: [&Layer; 3],
    limits: &Limits,
) -> Option<InstanceConfig> {
    let poll = resolve_poll(decoder, layers.map(|layer| &layer.poll));
    // The address was missing or wrong, which is a problem already.
    let located_address = draft.address.as_ref()?;
    let (username, password) = resolve_credentials(decoder, layers, located_address);
    let address = located_address.value.address.clone();
    let scan_from = resolve_scan_from(decoder, layers, &address);
    let tls = resolve_tls(decoder, layers.map(|layer| &layer.tls), located_address, &scan_from);
    let sessions = resolve_sessions(layers, address.database);
    let session_probe = resolve_session_probe(decoder, layers, &sessions);
    let [own, defaults, top] = layers;
    let mut labels = defaults.labels.clone();
    labels.extend(own.labels.clone());
    let optional = optional::resolve(layers.map(|layer| &layer.optional), address.database);
    warn_of_idle(decoder, draft, layers, &optional);
    let collectors = known_collectors()
        .into_iter()
        .map(|(name, default_on)| {
            let written = layers.iter().find_map(|layer| layer.collectors.get(name).copied());
            (name, written.unwrap_or(default_on || optional.switches_on(name)))
        })
        .collect();
    let environment = [own, defaults, top]
        .into_iter()
        .find_map(|layer| layer.environment.clone());
    Some(InstanceConfig {
        name: match &draft.name {
            Some(name) => name.value.clone(),
            None => address.default_name(),
        },
        environment: environment.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
        labels,
        username,
        password,
        tls,
        poll,
        scan: ScanConfig {
            redis_share: layers
                .iter()
                .find_map(|layer| layer.redis_share)
                .unwrap_or(DEFAULT_REDIS_SHARE),
            sample_keys: layers
                .iter()
                .find_map(|layer| layer.sample_keys)
                .unwrap_or(DEFAULT_SAMPLE_KEYS),
        },
        collectors,
        expect: Expectations {
            maxmemory_policy: layers
                .iter()
                .find_map(|layer| layer.maxmemory_policy.clone())
                .unwrap_or_default(),
            persistence: layers.iter().find_map(|layer| layer.persistence),
        },
        sessions,
        scan_from,
        operations: layers.iter().find_map(|layer| layer.operations).unwrap_or_default(),
        session_probe,
        // Filled in when the whole configuration is known to be right.
        application_metrics: Vec::new(),
        optional,
        label_values: limits.label_values,
        scan_remembered_keys: limits.scan_remembered_keys,
        scan_detail_keys: limits.scan_detail_keys,
        checked_keys: limits.checked_keys,
        address,
        discovered: None,
    })
}

/// Warns of collectors that are switched on and have nothing to do. What a level above the instance says is warned of once, whichever
/// instances it is said for.
fn warn_of_idle(decoder: &mut Decoder<'_>, draft: &InstanceDraft, layers: [&Layer; 3], optional: &Optional) {
    for (name, _) in known_collectors() {
        let level = layers.iter().position(|layer| layer.collectors.contains_key(name));
        let is_on = layers.iter().find_map(|layer| layer.collectors.get(name).copied());
        let (Some(level), Some(true), Some(section)) = (level, is_on, optional.idle_without(name)) else {
            continue;
        };
        let (place, path) = match level {
            0 if draft.path.is_empty() => (draft.place, format!("collectors.{name}")),
            0 => (draft.place, format!("{}.collectors.{name}", draft.path)),
            1 => (None, format!("defaults.collectors.{name}")),
            _ => (None, format!("collectors.{name}")),
        };
        let message =
            format!("is on, and does nothing where nothing is named for it; write `{section}` beside `collectors`");
        decoder.problems.warn(place, &path, message);
    }
}

/// The nearest `sessions`, whole. A store without databases lives in the address's own.
fn resolve_sessions(layers: [&Layer; 3], database: u32) -> SessionsConfig {
    let nearest = layers.iter().find_map(|layer| layer.sessions.clone());
    match nearest.unwrap_or(SessionsConfig::Auto) {
        SessionsConfig::Auto => SessionsConfig::Auto,
        SessionsConfig::Stores(mut stores) => {
            for store in stores.iter_mut().filter(|store| store.databases.is_empty()) {
                store.databases.push(database);
            }
            SessionsConfig::Stores(stores)
        }
    }
}

fn resolve_scan_from(decoder: &mut Decoder<'_>, layers: [&Layer; 3], address: &Address) -> Vec<Address> {
    let nearest = layers.iter().find_map(|layer| layer.scan_from.as_deref());
    let mut addresses = Vec::new();
    for located in nearest.unwrap_or_default() {
        if located.value.endpoint == address.endpoint {
            let message = "is the address of the instance itself; name its replicas, or remove it";
            decoder.problems.add(located.place, &located.path, message);
        } else {
            if address.tls && !located.value.tls && matches!(located.value.endpoint, Endpoint::Tcp { .. }) {
                decoder.problems.warn(
                    located.place,
                    &located.path,
                    "is spoken to without TLS, and the instance itself with it: the password and everything else travel to the replica in the clear; write it as `rediss://`",
                );
            }
            addresses.push(located.value.clone());
        }
    }
    addresses
}

fn resolve_session_probe(
    decoder: &mut Decoder<'_>,
    layers: [&Layer; 3],
    sessions: &SessionsConfig,
) -> SessionProbeConfig {
    let layers = layers.map(|layer| &layer.session_probe);
    let prefix = layers.iter().find_map(|layer| layer.prefix.as_ref());
    if let Some(prefix) = prefix {
        // Keys of the probe are never sessions, so that such a store would be empty for ever.
        let configured = sessions.configured().iter().flat_map(|store| &store.matches);
        let recognised = presets::ALL.iter().filter(|_| sessions.is_auto());
        let recognised = recognised.flat_map(|preset| preset.matches);
        let mut globs = configured.map(String::as_str).chain(recognised.copied());
        if globs.any(|glob| literal_prefix(glob).starts_with(&prefix.value)) {
            let message =
                "is how the keys of a session store begin, of which none would be counted then; choose another prefix";
            decoder.problems.add(prefix.place, &prefix.path, message);
        }
    }
    SessionProbeConfig {
        enabled: layers.iter().find_map(|layer| layer.enabled).unwrap_or(false),
        interval: layers
            .iter()
            .find_map(|layer| layer.interval)
            .unwrap_or(DEFAULT_PROBE_INTERVAL),
        prefix: prefix.map_or(DEFAULT_PROBE_PREFIX, |prefix| &prefix.value).to_owned(),
    }
}

/// The user and the password: each from the nearest place that names one, where the address counts as the instance itself.
fn resolve_credentials(
    decoder: &mut Decoder<'_>,
    [own, defaults, _]: [&Layer; 3],
    address: &Located<ParsedAddress>,
) -> (Option<String>, PasswordSource) {
    let parsed = &address.value;
    if own.username.is_some() && parsed.username.is_some() {
        let message = "names a user, and so does `username`; keep one of the two";
        decoder.problems.add(address.place, &address.path, message);
    }
    if own.password.is_some() && parsed.password.is_some() {
        let message = "holds a password beside `password` or `password_file`; keep one of the two";
        decoder.problems.add(address.place, &address.path, message);
    }
    let (username, place, path) = match (&own.username, &parsed.username, &defaults.username) {
        (Some(located), _, _) => (Some(located.value.clone()), located.place, &located.path),
        (None, Some(username), _) => (Some(username.clone()), address.place, &address.path),
        (None, None, Some(located)) => (Some(located.value.clone()), located.place, &located.path),
        (None, None, None) => (None, None, &address.path),
    };
    let username = username.filter(|username| !username.is_empty());
    let password = match (&own.password, &parsed.password, &defaults.password) {
        (Some(located), _, _) => Some(password_of(decoder, located, parsed, username.as_deref())),
        (None, Some(password), _) => Some(PasswordSource::Inline(password.clone())),
        (None, None, Some(located)) => Some(password_of(decoder, located, parsed, username.as_deref())),
        (None, None, None) => None,
    };
    let password = match (password, &username) {
        // An empty password is what `nopass` users send; the default user sends nothing then.
        (Some(PasswordSource::Inline(password)), None) if password.expose().is_empty() => PasswordSource::None,
        (Some(password), _) => password,
        (None, None) => PasswordSource::None,
        (None, Some(_)) => {
            // Mostly `redis://PASSWORD@host`, which would put the password where user names are shown.
            decoder.problems.add(
                place,
                path,
                "names a user without a password; add `password_file` or `password` (`\"\"` for a nopass user); a password alone is written `redis://:password@host`",
            );
            PasswordSource::None
        }
    };
    (username, password)
}

/// The password that a draft is for one server and user.
fn password_of(
    decoder: &mut Decoder<'_>,
    located: &Located<PasswordDraft>,
    address: &ParsedAddress,
    username: Option<&str>,
) -> PasswordSource {
    match &located.value {
        PasswordDraft::Source(source) => source.clone(),
        PasswordDraft::Map(map) => match map.entry(&address.address, username) {
            Some(entry) => map.source(entry),
            None => {
                let message = format!(
                    "names a JSON object of passwords that has none for {}{}; add one",
                    address.address,
                    if username.is_some() { " and its user" } else { "" }
                );
                decoder.problems.add(located.place, &located.path, message);
                PasswordSource::None
            }
        },
    }
}

fn resolve_poll(decoder: &mut Decoder<'_>, layers: [&PollLayer; 3]) -> PollConfig {
    let pick = |read: fn(&PollLayer) -> Option<Duration>, default: Duration| {
        layers.iter().find_map(|layer| read(layer)).unwrap_or(default)
    };
    let mut poll = PollConfig {
        ping_interval: pick(|layer| layer.ping_interval, DEFAULT_PING_INTERVAL),
        info_interval: pick(|layer| layer.info_interval, DEFAULT_INFO_INTERVAL),
        scan_interval: pick(|layer| layer.scan_interval, DEFAULT_SCAN_INTERVAL),
        connect_interval: pick(|layer| layer.connect_interval, DEFAULT_CONNECT_INTERVAL),
        timeout: pick(|layer| layer.timeout, DEFAULT_TIMEOUT),
        ping_stale_after: Duration::ZERO,
        info_stale_after: Duration::ZERO,
    };
    poll.ping_stale_after = poll.default_ping_stale_after();
    poll.info_stale_after = poll.default_info_stale_after();
    if let Some(written) = layers.iter().find_map(|layer| layer.stale_after.as_ref()) {
        let least = poll.least_stale_after();
        if written.value < least {
            decoder.problems.add(
                written.place,
                &written.path,
                format!(
                    "is shorter than the longer of `ping_interval` and `info_interval` and {DEADLINES_PER_POLL} x `timeout`, so that values could leave /metrics between two polls; write at least {}",
                    format_duration(least)
                ),
            );
        }
        poll.ping_stale_after = written.value;
        poll.info_stale_after = written.value;
    }
    poll
}
