//! What the sections of a file may hold, for what flags of `redis_exporter` say: the file that `check` prints for flags must be one that
//! loads.

use super::decode::Decoder;
use super::globs::{Advice, advice};
use super::key_patterns::{MAX_NAMED_KEYS, MAX_PATTERNS};
use super::lua::MAX_FILENAME_BYTES;
use super::optional::{KeyPattern, OptionalLayer};
use super::schema::MAX_PATH_BYTES;

/// Notes what a file could not say, each with the flag that said it and what to do.
pub(super) fn check(decoder: &mut Decoder<'_>, layer: &OptionalLayer) {
    let mut problem = |origin: &'static str, sentence: String| {
        decoder.problems.set_origin(origin);
        decoder.problems.add(None, "", sentence);
    };
    let streams = layer.streams.as_ref();
    let lists = [
        ("--check-keys", layer.check_keys.as_deref()),
        ("--count-keys", layer.count_keys.as_deref()),
        ("--check-streams", streams.map(|streams| streams.patterns.as_slice())),
    ];
    for (origin, patterns) in lists {
        for sentence in wrong_with_patterns(patterns.unwrap_or_default()) {
            problem(origin, sentence);
        }
    }
    let single = layer.check_single_keys.as_deref().unwrap_or_default().len();
    if single > MAX_NAMED_KEYS {
        problem(
            "--check-single-keys",
            format!("and --check-keys name more than {MAX_NAMED_KEYS} keys in full; use patterns"),
        );
    }
    if streams.is_some_and(|streams| streams.single.len() > MAX_NAMED_KEYS) {
        problem(
            "--check-single-streams",
            format!("and --check-streams name more than {MAX_NAMED_KEYS} streams in full; use patterns"),
        );
    }
    for script in layer.lua.iter().flat_map(|scripts| scripts.iter()) {
        if script.name.len() > MAX_FILENAME_BYTES {
            problem(
                "--script",
                format!(
                    "names a path longer than {MAX_FILENAME_BYTES} bytes, which is too much for the label `filename`; move the script, or \
                     give it a `name` under `lua` in exporter.yaml"
                ),
            );
        }
        if script.file.as_os_str().len() > MAX_PATH_BYTES || script.name.chars().any(char::is_control) {
            problem(
                "--script",
                format!(
                    "names a path with a control character or of more than {MAX_PATH_BYTES} bytes; rename or move the script"
                ),
            );
        }
    }
}

fn wrong_with_patterns(patterns: &[KeyPattern]) -> Vec<String> {
    let mut wrong = Vec::new();
    let has_many_databases = patterns.iter().any(|pattern| pattern.databases.len() > MAX_PATTERNS);
    if patterns.len() > MAX_PATTERNS || has_many_databases {
        wrong.push(format!(
            "names more than {MAX_PATTERNS} patterns, or one pattern for more than {MAX_PATTERNS} databases, and every key is held against \
             all of them; join some with `*`"
        ));
    }
    for pattern in patterns {
        wrong.extend(advice(&pattern.glob).into_iter().filter_map(|advice| match advice {
            Advice::Refuse(sentence) => Some(format!("names a pattern that {sentence}")),
            Advice::Warn(_) => None,
        }));
    }
    wrong.dedup();
    wrong
}
