//! The HTTP server: the only importer of hyper. It reads snapshots and never talks to Redis.
//!
//! [`server`] accepts connections and guards them (`guard`), `routes` finds who answers, and the other files answer.

mod access;
mod admission;
mod answer;
mod artefacts;
mod auth;
mod cluster_nodes;
mod guard;
mod headers;
mod health;
mod landing;
mod metrics;
mod overrides;
mod query;
mod rate_limit;
mod routes;
mod sd;
pub mod server;
mod tls;
pub mod web;

#[cfg(test)]
mod tests;

pub use access::{Access, AccessError};
pub use auth::{Users, UsersError};
pub use headers::HeaderError;
pub use server::{Timeouts, serve};
pub use web::{Web, WebState};

use crate::config::types::Address;
use crate::config::{InstanceConfig, ValidatedConfig};
use crate::exposition::body::Bodies;
use crate::exposition::catalogue::Catalogue;
use crate::snapshot::{InstanceSnapshot, SnapshotStore};
use crate::telemetry::Telemetry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// The configuration in use, replaced as a whole by a reload.
pub type SharedConfig = Arc<RwLock<Arc<ValidatedConfig>>>;

/// A request to read the configuration again. The answer is sent when the new one is in use, or the sentence that says why
/// the old one stays; it is shown to the client and must not contain a secret.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// What the flags `--web.*` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOptions {
    /// Path of the metrics (`--web.telemetry-path`), with its leading slash.
    pub telemetry_path: String,
    /// How clients reach this server (`--web.external-url`), for `/sd`.
    pub external_url: Option<ExternalUrl>,
    /// Whether `/-/reload` works (`--web.enable-lifecycle`).
    pub enable_lifecycle: bool,
    /// Whether the metrics leave out what the exporter says of its own process, as `--redis-only-metrics` of redis_exporter does.
    pub redis_only: bool,
    /// Whether `/probe`, `/scrape` and `/sd`, which points there, are served.
    pub serve_probe: bool,
    /// Whether the metrics show the exporter alone unless `collect[]` or `exclude[]` ask for more, as redis_exporter's do with an empty
    /// `--redis.addr=`: its users have one job for the exporter and one that asks `/scrape` for each Redis.
    pub exporter_alone: bool,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            telemetry_path: "/metrics".to_owned(),
            external_url: None,
            enable_lifecycle: false,
            redis_only: false,
            serve_probe: true,
            exporter_alone: false,
        }
    }
}

/// The parts of `--web.external-url` that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUrl {
    /// `http` or `https`.
    pub scheme: String,
    /// Host with an optional port, as it stands in the URL.
    pub authority: String,
    /// Path prefix without the slash at its end; empty when there is none.
    pub path: String,
}

/// Why an external URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the external URL must look like https://host:port/prefix, without user, query or fragment")]
pub struct ExternalUrlError;

impl std::str::FromStr for ExternalUrl {
    type Err = ExternalUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(ExternalUrlError)?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let scheme = scheme.to_ascii_lowercase();
        let known = scheme == "http" || scheme == "https";
        let plain = path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
        if !known || !plain || !sd::is_host(authority) {
            return Err(ExternalUrlError);
        }
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// What other rooms do for this one.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// The running configuration as YAML, every secret shown as `<secret>`.
    pub redacted_yaml: fn(&ValidatedConfig) -> String,
    /// Reads an address in any form that the configuration accepts, without its user information: every address that it may mean, the
    /// likeliest first; none when it is no address.
    pub addresses_meant: fn(&str) -> Vec<Address>,
}

/// Everything that the answers are made of, and what is kept between them.
#[derive(Debug)]
pub struct App {
    /// What it was made of.
    pub parts: AppParts,
    bodies: Bodies,
    was_ready: AtomicBool,
}

