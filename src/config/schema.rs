//! The shape of `exporter.yaml`: what each key holds. What comes out are drafts, in which everything may still be missing;
//! `resolve` merges them.

use super::address::{MAX_SECRET_BYTES, ParsedAddress, parse_address};
use super::application_metrics::{MetricDraft, application_metrics};
use super::client_counts::client_counts;
use super::client_list::client_list;
use super::cluster::{ClusterLayer, cluster_layer};
use super::compatibility::compatibility;
use super::decode::{Decoder, Field, Fields, Located, TextRule, shown_key};
use super::globs::SPECIAL;
use super::key_checks::key_checks;
use super::key_groups::key_groups;
use super::lua::scripts;
use super::names::{EVICTION_POLICIES, Scope, is_label_name, known_collectors, nearest, reserved_labels};
use super::optional::OptionalLayer;
use super::password_map::{self, PasswordDraft};
use super::problem::Place;
use super::resolve::MAX_INSTANCES;
use super::search::search;
use super::stores::sessions;
use super::streams::streams;
use super::tls::{TlsLayer, tls};
use super::tree::{Kind, Node};
use super::types::{Address, PasswordSource, Secret};
use super::{Operations, Persistence, SessionsConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Most labels of one instance. Prometheus' own recommendation is a handful; its default limits begin to bite above 30.
const MAX_LABELS: usize = 32;
/// Longest label name, and longest name of an instance, an environment or a store. They stand on every series.
pub(super) const MAX_NAME_BYTES: usize = 256;
/// Longest label value that the configuration may give.
const MAX_LABEL_VALUE_BYTES: usize = 1024;
/// Longest path of a file: `PATH_MAX` of Linux.
pub(super) const MAX_PATH_BYTES: usize = 4096;
/// Upper bound of `limits.label_values`: above it one family alone is a scrape of megabytes per instance.
const MAX_LABEL_VALUES: u64 = 10_000;
/// Upper bound of `limits.http_connections`: the number of ports.
const MAX_HTTP_CONNECTIONS: u64 = 65_535;
/// Upper bound of `limits.scan_remembered_keys`: at about 16 bytes each this is 1.6 GB.
const MAX_SCAN_REMEMBERED_KEYS: u64 = 100_000_000;

/// Bounds of `scan.sample_keys`: fewer than a thousand keys say little about a store that is a part of a database, and ten million take
/// the server 5 s.
const SAMPLE_KEYS: (u64, u64) = (1_000, 10_000_000);
/// Upper bound of `limits.scan_detail_keys`: asking for so many takes the server about half a second per pass. 0 asks for none.
const MAX_SCAN_DETAIL_KEYS: u64 = 100_000;
/// Upper bound of `limits.checked_keys`: two million series of one instance are more than any Prometheus wants.
const MAX_CHECKED_KEYS: u64 = 1_000_000;
/// Most addresses of `scan_from`: Redis' own documentation speaks of a handful of replicas.
const MAX_SCAN_FROM: usize = 16;
/// Longest `session_probe.prefix`. It stands before every key of the probe.
const MAX_PROBE_PREFIX_BYTES: usize = 128;

/// Everything that may be said on more than one level: top, `defaults`, instance.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) environment: Option<String>,
    pub(super) username: Option<Located<String>>,
    pub(super) password: Option<Located<PasswordDraft>>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) poll: PollLayer,
    pub(super) redis_share: Option<f64>,
    pub(super) collectors: BTreeMap<&'static str, bool>,
    pub(super) maxmemory_policy: Option<Vec<String>>,
    pub(super) persistence: Option<Persistence>,
    pub(super) sample_keys: Option<u64>,
    /// Stores whose `databases` are empty live in the address's own.
    pub(super) sessions: Option<SessionsConfig>,
    pub(super) scan_from: Option<Vec<Located<Address>>>,
    pub(super) operations: Option<Operations>,
    pub(super) session_probe: SessionProbeLayer,
    pub(super) application_metrics: Option<Vec<MetricDraft>>,
    pub(super) optional: OptionalLayer,
    pub(super) cluster: ClusterLayer,
    pub(super) tls: TlsLayer,
}

