//! Flags, their environment variables, and subcommands.
//!
//! clap reads the flags; the variables are read here, because an empty variable must count as not set and because tests can
//! then bring their own. A flag beats its variable, a variable beats the default.

mod action;
mod arguments;
mod listen;
mod peer;
mod peer_values;
mod unknown;
mod web;

use crate::config::peer_flags::{Remark, remarks_line};
use crate::config::source::INLINE_VARIABLE;
use crate::config::types::{BasicAuth, Secret};
use crate::config::{Environment, FlagSource, Given, Source};
use crate::telemetry::{LogFormat, LogLevel};
pub use action::Action;
use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueEnum};
pub use listen::{ListenAddressError, parse_listen_address};
use peer::{PeerFlag, ProcessFlag};
use peer_values::PeerValues;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
pub use web::{ServerTlsFlags, WebSource};

/// The version of this package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the compiler that built this program, e.g. `1.95.0`.
pub const RUSTC_VERSION: &str = env!("BUILD_RUSTC");
/// The target that this program was built for, e.g. `x86_64-unknown-linux-musl`.
pub const TARGET: &str = env!("BUILD_TARGET");

/// Where the daemon listens when nobody says otherwise; 9121 is the port of Redis exporters in Prometheus' list of ports.
pub const DEFAULT_LISTEN_ADDRESS: &str = ":9121";
/// The port of [`DEFAULT_LISTEN_ADDRESS`].
const DEFAULT_PORT: u16 = 9121;
/// Where metrics are served when nobody says otherwise.
pub const DEFAULT_TELEMETRY_PATH: &str = "/metrics";
/// The file that is read from the working directory when nobody names one.
pub const DEFAULT_CONFIG_FILE: &str = "exporter.yaml";

/// Every variable of a flag is this and the flag's name in capitals, with `_` for `.` and `-`.
const VARIABLE_PREFIX: &str = "REDIS_SESSION_EXPORTER_";

/// Stands below the flags of `--help`, above the list of the flags of `redis_exporter`.
const HELP_OF_VARIABLES: &str = "Every flag but --version and --redis.* has an environment variable: REDIS_SESSION_EXPORTER_ and the flag in capitals with _ for . and - (REDIS_SESSION_EXPORTER_WEB_LISTEN_ADDRESS). A flag beats its variable; an empty variable counts as not set.";

/// Paths that `--web.telemetry-path` may not take, because something else is served there or below.
const TAKEN_PATHS: [&str; 10] = [
    "/probe",
    "/scrape",
    "/sd",
    "/config",
    "/health",
    "/api",
    "/-",
    "/rules",
    "/dashboards",
    "/discover-cluster-nodes",
];

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "redis-session-exporter",
    display_name = "redis-session-exporter,",
    about = "Watches Redis and Valkey servers that hold login sessions and serves metrics to Prometheus.",
    version = concat!("version ", env!("CARGO_PKG_VERSION"), "\n  rustc version: ", env!("BUILD_RUSTC"), "\n  platform: ", env!("BUILD_TARGET")),
    propagate_version = true
)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Action>,
    /// The flags of `redis_exporter` that are not ours.
    #[arg(skip)]
    peer: Vec<(&'static PeerFlag, String)>,
}

