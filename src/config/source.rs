//! Where a configuration comes from, and loading it.

use super::address::parse_address;
use super::decode::{Decoder, Located};
use super::environment::Environment;
use super::password_file;
use super::problem::{ConfigErrors, Place, Problems};
use super::resolve::resolve;
use super::schema::{self, ConfigDraft, InstanceDraft, Layer, MAX_INSTANCES};
use super::tree::{self, MAX_FILE_BYTES};
use super::types::{PasswordSource, Secret};
use super::{ValidatedConfig, resolve::DEFAULT_ADDRESS};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The environment variable that holds a whole configuration as YAML.
pub const INLINE_VARIABLE: &str = "REDIS_SESSION_EXPORTER_CONFIG";

/// Where the configuration comes from. A reload loads the same source again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file: named by `--config.file`, or `exporter.yaml` found in the working directory.
    File(PathBuf),
    /// The text of [`INLINE_VARIABLE`].
    Inline,
    /// Flags and the variables of `redis_exporter`; without any of them the built-in defaults.
    Flags(FlagSource),
}

/// A text from a flag or a variable, with the name of where it came from for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// `--redis.addr`, `REDIS_ADDR`, ...
    pub origin: &'static str,
    /// The text. Addresses and user names may hold passwords.
    pub text: Secret,
}

/// What flags and variables say about servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagSource {
    /// Addresses; none means [`DEFAULT_ADDRESS`].
    pub addresses: Vec<Given>,
    /// The user for every address that names none.
    pub username: Option<Given>,
    /// The password for every address that holds none.
    pub password: Option<Given>,
    /// The file of that password; only looked at without `password`.
    pub password_file: Option<Given>,
}

/// A configuration, and what the operator should know about how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: ValidatedConfig,
    /// Sentences for the log at level WARN, without secrets.
    pub warnings: Vec<String>,
}

/// Loads a configuration and checks it whole.
///
/// # Errors
/// Every problem found, sorted by place, none of which quotes a value.
pub fn load(source: &Source, environment: &Environment) -> Result<Loaded, ConfigErrors> {
    match source {
        Source::File(path) => {
            let mut problems = Problems::new(path.display().to_string());
            let directory = path.parent().unwrap_or(Path::new(""));
            match read_file(path, &mut problems) {
                Some(text) => load_text(&text, problems, directory, environment),
                None => problems.into_result(None),
            }
        }
        Source::Inline => {
            let mut problems = Problems::new(INLINE_VARIABLE);
            match environment.get(INLINE_VARIABLE) {
                Ok(Some(text)) => load_text(&text, problems, Path::new(""), environment),
                Ok(None) => {
                    problems.add(None, "", "is not set or empty; set it to a configuration in YAML");
                    problems.into_result(None)
                }
                Err(error) => {
                    problems.add(None, "", error.to_string());
                    problems.into_result(None)
                }
            }
        }
        Source::Flags(flags) => load_flags(flags, environment),
    }
}

/// Loads a configuration from text. `origin` stands in front of every problem; relative paths of files begin at
/// `directory`.
///
/// # Errors
/// As [`load`].
pub fn load_str(text: &str, origin: &str, directory: &Path, environment: &Environment) -> Result<Loaded, ConfigErrors> {
    load_text(text, Problems::new(origin), directory, environment)
}

fn load_text(
    text: &str,
    mut problems: Problems,
    directory: &Path,
    environment: &Environment,
) -> Result<Loaded, ConfigErrors> {
    let root = tree::parse(text, &mut problems);
    let mut decoder = Decoder::new(problems, environment);
    let draft = match &root {
        Some(root) => schema::decode(&mut decoder, root, directory),
        None => ConfigDraft::default(),
    };
    let config = resolve(&mut decoder, draft);
    finish(decoder, config, Vec::new())
}

fn finish(
    mut decoder: Decoder<'_>,
    config: Option<ValidatedConfig>,
    mut warnings: Vec<String>,
) -> Result<Loaded, ConfigErrors> {
    warnings.extend(decoder.problems.take_warnings());
    decoder
        .problems
        .into_result(config.map(|config| Loaded { config, warnings }))
}

