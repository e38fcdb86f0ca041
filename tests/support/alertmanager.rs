//! A real Alertmanager with the shipped routing, made ready for a rehearsal: who is told stays, how they are told becomes a webhook.

use super::process::Process;
use super::{free_port, http, program, wait_until};
use serde_yaml::{Mapping, Value};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longest time until a fresh Alertmanager is ready.
const START_BOUND: Duration = Duration::from_secs(20);

/// What Alertmanager takes when the first route does not say it: <https://prometheus.io/docs/alerting/latest/configuration/#route>.
const DEFAULT_TIMINGS: [(&str, &str); 3] = [
    ("group_wait", "30s"),
    ("group_interval", "5m"),
    ("repeat_interval", "4h"),
];

/// An Alertmanager on a free port with a storage of its own, gone when dropped.
#[derive(Debug)]
pub struct Alertmanager {
    /// Port on 127.0.0.1.
    pub port: u16,
    process: Process,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts one and waits until it is ready.
    pub fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = folder.path().join("alertmanager.yaml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(program("TEST_ALERTMANAGER", "prometheus-alertmanager"));
        command.current_dir(folder.path());
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        // Without it, it listens for peers on all interfaces.
        command.arg("--cluster.listen-address=");
        let mut process = Process::spawn(command, folder.path());
        let ready = wait_until(START_BOUND, || {
            assert!(process.try_wait().is_none(), "{}\n{config}", process.output());
            http::request(port, "GET", "/-/ready", &[])
                .ok()
                .filter(|response| response.status == 200)
        });
        assert!(
            ready.is_some(),
            "Alertmanager never becomes ready: {}",
            process.output()
        );
        Self {
            port,
            process,
            _folder: folder,
        }
    }

    /// Everything it wrote to its outputs.
    pub fn log(&self) -> String {
        self.process.output()
    }
}

/// The shipped configuration with every receiver replaced by a webhook of the same name and every wait divided by `hurry`. A receiver that
/// is not told what resolved is not told it here either.
pub fn rehearsal(shipped: &Path, webhook_port: u16, hurry: f64) -> String {
    let text = std::fs::read_to_string(shipped).unwrap_or_else(|error| panic!("{}: {error}", shipped.display()));
    let mut config: Value = serde_yaml::from_str(&text).unwrap();
    config.apply_merge().unwrap();
    let config = config.as_mapping_mut().unwrap();
    // Addresses and secrets of the placeholders, and templates of their messages.
    config.remove("global");
    config.remove("templates");
    for receiver in config["receivers"].as_sequence_mut().unwrap() {
        let receiver = receiver.as_mapping_mut().unwrap();
        let webhook = format!(
            "{{ url: 'http://127.0.0.1:{webhook_port}/', send_resolved: {} }}",
            hears_of_the_end(receiver)
        );
        let webhook: Value = serde_yaml::from_str(&webhook).unwrap();
        receiver.retain(|name, _| name.as_str() == Some("name"));
        receiver.insert("webhook_configs".into(), Value::Sequence(vec![webhook]));
    }
    let route = config["route"].as_mapping_mut().unwrap();
    for (name, default) in DEFAULT_TIMINGS {
        if !route.contains_key(name) {
            route.insert(name.into(), default.into());
        }
    }
    hurried(route, hurry);
    serde_yaml::to_string(&config).unwrap()
}

/// Whether a receiver is told that alerts are resolved: at least one of its ways says so, or is a pager or a webhook, which do unless they say otherwise.
fn hears_of_the_end(receiver: &Mapping) -> bool {
    let ways = receiver
        .iter()
        .filter_map(|(kind, ways)| Some((kind.as_str()?, ways.as_sequence()?)));
    ways.flat_map(|(kind, ways)| ways.iter().map(move |way| (kind, way)))
        .any(|(kind, way)| {
            let default = ["pagerduty_configs", "webhook_configs"].contains(&kind);
            way.get("send_resolved").and_then(Value::as_bool).unwrap_or(default)
        })
}

fn hurried(route: &mut Mapping, hurry: f64) {
    for (name, _) in DEFAULT_TIMINGS {
        if let Some(value) = route.get_mut(name) {
            let span = humantime::parse_duration(value.as_str().unwrap()).unwrap();
            // Alertmanager wants at least a millisecond for all but the wait.
            *value = format!("{}ms", span.div_f64(hurry).as_millis()).into();
        }
    }
    // The clock on the wall must not decide what a test sees.
    for times in ["active_time_intervals", "mute_time_intervals"] {
        route.remove(times);
    }
    let below = route.get_mut("routes").and_then(Value::as_sequence_mut);
    for route in below.into_iter().flatten() {
        hurried(route.as_mapping_mut().unwrap(), hurry);
    }
}