#[derive(Debug, Args)]
struct Flags {
    /// Configuration file; by default exporter.yaml in the working directory where there is one
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    config_file: Option<PathBuf>,
    /// Validate the configuration and exit: 0 when it is valid, 78 when not
    #[arg(long = "config.check", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::value_parser!(bool), global = true)]
    config_check: Option<bool>,
    /// Address to listen on (`:9121`, `127.0.0.1:9121`, `[::1]:9121`); may be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS", global = true)]
    web_listen_address: Vec<String>,
    /// Path under which metrics are served [default: /metrics]
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        global = true,
        overrides_with = "web_telemetry_path"
    )]
    web_telemetry_path: Option<String>,
    /// File that says how the HTTP server speaks TLS and who is let in, in the format of Prometheus' exporter-toolkit
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        global = true,
        overrides_with = "web_config_file"
    )]
    web_config_file: Option<OsString>,
    /// URL under which this daemon is reached from outside, for /sd
    #[arg(long = "web.external-url", value_name = "URL", global = true)]
    web_external_url: Option<String>,
    /// Listen on the sockets that systemd hands over instead of --web.listen-address
    #[arg(long = "web.systemd-socket", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::value_parser!(bool), global = true)]
    web_systemd_socket: Option<bool>,
    /// Serve POST /-/reload
    #[arg(long = "web.enable-lifecycle", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::value_parser!(bool), global = true)]
    web_enable_lifecycle: Option<bool>,
    /// Least severe messages that are logged [default: info]
    #[arg(long = "log.level", value_name = "LEVEL", global = true)]
    log_level: Option<LogLevel>,
    /// Format of log lines [default: logfmt]
    #[arg(long = "log.format", value_name = "FORMAT", global = true)]
    log_format: Option<LogFormat>,
    /// Address of a Redis or Valkey server, instead of a configuration file; may be given several times (variable: REDIS_ADDR or REDIS_URL)
    #[arg(long = "redis.addr", value_name = "ADDRESS", global = true, value_parser = secret_text)]
    redis_addr: Vec<Secret>,
    /// ACL user for --redis.addr (variable: REDIS_USER)
    #[arg(long = "redis.user", value_name = "USER", global = true, value_parser = secret_text, overrides_with = "redis_user")]
    redis_user: Option<Secret>,
    /// File that holds the password for --redis.addr, or a JSON object {"redis://user@host:port": "password"} of several servers (variable: REDIS_PASSWORD_FILE; or the password itself in REDIS_PASSWORD)
    #[arg(long = "redis.password-file", value_name = "FILE", global = true, value_parser = secret_text, overrides_with = "redis_password_file")]
    redis_password_file: Option<Secret>,
    /// Password for --redis.addr, for every user of this machine to read; better REDIS_PASSWORD
    #[arg(long = "redis.password", value_name = "PASSWORD", global = true, value_parser = secret_text, overrides_with = "redis_password")]
    redis_password: Option<Secret>,
}

#[allow(clippy::unnecessary_wraps, reason = "clap wants a parser that may fail")]
fn secret_text(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// The command line was used in a way that makes no sense; the process ends with code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// The command line could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CommandLineError {
    /// Help or the version was asked for, or it has what no flag or command is.
    #[error("{0}")]
    Clap(clap::Error),
    /// A flag of `redis_exporter` was used wrongly.
    #[error("{0}")]
    Usage(#[from] UsageError),
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// As it was written.
    pub written: String,
    /// Socket addresses of which the first that can be bound is used: `:9121` is `[::]:9121` for both families, or
    /// `0.0.0.0:9121` on a machine without IPv6.
    pub candidates: Vec<SocketAddr>,
}

/// Everything that flags and their variables say, besides where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What to do.
    pub action: Action,
    /// Whether to validate the configuration and exit.
    pub config_check: bool,
    /// Where to listen; never empty, but of no meaning with `systemd_socket`.
    pub listen_addresses: Vec<ListenAddress>,
    /// Path of the metrics; begins with `/`, and is neither `/` nor a path that something else has.
    pub telemetry_path: String,
    /// URL of this daemon from outside, without a `/` at its end.
    pub external_url: Option<String>,
    /// Whether sockets come from systemd.
    pub systemd_socket: bool,
    /// Whether `POST /-/reload` is served.
    pub enable_lifecycle: bool,
    /// Least severe messages that are logged.
    pub log_level: LogLevel,
    /// Format of log lines.
    pub log_format: LogFormat,
    /// How the HTTP server speaks TLS and who is let in.
    pub web: WebSource,
    /// A user that is let in beside those of `web`; while nobody is named, everybody is let in.
    pub basic_auth: Option<BasicAuth>,
    /// Whether `/metrics` leaves out what the exporter says of itself and its process.
    pub redis_only_metrics: bool,
    /// Whether `/probe` and `/scrape` are not served.
    pub disable_scrape_endpoint: bool,
    /// Whether `/metrics` shows the exporter alone: `--redis.addr=` was given and names nothing, so that each Redis is asked for at `/scrape`.
    pub exporter_alone: bool,
}

/// Where the configuration comes from, with what the operator should know about the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenSource {
    /// To be given to [`crate::config::load`].
    pub source: Source,
    /// Sentences for the log at level WARN, without secrets.
    pub warnings: Vec<String>,
}

