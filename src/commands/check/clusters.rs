//! What `check` says about a cluster: how many nodes were found, which are not watched and why, or why nobody named any.

use super::Report;
use crate::snapshot::clusters::ClusterFacts;
use std::collections::BTreeSet;

/// The paragraph about one cluster.
pub(super) fn describe(cluster: &ClusterFacts) -> Report {
    let title = if *cluster.name == *cluster.address {
        format!("{}\n", cluster.address)
    } else {
        format!("cluster {} at {}\n", cluster.name, cluster.address)
    };
    let mut report = Report {
        text: title,
        works: true,
        grants: BTreeSet::new(),
    };
    match &cluster.error {
        None => report.line("nodes", &format!("{} are watched", cluster.nodes)),
        Some(error) => {
            report.works = false;
            report.line("nodes", &format!("cannot be found out: {error}"));
            report.line(
                "",
                "the configured nodes are watched until one of them names the others",
            );
        }
    }
    for node in &cluster.left_out_nodes {
        report.works = false;
        report.line("not watched", &format!("{}: {}", node.name, node.sentence));
    }
    let all: usize = cluster.left_out.iter().map(|(_, count)| count).sum();
    if let Some(more) = all.checked_sub(cluster.left_out_nodes.len()).filter(|more| *more > 0) {
        report.works = false;
        report.line("not watched", &format!("{more} more"));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::clusters::LeftOutNode;

    fn facts() -> ClusterFacts {
        ClusterFacts {
            name: "sessions".into(),
            address: "redis-cluster://a:1".to_owned(),
            nodes: 6,
            left_out: vec![("network", 0)],
            left_out_nodes: Vec::new(),
            has_ended: true,
            discoveries: 1,
            failures: 0,
            error: None,
            answered_at: None,
        }
    }

    #[test]
    fn what_is_not_watched_is_a_failure() {
        let good = describe(&facts());
        assert!(good.works);
        assert_eq!(
            good.text,
            "cluster sessions at redis-cluster://a:1\n  nodes           6 are watched\n"
        );
        let left_out = describe(&ClusterFacts {
            left_out: vec![("network", 3)],
            left_out_nodes: vec![LeftOutNode {
                name: "10.0.0.1:1".to_owned(),
                sentence: "outside",
            }],
            ..facts()
        });
        assert!(!left_out.works);
        assert!(
            left_out.text.contains("not watched     10.0.0.1:1: outside\n"),
            "{}",
            left_out.text
        );
        assert!(left_out.text.contains("not watched     2 more\n"), "{}", left_out.text);
        let failed = describe(&ClusterFacts {
            error: Some("no".to_owned()),
            ..facts()
        });
        assert!(
            !failed.works && failed.text.contains("cannot be found out: no"),
            "{}",
            failed.text
        );
    }
}
