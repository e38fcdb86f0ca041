//! The immutable result of polls: one section per collector, swapped one by one, and when each is too old.

pub mod clusters;
pub mod details;
pub mod tls;

use crate::exposition::chunk::Chunk;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

/// What one collector published at one moment.
#[derive(Debug)]
pub struct Section {
    /// The collector's name, for `collect[]` and `exclude[]`.
    pub collector: &'static str,
    /// When its values were read.
    pub made_at: Instant,
    /// When its values become too old to be shown; `None` for counters that the daemon keeps itself.
    pub expires_at: Option<Instant>,
    /// One chunk of pre-rendered lines per family.
    pub chunks: Vec<Chunk>,
}

impl Section {
    /// Whether the values may be shown at `now`.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// Names a section of an instance. A collector may have several with different lifetimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionKey {
    /// The collector's name, or `exporter` for figures about the polls themselves.
    pub collector: &'static str,
    /// Which of the collector's sections: `values` or `counters`.
    pub part: &'static str,
}

/// Everything that is known about one instance.
#[derive(Debug)]
pub struct InstanceSnapshot {
    /// The instance's name (label `instance`).
    pub name: Arc<str>,
    /// The label `environment`.
    pub environment: Arc<str>,
    /// The pre-rendered label block that every line of this instance carries: `environment="x",instance="y",team="z"`.
    pub label_block: Arc<str>,
    /// The sections by key.
    pub sections: BTreeMap<SectionKey, Arc<Section>>,
    /// What the health answers and the status page show; computed by the poller.
    pub details: Arc<crate::snapshot::details::InstanceDetails>,
}

/// The right to publish under one instance's name. A task that is still ending after its instance left the configuration, or
/// was replaced by one of the same name, holds an old one and publishes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration(u64);

/// The latest snapshot of every instance. Readers never wait for Redis; writers swap one pointer.
#[derive(Debug, Default)]
pub struct SnapshotStore {
    instances: RwLock<Instances>,
    generation: AtomicU64,
}

#[derive(Debug, Default)]
struct Instances {
    snapshots: BTreeMap<Arc<str>, Arc<InstanceSnapshot>>,
    registered: BTreeMap<Box<str>, Registration>,
    clusters: Arc<[clusters::ClusterFacts]>,
    registrations: u64,
}

impl SnapshotStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for an instance; an earlier registration of the same name ends.
    pub fn register(&self, name: &str) -> Registration {
        let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
        instances.registrations += 1;
        let registration = Registration(instances.registrations);
        instances.registered.insert(name.into(), registration);
        registration
    }

    /// Replaces the snapshot of one instance, if the registration still holds.
    pub fn publish(&self, registration: Registration, snapshot: InstanceSnapshot) {
        let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
        if instances.registered.get(&*snapshot.name) == Some(&registration) {
            instances.snapshots.insert(snapshot.name.clone(), Arc::new(snapshot));
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Forgets an instance that left the configuration.
    pub fn remove(&self, name: &str) {
        let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
        instances.registered.remove(name);
        instances.snapshots.remove(name);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// All instances in the order of their names, with the generation they belong to.
    pub fn all(&self) -> (u64, Vec<Arc<InstanceSnapshot>>) {
        let instances = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        (
            self.generation.load(Ordering::Acquire),
            instances.snapshots.values().cloned().collect(),
        )
    }

    /// One instance.
    pub fn get(&self, name: &str) -> Option<Arc<InstanceSnapshot>> {
        self.instances
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .snapshots
            .get(name)
            .cloned()
    }

    /// Replaces what is known of the clusters whose nodes are found out, in the order of the configuration.
    pub fn publish_clusters(&self, clusters: Vec<clusters::ClusterFacts>) {
        let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
        instances.clusters = clusters.into();
    }

    /// What is known of the clusters whose nodes are found out.
    pub fn clusters(&self) -> Arc<[clusters::ClusterFacts]> {
        let instances = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        instances.clusters.clone()
    }

    /// Grows with every publication; a cached body of an older generation is stale.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