impl Cli {
    /// Reads a command line, the name of the program first, in the forms of Go as well: `-redis.addr x`, `--is-cluster=false`.
    ///
    /// # Errors
    /// [`CommandLineError`]; it never holds the value of a flag of `redis_exporter`.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, CommandLineError> {
        let command = Self::command();
        let takes_word = |name: &str| {
            command
                .get_arguments()
                .find(|argument| argument.get_long() == Some(name))
                .is_some_and(|argument| argument.get_action().takes_values() && !argument.is_require_equals_set())
        };
        let split = arguments::split(arguments, takes_word)?;
        let mut command = Self::command()
            .after_help(format!("{HELP_OF_VARIABLES}\n\n{}", peer::SHORT_HELP))
            .after_long_help(format!("{HELP_OF_VARIABLES}\n\n{}", peer::help()));
        let matches = command
            .try_get_matches_from_mut(split.ours)
            .map_err(|error| CommandLineError::Clap(unknown::suggest_flag(error, &Self::command())))?;
        let mut cli =
            Self::from_arg_matches(&matches).map_err(|error| CommandLineError::Clap(error.format(&mut command)))?;
        cli.peer = split.peer;
        Ok(cli)
    }

    /// The settings of flags and variables.
    ///
    /// # Errors
    /// [`UsageError`] when a value makes no sense; it names the flag or the variable.
    pub fn settings(&self, environment: &Environment) -> Result<Settings, UsageError> {
        let flags = &self.flags;
        let peer = PeerValues::read(&self.peer, environment)?;
        let written = if flags.web_listen_address.is_empty() {
            match variable(environment, "web.listen-address")? {
                Some((_, text)) => text.split(',').map(|part| part.trim().to_owned()).collect(),
                None => {
                    let theirs = get(environment, "REDIS_EXPORTER_WEB_LISTEN_ADDRESS")?;
                    vec![theirs.unwrap_or_else(|| DEFAULT_LISTEN_ADDRESS.to_owned())]
                }
            }
        } else {
            flags.web_listen_address.clone()
        };
        let mut listen_addresses = Vec::new();
        for written in written {
            let candidates = parse_listen_address(&written)
                .map_err(|error| UsageError(format!("--web.listen-address {error}, not {written:?}")))?;
            listen_addresses.push(ListenAddress { written, candidates });
        }
        let external_url = text(environment, "web.external-url", flags.web_external_url.as_ref())?;
        let telemetry_path = match text(environment, "web.telemetry-path", flags.web_telemetry_path.as_ref())? {
            Some(path) => Some(path),
            None => get(environment, "REDIS_EXPORTER_WEB_TELEMETRY_PATH")?,
        };
        let log_level = nearest_of(flags.log_level, word(environment, "log.level", None)?, peer.log_level());
        let log_format = nearest_of(
            flags.log_format,
            word(environment, "log.format", None)?,
            peer.log_format(),
        );
        Ok(Settings {
            action: self.command.clone().unwrap_or(Action::Serve),
            config_check: switch(environment, "config.check", flags.config_check)?,
            listen_addresses,
            telemetry_path: match telemetry_path {
                Some(path) => checked_telemetry_path(path)?,
                None => DEFAULT_TELEMETRY_PATH.to_owned(),
            },
            external_url: external_url.map(|url| checked_external_url(&url)).transpose()?,
            systemd_socket: switch(environment, "web.systemd-socket", flags.web_systemd_socket)?,
            enable_lifecycle: switch(environment, "web.enable-lifecycle", flags.web_enable_lifecycle)?,
            log_level: log_level.unwrap_or(LogLevel::Info),
            log_format: log_format.unwrap_or(LogFormat::Logfmt),
            web: self.web_source(environment, &peer)?,
            basic_auth: peer.basic_auth()?,
            redis_only_metrics: peer.is_on(ProcessFlag::RedisOnlyMetrics),
            disable_scrape_endpoint: peer.is_on(ProcessFlag::DisableScrapeEndpoint),
            exporter_alone: !flags.redis_addr.is_empty()
                && flags.redis_addr.iter().all(|text| text.expose().is_empty()),
        })
    }

    /// Where the configuration comes from: `--config.file`, else the YAML in `REDIS_SESSION_EXPORTER_CONFIG`, else
    /// `--redis.addr`, else `exporter.yaml` in the working directory, else the variables of `redis_exporter`, else the
    /// built-in defaults.
    ///
    /// # Errors
    /// [`UsageError`] when a `--redis.*` flag stands beside a configuration that it would have to change.
    pub fn config_source(&self, environment: &Environment) -> Result<ChosenSource, UsageError> {
        let mut chosen = self.config_source_in(environment, Path::new(""))?;
        chosen.warnings.extend(unknown::warning_of_variables(environment));
        Ok(chosen)
    }

    /// [`Self::config_source`] with a working directory of the caller's choice.
    fn config_source_in(&self, environment: &Environment, directory: &Path) -> Result<ChosenSource, UsageError> {
        let mut warnings = Vec::new();
        let peer = PeerValues::read(&self.peer, environment)?;
        let inline = get(environment, INLINE_VARIABLE)?.is_some();
        let file = match &self.flags.config_file {
            Some(path) => Some(("--config.file".to_owned(), path.clone())),
            None => variable(environment, "config.file")?.map(|(name, path)| (name, PathBuf::from(path))),
        };
        if let Some((origin, path)) = file {
            self.refuse_redis_flags(&peer, &origin)?;
            if inline {
                warnings.push(format!("{INLINE_VARIABLE} is ignored, because {origin} names a file."));
            }
            warn_of_variables(environment, &peer, &origin, &mut warnings)?;
            return Ok(ChosenSource {
                source: Source::File(path),
                warnings,
            });
        }
        if inline {
            self.refuse_redis_flags(&peer, INLINE_VARIABLE)?;
            warn_of_variables(environment, &peer, INLINE_VARIABLE, &mut warnings)?;
            return Ok(ChosenSource {
                source: Source::Inline,
                warnings,
            });
        }
        let found = directory.join(DEFAULT_CONFIG_FILE);
        // A file that may not be looked at is there: loading it says why it cannot be read.
        if found.try_exists().unwrap_or(true) {
            if self.flags.redis_addr.is_empty() {
                let beside = format!("the file {DEFAULT_CONFIG_FILE} of the working directory");
                self.refuse_redis_flags(&peer, &beside)?;
                warn_of_variables(environment, &peer, DEFAULT_CONFIG_FILE, &mut warnings)?;
                return Ok(ChosenSource {
                    source: Source::File(found),
                    warnings,
                });
            }
            warnings.push(format!(
                "The file {DEFAULT_CONFIG_FILE} of the working directory is not read, because --redis.addr is given."
            ));
        }
        let flags = self.flag_source(environment, &peer, &mut warnings)?;
        Ok(ChosenSource {
            source: Source::Flags(flags),
            warnings,
        })
    }

    fn flag_source(
        &self,
        environment: &Environment,
        peer: &PeerValues,
        warnings: &mut Vec<String>,
    ) -> Result<FlagSource, UsageError> {
        // An empty value is how templates write "nothing"; only an empty address says something.
        let flag = |origin: &'static str, value: &Option<Secret>| {
            let value = value.as_ref().filter(|text| !text.expose().is_empty());
            value.map(|text| Given {
                origin,
                text: text.clone(),
            })
        };
        let from_variable = |origin: &'static str| -> Result<Option<Given>, UsageError> {
            Ok(get(environment, origin)?.map(|text| Given {
                origin,
                text: Secret::new(text),
            }))
        };
        let mut addresses: Vec<Given> = self
            .flags
            .redis_addr
            .iter()
            .map(|text| Given {
                origin: "--redis.addr",
                text: text.clone(),
            })
            .collect();
        if addresses.is_empty() {
            let address = from_variable("REDIS_ADDR")?;
            let url = from_variable("REDIS_URL")?;
            if address.is_some() && url.is_some() {
                warnings.push("REDIS_URL is ignored, because REDIS_ADDR is set.".to_owned());
            }
            addresses.extend(address.or(url));
        }
        let mut remarks = peer.remarks().to_vec();
        let password_flag = flag("--redis.password", &self.flags.redis_password);
        if let Some(given) = &password_flag {
            remarks.push(Remark {
                origin: given.origin,
                reason: "it is used, and every user of this machine can read it in the list of processes; set REDIS_PASSWORD or --redis.password-file instead".to_owned(),
            });
        }
        let password_file_flag = flag("--redis.password-file", &self.flags.redis_password_file);
        // A flag beats every variable, so the file of the flag also beats REDIS_PASSWORD.
        let password = match (password_flag, &password_file_flag) {
            (Some(given), _) => Some(given),
            (None, Some(_)) => None,
            (None, None) => from_variable("REDIS_PASSWORD")?,
        };
        let password_file = match password_file_flag {
            Some(given) => Some(given),
            None => from_variable("REDIS_PASSWORD_FILE")?,
        };
        if let (Some(password), Some(file)) = (&password, &password_file) {
            warnings.push(format!(
                "{} is ignored, because {} is set.",
                file.origin, password.origin
            ));
        }
        Ok(FlagSource {
            addresses,
            username: match flag("--redis.user", &self.flags.redis_user) {
                Some(given) => Some(given),
                None => from_variable("REDIS_USER")?,
            },
            password_file: password_file.filter(|_| password.is_none()),
            password,
            servers: Box::new(peer.servers()?),
            remarks,
        })
    }

    /// The flags and variables that no `exporter.yaml` can say, by name: those of the web server and the log.
    ///
    /// # Errors
    /// As [`Self::settings`].
    pub fn beside_a_file(&self, environment: &Environment) -> Result<Vec<&'static str>, UsageError> {
        let flags = &self.flags;
        let given = [
            ("--web.listen-address", !flags.web_listen_address.is_empty()),
            ("--web.telemetry-path", flags.web_telemetry_path.is_some()),
            ("--web.config.file", flags.web_config_file.is_some()),
            ("--web.external-url", flags.web_external_url.is_some()),
            ("--web.systemd-socket", flags.web_systemd_socket.is_some()),
            ("--web.enable-lifecycle", flags.web_enable_lifecycle.is_some()),
            ("--log.level", flags.log_level.is_some()),
            ("--log.format", flags.log_format.is_some()),
        ];
        let ours = given.iter().filter(|(_, given)| *given).map(|(flag, _)| *flag);
        let peer = PeerValues::read(&self.peer, environment)?;
        let mut names: Vec<&'static str> = ours.chain(peer.about_the_process().map(|given| given.origin)).collect();
        for variable in ["REDIS_EXPORTER_WEB_LISTEN_ADDRESS", "REDIS_EXPORTER_WEB_TELEMETRY_PATH"] {
            if get(environment, variable)?.is_some() {
                names.push(variable);
            }
        }
        Ok(names)
    }

    fn refuse_redis_flags(&self, peer: &PeerValues, beside: &str) -> Result<(), UsageError> {
        let flags = &self.flags;
        let given = [
            ("--redis.addr", !flags.redis_addr.is_empty()),
            ("--redis.user", flags.redis_user.is_some()),
            ("--redis.password-file", flags.redis_password_file.is_some()),
            ("--redis.password", flags.redis_password.is_some()),
        ];
        let ours = given.iter().find(|(_, given)| *given).map(|(flag, _)| *flag);
        let theirs = || {
            peer.about_servers()
                .find(|given| given.is_flag())
                .map(|given| given.origin)
        };
        match ours.or_else(theirs) {
            Some(flag) => Err(UsageError(format!(
                "{flag} cannot be used beside {beside}: write servers into the configuration, or leave the configuration out"
            ))),
            None => Ok(()),
        }
    }
}

