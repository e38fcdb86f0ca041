//! Collector `server`: INFO Server, who answers and since when; with the sections that describe the server's own parts (TLS
//! certificates, scripting engines) and what of INFO this exporter did not understand.

use super::admission::Admission;
use super::known_fields;
use super::table::{Row, push_rows, row, row_descriptors};
use super::{Build, CollectError, Collector, PollContext, Schedule, Server, Spec, grants};
use crate::metric::{Descriptor, Label, MetricKind, Samples};
use crate::redis::info::{pairs, parse_number};
use crate::redis::{Command, Info};

/// What this collector is.
pub static SPEC: Spec = Spec {
    name: "server",
    help: "Which server answers and since when; its TLS certificates and scripting engines where it tells of them.",
    default_on: true,
    schedule: Schedule::Info,
    grants: grants::info,
    descriptors: || {
        row_descriptors(ROWS)
            .chain([
                &INSTANCE_INFO,
                &START_TIME,
                &CERTIFICATE_INFO,
                &SERVER_CERTIFICATE_EXPIRY,
                &CLIENT_CERTIFICATE_EXPIRY,
                &CA_CERTIFICATE_EXPIRY,
                &ENGINE_INFO,
                &ENGINE_MEMORY,
                &ENGINE_OVERHEAD,
                &UNKNOWN_FIELDS,
                &MALFORMED_LINES,
            ])
            .collect()
    },
    build: Build::FromReplies(|options| {
        Box::new(ServerCollector {
            label_values: options.label_values,
            engines: Admission::default(),
            start: None,
        })
    }),
};

static ROWS: &[Row] = &[
    row!(
        Gauge,
        "redis_uptime_in_seconds",
        "Server",
        "uptime_in_seconds",
        "Seconds since the server started."
    ),
    row!(
        Gauge,
        "redis_process_id",
        "Server",
        "process_id",
        "Process id of the server on its own host."
    ),
    row!(
        Gauge,
        "redis_hz",
        "Server",
        "hz",
        "Times per second that the server looks after its own affairs now."
    ),
    row!(
        Gauge,
        "redis_configured_hz",
        "Server",
        "configured_hz",
        "Times per second that the server looks after its own affairs, as configured."
    ),
    row!(
        Gauge,
        "redis_io_threads_active",
        "Server",
        "io_threads_active",
        "1 while I/O threads read and write for clients."
    ),
    row!(
        Gauge,
        "redis_scripting_engines_count",
        "Scripting Engines (Valkey 9.0+)",
        "engines_count",
        "Scripting engines loaded."
    ),
    row!(
        Gauge,
        "redis_scripting_engines_memory_used_bytes",
        "Scripting Engines (Valkey 9.0+)",
        "engines_total_used_memory",
        "Memory used by all scripting engines."
    ),
    row!(
        Gauge,
        "redis_scripting_engines_memory_overhead_bytes",
        "Scripting Engines (Valkey 9.0+)",
        "engines_total_memory_overhead",
        "Memory that the scripting engines take for themselves."
    ),
];

static INSTANCE_INFO: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_instance_info",
    "Always 1: role, versions, mode and policy of the server as labels. Join on instance to get them beside other figures.",
    "INFO Server, Replication, Memory",
)
.with_labels(&[
    "role",
    "redis_version",
    "redis_build_id",
    "redis_mode",
    "os",
    "maxmemory_policy",
    "tcp_port",
    "run_id",
    "process_id",
    "master_replid",
    "valkey_version",
    "valkey_release_stage",
]);

/// Labels of [`INSTANCE_INFO`] that only Valkey has; absent elsewhere, while the others are empty when INFO lacks the field.
const VALKEY_LABELS: [&str; 2] = ["valkey_version", "valkey_release_stage"];

static START_TIME: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_start_time_seconds",
    "When the server started, in seconds since 1970: the clock of this exporter less the uptime.",
    "INFO Server: uptime_in_seconds",
);

static CERTIFICATE_INFO: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_certificate_info",
    "Always 1: serial number of each certificate that the server has loaded (server, client, ca).",
    "INFO TLS (Valkey 9.1+): tls_*_cert_serial",
)
.with_labels(&["certificate", "serial"]);

static SERVER_CERTIFICATE_EXPIRY: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_server_cert_expires_in_seconds",
    "Seconds until the server's certificate ends, as the server says; 0 when it has ended, absent when there is none.",
    "INFO TLS (Valkey 9.1+): tls_server_cert_expires_in_seconds",
);

static CLIENT_CERTIFICATE_EXPIRY: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_client_cert_expires_in_seconds",
    "Seconds until the certificate ends that the server shows to other servers; 0 when it has ended, absent when there is none.",
    "INFO TLS (Valkey 9.1+): tls_client_cert_expires_in_seconds",
);

static CA_CERTIFICATE_EXPIRY: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_tls_ca_cert_expires_in_seconds",
    "Seconds until the first of the server's CA certificates ends; 0 when it has ended, absent when there is none.",
    "INFO TLS (Valkey 9.1+): tls_ca_cert_expires_in_seconds",
);

