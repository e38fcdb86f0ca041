use super::*;
use crate::collectors::Unavailable;
use crate::collectors::testing::{Scene, parse_reply};

fn recorded(server: &str, name: &str) -> Reply {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentinel");
    parse_reply(&std::fs::read(folder.join(server).join(name)).unwrap())
}

fn about(words: &[&'static str]) -> Command {
    Command::new(2, words)
}

/// The replies of one recorded Sentinel, less those to the commands that `without` names.
fn scene(server: &str, without: &[&str]) -> Scene {
    let info = recorded(server, "info-all.resp");
    let mut scene = Scene::from_bytes(info.as_bytes().unwrap());
    let commands = [
        (masters(), "sentinel-masters.resp"),
        (about(&["SENTINEL", "SENTINELS", "mymaster"]), "sentinel-sentinels.resp"),
        (about(&["SENTINEL", "SLAVES", "mymaster"]), "sentinel-slaves.resp"),
        (about(&["SENTINEL", "CKQUORUM", "mymaster"]), "sentinel-ckquorum.resp"),
        (config::config_get(), "sentinel-config-get.resp"),
    ];
    for (command, file) in commands {
        let name = command.name();
        if without.contains(&name.as_str()) {
            scene.unavailable.insert(name, Unavailable::Denied);
        } else {
            scene.replies.insert(command, recorded(server, file));
        }
    }
    scene
}

const SERVERS: [&str; 4] = ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"];

#[test]
fn recorded_sentinels_are_read_whole() {
    for server in SERVERS {
        let samples = scene(server, &[]).collect(&SPEC).unwrap();
        let series = |name: &str| samples.families().iter().find(|family| family.descriptor.name == name);
        let labels = series(OK_SENTINELS.name).unwrap().samples[0].labels.clone();
        let address = labels[1].1.clone();
        let number = |name: &str| samples.number_with(name, &["mymaster", &address]);
        assert_eq!(samples.number("redis_sentinel_masters"), Some(1.0), "{server}");
        assert_eq!(samples.number("redis_sentinel_tilt"), Some(0.0));
        assert_eq!(
            samples.number_with(STATUS.name, &["mymaster", &address, "ok"]),
            Some(1.0)
        );
        assert_eq!(
            (number(SENTINELS.name), number(OK_SENTINELS.name)),
            (Some(3.0), Some(3.0))
        );
        assert_eq!(
            (number(REPLICAS.name), number(OK_REPLICAS.name)),
            (Some(1.0), Some(1.0))
        );
        assert_eq!(number("redis_sentinel_master_setting_ckquorum"), Some(2.0));
        assert_eq!(
            number("redis_sentinel_master_setting_down_after_milliseconds"),
            Some(2000.0)
        );
        assert_eq!(
            number("redis_sentinel_master_setting_failover_timeout"),
            Some(180_000.0)
        );
        assert!(number("redis_sentinel_master_last_ok_ping_reply_seconds").unwrap() < 10.0);
        assert_eq!(samples.number_with(QUORUM.name, &["mymaster", "ok"]), Some(1.0));
        assert!(series("redis_sentinel_config_key_value").is_none(), "config_all is off");
        assert_eq!(samples.families().len(), 5 + 6 + 6);
    }
}

#[test]
fn parameters_are_shown_where_config_all_is_on() {
    for server in SERVERS {
        let mut scene = scene(server, &[]);
        scene.options.config_all = true;
        let samples = scene.collect(&SPEC).unwrap();
        let shown = samples.number_with("redis_sentinel_config_key_value", &["resolve-hostnames", "no"]);
        assert_eq!(shown, Some(1.0), "{server}");
        assert_eq!(
            samples.number_with("redis_sentinel_config_value", &["announce-port"]),
            Some(0.0)
        );
        let hidden = samples.number_with("redis_sentinel_config_key_value", &["sentinel-pass", "<secret>"]);
        assert_eq!(hidden, Some(1.0), "{server}");
    }
}

#[test]
fn the_commands_of_each_primary_are_asked_behind_their_list() {
    let Build::FromReplies(build) = SPEC.build else {
        panic!()
    };
    let scene = scene("redis-7.0", &[]);
    let collector = build(&scene.options);
    assert_eq!(collector.requests(Some(&scene.server)), [masters()]);
    let names: Vec<String> = scene
        .with_context(|context| collector.follow_up(context))
        .iter()
        .map(Command::name)
        .collect();
    assert_eq!(names, ["sentinel|sentinels", "sentinel|slaves", "sentinel|ckquorum"]);
    let other = Scene::new("redis_version:7.0.15\r\nredis_mode:standalone\r\n");
    assert!(collector.requests(Some(&other.server)).is_empty() && collector.requests(None).is_empty());
    assert!(other.with_context(|context| collector.follow_up(context)).is_empty());
    assert!(other.collect(&SPEC).unwrap().is_empty());
}

#[test]
fn what_is_denied_takes_nothing_from_the_rest() {
    let samples = scene("redis-7.0", &["sentinel|sentinels", "sentinel|ckquorum"])
        .collect(&SPEC)
        .unwrap();
    let has = |name: &str| samples.families().iter().any(|family| family.descriptor.name == name);
    assert!(has(OK_REPLICAS.name) && has(STATUS.name));
    assert!(!has(OK_SENTINELS.name) && !has(QUORUM.name));
    let samples = scene("redis-7.0", &["sentinel|masters"]).collect(&SPEC).unwrap();
    let has = |name: &str| samples.families().iter().any(|family| family.descriptor.name == name);
    assert!(has(STATUS.name) && has(SENTINELS.name) && !has(OK_REPLICAS.name));
}

#[test]
fn the_quorum_has_bounded_reasons() {
    let of = |text: &'static str| quorum(&Reply::Error(text.into()));
    let lost =
        "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this master";
    assert_eq!(of(lost), Some((0.0, "no_quorum")));
    let both = "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this master. \
                Not enough available Sentinels to reach the majority and authorize a failover";
    assert_eq!(of(both), Some((0.0, "no_quorum_no_majority")));
    let majority =
        "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the majority and authorize a failover";
    assert_eq!(of(majority), Some((0.0, "no_majority")));
    assert_eq!(of("NOQUORUM in other words"), Some((0.0, "other")));
    assert_eq!(of("ERR something else"), Some((0.0, "other")));
    assert_eq!(of("ERR No such master with that name"), None);
    assert_eq!(of("NOPERM no"), None);
    assert_eq!(
        quorum(&Reply::Simple("OK 3 usable Sentinels.".into())),
        Some((1.0, "ok"))
    );
    assert_eq!(quorum(&Reply::Integer(1)), None);
}

#[test]
fn states_are_read_from_their_end() {
    let read = state("name=a,status=ok,address=b,status=sdown,address=10.0.0.1:6379,slaves=1,sentinels=x").unwrap();
    assert_eq!(read.name, "a,status=ok,address=b");
    assert_eq!((read.status, read.address), ("sdown", "10.0.0.1:6379"));
    assert_eq!((read.replicas, read.sentinels), (Some(1.0), None));
    assert_eq!(state("name=a,status=ok,slaves=1,sentinels=1"), None);
}

#[test]
fn a_name_that_is_no_text_is_the_same_in_all_series() {
    let bulk = |text: &'static [u8]| Reply::Bulk(bytes::Bytes::from_static(text));
    let primary = [
        b"name".as_slice(),
        b"a\xffb",
        b"ip",
        b"h",
        b"port",
        b"1",
        b"quorum",
        b"2",
    ];
    let list = Reply::Array(vec![Reply::Array(primary.into_iter().map(bulk).collect())]);
    let info = b"redis_mode:sentinel\r\nsentinel_masters:1\r\nmaster0:name=a\xffb,status=odown,address=h:1,slaves=0,sentinels=1\r\n\
                 master1:name=gone,status=invented,address=h:2,slaves=0,sentinels=1\r\nmaster_host:x\r\n";
    let samples = Scene::from_bytes(info).answer(masters(), list).collect(&SPEC).unwrap();
    let number = |name: &str, labels: &[&str]| samples.number_with(name, labels);
    assert_eq!(number(STATUS.name, &["a\\xffb", "h:1", "odown"]), Some(0.0));
    assert_eq!(
        number("redis_sentinel_master_setting_ckquorum", &["a\\xffb", "h:1"]),
        Some(2.0)
    );
    assert_eq!(number(STATUS.name, &["gone", "h:2", OTHER_STATE]), Some(0.0));
}

#[test]
fn only_commands_of_a_sentinel_are_asked_there() {
    for name in ["info", "ping", "client|list", "sentinel|masters"] {
        assert!(has_command(name), "{name}");
    }
    for name in [
        "config|get",
        "slowlog|len",
        "latency|latest",
        "scan",
        "cluster|info",
        "module|list",
        "memory|stats",
        "",
    ] {
        assert!(!has_command(name), "{name}");
    }
}
