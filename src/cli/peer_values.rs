//! What was given for `redis_exporter`, by flag or by variable, and what it makes of the process.

use super::peer::{Effect, Kind, PEER_FLAGS, PeerFlag, ProcessFlag};
use super::{ServerTlsFlags, UsageError, arguments, get};
use crate::config::Environment;
use crate::config::peer_flags::{PeerServers, PeerValue, Remark};
use crate::config::peer_text::go_bool;
use crate::config::tls::TlsVersion;
use crate::config::types::{BasicAuth, BasicPassword, Secret};
use crate::telemetry::{LogFormat, LogLevel};

/// Length of a bcrypt hash in the form of `crypt(3)`: prefix, cost, salt and digest.
const BCRYPT_BYTES: usize = 60;

/// One flag or variable that was given.
#[derive(Debug, Clone)]
pub(super) struct PeerGiven {
    /// Which one.
    pub(super) flag: &'static PeerFlag,
    /// `--check-keys` or `REDIS_EXPORTER_CHECK_KEYS`
    pub(super) origin: &'static str,
    /// Its value.
    value: PeerValue,
}

impl PeerGiven {
    /// Whether it stands on the command line.
    pub(super) fn is_flag(&self) -> bool {
        self.origin == self.flag.name
    }

    /// Whether it says what holds anyway.
    fn says_nothing(&self) -> bool {
        read(self.flag.kind, self.flag.default).as_ref() == Some(&self.value)
    }

    fn text(&self) -> &str {
        match &self.value {
            PeerValue::Text(text) => text,
            PeerValue::Switch(_) | PeerValue::Number(_) => "",
        }
    }

    fn is_on(&self) -> bool {
        self.value == PeerValue::Switch(true)
    }
}

/// Everything that was given, each flag once: a flag beats its variable, and of a flag that was given twice the last one counts.
#[derive(Debug, Default)]
pub(super) struct PeerValues {
    given: Vec<PeerGiven>,
    remarks: Vec<Remark>,
}

