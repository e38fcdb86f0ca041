//! The shape of `search`: which search indexes are looked at.

use super::decode::{Decoder, Fields, TextRule};
use super::names::Scope;
use super::optional::SearchConfig;
use super::stores::compiled;

/// Longest pattern of index names. Names are short, and a list of fifty fits.
const MAX_PATTERN_BYTES: usize = 4096;

/// Decodes `search` of one level; `None` when it was left out.
pub(super) fn search(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Option<SearchConfig> {
    let field = fields.get("search")?;
    if field.node.is_null() {
        return None;
    }
    let fields = decoder.fields(field, Scope::Search);
    let indexes = fields.get("indexes").and_then(|field| {
        let text = decoder.text(field, &TextRule::line(MAX_PATTERN_BYTES))?;
        match compiled(decoder, text) {
            Ok(pattern) => Some(pattern),
            Err(sentence) => {
                decoder.refuse(field, sentence);
                None
            }
        }
    });
    Some(SearchConfig { indexes })
}
