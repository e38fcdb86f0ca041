//! What the flags and variables of `redis_exporter` switch on and off is seen on `/metrics` of the binary: each alone, by its variable and
//! by its flag.

use crate::support::exporter::{self, Exporter};
use crate::support::redis_server::RedisServer;
use crate::support::scrape::Scrape;
use std::time::Duration;

/// A first pass over the keys follows the first poll; the machine may be busy.
const SEEN_BOUND: Duration = Duration::from_secs(30);

/// The hash of `the-secret-password` by crypt(3), as a flag.
const HASHED: &str = "--basic-auth-hash-password=$2b$04$abcdefghijklmnopqrstuuHSOXR/r6chFtQzTfupDpUU07HcWT6xC";

type Labels = &'static [(&'static str, &'static str)];

/// A switch that adds series: its variable, its flag, a value, one series, and its value where that is known.
struct Adds {
    variable: &'static str,
    flag: &'static str,
    value: &'static str,
    metric: &'static str,
    labels: Labels,
    is: Option<f64>,
}

const fn adds(
    variable: &'static str,
    flag: &'static str,
    value: &'static str,
    (metric, labels, is): (&'static str, Labels, Option<f64>),
) -> Adds {
    Adds {
        variable,
        flag,
        value,
        metric,
        labels,
        is,
    }
}

const DATABASE: (&str, &str) = ("db", "db0");

#[rustfmt::skip]
const ADDING: [Adds; 13] = [
    adds("REDIS_EXPORTER_CHECK_KEYS", "check-keys", "db0=user_*",
        ("redis_key_size", &[DATABASE, ("key", "user_count")], Some(2.0))),
    adds("REDIS_EXPORTER_CHECK_SINGLE_KEYS", "check-single-keys", "user_count",
        ("redis_key_value", &[DATABASE, ("key", "user_count")], Some(12.0))),
    adds("REDIS_EXPORTER_COUNT_KEYS", "count-keys", "db0=sess:*",
        ("redis_keys_count", &[DATABASE, ("key", "sess:*")], Some(30.0))),
    adds("REDIS_EXPORTER_CHECK_KEY_GROUPS", "check-key-groups", "^(sess):.*$",
        ("redis_key_group_count", &[DATABASE, ("key_group", "sess")], Some(30.0))),
    adds("REDIS_EXPORTER_CHECK_STREAMS", "check-streams", "db0=ord*",
        ("redis_stream_length", &[DATABASE, ("stream", "orders")], Some(1.0))),
    adds("REDIS_EXPORTER_CHECK_SINGLE_STREAMS", "check-single-streams", "orders",
        ("redis_stream_group_messages_pending", &[DATABASE, ("stream", "orders"), ("group", "workers")], Some(1.0))),
    adds("REDIS_EXPORTER_SCRIPT", "script", "SCRIPT",
        ("redis_script_values", &[("key", "answer")], Some(42.0))),
    adds("REDIS_EXPORTER_EXPORT_CLIENT_LIST", "export-client-list", "true",
        ("redis_connected_client_info", &[("name", "redis-session-exporter")], None)),
    adds("REDIS_EXPORTER_INCL_CONFIG_METRICS", "include-config-metrics", "1",
        ("redis_config_value", &[("key", "hz")], Some(10.0))),
    adds("REDIS_EXPORTER_INCL_SYSTEM_METRICS", "include-system-metrics", "T",
        ("redis_total_system_memory_bytes", &[], None)),
    adds("REDIS_EXPORTER_INCL_RDB_FILE_SIZE_METRIC", "include-rdb-file-size-metric", "True",
        ("redis_rdb_current_size_bytes", &[], None)),
    adds("REDIS_EXPORTER_INCL_MODULES_METRICS", "include-modules-metrics", "t",
        ("redis_session_exporter_collector_success", &[("collector", "modules")], Some(1.0))),
    adds("REDIS_EXPORTER_INCL_SENTINEL_PEER_INFO", "include-sentinel-peer-info", "TRUE",
        ("redis_session_exporter_collector_success", &[("collector", "sentinel_peers")], Some(1.0))),
];

/// A switch that takes series away: what must stand beside it so that they are there, its variable, its flag, a value, and one metric.
struct Removes {
    beside: &'static [&'static str],
    variable: &'static str,
    flag: &'static str,
    value: &'static str,
    metric: &'static str,
    labels: Labels,
}