impl Settings {
    /// Where the daemon on this machine is asked for its health: the address that `healthcheck` was given, else the first
    /// listen address, with loopback in place of "every address".
    pub fn healthcheck_address(&self) -> SocketAddr {
        let given = match &self.action {
            Action::Healthcheck { address } => *address,
            _ => None,
        };
        let listening = self
            .listen_addresses
            .iter()
            .flat_map(|listen| &listen.candidates)
            .next()
            .copied();
        let address = given
            .or(listening)
            .unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)));
        if address.ip().is_unspecified() {
            // `[::]` takes IPv4 as well, and machines without IPv6 are more common than machines without IPv4.
            SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
        } else {
            address
        }
    }
}

fn get(environment: &Environment, name: &str) -> Result<Option<String>, UsageError> {
    environment.get(name).map_err(|error| UsageError(error.to_string()))
}

/// The variable of a flag with its name, when it is set.
fn variable(environment: &Environment, flag: &str) -> Result<Option<(String, String)>, UsageError> {
    let name = format!(
        "{VARIABLE_PREFIX}{}",
        flag.to_ascii_uppercase().replace(['.', '-'], "_")
    );
    Ok(get(environment, &name)?.map(|value| (name, value)))
}

fn text(environment: &Environment, flag: &str, given: Option<&String>) -> Result<Option<String>, UsageError> {
    match given {
        Some(value) => Ok(Some(value.clone())),
        None => Ok(variable(environment, flag)?.map(|(_, value)| value)),
    }
}

