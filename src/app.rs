//! Wiring of `serve`: configuration → fleet → http; signals, reload, bounded shutdown.

mod reload;
pub mod web;

use crate::catalogue;
use crate::cli::Settings;
use crate::config::{self, Environment, Loaded, Source, ValidatedConfig};
use crate::discovery::{Discovery, Targets};
use crate::http::{self, App, AppParts, Hooks, ReloadRequest, Timeouts, Web, WebOptions, WebState};
use crate::poller::Fleet;
use crate::snapshot::SnapshotStore;
use crate::telemetry::{BuildInfo, Telemetry};
use reload::{Ended, READ_LIMIT, ReloadError, Reloader};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// Reload requests that may wait while one is being carried out; more are answered as busy by the channel's back-pressure.
const RELOAD_QUEUE: usize = 4;

/// Longest time that open requests may take to end after SIGTERM. The contract's 5 s less room for everything else.
const DRAIN: Duration = Duration::from_secs(4);

/// Why the daemon could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listen address could not be bound, or systemd handed over nothing usable.
    #[error("cannot listen on {address}: {source}; choose another --web.listen-address or stop what listens there")]
    Listen {
        /// What was tried.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// `--web.external-url` is none.
    #[error("--web.external-url: {0}")]
    ExternalUrl(http::ExternalUrlError),
    /// The thread that looks at the files of the web configuration could not be started.
    #[error("cannot start the thread that watches the web configuration: {0}")]
    Watch(std::io::Error),
    /// Signal handlers could not be installed.
    #[error("cannot install signal handlers: {0}")]
    Signals(std::io::Error),
}

/// The daemon between start and stop.
struct Daemon {
    discovery: Discovery,
    fleet: Fleet,
    store: Arc<SnapshotStore>,
    /// What is polled, for http.
    config: Arc<RwLock<Arc<ValidatedConfig>>>,
    telemetry: Arc<Telemetry>,
}

/// Runs until SIGTERM or SIGINT. `web` is what [`web::load`] found.
///
/// # Errors
/// [`ServeError`] when it cannot start; once it runs it only ends by a signal.
pub async fn serve(
    settings: &Settings,
    source: Source,
    config: ValidatedConfig,
    web: WebState,
) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let options = web_options(settings)?;
    let listeners = listeners(settings)?;
    let store = Arc::new(SnapshotStore::new());
    let telemetry = Arc::new(Telemetry::new(BuildInfo::THIS, Some(tokio::runtime::Handle::current())));
    let config = Arc::new(config);
    let shared = Arc::new(RwLock::new(config.clone()));
    let (reload, mut reloads) = mpsc::channel::<ReloadRequest>(RELOAD_QUEUE);
    let (shutdown, shutdown_receiver) = watch::channel(false);
    let web = Arc::new(Web::new(web));
    let watcher = web::Watcher::start(settings, web.clone(), telemetry.clone()).map_err(ServeError::Watch)?;
    let app = Arc::new(App::new(AppParts {
        store: store.clone(),
        telemetry: telemetry.clone(),
        config: shared.clone(),
        reload,
        options,
        web: web.clone(),
        collectors: crate::collectors::ALL.iter().map(|spec| spec.name).collect(),
        catalogue: Arc::new(catalogue::exposition()),
        hooks: Hooks {
            redacted_yaml: config::to_redacted_yaml,
            addresses_meant: config::address::meant_by,
        },
    }));
    let mut reloader = Reloader::new(READ_LIMIT, move || {
        let web = watcher.read_again();
        let loaded = config::load(&source, &Environment::of_process());
        match (loaded, web) {
            (Ok(loaded), Ok(())) => Ok(loaded),
            (Err(errors), Ok(())) | (Ok(_), Err(errors)) => Err(errors),
            (Err(errors), Err(of_web)) => Err(errors.and(of_web)),
        }
    });
    let mut daemon = Daemon {
        discovery: Discovery::new(config.clone()),
        fleet: Fleet::new(store.clone()),
        store,
        config: shared,
        telemetry,
    };
    let targets = daemon.discovery.targets();
    daemon.fleet.apply(&targets.config);
    daemon.show(targets);
    daemon.telemetry.config_read(true, unix_seconds());
    for listener in &listeners {
        if let Ok(address) = listener.local_addr() {
            let (instances, clusters) = (config.instances.len(), config.clusters.len());
            let scheme = if web.current().is_tls() { "https" } else { "http" };
            tracing::info!(%address, scheme, instances, clusters, "listening");
        }
    }
    let mut server = tokio::spawn(http::serve(
        listeners,
        app.clone(),
        Timeouts::default(),
        shutdown_receiver,
    ));
    notify_systemd(&[sd_notify::NotifyState::Ready]);
    let mut watchdog = tokio::time::interval(watchdog_period());
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reloader.request(None),
            Some(client) = reloads.recv(), if reloader.has_room() => reloader.request(Some(client)),
            Ended { outcome, clients } = reloader.ended() => {
                let answer = daemon.reloaded(outcome);
                for client in clients {
                    // Nobody waits for the answer when the client has gone.
                    let _ = client.send(answer.clone());
                }
            }
            () = daemon.discovery.changed() => daemon.retarget(),
            _ = watchdog.tick() => {
                if app.is_healthy() {
                    notify_systemd(&[sd_notify::NotifyState::Watchdog]);
                }
            }
        }
    }
    tracing::info!("stopping");
    notify_systemd(&[sd_notify::NotifyState::Stopping]);
    // Pollers first: nothing new is learnt for requests that only end.
    drop(daemon);
    shutdown.send_replace(true);
    if tokio::time::timeout(DRAIN, &mut server).await.is_err() {
        server.abort();
        tracing::warn!("open requests did not end in time and were cut");
    }
    tracing::info!("stopped");
    Ok(())
}