const REMOVING: [Removes; 6] = [
    Removes {
        beside: &[],
        variable: "REDIS_EXPORTER_INCL_METRICS_FOR_EMPTY_DATABASES",
        flag: "include-metrics-for-empty-databases",
        value: "false",
        metric: "redis_db_keys",
        labels: &[("db", "db5")],
    },
    Removes {
        beside: &[],
        variable: "REDIS_EXPORTER_EXCLUDE_LATENCY_HISTOGRAM_METRICS",
        flag: "exclude-latency-histogram-metrics",
        value: "true",
        metric: "redis_commands_latencies_usec_sum",
        labels: &[],
    },
    Removes {
        beside: &[],
        variable: "REDIS_EXPORTER_CONFIG_COMMAND",
        flag: "config-command",
        value: "-",
        metric: "redis_config_maxclients",
        labels: &[],
    },
    Removes {
        beside: &[],
        variable: "REDIS_EXPORTER_REDIS_ONLY_METRICS",
        flag: "redis-only-metrics",
        value: "true",
        metric: "process_cpu_seconds_total",
        labels: &[],
    },
    Removes {
        beside: &["--check-single-keys=user_count"],
        variable: "REDIS_EXPORTER_DISABLE_EXPORTING_KEY_VALUES",
        flag: "disable-exporting-key-values",
        value: "true",
        metric: "redis_key_value",
        labels: &[],
    },
    Removes {
        beside: &["--check-single-streams=orders"],
        variable: "REDIS_EXPORTER_STREAMS_EXCLUDE_CONSUMER_METRICS",
        flag: "streams-exclude-consumer-metrics",
        value: "true",
        metric: "redis_stream_group_consumer_messages_pending",
        labels: &[],
    },
];

fn server() -> RedisServer {
    let server = RedisServer::start();
    let mut client = server.client();
    client.command(&["SET", "user_count", "12"]);
    for number in 0..30 {
        client.command(&["SET", &format!("sess:{number}"), "x"]);
    }
    client.command(&["XADD", "orders", "*", "a", "b"]);
    client.command(&["XGROUP", "CREATE", "orders", "workers", "0"]);
    client.command(&["XREADGROUP", "GROUP", "workers", "one", "STREAMS", "orders", ">"]);
    client.command(&["SAVE"]);
    server
}

/// Everything of the default configuration is there, and a pass over the keys has ended.
fn settled(scrape: &Scrape) -> bool {
    let scanned = scrape.value(
        "redis_session_exporter_last_poll_timestamp_seconds",
        &[("kind", "scan")],
    );
    scanned.is_some_and(|at| at > 0.0)
        && scrape.has("redis_db_keys", &[])
        && scrape.has("redis_slowlog_length", &[])
        && scrape.has("redis_commands_total", &[])
}

