//! Our samples held against those of `redis_exporter` for the very same replies (`tests/fixtures/peer`): names, types, labels
//! and values. Every exception is written down here and in `docs/migration.md`.

use super::testing::{Scene, parse_reply};
use super::{ALL, Build, cluster, config, latency, slowlog};
use crate::catalogue::compatibility::assert_emits_listed;
use crate::metric::{Samples, Value};
use crate::redis::{Command, Reply};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// `name{label="value",...}` with the labels sorted.
type Series = (String, BTreeMap<String, String>);

/// Metrics about the peer itself, or ones that the frame and the telemetry publish.
const NOT_FROM_COLLECTORS: [&str; 6] = [
    "redis_exporter_",
    "redis_last_key_groups_scrape_duration_milliseconds",
    "redis_target_scrape_request_errors_total",
    "redis_up",
    "process_",
    "go_",
];

/// Families that we have on these servers and the peer (1.86) has not.
const OURS_ALONE: [&str; 30] = [
    "redis_acl_access_denied_db_total",
    "redis_acl_access_denied_tls_cert_total",
    "redis_active_time_main_thread_seconds_total",
    "redis_commandlog_execution_slower_than",
    "redis_commandlog_large_reply_max_len",
    "redis_commandlog_large_request_max_len",
    "redis_commandlog_reply_larger_than",
    "redis_commandlog_request_larger_than",
    "redis_commandlog_slow_execution_max_len",
    "redis_config_save_points",
    "redis_db_keys_with_expiring_items",
    "redis_expired_fields_total",
    "redis_expired_keys_with_volatile_items_stale_percentage",
    "redis_mem_replicas_repl_buffer_bytes",
    "redis_memory_used_ratio",
    "redis_replicas_repl_buffer_peak_bytes",
    "redis_replicas_repl_buffer_size_bytes",
    "redis_replicas_waiting_psync",
    "redis_scripting_engine_info",
    "redis_scripting_engine_memory_overhead_bytes",
    "redis_scripting_engine_memory_used_bytes",
    "redis_scripting_engines_count",
    "redis_scripting_engines_memory_overhead_bytes",
    "redis_scripting_engines_memory_used_bytes",
    "redis_session_exporter_info_fields_unknown",
    "redis_session_exporter_info_lines_malformed",
    "redis_tls_ca_cert_expires_in_seconds",
    "redis_tls_certificate_info",
    "redis_tls_configured_certificate_not_after_timestamp_seconds",
    "redis_tls_server_cert_expires_in_seconds",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peer")
}

/// Reads the text format 0.0.4 as the peer writes it: types by family, and samples.
fn parse_exposition(text: &str) -> (BTreeMap<String, String>, BTreeMap<Series, f64>) {
    let (mut types, mut samples) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            types.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') && !line.is_empty() {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}');
            let mut parsed = BTreeMap::new();
            // No label value of the fixtures holds `",`, which the assertion below would show as a missing series.
            let labels = labels.strip_suffix('"').unwrap_or(labels);
            for (label, value) in labels.split("\",").filter_map(|pair| pair.split_once("=\"")) {
                parsed.insert(label.to_owned(), value.to_owned());
            }
            samples.insert((name.to_owned(), parsed), value.parse().unwrap());
        }
    }
    (types, samples)
}

/// Our samples in the same shape.
fn flatten(samples: &Samples, types: &mut BTreeMap<String, String>, series: &mut BTreeMap<Series, f64>) {
    for family in samples.families() {
        let name = family.descriptor.name;
        types.insert(name.to_owned(), family.descriptor.kind.as_str().to_owned());
        for sample in &family.samples {
            let labels: BTreeMap<String, String> = sample
                .labels
                .iter()
                .map(|(label, value)| ((*label).to_owned(), value.to_string()))
                .collect();
            let mut put = |suffix: &str, extra: Option<(&str, String)>, value: f64| {
                let mut labels = labels.clone();
                labels.extend(extra.map(|(label, value)| (label.to_owned(), value)));
                series.insert((format!("{name}{suffix}"), labels), value);
            };
            match &sample.value {
                Value::Number(number) => put("", None, *number),
                Value::Histogram(histogram) => {
                    for (edge, count) in &histogram.buckets {
                        put("_bucket", Some(("le", edge.to_string())), *count as f64);
                    }
                    put("_bucket", Some(("le", "+Inf".to_owned())), histogram.count as f64);
                    put("_sum", None, histogram.sum);
                    put("_count", None, histogram.count as f64);
                }
                Value::Summary { quantiles, sum, count } => {
                    for (quantile, value) in quantiles {
                        put("", Some(("quantile", quantile.to_string())), *value);
                    }
                    put("_sum", None, *sum);
                    put("_count", None, *count as f64);
                }
            }
        }
    }
}

