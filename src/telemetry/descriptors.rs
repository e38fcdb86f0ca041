//! The descriptors of everything that this exporter says about its own process, in the order of the catalogue.

use crate::metric::{Descriptor, MetricKind};

const SOURCE: &str = "this exporter";
const PROC: &str = "this exporter: /proc";

const fn counter(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor::new(MetricKind::Counter, name, help, SOURCE)
}

const fn gauge(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor::new(MetricKind::Gauge, name, help, SOURCE)
}

const fn proc_counter(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor::new(MetricKind::Counter, name, help, PROC)
}

const fn proc_gauge(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor::new(MetricKind::Gauge, name, help, PROC)
}

/// Names one element of [`DESCRIPTORS`] and keeps the table and the names in one place.
macro_rules! table {
    ($($ident:ident = $descriptor:expr;)+) => {
        /// Every metric about this process. They stand on `/metrics` only, never on `/probe`.
        pub static DESCRIPTORS: [Descriptor; [$(stringify!($ident)),+].len()] = [$($descriptor),+];
        table!(@name 0usize; $($ident)+);
    };
    (@name $index:expr; $ident:ident $($rest:ident)*) => {
        pub(super) const $ident: &Descriptor = &DESCRIPTORS[$index];
        table!(@name $index + 1usize; $($rest)*);
    };
    (@name $index:expr;) => {};
}

table! {
    BUILD_INFO = gauge(
        "redis_session_exporter_build_info",
        "Always 1; the labels say what was built from which revision with which compiler.",
    ).with_labels(&["version", "revision", "rustc"]);
    COMPATIBLE_BUILD_INFO = gauge(
        "redis_exporter_build_info",
        "Always 1; the build of this exporter under the name and labels that dashboards for redis_exporter expect.",
    ).with_labels(&["version", "commit_sha", "build_date", "golang_version"]);
    PROBE_ERRORS = counter(
        "redis_target_scrape_request_errors_total",
        "Requests to /probe or /scrape that named no target, or one that is not configured.",
    );
    RELOAD_SUCCESSFUL = gauge(
        "redis_session_exporter_config_last_reload_successful",
        "1 when the configuration was valid the last time it was read, 0 when it was not and the one before it stays in use.",
    );
    RELOAD_SECONDS = gauge(
        "redis_session_exporter_config_last_reload_success_timestamp_seconds",
        "When the configuration in use was read, in seconds since 1970.",
    );
    WEB_RELOAD_SUCCESSFUL = gauge(
        "redis_session_exporter_web_config_last_reload_successful",
        "1 when the web configuration and the files that it names could be used the last time they were read, 0 when not and those before them stay in use; only with a web configuration.",
    );
    WEB_RELOAD_SECONDS = gauge(
        "redis_session_exporter_web_config_last_reload_success_timestamp_seconds",
        "When the web configuration in use, with the files that it names, was read, in seconds since 1970; only with a web configuration.",
    );
    WEB_CERTIFICATE_NOT_AFTER = gauge(
        "redis_session_exporter_http_certificate_not_after_timestamp_seconds",
        "When the certificate of this exporter's own HTTPS server ends, or the earliest of those that it is sent with, in seconds since 1970; only with HTTPS.",
    );
    TLS_HANDSHAKE_FAILURES = counter(
        "redis_session_exporter_http_tls_handshake_failures_total",
        "TLS handshakes of HTTP clients that failed, by reason: plain_http, not_tls, timeout, closed (a mere probe of the port too), incompatible, no_certificate, unknown_ca, expired, not_allowed (client_allowed_sans), bad_certificate, refused_by_client, other; only with HTTPS.",
    ).with_labels(&["reason"]);
    CLUSTER_NODES = gauge(
        "redis_session_exporter_cluster_nodes",
        "Nodes of a cluster (address redis-cluster://) that are watched; while none was found, the configured ones.",
    ).with_labels(&["cluster"]);
    CLUSTER_NODES_LEFT_OUT = gauge(
        "redis_session_exporter_cluster_nodes_left_out",
        "Nodes that the cluster's last good answer named and that are not watched, by reason: address (cannot be dialled), tls (no port of the kind that the address asks for), network (outside of allowed_networks), limit (too many), name (taken).",
    ).with_labels(&["cluster", "reason"]);
    CLUSTER_DISCOVERIES = counter(
        "redis_session_exporter_cluster_discoveries_total",
        "Times that a cluster's servers were asked for its nodes.",
    ).with_labels(&["cluster"]);
    CLUSTER_DISCOVERY_FAILURES = counter(
        "redis_session_exporter_cluster_discovery_failures_total",
        "Times that no server that was asked named the nodes of its cluster; the known ones stayed.",
    ).with_labels(&["cluster"]);
    CLUSTER_DISCOVERED_SECONDS = gauge(
        "redis_session_exporter_cluster_last_discovery_timestamp_seconds",
        "When a server last named the nodes of its cluster, in seconds since 1970; 0 before the first time.",
    ).with_labels(&["cluster"]);
    REQUESTS = counter(
        "redis_session_exporter_http_requests_total",
        "HTTP requests that were answered.",
    ).with_labels(&["method", "route", "code"]);
    REQUEST_SECONDS = Descriptor::new(
        MetricKind::Histogram,
        "redis_session_exporter_http_request_duration_seconds",
        "Time from the head of a request to the head of its answer; sending the body is not in it.",
        SOURCE,
    ).with_labels(&["route"]);
    IN_FLIGHT = gauge(
        "redis_session_exporter_http_requests_in_flight",
        "HTTP requests whose answers are being made or sent.",
    );
    CONNECTIONS = gauge(
        "redis_session_exporter_http_connections",
        "Open HTTP connections, idle ones included.",
    );
    DUPLICATES = counter(
        "redis_session_exporter_exposition_duplicates_total",
        "Series left out of /metrics since an earlier section of the same instance had them, once per state of the results; more than 0 is a bug of this exporter.",
    );
    TASKS = gauge(
        "redis_session_exporter_tasks_alive",
        "Tasks of the asynchronous runtime that are alive.",
    );
    CPU_SECONDS = proc_counter("process_cpu_seconds_total", "User and system CPU time that this process used.");
    OPEN_FDS = proc_gauge("process_open_fds", "Open file descriptors.");
    MAX_FDS = proc_gauge("process_max_fds", "Largest number of open file descriptors that is allowed.");
    VIRTUAL_MEMORY = proc_gauge("process_virtual_memory_bytes", "Virtual memory.");
    VIRTUAL_MEMORY_MAX = proc_gauge(
        "process_virtual_memory_max_bytes",
        "Largest virtual memory that is allowed; 2^64 - 1 when there is no limit.",
    );
    RESIDENT_MEMORY = proc_gauge("process_resident_memory_bytes", "Resident memory.");
    START_TIME = proc_gauge("process_start_time_seconds", "When this process started, in seconds since 1970.");
    THREADS = proc_gauge("process_threads", "Threads of the operating system.");
    NETWORK_RECEIVED = proc_counter(
        "process_network_receive_bytes_total",
        "Bytes that the network namespace of this process received over IP.",
    );
    NETWORK_SENT = proc_counter(
        "process_network_transmit_bytes_total",
        "Bytes that the network namespace of this process sent over IP.",
    );
}