/// `session_probe` of one level.
#[derive(Default)]
pub(super) struct SessionProbeLayer {
    pub(super) enabled: Option<bool>,
    pub(super) interval: Option<Duration>,
    pub(super) prefix: Option<Located<String>>,
}

/// `poll` of one level.
#[derive(Default)]
pub(super) struct PollLayer {
    pub(super) ping_interval: Option<Duration>,
    pub(super) info_interval: Option<Duration>,
    pub(super) scan_interval: Option<Duration>,
    pub(super) connect_interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) stale_after: Option<Located<Duration>>,
}

/// `limits`.
#[derive(Default)]
pub(super) struct LimitsDraft {
    pub(super) label_values: Option<usize>,
    pub(super) http_connections: Option<usize>,
    pub(super) scan_remembered_keys: Option<usize>,
    pub(super) scan_detail_keys: Option<usize>,
    pub(super) checked_keys: Option<usize>,
}

/// One item of `instances`, or one address from a flag.
pub(super) struct InstanceDraft {
    pub(super) place: Option<Place>,
    pub(super) path: String,
    pub(super) name: Option<Located<String>>,
    pub(super) address: Option<Located<ParsedAddress>>,
    pub(super) layer: Layer,
}

/// The whole file.
#[derive(Default)]
pub(super) struct ConfigDraft {
    pub(super) top: Layer,
    pub(super) limits: LimitsDraft,
    pub(super) defaults: Layer,
    /// `None` when the file names no instances.
    pub(super) instances: Option<Vec<InstanceDraft>>,
}

/// Decodes the root of the tree. `directory` is where relative paths of files begin.
pub(super) fn decode(decoder: &mut Decoder<'_>, root: &Node, directory: &Path) -> ConfigDraft {
    let root = Field {
        node: root,
        place: root.place,
        path: String::new(),
    };
    let fields = decoder.fields(&root, Scope::Top);
    ConfigDraft {
        top: layer(decoder, &fields, directory),
        limits: limits(decoder, &fields),
        defaults: match fields.get("defaults") {
            Some(field) => {
                let fields = decoder.fields(field, Scope::Defaults);
                layer(decoder, &fields, directory)
            }
            None => Layer::default(),
        },
        instances: instances(decoder, &fields, directory),
    }
}

fn instances(decoder: &mut Decoder<'_>, fields: &Fields<'_>, directory: &Path) -> Option<Vec<InstanceDraft>> {
    let field = fields.get("instances")?;
    let items = decoder.items(field, "address: redis://127.0.0.1:6379")?;
    if items.is_empty() {
        decoder.refuse(
            field,
            "is an empty list, so that nothing would be watched; list an instance, or remove the key to watch redis://127.0.0.1:6379",
        );
    }
    if items.len() > MAX_INSTANCES {
        decoder.refuse(
            field,
            format!("lists more than {MAX_INSTANCES} instances; split them over several exporters"),
        );
        return None;
    }
    Some(items.iter().map(|item| instance(decoder, item, directory)).collect())
}

fn instance(decoder: &mut Decoder<'_>, item: &Field<'_>, directory: &Path) -> InstanceDraft {
    if item.node.is_null() {
        decoder.refuse(item, "is an empty item; write `address:` below it, or remove the `-`");
    }
    let fields = decoder.fields(item, Scope::Instance);
    let address = fields.get("address").and_then(|field| address(decoder, field));
    if fields.get("address").is_none() && matches!(item.node.kind, Kind::Mapping { .. }) {
        decoder.refuse(
            item,
            "has no `address`; write for example `address: redis://127.0.0.1:6379`",
        );
    }
    InstanceDraft {
        place: Some(item.place),
        path: item.path.clone(),
        name: fields
            .get("name")
            .and_then(|field| located_text(decoder, field, &TextRule::line(MAX_NAME_BYTES))),
        address,
        layer: layer(decoder, &fields, directory),
    }
}