impl Daemon {
    /// Polls what a source of targets has found.
    fn retarget(&mut self) {
        let targets = self.discovery.targets();
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !Arc::ptr_eq(&config, &targets.config) {
            self.fleet.retarget(&targets.config);
        }
        self.show(targets);
    }

    /// Shows what is polled. The state of clusters comes last: `/-/ready` waits for it, and must know their nodes then.
    fn show(&self, targets: Targets) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = targets.config;
        self.telemetry.clusters_discovered(&targets.clusters);
        self.store.publish_clusters(targets.clusters);
    }

    /// Puts a configuration that was read again into use. A broken one changes nothing but the metric and the log.
    fn reloaded(&mut self, outcome: Result<Loaded, ReloadError>) -> Result<(), String> {
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(error) => {
                self.telemetry.config_read(false, unix_seconds());
                match &error {
                    ReloadError::Invalid(errors) => {
                        for problem in errors.lines() {
                            tracing::error!("the new configuration is invalid, the old one stays: {problem}");
                        }
                    }
                    ReloadError::Unread(_) => {
                        tracing::error!("the configuration was not reloaded, the old one stays: {error}");
                    }
                }
                return Err(error.to_string());
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        self.discovery.apply(Arc::new(loaded.config));
        let targets = self.discovery.targets();
        let changes = self.fleet.apply(&targets.config);
        self.show(targets);
        self.telemetry.config_read(true, unix_seconds());
        tracing::info!(
            added = changes.added,
            changed = changes.changed,
            removed = changes.removed,
            "configuration reloaded"
        );
        Ok(())
    }
}

/// What the HTTP server must know of the flags.
fn web_options(settings: &Settings) -> Result<WebOptions, ServeError> {
    let external_url = settings
        .external_url
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(ServeError::ExternalUrl)?;
    Ok(WebOptions {
        telemetry_path: settings.telemetry_path.clone(),
        external_url,
        enable_lifecycle: settings.enable_lifecycle,
        redis_only: settings.redis_only_metrics,
        serve_probe: !settings.disable_scrape_endpoint,
        exporter_alone: settings.exporter_alone,
    })
}

/// Seconds since 1970, now.
fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// The sockets to serve on: those that systemd handed over, or freshly bound ones.
fn listeners(settings: &Settings) -> Result<Vec<TcpListener>, ServeError> {
    let mut bound = Vec::new();
    if settings.systemd_socket {
        let address = "the sockets of systemd";
        let failed = |source| ServeError::Listen {
            address: address.to_owned(),
            source,
        };
        let mut handed = listenfd::ListenFd::from_env();
        for index in 0..handed.len() {
            if let Some(listener) = handed.take_tcp_listener(index).map_err(failed)? {
                bound.push(adopt(listener).map_err(failed)?);
            }
        }
        if bound.is_empty() {
            return Err(failed(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "it handed over no TCP socket",
            )));
        }
        return Ok(bound);
    }
    for address in &settings.listen_addresses {
        let failed = |source| ServeError::Listen {
            address: address.written.clone(),
            source,
        };
        let listener = std::net::TcpListener::bind(address.candidates.as_slice()).map_err(failed)?;
        bound.push(adopt(listener).map_err(failed)?);
    }
    Ok(bound)
}

fn adopt(listener: std::net::TcpListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// How often the watchdog is fed: a third of what systemd asks for, so that one late turn does not kill the service.
fn watchdog_period() -> Duration {
    const WITHOUT_WATCHDOG: Duration = Duration::from_secs(3600);
    sd_notify::watchdog_enabled()
        .map_or(WITHOUT_WATCHDOG, |limit| limit / 3)
        .max(Duration::from_millis(100))
}

/// Tells systemd, if it started us; there is nobody to tell otherwise.
fn notify_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn settings() -> Settings {
        let cli = crate::cli::Cli::parse_from(["redis-session-exporter"]);
        cli.settings(&Environment::of_pairs(&[])).unwrap()
    }

    #[test]
    fn flags_reach_the_http_server() {
        let options = web_options(&settings()).unwrap();
        assert_eq!(options, WebOptions::default());
        let changed = Settings {
            redis_only_metrics: true,
            disable_scrape_endpoint: true,
            exporter_alone: true,
            ..settings()
        };
        let options = web_options(&changed).unwrap();
        assert!(options.redis_only && !options.serve_probe && options.exporter_alone);
    }
}
