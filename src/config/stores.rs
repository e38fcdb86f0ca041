//! The shape of `sessions`: the families of keys that are sessions.

use super::address::MAX_DATABASE;
use super::decode::{Decoder, Field, Fields, TextRule};
use super::globs::{SPECIAL, globs, literal_prefix};
use super::names::{Scope, nearest};
use super::pattern::IdPattern;
use super::presets::{self, KeyType, Preset, TtlKind};
use super::problem::Place;
use super::schema::MAX_NAME_BYTES;
use super::tree::Kind;
use super::{CountMode, EncryptionCheck, EventsMode, SessionsConfig, SourceRule, StoreConfig};
use crate::metric::OTHER;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most stores of one instance: each key that a scan meets is held against all of them.
const MAX_STORES: usize = 64;
/// Most databases of one store: every one is scanned apart.
const MAX_DATABASES: usize = 64;
/// Most rules of `sources`: each key that is created is held against all of them, and each is a label value.
const MAX_SOURCES: usize = 32;
/// Longest `source`. It is a label value.
const MAX_SOURCE_BYTES: usize = 64;
/// Longest id pattern. Those of the presets take a few hundred bytes.
const MAX_ID_BYTES: usize = 4096;
/// Most different id patterns of one file: a compiled one takes up to 1 MiB, the same one in many stores is kept once.
const MAX_ID_PATTERNS: usize = 256;
/// Longest key of an index.
const MAX_INDEX_BYTES: usize = 1024;
/// Longest `expect_prefix`: envelopes begin with a word and a version, and only these bytes of a value are read.
const MAX_EXPECT_PREFIX_BYTES: usize = 64;