/// Label value, field of the serial number, field of the time left, and the metric of the time left.
static CERTIFICATES: [(&str, &str, &str, &Descriptor); 3] = [
    (
        "server",
        "tls_server_cert_serial",
        "tls_server_cert_expires_in_seconds",
        &SERVER_CERTIFICATE_EXPIRY,
    ),
    (
        "client",
        "tls_client_cert_serial",
        "tls_client_cert_expires_in_seconds",
        &CLIENT_CERTIFICATE_EXPIRY,
    ),
    (
        "ca",
        "tls_ca_cert_serial",
        "tls_ca_cert_expires_in_seconds",
        &CA_CERTIFICATE_EXPIRY,
    ),
];

static ENGINE_INFO: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_scripting_engine_info",
    "Always 1: each scripting engine with its module and interface version.",
    "INFO Scripting Engines (Valkey 9.0+): engine_N",
)
.with_labels(&["engine", "module", "abi_version"]);

static ENGINE_MEMORY: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_scripting_engine_memory_used_bytes",
    "Memory used by the scripting engine.",
    "INFO Scripting Engines (Valkey 9.0+): engine_N used_memory",
)
.with_labels(&["engine", "module", "abi_version"]);

static ENGINE_OVERHEAD: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_scripting_engine_memory_overhead_bytes",
    "Memory that the scripting engine takes for itself.",
    "INFO Scripting Engines (Valkey 9.0+): engine_N memory_overhead",
)
.with_labels(&["engine", "module", "abi_version"]);

static UNKNOWN_FIELDS: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_session_exporter_info_fields_unknown",
    "Fields of the last INFO that this exporter has never heard of: a newer server, a fork or a module. Harmless.",
    "this exporter: INFO",
);

static MALFORMED_LINES: Descriptor = Descriptor::new(
    MetricKind::Gauge,
    "redis_session_exporter_info_lines_malformed",
    "Lines of the last INFO that were neither section nor field. Anything above 0 is a broken server or proxy.",
    "this exporter: INFO",
);

/// Longest label value taken from INFO; `os` is the longest of real ones and below 100 bytes.
const MAX_TEXT_BYTES: usize = 256;

/// How far the computed start may wander before it is taken for another start: uptime is in whole seconds and the reply travels.
const START_JITTER_SECONDS: f64 = 2.0;

struct ServerCollector {
    label_values: usize,
    engines: Admission,
    /// `run_id` and start time, so that rounding does not make the start wander from poll to poll.
    start: Option<(String, f64)>,
}

impl Collector for ServerCollector {
    fn requests(&self, _server: Option<&Server>) -> Vec<Command> {
        Vec::new()
    }

    fn collect(&mut self, context: &PollContext<'_>) -> Result<Samples, CollectError> {
        let info = context.info()?;
        let mut samples = Samples::new();
        samples.push_with(&INSTANCE_INFO, instance_labels(info), 1.0);
        push_rows(info, ROWS, &mut samples);
        if let Some(uptime) = info.number("uptime_in_seconds").filter(|uptime| *uptime >= 0.0) {
            let start = self.start_time(&context.server.run_id, context.unix_seconds.floor() - uptime);
            samples.push(&START_TIME, start);
        }
        push_certificates(info, &mut samples);
        self.push_engines(info, &mut samples);
        samples.push(&UNKNOWN_FIELDS, known_fields::count_unknown(info) as f64);
        samples.push(&MALFORMED_LINES, info.malformed_lines() as f64);
        Ok(samples)
    }
}

impl ServerCollector {
    /// The start of this run of the server: the first computed one, until it is off by more than rounding.
    fn start_time(&mut self, run_id: &str, computed: f64) -> f64 {
        match &self.start {
            Some((known, start)) if known == run_id && (start - computed).abs() <= START_JITTER_SECONDS => *start,
            _ => {
                self.start = Some((run_id.to_owned(), computed));
                computed
            }
        }
    }

    /// `engine_0:name=LUA,module=lua,abi_version=4,used_memory=72704,memory_overhead=64`
    fn push_engines(&mut self, info: &Info, samples: &mut Samples) {
        let mut engines: Vec<(String, [String; 3], &str)> = info
            .with_prefix("engine_")
            .filter(|field| field.name.parse::<u32>().is_ok())
            .map(|field| {
                let labels = ["name", "module", "abi_version"].map(|key| part(field.value, key).to_owned());
                (labels.join(","), labels, field.value)
            })
            .collect();
        engines.sort_by(|left, right| left.0.cmp(&right.0));
        engines.dedup_by(|later, first| later.0 == first.0);
        let candidates = engines.iter().map(|(identity, ..)| (identity.as_str(), 0.0));
        samples.note_dropped(self.engines.decide(candidates, self.label_values));
        for (identity, [engine, module, abi_version], value) in engines {
            if !self.engines.admits(&identity) {
                continue;
            }
            let labels: Vec<Label> = vec![
                ("engine", engine.into()),
                ("module", module.into()),
                ("abi_version", abi_version.into()),
            ];
            samples.push_with(&ENGINE_INFO, labels.clone(), 1.0);
            for (descriptor, key) in [(&ENGINE_MEMORY, "used_memory"), (&ENGINE_OVERHEAD, "memory_overhead")] {
                if let Some(bytes) = parse_number(part(value, key)) {
                    samples.push_with(descriptor, labels.clone(), bytes);
                }
            }
        }
    }
}

