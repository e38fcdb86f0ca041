//! The web configuration: read at the start, and again whenever it or a file that it names changes.
//!
//! A thread of its own looks at the contents of these files, since a file on a dead share may hold whoever opens it for ever, and then one
//! thread hangs and nothing else. Contents are compared, not times: a file may be written twice within one tick of a clock, replaced by a
//! rename, or stand behind a symbolic link of Kubernetes that moves.
//!
//! What cannot be used changes nothing: the last good state stays. A certificate and its key are two files, and there is a moment in every
//! renewal when they do not fit together; answering with errors then, as the exporter-toolkit does, would cost scrapes.

use crate::cli::{ServerTlsFlags, Settings, WebSource};
use crate::config::tls::TlsVersion;
use crate::config::types::BasicAuth;
use crate::config::web::{self, ClientAuth, PemSource, WebConfig, WebTls};
use crate::config::{ConfigErrors, Problem};
use crate::http::{Web, WebState};
use crate::telemetry::Telemetry;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Pause between two looks. A change that two looks in a row found the same is put into use, so within twice this time. Looking costs the
/// reading of a few KiB: some 20 µs.
const LOOK_PERIOD: Duration = Duration::from_millis(400);

/// How long whoever asks for a reload waits for the thread that reads, which takes milliseconds unless a share is dead; half of what the
/// whole reload may take.
const READ_AGAIN_LIMIT: Duration = Duration::from_secs(4);

/// Largest part of a file that is compared. Whatever is larger than this is refused when it is read in earnest.
const MAX_COMPARED_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the web configuration that the settings name, with every certificate and key that it names in turn.
///
/// # Errors
/// All problems at once.
pub fn load(settings: &Settings) -> Result<WebState, ConfigErrors> {
    Origin::new(settings).state()
}

fn warn_of(state: &WebState) {
    for warning in &state.config().warnings {
        tracing::warn!("{warning}");
    }
}

/// Where a web configuration comes from.
#[derive(Debug, Clone)]
struct Origin {
    source: WebSource,
    user: Option<BasicAuth>,
}

impl Origin {
    fn new(settings: &Settings) -> Self {
        Self {
            source: settings.web.clone(),
            user: settings.basic_auth.clone(),
        }
    }

    /// What problems are reported of.
    fn name(&self) -> String {
        match &self.source {
            WebSource::Nothing => "the flags".to_owned(),
            WebSource::File(path) => path.display().to_string(),
            WebSource::ServerFlags(_) => "the flags --tls-server-*".to_owned(),
        }
    }

    fn config(&self) -> Result<WebConfig, ConfigErrors> {
        match &self.source {
            WebSource::Nothing => Ok(WebConfig::default()),
            WebSource::File(path) => web::load(path),
            WebSource::ServerFlags(flags) => Ok(of_flags(flags)),
        }
    }

    fn state(&self) -> Result<WebState, ConfigErrors> {
        WebState::new(&self.name(), self.config()?, self.user.as_ref())
    }
}

/// The web configuration that the flags of `redis_exporter` stand for.
fn of_flags(flags: &ServerTlsFlags) -> WebConfig {
    let client_auth = match &flags.ca_file {
        Some(_) => ClientAuth::RequireAndVerify,
        None => ClientAuth::None,
    };
    WebConfig {
        tls: Some(WebTls {
            certificate: PemSource::File(flags.cert_file.clone()),
            key: PemSource::File(flags.key_file.clone()),
            client_auth,
            client_ca: flags.ca_file.clone().map(PemSource::File),
            client_allowed_sans: Vec::new(),
            min_version: flags.min_version,
            max_version: TlsVersion::V1_3,
            cipher_suites: Vec::new(),
            prefer_server_cipher_suites: true,
            curve_preferences: Vec::new(),
        }),
        ..WebConfig::default()
    }
}

/// The files that a web configuration names.
fn files_of(config: &WebConfig) -> impl Iterator<Item = &Path> {
    let sources = |tls| {
        let WebTls {
            certificate,
            key,
            client_ca,
            ..
        }: &WebTls = tls;
        [Some(certificate), Some(key), client_ca.as_ref()]
    };
    let paths = config.tls.iter().flat_map(sources).flatten();
    paths.filter_map(|source| match source {
        PemSource::File(path) => Some(path.as_path()),
        PemSource::Inline(_) => None,
    })
}

/// What files contain, as a hash; `None` for one that cannot be read.
type Fingerprint = BTreeMap<PathBuf, Option<[u8; 32]>>;

/// Asks the thread that looks. Gone with it, the thread ends.
#[derive(Debug)]
pub(super) struct Watcher {
    /// `None` where there is nothing to look at.
    requests: Option<SyncSender<SyncSender<Result<(), ConfigErrors>>>>,
    name: String,
}