/// The reply that the peer got to a command, by the end of its file's name (`04-latency-latest.resp`).
fn recorded(folder: &Path, command: &str) -> Option<Vec<u8>> {
    let file = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_stem().unwrap().to_str().unwrap().get(3..) == Some(command))?;
    Some(std::fs::read(file).unwrap())
}

/// The scene that the peer saw.
fn scene(folder: &Path) -> Scene {
    let info = parse_reply(&recorded(folder, "info-all").unwrap());
    let mut scene = Scene::from_bytes(info.as_bytes().unwrap());
    if let Some(server_time) = scene.info.number("server_time_usec") {
        scene.unix_seconds = server_time / 1e6;
    }
    // The peer was recorded with its defaults.
    for spec in ALL.iter().filter(|spec| spec.default_on) {
        let Build::FromReplies(build) = spec.build else {
            continue;
        };
        for command in build(&scene.options).requests(Some(&scene.server)) {
            let file = match command.name().as_str() {
                "config|get" => "config-get",
                "cluster|info" => "cluster-info",
                "latency|latest" => "latency-latest",
                "latency|histogram" => "latency-histogram",
                "slowlog|len" => "slowlog-len",
                "slowlog|get" => "slowlog-get-1",
                "commandlog|len" => continue,
                other => panic!("{} asks for {other}, which no fixture holds", spec.name),
            };
            // 1.45 does not ask for histograms.
            if let Some(reply) = recorded(folder, file) {
                scene.replies.insert(command, parse_reply(&reply));
            }
        }
    }
    scene
}

