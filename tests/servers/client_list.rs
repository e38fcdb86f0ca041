//! The collector `client_list` held against the server's own CLIENT LIST, with clients of every kind.

use crate::support::config;
use crate::support::evidence::assert_emits_listed;
use crate::support::exporter::{self, Exporter};
use crate::support::peer::{Answer, ScriptedPeer, bulk, healthy, is_command};
use crate::support::redis_server::RedisServer;
use crate::support::resp::Client;
use crate::support::scrape::Scrape;
use crate::support::wait_until;
use std::collections::BTreeMap;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(30);

/// Ordinary clients with names.
const NAMED: usize = 190;

/// `CLIENT LIST` as the server writes it, by id.
fn listed(client: &mut Client) -> BTreeMap<String, BTreeMap<String, String>> {
    let text = client.command(&["CLIENT", "LIST"]).text();
    let fields = |line: &str| -> BTreeMap<String, String> {
        let fields = line.split(' ').filter_map(|field| field.split_once('='));
        fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let clients = text.lines().filter(|line| !line.is_empty()).map(fields);
    clients.map(|client| (client["id"].clone(), client)).collect()
}

fn sent(server: &RedisServer, words: &[&str]) -> Client {
    let mut client = server.client();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    client.send(&words).unwrap();
    client
}

fn shown(scrape: &Scrape) -> usize {
    scrape.all("redis_connected_client_info", &[]).count()
}

#[test]
fn two_hundred_clients_of_every_kind_are_shown_as_the_server_lists_them() {
    let server = RedisServer::start();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &server.port.to_string()]);
    let mut keep: Vec<Client> = Vec::new();
    for number in 0..NAMED {
        let mut client = server.client();
        client.command(&["CLIENT", "SETNAME", &format!("worker={number}")]);
        keep.push(client);
    }
    let (mut transaction, mut tracking) = (server.client(), server.client());
    let redirect = transaction.command(&["CLIENT", "ID"]).integer().to_string();
    tracking.command(&["CLIENT", "TRACKING", "ON", "REDIRECT", &redirect]);
    transaction.command(&["SELECT", "3"]);
    transaction.command(&["WATCH", "a", "b"]);
    transaction.command(&["MULTI"]);
    keep.extend([transaction, tracking]);
    keep.push(sent(&server, &["BLPOP", "nothing", "0"]));
    keep.push(sent(&server, &["SUBSCRIBE", "one", "two"]));
    keep.push(sent(&server, &["PSUBSCRIBE", "o*"]));
    keep.push(sent(&server, &["MONITOR"]));
    let mut observer = server.client();
    let kinds = ["b", "P", "O", "S", "x", "t"];
    let complete = wait_until(BOUND, || {
        let clients = listed(&mut observer);
        let has = |kind: &&str| clients.values().any(|client| client["flags"].contains(*kind));
        kinds.iter().all(has).then_some(())
    });
    assert!(complete.is_some(), "{:?}", listed(&mut observer));

    let further = "collectors: { client_list: on }\nclient_list: { port: on }\nsessions: []";
    let text = config::fast(&[("redis", &server.address(), further)]);
    let exporter = Exporter::start(&text);
    let scrape = exporter.wait_for_instance("redis", "all clients are shown", BOUND, |scrape| {
        shown(scrape) >= NAMED + 8 && scrape.value("redis_connected_clients", &[]).is_some()
    });
    assert_emits_listed(file!(), &scrape);
    let clients = listed(&mut observer);
    // `watch` is the server's own only from Redis 7.4 on.
    let figures = [
        ("sub", "redis_connected_client_channel_subscriptions_count"),
        ("psub", "redis_connected_client_pattern_matching_subscriptions_count"),
        ("ssub", "redis_connected_client_shard_channel_subscriptions_count"),
        ("watch", "redis_connected_client_shard_channel_watched_keys"),
        ("oll", "redis_connected_client_output_list_length"),
    ];
    let mut compared = 0;
    for (id, client) in &clients {
        // The exporter's own connections come and go, the replica's and the monitor's buffers change with every command.
        let changes = client["name"].contains("session-exporter") || client["flags"].contains(['S', 'O']);
        let (host, port) = client["addr"].rsplit_once(':').unwrap();
        let labels = [
            ("id", id.as_str()),
            ("flags", &client["flags"]),
            ("db", &client["db"]),
            ("host", host),
            ("port", port),
        ];
        if scrape.value("redis_connected_client_info", &labels).is_none() {
            assert!(changes, "{client:?} is missing");
            continue;
        }
        let labels = [("id", id.as_str()), ("name", &client["name"])];
        for (field, name) in figures {
            let wanted = client.get(field).map(|value| value.parse::<f64>().unwrap());
            if !changes {
                assert_eq!(scrape.value(name, &labels), wanted, "{name} of {client:?}");
                compared += 1;
            }
        }
    }
    println!(
        "{compared} figures of {} clients are those of the server",
        clients.len()
    );
    assert!(compared >= 5 * (NAMED + 5), "{compared}");
    let idle = |threshold: &str| scrape.value("redis_client_connections_idle", &[("threshold_seconds", threshold)]);
    assert_eq!((idle("60"), idle("86400")), (Some(0.0), Some(0.0)));
    // Our own are clients as well.
    assert!(
        scrape
            .all("redis_connected_client_info", &[])
            .any(|sample| sample.labels["name"].contains("session-exporter"))
    );
    drop(replica);

    let few = text.replace("port: on", "max_clients: 10");
    exporter.reload(&few);
    let dropped = |scrape: &Scrape| {
        scrape.sum(
            "redis_session_exporter_series_dropped_total",
            &[("reason", "label_values")],
        )
    };
    let scrape = exporter.wait_for_instance("redis", "ten clients are shown", BOUND, |scrape| {
        shown(scrape) == 10 && dropped(scrape) >= 180.0
    });
    let mut ids: Vec<u64> = clients.keys().map(|id| id.parse().unwrap()).collect();
    ids.sort_unstable();
    let lowest = ids
        .iter()
        .filter(|id| scrape.has("redis_connected_client_info", &[("id", &id.to_string())]));
    // The replica's connection has one of the lowest, and is gone now.
    assert!(lowest.max().unwrap() <= &ids[11], "the oldest are shown");
    assert!(
        scrape
            .all("redis_connected_client_info", &[])
            .all(|sample| !sample.labels.contains_key("port"))
    );
}

