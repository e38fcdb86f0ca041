//! The pattern of a session id: a regular expression over the bytes of a key.

use super::presets::Preset;
use regex::bytes::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Largest compiled pattern in bytes: the largest of the presets takes a tenth of it, and a store has one.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;

/// A compiled pattern that decides whether a key is a session. It is held against the whole key as bytes, without Unicode classes,
/// and has no look-around: its time is linear in the length of the key.
#[derive(Debug, Clone)]
pub struct IdPattern {
    /// Shared: a clone of the `Regex` itself would get matching caches of its own, for each of hundreds of instances.
    regex: Arc<Regex>,
}

/// The patterns of presets compiled so far, by their text. Presets are constants, so it holds no more than they have; without it every
/// instance of a central exporter would compile and keep its own.
static COMPILED_PRESETS: Mutex<BTreeMap<&'static str, IdPattern>> = Mutex::new(BTreeMap::new());

impl IdPattern {
    /// Compiles a pattern in the syntax of the crate `regex`.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it, without quoting it.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(MAX_COMPILED_BYTES)
            .dfa_size_limit(MAX_COMPILED_BYTES)
            .build();
        match built {
            Ok(regex) => Ok(Self { regex: Arc::new(regex) }),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err("takes too much memory; use fewer or smaller repetitions".to_owned())
            }
            Err(_) => Err(
                "is no regular expression that this exporter knows; there is no look-around and no back-reference"
                    .to_owned(),
            ),
        }
    }

    /// The pattern that decides for a preset. `None` when it does not compile, which a test over all presets excludes.
    pub fn of_preset(preset: &'static Preset) -> Option<Self> {
        let mut compiled = COMPILED_PRESETS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.get(preset.id) {
            return Some(known.clone());
        }
        let pattern = Self::new(preset.id).ok()?;
        compiled.insert(preset.id, pattern.clone());
        Some(pattern)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether the key is a session.
    pub fn matches(&self, key: &[u8]) -> bool {
        self.regex.is_match(key)
    }

    /// The part of the key that the named group `app` matched.
    pub fn app<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        Some(self.regex.captures(key)?.name("app")?.as_bytes())
    }

    /// Whether the pattern has a group `app`.
    pub fn has_app(&self) -> bool {
        self.regex.capture_names().flatten().any(|name| name == "app")
    }
}

impl PartialEq for IdPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for IdPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_see_bytes_and_name_the_app() {
        let pattern = IdPattern::new("^(?P<app>[^:]+):sess:[a-f0-9]{4}$").unwrap();
        assert!(pattern.has_app());
        assert_eq!(pattern.app(b"shop:sess:00ff"), Some(b"shop".as_slice()));
        assert_eq!(pattern.app(b"sess:00ff"), None);
        assert!(pattern.matches(b"\xff\xfe:sess:00ff"), "a key need not be text");
        assert!(!IdPattern::new("^sess:").unwrap().has_app());
    }

    #[test]
    fn what_is_no_pattern_is_said_without_quoting_it() {
        for text in ["hunter2(", "hunter2(?=x)", "(hunter2)\\1", "hunter2{1,99999}{1,99999}"] {
            let sentence = IdPattern::new(text).unwrap_err();
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
        let large = IdPattern::new("(?:[a-z]{999}){999}").unwrap_err();
        assert!(large.starts_with("takes too much memory"), "{large}");
    }

    #[test]
    fn clones_share_one_compiled_pattern() {
        let pattern = IdPattern::new("^a$").unwrap();
        assert!(Arc::ptr_eq(&pattern.regex, &pattern.clone().regex));
    }
}
