//! Problems of a configuration: where, what is wrong, and what to write instead. They never quote a value.

use std::fmt;

/// A position in a configuration text; both numbers start at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One thing that is wrong. `Display` is `origin:line:column: path: what is wrong; what to write instead`.
///
/// The message is made of key names that the schema knows, of positions and of fixed sentences. Values are never quoted,
/// since any of them may hold a password that somebody wrote into the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, the environment variable or the flag that the configuration came from.
    pub origin: String,
    /// Where in that text; `None` for what has no position, e.g. a file that cannot be read.
    pub place: Option<Place>,
    /// Path of the key, e.g. `instances[0].poll.timeout`; empty for the text as a whole.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.origin)?;
        if let Some(place) = self.place {
            write!(formatter, ":{}:{}", place.line, place.column)?;
        }
        if !self.path.is_empty() {
            write!(formatter, ": {}", self.path)?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// Every problem of a configuration, sorted by place. `Display` writes one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The problems; never empty.
    pub problems: Vec<Problem>,
    /// How many more there are than `MAX_PROBLEMS`.
    pub left_out: usize,
}

impl ConfigErrors {
    /// The problems of both, these first.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.problems.extend(others.problems);
        self.left_out += others.left_out;
        self
    }

    /// One line of text per problem, for logs that want an event each.
    pub fn lines(&self) -> Vec<String> {
        self.to_string().lines().map(str::to_owned).collect()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        if self.left_out > 0 {
            write!(formatter, "\n... and {} more problems", self.left_out)?;
        }
        Ok(())
    }
}

/// Most problems that are kept. A file with more is not this program's configuration; without a bound a hostile one of
/// 1 MiB would turn into a log of 20 MiB.
const MAX_PROBLEMS: usize = 1000;

/// Most warnings that are kept: a log is no place for more of them.
const MAX_WARNINGS: usize = 100;

/// Collects problems of one origin while decoding goes on.
pub(super) struct Problems {
    origin: String,
    found: Vec<Problem>,
    left_out: usize,
    /// What is allowed and yet most likely not meant.
    warnings: Vec<Problem>,
    warnings_left_out: usize,
}

impl Problems {
    /// An empty list for one origin.
    pub(super) fn new(origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            found: Vec::new(),
            left_out: 0,
            warnings: Vec::new(),
            warnings_left_out: 0,
        }
    }

    /// Problems noted from now on come from elsewhere, e.g. another flag.
    pub(super) fn set_origin(&mut self, origin: &str) {
        origin.clone_into(&mut self.origin);
    }

    /// Notes a problem.
    pub(super) fn add(&mut self, place: impl Into<Option<Place>>, path: &str, message: impl Into<String>) {
        if self.found.len() >= MAX_PROBLEMS {
            self.left_out += 1;
            return;
        }
        self.found.push(Problem {
            origin: self.origin.clone(),
            place: place.into(),
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// Notes something that is allowed and yet most likely not meant.
    pub(super) fn warn(&mut self, place: impl Into<Option<Place>>, path: &str, message: impl Into<String>) {
        if self.warnings.len() >= MAX_WARNINGS {
            self.warnings_left_out += 1;
            return;
        }
        self.warnings.push(Problem {
            origin: self.origin.clone(),
            place: place.into(),
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The warnings noted so far as sentences for the log, sorted by place and without repetitions.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.sort();
        warnings.dedup();
        let mut sentences: Vec<String> = warnings.iter().map(Problem::to_string).collect();
        if self.warnings_left_out > 0 {
            sentences.push(format!("... and {} more warnings", self.warnings_left_out));
        }
        sentences
    }

    /// The errors, sorted by place and without repetitions, or `value` when there are none.
    pub(super) fn into_result<T>(mut self, value: Option<T>) -> Result<T, ConfigErrors> {
        self.found.sort();
        self.found.dedup();
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(ConfigErrors {
                problems: self.found,
                left_out: self.left_out,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_sorted_once_and_with_their_place() {
        let mut problems = Problems::new("exporter.yaml");
        let late = Place { line: 10, column: 1 };
        problems.add(late, "b", "second");
        problems.add(late, "b", "second");
        problems.add(Place { line: 9, column: 30 }, "a", "first");
        problems.add(None, "", "the whole file");
        let errors = problems.into_result(Some(())).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "exporter.yaml: the whole file\nexporter.yaml:9:30: a: first\nexporter.yaml:10:1: b: second"
        );
    }

    #[test]
    fn warnings_come_sorted_once_and_bounded() {
        let mut problems = Problems::new("x");
        for line in (1..=MAX_WARNINGS + 2).rev() {
            problems.warn(Place { line, column: 1 }, "a", "odd");
        }
        let warnings = problems.take_warnings();
        assert_eq!(warnings.len(), MAX_WARNINGS + 1);
        assert_eq!(warnings.first().map(String::as_str), Some("x:3:1: a: odd"));
        assert_eq!(warnings.last().map(String::as_str), Some("... and 2 more warnings"));
        assert!(problems.is_empty() && problems.into_result(Some(())).is_ok());
    }

    #[test]
    fn a_flood_of_problems_is_counted_not_kept() {
        let mut problems = Problems::new("x");
        for line in 1..=MAX_PROBLEMS + 7 {
            problems.add(Place { line, column: 1 }, "", "bad");
        }
        let errors = problems.into_result(Some(())).unwrap_err();
        assert_eq!(errors.problems.len(), MAX_PROBLEMS);
        assert!(errors.to_string().ends_with("... and 7 more problems"));
    }
}
