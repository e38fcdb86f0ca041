//! Single values of the web configuration. Unlike those of `exporter.yaml` they are never taken from the environment, and an empty text
//! says nothing, as in the toolkit.

use super::super::decode::{Decoder, Field, Fields};
use super::super::tree::Kind;
use std::rc::Rc;

/// A key whose value was not left out.
pub(super) fn given<'f, 'n>(fields: &'f Fields<'n>, key: &str) -> Option<&'f Field<'n>> {
    fields.get(key).filter(|field| !field.node.is_null())
}

/// The text of a scalar; `None` when it is empty, or none (a problem then).
pub(super) fn text(decoder: &mut Decoder<'_>, field: &Field<'_>) -> Option<Rc<str>> {
    match &field.node.kind {
        _ if field.node.is_null() => None,
        Kind::Scalar { text, .. } => Some(Rc::clone(text)).filter(|text| !text.is_empty()),
        Kind::Sequence(_) | Kind::Mapping { .. } => {
            let message = "must be a single value; put a text that begins with `[` or `{` between quotes";
            decoder.refuse(field, message);
            None
        }
    }
}

/// The text of a key.
pub(super) fn text_of<'f, 'n>(
    decoder: &mut Decoder<'_>,
    fields: &'f Fields<'n>,
    key: &str,
) -> Option<(&'f Field<'n>, Rc<str>)> {
    let field = given(fields, key)?;
    Some((field, text(decoder, field)?))
}

/// A switch in any of the words of YAML 1.1, which the toolkit reads.
pub(super) fn switch(decoder: &mut Decoder<'_>, fields: &Fields<'_>, key: &str) -> Option<bool> {
    let (field, text) = text_of(decoder, fields, key)?;
    match &*text {
        "true" | "True" | "TRUE" | "on" | "On" | "ON" | "yes" | "Yes" | "YES" | "y" | "Y" => Some(true),
        "false" | "False" | "FALSE" | "off" | "Off" | "OFF" | "no" | "No" | "NO" | "n" | "N" => Some(false),
        _ => {
            decoder.refuse(field, "must be a switch; write `true` or `false`");
            None
        }
    }
}

/// One of a few words, each with what it means.
pub(super) fn word<T: Copy>(
    decoder: &mut Decoder<'_>,
    fields: &Fields<'_>,
    key: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let (field, text) = text_of(decoder, fields, key)?;
    let found = words.iter().find(|(word, _)| *word == &*text);
    if found.is_none() {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        decoder.refuse(field, format!("must be one of {}", words.join(", ")));
    }
    found.map(|(_, meaning)| *meaning)
}
