//! Collector `streams` against real servers.

use crate::support::config;
use crate::support::evidence::assert_emits_listed;
use crate::support::exporter::{Exporter, run_with};
use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use crate::support::scrape::Scrape;
use std::time::Duration;

/// Long enough for several passes on a machine that compiles meanwhile.
const BOUND: Duration = Duration::from_secs(60);

fn once(address: &str, further: &str) -> Scrape {
    let config = config::fast(&[("redis", address, further)]);
    let ended = run_with(&["once", "--unpaced"], &[], Some(&config));
    assert_eq!(ended.code, 0, "{}", ended.output);
    let lines = ended
        .output
        .lines()
        .filter(|line| !line.starts_with("# EOF") && (line.starts_with('#') || line.contains("instance=\"")));
    Scrape::parse(&lines.collect::<Vec<_>>().join("\n"))
}

/// Three streams in two databases: one with groups of which one lags, one with a deletion and names that are no text, one without entries;
/// and a string that looks like one of them.
fn fill(client: &mut Client) {
    for number in 1..=20_u32 {
        client.command(&["XADD", "orders:eu", &format!("{}-7", 1000 + number), "item", "tea"]);
        client.command(&["XADD", "orders:us", &format!("{}-0", 2000 + number), "item", "tea"]);
    }
    client.command(&["XGROUP", "CREATE", "orders:eu", "billing", "0"]);
    client.command(&[
        "XREADGROUP",
        "GROUP",
        "billing",
        "alice",
        "COUNT",
        "5",
        "STREAMS",
        "orders:eu",
        ">",
    ]);
    client.command(&[
        "XREADGROUP",
        "GROUP",
        "billing",
        "bob",
        "COUNT",
        "3",
        "STREAMS",
        "orders:eu",
        ">",
    ]);
    client.command(&["XACK", "orders:eu", "billing", "1001-7", "1002-7"]);
    client.command(&["XDEL", "orders:us", "2005-0", "2004-0"]);
    client.bytes(&[b"XGROUP", b"CREATE", b"orders:us", b"g\xff", b"2003-0"]);
    client.bytes(&[
        b"XREADGROUP",
        b"GROUP",
        b"g\xff",
        b"c\xfe",
        b"COUNT",
        b"1",
        b"STREAMS",
        b"orders:us",
        b">",
    ]);
    client.command(&["SET", "orders:text", "no stream"]);
    client.command(&["SELECT", "2"]);
    client.command(&["XGROUP", "CREATE", "mails", "nobody", "0", "MKSTREAM"]);
    client.command(&["XADD", "other", "1-1", "a", "b"]);
    client.command(&["SELECT", "0"]);
}

/// A field of the reply to an XINFO.
fn field(reply: &Reply, name: &str) -> Option<f64> {
    let fields = reply.array();
    let at = fields.chunks(2).find(|pair| pair[0].text() == name)?;
    match &at[1] {
        Reply::Integer(number) => Some(*number as f64),
        Reply::Bulk(id) => String::from_utf8_lossy(id).split('-').next()?.parse().ok(),
        _ => None,
    }
}