/// Names of the metrics that our collectors make of a fixture below `tests/fixtures`: a reply to INFO (`info/redis-7.0-aof.txt`), or a
/// folder of the replies that the peer got (`peer/redis-7.0-aof-redis_exporter-1.86`). A collector whose replies are not there has none.
pub fn emitted_by_fixture(path: &str) -> BTreeSet<&'static str> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path);
    let scene = if path.is_dir() {
        scene(&path)
    } else {
        Scene::from_bytes(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    let mut names = BTreeSet::new();
    for spec in ALL.iter().filter(|spec| matches!(spec.build, Build::FromReplies(_))) {
        if let Ok(samples) = scene.collect(spec) {
            let families = samples.families().iter().filter(|family| !family.samples.is_empty());
            names.extend(families.map(|family| family.descriptor.name));
        }
    }
    names
}

/// Compares one scrape; returns what differs and how many series were equal.
fn differences(folder: &Path) -> (Vec<String>, usize) {
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let is_old = name.ends_with("1.45");
    let text = std::fs::read_to_string(folder.with_file_name(format!("{name}.prom"))).unwrap();
    let (peer_types, peer) = parse_exposition(&text);
    let scene = scene(folder);
    let (mut our_types, mut ours) = (BTreeMap::new(), BTreeMap::new());
    for spec in ALL.iter().filter(|spec| spec.default_on) {
        if matches!(spec.build, Build::FromReplies(_)) {
            let samples = scene
                .collect(spec)
                .unwrap_or_else(|error| panic!("{name}: {}: {error}", spec.name));
            flatten(&samples, &mut our_types, &mut ours);
        }
    }
    let commands: BTreeSet<String> = super::compound::command_stats(&scene.info)
        .into_iter()
        .map(|stat| stat.name.into_owned())
        .collect();

    let mut found = Vec::new();
    for (family, kind) in &peer_types {
        if NOT_FROM_COLLECTORS.iter().any(|prefix| family.starts_with(prefix)) || family == "redis_db_keys_cached" {
            continue;
        }
        // 1.45 typed it as a gauge; later versions and the list do not.
        let was_retyped = is_old && family == "redis_expired_time_cap_reached_total";
        if our_types.get(family) != Some(kind) && !was_retyped {
            found.push(format!(
                "{name}: {family} is {kind} there and {:?} here",
                our_types.get(family)
            ));
        }
    }
    let mut equal = 0;
    for (series, value) in &peer {
        let (metric, labels) = series;
        if NOT_FROM_COLLECTORS.iter().any(|prefix| metric.starts_with(prefix))
            // Read by position there; here only KeyDB has it.
            || metric == "redis_db_keys_cached"
            // 1.45 lacks labels that 1.86 has.
            || (is_old && metric == "redis_instance_info")
            // A command whose first call came between INFO and LATENCY HISTOGRAM has no sum yet.
            || (metric.starts_with("redis_commands_latencies_usec") && !commands.contains(&labels["cmd"]))
        {
            continue;
        }
        let Some(our_value) = ours.get(series) else {
            found.push(format!("{name}: {series:?} is missing"));
            continue;
        };
        let tolerance = match metric.as_str() {
            // The peer's clock against the second that the server had begun.
            "redis_start_time_seconds" => 1.0,
            _ => value.abs() * 1e-12,
        };
        // The peer finds no sum for names with `_`, `-` or `.`.
        let is_wrong_sum =
            metric == "redis_commands_latencies_usec_sum" && *value == 0.0 && labels["cmd"].contains(['_', '-', '.']);
        if (value - our_value).abs() > tolerance && !is_wrong_sum {
            found.push(format!("{name}: {series:?} is {value} there and {our_value} here"));
        } else {
            equal += 1;
        }
    }
    if !is_old {
        for series in ours.keys().filter(|series| !peer.contains_key(*series)) {
            let (metric, labels) = series;
            let is_born_at_zero = metric == "redis_errors_total" && ours[series] == 0.0;
            if !OURS_ALONE.contains(&metric.as_str()) && !is_born_at_zero {
                found.push(format!("{name}: {metric} {labels:?} is not there"));
            }
        }
    }
    (found, equal)
}

#[test]
fn the_peer_finds_the_same_names_types_labels_and_values() {
    let (mut found, mut scrapes) = (Vec::new(), 0);
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scrapes += 1;
            let (differences, equal) = differences(&path);
            assert!(equal > 300, "{} compared only {equal} series", path.display());
            println!("{}: {equal} series are equal", path.file_name().unwrap().display());
            found.extend(differences);
        }
    }
    assert!(scrapes >= 8, "only {scrapes} scrapes of the peer were found");
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// What the peer (1.86) made of an invented INFO that holds every field that any server writes, each with a value of its own:
/// the only proof of scale for fields of servers that no package holds (KeyDB, Azure, Redis up to 4 and from 8.2 on).
#[test]
fn fields_that_no_recorded_server_has_are_scaled_as_the_peer_scales_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/compat/every-field-redis_exporter-1.86");
    let (found, equal) = differences(&folder);
    let found: Vec<&String> = found.iter().filter(|line| !line.ends_with("is not there")).collect();
    assert!(found.is_empty(), "{} differences:\n{found:#?}", found.len());
    assert!(equal > 250, "compared only {equal} series");
    println!("{equal} series are equal");
}