fn read_file(path: &Path, problems: &mut Problems) -> Option<String> {
    let failure = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => "does not exist; mend the path of --config.file",
        ErrorKind::PermissionDenied => "may not be read by this user; change its owner or its mode",
        _ => "cannot be read; look at its file system",
    };
    let content = std::fs::metadata(path).and_then(|metadata| {
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut content = Vec::new();
        // One byte more than allowed shows that there is more.
        let bound = u64::try_from(MAX_FILE_BYTES + 1).unwrap_or(u64::MAX);
        std::fs::File::open(path)?.take(bound).read_to_end(&mut content)?;
        Ok(Some(content))
    });
    let content = match content {
        Ok(Some(content)) => content,
        // A pipe would make every reload wait for whoever writes to it.
        Ok(None) => {
            problems.add(
                None,
                "",
                format!("is not a regular file; name one, or put the text into {INLINE_VARIABLE}"),
            );
            return None;
        }
        Err(error) => {
            problems.add(None, "", failure(&error));
            return None;
        }
    };
    match String::from_utf8(content) {
        Ok(text) => Some(text),
        // Cut off at the bound, perhaps inside of a character: the size is what is wrong then.
        Err(error) if error.as_bytes().len() > MAX_FILE_BYTES => Some("x".repeat(MAX_FILE_BYTES + 1)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
            let last_line = before.rsplit('\n').next().unwrap_or_default();
            let place = Place {
                line: before.matches('\n').count() + 1,
                column: last_line.chars().count() + 1,
            };
            problems.add(place, "", "is not UTF-8 here; save the file as UTF-8");
            None
        }
    }
}

fn load_flags(flags: &FlagSource, environment: &Environment) -> Result<Loaded, ConfigErrors> {
    let mut decoder = Decoder::new(Problems::new(""), environment);
    let mut warnings = Vec::new();
    let fallback = Given {
        origin: "built-in default",
        text: Secret::new(DEFAULT_ADDRESS),
    };
    let addresses = if flags.addresses.is_empty() {
        std::slice::from_ref(&fallback)
    } else {
        flags.addresses.as_slice()
    };
    if addresses.len() > MAX_INSTANCES {
        decoder.problems.set_origin("--redis.addr");
        let message = format!("is given more than {MAX_INSTANCES} times; split the instances over several exporters");
        decoder.problems.add(None, "", message);
        return finish(decoder, None, warnings);
    }
    let mut defaults = Layer {
        password: flag_password(&mut decoder, flags),
        ..Layer::default()
    };
    if let Some(username) = &flags.username {
        if defaults.password.is_some() || addresses.iter().all(holds_password) {
            defaults.username = Some(unplaced(username.text.expose().to_owned()));
        } else {
            // redis_exporter connects as the default user then, and pods rely on it.
            warnings.push(format!(
                "The user of {} is not used, since there is no password: set REDIS_PASSWORD, --redis.password-file or REDIS_PASSWORD_FILE.",
                username.origin
            ));
        }
    }
    let mut instances = Vec::new();
    for given in addresses {
        decoder.problems.set_origin(given.origin);
        match parse_address(given.text.expose()) {
            Ok(parsed) => {
                if parsed.password.is_some() && defaults.password.is_some() {
                    warnings.push(format!(
                        "An address of {} holds a password of its own; the other one is not used for it.",
                        given.origin
                    ));
                }
                instances.push(InstanceDraft {
                    place: None,
                    path: String::new(),
                    name: None,
                    address: Some(unplaced(parsed)),
                    layer: Layer::default(),
                });
            }
            Err(error) => decoder.problems.add(None, "", error.to_string()),
        }
    }
    let draft = ConfigDraft {
        defaults,
        instances: Some(instances),
        ..ConfigDraft::default()
    };
    let config = resolve(&mut decoder, draft);
    finish(decoder, config, warnings)
}

fn holds_password(given: &Given) -> bool {
    parse_address(given.text.expose()).is_ok_and(|parsed| parsed.password.is_some())
}

fn flag_password(decoder: &mut Decoder<'_>, flags: &FlagSource) -> Option<Located<PasswordSource>> {
    if let Some(password) = &flags.password {
        return Some(unplaced(PasswordSource::Inline(password.text.clone())));
    }
    let given = flags.password_file.as_ref()?;
    decoder.problems.set_origin(given.origin);
    let source = match password_file::checked(Path::new(""), given.text.expose()) {
        Ok(path) => PasswordSource::File(path),
        Err(failure) => {
            let sentence = failure.sentence(given.text.expose(), false);
            decoder.problems.add(None, "", sentence);
            // As in a file: what was named and is of no use does not count as missing as well.
            PasswordSource::None
        }
    };
    Some(unplaced(source))
}

fn unplaced<T>(value: T) -> Located<T> {
    Located {
        value,
        place: None,
        path: String::new(),
    }
}
