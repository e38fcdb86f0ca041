//! Pollers: one task per instance, which owns its schedule, its deadlines, its verdicts and its accumulators.
//!
//! [`Fleet`] holds one handle per instance. A new configuration starts, changes and ends tasks one by one; an instance whose
//! configuration did not change never notices a reload.

pub mod accumulators;
pub mod application_poll;
pub mod events;
pub mod features;
mod file_size;
pub mod info_poll;
pub mod instance;
pub mod last_hour;
pub mod publish;
pub mod scan;
pub mod schedule;
pub mod self_metrics;
mod task;

use crate::config::cluster::differ_in_networks_alone;
use crate::config::{InstanceConfig, ValidatedConfig};
use crate::snapshot::SnapshotStore;
use instance::{Instance, Surroundings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use task::AbortOnDrop;
use tokio::sync::watch;

/// Pause before a task that panicked is started again, so that a bug that strikes at once does not spin.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// All instances being polled.
#[derive(Debug)]
pub struct Fleet {
    store: Arc<SnapshotStore>,
    handles: BTreeMap<String, Handle>,
}

#[derive(Debug)]
struct Handle {
    config: Arc<InstanceConfig>,
    configurations: watch::Sender<Configuration>,
    /// Ends with the handle.
    _task: AbortOnDrop,
}

/// What an instance's task is told: how to poll, and how many reloads there were. A reload that does not change the instance
/// still makes it try again what it was denied.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// How to poll.
    pub instance: Arc<InstanceConfig>,
    /// Reloads so far. A configuration without another one differs in nothing but the networks in which a node is dialled.
    pub reloads: u64,
}

/// Why there are other targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// The operator asked for the configuration to be read again.
    Reload,
    /// A server named other nodes of its cluster.
    Discovery,
}

/// What a new configuration changed, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Instances that are new.
    pub added: usize,
    /// Instances that are polled differently now.
    pub changed: usize,
    /// Instances that are gone.
    pub removed: usize,
}

impl Fleet {
    /// A fleet without instances that publishes into `store`.
    pub fn new(store: Arc<SnapshotStore>) -> Self {
        Self {
            store,
            handles: BTreeMap::new(),
        }
    }

    /// Takes a configuration that was read again: makes the fleet poll the instances, touching nothing that did not change. Every
    /// instance tries again what it was denied.
    pub fn apply(&mut self, config: &ValidatedConfig) -> Changes {
        self.take(config, Occasion::Reload)
    }

    /// Takes other targets of the same configuration. Instances that did not change never notice.
    pub fn retarget(&mut self, config: &ValidatedConfig) -> Changes {
        self.take(config, Occasion::Discovery)
    }

    fn take(&mut self, config: &ValidatedConfig, occasion: Occasion) -> Changes {
        let mut changes = Changes::default();
        let wanted: BTreeMap<&str, &Arc<InstanceConfig>> = config
            .instances
            .iter()
            .map(|instance| (instance.name.as_str(), instance))
            .collect();
        let gone: Vec<String> = self
            .handles
            .keys()
            .filter(|name| !wanted.contains_key(name.as_str()))
            .cloned()
            .collect();
        for name in gone {
            self.handles.remove(&name);
            self.store.remove(&name);
            tracing::info!(instance = %name, "the instance is not watched any more");
            changes.removed += 1;
        }
        for (name, instance) in wanted {
            match self.handles.get_mut(name) {
                Some(handle) => {
                    if occasion == Occasion::Discovery && differ_in_networks_alone(&handle.config, instance) {
                        handle.config = instance.clone();
                        let instance = instance.clone();
                        handle.configurations.send_modify(|told| told.instance = instance);
                        continue;
                    }
                    if handle.config != *instance {
                        handle.config = instance.clone();
                        changes.changed += 1;
                    } else if occasion == Occasion::Discovery {
                        continue;
                    }
                    let instance = instance.clone();
                    handle.configurations.send_modify(|told| {
                        told.instance = instance;
                        told.reloads += 1;
                    });
                }
                None => {
                    let surroundings = Surroundings::new(&self.store, config, name);
                    self.handles
                        .insert(name.to_owned(), start(instance.clone(), surroundings));
                    changes.added += 1;
                }
            }
        }
        changes
    }
}

/// Starts the task of one instance under a supervisor that starts it again should it ever panic.
fn start(config: Arc<InstanceConfig>, surroundings: Surroundings) -> Handle {
    let (configurations, receiver) = watch::channel(Configuration {
        instance: config.clone(),
        reloads: 0,
    });
    let supervisor = async move {
        loop {
            let mut receiver = receiver.clone();
            let config = receiver.borrow_and_update().instance.clone();
            let name = config.name.clone();
            let instance = Instance::new(config, surroundings.clone());
            match AbortOnDrop::spawn(instance.run(receiver)).join().await {
                Ok(()) => return,
                Err(_) => {
                    tracing::error!(instance = %name, "the instance's task panicked and is started again; please report this");
                    tokio::time::sleep(RESTART_PAUSE).await;
                }
            }
        }
    };
    Handle {
        config,
        configurations,
        _task: AbortOnDrop::spawn(supervisor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::Endpoint;
    use crate::config::{Environment, load_str};
    use crate::redis::testing::PATIENCE;
    use std::path::Path;

    /// Other networks are no reload: what was refused is not tried again, and the connection stays.
    #[tokio::test]
    async fn other_networks_of_a_node_are_no_reload() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = "instances: [{ address: 'redis-cluster://10.0.0.1', password: x }]";
        let config = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        let config = config.config;
        let endpoint = Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        };
        let targets = |networks: &[&str]| {
            let networks = networks.iter().map(|network| network.parse().unwrap());
            let networks = config.clusters[0].networks(networks);
            let node = config.clusters[0].node(endpoint.clone(), networks.as_ref());
            ValidatedConfig {
                instances: vec![Arc::new(node)],
                ..config.clone()
            }
        };
        let mut fleet = Fleet::new(Arc::new(SnapshotStore::new()));
        fleet.retarget(&targets(&["10.0.0.0/24"]));
        let (_connection, _) = tokio::time::timeout(PATIENCE, listener.accept())
            .await
            .unwrap()
            .unwrap();
        let wider = targets(&["10.0.0.0/24", "10.0.1.0/24"]);
        assert_eq!(fleet.retarget(&wider), Changes::default());
        let told = |fleet: &Fleet| fleet.handles.values().next().unwrap().configurations.borrow().clone();
        assert_eq!((&told(&fleet).instance, told(&fleet).reloads), (&wider.instances[0], 0));
        // Everything else is one.
        let mut other = InstanceConfig::clone(&wider.instances[0]);
        other.poll.timeout = Duration::from_secs(1);
        let other = ValidatedConfig {
            instances: vec![Arc::new(other)],
            ..config.clone()
        };
        assert_eq!(fleet.retarget(&other).changed, 1);
        assert_eq!(told(&fleet).reloads, 1);
        fleet.apply(&other);
        assert_eq!(told(&fleet).reloads, 2);
    }
}