fn switch(environment: &Environment, flag: &str, given: Option<bool>) -> Result<bool, UsageError> {
    if let Some(value) = given {
        return Ok(value);
    }
    match variable(environment, flag)? {
        None => Ok(false),
        Some((name, value)) => match value.as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(UsageError(format!("{name} must be `true` or `false`"))),
        },
    }
}

fn word<T: ValueEnum>(environment: &Environment, flag: &str, given: Option<T>) -> Result<Option<T>, UsageError> {
    if given.is_some() {
        return Ok(given);
    }
    let Some((name, value)) = variable(environment, flag)? else {
        return Ok(None);
    };
    T::from_str(&value, true).map(Some).map_err(|_| {
        let words: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|variant| variant.to_possible_value().map(|value| value.get_name().to_owned()))
            .collect();
        UsageError(format!("{name} must be one of {}", words.join(", ")))
    })
}

fn checked_telemetry_path(path: String) -> Result<String, UsageError> {
    let printable = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%'));
    if !path.starts_with('/') || path.len() == 1 || !printable {
        return Err(UsageError(
            "--web.telemetry-path must begin with `/`, be longer than that, and hold neither spaces nor `?`, `#`, `%`"
                .to_owned(),
        ));
    }
    let taken = TAKEN_PATHS.iter().any(|taken| {
        path.strip_prefix(taken)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if taken {
        return Err(UsageError(
            "--web.telemetry-path names a path where something else is served; choose another, for example /metrics"
                .to_owned(),
        ));
    }
    Ok(path)
}

fn checked_external_url(url: &str) -> Result<String, UsageError> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let fits = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with(['/', ':'])
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'@' | b'"' | b'\\' | b'<' | b'>'))
    });
    if fits {
        Ok(url.trim_end_matches('/').to_owned())
    } else {
        Err(UsageError(
            "--web.external-url must be `http://host` or `https://host` with an optional port and path, without user, `?` or `#`".to_owned(),
        ))
    }
}

