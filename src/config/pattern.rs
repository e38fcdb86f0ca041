//! The pattern of a session id: a regular expression over the bytes of a key.

use regex::bytes::{Regex, RegexBuilder};

/// Largest compiled pattern in bytes: the largest of the presets takes a tenth of it, and a store has one.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;

/// A compiled pattern that decides whether a key is a session. It is held against the whole key as bytes, without Unicode classes,
/// and has no look-around: its time is linear in the length of the key.
#[derive(Debug, Clone)]
pub struct IdPattern {
    regex: Regex,
}

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
            Ok(regex) => Ok(Self { regex }),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err("takes too much memory; use fewer or smaller repetitions".to_owned())
            }
            Err(_) => Err(
                "is no regular expression that this exporter knows; there is no look-around and no back-reference"
                    .to_owned(),
            ),
        }
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