/// What an [`App`] is made of.
#[derive(Debug)]
pub struct AppParts {
    /// The latest snapshots.
    pub store: Arc<SnapshotStore>,
    /// The exporter's own metrics.
    pub telemetry: Arc<Telemetry>,
    /// The configuration in use.
    pub config: SharedConfig,
    /// Where requests to reload go.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// What the flags say.
    pub options: WebOptions,
    /// Who is let in, and how TLS is spoken. `/-/healthy`, `/-/ready` and `/health` are open to all.
    pub web: Arc<Web>,
    /// Names of all collectors, for `collect[]` and `exclude[]`.
    pub collectors: Vec<&'static str>,
    /// Order and names of all metrics.
    pub catalogue: Arc<Catalogue>,
    /// What other rooms do for this one.
    pub hooks: Hooks,
}

impl App {
    /// An application that has answered nothing yet.
    pub fn new(parts: AppParts) -> Self {
        Self {
            bodies: Bodies::new(parts.catalogue.clone(), parts.telemetry.duplicates()),
            was_ready: AtomicBool::new(false),
            parts,
        }
    }

    /// What holds for a request that begins now.
    fn access(&self) -> Arc<Access> {
        self.parts.web.current().access()
    }

    /// The configuration in use.
    fn config(&self) -> Arc<ValidatedConfig> {
        self.parts.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configured instances in the order of the file, each with its snapshot if there is one yet.
    fn instances(&self) -> Vec<(Arc<InstanceConfig>, Option<Arc<InstanceSnapshot>>)> {
        let config = self.config();
        let with_snapshot = |instance: &Arc<InstanceConfig>| (instance.clone(), self.parts.store.get(&instance.name));
        config.instances.iter().map(with_snapshot).collect()
    }

    /// Whether the first discovery of every cluster and the first poll of every instance have ended once; neither a reload nor a new node
    /// takes that back.
    fn is_ready(&self) -> Result<(), usize> {
        if self.was_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        let ended = |snapshot: Option<Arc<InstanceSnapshot>>| snapshot.is_some_and(|it| it.details.first_poll_ended);
        let waiting = self
            .instances()
            .into_iter()
            .filter(|(_, it)| !ended(it.clone()))
            .count();
        // The nodes of a cluster are instances once its first discovery has ended.
        let clusters = self.parts.store.clusters();
        let known = |name: &str| clusters.iter().any(|facts| facts.has_ended && *facts.name == *name);
        let unknown = self
            .config()
            .clusters
            .iter()
            .filter(|cluster| !known(&cluster.name))
            .count();
        let waiting = waiting + unknown;
        if waiting > 0 {
            return Err(waiting);
        }
        self.was_ready.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether every instance's task turns: what `/-/healthy` answers, for the watchdog of systemd.
    pub fn is_healthy(&self) -> bool {
        self.wedged(Instant::now()).is_empty()
    }

    /// Names of instances whose tasks have not turned for longer than they may.
    fn wedged(&self, now: Instant) -> Vec<Arc<str>> {
        let (_, instances) = self.parts.store.all();
        let wedged = instances.iter().filter(|it| is_wedged(&it.details, now));
        wedged.map(|it| it.name.clone()).collect()
    }
}

/// Whether the task of an instance has not turned for longer than it may. A task that never turned is not wedged but new.
fn is_wedged(details: &crate::snapshot::details::InstanceDetails, now: Instant) -> bool {
    let limit = details.turn_limit;
    let silent_for = details.last_turn.map(|turn| now.saturating_duration_since(turn));
    !limit.is_zero() && silent_for.is_some_and(|silent_for| silent_for > limit)
}

/// A time as RFC 3339 in UTC with milliseconds: `2025-11-22T04:57:40.000Z`. Times before 1970 show as 1970; times after the year
/// 9999 have no such form and are empty.
fn rfc3339(time: std::time::SystemTime) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let time = humantime::format_rfc3339_millis(time.max(std::time::UNIX_EPOCH));
    match write!(text, "{time}") {
        Ok(()) => text,
        Err(_) => String::new(),
    }
}
