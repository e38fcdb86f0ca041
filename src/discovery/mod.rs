//! Discovery: what is to be polled. The configuration names servers, which are targets as they are (static), and clusters, whose nodes
//! are targets once a server has named them.
//!
//! Every source that has to ask somebody is a task of its own that reports [`Findings`] into one watched map; [`Discovery::targets`]
//! makes of the configuration and of that map what the poller polls. A further kind of source (Sentinel) is a further task
//! that reports into the same map. Layers: `app → discovery → {snapshot, redis, config}`; nothing here polls.

pub mod admission;
pub mod cluster;
pub mod findings;
pub mod roster;
pub mod topology;

use crate::config::ValidatedConfig;
use crate::config::cluster::ClusterConfig;
use crate::config::resolve::MAX_INSTANCES;
use crate::snapshot::clusters::{ClusterFacts, LeftOutNode};
use admission::Refusal;
use cluster::{Connectors, Finder};
use findings::Findings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Pause before a task that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// What is to be polled at one moment.
#[derive(Debug, Clone)]
pub struct Targets {
    /// The configuration with an instance for every node that was found, behind the configured ones.
    pub config: Arc<ValidatedConfig>,
    /// What is known of each cluster, in the order of the configuration.
    pub clusters: Vec<ClusterFacts>,
}

/// What the sources have reported, by the name of the cluster.
type Reports = BTreeMap<String, Report>;

/// What one source has reported.
#[derive(Debug, Clone)]
struct Report {
    /// Number of the task that may report here; one that was replaced may still be ending.
    task: u64,
    findings: Arc<Findings>,
}

/// The sources of targets.
#[derive(Debug)]
pub struct Discovery {
    config: Arc<ValidatedConfig>,
    sources: BTreeMap<String, Source>,
    started: u64,
    reports: watch::Sender<Reports>,
    changes: watch::Receiver<Reports>,
    /// The last targets, so that an answer that changes no node makes no new configuration.
    built: Option<Built>,
}

#[derive(Debug)]
struct Source {
    cluster: Arc<ClusterConfig>,
    connectors: Connectors,
    /// Ends with the source.
    _task: JoinSet<()>,
}

#[derive(Debug)]
struct Built {
    rosters: Vec<Arc<Findings>>,
    targets: Targets,
}

impl Discovery {
    /// The sources of this configuration, of which those that have to ask somebody begin at once.
    pub fn new(config: Arc<ValidatedConfig>) -> Self {
        let (reports, changes) = watch::channel(Reports::new());
        let mut discovery = Self {
            config: config.clone(),
            sources: BTreeMap::new(),
            started: 0,
            reports,
            changes,
            built: None,
        };
        discovery.apply(config);
        discovery
    }

    /// Takes another configuration. A cluster of the same name and with the same configured nodes keeps the nodes that were found, as far
    /// as they may still be dialled.
    pub fn apply(&mut self, config: Arc<ValidatedConfig>) {
        self.built = None;
        let wanted: BTreeSet<&str> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        self.sources.retain(|name, _| wanted.contains(name.as_str()));
        self.reports.send_if_modified(|reports| {
            reports.retain(|name, _| wanted.contains(name.as_str()));
            false
        });
        for cluster in &config.clusters {
            let old = self.sources.get(&cluster.name);
            // Permissions may have been mended together with the file, so a cluster whose nodes cannot be found out is asked again at
            // once, and what it refused is forgotten.
            if old.is_some_and(|old| old.cluster == *cluster) && !self.is_failing(&cluster.name) {
                continue;
            }
            // Other ports are other nodes: those of the one kind cannot be dialled as the other.
            let speaks_alike = |old: &Source| old.cluster.template.address.tls == cluster.template.address.tls;
            let is_same = old.is_some_and(|old| old.cluster.seeds == cluster.seeds && speaks_alike(old));
            let connectors = old.map(|old| old.connectors.clone()).unwrap_or_default();
            self.start(cluster, is_same, connectors);
        }
        self.config = config;
    }

    fn is_failing(&self, cluster: &str) -> bool {
        let reports = self.reports.borrow();
        reports
            .get(cluster)
            .is_some_and(|report| report.findings.error.is_some())
    }

