//! Reads single values out of the tree: text, durations, numbers, switches, lists. Every failure becomes a problem with its
//! place; none quotes the value.

use super::duration::parse_duration;
use super::environment::Environment;
use super::names::{Scope, nearest};
use super::paths;
use super::pattern::IdPattern;
use super::problem::{Place, Problems};
use super::schema::MAX_PATH_BYTES;
use super::tree::{Entry, Kind, Node};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// A value of the tree with the path under which problems about it are reported.
#[derive(Clone)]
pub(super) struct Field<'n> {
    /// The value.
    pub(super) node: &'n Node,
    /// Where it stands; where its key stands when the value was left out.
    pub(super) place: Place,
    /// Path of keys, e.g. `instances[0].poll`.
    pub(super) path: String,
}

/// The known keys of one mapping.
#[derive(Default)]
pub(super) struct Fields<'n> {
    fields: BTreeMap<&'static str, Field<'n>>,
}

impl<'n> Fields<'n> {
    /// The value of a key, if it was written.
    pub(super) fn get(&self, key: &str) -> Option<&Field<'n>> {
        self.fields.get(key)
    }
}

/// A decoded value that remembers where it stood, for problems that show only when several values are looked at together.
#[derive(Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Option<Place>,
    pub(super) path: String,
}

/// A value that has no place, because it does not come from a file.
pub(super) fn unplaced<T>(value: T) -> Located<T> {
    Located {
        value,
        place: None,
        path: String::new(),
    }
}

/// Text after `${NAME}` was replaced.
pub(super) struct Text {
    pub(super) text: Rc<str>,
    /// Whether it came from an environment variable.
    pub(super) substituted: bool,
}

/// A path after `${NAME}/` at its beginning was replaced.
pub(super) struct PathText {
    pub(super) path: Rc<str>,
    /// As it stands in the file, or in the variable that stands there.
    pub(super) written: Text,
    /// Whether there was something to replace, so that the written path begins with a name of a variable and may be shown.
    pub(super) is_prefixed: bool,
}

/// What a text may be.
pub(super) struct TextRule {
    pub(super) max_bytes: usize,
    pub(super) may_be_empty: bool,
    pub(super) may_hold_control_characters: bool,
}

impl TextRule {
    /// A name or another one-line text that must not be empty.
    pub(super) const fn line(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            may_be_empty: false,
            may_hold_control_characters: false,
        }
    }

    /// A text that Redis compares byte by byte, such as a key: it must not be empty and may hold anything.
    pub(super) const fn bytes(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            may_be_empty: false,
            may_hold_control_characters: true,
        }
    }
}

/// Longest key that a message shows; known keys are far shorter.
const MAX_SHOWN_KEY_BYTES: usize = 40;

