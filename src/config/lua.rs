//! The shape of `lua`: files with scripts that collect values.

use super::decode::{Decoder, Field, Fields, TextRule};
use super::names::Scope;
use super::optional::LuaScript;
use super::problem::Place;
use super::tree::Kind;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Most scripts of one instance: the server does nothing else while one of them runs, and they run one after the other.
pub(super) const MAX_SCRIPTS: usize = 32;
/// Longest label `filename`. It stands on every value of the script.
pub(super) const MAX_FILENAME_BYTES: usize = 256;

/// Decodes `lua` of one level; `None` when it was left out. Relative paths begin at `directory`; an empty list is how one instance opts
/// out of the scripts of `defaults`.
pub(super) fn scripts(decoder: &mut Decoder<'_>, fields: &Fields<'_>, directory: &Path) -> Option<Arc<[LuaScript]>> {
    let field = fields.get("lua")?;
    let items = decoder.items(field, "scripts/queues.lua")?;
    if items.len() > MAX_SCRIPTS {
        decoder.refuse(
            field,
            format!("lists more than {MAX_SCRIPTS} scripts; the server does nothing else while one of them runs"),
        );
        return Some(Arc::new([]));
    }
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut scripts = Vec::with_capacity(items.len());
    for item in &items {
        let Some(script) = script(decoder, item, directory) else {
            continue;
        };
        if let Some(first) = places.get(&script.name) {
            let message = format!(
                "has the same label `filename` as the script at line {}, column {}; give it another `name`, or remove it",
                first.line, first.column
            );
            decoder.refuse(item, message);
            continue;
        }
        places.insert(script.name.clone(), item.place);
        scripts.push(script);
    }
    Some(scripts.into())
}

/// One item: the path alone, or a mapping.
fn script(decoder: &mut Decoder<'_>, item: &Field<'_>, directory: &Path) -> Option<LuaScript> {
    if item.node.is_null() {
        decoder.refuse(item, "is an empty item; write the path of a script, or remove the `-`");
        return None;
    }
    let is_path = matches!(item.node.kind, Kind::Scalar { .. });
    let fields = if is_path {
        Fields::default()
    } else {
        decoder.fields(item, Scope::LuaScript)
    };
    let path = if is_path { Some(item) } else { fields.get("file") };
    let Some(path) = path else {
        if matches!(item.node.kind, Kind::Mapping { .. }) {
            decoder.refuse(
                item,
                "has no `file`; write for example `file: /etc/redis-session-exporter/queues.lua`",
            );
        }
        return None;
    };
    let written = decoder.path(path)?;
    let name = match fields.get("name") {
        Some(field) => decoder.text(field, &TextRule::line(MAX_FILENAME_BYTES))?,
        None if written.len() > MAX_FILENAME_BYTES => {
            decoder.refuse(
                path,
                format!(
                    "is longer than {MAX_FILENAME_BYTES} bytes, which is too much for the label `filename`; add a `name`"
                ),
            );
            return None;
        }
        None => written.clone(),
    };
    let read_only = match fields.get("read_only") {
        Some(field) => {
            let read_only = decoder.switch(field)?;
            if !read_only {
                decoder.problems.warn(
                    field.place,
                    &field.path,
                    "lets the script write: it is run with EVAL, and nothing keeps it from changing or deleting sessions; leave it `true` where the server has EVAL_RO (Redis 7.0 and later, Valkey)",
                );
            }
            read_only
        }
        None => true,
    };
    let file = directory.join(&written);
    // Absolute, so that `/config` shows what is read whatever the working directory of the reader is.
    let file = std::path::absolute(&file).unwrap_or(file);
    if !file.is_file() {
        // No reason to refuse everything else: the file may come later, and the script says so itself until then.
        decoder.problems.warn(
            path.place,
            &path.path,
            "names no file that is there now; the script fails until there is one",
        );
    }
    Some(LuaScript { file, name, read_only })
}