const FURTHER: &str = "sessions: []
streams: { patterns: [ { match: \"orders:*\" }, { match: \"mail?\", databases: [2] } ], keys: [ { key: \"mails\", database: 2 }, { key: gone } ] }";

#[test]
fn streams_show_what_xinfo_says() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client);
    // What any look at keys costs in errors (CLIENT NO-TOUCH before Redis 7.2) is not ours.
    let errors = |client: &mut Client| client.command(&["INFO", "errorstats"]).text();
    client.command(&["CONFIG", "RESETSTAT"]);
    once(&server.address(), "sessions: []\ncheck_keys: [ { match: nothing } ]");
    let without = errors(&mut client);
    client.command(&["CONFIG", "RESETSTAT"]);
    let scrape = once(&server.address(), FURTHER);
    assert_eq!(errors(&mut client), without, "our work is no error of the server");

    let of = |name: &str, labels: &[(&str, &str)]| scrape.value(&format!("redis_stream_{name}"), labels);
    for (database, stream) in [("0", "orders:eu"), ("0", "orders:us"), ("2", "mails")] {
        client.command(&["SELECT", database]);
        let info = client.command(&["XINFO", "STREAM", stream]);
        let label = format!("db{database}");
        let labels = [("db", label.as_str()), ("stream", stream)];
        for (name, source) in [
            ("length", "length"),
            ("radix_tree_keys", "radix-tree-keys"),
            ("radix_tree_nodes", "radix-tree-nodes"),
            ("groups", "groups"),
            ("entries_added_total", "entries-added"),
            ("last_generated_id", "last-generated-id"),
            ("max_deleted_entry_id", "max-deleted-entry-id"),
        ] {
            assert_eq!(of(name, &labels), field(&info, source), "{stream} {name}");
        }
        for group in client.command(&["XINFO", "GROUPS", stream]).array() {
            let Some(Reply::Bulk(raw)) = group.array().get(1) else {
                panic!("{group:?}")
            };
            let shown = raw.utf8_chunks().map(|chunk| {
                let invalid: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
                chunk.valid().to_owned() + &invalid
            });
            let shown: String = shown.collect();
            let labels = [("db", label.as_str()), ("stream", stream), ("group", shown.as_str())];
            for (name, source) in [
                ("consumers", "consumers"),
                ("messages_pending", "pending"),
                ("last_delivered_id", "last-delivered-id"),
                ("entries_read", "entries-read"),
                ("lag", "lag"),
            ] {
                assert_eq!(
                    of(&format!("group_{name}"), &labels),
                    field(group, source),
                    "{stream} {name}"
                );
            }
        }
    }
    client.command(&["SELECT", "0"]);
    let eu = [("stream", "orders:eu")];
    assert_eq!(
        (of("first_entry_id", &eu), of("last_entry_id", &eu)),
        (Some(1001.0), Some(1020.0))
    );
    assert_eq!(of("first_entry_id", &[("stream", "mails")]), None);
    let pending = |consumer| of("group_consumer_messages_pending", &[("consumer", consumer)]);
    assert_eq!(
        (pending("alice"), pending("bob"), pending("c\\xfe")),
        (Some(3.0), Some(3.0), Some(1.0))
    );
    let idle = of("group_consumer_idle_seconds", &[("consumer", "bob")]).unwrap();
    assert!((0.0..60.0).contains(&idle), "{idle}");
    let streams: Vec<String> = scrape
        .all("redis_stream_length", &[])
        .filter_map(|sample| sample.labels.get("stream").cloned())
        .collect();
    assert_eq!(streams.len(), 3, "{streams:?}");

    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), FURTHER)]));
    let scrape = exporter.wait_for("the consumers", BOUND, |scrape| {
        scrape.has("redis_stream_group_consumer_idle_seconds", &[])
    });
    assert_emits_listed(file!(), &scrape);

    let quiet = FURTHER.replace("streams: {", "streams: { consumers: false,");
    let scrape = once(&server.address(), &quiet);
    assert!(scrape.has("redis_stream_group_lag", &[("stream", "orders:eu")]));
    assert!(!scrape.has("redis_stream_group_consumer_idle_seconds", &[]));
}

#[test]
fn named_streams_take_no_scan_and_leave_when_they_are_gone() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client);
    client.command(&["CONFIG", "RESETSTAT"]);
    let further = "sessions: []\nstreams: { keys: [ { key: \"orders:eu\" }, { key: other, database: 2 } ] }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let length = |scrape: &Scrape, stream| scrape.value("redis_stream_length", &[("stream", stream)]);
    exporter.wait_for("the streams", BOUND, |scrape| {
        length(scrape, "orders:eu") == Some(20.0) && length(scrape, "other") == Some(1.0)
    });
    let stats = client.command(&["INFO", "commandstats"]).text();
    assert!(!stats.contains("cmdstat_scan:"), "{stats}");
    client.command(&["DEL", "orders:eu"]);
    client.command(&["SET", "orders:eu", "no stream any more"]);
    exporter.wait_for("its end", BOUND, |scrape| {
        !scrape.has("redis_stream_length", &[("stream", "orders:eu")]) && length(scrape, "other") == Some(1.0)
    });
}