impl PeerValues {
    /// Reads the values of the command line and the variables.
    ///
    /// # Errors
    /// [`UsageError`] when a flag is no boolean or number where it must be one.
    pub(super) fn read(flags: &[(&'static PeerFlag, String)], environment: &Environment) -> Result<Self, UsageError> {
        let mut values = Self::default();
        for flag in PEER_FLAGS.iter().filter(|flag| flag.effect != Effect::Ours) {
            let written = flags.iter().rev().find(|(known, _)| known.name == flag.name);
            let given = match written {
                Some((_, text)) => {
                    let value = read(flag.kind, text).ok_or_else(|| unreadable(flag))?;
                    Some((flag.name, value))
                }
                None => values.of_variable(flag, environment)?,
            };
            let Some((origin, value)) = given else {
                continue;
            };
            let given = PeerGiven { flag, origin, value };
            values.remark_on(&given);
            values.given.push(given);
        }
        values.remark_on_lonely_version();
        Ok(values)
    }

    fn of_variable(
        &mut self,
        flag: &'static PeerFlag,
        environment: &Environment,
    ) -> Result<Option<(&'static str, PeerValue)>, UsageError> {
        let Some(variable) = flag.variable else {
            return Ok(None);
        };
        let Some(text) = get(environment, variable)? else {
            return Ok(None);
        };
        let value = read(flag.kind, &text);
        if value.is_none() {
            let kind = match flag.kind {
                Kind::Number => "a whole number",
                Kind::Switch | Kind::Text => "true or false",
            };
            self.remarks.push(Remark {
                origin: variable,
                reason: format!("it is not {kind}, so that its default {} holds, as there", flag.default),
            });
        }
        Ok(value.map(|value| (variable, value)))
    }

    fn remark_on(&mut self, given: &PeerGiven) {
        let reason = match given.flag.effect {
            Effect::Nothing(reason) if !given.says_nothing() => reason,
            Effect::Process(ProcessFlag::LogLevel) if level(given.text()).is_none() => {
                "it is none of debug, info, warn and error, so that info holds"
            }
            Effect::Process(ProcessFlag::LogFormat) if format(given.text()).is_none() => {
                "it is neither txt nor json, so that txt holds"
            }
            Effect::Process(ProcessFlag::TlsServerMinVersion) if matches!(given.text(), "TLS1.0" | "TLS1.1") => {
                "what is older than TLS 1.2 is not spoken, so that TLS1.2 holds"
            }
            _ => return,
        };
        self.remarks.push(Remark {
            origin: given.origin,
            reason: reason.to_owned(),
        });
    }

    /// The peer does not look at the version where it serves in clear either; its user should know.
    fn remark_on_lonely_version(&mut self) {
        let of = |flag| self.process(flag);
        let serves_tls = [
            ProcessFlag::TlsServerCertFile,
            ProcessFlag::TlsServerKeyFile,
            ProcessFlag::TlsServerCaCertFile,
        ];
        let version = of(ProcessFlag::TlsServerMinVersion).filter(|given| !given.says_nothing());
        if let Some(given) = version.filter(|_| !serves_tls.into_iter().any(|flag| of(flag).is_some())) {
            let origin = given.origin;
            self.remarks.push(Remark {
                origin,
                reason: "without --tls-server-cert-file and --tls-server-key-file no TLS is spoken".to_owned(),
            });
        }
    }

    /// What has no say, and why.
    pub(super) fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// What changes how servers are watched.
    pub(super) fn about_servers(&self) -> impl Iterator<Item = &PeerGiven> {
        self.given
            .iter()
            .filter(|given| matches!(given.flag.effect, Effect::Servers(_)))
    }

    /// What changes the process, and so is no matter of `exporter.yaml`.
    pub(super) fn about_the_process(&self) -> impl Iterator<Item = &PeerGiven> {
        self.given
            .iter()
            .filter(|given| matches!(given.flag.effect, Effect::Process(_)))
    }

    /// How servers are watched.
    ///
    /// # Errors
    /// [`UsageError`] when a value makes no sense; it names the flag or the variable.
    pub(super) fn servers(&self) -> Result<PeerServers, UsageError> {
        let mut servers = PeerServers::default();
        for given in self.about_servers() {
            if let Effect::Servers(flag) = given.flag.effect {
                servers
                    .set(flag, given.origin, &given.value)
                    .map_err(|message| UsageError(format!("{} {message}", given.origin)))?;
            }
        }
        Ok(servers)
    }

    fn process(&self, flag: ProcessFlag) -> Option<&PeerGiven> {
        self.given
            .iter()
            .find(|given| given.flag.effect == Effect::Process(flag))
    }

    /// Whether a switch of the process is on.
    pub(super) fn is_on(&self, flag: ProcessFlag) -> bool {
        self.process(flag).is_some_and(PeerGiven::is_on)
    }

    /// The level of the log, and whether a flag says so.
    pub(super) fn log_level(&self) -> Option<(LogLevel, bool)> {
        if let Some(debug) = self.process(ProcessFlag::Debug).filter(|given| given.is_on()) {
            return Some((LogLevel::Debug, debug.is_flag()));
        }
        let given = self.process(ProcessFlag::LogLevel)?;
        Some((level(given.text())?, given.is_flag()))
    }

    /// The format of the log, and whether a flag says so.
    pub(super) fn log_format(&self) -> Option<(LogFormat, bool)> {
        let given = self.process(ProcessFlag::LogFormat)?;
        Some((format(given.text())?, given.is_flag()))
    }

    /// How TLS is spoken, and a flag that says so; `None` when nobody asks for it.
    ///
    /// # Errors
    /// [`UsageError`] when only a part of what it takes was given: the peer serves in clear then.
    pub(super) fn server_tls(&self) -> Result<Option<(&'static str, ServerTlsFlags)>, UsageError> {
        let given = |flag| self.process(flag).filter(|given| !given.text().is_empty());
        let certificate = given(ProcessFlag::TlsServerCertFile);
        let key = given(ProcessFlag::TlsServerKeyFile);
        let authorities = given(ProcessFlag::TlsServerCaCertFile);
        let in_clear = |given: &PeerGiven, missing| {
            Err(UsageError(format!(
                "{} asks for HTTPS, and without {missing} everything would be served in clear; add it",
                given.origin
            )))
        };
        let min_version = match given(ProcessFlag::TlsServerMinVersion).map(|it| (it, it.text())) {
            None | Some((_, "TLS1.0" | "TLS1.1" | "TLS1.2")) => TlsVersion::V1_2,
            Some((_, "TLS1.3")) => TlsVersion::V1_3,
            Some((unknown, _)) => {
                let message = format!("{} must be TLS1.2 or TLS1.3", unknown.origin);
                return Err(UsageError(message));
            }
        };
        match (certificate, key, authorities) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), authorities) => Ok(Some((
                certificate.origin,
                ServerTlsFlags {
                    cert_file: certificate.text().into(),
                    key_file: key.text().into(),
                    ca_file: authorities.map(|it| it.text().into()),
                    min_version,
                },
            ))),
            (Some(certificate), None, _) => in_clear(certificate, "--tls-server-key-file"),
            (None, Some(key), _) => in_clear(key, "--tls-server-cert-file"),
            (None, None, Some(authorities)) => {
                in_clear(authorities, "--tls-server-cert-file and --tls-server-key-file")
            }
        }
    }

    /// The user of basic authentication.
    ///
    /// # Errors
    /// [`UsageError`] when only a part of what it takes was given: the peer lets everybody in then.
    pub(super) fn basic_auth(&self) -> Result<Option<BasicAuth>, UsageError> {
        let given = |flag| self.process(flag).filter(|given| !given.text().is_empty());
        let username = given(ProcessFlag::BasicAuthUsername);
        let plain = given(ProcessFlag::BasicAuthPassword);
        let hash = given(ProcessFlag::BasicAuthHashPassword);
        let password = match (plain, hash) {
            (Some(plain), Some(hash)) => {
                let message = format!("{} stands beside {}; keep one of the two", hash.origin, plain.origin);
                return Err(UsageError(message));
            }
            (Some(plain), None) => Some((plain, BasicPassword::Plain(Secret::new(plain.text())))),
            (None, Some(hash)) if is_bcrypt(hash.text()) => {
                Some((hash, BasicPassword::Bcrypt(Secret::new(hash.text()))))
            }
            (None, Some(hash)) => {
                return Err(UsageError(format!(
                    "{} must be a bcrypt hash, 60 characters that begin with $2a$, $2b$ or $2y$",
                    hash.origin
                )));
            }
            (None, None) => None,
        };
        match (username, password) {
            (None, None) => Ok(None),
            (Some(username), Some((_, password))) => Ok(Some(BasicAuth {
                username: username.text().to_owned(),
                password,
            })),
            (Some(username), None) => Err(UsageError(format!(
                "{} names a user without a password, so that everybody would be let in; add --basic-auth-password or --basic-auth-hash-password",
                username.origin
            ))),
            (None, Some((password, _))) => Err(UsageError(format!(
                "{} is a password without a user, so that everybody would be let in; add --basic-auth-username",
                password.origin
            ))),
        }
    }
}

