//! The shape of `streams`: which streams are looked at, and whether their consumers are.

use super::decode::{Decoder, Fields};
use super::key_patterns::{key_patterns, named_keys};
use super::names::Scope;
use super::optional::StreamsConfig;
use super::tree::Kind;

/// Decodes `streams` of one level; `None` when it was left out. An empty mapping (`streams: {}`) is how an instance opts out of the streams of
/// `defaults`.
pub(super) fn streams(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<StreamsConfig> {
    let field = fields.get("streams")?;
    if field.node.is_null() {
        return None;
    }
    let fields = decoder.fields(field, Scope::Streams);
    if !matches!(field.node.kind, Kind::Mapping { .. }) {
        return None;
    }
    let patterns = fields.get("patterns").and_then(|field| key_patterns(decoder, field));
    let single = fields
        .get("keys")
        .and_then(|field| named_keys(decoder, field, Scope::StreamKey));
    let consumers = match fields.get("consumers") {
        Some(field) => decoder.switch(field)?,
        None => StreamsConfig::default().consumers,
    };
    Some(StreamsConfig {
        patterns: patterns.unwrap_or_default(),
        single: single.unwrap_or_default(),
        consumers,
    })
}
