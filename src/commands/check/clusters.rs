//! What `check` says about a cluster: how many nodes were found, which are not watched and why, or why nobody named any.

use super::Report;
use crate::snapshot::clusters::ClusterFacts;
use std::collections::BTreeMap;

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
        ..Report::default()
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

/// Most nodes that are named behind what only some of them miss.
const MAX_NAMED: usize = 10;

/// Takes out of the paragraphs of a cluster's nodes what several of them miss, and says it once. The paragraph is empty where nothing is.
pub(super) fn shared(cluster: &str, nodes: Vec<&mut Report>) -> Report {
    let mut holders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (position, node) in nodes.iter().enumerate() {
        for sentence in &node.unavailable {
            holders.entry(sentence.clone()).or_default().push(position);
        }
    }
    holders.retain(|_, holders| holders.len() > 1);
    let names: Vec<String> = nodes.iter().map(|node| node.title().to_owned()).collect();
    for node in nodes {
        node.unavailable.retain(|sentence| !holders.contains_key(sentence));
    }
    let mut report = Report {
        works: true,
        ..Report::default()
    };
    if holders.is_empty() {
        return report;
    }
    report.text = format!("nodes of {cluster}\n");
    for (sentence, holders) in holders {
        if holders.len() == names.len() {
            report
                .unavailable
                .push(format!("{sentence} (all {} nodes)", names.len()));
            continue;
        }
        let named = holders
            .iter()
            .take(MAX_NAMED)
            .filter_map(|position| names.get(*position));
        let mut named: Vec<&str> = named.map(String::as_str).collect();
        if holders.len() > MAX_NAMED {
            named.push("...");
        }
        let (count, named) = (holders.len(), named.join(", "));
        report
            .unavailable
            .push(format!("{sentence} ({count} of {} nodes: {named})", names.len()));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_nodes_miss_is_said_once() {
        let node = |name: &str, unavailable: &[&str]| Report {
            text: format!("{name} at redis://{name}\n  ping            ok\n"),
            works: true,
            unavailable: unavailable.iter().map(|sentence| (*sentence).to_owned()).collect(),
            ..Report::default()
        };
        let (mut a, mut b) = (
            node("a:1", &["capacity: x", "own: y"]),
            node("b:1", &["capacity: x", "events: z"]),
        );
        let mut c = node("c:1", &["capacity: x", "events: z"]);
        let said = shared("shop", vec![&mut a, &mut b, &mut c]);
        assert!(said.works);
        assert_eq!(
            said.whole(),
            "nodes of shop\n  not available   capacity: x (all 3 nodes)\n  not available   events: z (2 of 3 nodes: b:1, c:1)\n"
        );
        assert!(a.whole().ends_with("  not available   own: y\n"));
        assert!(!b.whole().contains("not available"));
        let mut alone = node("a:1", &["capacity: x"]);
        assert_eq!(shared("shop", vec![&mut alone]).whole(), "");
        assert!(alone.whole().contains("capacity: x"));
    }
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