#[test]
fn it_is_off_unless_it_is_switched_on_and_a_denial_is_mended_by_one_rule() {
    let server = RedisServer::start();
    server.command(&[
        "ACL",
        "SETUSER",
        "monitor",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-client|list",
    ]);
    let login = "username: monitor\npassword: secret\nsessions: []";
    let on = format!("{login}\ncollectors: {{ client_list: on }}");
    let exporter = Exporter::start(&config::fast(&[
        (
            "off",
            &server.address(),
            &format!("{login}\nclient_list: {{ port: on }}"),
        ),
        ("on", &server.address(), &on),
    ]));
    let labels = [("instance", "on"), ("collector", "client_list"), ("reason", "denied")];
    let scrape = exporter.wait_for_instance("on", "the denial is said", BOUND, |scrape| {
        scrape.value("redis_session_exporter_collector_unavailable", &labels) == Some(1.0)
    });
    assert_eq!(shown(&scrape), 0);
    let ended = exporter::run_with(&["check"], &[], Some(&config::fast(&[("on", &server.address(), &on)])));
    assert!(
        ended
            .output
            .contains("client_list     cannot run: the user may not run CLIENT|LIST"),
        "{}",
        ended.output
    );
    assert!(
        ended.output.contains("ACL SETUSER monitor +client|list"),
        "{}",
        ended.output
    );
    server.command(&["ACL", "SETUSER", "monitor", "+client|list"]);
    exporter.reload(&config::fast(&[("on", &server.address(), &on)]));
    let scrape = exporter.wait_for_instance("on", "clients are shown", BOUND, |scrape| shown(scrape) > 0);
    assert!(
        scrape
            .all("redis_connected_client_info", &[("user", "monitor")])
            .next()
            .is_some()
    );
}

#[test]
fn ten_thousand_clients_hold_up_nobody() {
    const CLIENTS: usize = 10_000;
    let list: String = (1..=CLIENTS)
        .map(|id| {
            format!(
                "id={id} addr=10.0.0.1:{id} laddr=10.0.0.2:6379 fd={id} name=pool age=633 idle={id} flags=N db=0 sub=0 psub=0 ssub=0 \
                 multi=-1 watch=0 qbuf=0 qbuf-free=20474 argv-mem=0 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 tot-mem=22272 \
                 events=r cmd=ping user=default redir=-1 resp=2 lib-name= lib-ver=\n"
            )
        })
        .collect();
    let reply = bulk(list.as_bytes());
    println!("{} bytes of CLIENT LIST", reply.len());
    let crowded = ScriptedPeer::start_with(move |words| {
        if is_command(words, "CLIENT LIST") {
            Answer::Bytes(reply.clone())
        } else {
            healthy(words)
        }
    });
    let calm = ScriptedPeer::start();
    let further = "collectors: { client_list: on }\nsessions: []\npoll: { timeout: 5s }";
    let exporter = Exporter::start(&config::fast(&[
        ("crowded", &crowded.address(), further),
        ("calm", &calm.address(), "sessions: []"),
    ]));
    let polls = |scrape: &Scrape, instance: &str| {
        let value = scrape.value("redis_exporter_scrapes_total", &[("instance", instance)]);
        value.unwrap_or_default()
    };
    let scrape = exporter.wait_for_instance("crowded", "a thousand clients, and ten polls", BOUND, |scrape| {
        shown(scrape) == 1_000 && polls(scrape, "crowded") > 10.0
    });
    let idle = |threshold: &str| scrape.value("redis_client_connections_idle", &[("threshold_seconds", threshold)]);
    assert_eq!(idle("60"), Some((CLIENTS - 59) as f64));
    assert_eq!(idle("3600"), Some((CLIENTS - 3_599) as f64));
    assert_eq!(scrape.sum("redis_ping_failures_total", &[("instance", "calm")]), 0.0);
    assert!(polls(&scrape, "calm") > 5.0);
}
