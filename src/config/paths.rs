//! Paths of files: `${NAME}/` at their beginning stands for a folder that the environment names.
//!
//! It is there for systemd, which puts credentials into a folder of its own making and says in `CREDENTIALS_DIRECTORY` where that is
//! (systemd.exec(5), `LoadCredential=`, from systemd 247 on).

use super::decode::is_variable_name;
use super::environment::Environment;
use std::borrow::Cow;

/// The variable in which systemd names the folder of a unit's credentials.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Why a path cannot be made. Neither the path nor what the variable holds is part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `${` without a name, a `}` and a `/`.
    #[error(
        "begins with `${{`, but not with `${{NAME}}/`, the folder that an environment variable names (letters, digits, `_`); write `./` in front if a file is called like that"
    )]
    NotAPrefix,
    /// The variable is not set, or empty.
    #[error("begins with the environment variable {0}, which is not set or empty; {advice}", advice = advice(.0))]
    NotSet(String),
    /// It holds no absolute path, and so most likely no folder but a secret, which must not become part of a path that is shown.
    #[error(
        "begins with the environment variable {0}, which holds no absolute path; set it to one that begins with `/`"
    )]
    NotAbsolute(String),
    /// It holds bytes that are not UTF-8.
    #[error(transparent)]
    NotText(#[from] super::environment::NotText),
}

fn advice(variable: &str) -> &'static str {
    if variable == CREDENTIALS_VARIABLE {
        "systemd sets it for units with `LoadCredential=NAME:/path/of/the/file`; add such a line to the unit, or write the whole path here"
    } else {
        "set it, or write the whole path here"
    }
}

/// The path with `${NAME}/` at its beginning replaced. What the variable holds is not replaced again, and a `${` elsewhere stands for itself.
///
/// # Errors
/// [`PathError`]
pub fn expanded<'t>(written: &'t str, environment: &Environment) -> Result<Cow<'t, str>, PathError> {
    let Some(rest) = written.strip_prefix("${") else {
        return Ok(Cow::Borrowed(written));
    };
    let Some((name, file)) = rest.split_once("}/").filter(|(name, _)| is_variable_name(name)) else {
        return Err(PathError::NotAPrefix);
    };
    match environment.get(name)? {
        None => Err(PathError::NotSet(name.to_owned())),
        Some(folder) if !folder.starts_with('/') => Err(PathError::NotAbsolute(name.to_owned())),
        Some(folder) => Ok(Cow::Owned(format!("{}/{file}", folder.trim_end_matches('/')))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(written: &str) -> Result<String, PathError> {
        let environment = Environment::of_pairs(&[
            ("CREDENTIALS_DIRECTORY", "/run/credentials/x.service"),
            ("SLASH", "/a/"),
            ("ROOT", "/"),
            ("NESTED", "/${SLASH}"),
            ("SECRET", "hunter2"),
            ("EMPTY", ""),
        ]);
        expanded(written, &environment).map(Cow::into_owned)
    }

    #[test]
    fn a_variable_at_the_beginning_is_a_folder() {
        for (written, path) in [
            ("${CREDENTIALS_DIRECTORY}/redis", "/run/credentials/x.service/redis"),
            (
                "${CREDENTIALS_DIRECTORY}/tls/key.pem",
                "/run/credentials/x.service/tls/key.pem",
            ),
            ("${SLASH}/b", "/a/b"),
            ("${ROOT}/b", "/b"),
            // Nothing is replaced twice, and nothing but the beginning.
            ("${NESTED}/b", "/${SLASH}/b"),
            ("${SLASH}/${SLASH}/b", "/a/${SLASH}/b"),
            ("/x/${SLASH}/b", "/x/${SLASH}/b"),
            ("./${SLASH}/b", "./${SLASH}/b"),
            ("$SLASH/b", "$SLASH/b"),
            ("relative", "relative"),
            ("", ""),
        ] {
            assert_eq!(expand(written).as_deref(), Ok(path), "{written}");
        }
    }

    #[test]
    fn other_beginnings_are_refused_without_showing_anything() {
        for written in ["${}/b", "${A B}/b", "${SLASH}b", "${SLASH", "${SLASH/b", "${1A}/b"] {
            assert_eq!(expand(written), Err(PathError::NotAPrefix), "{written}");
        }
        assert_eq!(expand("${MISSING}/b"), Err(PathError::NotSet("MISSING".to_owned())));
        assert_eq!(expand("${EMPTY}/b"), Err(PathError::NotSet("EMPTY".to_owned())));
        let error = expand("${SECRET}/b").unwrap_err();
        assert_eq!(error, PathError::NotAbsolute("SECRET".to_owned()));
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_missing_credential_folder_says_what_the_unit_needs() {
        let nothing = Environment::of_pairs(&[]);
        let error = expanded("${CREDENTIALS_DIRECTORY}/redis", &nothing)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("CREDENTIALS_DIRECTORY") && error.contains("LoadCredential="),
            "{error}"
        );
        let error = expanded("${FOLDER}/redis", &nothing).unwrap_err().to_string();
        assert!(!error.contains("LoadCredential"), "{error}");
    }
}
