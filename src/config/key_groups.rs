//! The shape of `key_groups`: how keys are told apart by their names.

use super::decode::{Decoder, Fields, TextRule};
use super::lua_pattern::{LuaPattern, MAX_PATTERN_BYTES};
use super::names::Scope;
use super::optional::KeyGroupsConfig;
use super::stores::databases;
use super::tree::Kind;

/// Most patterns: a key that none matches is held against all of them.
const MAX_PATTERNS: usize = 64;
/// `max_groups` when nobody names it: as `redis_exporter`'s `--max-distinct-key-groups`.
pub(super) const DEFAULT_MAX_GROUPS: usize = 100;
/// Upper bound of `max_groups`, as of `limits.label_values`: each is two series per database.
const MAX_MAX_GROUPS: u64 = 10_000;

/// Decodes `key_groups` of one level; `None` when it was left out. No database means every one that holds keys.
pub(super) fn key_groups(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<KeyGroupsConfig> {
    let field = fields.get("key_groups")?;
    if field.node.is_null() {
        return None;
    }
    let fields = decoder.fields(field, Scope::KeyGroups);
    if !matches!(field.node.kind, Kind::Mapping { .. }) {
        return None;
    }
    let Some(list) = fields.get("patterns") else {
        decoder.refuse(
            field,
            "has no `patterns`; write for example `patterns: [\"^(.*):[^:]+$\"]`",
        );
        return None;
    };
    let items = decoder.items_or_one(list);
    if items.is_empty() {
        decoder.refuse(
            list,
            "names no pattern; write for example `[\"^(.*):[^:]+$\"]`, or switch the collector off",
        );
    }
    if items.len() > MAX_PATTERNS {
        let message = format!("lists more than {MAX_PATTERNS} patterns; every key is held against all of them");
        decoder.refuse(list, message);
        return None;
    }
    let mut patterns: Vec<String> = Vec::with_capacity(items.len());
    for item in &items {
        let Some(pattern) = decoder.text(item, &TextRule::bytes(MAX_PATTERN_BYTES)) else {
            continue;
        };
        match LuaPattern::new(pattern.as_bytes()) {
            Err(error) => decoder.refuse(item, error.to_string()),
            Ok(_) if patterns.contains(&pattern) => {
                decoder.refuse(
                    item,
                    "repeats a pattern of the list, which would never be reached; remove it",
                );
            }
            Ok(_) => patterns.push(pattern),
        }
    }
    let max_groups = match fields.get("max_groups") {
        Some(field) => {
            let number = decoder.whole_number(field, 0, MAX_MAX_GROUPS)?;
            usize::try_from(number).ok()?
        }
        None => DEFAULT_MAX_GROUPS,
    };
    let databases = fields.get("databases").map(|field| databases(decoder, field));
    Some(KeyGroupsConfig {
        patterns,
        max_groups,
        databases: databases.unwrap_or_default(),
    })
}
