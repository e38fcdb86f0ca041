//! Whatever a server sends, collectors answer with samples or an error: they never panic, and never name a series twice.

use super::testing::Scene;
use super::{ALL, Build, Options, PollContext, SessionKnowledge};
use crate::config::Operations;
use crate::redis::{Command, Info, Reply};
use bytes::Bytes;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Runs every collector twice, since some remember, against one scene. `Scene::collect` refuses doubled series.
fn collect_all(scene: &Scene) {
    let options = Options {
        operations: Operations::On,
        ..scene.options.clone()
    };
    for spec in ALL {
        let Build::FromReplies(build) = spec.build else {
            continue;
        };
        let _ = scene.collect(spec);
        let mut collector = build(&options);
        for _ in 0..2 {
            let _ = scene.with_context(|context| collector.collect(context));
        }
    }
    let _ = super::facts::facts(&scene.info, &scene.server, &scene.options.expect);
    let _ = super::facts::write_refusals(&scene.info);
}

/// Every command that any collector asks for, answered with this reply.
fn answered(mut scene: Scene, reply: &Reply) -> Scene {
    let commands: Vec<Command> = ALL
        .iter()
        .filter_map(|spec| match spec.build {
            Build::FromReplies(build) => Some(build(&scene.options).requests(Some(&scene.server))),
            Build::ByFrame => None,
        })
        .flatten()
        .collect();
    for command in commands {
        scene.replies.insert(command, reply.clone());
    }
    scene
}

const FORKS: [&str; 5] = [
    "redis_version:7.0.15\r\ncluster_enabled:1\r\n",
    "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n",
    "redis_version:6.0.16\r\n",
    "redis_version:7.4.0\r\ndragonfly_version:df-v1.36.0\r\n",
    "",
];

/// Names that collectors read, so that arbitrary values get past the first look.
fn field_name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("used_memory".to_owned()),
        Just("maxmemory".to_owned()),
        Just("uptime_in_seconds".to_owned()),
        Just("role".to_owned()),
        Just("master_host".to_owned()),
        Just("tls_server_cert_serial".to_owned()),
        "(cmdstat_|errorstat_|latency_percentiles_usec_|db|slave|engine_|master_|used_active_time_io_thread_)[a-z0-9|:.\"_-]{0,6}",
        any::<String>(),
    ]
}

fn field_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_map(|number| number.to_string()),
        "((calls|usec|count|p50|p99.9|keys|expires|ip|port|state|offset|lag|name|a:b|)=[-0-9a-z.:]{0,12},?){0,6}",
        any::<String>(),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Reply::Integer),
        Just(Reply::Null),
        any::<Vec<u8>>().prop_map(|bytes| Reply::Bulk(Bytes::from(bytes))),
        "(calls|histogram_usec|databases|save|client-output-buffer-limit|get|[0-9]{1,20})"
            .prop_map(|text| Reply::Bulk(Bytes::from(text))),
        any::<Vec<u8>>().prop_map(|bytes| Reply::Error(Bytes::from(bytes))),
        any::<String>().prop_map(|text| Reply::Simple(Bytes::from(text))),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop::collection::vec(inner, 0..8).prop_map(Reply::Array)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_as_info(bytes in any::<Vec<u8>>()) {
        collect_all(&Scene::from_bytes(&bytes));
    }

    #[test]
    fn any_values_behind_real_names(
        fork in prop::sample::select(&FORKS[..]),
        fields in prop::collection::vec((field_name(), field_value()), 0..40),
    ) {
        let body: String = fields.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        collect_all(&Scene::new(&format!("{fork}{body}")));
    }

    #[test]
    fn any_tree_as_reply(fork in prop::sample::select(&FORKS[..]), reply in reply()) {
        let info = format!("{fork}cmdstat_get:calls=1,usec=2\r\n");
        collect_all(&answered(Scene::new(&info), &reply));
    }
}

#[test]
fn garbage_between_real_fields_costs_only_itself() {
    let text = "garbage\r\n# Memory\r\nused_memory:abc\r\nused_memory_rss:7\r\n:no name\r\nmaxmemory:\r\nerrorstat_X\r\n\
                errorstat_Y:count=1\r\n\u{0}\u{1}:\u{2}\r\ndb0:keys=x,expires=1\r\ndb9:keys=2\r\n";
    let scene = Scene::new(text);
    let memory = scene.collect(&super::memory::SPEC).unwrap();
    assert_eq!(memory.number("redis_memory_used_bytes"), None);
    assert_eq!(memory.number("redis_memory_used_rss_bytes"), Some(7.0));
    let keyspace = scene.collect(&super::keyspace::SPEC).unwrap();
    assert_eq!(keyspace.number_with("redis_db_keys", &["db0"]), None);
    assert_eq!(keyspace.number_with("redis_db_keys", &["db9"]), Some(2.0));
    let errors = scene.collect(&super::errorstats::SPEC).unwrap();
    assert_eq!(errors.number_with("redis_errors_total", &["Y"]), Some(1.0));
}

#[test]
fn ten_megabytes_of_info_stay_bounded() {
    /// Generous for an unoptimised build on a busy machine; quadratic work would take minutes.
    const BOUND: Duration = Duration::from_secs(30);
    let mut text = String::with_capacity(10 << 20);
    let mut number = 0;
    while text.len() < 10 << 20 {
        text.push_str(&format!(
            "cmdstat_c{number}:calls=1,usec=1\r\nerrorstat_E{number}:count=1\r\nlatency_percentiles_usec_c{number}:p50=1\r\n\
             db{number}:keys=1,expires=0\r\nslave{number}:ip=1.1.1.1,port={number},state=online,offset=1,lag=1\r\n",
        ));
        number += 1;
    }
    let started = Instant::now();
    let scene = Scene::new(&text);
    let mut series = 0;
    for spec in ALL {
        if matches!(spec.build, Build::FromReplies(_)) {
            let samples = scene.collect(spec);
            series += samples
                .map(|samples| samples.families().iter().map(|family| family.samples.len()).sum())
                .unwrap_or(0);
        }
    }
    // Three limits of a thousand (commands, twice, and databases) with up to two families each, and some.
    assert!(series < 6_000, "{series} series");
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
}

#[test]
fn without_info_every_collector_says_so() {
    let mut scene = Scene::new("redis_version:7.0.15\r\n");
    scene.unavailable.insert("info".to_owned(), super::Unavailable::Denied);
    for spec in ALL {
        let Build::FromReplies(build) = spec.build else {
            continue;
        };
        let without = scene.with_context(|context| {
            let context = PollContext {
                file_bytes: None,
                clients: None,
                sessions: &SessionKnowledge::default(),
                info: None,
                server: context.server,
                replies: context.replies,
                unavailable: context.unavailable,
                unix_seconds: context.unix_seconds,
                now: context.now,
            };
            build(&scene.options).collect(&context)
        });
        assert!(
            matches!(without, Err(super::CollectError::Unavailable { .. })),
            "{}",
            spec.name
        );
    }
}

#[test]
fn binary_names_become_valid_text_once() {
    let info = Info::parse(b"cmdstat_\xff\xfe:calls=1,usec=1\r\ncmdstat_\xfe\xff:calls=2,usec=1\r\n");
    let stats = super::compound::command_stats(&info);
    assert_eq!(stats.len(), 1);
    assert_eq!(stats[0].name, "\u{fffd}\u{fffd}");
}