    fn start(&mut self, cluster: &Arc<ClusterConfig>, is_same: bool, connectors: Connectors) {
        self.started += 1;
        let task = self.started;
        let known = self
            .reports
            .borrow()
            .get(&cluster.name)
            .map(|report| report.findings.clone());
        let findings = match known {
            Some(findings) if is_same => findings.under(cluster),
            Some(findings) => findings.of_another_cluster(),
            None => Findings::default(),
        };
        self.reports.send_if_modified(|reports| {
            let findings = Arc::new(findings);
            reports.insert(cluster.name.clone(), Report { task, findings });
            false
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(supervise(
            cluster.clone(),
            connectors.clone(),
            task,
            self.reports.clone(),
        ));
        let source = Source {
            cluster: cluster.clone(),
            connectors,
            _task: tasks,
        };
        self.sources.insert(cluster.name.clone(), source);
    }

    /// Waits until a source has reported. May be dropped at any time without losing anything.
    pub async fn changed(&mut self) {
        // The sender lives beside the receiver, so there is no error.
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What is to be polled now.
    pub fn targets(&mut self) -> Targets {
        let reports = self.changes.borrow_and_update();
        let nothing = Arc::new(Findings::default());
        let found: Vec<Arc<Findings>> = self
            .config
            .clusters
            .iter()
            .map(|cluster| {
                reports
                    .get(&cluster.name)
                    .map_or(&nothing, |report| &report.findings)
                    .clone()
            })
            .collect();
        drop(reports);
        let old = self.built.take().filter(|built| {
            let pairs = built.rosters.iter().zip(&found);
            let mut each = self.config.clusters.iter().zip(pairs);
            each.all(|(cluster, (old, new))| names_the_same(cluster, old, new))
        });
        let mut targets = targets(&self.config, &found);
        if let Some(old) = old {
            targets.config = old.targets.config;
        }
        self.built = Some(Built {
            rosters: found,
            targets: targets.clone(),
        });
        targets
    }
}

/// Whether two states of one cluster make the same instances.
fn names_the_same(cluster: &ClusterConfig, old: &Findings, new: &Findings) -> bool {
    old.networks(cluster) == new.networks(cluster)
        && old.has_ended == new.has_ended
        && old.roster.nodes().eq(new.roster.nodes())
}

/// Starts the task of one cluster again should it ever panic.
async fn supervise(cluster: Arc<ClusterConfig>, connectors: Connectors, task: u64, reports: watch::Sender<Reports>) {
    loop {
        let mut tasks = JoinSet::new();
        tasks.spawn(run(cluster.clone(), connectors.clone(), task, reports.clone()));
        match tasks.join_next().await {
            Some(Err(_)) => {
                tracing::error!(cluster = %cluster.name, "the task that finds the nodes panicked and is started again; please report this");
                tokio::time::sleep(RESTART_PAUSE).await;
            }
            Some(Ok(())) | None => return,
        }
    }
}

/// Discovers until another task may report in its place.
async fn run(cluster: Arc<ClusterConfig>, connectors: Connectors, task: u64, reports: watch::Sender<Reports>) {
    let mut finder = Finder::new(cluster.clone(), connectors);
    loop {
        let known = reports
            .borrow()
            .get(&cluster.name)
            .filter(|report| report.task == task)
            .cloned();
        let Some(known) = known else { return };
        let mut findings = Findings::clone(&known.findings);
        finder.discover(&mut findings).await;
        let pause = if findings.error.is_some() {
            cluster::retry_interval(&cluster)
        } else {
            cluster::interval(&cluster)
        };
        reports.send_if_modified(|reports| match reports.get_mut(&cluster.name) {
            Some(report) if report.task == task => {
                report.findings = Arc::new(findings);
                true
            }
            _ => false,
        });
        tokio::time::sleep(pause).await;
    }
}

/// Asks every cluster once, side by side: for commands that end by themselves.
pub async fn once(config: &Arc<ValidatedConfig>) -> Targets {
    let mut discoveries = JoinSet::new();
    for (position, cluster) in config.clusters.iter().cloned().enumerate() {
        discoveries.spawn(async move {
            let mut findings = Findings::default();
            Finder::new(cluster, Connectors::default())
                .discover(&mut findings)
                .await;
            (position, Arc::new(findings))
        });
    }
    let mut found = discoveries.join_all().await;
    found.sort_by_key(|(position, _)| *position);
    let found: Vec<Arc<Findings>> = found.into_iter().map(|(_, findings)| findings).collect();
    targets(config, &found)
}

/// Puts the nodes of clusters behind the configured instances. `found` are the findings of each cluster, in order. Names are unique:
/// what the file names wins, then the cluster that stands first, whose node it is then without a word.
fn targets(config: &Arc<ValidatedConfig>, found: &[Arc<Findings>]) -> Targets {
    if config.clusters.is_empty() {
        return Targets {
            config: config.clone(),
            clusters: Vec::new(),
        };
    }
    let mut of_clusters = BTreeSet::new();
    let taken: BTreeSet<String> = config.instances.iter().map(|instance| instance.name.clone()).collect();
    let mut instances = config.instances.clone();
    let mut clusters = Vec::with_capacity(config.clusters.len());
    for (cluster, findings) in config.clusters.iter().zip(found) {
        let mut left_out = findings.left_out.clone();
        let mut nodes = 0;
        for instance in findings.instances(cluster) {
            if instances.len() >= MAX_INSTANCES {
                left_out.add(Refusal::Limit, || instance.name.clone());
            } else if of_clusters.contains(&instance.name) {
                // The same server: the nodes of one cluster may stand in the configuration one by one.
            } else if taken.contains(&instance.name) {
                left_out.add(Refusal::Name, || instance.name.clone());
            } else {
                of_clusters.insert(instance.name.clone());
                instances.push(Arc::new(instance));
                nodes += 1;
            }
        }
        clusters.push(facts(cluster, findings, &left_out, nodes));
    }
    Targets {
        config: Arc::new(ValidatedConfig {
            instances,
            clusters: config.clusters.clone(),
            limits: config.limits.clone(),
        }),
        clusters,
    }
}

fn facts(cluster: &ClusterConfig, findings: &Findings, left_out: &findings::LeftOut, nodes: usize) -> ClusterFacts {
    let counts = Refusal::ALL
        .into_iter()
        .map(|refusal| (refusal.as_label(), left_out.count(refusal)));
    let named = left_out.named.iter().map(|(name, refusal)| LeftOutNode {
        name: name.clone(),
        sentence: refusal.sentence(cluster.template.address.tls),
    });
    ClusterFacts {
        name: cluster.name.as_str().into(),
        address: cluster.address(),
        nodes,
        left_out: counts.collect(),
        left_out_nodes: named.collect(),
        has_ended: findings.has_ended,
        discoveries: findings.ended,
        failures: findings.failed,
        error: findings.error.clone(),
        answered_at: findings.answered_at,
    }
}

#[cfg(test)]
mod tests;
