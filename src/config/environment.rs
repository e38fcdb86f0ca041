//! Environment variables, behind a function so that tests need not change those of their process.

use std::ffi::OsString;

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;
type Names = dyn Fn() -> Vec<OsString> + Send + Sync;

/// Looks environment variables up. An empty variable counts as not set: templates write `NAME=""` for "nothing".
pub struct Environment {
    lookup: Box<Lookup>,
    names: Box<Names>,
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
            names: Box::new(|| std::env::vars_os().map(|(name, _)| name).collect()),
        }
    }

    /// Exactly these variables.
    pub fn of_pairs(pairs: &[(&str, &str)]) -> Self {
        let pairs: Vec<(String, OsString)> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), OsString::from(*value)))
            .collect();
        let names: Vec<OsString> = pairs.iter().map(|(name, _)| OsString::from(name)).collect();
        Self {
            names: Box::new(move || names.clone()),
            lookup: Box::new(move |wanted| {
                pairs
                    .iter()
                    .find(|(name, _)| name == wanted)
                    .map(|(_, value)| value.clone())
            }),
        }
    }

    /// The names of the variables that begin like this and are set, sorted. Names that are no text begin like nothing.
    pub fn names_with(&self, prefix: &str) -> Vec<String> {
        let names = (self.names)().into_iter();
        let names = names.filter_map(|name| name.into_string().ok());
        let mut names: Vec<String> = names
            .filter(|name| name.starts_with(prefix) && !(self.lookup)(name).unwrap_or_default().is_empty())
            .collect();
        names.sort_unstable();
        names
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
        assert_eq!(environment.names_with("F"), ["FULL"]);
        assert_eq!(environment.names_with("E"), Vec::<String>::new());
    }
}