fn address(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<Located<ParsedAddress>> {
    let text = decoder.scalar(field)?.text;
    match parse_address(&text) {
        Ok(parsed) => Some(located(field, parsed)),
        Err(error) => {
            decoder.refuse(field, error.to_string());
            None
        }
    }
}

fn located<T>(field: &Field<'_>, value: T) -> Located<T> {
    Located {
        value,
        place: Some(field.place),
        path: field.path.clone(),
    }
}

fn located_text(decoder: &mut Decoder<'_>, field: &Field<'_>, rule: &TextRule) -> Option<Located<String>> {
    decoder.text(field, rule).map(|value| located(field, value))
}

fn layer(decoder: &mut Decoder<'_>, fields: &Fields<'_>, directory: &Path) -> Layer {
    let mut layer = Layer {
        password: password(decoder, fields, directory),
        sessions: sessions(decoder, fields),
        scan_from: scan_from(decoder, fields),
        session_probe: session_probe(decoder, fields),
        application_metrics: application_metrics(decoder, fields),
        cluster: cluster_layer(decoder, fields),
        tls: tls(decoder, fields, directory),
        ..Layer::default()
    };
    key_checks(decoder, fields, &mut layer.optional);
    layer.optional.compatibility = compatibility(decoder, fields);
    layer.optional.lua = scripts(decoder, fields, directory);
    layer.optional.search = search(decoder, fields);
    layer.optional.client_list = client_list(decoder, fields);
    layer.optional.client_counts = client_counts(decoder, fields);
    layer.optional.key_groups = key_groups(decoder, fields);
    layer.optional.streams = streams(decoder, fields);
    if let Some(field) = fields.get("environment") {
        layer.environment = decoder.text(field, &TextRule::line(MAX_NAME_BYTES));
    }
    if let Some(field) = fields.get("username") {
        // An empty user is how one instance opts out of the user of `defaults`.
        let rule = TextRule {
            may_be_empty: true,
            ..TextRule::line(MAX_SECRET_BYTES)
        };
        layer.username = located_text(decoder, field, &rule);
    }
    if let Some(field) = fields.get("labels") {
        layer.labels = labels(decoder, field);
    }
    if let Some(field) = fields.get("poll") {
        layer.poll = poll(decoder, field);
    }
    if let Some(field) = fields.get("scan") {
        let fields = decoder.fields(field, Scope::Scan);
        layer.redis_share = fields.get("redis_share").and_then(|field| decoder.share(field));
        let (least, most) = SAMPLE_KEYS;
        layer.sample_keys = fields
            .get("sample_keys")
            .and_then(|field| decoder.whole_number(field, least, most));
    }
    if let Some(field) = fields.get("operations") {
        layer.operations = decoder.switch_or_auto(field).map(|on| match on {
            None => Operations::Auto,
            Some(true) => Operations::On,
            Some(false) => Operations::Off,
        });
    }
    if let Some(field) = fields.get("collectors") {
        layer.collectors = collectors(decoder, field);
    }
    if let Some(field) = fields.get("expect") {
        let fields = decoder.fields(field, Scope::Expect);
        layer.maxmemory_policy = fields
            .get("maxmemory_policy")
            .and_then(|field| policies(decoder, field));
        layer.persistence = fields.get("persistence").and_then(|field| persistence(decoder, field));
    }
    layer
}

/// Addresses to scan instead of the instance, each server once. The credentials are the instance's, so none may stand in them.
fn scan_from(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<Vec<Located<Address>>> {
    let field = fields.get("scan_from")?;
    if field.node.is_null() {
        return None;
    }
    let items = decoder.items_or_one(field);
    if items.len() > MAX_SCAN_FROM {
        decoder.refuse(
            field,
            format!("lists more than {MAX_SCAN_FROM} addresses; one that is well connected is enough"),
        );
        return None;
    }
    let mut addresses: Vec<Located<Address>> = Vec::with_capacity(items.len());
    for item in &items {
        let Some(Located { value, place, path }) = address(decoder, item) else {
            continue;
        };
        if value.cluster.is_some() {
            decoder.refuse(
                item,
                "is the address of a cluster; name one replica, as `redis://host:port`",
            );
        } else if value.username.is_some() || value.password.is_some() {
            decoder.refuse(
                item,
                "holds a user or a password; the credentials of the instance are used, write the address alone",
            );
        } else if value.address.database != 0 {
            decoder.refuse(
                item,
                "names a database; the `databases` of the stores say which are scanned, write the address without it",
            );
        } else if addresses
            .iter()
            .all(|known| known.value.endpoint != value.address.endpoint)
        {
            addresses.push(Located {
                value: value.address,
                place,
                path,
            });
        }
    }
    Some(addresses)
}

fn session_probe(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> SessionProbeLayer {
    let Some(field) = fields.get("session_probe") else {
        return SessionProbeLayer::default();
    };
    let fields = decoder.fields(field, Scope::SessionProbe);
    SessionProbeLayer {
        enabled: fields.get("enabled").and_then(|field| decoder.switch(field)),
        interval: fields.get("interval").and_then(|field| decoder.duration(field)),
        prefix: fields.get("prefix").and_then(|field| {
            let prefix = located_text(decoder, field, &TextRule::line(MAX_PROBE_PREFIX_BYTES))?;
            // ACL rules and the globs of other tools are made of it.
            if prefix.value.contains(SPECIAL) || prefix.value.contains(']') || prefix.value.contains(' ') {
                decoder.refuse(
                    field,
                    "contains a space or a character that means something in a glob (`*`, `?`, `[`, `]`, `\\`); write a plain text",
                );
                return None;
            }
            Some(prefix)
        }),
    }
}

/// The password that the layer names. One that is of no use is a problem already and stands here as `PasswordSource::None`, so
/// that nobody goes on to complain that there is none.
fn password(decoder: &mut Decoder<'_>, fields: &Fields<'_>, directory: &Path) -> Option<Located<PasswordDraft>> {
    let none = PasswordDraft::Source(PasswordSource::None);
    let inline = fields.get("password");
    let file = fields.get("password_file");
    if let (Some(_), Some(file)) = (inline, file) {
        decoder.refuse(file, "stands beside `password`; keep one of the two");
    }
    if let Some(field) = inline {
        let rule = TextRule {
            max_bytes: MAX_SECRET_BYTES,
            may_be_empty: true,
            may_hold_control_characters: true,
        };
        let Some(text) = decoder.text(field, &rule) else {
            return Some(located(field, none));
        };
        if text.ends_with(['\n', '\r']) {
            decoder.refuse(
                field,
                "ends with a line break, which would be sent as part of it; write it on one line",
            );
        }
        return Some(located(
            field,
            PasswordDraft::Source(PasswordSource::Inline(Secret::new(text))),
        ));
    }
    let field = file?;
    let Some(text) = decoder.path_text(field) else {
        return Some(located(field, none));
    };
    if text.path.is_empty() || text.path.len() > MAX_PATH_BYTES || text.path.chars().any(char::is_control) {
        decoder.refuse(
            field,
            "is not the path of a file; write for example `/run/secrets/redis`",
        );
        return Some(located(field, none));
    }
    let source = match password_map::checked(directory, &text.path) {
        Ok(source) => source,
        Err(failure) => {
            let written = &text.written;
            let sentence = if text.is_prefixed {
                failure.about(&format!("the file {}", written.text))
            } else {
                failure.sentence(&written.text, written.substituted)
            };
            decoder.refuse(field, sentence);
            none
        }
    };
    Some(located(field, source))
}

fn labels(decoder: &mut Decoder<'_>, field: &Field<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (entry, value) in decoder.entries(field) {
        let name = &*entry.key;
        let shown = shown_key(field.node, entry).map_or_else(String::new, |name| format!("`{name}` "));
        let well_formed = name.len() <= MAX_NAME_BYTES && is_label_name(name);
        if !well_formed {
            let message =
                format!("{shown}is not a label name; write letters, digits and `_`, not beginning with a digit");
            decoder.problems.add(entry.place, &value.path, message);
        } else if name.starts_with("__") || reserved_labels().contains(&name) {
            let message = format!("{shown}is a label that Prometheus or a metric already uses; choose another name");
            decoder.problems.add(entry.place, &value.path, message);
        } else if let Some(text) = decoder.text(&value, &TextRule::line(MAX_LABEL_VALUE_BYTES)) {
            labels.insert(name.to_owned(), text);
        }
    }
    if labels.len() > MAX_LABELS {
        decoder.refuse(
            field,
            format!("has more than {MAX_LABELS} labels; keep those that tell instances apart"),
        );
    }
    labels
}

fn poll(decoder: &mut Decoder<'_>, field: &Field<'_>) -> PollLayer {
    let fields = decoder.fields(field, Scope::Poll);
    let mut duration = |key: &str| fields.get(key).and_then(|field| decoder.duration(field));
    PollLayer {
        ping_interval: duration("ping_interval"),
        info_interval: duration("info_interval"),
        scan_interval: duration("scan_interval"),
        connect_interval: duration("connect_interval"),
        timeout: duration("timeout"),
        stale_after: fields
            .get("stale_after")
            .and_then(|field| decoder.duration(field).map(|value| located(field, value))),
    }
}

fn collectors(decoder: &mut Decoder<'_>, field: &Field<'_>) -> BTreeMap<&'static str, bool> {
    let known: Vec<&'static str> = known_collectors().into_iter().map(|(name, _)| name).collect();
    let mut switches = BTreeMap::new();
    for (entry, value) in decoder.entries(field) {
        if let Some(name) = known.iter().find(|name| **name == &*entry.key) {
            if let Some(on) = decoder.switch(&value) {
                switches.insert(*name, on);
            }
            continue;
        }
        let message = match shown_key(field.node, entry) {
            Some(name) => match nearest(name, &known) {
                Some(near) => format!("`{name}` is not a collector; did you mean `{near}`?"),
                None => format!("`{name}` is not a collector; known are {}", known.join(", ")),
            },
            None => format!("holds a key that is not a collector; known are {}", known.join(", ")),
        };
        decoder.problems.add(entry.place, &value.path, message);
    }
    switches
}

fn policies(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<Vec<String>> {
    let mut policies: Vec<String> = Vec::new();
    let items = decoder.items_or_one(field);
    for item in &items {
        if let Some(policy) = decoder.one_of(item, &EVICTION_POLICIES)
            && !policies.iter().any(|known| known == policy)
        {
            policies.push(policy.to_owned());
        }
    }
    // An empty list is how one instance opts out of the expectation of `defaults`.
    (items.is_empty() || !policies.is_empty()).then_some(policies)
}

fn persistence(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<Persistence> {
    match decoder.one_of(field, &["none", "rdb", "aof"])? {
        "none" => Some(Persistence::None),
        "rdb" => Some(Persistence::Rdb),
        _ => Some(Persistence::Aof),
    }
}

fn limits(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> LimitsDraft {
    let Some(field) = fields.get("limits") else {
        return LimitsDraft::default();
    };
    let fields = decoder.fields(field, Scope::Limits);
    let mut number = |key: &str, lowest: u64, highest: u64| {
        let field = fields.get(key)?;
        let number = decoder.whole_number(field, lowest, highest)?;
        usize::try_from(number).ok()
    };
    LimitsDraft {
        label_values: number("label_values", 1, MAX_LABEL_VALUES),
        http_connections: number("http_connections", 1, MAX_HTTP_CONNECTIONS),
        scan_remembered_keys: number("scan_remembered_keys", 0, MAX_SCAN_REMEMBERED_KEYS),
        scan_detail_keys: number("scan_detail_keys", 0, MAX_SCAN_DETAIL_KEYS),
        checked_keys: number("checked_keys", 0, MAX_CHECKED_KEYS),
    }
}
