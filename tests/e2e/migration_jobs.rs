//! The jobs, dashboards and alerts of docs/migration.md under a real Prometheus.

use crate::migration::{PASSWORD, SEEN_BOUND, ours, sessions, theirs};
use crate::prometheus::{Prometheus, SCRAPED_BOUND};
use crate::scenes;
use crate::support::exporter::{Exporter, is_up};
use crate::support::fixture;
use crate::support::page::{self, Container, Page, scalar};
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_server::RedisServer;
use crate::support::wait_until;
use serde_yaml::{Mapping, Value};
use std::path::Path;

/// The jobs of these files in one, each under a name of its own.
fn joined(files: Vec<(&str, Value)>) -> String {
    let mut all = Vec::new();
    for (name, file) in files {
        let jobs = file["scrape_configs"].as_sequence().unwrap().clone();
        for (number, mut job) in jobs.into_iter().enumerate() {
            job["job_name"] = if number == 0 {
                name.into()
            } else {
                format!("{name}-{number}").into()
            };
            all.push(job);
        }
    }
    let mut whole = Mapping::new();
    let global = serde_yaml::from_str("{ scrape_interval: 1s, scrape_timeout: 1s }").unwrap();
    whole.insert("global".into(), global);
    whole.insert("scrape_configs".into(), all.into());
    serde_yaml::to_string(&whole).unwrap()
}

/// The jobs that the chart's ServiceMonitor stands for: one per target, whose labels are set on what was scraped.
fn service_monitor(values: &Value, exporter: &str) -> Value {
    let monitor = &values["serviceMonitor"];
    assert_eq!(monitor["enabled"].as_bool(), Some(true));
    assert_eq!(monitor["multipleTarget"].as_bool(), Some(true));
    let path = scalar(&monitor["telemetryPath"]);
    let jobs = monitor["targets"].as_sequence().unwrap().iter().map(|target| {
        let (url, name) = (scalar(&target["url"]), scalar(&target["name"]));
        format!(
            "- job_name: x
  metrics_path: {path}
  params: {{ target: [ '{url}' ] }}
  static_configs: [ {{ targets: [ '{exporter}' ] }} ]
  metric_relabel_configs:
    - {{ action: replace, source_labels: [instance], target_label: instance, replacement: '{url}' }}
    - {{ action: replace, source_labels: [target], target_label: target, replacement: '{name}' }}
"
        )
    });
    let jobs: String = jobs.collect();
    serde_yaml::from_str(&format!("scrape_configs:\n{jobs}")).unwrap()
}

fn place(server: &RedisServer) -> String {
    format!("127.0.0.1:{}", server.port)
}

fn port(exporter: &Exporter) -> String {
    format!("127.0.0.1:{}", exporter.port)
}

/// Waits until a query has this many series, and returns them.
fn series(prometheus: &Prometheus, query: &str, count: usize) -> Vec<Value> {
    let found = wait_until(SCRAPED_BOUND, || {
        let found = prometheus.query(query);
        (found.len() == count).then_some(found)
    });
    let found = found.unwrap_or_else(|| {
        panic!(
            "{query}: {:?}, not {count} series\n{}",
            prometheus.query(query),
            prometheus.targets()
        )
    });
    let labels = found.into_iter();
    labels
        .map(|(labels, _)| serde_yaml::to_value(labels).unwrap())
        .collect()
}

fn values_of(series: &[Value], label: &str) -> Vec<String> {
    let mut values: Vec<String> = series.iter().map(|labels| scalar(&labels[label])).collect();
    values.sort();
    values
}

/// Puts the JSON of the page where `path` stands in the container's arguments.
fn with_passwords(container: &mut Container, json: &str, folder: &Path) {
    let file = folder.join("passwords.json");
    std::fs::write(&file, json).unwrap();
    for argument in &mut container.arguments {
        *argument = argument.replace("/etc/redis/passwords.json", &file.display().to_string());
    }
}