/// Decodes `sessions` of one level; `None` when it was left out. Stores whose `databases` are empty live in the address's own.
pub(super) fn sessions(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<SessionsConfig> {
    let field = fields.get("sessions")?;
    if field.node.is_null() {
        return None;
    }
    if !matches!(field.node.kind, Kind::Scalar { .. }) {
        return Some(SessionsConfig::Stores(stores(decoder, field)));
    }
    // The only word that may stand in place of a list is `auto`.
    if let Some(text) = decoder.scalar(field)
        && &*text.text != "auto"
    {
        decoder.refuse(
            field,
            "must be `auto` or a list of stores; begin each store with `- store: NAME`",
        );
    }
    Some(SessionsConfig::Auto)
}

fn stores(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<StoreConfig> {
    let Some(items) = decoder.items(field, "{ store: web, match: [\"sess:*\"] }") else {
        return Vec::new();
    };
    if items.len() > MAX_STORES {
        decoder.refuse(
            field,
            format!("lists more than {MAX_STORES} stores; every key is held against all of them"),
        );
        return Vec::new();
    }
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut stores = Vec::new();
    for item in &items {
        let Some((store, place, path)) = store(decoder, item) else {
            continue;
        };
        match places.get(&store.name) {
            Some(first) => {
                let message = format!(
                    "repeats the name of the store at line {}, column {}; give each store of an instance its own name",
                    first.line, first.column
                );
                decoder.problems.add(place, &path, message);
            }
            None => {
                places.insert(store.name.clone(), place);
                stores.push(store);
            }
        }
    }
    stores
}

/// One store with the place and path of its name.
fn store(decoder: &mut Decoder<'_>, item: &Field<'_>) -> Option<(StoreConfig, Place, String)> {
    let fields = decoder.fields(item, Scope::Store);
    if item.node.is_null() {
        decoder.refuse(
            item,
            "is an empty item; write `preset:`, or `store:` and `match:`, or remove the `-`",
        );
    }
    if matches!(item.node.kind, Kind::Mapping { .. }) && fields.get("preset").is_none() {
        if fields.get("store").is_none() {
            decoder.refuse(
                item,
                "has no `store`; give the store a name, it becomes the label `store`",
            );
        }
        if fields.get("match").is_none() {
            decoder.refuse(
                item,
                "has neither `preset` nor `match`; name the session library, for example `preset: connect-redis`, or write the glob of its keys, for example `match: \"sess:*\"`",
            );
        }
    }
    let preset = fields.get("preset").and_then(|field| preset(decoder, field));
    let mut store = preset.map_or_else(blank, |preset| StoreConfig {
        databases: Vec::new(),
        ..StoreConfig::of_preset(preset, 0)
    });
    fill(decoder, &fields, &mut store);
    if let Some(preset) = preset {
        warn_of_foreign_keys(decoder, &fields, preset, &store);
    }
    match fields.get("store") {
        Some(field) => {
            store.name = decoder.text(field, &TextRule::line(MAX_NAME_BYTES))?;
            Some((store, field.place, field.path.clone()))
        }
        None => preset.map(|_| (store, item.place, item.path.clone())),
    }
}

/// A store of which nothing is known.
fn blank() -> StoreConfig {
    StoreConfig {
        name: String::new(),
        preset: None,
        matches: Vec::new(),
        excludes: Vec::new(),
        id: None,
        key_type: None,
        ttl: TtlKind::default(),
        ttl_offset: Duration::ZERO,
        index_key: None,
        databases: Vec::new(),
        capacity: None,
        expected_ttl: None,
        count: CountMode::Auto,
        events: EventsMode::Auto,
        sources: Vec::new(),
        encryption: None,
        app_label: false,
    }
}

/// Every key that was written replaces what the preset says there.
fn fill(decoder: &mut Decoder<'_>, fields: &Fields<'_>, store: &mut StoreConfig) {
    let id_is_wrong = fill_keys(decoder, fields, store).is_err();
    if let Some(field) = fields.get("ttl") {
        store.ttl = match decoder.one_of(field, &["sliding", "absolute"]) {
            Some("absolute") => TtlKind::Absolute,
            _ => TtlKind::Sliding,
        };
    }
    if let Some(offset) = fields
        .get("ttl_offset")
        .and_then(|field| decoder.duration_or_zero(field))
    {
        store.ttl_offset = offset;
    }
    if let Some(field) = fields.get("databases") {
        store.databases = databases(decoder, field);
    }
    store.capacity = fields
        .get("capacity")
        .and_then(|field| decoder.whole_number(field, 1, u64::MAX));
    store.expected_ttl = fields.get("expected_ttl").and_then(|field| decoder.duration(field));
    if let Some(field) = fields.get("count") {
        store.count = match decoder.one_of(field, &["auto", "exact", "sample"]) {
            Some("exact") => CountMode::Exact,
            Some("sample") => CountMode::Sample,
            _ => CountMode::Auto,
        };
    }
    if let Some(field) = fields.get("events") {
        store.events = match decoder.switch_or_auto(field).flatten() {
            Some(true) => EventsMode::On,
            Some(false) => EventsMode::Off,
            None => EventsMode::Auto,
        };
    }
    if let Some(field) = fields.get("sources") {
        store.sources = sources(decoder, field);
    }
    store.encryption = fields.get("encryption").and_then(|field| encryption(decoder, field));
    if let Some(field) = fields.get("app_label") {
        store.app_label = decoder.switch(field).unwrap_or_default();
        if store.app_label && !id_is_wrong && !store.id.as_ref().is_some_and(IdPattern::has_app) {
            decoder.refuse(
                field,
                "needs a group named `app` in the pattern of the id; write an `id` with `(?P<app>...)`, or remove it",
            );
        }
    }
}

/// The id pattern is of no use, which is a problem already.
struct WrongId;

/// What decides whether a key is a session.
fn fill_keys(decoder: &mut Decoder<'_>, fields: &Fields<'_>, store: &mut StoreConfig) -> Result<(), WrongId> {
    if let Some(field) = fields.get("match") {
        store.matches = globs(decoder, field);
        if matches!(&field.node.kind, Kind::Sequence(items) if items.is_empty()) {
            decoder.refuse(
                field,
                "is an empty list, so that no key would match; write at least one glob",
            );
        }
    }
    if let Some(field) = fields.get("exclude") {
        store.excludes = globs(decoder, field);
    }
    if let Some(field) = fields.get("type") {
        let mut words = KeyType::ALL.map(KeyType::as_str).to_vec();
        words.push("any");
        let word = decoder.one_of(field, &words);
        store.key_type = KeyType::ALL.into_iter().find(|known| Some(known.as_str()) == word);
    }
    if let Some(field) = fields.get("index") {
        let rule = TextRule {
            may_be_empty: true,
            ..TextRule::bytes(MAX_INDEX_BYTES)
        };
        // An empty text is how a store does without the index of its preset.
        store.index_key = decoder.text(field, &rule).filter(|key| !key.is_empty());
    }
    if let Some(field) = fields.get("id") {
        store.id = id(decoder, field)?;
    }
    Ok(())
}

fn preset(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<&'static Preset> {
    let text = decoder.scalar(field)?.text;
    let found = presets::by_name(&text);
    if found.is_none() {
        let known: Vec<&str> = presets::ALL.iter().map(|preset| preset.name).collect();
        let message = match nearest(&text, &known) {
            Some(near) => format!("is not a preset of this version; did you mean `{near}`?"),
            None => "is not a preset of this version; docs/configuration.md lists them. A library that is not among them is described by `match` and `id`".to_owned(),
        };
        decoder.refuse(field, message);
    }
    found
}

/// The compiled pattern; an empty text is how a store does without the pattern of its preset.
fn id(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Result<Option<IdPattern>, WrongId> {
    let rule = TextRule {
        may_be_empty: true,
        ..TextRule::bytes(MAX_ID_BYTES)
    };
    let text = decoder.text(field, &rule).ok_or(WrongId)?;
    if text.is_empty() {
        return Ok(None);
    }
    compiled(decoder, text).map(Some).map_err(|sentence| {
        decoder.refuse(field, sentence);
        WrongId
    })
}

/// A regular expression of the file, compiled once however often it is written.
///
/// # Errors
/// One sentence that says why it is of no use.
pub(super) fn compiled(decoder: &mut Decoder<'_>, text: String) -> Result<IdPattern, String> {
    if let Some(known) = decoder.patterns.get(&text) {
        return Ok(known.clone());
    }
    if decoder.patterns.len() >= MAX_ID_PATTERNS {
        return Err(format!(
            "is one of more than {MAX_ID_PATTERNS} different patterns of this file, each of which takes memory; use the same one in more stores"
        ));
    }
    let pattern = IdPattern::new(&text)?;
    decoder.patterns.insert(text, pattern.clone());
    Ok(pattern)
}

/// A `match` of one's own beside a preset mostly changes the prefix of the keys, and forgets that the preset's id pattern holds the
/// prefix as well: no key would be a session then.
fn warn_of_foreign_keys(decoder: &mut Decoder<'_>, fields: &Fields<'_>, preset: &Preset, store: &StoreConfig) {
    if let (Some(field), None, Some(id)) = (fields.get("match"), fields.get("id"), &store.id)
        && store.matches.iter().all(|glob| !may_match(glob, preset, id))
        && !store.matches.is_empty()
    {
        decoder.problems.warn(
            field.place,
            &field.path,
            "most likely matches no session: the id pattern of the preset holds the beginning of the keys too; write an `id` of your own, or `id: \"\"` so that `match` alone decides",
        );
    }
}

/// Whether keys of the glob can be what the preset takes for a session, as far as its samples tell. Only globs that are a prefix and a
/// star are judged; all others may.
fn may_match(glob: &str, preset: &Preset, id: &IdPattern) -> bool {
    let Some(prefix) = glob.strip_suffix('*').filter(|prefix| !prefix.contains(SPECIAL)) else {
        return true;
    };
    // The ids of the samples behind the glob's own prefix instead of the preset's.
    let mut ids = preset.samples.iter().flat_map(|sample| {
        let known = preset.matches.iter().map(|glob| literal_prefix(glob));
        known.filter_map(|known| sample.strip_prefix(known))
    });
    preset.samples.is_empty()
        || preset.samples.iter().any(|sample| sample.starts_with(prefix))
        || ids.any(|rest| id.matches(format!("{prefix}{rest}").as_bytes()))
}

fn sources(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<SourceRule> {
    let Some(items) = decoder.items(field, "{ source: mobile, match: [\"sess:m-*\"] }") else {
        return Vec::new();
    };
    if items.len() > MAX_SOURCES {
        decoder.refuse(
            field,
            format!("lists more than {MAX_SOURCES} sources; each key that is created is held against all of them"),
        );
        return Vec::new();
    }
    items.iter().filter_map(|item| source(decoder, item)).collect()
}

fn source(decoder: &mut Decoder<'_>, item: &Field<'_>) -> Option<SourceRule> {
    if item.node.is_null() {
        decoder.refuse(
            item,
            "is an empty item; write `source:` and `match:`, or remove the `-`",
        );
        return None;
    }
    let fields = decoder.fields(item, Scope::Source);
    if !matches!(item.node.kind, Kind::Mapping { .. }) {
        return None;
    }
    let (Some(name), Some(pattern)) = (fields.get("source"), fields.get("match")) else {
        decoder.refuse(
            item,
            "needs both `source` and `match`; write for example `{ source: guest, match: \"sess:guest:*\" }`",
        );
        return None;
    };
    let matches = globs(decoder, pattern);
    if matches.is_empty() && matches!(pattern.node.kind, Kind::Sequence(_)) {
        decoder.refuse(pattern, "lists no glob, so that no key would match; write at least one");
    }
    let source = decoder.text(name, &TextRule::line(MAX_SOURCE_BYTES))?;
    // Where no rule matches, the source is this.
    if source == OTHER {
        decoder.refuse(
            name,
            "is what keys have that no rule matches; choose another name, or remove the rule",
        );
        return None;
    }
    Some(SourceRule { source, matches })
}

fn encryption(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<EncryptionCheck> {
    let fields = decoder.fields(field, Scope::Encryption);
    match fields.get("expect_prefix") {
        Some(field) => {
            let expect_prefix = decoder.text(field, &TextRule::bytes(MAX_EXPECT_PREFIX_BYTES))?;
            Some(EncryptionCheck { expect_prefix })
        }
        None => {
            if matches!(field.node.kind, Kind::Mapping { .. }) || field.node.is_null() {
                decoder.refuse(
                    field,
                    "has no `expect_prefix`; write how every encrypted value begins, for example `expect_prefix: \"enc:v1:\"`",
                );
            }
            None
        }
    }
}

/// A list of databases, or one, each once.
pub(super) fn databases(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<u32> {
    let items = decoder.items_or_one(field);
    if items.is_empty() && matches!(field.node.kind, Kind::Sequence(_)) {
        decoder.refuse(
            field,
            "is an empty list; name a database, or remove the key to use the address's own",
        );
    }
    if items.len() > MAX_DATABASES {
        decoder.refuse(
            field,
            format!("lists more than {MAX_DATABASES} databases; each is scanned apart"),
        );
        return Vec::new();
    }
    let mut databases = Vec::new();
    for item in &items {
        let number = decoder.whole_number(item, 0, u64::from(MAX_DATABASE));
        let Some(database) = number.and_then(|number| u32::try_from(number).ok()) else {
            continue;
        };
        if databases.contains(&database) {
            decoder.refuse(item, "repeats a database of the list; name each once");
        } else {
            databases.push(database);
        }
    }
    databases
}