/// Of the flag and the variable of this exporter, and of what the peer's say and whether a flag says it, the one that counts: flags beat
/// variables, and ours beat those of the peer.
fn nearest_of<T>(flag: Option<T>, variable: Option<T>, peer: Option<(T, bool)>) -> Option<T> {
    match (flag, variable, peer) {
        (Some(flag), _, _) => Some(flag),
        (None, _, Some((peer, true))) => Some(peer),
        (None, Some(variable), _) => Some(variable),
        (None, None, peer) => peer.map(|(peer, _)| peer),
    }
}

/// What of `redis_exporter` is given beside a file: one sentence names what is ignored, another one what has no say anyway.
fn warn_of_variables(
    environment: &Environment,
    peer: &PeerValues,
    beside: &str,
    warnings: &mut Vec<String>,
) -> Result<(), UsageError> {
    let mut set = Vec::new();
    for name in [
        "REDIS_ADDR",
        "REDIS_URL",
        "REDIS_USER",
        "REDIS_PASSWORD",
        "REDIS_PASSWORD_FILE",
    ] {
        if get(environment, name)?.is_some() {
            set.push(name);
        }
    }
    set.extend(peer.about_servers().map(|given| given.origin));
    if !set.is_empty() {
        let verb = if set.len() == 1 { "is" } else { "are" };
        warnings.push(format!(
            "{} {verb} ignored, because the configuration comes from {beside}.",
            set.join(", ")
        ));
    }
    warnings.extend(remarks_line(peer.remarks()));
    Ok(())
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "cli/peer_tests.rs"]
mod peer_tests;
