//! Whether what is seen here can be believed: the exporter's own health. `instance` of its process is its own address.

use crate::dashboards::expression::{percentile, share};
use crate::dashboards::panel::{Panel, graph, table, timeline};
use crate::dashboards::shared::{blind, yes_no};

pub(super) fn panels() -> Vec<Panel> {
    vec![
        timeline("Exporters are scraped", 8, 8)
            .about(
                "Whether Prometheus reaches each exporter (up). While not, everything else here is blind. Look at Prometheus' page of targets for the error.",
            )
            .query("max by (job, instance) (up{@job})", "{{job}} {{instance}}")
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("up", "DOWN"))
            .empty("NO DATA: no such job")
            .runbooks(&["SessionExporterDown", "SessionExporterAbsent"]),
        graph("Duration of a scrape", 8, 8)
            .about(
                "Time that Prometheus needs to scrape each exporter (scrape_duration_seconds). The exporter answers from memory; seconds mean a starved machine or a slow network.",
            )
            .query("max by (job, instance) (scrape_duration_seconds{@job})", "{{job}} {{instance}}")
            .unit("s")
            .min(0.0)
            .runbooks(&["SessionExporterDown"]),
        graph("Series per scrape", 8, 8)
            .about(
                "Samples that Prometheus took from each exporter (scrape_samples_scraped), and what was left out of the metrics in the last hour by reason (redis_session_exporter_series_dropped_total). Anything left out: raise the limit that check names.",
            )
            .query("max by (job, instance) (scrape_samples_scraped{@job})", "{{job}} {{instance}}")
            .query("sum by (reason) (increase(redis_session_exporter_series_dropped_total{@instance}[1h]))", "left out: {{reason}}")
            .unit("short")
            .min(0.0)
            .runbooks(&["SessionExporterSeriesDropped"]),
        graph("Memory of the exporter", 8, 8)
            .about(
                "Resident memory of each exporter's process (process_resident_memory_bytes). It grows with the number of instances and series, and then stays.",
            )
            .query("max by (job, instance) (process_resident_memory_bytes{@job})", "{{job}} {{instance}}")
            .unit("bytes")
            .min(0.0),
        graph("CPU of the exporter", 8, 8)
            .about(
                "CPU time of each exporter's process per second (process_cpu_seconds_total). Scans without a limit (`scan.redis_share: 0`) and many instances show here.",
            )
            .query("sum by (job, instance) (rate(process_cpu_seconds_total{@job}[$__rate_interval]))", "{{job}} {{instance}}")
            .unit("percentunit")
            .min(0.0),
        timeline("Configuration is in use", 8, 8)
            .about(
                "Whether the configuration was valid the last time that it was read (redis_session_exporter_config_last_reload_successful). If not, the one before stays in use; the log says what is wrong and where.",
            )
            .query("min by (job, instance) (redis_session_exporter_config_last_reload_successful{@job})", "{{job}} {{instance}}")
            .query("min by (job, instance) (redis_session_exporter_web_config_last_reload_successful{@job})", "{{job}} {{instance}} web")
            .unit("none")
            .steps("red", &[(1.0, "green")])
            .mappings(yes_no("in use", "NOT VALID"))
            .runbooks(&["SessionExporterConfigReloadFailed"]),
        graph("Age of the last poll", 8, 8)
            .about(
                "Time since the last successful poll of each kind, at the instance that waits longest (redis_session_exporter_last_poll_timestamp_seconds). ping should be seconds, info a quarter of a minute, scan a minute or as long as a pass takes.",
            )
            .query(
                "time() - min by (kind) (redis_session_exporter_last_poll_timestamp_seconds{@instance} > 0)",
                "{{kind}}",
            )
            .unit("s")
            .min(0.0)
            .logarithmic()
            .runbooks(&["SessionExporterStalled", "SessionScanStale"]),
        graph("Polls left out per hour", 8, 8)
            .about(
                "Polls that did not begin since the one before was still running (redis_session_exporter_polls_skipped_total). The server is slow, or the interval is short.",
            )
            .query("sum by (kind) (increase(redis_session_exporter_polls_skipped_total{@instance}[1h]))", "{{kind}}")
            .unit("short")
            .min(0.0)
            .decimals(0)
            .runbooks(&["SessionExporterStalled"]),
        graph("Slowest collectors", 8, 8)
            .about(
                "The ten collectors whose last turn took longest, with the round trips that they share (redis_session_exporter_collector_duration_seconds).",
            )
            .query("topk(10, max by (collector) (redis_session_exporter_collector_duration_seconds{@instance}))", "{{collector}}")
            .unit("s")
            .min(0.0),
        table("Collectors that fail or cannot run", 12, 8)
            .about(
                "Collectors whose last turn failed (redis_session_exporter_collector_success) or that need a command which the user may not run (denied) or the server does not have (unsupported) (redis_session_exporter_collector_unavailable). Their panels are empty. `redis-session-exporter acl` prints the rights that they need.",
            )
            .query(
                "max by (environment, instance, collector, reason) (redis_session_exporter_collector_unavailable{@instance}) == 1\nor\nmax by (environment, instance, collector) (redis_session_exporter_collector_success{@instance}) == 0",
                "",
            )
            .unit("none")
            .empty("all are well")
            .columns(&[
                ("collector", "Collector"),
                ("environment", "Environment"),
                ("instance", "Instance"),
                ("reason", "Reason"),
            ])
            .field("Reason", &[("noValue", serde_json::json!("failed"))])
            .runbooks(&["SessionExporterCollectorFailing", "ExporterPermissionMissing"]),
        blind(12, 8),
        graph("HTTP requests per second", 8, 8)
            .about(
                "Requests that each exporter answered, by answer (redis_session_exporter_http_requests_total). 401 and 403: credentials of Prometheus; 404 on /probe: a target that is not configured.",
            )
            .query("sum by (code) (rate(redis_session_exporter_http_requests_total{@job}[$__rate_interval]))", "{{code}}")
            .unit("reqps")
            .min(0.0),
        graph("HTTP, p99 by route", 8, 8)
            .about(
                "99 of 100 answers of the exporter were ready faster, by route (redis_session_exporter_http_request_duration_seconds). /metrics is made from memory and takes milliseconds.",
            )
            .query(
                percentile("0.99", "route", "redis_session_exporter_http_request_duration_seconds_bucket{@job}"),
                "{{route}}",
            )
            .unit("s")
            .min(0.0)
            .empty("no requests"),
        graph("Days until the exporter's certificate ends", 8, 8)
            .about(
                "Days until the certificate of the exporter's own HTTPS server ends (redis_session_exporter_http_certificate_not_after_timestamp_seconds). After that Prometheus cannot scrape it.",
            )
            .query(
                "(min by (job, instance) (redis_session_exporter_http_certificate_not_after_timestamp_seconds{@job}) - time()) / 86400",
                "{{job}} {{instance}}",
            )
            .unit("d")
            .min(0.0)
            .decimals(0)
            .empty("no HTTPS")
            .runbooks(&["SessionExporterCertificateExpiring"]),
        graph("Starts of exporters per hour", 12, 8)
            .about(
                "How often each exporter started in the last hour (process_start_time_seconds). Three starts within a quarter of an hour are a crash loop: look at its log and memory limit.",
            )
            .query("max by (job, instance) (changes(process_start_time_seconds{@job}[1h]))", "{{job}} {{instance}}")
            .unit("short")
            .min(0.0)
            .decimals(0)
            .runbooks(&["SessionExporterCrashLooping"]),
        graph("Open files of the exporter", 12, 8)
            .about(
                "Share of the allowed file descriptors that each exporter has open (process_open_fds of process_max_fds). Near 100 % it can neither connect nor answer.",
            )
            .query(
                share("max by (job, instance) (process_open_fds{@job})", "max by (job, instance) (process_max_fds{@job})"),
                "{{job}} {{instance}}",
            )
            .unit("percentunit")
            .min(0.0)
            .max(1.0),
    ]
}
