//! `docs/presets.md`, made from the presets, so that it cannot say what the program does not do.

use super::{ALL, Detection, Preset, TtlKind};
use std::fmt::Write;

/// Text of `docs/presets.md`.
pub fn markdown() -> String {
    let mut page = "# Presets of session libraries\n\n\
        <!-- Generated from the source by `UPDATE=1 cargo test --lib presets`; a test fails when it is not current. -->\n\n\
        `sessions: [{ store: web, preset: NAME }]` counts the sessions of a library; `match`, `exclude`, `id` and `type` beside it replace \
        what the preset says. With `sessions: auto` the presets marked *auto* are recognised by their keys: at least 20 keys, at least 95 % \
        of those under the globs match the ids that the library makes, and the type of some of them agrees. The others are a mere shape, or \
        something else has the same layout; name them.\n\n\
        *Keys* are Redis globs, a prefilter; the pattern of the id decides. *Auxiliary keys* belong to the library and are no sessions. \
        *TTL*: `sliding` means that it is set anew when the session is used, so that what is left tells how long it was idle; `absolute` \
        that it is set at creation (or when the session changes), so that what is left tells how old it is.\n\n\
        | preset | library | keys | auxiliary keys | type | TTL | auto |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for preset in ALL {
        row(&mut page, preset);
    }
    page.push_str(
        "\n## Patterns\n\n| preset | pattern of the id | recognised by | a session | index |\n|---|---|---|---|---|\n",
    );
    for preset in ALL {
        let recognised = match preset.detection {
            Detection::Auto { id } if id == preset.id => "the same".to_owned(),
            Detection::Auto { id } => code(&[id]),
            Detection::ByName => String::new(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| {} | {} | {recognised} | {} | {} |",
            preset.name,
            code(&[preset.id]),
            code(preset.samples),
            preset.index_key.map_or_else(String::new, |key| code(&[key])),
        );
    }
    page.push_str(
        "\n`sessions: auto` takes a library for what it is when 20 keys and 95 % of those under its globs are *recognised by* the pattern of the ids \
         that it makes itself. Once it is, and where the file names the preset, the *pattern of the id* decides.\n\n\
         Where the pattern has a group `app`, `app_label: true` makes it a label. *Index* is a sorted set of the living sessions with their \
         expiry in milliseconds; where it exists the count needs no scan.\n",
    );
    page
}

/// The line of one preset.
fn row(page: &mut String, preset: &Preset) {
    let ttl = match preset.ttl {
        TtlKind::Sliding => "sliding",
        TtlKind::Absolute => "absolute",
    };
    let offset = match preset.ttl_offset.as_secs() {
        0 => String::new(),
        seconds => format!(", the key lives {seconds} s longer"),
    };
    let auto = match preset.detection {
        Detection::Auto { .. } => "auto",
        Detection::ByName => "by name",
    };
    let _ = writeln!(
        page,
        "| `{}` | {} | {} | {} | {} | {ttl}{offset} | {auto} |",
        preset.name,
        preset.library.replace('|', "\\|"),
        code(preset.matches),
        code(preset.excludes),
        preset.key_type.map_or("any", super::KeyType::as_str),
    );
}

/// Texts as code in one cell of a Markdown table.
fn code(texts: &[&str]) -> String {
    let cells: Vec<String> = texts
        .iter()
        .map(|text| format!("`{}`", text.replace('|', "\\|")))
        .collect();
    cells.join("<br>")
}

#[cfg(test)]
mod tests {
    use super::markdown;
    use std::path::PathBuf;

    #[test]
    fn the_document_is_current() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/presets.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == markdown(),
            "docs/presets.md is not current; run: UPDATE=1 cargo test --lib presets"
        );
    }
}