#[test]
fn what_each_switch_adds_is_on_the_wire() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.lua");
    std::fs::write(&script, "return {'answer', '42'}").unwrap();
    let script = script.display().to_string();
    let address = server.address();
    let plain = Exporter::start_bare(&["--redis.addr", &address], &[]);
    let without = plain.wait_for("a settled exporter", SEEN_BOUND, settled);
    for row in &ADDING {
        let labels = row.labels;
        assert!(
            !without.has(row.metric, labels),
            "{} is there without {}",
            row.metric,
            row.flag
        );
        let value = if row.value == "SCRIPT" { &script } else { row.value };
        let by_variable = Exporter::start_bare(&[], &[("REDIS_ADDR", &address), (row.variable, value)]);
        let flag = format!("-{}={value}", row.flag);
        let by_flag = Exporter::start_bare(&["-redis.addr", &address, &flag], &[]);
        for (by, exporter) in [(row.variable, by_variable), (row.flag, by_flag)] {
            let scrape = exporter.wait_for(&format!("{by} shows {}", row.metric), SEEN_BOUND, |scrape| {
                scrape.has(row.metric, labels)
            });
            if let Some(is) = row.is {
                assert_eq!(scrape.value(row.metric, labels), Some(is), "{by}");
            }
        }
    }
    // Two that change what another one shows.
    let exporter = Exporter::start_bare(
        &["--export-client-list", "--check-key-groups=^(.*)$"],
        &[
            ("REDIS_ADDR", &address),
            ("REDIS_EXPORTER_EXPORT_CLIENT_PORT", "true"),
            ("REDIS_EXPORTER_MAX_DISTINCT_KEY_GROUPS", "5"),
        ],
    );
    let scrape = exporter.wait_for("the groups", SEEN_BOUND, |scrape| {
        scrape.has("redis_key_group_count", &[("key_group", "overflow")])
            && scrape.has("redis_connected_client_info", &[])
    });
    let clients = scrape.all("redis_connected_client_info", &[]);
    assert!(clients.into_iter().all(|client| client.labels.contains_key("port")));
    assert_eq!(
        scrape.all("redis_key_group_count", &[DATABASE]).count(),
        6,
        "five groups and the rest"
    );
}

#[test]
fn what_each_switch_takes_away_is_gone() {
    let server = server();
    let address = server.address();
    for row in &REMOVING {
        let arguments = [&["-redis.addr", address.as_str()], row.beside].concat();
        let with = Exporter::start_bare(&arguments, &[]);
        with.wait_for(&format!("{} is there", row.metric), SEEN_BOUND, |scrape| {
            scrape.has(row.metric, row.labels)
        });
        let flag = format!("--{}={}", row.flag, row.value);
        let by_flag = [arguments.as_slice(), &[&flag]].concat();
        for (arguments, variables) in [
            (arguments.as_slice(), vec![(row.variable, row.value)]),
            (&by_flag, Vec::new()),
        ] {
            let exporter = Exporter::start_bare(arguments, &variables);
            let scrape = exporter.wait_for("a settled exporter", SEEN_BOUND, |scrape| {
                let of_keys = row.beside.iter().all(|beside| {
                    let beside = if beside.contains("stream") {
                        "redis_stream_length"
                    } else {
                        "redis_key_size"
                    };
                    scrape.has(beside, &[])
                });
                settled(scrape) && of_keys
            });
            assert!(
                !scrape.has(row.metric, row.labels),
                "{} in spite of {}",
                row.metric,
                row.flag
            );
        }
    }
    // No name: the server sees none.
    let exporter = Exporter::start_bare(
        &["--set-client-name=false", "--export-client-list"],
        &[("REDIS_ADDR", &address)],
    );
    let named = [("name", "redis-session-exporter")];
    exporter.wait_for("connections, none of them with our name", SEEN_BOUND, |scrape| {
        scrape.has("redis_connected_client_info", &[]) && !scrape.has("redis_connected_client_info", &named)
    });
}

