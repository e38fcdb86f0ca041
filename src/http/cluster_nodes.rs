//! `/discover-cluster-nodes`: the nodes of clusters as `redis_exporter` lists them for `http_sd_configs`.
//!
//! Its users have a job whose targets are the nodes' own addresses, which their relabelling moves into `/scrape?target=` of the
//! exporter. So every target here is one that `/scrape` answers. What is listed is what is being polled: no request asks a server.

use super::App;
use super::answer::Answer;
use crate::config::ValidatedConfig;
use crate::config::resolve::DEFAULT_ENVIRONMENT;
use hyper::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;

/// The nodes of one cluster.
#[derive(Debug, Serialize)]
struct Group {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// One group per cluster.
pub(super) fn answer(app: &App) -> Answer {
    let config = app.config();
    if config.clusters.is_empty() {
        return Answer::text(
            StatusCode::BAD_REQUEST,
            "no cluster is configured; write an address as redis-cluster://host:port, or start with --is-cluster",
        );
    }
    let clusters = app.parts.store.clusters();
    if !clusters.iter().any(|facts| facts.has_ended) {
        // Prometheus keeps the list that it has when it is given none.
        return Answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the nodes are being asked for; try again in a moment",
        );
    }
    Answer::json(StatusCode::OK, &groups(&config))
}

fn groups(config: &ValidatedConfig) -> Vec<Group> {
    let groups = config.clusters.iter().map(|cluster| {
        let template = &cluster.template;
        let targets = config.nodes_of(cluster).map(|node| {
            let target = node.address.to_string();
            // As redis_exporter writes it, brackets around IPv6 aside.
            target.strip_suffix("/0").map_or(target.clone(), str::to_owned)
        });
        // `/scrape` leaves these to whoever lists the targets. A cluster of which the file says nothing has none, as in redis_exporter.
        let mut labels = template.labels.clone();
        if template.environment != DEFAULT_ENVIRONMENT {
            labels.insert("environment".to_owned(), template.environment.clone());
        }
        Group {
            targets: targets.collect(),
            labels,
        }
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_str};
    use std::path::Path;
    use std::sync::Arc;

    fn config(instances: &str, nodes: &[(usize, &str)]) -> ValidatedConfig {
        let text = format!("instances: {instances}");
        let loaded = load_str(&text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
        let mut config = loaded.config;
        for (cluster, address) in nodes {
            let endpoint = crate::config::address::normalise(address).unwrap().endpoint;
            let node = config.clusters[*cluster].node(endpoint, None);
            config.instances.push(Arc::new(node));
        }
        config
    }

    #[test]
    fn a_cluster_without_a_name_looks_as_in_redis_exporter() {
        let config = config(
            "[{ address: 'redis-cluster://a' }]",
            &[(0, "10.0.0.1:7000"), (0, "[::1]:7001")],
        );
        assert_eq!(
            serde_json::to_string(&groups(&config)).unwrap(),
            "[{\"targets\":[\"redis://10.0.0.1:7000\",\"redis://[::1]:7001\"],\"labels\":{}}]"
        );
    }

    #[test]
    fn nodes_over_tls_are_listed_by_the_scheme_that_scrape_compares() {
        let config = config("[{ address: 'rediss-cluster://a' }]", &[(0, "10.0.0.1:7000")]);
        assert_eq!(groups(&config)[0].targets, ["rediss://10.0.0.1:7000"]);
        assert_eq!(
            crate::config::address::meant_by("rediss://10.0.0.1:7000"),
            [config.instances[0].address.clone()]
        );
    }

    #[test]
    fn every_cluster_is_a_group_with_the_labels_of_its_nodes() {
        let instances = "[{ address: 'redis-cluster://a/3', name: one, environment: staging, labels: { team: x } }, \
            { address: 'redis-cluster://b', name: two }, { address: h }]";
        let config = config(instances, &[(0, "10.0.0.1:7000"), (1, "10.0.0.2:7000")]);
        let groups = groups(&config);
        assert_eq!(groups[0].targets, ["redis://10.0.0.1:7000/3"]);
        let labels: Vec<(&str, &str)> = groups[0].labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(labels, [("cluster", "one"), ("environment", "staging"), ("team", "x")]);
        assert_eq!(groups[1].targets, ["redis://10.0.0.2:7000"]);
        assert_eq!(groups[1].labels.len(), 1);
    }
}
