use super::*;
use crate::collectors::testing::Scene;
use crate::collectors::{Unavailable, client_list::client_list};
use crate::redis::Reply;
use crate::tls::certificate::{ChainValidity, Validity};
use std::time::Duration;

/// Valkey 9.1.2 with a TLS port: two clients at it, one at the plain port, one over the unix socket, and the link to its primary.
const CLIENTS: &str = "id=6 addr=127.0.0.1:57372 laddr=127.0.0.1:16435 fd=12 name= age=0 idle=0 flags=N capa= db=0 sub=0 cmd=client|list \
user=default redir=-1 resp=2 lib-name= lib-ver= tot-net-in=26 tot-net-out=0 tot-cmds=0\nid=7 addr=[/run/redis/m.sock:0]:0 \
laddr=[/run/redis/m.sock:0]:0 fd=12 name= age=0 idle=0 flags=U db=0 user=default\nid=8 addr=10.0.0.9:40112 laddr=10.0.0.2:16434 fd=13 \
name=web age=9 idle=1 flags=N db=0 user=app\nid=9 addr=[fd00::9]:40113 laddr=[fd00::2]:16434 fd=14 name=web age=9 idle=1 flags=S \
db=0 user=app\nid=10 addr=10.0.0.1:6379 laddr=10.0.0.2:50112 fd=15 name= age=9 idle=0 flags=M db=0 user=(superuser)\n";

const INFO: &str = "redis_version:7.2.4\r\nrun_id:a\r\nlistener0:name=tcp,bind=*,port=16435\r\nlistener1:name=unix,bind=/run/redis/m.sock\r\n\
listener2:name=tls,bind=*,port=16434\r\nconnected_clients:4\r\n";

fn scene(info: &str) -> Scene {
    Scene::new(info)
}

fn listed(info: &str) -> Scene {
    scene(info).answer(client_list(), Reply::Bulk(CLIENTS.into()))
}

fn count(samples: &Samples, tls_enabled: &str) -> Option<f64> {
    samples.number_with(CONNECTIONS.name, &[tls_enabled])
}

fn collector(scene: &Scene) -> Box<dyn Collector> {
    let Build::FromReplies(build) = SPEC.build else {
        unreachable!()
    };
    build(&scene.options)
}

