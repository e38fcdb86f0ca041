//! What a web configuration becomes: who is let in and how TLS is spoken, replaced as a whole while the server runs.
//!
//! Every request and every new connection asks for the state of that moment. A state is put into use only when all of it is good, so that
//! there is never a moment with new users and an old certificate, or with neither. What protects is never taken away: a file that was cut
//! off is often still a valid one, which says less, and nobody can tell it from an operator's wish.

use super::access::{Access, AccessError};
use super::tls::handshake::Failure;
use super::tls::{Demands, ServerTls};
use crate::config::ConfigErrors;
use crate::config::problem::Problem;
use crate::config::types::BasicAuth;
use crate::config::web::WebConfig;
use crate::telemetry::Telemetry;
use std::sync::Arc;
use tokio::sync::watch;

/// A web configuration, checked in full, with everything that it names read.
#[derive(Debug, Default)]
pub struct WebState {
    config: WebConfig,
    access: Arc<Access>,
    /// `None` serves plain HTTP.
    pub(super) tls: Option<ServerTls>,
}

impl WebState {
    /// Reads the certificates, keys and authorities that the configuration names, and checks that they fit together. May block.
    /// `origin` is the file or the flag that the configuration came from; `flag_user` is let in beside its users.
    ///
    /// # Errors
    /// All problems at once; none quotes a value.
    pub fn new(origin: &str, mut config: WebConfig, flag_user: Option<&BasicAuth>) -> Result<Self, ConfigErrors> {
        let mut problems = Vec::new();
        let mut note = |path: String, message: String| {
            problems.push(Problem {
                origin: origin.to_owned(),
                place: None,
                path,
                message,
            });
        };
        config.users.extend(flag_user.cloned());
        let access = Access::new(&config);
        if let Err(error) = &access {
            let section = match error {
                AccessError::Users(_) => "basic_auth_users",
                AccessError::Header(_) => "http_server_config.headers",
            };
            note(section.to_owned(), error.to_string());
        }
        let tls = config.tls.as_ref().map(ServerTls::new).transpose();
        if let Err(faults) = &tls {
            for fault in faults {
                note(format!("tls_server_config.{}", fault.key), fault.message.clone());
            }
        }
        match (access, tls) {
            (Ok(access), Ok(tls)) => Ok(Self {
                access: Arc::new(access),
                tls,
                config,
            }),
            _ => Err(ConfigErrors { problems, left_out: 0 }),
        }
    }

    /// Its configuration, with the user of the flags.
    pub fn config(&self) -> &WebConfig {
        &self.config
    }

    /// What holds for requests.
    pub(super) fn access(&self) -> Arc<Access> {
        self.access.clone()
    }

    /// Whether HTTPS is served.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Shows the certificate in the exporter's own metrics.
    pub fn show_in(&self, telemetry: &Telemetry) {
        if let Some(tls) = &self.tls {
            telemetry.web_certificate_in_use(tls.not_after, Failure::ALL.map(Failure::as_label));
        }
    }

    /// What clients must show.
    pub(super) fn demands(&self) -> Option<&Demands> {
        self.tls.as_ref().map(ServerTls::demands)
    }

    /// What of the protection that holds now `next` would take away, in words.
    fn weakened_by(&self, next: &Self) -> Vec<(&'static str, &'static str)> {
        let mut lost = Vec::new();
        if !self.config.users.is_empty() && next.config.users.is_empty() {
            lost.push(("basic_auth_users", "no user is left, so that everybody would be let in"));
        }
        match (self.demands(), next.demands()) {
            (None, _) => {}
            (Some(_), None) => lost.push((
                "tls_server_config",
                "it is gone, so that everything would be served in clear",
            )),
            (Some(old), Some(new)) => {
                if (old.require() && !new.require()) || (old.verify() && !new.verify()) {
                    lost.push((
                        "tls_server_config.client_auth_type",
                        "it demands less of clients than the one in use",
                    ));
                }
                if !old.allowed_sans.is_empty() && new.allowed_sans.is_empty() {
                    lost.push((
                        "tls_server_config.client_allowed_sans",
                        "no name is left, so that every client that verifies would be let in",
                    ));
                }
            }
        }
        lost
    }
}

/// The state in use.
#[derive(Debug)]
pub struct Web {
    current: watch::Sender<Arc<WebState>>,
}

impl Web {
    /// Begins with this state.
    pub fn new(state: WebState) -> Self {
        Self {
            current: watch::Sender::new(Arc::new(state)),
        }
    }

    /// The state of this moment.
    pub fn current(&self) -> Arc<WebState> {
        self.current.borrow().clone()
    }

    /// Tells when another state is in use.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<WebState>> {
        self.current.subscribe()
    }

    /// Puts a state into use, for the next request and the next connection.
    ///
    /// # Errors
    /// When it would take away what protects now; the old one stays. `origin` is where it came from.
    pub fn replace(&self, mut next: WebState, origin: &str) -> Result<(), ConfigErrors> {
        let mut outcome = Ok(());
        self.current.send_if_modified(|current| {
            let lost = current.weakened_by(&next);
            if !lost.is_empty() {
                outcome = Err(opened(lost, origin));
                return false;
            }
            // What is known of its users stays known, and its bucket of requests as empty as it is. It could be made once, so this fails no
            // more.
            if let Ok(access) = Access::replacing(&next.config, &current.access) {
                next.access = Arc::new(access);
            }
            *current = Arc::new(next);
            true
        });
        outcome
    }
}

/// The refusal of a state that protects less.
fn opened(lost: Vec<(&'static str, &'static str)>, origin: &str) -> ConfigErrors {
    let problem = |(path, message): (&str, &str)| Problem {
        origin: origin.to_owned(),
        place: None,
        path: path.to_owned(),
        message: format!("{message}; a running server is not opened by a file, restart it to mean it"),
    };
    ConfigErrors {
        problems: lost.into_iter().map(problem).collect(),
        left_out: 0,
    }
}

impl Default for Web {
    fn default() -> Self {
        Self::new(WebState::default())
    }
}