impl Watcher {
    /// Begins to look, where the settings name files. `web` holds what [`load`] found.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(settings: &Settings, web: Arc<Web>, telemetry: Arc<Telemetry>) -> std::io::Result<Self> {
        let origin = Origin::new(settings);
        let name = origin.name();
        if origin.source == WebSource::Nothing {
            return Ok(Self { requests: None, name });
        }
        telemetry.web_config_read(true, super::unix_seconds());
        warn_of(&web.current());
        web.current().show_in(&telemetry);
        let mut reading = Reading::new(origin, web, telemetry);
        // Two reloads never run at one time, and the answer of one that nobody waits for any more is dropped.
        let (requests, received) = sync_channel::<SyncSender<Result<(), ConfigErrors>>>(1);
        std::thread::Builder::new()
            .name("web-config".to_owned())
            .spawn(move || {
                loop {
                    match received.recv_timeout(LOOK_PERIOD) {
                        Ok(client) => drop(client.try_send(reading.read_again())),
                        Err(RecvTimeoutError::Timeout) => reading.look(),
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            })?;
        Ok(Self {
            requests: Some(requests),
            name,
        })
    }

    /// Reads everything again at once, changed or not, for a signal or a client that asks. Blocks for a bounded time.
    ///
    /// # Errors
    /// Why the state from before stays.
    pub(super) fn read_again(&self) -> Result<(), ConfigErrors> {
        let Some(requests) = &self.requests else {
            return Ok(());
        };
        let (client, outcome) = sync_channel(1);
        let hangs = || ConfigErrors {
            problems: vec![Problem {
                origin: self.name.clone(),
                place: None,
                path: String::new(),
                message: "it, or a file that it names, cannot be read in time; look at their file systems".to_owned(),
            }],
            left_out: 0,
        };
        requests.try_send(client).map_err(|_| hangs())?;
        outcome.recv_timeout(READ_AGAIN_LIMIT).map_err(|_| hangs())?
    }
}

/// What is known of the files, and what is done when they change.
struct Reading {
    origin: Origin,
    web: Arc<Web>,
    telemetry: Arc<Telemetry>,
    /// What the files contained when they were last judged.
    judged: Fingerprint,
    /// What they contained at the last look, where that is something else.
    changing: Option<Fingerprint>,
    /// Why what was judged last is not in use.
    broken: Option<ConfigErrors>,
}

impl Reading {
    /// Nothing has been judged: a change since the state in use was read is found by the first look, at the price of reading it once more.
    fn new(origin: Origin, web: Arc<Web>, telemetry: Arc<Telemetry>) -> Self {
        Self {
            origin,
            web,
            telemetry,
            judged: Fingerprint::new(),
            changing: None,
            broken: None,
        }
    }

    /// Judges the files when they changed and have come to rest. While they are broken, they are judged at every look: what mends them may be
    /// a file that only the broken configuration names.
    fn look(&mut self) {
        let now = self.fingerprint();
        let rests = now == self.judged || self.changing.as_ref() == Some(&now);
        if !rests {
            // Perhaps it is being written.
            self.changing = Some(now);
        } else if now != self.judged || self.broken.is_some() {
            self.judge(now);
        } else {
            self.changing = None;
        }
    }

    fn judge(&mut self, before: Fingerprint) {
        let read = self.origin.state();
        let after = self.fingerprint();
        if before != after {
            // Read while it was being written; nobody knows what of it.
            self.changing = Some(after);
            return;
        }
        // What is the same as when it was judged, but for files that were not looked at then, is no news.
        let same = |(path, contents)| before.get(path).is_none_or(|now: &Option<_>| now == contents);
        let no_news = self.judged.iter().all(same);
        let outcome = read.and_then(|state| self.adopt(state));
        let was_broken = self.settle(&outcome, before);
        match outcome {
            Ok(()) if no_news && was_broken.is_none() => {}
            Ok(()) => {
                warn_of(&self.web.current());
                tracing::info!(
                    origin = self.origin.name(),
                    "The web configuration was read again and is in use."
                );
            }
            Err(errors) if was_broken.as_ref() == Some(&errors) => {}
            Err(errors) => {
                for problem in errors.lines() {
                    tracing::error!(
                        "The web configuration cannot be used, and the one before it stays in use: {problem}"
                    );
                }
            }
        }
    }

    /// Reads at once, and leaves the log to who asked.
    fn read_again(&mut self) -> Result<(), ConfigErrors> {
        let before = self.fingerprint();
        let outcome = self.origin.state().and_then(|state| self.adopt(state));
        // What changed meanwhile is found by the next look.
        self.settle(&outcome, before);
        outcome
    }

    fn adopt(&self, state: WebState) -> Result<(), ConfigErrors> {
        self.web.replace(state, &self.origin.name())
    }

    /// Remembers and shows an outcome; what was broken before it.
    fn settle(&mut self, outcome: &Result<(), ConfigErrors>, judged: Fingerprint) -> Option<ConfigErrors> {
        // Files that only the new state names are not among them, so that the next look finds more and reads once again: nobody knows
        // whether they changed since they were read.
        self.judged = judged;
        self.changing = None;
        self.telemetry.web_config_read(outcome.is_ok(), super::unix_seconds());
        self.web.current().show_in(&self.telemetry);
        std::mem::replace(&mut self.broken, outcome.as_ref().err().cloned())
    }

    /// What the configuration and the files of the state in use contain.
    fn fingerprint(&self) -> Fingerprint {
        let current = self.web.current();
        let configuration = match &self.origin.source {
            WebSource::File(path) => Some(path.as_path()),
            WebSource::Nothing | WebSource::ServerFlags(_) => None,
        };
        let paths = configuration.into_iter().chain(files_of(current.config()));
        paths.map(|path| (path.to_owned(), contents(path))).collect()
    }
}

/// The hash of a file.
fn contents(path: &Path) -> Option<[u8; 32]> {
    let mut bytes = Vec::new();
    // A pipe would hold whoever opens it.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = std::fs::File::open(path).ok()?;
    file.take(MAX_COMPARED_BYTES).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(&bytes).into())
}

#[cfg(test)]
mod tests;
