//! Written lists of what is allowed to differ, each line with its reason.

use std::collections::BTreeSet;

/// One line of a list: words before the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exception {
    /// Name of a metric, or its beginning and `*`.
    pub name: String,
    /// What may differ.
    pub what: String,
}

impl Exception {
    /// Whether it speaks of this metric.
    pub fn is_about(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.name,
        }
    }
}

/// Reads lines `name what… # reason`; empty lines and lines that begin with `#` are text for people.
pub fn read(file: &str) -> BTreeSet<Exception> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/e2e")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (exception, reason) = line
                .split_once(" # ")
                .unwrap_or_else(|| panic!("{file}: a line without a reason: {line}"));
            assert!(!reason.trim().is_empty(), "{file}: a line without a reason: {line}");
            let (name, what) = exception
                .trim()
                .split_once(' ')
                .unwrap_or_else(|| panic!("{file}: {line}"));
            Exception {
                name: name.to_owned(),
                what: what.trim().to_owned(),
            }
        })
        .collect()
}
