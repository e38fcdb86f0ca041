//! Where a configuration comes from, and loading it.

use super::address::{MAX_SEEDS, ParsedAddress, parse_address};
use super::decode::{Decoder, unplaced};
use super::environment::Environment;
use super::password_map::{self, PasswordDraft, PasswordMap};
use super::peer_flags::{PeerServers, Remark, cluster_address, remarks_line};
use super::problem::{ConfigErrors, Place, Problems};
use super::resolve::{MAX_INSTANCES, resolve};
use super::schema::{self, ConfigDraft, InstanceDraft, Layer};
use super::tree::{self, MAX_FILE_BYTES};
use super::types::{Address, PasswordSource, Secret};
use super::{ValidatedConfig, resolve::DEFAULT_ADDRESS};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

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
    /// Addresses; none means those of a map of passwords, and without one [`DEFAULT_ADDRESS`]. An empty address names no server: with
    /// nothing else there are only those of the map, perhaps none at all.
    pub addresses: Vec<Given>,
    /// The user for every address that names none.
    pub username: Option<Given>,
    /// The password for every address that holds none.
    pub password: Option<Given>,
    /// The file of that password, or of a map of passwords; only looked at without `password`.
    pub password_file: Option<Given>,
    /// What the flags of `redis_exporter` say about all of them.
    pub servers: Box<PeerServers>,
    /// What else of `redis_exporter` was given and has no say.
    pub remarks: Vec<Remark>,
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
    let mut remarks = flags.remarks.clone();
    let password = flag_password(&mut decoder, flags);
    let mut defaults = flags.servers.layer(&mut decoder, &mut remarks, &mut warnings);
    let mut instances = Instances {
        flags,
        password,
        drafts: Vec::new(),
        warnings,
    };
    if !instances.collect(&mut decoder) {
        return finish(decoder, None, instances.warnings);
    }
    let is_spoken = instances.so_far().any(|(_, parsed)| parsed.address.tls);
    defaults.tls = flags.servers.tls_layer(&mut decoder, is_spoken, &mut remarks);
    let mut warnings = instances.warnings;
    warnings.splice(0..0, remarks_line(&remarks));
    let draft = ConfigDraft {
        defaults,
        instances: Some(instances.drafts),
        ..ConfigDraft::default()
    };
    let config = resolve(&mut decoder, draft);
    if let Some(config) = &config {
        let clusters = config.clusters.iter().map(|cluster| &cluster.template);
        let unverified = config.instances.iter().chain(clusters);
        let unverified = unverified.filter(|instance| instance.tls.insecure_skip_verify);
        let names: Vec<&str> = unverified.map(|instance| instance.name.as_str()).collect();
        warnings.extend(flags.servers.unverified_warning(&names));
    }
    finish(decoder, config, warnings)
}

/// What addresses of one cluster share.
#[derive(PartialEq)]
struct ClusterKind {
    username: Option<String>,
    in_address: Option<Secret>,
    source: PasswordSource,
    database: u32,
    tls: bool,
}

/// Makes the instances of flags.
struct Instances<'f> {
    flags: &'f FlagSource,
    password: Option<PasswordDraft>,
    drafts: Vec<InstanceDraft>,
    warnings: Vec<String>,
}

