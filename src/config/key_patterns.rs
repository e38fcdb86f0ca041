//! Lists of keys that the optional collectors look at: by a glob, or named in full. `key_checks` and other sections share them.

use super::address::MAX_DATABASE;
use super::decode::{Decoder, Field, Fields, TextRule};
use super::globs::glob;
use super::names::Scope;
use super::optional::{KeyPattern, NamedKey};
use super::stores::databases;
use super::tree::Kind;

/// Most globs of one list: every key of a scan is held against all of them.
pub(super) const MAX_PATTERNS: usize = 64;
/// Most keys of one list that are named in full: each takes several commands in every pass.
pub(super) const MAX_NAMED_KEYS: usize = 1000;
/// Longest key that is named in full, as long as the longest glob. Such a key becomes a label value.
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// Decodes `[ { match: "cart:*", databases: [0] }, ... ]`; `None` when it was left out. `databases` that are empty mean the
/// address's own. Items of a scope are read with the keys `match` and `databases`.
pub(super) fn key_patterns(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<Vec<KeyPattern>> {
    let items = some_items(
        decoder,
        field,
        MAX_PATTERNS,
        "patterns; every key is held against all of them",
        "match: \"cart:*\"",
    )?;
    let mut patterns: Vec<KeyPattern> = Vec::with_capacity(items.len());
    for item in &items {
        let Some(fields) = fields_of(decoder, item, Scope::KeyPattern, "match", "sess:*") else {
            continue;
        };
        let pattern = KeyPattern {
            glob: match fields.get("match").and_then(|field| glob(decoder, field)) {
                Some(glob) => glob,
                None => continue,
            },
            databases: fields
                .get("databases")
                .map(|field| databases(decoder, field))
                .unwrap_or_default(),
        };
        let overlaps = |known: &&KeyPattern| {
            let is_shared = |database| known.databases.contains(database);
            known.glob == pattern.glob
                && (pattern.databases.is_empty() == known.databases.is_empty())
                && (pattern.databases.is_empty() || pattern.databases.iter().any(is_shared))
        };
        if patterns.iter().any(|known| overlaps(&known)) {
            decoder.refuse(
                item,
                "repeats a pattern of the list for the same database; remove one of the two",
            );
        }
        patterns.push(pattern);
    }
    Some(patterns)
}

/// Decodes `[ { key: "config:maintenance", database: 0 }, ... ]`; `None` when it was left out. `scope` is [`Scope::NamedKey`], which
/// knows `value` as well, or one without it.
pub(super) fn named_keys(decoder: &mut Decoder<'_>, field: &Field<'_>, scope: Scope) -> Option<Vec<NamedKey>> {
    let items = some_items(
        decoder,
        field,
        MAX_NAMED_KEYS,
        "keys; each takes several commands in every pass",
        "key: \"queue\"",
    )?;
    let mut keys: Vec<NamedKey> = Vec::with_capacity(items.len());
    for item in &items {
        let Some(fields) = fields_of(decoder, item, scope, "key", "config:maintenance") else {
            continue;
        };
        let rule = TextRule::bytes(MAX_KEY_BYTES);
        let Some(key) = fields.get("key").and_then(|field| decoder.text(field, &rule)) else {
            continue;
        };
        let named = NamedKey {
            key,
            database: fields.get("database").and_then(|field| database(decoder, field)),
            export_value: fields
                .get("value")
                .and_then(|field| decoder.switch(field))
                .unwrap_or_default(),
        };
        let is_same = |known: &NamedKey| known.key == named.key && known.database == named.database;
        if keys.iter().any(is_same) {
            decoder.refuse(
                item,
                "repeats a key of the list for the same database; remove one of the two",
            );
        }
        keys.push(named);
    }
    Some(keys)
}

/// What lists of patterns take in memory, in bytes, as far as it is text.
pub(super) fn weight_of_patterns(patterns: &[KeyPattern]) -> usize {
    let of_one = |pattern: &KeyPattern| pattern.glob.len() + pattern.databases.len() * size_of::<u32>();
    size_of_val(patterns) + patterns.iter().map(of_one).sum::<usize>()
}

/// The same of lists of keys that are named in full.
pub(super) fn weight_of_named_keys(keys: &[NamedKey]) -> usize {
    size_of_val(keys) + keys.iter().map(|key| key.key.len()).sum::<usize>()
}

/// The items of a list that is not too long.
fn some_items<'n>(
    decoder: &mut Decoder<'_>,
    field: &Field<'n>,
    most: usize,
    what: &str,
    example: &str,
) -> Option<Vec<Field<'n>>> {
    let items = decoder.items(field, example)?;
    if items.len() > most {
        decoder.refuse(field, format!("lists more than {most} {what}"));
        return None;
    }
    Some(items)
}

/// The keys of an item, which must have `needed` among them.
fn fields_of<'n>(
    decoder: &mut Decoder<'_>,
    item: &Field<'n>,
    scope: Scope,
    needed: &str,
    example: &str,
) -> Option<Fields<'n>> {
    if item.node.is_null() {
        let message = format!("is an empty item; write for example `{needed}: \"{example}\"`, or remove the `-`");
        decoder.refuse(item, message);
        return None;
    }
    let fields = decoder.fields(item, scope);
    if !matches!(item.node.kind, Kind::Mapping { .. }) {
        return None;
    }
    if fields.get(needed).is_none() {
        let message = format!("has no `{needed}`; write for example `{{ {needed}: \"{example}\" }}`");
        decoder.refuse(item, message);
        return None;
    }
    Some(fields)
}

fn database(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<u32> {
    let number = decoder.whole_number(field, 0, u64::from(MAX_DATABASE))?;
    u32::try_from(number).ok()
}