/// Reads values and collects problems.
pub(super) struct Decoder<'a> {
    /// What was found wrong so far.
    pub(super) problems: Problems,
    environment: &'a Environment,
    /// The id patterns of this file, compiled once each however many stores have them.
    pub(super) patterns: BTreeMap<String, IdPattern>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(problems: Problems, environment: &'a Environment) -> Self {
        Self {
            problems,
            environment,
            patterns: BTreeMap::new(),
        }
    }

    /// Notes a problem with a value.
    pub(super) fn refuse(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.problems.add(field.place, &field.path, message);
    }

    /// The known keys of a mapping; keys that are not known become problems. A mapping that was left out (`poll:` with nothing
    /// below) has no keys.
    pub(super) fn fields<'n>(&mut self, field: &Field<'n>, scope: Scope) -> Fields<'n> {
        let mut found = Fields::default();
        for (entry, child) in self.entries(field) {
            match scope.keys().iter().find(|key| **key == &*entry.key) {
                Some(key) => {
                    // A word of ours is no secret, capital letters or not.
                    let path = joined(&field.path, key);
                    found.fields.insert(key, Field { path, ..child });
                }
                None => self.refuse_key(field, entry, scope),
            }
        }
        found
    }

    /// Every key of a mapping whose keys are free names (labels, collectors), with the path of the mapping itself.
    pub(super) fn entries<'n>(&mut self, field: &Field<'n>) -> Vec<(&'n Entry, Field<'n>)> {
        match &field.node.kind {
            Kind::Mapping { entries, .. } => entries
                .iter()
                .map(|entry| {
                    let shown = shown_key(field.node, entry);
                    let field = Field {
                        node: &entry.value,
                        place: if entry.value.is_null() {
                            entry.place
                        } else {
                            entry.value.place
                        },
                        path: joined(&field.path, shown.unwrap_or_default()),
                    };
                    (entry, field)
                })
                .collect(),
            _ if field.node.is_null() => Vec::new(),
            _ => {
                self.refuse(field, "must be a mapping; write indented lines `key: value` below it");
                Vec::new()
            }
        }
    }

    fn refuse_key(&mut self, parent: &Field<'_>, entry: &Entry, scope: Scope) {
        let Some(key) = shown_key(parent.node, entry) else {
            let message = if &*entry.key == "<<" && scope.has_no_defaults() {
                "`<<` merges nothing here; write the values out".to_owned()
            } else if &*entry.key == "<<" {
                "`<<` merges nothing in this format; write shared values under `defaults`".to_owned()
            } else {
                format!(
                    "holds a key that is not known (it is not shown, it may be part of a secret); known here: {}; a value with `,` or `:` goes between quotes",
                    scope.keys().join(", ")
                )
            };
            self.problems.add(entry.place, &parent.path, message);
            return;
        };
        let message = if let Some(near) = nearest(key, scope.keys()) {
            format!("`{key}` is not a known key; did you mean `{near}`?")
        } else {
            format!("`{key}` is not a known key; known here: {}", scope.keys().join(", "))
        };
        self.problems.add(entry.place, &joined(&parent.path, key), message);
    }

    /// The items of a list, of which `example` is one; `None` when it was left out or is no list (a problem then).
    pub(super) fn items<'n>(&mut self, field: &Field<'n>, example: &str) -> Option<Vec<Field<'n>>> {
        match &field.node.kind {
            Kind::Sequence(items) => Some(indexed(&field.path, items)),
            _ if field.node.is_null() => None,
            _ => {
                let message = format!(
                    "must be a list; begin each item with `- ` on a line of its own, for example `- {example}`"
                );
                self.refuse(field, message);
                None
            }
        }
    }

    /// The items of a list, or the one value written in its place.
    pub(super) fn items_or_one<'n>(&mut self, field: &Field<'n>) -> Vec<Field<'n>> {
        match &field.node.kind {
            Kind::Sequence(items) => indexed(&field.path, items),
            Kind::Scalar { .. } => vec![field.clone()],
            Kind::Mapping { .. } => {
                self.refuse(field, "must be a list or a single value, not a mapping");
                Vec::new()
            }
        }
    }

    /// The text of a scalar with `${NAME}` replaced.
    pub(super) fn scalar(&mut self, field: &Field<'_>) -> Option<Text> {
        let text = match &field.node.kind {
            _ if field.node.is_null() => {
                self.refuse(field, "has no value; write one, or remove the key");
                return None;
            }
            Kind::Scalar { text, .. } => text,
            Kind::Sequence(_) | Kind::Mapping { .. } => {
                self.refuse(
                    field,
                    "must be a single value; put a text that begins with `[` or `{` between quotes",
                );
                return None;
            }
        };
        let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
            return Some(Text {
                text: Rc::clone(text),
                substituted: false,
            });
        };
        if !is_variable_name(name) {
            self.refuse(
                field,
                "looks like `${NAME}`, but holds no name of an environment variable (letters, digits, `_`); write `${NAME}`",
            );
            return None;
        }
        match self.environment.get(name) {
            Ok(Some(value)) => Some(Text {
                text: Rc::from(value),
                substituted: true,
            }),
            Ok(None) => {
                self.refuse(
                    field,
                    format!("takes the environment variable {name}, which is not set or empty; set it, or write the value here"),
                );
                None
            }
            Err(error) => {
                self.refuse(field, error.to_string());
                None
            }
        }
    }

    /// The path of a file: a scalar, with `${NAME}/` at its beginning replaced ([`paths`]). Empty where it is written so.
    pub(super) fn path_text(&mut self, field: &Field<'_>) -> Option<PathText> {
        let written = self.scalar(field)?;
        let plain = |written: Text| PathText {
            path: Rc::clone(&written.text),
            written,
            is_prefixed: false,
        };
        // What a variable holds is not replaced again.
        if written.substituted {
            return Some(plain(written));
        }
        match paths::expanded(&written.text, self.environment) {
            Ok(Cow::Borrowed(_)) => Some(plain(written)),
            Ok(Cow::Owned(path)) => Some(PathText {
                path: Rc::from(path),
                is_prefixed: true,
                written,
            }),
            Err(error) => {
                self.refuse(field, error.to_string());
                None
            }
        }
    }

    /// The path of a file, which is not empty, not longer than Linux takes, and holds no control characters.
    pub(super) fn path(&mut self, field: &Field<'_>) -> Option<String> {
        let text = self.path_text(field)?.path;
        self.kept(field, &text, &TextRule::line(MAX_PATH_BYTES))
    }

    /// A text that keeps a rule.
    pub(super) fn text(&mut self, field: &Field<'_>, rule: &TextRule) -> Option<String> {
        let text = self.scalar(field)?.text;
        self.kept(field, &text, rule)
    }

    fn kept(&mut self, field: &Field<'_>, text: &str, rule: &TextRule) -> Option<String> {
        if text.is_empty() && !rule.may_be_empty {
            self.refuse(field, "is empty; write a text, or remove the key");
            return None;
        }
        if text.len() > rule.max_bytes {
            self.refuse(field, format!("is longer than {} bytes; shorten it", rule.max_bytes));
            return None;
        }
        if !rule.may_hold_control_characters && text.chars().any(char::is_control) {
            self.refuse(field, "contains a line break or another control character; remove it");
            return None;
        }
        Some(text.to_owned())
    }

    /// A duration.
    pub(super) fn duration(&mut self, field: &Field<'_>) -> Option<Duration> {
        let text = self.scalar(field)?.text;
        match parse_duration(&text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.refuse(field, error.to_string());
                None
            }
        }
    }

    /// A duration, or none at all (`0s`).
    pub(super) fn duration_or_zero(&mut self, field: &Field<'_>) -> Option<Duration> {
        match &*self.scalar(field)?.text {
            "0s" | "0ms" => Some(Duration::ZERO),
            _ => self.duration(field),
        }
    }

    /// A whole number from `lowest` to `highest`.
    pub(super) fn whole_number(&mut self, field: &Field<'_>, lowest: u64, highest: u64) -> Option<u64> {
        let text = self.scalar(field)?.text;
        // Digits alone: `str::parse` would also take a `+`.
        let number = text
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse::<u64>().ok())
            .flatten()
            .filter(|number| (lowest..=highest).contains(number));
        if number.is_none() {
            let upper = if highest == u64::MAX {
                format!("from {lowest} up")
            } else {
                format!("from {lowest} to {highest}")
            };
            self.refuse(
                field,
                format!("must be a whole number {upper}, written with digits alone"),
            );
        }
        number
    }

    /// A share from 0 to 1.
    pub(super) fn share(&mut self, field: &Field<'_>) -> Option<f64> {
        let text = self.scalar(field)?.text;
        // No words: `str::parse` would also take `nan` and `inf`. An exponent is how very small shares are written.
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'-'));
        let share = plain
            .then(|| text.parse::<f64>().ok())
            .flatten()
            .filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.refuse(field, "must be a number from 0 to 1; two percent is `0.02`");
        }
        share
    }

    /// A switch.
    pub(super) fn switch(&mut self, field: &Field<'_>) -> Option<bool> {
        let text = self.scalar(field)?.text;
        match &*text {
            "on" | "true" => Some(true),
            "off" | "false" => Some(false),
            _ => {
                self.refuse(field, "must be a switch; write `on`, `off`, `true` or `false`");
                None
            }
        }
    }

    /// A switch with `auto` as its third word, which is `None` inside.
    pub(super) fn switch_or_auto(&mut self, field: &Field<'_>) -> Option<Option<bool>> {
        let text = self.scalar(field)?.text;
        match &*text {
            "auto" => Some(None),
            "on" | "true" => Some(Some(true)),
            "off" | "false" => Some(Some(false)),
            _ => {
                self.refuse(field, "must be `auto`, `on` or `off`");
                None
            }
        }
    }

    /// A finite number.
    pub(super) fn number(&mut self, field: &Field<'_>) -> Option<f64> {
        let text = self.scalar(field)?.text;
        // No words: `str::parse` would also take `nan` and `inf`.
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
        let number = plain
            .then(|| text.parse::<f64>().ok())
            .flatten()
            .filter(|number| number.is_finite());
        if number.is_none() {
            self.refuse(field, "must be a number, for example `0.25`");
        }
        number
    }

    /// One of a few words.
    pub(super) fn one_of<'w>(&mut self, field: &Field<'_>, words: &[&'w str]) -> Option<&'w str> {
        let text = self.scalar(field)?.text;
        let found = words.iter().find(|word| **word == &*text).copied();
        if found.is_none() {
            self.refuse(field, format!("must be one of {}", words.join(", ")));
        }
        found
    }
}

