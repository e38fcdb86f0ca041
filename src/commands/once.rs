//! `once`: finds the nodes of clusters, polls every instance one time, prints the exposition, and says by its exit code whether all could be polled.

use super::{EXIT_FAILURE, EXIT_OK};
use crate::catalogue;
use crate::config::ValidatedConfig;
use crate::discovery;
use crate::exposition::Dialect;
use crate::exposition::encode::{Filter, InstanceLabels, Plan};
use crate::poller::instance::{Instance, Surroundings};
use crate::snapshot::SnapshotStore;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// Polls, prints in text 0.0.4, and returns the exit code.
///
/// # Errors
/// When standard output cannot be written.
pub async fn run(config: ValidatedConfig, paced: bool, mut output: impl Write) -> std::io::Result<u8> {
    let targets = discovery::once(&Arc::new(config)).await;
    let config = &*targets.config;
    let store = Arc::new(SnapshotStore::new());
    let mut polls = JoinSet::new();
    for instance in &config.instances {
        let surroundings = Surroundings::new(&store, config, &instance.name);
        let mut instance = Instance::new(instance.clone(), surroundings);
        polls.spawn(async move { instance.run_once(paced).await });
    }
    // The nodes of a cluster that cannot be asked are unknown, so not everything was polled.
    let mut all_polled = targets.clusters.iter().all(|cluster| cluster.error.is_none());
    while let Some(polled) = polls.join_next().await {
        all_polled &= polled.unwrap_or(false);
    }
    let (_, instances) = store.all();
    let everything = Filter::All;
    let plan = Plan::new(
        &instances,
        &everything,
        InstanceLabels::Written,
        &catalogue::exposition(),
        Instant::now(),
    );
    output.write_all(&plan.encode(Dialect::Text))?;
    output.flush()?;
    Ok(if all_polled { EXIT_OK } else { EXIT_FAILURE })
}