fn read(kind: Kind, text: &str) -> Option<PeerValue> {
    match kind {
        Kind::Switch => go_bool(text).map(PeerValue::Switch),
        Kind::Number => text.parse().ok().map(PeerValue::Number),
        Kind::Text => Some(PeerValue::Text(text.to_owned())),
    }
}

fn unreadable(flag: &PeerFlag) -> UsageError {
    match flag.kind {
        Kind::Switch => arguments::no_boolean(flag.name),
        Kind::Number | Kind::Text => UsageError(format!(
            "{} must be a whole number; write for example {0}={}",
            flag.name, flag.default
        )),
    }
}

/// The words of the peer's logger, any case.
fn level(text: &str) -> Option<LogLevel> {
    match text.to_ascii_lowercase().as_str() {
        "panic" | "fatal" | "error" => Some(LogLevel::Error),
        "warn" | "warning" => Some(LogLevel::Warn),
        "info" => Some(LogLevel::Info),
        "debug" | "trace" => Some(LogLevel::Debug),
        _ => None,
    }
}

fn format(text: &str) -> Option<LogFormat> {
    match text {
        "txt" => Some(LogFormat::Logfmt),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

fn is_bcrypt(text: &str) -> bool {
    text.len() == BCRYPT_BYTES && ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix))
}
