//! Environment variables, behind a function so that tests need not change those of their process.

use std::ffi::OsString;

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Looks environment variables up. An empty variable counts as not set: templates write `NAME=""` for "nothing".
pub struct Environment {
    lookup: Box<Lookup>,
}

/// A variable is set, but to bytes that are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} is not valid UTF-8; set it to text")]
pub struct NotText {
    /// Name of the variable.
    pub name: String,
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self {
            lookup: Box::new(|name| std::env::var_os(name)),
        }
    }

    /// Exactly these variables.
    pub fn of_pairs(pairs: &[(&str, &str)]) -> Self {
        let pairs: Vec<(String, OsString)> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), OsString::from(*value)))
            .collect();
        Self {
            lookup: Box::new(move |wanted| {
                pairs
                    .iter()
                    .find(|(name, _)| name == wanted)
                    .map(|(_, value)| value.clone())
            }),
        }
    }

    /// The variable's text; `None` when it is not set or empty.
    ///
    /// # Errors
    /// [`NotText`] when it is not valid UTF-8. The value is not part of the error.
    pub fn get(&self, name: &str) -> Result<Option<String>, NotText> {
        match (self.lookup)(name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => match value.into_string() {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(NotText { name: name.to_owned() }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_counts_as_not_set() {
        let environment = Environment::of_pairs(&[("EMPTY", ""), ("FULL", "x")]);
        assert_eq!(environment.get("EMPTY"), Ok(None));
        assert_eq!(environment.get("MISSING"), Ok(None));
        assert_eq!(environment.get("FULL"), Ok(Some("x".to_owned())));
    }
}