#[test]
fn the_multi_target_job_works_unchanged() {
    let (with_password, carts, queue) = (sessions(), RedisServer::start(), RedisServer::start());
    let places = [place(&with_password), place(&carts), place(&queue)];
    let of_page = [
        ("sessions:6379", places[0].as_str()),
        ("carts:6379", places[1].as_str()),
        ("queue:6379", places[2].as_str()),
    ];
    let page = Page::read();
    let folder = tempfile::tempdir().unwrap();
    let json = page.block("passwords", &of_page);

    // By the file: the same arguments for both exporters.
    let mut container = page.docker_run("many-by-file", &of_page);
    with_passwords(&mut container, &json, folder.path());
    let (peer, by_file) = (theirs(&container), ours(&container).with_instances());
    // By addresses, which have no password.
    let by_address = ours(&page.docker_run("many-by-address", &of_page));
    // By the values of the chart.
    let values = page.yaml("helm-many", &of_page);
    let file = folder.path().join("passwords.json").display().to_string();
    let by_helm = ours(&page::of_helm(&values, PASSWORD, &file)).with_instances();
    by_file.wait_until_up(&[&places[0], &places[1]]);
    by_address.wait_until_up(&[&places[1], &places[2]]);
    let scrape = by_helm.wait_until_up(&[&places[0], &places[1]]);
    // The chart's own default address is not among them.
    assert_eq!(scrape.all("redis_up", &[]).count(), 2);

    let job = |exporter: &str| {
        let mut replaced = of_page.to_vec();
        replaced.push(("exporter:9121", exporter));
        page.yaml("many-job", &replaced)
    };
    let mut of_addresses = job(&port(&by_address));
    of_addresses["scrape_configs"][0]["static_configs"] = serde_yaml::from_str(&format!(
        "[ {{ targets: [ 'redis://{}', '{}' ] }} ]",
        places[1], places[2]
    ))
    .unwrap();
    let prometheus = Prometheus::start(&joined(vec![
        ("peer", job(&format!("127.0.0.1:{}", peer.port))),
        ("file", job(&port(&by_file))),
        ("address", of_addresses),
        ("helm", service_monitor(&values, &port(&by_helm))),
        ("own", page.yaml("own-job", &[("exporter:9121", &port(&by_file))])),
    ]));
    for job in ["peer", "file"] {
        let found = series(&prometheus, &format!("redis_up{{job=\"{job}\"}} == 1"), 2);
        // The labels of the job, and no others.
        let mut instances = vec![format!("redis://{}", places[0]), format!("redis://{}", places[1])];
        instances.sort();
        assert_eq!(values_of(&found, "instance"), instances, "{job}");
        assert!(
            found.iter().all(|labels| labels.as_mapping().unwrap().len() == 3),
            "{found:?}"
        );
    }
    series(&prometheus, "redis_up{job=\"address\"} == 1", 2);
    let found = series(&prometheus, "redis_up{job=~\"helm.*\"} == 1", 2);
    assert_eq!(values_of(&found, "target"), ["carts", "sessions"]);
    // The second job shows the exporter, and no Redis a second time.
    series(&prometheus, "redis_session_exporter_build_info{job=\"own\"}", 1);
    assert!(prometheus.query("redis_up{job=\"own\"}").is_empty());
    assert!(prometheus.query("redis_connected_clients{job=\"own\"}").is_empty());
    // What is not configured is not dialled.
    assert_eq!(
        by_file.get(&format!("/scrape?target=redis://{}", places[2])).status,
        404
    );
}

