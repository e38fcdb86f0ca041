//! The shapes of `check_keys`, `check_single_keys` and `count_keys`.

use super::decode::{Decoder, Fields};
use super::key_patterns::{key_patterns, named_keys};
use super::names::Scope;
use super::optional::OptionalLayer;

/// Decodes the three sections of one level. One that was left out stays `None`; an empty list is how an instance opts out of the list of
/// `defaults`.
pub(super) fn key_checks(decoder: &mut Decoder<'_>, fields: &Fields<'_>, layer: &mut OptionalLayer) {
    layer.check_keys = fields.get("check_keys").and_then(|field| key_patterns(decoder, field));
    layer.count_keys = fields.get("count_keys").and_then(|field| key_patterns(decoder, field));
    layer.check_single_keys = fields
        .get("check_single_keys")
        .and_then(|field| named_keys(decoder, field, Scope::NamedKey));
}