/// The text behind `key=`, empty when there is none.
fn part<'a>(value: &'a str, key: &str) -> &'a str {
    pairs(value)
        .find(|(name, _)| *name == key)
        .map(|(_, text)| text)
        .unwrap_or_default()
}

/// The labels of [`INSTANCE_INFO`], each the INFO field of the same name.
fn instance_labels(info: &Info) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::with_capacity(INSTANCE_INFO.labels.len());
    for name in INSTANCE_INFO.labels {
        let text = info.get(name).filter(|text| text.len() <= MAX_TEXT_BYTES);
        if text.is_some() || !VALKEY_LABELS.contains(name) {
            labels.push((name, text.unwrap_or_default().to_owned().into()));
        }
    }
    labels
}

/// Valkey writes 0 seconds for a certificate that has ended and for one that is not there; the serial number tells them apart.
fn push_certificates(info: &Info, samples: &mut Samples) {
    for (certificate, serial_field, expiry_field, descriptor) in &CERTIFICATES {
        let serial = info.get(serial_field).map(str::trim);
        let Some(serial) = serial.filter(|serial| !serial.is_empty() && *serial != "none") else {
            continue;
        };
        if serial.len() <= MAX_TEXT_BYTES {
            let labels = vec![
                ("certificate", (*certificate).into()),
                ("serial", serial.to_owned().into()),
            ];
            samples.push_with(&CERTIFICATE_INFO, labels, 1.0);
        }
        if let Some(seconds) = info.number(expiry_field) {
            samples.push(descriptor, seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{Scene, collect};

    #[test]
    fn optional_labels_are_absent_where_the_server_is_not_valkey() {
        let scene = |text: &str| Scene::new(text).collect(&SPEC).unwrap();
        let redis = scene("redis_version:8.0.2\r\nrole:master\r\nos:Linux\r\n");
        let family = &redis.families()[0];
        assert_eq!(family.samples[0].labels.len(), 10);
        assert_eq!(
            redis.number_with(
                INSTANCE_INFO.name,
                &["master", "8.0.2", "", "", "Linux", "", "", "", "", ""]
            ),
            Some(1.0)
        );
        let valkey = scene("redis_version:7.2.4\r\nvalkey_version:9.1.2\r\nvalkey_release_stage:ga\r\n");
        assert_eq!(valkey.families()[0].samples[0].labels.len(), 12);
    }

    #[test]
    fn the_start_does_not_wander() {
        let mut collector = ServerCollector {
            label_values: 50,
            engines: Admission::default(),
            start: None,
        };
        assert_eq!(collector.start_time("a", 1000.0), 1000.0);
        assert_eq!(collector.start_time("a", 1001.0), 1000.0);
        assert_eq!(collector.start_time("a", 999.0), 1000.0);
        assert_eq!(collector.start_time("b", 1001.0), 1001.0);
        assert_eq!(collector.start_time("b", 2000.0), 2000.0);
    }

    #[test]
    fn a_certificate_that_is_not_there_has_no_expiry() {
        let samples = collect(
            &SPEC,
            "tls_server_cert_serial:0E8C\r\ntls_server_cert_expires_in_seconds:2591999\r\ntls_client_cert_serial:none\r\n\
             tls_client_cert_expires_in_seconds:0\r\n",
        );
        assert_eq!(samples.number(SERVER_CERTIFICATE_EXPIRY.name), Some(2_591_999.0));
        assert_eq!(samples.number(CLIENT_CERTIFICATE_EXPIRY.name), None);
        assert_eq!(
            samples.number_with(CERTIFICATE_INFO.name, &["server", "0E8C"]),
            Some(1.0)
        );
    }

    #[test]
    fn engines_and_what_was_not_understood() {
        let samples = collect(
            &SPEC,
            "engines_count:1\r\nengine_0:name=LUA,module=lua,abi_version=4,used_memory=72704,memory_overhead=64\r\n\
             brand_new_field:1\r\nno field at all\r\n",
        );
        assert_eq!(
            samples.number_with(ENGINE_MEMORY.name, &["LUA", "lua", "4"]),
            Some(72_704.0)
        );
        assert_eq!(samples.number(UNKNOWN_FIELDS.name), Some(1.0));
        assert_eq!(samples.number(MALFORMED_LINES.name), Some(1.0));
    }
}