/// A key joined to the path of its mapping.
fn joined(path: &str, key: &str) -> String {
    match (path.is_empty(), key.is_empty()) {
        (true, _) => key.to_owned(),
        (false, true) => path.to_owned(),
        (false, false) => format!("{path}.{key}"),
    }
}

fn indexed<'n>(path: &str, items: &'n [Rc<Node>]) -> Vec<Field<'n>> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| Field {
            node: item,
            place: item.place,
            path: format!("{path}[{index}]"),
        })
        .collect()
}

/// The key as messages may show it, `None` when it may be a part of a secret: `{password: a, b}` without quotes reads as the
/// keys `password` and `b` (which has no value), and `{password:a}` as one key. No key of ours has a capital letter, and many a secret has.
pub(super) fn shown_key<'n>(mapping: &Node, entry: &'n Entry) -> Option<&'n str> {
    let looks_like_a_key = entry.key.len() <= MAX_SHOWN_KEY_BYTES
        && entry
            .key
            .starts_with(|character: char| character.is_ascii_lowercase() || character == '_')
        && entry
            .key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'));
    if !looks_like_a_key {
        return None;
    }
    let beside_a_secret = match &mapping.kind {
        Kind::Mapping { entries, flow: true } => {
            entry.value.is_null()
                || entries
                    .iter()
                    .any(|other| SECRET_KEYS.contains(&&*other.key) && !std::ptr::eq(other, entry))
        }
        _ => false,
    };
    let known_word = [Scope::Instance, Scope::Defaults]
        .iter()
        .any(|scope| scope.keys().contains(&&*entry.key));
    (known_word || !beside_a_secret).then_some(&*entry.key)
}

/// Keys whose values are or hold secrets.
const SECRET_KEYS: [&str; 2] = ["password", "address"];

pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