#[test]
fn basic_authentication_by_flags_closes_all_but_the_probes() {
    let server = RedisServer::start();
    let address = server.address();
    // `prometheus:the-secret-password` in Base64 (RFC 7617).
    let known = ("Authorization", "Basic cHJvbWV0aGV1czp0aGUtc2VjcmV0LXBhc3N3b3Jk");
    let wrong = ("Authorization", "Basic cHJvbWV0aGV1czp3cm9uZw==");
    let user = "-basic-auth-username=prometheus";
    // The hash is of the same password, with cost 4.
    for password in ["--basic-auth-password=the-secret-password", HASHED] {
        let exporter = Exporter::start_bare(&["--redis.addr", &address, user, password], &[]);
        for path in ["/metrics", "/", "/config", "/sd", "/nothing"] {
            assert_eq!(exporter.get(path).status, 401, "{path}");
            assert_eq!(exporter.request("GET", path, &[wrong]).status, 401, "{path}");
        }
        assert_eq!(exporter.request("GET", "/metrics", &[known]).status, 200);
        for path in ["/health", "/-/healthy", "/-/ready"] {
            assert!([200, 503].contains(&exporter.get(path).status), "{path}");
        }
        assert_eq!(exporter.get("/health").status, 200);
        // The command of the image's health check knows no password.
        let listen = format!("--web.listen-address=127.0.0.1:{}", exporter.port);
        let ended = exporter::run(&["healthcheck", &listen, user, password]);
        assert_eq!(ended.code, 0, "{}", ended.output);
        let ended = exporter::run(&["healthcheck", &listen]);
        assert_eq!(ended.code, 0, "{}", ended.output);
    }
    // Half of it is no lock, whichever half and wherever from.
    for (arguments, variables) in [
        (&["--basic-auth-username=prometheus"][..], &[][..]),
        (&[], &[("REDIS_EXPORTER_BASIC_AUTH_PASSWORD", "the-secret-password")]),
        (&[HASHED], &[]),
    ] {
        let ended = exporter::run_with(arguments, variables, None);
        assert_eq!(ended.code, 2, "{}", ended.output);
        assert!(!ended.output.contains("the-secret-password"), "{}", ended.output);
    }
}

/// Rules of precedence that docs/migration.md states.
#[test]
fn what_is_given_twice_has_the_stated_order() {
    let server = RedisServer::start_with(&["--requirepass", "right"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "right").unwrap();
    let file = file.display().to_string();
    let address = server.address();
    let name = format!("127.0.0.1:{}", server.port);
    // The file of the flag beats the variable with the password, and the password of the flag beats the file.
    for (arguments, variables) in [
        (
            vec!["--redis.password-file", file.as_str()],
            ("REDIS_PASSWORD", "wrong"),
        ),
        (
            vec!["--redis.password", "right"],
            ("REDIS_PASSWORD_FILE", file.as_str()),
        ),
        (vec![], ("REDIS_PASSWORD_FILE", file.as_str())),
    ] {
        let exporter = Exporter::start_bare(&arguments, &[("REDIS_ADDR", &address), variables]);
        exporter.wait_until_up(&[&name]);
    }
    // An empty variable is not set: the addresses of the file are all there are.
    let map = folder.path().join("passwords.json");
    std::fs::write(&map, serde_json::json!({ address.as_str(): "right" }).to_string()).unwrap();
    let map = map.display().to_string();
    let empty: &[(&str, &str)] = &[
        ("REDIS_ADDR", ""),
        ("REDIS_PASSWORD_FILE", &map),
        ("REDIS_PASSWORD", ""),
    ];
    for variables in [empty, &empty[1..]] {
        let exporter = Exporter::start_bare(&[], variables);
        let scrape = exporter.wait_until_up(&[&name]);
        assert_eq!(scrape.all("redis_up", &[]).count(), 1);
    }
    // A script that is not there is known at the start; the path is named.
    let ended = exporter::run(&["--script=/no/such/script.lua", "--config.check"]);
    assert_eq!(ended.code, 78, "{}", ended.output);
    assert!(ended.output.contains("/no/such/script.lua"), "{}", ended.output);
    // So is a file of certificates, where an address asks for TLS.
    let ca = "--tls-ca-cert-file=/no/such/ca.pem";
    let ended = exporter::run(&[ca, "--redis.addr=rediss://127.0.0.1:1", "--config.check"]);
    assert_eq!(ended.code, 78, "{}", ended.output);
    assert!(ended.output.contains("/no/such/ca.pem"), "{}", ended.output);
    let ended = exporter::run(&[ca, "--redis.addr=redis://127.0.0.1:1", "--config.check"]);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(
        ended.output.contains("no address begins with rediss://"),
        "{}",
        ended.output
    );
    // A word behind a switch would end the flags there.
    let ended = exporter::run(&["--is-cluster", "true", "--config.check"]);
    assert_eq!(ended.code, 2, "{}", ended.output);
    assert!(ended.output.contains("--is-cluster=true"), "{}", ended.output);
}