fn asked(collector: &dyn Collector, scene: &Scene) -> Vec<String> {
    let commands = scene.with_context(|context| collector.follow_up(context));
    commands
        .iter()
        .map(|command| {
            command
                .words()
                .iter()
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn collect(collector: &mut dyn Collector, scene: &Scene) -> Samples {
    scene.with_context(|context| collector.collect(context)).unwrap()
}

#[test]
fn connections_are_told_by_the_port_at_which_they_came_in() {
    let samples = listed(INFO).collect(&SPEC).unwrap();
    assert_eq!(
        (count(&samples, "true"), count(&samples, "false")),
        (Some(2.0), Some(1.0))
    );
    // A server without TLS has none, which is known and therefore 0.
    let plain = INFO.replace("listener2:name=tls,bind=*,port=16434\r\n", "");
    let samples = listed(&plain).collect(&SPEC).unwrap();
    assert_eq!(
        (count(&samples, "true"), count(&samples, "false")),
        (Some(0.0), Some(1.0))
    );
}

#[test]
fn before_7_2_the_ports_are_asked_for() {
    let mut scene = listed("redis_version:7.0.15\r\nconnected_clients:4\r\n");
    let mut tls = collector(&scene);
    assert_eq!(asked(&*tls, &scene), ["CONFIG GET port tls-port", "CLIENT LIST"]);
    let command = crate::collectors::config::config_get("CONFIG")
        .unwrap()
        .arg("port")
        .arg("tls-port");
    let ports = crate::collectors::config::reply_of(&[("tls-port", "16434"), ("port", "16435")]);
    scene.replies.insert(command, ports);
    let samples = collect(&mut *tls, &scene);
    assert_eq!(
        (count(&samples, "true"), count(&samples, "false")),
        (Some(2.0), Some(1.0))
    );
    scene.server.redis_version = (6, 2, 0);
    scene.replies.clear();
    assert_eq!(
        asked(&*collector(&scene), &scene),
        ["CONFIG GET port", "CONFIG GET tls-port", "CLIENT LIST"]
    );
}

#[test]
fn nobody_is_listed_where_connections_cannot_be_told_apart() {
    // No `laddr`, no way to ask for ports, a product that keeps its ports in another way.
    let old = scene("redis_version:6.0.16\r\nconnected_clients:4\r\n");
    let mut silent = scene("redis_version:7.0.15\r\nconnected_clients:4\r\n");
    silent.options.optional.compatibility.config_command = "-".to_owned();
    let dragonfly = scene("redis_version:7.4.0\r\ndragonfly_version:df-v1.30.0\r\nconnected_clients:4\r\n");
    let uncounted = scene("redis_version:7.2.4\r\nlistener0:name=tcp,port=1\r\n");
    for scene in [old, silent, dragonfly, uncounted] {
        let mut tls = collector(&scene);
        assert_eq!(asked(&*tls, &scene), Vec::<String>::new());
        assert!(collect(&mut *tls, &scene).is_empty());
    }
}

#[test]
fn a_denial_takes_this_family_alone_and_is_not_tried_again() {
    let tls_section = "tls_server_cert_serial:0E8C\r\ntls_server_cert_expires_in_seconds:100\r\n";
    let mut scene = listed(&format!("{INFO}{tls_section}"));
    let mut tls = collector(&scene);
    assert!(count(&collect(&mut *tls, &scene), "true").is_some());
    scene.replies.clear();
    scene.unavailable.insert("client|list".to_owned(), Unavailable::Denied);
    assert_eq!(
        asked(&*tls, &scene),
        ["CLIENT LIST"],
        "named, so that it is shown as missing"
    );
    let samples = collect(&mut *tls, &scene);
    assert_eq!(count(&samples, "true"), None);
    assert_eq!(
        samples.number_with(CONFIGURED_NOT_AFTER.name, &["server"]),
        Some(1_795_170_540.0)
    );

    let mut without_config = self::scene("redis_version:7.0.15\r\nconnected_clients:4\r\n");
    without_config
        .unavailable
        .insert("config|get".to_owned(), Unavailable::Denied);
    let mut tls = collector(&without_config);
    assert_eq!(
        asked(&*tls, &without_config),
        ["CONFIG GET port tls-port"],
        "and CLIENT LIST is not asked for nothing"
    );
    assert!(collect(&mut *tls, &without_config).is_empty());
}

#[test]
fn a_list_is_followed_by_a_pause_of_a_thousand_times_its_cost() {
    let mut scene = listed(INFO);
    let mut tls = collector(&scene);
    assert_eq!(asked(&*tls, &scene), ["CLIENT LIST"]);
    collect(&mut *tls, &scene);
    let list = scene.replies.remove(&client_list()).unwrap();
    // Five clients of 1.5 µs each: 7.5 ms.
    scene.now += Duration::from_millis(7);
    assert_eq!(asked(&*tls, &scene), Vec::<String>::new());
    assert_eq!(
        count(&collect(&mut *tls, &scene), "true"),
        Some(2.0),
        "the last count is shown meanwhile"
    );
    scene.now += Duration::from_millis(1);
    assert_eq!(asked(&*tls, &scene), ["CLIENT LIST"]);
    // The server says that it takes 20 ms.
    scene.info = crate::redis::Info::parse(
        format!("{INFO}cmdstat_client|list:calls=2,usec=40000,usec_per_call=20000.00,rejected_calls=0\r\n").as_bytes(),
    );
    scene.replies.insert(client_list(), list);
    collect(&mut *tls, &scene);
    scene.now += Duration::from_millis(19_999);
    assert_eq!(asked(&*tls, &scene), Vec::<String>::new());
    scene.now += Duration::from_millis(1);
    assert_eq!(asked(&*tls, &scene), ["CLIENT LIST"]);
}

#[test]
fn a_list_that_somebody_else_asked_for_counts() {
    let scene = listed(INFO);
    let mut tls = collector(&scene);
    assert_eq!(count(&collect(&mut *tls, &scene), "false"), Some(1.0));
    assert_eq!(asked(&*tls, &scene), Vec::<String>::new(), "it was just there");
}

#[test]
fn too_many_clients_are_not_listed_and_left_out() {
    let mut scene = listed(INFO);
    let mut tls = collector(&scene);
    collect(&mut *tls, &scene);
    scene.replies.clear();
    scene.now += Duration::from_secs(60);
    scene.info = crate::redis::Info::parse(
        INFO.replace("connected_clients:4", "connected_clients:10001")
            .as_bytes(),
    );
    assert_eq!(asked(&*tls, &scene), Vec::<String>::new());
    let samples = collect(&mut *tls, &scene);
    assert_eq!((count(&samples, "true"), samples.dropped()), (None, 2));
}

#[test]
fn a_count_of_another_server_is_forgotten() {
    let mut scene = listed(INFO);
    let mut tls = collector(&scene);
    collect(&mut *tls, &scene);
    scene.replies.clear();
    scene.server.run_id = "b".to_owned();
    assert!(collect(&mut *tls, &scene).is_empty());
}

#[test]
fn replies_that_are_no_list_fail_the_collector() {
    for reply in [Reply::Integer(1), Reply::Error("LOADING Redis is loading".into())] {
        let scene = scene(INFO).answer(client_list(), reply);
        assert!(scene.collect(&SPEC).is_err());
    }
}

#[test]
fn a_handshake_is_shown_as_far_as_it_came() {
    let leaf = Validity {
        not_before: 1_700_000_000,
        not_after: 1_800_000_000,
    };
    let chain = Validity {
        not_before: 1_710_000_000,
        not_after: 1_790_000_000,
    };
    let refused = TlsHandshake {
        certificates: Some(ChainValidity { leaf, chain }),
        verified: Some(false),
        failure: Some(TlsReason::Expired),
        ..TlsHandshake::default()
    };
    let samples = certificate_samples(&refused);
    let date = |descriptor: &Descriptor, certificate| samples.number_with(descriptor.name, &[certificate]);
    assert_eq!(date(&NOT_AFTER, "leaf"), Some(1_800_000_000.0));
    assert_eq!(date(&NOT_AFTER, "chain"), Some(1_790_000_000.0));
    assert_eq!(date(&NOT_BEFORE, "leaf"), Some(1_700_000_000.0));
    assert_eq!(date(&NOT_BEFORE, "chain"), Some(1_710_000_000.0));
    let samples = handshake_samples(&refused);
    assert_eq!(samples.number(VERIFIED.name), Some(0.0));
    assert_eq!(samples.families().len(), 1, "there is no connection to tell of");
    let whole = TlsHandshake {
        version: Some("TLSv1.3"),
        cipher: Some("TLS_AES_256_GCM_SHA384"),
        verified: Some(true),
        failure: None,
        ..refused
    };
    let samples = handshake_samples(&whole);
    let labels = ["TLSv1.3", "TLS_AES_256_GCM_SHA384"];
    assert_eq!(samples.number_with(CONNECTION_INFO.name, &labels), Some(1.0));
    assert!(certificate_samples(&TlsHandshake::default()).is_empty());
    let errors = TlsReason::ALL
        .into_iter()
        .map(|reason| (reason, u64::from(reason == TlsReason::Expired)));
    let samples = own_samples(errors, true);
    assert_eq!(samples.number_with(ERRORS.name, &["expired"]), Some(1.0));
    assert_eq!(samples.number_with(ERRORS.name, &["client_cert"]), Some(0.0));
    assert_eq!(samples.number(VERIFICATION_SKIPPED.name), Some(1.0));
}