#[test]
fn a_cluster_is_found_by_the_job_unchanged() {
    let cluster = RedisCluster::start(&[]);
    // Three keys, of which one is likely elsewhere than another.
    cluster.fill("user_", 3);
    let page = Page::read();
    let names = cluster.names();
    let exporter = ours(&page.docker_run("cluster", &[("node-1:6379", &names[0])]));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    exporter.wait_until_up(&names);
    let address = port(&exporter);
    let replaced = [
        ("exporter:9121", address.as_str()),
        ("refresh_interval: 30s", "refresh_interval: 2s"),
    ];
    let prometheus = Prometheus::start(&joined(vec![("cluster", page.yaml("cluster-job", &replaced))]));
    let found = series(&prometheus, "redis_up{job=\"cluster\"} == 1", 6);
    let mut instances: Vec<String> = names.iter().map(|name| format!("redis://{name}")).collect();
    instances.sort();
    assert_eq!(values_of(&found, "instance"), instances);
    series(&prometheus, "redis_cluster_state{job=\"cluster\"} == 1", 6);

    // A password file that names every node: each is watched and listed once.
    let entries: serde_json::Map<String, serde_json::Value> = names
        .iter()
        .map(|name| (format!("redis://{name}"), "".into()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords.json");
    std::fs::write(&file, serde_json::Value::Object(entries).to_string()).unwrap();
    let argument = format!("--redis.password-file={}", file.display());
    let by_file = Exporter::start_bare(
        &["--is-cluster", &argument, "--check-single-keys=user_0,user_1,user_2"],
        &[],
    );
    // The entries are configured nodes of one cluster, so that no node is left out as one that is watched already.
    let scrape = by_file.wait_for("the one cluster of all entries", SEEN_BOUND, |scrape| {
        names.iter().all(|name| is_up(scrape, name)) && scrape.has("redis_session_exporter_cluster_nodes", &[])
    });
    assert_eq!(scrape.all("redis_session_exporter_cluster_nodes", &[]).count(), 1);
    assert_eq!(scrape.sum("redis_session_exporter_cluster_nodes", &[]), 6.0);
    assert_eq!(scrape.sum("redis_session_exporter_cluster_nodes_left_out", &[]), 0.0);
    assert_eq!(scrape.all("redis_up", &[]).count(), 6);
    // A key that is named in full is found on the node that has it.
    by_file.wait_for("the keys", SEEN_BOUND, |scrape| {
        ["user_0", "user_1", "user_2"]
            .iter()
            .all(|key| scrape.has("redis_key_size", &[("key", key)]))
    });
    let list = by_file.get("/discover-cluster-nodes").json();
    let targets = list.as_array().unwrap().iter();
    let mut targets: Vec<String> = targets
        .flat_map(|group| group["targets"].as_array().unwrap().clone())
        .map(|target| target.as_str().unwrap().to_owned())
        .collect();
    targets.sort();
    assert_eq!(targets, instances);
}

/// A line of dashboard_metrics.tsv.
struct Asked {
    metric: String,
    kind: String,
    label: String,
}

fn asked() -> Vec<Asked> {
    let text = std::fs::read_to_string(fixture("compat/dashboard_metrics.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let of = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next().unwrap();
        Asked {
            metric: next(),
            kind: next(),
            label: next(),
        }
    };
    lines.map(of).collect()
}

#[test]
fn dashboards_and_alerts_find_what_they_ask_for() {
    let (primary, replica, cluster) = (scenes::primary(), scenes::replica(), scenes::cluster());
    let page = Page::read();
    let roles = [("gauge", &primary), ("replica", &replica), ("cluster", &cluster)];
    let flag = "--include-system-metrics";
    let job = |block: &str, port: u16| page.yaml(block, &[("exporter:9121", &format!("127.0.0.1:{port}"))]);
    let mut jobs = Vec::new();
    let (mut exporters, mut peers) = (Vec::new(), Vec::new());
    for (role, scene) in roles {
        let address = format!("--redis.addr={}", scene.server.address());
        let container = Container {
            image: "redis-session-exporter:latest".to_owned(),
            arguments: vec![address, flag.to_owned()],
            variables: Vec::new(),
        };
        let (peer, exporter) = (theirs(&container), ours(&container));
        jobs.push((role, job("job", exporter.port)));
        jobs.push((format!("peer-{role}").leak(), job("job", peer.port)));
        exporters.push(exporter);
        peers.push(peer);
    }
    // All three in one exporter.
    let addresses = roles.map(|(_, scene)| format!("--redis.addr={}", scene.server.address()));
    let mut arguments: Vec<&str> = addresses.iter().map(String::as_str).collect();
    arguments.push(flag);
    let several = Exporter::start_bare(&arguments, &[]);
    jobs.push(("honor", job("job-honor", several.port)));
    let prometheus = Prometheus::start(&joined(jobs));
    series(&prometheus, "redis_up == 1", 9);

    // `instance` is the exporter as before, and the Redis where the job honours labels.
    let found = series(&prometheus, "redis_up{job=\"gauge\"}", 1);
    assert_eq!(values_of(&found, "instance"), [port(&exporters[0])]);
    assert_eq!(values_of(&found, "exported_instance"), [place(&primary.server)]);
    let found = series(&prometheus, "redis_up{job=\"honor\"}", 3);
    let mut servers = roles.map(|(_, scene)| place(&scene.server)).to_vec();
    servers.sort();
    assert_eq!(values_of(&found, "instance"), servers);

    let asked = asked();
    assert!(asked.len() > 20);
    for line in &asked {
        let role = if line.kind == "counter" { "gauge" } else { &line.kind };
        let metric = &line.metric;
        let by = if line.label.is_empty() { "instance" } else { &line.label };
        for job in [role.to_owned(), format!("peer-{role}"), "honor".to_owned()] {
            let values = format!("sum by ({by}) ({metric}{{job=\"{job}\"}})");
            let query = match line.kind.as_str() {
                "counter" => format!("sum by ({by}) (rate({metric}{{job=\"{job}\"}}[1m]))"),
                _ => values,
            };
            let found = wait_until(SCRAPED_BOUND, || {
                let found = prometheus.query(&query);
                (!found.is_empty()).then_some(found)
            });
            let found = found.unwrap_or_else(|| panic!("no data: {query}\n{}", prometheus.targets()));
            assert!(
                found
                    .iter()
                    .all(|(labels, _)| !labels[by].as_str().unwrap_or_default().is_empty()),
                "{query}: {found:?}"
            );
        }
    }
    // Quotients, as the recording rule and the alerts make them, match each server with itself.
    for (over, under) in [
        ("redis_memory_used_rss_bytes", "redis_memory_used_bytes"),
        ("redis_memory_used_bytes", "redis_total_system_memory_bytes"),
        ("redis_memory_used_bytes", "redis_memory_max_bytes"),
        ("redis_connected_clients", "redis_config_maxclients"),
    ] {
        for (job, count) in [("gauge", 1), ("peer-gauge", 1), ("honor", 3)] {
            let selected = format!("{{job=\"{job}\"}}");
            series(&prometheus, &format!("{over}{selected} / {under}{selected}"), count);
        }
    }
}