#[test]
fn every_field_of_the_recorded_servers_is_known() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/info");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let scene = Scene::from_bytes(&std::fs::read(&path).unwrap());
        for spec in ALL.iter().filter(|spec| matches!(spec.build, Build::FromReplies(_))) {
            // Collectors that live on INFO alone work on every server, forks included; the others lack their replies here.
            let lives_on_info = [
                "server",
                "memory",
                "clients",
                "stats",
                "persistence",
                "replication",
                "cpu",
                "keyspace",
            ];
            let outcome = scene.collect(spec);
            assert!(
                outcome.is_ok() || !lives_on_info.contains(&spec.name),
                "{} {}",
                path.display(),
                spec.name
            );
        }
        let samples = scene.collect(&super::server::SPEC).unwrap();
        assert_eq!(
            samples.number("redis_session_exporter_info_fields_unknown"),
            Some(0.0),
            "{}",
            path.display()
        );
        assert_eq!(
            samples.number("redis_session_exporter_info_lines_malformed"),
            Some(0.0),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_command_log_of_valkey_is_read_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/replies/valkey-9.1");
    let reply = |file: &str| parse_reply(&std::fs::read(folder.join(file)).unwrap());
    let info = "redis_version:7.2.4\r\nvalkey_version:9.1.2\r\n";
    let mut scene = Scene::new(info).config_reply(reply("config-get-commandlog.resp"));
    for command in build_slowlog(&scene) {
        let words: Vec<String> = command
            .words()
            .iter()
            .map(|word| String::from_utf8_lossy(word).to_lowercase())
            .collect();
        if words[0] == "commandlog" {
            scene
                .replies
                .insert(command, reply(&format!("commandlog-len-{}.resp", words[2])));
        } else if words[0] == "slowlog" {
            scene
                .replies
                .insert(command, reply(&format!("{}.resp", words.join("-"))));
        }
    }
    let samples = scene.collect(&slowlog::SPEC).unwrap();
    assert_eq!(samples.number("redis_commandlog_slow_length"), Some(128.0));
    assert_eq!(
        samples.number("redis_commandlog_request_larger_than"),
        Some(1_048_576.0)
    );
    assert_eq!(samples.families().len(), 12);
    assert_emits_listed(concat!(file!(), ":commandlog"), &samples);
}

fn build_slowlog(scene: &Scene) -> Vec<Command> {
    let Build::FromReplies(build) = slowlog::SPEC.build else {
        panic!("slowlog reads replies")
    };
    build(&scene.options).requests(Some(&scene.server))
}

#[test]
fn error_replies_of_real_servers_are_classified() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/replies/redis-8.0");
    let reply = |file: &str| parse_reply(&std::fs::read(folder.join(file)).unwrap());
    for file in [
        "error-noperm-command.resp",
        "error-unknown-command.resp",
        "error-unknown-subcommand.resp",
    ] {
        let denied = reply(file);
        assert!(matches!(denied, Reply::Error(_)), "{file}");
        let scene = Scene::new("redis_version:8.0.2\r\ncluster_enabled:1\r\n").config_reply(denied);
        for spec in [&config::SPEC, &cluster::SPEC, &latency::SPEC] {
            let outcome = scene.collect(spec);
            assert!(
                matches!(outcome, Err(super::CollectError::Unavailable { .. })),
                "{file} {}",
                spec.name
            );
        }
    }
}

/// Fields that no server here writes without a failover, a migration or a module, or before Redis 8.10; names as the servers' sources
/// have them.
#[test]
fn fields_that_no_recorded_reply_holds_are_read() {
    let mut text = "cluster_state:ok\r\n".to_owned();
    for kind in [
        "auth-req",
        "auth-ack",
        "fail",
        "update",
        "mfstart",
        "module",
        "publishshard",
    ] {
        for direction in ["sent", "received"] {
            text += &format!("cluster_stats_messages_{kind}_{direction}:3\r\n");
        }
    }
    let info = "redis_version:8.10.0\r\ncluster_enabled:1\r\nbackup_in_progress:1\r\n";
    let scene = Scene::new(info).answer(Command::new(2, &["CLUSTER", "INFO"]), Reply::Bulk(text.into()));
    let backup = scene.collect(&super::persistence::SPEC).unwrap();
    assert_eq!(backup.number("redis_backup_in_progress"), Some(1.0));
    assert_emits_listed(concat!(file!(), ":backup"), &backup);
    let messages = scene.collect(&cluster::SPEC).unwrap();
    assert_eq!(messages.number("redis_cluster_stats_messages_mfstart_sent"), Some(3.0));
    assert_emits_listed(concat!(file!(), ":messages"), &messages);
}
