//! The shape of `instances[].sessions`: the families of keys that are sessions.

use super::address::MAX_DATABASE;
use super::decode::{Decoder, Field, Fields, TextRule};
use super::names::Scope;
use super::presets::TtlKind;
use super::problem::Place;
use super::schema::MAX_NAME_BYTES;
use super::tree::Kind;
use super::{CountMode, EventsMode, SessionsConfig, StoreConfig};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most stores of one instance: each key that a scan meets is held against all of them.
const MAX_STORES: usize = 64;
/// Most globs of one list, for the same reason.
const MAX_GLOBS: usize = 64;
/// Longest glob. Session keys are shorter.
const MAX_GLOB_BYTES: usize = 1024;
/// Most databases of one store: every one is scanned apart.
const MAX_DATABASES: usize = 64;

/// One item of `sessions`; `databases` is empty when the address decides.
pub(super) type StoreDraft = StoreConfig;

/// Decodes `sessions` of an instance; without the key it is `auto`.
pub(super) fn sessions(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> SessionsConfig {
    match fields.get("sessions") {
        None => SessionsConfig::Auto,
        Some(field) if matches!(field.node.kind, Kind::Scalar { .. }) => {
            scalar(decoder, field);
            SessionsConfig::Auto
        }
        Some(field) => SessionsConfig::Stores(stores(decoder, field)),
    }
}

/// The only word that may stand in place of a list is `auto`.
fn scalar(decoder: &mut Decoder<'_>, field: &Field<'_>) {
    if !field.node.is_null()
        && let Some(text) = decoder.scalar(field)
        && &*text.text != "auto"
    {
        decoder.refuse(
            field,
            "must be `auto` or a list of stores; begin each store with `- store: NAME`",
        );
    }
}

fn stores(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<StoreDraft> {
    let Some(items) = decoder.items(field) else {
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
fn store(decoder: &mut Decoder<'_>, item: &Field<'_>) -> Option<(StoreDraft, Place, String)> {
    let fields = decoder.fields(item, Scope::Store);
    let is_mapping = matches!(item.node.kind, Kind::Mapping { .. });
    if item.node.is_null() {
        decoder.refuse(item, "is an empty item; write `store:` and `match:`, or remove the `-`");
    }
    if is_mapping && fields.get("store").is_none() {
        decoder.refuse(
            item,
            "has no `store`; give the store a name, it becomes the label `store`",
        );
    }
    if is_mapping && fields.get("match").is_none() {
        decoder.refuse(
            item,
            "has no `match`; write the glob of its keys, for example `match: \"sess:*\"`",
        );
    }
    let matches = fields
        .get("match")
        .map(|field| globs(decoder, field))
        .unwrap_or_default();
    if let (Some(field), true) = (
        fields.get("match"),
        matches!(fields.get("match").map(|field| &field.node.kind), Some(Kind::Sequence(items)) if items.is_empty()),
    ) {
        decoder.refuse(
            field,
            "is an empty list, so that no key would match; write at least one glob",
        );
    }
    let excludes = fields
        .get("exclude")
        .map(|field| globs(decoder, field))
        .unwrap_or_default();
    let databases = fields
        .get("databases")
        .map(|field| databases(decoder, field))
        .unwrap_or_default();
    let capacity = fields
        .get("capacity")
        .and_then(|field| decoder.whole_number(field, 1, u64::MAX));
    let expected_ttl = fields.get("expected_ttl").and_then(|field| decoder.duration(field));
    let field = fields.get("store")?;
    let name = decoder.text(field, &TextRule::line(MAX_NAME_BYTES))?;
    let store = StoreDraft {
        name,
        preset: None,
        matches,
        excludes,
        id: None,
        key_type: None,
        ttl: TtlKind::default(),
        ttl_offset: Duration::ZERO,
        index_key: None,
        databases,
        capacity,
        expected_ttl,
        count: CountMode::Auto,
        events: EventsMode::Auto,
        sources: Vec::new(),
        encryption: None,
        app_label: false,
    };
    Some((store, field.place, field.path.clone()))
}

fn globs(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<String> {
    let items = decoder.items_or_one(field);
    if items.len() > MAX_GLOBS {
        decoder.refuse(
            field,
            format!("lists more than {MAX_GLOBS} globs; every key is held against all of them"),
        );
        return Vec::new();
    }
    let rule = TextRule {
        max_bytes: MAX_GLOB_BYTES,
        may_be_empty: false,
        may_hold_control_characters: true,
    };
    items.iter().filter_map(|item| decoder.text(item, &rule)).collect()
}

fn databases(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Vec<u32> {
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
