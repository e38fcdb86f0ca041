//! Clusters over TLS: real ones, whose nodes announce their ports for TLS.

use crate::support::certificates::{Authority, Leaf};
use crate::support::config;
use crate::support::exporter::{Exporter, is_up};
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_server::{RedisServer, ServerTls};
use crate::support::wait_until;
use std::path::Path;
use std::time::Duration;

/// Until a discovery has found everybody and the new instances were polled: two intervals, and what a busy machine takes for the
/// handshakes.
const FOUND_BOUND: Duration = Duration::from_secs(20);

/// One cluster with a password, and nothing but the kept connection of each node. Handshakes of two dozen connections at once take longer
/// than the deadline of other tests.
fn of_cluster(address: &str, further: &str) -> String {
    let kept_only = "collectors: { connect: false, sessions: false, events: false }";
    config::patient(&[("shop", address, &format!("{kept_only}\n{further}"))])
}

fn tls(authority: &Path, further: &str) -> String {
    format!("tls: {{ ca_file: \"{}\"{further} }}", authority.display())
}

fn left_out(exporter: &Exporter, reason: &str) -> Option<f64> {
    let labels = [("cluster", "shop"), ("reason", reason)];
    exporter
        .scrape()
        .value("redis_session_exporter_cluster_nodes_left_out", &labels)
}

#[test]
fn every_node_is_polled_at_its_port_for_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("cluster");
    let ca = authority.write(folder.path(), "ca");
    let arguments = ["--requirepass", "hunter2", "--masterauth", "hunter2"];
    let cluster = RedisCluster::start_tls(&authority, &Leaf::server(), &arguments);
    let address = cluster.tls_address("127.0.0.1");
    let credentials = format!("password: hunter2\n{}", tls(&ca, ""));
    let exporter = Exporter::start(&of_cluster(&address, &credentials));
    let names = cluster.tls_names("127.0.0.1");
    exporter.wait_for("all nodes over TLS", FOUND_BOUND, |scrape| {
        names.iter().all(|name| is_up(scrape, name))
    });
    assert_eq!(left_out(&exporter, "tls"), Some(0.0));
    for (node, name) in cluster.nodes.iter().zip(&names) {
        let plain = format!("redis://127.0.0.1:{}", node.port);
        assert_eq!(exporter.get(&format!("/probe?target={plain}")).status, 404);
        assert_eq!(exporter.get(&format!("/probe?target=redis://{name}")).status, 404);
        for target in [name.clone(), format!("rediss://{name}")] {
            assert_eq!(exporter.get(&format!("/probe?target={target}")).status, 200, "{target}");
        }
    }
    let listed = exporter.get("/discover-cluster-nodes").text();
    assert!(
        names
            .iter()
            .all(|name| listed.contains(&format!("\"rediss://{name}\""))),
        "{listed}"
    );
    let shown = exporter.get("/config").text();
    assert!(shown.contains(&address) && shown.contains("ca_file: /"), "{shown}");

    // The plain ports of the same cluster.
    let plain = Exporter::start(&of_cluster(&cluster.address(), "password: hunter2"));
    plain.wait_for("all nodes without TLS", FOUND_BOUND, |scrape| {
        cluster.names().iter().all(|name| is_up(scrape, name))
    });
}

/// A certificate that holds a host name and no address, as most do.
#[test]
fn nodes_are_verified_by_their_host_names_or_by_one_name_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("cluster");
    let ca = authority.write(folder.path(), "ca");
    let leaf = Leaf::nameless_server().dns("localhost").dns("shop.internal");
    let cluster = RedisCluster::start_tls(&authority, &leaf, &["--cluster-announce-hostname", "localhost"]);
    // By address nobody is verified; the configured nodes show it.
    let by_address = Exporter::start(&of_cluster(&cluster.tls_address("127.0.0.1"), &tls(&ca, "")));
    let first = cluster.tls_names("127.0.0.1").remove(0);
    by_address.wait_for("a node that is not verified", FOUND_BOUND, |scrape| {
        scrape.value("redis_connection_state", &[("instance", &first), ("state", "tls")]) == Some(1.0)
    });
    drop(by_address);
    let by_host = format!("cluster_hostnames: on\n{}", tls(&ca, ""));
    let by_one_name = tls(&ca, ", server_name: shop.internal");
    for (host, further) in [("localhost", by_host), ("127.0.0.1", by_one_name)] {
        let exporter = Exporter::start(&of_cluster(&cluster.tls_address(host), &further));
        let names = cluster.tls_names(host);
        exporter.wait_for("all nodes verified", FOUND_BOUND, |scrape| {
            names.iter().all(|name| is_up(scrape, name))
        });
    }
}

/// Whether the node announces its port for TLS depends on the version and on `tls-cluster`.
#[test]
fn a_cluster_that_knows_no_ports_for_tls_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("cluster");
    let ca = authority.write(folder.path(), "ca");
    let identity = authority.issue(&Leaf::server());
    let node = RedisServer::start_tls(
        &ServerTls::showing(&identity).and_plain(),
        &["--cluster-enabled", "yes", "--tls-cluster", "no"],
    );
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let shards = format!("{:?}", node.command(&["CLUSTER", "SHARDS"]));
    let announces = shards.contains(&format!("{:?}", b"tls-port"));
    let is_old = node.info("redis_version").unwrap().starts_with("7.0.");
    assert_eq!(announces, !is_old, "{shards}");
    let address = format!("rediss-cluster://127.0.0.1:{}", node.tls_port);
    let exporter = Exporter::start(&of_cluster(&address, &tls(&ca, "")));
    let name = format!("127.0.0.1:{}", node.tls_port);
    // Found, or standing there as a configured node.
    exporter.wait_for("the node over TLS", FOUND_BOUND, |scrape| is_up(scrape, &name));
    assert_eq!(left_out(&exporter, "tls"), Some(if announces { 0.0 } else { 1.0 }));
    let page = wait_until(FOUND_BOUND, || {
        let page = exporter.get("/").text();
        (announces || page.contains("announces no port for TLS")).then_some(page)
    });
    assert!(page.is_some());
}