#[test]
fn without_permission_for_consumers_the_rest_is_shown() {
    let server = RedisServer::start();
    let mut client = server.client();
    fill(&mut client);
    client.command(&[
        "ACL",
        "SETUSER",
        "e",
        "on",
        ">p",
        "~*",
        "&*",
        "+@all",
        "-xinfo|consumers",
    ]);
    let address = format!("redis://e:p@127.0.0.1:{}", server.port);
    let exporter = Exporter::start(&config::fast(&[("redis", &address, FURTHER)]));
    let scrape = exporter.wait_for("the groups", BOUND, |scrape| {
        scrape.has("redis_stream_group_lag", &[("stream", "orders:eu")])
    });
    assert!(!scrape.has("redis_stream_group_consumer_idle_seconds", &[]));
    let unavailable = [("collector", "streams"), ("reason", "denied")];
    let unavailable = scrape.value("redis_session_exporter_collector_unavailable", &unavailable);
    assert_eq!(unavailable, Some(1.0));
    assert!(exporter.log().contains("XINFO CONSUMERS"), "{}", exporter.log());
}

/// XINFO STREAM returns the first and the last entry whole: here more than one exchange takes.
#[test]
fn a_stream_of_huge_entries_costs_nobody_else_anything() {
    let server = RedisServer::start();
    let mut client = server.client();
    server.fill("sess:", 30);
    for stream in ["orders:1", "orders:2", "named"] {
        client.command(&["XADD", stream, "1-1", "item", "tea"]);
    }
    let huge = vec![b'x'; 40 << 20];
    for stream in [&b"orders:huge"[..], b"huge"] {
        client.bytes(&[b"XADD", stream, b"1-1", b"item", &huge]);
    }
    let further = "sessions: [{ store: web, match: \"sess:*\" }]
streams: { patterns: [ { match: \"orders:*\" } ], keys: [ { key: huge }, { key: named } ] }";
    let exporter = Exporter::start(&config::fast(&[("redis", &server.address(), further)]));
    let length = |scrape: &Scrape, stream: &str| scrape.value("redis_stream_length", &[("stream", stream)]);
    exporter.wait_for("the streams and the sessions", BOUND, |scrape| {
        let streams = ["orders:1", "orders:2", "named"].map(|stream| length(scrape, stream));
        streams == [Some(1.0); 3] && scrape.value("sessions_active", &[("store", "web")]) == Some(30.0)
    });
    let calls = |server: &RedisServer| {
        let line = server.info("cmdstat_xinfo|stream").unwrap_or_default();
        let calls = line.split(',').find_map(|pair| pair.strip_prefix("calls="));
        calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
    };
    // What is too large is left alone by the passes that follow.
    let before = calls(&server);
    let scrape = exporter.wait_for("further passes", BOUND, |_| calls(&server) >= before + 12);
    assert_eq!((length(&scrape, "huge"), length(&scrape, "orders:huge")), (None, None));
    let dropped = [("instance", "redis"), ("reason", "label_values")];
    assert!(scrape.value("redis_session_exporter_series_dropped_total", &dropped) >= Some(2.0));
    for collector in ["sessions", "streams"] {
        let labels = [("collector", collector)];
        assert_eq!(
            scrape.value("redis_session_exporter_collector_success", &labels),
            Some(1.0),
            "{collector}"
        );
    }
    let errors = scrape.sum("redis_connection_errors_total", &[("instance", "redis")]);
    assert_eq!(errors, 0.0, "{}{}", scrape.about("redis"), exporter.log());
}