impl Instances<'_> {
    /// All of them; `false` when there are too many to go on.
    fn collect(&mut self, decoder: &mut Decoder<'_>) -> bool {
        let named: Vec<&Given> = self
            .flags
            .addresses
            .iter()
            .filter(|given| !given.text.expose().is_empty())
            .collect();
        if named.len() > MAX_INSTANCES {
            decoder.problems.set_origin("--redis.addr");
            let message =
                format!("is given more than {MAX_INSTANCES} times; split the instances over several exporters");
            decoder.problems.add(None, "", message);
            return false;
        }
        for given in &named {
            self.add(decoder, given);
        }
        if let Some(PasswordDraft::Map(map)) = self.password.clone() {
            self.add_all(decoder, &map);
        }
        if self.flags.addresses.is_empty() && self.drafts.is_empty() && decoder.problems.is_empty() {
            let fallback = Given {
                origin: "built-in default",
                text: Secret::new(DEFAULT_ADDRESS),
            };
            self.add(decoder, &fallback);
        }
        if self.drafts.is_empty() && decoder.problems.is_empty() {
            self.warnings.push(
                "No server is watched, since --redis.addr is empty: /metrics shows this exporter alone. Name servers with --redis.addr, or in a file."
                    .to_owned(),
            );
        }
        self.merge_clusters();
        self.warn_of_unused_user();
        true
    }

    /// Makes addresses of clusters with the same credentials and database the configured nodes of one: a map of passwords mostly lists every
    /// node of a cluster. Should they be those of several, all of them are watched as well, since each answer speaks for its own nodes.
    fn merge_clusters(&mut self) {
        let mut merged: Vec<InstanceDraft> = Vec::with_capacity(self.drafts.len());
        // Credentials of each draft in `merged`, computed once.
        let mut kinds: Vec<Option<ClusterKind>> = Vec::with_capacity(self.drafts.len());
        for mut draft in std::mem::take(&mut self.drafts) {
            let kind = self.cluster_kind(&draft);
            let seeds = draft.address.as_mut().and_then(|address| address.value.cluster.take());
            let is_room = |known: &InstanceDraft| {
                let known = known
                    .address
                    .as_ref()
                    .and_then(|address| address.value.cluster.as_ref());
                known
                    .zip(seeds.as_ref())
                    .is_some_and(|(known, seeds)| known.len() + seeds.len() <= MAX_SEEDS)
            };
            let mut places = merged.iter_mut().zip(&kinds);
            let place = places.find(|(known, of)| kind.is_some() && **of == kind && is_room(known));
            match (place, seeds) {
                (Some((known, _)), Some(seeds)) => {
                    if let Some(known) = known
                        .address
                        .as_mut()
                        .and_then(|address| address.value.cluster.as_mut())
                    {
                        let new: Vec<_> = seeds.into_iter().filter(|seed| !known.contains(seed)).collect();
                        known.extend(new);
                    }
                }
                (_, seeds) => {
                    if let Some(address) = &mut draft.address {
                        address.value.cluster = seeds;
                    }
                    merged.push(draft);
                    kinds.push(kind);
                }
            }
        }
        self.drafts = merged;
    }

    /// What must be the same in addresses of one cluster; `None` for a server, and for one that got a name to be told apart.
    fn cluster_kind(&self, draft: &InstanceDraft) -> Option<ClusterKind> {
        let parsed = &draft.address.as_ref()?.value;
        if parsed.cluster.is_none() || draft.name.is_some() {
            return None;
        }
        let own = draft.layer.username.as_ref().map(|located| located.value.clone());
        let source = match draft.layer.password.as_ref().map(|located| &located.value) {
            Some(PasswordDraft::Source(source)) => source.clone(),
            Some(PasswordDraft::Map(_)) | None => PasswordSource::None,
        };
        let source = match &self.password {
            Some(PasswordDraft::Map(map)) => map.representative(&source).unwrap_or(source),
            Some(PasswordDraft::Source(_)) | None => source,
        };
        Some(ClusterKind {
            username: parsed.username.clone().or(own),
            in_address: parsed.password.clone(),
            source,
            database: parsed.address.database,
            tls: parsed.address.tls,
        })
    }

    /// One address of a flag or variable.
    fn add(&mut self, decoder: &mut Decoder<'_>, given: &Given) {
        decoder.problems.set_origin(given.origin);
        let written = given.text.expose();
        let text = if self.flags.servers.is_cluster() {
            cluster_address(written)
        } else {
            written.to_owned()
        };
        let parsed = match parse_address(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                decoder.problems.add(None, "", error.to_string());
                return;
            }
        };
        let mut layer = Layer::default();
        let user = parsed.username.clone().or_else(|| self.user());
        let password = match &self.password {
            _ if parsed.password.is_some() => {
                if self.password.is_some() {
                    self.warnings.push(format!(
                        "An address of {} holds a password of its own; the other one is not used for it.",
                        given.origin
                    ));
                }
                None
            }
            Some(PasswordDraft::Map(map)) => map
                .entry(&parsed.address, user.as_deref())
                .filter(|entry| entry.has_password)
                .map(|entry| map.source(entry)),
            Some(PasswordDraft::Source(source)) => Some(source.clone()),
            None => None,
        };
        // Without a password redis_exporter connects as the default user, and pods rely on it. An address that names a user itself means it.
        let has_password = parsed.password.is_some() || password.is_some();
        if has_password && parsed.username.is_none() {
            layer.username = self.user().map(unplaced);
        }
        layer.password = password.map(|source| unplaced(PasswordDraft::Source(source)));
        self.push(parsed, layer, None);
    }

    /// The addresses of a map that no flag names, as further instances.
    fn add_all(&mut self, decoder: &mut Decoder<'_>, map: &Rc<PasswordMap>) {
        let origin = self
            .flags
            .password_file
            .as_ref()
            .map_or("--redis.password-file", |given| given.origin);
        let before = self.drafts.len();
        for (index, entry) in map.entries.iter().enumerate() {
            decoder.problems.set_origin(origin);
            let text = if self.flags.servers.is_cluster() {
                cluster_address(entry.written())
            } else {
                entry.written().to_owned()
            };
            let mut parsed = match parse_address(&text) {
                Ok(parsed) => parsed,
                Err(error) => {
                    let message = format!("names a file whose entry {} {error}", index + 1);
                    decoder.problems.add(None, "", message);
                    continue;
                }
            };
            // The value is the password; one in the address is only a part of the name that redis_exporter looks up.
            parsed.password = None;
            let user = parsed
                .username
                .clone()
                .or_else(|| entry.has_password.then(|| self.user()).flatten());
            if self.is_named(&parsed.address, entry.names_scheme(), user.as_deref()) {
                continue;
            }
            if self.drafts.len() >= MAX_INSTANCES {
                let message = format!(
                    "names more than {MAX_INSTANCES} servers with --redis.addr; split them over several exporters"
                );
                decoder.problems.add(None, "", message);
                return;
            }
            let mut layer = Layer::default();
            if !entry.has_password {
                parsed.username = None;
            } else if parsed.username.is_none() {
                layer.username = self.user().map(unplaced);
            }
            layer.password = Some(unplaced(PasswordDraft::Source(map.source(entry))));
            let name = self.free_name(&parsed, user.as_deref());
            self.push(parsed, layer, name);
        }
        let added = self.drafts.len() - before;
        if added > 0 {
            self.warnings.push(format!(
                "{added} instances come from the addresses in the file of {origin}: /scrape answers for configured addresses alone, so the targets of a multi-target job belong there."
            ));
        }
    }

    fn push(&mut self, parsed: ParsedAddress, layer: Layer, name: Option<String>) {
        self.drafts.push(InstanceDraft {
            place: None,
            path: String::new(),
            name: name.map(unplaced),
            address: Some(unplaced(parsed)),
            layer,
        });
    }

    fn user(&self) -> Option<String> {
        self.flags.username.as_ref().map(|given| given.text.expose().to_owned())
    }

    /// Addresses and users of the instances so far.
    fn so_far(&self) -> impl Iterator<Item = (&InstanceDraft, &ParsedAddress)> {
        self.drafts
            .iter()
            .filter_map(|draft| draft.address.as_ref().map(|located| (draft, &located.value)))
    }

    /// Whether this server is an instance already, as this user. An address without a scheme is that of a server which is spoken to over
    /// TLS as well.
    fn is_named(&self, address: &Address, with_scheme: bool, user: Option<&str>) -> bool {
        self.so_far().any(|(draft, parsed)| {
            let own = draft.layer.username.as_ref().map(|located| located.value.as_str());
            let tls = address.tls || (!with_scheme && parsed.address.tls);
            let address = Address { tls, ..address.clone() };
            parsed.address == address && parsed.username.as_deref().or(own) == user
        })
    }

    /// A name where another instance has the usual one: the same server with another database or another user.
    fn free_name(&self, parsed: &ParsedAddress, user: Option<&str>) -> Option<String> {
        let usual = parsed.address.default_name();
        let taken = self.so_far().any(|(_, known)| known.address.default_name() == usual);
        taken.then(|| {
            let whole = parsed.address.to_string();
            let place = whole.split_once("://").map_or(whole.as_str(), |(_, place)| place);
            match user {
                Some(user) => format!("{user}@{place}"),
                None => place.to_owned(),
            }
        })
    }

    /// The user of a flag or variable is for servers with a password. One that none has is named.
    fn warn_of_unused_user(&mut self) {
        let Some(given) = &self.flags.username else {
            return;
        };
        let is_used = self.drafts.iter().any(|draft| draft.layer.username.is_some());
        let all_name_their_own = self.so_far().all(|(_, parsed)| parsed.username.is_some());
        if !is_used && !all_name_their_own {
            self.warnings.push(format!(
                "The user of {} is not used, since there is no password: set REDIS_PASSWORD, --redis.password-file or REDIS_PASSWORD_FILE.",
                given.origin
            ));
        }
    }
}

fn flag_password(decoder: &mut Decoder<'_>, flags: &FlagSource) -> Option<PasswordDraft> {
    if let Some(password) = &flags.password {
        return Some(PasswordDraft::Source(PasswordSource::Inline(password.text.clone())));
    }
    let given = flags.password_file.as_ref()?;
    decoder.problems.set_origin(given.origin);
    match password_map::checked(Path::new(""), given.text.expose()) {
        Ok(draft) => Some(draft),
        Err(failure) => {
            let sentence = failure.sentence(given.text.expose(), false);
            decoder.problems.add(None, "", sentence);
            // As in a file: what was named and is of no use does not count as missing as well.
            Some(PasswordDraft::Source(PasswordSource::None))
        }
    }
}
